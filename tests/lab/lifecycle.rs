//! How a capture begins and ends: by signals, by itself, by force, or not at all.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rusqlite::Connection;
use rustix::process::{Pid, Signal, kill_process};

use crate::capture::{Capture, Ended, OBSERVER, SETTLE};
use crate::network::{INTERFACE, Network, PEERS};

/// One exchange with the echo server, from bash.
fn exchange(network: &Network) {
    let script =
        format!("exec 3<>/dev/tcp/{}/5007; echo hello >&3; read answer <&3; [ $answer = hello ]", PEERS[0]);
    assert!(network.app("bash").args(["-c", &script]).status().expect("bash").success());
}

/// The words that keep a run in the network's folder.
fn database(network: &Network) -> String {
    network.folder.path().join("run.db").display().to_string()
}

/// Flows of finished runs, and the states of all runs.
fn stored(path: &str) -> (i64, Vec<String>) {
    let database = Connection::open(path).expect("a database");
    let flows = database.query_row("SELECT count(*) FROM flows", [], |row| row.get(0)).expect("flows");
    let mut runs = database.prepare("SELECT status FROM runs").expect("runs");
    let states = runs.query_map([], |row| row.get(0)).expect("rows").map(|state| state.expect("text"));
    let states: Vec<String> = states.collect();
    let sound: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("a check");
    assert_eq!(sound, "ok");
    (flows, states)
}

#[test]
fn a_signal_ends_a_capture_with_everything_kept() {
    let Some(network) = Network::or_skip("a_signal_ends_a_capture_with_everything_kept") else { return };
    let _servers = network.servers();
    let path = database(&network);
    for (number, signal) in [Signal::INT, Signal::TERM].into_iter().enumerate() {
        let capture = Capture::start(&network, &["-i", INTERFACE, "--db", &path]);
        exchange(&network);
        std::thread::sleep(SETTLE);
        capture.signal(signal);
        let Ended { status, stderr, records } = capture.ended();
        assert!(matches!(status.code(), Some(0 | 4)), "{signal:?}: {status}: {stderr}");
        assert_eq!(records.last().map(|record| &record["type"]), Some(&"summary".into()), "{signal:?}");
        let (flows, states) = stored(&path);
        assert!(flows > i64::try_from(number).unwrap(), "{flows} flows");
        assert_eq!(states, vec!["finished"; number + 1], "{signal:?}");
    }
}

#[test]
fn two_signals_at_once_lose_nothing_that_was_stored() {
    let Some(network) = Network::or_skip("two_signals_at_once_lose_nothing_that_was_stored") else { return };
    let _servers = network.servers();
    let path = database(&network);
    let first = Capture::start(&network, &["-i", INTERFACE, "--db", &path]);
    exchange(&network);
    first.interrupt();
    let (before, _) = stored(&path);
    // Two that come together are one, as from timeout(1). A later one ends at once, with 130 as a shell tells an interrupt, unless
    // the end was faster.
    for (gap, later) in [(10, false), (300, true)] {
        let capture = Capture::start(&network, &["-i", INTERFACE, "--db", &path]);
        exchange(&network);
        capture.signal(Signal::INT);
        std::thread::sleep(Duration::from_millis(gap));
        capture.signal(Signal::INT);
        let ended = capture.ended();
        let code = ended.status.code();
        let whole = matches!(code, Some(0 | 4));
        assert!(whole || later && code == Some(130), "{gap} ms: {}: {}", ended.status, ended.stderr);
        let (after, states) = stored(&path);
        assert!(after >= before, "{before} flows became {after}");
        assert_eq!(states[0], "finished");
        assert!(!whole || states.last().is_some_and(|state| state == "finished"), "{states:?}");
    }
}

#[test]
fn a_capture_ends_after_a_number_of_frames() {
    let Some(network) = Network::or_skip("a_capture_ends_after_a_number_of_frames") else { return };
    let _servers = network.servers();
    let capture = Capture::start(&network, &["-i", INTERFACE, "-c", "3", "tcp", "port", "5007"]);
    exchange(&network);
    let ended = capture.ended();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    assert_eq!(ended.one("summary")["frames"], 3);
    let flow = ended.one("flow");
    assert_eq!(flow["destination"]["port"], 5007, "{flow}");
}

#[test]
fn who_watches_can_leave_a_word() {
    let Some(network) = Network::or_skip("who_watches_can_leave_a_word") else { return };
    let path = database(&network);
    let capture = Capture::start(&network, &["-i", INTERFACE, "--db", &path]);
    let socket = format!("/run/observer/{}.sock", capture.pid());
    let mark = |label: &str| {
        Command::new(OBSERVER).args(["mark", label, "--socket", &socket]).output().expect("it runs")
    };
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(&socket).expect("the capture's socket").permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    assert!(mark("log in").status.success());
    let refused = mark("");
    assert_eq!(refused.status.code(), Some(3));
    let ended = capture.interrupt();
    assert_eq!(ended.one("marker")["label"], "log in");
    let database = Connection::open(&path).expect("a database");
    let label: String =
        database.query_row("SELECT label FROM markers", [], |row| row.get(0)).expect("a marker");
    assert_eq!(label, "log in");
    assert!(!Path::new(&socket).exists(), "the socket goes with the capture");
}

/// One line that says what is wrong, and this exit code. What the machine lacks (tracefs, say) may be warned of before.
fn fails(network: &Network, command: &mut Command, code: i32, named: &str) {
    let ended = Capture::spawn(network, command).ended();
    assert_eq!(ended.status.code(), Some(code), "{}", ended.stderr);
    let errors: Vec<_> =
        ended.stderr.lines().filter(|line| !line.starts_with("observer: warning: ")).collect();
    assert!(matches!(errors.as_slice(), [line] if line.contains(named)), "{}", ended.stderr);
    assert!(ended.records.is_empty());
}

#[test]
fn what_cannot_be_captured_is_named_in_one_line() {
    let Some(network) = Network::or_skip("what_cannot_be_captured_is_named_in_one_line") else { return };
    let command = |words: &[&str]| {
        let mut command = network.app(OBSERVER);
        command.args(["capture", "--format", "jsonl"]).args(words);
        command
    };
    fails(&network, &mut command(&["-i", "lab7"]), 3, "lab7");
    fails(&network, &mut command(&["-i", INTERFACE, "not", "a", "filter"]), 2, "not a filter");
    fails(&network, &mut command(&["-i", INTERFACE, "--", "no-such-program"]), 3, "no-such-program");
}

#[test]
fn who_is_not_root_is_told_so() {
    let Some(network) = Network::or_skip("who_is_not_root_is_told_so") else { return };
    // The program lies in a folder that other users may not enter: it is passed on as an open file.
    let program = File::open(OBSERVER).expect("the program");
    let mut command = network.app_as(10_123, "bash");
    command.args(["-c", "exec 9<&0 0</dev/null; exec /proc/self/fd/9 capture --format jsonl -i lab0"]);
    let output = command.stdin(Stdio::from(program)).output().expect("bash");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains("root") || stderr.contains("CAP_NET_RAW"), "{stderr}");
}

/// Queueing disciplines and filters of the interface.
pub(crate) fn traffic_control(network: &Network) -> String {
    let show = |words: &[&str]| network.ask(&[&["tc"], words, &["dev", INTERFACE]].concat());
    show(&["qdisc", "show"]) + &show(&["filter", "show", "ingress"]) + &show(&["filter", "show", "egress"])
}

/// The kernel programs that a process holds, by their numbers.
pub(crate) fn held_programs(pid: u32) -> BTreeSet<u32> {
    let folder = fs::read_dir(format!("/proc/{pid}/fdinfo")).expect("the process runs");
    let texts = folder.flatten().filter_map(|entry| fs::read_to_string(entry.path()).ok());
    texts
        .filter_map(|text| text.lines().find_map(|line| line.strip_prefix("prog_id:")?.trim().parse().ok()))
        .collect()
}

/// Which of `programs` the kernel still has, after a while: it takes them away when nobody looks.
pub(crate) fn remaining(programs: &BTreeSet<u32>) -> BTreeSet<u32> {
    let mut left = BTreeSet::new();
    for _ in 0..100 {
        let loaded = aya::programs::loaded_programs().filter_map(Result::ok).map(|program| program.id());
        left = loaded.filter(|id| programs.contains(id)).collect();
        if left.is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    left
}

#[test]
fn a_killed_capture_leaves_nothing_that_cannot_be_taken_away() {
    let Some(network) = Network::or_skip("a_killed_capture_leaves_nothing_that_cannot_be_taken_away") else {
        return;
    };
    // Somebody else's, which stays in every case.
    network.ask(&["tc", "qdisc", "add", "dev", INTERFACE, "clsact"]);
    let filter = ["egress", "prio", "7", "bpf", "bytecode", "1,6 0 0 4294967295,"];
    network.ask(&[&["tc", "filter", "add", "dev", INTERFACE], &filter[..]].concat());
    let before = traffic_control(&network);
    assert!(before.contains("clsact") && before.contains("bytecode"), "{before}");

    let capture = Capture::start(&network, &["-i", INTERFACE, "--attribution", "ebpf"]);
    let programs = held_programs(capture.pid());
    assert!(!programs.is_empty());
    capture.interrupt();
    assert_eq!(remaining(&programs), BTreeSet::new(), "after a good end");
    assert_eq!(traffic_control(&network), before, "after a good end");

    let path = database(&network);
    let words = ["-i", INTERFACE, "--attribution", "ebpf", "--db", &path, "--", "sleep", "60"];
    let capture = Capture::start(&network, &words);
    let pid = capture.pid();
    let programs = held_programs(pid);
    let cgroup = observer::live::mounts::find("cgroup2").expect("cgroups").join(format!("observer-{pid}"));
    let sleeps = fs::read_to_string(cgroup.join("cgroup.procs")).expect("the cgroup of the command");
    let socket = format!("/run/observer/{pid}.sock");
    assert!(Path::new(&socket).exists());
    // By SIGKILL.
    drop(capture);

    let output = network.app(OBSERVER).arg("cleanup").output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains(&format!("observer-{pid}")) && said.contains(&socket), "{said}");
    let sleeps = sleeps.trim().parse().ok().and_then(Pid::from_raw).expect("one process");
    kill_process(sleeps, Signal::KILL).expect("the command goes on");
    assert!(!cgroup.exists() && !Path::new(&socket).exists());
    assert_eq!(remaining(&programs), BTreeSet::new(), "after a cleanup");
    assert_eq!(traffic_control(&network), before, "after a cleanup");
    assert_eq!(stored(&path).1, ["unfinished"]);
}
