//! Community ID, version 1: a hash of the five-tuple by which other tools name the same flow.
//!
//! The definition is <https://github.com/corelight/community-id-spec>. The seed is 0, every tool's default.

use std::fmt;
use std::net::IpAddr;

use data_encoding::BASE64;
use sha1::{Digest as _, Sha1};

use crate::decode::{FiveTuple, Transport};

/// The Community ID of a flow; prints as `1:` and 28 characters of Base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommunityId([u8; 20]);

/// What takes the place of ports in the hash.
enum Ports {
    /// Two numbers that swap with the addresses.
    Pair(u16, u16),
    /// Type and code of an ICMP message that nothing answers: never swapped.
    OneWay(u16, u16),
    /// Nothing.
    None,
}

impl CommunityId {
    /// The Community ID of `five_tuple`, the same for both directions.
    #[must_use]
    pub fn new(five_tuple: &FiveTuple) -> Self {
        let FiveTuple { transport, source, destination } = *five_tuple;
        let (protocol, ports) = match transport {
            Transport::Tcp => (6, Ports::Pair(source.port, destination.port)),
            Transport::Udp => (17, Ports::Pair(source.port, destination.port)),
            // An echo and its reply, by their types.
            Transport::IcmpEcho if source.ip.is_ipv4() => (1, Ports::Pair(8, 0)),
            Transport::IcmpEcho => (58, Ports::Pair(128, 129)),
            Transport::Icmp => {
                let protocol = if source.ip.is_ipv4() { 1 } else { 58 };
                (protocol, Ports::OneWay(source.port, destination.port))
            }
            Transport::Other(number) => (number, Ports::None),
        };
        let (first, second, fixed) = match ports {
            Ports::Pair(first, second) => (first, second, false),
            Ports::OneWay(kind, code) => (kind, code, true),
            Ports::None => (0, 0, false),
        };
        let (from, to) = (Address::new(source.ip), Address::new(destination.ip));
        let (low, high) = if fixed || (from.octets(), first) <= (to.octets(), second) {
            ((from, first), (to, second))
        } else {
            ((to, second), (from, first))
        };
        let mut hash = Sha1::new();
        hash.update([0, 0]);
        hash.update(low.0.octets());
        hash.update(high.0.octets());
        hash.update([protocol, 0]);
        if !matches!(ports, Ports::None) {
            hash.update(low.1.to_be_bytes());
            hash.update(high.1.to_be_bytes());
        }
        Self(hash.finalize().into())
    }
}

impl CommunityId {
    /// Appends it as it prints.
    pub fn push_to(self, text: &mut Vec<u8>) {
        let mut encoded = [0; 28];
        BASE64.encode_mut(&self.0, &mut encoded);
        text.extend_from_slice(b"1:");
        text.extend_from_slice(&encoded);
    }
}

impl fmt::Display for CommunityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1:{}", BASE64.encode(&self.0))
    }
}

/// An address in network order.
#[derive(Clone, Copy)]
enum Address {
    V4([u8; 4]),
    V6([u8; 16]),
}

impl Address {
    fn new(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self::V4(ip.octets()),
            IpAddr::V6(ip) => Self::V6(ip.octets()),
        }
    }

    fn octets(&self) -> &[u8] {
        match self {
            Self::V4(octets) => octets,
            Self::V6(octets) => octets,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Endpoint;

    fn id(transport: Transport, source: (&str, u16), destination: (&str, u16)) -> String {
        let end = |(ip, port): (&str, u16)| Endpoint { ip: ip.parse().unwrap(), port };
        CommunityId::new(&FiveTuple { transport, source: end(source), destination: end(destination) })
            .to_string()
    }

    /// Vectors of the specification's baseline, seed 0.
    #[test]
    fn agrees_with_the_specification() {
        let tcp = "1:LQU9qZlK+B5F3KDmev6m5PMibrg=";
        assert_eq!(id(Transport::Tcp, ("128.232.110.120", 34855), ("66.35.250.204", 80)), tcp);
        assert_eq!(id(Transport::Tcp, ("66.35.250.204", 80), ("128.232.110.120", 34855)), tcp);
        let udp = "1:d/FP5EW3wiY1vCndhwleRRKHowQ=";
        assert_eq!(id(Transport::Udp, ("192.168.1.52", 54585), ("8.8.8.8", 53)), udp);
        assert_eq!(id(Transport::Udp, ("8.8.8.8", 53), ("192.168.1.52", 54585)), udp);
        let echo = "1:X0snYXpgwiv9TZtqg64sgzUn6Dk=";
        for identifier in [77, 3] {
            let (source, destination) = (("192.168.0.89", identifier), ("192.168.0.1", identifier));
            assert_eq!(id(Transport::IcmpEcho, source, destination), echo);
        }
        assert_ne!(id(Transport::Icmp, ("192.168.0.89", 3), ("192.168.0.1", 3)), echo);
    }
}
