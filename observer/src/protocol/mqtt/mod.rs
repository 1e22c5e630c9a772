//! MQTT 3.1, 3.1.1 and 5: who connects to a broker, with what login, and about what.
//!
//! Recognised by the client's CONNECT, which names the protocol; flows whose start was not captured are not claimed.
//! The first topics are said, payloads and secrets never kept.

mod analyzer;
mod wire;

use super::{Analyzer, Probe, ProbeInput, Protocol, Worth};
use crate::decode::Transport;

pub(super) use self::analyzer::MqttAnalyzer;

/// MQTT in the registry.
pub static PROTOCOL: Protocol = Protocol {
    name: "mqtt",
    transports: &[Transport::Tcp],
    worth: Worth::Cleartext,
    probe: |input: &ProbeInput<'_>| recognise(input.bytes),
    analyzer,
    views: "",
};

/// Whether `bytes` begin with a CONNECT.
pub(super) fn recognise(bytes: &[u8]) -> Probe {
    match wire::connect_start(bytes) {
        Ok(_) => Probe::Match,
        Err(error) if error.is_truncated() => Probe::NeedMore,
        Err(_) => Probe::NoMatch,
    }
}

fn analyzer() -> Box<dyn Analyzer> {
    Box::new(MqttAnalyzer::default())
}
