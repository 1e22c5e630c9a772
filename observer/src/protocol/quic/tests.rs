//! Connections from made packets: what real clients and servers send lies in the captures.

use proptest::prelude::*;

use super::keys::Keys;
use super::{Connection, Version};
use crate::decode::Transport;
use crate::protocol::script::{Act, Played, REQUEST, RESPONSE, play, send};
use crate::protocol::tls::{ClientCertificate, HandshakePacket, Role, Session};

const CLIENT: &[u8] = b"client-id";
const SERVER: &[u8] = b"server-id-1";
const FIRST: &[u8] = b"first-one";

/// The random of a HelloRetryRequest (RFC 9846 §4.2.3).
const HELLO_RETRY_REQUEST: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
    0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// A ClientHello of TLS 1.3 for shop.test that offers h3, or a ServerHello.
fn hello(from: Role, padding: usize) -> Vec<u8> {
    let extension =
        |kind: u16, content: &[u8]| [&kind.to_be_bytes()[..], &two(content.len()), content].concat();
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.push(0);
    let extensions = match from {
        Role::Client => {
            body.extend([0, 2, 0x13, 0x01, 1, 0]);
            [
                extension(0, b"\0\x0c\0\0\x09shop.test"),
                extension(43, &[2, 3, 4]),
                extension(16, b"\0\x03\x02h3"),
                extension(21, &vec![0; padding]),
            ]
            .concat()
        }
        Role::Server => {
            body.extend([0x13, 0x01, 0]);
            [extension(43, &[3, 4]), extension(51, &[0, 29, 0, 1, 9])].concat()
        }
    };
    body.extend(two(extensions.len()));
    body.extend(extensions);
    let kind = if from == Role::Client { 1 } else { 2 };
    [&[kind, 0][..], &two(body.len()), &body].concat()
}

fn two(value: usize) -> [u8; 2] {
    u16::try_from(value).unwrap().to_be_bytes()
}

/// A number of two bytes.
fn varint(value: usize) -> [u8; 2] {
    u16::try_from(value | 0x4000).unwrap().to_be_bytes()
}

fn crypto(offset: usize, bytes: &[u8]) -> Vec<u8> {
    [&[6][..], &varint(offset), &varint(bytes.len()), bytes].concat()
}

/// Makes the packets of a connection whose keys follow from a connection id.
struct Peer {
    version: Version,
    keys: Keys,
    number: u32,
}

impl Peer {
    fn new(version: Version, first: &[u8]) -> Self {
        Self { version, keys: Keys::derive(version.schemes().next().unwrap(), first).unwrap(), number: 0 }
    }

    fn long(&self, kind: u8, destination: &[u8], source: &[u8]) -> Vec<u8> {
        let kind = if self.version == Version::V2 { (kind + 1) & 3 } else { kind };
        let mut bytes = vec![0xc3 | kind << 4];
        bytes.extend(self.version.0.to_be_bytes());
        for cid in [destination, source] {
            bytes.push(u8::try_from(cid.len()).unwrap());
            bytes.extend(cid);
        }
        bytes
    }

    fn initial(&mut self, from: Role, destination: &[u8], token: &[u8], frames: &[u8]) -> Vec<u8> {
        let source = if from == Role::Client { CLIENT } else { SERVER };
        let mut frames = frames.to_vec();
        frames.resize(frames.len().max(1180), 0);
        let mut header = self.long(0, destination, source);
        header.extend(varint(token.len()));
        header.extend(token);
        header.extend(varint(frames.len() + 4 + 16));
        header.extend(self.number.to_be_bytes());
        self.number += 1;
        self.keys.seal(from, &header, &frames)
    }

    fn handshake(&self, from: Role, len: usize) -> Vec<u8> {
        let (destination, source) = if from == Role::Client { (SERVER, CLIENT) } else { (CLIENT, SERVER) };
        let mut packet = self.long(2, destination, source);
        packet.extend(varint(len));
        packet.extend(vec![0x5a; len]);
        packet
    }
}

fn short(destination: &[u8], len: usize) -> Vec<u8> {
    [&[0x4b][..], destination, &vec![0x33; len]].concat()
}

fn udp(acts: &[Act]) -> Played {
    play(Transport::Udp, 443, acts)
}

fn session(played: &Played) -> Box<Session> {
    Session::fold(&played.observations).unwrap()
}

fn connection(played: &Played) -> Connection {
    Connection::fold(&played.observations).unwrap()
}

/// A whole handshake.
fn whole(version: Version) -> Vec<Act> {
    let mut peer = Peer::new(version, FIRST);
    let client = peer.initial(Role::Client, FIRST, &[], &crypto(0, &hello(Role::Client, 9)));
    let server = peer.initial(Role::Server, CLIENT, &[], &crypto(0, &hello(Role::Server, 0)));
    vec![
        send(REQUEST, client),
        send(RESPONSE, [server, peer.handshake(Role::Server, 60)].concat()),
        send(RESPONSE, peer.handshake(Role::Server, 900)),
        send(REQUEST, [peer.handshake(Role::Client, 64), short(SERVER, 40)].concat()),
        send(RESPONSE, short(CLIENT, 40)),
        send(REQUEST, short(SERVER, 200)),
        send(RESPONSE, short(CLIENT, 900)),
        send(RESPONSE, short(CLIENT, 900)),
    ]
}

#[test]
fn a_handshake_is_read_and_the_rest_is_counted() {
    for version in [1, 0x6b33_43cf, 0xff00_001d, 0xff00_0016, 0xface_b002, 0x2a3a_4a5a] {
        let version = Version(version);
        let played = udp(&whole(version));
        let tls = session(&played);
        assert_eq!(played.layers, ["quic"], "{version}");
        assert_eq!(tls.client_hello.as_ref().unwrap().value.server_name.as_deref(), Some("shop.test"));
        assert!(tls.client_hello.as_ref().unwrap().value.ja4.starts_with("q13d"));
        assert!(tls.version().unwrap().is_tls13() && tls.established());
        assert_eq!((tls.server_finished, tls.client_data, tls.server_data), (Some(4), Some(6), Some(7)));
        assert_eq!(tls.client_certificate(), ClientCertificate::NotSent);
        assert_eq!(played.done, Some(7));
        assert_eq!(connection(&played), Connection { version: Some(version), ..Connection::default() });
    }
}

/// As quic-go's client does: the server has issued it another id before its handshake is over.
#[test]
fn a_client_may_change_its_id_within_the_handshake() {
    const OTHER: &[u8] = b"server-id-2";
    let mut acts = whole(Version::V1);
    let mut handshake = Peer::new(Version::V1, FIRST).long(2, OTHER, CLIENT);
    handshake.extend(varint(64));
    handshake.extend([0x5a; 64]);
    acts[3] = send(REQUEST, [handshake, short(OTHER, 40)].concat());
    acts[5] = send(REQUEST, short(OTHER, 200));
    let played = udp(&acts);
    let tls = session(&played);
    assert!(tls.established());
    assert_eq!((tls.server_finished, tls.client_data, tls.server_data), (Some(4), Some(6), Some(7)));
    // An id that occurs nowhere else is not the client's.
    acts[3] = send(REQUEST, short(OTHER, 40));
    assert!(!session(&udp(&acts)).established());
}

#[test]
fn the_client_is_who_sent_the_hello() {
    let turned: Vec<_> = whole(Version::V1)
        .into_iter()
        .map(|act| match act {
            Act::Bytes(direction, bytes) => Act::Bytes(direction.reverse(), bytes),
            other => other,
        })
        .collect();
    let played = udp(&turned);
    assert_eq!(session(&played).client_direction, Some(RESPONSE));
    assert!(session(&played).established());
}

#[test]
fn the_server_s_hello_may_come_first() {
    let mut acts = whole(Version::V1);
    acts.swap(0, 1);
    let tls = session(&udp(&acts));
    assert_eq!(tls.server_hello.as_ref().unwrap().frame, 1);
    assert!(tls.established());
}

#[test]
fn without_the_hello_nothing_is_made_up() {
    let acts = whole(Version::V1).split_off(2);
    let played = udp(&acts);
    assert_eq!(played.layers, ["quic"]);
    assert!(Session::fold(&played.observations).is_none());
    assert_eq!(connection(&played).version, Some(Version::V1));
}

#[test]
fn a_retry_leads_to_other_keys() {
    let hello = hello(Role::Client, 9);
    let mut before = Peer::new(Version::V1, FIRST);
    let mut after = Peer::new(Version::V1, b"from-retry");
    let mut retry = before.long(3, CLIENT, b"from-retry");
    retry.extend([7; 40]);
    let acts = [
        // A half of the hello before, all of it after.
        send(REQUEST, before.initial(Role::Client, FIRST, &[], &crypto(0, &hello[..50]))),
        send(RESPONSE, retry),
        send(REQUEST, after.initial(Role::Client, b"from-retry", &[7; 24], &crypto(0, &hello))),
        send(RESPONSE, after.initial(Role::Server, CLIENT, &[], &crypto(0, &self::hello(Role::Server, 0)))),
    ];
    let played = udp(&acts);
    assert!(session(&played).server_hello.is_some());
    // The tag is not that of an answer to this client.
    assert!(played.said().contains("Retry { valid: Some(false) }"));
    let expected = Connection { version: Some(Version::V1), token: true, ..Connection::default() };
    assert_eq!(connection(&played), expected);
}

#[test]
fn versions_are_negotiated() {
    let grease = Version(0x1a2a_3a4a);
    let mut first = Peer::new(grease, FIRST);
    let mut second = Peer::new(Version::V2, b"second-one");
    let mut negotiation = vec![0x80, 0, 0, 0, 0, 9];
    negotiation.extend(CLIENT);
    negotiation.push(9);
    negotiation.extend(FIRST);
    negotiation.extend([0, 0, 0, 1, 0x6b, 0x33, 0x43, 0xcf]);
    let acts = [
        send(REQUEST, first.initial(Role::Client, FIRST, &[], &crypto(0, &hello(Role::Client, 9)))),
        send(RESPONSE, negotiation),
        send(REQUEST, second.initial(Role::Client, b"second-one", &[], &crypto(0, &hello(Role::Client, 5)))),
        send(RESPONSE, second.initial(Role::Server, CLIENT, &[], &crypto(0, &hello(Role::Server, 0)))),
    ];
    let played = udp(&acts);
    assert!(session(&played).server_hello.is_some());
    let expected = Connection {
        version: Some(Version::V2),
        first_version: Some(grease),
        offered_versions: vec![Version::V1, Version::V2],
        ..Connection::default()
    };
    assert_eq!(connection(&played), expected);
}

#[test]
fn the_server_may_answer_in_another_version() {
    let mut client = Peer::new(Version::V1, FIRST);
    let mut server = Peer::new(Version::V2, FIRST);
    let acts = [
        send(REQUEST, client.initial(Role::Client, FIRST, &[], &crypto(0, &hello(Role::Client, 9)))),
        send(RESPONSE, server.initial(Role::Server, CLIENT, &[], &crypto(0, &hello(Role::Server, 0)))),
    ];
    let played = udp(&acts);
    assert!(session(&played).server_hello.is_some());
    assert_eq!(connection(&played).first_version, Some(Version::V1));
    assert_eq!(connection(&played).version, Some(Version::V2));
}

#[test]
fn a_second_hello_follows_a_hello_retry_request() {
    let (first, second, answer) = (hello(Role::Client, 9), hello(Role::Client, 50), hello(Role::Server, 0));
    let mut request = answer.clone();
    request[6..38].copy_from_slice(&HELLO_RETRY_REQUEST);
    let mut peer = Peer::new(Version::V1, FIRST);
    let acts = [
        send(REQUEST, peer.initial(Role::Client, FIRST, &[], &crypto(0, &first))),
        send(RESPONSE, peer.initial(Role::Server, CLIENT, &[], &crypto(0, &request))),
        send(REQUEST, peer.initial(Role::Client, SERVER, &[], &crypto(first.len(), &second))),
        send(RESPONSE, peer.initial(Role::Server, CLIENT, &[], &crypto(request.len(), &answer))),
        // What a server has no business to say in the clear.
        send(RESPONSE, peer.initial(Role::Server, CLIENT, &[], &crypto(2 * answer.len(), &answer))),
    ];
    let played = udp(&acts);
    let tls = session(&played);
    assert_eq!(tls.hello_retry_request.as_ref().map(|seen| seen.frame), Some(2));
    assert_eq!(tls.server_hello.as_ref().map(|seen| seen.frame), Some(4));
    assert!(tls.renegotiation.is_none());
    assert_eq!(played.said().matches("ServerHello(ServerHello").count(), 1);
}

#[test]
fn a_close_names_the_alert() {
    let mut peer = Peer::new(Version::V1, FIRST);
    let close = [0x1c, 0x41, 0x2a, 6, 3, b'b', b'a', b'd'];
    let acts = [
        send(REQUEST, peer.initial(Role::Client, FIRST, &[], &crypto(0, &hello(Role::Client, 9)))),
        send(REQUEST, peer.initial(Role::Client, FIRST, &[], &close)),
    ];
    let played = udp(&acts);
    let alert = session(&played).alerts.first().unwrap().value;
    assert_eq!((alert.from, alert.description_name()), (Role::Client, Some("bad_certificate")));
    let close = connection(&played).close.unwrap();
    assert_eq!((close.frame, close.value.alert(), close.value.reason.as_str()), (2, Some(42), "bad"));
    assert!(!session(&played).established());
}

#[test]
fn a_refusal_is_not_established() {
    // Handshake packets of the client alone: acknowledgements and a close.
    let mut acts = whole(Version::V1);
    acts.truncate(3);
    let peer = Peer::new(Version::V1, FIRST);
    acts.push(send(REQUEST, peer.handshake(Role::Client, 60)));
    let played = udp(&acts);
    assert!(!session(&played).established() && session(&played).client_finished.is_none());
    assert_eq!(*session(&played).client_packets, [HandshakePacket { len: 60, padded: false }]);
}

#[test]
fn other_datagrams_are_not_claimed() {
    let query = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x04test\0\0\x01\0\x01";
    assert_eq!(udp(&[send(REQUEST, query)]).layers, ["dns"]);
    let mut unknown = Peer::new(Version(0x0102_0304), FIRST);
    let datagram = unknown.initial(Role::Client, FIRST, &[], &crypto(0, &hello(Role::Client, 9)));
    // Of a version that nobody knows, but the tag fits; it does not; cut; with another length.
    assert_eq!(udp(&[send(REQUEST, &datagram)]).layers, ["quic"]);
    let mut other = datagram.clone();
    other[900] ^= 1;
    assert_eq!(udp(&[send(REQUEST, other)]).layers, ["unknown"]);
    assert_eq!(udp(&[send(REQUEST, &datagram[..datagram.len() - 1])]).layers, ["unknown"]);
    let mut longer = datagram.clone();
    longer.push(7);
    assert_eq!(udp(&[send(REQUEST, longer)]).layers, ["unknown"]);
    assert_eq!(udp(&[send(REQUEST, short(SERVER, 40))]).layers, ["unknown"]);
}

proptest! {
    #[test]
    fn any_cut_of_the_hello_gives_the_same(
        padding in 0_usize..3000,
        cuts in prop::collection::vec((1_usize..700, any::<u16>()), 1..12),
        again in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let hello = hello(Role::Client, padding);
        // Pieces of any size, in any order, some of them again and longer than before.
        let mut pieces = Vec::new();
        let mut from = 0;
        for (size, order) in cuts.iter().cycle() {
            if from >= hello.len() {
                break;
            }
            let to = (from + size).min(hello.len());
            pieces.push((*order, from, to));
            from = to;
        }
        for index in again {
            let (order, from, to) = *index.get(&pieces);
            pieces.push((order.wrapping_mul(7), from.saturating_sub(30), (to + 50).min(hello.len())));
        }
        pieces.sort_unstable();
        let mut peer = Peer::new(Version::V1, FIRST);
        let mut acts = Vec::new();
        // No more datagrams than are read.
        for some in pieces.chunks(pieces.len().div_ceil(60)) {
            let frames = some.iter().flat_map(|(_, from, to)| crypto(*from, &hello[*from..*to]));
            acts.push(send(REQUEST, peer.initial(Role::Client, FIRST, &[], &frames.collect::<Vec<_>>())));
        }
        let whole = udp(&[send(REQUEST, Peer::new(Version::V1, FIRST).initial(Role::Client, FIRST, &[], &crypto(0, &hello)))]);
        prop_assert_eq!(udp(&acts).said(), whole.said());
    }

    #[test]
    fn nothing_that_comes_panics(
        datagrams in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..80)), 0..6),
        damage in prop::collection::vec((0_usize..6, any::<prop::sample::Index>(), any::<u8>()), 0..8),
    ) {
        let mut acts = whole(Version::V1);
        for (act, place, value) in damage {
            if let Some(Act::Bytes(_, bytes)) = acts.get_mut(act) {
                let place = place.index(bytes.len());
                bytes[place] = value;
            }
        }
        for (request, bytes) in datagrams {
            acts.push(send(if request { REQUEST } else { RESPONSE }, [&[0xc1, 0, 0, 0, 1][..], &bytes].concat()));
        }
        udp(&acts);
    }
}
