//! Control packets ([MQTT 5](https://docs.oasis-open.org/mqtt/mqtt/v5.0/mqtt-v5.0.html) §2 and §3, and 3.1.1, which has
//! no properties).

use crate::bytes::{ParseError, Reader};

/// Types of control packets.
pub(super) const CONNECT: u8 = 1;
pub(super) const CONNACK: u8 = 2;
pub(super) const PUBLISH: u8 = 3;
pub(super) const SUBSCRIBE: u8 = 8;

/// Topics that are read of one SUBSCRIBE.
const MAX_TOPICS: usize = 16;
/// The property that names an enhanced authentication (§3.1.2.11.9).
const AUTHENTICATION_METHOD: u32 = 0x15;

/// A control packet's first bytes (§2.1).
#[derive(Clone, Copy, Debug)]
pub(super) struct Fixed {
    pub(super) kind: u8,
    /// Bytes behind these.
    pub(super) remaining: usize,
    /// Bytes of these.
    pub(super) taken: usize,
}

/// What a CONNECT begins with: the protocol's version, the flags, and where the rest begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectStart {
    pub(super) level: u8,
    pub(super) flags: u8,
    pub(super) taken: usize,
}

/// A CONNECT, as far as it is there.
#[derive(Clone, Debug, Default)]
pub(super) struct Connect {
    pub(super) client: String,
    pub(super) will: Option<String>,
    pub(super) authentication: Option<String>,
    /// Whether the password has bytes; `None` where it was not reached.
    pub(super) password: Option<bool>,
}

pub(super) fn fixed(bytes: &[u8]) -> Result<Fixed, ParseError> {
    let mut reader = Reader::new(bytes);
    let first = reader.u8("packet type")?;
    let (kind, flags) = (first >> 4, first & 0xf);
    // §2.1.3: every type but PUBLISH has its flags.
    let expected = if matches!(kind, 6 | 8 | 10) { 2 } else { 0 };
    if kind == 0 || (kind != PUBLISH && flags != expected) {
        return Err(ParseError::invalid("packet type", 0));
    }
    let remaining = usize::try_from(variable(&mut reader)?).unwrap_or(usize::MAX);
    Ok(Fixed { kind, remaining, taken: reader.position() })
}

/// The start of a CONNECT, from its first byte on. Bridges set the first bit of the level.
pub(super) fn connect_start(bytes: &[u8]) -> Result<ConnectStart, ParseError> {
    let mut reader = Reader::new(bytes);
    if reader.u8("packet type")? != CONNECT << 4 {
        return Err(ParseError::invalid("packet type", 0));
    }
    let remaining = variable(&mut reader)?;
    let rest = reader.peek();
    let names: [(&[u8], &[u8]); 2] = [(b"\0\x04MQTT", &[4, 5]), (b"\0\x06MQIsdp", &[3])];
    let fits = |name: &[u8]| rest.iter().zip(name).all(|(a, b)| a == b);
    let Some((name, levels)) = names.into_iter().find(|(name, _)| fits(name)) else {
        return Err(ParseError::invalid("protocol name", reader.position()));
    };
    reader.take(name.len(), "protocol name")?;
    let level = reader.u8("protocol level")? & 0x7f;
    let flags = reader.u8("connect flags")?;
    if !levels.contains(&level) || flags & 1 != 0 || remaining < 12 {
        return Err(ParseError::invalid("protocol level", reader.position()));
    }
    Ok(ConnectStart { level, flags, taken: reader.position() })
}

/// The rest of a CONNECT; what is cut off is left out.
pub(super) fn connect(bytes: &[u8], start: ConnectStart) -> Connect {
    let mut connect = Connect::default();
    let mut reader = Reader::new(bytes.get(start.taken..).unwrap_or_default());
    // A cut packet: what was read so far is said.
    let _cut = read_connect(&mut reader, start, &mut connect);
    connect
}

fn read_connect(reader: &mut Reader<'_>, start: ConnectStart, into: &mut Connect) -> Result<(), ParseError> {
    let ConnectStart { level, flags, .. } = start;
    reader.take(2, "keep alive")?;
    if level == 5 {
        into.authentication = properties(reader)?;
    }
    into.client = string(reader, "client identifier")?;
    if flags & 0x04 != 0 {
        if level == 5 {
            properties(reader)?;
        }
        into.will = Some(string(reader, "will topic")?);
        binary(reader, "will payload")?;
    }
    if flags & 0x80 != 0 {
        binary(reader, "user name")?;
    }
    if flags & 0x40 != 0 {
        into.password = Some(!binary(reader, "password")?.is_empty());
    }
    Ok(())
}

/// The topic of a PUBLISH's body.
pub(super) fn published(body: &[u8]) -> Result<String, ParseError> {
    string(&mut Reader::new(body), "topic")
}

/// The topic filters of a SUBSCRIBE's body, as far as they are there.
pub(super) fn subscribed(body: &[u8], level: u8) -> Vec<String> {
    let mut reader = Reader::new(body);
    let mut topics = Vec::new();
    let before =
        reader.take(2, "packet identifier").is_ok() && (level != 5 || properties(&mut reader).is_ok());
    while before && topics.len() < MAX_TOPICS && !reader.is_empty() {
        let Ok(topic) = string(&mut reader, "topic filter") else { break };
        topics.push(topic);
        if reader.u8("options").is_err() {
            break;
        }
    }
    topics
}

/// Passes over properties (§2.2.2); the method of an enhanced authentication, if it is among them.
fn properties(reader: &mut Reader<'_>) -> Result<Option<String>, ParseError> {
    let length = usize::try_from(variable(reader)?).unwrap_or(usize::MAX);
    let mut inner = reader.sub(length, "properties")?;
    let mut method = None;
    while !inner.is_empty() {
        let offset = inner.position();
        match variable(&mut inner)? {
            AUTHENTICATION_METHOD => method = Some(string(&mut inner, "authentication method")?),
            0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28..=0x2a => drop(inner.take(1, "property")?),
            0x13 | 0x21..=0x23 => drop(inner.take(2, "property")?),
            0x02 | 0x11 | 0x18 | 0x27 => drop(inner.take(4, "property")?),
            0x0b => drop(variable(&mut inner)?),
            0x03 | 0x08 | 0x09 | 0x12 | 0x16 | 0x1a | 0x1c | 0x1f => drop(binary(&mut inner, "property")?),
            0x26 => {
                binary(&mut inner, "property")?;
                binary(&mut inner, "property")?;
            }
            _ => return Err(ParseError::invalid("property", offset)),
        }
    }
    Ok(method)
}

fn binary<'a>(reader: &mut Reader<'a>, field: &'static str) -> Result<&'a [u8], ParseError> {
    let length = u16::from_be_bytes(reader.array(field)?);
    reader.take(usize::from(length), field)
}

fn string(reader: &mut Reader<'_>, field: &'static str) -> Result<String, ParseError> {
    binary(reader, field).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

/// A variable byte integer (§1.5.5): at most four bytes of seven bits, lowest first.
fn variable(reader: &mut Reader<'_>) -> Result<u32, ParseError> {
    let offset = reader.position();
    let mut value = 0_u32;
    for shift in [0_u32, 7, 14, 21] {
        let byte = reader.u8("length")?;
        value |= u32::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(ParseError::invalid("length", offset))
}
