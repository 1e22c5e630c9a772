//! Commands and their replies, which may be pipelined (RFC 2920).

use super::{PROTOCOL, is_auth, is_hello, is_prompt};
use crate::flow::Direction;
use crate::protocol::awaited::Awaited;
use crate::protocol::dialogue::{Dialogue, Turn, command, reply, trimmed};
use crate::protocol::sasl::Exchange;
use crate::protocol::upgrade::{self, Step};
use crate::protocol::{Context, Progress, property};

/// Words that are no responses, although they look like base64.
const COMMANDS: [&str; 15] = [
    "AUTH", "BDAT", "DATA", "EHLO", "EXPN", "HELO", "HELP", "LHLO", "MAIL", "NOOP", "QUIT", "RCPT", "RSET",
    "STARTTLS", "VRFY",
];

/// A command that waits for its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pending {
    Greeting,
    Hello,
    StartTls,
    Auth,
    Other,
}

#[derive(Default)]
pub(super) struct Smtp {
    awaited: Awaited<Pending>,
    /// Whether the greeting has begun.
    greeted: bool,
    /// Whether the reply to EHLO that is being read offers an upgrade.
    offered: bool,
    exchange: Option<Exchange>,
    /// Whether replies to the exchange are missing, so that it may be over.
    doubtful: bool,
}

impl Dialogue for Smtp {
    const NAME: &'static str = PROTOCOL.name;

    fn message(&mut self, direction: Direction, message: &[u8], cx: &mut Context<'_>) -> Turn {
        self.awaited.speak(direction, Pending::Greeting);
        match direction {
            Direction::ToResponder => self.command(message, cx),
            Direction::ToOriginator => self.reply(message, cx),
        }
    }

    fn missing(&mut self, direction: Direction) {
        self.awaited.lose();
        match direction {
            Direction::ToOriginator if self.exchange.is_some() => {
                self.doubtful = true;
                self.awaited.expect(Pending::Auth);
            }
            _ => self.exchange = None,
        }
    }

    const RESUMES: bool = true;

    fn resumes(&self, direction: Direction, line: &[u8]) -> bool {
        match direction {
            // An exchange that there is was seen to ask since.
            Direction::ToResponder => is_auth(line) || is_hello(line) || self.exchange.is_some(),
            Direction::ToOriginator => is_prompt(line) || self.exchange.is_some() && reply(line).is_some(),
        }
    }
}

impl Smtp {
    fn command(&mut self, line: &[u8], cx: &mut Context<'_>) -> Turn {
        let (word, rest) = command(line);
        if self.doubtful && COMMANDS.contains(&word.as_str()) {
            self.exchange = None;
            self.awaited.lose();
        }
        if let Some(exchange) = &mut self.exchange {
            exchange.response(trimmed(line), PROTOCOL.name, cx);
            return Turn::Next;
        }
        let (pending, turn) = match word.as_str() {
            "EHLO" | "LHLO" => {
                self.offered = false;
                (Pending::Hello, Turn::Next)
            }
            "STARTTLS" => {
                upgrade::Fact::say(PROTOCOL.name, Step::Requested, cx);
                (Pending::StartTls, Turn::Hold)
            }
            "AUTH" => {
                self.exchange = Some(Exchange::of_words(rest, PROTOCOL.name, cx));
                self.doubtful = false;
                upgrade::went_on(PROTOCOL.name, b"AUTH", cx);
                (Pending::Auth, Turn::Next)
            }
            "MAIL" | "DATA" | "BDAT" => {
                upgrade::went_on(PROTOCOL.name, word.as_bytes(), cx);
                return Turn::Stop(Progress::Done);
            }
            _ => (Pending::Other, Turn::Next),
        };
        self.awaited.ask(pending, turn)
    }

    fn reply(&mut self, line: &[u8], cx: &mut Context<'_>) -> Turn {
        let Some((code, more)) = reply(line) else {
            return self.awaited.no_reply(&Pending::StartTls);
        };
        let said = trimmed(line).get(4..).unwrap_or_default();
        match self.awaited.next() {
            Some(Pending::Hello) if code == 250 => self.capability(said, more, cx),
            // The first line has the server's name and software (RFC 5321 §4.2).
            Some(Pending::Greeting) if !self.greeted => {
                self.greeted = true;
                property::Fact::say(PROTOCOL.name, "banner", said, cx);
            }
            _ => {}
        }
        if code == 334 && self.exchange.is_none() {
            self.exchange = Exchange::prompted(said);
            self.doubtful = false;
            if self.exchange.is_some() {
                self.awaited.expect(Pending::Auth);
            }
        }
        // 334: the exchange goes on (RFC 4954 §4).
        if more || code == 334 {
            return Turn::Next;
        }
        match self.awaited.answer() {
            Some(Pending::StartTls) => upgrade::answered(PROTOCOL.name, code == 220, cx),
            Some(Pending::Auth) => {
                self.exchange = None;
                Turn::Next
            }
            _ => Turn::Next,
        }
    }

    /// A line of the reply to EHLO.
    fn capability(&mut self, said: &[u8], more: bool, cx: &mut Context<'_>) {
        if said.eq_ignore_ascii_case(b"STARTTLS") {
            self.offered = true;
            upgrade::Fact::say(PROTOCOL.name, Step::Offered, cx);
        } else if is_garbled(said) {
            property::Fact::say(PROTOCOL.name, "garbled_capability", said, cx);
        }
        if !more && !self.offered {
            upgrade::Fact::say(PROTOCOL.name, Step::NotOffered, cx);
        }
    }
}

/// Whether a middlebox wrote over a capability: `XXXXXXXA` has the length of `STARTTLS`.
fn is_garbled(capability: &[u8]) -> bool {
    let xs = capability.iter().take_while(|byte| **byte == b'X').count();
    xs >= 4 && capability.len().saturating_sub(xs) <= 1
}
