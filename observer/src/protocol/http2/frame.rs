//! Frames ([RFC 9113 §4](https://datatracker.ietf.org/doc/html/rfc9113#section-4)).

use crate::bytes::{ParseError, Reader};

/// What a client begins with (§3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Settings that a first SETTINGS frame may hold; a dozen are registered.
const MAX_SETTINGS: u32 = 64;

/// Types of frames that matter here (§6).
pub(super) mod kind {
    pub(in super::super) const HEADERS: u8 = 1;
    pub(in super::super) const SETTINGS: u8 = 4;
    pub(in super::super) const PUSH_PROMISE: u8 = 5;
    pub(in super::super) const CONTINUATION: u8 = 9;
}

/// Flags (§6.2).
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) length: u32,
    pub(super) kind: u8,
    flags: u8,
    pub(super) stream: u32,
}

impl Header {
    pub(super) const LEN: usize = 9;

    pub(super) fn parse(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        Ok(Self {
            length: reader.u24("frame length")?,
            kind: reader.u8("frame type")?,
            flags: reader.u8("frame flags")?,
            // The first bit is reserved.
            stream: u32::from_be_bytes(reader.array("stream")?) & 0x7fff_ffff,
        })
    }

    /// Whether the header block ends with this frame.
    pub(super) fn ends_block(self) -> bool {
        self.flags & END_HEADERS != 0
    }

    /// Whether a connection may begin with it.
    pub(super) fn is_first(self) -> bool {
        self.kind == kind::SETTINGS
            && self.stream == 0
            && self.flags == 0
            && self.length.is_multiple_of(6)
            && self.length <= MAX_SETTINGS.saturating_mul(6)
    }

    /// The fragment of a header block in the frame's payload (§6.2, §6.6, §6.10).
    pub(super) fn fragment(self, payload: &[u8]) -> Result<&[u8], ParseError> {
        let mut reader = Reader::new(payload);
        let first = self.kind != kind::CONTINUATION;
        let padding = if first && self.flags & PADDED != 0 { reader.u8("pad length")? } else { 0 };
        if self.kind == kind::HEADERS && self.flags & PRIORITY != 0 {
            reader.take(5, "priority")?;
        }
        if self.kind == kind::PUSH_PROMISE {
            reader.take(4, "promised stream")?;
        }
        let left = reader.left().checked_sub(usize::from(padding));
        let len = left.ok_or_else(|| reader.invalid("pad length"))?;
        reader.take(len, "header block")
    }
}

/// Whether the bytes begin with the preface; `None` where they may yet.
pub(super) fn preface(bytes: &[u8]) -> Option<bool> {
    if bytes.len() < PREFACE.len() {
        return if PREFACE.starts_with(bytes) { None } else { Some(false) };
    }
    Some(bytes.starts_with(PREFACE))
}

/// The length of the preface.
pub(super) const PREFACE_LEN: usize = PREFACE.len();

/// Whether the bytes can be those of a server that begins, as far as they go.
pub(super) fn may_be_settings(bytes: &[u8]) -> bool {
    if bytes.len() < 3 {
        return bytes.iter().zip([0, 1]).all(|(byte, most)| *byte <= most);
    }
    let mut start = [0, 0, 0, kind::SETTINGS, 0, 0, 0, 0, 0];
    start.iter_mut().zip(bytes).for_each(|(slot, byte)| *slot = *byte);
    Header::parse(&mut Reader::new(&start)).is_ok_and(Header::is_first)
}
