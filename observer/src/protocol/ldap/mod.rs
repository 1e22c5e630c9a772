//! LDAP up to the login ([RFC 4511](https://datatracker.ietf.org/doc/html/rfc4511), StartTLS in §4.14).
//!
//! Messages are measured and the few that matter are read; entries are not. BER is read by hand: of all of it only
//! definite lengths, integers and strings occur here.

mod dialogue;
mod wire;

use super::dialogue::Talk;
use super::{Analyzer, Probe, ProbeInput, Protocol, Worth};
use crate::decode::Transport;
use crate::flow::Direction;

/// LDAP in the registry.
pub static PROTOCOL: Protocol = Protocol {
    name: "ldap",
    transports: &[Transport::Tcp],
    worth: Worth::Cleartext,
    probe,
    analyzer,
    views: "",
};

fn probe(input: &ProbeInput<'_>) -> Probe {
    match wire::recognise(input.bytes, input.direction == Direction::ToResponder) {
        Ok(true) => Probe::Match,
        Err(error) if error.is_truncated() => Probe::NeedMore,
        Ok(false) | Err(_) => Probe::NoMatch,
    }
}

fn analyzer() -> Box<dyn Analyzer> {
    Talk::<dialogue::Ldap>::boxed()
}
