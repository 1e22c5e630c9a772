//! WebSocket ([RFC 6455](https://datatracker.ietf.org/doc/html/rfc6455)) behind the upgrade that HTTP/1 agreed on.
//!
//! The first message of each side tells what is inside: text, JSON, binary, or MQTT, which is read. Subprotocols stand
//! in the heads of the upgrade. Compressed messages (RFC 7692) are noted and not inflated. Without the upgrade nothing is
//! recognised: two bytes of a frame's head tell too little. `wss` is TLS.

mod analyzer;

use super::{Analyzer, Probe, ProbeInput, Protocol, Worth};
use crate::decode::Transport;

/// WebSocket in the registry.
pub static PROTOCOL: Protocol = Protocol {
    name: "websocket",
    transports: &[Transport::Tcp],
    worth: Worth::Cleartext,
    probe: |_: &ProbeInput<'_>| Probe::NoMatch,
    analyzer,
    views: "",
};

fn analyzer() -> Box<dyn Analyzer> {
    Box::new(analyzer::WebsocketAnalyzer::default())
}
