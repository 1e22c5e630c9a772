//! What waits for its turn, in the order of the output.

use crate::decode::FiveTuple;
use crate::source::{FrameNumber, Metadata};
use crate::time::Tick;

use super::super::connections;
use super::{Ended, Learned};

/// The flow behind something that ended or was learned, and its tunnel: one frame may hold packets of several flows
/// (an aggregate of 802.11), whose workers are heard in any order.
pub(in super::super) type Place = (FiveTuple, u64);

/// Something that takes effect when its time has come. Small: the heap moves it a dozen times.
pub(super) struct Waiting {
    /// When it takes effect, the frame, and its number among those of one frame. Then counts whose it is.
    pub(super) key: (Tick, FrameNumber, usize),
    /// The order of arrival, which decides only between things that one worker says.
    pub(super) arrival: u64,
    pub(super) item: Item,
}

pub(super) enum Item {
    Ended(Box<Ended>),
    Metadata(Box<Metadata>),
    Learned(Box<Learned>),
    Issued(Box<connections::Learned>),
}

impl Item {
    fn place(&self) -> Option<Place> {
        match self {
            Self::Ended(ended) => {
                let info = &ended.flow.info;
                Some((info.five_tuple, info.tunnels.context))
            }
            Self::Metadata(_) => None,
            Self::Learned(learned) => Some(learned.place),
            Self::Issued(learned) => Some(learned.place()),
        }
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Waiting {}
impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let place = || self.item.place().cmp(&other.item.place());
        self.key.cmp(&other.key).then_with(place).then_with(|| self.arrival.cmp(&other.arrival))
    }
}
