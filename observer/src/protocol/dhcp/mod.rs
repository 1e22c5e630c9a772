//! DHCP ([RFC 2131](https://datatracker.ietf.org/doc/html/rfc2131)) and DHCPv6
//! ([RFC 8415](https://datatracker.ietf.org/doc/html/rfc8415)) between clients and servers: recognised; nothing is said.
//!
//! DHCP by its magic, DHCPv6 by options that fill the datagram to its last byte and name a client or a server. Relayed
//! DHCPv6 is not recognised.

use super::glance::Glance;
use super::{Analyzer, Probe, ProbeInput, Protocol, Worth};
use crate::bytes::Reader;
use crate::decode::Transport;

/// DHCP in the registry.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: "dhcp",
    transports: &[Transport::Udp],
    worth: Worth::Cleartext,
    probe,
    analyzer,
    views: "",
};

/// DHCPv6 in the registry.
pub(super) static PROTOCOL_V6: Protocol = Protocol {
    name: "dhcpv6",
    transports: &[Transport::Udp],
    worth: Worth::Cleartext,
    probe: probe_v6,
    analyzer,
    views: "",
};

/// Where the magic of RFC 2131 §3 lies, and what it is.
const MAGIC: (usize, [u8; 4]) = (236, [0x63, 0x82, 0x53, 0x63]);
/// The highest option that IANA has given away, with room for a few more.
const LAST_OPTION: u16 = 160;

fn probe(input: &ProbeInput<'_>) -> Probe {
    let Some([1 | 2, hardware, length, hops, ..]) = input.bytes.first_chunk::<4>() else {
        return Probe::NoMatch;
    };
    let (offset, magic) = MAGIC;
    let marked = input.bytes.get(offset..).is_some_and(|rest| rest.starts_with(&magic));
    if marked && *hardware > 0 && *length <= 16 && *hops <= 16 { Probe::Match } else { Probe::NoMatch }
}

fn probe_v6(input: &ProbeInput<'_>) -> Probe {
    if is_v6(input.bytes) { Probe::Match } else { Probe::NoMatch }
}

fn analyzer() -> Box<dyn Analyzer> {
    Glance::boxed(|_, _| {})
}

fn is_v6(datagram: &[u8]) -> bool {
    let mut reader = Reader::new(datagram);
    if !reader.u8("type").is_ok_and(|kind| (1..=11).contains(&kind)) || reader.take(3, "transaction").is_err()
    {
        return false;
    }
    let (mut options, mut identified) = (0_u8, false);
    while !reader.is_empty() {
        let (Ok(code), Ok(length)) = (reader.u16("option"), reader.u16("option length")) else {
            return false;
        };
        if code == 0 || code > LAST_OPTION || reader.take(usize::from(length), "option").is_err() {
            return false;
        }
        options = options.saturating_add(1);
        identified |= matches!(code, 1 | 2) && (4..=130).contains(&length);
    }
    options >= 2 && identified
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::script::{REQUEST, play, send};

    #[test]
    fn dhcp_is_recognised_by_its_magic() {
        let mut discover = vec![0; 300];
        discover[..4].copy_from_slice(&[1, 1, 6, 0]);
        assert_eq!(play(Transport::Udp, 67, &[send(REQUEST, &discover)]).layers, ["unknown"]);
        discover[236..240].copy_from_slice(&MAGIC.1);
        assert_eq!(play(Transport::Udp, 67, &[send(REQUEST, &discover)]).layers, ["dhcp"]);
    }

    #[test]
    fn options_of_dhcpv6_fill_the_datagram() {
        let solicit = b"\x01\x10\x08\x74\0\x01\0\x0a\0\x03\0\x01\0\x11\x22\x33\x44\x55\0\x08\0\x02\0\0";
        assert_eq!(play(Transport::Udp, 547, &[send(REQUEST, solicit)]).layers, ["dhcpv6"]);
        assert!(!is_v6(&solicit[..solicit.len() - 1]));
        assert!(!is_v6(&[solicit.as_slice(), b"x"].concat()));
    }
}
