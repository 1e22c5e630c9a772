//! `cargo xtask demo`: from a fresh machine to a report, in one command.

use std::fs;

use anyhow::{Context, bail, ensure};

use crate::command::{cargo, exit_code, root, run, target_dir};
use crate::{Task, system, unknown_word};

/// The task.
pub(crate) const TASK: Task = Task {
    name: "demo",
    summary: "installs what the system lacks, builds, and analyzes a shipped capture",
    help: "\
Usage: cargo xtask demo

Installs what the system lacks (a C compiler, libpcap), builds the observer in release mode, analyzes the
capture that is shipped as captures/demo.pcapng and shows the report. The run is kept as demo/run.db in
Cargo's target directory, for questions with `observer query`.

Nothing is installed, and no administrator is needed, on a machine that has everything.
",
    run: demo,
};

/// The shipped capture, relative to the root.
const CAPTURE: &str = "captures/demo.pcapng";

/// What the good servers of that capture chain to, relative to the root.
const ROOTS: &str = "captures/certificates/lab-root.pem";

/// The observer's exit codes that say it ran: nothing found, findings, inconclusive.
const RAN: [i32; 3] = [0, 1, 4];

fn demo(words: &[String]) -> anyhow::Result<()> {
    if let Some(word) = words.first() {
        return Err(unknown_word(&TASK, word));
    }
    ensure!(root().join(CAPTURE).is_file(), "{CAPTURE} is missing from this checkout");
    system::install(&[&system::C_COMPILER, &system::LIBPCAP])?;
    run(cargo().args(["build", "--locked", "--release", "--package", "observer"]))?;

    let folder = target_dir().join("demo");
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    // A database holds many runs; the demo shows one.
    for name in ["run.db", "run.db-wal", "run.db-shm"] {
        let file = folder.join(name);
        if file.exists() {
            fs::remove_file(&file).with_context(|| format!("removing {}", file.display()))?;
        }
    }
    let database = folder.join("run.db");
    let mut analyze = cargo();
    analyze.args(["run", "--locked", "--quiet", "--release", "--package", "observer", "--"]);
    analyze.args(["analyze", CAPTURE, "--ca", ROOTS, "--db"]).arg(&database);
    let code = exit_code(&mut analyze)?;
    if !RAN.contains(&code) {
        bail!("the observer did not finish: exit code {code}");
    }
    eprintln!();
    eprintln!(
        "The demo ran. Findings are expected: the capture was recorded to show them (exit code {code})."
    );
    eprintln!("Ask further: cargo run --release -- query {} --list", database.display());
    Ok(())
}
