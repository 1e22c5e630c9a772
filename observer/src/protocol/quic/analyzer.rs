//! One QUIC connection, from the datagrams of both sides to facts.
//!
//! Keys are derived once a connection, and again after Retry or when the version changes; every Initial packet is
//! opened, others only with the tester's key log. Without that the analyzer is done when both sides have sent data in
//! 1-RTT packets, or after [`MAX_DATAGRAMS`]: the bulk of a connection costs nothing.
//!
//! Which side is the client is told by whose keys open the packets, not by who opened the flow.

use std::ops::Range;

use super::close::Close;
use super::crypto::Crypto;
use super::decrypt::{Connection, Decryption, Sealed};
use super::fact::Fact;
use super::frame::{Frame, Frames};
use super::keys::{self, Keys};
use super::packet::{self, Cid, FIXED_BIT, Kind, MAX_CID, Numbered, Packet};
use super::version::Version;
use super::{MAX_VERSIONS, issue};
use crate::bytes::ParseError;
use crate::flow::{Data, Direction, Gap};
use crate::protocol::tls::{self, CryptoStream, Epoch, HandshakePacket, Role};
use crate::protocol::{self, Analyzer, Context, Progress};
use crate::source::FrameNumber;
use crate::time::Timestamp;

/// JA4's letter for TLS over QUIC.
const OVER_QUIC: char = 'q';

/// Datagrams after which nothing new is expected: many times those of a handshake with losses.
const MAX_DATAGRAMS: u32 = 128;

/// 1-RTT packets of one side after which the other's are not waited for any longer.
const MAX_ONE_RTT: u32 = 32;

/// Changes of version that are said: whoever repeats an old version when the new one is lost makes a few.
const MAX_CHANGES: u8 = 8;

/// Keys derived in a flow: those of a Retry, a negotiation and guesses at an unknown version, with room.
const MAX_DERIVATIONS: u32 = 12;

/// Bytes of Initial packets that came before there were keys.
const MAX_WAITING: usize = 8 << 10;

/// Bytes of a datagram that may be padded: clients pad those with an Initial to at least so many (RFC 9000 §14.1), and
/// may do so with others.
const PADDED: usize = 1200 - 2 * MAX_CID;

/// Bytes of a 1-RTT packet that is more than an acknowledgement or a close.
const DATA: usize = 120;

/// 1-RTT packets of a side after which there is data among them, however small they are.
const CLOSES: u32 = 4;

/// Handshake packets whose lengths are kept.
const MAX_FLIGHT: usize = 16;

/// Reads a QUIC connection.
pub(super) struct QuicAnalyzer {
    version: Option<Version>,
    keys: Option<Box<Keys>>,
    derivations: u32,
    /// The connection id that the keys follow from.
    destination: Cid,
    client: Option<Direction>,
    sides: [Side; 2],
    handshake: CryptoStream,
    waiting: Vec<Waiting>,
    waiting_bytes: usize,
    /// The client's Handshake packets.
    flight: Vec<HandshakePacket>,
    /// Whether the datagram that is being read may hold padding.
    padded: bool,
    datagrams: u32,
    /// Versions that were said.
    changes: u8,
    negotiated: bool,
    retried: bool,
    token: bool,
    zero_rtt: bool,
    /// The connection ids of the handshake were told.
    issued: bool,
    close: Close,
    decryption: Box<Decryption>,
    /// What a packet is opened in.
    buffer: Vec<u8>,
}

/// One direction.
#[derive(Default)]
struct Side {
    /// The connection id that the sender chose for itself: the other side's packets begin with it.
    source: Option<Cid>,
    /// The connection id that its Handshake packets go to: some clients change at once to one that the server issued under
    /// encryption.
    destination: Option<Cid>,
    crypto: Crypto,
    one_rtt: u32,
    /// Its 1-RTT packets are more than those with which a side takes its leave.
    data: bool,
}

/// An Initial packet for which there are no keys yet.
struct Waiting {
    direction: Direction,
    packet: Vec<u8>,
    frame: FrameNumber,
    at: Timestamp,
}

impl Default for QuicAnalyzer {
    fn default() -> Self {
        Self {
            version: None,
            keys: None,
            derivations: 0,
            destination: Cid::default(),
            client: None,
            sides: Default::default(),
            handshake: CryptoStream::new(OVER_QUIC),
            waiting: Vec::new(),
            waiting_bytes: 0,
            flight: Vec::new(),
            padded: false,
            datagrams: 0,
            changes: 0,
            negotiated: false,
            retried: false,
            token: false,
            zero_rtt: false,
            issued: false,
            close: Close::default(),
            decryption: Box::default(),
            buffer: Vec::new(),
        }
    }
}

impl Analyzer for QuicAnalyzer {
    fn data(&mut self, data: Data<'_>, cx: &mut Context<'_>) -> Progress {
        self.datagrams = self.datagrams.saturating_add(1);
        if let Err(error) = self.datagram(data.direction, data.bytes, cx)
            && self.version.is_none()
        {
            return Progress::Malformed(error);
        }
        if self.is_done() && !self.decryption.goes_on() {
            self.finish(cx);
            return Progress::Done;
        }
        Progress::NeedMore
    }

    /// A datagram of which a part was not captured cannot be opened, and says nothing of the next.
    fn gap(&mut self, _gap: Gap, _cx: &mut Context<'_>) -> Progress {
        Progress::NeedMore
    }

    fn finish(&mut self, cx: &mut Context<'_>) {
        let Self { decryption, handshake, close, .. } = self;
        decryption.finish(&mut Connection { handshake, close }, cx);
        let packets = std::mem::take(&mut self.flight);
        if !packets.is_empty() {
            cx.say(protocol::Fact::Tls(tls::Fact::HandshakePackets { packets: packets.into() }));
        }
    }
}

impl QuicAnalyzer {
    fn is_done(&self) -> bool {
        let [a, b] = &self.sides;
        (a.data && b.data) || a.one_rtt.max(b.one_rtt) > MAX_ONE_RTT || self.datagrams > MAX_DATAGRAMS
    }

    fn side(&mut self, direction: Direction) -> &mut Side {
        let [to_responder, to_originator] = &mut self.sides;
        match direction {
            Direction::ToResponder => to_responder,
            Direction::ToOriginator => to_originator,
        }
    }

    fn role(&self, direction: Direction) -> Role {
        if self.client.unwrap_or(Direction::ToResponder) == direction { Role::Client } else { Role::Server }
    }

    /// Reads the packets of a datagram. An error is that of the first; what follows a packet may be padding.
    fn datagram(
        &mut self,
        direction: Direction,
        datagram: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<(), ParseError> {
        self.padded = datagram.len() >= PADDED;
        let mut rest = datagram;
        let mut first = true;
        loop {
            match packet::next(&mut rest) {
                Ok(Some(packet)) => self.packet(direction, packet, cx),
                Err(error) if first => return Err(error),
                Ok(None) | Err(_) => return Ok(()),
            }
            first = false;
        }
    }

    fn packet(&mut self, direction: Direction, packet: Packet<'_>, cx: &mut Context<'_>) {
        match packet {
            Packet::VersionNegotiation { versions } => self.negotiation(versions, cx),
            Packet::Retry { header, whole } => {
                self.speaks(header.version, cx);
                self.retry(whole, cx);
            }
            Packet::Numbered(packet) => {
                self.speaks(packet.header.version, cx);
                match packet.kind {
                    Kind::Initial => {
                        self.padded = true;
                        self.initial(direction, &packet, cx);
                    }
                    Kind::ZeroRtt => {
                        if !std::mem::replace(&mut self.zero_rtt, true) {
                            say(cx, Fact::ZeroRtt);
                        }
                        self.sealed(direction, Epoch::Early, packet.whole, packet.number_at, cx);
                    }
                    Kind::Handshake => {
                        self.handshake_packet(direction, &packet, cx);
                        self.sealed(direction, Epoch::Handshake, packet.whole, packet.number_at, cx);
                    }
                }
            }
            Packet::Short { bytes } => self.short(direction, bytes, cx),
        }
    }

    /// Notes the version of a packet.
    fn speaks(&mut self, version: Version, cx: &mut Context<'_>) {
        if self.version != Some(version) && self.changes < MAX_CHANGES {
            self.changes = self.changes.saturating_add(1);
            self.version = Some(version);
            say(cx, Fact::Version(version));
        }
    }

    /// The client begins anew with another version, as if it had said nothing.
    fn negotiation(&mut self, versions: &[u8], cx: &mut Context<'_>) {
        if !std::mem::replace(&mut self.negotiated, true) {
            let (versions, _odd) = versions.as_chunks::<4>();
            let versions = versions.iter().map(|version| Version(u32::from_be_bytes(*version)));
            say(cx, Fact::VersionNegotiation { versions: versions.take(MAX_VERSIONS).collect() });
        }
        if !self.handshake.is_answered() {
            self.restart();
        }
    }

    fn restart(&mut self) {
        self.keys = None;
        self.handshake.restart();
        for side in &mut self.sides {
            side.crypto = Crypto::default();
        }
    }

    /// The client goes on with its hello, under keys that follow from the server's connection id.
    fn retry(&mut self, whole: &[u8], cx: &mut Context<'_>) {
        let known = self.keys.as_ref().map(|keys| keys.scheme);
        let valid = known.and_then(|scheme| keys::retry_is_valid(scheme, self.destination.as_bytes(), whole));
        if !std::mem::replace(&mut self.retried, true) {
            say(cx, Fact::Retry { valid });
        }
    }

    /// Takes an Initial packet; one that cannot be opened waits for those that tell the keys.
    fn initial(&mut self, direction: Direction, packet: &Numbered<'_>, cx: &mut Context<'_>) {
        let source = Cid::new(packet.header.source);
        let mut buffer = std::mem::take(&mut self.buffer);
        let fresh = self.keys.is_none();
        if let Some(payload) = self.open(direction, packet, &mut buffer, cx) {
            self.side(direction).source = Some(source);
            if !packet.token.is_empty() && !std::mem::replace(&mut self.token, true) {
                say(cx, Fact::Token { len: packet.token.len() });
            }
            let google = packet.header.version.has_google_frames();
            self.frames(direction, buffer.get(payload).unwrap_or_default(), google, cx);
            self.issue(cx);
            self.buffer = buffer;
            if fresh {
                self.wake(cx);
            }
        } else {
            self.buffer = buffer;
            self.side(direction).source.get_or_insert(source);
            if self.keys.is_none() {
                self.wait(direction, packet, cx);
            }
        }
    }

    /// Opens an Initial packet with the keys that there are, else with those that follow from itself: where its frames
    /// lie in `buffer`.
    fn open(
        &mut self,
        direction: Direction,
        packet: &Numbered<'_>,
        buffer: &mut Vec<u8>,
        cx: &mut Context<'_>,
    ) -> Option<Range<usize>> {
        let version = packet.header.version;
        if let Some(keys) = &mut self.keys {
            let from = if self.client == Some(direction) { Role::Client } else { Role::Server };
            if let Some(payload) = keys.open(from, packet, buffer) {
                return Some(payload);
            }
            // The server may answer in another version than it was asked in (RFC 9368 §2.3).
            let other = version.scheme().filter(|scheme| !std::ptr::eq(*scheme, keys.scheme));
            if let Some(scheme) = other.filter(|_| self.derivations < MAX_DERIVATIONS) {
                self.derivations = self.derivations.saturating_add(1);
                let mut fresh = Keys::derive(scheme, self.destination.as_bytes())?;
                if let Some(payload) = fresh.open(from, packet, buffer) {
                    **keys = fresh;
                    return Some(payload);
                }
            }
            if from == Role::Server || self.handshake.is_answered() {
                return None;
            }
        }
        for scheme in version.schemes() {
            if self.derivations >= MAX_DERIVATIONS {
                return None;
            }
            self.derivations = self.derivations.saturating_add(1);
            let mut keys = Keys::derive(scheme, packet.header.destination)?;
            let Some(payload) = keys.open(Role::Client, packet, buffer) else { continue };
            if self.keys.is_some() {
                // After a Retry, or another connection between the same ends before the first was answered: the client
                // says all again, and some a hello that is not the same.
                self.restart();
            }
            self.keys = Some(Box::new(keys));
            self.destination = Cid::new(packet.header.destination);
            self.client = Some(direction);
            self.handshake.client_is(direction, cx);
            return Some(payload);
        }
        None
    }

    /// Tells the connection ids of the handshake, once it is answered.
    fn issue(&mut self, cx: &mut Context<'_>) {
        if !self.handshake.is_answered() || std::mem::replace(&mut self.issued, true) {
            return;
        }
        for direction in [Direction::ToResponder, Direction::ToOriginator] {
            let by = self.role(direction);
            let id = self.side(direction).source.unwrap_or_default();
            issue((by, direction), id.as_bytes(), self.version, cx);
        }
    }

    fn frames(&mut self, direction: Direction, payload: &[u8], google: bool, cx: &mut Context<'_>) {
        for frame in Frames::new(payload, google) {
            match frame {
                Frame::Crypto { offset, bytes } => self.crypto(direction, offset, bytes, cx),
                Frame::Close(close) => self.close.say(self.role(direction), close, cx),
                Frame::ConnectionId(_) => {}
            }
        }
    }

    fn crypto(&mut self, direction: Direction, offset: u64, bytes: &[u8], cx: &mut Context<'_>) {
        let from = self.role(direction);
        let ready = self.side(direction).crypto.take(from, offset, bytes, cx);
        self.handshake.data(direction, &ready, cx);
    }

    /// Hands a packet to decryption, where there is something to decrypt with.
    fn sealed(
        &mut self,
        direction: Direction,
        level: Epoch,
        bytes: &[u8],
        number_at: usize,
        cx: &mut Context<'_>,
    ) {
        if !self.decryption.wants(cx) {
            return;
        }
        // The server may have changed to another version, whose Initial keys are known then.
        let used = self.keys.as_ref().map(|keys| keys.scheme);
        let Some(scheme) = used.or_else(|| self.version?.scheme()) else { return };
        let google = self.version.is_some_and(Version::has_google_frames);
        let version = self.version;
        let Self { decryption, handshake, close, .. } = self;
        let sealed = Sealed { direction, level, version, labels: scheme.labels, google, bytes, number_at };
        decryption.packet(sealed, &mut Connection { handshake, close }, cx);
    }

    /// Keeps an Initial packet until there are keys: the server's overtook the client's, or the client's first are
    /// not in the capture.
    fn wait(&mut self, direction: Direction, packet: &Numbered<'_>, cx: &mut Context<'_>) {
        let bytes = self.waiting_bytes.saturating_add(packet.whole.len());
        if bytes <= MAX_WAITING {
            self.waiting_bytes = bytes;
            let (packet, frame, at) = (packet.whole.to_vec(), cx.frame, cx.at);
            self.waiting.push(Waiting { direction, packet, frame, at });
        }
    }

    /// Reads what has waited.
    fn wake(&mut self, cx: &mut Context<'_>) {
        let now = (cx.frame, cx.at);
        self.waiting_bytes = 0;
        for Waiting { direction, packet, frame, at } in std::mem::take(&mut self.waiting) {
            (cx.frame, cx.at) = (frame, at);
            if let Ok(Some(Packet::Numbered(packet))) = packet::next(&mut packet.as_slice()) {
                self.initial(direction, &packet, cx);
            }
        }
        (cx.frame, cx.at) = now;
    }

    fn handshake_packet(&mut self, direction: Direction, packet: &Numbered<'_>, cx: &mut Context<'_>) {
        let source = Cid::new(packet.header.source);
        let destination = Cid::new(packet.header.destination);
        let is_client = self.client == Some(direction);
        let known = self.side(direction.reverse()).source.is_none_or(|source| source == destination);
        let side = self.side(direction);
        side.source.get_or_insert(source);
        let fresh = side.destination.replace(destination) != Some(destination);
        if fresh && !known && self.issued {
            let back = direction.reverse();
            issue((self.role(back), back), destination.as_bytes(), self.version, cx);
        }
        let side = self.side(direction);
        if is_client && side.one_rtt == 0 && self.flight.len() < MAX_FLIGHT {
            let len = u16::try_from(packet.payload_len()).unwrap_or(u16::MAX);
            self.flight.push(HandshakePacket { len, padded: self.padded });
        }
    }

    /// A packet with a short header: where it bears the connection id that the other side chose, a side has the keys
    /// of 1-RTT. The server has them once it sent its Finished, the client once it has read that, and sent its own.
    fn short(&mut self, direction: Direction, bytes: &[u8], cx: &mut Context<'_>) {
        let expected = self.side(direction.reverse()).source;
        let Some((first, rest)) = bytes.split_first() else { return };
        let known = match expected {
            None => false,
            Some(cid) if cid.len == 0 => first & FIXED_BIT != 0,
            Some(cid) => {
                let other = self.side(direction).destination.unwrap_or(cid);
                rest.starts_with(cid.as_bytes()) || other.len > 0 && rest.starts_with(other.as_bytes())
            }
        };
        if self.client.is_none() {
            return;
        }
        if let Some(cid) = expected {
            // A side may have changed to another id, of the same length.
            self.sealed(direction, Epoch::Application, bytes, usize::from(cid.len).saturating_add(1), cx);
        }
        if !known {
            return;
        }
        let from = self.role(direction);
        let other = self.side(direction.reverse()).one_rtt > 0;
        let side = self.side(direction);
        side.one_rtt = side.one_rtt.saturating_add(1);
        let data = !side.data && (bytes.len() >= DATA || side.one_rtt > CLOSES);
        side.data |= data;
        let server = if from == Role::Server { direction } else { direction.reverse() };
        if side.one_rtt == 1 {
            if !other && !self.handshake.is_finished(server) {
                cx.say(protocol::Fact::Tls(tls::Fact::EncryptedHandshake { from: Role::Server }));
            }
            if from == Role::Client && !self.handshake.is_finished(direction) {
                cx.say(protocol::Fact::Tls(tls::Fact::EncryptedHandshake { from }));
            }
        }
        if data {
            cx.say(protocol::Fact::Tls(tls::Fact::ApplicationData { from }));
        }
    }
}

/// Says a fact of QUIC.
pub(super) fn say(cx: &mut Context<'_>, fact: Fact) {
    cx.say(protocol::Fact::Quic(Box::new(fact)));
}
