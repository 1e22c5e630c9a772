//! The thread that records, and how to speak to it.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::recorder::{Recorder, Recording};
use super::{Answer, RecorderOptions, RecorderSummary, RecordingError};
use crate::decode::FiveTuple;
use crate::source::{FrameBatch, InterfaceIndex, InterfaceInfo};
use crate::time::Timestamp;

/// Batches that may wait before the thread takes them.
const QUEUE: usize = 16;

/// What the thread is told.
enum Message {
    Frames(FrameBatch),
    Counts { interface: InterfaceIndex, received: u64, dropped: u64 },
    Interface(InterfaceIndex, InterfaceInfo),
}

/// A recording that runs in a thread of its own.
///
/// Where the disk is slower than the network, [`Self::send`] waits, and what waits in the kernel meanwhile is dropped and
/// counted there. Do not hold a lock over it that the look-up of owners takes.
#[derive(Debug)]
pub struct RecorderHandle {
    to_thread: SyncSender<Message>,
    thread: JoinHandle<RecorderSummary>,
}

impl RecorderHandle {
    /// Begins the first file and the thread.
    ///
    /// `lookup` finds the owner of a five-tuple at a time; its source is the flow's originator as far as that is known. It is
    /// asked about a second after the frame was captured, and not for every frame: answers are remembered for 10 ms, for a TCP
    /// connection with an owner for a second.
    ///
    /// # Errors
    /// When the file cannot be made, its name is none, or the system gives no thread.
    pub fn start(
        options: RecorderOptions,
        lookup: impl FnMut(&FiveTuple, Timestamp) -> Answer + Send + 'static,
    ) -> Result<Self, RecordingError> {
        let hold = options.hold;
        let recorder = Recorder::new(options, Box::new(lookup))?;
        let (to_thread, messages) = sync_channel(QUEUE);
        let run = move || {
            let mut recorder = recorder;
            let outcome = receive(&mut recorder, &messages, hold);
            recorder.finish(outcome)
        };
        let thread = thread::Builder::new().name("recording".to_owned()).spawn(run);
        Ok(Self { to_thread, thread: thread.map_err(|_no_thread| RecordingError::Thread)? })
    }

    /// Hands over frames and markers; waits while too many do. False once the recording has ended: then [`Self::finish`] says why.
    pub fn send(&self, batch: FrameBatch) -> bool {
        self.tell(Message::Frames(batch))
    }

    /// Says how many frames an interface received and the kernel dropped since the start. False as [`Self::send`].
    pub fn drops(&self, interface: InterfaceIndex, received: u64, dropped: u64) -> bool {
        self.tell(Message::Counts { interface, received, dropped })
    }

    /// Describes an interface that came later. Its first frames follow. False as [`Self::send`].
    pub fn interface(&self, index: InterfaceIndex, info: InterfaceInfo) -> bool {
        self.tell(Message::Interface(index, info))
    }

    /// Whether it has ended by itself.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Writes all that waits, completes the file, and says what was recorded.
    #[must_use]
    pub fn finish(self) -> RecorderSummary {
        drop(self.to_thread);
        self.thread.join().unwrap_or_else(|_panic| RecorderSummary {
            error: Some(RecordingError::Thread),
            ..RecorderSummary::default()
        })
    }

    fn tell(&self, message: Message) -> bool {
        self.to_thread.send(message).is_ok()
    }
}

/// Records what comes until nothing more can come, or until nothing more can be recorded.
#[expect(
    clippy::disallowed_methods,
    reason = "how long nothing came decides only when what waits is written"
)]
fn receive(
    recorder: &mut Recorder,
    messages: &Receiver<Message>,
    hold: Duration,
) -> Result<Recording, RecordingError> {
    // Counts come when no frame does, too.
    let mut frames_came = Instant::now();
    loop {
        let recording = match messages.recv_timeout(hold.saturating_sub(frames_came.elapsed())) {
            Ok(Message::Frames(batch)) => {
                frames_came = Instant::now();
                recorder.frames(batch)?
            }
            Ok(Message::Counts { interface, received, dropped }) => {
                recorder.counts(interface, received, dropped);
                Recording::GoesOn
            }
            Ok(Message::Interface(index, info)) => {
                recorder.interface(index, info)?;
                Recording::GoesOn
            }
            // Frames that nothing comes after have waited long enough, too.
            Err(RecvTimeoutError::Timeout) => {
                frames_came = Instant::now();
                recorder.idle()?
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(Recording::GoesOn),
        };
        if recording == Recording::Full {
            return Ok(recording);
        }
    }
}
