//! From a frame to the packet inside: link layer, tunnels, IP, transport. Stateless but for fragments.
//!
//! Decoding borrows the frame; [`PacketRecord`] lets the result cross threads without a copy of its bytes. What is not
//! decoded has a [`Skip`] reason, which the pipeline counts and shows; wrong checksums, packets above the MTU and cut
//! captures are normal. It knows no flows.
//!
//! ```text
//! link ──▶ (tags, PPP, MPLS) ──▶ ip ──▶ fragment ──▶ transport ──▶ Packet
//!   ▲                             ▲                      │
//!   └──────────── tunnel ─────────┴──────────────────────┘
//! ```

#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

mod fragment;
mod ip;
mod link;
mod owner;
mod packet;
mod skip;
mod span;
#[cfg(test)]
mod tests;
mod transport;
mod tunnel;
mod walk;

use std::sync::Arc;

pub use self::fragment::FragmentCounts;
pub use self::packet::{Endpoint, FiveTuple, Packet, PacketRecord, Segment, TcpFlags, Transport};
pub use self::skip::Skip;
pub use self::tunnel::{Tunnel, TunnelPath};

use self::fragment::Fragments;
use self::owner::Owners;
use self::span::Span;
use self::walk::{Envelope, Walk};
use crate::source::Frame;

/// Where the payload of a decoded packet lies.
#[derive(Clone, Copy, Debug)]
pub enum Backing<'a> {
    /// In the frame.
    Frame,
    /// In a datagram put together from fragments.
    Reassembled(&'a Arc<Vec<u8>>),
}

/// Decodes frames; holds the fragments of datagrams that are not complete.
#[derive(Debug, Default)]
pub struct Decoder {
    fragments: Fragments,
    owners: Owners,
}

impl Decoder {
    /// Decodes one frame and hands the packet in it, if there is one, to `take`; an aggregate of 802.11 holds several.
    ///
    /// # Errors
    /// The reason why there is no packet in it (yet).
    #[inline]
    pub fn decode(
        &mut self,
        frame: &Frame<'_>,
        mut take: impl FnMut(&Packet<'_>, Backing<'_>),
    ) -> Result<(), Skip> {
        let mut walk = Walk {
            fragments: &mut self.fragments,
            owners: &mut self.owners,
            take: &mut take,
            frame: *frame,
            interface: frame.interface,
            owner: frame.annotations.and_then(|annotations| annotations.owner.clone()),
        };
        let cut = u64::from(frame.original_len).saturating_sub(frame.data.len() as u64);
        let span = Span { bytes: frame.data, missing: u32::try_from(cut).unwrap_or(u32::MAX) };
        let envelope = Envelope {
            tunnels: TunnelPath::default(),
            backing: Backing::Frame,
            wire_len: frame.original_len,
            links: 0,
        };
        walk.link(frame.link_type, span, envelope)
    }

    /// What became of fragments so far.
    #[must_use]
    pub fn counts(&self) -> FragmentCounts {
        self.fragments.counts()
    }
}
