//! MySQL's and MariaDB's client/server protocol up to the login ([MySQL internals, connection
//! phase](https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html)).
//!
//! The server's first packet offers TLS or does not; a client that wants it sends a short packet and begins TLS without
//! waiting for an answer. Queries are not read.

mod dialogue;
mod wire;

use super::dialogue::Talk;
use super::{Analyzer, Probe, ProbeInput, Protocol, Worth};
use crate::decode::Transport;
use crate::flow::Direction;

/// MySQL in the registry.
pub static PROTOCOL: Protocol = Protocol {
    name: "mysql",
    transports: &[Transport::Tcp],
    worth: Worth::Cleartext,
    probe,
    analyzer,
    views: "",
};

fn probe(input: &ProbeInput<'_>) -> Probe {
    if input.direction == Direction::ToResponder {
        return Probe::NoMatch;
    }
    match wire::recognise(input.bytes) {
        Ok(true) => Probe::Match,
        Ok(false) => Probe::NoMatch,
        Err(error) if error.is_truncated() => Probe::NeedMore,
        Err(_) => Probe::NoMatch,
    }
}

fn analyzer() -> Box<dyn Analyzer> {
    Talk::<dialogue::MySql>::boxed()
}
