//! TLS over streams, from the SSLv2 ClientHello to TLS 1.3 (RFC 5246, RFC 9846).

mod analyzer;
mod certificate;
mod code_point;
mod fact;
mod session;
mod suite;
mod wire;

use super::{Analyzer, Probe, ProbeInput, Protocol};
use crate::decode::Transport;

pub use self::certificate::{Certificate, CertificateCache, ParsedCertificate, PublicKey};
pub use self::code_point::{
    NamedGroup, SignatureHash, SignatureScheme, TlsVersion, alert_description_name, extension_name,
};
pub use self::fact::{
    Alert, CertificateRequest, ClientEch, ClientHello, Fact, Role, ServerHello, ServerKeyExchange,
    Ssl2ServerHello,
};
pub use self::session::{ClientCertificate, Resumption, Seen, Session};
pub use self::suite::{
    Authentication, CipherMode, CipherSuite, Encryption, KeyExchange, Mac, Ssl2CipherKind, SuiteProperties,
};

/// TLS in the registry.
pub static PROTOCOL: Protocol = Protocol {
    name: "tls",
    transports: &[Transport::Tcp],
    probe,
    analyzer,
    views: include_str!("views.sql"),
};

fn probe(input: &ProbeInput<'_>) -> Probe {
    match input.bytes {
        [0x16, 0x03, 0..=4, _, _, 1 | 2, ..] => Probe::Match,
        _ => Probe::NoMatch,
    }
}

fn analyzer() -> Box<dyn Analyzer> {
    Box::new(analyzer::TlsAnalyzer::default())
}
