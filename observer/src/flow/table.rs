//! The open flows of one shard.

use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashTable;

use super::assembler::Output;
use super::duplicate::{Recent, Trail};
use super::key::FlowKey;
use super::slab::Slab;
use super::tcp::{Tcp, TcpSegment};
use super::{
    CloseReason, ClosedFlow, Counts, Data, Direction, FlowHandler, FlowInfo, FlowLimits, Gap, Interest,
};
use crate::decode::{FiveTuple, Packet, Segment, Transport};
use crate::source::{FrameNumber, RecordedOwner};
use crate::time::{Tick, Timestamp};

/// Contradicting owners that are kept for a flow.
const MAX_OWNERS: usize = 4;

/// The time-outs, as indices of the slab's lists.
#[derive(Clone, Copy)]
enum Class {
    TcpIdle,
    TcpHalfOpen,
    TcpLinger,
    UdpIdle,
    OtherIdle,
}

impl Class {
    const ALL: [Self; 5] =
        [Self::TcpIdle, Self::TcpHalfOpen, Self::TcpLinger, Self::UdpIdle, Self::OtherIdle];

    fn timeout(self, limits: &FlowLimits) -> Duration {
        match self {
            Self::TcpIdle => limits.tcp_idle,
            Self::TcpHalfOpen => limits.tcp_half_open,
            Self::TcpLinger => limits.tcp_linger,
            Self::UdpIdle => limits.udp_idle,
            Self::OtherIdle => limits.other_idle,
        }
    }
}

/// The open flows of one shard.
pub struct FlowTable<S> {
    limits: FlowLimits,
    /// Flows by their keys, which the entries hold.
    index: HashTable<Place>,
    hasher: foldhash::fast::RandomState,
    /// Boxed: a list of flows that grows copies a pointer for each, not all that is known of it.
    flows: Slab<Box<Entry<S>>, 5>,
    recent: Recent,
    held: usize,
    evicted: u64,
}

/// Where a flow is, and the hash of its key: the index grows without a look at the entries.
#[derive(Clone, Copy)]
struct Place {
    hash: u32,
    flow: u32,
}

impl Place {
    /// The hash with as many bits as the index looks at.
    fn spread(hash: u32) -> u64 {
        u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// An open flow. There may be hundreds of thousands: what few of them need is behind a pointer.
struct Entry<S> {
    info: FlowInfo,
    /// The key of the same flow within a tunnel, where the capture shows both.
    inside: Option<Box<FlowKey>>,
    last_frame: FrameNumber,
    end: Timestamp,
    counts: [Counts; 2],
    duplicates: u64,
    owners: Vec<Arc<RecordedOwner>>,
    interest: Interest,
    tcp: Option<Box<Tcp>>,
    trail: Trail,
    state: S,
}

impl<S> FlowTable<S> {
    /// An empty table.
    #[must_use]
    pub fn new(limits: FlowLimits) -> Self {
        Self {
            limits,
            index: HashTable::new(),
            hasher: foldhash::fast::RandomState::default(),
            flows: Slab::new(),
            recent: Recent::default(),
            held: 0,
            evicted: 0,
        }
    }

    /// Flows that were evicted because the table was full.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Takes a packet; `tick` must not be smaller than in the call before.
    pub fn ingest<H: FlowHandler<State = S>>(&mut self, packet: &Packet<'_>, tick: Tick, handler: &mut H) {
        let key = FlowKey::new(&packet.five_tuple, &packet.tunnels);
        let segment = tcp_segment(packet);
        if self.held > 0 {
            // What flows hold whose time has come must not count, whenever somebody lets them end.
            self.advance(tick, handler);
        }
        let hash = self.hash(&key);
        let live = self.live(&key, hash, packet, segment.as_ref(), tick, handler);
        let index = match live.or_else(|| self.outside(&key, hash, packet, tick)) {
            Some(index) => index,
            None => self.open(hash, packet, segment.as_ref(), tick, handler),
        };
        let Some(entry) = self.flows.get_mut(index) else { return };
        let forward = entry.info.is_forward(packet);
        let direction = if forward { Direction::ToResponder } else { Direction::ToOriginator };
        own(&mut entry.owners, packet);
        if self.recent.is_duplicate(&mut entry.trail, packet, forward, tick) {
            entry.duplicates = entry.duplicates.saturating_add(1);
            return;
        }
        entry.count(packet, direction);
        let class = entry.take(packet, segment.as_ref(), direction, &self.limits, &mut self.held, handler);
        self.flows.touch(index, class as usize, tick);
    }

    /// Ends the flows whose time has come by `tick`.
    pub fn advance<H: FlowHandler<State = S>>(&mut self, tick: Tick, handler: &mut H) {
        for class in Class::ALL {
            let timeout = class.timeout(&self.limits);
            while let Some((index, touched)) = self.flows.first(class as usize) {
                let end = touched.after(timeout);
                if end > tick {
                    break;
                }
                self.close(index, reason_of(class), end, handler);
            }
        }
    }

    /// Ends the flows whose time will have come by `until`, all of them by the last tick: the capture is over.
    pub fn finish<H: FlowHandler<State = S>>(&mut self, until: Tick, handler: &mut H) {
        for class in Class::ALL {
            let timeout = class.timeout(&self.limits);
            while let Some((index, touched)) = self.flows.first(class as usize) {
                let end = touched.after(timeout);
                if end > until {
                    break;
                }
                let reason = match class {
                    Class::TcpLinger => CloseReason::Finished,
                    _ => CloseReason::EndOfInput,
                };
                self.close(index, reason, end, handler);
            }
        }
    }

    fn hash(&self, key: &FlowKey) -> u32 {
        let [a, b, c, d, ..] = self.hasher.hash_one(key).to_ne_bytes();
        u32::from_ne_bytes([a, b, c, d])
    }

    fn find(&self, key: &FlowKey, hash: u32) -> Option<u32> {
        let is_it = |place: &Place| {
            place.hash == hash && self.flows.get(place.flow).is_some_and(|flow| flow.has(key))
        };
        self.index.find(Place::spread(hash), is_it).map(|place| place.flow)
    }

    fn add(&mut self, hash: u32, flow: u32) {
        let spread = |place: &Place| Place::spread(place.hash);
        self.index.insert_unique(Place::spread(hash), Place { hash, flow }, spread);
    }

    fn forget(&mut self, hash: u32, flow: u32) {
        if let Ok(place) = self.index.find_entry(Place::spread(hash), |place| place.flow == flow) {
            place.remove();
        }
    }

    /// The open flow of a packet. Ends one whose time has come or whose five-tuple is being reused.
    fn live<H: FlowHandler<State = S>>(
        &mut self,
        key: &FlowKey,
        hash: u32,
        packet: &Packet<'_>,
        segment: Option<&TcpSegment<'_>>,
        tick: Tick,
        handler: &mut H,
    ) -> Option<u32> {
        let index = self.find(key, hash)?;
        let (list, touched) = self.flows.place(index)?;
        let class = Class::ALL.get(list).copied().unwrap_or(Class::OtherIdle);
        let end = touched.after(class.timeout(&self.limits));
        if end <= tick {
            self.close(index, reason_of(class), end, handler);
            return None;
        }
        let entry = self.flows.get_mut(index)?;
        let forward = entry.info.is_forward(packet);
        let direction = if forward { Direction::ToResponder } else { Direction::ToOriginator };
        let reused = matches!((&entry.tcp, segment), (Some(tcp), Some(segment)) if tcp.is_reused_by(direction, segment));
        if reused {
            self.close(index, CloseReason::Reused, tick, handler);
            return None;
        }
        Some(index)
    }

    /// The plain flow that a tunnelled packet repeats; from now on the tunnelled ones belong to it.
    fn outside(&mut self, key: &FlowKey, hash: u32, packet: &Packet<'_>, tick: Tick) -> Option<u32> {
        let outside = key.outside()?;
        let index = self.find(&outside, self.hash(&outside))?;
        let entry = self.flows.get_mut(index)?;
        let forward = entry.info.is_forward(packet);
        if entry.inside.is_some() || !self.recent.has_twin(&entry.trail, packet, forward, tick) {
            return None;
        }
        entry.inside = Some(Box::new(*key));
        self.add(hash, index);
        Some(index)
    }

    fn open<H: FlowHandler<State = S>>(
        &mut self,
        hash: u32,
        packet: &Packet<'_>,
        segment: Option<&TcpSegment<'_>>,
        tick: Tick,
        handler: &mut H,
    ) -> u32 {
        if self.flows.len() >= self.limits.flows_per_shard {
            self.advance(tick, handler);
            self.evict(tick, handler);
        }
        let opening = |five_tuple: &FiveTuple, datagram: &[u8]| handler.opening(five_tuple, datagram);
        let info = FlowInfo::of(packet, segment.map(|segment| segment.flags), opening);
        let state = handler.opened(&info);
        let tcp = segment.map(|_| Box::new(Tcp::new()));
        let class = match packet.five_tuple.transport {
            Transport::Tcp => Class::TcpIdle,
            Transport::Udp => Class::UdpIdle,
            Transport::Icmp | Transport::IcmpEcho | Transport::Other(_) => Class::OtherIdle,
        };
        let entry = Entry {
            info,
            inside: None,
            last_frame: packet.frame,
            end: packet.timestamp,
            counts: [Counts::default(); 2],
            duplicates: 0,
            owners: Vec::new(),
            interest: Interest::More,
            tcp,
            trail: Trail::default(),
            state,
        };
        let index = self.flows.insert(Box::new(entry), class as usize, tick);
        self.add(hash, index);
        index
    }

    /// Makes room: ends the least recently used flow.
    fn evict<H: FlowHandler<State = S>>(&mut self, tick: Tick, handler: &mut H) {
        if self.flows.len() < self.limits.flows_per_shard {
            return;
        }
        let oldest = Class::ALL
            .into_iter()
            .filter_map(|class| self.flows.first(class as usize))
            .min_by_key(|&(index, touched)| (touched, self.flows.first_frame(index)));
        if let Some((index, _)) = oldest {
            self.evicted = self.evicted.saturating_add(1);
            self.close(index, CloseReason::Evicted, tick, handler);
        }
    }

    fn close<H: FlowHandler<State = S>>(
        &mut self,
        index: u32,
        reason: CloseReason,
        at: Tick,
        handler: &mut H,
    ) {
        let Some(entry) = self.flows.remove(index) else { return };
        self.forget(self.hash(&entry.key()), index);
        if let Some(inside) = &entry.inside {
            self.forget(self.hash(inside), index);
        }
        let Entry { info, last_frame, end, counts, duplicates, owners, mut interest, tcp, mut state, .. } =
            *entry;
        let tcp = tcp.map(|mut tcp| {
            tcp.flush(last_frame, end, &mut self.held, &mut |direction, output| {
                deliver(&info, &mut interest, &mut state, handler, direction, output);
            });
            tcp.summary()
        });
        let flow =
            ClosedFlow { info, last_frame, end, closed_at: at, reason, counts, tcp, duplicates, owners };
        handler.closed(flow, state);
    }
}

impl<S> Slab<Box<Entry<S>>, 5> {
    /// Breaks ties between flows that were touched at the same tick.
    fn first_frame(&self, index: u32) -> u64 {
        self.get(index).map_or(0, |entry| entry.last_frame)
    }
}

impl<S> Entry<S> {
    fn key(&self) -> FlowKey {
        FlowKey::new(&self.info.five_tuple, &self.info.tunnels)
    }

    /// Whether packets with this key belong to it.
    fn has(&self, key: &FlowKey) -> bool {
        self.key() == *key || self.inside.as_deref() == Some(key)
    }

    fn count(&mut self, packet: &Packet<'_>, direction: Direction) {
        self.last_frame = packet.frame;
        self.end = packet.timestamp;
        self.info.carries = self.info.carries.or(packet.carries);
        if let Some(counts) = self.counts.get_mut(direction.index()) {
            counts.packets = counts.packets.saturating_add(1);
            counts.bytes = counts.bytes.saturating_add(u64::from(packet.wire_len));
            if packet.carries.is_none() {
                counts.payload = counts.payload.saturating_add(packet.segment.payload_len());
            }
        }
    }

    /// Hands the packet's bytes to the handler, in order; says which time-out holds from now on.
    fn take<H: FlowHandler<State = S>>(
        &mut self,
        packet: &Packet<'_>,
        segment: Option<&TcpSegment<'_>>,
        direction: Direction,
        limits: &FlowLimits,
        held: &mut usize,
        handler: &mut H,
    ) -> Class {
        let Self { info, interest, tcp, state, .. } = self;
        if let (Some(tcp), Some(segment)) = (tcp.as_mut(), segment) {
            tcp.ingest(direction, segment, limits, held, &mut |direction, output| {
                deliver(info, interest, state, handler, direction, output);
            });
            if *interest == Interest::Done {
                tcp.stop_reassembly(held);
            }
            return if tcp.ended() {
                Class::TcpLinger
            } else if tcp.half_open() {
                Class::TcpHalfOpen
            } else {
                Class::TcpIdle
            };
        }
        if let Segment::Udp { payload, missing } = packet.segment {
            if packet.carries.is_some() {
                return Class::UdpIdle;
            }
            let (frame, at) = (packet.frame, packet.timestamp);
            if !payload.is_empty() {
                let data = Output::Data { bytes: payload, frame, at };
                deliver(info, interest, state, handler, direction, data);
            }
            if missing > 0 {
                let gap = Output::Gap { len: u64::from(missing), frame, at };
                deliver(info, interest, state, handler, direction, gap);
            }
            return Class::UdpIdle;
        }
        Class::OtherIdle
    }
}

fn reason_of(class: Class) -> CloseReason {
    match class {
        Class::TcpLinger => CloseReason::Finished,
        _ => CloseReason::Idle,
    }
}

fn deliver<H: FlowHandler>(
    info: &FlowInfo,
    interest: &mut Interest,
    state: &mut H::State,
    handler: &mut H,
    direction: Direction,
    output: Output<'_>,
) {
    if *interest == Interest::Done {
        return;
    }
    *interest = match output {
        Output::Data { bytes, frame, at } => handler.data(info, state, Data { direction, bytes, frame, at }),
        Output::Gap { len, frame, at } => handler.gap(info, state, Gap { direction, len, frame, at }),
    };
}

/// Keeps the owner that a packet states, and those that contradict it.
fn own(owners: &mut Vec<Arc<RecordedOwner>>, packet: &Packet<'_>) {
    let Some(owner) = &packet.owner else { return };
    let known = |other: &Arc<_>| Arc::ptr_eq(other, owner) || **other == **owner;
    if owners.len() < MAX_OWNERS && !owners.iter().any(known) {
        owners.push(Arc::clone(owner));
    }
}

fn tcp_segment<'a>(packet: &Packet<'a>) -> Option<TcpSegment<'a>> {
    match packet.segment {
        Segment::Tcp { sequence, acknowledgement, flags, payload, missing } => Some(TcpSegment {
            sequence,
            acknowledgement,
            flags,
            payload,
            missing,
            frame: packet.frame,
            at: packet.timestamp,
        }),
        Segment::Udp { .. } | Segment::Other => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;
    use crate::decode::{Endpoint, TcpFlags, TunnelPath};
    use crate::flow::{Opening, Origin, TcpState};

    const CLIENT: Endpoint = Endpoint { ip: IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)), port: 40000 };
    const SERVER: Endpoint = Endpoint { ip: IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2)), port: 443 };
    const SECOND: u64 = 1_000_000_000;

    /// Writes down what it is told; wants no more after `enough` bytes.
    struct Recorder {
        enough: usize,
        closed: Vec<(ClosedFlow, Vec<String>)>,
    }

    impl Default for Recorder {
        fn default() -> Self {
            Self { enough: usize::MAX, closed: Vec::new() }
        }
    }

    impl FlowHandler for Recorder {
        type State = Vec<String>;

        fn opening(&self, _five_tuple: &FiveTuple, datagram: &[u8]) -> Option<Opening> {
            match datagram {
                b"request" => Some(Opening::Request),
                b"answer" => Some(Opening::Answer),
                b"middle" => Some(Opening::Middle),
                _ => None,
            }
        }

        fn opened(&mut self, _flow: &FlowInfo) -> Vec<String> {
            Vec::new()
        }

        fn data(&mut self, _flow: &FlowInfo, state: &mut Vec<String>, data: Data<'_>) -> Interest {
            let arrow = if data.direction == Direction::ToResponder { '>' } else { '<' };
            state.push(format!("{arrow}{}@{}", String::from_utf8_lossy(data.bytes), data.frame));
            if state.len() >= self.enough { Interest::Done } else { Interest::More }
        }

        fn gap(&mut self, _flow: &FlowInfo, state: &mut Vec<String>, gap: Gap) -> Interest {
            let arrow = if gap.direction == Direction::ToResponder { '>' } else { '<' };
            state.push(format!("{arrow}gap {}@{}", gap.len, gap.frame));
            Interest::More
        }

        fn closed(&mut self, flow: ClosedFlow, state: Vec<String>) {
            self.closed.push((flow, state));
        }
    }

    /// A table with its recorder and a frame counter.
    struct Bench {
        table: FlowTable<Vec<String>>,
        recorder: Recorder,
        frame: u64,
    }

    impl Bench {
        fn new(limits: FlowLimits) -> Self {
            Self { table: FlowTable::new(limits), recorder: Recorder::default(), frame: 0 }
        }

        fn packet(&mut self, five_tuple: FiveTuple, segment: Segment<'_>, interface: u32, tick: u64) {
            self.ingest(five_tuple, segment, interface, tick, TunnelPath::default());
        }

        fn tunnelled(&mut self, five_tuple: FiveTuple, segment: Segment<'_>, interface: u32, tick: u64) {
            let mut tunnels = TunnelPath::default();
            assert!(tunnels.enter(crate::decode::Tunnel::Gre, 7_u8));
            self.ingest(five_tuple, segment, interface, tick, tunnels);
        }

        fn ingest(
            &mut self,
            five_tuple: FiveTuple,
            segment: Segment<'_>,
            interface: u32,
            tick: u64,
            tunnels: TunnelPath,
        ) {
            self.frame += 1;
            let packet = Packet {
                frame: self.frame,
                timestamp: Timestamp(i64::try_from(tick).unwrap()),
                interface,
                five_tuple,
                identification: 0,
                tunnels,
                segment,
                carries: None,
                wire_len: 100,
                owner: None,
            };
            self.table.ingest(&packet, Tick(tick), &mut self.recorder);
        }

        /// A segment of the client (`>`) or the server (`<`), e.g. `>S`, `<SA`, `>`; F and R for FIN and RST.
        fn tcp(&mut self, kind: &str, sequence: u32, acknowledgement: u32, payload: &str, tick: u64) {
            let tuple = FiveTuple { transport: Transport::Tcp, source: CLIENT, destination: SERVER };
            let tuple = if kind.starts_with('<') { tuple.reverse() } else { tuple };
            let flags = TcpFlags {
                syn: kind.contains('S'),
                fin: kind.contains('F'),
                rst: kind.contains('R'),
                ack: kind != ">S",
            };
            let segment =
                Segment::Tcp { sequence, acknowledgement, flags, payload: payload.as_bytes(), missing: 0 };
            self.packet(tuple, segment, 0, tick);
        }

        fn handshake(&mut self, client: u32, server: u32) {
            self.tcp(">S", client, 0, "", 0);
            self.tcp("<SA", server, client.wrapping_add(1), "", 0);
            self.tcp(">", client.wrapping_add(1), server.wrapping_add(1), "", 0);
        }

        fn finish(mut self) -> Vec<(ClosedFlow, Vec<String>)> {
            self.table.finish(Tick(u64::MAX), &mut self.recorder);
            assert_eq!(self.table.held, 0, "what the shard holds is given back");
            assert!(self.table.index.is_empty());
            self.recorder.closed
        }
    }

    #[test]
    fn puts_segments_in_order_across_the_wraparound() {
        let mut bench = Bench::new(FlowLimits::default());
        bench.handshake(u32::MAX - 3, 7);
        bench.tcp(">", u32::MAX - 2, 8, "abc", 1);
        bench.tcp(">", 2, 8, "fgh", 2);
        bench.tcp(">", 0, 8, "de", 3);
        bench.tcp("<", 8, 5, "xyz", 4);
        let closed = bench.finish();
        let [(flow, said)] = closed.as_slice() else { panic!("one flow") };
        assert_eq!(said, &[">abc@4", ">de@6", ">fgh@5", "<xyz@7"]);
        let tcp = flow.tcp.unwrap();
        assert_eq!((tcp.gaps, tcp.retransmissions, tcp.out_of_order), (0, 0, 1));
        assert_eq!(tcp.state, TcpState::Established);
        assert_eq!(flow.counts[0].packets, 5);
    }

    #[test]
    fn retransmissions_are_counted_and_not_handed_out() {
        let mut bench = Bench::new(FlowLimits::default());
        bench.handshake(0, 0);
        bench.tcp(">", 1, 1, "abcd", 1);
        bench.tcp(">", 1, 1, "abcd", 2);
        bench.tcp(">", 3, 1, "cdef", 3);
        let closed = bench.finish();
        assert_eq!(closed[0].1, [">abcd@4", ">ef@6"]);
        assert_eq!(closed[0].0.tcp.unwrap().retransmissions, 1);
    }

    #[test]
    fn a_lost_segment_is_a_gap_when_the_receiver_has_it_or_at_the_end() {
        let mut bench = Bench::new(FlowLimits::default());
        bench.handshake(0, 0);
        bench.tcp(">", 1, 1, "ab", 1);
        bench.tcp(">", 11, 1, "cd", 2);
        for tick in 3..20 {
            bench.tcp("<", 1, 13, "", tick);
        }
        bench.tcp(">", 13, 1, "ef", 21);
        bench.tcp(">", 99, 1, "z", 22);
        let closed = bench.finish();
        assert_eq!(closed[0].1, [">ab@4", ">gap 8@22", ">cd@5", ">ef@23", ">gap 84@24", ">z@24"]);
        assert_eq!(closed[0].0.tcp.unwrap().gaps, 2);
        assert_eq!(closed[0].0.tcp.unwrap().gap_bytes, 92);
    }

    #[test]
    fn a_segment_lost_right_after_the_handshake_is_a_gap() {
        let mut bench = Bench::new(FlowLimits::default());
        bench.handshake(0, 0);
        bench.tcp("<", 5, 1, "late", 1);
        let closed = bench.finish();
        assert_eq!(closed[0].1, ["<gap 4@4", "<late@4"]);
    }

    #[test]
    fn without_the_syn_data_tell_where_they_begin() {
        // The acknowledgement lies beyond what is sent next; a keep-alive has a byte that is none of the data.
        let mut bench = Bench::new(FlowLimits::default());
        bench.tcp(">", 1, 900, "", 0);
        bench.tcp("<", 899, 1, "k", 1);
        bench.tcp("<", 500, 1, "late", 2);
        bench.tcp("<", 504, 1, "r", 3);
        let closed = bench.finish();
        assert_eq!(closed[0].1, ["<late@3", "<r@4"]);
        // What is farther away than a window is of something else.
        let mut bench = Bench::new(FlowLimits::default());
        bench.tcp(">", 1, 2_000_000, "", 0);
        bench.tcp("<", 1000, 1, "old", 1);
        bench.tcp("<", 2_000_000, 1, "new", 2);
        assert_eq!(bench.finish()[0].1, ["<new@3"]);
    }

    #[test]
    fn reassembly_memory_is_bounded() {
        let limits = FlowLimits { reassembly_per_direction: 1000, ..FlowLimits::default() };
        let mut bench = Bench::new(limits);
        bench.handshake(0, 0);
        for number in 0..100 {
            bench.tcp(">", 10 + number * 20, 1, "0123456789", 1);
            assert!(bench.table.held <= 1000);
        }
        let gaps = bench.finish()[0].0.tcp.unwrap().gaps;
        assert_eq!(gaps, 100);
    }

    #[test]
    fn a_new_syn_is_a_new_flow_and_a_repeated_one_is_not() {
        let mut bench = Bench::new(FlowLimits::default());
        bench.handshake(100, 0);
        bench.tcp(">S", 100, 0, "", 1);
        bench.tcp(">S", 9000, 0, "", 2);
        let closed = bench.finish();
        assert_eq!(closed.len(), 2);
        assert_eq!(closed[0].0.reason, CloseReason::Reused);
        assert_eq!(closed[0].0.counts[0].packets, 3);
    }

    #[test]
    fn a_reset_of_an_older_flow_ends_nothing() {
        let mut bench = Bench::new(FlowLimits::default());
        bench.tcp(">S", 100, 0, "", 0);
        bench.tcp("<", 5, 2_000_000_000, "", 1);
        bench.tcp(">R", 2_000_000_000, 0, "", 2);
        bench.tcp(">S", 100, 0, "", 13 * SECOND);
        bench.tcp("<SA", 900, 101, "", 13 * SECOND);
        bench.tcp(">R", 101, 0, "", 14 * SECOND);
        let closed = bench.finish();
        assert_eq!(closed.len(), 1);
        assert_eq!(closed[0].0.tcp.unwrap().state, TcpState::Reset);
        assert_eq!(closed[0].0.closed_at, Tick(19 * SECOND));
    }

    #[test]
    fn the_end_is_a_function_of_the_packets_not_of_who_looks() {
        for looks in [false, true] {
            let mut bench = Bench::new(FlowLimits::default());
            bench.handshake(0, 0);
            bench.tcp(">F", 1, 1, "", SECOND);
            bench.tcp("<F", 1, 2, "", 2 * SECOND);
            if looks {
                bench.table.advance(Tick(8 * SECOND), &mut bench.recorder);
            }
            bench.tcp(">", 2, 2, "x", 9 * SECOND);
            let closed = bench.finish();
            assert_eq!(closed.len(), 2);
            assert_eq!(closed[0].0.closed_at, Tick(7 * SECOND));
            assert_eq!(closed[0].0.reason, CloseReason::Finished);
            assert_eq!(closed[0].0.tcp.unwrap().state, TcpState::Closed);
            assert_eq!(closed[1].0.tcp.unwrap().state, TcpState::Midstream);
        }
    }

    #[test]
    fn a_full_table_evicts_the_least_recently_used_flow() {
        let limits = FlowLimits { flows_per_shard: 2, ..FlowLimits::default() };
        let mut bench = Bench::new(limits);
        let udp = Segment::Udp { payload: b"?", missing: 0 };
        let tuple = |port| FiveTuple {
            transport: Transport::Udp,
            source: Endpoint { port, ..CLIENT },
            destination: SERVER,
        };
        bench.packet(tuple(1), udp, 0, 0);
        bench.packet(tuple(2), udp, 0, 1);
        bench.packet(tuple(1), udp, 0, 2);
        bench.packet(tuple(3), udp, 0, 3);
        assert_eq!(bench.table.evicted(), 1);
        assert_eq!(bench.recorder.closed[0].0.info.five_tuple.source.port, 2);
        assert_eq!(bench.recorder.closed[0].0.reason, CloseReason::Evicted);
    }

    #[test]
    fn the_same_packet_on_another_interface_counts_once() {
        let mut bench = Bench::new(FlowLimits::default());
        let tuple = FiveTuple { transport: Transport::Udp, source: CLIENT, destination: SERVER };
        let udp = Segment::Udp { payload: b"query", missing: 0 };
        bench.packet(tuple, udp, 1, 0);
        bench.packet(tuple, udp, 2, 1000);
        bench.packet(tuple, udp, 1, 2000);
        let closed = bench.finish();
        assert_eq!(closed[0].0.duplicates, 1);
        assert_eq!(closed[0].0.counts[0].packets, 2, "the third is a retransmission");
    }

    #[test]
    fn a_packet_inside_a_vpn_and_before_it_counts_once() {
        let mut bench = Bench::new(FlowLimits::default());
        let tuple = FiveTuple { transport: Transport::Udp, source: CLIENT, destination: SERVER };
        let udp = Segment::Udp { payload: b"query", missing: 0 };
        bench.packet(tuple, udp, 1, 0);
        bench.tunnelled(tuple, udp, 2, 1000);
        let answer = Segment::Udp { payload: b"answer", missing: 0 };
        bench.tunnelled(tuple.reverse(), answer, 2, 2000);
        bench.packet(tuple.reverse(), answer, 1, 3000);
        let other = Segment::Udp { payload: b"not the same", missing: 0 };
        bench.tunnelled(FiveTuple { source: Endpoint { port: 9, ..CLIENT }, ..tuple }, other, 2, 4000);
        let closed = bench.finish();
        assert_eq!(closed.len(), 2);
        assert_eq!(closed[0].0.duplicates, 2);
        assert_eq!(closed[0].1, [">query@1", "<answer@3"]);
    }

    #[test]
    fn after_done_nothing_is_held_or_handed_out() {
        let mut bench = Bench::new(FlowLimits::default());
        bench.recorder.enough = 1;
        bench.handshake(0, 0);
        bench.tcp(">", 1, 1, "ab", 1);
        bench.tcp(">", 50, 1, "zz", 2);
        assert_eq!(bench.table.held, 0);
        bench.tcp(">", 50, 1, "zz", 3);
        let closed = bench.finish();
        assert_eq!(closed[0].1, [">ab@4"]);
        assert_eq!(closed[0].0.counts[0].payload, 6);
        assert_eq!(closed[0].0.tcp.unwrap().retransmissions, 1);
    }

    #[test]
    fn flows_whose_time_has_come_hold_nothing() {
        let played = |early: bool| {
            let mut bench = Bench::new(FlowLimits { reassembly_per_shard: 300, ..FlowLimits::default() });
            let other = FiveTuple {
                transport: Transport::Tcp,
                source: Endpoint { port: 9, ..CLIENT },
                destination: SERVER,
            };
            for (sequence, payload) in [(0, &b"a"[..]), (50, &[b'b'; 100])] {
                let segment = Segment::Tcp {
                    sequence,
                    acknowledgement: 0,
                    flags: TcpFlags::default(),
                    payload,
                    missing: 0,
                };
                bench.packet(other, segment, 1, 0);
            }
            let late = 4000 * SECOND;
            if early {
                bench.table.advance(Tick(late), &mut bench.recorder);
            }
            bench.tcp(">S", 0, 0, "", late);
            bench.tcp(">", 50, 0, &"z".repeat(100), late + 1);
            bench.tcp(">", 1, 0, &"y".repeat(49), late + 2);
            let closed = bench.finish();
            closed.into_iter().map(|(flow, said)| (flow.tcp.unwrap().gaps, said)).collect::<Vec<_>>()
        };
        let gaps: Vec<_> = played(false).iter().map(|(gaps, _)| *gaps).collect();
        assert_eq!(gaps, [1, 0]);
        assert_eq!(played(false), played(true));
    }

    #[test]
    fn a_capture_that_begins_with_the_answer_knows_the_originator() {
        let mut bench = Bench::new(FlowLimits::default());
        bench.tcp("<SA", 0, 1, "", 0);
        let closed = bench.finish();
        assert_eq!(closed[0].0.info.five_tuple.source, CLIENT);
    }

    /// What is made of a first datagram between such ports: whether it is taken for the responder's, how the originator is
    /// known, and whether that is enough.
    fn begun(source: u16, destination: u16, datagram: &str) -> (bool, Origin, bool) {
        begun_towards([192, 0, 2, 7], source, destination, datagram)
    }

    fn begun_towards(ip: [u8; 4], source: u16, destination: u16, datagram: &str) -> (bool, Origin, bool) {
        let mut bench = Bench::new(FlowLimits::default());
        let source = Endpoint { port: source, ..CLIENT };
        let destination = Endpoint { ip: IpAddr::from(ip), port: destination };
        let tuple = FiveTuple { transport: Transport::Udp, source, destination };
        let payload = datagram.as_bytes();
        bench.packet(tuple, Segment::Udp { payload, missing: 0 }, 0, 0);
        let (flow, said) = bench.finish().remove(0);
        let turned = flow.info.five_tuple.source == destination;
        assert_eq!(flow.counts[usize::from(turned)].packets, 1);
        assert_eq!(said[0].starts_with('<'), turned);
        assert!(!flow.info.midstream, "datagrams are whole");
        (turned, flow.info.origin, flow.info.shows_originator())
    }

    #[test]
    fn what_first_comes_from_a_service_is_an_answer() {
        for (source, destination) in [(443, 51000), (53, 1025), (123, 40000), (51820, 52000), (3478, 45658)] {
            assert_eq!(begun(source, destination, "?"), (true, Origin::Guessed, false), "{source}");
            assert_eq!(begun(source, destination, "middle"), (true, Origin::Guessed, false), "{source}");
            assert_eq!(begun(source, destination, "request"), (false, Origin::Shown, true), "{source}");
            assert!(!begun(destination, source, "?").0);
        }
    }

    #[test]
    fn bytes_tell_where_ports_do_not() {
        assert_eq!(begun(40000, 50000, "?"), (false, Origin::Presumed, false));
        assert_eq!(begun(40000, 50000, "request"), (false, Origin::Shown, true));
        assert_eq!(begun(50000, 40000, "answer"), (true, Origin::Guessed, false));
        assert_eq!(begun(50000, 40000, "middle"), (false, Origin::Guessed, false));
        assert_eq!(begun(40000, 8765, "answer"), (false, Origin::Presumed, true), "to a service");
    }

    #[test]
    fn peers_and_discovery_are_as_they_come() {
        let peers = [(123, 123), (500, 500), (67, 68), (547, 546), (5353, 5353), (27015, 27005), (800, 2049)];
        for (source, destination) in peers {
            assert_eq!(begun(source, destination, "?"), (false, Origin::Presumed, true), "{source}");
        }
        // What was asked of everybody is answered in a flow of its own.
        for source in [137, 1900, 3702, 5353, 5355] {
            assert_eq!(begun(source, 40000, "answer"), (false, Origin::Presumed, false), "{source}");
        }
        for to_all in [[224, 0, 0, 251], [255, 255, 255, 255]] {
            assert!(!begun_towards(to_all, 443, 40000, "answer").0);
        }
    }

    proptest! {
        /// Whatever arrives, in whichever order: no panic, nothing held in the end, and every byte of a direction is
        /// handed out at most once.
        #[test]
        fn survives_any_packets(
            packets in prop::collection::vec(
                (any::<bool>(), any::<u8>(), 0_u32..40, any::<u32>(), 0_usize..12, 0_u64..90, 0_u32..2), 0..120)
        ) {
            let limits = FlowLimits { flows_per_shard: 3, reassembly_per_shard: 300, ..FlowLimits::default() };
            let mut bench = Bench::new(limits);
            let mut tick = 0;
            for (forward, bits, sequence, acknowledgement, len, delay, interface) in packets {
                tick += delay * SECOND;
                let tuple = FiveTuple {
                    transport: Transport::Tcp,
                    source: Endpoint { port: 1000 + u16::from(bits >> 6), ..CLIENT },
                    destination: SERVER,
                };
                let flags = TcpFlags {
                    syn: bits & 1 > 0, ack: bits & 2 > 0, fin: bits & 12 == 12, rst: bits & 48 == 48
                };
                let segment = Segment::Tcp {
                    sequence: sequence.wrapping_sub(20), acknowledgement, flags,
                    payload: &b"abcdefghijkl"[..len], missing: u32::from(bits & 3),
                };
                bench.packet(if forward { tuple } else { tuple.reverse() }, segment, interface, tick);
            }
            for (flow, _) in bench.finish() {
                prop_assert!(flow.info.first_frame <= flow.last_frame);
            }
        }
    }
}
