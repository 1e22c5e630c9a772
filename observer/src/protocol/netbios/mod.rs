//! NetBIOS over UDP ([RFC 1002](https://datatracker.ietf.org/doc/html/rfc1002)): name service and datagrams, recognised by
//! a name in its half-ASCII form. Nothing is said: names of devices are no app's business.

use super::glance::Glance;
use super::{Analyzer, Probe, ProbeInput, Protocol, Worth};
use crate::bytes::Reader;
use crate::decode::Transport;

/// The name service in the registry.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: "nbns",
    transports: &[Transport::Udp],
    worth: Worth::Cleartext,
    probe: probe_names,
    analyzer,
    views: "",
};

/// The datagram service in the registry.
pub(super) static DATAGRAM_PROTOCOL: Protocol = Protocol {
    name: "nbdgm",
    transports: &[Transport::Udp],
    worth: Worth::Cleartext,
    probe: probe_datagrams,
    analyzer,
    views: "",
};

/// Bytes before the first name of a message (RFC 1002 §4.2.1.1).
const NAMES_HEADER: usize = 12;
/// The same, of a datagram (RFC 1002 §4.4.1).
const DATAGRAM_HEADER: usize = 14;

fn probe_names(input: &ProbeInput<'_>) -> Probe {
    let mut reader = Reader::new(input.bytes);
    let head =
        (reader.u16("transaction"), reader.u16("flags"), reader.u16("questions"), reader.u16("answers"));
    let (Ok(_), Ok(flags), Ok(questions), Ok(answers)) = head else { return Probe::NoMatch };
    let operation = matches!(flags >> 11 & 0xf, 0 | 5..=9);
    if operation && questions.saturating_add(answers) == 1 && name_at(input.bytes, NAMES_HEADER) {
        Probe::Match
    } else {
        Probe::NoMatch
    }
}

fn probe_datagrams(input: &ProbeInput<'_>) -> Probe {
    let kind = input.bytes.first().is_some_and(|kind| matches!(kind, 0x10..=0x12));
    if kind && name_at(input.bytes, DATAGRAM_HEADER) { Probe::Match } else { Probe::NoMatch }
}

fn analyzer() -> Box<dyn Analyzer> {
    Glance::boxed(|_, _| {})
}

/// Whether a name of 16 bytes, each as two letters from A to P, begins at `offset` (RFC 1001 §14.1).
fn name_at(datagram: &[u8], offset: usize) -> bool {
    let Some((32, rest)) =
        datagram.get(offset..).and_then(<[u8]>::split_first).map(|(len, rest)| (*len, rest))
    else {
        return false;
    };
    rest.get(..32).is_some_and(|name| name.iter().all(|byte| matches!(byte, b'A'..=b'P')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::script::{REQUEST, play, send};

    #[test]
    fn names_in_half_ascii_are_recognised() {
        let name = b"\x20CKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\0";
        let query = [b"\x85\x01\0\x10\0\x01\0\0\0\0\0\0".as_slice(), name, b"\0\x21\0\x01"].concat();
        assert_eq!(play(Transport::Udp, 137, &[send(REQUEST, &query)]).layers, ["nbns"]);
        let datagram = [b"\x11\x02\x12\x34\xc0\0\x02\x01\0\x8a\0\xbb\0\0".as_slice(), name].concat();
        assert_eq!(play(Transport::Udp, 138, &[send(REQUEST, datagram)]).layers, ["nbdgm"]);
    }
}
