//! Bytes on their way from one layer of a flow to the next.

use std::collections::VecDeque;

use crate::flow::{Data, Direction, Gap};
use crate::source::FrameNumber;
use crate::time::Timestamp;

/// Bytes that an analyzer did not consume because they belong to the protocol within, in order and with their frames.
///
/// What exceeds the limit is dropped, counted, and becomes a [`Gap`] for the next layer.
#[derive(Debug, Default)]
pub struct Inner {
    pieces: VecDeque<Piece>,
    kept: usize,
    dropped: u64,
}

#[derive(Debug)]
struct Piece {
    direction: Direction,
    bytes: Vec<u8>,
    /// Bytes dropped behind `bytes`.
    lost: u64,
    frame: FrameNumber,
    at: Timestamp,
}

impl Inner {
    /// Adds bytes; of all bytes at most `limit` are kept.
    pub fn push(&mut self, data: Data<'_>, limit: usize) {
        let Data { direction, bytes, frame, at } = data;
        if bytes.is_empty() {
            return;
        }
        let kept = bytes.get(..limit.saturating_sub(self.kept)).unwrap_or(bytes);
        let lost = u64::try_from(bytes.len().saturating_sub(kept.len())).unwrap_or(u64::MAX);
        self.kept = self.kept.saturating_add(kept.len());
        self.dropped = self.dropped.saturating_add(lost);
        match self
            .pieces
            .back_mut()
            .filter(|last| last.direction == direction && last.lost > 0 && kept.is_empty())
        {
            Some(last) => last.lost = last.lost.saturating_add(lost),
            None => self.pieces.push_back(Piece { direction, bytes: kept.to_vec(), lost, frame, at }),
        }
    }

    /// Adds bytes that are not in the capture.
    pub fn gap(&mut self, gap: Gap) {
        let Gap { direction, len, frame, at } = gap;
        self.pieces.push_back(Piece { direction, bytes: Vec::new(), lost: len, frame, at });
    }

    /// Hands out the bytes, in order, and is empty afterwards; what was dropped is handed out as a gap.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Step> + use<> {
        self.kept = 0;
        std::mem::take(&mut self.pieces).into_iter().flat_map(|piece| {
            let Piece { direction, bytes, lost, frame, at } = piece;
            let data = (!bytes.is_empty()).then_some(Step::Data { direction, bytes, frame, at });
            let gap = (lost > 0).then_some(Step::Gap(Gap { direction, len: lost, frame, at }));
            data.into_iter().chain(gap)
        })
    }

    /// Forgets the bytes: the layer within is not read.
    pub(super) fn clear(&mut self) {
        self.kept = 0;
        self.pieces.clear();
    }

    /// How many bytes the limit dropped so far.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// Something that happens in a flow.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event<'a> {
    Data(Data<'a>),
    Gap(Gap),
}

impl Event<'_> {
    pub(super) fn direction(&self) -> Direction {
        match self {
            Self::Data(data) => data.direction,
            Self::Gap(gap) => gap.direction,
        }
    }
}

/// An [`Event`] that owns its bytes.
#[derive(Debug)]
pub(super) enum Step {
    Data { direction: Direction, bytes: Vec<u8>, frame: FrameNumber, at: Timestamp },
    Gap(Gap),
}

impl Step {
    pub(super) fn event(&self) -> Event<'_> {
        match self {
            Self::Data { direction, bytes, frame, at } => {
                Event::Data(Data { direction: *direction, bytes, frame: *frame, at: *at })
            }
            Self::Gap(gap) => Event::Gap(*gap),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_exceeds_the_limit_is_a_gap() {
        let mut inner = Inner::default();
        let data = |bytes, frame| Data { direction: Direction::ToResponder, bytes, frame, at: Timestamp(0) };
        inner.push(data(b"abc", 1), 4);
        inner.push(data(b"defg", 2), 4);
        inner.push(data(b"hi", 3), 4);
        let steps: Vec<_> = inner
            .drain()
            .map(|step| match step {
                Step::Data { bytes, frame, .. } => (bytes, frame, 0),
                Step::Gap(gap) => (Vec::new(), gap.frame, gap.len),
            })
            .collect();
        assert_eq!(steps, [(b"abc".to_vec(), 1, 0), (b"d".to_vec(), 2, 0), (Vec::new(), 2, 5)]);
        assert_eq!(inner.dropped(), 5);
        assert_eq!(inner.drain().count(), 0);
    }
}
