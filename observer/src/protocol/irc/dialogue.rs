//! Lines of both sides, which do not wait for one another.

use super::PROTOCOL;
use crate::flow::Direction;
use crate::protocol::dialogue::{Dialogue, Turn, command, mentions, trimmed};
use crate::protocol::login::Exposure;
use crate::protocol::sasl::{self, Exchange};
use crate::protocol::upgrade::{self, Step};
use crate::protocol::{Context, Progress, property};

/// Lines behind the welcome that are read: passwords are told to NickServ at once or not at all.
const LINES: u32 = 200;

#[derive(Default)]
pub(super) struct Irc {
    requested: bool,
    /// Whether the list of capabilities that is being read has the upgrade.
    offered: bool,
    welcomed: bool,
    lines: u32,
    exchange: Option<Exchange>,
}

impl Dialogue for Irc {
    const NAME: &'static str = PROTOCOL.name;

    fn message(&mut self, direction: Direction, message: &[u8], cx: &mut Context<'_>) -> Turn {
        self.lines = self.lines.saturating_add(u32::from(self.welcomed));
        if self.lines > LINES {
            return Turn::Stop(Progress::Done);
        }
        let line = trimmed(message);
        // A source before the command; tags (IRCv3) before that.
        let line = [b'@', b':'].iter().fold(line, |line, mark| match line.first() {
            Some(first) if first == mark => {
                let end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
                line.get(end..).unwrap_or_default().trim_ascii_start()
            }
            _ => line,
        });
        match direction {
            Direction::ToResponder => self.hear_client(line, cx),
            Direction::ToOriginator => self.hear_server(line, cx),
        }
    }
}

impl Irc {
    fn hear_client(&mut self, line: &[u8], cx: &mut Context<'_>) -> Turn {
        let (word, rest) = command(line);
        match word.as_str() {
            "STARTTLS" => {
                self.requested = true;
                upgrade::Fact::say(PROTOCOL.name, Step::Requested, cx);
                return Turn::Hold;
            }
            "PASS" if !rest.is_empty() => sasl::say(PROTOCOL.name, "PASS", Exposure::Secret, cx),
            "OPER" if rest.contains(&b' ') => sasl::say(PROTOCOL.name, "OPER", Exposure::Secret, cx),
            "NICK" | "USER" => upgrade::went_on(PROTOCOL.name, word.as_bytes(), cx),
            "AUTHENTICATE" => match &mut self.exchange {
                Some(exchange) => exchange.response(rest, PROTOCOL.name, cx),
                None => self.exchange = Some(Exchange::new(rest)),
            },
            "PRIVMSG" | "NICKSERV" | "NS" => {
                let told = word != "PRIVMSG" || command(rest).0 == "NICKSERV";
                if told && mentions(rest, "IDENTIFY ") {
                    sasl::say(PROTOCOL.name, "NickServ IDENTIFY", Exposure::Secret, cx);
                }
            }
            _ => {}
        }
        Turn::Next
    }

    fn hear_server(&mut self, line: &[u8], cx: &mut Context<'_>) -> Turn {
        let (word, rest) = command(line);
        match word.as_str() {
            "CAP" => {
                let (_, rest) = command(rest);
                let (what, list) = command(rest);
                if what == "LS" {
                    let more = list.starts_with(b"*");
                    let names = list.split(|byte| matches!(byte, b' ' | b':'));
                    if !self.offered && names.clone().any(|name| name == b"tls" || name.starts_with(b"tls="))
                    {
                        self.offered = true;
                        upgrade::Fact::say(PROTOCOL.name, Step::Offered, cx);
                    } else if !self.offered && !more {
                        upgrade::Fact::say(PROTOCOL.name, Step::NotOffered, cx);
                    }
                }
            }
            "670" => {
                self.requested = false;
                return upgrade::answered(PROTOCOL.name, true, cx);
            }
            // ERR_STARTTLS; unknown command, not registered, already registered.
            "691" | "421" | "451" | "462" if self.requested && !names_another(rest) => {
                self.requested = false;
                return upgrade::answered(PROTOCOL.name, false, cx);
            }
            "001" => {
                self.welcomed = true;
                if std::mem::take(&mut self.requested) {
                    return upgrade::answered(PROTOCOL.name, false, cx);
                }
            }
            "004" => {
                let mut words = rest.split(|byte| *byte == b' ').skip(2);
                property::Fact::say(PROTOCOL.name, "server_version", words.next().unwrap_or_default(), cx);
            }
            "900" | "902" | "903" | "904" | "905" | "906" | "907" => self.exchange = None,
            _ => {}
        }
        Turn::Next
    }
}

/// Whether an error is about another command than STARTTLS: servers name it behind the nick (RFC 2812 §5.2), or none.
fn names_another(arguments: &[u8]) -> bool {
    let (_, rest) = command(arguments);
    !rest.starts_with(b":") && !matches!(command(rest).0.as_str(), "" | "STARTTLS")
}
