//! Flows added up by app and endpoint, for reports that people read. Bounded: a scan of a network makes many endpoints.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::attribution::Owner;
use crate::decode::Transport;
use crate::flow::Origin;
use crate::observation::{Domain, DomainBasis, Flow, FlowSink, Protection, SinkError};
use crate::protocol::quic;
use crate::protocol::tls::{Ech, Session, TlsVersion};
use crate::report::names;
use crate::source::FrameNumber;

/// Endpoints that are told apart, over all apps; flows with further ones are only counted.
const ENDPOINTS: usize = 20_000;

/// Ciphers and protocols that are named for an endpoint, owners of a kind of the platform's flows.
const NAMES: usize = 8;

/// What an endpoint is told apart by. Sorts the worst protection first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EndpointKey {
    /// How bad the protection is: cleartext is 0.
    rank: u8,
    /// Host name, or address where no name is known.
    pub host: String,
    /// The port; `None` for transports without ports.
    pub port: Option<u16>,
    /// The innermost protocol; `None` without payload.
    pub protocol: Option<&'static str>,
    /// How.
    pub transport: Transport,
    /// What the bytes are worth.
    pub protection: Protection,
}

/// What was seen of an endpoint.
#[derive(Clone, Debug, Default)]
pub struct Endpoint {
    /// Flows.
    pub flows: u64,
    /// Bytes from and to the originator, headers included.
    pub bytes: u64,
    /// The first frame of the first flow.
    pub first_frame: FrameNumber,
    /// Negotiated versions, e.g. `TLS 1.3`.
    pub versions: BTreeSet<String>,
    /// Negotiated ciphers, at most eight.
    pub ciphers: BTreeSet<String>,
    /// Negotiated application protocols, at most eight.
    pub protocols: BTreeSet<String>,
    /// TLS handshakes that began and were not completed.
    pub incomplete: u64,
    /// What is known or concluded of DNS within, at most eight: `dns over tls (inferred)`.
    pub encrypted_dns: BTreeSet<String>,
}

/// What was seen of an app.
#[derive(Clone, Debug, Default)]
pub struct App {
    /// Who it is; `None` is unattributed traffic.
    pub owner: Option<Arc<Owner>>,
    /// Flows.
    pub flows: u64,
    /// Their bytes, both directions, headers included.
    pub bytes: u64,
    /// Its endpoints.
    pub endpoints: BTreeMap<EndpointKey, Endpoint>,
    /// Flows whose endpoints were one too many.
    pub other_flows: u64,
}

impl App {
    /// Whether `owner` is this app.
    #[must_use]
    pub fn is(&self, owner: Option<&Owner>) -> bool {
        match (self.owner.as_deref(), owner) {
            (Some(mine), Some(other)) => mine.uid == other.uid && mine.name() == other.name(),
            (mine, other) => mine.is_none() && other.is_none(),
        }
    }
}

/// What flows hide, counted in flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hidden {
    /// TLS 1.3: certificates are encrypted.
    pub certificates: u64,
    /// A ClientHello that offers ECH, or pretends to.
    pub names: u64,
    /// Flows that began before the capture.
    pub midstream: u64,
    /// Flows with bytes that the capture lacks.
    pub gaps: u64,
    /// Flows that no protocol claims.
    pub opaque: u64,
    /// Their bytes.
    pub opaque_bytes: u64,
    /// Flows with an owner.
    pub attributed: u64,
}

/// Flows of one kind that platforms send of their own accord.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Errand {
    /// Flows.
    pub flows: u64,
    /// Their bytes, both directions, headers included.
    pub bytes: u64,
    /// Whose they are, at most eight; empty where nobody is known.
    pub owners: BTreeSet<String>,
}

/// A run's flows, added up.
#[derive(Clone, Debug, Default)]
pub struct Overview {
    /// Apps by the name that people know them by and their uid: a work profile has the same apps under other uids.
    apps: BTreeMap<(String, Option<u32>), App>,
    unattributed: App,
    hidden: Hidden,
    errands: BTreeMap<&'static str, Errand>,
    endpoints: usize,
}

impl Overview {
    /// The apps by name, unattributed traffic last.
    pub fn apps(&self) -> impl Iterator<Item = &App> {
        self.apps.values().chain((self.unattributed.flows > 0).then_some(&self.unattributed))
    }

    /// What platforms send of their own accord, by kind: see [`crate::rules::errand`].
    #[must_use]
    pub fn errands(&self) -> &BTreeMap<&'static str, Errand> {
        &self.errands
    }

    /// What flows hide.
    #[must_use]
    pub fn hidden(&self) -> Hidden {
        self.hidden
    }

    fn add(&mut self, flow: &Flow) {
        let closed = &flow.flow;
        let bytes = closed.counts.iter().map(|counts| counts.bytes).sum::<u64>();
        self.hidden.add(flow, bytes);
        if let Some(kind) = crate::rules::errand(flow) {
            let errand = self.errands.entry(kind).or_default();
            errand.flows = errand.flows.saturating_add(1);
            errand.bytes = errand.bytes.saturating_add(bytes);
            if errand.owners.len() < NAMES {
                errand.owners.extend(flow.owner.as_ref().map(|owner| owner.name()));
            }
        }
        let app = match &flow.owner {
            None => &mut self.unattributed,
            Some(owner) => self
                .apps
                .entry((owner.name(), owner.uid))
                .or_insert_with(|| App { owner: Some(Arc::clone(owner)), ..App::default() }),
        };
        app.flows = app.flows.saturating_add(1);
        app.bytes = app.bytes.saturating_add(bytes);
        let key = EndpointKey::new(flow);
        if !app.endpoints.contains_key(&key) {
            if self.endpoints >= ENDPOINTS {
                app.other_flows = app.other_flows.saturating_add(1);
                return;
            }
            self.endpoints = self.endpoints.saturating_add(1);
        }
        let endpoint = app.endpoints.entry(key).or_default();
        if endpoint.flows == 0 {
            endpoint.first_frame = closed.info.first_frame;
        }
        endpoint.flows = endpoint.flows.saturating_add(1);
        endpoint.bytes = endpoint.bytes.saturating_add(bytes);
        if let Some(session) = &flow.tls {
            endpoint.add(session, flow.layers.contains(&quic::PROTOCOL.name));
        }
        if let Some((seen, transport)) = flow.dns_transport()
            && endpoint.encrypted_dns.len() < NAMES
        {
            endpoint.encrypted_dns.insert(format!("{transport} ({})", seen.basis.name()));
        }
    }
}

impl FlowSink for Overview {
    fn flow(&mut self, flow: &Flow) -> Result<(), SinkError> {
        self.add(flow);
        Ok(())
    }
}

impl Hidden {
    fn add(&mut self, flow: &Flow, bytes: u64) {
        let session = flow.tls.as_deref();
        let tls_1_3 = session
            .filter(|session| session.server_decrypted.is_none())
            .and_then(Session::version)
            .is_some_and(TlsVersion::is_tls13);
        let named =
            |domain: &Domain| matches!(domain.basis, DomainBasis::HttpHost | DomainBasis::Certificate);
        let ech = session.is_some_and(|session| session.ech == Ech::Unknown || session.ech.hides_name())
            && !flow.domain.as_ref().is_some_and(named);
        let gaps = flow.flow.tcp.as_ref().is_some_and(|tcp| tcp.gaps > 0);
        let opaque = flow.protection == Protection::Opaque;
        for (count, more) in [
            (&mut self.certificates, u64::from(tls_1_3)),
            (&mut self.names, u64::from(ech)),
            (&mut self.midstream, u64::from(flow.flow.info.origin == Origin::Guessed)),
            (&mut self.gaps, u64::from(gaps)),
            (&mut self.opaque, u64::from(opaque)),
            (&mut self.opaque_bytes, if opaque { bytes } else { 0 }),
            (&mut self.attributed, u64::from(flow.owner.is_some())),
        ] {
            *count = count.saturating_add(more);
        }
    }
}

impl EndpointKey {
    fn new(flow: &Flow) -> Self {
        let tuple = &flow.flow.info.five_tuple;
        let host = flow.host().into_owned();
        let rank = match flow.protection {
            Protection::Cleartext => 0,
            Protection::Opportunistic => 1,
            Protection::Opaque => 2,
            Protection::Encrypted => 3,
            Protection::Empty => 4,
        };
        let ports = matches!(tuple.transport, Transport::Tcp | Transport::Udp);
        Self {
            rank,
            host,
            port: ports.then_some(flow.destination().port),
            protocol: names::layers(flow).last().copied(),
            transport: tuple.transport,
            protection: flow.protection,
        }
    }
}

impl Endpoint {
    fn add(&mut self, session: &Session, over_quic: bool) {
        let mut name = |set: fn(&mut Self) -> &mut BTreeSet<String>, value: Option<String>| {
            let set = set(self);
            if let Some(value) = value.filter(|_| set.len() < NAMES) {
                set.insert(value);
            }
        };
        let hello = session.server_hello.as_ref();
        let under = if over_quic { " over QUIC" } else { "" };
        let version = |version: TlsVersion| format!("{} {version}{under}", version.protocol().to_uppercase());
        name(|endpoint| &mut endpoint.versions, session.version().map(version));
        name(|endpoint| &mut endpoint.ciphers, hello.map(|hello| hello.value.cipher_suite.to_string()));
        name(|endpoint| &mut endpoint.protocols, session.alpn().map(str::to_owned));
        let began = session.client_hello.is_some() || hello.is_some();
        self.incomplete = self.incomplete.saturating_add(u64::from(began && !session.established()));
    }
}
