//! HTTP/1.0 and HTTP/1.1 (RFC 9112) message heads; bodies are skipped, not kept.

mod fact;

use super::{Analyzer, Context, Probe, ProbeInput, Progress, Protocol};
use crate::decode::Transport;
use crate::flow::Data;

pub use self::fact::{Credential, CredentialKind, Fact, Header, Request, Response, header};

/// HTTP/1 in the registry.
pub static PROTOCOL: Protocol = Protocol {
    name: "http",
    transports: &[Transport::Tcp],
    probe,
    analyzer,
    views: include_str!("views.sql"),
};

fn probe(_input: &ProbeInput<'_>) -> Probe {
    Probe::NoMatch
}

fn analyzer() -> Box<dyn Analyzer> {
    Box::new(Http1Analyzer)
}

struct Http1Analyzer;

impl Analyzer for Http1Analyzer {
    fn data(&mut self, _data: Data<'_>, _cx: &mut Context<'_>) -> Progress {
        Progress::Done
    }
}
