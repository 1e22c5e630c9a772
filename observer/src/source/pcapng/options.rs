//! The options at the end of pcapng blocks.

use crate::source::order::ByteOrder;

/// `opt_comment`, in any block.
pub(super) const COMMENT: u16 = 1;

/// Code and value of each option, up to `opt_endofopt`, the end, or the first that does not fit.
#[derive(Clone)]
pub(super) struct Options<'a> {
    order: ByteOrder,
    bytes: &'a [u8],
}

impl<'a> Options<'a> {
    pub(super) fn new(order: ByteOrder, bytes: &'a [u8]) -> Self {
        Self { order, bytes }
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let code = self.order.u16(self.bytes, 0)?;
        let len = usize::from(self.order.u16(self.bytes, 2)?);
        if code == 0 {
            return None;
        }
        let value = self.bytes.get(4..)?.get(..len)?;
        // The last option's padding may be missing.
        self.bytes = self.bytes.get(4..)?.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((code, value))
    }
}
