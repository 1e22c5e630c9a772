//! AMQP up to the first queues: 0-8, 0-9 and 0-9-1 ([AMQP 0-9-1](https://www.rabbitmq.com/amqp-0-9-1-protocol.html), as brokers
//! like RabbitMQ speak it), and 1.0 ([OASIS](https://docs.oasis-open.org/amqp/core/v1.0/os/amqp-core-overview-v1.0-os.html),
//! TLS within it in part 5 §5.2).
//!
//! Recognised by the header with which a client, and in 1.0 a server, too, begins; flows whose start was not captured are not
//! claimed. The first queues and keys are said, messages and secrets never kept. Of 0-10 nothing but the version is read.

mod dialogue;
#[cfg(test)]
mod tests;
mod types;
mod wire;

use super::dialogue::Talk;
use super::{Analyzer, Probe, ProbeInput, Protocol, Worth};
use crate::decode::Transport;
use crate::flow::Direction;

/// AMQP in the registry.
pub static PROTOCOL: Protocol = Protocol {
    name: "amqp",
    transports: &[Transport::Tcp],
    worth: Worth::Cleartext,
    probe,
    analyzer: || Talk::<dialogue::Amqp>::boxed() as Box<dyn Analyzer>,
    views: "",
};

fn probe(input: &ProbeInput<'_>) -> Probe {
    match wire::header(input.bytes) {
        // A server's header answers a client's, or refuses it.
        Ok(_) if input.direction == Direction::ToResponder || !input.other.is_empty() => Probe::Match,
        Ok(header) if header.family() == wire::Family::One => Probe::Match,
        Err(error) if error.is_truncated() => Probe::NeedMore,
        Ok(_) | Err(_) => Probe::NoMatch,
    }
}
