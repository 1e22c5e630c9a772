//! What adb's client says when it fails, and what that means.
//!
//! The words are those of `adb/client/commandline.cpp`, `adb/client/adb_client.cpp` and `adb/transport.cpp` of AOSP's
//! platform/packages/modules/adb. What a command on the device writes may look the same: ask only where adb failed.

use super::AdbError;

/// The error that adb's words stand for; `None` where they are none of adb's.
pub(super) fn complaint(serial: &str, doing: &str, words: &str) -> Option<AdbError> {
    let own = || serial.to_owned();
    let gone = || AdbError::Gone { serial: own(), doing: doing.to_owned() };
    let lines = words.lines().map(str::trim);
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with("* daemon")) {
        let Some(text) = own_words(line) else { continue };
        return Some(match text {
            _ if text.starts_with("cannot connect to daemon")
                || text.starts_with("failed to start daemon")
                || text.contains("could not read ok from ADB Server")
                || text.starts_with("protocol fault") =>
            {
                AdbError::NoServer { detail: text.to_owned() }
            }
            _ if text.starts_with("no devices/emulators found") || text.starts_with("no devices found") => {
                AdbError::NoDevice
            }
            _ if text.starts_with("more than one device") => AdbError::Several { serials: Vec::new() },
            _ if text.starts_with("device unauthorized") || text.starts_with("device still authorizing") => {
                AdbError::Unauthorized { serial: own() }
            }
            _ if text.starts_with("device offline") || text.starts_with("device still connecting") => {
                AdbError::Offline { serial: own() }
            }
            _ if text.starts_with("insufficient permissions") => AdbError::NoPermissions { serial: own() },
            _ if text.starts_with("device '") && text.contains("not found") => {
                AdbError::NotAttached { serial: own(), present: Vec::new() }
            }
            _ if text.starts_with("device only supports allocating a pty")
                || text.starts_with("target doesn't support PTY") =>
            {
                AdbError::NoShellV2 { serial: own() }
            }
            "closed" => gone(),
            _ if text.starts_with("failed to read copy response")
                || text.starts_with("connect failed: closed")
                || text.starts_with("failed to copy") && text.contains("no response: ")
                || text.starts_with("failed to copy") && text.contains("couldn't read from device") =>
            {
                gone()
            }
            _ => AdbError::Failed { doing: doing.to_owned(), detail: text.to_owned() },
        });
    }
    None
}

/// What adb itself says in a line, without its prefixes.
fn own_words(line: &str) -> Option<&str> {
    let after = |line: &'_ str, prefix: &str| line.strip_prefix(prefix).map(str::len);
    let mut start = 0_usize;
    for prefix in ["adb: ", "error: "] {
        if let Some(rest) = line.get(start..).and_then(|rest| after(rest, prefix)) {
            start = line.len().saturating_sub(rest);
        }
    }
    // A daemon that cannot be started is told without either.
    if start == 0 {
        return line.strip_prefix("* ").map(|rest| rest.trim_end_matches([' ', '*'])).filter(|rest| {
            rest.starts_with("failed to start daemon") || rest.starts_with("cannot start server")
        });
    }
    line.get(start..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_its_sentence() {
        let said =
            |words: &str| complaint("S", "asking", words).map(|error| error.to_string()).unwrap_or_default();
        for (words, sentence) in [
            ("error: no devices/emulators found", "no device is attached"),
            ("adb: no devices/emulators found\n", "no device is attached"),
            ("error: device 'S' not found", "S is not attached"),
            ("adb: device 'S' not found", "S is not attached"),
            ("error: device offline", "S is offline"),
            ("adb: error: device still connecting", "S is offline"),
            (
                "error: device unauthorized.\nThis adb server's $ADB_VENDOR_KEYS is not set",
                "S does not trust",
            ),
            ("error: insufficient permissions for device: user in plugdev group", "this user may not open S"),
            ("error: more than one device/emulator", "several devices"),
            ("error: closed", "S went away while asking"),
            ("adb: error: failed to read copy response", "S went away while asking"),
            ("error: device only supports allocating a pty", "S is too old"),
            (
                "* daemon not running; starting now at tcp:5037\nadb: cannot connect to daemon at tcp:5037: Connection refused",
                "server does not answer",
            ),
            ("* failed to start daemon *", "server does not answer"),
            ("error: protocol fault (couldn't read status): Success", "server does not answer"),
            (
                "adb: error: failed to copy 'a' to 'b': remote couldn't create file: Permission denied",
                "adb failed while asking: failed to copy",
            ),
        ] {
            assert!(said(words).contains(sentence), "{words}: {}", said(words));
        }
    }

    #[test]
    fn what_a_command_says_is_not_adbs() {
        for words in
            ["", "ls: /nowhere: No such file or directory", "errors: 3", "* daemon started successfully"]
        {
            assert!(complaint("S", "asking", words).is_none(), "{words}");
        }
    }
}
