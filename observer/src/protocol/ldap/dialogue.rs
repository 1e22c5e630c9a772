//! Requests, which carry numbers, and their answers.

use super::PROTOCOL;
use super::wire::{self, Bind, tag};
use crate::flow::Direction;
use crate::protocol::dialogue::{Dialogue, Measure, Turn, mentions};
use crate::protocol::login::Exposure;
use crate::protocol::sasl;
use crate::protocol::upgrade::{self, Step};
use crate::protocol::{Context, Progress};

/// StartTLS (RFC 4511 §4.14.1).
const START_TLS: &str = "1.3.6.1.4.1.1466.20037";

/// Messages that are read of a flow without a login.
const MESSAGES: u32 = 500;

#[derive(Default)]
pub(super) struct Ldap {
    messages: u32,
    /// The number of the request for an upgrade.
    requested: Option<u32>,
    offered: bool,
    went_on: bool,
    /// Whether the bind that waits for its answer has credentials. Many clients look around anonymously first, and read
    /// then what the server can.
    login: bool,
}

impl Dialogue for Ldap {
    const NAME: &'static str = PROTOCOL.name;

    fn measure(&self, _direction: Direction, bytes: &[u8]) -> Measure {
        match wire::measure(bytes) {
            Ok(len) => Measure::Message(len),
            Err(error) if error.is_truncated() => Measure::More,
            Err(error) => Measure::Malformed(error),
        }
    }

    fn message(&mut self, direction: Direction, message: &[u8], cx: &mut Context<'_>) -> Turn {
        self.messages = self.messages.saturating_add(1);
        if self.messages > MESSAGES {
            return Turn::Stop(Progress::Done);
        }
        let message = match wire::message(message) {
            Ok(message) => message,
            Err(error) => return Turn::Stop(Progress::Malformed(error)),
        };
        let content = message.content;
        match (direction, message.operation) {
            (Direction::ToResponder, tag::BIND_REQUEST) => {
                let bind = wire::bind(content);
                self.login = !matches!(bind, Ok(Bind::Simple { password: [], .. }));
                if self.login {
                    self.go_on(b"bind", cx);
                }
                if let Ok(bind) = bind {
                    login(&bind, cx);
                }
            }
            (Direction::ToResponder, tag::EXTENDED_REQUEST)
                if wire::request_name(content).is_ok_and(|name| name == START_TLS.as_bytes()) =>
            {
                self.requested = Some(message.id);
                upgrade::Fact::say(PROTOCOL.name, Step::Requested, cx);
                return Turn::Hold;
            }
            (Direction::ToResponder, tag::UNBIND_REQUEST) => {}
            // The root's own entry says what the server can: it has to be asked for first.
            (Direction::ToResponder, tag::SEARCH_REQUEST) if !content.starts_with(&[4, 0]) => {
                self.go_on(b"search", cx);
            }
            (Direction::ToOriginator, tag::SEARCH_ENTRY) if !self.offered && mentions(content, START_TLS) => {
                self.offered = true;
                upgrade::Fact::say(PROTOCOL.name, Step::Offered, cx);
            }
            (Direction::ToOriginator, tag::EXTENDED_RESPONSE) if self.requested.is_some() => {
                self.requested = None;
                let agreed = wire::result_code(content) == Ok(0);
                return upgrade::answered(PROTOCOL.name, agreed, cx);
            }
            // Behind a SASL login messages may be wrapped (RFC 4513 §5.2.1.6); behind another one nothing new comes.
            (Direction::ToOriginator, tag::BIND_RESPONSE)
                if wire::result_code(content) == Ok(0) && self.login =>
            {
                return Turn::Stop(Progress::Done);
            }
            _ => {}
        }
        Turn::Next
    }
}

impl Ldap {
    fn go_on(&mut self, what: &[u8], cx: &mut Context<'_>) {
        if !std::mem::replace(&mut self.went_on, true) {
            upgrade::went_on(PROTOCOL.name, what, cx);
        }
    }
}

fn login(bind: &Bind<'_>, cx: &mut Context<'_>) {
    match bind {
        // Without a password it is anonymous, whatever the name says (RFC 4513 §5.1).
        Bind::Simple { name, password: [] } => {
            if !name.is_empty() {
                sasl::say(PROTOCOL.name, "simple bind", Exposure::Identity, cx);
            }
        }
        Bind::Simple { .. } => sasl::say(PROTOCOL.name, "simple bind", Exposure::Secret, cx),
        Bind::Sasl { credentials: [], .. } => {}
        Bind::Sasl { mechanism, credentials } => {
            let mechanism = String::from_utf8_lossy(mechanism).to_ascii_uppercase();
            let mechanism: String = mechanism.chars().filter(char::is_ascii_graphic).take(32).collect();
            if let Some(exposure) = sasl::exposure_of(&mechanism, credentials) {
                sasl::say(PROTOCOL.name, &mechanism, exposure, cx);
            }
        }
    }
}
