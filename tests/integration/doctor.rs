//! `observer doctor` on the system that runs the tests, as root and as nobody in particular.

use std::fs::File;
use std::process::{Command, Output};

use serde_json::Value;

/// A user who owns nothing.
const UID: &str = "10123";

fn doctor(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_observer-under-test"));
    command.arg("doctor").args(arguments);
    command
}

/// The same as [`UID`], if the test runs as root. The program may lie where that user cannot go: it is passed on open.
fn unprivileged(arguments: &[&str]) -> Option<Output> {
    if !is_root() {
        eprintln!("SKIPPED doctor without privileges: becoming another user needs root");
        return None;
    }
    let program = File::open(env!("CARGO_BIN_EXE_observer-under-test")).expect("the program is there");
    let line = "exec 9<&0 0</dev/null; exec setpriv --reuid \"$0\" --regid \"$0\" --clear-groups /proc/self/fd/9 doctor \"$@\"";
    let output = Command::new("bash").args(["-c", line, UID]).args(arguments).stdin(program).output();
    Some(output.expect("bash and setpriv are there"))
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn state<'a>(answer: &'a Value, id: &str) -> &'a str {
    let capabilities = answer["capabilities"].as_array().expect("a list");
    let found = capabilities.iter().find(|capability| capability["id"] == id);
    found.and_then(|capability| capability["state"].as_str()).unwrap_or_default()
}

#[test]
fn the_exit_code_says_what_a_capture_amounts_to() {
    let output = doctor(&["--format", "json"]).output().unwrap();
    let answer = json(&output);
    let code = match answer["capture"].as_str().unwrap() {
        "full" => 0,
        "degraded" => 4,
        "none" => 3,
        other => panic!("{other}"),
    };
    assert_eq!(output.status.code(), Some(code));
    assert_eq!(state(&answer, "system.kernel"), "fact");
    assert_eq!(state(&answer, "capture.packet_socket") == "yes", code != 3);
}

#[test]
fn without_privileges_each_no_has_its_reason_and_its_cost() {
    let Some(output) = unprivileged(&["--format", "json"]) else { return };
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let answer = json(&output);
    assert_eq!(answer["capture"], "none");
    let packet = answer["capabilities"].as_array().unwrap().iter();
    let packet = packet.clone().find(|capability| capability["id"] == "capture.packet_socket").unwrap();
    assert_eq!(packet["state"], "no");
    assert_eq!(packet["errno"], "EPERM");
    assert_eq!(packet["reason"], "needs root, or CAP_NET_RAW");
    for capability in answer["capabilities"].as_array().unwrap() {
        if capability["state"] == "no" {
            assert!(!capability["reason"].as_str().unwrap().is_empty(), "{capability}");
            assert!(!capability["cost"].as_str().unwrap().is_empty(), "{capability}");
        }
    }
}

#[test]
fn a_pipe_gets_plain_text_of_80_columns() {
    let outputs = [Some(doctor(&[]).output().unwrap()), unprivileged(&[])];
    for output in outputs.into_iter().flatten() {
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = text(&output);
        assert!(!text.contains('\u{1b}'), "{text}");
        let long = text.lines().find(|line| line.chars().count() > 80 || line.ends_with(' '));
        assert_eq!(long, None);
        assert!(text.contains("\nKernel programs (eBPF)\n"), "{text}");
        assert!(text.contains("--attribution auto chooses "), "{text}");
    }
    let coloured = doctor(&["--color", "always"]).output().unwrap();
    assert!(text_has_colour(&coloured));
}

fn text_has_colour(output: &Output) -> bool {
    text(output).contains("\u{1b}[32myes")
}

#[test]
fn the_system_stays_as_it_was() {
    let look = || {
        let seen = ["qdisc show", "filter show dev lo egress"].map(|words| {
            Command::new("tc").args(words.split(' ')).output().map(|output| output.stdout).unwrap_or_default()
        });
        let links = Command::new("ip").args(["-o", "link", "show", "dev", "lo"]).output();
        (
            seen,
            links.map(|output| output.stdout).unwrap_or_default(),
            std::fs::read("/proc/self/mounts").unwrap(),
        )
    };
    let before = look();
    doctor(&[]).output().unwrap();
    assert!(before == look(), "a qdisc, filter, interface or mount came or went");
}
