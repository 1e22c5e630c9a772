//! Owners of sockets by netlink's `sock_diag` (sock_diag(7)): asked for each new flow, and dumped by timer.
//!
//! A socket that opens and closes between two polls is missed: netlink knows the sockets there are, not those there were.
//! Only TCP and UDP can be asked for, and only in the network namespace of the thread that opens it.

mod link;
mod message;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use self::link::{Answer, Link};
use self::message::{Family, Request, Socket};
use super::process::Processes;
use crate::attribution::{Attributor, AttributorError, Confidence, Method, Sighting, SocketOwner};
use crate::decode::{Endpoint, FiveTuple, Transport};
use crate::source::live::now;
use crate::time::Timestamp;

/// Flows that are asked for in one poll, at up to four requests of some 3 µs each. Those beyond are left to the dump that
/// follows at once.
const MAX_FLOWS: usize = 512;
/// Sockets of a dump that are read in one poll; the next one goes on.
const MAX_DUMPED: usize = 4096;
/// How often all sockets are dumped while flows begin.
const BUSY: Duration = Duration::from_millis(250);
/// How often otherwise.
const IDLE: Duration = Duration::from_secs(1);
/// How long after the last new flow sockets still count as busy.
const LINGER: Duration = Duration::from_secs(10);
/// How soon after a dump another may follow since flows were not found: a device-bound socket is in dumps only.
const AGAIN: Duration = Duration::from_millis(50);
/// How long after a dump of so many sockets the next one waits at least, for each of them: at some 2 µs a socket, dumps take
/// no more than a tenth of a processor.
const REST: Duration = Duration::from_micros(20);
/// How long a dump may rest before it is given up.
const STALLED: Duration = Duration::from_secs(2);

/// What is dumped, one after the other.
const TABLES: [(Family, Transport); 4] = [
    (Family::V6, Transport::Tcp),
    (Family::V4, Transport::Tcp),
    (Family::V6, Transport::Udp),
    (Family::V4, Transport::Udp),
];

/// The tables of TCP and UDP sockets, by netlink.
#[derive(Debug)]
pub(super) struct SockDiag {
    processes: Arc<Mutex<Processes>>,
    exact: Link,
    dump: Link,
    /// Still to be dumped; the first of them is being read if `reading`.
    tables: VecDeque<(Family, Transport)>,
    reading: bool,
    /// When the last dump was begun.
    dumped: Option<Timestamp>,
    /// How many sockets it has given.
    counted: u32,
    /// From when on the kernel may have looked at the sockets that come next: it does so ahead of each answer.
    walked: Timestamp,
    /// When a dump last gave something.
    progressed: Timestamp,
    /// When a flow last began.
    opened: Option<Timestamp>,
    /// Flows were not found since the last dump.
    missed: bool,
    lost: u64,
}

impl SockDiag {
    /// Opens it, and makes sure that both protocols can be asked for.
    ///
    /// # Errors
    /// When the kernel or a security policy refuses, or has no tables of one of the protocols.
    pub(super) fn open(processes: Arc<Mutex<Processes>>) -> Result<Self, AttributorError> {
        let mut probe = Link::open()?;
        for transport in [Transport::Tcp, Transport::Udp] {
            let refusals = [Family::V4, Family::V6].map(|family| probe.try_dump(family, transport));
            if let [Err(refused), Err(_also_refused)] = refusals {
                return Err(refused);
            }
        }
        Ok(Self {
            processes,
            exact: Link::open()?,
            dump: Link::open()?,
            tables: VecDeque::new(),
            reading: false,
            dumped: None,
            counted: 0,
            walked: Timestamp::default(),
            progressed: Timestamp::default(),
            opened: None,
            missed: false,
            lost: 0,
        })
    }

    /// Asks for the socket of a flow; false if it has none that is known.
    ///
    /// The kernel looks it up as it does for a packet that comes in: the answer may be an unconnected or listening socket,
    /// so that only one with the very ends of the flow ends the search.
    fn ask(&mut self, flow: &FiveTuple, sightings: &mut Vec<Sighting>) -> Result<bool, AttributorError> {
        let mut found = false;
        for (local, remote) in [(flow.source, flow.destination), (flow.destination, flow.source)] {
            let (local, remote) = (canonical(local), canonical(remote));
            // An IPv4 flow may be one of an IPv6 socket.
            let families: &[Family] =
                if local.ip.is_ipv4() { &[Family::V6, Family::V4] } else { &[Family::V6] };
            for family in families {
                let asked = now();
                let Some(socket) = self.exact.find(*family, flow.transport, local, remote)? else { continue };
                let connected = (socket.local, socket.remote) == (local, Some(remote));
                let owned = self.see(socket, flow.transport, (asked, now()), sightings);
                found |= owned;
                if connected && owned {
                    return Ok(true);
                }
            }
        }
        Ok(found)
    }

    /// Reports a socket that was there at some time between `asked` and `answered`; false if it has no owner.
    fn see(
        &mut self,
        socket: Socket,
        transport: Transport,
        (asked, answered): (Timestamp, Timestamp),
        sightings: &mut Vec<Sighting>,
    ) -> bool {
        let mut owner = SocketOwner::new(Method::SockDiag, Confidence::Polled);
        owner.uid = socket.uid;
        owner.cgroup = socket.cgroup;
        // A socket that its process has closed, or that waits for the last packets of a flow, belongs to nobody any more.
        if socket.inode == 0 && matches!(socket.uid, None | Some(0)) {
            return false;
        }
        let mut processes = self.processes.lock().unwrap_or_else(PoisonError::into_inner);
        processes.complete(&mut owner, Some(socket.inode));
        drop(processes);
        if owner.uid.is_none() && owner.pid.is_none() {
            return false;
        }
        let Socket { local, remote, listening, inode, .. } = socket;
        let socket = Some(inode).filter(|inode| *inode != 0);
        sightings.push(Sighting {
            transport,
            local,
            remote,
            listening,
            first: asked,
            last: answered,
            socket,
            owner,
        });
        true
    }

    /// As of `at`, begins a dump where one is due, and reads on in the one that was begun.
    fn dump(&mut self, at: Timestamp, sightings: &mut Vec<Sighting>) -> Result<(), AttributorError> {
        if self.tables.is_empty() && self.is_due(at) {
            self.tables.extend(TABLES);
            self.dumped = Some(at);
            self.progressed = at;
            self.missed = false;
            self.counted = 0;
        }
        let mut left = MAX_DUMPED;
        while let Some((family, transport)) = self.tables.front().copied() {
            if !self.reading {
                self.walked = now();
                self.dump.send(&Request::Dump { family, transport })?;
                self.reading = true;
            }
            if left == 0 {
                break;
            }
            let before = now();
            match self.dump.receive()? {
                Answer::Sockets(sockets) => {
                    let walked = (std::mem::replace(&mut self.walked, before), now());
                    self.progressed = at;
                    left = left.saturating_sub(sockets.len().max(1));
                    self.counted = u32::try_from(sockets.len())
                        .map_or(u32::MAX, |more| self.counted.saturating_add(more));
                    for socket in sockets {
                        self.see(socket, transport, walked, sightings);
                    }
                }
                // A family or protocol that the kernel lacks has no sockets.
                Answer::End | Answer::Refused(_) => {
                    self.progressed = at;
                    self.reading = false;
                    self.tables.pop_front();
                }
                Answer::Nothing if at.since(self.progressed) >= STALLED => {
                    self.dump = Link::open()?;
                    self.reading = false;
                    self.tables.clear();
                    self.lost = self.lost.saturating_add(1);
                }
                Answer::Nothing => break,
            }
        }
        Ok(())
    }

    fn is_due(&self, now: Timestamp) -> bool {
        let busy = self.opened.is_some_and(|opened| now.since(opened) < LINGER);
        let interval = match (self.missed, busy) {
            (true, _) => AGAIN,
            (false, true) => BUSY,
            (false, false) => IDLE,
        };
        let interval = interval.max(REST.saturating_mul(self.counted));
        // A clock that was set back must not stop the dumps.
        self.dumped.is_none_or(|dumped| now.since(dumped) >= interval || now < dumped)
    }
}

impl Attributor for SockDiag {
    fn method(&self) -> Method {
        Method::SockDiag
    }

    fn poll(&mut self, opened: &[FiveTuple], sightings: &mut Vec<Sighting>) -> Result<(), AttributorError> {
        let now = now();
        self.processes.lock().unwrap_or_else(PoisonError::into_inner).begin_round(now);
        let asked = |flow: &&FiveTuple| matches!(flow.transport, Transport::Tcp | Transport::Udp);
        let mut flows = opened.iter().filter(asked);
        // First those whose sockets may be gone soon.
        for flow in flows.by_ref().take(MAX_FLOWS) {
            self.opened = Some(now);
            self.missed |= !self.ask(flow, sightings)?;
        }
        let left_out = flows.count();
        if left_out > 0 {
            self.missed = true;
            self.lost = self.lost.saturating_add(u64::try_from(left_out).unwrap_or(u64::MAX));
        }
        self.dump(now, sightings)
    }

    fn lost(&self) -> u64 {
        self.lost.saturating_add(self.exact.lost()).saturating_add(self.dump.lost())
    }
}

/// IPv4-mapped addresses are those of IPv4 flows.
fn canonical(end: Endpoint) -> Endpoint {
    Endpoint { ip: end.ip.to_canonical(), ..end }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribution::system::namespace::{CLIENTS, Host, Program, SERVERS, within};
    use crate::attribution::{Life, OwnerTable};

    const CLIENT: u32 = 10_123;
    const SERVER: u32 = 10_200;

    fn open() -> SockDiag {
        let mut processes = Processes::new();
        processes.begin_round(now());
        SockDiag::open(Arc::new(Mutex::new(processes))).unwrap()
    }

    fn owners(sightings: Vec<Sighting>, flow: &FiveTuple) -> Vec<(Option<u32>, Option<u32>)> {
        let mut table = OwnerTable::default();
        sightings.into_iter().for_each(|sighting| table.add(sighting));
        let now = now();
        table.owners(flow, Life::at(now)).iter().map(|owner| (owner.uid, owner.pid)).collect()
    }

    #[test]
    fn each_kind_of_socket_is_found_when_it_is_asked_for() {
        within(|| {
            let _servers = Program::new(SERVER, SERVERS);
            let clients = Program::new(CLIENT, CLIENTS);
            assert_eq!(clients.flows.len(), 10);
            let mut sock_diag = open();
            let client = vec![(Some(CLIENT), Some(clients.pid()))];
            for (name, flow) in &clients.flows {
                sock_diag.processes.lock().unwrap().begin_round(now());
                let mut sightings = Vec::new();
                let found = sock_diag.ask(flow, &mut sightings).unwrap();
                if name == "udp4-on-device" {
                    // Only dumps tell of it; who is bound to the other end is not who sends.
                    assert_eq!(owners(sightings, flow), []);
                    continue;
                }
                assert!(found, "{name}");
                assert_eq!(owners(sightings, flow), client, "{name}");
            }
            assert_eq!(sock_diag.lost(), 0);
        });
    }

    #[test]
    fn what_was_open_before_is_dumped_at_once() {
        within(|| {
            let servers = Program::new(SERVER, SERVERS);
            let clients = Program::new(CLIENT, CLIENTS);
            let mut sightings = Vec::new();
            open().poll(&[], &mut sightings).unwrap();
            for (name, flow) in &clients.flows {
                let found = owners(sightings.clone(), flow);
                assert_eq!(found, [(Some(CLIENT), Some(clients.pid()))], "{name}");
            }
            assert!(sightings.iter().all(|one| one.first < one.last), "{sightings:#?}");
            let listening: Vec<_> = sightings.iter().filter(|sighting| sighting.listening).collect();
            assert_eq!(listening.len(), 4);
            for sighting in listening {
                assert_eq!((sighting.remote, sighting.owner.uid), (None, Some(SERVER)));
                assert_eq!(sighting.owner.pid, Some(servers.pid()));
                assert!(sighting.owner.process.as_ref().is_some_and(|path| path.contains("/python3")));
            }
        });
    }

    #[test]
    fn incoming_flows_belong_to_the_socket_that_answers() {
        within(|| {
            let host = Host::new();
            let accept = "
import threading
listener = socket()
listener.bind(('10.9.0.1', 80))
listener.listen()
show('listening', listener)
def accept():
    there, _ = listener.accept()
    open_sockets.append(there)
    there.send(b'x')
threading.Thread(target=accept, daemon=True).start()
";
            let server = Program::new(0, accept);
            let connect = "
sock = create_connection(('10.9.0.1', 80))
sock.recv(1)
show('connected', sock, sock.getpeername())
";
            let clients = Program::on(&host, CLIENT, connect);
            let flow = clients.flows[0].1;
            let mut sightings = Vec::new();
            assert!(open().ask(&flow, &mut sightings).unwrap());
            assert_eq!(sightings.len(), 1);
            assert_eq!((sightings[0].local, sightings[0].remote), (flow.destination, Some(flow.source)));
            assert_eq!(owners(sightings, &flow), [(Some(0), Some(server.pid()))]);
        });
    }

    #[test]
    fn a_flow_in_time_wait_is_nobodys() {
        within(|| {
            let _servers = Program::new(SERVER, SERVERS);
            let clients = Program::new(
                CLIENT,
                "
listener = socket()
listener.bind(('127.0.0.1', 9000))
listener.listen()
sock = create_connection(('127.0.0.1', 9000))
there, _ = listener.accept()
show('closed', sock, sock.getpeername())
listener.close()
sock.close()
there.recv(1)
there.close()
",
            );
            let flow = clients.flows[0].1;
            let mut sightings = Vec::new();
            assert!(!open().ask(&flow, &mut sightings).unwrap());
            assert_eq!(sightings, []);
        });
    }

    #[test]
    fn a_busy_system_is_dumped_in_parts() {
        within(|| {
            let script = "
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (6000, 6000))
for port in range(10000, 15000):
    sock = socket(AF_INET, SOCK_DGRAM)
    sock.bind(('127.0.0.1', port))
    show('bound', sock)
";
            let _bound = Program::new(0, script);
            let mut sock_diag = open();
            let mut parts = Vec::new();
            for _ in 0..3 {
                let mut sightings = Vec::new();
                sock_diag.dump(Timestamp(1), &mut sightings).unwrap();
                parts.push(sightings.len());
            }
            assert_eq!(parts.iter().sum::<usize>(), 5000, "{parts:?}");
            assert!(parts[0] >= MAX_DUMPED && parts[0] < 5000, "{parts:?}");
            assert_eq!(parts[2], 0, "{parts:?}");
        });
    }

    #[test]
    fn dumps_follow_flows_and_clocks_that_are_set_back() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED, and nothing was tested: netlink may take root");
            return;
        }
        let mut sock_diag = open();
        let at = |milliseconds: i64| Timestamp(milliseconds * 1_000_000);
        assert!(sock_diag.is_due(at(20_000)));
        sock_diag.dumped = Some(at(20_000));
        let due =
            |sock_diag: &SockDiag| [10, 60, 300, 1_000].map(|later| sock_diag.is_due(at(20_000 + later)));
        assert_eq!(due(&sock_diag), [false, false, false, true]);
        sock_diag.opened = Some(at(19_000));
        assert_eq!(due(&sock_diag), [false, false, true, true]);
        sock_diag.missed = true;
        assert_eq!(due(&sock_diag), [false, true, true, true]);
        assert!(sock_diag.is_due(at(19_999)));
        sock_diag.counted = 10_000;
        assert_eq!(due(&sock_diag), [false, false, true, true]);
        sock_diag.counted = 40_000;
        assert_eq!(due(&sock_diag), [false, false, false, true]);
    }
}
