//! RTMP up to the first commands ([Adobe's specification 1.0](https://rtmp.veriskope.com/docs/spec/)), and RTMPE, which encrypts
//! with keys of its own.
//!
//! Recognised by a client's first packet of 1537 bytes: a version, a time, and either four zeros or the version of a
//! player whose digest is right, in front of random bytes. Streams are not read, and the name of a stream is not kept: with
//! many services it is the key with which anybody may publish. RTMPE is recognised and not read. RTMP within HTTP is
//! HTTP, within TLS it is TLS.

mod commands;
mod digest;
#[cfg(test)]
mod tests;

use super::pending::{Messages, Reading, Step};
use super::{Analyzer, Context, Probe, ProbeInput, Protocol, Worth, property};
use crate::bytes::ParseError;
use crate::decode::Transport;
use crate::flow::Direction;

/// RTMP in the registry.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: "rtmp",
    transports: &[Transport::Tcp],
    worth: Worth::Cleartext,
    probe: |input: &ProbeInput<'_>| probe(input, &[3]),
    analyzer: || Box::new(Reading::<Session>::default()) as Box<dyn Analyzer>,
    views: "",
};

/// RTMPE in the registry.
pub(super) static ENCRYPTED_PROTOCOL: Protocol = Protocol {
    name: "rtmpe",
    transports: &[Transport::Tcp],
    worth: Worth::Opaque,
    probe: |input: &ProbeInput<'_>| probe(input, ENCRYPTED),
    analyzer: || Box::new(Reading::<Session>::default()) as Box<dyn Analyzer>,
    views: "",
};

/// Versions that encrypt: RC4, and two block ciphers that some servers know.
const ENCRYPTED: &[u8] = &[6, 8, 9];
/// Bytes of a handshake's packet (C1, S1, C2, S2).
const PACKET: usize = 1536;
/// Bytes of the version and the first packet.
const OPENING: usize = PACKET + 1;
/// Random bytes that are looked at behind four zeros, and how many different ones they must have: 64 of them have fewer
/// than 40 once in 2^50 tries, and structured data seldom has as many.
const RANDOM: (usize, usize) = (64, 40);
/// The same behind a player's version, within what probes see.
const MUCH_RANDOM: (usize, usize) = (900, 200);

fn probe(input: &ProbeInput<'_>, versions: &[u8]) -> Probe {
    let begins = input.bytes.first().is_some_and(|version| versions.contains(version));
    if !begins || input.direction == Direction::ToOriginator || input.midstream {
        return Probe::NoMatch;
    }
    let Some(version) = input.bytes.get(5..9) else { return Probe::NeedMore };
    let encrypts = versions == ENCRYPTED;
    let (looked_at, enough) = match version {
        [0, 0, 0, 0] if !encrypts => RANDOM,
        // Players are of version 9 and above, without a minor version; 128 stands for those that encrypt.
        [9..=32 | 128, 0, _, revision] if *revision > 0 => MUCH_RANDOM,
        _ => return Probe::NoMatch,
    };
    match input.bytes.get(9..).and_then(|random| random.get(..looked_at)) {
        Some(random) if distinct(random) >= enough => Probe::Match,
        Some(_) => Probe::NoMatch,
        None => Probe::NeedMore,
    }
}

/// How many different bytes there are.
fn distinct(bytes: &[u8]) -> usize {
    let mut seen = [false; 256];
    for byte in bytes {
        if let Some(seen) = seen.get_mut(usize::from(*byte)) {
            *seen = true;
        }
    }
    seen.into_iter().filter(|seen| *seen).count()
}

/// A session as its client goes on.
#[derive(Default)]
struct Session {
    stage: Stage,
    answered: bool,
}

#[derive(Default)]
enum Stage {
    #[default]
    Opening,
    /// The rest of C2, in bytes.
    Confirmation(usize),
    Commands(Box<commands::Chunks>),
}

impl Messages for Session {
    const LIMIT: usize = 16 << 10;

    fn message(
        &mut self,
        direction: Direction,
        bytes: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<Step, ParseError> {
        if direction == Direction::ToOriginator {
            if !std::mem::replace(&mut self.answered, true) && !matches!(bytes, [3 | 6 | 8 | 9, ..]) {
                return Err(ParseError::invalid("version", 0));
            }
            return Ok(Step::Took(bytes.len()));
        }
        match &mut self.stage {
            Stage::Opening => {
                let Some((version, opening)) = bytes.get(..OPENING).and_then(<[u8]>::split_first) else {
                    return Ok(Step::Wait);
                };
                let digested = opening.get(4..8).is_some_and(|version| version != [0; 4]);
                if digested && !digest::is_right(opening) {
                    return Err(ParseError::invalid("digest", 1));
                }
                let encrypted = ENCRYPTED.contains(version);
                let name = if encrypted { ENCRYPTED_PROTOCOL.name } else { PROTOCOL.name };
                property::Fact::say(name, "version", version.to_string().as_bytes(), cx);
                if encrypted {
                    return Ok(Step::Stop);
                }
                self.stage = Stage::Confirmation(PACKET);
                Ok(Step::Took(OPENING))
            }
            Stage::Confirmation(left) => {
                let taken = bytes.len().min(*left);
                *left = left.saturating_sub(taken);
                if *left == 0 {
                    self.stage = Stage::Commands(Box::default());
                }
                Ok(Step::Took(taken))
            }
            Stage::Commands(chunks) => chunks.chunk(bytes, cx),
        }
    }
}
