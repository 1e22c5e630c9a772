//! NTP and SNTP ([RFC 5905](https://datatracker.ietf.org/doc/html/rfc5905)) between clients, servers and peers: recognised;
//! its version is said.
//!
//! A header of 48 bytes with nothing, or whole words, behind it. Stratum and distances must be small, which one of some
//! 2^32 random datagrams of that length is. Control messages (modes 6 and 7) are not recognised.

use super::glance::Glance;
use super::{Analyzer, Context, Fact, Probe, ProbeInput, Protocol, Worth, property};
use crate::bytes::Reader;
use crate::decode::Transport;
use crate::flow::{Data, Opening};

/// The name of its layer.
const NAME: &str = "ntp";

/// NTP in the registry.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: NAME,
    transports: &[Transport::Udp],
    worth: Worth::Cleartext,
    probe,
    analyzer,
    views: "",
};

/// Bytes of the header.
const HEADER: usize = 48;
/// Bytes with extension fields (RFC 7822), which NTS fills, and a digest.
const MAX_LENGTH: usize = 1280;

fn probe(input: &ProbeInput<'_>) -> Probe {
    if version(input.bytes).is_some() { Probe::Match } else { Probe::NoMatch }
}

/// What a datagram says as the first of a flow: peers and who broadcasts are not asked.
pub(super) fn opening(datagram: &[u8]) -> Option<Opening> {
    version(datagram)?;
    match datagram.first()? & 7 {
        3 => Some(Opening::Request),
        4 => Some(Opening::Answer),
        _ => None,
    }
}

fn analyzer() -> Box<dyn Analyzer> {
    Glance::boxed(look)
}

fn look(data: Data<'_>, cx: &mut Context<'_>) {
    if let Some(version) = version(data.bytes) {
        cx.say(Fact::Property(Box::new(property::Fact::new(NAME, "version", &version.to_string()))));
    }
}

/// The version, where the datagram is NTP.
fn version(datagram: &[u8]) -> Option<u8> {
    let first = *datagram.first()?;
    let (version, mode) = (first >> 3 & 7, first & 7);
    let length = datagram.len();
    let sized = (HEADER..=MAX_LENGTH).contains(&length) && length.is_multiple_of(4);
    if !sized || !matches!((version, mode), (2..=4, 1..=5)) {
        return None;
    }
    let mut reader = Reader::new(datagram.get(1..)?);
    let stratum = reader.u8("stratum").ok()?;
    let poll = reader.u8("poll").ok()?;
    let precision = reader.u8("precision").ok()?;
    let delay = reader.u16("root delay").ok()?;
    reader.take(2, "root delay").ok()?;
    let dispersion = reader.u16("root dispersion").ok()?;
    // Seconds of 16 and more are for nobody to set a clock by.
    let near = delay < 16 && dispersion < 16;
    let poll_fits = poll <= 17 || poll >= 0xf9;
    // A clock that is set knows itself to a fraction of a second; clients leave it out, or say anything.
    let precise = stratum == 0 || precision >= 0xe0;
    let empty = datagram.get(1..HEADER)?.iter().all(|byte| *byte == 0);
    // What nothing says but the first byte is a request only in the modes that ask.
    (stratum <= 16 && poll_fits && precise && near && (!empty || mode == 3)).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::script::{REQUEST, play, send};

    #[test]
    fn requests_with_and_without_content_are_recognised() {
        let mut request = vec![0; 48];
        request[0] = 0x1b;
        assert_eq!(play(Transport::Udp, 123, &[send(REQUEST, &request)]).layers, ["ntp"]);
        request[0] = 0x23;
        request[40..].copy_from_slice(&[0xe9, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(version(&request), Some(4));
        assert_eq!(version(&request[..47]), None);
        request[4] = 0x80;
        assert_eq!(version(&request), None);
        assert_eq!(version(&[0; 48]), None);
    }
}
