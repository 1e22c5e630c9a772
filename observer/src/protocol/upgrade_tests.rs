//! For tests: dialogues of every protocol that upgrades to TLS, played whole and in pieces.

use proptest::prelude::*;

use crate::decode::Transport;
use crate::protocol::Fact;
use crate::protocol::script::{Act, Played, REQUEST, RESPONSE, cut, go_on, play, send, sizes};

/// What was said of upgrades and logins, in order.
fn said(played: &Played) -> Vec<String> {
    let word = |fact: &&Fact| match fact {
        Fact::Upgrade(fact) => Some(format!("{:?}", fact.step)),
        Fact::Login(fact) => Some(format!("{} {:?}", fact.mechanism, fact.exposure)),
        _ => None,
    };
    played.facts().iter().filter_map(word).collect()
}

/// A ClientHello as far as the probe needs it.
const HELLO: &[u8] = &[22, 3, 1, 1, 0, 1, 0, 0, 252, 3, 3, 0, 0, 0, 0];

/// Each protocol: its dialogue, its layers, what is said of it.
fn scripts() -> Vec<(Vec<Act>, &'static [&'static str], &'static [&'static str])> {
    let text = |lines: &[(bool, &str)]| -> Vec<Act> {
        lines.iter().map(|(client, line)| send(if *client { REQUEST } else { RESPONSE }, line)).collect()
    };
    let upgraded = |lines: &[(bool, &str)]| {
        let mut acts = text(lines);
        acts.push(send(REQUEST, HELLO));
        acts
    };
    let done: &[&str] = &["Offered", "Requested", "Accepted"];
    vec![
        (
            upgraded(&[
                (false, "220 mail.test ESMTP\r\n"),
                (true, "EHLO a\r\n"),
                (false, "250-mail.test\r\n250-STARTTLS\r\n250 8BITMIME\r\n"),
                (true, "STARTTLS\r\n"),
                (false, "220 go\r\n"),
            ]),
            &["smtp", "tls"],
            done,
        ),
        (
            text(&[
                (false, "220 mail.test\r\n"),
                (true, "EHLO a\r\n"),
                (false, "250-mail.test\r\n250 XXXXXXXA\r\n"),
                (true, "STARTTLS\r\n"),
                (false, "500 what?\r\n"),
                (true, "AUTH LOGIN\r\n"),
                (false, "334 VXNlcm5hbWU6\r\n"),
                (true, "Ym9i\r\n"),
                (false, "334 UGFzc3dvcmQ6\r\n"),
                (true, "c2VjcmV0\r\n"),
                (false, "235 ok\r\n"),
                (true, "MAIL FROM:<a@b>\r\n"),
            ]),
            &["smtp"],
            &["NotOffered", "Requested", "Refused", "LOGIN Secret"],
        ),
        (
            upgraded(&[
                (false, "* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n"),
                (true, "a1 STARTTLS\r\n"),
                (false, "a1 OK begin\r\n"),
            ]),
            &["imap", "tls"],
            done,
        ),
        (
            text(&[
                (false, "* OK ready\r\n"),
                (true, "a LOGIN {3}\r\n"),
                (false, "+ go\r\n"),
                (true, "bob {6}\r\n"),
                (false, "+ go\r\n"),
                (true, "secret\r\n"),
                (false, "a OK\r\n"),
            ]),
            &["imap"],
            &["LOGIN Secret"],
        ),
        (
            upgraded(&[
                (false, "+OK ready\r\n"),
                (true, "CAPA\r\n"),
                (false, "+OK\r\nUSER\r\nSTLS\r\n.\r\n"),
                (true, "STLS\r\n"),
                (false, "+OK\r\n"),
            ]),
            &["pop3", "tls"],
            done,
        ),
        (
            text(&[
                (false, "+OK ready\r\n"),
                (true, "USER bob\r\n"),
                (false, "+OK\r\n"),
                (true, "PASS secret\r\n"),
                (false, "+OK\r\n"),
            ]),
            &["pop3"],
            &["USER/PASS Secret"],
        ),
        (
            upgraded(&[
                (false, "220 welcome\r\n"),
                (true, "FEAT\r\n"),
                (false, "211-Features:\r\n AUTH TLS\r\n UTF8\r\n211 End\r\n"),
                (true, "AUTH TLS\r\n"),
                (false, "234 go\r\n"),
            ]),
            &["ftp", "tls"],
            done,
        ),
        (
            text(&[
                (false, "220 (vsFTPd 3.0.3)\r\n"),
                (true, "USER anonymous\r\n"),
                (false, "331 mail?\r\n"),
                (true, "PASS a@b\r\n"),
                (false, "230 in\r\n"),
            ]),
            &["ftp"],
            &["USER/PASS Identity"],
        ),
        (
            upgraded(&[
                (false, "200 NNTP ready\r\n"),
                (true, "CAPABILITIES\r\n"),
                (false, "101 list\r\nVERSION 2\r\nSTARTTLS\r\n.\r\n"),
                (true, "STARTTLS\r\n"),
                (false, "382 go\r\n"),
            ]),
            &["nntp", "tls"],
            done,
        ),
        (
            upgraded(&[
                (false, "\"IMPLEMENTATION\" \"x\"\r\n\"STARTTLS\"\r\nOK\r\n"),
                (true, "STARTTLS\r\n"),
                (false, "OK\r\n"),
            ]),
            &["managesieve", "tls"],
            done,
        ),
        (
            upgraded(&[
                (true, "CAP LS 302\r\n"),
                (false, ":irc.test CAP * LS :sasl tls\r\n"),
                (true, "STARTTLS\r\n"),
                (false, ":irc.test 670 * :go\r\n"),
            ]),
            &["irc", "tls"],
            done,
        ),
        (text(&[(true, "PASS secret\r\nNICK bob\r\nUSER bob 0 * :Bob\r\n")]), &["irc"], &["PASS Secret"]),
        (
            upgraded(&[
                (
                    true,
                    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
                ),
                (
                    false,
                    "<stream:stream><stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>",
                ),
                (true, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"),
                (false, "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"),
            ]),
            &["xmpp", "tls"],
            done,
        ),
        (
            vec![send(REQUEST, b"\x30\x16\x02\x01\x01\x60\x11\x02\x01\x03\x04\x04cn=a\x80\x06secret")],
            &["ldap"],
            &["simple bind Secret"],
        ),
        (
            vec![
                send(REQUEST, b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037"),
                send(RESPONSE, b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00"),
                send(REQUEST, HELLO),
            ],
            &["ldap", "tls"],
            &["Requested", "Accepted"],
        ),
        (
            vec![
                send(REQUEST, b"\0\0\0\x08\x04\xd2\x16\x2f"),
                send(RESPONSE, b"N"),
                send(REQUEST, b"\0\0\0\x12\0\x03\0\0user\0bob\0\0"),
                send(RESPONSE, b"R\0\0\0\x08\0\0\0\x03"),
                send(REQUEST, b"p\0\0\0\x0bsecret\0"),
                send(RESPONSE, b"Z\0\0\0\x05I"),
            ],
            &["postgresql"],
            &["Requested", "Refused", "password Secret"],
        ),
        (
            vec![send(REQUEST, b"\0\0\0\x08\x04\xd2\x16\x2f"), send(RESPONSE, b"S"), send(REQUEST, HELLO)],
            &["postgresql", "tls"],
            &["Requested", "Accepted"],
        ),
        (
            vec![
                send(REQUEST, b"\x03\0\0\x13\x0e\xe0\0\0\0\0\0\x01\0\x08\0\x03\0\0\0"),
                send(RESPONSE, b"\x03\0\0\x13\x0e\xd0\0\0\x12\x34\0\x02\0\x08\0\x01\0\0\0"),
                send(REQUEST, HELLO),
            ],
            &["rdp", "tls"],
            &["Requested", "Accepted"],
        ),
    ]
}

#[test]
fn upgrades_and_logins_are_said_in_order() {
    for (acts, layers, facts) in scripts() {
        let played = play(Transport::Tcp, 9999, &acts);
        assert_eq!(played.layers, layers, "{played:?}");
        assert_eq!(said(&played), facts, "{layers:?}");
    }
}

/// What an upgrade of SMTP begins with.
fn greeted() -> Vec<Act> {
    vec![
        send(RESPONSE, "220 mail.test ESMTP\r\n"),
        send(REQUEST, "EHLO a\r\n"),
        send(RESPONSE, "250-mail.test\r\n250 STARTTLS\r\n"),
    ]
}

fn properties(played: &Played) -> Vec<String> {
    let value = |fact: &&Fact| match fact {
        Fact::Property(fact) => Some(format!("{} {}", fact.name, fact.value)),
        _ => None,
    };
    played.facts().iter().filter_map(value).collect()
}

#[test]
fn readable_bytes_behind_an_agreement_are_told_and_passed_over() {
    for (client, server, told) in [
        ("STARTTLS\r\nRSET\r\n", "220 go\r\n", Some("plaintext_before_tls client, 6 bytes")),
        ("STARTTLS\r\n", "220 go\r\n250 fine\r\n", Some("plaintext_before_tls server, 10 bytes")),
        ("STARTTLS\r\n", "220 go\r\n", None),
    ] {
        let mut acts = greeted();
        acts.extend([send(REQUEST, client), send(RESPONSE, server), send(REQUEST, HELLO)]);
        let played = play(Transport::Tcp, 587, &acts);
        assert_eq!(played.layers, ["smtp", "tls"], "{client} {server}");
        let said = properties(&played);
        assert_eq!(said.iter().find(|one| one.starts_with("plaintext")).map(String::as_str), told);
        // The same where TLS begins in the piece that the readable bytes end in.
        let mut acts = greeted();
        acts.push(send(REQUEST, [client.as_bytes(), HELLO].concat()));
        acts.push(send(RESPONSE, server));
        let played = play(Transport::Tcp, 587, &acts);
        assert_eq!((played.layers.as_slice(), properties(&played)), (["smtp", "tls"].as_slice(), said));
    }
}

#[test]
fn a_long_greeting_is_its_first_line() {
    let played = play(
        Transport::Tcp,
        587,
        &[send(RESPONSE, "220-mail.test ESMTP Exim\r\n220 no bulk mail\r\n"), send(REQUEST, "EHLO a\r\n")],
    );
    assert_eq!(properties(&played), ["banner mail.test ESMTP Exim"]);
}

#[test]
fn what_is_no_answer_is_judged_by_what_follows() {
    let garbled = [
        (vec![send(REQUEST, "STARTTLS\r\n"), send(RESPONSE, "?!\r\n")], greeted(), "smtp"),
        (
            vec![send(REQUEST, "a STARTTLS\r\n"), send(RESPONSE, "* hm\r\n")],
            vec![send(RESPONSE, "* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n")],
            "imap",
        ),
        (
            vec![send(REQUEST, "STLS\r\n"), send(RESPONSE, "?!\r\n")],
            vec![
                send(RESPONSE, "+OK ready\r\n"),
                send(REQUEST, "CAPA\r\n"),
                send(RESPONSE, "+OK\r\nSTLS\r\n.\r\n"),
            ],
            "pop3",
        ),
        (vec![send(REQUEST, "STARTTLS\r\n"), Act::Missing(RESPONSE, 8)], greeted(), "smtp"),
    ];
    for (answer, begins, protocol) in garbled {
        let tls = [begins.clone(), answer.clone(), vec![send(REQUEST, HELLO)]].concat();
        let played = play(Transport::Tcp, 9999, &tls);
        assert_eq!(played.layers, [protocol, "tls"], "{played:?}");
        let login = match protocol {
            "imap" => "b LOGIN bob secret\r\n",
            "pop3" => "USER bob\r\nPASS secret\r\n",
            _ => "AUTH PLAIN AGJvYgBzZWNyZXQ=\r\n",
        };
        let plain = [begins, answer, vec![send(REQUEST, login)]].concat();
        let played = play(Transport::Tcp, 9999, &plain);
        assert_eq!(played.layers, [protocol]);
        let said = said(&played);
        assert!(said.last().is_some_and(|last| last.ends_with("Secret")), "{said:?}");
    }
}

#[test]
fn a_protocol_goes_on_within_tls_where_it_was() {
    // A greeting, an upgrade; then what follows within, without a second greeting.
    let packet =
        |number: u8, body: &[u8]| [&[u8::try_from(body.len()).unwrap(), 0, 0, number], body].concat();
    let greeting = packet(0, b"\x0a8.0.36\0\x01\0\0\0abcdefgh\0\xff\xff\x08\x02\0\xff\xc1");
    // Capabilities, then the size of packets and a filler; a request for TLS ends there.
    let request = [b"\0\x8a\x08\0".as_slice(), &[0; 28]].concat();
    let login = packet(2, &[request.as_slice(), b"bob\0\x06secret"].concat());
    let request = packet(1, &request);
    for (protocol, before, within, facts) in [
        (
            "mysql",
            vec![send(RESPONSE, greeting), send(REQUEST, request)],
            vec![send(REQUEST, login), send(RESPONSE, b"\x01\0\0\x03\0")],
            "mysql_native_password Response",
        ),
        (
            "nntp",
            vec![
                send(RESPONSE, "200 ready\r\n"),
                send(REQUEST, "STARTTLS\r\n"),
                send(RESPONSE, "382 go\r\n"),
            ],
            vec![
                send(REQUEST, "AUTHINFO USER bob\r\n"),
                send(RESPONSE, "381 more\r\n"),
                send(REQUEST, "AUTHINFO PASS secret\r\n"),
            ],
            "AUTHINFO USER/PASS Secret",
        ),
        (
            "irc",
            vec![send(REQUEST, "STARTTLS\r\n"), send(RESPONSE, ":irc.test 670 * :go\r\n")],
            vec![
                send(REQUEST, "PASS secret\r\nNICK bob\r\nUSER bob 0 * :Bob\r\n"),
                send(RESPONSE, ":irc.test 001 bob :hi\r\n"),
            ],
            "PASS Secret",
        ),
        (
            "postgresql",
            vec![send(REQUEST, b"\0\0\0\x08\x04\xd2\x16\x2f"), send(RESPONSE, b"S")],
            vec![
                send(REQUEST, b"\0\0\0\x12\0\x03\0\0user\0bob\0\0"),
                send(RESPONSE, b"R\0\0\0\x08\0\0\0\x03"),
                send(REQUEST, b"p\0\0\0\x0bsecret\0"),
            ],
            "password Secret",
        ),
    ] {
        let (upgraded, played) = go_on(protocol, &before, &within);
        assert!(upgraded, "{protocol}: {played:?}");
        let said = said(&played);
        assert!(said.contains(&"Accepted".to_owned()), "{protocol}: {said:?}");
        assert_eq!(said.last().map(String::as_str), Some(facts), "{said:?}");
    }
}

#[test]
fn texts_that_look_alike_are_not_claimed() {
    for acts in [
        vec![send(RESPONSE, "220 hello\r\n"), send(REQUEST, "QUIT\r\n")],
        vec![send(RESPONSE, "200 fine\r\n"), send(REQUEST, "hello\r\n")],
        vec![send(REQUEST, "USER bob\r\n")],
        vec![send(REQUEST, "<?xml version='1.0'?><soap/>")],
        vec![send(REQUEST, b"\x30\x26\x02\x01\x01\x04\x06public")],
    ] {
        let played = play(Transport::Tcp, 9999, &acts);
        assert!(!played.layers.iter().any(|layer| *layer != "unknown"), "{:?} {acts:?}", played.layers);
    }
}

proptest! {
    #[test]
    fn any_split_says_the_same(sizes in sizes()) {
        for (acts, layers, facts) in scripts() {
            let played = play(Transport::Tcp, 9999, &cut(&acts, &sizes));
            prop_assert_eq!(&played.layers, layers);
            prop_assert_eq!(said(&played), facts);
        }
    }
}
