//! Commands and their replies, which may be pipelined (RFC 2449 §6.6).

use super::PROTOCOL;
use crate::flow::Direction;
use crate::protocol::awaited::Awaited;
use crate::protocol::dialogue::{Dialogue, Turn, command, trimmed};
use crate::protocol::login::Exposure;
use crate::protocol::sasl::{self, Exchange};
use crate::protocol::upgrade::{self, Step};
use crate::protocol::{Context, Progress, property};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pending {
    Greeting,
    Capabilities,
    Mechanisms,
    StartTls,
    Login,
    Other,
}

#[derive(Default)]
pub(super) struct Pop3 {
    awaited: Awaited<Pending>,
    /// The list that is being read, up to a line with a dot; whether it offers an upgrade.
    list: Option<(Pending, bool)>,
    exchange: Option<Exchange>,
}

impl Dialogue for Pop3 {
    const NAME: &'static str = PROTOCOL.name;

    fn message(&mut self, direction: Direction, message: &[u8], cx: &mut Context<'_>) -> Turn {
        self.awaited.speak(direction, Pending::Greeting);
        match direction {
            Direction::ToResponder => self.command(message, cx),
            Direction::ToOriginator => self.reply(trimmed(message), cx),
        }
    }

    fn missing(&mut self, _direction: Direction) {
        self.awaited.lose();
        (self.exchange, self.list) = (None, None);
    }
}

impl Pop3 {
    fn command(&mut self, line: &[u8], cx: &mut Context<'_>) -> Turn {
        if let Some(exchange) = &mut self.exchange {
            exchange.response(trimmed(line), PROTOCOL.name, cx);
            return Turn::Next;
        }
        let (word, rest) = command(line);
        let mut turn = Turn::Next;
        let pending = match word.as_str() {
            "CAPA" => Pending::Capabilities,
            "STLS" => {
                upgrade::Fact::say(PROTOCOL.name, Step::Requested, cx);
                turn = Turn::Hold;
                Pending::StartTls
            }
            "PASS" if !rest.is_empty() => {
                upgrade::went_on(PROTOCOL.name, word.as_bytes(), cx);
                sasl::say(PROTOCOL.name, "USER/PASS", Exposure::Secret, cx);
                Pending::Login
            }
            "APOP" => {
                upgrade::went_on(PROTOCOL.name, word.as_bytes(), cx);
                sasl::say(PROTOCOL.name, "APOP", Exposure::Response, cx);
                Pending::Login
            }
            "AUTH" if rest.is_empty() => Pending::Mechanisms,
            "AUTH" => {
                upgrade::went_on(PROTOCOL.name, word.as_bytes(), cx);
                self.exchange = Some(Exchange::of_words(rest, PROTOCOL.name, cx));
                Pending::Login
            }
            "STAT" | "LIST" | "UIDL" | "RETR" | "TOP" => {
                upgrade::went_on(PROTOCOL.name, word.as_bytes(), cx);
                return Turn::Stop(Progress::Done);
            }
            _ => Pending::Other,
        };
        self.awaited.ask(pending, turn)
    }

    fn reply(&mut self, line: &[u8], cx: &mut Context<'_>) -> Turn {
        if let Some((what, offered)) = &mut self.list {
            if line == b"." {
                if (*what, *offered) == (Pending::Capabilities, false) {
                    upgrade::Fact::say(PROTOCOL.name, Step::NotOffered, cx);
                }
                self.list = None;
            } else if *what == Pending::Capabilities && line.eq_ignore_ascii_case(b"STLS") {
                *offered = true;
                upgrade::Fact::say(PROTOCOL.name, Step::Offered, cx);
            }
            return Turn::Next;
        }
        let agreed = line.starts_with(b"+OK");
        if !agreed && !line.starts_with(b"-ERR") {
            return self.awaited.no_reply(&Pending::StartTls);
        }
        match self.awaited.answer() {
            Some(Pending::Greeting) => {
                let banner = line.get(3..).unwrap_or_default();
                // The part in brackets is the challenge of APOP.
                let banner = banner.split(|byte| *byte == b'<').next().unwrap_or_default();
                property::Fact::say(PROTOCOL.name, "banner", banner, cx);
            }
            Some(what @ (Pending::Capabilities | Pending::Mechanisms)) if agreed => {
                self.list = Some((what, false));
            }
            Some(Pending::StartTls) => return upgrade::answered(PROTOCOL.name, agreed, cx),
            Some(Pending::Login) if agreed => return Turn::Stop(Progress::Done),
            Some(Pending::Login) => self.exchange = None,
            _ => {}
        }
        Turn::Next
    }
}
