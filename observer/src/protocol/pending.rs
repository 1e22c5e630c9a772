//! For protocols over streams: the bytes of each direction that are not read yet.

use super::{Analyzer, Context, Progress};
use crate::bytes::ParseError;
use crate::flow::{Data, Direction};

/// The bound on messages: [`Messages::LIMIT`].
const TOO_LONG: &str = "flows read up to a message that is too long";

/// What was made of the bytes that are there.
pub(super) enum Step {
    /// So many bytes, at least one, are read.
    Took(usize),
    /// More bytes are needed.
    Wait,
    /// Nothing more of this flow is worth reading.
    Stop,
}

/// What reads one message after the other.
pub(super) trait Messages {
    /// Bytes that are kept while a message is not whole; of a longer one nothing more is read.
    const LIMIT: usize;

    /// Takes a message at the start of `bytes`, which are never empty.
    fn message(
        &mut self,
        direction: Direction,
        bytes: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<Step, ParseError>;
}

/// Reads [`Messages`] of both directions.
#[derive(Default)]
pub(super) struct Reading<M> {
    pending: Pending,
    messages: M,
}

impl<M: Messages + Default + Send> Analyzer for Reading<M> {
    fn data(&mut self, data: Data<'_>, cx: &mut Context<'_>) -> Progress {
        self.pending.feed(data, &mut self.messages, cx)
    }
}

/// The bytes that wait.
#[derive(Debug, Default)]
pub(super) struct Pending {
    heads: [Vec<u8>; 2],
}

impl Pending {
    /// Adds `data` to what waits, and hands all that is whole to `messages`.
    pub(super) fn feed<M: Messages>(
        &mut self,
        data: Data<'_>,
        messages: &mut M,
        cx: &mut Context<'_>,
    ) -> Progress {
        let Some(head) = self.heads.get_mut(data.direction.index()) else { return Progress::Done };
        head.extend_from_slice(data.bytes);
        let mut read = 0_usize;
        let progress = loop {
            let rest = head.get(read..).unwrap_or_default();
            if rest.is_empty() {
                break Progress::NeedMore;
            }
            match messages.message(data.direction, rest, cx) {
                Ok(Step::Took(length)) => read = read.saturating_add(length.max(1)),
                Ok(Step::Wait) if rest.len() < M::LIMIT => break Progress::NeedMore,
                Ok(Step::Wait) => break cx.cut_short(TOO_LONG),
                Ok(Step::Stop) => break Progress::Done,
                Err(error) => break Progress::Malformed(error),
            }
        };
        head.drain(..read.min(head.len()));
        progress
    }
}

#[cfg(test)]
mod tests {
    use super::TOO_LONG;
    use crate::decode::Transport;
    use crate::protocol::script::{REQUEST, RESPONSE, play, send};

    #[test]
    fn a_message_that_is_too_long_is_counted() {
        let head = "INVITE sip:b@shop.test SIP/2.0\r\nVia: SIP/2.0/TCP a.test;branch=z9hG4bK1\r\n";
        let long = format!("{head}Subject: {}", "x".repeat(100_000));
        let played = play(Transport::Tcp, 5060, &[send(REQUEST, head), send(REQUEST, long)]);
        assert_eq!(played.cut_short.get(TOO_LONG), Some(&1), "{:?}", played.layers);
        let played = play(Transport::Tcp, 5060, &[send(REQUEST, head), send(RESPONSE, "")]);
        assert!(played.cut_short.is_empty());
    }
}
