//! A command on the device with its input and outputs open.

use std::io::Read;
use std::process::{Child, ChildStdin, ChildStdout};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::AdbError;
use super::complaint::complaint;
use super::mark::take_mark;
use super::run::{Deadline, wait};

/// Bytes that are kept of the errors of a stream: its last ones.
const MAX_ERRORS: usize = 64 << 10;

/// How long the errors may still come after the end.
const LAST_ERRORS: Duration = Duration::from_secs(2);

/// A running command: 8-bit clean both ways.
///
/// Input and output are taken out and used where it suits; the errors are collected aside. Dropping it ends the way to
/// the command, which then finds its input at its end.
#[derive(Debug)]
pub struct Stream {
    child: Child,
    serial: String,
    doing: String,
    /// Its errors end with a mark, unless the connection broke.
    marked: bool,
    errors: Arc<Mutex<Vec<u8>>>,
    collector: Option<JoinHandle<()>>,
}

/// How a stream's command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code, 0 to 255.
    pub code: i32,
    /// The last of its errors, as text.
    pub errors: String,
}

impl Stream {
    /// The stream of a program of this machine, started with input, output and errors in pipes: an agent without a device.
    #[must_use]
    pub fn local(child: Child, doing: &str) -> Self {
        let mut stream = Self::new(child, "this machine", doing);
        stream.marked = false;
        stream
    }

    /// The stream of adb's client, whose command ends with a mark.
    pub(super) fn new(mut child: Child, serial: &str, doing: &str) -> Self {
        let errors = Arc::new(Mutex::new(Vec::new()));
        let collector = child.stderr.take().map(|mut pipe| {
            let errors = Arc::clone(&errors);
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(count @ 1..) = pipe.read(&mut buffer) {
                    let mut kept = errors.lock().unwrap_or_else(PoisonError::into_inner);
                    kept.extend_from_slice(buffer.get(..count).unwrap_or_default());
                    let surplus = kept.len().saturating_sub(MAX_ERRORS);
                    kept.drain(..surplus);
                }
            })
        });
        Self { child, serial: serial.to_owned(), doing: doing.to_owned(), marked: true, errors, collector }
    }

    /// The command's input, once. Dropping it tells the command that there is no more.
    pub fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// The command's output, once.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// What came of its errors so far, as text.
    #[must_use]
    pub fn errors(&self) -> String {
        let mut kept = self.errors.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if self.marked {
            // The word at the end is ours, not the command's.
            let _ = take_mark(&mut kept);
        }
        String::from_utf8_lossy(&kept).into_owned()
    }

    /// All of its errors, where its output has ended: they come by a way of their own, and are waited for for a moment.
    #[must_use]
    pub fn last_errors(&self) -> String {
        self.await_errors();
        self.errors()
    }

    fn await_errors(&self) {
        let last = Deadline::after(LAST_ERRORS);
        while self.collector.as_ref().is_some_and(|collector| !collector.is_finished())
            && last.left().is_some()
        {
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether the way to the command is at its end: the command has ended, or the device is gone.
    #[must_use]
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Closes the input, if it was not taken, and waits for the command's end, for `limit` at most.
    ///
    /// # Errors
    /// When the device cannot be reached, went away before the command ended, or does not end it within `limit`.
    pub fn finish(mut self, limit: Duration) -> Result<Ended, AdbError> {
        drop(self.child.stdin.take());
        let deadline = Deadline::after(limit);
        let status = wait(&mut self.child, &self.doing, deadline)?;
        self.await_errors();
        let mut errors = std::mem::take(&mut *self.errors.lock().unwrap_or_else(PoisonError::into_inner));
        let code = if self.marked { take_mark(&mut errors) } else { status.code() };
        let errors = String::from_utf8_lossy(&errors).into_owned();
        if let Some(code) = code {
            return Ok(Ended { code, errors });
        }
        let gone = || AdbError::Gone { serial: self.serial.clone(), doing: self.doing.clone() };
        let said = complaint(&self.serial, &self.doing, &errors);
        Err(said.filter(|error| !matches!(error, AdbError::Failed { .. })).unwrap_or_else(gone))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // One that has ended cannot be killed.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
