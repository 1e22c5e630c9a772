//! One run of adb's client, bounded in time and in what it may write.

use std::io::{self, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::AdbError;

/// Bytes that are taken of one output; a list of packages has some 100 KB.
pub(super) const MAX_OUTPUT: usize = 16 << 20;

/// How long a run is left alone between two looks at it.
const LOOK: Duration = Duration::from_millis(20);

/// A run that has ended.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) status: ExitStatus,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
}

/// When something has to be done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    end: Instant,
    limit: Duration,
}

impl Deadline {
    #[expect(clippy::disallowed_methods, reason = "the edge: how long a device may take")]
    pub(super) fn after(limit: Duration) -> Self {
        let now = Instant::now();
        Self { end: now.checked_add(limit).unwrap_or(now), limit }
    }

    /// What is left; nothing when it is over.
    #[expect(clippy::disallowed_methods, reason = "the edge: how long a device may take")]
    pub(super) fn left(&self) -> Option<Duration> {
        self.end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    }

    pub(super) fn missed(&self, doing: &str) -> AdbError {
        AdbError::TimedOut { doing: doing.to_owned(), seconds: self.limit.as_secs().max(1) }
    }
}

/// Runs `command` without input to its end, which comes within `limit`; `look` sees it now and then.
pub(super) fn run(
    command: &mut Command,
    doing: &str,
    limit: Duration,
    look: &mut dyn FnMut(&Child),
) -> Result<Finished, AdbError> {
    let deadline = Deadline::after(limit);
    let mut child = start(command.stdin(Stdio::null()))?;
    let finished = follow(&mut child, doing, deadline, look);
    if finished.is_err() {
        // One that has ended cannot be killed.
        drop(child.kill());
        drop(child.wait());
    }
    finished
}

/// Starts `command` with its outputs in pipes.
pub(super) fn start(command: &mut Command) -> Result<Child, AdbError> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().map_err(|source| {
        let program = command.get_program().to_string_lossy().into_owned();
        match source.kind() {
            io::ErrorKind::NotFound => {
                AdbError::NoProgram { place: Some(format!("{program} is no program")) }
            }
            _ => AdbError::Start { program, source },
        }
    })
}

fn follow(
    child: &mut Child,
    doing: &str,
    deadline: Deadline,
    look: &mut dyn FnMut(&Child),
) -> Result<Finished, AdbError> {
    let (stdout, stderr) = (collect(child.stdout.take()), collect(child.stderr.take()));
    let mut outputs = Vec::with_capacity(2);
    for output in [stdout, stderr] {
        let taken = loop {
            let left = deadline.left().ok_or_else(|| deadline.missed(doing))?;
            match output.recv_timeout(LOOK.min(left)) {
                Ok(taken) => {
                    break taken.map_err(|source| AdbError::Io { doing: doing.to_owned(), source })?;
                }
                Err(RecvTimeoutError::Timeout) => look(child),
                Err(RecvTimeoutError::Disconnected) => break Vec::new(),
            }
        };
        if taken.len() > MAX_OUTPUT {
            return Err(AdbError::TooMuch { doing: doing.to_owned(), limit: MAX_OUTPUT });
        }
        outputs.push(taken);
    }
    let status = wait(child, doing, deadline)?;
    let (stderr, stdout) = (outputs.pop().unwrap_or_default(), outputs.pop().unwrap_or_default());
    Ok(Finished { status, stdout, stderr })
}

/// Waits for the end of `child` until the deadline.
pub(super) fn wait(child: &mut Child, doing: &str, deadline: Deadline) -> Result<ExitStatus, AdbError> {
    loop {
        let ended = child.try_wait().map_err(|source| AdbError::Io { doing: doing.to_owned(), source })?;
        if let Some(status) = ended {
            return Ok(status);
        }
        let left = deadline.left().ok_or_else(|| deadline.missed(doing))?;
        thread::sleep(LOOK.min(left));
    }
}

/// Reads a pipe to its end, or one byte beyond the bound, on a thread of its own.
fn collect(pipe: Option<impl Read + Send + 'static>) -> Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel();
    if let Some(pipe) = pipe {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            let limit = u64::try_from(MAX_OUTPUT).unwrap_or(u64::MAX).saturating_add(1);
            let read = pipe.take(limit).read_to_end(&mut bytes).map(|_| bytes);
            // Nobody waits any more after the deadline.
            drop(sender.send(read));
        });
    }
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> Result<Finished, AdbError> {
        let mut command = Command::new("sh");
        run(command.args(["-c", script]), "testing", limit, &mut |_| {})
    }

    #[test]
    fn both_outputs_and_the_code_are_kept_apart() {
        let done = shell("echo out; echo err >&2; exit 7", Duration::from_secs(20)).unwrap();
        assert_eq!((done.stdout.as_slice(), done.stderr.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
        assert_eq!(done.status.code(), Some(7));
    }

    #[test]
    fn what_takes_too_long_or_says_too_much_is_ended() {
        let error = shell("exec sleep 600", Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error, AdbError::TimedOut { .. }), "{error}");
        let error = shell("exec cat /dev/zero", Duration::from_secs(60)).unwrap_err();
        assert!(matches!(error, AdbError::TooMuch { .. }), "{error}");
        let error = run(&mut Command::new("/nowhere/adb"), "testing", Duration::from_secs(1), &mut |_| {})
            .unwrap_err();
        assert!(matches!(error, AdbError::NoProgram { .. }), "{error}");
    }
}
