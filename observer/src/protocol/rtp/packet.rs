//! Packets of RTP and RTCP (RFC 3550 §5.1, §6.4).

use crate::bytes::Reader;

/// How far a sequence number may be ahead of the one before.
const MAX_STEP: u16 = 64;

/// Payload types that look like RTCP's packet types, with the marker's bit (RFC 5761 §4).
const RTCP_TYPES: std::ops::RangeInclusive<u8> = 64..=95;

/// A packet of RTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packet<'a> {
    /// What kind of media it is.
    pub(super) payload_type: u8,
    sequence: u16,
    /// Synchronisation source.
    pub(super) ssrc: u32,
    /// Media, or its ciphertext, with the padding.
    pub(super) payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// The packet that `bytes` can be.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut packet = Self::header(bytes)?;
        let first = *bytes.first()?;
        let mut reader = Reader::new(bytes);
        reader.take(12, "header").ok()?;
        reader.take(usize::from(first & 0xf).saturating_mul(4), "csrc").ok()?;
        if first & 0x10 != 0 {
            reader.u16("extension profile").ok()?;
            let words = usize::from(reader.u16("extension length").ok()?);
            reader.take(words.saturating_mul(4), "extension").ok()?;
        }
        packet.payload = reader.rest();
        Some(packet)
    }

    /// The same of the first bytes of a datagram, without a payload.
    pub(super) fn header(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let first = reader.u8("version").ok()?;
        let payload_type = reader.u8("payload type").ok()? & 0x7f;
        let sequence = reader.u16("sequence number").ok()?;
        reader.u32("timestamp").ok()?;
        let ssrc = reader.u32("ssrc").ok()?;
        let known = first >> 6 == 2 && !RTCP_TYPES.contains(&payload_type) && ssrc != 0;
        known.then_some(Self { payload_type, sequence, ssrc, payload: &[] })
    }

    /// Whether it comes shortly before `next` of the same source.
    pub(super) fn follows_in(&self, next: &Packet<'_>) -> bool {
        let step = next.sequence.wrapping_sub(self.sequence);
        (self.ssrc, self.payload_type) == (next.ssrc, next.payload_type) && (1..=MAX_STEP).contains(&step)
    }
}

/// RTCP's packet types.
const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const GOODBYE: u8 = 203;
const LAST_TYPE: u8 = 207;

/// Whether a datagram has the header of RTCP, encrypted or not.
pub(super) fn is_control(bytes: &[u8]) -> bool {
    matches!(bytes, [first, 192..=223, _, _, _, _, _, _, ..] if first >> 6 == 2)
}

/// A compound packet of RTCP in the clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Compound {
    /// The name of a source: often a user's name and address.
    pub(super) cname: Option<String>,
}

impl Compound {
    /// The compound packet that `bytes` are, all of them: a report first, with the length that its blocks take, and a
    /// description or farewell in it (RFC 3550 §6.1).
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let (mut first, mut described, mut cname) = (true, false, None);
        while !reader.is_empty() {
            let head = reader.u8("version").ok()?;
            let kind = reader.u8("packet type").ok()?;
            let words = reader.u16("length").ok()?;
            let body = reader.take(usize::from(words).saturating_mul(4), "packet").ok()?;
            let (count, least) = (u16::from(head & 0x1f), if kind == SENDER_REPORT { 6 } else { 1 });
            let blocks = count.saturating_mul(6).saturating_add(least);
            match kind {
                _ if head >> 6 != 2 => return None,
                SENDER_REPORT | RECEIVER_REPORT if words >= blocks && words.saturating_sub(blocks) <= 64 => {}
                _ if first => return None,
                SOURCE_DESCRIPTION => {
                    described = true;
                    cname = cname.or_else(|| canonical_name(body));
                }
                GOODBYE => described = true,
                SENDER_REPORT..=LAST_TYPE => {}
                _ => return None,
            }
            first = false;
        }
        described.then_some(Self { cname })
    }
}

/// The CNAME item of the first chunk.
fn canonical_name(body: &[u8]) -> Option<String> {
    let mut reader = Reader::new(body);
    reader.u32("ssrc").ok()?;
    loop {
        let kind = reader.u8("item").ok()?;
        if kind == 0 {
            return None;
        }
        let len = usize::from(reader.u8("item length").ok()?);
        let text = reader.take(len, "item").ok()?;
        if kind == 1 {
            return std::str::from_utf8(text).ok().map(str::to_owned);
        }
    }
}
