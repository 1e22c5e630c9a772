//! A line for each flow of a running capture, as it ends.

use std::fmt::Write as _;
use std::io::Write;

use crate::attribution::{Confidence, Owner};
use crate::observation::{Flow, FlowSink, Mark, Protection, SinkError};
use crate::report::names;
use crate::report::plain::plain;
use crate::report::wording::size;
use crate::rules::Severity;
use crate::time::Tick;

/// Writes a line a flow.
pub struct LiveLines<W> {
    out: W,
}

impl<W: Write> LiveLines<W> {
    /// Writes to `out`, with colours.
    pub fn new(out: W) -> Self {
        Self { out }
    }
}

impl<W: Write> FlowSink for LiveLines<W> {
    fn flow(&mut self, flow: &Flow) -> Result<(), SinkError> {
        self.judged(flow, None)
    }

    fn judged(&mut self, flow: &Flow, worst: Option<Mark>) -> Result<(), SinkError> {
        writeln!(self.out, "{}", line(flow, worst)).map_err(Into::into)
    }

    fn pause(&mut self, _until: Tick) -> Result<(), SinkError> {
        self.out.flush().map_err(Into::into)
    }
}

/// `09:32:09.718892 com.shop/10123 TCP 10.0.2.16:51844 > 203.0.113.9:443 TLS 1.3 … api.shop.test 1.2 kB/3.4 kB  HIGH rule`.
fn line(flow: &Flow, worst: Option<Mark>) -> String {
    let info = &flow.flow.info;
    let mut line = format!("{} {} ", time(info.start.to_string()), owner(flow.owner.as_deref()));
    let tuple = &info.five_tuple;
    let end = |end: &crate::decode::Endpoint| std::net::SocketAddr::from((end.ip, end.port));
    // Writing to a string cannot fail.
    let _ = write!(
        line,
        "{} {} > {}",
        names::TransportName(tuple.transport).to_string().to_uppercase(),
        end(&tuple.source),
        end(&tuple.destination)
    );
    let _ = write!(line, " {}", protocol(flow));
    if let Some(domain) = &flow.domain {
        let _ = write!(line, " {}", plain(&domain.name));
    }
    let [sent, received] = flow.flow.counts;
    let _ = write!(line, " {}/{}", size(sent.bytes), size(received.bytes));
    if let Some(mark) = worst {
        let style = severity(mark.severity).map(super::words::severity).unwrap_or_default();
        let _ = write!(line, "  {style}{}{style:#} {}", mark.severity.to_uppercase(), mark.rule);
    }
    line
}

/// The time of day out of RFC 3339, to the microsecond, UTC.
fn time(at: String) -> String {
    at.split_once('T').and_then(|(_, time)| time.get(..15)).map(str::to_owned).unwrap_or(at)
}

/// The owner with its uid: `~` before it where it was concluded from something else, `?` where nobody is known.
fn owner(owner: Option<&Owner>) -> String {
    let Some(owner) = owner else { return "?".to_owned() };
    let sign = if owner.confidence == Confidence::Inferred { "~" } else { "" };
    match owner.uid {
        Some(uid) => format!("{sign}{}/{uid}", plain(&owner.name())),
        None => format!("{sign}{}", plain(&owner.name())),
    }
}

/// The protocols, with what TLS agreed on.
fn protocol(flow: &Flow) -> String {
    let tls = flow.tls.as_deref().and_then(|session| {
        let hello = session.server_hello.as_ref()?;
        Some(format!("TLS {} {}", names::VersionName(hello.value.version), hello.value.cipher_suite))
    });
    match (tls, flow.protection) {
        (Some(tls), _) => tls,
        (None, Protection::Empty) => "no data".to_owned(),
        (None, _) if flow.layers.is_empty() => "unknown".to_owned(),
        (None, protection) => format!("{} ({})", flow.layers.join(" in "), names::protection(protection)),
    }
}

fn severity(word: &str) -> Option<Severity> {
    [Severity::Info, Severity::Low, Severity::Medium, Severity::High, Severity::Critical]
        .into_iter()
        .find(|severity| severity.as_str() == word)
}
