//! The socket through which markers come into a running capture.

use std::fs::{self, DirBuilder};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::said::Said;

/// How long `observer mark` waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a marker cannot be set, or not be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MarkError {
    /// The operating system refused.
    #[error("cannot use the socket {path}")]
    Io {
        /// The socket.
        path: String,
        /// Its reason.
        #[source]
        source: io::Error,
    },
    /// The capture refused.
    #[error("the capture refused the marker: {0}")]
    Refused(String),
}

/// Where the captures of the user `uid` have their sockets: `/run/observer` for root, `/run/user/UID/observer` for others; where
/// a system has no such folder (Android), below `/data/local/tmp` or `/tmp`.
fn folder(uid: u32) -> PathBuf {
    let base = if uid == 0 { PathBuf::from("/run") } else { PathBuf::from(format!("/run/user/{uid}")) };
    if base.is_dir() {
        return base.join("observer");
    }
    let android = Path::new("/data/local/tmp");
    let base = if android.is_dir() { android } else { Path::new("/tmp") };
    base.join(format!("observer-{uid}"))
}

/// Where this process has its socket.
#[must_use]
pub fn socket_path() -> PathBuf {
    folder(rustix::process::geteuid().as_raw()).join(format!("{}.sock", std::process::id()))
}

/// The sockets of this user's captures, those of dead ones included; for root those of all users.
#[must_use]
pub fn sockets() -> Vec<PathBuf> {
    let uid = rustix::process::geteuid().as_raw();
    let mut folders = vec![folder(uid)];
    if uid == 0 {
        let users = fs::read_dir("/run/user").into_iter().flatten().flatten();
        folders.extend(users.map(|user| user.path().join("observer")));
        for base in ["/data/local/tmp", "/tmp"] {
            let entries = fs::read_dir(base).into_iter().flatten().flatten();
            let ours = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with("observer-");
            folders.extend(entries.filter(ours).map(|entry| entry.path()));
        }
    }
    let entries = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    let mut paths: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sock"))
        .collect();
    paths.sort();
    paths
}

/// A socket that goes away with its owner.
pub(super) struct Listener {
    pub(super) listener: UnixListener,
    path: PathBuf,
}

impl Drop for Listener {
    fn drop(&mut self) {
        // `observer cleanup` removes what stays.
        let _ = fs::remove_file(&self.path);
    }
}

/// Makes the socket; nobody but its owner may use it.
pub(super) fn listen(path: &Path) -> Result<Listener, MarkError> {
    let failed = |source| MarkError::Io { path: path.display().to_string(), source };
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        let owner = fs::symlink_metadata(folder).map_err(failed)?;
        if !owner.is_dir() || owner.uid() != rustix::process::geteuid().as_raw() {
            return Err(failed(io::Error::other("its folder belongs to another user")));
        }
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(Listener { listener, path: path.to_owned() })
}

/// Sets a marker in the capture that listens at `path`.
///
/// # Errors
/// When nobody listens there, or when the capture refuses what is said.
pub fn mark(path: &Path, said: &Said) -> Result<(), MarkError> {
    let failed = |source| MarkError::Io { path: path.display().to_string(), source };
    let mut stream = UnixStream::connect(path).map_err(failed)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    let line = said.to_line();
    stream.write_all(line.as_bytes()).and_then(|()| stream.write_all(b"\n")).map_err(failed)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).map_err(failed)?;
    match answer.trim() {
        "ok" => Ok(()),
        "" => Err(MarkError::Refused("it has just ended".to_owned())),
        refusal => Err(MarkError::Refused(refusal.trim_start_matches("refused: ").to_owned())),
    }
}
