//! The types of AMQP 1.0 (part 1), its frames (part 2 §2.3) and what is read of its performatives.
//!
//! The first half of a constructor says how long a value is, so that what is not known can be passed over.

use crate::bytes::{ParseError, Reader};

/// Names in an array that are looked at; servers list some five mechanisms.
const MAX_NAMES: usize = 32;
/// Entries of a map, and items of a list, that are looked at.
const MAX_ITEMS: usize = 64;

/// The descriptors of performatives (part 2 §2.7, part 5 §5.3.3).
pub(super) mod code {
    pub(in crate::protocol::amqp) const OPEN: u64 = 0x10;
    pub(in crate::protocol::amqp) const ATTACH: u64 = 0x12;
    pub(in crate::protocol::amqp) const TRANSFER: u64 = 0x14;
    pub(in crate::protocol::amqp) const CLOSE: u64 = 0x18;
    pub(in crate::protocol::amqp) const SASL_MECHANISMS: u64 = 0x40;
    pub(in crate::protocol::amqp) const SASL_INIT: u64 = 0x41;
    pub(in crate::protocol::amqp) const SASL_RESPONSE: u64 = 0x43;
    pub(in crate::protocol::amqp) const SASL_OUTCOME: u64 = 0x44;
}

/// A value; what is described by a symbol, or not at all, has no descriptor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'a> {
    pub(super) descriptor: Option<u64>,
    constructor: u8,
    bytes: &'a [u8],
}

impl<'a> Value<'a> {
    /// The number that it is.
    pub(super) fn number(self) -> Option<u64> {
        let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        // Unsigned ones of all widths, and the two that have none.
        matches!(self.constructor, 0x43 | 0x44 | 0x50 | 0x52 | 0x53 | 0x60 | 0x70 | 0x80)
            .then(|| number(self.bytes))
    }

    /// The bytes of a string, a symbol or a binary.
    pub(super) fn text(self) -> Option<&'a [u8]> {
        matches!(self.constructor, 0xa0 | 0xa1 | 0xa3 | 0xb0 | 0xb1 | 0xb3).then_some(self.bytes)
    }

    /// Whether it is `true`, in either encoding.
    pub(super) fn is_true(self) -> bool {
        self.constructor == 0x41 || (self.constructor == 0x56 && self.bytes == [1])
    }

    /// The items of a list or a map, names and values of the latter in turn; none of anything else.
    pub(super) fn items(self) -> Vec<Self> {
        let mut reader = Reader::new(self.bytes);
        let count = match self.constructor {
            0xc0 | 0xc1 => reader.u8("count").map(usize::from),
            0xd0 | 0xd1 => reader.u32("count").map(|count| usize::try_from(count).unwrap_or(usize::MAX)),
            _ => return Vec::new(),
        };
        let count = count.unwrap_or(0).min(MAX_ITEMS);
        (0..count).map_while(|_| value(&mut reader).ok()).collect()
    }

    /// The strings of an array, or the one that stands in its place.
    pub(super) fn names(self) -> Vec<&'a [u8]> {
        let mut reader = Reader::new(self.bytes);
        let wide = match self.constructor {
            0xe0 => false,
            0xf0 => true,
            _ => return self.text().into_iter().collect(),
        };
        let count = if wide { reader.u32("count") } else { reader.u8("count").map(u32::from) };
        let count = usize::try_from(count.unwrap_or(0)).unwrap_or(MAX_NAMES).min(MAX_NAMES);
        let Ok(constructor) = reader.u8("constructor") else { return Vec::new() };
        (0..count).map_while(|_| content(constructor, &mut reader).ok()).collect()
    }

    /// The text of the entry of a map that is called `name`.
    pub(super) fn entry(self, name: &str) -> Option<&'a [u8]> {
        let items = self.items();
        let mut pairs = items.chunks_exact(2).filter_map(|pair| match pair {
            [key, value] => Some((key.text()?, value.text()?)),
            _ => None,
        });
        pairs.find_map(|(key, value)| (key == name.as_bytes()).then_some(value))
    }
}

/// The next value (part 1 §1.2).
pub(super) fn value<'a>(reader: &mut Reader<'a>) -> Result<Value<'a>, ParseError> {
    let mut constructor = reader.u8("constructor")?;
    let mut descriptor = None;
    if constructor == 0 {
        let constructor_of = reader.u8("descriptor")?;
        let bytes = content(constructor_of, reader)?;
        descriptor = Value { descriptor, constructor: constructor_of, bytes }.number();
        constructor = reader.u8("constructor")?;
    }
    Ok(Value { descriptor, constructor, bytes: content(constructor, reader)? })
}

/// What follows a constructor.
fn content<'a>(constructor: u8, reader: &mut Reader<'a>) -> Result<&'a [u8], ParseError> {
    let length = match constructor >> 4 {
        4 => 0,
        5 => 1,
        6 => 2,
        7 => 4,
        8 => 8,
        9 => 16,
        0xa | 0xc | 0xe => usize::from(reader.u8("length")?),
        0xb | 0xd | 0xf => usize::try_from(reader.u32("length")?).unwrap_or(usize::MAX),
        _ => return Err(reader.invalid("constructor")),
    };
    reader.take(length, "value")
}

/// The bytes of the frame at the start of `bytes`.
pub(super) fn measure(bytes: &[u8]) -> Result<usize, ParseError> {
    let mut reader = Reader::new(bytes);
    let size = usize::try_from(reader.u32("size")?).unwrap_or(usize::MAX);
    let (offset, kind) = (reader.u8("data offset")?, reader.u8("frame type")?);
    if offset < 2 || kind > 1 || size < usize::from(offset).saturating_mul(4) {
        return Err(ParseError::invalid("frame", 0));
    }
    Ok(size)
}

/// The performative of a frame; `None` in an empty one. The end of a long frame may be missing.
pub(super) fn performative(frame: &[u8]) -> Result<Option<Value<'_>>, ParseError> {
    let offset = frame.get(4).map_or(0, |words| usize::from(*words).saturating_mul(4));
    let mut reader = Reader::new(frame.get(offset..).unwrap_or_default());
    if reader.is_empty() { Ok(None) } else { value(&mut reader).map(Some) }
}
