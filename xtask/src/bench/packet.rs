//! Frames of real flows, made ready to be sent again between other hosts.
//!
//! Addresses, ports, sequence and acknowledgement numbers are taken out of a frame once, and the checksums of what
//! remains are kept: to write the frame for another flow costs a copy and a few additions, not a pass over its bytes.

use std::net::IpAddr;

/// One end of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) address: IpAddr,
    pub(super) port: u16,
}

/// What a frame says about its place in a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Tcp { seq: u32, ack: u32, flags: u8 },
    Udp,
}

pub(super) const FIN: u8 = 0x01;
pub(super) const SYN: u8 = 0x02;
pub(super) const RST: u8 = 0x04;
pub(super) const ACK: u8 = 0x10;

const TCP: u8 = 6;
const UDP: u8 = 17;

/// Offset of the IP header behind an Ethernet header.
const IP: usize = 14;

/// An unfragmented TCP or UDP packet in an Ethernet frame, without padding.
#[derive(Clone)]
pub(super) struct Packet {
    frame: Vec<u8>,
    /// Offset of the TCP or UDP header.
    transport_at: usize,
    /// Offset of the payload.
    payload_at: usize,
    pub(super) source: Endpoint,
    pub(super) destination: Endpoint,
    pub(super) transport: Transport,
}

impl Packet {
    /// Reads a frame; nothing for one that carries anything else.
    pub(super) fn parse(frame: &[u8]) -> Option<Self> {
        let byte = |at: usize| frame.get(at).copied();
        let half = |at: usize| frame.get(at..)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes));
        let word = |at: usize| frame.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
        let v4 = |at: usize| frame.get(at..)?.first_chunk::<4>().map(|bytes| IpAddr::from(*bytes));
        let v6 = |at: usize| frame.get(at..)?.first_chunk::<16>().map(|bytes| IpAddr::from(*bytes));
        let (protocol, transport_at, end, source, destination) = match half(12)? {
            0x0800 => {
                let header = usize::from(byte(IP)? & 0x0f) * 4;
                let fragmented = half(IP + 6)? & 0x3fff != 0;
                if fragmented {
                    return None;
                }
                (byte(IP + 9)?, IP + header, IP + usize::from(half(IP + 2)?), v4(IP + 12)?, v4(IP + 16)?)
            }
            0x86dd => {
                (byte(IP + 6)?, IP + 40, IP + 40 + usize::from(half(IP + 4)?), v6(IP + 8)?, v6(IP + 24)?)
            }
            _ => return None,
        };
        let (transport, payload_at) = match protocol {
            TCP => {
                let tcp = Transport::Tcp {
                    seq: word(transport_at + 4)?,
                    ack: word(transport_at + 8)?,
                    flags: byte(transport_at + 13)?,
                };
                (tcp, transport_at + usize::from(byte(transport_at + 12)? >> 4) * 4)
            }
            UDP => (Transport::Udp, transport_at + 8),
            _ => return None,
        };
        let frame = frame.get(..end)?.to_vec();
        frame.get(payload_at..)?;
        Some(Self {
            source: Endpoint { address: source, port: half(transport_at)? },
            destination: Endpoint { address: destination, port: half(transport_at + 2)? },
            frame,
            transport_at,
            payload_at,
            transport,
        })
    }

    pub(super) fn payload(&self) -> &[u8] {
        self.frame.get(self.payload_at..).unwrap_or_default()
    }

    /// The length of the payload, as sequence numbers count.
    pub(super) fn payload_len(&self) -> u32 {
        u32::try_from(self.payload().len()).unwrap_or(u32::MAX)
    }

    pub(super) fn flags(&self) -> u8 {
        match self.transport {
            Transport::Tcp { flags, .. } => flags,
            Transport::Udp => 0,
        }
    }

    /// The same headers over another payload.
    pub(super) fn with_payload(&self, payload: &[u8]) -> Self {
        let mut packet = self.clone();
        packet.frame.truncate(self.payload_at);
        packet.frame.extend(payload);
        let is_v4 = self.source.address.is_ipv4();
        let counted = packet.frame.len() - if is_v4 { IP } else { IP + 40 };
        let counted = u16::try_from(counted).unwrap_or(u16::MAX);
        put(&mut packet.frame, if is_v4 { IP + 2 } else { IP + 4 }, &counted.to_be_bytes());
        packet
    }
}

/// A packet without the fields that differ from flow to flow, with the sums of the others.
#[derive(Clone)]
pub(super) struct Form {
    frame: Vec<u8>,
    transport_at: usize,
    payload_at: usize,
    is_v4: bool,
    is_tcp: bool,
    /// The sum over the IPv4 header.
    ip_sum: u64,
    /// The sum over the pseudo-header's fixed part and the segment or datagram.
    transport_sum: u64,
}

/// The fields that differ from flow to flow, and from packet to packet.
#[derive(Clone, Copy)]
pub(super) struct Fields {
    pub(super) source: Endpoint,
    pub(super) destination: Endpoint,
    /// For TCP.
    pub(super) seq: u32,
    /// For TCP.
    pub(super) ack: u32,
    /// For IPv4.
    pub(super) identification: u16,
}

impl Form {
    /// Takes the changing fields out of `packet`.
    pub(super) fn new(packet: &Packet) -> Self {
        let mut frame = packet.frame.clone();
        let at = packet.transport_at;
        let is_v4 = packet.source.address.is_ipv4();
        let is_tcp = matches!(packet.transport, Transport::Tcp { .. });
        put(&mut frame, at, &[0; 4]);
        if is_tcp {
            put(&mut frame, at + 4, &[0; 8]);
            put(&mut frame, at + 16, &[0; 2]);
        } else {
            let length = u16::try_from(frame.len() - at).unwrap_or(u16::MAX);
            put(&mut frame, at + 4, &length.to_be_bytes());
            put(&mut frame, at + 6, &[0; 2]);
        }
        if is_v4 {
            put(&mut frame, IP + 4, &[0; 2]);
            put(&mut frame, IP + 10, &[0; 10]);
        } else {
            put(&mut frame, IP + 8, &[0; 32]);
        }
        let mut form = Self {
            frame,
            transport_at: at,
            payload_at: packet.payload_at,
            is_v4,
            is_tcp,
            ip_sum: 0,
            transport_sum: 0,
        };
        form.add_up();
        form
    }

    /// Overwrites payload bytes from `offset` on.
    pub(super) fn overwrite(&mut self, offset: usize, bytes: &[u8]) {
        put(&mut self.frame, self.payload_at + offset, bytes);
        self.add_up();
    }

    pub(super) fn payload(&self) -> &[u8] {
        self.frame.get(self.payload_at..).unwrap_or_default()
    }

    /// The length of the frame.
    pub(super) fn len(&self) -> usize {
        self.frame.len()
    }

    fn add_up(&mut self) {
        let segment = self.frame.get(self.transport_at..).unwrap_or_default();
        let protocol = if self.is_tcp { TCP } else { UDP };
        let length = u64::try_from(segment.len()).unwrap_or_default();
        self.transport_sum = sum(segment) + u64::from(protocol) + length;
        self.ip_sum = sum(self.frame.get(IP..self.transport_at).unwrap_or_default());
    }

    /// Writes the frame with these fields and right checksums into `out`, replacing what was there.
    pub(super) fn write(&self, fields: &Fields, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&self.frame);
        let addresses = put_address(out, if self.is_v4 { IP + 12 } else { IP + 8 }, fields.source.address)
            + put_address(out, if self.is_v4 { IP + 16 } else { IP + 24 }, fields.destination.address);
        let at = self.transport_at;
        put(out, at, &fields.source.port.to_be_bytes());
        put(out, at + 2, &fields.destination.port.to_be_bytes());
        let mut total = self.transport_sum
            + addresses
            + u64::from(fields.source.port)
            + u64::from(fields.destination.port);
        if self.is_tcp {
            put(out, at + 4, &fields.seq.to_be_bytes());
            put(out, at + 8, &fields.ack.to_be_bytes());
            total += sum(&fields.seq.to_be_bytes()) + sum(&fields.ack.to_be_bytes());
            put(out, at + 16, &checksum(total).to_be_bytes());
        } else {
            // All zeros says that there is no checksum (RFC 768).
            let checksum = Some(checksum(total)).filter(|sum| *sum != 0).unwrap_or(u16::MAX);
            put(out, at + 6, &checksum.to_be_bytes());
        }
        if self.is_v4 {
            put(out, IP + 4, &fields.identification.to_be_bytes());
            let total = self.ip_sum + addresses + u64::from(fields.identification);
            put(out, IP + 10, &checksum(total).to_be_bytes());
        }
    }
}

/// Overwrites bytes that are there; offsets come from parsed frames.
fn put(frame: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = frame.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

/// Writes an address and returns its sum.
fn put_address(frame: &mut [u8], at: usize, address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(v4) => {
            put(frame, at, &v4.octets());
            sum(&v4.octets())
        }
        IpAddr::V6(v6) => {
            put(frame, at, &v6.octets());
            sum(&v6.octets())
        }
    }
}

/// The sum of big-endian 16-bit words, the last one padded with a zero byte (RFC 1071).
fn sum(bytes: &[u8]) -> u64 {
    let mut words = bytes.chunks_exact(2);
    let mut total = 0;
    for word in words.by_ref() {
        if let [high, low] = word {
            total += u64::from(*high) << 8 | u64::from(*low);
        }
    }
    total + words.remainder().first().map_or(0, |last| u64::from(*last) << 8)
}

/// The one's complement of the folded sum.
fn checksum(mut total: u64) -> u16 {
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    !u16::try_from(total).unwrap_or_default()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A TCP or UDP frame with wrong checksums.
    pub(in crate::bench) fn frame(v6: bool, tcp: bool, payload: &[u8]) -> Vec<u8> {
        let mut segment = vec![0xc0, 0x00, 0x01, 0xbb];
        if tcp {
            segment.extend([0, 0, 0, 7, 0, 0, 0, 9, 0x50, ACK, 0xff, 0xff, 0, 0, 0, 0]);
        } else {
            segment.extend([0, u8::try_from(8 + payload.len()).unwrap(), 0, 0]);
        }
        segment.extend(payload);
        let protocol = if tcp { TCP } else { UDP };
        let len = u8::try_from(segment.len()).unwrap();
        let mut frame = vec![2; 12];
        if v6 {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, len, protocol, 64]);
            frame.extend([0xfd; 32]);
        } else {
            frame.extend([0x08, 0x00, 0x45, 0, 0, 20 + len, 0, 1, 0x40, 0, 64, protocol, 0, 0]);
            frame.extend([10, 0, 0, 1, 10, 0, 0, 2]);
        }
        frame.extend(segment);
        frame
    }

    /// Checks both checksums as a receiver does: over everything, from nothing.
    fn assert_checksums(frame: &[u8], v6: bool, tcp: bool) {
        let at = IP + if v6 { 40 } else { 20 };
        let addresses = if v6 { &frame[IP + 8..IP + 40] } else { &frame[IP + 12..IP + 20] };
        let protocol = if tcp { TCP } else { UDP };
        let total = sum(addresses) + u64::from(protocol) + (frame.len() - at) as u64 + sum(&frame[at..]);
        assert_eq!(checksum(total), 0, "transport, v6 {v6}, tcp {tcp}");
        if !v6 {
            assert_eq!(checksum(sum(&frame[IP..at])), 0, "IPv4 header");
        }
    }

    #[test]
    fn rewritten_frames_carry_the_fields_and_right_checksums() {
        for (v6, tcp) in [(false, false), (false, true), (true, false), (true, true)] {
            let packet = Packet::parse(&frame(v6, tcp, b"odd length.")).unwrap();
            let address =
                |last: u8| if v6 { IpAddr::from([last; 16]) } else { IpAddr::from([192, 0, 2, last]) };
            let source = Endpoint { address: address(200), port: 65_535 };
            let destination = Endpoint { address: address(3), port: 53 };
            let fields =
                Fields { source, destination, seq: 0xffff_fffe, ack: 0x8000_0001, identification: 0xfedc };
            let mut form = Form::new(&packet);
            let mut out = vec![1, 2, 3];
            form.write(&fields, &mut out);
            assert_checksums(&out, v6, tcp);
            let again = Packet::parse(&out).unwrap();
            assert_eq!((again.source, again.destination), (source, destination));
            assert_eq!(again.payload(), b"odd length.");
            if tcp {
                let expected = Transport::Tcp { seq: 0xffff_fffe, ack: 0x8000_0001, flags: ACK };
                assert_eq!(again.transport, expected);
            }
            form.overwrite(0, b"new");
            form.write(&fields, &mut out);
            assert_checksums(&out, v6, tcp);
            assert_eq!(Packet::parse(&out).unwrap().payload(), b"new length.");
        }
    }

    #[test]
    fn another_payload_changes_the_lengths() {
        for (v6, tcp) in [(false, true), (true, true), (false, false), (true, false)] {
            let packet = Packet::parse(&frame(v6, tcp, b"short")).unwrap().with_payload(b"a longer payload");
            let address = packet.source.address;
            let end = Endpoint { address, port: 1 };
            let fields = Fields { source: end, destination: end, seq: 0, ack: 0, identification: 0 };
            let mut out = Vec::new();
            Form::new(&packet).write(&fields, &mut out);
            assert_checksums(&out, v6, tcp);
            assert_eq!(Packet::parse(&out).unwrap().payload(), b"a longer payload");
        }
    }

    #[test]
    fn padding_is_cut_and_other_frames_are_refused() {
        let mut padded = frame(false, true, b"x");
        padded.extend([0; 6]);
        assert_eq!(Packet::parse(&padded).unwrap().payload(), b"x");
        let mut fragment = frame(false, true, b"x");
        fragment[IP + 6] = 0x20;
        assert!(Packet::parse(&fragment).is_none());
        assert!(Packet::parse(&[0; 60]).is_none());
        let whole = frame(true, false, b"x");
        for cut in 0..whole.len() {
            assert!(Packet::parse(&whole[..cut]).is_none(), "cut at {cut}");
        }
    }
}
