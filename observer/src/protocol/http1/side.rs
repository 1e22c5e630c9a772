//! Where each direction stands between messages, and what waits there.

use super::framing::Body;
use super::{Request, Response};
use crate::flow::Direction;
use crate::source::FrameNumber;
use crate::time::Timestamp;

#[derive(Default)]
pub(super) struct Side {
    pub(super) state: State,
    /// The start of a head or a line; at most `FlowLimits::message_bytes`.
    pub(super) buffer: Vec<u8>,
    /// Bytes of `buffer` without the end of a head.
    pub(super) scanned: usize,
    /// Whether the next message begins behind missing bytes.
    pub(super) resumed: bool,
    /// Bytes behind a `CONNECT`; at most `MAX_HELD`.
    pub(super) held: Vec<HeldPiece>,
    pub(super) last: Seen,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    #[default]
    Head,
    Body(Body),
    /// What answers a request that states no version may have no head (RFC 1945 §4.1).
    Bare,
    /// A `CONNECT` was sent and not answered.
    Held,
    /// Where the next message begins is not known.
    Lost,
}

#[derive(Clone, Copy, Default)]
pub(super) struct Seen {
    pub(super) frame: FrameNumber,
    pub(super) at: Timestamp,
}

pub(super) struct HeldPiece {
    pub(super) seen: Seen,
    pub(super) bytes: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Head,
    Connect,
    Other,
}

/// A request that is not said yet, because its body may hold form fields.
pub(super) struct Form {
    pub(super) direction: Direction,
    pub(super) request: Request,
    pub(super) seen: Seen,
    pub(super) sample: Vec<u8>,
    /// Interim responses that came meanwhile.
    pub(super) interim: Vec<(Response, Seen)>,
}
