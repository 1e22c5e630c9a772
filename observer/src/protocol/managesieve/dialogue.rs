//! Commands and answers, strings and literals.

use super::PROTOCOL;
use crate::flow::Direction;
use crate::protocol::dialogue::{Dialogue, Turn, command, trimmed};
use crate::protocol::sasl::Exchange;
use crate::protocol::upgrade::{self, Step};
use crate::protocol::{Context, Progress, property};

#[derive(Default)]
pub(super) struct ManageSieve {
    /// Whether the list of capabilities that is being read offers an upgrade.
    offered: bool,
    /// Whether an answer is to be the end of such a list.
    listed: bool,
    requested: bool,
    exchange: Option<Exchange>,
}

impl Dialogue for ManageSieve {
    const NAME: &'static str = PROTOCOL.name;

    fn message(&mut self, direction: Direction, message: &[u8], cx: &mut Context<'_>) -> Turn {
        match direction {
            Direction::ToResponder => self.command(trimmed(message), cx),
            Direction::ToOriginator => self.answer(trimmed(message), cx),
        }
    }

    fn missing(&mut self, _direction: Direction) {
        (self.exchange, self.listed) = (None, false);
    }
}

impl ManageSieve {
    fn command(&mut self, line: &[u8], cx: &mut Context<'_>) -> Turn {
        if let Some(exchange) = &mut self.exchange {
            // A string or the announcement of a literal, whose content is the next line.
            if !line.starts_with(b"{") {
                exchange.response(unquoted(line), PROTOCOL.name, cx);
            }
            return Turn::Next;
        }
        let (word, rest) = command(line);
        match word.as_str() {
            "STARTTLS" => {
                self.requested = true;
                upgrade::Fact::say(PROTOCOL.name, Step::Requested, cx);
                Turn::Hold
            }
            "AUTHENTICATE" => {
                upgrade::went_on(PROTOCOL.name, b"AUTHENTICATE", cx);
                let mut words = rest.splitn(2, |byte| *byte == b' ');
                let mut exchange = Exchange::new(unquoted(words.next().unwrap_or_default()));
                let initial = words.next().unwrap_or_default();
                if !initial.starts_with(b"{") {
                    exchange.response(unquoted(initial), PROTOCOL.name, cx);
                }
                self.exchange = Some(exchange);
                Turn::Next
            }
            "PUTSCRIPT" | "LISTSCRIPTS" | "GETSCRIPT" | "HAVESPACE" | "CHECKSCRIPT" => {
                Turn::Stop(Progress::Done)
            }
            _ => Turn::Next,
        }
    }

    fn answer(&mut self, line: &[u8], cx: &mut Context<'_>) -> Turn {
        if let Some(said) = line.strip_prefix(b"\"") {
            self.listed |= self.exchange.is_none();
            if said.eq_ignore_ascii_case(b"STARTTLS\"") {
                self.offered = true;
                upgrade::Fact::say(PROTOCOL.name, Step::Offered, cx);
            } else if said.len() > 16
                && said.get(..16).is_some_and(|name| name.eq_ignore_ascii_case(b"IMPLEMENTATION\" "))
            {
                property::Fact::say(
                    PROTOCOL.name,
                    "banner",
                    unquoted(said.get(16..).unwrap_or_default()),
                    cx,
                );
            }
            return Turn::Next;
        }
        let word = command(line).0;
        let agreed = word == "OK";
        if !agreed && word != "NO" && word != "BYE" {
            return Turn::Next;
        }
        if std::mem::take(&mut self.listed) && !std::mem::take(&mut self.offered) {
            upgrade::Fact::say(PROTOCOL.name, Step::NotOffered, cx);
        }
        if std::mem::take(&mut self.requested) {
            return upgrade::answered(PROTOCOL.name, agreed, cx);
        }
        if self.exchange.take().is_some() && agreed { Turn::Stop(Progress::Done) } else { Turn::Next }
    }
}

fn unquoted(string: &[u8]) -> &[u8] {
    let string = string.trim_ascii();
    string.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(string)
}
