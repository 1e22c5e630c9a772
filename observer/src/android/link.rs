//! The ways to a device that stay open while a run lasts: to its agent, and to its log.

use std::io::{self, Read};
use std::process::ChildStdout;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::adb::{Adb, Stream};
use super::agent::Link;
use super::logcat::{Assumed, Logcat};
use crate::live::SetMarker;
use crate::source::Marker;
use crate::time::Timestamp;

/// Bytes asked of a log at once.
const PIECE: usize = 16 << 10;
/// The pause before a log that broke is opened again.
const PAUSE: Duration = Duration::from_secs(1);
/// What is asked of the log: the times that logd gave, to the microsecond, of the test runner and of whoever speaks to the observer.
const LOG: &str = "logcat -v epoch -v usec";
const TAGS: &str = "-s TestRunner:V Observer:V";

/// A stream that another thread may end.
#[derive(Clone, Debug, Default)]
struct Held(Arc<Mutex<Option<Stream>>>);

impl Held {
    fn hold(&self, stream: Stream) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(stream);
    }

    fn end(&self) {
        // Dropped after the lock is: the end of the process is waited for.
        let stream = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(stream);
    }

    fn last_errors(&self) -> String {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_ref().map(Stream::last_errors).unwrap_or_default()
    }
}

/// What the agent writes; where it ends, the agent's last words are the error.
struct Words {
    output: ChildStdout,
    held: Held,
}

impl Read for Words {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.output.read(buffer)?;
        if read == 0 && !buffer.is_empty() {
            let errors = self.held.last_errors();
            if let Some(last) = errors.lines().rev().find(|line| !line.trim().is_empty()) {
                return Err(io::Error::other(last.trim().to_owned()));
            }
        }
        Ok(read)
    }
}

/// Opens links to the agent that `command` starts or finds on the device `serial`.
///
/// # Errors
/// What is returned fails where adb does.
pub fn links(
    adb: Arc<dyn Adb>,
    serial: String,
    command: String,
) -> impl FnMut() -> io::Result<Link> + Send + 'static {
    move || {
        let mut stream = adb.stream(&serial, &command).map_err(io::Error::other)?;
        let (Some(input), Some(output)) = (stream.take_stdin(), stream.take_stdout()) else {
            return Err(io::Error::other("adb gave no way to the agent"));
        };
        let held = Held::default();
        held.hold(stream);
        let to_end = held.clone();
        Ok(Link {
            reader: Box::new(Words { output, held }),
            writer: Box::new(input),
            end: Arc::new(move || to_end.end()),
        })
    }
}

/// A device's log that is followed for what it says of tests.
#[derive(Debug)]
pub struct LogFollower {
    stop: Arc<AtomicBool>,
    held: Held,
    thread: JoinHandle<u64>,
}

impl LogFollower {
    /// Follows the log of the device `serial` from `begin` on, by the device's clock, and hands its markers to `mark`.
    #[must_use]
    pub fn start(adb: Arc<dyn Adb>, serial: String, begin: Timestamp, mark: SetMarker) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let held = Held::default();
        let (told, to_end) = (Arc::clone(&stop), held.clone());
        let thread = thread::spawn(move || {
            let mut last = begin;
            let mut breaks = 0_u64;
            loop {
                // A log that cannot be had, or that breaks, is asked for again: logd keeps its lines meanwhile.
                let _ = follow(adb.as_ref(), &serial, &held, &mut last, &mark);
                if told.load(Ordering::Acquire) {
                    return breaks;
                }
                breaks = breaks.saturating_add(1);
                thread::sleep(PAUSE);
            }
        });
        Self { stop, held: to_end, thread }
    }

    /// Ends it; what there is to say of it.
    #[must_use]
    pub fn finish(self) -> Option<String> {
        self.stop.store(true, Ordering::Release);
        // It may be about to hold another stream.
        while !self.thread.is_finished() {
            self.held.end();
            thread::sleep(Duration::from_millis(10));
        }
        match self.thread.join() {
            Ok(0) => None,
            Ok(breaks) => Some(format!("the way to the device's log broke and was opened again: {breaks}")),
            Err(_panic) => Some("the thread that reads the device's log ended early".to_owned()),
        }
    }
}

/// Reads the log until its stream ends. `last` is the time of the last marker: what an earlier stream told is not told again.
fn follow(
    adb: &dyn Adb,
    serial: &str,
    held: &Held,
    last: &mut Timestamp,
    mark: &SetMarker,
) -> io::Result<()> {
    let (seconds, nanoseconds) = (last.0.div_euclid(1_000_000_000), last.0.rem_euclid(1_000_000_000));
    let command = format!("{LOG} -T {seconds}.{:03} {TAGS}", nanoseconds / 1_000_000);
    let mut stream = adb.stream(serial, &command).map_err(io::Error::other)?;
    // It has no input, and its end is no reason to end.
    let input = stream.take_stdin();
    let Some(mut output) = stream.take_stdout() else { return Ok(()) };
    held.hold(stream);
    let since = *last;
    let mut log = Logcat::new(Assumed::utc(since));
    let mut tell = |marker: Marker| {
        if marker.at > since {
            *last = (*last).max(marker.at);
            mark(marker);
        }
    };
    let mut piece = vec![0; PIECE];
    loop {
        match output.read(&mut piece)? {
            0 => break,
            read => log.feed(piece.get(..read).unwrap_or_default(), &mut tell),
        }
    }
    log.finish(&mut tell);
    held.end();
    drop(input);
    Ok(())
}
