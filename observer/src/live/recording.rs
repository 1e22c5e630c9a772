//! What is recorded while the capture runs.

use std::net::SocketAddr;
use std::sync::Arc;

use super::Running;
use crate::attribution::{Life, LiveOwners, Selection, SocketOwner, settle};
use crate::decode::FiveTuple;
use crate::recording::{Answer, RecorderHandle, RecorderOptions, RecorderSummary, RecordingError};
use crate::time::Timestamp;

/// A recording beside a capture.
pub struct Recording(Arc<RecorderHandle>);

impl Recording {
    /// Begins the file, and records from now on what `running` captures.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn start(
        options: RecorderOptions,
        running: &mut Running,
        selection: Selection,
    ) -> Result<Self, RecordingError> {
        let owners = Arc::clone(&running.owners);
        let own = running.own_endpoints.clone();
        let lookup = move |tuple: &FiveTuple, at| match own.iter().any(|own| is_with(own, tuple)) {
            // What is said to the observer itself is no app's.
            true => Answer { owner: None, wanted: false },
            false => answer(&owners, &selection, tuple, at),
        };
        let recorder = Arc::new(RecorderHandle::start(options, lookup)?);
        let watcher = Arc::clone(&recorder);
        let mut known = Vec::new();
        running.source.watch(Box::new(move |batch, counts| {
            // A recording that has ended says why at the end of the run.
            let _ = watcher.send(batch.clone());
            if counts != known {
                for (interface, (received, dropped)) in (0..).zip(&counts) {
                    let _ = watcher.drops(interface, *received, *dropped);
                }
                known = counts;
            }
        }));
        Ok(Self(recorder))
    }

    /// Completes the file; the capture has ended.
    #[must_use]
    pub fn finish(self) -> RecorderSummary {
        Arc::try_unwrap(self.0).map_or_else(
            |_still_watched| RecorderSummary {
                error: Some(RecordingError::Thread),
                ..RecorderSummary::default()
            },
            RecorderHandle::finish,
        )
    }
}

fn is_with(own: &SocketAddr, tuple: &FiveTuple) -> bool {
    [tuple.source, tuple.destination].iter().any(|end| (end.ip, end.port) == (own.ip(), own.port()))
}

fn answer(owners: &LiveOwners, selection: &Selection, tuple: &FiveTuple, at: Timestamp) -> Answer {
    let sockets = owners.sockets(tuple, Life::at(at));
    let owner = settle(owners.owners(&sockets)).into_iter().next();
    let of_sockets = sockets.iter().map(AsRef::<SocketOwner>::as_ref);
    let wanted = selection.wants(owner.as_ref(), of_sockets) != Some(false);
    Answer { owner, wanted }
}
