//! Binary serialisations, read as far as the sample goes: what random bytes cannot look like for long.
//!
//! Each reader counts how improbable every constraint is that the bytes meet: names in printable characters, lengths
//! that fit, types that exist. Where nearly every byte is valid (a MessagePack type) it counts nothing.

use super::evidence::{Evidence, of_text};
use super::{Likeness, Named};
use crate::bytes::{ParseError, Reader};

/// How deep values may lie in one another.
const MAX_DEPTH: u32 = 12;

/// Values that are read of a sample.
const MAX_ITEMS: u32 = 512;

type Read = Result<(), ParseError>;

/// A format: its name, and what reads one message of it.
type Format = (&'static str, fn(&mut Reader<'_>, &mut Evidence) -> Read);

const FORMATS: &[Format] = &[
    ("protobuf", protobuf),
    ("msgpack", msgpack),
    ("cbor", cbor),
    ("bson", bson),
    ("ber", ber),
    ("java", java),
    ("thrift", thrift),
];

/// What stands before each message: its length.
#[derive(Clone, Copy, Debug)]
enum Prefix {
    /// In so many bytes, most significant first.
    Big(usize),
    /// In so many bytes, least significant first.
    Little(usize),
    /// As protobuf writes numbers.
    Varint,
}

const PREFIXES: &[Prefix] =
    &[Prefix::Big(2), Prefix::Big(4), Prefix::Little(2), Prefix::Little(4), Prefix::Varint];

/// Bytes of a message that a prefix may announce.
const MAX_MESSAGE: usize = 1 << 24;

/// The format for which `bytes` hold the most evidence.
pub(super) fn find(bytes: &[u8]) -> Option<Named> {
    let plain = FORMATS.iter().map(|(kind, read)| (*kind, alone(bytes, *read)));
    let framed = PREFIXES
        .iter()
        .flat_map(|prefix| FORMATS.iter().map(move |(kind, read)| (*kind, messages(bytes, *prefix, *read))));
    let named = plain.chain(framed).filter_map(|(kind, evidence)| {
        let evidence = Evidence { bytes: bytes.len(), ..evidence? };
        Some(Named { likeness: Likeness::Serialised, kind, evidence })
    });
    // The first of equals: formats without a prefix come first.
    named.reduce(|best, next| if next.evidence.bits > best.evidence.bits { next } else { best })
}

/// Reads one message, as far as the sample goes; what follows it may be of any kind.
fn alone(bytes: &[u8], read: fn(&mut Reader<'_>, &mut Evidence) -> Read) -> Option<Evidence> {
    let mut evidence = Evidence::default();
    match read(&mut Reader::new(bytes), &mut evidence) {
        Err(error) if !error.is_truncated() => None,
        _ => Some(evidence),
    }
}

/// Reads message after message, each behind its length; `None` as soon as one is not of the format.
fn messages(
    bytes: &[u8],
    prefix: Prefix,
    read: fn(&mut Reader<'_>, &mut Evidence) -> Read,
) -> Option<Evidence> {
    let mut reader = Reader::new(bytes);
    let mut evidence = Evidence::default();
    while !reader.is_empty() && evidence.items < MAX_ITEMS {
        let len = match length(&mut reader, prefix) {
            Ok(len) => len,
            Err(error) if error.is_truncated() => break,
            Err(_) => return None,
        };
        let whole = len <= reader.left();
        let mut message = reader.sub(len.min(reader.left()), "message").ok()?;
        match read(&mut message, &mut evidence) {
            Ok(()) if message.is_empty() && whole => evidence.weigh(3),
            Ok(()) if message.is_empty() => {}
            Err(error) if error.is_truncated() && !whole => break,
            // A value that ends before its message, or behind it.
            _ => return None,
        }
    }
    Some(evidence)
}

fn length(reader: &mut Reader<'_>, prefix: Prefix) -> Result<usize, ParseError> {
    let digit = |sum: usize, byte: &u8| sum.saturating_mul(256).saturating_add(usize::from(*byte));
    let len = match prefix {
        Prefix::Big(count) => reader.take(count, "length")?.iter().fold(0, digit),
        Prefix::Little(count) => reader.take(count, "length")?.iter().rev().fold(0, digit),
        Prefix::Varint => usize::try_from(varint(reader)?).unwrap_or(usize::MAX),
    };
    if (1..=MAX_MESSAGE).contains(&len) { Ok(len) } else { Err(reader.invalid("length")) }
}

/// A number of 7 bits a byte, without useless bytes (protobuf's varint).
fn varint(reader: &mut Reader<'_>) -> Result<u64, ParseError> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = reader.u8("varint")?;
        value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte < 0x80 {
            if byte == 0 && shift > 0 {
                return Err(reader.invalid("varint"));
            }
            return Ok(value);
        }
    }
    Err(reader.invalid("varint"))
}

/// Fields up to the end of the message (protobuf encoding).
fn protobuf(reader: &mut Reader<'_>, evidence: &mut Evidence) -> Read {
    fields(reader, evidence, 0)
}

fn fields(reader: &mut Reader<'_>, evidence: &mut Evidence, depth: u32) -> Read {
    while !reader.is_empty() && evidence.items < MAX_ITEMS {
        let tag = varint(reader)?;
        // Field numbers up to 255 and four types: a quarter of all bytes begin such a tag.
        if !(1..=255).contains(&(tag >> 3)) {
            return Err(reader.invalid("field number"));
        }
        match tag & 7 {
            0 => {
                varint(reader)?;
                evidence.item(2);
            }
            1 => {
                reader.take(8, "fixed64")?;
                evidence.item(2);
            }
            5 => {
                reader.take(4, "fixed32")?;
                evidence.item(2);
            }
            2 => {
                let len = varint(reader)?;
                let len = usize::try_from(len).unwrap_or(usize::MAX);
                if len > MAX_MESSAGE {
                    return Err(reader.invalid("field length"));
                }
                let value = reader.take(len, "field")?;
                evidence.item(2);
                evidence.add(within(value, depth));
            }
            _ => return Err(reader.invalid("wire type")),
        }
    }
    Ok(())
}

/// What the value of a length-delimited field says: a text, a message, or nothing.
fn within(value: &[u8], depth: u32) -> Evidence {
    let text = Evidence { bits: of_text(value).unwrap_or(0), ..Evidence::default() };
    if depth >= MAX_DEPTH || value.len() < 2 {
        return text;
    }
    let mut message = Evidence::default();
    let whole = fields(&mut Reader::new(value), &mut message, depth.saturating_add(1)).is_ok();
    if whole && message.bits > text.bits { message } else { text }
}

/// A map or an array (MessagePack specification).
fn msgpack(reader: &mut Reader<'_>, evidence: &mut Evidence) -> Read {
    match reader.peek().first() {
        Some(0x80..=0x9f | 0xdc..=0xdf) => evidence.weigh(2),
        _ => return Err(reader.invalid("type")),
    }
    msgpack_value(reader, evidence, 0)
}

fn msgpack_value(reader: &mut Reader<'_>, evidence: &mut Evidence, depth: u32) -> Read {
    if depth > MAX_DEPTH || evidence.items >= MAX_ITEMS {
        return Err(reader.invalid("depth"));
    }
    let kind = reader.u8("type")?;
    let len = match kind {
        0x80..=0x9f => usize::from(kind & 0x0f),
        0xa0..=0xbf => usize::from(kind & 0x1f),
        0xc4 | 0xc7 | 0xd9 => usize::from(reader.u8("length")?),
        0xc5 | 0xc8 | 0xda | 0xdc | 0xde => usize::from(reader.u16("length")?),
        0xc6 | 0xc9 | 0xdb | 0xdd | 0xdf => usize::try_from(reader.u32("length")?).unwrap_or(usize::MAX),
        0xcc | 0xd0 => 1,
        0xcd | 0xd1 | 0xd4 => 2,
        0xd5 => 3,
        0xca | 0xce | 0xd2 => 4,
        0xd6 => 5,
        0xcb | 0xcf | 0xd3 => 8,
        0xd7 => 9,
        0xd8 => 17,
        0xc1 => return Err(reader.invalid("type")),
        0x00..=0x7f | 0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff => 0,
    };
    if len > MAX_MESSAGE {
        return Err(reader.invalid("length"));
    }
    evidence.item(0);
    match kind {
        0x80..=0x8f | 0xde | 0xdf => {
            for _ in 0..len {
                match reader.peek().first() {
                    Some(0xa1..=0xbf | 0xd9) => evidence.weigh(2),
                    Some(0x00..=0x7f | 0xcc..=0xd3 | 0xe0..=0xff) => {}
                    Some(_) => return Err(reader.invalid("key")),
                    None => {}
                }
                msgpack_value(reader, evidence, depth.saturating_add(1))?;
                msgpack_value(reader, evidence, depth.saturating_add(1))?;
            }
        }
        0x90..=0x9f | 0xdc | 0xdd => {
            for _ in 0..len {
                msgpack_value(reader, evidence, depth.saturating_add(1))?;
            }
        }
        0xa0..=0xbf | 0xd9..=0xdb => text(reader, len, evidence)?,
        0xc7..=0xc9 => {
            reader.take(len.saturating_add(1), "extension")?;
        }
        _ => {
            reader.take(len, "value")?;
        }
    }
    Ok(())
}

/// A string, which must be one.
fn text(reader: &mut Reader<'_>, len: usize, evidence: &mut Evidence) -> Read {
    let value = reader.take(len, "text")?;
    evidence.weigh(of_text(value).ok_or_else(|| reader.invalid("text"))?);
    Ok(())
}

/// A map, an array or a tag (RFC 8949).
fn cbor(reader: &mut Reader<'_>, evidence: &mut Evidence) -> Read {
    match reader.peek() {
        [0xd9, 0xd9, 0xf7, ..] => evidence.weigh(24),
        [0x80..=0xbf, ..] => evidence.weigh(2),
        [0xc0..=0xdb, ..] => {}
        _ => return Err(reader.invalid("type")),
    }
    cbor_value(reader, evidence, 0)
}

fn cbor_value(reader: &mut Reader<'_>, evidence: &mut Evidence, depth: u32) -> Read {
    if depth > MAX_DEPTH || evidence.items >= MAX_ITEMS {
        return Err(reader.invalid("depth"));
    }
    let initial = reader.u8("initial byte")?;
    let (major, low) = (initial >> 5, initial & 0x1f);
    let argument = match low {
        0..=23 => u64::from(low),
        24 => u64::from(reader.u8("argument")?),
        25 => u64::from(reader.u16("argument")?),
        26 => u64::from(reader.u32("argument")?),
        27 => reader.u64("argument")?,
        31 if matches!(major, 4 | 5) => u64::MAX,
        _ => return Err(reader.invalid("argument")),
    };
    evidence.item(0);
    let indefinite = low == 31;
    let len = usize::try_from(argument).unwrap_or(usize::MAX);
    if matches!(major, 2..=5) && !indefinite && len > MAX_MESSAGE {
        return Err(reader.invalid("length"));
    }
    match major {
        2 => {
            reader.take(len, "bytes")?;
        }
        3 => text(reader, len, evidence)?,
        4 | 5 => {
            for _ in 0..len {
                if indefinite && reader.peek().first() == Some(&0xff) {
                    reader.u8("break")?;
                    break;
                }
                if major == 5 {
                    match reader.peek().first().map(|byte| byte >> 5) {
                        Some(3) => evidence.weigh(3),
                        Some(0..=2) | None => {}
                        Some(_) => return Err(reader.invalid("key")),
                    }
                    cbor_value(reader, evidence, depth.saturating_add(1))?;
                }
                cbor_value(reader, evidence, depth.saturating_add(1))?;
            }
        }
        6 => cbor_value(reader, evidence, depth.saturating_add(1))?,
        _ => {}
    }
    Ok(())
}

/// A document (bsonspec.org, version 1.1).
fn bson(reader: &mut Reader<'_>, evidence: &mut Evidence) -> Read {
    document(reader, evidence, 0)
}

fn document(reader: &mut Reader<'_>, evidence: &mut Evidence, depth: u32) -> Read {
    if depth > MAX_DEPTH {
        return Err(reader.invalid("depth"));
    }
    let sample = reader.left();
    let len = usize::try_from(reader.u32_le("length")?).unwrap_or(usize::MAX);
    if !(5..=MAX_MESSAGE).contains(&len) {
        return Err(reader.invalid("length"));
    }
    // Small numbers are everywhere; one that is far beyond what was seen may be of anything.
    evidence.weigh(match len {
        _ if len <= sample => 8,
        _ if len >> 6 <= sample => 4,
        _ => 0,
    });
    while evidence.items < MAX_ITEMS {
        let kind = reader.u8("type")?;
        let read = sample.saturating_sub(reader.left());
        if kind == 0 && read == len {
            return Ok(());
        }
        if kind == 0 || read >= len {
            return Err(reader.invalid("length"));
        }
        if !matches!(kind, 0x01..=0x13 | 0x7f | 0xff) {
            return Err(reader.invalid("type"));
        }
        // A name without an end says nothing: it may be any text.
        let end = reader.peek().iter().position(|byte| *byte == 0);
        let name = end.unwrap_or(reader.left().saturating_add(1));
        let name = reader.take(name, "name")?;
        evidence.item(3);
        evidence.weigh(of_text(name).ok_or_else(|| reader.invalid("name"))?);
        reader.u8("end of name")?;
        let size = match kind {
            0x01 | 0x09 | 0x11 | 0x12 => 8,
            0x10 => 4,
            0x13 => 16,
            0x07 => 12,
            0x06 | 0x0a | 0x7f | 0xff => 0,
            0x0b => {
                for _ in 0..2 {
                    let end = reader.peek().iter().position(|byte| *byte == 0);
                    let value = reader.take(end.unwrap_or(reader.left()), "pattern")?;
                    of_text(value).ok_or_else(|| reader.invalid("pattern"))?;
                    reader.u8("end of pattern")?;
                }
                0
            }
            0x08 => {
                if reader.u8("boolean")? > 1 {
                    return Err(reader.invalid("boolean"));
                }
                evidence.weigh(7);
                0
            }
            0x02 | 0x0d | 0x0e => {
                let len = usize::try_from(reader.u32_le("length")?).unwrap_or(usize::MAX);
                let len = len.checked_sub(1).filter(|len| *len <= MAX_MESSAGE);
                text(reader, len.ok_or_else(|| reader.invalid("length"))?, evidence)?;
                if reader.u8("end of text")? != 0 {
                    return Err(reader.invalid("end of text"));
                }
                evidence.weigh(16);
                0
            }
            0x05 => {
                let len = usize::try_from(reader.u32_le("length")?).unwrap_or(usize::MAX);
                if len > MAX_MESSAGE {
                    return Err(reader.invalid("length"));
                }
                len.saturating_add(1)
            }
            0x03 | 0x04 => {
                document(reader, evidence, depth.saturating_add(1))?;
                0
            }
            _ => return Err(reader.invalid("type")),
        };
        reader.take(size, "value")?;
    }
    Ok(())
}

/// A sequence whose length is that of the message, or is more than the sample (X.690).
fn ber(reader: &mut Reader<'_>, evidence: &mut Evidence) -> Read {
    if reader.peek().first() != Some(&0x30) {
        return Err(reader.invalid("tag"));
    }
    evidence.weigh(8);
    ber_value(reader, evidence, 0)
}

fn ber_value(reader: &mut Reader<'_>, evidence: &mut Evidence, depth: u32) -> Read {
    if depth > MAX_DEPTH || evidence.items >= MAX_ITEMS {
        return Err(reader.invalid("depth"));
    }
    let tag = reader.u8("tag")?;
    // Universal types that exist, application and context tags up to 30: 95 of 256.
    let (bits, constructed) = match tag {
        0x01..=0x06 | 0x0a | 0x0c | 0x13 | 0x14 | 0x16..=0x1a | 0x1b..=0x1e => (2, false),
        0x30 | 0x31 => (5, true),
        0x40..=0x5e | 0x80..=0x9e => (1, false),
        0x60..=0x7e | 0xa0..=0xbe => (1, true),
        _ => return Err(reader.invalid("tag")),
    };
    let len = match reader.u8("length")? {
        short @ 0..=0x7f => usize::from(short),
        long @ 0x81..=0x83 => {
            let bytes = reader.take(usize::from(long & 0x7f), "length")?;
            bytes.iter().fold(0_usize, |len, byte| len.saturating_mul(256).saturating_add(usize::from(*byte)))
        }
        _ => return Err(reader.invalid("length")),
    };
    evidence.item(bits);
    let fixed = match tag {
        0x01 => Some(1),
        0x05 => Some(0),
        _ => None,
    };
    if fixed.is_some_and(|fixed| fixed != len) || (fixed.is_none() && len == 0 && tag < 0x10 && tag != 0x04) {
        return Err(reader.invalid("length"));
    }
    if fixed.is_some() {
        evidence.weigh(6);
    }
    if !constructed {
        let value = reader.take(len, "value")?;
        if matches!(tag, 0x0c | 0x13 | 0x16 | 0x1a) {
            evidence.weigh(of_text(value).ok_or_else(|| reader.invalid("text"))?);
        } else if matches!(tag, 0x04 | 0x80..=0x9e) {
            evidence.weigh(of_text(value).unwrap_or(0));
        }
        return Ok(());
    }
    if len > reader.left() {
        // Only the outermost values may be longer than the sample.
        while !reader.is_empty() {
            ber_value(reader, evidence, depth.saturating_add(1))?;
        }
        return reader.take(len, "value").map(|_| ());
    }
    let mut inner = reader.sub(len, "value")?;
    while !inner.is_empty() {
        match ber_value(&mut inner, evidence, depth.saturating_add(1)) {
            Err(error) if error.is_truncated() => return Err(inner.invalid("length")),
            other => other?,
        }
    }
    // Values that fill what holds them.
    evidence.weigh(3);
    Ok(())
}

/// Java's object serialisation stream, version 5, with the class of its first object.
fn java(reader: &mut Reader<'_>, evidence: &mut Evidence) -> Read {
    if reader.array("magic")? != [0xac, 0xed, 0, 5] {
        return Err(reader.invalid("magic"));
    }
    evidence.weigh(32);
    if !(0x70..=0x7e).contains(&reader.u8("type")?) {
        return Err(reader.invalid("type"));
    }
    evidence.item(4);
    if let [0x72, ..] = reader.peek() {
        reader.u8("type")?;
        let len = usize::from(reader.u16("length")?);
        text(reader, len, evidence)?;
    }
    // What follows is not read.
    reader.rest();
    Ok(())
}

/// Thrift's strict binary protocol: a version, a kind of message, its name.
fn thrift(reader: &mut Reader<'_>, evidence: &mut Evidence) -> Read {
    let [version @ .., kind] = reader.array::<4>("version")?;
    if version != [0x80, 0x01, 0] || !(1..=4).contains(&kind) {
        return Err(reader.invalid("version"));
    }
    let len = usize::try_from(reader.u32("length")?).unwrap_or(usize::MAX);
    if !(1..=128).contains(&len) {
        return Err(reader.invalid("length"));
    }
    evidence.item(30 + 24);
    text(reader, len, evidence)?;
    reader.rest();
    Ok(())
}
