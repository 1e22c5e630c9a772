//! SOCKS 4, 4a and 5 (RFC 1928, RFC 1929): where a client has its flow led to, and with which login.
//!
//! Recognised only by both sides together: the client's first message is too short to tell alone. What follows a
//! granted `CONNECT` is the next layer. The secret of a login is not kept. What GSSAPI (RFC 1961) or a private method
//! negotiates is not read.
//!
//! The datagrams of an association (`UDP ASSOCIATE`) are a flow of their own, in which each datagram names its destination. One
//! flow has one destination here: what goes to the first is read under it, others are named (`also_to`) and not read.

mod analyzer;
mod datagrams;
mod wire;

use super::{Analyzer, Probe, ProbeInput, Protocol, Worth};
use crate::bytes::ParseError;
use crate::decode::Transport;
use crate::flow::Direction;

/// SOCKS 4 and 4a in the registry.
pub static PROTOCOL_4: Protocol = Protocol {
    name: "socks4",
    transports: &[Transport::Tcp],
    worth: Worth::Carrier,
    probe: probe_4,
    analyzer: analyzer_4,
    views: "",
};

/// SOCKS 5 in the registry.
pub static PROTOCOL_5: Protocol = Protocol {
    name: "socks5",
    transports: &[Transport::Tcp],
    worth: Worth::Carrier,
    probe: probe_5,
    analyzer: analyzer_5,
    views: "",
};

/// The datagrams of a SOCKS 5 association, in the registry.
pub static DATAGRAM_PROTOCOL: Protocol = Protocol {
    name: "socks5",
    transports: &[Transport::Udp],
    worth: Worth::Carrier,
    probe: datagrams::probe,
    analyzer: analyzer_datagrams,
    views: "",
};

fn probe_4(input: &ProbeInput<'_>) -> Probe {
    both(input, |bytes| wire::request_4(bytes).map(|_| ()), |_, bytes| wire::reply_4(bytes).map(|_| ()))
}

fn probe_5(input: &ProbeInput<'_>) -> Probe {
    both(input, |bytes| wire::greeting(bytes).map(|_| ()), wire::chosen_from)
}

/// Asks for the client's message and for the server's answer to it.
fn both(
    input: &ProbeInput<'_>,
    ask: fn(&[u8]) -> Result<(), ParseError>,
    answer: fn(&[u8], &[u8]) -> Result<(), ParseError>,
) -> Probe {
    if input.midstream {
        return Probe::NoMatch;
    }
    let (client, server) = match input.direction {
        Direction::ToResponder => (input.bytes, input.other),
        Direction::ToOriginator => (input.other, input.bytes),
    };
    match (ask(client), answer(client, server)) {
        (Ok(()), Ok(())) => Probe::Match,
        (Err(error), _) if !error.is_truncated() => Probe::NoMatch,
        (_, Err(error)) if !error.is_truncated() => Probe::NoMatch,
        _ => Probe::NeedMore,
    }
}

fn analyzer_4() -> Box<dyn Analyzer> {
    Box::new(analyzer::SocksAnalyzer::version_4())
}

fn analyzer_5() -> Box<dyn Analyzer> {
    Box::new(analyzer::SocksAnalyzer::version_5())
}

fn analyzer_datagrams() -> Box<dyn Analyzer> {
    Box::new(datagrams::Datagrams::default())
}
