//! Frames as they cross network interfaces, through libpcap.
//!
//! One thread an interface takes frames out of the kernel's ring; a bounded queue leads them here. Where the rest of
//! the program is too slow the queue fills, then the ring, and then the kernel drops frames and counts them.

mod interface;
mod outbound;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

pub use self::interface::{Device, devices};
use self::interface::{Opened, Reading};
use super::{
    CaptureControl, Damage, FrameBatch, FrameNumber, InputSummary, InterfaceInfo, Marker, Metadata, Source,
    SourceError,
};
use crate::time::Timestamp;

/// Batches of all interfaces that may wait to be analysed.
const QUEUE: usize = 64;

/// How long to wait for a frame before time goes on without one.
const PATIENCE: Duration = Duration::from_millis(100);

/// Nanoseconds by which a frame may come late: it waits in the kernel's ring and in the queue.
const LATE: i64 = 200_000_000;

/// How to capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveOptions {
    /// Names of interfaces; `any` stands for all of them, those that come later included.
    pub interfaces: Vec<String>,
    /// Bytes that are kept of a frame, 1 to 262,144.
    pub snaplen: u32,
    /// The size of the kernel's ring of each interface, in bytes.
    pub buffer: u32,
    /// Hand each frame over at once, not in blocks of at most 10 ms. Each then takes a slot of the snaplen in the kernel's
    /// ring, which fills with a few hundred of them.
    pub immediate: bool,
    /// Take frames that are for other hosts, too.
    pub promiscuous: bool,
    /// A BPF filter expression; empty for everything.
    pub expression: String,
    /// End after this many frames.
    pub count: Option<u64>,
}

impl Default for LiveOptions {
    fn default() -> Self {
        Self {
            interfaces: vec!["any".to_owned()],
            snaplen: 262_144,
            buffer: 64 << 20,
            immediate: false,
            promiscuous: false,
            expression: String::new(),
            count: None,
        }
    }
}

/// Interfaces that are open and whose kernel rings fill, but which nobody reads yet.
pub struct Live {
    interfaces: Vec<Opened>,
    count: Option<u64>,
}

impl Live {
    /// Opens interfaces. This is what takes the right to capture; reading from them takes none.
    ///
    /// # Errors
    /// When there is no such interface, when the system refuses, or when the filter expression does not compile.
    pub fn open(options: &LiveOptions) -> Result<Self, SourceError> {
        let open = |name: &String| Opened::new(name, options);
        let interfaces = options.interfaces.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { interfaces, count: options.count })
    }

    /// The interfaces, in the order of their [index](super::InterfaceIndex).
    #[must_use]
    pub fn interfaces(&self) -> Vec<InterfaceInfo> {
        self.interfaces.iter().map(Opened::info).collect()
    }

    /// Begins to read.
    #[must_use]
    pub fn start(self) -> (LiveSource, CaptureControl) {
        let stop = Arc::new(AtomicBool::new(false));
        let (to_source, batches) = sync_channel(QUEUE);
        let (control, marks) = CaptureControl::new(&stop);
        let mut states = Vec::new();
        let mut threads = Vec::new();
        for (index, opened) in self.interfaces.into_iter().enumerate() {
            let state = Arc::new(Mutex::new(Reading::new(&opened)));
            states.push(Arc::clone(&state));
            let (to_source, stop): (SyncSender<_>, _) = (to_source.clone(), Arc::clone(&stop));
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            threads.push(std::thread::spawn(move || opened.read(index, &state, &to_source, &stop)));
        }
        let source = LiveSource {
            batches,
            marks,
            states,
            threads,
            stop,
            count: self.count,
            number: 0,
            bytes: 0,
            watch: None,
            before_end: None,
        };
        (source, control)
    }
}

fn lock(state: &Mutex<Reading>) -> std::sync::MutexGuard<'_, Reading> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sees every batch before it is analysed, and the frames that the kernel took and those that it dropped, for each interface,
/// as of the last second: a recorder.
pub type Watch = Box<dyn FnMut(&FrameBatch, Vec<(u64, u64)>) + Send>;

/// A running capture.
pub struct LiveSource {
    batches: Receiver<FrameBatch>,
    marks: Receiver<Marker>,
    states: Vec<Arc<Mutex<Reading>>>,
    threads: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    count: Option<u64>,
    number: FrameNumber,
    bytes: u64,
    watch: Option<Watch>,
    before_end: Option<Box<dyn FnOnce() + Send>>,
}

impl LiveSource {
    /// Shows every batch to `watch`, too, before it is analysed.
    pub fn watch(&mut self, watch: Watch) {
        self.watch = Some(watch);
    }

    /// Calls `act` after the last frame and before the end is told: to learn what is still to be learned.
    pub fn before_end(&mut self, act: Box<dyn FnOnce() + Send>) {
        self.before_end = Some(act);
    }

    /// Numbers the frames of a batch, up to the number that was asked for.
    fn take(&mut self, mut batch: FrameBatch) -> FrameBatch {
        if let Some(count) = self.count {
            let left = usize::try_from(count.saturating_sub(self.number)).unwrap_or(usize::MAX);
            batch.frames.truncate(left);
        }
        for record in &mut batch.frames {
            self.number = self.number.saturating_add(1);
            record.number = self.number;
            self.bytes = self.bytes.saturating_add(u64::from(record.range.end - record.range.start));
            let place = usize::try_from(record.interface).unwrap_or(usize::MAX);
            if let Some(state) = self.states.get(place) {
                lock(state).frame(record);
            }
        }
        if self.count.is_some_and(|count| self.number >= count) {
            self.stop.store(true, Ordering::Release);
        }
        batch
    }

    fn is_full(&self) -> bool {
        self.count.is_some_and(|count| self.number >= count)
    }
}

impl Source for LiveSource {
    fn next_batch(&mut self) -> Result<Option<FrameBatch>, SourceError> {
        let mut batch = match self.batches.recv_timeout(PATIENCE) {
            Ok(batch) if !self.is_full() => self.take(batch),
            // Frames beyond those that were asked for: the threads are about to end.
            Ok(_) => FrameBatch::default(),
            Err(RecvTimeoutError::Timeout) => {
                let until = Timestamp(now().0.saturating_sub(LATE));
                FrameBatch { until: Some(until), ..FrameBatch::default() }
            }
            Err(RecvTimeoutError::Disconnected) => {
                self.stop.store(true, Ordering::Release);
                if let Some(act) = self.before_end.take() {
                    act();
                }
                for thread in self.threads.drain(..) {
                    if thread.join().is_err() {
                        return Err(SourceError::Interface {
                            name: "any".to_owned(),
                            reason: "a reading thread ended early".to_owned(),
                        });
                    }
                }
                // A marker may have come with the last frames; the next call ends.
                let marks: Vec<_> = self.marks.try_iter().collect();
                if marks.is_empty() {
                    return Ok(None);
                }
                FrameBatch { metadata: at_end(marks, 0), ..FrameBatch::default() }
            }
        };
        batch.metadata.extend(at_end(self.marks.try_iter(), batch.frames.len()));
        if let Some(watch) = &mut self.watch
            && !(batch.frames.is_empty() && batch.metadata.is_empty())
        {
            watch(&batch, self.states.iter().map(|state| lock(state).counts()).collect());
        }
        Ok(Some(batch))
    }

    fn inputs(&self) -> Vec<InputSummary> {
        self.states.iter().map(|state| lock(state).summary.clone()).collect()
    }

    fn progress(&self) -> (u64, Option<u64>) {
        (self.bytes, None)
    }

    fn is_live(&self) -> bool {
        true
    }
}

fn at_end(marks: impl IntoIterator<Item = Marker>, place: usize) -> Vec<(usize, Metadata)> {
    marks.into_iter().map(|marker| (place, Metadata::Marker(marker))).collect()
}

impl Reading {
    /// Why an interface gave no more frames.
    fn fail(&mut self, reason: String) {
        tracing::warn!(interface = self.summary.path, reason, "no more frames");
        self.summary.damages = self.summary.damages.saturating_add(1);
        self.summary.damage.push(Damage { offset: self.bytes, reason, skipped: None });
    }
}

/// The clock on the wall.
#[expect(clippy::disallowed_methods, reason = "a source: here time comes from")]
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
