//! Recognises QUIC by the first packet of a datagram.
//!
//! A short header looks like anything: only long headers are recognised. A version that is known is four bytes that
//! no other protocol has in that place, and the lengths behind it have to agree with the datagram. A version that is
//! not known takes a datagram of the least size of a client's first (RFC 9000 §14.1) that its packets fill, and of which
//! the first opens with keys that are known: a reserved version does. What a version that nobody knows protects, and how,
//! cannot be said.

use super::keys::Keys;
use super::packet::{self, Kind, Numbered, Packet};
use super::version::Version;
use crate::flow::Opening;
use crate::protocol::tls::Role;
use crate::protocol::{Probe, ProbeInput};

/// Bytes of the least datagram that carries a client's Initial packet.
const LEAST_DATAGRAM: usize = 1200;

/// Bytes of the least connection id that a client may first write to (RFC 9000 §7.2).
const LEAST_CID: usize = 8;

/// Bytes of the least protected payload: packet number and sample.
const LEAST_PAYLOAD: usize = 20;

pub(super) fn probe(input: &ProbeInput<'_>) -> Probe {
    if is_quic(input.bytes) { Probe::Match } else { Probe::NoMatch }
}

/// What a datagram says as the first of a flow. The keys of a client's first packets follow from the connection id in them
/// (RFC 9001 §5.2); a server's answer has another.
pub(crate) fn opening(mut datagram: &[u8]) -> Option<Opening> {
    if !is_quic(datagram) {
        return None;
    }
    Some(match packet::next(&mut datagram).ok()?? {
        Packet::VersionNegotiation { .. } | Packet::Retry { .. } => Opening::Answer,
        Packet::Numbered(packet) if packet.kind == Kind::Initial && opens(&packet) => Opening::Request,
        Packet::Numbered(packet) if packet.kind == Kind::ZeroRtt => Opening::Request,
        Packet::Numbered(_) | Packet::Short { .. } => Opening::Middle,
    })
}

fn is_quic(datagram: &[u8]) -> bool {
    let [first, version @ ..] = datagram else { return false };
    let Some(version) = version.first_chunk().map(|bytes| Version(u32::from_be_bytes(*bytes))) else {
        return false;
    };
    if first & packet::LONG_HEADER == 0 || version.is_google_crypto() {
        return false;
    }
    let mut rest = datagram;
    match packet::next(&mut rest) {
        Ok(Some(Packet::VersionNegotiation { versions })) => is_negotiation(versions),
        // Peers that agreed to clear it did so after a packet that had it.
        _ if first & packet::FIXED_BIT == 0 => false,
        Ok(Some(Packet::Retry { header, .. })) => {
            version.is_known() && header.source.len() <= packet::MAX_CID
        }
        Ok(Some(Packet::Numbered(packet))) if packet.payload_len() >= LEAST_PAYLOAD => {
            version.is_known()
                || (packet.kind == Kind::Initial
                    && datagram.len() >= LEAST_DATAGRAM
                    && packet.header.destination.len() >= LEAST_CID
                    && fills(rest, version)
                    && opens(&packet))
        }
        _ => false,
    }
}

/// Whether the keys of a version that is known open a client's first packet.
fn opens(packet: &Numbered<'_>) -> bool {
    let mut buffer = Vec::new();
    packet.header.version.schemes().any(|scheme| {
        Keys::derive(scheme, packet.header.destination)
            .is_some_and(|mut keys| keys.open(Role::Client, packet, &mut buffer).is_some())
    })
}

/// Whether what follows the first packet is of the same connection, or padding.
fn fills(rest: &[u8], version: Version) -> bool {
    let [first, after @ ..] = rest else { return true };
    let same = after.first_chunk() == Some(&version.0.to_be_bytes());
    (first & packet::LONG_HEADER != 0 && same) || rest.iter().all(|byte| *byte == 0)
}

/// Whether a list of versions holds one that is known.
fn is_negotiation(versions: &[u8]) -> bool {
    let (versions, odd) = versions.as_chunks::<4>();
    odd.is_empty() && versions.iter().any(|version| Version(u32::from_be_bytes(*version)).is_known())
}
