//! ManageSieve up to the login ([RFC 5804](https://datatracker.ietf.org/doc/html/rfc5804), STARTTLS in §2.2).

mod dialogue;

use super::dialogue::{Talk, first_line, is_text};
use super::{Analyzer, Probe, ProbeInput, Protocol, Worth};
use crate::decode::Transport;
use crate::flow::Direction;

/// ManageSieve in the registry.
pub static PROTOCOL: Protocol = Protocol {
    name: "managesieve",
    transports: &[Transport::Tcp],
    worth: Worth::Cleartext,
    probe,
    analyzer,
    views: "",
};

/// The server begins, with what it can: the lines that no implementation leaves out (RFC 5804 §1.7).
fn probe(input: &ProbeInput<'_>) -> Probe {
    const BEGINNINGS: [&[u8]; 2] = [b"\"IMPLEMENTATION\" \"", b"\"SIEVE\" \""];
    let (line, whole) = first_line(input.bytes);
    if input.direction == Direction::ToResponder || !is_text(line) {
        return Probe::NoMatch;
    }
    let starts = BEGINNINGS.iter().any(|one| {
        let len = line.len().min(one.len());
        line.get(..len)
            .is_some_and(|start| one.get(..len).is_some_and(|want| start.eq_ignore_ascii_case(want)))
    });
    match (starts, whole) {
        (true, true) if line.len() > 10 => Probe::Match,
        (true, false) => Probe::NeedMore,
        _ => Probe::NoMatch,
    }
}

fn analyzer() -> Box<dyn Analyzer> {
    Talk::<dialogue::ManageSieve>::boxed()
}
