//! IP and the transport header after it.

use etherparse::{LaxNetSlice, LaxSlicedPacket, TransportSlice};

use super::{Endpoint, FiveTuple, Segment, Skip, TcpFlags, Transport};

pub(super) fn decode(bytes: &[u8]) -> Result<(FiveTuple, u32, Segment<'_>), Skip> {
    let packet = LaxSlicedPacket::from_ip(bytes).map_err(|_length_error| Skip::Malformed("ip"))?;
    let (source, destination, identification) = match &packet.net {
        Some(LaxNetSlice::Ipv4(ip)) => (
            ip.header().source_addr().into(),
            ip.header().destination_addr().into(),
            u32::from(ip.header().identification()),
        ),
        Some(LaxNetSlice::Ipv6(ip)) => (
            ip.header().source_addr().into(),
            ip.header().destination_addr().into(),
            ip.header().flow_label().value(),
        ),
        _ => return Err(Skip::Malformed("ip")),
    };
    let tuple = |transport, source_port, destination_port| FiveTuple {
        transport,
        source: Endpoint { ip: source, port: source_port },
        destination: Endpoint { ip: destination, port: destination_port },
    };
    Ok(match &packet.transport {
        Some(TransportSlice::Tcp(tcp)) => (
            tuple(Transport::Tcp, tcp.source_port(), tcp.destination_port()),
            identification,
            Segment::Tcp {
                sequence: tcp.sequence_number(),
                acknowledgement: tcp.acknowledgment_number(),
                flags: TcpFlags { fin: tcp.fin(), syn: tcp.syn(), rst: tcp.rst(), ack: tcp.ack() },
                payload: tcp.payload(),
                missing: 0,
            },
        ),
        Some(TransportSlice::Udp(udp)) => (
            tuple(Transport::Udp, udp.source_port(), udp.destination_port()),
            identification,
            Segment::Udp { payload: udp.payload(), missing: 0 },
        ),
        _ => return Err(Skip::Truncated("transport")),
    })
}
