//! The word at the end of a command's output that says: this is the end, and this the exit code.
//!
//! adb's own exit code does not: 29.0.6 ends with 0 where the connection breaks, and devices before Android 7 send none.

/// What stands before the exit code.
const MARK: &str = "observer-exit-code:";

/// `command`, followed by the mark, which goes where `to` redirects it.
pub(super) fn marked(command: &str, to: &str) -> String {
    // In a shell of its own, so that `exit` ends the command and not the mark.
    format!(
        "(\n{command}\n)\nobserver_code=$?\necho {to}\necho {MARK}$observer_code {to}\nexit $observer_code"
    )
}

/// Takes the mark from the end of what came; the exit code.
pub(super) fn take_mark(output: &mut Vec<u8>) -> Option<i32> {
    let start = output.windows(MARK.len()).rposition(|window| window == MARK.as_bytes())?;
    let (before, code) = output.split_at_checked(start)?;
    // Digits alone may be the beginning of more digits.
    let code = code.get(MARK.len()..)?.strip_suffix(b"\n")?;
    let code = std::str::from_utf8(code).ok()?.trim().parse().ok()?;
    // The line break before it is the mark's, too; a terminal writes two bytes for one.
    let before = before.strip_suffix(b"\n")?;
    let length = before.strip_suffix(b"\r").unwrap_or(before).len();
    output.truncate(length);
    Some(code)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_end_is_told_with_its_code() {
        for (command, to, code, left) in [
            ("echo out; exit 7", "", 7, "out\n"),
            ("printf out", "", 0, "out"),
            ("true", "", 0, ""),
            ("echo out; echo err >&2; false", ">&2", 1, "err\n"),
            ("exec sh -c 'kill -9 $$'", "", 137, ""),
        ] {
            let output = Command::new("sh").args(["-c", &marked(command, to)]).output().unwrap();
            let mut marked = if to.is_empty() { output.stdout } else { output.stderr };
            assert_eq!(take_mark(&mut marked), Some(code), "{command}");
            assert_eq!(marked, left.as_bytes(), "{command}");
            assert_eq!(output.status.code(), Some(code), "{command}");
        }
    }

    #[test]
    fn what_is_cut_has_no_end() {
        for cut in [
            "",
            "out\n",
            "out\n\nobserver-exit-code:",
            "out\n\nobserver-exit-code:1",
            "out\n\nobserver-exit-c",
            "observer-exit-code:0\n",
            "\nobserver-exit-code:x\n",
        ] {
            assert_eq!(take_mark(&mut cut.as_bytes().to_vec()), None, "{cut:?}");
        }
        let mut old = b"out\r\n\r\nobserver-exit-code:3\r\n".to_vec();
        assert_eq!(take_mark(&mut old), Some(3));
        assert_eq!(old, b"out\r\n");
    }
}
