//! RTP and RTCP over datagrams (RFC 3550): recognised, and judged by what somebody who listens could make of them.
//!
//! # Recognition
//!
//! An RTP header has two fixed bits. So a flow is RTP only after three packets of one direction with the same source and
//! payload type whose sequence numbers rise by little. RTCP is a compound packet whose lengths add up to the last byte, or a
//! packet of an application that has a name; the report that a compound packet should begin with is missing from some.
//! Beside STUN or DTLS, whose flows carry little else, the same holds; where DTLS negotiated `use_srtp` (RFC 5764) in the
//! same flow, one packet is enough. Of 1,000,000 random datagrams with RTP's bits or STUN's lengths none is RTCP or STUN, and
//! none of 1,000 flows of random datagrams with RTP's bits is RTP (`tests`).
//!
//! # What it is worth
//!
//! SRTP (RFC 3711) leaves the header readable and says nowhere that it is SRTP. What can be known:
//!
//! - DTLS agreed on `use_srtp` in the same flow and was established: the layer is `srtp`, keyed by TLS's handshake, and
//!   the flow is encrypted. In DTLS 1.3 the server's answer is encrypted: the client's offer counts.
//! - The payload shows what no cipher's output shows ([`Media`]): a first byte that keeps coming back (the header of a codec),
//!   or byte values that are far from evenly spread. The layer is `rtp` and the property `media` is `readable`: the flow is
//!   in the clear. None of 1,000 flows of random payloads shows either (`tests`). That the payload of a codec within is
//!   encrypted end to end (SFrame) without SRTP around it cannot be excluded.
//! - Anything else: the layer is `rtp`, `media` is `undetermined`, and the flow is opaque. It is SRTP with keys from elsewhere
//!   (SDES in signalling, ZRTP, an app's own, or a handshake in another flow of the same call), or media that compresses
//!   well; of few packets, clear or not, there is too little to tell.
//!
//! No codec is decoded, and what the signalling says of a call is not joined with its media.

mod media;
mod packet;
#[cfg(test)]
mod tests;

use super::demultiplexer;
use super::{Earlier, Fact, Probe, ProbeInput, Protocol, Worth};
use crate::decode::Transport;

pub(super) use self::media::Media;
pub(super) use self::packet::{Compound, Packet};

/// The layer of media whose keys are not TLS's as far as is known.
pub const LAYER: &str = "rtp";

/// The layer of media that a handshake of DTLS in the same flow has keyed.
pub const KEYED_LAYER: &str = "srtp";

/// The layer of control packets in the clear.
pub const CONTROL_LAYER: &str = "rtcp";

/// The property that says what media is worth, and its values.
const MEDIA: &str = "media";
const READABLE: &str = "readable";
const UNDETERMINED: &str = "undetermined";

/// Whether a fact says that the flow's media can be read.
#[must_use]
pub fn is_readable_media(fact: &Fact) -> bool {
    matches!(fact, Fact::Property(fact) if fact.protocol == LAYER && fact.name == MEDIA && fact.value == READABLE)
}

/// RTP in the registry. What it is worth is told by [`is_readable_media`].
pub static PROTOCOL: Protocol = Protocol {
    name: LAYER,
    transports: &[Transport::Udp],
    worth: Worth::Opaque,
    probe,
    analyzer: demultiplexer::analyzer_of_media,
    views: "",
};

/// RTCP in the registry, where it has a flow of its own.
pub static CONTROL_PROTOCOL: Protocol = Protocol {
    name: CONTROL_LAYER,
    transports: &[Transport::Udp],
    worth: Worth::Cleartext,
    probe: control_probe,
    analyzer: demultiplexer::analyzer,
    views: "",
};

/// The third packet of a direction that goes on where two before it were.
fn probe(input: &ProbeInput<'_>) -> Probe {
    let Some(packet) = Packet::parse(input.bytes) else { return Probe::NoMatch };
    let mut before = packet;
    let mut found = 1_u32;
    for earlier in input.earlier.iter().rev().filter(|earlier| earlier.direction == input.direction) {
        let Some(one) = packet_of(earlier) else { return Probe::NoMatch };
        if one.follows_in(&before) {
            found = found.saturating_add(1);
            before = one;
        }
    }
    if found >= media::LEAST_PACKETS { Probe::Match } else { Probe::NoMatch }
}

fn packet_of(earlier: &Earlier) -> Option<Packet<'_>> {
    Packet::header(&earlier.start)
}

fn control_probe(input: &ProbeInput<'_>) -> Probe {
    if Compound::parse(input.bytes).is_some() { Probe::Match } else { Probe::NoMatch }
}
