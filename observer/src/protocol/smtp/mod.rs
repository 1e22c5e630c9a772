//! SMTP and LMTP up to the first mail ([RFC 5321](https://datatracker.ietf.org/doc/html/rfc5321),
//! [RFC 3207](https://datatracker.ietf.org/doc/html/rfc3207) STARTTLS, [RFC 4954](https://datatracker.ietf.org/doc/html/rfc4954) AUTH).
//!
//! Mails are not read: with `MAIL` everything worth knowing has been said. FTP greets with the same code: a greeting
//! that does not say what it is waits for the client's first command.

mod dialogue;

use super::dialogue::{Talk, command, first_line, is_text, may_reply, mentions, reply};
use super::{Analyzer, Probe, ProbeInput, Protocol, Worth};
use crate::decode::Transport;
use crate::flow::Direction;

/// SMTP in the registry.
pub static PROTOCOL: Protocol = Protocol {
    name: "smtp",
    transports: &[Transport::Tcp],
    worth: Worth::Cleartext,
    probe,
    analyzer,
    views: "",
};

/// Ports of SMTP, message submission and LMTP: they decide what a greeting without a word of its own is.
const PORTS: &[u16] = &[24, 25, 465, 587, 2525];

/// The longest line of a greeting or a first command (RFC 5321 §4.5.3.1.5).
const MAX_FIRST: usize = 512;

fn probe(input: &ProbeInput<'_>) -> Probe {
    let (line, whole) = first_line(input.bytes);
    if line.len() > MAX_FIRST || !is_text(line) {
        return Probe::NoMatch;
    }
    match input.direction {
        Direction::ToOriginator => greeting(line, whole, input),
        Direction::ToResponder => hello(line, whole, input),
    }
}

fn greeting(line: &[u8], whole: bool, input: &ProbeInput<'_>) -> Probe {
    if !may_reply(line, &[b"220", b"421", b"521", b"554"]) {
        return Probe::NoMatch;
    }
    if !whole {
        return Probe::NeedMore;
    }
    let code = reply(line).map(|(code, _)| code);
    if mentions(line, "smtp") || mentions(line, "lmtp") {
        return Probe::Match;
    }
    if mentions(line, "ftp") || code != Some(220) {
        return Probe::NoMatch;
    }
    let asked = is_hello(first_line(input.other).0);
    if asked || (PORTS.contains(&input.port) && !input.midstream) { Probe::Match } else { Probe::NeedMore }
}

fn hello(line: &[u8], whole: bool, input: &ProbeInput<'_>) -> Probe {
    const COMMANDS: [&[u8]; 3] = [b"EHLO ", b"HELO ", b"LHLO "];
    let starts = COMMANDS.iter().any(|command| {
        let len = line.len().min(command.len());
        line.get(..len)
            .is_some_and(|start| command.get(..len).is_some_and(|want| start.eq_ignore_ascii_case(want)))
    });
    let greeted = matches!(reply(first_line(input.other).0), Some((220 | 250, _)));
    match (starts, whole) {
        (true, true) if is_hello(line) => {
            if greeted || input.midstream {
                Probe::Match
            } else {
                Probe::NeedMore
            }
        }
        (true, false) => Probe::NeedMore,
        _ => {
            let from = line.len() > 12 && mentions(line.get(..11).unwrap_or_default(), "MAIL FROM:<");
            if whole && from && (input.midstream || greeted) { Probe::Match } else { Probe::NoMatch }
        }
    }
}

/// Whether a line greets with a name or an address.
fn is_hello(line: &[u8]) -> bool {
    let (word, name) = command(line);
    let names = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    matches!(word.as_str(), "EHLO" | "HELO" | "LHLO") && names
}

fn analyzer() -> Box<dyn Analyzer> {
    Talk::<dialogue::Smtp>::boxed()
}
