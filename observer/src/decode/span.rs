//! The bytes of one layer as far as they were captured, and how many more there were on the link.
//!
//! Every header is taken off a [`Span`]; what is left of a span at the innermost layer is the payload with its
//! `missing` count. It never indexes and cannot grow.

use super::Skip;

/// A layer's bytes: `bytes` were captured, `missing` more followed on the link.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) missing: u32,
}

impl<'a> Span<'a> {
    /// The first `N` bytes and the span after them; `layer` names the header in the error.
    pub(super) fn header<const N: usize>(self, layer: &'static str) -> Result<([u8; N], Self), Skip> {
        match self.bytes.split_first_chunk::<N>() {
            Some((header, bytes)) => Ok((*header, Self { bytes, ..self })),
            None => Err(self.short(layer)),
        }
    }

    /// The span after its first `len` bytes, all of which were captured.
    pub(super) fn skip(self, len: usize, layer: &'static str) -> Result<Self, Skip> {
        match self.bytes.get(len..) {
            Some(bytes) => Ok(Self { bytes, ..self }),
            None => Err(self.short(layer)),
        }
    }

    /// Its first `wire_len` bytes as a header states them: padding after them goes, bytes that the capture lacks are
    /// counted as missing.
    pub(super) fn limit(self, wire_len: usize) -> Self {
        match self.bytes.get(..wire_len) {
            Some(bytes) => Self { bytes, missing: 0 },
            None => {
                let missing = wire_len.saturating_sub(self.bytes.len());
                Self { bytes: self.bytes, missing: u32::try_from(missing).unwrap_or(u32::MAX) }
            }
        }
    }

    /// Bytes on the link.
    pub(super) fn wire_len(self) -> usize {
        self.bytes.len().saturating_add(self.missing as usize)
    }

    /// The high four bits of the first byte: the version of an IP header.
    pub(super) fn nibble(self) -> Option<u8> {
        self.bytes.first().map(|byte| byte >> 4)
    }

    /// Why a header does not fit: the capture cut it off, or it was never whole.
    pub(super) fn short(self, layer: &'static str) -> Skip {
        if self.missing > 0 { Skip::Truncated(layer) } else { Skip::Malformed(layer) }
    }
}
