//! From the kernel's events to sightings: addresses, time on the wall, and the process that becomes known later.

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use observer_ebpf_common::{
    Event, FAMILY_IPV4, FLAG_CGROUP, FLAG_MONOTONIC, FLAG_UID, FlowKey, Kind, Process, UID_INVALID,
};
use rustix::time::{ClockId, clock_gettime};

use crate::attribution::{Confidence, Method, Sighting, SocketOwner};
use crate::decode::{Endpoint, Transport};
use crate::time::Timestamp;

/// Flows of which the last report is remembered, twice: a generation is forgotten when the next is full.
const GENERATION: usize = 32 << 10;

/// What the machine's clocks say at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clocks {
    boot: i64,
    monotonic: i64,
}

impl Clocks {
    /// Reads them. Their distance changes when the clock on the wall is set, and with every suspension.
    pub(super) fn read() -> Self {
        let nanoseconds = |clock| {
            let time = clock_gettime(clock);
            Timestamp::new(time.tv_sec, time.tv_nsec).0
        };
        let wall = nanoseconds(ClockId::Realtime);
        let since = |clock| wall.saturating_sub(nanoseconds(clock));
        Self { boot: since(ClockId::Boottime), monotonic: since(ClockId::Monotonic) }
    }

    /// The time on the wall.
    fn wall(self, event: &Event) -> Timestamp {
        let offset = if event.flags & FLAG_MONOTONIC != 0 { self.monotonic } else { self.boot };
        Timestamp(i64::try_from(event.time).unwrap_or(i64::MAX).saturating_add(offset))
    }
}

/// The ends of a flow from the sender's point of view.
type Ends = (Transport, Endpoint, Endpoint);

/// The last report of a flow.
#[derive(Clone, Debug)]
struct Report {
    cookie: u64,
    first: Timestamp,
    owner: SocketOwner,
}

/// Makes sightings of events.
#[derive(Debug, Default)]
pub(super) struct Records {
    recent: HashMap<Ends, Report, foldhash::fast::RandomState>,
    older: HashMap<Ends, Report, foldhash::fast::RandomState>,
}

impl Records {
    /// What an event says, if it says anything of this network namespace.
    pub(super) fn sighting(&mut self, event: &Event, clocks: Clocks) -> Option<Sighting> {
        let at = clocks.wall(event);
        match Kind::from_number(event.kind)? {
            Kind::Egress => Some(self.egress(event, at)),
            Kind::Connected => self.connected(event),
            // The hooks see all namespaces. A process that is gone has no socket, either.
            Kind::Listening => in_our_namespace(event.process.pid).then(|| local(event, at, true)),
            Kind::Bound => in_our_namespace(event.process.pid).then(|| local(event, at, false)),
        }
    }

    /// The first packet of a socket's flow; the first one of a new owner replaces what was said before.
    fn egress(&mut self, event: &Event, at: Timestamp) -> Sighting {
        let ends = ends(&event.key);
        let mut owner = SocketOwner::new(Method::Ebpf, Confidence::Exact);
        owner.uid = (event.flags & FLAG_UID != 0 && event.uid != UID_INVALID).then_some(event.uid);
        owner.cgroup = (event.flags & FLAG_CGROUP != 0 && event.cgroup != 0).then_some(event.cgroup);
        name_process(&mut owner, &event.process);
        let earlier = self.known(&ends).filter(|report| report.cookie == event.key.cookie);
        let first = earlier.map_or(at, |report| report.first);
        self.remember(ends, Report { cookie: event.key.cookie, first, owner: owner.clone() });
        sighting(ends, first, at, owner)
    }

    /// Names the process of a flow that was reported without one.
    fn connected(&mut self, event: &Event) -> Option<Sighting> {
        let ends = ends(&event.key);
        let mut report = self.known(&ends)?.clone();
        // Another user's thread connects for the socket's owner where the kernel does it (MPTCP), or a broker.
        if report.owner.pid.is_some() || report.owner.uid != Some(event.process.uid) {
            return None;
        }
        name_process(&mut report.owner, &event.process);
        let Report { first, owner, .. } = report.clone();
        self.remember(ends, report);
        Some(sighting(ends, first, first, owner))
    }

    fn known(&self, ends: &Ends) -> Option<&Report> {
        self.recent.get(ends).or_else(|| self.older.get(ends))
    }

    fn remember(&mut self, ends: Ends, report: Report) {
        if self.recent.len() >= GENERATION {
            self.older = std::mem::take(&mut self.recent);
        }
        self.recent.insert(ends, report);
    }
}

fn sighting(
    (transport, local, remote): Ends,
    first: Timestamp,
    last: Timestamp,
    owner: SocketOwner,
) -> Sighting {
    let last = last.max(first);
    Sighting { transport, local, remote: Some(remote), listening: false, first, last, socket: None, owner }
}

/// A socket of which only its own end is known: a flow to it is its owner's by its address.
fn local(event: &Event, at: Timestamp, listening: bool) -> Sighting {
    let (transport, local, _) = ends(&event.key);
    let mut owner = SocketOwner::new(Method::Ebpf, Confidence::Inferred);
    owner.uid = Some(event.process.uid);
    name_process(&mut owner, &event.process);
    Sighting { transport, local, remote: None, listening, first: at, last: at, socket: None, owner }
}

fn name_process(owner: &mut SocketOwner, process: &Process) {
    if process.pid == 0 {
        return;
    }
    owner.pid = Some(process.pid);
    let name = process.name.split(|byte| *byte == 0).next().unwrap_or_default();
    owner.process = (!name.is_empty()).then(|| String::from_utf8_lossy(name).into_owned());
}

fn ends(key: &FlowKey) -> Ends {
    let transport = match key.protocol {
        6 => Transport::Tcp,
        17 => Transport::Udp,
        1 | 58 => Transport::IcmpEcho,
        other => Transport::Other(other),
    };
    let end = |address: [u8; 16], port| Endpoint { ip: address_of(key.family, address), port };
    (transport, end(key.source, key.source_port), end(key.destination, key.destination_port))
}

/// IPv4-mapped addresses are the tracepoint's and the hooks' way to say IPv4.
fn address_of(family: u8, bytes: [u8; 16]) -> IpAddr {
    if family == FAMILY_IPV4 {
        let [a, b, c, d, ..] = bytes;
        return Ipv4Addr::new(a, b, c, d).into();
    }
    Ipv6Addr::from(bytes).to_canonical()
}

/// Whether a process is in this thread's network namespace.
fn in_our_namespace(pid: u32) -> bool {
    let own = fs::read_link("/proc/thread-self/ns/net").ok();
    own.is_some() && own == fs::read_link(PathBuf::from(format!("/proc/{pid}/ns/net"))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOCKS: Clocks = Clocks { boot: 1_000_000, monotonic: 2_000_000 };

    fn event(kind: Kind, cookie: u64, uid: u32, time: u64) -> Event {
        let mut key = FlowKey { cookie, protocol: 6, family: FAMILY_IPV4, ..FlowKey::default() };
        key.source[..4].copy_from_slice(&[10, 0, 0, 1]);
        key.destination[..4].copy_from_slice(&[192, 0, 2, 9]);
        (key.source_port, key.destination_port) = (4000, 443);
        Event { kind: kind as u32, flags: FLAG_UID, time, key, uid, ..Event::default() }
    }

    fn process(pid: u32, uid: u32, name: &[u8]) -> Process {
        let mut process = Process { pid, uid, ..Process::default() };
        process.name[..name.len()].copy_from_slice(name);
        process
    }

    #[test]
    fn an_event_is_told_in_the_observer_s_words() {
        let mut event = event(Kind::Egress, 7, 10_123, 5);
        event.process = process(99, 10_123, b"curl");
        (event.flags, event.cgroup) = (FLAG_UID | FLAG_CGROUP, 42);
        let sighting = Records::default().sighting(&event, CLOCKS).unwrap();
        let end = |text: &str| {
            let address: std::net::SocketAddr = text.parse().unwrap();
            Endpoint { ip: address.ip(), port: address.port() }
        };
        assert_eq!(sighting.local, end("10.0.0.1:4000"));
        assert_eq!(sighting.remote, Some(end("192.0.2.9:443")));
        assert_eq!((sighting.first, sighting.last), (Timestamp(1_000_005), Timestamp(1_000_005)));
        let owner = sighting.owner;
        assert_eq!((owner.uid, owner.pid, owner.cgroup), (Some(10_123), Some(99), Some(42)));
        assert_eq!(owner.process.as_deref(), Some("curl"));
        assert_eq!((owner.method, owner.confidence), (Method::Ebpf, Confidence::Exact));
    }

    #[test]
    fn monotonic_time_has_an_offset_of_its_own() {
        let mut event = event(Kind::Egress, 7, 1, 5);
        event.flags |= FLAG_MONOTONIC;
        assert_eq!(Records::default().sighting(&event, CLOCKS).unwrap().first, Timestamp(2_000_005));
    }

    #[test]
    fn what_is_unknown_is_absent() {
        let mut event = event(Kind::Egress, 7, UID_INVALID, 5);
        event.cgroup = 3;
        let owner = Records::default().sighting(&event, CLOCKS).unwrap().owner;
        assert_eq!((owner.uid, owner.pid, owner.process, owner.cgroup), (None, None, None, None));
    }

    #[test]
    fn another_owner_of_the_same_socket_keeps_its_beginning_and_another_socket_does_not() {
        let mut records = Records::default();
        records.sighting(&event(Kind::Egress, 7, 0, 5), CLOCKS).unwrap();
        let accepted = records.sighting(&event(Kind::Egress, 7, 33, 9), CLOCKS).unwrap();
        assert_eq!((accepted.first, accepted.owner.uid), (Timestamp(1_000_005), Some(33)));
        let reused = records.sighting(&event(Kind::Egress, 8, 10_124, 20), CLOCKS).unwrap();
        assert_eq!((reused.first, reused.owner.uid), (Timestamp(1_000_020), Some(10_124)));
    }

    #[test]
    fn the_process_that_connected_is_named_later_unless_another_user_s() {
        let mut records = Records::default();
        records.sighting(&event(Kind::Egress, 7, 10_123, 5), CLOCKS).unwrap();
        let mut connected = event(Kind::Connected, 0, 0, 9);
        // The tracepoint gives IPv4 as v4-mapped addresses.
        connected.key.family = observer_ebpf_common::FAMILY_IPV6;
        connected.key.source = Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped().octets();
        connected.key.destination = Ipv4Addr::new(192, 0, 2, 9).to_ipv6_mapped().octets();
        connected.process = process(5, 0, b"kworker/0:1");
        assert_eq!(records.sighting(&connected, CLOCKS), None);
        connected.process = process(99, 10_123, b"curl");
        let named = records.sighting(&connected, CLOCKS).unwrap();
        assert_eq!((named.first, named.owner.pid), (Timestamp(1_000_005), Some(99)));
        assert_eq!(named.owner.uid, Some(10_123));
        assert_eq!(records.sighting(&connected, CLOCKS), None, "once is enough");
    }

    #[test]
    fn a_process_of_another_namespace_or_of_none_tells_nothing() {
        let mut listening = event(Kind::Listening, 0, 0, 5);
        listening.process = process(std::process::id(), 0, b"nginx");
        let found = Records::default().sighting(&listening, CLOCKS).unwrap();
        assert_eq!((found.remote, found.listening, found.owner.uid), (None, true, Some(0)));
        assert_eq!(found.owner.confidence, Confidence::Inferred);
        listening.process.pid = u32::MAX;
        assert_eq!(Records::default().sighting(&listening, CLOCKS), None);
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let mut records = Records::default();
        for port in 0..=u16::MAX {
            let mut event = event(Kind::Egress, 1, 1, 1);
            event.key.source_port = port;
            records.sighting(&event, CLOCKS);
        }
        assert!(records.recent.len() <= GENERATION && records.older.len() <= GENERATION);
        assert_eq!(records.recent.len() + records.older.len(), 1 << 16);
    }
}
