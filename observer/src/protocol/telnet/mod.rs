//! Telnet up to the login ([RFC 854](https://datatracker.ietf.org/doc/html/rfc854); TLS by the option START_TLS, which IANA
//! numbers 46 and a draft describes, or by the authentication type SSL of netkit's telnet).
//!
//! Recognised by negotiations of options, three at least where both sides begin with them, five of one side: text without
//! them is not claimed. A login is an inference from the server's prompts, in the languages that are listed; what is typed
//! is never kept. That a session is encrypted by the option ENCRYPT is said, and nothing more of it read.

mod dialogue;
#[cfg(test)]
mod tests;
mod wire;

use super::{Analyzer, Probe, ProbeInput, Protocol, Worth};
use crate::decode::Transport;

/// Telnet in the registry.
pub static PROTOCOL: Protocol = Protocol {
    name: "telnet",
    transports: &[Transport::Tcp],
    worth: Worth::Cleartext,
    probe,
    analyzer: || Box::new(dialogue::Telnet::default()) as Box<dyn Analyzer>,
    views: "",
};

/// Negotiations that both sides have to begin with, taken together: 48 bits against chance.
const ENOUGH: usize = 3;

/// Negotiations that one side has to begin with where the other says nothing, or was not captured: 80 bits against chance.
const ENOUGH_ALONE: usize = 5;

fn probe(input: &ProbeInput<'_>) -> Probe {
    if input.midstream || input.bytes.first() != Some(&wire::IAC) {
        return Probe::NoMatch;
    }
    let (here, there) = (wire::negotiations(input.bytes), wire::negotiations(input.other));
    if here > 0 && there > 0 && here.saturating_add(there) >= ENOUGH {
        return Probe::Match;
    }
    if here >= ENOUGH_ALONE && input.other.is_empty() {
        return Probe::Match;
    }
    let refuted = !input.other.is_empty() && input.other.first() != Some(&wire::IAC);
    let in_doubt = here > 0 || input.bytes.len() < 3;
    if in_doubt && !refuted { Probe::NeedMore } else { Probe::NoMatch }
}
