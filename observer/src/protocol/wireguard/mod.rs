//! WireGuard (<https://www.wireguard.com/protocol/>): recognised, not read. All that it shows is the kind of message.
//!
//! The handshake's messages have one length each. Transport data alone, in a flow whose handshake was not captured, is
//! recognised by a length that is padded to 16 and a counter below 2^40: about one of 2^60 random datagrams is.
//! Variants that put something else into the reserved bytes are not recognised.

use super::glance::Glance;
use super::{Analyzer, Context, Fact, Probe, ProbeInput, Protocol, Worth, property};
use crate::bytes::Reader;
use crate::decode::Transport;
use crate::flow::{Data, Opening};

/// The name of its layer.
const NAME: &str = "wireguard";

/// WireGuard in the registry.
pub(super) static PROTOCOL: Protocol =
    Protocol { name: NAME, transports: &[Transport::Udp], worth: Worth::Opaque, probe, analyzer, views: "" };

fn probe(input: &ProbeInput<'_>) -> Probe {
    if message(input.bytes).is_some() { Probe::Match } else { Probe::NoMatch }
}

/// What a datagram says as the first of a flow.
pub(super) fn opening(datagram: &[u8]) -> Option<Opening> {
    Some(match message(datagram)? {
        "handshake_initiation" => Opening::Request,
        "transport_data" => Opening::Middle,
        _ => Opening::Answer,
    })
}

fn analyzer() -> Box<dyn Analyzer> {
    Glance::boxed(look)
}

fn look(data: Data<'_>, cx: &mut Context<'_>) {
    if let Some(name) = message(data.bytes) {
        cx.say(Fact::Property(Box::new(property::Fact::new(NAME, "message", name))));
    }
}

/// The kind of message, by the protocol's paper, section 5.4.
fn message(datagram: &[u8]) -> Option<&'static str> {
    let mut reader = Reader::new(datagram);
    let kind = reader.u32_le("type").ok()?;
    match (kind, datagram.len()) {
        (1, 148) => Some("handshake_initiation"),
        (2, 92) => Some("handshake_response"),
        (3, 64) => Some("cookie_reply"),
        (4, length) if length >= 32 && length.is_multiple_of(16) => {
            let receiver = reader.u32_le("receiver").ok()?;
            let counter = reader.u64_le("counter").ok()?;
            (receiver != 0 && counter < 1 << 40).then_some("transport_data")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::script::{REQUEST, RESPONSE, play, send};

    fn datagram(kind: u8, length: usize) -> Vec<u8> {
        let mut bytes = vec![0x5a; length];
        bytes[..4].copy_from_slice(&[kind, 0, 0, 0]);
        bytes
    }

    #[test]
    fn a_handshake_is_recognised_by_its_lengths() {
        let acts = [send(REQUEST, datagram(1, 148)), send(RESPONSE, datagram(2, 92))];
        let played = play(Transport::Udp, 51820, &acts);
        assert_eq!(
            (played.layers.as_slice(), played.facts().len(), played.done),
            (["wireguard"].as_slice(), 2, Some(2))
        );
        for length in [147, 149, 92, 64, 32] {
            assert_eq!(
                play(Transport::Udp, 51820, &[send(REQUEST, datagram(1, length))]).layers,
                ["unknown"]
            );
        }
    }

    #[test]
    fn transport_data_alone_needs_a_plausible_counter() {
        assert_eq!(message(&datagram(4, 96)), None);
        let mut data = datagram(4, 96);
        data[8..16].copy_from_slice(&7_u64.to_le_bytes());
        assert_eq!(message(&data), Some("transport_data"));
        assert_eq!(message(&data[..95]), None);
    }
}
