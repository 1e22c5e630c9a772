//! What a TLS session shows on the wire.

use std::sync::Arc;

use super::code_point::alert_description_name;
use super::{
    Certificate, CipherSuite, NamedGroup, ServerAnswer, SignatureScheme, Ssl2CipherKind, TlsVersion,
};
use crate::bytes::ParseError;
use crate::flow::Direction;

/// One of the two peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sent the ClientHello.
    Client,
    /// Answered it.
    Server,
}

/// What a ClientHello says of Encrypted Client Hello (RFC 9849).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientEch {
    /// No `encrypted_client_hello` extension.
    Absent,
    /// An outer ClientHello. GREASE (RFC 9849 §6.2) looks the same: what it is shows only in the server's answer and
    /// in the DNS record.
    Outer {
        /// The key that it is for: `config_id`, at random in GREASE. `None` in drafts that have none.
        config: Option<u8>,
    },
}

/// What the Encrypted Client Hello of a session is, as far as the capture tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ech {
    /// There is none.
    #[default]
    Absent,
    /// For show: the name in the open is the one that the flow's address was looked up for.
    Grease,
    /// GREASE or not: the capture holds no look-up that tells.
    Unknown,
    /// Real: a DNS record gave a key with this number and this name in the open. That name is not the host's.
    Offered,
    /// Real, and the server accepted it: the client went on with data, which it does only then (RFC 9849 §6.1.6), or
    /// the session's secrets are those of the inner ClientHello.
    Accepted,
}

impl Ech {
    /// Whether the name in the open is not the host's.
    #[must_use]
    pub fn hides_name(self) -> bool {
        matches!(self, Self::Offered | Self::Accepted)
    }
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
    /// The SSL 2.0 cipher kinds of an SSLv2-compatible hello: with them it offers SSL 2.0.
    pub ssl2_cipher_kinds: Vec<Ssl2CipherKind>,
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
    /// `ec_point_formats`; 0 is uncompressed.
    pub ec_point_formats: Vec<u8>,
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
    /// JA3 digest, 32 hex digits; empty for the SSLv2-compatible form.
    pub ja3: String,
    /// JA4 fingerprint; empty for the SSLv2-compatible form.
    pub ja4: String,
}

impl ClientHello {
    /// The versions on offer, GREASE left out, in the client's order; before TLS 1.3 the legacy version (all below it
    /// may be on offer, too, but only that one is said), and SSL 2.0 where there are cipher kinds for it.
    #[must_use]
    pub fn offered_versions(&self) -> Vec<TlsVersion> {
        if self.supported_versions.is_empty() {
            let ssl2 = Some(TlsVersion::SSL_2)
                .filter(|ssl2| !self.ssl2_cipher_kinds.is_empty() && self.legacy_version != *ssl2);
            return std::iter::once(self.legacy_version).chain(ssl2).collect();
        }
        self.supported_versions.iter().copied().filter(|version| !version.is_grease()).collect()
    }
}

/// A ServerHello or HelloRetryRequest (RFC 9846 §4.2.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerHello {
    /// The negotiated version: `supported_versions` where there is one, else `legacy_version`.
    pub version: TlsVersion,
    /// `legacy_version`.
    pub legacy_version: TlsVersion,
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
    /// The server can resume by ticket and will send one (RFC 5077).
    pub session_ticket: bool,
    /// The random ends in a sentinel of RFC 9846 §4.2.3: the server could have negotiated a higher version than it did.
    pub downgrade_sentinel: bool,
    /// JA3S digest, 32 hex digits.
    pub ja3s: String,
}

/// A CertificateRequest that could be read (up to TLS 1.2, RFC 5246 §7.4.4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateRequest {
    /// ClientCertificateTypes: 1 `rsa_sign`, 64 `ecdsa_sign` ….
    pub certificate_types: Vec<u8>,
    /// Signature algorithms; empty before TLS 1.2.
    pub signature_schemes: Vec<SignatureScheme>,
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

/// The server's extensions that TLS 1.3 encrypts (RFC 9846 §4.4.1), decrypted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EncryptedExtensions {
    /// Extension types in the server's order.
    pub extensions: Vec<u16>,
    /// The chosen ALPN protocol.
    pub alpn: Option<String>,
    /// The server takes the client's 0-RTT data.
    pub early_data: bool,
}

/// Why records of a session for which there is a key log were not decrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Undecrypted {
    /// The key log has no secret for them.
    Secret,
    /// The ServerHello is not in the capture, and nobody knows the cipher suite.
    Hello,
    /// The cipher suite is none that is decrypted here: not AEAD, or compressed before.
    Suite,
    /// The tag does not fit: the secret is another session's, or the bytes are damaged.
    Tag,
    /// Bytes before them are missing from the capture: their numbers are lost.
    Gap,
    /// They waited for their secret longer, or were more, than can be held.
    Hold,
    /// Enough of the flow was decrypted: what follows is bulk.
    Bulk,
    /// The secret is perhaps one of an inner ClientHello, and not all that there are were tried.
    Trials,
}

impl Undecrypted {
    /// Each with its words for people.
    pub const WORDS: &[(Self, &str)] = &[
        (Self::Secret, "TLS flows not decrypted because the key log has no secret for them"),
        (Self::Hello, "TLS flows not decrypted because the ServerHello is not in the capture"),
        (Self::Suite, "TLS flows not decrypted because their cipher suite is not supported"),
        (Self::Tag, "TLS flows not decrypted, or not to the end, because a record does not fit its secret"),
        (Self::Gap, "TLS flows not decrypted to the end because bytes are missing from the capture"),
        (Self::Hold, "TLS flows not decrypted because their secrets came too late"),
        (Self::Bulk, "TLS flows of which only the first bytes were decrypted"),
        (
            Self::Trials,
            "TLS flows with Encrypted Client Hello for which not every secret of the key log was tried",
        ),
    ];

    /// Its name in the outputs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Secret => "secret_missing",
            Self::Hello => "server_hello_missing",
            Self::Suite => "suite_unsupported",
            Self::Tag => "tag_mismatch",
            Self::Gap => "gap",
            Self::Hold => "secret_late",
            Self::Bulk => "bulk",
            Self::Trials => "trials",
        }
    }
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

impl Alert {
    /// The description in lower snake case, e.g. `unknown_ca`; `None` when encrypted or unknown.
    #[must_use]
    pub fn description_name(&self) -> Option<&'static str> {
        self.description.and_then(alert_description_name)
    }

    /// `warning` or `fatal`; `None` when encrypted or neither.
    #[must_use]
    pub fn level_name(&self) -> Option<&'static str> {
        match self.level {
            Some(1) => Some("warning"),
            Some(2) => Some("fatal"),
            _ => None,
        }
    }

    /// Whether its contents are hidden.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.description.is_none()
    }
}

/// An SSL 2.0 ServerHello. Its certificate is a [`Fact::Certificate`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ssl2ServerHello {
    /// Its version: SSL 2.0.
    pub version: TlsVersion,
    /// What both sides can do; the client chooses.
    pub cipher_kinds: Vec<Ssl2CipherKind>,
    /// The server found the client's session.
    pub session_id_hit: bool,
}

/// A Handshake packet of QUIC (RFC 9000 §17.2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct HandshakePacket {
    /// Bytes of packet number, frames and tag.
    pub len: u16,
    /// Whether the frames may be padding for the most part: the datagram carries an Initial, too, or is as long as one
    /// with an Initial has to be (RFC 9000 §14.1).
    pub padded: bool,
}

/// A piece of a TLS session. Handshake messages as soon as they are complete.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Fact {
    /// A ClientHello; a second one follows a HelloRetryRequest or renegotiates.
    ClientHello(Arc<ClientHello>),
    /// A HelloRetryRequest.
    HelloRetryRequest(Arc<ServerHello>),
    /// A ServerHello.
    ServerHello(Arc<ServerHello>),
    /// An SSL 2.0 ServerHello: the session is SSL 2.0.
    Ssl2ServerHello(Box<Ssl2ServerHello>),
    /// The SSL 2.0 client's choice of cipher (CLIENT-MASTER-KEY).
    Ssl2MasterKey(Ssl2CipherKind),
    /// Which way the client's bytes go, as the messages tell; said once, before the first fact that names a role.
    Client {
        /// From the client to the server.
        direction: Direction,
    },
    /// What the server encrypts of its extensions, decrypted (TLS 1.3).
    EncryptedExtensions(Arc<EncryptedExtensions>),
    /// The server accepted Encrypted Client Hello: its first encrypted bytes opened under a secret that the key log has
    /// of another ClientHello than the one on the wire.
    EchAccepted,
    /// The Finished of a side, decrypted: its part of the handshake was read to the end.
    Finished {
        /// Who.
        from: Role,
    },
    /// From here on records of this side are not decrypted, although there is a key log.
    Undecrypted {
        /// Who sent them.
        from: Role,
        /// Why.
        reason: Undecrypted,
    },
    /// A certificate chain that could be read, leaf first; empty: the client declined. From TLS 1.3 on decrypted.
    Certificate {
        /// Whose.
        from: Role,
        /// Leaf first; at most 32 are kept.
        chain: Arc<[Arc<Certificate>]>,
    },
    /// The server asks for a client certificate.
    CertificateRequest(Arc<CertificateRequest>),
    /// The server's ephemeral key.
    ServerKeyExchange(ServerKeyExchange),
    /// The server's hello messages are complete: a full handshake, no resumption (up to TLS 1.2).
    ServerHelloDone,
    /// The client's part of the key exchange (up to TLS 1.2).
    ClientKeyExchange,
    /// The server hands out a session ticket in the clear (up to TLS 1.2).
    NewSessionTicket,
    /// A stapled OCSP response in the clear (up to TLS 1.2).
    CertificateStatus,
    /// The client proves that it has its certificate's key.
    CertificateVerify {
        /// Who.
        from: Role,
    },
    /// A side switches to encryption, the first time (not counted in TLS 1.3, where it is a dummy).
    ChangeCipherSpec {
        /// Who.
        from: Role,
    },
    /// The first encrypted handshake record of a side: up to TLS 1.2, its Finished. In TLS 1.3, where handshake and
    /// data look alike: the first encrypted record of a side that is too long for an alert.
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
    /// Lengths of the first encrypted records of a side in TLS 1.3, at most 16: evidence for inferences. Said when the
    /// analyzer is done.
    EncryptedRecords {
        /// Who.
        from: Role,
        /// `TLSCiphertext.length` of each.
        lengths: Arc<[u16]>,
        /// The side is known to have sent no others.
        whole: bool,
    },
    /// TLS 1.3: what the server answers the client's flight with.
    ServerAnswer(ServerAnswer),
    /// QUIC: the client's first Handshake packets up to its first 1-RTT packet, at most 16: evidence for inferences.
    /// Said when the analyzer is done.
    HandshakePackets {
        /// In order.
        packets: Arc<[HandshakePacket]>,
    },
    /// A heartbeat record (RFC 6520); the first of a side.
    Heartbeat {
        /// Who.
        from: Role,
    },
    /// A handshake message longer than [`crate::flow::FlowLimits::message_bytes`]: skipped.
    MessageDropped {
        /// Who.
        from: Role,
        /// HandshakeType.
        kind: u8,
        /// Its length.
        len: u32,
    },
    /// A handshake message whose contents are not what its type demands: skipped.
    MalformedMessage {
        /// Who.
        from: Role,
        /// HandshakeType.
        kind: u8,
        /// What is wrong, and where in the message.
        error: Box<ParseError>,
    },
    /// Bytes of the handshake are missing from the capture: what was not seen may have been sent.
    HandshakeGap {
        /// Who sent them.
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
