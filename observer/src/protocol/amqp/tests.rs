//! Sessions of both versions, whole and in pieces.

use proptest::prelude::*;

use crate::decode::Transport;
use crate::protocol::Fact;
use crate::protocol::script::{Act, Played, REQUEST, RESPONSE, cut, play, send, sizes};

const HEADER_9: &[u8] = b"AMQP\0\0\x09\x01";
const HEADER_1: &[u8] = b"AMQP\0\x01\0\0";
const HEADER_SASL: &[u8] = b"AMQP\x03\x01\0\0";
const HEADER_TLS: &[u8] = b"AMQP\x02\x01\0\0";
/// A ClientHello as far as the probe needs it.
const HELLO: &[u8] = &[22, 3, 1, 1, 0, 1, 0, 0, 252, 3, 3, 0, 0, 0, 0];

fn tcp(acts: &[Act]) -> Played {
    play(Transport::Tcp, 5672, acts)
}

/// Properties, logins and steps, in order.
fn said(played: &Played) -> Vec<String> {
    let word = |fact: &&Fact| match fact {
        Fact::Property(fact) => Some(format!("{}={}", fact.name, fact.value)),
        Fact::Login(fact) => Some(format!("{} {:?}", fact.mechanism, fact.exposure)),
        Fact::Upgrade(fact) => Some(format!("{:?}", fact.step)),
        _ => None,
    };
    played.facts().iter().filter_map(word).collect()
}

fn long(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

fn short(bytes: &[u8]) -> Vec<u8> {
    [&[u8::try_from(bytes.len()).unwrap()], bytes].concat()
}

/// A method of 0-9-1 in its frame.
fn method(channel: u8, class: u8, number: u8, arguments: &[&[u8]]) -> Vec<u8> {
    let payload = [&[0, class, 0, number][..], &arguments.concat()].concat();
    [&[1, 0, channel][..], &long(&payload), &[0xce]].concat()
}

fn table(entries: &[(&str, &str)]) -> Vec<u8> {
    let entry =
        |(name, value): &(&str, &str)| [&short(name.as_bytes())[..], b"S", &long(value.as_bytes())].concat();
    // A table within the table, and a truth value, are passed over.
    let capabilities = [&short(b"capabilities")[..], b"F", &long(b"\x02okt\x01")].concat();
    let entries: Vec<u8> = entries.iter().flat_map(entry).collect();
    long(&[capabilities, entries].concat())
}

fn start_ok(mechanism: &[u8], response: &[u8]) -> Vec<u8> {
    let properties = table(&[("product", "Pika"), ("version", "1.3")]);
    method(0, 10, 11, &[&properties, &short(mechanism), &long(response), &short(b"en_US")])
}

fn session_9() -> Vec<Act> {
    let start =
        [&[0, 9][..], &table(&[("product", "RabbitMQ"), ("version", "3.10")]), &long(b"PLAIN AMQPLAIN")];
    let body = [&[3, 0, 1][..], &long(&[b'x'; 20_000]), &[0xce]].concat();
    vec![
        send(REQUEST, HEADER_9),
        send(RESPONSE, method(0, 10, 10, &[&start.concat(), &long(b"en_US")])),
        send(REQUEST, start_ok(b"PLAIN", b"\0anna\0swordfish")),
        send(RESPONSE, method(0, 10, 30, &[&[0; 8]])),
        send(REQUEST, method(0, 10, 40, &[&short(b"/shop"), &[0, 0]])),
        send(REQUEST, method(1, 50, 10, &[&[0, 0], &short(b"orders"), &[0; 5]])),
        send(REQUEST, method(1, 60, 40, &[&[0, 0], &short(b""), &short(b"orders"), &[0]])),
        send(REQUEST, body),
        send(REQUEST, method(1, 60, 40, &[&[0, 0], &short(b"topics"), &short(b"news"), &[0]])),
        send(REQUEST, method(0, 10, 50, &[&[0, 200], &short(b"bye"), &[0; 4]])),
    ]
}

/// A list behind a descriptor, in a frame of 1.0.
fn frame(kind: u8, descriptor: u8, items: &[&[u8]]) -> Vec<u8> {
    let inside = [&[u8::try_from(items.len()).unwrap()][..], &items.concat()].concat();
    let list = [&[0xc0, u8::try_from(inside.len()).unwrap()][..], &inside].concat();
    let body = [&[2, kind, 0, 0, 0, 0x53, descriptor][..], &list].concat();
    [&u32::try_from(body.len() + 4).unwrap().to_be_bytes()[..], &body].concat()
}

fn string(constructor: u8, bytes: &[u8]) -> Vec<u8> {
    [&[constructor][..], &short(bytes)].concat()
}

fn init(mechanism: &[u8], response: &[u8]) -> Vec<u8> {
    frame(1, 0x41, &[&string(0xa3, mechanism), &string(0xa0, response), &string(0xa1, b"shop.test")])
}

fn session_1() -> Vec<Act> {
    let mechanisms = [&[0xe0, 18, 2, 0xa3][..], &short(b"PLAIN"), &short(b"ANONYMOUS")].concat();
    let target = [&[0, 0x53, 0x29, 0xc0, 9, 1][..], &string(0xa1, b"orders")].concat();
    vec![
        send(REQUEST, HEADER_SASL),
        send(RESPONSE, [HEADER_SASL, &frame(1, 0x40, &[&mechanisms])].concat()),
        send(REQUEST, init(b"PLAIN", b"\0anna\0swordfish")),
        send(RESPONSE, frame(1, 0x44, &[&[0x50, 0]])),
        send(
            REQUEST,
            [HEADER_1, &frame(0, 0x10, &[&string(0xa1, b"app-1"), &string(0xa1, b"shop.test")])].concat(),
        ),
        send(RESPONSE, HEADER_1),
        send(
            REQUEST,
            frame(0, 0x12, &[&string(0xa1, b"l"), &[0x43], &[0x42], &[0x40], &[0x40], &[0x40], &target]),
        ),
        send(REQUEST, b"\0\0\0\x08\x02\0\0\0"),
        send(REQUEST, frame(0, 0x14, &[&[0x43], &string(0xa1, b"operation put-token")])),
        send(REQUEST, frame(0, 0x18, &[])),
    ]
}

#[test]
fn a_session_of_0_9_1_is_told_without_its_secret() {
    let played = tcp(&session_9());
    assert_eq!(played.layers, ["amqp"]);
    let expected = [
        "version=0-9-1",
        "server=RabbitMQ 3.10",
        "mechanisms=PLAIN AMQPLAIN",
        "client=Pika 1.3",
        "PLAIN Secret",
        "virtual_host=/shop",
        "queue=orders",
        "publish=orders",
        "exchange=topics",
        "publish=news",
    ];
    assert_eq!(said(&played), expected);
    assert!(!played.said().contains("swordfish"));
}

#[test]
fn a_session_of_1_0_is_told_without_its_secret() {
    let played = tcp(&session_1());
    assert_eq!(played.layers, ["amqp"]);
    let expected = [
        "version=1.0",
        "mechanisms=PLAIN ANONYMOUS",
        "PLAIN Secret",
        "host=shop.test",
        "container_id=app-1",
        "target=orders",
        "put-token Secret",
    ];
    assert_eq!(said(&played), expected);
    assert!(!played.said().contains("swordfish"));
}

#[test]
fn mechanisms_expose_what_they_do() {
    let cases: [(&[u8], &[u8], &str); 6] = [
        (b"AMQPLAIN", b"\x05LOGINS\0\0\0\x01a", "AMQPLAIN Secret"),
        (b"EXTERNAL", b"", "EXTERNAL Identity"),
        (b"ANONYMOUS", b"guest", "ANONYMOUS Identity"),
        (b"MSSBCBS", b"", "MSSBCBS Identity"),
        (b"CRAM-MD5", b"anna 0123", "CRAM-MD5 Response"),
        (b"XOAUTH2", b"token", "XOAUTH2 Secret"),
    ];
    for (mechanism, response, expected) in cases {
        let nine = tcp(&[send(REQUEST, HEADER_9), send(REQUEST, start_ok(mechanism, response))]);
        let one = tcp(&[send(REQUEST, HEADER_SASL), send(REQUEST, init(mechanism, response))]);
        for played in [nine, one] {
            assert!(said(&played).iter().any(|said| said == expected), "{:?}", said(&played));
        }
    }
    // Without a response nothing has gone by yet; with the second one it has.
    let challenged = |last: Option<&[u8]>| {
        let mut acts = vec![
            send(REQUEST, HEADER_9),
            send(REQUEST, start_ok(b"CRAM-MD5", b"")),
            send(RESPONSE, method(0, 10, 20, &[&long(b"challenge")])),
        ];
        acts.extend(last.map(|last| send(REQUEST, method(0, 10, 21, &[&long(last)]))));
        said(&tcp(&acts)).last().cloned()
    };
    assert_eq!(challenged(None).as_deref(), Some("client=Pika 1.3"));
    assert_eq!(challenged(Some(b"anna 0123")).as_deref(), Some("CRAM-MD5 Response"));
}

#[test]
fn tls_is_agreed_on_or_refused() {
    let agreed = tcp(&[send(REQUEST, HEADER_TLS), send(RESPONSE, HEADER_TLS), send(REQUEST, HELLO)]);
    assert_eq!(agreed.layers, ["amqp", "tls"]);
    assert_eq!(said(&agreed), ["version=1.0", "Requested", "Accepted"]);
    let open = frame(0, 0x10, &[&string(0xa1, b"app-1")]);
    let refused = tcp(&[
        send(REQUEST, HEADER_TLS),
        send(RESPONSE, HEADER_SASL),
        send(REQUEST, [HEADER_1, &open].concat()),
    ]);
    assert_eq!(refused.layers, ["amqp"]);
    let expected = ["version=1.0", "Requested", "Refused", "went_on_with=open", "container_id=app-1"];
    assert_eq!(said(&refused), expected);
}

#[test]
fn a_server_that_speaks_something_else_says_so() {
    let played = tcp(&[send(REQUEST, HEADER_1), send(RESPONSE, HEADER_9)]);
    assert_eq!(said(&played), ["version=1.0", "refusal=speaks 0-9-1"]);
    let played = tcp(&[send(REQUEST, b"AMQP\x01\x01\0\x0a"), send(RESPONSE, b"\x0f\x01\0\x30")]);
    assert_eq!((said(&played), played.layers), (vec!["version=0-10".to_owned()], vec!["amqp"]));
    let close = method(0, 10, 50, &[&[1, 147], &short(b"ACCESS_REFUSED"), &[0; 4]]);
    let played = tcp(&[send(REQUEST, HEADER_9), send(RESPONSE, close)]);
    assert_eq!(said(&played), ["version=0-9-1", "refusal=403 ACCESS_REFUSED"]);
}

#[test]
fn four_letters_are_not_enough() {
    for bytes in [
        &b"AMQP is a protocol of many versions"[..],
        b"AMQP\x04\x01\0\0",
        b"AMQP\0\x0b\0\0",
        b"AMQX\0\0\x09\x01",
    ] {
        assert_eq!(tcp(&[send(REQUEST, bytes)]).layers, ["unknown"], "{bytes:?}");
    }
}

#[test]
fn behind_a_gap_nothing_is_guessed() {
    let mut acts = session_9();
    acts.insert(5, Act::Missing(REQUEST, 7));
    let said = said(&tcp(&acts));
    assert_eq!(said.last().map(String::as_str), Some("virtual_host=/shop"));
    // Within a message's body it does not matter.
    let mut acts = session_9();
    let Act::Bytes(_, body) = &mut acts[7] else { panic!() };
    body.truncate(17_000);
    acts.insert(8, Act::Missing(REQUEST, 3008));
    assert!(tcp(&acts).said().contains("news"), "{:?}", tcp(&acts));
}

proptest! {
    #[test]
    fn any_split_says_the_same(sizes in sizes()) {
        for session in [session_9(), session_1()] {
            prop_assert_eq!(tcp(&cut(&session, &sizes)).said(), tcp(&session).said());
        }
    }

    #[test]
    fn no_bytes_make_it_panic(client in proptest::collection::vec(any::<u8>(), 0..200), one in any::<bool>()) {
        let header = if one { HEADER_SASL } else { HEADER_9 };
        tcp(&[send(REQUEST, header), send(REQUEST, &client), send(RESPONSE, &client)]);
    }
}
