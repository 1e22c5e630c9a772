//! SMTP and LMTP up to the first mail ([RFC 5321](https://datatracker.ietf.org/doc/html/rfc5321),
//! [RFC 3207](https://datatracker.ietf.org/doc/html/rfc3207) STARTTLS, [RFC 4954](https://datatracker.ietf.org/doc/html/rfc4954) AUTH).
//!
//! Mails are not read: with `MAIL` everything worth knowing has been said. FTP greets with the same code: a greeting
//! that does not say what it is waits for the client's first command.

mod dialogue;

use super::dialogue::{Talk, command, first_line, is_text, may_reply, mentions, reply};
use super::sasl::{self, Exchange};
use super::{Analyzer, Probe, ProbeInput, Protocol, Worth};
use crate::decode::Transport;
use crate::flow::Direction;

/// SMTP in the registry.
pub static PROTOCOL: Protocol = Protocol {
    name: "smtp",
    transports: &[Transport::Tcp],
    worth: Worth::Cleartext,
    probe,
    analyzer,
    views: "",
};

/// Ports of SMTP, message submission and LMTP: they decide what a greeting without a word of its own is.
const PORTS: &[u16] = &[24, 25, 465, 587, 2525];

/// The longest line of a greeting or a first command (RFC 5321 §4.5.3.1.5).
const MAX_FIRST: usize = 512;

fn probe(input: &ProbeInput<'_>) -> Probe {
    let (line, whole) = first_line(input.bytes);
    if line.len() > MAX_FIRST || !is_text(line) {
        return Probe::NoMatch;
    }
    match input.direction {
        Direction::ToOriginator => greeting(line, whole, input),
        Direction::ToResponder => hello(line, whole, input),
    }
}

fn greeting(line: &[u8], whole: bool, input: &ProbeInput<'_>) -> Probe {
    if input.midstream && whole && (is_prompt(line) || answers_auth(line, first_line(input.other).0)) {
        return Probe::Match;
    }
    if !may_reply(line, &[b"220", b"421", b"521", b"554"]) {
        return Probe::NoMatch;
    }
    if !whole {
        return Probe::NeedMore;
    }
    let code = reply(line).map(|(code, _)| code);
    if mentions(line, "smtp") || mentions(line, "lmtp") {
        return Probe::Match;
    }
    if mentions(line, "ftp") || code != Some(220) {
        return Probe::NoMatch;
    }
    let asked = is_hello(first_line(input.other).0);
    if asked || (PORTS.contains(&input.port) && !input.midstream) { Probe::Match } else { Probe::NeedMore }
}

fn hello(line: &[u8], whole: bool, input: &ProbeInput<'_>) -> Probe {
    const COMMANDS: [&[u8]; 3] = [b"EHLO ", b"HELO ", b"LHLO "];
    let starts = COMMANDS.iter().any(|command| {
        let len = line.len().min(command.len());
        line.get(..len)
            .is_some_and(|start| command.get(..len).is_some_and(|want| start.eq_ignore_ascii_case(want)))
    });
    let greeted = matches!(reply(first_line(input.other).0), Some((220 | 250, _)));
    match (starts, whole) {
        (true, true) if is_hello(line) => {
            if greeted || input.midstream {
                Probe::Match
            } else {
                Probe::NeedMore
            }
        }
        (true, false) => Probe::NeedMore,
        _ if input.midstream && whole && is_auth(line) => {
            let answered = answers_auth(first_line(input.other).0, line);
            let mails = input.bytes.split(|byte| *byte == b'\n').any(is_from);
            if answered || mails { Probe::Match } else { Probe::NeedMore }
        }
        _ => {
            if whole && is_from(line) && (input.midstream || greeted) {
                Probe::Match
            } else {
                Probe::NoMatch
            }
        }
    }
}

/// Whether a line begins a mail.
fn is_from(line: &[u8]) -> bool {
    line.len() > 12 && mentions(line.get(..11).unwrap_or_default(), "MAIL FROM:<")
}

/// Whether a line is `AUTH` with a mechanism, which POP3 has, too (RFC 5034).
fn is_auth(line: &[u8]) -> bool {
    let (word, rest) = command(line);
    word == "AUTH" && sasl::is_known(rest.split(|byte| *byte == b' ').next().unwrap_or_default())
}

/// Whether a line answers that with a code, as only SMTP does (RFC 4954 §4, §6).
fn answers_auth(line: &[u8], asked: &[u8]) -> bool {
    is_auth(asked)
        && matches!(
            reply(line),
            Some((235 | 334 | 432 | 454 | 500 | 501 | 503 | 504 | 530 | 534 | 535 | 538, _))
        )
}

/// Whether a server asks for a name or a password.
fn is_prompt(line: &[u8]) -> bool {
    line.strip_prefix(b"334 ").is_some_and(|challenge| Exchange::prompted(challenge).is_some())
}

/// Whether a line greets with a name or an address.
fn is_hello(line: &[u8]) -> bool {
    let (word, name) = command(line);
    let names = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    matches!(word.as_str(), "EHLO" | "HELO" | "LHLO") && names
}

fn analyzer() -> Box<dyn Analyzer> {
    Talk::<dialogue::Smtp>::boxed()
}

#[cfg(test)]
mod tests {
    use crate::decode::Transport;
    use crate::flow::Direction;
    use crate::protocol::Fact;
    use crate::protocol::login::Exposure;
    use crate::protocol::script::{Act, REQUEST, RESPONSE, midstream, play, send};

    const LOGIN: [(Direction, &str); 6] = [
        (REQUEST, "AUTH LOGIN\r\n"),
        (RESPONSE, "334 VXNlcm5hbWU6\r\n"),
        (REQUEST, "YWxpY2U=\r\n"),
        (RESPONSE, "334 UGFzc3dvcmQ6\r\n"),
        (REQUEST, "c2VjcmV0\r\n"),
        (RESPONSE, "235 ok\r\n"),
    ];

    fn acts(from: usize) -> Vec<Act> {
        let mail = [(REQUEST, "MAIL FROM:<alice@shop.test>\r\n"), (RESPONSE, "250 ok\r\n")];
        LOGIN.iter().skip(from).chain(&mail).map(|(direction, line)| send(*direction, line)).collect()
    }

    /// The mechanisms of logins with a secret, and the acts that showed them.
    fn logins(played: &crate::protocol::script::Played) -> Vec<(String, u64)> {
        let of = |fact: &Fact| match fact {
            Fact::Login(login) if login.exposure == Exposure::Secret => Some(login.mechanism.clone()),
            _ => None,
        };
        played.observations.iter().filter_map(|seen| Some((of(&seen.fact)?, seen.frame))).collect()
    }

    #[test]
    fn a_login_is_seen_where_the_capture_begins_with_it() {
        for (from, frame) in [(0, 5), (1, 4), (2, 3), (3, 2)] {
            let played = midstream(Transport::Tcp, 25, &acts(from));
            assert_eq!(played.layers, ["smtp"], "from {from}");
            assert_eq!(logins(&played), [("LOGIN".to_owned(), frame)], "from {from}");
        }
        let plain =
            [send(REQUEST, "AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n"), send(RESPONSE, "235 2.7.0 ok\r\n")];
        let played = midstream(Transport::Tcp, 587, &plain);
        assert_eq!((played.layers.as_slice(), logins(&played).len()), (&["smtp"][..], 1));
        // Neither is POP3's, nor what answers it.
        let other = [send(REQUEST, "AUTH PLAIN\r\n"), send(RESPONSE, "+ \r\n")];
        assert_ne!(midstream(Transport::Tcp, 110, &other).layers, ["smtp"]);
    }

    #[test]
    fn one_side_of_a_login_is_enough() {
        let client: Vec<_> =
            acts(0).into_iter().filter(|act| matches!(act, Act::Bytes(REQUEST, _))).collect();
        let played = midstream(Transport::Tcp, 25, &client);
        assert_eq!((played.layers.as_slice(), logins(&played).len()), (&["smtp"][..], 1));
    }

    #[test]
    fn a_login_is_seen_behind_missing_bytes() {
        for missing in [&[REQUEST][..], &[RESPONSE], &[REQUEST, RESPONSE]] {
            let mut all =
                vec![send(RESPONSE, "220 mail.test ESMTP\r\n"), send(REQUEST, "EHLO phone.test\r\n")];
            all.extend(missing.iter().map(|direction| Act::Missing(*direction, 100)));
            all.extend(acts(0));
            let played = play(Transport::Tcp, 25, &all);
            assert_eq!(logins(&played).len(), 1, "{missing:?}");
        }
    }

    #[test]
    fn missing_bytes_within_a_login_make_no_secret_of_a_command() {
        // What the server said to AUTH is missing, and the client goes on without.
        let mut all = vec![send(RESPONSE, "220 mail.test ESMTP\r\n"), send(REQUEST, "EHLO phone.test\r\n")];
        all.extend([
            send(RESPONSE, "250 mail.test\r\n"),
            send(REQUEST, "AUTH LOGIN\r\n"),
            Act::Missing(RESPONSE, 40),
        ]);
        let quits = [all.clone(), vec![send(REQUEST, "RSET\r\n"), send(REQUEST, "QUIT\r\n")]].concat();
        assert!(logins(&play(Transport::Tcp, 25, &quits)).is_empty());
        // It asked for the name, and then for the password.
        let goes_on = [all, acts(2)].concat();
        assert_eq!(logins(&play(Transport::Tcp, 25, &goes_on)).len(), 1);
    }
}
