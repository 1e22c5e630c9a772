//! The frames of packets (RFC 9000 §19, RFC 9221). What nobody knows ends the reading: how long it is cannot be told.

use super::packet::{length, varint};
use crate::bytes::{ParseError, Reader};

/// A frame that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    /// CRYPTO.
    Crypto { offset: u64, bytes: &'a [u8] },
    /// CONNECTION_CLOSE (RFC 9000 §19.19).
    Close(Close<'a>),
    /// NEW_CONNECTION_ID (RFC 9000 §19.15): one that the other side may write to.
    ConnectionId(&'a [u8]),
}

/// CONNECTION_CLOSE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Close<'a> {
    /// The application closed, not the transport: `error_code` is one of the application protocol.
    pub(super) application: bool,
    pub(super) error_code: u64,
    pub(super) reason: &'a [u8],
}

/// Frame types.
mod kind {
    pub(super) const PADDING: u8 = 0;
    pub(super) const PING: u64 = 1;
    pub(super) const ACK: u64 = 2;
    pub(super) const ACK_ECN: u64 = 3;
    pub(super) const RESET_STREAM: u64 = 4;
    pub(super) const STOP_SENDING: u64 = 5;
    pub(super) const CRYPTO: u64 = 6;
    pub(super) const NEW_TOKEN: u64 = 7;
    pub(super) const FIRST_STREAM: u64 = 8;
    pub(super) const LAST_STREAM: u64 = 0x0f;
    pub(super) const MAX_DATA: u64 = 0x10;
    pub(super) const MAX_STREAM_DATA: u64 = 0x11;
    pub(super) const MAX_STREAMS: u64 = 0x12;
    pub(super) const MAX_STREAMS_UNIDIRECTIONAL: u64 = 0x13;
    pub(super) const DATA_BLOCKED: u64 = 0x14;
    pub(super) const STREAM_DATA_BLOCKED: u64 = 0x15;
    pub(super) const STREAMS_BLOCKED: u64 = 0x16;
    pub(super) const STREAMS_BLOCKED_UNIDIRECTIONAL: u64 = 0x17;
    pub(super) const NEW_CONNECTION_ID: u64 = 0x18;
    pub(super) const RETIRE_CONNECTION_ID: u64 = 0x19;
    pub(super) const PATH_CHALLENGE: u64 = 0x1a;
    pub(super) const PATH_RESPONSE: u64 = 0x1b;
    pub(super) const CLOSE: u64 = 0x1c;
    pub(super) const CLOSE_APPLICATION: u64 = 0x1d;
    pub(super) const HANDSHAKE_DONE: u64 = 0x1e;
    /// Of draft-ietf-quic-ack-frequency.
    pub(super) const IMMEDIATE_ACK: u64 = 0x1f;
    pub(super) const DATAGRAM: u64 = 0x30;
    pub(super) const DATAGRAM_WITH_LENGTH: u64 = 0x31;
    /// Of draft-ietf-quic-ack-frequency.
    pub(super) const ACK_FREQUENCY: u64 = 0xaf;
}

/// The bits of STREAM's type (RFC 9000 §19.8).
mod stream {
    pub(super) const LENGTH: u64 = 2;
    pub(super) const OFFSET: u64 = 4;
}

/// Bytes of a stateless reset token (RFC 9000 §19.15).
const RESET_TOKEN: usize = 16;

/// Bytes of PATH_CHALLENGE and PATH_RESPONSE (RFC 9000 §19.17).
const PATH_DATA: usize = 8;

/// Frame types of Google's versions.
mod google {
    pub(super) const PADDING: u8 = 0;
    pub(super) const CLOSE: u8 = 2;
    pub(super) const PING: u8 = 7;
    pub(super) const CRYPTO: u8 = 8;
    pub(super) const FIRST_ACK: u8 = 0x40;
    pub(super) const LAST_ACK: u8 = 0x7f;
}

/// Reads frames one after the other; `None` at the end, and after a frame that is unknown or broken.
pub(super) struct Frames<'a> {
    reader: Reader<'a>,
    google: bool,
    over: bool,
}

impl<'a> Frames<'a> {
    /// The frames of a packet; `google` where they are those of Google's versions.
    pub(super) fn new(payload: &'a [u8], google: bool) -> Self {
        Self { reader: Reader::new(payload), google, over: false }
    }

    /// The next frame that is read, those without content passed over.
    fn read(&mut self) -> Result<Option<Frame<'a>>, ParseError> {
        loop {
            self.pass_padding();
            if self.reader.is_empty() {
                return Ok(None);
            }
            let frame = if self.google { self.google()? } else { self.ietf()? };
            if frame.is_some() {
                return Ok(frame);
            }
        }
    }

    /// Most of a datagram with a ClientHello is padding.
    fn pass_padding(&mut self) {
        let rest = self.reader.peek();
        let padding = rest.iter().position(|byte| *byte != kind::PADDING).unwrap_or(rest.len());
        let _ = self.reader.take(padding, "padding");
    }

    fn ietf(&mut self) -> Result<Option<Frame<'a>>, ParseError> {
        let reader = &mut self.reader;
        let kind = varint(reader, "frame type")?;
        match kind {
            kind::PING | kind::HANDSHAKE_DONE | kind::IMMEDIATE_ACK => Ok(None),
            kind::ACK | kind::ACK_ECN => {
                for field in ["largest acknowledged", "ack delay"] {
                    varint(reader, field)?;
                }
                let ranges = varint(reader, "ack range count")?;
                varint(reader, "first ack range")?;
                // Two numbers a range: a count beyond the packet's end fails at once.
                for _ in 0..ranges {
                    varint(reader, "gap")?;
                    varint(reader, "ack range length")?;
                }
                if kind == kind::ACK_ECN {
                    for field in ["ECT0 count", "ECT1 count", "ECN-CE count"] {
                        varint(reader, field)?;
                    }
                }
                Ok(None)
            }
            kind::CRYPTO => crypto(reader).map(Some),
            kind::RESET_STREAM => numbers(reader, &["stream id", "error code", "final size"]),
            kind::STOP_SENDING => numbers(reader, &["stream id", "error code"]),
            kind::NEW_TOKEN => {
                let len = length(varint(reader, "token length")?);
                reader.take(len, "token")?;
                Ok(None)
            }
            kind::FIRST_STREAM..=kind::LAST_STREAM => {
                varint(reader, "stream id")?;
                if kind & stream::OFFSET != 0 {
                    varint(reader, "offset")?;
                }
                if kind & stream::LENGTH == 0 {
                    reader.rest();
                } else {
                    let len = length(varint(reader, "stream length")?);
                    reader.take(len, "stream data")?;
                }
                Ok(None)
            }
            kind::MAX_DATA
            | kind::MAX_STREAMS
            | kind::MAX_STREAMS_UNIDIRECTIONAL
            | kind::DATA_BLOCKED
            | kind::STREAMS_BLOCKED
            | kind::STREAMS_BLOCKED_UNIDIRECTIONAL => numbers(reader, &["limit"]),
            kind::MAX_STREAM_DATA | kind::STREAM_DATA_BLOCKED => numbers(reader, &["stream id", "limit"]),
            kind::NEW_CONNECTION_ID => {
                numbers(reader, &["sequence number", "retire prior to"])?;
                let len = usize::from(reader.u8("connection id length")?);
                let cid = reader.take(len, "connection id")?;
                reader.take(RESET_TOKEN, "stateless reset token")?;
                Ok(Some(Frame::ConnectionId(cid)))
            }
            kind::RETIRE_CONNECTION_ID => numbers(reader, &["sequence number"]),
            kind::PATH_CHALLENGE | kind::PATH_RESPONSE => {
                reader.take(PATH_DATA, "path data")?;
                Ok(None)
            }
            kind::DATAGRAM => {
                reader.rest();
                Ok(None)
            }
            kind::DATAGRAM_WITH_LENGTH => {
                let len = length(varint(reader, "datagram length")?);
                reader.take(len, "datagram")?;
                Ok(None)
            }
            kind::ACK_FREQUENCY => {
                numbers(reader, &["sequence number", "threshold", "max ack delay", "reordering threshold"])
            }
            kind::CLOSE | kind::CLOSE_APPLICATION => {
                let application = kind == kind::CLOSE_APPLICATION;
                let error_code = varint(reader, "error code")?;
                if !application {
                    varint(reader, "frame type")?;
                }
                let len = length(varint(reader, "reason phrase length")?);
                let reason = reader.take(len, "reason phrase")?;
                Ok(Some(Frame::Close(Close { application, error_code, reason })))
            }
            _ => Err(reader.invalid("frame type")),
        }
    }

    /// Google's frames, as its versions 50 and 51 have them.
    fn google(&mut self) -> Result<Option<Frame<'a>>, ParseError> {
        let reader = &mut self.reader;
        let kind = reader.u8("frame type")?;
        match kind {
            google::PADDING | google::PING => Ok(None),
            google::CRYPTO => crypto(reader).map(Some),
            google::CLOSE => {
                let error_code = u64::from(reader.u32("error code")?);
                let len = usize::from(reader.u16("reason length")?);
                let reason = reader.take(len, "reason")?;
                Ok(Some(Frame::Close(Close { application: true, error_code, reason })))
            }
            google::FIRST_ACK..=google::LAST_ACK => {
                let width = |bits: u8| [1, 2, 4, 6].get(usize::from(bits & 3)).copied().unwrap_or(6);
                reader.take(width(kind >> 2), "largest acked")?;
                reader.u16("ack delay")?;
                let blocks = if kind & 0x20 == 0 { 0 } else { usize::from(reader.u8("ack blocks")?) };
                reader.take(width(kind), "first ack block")?;
                reader.take(blocks.saturating_mul(width(kind).saturating_add(1)), "ack blocks")?;
                match usize::from(reader.u8("timestamps")?) {
                    0 => {}
                    count => {
                        reader.take(count.saturating_mul(3).saturating_add(2), "timestamps")?;
                    }
                }
                Ok(None)
            }
            _ => Err(reader.invalid("frame type")),
        }
    }
}

/// Passes over fields that are numbers.
fn numbers<'a>(
    reader: &mut Reader<'a>,
    fields: &'static [&'static str],
) -> Result<Option<Frame<'a>>, ParseError> {
    for field in fields {
        varint(reader, field)?;
    }
    Ok(None)
}

fn crypto<'a>(reader: &mut Reader<'a>) -> Result<Frame<'a>, ParseError> {
    let offset = varint(reader, "offset")?;
    let len = length(varint(reader, "crypto length")?);
    Ok(Frame::Crypto { offset, bytes: reader.take(len, "crypto data")? })
}

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    fn next(&mut self) -> Option<Frame<'a>> {
        if self.over {
            return None;
        }
        let frame = self.read().unwrap_or_default();
        self.over = frame.is_none();
        frame
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_lies_between_is_passed_over() {
        let payload = [
            &[0, 0, 1, 2, 5, 0, 1, 0, 1, 2, 3, 9, 0, 0, 0, 1, 1, 1][..],
            &[6, 0x40, 0x10, 3, b'a', b'b', b'c', 0, 0],
            &[0x1c, 0x41, 0x30, 6, 2, b'n', b'o', 0],
        ]
        .concat();
        let frames: Vec<_> = Frames::new(&payload, false).collect();
        assert_eq!(
            frames,
            [
                Frame::Crypto { offset: 16, bytes: b"abc" },
                Frame::Close(Close { application: false, error_code: 0x130, reason: b"no" }),
            ]
        );
    }

    #[test]
    fn an_unknown_frame_ends_the_reading() {
        let payload = [6, 0, 1, b'a', 0x22, 1, 2, 6, 1, 1, b'b'];
        assert_eq!(Frames::new(&payload, false).count(), 1);
        // A count of ranges that no packet holds.
        assert_eq!(Frames::new(&[2, 0, 0, 0xff, 255, 255, 255, 255, 255, 255, 255, 0], false).count(), 0);
    }

    #[test]
    fn what_has_a_length_is_passed_over() {
        let cid = [&[0x18, 1, 0, 8][..], &[7; 8], &[9; 16]].concat();
        for before in [
            &[4, 0, 1, 2][..],
            &[5, 0, 1],
            &[7, 2, 9, 9],
            &[0x0f, 0, 3, 2, b'x', b'y'],
            &[0x0a, 4, 1, b'x'],
            &[0x10, 9, 0x11, 0, 9, 0x12, 1, 0x13, 1, 0x14, 9, 0x15, 0, 9, 0x16, 1, 0x17, 1],
            &[0x19, 0, 0x1a, 1, 2, 3, 4, 5, 6, 7, 8, 0x1b, 1, 2, 3, 4, 5, 6, 7, 8, 0x1e],
            &[0x31, 2, 7, 7],
            &[0x40, 0xaf, 1, 2, 3, 4, 0x1f],
        ] {
            let payload = [before, &cid].concat();
            let frames: Vec<_> = Frames::new(&payload, false).collect();
            assert_eq!(frames, [Frame::ConnectionId(&[7; 8])], "{before:?}");
        }
        // A STREAM and a DATAGRAM to the packet's end.
        assert_eq!(Frames::new(&[&[8, 0][..], &cid].concat(), false).count(), 0);
        assert_eq!(Frames::new(&[&[0x30][..], &cid].concat(), false).count(), 0);
    }

    proptest! {
        #[test]
        fn reading_never_panics(payload in prop::collection::vec(any::<u8>(), 0..200), google: bool) {
            for frame in Frames::new(&payload, google) {
                let _ = format!("{frame:?}");
            }
        }
    }
}
