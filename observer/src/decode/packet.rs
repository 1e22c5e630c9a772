//! The packet that decoding yields, and its form for crossing threads.

use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use super::{Tunnel, TunnelPath};
use crate::bytes::range_in;
use crate::source::{FrameNumber, InterfaceIndex, RecordedOwner, slice};
use crate::time::Timestamp;

/// The transport protocols that make flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// RFC 9293.
    Tcp,
    /// RFC 768.
    Udp,
    /// RFC 792 and RFC 4443; type and code stand for the ports.
    Icmp,
    /// Echo and its reply; their identifier stands for both ports.
    IcmpEcho,
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
    /// Where: the capture's interface; where the link layer names an interface of the capturing host (SLL2, PKTAP),
    /// that one is stirred into the upper 16 bits. Equal for the same place, no index into anything.
    pub interface: InterfaceIndex,
    /// Who sends what to whom.
    pub five_tuple: FiveTuple,
    /// The IP identification (IPv4) or flow label (IPv6), to recognise the same packet on two interfaces.
    pub identification: u32,
    /// What it is wrapped in.
    pub tunnels: TunnelPath,
    /// The transport header and payload.
    pub segment: Segment<'a>,
    /// The tunnel that its payload is of, where packets within it were handed on: their bytes are counted with them, and
    /// nothing in it is its own.
    pub carries: Option<Tunnel>,
    /// Bytes on the link as the capture counts them, headers included; of all its frames for a reassembled packet. None of
    /// what carries a tunnel.
    pub wire_len: u32,
    /// Whose it is, where the capture says so; the frame's own word goes before the file's.
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
