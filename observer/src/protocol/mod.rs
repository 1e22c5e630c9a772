//! What the peers say: one folder a protocol, recognised by bytes, never by ports.
//!
//! A [`Conversation`] is the per-flow state: it probes, hands bytes to the [`Analyzer`] that matched, and follows
//! a flow that changes protocol (`CONNECT`, `Upgrade`, STARTTLS). Analyzers see bytes and say [`Fact`]s; they know
//! no packets, files, apps or rules.
//!
//! To add a protocol: a folder, a [`Fact`] variant, and a line in [`PROTOCOLS`].

pub mod amqp;
mod awaited;
mod bittorrent;
mod conversation;
mod demultiplexer;
#[cfg(test)]
mod demultiplexer_tests;
mod dhcp;
mod dialogue;
pub mod dns;
pub mod dtls;
pub mod ftp;
mod glance;
pub mod http1;
mod http2;
pub mod imap;
mod inner;
mod ipsec;
pub mod irc;
pub mod ldap;
pub mod login;
pub mod managesieve;
pub mod mqtt;
mod mtproto;
pub mod mysql;
mod netbios;
pub mod nntp;
mod ntp;
mod opening;
mod openvpn;
mod pending;
pub mod pop3;
pub mod postgresql;
mod probing;
pub mod property;
pub mod proxy;
pub mod quic;
pub mod rdp;
mod redis;
mod rtmp;
pub mod rtp;
mod rtsp;
mod sasl;
#[cfg(test)]
mod script;
mod sip;
pub mod smtp;
pub mod socks;
mod ssdp;
mod ssh;
pub mod stun;
pub mod telnet;
mod text_head;
pub mod tls;
pub mod unrecognised;
pub mod upgrade;
#[cfg(test)]
mod upgrade_tests;
pub mod websocket;
mod wireguard;
pub mod xmpp;

use std::collections::BTreeMap;

use crate::bytes::ParseError;
use crate::decode::Transport;
use crate::flow::{Data, Direction, FlowLimits, Gap};
use crate::observation::{Basis, Observation, Observations};

pub use self::conversation::Conversation;
pub use self::inner::Inner;
pub use self::opening::opening;

/// What a probe says of the first bytes of a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// These are the protocol's bytes.
    Match,
    /// They can be; more are needed.
    NeedMore,
    /// They are not.
    NoMatch,
}

/// How an analyzer stands after a piece of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Go on.
    NeedMore,
    /// Everything worth knowing has been said: the flow is only counted from here on.
    Done,
    /// From here on the flow carries another protocol, recognised by its bytes. What this analyzer has not consumed
    /// was handed to [`Context::inner`].
    Inner,
    /// From here on the flow carries the protocol of this name: the peers agreed on it in so many words. If the
    /// registry has it, it is read without being probed; otherwise it is only named.
    Agreed(&'static str),
    /// Like [`Self::Inner`], and where the next protocol is TLS, this one goes on within: the peers have agreed to
    /// protect what they speak (STARTTLS). The analyzer keeps its state and reads on once TLS is decrypted.
    Upgraded,
    /// Go on; what was handed to [`Context::inner`] is a piece of another protocol, which runs within this one and is
    /// recognised by its bytes.
    Within(Basis),
    /// The bytes are not the protocol's any more. The fact is recorded; if the analyzer said nothing before it, the
    /// recognition was an error and the flow is probed again, otherwise it is only counted from here on.
    Malformed(ParseError),
}

/// What a probe may look at.
#[derive(Clone, Copy, Debug)]
pub struct ProbeInput<'a> {
    /// The bytes from the start of this direction; never empty, at most [`FlowLimits::probe_bytes`] of a stream or
    /// a whole datagram.
    pub bytes: &'a [u8],
    /// The first bytes of the other direction, as far as they have come; empty for datagrams. What a server greets with
    /// tells more of a client's first command than the command.
    pub other: &'a [u8],
    /// The datagrams before this one, in order, which nobody has claimed; none of a stream. What shows only in several
    /// datagrams is recognised by them.
    pub earlier: &'a [Earlier],
    /// Which way they go.
    pub direction: Direction,
    /// Whether the start of the flow, or of this direction, was not captured.
    pub midstream: bool,
    /// The responder's port: a hint for protocols whose bytes are ambiguous, never a verdict.
    pub port: u16,
}

/// The start of a datagram that came before.
#[derive(Clone, Copy, Debug)]
pub struct Earlier {
    /// Which way it went.
    pub direction: Direction,
    /// Its first bytes; zeros behind a shorter one.
    pub start: [u8; Self::START],
}

impl Earlier {
    /// Bytes that are kept: more than a short header of QUIC with the longest connection id.
    pub const START: usize = 24;

    fn of(data: Data<'_>) -> Self {
        let mut start = [0; Self::START];
        start.iter_mut().zip(data.bytes).for_each(|(slot, byte)| *slot = *byte);
        Self { direction: data.direction, start }
    }
}

/// A protocol of the registry.
pub struct Protocol {
    /// Its name in `network.layers`.
    pub name: &'static str,
    /// What it runs over.
    pub transports: &'static [Transport],
    /// What its bytes are worth against somebody who listens.
    pub worth: Worth,
    /// Recognises it by the first bytes of either direction.
    pub probe: fn(&ProbeInput<'_>) -> Probe,
    /// A fresh analyzer.
    pub analyzer: fn() -> Box<dyn Analyzer>,
    /// The SQL views over its facts.
    pub views: &'static str,
}

/// What the bytes of a layer are worth against somebody who listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// They can be read.
    Cleartext,
    /// They are TLS, or keyed by it.
    Tls,
    /// They cannot be read, and are not TLS.
    Opaque,
    /// What they carry decides.
    Carrier,
}

/// Every protocol, in the order in which they are probed.
pub static PROTOCOLS: &[&Protocol] = &[
    &tls::PROTOCOL,
    &quic::PROTOCOL,
    &quic::GOOGLE_PROTOCOL,
    &http1::PROTOCOL,
    &http2::PROTOCOL,
    &dns::PROTOCOL,
    &dns::STREAM_PROTOCOL,
    &dtls::PROTOCOL,
    &stun::PROTOCOL,
    &stun::STREAM_PROTOCOL,
    &ssh::PROTOCOL,
    &wireguard::PROTOCOL,
    &openvpn::PROTOCOL,
    &openvpn::STREAM_PROTOCOL,
    &ipsec::PROTOCOL,
    &ipsec::ESP_PROTOCOL,
    &ntp::PROTOCOL,
    &dhcp::PROTOCOL,
    &dhcp::PROTOCOL_V6,
    &netbios::PROTOCOL,
    &netbios::DATAGRAM_PROTOCOL,
    &ssdp::PROTOCOL,
    &sip::PROTOCOL,
    &rtsp::PROTOCOL,
    &redis::PROTOCOL,
    &rtp::PROTOCOL,
    &rtp::CONTROL_PROTOCOL,
    &socks::PROTOCOL_4,
    &socks::PROTOCOL_5,
    &socks::DATAGRAM_PROTOCOL,
    &mqtt::PROTOCOL,
    &websocket::PROTOCOL,
    &smtp::PROTOCOL,
    &imap::PROTOCOL,
    &pop3::PROTOCOL,
    &ftp::PROTOCOL,
    &nntp::PROTOCOL,
    &managesieve::PROTOCOL,
    &irc::PROTOCOL,
    &xmpp::PROTOCOL,
    &ldap::PROTOCOL,
    &postgresql::PROTOCOL,
    &mysql::PROTOCOL,
    &amqp::PROTOCOL,
    &telnet::PROTOCOL,
    &rtmp::PROTOCOL,
    &rtmp::ENCRYPTED_PROTOCOL,
    &mtproto::PROTOCOL,
    &bittorrent::PROTOCOL,
    &bittorrent::TABLE_PROTOCOL,
    &rdp::PROTOCOL,
];

/// The layer of bytes that no protocol claims.
pub const UNKNOWN_LAYER: &str = "unknown";

/// The protocol of the registry that is called `name` and runs over `transport`.
#[must_use]
pub fn find(name: &str, transport: Transport) -> Option<&'static Protocol> {
    PROTOCOLS.iter().copied().find(|one| one.name == name && one.transports.contains(&transport))
}

/// The layer of packets without ports, whose IP protocol number says all that can be known of them: ESP (RFC 4303).
#[must_use]
pub fn layer_of(transport: Transport) -> Option<&'static str> {
    match transport {
        Transport::Other(50) => Some(ipsec::ESP),
        _ => None,
    }
}

/// What a layer is worth; layers that are only named can be read.
#[must_use]
pub fn worth(layer: &str) -> Worth {
    PROTOCOLS.iter().find(|one| one.name == layer).map_or(Worth::Cleartext, |one| one.worth)
}

/// Reads one protocol within one flow.
pub trait Analyzer: Send {
    /// Takes the next bytes of a direction (for UDP: a datagram).
    fn data(&mut self, data: Data<'_>, cx: &mut Context<'_>) -> Progress;

    /// Bytes of a direction are missing. The default gives up.
    fn gap(&mut self, _gap: Gap, _cx: &mut Context<'_>) -> Progress {
        Progress::Done
    }

    /// The flow ended: what waited for something that can come no more is handed on, as [`Progress::Within`].
    fn rest(&mut self, _cx: &mut Context<'_>) -> Progress {
        Progress::NeedMore
    }

    /// The flow ended.
    fn finish(&mut self, _cx: &mut Context<'_>) {}
}

/// What analyzers work with: where facts go, and what a worker thread shares between flows.
pub struct Context<'a> {
    /// Where facts go.
    pub observations: &'a mut Observations,
    /// Bytes that belong to the next layer, in order.
    pub inner: &'a mut Inner,
    /// Layers that were found beside or within the one that is being read; see [`Self::enter`].
    pub entered: Vec<&'static str>,
    /// Addresses that DNS answers gave names to, in the order of the answers.
    pub resolutions: &'a mut Vec<dns::Resolution>,
    /// Connection ids that QUIC's peers issued.
    pub issued: &'a mut Vec<quic::Issued>,
    /// What a control connection of FTP says of data connections.
    pub transfers: &'a mut Vec<ftp::transfer::Transfer>,
    /// How often a bound of an analyzer kept it from reading all of a flow, by the bound's name.
    pub cut_short: &'a mut BTreeMap<&'static str, u64>,
    /// The secrets of the tester's key log.
    pub secrets: &'a tls::KeyLog,
    /// Bytes of ciphertext of the flow's shard that wait for secrets.
    pub ciphertext: &'a mut usize,
    /// What the flow's shard has tried of the key log.
    pub trials: &'a mut tls::Trials,
    /// Certificates parsed before.
    pub certificates: &'a mut tls::CertificateCache,
    /// Bounds.
    pub limits: &'a FlowLimits,
    /// The frame that is being read.
    pub frame: u64,
    /// When it was captured.
    pub at: crate::time::Timestamp,
    /// How the bytes that are being read were come by.
    pub basis: Basis,
}

impl Context<'_> {
    /// Hands bytes on to the next layer; at most [`FlowLimits::message_bytes`] are kept.
    pub fn hand_on(&mut self, data: Data<'_>) {
        self.inner.push(data, self.limits.message_bytes);
    }

    /// Names a layer that the flow has, too, while its analyzer goes on: protocols that share a flow's datagrams.
    pub fn enter(&mut self, layer: &'static str) {
        self.entered.push(layer);
    }

    /// Counts that a bound keeps an analyzer from reading on; [`Progress::Done`] for it.
    fn cut_short(&mut self, bound: &'static str) -> Progress {
        let count = self.cut_short.entry(bound).or_default();
        *count = count.saturating_add(1);
        Progress::Done
    }

    /// Says a fact, seen in the frame that is being read.
    pub fn say(&mut self, fact: Fact) {
        let observation = Observation { frame: self.frame, at: self.at, basis: self.basis, fact };
        self.observations.push(observation, self.limits.observations_per_flow);
    }
}

/// What was seen in a flow, without opinion.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Fact {
    /// A DNS message.
    Dns(Box<dns::Fact>),
    /// The head of an HTTP message, of any version.
    Http1(Box<http1::Fact>),
    /// A credential in the clear.
    Login(Box<login::Fact>),
    /// Bytes that contradict the protocol they began as.
    Malformed {
        /// The protocol.
        protocol: &'static str,
        /// Which way they went.
        direction: Direction,
        /// What is wrong and where.
        error: Box<ParseError>,
    },
    /// A value that is worth showing.
    Property(Box<property::Fact>),
    /// What a proxy was asked for, and its answer.
    Proxy(Box<proxy::Fact>),
    /// What QUIC shows beside its handshake.
    Quic(Box<quic::Fact>),
    /// A part of a TLS session.
    Tls(tls::Fact),
    /// What bytes look like that no protocol claims.
    Unrecognised(Box<unrecognised::Fact>),
    /// A step towards TLS within a protocol that began without it.
    Upgrade(upgrade::Fact),
}
