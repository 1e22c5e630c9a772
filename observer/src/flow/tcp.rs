//! The progress of a TCP flow (RFC 9293): sequence arithmetic, handshake and end.

use super::assembler::{Assembler, Output, Piece};
use super::{Direction, FlowLimits, TcpState, TcpSummary};
use crate::decode::TcpFlags;
use crate::source::FrameNumber;
use crate::time::Timestamp;

/// Packets of the flow that may pass after the receiver acknowledged a hole before it counts as lost: captures put
/// the two directions in order only roughly.
const PATIENCE: u8 = 16;

/// How far the sequence number of a RST may lie from where its sender stands. Farther ones answer a segment of an older
/// flow, and the receiver ignores them (RFC 9293 §3.10.7.4).
const WINDOW: u32 = 1 << 24;

/// The largest window without scaling (RFC 9293 §3.1).
const UNSCALED_WINDOW: u32 = 0xffff;

/// A TCP segment without its addresses.
#[derive(Clone, Copy, Debug)]
pub(super) struct TcpSegment<'a> {
    pub(super) sequence: u32,
    pub(super) acknowledgement: u32,
    pub(super) flags: TcpFlags,
    pub(super) payload: &'a [u8],
    pub(super) missing: u32,
    pub(super) frame: FrameNumber,
    pub(super) at: Timestamp,
}

impl TcpSegment<'_> {
    /// Payload bytes on the wire.
    fn len(&self) -> u32 {
        u32::try_from(self.payload.len()).unwrap_or(u32::MAX).saturating_add(self.missing)
    }

    /// The sequence number after the segment.
    fn end(&self) -> u32 {
        let flags = u32::from(self.flags.syn).wrapping_add(u32::from(self.flags.fin));
        self.sequence.wrapping_add(self.len()).wrapping_add(flags)
    }
}

/// What is tracked of a direction for as long as the flow is open.
#[derive(Clone, Copy, Debug, Default)]
struct Side {
    /// The sequence number of the SYN, where it was seen.
    initial: Option<u32>,
    /// The highest sequence number after any segment.
    highest: Option<u32>,
    fin: bool,
}

/// What reassembly needs of a direction; dropped when nobody wants bytes any more.
#[derive(Debug, Default)]
struct Stream {
    /// The sequence number of offset 0.
    base: Option<u32>,
    assembler: Assembler,
    /// Packets since the receiver acknowledged the first hole.
    impatience: u8,
}

impl Stream {
    /// Moves offset 0 back to `sequence`, by a window at most, while nothing has come. Where the SYN was not captured, offset 0 is what the other
    /// side acknowledged, and that may be damaged, or later than what is sent again. A single byte is a keep-alive
    /// (RFC 9293 §3.8.4).
    fn begin_no_later_than(&mut self, sequence: u32) {
        let nothing = self.assembler.next() == 0 && self.assembler.held_bytes() == 0;
        let back = self.base.map_or(0, |base| base.wrapping_sub(sequence));
        if nothing && self.assembler.hole_end().is_none() && (1..=UNSCALED_WINDOW).contains(&back) {
            self.base = Some(sequence);
        }
    }

    /// The stream offset of a sequence number: the one nearest to what comes next. `None` before offset 0.
    fn offset(&self, sequence: u32) -> Option<u64> {
        let next = self.assembler.next();
        let low = u32::try_from(next & u64::from(u32::MAX)).unwrap_or_default();
        let distance = sequence.wrapping_sub(self.base?.wrapping_add(low)).cast_signed();
        next.checked_add_signed(i64::from(distance))
    }
}

/// A TCP flow.
#[derive(Debug)]
pub(super) struct Tcp {
    sides: [Side; 2],
    streams: Option<[Stream; 2]>,
    reset: bool,
    end: Option<(Direction, FrameNumber)>,
    gaps: u64,
    gap_bytes: u64,
    retransmissions: u64,
    out_of_order: u64,
    conflicts: u64,
}

impl Tcp {
    pub(super) fn new() -> Self {
        Self {
            sides: [Side::default(); 2],
            streams: Some([Stream::default(), Stream::default()]),
            reset: false,
            end: None,
            gaps: 0,
            gap_bytes: 0,
            retransmissions: 0,
            out_of_order: 0,
            conflicts: 0,
        }
    }

    /// Whether `segment` begins another flow with the same five-tuple: a SYN that is not this flow's own.
    pub(super) fn is_reused_by(&self, direction: Direction, segment: &TcpSegment<'_>) -> bool {
        if !segment.flags.syn || segment.flags.ack {
            return false;
        }
        let side = side(&self.sides, direction);
        match side.initial {
            Some(initial) => initial != segment.sequence,
            // A simultaneous open (RFC 9293 §3.5) is no reuse; a SYN after data or an end is.
            None => self.ended() || side.highest.is_some(),
        }
    }

    /// Takes a segment; hands out what is in order now. `held_in_shard` is what all flows of the shard hold.
    #[inline]
    pub(super) fn ingest(
        &mut self,
        direction: Direction,
        segment: &TcpSegment<'_>,
        limits: &FlowLimits,
        held_in_shard: &mut usize,
        out: &mut impl FnMut(Direction, Output<'_>),
    ) {
        let behind = self.track(direction, segment);
        let Some(streams) = &mut self.streams else {
            self.retransmissions = self.retransmissions.saturating_add(u64::from(behind));
            return;
        };
        let [forward, backward] = streams;
        let (stream, other) = match direction {
            Direction::ToResponder => (forward, backward),
            Direction::ToOriginator => (backward, forward),
        };
        let before = stream.assembler.held_bytes().saturating_add(other.assembler.held_bytes());
        let (mut gaps, mut gap_bytes) = (0_u64, 0_u64);
        let conflicts = stream.assembler.conflicts();
        let mut count = |direction: Direction, output: Output<'_>| {
            if let Output::Gap { len, .. } = output {
                gaps = gaps.saturating_add(1);
                gap_bytes = gap_bytes.saturating_add(len);
            }
            out(direction, output);
        };

        let first = segment.sequence.wrapping_add(u32::from(segment.flags.syn));
        stream.base.get_or_insert(first);
        if segment.flags.ack && !segment.flags.rst {
            other.base.get_or_insert(segment.acknowledgement);
        }
        if side(&self.sides, direction).initial.is_none() && segment.len() > 1 {
            stream.begin_no_later_than(first);
        }
        if segment.len() > 0
            && let Some((offset, payload)) = place(stream, first, segment.payload)
        {
            let piece = Piece {
                offset,
                bytes: payload,
                missing: u64::from(segment.missing),
                frame: segment.frame,
                at: segment.at,
            };
            let new = stream.assembler.insert(piece, &mut |output| count(direction, output));
            self.out_of_order = self.out_of_order.saturating_add(u64::from(new && behind));
            self.retransmissions = self.retransmissions.saturating_add(u64::from(!new && behind));
        }
        while stream.assembler.held_bytes() > limits.reassembly_per_direction
            || held_in_shard
                .saturating_sub(before)
                .saturating_add(stream.assembler.held_bytes())
                .saturating_add(other.assembler.held_bytes())
                > limits.reassembly_per_shard
        {
            if !stream.assembler.skip_hole(segment.frame, segment.at, &mut |output| count(direction, output))
            {
                break;
            }
        }
        let acknowledged = segment.flags.ack.then(|| other.offset(segment.acknowledgement)).flatten();
        let lost = matches!((other.assembler.hole_end(), acknowledged), (Some(end), Some(acknowledged)) if acknowledged >= end);
        if lost || other.impatience > 0 && other.assembler.hole_end().is_some() {
            other.impatience = other.impatience.saturating_add(1);
        } else {
            other.impatience = 0;
        }
        if other.impatience > PATIENCE {
            other.impatience = 0;
            let reverse = direction.reverse();
            other.assembler.skip_hole(segment.frame, segment.at, &mut |output| count(reverse, output));
        }
        self.conflicts =
            self.conflicts.saturating_add(stream.assembler.conflicts().saturating_sub(conflicts));
        self.gaps = self.gaps.saturating_add(gaps);
        self.gap_bytes = self.gap_bytes.saturating_add(gap_bytes);
        let after = stream.assembler.held_bytes().saturating_add(other.assembler.held_bytes());
        *held_in_shard = held_in_shard.saturating_sub(before).saturating_add(after);
    }

    /// Hands out everything that still waits behind holes.
    pub(super) fn flush(
        &mut self,
        frame: FrameNumber,
        at: Timestamp,
        held_in_shard: &mut usize,
        out: &mut impl FnMut(Direction, Output<'_>),
    ) {
        let Some(streams) = self.streams.take() else { return };
        let [forward, backward] = streams;
        for (direction, mut stream) in
            [(Direction::ToResponder, forward), (Direction::ToOriginator, backward)]
        {
            *held_in_shard = held_in_shard.saturating_sub(stream.assembler.held_bytes());
            let mut count = |output: Output<'_>| {
                if let Output::Gap { len, .. } = output {
                    self.gaps = self.gaps.saturating_add(1);
                    self.gap_bytes = self.gap_bytes.saturating_add(len);
                }
                out(direction, output);
            };
            while stream.assembler.skip_hole(frame, at, &mut count) {}
        }
    }

    /// Nobody wants bytes any more: from here on only counts.
    pub(super) fn stop_reassembly(&mut self, held_in_shard: &mut usize) {
        if let Some(streams) = self.streams.take() {
            let held = streams.iter().map(|stream| stream.assembler.held_bytes()).sum();
            *held_in_shard = held_in_shard.saturating_sub(held);
        }
    }

    /// Both sides sent FIN, or one sent RST.
    pub(super) fn ended(&self) -> bool {
        self.reset || self.sides.iter().all(|side| side.fin)
    }

    /// Whether neither the handshake nor data of both sides was seen.
    pub(super) fn half_open(&self) -> bool {
        self.sides.iter().any(|side| side.initial.is_some())
            && self.sides.iter().any(|side| side.highest.is_none())
    }

    pub(super) fn summary(&self) -> TcpSummary {
        let seen = |side: &Side| side.initial.is_some();
        let state = if self.reset {
            TcpState::Reset
        } else if self.ended() {
            TcpState::Closed
        } else if !self.sides.iter().any(seen) {
            TcpState::Midstream
        } else if self.half_open() {
            TcpState::HalfOpen
        } else {
            TcpState::Established
        };
        TcpSummary {
            state,
            gaps: self.gaps,
            gap_bytes: self.gap_bytes,
            retransmissions: self.retransmissions,
            out_of_order: self.out_of_order,
            conflicts: self.conflicts,
            ended_by: self.end.map(|(direction, _)| direction),
            ended_in: self.end.map(|(_, frame)| frame),
        }
    }

    /// Follows the handshake and the end. Whether the segment's payload lies behind what was already sent. Keep-alives,
    /// which repeat one byte (RFC 9293 §3.8.4), do not count.
    fn track(&mut self, direction: Direction, segment: &TcpSegment<'_>) -> bool {
        let [forward, backward] = &mut self.sides;
        let side = match direction {
            Direction::ToResponder => forward,
            Direction::ToOriginator => backward,
        };
        if segment.flags.fin && !segment.flags.rst {
            side.fin = true;
            self.end.get_or_insert((direction, segment.frame));
        }
        if segment.flags.syn && side.initial.is_none() {
            side.initial = Some(segment.sequence);
        }
        if segment.flags.rst {
            let distance = |highest| segment.sequence.wrapping_sub(highest).cast_signed().unsigned_abs();
            if side.highest.is_none_or(|highest| distance(highest) <= WINDOW) {
                self.reset = true;
                self.end.get_or_insert((direction, segment.frame));
            }
            return false;
        }
        let end = segment.end();
        match side.highest {
            Some(highest) if end.wrapping_sub(highest).cast_signed() <= 0 => segment.len() > 1,
            _ => {
                side.highest = Some(end);
                false
            }
        }
    }
}

fn side(sides: &[Side; 2], direction: Direction) -> &Side {
    let [forward, backward] = sides;
    match direction {
        Direction::ToResponder => forward,
        Direction::ToOriginator => backward,
    }
}

/// The stream offset of a payload, cut where it begins before the stream.
fn place<'a>(stream: &Stream, sequence: u32, payload: &'a [u8]) -> Option<(u64, &'a [u8])> {
    match stream.offset(sequence) {
        Some(offset) => Some((offset, payload)),
        None => {
            let before = stream.base?.wrapping_sub(sequence);
            Some((0, payload.get(usize::try_from(before).ok()?..)?))
        }
    }
}
