//! STUN and TURN over streams: where messages begin and end (RFC 8489 §6.2.2, RFC 8656 §12.5), and ICE's frames of two
//! bytes of length (RFC 4571, RFC 6544), in which DTLS and media may follow.

use super::message::{Class, HEADER, Message, method};
use crate::flow::{Data, Direction};
use crate::protocol::demultiplexer::Demultiplexer;
use crate::protocol::{Analyzer, Context, Probe, ProbeInput, Progress};

/// Bytes of the length before a frame of RFC 4571.
const FRAME_HEADER: usize = 2;

/// The longest message: a header of 20 bytes and 65,535 more, or a frame of 65,535.
const MAX_MESSAGE: usize = HEADER + 0xffff;

/// How messages are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// By their own lengths.
    Own,
    /// By a length before them.
    Prefixed,
}

/// A direction that begins with a message with a cookie, framed in either way.
pub(super) fn probe(input: &ProbeInput<'_>) -> Probe {
    if input.midstream {
        return Probe::NoMatch;
    }
    let own = begins(input.bytes);
    let prefixed = match *input.bytes {
        [high, low, ref message @ ..] if usize::from(u16::from_be_bytes([high, low])) >= HEADER => {
            begins(message)
        }
        [_] => Probe::NeedMore,
        _ => Probe::NoMatch,
    };
    match (own, prefixed) {
        (Probe::Match, _) | (_, Probe::Match) => Probe::Match,
        (Probe::NeedMore, _) | (_, Probe::NeedMore) => Probe::NeedMore,
        _ => Probe::NoMatch,
    }
}

/// Whether a message with a magic cookie begins here.
fn begins(bytes: &[u8]) -> Probe {
    const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
    let kind = bytes.first().is_none_or(|first| first & 0xc0 == 0);
    let len = bytes.get(3).is_none_or(|low| low & 3 == 0);
    let cookie = bytes.iter().skip(4).zip(COOKIE).all(|(byte, wanted)| *byte == wanted);
    match kind && len && cookie {
        true if bytes.len() >= 8 => Probe::Match,
        true => Probe::NeedMore,
        false => Probe::NoMatch,
    }
}

/// A fresh analyzer.
pub(super) fn analyzer() -> Box<dyn Analyzer> {
    Box::new(Stream::default())
}

/// Splits both directions into messages.
#[derive(Debug, Default)]
struct Stream {
    framing: Option<Framing>,
    buffers: [Vec<u8>; 2],
    messages: Demultiplexer,
}

impl Analyzer for Stream {
    fn data(&mut self, data: Data<'_>, cx: &mut Context<'_>) -> Progress {
        let framing = match self.framing {
            Some(framing) => framing,
            None => {
                let kept = self.buffer(data.direction);
                let start: Vec<u8> = kept.iter().chain(data.bytes).copied().take(HEADER).collect();
                match begins(&start) {
                    Probe::NeedMore => {
                        kept.extend_from_slice(data.bytes);
                        return Progress::NeedMore;
                    }
                    Probe::Match => Framing::Own,
                    Probe::NoMatch => Framing::Prefixed,
                }
            }
        };
        self.framing = Some(framing);
        let mut buffer = std::mem::take(self.buffer(data.direction));
        buffer.extend_from_slice(data.bytes);
        let mut rest = buffer.as_slice();
        while let Some(len) = message_len(framing, rest) {
            let Some((message, after)) = rest.split_at_checked(len) else { break };
            rest = after;
            let skip = if framing == Framing::Prefixed { FRAME_HEADER } else { 0 };
            let bytes = message.get(skip..).unwrap_or_default();
            if framing == Framing::Own && opens_connection(bytes) {
                cx.hand_on(Data { bytes: rest, ..data });
                return Progress::Inner;
            }
            match self.messages.data(Data { bytes, ..data }, cx) {
                Progress::NeedMore => {}
                progress => {
                    // What follows in the same piece belongs to whoever goes on.
                    if progress == Progress::Inner {
                        cx.hand_on(Data { bytes: rest, ..data });
                    }
                    return progress;
                }
            }
        }
        // What is too long to be a message is none: there is no way back into the stream.
        if rest.len() > MAX_MESSAGE || message_len(framing, rest).is_none() && rest.len() >= FRAME_HEADER * 2
        {
            self.messages.finish(cx);
            return Progress::Done;
        }
        *self.buffer(data.direction) = rest.to_vec();
        Progress::NeedMore
    }

    fn finish(&mut self, cx: &mut Context<'_>) {
        self.messages.finish(cx);
    }
}

impl Stream {
    fn buffer(&mut self, direction: Direction) -> &mut Vec<u8> {
        let [to_responder, to_originator] = &mut self.buffers;
        match direction {
            Direction::ToResponder => to_responder,
            Direction::ToOriginator => to_originator,
        }
    }
}

/// Bytes of the message at the start, padding included; `None` where more is needed, or where no message begins.
fn message_len(framing: Framing, bytes: &[u8]) -> Option<usize> {
    let prefix = u16::from_be_bytes(*bytes.first_chunk::<2>()?);
    if framing == Framing::Prefixed {
        return Some(usize::from(prefix).saturating_add(FRAME_HEADER));
    }
    let [.., high, low] = *bytes.first_chunk::<4>()?;
    let len = usize::from(u16::from_be_bytes([high, low]));
    match prefix >> 14 {
        0 => Some(len.saturating_add(HEADER)),
        1 => Some(len.next_multiple_of(4).saturating_add(4)),
        _ => None,
    }
}

/// Whether the peer's bytes follow from here on (RFC 6062 §4.3).
fn opens_connection(bytes: &[u8]) -> bool {
    Message::parse(bytes)
        .is_some_and(|message| message.class == Class::Success && message.method == method::CONNECTION_BIND)
}
