//! Commands (RFC 854), negotiation of options (RFC 855) and subnegotiation, told from text, byte by byte.

/// Bytes of a subnegotiation that are kept.
const MAX_SUBNEGOTIATION: usize = 256;

/// "Interpret as command".
pub(super) const IAC: u8 = 255;
const SB: u8 = 250;
const SE: u8 = 240;

/// The options that are looked at (IANA's Telnet Options).
pub(super) mod option {
    pub(in crate::protocol::telnet) const TERMINAL_TYPE: u8 = 24;
    pub(in crate::protocol::telnet) const AUTHENTICATION: u8 = 37;
    pub(in crate::protocol::telnet) const ENCRYPT: u8 = 38;
    pub(in crate::protocol::telnet) const NEW_ENVIRON: u8 = 39;
    pub(in crate::protocol::telnet) const START_TLS: u8 = 46;
}

/// How a peer negotiates an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Will,
    Wont,
    Do,
    Dont,
}

impl Verb {
    fn of(byte: u8) -> Option<Self> {
        Some(match byte {
            251 => Self::Will,
            252 => Self::Wont,
            253 => Self::Do,
            254 => Self::Dont,
            _ => return None,
        })
    }
}

/// Something in a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// A byte of text, which is 255 where that was doubled.
    Text(u8),
    /// The negotiation of an option.
    Negotiation(Verb, u8),
    /// What a subnegotiation says, its option first; cut to what is kept.
    Subnegotiation(Vec<u8>),
}

/// One direction's state.
#[derive(Clone, Debug, Default)]
pub(super) enum Scanner {
    #[default]
    Text,
    /// Behind an IAC.
    Command,
    /// Behind the verb of a negotiation.
    Verb(Verb),
    /// Within a subnegotiation; whether behind an IAC.
    Inside(Vec<u8>, bool),
}

impl Scanner {
    /// Whether the next byte begins something.
    pub(super) fn is_between(&self) -> bool {
        matches!(self, Self::Text)
    }

    /// Takes a byte; says what it completes.
    pub(super) fn byte(&mut self, byte: u8) -> Option<Item> {
        match (std::mem::take(self), byte) {
            (Self::Text, IAC) => *self = Self::Command,
            (Self::Text, _) | (Self::Command, IAC) => return Some(Item::Text(byte)),
            (Self::Command, SB) => *self = Self::Inside(Vec::new(), false),
            (Self::Command, _) => *self = Verb::of(byte).map_or(Self::Text, Self::Verb),
            (Self::Verb(verb), _) => return Some(Item::Negotiation(verb, byte)),
            (Self::Inside(said, true), SE) => return Some(Item::Subnegotiation(said)),
            (Self::Inside(said, false), IAC) => *self = Self::Inside(said, true),
            (Self::Inside(mut said, _), _) => {
                if said.len() < MAX_SUBNEGOTIATION {
                    said.push(byte);
                }
                *self = Self::Inside(said, false);
            }
        }
        None
    }
}

/// Options whose numbers are believed at a start: those that IANA has assigned to 49, and MUD's from 85 to 93 and 200, 201.
fn is_plausible(option: u8) -> bool {
    matches!(option, 0..=49 | 85..=93 | 200 | 201)
}

/// How many negotiations of plausible options `bytes` begin with, one behind the other with subnegotiations between them.
/// Each of them has some 16 bits that random bytes do not have.
pub(super) fn negotiations(bytes: &[u8]) -> usize {
    let mut scanner = Scanner::default();
    let mut count = 0_usize;
    for byte in bytes {
        match scanner.byte(*byte) {
            Some(Item::Negotiation(_, option)) if is_plausible(option) => count = count.saturating_add(1),
            Some(Item::Subnegotiation(said)) if said.first().is_some_and(|option| is_plausible(*option)) => {}
            None => {}
            Some(_) => break,
        }
    }
    count
}
