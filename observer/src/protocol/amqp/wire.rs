//! The header that all versions share (AMQP 0-9-1 §4.2.2, AMQP 1.0 part 2 §2.2), and the frames, methods and tables of 0-9-1
//! (§4.2.3 to §4.2.5).

use crate::bytes::{ParseError, Reader};

/// What a header begins with.
const MAGIC: &[u8] = b"AMQP";
/// Bytes of a header.
pub(super) const HEADER: usize = 8;
/// The largest numbers that a header is believed to hold: of the protocol, and of its version.
const MAX_NUMBERS: [u8; 4] = [3, 10, 10, 10];
/// Bytes of a frame beside its payload: type, channel, size, end.
const AROUND: usize = 8;
/// What frames end with.
const END: u8 = 0xce;
/// Entries of a table that are looked at; clients and servers send some ten.
const MAX_ENTRIES: usize = 64;

/// The types of frames; versions before 0-9-1 count heartbeats among them as 4.
pub(super) const METHOD: u8 = 1;
const FRAMES: [u8; 5] = [METHOD, 2, 3, 4, 8];

/// Which way of framing a version has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// 0-8, 0-9 and 0-9-1.
    Nine,
    /// 0-10, and what is not known.
    Other,
    /// 1.0.
    One,
}

/// A header: the protocol's number and three of the version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    numbers: [u8; 4],
}

impl Header {
    pub(super) fn family(self) -> Family {
        match self.numbers {
            [0, 0, 9, 1] | [1, 1, 8, 0] | [1, 1, 0 | 9, 8 | 9 | 1] => Family::Nine,
            [_, 1, 0, 0] => Family::One,
            _ => Family::Other,
        }
    }

    /// Whether TLS is to follow it (AMQP 1.0 part 5 §5.2.1).
    pub(super) fn asks_for_tls(self) -> bool {
        self.family() == Family::One && matches!(self.numbers, [2, ..])
    }

    /// The version as its own document writes it.
    pub(super) fn version(self) -> String {
        match self.numbers {
            [0, 0, 9, 1] => "0-9-1".to_owned(),
            [1, 1, 8, 0] => "0-8".to_owned(),
            [1, 1, major @ 0, minor] => format!("{major}-{minor}"),
            [_, major, minor, 0] => format!("{major}.{minor}"),
            [_, major, minor, revision] => format!("{major}.{minor}.{revision}"),
        }
    }
}

/// Reads a header.
pub(super) fn header(bytes: &[u8]) -> Result<Header, ParseError> {
    let mut reader = Reader::new(bytes);
    for expected in MAGIC {
        if reader.u8("header")? != *expected {
            return Err(ParseError::invalid("header", 0));
        }
    }
    let numbers: [u8; 4] = reader.array("version")?;
    if numbers.iter().zip(MAX_NUMBERS).any(|(number, most)| *number > most) {
        return Err(reader.invalid("version"));
    }
    Ok(Header { numbers })
}

/// The bytes of the frame at the start of `bytes`.
pub(super) fn measure(bytes: &[u8]) -> Result<usize, ParseError> {
    let mut reader = Reader::new(bytes);
    if !FRAMES.contains(&reader.u8("frame type")?) {
        return Err(ParseError::invalid("frame type", 0));
    }
    reader.u16("channel")?;
    let size = usize::try_from(reader.u32("size")?).unwrap_or(usize::MAX);
    Ok(size.saturating_add(AROUND))
}

/// A method: its class and number, and its arguments.
pub(super) struct Method<'a> {
    pub(super) name: (u16, u16),
    pub(super) arguments: Reader<'a>,
}

/// The method in a frame; `None` in one of another type. The end of a long frame may be missing.
pub(super) fn method(frame: &[u8]) -> Result<Option<Method<'_>>, ParseError> {
    let whole = measure(frame)?;
    if whole == frame.len() && frame.last() != Some(&END) {
        return Err(ParseError::invalid("frame end", whole.saturating_sub(1)));
    }
    let mut reader = Reader::new(frame);
    if reader.u8("frame type")? != METHOD {
        return Ok(None);
    }
    reader.take(6, "channel and size")?;
    let name = (reader.u16("class")?, reader.u16("method")?);
    Ok(Some(Method { name, arguments: reader }))
}

/// A string of at most 255 bytes.
pub(super) fn short<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], ParseError> {
    let length = reader.u8("length")?;
    reader.take(usize::from(length), "string")
}

/// A string behind a length of four bytes.
pub(super) fn long<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], ParseError> {
    let length = usize::try_from(reader.u32("length")?).unwrap_or(usize::MAX);
    reader.take(length, "string")
}

/// A name and a value.
type Entry<'a> = (&'a [u8], &'a [u8]);

/// The strings of a table, by their names; other values are passed over.
pub(super) fn strings(table: &[u8]) -> Vec<Entry<'_>> {
    let mut reader = Reader::new(table);
    let mut next = || -> Result<Option<Entry<'_>>, ParseError> {
        let name = short(&mut reader)?;
        // The types as RabbitMQ's errata have them: the standard's own were never used.
        let length = match reader.u8("type")? {
            b'S' => return Ok(Some((name, long(&mut reader)?))),
            b't' | b'b' | b'B' => 1,
            b's' | b'U' | b'u' => 2,
            b'I' | b'i' | b'f' => 4,
            b'D' => 5,
            b'L' | b'l' | b'd' | b'T' => 8,
            b'V' => 0,
            b'A' | b'F' | b'x' => usize::try_from(reader.u32("length")?).unwrap_or(usize::MAX),
            _ => return Err(reader.invalid("type")),
        };
        reader.take(length, "value")?;
        Ok(None)
    };
    (0..MAX_ENTRIES).map_while(|_| next().ok()).flatten().collect()
}
