//! Handshakes and first commands, whole and in pieces.

use proptest::prelude::*;

use super::digest;
use crate::decode::Transport;
use crate::protocol::Fact;
use crate::protocol::script::{Act, Played, REQUEST, RESPONSE, cut, play, send, sizes};

fn tcp(acts: &[Act]) -> Played {
    play(Transport::Tcp, 1935, acts)
}

fn said(played: &Played) -> Vec<String> {
    let word = |fact: &&Fact| match fact {
        Fact::Property(fact) => Some(format!("{}={}", fact.name, fact.value)),
        Fact::Login(fact) => Some(format!("{} {:?}", fact.mechanism, fact.exposure)),
        _ => None,
    };
    played.facts().iter().filter_map(word).collect()
}

fn random(seed: u32) -> Vec<u8> {
    let mut state = seed;
    (0..1536)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state.to_le_bytes()[1]
        })
        .collect()
}

/// A first packet with four zeros.
fn plain() -> Vec<u8> {
    let mut packet = random(7);
    packet.splice(4..8, [0; 4]);
    packet
}

fn string(text: &str) -> Vec<u8> {
    [&u16::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat()
}

fn connect(app: &str, url: &str) -> Vec<u8> {
    let member = |name: &str, value: &str| [string(name), vec![2], string(value)].concat();
    [
        &[2][..],
        &string("connect"),
        &[0, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0],
        &[3],
        &member("app", app),
        &string("fpad"),
        &[1, 0],
        &member("flashVer", "LNX 9,0,124,2"),
        &member("tcUrl", url),
        &[0, 0, 9],
    ]
    .concat()
}

/// A message on chunk stream 3, in chunks of 128 bytes.
fn chunks(kind: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let mut bytes = [&[3, 0, 0, 0][..], &length[1..], &[kind, 0, 0, 0, 0]].concat();
    for (index, piece) in message.chunks(128).enumerate() {
        if index > 0 {
            bytes.push(0xc3);
        }
        bytes.extend_from_slice(piece);
    }
    bytes
}

fn session(first: &[u8], app: &str, url: &str) -> Vec<Act> {
    let publish = [&[2][..], &string("publish"), &[0; 9], &[5, 2], &string("not-a-secret")].concat();
    vec![
        send(REQUEST, [&[3][..], first].concat()),
        send(RESPONSE, [&[3][..], &random(9), first].concat()),
        send(REQUEST, random(9)),
        send(REQUEST, chunks(20, &connect(app, url))),
        send(RESPONSE, b"\x02\0\0\0\0\0\x04\x05\0\0\0\0\0\x4c\x4b\x40"),
        // The size of chunks, and a command in one of the new size behind it.
        send(REQUEST, [&b"\x02\0\0\0\0\0\x04\x01\0\0\0\0\0\0\x10\0"[..], &chunks(20, &publish)].concat()),
    ]
}

const URL: &str = "rtmp://Live.shop.test:1935/live";

#[test]
fn a_session_is_told_without_its_streams_name() {
    for first in
        [plain(), digest::signed(0, [9, 0, 124, 2], random(3)), digest::signed(1, [128, 0, 7, 2], random(5))]
    {
        let played = tcp(&session(&first, "live", URL));
        assert_eq!(played.layers, ["rtmp"]);
        let expected =
            ["version=3", "app=live", "client=LNX 9,0,124,2", "host=live.shop.test:1935", "command=publish"];
        assert_eq!(said(&played), expected);
        assert!(!played.said().contains("not-a-secret"));
    }
}

#[test]
fn logins_are_told() {
    let login = |app, url| {
        said(&tcp(&session(&plain(), app, url)))
            .into_iter()
            .filter(|said| !said.contains('='))
            .collect::<Vec<_>>()
    };
    assert_eq!(login("live?authmod=adobe&user=anna", URL), Vec::<String>::new());
    assert_eq!(login("live?authmod=adobe&user=anna&challenge=a&response=b", URL), ["adobe Response"]);
    assert_eq!(login("live", "rtmp://anna:swordfish@shop.test/live"), ["tcUrl Secret"]);
}

#[test]
fn rtmpe_is_opaque_and_only_named() {
    let first = [&[6][..], &digest::signed(0, [128, 0, 3, 2], random(11))].concat();
    let played = tcp(&[send(REQUEST, first), send(RESPONSE, [&[6][..], &random(2)].concat())]);
    assert_eq!(
        (played.layers.as_slice(), said(&played)),
        (["rtmpe"].as_slice(), vec!["version=6".to_owned()])
    );
}

#[test]
fn what_is_no_handshake_is_not_claimed() {
    let mut structured = plain();
    structured[8..].fill(0);
    let wrong_digest = {
        let mut packet = digest::signed(0, [9, 0, 124, 2], random(3));
        packet[1500] ^= 1;
        packet
    };
    let noise = random(21);
    for first in [structured, wrong_digest, noise] {
        let played = tcp(&[
            send(REQUEST, [&[3][..], &first].concat()),
            send(RESPONSE, [&[3][..], &random(1)].concat()),
        ]);
        assert_eq!(played.layers, ["unknown"]);
    }
    // A packet of TPKT, as RDP and its kin send.
    let tpkt = b"\x03\0\0\x16\x11\xe0\0\0\0\x01\0\xc1\x02\x01\0\xc2\x02\x01\x02\xc0\x01\x0a";
    assert_eq!(tcp(&[send(REQUEST, tpkt), send(RESPONSE, tpkt)]).layers, ["unknown"]);
    // The server answers something else.
    let played = tcp(&[
        send(REQUEST, [&[3][..], &plain()[..500]].concat()),
        send(RESPONSE, "HTTP/1.1 400 Bad Request\r\n\r\n"),
    ]);
    assert!(!played.layers.contains(&"rtmp"), "{:?}", played.layers);
}

proptest! {
    #[test]
    fn any_split_says_the_same(sizes in sizes()) {
        let whole = session(&plain(), "live", URL);
        prop_assert_eq!(tcp(&cut(&whole, &sizes)).said(), tcp(&whole).said());
    }

    #[test]
    fn no_chunks_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut acts = session(&plain(), "live", URL);
        acts.truncate(3);
        acts.push(send(REQUEST, bytes));
        tcp(&acts);
    }
}
