//! For tests: dialogues of every protocol that upgrades to TLS, played whole and in pieces.

use proptest::prelude::*;

use crate::decode::Transport;
use crate::protocol::Fact;
use crate::protocol::script::{Act, Played, REQUEST, RESPONSE, cut, play, send, sizes};

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
