//! Flow identity: the five-tuple without its direction, within its tunnel.

use std::hash::BuildHasher;

use crate::decode::{Endpoint, FiveTuple, Transport, TunnelPath};
use crate::flow::FlowLimits;

/// Equal for both directions of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowKey {
    transport: Transport,
    low: Endpoint,
    high: Endpoint,
    context: u64,
}

impl FlowKey {
    /// The key of a packet.
    #[must_use]
    pub fn new(five_tuple: &FiveTuple, tunnels: &TunnelPath) -> Self {
        let (low, high) = if five_tuple.source <= five_tuple.destination {
            (five_tuple.source, five_tuple.destination)
        } else {
            (five_tuple.destination, five_tuple.source)
        };
        Self { transport: five_tuple.transport, low, high, context: tunnels.context }
    }

    /// The logical shard, below [`FlowLimits::SHARDS`]: the same on every machine and in every run.
    #[must_use]
    pub fn shard(&self) -> usize {
        let hash = foldhash::fast::FixedState::default().hash_one(self);
        usize::try_from(hash >> 32).unwrap_or(0) % FlowLimits::SHARDS
    }
}
