//! The merge: what ended, in order, joined with names and owners, to the rules and the sinks.

mod join;
mod waiting;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

pub(super) use self::waiting::Place;
use self::waiting::{Item, Waiting};
use super::connections::{self, Connections};
use super::emulator::EmulatorInterfaces;
use super::markers::{Markers, OwnEndpoints};
use super::reader::ReaderCounts;
use super::transfers::Transfers;
use super::{Dropped, Options, PipelineError};
use crate::assess::baseline::Baseline;
use crate::assess::originals::Originals;
use crate::assess::{Assessor, Losses};
use crate::attribution::{AppDirectory, LiveOwners, Selection, Sidecar};
use crate::decode::FiveTuple;
use crate::flow::ClosedFlow;
use crate::observation::{FlowSink, Observations};
use crate::protocol::ftp::transfer::Transfer;
use crate::protocol::{Earlier, dns, tls};
use crate::report::steps::Steps;
use crate::report::{Run, Totals};
use crate::source::{FrameNumber, Marker, Metadata, RecordedOwner, Source};
use crate::time::{Tick, Timestamp};

/// A flow that has ended, before it is joined with others.
pub(super) struct Ended {
    pub(super) flow: ClosedFlow,
    pub(super) layers: Vec<&'static str>,
    /// The first datagrams of a flow that nobody claims.
    pub(super) short_headers: Vec<Earlier>,
    pub(super) observations: Observations,
    pub(super) tls: Option<Box<tls::Session>>,
}

/// What a packet says of other flows: names that a DNS answer gave to addresses, data connections of FTP.
pub(super) struct Learned {
    pub(super) at: (Tick, FrameNumber),
    pub(super) place: Place,
    /// When the packet was captured.
    pub(super) when: Timestamp,
    /// Whose it is, as the capture says.
    pub(super) owner: Option<Arc<RecordedOwner>>,
    pub(super) resolutions: Vec<dns::Resolution>,
    /// With the control connection that said it, client first.
    pub(super) transfers: Vec<(FiveTuple, Transfer)>,
}

/// What the merge is told.
pub(super) enum ToMerge {
    /// By the reader, before a batch goes to the workers.
    Reader { metadata: Vec<Metadata>, at: Tick, read: u64, total: Option<u64> },
    /// By a worker, after a batch: nothing that it says later ended before `until`.
    Worker {
        worker: usize,
        #[expect(clippy::vec_box, reason = "an ended flow is large, and handed on more than once")]
        ended: Vec<Box<Ended>>,
        learned: Vec<Learned>,
        issued: Vec<connections::Learned>,
        until: Tick,
    },
}

/// Nanoseconds for which an ended flow of a running capture waits for word of its owner.
const GRACE: u64 = 1_000_000_000;

/// Puts flows in order and joins them with one another.
pub(super) struct Merge {
    waiting: BinaryHeap<Reverse<Waiting>>,
    arrivals: u64,
    until: Vec<Tick>,
    apps: AppDirectory,
    sidecar: Arc<Sidecar>,
    live: Option<Arc<LiveOwners>>,
    selection: Selection,
    assessor: Assessor,
    names: dns::NameMemory,
    connections: Connections,
    originals: Originals,
    baseline: Option<Arc<Baseline>>,
    transfers: Transfers,
    /// See [`crate::flow::FlowLimits`].
    observations_per_flow: usize,
    /// Flows whose owners contradict each other.
    contradicted: u64,
    emulator: EmulatorInterfaces,
    markers: Markers,
    own_endpoints: OwnEndpoints,
    /// What the flows add to the run's numbers.
    totals: Totals,
}

impl Merge {
    pub(super) fn new(threads: usize, options: &Options) -> Self {
        Self {
            waiting: BinaryHeap::new(),
            arrivals: 0,
            until: vec![Tick(0); threads],
            apps: options.apps.clone(),
            sidecar: options.sidecar.clone(),
            live: options.live.clone(),
            selection: options.selection.clone(),
            assessor: Assessor::new(
                options.policy.clone(),
                options.tls,
                options.trust.clone(),
                options.known_keys.clone(),
            ),
            names: dns::NameMemory::default(),
            connections: Connections::default(),
            originals: options.originals.clone(),
            baseline: options.baseline.clone(),
            transfers: Transfers::default(),
            observations_per_flow: options.limits.observations_per_flow,
            contradicted: 0,
            emulator: EmulatorInterfaces::default(),
            markers: Markers::new(options.clock_offset),
            own_endpoints: OwnEndpoints::new(&options.own_endpoints),
            totals: Totals::default(),
        }
    }

    /// Listens until reader and workers have ended. `markers` are known from the start.
    pub(super) fn run(
        &mut self,
        from_all: &Receiver<ToMerge>,
        markers: &[Marker],
        sinks: &mut [&mut dyn FlowSink],
        progress: &mut dyn FnMut(u64, Option<u64>),
    ) -> Result<(), PipelineError> {
        for marker in markers {
            self.markers.take(marker.clone(), sinks)?;
        }
        let mut open = self.until.len();
        while open > 0 {
            let Ok(message) = from_all.recv() else { break };
            match message {
                ToMerge::Reader { metadata, at, read, total } => {
                    for (number, metadata) in metadata.into_iter().enumerate() {
                        match metadata {
                            // What it concerns may be over: whoever takes it wants it as early as can be.
                            Metadata::Marker(marker) => self.markers.take(marker, sinks)?,
                            metadata => self.wait((at, 0, number), Item::Metadata(Box::new(metadata))),
                        }
                    }
                    progress(read, total);
                }
                ToMerge::Worker { worker, ended, learned, issued, until } => {
                    open -= usize::from(until == Tick(u64::MAX));
                    if let Some(known) = self.until.get_mut(worker) {
                        *known = until;
                    }
                    for ended in ended {
                        let key = (ended.flow.closed_at, ended.flow.info.first_frame, 1);
                        self.wait(key, Item::Ended(ended));
                    }
                    for learned in learned {
                        let (tick, frame) = learned.at;
                        self.wait((tick, frame, 0), Item::Learned(Box::new(learned)));
                    }
                    for learned in issued {
                        let (tick, frame) = learned.at();
                        self.wait((tick, frame, 0), Item::Issued(Box::new(learned)));
                    }
                    self.release(sinks)?;
                }
            }
        }
        Ok(())
    }

    fn wait(&mut self, key: (Tick, FrameNumber, usize), item: Item) {
        self.waiting.push(Reverse(Waiting { key, arrival: self.arrivals, item }));
        self.arrivals = self.arrivals.saturating_add(1);
    }

    /// What the run amounts to.
    pub(super) fn finish(mut self, source: &dyn Source, read: ReaderCounts, limits: Dropped) -> Run {
        let inputs = source.inputs();
        let mut totals = std::mem::take(&mut self.totals);
        let secrets = read.secrets();
        read.add_to(&mut totals);
        totals.dropped_by_kernel = inputs.iter().filter_map(|input| input.dropped).sum();
        for (name, count) in limits.into_iter().chain(source.dropped()) {
            *totals.dropped_by_limit.entry(name).or_default() += count;
        }
        totals.dropped_by_limit.insert("names of addresses".to_owned(), self.names.dropped());
        totals.dropped_by_limit.insert("connection ids".to_owned(), self.connections.dropped());
        totals.dropped_by_limit.insert("hosts of resumed sessions".to_owned(), self.originals.dropped());
        totals
            .dropped_by_limit
            .insert("FTP data connections that were agreed on".to_owned(), self.transfers.dropped());
        totals.dropped_by_limit.retain(|_, count| *count > 0);
        let live = self.live.as_deref();
        let apps = live.map_or_else(|| self.apps.clone(), LiveOwners::apps);
        let packages = apps.iter().map(|(uid, package, label)| (uid, package.to_owned(), label.to_owned()));
        let packages = packages.collect();
        let mut listeners = live.map(LiveOwners::listeners).unwrap_or_default();
        listeners.retain(|listener| !self.own_endpoints.is_one(&listener.local));
        totals.dropped_by_ring = live.map(LiveOwners::lost);
        if let Some(live) = live {
            for (name, count) in [
                ("owners of sockets", live.dropped()),
                ("flows to ask for", live.unasked()),
                ("listening sockets", live.dropped_listeners()),
            ] {
                if count > 0 {
                    totals.dropped_by_limit.insert(name.to_owned(), count);
                }
            }
        }
        let losses = Losses {
            dropped_frames: totals.dropped_by_kernel,
            frames: totals.frames,
            lost_sockets: totals.dropped_by_ring.unwrap_or(0),
        };
        let mut assessment = self.assessor.finish(losses);
        if let Some(baseline) = &self.baseline {
            assessment.compare(baseline);
        }
        for (name, count) in &assessment.dropped_by_limit {
            *totals.dropped_by_limit.entry(name.clone()).or_default() += count;
        }
        for (count, what) in [
            (source.filtered(), "frames held back by the filter expression"),
            (self.apps.bad_lines(), "lines of the package list that could not be read"),
            (self.sidecar.bad_lines(), "lines of the list of connections that could not be read"),
            (self.contradicted, "flows whose owners contradict each other (the first is shown)"),
            (totals.unselected_flows, "flows of other owners, which were not looked at"),
            (
                self.own_endpoints.flows(),
                "flows of those who set markers with the observer itself, which were not looked at",
            ),
        ] {
            if count > 0 {
                assessment.notes.push(format!("{what}: {count}"));
            }
        }
        assessment.notes.extend(self.emulator.note());
        assessment.notes.extend(decryption_notes(&secrets, &totals));
        for (count, what) in [(self.apps.dropped(), "apps"), (self.sidecar.dropped(), "recorded connections")]
        {
            if count > 0 {
                totals.dropped_by_limit.insert(what.to_owned(), count);
            }
        }
        if self.markers.dropped() > 0 {
            totals.dropped_by_limit.insert("markers".to_owned(), self.markers.dropped());
        }
        let (markers, clock_offset) = self.markers.into_parts();
        let steps = Steps::new(&markers);
        Run { inputs, totals, assessment, markers, steps, clock_offset, listeners, packages }
    }

    /// Hands on everything that no worker can precede any more.
    fn release(&mut self, sinks: &mut [&mut dyn FlowSink]) -> Result<(), PipelineError> {
        let mut until = self.until.iter().copied().min().unwrap_or_default();
        if self.live.is_some() && until != Tick(u64::MAX) {
            until = Tick(until.0.saturating_sub(GRACE));
        }
        while self
            .waiting
            .peek()
            .is_some_and(|Reverse(waiting)| waiting.key.0 < until || until == Tick(u64::MAX))
        {
            let Some(Reverse(waiting)) = self.waiting.pop() else { break };
            match waiting.item {
                Item::Metadata(metadata) => self.learn(*metadata),
                Item::Learned(learned) => {
                    let asked = !learned.resolutions.is_empty();
                    let asker = if asked { self.asker(&learned) } else { None };
                    for one in &learned.resolutions {
                        self.names.take(one, asker.as_ref());
                    }
                    for (control, transfer) in learned.transfers {
                        self.transfers.learn(control, learned.place.1, transfer);
                    }
                }
                Item::Issued(learned) => self.connections.learn(*learned),
                Item::Ended(ended) => {
                    let Some(flow) = self.join(*ended) else { continue };
                    let mut found = Vec::new();
                    let worst = self.assessor.flow(&flow, &mut found);
                    for sink in &mut *sinks {
                        sink.judged(&flow, worst).map_err(PipelineError::Sink)?;
                        for found in &found {
                            sink.found(&flow, found).map_err(PipelineError::Sink)?;
                        }
                    }
                }
            }
        }
        if self.live.is_some() {
            sinks.iter_mut().try_for_each(|sink| sink.pause(until)).map_err(PipelineError::Sink)?;
        }
        Ok(())
    }

    fn learn(&mut self, metadata: Metadata) {
        match metadata {
            Metadata::App { uid, package, label } => self.apps.add(uid, &package, &label),
            Metadata::Name { address, name } => self.names.learn(address, &name, None, 0),
            // The reader keeps those; markers wait for nothing.
            Metadata::Secrets { .. } | Metadata::Marker(_) => {}
        }
    }
}

/// What came of decryption, where there was something to decrypt with.
fn decryption_notes(secrets: &tls::KeyLog, totals: &Totals) -> Vec<String> {
    let mut notes = Vec::new();
    if secrets.sessions() > 0 || !totals.decryption.is_empty() {
        let decrypted = totals.decryption.get("decrypted").copied().unwrap_or(0);
        notes.push(format!("TLS flows decrypted with the key log: {decrypted}"));
    }
    for (outcome, words) in tls::Undecrypted::WORDS {
        if let Some(count) = totals.decryption.get(outcome.name()) {
            notes.push(format!("{words}: {count}"));
        }
    }
    for (what, count) in secrets.passed_over() {
        notes.push(format!("key log: {what}: {count}"));
    }
    notes
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::observation::{Flow, SinkError};
    use crate::{pipeline, source};

    /// The originators' ports, in the order of the output.
    #[derive(Default)]
    struct Ports(Vec<u16>);

    impl FlowSink for Ports {
        fn flow(&mut self, flow: &Flow) -> Result<(), SinkError> {
            self.0.push(flow.flow.info.five_tuple.source.port);
            Ok(())
        }
    }

    /// A capture of one 802.11 frame that aggregates a datagram of each of 40 flows.
    fn aggregate() -> Vec<u8> {
        let mut frame = [&[0x88][..], &[0; 23], &[0x80, 0]].concat();
        for port in 0..40_u8 {
            frame.extend([&[0; 12][..], &[0, 40], &[0xaa, 0xaa, 3, 0, 0, 0, 8, 0]].concat());
            frame.extend([0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 192, 0, 2, 2]);
            frame.extend([200, port, 0x30, 0x39, 0, 12, 0, 0, 1, 2, 3, 4, 0, 0]);
        }
        let header = [0xa1b2_c3d4_u32, 0x0002_0004, 0, 0, 65_535, 105];
        let len = u32::try_from(frame.len()).unwrap();
        let words = header.into_iter().chain([1, 0, len, len]);
        words.flat_map(u32::to_be_bytes).chain(frame).collect()
    }

    #[test]
    fn flows_of_one_frame_have_an_order() {
        for threads in [1, 2, 3, 8, 8, 8] {
            let source = source::read("aggregate", Box::new(Cursor::new(aggregate()))).unwrap();
            let options = Options { threads, ..Options::default() };
            let mut ports = Ports::default();
            pipeline::analyze(source, &options, &mut [&mut ports], &mut |_, _| {}).unwrap();
            assert_eq!(ports.0, (51_200..51_240).collect::<Vec<u16>>(), "{threads} threads");
        }
    }
}
