//! A bounds-checked cursor over borrowed bytes, and the error that every parser returns.
//!
//! Parsers of untrusted bytes read only through [`Reader`]: it never indexes, never panics and says where and in
//! which field the bytes ended. It does not copy and knows no protocol.

use std::ops::Range;

/// Why some bytes are not what they claim to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ParseErrorKind {
    /// The field needs more bytes than there are.
    #[error("{field} needs {needed} bytes more than there are")]
    Truncated {
        /// The field that was being read.
        field: &'static str,
        /// How many bytes are lacking, at least 1.
        needed: usize,
    },
    /// The field holds a value that its format forbids.
    #[error("invalid {field}")]
    Invalid {
        /// The field that was being read.
        field: &'static str,
    },
}

/// A [`ParseErrorKind`] and where it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{kind} at offset {offset}")]
pub struct ParseError {
    /// What is wrong.
    pub kind: ParseErrorKind,
    /// Bytes from the start of what was being parsed.
    pub offset: usize,
}

impl ParseError {
    /// An invalid `field` at `offset`.
    #[must_use]
    pub fn invalid(field: &'static str, offset: usize) -> Self {
        Self { kind: ParseErrorKind::Invalid { field }, offset }
    }

    /// The name of the field that could not be read.
    #[must_use]
    pub fn field(&self) -> &'static str {
        match self.kind {
            ParseErrorKind::Truncated { field, .. } | ParseErrorKind::Invalid { field } => field,
        }
    }

    /// Whether more bytes could cure the error.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        matches!(self.kind, ParseErrorKind::Truncated { .. })
    }
}

/// A cursor over borrowed bytes. `0 <= position <= len`.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

macro_rules! integer {
    ($be:ident, $le:ident, $t:ty) => {
        #[doc = concat!("The next `", stringify!($t), "`, most significant byte first.")]
        ///
        /// # Errors
        /// `Truncated` when fewer bytes are left; the cursor does not move then.
        pub fn $be(&mut self, field: &'static str) -> Result<$t, ParseError> {
            self.array(field).map(<$t>::from_be_bytes)
        }

        #[doc = concat!("The next `", stringify!($t), "`, least significant byte first.")]
        ///
        /// # Errors
        /// `Truncated` when fewer bytes are left; the cursor does not move then.
        pub fn $le(&mut self, field: &'static str) -> Result<$t, ParseError> {
            self.array(field).map(<$t>::from_le_bytes)
        }
    };
}

impl<'a> Reader<'a> {
    /// A cursor at the first of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// Bytes read so far.
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }

    /// Bytes not yet read.
    #[must_use]
    pub fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.position)
    }

    /// Whether everything has been read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.left() == 0
    }

    /// What has not been read, without moving.
    #[must_use]
    pub fn peek(&self) -> &'a [u8] {
        self.bytes.get(self.position..).unwrap_or_default()
    }

    /// The rest; the cursor moves to the end.
    pub fn rest(&mut self) -> &'a [u8] {
        let rest = self.peek();
        self.position = self.bytes.len();
        rest
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// `Truncated` when fewer are left; the cursor does not move then.
    pub fn take(&mut self, len: usize, field: &'static str) -> Result<&'a [u8], ParseError> {
        match self.peek().get(..len) {
            Some(taken) => {
                self.position = self.position.saturating_add(len);
                Ok(taken)
            }
            None => Err(self.truncated(field, len)),
        }
    }

    /// The next `N` bytes as an array.
    ///
    /// # Errors
    /// `Truncated` when fewer are left; the cursor does not move then.
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], ParseError> {
        match self.peek().first_chunk::<N>() {
            Some(array) => {
                self.position = self.position.saturating_add(N);
                Ok(*array)
            }
            None => Err(self.truncated(field, N)),
        }
    }

    /// A cursor over the next `len` bytes.
    ///
    /// # Errors
    /// `Truncated` when fewer are left; the cursor does not move then.
    pub fn sub(&mut self, len: usize, field: &'static str) -> Result<Self, ParseError> {
        self.take(len, field).map(Self::new)
    }

    /// The next byte.
    ///
    /// # Errors
    /// `Truncated` at the end.
    pub fn u8(&mut self, field: &'static str) -> Result<u8, ParseError> {
        self.array::<1>(field).map(|[byte]| byte)
    }

    /// The next three bytes as an integer, most significant byte first.
    ///
    /// # Errors
    /// `Truncated` when fewer bytes are left; the cursor does not move then.
    pub fn u24(&mut self, field: &'static str) -> Result<u32, ParseError> {
        self.array(field).map(|[a, b, c]| u32::from_be_bytes([0, a, b, c]))
    }

    integer!(u16, u16_le, u16);
    integer!(u32, u32_le, u32);
    integer!(u64, u64_le, u64);

    /// An `Invalid` error for `field` at the cursor.
    #[must_use]
    pub fn invalid(&self, field: &'static str) -> ParseError {
        ParseError::invalid(field, self.position)
    }

    fn truncated(&self, field: &'static str, wanted: usize) -> ParseError {
        let needed = wanted.saturating_sub(self.left()).max(1);
        ParseError { kind: ParseErrorKind::Truncated { field, needed }, offset: self.position }
    }
}

/// Where `inner` lies in `outer`; `None` when it is not a part of it.
///
/// Lets a stage hand on a range instead of a borrow, so that bytes can cross threads without a copy.
#[must_use]
pub fn range_in(outer: &[u8], inner: &[u8]) -> Option<Range<usize>> {
    let start = inner.as_ptr().addr().checked_sub(outer.as_ptr().addr())?;
    let end = start.checked_add(inner.len())?;
    (end <= outer.len()).then_some(start..end)
}

/// Lower-case hexadecimal digits of `bytes`.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_read_names_the_field_and_does_not_move() {
        let mut reader = Reader::new(&[1, 2, 3]);
        assert_eq!(reader.u16("length"), Ok(0x0102));
        let error = reader.u32("payload").unwrap_err();
        assert_eq!(error.kind, ParseErrorKind::Truncated { field: "payload", needed: 3 });
        assert_eq!(error.offset, 2);
        assert_eq!(reader.rest(), [3]);
        assert!(reader.is_empty());
    }

    #[test]
    fn range_in_finds_parts_and_refuses_strangers() {
        let outer = [0_u8; 8];
        assert_eq!(range_in(&outer, &outer[2..5]), Some(2..5));
        assert_eq!(range_in(&outer[..4], &outer[2..6]), None);
    }

    #[test]
    fn hex_is_lower_case() {
        assert_eq!(hex(&[0x00, 0xab, 0x1f]), "00ab1f");
    }
}
