//! Chunks, the messages that are made of them, and the commands among those: where the client wants to go.

use super::PROTOCOL;
use crate::bytes::{ParseError, Reader};
use crate::protocol::login::Exposure;
use crate::protocol::pending::Step;
use crate::protocol::{Context, property, sasl};

/// Chunk streams that are told apart; clients use three or four before they stream.
const MAX_STREAMS: usize = 8;
/// Bytes of a message that are kept; commands have some hundreds.
const MAX_MESSAGE: usize = 8 << 10;
/// Messages after which nobody listens any more.
const MAX_MESSAGES: u8 = 32;
/// Bytes of a chunk until somebody says otherwise.
const CHUNK: usize = 128;
/// How deep objects may stand in one another.
const MAX_DEPTH: u8 = 8;

/// Types of messages.
const SET_CHUNK_SIZE: u8 = 1;
const COMMAND_AMF3: u8 = 17;
const COMMAND_AMF0: u8 = 20;

/// The client's chunks.
pub(super) struct Chunks {
    size: usize,
    streams: Vec<Stream>,
    messages: u8,
}

impl Default for Chunks {
    fn default() -> Self {
        Self { size: CHUNK, streams: Vec::new(), messages: 0 }
    }
}

/// A chunk stream and the message in it that is not whole.
#[derive(Default)]
struct Stream {
    id: u32,
    length: usize,
    kind: u8,
    /// Whether headers have a time of four bytes more.
    extended: bool,
    /// At most [`MAX_MESSAGE`] bytes.
    message: Vec<u8>,
    arrived: usize,
}

impl Chunks {
    /// Takes the chunk at the start of `bytes`.
    pub(super) fn chunk(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Result<Step, ParseError> {
        let mut reader = Reader::new(bytes);
        match self.read(&mut reader, cx) {
            Ok(true) => Ok(Step::Took(reader.position())),
            Ok(false) => Ok(Step::Stop),
            Err(error) if error.is_truncated() => Ok(Step::Wait),
            Err(error) => Err(error),
        }
    }

    /// Reads a chunk; whether to go on. Nothing is changed by one that is not whole.
    fn read(&mut self, reader: &mut Reader<'_>, cx: &mut Context<'_>) -> Result<bool, ParseError> {
        let first = reader.u8("chunk")?;
        let id = match first & 0x3f {
            0 => u32::from(reader.u8("chunk stream")?).saturating_add(64),
            1 => u32::from(u16::from_le_bytes(reader.array("chunk stream")?)).saturating_add(64),
            id => u32::from(id),
        };
        let known = self.streams.iter().position(|stream| stream.id == id);
        let format = first >> 6;
        let mut header = known.and_then(|at| self.streams.get(at)).map_or((0, 0, false), Stream::header);
        if known.is_none() && format != 0 {
            return Err(reader.invalid("chunk"));
        }
        if format < 3 {
            header.2 = reader.u24("time")? == 0x00ff_ffff;
        }
        if format < 2 {
            header.0 = usize::try_from(reader.u24("length")?).unwrap_or(usize::MAX);
            header.1 = reader.u8("type")?;
        }
        if format == 0 {
            reader.u32("message stream")?;
        }
        if header.2 {
            reader.u32("time")?;
        }
        let arrived = known.and_then(|at| self.streams.get(at)).map_or(0, |stream| stream.arrived);
        let payload = reader.take(self.size.min(header.0.saturating_sub(arrived)), "payload")?;
        let at = match known {
            Some(at) => at,
            None if self.streams.len() >= MAX_STREAMS => return Ok(false),
            None => {
                self.streams.push(Stream { id, ..Stream::default() });
                self.streams.len().saturating_sub(1)
            }
        };
        let Some(stream) = self.streams.get_mut(at) else { return Ok(false) };
        (stream.length, stream.kind, stream.extended) = header;
        let room = MAX_MESSAGE.saturating_sub(stream.message.len());
        stream.message.extend_from_slice(payload.get(..room).unwrap_or(payload));
        stream.arrived = stream.arrived.saturating_add(payload.len());
        if stream.arrived < stream.length {
            return Ok(true);
        }
        stream.arrived = 0;
        let message = std::mem::take(&mut stream.message);
        self.messages = self.messages.saturating_add(1);
        Ok(self.message(header.1, &message, cx) && self.messages < MAX_MESSAGES)
    }

    /// Takes a message; whether to go on.
    fn message(&mut self, kind: u8, message: &[u8], cx: &mut Context<'_>) -> bool {
        match kind {
            SET_CHUNK_SIZE => {
                let size = Reader::new(message).u32("size").unwrap_or(0) & 0x7fff_ffff;
                self.size = usize::try_from(size).unwrap_or(usize::MAX).max(1);
                true
            }
            COMMAND_AMF0 => command(message, cx).unwrap_or(true),
            // AMF3's commands begin with a byte and go on in AMF0.
            COMMAND_AMF3 => command(message.get(1..).unwrap_or_default(), cx).unwrap_or(true),
            _ => true,
        }
    }
}

impl Stream {
    fn header(&self) -> (usize, u8, bool) {
        (self.length, self.kind, self.extended)
    }
}

/// Reads a command; whether to go on.
fn command(message: &[u8], cx: &mut Context<'_>) -> Result<bool, ParseError> {
    let mut reader = Reader::new(message);
    let Some(name) = value(&mut reader, MAX_DEPTH)? else { return Ok(true) };
    match name {
        b"connect" => {
            value(&mut reader, MAX_DEPTH)?;
            if reader.u8("object")? == 3 {
                // An object that is cut says what came before.
                let mut said = |name: &[u8], value: &[u8]| connect(name, value, cx);
                members(&mut reader, MAX_DEPTH, &mut said)?;
            }
            Ok(true)
        }
        b"publish" | b"play" => {
            property::Fact::say(PROTOCOL.name, "command", name, cx);
            Ok(false)
        }
        _ => Ok(true),
    }
}

/// A member of what `connect` says.
fn connect(name: &[u8], value: &[u8], cx: &mut Context<'_>) {
    let value = String::from_utf8_lossy(value);
    let (path, query) = value.split_once('?').unwrap_or((&value, ""));
    let mut say = |name, value: &str| property::Fact::say(PROTOCOL.name, name, value.as_bytes(), cx);
    match name {
        b"app" => {
            say("app", path);
            // Adobe's and Limelight's logins answer a challenge in the application's name.
            if let Some(method) =
                parameter(query, "authmod").filter(|_| parameter(query, "response").is_some())
            {
                sasl::say(PROTOCOL.name, method, Exposure::Response, cx);
            }
        }
        b"flashVer" => say("client", &value),
        b"tcUrl" => {
            let authority = path.split_once("://").map_or("", |(_, rest)| rest).split('/').next();
            let authority = authority.unwrap_or_default();
            let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
            say("host", &host.to_lowercase());
            if user.contains(':') {
                sasl::say(PROTOCOL.name, "tcUrl", Exposure::Secret, cx);
            }
        }
        _ => {}
    }
}

/// The value of a query's parameter; at most 16 letters, digits or hyphens are a name.
fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = query.split(['&', '?']).filter_map(|pair| pair.split_once('='));
    pairs.find_map(|(key, value)| (key == name && !value.is_empty()).then_some(value))
}

/// Passes over a value of AMF0; a string is returned.
fn value<'a>(reader: &mut Reader<'a>, depth: u8) -> Result<Option<&'a [u8]>, ParseError> {
    let Some(depth) = depth.checked_sub(1) else { return Err(reader.invalid("depth")) };
    let nothing = &mut |_: &[u8], _: &[u8]| {};
    match reader.u8("type")? {
        0 => drop(reader.take(8, "number")?),
        1 => drop(reader.u8("boolean")?),
        2 => return string(reader).map(Some),
        3 => members(reader, depth, nothing)?,
        5 | 6 => {}
        7 => drop(reader.u16("reference")?),
        8 => {
            reader.u32("count")?;
            members(reader, depth, nothing)?;
        }
        10 => {
            // Each value has a byte at least: what is stated beyond the end ends the loop with an error.
            for _ in 0..reader.u32("count")? {
                value(reader, depth)?;
            }
        }
        11 => drop(reader.take(10, "date")?),
        12 | 15 => {
            let length = usize::try_from(reader.u32("length")?).unwrap_or(usize::MAX);
            return reader.take(length, "string").map(Some);
        }
        _ => return Err(reader.invalid("type")),
    }
    Ok(None)
}

fn string<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], ParseError> {
    let length = reader.u16("length")?;
    reader.take(usize::from(length), "string")
}

/// Reads an object's members behind its type, and says those that are strings.
fn members(reader: &mut Reader<'_>, depth: u8, said: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), ParseError> {
    loop {
        let name = string(reader)?;
        if name.is_empty() && reader.peek().first() == Some(&9) {
            reader.u8("end")?;
            return Ok(());
        }
        if let Some(value) = value(reader, depth)? {
            said(name, value);
        }
    }
}
