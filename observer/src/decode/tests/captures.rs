//! The recorded captures of link types and tunnels.

use std::collections::BTreeSet;

use super::*;
use crate::source;

/// Every packet of a capture, and the reasons why frames have none.
fn decode_capture(name: &str) -> (Vec<Seen>, BTreeSet<String>) {
    let mut source = source::open(&[observer_captures::path(name)]).unwrap();
    let mut decoder = Decoder::default();
    let (mut packets, mut skipped) = (Vec::new(), BTreeSet::new());
    while let Some(batch) = source.next_batch().unwrap() {
        for frame in batch.iter() {
            let decoded = decoder.decode(&frame, |packet, backing| {
                if packet.carries.is_none() {
                    packets.push(seen(packet, backing));
                }
            });
            if let Err(skip) = decoded {
                skipped.insert(skip.to_string());
            }
        }
    }
    (packets, skipped)
}

#[test]
fn each_tunnel_is_entered_and_is_one_in_both_directions() {
    for (name, tunnel) in [
        ("6in4", Some(Tunnel::SixInFour)),
        ("geneve", Some(Tunnel::Geneve)),
        ("gre", Some(Tunnel::Gre)),
        ("gre-in-vlan", Some(Tunnel::Gre)),
        ("gre-ipv6", Some(Tunnel::Gre)),
        ("gre-key", Some(Tunnel::Gre)),
        ("gtp-u", Some(Tunnel::GtpU)),
        ("gtp-u-extension", Some(Tunnel::GtpU)),
        ("ipip", Some(Tunnel::IpInIp)),
        ("mpls", Some(Tunnel::Mpls)),
        ("pppoe", Some(Tunnel::Pppoe)),
        ("qinq", None),
        ("teredo", Some(Tunnel::Teredo)),
        ("vlan", None),
        ("vxlan", Some(Tunnel::Vxlan)),
    ] {
        let (packets, skipped) = decode_capture(&format!("tunnels/{name}.pcap"));
        let tcp: Vec<&Seen> = packets.iter().filter(|packet| packet.tuple.starts_with("tcp")).collect();
        assert!(tcp.len() > 20, "{name}: {}", tcp.len());
        let tunnels: Vec<Tunnel> = tunnel.into_iter().collect();
        assert!(tcp.iter().all(|packet| packet.tunnels == tunnels), "{name}");
        let contexts: BTreeSet<u64> = tcp.iter().map(|packet| packet.context).collect();
        assert_eq!((contexts.len(), contexts.contains(&0)), (1, tunnel.is_none()), "{name}");
        assert!(skipped.is_subset(&BTreeSet::from(["arp".to_owned()])), "{name}: {skipped:?}");
    }
}

#[test]
fn each_link_type_shows_the_same_kind_of_packets() {
    for name in [
        "ieee802-11",
        "ipv4",
        "ipv6",
        "linux-sll",
        "linux-sll2",
        "loop",
        "loopback",
        "nflog",
        "null",
        "ppp",
        "radiotap",
        "raw",
    ] {
        let (packets, skipped) = decode_capture(&format!("link_types/{name}.pcap"));
        let tcp = packets.iter().filter(|packet| packet.tuple.starts_with("tcp")).count();
        assert!(tcp >= 10, "{name}: {tcp}");
        assert!(packets.iter().all(|packet| packet.missing == 0), "{name}");
        assert_eq!(skipped, BTreeSet::new(), "{name}");
    }
    let (packets, skipped) = decode_capture("link_types/arp-only.pcap");
    assert_eq!((packets.len(), skipped), (0, BTreeSet::from(["arp".to_owned()])));
}

#[test]
fn each_dialect_of_ownership_in_frames_names_owners() {
    for (name, uid, process) in [
        ("owners/nflog.pcap", true, false),
        ("owners/pcapdroid.pcap", true, false),
        ("owners/pktap-v1.pcap", false, true),
        ("owners/pktap-v2.pcap", false, true),
        ("owners/pktap-user2.pcap", false, true),
    ] {
        let (packets, _) = decode_capture(name);
        let owners: Vec<_> = packets.iter().filter_map(|packet| packet.owner.as_deref()).collect();
        assert!(owners.len() > 20, "{name}: {}", owners.len());
        for owner in owners {
            assert_eq!((owner.uid.is_some(), owner.process.is_some()), (uid, process), "{name}: {owner:?}");
        }
    }
}
