//! Redis ([RESP](https://redis.io/docs/latest/develop/reference/protocol-spec/), versions 2 and 3): logins, the version that
//! is agreed on and what a client calls itself.
//!
//! Recognised by a client's first command as an array of bulk strings. Commands on a line of their own are not
//! recognised. Values are not kept.

use super::login::{self, Exposure};
use super::pending::{Messages, Pending, Step};
use super::{Analyzer, Context, Fact, Probe, ProbeInput, Progress, Protocol, Worth, property};
use crate::bytes::ParseError;
use crate::decode::Transport;
use crate::flow::{Data, Direction};

/// The name of its layer.
const NAME: &str = "redis";

/// Redis in the registry.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: NAME,
    transports: &[Transport::Tcp],
    worth: Worth::Cleartext,
    probe,
    analyzer,
    views: "",
};

/// Commands that are read before a flow is only counted: logins come first.
const MAX_COMMANDS: u8 = 32;
/// Bytes of answers after which the login is over and a flow is only counted.
const MAX_ANSWERS: usize = 64 << 10;
/// Arguments of a command that are read; one with more is none of those that matter.
const MAX_ARGUMENTS: usize = 16;

fn probe(input: &ProbeInput<'_>) -> Probe {
    if input.direction == Direction::ToOriginator || input.bytes.first() != Some(&b'*') {
        return Probe::NoMatch;
    }
    match first_word(input.bytes) {
        Ok(Some(word)) => {
            let letters = |word: &[u8]| {
                word.iter().all(|byte| byte.is_ascii_alphabetic() || *byte == b'.' || *byte == b'_')
            };
            if word.len() >= 3 && letters(word) { Probe::Match } else { Probe::NoMatch }
        }
        Ok(None) => Probe::NeedMore,
        Err(_) => Probe::NoMatch,
    }
}

/// The command's name, when it has come.
fn first_word(bytes: &[u8]) -> Result<Option<&[u8]>, ParseError> {
    let mut cursor = Cursor { bytes, at: 0 };
    match cursor.number(b'*')? {
        Some(1..) => cursor.bulk(24),
        Some(0) => Err(ParseError::invalid("arguments", 0)),
        None => Ok(None),
    }
}

fn analyzer() -> Box<dyn Analyzer> {
    Box::new(Redis::default())
}

#[derive(Default)]
struct Redis {
    pending: Pending,
    client: Client,
    /// Bytes of answers that went by.
    answered: usize,
}

impl Analyzer for Redis {
    fn data(&mut self, data: Data<'_>, cx: &mut Context<'_>) -> Progress {
        // Answers are values: nothing of them matters.
        if data.direction == Direction::ToOriginator {
            self.answered = self.answered.saturating_add(data.bytes.len());
            return if self.answered > MAX_ANSWERS { Progress::Done } else { Progress::NeedMore };
        }
        self.pending.feed(data, &mut self.client, cx)
    }
}

/// What the client has said.
#[derive(Default)]
struct Client {
    commands: u8,
}

impl Messages for Client {
    const LIMIT: usize = 16 << 10;

    fn message(
        &mut self,
        _direction: Direction,
        bytes: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<Step, ParseError> {
        let mut cursor = Cursor { bytes, at: 0 };
        let Some(count) = cursor.number(b'*')? else { return Ok(Step::Wait) };
        if count == 0 || count > MAX_ARGUMENTS {
            return Ok(Step::Stop);
        }
        let mut arguments = Vec::with_capacity(count);
        for _ in 0..count {
            match cursor.bulk(Self::LIMIT)? {
                Some(argument) => arguments.push(argument),
                None => return Ok(Step::Wait),
            }
        }
        command(&arguments, cx);
        self.commands = self.commands.saturating_add(1);
        Ok(if self.commands >= MAX_COMMANDS { Step::Stop } else { Step::Took(cursor.at) })
    }
}

fn command(arguments: &[&[u8]], cx: &mut Context<'_>) {
    let is = |index: usize, name: &str| {
        arguments.get(index).is_some_and(|one| one.eq_ignore_ascii_case(name.as_bytes()))
    };
    let mut say = |name, index: usize| {
        if let Some(value) = arguments.get(index) {
            let value = String::from_utf8_lossy(value);
            cx.say(Fact::Property(Box::new(property::Fact::new(NAME, name, &value))));
        }
    };
    let mut login = None;
    if is(0, "AUTH") && arguments.len() > 1 {
        login = Some("AUTH");
    } else if is(0, "HELLO") {
        say("version", 1);
        login = (1..arguments.len()).any(|index| is(index, "AUTH")).then_some("HELLO");
    } else if is(0, "CLIENT") && is(1, "SETNAME") {
        say("client_name", 2);
    } else if is(0, "CLIENT") && is(1, "SETINFO") && is(2, "LIB-NAME") {
        say("client_library", 3);
    }
    if let Some(mechanism) = login {
        let mechanism = mechanism.to_owned();
        cx.say(Fact::Login(Box::new(login::Fact { protocol: NAME, mechanism, exposure: Exposure::Secret })));
    }
}

/// Reads RESP's types.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// A line of `mark` and a number; `None` where its end has not come.
    fn number(&mut self, mark: u8) -> Result<Option<usize>, ParseError> {
        let invalid = ParseError::invalid("length", self.at);
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let digits = match rest.split_first() {
            None => return Ok(None),
            Some((first, digits)) if *first == mark => digits,
            Some(_) => return Err(invalid),
        };
        let count = digits.iter().take_while(|digit| digit.is_ascii_digit()).count();
        let (number, after) = digits.split_at_checked(count).unwrap_or((digits, &[]));
        if count > 9 || (count == 0 && !after.is_empty()) {
            return Err(invalid);
        }
        match after {
            [] | [b'\r'] => Ok(None),
            [b'\r', b'\n', ..] => {
                self.at = self.at.saturating_add(count).saturating_add(3);
                Ok(std::str::from_utf8(number).ok().and_then(|number| number.parse().ok()))
            }
            _ => Err(invalid),
        }
    }

    /// A bulk string of at most `limit` bytes; `None` where it has not come.
    fn bulk(&mut self, limit: usize) -> Result<Option<&'a [u8]>, ParseError> {
        let Some(length) = self.number(b'$')? else { return Ok(None) };
        if length > limit {
            return Err(ParseError::invalid("length", self.at));
        }
        let end = self.at.saturating_add(length);
        let Some(bulk) = self.bytes.get(self.at..end) else { return Ok(None) };
        match self.bytes.get(end..).unwrap_or_default() {
            [] | [b'\r'] => Ok(None),
            [b'\r', b'\n', ..] => {
                self.at = end.saturating_add(2);
                Ok(Some(bulk))
            }
            _ => Err(ParseError::invalid("bulk string", end)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::script::{Act, REQUEST, RESPONSE, cut, play, send, sizes};

    fn session() -> Vec<Act> {
        vec![
            send(REQUEST, "*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n*2\r\n$4\r\nAUTH\r\n$6\r\nhunter\r\n"),
            send(RESPONSE, "+OK\r\n"),
            send(
                REQUEST,
                "*3\r\n$6\r\nclient\r\n$7\r\nsetname\r\n$3\r\napp\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\n\r\n\r\n",
            ),
        ]
    }

    #[test]
    fn logins_and_names_are_said_and_no_secret() {
        let played = play(Transport::Tcp, 6379, &session());
        let said = played.said();
        assert_eq!((played.layers.as_slice(), played.facts().len()), (["redis"].as_slice(), 3), "{said}");
        assert!(!said.contains("hunter"), "{said}");
    }

    #[test]
    fn text_with_a_star_is_not_redis() {
        for text in ["* OK IMAP4rev1\r\n", "*1\r\n+OK\r\n", "*0\r\n", "*2\r\n$3\r\n\x01\x02\x03\r\n"] {
            assert_eq!(play(Transport::Tcp, 6379, &[send(REQUEST, text)]).layers, ["unknown"], "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_split_says_the_same(sizes in sizes()) {
            let whole = play(Transport::Tcp, 6379, &session());
            prop_assert_eq!(play(Transport::Tcp, 6379, &cut(&session(), &sizes)).said(), whole.said());
        }
    }
}
