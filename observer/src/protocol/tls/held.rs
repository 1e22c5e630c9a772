//! Encrypted records of a flow that wait for their secret, in order.

use std::collections::VecDeque;

use super::record::RecordHeader;
use crate::flow::Direction;
use crate::protocol::Context;
use crate::source::FrameNumber;
use crate::time::Timestamp;

/// Ciphertext of a flow that is held for a secret: a handshake with long chains on both sides, and a request.
pub(super) const MAX_HELD: usize = 64 << 10;

/// Nanoseconds of capture time that a record is held: stacks write secrets before they send the next flight, but
/// through buffers and other machines.
pub(super) const MAX_WAIT: i64 = 10_000_000_000;

/// A record as it was captured.
pub(super) struct Sealed {
    pub(super) direction: Direction,
    pub(super) header: RecordHeader,
    pub(super) body: Vec<u8>,
    pub(super) frame: FrameNumber,
    pub(super) at: Timestamp,
}

/// Those that wait.
#[derive(Default)]
pub(super) struct Held {
    records: VecDeque<Sealed>,
    bytes: usize,
}

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Sealed> {
        self.records.iter()
    }

    pub(super) fn first(&self) -> Option<&Sealed> {
        self.records.front()
    }

    /// Whether another one may wait.
    pub(super) fn has_room(&self, next: &Sealed, cx: &Context<'_>) -> bool {
        let len = next.body.len();
        let since = self.first().map_or(next.at, |first| first.at);
        self.bytes.saturating_add(len) <= MAX_HELD
            && cx.ciphertext.saturating_add(len) <= cx.limits.ciphertext_per_shard
            && next.at.0.saturating_sub(since.0) <= MAX_WAIT
    }

    pub(super) fn push(&mut self, sealed: Sealed, cx: &mut Context<'_>) {
        self.count(sealed.body.len(), cx);
        self.records.push_back(sealed);
    }

    /// Takes the first one.
    pub(super) fn pop(&mut self, cx: &mut Context<'_>) -> Option<Sealed> {
        let sealed = self.records.pop_front()?;
        let len = sealed.body.len();
        self.bytes = self.bytes.saturating_sub(len);
        *cx.ciphertext = cx.ciphertext.saturating_sub(len);
        Some(sealed)
    }

    /// Puts the first one back.
    pub(super) fn put_back(&mut self, sealed: Sealed, cx: &mut Context<'_>) {
        self.count(sealed.body.len(), cx);
        self.records.push_front(sealed);
    }

    /// Lets go of all.
    pub(super) fn release(&mut self, cx: &mut Context<'_>) {
        *cx.ciphertext = cx.ciphertext.saturating_sub(self.bytes);
        *self = Self::default();
    }

    fn count(&mut self, len: usize, cx: &mut Context<'_>) {
        self.bytes = self.bytes.saturating_add(len);
        *cx.ciphertext = cx.ciphertext.saturating_add(len);
    }
}
