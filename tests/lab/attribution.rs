//! Whose flow is it: every kind of socket that the lab's apps have, with each way of finding owners.

use serde_json::Value;

use crate::capture::{Capture, Ended, SETTLE};
use crate::network::{APPS, Network, PEERS, Talker, script};
use crate::truth::{Comparison, Truth};

/// The lab's list of packages, in the widths of Android 4.4 to 11, of 12, and of 13 on.
const PACKAGES: &str = "\
com.example.tcp4 10101 0 /data/user/0/com.example.tcp4 default none
com.example.tcp6 10102 0 /data/user/0/com.example.tcp6 default:targetSdkVersion=30 3003 0 12
com.example.udp4 10103 0 /data/user/0/com.example.udp4 default:targetSdkVersion=34 3003 0 12 1 @null
com.example.shared.b 10150 0 /data/user/0/com.example.shared.b default none 0 1 1 com.android.vending
com.example.shared.a 10150 0 /data/user/0/com.example.shared.a default none 0 1 1 com.android.vending
com.example.many 10123 0 /data/user/0/com.example.many default none 0 1 1 com.android.vending
";

/// The package of the list whose uid has several users and a sandbox.
pub(crate) const APPS_OF_PACKAGE: &str = "com.example.many";

/// Apps that have opened what is to be open before a capture.
pub(crate) struct Started {
    actors: Talker,
    /// What they have said so far.
    pub(crate) lines: Vec<String>,
}

/// Starts the apps of `cases`; all, if it is empty.
pub(crate) fn start(network: &Network, linger: &str, cases: &[&str]) -> Started {
    let mut command = network.app("python3");
    command.arg(script("actors.py")).arg(linger).args(APPS).args(PEERS).args(cases);
    let mut actors = Talker::start(&mut command);
    let lines = actors.until("open");
    Started { actors, lines }
}

impl Started {
    /// Lets them make their flows; if `visited`, those of a visitor to the apps that listen, too.
    pub(crate) fn run(mut self, network: &Network, visited: bool) -> Vec<Truth> {
        self.actors.go_on();
        self.lines.extend(self.actors.until("done"));
        if visited {
            let mut visitor = Talker::start(network.peer("python3").arg(script("visitor.py")).arg(APPS[0]));
            self.lines.extend(visitor.rest());
            visitor.end();
        }
        // The sockets that listen stay until the last packet was seen.
        std::thread::sleep(SETTLE);
        self.actors.go_on();
        self.actors.end();
        Truth::parse(&self.lines)
    }
}

/// Apps that make flows of all kinds while a capture runs with `words`.
pub(crate) fn capture(network: &Network, words: &[&str], cases: &[&str]) -> (Vec<Truth>, Ended) {
    capture_with(network, "0", words, cases)
}

/// The same with apps that keep sockets open for `linger` seconds.
fn capture_with(network: &Network, linger: &str, words: &[&str], cases: &[&str]) -> (Vec<Truth>, Ended) {
    let _servers = network.servers();
    let packages = network.folder.path().join("packages.list");
    std::fs::write(&packages, PACKAGES).expect("a new file");
    let packages = packages.display().to_string();
    let started = start(network, linger, cases);
    let capture = Capture::start(network, &[&["--packages", packages.as_str()], words].concat());
    let truths = started.run(network, cases.is_empty());
    (truths, capture.interrupt())
}

#[test]
fn kernel_programs_know_the_owner_of_every_flow() {
    let Some(network) = Network::or_skip("kernel_programs_know_the_owner_of_every_flow") else { return };
    let (truths, ended) = capture(&network, &["-i", "any", "--attribution", "ebpf"], &[]);
    assert!(truths.len() > 80, "{}", truths.len());
    let comparison = Comparison::new(&truths, &ended.records);
    comparison.judge().assert_all_right(&ended);
    for (truth, record) in &comparison.flows {
        let method = record.map(|record| &record["owner"]["method"]);
        assert_eq!(method, Some(&Value::from("ebpf")), "{truth:?}");
    }
}

#[test]
fn all_methods_together_know_the_owner_of_every_flow() {
    let Some(network) = Network::or_skip("all_methods_together_know_the_owner_of_every_flow") else { return };
    let (truths, ended) = capture(&network, &["-i", "any"], &[]);
    let comparison = Comparison::new(&truths, &ended.records);
    comparison.judge().assert_all_right(&ended);

    let owners = |case: &str| -> Vec<Value> {
        comparison.of_case(case).iter().map(|record| record["owner"].clone()).collect()
    };
    for (case, package) in [
        ("tcp4", "com.example.tcp4"),
        ("tcp6", "com.example.tcp6"),
        ("udp4-connected", "com.example.udp4"),
        ("second-user", "com.example.many"),
        ("sdk-sandbox", "com.example.many"),
    ] {
        assert!(owners(case).iter().all(|owner| owner["package"] == package), "{case}: {:?}", owners(case));
    }
    for owner in owners("shared-uid") {
        let packages = serde_json::json!(["com.example.shared.a", "com.example.shared.b"]);
        assert_eq!((&owner["packages"], &owner["package"]), (&packages, &Value::Null), "all, and none alone");
    }
    for case in ["isolated", "not-listed"] {
        let named = |owner: &Value| owner["package"].is_string() || owner["packages"].is_array();
        assert!(!owners(case).iter().any(named), "{case}: {:?}", owners(case));
    }
    let segments = comparison.of_case("large-segments");
    let bytes = segments[0]["source"]["bytes"].as_u64().unwrap_or_default();
    let packets = segments[0]["source"]["packets"].as_u64().unwrap_or_default();
    assert!(bytes >= 4 << 20, "{bytes} bytes");
    assert!(bytes / packets.max(1) > 3000, "{bytes} bytes in {packets} packets: no packet of offload size");
}

/// What is too short to be found in a table of sockets, if nobody is lucky; a port that changes hands within milliseconds is
/// somebody else's when the table is read.
const SHORT: [&str; 4] = ["port-used-again", "short-tcp", "short-udp", "refused"];

/// A method that reads tables may come too late, but says nothing wrong; what stays open for a while it finds.
fn reads_tables(test: &str, method: &str) {
    let Some(network) = Network::or_skip(test) else { return };
    let (truths, ended) = capture_with(&network, "0.6", &["-i", "any", "--attribution", method], &[]);
    let (short, lasting): (Vec<_>, Vec<_>) =
        truths.into_iter().partition(|truth| SHORT.contains(&truth.case.as_str()));
    let comparison = Comparison::new(&lasting, &ended.records);
    comparison.judge().assert_all_right(&ended);
    for (truth, record) in &comparison.flows {
        let found = record.map(|record| &record["owner"]["method"]);
        assert_eq!(found, Some(&Value::from(method)), "{truth:?}");
    }
    let judged = Comparison::new(&short, &ended.records).judge();
    assert_eq!((judged.wrong.as_str(), judged.unseen.as_str()), ("", ""), "{method}");
}

#[test]
fn netlink_knows_what_is_open() {
    reads_tables("netlink_knows_what_is_open", "sock_diag");
}

#[test]
fn proc_knows_what_is_open() {
    reads_tables("proc_knows_what_is_open", "procfs");
}

#[test]
fn without_attribution_there_is_no_owner() {
    let Some(network) = Network::or_skip("without_attribution_there_is_no_owner") else { return };
    for method in ["none", "recorded"] {
        let words = ["-i", "any", "--attribution", method];
        let (truths, ended) = capture(&network, &words, &["tcp4", "udp6-connected"]);
        let judged = Comparison::new(&truths, &ended.records).judge();
        assert_eq!((judged.right, judged.wrong.as_str()), (0, ""), "{method}");
        assert_eq!(judged.unattributed.lines().count(), truths.len(), "{method}: {judged:?}");
        let summary = ended.one("summary");
        assert_eq!(summary["unattributed"]["flows"], summary["flows"], "{summary}");
    }
}
