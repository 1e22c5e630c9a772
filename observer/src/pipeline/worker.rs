//! A worker: the flows of its shards.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender};

use super::connections;
use super::merge::{Ended, Learned, ToMerge};
use crate::attribution::LiveOwners;
use crate::decode::{FiveTuple, PacketRecord, Tunnel};
use crate::flow::{ClosedFlow, Data, FlowHandler, FlowInfo, FlowLimits, FlowTable, Gap, Interest, Opening};
use crate::observation::{Basis, Observations};
use crate::protocol::ftp::transfer::Transfer;
use crate::protocol::{self, Context, Conversation, Inner, dns, quic, tls};
use crate::source::FrameNumber;
use crate::time::Tick;

/// A packet for a worker.
#[derive(Clone)]
pub(super) struct WorkItem {
    pub(super) shard: usize,
    pub(super) tick: Tick,
    pub(super) packet: PacketRecord,
}

/// Packets for a worker, in capture order.
pub(super) struct Work {
    pub(super) buffers: Arc<[Arc<Vec<u8>>]>,
    pub(super) items: Vec<WorkItem>,
    /// No later packet has a smaller tick.
    pub(super) until: Tick,
    /// The key log, where it has grown before these packets.
    pub(super) secrets: Option<Arc<tls::KeyLog>>,
}

/// Owns the shards whose number leaves `index` when divided by the number of threads.
pub(super) struct Worker {
    index: usize,
    threads: usize,
    tables: Vec<FlowTable<FlowState>>,
    handler: Handler,
}

impl Worker {
    pub(super) fn new(
        index: usize,
        threads: usize,
        limits: FlowLimits,
        live: Option<Arc<LiveOwners>>,
    ) -> Self {
        let shards = (index..FlowLimits::SHARDS).step_by(threads);
        let tables: Vec<_> = shards.map(|_| FlowTable::new(limits.clone())).collect();
        let handler = Handler::new(limits, live, tables.len());
        Self { index, threads, tables, handler }
    }

    /// Works until the reader ends; returns what limits dropped.
    pub(super) fn run(
        mut self,
        from_reader: &Receiver<Work>,
        to_reader: &Sender<Vec<WorkItem>>,
        to_merge: &SyncSender<ToMerge>,
    ) -> BTreeMap<String, u64> {
        let mut now = Tick(0);
        while let Ok(mut work) = from_reader.recv() {
            now = work.until;
            if let Some(secrets) = work.secrets.take() {
                self.handler.secrets = secrets;
            }
            let mut learned = Vec::new();
            for item in &work.items {
                self.handler.table = item.shard / self.threads;
                if let Some(table) = self.tables.get_mut(self.handler.table) {
                    let packet = item.packet.packet(&work.buffers);
                    self.handler.now = item.tick;
                    table.ingest(&packet, item.tick, &mut self.handler);
                    if !(self.handler.resolutions.is_empty() && self.handler.transfers.is_empty()) {
                        let resolutions = std::mem::take(&mut self.handler.resolutions);
                        let transfers = std::mem::take(&mut self.handler.transfers);
                        let at = (item.tick, packet.frame);
                        let place = (packet.five_tuple, packet.tunnels.context);
                        let (when, owner) = (packet.timestamp, packet.owner.clone());
                        learned.push(Learned { at, place, when, owner, resolutions, transfers });
                    }
                }
            }
            work.items.clear();
            // At the end of the capture the reader has gone, and the list with it.
            let _ = to_reader.send(work.items);
            for (index, table) in self.tables.iter_mut().enumerate() {
                self.handler.table = index;
                table.advance(work.until, &mut self.handler);
            }
            let (ended, issued) = (self.handler.ended(), self.handler.issued());
            let message = ToMerge::Worker { worker: self.index, ended, learned, issued, until: work.until };
            if to_merge.send(message).is_err() {
                return BTreeMap::new();
            }
        }
        for until in self.last_steps(now) {
            for (index, table) in self.tables.iter_mut().enumerate() {
                self.handler.table = index;
                table.finish(until, &mut self.handler);
            }
            let (ended, issued) = (self.handler.ended(), self.handler.issued());
            if !ended.is_empty() || until == Tick(u64::MAX) {
                let message =
                    ToMerge::Worker { worker: self.index, ended, learned: Vec::new(), issued, until };
                // Nobody listens only when the run has failed elsewhere, which is reported there.
                let _ = to_merge.send(message);
            }
        }
        let evicted = self.tables.iter().map(FlowTable::evicted).sum();
        self.handler.dropped.insert("flows evicted".to_owned(), evicted);
        self.handler.dropped.insert("inner bytes".to_owned(), self.handler.inner.dropped());
        for (bound, count) in std::mem::take(&mut self.handler.cut_short) {
            *self.handler.dropped.entry(bound.to_owned()).or_default() += count;
        }
        self.handler.dropped
    }

    /// The ticks up to which flows are ended after a capture whose last tick is `now`: all at once they need as much
    /// memory again. The same for every worker, so that the merge can let go of each portion.
    fn last_steps(&self, now: Tick) -> Vec<Tick> {
        const STEPS: u64 = 32;
        let limits = &self.handler.limits;
        let timeouts =
            [limits.tcp_idle, limits.tcp_half_open, limits.tcp_linger, limits.udp_idle, limits.other_idle];
        let within = (1..=STEPS).map(|step| Tick(now.0 / STEPS * step));
        let mut steps: Vec<Tick> =
            within.flat_map(|tick| timeouts.map(|timeout| tick.after(timeout))).collect();
        steps.push(Tick(u64::MAX));
        steps.sort_unstable();
        steps.dedup();
        steps
    }
}

/// What is kept for an open flow.
#[derive(Default)]
struct FlowState {
    conversation: Conversation,
    observations: Observations,
}

/// What the shards of a worker share.
struct Handler {
    limits: FlowLimits,
    /// Those who look for owners while the flow is there.
    live: Option<Arc<LiveOwners>>,
    /// The secrets of the tester's key log, as of the batch that is being worked on.
    secrets: Arc<tls::KeyLog>,
    /// For each of the worker's shards, bytes of ciphertext that wait for secrets.
    ciphertext: Vec<usize>,
    /// For each of them, what was tried of the key log.
    trials: Vec<tls::Trials>,
    /// The shard that is being worked on, among the worker's.
    table: usize,
    certificates: tls::CertificateCache,
    inner: Inner,
    resolutions: Vec<dns::Resolution>,
    issued: Vec<quic::Issued>,
    /// Those of `issued` that are known to be of a flow.
    learned: Vec<connections::Learned>,
    /// The tick of the packet that is being worked on.
    now: Tick,
    /// What the packet that is being worked on says of data connections, before and after its flow is named.
    said: Vec<Transfer>,
    transfers: Vec<(FiveTuple, Transfer)>,
    cut_short: BTreeMap<&'static str, u64>,
    #[expect(clippy::vec_box, reason = "an ended flow is large, and handed on more than once")]
    ended: Vec<Box<Ended>>,
    dropped: BTreeMap<String, u64>,
}

impl Handler {
    fn new(limits: FlowLimits, live: Option<Arc<LiveOwners>>, shards: usize) -> Self {
        Self {
            limits,
            live,
            secrets: Arc::default(),
            ciphertext: vec![0; shards],
            trials: (0..shards).map(|_| tls::Trials::default()).collect(),
            table: 0,
            certificates: tls::CertificateCache::default(),
            inner: Inner::default(),
            resolutions: Vec::new(),
            issued: Vec::new(),
            learned: Vec::new(),
            now: Tick(0),
            said: Vec::new(),
            transfers: Vec::new(),
            cut_short: BTreeMap::new(),
            ended: Vec::new(),
            dropped: BTreeMap::new(),
        }
    }

    #[expect(clippy::vec_box, reason = "an ended flow is large, and handed on more than once")]
    fn ended(&mut self) -> Vec<Box<Ended>> {
        std::mem::take(&mut self.ended)
    }

    fn issued(&mut self) -> Vec<connections::Learned> {
        std::mem::take(&mut self.learned)
    }

    /// Notes the connection ids that a flow told.
    fn learn(&mut self, flow: &FlowInfo, observations: &Observations, at: (Tick, FrameNumber)) {
        if !self.issued.is_empty() {
            let issued = std::mem::take(&mut self.issued);
            self.learned.push(connections::Learned::new(flow, observations, issued, at));
        }
    }

    fn with<R>(
        &mut self,
        state: &mut FlowState,
        act: impl FnOnce(&mut Conversation, &mut Context<'_>) -> R,
    ) -> R {
        let (mut nowhere, mut untold) = (0, tls::Trials::default());
        let mut cx = Context {
            observations: &mut state.observations,
            inner: &mut self.inner,
            entered: Vec::new(),
            resolutions: &mut self.resolutions,
            issued: &mut self.issued,
            transfers: &mut self.said,
            cut_short: &mut self.cut_short,
            secrets: &self.secrets,
            ciphertext: self.ciphertext.get_mut(self.table).unwrap_or(&mut nowhere),
            trials: self.trials.get_mut(self.table).unwrap_or(&mut untold),
            certificates: &mut self.certificates,
            limits: &self.limits,
            frame: 0,
            at: crate::time::Timestamp::default(),
            basis: Basis::Observed,
        };
        act(&mut state.conversation, &mut cx)
    }
}

impl FlowHandler for Handler {
    type State = FlowState;

    fn opening(&self, five_tuple: &FiveTuple, datagram: &[u8]) -> Option<Opening> {
        protocol::opening(five_tuple, datagram)
    }

    fn opened(&mut self, flow: &FlowInfo) -> FlowState {
        if let Some(live) = &self.live {
            live.opened(flow.five_tuple);
        }
        FlowState::default()
    }

    fn data(&mut self, flow: &FlowInfo, state: &mut FlowState, data: Data<'_>) -> Interest {
        let interest = self.with(state, |conversation, cx| conversation.data(flow, data, cx));
        self.learn(flow, &state.observations, (self.now, data.frame));
        self.transfers.extend(self.said.drain(..).map(|transfer| (flow.five_tuple, transfer)));
        interest
    }

    fn gap(&mut self, flow: &FlowInfo, state: &mut FlowState, gap: Gap) -> Interest {
        self.with(state, |conversation, cx| conversation.gap(flow, gap, cx))
    }

    fn closed(&mut self, flow: ClosedFlow, mut state: FlowState) {
        self.with(&mut state, |conversation, cx| conversation.finish(&flow.info, cx));
        self.learn(&flow.info, &state.observations, (flow.closed_at, flow.last_frame));
        let tls = tls::Session::fold(&state.observations);
        if state.observations.dropped() > 0 {
            *self.dropped.entry("observations".to_owned()).or_default() += state.observations.dropped();
        }
        let FlowState { conversation, observations } = state;
        let (mut layers, short_headers) = conversation.into_parts();
        layers.extend(protocol::layer_of(flow.info.five_tuple.transport));
        if layers.is_empty() {
            layers.extend(flow.info.carries.map(Tunnel::name));
        }
        self.ended.push(Box::new(Ended { flow, layers, short_headers, observations, tls }));
    }
}
