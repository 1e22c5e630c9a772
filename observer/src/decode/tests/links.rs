//! One frame a link layer.

use super::*;

/// What `header` of `link_type` before an IPv4 packet with `hello` decodes to.
fn after(link_type: u16, header: &[u8]) -> Result<Seen, Skip> {
    decode(link_type, &[header, &hello()].concat())
}

#[track_caller]
fn carries(link_type: u16, header: &[u8]) -> Seen {
    let seen = after(link_type, header).unwrap();
    assert_eq!((seen.tuple.as_str(), &seen.payload[..], seen.missing), (HELLO, &b"hello"[..], 0));
    seen
}

const SNAP: [u8; 8] = [0xaa, 0xaa, 3, 0, 0, 0, 8, 0];

#[test]
fn ethernet_with_and_without_tags() {
    carries(1, &ethernet(0x0800, &[]));
    carries(1, &ethernet(0x8100, &[0, 5, 8, 0]));
    carries(1, &ethernet(0x88a8, &[0, 5, 0x81, 0, 0, 7, 8, 0]));
    carries(1, &ethernet(0x9100, &[0, 5, 0x91, 0, 0, 7, 0x81, 0, 0, 1, 8, 0]));
    carries(1, &ethernet(0x8909, &[1, 1, 0, 1, 0, 2, 8, 0]));
    assert_eq!(decode(1, &ethernet(0x86dd, &hello_v6())).unwrap().tuple, HELLO_V6);
    let endless = [0, 1, 0x81, 0].repeat(20);
    assert_eq!(after(1, &ethernet(0x8100, &endless)), Err(Skip::TooDeep));
}

#[test]
fn ieee_802_3_with_llc_and_snap() {
    let length = u16::try_from(SNAP.len() + hello().len()).unwrap();
    carries(1, &ethernet(length, &SNAP));
    carries(1, &ethernet(length - 5, &[6, 6, 3]));
    let cdp = ethernet(60, &[0xaa, 0xaa, 3, 0, 0, 0x0c, 0x20, 0, 2, 180]);
    assert_eq!(decode(1, &cdp).unwrap_err().to_string(), "cdp");
}

#[test]
fn raw_ip_by_its_version() {
    for link_type in [12, 14, 101, 228] {
        carries(link_type, &[]);
    }
    assert_eq!(decode(229, &hello_v6()).unwrap().tuple, HELLO_V6);
}

#[test]
fn loopback_of_either_byte_order() {
    carries(0, &[2, 0, 0, 0]);
    carries(0, &[0, 0, 0, 2]);
    carries(108, &[0, 0, 0, 2]);
    for family in [10, 24, 28, 30] {
        let seen = decode(0, &[&[family, 0, 0, 0][..], &hello_v6()].concat()).unwrap();
        assert_eq!(seen.tuple, HELLO_V6);
    }
    assert_eq!(after(0, &[7, 0, 0, 0]).unwrap_err().to_string(), "loopback frame of another family than ip");
}

#[test]
fn linux_cooked() {
    let sll = |hardware: [u8; 2], protocol: [u8; 2]| {
        [&[0, 4][..], &hardware, &[0, 6, 2, 0, 0, 0, 0, 1, 0, 0], &protocol].concat()
    };
    carries(113, &sll([0, 1], [8, 0]));
    carries(113, &[&sll([0, 1], [0x81, 0])[..], &[0, 5, 8, 0]].concat());
    carries(113, &[&sll([0, 1], [0, 4])[..], &SNAP].concat());
    carries(113, &sll([2, 7], [0, 0]));
    assert_eq!(after(113, &sll([3, 0x38], [0, 0])).unwrap_err().to_string(), "netlink");
}

#[test]
fn linux_cooked_v2_tells_interfaces_apart() {
    let sll2 = |index| [8, 0, 0, 0, 0, 0, 0, index, 0, 1, 4, 6, 2, 0, 0, 0, 0, 1, 0, 0];
    let (two, three) = (carries(276, &sll2(2)), carries(276, &sll2(3)));
    assert_eq!((two.interface, three.interface), (2 << 16, 3 << 16));
}

#[test]
fn ppp_in_its_forms() {
    carries(9, &[0xff, 3, 0, 0x21]);
    carries(9, &[0, 0x21]);
    carries(9, &[0x21]);
    carries(50, &[0xff, 3, 0, 0x21]);
    carries(50, &[0x0f, 0, 8, 0]);
    carries(104, &[0x0f, 0, 8, 0]);
    carries(166, &[1, 3, 0, 0x21]);
    carries(204, &[0, 0xff, 3, 0, 0x21]);
    let seen = carries(51, &[0x11, 0, 0, 9, 0, 35, 0, 0x21]);
    assert_eq!(seen.tunnels, [Tunnel::Pppoe]);
}

#[test]
fn small_headers() {
    carries(100, &SNAP);
    carries(109, &[2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    carries(117, &[&[61][..], &[0; 63]].concat());
    carries(138, &[&[1; 16][..], &[8, 0]].concat());
    carries(226, &[0; 24]);
    carries(281, &[&[2; 12][..], &[0; 4], &[8, 0]].concat());
    carries(284, &[&[2; 12][..], &[0; 4], &[8, 0]].concat());
    carries(285, &[&[2; 12][..], &[0; 8], &[8, 0]].concat());
}

/// The header of a data frame with the given subtype and flags, QoS and HT control where they ask for them.
fn wifi(subtype: u8, flags: u8) -> Vec<u8> {
    let mut header = [&[subtype << 4 | 8, flags][..], &[0; 22]].concat();
    if flags & 3 == 3 {
        header.extend([4; 6]);
    }
    if subtype & 8 != 0 {
        header.extend([0, 0]);
        if flags & 0x80 != 0 {
            header.extend([0; 4]);
        }
    }
    header
}

#[test]
fn wifi_data_frames() {
    for header in [wifi(0, 1), wifi(0, 2), wifi(0, 3), wifi(8, 1), wifi(8, 3), wifi(8, 0x81), wifi(0, 0x81)] {
        carries(105, &[&header[..], &SNAP].concat());
        let radiotap = [0, 0, 8, 0, 0, 0, 0, 0];
        carries(127, &[&radiotap[..], &header, &SNAP].concat());
    }
    // Radiotap with a time, then flags that announce padding after a header of 26 bytes.
    let radiotap = [&[0, 0, 17, 0, 3, 0, 0, 0][..], &[9; 8], &[0x20]].concat();
    carries(127, &[&radiotap[..], &wifi(8, 1), &[0, 0], &SNAP].concat());
    carries(192, &[&[0, 0, 8, 0, 105, 0, 0, 0][..], &wifi(0, 1), &SNAP].concat());
    carries(119, &[&[0; 144][..], &wifi(0, 1), &SNAP].concat());
}

#[test]
fn wifi_without_readable_packets_says_why() {
    let why = |header: &[u8]| after(105, &[header, &SNAP].concat()).unwrap_err().to_string();
    assert_eq!(why(&[&[0x80, 0][..], &[0; 22]].concat()), "802.11 management");
    assert_eq!(why(&[0xd4, 0]), "802.11 control");
    assert_eq!(why(&wifi(0, 0x41)), "encrypted 802.11");
    assert_eq!(why(&wifi(4, 1)), "802.11 data without content");
    assert_eq!(why(&wifi(0, 5)), "802.11 fragment");
}

#[test]
fn wifi_aggregates_hold_several_packets() {
    let mut header = wifi(8, 1);
    header[24] = 0x80;
    let subframe = |packet: &[u8]| {
        let length = u16::try_from(SNAP.len() + packet.len()).unwrap().to_be_bytes();
        let mut bytes = [&[2; 12][..], &length, &SNAP, packet].concat();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    };
    let data = [&header[..], &subframe(&hello()), &subframe(&udp(7, 8, b"again"))].concat();
    let mut tuples = Vec::new();
    let decoded = Decoder::default()
        .decode(&frame(105, &data, data.len()), |packet, backing| tuples.push(seen(packet, backing).tuple));
    assert_eq!(decoded, Ok(()));
    assert_eq!(tuples, [HELLO, "udp 10.0.0.1:7 192.0.2.2:8"]);
}
