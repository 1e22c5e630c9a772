//! A look at what comes first, before a source is read.

use std::collections::{BTreeMap, VecDeque};

use super::{FrameBatch, InputSummary, Source, SourceError};
use crate::time::Timestamp;

/// Batches without a frame that are looked through.
const MAX_BATCHES: usize = 64;

/// When the first frame of `source` was captured, and the source as if nobody had looked. `None` where it has no frames, or
/// begins with more than 64 batches of other things.
///
/// # Errors
/// Those of the source.
pub fn first_timestamp(
    mut source: Box<dyn Source>,
) -> Result<(Option<Timestamp>, Box<dyn Source>), SourceError> {
    let (mut seen, mut first) = (VecDeque::new(), None);
    while first.is_none() && seen.len() < MAX_BATCHES {
        let Some(batch) = source.next_batch()? else { break };
        first = batch.frames.first().map(|frame| frame.timestamp);
        seen.push_back(batch);
    }
    Ok((first, Box::new(Peeked { seen, source })))
}

struct Peeked {
    seen: VecDeque<FrameBatch>,
    source: Box<dyn Source>,
}

impl Source for Peeked {
    fn next_batch(&mut self) -> Result<Option<FrameBatch>, SourceError> {
        match self.seen.pop_front() {
            Some(batch) => Ok(Some(batch)),
            None => self.source.next_batch(),
        }
    }

    fn recycle(&mut self, batch: FrameBatch) {
        self.source.recycle(batch);
    }

    fn inputs(&self) -> Vec<InputSummary> {
        self.source.inputs()
    }

    fn progress(&self) -> (u64, Option<u64>) {
        self.source.progress()
    }

    fn is_live(&self) -> bool {
        self.source.is_live()
    }

    fn dropped(&self) -> BTreeMap<String, u64> {
        self.source.dropped()
    }

    fn filtered(&self) -> u64 {
        self.source.filtered()
    }
}
