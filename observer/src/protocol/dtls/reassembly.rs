//! Handshake messages from fragments (RFC 6347 §4.2.3): in order, each once.

use crate::bytes::{ParseError, Reader};
use crate::protocol::tls::handshake_type;

/// Messages that may wait for one before them. A flight has ten at most.
const MAX_WAITING: usize = 16;

/// Pieces of a message that do not touch one another. A fragment that makes one more is dropped: it is sent again.
const MAX_PIECES: usize = 64;

/// The highest `message_seq` of a hello: both peers may have sent one before it, for a cookie and for a retry.
const MAX_HELLO_SEQ: u16 = 3;

/// A fragment of a handshake message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fragment<'a> {
    /// HandshakeType.
    pub(super) kind: u8,
    /// Bytes of the message's contents.
    pub(super) len: usize,
    /// `message_seq`.
    pub(super) seq: u16,
    /// Where `bytes` lie in the contents: `offset + bytes.len() <= len`.
    pub(super) offset: usize,
    /// The fragment.
    pub(super) bytes: &'a [u8],
}

impl<'a> Fragment<'a> {
    /// Takes the next fragment of a record.
    pub(super) fn next(reader: &mut Reader<'a>) -> Result<Self, ParseError> {
        let kind = reader.u8("msg_type")?;
        let len = size(reader.u24("length")?);
        let seq = reader.u16("message_seq")?;
        let offset = size(reader.u24("fragment_offset")?);
        let fragment_len = size(reader.u24("fragment_length")?);
        let bytes = reader.take(fragment_len, "fragment")?;
        if offset.saturating_add(fragment_len) > len {
            return Err(reader.invalid("fragment_offset"));
        }
        Ok(Self { kind, len, seq, offset, bytes })
    }
}

/// A message in its turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// All of it.
    Whole { kind: u8, body: Vec<u8> },
    /// It is longer than the limit and not kept.
    TooLong { kind: u8, len: usize },
    /// It is not there, or a part of it.
    Missing,
}

/// Puts the handshake messages of one direction together.
#[derive(Debug, Default)]
pub(super) struct Reassembly {
    /// The `message_seq` whose turn it is.
    next: u16,
    /// Kind and length of the message before.
    last: Option<(u8, usize)>,
    waiting: Vec<Waiting>,
    /// Bytes in `waiting`.
    kept: usize,
}

/// A message that is not complete, or not in its turn.
#[derive(Debug)]
struct Waiting {
    seq: u16,
    kind: u8,
    len: usize,
    bytes: Vec<u8>,
    /// What of `bytes` is there: pieces `start..end` in order, which do not touch.
    pieces: Vec<(usize, usize)>,
    too_long: bool,
}

impl Waiting {
    fn is_complete(&self) -> bool {
        self.too_long || self.pieces.first().is_some_and(|piece| *piece == (0, self.len))
    }

    /// Adds what is new in a fragment; of bytes that come twice the first are kept.
    fn add(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset.saturating_add(bytes.len());
        let apart = |piece: &&(usize, usize)| piece.1 < offset || piece.0 > end;
        let touched = self.pieces.iter().filter(|piece| !apart(piece)).count();
        if touched == 0 && self.pieces.len() >= MAX_PIECES {
            return;
        }
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        for (place, (slot, byte)) in self.bytes.iter_mut().skip(offset).zip(bytes).enumerate() {
            let place = offset.saturating_add(place);
            if !self.pieces.iter().any(|(start, end)| (*start..*end).contains(&place)) {
                *slot = *byte;
            }
        }
        let mut joined = (offset, end);
        self.pieces.retain(|piece| {
            let keep = piece.1 < joined.0 || piece.0 > joined.1;
            if !keep {
                joined = (joined.0.min(piece.0), joined.1.max(piece.1));
            }
            keep
        });
        let place = self.pieces.partition_point(|piece| piece.0 < joined.0);
        self.pieces.insert(place, joined);
    }
}

impl Reassembly {
    /// Takes a fragment; of all messages together at most `limit` bytes are kept.
    pub(super) fn take(&mut self, fragment: Fragment<'_>, limit: usize) {
        let Fragment { kind, len, seq, offset, bytes } = fragment;
        if self.begins_anew(kind, len, seq) {
            self.next = seq;
        }
        // What was said before, and what is too far off to be of this flight.
        let ahead = usize::from(seq.wrapping_sub(self.next));
        if ahead >= MAX_WAITING {
            return;
        }
        let known = self.waiting.iter().position(|waiting| waiting.seq == seq);
        let place = known.unwrap_or(self.waiting.len());
        if known.is_none() {
            let (bytes, pieces) = (Vec::new(), Vec::new());
            self.waiting.push(Waiting { seq, kind, len, bytes, pieces, too_long: len > limit });
        }
        let Some(waiting) = self.waiting.get_mut(place) else { return };
        if (waiting.kind, waiting.len) != (kind, len) || waiting.too_long {
            return;
        }
        let before = waiting.bytes.len();
        let grows = offset.saturating_add(bytes.len()).saturating_sub(before);
        if self.kept.saturating_add(grows) > limit {
            return;
        }
        waiting.add(offset, bytes);
        self.kept = self.kept.saturating_add(waiting.bytes.len().saturating_sub(before));
    }

    /// The next message, if it is complete.
    pub(super) fn pop(&mut self) -> Option<Message> {
        let place =
            self.waiting.iter().position(|waiting| waiting.seq == self.next && waiting.is_complete())?;
        let Waiting { kind, len, bytes, too_long, .. } = self.waiting.swap_remove(place);
        self.kept = self.kept.saturating_sub(bytes.len());
        self.next = self.next.wrapping_add(1);
        self.last = Some((kind, len));
        Some(if too_long { Message::TooLong { kind, len } } else { Message::Whole { kind, body: bytes } })
    }

    /// The same when nothing more is to come: what is missing before a message is said to be.
    pub(super) fn pop_late(&mut self) -> Option<Message> {
        if let Some(message) = self.pop() {
            return Some(message);
        }
        // A message of which a part is there is passed over; so is what is before the first that has come.
        let next = self.waiting.iter().map(|waiting| waiting.seq.wrapping_sub(self.next)).min()?;
        self.next = self.next.wrapping_add(next);
        if let Some(place) = self.waiting.iter().position(|one| one.seq == self.next && !one.is_complete()) {
            self.kept = self.kept.saturating_sub(self.waiting.swap_remove(place).bytes.len());
            self.next = self.next.wrapping_add(1);
        }
        Some(Message::Missing)
    }

    /// Whether a hello is counted from another number than expected: where the one before it was not captured, and by
    /// peers that begin at 0 again behind a cookie.
    fn begins_anew(&self, kind: u8, len: usize, seq: u16) -> bool {
        if seq == self.next || seq > MAX_HELLO_SEQ {
            return false;
        }
        match (kind, self.last) {
            (
                handshake_type::CLIENT_HELLO
                | handshake_type::SERVER_HELLO
                | handshake_type::HELLO_VERIFY_REQUEST,
                None,
            ) => !self.waiting.iter().any(|waiting| waiting.seq == self.next),
            (handshake_type::SERVER_HELLO, Some((handshake_type::HELLO_VERIFY_REQUEST, _))) => true,
            // The same ClientHello with a cookie is longer.
            (handshake_type::CLIENT_HELLO, Some((handshake_type::CLIENT_HELLO, last))) => len > last,
            _ => false,
        }
    }
}

fn size(len: u32) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: usize = 1000;

    fn fragment(seq: u16, len: usize, offset: usize, bytes: &[u8]) -> Fragment<'_> {
        Fragment { kind: 11, len, seq, offset, bytes }
    }

    fn bodies(reassembly: &mut Reassembly) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| reassembly.pop())
            .map(|message| match message {
                Message::Whole { body, .. } => body,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn messages_come_in_order_and_once() {
        let mut reassembly = Reassembly::default();
        reassembly.take(fragment(1, 2, 0, b"cd"), LIMIT);
        assert_eq!(reassembly.pop(), None);
        reassembly.take(fragment(0, 2, 1, b"b"), LIMIT);
        reassembly.take(fragment(0, 2, 0, b"a"), LIMIT);
        assert_eq!(bodies(&mut reassembly), [b"ab", b"cd"]);
        reassembly.take(fragment(0, 2, 0, b"ab"), LIMIT);
        assert_eq!((reassembly.pop(), reassembly.kept), (None, 0));
    }

    #[test]
    fn what_never_comes_is_said_to_be_missing() {
        let mut reassembly = Reassembly::default();
        reassembly.take(fragment(1, 2, 0, b"ab"), LIMIT);
        reassembly.take(fragment(2, 4, 2, b"ef"), LIMIT);
        reassembly.take(fragment(3, 1, 0, b"g"), LIMIT);
        let found: Vec<_> = std::iter::from_fn(|| reassembly.pop_late()).collect();
        let whole = |body: &[u8]| Message::Whole { kind: 11, body: body.to_vec() };
        assert_eq!(found, [Message::Missing, whole(b"ab"), Message::Missing, whole(b"g")]);
        assert_eq!(reassembly.kept, 0);
    }

    #[test]
    fn nothing_grows_beyond_the_limit() {
        let mut reassembly = Reassembly::default();
        reassembly.take(fragment(0, LIMIT + 1, 0, b"a"), LIMIT);
        assert_eq!(reassembly.pop(), Some(Message::TooLong { kind: 11, len: LIMIT + 1 }));
        for seq in 1..200 {
            reassembly.take(fragment(seq, LIMIT, LIMIT - 1, b"a"), LIMIT);
        }
        assert!(reassembly.kept <= LIMIT && reassembly.waiting.len() <= MAX_WAITING);
        for offset in 0..LIMIT / 2 {
            reassembly.take(fragment(1, LIMIT, 2 * offset, b"a"), LIMIT);
        }
        assert!(reassembly.waiting.iter().all(|waiting| waiting.pieces.len() <= MAX_PIECES));
    }

    proptest! {
        #[test]
        fn any_order_of_any_fragments_gives_the_messages(
            messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 1..6),
            cuts in proptest::collection::vec((any::<prop::sample::Index>(), 1..20_usize), 1..40),
            order in proptest::collection::vec(any::<prop::sample::Index>(), 60),
        ) {
            // Pieces from anywhere, and then, so that nothing is missing, all of it in small ones.
            let mut fragments = Vec::new();
            for (seq, body) in messages.iter().enumerate() {
                for (start, len) in &cuts {
                    let start = start.index(body.len() + 1);
                    fragments.push((seq, start, (start + len).min(body.len())));
                }
                for start in (0..=body.len()).step_by(7) {
                    fragments.push((seq, start, (start + 7).min(body.len())));
                }
            }
            for (index, with) in order.iter().enumerate() {
                let (a, b) = (index % fragments.len(), with.index(fragments.len()));
                fragments.swap(a, b);
            }
            let mut reassembly = Reassembly::default();
            let mut found = Vec::new();
            for (seq, start, end) in fragments {
                let body = &messages[seq];
                let seq = u16::try_from(seq).unwrap();
                reassembly.take(fragment(seq, body.len(), start, &body[start..end]), LIMIT);
                found.extend(bodies(&mut reassembly));
            }
            prop_assert_eq!(found, messages);
        }

        #[test]
        fn fragments_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut reader = Reader::new(&bytes);
            let mut reassembly = Reassembly::default();
            while let Ok(fragment) = Fragment::next(&mut reader) {
                reassembly.take(fragment, 64);
            }
            while reassembly.pop_late().is_some() {}
            prop_assert_eq!(reassembly.kept, 0);
        }
    }
}
