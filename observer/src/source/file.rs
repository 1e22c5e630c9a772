//! One capture file as a source: fills large buffers and lets its format find the records in them.
//!
//! Buffers are recycled once nobody holds them any more. Only the record that a buffer's end cuts is moved.

use std::path::Path;
use std::sync::Arc;

use super::input::{Filled, Input};
use super::pcap::Pcap;
use super::pcapng::Pcapng;
use super::{
    Damage, FrameBatch, FrameNumber, FrameRecord, InputSummary, InterfaceIndex, LinkType, Metadata, Source,
    SourceError,
};
use crate::bytes::hex;
use crate::time::Timestamp;

/// Bytes asked for first: many files may be opened only to see when they begin.
const FIRST_BLOCK: usize = 64 << 10;
/// Bytes asked of the operating system at once.
const BLOCK: usize = 1 << 20;
/// Captured bytes that a record may hold. Above any packet of today (BIG TCP: below 512 KiB), and a bound for memory.
pub(super) const MAX_CAPTURED: usize = 16 << 20;
/// The longest header by which a format is recognised: pcap's.
const HEADER: usize = 24;
/// A buffer never grows beyond this: a largest record, and as much again to look behind it.
const MAX_BUFFER: usize = 2 * MAX_CAPTURED + (4 << 20);
/// Buffers have lengths that are a multiple of this, so that one can take another's place.
const GRAIN: usize = 256 << 10;
/// Buffers kept for reuse; what is beyond is given back to the allocator.
const POOL: usize = 32;
/// Wounds kept of one input; beyond, they are counted only.
const MAX_DAMAGES: usize = 100;

/// A stretch of a file.
#[derive(Clone, Copy)]
pub(super) struct Window<'a> {
    pub(super) bytes: &'a [u8],
    /// Bytes of the file before it.
    pub(super) base: u64,
    /// Whether the file ends with it.
    pub(super) last: bool,
    /// Whether it cannot grow: a record that does not fit is to be passed over.
    pub(super) full: bool,
    /// Whether its writer is still at work: the last whole record has no follower yet.
    pub(super) growing: bool,
}

/// What a format finds.
#[derive(Default)]
pub(super) struct Found {
    pub(super) frames: Vec<FrameRecord>,
    /// The number that was given last.
    number: FrameNumber,
    pub(super) metadata: Vec<(usize, Metadata)>,
    pub(super) summary: InputSummary,
}

impl Found {
    /// Takes a frame at `range` of the window.
    pub(super) fn frame(&mut self, mut record: FrameRecord) {
        let summary = &mut self.summary;
        summary.frames = summary.frames.saturating_add(1);
        self.number = self.number.saturating_add(1);
        record.number = self.number;
        if self.frames.last().is_none_or(|last| last.link_type != record.link_type)
            && let Err(place) = summary.link_types.binary_search(&record.link_type)
        {
            summary.link_types.insert(place, record.link_type);
        }
        if summary.first.is_none_or(|first| record.timestamp < first) {
            summary.first = Some(record.timestamp);
        }
        if summary.last.is_none_or(|last| record.timestamp > last) {
            summary.last = Some(record.timestamp);
        }
        self.frames.push(record);
    }

    /// Leaves out a number.
    pub(super) fn pass_number(&mut self) {
        self.number = self.number.saturating_add(1);
    }

    pub(super) fn metadata(&mut self, metadata: Metadata) {
        self.metadata.push((self.frames.len(), metadata));
    }

    pub(super) fn damage(&mut self, offset: u64, reason: impl Into<String>, skipped: Option<u64>) {
        self.summary.damages = self.summary.damages.saturating_add(1);
        if self.summary.damage.len() < MAX_DAMAGES {
            self.summary.damage.push(Damage { offset, reason: reason.into(), skipped });
        }
    }
}

/// A record without what only some formats say.
pub(super) fn record(
    timestamp: Timestamp,
    link_type: LinkType,
    interface: InterfaceIndex,
    original_len: u32,
    start: usize,
    len: usize,
) -> FrameRecord {
    let start = u32::try_from(start).unwrap_or(u32::MAX);
    let len = u32::try_from(len).unwrap_or(0);
    FrameRecord {
        number: 0,
        timestamp,
        link_type,
        interface,
        original_len: original_len.max(len),
        buffer: 0,
        range: start..start.saturating_add(len),
        annotations: None,
    }
}

/// A capture format: finds the records in stretches of a file.
pub(super) trait Format: Send {
    /// As it stands in [`InputSummary::format`].
    fn name(&self) -> &'static str;

    /// Hands the whole records of `window` to `found`; the bytes that are done with.
    ///
    /// Where that is none and there is no frame either, more bytes are put behind the window, up to its bound.
    /// At the end of the file everything counts as done with.
    fn parse(&mut self, window: Window<'_>, found: &mut Found) -> usize;
}

/// Recognises a format by its first bytes.
fn recognise(bytes: &[u8], path: &str) -> Result<Box<dyn Format>, SourceError> {
    if let Some(pcap) = Pcap::recognise(bytes) {
        Ok(Box::new(pcap))
    } else if let Some(pcapng) = Pcapng::recognise(bytes) {
        Ok(Box::new(pcapng))
    } else {
        let magic = hex(bytes.get(..4).unwrap_or(bytes));
        Err(SourceError::UnknownFormat { path: path.to_owned(), magic })
    }
}

/// A capture file that is being read.
pub(super) struct FileSource {
    input: Input,
    format: Option<Box<dyn Format>>,
    found: Found,
    pool: Vec<Arc<Vec<u8>>>,
    /// The bytes of the last buffer that are not done with.
    tail: Vec<u8>,
    /// Bytes done with.
    offset: u64,
    block: usize,
    ended: bool,
    /// Whether more may come behind what was read last.
    pending: bool,
    /// The first batch, read ahead to see that the file can be read at all.
    first: Option<FrameBatch>,
    /// An empty list with room.
    spare: Vec<FrameRecord>,
}

impl FileSource {
    /// Opens `path` and reads its first frames.
    pub(super) fn open(path: &Path) -> Result<Self, SourceError> {
        Self::new(Input::open(path)?)
    }

    /// Recognises the format of `input` and reads its first frames.
    pub(super) fn new(input: Input) -> Result<Self, SourceError> {
        Self::with_blocks(input, FIRST_BLOCK, BLOCK)
    }

    /// [`Self::new`] with blocks of `first` and then of `block` bytes.
    pub(super) fn with_blocks(input: Input, first: usize, block: usize) -> Result<Self, SourceError> {
        let summary = InputSummary { path: input.name.clone(), ..InputSummary::default() };
        let mut source = Self {
            input,
            format: None,
            found: Found { summary, ..Found::default() },
            pool: Vec::new(),
            tail: Vec::new(),
            offset: 0,
            block: first,
            ended: false,
            pending: false,
            first: None,
            spare: Vec::new(),
        };
        source.first = source.read()?;
        source.block = block;
        match source.found.summary.damage.first() {
            Some(damage) if source.found.summary.frames == 0 && source.ended => {
                Err(SourceError::Unreadable {
                    path: source.input.name,
                    offset: damage.offset,
                    reason: damage.reason.clone(),
                })
            }
            _ => Ok(source),
        }
    }

    /// When its first frame was captured.
    pub(super) fn begins(&self) -> Option<Timestamp> {
        self.first.as_ref()?.frames.first().map(|frame| frame.timestamp)
    }

    /// Whether it has handed out everything, or has nothing.
    pub(super) fn is_done(&self) -> bool {
        self.ended && self.first.is_none()
    }

    /// Whether it can be opened a second time.
    pub(super) fn reopens(&self) -> bool {
        self.input.reopens
    }

    pub(super) fn summary(&self) -> &InputSummary {
        &self.found.summary
    }

    /// A buffer of at least `len` bytes, of unspecified content.
    fn buffer(&mut self, len: usize) -> Arc<Vec<u8>> {
        let free = self
            .pool
            .iter_mut()
            .position(|buffer| Arc::get_mut(buffer).is_some_and(|buffer| buffer.len() >= len));
        match free {
            Some(place) => self.pool.swap_remove(place),
            None => Arc::new(vec![0; len]),
        }
    }

    fn recycle(&mut self, buffer: &Arc<Vec<u8>>) {
        if self.pool.len() < POOL && (BLOCK..=4 * BLOCK).contains(&buffer.len()) {
            self.pool.push(Arc::clone(buffer));
        }
    }

    /// The next frames, however much has to be read for them.
    fn read(&mut self) -> Result<Option<FrameBatch>, SourceError> {
        let mut wanted = self.block;
        while !self.ended {
            let len = self.tail.len().saturating_add(wanted);
            let len = if self.block < BLOCK { len } else { len.next_multiple_of(GRAIN) }.min(MAX_BUFFER);
            let mut shared = self.buffer(len);
            let filled = match Arc::get_mut(&mut shared) {
                Some(buffer) => self.fill(buffer)?,
                None => 0,
            };
            let bytes = shared.get(..filled).unwrap_or_default();
            let done = if self.pending && self.format.is_none() && filled < HEADER {
                0
            } else {
                self.parse(bytes, filled >= MAX_BUFFER)?.min(filled)
            };
            if done == 0 && filled >= MAX_BUFFER && self.found.frames.is_empty() {
                // No format waits for so much; should one do, it ends here and not never.
                self.ended = true;
                self.found.damage(self.offset, "a record is too long", None);
            }
            self.tail.clear();
            self.tail.extend_from_slice(bytes.get(done..).unwrap_or_default());
            self.offset = self.offset.saturating_add(u64::try_from(done).unwrap_or(0));
            self.recycle(&shared);
            if !self.found.frames.is_empty() || !self.found.metadata.is_empty() {
                return Ok(Some(FrameBatch {
                    buffers: vec![shared],
                    frames: std::mem::replace(&mut self.found.frames, std::mem::take(&mut self.spare)),
                    metadata: std::mem::take(&mut self.found.metadata),
                    until: None,
                }));
            }
            if self.pending {
                return Ok(Some(FrameBatch::default()));
            }
            wanted = if done == 0 { wanted.max(filled) } else { self.block };
        }
        Ok(None)
    }

    /// The tail and what follows it in the file into `buffer`; the bytes in it.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, SourceError> {
        let had = self.tail.len();
        let Some((kept, space)) = buffer.split_at_mut_checked(had) else { return Ok(0) };
        kept.copy_from_slice(&self.tail);
        self.pending = false;
        let read = match self.input.fill(space)? {
            Filled::Pending(read) => {
                self.pending = true;
                read
            }
            Filled::Bytes(read) => {
                self.ended = read < space.len();
                read
            }
            Filled::Damaged(read, reason) => {
                self.ended = true;
                self.found.summary.truncated = true;
                let filled = u64::try_from(had.saturating_add(read)).unwrap_or(0);
                self.found.damage(self.offset.saturating_add(filled), reason, None);
                read
            }
        };
        Ok(had.saturating_add(read))
    }

    fn parse(&mut self, bytes: &[u8], full: bool) -> Result<usize, SourceError> {
        let format = match &mut self.format {
            Some(format) => format,
            None => {
                let format = recognise(bytes, &self.input.name)?;
                self.found.summary.format = match self.input.compression {
                    Some(compression) => format!("{}+{}", format.name(), compression.name()),
                    None => format.name().to_owned(),
                };
                self.format.insert(format)
            }
        };
        let window = Window { bytes, base: self.offset, last: self.ended, full, growing: self.pending };
        Ok(format.parse(window, &mut self.found))
    }
}

impl Source for FileSource {
    fn next_batch(&mut self) -> Result<Option<FrameBatch>, SourceError> {
        match self.first.take() {
            Some(batch) => Ok(Some(batch)),
            None => self.read(),
        }
    }

    fn recycle(&mut self, mut batch: FrameBatch) {
        batch.frames.clear();
        self.spare = batch.frames;
    }

    fn inputs(&self) -> Vec<InputSummary> {
        vec![self.found.summary.clone()]
    }

    fn progress(&self) -> (u64, Option<u64>) {
        self.input.progress()
    }
}
