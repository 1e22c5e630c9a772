//! What a capture leaves behind when it is killed: the cgroup of its command, and the socket for its markers.
//!
//! Only what a process made that is no more is taken away. Programs that run in such a cgroup go on, in the cgroup above.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use super::mounts;
use super::socket::sockets;

/// What the name of a command's cgroup begins with; the capture's process id follows.
const CGROUP_PREFIX: &str = "observer-";

/// What the kernel calls the process of a capture.
const PROGRAM: &str = "observer";

/// Something that a killed run left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leftover {
    /// The cgroup of a command.
    Cgroup {
        /// Where it is.
        path: PathBuf,
        /// Processes that run in it still.
        processes: Vec<u32>,
    },
    /// The socket for markers.
    Socket {
        /// Where it is.
        path: PathBuf,
    },
}

impl Leftover {
    /// Takes it away. What somebody else took away meanwhile is no error.
    ///
    /// # Errors
    /// The kernel's reason.
    pub fn remove(&self) -> io::Result<()> {
        let removed = match self {
            Self::Cgroup { path, processes } => {
                let above = path.parent().unwrap_or(path).join("cgroup.procs");
                for process in processes {
                    match fs::write(&above, process.to_string()) {
                        // It ended by itself.
                        Err(error)
                            if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {}
                        moved => moved?,
                    }
                }
                fs::remove_dir(path)
            }
            Self::Socket { path } => fs::remove_file(path),
        };
        match removed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}

/// What killed runs left, of all users as far as this one may see.
#[must_use]
pub fn find() -> Vec<Leftover> {
    let mut found = Vec::new();
    if let Some(root) = mounts::find("cgroup2") {
        found.extend(cgroups(&root, is_running));
    }
    found.extend(stale_sockets(&sockets(), is_running));
    found
}

/// Whether a capture runs as the process `pid`. Another process may have got the number of one that was killed; the
/// program may have been given another name, which this process then has, too.
fn is_running(pid: u32) -> bool {
    let name = |process: &str| fs::read_to_string(format!("/proc/{process}/comm")).ok();
    name(&pid.to_string())
        .is_some_and(|running| running.starts_with(PROGRAM) || Some(running) == name("self"))
}

fn cgroups(root: &Path, is_running: impl Fn(u32) -> bool) -> Vec<Leftover> {
    entries(root)
        .into_iter()
        .filter(|path| fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir()))
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            let pid = name.and_then(|name| name.strip_prefix(CGROUP_PREFIX)).and_then(|pid| pid.parse().ok());
            pid.is_some_and(|pid| !is_running(pid))
        })
        .map(|path| {
            let processes = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
            let processes = processes.lines().filter_map(|line| line.parse().ok()).collect();
            Leftover::Cgroup { path, processes }
        })
        .collect()
}

/// Those of the `sockets` that nobody listens at.
fn stale_sockets(sockets: &[PathBuf], is_running: impl Fn(u32) -> bool) -> Vec<Leftover> {
    sockets
        .iter()
        .filter(|path| path.parent().is_some_and(is_trusted))
        .filter(|path| fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket()))
        .filter(|path| {
            let pid = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
            // Not asked of a capture that runs: it takes a connection for a marker.
            pid.is_some_and(|pid| !is_running(pid)) && refuses(path)
        })
        .map(|path| Leftover::Socket { path: path.clone() })
        .collect()
}

/// Where everybody may make folders, one may lead elsewhere, or have the name of somebody else's.
fn is_trusted(folder: &Path) -> bool {
    fs::symlink_metadata(folder)
        .is_ok_and(|metadata| metadata.is_dir() && owner_of(folder).is_none_or(|uid| uid == metadata.uid()))
}

/// The user whose folder of sockets it is, by its name.
fn owner_of(folder: &Path) -> Option<u32> {
    folder.file_name()?.to_str()?.strip_prefix("observer-")?.parse().ok()
}

fn refuses(socket: &Path) -> bool {
    UnixStream::connect(socket).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::process::{Command, Stdio};

    use super::*;

    /// The process ids in the names below.
    const DEAD: u32 = 4_000_001;
    const RUNS: u32 = 4_000_002;

    #[test]
    fn a_socket_that_nobody_listens_at_is_left_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["4000001.sock", "4000002.sock", "name.sock"] {
            drop(UnixListener::bind(path(name)).unwrap());
        }
        fs::write(path("4000004.sock"), "a file").unwrap();
        let _listener = UnixListener::bind(path("4000005.sock")).unwrap();
        let all = entries(folder.path());
        let found = stale_sockets(&all, |pid| pid == RUNS);
        assert_eq!(found, [Leftover::Socket { path: path(&format!("{DEAD}.sock")) }]);
        found[0].remove().unwrap();
        found[0].remove().unwrap();
        assert!(!path("4000001.sock").exists());
        assert_eq!(stale_sockets(&all, |pid| pid == RUNS), []);
    }

    #[test]
    fn a_folder_of_somebody_else_or_a_link_is_left_alone() {
        let above = tempfile::tempdir().unwrap();
        let uid = rustix::process::geteuid().as_raw();
        let own = above.path().join(format!("observer-{uid}"));
        let foreign = above.path().join(format!("observer-{}", uid.wrapping_add(1)));
        let link = above.path().join("link");
        for folder in [&own, &foreign] {
            fs::create_dir(folder).unwrap();
            drop(UnixListener::bind(folder.join("4000001.sock")).unwrap());
        }
        std::os::unix::fs::symlink(&own, &link).unwrap();
        let stale = |folder: &Path| stale_sockets(&entries(folder), |_| false).len();
        assert_eq!(stale(&own), 1);
        assert_eq!(stale(&foreign), 0);
        assert_eq!(stale(&link), 0);
        assert_eq!(stale(&above.path().join("none")), 0);
    }

    #[test]
    fn the_cgroup_of_a_dead_run_goes_and_what_runs_in_it_stays() {
        let Some(root) = mounts::find("cgroup2").filter(|_| rustix::process::geteuid().is_root()) else {
            eprintln!(
                "SKIPPED the_cgroup_of_a_dead_run_goes_and_what_runs_in_it_stays: needs root and cgroup2"
            );
            return;
        };
        // Below a cgroup of the test's own, so that nobody else's is looked at.
        let root = root.join(format!("observer-test-{}", std::process::id()));
        let (dead, runs) = (root.join("observer-4000001"), root.join("observer-4000002"));
        for cgroup in [&root, &dead, &runs, &root.join("other-4000001")] {
            fs::create_dir(cgroup).unwrap();
        }
        let mut child = Command::new("sleep").arg("60").stdout(Stdio::null()).spawn().unwrap();
        fs::write(dead.join("cgroup.procs"), child.id().to_string()).unwrap();

        let found = cgroups(&root, |pid| pid == RUNS);
        assert_eq!(found, [Leftover::Cgroup { path: dead.clone(), processes: vec![child.id()] }]);
        found[0].remove().unwrap();
        assert!(!dead.exists());
        assert_eq!(child.try_wait().unwrap(), None, "it goes on");
        assert!(cgroups(&root, |pid| pid == RUNS).is_empty());
        found[0].remove().unwrap_or_else(|error| assert_eq!(error.kind(), io::ErrorKind::NotFound));

        child.kill().unwrap();
        child.wait().unwrap();
        for cgroup in [&runs, &root.join("other-4000001"), &root] {
            fs::remove_dir(cgroup).unwrap();
        }
    }

    #[test]
    fn a_number_that_somebody_else_got_is_no_run() {
        let mut child = Command::new("sleep").arg("60").stdout(Stdio::null()).spawn().unwrap();
        assert!(!is_running(child.id()));
        assert!(!is_running(DEAD));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
