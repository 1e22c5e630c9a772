//! The `flow` record: its field order is part of the format.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::IpAddr;

use serde::Serialize;

use super::http::{DnsRecord, HttpRecord};
use super::quic::QuicRecord;
use super::shown;
use super::tls::{TlsRecord, basis};
use crate::attribution::Owner;
use crate::decode::Transport;
use crate::observation::{Basis, DomainBasis, Flow, Protection, Tunnel};
use crate::protocol::login::Exposure;
use crate::protocol::quic;
use crate::protocol::unrecognised::Likeness;
use crate::protocol::upgrade::Step;
use crate::report::community_id::CommunityId;
use crate::report::exchange;
use crate::report::names;
use crate::report::secrets::Secrets;
use crate::source::FrameNumber;
use crate::time::Timestamp;

/// A flow, as both machine-readable outputs know it.
#[derive(Serialize)]
pub(super) struct FlowRecord<'a> {
    r#type: &'static str,
    id: u64,
    frames: FrameRange,
    event: Event,
    network: Network<'a>,
    source: Source,
    destination: Destination<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tcp: Option<Tcp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<&'a Owner>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    other_owners: &'a [Owner],
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy: Option<ProxyRecord<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    upgrades: Vec<UpgradeRecord>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    logins: Vec<LoginRecord<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<TlsRecord<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quic: Option<QuicRecord>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    http: Vec<HttpRecord<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dns: Vec<DnsRecord<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unrecognised: Option<UnrecognisedRecord>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    properties: ByProtocol<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    properties_basis: ByProtocol<Basis>,
}

/// Values by the protocol and the property that they belong to.
type ByProtocol<T> = BTreeMap<&'static str, BTreeMap<&'static str, T>>;

#[derive(Serialize)]
struct ProxyRecord<'a> {
    protocol: &'static str,
    host: &'a str,
    port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    granted: Option<bool>,
}

#[derive(Serialize)]
struct UpgradeRecord {
    frame: FrameNumber,
    #[serde(skip_serializing_if = "Option::is_none")]
    basis: Option<Basis>,
    protocol: &'static str,
    step: Step,
}

#[derive(Serialize)]
struct LoginRecord<'a> {
    frame: FrameNumber,
    #[serde(skip_serializing_if = "Option::is_none")]
    basis: Option<Basis>,
    protocol: &'static str,
    mechanism: &'a str,
    exposure: Exposure,
}

#[derive(Serialize)]
struct UnrecognisedRecord {
    frame: FrameNumber,
    likeness: Likeness,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence_items: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence_bits: Option<u32>,
    sampled: usize,
    printable: f64,
    entropy: f64,
}

#[derive(Serialize)]
struct FrameRange {
    first: FrameNumber,
    last: FrameNumber,
}

#[derive(Serialize)]
struct Event {
    start: Timestamp,
    end: Timestamp,
}

#[derive(Serialize)]
struct Network<'a> {
    #[serde(serialize_with = "shown")]
    transport: names::TransportName,
    r#type: &'static str,
    #[serde(serialize_with = "shown")]
    community_id: CommunityId,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    layers: &'a [&'static str],
    protection: Protection,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tunnel: Vec<&'static str>,
}

#[derive(Serialize)]
struct Source {
    ip: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    packets: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct Destination<'a> {
    ip: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    packets: u64,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain_basis: Option<DomainBasis>,
}

#[derive(Serialize)]
struct Tcp {
    state: &'static str,
    gaps: u64,
    retransmissions: u64,
}

impl<'a> FlowRecord<'a> {
    /// The record of `flow`.
    pub(super) fn new(flow: &'a Flow, secrets: Secrets) -> Self {
        let closed = &flow.flow;
        let tuple = &closed.info.five_tuple;
        let [from_originator, from_responder] = closed.counts;
        let port = |port| matches!(tuple.transport, Transport::Tcp | Transport::Udp).then_some(port);
        let layers = names::layers(flow);
        let (properties, properties_basis) = properties(flow);
        Self {
            r#type: "flow",
            id: flow.id,
            frames: FrameRange { first: closed.info.first_frame, last: closed.last_frame },
            event: Event { start: closed.info.start, end: closed.end },
            network: Network {
                transport: names::TransportName(tuple.transport),
                r#type: names::network(tuple.source.ip),
                community_id: CommunityId::new(tuple),
                protocol: layers.last().copied(),
                layers,
                protection: flow.protection,
                tunnel: closed.info.tunnels.iter().map(crate::decode::Tunnel::name).collect(),
            },
            source: Source {
                ip: tuple.source.ip,
                port: port(tuple.source.port),
                packets: from_originator.packets,
                bytes: from_originator.bytes,
            },
            destination: Destination {
                ip: tuple.destination.ip,
                port: port(tuple.destination.port),
                packets: from_responder.packets,
                bytes: from_responder.bytes,
                domain: flow.domain.as_ref().map(|domain| domain.name.as_str()),
                domain_basis: flow.domain.as_ref().map(|domain| domain.basis),
            },
            tcp: closed.tcp.map(|tcp| Tcp {
                state: names::tcp_state(tcp.state),
                gaps: tcp.gaps,
                retransmissions: tcp.retransmissions,
            }),
            owner: flow.owner.as_deref(),
            other_owners: &flow.contradicting,
            proxy: flow.proxy.as_ref().map(|Tunnel { target, granted }| ProxyRecord {
                protocol: target.protocol,
                host: &target.host,
                port: target.port,
                granted: *granted,
            }),
            upgrades: flow
                .upgrades()
                .map(|(seen, fact)| UpgradeRecord {
                    frame: seen.frame,
                    basis: basis(seen.basis),
                    protocol: fact.protocol,
                    step: fact.step,
                })
                .collect(),
            logins: flow
                .logins()
                .map(|(seen, fact)| LoginRecord {
                    frame: seen.frame,
                    basis: basis(seen.basis),
                    protocol: fact.protocol,
                    mechanism: &fact.mechanism,
                    exposure: fact.exposure,
                })
                .collect(),
            tls: flow.tls.as_deref().map(|session| TlsRecord::new(session, flow)),
            quic: quic::Connection::fold(&flow.observations).map(QuicRecord::new),
            http: exchange::http(flow)
                .iter()
                .map(|exchange| HttpRecord::new(flow, exchange, secrets))
                .collect(),
            dns: exchange::dns(flow).iter().map(DnsRecord::new).collect(),
            unrecognised: flow.unrecognised().map(|(seen, fact)| UnrecognisedRecord {
                frame: seen.frame,
                likeness: fact.likeness,
                kind: fact.kind,
                evidence_items: fact.evidence.map(|evidence| evidence.items),
                evidence_bits: fact.evidence.map(|evidence| evidence.bits),
                sampled: fact.sampled,
                printable: fact.printable,
                entropy: fact.entropy,
            }),
            properties,
            properties_basis,
        }
    }
}

/// The values, of which what was said first counts, and how those were come by that did not cross the network like that.
fn properties(flow: &Flow) -> (ByProtocol<&str>, ByProtocol<Basis>) {
    let (mut values, mut bases) = (ByProtocol::new(), ByProtocol::new());
    for (seen, fact) in flow.properties() {
        let Entry::Vacant(place) = values.entry(fact.protocol).or_default().entry(fact.name) else {
            continue;
        };
        place.insert(fact.value.as_str());
        if let Some(basis) = basis(seen.basis) {
            bases.entry(fact.protocol).or_default().insert(fact.name, basis);
        }
    }
    (values, bases)
}
