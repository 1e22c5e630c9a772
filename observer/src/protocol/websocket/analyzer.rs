//! Frames of both directions, unmasked, up to what the first messages tell.

use super::PROTOCOL;
use crate::bytes::{ParseError, Reader};
use crate::flow::{Data, Direction};
use crate::protocol::{Analyzer, Context, Fact, Probe, Progress, mqtt, property};

/// Bytes of a side's first message that are looked at: enough for the start of any protocol within.
const MAX_SAMPLE: usize = 64;
/// Frames of a flow after which nobody waits for the silent side.
const MAX_FRAMES: usize = 64;
/// Bytes of payload after which nobody waits for the silent side.
const PATIENCE: u64 = 64 << 10;
/// A frame's longest head: two bytes, a length of eight, a key of four (§5.2).
const MAX_HEAD: usize = 14;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;

/// Reads the frames of a flow.
#[derive(Default)]
pub(super) struct WebsocketAnalyzer {
    sides: [Side; 2],
    mqtt: Option<Box<mqtt::MqttAnalyzer>>,
    frames: usize,
    passed: u64,
    compressed: bool,
}

#[derive(Default)]
struct Side {
    /// The start of a frame's head; shorter than [`MAX_HEAD`].
    head: Vec<u8>,
    /// The frame whose payload is being read.
    frame: Option<Frame>,
    /// The first message's kind, from its first frame on.
    opcode: Option<u8>,
    /// Whether the first message is compressed.
    compressed: bool,
    /// The first message's start; at most [`MAX_SAMPLE`].
    sample: Vec<u8>,
    /// Whether it was told what the first message is.
    told: bool,
}

/// A frame's head (§5.2).
#[derive(Clone, Copy, Debug)]
struct Frame {
    last: bool,
    compressed: bool,
    opcode: u8,
    /// Bytes of payload that are left.
    left: u64,
    key: Option<[u8; 4]>,
    /// Bytes of payload read, modulo 4.
    turn: usize,
}

impl Frame {
    fn parse(bytes: &[u8]) -> Result<(Self, usize), ParseError> {
        let mut reader = Reader::new(bytes);
        let first = reader.u8("opcode")?;
        let (opcode, reserved) = (first & 0xf, first & 0x30);
        if reserved != 0 || !matches!(opcode, CONTINUATION..=BINARY | 8..=10) {
            return Err(ParseError::invalid("opcode", 0));
        }
        let last = first & 0x80 != 0;
        let second = reader.u8("payload length")?;
        let left = match second & 0x7f {
            126 => u64::from(u16::from_be_bytes(reader.array("payload length")?)),
            127 => u64::from_be_bytes(reader.array("payload length")?),
            short => u64::from(short),
        };
        // §5.5: control frames are short and whole.
        if left > i64::MAX.unsigned_abs() || (opcode >= 8 && (!last || left > 125)) {
            return Err(ParseError::invalid("payload length", 1));
        }
        let key = if second & 0x80 == 0 { None } else { Some(reader.array("masking key")?) };
        let frame = Self { last, compressed: first & 0x40 != 0, opcode, left, key, turn: 0 };
        Ok((frame, reader.position()))
    }

    /// The payload of this frame at the start of `bytes`, as it was before it was masked; §5.3.
    fn payload(&mut self, bytes: &[u8], limit: usize) -> (Vec<u8>, usize) {
        let taken = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        let payload = bytes.get(..taken.min(limit)).unwrap_or_default();
        let turns = self.key.unwrap_or_default().into_iter().cycle().skip(self.turn);
        let payload = payload.iter().zip(turns).map(|(byte, key)| byte ^ key).collect();
        self.left = self.left.saturating_sub(u64::try_from(taken).unwrap_or(u64::MAX));
        self.turn = self.turn.saturating_add(taken) & 3;
        (payload, taken)
    }
}

/// Whether a head is that of a control frame but for its length, which is over 125 (§5.5): a client's is masked, a server's
/// is not (§5.1). One of some ten thousand heads of anything else is.
fn is_overlong_control(head: &[u8], direction: Direction) -> bool {
    let masked = matches!(head, [_, 0xfe | 0xff, ..]);
    matches!(head, [0x88..=0x8a, 0x7e | 0x7f | 0xfe | 0xff, ..])
        && masked == (direction == Direction::ToResponder)
}

impl Analyzer for WebsocketAnalyzer {
    fn data(&mut self, data: Data<'_>, cx: &mut Context<'_>) -> Progress {
        let mut rest = data.bytes;
        loop {
            let Some(side) = self.sides.get_mut(data.direction.index()) else { return Progress::Done };
            let Some(mut frame) = side.frame else {
                let Some((first, behind)) = rest.split_first() else { return Progress::NeedMore };
                side.head.push(*first);
                rest = behind;
                match Frame::parse(&side.head) {
                    Ok((frame, _)) => {
                        side.begin(frame);
                        self.frames = self.frames.saturating_add(1);
                    }
                    Err(error) if error.is_truncated() && side.head.len() < MAX_HEAD => {}
                    Err(error) if is_overlong_control(&side.head, data.direction) => {
                        // It is WebSocket's all the same, which the peers agreed on in so many words.
                        let protocol = PROTOCOL.name;
                        cx.say(Fact::Malformed {
                            protocol,
                            direction: data.direction,
                            error: Box::new(error),
                        });
                        return Progress::Done;
                    }
                    Err(error) => return Progress::Malformed(error),
                }
                if side.frame.is_none_or(|frame| frame.left > 0) {
                    continue;
                }
                if let Some(progress) = self.ended(data, cx) {
                    return progress;
                }
                continue;
            };
            if rest.is_empty() {
                return Progress::NeedMore;
            }
            let carries = frame.opcode <= BINARY && !frame.compressed && side.opcode.is_some();
            let limit = match (&self.mqtt, side.told) {
                (Some(_), _) if carries => usize::MAX,
                (_, false) if carries => MAX_SAMPLE,
                _ => 0,
            };
            // A first message is told before its rest is read, so that what is within gets all of it.
            let piece = match (limit, self.mqtt.is_some()) {
                (MAX_SAMPLE, false) => rest.get(..side.room()).unwrap_or(rest),
                _ => rest,
            };
            let (payload, taken) = frame.payload(piece, limit);
            side.frame = Some(frame);
            rest = rest.get(taken..).unwrap_or_default();
            self.passed = self.passed.saturating_add(u64::try_from(taken).unwrap_or(u64::MAX));
            match &mut self.mqtt {
                Some(inner) => {
                    let progress = inner.data(Data { bytes: &payload, ..data }, cx);
                    if progress != Progress::NeedMore {
                        return progress;
                    }
                }
                None => side.sample.extend_from_slice(&payload),
            }
            let full = !side.told && side.sample.len() >= MAX_SAMPLE;
            let ended = (full && self.mqtt.is_none()) || frame.left == 0;
            if ended && let Some(progress) = self.ended(data, cx) {
                return progress;
            }
        }
    }
}

impl Side {
    fn begin(&mut self, frame: Frame) {
        self.head.clear();
        let mut frame = frame;
        match frame.opcode {
            // §5.4; RFC 7692 §6: only a message's first frame says that it is compressed.
            CONTINUATION => frame.compressed = self.compressed,
            TEXT | BINARY => self.compressed = frame.compressed,
            _ => {}
        }
        if !self.told && matches!(frame.opcode, TEXT | BINARY) {
            self.opcode = Some(frame.opcode);
        }
        self.frame = Some(frame);
    }

    fn room(&self) -> usize {
        MAX_SAMPLE.saturating_sub(self.sample.len()).max(1)
    }
}

impl WebsocketAnalyzer {
    /// A frame ended, or the sample is full: tells what the first message is, once.
    fn ended(&mut self, data: Data<'_>, cx: &mut Context<'_>) -> Option<Progress> {
        let side = self.sides.get_mut(data.direction.index())?;
        let frame = side.frame?;
        if frame.left == 0 {
            side.frame = None;
        }
        let whole = frame.opcode <= BINARY && frame.last && frame.left == 0;
        let full = side.sample.len() >= MAX_SAMPLE;
        if let (false, Some(opcode), true) = (side.told, side.opcode, whole || full) {
            side.told = true;
            let sample = std::mem::take(&mut side.sample);
            if side.compressed && !std::mem::replace(&mut self.compressed, true) {
                say(cx, "compression", "permessage-deflate");
            }
            let content = match opcode {
                _ if side.compressed => "compressed",
                TEXT if sample.trim_ascii_start().starts_with(b"{") => "json",
                TEXT if sample.trim_ascii_start().starts_with(b"[") => "json",
                TEXT => "text",
                _ if data.direction == Direction::ToResponder && mqtt::recognise(&sample) == Probe::Match => {
                    cx.enter(mqtt::PROTOCOL.name);
                    self.mqtt = Some(Box::default());
                    "mqtt"
                }
                _ => "binary",
            };
            let name = match data.direction {
                Direction::ToResponder => "sent",
                Direction::ToOriginator => "received",
            };
            // The server of an MQTT session sends what the client's first message announced.
            if self.mqtt.is_none() || content == "mqtt" {
                say(cx, name, content);
            }
            if content == "mqtt" {
                let inner = self.mqtt.as_mut()?;
                let progress = inner.data(Data { bytes: &sample, ..data }, cx);
                if progress != Progress::NeedMore {
                    return Some(progress);
                }
            }
        }
        if self.mqtt.is_some() {
            return None;
        }
        let told = self.sides.iter().all(|side| side.told);
        let enough = told || self.frames >= MAX_FRAMES || self.passed >= PATIENCE;
        enough.then_some(Progress::Done)
    }
}

fn say(cx: &mut Context<'_>, name: &'static str, value: &str) {
    cx.say(Fact::Property(Box::new(property::Fact::new(PROTOCOL.name, name, value))));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::decode::Transport;
    use crate::protocol::Fact;
    use crate::protocol::script::{Act, Played, REQUEST, RESPONSE, cut, play, send, sizes};

    const KEY: [u8; 4] = *b"\x37\xfa\x21\x3d";

    fn upgraded(frames: &[Act]) -> Vec<Act> {
        let upgrade = [
            send(
                REQUEST,
                "GET / HTTP/1.1\r\nHost: chat.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
            ),
            send(RESPONSE, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"),
        ];
        [upgrade.as_slice(), frames].concat()
    }

    /// A frame with a short payload, masked.
    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let masked = payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key);
        let length = u8::try_from(payload.len()).unwrap() | 0x80;
        [first, length].into_iter().chain(KEY).chain(masked).collect()
    }

    fn tcp(acts: &[Act]) -> Played {
        play(Transport::Tcp, 80, acts)
    }

    fn properties(played: &Played) -> Vec<(&'static str, &'static str, String)> {
        let facts = played.facts();
        let properties = facts.iter().filter_map(|fact| match fact {
            Fact::Property(fact) => Some((fact.protocol, fact.name, fact.value.clone())),
            _ => None,
        });
        properties.collect()
    }

    fn mqtt() -> Vec<Act> {
        let connect = b"\x10\x21\0\x04MQTT\x04\xc2\0\x3c\0\x05phone\0\x03bob\0\x09swordfish";
        upgraded(&[
            send(REQUEST, masked(0x02, &connect[..20])),
            send(REQUEST, masked(0x89, b"ping")),
            send(REQUEST, masked(0x80, &connect[20..])),
            send(RESPONSE, b"\x82\x04\x20\x02\0\0"),
            send(REQUEST, masked(0x82, b"\x82\x0b\0\x01\0\x06home/#\0")),
        ])
    }

    #[test]
    fn rfc_6455_section_5_7() {
        let played = tcp(&upgraded(&[
            send(REQUEST, b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"),
            send(RESPONSE, b"\x01\x03Hel"),
            send(RESPONSE, b"\x80\x02lo"),
            send(RESPONSE, b"\x81\x05Hello"),
        ]));
        assert_eq!(played.layers, ["http", "websocket"]);
        let expected = [("websocket", "sent", "text".into()), ("websocket", "received", "text".into())];
        assert_eq!((properties(&played), played.done), (expected.to_vec(), Some(5)));
    }

    #[test]
    fn json_and_compression_are_told() {
        let played = tcp(&upgraded(&[
            send(REQUEST, masked(0x81, b" {\"a\":1}")),
            send(RESPONSE, b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00"),
        ]));
        let told: Vec<_> = properties(&played).into_iter().map(|(_, name, value)| (name, value)).collect();
        let expected = [("sent", "json"), ("compression", "permessage-deflate"), ("received", "compressed")];
        assert_eq!(told, expected.map(|(name, value)| (name, value.to_owned())));
    }

    #[test]
    fn mqtt_within_is_read() {
        let played = tcp(&mqtt());
        assert_eq!(played.layers, ["http", "websocket", "mqtt"]);
        let names: Vec<_> =
            properties(&played).into_iter().map(|(protocol, name, _)| (protocol, name)).collect();
        assert_eq!(
            names,
            [
                ("websocket", "sent"),
                ("mqtt", "version"),
                ("mqtt", "client_id"),
                ("mqtt", "return_code"),
                ("mqtt", "subscribe"),
            ]
        );
        assert!(played.facts().iter().any(|fact| matches!(fact, Fact::Login(_))));
        assert!(!played.said().contains("swordfish"));
    }

    #[test]
    fn an_unknown_opcode_is_damage() {
        let played = tcp(&upgraded(&[send(REQUEST, b"\x85\x80")]));
        assert_eq!(played.layers, ["http", "unknown"]);
        assert!(
            played.facts().iter().any(|fact| matches!(fact, Fact::Malformed { protocol: "websocket", .. }))
        );
    }

    #[test]
    fn an_overlong_control_frame_is_damage_of_websocket() {
        let close = [&b"\x88\x7f\0\0\0\0\0\0\x01\x02\x03\xe8"[..], &[b'C'; 256]].concat();
        for acts in [
            vec![send(RESPONSE, &close)],
            vec![send(RESPONSE, b"\x81\x05Hello"), send(RESPONSE, &close)],
            vec![send(REQUEST, [b"\x8a\xfe\x01\0", &KEY[..], &[7; 256]].concat())],
        ] {
            let played = tcp(&upgraded(&acts));
            assert_eq!(played.layers, ["http", "websocket"]);
            let damage = |fact: &&Fact| matches!(fact, Fact::Malformed { protocol: "websocket", .. });
            assert_eq!(played.facts().into_iter().filter(damage).count(), 1);
        }
        // A server that masks speaks something else.
        assert_eq!(
            tcp(&upgraded(&[send(RESPONSE, [&b"\x88\xff\0\0\0\0\0\0\x01\0"[..], &KEY].concat())])).layers,
            ["http", "unknown"]
        );
    }

    proptest! {
        #[test]
        fn splitting_does_not_change_what_is_said(sizes in sizes()) {
            prop_assert_eq!(tcp(&cut(&mqtt(), &sizes)).said(), tcp(&mqtt()).said());
        }
    }
}
