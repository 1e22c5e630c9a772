//! DTLS over datagrams: 1.0, 1.2 and 1.3 (RFC 4347, RFC 6347, RFC 9147), and OpenSSL's and Cisco's version before them.
//!
//! Records are read off datagrams (`record`), messages put together from fragments that come late, twice or out of order
//! (`reassembly`), and read and said as TLS's, whose messages they are but for a cookie: a DTLS session is a
//! [`tls::Session`](super::tls::Session). Whoever sends a message again says nothing new. What is encrypted is not
//! decrypted; in DTLS 1.3, whose epochs can be seen, handshake and data are told apart without a guess.
//!
//! DTLS shares its flow with STUN and SRTP where WebRTC is spoken: [`Demultiplexer`](super::demultiplexer::Demultiplexer)
//! hands datagrams to an [`Association`]. DTLS within SCTP is not read, nor are messages behind connection ids
//! (RFC 9146), whose records hide even their type. A second association between the same ports goes unseen.

mod association;
mod probe;
mod reassembly;
mod record;
#[cfg(test)]
pub(super) mod tests;

use super::demultiplexer;
use super::{Protocol, Worth};
use crate::decode::Transport;

pub(super) use self::association::Association;
pub(super) use self::probe::{is_dtls, opening, without_preamble};

/// DTLS in the registry.
pub static PROTOCOL: Protocol = Protocol {
    name: "dtls",
    transports: &[Transport::Udp],
    worth: Worth::Tls,
    probe: probe::probe,
    analyzer: demultiplexer::analyzer,
    views: "",
};
