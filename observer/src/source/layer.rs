//! What stands before a source and changes its batches.

use std::collections::BTreeMap;

use super::{FrameBatch, InputSummary, Source, SourceError};

/// What is done with the batches of a source.
pub(super) trait Layer: Send {
    /// See [`Source::next_batch`]; `source` is the one behind.
    fn next(&mut self, source: &mut dyn Source) -> Result<Option<FrameBatch>, SourceError>;

    /// Frames that were kept back here so far: see [`Source::filtered`].
    fn kept_back(&self) -> u64 {
        0
    }
}

/// A source behind a layer; what is no batch is for the source to say.
pub(super) struct Layered<L> {
    pub(super) source: Box<dyn Source>,
    pub(super) layer: L,
}

impl<L: Layer> Source for Layered<L> {
    fn next_batch(&mut self) -> Result<Option<FrameBatch>, SourceError> {
        self.layer.next(self.source.as_mut())
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
        self.source.filtered().saturating_add(self.layer.kept_back())
    }
}
