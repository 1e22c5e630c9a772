//! The other handshake messages in the clear, up to TLS 1.2 (RFC 5246 §7.4), to facts.

use std::sync::Arc;

use x509_parser::prelude::FromDer as _;
use x509_parser::x509::X509Name;

use super::hello::u16s;
use super::x509::name_text;
use super::{
    Authentication, Certificate, CertificateCache, CertificateRequest, CipherSuite, KeyExchange, NamedGroup,
    ServerKeyExchange, SignatureScheme, TlsVersion,
};
use crate::bytes::{ParseError, Reader, hex};

/// HandshakeTypes.
pub(in crate::protocol) mod kind {
    pub(in crate::protocol) const HELLO_REQUEST: u8 = 0;
    pub(in crate::protocol) const CLIENT_HELLO: u8 = 1;
    pub(in crate::protocol) const SERVER_HELLO: u8 = 2;
    /// Of DTLS alone.
    pub(in crate::protocol) const HELLO_VERIFY_REQUEST: u8 = 3;
    pub(in crate::protocol) const NEW_SESSION_TICKET: u8 = 4;
    pub(in crate::protocol) const END_OF_EARLY_DATA: u8 = 5;
    /// Of the drafts of TLS 1.3 before 22.
    pub(in crate::protocol) const HELLO_RETRY_REQUEST: u8 = 6;
    pub(in crate::protocol) const ENCRYPTED_EXTENSIONS: u8 = 8;
    pub(in crate::protocol) const CERTIFICATE: u8 = 11;
    pub(in crate::protocol) const SERVER_KEY_EXCHANGE: u8 = 12;
    pub(in crate::protocol) const CERTIFICATE_REQUEST: u8 = 13;
    pub(in crate::protocol) const SERVER_HELLO_DONE: u8 = 14;
    pub(in crate::protocol) const CERTIFICATE_VERIFY: u8 = 15;
    pub(in crate::protocol) const CLIENT_KEY_EXCHANGE: u8 = 16;
    pub(in crate::protocol) const FINISHED: u8 = 20;
    pub(in crate::protocol) const CERTIFICATE_STATUS: u8 = 22;
    pub(in crate::protocol) const KEY_UPDATE: u8 = 24;
    pub(in crate::protocol) const COMPRESSED_CERTIFICATE: u8 = 25;
}

/// Certificates of a chain that are kept.
pub(super) const MAX_CHAIN: usize = 32;

/// Authorities of a request that are kept.
const MAX_AUTHORITIES: usize = 64;

/// A Certificate message: the chain, leaf first.
pub(super) fn certificates(
    body: &[u8],
    cache: &mut CertificateCache,
) -> Result<Vec<Arc<Certificate>>, ParseError> {
    let mut reader = Reader::new(body);
    let len = length(reader.u24("certificate_list length")?);
    let mut list = reader.sub(len, "certificate_list")?;
    let mut chain = Vec::new();
    while !list.is_empty() && chain.len() < MAX_CHAIN {
        let len = length(list.u24("certificate length")?);
        chain.push(cache.parse(list.take(len, "certificate")?));
    }
    Ok(chain)
}

/// A CertificateRequest.
pub(super) fn certificate_request(
    body: &[u8],
    version: Option<TlsVersion>,
) -> Result<CertificateRequest, ParseError> {
    let mut reader = Reader::new(body);
    let len = usize::from(reader.u8("certificate_types length")?);
    let certificate_types = reader.take(len, "certificate_types")?.to_vec();
    let mut signature_schemes = Vec::new();
    if version.is_none_or(|version| version.of_tls() >= TlsVersion::TLS_1_2) {
        let len = usize::from(reader.u16("supported_signature_algorithms length")?);
        let schemes = reader.take(len, "supported_signature_algorithms")?;
        signature_schemes = u16s(schemes).map(SignatureScheme).collect();
    }
    let len = usize::from(reader.u16("certificate_authorities length")?);
    let authorities = authorities(reader.take(len, "certificate_authorities")?)?;
    Ok(CertificateRequest { certificate_types, signature_schemes, authorities })
}

/// Distinguished names, each after its length.
pub(super) fn authorities(list: &[u8]) -> Result<Vec<String>, ParseError> {
    let mut names = Reader::new(list);
    let mut authorities = Vec::new();
    while !names.is_empty() && authorities.len() < MAX_AUTHORITIES {
        let len = usize::from(names.u16("distinguished name length")?);
        let der = names.take(len, "distinguished name")?;
        authorities.push(match X509Name::from_der(der) {
            Ok((_, name)) => name_text(&name),
            Err(_not_a_name) => format!("#{}", hex(der)),
        });
    }
    Ok(authorities)
}

/// A ServerKeyExchange. What the suite does not let us read stays `None`.
pub(super) fn server_key_exchange(
    body: &[u8],
    suite: Option<CipherSuite>,
    version: Option<TlsVersion>,
) -> ServerKeyExchange {
    let mut exchange = ServerKeyExchange::default();
    let Some(properties) = suite.and_then(CipherSuite::properties) else { return exchange };
    let mut body = body;
    if properties.authentication == Authentication::Psk {
        let mut reader = Reader::new(body);
        let hint = reader.u16("psk_identity_hint length").map(usize::from);
        if hint.and_then(|len| reader.take(len, "psk_identity_hint")).is_err() {
            return exchange;
        }
        body = reader.rest();
    }
    let signed = match properties.key_exchange {
        KeyExchange::Ecdhe => match tls_parser::parse_ecdh_params(body) {
            Ok((rest, params)) => {
                if let tls_parser::ECParametersContent::NamedGroup(group) = params.curve_params.params_content
                {
                    exchange.group = Some(NamedGroup(group.0));
                }
                rest
            }
            Err(_) => return exchange,
        },
        KeyExchange::Dhe => match tls_parser::parse_dh_params(body) {
            Ok((rest, params)) => {
                exchange.dh_bits = Some(bits(params.dh_p));
                rest
            }
            Err(_) => return exchange,
        },
        _ => return exchange,
    };
    let signs = !matches!(properties.authentication, Authentication::Anonymous | Authentication::Psk);
    if signs && version.is_some_and(|version| version.of_tls() >= TlsVersion::TLS_1_2) {
        exchange.signature = u16s(signed).next().map(SignatureScheme);
    }
    exchange
}

/// Bits of an unsigned number, leading zeros not counted.
pub(super) fn bits(number: &[u8]) -> u32 {
    let start = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
    let digits = number.get(start..).unwrap_or_default();
    let top = digits.first().map_or(0, |byte| byte.leading_zeros());
    u32::try_from(digits.len()).unwrap_or(u32::MAX).saturating_mul(8).saturating_sub(top)
}

pub(super) fn length(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_count_from_the_first_one() {
        assert_eq!((bits(&[]), bits(&[0, 0]), bits(&[0, 1]), bits(&[0x80, 0])), (0, 0, 1, 16));
    }

    #[test]
    fn a_key_exchange_names_group_and_signature() {
        let mut body = vec![3, 0, 29, 2, 9, 9, 0x08, 0x04, 0, 1, 7];
        let suite = Some(CipherSuite(0xc02f));
        let exchange = server_key_exchange(&body, suite, Some(TlsVersion::TLS_1_2));
        assert_eq!(exchange.group, Some(NamedGroup(29)));
        assert_eq!(exchange.signature, Some(SignatureScheme(0x0804)));
        assert_eq!(server_key_exchange(&body, suite, Some(TlsVersion::TLS_1_0)).signature, None);
        body.truncate(4);
        assert_eq!(
            server_key_exchange(&body, suite, Some(TlsVersion::TLS_1_2)),
            ServerKeyExchange::default()
        );
        let export = [0, 2, 0x01, 0x00, 0, 1, 2, 0, 1, 4];
        let exchange = server_key_exchange(&export, Some(CipherSuite(0x0014)), Some(TlsVersion::TLS_1_0));
        assert_eq!(exchange.dh_bits, Some(9));
    }

    #[test]
    fn an_empty_chain_is_an_answer() {
        let mut cache = CertificateCache::default();
        assert_eq!(certificates(&[0, 0, 0], &mut cache), Ok(Vec::new()));
        assert!(certificates(&[0, 0, 9, 0], &mut cache).is_err());
    }

    #[test]
    fn a_request_before_tls_1_2_has_no_signature_algorithms() {
        let body = [1, 1, 0, 0];
        assert_eq!(certificate_request(&body, Some(TlsVersion::TLS_1_0)).unwrap().certificate_types, [1]);
        let body = [1, 64, 0, 2, 4, 3, 0, 4, 0, 2, 0x30, 0];
        let request = certificate_request(&body, Some(TlsVersion::TLS_1_2)).unwrap();
        assert_eq!(request.signature_schemes, [SignatureScheme(0x0403)]);
        assert_eq!(request.authorities, [""]);
    }
}
