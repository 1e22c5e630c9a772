//! TLS over streams, from the SSLv2 ClientHello to TLS 1.3 (RFC 5246, RFC 9846).
//!
//! Recognised by bytes (`probe`), split into records and messages (`record`), read (`hello`, `wire`, `ssl2`, `x509`) and
//! said as [`Fact`]s (`analyzer`, `handshake`); a [`Session`] is the facts of a flow put together. What is encrypted is
//! decrypted with the tester's key log alone (`keylog`, `keys`, `decryption`, `encrypted`). Framing and hellos are read field by
//! field, so that code points that nobody knows are kept; key exchange parameters are tls-parser's, certificates
//! x509-parser's, and the names of code points IANA's (`registry`).

mod analyzer;
mod certificate;
mod client_flight;
mod code_point;
mod crypto_stream;
mod decryption;
#[cfg(test)]
mod decryption_tests;
mod encrypted;
mod fact;
mod fingerprint;
mod handshake;
mod held;
mod hello;
mod inner_hello;
mod keylog;
mod keys;
mod probe;
mod record;
mod refusal;
mod registry;
mod rejection;
mod session;
mod ssl2;
mod suite;
#[cfg(test)]
mod tests;
mod tls13;
mod trials;
mod wire;
mod x509;

use super::{Analyzer, Protocol, Worth};
use crate::decode::Transport;

pub use self::certificate::{Certificate, CertificateCache, ParsedCertificate, PublicKey};
pub use self::client_flight::{Certainty, ClientFlight};
pub use self::code_point::{NamedGroup, SignatureHash, SignatureScheme, TlsVersion, alert_description_name};
pub(super) use self::crypto_stream::CryptoStream;
pub use self::fact::{
    Alert, CertificateRequest, ClientEch, ClientHello, Ech, EncryptedExtensions, Fact, HandshakePacket, Role,
    ServerHello, ServerKeyExchange, Ssl2ServerHello, Undecrypted,
};
pub(in crate::protocol) use self::handshake::Handshake;
pub(in crate::protocol) use self::inner_hello::InnerHello;
pub use self::keylog::KeyLog;
pub(in crate::protocol) use self::keylog::{Epoch, Secret};
pub(in crate::protocol) use self::keys::PacketProtection;
pub use self::refusal::{ClientRejection, ServerAnswer};
pub use self::registry::Recommended;
pub use self::rejection::{Rejection, Shape};
pub use self::session::{ClientCertificate, ClientCertificateBasis, Original, Resumption, Seen, Session};
pub use self::suite::{
    Authentication, CipherMode, CipherSuite, Encryption, KeyExchange, Mac, Ssl2CipherKind, SuiteProperties,
};
pub use self::trials::Trials;
pub(in crate::protocol) use self::wire::kind as handshake_type;

/// TLS in the registry.
pub static PROTOCOL: Protocol = Protocol {
    name: "tls",
    transports: &[Transport::Tcp],
    worth: Worth::Tls,
    probe: probe::probe,
    analyzer,
    views: include_str!("views.sql"),
};

fn analyzer() -> Box<dyn Analyzer> {
    Box::new(analyzer::TlsAnalyzer::default())
}
