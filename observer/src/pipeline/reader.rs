//! The reader: frames in, packets out to the shard of their flow.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};

use super::merge::ToMerge;
use super::worker::{Work, WorkItem};
use crate::decode::{Backing, Decoder, FragmentCounts, PacketRecord, Skip};
use crate::flow::Clock;
use crate::flow::key::FlowKey;
use crate::protocol::tls;
use crate::report::Totals;
use crate::source::{FrameBatch, Metadata, Source, SourceError};
use crate::time::Timestamp;

/// Reads a source to its end.
pub(super) struct Reader {
    threads: usize,
    /// Empty lists with room, from the workers: large lists that come and go cost fresh pages each time.
    spare: Receiver<Vec<WorkItem>>,
    clock: Clock,
    decoder: Decoder,
    /// What the key log holds so far. One for all workers: it changes between batches only.
    secrets: Arc<tls::KeyLog>,
    frames: u64,
    skipped: BTreeMap<Skip, u64>,
}

/// What the reader counted.
pub(super) struct ReaderCounts {
    frames: u64,
    skipped: BTreeMap<Skip, u64>,
    fragments: FragmentCounts,
    clock: Clock,
    secrets: Arc<tls::KeyLog>,
}

impl ReaderCounts {
    /// All that the key log said.
    pub(super) fn secrets(&self) -> Arc<tls::KeyLog> {
        Arc::clone(&self.secrets)
    }

    pub(super) fn add_to(mut self, totals: &mut Totals) {
        totals.frames = self.frames;
        // Fragments of datagrams that were put together later are no loss.
        self.skipped.remove(&Skip::Fragment);
        if self.fragments.lost_frames > 0 {
            self.skipped.insert(Skip::Fragment, self.fragments.lost_frames);
        }
        if self.fragments.evicted > 0 {
            totals.dropped_by_limit.insert("fragmented datagrams".to_owned(), self.fragments.evicted);
        }
        for (skip, count) in self.skipped {
            *totals.skipped.entry(skip.to_string()).or_default() += count;
        }
        for (name, count) in
            [("clock set back", self.clock.steps_back()), ("timestamp not believed", self.clock.outliers())]
        {
            if count > 0 {
                totals.malformed.insert(name.to_owned(), count);
            }
        }
    }
}

impl Reader {
    pub(super) fn new(threads: usize, spare: Receiver<Vec<WorkItem>>) -> Self {
        Self {
            threads,
            spare,
            clock: Clock::default(),
            decoder: Decoder::default(),
            secrets: Arc::default(),
            frames: 0,
            skipped: BTreeMap::new(),
        }
    }

    /// Reads to the end, or until nobody listens any more.
    pub(super) fn run(
        mut self,
        source: &mut dyn Source,
        to_workers: &[SyncSender<Work>],
        to_merge: &SyncSender<ToMerge>,
    ) -> Result<ReaderCounts, SourceError> {
        // One batch ahead, because the clock believes a jump only when the frame after it does. A running capture is not
        // waited for.
        let ahead = !source.is_live();
        let mut next = source.next_batch()?;
        while let Some(batch) = next {
            let after = if ahead { source.next_batch() } else { Ok(None) };
            let following = match &after {
                Ok(Some(after)) => after.frames.first().map(|frame| frame.timestamp),
                Ok(None) | Err(_) => None,
            };
            let (secrets, metadata) = self.learn(&batch);
            let (read, total) = source.progress();
            let message = ToMerge::Reader { metadata, at: self.clock.now(), read, total };
            if to_merge.send(message).is_err() || !self.dispatch(&batch, following, secrets, to_workers) {
                break;
            }
            source.recycle(batch);
            next = if ahead { after? } else { source.next_batch()? };
        }
        Ok(ReaderCounts {
            frames: self.frames,
            skipped: self.skipped,
            fragments: self.decoder.counts(),
            clock: self.clock,
            secrets: self.secrets,
        })
    }

    /// What the workers need to know before the frames of a batch, and what the merge does.
    fn learn(&mut self, batch: &FrameBatch) -> (Option<Arc<tls::KeyLog>>, Vec<Metadata>) {
        let mut grown = false;
        let mut rest = Vec::new();
        for (_, metadata) in &batch.metadata {
            match metadata {
                Metadata::Secrets { text, growing } => {
                    let secrets = Arc::make_mut(&mut self.secrets);
                    secrets.read(&text.0);
                    secrets.set_growing(*growing);
                    grown = true;
                }
                other => rest.push(other.clone()),
            }
        }
        (grown.then(|| Arc::clone(&self.secrets)), rest)
    }

    /// Decodes a batch, after which comes a frame captured at `following`, and sends its packets to their workers; false when
    /// nobody listens.
    fn dispatch(
        &mut self,
        batch: &FrameBatch,
        following: Option<Timestamp>,
        secrets: Option<Arc<tls::KeyLog>>,
        to_workers: &[SyncSender<Work>],
    ) -> bool {
        let mut lists: Vec<Vec<WorkItem>> =
            (0..self.threads).map(|_| self.spare.try_recv().unwrap_or_default()).collect();
        let mut buffers = batch.buffers.clone();
        let mut upcoming = batch.frames.iter().skip(1).map(|record| record.timestamp).chain(following);
        for record in &batch.frames {
            self.frames = self.frames.saturating_add(1);
            let tick = self.clock.advance(record.timestamp, upcoming.next());
            let frame = batch.frame(record);
            let decoded = self.decoder.decode(&frame, |packet, backing| {
                let (bytes, buffer) = match backing {
                    Backing::Frame => (frame.data, record.buffer),
                    Backing::Reassembled(datagram) => {
                        buffers.push(Arc::clone(datagram));
                        let index = buffers.len().saturating_sub(1);
                        (datagram.as_slice(), u32::try_from(index).unwrap_or(u32::MAX))
                    }
                };
                let base = if matches!(backing, Backing::Frame) { record.range.start } else { 0 };
                let shard = FlowKey::new(&packet.five_tuple, &packet.tunnels).shard();
                if let (Some(packet), Some(list)) =
                    (PacketRecord::new(packet, bytes, buffer, base), lists.get_mut(shard % self.threads))
                {
                    list.push(WorkItem { shard, tick, packet });
                }
            });
            if let Err(skip) = decoded {
                *self.skipped.entry(skip).or_default() += 1;
            }
        }
        if let Some(until) = batch.until {
            self.clock.idle(until);
        }
        let buffers: Arc<[Arc<Vec<u8>>]> = buffers.into();
        let until = self.clock.now();
        to_workers.iter().zip(lists).all(|(to_worker, items)| {
            let (buffers, secrets) = (Arc::clone(&buffers), secrets.clone());
            to_worker.send(Work { buffers, items, until, secrets }).is_ok()
        })
    }
}
