//! What WebRTC and its like put into one UDP flow, told apart datagram by datagram (RFC 7983): STUN, TURN's channels, DTLS,
//! ZRTP, RTP and RTCP, and the same once more within what a TURN server relays.
//!
//! The first byte decides who is asked, and what follows has to bear it out; a datagram that is nobody's is passed over.
//! Each protocol is a layer of the flow from where it is first seen. A flow that began with STUN and goes on with something
//! else is that something else, within STUN.
//!
//! Behind a relay each peer is read by itself. A flow has one TLS session: of several peers with a handshake the first one's
//! is told, and of the others that there was one, and what it makes of their media. A call that moves to another address of
//! its peer keeps its keys (RFC 8842 §6): media from a peer without a handshake, beside one whose handshake keyed media, is
//! named only where it can be read.

use super::dtls::{self, Association};
use super::rtp::Media;
use super::stun::{ChannelData, Message, Peer, Relayed, Transactions};
use super::{Analyzer, Context, Fact, Progress, UNKNOWN_LAYER, stun, tls};
use crate::flow::Data;
use crate::observation::Observations;

/// Datagrams of a flow that are looked at.
const MAX_DATAGRAMS: u32 = 1024;

/// Datagrams in a row that are nobody's after which nothing more is expected.
const MAX_FOREIGN: u32 = 64;

/// The same in a flow that has shown nothing but STUN: it carries something else.
const MAX_FOREIGN_TO_STUN: u32 = 8;

/// Datagrams to wait for media that DTLS was to key, and for peers behind a relay of which nothing is left to say.
const PATIENCE: u32 = 64;

/// Peers behind a relay that are read. One has a few addresses, of which most are tried by STUN alone.
const MAX_PEERS: usize = 4;

/// ExtensionType `use_srtp` (RFC 5764 §4.1.1).
const USE_SRTP: u16 = 14;

/// A fresh analyzer.
pub(super) fn analyzer() -> Box<dyn Analyzer> {
    Box::new(Demultiplexer::default())
}

/// The same for a flow that media was recognised in.
pub(super) fn analyzer_of_media() -> Box<dyn Analyzer> {
    Box::new(Demultiplexer { media: Media::recognised(), ..Demultiplexer::default() })
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
    /// DTLS's client offers to key media.
    offers_keys: bool,
    /// DTLS's server agrees to.
    agrees_to_keys: bool,
    /// What a TURN server relays, for each peer whose datagrams are not all STUN.
    relayed: Vec<(Peer, Self)>,
    /// Datagrams of peers beyond those.
    unread: u32,
    /// Datagrams since nothing was left to say of any peer.
    idle: u32,
    /// Whether this is what a TURN server relays. What is relayed twice is not looked into.
    is_inner: bool,
    /// Whether another peer's handshake is the one that is told.
    is_beside: bool,
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
        for (_, relayed) in &mut self.relayed {
            relayed.finish(cx);
        }
        if std::mem::take(&mut self.unread) > 0 {
            cx.say(stun::fact("unread_peers", &format!("beyond {MAX_PEERS}")));
        }
        if let Some(association) = self.dtls.as_mut().filter(|_| !self.is_beside) {
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
        let all_done = !self.relayed.is_empty() && self.relayed.iter().all(|(_, relayed)| relayed.is_done());
        self.idle = if all_done { self.idle.saturating_add(1) } else { 0 };
    }

    fn only_stun(&self) -> bool {
        self.stun.is_some() && self.dtls.is_none() && !self.media.is_some() && self.relayed.is_empty()
    }

    fn is_done(&self) -> bool {
        let without_media = self.dtls.as_ref().is_some_and(|association| association.is_done())
            && (self.stun.is_none() || self.waited >= PATIENCE);
        self.datagrams >= MAX_DATAGRAMS
            || self.foreign >= MAX_FOREIGN
            || self.media.is_done()
            || self.idle >= PATIENCE
            || without_media
    }

    /// Takes a datagram of DTLS; whether it is one.
    fn dtls(&mut self, data: Data<'_>, cx: &mut Context<'_>) -> bool {
        let data = Data { bytes: dtls::without_preamble(data.bytes), ..data };
        let known = self.dtls.as_ref().is_some_and(|association| association.accepts(data.bytes));
        if !known && !dtls::is_dtls(data.bytes) {
            return false;
        }
        let mut association = self.dtls.take().unwrap_or_default();
        let taken = if self.is_beside {
            let mut untold = Observations::default();
            let mut beside = Context {
                observations: &mut untold,
                inner: &mut *cx.inner,
                entered: Vec::new(),
                resolutions: &mut *cx.resolutions,
                issued: &mut *cx.issued,
                transfers: &mut *cx.transfers,
                cut_short: &mut *cx.cut_short,
                secrets: cx.secrets,
                ciphertext: &mut *cx.ciphertext,
                trials: &mut *cx.trials,
                certificates: &mut *cx.certificates,
                limits: cx.limits,
                frame: cx.frame,
                at: cx.at,
                basis: cx.basis,
            };
            let taken = association.datagram(data, &mut beside).is_ok();
            self.learn_keys(&untold);
            taken
        } else {
            cx.enter(dtls::PROTOCOL.name);
            let taken = association.datagram(data, cx).is_ok();
            self.learn_keys(cx.observations);
            taken
        };
        self.dtls = Some(association);
        taken
    }

    /// Learns from hellos whether they are about keys for media.
    fn learn_keys(&mut self, observations: &Observations) {
        if self.agrees_to_keys {
            return;
        }
        for observation in observations.iter() {
            match &observation.fact {
                Fact::Tls(tls::Fact::ClientHello(hello)) => {
                    self.offers_keys |= hello.extensions.contains(&USE_SRTP);
                }
                Fact::Tls(tls::Fact::ServerHello(hello)) => {
                    self.agrees_to_keys |= hello.extensions.contains(&USE_SRTP);
                }
                _ => {}
            }
        }
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
        let known = self.relayed.iter().position(|(peer, _)| *peer == relayed.peer);
        let Some(index) = known.or_else(|| self.meet(relayed.peer)) else {
            self.unread = self.unread.saturating_add(1);
            return;
        };
        let others = || self.relayed.iter().filter(|(peer, _)| *peer != relayed.peer).map(|(_, other)| other);
        let told = others().any(|other| other.dtls.is_some() && !other.is_beside);
        let keyed = others().any(Self::is_keyed);
        let Some((peer, inner)) = self.relayed.get_mut(index) else { return };
        let shook = inner.dtls.is_some();
        inner.is_beside = inner.is_beside || told && !shook;
        if keyed {
            inner.media.doubt();
        }
        inner.take(Data { bytes: relayed.bytes, ..data }, cx);
        if inner.is_beside && !shook && inner.dtls.is_some() {
            cx.say(stun::fact("untold_dtls", &peer.to_string()));
        }
        if inner.only_stun() && inner.foreign == MAX_FOREIGN_TO_STUN {
            cx.enter(UNKNOWN_LAYER);
        }
    }

    /// Makes room for a peer's datagrams; its place, where there is any.
    fn meet(&mut self, peer: Peer) -> Option<usize> {
        let place = self.relayed.len();
        if place >= MAX_PEERS {
            return None;
        }
        // Peers that are relayed to each other have met by STUN.
        self.relayed.push((peer, Self { is_inner: true, stun: Some(Box::default()), ..Self::default() }));
        Some(place)
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
        let keyed = self.is_keyed();
        self.media.datagram(data, keyed, cx)
    }

    /// Whether DTLS has keyed the media of this flow, or of this peer. In DTLS 1.3 the server's answer is encrypted.
    fn is_keyed(&self) -> bool {
        self.dtls.as_ref().is_some_and(|association| {
            let offered = self.offers_keys && association.is_dtls13();
            association.is_established() && (self.agrees_to_keys || offered)
        })
    }
}
