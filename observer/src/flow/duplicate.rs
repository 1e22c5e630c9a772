//! Recognises one packet that was captured twice.
//!
//! The `any` device, bridges, VPNs and 464XLAT show a packet once on each interface that it crosses. A packet counts
//! as a duplicate when the same flow had one with the same content on *another* interface shortly before; the same
//! content on the same interface is a retransmission. A VPN's packets show in the plain on its own interface and inside
//! the tunnel on the one beneath: where the tunnel can be read, the second sighting joins the plain flow.

use std::collections::VecDeque;
use std::num::NonZeroU64;

use crate::decode::{Packet, Segment};
use crate::source::InterfaceIndex;
use crate::time::Tick;

/// Packets of a flow that are looked at: more than cross a device between the two sightings.
const REMEMBERED: usize = 8;

/// Packets of a shard that are remembered: more than it sees in [`WINDOW`] but for captures whose clock stands still.
const RING: usize = 4096;

/// Nanoseconds between the two sightings, at most: a device hands a packet on at once.
const WINDOW: u64 = 50_000_000;

/// Where a packet was seen: its interface, and whether inside a tunnel.
type Place = (InterfaceIndex, bool);

/// A packet's content in a few words.
#[derive(Clone, Copy, Debug)]
struct Digest {
    tick: Tick,
    /// The number of the flow's packet before it.
    previous: Option<NonZeroU64>,
    words: [u32; 3],
    len: u32,
    place: Place,
    forward: bool,
    /// A second sighting was matched with it.
    matched: bool,
}

/// The last packets of a shard, of all its flows: each flow keeps only the number of its last one.
#[derive(Clone, Debug, Default)]
pub(super) struct Recent {
    digests: VecDeque<Digest>,
    /// How many have been dropped at the front.
    dropped: u64,
}

/// A flow's way into [`Recent`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trail {
    /// Its last packet, counted from 1.
    last: Option<NonZeroU64>,
    /// Where that was seen.
    place: Place,
    /// Whether the flow was seen in more than one place.
    several: bool,
}

impl Recent {
    /// Whether `packet` was seen before on another interface; remembers it otherwise.
    pub(super) fn is_duplicate(
        &mut self,
        trail: &mut Trail,
        packet: &Packet<'_>,
        forward: bool,
        tick: Tick,
    ) -> bool {
        let digest = Digest::of(packet, forward, tick, trail.last);
        trail.several |= trail.last.is_some() && trail.place != digest.place;
        if trail.several
            && let Some(number) = self.twin(trail, &digest)
        {
            // A third sighting has to match a packet of its own.
            if let Some(twin) = self.index(number).and_then(|index| self.digests.get_mut(index)) {
                twin.matched = true;
            }
            return true;
        }
        let over = |old: &Digest| tick.0.saturating_sub(old.tick.0) > WINDOW;
        while self.digests.len() >= RING || self.digests.front().is_some_and(over) {
            self.digests.pop_front();
            self.dropped = self.dropped.saturating_add(1);
        }
        self.digests.push_back(digest);
        let number = u64::try_from(self.digests.len()).unwrap_or(u64::MAX).saturating_add(self.dropped);
        (trail.last, trail.place) = (NonZeroU64::new(number), digest.place);
        false
    }

    /// Whether `packet`, of another flow so far, is one of this flow's that was seen on another interface.
    pub(super) fn has_twin(&self, trail: &Trail, packet: &Packet<'_>, forward: bool, tick: Tick) -> bool {
        self.twin(trail, &Digest::of(packet, forward, tick, None)).is_some()
    }

    /// The number of the flow's packet that `digest` repeats.
    fn twin(&self, trail: &Trail, digest: &Digest) -> Option<NonZeroU64> {
        let mut next = trail.last;
        for _ in 0..REMEMBERED {
            let number = next?;
            let known = self.digests.get(self.index(number)?)?;
            if known.is_twin(digest) {
                return Some(number);
            }
            next = known.previous;
        }
        None
    }

    /// Where packet `number` is; `None` where it has been dropped.
    fn index(&self, number: NonZeroU64) -> Option<usize> {
        usize::try_from(number.get().checked_sub(self.dropped)?.checked_sub(1)?).ok()
    }
}

impl Digest {
    fn of(packet: &Packet<'_>, forward: bool, tick: Tick, previous: Option<NonZeroU64>) -> Self {
        let (words, len) = match packet.segment {
            Segment::Tcp { sequence, acknowledgement, flags, payload, missing } => {
                let flags = [flags.fin, flags.syn, flags.rst, flags.ack];
                let bits = flags.into_iter().fold(0, |bits, flag| bits << 1 | u32::from(flag));
                ([sequence, acknowledgement, bits], total(payload, missing))
            }
            Segment::Udp { payload, missing } => {
                let start = word(payload, 0);
                let end = word(payload, payload.len().saturating_sub(4));
                ([start, end, word(payload, 16)], total(payload, missing))
            }
            Segment::Other => ([packet.identification, 0, 0], packet.wire_len),
        };
        let place = (packet.interface, packet.tunnels.context != 0);
        Self { tick, previous, words, len, place, forward, matched: false }
    }

    fn is_twin(&self, other: &Self) -> bool {
        !self.matched
            && self.place != other.place
            && (self.forward, self.words, self.len) == (other.forward, other.words, other.len)
            && other.tick.0.saturating_sub(self.tick.0) <= WINDOW
    }
}

fn total(payload: &[u8], missing: u32) -> u32 {
    u32::try_from(payload.len()).unwrap_or(u32::MAX).saturating_add(missing)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).copied().map_or(0, u32::from_be_bytes)
}
