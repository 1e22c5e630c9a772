//! A command under observation, with all its children: they run in a cgroup of their own, which their sockets belong to.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};

use super::mounts;

/// Where cgroup v2 is mounted; below `/sys/fs/cgroup` where v1 is in use beside it.
fn root() -> PathBuf {
    mounts::find("cgroup2").unwrap_or_else(|| PathBuf::from("/sys/fs/cgroup"))
}

/// Why a command cannot be observed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The cgroup, step by step.
    #[error("cannot put the command into a cgroup of its own ({path}); that takes root and cgroup v2")]
    Cgroup {
        /// The file or folder.
        path: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The command itself.
    #[error("cannot run {program}")]
    Spawn {
        /// Its name.
        program: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

/// A command that runs.
pub struct Command {
    child: Child,
    cgroup: PathBuf,
    inode: u64,
}

impl Command {
    /// Runs `words`, as `user` (uid, gid) if given, in a cgroup of its own.
    ///
    /// # Errors
    /// When the cgroup cannot be made, or the command not be run.
    pub fn spawn(words: &[OsString], user: Option<(u32, u32)>) -> Result<Self, CommandError> {
        let failed = |path: &Path| {
            let path = path.display().to_string();
            |source| CommandError::Cgroup { path, source }
        };
        let cgroup = root().join(format!("observer-{}", std::process::id()));
        fs::create_dir(&cgroup).map_err(failed(&cgroup))?;
        let inode = fs::metadata(&cgroup).map_err(failed(&cgroup))?.ino();
        let home = own_cgroup();
        // A child is born into its parent's cgroup: so the parent goes there and comes back.
        let spawned = enter(&cgroup).map_err(failed(&cgroup)).and_then(|()| {
            let program = words.first().cloned().unwrap_or_default();
            let mut command = std::process::Command::new(&program);
            command.args(words.get(1..).unwrap_or_default());
            if let Some((uid, gid)) = user {
                command.uid(uid).gid(gid);
            }
            command.spawn().map_err(|source| CommandError::Spawn {
                program: program.to_string_lossy().into_owned(),
                source,
            })
        });
        let back = enter(&home).map_err(failed(&home));
        match (spawned, back) {
            (Ok(child), Ok(())) => Ok(Self { child, cgroup, inode }),
            (Ok(mut child), Err(error)) => {
                let _ = child.kill().and_then(|()| child.wait());
                Err(error)
            }
            (Err(error), _) => {
                let _ = fs::remove_dir(&cgroup);
                Err(error)
            }
        }
    }

    /// The cgroup, by its inode number: see [`Selection::cgroup`](crate::attribution::Selection::cgroup).
    #[must_use]
    pub fn cgroup(&self) -> u64 {
        self.inode
    }

    /// Waits for its end; children that it leaves behind go on.
    pub(super) fn wait(mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait();
        // Fails while children are left: `observer cleanup` removes it later.
        let _ = fs::remove_dir(&self.cgroup);
        status
    }
}

fn enter(cgroup: &Path) -> io::Result<()> {
    fs::write(cgroup.join("cgroup.procs"), "0")
}

/// The cgroup that this process is in.
fn own_cgroup() -> PathBuf {
    let cgroups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let path = cgroups.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    root().join(path.trim_start_matches('/'))
}
