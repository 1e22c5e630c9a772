//! Gives up its privileges as a capture does, and says what it still can: a program of its own, because a test's thread
//! has the test harness beside it.
//!
//! Arguments: the file to write, then files to try to open. `USER_WANTED` is what `--user` says.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    match lowered::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lowered: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("lowered: captures run on Linux only");
    ExitCode::FAILURE
}

#[cfg(target_os = "linux")]
mod lowered {
    use std::error::Error;
    use std::fs::{self, File};
    use std::io::Write as _;
    use std::net::TcpListener;
    use std::path::PathBuf;

    use observer::live::confinement::{Confinement, confine};
    use observer::live::privileges::{Need, Target, create_private, lower};
    use observer::live::thread_state::ThreadState;
    use serde_json::json;

    pub(crate) fn run() -> Result<(), Box<dyn Error>> {
        let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
        let (output, tried) = paths.split_first().ok_or("which file is to be written?")?;
        // Opened while it was allowed to: an open file stays open.
        let open = File::open("/proc/self/status")?;

        if std::env::var_os("THREAD_BEFORE").is_some() {
            std::thread::spawn(std::thread::park);
        }
        let target =
            Target::choose(std::env::var("USER_WANTED").ok().as_deref(), |name| std::env::var(name).ok())?;
        let lowered = lower(target, &[Need::FollowInterfaces, Need::ReadProcesses])?;
        let mut notes = lowered.notes();

        // The parent belongs to somebody else, if this process changed its user.
        let parent = format!("/proc/{}/fd/0", std::os::unix::process::parent_id());
        let look = || fs::read_link(&parent).is_ok();
        let looked_before = look();
        let directory = output.parent().ok_or("the file to write has no directory")?.to_owned();
        notes.extend(confine(&Confinement { read: Vec::new(), write: vec![directory] })?.notes());

        create_private(output)?.write_all(b"written")?;
        let later =
            std::thread::spawn(ThreadState::current).join().map_err(|_panic| "the thread panicked")??;
        let states = [ThreadState::current()?, later].map(|state| {
            json!({
                "uids": state.uids,
                "gids": state.gids,
                "groups": state.groups,
                "effective": state.effective,
                "permitted": state.permitted,
                "no_new_privileges": state.no_new_privileges,
            })
        });
        let opened: Vec<bool> = tried.iter().map(|path| File::open(path).is_ok()).collect();
        let answer = json!({
            "threads": states,
            "opened": opened,
            "looked_before": looked_before,
            "looked_after": look(),
            "listens": TcpListener::bind("127.0.0.1:0").is_ok(),
            "still_open": std::io::read_to_string(open)?.contains("lowered"),
            "notes": notes,
        });
        writeln!(std::io::stdout(), "{answer}")?;
        Ok(())
    }
}
