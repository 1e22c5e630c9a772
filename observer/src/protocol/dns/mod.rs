//! DNS over UDP and TCP (RFC 1035, RFC 7766), mDNS and LLMNR by the same message format.

mod fact;

use super::{Analyzer, Context, Probe, ProbeInput, Progress, Protocol};
use crate::decode::Transport;
use crate::flow::Data;

pub use self::fact::{Answer, AnswerData, Fact, Question};

/// DNS in the registry.
pub static PROTOCOL: Protocol = Protocol {
    name: "dns",
    transports: &[Transport::Udp, Transport::Tcp],
    probe,
    analyzer,
    views: include_str!("views.sql"),
};

fn probe(_input: &ProbeInput<'_>) -> Probe {
    Probe::NoMatch
}

fn analyzer() -> Box<dyn Analyzer> {
    Box::new(DnsAnalyzer)
}

struct DnsAnalyzer;

impl Analyzer for DnsAnalyzer {
    fn data(&mut self, _data: Data<'_>, _cx: &mut Context<'_>) -> Progress {
        Progress::Done
    }
}
