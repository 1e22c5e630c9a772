//! Records that the tester's key log opens, in the order of the flow.
//!
//! Each side has a place in the key schedule: early data, handshake, application data; up to TLS 1.2 the keys begin
//! with ChangeCipherSpec. A record's sequence number is its place among the side's records under one key, so that
//! nothing behind a gap can be opened. While the key log grows, records whose secret has not come yet are held: at most
//! [`MAX_HELD`](super::held::MAX_HELD) bytes of a flow, [`FlowLimits::ciphertext_per_shard`](crate::flow::FlowLimits) of a shard, for
//! [`MAX_WAIT`](super::held::MAX_WAIT). Where the client offers Encrypted Client Hello and its random names no secret by then, it is looked for
//! among those of other sessions ([`Trials`](super::Trials)). What was not opened is said with its reason, never guessed.

use super::analyzer::say;
use super::encrypted::{self, Turn};
use super::handshake::Handshake;
use super::held::{Held, Sealed};
use super::inner_hello::InnerHello;
use super::keylog::{Epoch, Secret, SessionSecrets};
use super::keys::{Protection, RecordKeys};
use super::record::{Message, MessageReader, content};
use super::wire::kind;
use super::{Alert, Fact, Role, Undecrypted};
use crate::flow::{Data, Direction, Gap};
use crate::observation::Basis;
use crate::protocol::Context;

/// Application data of a flow that is decrypted. The heads of long-lived flows come between bodies; what comes behind
/// so much is bulk.
const MAX_DECRYPTED: u64 = 16 << 20;

/// Records of a side that no key opens and that are passed over: early data that the server refuses or whose secret is
/// missing, a handshake whose secret is missing.
const MAX_SKIPPED: u32 = 64;

/// Handshake messages and alerts within encryption that are read of a flow.
const MAX_MESSAGES: u32 = 128;

#[derive(Default)]
struct Side {
    epoch: Epoch,
    keys: Option<RecordKeys>,
    /// What `keys` were made of, in TLS 1.3.
    secret: Option<Secret>,
    sequence: u64,
    messages: MessageReader,
    /// Records that were not opened.
    skipped: u32,
    opened: bool,
    data: bool,
    finished: bool,
    /// Nothing more of this side can be opened.
    over: bool,
}

/// The decryption of a flow.
#[derive(Default)]
pub(super) struct Decryption {
    sides: [Side; 2],
    held: Held,
    decrypted: u64,
    messages: u32,
    /// Application data was handed on since it was last asked.
    carries: bool,
    inner: InnerHello,
    stopped: bool,
}

/// What came of the attempt to open a record.
enum Opening {
    Opened(u8, Vec<u8>),
    /// Its secret may come yet.
    Wait,
    /// It cannot be opened, those after it may.
    Skip,
    Never(Undecrypted),
}

impl Decryption {
    /// Whether encrypted records in `direction` are worth collecting.
    pub(super) fn wants(&self, direction: Direction, cx: &Context<'_>) -> bool {
        !cx.secrets.is_idle()
            && !self.stopped
            && self.sides.get(direction.index()).is_some_and(|side| !side.over)
    }

    /// Whether what the lengths of records in `direction` say is known better from their contents.
    pub(super) fn reads(&self, direction: Direction, handshake: &Handshake, cx: &Context<'_>) -> bool {
        let opened = self.sides.get(direction.index()).is_some_and(|side| side.opened);
        // Those of an inner ClientHello are looked for with this very record.
        let tries = !cx.secrets.is_growing() && direction == handshake.of_server();
        let known = || handshake.secrets(cx).is_some() || tries && self.may_be_inner(handshake, cx);
        self.wants(direction, cx) && (opened || handshake.protection().is_some() && known())
    }

    /// Whether there is more to expect: records are being opened, or wait for their secrets.
    pub(super) fn goes_on(&self) -> bool {
        !self.stopped && (!self.held.is_empty() || self.sides.iter().any(|side| side.opened && !side.over))
    }

    /// Whether records in `direction` were never opened, and none waits.
    pub(super) fn is_shut(&self, direction: Direction) -> bool {
        self.held.is_empty() && self.sides.get(direction.index()).is_none_or(|side| !side.opened)
    }

    /// Whether application data in `direction` was read.
    pub(super) fn has_data(&self, direction: Direction) -> bool {
        self.sides.get(direction.index()).is_some_and(|side| side.data)
    }

    /// Whether bytes were handed on since the last call.
    pub(super) fn take_carries(&mut self) -> bool {
        std::mem::take(&mut self.carries)
    }

    /// Takes a whole record.
    pub(super) fn record(&mut self, sealed: Sealed, handshake: &mut Handshake, cx: &mut Context<'_>) {
        self.inner.begin(cx);
        self.flush(handshake, cx);
        let waits = if self.held.is_empty() { self.open(sealed, handshake, cx) } else { Some(sealed) };
        if let Some(sealed) = waits {
            self.hold(sealed, handshake, cx);
        }
    }

    /// Bytes of a direction are missing, and with them the place of all records behind them.
    pub(super) fn gap(&mut self, gap: Gap, handshake: &mut Handshake, cx: &mut Context<'_>) {
        if !self.wants(gap.direction, cx) {
            return;
        }
        self.flush_all(handshake, cx);
        let known = handshake.protection().is_some() && handshake.secrets(cx).is_some();
        if self.side(gap.direction).opened || known {
            self.give_up(gap.direction, Undecrypted::Gap, handshake, cx);
            cx.inner.gap(gap);
            self.carries = true;
        }
        self.side(gap.direction).over = true;
    }

    /// Nothing more comes.
    pub(super) fn finish(&mut self, handshake: &mut Handshake, cx: &mut Context<'_>) {
        let sought = self.flush_all(handshake, cx);
        if let Some(direction) = self.held.first().map(|sealed| sealed.direction) {
            self.abandon(direction, (sought, Undecrypted::Secret), handshake, cx);
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
    fn flush(&mut self, handshake: &mut Handshake, cx: &mut Context<'_>) {
        let now = (cx.frame, cx.at);
        while let Some(sealed) = self.held.pop(cx) {
            (cx.frame, cx.at) = (sealed.frame, sealed.at);
            if let Some(sealed) = self.open(sealed, handshake, cx) {
                self.held.put_back(sealed, cx);
                break;
            }
        }
        (cx.frame, cx.at) = now;
    }

    /// The same, and before it is too late under the secrets of an inner ClientHello.
    fn flush_all(
        &mut self,
        handshake: &mut Handshake,
        cx: &mut Context<'_>,
    ) -> Option<Result<(), Undecrypted>> {
        self.flush(handshake, cx);
        let sought = self.seek(None, handshake, cx);
        if sought == Some(Ok(())) {
            self.flush(handshake, cx);
        }
        sought
    }

    fn hold(&mut self, sealed: Sealed, handshake: &mut Handshake, cx: &mut Context<'_>) {
        let over = !self.held.has_room(&sealed, cx);
        let growing = cx.secrets.is_growing();
        let sought = if over || !growing { self.seek(Some(&sealed), handshake, cx) } else { None };
        if sought == Some(Ok(())) {
            return self.record(sealed, handshake, cx);
        }
        if over || sought.is_some() {
            let reason = if growing { Undecrypted::Hold } else { Undecrypted::Secret };
            return self.abandon(sealed.direction, (sought, reason), handshake, cx);
        }
        self.held.push(sealed, cx);
    }

    /// Whether it is worth to wait for what the server sends first under a secret of an inner ClientHello.
    fn may_be_inner(&self, handshake: &Handshake, cx: &Context<'_>) -> bool {
        let server = self.sides.get(handshake.of_server().index());
        // Before the server's hello there is nothing but early data.
        let comes = handshake.is_answered() || handshake.early_data();
        comes && server.is_some_and(|server| !server.over) && self.inner.is_possible(handshake, cx)
    }

    /// Looks for the secrets of an inner ClientHello, with the server's first record among those held and `newest`. `None`
    /// where it is too early or no use.
    fn seek(
        &mut self,
        newest: Option<&Sealed>,
        handshake: &mut Handshake,
        cx: &mut Context<'_>,
    ) -> Option<Result<(), Undecrypted>> {
        let (server, protection) = (handshake.of_server(), handshake.protection()?);
        let first = self.held.iter().chain(newest).find(|sealed| sealed.direction == server)?;
        let opens = |secret: &Secret| {
            protection.tls13(secret).is_some_and(|keys| keys.open(first.header, &first.body, 0).is_some())
        };
        self.inner.seek(handshake, (first.frame, first.at), opens, cx)
    }

    /// Lets go of what is held, for a reason, after a look for other secrets or without one.
    fn abandon(
        &mut self,
        direction: Direction,
        (sought, reason): (Option<Result<(), Undecrypted>>, Undecrypted),
        handshake: &Handshake,
        cx: &mut Context<'_>,
    ) {
        self.held.release(cx);
        let lacks_hello = !handshake.is_answered() && handshake.secrets(cx).is_some();
        let reason = match sought {
            Some(Err(Undecrypted::Trials)) => Undecrypted::Trials,
            _ if lacks_hello => Undecrypted::Hello,
            _ => reason,
        };
        self.stop(direction, reason, handshake, cx);
    }

    /// Opens a record; gives it back if it has to wait.
    fn open(&mut self, sealed: Sealed, handshake: &mut Handshake, cx: &mut Context<'_>) -> Option<Sealed> {
        let direction = sealed.direction;
        if self.stopped || self.side(direction).over {
            return None;
        }
        match self.attempt(&sealed, handshake, cx) {
            Opening::Opened(kind, bytes) => {
                let side = self.side(direction);
                side.sequence = side.sequence.saturating_add(1);
                side.opened = true;
                // A KeyUpdate within begins anew.
                let basis = std::mem::replace(&mut cx.basis, Basis::Decrypted);
                self.opened(direction, kind, &bytes, handshake, cx);
                cx.basis = basis;
            }
            Opening::Wait => return Some(sealed),
            Opening::Skip => {
                let side = self.side(direction);
                side.skipped = side.skipped.saturating_add(1);
                if side.skipped > MAX_SKIPPED {
                    self.give_up(direction, Undecrypted::Secret, handshake, cx);
                }
            }
            // What one side lacks in a session the other lacks, too.
            Opening::Never(reason @ (Undecrypted::Secret | Undecrypted::Suite)) => {
                self.stop(direction, reason, handshake, cx);
            }
            Opening::Never(reason) => self.give_up(direction, reason, handshake, cx),
        }
        None
    }

    /// Nothing more of one direction is opened.
    fn give_up(
        &mut self,
        direction: Direction,
        reason: Undecrypted,
        handshake: &Handshake,
        cx: &mut Context<'_>,
    ) {
        if !std::mem::replace(&mut self.side(direction).over, true) {
            say(cx, Fact::Undecrypted { from: handshake.role(direction), reason });
        }
    }

    /// Nothing more of the flow is opened.
    fn stop(
        &mut self,
        direction: Direction,
        reason: Undecrypted,
        handshake: &Handshake,
        cx: &mut Context<'_>,
    ) {
        if !std::mem::replace(&mut self.stopped, true) {
            self.give_up(direction, reason, handshake, cx);
        }
    }

    fn attempt(&mut self, sealed: &Sealed, handshake: &Handshake, cx: &mut Context<'_>) -> Opening {
        self.inner.settle(handshake, cx);
        let known = handshake.secrets(cx);
        // Early data comes before the ServerHello, which names the suite.
        let Some(secrets) = known.filter(|_| handshake.is_answered()) else {
            let waits = known.is_some() || self.may_be_inner(handshake, cx);
            return if waits { Opening::Wait } else { missing(cx) };
        };
        let Some(protection) = handshake.protection() else { return Opening::Never(Undecrypted::Suite) };
        if handshake.is_tls13() {
            let role = handshake.role(sealed.direction);
            let early = handshake.early_data() && role == Role::Client;
            self.attempt_tls13(sealed, protection, |epoch| secrets.traffic(role, epoch), early, cx)
        } else {
            self.attempt_tls12(sealed, protection, secrets, handshake, cx)
        }
    }

    fn attempt_tls12(
        &mut self,
        sealed: &Sealed,
        protection: Protection,
        secrets: &SessionSecrets,
        handshake: &Handshake,
        cx: &Context<'_>,
    ) -> Opening {
        let role = handshake.role(sealed.direction);
        let side = self.side(sealed.direction);
        if side.keys.is_none() {
            let Some(master) = &secrets.master else { return missing(cx) };
            let randoms = handshake.randoms();
            let keys = randoms.and_then(|(client, server)| protection.tls12(master, client, server));
            let Some([client, server]) = keys else { return Opening::Never(Undecrypted::Suite) };
            side.keys = Some(if role == Role::Client { client } else { server });
            side.sequence = 0;
        }
        let opened =
            side.keys.as_ref().and_then(|keys| keys.open(sealed.header, &sealed.body, side.sequence));
        match opened {
            Some((kind, content)) => Opening::Opened(kind, content),
            None => Opening::Never(Undecrypted::Tag),
        }
    }

    fn attempt_tls13<'a>(
        &mut self,
        sealed: &Sealed,
        protection: Protection,
        secret_of: impl Fn(Epoch) -> Option<&'a Secret>,
        early: bool,
        cx: &Context<'_>,
    ) -> Opening {
        let side = self.side(sealed.direction);
        let open = |keys: &RecordKeys, sequence| keys.open(sealed.header, &sealed.body, sequence);
        if let Some((kind, content)) = side.keys.as_ref().and_then(|keys| open(keys, side.sequence)) {
            return Opening::Opened(kind, content);
        }
        let from = match (&side.keys, side.epoch) {
            (None, Epoch::Early) if !early => Epoch::Handshake,
            (None, epoch) => epoch,
            // Early data that the server refuses ends without a word.
            (Some(_), Epoch::Early) => Epoch::Handshake,
            (Some(_), _) => return Opening::Never(Undecrypted::Tag),
        };
        let (mut known, mut lacking) = (false, false);
        for epoch in [Epoch::Early, Epoch::Handshake, Epoch::Application] {
            if epoch < from {
                continue;
            }
            let Some(secret) = secret_of(epoch) else {
                lacking = true;
                continue;
            };
            known = true;
            let Some(keys) = protection.tls13(secret) else { continue };
            if let Some((kind, content)) = open(&keys, 0) {
                (side.epoch, side.keys, side.secret, side.sequence) = (epoch, Some(keys), Some(*secret), 0);
                return Opening::Opened(kind, content);
            }
        }
        match (known, lacking) {
            (false, _) => missing(cx),
            (true, lacking) if lacking || early && side.epoch == Epoch::Early => Opening::Skip,
            (true, _) => Opening::Never(Undecrypted::Tag),
        }
    }

    /// Takes the contents of a record.
    fn opened(
        &mut self,
        direction: Direction,
        kind: u8,
        bytes: &[u8],
        handshake: &mut Handshake,
        cx: &mut Context<'_>,
    ) {
        let from = handshake.role(direction);
        match kind {
            content::HANDSHAKE => self.handshake(direction, bytes, handshake, cx),
            content::ALERT => {
                self.messages = self.messages.saturating_add(1);
                if let [level, description] = *bytes
                    && self.messages <= MAX_MESSAGES
                {
                    say(cx, Fact::Alert(Alert { from, level: Some(level), description: Some(description) }));
                }
            }
            content::APPLICATION_DATA => {
                if !std::mem::replace(&mut self.side(direction).data, true) && handshake.is_tls13() {
                    say(cx, Fact::ApplicationData { from });
                }
                self.decrypted =
                    self.decrypted.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
                cx.hand_on(Data { direction, bytes, frame: cx.frame, at: cx.at });
                self.carries = true;
                if self.decrypted > MAX_DECRYPTED {
                    self.stop(direction, Undecrypted::Bulk, handshake, cx);
                }
            }
            // A renegotiation: the next keys are those of the hellos that came within.
            content::CHANGE_CIPHER_SPEC => self.side(direction).keys = None,
            _ => {}
        }
    }

    fn handshake(
        &mut self,
        direction: Direction,
        mut bytes: &[u8],
        handshake: &mut Handshake,
        cx: &mut Context<'_>,
    ) {
        let from = handshake.role(direction);
        let mut messages = std::mem::take(&mut self.side(direction).messages);
        while let Some(message) = messages.next(&mut bytes, cx.limits.message_bytes) {
            self.messages = self.messages.saturating_add(1);
            if self.messages > MAX_MESSAGES {
                self.stop(direction, Undecrypted::Bulk, handshake, cx);
                break;
            }
            match message {
                Message::Whole { kind, body } => self.message(direction, kind, body, handshake, cx),
                Message::Buffered { kind } => self.message(direction, kind, messages.body(), handshake, cx),
                Message::TooLong { kind, len } => say(cx, Fact::MessageDropped { from, kind, len }),
            }
        }
        self.side(direction).messages = messages;
    }

    /// Takes a handshake message that was encrypted.
    fn message(
        &mut self,
        direction: Direction,
        kind: u8,
        body: &[u8],
        handshake: &mut Handshake,
        cx: &mut Context<'_>,
    ) {
        let from = handshake.role(direction);
        if !handshake.is_tls13() {
            match kind {
                kind::FINISHED => say(cx, Fact::Finished { from }),
                _ => {
                    handshake.message(direction, kind, body, cx);
                }
            }
            return;
        }
        match encrypted::take(from, kind, body, cx) {
            Some(Turn::EndOfEarlyData) => self.side(direction).enter(Epoch::Handshake),
            Some(Turn::Finished) => {
                self.side(direction).enter(Epoch::Application);
                if !std::mem::replace(&mut self.side(direction).finished, true) {
                    say(cx, Fact::EncryptedHandshake { from });
                    say(cx, Fact::Finished { from });
                }
            }
            Some(Turn::KeyUpdate) => {
                let side = self.side(direction);
                let protection = handshake.protection();
                side.secret = side.secret.and_then(|secret| protection?.next_secret(&secret));
                side.keys = side.secret.and_then(|secret| protection?.tls13(&secret));
                side.sequence = 0;
            }
            None => {}
        }
    }
}

impl Side {
    /// The next records are under other keys, which are found when they come.
    fn enter(&mut self, epoch: Epoch) {
        self.epoch = self.epoch.max(epoch);
        (self.keys, self.secret) = (None, None);
    }
}

fn missing(cx: &Context<'_>) -> Opening {
    if cx.secrets.is_growing() { Opening::Wait } else { Opening::Never(Undecrypted::Secret) }
}
