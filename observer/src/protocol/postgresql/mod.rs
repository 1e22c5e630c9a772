//! PostgreSQL's frontend/backend protocol 3 up to the login ([PostgreSQL, chapter
//! 53](https://www.postgresql.org/docs/current/protocol.html): `SSLRequest`, `GSSENCRequest`, authentication).
//!
//! Queries are not read. With direct TLS (PostgreSQL 17, ALPN `postgresql`) no byte is readable: such a flow is TLS.

mod dialogue;

use super::dialogue::Talk;
use super::{Analyzer, Probe, ProbeInput, Protocol, Worth};
use crate::bytes::{ParseError, Reader};
use crate::decode::Transport;
use crate::flow::Direction;

/// PostgreSQL in the registry.
pub static PROTOCOL: Protocol = Protocol {
    name: "postgresql",
    transports: &[Transport::Tcp],
    worth: Worth::Cleartext,
    probe,
    analyzer,
    views: "",
};

/// What a client begins with, by the number that follows the length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opening {
    Ssl,
    Gss,
    Cancel,
    Startup { minor: u16 },
}

/// The longest start-up message that a server takes (`MAX_STARTUP_PACKET_LENGTH`).
const MAX_STARTUP: u32 = 10_000;

/// The opening that `bytes` begin with, and its length.
fn opening(bytes: &[u8]) -> Result<(Opening, u32), ParseError> {
    let mut reader = Reader::new(bytes);
    let len = reader.u32("length")?;
    if !(8..=MAX_STARTUP).contains(&len) {
        return Err(ParseError::invalid("length", 0));
    }
    let (major, minor) = (reader.u16("version")?, reader.u16("version")?);
    let opening = match (major, minor, len) {
        (1234, 5679, 8) => Opening::Ssl,
        (1234, 5680, 8) => Opening::Gss,
        // A key of four bytes, or of up to 256 (protocol 3.2).
        (1234, 5678, 16..=268) => Opening::Cancel,
        (3, 0..=9999, 9..) => Opening::Startup { minor },
        _ => return Err(ParseError::invalid("version", 4)),
    };
    Ok((opening, len))
}

/// Names and values of a start-up message: as far as they are in sight, whether they are what they have to be.
fn parameters_are_sound(bytes: &[u8], len: u32) -> Option<bool> {
    let all = usize::try_from(len).ok()?;
    let body = bytes.get(8..all.min(bytes.len()))?;
    let text = body.iter().all(|byte| *byte == 0 || *byte >= b' ');
    let name_end = body.iter().position(|byte| *byte == 0);
    let first = body.first().is_none_or(u8::is_ascii_lowercase);
    match name_end {
        _ if !text || !first => Some(false),
        Some(end) if end > 0 => {
            let name =
                body.get(..end)?.iter().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'.'));
            let ended = bytes.len() < all || body.ends_with(&[0, 0]);
            Some(name && ended)
        }
        _ if body.len() < 32 && bytes.len() < all => None,
        _ => Some(false),
    }
}

fn probe(input: &ProbeInput<'_>) -> Probe {
    if input.direction == Direction::ToOriginator {
        return Probe::NoMatch;
    }
    match opening(input.bytes) {
        Ok((Opening::Startup { .. }, len)) => match parameters_are_sound(input.bytes, len) {
            Some(true) => Probe::Match,
            Some(false) => Probe::NoMatch,
            None => Probe::NeedMore,
        },
        Ok(_) => Probe::Match,
        Err(error) if error.is_truncated() => Probe::NeedMore,
        Err(_) => Probe::NoMatch,
    }
}

fn analyzer() -> Box<dyn Analyzer> {
    Talk::<dialogue::PostgreSql>::boxed()
}
