//! Messages that were not acknowledged yet: in memory up to a bound, then in a file up to another.
//!
//! What finds no room is refused and counted. That is the newest, not the oldest: the oldest are on their way already, or hold
//! the beginnings of flows, without which what follows them cannot be read; and one gap is less than a sieve. Owners of
//! sockets have room of their own beyond that of frames, as they are small and belong to frames that are held.
//!
//! Knows neither links nor clocks.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

/// What each message takes besides its bytes, about.
const OVERHEAD: usize = 128;

/// How much is held.
#[derive(Clone, Copy, Debug)]
pub(super) struct SpoolLimits {
    /// Bytes in memory.
    pub(super) memory: usize,
    /// Bytes in memory beyond those, for what is not frames.
    pub(super) reserve: usize,
    /// Bytes in the file.
    pub(super) file: u64,
}

/// Bytes of a message's body: a part of a buffer that others may share.
#[derive(Clone, Debug)]
pub(super) struct Body {
    pub(super) buffer: Arc<Vec<u8>>,
    pub(super) range: Range<usize>,
}

impl Body {
    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer.get(self.range.clone()).unwrap_or_default()
    }
}

/// Where a message lies.
#[derive(Debug)]
enum Place {
    Memory { header: Vec<u8>, body: Option<Body> },
    File { offset: u64, header_len: usize, body_len: usize },
}

#[derive(Debug)]
struct Entry {
    place: Place,
    /// Bytes of header and body.
    size: usize,
    /// Whether the one that follows may take its place while it was not sent.
    passing: bool,
}

/// A message to be sent.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) header: Vec<u8>,
    pub(super) body: Option<Body>,
}

/// Messages that were not acknowledged, by sequence.
#[derive(Debug)]
pub(super) struct Spool {
    entries: VecDeque<Entry>,
    /// The sequence of the first entry, or of the next one to come.
    first: u64,
    limits: SpoolLimits,
    memory: usize,
    file: Option<Ring>,
    /// Why the file is no longer written to.
    failed: Option<String>,
}

impl Spool {
    /// Empty; `file`, if there is one, is empty, too.
    pub(super) fn new(limits: SpoolLimits, file: Option<File>) -> Self {
        let file = file.map(|file| Ring { file, capacity: limits.file, next: 0, live: VecDeque::new() });
        Self { entries: VecDeque::new(), first: 1, limits, memory: 0, file, failed: None }
    }

    /// The first message that is held, or the next one to come.
    #[cfg(test)]
    fn first(&self) -> u64 {
        self.first
    }

    /// The last message that there was; 0 before the first.
    pub(super) fn last(&self) -> u64 {
        self.first.saturating_add(u64::try_from(self.entries.len()).unwrap_or(u64::MAX)).saturating_sub(1)
    }

    /// Holds a message of frames; false if there is no room.
    pub(super) fn push_frames(&mut self, header: Vec<u8>, body: Body) -> bool {
        let size = header.len().saturating_add(body.bytes().len());
        if self.fits(size, self.limits.memory) {
            self.push(Place::Memory { header, body: Some(body) }, size, false);
            return true;
        }
        let Some(ring) = self.file.as_mut().filter(|_| self.failed.is_none()) else { return false };
        match ring.write(&header, body.bytes()) {
            Ok(Some(offset)) => {
                let (header_len, body_len) = (header.len(), body.bytes().len());
                self.push(Place::File { offset, header_len, body_len }, size, false);
                true
            }
            Ok(None) => false,
            Err(error) => {
                self.failed = Some(error.to_string());
                false
            }
        }
    }

    /// Holds another message; false if there is no room.
    pub(super) fn push_word(&mut self, header: Vec<u8>) -> bool {
        let size = header.len();
        let fits = self.fits(size, self.limits.memory.saturating_add(self.limits.reserve));
        if fits {
            self.push(Place::Memory { header, body: None }, size, false);
        }
        fits
    }

    /// Holds a message that the next of its kind may replace while it is the last and later than `sent`.
    pub(super) fn push_passing(&mut self, header: Vec<u8>, sent: u64) {
        if self.last() > sent
            && let Some(Entry { place: Place::Memory { header: last, .. }, passing: true, size }) =
                self.entries.back_mut()
        {
            self.memory = self.memory.saturating_sub(*size).saturating_add(header.len());
            *size = header.len();
            *last = header;
            return;
        }
        let size = header.len();
        if self.fits(size, self.limits.memory.saturating_add(self.limits.reserve)) {
            self.push(Place::Memory { header, body: None }, size, true);
        }
    }

    /// Holds the last message, which there is always room for.
    pub(super) fn push_last(&mut self, header: Vec<u8>) {
        let size = header.len();
        self.push(Place::Memory { header, body: None }, size, false);
    }

    /// Lets go of all up to `sequence`.
    pub(super) fn acknowledge(&mut self, sequence: u64) {
        while self.first <= sequence
            && let Some(entry) = self.entries.pop_front()
        {
            self.first = self.first.saturating_add(1);
            match entry.place {
                Place::Memory { .. } => {
                    self.memory = self.memory.saturating_sub(entry.size.saturating_add(OVERHEAD));
                }
                Place::File { .. } => {
                    if let Some(ring) = &mut self.file {
                        ring.free();
                    }
                }
            }
        }
    }

    /// Bytes of the message `sequence`; 0 if it is not held.
    pub(super) fn size(&self, sequence: u64) -> usize {
        self.entry(sequence).map_or(0, |entry| entry.size)
    }

    /// The message `sequence`, if it is held.
    ///
    /// # Errors
    /// The file's.
    pub(super) fn get(&self, sequence: u64) -> io::Result<Option<Held>> {
        let Some(entry) = self.entry(sequence) else { return Ok(None) };
        match &entry.place {
            Place::Memory { header, body } => Ok(Some(Held { header: header.clone(), body: body.clone() })),
            Place::File { offset, header_len, body_len } => {
                let Some(ring) = &self.file else { return Ok(None) };
                let mut bytes = vec![0; header_len.saturating_add(*body_len)];
                ring.file.read_exact_at(&mut bytes, *offset)?;
                let header = bytes.get(..*header_len).unwrap_or_default().to_vec();
                let range = *header_len..bytes.len();
                Ok(Some(Held { header, body: Some(Body { buffer: Arc::new(bytes), range }) }))
            }
        }
    }

    /// Why the file is no longer written to, the first time that it is asked after.
    pub(super) fn failure(&mut self) -> Option<String> {
        let failed = self.failed.as_mut()?;
        let reason = std::mem::take(failed);
        Some(reason).filter(|reason| !reason.is_empty())
    }

    fn entry(&self, sequence: u64) -> Option<&Entry> {
        self.entries.get(usize::try_from(sequence.checked_sub(self.first)?).ok()?)
    }

    fn fits(&self, size: usize, limit: usize) -> bool {
        self.memory.saturating_add(size).saturating_add(OVERHEAD) <= limit
    }

    fn push(&mut self, place: Place, size: usize, passing: bool) {
        if matches!(place, Place::Memory { .. }) {
            self.memory = self.memory.saturating_add(size).saturating_add(OVERHEAD);
        }
        self.entries.push_back(Entry { place, size, passing });
    }
}

/// A file that is written round and round.
#[derive(Debug)]
struct Ring {
    file: File,
    capacity: u64,
    /// Where the next message goes, if it fits there.
    next: u64,
    /// Offset and length of those that are held, oldest first.
    live: VecDeque<(u64, u64)>,
}

impl Ring {
    /// Writes a message; where, or `None` if there is no room.
    fn write(&mut self, header: &[u8], body: &[u8]) -> io::Result<Option<u64>> {
        let length = header.len().saturating_add(body.len());
        let Ok(length) = u64::try_from(length) else { return Ok(None) };
        let Some(offset) = self.room(length) else { return Ok(None) };
        self.file.write_all_at(header, offset)?;
        let after = offset.saturating_add(u64::try_from(header.len()).unwrap_or(u64::MAX));
        self.file.write_all_at(body, after)?;
        self.next = offset.saturating_add(length);
        self.live.push_back((offset, length));
        Ok(Some(offset))
    }

    /// Where `length` bytes lie free in one piece.
    fn room(&self, length: u64) -> Option<u64> {
        let fits = |from: u64, to: u64| to.checked_sub(from).is_some_and(|free| length <= free);
        match self.live.front() {
            None => fits(0, self.capacity).then_some(0),
            // Free are the end of the file, and its beginning up to the oldest.
            Some((oldest, _)) if *oldest < self.next => {
                let at_end = fits(self.next, self.capacity).then_some(self.next);
                at_end.or_else(|| fits(0, *oldest).then_some(0))
            }
            Some((oldest, _)) => fits(self.next, *oldest).then_some(self.next),
        }
    }

    /// Frees the oldest; the disk's room with the last one.
    fn free(&mut self) {
        self.live.pop_front();
        if self.live.is_empty() {
            self.next = 0;
            // The room stays taken until the file is written to again, or closed.
            let _ = self.file.set_len(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spool(memory: usize, file: u64) -> Spool {
        let limits = SpoolLimits { memory, reserve: 4 * OVERHEAD, file };
        Spool::new(limits, Some(tempfile::tempfile().unwrap()))
    }

    fn body(bytes: Vec<u8>) -> Body {
        let range = 0..bytes.len();
        Body { buffer: Arc::new(bytes), range }
    }

    fn held(spool: &Spool, sequence: u64) -> Option<(Vec<u8>, Vec<u8>)> {
        let held = spool.get(sequence).unwrap()?;
        Some((held.header, held.body.map(|body| body.bytes().to_vec()).unwrap_or_default()))
    }

    #[test]
    fn memory_fills_then_the_file_then_frames_are_refused() {
        let mut spool = spool(2 * (OVERHEAD + 100), 250);
        let taken: Vec<bool> =
            (0..6).map(|number| spool.push_frames(vec![number; 20], body(vec![number; 80]))).collect();
        assert_eq!(taken, [true, true, true, true, false, false]);
        assert_eq!((spool.first(), spool.last()), (1, 4));
        for number in 0..4 {
            let expected = Some((vec![number; 20], vec![number; 80]));
            assert_eq!(held(&spool, u64::from(number) + 1), expected);
        }
        assert!(spool.push_word(vec![9; 10]), "words have a reserve");
        assert_eq!(held(&spool, 5), Some((vec![9; 10], Vec::new())));
        spool.acknowledge(2);
        assert_eq!((held(&spool, 2), spool.first()), (None, 3));
        assert!(spool.push_frames(vec![7; 1], body(vec![7; 1])), "there is room in memory again");
        spool.acknowledge(u64::MAX);
        assert_eq!((spool.first(), spool.last(), spool.memory), (7, 6, 0));
    }

    #[test]
    fn time_that_passes_takes_one_place() {
        let mut spool = spool(1 << 20, 0);
        spool.push_passing(vec![1], 0);
        spool.push_passing(vec![2, 2], 0);
        assert_eq!((spool.last(), held(&spool, 1)), (1, Some((vec![2, 2], Vec::new()))));
        spool.push_passing(vec![3], 1);
        assert_eq!((spool.last(), spool.size(1)), (2, 2), "what was sent stays as it was");
        assert!(spool.push_word(vec![4]));
        spool.push_passing(vec![5], 1);
        assert_eq!(spool.last(), 4, "the order stays");
        spool.acknowledge(4);
        assert_eq!(spool.memory, 0);
    }

    #[test]
    fn a_disk_that_fails_is_named_once() {
        let path = tempfile::NamedTempFile::new().unwrap();
        let read_only = File::open(path.path()).unwrap();
        let limits = SpoolLimits { memory: 0, reserve: 0, file: 1000 };
        let mut spool = Spool::new(limits, Some(read_only));
        assert!(!spool.push_frames(vec![1], body(vec![1])));
        assert!(spool.failure().is_some());
        assert!(!spool.push_frames(vec![1], body(vec![1])));
        assert_eq!(spool.failure(), None);
        assert_eq!(spool.last(), 0);
    }

    proptest! {
        /// Whatever is pushed and acknowledged: what is held is what was taken, within the bounds.
        #[test]
        fn what_is_taken_is_held_until_it_is_acknowledged(
            steps in prop::collection::vec((any::<bool>(), 0_usize..200, 0_u64..8), 1..200),
        ) {
            let mut spool = spool(3 * OVERHEAD, 500);
            let mut model: VecDeque<(u64, Vec<u8>, Vec<u8>)> = VecDeque::new();
            let mut filler = 0_u8;
            for (frames, length, acknowledged) in steps {
                filler = filler.wrapping_add(1);
                let header = vec![filler; length / 4];
                let bytes = vec![filler.wrapping_mul(3); if frames { length } else { 0 }];
                let taken = if frames {
                    spool.push_frames(header.clone(), body(bytes.clone()))
                } else {
                    spool.push_word(header.clone())
                };
                if taken {
                    model.push_back((spool.last(), header, bytes));
                }
                spool.acknowledge(spool.first().saturating_sub(1).saturating_add(acknowledged).min(spool.last()));
                model.retain(|(sequence, ..)| *sequence >= spool.first());
                for (sequence, header, bytes) in &model {
                    prop_assert_eq!(held(&spool, *sequence), Some((header.clone(), bytes.clone())));
                }
                prop_assert_eq!(spool.entries.len(), model.len());
                prop_assert!(spool.memory <= 7 * OVERHEAD);
                prop_assert!(spool.file.as_ref().unwrap().file.metadata().unwrap().len() <= 500);
            }
        }
    }
}
