//! Rows of the socket tables in `/proc/net` (proc(5)), of this machine or of another.
//!
//! They are read here and not by a library: a row that is odd must not cost the others, and the sockets of `ping` are in tables of
//! their own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Confidence, Method, Sighting, SocketOwner};
use crate::decode::{Endpoint, Transport};
use crate::time::Timestamp;

/// Names of tables, and whose sockets they list.
pub(crate) type Tables = &'static [(&'static str, Transport)];

/// All tables.
pub(crate) const TABLES: Tables = &[
    ("tcp6", Transport::Tcp),
    ("tcp", Transport::Tcp),
    ("udp6", Transport::Udp),
    ("udp", Transport::Udp),
    ("icmp6", Transport::IcmpEcho),
    ("icmp", Transport::IcmpEcho),
];

/// Bytes of a row that are looked at; one has some 170.
pub(crate) const MAX_ROW: u64 = 1024;

/// TCP's states, from `include/net/tcp_states.h`.
const TIME_WAIT: u8 = 6;
const LISTEN: u8 = 10;
/// What the kernel gives for a uid that it cannot map (`overflowuid`): nobody's.
const OVERFLOW_UID: u32 = 65_534;

/// One socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    local: Endpoint,
    remote: Option<Endpoint>,
    state: u8,
    uid: u32,
    /// The socket's inode; 0 where it has none any more.
    pub(crate) inode: u64,
}

impl Row {
    /// Columns 1 to 3 (ends and state), 7 (uid) and 9 (inode) of a row.
    pub(crate) fn parse(row: &str, transport: Transport) -> Option<Self> {
        let mut columns = row.split_ascii_whitespace().skip(1);
        let local = end(columns.next()?)?;
        let remote = end(columns.next()?)?;
        let state = u8::from_str_radix(columns.next()?, 16).ok()?;
        let uid = columns.nth(3)?.parse().ok()?;
        let inode = columns.nth(1)?.parse().ok()?;
        let remote = if transport == Transport::IcmpEcho {
            // The identifier is the port of both ends.
            Some(Endpoint { port: local.port, ..remote }).filter(|remote| !remote.ip.is_unspecified())
        } else {
            Some(remote).filter(|remote| remote.port != 0)
        };
        Some(Self { local, remote, state, uid, inode })
    }

    /// The socket and its uid, as seen between `asked` and `answered`; `None` for one that is nobody's any more: a flow that only
    /// waits for its last packets, or whose socket was closed.
    pub(crate) fn sighting(
        self,
        transport: Transport,
        asked: Timestamp,
        answered: Timestamp,
    ) -> Option<Sighting> {
        let Self { local, remote, state, uid, inode } = self;
        let tcp = transport == Transport::Tcp;
        if (tcp && state == TIME_WAIT) || (inode == 0 && uid == 0) {
            return None;
        }
        let mut owner = SocketOwner::new(Method::Procfs, Confidence::Polled);
        owner.uid = Some(uid).filter(|uid| !matches!(*uid, OVERFLOW_UID | u32::MAX));
        let listening = tcp && state == LISTEN;
        let socket = Some(inode).filter(|inode| *inode != 0);
        Some(Sighting { transport, local, remote, listening, first: asked, last: answered, socket, owner })
    }
}

/// `ADDRESS:PORT` in hexadecimal. An address is written as numbers of 32 bits, each of which lies in memory as on the wire.
fn end(text: &str) -> Option<Endpoint> {
    let (address, port) = text.split_once(':')?;
    let word = |place: usize| {
        let digits = address.get(place..place.checked_add(8)?)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    let ip = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let octets: [u8; 16] = words.as_flattened().try_into().ok()?;
            IpAddr::V6(Ipv6Addr::from(octets)).to_canonical()
        }
        _ => return None,
    };
    Some(Endpoint { ip, port: u16::from_str_radix(port, 16).ok()? })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_row_makes_it_panic(row in "[ -~]{0,120}") {
            Row::parse(&row, Transport::Tcp);
        }

        #[test]
        fn no_end_makes_it_panic(text in "[0-9A-Fa-f:+é]{0,40}") {
            end(&text);
        }
    }
}
