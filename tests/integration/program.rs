//! The program as the tests run it.

use std::path::Path;
use std::process::{Command, Output};

/// An exit code, what was written, and what was complained of.
pub(super) type Ended = (Option<i32>, String, String);

/// Runs `command` to its end.
pub(super) fn run(command: &mut Command) -> Ended {
    let Output { status, stdout, stderr } = command.output().expect("the command starts");
    let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
    let (stdout, stderr) = (text(stdout), text(stderr));
    assert!(!stderr.contains("panicked"), "{stderr}");
    (status.code(), stdout, stderr)
}

/// Runs the program beside the captures: inputs are named as they are given, the same everywhere.
pub(super) fn observer(words: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_observer-under-test"));
    run(command.args(words).current_dir(observer_captures::root()).env("NO_COLOR", "1"))
}

/// The database `name` of the directory, which has one run more: over a capture, with `words`.
pub(super) fn database(directory: &Path, name: &str, capture: &str, words: &[&str]) -> String {
    let database = directory.join(name).display().to_string();
    let (code, _, said) = observer(&[&["-q", "analyze", capture, "--db", &database], words].concat());
    assert!(matches!(code, Some(0 | 1 | 4)), "{said}");
    database
}
