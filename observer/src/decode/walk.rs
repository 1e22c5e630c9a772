//! The way of one frame through the layers.
//!
//! Each layer is a method on [`Walk`] in the file of its name; it takes its header off and calls the next. Recursion is
//! bounded, since every way back to a lower layer is a tunnel ([`TunnelPath::MAX`]) or counted ([`MAX_LINKS`]).

use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;

use super::fragment::Fragments;
use super::owner::Owners;
use super::{Backing, Endpoint, FiveTuple, Packet, Segment, Skip, Transport, Tunnel, TunnelPath};
use crate::source::{Frame, InterfaceIndex, RecordedOwner};

/// Link layers in one another without a tunnel between them: 802.11 in PPI in PKTAP, LLC in a VLAN in LLC.
const MAX_LINKS: u8 = 8;

/// One frame on its way.
pub(super) struct Walk<'d> {
    pub(super) fragments: &'d mut Fragments,
    pub(super) owners: &'d mut Owners,
    pub(super) take: &'d mut dyn FnMut(&Packet<'_>, Backing<'_>),
    /// Where, when and how it was captured.
    pub(super) frame: Frame<'d>,
    /// See [`Packet::interface`].
    pub(super) interface: InterfaceIndex,
    pub(super) owner: Option<Arc<RecordedOwner>>,
}

/// What lies around the layer at hand.
#[derive(Clone, Copy)]
pub(super) struct Envelope<'a> {
    pub(super) tunnels: TunnelPath,
    pub(super) backing: Backing<'a>,
    /// Bytes on the link; of all its frames for a reassembled datagram.
    pub(super) wire_len: u32,
    /// Link layers passed, at most [`MAX_LINKS`].
    pub(super) links: u8,
}

/// The part of an IP header that the layers above need.
#[derive(Clone, Copy)]
pub(super) struct Ip {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) identification: u32,
}

impl Ip {
    /// Both addresses in an order that does not depend on the direction.
    pub(super) fn ends(&self) -> (IpAddr, IpAddr) {
        (self.source.min(self.destination), self.source.max(self.destination))
    }
}

impl Envelope<'_> {
    /// The same inside one more link layer.
    pub(super) fn on_link(mut self) -> Result<Self, Skip> {
        self.links = self.links.saturating_add(1);
        if self.links <= MAX_LINKS { Ok(self) } else { Err(Skip::TooDeep) }
    }

    /// The same inside one more tunnel, told apart by `identity`, which must be equal in both directions.
    pub(super) fn inside(mut self, tunnel: Tunnel, identity: impl Hash) -> Result<Self, Skip> {
        if self.tunnels.enter(tunnel, identity) { Ok(self) } else { Err(Skip::TooDeep) }
    }
}

impl Walk<'_> {
    /// Hands on a packet.
    pub(super) fn emit(
        &mut self,
        ip: &Ip,
        ports: (Transport, u16, u16),
        segment: Segment<'_>,
        envelope: &Envelope<'_>,
    ) {
        self.hand_on(ip, ports, segment, None, envelope);
    }

    /// Hands on the packet that carries those in `tunnel`, which were handed on before.
    pub(super) fn emit_carrier(
        &mut self,
        ip: &Ip,
        ports: (Transport, u16, u16),
        segment: Segment<'_>,
        tunnel: Tunnel,
        envelope: &Envelope<'_>,
    ) {
        self.hand_on(ip, ports, segment, Some(tunnel), &Envelope { wire_len: 0, ..*envelope });
    }

    fn hand_on(
        &mut self,
        ip: &Ip,
        (transport, source_port, destination_port): (Transport, u16, u16),
        segment: Segment<'_>,
        carries: Option<Tunnel>,
        envelope: &Envelope<'_>,
    ) {
        let packet = Packet {
            frame: self.frame.number,
            timestamp: self.frame.timestamp,
            interface: self.interface,
            five_tuple: FiveTuple {
                transport,
                source: Endpoint { ip: ip.source, port: source_port },
                destination: Endpoint { ip: ip.destination, port: destination_port },
            },
            identification: ip.identification,
            tunnels: envelope.tunnels,
            segment,
            carries,
            wire_len: envelope.wire_len,
            // What a capture says of the frame, it says of the packet within: many apps share a tunnel.
            owner: self.owner.as_ref().filter(|_| carries.is_none()).cloned(),
        };
        (self.take)(&packet, envelope.backing);
    }
}
