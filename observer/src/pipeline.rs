//! Wires one run: a reader, workers that own shards of flows, and a merge in order.
//!
//! The reader decodes frames and hashes packets into [`FlowLimits::SHARDS`] logical shards; each worker owns a set
//! of shards. A worker hands over what ended with the tick at which it counts as ended, and the tick up to which it
//! is done; the merge puts everything in order (tick, first frame) and goes on alone: names, owners, rules, sinks.
//! So the output does not depend on the number of threads, and memory not on the length of the capture.

mod connections;
mod domain;
mod emulator;
mod encrypted_dns;
mod markers;
mod merge;
mod reader;
mod transfers;
mod worker;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{channel, sync_channel};
use std::thread;

use crate::assess::baseline::Baseline;
use crate::assess::originals::Originals;
use crate::attribution::{AppDirectory, LiveOwners, Selection, Sidecar};
use crate::flow::FlowLimits;
use crate::observation::{FlowSink, SinkError};
use crate::policy::{KnownKeys, Policy, TlsPolicy};
use crate::report::Run;
use crate::source::{ClockOffset, Marker, Source, SourceError};
use crate::trust::TrustStore;

use self::merge::Merge;
use self::reader::Reader;
use self::worker::Worker;

/// Batches that may wait before a worker: bounds how far the reader runs ahead.
const QUEUE: usize = 4;

/// What a run does.
#[derive(Clone, Debug)]
pub struct Options {
    /// Worker threads beside the reader and the merge; at least 1.
    pub threads: usize,
    /// Bounds.
    pub limits: FlowLimits,
    /// What the tester declares.
    pub policy: Policy,
    /// What counts as weak in TLS.
    pub tls: &'static TlsPolicy,
    /// The server keys that earlier runs saw.
    pub known_keys: Arc<KnownKeys>,
    /// The authorities that server chains may lead to.
    pub trust: Arc<TrustStore>,
    /// The device's apps, as far as known before the capture.
    pub apps: AppDirectory,
    /// Owners that a file beside the capture states.
    pub sidecar: Arc<Sidecar>,
    /// The owners of the system's sockets, while a capture runs on it.
    pub live: Option<Arc<LiveOwners>>,
    /// Whose traffic the run is about.
    pub selection: Selection,
    /// What is known of the tests beside what the source says: markers from files.
    pub markers: Vec<Marker>,
    /// How the clock of markers' other machine differs from the capture's; without it the clocks are taken for equal.
    pub clock_offset: Option<ClockOffset>,
    /// Where the observer itself listens on this machine while it captures: its own traffic is nobody's.
    pub own_endpoints: Vec<SocketAddr>,
    /// Full handshakes of earlier runs, which sessions of this one may resume.
    pub originals: Originals,
    /// The earlier run to hold the findings against.
    pub baseline: Option<Arc<Baseline>>,
}

/// Things that a named limit dropped.
type Dropped = BTreeMap<String, u64>;

impl Default for Options {
    fn default() -> Self {
        Self {
            threads: thread::available_parallelism().map_or(1, usize::from),
            limits: FlowLimits::default(),
            policy: Policy::default(),
            tls: TlsPolicy::recommended(),
            known_keys: Arc::default(),
            trust: Arc::default(),
            apps: AppDirectory::default(),
            sidecar: Arc::default(),
            live: None,
            selection: Selection::default(),
            originals: Originals::default(),
            markers: Vec::new(),
            clock_offset: None,
            own_endpoints: Vec::new(),
            baseline: None,
        }
    }
}

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// The input.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The database or the output.
    #[error("cannot keep a flow")]
    Sink(#[source] SinkError),
    /// A thread ended before its work was done.
    #[error("the {thread} thread ended early")]
    Thread {
        /// Which.
        thread: &'static str,
    },
}

/// Runs `source` through all stages.
///
/// `progress` is called now and then with the bytes read and, where known, the bytes in all.
///
/// # Errors
/// When the input or a sink fails; what was handed to the sinks before stays there.
pub fn analyze(
    mut source: Box<dyn Source>,
    options: &Options,
    sinks: &mut [&mut dyn FlowSink],
    progress: &mut dyn FnMut(u64, Option<u64>),
) -> Result<Run, PipelineError> {
    let threads = options.threads.clamp(1, FlowLimits::SHARDS);
    thread::scope(|scope| {
        let (to_merge, from_all) = sync_channel(QUEUE * (threads + 1));
        let (to_reader, spare) = channel();
        let mut to_workers = Vec::with_capacity(threads);
        let mut workers = Vec::with_capacity(threads);
        for index in 0..threads {
            let (to_worker, from_reader) = sync_channel(QUEUE);
            let to_merge = to_merge.clone();
            let to_reader = to_reader.clone();
            let worker = Worker::new(index, threads, options.limits.clone(), options.live.clone());
            to_workers.push(to_worker);
            workers.push(scope.spawn(move || worker.run(&from_reader, &to_reader, &to_merge)));
        }
        let reader = scope.spawn(move || {
            let outcome = Reader::new(threads, spare).run(source.as_mut(), &to_workers, &to_merge);
            (outcome, source)
        });

        let mut merge = Merge::new(threads, options);
        let merged = merge.run(&from_all, &options.markers, sinks, progress);
        drop(from_all);

        let mut dropped = Dropped::new();
        let (outcome, source) = reader.join().map_err(|_panic| PipelineError::Thread { thread: "reader" })?;
        for worker in workers {
            let counts = worker.join().map_err(|_panic| PipelineError::Thread { thread: "worker" })?;
            for (name, count) in counts {
                *dropped.entry(name).or_default() += count;
            }
        }
        merged?;
        Ok(merge.finish(source.as_ref(), outcome?, dropped))
    })
}
