//! Byte ranges in any order to bytes in order, for one direction of a stream.
//!
//! Knows offsets, not sequence numbers, so that TCP and, later, QUIC's CRYPTO frames share it. Bytes that come in
//! order pass through without a copy. Where ranges overlap, the bytes that came first win.

use std::collections::BTreeMap;

use crate::source::FrameNumber;
use crate::time::Timestamp;

/// A range of the stream and the frame that brought it.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// Of the first byte, from the start of the stream.
    pub offset: u64,
    /// The bytes.
    pub bytes: &'a [u8],
    /// Bytes after `bytes` that were sent in the same segment but not captured.
    pub missing: u64,
    /// The frame that brought it.
    pub frame: FrameNumber,
    /// When that was captured.
    pub at: Timestamp,
}

/// What comes out of an [`Assembler`], in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output<'a> {
    /// The next bytes; never empty.
    Data {
        /// The bytes.
        bytes: &'a [u8],
        /// The frame that brought them.
        frame: FrameNumber,
        /// When that was captured.
        at: Timestamp,
    },
    /// The next bytes are not in the capture.
    Gap {
        /// How many; at least 1.
        len: u64,
        /// The frame that showed it.
        frame: FrameNumber,
        /// When that was captured.
        at: Timestamp,
    },
}

#[derive(Clone, Debug)]
struct Held {
    bytes: Vec<u8>,
    missing: u64,
    frame: FrameNumber,
    at: Timestamp,
}

impl Held {
    /// What it costs to keep: the bytes and the place in the map.
    fn cost(&self) -> usize {
        self.bytes.len().saturating_add(Assembler::OVERHEAD)
    }

    fn end(&self, offset: u64) -> u64 {
        offset.saturating_add(self.bytes.len() as u64).saturating_add(self.missing)
    }
}

/// Puts the bytes of one direction in order.
#[derive(Clone, Debug, Default)]
pub struct Assembler {
    /// Offset of the next byte to hand out. Every key of `held` is greater.
    next: u64,
    /// Ranges that wait for their predecessors; they do not overlap.
    held: BTreeMap<u64, Held>,
    /// What `held` costs.
    held_bytes: usize,
    /// Inserted ranges that contradict bytes that were held.
    conflicts: u64,
}

impl Assembler {
    /// Bytes that a held range costs beside its content, so that many small ranges count, too.
    pub const OVERHEAD: usize = 64;

    /// Offset of the next byte to hand out.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Bytes of memory in ranges that wait for their predecessors.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Ranges so far that differ from bytes already held at the same place. Bytes that were handed out are not kept
    /// and cannot be compared.
    #[must_use]
    pub fn conflicts(&self) -> u64 {
        self.conflicts
    }

    /// Where the first hole ends; `None` without one.
    #[must_use]
    pub fn hole_end(&self) -> Option<u64> {
        self.held.keys().next().copied()
    }

    /// Takes a piece and hands out what is in order now. Whether it brought bytes that were new.
    pub fn insert(&mut self, piece: Piece<'_>, out: &mut impl FnMut(Output<'_>)) -> bool {
        let skip = self.next.saturating_sub(piece.offset);
        let bytes = piece.bytes.get(usize::try_from(skip).unwrap_or(usize::MAX)..).unwrap_or_default();
        let end = piece.offset.saturating_add(piece.bytes.len() as u64);
        let missing = end.saturating_add(piece.missing).saturating_sub(end.max(self.next));
        if bytes.is_empty() && missing == 0 {
            return false;
        }
        let piece = Piece { offset: piece.offset.max(self.next), bytes, missing, ..piece };
        if piece.offset == self.next && self.held.is_empty() {
            self.hand_out(piece.bytes, piece.missing, piece.frame, piece.at, out);
            return true;
        }
        let new = self.hold(piece);
        self.drain(out);
        new
    }

    /// Gives up on the first hole: says the gap and hands out what follows it. False when nothing is held.
    pub fn skip_hole(&mut self, frame: FrameNumber, at: Timestamp, out: &mut impl FnMut(Output<'_>)) -> bool {
        let Some(end) = self.hole_end() else { return false };
        out(Output::Gap { len: end.saturating_sub(self.next), frame, at });
        self.next = end;
        self.drain(out);
        true
    }

    fn hand_out(
        &mut self,
        bytes: &[u8],
        missing: u64,
        frame: FrameNumber,
        at: Timestamp,
        out: &mut impl FnMut(Output<'_>),
    ) {
        if !bytes.is_empty() {
            out(Output::Data { bytes, frame, at });
        }
        if missing > 0 {
            out(Output::Gap { len: missing, frame, at });
        }
        self.next = self.next.saturating_add(bytes.len() as u64).saturating_add(missing);
    }

    fn drain(&mut self, out: &mut impl FnMut(Output<'_>)) {
        while let Some(first) = self.held.first_entry() {
            if *first.key() > self.next {
                break;
            }
            let held = first.remove();
            self.held_bytes = self.held_bytes.saturating_sub(held.cost());
            self.hand_out(&held.bytes, held.missing, held.frame, held.at, out);
        }
    }

    /// Keeps the parts of a piece that fill holes; the bytes that were there first stay.
    fn hold(&mut self, piece: Piece<'_>) -> bool {
        let end = piece.offset.saturating_add(piece.bytes.len() as u64);
        let whole_end = end.saturating_add(piece.missing);
        let mut covered = Vec::new();
        let mut conflict = false;
        let before = self.held.range(..=piece.offset).next_back();
        for (&offset, held) in
            before.into_iter().chain(self.held.range(piece.offset.saturating_add(1)..whole_end))
        {
            if held.end(offset) <= piece.offset {
                continue;
            }
            covered.push((offset, held.end(offset)));
            conflict |= differs(piece.offset, piece.bytes, offset, &held.bytes);
        }
        self.conflicts = self.conflicts.saturating_add(u64::from(conflict));
        let mut new = false;
        let mut from = piece.offset;
        covered.push((whole_end, whole_end));
        for (start, stop) in covered {
            if from < start {
                new |= self.keep(piece, from, start.min(whole_end));
            }
            from = from.max(stop);
        }
        new
    }

    /// Keeps `[from, to)` of a piece.
    fn keep(&mut self, piece: Piece<'_>, from: u64, to: u64) -> bool {
        let at = |offset: u64| usize::try_from(offset.saturating_sub(piece.offset)).unwrap_or(usize::MAX);
        let bytes = piece.bytes.get(at(from)..at(to).min(piece.bytes.len())).unwrap_or_default().to_vec();
        let missing = to.saturating_sub(from).saturating_sub(bytes.len() as u64);
        let held = Held { bytes, missing, frame: piece.frame, at: piece.at };
        self.held_bytes = self.held_bytes.saturating_add(held.cost());
        self.held.insert(from, held);
        true
    }
}

/// Whether two ranges differ where they overlap.
fn differs(a_offset: u64, a: &[u8], b_offset: u64, b: &[u8]) -> bool {
    let start = a_offset.max(b_offset);
    let tail = |offset: u64, bytes: &'_ [u8]| -> usize {
        usize::try_from(start.saturating_sub(offset)).unwrap_or(usize::MAX).min(bytes.len())
    };
    let (a, b) =
        (a.get(tail(a_offset, a)..).unwrap_or_default(), b.get(tail(b_offset, b)..).unwrap_or_default());
    a.iter().zip(b).any(|(a, b)| a != b)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What an assembler must do, with a slot a byte: the first byte that arrives at a place stays.
    #[derive(Default)]
    struct Bitmap {
        bytes: Vec<Option<Option<u8>>>,
    }

    impl Bitmap {
        fn insert(&mut self, offset: usize, bytes: &[u8], missing: usize, next: usize) {
            let end = offset + bytes.len() + missing;
            self.bytes.resize(self.bytes.len().max(end), None);
            for place in offset.max(next)..end {
                if self.bytes[place].is_none() {
                    self.bytes[place] = Some(bytes.get(place - offset).copied());
                }
            }
        }

        /// What is in order after `next`.
        fn ready(&self, next: usize) -> Vec<Option<u8>> {
            self.bytes.iter().skip(next).map_while(|slot| *slot).collect()
        }
    }

    fn flatten(out: &mut Vec<Option<u8>>) -> impl FnMut(Output<'_>) + '_ {
        |output| match output {
            Output::Data { bytes, .. } => out.extend(bytes.iter().copied().map(Some)),
            Output::Gap { len, .. } => out.extend(std::iter::repeat_n(None, usize::try_from(len).unwrap())),
        }
    }

    fn piece(offset: u64, bytes: &[u8], missing: u64) -> Piece<'_> {
        Piece { offset, bytes, missing, frame: 1, at: Timestamp(0) }
    }

    proptest! {
        #[test]
        fn agrees_with_a_bitmap(
            pieces in prop::collection::vec((0_usize..64, prop::collection::vec(any::<u8>(), 0..16), 0_usize..4), 0..40)
        ) {
            let mut assembler = Assembler::default();
            let mut bitmap = Bitmap::default();
            let mut delivered = Vec::new();
            for (offset, bytes, missing) in &pieces {
                let next = delivered.len();
                bitmap.insert(*offset, bytes, *missing, next);
                let expected = bitmap.ready(next);
                let mut got = Vec::new();
                assembler.insert(piece(*offset as u64, bytes, *missing as u64), &mut flatten(&mut got));
                prop_assert_eq!(&got, &expected);
                delivered.extend(got);
                prop_assert_eq!(assembler.next(), delivered.len() as u64);
                let held: usize = assembler.held.values().map(Held::cost).sum();
                prop_assert_eq!(assembler.held_bytes(), held);
            }
            while assembler.skip_hole(1, Timestamp(0), &mut flatten(&mut delivered)) {}
            let expected: Vec<Option<u8>> = bitmap.bytes.iter().map(|slot| slot.flatten()).collect();
            let end = delivered.len().max(expected.iter().rposition(Option::is_some).map_or(0, |last| last + 1));
            prop_assert_eq!(&delivered[..], &expected[..end.min(expected.len())]);
            prop_assert_eq!(assembler.held_bytes(), 0);
        }
    }

    #[test]
    fn the_first_bytes_win_and_the_conflict_is_counted() {
        let mut assembler = Assembler::default();
        let mut out = Vec::new();
        assembler.insert(piece(2, b"CD", 0), &mut flatten(&mut out));
        assembler.insert(piece(1, b"bcd", 0), &mut flatten(&mut out));
        assert!(out.is_empty());
        assembler.insert(piece(0, b"a", 0), &mut flatten(&mut out));
        assert_eq!(out, b"abCD".map(Some));
        assert_eq!(assembler.conflicts(), 1);
    }

    #[test]
    fn the_ends_of_the_offset_range_do_not_overflow() {
        let mut assembler = Assembler::default();
        let mut out = Vec::new();
        assembler.insert(piece(u64::MAX - 1, b"abcd", 9), &mut flatten(&mut out));
        assert!(assembler.hole_end().is_some());
    }
}
