//! What `analyze` and `capture` share: what to judge by, where to keep the run, how to say what it came to.

use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::ValueEnum;

use super::{FINDINGS, INCONCLUSIVE};
use crate::pipeline::Options;
use crate::policy::Policy;
use crate::report::json::FlowLog;
use crate::report::outcome::Outcome;
use crate::report::overview::Overview;
use crate::report::plain::plain;
use crate::report::secrets::Secrets;
use crate::report::{Run, text};
use crate::rules::Severity;
use crate::store::Store;
use crate::time::Timestamp;
use crate::trust::TrustStore;

/// Damaged places of an input that are shown.
const DAMAGE_SHOWN: usize = 10;

#[derive(clap::Args)]
pub(super) struct Judging {
    /// Keep everything in this SQLite database, in a run of its own
    #[arg(long, value_name = "FILE")]
    pub(super) db: Option<PathBuf>,
    /// The form of the output
    #[arg(long, value_name = "FORM", default_value = "text")]
    pub(super) format: Format,
    /// Exit with 1 when there are findings of this severity or above
    #[arg(long, value_name = "SEVERITY", default_value = "high")]
    fail_on: FailOn,
    /// The device's /data/system/packages.list: names the apps behind uids
    #[arg(long, value_name = "FILE")]
    pub(super) packages: Option<PathBuf>,
    /// What you declare of apps and endpoints (TOML)
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Trust the certificates of this PEM file, too; can be repeated
    #[arg(long, value_name = "FILE")]
    ca: Vec<PathBuf>,
    /// Write credentials of HTTP messages as they were sent, not as digests
    #[arg(long)]
    keep_secrets: bool,
    /// Worker threads [default: one a core]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Text,
    Json,
    Jsonl,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FailOn {
    Critical,
    High,
    Medium,
    Low,
    Info,
    Never,
}

impl FailOn {
    fn severity(self) -> Option<Severity> {
        match self {
            Self::Critical => Some(Severity::Critical),
            Self::High => Some(Severity::High),
            Self::Medium => Some(Severity::Medium),
            Self::Low => Some(Severity::Low),
            Self::Info => Some(Severity::Info),
            Self::Never => None,
        }
    }
}

impl Judging {
    /// What a run does, as far as the arguments say.
    pub(super) fn options(&self) -> anyhow::Result<Options> {
        let policy = self.policy.as_deref().map(Policy::load).transpose()?.unwrap_or_default();
        let mut trust = TrustStore::default();
        for path in &self.ca {
            trust.add_file(path)?;
        }
        let mut options = Options { policy, trust: Arc::new(trust), ..Options::default() };
        if let Some(packages) = &self.packages {
            options.apps.load(packages)?;
        }
        if let Some(threads) = self.threads {
            options.threads = threads;
        }
        Ok(options)
    }

    pub(super) fn secrets(&self) -> Secrets {
        if self.keep_secrets { Secrets::Keep } else { Secrets::Digest }
    }

    /// Begins the run in the database, if one is asked for.
    pub(super) fn store(&self, started: Timestamp) -> anyhow::Result<Option<Store>> {
        Ok(self.db.as_deref().map(|path| Store::begin(path, self.secrets(), started)).transpose()?)
    }

    /// From which severity on a finding weighs.
    pub(super) fn fail_on(&self) -> Option<Severity> {
        self.fail_on.severity()
    }

    /// What is wrong with the input and why the run proves nothing, for people; the exit code.
    pub(super) fn conclude(&self, run: &Run, quiet: bool) -> ExitCode {
        if !quiet {
            warn_of_damage(run);
        }
        let outcome = run.outcome(self.fail_on());
        // The report says it in its first line; who watches it need not read it twice.
        let watched = self.format == Format::Text && io::stdout().is_terminal();
        if let (Outcome::Inconclusive(reason), false) = (&outcome, watched) {
            anstream::eprintln!("observer: inconclusive: {}", plain(reason));
        }
        match outcome {
            Outcome::Clean => ExitCode::SUCCESS,
            Outcome::Findings(_) => ExitCode::from(FINDINGS),
            Outcome::Inconclusive(_) => ExitCode::from(INCONCLUSIVE),
        }
    }

    /// Writes the run in the form that is asked for.
    pub(super) fn write(
        &self,
        run: &Run,
        log: Option<FlowLog>,
        overview: Option<Overview>,
    ) -> anyhow::Result<()> {
        self.render(run, log, overview).context("cannot write to standard output")
    }

    fn render(&self, run: &Run, log: Option<FlowLog>, overview: Option<Overview>) -> io::Result<()> {
        let Some(log) = log else {
            let mut out = BufWriter::new(anstream::stdout().lock());
            let overview = overview.unwrap_or_default();
            text::render(run, &overview, self.fail_on(), &mut out)?;
            return out.flush();
        };
        // JSON has no colours to strip.
        let mut out = BufWriter::new(io::stdout().lock());
        match self.format {
            Format::Json => log.render_document(run, &mut out)?,
            Format::Jsonl | Format::Text => log.render_lines(run, &mut out)?,
        }
        out.flush()
    }
}

fn warn_of_damage(run: &Run) {
    for input in &run.inputs {
        let path = plain(&input.path);
        for damage in input.damage.iter().take(DAMAGE_SHOWN) {
            let rest = match damage.skipped {
                Some(skipped) => format!("{skipped} bytes passed over"),
                None => "nothing read beyond".to_owned(),
            };
            let reason = plain(&damage.reason);
            anstream::eprintln!("observer: warning: {path}: {reason} at offset {}; {rest}", damage.offset);
        }
        let shown = u64::try_from(input.damage.len().min(DAMAGE_SHOWN)).unwrap_or(0);
        if let more @ 1.. = input.damages.saturating_sub(shown) {
            anstream::eprintln!("observer: warning: {path}: damaged in {more} more places");
        }
        if input.truncated && input.damages == 0 {
            anstream::eprintln!("observer: warning: {path}: ends inside a record; all before it was read");
        }
    }
}
