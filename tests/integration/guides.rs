//! The guides: what their `console` blocks show is what comes out.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A command of a guide, what it prints among other things, and its exit code.
#[derive(Debug, Default)]
struct Example {
    command: String,
    lines: Vec<String>,
    code: i32,
}

/// The examples of a guide: in blocks of `console`, `$` begins a command and `? N` states its exit code.
fn examples(guide: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let mut inside = false;
    for line in guide.lines() {
        match (inside, line.strip_prefix("```")) {
            (_, Some(language)) => inside = language == "console",
            (false, None) => {}
            (true, None) => {
                if let Some(command) = line.strip_prefix("$ ") {
                    examples.push(Example { command: command.to_owned(), ..Example::default() });
                } else if let Some(example) = examples.last_mut() {
                    match line.strip_prefix("? ") {
                        Some(code) => example.code = code.parse().expect("an exit code"),
                        None => example.lines.push(line.trim_end().to_owned()),
                    }
                }
            }
        }
    }
    examples
}

/// A folder with the observer on its path and the captures in it.
fn place() -> (TempDir, std::ffi::OsString) {
    let folder = TempDir::new().expect("a folder");
    let captures = observer_captures::path("demo.pcapng");
    std::os::unix::fs::symlink(captures.parent().expect("a folder"), folder.path().join("captures"))
        .expect("a link");
    let programs = folder.path().join("bin");
    fs::create_dir(&programs).expect("a folder");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_observer-under-test"), programs.join("observer"))
        .expect("a link");
    let known = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([programs].into_iter().chain(std::env::split_paths(&known)));
    (folder, path.expect("a path"))
}

/// What went otherwise than `guide` says.
fn differences(guide: &Path) -> String {
    let text = fs::read_to_string(guide).expect("a guide");
    let (folder, path) = place();
    let mut differences = String::new();
    for example in examples(&text) {
        // A pipe is as good as its first command: `observer … | grep`.
        let mut shell = Command::new("bash");
        shell.args(["-o", "pipefail", "-c", &example.command]).current_dir(folder.path());
        let output = shell.env("PATH", &path).env_remove("COLUMNS").output().expect("bash starts");
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut printed = stdout.lines().map(str::trim_end);
        let missing = example.lines.iter().find(|line| !printed.any(|other| other == line.as_str()));
        if missing.is_some() || output.status.code() != Some(example.code) {
            let stderr = String::from_utf8_lossy(&output.stderr);
            let code = output.status.code();
            writeln!(
                differences,
                "{}: $ {}\nmissing in order: {missing:?}\nexit {code:?}, not {}\n{stdout}{stderr}",
                guide.display(),
                example.command,
                example.code
            )
            .expect("a text");
        }
    }
    differences
}

#[test]
fn guides_show_what_comes_out() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../observer/docs/guides");
    let entries = fs::read_dir(&docs).expect("a folder").map(|entry| entry.expect("an entry").path());
    let guides: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|end| end == "md")).collect();
    let count: usize =
        guides.iter().map(|guide| examples(&fs::read_to_string(guide).expect("a guide")).len()).sum();
    assert!(count > 10, "{count} examples in {guides:?}");
    let differences: String = guides.iter().map(|guide| differences(guide)).collect();
    assert!(differences.is_empty(), "{differences}");
}
