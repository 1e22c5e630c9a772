//! What the kernel programs and the user side agree on: records, names, numbers, sizes of maps.
//!
//! Integers of fixed width and arrays of bytes only, every byte of padding named, every size and offset asserted when
//! it is compiled. Integers are in the machine's own order, addresses in the network's: both sides run on one machine.
//! The kernel side reads nothing from here but layouts; the user side reads records through [`Event::from_bytes`],
//! which trusts nothing.

#![no_std]

#[cfg(all(feature = "user", target_os = "linux"))]
pub mod user;

use core::mem::{offset_of, size_of};

/// The programs at tc egress, best first: their names, which `tc filter show` and `bpftool` print (15 bytes of them).
pub mod program {
    /// tc egress: ring buffer, boot time, cgroup id. Interfaces with an Ethernet header.
    pub const EGRESS: &str = "observer_egress";
    /// The same where `bpf_skb_cgroup_id` is missing.
    pub const EGRESS_NO_CGROUP: &str = "observer_egress_no_cgroup";
    /// The same for kernels before 5.8: perf buffer, monotonic time, no cgroup id.
    pub const EGRESS_LEGACY: &str = "observer_egress_legacy";
    /// [`EGRESS`] for interfaces whose packets begin with the IP header.
    pub const EGRESS_IP: &str = "observer_egress_ip";
    /// [`EGRESS_NO_CGROUP`] for interfaces whose packets begin with the IP header.
    pub const EGRESS_IP_NO_CGROUP: &str = "observer_egress_ip_no_cgroup";
    /// [`EGRESS_LEGACY`] for interfaces whose packets begin with the IP header.
    pub const EGRESS_IP_LEGACY: &str = "observer_egress_ip_legacy";
    /// What the names of all programs at tc egress begin with, and all that the kernel keeps of most: a filter of this
    /// name, [`super::TC_PRIORITY`] and [`super::TC_HANDLE`] is ours.
    pub const EGRESS_PREFIX: &str = "observer_egress";
    /// `sock:inet_sock_set_state` as kernels since 5.6 lay it out.
    pub const STATE: &str = "observer_state";
    /// The same with a perf buffer (kernels 5.6 and 5.7).
    pub const STATE_LEGACY: &str = "observer_state_legacy";
    /// `sock:inet_sock_set_state` with one byte for the protocol (kernels before 5.6), with a perf buffer.
    pub const STATE_BYTE_LEGACY: &str = "observer_state_byte_legacy";
    /// cgroup `connect4`.
    pub const CONNECT4: &str = "observer_connect4";
    /// cgroup `connect6`.
    pub const CONNECT6: &str = "observer_connect6";
    /// cgroup `sendmsg4`: UDP without a connection.
    pub const SENDMSG4: &str = "observer_sendmsg4";
    /// cgroup `sendmsg6`: UDP without a connection.
    pub const SENDMSG6: &str = "observer_sendmsg6";
    /// cgroup `sock_create`.
    pub const SOCK_CREATE: &str = "observer_create";
    /// cgroup `post_bind4`.
    pub const POST_BIND4: &str = "observer_bind4";
    /// cgroup `post_bind6`.
    pub const POST_BIND6: &str = "observer_bind6";
}

/// The maps, as symbols of the object.
pub mod map {
    /// Ring buffer of [`super::Event`].
    pub const EVENTS: &str = "EVENTS";
    /// Perf buffers of [`super::Event`], for kernels without a ring buffer.
    pub const EVENTS_PERF: &str = "EVENTS_PERF";
    /// [`super::FlowKey`] to [`super::FlowState`], least recently used.
    pub const FLOWS: &str = "FLOWS";
    /// Socket cookie to [`super::Process`], least recently used.
    pub const PROCESSES: &str = "PROCESSES";
    /// Address of a kernel socket that is connecting to [`super::Process`], least recently used.
    pub const CONNECTING: &str = "CONNECTING";
    /// [`super::Counter`]s, for each processor.
    pub const COUNTERS: &str = "COUNTERS";
}

/// The priority (`pref`) of our tc filter. Free at egress on Android, and before the `clat` filter's 4.
pub const TC_PRIORITY: u16 = 1;
/// The handle of our tc filter: `ob`.
pub const TC_HANDLE: u32 = 0x6f62;
/// The handle of our tc filter on a clsact qdisc that was made for it, and goes with it if nothing else is there.
pub const TC_HANDLE_OWN_QDISC: u32 = 0x6f63;

/// Bytes of the ring buffer: 4,500 events; the user side reads several times a second.
pub const RING_BYTES: u32 = 512 * 1024;
/// Flows that are told apart from new ones. An evicted one is reported again with its next packet.
pub const MAX_FLOWS: u32 = 65_536;
/// Sockets whose process is known.
pub const MAX_PROCESSES: u32 = 65_536;
/// Sockets between `SYN_SENT` and the state after it.
pub const MAX_CONNECTING: u32 = 4_096;

/// IPv4, in [`FlowKey::family`].
pub const FAMILY_IPV4: u8 = 4;
/// IPv6, in [`FlowKey::family`].
pub const FAMILY_IPV6: u8 = 6;

/// The uid that stands for "unknown" where a socket is not a full one, and for a user named `nobody` where it is.
pub const UID_OVERFLOW: u32 = 65_534;
/// The uid that stands for none.
pub const UID_INVALID: u32 = u32::MAX;

/// A tuple and the socket that sends from it. The local end is the source.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FlowKey {
    /// The sender: 16 bytes, or 4 and zeros.
    pub source: [u8; 16],
    /// The receiver: 16 bytes, or 4 and zeros.
    pub destination: [u8; 16],
    /// The socket's cookie: unique until the machine restarts; 0 where the program cannot know it.
    pub cookie: u64,
    /// TCP, UDP: the port. ICMP echo: the identifier. Else 0.
    pub source_port: u16,
    /// TCP, UDP: the port. ICMP echo: the identifier. Else 0.
    pub destination_port: u16,
    /// The IP protocol number.
    pub protocol: u8,
    /// [`FAMILY_IPV4`] or [`FAMILY_IPV6`].
    pub family: u8,
    /// Always zero: the kernel compares keys byte for byte.
    pub padding: [u8; 2],
}

/// What is kept of a flow.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowState {
    /// When the last packet passed, on the clock of [`Event::time`].
    pub last_seen: u64,
    /// Packets that passed. Two processors that count at once count once.
    pub packets: u64,
    /// The owner that was reported.
    pub uid: u32,
    /// Always zero.
    pub padding: u32,
}

/// The process that used a socket.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// The process id, as the initial namespace has it; 0 for unknown.
    pub pid: u32,
    /// The thread's id.
    pub thread: u32,
    /// The uid that the thread acts as: not always the socket's.
    pub uid: u32,
    /// Always zero.
    pub padding: u32,
    /// The thread's name: up to 15 bytes and zeros.
    pub name: [u8; 16],
}

/// What an event tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// The first packet of a tuple and cookie, or the first one after the socket changed its owner.
    Egress = 1,
    /// A TCP socket left `SYN_SENT`: its tuple and the process that connected it.
    Connected = 2,
    /// A TCP socket listens: its local end and the process.
    Listening = 3,
    /// A socket was bound to a local end, which is all that is known of it.
    Bound = 4,
}

impl Kind {
    /// The kind of a number, if there is one.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Egress),
            2 => Some(Self::Connected),
            3 => Some(Self::Listening),
            4 => Some(Self::Bound),
            _ => None,
        }
    }
}

/// [`Event::flags`]: the time is `CLOCK_MONOTONIC`, not `CLOCK_BOOTTIME`.
pub const FLAG_MONOTONIC: u32 = 1;
/// [`Event::flags`]: the flow was reported before, with another uid.
pub const FLAG_OWNER_CHANGED: u32 = 2;
/// [`Event::flags`]: [`Event::cgroup`] is known.
pub const FLAG_CGROUP: u32 = 4;
/// [`Event::flags`]: [`Event::uid`] is known.
pub const FLAG_UID: u32 = 8;

/// What a program reports.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// A [`Kind`].
    pub kind: u32,
    /// `FLAG_…`, or-ed.
    pub flags: u32,
    /// Nanoseconds since the machine started.
    pub time: u64,
    /// Who sends to whom from which socket. Without a receiver in [`Kind::Listening`] and [`Kind::Bound`].
    pub key: FlowKey,
    /// The socket's cgroup, version 2.
    pub cgroup: u64,
    /// The socket's owner.
    pub uid: u32,
    /// The interface's index; 0 where the program cannot know it.
    pub interface: u32,
    /// The process that used the socket last; its `pid` is 0 if unknown.
    pub process: Process,
}

/// What is counted, for each processor: indices of the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Counter {
    /// Events for which the buffer had no room. The flow is reported with its next packet.
    Lost = 0,
    /// Events reported.
    Reported = 1,
    /// Packets without a socket: forwarded, or made by the kernel.
    NoSocket = 2,
    /// Packets of sockets that are no full ones (time-wait), on flows not reported yet.
    NotFull = 3,
    /// Packets that a socket of the kernel's own sent for a flow: RST, ICMP other than echo requests.
    Kernel = 4,
    /// Fragments other than the first.
    Fragment = 5,
    /// Packets that are not IP, or are cut within their headers.
    Unparsed = 6,
    /// Entries that a full map refused.
    Refused = 7,
}

/// How many [`Counter`]s there are.
pub const COUNTERS: u32 = 8;

impl Event {
    /// Bytes of an event.
    pub const SIZE: usize = size_of::<Self>();

    /// Reads an event; bytes after it are padding.
    ///
    /// `None` if `bytes` are too few, or kind or family have no meaning.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let kind = fields.u32()?;
        let flags = fields.u32()?;
        let time = fields.u64()?;
        let key = fields.key()?;
        let cgroup = fields.u64()?;
        let uid = fields.u32()?;
        let interface = fields.u32()?;
        let process = fields.process()?;
        Kind::from_number(kind)?;
        matches!(key.family, FAMILY_IPV4 | FAMILY_IPV6).then_some(())?;
        Some(Self { kind, flags, time, key, cgroup, uid, interface, process })
    }
}

/// Takes fields off the front of a record, in their order.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_ne_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_ne_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_ne_bytes)
    }

    fn key(&mut self) -> Option<FlowKey> {
        let source = self.take()?;
        let destination = self.take()?;
        let cookie = self.u64()?;
        let source_port = self.u16()?;
        let destination_port = self.u16()?;
        let [protocol, family] = self.take()?;
        let padding = self.take()?;
        Some(FlowKey {
            source,
            destination,
            cookie,
            source_port,
            destination_port,
            protocol,
            family,
            padding,
        })
    }

    fn process(&mut self) -> Option<Process> {
        let pid = self.u32()?;
        let thread = self.u32()?;
        let uid = self.u32()?;
        let padding = self.u32()?;
        Some(Process { pid, thread, uid, padding, name: self.take()? })
    }
}

// Both sides are compiled by themselves, for different machines: a layout that differs fails here.
const _: () = assert!(size_of::<FlowKey>() == 48);
const _: () = assert!(offset_of!(FlowKey, cookie) == 32);
const _: () = assert!(offset_of!(FlowKey, source_port) == 40);
const _: () = assert!(offset_of!(FlowKey, protocol) == 44);
const _: () = assert!(size_of::<FlowState>() == 24);
const _: () = assert!(size_of::<Process>() == 32);
const _: () = assert!(offset_of!(Process, name) == 16);
const _: () = assert!(size_of::<Event>() == 112);
const _: () = assert!(offset_of!(Event, time) == 8);
const _: () = assert!(offset_of!(Event, key) == 16);
const _: () = assert!(offset_of!(Event, cgroup) == 64);
const _: () = assert!(offset_of!(Event, uid) == 72);
const _: () = assert!(offset_of!(Event, process) == 80);

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes of an event with a different value in every byte that has a meaning.
    fn bytes() -> [u8; Event::SIZE] {
        let mut bytes = [0; Event::SIZE];
        for (byte, value) in bytes.iter_mut().zip(0..) {
            *byte = value;
        }
        bytes[..4].copy_from_slice(&1_u32.to_ne_bytes());
        bytes[61] = FAMILY_IPV6;
        bytes
    }

    #[test]
    fn every_field_is_read_from_where_the_compiler_lays_it() {
        let event = Event::from_bytes(&bytes()).unwrap();
        let u32_at = |at: u8| u32::from_ne_bytes([at, at + 1, at + 2, at + 3]);
        let u64_at = |at: u8| {
            let mut bytes = [0; 8];
            bytes.iter_mut().zip(at..).for_each(|(byte, value)| *byte = value);
            u64::from_ne_bytes(bytes)
        };
        assert_eq!(event.kind, 1);
        assert_eq!(usize::from(event.key.source[0]), offset_of!(Event, key));
        assert_eq!(event.flags, u32_at(4));
        assert_eq!(event.time, u64_at(8));
        assert_eq!(event.key.destination[0], 32);
        assert_eq!(event.key.cookie, u64_at(48));
        assert_eq!(event.key.source_port, u16::from_ne_bytes([56, 57]));
        assert_eq!(event.key.destination_port, u16::from_ne_bytes([58, 59]));
        assert_eq!((event.key.protocol, event.key.family), (60, FAMILY_IPV6));
        assert_eq!(event.cgroup, u64_at(64));
        assert_eq!((event.uid, event.interface), (u32_at(72), u32_at(76)));
        assert_eq!((event.process.pid, event.process.thread), (u32_at(80), u32_at(84)));
        assert_eq!(event.process.uid, u32_at(88));
        assert_eq!(event.process.name[0], 96);
    }

    #[test]
    fn what_is_short_or_has_no_meaning_is_no_event() {
        let whole = bytes();
        for len in 0..Event::SIZE {
            assert_eq!(Event::from_bytes(&whole[..len]), None, "{len} bytes");
        }
        let mut unknown_kind = whole;
        unknown_kind[..4].copy_from_slice(&5_u32.to_ne_bytes());
        assert_eq!(Event::from_bytes(&unknown_kind), None);
        let mut unknown_family = whole;
        unknown_family[61] = 10;
        assert_eq!(Event::from_bytes(&unknown_family), None);
    }
}
