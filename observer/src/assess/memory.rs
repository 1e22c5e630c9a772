//! What is remembered of flows until the run is over: digests by app and host, and how far requirements were exercised.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use super::{AppKey, Limits, app_key};
use crate::attribution::Owner;
use crate::decode::Transport;
use crate::observation::{Flow, Protection};
use crate::protocol::tls::{ClientCertificate, Role, Session, TlsVersion};
use crate::protocol::{Worth, worth};
use crate::requirements::Exercise;
use crate::rules::{App, Digest, Endpoint, Missed, RuleContext, facts};

/// How far a requirement's evidence was exercised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Covered {
    pub(super) endpoints: u64,
    pub(super) flows: u64,
    pub(super) bytes: u64,
}

/// What is remembered of an app.
#[derive(Default)]
pub(super) struct AppMemory {
    pub(super) owner: Option<Arc<Owner>>,
    hosts: Hosts,
    covered: BTreeMap<Exercise, Covered>,
    /// All flows, with payload or without.
    pub(super) flows: u64,
    /// Bytes of payload.
    pub(super) payload: u64,
    /// Bytes of payload that the capture does not hold.
    pub(super) gap_bytes: u64,
    /// TLS flows whose chain TLS 1.3 hides.
    pub(super) hidden_chains: u64,
    /// Invalid or unknown chains that the client turned away.
    pub(super) refused: u64,
    /// Flows that no protocol claims and that are not text: not known to be protected.
    pub(super) opaque: u64,
    /// Flows that no protocol claims and that look like text, without enough of it from the start to say so.
    pub(super) vague: u64,
    /// Other readable flows of which no rule says with weight what they are worth.
    pub(super) unsettled: u64,
}

/// Far ends, by name or by address where there is none.
#[derive(Default)]
struct Hosts {
    named: HashMap<String, EndpointMemory, foldhash::fast::RandomState>,
    unnamed: HashMap<IpAddr, EndpointMemory, foldhash::fast::RandomState>,
}

impl Hosts {
    /// What is remembered of the far end of `flow`, and whether that is nothing so far; `None` for a new one where
    /// there is no `room`.
    fn of(&mut self, flow: &Flow, room: bool) -> Option<(&mut EndpointMemory, bool)> {
        match &flow.domain {
            Some(domain) => {
                let new = !self.named.contains_key(&domain.name);
                if new && room {
                    self.named.insert(domain.name.clone(), EndpointMemory::default());
                }
                Some((self.named.get_mut(&domain.name)?, new))
            }
            None => {
                let address = flow.destination().ip;
                let new = !self.unnamed.contains_key(&address);
                if new && room {
                    self.unnamed.insert(address, EndpointMemory::default());
                }
                Some((self.unnamed.get_mut(&address)?, new))
            }
        }
    }

    /// All of them, those without a name first; by address, then by name.
    fn in_order(&mut self) -> Vec<(Option<&String>, &mut EndpointMemory)> {
        let mut unnamed: Vec<_> = self.unnamed.iter_mut().collect();
        let mut named: Vec<_> = self.named.iter_mut().collect();
        unnamed.sort_by_key(|(address, _)| **address);
        named.sort_by_key(|(name, _)| *name);
        let unnamed = unnamed.into_iter().map(|(_, entry)| (None, entry));
        unnamed.chain(named.into_iter().map(|(name, entry)| (Some(name), entry))).collect()
    }
}

#[derive(Default)]
struct EndpointMemory {
    digests: Vec<Digest>,
    covers: Vec<Exercise>,
}

/// What is remembered of a run.
#[derive(Default)]
pub(super) struct Memory {
    pub(super) apps: BTreeMap<AppKey, AppMemory>,
    endpoints: usize,
    digests: usize,
    dropped_apps: u64,
    dropped_endpoints: u64,
    dropped_digests: u64,
    /// Bytes of all flows.
    pub(super) bytes: u64,
    /// Bytes of flows without an owner that an app could have.
    pub(super) unattributed_bytes: u64,
    /// Flows without an owner that an app could have.
    pub(super) unattributed_flows: u64,
}

impl Memory {
    /// Remembers a flow. `settled` is whether a finding says what it is worth that it can be read.
    pub(super) fn remember(&mut self, flow: &Flow, settled: bool, cx: &RuleContext<'_>, limits: &Limits) {
        let bytes = flow.flow.counts.iter().fold(0u64, |sum, counts| sum.saturating_add(counts.bytes));
        self.bytes = self.bytes.saturating_add(bytes);
        // Errors, and the search for neighbours, are sent by kernels: no app could own them.
        if flow.owner.is_none() && flow.flow.info.five_tuple.transport != Transport::Icmp {
            self.unattributed_bytes = self.unattributed_bytes.saturating_add(bytes);
            self.unattributed_flows = self.unattributed_flows.saturating_add(1);
        }
        let key = app_key(flow.owner.as_deref());
        if self.apps.len() >= limits.apps && !self.apps.contains_key(&key) {
            self.dropped_apps = self.dropped_apps.saturating_add(1);
            return;
        }
        let app = self.apps.entry(key).or_default();
        if app.owner.is_none() {
            app.owner = flow.owner.as_deref().map(|owner| Arc::new(of_app(owner)));
        }
        app.count(flow, settled, cx);
        let Some((entry, new)) = app.hosts.of(flow, self.endpoints < limits.endpoints) else {
            self.dropped_endpoints = self.dropped_endpoints.saturating_add(1);
            return;
        };
        self.endpoints = self.endpoints.saturating_add(usize::from(new));
        for exercise in exercises(flow, cx) {
            let covered = app.covered.entry(exercise).or_default();
            covered.flows = covered.flows.saturating_add(1);
            covered.bytes = covered.bytes.saturating_add(bytes);
            if !entry.covers.contains(&exercise) {
                entry.covers.push(exercise);
                covered.endpoints = covered.endpoints.saturating_add(1);
            }
        }
        if facts::is_housekeeping(flow) {
            return;
        }
        if entry.digests.len() >= limits.digests_per_endpoint || self.digests >= limits.digests {
            self.dropped_digests = self.dropped_digests.saturating_add(1);
            return;
        }
        entry.digests.push(Digest::of(flow));
        self.digests = self.digests.saturating_add(1);
    }

    /// The apps with their endpoints; a connectivity check counts only where an owner can be named.
    pub(super) fn apps(&mut self) -> Vec<App> {
        let has_owners = self.apps.keys().any(Option::is_some);
        let mut apps = Vec::new();
        for memory in self.apps.values_mut() {
            let mut endpoints = Vec::new();
            for (host, entry) in memory.hosts.in_order() {
                let mut flows = std::mem::take(&mut entry.digests);
                flows.retain(|digest| has_owners || !digest.connectivity_check);
                flows.sort_by_key(|digest| (digest.start, digest.first_frame));
                if !flows.is_empty() {
                    endpoints.push(Endpoint { owner: memory.owner.clone(), host: host.cloned(), flows });
                }
            }
            apps.push(App { owner: memory.owner.clone(), endpoints });
        }
        apps
    }

    /// Every owner, once an app.
    pub(super) fn owners(&self) -> impl Iterator<Item = &Arc<Owner>> {
        self.apps.values().filter_map(|app| app.owner.as_ref())
    }

    /// The owner that stands for the whole app of `owner`.
    pub(super) fn owner(&self, owner: Option<&Owner>) -> Option<Arc<Owner>> {
        self.apps.get(&app_key(owner))?.owner.clone()
    }

    /// What the limits dropped.
    pub(super) fn dropped(&self) -> BTreeMap<String, u64> {
        let counts = [
            ("flows of further apps", self.dropped_apps),
            ("flows of further endpoints", self.dropped_endpoints),
            ("flow digests", self.dropped_digests),
        ];
        counts
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(name, count)| (name.to_owned(), count))
            .collect()
    }
}

impl AppMemory {
    /// How far the app exercised something.
    pub(super) fn covered(&self, exercise: Exercise) -> Covered {
        self.covered.get(&exercise).copied().unwrap_or_default()
    }

    fn count(&mut self, flow: &Flow, settled: bool, cx: &RuleContext<'_>) {
        self.flows = self.flows.saturating_add(1);
        let payload = flow.flow.counts.iter().fold(0u64, |sum, counts| sum.saturating_add(counts.payload));
        self.payload = self.payload.saturating_add(payload);
        self.gap_bytes = self.gap_bytes.saturating_add(flow.flow.tcp.map_or(0, |summary| summary.gap_bytes));
        if facts::counts(flow) {
            let unclaimed = flow.unrecognised().is_some();
            match flow.protection {
                Protection::Opaque => self.opaque = self.opaque.saturating_add(1),
                Protection::Cleartext if unclaimed && facts::unknown_readable(flow).is_none() => {
                    self.vague = self.vague.saturating_add(1);
                }
                Protection::Cleartext if !settled && !is_settled_by_itself(flow) => {
                    self.unsettled = self.unsettled.saturating_add(1);
                }
                _ => {}
            }
        }
        let Some(session) = facts::session(flow) else { return };
        let new = session.version().is_some_and(|version| version.of_tls() >= TlsVersion::TLS_1_3);
        if new && session.server_chain.is_none() {
            self.hidden_chains = self.hidden_chains.saturating_add(1);
        }
        let invalid = cx.chain.is_none_or(crate::trust::ChainStatus::is_invalid);
        if invalid && session.client_data.is_none() && refused_server(session) {
            self.refused = self.refused.saturating_add(1);
        }
    }
}

/// Whether no finding is needed to know what a readable flow is worth: one that carried nothing, one that left without
/// saying more where there was no TLS, and requests, which are judged one by one.
fn is_settled_by_itself(flow: &Flow) -> bool {
    let carried_nothing = flow.layers.last().is_some_and(|layer| worth(layer) == Worth::Carrier);
    carried_nothing || Missed::of(flow).is_some() || facts::clear_heads(flow).next().is_some()
}

/// What the flow shows evidence of.
fn exercises(flow: &Flow, cx: &RuleContext<'_>) -> Vec<Exercise> {
    let mut found = Vec::new();
    if facts::came_to_nothing(flow) {
        found.push(Exercise::Loss);
    }
    if !facts::counts(flow) {
        return found;
    }
    found.push(Exercise::Payload);
    let host = flow.host();
    if !cx.policy.endpoints.is_empty() {
        found.push(Exercise::Endpoint);
    }
    if facts::clear_requests(flow).next().is_some() {
        found.push(Exercise::Request);
    }
    if facts::has_responses(flow) {
        found.push(Exercise::Response);
    }
    let mutual = cx.policy.expects_client_certificate(&host);
    let Some(session) = flow.tls.as_deref() else {
        if mutual {
            found.push(Exercise::ClientCertificate);
        }
        return found;
    };
    if session.server_hello.is_some() {
        found.push(Exercise::Handshake);
        let state = match session.client_certificate() {
            ClientCertificate::ResumedUnknown => session.original.map(|original| original.state),
            ClientCertificate::Unknown => None,
            state => Some(state),
        };
        let asked = matches!(state, Some(ClientCertificate::Sent | ClientCertificate::Declined));
        if asked || session.certificate_request.is_some() || (mutual && state.is_some()) {
            found.push(Exercise::ClientCertificate);
        }
    }
    if session.server_chain.is_some() || refused_server(session) {
        found.push(Exercise::Chain);
    }
    let intercepted = cx.chain.is_some_and(|chain| chain.under_test_ca);
    if session.server_chain.is_some() && (intercepted || cx.policy.pins(&host).is_some()) {
        found.push(Exercise::Pin);
    }
    found
}

/// Whether the client said with an alert that it does not accept the server's certificate (RFC 9846 §6.2).
fn refused_server(session: &Session) -> bool {
    session.alerts.iter().any(|alert| {
        alert.value.from == Role::Client && matches!(alert.value.description, Some(42..=46 | 48))
    })
}

/// The owner without what differs between the processes of an app.
fn of_app(owner: &Owner) -> Owner {
    let named = owner.package.is_some() || !owner.packages.is_empty() || owner.label.is_some();
    Owner { pid: None, process: if named { None } else { owner.process.clone() }, ..owner.clone() }
}
