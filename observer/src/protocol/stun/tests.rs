//! Messages over datagrams and streams, and what they say.

use proptest::prelude::*;

use super::message::{ChannelData, Message};
use crate::decode::Transport;
use crate::protocol::Fact;
use crate::protocol::login::Exposure;
use crate::protocol::script::{Act, Played, REQUEST, RESPONSE, cut, play, send, sizes};

/// RFC 5769 §2.2: the answer to a Binding request, with its address hidden.
const ANSWER: &[u8] = b"\x01\x01\x00\x3c\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
\x80\x22\x00\x0b\x74\x65\x73\x74\x20\x76\x65\x63\x74\x6f\x72\x20\
\x00\x20\x00\x08\x00\x01\xa1\x47\xe1\x12\xa6\x43\
\x00\x08\x00\x14\x2b\x91\xf5\x99\xfd\x9e\x90\xc3\x8c\x74\x89\xf9\x2a\xf9\xba\x53\xf0\x6b\xe7\xd7\
\x80\x28\x00\x04\xc0\x7d\x4c\x96";

/// RFC 5769 §2.3: the same with an address of IPv6.
const ANSWER_V6: &[u8] = b"\x01\x01\x00\x48\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
\x80\x22\x00\x0b\x74\x65\x73\x74\x20\x76\x65\x63\x74\x6f\x72\x20\
\x00\x20\x00\x14\x00\x02\xa1\x47\x01\x13\xa9\xfa\xa5\xd3\xf1\x79\xbc\x25\xf4\xb5\xbe\xd2\xb9\xd9\
\x00\x08\x00\x14\xa3\x82\x95\x4e\x4b\xe6\x7b\xf1\x17\x84\xc9\x7c\x82\x92\xc2\x75\xbf\xe3\xed\x41\
\x80\x28\x00\x04\xc8\xfb\x0b\x4c";

const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let len = u16::try_from(value.len()).unwrap().to_be_bytes();
    let mut bytes = [&kind.to_be_bytes()[..], &len, value].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn message(kind: u16, start: [u8; 4], attributes: &[Vec<u8>]) -> Vec<u8> {
    let attributes = attributes.concat();
    let len = u16::try_from(attributes.len()).unwrap().to_be_bytes();
    [&kind.to_be_bytes()[..], &len, &start, &[7; 12], &attributes].concat()
}

/// An Allocate request with a long-term credential.
fn allocate() -> Vec<u8> {
    allocate_as(b"alice")
}

fn allocate_as(name: &[u8]) -> Vec<u8> {
    let credential = [
        attribute(0x0006, name),
        attribute(0x0014, b"example.test"),
        attribute(0x0015, b"nonce"),
        attribute(0x0008, &[3; 20]),
    ];
    message(0x0003, COOKIE, &credential)
}

fn framed(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

fn udp(bytes: &[u8]) -> Played {
    play(Transport::Udp, 443, &[send(REQUEST, bytes)])
}

fn tcp(acts: &[Act]) -> Played {
    play(Transport::Tcp, 443, acts)
}

fn values(played: &Played, name: &str) -> Vec<String> {
    let value = |fact: &&Fact| match fact {
        Fact::Property(property) if property.name == name => Some(property.value.clone()),
        _ => None,
    };
    played.facts().iter().filter_map(value).collect()
}

fn logins(played: &Played) -> usize {
    let login = |fact: &&&Fact| matches!(fact, Fact::Login(login) if login.exposure == Exposure::Response);
    played.facts().iter().filter(login).count()
}

#[test]
fn addresses_are_what_the_rfc_hides_in_them() {
    let played = udp(ANSWER);
    assert_eq!(played.layers, ["stun"]);
    assert_eq!(values(&played, "mapped_address"), ["192.0.2.1:32853"]);
    assert_eq!(values(&played, "software"), ["test vector"]);
    let mapped = "[2001:db8:1234:5678:11:2233:4455:6677]:32853";
    assert_eq!(values(&udp(ANSWER_V6), "mapped_address"), [mapped]);
}

#[test]
fn any_damage_to_a_length_is_no_message() {
    for end in 0..ANSWER.len() {
        assert!(Message::parse(&ANSWER[..end]).is_none(), "{end}");
    }
    assert!(Message::parse(&[ANSWER, &[0; 4]].concat()).is_none());
    let mut longer = ANSWER.to_vec();
    // The first attribute's length runs over the end of the message.
    longer[23] = 60;
    assert!(Message::parse(&longer).is_none());
}

#[test]
fn without_the_cookie_only_the_attributes_of_that_time_are_stun() {
    let classic = |kind, attributes: &[Vec<u8>]| udp(&message(kind, [9; 4], attributes)).layers == ["stun"];
    assert!(classic(0x0001, &[attribute(0x0003, &[0, 0, 0, 6])]));
    let mapped = attribute(0x0001, &[0, 1, 0x12, 0x34, 192, 0, 2, 1]);
    let answer = message(0x0101, [9; 4], std::slice::from_ref(&mapped));
    assert_eq!(values(&udp(&answer), "mapped_address"), ["192.0.2.1:4660"]);
    // No attributes; a flag that there is not; an address of no family; an attribute that came later; another method.
    assert!(!classic(0x0001, &[]));
    assert!(!classic(0x0001, &[attribute(0x0003, &[0, 0, 0, 7])]));
    assert!(!classic(0x0101, &[attribute(0x0001, &[0, 3, 0, 1, 192, 0, 2, 1])]));
    assert!(!classic(0x0101, &[mapped.clone(), attribute(0x0014, b"realm")]));
    assert!(!classic(0x0003, &[mapped]));
}

#[test]
fn credentials_that_a_server_made_for_a_while_are_no_login() {
    for (name, expected) in [
        ("1795709992", 0),
        ("1795709992:anna", 0),
        ("179570999", 1),
        ("17957099920", 1),
        ("anna:1795709992", 1),
    ] {
        let played = udp(&allocate_as(name.as_bytes()));
        assert_eq!((logins(&played), values(&played, "username")), (expected, vec![name.to_owned()]));
    }
}

#[test]
fn long_term_credentials_are_a_login_and_those_of_ice_are_not() {
    let played = udp(&allocate());
    assert_eq!((logins(&played), values(&played, "username")), (1, vec!["alice".to_owned()]));
    assert_eq!(
        (values(&played, "realm"), values(&played, "method")),
        (vec!["example.test".to_owned()], vec!["allocate".to_owned()])
    );
    let again = play(Transport::Udp, 443, &[send(REQUEST, allocate()), send(REQUEST, allocate())]);
    assert_eq!(logins(&again), 1);
    let ice = message(0x0001, COOKIE, &[attribute(0x0006, b"abcd:efgh"), attribute(0x0008, &[3; 20])]);
    assert_eq!(logins(&udp(&ice)), 0);
    // A challenge has a realm and nobody's credential.
    let error = [attribute(0x0009, b"\0\0\x04\x01Unauthorized"), attribute(0x0014, b"example.test")];
    let challenge = udp(&message(0x0113, COOKIE, &error));
    assert_eq!((logins(&challenge), values(&challenge, "error")), (0, vec!["401 Unauthorized".to_owned()]));
}

#[test]
fn a_channel_has_a_number_and_at_most_padding_behind_its_data() {
    let data = |bytes| ChannelData::parse(bytes).map(|message| (message.channel, message.data.len()));
    assert_eq!(data(&[0x40, 0, 0, 1, 9]), Some((0x4000, 1)));
    assert_eq!(data(&[0x4f, 0xff, 0, 1, 9, 0, 0, 0]), Some((0x4fff, 1)));
    assert_eq!(data(&[0x40, 0, 0, 1, 9, 0, 0, 0, 0]), None);
    assert_eq!(data(&[0x50, 0, 0, 1, 9]), None);
    assert_eq!(data(&[0x40, 0, 0, 2, 9]), None);
}

/// A connection through a relay (RFC 6062 §4.3): the peer's bytes follow the answer.
fn connection() -> [Act; 4] {
    let id = attribute(0x002a, &[0, 0, 0, 1]);
    [
        send(REQUEST, message(0x000b, COOKIE, &[id])),
        send(RESPONSE, message(0x010b, COOKIE, &[])),
        send(REQUEST, "GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        send(RESPONSE, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ]
}

#[test]
fn what_follows_a_connection_is_read_as_what_it_is() {
    assert_eq!(tcp(&connection()).layers, ["stun", "http"]);
}

#[test]
fn a_stream_that_is_not_stun_any_more_is_left() {
    let acts = [send(REQUEST, allocate()), send(REQUEST, [0xff; 40])];
    assert_eq!(tcp(&acts).said(), tcp(&acts[..1]).said());
}

/// Frames that are nobody's, and then HTTP without frames.
fn left_for_http() -> Vec<Act> {
    let frames = [framed(&allocate()), framed(&[]).repeat(8)].concat();
    vec![send(REQUEST, [&frames[..], b"GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n"].concat())]
}

#[test]
fn what_follows_in_the_same_piece_is_handed_on() {
    assert_eq!(tcp(&left_for_http()).layers, ["stun", "http"]);
}

fn streams() -> Vec<Vec<Act>> {
    let channel = |len: u8| [&[0x40, 0, 0, len][..], &vec![1; usize::from(len).next_multiple_of(4)]].concat();
    let pair = |there: Vec<u8>, back: Vec<u8>| vec![send(REQUEST, there), send(RESPONSE, back)];
    let foreign: Vec<u8> = (0..12_u8).flat_map(|count| framed(&[0xc0 + count; 30])).collect();
    vec![
        pair([allocate(), channel(5), allocate(), channel(9)].concat(), [ANSWER, ANSWER_V6].concat()),
        pair([framed(&allocate()), framed(&[22; 9])].concat(), [framed(ANSWER), framed(ANSWER_V6)].concat()),
        pair([framed(&allocate()), foreign].concat(), framed(ANSWER)),
        left_for_http(),
        connection().to_vec(),
    ]
}

#[test]
fn frames_are_read_like_datagrams() {
    let played = tcp(&streams()[1]);
    assert_eq!((played.layers.as_slice(), logins(&played)), (["stun"].as_slice(), 1));
    assert_eq!(values(&played, "mapped_address").len(), 2);
}

proptest! {
    #[test]
    fn any_split_of_a_stream_gives_the_same_facts(sizes in sizes()) {
        for acts in streams() {
            prop_assert_eq!(tcp(&cut(&acts, &sizes)).said(), tcp(&acts).said());
        }
    }

    #[test]
    fn any_attributes_are_read_without_a_panic(
        messages in proptest::collection::vec(
            (any::<bool>(), any::<u16>(), proptest::collection::vec((0..0x30_u16, proptest::collection::vec(any::<u8>(), 0..40)), 0..8)),
            0..12,
        ),
    ) {
        let direction = |request| if request { REQUEST } else { RESPONSE };
        let acts: Vec<Act> = std::iter::once(send(REQUEST, allocate()))
            .chain(messages.into_iter().map(|(request, kind, attributes)| {
                let attributes: Vec<_> = attributes.iter().map(|(kind, value)| attribute(*kind, value)).collect();
                send(direction(request), message(kind & 0x3fff, COOKIE, &attributes))
            }))
            .collect();
        prop_assert_eq!(play(Transport::Udp, 443, &acts).layers[0], "stun");
        prop_assert_eq!(tcp(&acts).layers[0], "stun");
    }
}
