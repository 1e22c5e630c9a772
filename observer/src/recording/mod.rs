//! Writes what is captured into pcapng files, each frame with its owner.
//!
//! Wireshark shows the owners as packet comments, PCAPdroid reads its own dialect of them, and [`crate::source`] restores all of
//! it. Frames wait for about a second of capture time before they are written, because whoever finds owners is slower than
//! whoever captures frames. It knows no flows, no protocols and no clock; the frames' own times rule.
//!
//! What a packet says of its owner, where it has one:
//!
//! - option 8 (`epb_processid_threadid`): the process id;
//! - where uids are Android's, the comment `u-<uid>`, and before the first packet of the uid PCAPdroid's UID map, a block for
//!   each package of a shared uid; elsewhere neither, because 1000 is a person there and Android's system here;
//! - the comment `observer uid=… pid=… …`, which says the rest, and for people also what the others say.
//!
//! Every packet has the number that its frame has in the run (`epb_packetid`, Wireshark's `frame.packet_id`): Wireshark counts
//! UID maps as frames, and files that rotate begin anew. The first packet after a marker says `step=<label>`.

#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

mod file;
mod output;
mod owners;
mod pcapng;
mod recorder;
mod rotate;
#[cfg(test)]
mod tests;
mod thread;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

pub use self::pcapng::SectionHeader;
pub use self::rotate::Rotation;
pub use self::thread::RecorderHandle;

use crate::attribution::Owner;
use crate::source::{InterfaceIndex, InterfaceInfo};
use crate::time::Timestamp;

/// What a unit of the timestamps in a file is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Nanoseconds, as the observer has them.
    #[default]
    Nano,
    /// Microseconds, which PCAPdroid takes all timestamps for: it does not look at the resolution.
    Micro,
}

/// What is recorded, and where.
#[derive(Clone, Debug)]
pub struct RecorderOptions {
    /// The file; `-` is standard output, which does not rotate. With [`Rotation::seconds`] a pattern of strftime(3).
    pub path: PathBuf,
    /// When another file begins.
    pub rotation: Rotation,
    /// When the capture began: the first file's name is made of it.
    pub began: Timestamp,
    /// What each file says of the capturing system.
    pub header: SectionHeader,
    /// What a unit of the timestamps is.
    pub precision: Precision,
    /// Whether uids are Android's.
    pub is_android: bool,
    /// Whether frames are recorded in which there is no packet that somebody could own: ARP, fragments before the one that
    /// completes a datagram.
    pub others: bool,
    /// The interfaces that are known at the start. Others may follow: [`RecorderHandle::interface`].
    pub interfaces: Vec<(InterfaceIndex, InterfaceInfo)>,
    /// How long frames wait for their owners, in capture time.
    pub hold: Duration,
    /// Bytes of buffers that may wait; beyond, the oldest frames are written early, which is counted.
    pub max_held: usize,
}

impl RecorderOptions {
    /// How long frames wait for their owners: kernel programs report at once, tables are read every few hundred milliseconds.
    pub const HOLD: Duration = Duration::from_secs(1);
    /// A second of a fast link.
    pub const MAX_HELD: usize = 128 << 20;

    /// One file at `path`, with nothing said of the system.
    #[must_use]
    pub fn new(path: PathBuf, began: Timestamp) -> Self {
        Self {
            path,
            rotation: Rotation::default(),
            began,
            header: SectionHeader::default(),
            precision: Precision::default(),
            is_android: false,
            others: true,
            interfaces: Vec::new(),
            hold: Self::HOLD,
            max_held: Self::MAX_HELD,
        }
    }
}

/// What is known of a frame's five-tuple.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whose it is.
    pub owner: Option<Owner>,
    /// Whether its frames are to be recorded.
    pub wanted: bool,
}

/// What is recorded whoever owns it.
impl From<Option<Owner>> for Answer {
    fn from(owner: Option<Owner>) -> Self {
        Self { owner, wanted: true }
    }
}

/// What was recorded.
#[derive(Debug, Default)]
pub struct RecorderSummary {
    /// Frames written.
    pub frames: u64,
    /// Bytes written, of all files.
    pub bytes: u64,
    /// Files begun.
    pub files: u64,
    /// Frames written without an owner.
    pub unowned: u64,
    /// Frames that were left out because of whose they are.
    pub left_out: u64,
    /// Frames written before their time because too many bytes waited: their owners may not have been known yet.
    pub early: u64,
    /// Markers that no packet came after and no room was left for.
    pub markers_lost: u64,
    /// Whether the greatest number of files was reached, so that nothing after it was recorded.
    pub full: bool,
    /// Why it ended early; what was written before is kept.
    pub error: Option<RecordingError>,
}

/// Why nothing more can be recorded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// A file cannot be made.
    #[error("cannot write {path}")]
    Open {
        /// The file.
        path: String,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
    /// A file cannot be continued.
    #[error("cannot go on writing {path}: recording has ended, what was written is kept")]
    Write {
        /// The file.
        path: String,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
    /// The oldest file of a ring cannot be removed.
    #[error("cannot remove {path}, the oldest of the files")]
    Remove {
        /// The file.
        path: String,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
    /// No file name can be made of it.
    #[error("{pattern} is no pattern for file names: {reason}")]
    Name {
        /// As the user wrote it.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Standard output is one file.
    #[error("standard output cannot rotate: name a file")]
    RotatingOutput,
    /// The system gives no thread, or it ended before its work was done.
    #[error("the recording thread is not there")]
    Thread,
}
