//! Whether a process could still write a run.

use super::rows::State;
use crate::time::Timestamp;

/// The state of a run without an end that process `pid` began to write at `started`, by the clock on the wall.
///
/// A process that began after the run is another one with the same number. Without /proc, or where the run names no
/// process, it cannot be told. Processes of another PID namespace have other numbers here: who sees writes of a process
/// that is not there knows that its number says nothing.
pub(super) fn state(pid: Option<u32>, started: Option<Timestamp>) -> State {
    match pid.zip(started).map(|(pid, started)| (began(pid), started)) {
        // A second of tolerance: one clock counts from the start of the system, in hundredths.
        Some((Some(Some(began)), started)) if began <= started.0.saturating_add(1_000_000_000) => {
            State::Running
        }
        Some((Some(_), _)) => State::Killed,
        Some((None, _)) | None => State::Unfinished,
    }
}

/// When a process began, in nanoseconds since the Unix epoch; `Some(None)` if there is none of that number, `None` if the
/// system does not say.
fn began(pid: u32) -> Option<Option<i64>> {
    let boot = std::fs::read_to_string("/proc/stat").ok()?;
    let boot: i64 = boot.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return Some(None) };
    // The name in parentheses may hold anything; the 22nd field is the start, in ticks of USER_HZ, which is 100 on every
    // architecture that Linux runs on today (proc_pid_stat(5)).
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    if fields.next()? == "Z" {
        return Some(None);
    }
    let ticks: i64 = fields.nth(18)?.parse().ok()?;
    let nanoseconds = ticks.checked_mul(10_000_000)?;
    Some(Some(boot.checked_mul(1_000_000_000)?.checked_add(nanoseconds)?))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    const LATE: Option<Timestamp> = Some(Timestamp(i64::MAX - 2_000_000_000));

    #[test]
    fn a_run_goes_on_with_its_process() {
        let own = std::process::id();
        assert_eq!(state(Some(own), LATE), State::Running);
        // This process began long after that run.
        assert_eq!(state(Some(own), Some(Timestamp(0))), State::Killed);
        assert_eq!(state(None, LATE), State::Unfinished);
    }

    #[test]
    fn a_process_that_has_ended_writes_no_more() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        assert_eq!(state(Some(pid), LATE), State::Killed);
    }
}
