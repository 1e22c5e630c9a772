//! The sockets seen while a capture runs, by their ends and times: ports are used again.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::{Confidence, Method, Sighting, SocketOwner};
use crate::decode::{Endpoint, FiveTuple, Transport};
use crate::time::Timestamp;

/// Sockets that are remembered; the oldest give way.
const MAX_SIGHTINGS: usize = 512 << 10;

/// Addresses of this system that are remembered; it has some dozen.
const MAX_ADDRESSES: usize = 4096;

/// How far the clock of a capture and that of a sighting may differ, in nanoseconds.
const SKEW: i64 = 10_000_000;

/// How long before its first and after its last packet the socket of a flow may be seen in a table that is read now and then,
/// in nanoseconds, where those packets neither opened nor closed a connection.
const LINGER: i64 = 1_000_000_000;

/// Sockets with the same ends among which the one of a sighting is looked for, from the latest on.
const ALIKE: usize = 16;

/// A socket: its own end, and the other one if it is connected.
type Key = (Transport, Endpoint, Option<Endpoint>);

#[derive(Clone, Debug)]
struct Seen {
    /// From when it was there, at the latest.
    first: Timestamp,
    /// Until when it was there, at the earliest: before `first` for one that was seen once, between question and answer.
    last: Timestamp,
    socket: Option<u64>,
    owner: Arc<SocketOwner>,
}

/// The sockets that [`Sighting`]s were made of.
#[derive(Debug, Default)]
pub struct OwnerTable {
    sockets: HashMap<Key, Vec<Seen>, foldhash::fast::RandomState>,
    /// In the order in which they became known.
    order: VecDeque<Key>,
    /// Addresses that sockets are bound to: those of this system.
    own: HashSet<IpAddr, foldhash::fast::RandomState>,
    dropped: u64,
}

impl OwnerTable {
    /// Remembers a socket. A sighting of one that is known already with the same owner prolongs it.
    pub fn add(&mut self, sighting: Sighting) {
        let Sighting { transport, local, remote, first: asked, last: answered, owner, socket, .. } = sighting;
        if !local.ip.is_unspecified() && self.own.len() < MAX_ADDRESSES {
            self.own.insert(local.ip);
        }
        let key = (transport, local, remote);
        let seen = self.sockets.entry(key).or_default();
        let is_report = owner.method == Method::Ebpf;
        let (first, last) = if is_report { (asked, answered) } else { (answered, asked) };
        // Kernel programs report a socket's beginning: another one is another socket, and the same one says more of it. Of
        // what is in tables, several sockets may have the same end at the same time.
        let same = |known: &Seen| match owner.method {
            Method::Ebpf => known.first == first,
            _ => known.socket == socket && *known.owner == owner,
        };
        let alike = seen.iter_mut().rev().filter(|known| known.owner.method == owner.method);
        if let Some(known) = alike.take(if is_report { 1 } else { ALIKE }).find(|known| same(known)) {
            known.last = known.last.max(last);
            if *known.owner != owner {
                known.owner = Arc::new(owner);
            }
            return;
        }
        seen.push(Seen { first, last, socket, owner: Arc::new(owner) });
        self.order.push_back(key);
        if self.order.len() > MAX_SIGHTINGS {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some(key) = self.order.pop_front() else { return };
        self.dropped = self.dropped.saturating_add(1);
        if let Some(seen) = self.sockets.get_mut(&key) {
            if seen.len() > 1 {
                seen.remove(0);
            } else {
                self.sockets.remove(&key);
            }
        }
    }

    /// The owners of the flow between the ends of `five_tuple` through its `life`: the best of each method, the strongest
    /// method first.
    ///
    /// Where the originator is of this system, only its socket counts: that of the responder receives what somebody else
    /// sends, and a socket that is bound to all addresses is not at the other end of what goes out.
    #[must_use]
    pub fn owners(&self, five_tuple: &FiveTuple, life: Life) -> Vec<Arc<SocketOwner>> {
        let FiveTuple { transport, source, destination } = *five_tuple;
        let ends: &[_] = match (self.is_own(source.ip), self.is_own(destination.ip)) {
            (true, _) => &[(source, destination)],
            (false, true) => &[(destination, source)],
            (false, false) => &[(source, destination), (destination, source)],
        };
        let connected = ends.iter().map(|(local, remote)| (*local, Some(*remote)));
        let unconnected = ends.iter().flat_map(|(end, _)| {
            [end.ip, any(end.ip), IpAddr::V6(Ipv6Addr::UNSPECIFIED)].map(|ip| (Endpoint { ip, ..*end }, None))
        });
        let mut owners: Vec<Arc<SocketOwner>> = Vec::new();
        for (local, remote) in connected.chain(unconnected) {
            let Some(seen) = self.sockets.get(&(transport, local, remote)) else { continue };
            // Kernel programs report what goes out with both its ends. Where they did not, because events were lost, the
            // port may have been bound by somebody else since or before.
            let goes_out = local.port == source.port && remote.is_none() && self.is_own(source.ip);
            for method in [Method::Ebpf, Method::SockDiag, Method::Procfs] {
                if goes_out && method == Method::Ebpf || owners.iter().any(|known| known.method == method) {
                    continue;
                }
                // Who listens was there before the connection.
                let begins = life.begins && remote.is_some();
                owners.extend(best(seen, method, Life { begins, ..life }));
            }
        }
        owners.sort_by_key(|owner| owner.method);
        owners
    }

    /// Whether `ip` is known to be an address of this system.
    fn is_own(&self, ip: IpAddr) -> bool {
        ip.is_loopback() || self.own.contains(&ip)
    }

    /// The owners of sockets that were connected to `address` between `from` and `until`.
    #[must_use]
    pub fn connected_to(&self, address: IpAddr, from: Timestamp, until: Timestamp) -> Vec<Arc<SocketOwner>> {
        let recent = self.order.iter().rev().take(RECENT);
        let matching = recent.filter(|(.., remote)| remote.is_some_and(|remote| remote.ip == address));
        let mut owners: Vec<Arc<SocketOwner>> = Vec::new();
        for seen in matching.filter_map(|key| self.sockets.get(key)).flatten() {
            if (from..=until).contains(&seen.first) && !owners.contains(&seen.owner) {
                owners.push(Arc::clone(&seen.owner));
            }
        }
        owners
    }

    /// Sockets that the limit dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// Sockets among which the one that follows a DNS answer is looked for.
const RECENT: usize = 4096;

fn any(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// From when to when a flow was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// Its first packet.
    pub start: Timestamp,
    /// Its last packet.
    pub end: Timestamp,
    /// Whether its connection was opened at the start: who had the same ends before is somebody else.
    pub begins: bool,
    /// Whether its connection was closed at the end: who has the same ends after it is somebody else.
    pub is_over: bool,
}

impl Life {
    /// Of a flow that goes on, as of now.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self { start: now, end: now, begins: false, is_over: false }
    }
}

/// Of the sockets that had the same ends one after the other, the one that a flow went through in its life.
fn best(seen: &[Seen], method: Method, life: Life) -> Option<Arc<SocketOwner>> {
    let of_method = seen.iter().filter(|seen| seen.owner.method == method);
    let found = match method {
        Method::Ebpf => reported(of_method, life),
        _ => listed(of_method, life),
    };
    found.map(|seen| Arc::clone(&seen.owner))
}

/// A socket is reported with its first packet: at the flow's start, or later if the other side began. A socket that was
/// reported before has had no successor until then.
fn reported<'a>(seen: impl Iterator<Item = &'a Seen> + Clone, life: Life) -> Option<&'a Seen> {
    let Life { start, end, .. } = life;
    let within = start.0.saturating_sub(SKEW)..=end.0.saturating_add(SKEW);
    let distance = |seen: &&Seen| seen.first.0.saturating_sub(start.0).saturating_abs();
    seen.clone()
        .filter(|seen| within.contains(&seen.first.0))
        .min_by_key(distance)
        .or_else(|| seen.filter(|seen| seen.first < start).max_by_key(|seen| seen.first))
}

/// A socket in a table is a flow's if it was there for certain while the flow was. Else it may be that of a flow before or
/// after with the same ends: it counts where none was opened or closed in between, and no other one says otherwise.
fn listed<'a>(seen: impl Iterator<Item = &'a Seen> + Clone, life: Life) -> Option<&'a Seen> {
    let Life { start, end, begins, is_over } = life;
    let overlap = |seen: &&Seen| seen.last.0.min(end.0).saturating_sub(seen.first.0.max(start.0));
    let between = |seen: &Seen, from: i64, until: i64| seen.last.0 >= from && seen.first.0 <= until;
    let during = seen.clone().filter(|seen| between(seen, start.0, end.0));
    if let Some(longest) = during.max_by_key(overlap) {
        return Some(longest);
    }
    let linger = |is_sharp: bool| if is_sharp { 0 } else { LINGER };
    let (from, until) = (start.0.saturating_sub(linger(begins)), end.0.saturating_add(linger(is_over)));
    let near = seen.filter(|seen| between(seen, from, until));
    let nearest = near.clone().max_by_key(overlap)?;
    near.into_iter().all(|other| other.owner.uid == nearest.owner.uid).then_some(nearest)
}

impl SocketOwner {
    /// The same owner, concluded from something else than the flow's own socket.
    #[must_use]
    pub fn inferred(&self) -> Self {
        Self { confidence: Confidence::Inferred, ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(text: &str) -> Endpoint {
        let address: std::net::SocketAddr = text.parse().unwrap();
        Endpoint { ip: address.ip(), port: address.port() }
    }

    fn flow(source: &str, destination: &str) -> FiveTuple {
        FiveTuple { transport: Transport::Tcp, source: end(source), destination: end(destination) }
    }

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp(milliseconds * 1_000_000)
    }

    fn seen(method: Method, uid: u32, local: &str, remote: Option<&str>, first: i64, last: i64) -> Sighting {
        let owner = SocketOwner { uid: Some(uid), ..SocketOwner::new(method, Confidence::Exact) };
        let (first, last) = (at(first), at(last));
        let remote = remote.map(end);
        Sighting {
            transport: Transport::Tcp,
            local: end(local),
            remote,
            listening: false,
            first,
            last,
            socket: None,
            owner,
        }
    }

    /// Seen in a table at the beginning, and after five seconds.
    fn bound(uid: u32, local: &str, remote: Option<&str>) -> [Sighting; 2] {
        [0, 5_000].map(|at| seen(Method::SockDiag, uid, local, remote, at, at))
    }

    fn table(sightings: impl IntoIterator<Item = Sighting>) -> OwnerTable {
        let mut table = OwnerTable::default();
        sightings.into_iter().for_each(|sighting| table.add(sighting));
        table
    }

    fn uids(table: &OwnerTable, flow: &FiveTuple, start: i64, end: i64) -> Vec<u32> {
        let life = Life { start: at(start), end: at(end), begins: false, is_over: false };
        table.owners(flow, life).iter().filter_map(|owner| owner.uid).collect()
    }

    #[test]
    fn a_port_that_is_used_again_within_a_second_is_told_apart() {
        let (local, remote) = ("10.0.0.1:4000", Some("192.0.2.9:443"));
        let table = table([
            seen(Method::Ebpf, 10_123, local, remote, 1_000, 1_000),
            seen(Method::Ebpf, 10_124, local, remote, 1_300, 1_300),
        ]);
        let flow = flow("10.0.0.1:4000", "192.0.2.9:443");
        assert_eq!(uids(&table, &flow, 1_000, 1_200), [10_123]);
        assert_eq!(uids(&table, &flow, 1_300, 1_500), [10_124]);
        // Idle for an hour, the same socket goes on: it has no new report.
        assert_eq!(uids(&table, &flow, 3_600_000, 3_600_100), [10_124]);
        assert_eq!(uids(&table, &flow, 500, 600), [] as [u32; 0]);
    }

    #[test]
    fn what_is_learned_later_of_a_socket_replaces_what_was_known() {
        let (local, remote) = ("10.0.0.1:80", Some("192.0.2.9:5000"));
        // The listener's uid, then that of who accepted.
        let table = table([
            seen(Method::Ebpf, 0, local, remote, 1_000, 1_000),
            seen(Method::Ebpf, 33, local, remote, 1_000, 1_005),
        ]);
        assert_eq!(uids(&table, &flow("192.0.2.9:5000", "10.0.0.1:80"), 1_000, 1_100), [33]);
    }

    /// The uids of a connection that was opened and closed.
    fn uids_of_connection(table: &OwnerTable, start: i64, end: i64) -> Vec<u32> {
        let flow = flow("10.0.0.1:4000", "192.0.2.9:443");
        let life = Life { start: at(start), end: at(end), begins: true, is_over: true };
        table.owners(&flow, life).iter().filter_map(|owner| owner.uid).collect()
    }

    /// The socket `number`, which a table gave between `asked` and `answered`.
    fn listed(uid: u32, number: u64, asked: i64, answered: i64) -> Sighting {
        let sighting = seen(Method::SockDiag, uid, "10.0.0.1:4000", Some("192.0.2.9:443"), asked, answered);
        Sighting { socket: Some(number), ..sighting }
    }

    #[test]
    fn what_is_read_around_a_connection_may_be_of_another_one() {
        let table = table([listed(10_124, 1, 1_300, 1_300)]);
        let flow = flow("10.0.0.1:4000", "192.0.2.9:443");
        let uids = |start, end, begins, is_over| {
            let owners = table.owners(&flow, Life { start: at(start), end: at(end), begins, is_over });
            owners.iter().filter_map(|owner| owner.uid).collect::<Vec<_>>()
        };
        assert_eq!(uids(1_000, 1_200, true, true), [] as [u32; 0]);
        assert_eq!(uids(1_000, 1_200, true, false), [10_124]);
        assert_eq!(uids(1_250, 1_400, true, true), [10_124]);
        // Not yet closed when the capture ended, but opened since.
        assert_eq!(uids(1_350, 1_400, true, false), [] as [u32; 0]);
        assert_eq!(uids(1_350, 1_400, false, false), [10_124]);
    }

    #[test]
    fn a_table_that_is_read_while_a_port_changes_hands_says_nothing_of_it() {
        let table = table([listed(10_131, 1, 1_190, 1_220)]);
        assert_eq!(uids_of_connection(&table, 1_000, 1_200), [] as [u32; 0], "asked while it was there");
        assert_eq!(uids_of_connection(&table, 1_205, 1_300), [] as [u32; 0], "asked before it was there");
        assert_eq!(uids_of_connection(&table, 1_185, 1_300), [10_131]);
    }

    #[test]
    fn who_had_a_port_before_and_after_did_not_have_it_in_between() {
        let table = table([listed(10_130, 1, 1_010, 1_011), listed(10_130, 3, 1_310, 1_311)]);
        assert_eq!(uids_of_connection(&table, 1_000, 1_100), [10_130]);
        assert_eq!(uids_of_connection(&table, 1_150, 1_200), [] as [u32; 0], "another socket");
        assert_eq!(uids_of_connection(&table, 1_300, 1_400), [10_130]);
    }

    #[test]
    fn sockets_that_share_a_port_are_kept_once_each() {
        let shared = |number| Sighting { remote: None, ..listed(10_130, number, 0, 1) };
        let mut table = table([]);
        for _ in 0..100 {
            [1, 2, 3].map(shared).into_iter().for_each(|sighting| table.add(sighting));
        }
        assert_eq!(table.order.len(), 3);
    }

    #[test]
    fn of_two_that_had_a_port_before_and_after_neither_is_guessed() {
        let table = table([listed(10_130, 1, 1_000, 1_001), listed(10_131, 2, 1_300, 1_301)]);
        let flow = flow("10.0.0.1:4000", "192.0.2.9:443");
        assert_eq!(uids(&table, &flow, 1_100, 1_200), [] as [u32; 0]);
        assert_eq!(uids(&table, &flow, 900, 1_200), [10_130]);
    }

    #[test]
    fn an_incoming_flow_belongs_to_the_socket_that_answers() {
        let table = table([seen(Method::Ebpf, 10_125, "10.0.0.1:80", Some("192.0.2.9:5000"), 1_004, 1_004)]);
        assert_eq!(uids(&table, &flow("192.0.2.9:5000", "10.0.0.1:80"), 1_000, 1_100), [10_125]);
    }

    #[test]
    fn on_loopback_the_originator_owns_the_flow() {
        let table = table([
            seen(Method::Ebpf, 1, "127.0.0.1:80", Some("127.0.0.1:5000"), 1_000, 1_000),
            seen(Method::Ebpf, 2, "127.0.0.1:5000", Some("127.0.0.1:80"), 1_000, 1_000),
        ]);
        assert_eq!(uids(&table, &flow("127.0.0.1:5000", "127.0.0.1:80"), 1_000, 1_100), [2]);
    }

    #[test]
    fn who_only_listens_owns_nothing_that_goes_out() {
        let table = table(
            [
                bound(3, "0.0.0.0:443", None),
                bound(4, "10.0.0.1:22", None),
                bound(5, "127.0.0.1:8080", Some("127.0.0.1:5000")),
            ]
            .into_iter()
            .flatten(),
        );
        assert_eq!(uids(&table, &flow("10.0.0.1:5000", "192.0.2.9:443"), 1_000, 1_200), [] as [u32; 0]);
        assert_eq!(uids(&table, &flow("192.0.2.9:22", "10.0.0.1:443"), 1_000, 1_200), [3]);
        // The client of a flow within this system was not seen: its server is not the one who sent.
        assert_eq!(uids(&table, &flow("127.0.0.1:5000", "127.0.0.1:8080"), 1_000, 1_200), [] as [u32; 0]);
    }

    #[test]
    fn methods_that_disagree_are_both_kept() {
        let (local, remote) = ("10.0.0.1:4000", Some("192.0.2.9:443"));
        let table = table([
            seen(Method::Procfs, 7, local, remote, 1_000, 1_200),
            seen(Method::Ebpf, 8, local, remote, 1_000, 1_000),
        ]);
        assert_eq!(uids(&table, &flow("10.0.0.1:4000", "192.0.2.9:443"), 1_000, 1_200), [8, 7]);
    }

    #[test]
    fn what_goes_out_is_nobodys_when_its_report_was_lost() {
        let mut table = table([
            seen(Method::Ebpf, 10_125, "10.0.0.1:1", Some("192.0.2.9:443"), 900, 900),
            seen(Method::Ebpf, 10_126, "0.0.0.0:4000", None, 1_000, 1_000),
        ]);
        table.own.insert("10.0.0.1".parse().unwrap());
        assert_eq!(uids(&table, &flow("10.0.0.1:4000", "192.0.2.9:443"), 1_300, 1_400), [] as [u32; 0]);
        // What comes in may never be answered: whoever bound the port receives it.
        assert_eq!(uids(&table, &flow("192.0.2.9:443", "10.0.0.1:4000"), 1_300, 1_400), [10_126]);
    }

    #[test]
    fn unconnected_sockets_answer_for_their_port() {
        let table =
            table([bound(3, "0.0.0.0:5353", None), bound(4, "[::]:8080", None)].into_iter().flatten());
        assert_eq!(uids(&table, &flow("10.0.0.1:5353", "192.0.2.9:53"), 1_000, 1_200), [3]);
        assert_eq!(uids(&table, &flow("192.0.2.9:900", "10.0.0.1:8080"), 1_000, 1_200), [4]);
        assert_eq!(uids(&table, &flow("10.0.0.1:5354", "192.0.2.9:53"), 1_000, 1_200), [] as [u32; 0]);
        assert_eq!(uids(&table, &flow("10.0.0.1:5353", "192.0.2.9:53"), 9_000, 9_100), [] as [u32; 0]);
    }

    #[test]
    fn the_oldest_gives_way_and_is_counted() {
        let limit = u32::try_from(MAX_SIGHTINGS).unwrap();
        let address = |number: u32| {
            let ip = Ipv4Addr::from(0x0a00_0000 + number);
            Sighting {
                local: Endpoint { ip: ip.into(), port: 1 },
                ..seen(Method::Ebpf, 1, "1.1.1.1:1", None, 0, 0)
            }
        };
        let table = table((0..limit + 2).map(address));
        assert_eq!((table.dropped(), table.sockets.len()), (2, MAX_SIGHTINGS));
    }
}
