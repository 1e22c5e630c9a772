//! What the running system says of its sockets: one type for all that look.

use crate::attribution::{Confidence, Method};
use crate::decode::{Endpoint, FiveTuple, Transport};
use crate::time::Timestamp;

/// Who owns a socket. Unknown stays `None`: never a made-up zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketOwner {
    /// Linux user id of the socket (`sk_uid`).
    pub uid: Option<u32>,
    /// The user's name in this system's user database; never on Android, which has none.
    pub user: Option<String>,
    /// Process id (thread group).
    pub pid: Option<u32>,
    /// The executable's path, or the process's name of at most 15 bytes where the path cannot be read.
    pub process: Option<String>,
    /// The systemd unit or control group that the process runs in.
    pub unit: Option<String>,
    /// The socket's cgroup v2, by the inode number of its directory.
    pub cgroup: Option<u64>,
    /// How it was found.
    pub method: Method,
    /// How sure that is.
    pub confidence: Confidence,
}

impl SocketOwner {
    /// An owner of which nothing is known yet.
    #[must_use]
    pub fn new(method: Method, confidence: Confidence) -> Self {
        Self { uid: None, user: None, pid: None, process: None, unit: None, cgroup: None, method, confidence }
    }
}

/// A socket that was seen, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Its protocol.
    pub transport: Transport,
    /// Its own end; the unspecified address where it is bound to all. IPv4-mapped addresses are given as IPv4.
    pub local: Endpoint,
    /// The other end; `None` for a socket that is unconnected or listens.
    pub remote: Option<Endpoint>,
    /// Whether it waits for connections.
    pub listening: bool,
    /// When its table was asked for: it was there at some time from then to `last`. For kernel programs, when its first packet
    /// went out.
    pub first: Timestamp,
    /// When the answer had come; at least `first`.
    pub last: Timestamp,
    /// Which one of the sockets that had the same ends one after the other: its inode's number, where a table states it.
    pub socket: Option<u64>,
    /// Whose it is.
    pub owner: SocketOwner,
}

/// Why a method cannot go on.
#[derive(Debug, thiserror::Error)]
#[error("{method}: {reason}")]
pub struct AttributorError {
    /// Which method.
    pub method: Method,
    /// What is in the way, and what it takes.
    pub reason: String,
}

/// Learns who owns sockets while a capture runs.
pub trait Attributor: Send {
    /// How it does so.
    fn method(&self) -> Method;

    /// Adds to `sightings` what was learned since the last call. Never waits for anything to happen.
    ///
    /// `opened` are flows that began since then: the first call has none and reads the sockets that exist already.
    ///
    /// # Errors
    /// When the method cannot go on; what was learned before stays good.
    fn poll(&mut self, opened: &[FiveTuple], sightings: &mut Vec<Sighting>) -> Result<(), AttributorError>;

    /// Sightings that were lost on the way so far.
    fn lost(&self) -> u64 {
        0
    }
}
