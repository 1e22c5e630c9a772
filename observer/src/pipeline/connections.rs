//! Connections of QUIC that go on from another address (RFC 9000 §9): flows that nobody claims and that begin with a
//! connection id which was issued in another flow.
//!
//! A client that moves from Wi-Fi to the mobile network, or behind a NAT that forgot it, goes on with packets that have short
//! headers. What these have in the open is the connection id that the other side issued. An id of at least
//! [`MIN_ID`](quic::MIN_ID) bytes that is the same, with the same server, is no chance; that the flows are one connection is
//! an inference all the same, and is called that. Shorter ids say nothing, and neither do those that several connections
//! share.

use std::collections::{HashMap, VecDeque};

use super::merge::{Ended, Place};
use crate::attribution::{Confidence, Owner};
use crate::decode::Endpoint;
use crate::flow::{Direction, FlowInfo};
use crate::observation::{Basis, Domain, DomainBasis, Flow, Observation, Observations};
use crate::protocol::tls::{self, Role};
use crate::protocol::{Earlier, Fact, UNKNOWN_LAYER, quic};
use crate::source::FrameNumber;
use crate::time::Tick;

/// Connection ids that a flow told.
pub(super) struct Learned {
    at: (Tick, FrameNumber),
    place: Place,
    first_frame: FrameNumber,
    server_name: Option<String>,
    issued: Vec<quic::Issued>,
}

impl Learned {
    /// Those of `flow`, of which `observations` are known by now.
    pub(super) fn new(
        flow: &FlowInfo,
        observations: &Observations,
        issued: Vec<quic::Issued>,
        at: (Tick, FrameNumber),
    ) -> Self {
        let hello = observations.iter().find_map(|observation| match &observation.fact {
            Fact::Tls(tls::Fact::ClientHello(hello)) => Some(hello),
            _ => None,
        });
        // A name beside an Encrypted Client Hello is not the host's.
        let hello = hello.filter(|hello| hello.ech == tls::ClientEch::Absent);
        let server_name = hello.and_then(|hello| hello.server_name.clone());
        let place = (flow.five_tuple, flow.tunnels.context);
        Self { at, place, first_frame: flow.first_frame, server_name, issued }
    }

    /// When they take effect, and the frame.
    pub(super) fn at(&self) -> (Tick, FrameNumber) {
        self.at
    }

    /// The flow behind them.
    pub(super) fn place(&self) -> Place {
        self.place
    }
}

/// What a flow has from the one that it continues.
pub(super) struct Origin {
    pub(super) domain: Option<Domain>,
    pub(super) owner: Option<Owner>,
}

/// The flow that a connection began in: its place and first frame.
type Key = (Place, FrameNumber);

/// Connection ids of a run, bounded: the one that was learned longest ago is dropped first, and counted.
#[derive(Default)]
pub(super) struct Connections {
    ids: HashMap<Box<[u8]>, Id, foldhash::fast::RandomState>,
    /// In the order in which they were learned, with their numbers; those that were learned again are there twice.
    order: VecDeque<(u64, Box<[u8]>)>,
    learned: u64,
    began: HashMap<Key, Began, foldhash::fast::RandomState>,
    dropped: u64,
}

#[derive(Clone)]
struct Id {
    by: Role,
    server: Endpoint,
    version: Option<quic::Version>,
    key: Key,
    /// When it was learned last.
    number: u64,
    /// Other connections have it, too.
    shared: bool,
}

/// A flow that a connection began in.
#[derive(Default)]
struct Began {
    /// Of its ids, how many are known.
    ids: usize,
    server_name: Option<String>,
    /// Once it has ended: its number, name and owner.
    ended: Option<(u64, Option<Domain>, Option<Owner>)>,
}

impl Connections {
    /// Ids kept: a connection has two, and a handful more where a key log shows them. A day of a phone holds some thousands
    /// of connections.
    const LIMIT: usize = 1 << 15;

    /// Remembers ids.
    pub(super) fn learn(&mut self, learned: Learned) {
        let key = (learned.place, learned.first_frame);
        let tuple = learned.place.0;
        for quic::Issued { by, direction, id, version } in learned.issued {
            if self.order.len() >= Self::LIMIT
                && let Some((number, oldest)) = self.order.pop_front()
                && self.ids.get(&oldest).is_some_and(|known| known.number == number)
            {
                self.forget(&oldest);
                self.dropped = self.dropped.saturating_add(1);
            }
            let shared = self.ids.get(&id).is_some_and(|known| known.shared || known.key != key);
            self.forget(&id);
            let to_server = (by == Role::Server) == (direction == Direction::ToOriginator);
            let server = if to_server { tuple.destination } else { tuple.source };
            self.learned = self.learned.saturating_add(1);
            let number = self.learned;
            let began = self.began.entry(key).or_default();
            began.ids = began.ids.saturating_add(1);
            if began.server_name.is_none() {
                began.server_name.clone_from(&learned.server_name);
            }
            self.order.push_back((number, id.clone()));
            self.ids.insert(id, Id { by, server, version, key, number, shared });
        }
    }

    fn forget(&mut self, id: &[u8]) {
        let Some(Id { key, .. }) = self.ids.remove(id) else { return };
        if let Some(began) = self.began.get_mut(&key) {
            began.ids = began.ids.saturating_sub(1);
            if began.ids == 0 {
                self.began.remove(&key);
            }
        }
    }

    /// Learns what has become of a flow.
    pub(super) fn joined(&mut self, flow: &Flow) {
        let info = &flow.flow.info;
        let key = ((info.five_tuple, info.tunnels.context), info.first_frame);
        if let Some(began) = self.began.get_mut(&key) {
            began.ended = Some((flow.id, flow.domain.clone(), flow.owner.as_deref().cloned()));
        }
    }

    /// Finds the connection that a flow of nobody goes on with, and makes it that connection's.
    pub(super) fn continued_by(&self, ended: &mut Ended) -> Option<Origin> {
        let starts = std::mem::take(&mut ended.short_headers);
        if ended.layers != [UNKNOWN_LAYER] {
            return None;
        }
        let (direction, id, known) = starts.iter().find_map(|start| {
            let (id, known) = self.find(start)?;
            Some((start.direction, id, known))
        })?;
        let began = self.began.get(&known.key)?;
        // Who issued the id is who is written to.
        let as_it_is = (known.by == Role::Server) == (direction == Direction::ToResponder);
        let tuple = ended.flow.info.five_tuple;
        if known.shared || known.server != if as_it_is { tuple.destination } else { tuple.source } {
            return None;
        }
        if !as_it_is {
            ended.flow.turn_round();
        }
        let ((first, _), first_frame) = known.key;
        let (flow, domain, owner) =
            began.ended.clone().map_or((None, None, None), |(id, domain, owner)| (Some(id), domain, owner));
        let continues = quic::Continues {
            flow,
            first_frame,
            source: first.source,
            destination: first.destination,
            version: known.version,
            id: id.into(),
        };
        ended.layers = vec![quic::PROTOCOL.name];
        ended.observations.retract(|fact| matches!(fact, Fact::Unrecognised(_)));
        let info = &ended.flow.info;
        let observation = Observation {
            frame: info.first_frame,
            at: info.start,
            basis: Basis::Inferred,
            fact: Fact::Quic(Box::new(quic::Fact::Continues(continues))),
        };
        // The one that was taken back left room.
        ended.observations.push(observation, usize::MAX);
        let name = domain.map(|domain| domain.name).or_else(|| began.server_name.clone());
        let domain = name.map(|name| Domain { name, basis: DomainBasis::QuicConnection });
        let owner = owner.map(|owner| Owner { confidence: Confidence::Inferred, ..owner });
        Some(Origin { domain, owner })
    }

    /// The id that a datagram begins with, the longest that is known.
    fn find<'a>(&self, start: &'a Earlier) -> Option<(&'a [u8], &Id)> {
        let (_, behind) = start.start.split_first()?;
        let longest = behind.len().min(quic::MAX_ID);
        (quic::MIN_ID..=longest).rev().find_map(|len| {
            let id = behind.get(..len)?;
            Some((id, self.ids.get(id)?))
        })
    }

    /// Ids that the limit dropped.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::decode::{FiveTuple, Transport, TunnelPath};
    use crate::flow::{CloseReason, ClosedFlow, Counts, Origin};
    use crate::time::Timestamp;

    const ID: &[u8] = b"an-issued-id";

    fn end(last: u8, port: u16) -> Endpoint {
        Endpoint { ip: IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)), port }
    }

    /// A flow of a client's port with a server.
    fn info(port: u16, server: u8) -> FlowInfo {
        let (source, destination) = (end(1, port), end(server, 443));
        FlowInfo {
            five_tuple: FiveTuple { transport: Transport::Udp, source, destination },
            tunnels: TunnelPath::default(),
            carries: None,
            first_frame: u64::from(port),
            start: Timestamp(0),
            midstream: false,
            origin: Origin::Shown,
        }
    }

    fn learned(info: &FlowInfo, by: Role, id: &[u8]) -> Learned {
        let direction = if by == Role::Client { Direction::ToResponder } else { Direction::ToOriginator };
        let issued = vec![quic::Issued { by, direction, id: id.into(), version: None }];
        Learned::new(info, &Observations::default(), issued, (Tick(0), 1))
    }

    /// A flow of nobody, whose first datagram goes `direction` and is a short header for `id`.
    fn ended(info: FlowInfo, direction: Direction, id: &[u8]) -> Ended {
        let mut start = [0x41; Earlier::START];
        start[1..=id.len()].copy_from_slice(id);
        let flow = ClosedFlow {
            info,
            last_frame: 9,
            end: Timestamp(0),
            closed_at: Tick(0),
            reason: CloseReason::EndOfInput,
            counts: [Counts::default(); 2],
            tcp: None,
            duplicates: 0,
            owners: Vec::new(),
        };
        let short_headers = vec![Earlier { direction, start }];
        Ended {
            flow,
            layers: vec![UNKNOWN_LAYER],
            short_headers,
            observations: Observations::default(),
            tls: None,
        }
    }

    fn continued(connections: &Connections, mut ended: Ended) -> Option<(u64, u16)> {
        connections.continued_by(&mut ended)?;
        assert_eq!(ended.layers, ["quic"]);
        let connection = quic::Connection::fold(&ended.observations)?;
        Some((connection.continues?.first_frame, ended.flow.info.five_tuple.source.port))
    }

    #[test]
    fn the_id_of_either_side_tells_the_connection() {
        let mut connections = Connections::default();
        connections.learn(learned(&info(10, 2), Role::Server, ID));
        connections.learn(learned(&info(11, 2), Role::Client, b"a-client-id"));
        let of = |ended| continued(&connections, ended);
        assert_eq!(of(ended(info(20, 2), Direction::ToResponder, ID)), Some((10, 20)));
        assert_eq!(of(ended(info(20, 2), Direction::ToOriginator, b"a-client-id")), Some((11, 20)));
        // The server's packets came first: the flow is turned round.
        let mut turned = info(20, 2);
        turned.five_tuple = turned.five_tuple.reverse();
        assert_eq!(of(ended(turned, Direction::ToResponder, b"a-client-id")), Some((11, 20)));
        // Another id, the way of the other side, another server.
        assert_eq!(of(ended(info(20, 2), Direction::ToResponder, b"an-issued-if")), None);
        assert_eq!(of(ended(info(20, 2), Direction::ToOriginator, ID)), None);
        assert_eq!(of(ended(info(20, 3), Direction::ToResponder, ID)), None);
    }

    #[test]
    fn what_several_connections_share_tells_nothing() {
        let mut connections = Connections::default();
        for _ in 0..2 {
            connections.learn(learned(&info(10, 2), Role::Server, ID));
        }
        let again = || ended(info(20, 2), Direction::ToResponder, ID);
        assert_eq!(continued(&connections, again()), Some((10, 20)));
        connections.learn(learned(&info(11, 2), Role::Server, ID));
        assert_eq!(continued(&connections, again()), None);
    }

    #[test]
    fn ids_are_bounded() {
        let mut connections = Connections::default();
        for number in 0..=Connections::LIMIT {
            let id = u64::try_from(number).unwrap().to_be_bytes();
            let port = u16::try_from(number % 60_000).unwrap();
            connections.learn(learned(&info(port, 2), Role::Server, &id));
        }
        assert_eq!((connections.ids.len(), connections.dropped()), (Connections::LIMIT, 1));
        assert!(
            connections.order.len() <= Connections::LIMIT && connections.began.len() <= Connections::LIMIT
        );
        let of =
            |id: u64| continued(&connections, ended(info(20, 2), Direction::ToResponder, &id.to_be_bytes()));
        assert_eq!((of(0), of(1)), (None, Some((1, 20))));
    }
}
