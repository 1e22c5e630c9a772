//! XMPP up to the login ([RFC 6120](https://datatracker.ietf.org/doc/html/rfc6120), STARTTLS in §5; [XEP-0078](https://xmpp.org/extensions/xep-0078.html)
//! for old clients).
//!
//! XML is not parsed: the streams' negotiation is flat, and what ends with `>` is looked at one after the other. Direct TLS
//! ([XEP-0368](https://xmpp.org/extensions/xep-0368.html)) has no readable byte: such a flow is TLS with an ALPN of `xmpp-client`.

mod dialogue;

use super::dialogue::{Talk, is_text, mentions};
use super::{Analyzer, Probe, ProbeInput, Protocol, Worth};
use crate::decode::Transport;

/// XMPP in the registry.
pub static PROTOCOL: Protocol = Protocol {
    name: "xmpp",
    transports: &[Transport::Tcp],
    worth: Worth::Cleartext,
    probe,
    analyzer,
    views: "",
};

/// The name space of streams (RFC 6120 §4.8.1).
const STREAMS: &str = "http://etherx.jabber.org/streams";

/// Bytes in which a stream's header has to stand.
const MAX_HEADER: usize = 1000;

fn probe(input: &ProbeInput<'_>) -> Probe {
    const BEGINNINGS: [&[u8]; 3] = [b"<?xml ", b"<stream:stream", b"<flash:stream"];
    let bytes = input.bytes.trim_ascii_start();
    let starts = BEGINNINGS.iter().any(|one| {
        let len = bytes.len().min(one.len());
        bytes.get(..len) == one.get(..len)
    });
    if !starts || !is_text(bytes.get(..64).unwrap_or(bytes)) {
        return Probe::NoMatch;
    }
    if mentions(bytes, STREAMS) {
        return Probe::Match;
    }
    if bytes.len() < MAX_HEADER { Probe::NeedMore } else { Probe::NoMatch }
}

fn analyzer() -> Box<dyn Analyzer> {
    Talk::<dialogue::Xmpp>::boxed()
}
