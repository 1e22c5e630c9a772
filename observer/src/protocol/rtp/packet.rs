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
const APPLICATION: u8 = 204;
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
    /// The compound packet that `bytes` are, all of them, with a description or farewell in it. The first is a report with
    /// the length that its blocks take (RFC 3550 §6.1), or, as some send it, anything else of the same source as what
    /// follows. A packet of an application may be alone: it has a name (RFC 3550 §6.7).
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let (mut packets, mut described, mut reported, mut named, mut cname) =
            (0_u32, false, false, false, None);
        let mut source = None;
        while !reader.is_empty() {
            let head = reader.u8("version").ok()?;
            let kind = reader.u8("packet type").ok()?;
            let words = reader.u16("length").ok()?;
            let body = reader.take(usize::from(words).saturating_mul(4), "packet").ok()?;
            let (count, least) = (u16::from(head & 0x1f), if kind == SENDER_REPORT { 6 } else { 1 });
            let blocks = count.saturating_mul(6).saturating_add(least);
            let first = packets == 0;
            packets = packets.saturating_add(1);
            match kind {
                _ if head >> 6 != 2 => return None,
                SENDER_REPORT | RECEIVER_REPORT if words >= blocks && words.saturating_sub(blocks) <= 64 => {
                    reported |= first;
                }
                SOURCE_DESCRIPTION => {
                    described = true;
                    cname = cname.or_else(|| canonical_name(body));
                }
                GOODBYE => described = true,
                APPLICATION => named |= is_named(body),
                SENDER_REPORT | RECEIVER_REPORT if first => return None,
                SENDER_REPORT..=LAST_TYPE => {}
                _ => return None,
            }
            let same = source.is_none_or(|source: &[u8; 4]| body.starts_with(source));
            if !reported && !same {
                return None;
            }
            source = source.or_else(|| body.first_chunk::<4>());
        }
        let whole = described && (reported || packets > 1 && source.is_some());
        (whole || packets == 1 && named).then_some(Self { cname })
    }
}

/// Whether an application's packet has a name of four letters or digits.
fn is_named(body: &[u8]) -> bool {
    body.get(4..8).is_some_and(|name| name.iter().all(u8::is_ascii_alphanumeric))
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
