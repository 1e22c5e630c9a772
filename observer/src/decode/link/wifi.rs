//! IEEE 802.11 data frames, bare or after radiotap, PPI or a Prism header.
//!
//! Frames are read as they are on the air: what is encrypted stays so, and fragments of a frame are not put together.

use super::super::Skip;
use super::super::span::Span;
use super::super::walk::{Envelope, Walk};
use crate::bytes::{ParseError, Reader};
use crate::source::LinkType;

/// Frames aggregated in one (A-MSDU): the standard's 11,454 bytes hold far fewer of use.
const MAX_SUBFRAMES: usize = 64;

impl Walk<'_> {
    /// LINKTYPE_IEEE802_11_RADIOTAP (<https://www.radiotap.org>).
    pub(super) fn radiotap(&mut self, span: Span<'_>, envelope: Envelope<'_>) -> Result<(), Skip> {
        const LAYER: &str = "radiotap header";
        let ([version, _, l0, l1], _) = span.header::<4>(LAYER)?;
        if version != 0 {
            return Err(Skip::Malformed(LAYER));
        }
        let len = usize::from(u16::from_le_bytes([l0, l1]));
        let frame = span.skip(len, LAYER)?;
        let flags = radiotap_flags(span.bytes.get(..len).unwrap_or_default());
        // Bit 0x20: padding to four bytes between the 802.11 header and what follows it.
        self.wifi(frame, flags & 0x20 != 0, envelope)
    }

    /// LINKTYPE_PPI: a header that states its length and the link type of what follows.
    pub(super) fn ppi(&mut self, span: Span<'_>, envelope: Envelope<'_>) -> Result<(), Skip> {
        const LAYER: &str = "ppi header";
        let ([_, _, l0, l1, d0, d1, d2, d3], _) = span.header::<8>(LAYER)?;
        let frame = span.skip(usize::from(u16::from_le_bytes([l0, l1])).max(8), LAYER)?;
        match u32::from_le_bytes([d0, d1, d2, d3]) {
            105 => self.wifi(frame, false, envelope),
            other => match u16::try_from(other) {
                Ok(192) | Err(_) => Err(Skip::Malformed(LAYER)),
                Ok(other) => self.link(LinkType(other), frame, envelope),
            },
        }
    }

    /// LINKTYPE_IEEE802_11_PRISM: 144 bytes, or AVS, which states its length.
    pub(super) fn prism(&mut self, span: Span<'_>, envelope: Envelope<'_>) -> Result<(), Skip> {
        const LAYER: &str = "prism header";
        let ([m3, m2, m1, m0, l3, l2, l1, l0], _) = span.header::<8>(LAYER)?;
        let avs = u32::from_be_bytes([m3, m2, m1, m0]) & 0xffff_f000 == 0x8021_1000;
        let len = if avs { u32::from_be_bytes([l3, l2, l1, l0]) as usize } else { 144 };
        self.wifi(span.skip(len, LAYER)?, false, envelope)
    }

    /// A frame (IEEE 802.11-2020 §9.2); `padded` when its header is padded to a multiple of four.
    pub(super) fn wifi(&mut self, span: Span<'_>, padded: bool, envelope: Envelope<'_>) -> Result<(), Skip> {
        const LAYER: &str = "802.11 header";
        let ([control, flags], _) = span.header::<2>(LAYER)?;
        match (control & 0b11, control >> 2 & 0b11) {
            (0, 0) => return Err(Skip::NotIp("802.11 management")),
            (0, 1) => return Err(Skip::NotIp("802.11 control")),
            (0, 2) => {}
            (0, _) => return Err(Skip::NotIp("802.11 extension")),
            _ => return Err(Skip::Malformed(LAYER)),
        }
        let subtype = control >> 4;
        if subtype & 0b100 != 0 {
            return Err(Skip::NotIp("802.11 data without content"));
        }
        if flags & 0x40 != 0 {
            return Err(Skip::NotIp("encrypted 802.11"));
        }
        let (_, after) = span.skip(22, LAYER)?.header::<2>(LAYER)?;
        let fragment = span.bytes.get(22).is_some_and(|sequence| sequence & 0x0f != 0);
        if fragment || flags & 0x04 != 0 {
            return Err(Skip::NotIp("802.11 fragment"));
        }
        let mut header_len: usize = 24;
        let mut body = after;
        if flags & 0b11 == 0b11 {
            body = body.skip(6, LAYER)?;
            header_len = 30;
        }
        let mut aggregate = false;
        if subtype & 0b1000 != 0 {
            let ([quality, _], after) = body.header::<2>(LAYER)?;
            aggregate = quality & 0x80 != 0;
            body = after;
            header_len = header_len.saturating_add(2);
            if flags & 0x80 != 0 {
                body = body.skip(4, LAYER)?;
                header_len = header_len.saturating_add(4);
            }
        }
        if padded {
            body = body.skip(header_len.next_multiple_of(4).saturating_sub(header_len), LAYER)?;
        }
        if aggregate { self.aggregate(body, envelope) } else { self.llc(body, envelope) }
    }

    /// An A-MSDU (IEEE 802.11-2020 §9.3.2.2): fine if any frame in it is.
    fn aggregate(&mut self, mut span: Span<'_>, envelope: Envelope<'_>) -> Result<(), Skip> {
        const LAYER: &str = "802.11 aggregate";
        let mut outcome = Err(span.short(LAYER));
        for _ in 0..MAX_SUBFRAMES {
            let Ok(([_, _, _, _, _, _, _, _, _, _, _, _, high, low], body)) = span.header::<14>(LAYER) else {
                break;
            };
            let len = usize::from(u16::from_be_bytes([high, low]));
            let wire_len = u32::try_from(len.saturating_add(14)).unwrap_or(u32::MAX);
            let decoded = self.llc(body.limit(len), Envelope { wire_len, ..envelope });
            if outcome.is_err() {
                outcome = decoded;
            }
            match body.skip(len.saturating_add(14).next_multiple_of(4).saturating_sub(14), LAYER) {
                Ok(next) => span = next,
                Err(_last) => break,
            }
        }
        outcome
    }
}

/// The flags field of a radiotap header; 0 where it has none.
fn radiotap_flags(header: &[u8]) -> u8 {
    let read = || -> Result<u8, ParseError> {
        let mut reader = Reader::new(header);
        reader.take(4, "version")?;
        let present = reader.u32_le("present")?;
        let mut word = present;
        while word & 0x8000_0000 != 0 {
            word = reader.u32_le("present")?;
        }
        if present & 1 != 0 {
            reader
                .take(reader.position().next_multiple_of(8).saturating_sub(reader.position()), "padding")?;
            reader.take(8, "tsft")?;
        }
        if present & 2 != 0 { reader.u8("flags") } else { Ok(0) }
    };
    read().unwrap_or(0)
}
