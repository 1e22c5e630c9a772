//! The process between the stream of the host and the daemon's socket: bytes pass through it, unread.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::READY;
use super::folder::{AgentError, Place};

/// Bytes that are passed on at once.
const BLOCK: usize = 64 << 10;
/// Bytes that are read of what a daemon says while it starts.
const MAX_WORDS: u64 = 4096;
/// How often the socket of a daemon that is just being started by another relay is tried.
const ATTEMPTS: u32 = 20;
/// How long to wait in between.
const PAUSE: Duration = Duration::from_millis(100);

/// Leads standard input and output to the daemon of `session` in the folder `base`. Where there is none, `daemon` is run to be
/// one: it says on its standard output, in one line, that it listens, or else what is in the way.
///
/// Returns after the capture's end.
///
/// # Errors
/// When the daemon cannot be started or reached, or goes away before the end.
pub fn relay(base: &Path, session: &str, daemon: &mut Command) -> Result<(), AgentError> {
    let place = Place::new(base, session)?;
    let stream = match connect(&place) {
        Ok(stream) => stream,
        Err(_nobody) => start(&place, daemon)?,
    };
    let failed = |source| AgentError::Io { path: place.socket().display().to_string(), source };
    let (upwards, left) = (stream.try_clone().map_err(failed)?, Arc::new(AtomicBool::new(false)));
    let said = Arc::clone(&left);
    // Never joined: it waits for an input that may stay open.
    std::thread::spawn(move || {
        // Whatever ends it, the daemon hears of no more than the end.
        let _ = pass(&mut io::stdin().lock(), &mut &upwards);
        said.store(true, Ordering::Release);
        let _ = upwards.shutdown(Shutdown::Write);
    });
    // Not `Stdout` itself: it looks for ends of lines in what has none.
    let own = |source| AgentError::Io { path: "standard output".to_owned(), source };
    let mut out = File::from(io::stdout().as_fd().try_clone_to_owned().map_err(own)?);
    let passed = pass(&mut &stream, &mut out);
    if !place.socket().exists() {
        return Ok(());
    }
    match passed {
        // The host does not read any more.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(AgentError::Left),
        _ if left.load(Ordering::Acquire) => Err(AgentError::Left),
        _ => Err(AgentError::Lost),
    }
}

fn connect(place: &Place) -> io::Result<UnixStream> {
    UnixStream::connect(place.socket())
}

/// Starts the daemon and waits until it listens.
fn start(place: &Place, daemon: &mut Command) -> Result<UnixStream, AgentError> {
    let failed = |error: io::Error| AgentError::Start(error.to_string());
    let mut child =
        daemon.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().map_err(failed)?;
    let mut words = String::new();
    if let Some(output) = child.stdout.take() {
        BufReader::new(output.take(MAX_WORDS)).read_line(&mut words).map_err(failed)?;
    }
    let words = words.trim();
    if words == READY {
        return connect(place).map_err(failed);
    }
    // Another relay may have been faster: then its daemon is the one.
    for _ in 0..ATTEMPTS {
        if let Ok(stream) = connect(place) {
            return Ok(stream);
        }
        if !place.socket().exists() {
            break;
        }
        std::thread::sleep(PAUSE);
    }
    Err(AgentError::Start(if words.is_empty() {
        "it ended without a word".to_owned()
    } else {
        words.to_owned()
    }))
}

/// Passes bytes on until there are no more.
fn pass(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut block = vec![0; BLOCK];
    loop {
        let read = match from.read(&mut block) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        to.write_all(block.get(..read).unwrap_or_default())?;
        to.flush()?;
    }
}
