//! The beginning of RDP: X.224's negotiation of TLS ([MS-RDPBCGR
//! §2.2.1.1](https://learn.microsoft.com/openspecs/windows_protocols/ms-rdpbcgr/), X.224 class 0 in TPKT).
//!
//! Without TLS the session goes on under RDP's own encryption (RC4, if any), which is not read.

mod dialogue;

use super::dialogue::Talk;
use super::{Analyzer, Probe, ProbeInput, Protocol, Worth};
use crate::bytes::{ParseError, Reader};
use crate::decode::Transport;
use crate::flow::Direction;

/// RDP in the registry.
pub static PROTOCOL: Protocol =
    Protocol { name: "rdp", transports: &[Transport::Tcp], worth: Worth::Opaque, probe, analyzer, views: "" };

/// A connection request or its confirmation: what follows X.224's fixed part.
struct Connection<'a> {
    request: bool,
    variable: &'a [u8],
}

/// Reads a connection request or confirmation in its TPKT.
fn connection(bytes: &[u8]) -> Result<Connection<'_>, ParseError> {
    let mut reader = Reader::new(bytes);
    if reader.u16("TPKT")? != 0x0300 {
        return Err(ParseError::invalid("TPKT", 0));
    }
    let len = usize::from(reader.u16("length")?);
    let indicator = usize::from(reader.u8("length indicator")?);
    if len != indicator.saturating_add(5) || !(11..=512).contains(&len) {
        return Err(reader.invalid("length"));
    }
    let code = reader.u8("code")?;
    let destination = reader.u16("destination")?;
    reader.u16("source")?;
    let class = reader.u8("class")?;
    let request = match (code, class) {
        (0xe0, 0) if destination == 0 => true,
        (0xd0, 0) => false,
        _ => return Err(reader.invalid("code")),
    };
    Ok(Connection { request, variable: reader.take(len.saturating_sub(11), "variable part")? })
}

/// What RDP puts behind X.224's fixed part; other protocols in TPKT (H.323, S7) put something else there.
fn is_rdp(connection: &Connection<'_>) -> bool {
    let variable = connection.variable;
    let cookie = variable.starts_with(b"Cookie: mstshash=") || variable.starts_with(b"Cookie: msts=");
    let kind = if connection.request { 1..=1 } else { 2..=3 };
    let negotiation = matches!(variable, [found, _, 8, 0, _, _, _, _, ..] if kind.contains(found));
    cookie || negotiation
}

fn probe(input: &ProbeInput<'_>) -> Probe {
    match connection(input.bytes) {
        Ok(found) if found.request == (input.direction == Direction::ToResponder) && is_rdp(&found) => {
            Probe::Match
        }
        Err(error) if error.is_truncated() => Probe::NeedMore,
        Ok(_) | Err(_) => Probe::NoMatch,
    }
}

fn analyzer() -> Box<dyn Analyzer> {
    Talk::<dialogue::Rdp>::boxed()
}
