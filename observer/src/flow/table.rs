//! The open flows of one shard.

use std::collections::HashMap;
use std::sync::Arc;

use super::key::FlowKey;
use super::{
    CloseReason, ClosedFlow, Counts, Data, Direction, FlowHandler, FlowInfo, FlowLimits, Interest, TcpState,
    TcpSummary,
};
use crate::decode::{Packet, Segment, Transport};
use crate::time::Tick;

/// The open flows of one shard.
pub struct FlowTable<S> {
    limits: FlowLimits,
    flows: HashMap<FlowKey, Entry<S>>,
}

struct Entry<S> {
    closed: ClosedFlow,
    interest: Interest,
    state: S,
}

impl<S> FlowTable<S> {
    /// An empty table.
    #[must_use]
    pub fn new(limits: FlowLimits) -> Self {
        Self { limits, flows: HashMap::new() }
    }

    /// Takes a packet; `tick` must not be smaller than in the call before.
    pub fn ingest<H: FlowHandler<State = S>>(&mut self, packet: &Packet<'_>, tick: Tick, handler: &mut H) {
        let key = FlowKey::new(&packet.five_tuple, &packet.tunnels);
        let entry = self.flows.entry(key).or_insert_with(|| {
            let info = FlowInfo {
                five_tuple: packet.five_tuple,
                tunnels: packet.tunnels,
                first_frame: packet.frame,
                start: packet.timestamp,
                midstream: false,
            };
            let state = handler.opened(&info);
            let tcp = (packet.five_tuple.transport == Transport::Tcp).then_some(TcpSummary {
                state: TcpState::Established,
                gaps: 0,
                gap_bytes: 0,
                retransmissions: 0,
                out_of_order: 0,
                conflicts: 0,
            });
            Entry {
                closed: ClosedFlow {
                    info,
                    last_frame: packet.frame,
                    end: packet.timestamp,
                    closed_at: tick,
                    reason: CloseReason::EndOfInput,
                    counts: [Counts::default(); 2],
                    tcp,
                    duplicates: 0,
                    dropped: 0,
                    owners: Vec::new(),
                },
                interest: Interest::More,
                state,
            }
        });
        let direction = if packet.five_tuple.source == entry.closed.info.five_tuple.source {
            Direction::ToResponder
        } else {
            Direction::ToOriginator
        };
        let payload = match packet.segment {
            Segment::Tcp { payload, .. } | Segment::Udp { payload, .. } => payload,
            Segment::Other => &[],
        };
        entry.closed.last_frame = packet.frame;
        entry.closed.end = packet.timestamp;
        entry.closed.closed_at = tick.after(self.limits.tcp_linger);
        if let Some(counts) = entry.closed.counts.get_mut(direction.index()) {
            counts.packets += 1;
            counts.bytes += u64::from(packet.wire_len);
            counts.payload += payload.len() as u64;
        }
        if let (Some(owner), true) = (&packet.owner, entry.closed.owners.is_empty()) {
            entry.closed.owners.push(Arc::clone(owner));
        }
        if entry.interest == Interest::More && !payload.is_empty() {
            let data = Data { direction, bytes: payload, frame: packet.frame, at: packet.timestamp };
            entry.interest = handler.data(&entry.closed.info, &mut entry.state, data);
        }
    }

    /// Ends the flows whose time has come by `tick`.
    pub fn advance<H: FlowHandler<State = S>>(&mut self, _tick: Tick, _handler: &mut H) {}

    /// Ends all flows: the capture is over.
    pub fn finish<H: FlowHandler<State = S>>(&mut self, handler: &mut H) {
        let mut flows: Vec<_> = self.flows.drain().map(|(_, entry)| entry).collect();
        flows.sort_by_key(|entry| (entry.closed.closed_at, entry.closed.info.first_frame));
        for entry in flows {
            handler.closed(entry.closed, entry.state);
        }
    }
}
