//! NNTP up to the login ([RFC 3977](https://datatracker.ietf.org/doc/html/rfc3977), [RFC
//! 4642](https://datatracker.ietf.org/doc/html/rfc4642) STARTTLS, [RFC 4643](https://datatracker.ietf.org/doc/html/rfc4643) AUTHINFO).
//!
//! Articles are not read: with the first of them everything worth knowing has been said.

mod dialogue;

use super::dialogue::{Talk, command, first_line, is_text, mentions, reply};
use super::{Analyzer, Probe, ProbeInput, Protocol, Worth};
use crate::decode::Transport;
use crate::flow::Direction;

/// NNTP in the registry.
pub static PROTOCOL: Protocol = Protocol {
    name: "nntp",
    transports: &[Transport::Tcp],
    worth: Worth::Cleartext,
    probe,
    analyzer,
    views: "",
};

const PORTS: &[u16] = &[119, 433];

fn probe(input: &ProbeInput<'_>) -> Probe {
    let (line, whole) = first_line(input.bytes);
    if line.len() > 512 || !is_text(line) {
        return Probe::NoMatch;
    }
    let greets = |line: &[u8]| matches!(reply(line), Some((200 | 201, false)));
    match input.direction {
        Direction::ToOriginator => {
            let starts = b"200 ".starts_with(line) || b"201 ".starts_with(line) || greets(line);
            let says = mentions(line, "nntp") || mentions(line, "internetnews");
            let asked = is_first_command(first_line(input.other).0);
            match (starts, whole) {
                (true, true) if says || asked || (PORTS.contains(&input.port) && !input.midstream) => {
                    Probe::Match
                }
                (true, _) => Probe::NeedMore,
                _ => Probe::NoMatch,
            }
        }
        Direction::ToResponder => match whole {
            true if greets(first_line(input.other).0) && is_first_command(line) => Probe::Match,
            true if input.other.is_empty() && is_first_command(line) => Probe::NeedMore,
            true => Probe::NoMatch,
            false => Probe::NeedMore,
        },
    }
}

fn is_first_command(line: &[u8]) -> bool {
    let (word, rest) = command(line);
    match word.as_str() {
        "CAPABILITIES" | "STARTTLS" => rest.is_empty(),
        "MODE" => matches!(command(rest).0.as_str(), "READER" | "STREAM"),
        "AUTHINFO" => matches!(command(rest).0.as_str(), "USER" | "SASL"),
        "GROUP" | "LISTGROUP" => !rest.is_empty(),
        "LIST" => {
            rest.is_empty() || matches!(command(rest).0.as_str(), "ACTIVE" | "NEWSGROUPS" | "OVERVIEW.FMT")
        }
        _ => false,
    }
}

fn analyzer() -> Box<dyn Analyzer> {
    Talk::<dialogue::Nntp>::boxed()
}
