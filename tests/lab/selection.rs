//! Selectors: what a capture shows of the apps that make flows at once.

use std::collections::BTreeSet;

use crate::attribution::{APPS_OF_PACKAGE, capture, start};
use crate::capture::Capture;
use crate::network::Network;
use crate::truth::Truth;

const CASES: [&str; 6] = ["tcp4", "tcp6", "udp4-connected", "second-user", "shared-uid", "udp-before"];

/// The local ports of the flows that a capture with `words` shows, and of those that the apps of `cases` made.
fn shown(network: &Network, words: &[&str], cases: &[&str]) {
    let (truths, ended) = capture(network, words, &CASES);
    assert_shown(&truths, &ended, words, cases);
}

fn assert_shown(truths: &[Truth], ended: &crate::capture::Ended, words: &[&str], cases: &[&str]) {
    let shown: BTreeSet<u64> =
        ended.of_type("flow").iter().filter_map(|flow| flow["source"]["port"].as_u64()).collect();
    let wanted = truths.iter().filter(|truth| cases.contains(&truth.case.as_str()));
    let wanted: BTreeSet<u64> = wanted.map(|truth| u64::from(truth.local.1)).collect();
    assert!(!wanted.is_empty(), "{cases:?} made no flow");
    assert_eq!(shown, wanted, "{words:?}: {}", ended.stderr);
}

#[test]
fn a_package_is_every_users_of_it() {
    let Some(network) = Network::or_skip("a_package_is_every_users_of_it") else { return };
    shown(&network, &["--package", "com.example.tcp4"], &["tcp4"]);
    shown(
        &network,
        &["--package", APPS_OF_PACKAGE, "--package", "com.example.shared.a"],
        &["second-user", "shared-uid"],
    );
}

#[test]
fn a_uid_is_one_users() {
    let Some(network) = Network::or_skip("a_uid_is_one_users") else { return };
    shown(&network, &["--uid", "10102", "--uid", "1010123"], &["tcp6", "second-user"]);
}

#[test]
fn a_process_is_chosen_by_its_id() {
    let Some(network) = Network::or_skip("a_process_is_chosen_by_its_id") else { return };
    let _servers = network.servers();
    let started = start(&network, "0.3", &CASES);
    // The one whose socket is open already has said its process id.
    let pid = Truth::parse(&started.lines)[0].pid.to_string();
    let words = ["-i", "any", "--pid", pid.as_str()];
    let capture = Capture::start(&network, &words);
    let truths = started.run(&network, false);
    let ended = capture.interrupt();
    assert_shown(&truths, &ended, &words, &["udp-before"]);
}
