//! Commands and their replies.

use std::collections::VecDeque;

use super::PROTOCOL;
use crate::flow::Direction;
use crate::protocol::dialogue::{Dialogue, Turn, command, mentions, reply, trimmed};
use crate::protocol::login::Exposure;
use crate::protocol::sasl;
use crate::protocol::upgrade::{self, Step};
use crate::protocol::{Context, Progress, property};

/// Commands that may wait for their replies.
const MAX_PENDING: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pending {
    Greeting,
    Features,
    StartTls,
    /// `AUTH` with something that is not TLS.
    Auth,
    Other,
}

#[derive(Default)]
pub(super) struct Ftp {
    pending: VecDeque<Pending>,
    spoken: bool,
    /// The code of a reply of several lines that is being read (RFC 959 §4.2).
    inside: Option<u16>,
    offered: bool,
    anonymous: bool,
}

impl Dialogue for Ftp {
    const NAME: &'static str = PROTOCOL.name;

    fn message(&mut self, direction: Direction, message: &[u8], cx: &mut Context<'_>) -> Turn {
        let first = !std::mem::replace(&mut self.spoken, true);
        match direction {
            Direction::ToResponder => self.command(message, cx),
            Direction::ToOriginator => {
                if first {
                    self.pending.push_front(Pending::Greeting);
                }
                self.reply(message, cx)
            }
        }
    }

    fn missing(&mut self, _direction: Direction) {
        self.pending.clear();
        (self.inside, self.spoken) = (None, true);
    }
}

impl Ftp {
    fn command(&mut self, line: &[u8], cx: &mut Context<'_>) -> Turn {
        let (word, rest) = command(line);
        let mut turn = Turn::Next;
        let pending = match word.as_str() {
            "FEAT" => {
                self.offered = false;
                Pending::Features
            }
            "AUTH" if matches!(command(rest).0.as_str(), "TLS" | "SSL" | "TLS-C" | "TLS-P") => {
                upgrade::Fact::say(PROTOCOL.name, Step::Requested, cx);
                turn = Turn::Hold;
                Pending::StartTls
            }
            "AUTH" => Pending::Auth,
            "USER" => {
                self.anonymous = rest.eq_ignore_ascii_case(b"anonymous") || rest.eq_ignore_ascii_case(b"ftp");
                upgrade::went_on(PROTOCOL.name, b"USER", cx);
                Pending::Other
            }
            "PASS" => {
                // An anonymous user's password is an address that nobody checks (RFC 1635).
                let exposure = if self.anonymous { Exposure::Identity } else { Exposure::Secret };
                sasl::say(PROTOCOL.name, "USER/PASS", exposure, cx);
                Pending::Other
            }
            _ => Pending::Other,
        };
        if self.pending.len() >= MAX_PENDING {
            return Turn::Stop(Progress::Done);
        }
        self.pending.push_back(pending);
        turn
    }

    fn reply(&mut self, line: &[u8], cx: &mut Context<'_>) -> Turn {
        let begins = reply(line);
        let (code, more) = match (self.inside, begins) {
            (Some(code), Some((other, false))) if code == other => (code, false),
            (Some(code), _) => (code, true),
            (None, Some(begins)) => begins,
            (None, None) if self.pending.front() == Some(&Pending::StartTls) => {
                // What is no reply does not agree to TLS.
                self.pending.pop_front();
                return Turn::Release;
            }
            (None, None) => return Turn::Next,
        };
        self.inside = more.then_some(code);
        let front = self.pending.front().copied();
        if front == Some(Pending::Features) && begins.is_none() {
            let said = trimmed(line).trim_ascii();
            if !self.offered && (mentions(said, "AUTH TLS") || mentions(said, "AUTH SSL")) {
                self.offered = true;
                upgrade::Fact::say(PROTOCOL.name, Step::Offered, cx);
            } else if said.starts_with(b"XXXX") {
                property::Fact::say(PROTOCOL.name, "garbled_capability", said, cx);
            }
        }
        // 1xx: another reply follows (RFC 959 §4.2.1).
        if more || code < 200 {
            return Turn::Next;
        }
        let said = trimmed(line).get(4..).unwrap_or_default();
        match self.pending.pop_front() {
            Some(Pending::Greeting) => property::Fact::say(PROTOCOL.name, "banner", said, cx),
            Some(Pending::Features) if code == 211 && !self.offered => {
                upgrade::Fact::say(PROTOCOL.name, Step::NotOffered, cx);
            }
            Some(Pending::StartTls) if code == 234 => {
                upgrade::Fact::say(PROTOCOL.name, Step::Accepted, cx);
                return Turn::Stop(Progress::Upgraded);
            }
            Some(Pending::StartTls) => {
                upgrade::Fact::say(PROTOCOL.name, Step::Refused, cx);
                return Turn::Release;
            }
            // What follows is wrapped by another mechanism (RFC 2228), which nothing here reads.
            Some(Pending::Auth) if matches!(code, 234 | 334) => return Turn::Stop(Progress::Done),
            _ => {}
        }
        Turn::Next
    }
}
