//! Recognises one packet that was captured twice.
//!
//! The `any` device, bridges, VPNs and 464XLAT show a packet once on each interface that it crosses. A packet counts
//! as a duplicate when the same flow had one with the same content on *another* interface shortly before; the same
//! content on the same interface is a retransmission. A VPN's packets show in the plain on its own interface and inside
//! the tunnel on the one beneath: where the tunnel can be read, the second sighting joins the plain flow.

use crate::decode::{Packet, Segment};
use crate::source::InterfaceIndex;
use crate::time::Tick;

/// Packets of a flow that are remembered: more than cross a device between the two sightings.
const REMEMBERED: usize = 8;

/// Nanoseconds between the two sightings, at most: a device hands a packet on at once.
const WINDOW: u64 = 50_000_000;

/// A packet's content in a few words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Digest {
    interface: InterfaceIndex,
    tunnelled: bool,
    forward: bool,
    words: [u32; 3],
    len: u32,
    tick: Tick,
}

/// The last packets of a flow.
#[derive(Clone, Debug, Default)]
pub(super) struct Recent {
    digests: [Option<Digest>; REMEMBERED],
    next: usize,
    /// Whether the flow was seen on more than one interface.
    several: bool,
}

impl Recent {
    /// Whether `packet` was seen before on another interface; remembers it otherwise.
    pub(super) fn is_duplicate(&mut self, packet: &Packet<'_>, forward: bool, tick: Tick) -> bool {
        let digest = digest(packet, forward, tick);
        let last = self.next.checked_sub(1).unwrap_or(REMEMBERED.saturating_sub(1));
        let known = self.digests.get(last).copied().flatten();
        self.several |= known.is_some_and(|known| !known.same_place(&digest));
        if self.several
            && let Some(twin) =
                self.digests.iter_mut().find(|known| known.is_some_and(|known| known.is_twin(&digest)))
        {
            // A third sighting has to match a packet of its own.
            *twin = None;
            return true;
        }
        if let Some(place) = self.digests.get_mut(self.next) {
            *place = Some(digest);
        }
        self.next = self.next.saturating_add(1) % REMEMBERED;
        false
    }
}

impl Recent {
    /// Whether `packet`, of another flow so far, is one of this flow's that was seen on another interface.
    pub(super) fn has_twin(&self, packet: &Packet<'_>, forward: bool, tick: Tick) -> bool {
        let digest = digest(packet, forward, tick);
        self.digests.iter().flatten().any(|known| known.is_twin(&digest))
    }
}

impl Digest {
    fn same_place(&self, other: &Self) -> bool {
        (self.interface, self.tunnelled) == (other.interface, other.tunnelled)
    }

    fn is_twin(&self, other: &Self) -> bool {
        !self.same_place(other)
            && (self.forward, self.words, self.len) == (other.forward, other.words, other.len)
            && other.tick.0.saturating_sub(self.tick.0) <= WINDOW
    }
}

fn digest(packet: &Packet<'_>, forward: bool, tick: Tick) -> Digest {
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
    let tunnelled = packet.tunnels.context != 0;
    Digest { interface: packet.interface, tunnelled, forward, words, len, tick }
}

fn total(payload: &[u8], missing: u32) -> u32 {
    u32::try_from(payload.len()).unwrap_or(u32::MAX).saturating_add(missing)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).copied().map_or(0, u32::from_be_bytes)
}
