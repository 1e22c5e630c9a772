//! Packet after packet, until enough was said.

use super::{PROTOCOL, wire};
use crate::bytes::ParseError;
use crate::flow::{Data, Direction};
use crate::protocol::login::Exposure;
use crate::protocol::{Analyzer, Context, Fact, Progress, login, property};

/// Bytes of a packet that are read; the rest, a payload, is passed over.
const MAX_PACKET: usize = 8 << 10;
/// Topics that are said of a flow.
const MAX_TOPICS: usize = 16;
/// Packets after which nobody listens any more.
const MAX_PACKETS: usize = 64;

/// Reads the packets of a flow.
#[derive(Default)]
pub(in crate::protocol) struct MqttAnalyzer {
    sides: [Side; 2],
    /// The client's version; 0 before its CONNECT.
    level: u8,
    answered: bool,
    topics: Vec<(&'static str, String)>,
    packets: usize,
}

/// The bounds on packets and topics: [`MAX_PACKETS`], [`MAX_TOPICS`].
const ENOUGH: &str = "flows of MQTT read up to a number of packets or topics";

#[derive(Default)]
struct Side {
    /// The start of a packet; at most [`MAX_PACKET`] and its first bytes.
    buffer: Vec<u8>,
    /// Bytes of a packet that are still to be passed over.
    skip: usize,
}

impl Analyzer for MqttAnalyzer {
    fn data(&mut self, data: Data<'_>, cx: &mut Context<'_>) -> Progress {
        let mut rest = data.bytes;
        while !rest.is_empty() {
            let Some(side) = self.sides.get_mut(data.direction.index()) else { return Progress::Done };
            let skipped = side.skip.min(rest.len());
            side.skip = side.skip.saturating_sub(skipped);
            rest = rest.get(skipped..).unwrap_or_default();
            // The buffer holds one packet's start, so that what comes behind it is never held.
            let wanted = match wire::fixed(&side.buffer) {
                Ok(fixed) => fixed.taken.saturating_add(fixed.remaining.min(MAX_PACKET)),
                Err(error) if error.is_truncated() => side.buffer.len().saturating_add(1),
                Err(error) => return Progress::Malformed(error),
            };
            let missing = wanted.saturating_sub(side.buffer.len()).min(rest.len());
            let (more, behind) = rest.split_at_checked(missing).unwrap_or((rest, &[]));
            side.buffer.extend_from_slice(more);
            rest = behind;
            let fixed = match wire::fixed(&side.buffer) {
                Ok(fixed) => fixed,
                Err(error) if error.is_truncated() => continue,
                Err(error) => return Progress::Malformed(error),
            };
            let whole = fixed.taken.saturating_add(fixed.remaining.min(MAX_PACKET));
            if side.buffer.len() < whole {
                continue;
            }
            side.skip = fixed.remaining.saturating_sub(MAX_PACKET);
            let packet = std::mem::take(&mut side.buffer);
            if let Err(error) = self.packet(data.direction, &packet, fixed, cx) {
                return Progress::Malformed(error);
            }
            self.packets = self.packets.saturating_add(1);
            if self.packets >= MAX_PACKETS || (self.answered && self.topics.len() >= MAX_TOPICS) {
                return cx.cut_short(ENOUGH);
            }
        }
        Progress::NeedMore
    }
}

impl MqttAnalyzer {
    fn packet(
        &mut self,
        direction: Direction,
        packet: &[u8],
        fixed: wire::Fixed,
        cx: &mut Context<'_>,
    ) -> Result<(), ParseError> {
        let body = packet.get(fixed.taken..).unwrap_or_default();
        match (direction, fixed.kind) {
            (Direction::ToResponder, wire::CONNECT) if self.level == 0 => {
                let start = wire::connect_start(packet)?;
                self.level = start.level;
                say_connect(start, &wire::connect(packet, start), cx);
            }
            // A client speaks first, and connects once (§3.1).
            (Direction::ToResponder, kind) if self.level == 0 || kind == wire::CONNECT => {
                return Err(ParseError::invalid("packet type", 0));
            }
            (Direction::ToOriginator, wire::CONNACK) if !self.answered => {
                self.answered = true;
                if let Some(code) = body.get(1) {
                    say(cx, "return_code", &code.to_string());
                }
            }
            (_, wire::PUBLISH) => {
                // Topics that a client numbered before are empty (§3.3.2.3.4).
                let topic = wire::published(body).unwrap_or_default();
                self.topic("publish", topic, cx);
            }
            (Direction::ToResponder, wire::SUBSCRIBE) => {
                for topic in wire::subscribed(body, self.level) {
                    self.topic("subscribe", topic, cx);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn topic(&mut self, name: &'static str, topic: String, cx: &mut Context<'_>) {
        let topic = (name, topic);
        if topic.1.is_empty() || self.topics.len() >= MAX_TOPICS || self.topics.contains(&topic) {
            return;
        }
        say(cx, name, &topic.1);
        self.topics.push(topic);
    }
}

fn say_connect(start: wire::ConnectStart, connect: &wire::Connect, cx: &mut Context<'_>) {
    let version = match start.level {
        3 => "3.1",
        4 => "3.1.1",
        _ => "5",
    };
    say(cx, "version", version);
    if !connect.client.is_empty() {
        say(cx, "client_id", &connect.client);
    }
    if let Some(will) = &connect.will {
        say(cx, "will", will);
    }
    let (user, password) = (start.flags & 0x80 != 0, start.flags & 0x40 != 0);
    if user || password {
        let secret = password && connect.password.unwrap_or(true);
        say_login("CONNECT", if secret { Exposure::Secret } else { Exposure::Identity }, cx);
    }
    if let Some(method) = &connect.authentication {
        say(cx, "authentication", method);
        // The first message of PLAIN is the password; other methods answer challenges.
        let plain = method.eq_ignore_ascii_case("PLAIN");
        say_login("AUTH", if plain { Exposure::Secret } else { Exposure::Response }, cx);
    }
}

fn say_login(mechanism: &str, exposure: Exposure, cx: &mut Context<'_>) {
    let fact = login::Fact { protocol: PROTOCOL.name, mechanism: mechanism.to_owned(), exposure };
    cx.say(Fact::Login(Box::new(fact)));
}

fn say(cx: &mut Context<'_>, name: &'static str, value: &str) {
    cx.say(Fact::Property(Box::new(property::Fact::new(PROTOCOL.name, name, value))));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::decode::Transport;
    use crate::protocol::login::Exposure;
    use crate::protocol::script::{Act, Played, REQUEST, RESPONSE, cut, play, send, sizes};
    use crate::protocol::{Fact, Probe, mqtt};

    const CONNECT: &[u8] = b"\x10\x21\0\x04MQTT\x04\xc2\0\x3c\0\x05phone\0\x03bob\0\x09swordfish";

    fn tcp(acts: &[Act]) -> Played {
        play(Transport::Tcp, 1883, acts)
    }

    fn session() -> Vec<Act> {
        vec![
            send(REQUEST, CONNECT),
            send(RESPONSE, b"\x20\x02\0\0"),
            send(REQUEST, b"\x82\x0b\0\x01\0\x06home/#\0"),
            send(RESPONSE, b"\x90\x03\0\x01\0\x30\x0a\0\x06home/ahi"),
            send(REQUEST, b"\xc0\0"),
            send(RESPONSE, b"\xd0\0"),
        ]
    }

    fn properties(played: &Played) -> Vec<(&'static str, String)> {
        let facts = played.facts();
        let properties = facts.iter().filter_map(|fact| match fact {
            Fact::Property(fact) => Some((fact.name, fact.value.clone())),
            _ => None,
        });
        properties.collect()
    }

    fn exposures(played: &Played) -> Vec<Exposure> {
        let facts = played.facts();
        let logins = facts.iter().filter_map(|fact| match fact {
            Fact::Login(fact) => Some(fact.exposure),
            _ => None,
        });
        logins.collect()
    }

    #[test]
    fn a_session_is_told() {
        let played = tcp(&session());
        assert_eq!(played.layers, ["mqtt"]);
        let expected = [
            ("version", "3.1.1"),
            ("client_id", "phone"),
            ("return_code", "0"),
            ("subscribe", "home/#"),
            ("publish", "home/a"),
        ];
        assert_eq!(properties(&played), expected.map(|(name, value)| (name, value.to_owned())));
        assert_eq!(exposures(&played), [Exposure::Secret]);
        assert!(!played.said().contains("swordfish"));
    }

    #[test]
    fn version_5_names_its_authentication() {
        let connect = b"\x10\x1f\0\x04MQTT\x05\x02\0\x3c\x10\x15\0\x0dSCRAM-SHA-256\0\x02ab";
        let played = tcp(&[send(REQUEST, connect)]);
        let expected = [("version", "5"), ("client_id", "ab"), ("authentication", "SCRAM-SHA-256")];
        assert_eq!(properties(&played), expected.map(|(name, value)| (name, value.to_owned())));
        assert_eq!(exposures(&played), [Exposure::Response]);
    }

    #[test]
    fn only_a_connect_is_recognised() {
        for end in 0..10 {
            assert_eq!(mqtt::recognise(&CONNECT[..end]), Probe::NeedMore, "{end}");
        }
        for bytes in [
            &b"\x10\x1f\0\x04MQTX"[..],
            b"\x30\x0a\0\x06home/ahi",
            b"\x10\x1f\0\x04MQTT\x09\x02",
            b"\x10\xff\xff\xff\xff\x01",
        ] {
            assert_eq!(mqtt::recognise(bytes), Probe::NoMatch, "{bytes:?}");
        }
    }

    #[test]
    fn a_long_payload_is_passed_over() {
        let mut publish = b"\x30\xaa\x9c\x01\0\x06home/a".to_vec();
        publish.resize(4 + 0x4e2a, b'x');
        let played =
            tcp(&[send(REQUEST, CONNECT), send(REQUEST, publish), send(REQUEST, b"\x30\x09\0\x06home/bh")]);
        assert_eq!(properties(&played).last(), Some(&("publish", "home/b".to_owned())));
    }

    proptest! {
        #[test]
        fn splitting_does_not_change_what_is_said(sizes in sizes()) {
            prop_assert_eq!(tcp(&cut(&session(), &sizes)).said(), tcp(&session()).said());
        }
    }
}
