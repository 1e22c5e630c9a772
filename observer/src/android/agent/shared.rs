//! What the host's threads share: the link's, the pipeline's, and whoever controls the run.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::clock::{Clocks, instant};
use super::record::FlowRecord;
use super::wire::{Counts, FramesHeader, WINDOW, WireError, WireFrame, cut};
use crate::attribution::AppDirectory;
use crate::source::{ClockOffset, Marker};
use crate::time::Timestamp;

/// Messages that wait for the pipeline at most: what an agent that heeds the window sends is far less.
const MAX_QUEUE: usize = 256 << 10;
/// Bytes that they take at most. In memory small frames take some times the bytes that they had on the link.
const MAX_QUEUED: usize = 4 * WINDOW;
/// Flows that wait to be told to the agent.
const MAX_OPENED: usize = 16 << 10;
/// Notes that are kept.
const MAX_NOTES: usize = 200;

/// How the link to the device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// Messages come.
    Connected,
    /// It broke, and is being made anew.
    Reconnecting {
        /// When it broke, by the host's clock.
        since: Timestamp,
    },
    /// The capture has ended, with the device's last word or without.
    Ended,
}

/// What was counted so far, on the device and here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentCounts {
    /// Frames that arrived.
    pub frames: u64,
    /// Their captured bytes.
    pub bytes: u64,
    /// Frames that the device's kernel dropped.
    pub dropped_by_kernel: u64,
    /// Frames that the agent's spool had no room for.
    pub dropped_by_spool: u64,
    /// Sockets whose owners the agent's spool had no room for.
    pub sightings_dropped_by_spool: u64,
    /// Markers and notes that the agent's spool had no room for.
    pub words_dropped_by_spool: u64,
    /// Sockets that the device's attributors lost.
    pub lost_sockets: u64,
    /// Flows that began and that nobody on the device was asked about: too many at once.
    pub unasked_flows: u64,
    /// How often the link was made anew.
    pub reconnections: u64,
}

/// What the pipeline is given, in order.
pub(super) enum Item {
    Frames(FramesHeader, Vec<u8>),
    Until(Timestamp),
    Marker(Marker),
}

impl Item {
    fn size(&self) -> usize {
        match self {
            Self::Frames(header, body) => {
                body.len().saturating_add(header.frames.len().saturating_mul(size_of::<WireFrame>()))
            }
            Self::Marker(marker) => marker.label.len(),
            Self::Until(_) => 0,
        }
    }
}

/// All that is shared.
pub(super) struct State {
    pub(super) link: LinkState,
    queue: VecDeque<(u64, Item)>,
    queued: usize,
    /// The last message that arrived.
    pub(super) received: u64,
    pub(super) opened: Vec<FlowRecord>,
    pub(super) stop: bool,
    /// Nobody takes frames any more.
    pub(super) closed: bool,
    pub(super) marks: VecDeque<Marker>,
    pub(super) clocks: Clocks,
    /// When the ping was sent that has no answer yet.
    pub(super) pinged: Option<Timestamp>,
    /// When something last came.
    pub(super) heard: Instant,
    pub(super) counts: Counts,
    pub(super) frames: u64,
    pub(super) bytes: u64,
    pub(super) untold: u64,
    pub(super) reconnections: u64,
    notes: Vec<String>,
    /// Apps of a list that has not ended yet.
    pub(super) apps: AppDirectory,
    /// Frames that the device captured: it has said its last word.
    pub(super) end: Option<u64>,
    /// Why what comes after is not there.
    pub(super) lost: Option<String>,
}

impl State {
    pub(super) fn note(&mut self, note: String) {
        if self.notes.len() < MAX_NOTES {
            self.notes.push(cut(note));
        }
    }

    /// Gives an item to the pipeline.
    pub(super) fn push(&mut self, sequence: u64, item: Item) -> Result<(), WireError> {
        self.queued = self.queued.saturating_add(item.size());
        if self.queued > MAX_QUEUED || self.queue.len() >= MAX_QUEUE {
            return Err(WireError::Unexpected("the agent sends more than its window".to_owned()));
        }
        self.queue.push_back((sequence, item));
        Ok(())
    }

    /// The next item for the pipeline.
    pub(super) fn pop(&mut self) -> Option<Item> {
        let (_, item) = self.queue.pop_front()?;
        self.queued = self.queued.saturating_sub(item.size());
        Some(item)
    }

    /// Whether an item waits.
    pub(super) fn has_items(&self) -> bool {
        !self.queue.is_empty()
    }

    /// The last message of which nothing waits any more.
    pub(super) fn taken(&self) -> u64 {
        self.queue.front().map_or(self.received, |(sequence, _)| sequence.saturating_sub(1))
    }

    /// Whether nothing more comes.
    pub(super) fn is_over(&self) -> bool {
        self.end.is_some() || self.lost.is_some() || self.link == LinkState::Ended
    }

    /// A flow began.
    pub(super) fn open(&mut self, flow: FlowRecord) {
        if self.opened.len() < MAX_OPENED {
            self.opened.push(flow);
        } else {
            self.untold = self.untold.saturating_add(1);
        }
    }

    pub(super) fn agent_counts(&self) -> AgentCounts {
        let counts = &self.counts;
        AgentCounts {
            frames: self.frames,
            bytes: self.bytes,
            dropped_by_kernel: counts.interfaces.iter().map(|one| one.dropped).fold(0, u64::saturating_add),
            dropped_by_spool: counts.spool_frames,
            sightings_dropped_by_spool: counts.spool_sightings,
            words_dropped_by_spool: counts.spool_words,
            lost_sockets: counts.lost_sockets,
            unasked_flows: counts.unasked_flows.saturating_add(self.untold),
            reconnections: self.reconnections,
        }
    }
}

/// The shared state. A clone leads to the same.
#[derive(Clone)]
pub(super) struct Shared {
    state: Arc<Mutex<State>>,
    changed: Arc<Condvar>,
}

impl Shared {
    pub(super) fn new() -> Self {
        let state = State {
            link: LinkState::Connected,
            queue: VecDeque::new(),
            queued: 0,
            received: 0,
            opened: Vec::new(),
            stop: false,
            closed: false,
            marks: VecDeque::new(),
            clocks: Clocks::default(),
            pinged: None,
            heard: instant(),
            counts: Counts::default(),
            frames: 0,
            bytes: 0,
            untold: 0,
            reconnections: 0,
            notes: Vec::new(),
            apps: AppDirectory::default(),
            end: None,
            lost: None,
        };
        Self { state: Arc::new(Mutex::new(state)), changed: Arc::new(Condvar::new()) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and wakes whoever waits for that.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.notify_all();
        result
    }

    /// Waits while `wanted` says so, for `patience` at most.
    pub(super) fn wait_while(
        &self,
        patience: Duration,
        wanted: impl FnMut(&mut State) -> bool,
    ) -> MutexGuard<'_, State> {
        let waited = self.changed.wait_timeout_while(self.lock(), patience, wanted);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// What may be done with a device's capture from elsewhere.
#[derive(Clone)]
pub struct AgentControl {
    pub(super) shared: Shared,
}

impl AgentControl {
    /// Ends the capture: what the agent holds still comes.
    pub fn stop(&self) {
        self.shared.change(|state| state.stop = true);
    }

    /// Puts a marker into the capture, whose clock is the device's: one that this machine stamped is corrected by what is known
    /// of the difference.
    ///
    /// After the end it is lost.
    pub fn mark(&self, marker: Marker) {
        self.shared.change(|state| {
            let marker = marker.corrected(state.clocks.offset());
            state.marks.push_back(marker);
        });
    }

    /// What to add to this machine's time to have the device's; `None` before the first answer to a ping.
    #[must_use]
    pub fn clock(&self) -> Option<ClockOffset> {
        self.shared.lock().clocks.offset()
    }

    /// What was counted so far.
    #[must_use]
    pub fn counts(&self) -> AgentCounts {
        self.shared.lock().agent_counts()
    }

    /// How the link to the device is.
    #[must_use]
    pub fn state(&self) -> LinkState {
        self.shared.lock().link
    }

    /// What there is to say of the run so far: what was refused on the device, links that broke, a clock that was set. The
    /// first 200.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        self.shared.lock().notes.clone()
    }
}
