//! What can go wrong on the way to a device: one sentence each, with the remedy.

use std::io;

/// Why adb or the device did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdbError {
    /// There is no adb on this machine.
    #[error(
        "no adb on this machine{}: install Android's platform-tools (Debian: apt-get install adb), or name the program with --adb",
        place.as_ref().map(|place| format!(" ({place})")).unwrap_or_default()
    )]
    NoProgram {
        /// Where it was looked for in vain, if it was named.
        place: Option<String>,
    },
    /// adb is there but does not start.
    #[error("cannot run {program}: check that it is Android's adb, or name another with --adb")]
    Start {
        /// The program.
        program: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// adb's server does not start or answer.
    #[error("adb's server does not answer ({detail}): run `adb kill-server`, then `adb start-server`")]
    NoServer {
        /// In adb's words.
        detail: String,
    },
    /// No device is attached.
    #[error(
        "no device is attached: start an emulator (`emulator -avd NAME`), or attach a device with USB debugging switched on"
    )]
    NoDevice,
    /// Several devices are attached and none was chosen.
    #[error("several devices are attached ({}): choose one with --serial or ANDROID_SERIAL", serials.join(", "))]
    Several {
        /// Their serials.
        serials: Vec<String>,
    },
    /// The chosen device is not attached.
    #[error(
        "{serial} is not attached{}: check the serial with `adb devices`",
        if present.is_empty() { String::new() } else { format!(" (there is {})", present.join(", ")) }
    )]
    NotAttached {
        /// The chosen one.
        serial: String,
        /// Those that are.
        present: Vec<String>,
    },
    /// adb knows the device, but it does not answer.
    #[error("{serial} is offline: wait until it has started, or attach it again (`adb reconnect offline`)")]
    Offline {
        /// The device.
        serial: String,
    },
    /// The device does not trust this machine.
    #[error("{serial} does not trust this machine yet: allow USB debugging in the dialogue on its screen")]
    Unauthorized {
        /// The device.
        serial: String,
    },
    /// This user may not open the USB device.
    #[error(
        "this user may not open {serial}: add udev rules for it (Debian: android-sdk-platform-tools-common), or join plugdev"
    )]
    NoPermissions {
        /// The device.
        serial: String,
    },
    /// The device runs something that is not Android.
    #[error("{serial} is in state `{state}`, not ready: let it start Android (`adb reboot`)")]
    NotReady {
        /// The device.
        serial: String,
        /// In adb's word, e.g. `recovery`.
        state: String,
    },
    /// The device went away under way.
    #[error(
        "{serial} went away while {doing}: see that it runs and is attached (`adb devices`), then try again"
    )]
    Gone {
        /// The device.
        serial: String,
        /// What was being done.
        doing: String,
    },
    /// It took too long.
    #[error(
        "no answer within {seconds} s while {doing}: see whether the device hangs (`adb shell true`), or restart adb (`adb kill-server`)"
    )]
    TimedOut {
        /// What was being done.
        doing: String,
        /// For how long.
        seconds: u64,
    },
    /// The device's adbd is too old to stream through.
    #[error(
        "{serial} is too old to run the agent (its adbd has no shell v2, which Android 7 brought): capture on the host (--capture host)"
    )]
    NoShellV2 {
        /// The device.
        serial: String,
    },
    /// More was written than is taken.
    #[error(
        "more than {limit} bytes came while {doing}: the device answers with something else than was asked for"
    )]
    TooMuch {
        /// What was being done.
        doing: String,
        /// In bytes.
        limit: usize,
    },
    /// A file of this machine cannot be read or written.
    #[error("cannot use the file {path}")]
    File {
        /// The file.
        path: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// Whatever else adb says.
    #[error("adb failed while {doing}: {detail}")]
    Failed {
        /// What was being done.
        doing: String,
        /// In adb's words.
        detail: String,
    },
    /// The system refused while adb ran.
    #[error("cannot follow adb while {doing}")]
    Io {
        /// What was being done.
        doing: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}
