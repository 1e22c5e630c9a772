//! Tagged commands, untagged answers, literals.

use super::PROTOCOL;
use crate::flow::Direction;
use crate::protocol::dialogue::{Dialogue, Turn, command, mentions, trimmed};
use crate::protocol::login::Exposure;
use crate::protocol::sasl::{self, Exchange};
use crate::protocol::upgrade::{self, Step};
use crate::protocol::{Context, Progress, property};

/// What waits for a tagged answer.
enum Pending {
    StartTls,
    /// `LOGIN`; whether all of it has been sent.
    Login(bool),
    Authenticate(Exchange),
}

#[derive(Default)]
pub(super) struct Imap {
    pending: Option<(Vec<u8>, Pending)>,
    /// What was said of the upgrade last: lists are repeated.
    offered: Option<bool>,
    greeted: bool,
}

impl Dialogue for Imap {
    const NAME: &'static str = PROTOCOL.name;

    fn message(&mut self, direction: Direction, message: &[u8], cx: &mut Context<'_>) -> Turn {
        let line = trimmed(message);
        match direction {
            Direction::ToResponder => self.command(line, cx),
            Direction::ToOriginator => self.answer(line, cx),
        }
    }

    fn missing(&mut self, _direction: Direction) {
        self.pending = None;
        self.greeted = true;
    }
}

impl Imap {
    fn command(&mut self, line: &[u8], cx: &mut Context<'_>) -> Turn {
        match &mut self.pending {
            Some((_, Pending::Authenticate(exchange))) => {
                exchange.response(line, PROTOCOL.name, cx);
                return Turn::Next;
            }
            Some((_, Pending::Login(whole @ false))) => {
                // What follows a literal of LOGIN: another one, or the end.
                let literal = literal(line);
                if literal.is_none() {
                    *whole = true;
                    sasl::say(PROTOCOL.name, "LOGIN", Exposure::Secret, cx);
                }
                return literal.map_or(Turn::Next, Turn::Skip);
            }
            _ => {}
        }
        let end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
        let tag = line.get(..end).unwrap_or_default();
        let (word, rest) = command(line.get(end..).unwrap_or_default().trim_ascii_start());
        let literal = literal(line);
        match word.as_str() {
            "STARTTLS" => {
                upgrade::Fact::say(PROTOCOL.name, Step::Requested, cx);
                self.pending = Some((tag.to_vec(), Pending::StartTls));
                return Turn::Hold;
            }
            "LOGIN" => {
                upgrade::went_on(PROTOCOL.name, b"LOGIN", cx);
                if literal.is_none() {
                    sasl::say(PROTOCOL.name, "LOGIN", Exposure::Secret, cx);
                }
                self.pending = Some((tag.to_vec(), Pending::Login(literal.is_none())));
            }
            "AUTHENTICATE" => {
                upgrade::went_on(PROTOCOL.name, b"AUTHENTICATE", cx);
                let exchange = Exchange::of_words(rest, PROTOCOL.name, cx);
                self.pending = Some((tag.to_vec(), Pending::Authenticate(exchange)));
                return Turn::Next;
            }
            "SELECT" | "EXAMINE" | "LIST" | "STATUS" | "APPEND" | "FETCH" | "UID" | "SEARCH" | "IDLE" => {
                upgrade::went_on(PROTOCOL.name, word.as_bytes(), cx);
                return Turn::Stop(Progress::Done);
            }
            _ => {}
        }
        literal.map_or(Turn::Next, Turn::Skip)
    }

    fn answer(&mut self, line: &[u8], cx: &mut Context<'_>) -> Turn {
        self.capabilities(line, cx);
        let first = !std::mem::replace(&mut self.greeted, true);
        if let Some(said) = line.strip_prefix(b"* ") {
            if first && let Some(banner) = said.strip_prefix(b"OK ") {
                let banner = banner.rsplit(|byte| *byte == b']').next().unwrap_or(banner);
                property::Fact::say(PROTOCOL.name, "banner", banner, cx);
            }
            return if first && said.starts_with(b"PREAUTH") {
                Turn::Stop(Progress::Done)
            } else {
                Turn::Next
            };
        }
        let Some((tag, pending)) = &self.pending else { return Turn::Next };
        let Some(status) = line.strip_prefix(tag.as_slice()).and_then(|rest| rest.strip_prefix(b" ")) else {
            return Turn::Next;
        };
        let agreed = command(status).0 == "OK";
        let turn = match (pending, agreed) {
            (Pending::StartTls, agreed) => upgrade::answered(PROTOCOL.name, agreed, cx),
            (Pending::Login(_) | Pending::Authenticate(_), true) => Turn::Stop(Progress::Done),
            // A literal that was announced does not follow any more.
            (Pending::Login(_) | Pending::Authenticate(_), false) => Turn::Release,
        };
        self.pending = None;
        turn
    }

    /// The list of capabilities, in an answer of its own or in a greeting's brackets.
    fn capabilities(&mut self, line: &[u8], cx: &mut Context<'_>) {
        let listed = line.starts_with(b"* CAPABILITY ") || mentions(line, "[CAPABILITY ");
        let garbled = |word: &[u8]| word.len() == 8 && word.iter().filter(|byte| **byte == b'X').count() >= 7;
        if !listed {
            return;
        }
        let words = line.split(|byte| matches!(byte, b' ' | b']'));
        let mut offered = false;
        for word in words {
            offered |= word.eq_ignore_ascii_case(b"STARTTLS");
            if garbled(word) {
                property::Fact::say(PROTOCOL.name, "garbled_capability", word, cx);
            }
        }
        // A greeting's list may be short (RFC 9051 §7.1 does not promise more), but what it has is said.
        if self.offered != Some(offered) {
            self.offered = Some(offered);
            upgrade::Fact::say(PROTOCOL.name, if offered { Step::Offered } else { Step::NotOffered }, cx);
        }
    }
}

/// The length of the literal that a line ends with: `{12}`, `{12+}` (RFC 7888).
fn literal(line: &[u8]) -> Option<u64> {
    let inside = line.strip_suffix(b"}")?;
    let start = inside.iter().rposition(|byte| *byte == b'{')?;
    let digits = inside.get(start.saturating_add(1)..)?;
    let digits = digits.strip_suffix(b"+").unwrap_or(digits);
    std::str::from_utf8(digits).ok()?.parse().ok()
}
