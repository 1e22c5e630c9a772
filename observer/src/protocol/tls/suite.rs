//! Cipher suites: their names and what the names say.
//!
//! The names are those of `registry`. What a suite is made of is read off its name, whose grammar IANA keeps to. Whether
//! that is good enough is for rules to say.

use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

use super::Recommended;
use super::registry;

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
    /// Ascon.
    Ascon,
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
        registry::suite_name(self.0)
    }

    /// Every suite that has a name, in no order.
    pub fn named() -> impl Iterator<Item = Self> {
        registry::suites().map(Self)
    }

    /// What IANA's registry says that the IETF recommends; `None` for values that are not registered.
    #[must_use]
    pub fn recommended(self) -> Option<Recommended> {
        registry::suite_flags(self.0).map(|(_, recommended)| recommended)
    }

    /// Whether IANA's registry says that DTLS may use it; `None` for values that are not registered.
    #[must_use]
    pub fn dtls_ok(self) -> Option<bool> {
        registry::suite_flags(self.0).map(|(dtls_ok, _)| dtls_ok)
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
            // The MGM suites of RFC 9367 are TLS 1.3's, for all that their names say.
            Some(agreement) if !protection.contains("_MGM_") => key_exchange(agreement)?,
            _ => (KeyExchange::Tls13, Authentication::Tls13),
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
        registry::SSL2_CIPHER_KINDS.iter().find(|row| row.0 == self.0).map(|row| row.1)
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
        ("ASCONAEAD128", Encryption::Ascon, 128),
        ("28147_CNT", Encryption::Gost28147, 256),
        ("KUZNYECHIK", Encryption::Kuznyechik, 256),
        ("MAGMA", Encryption::Magma, 256),
        ("FORTEZZA_CBC", Encryption::Skipjack, 80),
    ];
    let (_, encryption, bits) = CIPHERS.iter().find(|(prefix, ..)| protection.starts_with(prefix))?;
    let mode = match encryption {
        Encryption::Null => CipherMode::Null,
        _ if protection.contains("_CCM_8") => CipherMode::AeadShortTag,
        _ if ["_GCM", "_CCM", "_MGM", "POLY1305", "AEGIS", "ASCONAEAD"]
            .iter()
            .any(|mode| protection.contains(mode)) =>
        {
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

#[cfg(test)]
mod tests {
    use tls_parser::{TlsCipherAu, TlsCipherEnc, TlsCipherKx, TlsCipherMac, TlsCipherSuite};

    use super::*;

    #[test]
    fn every_suite_with_a_name_is_found() {
        let mut named: Vec<u16> = CipherSuite::named().map(|suite| suite.0).collect();
        named.sort_unstable();
        let all = (0..=u16::MAX).filter(|value| CipherSuite(*value).name().is_some());
        assert_eq!(named, all.collect::<Vec<u16>>());
    }

    /// What a suite is made of; the number is that of its key's bits.
    type Made = (KeyExchange, Authentication, Encryption, u16, Mac);

    /// What tls-parser's copy of the registry says that a suite is made of, in the words of this module.
    fn listed(suite: CipherSuite) -> Option<Made> {
        let listed = TlsCipherSuite::from_id(suite.0)?;
        let key_exchange = match listed.kx {
            TlsCipherKx::Null => KeyExchange::Null,
            // It reads `PSK_DHE`, RFC 6655's spelling of `DHE_PSK`, the wrong way round.
            TlsCipherKx::Psk if listed.au == TlsCipherAu::Dhe => KeyExchange::Dhe,
            TlsCipherKx::Psk => KeyExchange::Psk,
            TlsCipherKx::Krb5 => KeyExchange::Krb5,
            TlsCipherKx::Srp => KeyExchange::Srp,
            TlsCipherKx::Rsa => KeyExchange::Rsa,
            // Anonymous Diffie-Hellman is ephemeral, whatever its name says (RFC 5246 §7.4.3, RFC 8422 §2).
            TlsCipherKx::Dh if listed.au == TlsCipherAu::Null => KeyExchange::Dhe,
            TlsCipherKx::Ecdh if listed.au == TlsCipherAu::Null => KeyExchange::Ecdhe,
            TlsCipherKx::Dh => KeyExchange::Dh,
            TlsCipherKx::Dhe => KeyExchange::Dhe,
            TlsCipherKx::Ecdh => KeyExchange::Ecdh,
            TlsCipherKx::Ecdhe | TlsCipherKx::Aecdh => KeyExchange::Ecdhe,
            TlsCipherKx::Eccpwd => KeyExchange::Eccpwd,
            TlsCipherKx::Tls13 => KeyExchange::Tls13,
        };
        let authentication = match listed.au {
            TlsCipherAu::Null => Authentication::Anonymous,
            TlsCipherAu::Psk | TlsCipherAu::Dhe => Authentication::Psk,
            TlsCipherAu::Krb5 => Authentication::Krb5,
            TlsCipherAu::Srp | TlsCipherAu::Eccpwd => Authentication::Password,
            TlsCipherAu::Srp_Dss | TlsCipherAu::Dss => Authentication::Dss,
            TlsCipherAu::Srp_Rsa | TlsCipherAu::Rsa => Authentication::Rsa,
            TlsCipherAu::Ecdsa => Authentication::Ecdsa,
            TlsCipherAu::Tls13 => Authentication::Tls13,
        };
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
        // It has 128 bits for ChaCha20, whose key has 256 (RFC 7905 §2).
        let key_bits = if encryption == Encryption::ChaCha20 { 256 } else { listed.enc_size };
        let mac = match listed.mac {
            // It takes the hash of an AEGIS suite, which is that of the key schedule, for a MAC.
            _ if encryption == Encryption::Aegis => Mac::Aead,
            TlsCipherMac::Null => Mac::Null,
            TlsCipherMac::HmacMd5 => Mac::Md5,
            TlsCipherMac::HmacSha1 => Mac::Sha1,
            TlsCipherMac::HmacSha256 => Mac::Sha256,
            TlsCipherMac::HmacSha384 => Mac::Sha384,
            TlsCipherMac::HmacSha512 => panic!("{suite}: no suite has this MAC"),
            TlsCipherMac::Aead => Mac::Aead,
        };
        Some((key_exchange, authentication, encryption, key_bits, mac))
    }

    /// Suites that tls-parser's copy lacks, by their specifications: RFC 6101, RFC 9189 §4, RFC 9367 §4, NIST SP 800-232, and
    /// the drafts that `registry` names.
    const OTHERS: &[(&[u16], Made)] = {
        use {Authentication as A, Encryption as E, KeyExchange as K, Mac as M};
        &[
            (&[0x001c], (K::Fortezza, A::Fortezza, E::Null, 0, M::Sha1)),
            (&[0x001d], (K::Fortezza, A::Fortezza, E::Skipjack, 80, M::Sha1)),
            (&[0x006e, 0x006f], (K::Tls13, A::Tls13, E::Ascon, 128, M::Aead)),
            (&[0x0070, 0x0071], (K::Tls13, A::Tls13, E::Aes, 128, M::Aead)),
            (&[0x0080, 0x0081, 0xc102], (K::Gost, A::Gost, E::Gost28147, 256, M::Gost)),
            (&[0x0082, 0x0083], (K::Gost, A::Gost, E::Null, 0, M::Gost)),
            (&[0xc100], (K::Gost, A::Gost, E::Kuznyechik, 256, M::Gost)),
            (&[0xc101], (K::Gost, A::Gost, E::Magma, 256, M::Gost)),
            (&[0xc103, 0xc105], (K::Tls13, A::Tls13, E::Kuznyechik, 256, M::Aead)),
            (&[0xc104, 0xc106], (K::Tls13, A::Tls13, E::Magma, 256, M::Aead)),
            (&[0xcc13], (K::Ecdhe, A::Rsa, E::ChaCha20, 256, M::Aead)),
            (&[0xcc14], (K::Ecdhe, A::Ecdsa, E::ChaCha20, 256, M::Aead)),
            (&[0xcc15], (K::Dhe, A::Rsa, E::ChaCha20, 256, M::Aead)),
            (&[0xfefe, 0xffe1], (K::Rsa, A::Rsa, E::Des, 56, M::Sha1)),
            (&[0xfeff, 0xffe0], (K::Rsa, A::Rsa, E::TripleDes, 168, M::Sha1)),
        ]
    };

    /// What is read off a name is what others say of the suite.
    #[test]
    fn every_named_suite_is_made_of_what_the_registry_says() {
        let other = |suite: CipherSuite| {
            OTHERS.iter().find(|(values, _)| values.contains(&suite.0)).map(|(_, made)| *made)
        };
        let (mut named, mut wrong) = (0, Vec::new());
        for suite in (0..=u16::MAX).map(CipherSuite).filter(|suite| !suite.is_signalling()) {
            if suite.name().is_none() {
                assert_eq!(suite.properties(), None);
                continue;
            }
            named += 1;
            let found = suite.properties().map(|found| {
                (found.key_exchange, found.authentication, found.encryption, found.key_bits, found.mac)
            });
            let expected = listed(suite).or_else(|| other(suite));
            if found.is_none() || found != expected {
                wrong.push(format!("{suite}: {found:?}, not {expected:?}"));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        assert_eq!(named, 356 + 20 - 2, "registered and unregistered, less the signalling ones");
    }

    #[test]
    fn every_suite_is_called_what_tls_parser_calls_it() {
        for (value, listed) in tls_parser::CIPHERS.entries() {
            assert_eq!(CipherSuite(*value).name(), Some(listed.name));
        }
    }

    #[test]
    fn flags_are_those_of_the_registry() {
        let flags = |value| (CipherSuite(value).recommended(), CipherSuite(value).dtls_ok());
        assert_eq!(flags(0x1301), (Some(Recommended::Yes), Some(true)));
        assert_eq!(flags(0x0005), (Some(Recommended::Discouraged), Some(false)));
        assert_eq!(flags(0xc013), (Some(Recommended::No), Some(true)));
        // Not registered, GREASE, unknown.
        assert_eq!([flags(0x0060), flags(0x0a0a), flags(0xeeee)], [(None, None); 3]);
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
