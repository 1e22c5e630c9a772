//! Ethernet, its tags, and what an EtherType or an LLC header announces.

use std::ops::RangeInclusive;

use super::super::ip::is_ip;
use super::super::span::Span;
use super::super::walk::{Envelope, Walk};
use super::super::{Skip, Tunnel};

/// Tags before the packet: two are common (IEEE 802.1ad), more are made by tests.
const MAX_TAGS: usize = 8;

/// What PCAPdroid counts as a part of a record that it left out for lack of room: Ethernet header, padding, trailer.
const LEFT_OUT: RangeInclusive<usize> = 46..=49;

const LAYER: &str = "ethernet header";

impl Walk<'_> {
    /// A frame of link type 1, which PCAPdroid also writes for bare IP packets and with a trailer.
    pub(super) fn ethernet_outermost(&mut self, span: Span<'_>, envelope: Envelope<'_>) -> Result<(), Skip> {
        let span = self.pcapdroid_trailer(span);
        if let Some([_, _, _, _, _, _, _, _, _, _, _, _, high, low, version, ..]) =
            span.bytes.first_chunk::<15>()
            && matches!((high, low, version >> 4), (0x08, 0x00, 4) | (0x86, 0xdd, 6))
        {
            return self.ip(span.skip(14, LAYER)?, envelope);
        }
        if matches!(span.nibble(), Some(4 | 6)) && (is_ip(span, 0..=0) || is_ip(span, LEFT_OUT)) {
            return self.ip(span, envelope);
        }
        self.ethernet(span, envelope)
    }

    /// An Ethernet header and what it announces.
    pub(in super::super) fn ethernet(&mut self, span: Span<'_>, envelope: Envelope<'_>) -> Result<(), Skip> {
        let ([_, _, _, _, _, _, _, _, _, _, _, _, high, low], payload) = span.header::<14>(LAYER)?;
        self.ether_type(u16::from_be_bytes([high, low]), payload, envelope)
    }

    /// Ethernet with a switch chip's tag of `tag_len` bytes (LINKTYPE_DSA_TAG_*) after the addresses.
    pub(super) fn switch_tagged(
        &mut self,
        tag_len: usize,
        span: Span<'_>,
        envelope: Envelope<'_>,
    ) -> Result<(), Skip> {
        let tagged = span.skip(12, LAYER)?.skip(tag_len, "switch tag")?;
        let ([high, low], payload) = tagged.header::<2>(LAYER)?;
        self.ether_type(u16::from_be_bytes([high, low]), payload, envelope)
    }

    /// What the EtherType `number` announces.
    pub(in super::super) fn ether_type(
        &mut self,
        mut number: u16,
        mut span: Span<'_>,
        envelope: Envelope<'_>,
    ) -> Result<(), Skip> {
        for _ in 0..MAX_TAGS {
            let tag_len = match number {
                0x0800 | 0x86dd => return self.ip(span, envelope),
                0x8847 | 0x8848 => return self.mpls(span, envelope, ()),
                0x8864 => return self.pppoe(span, envelope),
                0x880b => return self.ppp(span, envelope),
                // Below 0x0600 it is the length of an IEEE 802.3 frame.
                0..=0x05dc => return self.llc(span.limit(usize::from(number)), envelope),
                // 802.1Q, 802.1ad and the number in use before it.
                0x8100 | 0x88a8 | 0x9100 | 0x9200 => 2,
                // VN-Tag, 802.1CB.
                0x8926 | 0xf1c1 => 4,
                // 802.1BR.
                0x893f => 6,
                // Cisco's metadata: version, length of the options in words of four bytes, at least one.
                0x8909 => {
                    let ([_, words], _) = span.header::<2>("cisco metadata")?;
                    usize::from(words.max(1)).saturating_mul(4).saturating_add(2)
                }
                other => return Err(Skip::EtherType(other)),
            };
            let ([high, low], payload) = span.skip(tag_len, "vlan tag")?.header::<2>("vlan tag")?;
            number = u16::from_be_bytes([high, low]);
            span = payload;
        }
        Err(Skip::TooDeep)
    }

    /// An LLC header (IEEE 802.2), with SNAP after it where it says so (RFC 1042).
    pub(in super::super) fn llc(&mut self, span: Span<'_>, envelope: Envelope<'_>) -> Result<(), Skip> {
        const LAYER: &str = "llc header";
        let envelope = envelope.on_link()?;
        let ([dsap, ssap, control], payload) = span.header::<3>(LAYER)?;
        match (dsap, ssap, control) {
            (0xaa | 0xab, 0xaa | 0xab, 0x03) => {
                let ([a, b, c, high, low], payload) = payload.header::<5>("snap header")?;
                let number = u16::from_be_bytes([high, low]);
                match (a, b, c) {
                    // RFC 1042, bridge tunnel encapsulation, Cisco.
                    (0, 0, 0) | (0, 0, 0xf8) => self.ether_type(number, payload, envelope),
                    (0, 0, 0x0c) => match number {
                        0x2000 => Err(Skip::EtherType(number)),
                        0x2003 => Err(Skip::NotIp("vtp")),
                        0x2004 => Err(Skip::NotIp("dtp")),
                        0x010b => Err(Skip::NotIp("spanning tree (cisco)")),
                        _ => Err(Skip::NotIp("cisco protocol over snap")),
                    },
                    (8, 0, 7) => Err(Skip::EtherType(0x809b)),
                    _ => Err(Skip::NotIp("vendor protocol over snap")),
                }
            }
            (0x06, 0x06, 0x03) => self.ip(payload, envelope),
            // Novell's frames begin with the IPX checksum, which is all ones.
            _ => Err(Skip::Llc(dsap)),
        }
    }

    /// A PPPoE header (RFC 2516 §4) and the session's PPP frame.
    pub(in super::super) fn pppoe(&mut self, span: Span<'_>, envelope: Envelope<'_>) -> Result<(), Skip> {
        const LAYER: &str = "pppoe header";
        let ([version, code, s1, s0, l1, l0], payload) = span.header::<6>(LAYER)?;
        if version != 0x11 {
            return Err(Skip::Malformed(LAYER));
        }
        if code != 0 {
            return Err(Skip::NotIp("pppoe discovery"));
        }
        let session = u16::from_be_bytes([s1, s0]);
        let payload = payload.limit(usize::from(u16::from_be_bytes([l1, l0])).min(payload.wire_len()));
        self.ppp(payload, envelope.inside(Tunnel::Pppoe, session)?)
    }
}
