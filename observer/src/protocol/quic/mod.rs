//! QUIC: version 1 (RFC 9000, RFC 9001), version 2 (RFC 9369), the drafts from 22 on, Facebook's and Google's versions.
//!
//! Initial packets are protected with keys that follow from the version and the client's first connection id, so
//! that they can be read: the ClientHello and the ServerHello in them, which are said as [`tls`](super::tls)'s facts,
//! and why a side closed. Of 0-RTT, Handshake and 1-RTT packets only headers are looked at, unless the tester's key log
//! opens them (`decrypt`): then certificates, tickets, closes and connection ids are read, too. What streams carry is not
//! read. Google's versions up to Q050 have a handshake of their own (`google`), which is not TLS.
//!
//! A connection that goes on from another address is another flow. Its packets begin with a connection id: where one of at
//! least [`MIN_ID`] bytes was issued in a handshake, or in packets that the key log opened, the flow is named `quic` and
//! says which one it continues, as an inference. It is not decrypted. A client that changes to an id that nobody could read
//! is not recognised.

mod analyzer;
mod close;
mod crypto;
mod decrypt;
#[cfg(test)]
mod decrypt_tests;
mod fact;
mod frame;
mod google;
mod keys;
mod packet;
mod probe;
#[cfg(test)]
mod tests;
mod version;

use super::tls::Role;
use super::{Analyzer, Context, Protocol, Worth};
use crate::decode::Transport;
use crate::flow::Direction;

pub use self::fact::{Close, Connection, Continues, Fact, GoogleHello, Issued};
pub(super) use self::google::opening as google_opening;
pub(super) use self::probe::opening;
pub use self::version::Version;

/// QUIC with TLS, in the registry.
pub static PROTOCOL: Protocol = Protocol {
    name: "quic",
    transports: &[Transport::Udp],
    worth: Worth::Tls,
    probe: probe::probe,
    analyzer,
    views: include_str!("views.sql"),
};

/// Google's QUIC with its own handshake, in the registry.
pub static GOOGLE_PROTOCOL: Protocol = Protocol {
    name: "gquic",
    transports: &[Transport::Udp],
    worth: Worth::Opaque,
    probe: google::probe,
    analyzer: google_analyzer,
    views: "",
};

/// Bytes of the longest connection id (RFC 9000 §17.2).
pub const MAX_ID: usize = packet::MAX_CID;

/// Bytes of a connection id that does not occur by chance.
pub const MIN_ID: usize = 8;

/// Versions of a Version Negotiation packet that are kept.
const MAX_VERSIONS: usize = 32;

/// Whether a datagram may be a packet with a short header.
pub(super) fn may_be_short(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| first & packet::LONG_HEADER == 0)
}

fn google_analyzer() -> Box<dyn Analyzer> {
    Box::new(google::GoogleAnalyzer::default())
}

fn analyzer() -> Box<dyn Analyzer> {
    Box::new(analyzer::QuicAnalyzer::default())
}

/// Tells a connection id that is long enough to know packets by.
fn issue((by, direction): (Role, Direction), id: &[u8], version: Option<Version>, cx: &mut Context<'_>) {
    if (MIN_ID..=MAX_ID).contains(&id.len()) {
        cx.issued.push(Issued { by, direction, id: id.into(), version });
    }
}
