//! `observer cleanup` on the system that runs the tests: what a dead process left goes, all else stays.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Command, Output};

/// The number of a process that cannot be: the kernel's greatest is 4194304 (`PID_MAX_LIMIT`).
const DEAD: &str = "4294000001";

fn cleanup() -> Output {
    Command::new(env!("CARGO_BIN_EXE_observer-under-test")).arg("cleanup").output().expect("the program runs")
}

fn is_root(test: &str) -> bool {
    let root = fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0);
    if !root {
        eprintln!("SKIPPED {test}: needs root");
    }
    root
}

/// Where the cgroups of commands are, if the system has cgroup v2.
fn hierarchy() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let line = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2"))?;
    line.split(' ').nth(1).map(PathBuf::from)
}

#[test]
fn what_a_dead_process_left_goes_and_the_second_time_nothing_does() {
    if !is_root("what_a_dead_process_left_goes_and_the_second_time_nothing_does") {
        return;
    }
    fs::create_dir_all("/run/observer").unwrap();
    let socket = PathBuf::from(format!("/run/observer/{DEAD}.sock"));
    let own = PathBuf::from(format!("/run/observer/{}.sock", std::process::id()));
    drop(UnixListener::bind(&socket).unwrap());
    let listener = UnixListener::bind(&own).unwrap();
    let cgroup = hierarchy().map(|root| root.join(format!("observer-{DEAD}")));
    match &cgroup {
        Some(cgroup) => fs::create_dir(cgroup).unwrap(),
        None => eprintln!("SKIPPED the cgroup of a command: there is no cgroup v2"),
    }

    let first = cleanup();
    let said = String::from_utf8_lossy(&first.stdout);
    assert_eq!(first.status.code(), Some(0), "{first:?}");
    assert!(said.contains(&format!("removed the socket {}\n", socket.display())), "{said}");
    assert!(!socket.exists());
    if let Some(cgroup) = &cgroup {
        assert!(said.contains(&format!("removed the cgroup {}\n", cgroup.display())), "{said}");
        assert!(!cgroup.exists());
    }
    assert!(own.exists(), "somebody listens at it");
    drop(listener);
    fs::remove_file(&own).unwrap();

    let second = cleanup();
    let said = String::from_utf8_lossy(&second.stdout);
    assert_eq!(second.status.code(), Some(0));
    assert!(!said.contains(DEAD) && !said.is_empty(), "{said}");
}

#[test]
fn without_root_it_says_so_and_fails() {
    if !is_root("without_root_it_says_so_and_fails") {
        return;
    }
    // The program may lie where that user cannot go: it is passed on open.
    let program = File::open(env!("CARGO_BIN_EXE_observer-under-test")).unwrap();
    let line = "exec 9<&0 0</dev/null; exec setpriv --reuid 10123 --regid 10123 --clear-groups /proc/self/fd/9 cleanup";
    let output = Command::new("bash").args(["-c", line]).stdin(program).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(output.stdout.is_empty());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said, "observer: cleanup needs root: what a capture leaves belongs to the system\n");
}
