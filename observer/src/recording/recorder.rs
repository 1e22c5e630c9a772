//! Frames in, files out: holds frames back until their owners can be known, and puts everything in its place.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::file::{CaptureFile, Interface, Interfaces};
use super::owners::{Described, Lookup, Owners};
use super::rotate::{Names, Rotation, Step};
use super::{RecorderOptions, RecorderSummary, RecordingError};
use crate::decode::Decoder;
use crate::source::{Frame, FrameBatch, InterfaceIndex, InterfaceInfo, Marker, Metadata};
use crate::time::Timestamp;

/// Markers that wait for their packet.
const MAX_MARKERS: usize = 4096;

/// What waits.
enum Held {
    /// Frames, from the one at `next` on, and the bytes of the buffers that no batch before has.
    Frames { batch: FrameBatch, next: usize, bytes: usize },
    /// Frames received and lost on an interface up to here.
    Counts { interface: InterfaceIndex, received: u64, dropped: u64 },
}

/// Whether more can be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recording {
    GoesOn,
    /// The greatest number of files is reached.
    Full,
}

/// A recording.
pub(super) struct Recorder {
    options: RecorderOptions,
    names: Names,
    /// `None` once all is done.
    file: Option<CaptureFile>,
    interfaces: Interfaces,
    decoder: Decoder,
    owners: Owners,
    held: VecDeque<Held>,
    held_bytes: usize,
    /// The time of the latest frame that came.
    now: Timestamp,
    /// The time up to which the file is flushed.
    flushed: Timestamp,
    /// Times and comments, in the order of the times.
    markers: VecDeque<(Timestamp, String)>,
    summary: RecorderSummary,
}

impl Recorder {
    /// Begins the first file.
    pub(super) fn new(options: RecorderOptions, lookup: Lookup) -> Result<Self, RecordingError> {
        if options.path == Path::new("-") && options.rotation != Rotation::default() {
            return Err(RecordingError::RotatingOutput);
        }
        let mut names = Names::new(&options.path, options.rotation, options.began);
        let declared = options.interfaces.iter().cloned();
        let interfaces: Interfaces = declared.map(|(index, info)| (index, Interface::new(info))).collect();
        let file = CaptureFile::begin(&names.first()?, &options, &interfaces, options.began)?;
        Ok(Self {
            names,
            file: Some(file),
            interfaces,
            decoder: Decoder::default(),
            owners: Owners::new(lookup, options.is_android),
            held: VecDeque::new(),
            held_bytes: 0,
            now: options.began,
            flushed: options.began,
            markers: VecDeque::new(),
            summary: RecorderSummary { files: 1, ..RecorderSummary::default() },
            options,
        })
    }

    /// Takes frames, and writes those that have waited long enough.
    pub(super) fn frames(&mut self, batch: FrameBatch) -> Result<Recording, RecordingError> {
        if let Some(now) = batch.until.or(batch.frames.last().map(|last| last.timestamp)) {
            self.now = now;
        }
        for (_, metadata) in &batch.metadata {
            match metadata {
                Metadata::Marker(marker) => self.marker(marker),
                // Owners come with their names, and names of hosts are in the frames.
                // Secrets are not recorded unasked.
                Metadata::App { .. } | Metadata::Name { .. } | Metadata::Secrets { .. } => {}
            }
        }
        let before = self.held.iter().rev().find_map(|held| match held {
            Held::Frames { batch, .. } => Some(batch.buffers.as_slice()),
            Held::Counts { .. } => None,
        });
        let known = before.unwrap_or_default();
        let new = batch.buffers.iter().filter(|buffer| !known.iter().any(|known| Arc::ptr_eq(known, buffer)));
        let bytes = new.map(|buffer| buffer.capacity()).fold(0, usize::saturating_add);
        self.held_bytes = self.held_bytes.saturating_add(bytes);
        self.held.push_back(Held::Frames { batch, next: 0, bytes });
        self.release(false)
    }

    /// Takes the counts of an interface since the start of the run.
    pub(super) fn counts(&mut self, interface: InterfaceIndex, received: u64, dropped: u64) {
        self.held.push_back(Held::Counts { interface, received, dropped });
    }

    /// Takes an interface's description.
    pub(super) fn interface(
        &mut self,
        index: InterfaceIndex,
        info: InterfaceInfo,
    ) -> Result<(), RecordingError> {
        let interface = self.interfaces.entry(index).or_default();
        interface.declare(info);
        match &mut self.file {
            Some(file) => file.describe(index, interface),
            None => Ok(()),
        }
    }

    /// Takes a marker, which the first frame from its time on is to carry that is still to be written.
    fn marker(&mut self, marker: &Marker) {
        if self.markers.len() >= MAX_MARKERS {
            self.summary.markers_lost = self.summary.markers_lost.saturating_add(1);
            return;
        }
        let place = self.markers.partition_point(|(known, _)| *known <= marker.at);
        self.markers.insert(place, (marker.at, marker.to_comment()));
    }

    /// Writes all that waits, and hands it to the operating system: nothing more came for a while.
    pub(super) fn idle(&mut self) -> Result<Recording, RecordingError> {
        let recording = self.release(true)?;
        self.flush()?;
        Ok(recording)
    }

    /// Writes what has waited long enough, or `all`.
    fn release(&mut self, all: bool) -> Result<Recording, RecordingError> {
        while let Some(held) = self.held.pop_front() {
            let (batch, mut next, bytes) = match held {
                Held::Frames { batch, next, bytes } => (batch, next, bytes),
                Held::Counts { interface, received, dropped } => {
                    self.interfaces.entry(interface).or_default().report(received, dropped);
                    continue;
                }
            };
            while let Some(record) = batch.frames.get(next) {
                if !all && !self.has_waited(record.timestamp) {
                    if self.held_bytes <= self.options.max_held {
                        self.held.push_front(Held::Frames { batch, next, bytes });
                        return self.flush_now_and_then();
                    }
                    self.summary.early = self.summary.early.saturating_add(1);
                }
                next = next.saturating_add(1);
                if self.write(&batch.frame(record))? == Recording::Full {
                    return Ok(Recording::Full);
                }
            }
            self.held_bytes = self.held_bytes.saturating_sub(bytes);
        }
        self.flush_now_and_then()
    }

    /// Whether a frame captured at `at` has waited long enough. A clock that was set makes it wait no longer than one that runs.
    fn has_waited(&self, at: Timestamp) -> bool {
        let waited = self.now.0.saturating_sub(at.0).unsigned_abs();
        u128::from(waited) >= self.options.hold.as_nanos()
    }

    /// Hands what was written to the operating system, unless that happened a short while ago.
    fn flush_now_and_then(&mut self) -> Result<Recording, RecordingError> {
        if self.file.as_ref().is_some_and(|file| file.last().since(self.flushed) >= self.options.hold) {
            self.flush()?;
        }
        Ok(Recording::GoesOn)
    }

    /// Writes one frame, in the file that it belongs to, if it is to be kept.
    fn write(&mut self, frame: &Frame<'_>) -> Result<Recording, RecordingError> {
        let (owner, wanted) = self.owner(frame);
        if !wanted {
            self.summary.left_out = self.summary.left_out.saturating_add(1);
            return Ok(Recording::GoesOn);
        }
        if self.turn(frame.timestamp)? == Recording::Full {
            return Ok(Recording::Full);
        }
        let Some(file) = &mut self.file else { return Ok(Recording::Full) };
        let due = self.markers.partition_point(|(at, _)| *at <= frame.timestamp);
        let markers: Vec<String> = self.markers.drain(..due).map(|(_, comment)| comment).collect();
        file.packet(frame, owner.as_deref(), &markers, &mut self.interfaces)?;
        self.summary.frames = self.summary.frames.saturating_add(1);
        if owner.is_none() {
            self.summary.unowned = self.summary.unowned.saturating_add(1);
        }
        Ok(Recording::GoesOn)
    }

    /// Whose a frame is, by the first packet in it, and whether it is wanted.
    fn owner(&mut self, frame: &Frame<'_>) -> (Option<Arc<Described>>, bool) {
        let (owners, mut found) = (&mut self.owners, None);
        // A frame without a packet, as of ARP, has no owner.
        let _ = self.decoder.decode(frame, |packet, _| {
            if found.is_none() {
                found = Some(owners.of(packet));
            }
        });
        found.unwrap_or((None, self.options.others))
    }

    /// Begins another file before a frame of `at`, if it is time.
    fn turn(&mut self, at: Timestamp) -> Result<Recording, RecordingError> {
        let Some(file) = &self.file else { return Ok(Recording::Full) };
        let (open, remove) = match self.names.step(at, file.written())? {
            Step::Stay => return Ok(Recording::GoesOn),
            Step::Full => {
                self.summary.full = true;
                return Ok(Recording::Full);
            }
            Step::Next { open, remove } => (open, remove),
        };
        self.complete(false)?;
        if let Some(path) = remove {
            match fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(RecordingError::Remove { path: path.display().to_string(), source });
                }
                // Somebody else may have taken it away.
                _ => {}
            }
        }
        self.file = Some(CaptureFile::begin(&open, &self.options, &self.interfaces, at)?);
        self.flushed = at;
        self.summary.files = self.summary.files.saturating_add(1);
        Ok(Recording::GoesOn)
    }

    /// Completes the file that is open.
    fn complete(&mut self, is_last: bool) -> Result<(), RecordingError> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let markers: Vec<String> = match is_last {
            true => self.markers.drain(..).map(|(_, comment)| comment).collect(),
            false => Vec::new(),
        };
        if !file.finish(&mut self.interfaces, is_last, &markers)? {
            let lost = u64::try_from(markers.len()).unwrap_or(u64::MAX);
            self.summary.markers_lost = self.summary.markers_lost.saturating_add(lost);
        }
        self.summary.bytes = self.summary.bytes.saturating_add(file.written());
        self.file = None;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), RecordingError> {
        let Some(file) = &mut self.file else { return Ok(()) };
        self.flushed = file.last();
        file.flush()
    }

    /// Ends the recording: after `outcome`, with all that waits written if it went well.
    pub(super) fn finish(mut self, outcome: Result<Recording, RecordingError>) -> RecorderSummary {
        let outcome = outcome.and_then(|recording| match recording {
            Recording::GoesOn => self.release(true),
            Recording::Full => Ok(Recording::Full),
        });
        let outcome = outcome.and_then(|_| self.complete(true));
        if let Some(file) = &mut self.file {
            // It could not be continued.
            self.summary.bytes = self.summary.bytes.saturating_add(file.kept());
        }
        RecorderSummary { error: outcome.err(), ..self.summary }
    }
}
