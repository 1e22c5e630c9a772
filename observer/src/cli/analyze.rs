//! `observer analyze`: capture files in, verdicts out.

use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context as _;
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{FINDINGS, INCONCLUSIVE, USAGE, words};
use crate::attribution::Sidecar;
use crate::observation::FlowSink;
use crate::pipeline::{self, Options};
use crate::policy::Policy;
use crate::report::json::FlowLog;
use crate::report::outcome::Outcome;
use crate::report::overview::Overview;
use crate::report::plain::plain;
use crate::report::secrets::Secrets;
use crate::report::{Run, text};
use crate::rules::Severity;
use crate::source::{self, SourceError};
use crate::store::Store;
use crate::time::Timestamp;
use crate::trust::TrustStore;

/// Inputs from this size on have a progress bar, in bytes.
const LONG: u64 = 32 << 20;

/// Damaged places of an input that are shown.
const DAMAGE_SHOWN: usize = 10;

/// Analyze capture files: which app sent what, protected how, and what that breaks
///
/// Reads pcap and pcapng files, plain or compressed with gzip, zstd or lz4, as one timeline. Words after the files
/// are a BPF filter expression, as tcpdump takes it.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES, override_usage = "observer analyze [OPTIONS] <FILE>... [EXPRESSION]...")]
pub(super) struct Arguments {
    /// Capture files, `-` for standard input; then the words of a filter expression
    #[arg(required = true, value_name = "FILE")]
    words: Vec<String>,
    /// Filter expression, where its words cannot be told from file names
    #[arg(long, value_name = "EXPRESSION")]
    filter: Option<String>,
    /// Keep everything in this SQLite database, in a run of its own
    #[arg(long, value_name = "FILE")]
    db: Option<PathBuf>,
    /// The form of the output
    #[arg(long, value_name = "FORM", default_value = "text")]
    format: Format,
    /// Exit with 1 when there are findings of this severity or above
    #[arg(long, value_name = "SEVERITY", default_value = "high")]
    fail_on: FailOn,
    /// The device's /data/system/packages.list: names the apps behind uids
    #[arg(long, value_name = "FILE")]
    packages: Option<PathBuf>,
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

const EXAMPLES: &str = "\
Examples:
  observer analyze phone.pcapng
  observer analyze mon.pcap.gz tue.pcap.gz tcp port 443 or udp port 53
  observer analyze phone.pcapng --packages packages.list --db run.db
  observer analyze phone.pcapng --format jsonl | jq 'select(.type == \"finding\")'
  ssh phone tcpdump -w - | observer analyze - --fail-on critical";

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
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

pub(super) fn run(arguments: &Arguments, quiet: bool) -> anyhow::Result<ExitCode> {
    let policy = arguments.policy.as_deref().map(Policy::load).transpose()?.unwrap_or_default();
    let mut trust = TrustStore::default();
    for path in &arguments.ca {
        trust.add_file(path)?;
    }
    let mut options = Options { policy, trust: Arc::new(trust), ..Options::default() };
    if let Some(packages) = &arguments.packages {
        options.apps.load(packages)?;
    }
    if let Some(threads) = arguments.threads {
        options.threads = threads;
    }
    let (files, expression) = words::split(&arguments.words, |path| path.exists());
    let expression = arguments.filter.as_deref().unwrap_or(&expression);
    let source = match source::open_filtered(&files, Some(expression)) {
        Err(error @ SourceError::Filter { .. }) => {
            super::complain(&error.into());
            return Ok(ExitCode::from(USAGE));
        }
        opened => opened?,
    };
    let mut sidecar = Sidecar::default();
    for file in &files {
        sidecar.load(file)?;
    }
    options.sidecar = Arc::new(sidecar);

    let secrets = if arguments.keep_secrets { Secrets::Keep } else { Secrets::Digest };
    let mut store = arguments.db.as_deref().map(|path| Store::begin(path, secrets, now())).transpose()?;
    let mut log = (arguments.format != Format::Text).then(|| FlowLog::new(secrets)).transpose()?;
    let mut overview = (arguments.format == Format::Text).then(Overview::default);
    let mut sinks: Vec<&mut dyn FlowSink> = Vec::new();
    sinks.extend(store.as_mut().map(|store| store as &mut dyn FlowSink));
    sinks.extend(log.as_mut().map(|log| log as &mut dyn FlowSink));
    sinks.extend(overview.as_mut().map(|overview| overview as &mut dyn FlowSink));
    tracing::info!(files = files.len(), expression, threads = options.threads, "analyzing");
    let started = now();
    let mut bar = Bar::new(quiet);
    let analyzed = pipeline::analyze(source, &options, &mut sinks, &mut |read, total| bar.show(read, total));
    bar.clear();
    let run = analyzed?;
    let elapsed = now().since(started);
    tracing::info!(frames = run.totals.frames, flows = run.totals.flows, ?elapsed, "analyzed");
    if let Some(store) = &mut store {
        store.finish(&run, now())?;
    }
    if !quiet {
        warn_of_damage(&run);
    }
    let outcome = run.outcome(arguments.fail_on.severity());
    // The report says it in its first line; who watches it need not read it twice.
    let watched = arguments.format == Format::Text && io::stdout().is_terminal();
    if let (Outcome::Inconclusive(reason), false) = (&outcome, watched) {
        anstream::eprintln!("observer: inconclusive: {}", plain(reason));
    }
    write(arguments, &run, log, overview).context("cannot write to standard output")?;
    Ok(match outcome {
        Outcome::Clean => ExitCode::SUCCESS,
        Outcome::Findings(_) => ExitCode::from(FINDINGS),
        Outcome::Inconclusive(_) => ExitCode::from(INCONCLUSIVE),
    })
}

/// Writes the run in the form that is asked for.
fn write(
    arguments: &Arguments,
    run: &Run,
    log: Option<FlowLog>,
    overview: Option<Overview>,
) -> io::Result<()> {
    let Some(log) = log else {
        let mut out = BufWriter::new(anstream::stdout().lock());
        let overview = overview.unwrap_or_default();
        text::render(run, &overview, arguments.fail_on.severity(), &mut out)?;
        return out.flush();
    };
    // JSON has no colours to strip.
    let mut out = BufWriter::new(io::stdout().lock());
    match arguments.format {
        Format::Json => log.render_document(run, &mut out)?,
        Format::Jsonl | Format::Text => log.render_lines(run, &mut out)?,
    }
    out.flush()
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

/// The clock on the wall: when a run was made.
#[expect(clippy::disallowed_methods, reason = "the edge: a run's own time, in the database alone")]
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// A progress bar for long inputs, where somebody watches.
struct Bar {
    bar: Option<ProgressBar>,
    wanted: bool,
}

impl Bar {
    fn new(quiet: bool) -> Self {
        Self { bar: None, wanted: !quiet && io::stderr().is_terminal() }
    }

    fn show(&mut self, read: u64, total: Option<u64>) {
        let Some(total) = total.filter(|total| self.wanted && *total >= LONG) else { return };
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(10));
            let template = "{wide_bar} {bytes}/{total_bytes} {binary_bytes_per_sec} {eta}";
            bar.with_style(
                ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
            )
        });
        bar.set_position(read);
    }

    fn clear(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}
