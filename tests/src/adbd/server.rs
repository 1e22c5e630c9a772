//! A server of adb's own, so that tests never touch a user's.

use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, Output};

use tempfile::TempDir;

use super::StandIn;

/// Debian's adb server at a port of its own, until it is dropped.
#[derive(Debug)]
pub struct AdbServer {
    port: u16,
    home: TempDir,
}

impl AdbServer {
    /// Starts it.
    ///
    /// # Errors
    /// When adb is missing or does not start.
    pub fn start() -> io::Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let server = Self { port, home: tempfile::tempdir()? };
        server.run(&["start-server"])?;
        Ok(server)
    }

    /// What points a client at it: to be set for `adb`, and for what runs it.
    #[must_use]
    pub fn variables(&self) -> Vec<(&'static str, OsString)> {
        vec![
            ("ANDROID_ADB_SERVER_PORT", self.port.to_string().into()),
            ("HOME", self.home.path().into()),
            // Nor does it look for emulators of this machine's.
            ("ADB_LOCAL_TRANSPORT_MAX_PORT", "5553".into()),
        ]
    }

    /// The client with `words`.
    #[must_use]
    pub fn adb(&self, words: &[&str]) -> Command {
        let mut command = Command::new("adb");
        command.args(words).envs(self.variables());
        for other in ["ANDROID_SERIAL", "ADB_SERVER_SOCKET", "ADB_VENDOR_KEYS"] {
            command.env_remove(other);
        }
        command
    }

    /// What the client with `words` says, which must end well.
    ///
    /// # Errors
    /// When it does not.
    pub fn run(&self, words: &[&str]) -> io::Result<String> {
        let Output { status, stdout, stderr } = self.adb(words).output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if status.success() {
            return Ok(text(&stdout));
        }
        Err(io::Error::other(format!("adb {words:?}: {status}: {}{}", text(&stdout), text(&stderr))))
    }

    /// Joins it to a device.
    ///
    /// # Errors
    /// When adb fails. A device that does not trust this machine is listed all the same.
    pub fn connect(&self, device: &StandIn) -> io::Result<()> {
        self.run(&["connect", &device.serial()]).map(drop)
    }
}

impl Drop for AdbServer {
    fn drop(&mut self) {
        // One that was killed by a test is gone already.
        let _ = self.run(&["kill-server"]);
    }
}
