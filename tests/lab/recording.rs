//! What a capture writes down restores the same owners without the system that it was taken from.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::Value;

use crate::attribution::capture;
use crate::capture::{Ended, OBSERVER};
use crate::network::Network;
use crate::truth::Comparison;

/// User and packages of each flow that has an owner, by its ends.
fn owners(records: &[Value]) -> BTreeMap<String, Vec<String>> {
    let mut owners: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for flow in records.iter().filter(|record| record["type"] == "flow") {
        let ends = format!("{} {} {}", flow["network"]["transport"], flow["source"], flow["destination"]);
        let owner = &flow["owner"];
        owners
            .entry(ends)
            .or_default()
            .push(format!("{} {} {}", owner["uid"], owner["package"], owner["packages"]));
    }
    owners.values_mut().for_each(|several| several.sort());
    owners
}

#[test]
fn a_recording_restores_the_owners() {
    let Some(network) = Network::or_skip("a_recording_restores_the_owners") else { return };
    let file = network.folder.path().join("run.pcapng");
    let path = file.display().to_string();
    let (truths, live) = capture(&network, &["-i", "any", "-w", &path], &[]);
    Comparison::new(&truths, &live.records).judge().assert_all_right(&live);
    assert_eq!(file.metadata().expect("the recording").permissions().mode() & 0o777, 0o600);

    // Without any list of packages: the recording tells.
    let output = Command::new(OBSERVER)
        .args(["analyze", &path, "--format", "jsonl", "--fail-on", "never"])
        .output()
        .expect("the command runs");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let records = text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let again = Ended { status: output.status, stderr, records };
    Comparison::new(&truths, &again.records).judge().assert_all_right(&again);
    assert_eq!(owners(&again.records), owners(&live.records));
}
