//! RFC 9325 (BCP 195) with RFC 8996, RFC 7465, RFC 9155 and RFC 10015: what the IETF recommends for TLS.
//!
//! Severity follows the words: MUST NOT is high where it breaks confidentiality today and medium where it takes away
//! forward secrecy; SHOULD NOT is low. What is only offered weighs one step less, and what almost every general-purpose
//! client still offers for old servers (CBC) is not reported while it is not chosen.

use super::Severity::{Critical, High, Info, Low, Medium};
use super::tls::{CipherWeakness, Grade, TlsPolicy};
use crate::protocol::tls::{NamedGroup, TlsVersion};

pub(super) static RFC_10015: TlsPolicy = TlsPolicy {
    name: "rfc9325+rfc10015",
    version: "RFC 9325, RFC 10015",
    date: "2026-07",
    min_version: TlsVersion::TLS_1_2,
    ciphers: &[
        (
            CipherWeakness::NullEncryption,
            Grade { negotiated: Critical, offered: Some(Low), reference: "RFC 9325 §4.1" },
        ),
        (
            CipherWeakness::Anonymous,
            Grade { negotiated: Critical, offered: Some(Low), reference: "RFC 9325 §4.1" },
        ),
        (
            CipherWeakness::Export,
            Grade { negotiated: Critical, offered: Some(Low), reference: "RFC 9325 §4.1" },
        ),
        (CipherWeakness::Des, Grade { negotiated: High, offered: Some(Low), reference: "RFC 9325 §4.1" }),
        (CipherWeakness::Rc4, Grade { negotiated: High, offered: Some(Low), reference: "RFC 7465" }),
        (
            CipherWeakness::SmallBlock,
            Grade { negotiated: High, offered: Some(Low), reference: "RFC 9325 §4.1" },
        ),
        (
            CipherWeakness::ShortKey,
            Grade { negotiated: High, offered: Some(Low), reference: "RFC 9325 §4.1" },
        ),
        (
            CipherWeakness::Obsolete,
            Grade { negotiated: Medium, offered: Some(Info), reference: "RFC 9325 §4.2" },
        ),
        (
            CipherWeakness::StaticRsa,
            Grade { negotiated: Medium, offered: Some(Info), reference: "RFC 10015" },
        ),
        (CipherWeakness::StaticDh, Grade { negotiated: Medium, offered: Some(Info), reference: "RFC 10015" }),
        (
            CipherWeakness::FiniteFieldDhe,
            Grade { negotiated: Medium, offered: Some(Info), reference: "RFC 10015" },
        ),
        (
            CipherWeakness::StaticEcdh,
            Grade { negotiated: Medium, offered: Some(Info), reference: "RFC 10015" },
        ),
        (CipherWeakness::PskOnly, Grade { negotiated: Low, offered: None, reference: "RFC 9325 §4.1" }),
        (CipherWeakness::Seed, Grade { negotiated: Low, offered: None, reference: "RFC 9325 §4.2" }),
        (CipherWeakness::Cbc, Grade { negotiated: Info, offered: None, reference: "RFC 9325 §4.2" }),
        (CipherWeakness::ShortTag, Grade { negotiated: Info, offered: None, reference: "RFC 9325 §4.2" }),
    ],
    // secp224r1 and larger curves are accepted; RFC 8422 §5.1.1 removed the others.
    weak_groups: &[
        NamedGroup(1),
        NamedGroup(2),
        NamedGroup(3),
        NamedGroup(4),
        NamedGroup(5),
        NamedGroup(15),
        NamedGroup(16),
        NamedGroup(17),
        NamedGroup(18),
        NamedGroup(19),
    ],
    min_dh_bits: 2048,
    min_rsa_bits: 2048,
    min_ec_bits: 224,
    keys_reference: "RFC 9325 §4.5",
};
