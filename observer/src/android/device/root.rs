//! How root is had on a device: adbd may be it already, may become it, or `su` gives it.

use std::time::Duration;

use serde::Serialize;

use super::facts::{Facts, uid};
use crate::android::adb::{Adb, AdbError, quote};

/// How long `su` may take; Magisk asks its user for 10 s.
const SU: Duration = Duration::from_secs(20);

/// How a command gets root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "way", rename_all = "snake_case")]
pub enum Root {
    /// adbd is root.
    Already,
    /// `adb root` makes it root. Not tried: it starts adbd anew.
    AdbRoot,
    /// `su -c COMMAND`: Magisk, KernelSU, SuperSU.
    SuCommand,
    /// `su 0 COMMAND`: debug builds of Android.
    SuUser,
    /// There is none.
    None {
        /// Why.
        reason: String,
    },
}

impl Root {
    /// `command` so that it runs as root; nothing where there is no root, or `adb root` has to come first.
    #[must_use]
    pub fn command(&self, command: &str) -> Option<String> {
        match self {
            Self::Already => Some(command.to_owned()),
            Self::SuCommand => Some(format!("su -c {}", quote(command))),
            Self::SuUser => Some(format!("su 0 sh -c {}", quote(command))),
            Self::AdbRoot | Self::None { .. } => None,
        }
    }

    /// Whether root is had, or can be.
    #[must_use]
    pub fn is_there(&self) -> bool {
        !matches!(self, Self::None { .. })
    }
}

/// Tries what the facts leave open.
pub(super) fn find(adb: &dyn Adb, serial: &str, facts: &Facts) -> Result<Root, AdbError> {
    if facts.uid == Some(0) {
        return Ok(Root::Already);
    }
    if facts.debuggable {
        return Ok(Root::AdbRoot);
    }
    if !facts.su {
        let build = facts.build_type.name();
        return Ok(Root::None { reason: format!("it is a {build} build, and there is no su") });
    }
    let mut refusal = String::new();
    for way in [Root::SuCommand, Root::SuUser] {
        let Some(command) = way.command("id") else { continue };
        match adb.shell(serial, &command, SU) {
            Ok(output) if uid(&output.text()) == Some(0) => return Ok(way),
            Ok(output) => {
                if refusal.is_empty() {
                    refusal = format!("su refuses it ({})", output.last_words());
                }
            }
            Err(AdbError::TimedOut { .. }) => {
                return Ok(Root::None { reason: "su waits for its user".to_owned() });
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Root::None { reason: refusal })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_makes_one_word_of_the_command() {
        let command = "echo 'a b'";
        assert_eq!(Root::Already.command(command).as_deref(), Some(command));
        assert_eq!(Root::SuCommand.command(command).unwrap(), r"su -c 'echo '\''a b'\'''");
        assert_eq!(Root::SuUser.command(command).unwrap(), r"su 0 sh -c 'echo '\''a b'\'''");
        assert_eq!(Root::AdbRoot.command(command), None);
        assert!(!Root::None { reason: String::new() }.is_there());
    }
}
