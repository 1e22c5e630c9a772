//! Packets of the connection phase.

use crate::bytes::{ParseError, Reader};

/// Capabilities that are looked at.
pub(super) mod capability {
    pub(in crate::protocol::mysql) const CONNECT_WITH_DB: u32 = 1 << 3;
    pub(in crate::protocol::mysql) const PROTOCOL_41: u32 = 1 << 9;
    pub(in crate::protocol::mysql) const SSL: u32 = 1 << 11;
    pub(in crate::protocol::mysql) const SECURE_CONNECTION: u32 = 1 << 15;
    pub(in crate::protocol::mysql) const PLUGIN_AUTH: u32 = 1 << 19;
    pub(in crate::protocol::mysql) const PLUGIN_AUTH_LENENC: u32 = 1 << 21;
}

/// The header of a packet: three bytes of length, one of number.
pub(super) const HEADER: usize = 4;
/// The number of the first packet's version of the protocol.
const VERSION: u8 = 10;
/// The packet that refuses a connection.
const ERROR: u8 = 0xff;
/// The longest first packet: version, salt and the name of a plugin.
const MAX_GREETING: u32 = 512;

/// A server's first packet.
pub(super) struct Greeting<'a> {
    pub(super) server_version: &'a [u8],
    pub(super) capabilities: u32,
}

/// A client's answer to it.
pub(super) struct Login<'a> {
    /// The plugin; empty where the client names none.
    pub(super) plugin: &'a [u8],
    /// Whether there is a response.
    pub(super) response: bool,
}

/// The length of a packet's content, and its number.
pub(super) fn header(reader: &mut Reader<'_>) -> Result<(u32, u8), ParseError> {
    let [a, b, c] = reader.array("length")?;
    Ok((u32::from_le_bytes([a, b, c, 0]), reader.u8("number")?))
}

/// Whether `bytes` are a server's first packet: a greeting, or the refusal of a host.
pub(super) fn recognise(bytes: &[u8]) -> Result<bool, ParseError> {
    let mut reader = Reader::new(bytes);
    let (len, number) = header(&mut reader)?;
    if number != 0 || !(8..=MAX_GREETING).contains(&len) {
        return Ok(false);
    }
    match reader.u8("version")? {
        VERSION => {}
        ERROR => {
            let code = reader.u16_le("error")?;
            let first = reader.take(4, "message")?;
            return Ok((1000..4000).contains(&code) && first.iter().all(|byte| (b' '..0x7f).contains(byte)));
        }
        _ => return Ok(false),
    }
    let body = reader.peek();
    let printable = body.iter().take_while(|byte| **byte != 0).all(u8::is_ascii_graphic);
    let starts = body.first().is_none_or(u8::is_ascii_digit);
    if !printable || !starts {
        return Ok(false);
    }
    let whole = usize::try_from(len).unwrap_or(usize::MAX).saturating_add(HEADER);
    if bytes.len() < whole {
        let needed = whole.saturating_sub(bytes.len());
        let kind = crate::bytes::ParseErrorKind::Truncated { field: "greeting", needed };
        return Err(ParseError { kind, offset: bytes.len() });
    }
    // A server does not go on before it is answered.
    Ok(bytes.len() == whole && greeting(bytes.get(HEADER..).unwrap_or_default()).is_ok())
}

/// Reads a greeting (`HandshakeV10`).
pub(super) fn greeting(body: &[u8]) -> Result<Greeting<'_>, ParseError> {
    let mut reader = Reader::new(body);
    reader.u8("version")?;
    let server_version = until_nul(&mut reader, "server version")?;
    reader.u32("thread")?;
    reader.take(8, "salt")?;
    if reader.u8("filler")? != 0 {
        return Err(reader.invalid("filler"));
    }
    let low = u32::from(reader.u16_le("capabilities")?);
    if reader.is_empty() {
        return Ok(Greeting { server_version, capabilities: low });
    }
    reader.take(3, "character set and status")?;
    let high = u32::from(reader.u16_le("capabilities")?);
    Ok(Greeting { server_version, capabilities: low | high << 16 })
}

/// The capabilities of a client's packet, and whether it is a request for TLS: it ends before the user's name.
pub(super) fn client(body: &[u8]) -> Result<(u32, bool), ParseError> {
    let mut reader = Reader::new(body);
    let low = u32::from(reader.u16_le("capabilities")?);
    if low & capability::PROTOCOL_41 == 0 {
        return Ok((low, low & capability::SSL != 0 && body.len() == 5));
    }
    let high = u32::from(reader.u16_le("capabilities")?);
    Ok((low | high << 16, low & capability::SSL != 0 && body.len() == 32))
}

/// Reads a client's answer (`HandshakeResponse41`).
pub(super) fn login(body: &[u8]) -> Result<Login<'_>, ParseError> {
    let mut reader = Reader::new(body);
    let low = u32::from(reader.u16_le("capabilities")?);
    if low & capability::PROTOCOL_41 == 0 {
        // The old answer: user, then a scramble of eight bytes or nothing.
        reader.take(3, "packet size")?;
        until_nul(&mut reader, "user")?;
        return Ok(Login { plugin: b"mysql_old_password", response: reader.left() > 1 });
    }
    let capabilities = low | u32::from(reader.u16_le("capabilities")?) << 16;
    reader.take(28, "packet size and filler")?;
    until_nul(&mut reader, "user")?;
    let response = if capabilities & capability::PLUGIN_AUTH_LENENC != 0 {
        let len = match reader.u8("response")? {
            len @ 0..=0xfa => usize::from(len),
            0xfc => usize::from(reader.u16_le("response")?),
            _ => return Err(reader.invalid("response")),
        };
        reader.take(len, "response")?
    } else if capabilities & capability::SECURE_CONNECTION != 0 {
        let len = usize::from(reader.u8("response")?);
        reader.take(len, "response")?
    } else {
        until_nul(&mut reader, "response")?
    };
    if capabilities & capability::CONNECT_WITH_DB != 0 && !reader.is_empty() {
        until_nul(&mut reader, "database")?;
    }
    let named = capabilities & capability::PLUGIN_AUTH != 0 && !reader.is_empty();
    let plugin = if named { until_nul(&mut reader, "plugin")? } else { &[] };
    Ok(Login { plugin, response: !matches!(response, [] | [0]) })
}

/// The plugin that a server asks to switch to (`AuthSwitchRequest`).
pub(super) fn switch(body: &[u8]) -> &[u8] {
    let name = body.get(1..).unwrap_or_default();
    name.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn until_nul<'a>(reader: &mut Reader<'a>, field: &'static str) -> Result<&'a [u8], ParseError> {
    let rest = reader.peek();
    let len = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
    let taken = reader.take(len, field)?;
    if !reader.is_empty() {
        reader.u8(field)?;
    }
    Ok(taken)
}
