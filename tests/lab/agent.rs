//! The agent on one side, a host on the other: links that break, spools that fill, hosts that go.

use std::fs;
use std::io;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use observer::android::agent::{AgentControl, Client, ClientError, ClientOptions, Link, LinkState};
use observer::report::Run;
use observer::report::outcome::Outcome;
use observer_tests::{analyze, options};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::attribution::start;
use crate::capture::{OBSERVER, SETTLE};
use crate::lifecycle::{held_programs, remaining, traffic_control};
use crate::network::{INTERFACE, Network, PEERS};
use crate::truth::{Comparison, Truth};

/// How long something may take that takes far less.
const PATIENCE: Duration = Duration::from_secs(60);

const PACKAGES: &str = "\
com.example.tcp4 10101 0 /data/user/0/com.example.tcp4 default none
com.example.tcp6 10102 0 /data/user/0/com.example.tcp6 default none
";

/// Whether `done` comes true in time.
fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "{what} takes too long");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// An agent on the side of the apps, as a host starts it.
#[derive(Clone)]
struct Agent {
    network: Arc<Network>,
    session: String,
    words: Vec<String>,
    /// The process of the last link's relay; 0 before the first.
    relay: Arc<AtomicI32>,
    /// Links cannot be made while it is set.
    cut: Arc<AtomicBool>,
}

impl Agent {
    /// For a session of this name, in a folder of the network's own.
    fn new(network: Network, session: &str, words: &[&str]) -> Self {
        fs::write(network.folder.path().join("packages.list"), PACKAGES).expect("a new file");
        let folder = network.folder.path().display().to_string();
        let packages = format!("{folder}/packages.list");
        let fixed = ["agent", "--session", session, "--spool", &folder, "--packages", &packages];
        let words = fixed.iter().chain(words).map(|word| (*word).to_owned()).collect();
        let session = session.to_owned();
        Self { network: Arc::new(network), session, words, relay: Arc::default(), cut: Arc::default() }
    }

    /// Starts a relay.
    fn link(&self) -> io::Result<Link> {
        if self.cut.load(Ordering::Acquire) {
            return Err(io::Error::new(io::ErrorKind::NotConnected, "the cable is out"));
        }
        let mut command = self.network.app(OBSERVER);
        command.args(&self.words).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let (Some(writer), Some(reader)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("not piped"));
        };
        self.relay.store(Pid::from_child(&child).as_raw_nonzero().get(), Ordering::Release);
        let child: Mutex<Option<Child>> = Mutex::new(Some(child));
        let end = move || {
            if let Some(mut child) = child.lock().unwrap_or_else(PoisonError::into_inner).take() {
                let _ = child.kill();
                let _ = child.wait();
            }
        };
        Ok(Link { reader: Box::new(reader), writer: Box::new(writer), end: Arc::new(end) })
    }

    fn connect(&self, give_up_after: Duration) -> Result<Client, ClientError> {
        let agent = self.clone();
        let options = ClientOptions { give_up_after, ..ClientOptions::default() };
        Client::connect(move || agent.link(), &options)
    }

    /// Pulls the cable: the relay is killed, and no other is started.
    fn cut(&self) {
        self.cut.store(true, Ordering::Release);
        self.kill_relay();
    }

    fn kill_relay(&self) {
        let relay = Pid::from_raw(self.relay.load(Ordering::Acquire)).expect("a relay was started");
        kill_process(relay, Signal::KILL).expect("it runs");
    }

    fn mend(&self) {
        self.cut.store(false, Ordering::Release);
    }

    /// The daemon's process: it has the session's name and the hidden option among its words.
    fn daemon(&self) -> Option<u32> {
        fs::read_dir("/proc").expect("/proc").flatten().find_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let words = fs::read(entry.path().join("cmdline")).ok()?;
            let words: Vec<_> = words.split(|byte| *byte == 0).collect();
            let has = |word: &str| words.contains(&word.as_bytes());
            (has("--daemon") && has(&self.session)).then_some(pid)
        })
    }

    /// What the session has on the disk.
    fn files(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.network.folder.path())
            .expect("the network's folder")
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| name.starts_with("observer-agent"))
            .collect();
        names.sort();
        names
    }

    /// Waits until the daemon has gone, and sees that it left nothing: process, kernel programs, filters, files.
    fn assert_gone(&self, programs: &std::collections::BTreeSet<u32>, traffic: &str) {
        wait("the daemon's end", || self.daemon().is_none());
        assert!(!programs.is_empty());
        assert_eq!(remaining(programs), std::collections::BTreeSet::new());
        assert_eq!(traffic_control(&self.network), traffic);
        assert_eq!(self.files(), [] as [&str; 0]);
    }

    /// Sends so many megabytes from a socket of the apps' side to one that swallows them, in packets of at most 1500 bytes.
    fn send(&self, megabytes: u32) -> Duration {
        let script = "import socket, sys
with socket.create_connection((sys.argv[1], 5009)) as stream:
    for _ in range(int(sys.argv[2])): stream.sendall(bytes(1 << 20))
    stream.shutdown(socket.SHUT_WR)
    stream.recv(1)";
        let mut command = self.network.app_as(10101, "/usr/bin/python3");
        command.args(["-c", script, PEERS[0], &megabytes.to_string()]);
        let begun = Instant::now();
        assert!(command.status().expect("python").success());
        begun.elapsed()
    }
}

/// The analysis of a device's capture, on a thread of its own.
struct Analysis {
    control: AgentControl,
    thread: JoinHandle<(Run, Vec<Value>)>,
}

impl Analysis {
    fn begin(client: Client) -> Self {
        let Client { source, owners, control, .. } = client;
        let thread = std::thread::spawn(move || {
            let mut options = options(2).expect("the lab's root");
            options.live = Some(owners);
            let (run, lines) = analyze(Box::new(source), &options).expect("a run");
            let text = String::from_utf8(lines).expect("text");
            (run, text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect())
        });
        Self { control, thread }
    }

    fn wait_for(&self, state: impl Fn(LinkState) -> bool) {
        wait("the link's state", || state(self.control.state()));
    }

    /// Stops the agent and waits for everything.
    fn stop(self) -> (Run, Vec<Value>, AgentControl) {
        std::thread::sleep(SETTLE);
        self.control.stop();
        self.end()
    }

    fn end(self) -> (Run, Vec<Value>, AgentControl) {
        let (run, records) = self.thread.join().expect("the analysis");
        (run, records, self.control)
    }
}

/// Every frame that was captured arrived once, and every flow has the owner that made it.
fn assert_whole(truths: &[Truth], run: &Run, records: &[Value], control: &AgentControl) {
    let judged = Comparison::new(truths, records).judge();
    assert!(judged.right > 0 && judged.right == truths.len(), "{judged:?}\n{:?}", control.notes());
    let input = &run.inputs[0];
    assert_eq!((input.path.as_str(), input.damages), ("device:any", 0), "{:?}", input.damage);
    assert_eq!((input.frames, input.dropped), (control.counts().frames, Some(0)));
    assert!(run.totals.dropped_by_limit.is_empty(), "{:?}", run.totals.dropped_by_limit);
    assert_eq!((run.totals.duplicates, control.state()), (0, LinkState::Ended));
}

#[test]
fn a_link_that_breaks_loses_nothing() {
    let Some(network) = Network::or_skip("a_link_that_breaks_loses_nothing") else { return };
    let _servers = network.servers();
    let agent = Agent::new(network, "breaks", &["-i", "any"]);
    let before = traffic_control(&agent.network);
    let client = agent.connect(PATIENCE).expect("an agent");
    assert_eq!(client.hello.session, "breaks");
    assert!(client.hello.methods.contains(&"eBPF".to_owned()), "{:?}", client.hello);
    let programs = held_programs(agent.daemon().expect("a daemon"));
    let owners = Arc::clone(&client.owners);
    let analysis = Analysis::begin(client);

    let cases = ["tcp4", "tcp6", "udp4-connected"];
    let mut truths = start(&agent.network, "0", &cases).run(&agent.network, false);
    analysis.wait_for(|state| state == LinkState::Connected);
    agent.cut();
    analysis.wait_for(|state| matches!(state, LinkState::Reconnecting { .. }));
    truths.extend(start(&agent.network, "0", &cases).run(&agent.network, false));
    agent.mend();
    analysis.wait_for(|state| state == LinkState::Connected);
    truths.extend(start(&agent.network, "0", &cases).run(&agent.network, false));
    // Once more while bytes are on their way.
    let sender = {
        let agent = agent.clone();
        std::thread::spawn(move || agent.send(40))
    };
    std::thread::sleep(Duration::from_millis(100));
    agent.kill_relay();
    sender.join().expect("python");
    wait("the second reconnection", || analysis.control.counts().reconnections == 2);
    analysis.control.mark(observer::source::Marker::point(observer::time::Timestamp::new(1, 0), "a step"));

    let (run, records, control) = analysis.stop();
    assert_whole(&truths, &run, &records, &control);
    let packages: Vec<_> = owners.apps().iter().map(|(uid, package, _)| (uid, package.to_owned())).collect();
    assert_eq!(packages, [(10101, "com.example.tcp4".to_owned()), (10102, "com.example.tcp6".to_owned())]);
    assert_eq!(run.markers.len(), 1);
    let offset = control.clock().expect("pings were answered");
    assert!(
        offset.offset_ns.unsigned_abs() <= offset.error_ns.unwrap(),
        "one machine has one clock: {offset:?}"
    );
    let away = control.notes().iter().filter(|note| note.contains("was back after")).count();
    assert_eq!(away, 2, "{:?}", control.notes());
    agent.assert_gone(&programs, &before);
}

#[test]
fn what_the_spool_cannot_hold_is_counted() {
    let Some(network) = Network::or_skip("what_the_spool_cannot_hold_is_counted") else { return };
    let _servers = network.servers();
    let words = ["-i", INTERFACE, "--attribution", "ebpf", "--spool-size", "4", "tcp", "port", "5009"];
    let agent = Agent::new(network, "fills", &words);
    let before = traffic_control(&agent.network);
    let client = agent.connect(PATIENCE).expect("an agent");
    let programs = held_programs(agent.daemon().expect("a daemon"));
    // Nobody reads: the window fills, then memory, then the file.
    agent.send(100);
    std::thread::sleep(SETTLE);
    let (run, _, control) = Analysis::begin(client).stop();
    let counts = control.counts();
    assert!(counts.dropped_by_spool > 0, "{counts:?}");
    // 16 MiB and 4, but for the blocks that no longer fitted.
    assert!(counts.bytes > 18 << 20, "memory and file were full: {counts:?}");
    let dropped = run.totals.dropped_by_limit.get("frames in the agent's spool");
    assert_eq!(dropped, Some(&counts.dropped_by_spool));
    // What arrived and what was dropped is what was captured.
    assert_eq!(run.inputs[0].damages, 0, "{:?}", run.inputs[0].damage);
    assert!(matches!(run.outcome(None), Outcome::Inconclusive(reason) if reason.contains("spool")));
    agent.assert_gone(&programs, &before);
}

#[test]
fn an_agent_without_a_host_ends_by_itself() {
    let Some(network) = Network::or_skip("an_agent_without_a_host_ends_by_itself") else { return };
    let _servers = network.servers();
    let agent = Agent::new(network, "alone", &["-i", INTERFACE, "--linger", "2"]);
    let before = traffic_control(&agent.network);
    let client = agent.connect(Duration::from_secs(4)).expect("an agent");
    let pid = agent.daemon().expect("a daemon");
    let programs = held_programs(pid);
    let analysis = Analysis::begin(client);
    start(&agent.network, "0", &["tcp4"]).run(&agent.network, false);
    wait("the first frames", || analysis.control.counts().frames > 0);
    agent.cut();
    let begun = Instant::now();
    wait("the daemon's end", || agent.daemon().is_none());
    assert!(begun.elapsed() > Duration::from_millis(1900), "{:?}", begun.elapsed());
    agent.assert_gone(&programs, &before);
    // The host goes on without, and says so.
    let (run, _, control) = analysis.end();
    assert!(control.notes().iter().any(|note| note.contains("was lost at")), "{:?}", control.notes());
    let Outcome::Inconclusive(reason) = run.outcome(None) else { panic!("{:?}", run.inputs) };
    assert_eq!(run.inputs[0].damages, 1, "{reason}");
}

#[test]
fn an_agent_that_is_killed_is_not_taken_for_the_next() {
    let Some(network) = Network::or_skip("an_agent_that_is_killed_is_not_taken_for_the_next") else { return };
    let _servers = network.servers();
    let agent = Agent::new(network, "killed", &["-i", INTERFACE, "--linger", "5"]);
    let before = traffic_control(&agent.network);
    let analysis = Analysis::begin(agent.connect(PATIENCE).expect("an agent"));
    let pid = agent.daemon().expect("a daemon");
    let programs = held_programs(pid);
    start(&agent.network, "0", &["tcp4"]).run(&agent.network, false);
    wait("the first frames", || analysis.control.counts().frames > 0);
    kill_process(Pid::from_raw(pid.cast_signed()).expect("a process"), Signal::KILL).expect("it runs");
    let (run, _, control) = analysis.end();
    let lost = control.notes().into_iter().find(|note| note.contains("was lost at")).expect("a note");
    assert!(lost.contains("is gone") || lost.contains("another began"), "{lost}");
    assert!(matches!(run.outcome(None), Outcome::Inconclusive(_)));
    agent.assert_gone(&programs, &before);
}

#[test]
fn a_signal_ends_an_agent_with_everything_said() {
    let Some(network) = Network::or_skip("a_signal_ends_an_agent_with_everything_said") else { return };
    let _servers = network.servers();
    let agent = Agent::new(network, "signal", &["-i", "any"]);
    let before = traffic_control(&agent.network);
    let analysis = Analysis::begin(agent.connect(PATIENCE).expect("an agent"));
    let pid = agent.daemon().expect("a daemon");
    let programs = held_programs(pid);
    let truths = start(&agent.network, "0", &["tcp4", "tcp6"]).run(&agent.network, false);
    kill_process(Pid::from_raw(pid.cast_signed()).expect("a process"), Signal::TERM).expect("it runs");
    let (run, records, control) = analysis.end();
    assert_whole(&truths, &run, &records, &control);
    agent.assert_gone(&programs, &before);
}

#[test]
fn what_is_sent_fast_arrives_or_is_counted() {
    /// Datagrams that are sent.
    const DATAGRAMS: u64 = 200_000;
    let Some(network) = Network::or_skip("what_is_sent_fast_arrives_or_is_counted") else { return };
    let _servers = network.servers();
    let words = ["-i", INTERFACE, "--attribution", "ebpf", "port", "5009", "or", "udp", "port", "5011"];
    let agent = Agent::new(network, "fast", &words);
    let analysis = Analysis::begin(agent.connect(PATIENCE).expect("an agent"));
    let large = agent.send(200);
    let script = "import socket, sys
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.connect((sys.argv[1], 5011))
for _ in range(int(sys.argv[2])): sender.send(bytes(100))";
    let mut command = agent.network.app_as(10102, "/usr/bin/python3");
    let begun = Instant::now();
    command.args(["-c", script, PEERS[0], &DATAGRAMS.to_string()]);
    assert!(command.status().expect("python").success());
    let small = begun.elapsed();
    let (run, _, control) = analysis.stop();
    let counts = control.counts();
    let line = format!("{counts:?}; 200 MiB in {large:?}, {DATAGRAMS} datagrams in {small:?}\n");
    assert!(io::Write::write_all(&mut io::stderr(), line.as_bytes()).is_ok());
    assert_eq!(run.inputs[0].damages, 0, "{:?}", run.inputs[0].damage);
    assert!(counts.bytes > 100 << 20, "{counts:?}");
    assert!(counts.frames + counts.dropped_by_kernel + counts.dropped_by_spool >= DATAGRAMS, "{counts:?}");
}

#[test]
fn what_hinders_an_agent_is_said_in_a_line() {
    let Some(network) = Network::or_skip("what_hinders_an_agent_is_said_in_a_line") else { return };
    for (words, code, named) in [
        (&["-i", "lab7"][..], 3, "lab7"),
        (&["-i", INTERFACE, "not", "a", "filter"], 3, "not a filter"),
        (&["--session", "a/b"], 3, "a/b"),
        (&["--linger", "0"], 2, "--linger"),
    ] {
        let folder = network.folder.path().display().to_string();
        let mut command = network.app(OBSERVER);
        let output = command.args(["agent", "--spool", &folder]).args(words).output().expect("nsenter");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
        assert!(said.contains(named) && output.stdout.is_empty(), "{words:?}: {said}");
        assert!(code == 2 || said.lines().count() == 1, "{words:?}: {said}");
        assert_eq!(fs::read_dir(&folder).expect("a folder").count(), 0, "{words:?}");
    }
}
