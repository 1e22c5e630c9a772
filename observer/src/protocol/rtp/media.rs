//! The media of a flow: from when on it is some, and whether its payload can be ciphertext.

use super::packet::{self, Compound, Packet};
use super::{CONTROL_LAYER, KEYED_LAYER, LAYER, MEDIA, READABLE, UNDETERMINED};
use crate::flow::{Data, Direction};
use crate::protocol::{Context, Fact, property};

/// Packets in a row that make RTP of a flow.
pub(super) const LEAST_PACKETS: u32 = 3;

/// Sources of a flow that are followed.
const MAX_SOURCES: usize = 8;

/// Payloads after which the judgement is made.
const ENOUGH_PAYLOADS: u32 = 128;

/// Payloads below which no first byte comes back often enough.
const LEAST_PAYLOADS: u32 = 8;

/// Bytes at both ends of a payload that are no part of the count: a codec's header that stays readable within an
/// encrypted frame, and the tag and key identifier of SRTP.
const HEAD: usize = 16;
const TAIL: usize = 20;

/// Bytes below which how they are spread says nothing.
const LEAST_BYTES: u32 = 2048;

/// Chi-squared of 256 values above which bytes are not evenly spread: with 255 degrees of freedom its mean is 255 and its
/// deviation 23, and this is fifteen deviations off.
const MAX_CHI_SQUARED: u64 = 600;

/// Reads the media of a flow.
#[derive(Debug, Default)]
pub(crate) struct Media {
    sources: Vec<Source>,
    /// RTP was recognised before the first packet here.
    recognised: bool,
    /// RTP was recognised.
    named: bool,
    /// It may be keyed by a handshake elsewhere in the flow: it is named only if it can be read.
    doubted: bool,
    /// Of the source that named it.
    payload_type: u8,
    keyed: bool,
    control: bool,
    source_named: bool,
    judged: bool,
    payloads: u32,
    sample: Option<Box<Sample>>,
}

/// One source in one direction.
#[derive(Debug)]
struct Source {
    direction: Direction,
    last: [u8; 12],
    in_row: u32,
}

/// How bytes are spread.
#[derive(Debug)]
struct Sample {
    first: [u32; 256],
    inside: [u32; 256],
    bytes: u32,
}

impl Media {
    /// Media of a flow that a probe has recognised as RTP.
    pub(crate) fn recognised() -> Self {
        Self { recognised: true, ..Self::default() }
    }

    /// From here on another handshake in the flow may have keyed what has no handshake of its own.
    pub(crate) fn doubt(&mut self) {
        self.doubted |= !self.named;
    }

    /// Whether nothing more is to be said.
    pub(crate) fn is_done(&self) -> bool {
        self.keyed || self.judged
    }

    /// Whether media was seen.
    pub(crate) fn is_some(&self) -> bool {
        self.named || self.control || self.keyed
    }

    /// Takes a datagram; whether it can be media. `keyed`: a handshake in this flow has keyed it.
    pub(crate) fn datagram(&mut self, data: Data<'_>, keyed: bool, cx: &mut Context<'_>) -> bool {
        if packet::is_control(data.bytes) {
            self.control(data, keyed, cx);
            return true;
        }
        let Some(packet) = Packet::parse(data.bytes) else { return false };
        if keyed {
            self.keyed(cx);
            return true;
        }
        let Some(in_row) = self.follow(data, &packet) else { return true };
        let enough = in_row >= LEAST_PACKETS || self.recognised;
        if enough && !std::mem::replace(&mut self.named, true) {
            self.payload_type = packet.payload_type;
            if !self.doubted {
                self.name(cx);
            }
        }
        self.count(packet.payload);
        if self.payloads >= ENOUGH_PAYLOADS {
            self.finish(cx);
        }
        true
    }

    /// Nothing more comes: says what the media is worth.
    pub(crate) fn finish(&mut self, cx: &mut Context<'_>) {
        if self.named && !self.keyed && !std::mem::replace(&mut self.judged, true) {
            let readable = self.sample.as_ref().is_some_and(|sample| sample.is_readable(self.payloads));
            if self.doubted && !readable {
                return;
            }
            if self.doubted {
                self.name(cx);
            }
            say(cx, LAYER, MEDIA, if readable { READABLE } else { UNDETERMINED });
        }
    }

    fn name(&self, cx: &mut Context<'_>) {
        cx.enter(LAYER);
        let value = match static_name(self.payload_type) {
            Some(name) => format!("{} {name}", self.payload_type),
            None => self.payload_type.to_string(),
        };
        say(cx, LAYER, "payload_type", &value);
    }

    fn keyed(&mut self, cx: &mut Context<'_>) {
        if !std::mem::replace(&mut self.keyed, true) {
            cx.enter(KEYED_LAYER);
        }
    }

    fn control(&mut self, data: Data<'_>, keyed: bool, cx: &mut Context<'_>) {
        if keyed {
            self.keyed(cx);
            return;
        }
        let Some(compound) = Compound::parse(data.bytes) else { return };
        if !std::mem::replace(&mut self.control, true) {
            cx.enter(CONTROL_LAYER);
        }
        if let Some(name) = compound.cname.filter(|_| !std::mem::replace(&mut self.source_named, true)) {
            say(cx, CONTROL_LAYER, "cname", &name);
        }
    }

    /// How many packets of its source came in a row with this one; `None` for one that came before, or twice.
    fn follow(&mut self, data: Data<'_>, packet: &Packet<'_>) -> Option<u32> {
        let header: [u8; 12] = *data.bytes.first_chunk()?;
        let room = self.sources.len() < MAX_SOURCES;
        let known = self.sources.iter_mut().find(|source| {
            let last = Packet::header(&source.last);
            source.direction == data.direction && last.is_some_and(|last| last.ssrc == packet.ssrc)
        });
        match known {
            Some(source) => {
                let follows = Packet::header(&source.last).is_some_and(|last| last.follows_in(packet));
                let other =
                    Packet::header(&source.last).is_some_and(|last| last.payload_type != packet.payload_type);
                if !follows && !other {
                    return None;
                }
                source.last = header;
                source.in_row = source.in_row.saturating_add(1);
                Some(source.in_row)
            }
            None if room => {
                self.sources.push(Source { direction: data.direction, last: header, in_row: 1 });
                Some(1)
            }
            None => None,
        }
    }

    fn count(&mut self, payload: &[u8]) {
        let Some(first) = payload.first() else { return };
        let sample = self
            .sample
            .get_or_insert_with(|| Box::new(Sample { first: [0; 256], inside: [0; 256], bytes: 0 }));
        self.payloads = self.payloads.saturating_add(1);
        if let Some(slot) = sample.first.get_mut(usize::from(*first)) {
            *slot = slot.saturating_add(1);
        }
        let end = payload.len().saturating_sub(TAIL);
        for byte in payload.get(HEAD..end).unwrap_or_default() {
            if let Some(slot) = sample.inside.get_mut(usize::from(*byte)) {
                *slot = slot.saturating_add(1);
                sample.bytes = sample.bytes.saturating_add(1);
            }
        }
    }
}

impl Sample {
    /// Whether no cipher's output looks like this.
    ///
    /// Of random bytes about one in 256 has a given value: a quarter of them, and five more, is far from it. What random
    /// payloads come to is counted in `tests`.
    fn is_readable(&self, payloads: u32) -> bool {
        let most = self.first.iter().copied().max().unwrap_or(0);
        let recurs = payloads >= LEAST_PAYLOADS && most >= payloads.div_ceil(4).saturating_add(5);
        recurs || (self.bytes >= LEAST_BYTES && self.chi_squared() > MAX_CHI_SQUARED)
    }

    /// Sum of (seen - expected)^2 / expected, which is 256 * (sum of seen^2) / n - n.
    fn chi_squared(&self) -> u64 {
        let squares = self.inside.iter().map(|count| u64::from(*count).saturating_pow(2));
        let sum = squares.fold(0_u64, u64::saturating_add);
        let n = u64::from(self.bytes);
        sum.saturating_mul(256).checked_div(n).unwrap_or(0).saturating_sub(n)
    }
}

fn say(cx: &mut Context<'_>, protocol: &'static str, name: &'static str, value: &str) {
    cx.say(Fact::Property(Box::new(property::Fact::new(protocol, name, value))));
}

/// The encoding of a payload type that has one for all time (RFC 3551 §6).
fn static_name(payload_type: u8) -> Option<&'static str> {
    Some(match payload_type {
        0 => "PCMU",
        3 => "GSM",
        4 => "G723",
        5 | 6 | 16 | 17 => "DVI4",
        7 => "LPC",
        8 => "PCMA",
        9 => "G722",
        10 | 11 => "L16",
        12 => "QCELP",
        13 => "CN",
        14 => "MPA",
        15 => "G728",
        18 => "G729",
        25 => "CelB",
        26 => "JPEG",
        28 => "nv",
        31 => "H261",
        32 => "MPV",
        33 => "MP2T",
        34 => "H263",
        _ => return None,
    })
}
