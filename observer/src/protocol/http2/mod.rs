//! HTTP/2 ([RFC 9113](https://datatracker.ietf.org/doc/html/rfc9113)) message heads: by prior knowledge, after an
//! upgrade from HTTP/1.1, and within TLS that was decrypted.
//!
//! A connection is recognised by the client's preface. Heads are said as HTTP/1 says them, with the version `2` and half
//! the stream's number as index; the request that asked for an upgrade, which HTTP/1 said, is stream 1 (RFC 7540 §3.2).
//! DATA is passed over, forms in it are not searched. Where a header block is missing nothing behind it can be read (RFC
//! 7541 §2.2): the flow is only counted from there on. Pushed requests and tunnels are not said.

mod analyzer;
mod frame;
mod hpack;
mod table;
#[cfg(test)]
mod tests;

use super::{Analyzer, Probe, ProbeInput, Protocol, Worth};
use crate::decode::Transport;

/// HTTP/2 in the registry.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: "http2",
    transports: &[Transport::Tcp],
    worth: Worth::Cleartext,
    probe,
    analyzer,
    views: "",
};

/// The client's preface; a server that speaks first is listened to until the client does.
fn probe(input: &ProbeInput<'_>) -> Probe {
    if input.midstream {
        return Probe::NoMatch;
    }
    match frame::preface(input.bytes) {
        Some(true) => Probe::Match,
        None => Probe::NeedMore,
        Some(false) if frame::may_be_settings(input.bytes) => Probe::NeedMore,
        Some(false) => Probe::NoMatch,
    }
}

fn analyzer() -> Box<dyn Analyzer> {
    Box::new(analyzer::Http2Analyzer::default())
}
