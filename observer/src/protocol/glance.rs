//! For protocols of which the first datagram of each direction tells everything that is worth knowing.

use super::{Analyzer, Context, Progress};
use crate::flow::Data;

/// Datagrams that are looked at while the other direction is silent.
const MAX_DATAGRAMS: u8 = 8;

/// Looks at the first datagram of each direction.
pub(super) struct Glance {
    look: fn(Data<'_>, &mut Context<'_>),
    seen: [bool; 2],
    left: u8,
}

impl Glance {
    /// An analyzer that hands the first datagram of each direction to `look`.
    pub(super) fn boxed(look: fn(Data<'_>, &mut Context<'_>)) -> Box<dyn Analyzer> {
        Box::new(Self { look, seen: [false; 2], left: MAX_DATAGRAMS })
    }
}

impl Analyzer for Glance {
    fn data(&mut self, data: Data<'_>, cx: &mut Context<'_>) -> Progress {
        if let Some(seen) = self.seen.get_mut(data.direction.index()).filter(|seen| !**seen) {
            *seen = true;
            (self.look)(data, cx);
        }
        self.left = self.left.saturating_sub(1);
        if self.left == 0 || self.seen == [true; 2] { Progress::Done } else { Progress::NeedMore }
    }
}
