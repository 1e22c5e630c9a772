//! The frames of Initial packets (RFC 9000 §19). Others do not occur there and end the reading.

use super::packet::{length, varint};
use crate::bytes::{ParseError, Reader};

/// A frame that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    /// CRYPTO.
    Crypto { offset: u64, bytes: &'a [u8] },
    /// CONNECTION_CLOSE (RFC 9000 §19.19).
    Close(Close<'a>),
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
    pub(super) const PING: u8 = 1;
    pub(super) const ACK: u8 = 2;
    pub(super) const ACK_ECN: u8 = 3;
    pub(super) const CRYPTO: u8 = 6;
    pub(super) const CLOSE: u8 = 0x1c;
    pub(super) const CLOSE_APPLICATION: u8 = 0x1d;
}

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
            let kind = self.reader.u8("frame type")?;
            let frame = if self.google { self.google(kind)? } else { self.ietf(kind)? };
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

    fn ietf(&mut self, kind: u8) -> Result<Option<Frame<'a>>, ParseError> {
        let reader = &mut self.reader;
        match kind {
            kind::PADDING | kind::PING => Ok(None),
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
    fn google(&mut self, kind: u8) -> Result<Option<Frame<'a>>, ParseError> {
        let reader = &mut self.reader;
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
        let payload = [6, 0, 1, b'a', 0x08, 1, 2, 6, 1, 1, b'b'];
        assert_eq!(Frames::new(&payload, false).count(), 1);
        // A count of ranges that no packet holds.
        assert_eq!(Frames::new(&[2, 0, 0, 0xff, 255, 255, 255, 255, 255, 255, 255, 0], false).count(), 0);
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
