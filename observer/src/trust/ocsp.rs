//! What a request for a certificate's status looks like (OCSP, [RFC 6960
//! §4.1.1](https://datatracker.ietf.org/doc/html/rfc6960#section-4.1.1)). Answers are not read.

use x509_parser::asn1_rs::{Any, Class, FromDer as _, Tag};

/// Bytes of a hash that names an issuer: MD5's to SHA-512's.
const HASH: std::ops::RangeInclusive<usize> = 16..=64;
/// Bytes of a serial number: 20 by RFC 5280 §4.1.2.2, and one for the sign.
const MAX_SERIAL: usize = 21;

/// Whether `der` is an OCSPRequest and nothing else: one that asks for certificates, and neither names who asks nor is
/// signed by them.
#[must_use]
pub(crate) fn is_ocsp_request(der: &[u8]) -> bool {
    whole(der).is_some()
}

/// ```text
/// OCSPRequest ::= SEQUENCE { tbsRequest TBSRequest, [0] optionalSignature OPTIONAL }
/// TBSRequest  ::= SEQUENCE { [0] version DEFAULT v1, [1] requestorName OPTIONAL,
///                            requestList SEQUENCE OF Request, [2] requestExtensions OPTIONAL }
/// ```
fn whole(der: &[u8]) -> Option<()> {
    let request = only(sequence(der)?)?;
    let asked = only(sequence(request)?)?;
    let asked = match tagged(asked, 0) {
        Some((version, rest)) if version == [2, 1, 0] => rest,
        Some(_) => return None,
        None => asked,
    };
    let (mut list, rest) = sequence(asked)?;
    if list.is_empty() || !(rest.is_empty() || ends_with_extensions(rest, 2)) {
        return None;
    }
    while !list.is_empty() {
        let (one, more) = sequence(list)?;
        asks_for_one(one)?;
        list = more;
    }
    Some(())
}

/// ```text
/// Request ::= SEQUENCE { reqCert CertID, [0] singleRequestExtensions OPTIONAL }
/// CertID  ::= SEQUENCE { hashAlgorithm AlgorithmIdentifier, issuerNameHash OCTET STRING,
///                        issuerKeyHash OCTET STRING, serialNumber INTEGER }
/// ```
fn asks_for_one(request: &[u8]) -> Option<()> {
    let (certificate, rest) = sequence(request)?;
    let (algorithm, certificate) = sequence(certificate)?;
    let (name, certificate) = universal(certificate, Tag::OctetString)?;
    let (key, certificate) = universal(certificate, Tag::OctetString)?;
    let serial = only(universal(certificate, Tag::Integer)?)?;
    universal(algorithm, Tag::Oid)?;
    let fits = name.len() == key.len() && HASH.contains(&name.len()) && serial.len() <= MAX_SERIAL;
    (fits && (rest.is_empty() || ends_with_extensions(rest, 0))).then_some(())
}

/// The content of the first element of `der`, and what follows it.
fn universal(der: &[u8], tag: Tag) -> Option<(&[u8], &[u8])> {
    let (rest, element) = Any::from_der(der).ok()?;
    let fits = element.header.class() == Class::Universal && element.header.tag() == tag;
    fits.then_some((element.data, rest))
}

fn sequence(der: &[u8]) -> Option<(&[u8], &[u8])> {
    universal(der, Tag::Sequence)
}

fn tagged(der: &[u8], number: u32) -> Option<(&[u8], &[u8])> {
    let (rest, element) = Any::from_der(der).ok()?;
    let fits = element.header.class() == Class::ContextSpecific && element.header.tag() == Tag(number);
    fits.then_some((element.data, rest))
}

fn ends_with_extensions(der: &[u8], number: u32) -> bool {
    tagged(der, number).and_then(only).and_then(|inside| only(sequence(inside)?)).is_some()
}

/// The content, where nothing follows it.
fn only<'a>((content, rest): (&'a [u8], &'a [u8])) -> Option<&'a [u8]> {
    rest.is_empty().then_some(content)
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64;

    use super::*;

    /// What a browser asked ocsp.digicert.com for.
    const ASKED: &str = "MFEwTzBNMEswSTAJBgUrDgMCGgUABBTBL0V27RVZ7LBduom/nYB45SPUEwQU5Z1ZMIJHWMys+ghUNoZ7OrUETfACEA8Ull8gIGmZT9XHrHiJQeI=";

    #[test]
    fn a_request_is_told_from_other_bytes() {
        let asked = BASE64.decode(ASKED.as_bytes()).unwrap();
        assert!(is_ocsp_request(&asked));
        for len in 0..asked.len() {
            assert!(!is_ocsp_request(&asked[..len]), "{len} bytes");
        }
        assert!(!is_ocsp_request(&[&asked[..], b"user=bob"].concat()));
        // A sequence, and nothing like one.
        assert!(!is_ocsp_request(b"\x30\x08user=bob"));
        assert!(!is_ocsp_request(b"\x30\x0a\x30\x08\x30\x06\x30\x04\x04\x02hi"));
        assert!(!is_ocsp_request(b""));
    }
}
