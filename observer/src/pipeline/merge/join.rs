//! The join: a flow that has ended gets what only others know of it, its owner and name.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::super::domain::{Named, asker, domain_of, ech_of};
use super::super::encrypted_dns;
use super::{Ended, Learned, Merge};
use crate::attribution::{Confidence, Life, Owner, SocketOwner, owners_of, settle};
use crate::decode::Transport;
use crate::flow::{CloseReason, Direction, Origin};
use crate::observation::{Basis, Flow, Observation, Observations, Protection, Tunnel};
use crate::protocol::{Fact, tls};

impl Merge {
    /// The flow with its owner and name; `None` if it is not among those that the run is about.
    pub(super) fn join(&mut self, mut ended: Ended) -> Option<Flow> {
        if self.own_endpoints.has(&ended.flow.info.five_tuple) {
            return None;
        }
        if let Some(session) = ended.tls.as_mut().filter(|_| ended.flow.info.origin == Origin::Guessed)
            && session.client_direction == Some(Direction::ToOriginator)
        {
            ended.flow.turn_round();
            session.client_direction = Some(Direction::ToResponder);
        }
        for observation in self.transfers.settle(&mut ended) {
            self.conclude(&mut ended.observations, observation);
        }
        let origin = self.connections.continued_by(&mut ended);
        let (mut owners, sockets) = self.owners(&mut ended);
        if owners.is_empty() {
            owners.extend(origin.as_ref().and_then(|origin| origin.owner.clone()));
        }
        let mut owners = owners.into_iter();
        let owner = owners.next().map(Arc::new);
        let of_sockets = sockets.iter().map(Arc::as_ref);
        if self.selection.wants(owner.as_deref(), of_sockets) == Some(false) {
            self.totals.unselected_flows = self.totals.unselected_flows.saturating_add(1);
            return None;
        }
        // The resolver itself does not contradict that it asked for somebody.
        let direct = owner.as_ref().is_some_and(|owner| owner.confidence != Confidence::Inferred);
        self.contradicted = self.contradicted.saturating_add(u64::from(direct && owners.len() > 0));
        self.count(&ended, owner.is_some());
        self.emulator.see(&ended.flow.info.five_tuple);
        let proxy = Tunnel::of(&ended.observations);
        if let Some(session) = ended.tls.as_deref_mut() {
            session.ech = ech_of(&ended.flow, session, &self.names);
            session.settle_rejected_client(ended.flow.tcp.and_then(|summary| summary.ended_in));
        }
        let session = ended.tls.as_deref();
        let named = match origin.and_then(|origin| origin.domain) {
            Some(domain) => Named { domain: Some(domain), ..Named::default() },
            None => domain_of(
                &ended.flow,
                &ended.observations,
                session,
                proxy.as_ref(),
                &self.names,
                owner.as_deref(),
            ),
        };
        // Packets that are nothing but payload are not counted as such.
        let payload = ended.flow.counts.iter().any(|counts| counts.payload > 0)
            || !(ended.layers.is_empty() || ended.flow.is_carrier());
        let mut flow = Flow {
            id: self.totals.flows,
            protection: Protection::of(&ended.layers, ended.tls.as_deref(), &ended.observations, payload),
            flow: ended.flow,
            layers: ended.layers,
            observations: ended.observations,
            tls: ended.tls,
            domain: named.domain,
            shared_names: named.shared,
            proxy,
            owner,
            contradicting: owners.collect(),
        };
        for observation in encrypted_dns::observations(&flow) {
            self.conclude(&mut flow.observations, observation);
        }
        self.connections.joined(&flow);
        self.originals.settle(&mut flow);
        Some(flow)
    }

    /// By what is known the app that an answer was for, where one asked for itself.
    pub(super) fn asker(&self, learned: &Learned) -> Option<Arc<str>> {
        let five_tuple = &learned.place.0;
        let mut recorded: Vec<_> = learned.owner.iter().cloned().collect();
        recorded.extend(self.sidecar.owner(five_tuple, learned.when, learned.when));
        let mut owners = owners_of(&recorded, &self.apps);
        if owners.is_empty()
            && let Some(live) = &self.live
        {
            let life = Life { start: learned.when, end: learned.when, begins: false, is_over: false };
            owners = settle(live.owners(&live.sockets(&five_tuple.reverse(), life)));
        }
        owners.first().and_then(asker).map(Arc::from)
    }

    /// Adds what only the flow as it is joined with others shows.
    fn conclude(&mut self, observations: &mut Observations, observation: Observation) {
        let dropped = observations.dropped();
        observations.push(observation, self.observations_per_flow);
        if observations.dropped() > dropped {
            *self.totals.dropped_by_limit.entry("observations".to_owned()).or_default() += 1;
        }
    }

    /// The owner to go by first, then those that contradict it; and the sockets that say so, of a running system.
    fn owners(&self, ended: &mut Ended) -> (Vec<Owner>, Vec<Arc<SocketOwner>>) {
        let flow = &mut ended.flow;
        let (tuple, start, end) = (flow.info.five_tuple, flow.info.start, flow.end);
        flow.owners.extend(self.sidecar.owner(&tuple, start, end));
        let recorded = owners_of(&flow.owners, &self.apps);
        let Some(live) = &self.live else { return (recorded, Vec::new()) };
        let tcp = tuple.transport == Transport::Tcp;
        let begins = tcp && !flow.info.midstream;
        let is_over = tcp && matches!(flow.reason, CloseReason::Finished | CloseReason::Reused);
        let sockets = live.sockets(&tuple, Life { start, end, begins, is_over });
        let mut owners = settle(recorded.into_iter().chain(live.owners(&sockets)));
        // The system's resolver asks for others: whoever connects to the answer next is who wanted it.
        if owners.first().is_none_or(Owner::is_resolver) {
            let addresses = answers(&ended.observations);
            let asker = live.asker(&addresses, start, end);
            owners.splice(0..0, asker);
        }
        (owners, sockets)
    }

    fn count(&mut self, ended: &Ended, attributed: bool) {
        let totals = &mut self.totals;
        totals.flows = totals.flows.saturating_add(1);
        totals.duplicates = totals.duplicates.saturating_add(ended.flow.duplicates);
        if !attributed {
            let bytes = ended.flow.counts.iter().map(|counts| counts.bytes).sum();
            totals.unattributed_flows = totals.unattributed_flows.saturating_add(1);
            totals.unattributed_bytes = totals.unattributed_bytes.saturating_add(bytes);
        }
        for observation in ended.observations.iter() {
            if let Fact::Malformed { protocol, error, .. } = &observation.fact {
                *totals.malformed.entry(format!("{protocol}: {}", error.field())).or_default() += 1;
            }
        }
        let mut outcomes = BTreeSet::new();
        for observation in ended.observations.iter() {
            match &observation.fact {
                Fact::Tls(tls::Fact::Undecrypted { reason, .. }) => outcomes.insert(reason.name()),
                _ if observation.basis == Basis::Decrypted => outcomes.insert("decrypted"),
                _ => false,
            };
        }
        for outcome in outcomes {
            *totals.decryption.entry(outcome).or_default() += 1;
        }
    }
}

/// The addresses in the answers of a flow of DNS; none for other flows.
fn answers(observations: &Observations) -> Vec<IpAddr> {
    let dns = observations.iter().filter_map(|observation| match &observation.fact {
        Fact::Dns(fact) => Some(fact),
        _ => None,
    });
    dns.flat_map(|fact| fact.addresses()).collect()
}
