//! Sockets and flows as messages have them: a form of its own, so that the types within may change without the protocol.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::attribution::{Confidence, Method, Sighting, SocketOwner};
use crate::decode::{Endpoint, FiveTuple, Transport};
use crate::time::Timestamp;

/// See [`Transport`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransportRecord {
    /// See [`Transport::Tcp`].
    Tcp,
    /// See [`Transport::Udp`].
    Udp,
    /// See [`Transport::Icmp`].
    Icmp,
    /// See [`Transport::IcmpEcho`].
    IcmpEcho,
    /// See [`Transport::Other`].
    Other(u8),
}

impl From<Transport> for TransportRecord {
    fn from(transport: Transport) -> Self {
        match transport {
            Transport::Tcp => Self::Tcp,
            Transport::Udp => Self::Udp,
            Transport::Icmp => Self::Icmp,
            Transport::IcmpEcho => Self::IcmpEcho,
            Transport::Other(number) => Self::Other(number),
        }
    }
}

impl From<TransportRecord> for Transport {
    fn from(record: TransportRecord) -> Self {
        match record {
            TransportRecord::Tcp => Self::Tcp,
            TransportRecord::Udp => Self::Udp,
            TransportRecord::Icmp => Self::Icmp,
            TransportRecord::IcmpEcho => Self::IcmpEcho,
            TransportRecord::Other(number) => Self::Other(number),
        }
    }
}

/// See [`Method`]; a socket that was seen has no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MethodRecord {
    /// See [`Method::Ebpf`].
    Ebpf,
    /// See [`Method::Recorded`].
    Recorded,
    /// See [`Method::SockDiag`].
    SockDiag,
    /// See [`Method::Procfs`].
    Procfs,
}

impl From<Method> for MethodRecord {
    fn from(method: Method) -> Self {
        match method {
            Method::Ebpf => Self::Ebpf,
            Method::Recorded => Self::Recorded,
            Method::SockDiag => Self::SockDiag,
            Method::Procfs => Self::Procfs,
        }
    }
}

impl From<MethodRecord> for Method {
    fn from(record: MethodRecord) -> Self {
        match record {
            MethodRecord::Ebpf => Self::Ebpf,
            MethodRecord::Recorded => Self::Recorded,
            MethodRecord::SockDiag => Self::SockDiag,
            MethodRecord::Procfs => Self::Procfs,
        }
    }
}

/// See [`Confidence`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConfidenceRecord {
    /// See [`Confidence::Exact`].
    Exact,
    /// See [`Confidence::Polled`].
    Polled,
    /// See [`Confidence::Inferred`].
    Inferred,
}

impl From<Confidence> for ConfidenceRecord {
    fn from(confidence: Confidence) -> Self {
        match confidence {
            Confidence::Exact => Self::Exact,
            Confidence::Polled => Self::Polled,
            Confidence::Inferred => Self::Inferred,
        }
    }
}

impl From<ConfidenceRecord> for Confidence {
    fn from(record: ConfidenceRecord) -> Self {
        match record {
            ConfidenceRecord::Exact => Self::Exact,
            ConfidenceRecord::Polled => Self::Polled,
            ConfidenceRecord::Inferred => Self::Inferred,
        }
    }
}

/// An address and a port.
type EndRecord = (IpAddr, u16);

fn end(endpoint: Endpoint) -> EndRecord {
    (endpoint.ip, endpoint.port)
}

fn endpoint((ip, port): EndRecord) -> Endpoint {
    Endpoint { ip, port }
}

/// See [`FiveTuple`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowRecord {
    transport: TransportRecord,
    source: EndRecord,
    destination: EndRecord,
}

impl From<FiveTuple> for FlowRecord {
    fn from(flow: FiveTuple) -> Self {
        let FiveTuple { transport, source, destination } = flow;
        Self { transport: transport.into(), source: end(source), destination: end(destination) }
    }
}

impl From<FlowRecord> for FiveTuple {
    fn from(record: FlowRecord) -> Self {
        let FlowRecord { transport, source, destination } = record;
        Self { transport: transport.into(), source: endpoint(source), destination: endpoint(destination) }
    }
}

/// See [`Sighting`] and [`SocketOwner`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SightingRecord {
    transport: TransportRecord,
    local: EndRecord,
    remote: Option<EndRecord>,
    listening: bool,
    first: i64,
    last: i64,
    socket: Option<u64>,
    uid: Option<u32>,
    user: Option<String>,
    pid: Option<u32>,
    process: Option<String>,
    unit: Option<String>,
    cgroup: Option<u64>,
    method: MethodRecord,
    confidence: ConfidenceRecord,
}

impl From<Sighting> for SightingRecord {
    fn from(sighting: Sighting) -> Self {
        let Sighting { transport, local, remote, listening, first, last, socket, owner } = sighting;
        let SocketOwner { uid, user, pid, process, unit, cgroup, method, confidence } = owner;
        Self {
            transport: transport.into(),
            local: end(local),
            remote: remote.map(end),
            listening,
            first: first.0,
            last: last.0,
            socket,
            uid,
            user: user.map(super::wire::cut),
            pid,
            process: process.map(super::wire::cut),
            unit: unit.map(super::wire::cut),
            cgroup,
            method: method.into(),
            confidence: confidence.into(),
        }
    }
}

impl From<SightingRecord> for Sighting {
    fn from(record: SightingRecord) -> Self {
        let SightingRecord { transport, local, remote, listening, first, last, socket, .. } = record;
        Self {
            transport: transport.into(),
            local: endpoint(local),
            remote: remote.map(endpoint),
            listening,
            first: Timestamp(first),
            // A device may say anything; what relies on the order is on this side.
            last: Timestamp(last.max(first)),
            socket,
            owner: SocketOwner {
                uid: record.uid,
                user: record.user,
                pid: record.pid,
                process: record.process,
                unit: record.unit,
                cgroup: record.cgroup,
                method: record.method.into(),
                confidence: record.confidence.into(),
            },
        }
    }
}
