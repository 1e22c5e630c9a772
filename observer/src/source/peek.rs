//! A look at what comes first, before a source is read.

use std::collections::VecDeque;

use super::layer::{Layer, Layered};
use super::{FrameBatch, Source, SourceError};
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
    Ok((first, Box::new(Layered { source, layer: Peeked { seen } })))
}

/// What was seen is handed out first.
struct Peeked {
    seen: VecDeque<FrameBatch>,
}

impl Layer for Peeked {
    fn next(&mut self, source: &mut dyn Source) -> Result<Option<FrameBatch>, SourceError> {
        match self.seen.pop_front() {
            Some(batch) => Ok(Some(batch)),
            None => source.next_batch(),
        }
    }
}
