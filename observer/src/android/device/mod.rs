//! What a device is, and what can be done with it.
//!
//! [`Device::ask`] asks for all facts in one round trip, and for how root is had in another. [`verdicts`] says what
//! follows from them: each "no" with its reason and its remedy.

mod agent;
mod facts;
mod leftovers;
mod root;
mod verdict;

use std::time::Duration;

use serde::Serialize;

pub use agent::{Agent, AgentError, Placed, RemotePath, agent_for, ensure_agent};
pub use facts::{BuildType, Facts};
pub use leftovers::leftovers;
pub use root::Root;
pub use verdict::{Extent, Verdict, extent, verdicts};

use super::adb::{Adb, AdbError};
use crate::attribution::AppDirectory;

/// A question that a device answers at once; one that has just started takes some seconds.
const ASK: Duration = Duration::from_secs(30);

/// A device that answers.
#[derive(Clone, Debug, Serialize)]
pub struct Device {
    /// What adb calls it.
    pub serial: String,
    /// What it said of itself.
    #[serde(flatten)]
    pub facts: Facts,
    /// How root is had.
    pub root: Root,
}

impl Device {
    /// Asks the device `serial`, which is ready, what it is.
    ///
    /// Where there is `su`, it is tried: on a device that asks its user, a dialogue appears.
    ///
    /// # Errors
    /// Those of adb.
    pub fn ask(adb: &dyn Adb, serial: &str) -> Result<Self, AdbError> {
        let mut facts = Facts::read(&adb.shell(serial, facts::QUESTION, ASK)?.text());
        facts.shell_v2 = adb.has_shell_v2(serial)?;
        let root = root::find(adb, serial, &facts)?;
        Ok(Self { serial: serial.to_owned(), facts, root })
    }

    /// Becomes root, where that takes `adb root`: adbd starts anew, and open streams of before are gone.
    ///
    /// # Errors
    /// Those of adb. Without root at all nothing is done: [`Root::command`] says so.
    pub fn become_root(&mut self, adb: &dyn Adb) -> Result<(), AdbError> {
        if self.root == Root::AdbRoot {
            self.root = match adb.root(&self.serial)? {
                super::adb::RootAnswer::Refused(reason) => Root::None { reason },
                _ => Root::Already,
            };
        }
        Ok(())
    }

    /// Its packages and their uids: of `packages.list` with root, else of the package manager, which names the same.
    ///
    /// # Errors
    /// Those of adb; when the device gives no list.
    pub fn packages(&self, adb: &dyn Adb) -> Result<AppDirectory, AdbError> {
        let mut directory = AppDirectory::default();
        if let Some(command) = self.root.command("cat /data/system/packages.list") {
            let output = adb.shell(&self.serial, &command, ASK)?;
            if output.succeeded() && directory.read(&output.text()) > 0 {
                return Ok(directory);
            }
        }
        let output = adb.shell(&self.serial, "pm list packages -U", ASK)?;
        if directory.read(&output.text()) == 0 {
            return Err(AdbError::Failed {
                doing: "asking for its packages".to_owned(),
                detail: output.last_words(),
            });
        }
        Ok(directory)
    }
}
