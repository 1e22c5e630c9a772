//! Several capture files as one timeline: their frames by time, numbered anew.
//!
//! Frames stay in the buffers that they were read into. Within one file the order is kept even where its clock was
//! set back; of frames with equal times those of the file that was named first come first, as `mergecap` does it.
//! A file is read from when its first frame is due, so that the parts of a rotated capture are open one at a time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::path::PathBuf;

use super::file::FileSource;
use super::{FrameBatch, FrameNumber, InputSummary, InterfaceIndex, Source, SourceError};
use crate::time::Timestamp;

/// Frames after which a batch is handed on.
const BATCH: usize = 16 << 10;
/// Buffers after which a batch is handed on: bounds how much memory it holds.
const BUFFERS: usize = 64;

/// Several files.
pub(super) struct Timeline {
    parts: Vec<Part>,
    /// When the next frame of each part that has one was captured, and the part's index.
    due: BinaryHeap<Reverse<(Timestamp, usize)>>,
    number: FrameNumber,
    interfaces: BTreeMap<(usize, InterfaceIndex), InterfaceIndex>,
}

struct Part {
    path: PathBuf,
    summary: InputSummary,
    state: State,
    /// Bytes read and in all.
    progress: (u64, Option<u64>),
}

enum State {
    /// Looked at, and closed again until it is due.
    Closed,
    Open(Box<Reading>),
    Ended,
}

struct Reading {
    source: FileSource,
    batch: FrameBatch,
    /// The next frame of the batch.
    next: usize,
    /// The next of its metadata.
    metadata: usize,
    /// The place of the batch's buffer in the batch that is being made, if it is there already.
    place: Option<u32>,
}

impl Timeline {
    /// Looks at each of `paths`.
    pub(super) fn open(paths: &[PathBuf]) -> Result<Self, SourceError> {
        let mut timeline = Self {
            parts: Vec::with_capacity(paths.len()),
            due: BinaryHeap::new(),
            number: 0,
            interfaces: BTreeMap::new(),
        };
        for path in paths {
            let source = FileSource::open(path)?;
            let mut part = Part {
                path: path.clone(),
                summary: InputSummary { path: source.summary().path.clone(), ..InputSummary::default() },
                state: State::Closed,
                progress: (0, source.progress().1),
            };
            let begins = source.begins();
            if source.is_done() {
                part.summary = source.summary().clone();
                part.progress = source.progress();
                part.state = State::Ended;
                timeline.parts.push(part);
                continue;
            }
            // What has no frame in its first blocks may still have metadata and, later, frames.
            if !source.reopens() || begins.is_none() {
                part.state = State::Open(Box::new(Reading::new(source)));
            }
            timeline.due.push(Reverse((begins.unwrap_or(Timestamp(i64::MIN)), timeline.parts.len())));
            timeline.parts.push(part);
        }
        Ok(timeline)
    }

    /// Moves frames of part `index` to `out` while they are not later than `until`; when the next one is due.
    fn take(
        &mut self,
        index: usize,
        until: Option<(Timestamp, usize)>,
        out: &mut FrameBatch,
    ) -> Result<Option<Timestamp>, SourceError> {
        let Some(part) = self.parts.get_mut(index) else { return Ok(None) };
        loop {
            if matches!(part.state, State::Closed) {
                part.state = State::Open(Box::new(Reading::new(FileSource::open(&part.path)?)));
            }
            let State::Open(reading) = &mut part.state else { return Ok(None) };
            while let Some(record) = reading.batch.frames.get(reading.next) {
                if until.is_some_and(|until| (record.timestamp, index) > until) || out.frames.len() >= BATCH {
                    return Ok(Some(record.timestamp));
                }
                let mut record = record.clone();
                reading.metadata_before(reading.next, out);
                record.buffer = match reading.place {
                    Some(place) => place,
                    None => {
                        let place = u32::try_from(out.buffers.len()).unwrap_or(u32::MAX);
                        out.buffers.extend(reading.batch.buffers.iter().cloned());
                        *reading.place.insert(place)
                    }
                };
                self.number = self.number.saturating_add(1);
                record.number = self.number;
                let known = u32::try_from(self.interfaces.len()).unwrap_or(u32::MAX);
                record.interface = *self.interfaces.entry((index, record.interface)).or_insert(known);
                out.frames.push(record);
                reading.next = reading.next.saturating_add(1);
            }
            reading.metadata_before(usize::MAX, out);
            part.progress = reading.source.progress();
            match reading.source.next_batch()? {
                Some(batch) => {
                    reading.batch = batch;
                    (reading.next, reading.metadata, reading.place) = (0, 0, None);
                }
                None => {
                    part.summary = reading.source.summary().clone();
                    part.state = State::Ended;
                    return Ok(None);
                }
            }
            if out.buffers.len() >= BUFFERS {
                return Ok(reading
                    .batch
                    .frames
                    .first()
                    .map(|record| record.timestamp)
                    .or(Some(Timestamp(i64::MIN))));
            }
        }
    }
}

impl Reading {
    fn new(source: FileSource) -> Self {
        Self { source, batch: FrameBatch::default(), next: 0, metadata: 0, place: None }
    }

    /// Moves the metadata that precede frame `frame` of the batch.
    fn metadata_before(&mut self, frame: usize, out: &mut FrameBatch) {
        while let Some((place, metadata)) = self.batch.metadata.get(self.metadata)
            && *place <= frame
        {
            out.metadata.push((out.frames.len(), metadata.clone()));
            self.metadata = self.metadata.saturating_add(1);
        }
    }
}

impl Source for Timeline {
    fn next_batch(&mut self) -> Result<Option<FrameBatch>, SourceError> {
        let mut out = FrameBatch::default();
        for part in &mut self.parts {
            if let State::Open(reading) = &mut part.state {
                reading.place = None;
            }
        }
        while out.frames.len() < BATCH
            && out.buffers.len() < BUFFERS
            && let Some(Reverse((_, index))) = self.due.pop()
        {
            let until = self.due.peek().map(|Reverse(until)| *until);
            if let Some(due) = self.take(index, until, &mut out)? {
                self.due.push(Reverse((due, index)));
            }
        }
        let more = !out.frames.is_empty() || !out.metadata.is_empty() || !self.due.is_empty();
        Ok(more.then_some(out))
    }

    fn inputs(&self) -> Vec<InputSummary> {
        self.parts
            .iter()
            .map(|part| match &part.state {
                State::Open(reading) => reading.source.summary().clone(),
                State::Closed | State::Ended => part.summary.clone(),
            })
            .collect()
    }

    fn progress(&self) -> (u64, Option<u64>) {
        let read = self.parts.iter().map(|part| match &part.state {
            State::Open(reading) => reading.source.progress().0,
            State::Closed | State::Ended => part.progress.0,
        });
        let mut total = self.parts.iter().map(|part| part.progress.1);
        (
            read.fold(0, u64::saturating_add),
            total.try_fold(0, |sum: u64, size| Some(sum.saturating_add(size?))),
        )
    }
}
