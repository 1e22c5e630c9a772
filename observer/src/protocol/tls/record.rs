//! The record layer (RFC 9846 §5, RFC 5246 §6.2): where records begin and end in a stream that comes in pieces.
//!
//! Nothing is kept but a header that is not complete: bodies are handed on as they come, so that an encrypted record
//! costs its header and nothing else.

use crate::bytes::ParseError;

/// Bytes of a record header.
pub(super) const HEADER: usize = 5;

/// The longest `TLSCiphertext.length` that any version allows: 2^14 + 2048 (RFC 5246 §6.2.3).
const MAX_LENGTH: u16 = (1 << 14) + 2048;

/// ContentTypes.
pub(super) mod content {
    pub(in super::super) const CHANGE_CIPHER_SPEC: u8 = 20;
    pub(in super::super) const ALERT: u8 = 21;
    pub(in super::super) const HANDSHAKE: u8 = 22;
    pub(in super::super) const APPLICATION_DATA: u8 = 23;
    pub(in super::super) const HEARTBEAT: u8 = 24;
}

/// A record's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordHeader {
    /// ContentType.
    pub(super) content: u8,
    /// `legacy_record_version`.
    pub(super) version: u16,
    /// Length of what follows; at most [`MAX_LENGTH`].
    pub(super) len: u16,
}

impl RecordHeader {
    /// Reads one; the offset of an error counts from the header's first byte.
    pub(super) fn parse([content, major, minor, high, low]: [u8; HEADER]) -> Result<Self, ParseError> {
        if !(content::CHANGE_CIPHER_SPEC..=content::HEARTBEAT).contains(&content) {
            return Err(ParseError::invalid("content type", 0));
        }
        if major != 3 {
            return Err(ParseError::invalid("record version", 1));
        }
        let len = u16::from_be_bytes([high, low]);
        if len > MAX_LENGTH {
            return Err(ParseError::invalid("record length", 3));
        }
        Ok(Self { content, version: u16::from_be_bytes([major, minor]), len })
    }

    /// The header at the start of `bytes`: `None` when it is no header or there are too few bytes.
    pub(super) fn at(bytes: &[u8]) -> Option<Self> {
        bytes.first_chunk().and_then(|header| Self::parse(*header).ok())
    }

    /// Bytes of header and body.
    pub(super) fn total(self) -> usize {
        HEADER.saturating_add(usize::from(self.len))
    }
}

/// A piece of a direction's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// A record begins.
    Header(RecordHeader),
    /// Some of the body of the record that began last.
    Body(&'a [u8]),
}

/// Splits one direction into records.
#[derive(Debug, Default)]
pub(super) struct RecordReader {
    partial: [u8; HEADER],
    have: usize,
    left: usize,
    lost: bool,
    offset: usize,
}

impl RecordReader {
    /// The next piece of `input`, from which it is taken; `None` when `input` is used up.
    ///
    /// The offset of an error counts from the first byte of the direction.
    pub(super) fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Piece<'a>>, ParseError> {
        if self.left > 0 {
            if input.is_empty() {
                return Ok(None);
            }
            let body = self.take(input, self.left);
            self.left = self.left.saturating_sub(body.len());
            return Ok(Some(Piece::Body(body)));
        }
        let start = self.offset.saturating_sub(self.have);
        let taken = self.take(input, HEADER.saturating_sub(self.have));
        for (slot, byte) in self.partial.iter_mut().skip(self.have).zip(taken) {
            *slot = *byte;
        }
        self.have = self.have.saturating_add(taken.len());
        if self.have < HEADER {
            return Ok(None);
        }
        let header = RecordHeader::parse(self.partial)
            .map_err(|error| ParseError { offset: error.offset.saturating_add(start), ..error })?;
        self.have = 0;
        self.left = usize::from(header.len);
        Ok(Some(Piece::Header(header)))
    }

    /// Passes over `len` bytes that the capture does not hold.
    pub(super) fn skip(&mut self, len: u64) {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        self.offset = self.offset.saturating_add(len);
        if self.have > 0 || len > self.left || self.left == 0 {
            self.lost = true;
            self.have = 0;
            self.left = 0;
        } else {
            self.left = self.left.saturating_sub(len);
        }
    }

    /// Whether a gap has left it without knowing where records begin.
    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }

    /// Finds its place again where `bytes` begin with a record, by that record's header and the header after it as
    /// far as it is in sight.
    pub(super) fn resume(&mut self, bytes: &[u8]) -> bool {
        let found = RecordHeader::at(bytes).is_some_and(|header| {
            header.len > 0
                && bytes.get(header.total()..).is_none_or(|next| {
                    next.first_chunk().is_none_or(|next| RecordHeader::parse(*next).is_ok())
                })
        });
        if found {
            self.lost = false;
        } else {
            self.offset = self.offset.saturating_add(bytes.len());
        }
        found
    }

    fn take<'a>(&mut self, input: &mut &'a [u8], len: usize) -> &'a [u8] {
        let (taken, rest) = input.split_at_checked(len).unwrap_or((input, &[]));
        *input = rest;
        self.offset = self.offset.saturating_add(taken.len());
        taken
    }
}

/// A handshake message, or what is known of one that is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message<'a> {
    /// It lies whole in the input.
    Whole { kind: u8, body: &'a [u8] },
    /// It came in pieces: [`MessageReader::body`] has it until the next call.
    Buffered { kind: u8 },
    /// It is longer than the limit and passed over.
    TooLong { kind: u8, len: u32 },
}

/// Puts the handshake messages of one direction together (RFC 9846 §4).
#[derive(Debug, Default)]
pub(super) struct MessageReader {
    buffer: Vec<u8>,
    complete: bool,
    skip: usize,
}

/// Bytes of a handshake message's header.
const MESSAGE_HEADER: usize = 4;

impl MessageReader {
    /// The next message of `input`, from which it is taken; `None` when `input` is used up. A message that is not
    /// complete is kept up to `limit` bytes.
    pub(super) fn next<'a>(&mut self, input: &mut &'a [u8], limit: usize) -> Option<Message<'a>> {
        if self.complete {
            self.reset();
        }
        if self.skip > 0 {
            let (taken, rest) = input.split_at_checked(self.skip).unwrap_or((input, &[]));
            self.skip = self.skip.saturating_sub(taken.len());
            *input = rest;
        }
        if self.buffer.is_empty()
            && let Some((kind, len)) = message_header(input)
        {
            let (header, rest) = input.split_at_checked(MESSAGE_HEADER)?;
            if let Some((body, rest)) = rest.split_at_checked(size(len)) {
                *input = rest;
                return Some(Message::Whole { kind, body });
            }
            if size(len) > limit {
                *input = rest;
                return Some(self.pass_over(kind, len));
            }
            self.buffer.extend_from_slice(header);
            *input = rest;
        }
        while !input.is_empty() {
            let known = message_header(&self.buffer);
            let wanted = known.map_or(MESSAGE_HEADER, |(_, len)| MESSAGE_HEADER.saturating_add(size(len)));
            let missing = wanted.saturating_sub(self.buffer.len());
            let (taken, rest) = input.split_at_checked(missing).unwrap_or((input, &[]));
            self.buffer.extend_from_slice(taken);
            *input = rest;
            let (kind, len) = message_header(&self.buffer)?;
            if size(len) > limit {
                self.reset();
                return Some(self.pass_over(kind, len));
            }
            if self.buffer.len() >= MESSAGE_HEADER.saturating_add(size(len)) {
                self.complete = true;
                return Some(Message::Buffered { kind });
            }
        }
        None
    }

    /// The contents of the message that was just put together.
    pub(super) fn body(&self) -> &[u8] {
        self.buffer.get(MESSAGE_HEADER..).unwrap_or_default()
    }

    /// Forgets what is not complete.
    pub(super) fn reset(&mut self) {
        self.buffer = Vec::new();
        self.complete = false;
        self.skip = 0;
    }

    fn pass_over<'a>(&mut self, kind: u8, len: u32) -> Message<'a> {
        self.skip = size(len);
        Message::TooLong { kind, len }
    }
}

fn message_header(bytes: &[u8]) -> Option<(u8, u32)> {
    let [kind, a, b, c] = *bytes.first_chunk::<MESSAGE_HEADER>()?;
    Some((kind, u32::from_be_bytes([0, a, b, c])))
}

fn size(len: u32) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn records(pieces: &[&[u8]]) -> Result<Vec<(RecordHeader, Vec<u8>)>, ParseError> {
        let mut reader = RecordReader::default();
        let mut records: Vec<(RecordHeader, Vec<u8>)> = Vec::new();
        for mut piece in pieces.iter().copied() {
            while let Some(piece) = reader.next(&mut piece)? {
                match piece {
                    Piece::Header(header) => records.push((header, Vec::new())),
                    Piece::Body(bytes) => records.last_mut().unwrap().1.extend_from_slice(bytes),
                }
            }
        }
        Ok(records)
    }

    #[test]
    fn empty_records_are_records() {
        let found = records(&[&[23, 3, 1, 0, 0, 21, 3, 1, 0, 2, 1, 0]]).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[1].1, [1, 0]);
    }

    #[test]
    fn an_error_says_where_in_the_direction() {
        let error = records(&[&[23, 3, 1, 0, 1], &[9, 23], &[3, 3, 0xff, 0xff]]).unwrap_err();
        assert_eq!(error, ParseError::invalid("record length", 9));
    }

    #[test]
    fn a_gap_within_a_record_keeps_the_place() {
        let mut reader = RecordReader::default();
        let mut bytes: &[u8] = &[23, 3, 3, 0, 10, 1, 2];
        while reader.next(&mut bytes).unwrap().is_some() {}
        reader.skip(7);
        assert!(!reader.is_lost());
        let mut bytes: &[u8] = &[9, 21, 3, 3, 0, 2];
        assert_eq!(reader.next(&mut bytes).unwrap(), Some(Piece::Body(&[9])));
        assert!(
            matches!(reader.next(&mut bytes).unwrap(), Some(Piece::Header(header)) if header.content == 21)
        );
        reader.skip(3);
        assert!(reader.is_lost());
        assert!(!reader.resume(&[1, 2, 3, 4, 5]));
        assert!(!reader.resume(&[23, 3, 3, 0, 1, 0, 99, 3, 3, 0, 1]));
        assert!(reader.resume(&[23, 3, 3, 0, 1, 0, 23, 3, 3, 0, 1]));
    }

    #[test]
    fn too_long_a_message_is_passed_over() {
        let mut reader = MessageReader::default();
        let mut input: &[u8] = &[11, 0, 0, 9, 1, 2, 3];
        assert_eq!(reader.next(&mut input, 8), Some(Message::TooLong { kind: 11, len: 9 }));
        assert_eq!(reader.next(&mut input, 8), None);
        let mut input: &[u8] = &[4, 5, 6, 7, 8, 9, 14, 0, 0, 0];
        assert_eq!(reader.next(&mut input, 8), Some(Message::Whole { kind: 14, body: &[] }));
        assert_eq!(reader.next(&mut input, 8), None);
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_messages(
            messages in proptest::collection::vec((0..30_u8, proptest::collection::vec(any::<u8>(), 0..40)), 0..6),
            cuts in proptest::collection::vec(1..20_usize, 1..60),
        ) {
            let mut stream = Vec::new();
            for (kind, body) in &messages {
                stream.extend_from_slice(&[*kind, 0, 0, u8::try_from(body.len()).unwrap()]);
                stream.extend_from_slice(body);
            }
            let mut reader = MessageReader::default();
            let mut found = Vec::new();
            let (mut rest, mut cuts) = (stream.as_slice(), cuts.iter().cycle());
            while !rest.is_empty() {
                let (mut piece, after) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
                while let Some(message) = reader.next(&mut piece, 64) {
                    match message {
                        Message::Whole { kind, body } => found.push((kind, body.to_vec())),
                        Message::Buffered { kind } => found.push((kind, reader.body().to_vec())),
                        Message::TooLong { .. } => prop_assert!(false),
                    }
                }
                rest = after;
            }
            prop_assert_eq!(found, messages);
        }
    }
}
