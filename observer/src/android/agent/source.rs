//! The frames of a device, as the pipeline reads them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::shared::{Item, LinkState, Shared, State};
use super::wire::{FramesHeader, WireFrame};
use crate::source::{
    Annotations, Damage, FrameBatch, FrameNumber, FrameRecord, InputSummary, InterfaceInfo, LinkDirection,
    LinkType, Metadata, Source, SourceError,
};
use crate::time::Timestamp;

/// How long to wait for a message before an empty batch is handed on.
const PATIENCE: Duration = Duration::from_millis(100);
/// Bytes from which a batch is handed on.
const BLOCK: u64 = 1 << 20;
/// How long the end waits for the agent to hear that all has arrived.
const FAREWELL: Duration = Duration::from_secs(5);

/// A device's capture. Dropped, it ends the link; the agent then ends by itself.
pub struct AgentSource {
    shared: Shared,
    interfaces: Vec<InterfaceInfo>,
    inputs: Vec<InputSummary>,
    inbound: Arc<Annotations>,
    outbound: Arc<Annotations>,
    number: FrameNumber,
    over: bool,
}

impl AgentSource {
    pub(super) fn new(shared: Shared, interfaces: Vec<InterfaceInfo>) -> Self {
        let inputs = interfaces.iter().map(|interface| InputSummary {
            path: interface.name.clone(),
            format: "live".to_owned(),
            link_types: vec![interface.link_type],
            dropped: Some(0),
            ..InputSummary::default()
        });
        let inputs = inputs.collect();
        let annotations = |direction| Arc::new(Annotations { direction: Some(direction), owner: None });
        Self {
            shared,
            interfaces,
            inputs,
            inbound: annotations(LinkDirection::Inbound),
            outbound: annotations(LinkDirection::Outbound),
            number: 0,
            over: false,
        }
    }

    /// The device's interfaces, in the order of their [index](crate::source::InterfaceIndex).
    #[must_use]
    pub fn interfaces(&self) -> &[InterfaceInfo] {
        &self.interfaces
    }

    fn take(&mut self, batch: &mut FrameBatch, item: Item) {
        match item {
            Item::Frames(header, body) => self.frames(batch, &header, body),
            Item::Until(until) => batch.until = batch.until.max(Some(until)),
            Item::Marker(marker) => batch.metadata.push((batch.frames.len(), Metadata::Marker(marker))),
        }
    }

    fn frames(&mut self, batch: &mut FrameBatch, header: &FramesHeader, body: Vec<u8>) {
        let index = usize::try_from(header.interface).unwrap_or(usize::MAX);
        let Some(summary) = self.inputs.get_mut(index) else { return };
        let link_type = summary.link_types.first().copied().unwrap_or(LinkType(0));
        let buffer = u32::try_from(batch.buffers.len()).unwrap_or(u32::MAX);
        batch.buffers.push(Arc::new(body));
        let mut start = 0_u32;
        for WireFrame { after_base, len, original_len, outbound } in &header.frames {
            let end = start.saturating_add(*len);
            self.number = self.number.saturating_add(1);
            let timestamp = Timestamp(header.base.saturating_add(*after_base));
            summary.frames = summary.frames.saturating_add(1);
            summary.first = Some(summary.first.map_or(timestamp, |first| first.min(timestamp)));
            summary.last = Some(summary.last.map_or(timestamp, |last| last.max(timestamp)));
            batch.frames.push(FrameRecord {
                number: self.number,
                timestamp,
                link_type,
                interface: header.interface,
                original_len: (*original_len).max(*len),
                buffer,
                range: start..end,
                annotations: outbound
                    .map(|outbound| Arc::clone(if outbound { &self.outbound } else { &self.inbound })),
            });
            start = end;
        }
    }
}

impl Source for AgentSource {
    fn next_batch(&mut self) -> Result<Option<FrameBatch>, SourceError> {
        if self.over {
            return Ok(None);
        }
        let mut batch = FrameBatch::default();
        let shared = self.shared.clone();
        let idle = |state: &mut State| !state.has_items() && state.marks.is_empty() && !state.is_over();
        let mut state = shared.wait_while(PATIENCE, idle);
        let mut bytes = 0_u64;
        while bytes < BLOCK
            && let Some(item) = state.pop()
        {
            if let Item::Frames(_, body) = &item {
                bytes = bytes.saturating_add(u64::try_from(body.len()).unwrap_or(u64::MAX));
            }
            self.take(&mut batch, item);
        }
        let place = batch.frames.len();
        let marks = state.marks.drain(..).map(|marker| (place, Metadata::Marker(marker)));
        batch.metadata.extend(marks);
        let over = state.is_over() && !state.has_items();
        drop(state);
        // What was taken may be acknowledged.
        shared.change(|_| ());
        let empty = batch.frames.is_empty() && batch.metadata.is_empty() && batch.until.is_none();
        if over && empty {
            drop(shared.wait_while(FAREWELL, |state| state.link != LinkState::Ended));
            self.over = true;
            return Ok(None);
        }
        Ok(Some(batch))
    }

    fn inputs(&self) -> Vec<InputSummary> {
        let state = self.shared.lock();
        let mut inputs = self.inputs.clone();
        for (input, counts) in inputs.iter_mut().zip(&state.counts.interfaces) {
            input.dropped = Some(counts.dropped);
            input.damages = counts.damages;
            input.damage.extend(counts.reason.clone().map(|reason| damage(state.bytes, reason)));
        }
        let arrived = state.frames.saturating_add(state.counts.spool_frames);
        let missing = state
            .end
            .filter(|captured| *captured != arrived)
            .map(|captured| format!("the agent captured {captured} frames, and speaks of {arrived}"));
        // The link is that of all interfaces; it is told of once.
        if let Some(input) = inputs.first_mut() {
            for reason in state.lost.iter().cloned().chain(missing) {
                input.damages = input.damages.saturating_add(1);
                input.damage.push(damage(state.bytes, reason));
            }
        }
        inputs
    }

    fn progress(&self) -> (u64, Option<u64>) {
        (self.shared.lock().bytes, None)
    }

    fn is_live(&self) -> bool {
        true
    }

    fn dropped(&self) -> BTreeMap<String, u64> {
        let counts = self.shared.lock().agent_counts();
        let named = [
            ("frames in the agent's spool", counts.dropped_by_spool),
            ("owners of sockets in the agent's spool", counts.sightings_dropped_by_spool),
            ("words in the agent's spool", counts.words_dropped_by_spool),
        ];
        named
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(name, count)| (name.to_owned(), count))
            .collect()
    }
}

impl Drop for AgentSource {
    fn drop(&mut self) {
        self.shared.change(|state| state.closed = true);
    }
}

fn damage(offset: u64, reason: String) -> Damage {
    Damage { offset, reason, skipped: None }
}
