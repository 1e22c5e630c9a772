//! HTTP/1.0 and HTTP/1.1 ([RFC 9112](https://datatracker.ietf.org/doc/html/rfc9112)) message heads, and requests of
//! HTTP/0.9 ([RFC 1945 §4.1](https://datatracker.ietf.org/doc/html/rfc1945#section-4.1)), whose responses have none.
//!
//! Bodies are skipped, not kept: only the first bytes of a request's form are searched for field names that announce
//! a secret. Values of secrets are never looked at beyond "there is one". What a head says is taken as it was sent;
//! whether a server accepts it is not judged here, so that heads are read more leniently than the RFC asks for.
//! SSDP is HTTP over datagrams and is not claimed.

mod analyzer;
mod credential;
mod fact;
mod framing;
mod side;
mod wire;

use super::{Analyzer, Probe, ProbeInput, Protocol, Worth};
use crate::decode::Transport;

pub(super) use self::credential::in_fields as credentials;
pub(crate) use self::credential::{announces_secret, is_secret_field, plain_name};
pub use self::fact::{Credential, CredentialKind, Fact, Header, Request, Response, header};

/// HTTP/1 in the registry.
pub static PROTOCOL: Protocol = Protocol {
    name: "http",
    transports: &[Transport::Tcp],
    worth: Worth::Cleartext,
    probe,
    analyzer,
    views: include_str!("views.sql"),
};

fn probe(input: &ProbeInput<'_>) -> Probe {
    wire::recognise(input.bytes)
}

fn analyzer() -> Box<dyn Analyzer> {
    Box::new(analyzer::Http1Analyzer::default())
}
