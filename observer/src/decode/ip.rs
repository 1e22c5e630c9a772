//! IPv4 (RFC 791), IPv6 (RFC 8200) and the headers between them and the transport.
//!
//! The version is taken from the header itself, whatever the layer below called it. Checksums are not looked at: a
//! host that offloads them captures wrong ones.

use std::ops::RangeInclusive;

use etherparse::err::{ipv4, ipv6};
use etherparse::{Ipv4HeaderSlice, Ipv6HeaderSlice};

use super::fragment::{Fragment, FragmentKey};
use super::span::Span;
use super::walk::{Envelope, Ip, Walk};
use super::{Backing, Skip};

/// More extension headers than this in one packet are an attack.
const MAX_EXTENSIONS: usize = 16;

/// A header to be read by its protocol number, and the rule for what may follow.
#[derive(Clone, Copy)]
struct Next {
    protocol: u8,
    v6: bool,
    /// Whether a fragment header was already passed.
    whole: bool,
}

impl Walk<'_> {
    /// An IP packet of either version.
    pub(super) fn ip(&mut self, span: Span<'_>, envelope: Envelope<'_>) -> Result<(), Skip> {
        match span.nibble() {
            Some(4) => self.ipv4(span, envelope),
            Some(6) => self.ipv6(span, envelope),
            Some(_) => Err(Skip::Malformed("ip header")),
            None => Err(span.short("ip header")),
        }
    }

    fn ipv4(&mut self, span: Span<'_>, envelope: Envelope<'_>) -> Result<(), Skip> {
        let header = match Ipv4HeaderSlice::from_slice(span.bytes) {
            Ok(header) => header,
            Err(ipv4::HeaderSliceError::Len(_)) => return Err(span.short("ipv4 header")),
            Err(ipv4::HeaderSliceError::Content(_)) => return Err(Skip::Malformed("ipv4 header")),
        };
        let header_len = header.slice().len();
        // A packet that the network card is to cut up may carry 0: it ends where the frame does.
        let span = match usize::from(header.total_len()) {
            0 => span,
            total_len if total_len < header_len => return Err(Skip::Malformed("ipv4 header")),
            total_len => span.limit(total_len),
        };
        let payload = span.skip(header_len, "ipv4 header")?;
        let ip = Ip {
            source: header.source_addr().into(),
            destination: header.destination_addr().into(),
            identification: u32::from(header.identification()),
        };
        let next = Next { protocol: header.protocol().0, v6: false, whole: false };
        if !header.is_fragmenting_payload() {
            return self.upper(&ip, next, payload, envelope);
        }
        let fragment = Fragment {
            key: self.fragment_key(&ip, ip.identification, Some(next.protocol), &envelope),
            protocol: next.protocol,
            offset: u32::from(header.fragments_offset().value()).saturating_mul(8),
            more: header.more_fragments(),
            payload,
            wire_len: envelope.wire_len,
            at: self.frame.timestamp,
        };
        self.fragment(&ip, next, &fragment, envelope)
    }

    fn ipv6(&mut self, span: Span<'_>, envelope: Envelope<'_>) -> Result<(), Skip> {
        let header = match Ipv6HeaderSlice::from_slice(span.bytes) {
            Ok(header) => header,
            Err(ipv6::HeaderSliceError::Len(_)) => return Err(span.short("ipv6 header")),
            Err(ipv6::HeaderSliceError::Content(_)) => return Err(Skip::Malformed("ipv6 header")),
        };
        let payload = span.skip(header.slice().len(), "ipv6 header")?;
        let payload = match usize::from(header.payload_length()) {
            // A jumbogram (RFC 2675) states its length in an option; without one it ends where the frame does.
            0 => jumbo_len(header.next_header().0, payload).map_or(payload, |len| payload.limit(len)),
            len => payload.limit(len),
        };
        let ip = Ip {
            source: header.source_addr().into(),
            destination: header.destination_addr().into(),
            identification: header.flow_label().value(),
        };
        let next = Next { protocol: header.next_header().0, v6: true, whole: false };
        self.upper(&ip, next, payload, envelope)
    }

    /// What follows an IP header: extension headers, then the transport.
    fn upper(
        &mut self,
        ip: &Ip,
        mut next: Next,
        mut span: Span<'_>,
        envelope: Envelope<'_>,
    ) -> Result<(), Skip> {
        const LAYER: &str = "ip extension header";
        for _ in 0..MAX_EXTENSIONS {
            let (after, len) = match next.protocol {
                // Hop-by-hop, routing, destination options; mobility, HIP, Shim6 (RFC 7045 §4).
                0 | 43 | 60 | 135 | 139 | 140 if next.v6 => {
                    let ([after, len], _) = span.header::<2>(LAYER)?;
                    (after, usize::from(len).saturating_add(1).saturating_mul(8))
                }
                // Authentication header (RFC 4302 §2.2).
                51 => {
                    let ([after, len], _) = span.header::<2>(LAYER)?;
                    (after, usize::from(len).saturating_add(2).saturating_mul(4))
                }
                44 if next.v6 => {
                    let ([after, _, offset_high, offset_low, a, b, c, d], payload) =
                        span.header::<8>("ipv6 fragment header")?;
                    let field = u16::from_be_bytes([offset_high, offset_low]);
                    next.protocol = after;
                    if field & !0b110 == 0 {
                        // An atomic fragment is a whole datagram (RFC 6946).
                        span = payload;
                        continue;
                    }
                    if next.whole {
                        return Err(Skip::Malformed("ipv6 fragment header"));
                    }
                    let identification = u32::from_be_bytes([a, b, c, d]);
                    let fragment = Fragment {
                        key: self.fragment_key(ip, identification, None, &envelope),
                        protocol: after,
                        offset: u32::from(field & !0b111),
                        more: field & 1 == 1,
                        payload,
                        wire_len: envelope.wire_len,
                        at: self.frame.timestamp,
                    };
                    return self.fragment(ip, next, &fragment, envelope);
                }
                _ => return self.transport(ip, next.protocol, next.v6, span, envelope),
            };
            span = span.skip(len, LAYER)?;
            next.protocol = after;
        }
        Err(Skip::Malformed(LAYER))
    }

    fn fragment(
        &mut self,
        ip: &Ip,
        next: Next,
        fragment: &Fragment<'_>,
        envelope: Envelope<'_>,
    ) -> Result<(), Skip> {
        let datagram = self.fragments.add(fragment)?.ok_or(Skip::Fragment)?;
        let span = Span { bytes: &datagram.bytes, missing: datagram.missing };
        let envelope = Envelope {
            backing: Backing::Reassembled(&datagram.bytes),
            wire_len: datagram.wire_len,
            ..envelope
        };
        self.upper(ip, Next { protocol: datagram.protocol, whole: true, ..next }, span, envelope)
    }

    fn fragment_key(
        &self,
        ip: &Ip,
        identification: u32,
        protocol: Option<u8>,
        envelope: &Envelope<'_>,
    ) -> FragmentKey {
        FragmentKey {
            source: ip.source,
            destination: ip.destination,
            identification,
            protocol,
            context: envelope.tunnels.context,
            interface: self.interface,
        }
    }
}

/// The payload length in the jumbo option of a hop-by-hop header (RFC 2675 §2).
fn jumbo_len(next_header: u8, payload: Span<'_>) -> Option<usize> {
    if next_header != 0 {
        return None;
    }
    let ([_, len], _) = payload.header::<2>("").ok()?;
    let mut options = payload.bytes.get(2..usize::from(len).saturating_add(1).saturating_mul(8))?;
    loop {
        match options {
            [0, rest @ ..] => options = rest,
            &[0xc2, 4, a, b, c, d, ..] => return usize::try_from(u32::from_be_bytes([a, b, c, d])).ok(),
            [_, len, rest @ ..] => options = rest.get(usize::from(*len)..)?,
            _ => return None,
        }
    }
}

/// Whether `span` is an IP packet beyond reasonable doubt, for layers that do not say what they carry: the bytes after
/// its stated end are as many as `padding` allows, and an IPv4 header's checksum is right.
pub(super) fn is_ip(span: Span<'_>, padding: RangeInclusive<usize>) -> bool {
    let fits =
        |stated: usize| span.wire_len().checked_sub(stated).is_some_and(|after| padding.contains(&after));
    if let Ok(header) = Ipv4HeaderSlice::from_slice(span.bytes) {
        return header.slice().len() <= usize::from(header.total_len())
            && fits(usize::from(header.total_len()))
            && header.to_header().calc_header_checksum() == header.header_checksum();
    }
    Ipv6HeaderSlice::from_slice(span.bytes)
        .is_ok_and(|header| fits(usize::from(header.payload_length()).saturating_add(header.slice().len())))
}
