//! FTP's data connections, joined with the control connections that agreed on them.
//!
//! Flows come here as they end, agreements in the order of their frames, both after the merge: a data connection begins
//! after it was agreed on, and so ends after that. Where TLS hides what was agreed on, a flow between the same two hosts
//! while the control connection was open is concluded to be its data.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use super::merge::Ended;
use crate::decode::{Endpoint, FiveTuple, Transport};
use crate::flow::ClosedFlow;
use crate::observation::{Basis, Observation};
use crate::protocol::ftp::transfer::{Agreement, Step, Transfer};
use crate::protocol::{Fact, UNKNOWN_LAYER, Worth, ftp, property, worth};
use crate::report::community_id::CommunityId;
use crate::source::FrameNumber;
use crate::time::Timestamp;

/// Data connections that are waited for, and hosts with a hidden control connection; the oldest gives way.
const MAX_EXPECTED: usize = 4096;
/// Nanoseconds within which a data connection follows what was agreed on: servers wait one to five minutes.
const WITHIN: i64 = 300_000_000_000;
/// Ports below it belong to services; data connections are elsewhere, but for the server's end of active ones.
const FIRST_FREE_PORT: u16 = 1024;
/// The port that servers connect from (RFC 959 §8).
const DATA_PORT: u16 = 20;

/// A data connection by those who will have it: the tunnel around it, who connects, and where to.
type Way = (u64, IpAddr, Endpoint);
/// Client and server of a control connection, and the tunnel around it.
type Hosts = (u64, IpAddr, IpAddr);

/// What control connections said of data connections.
#[derive(Default)]
pub(super) struct Transfers {
    expected: Bounded<Way, Expected>,
    hidden: Bounded<Hosts, Hidden>,
}

/// A data connection that was agreed on.
struct Expected {
    control: FiveTuple,
    transfer: Transfer,
    agreement: Agreement,
}

/// Control connections between two hosts that have changed to TLS.
struct Hidden {
    control: FiveTuple,
    /// Where the first of those that are open changed.
    since: FrameNumber,
    open: u32,
    /// When the last of them ended.
    until: Timestamp,
}

impl Transfers {
    /// Takes what `control`, client first, said within the tunnel `context`.
    pub(super) fn learn(&mut self, control: FiveTuple, context: u64, transfer: Transfer) {
        let (client, server) = (control.source.ip, control.destination.ip);
        match transfer.step {
            Step::Agreed(agreement) => {
                let (from, at) =
                    if agreement.command.is_passive() { (client, server) } else { (server, client) };
                // Behind address translation what was said is not where it goes.
                for ip in [Some(at), agreement.address.filter(|said| *said != at)].into_iter().flatten() {
                    let way = (context, from, Endpoint { ip, port: agreement.port });
                    self.expected.insert(way, Expected { control, transfer, agreement });
                }
            }
            Step::Hidden => {
                let hosts = (context, client, server);
                match self.hidden.get_mut(&hosts).filter(|known| known.open > 0) {
                    Some(known) => known.open = known.open.saturating_add(1),
                    None => {
                        let until = Timestamp(i64::MAX);
                        self.hidden.insert(hosts, Hidden { control, since: transfer.frame, open: 1, until });
                    }
                }
            }
        }
    }

    /// Names the layers of a flow that carries data, and says beside which control connection it ran.
    pub(super) fn settle(&mut self, ended: &mut Ended) -> Vec<Observation> {
        let tuple = ended.flow.info.five_tuple;
        if tuple.transport != Transport::Tcp || (self.expected.is_empty() && self.hidden.is_empty()) {
            return Vec::new();
        }
        let (frame, at) = (ended.flow.info.first_frame, ended.flow.info.start);
        let said = |name, value: &str, basis| {
            let fact = Fact::Property(Box::new(property::Fact::new(ftp::DATA_LAYER, name, value)));
            Observation { frame, at, basis, fact }
        };
        if let Some(Expected { control, transfer, agreement }) = self.agreed(&ended.flow) {
            name_layers(ended);
            let how = format!("{} in frame {}", agreement.command.name(), transfer.frame);
            let basis = transfer.basis;
            return vec![said("control", &id(&control), basis), said("agreed_by", &how, basis)];
        }
        if ended.layers.contains(&ftp::PROTOCOL.name) {
            if ended.layers.iter().any(|layer| worth(layer) == Worth::Tls) {
                self.closed(&ended.flow);
            }
            return Vec::new();
        }
        let Some(hidden) = self.concluded(ended) else { return Vec::new() };
        let evidence = "same hosts as an FTP control connection under TLS, while that was open";
        vec![
            said("control", &id(&hidden.control), Basis::Inferred),
            said("evidence", evidence, Basis::Inferred),
        ]
    }

    /// How many the limit dropped.
    pub(super) fn dropped(&self) -> u64 {
        self.expected.dropped.saturating_add(self.hidden.dropped)
    }

    /// What was agreed on of the data connection that `flow` is; used up with it.
    fn agreed(&mut self, flow: &ClosedFlow) -> Option<Expected> {
        let tuple = &flow.info.five_tuple;
        let way = (flow.info.tunnels.context, tuple.source.ip, tuple.destination);
        let Transfer { frame, at, .. } = self.expected.get_mut(&way)?.transfer;
        let follows = flow.info.first_frame > frame && flow.info.start.0.saturating_sub(at.0) <= WITHIN;
        if follows { self.expected.remove(&way) } else { None }
    }

    /// The control connection beside which a flow that says nothing of itself ran.
    fn concluded(&mut self, ended: &Ended) -> Option<&Hidden> {
        let info = &ended.flow.info;
        let FiveTuple { source, destination, .. } = info.five_tuple;
        let silent = matches!(ended.layers[..], [UNKNOWN_LAYER])
            || (ended.layers == ["tls"] && ended.tls.as_deref().is_some_and(|session| !offers_alpn(session)));
        let free = |end: Endpoint| end.port >= FIRST_FREE_PORT;
        let (hosts, ports) = if source.port == DATA_PORT {
            ((info.tunnels.context, destination.ip, source.ip), free(destination))
        } else {
            ((info.tunnels.context, source.ip, destination.ip), free(source) && free(destination))
        };
        let hidden = self.hidden.get_mut(&hosts).filter(|_| silent && ports)?;
        (info.first_frame > hidden.since && info.start <= hidden.until).then_some(hidden)
    }

    /// A control connection has ended.
    fn closed(&mut self, flow: &ClosedFlow) {
        let tuple = &flow.info.five_tuple;
        let hosts = (flow.info.tunnels.context, tuple.source.ip, tuple.destination.ip);
        if let Some(hidden) = self.hidden.get_mut(&hosts).filter(|hidden| hidden.since <= flow.last_frame) {
            hidden.open = hidden.open.saturating_sub(1);
            if hidden.open == 0 {
                hidden.until = flow.end;
            }
        }
    }
}

fn id(control: &FiveTuple) -> String {
    CommunityId::new(control).to_string()
}

fn offers_alpn(session: &crate::protocol::tls::Session) -> bool {
    session.client_hello.as_ref().is_none_or(|hello| !hello.value.alpn.is_empty())
}

/// Makes the flow one of data: what else was read in it are the contents of files. TLS around them stays.
fn name_layers(ended: &mut Ended) {
    if ended.layers.is_empty() {
        return;
    }
    let outside = ended.layers.iter().position(|layer| worth(layer) == Worth::Tls);
    ended.layers.truncate(outside.map_or(0, |tls| tls.saturating_add(1)));
    ended.layers.push(ftp::DATA_LAYER);
    ended.observations.retain(|one| outside.is_some() && matches!(one.fact, Fact::Tls(_)));
}

/// A map that forgets its oldest entries when there are too many.
struct Bounded<K, V> {
    entries: BTreeMap<K, (u64, V)>,
    /// In order of arrival, with the numbers of entries; what was removed or replaced meanwhile is passed over.
    order: VecDeque<(u64, K)>,
    inserted: u64,
    dropped: u64,
}

impl<K, V> Default for Bounded<K, V> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), order: VecDeque::new(), inserted: 0, dropped: 0 }
    }
}

impl<K: Ord + Copy, V> Bounded<K, V> {
    fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key).map(|(_, value)| value)
    }

    fn remove(&mut self, key: &K) -> Option<V> {
        self.entries.remove(key).map(|(_, value)| value)
    }

    fn insert(&mut self, key: K, value: V) {
        self.inserted = self.inserted.saturating_add(1);
        self.entries.insert(key, (self.inserted, value));
        self.order.push_back((self.inserted, key));
        while self.order.len() > MAX_EXPECTED {
            let Some((number, oldest)) = self.order.pop_front() else { break };
            if self.entries.get(&oldest).is_some_and(|(held, _)| *held == number) {
                self.entries.remove(&oldest);
                self.dropped = self.dropped.saturating_add(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_gives_way_and_is_counted() {
        let mut map = Bounded::default();
        for number in 0..MAX_EXPECTED {
            map.insert(number, ());
        }
        map.remove(&0);
        map.insert(MAX_EXPECTED, ());
        assert_eq!(map.dropped, 0, "the oldest was used up");
        map.insert(MAX_EXPECTED + 1, ());
        assert_eq!((map.dropped, map.entries.len()), (1, MAX_EXPECTED));
        assert!(map.get_mut(&1).is_none() && map.get_mut(&2).is_some());
    }

    #[test]
    fn what_is_replaced_is_not_dropped() {
        let mut map = Bounded::default();
        for number in 0..3 * MAX_EXPECTED {
            map.insert(0, number);
        }
        assert_eq!((map.dropped, map.order.len()), (0, MAX_EXPECTED));
        assert_eq!(map.remove(&0), Some(3 * MAX_EXPECTED - 1));
        assert!(map.is_empty());
    }
}
