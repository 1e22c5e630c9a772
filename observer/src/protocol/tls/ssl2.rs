//! SSL 2.0: its ClientHello, which later versions used to introduce themselves (RFC 5246 Appendix E.2), its ServerHello
//! and the client's choice of cipher. What follows is encrypted and not read.

use super::hello::blank_client_hello;
use super::{CipherSuite, ClientHello, Ssl2CipherKind, Ssl2ServerHello, TlsVersion};
use crate::bytes::{ParseError, Reader};

/// Bytes of a record header without padding; the only kind that messages in the clear have.
pub(super) const HEADER: usize = 2;

/// Bytes of a ClientHello before its lists.
const CLIENT_HELLO: usize = 9;

/// Bytes of a ServerHello before its lists.
const SERVER_HELLO: usize = 11;

const MSG_CLIENT_HELLO: u8 = 1;
const MSG_CLIENT_MASTER_KEY: u8 = 2;
pub(super) const MSG_SERVER_HELLO: u8 = 4;

/// The length of the message after the header; `None` where the first bit says that there is padding.
pub(super) fn record_len(bytes: &[u8]) -> Option<usize> {
    let [high, low] = *bytes.first_chunk::<HEADER>()?;
    (high & 0x80 != 0).then(|| usize::from(u16::from_be_bytes([high & 0x7f, low])))
}

/// Whether `bytes` begin like a ClientHello: every length must fit the others. `None` when more bytes are needed.
pub(super) fn is_client_hello(bytes: &[u8]) -> Option<bool> {
    let (&first, rest) = bytes.split_first()?;
    let plausible = first & 0xc0 == 0x80
        && rest.get(1).is_none_or(|kind| *kind == MSG_CLIENT_HELLO)
        && rest.get(2).is_none_or(|major| matches!(major, 0 | 3))
        && rest.get(3).is_none_or(|minor| match rest.get(2) {
            Some(0) => *minor == 2,
            _ => *minor <= 4,
        });
    if !plausible {
        return Some(false);
    }
    let len = record_len(bytes)?;
    let mut reader = Reader::new(bytes.get(HEADER + 3..)?);
    let kinds = usize::from(reader.u16("cipher_specs length").ok()?);
    let id = usize::from(reader.u16("session_id length").ok()?);
    let challenge = usize::from(reader.u16("challenge length").ok()?);
    let sum = CLIENT_HELLO.saturating_add(kinds).saturating_add(id).saturating_add(challenge);
    Some(kinds > 0 && kinds % 3 == 0 && id <= 32 && (1..=48).contains(&challenge) && sum == len)
}

/// Whether `bytes` begin like a ServerHello of SSL 2.0. `None` when more bytes are needed.
pub(super) fn is_server_hello(bytes: &[u8]) -> Option<bool> {
    let (&first, rest) = bytes.split_first()?;
    let plausible = first & 0xc0 == 0x80
        && rest.get(1).is_none_or(|kind| *kind == MSG_SERVER_HELLO)
        && rest.get(2).is_none_or(|hit| *hit <= 1)
        && rest.get(4).is_none_or(|major| *major == 0)
        && rest.get(5).is_none_or(|minor| *minor == 2);
    if !plausible {
        return Some(false);
    }
    let len = record_len(bytes)?;
    let mut reader = Reader::new(bytes.get(HEADER + 5..)?);
    let certificate = usize::from(reader.u16("certificate length").ok()?);
    let kinds = usize::from(reader.u16("cipher_specs length").ok()?);
    let id = usize::from(reader.u16("connection_id length").ok()?);
    let sum = SERVER_HELLO.saturating_add(certificate).saturating_add(kinds).saturating_add(id);
    Some(kinds % 3 == 0 && id <= 32 && sum == len)
}

/// Reads a ClientHello after the record header.
pub(super) fn client_hello(message: &[u8]) -> Result<ClientHello, ParseError> {
    let mut reader = Reader::new(message);
    reader.u8("msg_type")?;
    let legacy_version = TlsVersion(reader.u16("version")?);
    let kinds = usize::from(reader.u16("cipher_specs length")?);
    let id = usize::from(reader.u16("session_id length")?);
    reader.u16("challenge length")?;
    let kinds = reader.take(kinds, "cipher_specs")?;
    let session_id = reader.take(id, "session_id")?.to_vec();
    let (suites, ssl2) = cipher_kinds(kinds);
    let mut hello = blank_client_hello(legacy_version, session_id, suites);
    hello.sslv2 = true;
    hello.ssl2_cipher_kinds = ssl2;
    Ok(hello)
}

/// Reads a ServerHello after the record header, and the certificate in it.
pub(super) fn server_hello(message: &[u8]) -> Result<(Ssl2ServerHello, &[u8]), ParseError> {
    let mut reader = Reader::new(message);
    reader.u8("msg_type")?;
    let session_id_hit = reader.u8("session_id_hit")? != 0;
    reader.u8("certificate_type")?;
    let version = TlsVersion(reader.u16("version")?);
    let certificate = usize::from(reader.u16("certificate length")?);
    let kinds = usize::from(reader.u16("cipher_specs length")?);
    reader.u16("connection_id length")?;
    let certificate = reader.take(certificate, "certificate")?;
    let (_, cipher_kinds) = cipher_kinds(reader.take(kinds, "cipher_specs")?);
    Ok((Ssl2ServerHello { version, cipher_kinds, session_id_hit }, certificate))
}

/// The cipher kind of a CLIENT-MASTER-KEY after the record header; `None` for other messages.
pub(super) fn master_key(message: &[u8]) -> Option<Ssl2CipherKind> {
    let mut reader = Reader::new(message);
    let kind = reader.u8("msg_type").ok()?;
    let cipher = reader.u24("cipher_kind").ok()?;
    (kind == MSG_CLIENT_MASTER_KEY).then_some(Ssl2CipherKind(cipher))
}

/// Suites of later versions, which begin with a 0, and SSL 2.0's own kinds.
fn cipher_kinds(bytes: &[u8]) -> (Vec<CipherSuite>, Vec<Ssl2CipherKind>) {
    let (mut suites, mut kinds) = (Vec::new(), Vec::new());
    let (specs, _odd) = bytes.as_chunks::<3>();
    for [first, high, low] in specs {
        match first {
            0 => suites.push(CipherSuite(u16::from_be_bytes([*high, *low]))),
            _ => kinds.push(Ssl2CipherKind(u32::from_be_bytes([0, *first, *high, *low]))),
        }
    }
    (suites, kinds)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hello that offers TLS 1.0 with RC4 and SSL 2.0 with RC4.
    const HELLO: &[u8] = &[
        0x80, 0x1f, 0x01, 0x03, 0x01, 0x00, 0x06, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x05, 0x01, 0x00, 0x80,
        1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
    ];

    #[test]
    fn a_compatible_hello_offers_both() {
        assert_eq!(is_client_hello(HELLO), Some(true));
        let hello = client_hello(&HELLO[HEADER..]).unwrap();
        assert_eq!(hello.cipher_suites, [CipherSuite(5)]);
        assert_eq!(hello.ssl2_cipher_kinds, [Ssl2CipherKind(0x01_0080)]);
        assert_eq!(hello.offered_versions(), [TlsVersion::TLS_1_0, TlsVersion::SSL_2]);
    }

    #[test]
    fn every_prefix_may_still_be_a_hello() {
        for len in 0..11 {
            assert_eq!(is_client_hello(&HELLO[..len]), None, "{len}");
        }
        assert_eq!(is_client_hello(&HELLO[..11]), Some(true));
    }

    #[test]
    fn lengths_that_do_not_fit_are_no_hello() {
        let mut other = HELLO.to_vec();
        other[1] = 0x20;
        assert_eq!(is_client_hello(&other), Some(false));
        assert_eq!(is_server_hello(HELLO), Some(false));
    }
}
