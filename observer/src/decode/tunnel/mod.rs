//! Tunnels: packets in packets.
//!
//! A tunnel is entered when its header is valid and what is inside decodes; else the outer datagram is the packet.
//! For tunnels over UDP the port is a hint and the header must hold strictly. [`TunnelPath`] keeps the layers.

mod gre;
mod mpls;
mod udp;

use std::hash::{BuildHasher, Hash};

/// A layer that wraps packets in packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Tunnel {
    /// RFC 8926.
    Geneve = 1,
    /// RFC 2784, RFC 2890; NVGRE and ERSPAN.
    Gre,
    /// 3GPP TS 29.281.
    GtpU,
    /// RFC 2003, RFC 2473.
    IpInIp,
    /// RFC 3032.
    Mpls,
    /// RFC 2516.
    Pppoe,
    /// RFC 4213, protocol 41.
    SixInFour,
    /// RFC 4380.
    Teredo,
    /// RFC 7348.
    Vxlan,
}

impl Tunnel {
    /// As `network.tunnel` names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Geneve => "geneve",
            Self::Gre => "gre",
            Self::GtpU => "gtp-u",
            Self::IpInIp => "ip-in-ip",
            Self::Mpls => "mpls",
            Self::Pppoe => "pppoe",
            Self::SixInFour => "6in4",
            Self::Teredo => "teredo",
            Self::Vxlan => "vxlan",
        }
    }
}

/// The tunnels around a packet, outermost first; at most [`TunnelPath::MAX`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TunnelPath {
    layers: [Option<Tunnel>; Self::MAX],
    /// Tells apart equal five-tuples in different tunnels: a hash of the outer ends (in either order) and the
    /// virtual network's identifier; 0 outside any tunnel.
    pub context: u64,
}

impl TunnelPath {
    /// Deeper nesting is not decoded.
    pub const MAX: usize = 4;

    /// Adds a layer inside the others; false when there is no room.
    pub fn push(&mut self, tunnel: Tunnel) -> bool {
        match self.layers.iter_mut().find(|layer| layer.is_none()) {
            Some(layer) => {
                *layer = Some(tunnel);
                true
            }
            None => false,
        }
    }

    /// Adds a layer and stirs `identity`, equal in both directions of the tunnel, into the context; false when there
    /// is no room.
    pub(crate) fn enter(&mut self, tunnel: Tunnel, identity: impl Hash) -> bool {
        let entered = self.push(tunnel);
        if entered {
            let hash = foldhash::fast::FixedState::default().hash_one((self.context, tunnel, identity));
            self.context = hash.max(1);
        }
        entered
    }

    /// The layers, outermost first.
    pub fn iter(&self) -> impl Iterator<Item = Tunnel> {
        self.layers.into_iter().flatten()
    }
}
