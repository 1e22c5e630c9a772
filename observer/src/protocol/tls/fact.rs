//! What a TLS session shows on the wire.

use std::fmt;
use std::sync::Arc;

use super::Certificate;

/// One of the two peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sent the ClientHello.
    Client,
    /// Answered it.
    Server,
}

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
}

/// `1.3`, `1.0`, `3.0` (SSL), `1.2` (DTLS); unknown ones in hex. Drafts of TLS 1.3 print as `1.3`.
impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0x0002 => f.write_str("2.0"),
            0x0300 => f.write_str("3.0"),
            0x0301 | 0xfeff | 0x0100 => f.write_str("1.0"),
            0x0302 => f.write_str("1.1"),
            0x0303 | 0xfefd => f.write_str("1.2"),
            0x0304 | 0xfefc | 0x7f00..=0x7fff | 0xfb17 | 0xfb1a => f.write_str("1.3"),
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
    /// A cipher suite of IANA's TLS registry, or an SSLv2 cipher kind above 0xffff cut to its low 16 bits.
    CipherSuite
}
code_point! {
    /// A group of IANA's TLS Supported Groups.
    NamedGroup
}
code_point! {
    /// A scheme of IANA's TLS SignatureScheme.
    SignatureScheme
}

impl CipherSuite {
    /// Its name in IANA's registry, e.g. `TLS_AES_128_GCM_SHA256`.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        tls_parser::TlsCipherSuite::from_id(self.0).map(|suite| suite.name)
    }
}

impl NamedGroup {
    /// Its name in IANA's registry, e.g. `x25519`.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        match self.0 {
            23 => Some("secp256r1"),
            29 => Some("x25519"),
            _ => None,
        }
    }
}

impl SignatureScheme {
    /// Its name in IANA's registry, e.g. `ecdsa_secp256r1_sha256`.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        match self.0 {
            0x0403 => Some("ecdsa_secp256r1_sha256"),
            0x0804 => Some("rsa_pss_rsae_sha256"),
            _ => None,
        }
    }
}

/// What a ClientHello says of Encrypted Client Hello (RFC 9849).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientEch {
    /// No `encrypted_client_hello` extension.
    Absent,
    /// An outer ClientHello. GREASE (RFC 9849 §6.2) looks the same: what it is shows only in the server's answer and
    /// in the DNS record.
    Outer,
}

/// A ClientHello (RFC 9846 §4.2.2; RFC 5246 §7.4.1.2; SSLv2-compatible: RFC 5246 Appendix E.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientHello {
    /// `legacy_version`.
    pub legacy_version: TlsVersion,
    /// Whether it came in the SSLv2-compatible form.
    pub sslv2: bool,
    /// Bytes of the session id; 0 to 32.
    pub session_id: Vec<u8>,
    /// In the client's order, GREASE and SCSVs included.
    pub cipher_suites: Vec<CipherSuite>,
    /// Compression methods; 0 is none.
    pub compression_methods: Vec<u8>,
    /// Extension types in the client's order, GREASE included.
    pub extensions: Vec<u16>,
    /// `server_name`, lower case. The outer name where `ech` is not absent.
    pub server_name: Option<String>,
    /// `supported_versions`; empty before TLS 1.3.
    pub supported_versions: Vec<TlsVersion>,
    /// ALPN protocols; bytes that are not UTF-8 are replaced.
    pub alpn: Vec<String>,
    /// `supported_groups`.
    pub groups: Vec<NamedGroup>,
    /// Groups of `key_share`.
    pub key_share_groups: Vec<NamedGroup>,
    /// `signature_algorithms`.
    pub signature_schemes: Vec<SignatureScheme>,
    /// Encrypted Client Hello.
    pub ech: ClientEch,
    /// RFC 7627.
    pub extended_master_secret: bool,
    /// RFC 5746: the extension or its SCSV.
    pub secure_renegotiation: bool,
    /// RFC 7507.
    pub fallback_scsv: bool,
    /// Length of the session ticket; `None` without the extension.
    pub session_ticket: Option<usize>,
    /// Offers PSKs of TLS 1.3 (resumption, mostly).
    pub pre_shared_key: bool,
    /// Sends 0-RTT data.
    pub early_data: bool,
    /// JA3 digest, 32 hex digits.
    pub ja3: String,
    /// JA4 fingerprint.
    pub ja4: String,
}

impl ClientHello {
    /// The versions on offer, GREASE left out, in the client's order; before TLS 1.3 the legacy version alone.
    #[must_use]
    pub fn offered_versions(&self) -> Vec<TlsVersion> {
        if self.supported_versions.is_empty() {
            return vec![self.legacy_version];
        }
        self.supported_versions.iter().copied().filter(|version| !version.is_grease()).collect()
    }
}

/// A ServerHello or HelloRetryRequest (RFC 9846 §4.2.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerHello {
    /// The negotiated version: `supported_versions` where there is one, else `legacy_version`.
    pub version: TlsVersion,
    /// The chosen suite.
    pub cipher_suite: CipherSuite,
    /// The chosen compression; 0 is none.
    pub compression_method: u8,
    /// The session id; up to TLS 1.2 equal to the client's when a session is resumed by id.
    pub session_id: Vec<u8>,
    /// Extension types in the server's order.
    pub extensions: Vec<u16>,
    /// The chosen ALPN protocol, where it is readable.
    pub alpn: Option<String>,
    /// The group of `key_share`.
    pub group: Option<NamedGroup>,
    /// A PSK was chosen: TLS 1.3 resumption (or an external PSK).
    pub pre_shared_key: bool,
    /// RFC 7627.
    pub extended_master_secret: bool,
    /// RFC 5746.
    pub secure_renegotiation: bool,
    /// JA3S digest, 32 hex digits.
    pub ja3s: String,
}

/// A CertificateRequest that could be read (up to TLS 1.2, RFC 5246 §7.4.4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateRequest {
    /// Distinguished names of the authorities that the server accepts; at most 64 are kept.
    pub authorities: Vec<String>,
}

/// A ServerKeyExchange (RFC 5246 §7.4.3, RFC 8422 §5.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerKeyExchange {
    /// The elliptic curve, for ECDHE.
    pub group: Option<NamedGroup>,
    /// Bits of the prime, for DHE.
    pub dh_bits: Option<u32>,
    /// Signature and hash; `None` before TLS 1.2 (MD5 with SHA-1, or SHA-1) and for anonymous suites.
    pub signature: Option<SignatureScheme>,
}

/// An alert (RFC 9846 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Who sent it.
    pub from: Role,
    /// 1 warning, 2 fatal; `None` when encrypted.
    pub level: Option<u8>,
    /// AlertDescription; `None` when encrypted.
    pub description: Option<u8>,
}

/// A piece of a TLS session. Handshake messages as soon as they are complete.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Fact {
    /// A ClientHello; a second one follows a HelloRetryRequest or renegotiates.
    ClientHello(Box<ClientHello>),
    /// A HelloRetryRequest.
    HelloRetryRequest(Box<ServerHello>),
    /// A ServerHello.
    ServerHello(Box<ServerHello>),
    /// A certificate chain that could be read (up to TLS 1.2), leaf first; empty: the client declined.
    Certificate {
        /// Whose.
        from: Role,
        /// Leaf first; at most 32 are kept.
        chain: Vec<Arc<Certificate>>,
    },
    /// The server asks for a client certificate.
    CertificateRequest(Box<CertificateRequest>),
    /// The server's ephemeral key.
    ServerKeyExchange(ServerKeyExchange),
    /// The client proves that it has its certificate's key.
    CertificateVerify {
        /// Who.
        from: Role,
    },
    /// A side switches to encryption (not counted in TLS 1.3, where it is a dummy).
    ChangeCipherSpec {
        /// Who.
        from: Role,
    },
    /// The first encrypted handshake record of a side: up to TLS 1.2, its Finished.
    EncryptedHandshake {
        /// Who.
        from: Role,
    },
    /// The first record of application data of a side. In TLS 1.3 the encrypted handshake comes in such records, too:
    /// it is said for the first record that cannot be of the handshake.
    ApplicationData {
        /// Who.
        from: Role,
    },
    /// An alert.
    Alert(Alert),
    /// Records of TLS whose handshake was not captured.
    Midstream {
        /// The records' version.
        version: TlsVersion,
    },
    /// A new handshake within the session: a ClientHello, or an encrypted handshake record after application data.
    Renegotiation {
        /// Who began.
        from: Role,
    },
}
