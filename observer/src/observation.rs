//! Facts with their flow, frame and time: what was seen, without opinion.

use std::borrow::Cow;
use std::sync::Arc;

use crate::attribution::Owner;
use crate::decode::Endpoint;
use crate::flow::ClosedFlow;
use crate::protocol::{
    Fact, UNKNOWN_LAYER, Worth, dns, http1, login, property, proxy, rtp, tls, unrecognised, upgrade, worth,
};
use crate::source::{FrameNumber, Marker};
use crate::time::{Tick, Timestamp};

/// How bytes, or what is said of them, were come by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Basis {
    /// They crossed the network like that.
    #[default]
    Observed,
    /// The tester's key log decrypted them.
    Decrypted,
    /// No bytes say so: what surrounds them suggests it.
    Inferred,
}

impl Basis {
    /// Its name in the outputs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Observed => "observed",
            Self::Decrypted => "decrypted",
            Self::Inferred => "inferred",
        }
    }
}

/// A fact and where it was seen.
#[derive(Clone, Debug)]
pub struct Observation {
    /// The frame that completed it.
    pub frame: FrameNumber,
    /// When that was captured.
    pub at: Timestamp,
    /// How it was read.
    pub basis: Basis,
    /// What was seen.
    pub fact: Fact,
}

/// The observations of one flow, bounded.
#[derive(Clone, Debug, Default)]
pub struct Observations {
    list: Vec<Observation>,
    dropped: u64,
}

impl Observations {
    /// Adds one; beyond `limit` it is only counted.
    pub fn push(&mut self, observation: Observation, limit: usize) {
        if self.list.len() < limit {
            if self.list.len() == self.list.capacity() {
                // Most flows are look-ups, which have two; the others grow by doubling all the same.
                self.list.reserve_exact(self.list.len().max(2));
            }
            self.list.push(observation);
        } else {
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    /// How many were made, those that the limit dropped included.
    #[must_use]
    pub fn made(&self) -> u64 {
        u64::try_from(self.list.len()).unwrap_or(u64::MAX).saturating_add(self.dropped)
    }

    /// Keeps those of which `keep` says so; for bytes that turn out to be something else.
    pub(crate) fn retain(&mut self, keep: impl FnMut(&Observation) -> bool) {
        self.list.retain(keep);
    }

    /// In the order in which they were made.
    pub fn iter(&self) -> impl Iterator<Item = &Observation> {
        self.list.iter()
    }

    /// Forgets what is there and is `refuted`.
    pub fn retract(&mut self, refuted: impl Fn(&Fact) -> bool) {
        self.list.retain(|observation| !refuted(&observation.fact));
    }

    /// How many the limit dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// What a flow's bytes are worth against somebody who listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protection {
    /// TLS with encryption.
    Encrypted,
    /// Readable.
    Cleartext,
    /// Began readable and was then protected (STARTTLS).
    Opportunistic,
    /// Neither readable nor a protocol that is known to protect: never counted as TLS.
    Opaque,
    /// No payload of its own: none at all, or nothing but packets within a tunnel, which are in flows of their own.
    Empty,
}

impl Protection {
    /// What the bytes of a flow are worth, from its protocols, outermost first.
    ///
    /// TLS protects by what it is: a handshake that was refused, or of which only the ClientHello was captured, is
    /// `Encrypted` like an established one, because nothing was readable. Only a negotiated cipher without encryption
    /// makes it `Cleartext`. Within a proxy's tunnel (HTTP `CONNECT`, SOCKS) TLS is `Encrypted`, although the request
    /// for the tunnel was readable; behind any other readable protocol it is `Opportunistic`. Encryption that is not
    /// TLS is `Opaque`.
    #[must_use]
    pub fn of(
        layers: &[&'static str],
        session: Option<&tls::Session>,
        observations: &Observations,
        payload: bool,
    ) -> Self {
        let protected = layers.iter().position(|layer| worth(layer) == Worth::Tls);
        match (protected, layers.last()) {
            _ if !payload => Self::Empty,
            // Media in the same flow that TLS has not keyed is beside it.
            _ if layers.contains(&rtp::LAYER) => {
                let readable =
                    observations.iter().any(|observation| rtp::is_readable_media(&observation.fact));
                if readable { Self::Cleartext } else { Self::Opaque }
            }
            (Some(_), _) if session.is_some_and(without_encryption) => Self::Cleartext,
            (Some(outside), _) => {
                let mut outer = layers.iter().take(outside);
                let carries =
                    |layer: &&str| **layer == *http1::PROTOCOL.name || worth(layer) == Worth::Carrier;
                let tunnels = outer.all(carries);
                if tunnels { Self::Encrypted } else { Self::Opportunistic }
            }
            (None, Some(&UNKNOWN_LAYER)) => Self::of_unrecognised(observations),
            (None, Some(layer)) if worth(layer) == Worth::Opaque => Self::Opaque,
            (None, Some(_)) => Self::Cleartext,
            (None, None) => Self::Opaque,
        }
    }

    fn of_unrecognised(observations: &Observations) -> Self {
        let likeness = observations.iter().find_map(|observation| match &observation.fact {
            Fact::Unrecognised(fact) if observation.basis == Basis::Observed => Some(fact.likeness),
            _ => None,
        });
        match likeness {
            Some(unrecognised::Likeness::Opaque) | None => Self::Opaque,
            Some(_) => Self::Cleartext,
        }
    }
}

/// Whether a TLS session negotiated a cipher suite that does not encrypt: NULL, or integrity alone (RFC 9150).
fn without_encryption(session: &tls::Session) -> bool {
    let cipher = session.server_hello.as_ref().and_then(|hello| hello.value.cipher_suite.name());
    cipher.is_some_and(|name| {
        name.contains("_NULL_") || matches!(name, "TLS_SHA256_SHA256" | "TLS_SHA384_SHA384")
    })
}

/// Where a flow's host name comes from, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DomainBasis {
    /// The ClientHello's server_name.
    Sni,
    /// The request's Host or authority.
    HttpHost,
    /// What a proxy was asked to connect to.
    Proxy,
    /// DNS answers that the capture holds, which gave the address to this name alone: an inference.
    Dns,
    /// The server certificate's first name.
    Certificate,
    /// The connection of QUIC that the flow continues.
    QuicConnection,
}

/// A host name and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// Lower case, without the final dot.
    pub name: String,
    /// Why it is believed.
    pub basis: DomainBasis,
}

/// The way that a proxy was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// Where to.
    pub target: proxy::Target,
    /// Whether the proxy agreed; `None` where its answer was not captured.
    pub granted: Option<bool>,
}

impl Tunnel {
    /// The innermost tunnel among `observations`.
    #[must_use]
    pub fn of(observations: &Observations) -> Option<Self> {
        let mut tunnel: Option<Self> = None;
        for observation in observations.iter() {
            let Fact::Proxy(fact) = &observation.fact else { continue };
            match (fact.as_ref(), &mut tunnel) {
                (proxy::Fact::Asked(target), _) => {
                    tunnel = Some(Self { target: target.clone(), granted: None });
                }
                (proxy::Fact::Answered { granted }, Some(tunnel)) => tunnel.granted = Some(*granted),
                (proxy::Fact::Answered { .. }, None) => {}
            }
        }
        tunnel
    }
}

/// A flow that has ended, with everything known of it. What rules see.
#[derive(Clone, Debug)]
pub struct Flow {
    /// Its place in the output, from 1.
    pub id: u64,
    /// As the flow table saw it; originator and responder are right even for flows without a start.
    pub flow: ClosedFlow,
    /// Its protocols, outermost first; `unknown` where no protocol claimed the bytes, empty where there were none.
    pub layers: Vec<&'static str>,
    /// What its bytes are worth.
    pub protection: Protection,
    /// Facts in the order in which they were seen.
    pub observations: Observations,
    /// The TLS session within, folded from the observations.
    pub tls: Option<Box<tls::Session>>,
    /// The responder's name.
    pub domain: Option<Domain>,
    /// Where only DNS answers could tell that name, and gave the address to several: all of them.
    pub shared_names: Vec<String>,
    /// Where the responder, a proxy, was asked to lead.
    pub proxy: Option<Tunnel>,
    /// Whose it is.
    pub owner: Option<Arc<Owner>>,
    /// Whose it is according to methods that disagree with that.
    pub contradicting: Vec<Owner>,
}

impl Flow {
    /// The responder's name, or its address where it has none.
    #[must_use]
    pub fn host(&self) -> Cow<'_, str> {
        match &self.domain {
            Some(domain) => Cow::Borrowed(&domain.name),
            None => Cow::Owned(self.destination().ip.to_string()),
        }
    }

    /// With whom the flow is: the responder, or the destination behind it where that is a proxy that leads on. Where the
    /// client gave the proxy a name, the address remains the proxy's.
    #[must_use]
    pub fn destination(&self) -> Endpoint {
        let responder = self.flow.info.five_tuple.destination;
        match self.tunnelled() {
            Some(target) => Endpoint { ip: target.address().unwrap_or(responder.ip), port: target.port },
            None => responder,
        }
    }

    /// Where the flow leads through a proxy that did not refuse: something follows the request for the way.
    #[must_use]
    pub fn tunnelled(&self) -> Option<&proxy::Target> {
        let Tunnel { target, granted } = self.proxy.as_ref()?;
        let outside = self.layers.iter().position(|layer| *layer == target.protocol)?;
        let inside = outside.saturating_add(1) < self.layers.len();
        (inside && *granted != Some(false)).then_some(target)
    }

    /// Whether the client turned the server away, and how that looks on the wire.
    #[must_use]
    pub fn rejection(&self) -> Option<tls::Rejection> {
        let session = self.tls.as_deref()?;
        let summary = self.flow.tcp;
        let role = session.role_of(summary.and_then(|summary| summary.ended_by));
        session.rejection(role.zip(summary.and_then(|summary| summary.ended_in)))
    }

    /// The HTTP/1 message heads, with their frames.
    pub fn http(&self) -> impl Iterator<Item = (&Observation, &http1::Fact)> {
        self.observations.iter().filter_map(|observation| match &observation.fact {
            Fact::Http1(fact) => Some((observation, fact.as_ref())),
            _ => None,
        })
    }

    /// The DNS messages, with their frames.
    pub fn dns(&self) -> impl Iterator<Item = (&Observation, &dns::Fact)> {
        self.observations.iter().filter_map(|observation| match &observation.fact {
            Fact::Dns(fact) => Some((observation, fact.as_ref())),
            _ => None,
        })
    }

    /// The credentials in the clear that are not HTTP's, with their frames.
    pub fn logins(&self) -> impl Iterator<Item = (&Observation, &login::Fact)> {
        self.observations.iter().filter_map(|observation| match &observation.fact {
            Fact::Login(fact) => Some((observation, fact.as_ref())),
            _ => None,
        })
    }

    /// The steps towards TLS of protocols that begin without it, with their frames.
    pub fn upgrades(&self) -> impl Iterator<Item = (&Observation, &upgrade::Fact)> {
        self.observations.iter().filter_map(|observation| match &observation.fact {
            Fact::Upgrade(fact) => Some((observation, fact)),
            _ => None,
        })
    }

    /// Values that protocols show, with their frames.
    pub fn properties(&self) -> impl Iterator<Item = (&Observation, &property::Fact)> {
        self.observations.iter().filter_map(|observation| match &observation.fact {
            Fact::Property(fact) => Some((observation, fact.as_ref())),
            _ => None,
        })
    }

    /// What carries the DNS that was read or is concluded to be within: `dns over tls`, `dns over https`, `dns over quic`.
    #[must_use]
    pub fn dns_transport(&self) -> Option<(&Observation, &str)> {
        let mut properties = self.properties();
        let (seen, fact) = properties.find(|(_, fact)| fact.protocol == "dns" && fact.name == "transport")?;
        Some((seen, &fact.value))
    }

    /// What unrecognised bytes that crossed the network look like, with the frame.
    pub fn unrecognised(&self) -> Option<(&Observation, &unrecognised::Fact)> {
        self.observations.iter().find_map(|observation| match &observation.fact {
            Fact::Unrecognised(fact) if observation.basis == Basis::Observed => {
                Some((observation, fact.as_ref()))
            }
            _ => None,
        })
    }
}

#[cfg(test)]
impl Flow {
    /// A TCP flow of 2 × 5 packets with payload, of which nothing else is known: for tests of what judges flows.
    pub(crate) fn made(source: ([u8; 4], u16), destination: ([u8; 4], u16)) -> Self {
        use crate::decode::{Endpoint, FiveTuple, Transport, TunnelPath};
        use crate::flow::{CloseReason, Counts, FlowInfo, Origin, TcpState, TcpSummary};

        let end = |(ip, port): ([u8; 4], u16)| Endpoint { ip: std::net::IpAddr::from(ip), port };
        let counts = Counts { packets: 5, bytes: 500, payload: 200 };
        let tcp = TcpSummary {
            state: TcpState::Closed,
            gaps: 0,
            gap_bytes: 0,
            retransmissions: 0,
            out_of_order: 0,
            conflicts: 0,
            ended_by: None,
            ended_in: None,
        };
        let info = FlowInfo {
            five_tuple: FiveTuple {
                transport: Transport::Tcp,
                source: end(source),
                destination: end(destination),
            },
            tunnels: TunnelPath::default(),
            carries: None,
            first_frame: 1,
            start: Timestamp(0),
            midstream: false,
            origin: Origin::Shown,
        };
        let flow = ClosedFlow {
            info,
            last_frame: 10,
            end: Timestamp(0),
            closed_at: Tick(0),
            reason: CloseReason::Finished,
            counts: [counts; 2],
            tcp: Some(tcp),
            duplicates: 0,
            owners: Vec::new(),
        };
        Self {
            id: 1,
            flow,
            layers: Vec::new(),
            protection: Protection::Opaque,
            observations: Observations::default(),
            tls: None,
            domain: None,
            shared_names: Vec::new(),
            proxy: None,
            owner: None,
            contradicting: Vec::new(),
        }
    }
}

/// Why a finished flow could not be handed on: the database, the disk.
pub type SinkError = Box<dyn std::error::Error + Send + Sync>;

/// Who takes flows as they end, in output order: the database, the JSON Lines output.
pub trait FlowSink {
    /// Takes one flow.
    ///
    /// # Errors
    /// When it cannot be kept; the run ends then.
    fn flow(&mut self, flow: &Flow) -> Result<(), SinkError>;

    /// Takes one flow with the worst that is said of it by itself; what compares flows comes at the end of the run.
    ///
    /// # Errors
    /// As [`Self::flow`].
    fn judged(&mut self, flow: &Flow, _worst: Option<Mark>) -> Result<(), SinkError> {
        self.flow(flow)
    }

    /// Somebody said what happens. It may come after flows that it concerns: what it amounts to is known at the end of the run.
    ///
    /// # Errors
    /// As [`Self::flow`].
    fn marker(&mut self, _marker: &Marker) -> Result<(), SinkError> {
        Ok(())
    }

    /// Takes what a rule says of the flow that was taken last, if nothing equal was said before or this is graver. It
    /// is provisional: whom it is held against, what excuses it and what comparison adds, the end of the run settles.
    ///
    /// # Errors
    /// As [`Self::flow`].
    fn found(&mut self, _flow: &Flow, _found: &Found) -> Result<(), SinkError> {
        Ok(())
    }

    /// No more flows are at hand before `_until`: in a running capture, time for those who watch.
    ///
    /// # Errors
    /// As [`Self::flow`].
    fn pause(&mut self, _until: Tick) -> Result<(), SinkError> {
        Ok(())
    }
}

/// A rule's objection to one flow, in the words of the outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// How bad it is: `critical`, `high`, …
    pub severity: &'static str,
    /// The rule's id.
    pub rule: &'static str,
}

/// A finding before the run is over, in the words of the outputs: a sink knows no rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its number among the findings of the run, from 0. A graver one takes the number of what it replaces.
    pub number: u64,
    /// The rule's id.
    pub rule: &'static str,
    /// How bad it is: `critical`, `high`, …
    pub severity: &'static str,
    /// How sure it is: `certain`, `firm` or `tentative`.
    pub confidence: &'static str,
    /// The requirements that it breaks.
    pub requirements: &'static [&'static str],
    /// The far end's name.
    pub host: Option<String>,
    /// The far end's address and port.
    pub far_end: Endpoint,
    /// One sentence with what was seen.
    pub message: String,
    /// The values that it rests on.
    pub details: serde_json::Map<String, serde_json::Value>,
    /// As in the findings at the end, unless the owner becomes better known.
    pub fingerprint: String,
    /// The frames that show it, the one to look at first in front.
    pub frames: Vec<FrameNumber>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protection(layers: &[&'static str], session: Option<&tls::Session>, facts: &[Fact]) -> Protection {
        let mut observations = Observations::default();
        for fact in facts {
            observations.push(
                Observation { frame: 1, at: Timestamp(0), basis: Basis::Observed, fact: fact.clone() },
                facts.len(),
            );
        }
        Protection::of(layers, session, &observations, true)
    }

    fn unrecognised(likeness: unrecognised::Likeness) -> Fact {
        Fact::Unrecognised(Box::new(unrecognised::Fact {
            likeness,
            kind: None,
            evidence: None,
            sampled: 9,
            printable: 0.5,
            entropy: 3.0,
        }))
    }

    #[test]
    fn the_innermost_readable_layer_decides() {
        let session = tls::Session::default();
        assert_eq!(protection(&["tls"], Some(&session), &[]), Protection::Encrypted);
        assert_eq!(protection(&["http", "tls"], Some(&session), &[]), Protection::Encrypted);
        assert_eq!(protection(&["smtp", "tls"], Some(&session), &[]), Protection::Opportunistic);
        assert_eq!(protection(&["http", "websocket"], None, &[]), Protection::Cleartext);
        assert_eq!(protection(&["dns"], None, &[]), Protection::Cleartext);
    }

    #[test]
    fn unknown_bytes_are_what_they_look_like() {
        let text = unrecognised(unrecognised::Likeness::Text);
        let opaque = unrecognised(unrecognised::Likeness::Opaque);
        assert_eq!(protection(&["unknown"], None, &[text]), Protection::Cleartext);
        assert_eq!(protection(&["http", "unknown"], None, &[opaque]), Protection::Opaque);
        assert_eq!(protection(&[], None, &[]), Protection::Opaque);
        assert_eq!(Protection::of(&[], None, &Observations::default(), false), Protection::Empty);
    }
}
