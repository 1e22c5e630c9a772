//! Integers in the byte order that a capture file declares.

/// A file's or a section's byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ByteOrder {
    Big,
    Little,
}

macro_rules! integer {
    ($name:ident, $t:ty) => {
        /// The integer that begins at `at`; `None` when the bytes end before it does.
        pub(super) fn $name(self, bytes: &[u8], at: usize) -> Option<$t> {
            let array = *bytes.get(at..)?.first_chunk()?;
            Some(match self {
                Self::Big => <$t>::from_be_bytes(array),
                Self::Little => <$t>::from_le_bytes(array),
            })
        }
    };
}

impl ByteOrder {
    integer!(u16, u16);
    integer!(u32, u32);
    integer!(u64, u64);
}

/// A length from a file as a length in memory; too large for memory is `usize::MAX`, which no buffer has.
pub(super) fn to_usize(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// A length in memory as a part of a file's offset.
pub(super) fn to_u64(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}
