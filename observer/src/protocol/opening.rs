//! What the first datagram of a flow says of who began it: for flows that may be older than the capture.

use super::{dns, dtls, ipsec, ntp, openvpn, quic, wireguard};
use crate::decode::FiveTuple;
use crate::flow::Opening;

/// What one protocol makes of a datagram.
type Tell = fn(&[u8]) -> Option<Opening>;

/// What a datagram between these ends says as the first of a flow; `None` where no protocol knows it that tells.
#[must_use]
pub fn opening(five_tuple: &FiveTuple, datagram: &[u8]) -> Option<Opening> {
    const TELL: [Tell; 7] = [
        quic::opening,
        quic::google_opening,
        dtls::opening,
        wireguard::opening,
        openvpn::opening,
        ipsec::opening,
        ntp::opening,
    ];
    let ports = [five_tuple.source.port, five_tuple.destination.port];
    dns::opening(datagram, ports).or_else(|| TELL.iter().find_map(|tells| tells(datagram)))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::decode::{Endpoint, Transport};
    use crate::protocol::script::{Act, REQUEST, datagrams};

    fn said(port: u16, datagram: &[u8]) -> Option<Opening> {
        let end = |last, port| Endpoint { ip: Ipv4Addr::new(192, 0, 2, last).into(), port };
        let (source, destination) = (end(1, port), end(2, 40000));
        opening(&FiveTuple { transport: Transport::Udp, source, destination }, datagram)
    }

    #[test]
    fn recorded_flows_begin_with_a_request_and_are_answered() {
        for name in [
            "quic/http3.pcap",
            "quic/version-2.pcap",
            "quic/version-negotiation.pcap",
            "quic/retry.pcap",
            "dtls/dtls12.pcap",
            "dns/a-aaaa-https.pcap",
            "opaque/wireguard.pcap",
            "opaque/openvpn-plain.pcap",
            "infrastructure/ntp.pcap",
            "opaque/ikev2.pcap",
        ] {
            let flows = datagrams(name);
            let mut answers = 0;
            for flow in &flows {
                let first = |asked: bool| {
                    flow.iter().find_map(|act| match act {
                        Act::Bytes(direction, bytes) if (*direction == REQUEST) == asked => Some(bytes),
                        _ => None,
                    })
                };
                assert_eq!(
                    first(true).and_then(|bytes| said(40001, bytes)),
                    Some(Opening::Request),
                    "{name}"
                );
                if let Some(bytes) = first(false) {
                    let answer = said(40001, bytes);
                    assert!(matches!(answer, Some(Opening::Answer | Opening::Middle)), "{name}: {answer:?}");
                    answers += 1;
                }
            }
            assert!(answers > 0, "{name}");
        }
    }

    #[test]
    fn what_tells_nothing_says_nothing() {
        assert_eq!(said(443, b"a game's datagram"), None);
        assert_eq!(said(443, &[0x4a; 60]), None);
        assert_eq!(said(443, &[]), None);
        // Data of WireGuard: type, receiver, counter.
        let data = [&[4, 0, 0, 0, 1, 2, 3, 4, 7, 0, 0, 0, 0, 0, 0, 0][..], &[0xa5; 16]].concat();
        assert_eq!(said(51820, &data), Some(Opening::Middle));
    }
}
