//! What is said of the tests while frames are read, and the traffic of those who say it.

use std::net::SocketAddr;

use super::PipelineError;
use crate::decode::{Endpoint, FiveTuple, Transport};
use crate::observation::FlowSink;
use crate::source::{ClockOffset, Marker};

/// Markers of a run that are kept.
const MAX_MARKERS: usize = 64 << 10;

/// The markers of a run, by the capture's clock, in the order in which they came.
pub(super) struct Markers {
    kept: Vec<Marker>,
    clock_offset: Option<ClockOffset>,
    dropped: u64,
}

impl Markers {
    pub(super) fn new(clock_offset: Option<ClockOffset>) -> Self {
        Self { kept: Vec::new(), clock_offset, dropped: 0 }
    }

    /// Keeps a marker and hands it on.
    pub(super) fn take(
        &mut self,
        marker: Marker,
        sinks: &mut [&mut dyn FlowSink],
    ) -> Result<(), PipelineError> {
        if self.kept.len() >= MAX_MARKERS {
            self.dropped = self.dropped.saturating_add(1);
            return Ok(());
        }
        let marker = marker.corrected(self.clock_offset);
        sinks.iter_mut().try_for_each(|sink| sink.marker(&marker)).map_err(PipelineError::Sink)?;
        self.kept.push(marker);
        Ok(())
    }

    /// Markers for which there was no room.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    pub(super) fn into_parts(self) -> (Vec<Marker>, Option<ClockOffset>) {
        (self.kept, self.clock_offset)
    }
}

/// Where the observer itself listens.
pub(super) struct OwnEndpoints {
    addresses: Vec<SocketAddr>,
    flows: u64,
}

impl OwnEndpoints {
    pub(super) fn new(addresses: &[SocketAddr]) -> Self {
        Self { addresses: addresses.to_vec(), flows: 0 }
    }

    pub(super) fn is_one(&self, endpoint: &Endpoint) -> bool {
        self.addresses.iter().any(|own| (own.ip(), own.port()) == (endpoint.ip, endpoint.port))
    }

    /// Whether a flow of these ends is with the observer itself; counts those.
    pub(super) fn has(&mut self, ends: &FiveTuple) -> bool {
        let is_own =
            ends.transport == Transport::Tcp && (self.is_one(&ends.source) || self.is_one(&ends.destination));
        self.flows = self.flows.saturating_add(u64::from(is_own));
        is_own
    }

    /// Flows that were counted so far.
    pub(super) fn flows(&self) -> u64 {
        self.flows
    }
}
