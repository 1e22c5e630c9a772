//! STUN and TURN over datagrams and streams (RFC 8489, RFC 8656, and RFC 3489 before them): whom peers believe to be, and
//! what a relay carries for them.
//!
//! Recognised by the magic cookie and by lengths that add up to the last byte; without the cookie only where every
//! attribute is one of RFC 3489's and has its length (`message`). Names, realms and addresses are said, each once
//! (`transactions`). What a TURN server relays is handed to whoever shares the flow, for each peer by itself.
//!
//! A long-term credential that answers for a message is a login: passwords can be guessed from it. One that a server made
//! for a short while is not: its user name begins with the time when it ends, as in TURN's REST API
//! (draft-uberti-behave-turn-rest §2.2), and its password is the digest of that name under the server's secret. Credentials
//! of other makers may be as good, and nothing shows it.
//!
//! Proprietary relays that only look like STUN are not guessed at. TURN over TLS is TLS.

mod message;
mod stream;
#[cfg(test)]
mod tests;
mod transactions;

use super::demultiplexer;
use super::{Fact, Probe, ProbeInput, Protocol, Worth, property};
use crate::decode::Transport;

pub(super) use self::message::{ChannelData, Message};
pub(super) use self::transactions::{Peer, Relayed, Transactions};

/// The name of its layer.
const NAME: &str = "stun";

/// STUN over datagrams in the registry.
pub static PROTOCOL: Protocol = Protocol {
    name: NAME,
    transports: &[Transport::Udp],
    worth: Worth::Carrier,
    probe,
    analyzer: demultiplexer::analyzer,
    views: "",
};

/// STUN over streams in the registry.
pub static STREAM_PROTOCOL: Protocol = Protocol {
    name: NAME,
    transports: &[Transport::Tcp],
    worth: Worth::Carrier,
    probe: stream::probe,
    analyzer: stream::analyzer,
    views: "",
};

/// A value worth showing, of this layer.
pub(super) fn fact(name: &'static str, value: &str) -> Fact {
    Fact::Property(Box::new(property::Fact::new(NAME, name, value)))
}

fn probe(input: &ProbeInput<'_>) -> Probe {
    if Message::parse(input.bytes).is_some() { Probe::Match } else { Probe::NoMatch }
}
