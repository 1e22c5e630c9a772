//! What a capture can still do after it gave up its privileges, asked of a real process.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// `CAP_DAC_OVERRIDE`, `CAP_DAC_READ_SEARCH`, `CAP_NET_ADMIN`, `CAP_SYS_PTRACE`, `CAP_BPF` (include/uapi/linux/capability.h).
const DAC_OVERRIDE: u64 = 1 << 1;
const NEEDED: u64 = 1 << 2 | 1 << 12 | 1 << 19 | 1 << 39;

/// Whether the test runs as root; says so loudly where it does not.
fn is_root(test: &str) -> bool {
    let root = fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0);
    if !root {
        observer_tests::skip(test, "needs root");
    }
    root
}

/// A directory of `uid` that holds nothing, and the file to make in it.
fn directory(uid: u32) -> (tempfile::TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::os::unix::fs::chown(directory.path(), Some(uid), Some(uid)).expect("root gives files away");
    let output = directory.path().join("capture.pcapng");
    (directory, output)
}

fn lowered(variables: &[(&str, &str)], output: &Path, tried: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lowered"))
        .env_remove("SUDO_UID")
        .env_remove("SUDO_GID")
        .envs(variables.iter().copied())
        .arg(output)
        .args(tried)
        .output()
        .expect("the program runs")
}

fn answer(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("the program writes JSON")
}

/// A file that root alone can read.
fn secret() -> tempfile::NamedTempFile {
    tempfile::NamedTempFile::new().expect("a temporary file")
}

#[test]
fn the_caller_of_sudo_is_all_that_is_left_of_root() {
    if !is_root("the_caller_of_sudo_is_all_that_is_left_of_root") {
        return;
    }
    let (_directory, output) = directory(10123);
    let answer = answer(&lowered(
        &[("SUDO_UID", "10123"), ("SUDO_GID", "20123")],
        &output,
        &[Path::new("/etc/shadow"), Path::new("/etc/passwd"), Path::new("/usr/bin/env"), secret().path()],
    ));
    for thread in answer["threads"].as_array().unwrap() {
        assert_eq!(thread["uids"], serde_json::json!([10123, 10123, 10123, 10123]));
        assert_eq!(thread["gids"], serde_json::json!([20123, 20123, 20123, 20123]));
        assert_eq!(thread["groups"], serde_json::json!([]));
        assert_eq!(thread["effective"], NEEDED);
        assert_eq!(thread["permitted"], NEEDED);
        assert_eq!(thread["no_new_privileges"], true);
    }
    let metadata = fs::metadata(&output).unwrap();
    assert_eq!(
        (metadata.uid(), metadata.gid(), metadata.permissions().mode() & 0o7777),
        (10123, 20123, 0o600)
    );
    assert_eq!(answer["still_open"], true);
    assert_eq!(
        answer["looked_before"], true,
        "CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH look into /proc/PID/fd"
    );
    let opened = answer["opened"].as_array().unwrap();
    assert_eq!(opened[1], true, "/etc/passwd names users");
    if confined(&answer) {
        assert_eq!(answer["looked_after"], false, "Landlock hides what runs outside of it");
        // CAP_DAC_READ_SEARCH opens every file: only Landlock keeps it to the places that are needed.
        assert_eq!(opened[0], false, "the passwords");
        assert_eq!(opened[2], false, "a file outside of what a capture touches");
        assert_eq!(answer["listens"], false, "TCP");
        assert_eq!(opened[3], false, "a private file of root");
    }
}

#[test]
fn root_of_its_own_accord_stays_root_without_its_powers() {
    if !is_root("root_of_its_own_accord_stays_root_without_its_powers") {
        return;
    }
    let (_directory, output) = directory(10123);
    let answer = answer(&lowered(&[], &output, &[Path::new("/etc/shadow")]));
    for thread in answer["threads"].as_array().unwrap() {
        assert_eq!(thread["uids"], serde_json::json!([0, 0, 0, 0]));
        assert_eq!(thread["effective"], NEEDED | DAC_OVERRIDE, "and writes into a directory of uid 10123");
        assert_eq!(thread["permitted"], NEEDED | DAC_OVERRIDE);
        assert_eq!(thread["no_new_privileges"], true);
    }
    let notes = answer["notes"].as_array().unwrap();
    assert_eq!(notes[0], "stays root: neither --user nor SUDO_UID says whom to become");
    assert_eq!(fs::metadata(&output).unwrap().permissions().mode() & 0o7777, 0o600);
    if confined(&answer) {
        assert_eq!(answer["opened"], serde_json::json!([false]));
    }
}

#[test]
fn who_is_not_root_has_nothing_to_give_up_and_is_told_what_is_lacking() {
    if !is_root("who_is_not_root_has_nothing_to_give_up_and_is_told_what_is_lacking") {
        return;
    }
    let (_directory, output) = directory(10123);
    // The program lies in a directory that other users may not enter: it is passed on as an open file.
    let program = fs::File::open(env!("CARGO_BIN_EXE_lowered")).unwrap();
    let script =
        format!("exec setpriv --reuid 10123 --clear-groups --regid 10123 /proc/self/fd/{} \"$@\"", 9);
    let run = |variables: &[(&str, &str)]| {
        Command::new("bash")
            .args(["-c", &format!("exec 9<&0 0</dev/null; {script}"), "bash"])
            .arg(&output)
            .stdin(program.try_clone().unwrap())
            .env_remove("SUDO_UID")
            .envs(variables.iter().copied())
            .output()
            .unwrap()
    };
    let calm = answer(&run(&[("SUDO_UID", "0")]));
    let notes: Vec<_> = calm["notes"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(notes[0], "runs as uid 10123, as it was started");
    assert_eq!(notes[1], "keeps no capability");
    assert!(notes[2].starts_with("has no CAP_NET_ADMIN CAP_"), "{notes:?}");
    assert_eq!(calm["threads"][1]["permitted"], 0);

    let refused = run(&[("USER_WANTED", "10200")]);
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(said, "lowered: becoming another user needs root; the process runs as uid 10123\n");
}

#[test]
fn a_thread_that_keeps_its_powers_ends_the_run() {
    if !is_root("a_thread_that_keeps_its_powers_ends_the_run") {
        return;
    }
    let (_directory, output) = directory(10123);
    let refused = lowered(&[("THREAD_BEFORE", "1")], &output, &[]);
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains(" still has CAP_CHOWN"), "{said}");
    assert!(!output.exists());

    // Without user 0 a thread has no capability, whoever spawned it.
    let changed = answer(&lowered(&[("THREAD_BEFORE", "1"), ("SUDO_UID", "10123")], &output, &[]));
    let notes = changed["notes"].as_array().unwrap();
    assert!(notes.iter().any(|note| note == "no_new_privs does not hold on all threads"), "{notes:?}");
}

/// What a capture does under another user, in a network namespace of its own: it says what the threads may, and how it
/// observes a command.
const CAPTURE: &str = r#"
ip link set lo up
"$0" capture -i lo --db run.db -w run.pcapng >text 2>said &
capture=$!
for try in $(seq 100); do grep -q 'capturing on' said && break; sleep 0.1; done
grep -hE '^(Uid|CapEff|NoNewPrivs):' /proc/$capture/task/*/status
kill -INT $capture
wait $capture
"$0" capture -i lo -- sh -c 'echo pid $PPID' 2>said
"#;

#[test]
fn a_capture_runs_as_the_caller_of_sudo_and_leaves_nothing_behind() {
    if !is_root("a_capture_runs_as_the_caller_of_sudo_and_leaves_nothing_behind") {
        return;
    }
    let (directory, _) = directory(10123);
    let output = Command::new("unshare")
        .args(["--net", "bash", "-c", CAPTURE, env!("CARGO_BIN_EXE_observer-under-test")])
        .current_dir(directory.path())
        .env("SUDO_UID", "10123")
        .env("SUDO_GID", "10123")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let values = |key: &str| -> Vec<String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(key));
        lines.map(|value| value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")).collect()
    };
    let users = values("Uid:");
    assert!(users.len() > 3, "{output:?}");
    assert!(users.iter().all(|uids| uids == "10123 10123 10123 10123"), "{users:?}");
    assert!(values("NoNewPrivs:").iter().all(|value| value == "1"));
    let effective: Vec<u64> =
        values("CapEff:").iter().map(|bits| u64::from_str_radix(bits, 16).unwrap()).collect();
    let with: Vec<_> = effective.iter().filter(|bits| **bits != 0).collect();
    assert_eq!(with, [&NEEDED], "the thread that looks for owners, and no other: {effective:x?}");
    for name in ["run.db", "run.pcapng"] {
        let metadata = fs::metadata(directory.path().join(name)).unwrap();
        assert_eq!((metadata.uid(), metadata.permissions().mode() & 0o7777), (10123, 0o600), "{name}");
    }
    let pid: u32 = values("pid ").first().unwrap_or_else(|| panic!("{output:?}")).parse().unwrap();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    for line in mounts.lines().filter(|line| line.contains(" cgroup2 ")) {
        let cgroup = format!("{}/observer-{pid}", line.split(' ').nth(1).unwrap());
        assert!(!Path::new(&cgroup).exists(), "{cgroup} is left over");
    }
}

/// Whether the kernel has Landlock; says so loudly where it does not.
fn confined(answer: &Value) -> bool {
    let notes = answer["notes"].as_array().expect("notes");
    let notes: Vec<_> = notes.iter().filter_map(Value::as_str).collect();
    let confined = notes.iter().any(|note| note.contains("confines it"));
    if !confined {
        observer_tests::skip("what Landlock confines", &format!("{notes:?}"));
    }
    confined
}
