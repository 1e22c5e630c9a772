//! `cargo xtask test`: every test of the project, with what the tests need.
//!
//! The fuzz targets run for a bounded time on the stable toolchain, without a sanitizer: the observer forbids unsafe
//! code, so that what a target can find is a panic, an overflow, a hang or a broken property, and these need none.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::command::{cargo, find_program, program, root, run, succeeds, target_dir};
use crate::{Task, find, system, take_number, unknown_word};

/// The task.
pub(crate) const TASK: Task = Task {
    name: "test",
    summary: "installs what the tests need and runs all of them",
    help: "\
Usage: cargo xtask test [--fuzz-seconds N]

Installs what the tests lack (a C and a C++ compiler, libpcap, cargo-fuzz; as root on Linux the clients and
servers of the lab and Chromium, too; axe-core and the lab's modules of Python from PyPI), then runs the check of the captures, each fuzz target for a bounded time, and last all
unit, integration and documentation tests. What was skipped, because it needs root or a program, is listed at the
end.

Options:
  --fuzz-seconds N  how long each fuzz target runs; 0 leaves them out (default: 10)
",
    run: test,
};

/// The fuzz package, relative to the root.
const FUZZ: &str = "observer/fuzz";

/// How long each fuzz target runs unless told otherwise, in seconds.
const FUZZ_SECONDS: u64 = 10;

fn test(mut words: &[String]) -> anyhow::Result<()> {
    let fuzz_seconds = take_number(&mut words, "--fuzz-seconds")?.unwrap_or(FUZZ_SECONDS);
    if let Some(word) = words.first() {
        return Err(unknown_word(&TASK, word));
    }
    system::install(&[&system::C_COMPILER, &system::LIBPCAP])?;
    if let Some(captures) = find("captures") {
        (captures.run)(&["--check".to_owned()])?;
    }
    if fuzz_seconds > 0 && root().join(FUZZ).is_dir() {
        fuzz(fuzz_seconds)?;
    }
    let mut modules = None;
    if cfg!(target_os = "linux") && system::is_root() {
        system::install(&[&system::LAB, &system::BROWSER, &system::PIP, &system::TMUX])?;
        modules =
            lab_modules().inspect_err(|error| eprintln!("xtask: no modules for the lab: {error:#}")).ok();
    }
    let axe = axe().inspect_err(|error| eprintln!("xtask: no axe-core: {error:#}")).ok();
    let skipped = target_dir().join("skipped-tests");
    // A file of an earlier run is not this run's.
    let _ = fs::remove_file(&skipped);
    let mut tests = cargo();
    tests.args(["test", "--locked", "--workspace"]).env("SKIPPED_TESTS", &skipped);
    tests.envs(axe.map(|path| ("AXE_JS", path)));
    tests.envs(modules.map(|path| ("LAB_PYTHON", path)));
    let tested = run(&mut tests);
    let lines = fs::read_to_string(&skipped).unwrap_or_default();
    eprint!("{}", tell_skipped(&lines));
    tested
}

/// The package of PyPI that ships axe-core, the checker of accessibility, as one script.
const AXE: &str = "axe-playwright-python==0.1.8";

/// Where axe-core lies; fetched once.
fn axe() -> anyhow::Result<PathBuf> {
    let folder = target_dir().join("axe");
    let script = folder.join("axe_playwright_python/axe.min.js");
    if !script.is_file() {
        fetch(&[], &folder, &["--no-deps", AXE])?;
    }
    anyhow::ensure!(script.is_file(), "{AXE} has no {}", script.display());
    Ok(script)
}

/// What apps of the lab's scenario speak HTTP/3, WebSocket and MQTT with: packages of PyPI.
const LAB_MODULES: [&str; 3] = ["aioquic==1.7.2", "paho-mqtt==2.2.0", "websockets==17.4"];

/// The Python that every user may run, where there is one beside root's own.
const SYSTEM_PYTHON: &str = "/usr/bin/python3";

/// Where these lie, for the system's Python: the apps' users run it. Fetched once.
fn lab_modules() -> anyhow::Result<PathBuf> {
    let folder = target_dir().join("lab-python");
    let complete = folder.join("complete");
    if !complete.is_file() {
        let python = Path::new(SYSTEM_PYTHON).is_file().then_some(["--python", SYSTEM_PYTHON]);
        fetch(python.as_ref().map_or(&[], |words| words), &folder, &LAB_MODULES)?;
        fs::write(&complete, "").with_context(|| format!("writing {}", complete.display()))?;
    }
    Ok(folder)
}

/// Fetches packages of PyPI into a folder, with words for pip before and behind `install`.
fn fetch(before: &[&str], folder: &Path, words: &[&str]) -> anyhow::Result<()> {
    let mut pip = program("python3", &["-m", "pip"]);
    run(pip.args(before).args(["install", "--quiet", "--target"]).arg(folder).args(words))
}

/// How many tests were skipped, and which.
fn tell_skipped(lines: &str) -> String {
    match lines.lines().count() {
        0 => "No test was skipped.\n".to_owned(),
        count => format!("{count} tests were SKIPPED:\n{lines}"),
    }
}

/// The fuzz targets whose input is a capture file: the project's captures are their seeds.
const READS_CAPTURES: [&str; 2] = ["pipeline", "source"];

/// The folders of captures, in alphabetical order.
fn capture_folders() -> anyhow::Result<Vec<PathBuf>> {
    let captures = root().join("captures");
    let mut folders = Vec::new();
    for entry in fs::read_dir(&captures).with_context(|| format!("reading {}", captures.display()))? {
        let path = entry?.path();
        let holds_captures =
            !["policies", "recipes", "src", "tests"].iter().any(|other| path.ends_with(other));
        if path.is_dir() && holds_captures {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}

/// Runs every fuzz target for `seconds`, from its seeds.
fn fuzz(seconds: u64) -> anyhow::Result<()> {
    system::install(&[&system::CXX_COMPILER])?;
    if find_program("cargo-fuzz").is_none() && !succeeds(cargo().args(["fuzz", "--version"])) {
        run(cargo().args(["install", "--locked", "cargo-fuzz"]))?;
    }
    let folder = root().join(FUZZ);
    for target in targets(&folder.join("fuzz_targets"))? {
        let mut command = cargo();
        command.current_dir(folder.parent().unwrap_or(&folder));
        command.args(["fuzz", "run", "--sanitizer", "none", &target]);
        let corpus = folder.join("corpus").join(&target);
        fs::create_dir_all(&corpus).with_context(|| format!("creating {}", corpus.display()))?;
        command.arg(&corpus);
        if READS_CAPTURES.contains(&target.as_str()) {
            command.args(capture_folders()?);
        }
        command.args(["--", &format!("-max_total_time={seconds}"), "-timeout=10", "-rss_limit_mb=2048"]);
        // One line at the end in place of thousands on the way.
        command.args(["-verbosity=0", "-print_final_stats=1"]);
        run(&mut command)?;
    }
    Ok(())
}

/// The names of the fuzz targets: one Rust file each, in alphabetical order.
fn targets(folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs")
            && let Some(name) = path.file_stem().and_then(|stem| stem.to_str())
        {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skipped_tests_are_counted() {
        assert_eq!(tell_skipped(""), "No test was skipped.\n");
        let lines = "SKIPPED one: needs root\nSKIPPED two: needs root\n";
        assert_eq!(tell_skipped(lines), format!("2 tests were SKIPPED:\n{lines}"));
    }

    #[test]
    fn every_rust_file_of_a_folder_is_a_target() {
        let names = targets(&root().join("xtask/src")).unwrap();
        assert!(names.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(names.iter().any(|name| name == "system"));
        assert!(!names.iter().any(|name| name == "tidy"), "a folder is no target");
    }
}
