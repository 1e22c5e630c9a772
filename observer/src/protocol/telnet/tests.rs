//! Sessions, whole and in pieces, and what only begins like one.

use proptest::prelude::*;

use crate::decode::Transport;
use crate::protocol::Fact;
use crate::protocol::script::{Act, Played, REQUEST, RESPONSE, cut, play, send, sizes};

/// A ClientHello as far as the probe needs it.
const HELLO: &[u8] = &[22, 3, 1, 1, 0, 1, 0, 0, 252, 3, 3, 0, 0, 0, 0];

fn tcp(acts: &[Act]) -> Played {
    play(Transport::Tcp, 2323, acts)
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

/// DO TERMINAL-TYPE, DO START_TLS; WILL TERMINAL-TYPE, SUPPRESS-GO-AHEAD, and the answer on START_TLS.
fn opening(answer: &[u8]) -> Vec<Act> {
    vec![
        send(RESPONSE, b"\xff\xfd\x18\xff\xfd\x2e"),
        send(REQUEST, [b"\xff\xfb\x18\xff\xfb\x03", answer].concat()),
        send(RESPONSE, b"\xff\xfa\x18\x01\xff\xf0"),
        send(REQUEST, b"\xff\xfa\x18\x00xterm\xff\xf0"),
    ]
}

fn login() -> Vec<Act> {
    let mut acts = opening(b"\xff\xfc\x2e");
    acts.extend([
        send(RESPONSE, b"\xff\xfb\x01\r\nDebian GNU/Linux 12\r\nphone login: "),
        send(REQUEST, b"an"),
        send(RESPONSE, b"an"),
        send(REQUEST, b"na\r\0"),
        send(RESPONSE, b"na\r\nPassword: "),
        send(REQUEST, b"swordfish\r\0"),
        send(RESPONSE, b"\r\nLogin incorrect\r\n"),
    ]);
    acts
}

#[test]
fn a_login_is_told_without_its_secret() {
    let played = tcp(&login());
    assert_eq!(played.layers, ["telnet"]);
    let expected = [
        "Offered",
        "terminal=xterm",
        "banner=Debian GNU/Linux 12",
        "went_on_with=login prompt",
        "login prompt Identity",
        "password prompt Secret",
    ];
    assert_eq!(said(&played), expected);
    assert!(!played.said().contains("swordfish") && !played.said().contains("anna"));
}

#[test]
fn nothing_typed_is_no_login() {
    let mut acts = opening(b"\xff\xfc\x2e");
    acts.extend([
        send(RESPONSE, b"login: "),
        send(REQUEST, b"\r\0"),
        send(RESPONSE, b"\r\nPassword: "),
        send(REQUEST, b"\r\n"),
        // No prompt any more: what is typed is a command.
        send(RESPONSE, b"\r\nYour password: must be changed\r\n$ "),
        send(REQUEST, b"passwd\r\0"),
    ]);
    assert!(!said(&tcp(&acts)).iter().any(|said| said.contains("prompt")), "{:?}", said(&tcp(&acts)));
}

#[test]
fn tls_follows_the_option() {
    let mut acts = opening(b"\xff\xfb\x2e");
    acts.extend([
        send(RESPONSE, b"\xff\xfa\x2e\x01\xff\xf0"),
        send(REQUEST, b"\xff\xfa\x2e\x01\xff\xf0"),
        send(REQUEST, HELLO),
    ]);
    let played = tcp(&acts);
    assert_eq!(played.layers, ["telnet", "tls"]);
    assert_eq!(said(&played), ["Offered", "Requested", "terminal=xterm", "Accepted"]);
    // Whoever asks and is refused goes on readable.
    let acts = [
        send(REQUEST, b"\xff\xfb\x2e\xff\xfb\x18"),
        send(RESPONSE, b"\xff\xfe\x2elogin: "),
        send(REQUEST, b"anna\r\0"),
    ];
    let expected = ["Requested", "Refused", "went_on_with=login prompt", "login prompt Identity"];
    assert_eq!(said(&tcp(&acts)), expected);
}

#[test]
fn tls_follows_the_authentication_by_ssl() {
    let acts = [
        send(RESPONSE, b"\xff\xfd\x25\xff\xfd\x18"),
        send(REQUEST, b"\xff\xfb\x25\xff\xfb\x18"),
        send(RESPONSE, b"\xff\xfa\x25\x01\x07\0\xff\xf0"),
        send(REQUEST, b"\xff\xfa\x25\0\x07\0\x01\xff\xf0"),
        send(RESPONSE, b"\xff\xfa\x25\x02\x07\0\x02\xff\xf0"),
        send(REQUEST, HELLO),
    ];
    let played = tcp(&acts);
    assert_eq!(
        (played.layers.as_slice(), said(&played)),
        (
            ["telnet", "tls"].as_slice(),
            vec!["Offered".to_owned(), "Requested".to_owned(), "Accepted".to_owned()]
        )
    );
}

#[test]
fn five_negotiations_of_one_side_are_telnet() {
    let pieces = [
        &b"\xff\xfd\x03\xff\xfb\x1f\xff\xfb\x21"[..],
        b"\xff\xfd\x01",
        b"\xff\xfc\x18",
        b"\xff\xfa\x1f\x00\x50\x00\x18\xff\xf0",
    ];
    for direction in [REQUEST, RESPONSE] {
        let acts: Vec<_> = pieces.iter().map(|piece| send(direction, piece)).collect();
        assert_eq!(tcp(&acts).layers, ["telnet"]);
        assert_eq!(tcp(&acts[..2]).layers, ["unknown"]);
    }
    let mut acts: Vec<_> = pieces.iter().map(|piece| send(REQUEST, piece)).collect();
    acts.insert(0, send(RESPONSE, "no telnet"));
    assert_eq!(tcp(&acts).layers, ["unknown"]);
}

#[test]
fn one_side_or_one_byte_is_not_telnet() {
    let cases: [&[Act]; 5] = [
        &[send(RESPONSE, b"\xff\xfd\x18\xff\xfd\x20\xff\xfd\x23"), send(REQUEST, b"anna\r\n")],
        &[send(RESPONSE, b"\xff\xfd\x18\xff\xfd\x20\xff\xfd\x23")],
        &[send(RESPONSE, b"\xff\xfd\x18"), send(REQUEST, b"\xff\xfb\x18")],
        &[
            send(REQUEST, b"\xff\xd8\xff\xe0\0\x10JFIF"),
            send(RESPONSE, b"\xff\xfd\x18\xff\xfd\x20\xff\xfd\x23"),
        ],
        &[send(REQUEST, b"\xff\xfb\x90\x44"), send(RESPONSE, b"\xff\xfb\x90\x44\xff\xfb\x90\x44")],
    ];
    for acts in cases {
        assert_eq!(tcp(acts).layers, ["unknown"], "{acts:?}");
    }
}

#[test]
fn prompts_stand_at_the_end_of_the_line() {
    for (shown, asked) in [
        (&b"Password: "[..], true),
        (b"Password for anna@shop.test: ", true),
        (b"\x1b[1mPASSWORD:\x1b[0m ", false),
        ("Contraseña: ".as_bytes(), true),
        (b"The password: is wrong ", false),
    ] {
        let mut acts = opening(b"\xff\xfc\x2e");
        acts.extend([send(RESPONSE, shown), send(REQUEST, b"swordfish\r\0")]);
        let played = tcp(&acts);
        assert_eq!(
            said(&played).last().is_some_and(|said| said == "password prompt Secret"),
            asked,
            "{shown:?}"
        );
    }
}

proptest! {
    #[test]
    fn any_split_says_the_same(sizes in sizes()) {
        prop_assert_eq!(tcp(&cut(&login(), &sizes)).said(), tcp(&login()).said());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(prop_oneof![Just(255_u8), 240_u8..=255, any::<u8>()], 0..300)) {
        let mut acts = opening(b"\xff\xfb\x2e");
        acts.extend([send(REQUEST, &bytes), send(RESPONSE, &bytes)]);
        tcp(&acts);
    }
}
