//! JA3, JA3S and JA4: digests that tell implementations apart.
//!
//! [JA3](https://github.com/salesforce/ja3) and JA3S are MD5 over decimal lists; [JA4](https://github.com/FoxIO-LLC/ja4)
//! is of the client alone: the other members of its family are not free. GREASE values (RFC 8701) never count.

use md5::Md5;
use sha2::{Digest as _, Sha256};

use super::code_point::is_grease;
use super::{ClientHello, ServerHello, TlsVersion};
use crate::bytes::hex;

/// Hexadecimal digits of a JA4 hash.
const JA4_HASH: usize = 12;

/// The JA3 digest of a ClientHello.
pub(super) fn ja3(hello: &ClientHello) -> String {
    let list = [
        hello.legacy_version.0.to_string(),
        decimal(hello.cipher_suites.iter().map(|suite| suite.0)),
        decimal(hello.extensions.iter().copied()),
        decimal(hello.groups.iter().map(|group| group.0)),
        decimal(hello.ec_point_formats.iter().map(|format| u16::from(*format))),
    ];
    hex(&Md5::digest(list.join(",")))
}

/// The JA3S digest of a ServerHello.
pub(super) fn ja3s(hello: &ServerHello) -> String {
    let list = [
        hello.legacy_version.0.to_string(),
        hello.cipher_suite.0.to_string(),
        decimal(hello.extensions.iter().copied()),
    ];
    hex(&Md5::digest(list.join(",")))
}

/// The JA4 fingerprint of a ClientHello. `transport` is `t` over TCP, `q` over QUIC, `d` over DTLS; `alpn` is the first
/// protocol as on the wire.
pub(super) fn ja4(hello: &ClientHello, transport: char, alpn: Option<&[u8]>) -> String {
    let mut suites: Vec<u16> =
        hello.cipher_suites.iter().map(|suite| suite.0).filter(|suite| !is_grease(*suite)).collect();
    let mut extensions: Vec<u16> =
        hello.extensions.iter().copied().filter(|extension| !is_grease(*extension)).collect();
    let counts = (suites.len().min(99), extensions.len().min(99));
    suites.sort_unstable();
    extensions.retain(|extension| !matches!(*extension, SERVER_NAME | ALPN));
    extensions.sort_unstable();
    let mut second = four_digits(extensions.iter().copied());
    let schemes = four_digits(hello.signature_schemes.iter().map(|scheme| scheme.0));
    if !second.is_empty() && !schemes.is_empty() {
        second.push('_');
        second.push_str(&schemes);
    }
    format!(
        "{transport}{version}{name}{:02}{:02}{alpn}_{suites}_{second}",
        counts.0,
        counts.1,
        version = ja4_version(hello),
        name = if hello.extensions.contains(&SERVER_NAME) { 'd' } else { 'i' },
        alpn = ja4_alpn(alpn),
        suites = ja4_hash(&four_digits(suites.into_iter())),
        second = ja4_hash(&second),
    )
}

const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;

fn ja4_version(hello: &ClientHello) -> &'static str {
    let highest = hello.supported_versions.iter().filter(|version| !version.is_grease()).max();
    match highest.copied().unwrap_or(hello.legacy_version) {
        TlsVersion::TLS_1_3 => "13",
        TlsVersion::TLS_1_2 => "12",
        TlsVersion::TLS_1_1 => "11",
        TlsVersion::TLS_1_0 => "10",
        TlsVersion::SSL_3 => "s3",
        TlsVersion::SSL_2 => "s2",
        TlsVersion(0xfeff) => "d1",
        TlsVersion(0xfefd) => "d2",
        TlsVersion(0xfefc) => "d3",
        _ => "00",
    }
}

/// The first and the last character; where one of them is not alphanumeric, of the bytes in hexadecimal.
fn ja4_alpn(protocol: Option<&[u8]>) -> String {
    let Some((first, last)) = protocol.and_then(|bytes| Some((*bytes.first()?, *bytes.last()?))) else {
        return "00".to_owned();
    };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return [char::from(first), char::from(last)].iter().collect();
    }
    hex(&[first]).chars().take(1).chain(hex(&[last]).chars().skip(1)).collect()
}

fn ja4_hash(list: &str) -> String {
    if list.is_empty() {
        return "0".repeat(JA4_HASH);
    }
    hex(&Sha256::digest(list)).chars().take(JA4_HASH).collect()
}

fn decimal(values: impl Iterator<Item = u16>) -> String {
    join(values.filter(|value| !is_grease(*value)).map(|value| value.to_string()), '-')
}

fn four_digits(values: impl Iterator<Item = u16>) -> String {
    join(values.filter(|value| !is_grease(*value)).map(|value| format!("{value:04x}")), ',')
}

fn join(values: impl Iterator<Item = String>, separator: char) -> String {
    let mut joined = String::new();
    for value in values {
        if !joined.is_empty() {
            joined.push(separator);
        }
        joined.push_str(&value);
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alpn_is_two_characters() {
        assert_eq!(ja4_alpn(None), "00");
        assert_eq!(ja4_alpn(Some(b"h2")), "h2");
        assert_eq!(ja4_alpn(Some(b"http/1.1")), "h1");
        assert_eq!(ja4_alpn(Some(b"x")), "xx");
        assert_eq!(ja4_alpn(Some(&[0xab, 0xcd])), "ad");
    }

    #[test]
    fn nothing_hashes_to_zeros() {
        assert_eq!(ja4_hash(""), "000000000000");
        assert_eq!(ja4_hash("551d0f,551d25,551d11").len(), 12);
    }
}
