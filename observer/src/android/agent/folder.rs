//! What a session has on the device's disk: a folder that its owner alone may enter, with a lock and a socket.
//!
//! The lock is held by the daemon as long as it lives, so that what a killed one left can be told from what is in use. The
//! spool's file has no name: it goes with the process.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::attribution::{AttributorError, ebpf};
use crate::live::privileges::PrivilegesError;
use crate::live::{MarkError, leftovers};
use crate::source::SourceError;

/// What the names of sessions' folders begin with.
const PREFIX: &str = "observer-agent-";
/// The socket that relays connect to.
const SOCKET: &str = "daemon";
/// The file that the daemon locks.
const LOCK: &str = "lock";
/// Bytes of a session's name at most: the socket's path must fit the 108 bytes of `sun_path` (unix(7)).
const MAX_SESSION: usize = 40;

/// Why an agent cannot start or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// The session's name makes no file name.
    #[error("{name:?} is no name of a session: 1 to {MAX_SESSION} letters, digits, - and _ are")]
    Session {
        /// As given.
        name: String,
    },
    /// A file, folder or socket of the agent's.
    #[error("cannot use {path}")]
    Io {
        /// Where.
        path: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// Another daemon has the session.
    #[error("an agent of session {session} runs already")]
    Runs {
        /// Its name.
        session: String,
    },
    /// The daemon did not start.
    #[error("the agent's daemon did not start: {0}")]
    Start(String),
    /// The capture cannot begin.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Owners cannot be found the way that was asked for.
    #[error(transparent)]
    Attribution(#[from] AttributorError),
    /// Privileges cannot be given up.
    #[error(transparent)]
    Privileges(#[from] PrivilegesError),
    /// Files cannot be confined.
    #[error("cannot confine the agent to its files")]
    Confinement(#[from] landlock::RulesetError),
    /// Markers cannot be taken.
    #[error(transparent)]
    Markers(#[from] MarkError),
    /// The daemon went away before the capture's end.
    #[error(
        "the agent's daemon closed the link before the end: it died, or another host took the session over"
    )]
    Lost,
    /// The link's own input ended before a stop.
    #[error(
        "the host left without a stop: the capture goes on until the host is back or the agent's patience ends"
    )]
    Left,
}

/// The folder for sessions: that of `TMPDIR`, else the one that the program lies in.
///
/// # Errors
/// When neither is there.
pub fn default_folder() -> Result<PathBuf, AgentError> {
    let temporary = std::env::var_os("TMPDIR").map(PathBuf::from).filter(|folder| folder.is_dir());
    if let Some(folder) = temporary {
        return Ok(folder);
    }
    let failed = |source| AgentError::Io { path: "the program's own folder".to_owned(), source };
    let program = std::env::current_exe().map_err(failed)?;
    program.parent().map(Path::to_path_buf).ok_or_else(|| failed(io::ErrorKind::NotFound.into()))
}

/// The place of a session below `base`.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) session: String,
    pub(super) folder: PathBuf,
}

impl Place {
    pub(super) fn new(base: &Path, session: &str) -> Result<Self, AgentError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if session.is_empty() || session.len() > MAX_SESSION || !session.bytes().all(allowed) {
            return Err(AgentError::Session { name: session.to_owned() });
        }
        Ok(Self { session: session.to_owned(), folder: base.join(format!("{PREFIX}{session}")) })
    }

    /// Where relays connect to.
    pub(super) fn socket(&self) -> PathBuf {
        self.folder.join(SOCKET)
    }

    /// Where markers are taken: `observer mark` finds it by its name.
    pub(super) fn marks(&self) -> PathBuf {
        self.folder.join(format!("{}.sock", std::process::id()))
    }

    /// Makes the folder this daemon's own, and listens. A killed one's folder is taken over, without what is in it.
    pub(super) fn take(&self) -> Result<(Taken, UnixListener), AgentError> {
        let io = |path: &Path| {
            let path = path.display().to_string();
            move |source| AgentError::Io { path, source }
        };
        match DirBuilder::new().mode(0o700).create(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made.map_err(io(&self.folder))?,
        }
        if !is_own(&self.folder) {
            let source = io::Error::other("it belongs to another user");
            return Err(AgentError::Io { path: self.folder.display().to_string(), source });
        }
        let path = self.folder.join(LOCK);
        let lock = lock(&path).map_err(io(&path))?;
        let Some(lock) = lock else { return Err(AgentError::Runs { session: self.session.clone() }) };
        let taken = Taken { place: self.clone(), _lock: lock };
        for entry in fs::read_dir(&self.folder).map_err(io(&self.folder))?.flatten() {
            if entry.file_name() != LOCK {
                fs::remove_file(entry.path()).map_err(io(&entry.path()))?;
            }
        }
        let socket = self.socket();
        let listener = UnixListener::bind(&socket).map_err(io(&socket))?;
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o600)).map_err(io(&socket))?;
        Ok((taken, listener))
    }
}

/// A session's folder, which goes away with it.
pub(super) struct Taken {
    place: Place,
    _lock: File,
}

impl Taken {
    pub(super) fn place(&self) -> &Place {
        &self.place
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        // What stays is taken away by the next agent, which finds it without a lock.
        let _ = fs::remove_dir_all(&self.place.folder);
    }
}

/// The file at `path`, locked; `None` if somebody else holds it.
fn lock(path: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Where everybody may make folders, one may be a link, or somebody else's.
fn is_own(folder: &Path) -> bool {
    let own = rustix::process::geteuid().as_raw();
    fs::symlink_metadata(folder).is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == own)
}

/// Takes away what killed agents and captures left: sessions' folders in `base`, filters at interfaces, sockets, cgroups. A
/// sentence for each, and for each that could not be taken away.
#[must_use]
pub fn remove_leftovers(base: &Path) -> Vec<String> {
    let mut said = Vec::new();
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let folder = entry.path();
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) || !is_own(&folder) {
            continue;
        }
        let lock_path = folder.join(LOCK);
        // One without a lock is being made, or is being taken away, right now.
        let Ok(Some(_lock)) = lock_path.exists().then(|| lock(&lock_path)).transpose().map(Option::flatten)
        else {
            continue;
        };
        said.push(match fs::remove_dir_all(&folder) {
            Ok(()) => format!("removed {}, which a killed agent left", folder.display()),
            Err(error) => format!("cannot remove {}, which a killed agent left: {error}", folder.display()),
        });
    }
    if !rustix::process::geteuid().is_root() {
        return said;
    }
    match ebpf::clean_up() {
        Ok(filters) => {
            let removed = |filter: ebpf::Removed| {
                format!("removed a filter at {}, which a killed run left", filter.interface)
            };
            said.extend(filters.into_iter().map(removed));
        }
        Err(error) => said.push(format!("cannot look for filters that killed runs left: {error}")),
    }
    for leftover in leftovers::find() {
        if let Err(error) = leftover.remove() {
            said.push(format!("cannot remove {leftover:?}: {error}"));
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_s_name_is_a_file_s_name() {
        for name in ["", "a/b", "..", "a b", &"a".repeat(MAX_SESSION + 1)] {
            assert!(matches!(Place::new(Path::new("x"), name), Err(AgentError::Session { .. })), "{name}");
        }
        let place = Place::new(Path::new("x"), "ab-1_C").unwrap();
        assert_eq!(place.socket(), Path::new("x/observer-agent-ab-1_C/daemon"));
    }

    #[test]
    fn a_session_has_one_daemon_and_leaves_nothing() {
        let base = tempfile::tempdir().unwrap();
        let place = Place::new(base.path(), "one").unwrap();
        let (taken, _listener) = place.take().unwrap();
        assert!(matches!(place.take(), Err(AgentError::Runs { .. })));
        assert_eq!(fs::metadata(&place.folder).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(place.socket()).unwrap().permissions().mode() & 0o777, 0o600);
        drop(taken);
        assert_eq!(fs::read_dir(base.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_a_killed_agent_left_is_taken_over_or_away() {
        let base = tempfile::tempdir().unwrap();
        let place = Place::new(base.path(), "killed").unwrap();
        let leave = || {
            fs::create_dir_all(&place.folder).unwrap();
            fs::write(place.folder.join(LOCK), "").unwrap();
            drop(UnixListener::bind(place.socket()).unwrap());
        };
        leave();
        drop(place.take().unwrap());
        assert!(!place.folder.exists());

        leave();
        let running = Place::new(base.path(), "running").unwrap();
        let taken = running.take().unwrap();
        fs::create_dir(base.path().join("observer-agent-new")).unwrap();
        let said = remove_leftovers(base.path());
        assert!(said.iter().any(|line| line.contains("observer-agent-killed")), "{said:?}");
        assert!(!place.folder.exists());
        assert!(running.socket().exists() && base.path().join("observer-agent-new").exists());
        drop(taken);
    }
}
