//! Associations, from their datagrams to facts.

use proptest::prelude::*;

use crate::decode::Transport;
use crate::protocol::Fact;
use crate::protocol::script::{Act, Played, REQUEST, RESPONSE, play, send};
use crate::protocol::tls;

const VERSION: [u8; 2] = [0xfe, 0xfd];

fn record(content: u8, epoch: u8, sequence: u8, body: &[u8]) -> Vec<u8> {
    let len = u16::try_from(body.len()).unwrap().to_be_bytes();
    [&[content][..], &VERSION, &[0, epoch], &[0, 0, 0, 0, 0, sequence], &len, body].concat()
}

fn u24(value: usize) -> [u8; 3] {
    let [_, rest @ ..] = u32::try_from(value).unwrap().to_be_bytes();
    rest
}

/// A handshake record with `range` of a message.
fn piece(kind: u8, seq: u8, message: &[u8], range: std::ops::Range<usize>) -> Vec<u8> {
    let (len, offset) = (u24(message.len()), u24(range.start));
    let bytes = &message[range];
    let fragment = [&[kind][..], &len, &[0, seq], &offset, &u24(bytes.len()), bytes].concat();
    record(22, 0, seq, &fragment)
}

fn whole(kind: u8, seq: u8, message: &[u8]) -> Vec<u8> {
    piece(kind, seq, message, 0..message.len())
}

/// A ClientHello with `cookie` that offers one suite and use_srtp.
fn client_hello(cookie: &[u8]) -> Vec<u8> {
    let mut hello = [&VERSION[..], &[7; 32], &[0, u8::try_from(cookie.len()).unwrap()], cookie].concat();
    hello.extend_from_slice(&[0, 2, 0xc0, 0x2b, 1, 0, 0, 9, 0, 14, 0, 5, 0, 2, 0, 1, 0]);
    hello
}

fn server_hello() -> Vec<u8> {
    let mut hello = [&VERSION[..], &[9; 32], &[0, 0xc0, 0x2b, 0]].concat();
    hello.extend_from_slice(&[0, 9, 0, 14, 0, 5, 0, 2, 0, 1, 0]);
    hello
}

const CERTIFICATE: [u8; 40] = {
    let mut body = [0x30; 40];
    body[0] = 0;
    body[1] = 0;
    body[2] = 37;
    body[3] = 0;
    body[4] = 0;
    body[5] = 34;
    body
};

/// The handshake up to both sides' Finished.
pub(in crate::protocol) fn handshake() -> Vec<Act> {
    let finished = [record(20, 0, 5, &[1]), record(22, 1, 0, &[3; 40])].concat();
    vec![
        send(REQUEST, whole(1, 0, &client_hello(&[]))),
        send(RESPONSE, whole(3, 0, &[0xfe, 0xff, 2, 5, 5])),
        send(REQUEST, whole(1, 1, &client_hello(&[5, 5]))),
        send(RESPONSE, whole(2, 1, &server_hello())),
        send(RESPONSE, piece(11, 2, &CERTIFICATE, 0..17)),
        send(RESPONSE, [piece(11, 2, &CERTIFICATE, 17..40), whole(14, 3, &[])].concat()),
        send(REQUEST, [whole(16, 2, &[1, 2, 3]), finished.clone()].concat()),
        send(RESPONSE, finished),
    ]
}

fn data() -> [Act; 2] {
    [send(REQUEST, record(23, 1, 1, &[4; 30])), send(RESPONSE, record(23, 1, 1, &[4; 50]))]
}

fn udp(acts: &[Act]) -> Played {
    play(Transport::Udp, 443, acts)
}

fn session(played: &Played) -> Box<tls::Session> {
    tls::Session::fold(&played.observations).unwrap()
}

fn hellos(played: &Played) -> usize {
    let hello = |fact: &&&Fact| matches!(fact, Fact::Tls(tls::Fact::ClientHello(_)));
    played.facts().iter().filter(hello).count()
}

#[test]
fn a_handshake_with_a_cookie() {
    let played = udp(&[&handshake()[..], &data()].concat());
    assert_eq!((played.layers.as_slice(), played.done), (["dtls"].as_slice(), Some(10)));
    let session = session(&played);
    assert!(session.established());
    assert_eq!(session.version(), Some(tls::TlsVersion::DTLS_1_2));
    assert_eq!(session.server_chain.as_ref().map(|chain| (chain.frame, chain.value.len())), Some((6, 1)));
    assert_eq!((hellos(&played), session.handshake_gap), (2, false));
    let hello = &session.client_hello.as_ref().unwrap().value;
    assert!(hello.ja4.starts_with("dd2i0101"), "{}", hello.ja4);
    assert_eq!(session.client_certificate(), tls::ClientCertificate::NotRequested);
}

#[test]
fn what_is_sent_again_is_said_once() {
    let once = udp(&[&handshake()[..], &data()].concat());
    let twice: Vec<Act> = handshake().into_iter().flat_map(|act| [act.clone(), act]).chain(data()).collect();
    assert_eq!(udp(&twice).said(), once.said());
}

#[test]
fn fragments_that_are_missing_are_a_gap() {
    let mut acts = handshake();
    acts.remove(4);
    let session = session(&udp(&[&acts[..], &data()].concat()));
    assert!(session.handshake_gap && session.server_chain.is_none() && session.server_hello_done.is_some());
}

#[test]
fn the_middle_of_an_association_is_recognised() {
    let played = udp(&data());
    assert_eq!(played.layers, ["dtls"]);
    assert_eq!(session(&played).midstream.as_ref().map(|seen| seen.value), Some(tls::TlsVersion::DTLS_1_2));
}

#[test]
fn what_only_looks_like_dtls_is_not_claimed() {
    for bytes in [
        // A record of TLS, a version that nobody has, a record that is longer than the datagram, a fragment beyond its
        // message, and bytes behind the last record.
        record(22, 0, 0, &[1; 20]),
        [&[23, 3, 3, 0, 1, 0, 0, 0, 0, 0, 0, 0, 20][..], &[1; 20]].concat(),
        record(23, 1, 0, &[1; 20])[..30].to_vec(),
        piece(1, 0, &client_hello(&[]), 0..9)[..20].to_vec(),
        [record(23, 1, 0, &[1; 20]), vec![1, 2, 3]].concat(),
    ] {
        assert_eq!(udp(&[send(REQUEST, &bytes)]).layers, ["unknown"], "{bytes:?}");
    }
}

#[test]
fn versions_of_long_ago_and_capwap_are_dtls() {
    let mut old = whole(1, 0, &[&[1, 0][..], &client_hello(&[])[2..]].concat());
    (old[1], old[2]) = (1, 0);
    let played = udp(&[send(REQUEST, &old)]);
    assert_eq!(played.layers, ["dtls"]);
    let hello = session(&played).client_hello.unwrap().value;
    assert_eq!(hello.offered_versions(), [tls::TlsVersion::DTLS_0_9]);
    let capwap = [&[1, 0, 0, 0][..], &whole(1, 0, &client_hello(&[]))].concat();
    assert_eq!(udp(&[send(REQUEST, capwap)]).layers, ["dtls"]);
}

#[test]
fn dtls_1_3_tells_handshake_from_data_by_its_epoch() {
    let versions = [0, 43, 0, 2, 0xfe, 0xfc];
    let mut hello = client_hello(&[]);
    let end = hello.len() - 11;
    hello.truncate(end);
    hello.extend_from_slice(&[0, 7, 0, 43, 0, 3, 2, 0xfe, 0xfc]);
    let mut answer = [&VERSION[..], &[9; 32], &[0, 0x13, 0x01, 0, 0, 6]].concat();
    answer.extend_from_slice(&versions);
    let unified = |epoch: u8, len: u8| {
        let mut bytes = vec![0b0010_1100 | epoch, 1, 2, 0, len];
        bytes.resize(5 + usize::from(len), 7);
        bytes
    };
    let mut acts = vec![
        send(REQUEST, whole(1, 0, &hello)),
        send(RESPONSE, [whole(2, 0, &answer), unified(2, 200)].concat()),
        // An ACK, and then Finished.
        send(REQUEST, unified(2, 35)),
    ];
    assert!(!session(&udp(&acts)).established());
    // A certificate and Finished may have the length that an ACK of nine records would have.
    let flight = send(REQUEST, unified(2, 19 + 9 * 16));
    assert!(session(&udp(&[&acts[..], &[flight]].concat())).established());
    acts.push(send(REQUEST, unified(2, 61)));
    acts.push(send(RESPONSE, unified(3, 35)));
    let shaken = session(&udp(&acts));
    assert_eq!(shaken.version(), Some(tls::TlsVersion::DTLS_1_3));
    assert!(shaken.established() && shaken.server_data.is_none());
    assert_eq!((shaken.client_finished, shaken.server_finished), (Some(4), Some(2)));
    acts.extend([send(REQUEST, unified(3, 40)), send(RESPONSE, unified(3, 90))]);
    let played = udp(&acts);
    assert_eq!(
        (played.done, session(&played).client_data, session(&played).server_data),
        (Some(7), Some(6), Some(7))
    );
}

#[test]
fn media_that_the_handshake_keyed_is_srtp() {
    let stun = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[1; 12]].concat();
    let media = send(REQUEST, [&[0x80, 96, 0, 1, 0, 0, 0, 1, 0, 0, 0, 9][..], &[1; 40]].concat());
    let mut acts = [&[send(REQUEST, stun)][..], &handshake()].concat();
    // Before the handshake is over, nothing is known of it.
    acts.insert(8, media.clone());
    let played = udp(&[&acts[..], &[media]].concat());
    assert_eq!((played.layers.as_slice(), played.done), (["stun", "dtls", "srtp"].as_slice(), Some(11)));
}

proptest! {
    #[test]
    fn any_order_within_a_flight_gives_the_same_session(
        cuts in proptest::collection::vec(1..39_usize, 0..6),
        order in proptest::collection::vec(any::<prop::sample::Index>(), 12),
    ) {
        let mut ends: Vec<usize> = cuts.into_iter().chain([0, 40]).collect();
        ends.sort_unstable();
        ends.dedup();
        let mut flight: Vec<Act> =
            ends.windows(2).map(|ends| send(RESPONSE, piece(11, 2, &CERTIFICATE, ends[0]..ends[1]))).collect();
        flight.push(send(RESPONSE, whole(2, 1, &server_hello())));
        flight.push(send(RESPONSE, whole(14, 3, &[])));
        let len = flight.len();
        for (index, with) in order.iter().enumerate() {
            flight.swap(index % len, with.index(len));
        }
        let plain = handshake();
        let acts = [&plain[..3], &flight, &plain[6..], &data()].concat();
        prop_assert_eq!(udp(&acts).said(), udp(&[&plain[..], &data()].concat()).said());
    }

    #[test]
    fn any_datagrams_are_read_without_a_panic(
        datagrams in proptest::collection::vec((any::<bool>(), 0..4_usize, proptest::collection::vec(any::<u8>(), 0..80)), 0..20),
    ) {
        let acts: Vec<Act> = std::iter::once(send(REQUEST, whole(1, 0, &client_hello(&[]))))
            .chain(datagrams.into_iter().map(|(request, shape, bytes)| {
                let bytes = match shape {
                    0 => bytes,
                    1 => record(22, 0, 0, &bytes),
                    2 => whole(11, 1, &bytes),
                    _ => record(22, 1, 0, &bytes),
                };
                send(if request { REQUEST } else { RESPONSE }, bytes)
            }))
            .collect();
        prop_assert_eq!(udp(&acts).layers[0], "dtls");
    }
}
