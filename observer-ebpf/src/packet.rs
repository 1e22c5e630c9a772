//! From a packet to its tuple: Ethernet or IP first, IPv4 or IPv6, ports. No byte of a payload is read.

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::generated::bpf_skb_load_bytes;
use aya_ebpf::programs::TcContext;
use observer_ebpf_common::{Counter, FAMILY_IPV4, FAMILY_IPV6, FlowKey};

/// IP protocol numbers (IANA "Protocol Numbers").
pub(crate) const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;

/// Ethernet types (IEEE 802).
const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_SERVICE_VLAN: u16 = 0x88a8;

/// Types of an echo request (RFC 792, RFC 4443).
const ECHO: u8 = 8;
const ECHO_V6: u8 = 128;

/// VLAN tags in the frame's bytes; a tag that the interface inserts later is not in them.
const MAX_TAGS: usize = 2;
/// Extension headers before the transport header.
const MAX_EXTENSIONS: usize = 6;

/// Where the IP header begins and which it is.
struct Network {
    offset: usize,
    family: u8,
}

/// Fills in the tuple of a packet, or says what to count it as. The key is filled in place: it is zeros before, and the
/// stack of a program has no room for copies.
#[inline(always)]
pub(crate) fn tuple<const ETHERNET: bool>(packet: &TcContext, key: &mut FlowKey) -> Result<(), Counter> {
    if usual::<ETHERNET>(packet, key) {
        return Ok(());
    }
    let network = if ETHERNET { behind_ethernet(packet)? } else { bare(packet)? };
    key.family = network.family;
    if network.family == FAMILY_IPV4 {
        ipv4(packet, network.offset, key)
    } else {
        ipv6(packet, network.offset, key)
    }
}

/// The usual packet, IPv4 without options or IPv6 without extension headers with TCP or UDP in it, read in place; false
/// for any other, of which nothing is filled in. Helpers read any packet, but a call costs what all of this does.
#[inline(always)]
fn usual<const ETHERNET: bool>(packet: &TcContext, key: &mut FlowKey) -> bool {
    let (start, end) = (packet.data(), packet.data_end());
    let network = if ETHERNET { 14 } else { 0 };
    if start + network + IPV4_AND_PORTS > end {
        return false;
    }
    let at = |offset: usize| (start + network + offset) as *const u8;
    // SAFETY: the verifier has seen that the packet is that long; packets are read at any address.
    let [first, protocol4, next6] = unsafe { [*at(0), *at(9), *at(6)] };
    if first == 0x45 && matches!(protocol4, TCP | UDP) {
        // SAFETY: as above.
        let fragment = u16::from_be(unsafe { at(6).cast::<u16>().read_unaligned() });
        if fragment & 0x1fff != 0 || (ETHERNET && !is_ethertype(start, ETHERTYPE_IPV4)) {
            return false;
        }
        // SAFETY: as above.
        unsafe {
            copy::<4>(at(12), &mut key.source);
            copy::<4>(at(16), &mut key.destination);
        }
        key.family = FAMILY_IPV4;
        key.protocol = protocol4;
        // SAFETY: as above.
        unsafe { ports(at(20), key) };
        return true;
    }
    if first >> 4 != 6 || !matches!(next6, TCP | UDP) || start + network + IPV6_AND_PORTS > end {
        return false;
    }
    if ETHERNET && !is_ethertype(start, ETHERTYPE_IPV6) {
        return false;
    }
    // SAFETY: the verifier has seen that the packet is that long.
    unsafe {
        copy::<16>(at(8), &mut key.source);
        copy::<16>(at(24), &mut key.destination);
    }
    key.family = FAMILY_IPV6;
    key.protocol = next6;
    // SAFETY: as above.
    unsafe { ports(at(40), key) };
    true
}

/// Bytes of an IPv4 header without options and two ports.
const IPV4_AND_PORTS: usize = 24;
/// Bytes of an IPv6 header and two ports.
const IPV6_AND_PORTS: usize = 44;

/// Whether the frame at `start`, of 14 bytes or more, says what it carries.
#[inline(always)]
fn is_ethertype(start: usize, ethertype: u16) -> bool {
    // SAFETY: the caller has compared the frame's length.
    u16::from_be(unsafe { ((start + 12) as *const u16).read_unaligned() }) == ethertype
}

/// Copies `N` bytes of the packet, by words.
///
/// # Safety
/// The packet has them.
#[inline(always)]
unsafe fn copy<const N: usize>(from: *const u8, to: &mut [u8; 16]) {
    for index in 0..N / 4 {
        // SAFETY: the caller's word for `from`; `to` has 16 bytes, aligned as the key is.
        unsafe {
            let word = from.add(4 * index).cast::<u32>().read_unaligned();
            to.as_mut_ptr().add(4 * index).cast::<u32>().write(word);
        }
    }
}

/// # Safety
/// The packet has four bytes there.
#[inline(always)]
unsafe fn ports(from: *const u8, key: &mut FlowKey) {
    // SAFETY: the caller's word.
    unsafe {
        key.source_port = u16::from_be(from.cast::<u16>().read_unaligned());
        key.destination_port = u16::from_be(from.add(2).cast::<u16>().read_unaligned());
    }
}

#[inline(always)]
fn load<T>(packet: &TcContext, offset: usize) -> Result<T, Counter> {
    packet.load(offset).map_err(|_errno| Counter::Unparsed)
}

/// Loads into a part of the key, without a copy on the stack.
#[inline(always)]
fn load_into(packet: &TcContext, offset: usize, field: &mut [u8]) -> Result<(), Counter> {
    // SAFETY: the helper writes `field.len()` bytes to `field`, or none.
    let result = unsafe {
        bpf_skb_load_bytes(packet.as_ptr(), offset as u32, field.as_mut_ptr().cast(), field.len() as u32)
    };
    if result == 0 { Ok(()) } else { Err(Counter::Unparsed) }
}

#[inline(always)]
fn behind_ethernet(packet: &TcContext) -> Result<Network, Counter> {
    let mut offset = 12;
    for _ in 0..=MAX_TAGS {
        let ethertype = u16::from_be_bytes(load(packet, offset)?);
        offset += 2;
        match ethertype {
            ETHERTYPE_IPV4 => return Ok(Network { offset, family: FAMILY_IPV4 }),
            ETHERTYPE_IPV6 => return Ok(Network { offset, family: FAMILY_IPV6 }),
            ETHERTYPE_VLAN | ETHERTYPE_SERVICE_VLAN => offset += 2,
            _ => return Err(Counter::Unparsed),
        }
    }
    Err(Counter::Unparsed)
}

#[inline(always)]
fn bare(packet: &TcContext) -> Result<Network, Counter> {
    match load::<u8>(packet, 0)? >> 4 {
        4 => Ok(Network { offset: 0, family: FAMILY_IPV4 }),
        6 => Ok(Network { offset: 0, family: FAMILY_IPV6 }),
        _ => Err(Counter::Unparsed),
    }
}

#[inline(always)]
fn ipv4(packet: &TcContext, offset: usize, key: &mut FlowKey) -> Result<(), Counter> {
    let [first, .., f1, f0, _ttl, protocol]: [u8; 10] = load(packet, offset)?;
    let len = usize::from(first & 0xf) * 4;
    if first >> 4 != 4 || len < 20 {
        return Err(Counter::Unparsed);
    }
    if u16::from_be_bytes([f1, f0]) & 0x1fff != 0 {
        return Err(Counter::Fragment);
    }
    load_into(packet, offset + 12, &mut key.source[..4])?;
    load_into(packet, offset + 16, &mut key.destination[..4])?;
    transport(packet, key, protocol, offset + len)
}

#[inline(always)]
fn ipv6(packet: &TcContext, offset: usize, key: &mut FlowKey) -> Result<(), Counter> {
    let header: [u8; 8] = load(packet, offset)?;
    if header[0] >> 4 != 6 {
        return Err(Counter::Unparsed);
    }
    load_into(packet, offset + 8, &mut key.source)?;
    load_into(packet, offset + 24, &mut key.destination)?;
    let mut next = header[6];
    let mut offset = offset + 40;
    for _ in 0..MAX_EXTENSIONS {
        let len = match next {
            HOP_BY_HOP | ROUTING | DESTINATION => 8,
            FRAGMENT => 0,
            AUTHENTICATION => 4,
            _ => return transport(packet, key, next, offset),
        };
        let extension: [u8; 4] = load(packet, offset)?;
        if len == 0 && u16::from_be_bytes([extension[2], extension[3]]) & 0xfff8 != 0 {
            return Err(Counter::Fragment);
        }
        next = extension[0];
        // RFC 8200 §4: units of eight bytes after the first eight; RFC 4302 §2.2: of four after the first eight.
        offset += 8 + usize::from(extension[1]) * len;
    }
    Err(Counter::Unparsed)
}

#[inline(always)]
fn transport(packet: &TcContext, key: &mut FlowKey, protocol: u8, offset: usize) -> Result<(), Counter> {
    key.protocol = protocol;
    match protocol {
        TCP | UDP => {
            let ports: [u8; 4] = load(packet, offset)?;
            key.source_port = u16::from_be_bytes([ports[0], ports[1]]);
            key.destination_port = u16::from_be_bytes([ports[2], ports[3]]);
        }
        ICMP | ICMPV6 => {
            let header: [u8; 8] = load(packet, offset)?;
            let request = if protocol == ICMP { ECHO } else { ECHO_V6 };
            // Errors, answers and neighbour discovery come from the kernel's own sockets.
            if header[0] != request {
                return Err(Counter::Kernel);
            }
            key.source_port = u16::from_be_bytes([header[4], header[5]]);
            key.destination_port = key.source_port;
        }
        _ => {}
    }
    Ok(())
}
