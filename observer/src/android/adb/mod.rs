//! adb as the program needs it: [`Adb`], and [`SpawnedAdb`], which runs Android's own client.
//!
//! Commands are one string for the device's shell; [`quote`] makes a word of it. Nothing here is interpreted but what
//! adb itself says, and each of its failures becomes one sentence that names the remedy.

mod complaint;
mod error;
mod list;
mod mark;
mod program;
mod run;
mod spawned;
mod stream;

use std::fmt;
use std::path::Path;
use std::time::Duration;

pub use error::AdbError;
pub use list::{Listed, State, choose};
pub use program::find_adb;
pub use spawned::SpawnedAdb;
pub use stream::{Ended, Stream};

/// What a command on the device left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Its exit code, 0 to 255.
    pub code: i32,
    /// What it wrote; on devices without shell v2 (before Android 7) its errors, too.
    pub stdout: Vec<u8>,
    /// Its errors; empty on devices without shell v2.
    pub stderr: Vec<u8>,
}

impl Output {
    /// Whether it ended well.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.code == 0
    }

    /// What it wrote, as text; what is not UTF-8 is replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Its last words: the last line that is not empty of its errors, or else of what it wrote.
    #[must_use]
    pub fn last_words(&self) -> String {
        let last = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            text.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
        };
        last(&self.stderr)
            .or_else(|| last(&self.stdout))
            .unwrap_or_else(|| format!("exit code {}", self.code))
    }
}

/// What `adb root` led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootAnswer {
    /// adbd ran as root before.
    Already,
    /// adbd was started anew as root, and the device is back. Open streams of before are gone.
    Restarted,
    /// It stays as it is, in adbd's words: a production build, or switched off in the settings.
    Refused(String),
}

/// A way to the devices.
///
/// Every call names its device by serial, is bounded in time, and says in its error what went wrong and what to do.
pub trait Adb: fmt::Debug + Send + Sync {
    /// The devices that the server knows, in its order, whatever their state.
    ///
    /// # Errors
    /// When adb cannot be run, or its server does not answer.
    fn devices(&self) -> Result<Vec<Listed>, AdbError>;

    /// Whether the device tells standard output, errors and exit code apart (shell v2; Android 7 and later).
    ///
    /// # Errors
    /// As for [`Adb::shell`].
    fn has_shell_v2(&self, serial: &str) -> Result<bool, AdbError>;

    /// Runs `command` in the device's shell, without input, for `limit` at most.
    ///
    /// A command that fails is no error: its exit code says so. It may go on running on the device after a time-out.
    ///
    /// # Errors
    /// When the device cannot be reached or goes away, after `limit`, and when more is written than is taken.
    fn shell(&self, serial: &str, command: &str, limit: Duration) -> Result<Output, AdbError>;

    /// Starts `command` in the device's shell, with its input, output and errors as they are: every byte passes, both
    /// ways, and the end of the input reaches the command.
    ///
    /// # Errors
    /// When the device has no shell v2, and when adb cannot be started. That the device cannot be reached shows at the
    /// stream's end.
    fn stream(&self, serial: &str, command: &str) -> Result<Stream, AdbError>;

    /// Copies the file `from` to `to` on the device. `progress` hears now and then how many bytes of how many have left,
    /// and at the end all of them.
    ///
    /// # Errors
    /// Those of [`Adb::shell`]; when the file cannot be read, or the device does not take it.
    fn push(
        &self,
        serial: &str,
        from: &Path,
        to: &str,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), AdbError>;

    /// Starts adbd anew as root, where the build allows it, and waits until the device is back.
    ///
    /// # Errors
    /// Those of [`Adb::shell`]. A refusal is an answer.
    fn root(&self, serial: &str) -> Result<RootAnswer, AdbError>;

    /// Waits until the device is ready, for `limit` at most.
    ///
    /// # Errors
    /// After `limit`, or when adb fails.
    fn wait(&self, serial: &str, limit: Duration) -> Result<(), AdbError>;
}

/// `word` as one word of the device's shell, whatever is in it.
#[must_use]
pub fn quote(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=,@%+".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_the_shell() {
        assert_eq!(quote("/data/local/tmp/observer-0a"), "/data/local/tmp/observer-0a");
        assert_eq!(quote(""), "''");
        assert_eq!(quote("a b"), "'a b'");
        assert_eq!(quote("it's $HOME"), r"'it'\''s $HOME'");
    }

    #[test]
    fn last_words_are_the_errors_before_the_output() {
        let output = |stdout: &[u8], stderr: &[u8]| Output {
            code: 3,
            stdout: stdout.to_vec(),
            stderr: stderr.to_vec(),
        };
        assert_eq!(output(b"a\nb\n\n", b"").last_words(), "b");
        assert_eq!(output(b"a\n", b"x\ny\n").last_words(), "y");
        assert_eq!(output(b"", b" \n").last_words(), "exit code 3");
    }
}
