//! The datagrams of an association: each begins with where it goes, or comes from
//! ([RFC 1928 §7](https://datatracker.ietf.org/doc/html/rfc1928#section-7)).

use std::collections::BTreeSet;

use super::{DATAGRAM_PROTOCOL, wire};
use crate::decode::Transport;
use crate::flow::{Data, Direction};
use crate::protocol::{
    Analyzer, Context, Earlier, Fact, PROTOCOLS, Probe, ProbeInput, Progress, property, proxy,
};

/// Destinations beside the first that are named.
const MAX_OTHERS: usize = 16;
/// Bytes of a header with an IPv4 address.
const HEADER_V4: usize = 10;

/// A header of zeros and an address is little: what follows it has to be a known protocol's, or the other side has to
/// name the same address. A header with a name is enough.
pub(super) fn probe(input: &ProbeInput<'_>) -> Probe {
    let Ok(header) = wire::datagram(input.bytes) else { return Probe::NoMatch };
    let bytes = input.bytes.get(header.taken..).unwrap_or_default();
    let named = header.is_name && is_host(&header.host);
    let whole = header.fragment == 0 && header.port != 0 && !bytes.is_empty();
    if whole && (named || answers(input) || is_known(bytes, input)) { Probe::Match } else { Probe::NoMatch }
}

/// A name of two labels at least.
fn is_host(name: &str) -> bool {
    let label = |label: &str| {
        let within = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=63).contains(&label.len()) && label.bytes().all(within)
    };
    name.contains('.') && name.trim_end_matches('.').split('.').all(label)
}

/// Whether the other side has sent the same header.
fn answers(input: &ProbeInput<'_>) -> bool {
    let other = |one: &&Earlier| one.direction == input.direction.reverse();
    let header = input.bytes.get(..HEADER_V4).filter(|header| !header.ends_with(&[0; 6]));
    header.is_some_and(|header| {
        input.earlier.iter().filter(other).any(|one| one.start.get(..HEADER_V4) == Some(header))
    })
}

/// Whether another protocol claims the bytes behind the header.
fn is_known(bytes: &[u8], input: &ProbeInput<'_>) -> bool {
    let within = ProbeInput { bytes, earlier: &[], ..*input };
    let mut others = PROTOCOLS
        .iter()
        .filter(|one| one.transports.contains(&Transport::Udp) && !std::ptr::eq(**one, &DATAGRAM_PROTOCOL));
    others.any(|one| (one.probe)(&within) == Probe::Match)
}

/// Reads one association. What goes to its first destination is the layer within; other destinations are named.
#[derive(Default)]
pub(super) struct Datagrams {
    first: Option<Place>,
    others: BTreeSet<Place>,
}

type Place = (String, u16);

impl Analyzer for Datagrams {
    fn data(&mut self, data: Data<'_>, cx: &mut Context<'_>) -> Progress {
        let header = match wire::datagram(data.bytes) {
            Ok(header) => header,
            Err(error) if self.first.is_none() => return Progress::Malformed(error),
            Err(_) => return Progress::NeedMore,
        };
        let within = data.bytes.get(header.taken..).unwrap_or_default();
        let place = (header.host, header.port);
        // Parts of datagrams are not put together: nobody sends them.
        if header.fragment != 0 || !self.is_first(place, data.direction, cx) {
            return Progress::NeedMore;
        }
        cx.hand_on(Data { bytes: within, ..data });
        Progress::Within(cx.basis)
    }
}

impl Datagrams {
    /// Whether a datagram to or from `place` is one with the first destination.
    fn is_first(&mut self, place: Place, direction: Direction, cx: &mut Context<'_>) -> bool {
        let Some(first) = &self.first else {
            let target = proxy::Target::new(DATAGRAM_PROTOCOL.name, &place.0, place.1);
            cx.say(Fact::Proxy(Box::new(proxy::Fact::Asked(target))));
            self.first = Some(place);
            return true;
        };
        // Who was asked for by name answers from an address.
        let answers =
            direction == Direction::ToOriginator && first.1 == place.1 && !self.others.contains(&place);
        if *first == place || answers {
            return true;
        }
        if direction == Direction::ToResponder
            && self.others.len() < MAX_OTHERS
            && !self.others.contains(&place)
        {
            let text = match place.0.contains(':') {
                true => format!("[{}]:{}", place.0, place.1),
                false => format!("{}:{}", place.0, place.1),
            };
            cx.say(Fact::Property(Box::new(property::Fact::new(DATAGRAM_PROTOCOL.name, "also_to", &text))));
            self.others.insert(place);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::script::{Played, REQUEST, RESPONSE, play, send};

    const QUERY: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x04test\0\0\x01\0\x01";

    fn to(address: &[u8], port: u16, bytes: &[u8]) -> Vec<u8> {
        [&[0; 3][..], address, &port.to_be_bytes(), bytes].concat()
    }

    fn targets(played: &Played) -> Vec<(String, u16)> {
        let targets = played.facts().into_iter().filter_map(|fact| match fact {
            Fact::Proxy(fact) => match fact.as_ref() {
                proxy::Fact::Asked(target) => Some((target.host.clone(), target.port)),
                proxy::Fact::Answered { .. } => None,
            },
            _ => None,
        });
        targets.collect()
    }

    #[test]
    fn the_layer_within_is_read_under_its_destination() {
        let server = [1, 192, 0, 2, 53];
        let mut answer = QUERY.to_vec();
        answer[2] = 0x81;
        let acts = [send(REQUEST, to(&server, 53, QUERY)), send(RESPONSE, to(&server, 53, &answer))];
        let played = play(Transport::Udp, 40_000, &acts);
        assert_eq!(played.layers, ["socks5", "dns"]);
        assert_eq!(targets(&played), [("192.0.2.53".to_owned(), 53)]);
        assert_eq!(played.facts().into_iter().filter(|fact| matches!(fact, Fact::Dns(_))).count(), 2);
    }

    #[test]
    fn a_name_is_enough_and_its_answer_comes_from_an_address() {
        let name = [&[3, 9][..], b"chat.test"].concat();
        let address = [1, 192, 0, 2, 9];
        let acts = [
            send(REQUEST, to(&name, 9999, b"hello, this is readable")),
            send(RESPONSE, to(&address, 9999, b"so is the answer to it")),
        ];
        let played = play(Transport::Udp, 40_000, &acts);
        assert_eq!(played.layers, ["socks5", "unknown"]);
        assert_eq!(targets(&played), [("chat.test".to_owned(), 9999)]);
    }

    #[test]
    fn other_destinations_are_named_and_not_mixed_in() {
        let (first, second) = ([1, 192, 0, 2, 53], [1, 192, 0, 2, 54]);
        let acts = [send(REQUEST, to(&first, 53, QUERY)), send(REQUEST, to(&second, 53, QUERY))];
        let played = play(Transport::Udp, 40_000, &acts);
        assert_eq!(played.layers, ["socks5", "dns"]);
        assert_eq!(played.facts().into_iter().filter(|fact| matches!(fact, Fact::Dns(_))).count(), 1);
        let also = |fact: &&Fact| matches!(fact, Fact::Property(fact) if fact.value == "192.0.2.54:53");
        assert!(played.facts().iter().any(also));
    }

    #[test]
    fn zeros_and_an_address_alone_are_nobody_s() {
        let frame = to(&[1, 192, 0, 2, 9], 9999, &[0x80; 40]);
        assert_eq!(play(Transport::Udp, 40_000, &[send(REQUEST, &frame)]).layers, ["unknown"]);
        let acts = [send(REQUEST, &frame), send(RESPONSE, &frame)];
        assert_eq!(play(Transport::Udp, 40_000, &acts).layers, ["socks5", "unknown"]);
        let zeros = [0; 40];
        let acts = [send(REQUEST, zeros), send(RESPONSE, zeros)];
        assert_eq!(play(Transport::Udp, 40_000, &acts).layers, ["unknown"]);
        let name = [&[3, 4][..], b"a\0b."].concat();
        assert_eq!(
            play(Transport::Udp, 40_000, &[send(REQUEST, to(&name, 1, b"hello"))]).layers,
            ["unknown"]
        );
    }

    proptest! {
        #[test]
        fn any_datagrams_are_read_without_a_panic(
            datagrams in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..12),
        ) {
            let acts: Vec<_> = datagrams.iter().map(|bytes| send(REQUEST, [&[0; 3][..], bytes].concat())).collect();
            play(Transport::Udp, 40_000, &acts);
        }
    }
}
