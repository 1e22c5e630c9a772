//! OpenVPN over datagrams and streams: recognised by the packet that begins a session, not read.
//!
//! The hard reset comes in three wrappings: bare, with a keyed digest (tls-auth), or encrypted (tls-crypt). Each has fields
//! at fixed places that must hold small numbers; the least of them are 40 bits. Sessions whose start was not captured, static
//! keys and obfuscated variants are not recognised. There is TLS within a bare control channel; it protects keys, not
//! the flow's data, and is not read.

use super::glance::Glance;
use super::{Analyzer, Context, Fact, Probe, ProbeInput, Progress, Protocol, Worth, property};
use crate::bytes::Reader;
use crate::decode::Transport;
use crate::flow::{Data, Opening};

/// The name of its layer.
const NAME: &str = "openvpn";

/// OpenVPN over datagrams in the registry.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: NAME,
    transports: &[Transport::Udp],
    worth: Worth::Opaque,
    probe: probe_datagram,
    analyzer: datagrams,
    views: "",
};

/// OpenVPN over streams in the registry: the same packets behind their length.
pub(super) static STREAM_PROTOCOL: Protocol = Protocol {
    name: NAME,
    transports: &[Transport::Tcp],
    worth: Worth::Opaque,
    probe: probe_stream,
    analyzer: streams,
    views: "",
};

/// Lengths of a reset: the shortest is bare, the longest carries a client's wrapped key (tls-crypt-v2).
const LENGTHS: std::ops::RangeInclusive<usize> = 14..=1400;
/// Packet numbers that a first packet may have: retries count on.
const FIRST_NUMBERS: std::ops::RangeInclusive<u32> = 1..=16;
/// What version 2.6 adds to the number of a first packet to say that it can negotiate early: as released, and before.
const EARLY_NEGOTIATION: [u32; 2] = [0x0f00_0000, 0x0a01_0000];
/// Bytes behind a server's reset that answer to that: the type, the length and the value of its flags.
const EARLY_FLAGS: usize = 6;
/// Bytes of the digests of tls-auth: SHA-1, SHA-256, SHA-384, SHA-512, MD5.
const DIGESTS: [usize; 5] = [20, 32, 48, 64, 16];

fn probe_datagram(input: &ProbeInput<'_>) -> Probe {
    if wrapping(input.bytes).is_some() { Probe::Match } else { Probe::NoMatch }
}

/// What a datagram says as the first of a flow: whose hard reset it is.
pub(super) fn opening(datagram: &[u8]) -> Option<Opening> {
    wrapping(datagram)?;
    let answers = matches!(datagram.first()?, 0x10 | 0x40);
    Some(if answers { Opening::Answer } else { Opening::Request })
}

fn probe_stream(input: &ProbeInput<'_>) -> Probe {
    let Some((length, packet)) = input.bytes.split_first_chunk::<2>() else {
        let begins = input.bytes.first().is_some_and(|high| *high <= 5);
        return if begins { Probe::NeedMore } else { Probe::NoMatch };
    };
    let length = usize::from(u16::from_be_bytes(*length));
    if !LENGTHS.contains(&length) || packet.first().is_some_and(|first| !is_reset(*first)) {
        return Probe::NoMatch;
    }
    match packet.get(..length) {
        Some(packet) if wrapping(packet).is_some() => Probe::Match,
        Some(_) => Probe::NoMatch,
        None => Probe::NeedMore,
    }
}

fn datagrams() -> Box<dyn Analyzer> {
    Glance::boxed(|data, cx| say(data.bytes, cx))
}

fn streams() -> Box<dyn Analyzer> {
    Box::new(Streams::default())
}

/// Waits for the packet that the probe saw.
#[derive(Default)]
struct Streams {
    heads: [Vec<u8>; 2],
}

impl Analyzer for Streams {
    fn data(&mut self, data: Data<'_>, cx: &mut Context<'_>) -> Progress {
        let Some(head) = self.heads.get_mut(data.direction.index()) else { return Progress::Done };
        let room = LENGTHS.end().saturating_add(2).saturating_sub(head.len());
        head.extend_from_slice(data.bytes.get(..room).unwrap_or(data.bytes));
        let Some((length, packet)) = head.split_first_chunk::<2>() else { return Progress::NeedMore };
        let length = usize::from(u16::from_be_bytes(*length));
        match packet.get(..length) {
            Some(packet) => {
                say(packet, cx);
                Progress::Done
            }
            None if length > *LENGTHS.end() => Progress::Done,
            None => Progress::NeedMore,
        }
    }
}

fn say(packet: &[u8], cx: &mut Context<'_>) {
    if let Some(wrapping) = wrapping(packet) {
        cx.say(Fact::Property(Box::new(property::Fact::new(NAME, "control_channel", wrapping))));
    }
}

/// Whether the byte holds the operation code of a hard reset, versions 1 to 3, and key 0.
fn is_reset(first: u8) -> bool {
    matches!(first, 0x08 | 0x10 | 0x38 | 0x40 | 0x50)
}

/// How the hard reset in `packet` is wrapped; `None` where it is none.
fn wrapping(packet: &[u8]) -> Option<&'static str> {
    let first = packet.first().filter(|first| is_reset(**first))?;
    if !LENGTHS.contains(&packet.len()) || packet.get(1..9)? == [0; 8] {
        return None;
    }
    let rest = packet.get(9..)?;
    if *first != 0x50 {
        if acknowledged(rest) {
            return Some("plain");
        }
        if DIGESTS.iter().any(|digest| authenticated(rest, *digest)) {
            return Some("tls-auth");
        }
    }
    encrypted(rest, *first == 0x50).then_some(if *first == 0x50 { "tls-crypt-v2" } else { "tls-crypt" })
}

/// Whether the bytes are a list of acknowledged packets, with its session, and the number 0 of a first packet, and no
/// more.
fn acknowledged(bytes: &[u8]) -> bool {
    let mut reader = Reader::new(bytes);
    let first = |reader: &mut Reader<'_>| reader.u32("packet number").is_ok_and(|number| number == 0);
    let acknowledged = match reader.u8("acknowledgements") {
        Ok(0) => true,
        Ok(1) => first(&mut reader) && reader.take(8, "session").is_ok(),
        _ => false,
    };
    acknowledged && first(&mut reader) && reader.is_empty()
}

/// Whether `bytes` are a digest, a number and a time in front of what a bare reset holds.
fn authenticated(bytes: &[u8], digest: usize) -> bool {
    bytes.get(digest..).is_some_and(|rest| numbered(rest) && rest.get(8..).is_some_and(acknowledged))
}

/// Whether the bytes are a number, a time, a digest of 32 bytes, and as many encrypted ones as a reset has.
fn encrypted(bytes: &[u8], with_key: bool) -> bool {
    let length = bytes.len();
    // A server's list of acknowledgements has 12 bytes, and flags may follow it; a client's wrapped key ends with its own
    // length.
    let fits = if with_key {
        let tail = bytes.get(45..).unwrap_or_default();
        let stated = tail.last_chunk::<2>().map(|last| usize::from(u16::from_be_bytes(*last)));
        stated.is_some_and(|stated| stated == tail.len() && stated > 256)
    } else {
        matches!(length, 45 | 57) || length == EARLY_FLAGS.saturating_add(57)
    };
    fits && numbered(bytes)
}

/// Whether the bytes begin with the number of a first packet and a time between 2001 and 2106.
fn numbered(bytes: &[u8]) -> bool {
    let mut reader = Reader::new(bytes);
    let (Ok(number), Ok(time)) = (reader.u32("packet number"), reader.u32("time")) else { return false };
    let fits =
        |before: &u32| number.checked_sub(*before).is_some_and(|number| FIRST_NUMBERS.contains(&number));
    (fits(&0) || EARLY_NEGOTIATION.iter().any(fits)) && time >= 1_000_000_000
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::script::{REQUEST, cut, play, send, sizes};

    const SESSION: [u8; 8] = [0x9a, 1, 2, 3, 4, 5, 6, 7];
    const NUMBER: [u8; 8] = [0, 0, 0, 1, 0x65, 0, 0, 0];

    fn packets() -> Vec<(Vec<u8>, &'static str)> {
        vec![
            ([&[0x38][..], &SESSION, &[0; 5]].concat(), "plain"),
            ([&[0x40][..], &SESSION, &[1, 0, 0, 0, 0], &SESSION, &[0; 4]].concat(), "plain"),
            ([&[0x38][..], &SESSION, &[7; 20], &NUMBER, &[0; 5]].concat(), "tls-auth"),
            ([&[0x38][..], &SESSION, &[7; 64], &NUMBER, &[0; 5]].concat(), "tls-auth"),
            ([&[0x38][..], &SESSION, &NUMBER, &[0xa5; 37]].concat(), "tls-crypt"),
            ([&[0x40][..], &SESSION, &NUMBER, &[0xa5; 55]].concat(), "tls-crypt"),
            (with_key(&[0x0f, 0, 0, 1]), "tls-crypt-v2"),
            (with_key(&[0x0a, 1, 0, 1]), "tls-crypt-v2"),
        ]
    }

    /// A client's reset with its wrapped key, which ends with its own length.
    fn with_key(number: &[u8]) -> Vec<u8> {
        [&[0x50][..], &SESSION, number, &NUMBER[4..], &[0xa5; 37], &[0x5a; 297], &299_u16.to_be_bytes()]
            .concat()
    }

    #[test]
    fn a_reset_says_how_it_is_wrapped() {
        for (packet, expected) in packets() {
            assert_eq!(wrapping(&packet), Some(expected));
            assert_eq!(wrapping(&packet[..packet.len() - 1]), None);
            let mut other = packet.clone();
            other[0] = 0x28;
            assert_eq!(wrapping(&other), None);
            assert_eq!(play(Transport::Udp, 1194, &[send(REQUEST, &packet)]).layers, ["openvpn"]);
        }
    }

    proptest! {
        #[test]
        fn a_stream_is_read_however_it_is_cut(sizes in sizes()) {
            for (packet, _) in packets() {
                let length = u16::try_from(packet.len()).unwrap().to_be_bytes();
                let acts = [send(REQUEST, [&length[..], &packet, b"what follows"].concat())];
                let whole = play(Transport::Tcp, 1194, &acts);
                prop_assert_eq!(&whole.layers, &["openvpn"]);
                prop_assert_eq!(play(Transport::Tcp, 1194, &cut(&acts, &sizes)).said(), whole.said());
            }
        }
    }
}
