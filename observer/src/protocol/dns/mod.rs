//! DNS over UDP and TCP (RFC 1035, RFC 7766), mDNS and LLMNR by the same message format.
//!
//! Messages are recognised by their structure. NetBIOS names share the format and are not claimed. DNS within TLS,
//! HTTPS or QUIC is read where the key log decrypts it; otherwise that it is there is concluded, in sessions without a resolver's
//! name or ALPN rarely. [`NameMemory`] turns answers into the names of
//! later flows.

mod analyzer;
mod fact;
mod names;
mod wire;

use super::{Analyzer, Probe, ProbeInput, Protocol, Worth};
use crate::decode::Transport;
use crate::flow::Opening;

pub use self::fact::{Answer, AnswerData, Fact, Question, Service};
pub use self::names::{NameMemory, Resolution, Resolved};

/// DNS over datagrams, in the registry.
pub static PROTOCOL: Protocol = Protocol {
    name: "dns",
    transports: &[Transport::Udp],
    worth: Worth::Cleartext,
    probe: probe_datagram,
    analyzer: datagrams,
    views: include_str!("views.sql"),
};

/// DNS over streams, in the registry: the same messages behind their length.
pub static STREAM_PROTOCOL: Protocol = Protocol {
    name: "dns",
    transports: &[Transport::Tcp],
    worth: Worth::Cleartext,
    probe: probe_stream,
    analyzer: streams,
    views: "",
};

/// The ports of DNS, mDNS and LLMNR: there, bytes may be odd and still be DNS.
const PORTS: [u16; 3] = [53, 5353, 5355];

fn probe_datagram(input: &ProbeInput<'_>) -> Probe {
    wire::recognise(input.bytes, PORTS.contains(&input.port))
}

/// What a datagram between such ports says as the first of a flow (RFC 1035 §4.1.1: QR).
pub(super) fn opening(datagram: &[u8], ports: [u16; 2]) -> Option<Opening> {
    let own_port = ports.iter().any(|port| PORTS.contains(port));
    let recognised = wire::recognise(datagram, own_port) == Probe::Match;
    let answers = datagram.get(2).is_some_and(|flags| flags & 0x80 != 0);
    recognised.then_some(if answers { Opening::Answer } else { Opening::Request })
}

fn probe_stream(input: &ProbeInput<'_>) -> Probe {
    match input.bytes.split_first_chunk::<2>() {
        None => Probe::NeedMore,
        Some((length, bytes)) => {
            let length = usize::from(u16::from_be_bytes(*length));
            match bytes.get(..length) {
                Some(message) => wire::recognise(message, false),
                None => wire::recognise_start(bytes, length),
            }
        }
    }
}

fn datagrams() -> Box<dyn Analyzer> {
    Box::new(analyzer::Datagrams::default())
}

fn streams() -> Box<dyn Analyzer> {
    Box::new(analyzer::Streams::default())
}
