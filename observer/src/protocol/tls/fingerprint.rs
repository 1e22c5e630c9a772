//! JA3, JA3S and JA4: digests that tell implementations apart.
//!
//! [JA3](https://github.com/salesforce/ja3) and JA3S are MD5 over decimal lists; [JA4](https://github.com/FoxIO-LLC/ja4)
//! is of the client alone: the other members of its family are not free. GREASE values (RFC 8701) never count.

use md5::Md5;
use sha2::{Digest as _, Sha256};

use super::code_point::is_grease;
use super::hello::extension::{ALPN, SERVER_NAME};
use super::{ClientHello, ServerHello, TlsVersion};
use crate::bytes::hex;

/// Hexadecimal digits of a JA4 hash.
const JA4_HASH: usize = 12;

/// The JA3 digest of a ClientHello.
pub(super) fn ja3(hello: &ClientHello) -> String {
    let mut list = List::new();
    list.number(hello.legacy_version.0);
    list.text.push(',');
    list.decimal(hello.cipher_suites.iter().map(|suite| suite.0));
    list.text.push(',');
    list.decimal(hello.extensions.iter().copied());
    list.text.push(',');
    list.decimal(hello.groups.iter().map(|group| group.0));
    list.text.push(',');
    list.decimal(hello.ec_point_formats.iter().map(|format| u16::from(*format)));
    hex(&Md5::digest(list.text))
}

/// The JA3S digest of a ServerHello.
pub(super) fn ja3s(hello: &ServerHello) -> String {
    let mut list = List::new();
    list.number(hello.legacy_version.0);
    list.text.push(',');
    list.number(hello.cipher_suite.0);
    list.text.push(',');
    list.decimal(hello.extensions.iter().copied());
    hex(&Md5::digest(list.text))
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
    let (mut first, mut second) = (List::new(), List::new());
    first.four_digits(suites);
    second.four_digits(extensions);
    let schemes = hello.signature_schemes.iter().map(|scheme| scheme.0);
    let mut schemes = schemes.filter(|scheme| !is_grease(*scheme)).peekable();
    if !second.text.is_empty() && schemes.peek().is_some() {
        second.text.push('_');
    }
    second.four_digits(schemes);
    format!(
        "{transport}{version}{name}{:02}{:02}{alpn}_{suites}_{second}",
        counts.0,
        counts.1,
        version = ja4_version(hello),
        name = if hello.extensions.contains(&SERVER_NAME) { 'd' } else { 'i' },
        alpn = ja4_alpn(alpn),
        suites = ja4_hash(&first.text),
        second = ja4_hash(&second.text),
    )
}

fn ja4_version(hello: &ClientHello) -> &'static str {
    let offered = hello.supported_versions.iter().filter(|version| !version.is_grease());
    let highest = offered.max_by_key(|version| version.of_tls());
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
    let mut digits = hex(&Sha256::digest(list));
    digits.truncate(JA4_HASH);
    digits
}

/// The text that a digest is taken of. Every session has several: written in one piece, without a string a number.
struct List {
    text: String,
}

impl List {
    /// Room for the longest that current browsers make.
    const ROOM: usize = 512;

    fn new() -> Self {
        Self { text: String::with_capacity(Self::ROOM) }
    }

    /// Adds a decimal number.
    fn number(&mut self, value: u16) {
        self.text.push_str(itoa::Buffer::new().format(value));
    }

    /// Adds decimal numbers with `-` between them.
    fn decimal(&mut self, values: impl IntoIterator<Item = u16>) {
        for (index, value) in values.into_iter().filter(|value| !is_grease(*value)).enumerate() {
            if index > 0 {
                self.text.push('-');
            }
            self.number(value);
        }
    }

    /// Adds numbers of four hexadecimal digits with `,` between them.
    fn four_digits(&mut self, values: impl IntoIterator<Item = u16>) {
        let values = values.into_iter().filter(|value| !is_grease(*value));
        for (index, value) in values.enumerate() {
            if index > 0 {
                self.text.push(',');
            }
            let digit = |shift: u16| char::from_digit(u32::from(value >> shift & 15), 16).unwrap_or('0');
            self.text.extend([digit(12), digit(8), digit(4), digit(0)]);
        }
    }
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
