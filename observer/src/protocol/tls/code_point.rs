//! The code points of TLS, kept as on the wire, with their names from `registry`.
//!
//! Cipher suites have a file of their own: see [`super::CipherSuite`].

use std::fmt;

use super::registry;

/// A ProtocolVersion as on the wire; unknown values are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TlsVersion(pub u16);

impl TlsVersion {
    /// SSL 2.0.
    pub const SSL_2: Self = Self(0x0002);
    /// SSL 3.0, RFC 6101.
    pub const SSL_3: Self = Self(0x0300);
    /// RFC 2246.
    pub const TLS_1_0: Self = Self(0x0301);
    /// RFC 4346.
    pub const TLS_1_1: Self = Self(0x0302);
    /// RFC 5246.
    pub const TLS_1_2: Self = Self(0x0303);
    /// RFC 9846.
    pub const TLS_1_3: Self = Self(0x0304);
    /// What OpenSSL and Cisco's AnyConnect spoke before RFC 4347; sometimes called DTLS 0.9.
    pub const DTLS_0_9: Self = Self(0x0100);
    /// RFC 4347.
    pub const DTLS_1_0: Self = Self(0xfeff);
    /// RFC 6347.
    pub const DTLS_1_2: Self = Self(0xfefd);
    /// RFC 9147.
    pub const DTLS_1_3: Self = Self(0xfefc);

    /// `tls`, `ssl` or `dtls`.
    #[must_use]
    pub fn protocol(self) -> &'static str {
        match self.0 {
            0x0002 | 0x0300 => "ssl",
            0xfe00..=0xfeff | 0x0100 => "dtls",
            _ => "tls",
        }
    }

    /// Whether the value is a GREASE one (RFC 8701).
    #[must_use]
    pub fn is_grease(self) -> bool {
        is_grease(self.0)
    }

    /// Whether it is TLS 1.3, DTLS 1.3 or one of TLS 1.3's drafts (0x7f and the draft's number; 0xfb17 and 0xfb1a
    /// are Facebook's).
    #[must_use]
    pub fn is_tls13(self) -> bool {
        matches!(self.0, 0x0304 | 0xfefc | 0x7f00..=0x7fff | 0xfb17 | 0xfb1a)
    }

    /// The version of TLS that a version of DTLS is made after (RFC 4347, RFC 6347, RFC 9147), TLS 1.3 for its drafts; any
    /// other is itself. DTLS counts downwards: only what this returns is in order.
    #[must_use]
    pub fn of_tls(self) -> Self {
        match self.0 {
            0xfeff | 0x0100 => Self::TLS_1_1,
            0xfefd => Self::TLS_1_2,
            _ if self.is_tls13() => Self::TLS_1_3,
            _ => self,
        }
    }

    /// The number of the TLS 1.3 draft that the value stands for.
    #[must_use]
    pub fn draft(self) -> Option<u8> {
        let [high, low] = self.0.to_be_bytes();
        matches!(high, 0x7f | 0xfb).then_some(low).filter(|_| self.is_tls13())
    }
}

/// `1.3`, `1.0`, `3.0` (SSL), `1.2` (DTLS); unknown ones in hex. Drafts of TLS 1.3 print as `1.3`: see
/// [`TlsVersion::draft`].
impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0x0002 => f.write_str("2.0"),
            0x0300 => f.write_str("3.0"),
            0x0301 | 0xfeff | 0x0100 => f.write_str("1.0"),
            0x0302 => f.write_str("1.1"),
            0x0303 | 0xfefd => f.write_str("1.2"),
            _ if self.is_tls13() => f.write_str("1.3"),
            other => write!(f, "{other:#06x}"),
        }
    }
}

/// Whether `value` is reserved for GREASE (RFC 8701 §2).
#[must_use]
pub(super) fn is_grease(value: u16) -> bool {
    let [high, low] = value.to_be_bytes();
    high == low && low & 0x0f == 0x0a
}

macro_rules! code_point {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u16);

        impl $name {
            /// Whether the value is a GREASE one (RFC 8701).
            #[must_use]
            pub fn is_grease(self) -> bool {
                is_grease(self.0)
            }
        }

        /// The IANA name, or the value in hex where it has none.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, "{:#06x}", self.0),
                }
            }
        }
    };
}

code_point! {
    /// A group of IANA's TLS Supported Groups.
    NamedGroup
}
code_point! {
    /// A scheme of IANA's TLS SignatureScheme; before TLS 1.3 a pair of hash and signature algorithm with the same
    /// values.
    SignatureScheme
}

impl NamedGroup {
    /// Its name in IANA's registry, e.g. `x25519`; of drafts that were deployed, the draft's.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        registry::group_name(self.0)
    }

    /// Every group that has a name, in no order.
    pub fn named() -> impl Iterator<Item = Self> {
        registry::groups().map(Self)
    }
}

/// The hash within a signature scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SignatureHash {
    /// MD5.
    Md5,
    /// SHA-1.
    Sha1,
    /// SHA-224.
    Sha224,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl SignatureScheme {
    /// Its name in IANA's registry, e.g. `ecdsa_secp256r1_sha256`; TLS 1.2's pairs without an entry there are named
    /// in the same manner.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        registry::scheme_name(self.0)
    }

    /// Its hash, where the scheme names one of the SHA family or MD5.
    #[must_use]
    pub fn hash(self) -> Option<SignatureHash> {
        let name = self.name()?;
        [
            ("md5", SignatureHash::Md5),
            ("sha1", SignatureHash::Sha1),
            ("sha224", SignatureHash::Sha224),
            ("sha256", SignatureHash::Sha256),
            ("sha384", SignatureHash::Sha384),
            ("sha512", SignatureHash::Sha512),
        ]
        .into_iter()
        .find(|(word, _)| name.split('_').any(|part| part == *word))
        .map(|(_, hash)| hash)
    }
}

/// The name of an AlertDescription in IANA's registry, e.g. `unknown_ca`.
#[must_use]
pub fn alert_description_name(description: u8) -> Option<&'static str> {
    registry::alert_name(description)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_of_every_code_point_prints() {
        for value in 0..=u16::MAX {
            for printed in [
                NamedGroup(value).to_string(),
                SignatureScheme(value).to_string(),
                super::super::CipherSuite(value).to_string(),
                TlsVersion(value).to_string(),
            ] {
                assert!(!printed.is_empty() && !printed.contains(' '), "{value:#06x}: {printed:?}");
            }
        }
    }

    #[test]
    fn drafts_of_tls_1_3_are_tls_1_3() {
        for (value, draft) in [(0x7f1c, 28), (0xfb1a, 26), (0xfb17, 23)] {
            let version = TlsVersion(value);
            assert!(version.is_tls13());
            assert_eq!((version.to_string().as_str(), version.draft()), ("1.3", Some(draft)));
        }
        assert_eq!(TlsVersion::TLS_1_3.draft(), None);
        assert_eq!(TlsVersion(0x0a0a).to_string(), "0x0a0a");
    }

    #[test]
    fn schemes_name_their_hash() {
        assert_eq!(SignatureScheme(0x0201).hash(), Some(SignatureHash::Sha1));
        assert_eq!(SignatureScheme(0x0804).hash(), Some(SignatureHash::Sha256));
        assert_eq!(SignatureScheme(0x0807).hash(), None);
    }

    #[test]
    fn grease_is_sixteen_values() {
        assert_eq!((0..=u16::MAX).filter(|value| is_grease(*value)).count(), 16);
    }
}
