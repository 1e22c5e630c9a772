//! Tags of both streams, with the text before each.

use super::PROTOCOL;
use crate::flow::Direction;
use crate::protocol::dialogue::{Dialogue, Turn, mentions, text};
use crate::protocol::login::Exposure;
use crate::protocol::sasl::{self, Exchange};
use crate::protocol::upgrade::{self, Step};
use crate::protocol::{Context, Progress};

#[derive(Default)]
pub(super) struct Xmpp {
    /// The features that are being listed; whether an upgrade is among them.
    features: Option<bool>,
    requested: bool,
    exchange: Option<Exchange>,
}

impl Dialogue for Xmpp {
    const NAME: &'static str = PROTOCOL.name;
    const END: u8 = b'>';

    fn message(&mut self, direction: Direction, message: &[u8], cx: &mut Context<'_>) -> Turn {
        let Some(open) = message.iter().rposition(|byte| *byte == b'<') else { return Turn::Next };
        let (content, tag) = message.split_at_checked(open).unwrap_or((message, &[]));
        let tag = tag.get(1..).unwrap_or_default().strip_suffix(b">").unwrap_or(tag);
        let end = tag.iter().skip(1).position(|byte| byte.is_ascii_whitespace() || *byte == b'/');
        let name = tag.get(..end.map_or(tag.len(), |end| end.saturating_add(1))).unwrap_or_default();
        match direction {
            Direction::ToResponder => self.hear_client(name, tag, content, cx),
            Direction::ToOriginator => self.hear_server(name, tag, cx),
        }
    }
}

impl Xmpp {
    fn hear_client(&mut self, name: &[u8], tag: &[u8], content: &[u8], cx: &mut Context<'_>) -> Turn {
        match name {
            b"starttls" => {
                // `<starttls …></starttls>` has an end of its own.
                self.requested = true;
                upgrade::Fact::say(PROTOCOL.name, Step::Requested, cx);
                if tag.ends_with(b"/") {
                    return Turn::Hold;
                }
            }
            b"/starttls" => return Turn::Hold,
            b"auth" | b"authenticate" => {
                upgrade::went_on(PROTOCOL.name, b"auth", cx);
                let mechanism = attribute(tag, "mechanism").unwrap_or_default();
                self.exchange = Some(Exchange::new(mechanism.as_bytes()));
            }
            b"/auth" | b"/response" | b"/initial-response" => {
                if let Some(exchange) = &mut self.exchange {
                    exchange.response(content, PROTOCOL.name, cx);
                }
            }
            b"/password" if !content.is_empty() => {
                sasl::say(PROTOCOL.name, "jabber:iq:auth", Exposure::Secret, cx)
            }
            b"/digest" if !content.is_empty() => {
                sasl::say(PROTOCOL.name, "jabber:iq:auth digest", Exposure::Response, cx)
            }
            b"/handshake" if !content.is_empty() => {
                sasl::say(PROTOCOL.name, "component handshake", Exposure::Response, cx);
            }
            b"message" | b"presence" => {
                let word = text(name);
                upgrade::went_on(PROTOCOL.name, word.as_bytes(), cx);
                return Turn::Stop(Progress::Done);
            }
            _ => {}
        }
        Turn::Next
    }

    fn hear_server(&mut self, name: &[u8], tag: &[u8], cx: &mut Context<'_>) -> Turn {
        match name {
            b"stream:features" if !tag.ends_with(b"/") => self.features = Some(false),
            b"stream:features" | b"/stream:features" if self.features.take() != Some(true) => {
                upgrade::Fact::say(PROTOCOL.name, Step::NotOffered, cx);
            }
            b"starttls" if self.features != Some(true) => {
                self.features = Some(true);
                upgrade::Fact::say(PROTOCOL.name, Step::Offered, cx);
            }
            b"proceed" if mentions(tag, "xmpp-tls") || self.requested => {
                self.requested = false;
                return upgrade::answered(PROTOCOL.name, true, cx);
            }
            b"failure" if self.requested => {
                self.requested = false;
                return upgrade::answered(PROTOCOL.name, false, cx);
            }
            b"failure" => self.exchange = None,
            b"success" => return Turn::Stop(Progress::Done),
            _ => {}
        }
        Turn::Next
    }
}

/// The value of an attribute.
fn attribute(tag: &[u8], name: &str) -> Option<String> {
    let tag = text(tag);
    let (_, rest) = tag.split_once(&format!("{name}="))?;
    let quote = rest.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    rest.split(quote).nth(1).map(ToOwned::to_owned)
}
