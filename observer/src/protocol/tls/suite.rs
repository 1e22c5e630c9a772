//! Cipher suites: their names and what the names say.
//!
//! The names are IANA's, through tls-parser's copy of the registry; [`UNLISTED`] adds what that copy lacks and what
//! was deployed without ever being registered. What a suite is made of is read off its name, whose grammar the
//! registry keeps to. Whether that is good enough is for rules to say.

use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

/// A cipher suite of IANA's TLS registry, as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CipherSuite(pub u16);

/// How the premaster secret is agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyExchange {
    /// None at all.
    Null,
    /// Encrypted to the server's RSA key.
    Rsa,
    /// Static finite-field Diffie-Hellman.
    Dh,
    /// Ephemeral finite-field Diffie-Hellman; the anonymous suites, too.
    Dhe,
    /// Static elliptic-curve Diffie-Hellman.
    Ecdh,
    /// Ephemeral elliptic-curve Diffie-Hellman; the anonymous suites, too.
    Ecdhe,
    /// A pre-shared key alone (RFC 4279 §2).
    Psk,
    /// Kerberos (RFC 2712).
    Krb5,
    /// A password (RFC 5054).
    Srp,
    /// A password (RFC 8492).
    Eccpwd,
    /// GOST key transport or agreement (RFC 9189).
    Gost,
    /// Fortezza's KEA, of SSL 3.0.
    Fortezza,
    /// By extension, not by suite (RFC 9846): `key_share`, or a PSK without one.
    Tls13,
}

/// What the server proves itself with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Authentication {
    /// Nothing: anyone can answer.
    Anonymous,
    /// An RSA key.
    Rsa,
    /// A DSA key.
    Dss,
    /// An elliptic-curve key.
    Ecdsa,
    /// A pre-shared key.
    Psk,
    /// Kerberos.
    Krb5,
    /// A password alone (SRP, ECCPWD).
    Password,
    /// A GOST key.
    Gost,
    /// Fortezza.
    Fortezza,
    /// By extension, not by suite (RFC 9846).
    Tls13,
}

/// The cipher, without its mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Encryption {
    /// No encryption.
    Null,
    /// RC2.
    Rc2,
    /// RC4.
    Rc4,
    /// Single DES, DES40 included.
    Des,
    /// Triple DES.
    TripleDes,
    /// IDEA.
    Idea,
    /// SEED.
    Seed,
    /// AES.
    Aes,
    /// Camellia.
    Camellia,
    /// ARIA.
    Aria,
    /// `ChaCha20`.
    ChaCha20,
    /// SM4.
    Sm4,
    /// AEGIS.
    Aegis,
    /// GOST 28147-89.
    Gost28147,
    /// Kuznyechik.
    Kuznyechik,
    /// Magma.
    Magma,
    /// Fortezza's Skipjack.
    Skipjack,
}

/// How the cipher is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CipherMode {
    /// No cipher.
    Null,
    /// A stream cipher, or a counter mode without authentication.
    Stream,
    /// Cipher block chaining.
    Cbc,
    /// An authenticated mode.
    Aead,
    /// An authenticated mode with a tag of 8 bytes (`CCM_8`).
    AeadShortTag,
}

/// What protects the integrity of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mac {
    /// Nothing.
    Null,
    /// HMAC with MD5 (SSL 3.0: its forerunner).
    Md5,
    /// HMAC with SHA-1 (SSL 3.0: its forerunner).
    Sha1,
    /// HMAC with SHA-256.
    Sha256,
    /// HMAC with SHA-384.
    Sha384,
    /// A GOST MAC.
    Gost,
    /// The cipher's own tag.
    Aead,
}

/// What a suite is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuiteProperties {
    /// Key exchange.
    pub key_exchange: KeyExchange,
    /// Authentication of the server. A PSK suite with a certificate (`RSA_PSK`) counts as [`Authentication::Psk`].
    pub authentication: Authentication,
    /// Cipher.
    pub encryption: Encryption,
    /// Its mode.
    pub mode: CipherMode,
    /// Secret bits of the key: 40 for the export suites, 168 for 3DES, 0 without encryption.
    pub key_bits: u16,
    /// Integrity.
    pub mac: Mac,
    /// Weakened for export (EXPORT, EXPORT1024).
    pub export: bool,
}

impl SuiteProperties {
    /// Whether a key that leaks later does not open sessions recorded now: ephemeral Diffie-Hellman.
    ///
    /// `None` for TLS 1.3, where the `key_share` extension decides and not the suite.
    #[must_use]
    pub fn forward_secret(&self) -> Option<bool> {
        match self.key_exchange {
            KeyExchange::Dhe | KeyExchange::Ecdhe | KeyExchange::Srp | KeyExchange::Eccpwd => Some(true),
            KeyExchange::Tls13 => None,
            _ => Some(false),
        }
    }
}

impl CipherSuite {
    /// `TLS_EMPTY_RENEGOTIATION_INFO_SCSV`, RFC 5746 §3.3.
    pub const EMPTY_RENEGOTIATION_INFO_SCSV: Self = Self(0x00ff);
    /// `TLS_FALLBACK_SCSV`, RFC 7507.
    pub const FALLBACK_SCSV: Self = Self(0x5600);

    /// Its name in IANA's registry, e.g. `TLS_AES_128_GCM_SHA256`. A few suites that were deployed without being
    /// registered have the name that they were deployed under.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        if let Some(suite) = tls_parser::TlsCipherSuite::from_id(self.0) {
            return Some(suite.name);
        }
        UNLISTED.iter().find(|(value, _)| *value == self.0).map(|(_, name)| *name)
    }

    /// Every suite that has a name, in no order.
    pub fn named() -> impl Iterator<Item = Self> {
        let listed = tls_parser::CIPHERS.keys().copied();
        listed.chain(UNLISTED.iter().map(|(value, _)| *value)).map(Self)
    }

    /// Whether the value is a GREASE one (RFC 8701).
    #[must_use]
    pub fn is_grease(self) -> bool {
        super::code_point::is_grease(self.0)
    }

    /// Whether the value signals something and can never be chosen.
    #[must_use]
    pub fn is_signalling(self) -> bool {
        matches!(self, Self::EMPTY_RENEGOTIATION_INFO_SCSV | Self::FALLBACK_SCSV)
    }

    /// What it is made of; `None` for values without a name and for signalling ones.
    #[must_use]
    pub fn properties(self) -> Option<SuiteProperties> {
        // Every record of TLS 1.3 asks: the names are taken apart once.
        static TABLE: LazyLock<HashMap<u16, SuiteProperties, foldhash::fast::RandomState>> =
            LazyLock::new(|| {
                CipherSuite::named().filter_map(|suite| Some((suite.0, suite.by_name()?))).collect()
            });
        TABLE.get(&self.0).copied()
    }

    fn by_name(self) -> Option<SuiteProperties> {
        if self.is_signalling() {
            return None;
        }
        let name = self.name()?;
        let (agreement, protection) = match name.split_once("_WITH_") {
            Some((agreement, protection)) => (Some(agreement), protection),
            None => (None, name.strip_prefix("TLS_")?),
        };
        let (key_exchange, authentication) = match agreement {
            Some(agreement) => key_exchange(agreement)?,
            None => (KeyExchange::Tls13, Authentication::Tls13),
        };
        let (encryption, mode, key_bits) = encryption(protection)?;
        Some(SuiteProperties {
            key_exchange,
            authentication,
            encryption,
            mode,
            key_bits,
            mac: mac(protection, mode),
            export: name.contains("_EXPORT"),
        })
    }
}

/// The IANA name, or the value in hex where it has none.
impl fmt::Display for CipherSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{:#06x}", self.0),
        }
    }
}

/// An SSL 2.0 cipher kind: three bytes. Kinds whose first byte is 0 are [`CipherSuite`]s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ssl2CipherKind(pub u32);

impl Ssl2CipherKind {
    /// Its name in the SSL 2.0 specification, e.g. `SSL_CK_RC4_128_WITH_MD5`.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            0x01_0080 => "SSL_CK_RC4_128_WITH_MD5",
            0x02_0080 => "SSL_CK_RC4_128_EXPORT40_WITH_MD5",
            0x03_0080 => "SSL_CK_RC2_128_CBC_WITH_MD5",
            0x04_0080 => "SSL_CK_RC2_128_CBC_EXPORT40_WITH_MD5",
            0x05_0080 => "SSL_CK_IDEA_128_CBC_WITH_MD5",
            0x06_0040 => "SSL_CK_DES_64_CBC_WITH_MD5",
            0x07_00c0 => "SSL_CK_DES_192_EDE3_CBC_WITH_MD5",
            0x08_0080 => "SSL_CK_RC4_64_WITH_MD5",
            _ => return None,
        })
    }
}

/// The specification's name, or the value in hex.
impl fmt::Display for Ssl2CipherKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{:#08x}", self.0),
        }
    }
}

/// `TLS_DHE_RSA` and the like; the part of a name before `_WITH_`.
fn key_exchange(agreement: &str) -> Option<(KeyExchange, Authentication)> {
    let words = agreement.strip_prefix("TLS_").or_else(|| agreement.strip_prefix("SSL_"))?;
    let words = words.strip_suffix("_EXPORT").or_else(|| words.strip_suffix("_EXPORT1024")).unwrap_or(words);
    Some(match words {
        "NULL" => (KeyExchange::Null, Authentication::Anonymous),
        "RSA" | "RSA_FIPS" => (KeyExchange::Rsa, Authentication::Rsa),
        "DH_DSS" => (KeyExchange::Dh, Authentication::Dss),
        "DH_RSA" => (KeyExchange::Dh, Authentication::Rsa),
        "DHE_DSS" => (KeyExchange::Dhe, Authentication::Dss),
        "DHE_RSA" => (KeyExchange::Dhe, Authentication::Rsa),
        "DH_anon" => (KeyExchange::Dhe, Authentication::Anonymous),
        "ECDH_ECDSA" => (KeyExchange::Ecdh, Authentication::Ecdsa),
        "ECDH_RSA" => (KeyExchange::Ecdh, Authentication::Rsa),
        "ECDHE_ECDSA" => (KeyExchange::Ecdhe, Authentication::Ecdsa),
        "ECDHE_RSA" => (KeyExchange::Ecdhe, Authentication::Rsa),
        "ECDH_anon" => (KeyExchange::Ecdhe, Authentication::Anonymous),
        "PSK" => (KeyExchange::Psk, Authentication::Psk),
        "RSA_PSK" => (KeyExchange::Rsa, Authentication::Psk),
        "DHE_PSK" | "PSK_DHE" => (KeyExchange::Dhe, Authentication::Psk),
        "ECDHE_PSK" => (KeyExchange::Ecdhe, Authentication::Psk),
        "KRB5" => (KeyExchange::Krb5, Authentication::Krb5),
        "SRP_SHA" => (KeyExchange::Srp, Authentication::Password),
        "SRP_SHA_RSA" => (KeyExchange::Srp, Authentication::Rsa),
        "SRP_SHA_DSS" => (KeyExchange::Srp, Authentication::Dss),
        "ECCPWD" => (KeyExchange::Eccpwd, Authentication::Password),
        "FORTEZZA_KEA" => (KeyExchange::Fortezza, Authentication::Fortezza),
        _ if words.starts_with("GOSTR") => (KeyExchange::Gost, Authentication::Gost),
        _ => return None,
    })
}

/// `AES_128_GCM_SHA256` and the like.
fn encryption(protection: &str) -> Option<(Encryption, CipherMode, u16)> {
    const CIPHERS: &[(&str, Encryption, u16)] = &[
        ("NULL", Encryption::Null, 0),
        // The suites of RFC 9150: integrity alone.
        ("SHA256_SHA256", Encryption::Null, 0),
        ("SHA384_SHA384", Encryption::Null, 0),
        ("RC4_40", Encryption::Rc4, 40),
        ("RC4_56", Encryption::Rc4, 56),
        ("RC4_128", Encryption::Rc4, 128),
        ("RC2_CBC_40", Encryption::Rc2, 40),
        ("RC2_CBC_56", Encryption::Rc2, 56),
        ("DES40_CBC", Encryption::Des, 40),
        ("DES_CBC_40", Encryption::Des, 40),
        ("DES_CBC", Encryption::Des, 56),
        ("3DES_EDE_CBC", Encryption::TripleDes, 168),
        ("IDEA_CBC", Encryption::Idea, 128),
        ("SEED_CBC", Encryption::Seed, 128),
        ("AES_128", Encryption::Aes, 128),
        ("AES_256", Encryption::Aes, 256),
        ("CAMELLIA_128", Encryption::Camellia, 128),
        ("CAMELLIA_256", Encryption::Camellia, 256),
        ("ARIA_128", Encryption::Aria, 128),
        ("ARIA_256", Encryption::Aria, 256),
        ("CHACHA20_POLY1305", Encryption::ChaCha20, 256),
        ("SM4", Encryption::Sm4, 128),
        ("AEGIS_128L", Encryption::Aegis, 128),
        ("AEGIS_256", Encryption::Aegis, 256),
        ("28147_CNT", Encryption::Gost28147, 256),
        ("KUZNYECHIK", Encryption::Kuznyechik, 256),
        ("MAGMA", Encryption::Magma, 256),
        ("FORTEZZA_CBC", Encryption::Skipjack, 80),
    ];
    let (_, encryption, bits) = CIPHERS.iter().find(|(prefix, ..)| protection.starts_with(prefix))?;
    let mode = match encryption {
        Encryption::Null => CipherMode::Null,
        _ if protection.contains("_CCM_8") => CipherMode::AeadShortTag,
        _ if ["_GCM", "_CCM", "_MGM", "POLY1305", "AEGIS"].iter().any(|mode| protection.contains(mode)) => {
            CipherMode::Aead
        }
        _ if protection.contains("_CBC") => CipherMode::Cbc,
        _ => CipherMode::Stream,
    };
    Some((*encryption, mode, *bits))
}

fn mac(protection: &str, mode: CipherMode) -> Mac {
    if matches!(mode, CipherMode::Aead | CipherMode::AeadShortTag) {
        return Mac::Aead;
    }
    match protection.rsplit('_').next() {
        Some("MD5") => Mac::Md5,
        Some("SHA") => Mac::Sha1,
        Some("SHA256") => Mac::Sha256,
        Some("SHA384") => Mac::Sha384,
        Some("IMIT" | "OMAC" | "GOSTR3411") => Mac::Gost,
        _ => Mac::Null,
    }
}

/// What tls-parser's copy of the registry lacks: GOST (RFC 9189, RFC 9367 and the draft before them), Fortezza
/// (RFC 6101), Netscape's FIPS suites, and the `ChaCha20` suites as Android 5 and 6 had them before RFC 7905.
const UNLISTED: &[(u16, &str)] = &[
    (0x001c, "SSL_FORTEZZA_KEA_WITH_NULL_SHA"),
    (0x001d, "SSL_FORTEZZA_KEA_WITH_FORTEZZA_CBC_SHA"),
    (0x0080, "TLS_GOSTR341094_WITH_28147_CNT_IMIT"),
    (0x0081, "TLS_GOSTR341001_WITH_28147_CNT_IMIT"),
    (0x0082, "TLS_GOSTR341094_WITH_NULL_GOSTR3411"),
    (0x0083, "TLS_GOSTR341001_WITH_NULL_GOSTR3411"),
    (0xc100, "TLS_GOSTR341112_256_WITH_KUZNYECHIK_CTR_OMAC"),
    (0xc101, "TLS_GOSTR341112_256_WITH_MAGMA_CTR_OMAC"),
    (0xc102, "TLS_GOSTR341112_256_WITH_28147_CNT_IMIT"),
    (0xc103, "TLS_GOSTR341112_256_WITH_KUZNYECHIK_MGM_L"),
    (0xc104, "TLS_GOSTR341112_256_WITH_MAGMA_MGM_L"),
    (0xc105, "TLS_GOSTR341112_256_WITH_KUZNYECHIK_MGM_S"),
    (0xc106, "TLS_GOSTR341112_256_WITH_MAGMA_MGM_S"),
    (0xcc13, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_OLD"),
    (0xcc14, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_OLD"),
    (0xcc15, "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_OLD"),
    (0xfefe, "SSL_RSA_FIPS_WITH_DES_CBC_SHA"),
    (0xfeff, "SSL_RSA_FIPS_WITH_3DES_EDE_CBC_SHA"),
    (0xffe0, "SSL_RSA_FIPS_WITH_3DES_EDE_CBC_SHA"),
    (0xffe1, "SSL_RSA_FIPS_WITH_DES_CBC_SHA"),
];

#[cfg(test)]
mod tests {
    use tls_parser::{TlsCipherEnc, TlsCipherSuite};

    use super::*;

    #[test]
    fn every_suite_with_a_name_is_found() {
        let mut named: Vec<u16> = CipherSuite::named().map(|suite| suite.0).collect();
        named.sort_unstable();
        let all = (0..=u16::MAX).filter(|value| CipherSuite(*value).name().is_some());
        assert_eq!(named, all.collect::<Vec<u16>>());
    }

    #[test]
    fn every_named_suite_has_properties_and_agrees_with_the_registry() {
        let mut named = 0;
        for suite in (0..=u16::MAX).map(CipherSuite).filter(|suite| !suite.is_signalling()) {
            let Some(name) = suite.name() else {
                assert_eq!(suite.properties(), None);
                continue;
            };
            named += 1;
            let Some(properties) = suite.properties() else { panic!("{name} has no properties") };
            let Some(listed) = TlsCipherSuite::from_id(suite.0) else { continue };
            let encryption = match listed.enc {
                TlsCipherEnc::Null => Encryption::Null,
                TlsCipherEnc::Des => Encryption::Des,
                TlsCipherEnc::TripleDes => Encryption::TripleDes,
                TlsCipherEnc::Rc2 => Encryption::Rc2,
                TlsCipherEnc::Rc4 => Encryption::Rc4,
                TlsCipherEnc::Aria => Encryption::Aria,
                TlsCipherEnc::Idea => Encryption::Idea,
                TlsCipherEnc::Seed => Encryption::Seed,
                TlsCipherEnc::Aes => Encryption::Aes,
                TlsCipherEnc::Camellia => Encryption::Camellia,
                TlsCipherEnc::Chacha20_Poly1305 => Encryption::ChaCha20,
                TlsCipherEnc::Sm4 => Encryption::Sm4,
                TlsCipherEnc::Aegis => Encryption::Aegis,
            };
            assert_eq!(properties.encryption, encryption, "{name}");
            // Its copy of the registry has 128 for ChaCha20, whose key has 256 bits (RFC 7905 §2).
            if encryption != Encryption::ChaCha20 {
                assert_eq!(properties.key_bits, listed.enc_size, "{name}");
            }
        }
        assert!(named > 350, "{named} suites have a name");
    }

    #[test]
    fn names_are_read_word_by_word() {
        let suite = CipherSuite(0x0014).properties();
        assert_eq!(
            suite,
            Some(SuiteProperties {
                key_exchange: KeyExchange::Dhe,
                authentication: Authentication::Rsa,
                encryption: Encryption::Des,
                mode: CipherMode::Cbc,
                key_bits: 40,
                mac: Mac::Sha1,
                export: true,
            })
        );
        let anonymous = CipherSuite(0xc018).properties().map(|suite| suite.authentication);
        assert_eq!(anonymous, Some(Authentication::Anonymous));
        let short = CipherSuite(0x1305).properties().map(|suite| (suite.mode, suite.forward_secret()));
        assert_eq!(short, Some((CipherMode::AeadShortTag, None)));
        assert_eq!(CipherSuite(0xc0b4).properties().map(|suite| suite.encryption), Some(Encryption::Null));
        assert_eq!(CipherSuite::FALLBACK_SCSV.properties(), None);
    }

    #[test]
    fn unknown_values_print_in_hex() {
        assert_eq!(CipherSuite(0x0a0a).to_string(), "0x0a0a");
        assert_eq!(CipherSuite(0x1301).to_string(), "TLS_AES_128_GCM_SHA256");
        assert_eq!(Ssl2CipherKind(0x01_0080).to_string(), "SSL_CK_RC4_128_WITH_MD5");
        assert_eq!(Ssl2CipherKind(0x0f_0001).to_string(), "0x0f0001");
    }
}
