//! BitTorrent: the peer protocol over streams ([BEP 3](https://www.bittorrent.org/beps/bep_0003.html), extensions of
//! [BEP 10](https://www.bittorrent.org/beps/bep_0010.html)), and its hash table over datagrams
//! ([BEP 5](https://www.bittorrent.org/beps/bep_0005.html)).
//!
//! Recognised by the handshake, and by messages of the hash table, which begin in a fixed way. What is shared is named by
//! its hash; pieces are not read. Peers that encrypt their handshake (MSE, which many prefer) look like noise by design
//! and are not recognised, nor are µTP and trackers over UDP; trackers over HTTP are HTTP.

mod table;

use super::pending::{Messages, Reading, Step};
use super::{Analyzer, Context, Probe, ProbeInput, Protocol, Worth, property};
use crate::bytes::{ParseError, Reader};
use crate::decode::Transport;
use crate::flow::Direction;

pub(super) use self::table::PROTOCOL as TABLE_PROTOCOL;

/// The name of its layer.
const NAME: &str = "bittorrent";

/// The peer protocol in the registry.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: NAME,
    transports: &[Transport::Tcp],
    worth: Worth::Cleartext,
    probe,
    analyzer: || Box::new(Reading::<Peers>::default()) as Box<dyn Analyzer>,
    views: "",
};

/// How a handshake begins.
const START: &[u8] = b"\x13BitTorrent protocol";
/// Messages of a peer behind its handshake that are looked at: what it can is said in one of the first.
const MAX_MESSAGES: u8 = 8;
/// The number of extended messages, and of their handshake among them (BEP 10).
const EXTENDED: [u8; 2] = [20, 0];

fn probe(input: &ProbeInput<'_>) -> Probe {
    if input.bytes.starts_with(START) {
        Probe::Match
    } else if START.starts_with(input.bytes) {
        Probe::NeedMore
    } else {
        Probe::NoMatch
    }
}

/// What both peers have said.
#[derive(Default)]
struct Peers {
    sides: [Side; 2],
}

#[derive(Default)]
struct Side {
    shaken: bool,
    messages: u8,
}

impl Messages for Peers {
    const LIMIT: usize = 16 << 10;

    fn message(
        &mut self,
        direction: Direction,
        bytes: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<Step, ParseError> {
        let hash_known = self.sides.iter().any(|side| side.shaken);
        let Some(side) = self.sides.get_mut(direction.index()) else { return Ok(Step::Stop) };
        let originator = direction == Direction::ToResponder;
        let mut reader = Reader::new(bytes);
        if !side.shaken {
            let read = handshake(&mut reader);
            return match read {
                Ok((hash, client)) => {
                    side.shaken = true;
                    if !hash_known {
                        let hash = data_encoding::HEXLOWER.encode(hash);
                        property::Fact::say(NAME, "info_hash", hash.as_bytes(), cx);
                    }
                    if let Some(client) = client {
                        let name = if originator { "client" } else { "server" };
                        property::Fact::say(NAME, name, client, cx);
                    }
                    Ok(Step::Took(reader.position()))
                }
                Err(error) if error.is_truncated() => Ok(Step::Wait),
                Err(error) => Err(error),
            };
        }
        let Ok(length) = reader.u32("length").map(|length| usize::try_from(length).unwrap_or(usize::MAX))
        else {
            return Ok(Step::Wait);
        };
        side.messages = side.messages.saturating_add(1);
        // Blocks are long, and with them the part that is looked at is over.
        if side.messages > MAX_MESSAGES || length > Self::LIMIT / 2 {
            return Ok(Step::Stop);
        }
        match reader.take(length, "message") {
            Ok(message) => {
                if let Some(version) = message.strip_prefix(&EXTENDED).and_then(version) {
                    let name = if originator { "client_version" } else { "server_version" };
                    property::Fact::say(NAME, name, version, cx);
                }
                Ok(Step::Took(reader.position()))
            }
            Err(_) => {
                side.messages = side.messages.saturating_sub(1);
                Ok(Step::Wait)
            }
        }
    }
}

/// The hash of what is shared, and the client by the mark in a peer's id (BEP 20), such as `-TR3000-`.
fn handshake<'a>(reader: &mut Reader<'a>) -> Result<(&'a [u8], Option<&'a [u8]>), ParseError> {
    if reader.take(START.len(), "protocol")? != START {
        return Err(ParseError::invalid("protocol", 0));
    }
    reader.take(8, "reserved")?;
    let hash = reader.take(20, "info hash")?;
    let id = reader.take(20, "peer id")?;
    let mark =
        id.get(..8).filter(|mark| matches!(mark, [b'-', .., b'-']) && mark.iter().all(u8::is_ascii_graphic));
    Ok((hash, mark))
}

/// The client's name and version in an extended handshake: the key `v` of its dictionary.
fn version(dictionary: &[u8]) -> Option<&[u8]> {
    const KEY: &[u8] = b"1:v";
    let at = dictionary.windows(KEY.len()).position(|window| window == KEY)?;
    let value = dictionary.get(at.saturating_add(KEY.len())..)?;
    let colon = value.iter().take(4).position(|byte| *byte == b':')?;
    let length: usize = std::str::from_utf8(value.get(..colon)?).ok()?.parse().ok()?;
    value.get(colon.saturating_add(1)..)?.get(..length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::Fact;
    use crate::protocol::script::{Act, REQUEST, RESPONSE, cut, play, send, sizes};

    fn handshake(id: &[u8; 20]) -> Vec<u8> {
        [START, &[0; 8], &[0xab; 20], id].concat()
    }

    fn session() -> Vec<Act> {
        let extended = b"d1:md11:ut_metadatai1ee1:pi6881e1:v12:aria2/1.36.0e";
        let length = u32::try_from(extended.len() + 2).unwrap().to_be_bytes();
        vec![
            send(REQUEST, handshake(b"-TR3000-0123456789ab")),
            send(RESPONSE, [&handshake(b"A2-1-36-0-9876543210")[..], &length, &EXTENDED, extended].concat()),
            send(REQUEST, b"\0\0\0\0\0\0\0\x01\x02"),
            send(RESPONSE, [&[0, 0, 0x40, 9, 7][..], &[0xff; 400]].concat()),
        ]
    }

    #[test]
    fn a_handshake_names_what_is_shared_and_the_clients() {
        let played = play(Transport::Tcp, 6881, &session());
        assert_eq!(played.layers, ["bittorrent"]);
        let facts = played.facts();
        let properties: Vec<_> = facts
            .iter()
            .map(|fact| match fact {
                Fact::Property(fact) => (fact.name, fact.value.as_str()),
                other => panic!("{other:?}"),
            })
            .collect();
        let hash = "ab".repeat(20);
        let expected =
            [("info_hash", hash.as_str()), ("client", "-TR3000-"), ("server_version", "aria2/1.36.0")];
        assert_eq!(properties, expected);
    }

    #[test]
    fn the_words_alone_are_not_enough() {
        for text in ["BitTorrent protocol", "\x13BitTorrent protocox and more than that"] {
            assert_eq!(play(Transport::Tcp, 6881, &[send(REQUEST, text)]).layers, ["unknown"], "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_split_says_the_same(sizes in sizes()) {
            let whole = play(Transport::Tcp, 6881, &session());
            prop_assert_eq!(play(Transport::Tcp, 6881, &cut(&session(), &sizes)).said(), whole.said());
        }
    }
}
