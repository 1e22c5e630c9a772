//! What the messages of a flow say: names, addresses, credentials, and what is relayed.

use std::fmt;
use std::net::SocketAddr;

use super::message::{ChannelData, Class, Message, attribute, method};
use crate::protocol::login::{self, Exposure};
use crate::protocol::{Context, Fact};

/// Values of a flow that are said.
const MAX_VALUES: usize = 24;

/// Channels of an allocation that are remembered.
const MAX_CHANNELS: usize = 64;

/// Reads the messages of a flow.
#[derive(Debug, Default)]
pub(crate) struct Transactions {
    said: Vec<(&'static str, String)>,
    channels: Vec<(u16, SocketAddr)>,
    login: bool,
}

/// Who is behind a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// By address.
    Address(SocketAddr),
    /// By a channel that was bound before the capture began.
    Channel(u16),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Channel(channel) => write!(f, "channel {channel:#06x}"),
        }
    }
}

/// A datagram that a relay carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Relayed<'a> {
    /// From or to whom.
    pub(crate) peer: Peer,
    /// The datagram.
    pub(crate) bytes: &'a [u8],
}

impl Transactions {
    /// Takes a message; what it relays, if it does.
    pub(crate) fn message<'a>(&mut self, message: &Message<'a>, cx: &mut Context<'_>) -> Option<Relayed<'a>> {
        let names = [
            (attribute::USERNAME, "username"),
            (attribute::REALM, "realm"),
            (attribute::SOFTWARE, "software"),
        ];
        for (kind, name) in names {
            if let Some(text) = message.text(kind) {
                self.say(name, text, cx);
            }
        }
        self.login(message, cx);
        if message.method == method::ALLOCATE {
            self.say("method", "allocate".to_owned(), cx);
        }
        match message.class {
            Class::Success => self.addresses(message, cx),
            Class::Error => {
                if let Some(error) = message.error() {
                    self.say("error", error, cx);
                }
            }
            Class::Request if message.method == method::CHANNEL_BIND => self.bind(message),
            Class::Indication if matches!(message.method, method::SEND | method::DATA) => {
                let peer = Peer::Address(message.address(attribute::XOR_PEER_ADDRESS)?);
                return Some(Relayed { peer, bytes: message.attribute(attribute::DATA)? });
            }
            Class::Request | Class::Indication => {}
        }
        None
    }

    /// Takes a datagram of a channel.
    pub(crate) fn channel_data<'a>(&self, message: ChannelData<'a>) -> Relayed<'a> {
        let bound = self.channels.iter().find(|(channel, _)| *channel == message.channel);
        let peer = bound.map_or(Peer::Channel(message.channel), |(_, peer)| Peer::Address(*peer));
        Relayed { peer, bytes: message.data }
    }

    fn bind(&mut self, message: &Message<'_>) {
        let channel = message.attribute(attribute::CHANNEL_NUMBER).and_then(|value| value.first_chunk());
        let (Some(channel), Some(peer)) = (channel, message.address(attribute::XOR_PEER_ADDRESS)) else {
            return;
        };
        let channel = u16::from_be_bytes(*channel);
        let known = self.channels.iter().any(|(known, _)| *known == channel);
        if !known && self.channels.len() < MAX_CHANNELS {
            self.channels.push((channel, peer));
        }
    }

    fn addresses(&mut self, message: &Message<'_>, cx: &mut Context<'_>) {
        let kinds = [
            (attribute::XOR_MAPPED_ADDRESS, "mapped_address"),
            (attribute::OLD_XOR_MAPPED_ADDRESS, "mapped_address"),
            (attribute::MAPPED_ADDRESS, "mapped_address"),
            (attribute::XOR_RELAYED_ADDRESS, "relayed_address"),
        ];
        for (kind, name) in kinds {
            if let Some(address) = message.address(kind) {
                self.say(name, address.to_string(), cx);
            }
        }
    }

    /// A long-term credential (RFC 8489 §9.2): a user's password answers for the message, and can be guessed from it. The
    /// short-term ones of ICE are random, and of one call: they have no realm.
    fn login(&mut self, message: &Message<'_>, cx: &mut Context<'_>) {
        let has = |kind| message.attribute(kind).is_some();
        let integrity = has(attribute::MESSAGE_INTEGRITY) || has(attribute::MESSAGE_INTEGRITY_SHA256);
        let name = message.text(attribute::USERNAME).filter(|name| !expires(name));
        let long_term = integrity && has(attribute::REALM) && name.is_some();
        if message.class == Class::Request && long_term && !std::mem::replace(&mut self.login, true) {
            cx.say(Fact::Login(Box::new(login::Fact {
                protocol: super::NAME,
                mechanism: "MESSAGE-INTEGRITY".to_owned(),
                exposure: Exposure::Response,
            })));
        }
    }

    /// Says a value, once.
    fn say(&mut self, name: &'static str, value: String, cx: &mut Context<'_>) {
        if self.said.len() < MAX_VALUES && !self.said.iter().any(|said| said.0 == name && said.1 == value) {
            cx.say(super::fact(name, &value));
            self.said.push((name, value));
        }
    }
}

/// Whether a user name begins with the time when it ends, in seconds since 1970: its password is a server's digest.
fn expires(name: &str) -> bool {
    let time = name.split(':').next().unwrap_or_default();
    time.len() == 10 && time.bytes().all(|byte| byte.is_ascii_digit())
}
