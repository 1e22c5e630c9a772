//! DNS messages out of datagrams and streams.

use super::{Fact, names, wire};
use crate::bytes::ParseError;
use crate::flow::{Data, Direction, Gap};
use crate::protocol::{self, Analyzer, Context, Progress};

/// One message a datagram.
#[derive(Default)]
pub(super) struct Datagrams {
    malformed: bool,
}

impl Analyzer for Datagrams {
    fn data(&mut self, data: Data<'_>, cx: &mut Context<'_>) -> Progress {
        if let Err(error) = message(data.bytes, data.direction, &mut self.malformed, cx) {
            malformed(error, data.direction, &mut self.malformed, cx);
        }
        Progress::NeedMore
    }

    /// A datagram of which a part is missing says nothing of the next one.
    fn gap(&mut self, _gap: Gap, _cx: &mut Context<'_>) -> Progress {
        Progress::NeedMore
    }
}

/// Messages behind two bytes of length ([RFC 1035 §4.2.2](https://datatracker.ietf.org/doc/html/rfc1035#section-4.2.2)).
#[derive(Default)]
pub(super) struct Streams {
    sides: [Side; 2],
    malformed: bool,
}

#[derive(Default)]
struct Side {
    /// A message that is not complete: below 2 + 65 535 bytes.
    buffer: Vec<u8>,
    /// Whether message boundaries are not known any more.
    lost: bool,
}

impl Analyzer for Streams {
    fn data(&mut self, data: Data<'_>, cx: &mut Context<'_>) -> Progress {
        let Self { sides, malformed } = self;
        let Some(side) = sides.get_mut(data.direction.index()) else { return Progress::Done };
        if side.lost {
            return Progress::NeedMore;
        }
        side.buffer.extend_from_slice(data.bytes);
        let mut left = side.buffer.as_slice();
        while let Some((length, rest)) = left.split_first_chunk::<2>() {
            let length = usize::from(u16::from_be_bytes(*length));
            let Some((bytes, rest)) = rest.split_at_checked(length) else { break };
            if let Err(error) = message(bytes, data.direction, malformed, cx) {
                return Progress::Malformed(error);
            }
            left = rest;
        }
        let consumed = side.buffer.len().saturating_sub(left.len());
        side.buffer.drain(..consumed);
        Progress::NeedMore
    }

    fn gap(&mut self, gap: Gap, _cx: &mut Context<'_>) -> Progress {
        if let Some(side) = self.sides.get_mut(gap.direction.index()) {
            *side = Side { buffer: Vec::new(), lost: true };
        }
        if self.sides.iter().all(|side| side.lost) { Progress::Done } else { Progress::NeedMore }
    }
}

fn message(
    bytes: &[u8],
    direction: Direction,
    reported: &mut bool,
    cx: &mut Context<'_>,
) -> Result<(), ParseError> {
    let parsed = wire::message(bytes)?;
    if let Err(error) = parsed.records {
        malformed(error, direction, reported, cx);
    }
    names::resolutions(&parsed.fact, cx.frame, cx.at, cx.resolutions);
    say(parsed.fact, cx);
    Ok(())
}

fn say(fact: Fact, cx: &mut Context<'_>) {
    cx.say(protocol::Fact::Dns(Box::new(fact)));
}

/// Says once a flow that a message is damaged. A message that the capture cut is not.
fn malformed(error: ParseError, direction: Direction, reported: &mut bool, cx: &mut Context<'_>) {
    if !error.is_truncated() && !std::mem::replace(reported, true) {
        cx.say(protocol::Fact::Malformed { protocol: "dns", direction, error: Box::new(error) });
    }
}
