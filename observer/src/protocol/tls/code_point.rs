//! The code points of TLS, kept as on the wire, and IANA's names for them.
//!
//! Cipher suites have a file of their own: see [`super::CipherSuite`].

use std::fmt;

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
        Some(match self.0 {
            1 => "sect163k1",
            2 => "sect163r1",
            3 => "sect163r2",
            4 => "sect193r1",
            5 => "sect193r2",
            6 => "sect233k1",
            7 => "sect233r1",
            8 => "sect239k1",
            9 => "sect283k1",
            10 => "sect283r1",
            11 => "sect409k1",
            12 => "sect409r1",
            13 => "sect571k1",
            14 => "sect571r1",
            15 => "secp160k1",
            16 => "secp160r1",
            17 => "secp160r2",
            18 => "secp192k1",
            19 => "secp192r1",
            20 => "secp224k1",
            21 => "secp224r1",
            22 => "secp256k1",
            23 => "secp256r1",
            24 => "secp384r1",
            25 => "secp521r1",
            26 => "brainpoolP256r1",
            27 => "brainpoolP384r1",
            28 => "brainpoolP512r1",
            29 => "x25519",
            30 => "x448",
            31 => "brainpoolP256r1tls13",
            32 => "brainpoolP384r1tls13",
            33 => "brainpoolP512r1tls13",
            34 => "GC256A",
            35 => "GC256B",
            36 => "GC256C",
            37 => "GC256D",
            38 => "GC512A",
            39 => "GC512B",
            40 => "GC512C",
            41 => "curveSM2",
            256 => "ffdhe2048",
            257 => "ffdhe3072",
            258 => "ffdhe4096",
            259 => "ffdhe6144",
            260 => "ffdhe8192",
            512 => "MLKEM512",
            513 => "MLKEM768",
            514 => "MLKEM1024",
            4587 => "SecP256r1MLKEM768",
            4588 => "X25519MLKEM768",
            4589 => "SecP384r1MLKEM1024",
            4590 => "curveSM2MLKEM768",
            16_696 => "CECPQ2",
            25_497 => "X25519Kyber768Draft00",
            25_498 => "SecP256r1Kyber768Draft00",
            0xff01 => "arbitrary_explicit_prime_curves",
            0xff02 => "arbitrary_explicit_char2_curves",
            _ => return None,
        })
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
        Some(match self.0 {
            0x0101 => "rsa_pkcs1_md5",
            0x0102 => "dsa_md5",
            0x0103 => "ecdsa_md5",
            0x0201 => "rsa_pkcs1_sha1",
            0x0202 => "dsa_sha1",
            0x0203 => "ecdsa_sha1",
            0x0301 => "rsa_pkcs1_sha224",
            0x0302 => "dsa_sha224",
            0x0303 => "ecdsa_sha224",
            0x0401 => "rsa_pkcs1_sha256",
            0x0402 => "dsa_sha256",
            0x0403 => "ecdsa_secp256r1_sha256",
            0x0420 => "rsa_pkcs1_sha256_legacy",
            0x0501 => "rsa_pkcs1_sha384",
            0x0502 => "dsa_sha384",
            0x0503 => "ecdsa_secp384r1_sha384",
            0x0520 => "rsa_pkcs1_sha384_legacy",
            0x0601 => "rsa_pkcs1_sha512",
            0x0602 => "dsa_sha512",
            0x0603 => "ecdsa_secp521r1_sha512",
            0x0620 => "rsa_pkcs1_sha512_legacy",
            0x0704 => "eccsi_sha256",
            0x0705 => "iso_ibs1",
            0x0706 => "iso_ibs2",
            0x0707 => "iso_chinese_ibs",
            0x0708 => "sm2sig_sm3",
            0x0709 => "gostr34102012_256a",
            0x070a => "gostr34102012_256b",
            0x070b => "gostr34102012_256c",
            0x070c => "gostr34102012_256d",
            0x070d => "gostr34102012_512a",
            0x070e => "gostr34102012_512b",
            0x070f => "gostr34102012_512c",
            0x0804 => "rsa_pss_rsae_sha256",
            0x0805 => "rsa_pss_rsae_sha384",
            0x0806 => "rsa_pss_rsae_sha512",
            0x0807 => "ed25519",
            0x0808 => "ed448",
            0x0809 => "rsa_pss_pss_sha256",
            0x080a => "rsa_pss_pss_sha384",
            0x080b => "rsa_pss_pss_sha512",
            0x081a => "ecdsa_brainpoolP256r1tls13_sha256",
            0x081b => "ecdsa_brainpoolP384r1tls13_sha384",
            0x081c => "ecdsa_brainpoolP512r1tls13_sha512",
            0x0904 => "mldsa44",
            0x0905 => "mldsa65",
            0x0906 => "mldsa87",
            _ => return None,
        })
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

/// The name of an AlertDescription in lower snake case, as in RFC 9846 §6 and its forerunners.
#[must_use]
pub fn alert_description_name(description: u8) -> Option<&'static str> {
    Some(match description {
        0 => "close_notify",
        10 => "unexpected_message",
        20 => "bad_record_mac",
        21 => "decryption_failed",
        22 => "record_overflow",
        30 => "decompression_failure",
        40 => "handshake_failure",
        41 => "no_certificate",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        52 => "too_many_cids_requested",
        60 => "export_restriction",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        86 => "inappropriate_fallback",
        90 => "user_canceled",
        100 => "no_renegotiation",
        109 => "missing_extension",
        110 => "unsupported_extension",
        111 => "certificate_unobtainable",
        112 => "unrecognized_name",
        113 => "bad_certificate_status_response",
        114 => "bad_certificate_hash_value",
        115 => "unknown_psk_identity",
        116 => "certificate_required",
        117 => "general_error",
        120 => "no_application_protocol",
        121 => "ech_required",
        _ => return None,
    })
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
