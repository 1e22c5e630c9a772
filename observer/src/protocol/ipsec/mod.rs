//! IKE ([RFC 7296](https://datatracker.ietf.org/doc/html/rfc7296), RFC 2409) and ESP in UDP
//! ([RFC 3948](https://datatracker.ietf.org/doc/html/rfc3948)): recognised; of IKE the version and the exchange are said.
//!
//! IKE's header ends with the datagram's length and is certain. ESP has no mark: it is recognised behind IKE, or, where
//! IKE was not captured, on the port that RFC 3948 gives it, by a small sequence number. ESP as an IP protocol of its own
//! is told by its number; what an authentication header (AH, RFC 4302) covers is decoded as if it were not there.

use super::{Analyzer, Context, Fact, Probe, ProbeInput, Progress, Protocol, Worth, property};
use crate::bytes::Reader;
use crate::decode::Transport;
use crate::flow::{Data, Opening};

/// The name of IKE's layer.
const IKE: &str = "ike";
/// The name of ESP's layer.
pub(super) const ESP: &str = "esp";

/// IKE in the registry.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: IKE,
    transports: &[Transport::Udp],
    worth: Worth::Opaque,
    probe: probe_ike,
    analyzer: ike,
    views: "",
};

/// ESP in UDP in the registry.
pub(super) static ESP_PROTOCOL: Protocol = Protocol {
    name: ESP,
    transports: &[Transport::Udp],
    worth: Worth::Opaque,
    probe: probe_esp,
    analyzer: esp,
    views: "",
};

/// The port of IKE behind address translation, and of ESP in UDP (RFC 3948 §2.1).
const NAT_TRAVERSAL_PORT: u16 = 4500;
/// Sequence numbers that a flow may begin with where its IKE was not captured.
const FIRST_NUMBERS: std::ops::RangeInclusive<u32> = 1..=1024;
/// The least bytes of ESP: header, one block, and the shortest integrity check.
const MIN_ESP: usize = 28;
/// Datagrams of IKE that are looked at before a flow is only counted.
const MAX_DATAGRAMS: u16 = 64;

fn probe_ike(input: &ProbeInput<'_>) -> Probe {
    if Message::parse(input.bytes).is_some() { Probe::Match } else { Probe::NoMatch }
}

fn probe_esp(input: &ProbeInput<'_>) -> Probe {
    let fits = input.port == NAT_TRAVERSAL_PORT && is_esp(input.bytes);
    let number = input.bytes.get(4..8).and_then(|number| number.first_chunk::<4>());
    let first = number.is_some_and(|number| FIRST_NUMBERS.contains(&u32::from_be_bytes(*number)));
    if fits && first { Probe::Match } else { Probe::NoMatch }
}

/// What a datagram says as the first of a flow. Behind the first two exchanges both sides ask.
pub(super) fn opening(datagram: &[u8]) -> Option<Opening> {
    let message = Message::parse(datagram)?;
    Some(match message.exchange {
        "IKE_SA_INIT" | "IKE_AUTH" if message.response => Opening::Answer,
        "IKE_SA_INIT" | "IKE_AUTH" => Opening::Request,
        "main" | "aggressive" if message.first => Opening::Request,
        _ => Opening::Middle,
    })
}

fn ike() -> Box<dyn Analyzer> {
    Box::new(Ike::default())
}

fn esp() -> Box<dyn Analyzer> {
    Box::new(Esp)
}

/// Whether a datagram beside IKE's can be ESP: an index that is not reserved (RFC 4303 §2.1), and whole words.
fn is_esp(datagram: &[u8]) -> bool {
    let index = datagram.first_chunk::<4>().map(|index| u32::from_be_bytes(*index));
    datagram.len() >= MIN_ESP && datagram.len().is_multiple_of(4) && index.is_some_and(|index| index > 255)
}

/// There is nothing to read.
struct Esp;

impl Analyzer for Esp {
    fn data(&mut self, _data: Data<'_>, _cx: &mut Context<'_>) -> Progress {
        Progress::Done
    }
}

/// Waits for the first exchange and for ESP behind it.
#[derive(Default)]
struct Ike {
    said: bool,
    datagrams: u16,
}

impl Analyzer for Ike {
    fn data(&mut self, data: Data<'_>, cx: &mut Context<'_>) -> Progress {
        self.datagrams = self.datagrams.saturating_add(1);
        match Message::parse(data.bytes) {
            Some(message) if !self.said => {
                self.said = true;
                for (name, value) in [("version", message.version), ("exchange", message.exchange)] {
                    cx.say(Fact::Property(Box::new(property::Fact::new(IKE, name, value))));
                }
            }
            None if is_esp(data.bytes) => {
                cx.enter(ESP);
                return Progress::Done;
            }
            _ => {}
        }
        if self.datagrams < MAX_DATAGRAMS { Progress::NeedMore } else { Progress::Done }
    }
}

/// What an IKE header says.
#[derive(Debug, PartialEq, Eq)]
struct Message {
    version: &'static str,
    exchange: &'static str,
    /// Whether the responder has not said its number yet.
    first: bool,
    /// Whether it answers; version 2 says so.
    response: bool,
}

impl Message {
    /// RFC 7296 §3.1, behind the four zero bytes that RFC 3948 §2.2 puts in front on port 4500.
    fn parse(datagram: &[u8]) -> Option<Self> {
        let message = datagram.strip_prefix(&[0; 4]).unwrap_or(datagram);
        let mut reader = Reader::new(message);
        let initiator = reader.u64("initiator").ok()?;
        let responder = reader.u64("responder").ok()?;
        let next = reader.u8("next payload").ok()?;
        let version = reader.u8("version").ok()?;
        let exchange = reader.u8("exchange").ok()?;
        let flags = reader.u8("flags").ok()?;
        let number = reader.u32("message number").ok()?;
        let length = reader.u32("length").ok()?;
        let first = responder == 0;
        let (version, exchange, fits) = match (version >> 4, exchange) {
            (1, 2) => ("1", "main", flags <= 7 && number == 0 && next != 0),
            (1, 4) => ("1", "aggressive", flags <= 7 && number == 0 && next != 0),
            (1, 5) => ("1", "informational", flags <= 7 && next != 0),
            (1, 32) => ("1", "quick", flags <= 7 && !first && next == 8),
            (2, 34) => ("2", "IKE_SA_INIT", number <= 1 && matches!(next, 33 | 41 | 43)),
            (2, 35) => ("2", "IKE_AUTH", !first),
            (2, 36) => ("2", "CREATE_CHILD_SA", !first),
            (2, 37) => ("2", "INFORMATIONAL", !first),
            (2, 43) => ("2", "IKE_INTERMEDIATE", !first),
            _ => return None,
        };
        let known_flags = version == "1" || flags & !0x38 == 0;
        let whole = usize::try_from(length).is_ok_and(|length| length == message.len());
        (initiator != 0 && fits && known_flags && whole).then_some(Self {
            version,
            exchange,
            first,
            response: flags & 0x20 != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::script::{REQUEST, RESPONSE, play, send};

    fn header(version: u8, exchange: u8, next: u8, flags: u8, responder: u8) -> Vec<u8> {
        let length = [0, 0, 0, 32];
        let start = [&[0x11; 8][..], &[responder; 8], &[next, version, exchange, flags]].concat();
        [&start[..], &[0; 4], &length, &[0; 4]].concat()
    }

    #[test]
    fn versions_and_exchanges_are_told_apart() {
        let parse = |bytes: &[u8]| Message::parse(bytes).map(|message| (message.version, message.exchange));
        assert_eq!(parse(&header(0x20, 34, 33, 0x08, 0)), Some(("2", "IKE_SA_INIT")));
        assert_eq!(parse(&header(0x10, 4, 1, 0, 0)), Some(("1", "aggressive")));
        assert_eq!(parse(&[&[0; 4][..], &header(0x20, 35, 46, 0x08, 1)].concat()), Some(("2", "IKE_AUTH")));
        assert_eq!(parse(&header(0x20, 34, 33, 0x08, 0)[..31]), None);
        assert_eq!(parse(&header(0x30, 34, 33, 0x08, 0)), None);
    }

    #[test]
    fn a_byte_is_nothing() {
        for port in [500, 4500] {
            assert_eq!(play(Transport::Udp, port, &[send(REQUEST, [0x0a])]).layers, ["unknown"]);
        }
    }

    #[test]
    fn esp_is_named_behind_ike() {
        let esp = [&[0xc1, 2, 3, 4, 0, 0, 0, 1][..], &[0x7e; 56]].concat();
        let ike = [&[0; 4][..], &header(0x20, 35, 46, 0x08, 1)].concat();
        let acts = [send(REQUEST, ike), send(RESPONSE, [0xff]), send(RESPONSE, &esp)];
        let played = play(Transport::Udp, 4500, &acts);
        assert_eq!((played.layers.as_slice(), played.done), (["ike", "esp"].as_slice(), Some(3)));
        assert_eq!(play(Transport::Udp, 4500, &[send(REQUEST, &esp)]).layers, ["esp"]);
        assert_eq!(play(Transport::Udp, 4501, &[send(REQUEST, &esp)]).layers, ["unknown"]);
    }
}
