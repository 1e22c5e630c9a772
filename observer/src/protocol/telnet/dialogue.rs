//! What the server prompts for, and whether something is typed.

use super::PROTOCOL;
use super::wire::{Item, Scanner, Verb, option};
use crate::flow::{Data, Direction, Gap};
use crate::protocol::dialogue::mentions;
use crate::protocol::login::Exposure;
use crate::protocol::upgrade::{self, Step};
use crate::protocol::{Analyzer, Context, Progress, property, sasl};

/// Bytes of the server's last line that are kept: a prompt is its end.
const MAX_LINE: usize = 256;
/// Bytes of both directions after which a flow without a login is only counted.
const MAX_BYTES: usize = 64 << 10;

/// How prompts for a user's name end, in lower case and without white space behind.
const NAME_PROMPTS: &[&str] =
    &["login:", "username:", "user name:", "user:", "user id:", "userid:", "benutzername:", "account:"];
/// Words of which one stands in a prompt for a password; the prompt ends with a colon.
const PASSWORD_WORDS: &[&str] = &[
    "password",
    "passwd",
    "passcode",
    "passphrase",
    "passwort",
    "kennwort",
    "mot de passe",
    "contraseña",
    "senha",
    "пароль",
    "密码",
];

/// The type SSL of the option AUTHENTICATION (netkit-telnet-ssl's `telnet.h`).
const SSL: u8 = 7;

#[derive(Default)]
pub(super) struct Telnet {
    scanners: [Scanner; 2],
    /// The server's last line as far as it has come.
    line: Vec<u8>,
    greeted: bool,
    /// What was asked for by the prompt in front of what the client types; whether something was typed.
    asked: Option<(Asked, bool)>,
    /// Whether the client has agreed to TLS: a handshake's record may begin.
    tls: bool,
    /// Which sides said that TLS follows.
    follows: [bool; 2],
    /// A record's first bytes as far as they have come.
    record: Vec<u8>,
    seen: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Name,
    Password,
}

impl Analyzer for Telnet {
    fn data(&mut self, data: Data<'_>, cx: &mut Context<'_>) -> Progress {
        self.seen = self.seen.saturating_add(data.bytes.len());
        let mut rest = data.bytes;
        while let Some((byte, behind)) = rest.split_first() {
            let between = self.scanners.get(data.direction.index()).is_some_and(Scanner::is_between);
            if self.tls && between && data.direction == Direction::ToResponder {
                match self.begins_tls(*byte) {
                    Some(true) => return self.hand_on(data, rest, cx),
                    Some(false) => self.record.clear(),
                    None => {
                        rest = behind;
                        continue;
                    }
                }
            }
            rest = behind;
            let item = self.scanners.get_mut(data.direction.index()).and_then(|scanner| scanner.byte(*byte));
            let progress = match item {
                Some(Item::Text(byte)) if data.direction == Direction::ToResponder => self.typed(byte, cx),
                Some(Item::Text(byte)) => {
                    self.shown(byte, cx);
                    Progress::NeedMore
                }
                Some(Item::Negotiation(verb, option)) => {
                    self.negotiate(data.direction, verb, option, cx);
                    Progress::NeedMore
                }
                Some(Item::Subnegotiation(said)) => self.subnegotiate(data.direction, &said, cx),
                None => Progress::NeedMore,
            };
            if progress != Progress::NeedMore {
                return progress;
            }
        }
        if self.seen > MAX_BYTES { Progress::Done } else { Progress::NeedMore }
    }

    fn gap(&mut self, gap: Gap, _cx: &mut Context<'_>) -> Progress {
        if let Some(scanner) = self.scanners.get_mut(gap.direction.index()) {
            *scanner = Scanner::default();
        }
        self.line.clear();
        (self.asked, self.greeted) = (None, true);
        Progress::NeedMore
    }
}

impl Telnet {
    /// Whether `byte` is part of a handshake's record; `None` where that is not decided yet.
    fn begins_tls(&mut self, byte: u8) -> Option<bool> {
        match (self.record.len(), byte) {
            (0, 0x16) | (1, 3) => {
                self.record.push(byte);
                None
            }
            (2, 0..=4) => Some(true),
            _ => Some(false),
        }
    }

    /// Gives TLS what belongs to it: the record's first bytes, and what is left.
    fn hand_on(&mut self, data: Data<'_>, rest: &[u8], cx: &mut Context<'_>) -> Progress {
        let bytes = [&std::mem::take(&mut self.record), rest].concat();
        self.tls = false;
        cx.hand_on(Data { bytes: &bytes, ..data });
        Progress::Upgraded
    }

    /// The server shows a byte.
    fn shown(&mut self, byte: u8, cx: &mut Context<'_>) {
        match byte {
            b'\r' | b'\n' => {
                let line = std::mem::take(&mut self.line);
                if !self.greeted && !line.trim_ascii().is_empty() {
                    self.greeted = true;
                    property::Fact::say(PROTOCOL.name, "banner", &line, cx);
                }
            }
            0 => {}
            _ => {
                if self.line.len() >= MAX_LINE {
                    self.line.clear();
                }
                self.line.push(byte);
            }
        }
    }

    /// The client types a byte.
    fn typed(&mut self, byte: u8, cx: &mut Context<'_>) -> Progress {
        let end = matches!(byte, b'\r' | b'\n');
        // The prompt counts that stood there when the line was begun: the server echoes what is typed.
        let asked = self.asked.or_else(|| prompt(&self.line).map(|asked| (asked, false)));
        // What ends a line may be two bytes, of which the second types nothing.
        self.asked = asked.map(|(asked, some)| (asked, some || !(end || byte == 0)));
        if !end {
            return Progress::NeedMore;
        }
        self.line.clear();
        match self.asked.take() {
            Some((Asked::Name, true)) => {
                upgrade::went_on(PROTOCOL.name, b"login prompt", cx);
                sasl::say(PROTOCOL.name, "login prompt", Exposure::Identity, cx);
            }
            Some((Asked::Password, true)) => {
                sasl::say(PROTOCOL.name, "password prompt", Exposure::Secret, cx);
                return Progress::Done;
            }
            _ => {}
        }
        Progress::NeedMore
    }

    fn negotiate(&mut self, direction: Direction, verb: Verb, option: u8, cx: &mut Context<'_>) {
        if option != option::START_TLS {
            return;
        }
        let step = match (direction, verb) {
            (Direction::ToOriginator, Verb::Do) if !self.tls => Step::Offered,
            (Direction::ToResponder, Verb::Will) => {
                self.tls = true;
                Step::Requested
            }
            (Direction::ToOriginator, Verb::Dont) if self.tls => {
                self.tls = false;
                Step::Refused
            }
            _ => return,
        };
        upgrade::Fact::say(PROTOCOL.name, step, cx);
    }

    fn subnegotiate(&mut self, direction: Direction, said: &[u8], cx: &mut Context<'_>) -> Progress {
        let client = direction == Direction::ToResponder;
        match said {
            [option::START_TLS, 1] if self.tls => {
                let both = self.follows == [true; 2];
                if let Some(follows) = self.follows.get_mut(direction.index()) {
                    *follows = true;
                }
                if !both && self.follows == [true; 2] {
                    upgrade::Fact::say(PROTOCOL.name, Step::Accepted, cx);
                }
            }
            [option::TERMINAL_TYPE, 0, name @ ..] if client => {
                property::Fact::say(PROTOCOL.name, "terminal", name, cx);
            }
            // IS, and who the user is.
            [option::NEW_ENVIRON, 0, variables @ ..] if client && mentions(variables, "USER") => {
                sasl::say(PROTOCOL.name, "NEW-ENVIRON", Exposure::Identity, cx);
            }
            // SEND, and pairs of a type and modifiers.
            [option::AUTHENTICATION, 1, types @ ..]
                if !client && !self.tls && types.iter().step_by(2).any(|kind| *kind == SSL) =>
            {
                upgrade::Fact::say(PROTOCOL.name, Step::Offered, cx);
            }
            // IS, a type, modifiers, and its first message: START.
            [option::AUTHENTICATION, 0, SSL, _, 1, ..] if client => {
                self.tls = true;
                upgrade::Fact::say(PROTOCOL.name, Step::Requested, cx);
            }
            // REPLY: ACCEPT or REJECT.
            [option::AUTHENTICATION, 2, SSL, _, answer, ..] if !client && self.tls => {
                let accepted = *answer == 2;
                self.tls = accepted;
                upgrade::Fact::say(PROTOCOL.name, if accepted { Step::Accepted } else { Step::Refused }, cx);
            }
            // Kerberos, SRP and their like: tickets and answers.
            [option::AUTHENTICATION, 0, kind, _, _, ..] if client && !matches!(*kind, 0 | SSL) => {
                sasl::say(PROTOCOL.name, "AUTHENTICATION", Exposure::Response, cx);
            }
            // START: what follows is encrypted.
            [option::ENCRYPT, 3, ..] => {
                property::Fact::say(PROTOCOL.name, "encryption", b"started", cx);
                return Progress::Done;
            }
            _ => {}
        }
        Progress::NeedMore
    }
}

/// What the line that a server has shown asks for.
fn prompt(line: &[u8]) -> Option<Asked> {
    let line = String::from_utf8_lossy(line).trim().to_lowercase();
    if line.ends_with([':', '\u{ff1a}']) && PASSWORD_WORDS.iter().any(|word| line.contains(word)) {
        return Some(Asked::Password);
    }
    NAME_PROMPTS.iter().any(|prompt| line.ends_with(prompt)).then_some(Asked::Name)
}
