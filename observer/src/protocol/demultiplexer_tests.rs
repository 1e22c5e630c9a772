//! Protocols that share a flow, and what a relay carries.

use crate::decode::Transport;
use crate::flow::Direction;
use crate::protocol::dtls::tests::handshake;
use crate::protocol::script::{Act, Played, REQUEST, RESPONSE, play, send};
use crate::protocol::{Fact, tls};

const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

/// XOR-PEER-ADDRESS of 192.0.2.`last`, port 40000.
fn peer(last: u8) -> Vec<u8> {
    let [high, low] = (40_000_u16 ^ 0x2112).to_be_bytes();
    attribute(0x0012, &[0, 1, high, low, 192 ^ 0x21, 0x12, 2 ^ 0xa4, last ^ 0x42])
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let len = u16::try_from(value.len()).unwrap().to_be_bytes();
    let mut bytes = [&kind.to_be_bytes()[..], &len, value].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn message(kind: u16, attributes: &[Vec<u8>]) -> Vec<u8> {
    let attributes = attributes.concat();
    let len = u16::try_from(attributes.len()).unwrap().to_be_bytes();
    [&kind.to_be_bytes()[..], &len, &COOKIE, &[7; 12], &attributes].concat()
}

fn binding() -> Act {
    send(REQUEST, message(0x0001, &[]))
}

fn bind(channel: u16, last: u8) -> Act {
    let [high, low] = channel.to_be_bytes();
    send(REQUEST, message(0x0009, &[attribute(0x000c, &[high, low, 0, 0]), peer(last)]))
}

/// A datagram as a Send or Data indication carries it.
fn indicated(act: &Act, last: u8) -> Act {
    wrapped(act, |direction, bytes| {
        let kind = if direction == REQUEST { 0x0016 } else { 0x0017 };
        message(kind, &[peer(last), attribute(0x0013, bytes)])
    })
}

/// The same in a channel.
fn channelled(act: &Act, channel: u16) -> Act {
    wrapped(act, |_, bytes| {
        let len = u16::try_from(bytes.len()).unwrap().to_be_bytes();
        [&channel.to_be_bytes()[..], &len, bytes].concat()
    })
}

fn framed(act: &Act) -> Act {
    wrapped(act, |_, bytes| [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat())
}

fn wrapped(act: &Act, wrap: impl Fn(Direction, &[u8]) -> Vec<u8>) -> Act {
    match act {
        Act::Bytes(direction, bytes) => send(*direction, wrap(*direction, bytes)),
        Act::Missing(..) => act.clone(),
    }
}

fn media(count: u16) -> Vec<Act> {
    let packet = |sequence: u16| {
        let [high, low] = sequence.to_be_bytes();
        send(REQUEST, [&[0x80, 96, high, low, 0, 0, 0, 1, 0, 0, 0, 9][..], &[1; 40]].concat())
    };
    (0..count).map(packet).collect()
}

fn udp(acts: &[Act]) -> Played {
    play(Transport::Udp, 443, acts)
}

fn established(played: &Played) -> bool {
    tls::Session::fold(&played.observations).is_some_and(|session| session.established())
}

fn said(played: &Played, name: &str) -> Vec<String> {
    let properties = played.facts().into_iter().filter_map(|fact| match fact {
        Fact::Property(property) if property.name == name => Some(property.value.clone()),
        _ => None,
    });
    properties.collect()
}

fn judged(played: &Played) -> Option<String> {
    played.facts().iter().find_map(|fact| match fact {
        Fact::Property(property) if property.name == "media" => Some(property.value.clone()),
        _ => None,
    })
}

#[test]
fn dtls_and_its_media_within_indications() {
    let acts: Vec<Act> = handshake().iter().chain(&media(1)).map(|act| indicated(act, 9)).collect();
    let played = udp(&acts);
    assert_eq!(played.layers, ["stun", "dtls", "srtp"]);
    assert!(established(&played) && judged(&played).is_none());
}

#[test]
fn dtls_and_its_media_within_a_channel() {
    let inner: Vec<Act> = handshake().iter().chain(&media(1)).map(|act| channelled(act, 0x4001)).collect();
    let played = udp(&[&[bind(0x4001, 9)][..], &inner].concat());
    assert_eq!(played.layers, ["stun", "dtls", "srtp"]);
    assert!(established(&played));
}

#[test]
fn a_peer_that_changes_to_a_channel_stays_the_same() {
    let (first, second) = (handshake()[..4].to_vec(), handshake()[4..].to_vec());
    let first: Vec<Act> = first.iter().map(|act| indicated(act, 9)).collect();
    let second: Vec<Act> = second.iter().map(|act| channelled(act, 0x4001)).collect();
    assert!(established(&udp(&[&first[..], &[bind(0x4001, 9)], &second].concat())));
    // Another peer's channel is not mixed with it.
    assert!(!established(&udp(&[&first[..], &[bind(0x4001, 8)], &second].concat())));
}

#[test]
fn channels_mean_nothing_without_stun() {
    let acts: Vec<Act> = handshake().iter().map(|act| channelled(act, 0x4001)).collect();
    assert_eq!(udp(&acts).layers, ["unknown"]);
}

#[test]
fn what_is_relayed_and_nobody_knows_is_unknown() {
    let foreign = |count: u8| indicated(&send(REQUEST, [0xc0 | count; 30]), 9);
    assert_eq!(udp(&(0..7).map(foreign).collect::<Vec<_>>()).layers, ["stun"]);
    assert_eq!(udp(&(0..8).map(foreign).collect::<Vec<_>>()).layers, ["stun", "unknown"]);
}

#[test]
fn dtls_within_frames_of_a_stream() {
    let acts: Vec<Act> = [&[binding()][..], &handshake(), &media(1)].concat().iter().map(framed).collect();
    let played = play(Transport::Tcp, 443, &acts);
    assert_eq!(played.layers, ["stun", "dtls", "srtp"]);
    assert!(established(&played));
}

#[test]
fn media_beside_stun_without_a_handshake_is_judged_by_its_bytes() {
    let played = udp(&[&[binding()][..], &media(40)].concat());
    assert_eq!(
        (played.layers.as_slice(), judged(&played).as_deref()),
        (["stun", "rtp"].as_slice(), Some("readable"))
    );
    let played = udp(&[&[binding()][..], &media(4)].concat());
    assert_eq!(judged(&played).as_deref(), Some("undetermined"));
}

#[test]
fn a_handshake_without_use_srtp_keys_no_media() {
    let without = |act: &Act| {
        wrapped(act, |_, bytes| {
            let mut bytes = bytes.to_vec();
            // The extension becomes one that nobody has.
            if let Some(at) = bytes.windows(6).position(|window| window == [0, 14, 0, 5, 0, 2]) {
                bytes[at] = 0xfe;
            }
            bytes
        })
    };
    let acts: Vec<Act> =
        [&[binding()][..], &handshake()].concat().iter().map(without).chain(media(40)).collect();
    let played = udp(&acts);
    assert_eq!(played.layers, ["stun", "dtls", "rtp"]);
    assert!(established(&played));
    assert_eq!(judged(&played).as_deref(), Some("readable"));
}

#[test]
fn zrtp_is_named() {
    let zrtp = [&[0x10, 0, 0, 1][..], b"ZRTP", &[0, 0, 0, 9], &[1; 20]].concat();
    assert_eq!(udp(&[binding(), send(RESPONSE, zrtp)]).layers, ["stun", "zrtp"]);
}

#[test]
fn each_peer_behind_a_relay_is_read_by_itself() {
    let keyed = handshake().into_iter().chain(media(1)).map(|act| indicated(&act, 9));
    let clear = media(40).into_iter().map(|act| indicated(&act, 8));
    for acts in [keyed.clone().chain(clear.clone()).collect::<Vec<_>>(), clear.clone().chain(keyed).collect()]
    {
        let mut played = udp(&acts);
        played.layers.sort_unstable();
        assert_eq!(played.layers, ["dtls", "rtp", "srtp", "stun"]);
        assert!(established(&played));
        assert_eq!(said(&played, "media"), ["readable"]);
    }
}

#[test]
fn a_call_that_moves_keeps_its_keys() {
    // Ciphertext of the moved call: nothing in it comes back.
    let moved = |count: u8| {
        let noise: Vec<u8> = (0..40_u8).map(|at| at.wrapping_mul(73) ^ count.wrapping_mul(151)).collect();
        let packet = [&[0x80, 96, 0, count, 0, 0, 0, 1, 0, 0, 0, 9][..], &noise].concat();
        indicated(&send(REQUEST, packet), 8)
    };
    let keyed = handshake().into_iter().chain(media(1)).map(|act| indicated(&act, 9));
    let played = udp(&keyed.chain((0..40).map(moved)).collect::<Vec<_>>());
    assert_eq!(played.layers, ["stun", "dtls", "srtp"]);
    assert_eq!(said(&played, "media"), [""; 0]);
}

#[test]
fn one_handshake_of_a_relayed_flow_is_told() {
    let one = handshake().into_iter().chain(media(1)).map(|act| indicated(&act, 9));
    let other = handshake().into_iter().chain(media(1)).map(|act| indicated(&act, 8));
    let alone = udp(&one.clone().collect::<Vec<_>>());
    let both = udp(&one.chain(other).collect::<Vec<_>>());
    assert_eq!(said(&both, "untold_dtls"), ["192.0.2.8:40000"]);
    assert_eq!(both.layers, ["stun", "dtls", "srtp"]);
    assert_eq!(both.facts().len(), alone.facts().len() + 1);
}

#[test]
fn peers_beyond_those_that_are_read_are_noted() {
    let peers = |count: u8| -> Vec<Act> { (0..count).map(|last| indicated(&media(1)[0], last)).collect() };
    assert_eq!(said(&udp(&peers(4)), "unread_peers"), [""; 0]);
    assert_eq!(said(&udp(&peers(5)), "unread_peers"), ["beyond 4"]);
}
