//! Flow identity: the five-tuple without its direction, within its tunnel.

use std::hash::{BuildHasher, Hash, Hasher};
use std::net::IpAddr;

use crate::decode::{FiveTuple, Transport, TunnelPath};
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
        let [source, destination] = untranslated(five_tuple.source.ip, five_tuple.destination.ip);
        let source = (source, five_tuple.source.port);
        let destination = (destination, five_tuple.destination.port);
        let ((low, low_port), (high, high_port)) =
            if source <= destination { (source, destination) } else { (destination, source) };
        let transport = match five_tuple.transport {
            Transport::Icmp => 1,
            Transport::IcmpEcho => 0x200,
            Transport::Tcp => 6,
            Transport::Udp => 17,
            Transport::Other(number) => 0x100 | u64::from(number),
        };
        Self {
            low: low.bits,
            high: high.bits,
            ports: u64::from(low_port) << 48 | u64::from(high_port) << 32 | transport,
            versions: (low.v6, high.v6),
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

/// An address as an integer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Address {
    v6: bool,
    bits: u128,
}

/// The addresses of both ends as the app's IPv4 socket has them.
fn untranslated(source: IpAddr, destination: IpAddr) -> [Address; 2] {
    /// The IPv4 service continuity prefix, 192.0.0.0/29.
    const CONTINUITY: u32 = 0xc000_0000;
    let is_continuity = |bits: u32| bits & !7 == CONTINUITY;
    let v4 = |bits: u32| Address { v6: false, bits: u128::from(bits) };
    let v6 = |bits| Address { v6: true, bits };
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let (source, destination) = (source.to_bits(), destination.to_bits());
            if is_continuity(source) {
                [v4(CONTINUITY), v4(destination)]
            } else if is_continuity(destination) {
                [v4(source), v4(CONTINUITY)]
            } else {
                [v4(source), v4(destination)]
            }
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let (source, destination) = (source.to_bits(), destination.to_bits());
            match (embedded(source), embedded(destination)) {
                (None, Some(far)) => [v4(CONTINUITY), v4(far)],
                (Some(far), None) => [v4(far), v4(CONTINUITY)],
                _ => [v6(source), v6(destination)],
            }
        }
        (IpAddr::V4(source), IpAddr::V6(destination)) => [v4(source.to_bits()), v6(destination.to_bits())],
        (IpAddr::V6(source), IpAddr::V4(destination)) => [v6(source.to_bits()), v4(destination.to_bits())],
    }
}

/// The IPv4 address in one of the well-known prefix 64:ff9b::/96.
fn embedded(bits: u128) -> Option<u32> {
    const PREFIX: u128 = 0x0064_ff9b << 96;
    u32::try_from(bits ^ PREFIX).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Endpoint;

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
