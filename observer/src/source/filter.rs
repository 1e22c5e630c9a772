//! BPF filter expressions, compiled and run by libpcap.
//!
//! A frame's length on the link is not known to the program: `len`, `less` and `greater` see the captured length.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use pcap::{BpfProgram, Capture, Linktype};

use super::layer::{Layer, Layered};
use super::{FrameBatch, LinkType, Source, SourceError};

/// The frames of another source that match an expression.
pub(super) struct Filtered {
    filter: Filter,
    /// The first frames, read ahead to see that the expression compiles.
    first: Option<FrameBatch>,
    filtered: u64,
}

/// An expression, compiled for each link type that was seen.
struct Filter {
    expression: String,
    programs: BTreeMap<LinkType, BpfProgram>,
}

impl Filter {
    fn program(&mut self, link_type: LinkType) -> Result<&BpfProgram, SourceError> {
        match self.programs.entry(link_type) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(place) => {
                let compiled = Capture::dead(Linktype(dlt(link_type)))
                    .and_then(|capture| capture.compile(&self.expression, true));
                let reason = |error| match error {
                    pcap::Error::PcapError(reason) => reason,
                    other => other.to_string(),
                };
                Ok(place.insert(compiled.map_err(|error| SourceError::Filter {
                    expression: self.expression.clone(),
                    reason: reason(error),
                })?))
            }
        }
    }

    /// Removes from `batch` what does not match; how many frames that is.
    fn apply(&mut self, batch: &mut FrameBatch) -> Result<u64, SourceError> {
        let before = batch.frames.len();
        let frames = std::mem::take(&mut batch.frames);
        let mut metadata = std::mem::take(&mut batch.metadata).into_iter().peekable();
        let mut kept = Vec::with_capacity(frames.len());
        for (place, record) in frames.into_iter().enumerate() {
            while let Some((_, known)) = metadata.next_if(|(before, _)| *before <= place) {
                batch.metadata.push((kept.len(), known));
            }
            if self.program(record.link_type)?.filter(batch.frame(&record).data) {
                kept.push(record);
            }
        }
        batch.metadata.extend(metadata.map(|(_, known)| (kept.len(), known)));
        batch.frames = kept;
        Ok(u64::try_from(before.saturating_sub(batch.frames.len())).unwrap_or(u64::MAX))
    }
}

/// libpcap's own number for a link type: most are the same, a few of the oldest are not.
fn dlt(link_type: LinkType) -> i32 {
    match link_type.0 {
        100 => 11,
        101 => 12,
        106 => 19,
        same => i32::from(same),
    }
}

impl Filtered {
    /// Reads the first frames of `source` and compiles `expression` for them.
    pub(super) fn before(
        mut source: Box<dyn Source>,
        expression: &str,
    ) -> Result<Layered<Self>, SourceError> {
        let filter = Filter { expression: expression.to_owned(), programs: BTreeMap::new() };
        let mut layer = Self { filter, first: None, filtered: 0 };
        layer.first = layer.next(source.as_mut())?;
        Ok(Layered { source, layer })
    }
}

impl Layer for Filtered {
    fn next(&mut self, source: &mut dyn Source) -> Result<Option<FrameBatch>, SourceError> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        let Some(mut batch) = source.next_batch()? else { return Ok(None) };
        self.filtered = self.filtered.saturating_add(self.filter.apply(&mut batch)?);
        Ok(Some(batch))
    }

    fn kept_back(&self) -> u64 {
        self.filtered
    }
}
