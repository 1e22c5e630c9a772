//! Interfaces and tc filters over rtnetlink: lists, changes, removal.
//!
//! Of each message the few fields that are needed are read, through netlink-packet-core's attributes; an attribute that
//! nobody knows hides no interface. Filters are added by aya.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use netlink_packet_core::{NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer, NlaBuffer, NlasIterator};
use observer_ebpf_common::TC_PRIORITY;
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with,
};

/// Message types (`include/uapi/linux/rtnetlink.h`).
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWQDISC: u16 = 36;
const RTM_DELQDISC: u16 = 37;
const RTM_GETQDISC: u16 = 38;
const RTM_NEWTFILTER: u16 = 44;
const RTM_DELTFILTER: u16 = 45;
const RTM_GETTFILTER: u16 = 46;

/// `NETLINK_ROUTE` is protocol 0, which is what none stands for.
const ROUTE: Option<Protocol> = None;

/// Flags of a request (`include/uapi/linux/netlink.h`).
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_DUMP: u16 = 0x300;

/// The group that is told of interfaces (`RTMGRP_LINK`).
const GROUP_LINK: u32 = 1;

/// Attributes.
const IFLA_IFNAME: u16 = 3;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_BPF_NAME: u16 = 7;
const TCA_BPF_ID: u16 = 11;

/// Where filters hang (`include/uapi/linux/pkt_sched.h`).
const CLSACT: u32 = 0xffff_fff1;
const CLSACT_INGRESS: u32 = 0xffff_fff2;
const CLSACT_EGRESS: u32 = 0xffff_fff3;
/// The clsact qdisc's own handle, `ffff:`.
const CLSACT_HANDLE: u32 = 0xffff_0000;

/// `ETH_P_ALL` in network order.
const ALL_PROTOCOLS: u16 = 3_u16.to_be();

/// The interface is up.
const IFF_UP: u32 = 1;

/// A kernel answers at once; one that does not has lost the answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Room for a datagram: the kernel makes none greater in a dump.
const BUFFER: usize = 64 << 10;

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Interface {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) up: bool,
    /// What its packets begin with (`ARPHRD_…` of `include/uapi/linux/if_arp.h`).
    pub(super) hardware: u16,
}

/// A filter at tc egress that runs a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filter {
    pub(super) handle: u32,
    pub(super) priority: u16,
    pub(super) name: String,
    /// The program's id, where the kernel tells it (4.13).
    pub(super) program: Option<u32>,
}

/// A socket that asks and waits for the answer.
#[derive(Debug)]
pub(super) struct Rtnetlink {
    socket: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Rtnetlink {
    /// Opens a socket in the network namespace of the calling thread.
    pub(super) fn open() -> io::Result<Self> {
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, ROUTE)?;
        bind(&socket, &SocketAddrNetlink::new(0, 0))?;
        set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
        Ok(Self { socket, sequence: 0, buffer: Vec::with_capacity(BUFFER) })
    }

    /// All interfaces.
    pub(super) fn interfaces(&mut self) -> io::Result<Vec<Interface>> {
        let mut interfaces = Vec::new();
        self.ask(RTM_GETLINK, NLM_F_DUMP, &[0; 16], |kind, payload| {
            if kind == RTM_NEWLINK {
                interfaces.extend(interface(payload));
            }
        })?;
        Ok(interfaces)
    }

    /// The programs at egress of an interface that has a clsact qdisc.
    pub(super) fn egress_filters(&mut self, interface: u32) -> io::Result<Vec<Filter>> {
        let mut filters = Vec::new();
        self.filters(interface, CLSACT_EGRESS, |payload| filters.extend(filter(payload)))?;
        Ok(filters)
    }

    /// Whether a qdisc clsact is there.
    pub(super) fn has_clsact(&mut self, interface: u32) -> io::Result<bool> {
        let mut found = false;
        self.ask(RTM_GETQDISC, NLM_F_DUMP, &traffic(interface, 0, 0, 0), |kind, payload| {
            let index = word(payload, 4);
            let clsact =
                attributes(payload, 20).any(|(kind, value)| kind == TCA_KIND && value == b"clsact\0");
            found |= kind == RTM_NEWQDISC && index == Some(interface) && clsact;
        })?;
        Ok(found)
    }

    /// Removes our filter of this handle.
    pub(super) fn remove_filter(&mut self, interface: u32, handle: u32) -> io::Result<()> {
        let info = u32::from(TC_PRIORITY) << 16 | u32::from(ALL_PROTOCOLS);
        let message = traffic(interface, handle, CLSACT_EGRESS, info);
        self.ask(RTM_DELTFILTER, NLM_F_ACK, &message, |_, _| {})
    }

    /// Removes the qdisc clsact, unless a filter hangs on it; whether it was removed.
    pub(super) fn remove_empty_clsact(&mut self, interface: u32) -> io::Result<bool> {
        for parent in [CLSACT_EGRESS, CLSACT_INGRESS] {
            let mut count = 0_u32;
            self.filters(interface, parent, |_| count = count.saturating_add(1))?;
            if count > 0 {
                return Ok(false);
            }
        }
        self.ask(RTM_DELQDISC, NLM_F_ACK, &traffic(interface, CLSACT_HANDLE, CLSACT, 0), |_, _| {})?;
        Ok(true)
    }

    fn filters(&mut self, interface: u32, parent: u32, mut take: impl FnMut(&[u8])) -> io::Result<()> {
        self.ask(RTM_GETTFILTER, NLM_F_DUMP, &traffic(interface, 0, parent, 0), |kind, payload| {
            if kind == RTM_NEWTFILTER {
                take(payload);
            }
        })
    }

    /// Sends a request and hands over each message of the answer, as type and payload.
    fn ask(
        &mut self,
        kind: u16,
        flags: u16,
        payload: &[u8],
        mut take: impl FnMut(u16, &[u8]),
    ) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        send(
            &self.socket,
            &request(kind, flags | NLM_F_REQUEST, self.sequence, payload),
            SendFlags::empty(),
        )?;
        loop {
            self.buffer.clear();
            match recv(&self.socket, spare_capacity(&mut self.buffer), RecvFlags::empty()) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            if let Some(end) = read(&self.buffer, self.sequence, &mut take) {
                return end;
            }
        }
    }
}

/// A socket that is told when interfaces change. Never waits.
#[derive(Debug)]
pub(super) struct Changes {
    socket: OwnedFd,
}

impl Changes {
    /// Opens a socket in the network namespace of the calling thread.
    pub(super) fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, ROUTE)?;
        bind(&socket, &SocketAddrNetlink::new(0, GROUP_LINK))?;
        Ok(Self { socket })
    }

    /// Whether anything has changed since the last call. What it was, a list tells: messages can be lost.
    pub(super) fn any(&self) -> io::Result<bool> {
        let mut changed = false;
        let mut byte = [0_u8; 1];
        loop {
            match recv(&self.socket, &mut byte, RecvFlags::empty()) {
                Ok(_) | Err(Errno::NOBUFS) => changed = true,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(changed),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// A message: `struct nlmsghdr` and what follows it.
fn request(kind: u16, flags: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap_or(0).saturating_add(16);
    let mut message = Vec::with_capacity(payload.len().saturating_add(16));
    message.extend(len.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend(sequence.to_ne_bytes());
    message.extend([0; 4]);
    message.extend(payload);
    message
}

/// `struct tcmsg`.
fn traffic(interface: u32, handle: u32, parent: u32, info: u32) -> [u8; 20] {
    let mut message = [0; 20];
    let fields = [interface, handle, parent, info];
    for (bytes, field) in message.iter_mut().skip(4).zip(fields.into_iter().flat_map(u32::to_ne_bytes)) {
        *bytes = field;
    }
    message
}

/// Reads one datagram; how the answer ended, if it did.
fn read(datagram: &[u8], sequence: u32, take: &mut impl FnMut(u16, &[u8])) -> Option<io::Result<()>> {
    let mut rest = datagram;
    while let Ok(message) = NetlinkBuffer::new_checked(rest) {
        let (kind, payload) = (message.message_type(), message.payload());
        if message.sequence_number() == sequence {
            match kind {
                NLMSG_DONE => return Some(Ok(())),
                NLMSG_ERROR => return Some(error(payload)),
                _ => take(kind, payload),
            }
        }
        let len = usize::try_from(message.length()).unwrap_or(usize::MAX).next_multiple_of(4);
        rest = rest.get(len..).unwrap_or_default();
    }
    None
}

/// `struct nlmsgerr`: 0 acknowledges.
fn error(payload: &[u8]) -> io::Result<()> {
    match word(payload, 0).map(u32::cast_signed) {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(code.saturating_neg())),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn word(payload: &[u8], at: usize) -> Option<u32> {
    payload.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes)
}

/// The attributes behind a header of `header` bytes, as type and value.
fn attributes(payload: &[u8], header: usize) -> impl Iterator<Item = (u16, &[u8])> {
    NlasIterator::new(payload.get(header..).unwrap_or_default()).map_while(Result::ok).map(
        |attribute: NlaBuffer<&[u8]>| {
            let (kind, len) = (attribute.kind(), usize::from(attribute.length()));
            (kind, attribute.into_inner().get(4..len).unwrap_or_default())
        },
    )
}

fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(value.get(..end).unwrap_or_default()).into_owned()
}

/// `struct ifinfomsg` and its name.
fn interface(payload: &[u8]) -> Option<Interface> {
    let hardware = payload.get(2..)?.first_chunk().copied().map(u16::from_ne_bytes)?;
    let index = word(payload, 4)?;
    let up = word(payload, 8)? & IFF_UP != 0;
    let (_, name) = attributes(payload, 16).find(|(kind, _)| *kind == IFLA_IFNAME)?;
    Some(Interface { index, name: text(name), up, hardware })
}

/// `struct tcmsg` of a filter that runs a program.
fn filter(payload: &[u8]) -> Option<Filter> {
    let handle = word(payload, 8)?;
    let [_, _, low, high] = word(payload, 16)?.to_le_bytes();
    let priority = u16::from_le_bytes([low, high]);
    attributes(payload, 20).find(|(kind, value)| *kind == TCA_KIND && *value == b"bpf\0")?;
    let (_, options) = attributes(payload, 20).find(|(kind, _)| *kind == TCA_OPTIONS)?;
    let (_, name) = attributes(options, 0).find(|(kind, _)| *kind == TCA_BPF_NAME)?;
    let program = attributes(options, 0).find(|(kind, _)| *kind == TCA_BPF_ID);
    let program = program.and_then(|(_, value)| word(value, 0));
    Some(Filter { handle, priority, name: text(name), program })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_says_its_length() {
        let message = request(RTM_DELTFILTER, NLM_F_ACK, 7, &traffic(3, 0x6f62, CLSACT_EGRESS, 9));
        assert_eq!(message.len(), 36);
        let read = NetlinkBuffer::new_checked(message.as_slice()).unwrap();
        assert_eq!((read.length(), read.message_type(), read.sequence_number()), (36, RTM_DELTFILTER, 7));
        assert_eq!((word(read.payload(), 4), word(read.payload(), 8)), (Some(3), Some(0x6f62)));
        assert_eq!((word(read.payload(), 12), word(read.payload(), 16)), (Some(CLSACT_EGRESS), Some(9)));
    }

    #[test]
    fn an_interface_needs_its_header_and_a_name() {
        let mut message = vec![0, 0, 1, 0];
        message.extend(5_u32.to_ne_bytes());
        message.extend(IFF_UP.to_ne_bytes());
        message.extend([0; 4]);
        assert_eq!(interface(&message), None);
        // An attribute that nobody knows, then the name.
        message.extend([5, 0, 0xff, 0x0f, 1, 0, 0, 0]);
        message.extend([9, 0, 3, 0, b'e', b't', b'h', b'0', 0, 0, 0, 0]);
        let found = interface(&message).unwrap();
        let hardware = u16::from_ne_bytes([1, 0]);
        assert_eq!(found, Interface { index: 5, name: "eth0".to_owned(), up: true, hardware });
        for len in 0..28 {
            assert_eq!(interface(&message[..len]), None, "{len} bytes");
        }
    }

    #[test]
    fn an_error_is_the_kernel_s_own() {
        let message = request(NLMSG_ERROR, 0, 4, &(-17_i32).to_ne_bytes());
        let end = read(&message, 4, &mut |_, _| {}).unwrap();
        assert_eq!(end.unwrap_err().raw_os_error(), Some(17));
        assert!(read(&message, 5, &mut |_, _| {}).is_none(), "another request's");
        assert!(read(&message[..12], 4, &mut |_, _| {}).is_none(), "cut");
    }
}
