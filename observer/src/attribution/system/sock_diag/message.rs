//! The messages of `sock_diag`: what is asked, and what the kernel answers.
//!
//! Attributes are read one by one, so that one that is unknown or odd costs no more than itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NlasIterator, Parseable as _,
};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP, TCP_LISTEN};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, InetResponseHeader, SocketId, StateFlags};

use crate::decode::{Endpoint, Transport};

/// Matches any cookie (`INET_DIAG_NOCOOKIE`).
const ANY_COOKIE: [u8; 8] = [0xff; 8];
/// Bytes of `struct inet_diag_msg`, behind which the attributes follow.
const HEADER: usize = 72;
/// The attribute with the cgroup's id (`INET_DIAG_CGROUP_ID`, Linux 5.9).
const CGROUP_ID: u16 = 21;
/// What the kernel gives for a uid that it cannot map (`overflowuid`): nobody's.
const OVERFLOW_UID: u32 = 65_534;

/// The kernel keeps sockets by address family; those of IPv6 may carry IPv4 flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// `AF_INET`.
    V4,
    /// `AF_INET6`.
    V6,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// For all sockets of a table.
    Dump {
        /// Its family.
        family: Family,
        /// TCP or UDP.
        transport: Transport,
    },
    /// For the socket that packets from `remote` to `local` go to.
    Exact {
        /// Where it is looked for.
        family: Family,
        /// TCP or UDP.
        transport: Transport,
        /// Its own end.
        local: Endpoint,
        /// The other one.
        remote: Endpoint,
    },
}

/// What the kernel says of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Socket {
    pub(super) local: Endpoint,
    pub(super) remote: Option<Endpoint>,
    pub(super) listening: bool,
    /// `None` where the kernel cannot say.
    pub(super) uid: Option<u32>,
    /// 0 for none.
    pub(super) inode: u64,
    pub(super) cgroup: Option<u64>,
}

impl Request {
    /// The message with `sequence` number.
    pub(super) fn encode(&self, sequence: u32) -> Vec<u8> {
        let (dump, family, transport, socket_id) = match *self {
            Self::Dump { family, transport } => {
                let unspecified = Endpoint { ip: Ipv4Addr::UNSPECIFIED.into(), port: 0 };
                (true, family, transport, socket_id(family, unspecified, unspecified))
            }
            Self::Exact { family, transport, local, remote } => {
                // For UDP the kernel takes source and destination for those of a packet that comes in (udp_dump_one).
                let (source, destination) =
                    if transport == Transport::Udp { (remote, local) } else { (local, remote) };
                (false, family, transport, socket_id(family, source, destination))
            }
        };
        let request = InetRequest {
            family: if family == Family::V4 { AF_INET } else { AF_INET6 },
            protocol: if transport == Transport::Udp { IPPROTO_UDP } else { IPPROTO_TCP },
            extensions: ExtensionFlags::empty(),
            // A socket in TIME_WAIT has no owner any more.
            states: StateFlags::all().difference(StateFlags::TIME_WAIT),
            socket_id,
        };
        let mut header = NetlinkHeader::default();
        header.flags = if dump { NLM_F_REQUEST | NLM_F_DUMP } else { NLM_F_REQUEST };
        header.sequence_number = sequence;
        let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        bytes
    }
}

fn socket_id(family: Family, source: Endpoint, destination: Endpoint) -> SocketId {
    let address = |ip: IpAddr| match (family, ip) {
        (Family::V6, IpAddr::V4(ip)) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        (Family::V6, IpAddr::V4(ip)) => IpAddr::V6(ip.to_ipv6_mapped()),
        (_, ip) => ip,
    };
    SocketId {
        source_port: source.port,
        destination_port: destination.port,
        source_address: address(source.ip),
        destination_address: address(destination.ip),
        interface_id: 0,
        cookie: ANY_COOKIE,
    }
}

impl Socket {
    /// Reads the payload of an answer (`struct inet_diag_msg` and attributes); `None` where it is none.
    pub(super) fn parse(payload: &[u8]) -> Option<Self> {
        let attributes = payload.get(HEADER..)?;
        let header = InetResponseHeader::parse(payload).ok()?;
        let id = &header.socket_id;
        let local = Endpoint { ip: id.source_address.to_canonical(), port: id.source_port };
        let remote = Endpoint { ip: id.destination_address.to_canonical(), port: id.destination_port };
        Some(Self {
            local,
            remote: Some(remote).filter(|remote| remote.port != 0),
            listening: header.state == TCP_LISTEN,
            uid: Some(header.uid).filter(|uid| !matches!(*uid, OVERFLOW_UID | u32::MAX)),
            inode: u64::from(header.inode),
            cgroup: cgroup(attributes),
        })
    }
}

fn cgroup(attributes: &[u8]) -> Option<u64> {
    NlasIterator::new(attributes)
        .map_while(Result::ok)
        .find(|attribute| attribute.kind() == CGROUP_ID)
        .and_then(|attribute| attribute.value().try_into().ok().map(u64::from_ne_bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn end(text: &str) -> Endpoint {
        let address: std::net::SocketAddr = text.parse().unwrap();
        Endpoint { ip: address.ip(), port: address.port() }
    }

    /// `struct inet_diag_msg` as a little-endian kernel writes it, with a cgroup and an attribute nobody knows.
    fn answer(family: u8, state: u8, ends: [(&[u8], u16); 2], uid: u32, inode: u32) -> Vec<u8> {
        let mut bytes = vec![family, state, 0, 0];
        ends.iter().for_each(|(_, port)| bytes.extend(port.to_be_bytes()));
        for (address, _) in ends {
            let mut field = [0; 16];
            field[..address.len()].copy_from_slice(address);
            bytes.extend(field);
        }
        bytes.extend([0; 4 + 8 + 12]);
        bytes.extend(uid.to_ne_bytes());
        bytes.extend(inode.to_ne_bytes());
        bytes.extend(5_u16.to_ne_bytes());
        bytes.extend(200_u16.to_ne_bytes());
        bytes.extend([9, 0, 0, 0]);
        bytes.extend(12_u16.to_ne_bytes());
        bytes.extend(CGROUP_ID.to_ne_bytes());
        bytes.extend(4711_u64.to_ne_bytes());
        bytes
    }

    #[test]
    fn a_mapped_address_is_ipv4s() {
        let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1];
        let peer = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 9];
        let socket =
            Socket::parse(&answer(AF_INET6, 1, [(&mapped, 40_000), (&peer, 443)], 10_123, 77)).unwrap();
        let wanted = Socket {
            local: end("10.0.0.1:40000"),
            remote: Some(end("192.0.2.9:443")),
            listening: false,
            uid: Some(10_123),
            inode: 77,
            cgroup: Some(4711),
        };
        assert_eq!(socket, wanted);
    }

    #[test]
    fn listening_and_unconnected_sockets_have_no_other_end() {
        let any = [0; 16];
        let socket = Socket::parse(&answer(AF_INET6, TCP_LISTEN, [(&any, 80), (&any, 0)], 0, 9)).unwrap();
        assert_eq!((socket.local, socket.remote, socket.listening), (end("[::]:80"), None, true));
        assert_eq!(socket.uid, Some(0));
        let socket =
            Socket::parse(&answer(AF_INET, 7, [(&any[..4], 53), (&any[..4], 0)], 65_534, 9)).unwrap();
        assert_eq!((socket.local, socket.remote, socket.listening), (end("0.0.0.0:53"), None, false));
        assert_eq!(socket.uid, None);
    }

    #[test]
    fn what_is_cut_is_no_socket() {
        let whole = answer(AF_INET, 1, [(&[10, 0, 0, 1], 1), (&[10, 0, 0, 2], 2)], 1, 1);
        assert_eq!(whole.len(), HEADER + 8 + 12);
        assert!((0..HEADER).all(|length| Socket::parse(&whole[..length]).is_none()));
        assert_eq!(Socket::parse(&whole[..HEADER + 9]).unwrap().cgroup, None);
    }

    #[test]
    fn udp_is_asked_for_with_its_ends_swapped() {
        let ask = |transport, family| {
            let request = Request::Exact {
                family,
                transport,
                local: end("10.0.0.1:4000"),
                remote: end("192.0.2.9:53"),
            };
            request.encode(7)
        };
        let ports = |bytes: &[u8]| {
            [&bytes[24..26], &bytes[26..28]].map(|port| u16::from_be_bytes([port[0], port[1]]))
        };
        assert_eq!(ports(&ask(Transport::Tcp, Family::V4)), [4000, 53]);
        let udp = ask(Transport::Udp, Family::V6);
        assert_eq!(ports(&udp), [53, 4000]);
        assert_eq!(udp[28..44], "::ffff:192.0.2.9".parse::<Ipv6Addr>().unwrap().octets());
        assert_eq!((udp.len(), &udp[8..12]), (72, &7_u32.to_ne_bytes()[..]));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..160)) {
            Socket::parse(&bytes);
        }

        #[test]
        fn no_attributes_make_it_panic(tail in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut bytes = answer(AF_INET, 1, [(&[10, 0, 0, 1], 1), (&[10, 0, 0, 2], 2)], 1, 1);
            bytes.truncate(HEADER);
            bytes.extend(tail);
            prop_assert!(Socket::parse(&bytes).is_some());
        }
    }
}
