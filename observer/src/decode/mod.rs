//! From a frame to the packet inside: link layer, tunnels, IP, transport. Stateless but for fragments.
//!
//! Decoding borrows the frame; [`PacketRecord`] lets the result cross threads without a copy of its bytes. What is not decoded has a [`Skip`] reason, which the pipeline counts and shows;
//! wrong checksums, packets above the MTU and cut captures are normal. It knows no flows.

mod ip;
mod link;

use std::fmt;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use crate::bytes::range_in;
use crate::source::{Frame, FrameNumber, InterfaceIndex, RecordedOwner, slice};
use crate::time::Timestamp;

/// The transport protocols that make flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// RFC 9293.
    Tcp,
    /// RFC 768.
    Udp,
    /// RFC 792 and RFC 4443; the identifier of an echo stands for both ports, else type and code do.
    Icmp,
    /// Any other IP protocol number: a flow between two addresses, ports zero.
    Other(u8),
}

/// One end of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// The address; v4-mapped addresses are kept as they are on the wire.
    pub ip: IpAddr,
    /// The port.
    pub port: u16,
}

/// Who sends what to whom, as one packet states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FiveTuple {
    /// How.
    pub transport: Transport,
    /// The sender.
    pub source: Endpoint,
    /// The receiver.
    pub destination: Endpoint,
}

impl FiveTuple {
    /// The same of the answer.
    #[must_use]
    pub fn reverse(self) -> Self {
        Self { source: self.destination, destination: self.source, ..self }
    }
}

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

    /// The layers, outermost first.
    pub fn iter(&self) -> impl Iterator<Item = Tunnel> {
        self.layers.into_iter().flatten()
    }
}

/// The flags of a TCP header that the observer uses (RFC 9293 §3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TcpFlags {
    /// No more data from the sender.
    pub fin: bool,
    /// Opens a flow.
    pub syn: bool,
    /// Ends a flow at once.
    pub rst: bool,
    /// The acknowledgement number counts.
    pub ack: bool,
}

/// The transport header and payload of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment<'a> {
    /// A TCP segment.
    Tcp {
        /// Of the first payload byte, or of the SYN.
        sequence: u32,
        /// The next byte that the sender expects.
        acknowledgement: u32,
        /// SYN, FIN, RST, ACK.
        flags: TcpFlags,
        /// The captured part of the payload.
        payload: &'a [u8],
        /// Payload bytes that the capture cut off.
        missing: u32,
    },
    /// A UDP datagram.
    Udp {
        /// The captured part of the payload.
        payload: &'a [u8],
        /// Payload bytes that the capture cut off.
        missing: u32,
    },
    /// Anything else: counted by flow, not read.
    Other,
}

impl Segment<'_> {
    /// Payload bytes on the wire, captured or not.
    #[must_use]
    pub fn payload_len(&self) -> u64 {
        match self {
            Self::Tcp { payload, missing, .. } | Self::Udp { payload, missing } => {
                (payload.len() as u64).saturating_add(u64::from(*missing))
            }
            Self::Other => 0,
        }
    }
}

/// A packet between two hosts.
#[derive(Clone, Debug)]
pub struct Packet<'a> {
    /// The frame that carried it (for a reassembled packet: the one that completed it).
    pub frame: FrameNumber,
    /// When that frame was captured.
    pub timestamp: Timestamp,
    /// Where.
    pub interface: InterfaceIndex,
    /// Who sends what to whom.
    pub five_tuple: FiveTuple,
    /// The IP identification (IPv4) or flow label (IPv6), to recognise the same packet on two interfaces.
    pub identification: u32,
    /// What it is wrapped in.
    pub tunnels: TunnelPath,
    /// The transport header and payload.
    pub segment: Segment<'a>,
    /// Bytes on the link, headers included.
    pub wire_len: u32,
    /// Whose it is, where the capture says so.
    pub owner: Option<Arc<RecordedOwner>>,
}

/// A packet whose payload is a range of a shared buffer in place of a borrow.
#[derive(Clone, Debug)]
pub struct PacketRecord {
    packet: Packet<'static>,
    buffer: u32,
    payload: Range<u32>,
}

impl PacketRecord {
    /// The record of `packet`, whose payload lies in `bytes`, which begin at `base` of buffer number `buffer`; `None`
    /// when it does not lie there.
    #[must_use]
    pub fn new(packet: &Packet<'_>, bytes: &[u8], buffer: u32, base: u32) -> Option<Self> {
        let (payload, segment) = match packet.segment {
            Segment::Tcp { sequence, acknowledgement, flags, payload, missing } => {
                (payload, Segment::Tcp { sequence, acknowledgement, flags, payload: &[], missing })
            }
            Segment::Udp { payload, missing } => (payload, Segment::Udp { payload: &[], missing }),
            Segment::Other => (&[][..], Segment::Other),
        };
        let range = if payload.is_empty() { 0..0 } else { range_in(bytes, payload)? };
        Some(Self {
            packet: Packet { segment, owner: packet.owner.clone(), ..*packet },
            buffer,
            payload: base.checked_add(u32::try_from(range.start).ok()?)?
                ..base.checked_add(u32::try_from(range.end).ok()?)?,
        })
    }

    /// The packet again, borrowed from the buffers that it was made from.
    #[must_use]
    pub fn packet<'a>(&self, buffers: &'a [Arc<Vec<u8>>]) -> Packet<'a> {
        let bytes = slice(buffers, self.buffer, &self.payload);
        let segment = match self.packet.segment {
            Segment::Tcp { sequence, acknowledgement, flags, missing, .. } => {
                Segment::Tcp { sequence, acknowledgement, flags, payload: bytes, missing }
            }
            Segment::Udp { missing, .. } => Segment::Udp { payload: bytes, missing },
            Segment::Other => Segment::Other,
        };
        Packet { segment, owner: self.packet.owner.clone(), ..self.packet }
    }
}

/// Why a frame yields no packet. Counted by kind and shown.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Skip {
    /// A link type that is not decoded.
    LinkType(u16),
    /// Not IP: the EtherType, e.g. 0x0806 ARP.
    EtherType(u16),
    /// A part of a datagram that is not complete yet. No loss.
    Fragment,
    /// A header that is cut off by the capture's snaplen.
    Truncated(&'static str),
    /// A header that contradicts itself.
    Malformed(&'static str),
}

/// As it is shown: `link type 201`, `ethertype 0x0806`, `fragment`, `truncated tcp header`.
impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LinkType(number) => write!(f, "link type {number}"),
            Self::EtherType(number) => write!(f, "ethertype {number:#06x}"),
            Self::Fragment => f.write_str("fragment"),
            Self::Truncated(layer) => write!(f, "truncated {layer}"),
            Self::Malformed(layer) => write!(f, "malformed {layer}"),
        }
    }
}

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
pub struct Decoder {}

impl Decoder {
    /// Decodes one frame and hands the packet in it, if there is one, to `take`.
    ///
    /// # Errors
    /// The reason why there is no packet in it (yet).
    pub fn decode(
        &mut self,
        frame: &Frame<'_>,
        mut take: impl FnMut(&Packet<'_>, Backing<'_>),
    ) -> Result<(), Skip> {
        let owner = frame.annotations.and_then(|annotations| annotations.owner.clone());
        let payload = link::network_layer(frame)?;
        let (five_tuple, identification, segment) = ip::decode(payload)?;
        let packet = Packet {
            frame: frame.number,
            timestamp: frame.timestamp,
            interface: frame.interface,
            five_tuple,
            identification,
            tunnels: TunnelPath::default(),
            segment,
            wire_len: frame.original_len,
            owner,
        };
        take(&packet, Backing::Frame);
        Ok(())
    }
}
