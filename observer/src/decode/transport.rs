//! TCP (RFC 9293), UDP (RFC 768), ICMP (RFC 792, RFC 4443); tunnels by IP protocol number; anything else by number.
//!
//! The packets that ICMP errors quote are not decoded: nobody sent them here.

use super::span::Span;
use super::walk::{Envelope, Ip, Walk};
use super::{Segment, Skip, TcpFlags, Transport, Tunnel};

impl Walk<'_> {
    /// The payload of an IP packet, extension headers gone.
    pub(super) fn transport(
        &mut self,
        ip: &Ip,
        protocol: u8,
        v6: bool,
        span: Span<'_>,
        envelope: Envelope<'_>,
    ) -> Result<(), Skip> {
        match (protocol, v6) {
            (6, _) => return self.tcp(ip, span, &envelope),
            (17, _) => return self.udp(ip, span, envelope),
            (1, false) | (58, true) => return self.icmp(ip, v6, span, &envelope),
            _ => {}
        }
        let (tunnel, inside) = match protocol {
            4 => (Tunnel::IpInIp, self.ip_in_ip(Tunnel::IpInIp, ip, span, envelope)),
            41 => {
                let tunnel = if v6 { Tunnel::IpInIp } else { Tunnel::SixInFour };
                (tunnel, self.ip_in_ip(tunnel, ip, span, envelope))
            }
            47 => (Tunnel::Gre, self.gre(ip, span, envelope)),
            137 => (Tunnel::Mpls, self.mpls(span, envelope, ip.ends())),
            _ => return self.other(ip, protocol, &envelope),
        };
        match inside {
            Err(skip) if !skip.is_certain() => self.other(ip, protocol, &envelope),
            Err(skip) => Err(skip),
            Ok(()) => {
                let ports = (Transport::Other(protocol), 0, 0);
                self.emit_carrier(ip, ports, Segment::Other, tunnel, &envelope);
                Ok(())
            }
        }
    }

    fn ip_in_ip(
        &mut self,
        tunnel: Tunnel,
        ip: &Ip,
        span: Span<'_>,
        envelope: Envelope<'_>,
    ) -> Result<(), Skip> {
        self.ip(span, envelope.inside(tunnel, ip.ends())?)
    }

    fn other(&mut self, ip: &Ip, protocol: u8, envelope: &Envelope<'_>) -> Result<(), Skip> {
        self.emit(ip, (Transport::Other(protocol), 0, 0), Segment::Other, envelope);
        Ok(())
    }

    fn tcp(&mut self, ip: &Ip, span: Span<'_>, envelope: &Envelope<'_>) -> Result<(), Skip> {
        const LAYER: &str = "tcp header";
        let (header, after) = span.header::<20>(LAYER)?;
        let [s1, s0, d1, d0, q3, q2, q1, q0, a3, a2, a1, a0, offset, flags, _, _, _, _, _, _] = header;
        let header_len = usize::from(offset >> 4).saturating_mul(4);
        let options_len = header_len.checked_sub(20).ok_or(Skip::Malformed(LAYER))?;
        if header_len > span.wire_len() {
            return Err(Skip::Malformed(LAYER));
        }
        // The capture may end inside the options: then all of the payload is missing.
        let payload = after.skip(options_len, LAYER).unwrap_or_else(|_cut| {
            let cut = options_len.saturating_sub(after.bytes.len());
            let missing = after.missing.saturating_sub(u32::try_from(cut).unwrap_or(u32::MAX));
            Span { bytes: &[], missing }
        });
        let segment = Segment::Tcp {
            sequence: u32::from_be_bytes([q3, q2, q1, q0]),
            acknowledgement: u32::from_be_bytes([a3, a2, a1, a0]),
            flags: TcpFlags {
                fin: flags & 0x01 != 0,
                syn: flags & 0x02 != 0,
                rst: flags & 0x04 != 0,
                ack: flags & 0x10 != 0,
            },
            payload: payload.bytes,
            missing: payload.missing,
        };
        let ports = (Transport::Tcp, u16::from_be_bytes([s1, s0]), u16::from_be_bytes([d1, d0]));
        self.emit(ip, ports, segment, envelope);
        Ok(())
    }

    fn udp(&mut self, ip: &Ip, span: Span<'_>, envelope: Envelope<'_>) -> Result<(), Skip> {
        let ([s1, s0, d1, d0, l1, l0, _, _], payload) = span.header::<8>("udp header")?;
        let (source, destination) = (u16::from_be_bytes([s1, s0]), u16::from_be_bytes([d1, d0]));
        // A length that cannot be (0 in a jumbogram or before the card cuts the datagram up, or plainly wrong) gives
        // way to that of the IP header; a shorter one leaves options after the datagram (RFC 9868).
        let payload = match usize::from(u16::from_be_bytes([l1, l0])).checked_sub(8) {
            Some(len) if len <= payload.wire_len() => payload.limit(len),
            _ => payload,
        };
        let ports = (Transport::Udp, source, destination);
        let segment = Segment::Udp { payload: payload.bytes, missing: payload.missing };
        match self.udp_tunnel(ip, source, destination, payload, &envelope) {
            Some((_, Err(skip))) if skip.is_certain() => return Err(skip),
            Some((tunnel, Ok(()))) => self.emit_carrier(ip, ports, segment, tunnel, &envelope),
            Some((_, Err(_))) | None => self.emit(ip, ports, segment, &envelope),
        }
        Ok(())
    }

    fn icmp(&mut self, ip: &Ip, v6: bool, span: Span<'_>, envelope: &Envelope<'_>) -> Result<(), Skip> {
        let ([kind, code, _, _], rest) = span.header::<4>("icmp header")?;
        let echo = matches!((kind, v6), (0 | 8, false) | (128 | 129, true));
        let ports = match rest.bytes {
            &[high, low, ..] if echo => {
                let identifier = u16::from_be_bytes([high, low]);
                (Transport::IcmpEcho, identifier, identifier)
            }
            _ => (Transport::Icmp, u16::from(kind), u16::from(code)),
        };
        self.emit(ip, ports, Segment::Other, envelope);
        Ok(())
    }
}
