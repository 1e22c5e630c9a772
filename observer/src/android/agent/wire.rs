//! Framing and messages between agent and host.
//!
//! The agent writes the preamble, `OBSERVER`, the version and its capabilities; then both sides write messages:
//!
//! ```text
//!  0               4               8                               16
//! +---------------+---------------+-------------------------------+--------------+------------+
//! | header length |  body length  |           sequence            |    header    |    body    |
//! +---------------+---------------+-------------------------------+--------------+------------+
//! ```
//!
//! Numbers are little-endian. The header is an enum in [postcard's format](https://postcard.jamesmunns.com/wire-format); the
//! body is bytes of frames, as they were captured. What the device holds until it is acknowledged has a sequence, from 1
//! without a gap; all else has zero. Nothing is allocated for a length that was not checked.

use std::io::{self, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::clock::DeviceTime;
use super::record::{FlowRecord, SightingRecord};
use crate::source::{InterfaceInfo, LinkType};

/// The version of the protocol. It is raised with each change of a message: both sides are of the same build, mostly.
pub const VERSION: u16 = 1;

/// What the agent's stream begins with.
pub(super) const MAGIC: [u8; 8] = *b"OBSERVER";
/// Capabilities of this agent: a bit each, none so far.
#[cfg(any(test, all(feature = "live", target_os = "linux")))]
pub(super) const CAPABILITIES: u32 = 0;

/// Bytes of a header at most.
pub(super) const MAX_HEADER: usize = 1 << 20;
/// Bytes of a body at most: a block of frames (1 MiB) and the frame that filled it.
pub(super) const MAX_BODY: usize = 2 << 20;
/// Frames of a message at most.
pub(super) const MAX_FRAMES: usize = 8192;
/// Sockets, flows or packages of a message at most.
pub(super) const MAX_ITEMS: usize = 1024;
/// Bytes of a text in a message at most; what is longer is cut.
pub(super) const MAX_TEXT: usize = 1024;
/// Bytes before a header.
const PREFIX: usize = 16;
/// Bytes of what stands in place of the preamble that are shown.
const SHOWN: usize = 300;

/// Bytes that the device may have sent and the host not acknowledged: beyond, the agent keeps them.
pub(super) const WINDOW: usize = 8 << 20;

/// Why a stream cannot be read on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// It broke.
    #[error("the link broke")]
    Io(#[from] io::Error),
    /// It ended inside a message.
    #[error("the link ended inside {within}")]
    Truncated {
        /// Inside what.
        within: &'static str,
    },
    /// It is not an agent's.
    #[error("no agent answered; it says {said:?}")]
    NotAnAgent {
        /// Its first bytes, as text.
        said: String,
    },
    /// It ended before the agent said anything.
    #[error("the link ended before the agent answered")]
    Silent,
    /// Agent and host are of different builds.
    #[error("the agent speaks version {agent} of the protocol, this host version {VERSION}")]
    Version {
        /// The agent's.
        agent: u16,
    },
    /// A length beyond its bound.
    #[error("a message has a {part} of {length} bytes; at most {limit} are allowed")]
    TooLong {
        /// `header` or `body`.
        part: &'static str,
        /// As stated.
        length: usize,
        /// The bound.
        limit: usize,
    },
    /// A header that is no message.
    #[error("a header of {length} bytes is no message: {reason}")]
    Malformed {
        /// Its length.
        length: usize,
        /// What is wrong.
        reason: String,
    },
    /// A message that cannot follow what came before.
    #[error("the other side broke the protocol: {0}")]
    Unexpected(String),
}

/// A message with what stands beside its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message<T> {
    /// Its place among those that the device holds until they are acknowledged; 0 for others.
    pub sequence: u64,
    /// What it says.
    pub header: T,
    /// Bytes of frames; empty for all messages but [`DeviceMessage::Frames`].
    pub body: Vec<u8>,
}

/// What the host says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostMessage {
    /// First on each link.
    Hello {
        /// [`VERSION`].
        version: u16,
        /// The first message that it does not have, from 1.
        resume_from: u64,
    },
    /// All messages up to this one have been taken.
    Ack {
        /// The last one's sequence.
        sequence: u64,
    },
    /// Flows that began: those who ask for sockets may look for them.
    Opened(Vec<FlowRecord>),
    /// Answered at once by [`DeviceMessage::Pong`].
    Ping {
        /// The host's clock, nanoseconds since the Unix epoch.
        host_time: i64,
    },
    /// The capture ends; what was captured is still sent.
    Stop,
}

/// What the agent says of itself and of the device, first on each link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceHello {
    /// [`VERSION`].
    pub version: u16,
    /// The session's name.
    pub session: String,
    /// Tells this daemon from others of the same session: a killed one is not resumed.
    pub instance: u64,
    /// `uname`'s system and release.
    pub kernel: String,
    /// `uname`'s machine.
    pub machine: String,
    /// Bytes of a page of memory.
    pub page_size: u64,
    /// How owners are found, strongest first, as [`Method`](crate::attribution::Method) is shown.
    pub methods: Vec<String>,
    /// Whether sockets are asked for: then the flows that begin are of use.
    pub asks: bool,
    /// What was refused on the device, why, and what that costs.
    pub notes: Vec<String>,
    /// The interfaces, in the order of their numbers in [`DeviceMessage::Frames`]. `any` is one: each of its frames names
    /// its own, and those that come later need no word.
    pub interfaces: Vec<InterfaceRecord>,
}

/// An interface as messages have it: see [`InterfaceInfo`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceRecord {
    /// See [`InterfaceInfo::name`].
    pub name: String,
    /// See [`InterfaceInfo::link_type`].
    pub link_type: u16,
    /// See [`InterfaceInfo::snaplen`].
    pub snaplen: u32,
    /// See [`InterfaceInfo::filter`].
    pub filter: Option<String>,
}

impl From<InterfaceInfo> for InterfaceRecord {
    fn from(info: InterfaceInfo) -> Self {
        let InterfaceInfo { name, link_type: LinkType(link_type), snaplen, filter } = info;
        Self { name, link_type, snaplen, filter }
    }
}

impl InterfaceRecord {
    /// The interface, called `device:NAME` where `device` is the prefix.
    pub(super) fn info(self, prefix: &str) -> InterfaceInfo {
        InterfaceInfo {
            name: format!("{prefix}:{}", self.name),
            link_type: LinkType(self.link_type),
            snaplen: self.snaplen,
            filter: self.filter,
        }
    }
}

/// One frame of [`DeviceMessage::Frames`]; its bytes follow those of the one before in the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireFrame {
    /// Nanoseconds after [`FramesHeader::base`].
    pub after_base: i64,
    /// Captured bytes.
    pub len: u32,
    /// Bytes on the link.
    pub original_len: u32,
    /// Which way it went, where that is known: whether outwards.
    pub outbound: Option<bool>,
}

/// What [`DeviceMessage::Frames`] says of the bytes in its body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FramesHeader {
    /// Index into [`DeviceHello::interfaces`].
    pub interface: u32,
    /// Nanoseconds since the Unix epoch, by the device's clock.
    pub base: i64,
    /// The frames, in the order of capture.
    pub frames: Vec<WireFrame>,
}

/// What was counted on an interface so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceCounts {
    /// Frames that the kernel dropped for want of room.
    pub dropped: u64,
    /// Times that reading was disturbed.
    pub damages: u64,
    /// Why, the last time.
    pub reason: Option<String>,
}

/// What was counted on the device so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// For each interface.
    pub interfaces: Vec<InterfaceCounts>,
    /// Sockets that attributors lost: the kernel's ring was full.
    pub lost_sockets: u64,
    /// Flows that began and were not looked for: too many at once.
    pub unasked_flows: u64,
    /// Frames that the spool had no room for.
    pub spool_frames: u64,
    /// Their captured bytes.
    pub spool_bytes: u64,
    /// Sockets whose owners the spool had no room for.
    pub spool_sightings: u64,
    /// Markers and notes that the spool had no room for.
    pub spool_words: u64,
}

/// What the agent says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeviceMessage {
    /// First on each link.
    Hello(DeviceHello),
    /// The link is of no use, and why.
    Refused(String),
    /// The answer to [`HostMessage::Ping`].
    Pong {
        /// As the ping had it.
        host_time: i64,
        /// The device's clocks when it came.
        device: DeviceTime,
    },
    /// Frames; their bytes are the body.
    Frames(FramesHeader),
    /// Whose sockets are whose.
    Sightings(Vec<SightingRecord>),
    /// Apps of the device: app id, package and label.
    Packages {
        /// Whether the list begins with these.
        first: bool,
        /// Whether it ends with these: then it takes the place of the one before.
        last: bool,
        /// Some of it.
        apps: Vec<(u32, String, String)>,
    },
    /// There are no more frames up to this time, in nanoseconds since the Unix epoch.
    Until(i64),
    /// What was counted; later ones take the place of earlier ones.
    Counts(Counts),
    /// Somebody on the device says what happens.
    Marker {
        /// When it arrived there, in nanoseconds since the Unix epoch, by the device's clock.
        at: i64,
        /// What a recording keeps of it: see [`Marker::to_comment`](crate::source::Marker::to_comment).
        comment: String,
    },
    /// Something that the run's report says.
    Note(String),
    /// The capture has ended: nothing follows.
    End {
        /// Frames that were captured, those that the spool had no room for included.
        frames: u64,
    },
}

impl FramesHeader {
    /// Checks that the frames are the body.
    ///
    /// # Errors
    /// When their lengths do not add up to `body` bytes, or when there are too many.
    pub(super) fn check(&self, body: usize) -> Result<(), WireError> {
        let sum = self.frames.iter().try_fold(0_usize, |sum, frame| {
            sum.checked_add(usize::try_from(frame.len).ok()?).filter(|sum| *sum <= body)
        });
        if self.frames.len() > MAX_FRAMES {
            return Err(WireError::Unexpected(format!("{} frames in one message", self.frames.len())));
        }
        if sum != Some(body) {
            return Err(WireError::Unexpected(format!(
                "{} frames do not add up to a body of {body} bytes",
                self.frames.len()
            )));
        }
        Ok(())
    }
}

/// The bytes before the first message.
#[cfg(any(test, all(feature = "live", target_os = "linux")))]
pub(super) fn preamble() -> Vec<u8> {
    [&MAGIC[..], &VERSION.to_le_bytes(), &CAPABILITIES.to_le_bytes()].concat()
}

/// Reads the preamble; the agent's capabilities.
///
/// # Errors
/// When the stream is no agent's, or the agent of another version.
pub fn read_preamble(reader: &mut impl Read) -> Result<u32, WireError> {
    let mut start = [0; MAGIC.len()];
    let read = read_up_to(reader, &mut start)?;
    if read == 0 {
        return Err(WireError::Silent);
    }
    if start != MAGIC {
        // A shell that says why there is no agent. It ends by itself, and what it says is bounded.
        let mut said = start.get(..read).unwrap_or_default().to_vec();
        let more = u64::try_from(SHOWN.saturating_sub(read)).unwrap_or(0);
        if read == start.len() {
            reader.take(more).read_to_end(&mut said)?;
        }
        return Err(WireError::NotAnAgent { said: String::from_utf8_lossy(&said).trim().to_owned() });
    }
    let mut version = [0; 2];
    let mut capabilities = [0; 4];
    fill(reader, &mut version, "the preamble")?;
    fill(reader, &mut capabilities, "the preamble")?;
    match u16::from_le_bytes(version) {
        VERSION => Ok(u32::from_le_bytes(capabilities)),
        agent => Err(WireError::Version { agent }),
    }
}

/// Reads the next message; `None` where the stream ends before one.
///
/// # Errors
/// When the stream breaks, ends inside the message, or holds something else.
pub fn read_message<T: DeserializeOwned>(reader: &mut impl Read) -> Result<Option<Message<T>>, WireError> {
    let mut prefix = [0; PREFIX];
    match read_up_to(reader, &mut prefix)? {
        0 => return Ok(None),
        PREFIX => {}
        _ => return Err(WireError::Truncated { within: "a message" }),
    }
    let [a, b, c, d, e, f, g, h, sequence @ ..] = prefix;
    let length = |bytes: [u8; 4], part, limit| {
        let length = usize::try_from(u32::from_le_bytes(bytes)).unwrap_or(usize::MAX);
        if length > limit { Err(WireError::TooLong { part, length, limit }) } else { Ok(length) }
    };
    let header_len = length([a, b, c, d], "header", MAX_HEADER)?;
    let body_len = length([e, f, g, h], "body", MAX_BODY)?;
    let header = read_bytes(reader, header_len, "a header")?;
    let malformed = |reason: String| WireError::Malformed { length: header_len, reason };
    let (header, rest) = postcard::take_from_bytes(&header).map_err(|error| malformed(error.to_string()))?;
    if !rest.is_empty() {
        return Err(malformed(format!("{} bytes are left over", rest.len())));
    }
    let body = read_bytes(reader, body_len, "a body")?;
    Ok(Some(Message { sequence: u64::from_le_bytes(sequence), header, body }))
}

/// A header's bytes.
///
/// # Errors
/// When it is longer than its bound.
pub(super) fn encode(header: &impl Serialize) -> Result<Vec<u8>, WireError> {
    let bytes = postcard::to_stdvec(header)
        .map_err(|error| WireError::Malformed { length: 0, reason: error.to_string() })?;
    match bytes.len() {
        length if length > MAX_HEADER => {
            Err(WireError::TooLong { part: "header", length, limit: MAX_HEADER })
        }
        _ => Ok(bytes),
    }
}

/// Writes a message whose header is encoded already.
///
/// # Errors
/// The stream's; and when header or body is too long to be read.
pub(super) fn write_encoded(
    writer: &mut (impl Write + ?Sized),
    sequence: u64,
    header: &[u8],
    body: &[u8],
) -> io::Result<()> {
    let length = |bytes: &[u8], limit| match u32::try_from(bytes.len()) {
        Ok(length) if bytes.len() <= limit => Ok(length.to_le_bytes()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "a message is too long")),
    };
    let (header_len, body_len) = (length(header, MAX_HEADER)?, length(body, MAX_BODY)?);
    // One write for all that is small: each may be a packet of adb's.
    let mut start = Vec::with_capacity(PREFIX.saturating_add(header.len()));
    start.extend_from_slice(&header_len);
    start.extend_from_slice(&body_len);
    start.extend_from_slice(&sequence.to_le_bytes());
    start.extend_from_slice(header);
    writer.write_all(&start)?;
    writer.write_all(body)
}

/// Writes a message without a sequence or a body.
///
/// # Errors
/// As [`write_encoded`].
pub(super) fn write_message(writer: &mut (impl Write + ?Sized), header: &impl Serialize) -> io::Result<()> {
    let header = encode(header).map_err(io::Error::other)?;
    write_encoded(writer, 0, &header, &[])
}

/// As much of a text as a message takes.
pub(super) fn cut(mut text: String) -> String {
    let mut end = MAX_TEXT.min(text.len());
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.truncate(end);
    text
}

/// Fills `buffer` as far as the stream goes.
fn read_up_to(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while let Some(rest) = buffer.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest) {
            Ok(0) => break,
            Ok(more) => read = read.saturating_add(more),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

fn fill(reader: &mut impl Read, buffer: &mut [u8], within: &'static str) -> Result<(), WireError> {
    let wanted = buffer.len();
    if read_up_to(reader, buffer)? == wanted { Ok(()) } else { Err(WireError::Truncated { within }) }
}

fn read_bytes(reader: &mut impl Read, length: usize, within: &'static str) -> Result<Vec<u8>, WireError> {
    let mut bytes = Vec::with_capacity(length);
    let read = reader.take(u64::try_from(length).unwrap_or(u64::MAX)).read_to_end(&mut bytes)?;
    if read == length { Ok(bytes) } else { Err(WireError::Truncated { within }) }
}

#[cfg(test)]
mod tests;
