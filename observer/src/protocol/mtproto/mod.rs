//! MTProto, Telegram's own encryption ([transports](https://core.telegram.org/mtproto/mtproto-transports), [what encrypts and
//! what does not](https://core.telegram.org/mtproto/description)): recognised by the client's first packet, not read.
//!
//! Four transports have marks: abridged, intermediate, padded intermediate and full. What proves them is the envelope of an
//! exchange of keys, which is not encrypted, a checksum, or a mark of four bytes with a length that fits; an abridged flow
//! that begins with an encrypted message has no more than a byte, and is not claimed. Most of Telegram's apps obfuscate
//! the transport: then every byte looks like noise, by design, and the flow is one of nobody and opaque. A proxy with a
//! secret that begins with `ee` looks like TLS 1.3 with the name of somebody else's site in its ClientHello; nothing that
//! can be seen without the secret tells it from TLS, as which it is read.

use super::pending::{Messages, Reading, Step};
use super::{Analyzer, Context, Probe, ProbeInput, Protocol, Worth, property};
use crate::bytes::{ParseError, Reader};
use crate::decode::Transport;
use crate::flow::Direction;

/// The name of its layer.
const NAME: &str = "mtproto";

/// MTProto in the registry.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: NAME,
    transports: &[Transport::Tcp],
    worth: Worth::Opaque,
    probe,
    analyzer: || Box::new(Reading::<First>::default()) as Box<dyn Analyzer>,
    views: "",
};

/// Bytes of a first packet that are believed. An app's first batch of requests stays far below.
const MAX_PACKET: usize = 1 << 20;
/// Bytes of an encrypted message in front of its ciphertext: the key's id and the message's.
const ENCRYPTED_HEAD: usize = 24;
/// Bytes of an envelope in front of its message: a key's id of 0, the message's id and length.
const ENVELOPE: usize = 20;
/// The first second that a message's id may hold: 2013, when the protocol was published.
const FIRST_SECOND: u32 = 1_356_998_400;
/// Bytes that a padded packet may have behind its content.
const MAX_PADDING: usize = 15;

/// What a client's first packet is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Start {
    transport: &'static str,
    message: Message,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Message {
    /// A step of the exchange of keys: its constructor.
    Exchange(u32),
    /// One under a key that both have.
    Encrypted,
}

fn probe(input: &ProbeInput<'_>) -> Probe {
    if input.direction == Direction::ToOriginator || input.midstream {
        return Probe::NoMatch;
    }
    match start(input.bytes) {
        Ok(_) => Probe::Match,
        Err(error) if error.is_truncated() => Probe::NeedMore,
        Err(_) => Probe::NoMatch,
    }
}

/// Reads the client's first packet.
fn start(bytes: &[u8]) -> Result<Start, ParseError> {
    let mut reader = Reader::new(bytes);
    match reader.u8("mark")? {
        0xef => {
            // The highest bit asks for a quick acknowledgement; lengths count words.
            let words = match reader.u8("length")? & 0x7f {
                0x7f => {
                    let [low, middle, high] = reader.array("length")?;
                    u32::from_le_bytes([low, middle, high, 0])
                }
                short => u32::from(short),
            };
            let length = usize::try_from(words).unwrap_or(usize::MAX).saturating_mul(4);
            match message(&mut reader, length, 0)? {
                Some(message @ Message::Exchange(_)) => Ok(Start { transport: "abridged", message }),
                _ => Err(reader.invalid("key")),
            }
        }
        mark @ (0xee | 0xdd) => {
            for _ in 0..3 {
                if reader.u8("mark")? != mark {
                    return Err(reader.invalid("mark"));
                }
            }
            let length = usize::try_from(reader.u32_le("length")? & 0x7fff_ffff).unwrap_or(usize::MAX);
            let (transport, padding) =
                if mark == 0xee { ("intermediate", 0) } else { ("padded intermediate", MAX_PADDING) };
            let message = message(&mut reader, length, padding)?.ok_or(reader.invalid("length"))?;
            Ok(Start { transport, message })
        }
        _ => full(bytes),
    }
}

/// A packet with a number and a checksum: length, 0, payload, CRC-32 of all that.
fn full(bytes: &[u8]) -> Result<Start, ParseError> {
    let mut reader = Reader::new(bytes);
    let length = reader.u32_le("length")?;
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let payload = length.saturating_sub(12);
    if length > MAX_PACKET || length % 4 != 0 || payload < ENVELOPE {
        return Err(ParseError::invalid("length", 0));
    }
    if reader.u32_le("number")? != 0 {
        return Err(ParseError::invalid("number", 4));
    }
    reader.take(payload, "payload")?;
    let stated = reader.u32_le("checksum")?;
    let summed = bytes.get(..length.saturating_sub(4)).unwrap_or_default();
    if crc32fast::hash(summed) != stated {
        return Err(reader.invalid("checksum"));
    }
    let mut reader = Reader::new(bytes.get(8..).unwrap_or_default());
    let message = message(&mut reader, payload, 0)?.unwrap_or(Message::Encrypted);
    Ok(Start { transport: "full", message })
}

/// What a payload of `length` bytes, of which so many may be padding, begins with; `None` where it is neither of both.
fn message(reader: &mut Reader<'_>, length: usize, padding: usize) -> Result<Option<Message>, ParseError> {
    if !(ENVELOPE..=MAX_PACKET).contains(&length) {
        return Err(reader.invalid("length"));
    }
    let key = reader.u64("key")?;
    if key != 0 {
        let ciphertext = length.saturating_sub(ENCRYPTED_HEAD);
        let fits = length > ENCRYPTED_HEAD && ciphertext % 16 <= padding;
        return Ok(fits.then_some(Message::Encrypted));
    }
    // A client's numbers are its clock's seconds and a fraction, and divisible by four.
    let id = reader.u64_le("message id")?;
    let seconds = u32::try_from(id >> 32).unwrap_or(0);
    let stated = usize::try_from(reader.u32_le("message length")?).unwrap_or(usize::MAX);
    let rest = length.saturating_sub(ENVELOPE);
    if seconds < FIRST_SECOND || id % 4 != 0 || stated < 4 || stated > rest || rest - stated > padding {
        return Err(reader.invalid("envelope"));
    }
    Ok(Some(Message::Exchange(reader.u32_le("constructor")?)))
}

#[derive(Default)]
struct First;

impl Messages for First {
    // What the probe has seen is enough.
    const LIMIT: usize = 2 << 10;

    fn message(
        &mut self,
        direction: Direction,
        bytes: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<Step, ParseError> {
        if direction == Direction::ToOriginator {
            return Ok(Step::Took(bytes.len()));
        }
        let start = match start(bytes) {
            Ok(start) => start,
            Err(error) if error.is_truncated() => return Ok(Step::Wait),
            Err(error) => return Err(error),
        };
        let message = match start.message {
            // TL's constructors are the CRC-32 of their declarations.
            Message::Exchange(0x6046_9778) => "req_pq".to_owned(),
            Message::Exchange(0xbe7e_8ef1) => "req_pq_multi".to_owned(),
            Message::Exchange(other) => format!("constructor {other:08x}"),
            Message::Encrypted => "encrypted message".to_owned(),
        };
        property::Fact::say(NAME, "transport", start.transport.as_bytes(), cx);
        property::Fact::say(NAME, "begins_with", message.as_bytes(), cx);
        Ok(Step::Stop)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::Fact;
    use crate::protocol::script::{Played, REQUEST, cut, play, send, sizes};

    /// `req_pq_multi` in its envelope, 40 bytes.
    fn request() -> Vec<u8> {
        let id = (u64::from(FIRST_SECOND) << 32 | 0x1234_5678).to_le_bytes();
        [&[0; 8][..], &id, &20_u32.to_le_bytes(), &0xbe7e_8ef1_u32.to_le_bytes(), &[0x5a; 16]].concat()
    }

    fn in_full(payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len() + 12).unwrap().to_le_bytes();
        let packet = [&length[..], &[0; 4], payload].concat();
        let sum = crc32fast::hash(&packet).to_le_bytes();
        [packet, sum.to_vec()].concat()
    }

    fn packets() -> Vec<(Vec<u8>, &'static str, &'static str)> {
        let encrypted = [&[0x77_u8; 8][..], &[0x99; 16 + 64]].concat();
        vec![
            ([&[0xef, 10][..], &request()].concat(), "abridged", "req_pq_multi"),
            ([&[0xef, 0x8a][..], &request()].concat(), "abridged", "req_pq_multi"),
            ([&[0xee; 4][..], &[40, 0, 0, 0], &request()].concat(), "intermediate", "req_pq_multi"),
            (
                [&[0xdd; 4][..], &[47, 0, 0, 0], &request(), &[3; 7]].concat(),
                "padded intermediate",
                "req_pq_multi",
            ),
            ([&[0xee; 4][..], &[88, 0, 0, 0], &encrypted].concat(), "intermediate", "encrypted message"),
            (in_full(&request()), "full", "req_pq_multi"),
            (in_full(&encrypted), "full", "encrypted message"),
        ]
    }

    fn tcp(bytes: &[u8]) -> Played {
        play(Transport::Tcp, 443, &[send(REQUEST, bytes)])
    }

    #[test]
    fn the_first_packet_tells_the_transport() {
        for (packet, transport, message) in packets() {
            let played = tcp(&packet);
            assert_eq!(played.layers, ["mtproto"], "{transport} {message}");
            let facts = played.facts();
            let values: Vec<_> = facts
                .iter()
                .map(|fact| match fact {
                    Fact::Property(fact) => fact.value.as_str(),
                    other => panic!("{other:?}"),
                })
                .collect();
            assert_eq!(values, [transport, message]);
        }
    }

    #[test]
    fn what_is_not_proved_is_not_claimed() {
        let spoilt = |mut packet: Vec<u8>, at: usize| {
            packet[at] ^= 1;
            packet
        };
        let full = in_full(&request());
        for packet in [
            // Abridged with a key: one byte of evidence.
            [&[0xef, 22][..], &[0x77; 88]].concat(),
            // The key's id, the message's length, its clock, the checksum.
            spoilt([&[0xef, 10][..], &request()].concat(), 2),
            spoilt([&[0xef, 10][..], &request()].concat(), 18),
            [&[0xef, 10][..], &request()[..8], &[0; 8], &request()[16..]].concat(),
            spoilt(full.clone(), full.len() - 1),
            [&[0xee; 4][..], &[89, 0, 0, 0], &[0x77; 89]].concat(),
            vec![0xee; 64],
            vec![0xdd; 64],
        ] {
            assert_eq!(tcp(&packet).layers, ["unknown"], "{packet:02x?}");
        }
    }

    #[test]
    fn an_obfuscated_flow_is_nobodys_and_opaque() {
        // 64 bytes that none of the marks begin, and noise behind them.
        let mut state = 0x2545_f491_u32;
        let noise: Vec<u8> = (0..600)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                state.to_le_bytes()[1]
            })
            .collect();
        let played = tcp(&noise);
        assert_eq!(played.layers, ["unknown"]);
        assert!(played.said().contains("likeness: Opaque"), "{}", played.said());
    }

    proptest! {
        #[test]
        fn any_split_says_the_same(sizes in sizes()) {
            for (packet, ..) in packets() {
                let acts = [send(REQUEST, [&packet[..], b"what follows"].concat())];
                let whole = play(Transport::Tcp, 443, &acts);
                prop_assert_eq!(play(Transport::Tcp, 443, &cut(&acts, &sizes)).said(), whole.said());
            }
        }

        #[test]
        fn noise_is_not_claimed(bytes in proptest::collection::vec(any::<u8>(), 1..200)) {
            prop_assert!(start(&bytes).is_err());
        }
    }
}
