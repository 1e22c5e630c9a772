//! POP3 up to the login ([RFC 1939](https://datatracker.ietf.org/doc/html/rfc1939), [RFC
//! 2595](https://datatracker.ietf.org/doc/html/rfc2595) STLS, [RFC 5034](https://datatracker.ietf.org/doc/html/rfc5034) AUTH).
//!
//! Mails are not read. Redis answers with the same `+OK`, but never speaks first.

mod dialogue;

use super::dialogue::{Talk, command, first_line, is_text};
use super::{Analyzer, Probe, ProbeInput, Protocol, Worth};
use crate::decode::Transport;
use crate::flow::Direction;

/// POP3 in the registry.
pub static PROTOCOL: Protocol = Protocol {
    name: "pop3",
    transports: &[Transport::Tcp],
    worth: Worth::Cleartext,
    probe,
    analyzer,
    views: "",
};

/// The longest first line (RFC 2449 §4).
const MAX_FIRST: usize = 512;

fn probe(input: &ProbeInput<'_>) -> Probe {
    let (line, whole) = first_line(input.bytes);
    if line.len() > MAX_FIRST || !is_text(line) {
        return Probe::NoMatch;
    }
    match input.direction {
        Direction::ToOriginator => {
            let starts = b"+OK".starts_with(line) || line.starts_with(b"+OK ") || line == b"+OK";
            let first = input.other.is_empty() && !input.midstream;
            match (starts, whole) {
                (true, true) if first || is_command(first_line(input.other).0) => Probe::Match,
                (true, false) => Probe::NeedMore,
                _ => Probe::NoMatch,
            }
        }
        Direction::ToResponder => {
            let greeted = input.other.starts_with(b"+OK");
            match whole {
                true if greeted && is_command(line) => Probe::Match,
                true if input.midstream && matches!(command(line).0.as_str(), "STLS" | "APOP") => {
                    Probe::Match
                }
                true if input.other.is_empty() && is_command(line) => Probe::NeedMore,
                true => Probe::NoMatch,
                false => Probe::NeedMore,
            }
        }
    }
}

fn is_command(line: &[u8]) -> bool {
    let (word, rest) = command(line);
    match word.as_str() {
        "CAPA" | "STLS" => rest.is_empty(),
        "USER" | "APOP" => !rest.is_empty(),
        "AUTH" | "QUIT" => true,
        _ => false,
    }
}

fn analyzer() -> Box<dyn Analyzer> {
    Talk::<dialogue::Pop3>::boxed()
}
