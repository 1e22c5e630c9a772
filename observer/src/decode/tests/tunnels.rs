//! One frame a tunnel, and what tells tunnels apart.

use super::*;

#[track_caller]
fn carries(packet: &[u8], tunnels: &[Tunnel]) -> Seen {
    let seen = decode(101, packet).unwrap();
    assert_eq!((seen.tuple.as_str(), &seen.payload[..]), (HELLO, &b"hello"[..]));
    assert_eq!(seen.tunnels, tunnels);
    assert_ne!(seen.context, 0);
    seen
}

fn gre(header: &[u8], payload: &[u8]) -> Vec<u8> {
    ipv4(47, &[header, payload].concat())
}

fn hello_frame() -> Vec<u8> {
    ethernet(0x0800, &hello())
}

#[test]
fn ip_in_ip_of_all_versions() {
    carries(&ipv4(4, &hello()), &[Tunnel::IpInIp]);
    carries(&ipv6(4, &hello()), &[Tunnel::IpInIp]);
    assert_eq!(decode(101, &ipv4(41, &hello_v6())).unwrap().tunnels, [Tunnel::SixInFour]);
    assert_eq!(decode(101, &ipv6(41, &hello_v6())).unwrap().tunnels, [Tunnel::IpInIp]);
    carries(&ipv4(4, &ipv4(4, &hello())), &[Tunnel::IpInIp; 2]);
}

/// What carries the tunnels of a packet, innermost first: its ends, its tunnel, the tunnels around it, and its bytes.
fn carriers(packet: &[u8]) -> Vec<(String, Tunnel, usize, u32)> {
    let mut carriers = Vec::new();
    let data = frame(101, packet, packet.len());
    let decoded = Decoder::default().decode(&data, |packet, backing| {
        if let Some(tunnel) = packet.carries {
            let around = packet.tunnels.iter().count();
            carriers.push((seen(packet, backing).tuple, tunnel, around, packet.wire_len));
        }
    });
    assert_eq!(decoded, Ok(()));
    carriers
}

#[test]
fn who_sends_a_tunnel_to_whom_is_a_packet_of_its_own_without_bytes() {
    let vxlan =
        |inner: &[u8]| udp(9, 4789, &[&[8, 0, 0, 0, 0, 0, 7, 0][..], &ethernet(0x0800, inner)].concat());
    let outer = || "udp 10.0.0.1:9 192.0.2.2:4789".to_owned();
    assert_eq!(carriers(&vxlan(&hello())), [(outer(), Tunnel::Vxlan, 0, 0)]);
    let within = "other(4) 10.0.0.1:0 192.0.2.2:0".to_owned();
    let both = [(within, Tunnel::IpInIp, 1, 0), (outer(), Tunnel::Vxlan, 0, 0)];
    assert_eq!(carriers(&vxlan(&ipv4(4, &hello()))), both);
    assert_eq!(carriers(&udp(9, 4789, b"no tunnel")), []);
    assert_eq!(carriers(&hello()), []);
}

#[test]
fn gre_with_its_options() {
    let tunnels = [Tunnel::Gre];
    carries(&gre(&[0, 0, 8, 0], &hello()), &tunnels);
    carries(&gre(&[0xb0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 1], &hello()), &tunnels);
    carries(&gre(&[0x20, 0, 0x65, 0x58, 0, 0, 1, 9], &hello_frame()), &tunnels);
    carries(&gre(&[0, 0, 0x88, 0xbe], &hello_frame()), &tunnels);
    carries(&gre(&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 1, 0, 5, 0, 0, 0, 0], &hello_frame()), &tunnels);
    let third =
        [0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 1, 0, 5, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    carries(&gre(&third, &hello_frame()), &tunnels);
    carries(&gre(&[0, 0, 0x88, 0x3e], &hello()), &tunnels);
    carries(&gre(&[0, 0, 0x88, 0x3e, 0, 0, 0, 0], &hello()), &tunnels);
    let labels = [0, 0, 0x11, 64];
    carries(&gre(&[0, 0, 0x88, 0x47], &[&labels[..], &hello()].concat()), &[Tunnel::Gre, Tunnel::Mpls]);
}

#[test]
fn pptp_carries_ppp() {
    let ppp = [&[0xff, 3, 0, 0x21][..], &hello()].concat();
    let length = u8::try_from(ppp.len()).unwrap();
    carries(&gre(&[0x30, 0x81, 0x88, 0x0b, 0, length, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2], &ppp), &[Tunnel::Gre]);
    // An acknowledgement alone is the tunnel's own packet.
    let seen = decode(101, &gre(&[0x20, 0x81, 0x88, 0x0b, 0, 0, 0, 1, 0, 0, 0, 2], &[])).unwrap();
    assert_eq!((seen.tuple.as_str(), seen.tunnels.len()), ("other(47) 10.0.0.1:0 192.0.2.2:0", 0));
}

#[test]
fn vxlan_and_its_generic_extension() {
    carries(&udp(9, 4789, &[&[8, 0, 0, 0, 0, 0, 7, 0][..], &hello_frame()].concat()), &[Tunnel::Vxlan]);
    carries(&udp(9, 8472, &[&[8, 0, 0, 0, 0, 0, 7, 0][..], &hello_frame()].concat()), &[Tunnel::Vxlan]);
    carries(&udp(9, 4789, &[&[0x88, 0, 0, 9, 0, 0, 7, 0][..], &hello_frame()].concat()), &[Tunnel::Vxlan]);
    carries(&udp(9, 4790, &[&[0x0c, 0, 0, 1, 0, 0, 7, 0][..], &hello()].concat()), &[Tunnel::Vxlan]);
    carries(&udp(9, 4790, &[&[0x0c, 0, 0, 3, 0, 0, 7, 0][..], &hello_frame()].concat()), &[Tunnel::Vxlan]);
}

#[test]
fn geneve_with_options() {
    let header = [1, 0, 0x65, 0x58, 0, 0, 7, 0, 1, 2, 3, 0];
    carries(&udp(9, 6081, &[&header[..], &hello_frame()].concat()), &[Tunnel::Geneve]);
    carries(&udp(9, 6081, &[&[0, 0, 8, 0, 0, 0, 7, 0][..], &hello()].concat()), &[Tunnel::Geneve]);
}

#[test]
fn gtp_u_with_extension_headers() {
    let gtp = |flags: u8, kind: u8, extra: &[u8]| {
        let length = u16::try_from(extra.len() + hello().len()).unwrap().to_be_bytes();
        udp(2152, 2152, &[&[flags, kind][..], &length, &[0, 0, 0, 7], extra, &hello()].concat())
    };
    carries(&gtp(0x30, 255, &[]), &[Tunnel::GtpU]);
    carries(&gtp(0x32, 255, &[0, 1, 0, 0]), &[Tunnel::GtpU]);
    carries(&gtp(0x34, 255, &[0, 0, 0, 0x85, 1, 16, 9, 0xc0, 1, 1, 1, 0]), &[Tunnel::GtpU]);
    // An echo request is the tunnel's own packet.
    assert_eq!(decode(101, &gtp(0x32, 1, &[0, 1, 0, 0])).unwrap().tunnels, []);
}

#[test]
fn teredo_by_its_packet_and_headers() {
    let mut teredo = [0; 16];
    teredo[..8].copy_from_slice(&[0x20, 1, 0, 0, 65, 54, 227, 120]);
    let packet = udp_v6(teredo, SERVER_V6, b"hello");
    let origin = [0, 0, 1, 2, 3, 4, 5, 6];
    let authentication = [0, 1, 2, 3, 1, 1, 2, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for header in [&[][..], &origin, &authentication, &[&authentication[..], &origin].concat()] {
        for (source, destination) in [(1000, 3544), (3544, 1000), (4000, 5000)] {
            let seen = decode(101, &udp(source, destination, &[header, &packet].concat())).unwrap();
            assert_eq!(seen.tunnels, [Tunnel::Teredo]);
            assert_eq!(&seen.payload[..], b"hello");
        }
    }
    // Another IPv6 packet in UDP is nothing known.
    let seen = decode(101, &udp(4000, 5000, &hello_v6())).unwrap();
    assert_eq!((seen.tuple.as_str(), seen.tunnels.len()), ("udp 10.0.0.1:4000 192.0.2.2:5000", 0));
}

#[test]
fn mpls_carries_ip_or_ethernet() {
    let stack = |payload: &[u8]| ethernet(0x8847, &[&[0, 0, 0x10, 64, 0, 0, 0x21, 64], payload].concat());
    for payload in [hello(), hello_frame(), [&[0; 4][..], &hello_frame()].concat()] {
        let seen = decode(1, &stack(&payload)).unwrap();
        assert_eq!((seen.tuple.as_str(), &seen.tunnels[..]), (HELLO, &[Tunnel::Mpls][..]));
    }
    let mut like_ip = hello_frame();
    like_ip[0] = 0x45;
    assert_eq!(decode(1, &stack(&like_ip)).unwrap().tuple, HELLO);
}

#[test]
fn pppoe_sessions_tell_apart() {
    let session = |number| {
        let data = ethernet(0x8864, &[&[0x11, 0, 0, number, 0, 35, 0, 0x21][..], &hello(), &[0; 9]].concat());
        decode(1, &data).unwrap()
    };
    assert_eq!(session(1).tunnels, [Tunnel::Pppoe]);
    assert_eq!(session(1).payload, b"hello");
    assert_ne!(session(1).context, session(2).context);
    let discovery = ethernet(0x8863, &[0x11, 9, 0, 0, 0, 0]);
    assert_eq!(decode(1, &discovery).unwrap_err().to_string(), "pppoe discovery");
}

#[test]
fn a_tunnel_is_the_same_in_both_directions_and_differs_by_network() {
    let packet = |source: [u8; 4], destination: [u8; 4], ports: (u16, u16), network| {
        let mut bytes = Vec::new();
        let payload = [&[8, 0, 0, 0, 0, 0, network, 0][..], &hello_frame()].concat();
        let builder = PacketBuilder::ipv4(source, destination, 64).udp(ports.0, ports.1);
        builder.write(&mut bytes, &payload).unwrap();
        decode(101, &bytes).unwrap().context
    };
    let forth = packet(CLIENT, SERVER, (50_000, 4789), 1);
    assert_eq!(forth, packet(SERVER, CLIENT, (50_001, 4789), 1));
    assert_ne!(forth, packet(CLIENT, SERVER, (50_000, 4789), 2));
    assert_ne!(forth, packet(CLIENT, [192, 0, 2, 9], (50_000, 4789), 1));
}

#[test]
fn what_does_not_decode_inside_is_the_outer_packet() {
    let outer = "udp 10.0.0.1:9 192.0.2.2:4789";
    for payload in [&b"not a tunnel at all"[..], &[8, 0, 0, 0, 0, 0, 7, 0, 1, 2, 3], &[]] {
        let seen = decode(101, &udp(9, 4789, payload)).unwrap();
        assert_eq!((seen.tuple.as_str(), &seen.payload[..], seen.context), (outer, payload, 0));
    }
    let seen = decode(101, &gre(&[0, 0, 0x12, 0x34], &[0; 40])).unwrap();
    assert_eq!(seen.tuple, "other(47) 10.0.0.1:0 192.0.2.2:0");
    // What is known not to be IP is no flow of the tunnel's ends.
    let arp = [&[8, 0, 0, 0, 0, 0, 7, 0][..], &ethernet(0x0806, &[0; 28])].concat();
    assert_eq!(decode(101, &udp(9, 4789, &arp)).unwrap_err().to_string(), "arp");
}

#[test]
fn nesting_is_bounded() {
    let mut packet = hello();
    for _ in 0..TunnelPath::MAX {
        packet = ipv4(4, &packet);
    }
    carries(&packet, &[Tunnel::IpInIp; TunnelPath::MAX]);
    let deeper = decode(101, &ipv4(4, &packet)).unwrap();
    assert_eq!(deeper.tuple, "other(4) 10.0.0.1:0 192.0.2.2:0");
    assert_eq!(deeper.tunnels.len(), TunnelPath::MAX);
}
