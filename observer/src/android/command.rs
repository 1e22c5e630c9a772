//! The command that runs the tests, on the host.

use std::ffi::OsString;
use std::io::{self, Read, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};

use super::instrument::Instrument;
use crate::live::SetMarker;
use crate::source::Marker;
use crate::source::live::now;

/// Bytes that are passed on at once.
const PIECE: usize = 16 << 10;

/// A command that runs, and whose output is read for tests on its way.
#[derive(Debug)]
pub struct TestCommand {
    child: Child,
    output: JoinHandle<()>,
}

impl TestCommand {
    /// Runs `words` with `variables` set. What it writes goes to standard error: standard output is the report's. The tests that
    /// `am instrument -r` tells in it are handed to `mark`, by this machine's clock.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn spawn(words: &[OsString], variables: &[(&str, String)], mark: SetMarker) -> io::Result<Self> {
        let mut command = Command::new(words.first().cloned().unwrap_or_default());
        command.args(words.get(1..).unwrap_or_default()).stdout(Stdio::piped());
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        let mut child = command.spawn()?;
        let output = child.stdout.take();
        let output = thread::spawn(move || {
            if let Some(mut output) = output {
                pass_on(&mut output, &mark);
            }
        });
        Ok(Self { child, output })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end and for that of its output. Children that it leaves behind may hold the latter open: it is not waited
    /// for beyond the command's own end.
    ///
    /// # Errors
    /// When the system cannot tell how it ended.
    pub fn wait(mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait()?;
        if self.output.is_finished() {
            // It has nothing to tell but that it ended.
            let _ = self.output.join();
        }
        Ok(status)
    }
}

fn pass_on(output: &mut impl Read, mark: &SetMarker) {
    let mut piece = vec![0; PIECE];
    let mut tests = Instrument::default();
    let mut tell = |marker: Marker| mark(marker);
    loop {
        match output.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => {
                let bytes = piece.get(..read).unwrap_or_default();
                // Who reads standard error may have gone: the tests still count.
                let _ = io::stderr().write_all(bytes);
                tests.feed(bytes, now(), &mut tell);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    tests.finish(now(), &mut tell);
}
