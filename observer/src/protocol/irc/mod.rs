//! IRC up to some lines behind the welcome ([RFC 2812](https://datatracker.ietf.org/doc/html/rfc2812), and
//! [IRCv3](https://ircv3.net/irc/) for `CAP`, `AUTHENTICATE` and the deprecated `STARTTLS`).
//!
//! Conversations are not kept; that a password is told to NickServ is.

mod dialogue;

use super::dialogue::{Talk, command, first_line, is_text};
use super::{Analyzer, Probe, ProbeInput, Protocol, Worth};
use crate::decode::Transport;
use crate::flow::Direction;

/// IRC in the registry.
pub static PROTOCOL: Protocol = Protocol {
    name: "irc",
    transports: &[Transport::Tcp],
    worth: Worth::Cleartext,
    probe,
    analyzer,
    views: "",
};

fn probe(input: &ProbeInput<'_>) -> Probe {
    let (line, whole) = first_line(input.bytes);
    if line.len() > 512 || !is_text(line) {
        return Probe::NoMatch;
    }
    match (input.direction, whole) {
        (Direction::ToOriginator, true) => {
            if is_server_line(line) {
                Probe::Match
            } else {
                Probe::NoMatch
            }
        }
        (Direction::ToResponder, true) => client(line, input),
        (_, false) => Probe::NeedMore,
    }
}

/// What a server begins with: a notice, a reply to `CAP`, or the refusal of a connection.
fn is_server_line(line: &[u8]) -> bool {
    let (source, rest) = match line.strip_prefix(b":") {
        Some(_) => {
            let end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
            (line.get(1..end).unwrap_or_default(), line.get(end..).unwrap_or_default().trim_ascii_start())
        }
        None => (&[][..], line),
    };
    let (word, arguments) = command(rest);
    let (target, text) = command(arguments);
    let named = !source.is_empty() && source.iter().all(u8::is_ascii_graphic);
    match word.as_str() {
        "NOTICE" => (named || target == "AUTH") && !target.is_empty() && text.starts_with(b":"),
        "CAP" => named && matches!(command(text).0.as_str(), "LS" | "ACK" | "NAK" | "LIST"),
        "ERROR" => arguments.starts_with(b":Closing Link"),
        _ => named && word.len() == 3 && word.bytes().all(|byte| byte.is_ascii_digit()) && !target.is_empty(),
    }
}

fn client(line: &[u8], input: &ProbeInput<'_>) -> Probe {
    let server = first_line(input.other).0;
    if !(server.is_empty() || is_server_line(server)) {
        return Probe::NoMatch;
    }
    match kind(line) {
        None => Probe::NoMatch,
        Some(true) => Probe::Match,
        // One line of a registration is another protocol's, too; two are not.
        Some(false) => {
            if is_server_line(server) {
                return Probe::Match;
            }
            let rest = input.bytes.iter().position(|byte| *byte == b'\n');
            let rest = rest.and_then(|end| input.bytes.get(end.saturating_add(1)..)).unwrap_or_default();
            match first_line(rest) {
                (_, false) => Probe::NeedMore,
                (next, true) if kind(next).is_some() => Probe::Match,
                _ => Probe::NoMatch,
            }
        }
    }
}

/// Whether a line registers a client: `Some(true)` where no other protocol has such a line.
fn kind(line: &[u8]) -> Option<bool> {
    let (word, rest) = command(line);
    match word.as_str() {
        "CAP" => matches!(command(rest).0.as_str(), "LS" | "REQ" | "LIST" | "END").then_some(true),
        "NICK" => {
            let nick = rest.strip_prefix(b":").unwrap_or(rest);
            let first =
                nick.first().is_some_and(|byte| byte.is_ascii_alphabetic() || b"[]\\`_^{|}".contains(byte));
            (first && nick.len() <= 64 && nick.iter().all(u8::is_ascii_graphic)).then_some(false)
        }
        "USER" => {
            let parts = rest.splitn(4, |byte| *byte == b' ').filter(|part| !part.is_empty()).count();
            (parts == 4).then_some(true)
        }
        "PASS" => (!rest.is_empty()).then_some(false),
        "STARTTLS" => rest.is_empty().then_some(false),
        _ => None,
    }
}

fn analyzer() -> Box<dyn Analyzer> {
    Talk::<dialogue::Irc>::boxed()
}
