//! Datagrams put together from IP fragments (RFC 791 §3.2, RFC 8200 §4.5), within bounds.
//!
//! Where two fragments of an IPv4 datagram overlap, the bytes that came first stand. An IPv6 datagram with an overlap
//! is given up with all that belongs to it, as its receiver must (RFC 5722); a repeated fragment is no overlap. What the
//! capture cut off a fragment is missing from the datagram. Time is the frames' own.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;

use super::Skip;
use super::span::Span;
use crate::source::InterfaceIndex;
use crate::time::Timestamp;

/// What the fragments of one datagram share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct FragmentKey {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) identification: u32,
    /// IPv4 tells datagrams apart by protocol, too.
    pub(super) protocol: Option<u8>,
    pub(super) context: u64,
    /// So that a datagram seen on two interfaces is two datagrams, like any other packet.
    pub(super) interface: InterfaceIndex,
}

/// One fragment.
pub(super) struct Fragment<'a> {
    pub(super) key: FragmentKey,
    /// What the first fragment begins with; of no meaning in the others.
    pub(super) protocol: u8,
    /// Bytes from the start of the datagram's payload, a multiple of 8.
    pub(super) offset: u32,
    pub(super) more: bool,
    pub(super) payload: Span<'a>,
    pub(super) wire_len: u32,
    pub(super) at: Timestamp,
}

/// A datagram's payload, whole again.
pub(super) struct Datagram {
    pub(super) bytes: Arc<Vec<u8>>,
    /// Bytes at its end that the capture cut off.
    pub(super) missing: u32,
    pub(super) protocol: u8,
    /// Bytes on the link of all its frames.
    pub(super) wire_len: u32,
}

/// What became of fragments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FragmentCounts {
    /// Datagrams put together.
    pub reassembled: u64,
    /// Datagrams given up because their fragments did not come in time ([`FragmentCounts::MAX_AGE`]).
    pub expired: u64,
    /// Datagrams given up for lack of room ([`FragmentCounts::MAX_DATAGRAMS`], [`FragmentCounts::MAX_BYTES`]).
    pub evicted: u64,
    /// Datagrams given up because their fragments contradict each other.
    pub contradictory: u64,
    /// Datagrams still waiting for fragments.
    pub waiting: u64,
    /// Frames taken in ([`Skip::Fragment`]) whose datagram was given up or still waits.
    pub lost_frames: u64,
}

impl FragmentCounts {
    /// Datagrams that are held at a time. A phone has a handful.
    pub const MAX_DATAGRAMS: usize = 1024;
    /// Bytes of fragments that are held at a time.
    pub const MAX_BYTES: usize = 4 << 20;
    /// Time from a datagram's first fragment to its last: what Linux waits, less than RFC 8200's minute.
    pub const MAX_AGE: Duration = Duration::from_secs(30);
}

/// No IP datagram's payload is longer.
const MAX_LEN: u32 = 65_535;

/// What a piece costs besides its bytes.
const PIECE_OVERHEAD: usize = 64;

/// The datagrams that are not complete.
#[derive(Debug, Default)]
pub(super) struct Fragments {
    open: HashMap<FragmentKey, Partial, RandomState>,
    /// By order of their first fragments.
    order: BTreeMap<u64, FragmentKey>,
    next: u64,
    bytes: usize,
    counts: FragmentCounts,
}

#[derive(Debug)]
struct Partial {
    order: u64,
    first_at: Timestamp,
    protocol: u8,
    wire_len: u32,
    /// Frames taken in.
    frames: u64,
    /// Known once the last fragment came.
    total: Option<u32>,
    /// Payload bytes covered, captured or not.
    covered: u32,
    /// Disjoint, in order.
    pieces: BTreeMap<u32, Piece>,
    held: usize,
    /// Contradicted itself; kept only to swallow the rest.
    given_up: bool,
}

#[derive(Debug)]
struct Piece {
    bytes: Vec<u8>,
    /// What it covers: `bytes.len() <= len`, less only where the capture cut it.
    len: u32,
}

impl Fragments {
    /// Takes a fragment in; the datagram when that completes it.
    pub(super) fn add(&mut self, fragment: &Fragment<'_>) -> Result<Option<Datagram>, Skip> {
        const MALFORMED: Skip = Skip::Malformed("ip fragment");
        let len = u32::try_from(fragment.payload.wire_len()).map_err(|_too_long| MALFORMED)?;
        let end = fragment.offset.checked_add(len).filter(|end| *end <= MAX_LEN).ok_or(MALFORMED)?;
        if len == 0 || (fragment.more && len % 8 != 0) {
            return Err(MALFORMED);
        }
        self.expire(fragment.at);
        let partial = self.open.entry(fragment.key).or_insert_with(|| {
            let order = self.next;
            self.next = order.wrapping_add(1);
            self.order.insert(order, fragment.key);
            Partial::new(order, fragment.at)
        });
        if partial.given_up {
            return Err(MALFORMED);
        }
        partial.wire_len = partial.wire_len.saturating_add(fragment.wire_len);
        let before = partial.held;
        let added = partial.insert(fragment, end);
        self.bytes = self.bytes.saturating_sub(before).saturating_add(partial.held);
        if !added {
            self.counts.contradictory = self.counts.contradictory.saturating_add(1);
            self.counts.lost_frames = self.counts.lost_frames.saturating_add(partial.frames);
            return Err(MALFORMED);
        }
        if partial.total == Some(partial.covered) {
            let datagram = self.remove(&fragment.key).map(Partial::join);
            self.counts.reassembled = self.counts.reassembled.saturating_add(1);
            return Ok(datagram);
        }
        partial.frames = partial.frames.saturating_add(1);
        while !self.order.is_empty()
            && (self.open.len() > FragmentCounts::MAX_DATAGRAMS || self.bytes > FragmentCounts::MAX_BYTES)
        {
            if self.remove_oldest() {
                self.counts.evicted = self.counts.evicted.saturating_add(1);
            }
        }
        Ok(None)
    }

    pub(super) fn counts(&self) -> FragmentCounts {
        let mut counts = self.counts;
        for partial in self.open.values().filter(|partial| !partial.given_up) {
            counts.waiting = counts.waiting.saturating_add(1);
            counts.lost_frames = counts.lost_frames.saturating_add(partial.frames);
        }
        counts
    }

    fn expire(&mut self, now: Timestamp) {
        while let Some((_, key)) = self.order.first_key_value()
            && let Some(oldest) = self.open.get(key)
            && now.since(oldest.first_at) > FragmentCounts::MAX_AGE
        {
            if self.remove_oldest() {
                self.counts.expired = self.counts.expired.saturating_add(1);
            }
        }
    }

    /// Removes the oldest; whether it still had hope.
    fn remove_oldest(&mut self) -> bool {
        let oldest = self.order.first_key_value().map(|(_, key)| *key);
        let Some(partial) = oldest.and_then(|key| self.remove(&key)).filter(|partial| !partial.given_up)
        else {
            return false;
        };
        self.counts.lost_frames = self.counts.lost_frames.saturating_add(partial.frames);
        true
    }

    fn remove(&mut self, key: &FragmentKey) -> Option<Partial> {
        let partial = self.open.remove(key)?;
        self.order.remove(&partial.order);
        self.bytes = self.bytes.saturating_sub(partial.held);
        Some(partial)
    }
}

impl Partial {
    fn new(order: u64, first_at: Timestamp) -> Self {
        Self {
            order,
            first_at,
            protocol: 0,
            wire_len: 0,
            frames: 0,
            total: None,
            covered: 0,
            pieces: BTreeMap::new(),
            held: 0,
            given_up: false,
        }
    }

    /// Keeps what is new in `fragment`, which ends at `end`; false when it contradicts the others.
    fn insert(&mut self, fragment: &Fragment<'_>, end: u32) -> bool {
        let highest =
            self.pieces.last_key_value().map_or(0, |(start, piece)| start.saturating_add(piece.len));
        let total_fits = match (self.total, fragment.more) {
            (Some(total), true) => end <= total,
            (Some(total), false) => end == total,
            (None, true) => true,
            (None, false) => highest <= end,
        };
        let strict = fragment.key.protocol.is_none();
        let repeated = || {
            self.pieces
                .get(&fragment.offset)
                .is_some_and(|piece| end == fragment.offset.saturating_add(piece.len))
        };
        if !total_fits || (strict && self.overlaps(fragment.offset, end) && !repeated()) {
            self.pieces.clear();
            self.held = 0;
            self.given_up = true;
            return false;
        }
        if !fragment.more {
            self.total = Some(end);
        }
        if fragment.offset == 0 && !self.pieces.contains_key(&0) {
            self.protocol = fragment.protocol;
        }
        for (start, end) in self.holes(fragment.offset, end) {
            let range = (start.saturating_sub(fragment.offset) as usize)
                ..(end.saturating_sub(fragment.offset) as usize);
            let captured = fragment.payload.bytes.len();
            let bytes = fragment.payload.bytes.get(range.start.min(captured)..range.end.min(captured));
            let bytes = bytes.unwrap_or_default().to_vec();
            let len = end.saturating_sub(start);
            self.held = self.held.saturating_add(bytes.len()).saturating_add(PIECE_OVERHEAD);
            self.covered = self.covered.saturating_add(len);
            self.pieces.insert(start, Piece { bytes, len });
        }
        true
    }

    fn overlaps(&self, start: u32, end: u32) -> bool {
        self.pieces
            .range(..end)
            .next_back()
            .is_some_and(|(piece_start, piece)| piece_start.saturating_add(piece.len) > start)
    }

    /// The parts of `start..end` that no piece covers.
    fn holes(&self, start: u32, end: u32) -> Vec<(u32, u32)> {
        let mut holes = Vec::new();
        let mut at = start;
        let before = self.pieces.range(..start).next_back();
        for (piece_start, piece) in before.into_iter().chain(self.pieces.range(start..end)) {
            if at < *piece_start {
                holes.push((at, *piece_start));
            }
            at = at.max(piece_start.saturating_add(piece.len));
        }
        if at < end {
            holes.push((at, end));
        }
        holes
    }

    fn join(self) -> Datagram {
        let mut bytes = Vec::with_capacity(self.covered as usize);
        for piece in self.pieces.into_values() {
            bytes.extend_from_slice(&piece.bytes);
            if piece.bytes.len() < piece.len as usize {
                break;
            }
        }
        let missing = (self.covered as usize).saturating_sub(bytes.len());
        Datagram {
            missing: u32::try_from(missing).unwrap_or(u32::MAX),
            bytes: Arc::new(bytes),
            protocol: self.protocol,
            wire_len: self.wire_len,
        }
    }
}
