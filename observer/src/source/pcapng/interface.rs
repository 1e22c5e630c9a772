//! Interface description blocks: link type, clock, and what was lost there.

use super::options::Options;
use crate::source::order::ByteOrder;
use crate::source::{InterfaceIndex, LinkType};
use crate::time::Timestamp;

const IF_TSRESOL: u16 = 9;
const IF_TSOFFSET: u16 = 14;

/// One interface of a section.
pub(super) struct Interface {
    /// Dense over the sections of the file.
    pub(super) index: InterfaceIndex,
    pub(super) link_type: LinkType,
    /// 0 is no limit.
    pub(super) snaplen: u32,
    clock: Clock,
    /// Seconds to add to each timestamp.
    offset: i64,
    /// Frames lost, as the interface's statistics say (isb_ifdrop and isb_osdrop, both counted from the start).
    reported: u64,
    /// Frames lost, as its packets say (epb_dropcount, counted from packet to packet).
    counted: u64,
}

/// What a unit of a timestamp is (if_tsresol).
#[derive(Clone, Copy)]
enum Clock {
    /// So many nanoseconds.
    Multiply(u64),
    /// A nanosecond is so many units.
    Divide(u64),
    /// 2^-n seconds.
    Binary(u8),
}

impl Clock {
    fn new(resolution: u8) -> Self {
        let exponent = resolution & 0x7f;
        if resolution & 0x80 != 0 {
            Self::Binary(exponent)
        } else if exponent <= 9 {
            Self::Multiply(10_u64.pow(9_u32.saturating_sub(u32::from(exponent))))
        } else {
            // Beyond 10^-28 no timestamp of 64 bits reaches a nanosecond.
            let units = 10_u64.checked_pow(u32::from(exponent).saturating_sub(9));
            Self::Divide(units.unwrap_or(u64::MAX))
        }
    }

    fn nanoseconds(self, units: u64) -> i64 {
        let nanoseconds = match self {
            Self::Multiply(by) => units.saturating_mul(by),
            Self::Divide(by) => units.checked_div(by).unwrap_or(0),
            Self::Binary(exponent) => {
                let nanoseconds = u128::from(units).saturating_mul(1_000_000_000) >> exponent;
                u64::try_from(nanoseconds).unwrap_or(u64::MAX)
            }
        };
        i64::try_from(nanoseconds).unwrap_or(i64::MAX)
    }
}

impl Interface {
    /// Reads the block's body; `None` if it is too short.
    pub(super) fn parse(order: ByteOrder, body: &[u8], index: InterfaceIndex) -> Option<Self> {
        let mut interface = Self {
            index,
            link_type: LinkType(order.u16(body, 0)?),
            snaplen: order.u32(body, 4)?,
            clock: Clock::new(6),
            offset: 0,
            reported: 0,
            counted: 0,
        };
        for (code, value) in Options::new(order, body.get(8..).unwrap_or_default()) {
            match (code, value) {
                (IF_TSRESOL, [resolution, ..]) => interface.clock = Clock::new(*resolution),
                (IF_TSOFFSET, _) => {
                    let offset = order.u64(value, 0).map(u64::cast_signed);
                    interface.offset = offset.unwrap_or(interface.offset);
                }
                _ => {}
            }
        }
        Some(interface)
    }

    /// The time that the two halves of a timestamp stand for.
    pub(super) fn timestamp(&self, high: u32, low: u32) -> Timestamp {
        let units = u64::from(high) << 32 | u64::from(low);
        Timestamp::new(self.offset, self.clock.nanoseconds(units))
    }

    /// Learns what its statistics say was lost; by how much the loss known before grows.
    pub(super) fn reports_dropped(&mut self, dropped: u64) -> u64 {
        let before = self.dropped();
        self.reported = self.reported.max(dropped);
        self.dropped().saturating_sub(before)
    }

    /// Learns what was lost before a packet; by how much the loss known before grows.
    pub(super) fn counts_dropped(&mut self, dropped: u64) -> u64 {
        let before = self.dropped();
        self.counted = self.counted.saturating_add(dropped);
        self.dropped().saturating_sub(before)
    }

    /// Both ways of counting tell of the same losses.
    fn dropped(&self) -> u64 {
        self.reported.max(self.counted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_from_seconds_to_below_nanoseconds() {
        for (resolution, units, nanoseconds) in [
            (0, 2, 2_000_000_000),
            (3, 2, 2_000_000),
            (6, 2, 2_000),
            (9, 2, 2),
            (12, 2_500, 2),
            (28, u64::MAX, 1),
            (40, u64::MAX, 1),
            (127, u64::MAX, 1),
            (0x80, 3, 3_000_000_000),
            (0x8a, 1024, 1_000_000_000),
            (0xa0, 1 << 31, 500_000_000),
            (0xff, u64::MAX, 0),
            (0, u64::MAX, i64::MAX),
        ] {
            assert_eq!(Clock::new(resolution).nanoseconds(units), nanoseconds, "{resolution:#x}");
        }
    }
}
