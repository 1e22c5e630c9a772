//! What WebRTC and its like put into one UDP flow, told apart datagram by datagram (RFC 7983): STUN, TURN's channels, DTLS,
//! ZRTP, RTP and RTCP, and the same once more within what a TURN server relays.
//!
//! The first byte decides who is asked, and what follows has to bear it out; a datagram that is nobody's is passed over.
//! Each protocol is a layer of the flow from where it is first seen. A flow that began with STUN and goes on with something
//! else is that something else, within STUN.

use super::dtls::{self, Association};
use super::rtp::Media;
use super::stun::{ChannelData, Message, Peer, Relayed, Transactions};
use super::{Analyzer, Context, Fact, Progress, UNKNOWN_LAYER, stun, tls};
use crate::flow::Data;

/// Datagrams of a flow that are looked at.
const MAX_DATAGRAMS: u32 = 1024;

/// Datagrams in a row that are nobody's after which nothing more is expected.
const MAX_FOREIGN: u32 = 64;

/// The same in a flow that has shown nothing but STUN: it carries something else.
const MAX_FOREIGN_TO_STUN: u32 = 8;

/// Datagrams to wait for media that DTLS was to key.
const PATIENCE: u32 = 64;

/// ExtensionType `use_srtp` (RFC 5764 §4.1.1).
const USE_SRTP: u16 = 14;

/// A fresh analyzer.
pub(super) fn analyzer() -> Box<dyn Analyzer> {
    Box::new(Demultiplexer::default())
}

/// Reads the protocols that share a flow.
#[derive(Debug, Default)]
pub(super) struct Demultiplexer {
    dtls: Option<Box<Association>>,
    stun: Option<Box<Transactions>>,
    media: Media,
    datagrams: u32,
    foreign: u32,
    /// Datagrams since DTLS had nothing more to say.
    waited: u32,
    /// Datagrams of media that came before DTLS was established.
    early: u32,
    /// What a TURN server relays, for the first peer whose datagrams are not STUN.
    relayed: Option<Box<(Peer, Self)>>,
    /// Whether this is what a TURN server relays. What is relayed twice is not looked into.
    is_inner: bool,
}

impl Analyzer for Demultiplexer {
    fn data(&mut self, data: Data<'_>, cx: &mut Context<'_>) -> Progress {
        self.take(data, cx);
        if self.only_stun() && self.foreign >= MAX_FOREIGN_TO_STUN {
            cx.hand_on(data);
            return Progress::Inner;
        }
        if self.is_done() {
            self.finish(cx);
            return Progress::Done;
        }
        Progress::NeedMore
    }

    fn finish(&mut self, cx: &mut Context<'_>) {
        if let Some(relayed) = &mut self.relayed {
            relayed.1.finish(cx);
        }
        if let Some(association) = &mut self.dtls {
            association.finish(cx);
        }
        self.media.finish(cx);
    }
}

impl Demultiplexer {
    fn take(&mut self, data: Data<'_>, cx: &mut Context<'_>) {
        self.datagrams = self.datagrams.saturating_add(1);
        let taken = match data.bytes.first() {
            // CAPWAP's preamble is among these.
            Some(0..=3) => self.stun(data, cx) || self.dtls(data, cx),
            Some(16..=19) => self.zrtp(data, cx),
            Some(20..=63) => self.dtls(data, cx),
            Some(64..=79) => self.channel(data, cx),
            Some(128..=191) => self.media(data, cx),
            _ => false,
        };
        self.foreign = if taken { 0 } else { self.foreign.saturating_add(1) };
        if self.dtls.as_ref().is_some_and(|association| association.is_done()) {
            self.waited = self.waited.saturating_add(1);
        }
    }

    fn only_stun(&self) -> bool {
        self.stun.is_some() && self.dtls.is_none() && !self.media.is_some() && self.relayed.is_none()
    }

    fn is_done(&self) -> bool {
        let relayed = self.relayed.as_ref().is_some_and(|relayed| relayed.1.is_done());
        let without_media = self.dtls.as_ref().is_some_and(|association| association.is_done())
            && (self.stun.is_none() || self.waited >= PATIENCE);
        self.datagrams >= MAX_DATAGRAMS
            || self.foreign >= MAX_FOREIGN
            || self.media.is_done()
            || relayed
            || without_media
    }

    /// Takes a datagram of DTLS; whether it is one.
    fn dtls(&mut self, data: Data<'_>, cx: &mut Context<'_>) -> bool {
        let data = Data { bytes: dtls::without_preamble(data.bytes), ..data };
        let known = self.dtls.as_ref().is_some_and(|association| association.accepts(data.bytes));
        if !known && !dtls::is_dtls(data.bytes) {
            return false;
        }
        cx.enter(dtls::PROTOCOL.name);
        self.dtls.get_or_insert_default().datagram(data, cx).is_ok()
    }

    /// Takes a message of STUN; whether it is one.
    fn stun(&mut self, data: Data<'_>, cx: &mut Context<'_>) -> bool {
        let Some(message) = Message::parse(data.bytes) else { return false };
        cx.enter(stun::PROTOCOL.name);
        let relayed = self.stun.get_or_insert_default().message(&message, cx);
        if let Some(relayed) = relayed {
            self.relay(relayed, data, cx);
        }
        true
    }

    /// Takes a datagram of a TURN channel; whether it is one. Channels are bound by STUN.
    fn channel(&mut self, data: Data<'_>, cx: &mut Context<'_>) -> bool {
        let Some(stun) = &self.stun else { return false };
        let Some(message) = ChannelData::parse(data.bytes) else { return false };
        let relayed = stun.channel_data(message);
        self.relay(relayed, data, cx);
        true
    }

    fn relay(&mut self, relayed: Relayed<'_>, data: Data<'_>, cx: &mut Context<'_>) {
        // Peers try one another by STUN; who goes on is the one that is read.
        let tries = Message::parse(relayed.bytes).is_some();
        if self.is_inner || tries || relayed.bytes.is_empty() {
            return;
        }
        let inner = self.relayed.get_or_insert_with(|| {
            // Peers that are relayed to each other have met by STUN.
            let inner = Self { is_inner: true, stun: Some(Box::default()), ..Self::default() };
            Box::new((relayed.peer, inner))
        });
        if inner.0 == relayed.peer {
            inner.1.take(Data { bytes: relayed.bytes, ..data }, cx);
            if inner.1.only_stun() && inner.1.foreign == MAX_FOREIGN_TO_STUN {
                cx.enter(UNKNOWN_LAYER);
            }
        }
    }

    /// Takes a message of ZRTP (RFC 6189 §5); whether it is one.
    fn zrtp(&mut self, data: Data<'_>, cx: &mut Context<'_>) -> bool {
        let found = data.bytes.get(4..8) == Some(b"ZRTP");
        if found {
            cx.enter("zrtp");
        }
        found
    }

    /// Takes a datagram of media; whether it can be one. Before the handshake is over, it says nothing.
    fn media(&mut self, data: Data<'_>, cx: &mut Context<'_>) -> bool {
        let shaking = self.dtls.as_ref().is_some_and(|association| !association.is_established());
        if shaking && self.early < PATIENCE {
            self.early = self.early.saturating_add(1);
            return true;
        }
        let keyed = self.is_keyed(cx);
        self.media.datagram(data, keyed, cx)
    }

    /// Whether DTLS has keyed the media of this flow.
    fn is_keyed(&self, cx: &Context<'_>) -> bool {
        let established = self.dtls.as_ref().is_some_and(|association| association.is_established());
        let agreed = |fact: &Fact| match fact {
            Fact::Tls(tls::Fact::ServerHello(hello)) => hello.extensions.contains(&USE_SRTP),
            Fact::Tls(tls::Fact::ClientHello(hello)) => {
                let new = self.dtls.as_ref().is_some_and(|association| association.is_dtls13());
                new && hello.extensions.contains(&USE_SRTP)
            }
            _ => false,
        };
        established && cx.observations.iter().any(|observation| agreed(&observation.fact))
    }
}
