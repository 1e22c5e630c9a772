//! The greeting, the answer, and what plugins ask for.

use super::PROTOCOL;
use super::wire::{self, HEADER, capability};
use crate::bytes::Reader;
use crate::flow::Direction;
use crate::protocol::dialogue::{Dialogue, Measure, Turn, text};
use crate::protocol::login::Exposure;
use crate::protocol::sasl;
use crate::protocol::upgrade::{self, Step};
use crate::protocol::{Context, Progress, property};

/// Characters of a plugin's name that are kept.
const MAX_NAME: usize = 64;

#[derive(Default)]
pub(super) struct MySql {
    greeted: bool,
    answered: bool,
    /// The plugin whose response the client has not sent yet.
    plugin: Option<String>,
}

impl Dialogue for MySql {
    const NAME: &'static str = PROTOCOL.name;

    fn measure(&self, _direction: Direction, bytes: &[u8]) -> Measure {
        match wire::header(&mut Reader::new(bytes)) {
            Ok((len, _)) => {
                Measure::Message(usize::try_from(len).unwrap_or(usize::MAX).saturating_add(HEADER))
            }
            Err(_) => Measure::More,
        }
    }

    fn message(&mut self, direction: Direction, message: &[u8], cx: &mut Context<'_>) -> Turn {
        let body = message.get(HEADER..).unwrap_or_default();
        match direction {
            Direction::ToOriginator => self.hear_server(body, cx),
            Direction::ToResponder => self.hear_client(body, cx),
        }
    }
}

impl MySql {
    fn hear_server(&mut self, body: &[u8], cx: &mut Context<'_>) -> Turn {
        if !std::mem::replace(&mut self.greeted, true) {
            match wire::greeting(body) {
                Ok(greeting) if body.first() != Some(&0xff) => {
                    property::Fact::say(PROTOCOL.name, "server_version", greeting.server_version, cx);
                    let offered = greeting.capabilities & capability::SSL != 0;
                    upgrade::Fact::say(
                        PROTOCOL.name,
                        if offered { Step::Offered } else { Step::NotOffered },
                        cx,
                    );
                }
                _ => {
                    let message = body.get(3..).unwrap_or_default();
                    property::Fact::say(PROTOCOL.name, "refusal", message, cx);
                    return Turn::Stop(Progress::Done);
                }
            }
            return Turn::Next;
        }
        match body.first() {
            // OK and an error: the login is over.
            Some(0 | 0xff) => return Turn::Stop(Progress::Done),
            Some(0xfe) => {
                self.plugin =
                    Some(name(if body.len() == 1 { b"mysql_old_password" } else { wire::switch(body) }))
            }
            _ => {}
        }
        Turn::Next
    }

    fn hear_client(&mut self, body: &[u8], cx: &mut Context<'_>) -> Turn {
        if std::mem::replace(&mut self.answered, true) {
            // `caching_sha2_password` asks for a key with a single byte, and sends what that encrypts.
            if let Some(plugin) = self.plugin.take().filter(|_| body.len() > 1) {
                sasl::say(PROTOCOL.name, &plugin, exposure(&plugin), cx);
            }
            return Turn::Next;
        }
        match wire::client(body) {
            Ok((_, true)) => {
                // The server does not answer: what it said it can, it does. The client sends its answer again, whole.
                self.answered = false;
                upgrade::Fact::say(PROTOCOL.name, Step::Requested, cx);
                upgrade::Fact::say(PROTOCOL.name, Step::Accepted, cx);
                Turn::Stop(Progress::Upgraded)
            }
            Ok(_) => {
                upgrade::went_on(PROTOCOL.name, b"login", cx);
                match wire::login(body) {
                    Ok(login) if login.response => {
                        let plugin = if login.plugin.is_empty() {
                            &b"mysql_native_password"[..]
                        } else {
                            login.plugin
                        };
                        let plugin = name(plugin);
                        sasl::say(PROTOCOL.name, &plugin, exposure(&plugin), cx);
                    }
                    _ => {}
                }
                Turn::Next
            }
            Err(error) => Turn::Stop(Progress::Malformed(error)),
        }
    }
}

fn name(plugin: &[u8]) -> String {
    text(plugin).chars().filter(char::is_ascii_graphic).take(MAX_NAME).collect()
}

/// What a plugin's response shows. `dialog` is MariaDB's PAM, which sends what is typed.
fn exposure(plugin: &str) -> Exposure {
    match plugin {
        "mysql_clear_password" | "dialog" => Exposure::Secret,
        "auth_socket" | "unix_socket" => Exposure::Identity,
        _ => Exposure::Response,
    }
}
