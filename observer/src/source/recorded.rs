//! Ownership as capture files record it: one type for all dialects.

use std::fmt;

use serde::Serialize;

/// Who wrote the ownership into the capture, and so what its numbers mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// Darwin process blocks of pcapng.
    Darwin,
    /// etl2pcapng's comments: the process of Windows that was current, which for inbound packets may be another's.
    Etl2pcapng,
    /// LINKTYPE_NFLOG's UID and GID: the credentials of the socket's creator.
    Nflog,
    /// The observer's own comments.
    Observer,
    /// PCAPdroid: trailer, UID map, `u-<uid>` comments.
    Pcapdroid,
    /// LINKTYPE_PKTAP.
    Pktap,
    /// pcapng's `epb_processid_threadid`, option 8.
    ProcessIdOption,
    /// ptcpdump's comments.
    Ptcpdump,
    /// RustNet's comments and sidecar.
    Rustnet,
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Darwin => "darwin",
            Self::Etl2pcapng => "etl2pcapng",
            Self::Nflog => "nflog",
            Self::Observer => "observer",
            Self::Pcapdroid => "pcapdroid",
            Self::Pktap => "pktap",
            Self::ProcessIdOption => "pcapng",
            Self::Ptcpdump => "ptcpdump",
            Self::Rustnet => "rustnet",
        })
    }
}

/// How sure an owner is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// Read from the flow's own socket.
    Exact,
    /// Read from a table while the flow was open: a short-lived neighbour could have had its five-tuple.
    Polled,
    /// Concluded from time, name or address.
    Inferred,
}

/// The owner of a frame as the capture states it. Unknown stays `None`: never a made-up zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedOwner {
    /// Whose words these are.
    pub dialect: Dialect,
    /// Linux user id; 65534 and -1 are read as unknown.
    pub uid: Option<u32>,
    /// Linux group id.
    pub gid: Option<u32>,
    /// Process id; 0 is read as unknown.
    pub pid: Option<u32>,
    /// Process name or path.
    pub process: Option<String>,
    /// The app's name for people; may be cut.
    pub label: Option<String>,
    /// The user's name, where the capture states it.
    pub user: Option<String>,
    /// How sure the writer was, where it states that; otherwise it follows from the dialect.
    pub confidence: Option<Confidence>,
}

impl RecordedOwner {
    /// An owner of which nothing is known yet.
    #[must_use]
    pub fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            uid: None,
            gid: None,
            pid: None,
            process: None,
            label: None,
            user: None,
            confidence: None,
        }
    }
}

/// A uid or gid as recorded; `None` for 65534 (the kernel's overflow id: no socket) and -1.
#[must_use]
pub fn known_id(id: u32) -> Option<u32> {
    (id != 65_534 && id != u32::MAX).then_some(id)
}
