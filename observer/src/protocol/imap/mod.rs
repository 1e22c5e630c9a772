//! IMAP up to the login ([RFC 9051](https://datatracker.ietf.org/doc/html/rfc9051), STARTTLS in §6.2.1).
//!
//! Mailboxes are not read: with the login, or the first command that needs one, everything worth knowing has been said.

mod dialogue;

use super::dialogue::{Talk, command, first_line, is_text, mentions};
use super::{Analyzer, Probe, ProbeInput, Protocol, Worth};
use crate::decode::Transport;
use crate::flow::Direction;

/// IMAP in the registry.
pub static PROTOCOL: Protocol = Protocol {
    name: "imap",
    transports: &[Transport::Tcp],
    worth: Worth::Cleartext,
    probe,
    analyzer,
    views: "",
};

fn probe(input: &ProbeInput<'_>) -> Probe {
    let (line, whole) = first_line(input.bytes);
    if !is_text(line) {
        return Probe::NoMatch;
    }
    match input.direction {
        Direction::ToOriginator => {
            const GREETINGS: [&[u8]; 4] = [b"* OK ", b"* PREAUTH ", b"* BYE ", b"* CAPABILITY "];
            let starts = GREETINGS.iter().any(|one| {
                let len = line.len().min(one.len());
                line.get(..len) == one.get(..len)
            });
            let says = mentions(line, "imap") || mentions(line, "capability");
            let asked = is_command(first_line(input.other).0);
            let first = input.other.is_empty() && !input.midstream;
            match (starts, whole) {
                (true, true) if says || asked || first => Probe::Match,
                (true, false) => Probe::NeedMore,
                _ => Probe::NoMatch,
            }
        }
        Direction::ToResponder => {
            let greeted = input.other.starts_with(b"* ");
            match whole {
                true if (greeted || input.midstream) && is_command(line) => Probe::Match,
                true if input.other.is_empty() && is_command(line) => Probe::NeedMore,
                true => Probe::NoMatch,
                false => Probe::NeedMore,
            }
        }
    }
}

/// Whether a line is a command that no other protocol writes so: a tag, and a word of IMAP's.
fn is_command(line: &[u8]) -> bool {
    let (tag, rest) = command(line);
    let tagged =
        (1..=16).contains(&tag.len()) && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
    let (word, arguments) = command(rest);
    tagged
        && match word.as_str() {
            "CAPABILITY" | "STARTTLS" => arguments.is_empty(),
            "AUTHENTICATE" => !arguments.is_empty(),
            "LOGIN" => arguments.contains(&b' ') || arguments.ends_with(b"}"),
            "ID" => arguments.starts_with(b"(") || arguments.eq_ignore_ascii_case(b"NIL"),
            "UID" => {
                arguments.len() >= 5
                    && matches!(command(arguments).0.as_str(), "FETCH" | "SEARCH" | "STORE" | "COPY")
            }
            "SELECT" | "EXAMINE" => !arguments.is_empty() && tag.bytes().any(|byte| byte.is_ascii_digit()),
            _ => false,
        }
}

fn analyzer() -> Box<dyn Analyzer> {
    Talk::<dialogue::Imap>::boxed()
}
