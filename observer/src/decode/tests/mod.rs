//! Frames built by hand, a file a group of layers, and what holds for all of them.

mod captures;
mod fragments;
mod links;
mod owners;
mod tunnels;

use std::net::IpAddr;

use etherparse::PacketBuilder;
use proptest::prelude::*;

use super::*;
use crate::bytes::range_in;
use crate::source::{LinkType, RecordedOwner};
use crate::time::Timestamp;

/// Every link type that is decoded, and one that is not.
const LINK_TYPES: [u16; 34] = [
    0, 1, 9, 11, 12, 14, 50, 51, 100, 101, 104, 105, 108, 109, 113, 117, 119, 127, 138, 149, 166, 192, 201,
    204, 219, 226, 228, 229, 239, 258, 276, 281, 284, 285,
];

const CLIENT: [u8; 4] = [10, 0, 0, 1];
const SERVER: [u8; 4] = [192, 0, 2, 2];
const CLIENT_V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const SERVER_V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];

/// What a test wants to know of a packet.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    /// `udp 10.0.0.1:1000 192.0.2.2:53`.
    tuple: String,
    tunnels: Vec<Tunnel>,
    context: u64,
    payload: Vec<u8>,
    missing: u32,
    wire_len: u32,
    interface: u32,
    reassembled: bool,
    owner: Option<Arc<RecordedOwner>>,
}

fn frame(link_type: u16, data: &[u8], original_len: usize) -> Frame<'_> {
    Frame {
        number: 1,
        timestamp: Timestamp(0),
        link_type: LinkType(link_type),
        interface: 0,
        data,
        original_len: u32::try_from(original_len).unwrap(),
        annotations: None,
    }
}

fn seen(packet: &Packet<'_>, backing: Backing<'_>) -> Seen {
    let (payload, missing) = match packet.segment {
        Segment::Tcp { payload, missing, .. } | Segment::Udp { payload, missing } => {
            (payload.to_vec(), missing)
        }
        Segment::Other => (Vec::new(), 0),
    };
    let FiveTuple { transport, source, destination } = packet.five_tuple;
    let transport = format!("{transport:?}").to_lowercase();
    Seen {
        tuple: format!("{transport} {}:{} {}:{}", source.ip, source.port, destination.ip, destination.port),
        tunnels: packet.tunnels.iter().collect(),
        context: packet.tunnels.context,
        payload,
        missing,
        wire_len: packet.wire_len,
        interface: packet.interface,
        reassembled: matches!(backing, Backing::Reassembled(_)),
        owner: packet.owner.clone(),
    }
}

/// Decodes one frame, which was captured whole, and expects one packet or none.
fn decode(link_type: u16, data: &[u8]) -> Result<Seen, Skip> {
    decode_frame(&mut Decoder::default(), &frame(link_type, data, data.len()))
}

fn decode_frame(decoder: &mut Decoder, frame: &Frame<'_>) -> Result<Seen, Skip> {
    let mut packets = Vec::new();
    decoder.decode(frame, |packet, backing| {
        if packet.carries.is_none() {
            packets.push(seen(packet, backing));
        }
    })?;
    assert_eq!(packets.len(), 1);
    Ok(packets.remove(0))
}

/// An IPv4 packet with the UDP datagram `hello` from port 1000 to port 53.
fn hello() -> Vec<u8> {
    udp(1000, 53, b"hello")
}

const HELLO: &str = "udp 10.0.0.1:1000 192.0.2.2:53";

fn udp(source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let builder = PacketBuilder::ipv4(CLIENT, SERVER, 64).udp(source, destination);
    builder.write(&mut bytes, payload).unwrap();
    bytes
}

/// An IPv6 packet with the UDP datagram `hello` from port 1000 to port 53.
fn hello_v6() -> Vec<u8> {
    udp_v6(CLIENT_V6, SERVER_V6, b"hello")
}

const HELLO_V6: &str = "udp 2001:db8::1:1000 2001:db8::2:53";

fn udp_v6(source: [u8; 16], destination: [u8; 16], payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let builder = PacketBuilder::ipv6(source, destination, 64).udp(1000, 53);
    builder.write(&mut bytes, payload).unwrap();
    bytes
}

/// An IPv4 packet of `protocol` with `payload`.
fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let header = etherparse::Ipv4Header::new(
        u16::try_from(payload.len()).unwrap(),
        64,
        etherparse::IpNumber(protocol),
        CLIENT,
        SERVER,
    );
    [&header.unwrap().to_bytes()[..], payload].concat()
}

/// An IPv6 packet whose header names `next_header`, with `payload`.
fn ipv6(next_header: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [&[0x60, 0, 0, 0], &length[..], &[next_header, 64], &CLIENT_V6, &SERVER_V6, payload].concat()
}

fn ethernet(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2], &ether_type.to_be_bytes()[..], payload].concat()
}

#[test]
fn ip_options_and_padding_are_not_payload() {
    let mut packet = hello();
    packet[0] = 0x46;
    packet[3] += 4;
    packet.splice(20..20, [0x94, 4, 0, 0]);
    packet.extend([0; 20]);
    let seen = decode(101, &packet).unwrap();
    assert_eq!((seen.tuple.as_str(), &seen.payload[..], seen.missing), (HELLO, &b"hello"[..], 0));
}

#[test]
fn a_cut_capture_states_what_is_missing() {
    let data = ethernet(0x0800, &udp(1000, 53, &[7; 100]));
    for captured in 42..data.len() {
        let frame = frame(1, &data[..captured], data.len());
        let seen = decode_frame(&mut Decoder::default(), &frame).unwrap();
        assert_eq!(seen.payload.len(), captured - 42);
        assert_eq!(seen.missing as usize, data.len() - captured);
    }
    let cut = frame(1, &data[..41], data.len());
    assert_eq!(decode_frame(&mut Decoder::default(), &cut), Err(Skip::Truncated("udp header")));
}

#[test]
fn a_tcp_header_cut_in_its_options_still_names_the_flow() {
    let mut data = Vec::new();
    let options = [etherparse::TcpOptionElement::Timestamp(1, 2)];
    let builder = PacketBuilder::ipv4(CLIENT, SERVER, 64).tcp(1000, 443, 7, 100).options(&options).unwrap();
    builder.write(&mut data, b"hello").unwrap();
    let seen = decode_frame(&mut Decoder::default(), &frame(101, &data[..45], data.len())).unwrap();
    assert_eq!((seen.payload.len(), seen.missing), (0, 5));
    let seen = decode(101, &data).unwrap();
    assert_eq!((&seen.payload[..], seen.missing), (&b"hello"[..], 0));
}

#[test]
fn a_packet_without_a_length_ends_with_the_frame() {
    let mut packet = udp(1000, 53, &[7; 3000]);
    packet[2..4].fill(0);
    packet[24..26].fill(0);
    assert_eq!(decode(101, &packet).unwrap().payload.len(), 3000);
    let mut packet = udp_v6(CLIENT_V6, SERVER_V6, &[7; 3000]);
    packet[4..6].fill(0);
    packet[44..46].fill(0);
    assert_eq!(decode(101, &packet).unwrap().payload.len(), 3000);
}

#[test]
fn a_jumbogram_states_its_length_in_an_option() {
    let datagram = udp_v6(CLIENT_V6, SERVER_V6, &[7; 70])[40..].to_vec();
    let length = u32::try_from(8 + datagram.len()).unwrap().to_be_bytes();
    let hop_by_hop = [&[17, 0, 0xc2, 4], &length[..]].concat();
    let mut packet = ipv6(0, &[&hop_by_hop[..], &datagram].concat());
    packet[4..6].fill(0);
    packet.extend([9; 10]);
    assert_eq!(decode(101, &packet).unwrap().payload, [7; 70]);
}

#[test]
fn ipv6_extension_headers_are_passed() {
    let datagram = hello_v6()[40..].to_vec();
    let chain: [&[u8]; 5] = [
        // Hop-by-hop, routing, destination options, authentication.
        &[43, 0, 1, 4, 0, 0, 0, 0],
        &[60, 1, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[51, 0, 1, 4, 0, 0, 0, 0],
        &[17, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
        &datagram,
    ];
    assert_eq!(decode(101, &ipv6(0, &chain.concat())).unwrap().tuple, HELLO_V6);
    // An atomic fragment is whole.
    let fragment = [&[17, 0, 0, 0, 1, 2, 3, 4][..], &datagram].concat();
    let seen = decode(101, &ipv6(44, &fragment)).unwrap();
    assert_eq!((seen.tuple.as_str(), seen.reassembled), (HELLO_V6, false));
    // No end of headers is an attack.
    let endless = [0, 0, 1, 4, 0, 0, 0, 0].repeat(40);
    assert_eq!(decode(101, &ipv6(0, &endless)), Err(Skip::Malformed("ip extension header")));
}

#[test]
fn icmp_has_flows_by_echo_identifier_or_by_type() {
    let echo = |kind| ipv4(1, &[kind, 0, 0, 0, 0x12, 0x34, 0, 1]);
    assert_eq!(decode(101, &echo(8)).unwrap().tuple, "icmpecho 10.0.0.1:4660 192.0.2.2:4660");
    assert_eq!(decode(101, &echo(0)).unwrap().tuple, "icmpecho 10.0.0.1:4660 192.0.2.2:4660");
    // Not to be taken for an echo whose identifier is 3.
    let unreachable = [&[3, 3, 0, 0, 0, 0, 0, 0][..], &hello()].concat();
    assert_eq!(decode(101, &ipv4(1, &unreachable)).unwrap().tuple, "icmp 10.0.0.1:3 192.0.2.2:3");
    let seen = decode(101, &ipv6(58, &[128, 0, 0, 0, 0, 7, 0, 1])).unwrap();
    assert_eq!(seen.tuple, "icmpecho 2001:db8::1:7 2001:db8::2:7");
}

#[test]
fn other_protocols_are_flows_between_addresses() {
    assert_eq!(decode(101, &ipv4(132, &[0; 12])).unwrap().tuple, "other(132) 10.0.0.1:0 192.0.2.2:0");
    assert_eq!(decode(101, &ipv6(50, &[0; 12])).unwrap().tuple, "other(50) 2001:db8::1:0 2001:db8::2:0");
}

#[test]
fn an_impossible_udp_length_gives_way_to_that_of_ip() {
    for (stated, payload_len) in [(0_u16, 5), (3, 5), (10, 2), (13, 5), (900, 5)] {
        let mut packet = hello();
        packet[24..26].copy_from_slice(&stated.to_be_bytes());
        assert_eq!(decode(101, &packet).unwrap().payload.len(), payload_len, "{stated}");
    }
}

#[test]
fn reasons_are_words_for_people() {
    let skip = |link_type, data: &[u8]| decode(link_type, data).unwrap_err().to_string();
    assert_eq!(skip(1, &ethernet(0x0806, &[0; 28])), "arp");
    assert_eq!(skip(1, &ethernet(0x88cc, &[0; 46])), "lldp");
    assert_eq!(skip(1, &ethernet(0x888e, &[0; 46])), "eapol");
    assert_eq!(skip(1, &ethernet(0x1234, &[0; 46])), "ethertype 0x1234");
    assert_eq!(skip(1, &ethernet(38, &[0x42, 0x42, 3, 0, 0])), "spanning tree");
    assert_eq!(skip(201, &[0; 8]), "link type 201 (Bluetooth HCI H4)");
    assert_eq!(skip(9, &[0xff, 3, 0xc0, 0x21, 1, 1, 0, 4]), "ppp lcp");
    assert_eq!(skip(101, &[]), "malformed frame without bytes");
    assert_eq!(skip(101, &ipv4(6, &[0; 19])), "malformed tcp header");
}

/// Layers put together at random, so that the tests of properties come deep.
fn stacked() -> impl Strategy<Value = (u16, Vec<u8>)> {
    let payload = prop::collection::vec(any::<u8>(), 0..80);
    let layers = prop::collection::vec(0_usize..14, 0..5);
    (
        payload,
        layers,
        prop::sample::select(&LINK_TYPES[..]),
        prop::collection::vec((any::<u16>(), any::<u8>()), 0..3),
    )
        .prop_map(|(payload, layers, link_type, damage)| {
            let mut bytes = payload;
            for layer in layers {
                bytes = match layer {
                    0 => ipv4(17, &bytes),
                    1 => ipv4(6, &bytes),
                    2 => ipv6(17, &bytes),
                    3 => ipv6(44, &bytes),
                    4 => ipv4(47, &[&[0x30, 0, 8, 0, 0, 0, 0, 1, 0, 0, 0, 2], &bytes[..]].concat()),
                    5 => ipv4(47, &[&[0x30, 1, 0x88, 0x0b, 0, 99, 0, 1, 0, 0, 0, 2], &bytes[..]].concat()),
                    6 => udp(1000, 4789, &[&[8, 0, 0, 0, 0, 0, 7, 0], &bytes[..]].concat()),
                    7 => udp(
                        2152,
                        2152,
                        &[&[0x36, 255, 0, 90, 0, 0, 0, 7, 0, 0, 0, 0x85, 1, 0, 0, 0], &bytes[..]].concat(),
                    ),
                    8 => ethernet(0x0800, &bytes),
                    9 => ethernet(0x8864, &[&[0x11, 0, 0, 1, 0, 90, 0, 0x21], &bytes[..]].concat()),
                    10 => ethernet(0x8847, &[&[0, 0, 0x11, 64], &bytes[..]].concat()),
                    11 => ipv4(41, &bytes),
                    12 => [
                        &[
                            8, 0, 0, 0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 0, 0, 0xaa,
                            0xaa, 3, 0, 0, 0, 8, 0,
                        ],
                        &bytes[..],
                    ]
                    .concat(),
                    _ => [&[2, 0, 0, 0], &bytes[..]].concat(),
                };
            }
            for (at, value) in damage {
                if let Some(byte) = bytes.get_mut(usize::from(at)) {
                    *byte = value;
                }
            }
            (link_type, bytes)
        })
}

fn lies_within(frame: &Frame<'_>, packet: &Packet<'_>, backing: Backing<'_>) -> bool {
    let (Segment::Tcp { payload, .. } | Segment::Udp { payload, .. }) = packet.segment else { return true };
    match backing {
        Backing::Frame => payload.is_empty() || range_in(frame.data, payload).is_some(),
        Backing::Reassembled(datagram) => payload.is_empty() || range_in(datagram, payload).is_some(),
    }
}

proptest! {
    #[test]
    fn nothing_panics_and_payloads_lie_within(
        frames in prop::collection::vec((
            prop_oneof![
                stacked(),
                (prop::sample::select(&LINK_TYPES[..]), prop::collection::vec(any::<u8>(), 0..200)),
            ],
            prop_oneof![Just(0_usize), 0_usize..2000],
        ), 1..20)
    ) {
        let mut decoder = Decoder::default();
        for ((link_type, data), more) in &frames {
            let frame = frame(*link_type, data, data.len() + more);
            let (mut within, mut packets) = (true, 0);
            let decoded = decoder.decode(&frame, |packet, backing| {
                within &= lies_within(&frame, packet, backing) && packet.tunnels.iter().count() <= TunnelPath::MAX;
                packets += 1;
            });
            prop_assert!(within);
            prop_assert_eq!(decoded.is_ok(), packets > 0);
            if let Err(skip) = decoded {
                prop_assert!(!skip.to_string().is_empty());
            }
        }
    }
}

#[test]
fn layers_in_circles_come_to_an_end() {
    let circle = |link_type, layers: &[u8]| decode(link_type, &layers.repeat(1 << 15));
    // LLC and SNAP, a VLAN tag, a length, LLC again.
    assert_eq!(circle(100, &[0xaa, 0xaa, 3, 0, 0, 0, 0x81, 0, 0, 5, 5, 0xdc]), Err(Skip::TooDeep));
    assert_eq!(circle(100, &[0xaa, 0xaa, 3, 0, 0, 0, 5, 0xdc]), Err(Skip::TooDeep));
    // PPP, bridged Ethernet, PPP.
    let bridged = [0, 0x31, 0, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 0x88, 0x0b];
    assert_eq!(circle(9, &bridged), Err(Skip::TooDeep));
    // PPI, PKTAP, PPI.
    let mut pktap = vec![0; 116];
    pktap[..8].copy_from_slice(&[0, 0, 8, 0, 2, 1, 0, 0]);
    pktap[8] = 108;
    pktap[12] = 1;
    pktap[16] = 192;
    assert_eq!(circle(192, &pktap), Err(Skip::TooDeep));
    // Labels under labels, fragments of fragments.
    assert!(
        circle(219, &[0, 0, 0x11, 64, 0, 0, 0, 0, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 0x88, 0x47]).is_err()
    );
    let fragment = [44, 0, 0, 1, 0, 0, 0, 7];
    assert!(decode(101, &ipv6(44, &fragment.repeat(1000))).is_err());
}

#[test]
fn addresses_of_both_versions_are_kept_as_on_the_wire() {
    let mapped: IpAddr = "::ffff:10.0.0.1".parse().unwrap();
    let IpAddr::V6(address) = mapped else { panic!("not IPv6") };
    let seen = decode(101, &udp_v6(address.octets(), SERVER_V6, b"")).unwrap();
    assert_eq!(seen.tuple, "udp ::ffff:10.0.0.1:1000 2001:db8::2:53");
}
