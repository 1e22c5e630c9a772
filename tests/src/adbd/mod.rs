//! A stand-in for an Android device, honest where it stands in: Debian's own `adb` speaks to it.
//!
//! What is real: adb's transport protocol over TCP (`adb/protocol.txt` of AOSP), the shell protocol v2, files that are
//! pushed; processes, uids, a network namespace, and root or none. What is not: Android's programs are scripts
//! ([`Profile`] says what they answer), the kernel is this machine's, nothing enforces SELinux, and the shell is the
//! host's `sh`.
//!
//! ```text
//! adb ── server ──TCP── Daemon (threads of the test) ── nsenter ── sh -c COMMAND, uid 2000
//!                                                          │
//!                        Guest: mount, pid, uts and network namespaces, `init`, /system, /data
//! ```
//!
//! Use: [`StandIn::or_skip`] starts a device, [`AdbServer::start`] a server of its own, [`AdbServer::connect`] joins them.
//! [`StandIn::cut_link`] takes the connection away and leaves the device running; [`StandIn::kill`] ends all that runs in
//! it, at once. Both come back: [`StandIn::restore_link`], [`StandIn::boot`].

mod channel;
mod daemon;
mod guest;
mod profile;
mod server;
mod service;
mod shell;
mod sync;

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use daemon::Daemon;
use guest::Guest;
pub use profile::{Build, Instrumentation, Package, Profile, Su, Test};
pub use server::AdbServer;

/// A device that runs, until it is dropped.
#[derive(Debug)]
pub struct StandIn {
    guest: Arc<Guest>,
    daemon: Arc<Daemon>,
}

impl StandIn {
    /// Starts the device of `profile`, in the network namespace `network` (a name of `ip netns`) or one of its own with
    /// nothing but loopback. Without root and Linux's namespaces, or without adb, it says loudly that `test` is skipped.
    ///
    /// # Panics
    /// When the device does not start although it could.
    #[must_use]
    pub fn or_skip(test: &str, profile: Profile, network: Option<&str>) -> Option<Self> {
        if !std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0) {
            crate::skip(test, "needs root");
            return None;
        }
        for program in ["adb", "nsenter", "unshare", "setpriv", "python3"] {
            if Command::new(program).arg("--version").output().is_err() {
                crate::skip(test, &format!("needs {program}"));
                return None;
            }
        }
        Some(Self::start(profile, network).expect("the stand-in starts"))
    }

    /// Starts the device of `profile`, as [`Self::or_skip`] does.
    ///
    /// # Errors
    /// When the system refuses namespaces, or a program is missing.
    pub fn start(profile: Profile, network: Option<&str>) -> io::Result<Self> {
        let guest = Arc::new(Guest::boot(profile, network)?);
        let daemon = Daemon::start(Arc::clone(&guest))?;
        Ok(Self { guest, daemon })
    }

    /// What adb calls the device: the end that it connects to.
    #[must_use]
    pub fn serial(&self) -> String {
        format!("127.0.0.1:{}", self.daemon.port())
    }

    /// A path of the device as this process reaches it, e.g. to read `/data/local/tmp` without adb.
    #[must_use]
    pub fn path(&self, inside: &str) -> PathBuf {
        self.guest.root().join(inside.trim_start_matches('/'))
    }

    /// Appends a line to the device's log, with the time of now.
    ///
    /// # Errors
    /// When the log cannot be written.
    pub fn log(&self, level: char, tag: &str, message: &str) -> io::Result<()> {
        self.guest.log(level, tag, message)
    }

    /// A program in the device under `uid`, as something else than adb runs it there: an app, or a check.
    ///
    /// # Errors
    /// When the device does not run.
    pub fn command(&self, uid: u32, words: &[&str]) -> io::Result<Command> {
        self.guest.command(uid, words)
    }

    /// The command lines of all that runs in the device.
    #[must_use]
    pub fn processes(&self) -> Vec<String> {
        self.guest.processes()
    }

    /// Takes the connection away, as a pulled cable does: what runs in the device goes on.
    pub fn cut_link(&self) {
        self.daemon.stop();
    }

    /// Takes connections again, at the same port.
    ///
    /// # Errors
    /// When the port was taken meanwhile.
    pub fn restore_link(&self) -> io::Result<()> {
        self.daemon.listen()
    }

    /// Ends everything in the device at once, as an empty battery does. Its files stay.
    pub fn kill(&self) {
        self.daemon.stop();
        self.guest.kill();
    }

    /// Starts the device again after [`Self::kill`].
    ///
    /// # Errors
    /// As for [`Self::start`].
    pub fn boot(&self) -> io::Result<()> {
        self.guest.start()?;
        self.daemon.reset();
        self.daemon.listen()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.daemon.stop();
        self.guest.kill();
    }
}

/// The folder of the project, which is seen in the device at its own place.
fn workspace() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests)
}
