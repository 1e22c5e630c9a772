//! Tracepoints.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::thread::CapabilitySet;

use super::{Answer, Item};
use crate::live::mounts;

/// What is lost without the tracepoint.
const COST: &str = "which process connects comes from /proc: that of a short TCP flow may be missed";

/// Whether the tracepoint is there that tells who opens a TCP connection.
pub(super) fn inet_sock_set_state() -> (Answer, Vec<Item>) {
    let Some(tracefs) = tracefs() else {
        let reason = if mounts::is_known("tracefs") {
            "tracefs is not mounted; mount -t tracefs tracefs /sys/kernel/tracing"
        } else {
            "the kernel has no tracefs"
        };
        return Answer::no(reason, COST).alone();
    };
    match fs::read_to_string(tracefs.join("events/sock/inet_sock_set_state/id")) {
        Ok(_) => Answer::yes(format!("in {}", tracefs.display())).alone(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Answer::no("not in this kernel (Linux 4.16 and later have it)", COST).alone()
        }
        Err(error) => Answer::failed(&error, CapabilitySet::DAC_READ_SEARCH, COST).alone(),
    }
}

/// Where tracefs is: below debugfs on older systems.
fn tracefs() -> Option<PathBuf> {
    let below_debugfs = || Some(PathBuf::from("/sys/kernel/debug/tracing")).filter(|path| is_there(path));
    mounts::find("tracefs").or_else(below_debugfs)
}

fn is_there(path: &Path) -> bool {
    path.join("events").exists()
}

/// Who may open performance events, which tracepoints are attached through.
pub(super) fn perf_event_paranoid() -> (Answer, Vec<Item>) {
    match fs::read_to_string("/proc/sys/kernel/perf_event_paranoid") {
        Ok(text) => Answer::fact(meaning(text.trim())).alone(),
        Err(error) => Answer::unknown(error.to_string()).alone(),
    }
}

/// What the setting means for tracepoints; Debian and Android know values above 2.
fn meaning(value: &str) -> String {
    match value.parse::<i32>() {
        Ok(..=-1) => format!("{value}: tracepoints are open to everyone"),
        Ok(_) => format!("{value}: tracepoints take CAP_PERFMON"),
        Err(_) => format!("{value:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_is_explained() {
        assert_eq!(meaning("-1"), "-1: tracepoints are open to everyone");
        assert_eq!(meaning("4"), "4: tracepoints take CAP_PERFMON");
        assert_eq!(meaning(""), "\"\"");
    }
}
