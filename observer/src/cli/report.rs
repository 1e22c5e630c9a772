//! `observer report`: renderings of a run that a database holds.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::ValueEnum;

use super::USAGE;
use super::judging::FailOn;
use super::outputs::exit_code;
use super::run_name::RunName;
use crate::policy::Severity;
use crate::report::stored::{Bounds, StoredRun};
use crate::report::{html, junit, markdown, sarif};
use crate::store;

/// Render a run in a database: HTML, SARIF, JUnit, Markdown, JSON
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The database that `analyze --db` or `capture --db` wrote
    #[arg(value_name = "DATABASE")]
    database: PathBuf,
    /// The form of the report
    #[arg(long, value_name = "FORM", required_unless_present = "all")]
    format: Option<Format>,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE", conflicts_with = "all")]
    output: Option<PathBuf>,
    /// Write every form into this folder, which is made if need be: report.html, report.sarif, report.xml (JUnit),
    /// report.md, report.json
    #[arg(long, value_name = "FOLDER", conflicts_with = "format")]
    all: Option<PathBuf>,
    /// The number of the run; the last one if not given
    #[arg(long, value_name = "RUN")]
    run: Option<i64>,
    /// From which severity on a finding weighs: fails a case of JUnit, and the command with --exit-code
    #[arg(long, value_name = "SEVERITY", default_value = "high")]
    fail_on: FailOn,
    /// Only what is new beside this run weighs: a database of an earlier run, the last that ended unless a number is named.
    /// Without it, the baseline that the run itself was given
    #[arg(long, value_name = "DATABASE[:RUN]")]
    baseline: Option<RunName>,
    /// Exit as the run did: 1 with findings that weigh, 4 when it is inconclusive
    #[arg(long)]
    exit_code: bool,
}

const EXAMPLES: &str = "\
Examples:
  observer report run.db --format html -o report.html
  observer report run.db --format sarif > observer.sarif
  observer report run.db --all out/ --exit-code
  observer report new.db --baseline old.db --format junit -o report.xml --exit-code
  observer report runs.db --run 3 --format markdown | gh pr comment --body-file -

Exit codes:
  0  the report is written
  1  with --exit-code: findings at or above --fail-on, new ones if there is a baseline
  2  wrong usage: a run as its own baseline
  3  no database, no such run, or the report cannot be written
  4  with --exit-code: inconclusive";

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Html,
    Sarif,
    Junit,
    Markdown,
    Json,
}

impl Format {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Html, "report.html"),
        (Self::Sarif, "report.sarif"),
        (Self::Junit, "report.xml"),
        (Self::Markdown, "report.md"),
        (Self::Json, "report.json"),
    ];

    fn render(self, run: &StoredRun, fail_on: Option<Severity>, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Html => html::render(run, fail_on, out),
            Self::Sarif => sarif::render(run, out),
            Self::Junit => junit::render(run, fail_on, out),
            Self::Markdown => markdown::render(run, fail_on, out),
            Self::Json => {
                serde_json::to_writer_pretty(&mut *out, run)?;
                writeln!(out)
            }
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut run = store::stored_run(&arguments.database, arguments.run, &Bounds::default())?;
    if let Some(name) = &arguments.baseline {
        let before = name.is_in(&arguments.database).then_some(run.run);
        if before.is_some() && name.run == before {
            super::complain(&anyhow::anyhow!("run {} cannot be its own baseline", run.run));
            return Ok(ExitCode::from(USAGE));
        }
        // Of the same database, the last run before this one: what came later is no baseline unless it is named.
        let before = before.filter(|_| name.run.is_none());
        run.compare(&store::baseline(&name.path, name.run, before)?);
    }
    let fail_on = arguments.fail_on.severity();
    if let Some(folder) = &arguments.all {
        write_all(&run, fail_on, folder)?;
    }
    if let Some(format) = arguments.format {
        match &arguments.output {
            Some(path) => write_file(&run, format, fail_on, path)?,
            None => {
                let mut out = BufWriter::new(io::stdout().lock());
                format.render(&run, fail_on, &mut out)?;
                out.flush()?;
            }
        }
    }
    Ok(if arguments.exit_code { exit_code(&run.outcome(fail_on)) } else { ExitCode::SUCCESS })
}

/// Writes every form of the report on the last run of `database` into `folder`.
#[cfg(all(feature = "live", target_os = "linux"))]
pub(super) fn write_reports(database: &Path, fail_on: Option<Severity>, folder: &Path) -> anyhow::Result<()> {
    write_all(&store::stored_run(database, None, &Bounds::default())?, fail_on, folder)
}

/// Writes every form of the report into `folder`.
fn write_all(run: &StoredRun, fail_on: Option<Severity>, folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make folder {}", folder.display()))?;
    Format::ALL
        .into_iter()
        .try_for_each(|(format, name)| write_file(run, format, fail_on, &folder.join(name)))
}

/// Writes a file whole or not at all: whoever reads it meanwhile sees the one before.
fn write_file(run: &StoredRun, format: Format, fail_on: Option<Severity>, path: &Path) -> anyhow::Result<()> {
    let write = || -> io::Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        let mut out = BufWriter::new(file.as_file_mut());
        format.render(run, fail_on, &mut out)?;
        out.flush()?;
        drop(out);
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
