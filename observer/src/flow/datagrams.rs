//! Who began a flow of datagrams, as far as its ports tell. There is no SYN: what comes first in a capture may be an answer,
//! or the middle of a flow that is older than the capture.

use std::net::IpAddr;

use crate::decode::{Endpoint, FiveTuple};

/// Below it are the ports of services. From here to 1023 clients with privileges take theirs, too (RFC 1833).
const SERVICES: u16 = 512;

/// Above the ports that no client is given, on systems of any age.
const LEAST_OF_CLIENTS: u16 = 1024;

/// The least port that Linux and Android give to clients (`ip_local_port_range`); others begin higher.
const EPHEMERAL: u16 = 32768;

/// Services with other ports: DNS over QUIC and over DTLS, OpenVPN, RADIUS, RDP, STUN and TURN with and without TLS, IPsec
/// behind address translation, CoAP with and without DTLS, HTTP/3 beside 443, WireGuard.
const OTHER_SERVICES: [u16; 13] =
    [784, 853, 1194, 1812, 1813, 3389, 3478, 4500, 5349, 5683, 5684, 8443, 51820];

/// Services that are asked by multicast or broadcast and answer from an address of their own, in a flow that so begins:
/// NetBIOS, SSDP, WS-Discovery, mDNS, LLMNR.
const DISCOVERY: [u16; 6] = [137, 138, 1900, 3702, 5353, 5355];

/// Whether clients are given such a port.
pub(super) fn is_ephemeral(port: u16) -> bool {
    port >= EPHEMERAL
}

/// Whether a first datagram with these ends goes from a service to a client, as its ports have it.
pub(super) fn looks_like_an_answer(five_tuple: &FiveTuple) -> bool {
    let (source, destination) = (five_tuple.source.port, five_tuple.destination.port);
    let serves = source < SERVICES && destination >= LEAST_OF_CLIENTS
        || OTHER_SERVICES.contains(&source)
            && is_ephemeral(destination)
            && !OTHER_SERVICES.contains(&destination);
    serves && !is_discovery(five_tuple)
}

/// Whether such a datagram may be an answer at all: a client's first goes to the lower port, and to one that clients are
/// not given.
pub(super) fn may_be_an_answer(five_tuple: &FiveTuple) -> bool {
    let (source, destination) = (five_tuple.source.port, five_tuple.destination.port);
    (source < destination || is_ephemeral(destination)) && !is_discovery(five_tuple)
}

/// Whether it goes to many, or comes from who is asked by way of many.
fn is_discovery(five_tuple: &FiveTuple) -> bool {
    let Endpoint { ip, .. } = five_tuple.destination;
    let to_all = match ip {
        IpAddr::V4(ip) => ip.is_multicast() || ip.is_broadcast() || ip.is_unspecified(),
        IpAddr::V6(ip) => ip.is_multicast(),
    };
    to_all || DISCOVERY.contains(&five_tuple.source.port)
}
