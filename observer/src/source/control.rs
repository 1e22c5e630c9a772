//! What is said from elsewhere to a source whose frames come as they happen.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use super::Marker;

/// What may be done from elsewhere with interfaces that are captured on, or a file that is followed.
#[derive(Clone)]
pub struct CaptureControl {
    stop: Arc<AtomicBool>,
    marks: Sender<Marker>,
}

impl CaptureControl {
    /// Of the source that looks at `stop`, and where it finds its markers.
    pub(super) fn new(stop: &Arc<AtomicBool>) -> (Self, Receiver<Marker>) {
        let (to_source, marks) = channel();
        (Self { stop: Arc::clone(stop), marks: to_source }, marks)
    }

    /// Ends it: what the kernel has, or what is in the file by now, is still read.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// Whether it was told to end, or has come to its end.
    #[must_use]
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Puts a marker beside the frames.
    pub fn mark(&self, marker: Marker) {
        // Who has ended takes no markers; whoever sets them is told by its socket.
        let _ = self.marks.send(marker);
    }
}
