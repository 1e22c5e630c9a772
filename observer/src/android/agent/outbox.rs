//! What the daemon has to say, between those who learn it and the link that carries it.
//!
//! The capture, the attribution thread and the link's threads share one state. Whoever puts something in wakes the link's
//! writer; a link that breaks leaves everything where it is.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::clock::instant;
use super::spool::{Body, Held, Spool};
use super::wire::{
    Counts, DeviceMessage, FramesHeader, InterfaceCounts, MAX_FRAMES, MAX_ITEMS, WINDOW, WireError,
    WireFrame, cut, encode,
};
use crate::attribution::{AppDirectory, Sighting};
use crate::live::Keeper;
use crate::source::{Annotations, FrameBatch, FrameRecord, LinkDirection};

/// Answers to pings that wait to be sent; a host asks for one at a time.
const PONGS: usize = 16;
/// Notes of a session at most.
const NOTES: usize = 100;

/// Which of the links, from 1.
pub(super) type LinkNumber = u64;

/// What a link's writer does next.
pub(super) enum Next {
    /// An answer without a sequence.
    Answer(DeviceMessage),
    /// A message that stays held until it is acknowledged.
    Held { sequence: u64, held: Held },
    /// The host listens no more on this link, and has all.
    Done,
    /// Another link has taken its place.
    Replaced,
    /// The spool's file cannot be read.
    Failed(std::io::Error),
}

struct State {
    spool: Spool,
    counts: Counts,
    notes: usize,
    /// The device's apps, while there was no room for them.
    apps: Option<AppDirectory>,
    /// The last message that was sent on the link, and the bytes of those after the last acknowledged.
    sent: u64,
    in_flight: usize,
    /// The last message that was acknowledged.
    acknowledged: u64,
    link: Option<LinkNumber>,
    links: LinkNumber,
    pongs: VecDeque<DeviceMessage>,
    /// The host said stop.
    stop: bool,
    /// And closed its side: it does not acknowledge any more.
    silent: bool,
    /// The last message was put in.
    ended: bool,
    /// The host has everything.
    done: bool,
    /// Nothing of it can be of use: the host wants what is not there.
    hopeless: bool,
    /// When the last link was lost; at first, when the agent began.
    away: Instant,
}

/// The shared state. A clone leads to the same.
#[derive(Clone)]
pub(super) struct Outbox {
    state: Arc<Mutex<State>>,
    changed: Arc<Condvar>,
}

impl Outbox {
    pub(super) fn new(spool: Spool, interfaces: usize) -> Self {
        let counts = Counts { interfaces: vec![InterfaceCounts::default(); interfaces], ..Counts::default() };
        let state = State {
            spool,
            counts,
            notes: 0,
            apps: None,
            sent: 0,
            in_flight: 0,
            acknowledged: 0,
            link: None,
            links: 0,
            pongs: VecDeque::new(),
            stop: false,
            silent: false,
            ended: false,
            done: false,
            hopeless: false,
            away: instant(),
        };
        Self { state: Arc::new(Mutex::new(state)), changed: Arc::new(Condvar::new()) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let result = change(&mut state);
        if let Some(reason) = state.spool.failure() {
            state.note(format!("the agent's spool cannot be written: {reason}"));
        }
        drop(state);
        self.changed.notify_all();
        result
    }

    /// Puts in what a batch of the capture has.
    pub(super) fn batch(&self, batch: &FrameBatch) {
        self.change(|state| {
            for run in runs(&batch.frames) {
                state.frames(batch, run);
            }
            for (_, metadata) in &batch.metadata {
                if let crate::source::Metadata::Marker(marker) = metadata {
                    let comment = cut(marker.to_comment());
                    state.word(&DeviceMessage::Marker { at: marker.at.0, comment });
                }
            }
            if let Some(until) = batch.until {
                let sent = state.sent;
                if let Ok(header) = encode(&DeviceMessage::Until(until.0)) {
                    state.spool.push_passing(header, sent);
                }
            }
        });
    }

    /// Says what was counted, if it is more than the last time.
    pub(super) fn count(&self, interfaces: Vec<InterfaceCounts>, unasked_flows: u64) {
        self.change(|state| {
            state.counts.interfaces = interfaces;
            state.counts.unasked_flows = unasked_flows;
            state.say_counts();
        });
    }

    /// Says something for the report.
    pub(super) fn note(&self, note: String) {
        self.change(|state| state.note(note));
    }

    /// Says that nothing follows.
    pub(super) fn end(&self, frames: u64) {
        self.change(|state| {
            let counts = state.counts.clone();
            for last in [DeviceMessage::Counts(counts), DeviceMessage::End { frames }] {
                if let Ok(header) = encode(&last) {
                    state.spool.push_last(header);
                }
            }
            state.ended = true;
        });
    }

    /// A host is on a new link and lacks all from `resume_from` on; the link's number.
    ///
    /// # Errors
    /// When that is no longer held, or was never sent.
    pub(super) fn begin(&self, resume_from: u64) -> Result<LinkNumber, String> {
        self.change(|state| {
            if resume_from > state.spool.last().saturating_add(1) {
                state.hopeless = state.links == 0;
                return Err(format!(
                    "message {resume_from} was asked for, and this agent has sent {}: the one that the host knew is gone",
                    state.spool.last()
                ));
            }
            if resume_from <= state.acknowledged {
                return Err(format!(
                    "message {resume_from} was asked for, and another host has taken all up to {}",
                    state.acknowledged
                ));
            }
            state.links = state.links.saturating_add(1);
            state.link = Some(state.links);
            state.sent = resume_from.saturating_sub(1);
            let arrived = state.acknowledged.saturating_add(1)..resume_from;
            state.in_flight = arrived.map(|sequence| state.spool.size(sequence)).fold(0, usize::saturating_add);
            state.pongs.clear();
            Ok(state.links)
        })
    }

    /// The link broke.
    pub(super) fn lose(&self, link: LinkNumber) {
        self.change(|state| {
            if state.link == Some(link) {
                state.link = None;
                state.away = instant();
            }
        });
    }

    /// The host has all messages up to `sequence`.
    ///
    /// # Errors
    /// When it cannot have them.
    pub(super) fn acknowledge(&self, link: LinkNumber, sequence: u64) -> Result<(), WireError> {
        self.change(|state| {
            if state.link != Some(link) {
                return Ok(());
            }
            if sequence > state.sent {
                let sent = state.sent;
                let words =
                    format!("message {sequence} was acknowledged, and {sent} is the last that was sent");
                return Err(WireError::Unexpected(words));
            }
            for arrived in state.acknowledged.saturating_add(1)..=sequence {
                state.in_flight = state.in_flight.saturating_sub(state.spool.size(arrived));
            }
            state.acknowledged = state.acknowledged.max(sequence);
            state.spool.acknowledge(sequence);
            state.done |= state.ended && state.acknowledged == state.spool.last();
            Ok(())
        })
    }

    /// Answers on the link when its writer comes to it.
    pub(super) fn answer(&self, link: LinkNumber, pong: DeviceMessage) {
        self.change(|state| {
            if state.link == Some(link) && state.pongs.len() < PONGS {
                state.pongs.push_back(pong);
            }
        });
    }

    /// The host said stop.
    pub(super) fn stop(&self) {
        self.change(|state| state.stop = true);
    }

    /// The host closed its side of the link; whether it had said stop, so that the link is still of use.
    pub(super) fn close(&self, link: LinkNumber) -> bool {
        self.change(|state| {
            let wanted = state.link == Some(link) && state.stop;
            state.silent |= wanted;
            wanted
        })
    }

    /// Waits for what the link's writer has to do.
    pub(super) fn next(&self, link: LinkNumber) -> Next {
        let mut state = self.lock();
        loop {
            if state.link != Some(link) {
                return Next::Replaced;
            }
            if let Some(pong) = state.pongs.pop_front() {
                return Next::Answer(pong);
            }
            let sequence = state.sent.saturating_add(1);
            let size = state.spool.size(sequence);
            let open = state.silent || state.in_flight == 0 || state.in_flight.saturating_add(size) <= WINDOW;
            if open && sequence <= state.spool.last() {
                return match state.spool.get(sequence) {
                    Ok(Some(held)) => {
                        state.sent = sequence;
                        state.in_flight = state.in_flight.saturating_add(size);
                        Next::Held { sequence, held }
                    }
                    // Between first and last nothing is missing.
                    Ok(None) => Next::Replaced,
                    Err(error) => Next::Failed(error),
                };
            }
            if state.silent && state.ended {
                state.done = true;
                drop(state);
                self.changed.notify_all();
                return Next::Done;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether the host said stop.
    pub(super) fn is_stopped(&self) -> bool {
        self.lock().stop
    }

    /// Whether nobody can be served any more: no host was there for `linger`, or what it wants is not here.
    pub(super) fn is_abandoned(&self, linger: Duration) -> bool {
        let state = self.lock();
        state.hopeless || state.link.is_none() && state.away.elapsed() >= linger
    }

    /// Waits until the host has everything; false if none was there for `linger`.
    pub(super) fn wait_until_done(&self, linger: Duration) -> bool {
        let mut state = self.lock();
        while !state.done {
            if state.link.is_some() {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let left = linger.saturating_sub(state.away.elapsed());
            if state.hopeless || left.is_zero() {
                return false;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Ends the link, if there is one.
    pub(super) fn close_all(&self) {
        self.change(|state| state.link = None);
    }
}

impl State {
    fn note(&mut self, note: String) {
        self.notes = self.notes.saturating_add(1);
        if self.notes <= NOTES {
            self.word(&DeviceMessage::Note(cut(note)));
        } else {
            self.counts.spool_words = self.counts.spool_words.saturating_add(1);
        }
    }

    fn word(&mut self, message: &DeviceMessage) {
        let held = encode(message).is_ok_and(|header| self.spool.push_word(header));
        if !held {
            self.counts.spool_words = self.counts.spool_words.saturating_add(1);
        }
    }

    fn say_counts(&mut self) {
        // Where there is no room the next one says it.
        if let Ok(header) = encode(&DeviceMessage::Counts(self.counts.clone())) {
            self.spool.push_word(header);
        }
    }

    /// A message for frames that lie one behind the other.
    fn frames(&mut self, batch: &FrameBatch, run: &[FrameRecord]) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return };
        let base = first.timestamp.0;
        let header = DeviceMessage::Frames(FramesHeader {
            interface: first.interface,
            base,
            frames: run.iter().map(|record| wire_frame(record, base)).collect(),
        });
        let place = |offset: u32| usize::try_from(offset).unwrap_or(usize::MAX);
        let buffer = batch.buffers.get(place(first.buffer)).cloned().unwrap_or_default();
        let body = Body { buffer, range: place(first.range.start)..place(last.range.end) };
        let bytes = u64::try_from(body.range.len()).unwrap_or(u64::MAX);
        let held = encode(&header).is_ok_and(|header| self.spool.push_frames(header, body));
        if !held {
            let frames = u64::try_from(run.len()).unwrap_or(u64::MAX);
            self.counts.spool_frames = self.counts.spool_frames.saturating_add(frames);
            self.counts.spool_bytes = self.counts.spool_bytes.saturating_add(bytes);
        }
    }

    /// Puts in the list of apps, if there is room.
    fn packages(&mut self, apps: &AppDirectory) -> bool {
        let all: Vec<_> = apps
            .iter()
            .map(|(uid, package, label)| (uid, cut(package.to_owned()), cut(label.to_owned())))
            .collect();
        let pieces = all.len().div_ceil(MAX_ITEMS).max(1);
        let mut rest = all.chunks(MAX_ITEMS);
        for piece in 1..=pieces {
            let apps = rest.next().unwrap_or_default().to_vec();
            let message = DeviceMessage::Packages { first: piece == 1, last: piece == pieces, apps };
            if !encode(&message).is_ok_and(|header| self.spool.push_word(header)) {
                return false;
            }
        }
        true
    }
}

impl Keeper for Outbox {
    fn add(&self, sightings: Vec<Sighting>) {
        if sightings.is_empty() && self.lock().apps.is_none() {
            return;
        }
        self.change(|state| {
            let mut rest = sightings.into_iter().peekable();
            while rest.peek().is_some() {
                let piece: Vec<_> = rest.by_ref().take(MAX_ITEMS).map(Into::into).collect();
                let count = u64::try_from(piece.len()).unwrap_or(u64::MAX);
                let held = encode(&DeviceMessage::Sightings(piece))
                    .is_ok_and(|header| state.spool.push_word(header));
                if !held {
                    state.counts.spool_sightings = state.counts.spool_sightings.saturating_add(count);
                }
            }
            if let Some(apps) = state.apps.take()
                && !state.packages(&apps)
            {
                state.apps = Some(apps);
            }
        });
    }

    fn set_apps(&self, apps: AppDirectory) {
        self.change(|state| state.apps = if state.packages(&apps) { None } else { Some(apps) });
    }

    fn set_lost(&self, lost: u64) {
        self.lock().counts.lost_sockets = lost;
    }
}

fn wire_frame(record: &FrameRecord, base: i64) -> WireFrame {
    let direction = record.annotations.as_deref().and_then(|Annotations { direction, .. }| *direction);
    WireFrame {
        after_base: record.timestamp.0.saturating_sub(base),
        len: record.range.end.saturating_sub(record.range.start),
        original_len: record.original_len,
        outbound: direction.map(|direction| direction == LinkDirection::Outbound),
    }
}

/// The frames of a batch in pieces that a message takes: of one interface, one behind the other in one buffer.
fn runs(frames: &[FrameRecord]) -> impl Iterator<Item = &[FrameRecord]> {
    let follows = |one: &FrameRecord, next: &FrameRecord| {
        (one.interface, one.buffer, one.range.end) == (next.interface, next.buffer, next.range.start)
    };
    frames.chunk_by(follows).flat_map(|run| run.chunks(MAX_FRAMES))
}

#[cfg(test)]
mod tests;
