//! The first bytes of a flow's layer, kept until a protocol claims them.

use super::inner::Event;
use super::unrecognised::Sample;
use super::{Earlier, PROTOCOLS, Probe, ProbeInput, Protocol, quic, tls};
use crate::decode::Transport;
use crate::flow::{Data, Direction, FlowInfo, Gap};
use crate::source::FrameNumber;
use crate::time::Timestamp;

/// Datagrams of a flow that probes may see. QUIC and DTLS begin with their first, DNS with any.
const DATAGRAMS: u32 = 8;
/// How many times [`FlowLimits::probe_bytes`](crate::flow::FlowLimits::probe_bytes) a flow may carry before nobody
/// waits any longer for the direction that is silent or undecided.
const PATIENCE: u64 = 16;
/// The same, in bytes, where the flow's start was not captured: the next message may be behind a long body.
const MIDSTREAM_PATIENCE: u64 = 1 << 20;

/// Bytes kept of a direction in which TLS may have begun behind something else.
const HELLO_BYTES: usize = 16 << 10;
/// Where in a record of TLS the kind of the first message stands.
const HELLO_KIND: usize = 5;

/// A set of protocols: one bit for each entry of [`PROTOCOLS`], which may have as many.
pub(super) type Refuted = u128;

const _: () = assert!(PROTOCOLS.len() <= Refuted::BITS as usize);

/// The first bytes of both directions and who has declined them.
#[derive(Debug, Default)]
pub(super) struct Probing {
    heads: [Head; 2],
    /// What came before `latest`, in order; shorter than the bytes kept.
    arrivals: Vec<Arrival>,
    latest: Option<Arrival>,
    /// Who claimed the bytes before and could not read them.
    refuted: Refuted,
    datagram: bool,
    /// The datagrams that nobody has claimed.
    earlier: Vec<Earlier>,
    datagrams: u32,
    seen: u64,
    last: Option<(FrameNumber, Timestamp)>,
}

#[derive(Debug, Default)]
struct Head {
    /// At most `probe_bytes`.
    bytes: Vec<u8>,
    /// Where in `bytes` the piece begins that is probed: behind the last gap.
    start: usize,
    declined: Refuted,
    /// Who declined what came before `start`.
    declined_before: Refuted,
    /// Whether the bytes do not begin where the direction began.
    midstream: bool,
    /// Where in `bytes` the piece begins that looks like TLS's first in this direction, although the direction did not begin
    /// with it.
    hello: Option<usize>,
    /// Whether every piece is probed as a beginning: the first bytes are the middle of something that nobody claims.
    piecewise: bool,
}

/// A piece of `Head::bytes`, in order of arrival, or bytes that are not there.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    direction: Direction,
    kept: usize,
    missing: u64,
    frame: FrameNumber,
    at: Timestamp,
}

/// What comes of a piece of data.
pub(super) enum Outcome {
    Undecided,
    Claimed(&'static Protocol),
    /// Nobody claims what both directions began with, but TLS what they went on with: see [`Probing::replay_hellos`].
    Changed,
    Unclaimed,
}

impl Probing {
    /// Probes that leave out `refuted`.
    pub(super) fn after(refuted: Refuted) -> Self {
        Self { refuted, ..Self::default() }
    }

    /// Who has claimed the bytes and could not read them.
    pub(super) fn refuted(&self) -> Refuted {
        self.refuted
    }

    /// Notes that `protocol` claimed the bytes and could not read them.
    pub(super) fn refute(&mut self, protocol: &'static Protocol) {
        self.refuted |= bit_of(protocol);
    }

    /// Takes bytes and asks the probes.
    pub(super) fn data(&mut self, flow: &FlowInfo, data: Data<'_>, probe_bytes: usize) -> Outcome {
        self.seen = self.seen.saturating_add(u64::try_from(data.bytes.len()).unwrap_or(u64::MAX));
        self.datagram = is_datagram(flow);
        self.datagrams = self.datagrams.saturating_add(1);
        self.last = Some((data.frame, data.at));
        let before = self.heads.get(data.direction.index()).map_or(0, |head| head.bytes.len());
        self.keep(data, probe_bytes);
        let hello = before > 0 && self.note_hello(flow, data, before);
        match self.ask_again(flow, data, probe_bytes) {
            Outcome::Claimed(protocol) if is_tls(protocol) && self.is_answered_by(data) => Outcome::Changed,
            Outcome::Undecided | Outcome::Unclaimed if hello && self.is_answered_by(data) => Outcome::Changed,
            outcome => outcome,
        }
    }

    /// Notes whether a piece of a stream, just kept behind `before` bytes, is TLS's first in its direction.
    fn note_hello(&mut self, flow: &FlowInfo, data: Data<'_>, before: usize) -> bool {
        let [0x16, 3, _, _, _, 1 | 2, ..] = data.bytes else { return false };
        let Some(head) = self.heads.get_mut(data.direction.index()) else { return false };
        // At least the kind of message is there to compare.
        let kept = head.bytes.len().saturating_sub(before) > HELLO_KIND;
        let refuted = self.refuted & bit_of(&tls::PROTOCOL) != 0;
        if self.datagram || flow.midstream || head.midstream || refuted || !kept {
            return false;
        }
        let Data { bytes, direction, .. } = data;
        let port = flow.five_tuple.destination.port;
        let input = ProbeInput { bytes, other: &[], earlier: &[], direction, midstream: true, port };
        let begins = (tls::PROTOCOL.probe)(&input) == Probe::Match;
        if begins {
            head.hello.get_or_insert(before);
        }
        begins
    }

    /// Whether the other direction went on with TLS, in the other role.
    fn is_answered_by(&self, data: Data<'_>) -> bool {
        let other = self.heads.get(data.direction.reverse().index());
        let other = other.and_then(|head| head.bytes.get(head.hello?.saturating_add(HELLO_KIND)));
        other.is_some_and(|kind| Some(kind) != data.bytes.get(HELLO_KIND))
    }

    /// What comes before TLS in both directions, where [`Outcome::Changed`] says so, and where the last of it was.
    pub(super) fn before_hellos(&self) -> (Sample<'_>, FrameNumber, Timestamp) {
        let [to_responder, to_originator] = &self.heads;
        let parts = [to_responder, to_originator]
            .map(|head| head.bytes.get(..head.hello.unwrap_or(0)).unwrap_or_default());
        let mut left = parts.map(<[u8]>::len);
        let (mut frame, mut at) = (0, Timestamp::default());
        for arrival in &self.arrivals {
            if let Some(left) = left.get_mut(arrival.direction.index()).filter(|left| **left > 0) {
                *left = left.saturating_sub(arrival.kept);
                (frame, at) = (arrival.frame, arrival.at);
            }
        }
        (Sample { parts }, frame, at)
    }

    /// What came from there on, before the piece that was taken last.
    pub(super) fn replay_hellos(&self) -> impl Iterator<Item = Event<'_>> {
        let mut cursors = [0_usize; 2];
        self.arrivals.iter().flat_map(move |arrival| {
            let Arrival { direction, kept, missing, frame, at } = *arrival;
            let (mut bytes, mut begun) = (&[][..], false);
            if let (Some(cursor), Some(head)) =
                (cursors.get_mut(direction.index()), self.heads.get(direction.index()))
            {
                let begin = std::mem::replace(cursor, cursor.saturating_add(kept));
                begun = begin >= head.hello.unwrap_or(0);
                bytes = head.bytes.get(begin..*cursor).unwrap_or_default();
            }
            let data =
                (begun && !bytes.is_empty()).then_some(Event::Data(Data { direction, bytes, frame, at }));
            let gap =
                (begun && missing > 0).then_some(Event::Gap(Gap { direction, len: missing, frame, at }));
            data.into_iter().chain(gap)
        })
    }

    /// Asks the probes that are left of `data`, which was taken before.
    pub(super) fn ask_again(&mut self, flow: &FlowInfo, data: Data<'_>, probe_bytes: usize) -> Outcome {
        if let Some(protocol) = self.ask(flow, data, probe_bytes) {
            return Outcome::Claimed(protocol);
        }
        if self.datagram {
            self.earlier.push(Earlier::of(data));
        }
        let enough = if is_datagram(flow) {
            self.datagrams >= DATAGRAMS
        } else if flow.midstream || self.heads.iter().any(|head| head.midstream) {
            self.seen >= MIDSTREAM_PATIENCE
        } else {
            let patience = PATIENCE.saturating_mul(u64::try_from(probe_bytes).unwrap_or(u64::MAX));
            self.seen >= patience || self.heads.iter().all(|head| head.bytes.len() >= probe_bytes)
        };
        if enough { Outcome::Unclaimed } else { Outcome::Undecided }
    }

    /// Takes note of missing bytes: what follows them is probed as the middle of something.
    pub(super) fn gap(&mut self, gap: Gap) {
        self.last = Some((gap.frame, gap.at));
        if let Some(head) = self.heads.get_mut(gap.direction.index()) {
            head.start = head.bytes.len();
            head.declined_before |= std::mem::take(&mut head.declined);
            head.midstream = true;
            head.piecewise = false;
        }
        self.arrive(gap.direction, 0, gap.len, gap.frame, gap.at);
    }

    /// The bytes and gaps before the piece that was taken last, in order of arrival. What `protocol` has declined is a
    /// gap to it; datagrams that it has declined are not mentioned.
    pub(super) fn replay(&self, protocol: &'static Protocol) -> impl Iterator<Item = Event<'_>> {
        let bit = bit_of(protocol);
        let mut cursors = [0_usize; 2];
        let arrivals = if self.datagram { &[][..] } else { self.arrivals.as_slice() };
        arrivals.iter().flat_map(move |arrival| {
            let Arrival { direction, kept, mut missing, frame, at } = *arrival;
            let index = direction.index();
            let mut bytes = &[][..];
            if let (Some(cursor), Some(head)) = (cursors.get_mut(index), self.heads.get(index)) {
                let end = cursor.saturating_add(kept);
                let declined = if *cursor < head.start { head.declined_before } else { head.declined };
                if head.piecewise || declined & bit != 0 {
                    missing = missing.saturating_add(u64::try_from(kept).unwrap_or(u64::MAX));
                } else {
                    bytes = head.bytes.get(*cursor..end).unwrap_or_default();
                }
                *cursor = end;
            }
            let data = (!bytes.is_empty()).then_some(Event::Data(Data { direction, bytes, frame, at }));
            let gap = (missing > 0).then_some(Event::Gap(Gap { direction, len: missing, frame, at }));
            data.into_iter().chain(gap)
        })
    }

    /// What the bytes look like, and where the last of them was; `None` without bytes.
    pub(super) fn sample(&self) -> Option<(Sample<'_>, FrameNumber, Timestamp)> {
        let (frame, at) = self.last?;
        let [to_responder, to_originator] = &self.heads;
        let sample = Sample { parts: [&to_responder.bytes, &to_originator.bytes] };
        (!sample.is_empty()).then_some((sample, frame, at))
    }

    /// The first datagram of each direction that may be QUIC's with a short header.
    pub(super) fn short_headers(&self) -> Vec<Earlier> {
        let first = |direction| self.earlier.iter().find(|earlier| earlier.direction == direction);
        let both = [Direction::ToResponder, Direction::ToOriginator].map(first);
        both.into_iter().flatten().filter(|earlier| quic::may_be_short(&earlier.start)).copied().collect()
    }

    fn keep(&mut self, data: Data<'_>, probe_bytes: usize) {
        let Some(head) = self.heads.get_mut(data.direction.index()) else { return };
        // TLS behind a greeting is read from here; the hello alone is longer with keys of ML-KEM.
        let is_behind = !head.bytes.is_empty();
        let hello = is_behind && matches!(data.bytes, [0x16, 3, _, _, _, 1 | 2, ..]) || head.hello.is_some();
        let limit = if hello { HELLO_BYTES.max(probe_bytes) } else { probe_bytes };
        let room = limit.saturating_sub(head.bytes.len());
        let kept = data.bytes.get(..room).unwrap_or(data.bytes);
        let missing = u64::try_from(data.bytes.len().saturating_sub(kept.len())).unwrap_or(u64::MAX);
        head.bytes.extend_from_slice(kept);
        self.arrive(data.direction, kept.len(), missing, data.frame, data.at);
    }

    /// What comes without bytes to keep joins what is missing behind its predecessor, so that the list stays short.
    fn arrive(&mut self, direction: Direction, kept: usize, missing: u64, frame: FrameNumber, at: Timestamp) {
        let Some(previous) = self.latest.replace(Arrival { direction, kept, missing, frame, at }) else {
            return;
        };
        match self.arrivals.iter_mut().rev().find(|arrival| arrival.direction == previous.direction) {
            Some(last) if previous.kept == 0 && last.missing > 0 => {
                last.missing = last.missing.saturating_add(previous.missing);
            }
            _ => self.arrivals.push(previous),
        }
    }

    fn ask(&mut self, flow: &FlowInfo, data: Data<'_>, probe_bytes: usize) -> Option<&'static Protocol> {
        let datagram = is_datagram(flow);
        let Data { direction, .. } = data;
        let [to_responder, to_originator] = &mut self.heads;
        let (head, other) = match direction {
            Direction::ToResponder => (to_responder, to_originator),
            Direction::ToOriginator => (to_originator, to_responder),
        };
        let other = if datagram { &[] } else { other.bytes.get(other.start..).unwrap_or_default() };
        let bytes = if datagram {
            data.bytes
        } else if head.piecewise {
            data.bytes.get(..probe_bytes).unwrap_or(data.bytes)
        } else {
            head.bytes.get(head.start..).unwrap_or_default()
        };
        if bytes.is_empty() {
            return None;
        }
        let whole = datagram || head.piecewise;
        let mut undecided = false;
        let input = ProbeInput {
            bytes,
            other,
            earlier: &self.earlier,
            direction,
            midstream: flow.midstream || head.midstream,
            port: flow.five_tuple.destination.port,
        };
        for protocol in PROTOCOLS.iter().filter(|one| one.transports.contains(&flow.five_tuple.transport)) {
            let bit = bit_of(protocol);
            if self.refuted & bit != 0 || (!whole && head.declined & bit != 0) {
                continue;
            }
            match (protocol.probe)(&input) {
                Probe::Match => return Some(protocol),
                // With a full buffer there is nothing to wait for.
                Probe::NeedMore if !whole && head.bytes.len() < probe_bytes => undecided = true,
                Probe::NeedMore | Probe::NoMatch => head.declined |= bit,
            }
        }
        if undecided || whole || !input.midstream {
            return None;
        }
        head.piecewise = true;
        // The last piece was a part of what was declined: it has not been asked about as a beginning.
        if data.bytes.len() < bytes.len() { self.ask(flow, data, probe_bytes) } else { None }
    }
}

fn is_datagram(flow: &FlowInfo) -> bool {
    flow.five_tuple.transport == Transport::Udp
}

fn is_tls(protocol: &'static Protocol) -> bool {
    std::ptr::eq(protocol, &raw const tls::PROTOCOL)
}

fn bit_of(protocol: &'static Protocol) -> Refuted {
    let index = PROTOCOLS.iter().position(|one| std::ptr::eq(*one, protocol));
    index
        .and_then(|index| u32::try_from(index).ok())
        .map_or(0, |index| 1_u128.checked_shl(index).unwrap_or(0))
}
