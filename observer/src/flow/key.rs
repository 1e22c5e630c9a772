//! Flow identity: the five-tuple without its direction, within its tunnel.

use std::hash::{BuildHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::decode::{Endpoint, FiveTuple, Transport, TunnelPath};
use crate::flow::FlowLimits;

/// Equal for both directions of a flow within its tunnel, and for both sides of a 464XLAT translator (RFC 6877) on the device: there a
/// packet shows once as IPv4 from 192.0.0.0/29 (RFC 7335) and once as IPv6 to 64:ff9b::/96 (RFC 6052).
///
/// Integers alone: every packet has two keys made, compared and hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowKey {
    /// The addresses, the end with the lower one first.
    low: u128,
    high: u128,
    /// The ports of both ends and the transport.
    ports: u64,
    /// Whether the addresses are IPv6 ones.
    versions: (bool, bool),
    context: u64,
}

/// Integers of fixed width only: derived hashes differ between machines.
impl Hash for FlowKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(self.low);
        state.write_u128(self.high);
        state.write_u64(self.ports);
        state.write_u64(self.context);
    }
}

impl FlowKey {
    /// The key of a packet.
    #[must_use]
    pub fn new(five_tuple: &FiveTuple, tunnels: &TunnelPath) -> Self {
        let (source, destination) = untranslated(five_tuple.source, five_tuple.destination);
        let (source, destination) = (parts(source), parts(destination));
        let (low, high) = if source <= destination { (source, destination) } else { (destination, source) };
        let transport = match five_tuple.transport {
            Transport::Icmp => 1,
            Transport::IcmpEcho => 0x200,
            Transport::Tcp => 6,
            Transport::Udp => 17,
            Transport::Other(number) => 0x100 | u64::from(number),
        };
        Self {
            low: low.1,
            high: high.1,
            ports: u64::from(low.2) << 48 | u64::from(high.2) << 32 | transport,
            versions: (low.0, high.0),
            context: tunnels.context,
        }
    }

    /// The same outside any tunnel; `None` if that is what it is.
    #[must_use]
    pub fn outside(&self) -> Option<Self> {
        (self.context != 0).then_some(Self { context: 0, ..*self })
    }

    /// The logical shard, the same inside and outside tunnels, below [`FlowLimits::SHARDS`]: the same on every machine and in every run.
    #[must_use]
    pub fn shard(&self) -> usize {
        let hash = foldhash::fast::FixedState::default().hash_one(Self { context: 0, ..*self });
        usize::try_from(hash >> 32).unwrap_or(0) % FlowLimits::SHARDS
    }
}

/// Whether the address is an IPv6 one, its bits, and the port.
fn parts(end: Endpoint) -> (bool, u128, u16) {
    match end.ip {
        IpAddr::V4(ip) => (false, u128::from(ip.to_bits()), end.port),
        IpAddr::V6(ip) => (true, ip.to_bits(), end.port),
    }
}

/// The two ends as the app's IPv4 socket has them.
fn untranslated(source: Endpoint, destination: Endpoint) -> (Endpoint, Endpoint) {
    let local = |port| Endpoint { ip: IpAddr::V4(Ipv4Addr::new(192, 0, 0, 0)), port };
    let remote = |ip, port| Endpoint { ip: IpAddr::V4(ip), port };
    match (source.ip, destination.ip) {
        (IpAddr::V4(own), IpAddr::V4(_)) if is_continuity(own) => (local(source.port), destination),
        (IpAddr::V4(_), IpAddr::V4(own)) if is_continuity(own) => (source, local(destination.port)),
        (IpAddr::V6(from), IpAddr::V6(to)) => match (embedded(from), embedded(to)) {
            (None, Some(far)) => (local(source.port), remote(far, destination.port)),
            (Some(far), None) => (remote(far, source.port), local(destination.port)),
            _ => (source, destination),
        },
        _ => (source, destination),
    }
}

/// Whether `ip` is of the IPv4 service continuity prefix, 192.0.0.0/29.
fn is_continuity(ip: Ipv4Addr) -> bool {
    matches!(ip.octets(), [192, 0, 0, 0..=7])
}

/// The IPv4 address in one of the well-known prefix 64:ff9b::/96.
fn embedded(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    match ip.octets() {
        [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d] => Some(Ipv4Addr::new(a, b, c, d)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(source: &str, destination: &str) -> FlowKey {
        let end = |text: &str| {
            let address: std::net::SocketAddr = text.parse().unwrap();
            Endpoint { ip: address.ip(), port: address.port() }
        };
        let tuple =
            FiveTuple { transport: Transport::Tcp, source: end(source), destination: end(destination) };
        FlowKey::new(&tuple, &TunnelPath::default())
    }

    #[test]
    fn both_directions_are_one_flow() {
        assert_eq!(key("10.0.0.1:40000", "10.0.0.2:443"), key("10.0.0.2:443", "10.0.0.1:40000"));
        assert_ne!(key("10.0.0.1:40000", "10.0.0.2:443"), key("10.0.0.1:443", "10.0.0.2:40000"));
    }

    #[test]
    fn both_sides_of_464xlat_are_one_flow() {
        let inner = key("192.0.0.4:40000", "203.0.113.9:443");
        assert_eq!(inner, key("[2001:db8::1]:40000", "[64:ff9b::cb00:7109]:443"));
        assert_eq!(inner, key("[64:ff9b::cb00:7109]:443", "[2001:db8::1]:40000"));
        assert_ne!(inner, key("[2001:db8::1]:40000", "[2001:db8::9]:443"));
    }

    #[test]
    fn shards_are_the_same_in_every_build() {
        // A change moves evictions, and so outputs.
        assert_eq!(key("10.0.0.1:40000", "10.0.0.2:443").shard(), 1);
    }
}
