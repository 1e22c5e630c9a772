//! What is RTP and what is not, and what its payload is worth.

use crate::decode::Transport;
use crate::protocol::script::{Act, Played, REQUEST, RESPONSE, play, send};
use crate::protocol::{Fact, Probe, ProbeInput, find};

/// Random bytes, the same in every run (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let words = len.div_ceil(8);
        let mut bytes: Vec<u8> = (0..words).flat_map(|_| self.next().to_be_bytes()).collect();
        bytes.truncate(len);
        bytes
    }
}

fn packet(payload_type: u8, sequence: u16, payload: &[u8]) -> Vec<u8> {
    [&[0x80, payload_type][..], &sequence.to_be_bytes(), &[0, 0, 0, 1, 0, 0, 0, 9], payload].concat()
}

fn udp(acts: &[Act]) -> Played {
    play(Transport::Udp, 443, acts)
}

/// A flow of `count` packets whose payloads `payload` makes.
fn media(count: u16, mut payload: impl FnMut() -> Vec<u8>) -> Played {
    let acts: Vec<Act> = (0..count).map(|sequence| send(REQUEST, packet(96, sequence, &payload()))).collect();
    udp(&acts)
}

fn value(played: &Played, name: &str) -> Option<String> {
    played.facts().iter().find_map(|fact| match fact {
        Fact::Property(property) if property.name == name => Some(property.value.clone()),
        _ => None,
    })
}

#[test]
fn three_packets_in_a_row_are_rtp_and_two_are_not() {
    let acts = |sequences: &[u16]| -> Vec<Act> {
        sequences.iter().map(|sequence| send(REQUEST, packet(0, *sequence, &[1; 20]))).collect()
    };
    assert_eq!(udp(&acts(&[7, 8])).layers, ["unknown"]);
    let played = udp(&acts(&[65_534, 65_535, 0]));
    assert_eq!(played.layers, ["rtp"]);
    // Recognised, with too little for a judgement.
    assert_eq!(value(&played, "media").as_deref(), Some("undetermined"));
    assert_eq!(value(&played, "payload_type").as_deref(), Some("0 PCMU"));
    // Three times the same, or far apart.
    assert_eq!(udp(&acts(&[7, 7, 7])).layers, ["unknown"]);
    assert_eq!(udp(&acts(&[7, 1007, 2007])).layers, ["unknown"]);
    // Two of one direction and one of the other.
    let mut both = acts(&[7, 8, 9]);
    both[1] = send(RESPONSE, packet(0, 8, &[1; 20]));
    assert_eq!(udp(&both).layers, ["unknown"]);
}

#[test]
fn the_payload_type_is_named() {
    let acts: Vec<Act> = (0..20).map(|sequence| send(REQUEST, packet(8, sequence, &[0xd5; 160]))).collect();
    let played = udp(&acts);
    assert_eq!(value(&played, "payload_type").as_deref(), Some("8 PCMA"));
    assert_eq!(value(&played, "media").as_deref(), Some("readable"));
}

#[test]
fn a_first_byte_that_comes_back_is_readable() {
    let mut random = Random(1);
    let codec = media(40, || [vec![0x78], random.bytes(60)].concat());
    assert_eq!(
        (codec.layers.as_slice(), value(&codec, "media").as_deref()),
        (["rtp"].as_slice(), Some("readable"))
    );
}

#[test]
fn bytes_that_are_not_evenly_spread_are_readable() {
    let mut random = Random(2);
    let silence = media(40, || random.bytes(200).into_iter().map(|byte| byte & 0x7f).collect());
    assert_eq!(value(&silence, "media").as_deref(), Some("readable"));
}

#[test]
fn too_few_packets_are_undetermined() {
    let played = media(9, || vec![1; 20]);
    assert_eq!(value(&played, "media").as_deref(), Some("undetermined"));
}

/// The figure of the module's documentation.
#[test]
fn none_of_a_thousand_flows_of_random_payloads_is_readable() {
    let mut random = Random(3);
    for flow in 0..1000_usize {
        let (count, len) = ([6, 9, 20, 70, 140][flow % 5], [20, 60, 160][flow % 3]);
        let played = media(count, || random.bytes(len));
        assert_eq!(value(&played, "media").as_deref(), Some("undetermined"), "{flow}");
    }
}

/// Datagrams that nobody sent as STUN, RTP or RTCP; the figure of the module's documentation.
#[test]
fn none_of_a_million_random_datagrams_is_media_or_stun() {
    let mut random = Random(4);
    let probes = ["stun", "rtcp"].map(|name| find(name, Transport::Udp).unwrap().probe);
    let mut found = 0;
    for count in 0..1_000_000_usize {
        let mut bytes = random.bytes(20 + count % 5 * 4);
        if count % 2 == 0 {
            // The two fixed bits of RTP, and the lengths of STUN.
            bytes[0] = bytes[0] & 0x3f | 0x80;
        } else {
            (bytes[0], bytes[2], bytes[3]) = (bytes[0] & 0x3f, 0, u8::try_from(bytes.len() - 20).unwrap());
        }
        let input = ProbeInput {
            bytes: &bytes,
            other: &[],
            earlier: &[],
            direction: REQUEST,
            midstream: false,
            port: 443,
        };
        found += probes.iter().filter(|probe| probe(&input) != Probe::NoMatch).count();
    }
    assert_eq!(found, 0);
}

#[test]
fn none_of_a_thousand_flows_of_random_datagrams_is_media_or_stun() {
    let mut random = Random(5);
    for _ in 0..1000 {
        let acts: Vec<Act> = (0..12)
            .map(|_| {
                let mut bytes = random.bytes(40);
                bytes[0] = bytes[0] & 0x3f | 0x80;
                send(REQUEST, bytes)
            })
            .collect();
        let layers = udp(&acts).layers;
        let names = ["rtp", "rtcp", "srtp", "stun"];
        assert!(!layers.iter().any(|layer| names.contains(layer)), "{layers:?}");
    }
}

#[test]
fn control_packets_add_up_and_name_their_source() {
    let report =
        [&[0x80, 201, 0, 1, 0, 0, 0, 9][..], &[0x81, 202, 0, 4, 0, 0, 0, 9, 1, 9], b"a@b.test\x20", &[0]]
            .concat();
    let played = udp(&[send(REQUEST, &report)]);
    assert_eq!(
        (played.layers.as_slice(), value(&played, "cname").as_deref()),
        (["rtcp"].as_slice(), Some("a@b.test "))
    );
    for wrong in [&report[..8], &report[8..], &report[..24], &[&report[..], &[0; 4]].concat()] {
        assert_eq!(udp(&[send(REQUEST, wrong)]).layers, ["unknown"], "{wrong:?}");
    }
}

/// What baresip begins and ends with: it opens the way with a packet of an application, and says goodbye before its name.
#[test]
fn control_packets_may_do_without_a_report() {
    let ping = [&[0x80, 204, 0, 3, 0, 0, 0, 9][..], b"PINGPONG"].concat();
    let bye =
        [&[0x81, 203, 0, 1, 0, 0, 0, 9][..], &[0x81, 202, 0, 3, 0, 0, 0, 9, 1, 3], b"a@b", &[0; 3]].concat();
    let played = udp(&[send(REQUEST, &ping), send(REQUEST, &bye)]);
    assert_eq!(
        (played.layers.as_slice(), value(&played, "cname").as_deref()),
        (["rtcp"].as_slice(), Some("a@b"))
    );
    let mut other = bye.clone();
    other[7] = 8;
    let mut nameless = ping.clone();
    nameless[9] = 0xff;
    for wrong in [&bye[..8], &ping[..12], &other, &nameless, &[ping.as_slice(), &ping].concat()] {
        assert_eq!(udp(&[send(REQUEST, wrong)]).layers, ["unknown"], "{wrong:?}");
    }
}
