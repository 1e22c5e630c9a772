//! Where frames come from: capture files and live interfaces.
//!
//! A [`Source`] hands out [`FrameBatch`]es: large reference-counted buffers and records that point into them, so
//! that no frame is copied or allocated for. A source recognises formats by their magic bytes, never by a name.
//! It knows nothing of what is inside a frame.

mod control;
mod dialect;
mod file;
#[cfg(feature = "live")]
mod filter;
mod follow;
mod input;
mod layer;
#[cfg(all(feature = "live", target_os = "linux"))]
pub mod live;
mod marker;
mod order;
mod pcap;
mod pcapng;
mod peek;
mod recorded;
mod secrets;
#[cfg(test)]
mod tests;
mod timeline;

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

pub use self::control::CaptureControl;
pub use self::follow::{Following, follow};
pub use self::marker::{ClockOffset, MAX_LABEL, Marker, MarkerClock, MarkerKind, MarkerOrigin, TestResult};
pub use self::peek::first_timestamp;
pub use self::recorded::{Confidence, Dialect, RecordedOwner, known_id};
pub use self::secrets::{Secrets, with_key_logs};
use crate::time::Timestamp;

/// A frame's number in the run, from 1, as Wireshark shows it: custom and journal blocks of pcapng take numbers, too. With
/// several files, frames are numbered anew in the order of their times.
pub type FrameNumber = u64;

/// A link-layer header type of <https://www.tcpdump.org/linktypes.html>.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct LinkType(pub u16);

/// An interface of the run: a dense index over all interfaces of all inputs.
pub type InterfaceIndex = u32;

/// An interface that frames are captured on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceInfo {
    /// Its name, as the system has it.
    pub name: String,
    /// What its frames begin with.
    pub link_type: LinkType,
    /// Bytes captured of a frame at most; 0 is no limit.
    pub snaplen: u32,
    /// The filter expression that its frames passed.
    pub filter: Option<String>,
}

/// Which way a frame crossed its interface, where the capture says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkDirection {
    /// Received by the capturing device.
    Inbound,
    /// Sent by the capturing device.
    Outbound,
}

/// What a capture format says of one frame besides its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Annotations {
    /// Which way it went.
    pub direction: Option<LinkDirection>,
    /// Whose it is, in whichever dialect the file speaks.
    pub owner: Option<Arc<RecordedOwner>>,
}

/// One captured frame, borrowed from its batch.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Its place in the run, from 1.
    pub number: FrameNumber,
    /// When it was captured.
    pub timestamp: Timestamp,
    /// What its first bytes are.
    pub link_type: LinkType,
    /// Where it was captured.
    pub interface: InterfaceIndex,
    /// The captured bytes; may be fewer than were on the link.
    pub data: &'a [u8],
    /// Bytes on the link; at least `data.len()`.
    pub original_len: u32,
    /// What the capture format says of it.
    pub annotations: Option<&'a Annotations>,
}

/// A frame's record in a batch: [`Frame`] with a range in place of the borrow.
#[derive(Clone, Debug)]
pub struct FrameRecord {
    /// See [`Frame::number`].
    pub number: FrameNumber,
    /// See [`Frame::timestamp`].
    pub timestamp: Timestamp,
    /// See [`Frame::link_type`].
    pub link_type: LinkType,
    /// See [`Frame::interface`].
    pub interface: InterfaceIndex,
    /// See [`Frame::original_len`].
    pub original_len: u32,
    /// Index into [`FrameBatch::buffers`].
    pub buffer: u32,
    /// The captured bytes in that buffer.
    pub range: Range<u32>,
    /// See [`Frame::annotations`].
    pub annotations: Option<Arc<Annotations>>,
}

/// What a capture format says besides frames, effective from a place in the batch on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Metadata {
    /// A name that the capturing device resolved for an address (pcapng NRB).
    Name {
        /// The address.
        address: std::net::IpAddr,
        /// Its name, as recorded.
        name: String,
    },
    /// The package and label behind a uid (PCAPdroid's UID map).
    App {
        /// The Linux uid.
        uid: u32,
        /// The package name; empty where unknown.
        package: String,
        /// The name that people see; empty where unknown.
        label: String,
    },
    /// Lines of a TLS key log, whole ones. They take effect for the whole batch: the packets that need them may lie on
    /// either side.
    Secrets {
        /// In the format that NSS began.
        text: Secrets,
        /// Whether more can come.
        growing: bool,
    },
    /// Somebody who watches a running capture says what happens.
    Marker(Marker),
}

/// Some frames and the buffers that they lie in.
#[derive(Clone, Debug, Default)]
pub struct FrameBatch {
    /// The bytes.
    pub buffers: Vec<Arc<Vec<u8>>>,
    /// The frames, in capture order.
    pub frames: Vec<FrameRecord>,
    /// Other information, each with the index in `frames` that it precedes.
    pub metadata: Vec<(usize, Metadata)>,
    /// The time up to which there are no more frames, where a running capture knows it: time goes on without any.
    pub until: Option<Timestamp>,
}

impl FrameBatch {
    /// The frames, borrowed.
    pub fn iter(&self) -> impl Iterator<Item = Frame<'_>> {
        self.frames.iter().map(|record| self.frame(record))
    }

    /// The frame of `record`; without bytes if the record is of another batch.
    #[must_use]
    pub fn frame<'a>(&'a self, record: &'a FrameRecord) -> Frame<'a> {
        Frame {
            number: record.number,
            timestamp: record.timestamp,
            link_type: record.link_type,
            interface: record.interface,
            data: slice(&self.buffers, record.buffer, &record.range),
            original_len: record.original_len,
            annotations: record.annotations.as_deref(),
        }
    }
}

/// The bytes at `range` of the buffer `index`; empty when there are none.
#[must_use]
pub fn slice<'a>(buffers: &'a [Arc<Vec<u8>>], index: u32, range: &Range<u32>) -> &'a [u8] {
    let (start, end) = (range.start as usize, range.end as usize);
    buffers.get(index as usize).and_then(|buffer| buffer.get(start..end)).unwrap_or_default()
}

/// A place where a capture file is damaged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// Bytes from the start of the (uncompressed) file.
    pub offset: u64,
    /// What is wrong there.
    pub reason: String,
    /// Bytes that were passed over to go on; `None` when reading stopped.
    pub skipped: Option<u64>,
}

/// What was read from one input.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct InputSummary {
    /// As the user named it; `-` is standard input.
    pub path: String,
    /// `pcap`, `pcapng`; with the compression after a `+`, as in `pcap+gzip`.
    pub format: String,
    /// Each link type seen, ascending.
    pub link_types: Vec<LinkType>,
    /// Frames read.
    pub frames: u64,
    /// When the earliest frame was captured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<Timestamp>,
    /// When the latest frame was captured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Timestamp>,
    /// Whether the file ended inside a record.
    pub truncated: bool,
    /// Frames that the capturing system says it lost (pcapng ISB, `epb_dropcount`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropped: Option<u64>,
    /// The file's wounds, at most 100; see `damages`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub damage: Vec<Damage>,
    /// How many wounds there were.
    #[serde(skip_serializing_if = "is_zero")]
    pub damages: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// A provider of frames.
pub trait Source: Send {
    /// The next frames; `None` at the end. Damage within an input is not an error: see [`InputSummary::damage`].
    ///
    /// # Errors
    /// When nothing more can be had for a reason outside the data: the disk, the permission.
    fn next_batch(&mut self) -> Result<Option<FrameBatch>, SourceError>;

    /// Takes back a batch that is no longer needed, for the room that it has. The default lets it go.
    fn recycle(&mut self, _batch: FrameBatch) {}

    /// What was read so far, an entry an input.
    fn inputs(&self) -> Vec<InputSummary>;

    /// Bytes of input read so far and in all, where known: for a progress bar.
    fn progress(&self) -> (u64, Option<u64>);

    /// Whether frames come as they happen: then nothing is read ahead.
    fn is_live(&self) -> bool {
        false
    }

    /// What a named limit dropped on the way here so far, besides the frames that the kernel lost.
    fn dropped(&self) -> BTreeMap<String, u64> {
        BTreeMap::new()
    }

    /// Frames that a filter expression kept back so far. They count in [`Self::inputs`], and they have numbers.
    fn filtered(&self) -> u64 {
        0
    }
}

/// Why an input cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The operating system refused.
    #[error("cannot read {path}")]
    Io {
        /// As the user named it.
        path: String,
        /// Its reason.
        #[source]
        source: io::Error,
    },
    /// A folder where a file was expected.
    #[error("{path} is a directory, not a capture file")]
    Directory {
        /// As the user named it.
        path: String,
    },
    /// No bytes at all.
    #[error("{path} is empty")]
    Empty {
        /// As the user named it.
        path: String,
    },
    /// No known magic.
    #[error("{path} is not a capture file: it begins with {magic}, which is neither pcap nor pcapng")]
    UnknownFormat {
        /// As the user named it.
        path: String,
        /// Its first bytes, in hex.
        magic: String,
    },
    /// Damaged before the first frame.
    #[error("{path} cannot be read: {reason} at offset {offset}")]
    Unreadable {
        /// As the user named it.
        path: String,
        /// Bytes from the start of the (uncompressed) file.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
    /// An interface that cannot be captured on.
    #[error("cannot capture on {name}: {reason}")]
    Interface {
        /// The interface.
        name: String,
        /// What is in the way.
        reason: String,
    },
    /// The filter expression does not compile.
    #[error("bad filter expression {expression:?}: {reason}")]
    Filter {
        /// As the user wrote it.
        expression: String,
        /// libpcap's words.
        reason: String,
    },
}

/// Opens capture files as one timeline; `-` is standard input.
///
/// # Errors
/// When one of them cannot be opened or is no capture file.
pub fn open(paths: &[PathBuf]) -> Result<Box<dyn Source>, SourceError> {
    let source: Box<dyn Source> = match paths {
        [path] => Box::new(file::FileSource::open(path)?),
        _ => Box::new(timeline::Timeline::open(paths)?),
    };
    Ok(secrets::with_blocks(source, paths))
}

/// Reads a capture from `bytes`, which `name` stands for in messages: a pipe, an archive's member, a test's array.
///
/// # Errors
/// When it is no capture file.
pub fn read(name: &str, bytes: Box<dyn io::Read + Send>) -> Result<Box<dyn Source>, SourceError> {
    let input = input::Input::new(name.to_owned(), bytes, None, false)?;
    Ok(Box::new(file::FileSource::new(input)?))
}

/// Opens capture files as [`open`] does, and hands on only the frames that match a filter expression, if there is one.
///
/// Frames keep the numbers that they have in the files. The expression is compiled by libpcap, for each link type.
///
/// # Errors
/// As [`open`]; and when the expression does not compile, or when filters are not built in (feature `live`).
pub fn open_filtered(paths: &[PathBuf], expression: Option<&str>) -> Result<Box<dyn Source>, SourceError> {
    let source = open(paths)?;
    match expression.map(str::trim).filter(|expression| !expression.is_empty()) {
        Some(expression) => filtered(source, expression),
        None => Ok(source),
    }
}

#[cfg(feature = "live")]
fn filtered(source: Box<dyn Source>, expression: &str) -> Result<Box<dyn Source>, SourceError> {
    Ok(Box::new(filter::Filtered::before(source, expression)?))
}

#[cfg(not(feature = "live"))]
fn filtered(_: Box<dyn Source>, expression: &str) -> Result<Box<dyn Source>, SourceError> {
    let reason = "this build of observer knows no filter expressions (feature `live`)".to_owned();
    Err(SourceError::Filter { expression: expression.to_owned(), reason })
}
