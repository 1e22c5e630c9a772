//! Who talks to whom, in order: flows, their bounds and their bytes.
//!
//! A [`FlowTable`] holds the open flows of one shard, puts TCP segments in order and tells a [`FlowHandler`] what
//! happens. It reads no payload and no clock: time comes with packets, as [`Tick`]s that never run backwards.
//! When a flow ends is a function of its own packets and [`FlowLimits`], not of when somebody looked.

pub mod assembler;
mod clock;
mod datagrams;
mod duplicate;
pub mod key;
mod limits;
mod slab;
mod table;
mod tcp;

use std::sync::Arc;

use crate::decode::{FiveTuple, Packet, Segment, TcpFlags, Tunnel, TunnelPath};
use crate::source::{FrameNumber, RecordedOwner};
use crate::time::{Tick, Timestamp};

pub use self::clock::Clock;
pub use self::limits::FlowLimits;
pub use self::table::FlowTable;

/// Which way bytes go within a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// From the originator, who sent the first SYN or the first datagram, unless that is an answer.
    ToResponder,
    /// From the responder.
    ToOriginator,
}

impl Direction {
    /// The other way.
    #[must_use]
    pub fn reverse(self) -> Self {
        match self {
            Self::ToResponder => Self::ToOriginator,
            Self::ToOriginator => Self::ToResponder,
        }
    }

    /// 0 to the responder, 1 to the originator: for pairs of states.
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::ToResponder => 0,
            Self::ToOriginator => 1,
        }
    }
}

/// What is known of a flow from its first packet on.
#[derive(Clone, Debug)]
pub struct FlowInfo {
    /// From the originator to the responder.
    pub five_tuple: FiveTuple,
    /// What it is wrapped in.
    pub tunnels: TunnelPath,
    /// The tunnel that it carries: what goes through it is in flows of its own, and so are its bytes.
    pub carries: Option<Tunnel>,
    /// Its first frame.
    pub first_frame: FrameNumber,
    /// When that was captured.
    pub start: Timestamp,
    /// Whether the capture began after the flow's streams: their bytes are the middle of something.
    pub midstream: bool,
    /// What makes the originator one.
    pub origin: Origin,
}

/// How it is known who began a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// By a SYN, or by a request in the first datagram.
    Shown,
    /// The first datagram is the originator's, and nothing speaks against that.
    Presumed,
    /// It is a guess from the ports, unless bytes tell: the capture began after the flow.
    Guessed,
}

impl FlowInfo {
    /// What the first packet of a flow says. Without a SYN the lower port below 1024 is taken for the responder's.
    /// Datagrams have no SYN: where ports do not look like a client's first, `opening` is asked what the bytes say.
    fn of(
        packet: &Packet<'_>,
        flags: Option<TcpFlags>,
        opening: impl FnOnce(&FiveTuple, &[u8]) -> Option<Opening>,
    ) -> Self {
        let five_tuple = packet.five_tuple;
        let (source, destination) = (five_tuple.source.port, five_tuple.destination.port);
        let (origin, reversed) = match (flags, packet.segment) {
            (Some(flags), _) if flags.syn => (Origin::Shown, flags.ack),
            (Some(_), _) => (Origin::Guessed, source < 1024 && source < destination),
            (None, Segment::Udp { payload, .. }) if packet.carries.is_none() => {
                let answers = datagrams::looks_like_an_answer(&five_tuple);
                let doubtful = datagrams::may_be_an_answer(&five_tuple);
                match doubtful.then(|| opening(&five_tuple, payload)).flatten() {
                    Some(Opening::Request) => (Origin::Shown, false),
                    Some(Opening::Answer) => (Origin::Guessed, true),
                    Some(Opening::Middle) => (Origin::Guessed, answers),
                    None if answers => (Origin::Guessed, true),
                    None => (Origin::Presumed, false),
                }
            }
            (None, _) => (Origin::Presumed, false),
        };
        Self {
            five_tuple: if reversed { five_tuple.reverse() } else { five_tuple },
            tunnels: packet.tunnels,
            carries: packet.carries,
            first_frame: packet.frame,
            start: packet.timestamp,
            midstream: flags.is_some() && origin == Origin::Guessed,
            origin,
        }
    }

    /// Whether the capture shows that the originator began the flow; of datagrams, at least that they go to a port which
    /// clients are not given.
    #[must_use]
    pub fn shows_originator(&self) -> bool {
        match self.origin {
            Origin::Shown => true,
            Origin::Presumed => !datagrams::is_ephemeral(self.five_tuple.destination.port),
            Origin::Guessed => false,
        }
    }

    /// Whether a packet of this flow goes from the originator to the responder.
    fn is_forward(&self, packet: &Packet<'_>) -> bool {
        let (ours, its) = (&self.five_tuple, &packet.five_tuple);
        if ours.source.port == ours.destination.port {
            return ours.source.ip == its.source.ip;
        }
        // Through 464XLAT the addresses of one flow differ from packet to packet, the ports do not.
        ours.source.port == its.source.port
    }
}

/// What the first datagram of a flow says of how it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// It begins the flow: who sent it is the originator.
    Request,
    /// It answers what the capture does not hold: who sent it is the responder.
    Answer,
    /// It is of an exchange that began before; who began it is not said.
    Middle,
}

/// Bytes of a flow in order: a piece of a TCP stream, or one datagram.
#[derive(Clone, Copy, Debug)]
pub struct Data<'a> {
    /// Which way they go.
    pub direction: Direction,
    /// The bytes; never empty.
    pub bytes: &'a [u8],
    /// The frame that brought them.
    pub frame: FrameNumber,
    /// When that was captured.
    pub at: Timestamp,
}

/// Bytes of a TCP stream, or of a datagram, that the capture does not hold.
#[derive(Clone, Copy, Debug)]
pub struct Gap {
    /// Which way they went.
    pub direction: Direction,
    /// How many; at least 1.
    pub len: u64,
    /// The frame that showed that they are missing.
    pub frame: FrameNumber,
    /// When that was captured.
    pub at: Timestamp,
}

/// Whether a handler wants more of a flow's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Go on.
    More,
    /// From now on count only: no reassembly, no copy.
    Done,
}

/// Who is told what happens in flows.
pub trait FlowHandler {
    /// What the handler keeps for each open flow.
    type State;

    /// What the first datagram of a flow says of who began it. It goes as the five-tuple says, and is asked about only
    /// where its ports leave doubt.
    fn opening(&self, _five_tuple: &FiveTuple, _datagram: &[u8]) -> Option<Opening> {
        None
    }
    /// A flow begins.
    fn opened(&mut self, flow: &FlowInfo) -> Self::State;
    /// Bytes arrived in order.
    fn data(&mut self, flow: &FlowInfo, state: &mut Self::State, data: Data<'_>) -> Interest;
    /// Bytes are missing.
    fn gap(&mut self, flow: &FlowInfo, state: &mut Self::State, gap: Gap) -> Interest;
    /// The flow ended.
    fn closed(&mut self, flow: ClosedFlow, state: Self::State);
}

/// Packets and bytes of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets.
    pub packets: u64,
    /// Bytes on the link, headers included.
    pub bytes: u64,
    /// Bytes of transport payload, retransmissions included.
    pub payload: u64,
}

/// Where a TCP flow stood when it ended or was last seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpState {
    /// Both sides sent a FIN.
    Closed,
    /// Handshake complete, end not seen.
    Established,
    /// The handshake was not completed.
    HalfOpen,
    /// The capture began after the flow.
    Midstream,
    /// A side sent a RST.
    Reset,
}

/// What reassembly saw of a TCP flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpSummary {
    /// How far it came.
    pub state: TcpState,
    /// Holes in the streams, both directions.
    pub gaps: u64,
    /// Bytes in those holes.
    pub gap_bytes: u64,
    /// Segments that repeat bytes already seen.
    pub retransmissions: u64,
    /// Segments that came before their predecessor.
    pub out_of_order: u64,
    /// Segments that overlap others with different bytes: the first bytes win.
    pub conflicts: u64,
    /// Which way the first FIN or RST went.
    pub ended_by: Option<Direction>,
    /// The frame of that.
    pub ended_in: Option<FrameNumber>,
}

/// Why a flow ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// FIN from both sides, or RST.
    Finished,
    /// Nothing came for as long as [`FlowLimits`] says.
    Idle,
    /// A new flow took its five-tuple.
    Reused,
    /// The table was full and it was the least recently used.
    Evicted,
    /// The capture ended.
    EndOfInput,
}

/// A flow that has ended, as the flow table saw it.
#[derive(Clone, Debug)]
pub struct ClosedFlow {
    /// What was known from the start.
    pub info: FlowInfo,
    /// Its last frame.
    pub last_frame: FrameNumber,
    /// When that was captured.
    pub end: Timestamp,
    /// When it counts as ended: the order of the outputs.
    pub closed_at: Tick,
    /// Why.
    pub reason: CloseReason,
    /// Originator's packets and bytes, then the responder's: see [`Direction::index`].
    pub counts: [Counts; 2],
    /// Of TCP flows.
    pub tcp: Option<TcpSummary>,
    /// Packets that came a second time over another interface; not in `counts`.
    pub duplicates: u64,
    /// Whose it is as the capture states it: the first that knows, then those that contradict, at most 4.
    pub owners: Vec<Arc<RecordedOwner>>,
}

impl ClosedFlow {
    /// Whether all that it carried is packets within a tunnel, which are in flows of their own.
    #[must_use]
    pub fn is_carrier(&self) -> bool {
        self.info.carries.is_some() && self.counts.iter().all(|counts| counts.payload == 0)
    }

    /// Exchanges originator and responder: for flows whose start was not captured, once their bytes tell who is who.
    pub fn turn_round(&mut self) {
        self.info.five_tuple = self.info.five_tuple.reverse();
        self.counts.reverse();
        if let Some(summary) = &mut self.tcp {
            summary.ended_by = summary.ended_by.map(Direction::reverse);
        }
    }
}
