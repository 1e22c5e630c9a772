//! What counts as weak in TLS: a published recommendation as a table.
//!
//! A suite, a group or a signature is first described (what is wrong with it, if anything: [`CipherWeakness`]), then a
//! [`TlsPolicy`] says how bad that is. The description is a fact of the registry, the grade is an opinion with a
//! version and a date. Another recommendation is another file with another `TlsPolicy`.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::Severity;
use crate::protocol::tls::{
    Authentication, CipherMode, CipherSuite, Encryption, KeyExchange, NamedGroup, SignatureHash,
    SignatureScheme, TlsVersion,
};

/// What is wrong with a cipher suite; the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CipherWeakness {
    /// No encryption.
    NullEncryption,
    /// Nobody is authenticated.
    Anonymous,
    /// Key lengths of the export rules of the 1990s.
    Export,
    /// DES with 56 bits, RC2.
    Des,
    /// RC4 (RFC 7465).
    Rc4,
    /// Triple DES, IDEA, GOST 28147-89 and Magma: blocks of 64 bits (CVE-2016-2183).
    SmallBlock,
    /// Keys below 128 bits that none of the above names.
    ShortKey,
    /// Key exchanges that never became, or no longer are, part of the common stock: Kerberos, SRP, GOST, Fortezza.
    Obsolete,
    /// RSA key transport, and PSK mixed with it: no forward secrecy, and an oracle (ROBOT).
    StaticRsa,
    /// Diffie-Hellman over a finite field with a certified key.
    StaticDh,
    /// Ephemeral Diffie-Hellman over a finite field (Raccoon, groups that cannot be negotiated).
    FiniteFieldDhe,
    /// Elliptic-curve Diffie-Hellman with a certified key: no forward secrecy.
    StaticEcdh,
    /// A PSK alone: no forward secrecy.
    PskOnly,
    /// SEED: a block cipher that has left use.
    Seed,
    /// CBC, whose MAC is computed before encryption (Lucky Thirteen).
    Cbc,
    /// A tag of 8 bytes.
    ShortTag,
}

impl CipherWeakness {
    /// A few words for people.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::NullEncryption => "no encryption",
            Self::Anonymous => "no authentication",
            Self::Export => "export-grade keys",
            Self::Des => "DES or RC2",
            Self::Rc4 => "RC4",
            Self::SmallBlock => "64-bit blocks",
            Self::ShortKey => "a key below 128 bits",
            Self::Obsolete => "an uncommon or obsolete key exchange",
            Self::StaticRsa => "RSA key transport, no forward secrecy",
            Self::StaticDh => "static Diffie-Hellman, no forward secrecy",
            Self::FiniteFieldDhe => "finite-field Diffie-Hellman",
            Self::StaticEcdh => "static ECDH, no forward secrecy",
            Self::PskOnly => "a pre-shared key without forward secrecy",
            Self::Seed => "SEED",
            Self::Cbc => "CBC with MAC-then-encrypt",
            Self::ShortTag => "an authentication tag of 8 bytes",
        }
    }

    /// What is wrong with `suite`, the worst first; empty for a good one, for GREASE, for a signalling value and for
    /// code points that nobody has assigned.
    #[must_use]
    pub fn of(suite: CipherSuite) -> &'static [Self] {
        // Every ClientHello asks for dozens of suites, whose names are taken apart once.
        static TABLE: LazyLock<HashMap<u16, Vec<CipherWeakness>, foldhash::fast::RandomState>> =
            LazyLock::new(|| {
                let described =
                    (0..=u16::MAX).map(|id| (id, CipherWeakness::describe_suite(CipherSuite(id))));
                described.filter(|(_, weaknesses)| !weaknesses.is_empty()).collect()
            });
        TABLE.get(&suite.0).map(Vec::as_slice).unwrap_or_default()
    }

    fn describe_suite(suite: CipherSuite) -> Vec<Self> {
        let Some(known) = suite.properties() else { return Vec::new() };
        let mut found = Vec::new();
        if known.encryption == Encryption::Null {
            found.push(Self::NullEncryption);
        }
        if known.authentication == Authentication::Anonymous {
            found.push(Self::Anonymous);
        }
        if known.export {
            found.push(Self::Export);
        }
        match known.encryption {
            Encryption::Des | Encryption::Rc2 => found.push(Self::Des),
            Encryption::Rc4 => found.push(Self::Rc4),
            Encryption::TripleDes | Encryption::Idea | Encryption::Gost28147 | Encryption::Magma => {
                found.push(Self::SmallBlock);
            }
            Encryption::Seed => found.push(Self::Seed),
            Encryption::Null => {}
            _ if known.key_bits < 128 => found.push(Self::ShortKey),
            _ => {}
        }
        match known.key_exchange {
            KeyExchange::Rsa => found.push(Self::StaticRsa),
            KeyExchange::Dh => found.push(Self::StaticDh),
            // Anonymity is the graver fault of an ephemeral exchange that has it.
            KeyExchange::Dhe if known.authentication != Authentication::Anonymous => {
                found.push(Self::FiniteFieldDhe);
            }
            KeyExchange::Ecdh => found.push(Self::StaticEcdh),
            KeyExchange::Psk => found.push(Self::PskOnly),
            KeyExchange::Krb5 | KeyExchange::Srp | KeyExchange::Gost | KeyExchange::Fortezza => {
                found.push(Self::Obsolete);
            }
            _ => {}
        }
        match known.mode {
            CipherMode::Cbc => found.push(Self::Cbc),
            CipherMode::AeadShortTag => found.push(Self::ShortTag),
            _ => {}
        }
        found.sort();
        found
    }
}

/// How a recommendation grades something that it discourages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grade {
    /// When it was negotiated.
    pub negotiated: Severity,
    /// When the client offered it and the server chose something else; `None`: not worth a word.
    pub offered: Option<Severity>,
    /// Where the recommendation says so.
    pub reference: &'static str,
}

/// A published recommendation: what is weak, how bad, and who says so.
#[derive(Debug)]
pub struct TlsPolicy {
    /// Its identifier.
    pub name: &'static str,
    /// The version of the publication.
    pub version: &'static str,
    /// When that was published, as `YYYY-MM`.
    pub date: &'static str,
    /// Versions below it are discouraged.
    pub min_version: TlsVersion,
    /// Grades of the weaknesses of suites; what is absent is accepted.
    pub ciphers: &'static [(CipherWeakness, Grade)],
    /// Groups that are too weak.
    pub weak_groups: &'static [NamedGroup],
    /// Bits of a finite-field group below which it is too small.
    pub min_dh_bits: u32,
    /// Bits of an RSA key below which it is too short.
    pub min_rsa_bits: u32,
    /// Bits of an elliptic-curve key below which it is too short.
    pub min_ec_bits: u32,
    /// Where the recommendation speaks of keys and groups.
    pub keys_reference: &'static str,
}

impl TlsPolicy {
    /// The policy that holds when nobody chooses another: RFC 9325 as RFC 10015 updates it.
    #[must_use]
    pub fn recommended() -> &'static Self {
        &super::rfc10015::RFC_10015
    }

    /// What this recommendation has against `suite`, the gravest first.
    #[must_use]
    pub fn judge_cipher(&self, suite: CipherSuite) -> Vec<(CipherWeakness, Grade)> {
        let mut graded: Vec<(CipherWeakness, Grade)> = CipherWeakness::of(suite)
            .iter()
            .filter_map(|weakness| {
                let (_, grade) = self.ciphers.iter().find(|(known, _)| known == weakness)?;
                Some((*weakness, *grade))
            })
            .collect();
        graded.sort_by_key(|(weakness, grade)| (std::cmp::Reverse(grade.negotiated), *weakness));
        graded
    }

    /// How bad it is that a client offers `suite`, the gravest of it; `None`: not worth a word.
    #[must_use]
    pub fn judge_offer(&self, suite: CipherSuite) -> Option<Severity> {
        let grade = |weakness: &CipherWeakness| self.ciphers.iter().find(|(known, _)| known == weakness);
        CipherWeakness::of(suite).iter().filter_map(|weakness| grade(weakness)?.1.offered).max()
    }

    /// Whether `version` is one that this recommendation discourages; DTLS and unknown versions are not judged here.
    #[must_use]
    pub fn discourages_version(&self, version: TlsVersion) -> bool {
        matches!(version, TlsVersion::SSL_2 | TlsVersion::SSL_3 | TlsVersion::TLS_1_0 | TlsVersion::TLS_1_1)
            && version < self.min_version
    }

    /// Whether `group` is too weak.
    #[must_use]
    pub fn discourages_group(&self, group: NamedGroup) -> bool {
        self.weak_groups.contains(&group)
    }

    /// The hash that makes `scheme` weak, if one does: `MD5` or `SHA-1` (RFC 9155).
    #[must_use]
    pub fn weak_hash(&self, scheme: SignatureScheme) -> Option<&'static str> {
        match scheme.hash()? {
            SignatureHash::Md5 => Some("MD5"),
            SignatureHash::Sha1 => Some("SHA-1"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    /// How the recommendation judges every suite that IANA has assigned, to be read by people.
    #[test]
    fn every_suite_is_judged() {
        let policy = TlsPolicy::recommended();
        let mut table = String::new();
        for id in 0..=u16::MAX {
            let Some(name) = CipherSuite(id).name() else { continue };
            let judged = policy.judge_cipher(CipherSuite(id));
            let words: Vec<String> =
                judged.iter().map(|(weakness, grade)| format!("{weakness:?} {}", grade.negotiated)).collect();
            let words = if words.is_empty() { "accepted".to_owned() } else { words.join(", ") };
            writeln!(table, "{id:04x} {name}: {words}").unwrap();
        }
        insta::assert_snapshot!(table);
    }

    #[test]
    fn signalling_values_and_grease_are_no_ciphers() {
        for value in [0x00ff, 0x5600, 0x0a0a, 0xfafa, 0xfffe] {
            assert!(CipherWeakness::of(CipherSuite(value)).is_empty(), "{value:#06x}");
        }
    }

    #[test]
    fn versions_are_held_against_the_minimum() {
        let policy = TlsPolicy::recommended();
        for old in [TlsVersion::SSL_2, TlsVersion::SSL_3, TlsVersion::TLS_1_0, TlsVersion::TLS_1_1] {
            assert!(policy.discourages_version(old), "{old}");
        }
        for fine in [TlsVersion::TLS_1_2, TlsVersion::TLS_1_3, TlsVersion(0x7f1c), TlsVersion(0xfeff)] {
            assert!(!policy.discourages_version(fine), "{fine}");
        }
    }

    #[test]
    fn hashes_of_signatures_are_recognised() {
        let policy = TlsPolicy::recommended();
        assert_eq!(policy.weak_hash(SignatureScheme(0x0101)), Some("MD5"));
        assert_eq!(policy.weak_hash(SignatureScheme(0x0203)), Some("SHA-1"));
        for fine in [0x0401, 0x0403, 0x0804, 0x0807, 0x0201 + 0x0200] {
            assert_eq!(policy.weak_hash(SignatureScheme(fine)), None);
        }
    }
}
