//! Commands, which wait for their replies.

use super::PROTOCOL;
use crate::flow::Direction;
use crate::protocol::dialogue::{Dialogue, Turn, command, reply, trimmed};
use crate::protocol::login::Exposure;
use crate::protocol::sasl::{self, Exchange};
use crate::protocol::upgrade::{self, Step};
use crate::protocol::{Context, Progress, property};

#[derive(Default)]
pub(super) struct Nntp {
    greeted: bool,
    requested: bool,
    /// The list of capabilities that is being read; whether it offers an upgrade.
    list: Option<bool>,
    exchange: Option<Exchange>,
}

impl Dialogue for Nntp {
    const NAME: &'static str = PROTOCOL.name;

    fn message(&mut self, direction: Direction, message: &[u8], cx: &mut Context<'_>) -> Turn {
        match direction {
            Direction::ToResponder => self.command(message, cx),
            Direction::ToOriginator => self.reply(trimmed(message), cx),
        }
    }

    fn missing(&mut self, _direction: Direction) {
        (self.exchange, self.list, self.greeted) = (None, None, true);
    }
}

impl Nntp {
    fn command(&mut self, line: &[u8], cx: &mut Context<'_>) -> Turn {
        if let Some(exchange) = &mut self.exchange {
            exchange.response(trimmed(line), PROTOCOL.name, cx);
            return Turn::Next;
        }
        let (word, rest) = command(line);
        match word.as_str() {
            "STARTTLS" => {
                self.requested = true;
                upgrade::Fact::say(PROTOCOL.name, Step::Requested, cx);
                return Turn::Hold;
            }
            "AUTHINFO" => {
                upgrade::went_on(PROTOCOL.name, b"AUTHINFO", cx);
                let (how, rest) = command(rest);
                match how.as_str() {
                    "PASS" if !rest.is_empty() => {
                        sasl::say(PROTOCOL.name, "AUTHINFO USER/PASS", Exposure::Secret, cx);
                    }
                    "SASL" => {
                        self.exchange = Some(Exchange::of_words(rest, PROTOCOL.name, cx));
                    }
                    _ => {}
                }
            }
            "GROUP" | "POST" | "IHAVE" | "CHECK" | "TAKETHIS" | "ARTICLE" | "NEWNEWS" => {
                upgrade::went_on(PROTOCOL.name, word.as_bytes(), cx);
                // Peers that feed one another do not wait for replies.
                if matches!(word.as_str(), "CHECK" | "TAKETHIS") {
                    return Turn::Stop(Progress::Done);
                }
            }
            _ => {}
        }
        Turn::Next
    }

    fn reply(&mut self, line: &[u8], cx: &mut Context<'_>) -> Turn {
        if let Some(offered) = &mut self.list {
            if line == b"." {
                if !*offered {
                    upgrade::Fact::say(PROTOCOL.name, Step::NotOffered, cx);
                }
                self.list = None;
            } else if line.eq_ignore_ascii_case(b"STARTTLS") {
                *offered = true;
                upgrade::Fact::say(PROTOCOL.name, Step::Offered, cx);
            }
            return Turn::Next;
        }
        let Some((code, false)) = reply(line) else {
            // What is no reply does not agree to TLS.
            return if std::mem::take(&mut self.requested) { Turn::Release } else { Turn::Next };
        };
        if !std::mem::replace(&mut self.greeted, true) {
            property::Fact::say(PROTOCOL.name, "banner", line.get(4..).unwrap_or_default(), cx);
            return Turn::Next;
        }
        if code != 383 {
            self.exchange = None;
        }
        match code {
            101 => self.list = Some(false),
            _ if std::mem::take(&mut self.requested) => {
                return upgrade::answered(PROTOCOL.name, code == 382, cx);
            }
            // A login, and lists and articles, which end with a dot.
            281 | 215 | 220..=222 | 224 | 225 | 230 | 231 => return Turn::Stop(Progress::Done),
            _ => {}
        }
        Turn::Next
    }
}
