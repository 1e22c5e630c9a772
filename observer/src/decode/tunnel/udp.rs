//! Tunnels over UDP: VXLAN (RFC 7348) and its generic extension, Geneve (RFC 8926), GTP-U (3GPP TS 29.281), Teredo
//! (RFC 4380).
//!
//! The port says what to try; the header must then hold bit by bit, and the packet inside decode. Teredo between
//! clients has no fixed port and is known by the packet alone.

use std::net::Ipv6Addr;

use etherparse::Ipv6HeaderSlice;

use super::super::Skip;
use super::super::span::Span;
use super::super::walk::{Envelope, Ip, Walk};
use super::Tunnel;

impl Walk<'_> {
    /// Hands on the packet in a tunnel's datagram, and names the tunnel; `None` when it is none.
    pub(in super::super) fn udp_tunnel(
        &mut self,
        ip: &Ip,
        source: u16,
        destination: u16,
        payload: Span<'_>,
        envelope: &Envelope<'_>,
    ) -> Option<(Tunnel, Result<(), Skip>)> {
        Some(match (source, destination) {
            (4789 | 8472, _) | (_, 4789 | 8472) => (Tunnel::Vxlan, self.vxlan(ip, payload, *envelope)),
            (4790, _) | (_, 4790) => (Tunnel::Vxlan, self.vxlan_gpe(ip, payload, *envelope)),
            (6081, _) | (_, 6081) => (Tunnel::Geneve, self.geneve(ip, payload, *envelope)),
            (2152, _) | (_, 2152) => (Tunnel::GtpU, self.gtp_u(ip, payload, *envelope)),
            _ => {
                let server = source == 3544 || destination == 3544;
                let packet = teredo(payload, server)?;
                let inside = envelope.inside(Tunnel::Teredo, ());
                (Tunnel::Teredo, inside.and_then(|inside| self.ip(packet, inside)))
            }
        })
    }

    fn vxlan(&mut self, ip: &Ip, span: Span<'_>, envelope: Envelope<'_>) -> Result<(), Skip> {
        const LAYER: &str = "vxlan header";
        let ([flags, _, g1, g0, n2, n1, n0, reserved], frame) = span.header::<8>(LAYER)?;
        // The I flag must be set; G (the group policy extension) gives the second pair of bytes a meaning.
        if !matches!((flags, g1, g0, reserved), (0x08, 0, 0, 0) | (0x88, _, _, 0)) {
            return Err(Skip::Malformed(LAYER));
        }
        self.ethernet(frame, envelope.inside(Tunnel::Vxlan, (ip.ends(), n2, n1, n0))?)
    }

    fn vxlan_gpe(&mut self, ip: &Ip, span: Span<'_>, envelope: Envelope<'_>) -> Result<(), Skip> {
        const LAYER: &str = "vxlan-gpe header";
        let ([flags, 0, 0, next, n2, n1, n0, 0], packet) = span.header::<8>(LAYER)? else {
            return Err(Skip::Malformed(LAYER));
        };
        // Version 0 and I set; some writers state the next protocol without setting P.
        if flags & 0b1111_1000 != 0b0000_1000 {
            return Err(Skip::Malformed(LAYER));
        }
        let inside = envelope.inside(Tunnel::Vxlan, (ip.ends(), n2, n1, n0))?;
        match next {
            1 | 2 => self.ip(packet, inside),
            0 | 3 => self.ethernet(packet, inside),
            5 => self.mpls(packet, inside, ()),
            _ => Err(Skip::Malformed(LAYER)),
        }
    }

    fn geneve(&mut self, ip: &Ip, span: Span<'_>, envelope: Envelope<'_>) -> Result<(), Skip> {
        const LAYER: &str = "geneve header";
        let ([version, flags, p1, p0, n2, n1, n0, 0], rest) = span.header::<8>(LAYER)? else {
            return Err(Skip::Malformed(LAYER));
        };
        if version >> 6 != 0 || flags & 0x3f != 0 {
            return Err(Skip::Malformed(LAYER));
        }
        let packet = rest.skip(usize::from(version & 0x3f).saturating_mul(4), LAYER)?;
        let inside = envelope.inside(Tunnel::Geneve, (ip.ends(), n2, n1, n0))?;
        match u16::from_be_bytes([p1, p0]) {
            0x6558 => self.ethernet(packet, inside),
            protocol => self.ether_type(protocol, packet, inside),
        }
    }

    /// Tunnel endpoint ids differ by direction and tell nothing apart.
    fn gtp_u(&mut self, ip: &Ip, span: Span<'_>, envelope: Envelope<'_>) -> Result<(), Skip> {
        const LAYER: &str = "gtp-u header";
        let ([flags, kind, l1, l0, _, _, _, _], rest) = span.header::<8>(LAYER)?;
        let len = usize::from(u16::from_be_bytes([l1, l0]));
        // Version 1, GTP and not GTP', a user's packet (T-PDU).
        if flags >> 4 != 0b0011 || kind != 255 || len > rest.wire_len() {
            return Err(Skip::Malformed(LAYER));
        }
        let mut rest = rest.limit(len);
        if flags & 0b111 != 0 {
            let ([_, _, _, mut next], mut after) = rest.header::<4>(LAYER)?;
            while flags & 0b100 != 0 && next != 0 {
                let ([words], _) = after.header::<1>("gtp-u extension header")?;
                let extension_len = usize::from(words).saturating_mul(4);
                let last = extension_len.checked_sub(1).ok_or(Skip::Malformed(LAYER))?;
                let ([after_it], behind) =
                    after.skip(last, "gtp-u extension header")?.header::<1>("gtp-u extension header")?;
                (next, after) = (after_it, behind);
            }
            rest = after;
        }
        self.ip(rest, envelope.inside(Tunnel::GtpU, ip.ends())?)
    }
}

/// The IPv6 packet in a Teredo datagram (RFC 4380 §5.1.1): after authentication and origin, as long as it says, and
/// with a Teredo address at one end or, where a server is one of the outer ends, a link-local one.
fn teredo(payload: Span<'_>, server: bool) -> Option<Span<'_>> {
    let mut span = payload;
    if let [0, 1, client_len, value_len, ..] = span.bytes {
        let len = usize::from(*client_len).saturating_add(usize::from(*value_len)).saturating_add(4 + 9);
        span = span.skip(len, "").ok()?;
    }
    if let [0, 0, ..] = span.bytes {
        span = span.skip(8, "").ok()?;
    }
    if span.nibble() != Some(6) {
        return None;
    }
    let header = Ipv6HeaderSlice::from_slice(span.bytes).ok()?;
    let packet_len = usize::from(header.payload_length()).saturating_add(40);
    let ends = [header.source_addr(), header.destination_addr()];
    let teredo = ends.iter().any(|end| end.segments().starts_with(&[0x2001, 0]));
    let local = server && ends.iter().all(Ipv6Addr::is_unicast_link_local);
    let multicast = server && ends.iter().any(Ipv6Addr::is_multicast);
    (packet_len <= span.wire_len() && (teredo || local || multicast)).then_some(span)
}
