//! A request and its confirmation.

use super::{PROTOCOL, connection};
use crate::bytes::{ParseError, Reader};
use crate::flow::Direction;
use crate::protocol::dialogue::{Dialogue, Measure, Turn};
use crate::protocol::upgrade::{self, Step};
use crate::protocol::{Context, Progress, property};

/// `PROTOCOL_SSL`, `PROTOCOL_HYBRID`, `PROTOCOL_RDSTLS`, `PROTOCOL_HYBRID_EX`, `PROTOCOL_RDSAAD`: all of them in TLS.
const UNDER_TLS: u32 = 0x1f;

#[derive(Default)]
pub(super) struct Rdp {
    requested: bool,
    /// Whether TLS has begun. What is within begins with CredSSP or MCS, which nothing here reads.
    protected: bool,
}

impl Dialogue for Rdp {
    const NAME: &'static str = PROTOCOL.name;

    fn measure(&self, _direction: Direction, bytes: &[u8]) -> Measure {
        match bytes {
            _ if self.protected => Measure::Message(bytes.len()),
            [3, 0, high, low, ..] => Measure::Message(u16::from_be_bytes([*high, *low]).into()),
            [3] | [3, 0] | [3, 0, _] => Measure::More,
            _ => Measure::Malformed(ParseError::invalid("TPKT", 0)),
        }
    }

    fn message(&mut self, direction: Direction, message: &[u8], cx: &mut Context<'_>) -> Turn {
        if self.protected {
            return Turn::Stop(Progress::Done);
        }
        let connection = match connection(message) {
            Ok(connection) => connection,
            Err(error) => return Turn::Stop(Progress::Malformed(error)),
        };
        if connection.request != (direction == Direction::ToResponder) {
            return Turn::Stop(Progress::Done);
        }
        let (kind, value) = negotiation(connection.variable);
        if connection.request {
            self.requested = kind == Some(1) && value & UNDER_TLS != 0;
            if self.requested {
                upgrade::Fact::say(PROTOCOL.name, Step::Requested, cx);
            }
            return Turn::Hold;
        }
        let agreed = kind == Some(2) && value & UNDER_TLS != 0;
        if agreed {
            let name = match value {
                1 => "tls",
                2 | 8 => "credssp",
                4 => "rdstls",
                _ => "other",
            };
            property::Fact::say(PROTOCOL.name, "security", name.as_bytes(), cx);
            upgrade::Fact::say(PROTOCOL.name, Step::Accepted, cx);
            self.protected = true;
            return Turn::Stop(Progress::Upgraded);
        }
        if self.requested {
            upgrade::Fact::say(PROTOCOL.name, Step::Refused, cx);
        }
        property::Fact::say(PROTOCOL.name, "security", if kind == Some(3) { b"none" } else { b"rdp" }, cx);
        Turn::Stop(Progress::Done)
    }
}

/// The type and the value of a negotiation, behind a cookie's line where there is one.
fn negotiation(variable: &[u8]) -> (Option<u8>, u32) {
    let line =
        variable.windows(2).position(|pair| pair == b"\r\n").filter(|_| variable.starts_with(b"Cookie"));
    let from = line.map_or(0, |line| line.saturating_add(2));
    let mut reader = Reader::new(variable.get(from..).unwrap_or_default());
    let kind = reader.u8("type").ok();
    let value = reader.take(3, "flags and length").and_then(|_| reader.u32_le("protocols"));
    (kind, value.unwrap_or(0))
}
