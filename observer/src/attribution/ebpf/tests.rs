//! On real sockets of real users, in network namespaces that end with the test.

use std::io::{BufRead as _, BufReader};
use std::net::IpAddr;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{mem, thread};

use aya::programs::tc::{NlOptions, TcAttachOptions, TcHandle};
use aya::programs::{SchedClassifier, TcAttachType};
use observer_ebpf_common::{Counter, FlowKey, FlowState, map};

use super::*;
use crate::attribution::{Confidence, Life, OwnerTable};
use crate::decode::{Endpoint, Transport};

/// What the kernel here is expected to have, and what older ones have.
const TCX: Plan = Plan { ring_buffer: true, tcx: true, processes: true };
const CLSACT: Plan = Plan { ring_buffer: true, tcx: false, processes: false };
const OLD: Plan = Plan { ring_buffer: false, tcx: false, processes: false };

/// The test's end and the other end of a pair of interfaces.
const HERE: &str = "10.81.0.1";
const THERE: &str = "10.81.0.2";
const HERE_V6: &str = "fd00:81::1";
const THERE_V6: &str = "fd00:81::2";

/// A program that ends with its value.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The other end's namespace, which lasts as long as a process in it.
struct Peer(Ends);

impl Peer {
    fn run(&self, program: &str, args: &[&str]) -> String {
        let pid = self.0.0.id().to_string();
        let mut all = vec!["-t", &pid, "-n", program];
        all.extend(args);
        shell("nsenter", &all)
    }

    /// Starts servers that answer each piece with its first byte: TCP 8001, UDP 5301 and 5302.
    fn serve(&self) -> Ends {
        let pid = self.0.0.id().to_string();
        let mut child = Command::new("nsenter")
            .args(["-t", &pid, "-n", "python3", "-c", SERVERS])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Ends(child)
    }
}

const SERVERS: &str = "
import socket, threading
def tcp(family):
    s = socket.socket(family, socket.SOCK_STREAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(('', 8001)); s.listen(64)
    def serve(c):
        with c:
            try:
                while data := c.recv(1 << 20):
                    c.sendall(data[:1])
            except ConnectionResetError:
                pass
    def loop():
        while True:
            threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
    threading.Thread(target=loop, daemon=True).start()
def udp(family, port):
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.bind(('', port))
    def loop():
        while True:
            data, sender = s.recvfrom(65536)
            s.sendto(data[:1], sender)
    threading.Thread(target=loop, daemon=True).start()
tcp(socket.AF_INET6)
udp(socket.AF_INET6, 5301)
udp(socket.AF_INET6, 5302)
print('ready', flush=True)
threading.Event().wait()
";

/// Runs a program and returns what it wrote; fails if it fails.
fn shell(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    text
}

/// Runs a Python script as `uid` to its end; its process id and what it wrote.
fn python(uid: u32, script: &str) -> (u32, String) {
    let mut command = Command::new("python3");
    command.args(["-c", &format!("import os, socket, struct, time\n{script}")]).uid(uid).gid(uid);
    let child = command.current_dir("/").stdout(Stdio::piped()).spawn().unwrap();
    let pid = child.id();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "the script has failed");
    (pid, String::from_utf8(output.stdout).unwrap())
}

/// Runs `test` in a network namespace of its own that is joined to another; says so and does nothing without root.
fn within(test: impl FnOnce(&Peer) + Send) {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED, and nothing was tested: kernel programs and network namespaces take root");
        return;
    }
    let run = || {
        // Mounts of its own, too: what is not mounted on this machine is, for the test.
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET | nix::sched::CloneFlags::CLONE_NEWNS)
            .unwrap();
        shell("mount", &["--make-rprivate", "/"]);
        if !Path::new("/sys/kernel/tracing/events").exists() {
            // A kernel without it has no tracepoint, which the attributor notes.
            let _ = Command::new("mount").args(["-t", "tracefs", "tracefs", "/sys/kernel/tracing"]).status();
        }
        let mut command = Command::new("unshare");
        command.args(["-n", "sh", "-c", "echo; exec sleep 600"]).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let peer = Peer(Ends(child));
        let pid = peer.0.0.id().to_string();
        shell("ip", &["link", "set", "lo", "up"]);
        shell("ip", &["link", "add", "here", "type", "veth", "peer", "name", "there", "netns", &pid]);
        shell("ip", &["address", "add", "10.81.0.1/24", "dev", "here"]);
        shell("ip", &["link", "set", "here", "up"]);
        peer.run("ip", &["address", "add", "10.81.0.2/24", "dev", "there"]);
        shell("ip", &["address", "add", "fd00:81::1/64", "dev", "here", "nodad"]);
        peer.run("ip", &["address", "add", "fd00:81::2/64", "dev", "there", "nodad"]);
        peer.run("ip", &["link", "set", "there", "up"]);
        peer.run("ip", &["link", "set", "lo", "up"]);
        test(&peer);
    };
    thread::scope(|scope| {
        if let Err(panic) = scope.spawn(run).join() {
            std::panic::resume_unwind(panic);
        }
    });
}

fn open(plan: Plan) -> EbpfAttributor {
    EbpfAttributor::with(plan, Box::new(|_sightings| {})).unwrap()
}

fn poll(attributor: &mut EbpfAttributor) -> Vec<Sighting> {
    let mut sightings = Vec::new();
    attributor.poll(&[], &mut sightings).unwrap();
    sightings
}

fn end(ip: &str, port: u16) -> Endpoint {
    Endpoint { ip: ip.parse::<IpAddr>().unwrap(), port }
}

/// The sightings of flows from here to `remote`.
fn to(sightings: &[Sighting], transport: Transport, remote: Endpoint) -> Vec<&Sighting> {
    sightings.iter().filter(|one| one.transport == transport && one.remote == Some(remote)).collect()
}

/// A client of each kind; each prints its local port.
const CLIENTS: &str = "
def tcp(host, port):
    s = socket.create_connection((host, port)); s.sendall(b'x' * 300000); s.recv(1)
    print(s.getsockname()[1])
def udp_connected():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('10.81.0.2', 5301))
    s.send(b'x'); s.recv(1); s.send(b'x'); s.recv(1)
    print(s.getsockname()[1])
def udp_unconnected():
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    for port in (5301, 5302):
        s.sendto(b'x', ('::ffff:10.81.0.2', port)); s.recv(1)
    print(s.getsockname()[1])
def udp_v6():
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.sendto(b'x', ('fd00:81::2', 5301)); s.recv(1)
    s.sendto(b'x' * 20000, ('fd00:81::2', 5302)); s.recv(1)
    print(s.getsockname()[1])
tcp('10.81.0.2', 8001)
udp_connected()
udp_unconnected()
tcp('fd00:81::2', 8001)
udp_v6()
";

fn clients_are_known_by_their_uid(plan: Plan) {
    within(|peer| {
        let _servers = peer.serve();
        let mut attributor = open(plan);
        let (pid, ports) = python(10_123, CLIENTS);
        let ports: Vec<u16> = ports.lines().map(|line| line.parse().unwrap()).collect();
        let sightings = poll(&mut attributor);
        let expected = [
            (Transport::Tcp, end(HERE, ports[0]), end(THERE, 8001)),
            (Transport::Udp, end(HERE, ports[1]), end(THERE, 5301)),
            (Transport::Udp, end(HERE, ports[2]), end(THERE, 5301)),
            (Transport::Udp, end(HERE, ports[2]), end(THERE, 5302)),
            (Transport::Tcp, end(HERE_V6, ports[3]), end(THERE_V6, 8001)),
            (Transport::Udp, end(HERE_V6, ports[4]), end(THERE_V6, 5301)),
            (Transport::Udp, end(HERE_V6, ports[4]), end(THERE_V6, 5302)),
        ];
        for (transport, local, remote) in expected {
            let found: Vec<_> =
                to(&sightings, transport, remote).into_iter().filter(|one| one.local == local).collect();
            let [one] = found.as_slice() else {
                panic!("{transport:?} {local:?} to {remote:?}: {found:#?}, {:?}", attributor.notes());
            };
            assert_eq!((one.owner.uid, one.owner.confidence), (Some(10_123), Confidence::Exact));
            assert!(one.last >= one.first && one.first.0 > 1_600_000_000_000_000_000, "{}", one.first);
            if plan.processes && attributor.notes().is_empty() {
                assert_eq!((one.owner.pid, one.owner.process.as_deref()), (Some(pid), Some("python3")));
            } else if plan.processes {
                eprintln!("SKIPPED, processes were not tested: {:?}", attributor.notes());
            }
        }
        assert_eq!(attributor.lost(), 0);
    });
}

#[test]
fn every_program_passes_the_verifier() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED, and nothing was tested: loading kernel programs takes root");
        return;
    }
    let probes = probe().unwrap();
    assert_eq!(probes.len(), 16);
    for Probe { program, outcome } in probes {
        let (left, verified) = outcome.unwrap_or_else(|refusal| panic!("{program}: {refusal}"));
        let [left, verified] = [left, verified].map(Option::unwrap_or_default);
        eprintln!("{program:<32}{left:>6} instructions,{verified:>6} verified");
        assert!((10..2_000).contains(&left) && verified < 100_000, "{program}");
    }
}

#[test]
fn a_client_is_known_by_its_uid_and_process_once_for_each_flow() {
    clients_are_known_by_their_uid(TCX);
}

#[test]
fn a_filter_on_clsact_sees_the_same() {
    clients_are_known_by_their_uid(CLSACT);
}

#[test]
fn the_variant_for_old_kernels_sees_the_same() {
    clients_are_known_by_their_uid(OLD);
}

#[test]
fn a_port_that_another_user_takes_over_at_once_is_another_flow() {
    within(|peer| {
        let _servers = peer.serve();
        let mut attributor = open(TCX);
        let script = "
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
s.bind(('10.81.0.1', 45000)); s.connect(('10.81.0.2', 8001)); s.sendall(b'x'); s.recv(1); s.close()
";
        python(10_123, script);
        python(10_124, script);
        let sightings = poll(&mut attributor);
        let found = to(&sightings, Transport::Tcp, end(THERE, 8001));
        let uids: Vec<_> = found.iter().map(|one| one.owner.uid).collect();
        assert_eq!(uids, [Some(10_123), Some(10_124)], "{found:#?}");
        assert!(found[0].first < found[1].first);
        let five_tuple =
            FiveTuple { transport: Transport::Tcp, source: end(HERE, 45_000), destination: end(THERE, 8001) };
        let (first, second) = (found[0].first, found[1].first);
        let mut table = OwnerTable::default();
        sightings.iter().cloned().for_each(|sighting| table.add(sighting));
        let owner = |at| table.owners(&five_tuple, Life::at(at))[0].uid;
        assert_eq!((owner(first), owner(second)), (Some(10_123), Some(10_124)));
    });
}

/// Packets of our flow that passed, as the programs count them.
fn packets(attributor: &EbpfAttributor, local: u16, remote: u16) -> u64 {
    let flows = attributor.programs.map(map::FLOWS).unwrap();
    let flows: aya::maps::HashMap<_, FlowKey, FlowState> = flows.try_into().unwrap();
    let ours = |key: &FlowKey| (key.source_port, key.destination_port) == (local, remote);
    let found = flows.iter().filter_map(Result::ok).filter(|(key, _)| ours(key));
    found.map(|(_, flow)| flow.packets).sum()
}

#[test]
fn what_the_kernel_answers_for_a_closed_socket_changes_no_owner() {
    within(|peer| {
        let mut attributor = open(TCX);
        let server = thread::scope(|scope| {
            // Closes first, so that time-wait is here.
            let server = scope.spawn(|| {
                python(
                    10_125,
                    "
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('10.81.0.1', 8080)); s.listen()
c, _ = s.accept(); c.recv(1); c.sendall(b'bye'); c.close(); time.sleep(0.2)
",
                )
            });
            wait_for_listener(8080);
            peer.run("python3", &["-c", CLIENT_OF_TIME_WAIT]);
            server.join().unwrap()
        });
        assert!(server.0 > 0);
        let before = packets(&attributor, 8080, 46_000);
        assert!(before > 0);
        peer.run("python3", &["-c", POKE]);
        // A port where nobody listens: the kernel resets from a socket of its own.
        peer.run(
            "python3",
            &[
                "-c",
                "
import socket
try: socket.create_connection(('10.81.0.1', 9), 1)
except OSError: pass
",
            ],
        );
        thread::sleep(Duration::from_millis(100));
        let sightings = poll(&mut attributor);
        let found = to(&sightings, Transport::Tcp, end(THERE, 46_000));
        let uids: Vec<_> = found.iter().filter_map(|one| one.owner.uid).collect();
        assert_eq!(uids, [10_125], "{found:#?}");
        let from_closed: Vec<_> = sightings.iter().filter(|one| one.local.port == 9).collect();
        assert_eq!(from_closed, [] as [&Sighting; 0]);
        let answered = packets(&attributor, 8080, 46_000) > before;
        let unattributed: u64 = attributor.unattributed().iter().map(|(_, count)| count).sum();
        assert!(answered || unattributed > 1, "the kernel has answered nothing");
        let reset = [Counter::NoSocket, Counter::Kernel].map(|counter| attributor.events.count(counter));
        assert!(reset.iter().sum::<u64>() > 0, "the kernel has reset nothing");
    });
}

const CLIENT_OF_TIME_WAIT: &str = "
import socket
s = socket.socket(); s.bind(('10.81.0.2', 46000)); s.connect(('10.81.0.1', 8080)); s.sendall(b'x')
while s.recv(10): pass
s.close()
";

/// Sends a segment of the flow that is in time-wait: the kernel acknowledges or resets it.
const POKE: &str = "
import socket, struct
def checksum(data):
    total = sum(struct.unpack('!%dH' % (len(data) // 2), data))
    while total >> 16: total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff
source, target = socket.inet_aton('10.81.0.2'), socket.inet_aton('10.81.0.1')
header = lambda check: struct.pack('!HHIIBBHHH', 46000, 8080, 1, 1, 5 << 4, 0x10, 1000, check, 0)
check = checksum(source + target + struct.pack('!BBH', 0, 6, 20) + header(0))
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
for _ in range(3): raw.sendto(header(check), ('10.81.0.1', 0))
";

fn wait_for_listener(port: u16) {
    for _ in 0..200 {
        if shell("ss", &["-Hltn"]).contains(&format!(":{port} ")) {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("nobody listens on {port}");
}

#[test]
fn a_socket_that_is_accepted_belongs_to_who_accepts_it() {
    within(|peer| {
        let mut attributor = open(TCX);
        let mut sightings = Vec::new();
        thread::scope(|scope| {
            let server = scope.spawn(|| {
                python(
                    0,
                    "
s = socket.socket(); s.bind(('10.81.0.1', 8081)); s.listen()
os.setresuid(10126, 10126, 10126)
c, _ = s.accept(); c.recv(1); c.sendall(b'bye'); c.close()
",
                )
            });
            wait_for_listener(8081);
            // While the process is there: the hooks see all namespaces, and its own is asked of it.
            sightings.extend(poll(&mut attributor));
            peer.run(
                "python3",
                &[
                    "-c",
                    "
import socket
s = socket.socket(); s.bind(('10.81.0.2', 46001)); s.connect(('10.81.0.1', 8081)); s.sendall(b'x')
while s.recv(10): pass
",
                ],
            );
            server.join().unwrap();
        });
        sightings.extend(poll(&mut attributor));
        let found = to(&sightings, Transport::Tcp, end(THERE, 46_001));
        let last = found.last().unwrap();
        assert_eq!(last.owner.uid, Some(10_126), "{found:#?}");
        assert!(found.iter().all(|one| one.first == found[0].first), "one flow: {found:#?}");
        let mut table = OwnerTable::default();
        sightings.iter().cloned().for_each(|sighting| table.add(sighting));
        let source = end(THERE, 46_001);
        let flow = FiveTuple { transport: Transport::Tcp, source, destination: end(HERE, 8081) };
        assert_eq!(
            table.owners(&flow, Life { start: last.first, end: last.last, begins: false, is_over: false })[0]
                .uid,
            Some(10_126)
        );
        let listening: Vec<_> = sightings.iter().filter(|one| one.listening).collect();
        if attributor.notes().iter().any(|note| note.starts_with("no tracepoint")) {
            eprintln!("SKIPPED, the listener was not tested: {:?}", attributor.notes());
            return;
        }
        let [listener] = listening.as_slice() else { panic!("{listening:#?} {:?}", attributor.notes()) };
        assert_eq!((listener.local, listener.remote), (end(HERE, 8081), None));
        assert_eq!(listener.owner.uid, Some(0));
    });
}

#[test]
fn echo_requests_fragments_and_extension_headers_are_known() {
    within(|peer| {
        let _servers = peer.serve();
        shell("sysctl", &["-qw", "net.ipv4.ping_group_range=0 2147483647"]);
        let mut attributor = open(TCX);
        let (_, identifier) = python(
            10_127,
            "
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
s.connect(('10.81.0.2', 0)); s.send(struct.pack('!BBHHH', 8, 0, 0, 0, 1)); s.recv(100)
print(s.getsockname()[1])
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.sendto(b'x' * 20000, ('10.81.0.2', 5302)); u.recv(1)
",
        );
        let identifier: u16 = identifier.trim().parse().unwrap();
        let sightings = poll(&mut attributor);
        let echo = to(&sightings, Transport::IcmpEcho, end(THERE, identifier));
        assert_eq!(echo.iter().map(|one| one.owner.uid).collect::<Vec<_>>(), [Some(10_127)]);
        // A destination option of padding (RFC 8200 §4.2) takes root; and an IPv4 header with options (RFC 791 §3.1).
        python(
            0,
            "
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_DSTOPTS, bytes([0, 0, 1, 4, 0, 0, 0, 0]))
s.sendto(b'x', ('fd00:81::2', 5301)); s.recv(1)
t = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
t.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, bytes([1, 1, 1, 1]))
t.sendto(b'x', ('10.81.0.2', 5301)); t.recv(1)
",
        );
        let optioned = poll(&mut attributor);
        for host in [THERE, THERE_V6] {
            let found = to(&optioned, Transport::Udp, end(host, 5301));
            assert_eq!(found.iter().map(|one| one.owner.uid).collect::<Vec<_>>(), [Some(0)], "{host}");
        }
        let fragmented = to(&sightings, Transport::Udp, end(THERE, 5302));
        assert_eq!(fragmented.iter().map(|one| one.owner.uid).collect::<Vec<_>>(), [Some(10_127)]);
        assert!(attributor.events.count(Counter::Fragment) > 10);
    });
}

#[test]
fn interfaces_that_come_and_go_are_followed_with_and_without_an_ethernet_header() {
    within(|peer| {
        let pid = peer.0.0.id().to_string();
        let mut attributor = open(TCX);
        let count = attributor.interfaces.len();
        shell("ip", &["link", "add", "late", "type", "veth", "peer", "name", "late", "netns", &pid]);
        shell("ip", &["address", "add", "10.82.0.1/24", "dev", "late"]);
        shell("ip", &["link", "set", "late", "up"]);
        peer.run("ip", &["address", "add", "10.82.0.2/24", "dev", "late"]);
        peer.run("ip", &["link", "set", "late", "up"]);
        shell("ip", &["tuntap", "add", "dev", "bare", "mode", "tun"]);
        shell("ip", &["address", "add", "10.83.0.1/24", "dev", "bare"]);
        shell("ip", &["link", "set", "bare", "up"]);
        poll(&mut attributor);
        assert_eq!(attributor.interfaces.len(), count + 2);
        python(
            10_128,
            "
for host in ('10.82.0.2', '10.83.0.2'):
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', (host, 5309))
",
        );
        let sightings = poll(&mut attributor);
        for host in ["10.82.0.2", "10.83.0.2"] {
            let found = to(&sightings, Transport::Udp, end(host, 5309));
            assert_eq!(found.iter().map(|one| one.owner.uid).collect::<Vec<_>>(), [Some(10_128)], "{host}");
        }
        shell("ip", &["link", "delete", "late"]);
        poll(&mut attributor);
        assert_eq!(attributor.interfaces.len(), count + 1);
    });
}

/// Everything of tc in this namespace, counters aside.
fn tc_state() -> String {
    let mut state = shell("tc", &["qdisc", "show"]);
    for device in ["lo", "here"] {
        for side in ["egress", "ingress"] {
            let output = Command::new("tc").args(["filter", "show", "dev", device, side]).output().unwrap();
            state.push_str(&format!("{device} {side}: {}", String::from_utf8_lossy(&output.stdout)));
        }
        let query = SchedClassifier::query_tcx(device, TcAttachType::Egress);
        let links = query.map_or(0, |(_, programs)| programs.len());
        state.push_str(&format!("{device}: {links} links\n"));
    }
    state
}

#[test]
fn what_is_attached_is_taken_off_and_nothing_else() {
    within(|_peer| {
        // A qdisc and a filter of somebody else's on one of the two interfaces: the same program, but not our place.
        shell("tc", &["qdisc", "add", "dev", "here", "clsact"]);
        let mut others = object::load(true).unwrap();
        let program = object::classifier(&mut others, "observer_egress").unwrap();
        program.load().unwrap();
        let place = NlOptions { priority: 7, handle: TcHandle::from(1), classid: None };
        program.attach_with_options("here", TcAttachType::Egress, TcAttachOptions::Netlink(place)).unwrap();
        let before = tc_state();
        for plan in [TCX, CLSACT, OLD] {
            let attributor = open(plan);
            let during = tc_state();
            assert_ne!(before, during);
            if !plan.tcx {
                assert!(during.contains("handle 0x6f62 observer_egress"), "{during}");
                assert!(during.contains("handle 0x6f63 observer_egress"), "{during}");
            }
            drop(attributor);
            assert_eq!(before, tc_state());
            assert_eq!(clean_up().unwrap(), []);
            assert!(before.contains("pref 7 bpf chain 0 handle 0x1 observer_egress"), "{before}");
        }
    });
}

#[test]
fn what_a_killed_run_left_is_cleaned_up_and_what_another_run_holds_is_not() {
    within(|_peer| {
        shell("tc", &["qdisc", "add", "dev", "here", "clsact"]);
        let before = tc_state();
        let EbpfAttributor { interfaces, events, programs, .. } = open(CLSACT);
        // As if the process had been killed: nothing is taken off.
        mem::forget(interfaces);
        let left = tc_state();
        assert_ne!(before, left);
        assert_eq!(clean_up().unwrap(), [], "somebody holds the programs");
        assert_eq!(tc_state(), left);
        drop((events, programs));
        let mut removed = clean_up().unwrap();
        removed.sort_by(|a, b| a.interface.cmp(&b.interface));
        let expected = [("here", false), ("lo", true)]
            .map(|(interface, qdisc)| Removed { interface: interface.to_owned(), qdisc });
        assert_eq!(removed, expected);
        assert_eq!(tc_state(), before);
    });
}

#[test]
fn a_new_run_takes_the_place_of_a_killed_one() {
    within(|_peer| {
        let before = tc_state();
        let EbpfAttributor { interfaces, events, programs, .. } = open(CLSACT);
        mem::forget(interfaces);
        drop((events, programs));
        let attributor = open(CLSACT);
        assert_eq!(attributor.notes(), [] as [String; 0]);
        drop(attributor);
        clean_up().unwrap();
        assert_eq!(tc_state(), before);
    });
}

/// The most that a packet may cost. It takes a tenth; a machine with other work and a debug kernel take more.
const MOST: Duration = Duration::from_micros(20);

#[test]
fn a_packet_costs_little() {
    within(|peer| {
        let _servers = peer.serve();
        let attributor = open(TCX);
        let name = attributor.interfaces.ethernet_program();
        let run = || {
            let info = attributor.programs.program(name).unwrap().info().unwrap();
            (info.run_time(), info.run_count())
        };
        let _statistics = aya::sys::enable_stats(aya::sys::Stats::RunTime).unwrap();
        for (kind, script) in [("packets of one flow", ONE_FLOW), ("first packets of flows", MANY_FLOWS)] {
            let (time, count) = run();
            python(10_129, script);
            let (time, count) = (run().0 - time, run().1 - count);
            assert!(count >= 20_000, "{count} {kind}");
            let each = time / u32::try_from(count).unwrap();
            eprintln!("{name}: {} ns a packet, over {count} {kind}", each.as_nanos());
            assert!(each < MOST, "{each:?}");
        }
    });
}

const ONE_FLOW: &str = "
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('10.81.0.2', 5309))
for _ in range(100000):
    try: s.send(b'x')
    except ConnectionRefusedError: pass
";

const MANY_FLOWS: &str = "
for port in range(20000, 40000):
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('10.81.0.2', port))
";
