//! X.509 certificates (RFC 5280) read with x509-parser, and their names as text (RFC 4514).
//!
//! Nothing is verified here: a signature, a chain or a date is for rules to judge.

use std::fmt::Write as _;
use std::net::IpAddr;

use sha2::{Digest as _, Sha256};
use x509_parser::asn1_rs::{Oid, Tag};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::x509::{AttributeTypeAndValue, SubjectPublicKeyInfo, X509Name};

use super::wire::bits;
use super::{ParsedCertificate, PublicKey};
use crate::bytes::hex;
use crate::time::Timestamp;

/// Alternative names that are kept.
const MAX_NAMES: usize = 256;

/// Reads a certificate; `None` for bytes that are none. Bytes after it are let pass.
pub(super) fn parse(der: &[u8]) -> Option<ParsedCertificate> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let validity = certificate.validity();
    let subject = certificate.subject();
    let issuer = certificate.issuer();
    let is_ca =
        certificate.basic_constraints().ok().flatten().is_some_and(|constraints| constraints.value.ca);
    Some(ParsedCertificate {
        subject: name_text(subject),
        issuer: name_text(issuer),
        serial: serial(certificate.raw_serial()),
        not_before: Timestamp::new(validity.not_before.timestamp(), 0),
        not_after: Timestamp::new(validity.not_after.timestamp(), 0),
        san: alternative_names(&certificate),
        spki_sha256: Sha256::digest(certificate.public_key().raw).into(),
        public_key: public_key(certificate.public_key()),
        signature_algorithm: signature_algorithm(&certificate.signature_algorithm.algorithm),
        is_ca,
        self_issued: subject.as_raw() == issuer.as_raw(),
    })
}

/// The number in lower-case hex, without leading zeros.
fn serial(raw: &[u8]) -> String {
    let digits = hex(raw);
    let number = digits.trim_start_matches('0');
    if number.is_empty() { "0".to_owned() } else { number.to_owned() }
}

fn alternative_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
        _ => None,
    };
    names.value.general_names.iter().filter_map(text).take(MAX_NAMES).collect()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    four.or_else(|_longer| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

fn public_key(info: &SubjectPublicKeyInfo<'_>) -> PublicKey {
    let identifier = info.algorithm.algorithm.to_id_string();
    let known = KEYS.iter().find(|(id, ..)| *id == identifier);
    let mut key = PublicKey {
        algorithm: known.map_or(identifier.clone(), |(_, name, _)| (*name).to_owned()),
        bits: known.and_then(|(.., bits)| *bits),
        curve: None,
    };
    match info.parsed() {
        Ok(x509_parser::public_key::PublicKey::RSA(rsa)) => key.bits = Some(bits(rsa.modulus)),
        Ok(x509_parser::public_key::PublicKey::EC(point)) => {
            let curve = info.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
            let curve = curve.map(|oid| oid.to_id_string());
            let named = curve.as_ref().and_then(|id| CURVES.iter().find(|(known, ..)| known == id));
            key.bits = named
                .map(|(.., bits)| *bits)
                .or_else(|| u32::try_from(point.key_size()).ok().filter(|bits| *bits > 0));
            key.curve = named.map(|(_, name, _)| (*name).to_owned()).or(curve);
        }
        // The size of a DSA key is that of its prime, the first of the parameters.
        Ok(x509_parser::public_key::PublicKey::DSA(_)) => {
            key.bits = info.algorithm.parameters.as_ref().and_then(|any| {
                let (_, prime) = x509_parser::asn1_rs::Integer::from_der(any.data).ok()?;
                Some(bits(prime.as_ref()))
            });
        }
        _ => {}
    }
    key
}

/// Kinds of keys: identifier, name, and bits where the kind fixes them.
const KEYS: &[(&str, &str, Option<u32>)] = &[
    ("1.2.840.113549.1.1.1", "RSA", None),
    ("1.2.840.113549.1.1.10", "RSA-PSS", None),
    ("1.2.840.10045.2.1", "EC", None),
    ("1.2.840.10040.4.1", "DSA", None),
    ("1.3.101.110", "X25519", Some(256)),
    ("1.3.101.111", "X448", Some(448)),
    ("1.3.101.112", "Ed25519", Some(256)),
    ("1.3.101.113", "Ed448", Some(456)),
    ("1.2.643.2.2.19", "GOST R 34.10-2001", Some(256)),
    ("1.2.643.7.1.1.1.1", "GOST R 34.10-2012", Some(256)),
    ("1.2.643.7.1.1.1.2", "GOST R 34.10-2012", Some(512)),
    ("2.16.840.1.101.3.4.3.17", "ML-DSA-44", None),
    ("2.16.840.1.101.3.4.3.18", "ML-DSA-65", None),
    ("2.16.840.1.101.3.4.3.19", "ML-DSA-87", None),
];

/// Curves: identifier, TLS's name, bits of the field.
const CURVES: &[(&str, &str, u32)] = &[
    ("1.2.840.10045.3.1.1", "secp192r1", 192),
    ("1.3.132.0.33", "secp224r1", 224),
    ("1.2.840.10045.3.1.7", "secp256r1", 256),
    ("1.3.132.0.34", "secp384r1", 384),
    ("1.3.132.0.35", "secp521r1", 521),
    ("1.3.132.0.10", "secp256k1", 256),
    ("1.3.132.0.8", "secp160r1", 160),
    ("1.3.36.3.3.2.8.1.1.7", "brainpoolP256r1", 256),
    ("1.3.36.3.3.2.8.1.1.11", "brainpoolP384r1", 384),
    ("1.3.36.3.3.2.8.1.1.13", "brainpoolP512r1", 512),
    ("1.2.156.10197.1.301", "curveSM2", 256),
];

/// OpenSSL's long name, or the identifier.
fn signature_algorithm(oid: &Oid<'_>) -> String {
    const NAMES: &[(&str, &str)] = &[
        ("1.2.840.113549.1.1.2", "md2WithRSAEncryption"),
        ("1.2.840.113549.1.1.4", "md5WithRSAEncryption"),
        ("1.2.840.113549.1.1.5", "sha1WithRSAEncryption"),
        ("1.2.840.113549.1.1.10", "rsassaPss"),
        ("1.2.840.113549.1.1.11", "sha256WithRSAEncryption"),
        ("1.2.840.113549.1.1.12", "sha384WithRSAEncryption"),
        ("1.2.840.113549.1.1.13", "sha512WithRSAEncryption"),
        ("1.2.840.113549.1.1.14", "sha224WithRSAEncryption"),
        ("1.3.14.3.2.29", "sha1WithRSA"),
        ("1.2.840.10045.4.1", "ecdsa-with-SHA1"),
        ("1.2.840.10045.4.3.1", "ecdsa-with-SHA224"),
        ("1.2.840.10045.4.3.2", "ecdsa-with-SHA256"),
        ("1.2.840.10045.4.3.3", "ecdsa-with-SHA384"),
        ("1.2.840.10045.4.3.4", "ecdsa-with-SHA512"),
        ("1.2.840.10040.4.3", "dsaWithSHA1"),
        ("2.16.840.1.101.3.4.3.1", "dsa_with_SHA224"),
        ("2.16.840.1.101.3.4.3.2", "dsa_with_SHA256"),
        ("1.3.101.112", "ED25519"),
        ("1.3.101.113", "ED448"),
        ("1.2.156.10197.1.501", "SM2-with-SM3"),
        ("1.2.643.2.2.3", "GOST R 34.11-94 with GOST R 34.10-2001"),
        ("1.2.643.7.1.1.3.2", "GOST R 34.10-2012 with GOST R 34.11-2012 (256 bit)"),
        ("1.2.643.7.1.1.3.3", "GOST R 34.10-2012 with GOST R 34.11-2012 (512 bit)"),
        ("2.16.840.1.101.3.4.3.17", "ML-DSA-44"),
        ("2.16.840.1.101.3.4.3.18", "ML-DSA-65"),
        ("2.16.840.1.101.3.4.3.19", "ML-DSA-87"),
    ];
    let identifier = oid.to_id_string();
    let named = NAMES.iter().find(|(known, _)| *known == identifier);
    named.map_or(identifier, |(_, name)| (*name).to_owned())
}

/// A distinguished name as RFC 4514 writes it: the most specific part first.
pub(super) fn name_text(name: &X509Name<'_>) -> String {
    let parts: Vec<_> = name.iter().collect();
    let mut text = String::new();
    for (index, part) in parts.into_iter().rev().enumerate() {
        if index > 0 {
            text.push(',');
        }
        for (index, attribute) in part.iter().enumerate() {
            if index > 0 {
                text.push('+');
            }
            let identifier = attribute.attr_type().to_id_string();
            let named = ATTRIBUTES.iter().find(|(known, _)| *known == identifier);
            text.push_str(named.map_or(identifier.as_str(), |(_, name)| name));
            text.push('=');
            push_value(&mut text, attribute);
        }
    }
    text
}

/// The short names of RFC 4514 §3, and of attributes that are common in certificates.
const ATTRIBUTES: &[(&str, &str)] = &[
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "title"),
    ("2.5.4.15", "businessCategory"),
    ("2.5.4.17", "postalCode"),
    ("2.5.4.42", "GN"),
    ("2.5.4.97", "organizationIdentifier"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
    ("1.3.6.1.4.1.311.60.2.1.1", "jurisdictionL"),
    ("1.3.6.1.4.1.311.60.2.1.2", "jurisdictionST"),
    ("1.3.6.1.4.1.311.60.2.1.3", "jurisdictionC"),
];

/// The value, escaped as in RFC 4514 §2.4; what is no string, in hexadecimal.
fn push_value(text: &mut String, attribute: &AttributeTypeAndValue<'_>) {
    let bytes = attribute.as_slice();
    let value = match attribute.attr_value().tag() {
        Tag::BmpString => {
            let (pairs, _odd) = bytes.as_chunks::<2>();
            let units: Vec<u16> = pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
            String::from_utf16_lossy(&units)
        }
        Tag::T61String => bytes.iter().copied().map(char::from).collect(),
        Tag::Utf8String
        | Tag::PrintableString
        | Tag::Ia5String
        | Tag::NumericString
        | Tag::VisibleString
        | Tag::GeneralString => String::from_utf8_lossy(bytes).into_owned(),
        _ => {
            text.push('#');
            text.push_str(&hex(bytes));
            return;
        }
    };
    let last = value.chars().count().saturating_sub(1);
    for (index, character) in value.chars().enumerate() {
        match character {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => text.extend(['\\', character]),
            '#' | ' ' if index == 0 => text.extend(['\\', character]),
            ' ' if index == last => text.push_str("\\ "),
            control if control.is_control() => {
                let mut utf8 = [0; 4];
                for byte in control.encode_utf8(&mut utf8).bytes() {
                    // Writing to a string does not fail.
                    let _ = write!(text, "\\{byte:02x}");
                }
            }
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `SEQUENCE { SET { SEQUENCE { 2.5.4.3, UTF8String value } } }`
    fn common_name(value: &[u8]) -> Vec<u8> {
        let len = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap();
        let wrap = |tag: u8, inner: &[u8]| [&[tag, len(inner)], inner].concat();
        let attribute = [&[6, 3, 0x55, 4, 3][..], &wrap(0x0c, value)].concat();
        wrap(0x30, &wrap(0x31, &wrap(0x30, &attribute)))
    }

    #[test]
    fn names_are_escaped() {
        let der = common_name("#a, b+c\n ".as_bytes());
        let (_, name) = X509Name::from_der(&der).unwrap();
        assert_eq!(name_text(&name), "CN=\\#a\\, b\\+c\\0a\\ ");
    }

    #[test]
    fn a_serial_is_a_number() {
        assert_eq!((serial(&[0, 0xc7, 1]).as_str(), serial(&[0]).as_str()), ("c701", "0"));
        assert_eq!(serial(&[1, 2]), "102");
    }

    #[test]
    fn addresses_have_four_or_sixteen_bytes() {
        assert_eq!(address(&[192, 0, 2, 1]).map(|address| address.to_string()), Some("192.0.2.1".into()));
        assert_eq!(address(&[1, 2, 3]), None);
    }

    proptest! {
        #[test]
        fn reading_never_panics(der in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&der);
        }
    }
}
