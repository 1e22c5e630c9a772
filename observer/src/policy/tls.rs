//! What counts as weak in TLS: a published recommendation as a table.
//!
//! A suite, a group or a signature is first described (what is wrong with it, if anything: [`CipherWeakness`]), then a
//! [`TlsPolicy`] says how bad that is. The description is a fact of the registry, the grade is an opinion with a
//! version, a date and a source. Another recommendation is another file in `recommendations/`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::LazyLock;

use serde::{Deserialize, Deserializer};

use super::Severity;
use crate::protocol::tls::{
    Authentication, CipherMode, CipherSuite, Encryption, KeyExchange, NamedGroup, SignatureHash,
    SignatureScheme, TlsVersion,
};

/// What is wrong with a cipher suite; the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, Deserialize)]
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
    /// Nothing of the above, but a recommendation that lists suites does not list it. Never found by [`Self::of`].
    Unlisted,
}

impl CipherWeakness {
    /// Every weakness that a suite may have, the worst first.
    pub const ALL: [Self; 16] = [
        Self::NullEncryption,
        Self::Anonymous,
        Self::Export,
        Self::Des,
        Self::Rc4,
        Self::SmallBlock,
        Self::ShortKey,
        Self::Obsolete,
        Self::StaticRsa,
        Self::StaticDh,
        Self::FiniteFieldDhe,
        Self::StaticEcdh,
        Self::PskOnly,
        Self::Seed,
        Self::Cbc,
        Self::ShortTag,
    ];

    /// Its place in a set.
    fn bit(self) -> u32 {
        1 << (self as u32)
    }

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
            Self::Unlisted => "not among the suites that the recommendation lists",
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
                    CipherSuite::named().map(|suite| (suite.0, CipherWeakness::describe_suite(suite)));
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

/// A set of weaknesses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weaknesses(u32);

impl Weaknesses {
    /// Whether the set holds this one.
    #[must_use]
    pub fn contains(self, weakness: CipherWeakness) -> bool {
        self.0 & weakness.bit() != 0
    }

    /// What either set holds.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl FromIterator<CipherWeakness> for Weaknesses {
    fn from_iter<I: IntoIterator<Item = CipherWeakness>>(weaknesses: I) -> Self {
        Self(weaknesses.into_iter().fold(0, |set, weakness| set | weakness.bit()))
    }
}

/// How a recommendation grades something that it discourages.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grade {
    /// When it was negotiated.
    pub negotiated: Severity,
    /// When the client offered it and the server chose something else; `None`: not worth a word.
    #[serde(default)]
    pub offered: Option<Severity>,
    /// Where the recommendation says so.
    pub reference: String,
}

/// A published recommendation: what is weak, how bad, and who says so. Each is a file in `policy/recommendations/`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsPolicy {
    /// Its identifier: what `--tls-policy` takes.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// The version of the publication.
    pub version: String,
    /// When that was published, as `YYYY-MM` or `YYYY-MM-DD`; `undated` where it does not say.
    pub date: String,
    /// Where it can be read.
    pub source: String,
    /// Versions below it are discouraged.
    #[serde(deserialize_with = "version")]
    pub min_version: TlsVersion,
    /// Grades of the weaknesses of suites; what is absent is accepted.
    pub ciphers: BTreeMap<CipherWeakness, Grade>,
    /// The suites that it names, where it has such a list.
    #[serde(default)]
    pub suites: Option<NamedSuites>,
    /// What it says of keys and groups.
    pub keys: Keys,
}

/// The suites that a recommendation names.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedSuites {
    /// Those.
    #[serde(deserialize_with = "suites")]
    pub accepted: HashSet<u16, foldhash::fast::RandomState>,
    /// The grade of all others against which it has nothing else.
    pub other: Grade,
}

/// What a recommendation says of keys and groups.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// Bits of a finite-field group below which it is too small.
    pub min_dh_bits: u32,
    /// Bits of an RSA key below which it is too short.
    pub min_rsa_bits: u32,
    /// Bits of an elliptic-curve key below which it is too short.
    pub min_ec_bits: u32,
    /// Hashes that a signature must not rest on: `MD5`, `SHA-1`.
    #[serde(deserialize_with = "hashes")]
    pub weak_hashes: Vec<String>,
    /// Groups that are too weak, by name.
    #[serde(deserialize_with = "groups")]
    pub weak_groups: Vec<NamedGroup>,
    /// Where it says so.
    pub reference: String,
}

/// The files, the one that holds when nobody chooses first.
const FILES: &[&str] = &[
    include_str!("recommendations/rfc9325-rfc10015.toml"),
    include_str!("recommendations/rfc9325.toml"),
    include_str!("recommendations/mozilla-6.0-intermediate.toml"),
    include_str!("recommendations/nist-sp800-52r2.toml"),
    include_str!("recommendations/mastg-0218.toml"),
];

fn version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TlsVersion, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "1.2" => Ok(TlsVersion::TLS_1_2),
        "1.3" => Ok(TlsVersion::TLS_1_3),
        other => Err(serde::de::Error::custom(format!("{other} is no version that anybody asks for"))),
    }
}

fn suites<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<HashSet<u16, foldhash::fast::RandomState>, D::Error> {
    let suites = CipherSuite::named().filter_map(|suite| Some((suite.name()?, suite.0)));
    named(deserializer, "suite", suites)
}

fn groups<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<NamedGroup>, D::Error> {
    let groups = NamedGroup::named().filter_map(|group| Some((group.name()?, group)));
    named(deserializer, "group", groups)
}

fn hashes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    named(deserializer, "weak hash", ["MD5", "SHA-1"].map(|name| (name, name.to_owned())).into_iter())
}

/// Reads a list of names; one that `known` lacks is an error.
fn named<'de, D: Deserializer<'de>, T: Clone, C: FromIterator<T>>(
    deserializer: D,
    what: &str,
    known: impl Iterator<Item = (&'static str, T)>,
) -> Result<C, D::Error> {
    let known: HashMap<&str, T> = known.collect();
    let names = Vec::<String>::deserialize(deserializer)?;
    let find = |name: &String| {
        let missing = || serde::de::Error::custom(format!("no {what} is called {name}"));
        known.get(name.as_str()).cloned().ok_or_else(missing)
    };
    names.iter().map(find).collect()
}

impl TlsPolicy {
    /// Every recommendation, the one that holds when nobody chooses first.
    #[must_use]
    pub fn all() -> &'static [Self] {
        static ALL: LazyLock<Vec<TlsPolicy>> = LazyLock::new(|| {
            let read =
                |text: &&str| toml::from_str(text).expect("a file of this program, which a test reads");
            FILES.iter().map(read).collect()
        });
        &ALL
    }

    /// The recommendation called `name`.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        Self::all().iter().find(|policy| policy.name == name)
    }

    /// The recommendation that holds when nobody chooses another: RFC 9325 as RFC 10015 updates it.
    #[must_use]
    pub fn recommended() -> &'static Self {
        Self::all().first().expect("the list is not empty")
    }

    /// What this recommendation has against `suite`, the gravest first.
    #[must_use]
    pub fn judge_cipher(&self, suite: CipherSuite) -> Vec<(CipherWeakness, &Grade)> {
        let mut graded: Vec<(CipherWeakness, &Grade)> = CipherWeakness::of(suite)
            .iter()
            .filter_map(|weakness| Some((*weakness, self.ciphers.get(weakness)?)))
            .collect();
        graded.sort_by_key(|(weakness, grade)| (std::cmp::Reverse(grade.negotiated), *weakness));
        let unnamed = |named: &&NamedSuites| suite.name().is_some() && !named.accepted.contains(&suite.0);
        if let Some(named) = self.suites.as_ref().filter(unnamed)
            && graded.is_empty()
        {
            graded.push((CipherWeakness::Unlisted, &named.other));
        }
        graded
    }

    /// How bad it is that a client offers `suite`, the gravest of it; `None`: not worth a word.
    #[must_use]
    pub fn judge_offer(&self, suite: CipherSuite) -> Option<Severity> {
        CipherWeakness::of(suite).iter().filter_map(|weakness| self.ciphers.get(weakness)?.offered).max()
    }

    /// Whether `version` is one that this recommendation discourages, DTLS's by the version of TLS that it is made after;
    /// unknown versions are not judged.
    #[must_use]
    pub fn discourages_version(&self, version: TlsVersion) -> bool {
        let version = version.of_tls();
        matches!(version, TlsVersion::SSL_2 | TlsVersion::SSL_3 | TlsVersion::TLS_1_0 | TlsVersion::TLS_1_1)
            && version < self.min_version
    }

    /// Whether `group` is too weak.
    #[must_use]
    pub fn discourages_group(&self, group: NamedGroup) -> bool {
        self.keys.weak_groups.contains(&group)
    }

    /// The hash that makes `scheme` weak, if one does: `MD5` or `SHA-1` (RFC 9155).
    #[must_use]
    pub fn weak_hash(&self, scheme: SignatureScheme) -> Option<&'static str> {
        let hash = match scheme.hash()? {
            SignatureHash::Md5 => "MD5",
            SignatureHash::Sha1 => "SHA-1",
            _ => return None,
        };
        self.discourages_hash(hash).then_some(hash)
    }

    /// Whether a signature must not rest on `hash`.
    #[must_use]
    pub fn discourages_hash(&self, hash: &str) -> bool {
        self.keys.weak_hashes.iter().any(|weak| weak == hash)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::protocol::tls::Recommended;

    /// How each recommendation judges every suite that IANA has assigned, to be read by people.
    #[test]
    fn every_suite_is_judged() {
        for policy in TlsPolicy::all() {
            let mut table = String::new();
            for id in 0..=u16::MAX {
                let Some(name) = CipherSuite(id).name() else { continue };
                let judged = policy.judge_cipher(CipherSuite(id));
                let words: Vec<String> = judged
                    .iter()
                    .map(|(weakness, grade)| format!("{weakness:?} {}", grade.negotiated))
                    .collect();
                let words = if words.is_empty() { "accepted".to_owned() } else { words.join(", ") };
                writeln!(table, "{id:04x} {name}: {words}").unwrap();
            }
            insta::assert_snapshot!(policy.name.as_str(), table);
        }
    }

    #[test]
    fn every_file_says_what_it_is() {
        let names: Vec<&str> = TlsPolicy::all().iter().map(|policy| policy.name.as_str()).collect();
        let expected =
            ["rfc9325+rfc10015", "rfc9325", "mozilla-6.0-intermediate", "nist-sp800-52r2", "mastg-0218"];
        assert_eq!(names, expected);
        for policy in TlsPolicy::all() {
            assert!(policy.source.starts_with("https://"), "{}", policy.name);
            let digits = policy.date.starts_with("20") && policy.date.len() >= 7;
            assert!(digits || policy.date == "undated", "{}", policy.name);
        }
    }

    #[test]
    fn a_list_of_suites_leaves_the_others_out() {
        let judged = |policy: &str, suite: u16| {
            let policy = TlsPolicy::find(policy).unwrap();
            policy.judge_cipher(CipherSuite(suite)).first().map(|(weakness, _)| *weakness)
        };
        // TLS_CHACHA20_POLY1305_SHA256 and TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA.
        assert_eq!(judged("nist-sp800-52r2", 0x1303), Some(CipherWeakness::Unlisted));
        assert_eq!(judged("mozilla-6.0-intermediate", 0x1303), None);
        assert_eq!(judged("nist-sp800-52r2", 0xc013), None);
        assert_eq!(judged("mozilla-6.0-intermediate", 0xc013), Some(CipherWeakness::Cbc));
        // What nobody has assigned is no suite that a list could name.
        assert_eq!(judged("nist-sp800-52r2", 0xeeee), None);
    }

    /// IANA's column and the description of suites were made by others, for the same purpose.
    #[test]
    fn what_the_ietf_recommends_has_no_weakness_and_what_it_discourages_has_one() {
        for suite in CipherSuite::named() {
            let weak = !CipherWeakness::of(suite).is_empty();
            match suite.recommended() {
                Some(Recommended::Yes) => assert!(!weak, "{suite} is recommended"),
                Some(Recommended::Discouraged) => assert!(weak, "{suite} is discouraged"),
                Some(Recommended::No) | None => {}
            }
        }
    }

    #[test]
    fn a_recommendation_that_names_what_does_not_exist_is_refused() {
        let file = FILES.first().unwrap();
        assert!(toml::from_str::<TlsPolicy>(file).is_ok());
        for (name, no_name) in
            [("\"secp192r1\"", "\"secp192\""), ("\"SHA-1\"", "\"SHA1\""), ("rc4 =", "rc5 =")]
        {
            assert!(file.contains(name), "{name}");
            assert!(toml::from_str::<TlsPolicy>(&file.replace(name, no_name)).is_err(), "{no_name}");
        }
        let file = FILES.iter().find(|file| file.contains("TLS_AES_128_CCM_SHA256")).unwrap();
        let other = file.replace("TLS_AES_128_CCM_SHA256", "TLS_AES_128_CCM_SHA384");
        assert!(toml::from_str::<TlsPolicy>(&other).is_err());
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
        let dtls = [TlsVersion::DTLS_0_9, TlsVersion::DTLS_1_0];
        let tls = [TlsVersion::SSL_2, TlsVersion::SSL_3, TlsVersion::TLS_1_0, TlsVersion::TLS_1_1];
        for old in dtls.into_iter().chain(tls) {
            assert!(policy.discourages_version(old), "{old}");
        }
        for fine in [
            TlsVersion::TLS_1_2,
            TlsVersion::TLS_1_3,
            TlsVersion(0x7f1c),
            TlsVersion::DTLS_1_2,
            TlsVersion::DTLS_1_3,
        ] {
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
