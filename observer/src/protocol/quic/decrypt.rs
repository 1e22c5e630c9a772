//! Packets that the tester's key log opens: 0-RTT, Handshake and 1-RTT (RFC 9001 §5, §6).
//!
//! A side has a secret for each of these levels. Every packet says which level it is of and carries its number, so that
//! each opens by itself: what was lost or not captured hides nothing but its own content. Only two key updates of which
//! no packet was captured between are too many. While the key log grows, packets whose secret has not come yet are
//! held, as records of TLS are: at most [`MAX_HELD`] bytes of a flow,
//! [`FlowLimits::ciphertext_per_shard`](crate::flow::FlowLimits) of a shard, for [`MAX_WAIT`]. What was not opened is
//! said with its reason, never guessed.
//!
//! Handshake messages, closes and new connection ids are read; what streams carry is not.

use std::ops::Range;

use super::close::Close;
use super::crypto::Crypto;
use super::frame::{Frame, Frames};
use super::issue;
use super::keys::{LongKeys, ShortKeys};
use super::version::{Labels, Version};
use crate::flow::Direction;
use crate::observation::Basis;
use crate::protocol::tls::{self, CryptoStream, Epoch, InnerHello, PacketProtection, Secret, Undecrypted};
use crate::protocol::{self, Context};
use crate::source::FrameNumber;
use crate::time::Timestamp;

/// Ciphertext of a flow that is held for a secret: a handshake with long chains on both sides, and a request.
const MAX_HELD: usize = 64 << 10;

/// Nanoseconds of capture time that a packet is held.
const MAX_WAIT: i64 = 10_000_000_000;

/// Bytes of a flow's packets that are decrypted: new connection ids and closes come between bulk.
const MAX_DECRYPTED: u64 = 16 << 20;

/// Packets of a level whose secret is missing and that are nothing to speak of: where a side takes its leave before the
/// handshake is over, the other never makes the secrets of 1-RTT.
const MOST_CLOSES: u32 = 4;

/// Packets of a level in a row that the keys do not fit, after which they are not tried any longer. One that is damaged
/// or a stateless reset is nothing to speak of.
const MAX_FAILED: u32 = 64;

/// Connection ids that a side issues under encryption and that are told: it may have a handful in use at a time
/// (RFC 9000 §5.1.1), and changes them now and then.
const MAX_IDS: u32 = 64;

/// An encrypted packet.
#[derive(Clone, Copy)]
pub(super) struct Sealed<'a> {
    pub(super) direction: Direction,
    pub(super) level: Epoch,
    pub(super) version: Option<Version>,
    /// Those of the packet's version.
    pub(super) labels: &'static Labels,
    /// Whether its frames are those of Google's versions.
    pub(super) google: bool,
    /// The whole packet.
    pub(super) bytes: &'a [u8],
    /// Where its number begins.
    pub(super) number_at: usize,
}

/// What of a connection decryption needs and changes.
pub(super) struct Connection<'a> {
    pub(super) handshake: &'a mut CryptoStream,
    pub(super) close: &'a mut Close,
}

/// The decryption of a flow.
#[derive(Default)]
pub(super) struct Decryption {
    sides: [Side; 2],
    held: Vec<Held>,
    held_bytes: usize,
    decrypted: u64,
    inner: InnerHello,
    stopped: bool,
    /// What a packet is opened in.
    buffer: Vec<u8>,
}

#[derive(Default)]
struct Side {
    early: Track,
    handshake: Track,
    application: Track,
    /// CRYPTO of Handshake and 1-RTT packets.
    crypto: [Crypto; 2],
    /// Connection ids that were issued.
    ids: u32,
    /// The last reason that was said for what was not opened.
    told: Option<Undecrypted>,
}

/// The packets of a side and a level.
#[derive(Default)]
struct Track {
    keys: Option<PacketKeys>,
    opened: bool,
    /// Packets in a row that did not open.
    failed: u32,
    /// Packets whose secret is missing.
    lacking: u32,
    /// Nothing more is opened.
    over: bool,
}

enum PacketKeys {
    Long(Box<LongKeys>),
    Short(Box<ShortKeys>),
}

/// A packet that waits for its secret.
struct Held {
    direction: Direction,
    level: Epoch,
    version: Option<Version>,
    labels: &'static Labels,
    google: bool,
    number_at: usize,
    bytes: Vec<u8>,
    frame: FrameNumber,
    at: Timestamp,
}

/// What came of the attempt to open a packet.
enum Opening {
    Opened(Range<usize>),
    /// Its secret may come yet.
    Wait,
    /// The keys do not fit.
    Failed,
    /// The key log has no secret of its level.
    Lacking,
    /// None can be opened.
    Never(Undecrypted),
}

impl Held {
    fn sealed(&self) -> Sealed<'_> {
        let Self { direction, level, version, labels, google, number_at, ref bytes, .. } = *self;
        Sealed { direction, level, version, labels, google, bytes, number_at }
    }
}

impl PacketKeys {
    fn new(
        level: Epoch,
        protection: PacketProtection,
        secret: &Secret,
        labels: &'static Labels,
    ) -> Option<Self> {
        Some(match level {
            Epoch::Early | Epoch::Handshake => {
                Self::Long(Box::new(LongKeys::new(protection, secret, labels)?))
            }
            Epoch::Application => Self::Short(Box::new(ShortKeys::new(protection, secret, labels)?)),
        })
    }

    fn open(&mut self, packet: &[u8], number_at: usize, buffer: &mut Vec<u8>) -> Option<Range<usize>> {
        match self {
            Self::Long(keys) => keys.open(packet, number_at, buffer),
            Self::Short(keys) => keys.open(packet, number_at, buffer),
        }
    }
}

impl Side {
    fn track(&mut self, level: Epoch) -> &mut Track {
        match level {
            Epoch::Early => &mut self.early,
            Epoch::Handshake => &mut self.handshake,
            Epoch::Application => &mut self.application,
        }
    }
}

impl Decryption {
    /// Whether packets are worth handing over.
    pub(super) fn wants(&self, cx: &Context<'_>) -> bool {
        !cx.secrets.is_idle() && !self.stopped
    }

    /// Whether there is more to expect: packets are being opened, or wait for their secrets.
    pub(super) fn goes_on(&self) -> bool {
        let opened = |side: &Side| side.handshake.opened || side.application.opened;
        let over = self.sides.iter().all(|side| side.application.over);
        !self.stopped && (!self.held.is_empty() || !over && self.sides.iter().any(opened))
    }

    /// Takes a packet.
    pub(super) fn packet(
        &mut self,
        sealed: Sealed<'_>,
        connection: &mut Connection<'_>,
        cx: &mut Context<'_>,
    ) {
        self.inner.begin(cx);
        self.flush(connection, cx);
        if !self.open(sealed, connection, cx) {
            self.hold(sealed, connection, cx);
        }
    }

    /// Nothing more comes.
    pub(super) fn finish(&mut self, connection: &mut Connection<'_>, cx: &mut Context<'_>) {
        self.flush(connection, cx);
        let sought = self.seek(None, connection, cx);
        if sought == Some(Ok(())) {
            self.flush(connection, cx);
        }
        let reason = sought.and_then(Result::err).unwrap_or(Undecrypted::Secret);
        self.abandon(reason, connection, cx);
        for direction in [Direction::ToResponder, Direction::ToOriginator] {
            let side = self.side(direction);
            let tracks = [&side.early, &side.handshake, &side.application];
            if tracks.iter().any(|track| track.failed > 0 && !track.opened) {
                self.tell(direction, Undecrypted::Tag, connection, cx);
            }
        }
    }

    fn side(&mut self, direction: Direction) -> &mut Side {
        let [to_responder, to_originator] = &mut self.sides;
        match direction {
            Direction::ToResponder => to_responder,
            Direction::ToOriginator => to_originator,
        }
    }

    /// Opens what was held, as far as its secrets have come.
    fn flush(&mut self, connection: &mut Connection<'_>, cx: &mut Context<'_>) {
        if self.held.is_empty() {
            return;
        }
        let now = (cx.frame, cx.at);
        for held in std::mem::take(&mut self.held) {
            (cx.frame, cx.at) = (held.frame, held.at);
            if self.open(held.sealed(), connection, cx) {
                let len = held.bytes.len();
                self.held_bytes = self.held_bytes.saturating_sub(len);
                *cx.ciphertext = cx.ciphertext.saturating_sub(len);
            } else {
                self.held.push(held);
            }
        }
        (cx.frame, cx.at) = now;
    }

    fn hold(&mut self, sealed: Sealed<'_>, connection: &mut Connection<'_>, cx: &mut Context<'_>) {
        let Sealed { direction, level, version, labels, google, bytes, number_at } = sealed;
        let len = bytes.len();
        let since = self.held.first().map_or(cx.at, |first| first.at);
        let full = self.held_bytes.saturating_add(len) > MAX_HELD
            || cx.ciphertext.saturating_add(len) > cx.limits.ciphertext_per_shard;
        let over = full || cx.at.0.saturating_sub(since.0) > MAX_WAIT;
        let growing = cx.secrets.is_growing();
        let sought = if over || !growing { self.seek(Some(sealed), connection, cx) } else { None };
        if sought == Some(Ok(())) {
            return self.packet(sealed, connection, cx);
        }
        if over || sought.is_some() {
            let sought = sought.and_then(Result::err);
            let reason = sought.filter(|reason| !growing || *reason == Undecrypted::Trials);
            let reason = reason.unwrap_or(Undecrypted::Hold);
            self.abandon(reason, connection, cx);
            if connection.handshake.secrets(cx).is_none() {
                self.stop(direction, reason, connection, cx);
            } else {
                self.give_up(direction, level, reason, connection, cx);
            }
            return;
        }
        self.held_bytes = self.held_bytes.saturating_add(len);
        *cx.ciphertext = cx.ciphertext.saturating_add(len);
        let (bytes, frame, at) = (bytes.to_vec(), cx.frame, cx.at);
        self.held.push(Held { direction, level, version, labels, google, number_at, bytes, frame, at });
    }

    /// Looks for the secrets of an inner ClientHello, with the first of the server's Handshake packets among those held
    /// and `newest`: each is opened by itself. `None` where it is too early or no use.
    fn seek(
        &mut self,
        newest: Option<Sealed<'_>>,
        connection: &mut Connection<'_>,
        cx: &mut Context<'_>,
    ) -> Option<Result<(), Undecrypted>> {
        let protection = connection.handshake.protection()?;
        let handshake = connection.handshake.handshake();
        let server = handshake.of_server();
        let held = self.held.iter().map(|held| (held.sealed(), (held.frame, held.at)));
        let newest = newest.map(|newest| (newest, (cx.frame, cx.at)));
        let is_first = |sealed: &Sealed<'_>| sealed.direction == server && sealed.level == Epoch::Handshake;
        let (first, place) = held.chain(newest).find(|(sealed, _)| is_first(sealed))?;
        let mut buffer = Vec::new();
        let opens = |secret: &Secret| {
            let keys = PacketKeys::new(Epoch::Handshake, protection, secret, first.labels);
            keys.is_some_and(|mut keys| keys.open(first.bytes, first.number_at, &mut buffer).is_some())
        };
        self.inner.seek(handshake, place, opens, cx)
    }

    /// Lets go of what is held, and of its levels.
    fn abandon(&mut self, reason: Undecrypted, connection: &Connection<'_>, cx: &mut Context<'_>) {
        *cx.ciphertext = cx.ciphertext.saturating_sub(std::mem::take(&mut self.held_bytes));
        let known = connection.handshake.secrets(cx).is_some();
        for held in std::mem::take(&mut self.held) {
            let Held { direction, level, .. } = held;
            match reason {
                // What one side lacks in a session the other lacks, too.
                _ if !known => self.stop(direction, reason, connection, cx),
                Undecrypted::Secret => self.lack(direction, level, connection, cx),
                _ => self.give_up(direction, level, reason, connection, cx),
            }
        }
    }

    /// Opens a packet; false if it has to wait.
    fn open(&mut self, sealed: Sealed<'_>, connection: &mut Connection<'_>, cx: &mut Context<'_>) -> bool {
        let Sealed { direction, level, .. } = sealed;
        if self.stopped || self.side(direction).track(level).over {
            return true;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        self.inner.settle(connection.handshake.handshake(), cx);
        match self.attempt(sealed, connection.handshake, &mut buffer, cx) {
            Opening::Opened(payload) => {
                let track = self.side(direction).track(level);
                (track.opened, track.failed) = (true, 0);
                let basis = std::mem::replace(&mut cx.basis, Basis::Decrypted);
                self.opened(sealed, buffer.get(payload).unwrap_or_default(), connection, cx);
                cx.basis = basis;
            }
            Opening::Wait => {
                self.buffer = buffer;
                return false;
            }
            Opening::Failed => {
                let track = self.side(direction).track(level);
                track.failed = track.failed.saturating_add(1);
                if track.failed > MAX_FAILED {
                    self.give_up(direction, level, Undecrypted::Tag, connection, cx);
                }
            }
            Opening::Lacking => self.lack(direction, level, connection, cx),
            Opening::Never(reason) => self.stop(direction, reason, connection, cx),
        }
        self.buffer = buffer;
        true
    }

    fn attempt(
        &mut self,
        sealed: Sealed<'_>,
        handshake: &mut CryptoStream,
        buffer: &mut Vec<u8>,
        cx: &Context<'_>,
    ) -> Opening {
        let Sealed { direction, level, labels, bytes, number_at, .. } = sealed;
        let hides = self.inner.is_possible(handshake.handshake(), cx);
        let track = self.side(direction).track(level);
        if track.keys.is_none() {
            let secrets = handshake.secrets(cx);
            let growing = cx.secrets.is_growing();
            let Some(secrets) = secrets.filter(|_| handshake.is_answered()) else {
                // Packets may overtake the ServerHello, which names the suite.
                let may_come = growing || secrets.is_some() || hides;
                return if may_come { Opening::Wait } else { Opening::Never(Undecrypted::Secret) };
            };
            let Some(protection) = handshake.protection() else { return Opening::Never(Undecrypted::Suite) };
            let Some(secret) = secrets.traffic(handshake.role(direction), level) else {
                // Early data is sent before the secrets of the handshake can be known.
                let late = level == Epoch::Early && secrets.client_handshake.is_some();
                return if growing && !late { Opening::Wait } else { Opening::Lacking };
            };
            track.keys = PacketKeys::new(level, protection, secret, labels);
        }
        let keys = track.keys.as_mut();
        let opened = keys.and_then(|keys| keys.open(bytes, number_at, buffer));
        opened.map_or(Opening::Failed, Opening::Opened)
    }

    /// There is no secret for a packet.
    fn lack(
        &mut self,
        direction: Direction,
        level: Epoch,
        connection: &Connection<'_>,
        cx: &mut Context<'_>,
    ) {
        let track = self.side(direction).track(level);
        track.lacking = track.lacking.saturating_add(1);
        if track.lacking > MOST_CLOSES {
            self.give_up(direction, level, Undecrypted::Secret, connection, cx);
        }
    }

    /// Nothing more of a level is opened.
    fn give_up(
        &mut self,
        direction: Direction,
        level: Epoch,
        reason: Undecrypted,
        connection: &Connection<'_>,
        cx: &mut Context<'_>,
    ) {
        if !std::mem::replace(&mut self.side(direction).track(level).over, true) {
            self.tell(direction, reason, connection, cx);
        }
    }

    /// Nothing more of the flow is opened.
    fn stop(
        &mut self,
        direction: Direction,
        reason: Undecrypted,
        connection: &Connection<'_>,
        cx: &mut Context<'_>,
    ) {
        if !std::mem::replace(&mut self.stopped, true) {
            self.tell(direction, reason, connection, cx);
        }
    }

    fn tell(
        &mut self,
        direction: Direction,
        reason: Undecrypted,
        connection: &Connection<'_>,
        cx: &mut Context<'_>,
    ) {
        if self.side(direction).told.replace(reason) != Some(reason) {
            let from = connection.handshake.role(direction);
            cx.say(protocol::Fact::Tls(tls::Fact::Undecrypted { from, reason }));
        }
    }

    /// Takes the frames of a packet.
    fn opened(
        &mut self,
        sealed: Sealed<'_>,
        payload: &[u8],
        connection: &mut Connection<'_>,
        cx: &mut Context<'_>,
    ) {
        let Sealed { direction, level, google, .. } = sealed;
        for frame in Frames::new(payload, google) {
            match frame {
                Frame::Crypto { offset, bytes } => {
                    let [of_handshake, of_rest] = &mut self.side(direction).crypto;
                    let after = level == Epoch::Application;
                    let crypto = if after { of_rest } else { of_handshake };
                    let ready = crypto.take(connection.handshake.role(direction), offset, bytes, cx);
                    connection.handshake.decrypted(direction, after, &ready, cx);
                }
                Frame::Close(close) => connection.close.say(connection.handshake.role(direction), close, cx),
                Frame::ConnectionId(id) => {
                    let side = self.side(direction);
                    side.ids = side.ids.saturating_add(1);
                    if side.ids <= MAX_IDS {
                        let by = connection.handshake.role(direction);
                        issue((by, direction), id, sealed.version, cx);
                    }
                }
            }
        }
        self.decrypted = self.decrypted.saturating_add(u64::try_from(payload.len()).unwrap_or(u64::MAX));
        if self.decrypted > MAX_DECRYPTED {
            self.stop(direction, Undecrypted::Bulk, connection, cx);
        }
    }
}
