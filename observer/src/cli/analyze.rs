//! `observer analyze`: capture files in, verdicts out.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;

use crate::observation::FlowSink;
use crate::pipeline::{self, Options};
use crate::policy::Policy;
use crate::report::json::FlowLog;
use crate::report::secrets::Secrets;
use crate::report::text;
use crate::source;
use crate::store::Store;

/// Analyze capture files: which app sent what, protected how, and what that breaks
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Capture files (pcap or pcapng, also gzip, zstd or lz4); `-` is standard input
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Keep everything in this SQLite database
    #[arg(long)]
    db: Option<PathBuf>,
    /// The form of the output
    #[arg(long, default_value = "text")]
    format: Format,
    /// Worker threads [default: one a core]
    #[arg(long)]
    threads: Option<usize>,
    /// The device's /data/system/packages.list
    #[arg(long)]
    packages: Option<PathBuf>,
    /// Write credentials of HTTP messages as they were sent, not as digests
    #[arg(long)]
    keep_secrets: bool,
    /// What you declare of apps and endpoints (TOML)
    #[arg(long)]
    policy: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Jsonl,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let policy = arguments.policy.as_deref().map(Policy::load).transpose()?.unwrap_or_default();
    let mut options = Options { policy, ..Options::default() };
    if let Some(packages) = &arguments.packages {
        options.apps.load(packages)?;
    }
    if let Some(threads) = arguments.threads {
        options.threads = threads;
    }
    let source = source::open(&arguments.files)?;
    let mut store = arguments.db.as_deref().map(Store::begin).transpose()?;
    let secrets = if arguments.keep_secrets { Secrets::Keep } else { Secrets::Digest };
    let mut log = (arguments.format == Format::Jsonl).then(|| FlowLog::new(secrets)).transpose()?;
    let mut sinks: Vec<&mut dyn FlowSink> = Vec::new();
    sinks.extend(store.as_mut().map(|store| store as &mut dyn FlowSink));
    sinks.extend(log.as_mut().map(|log| log as &mut dyn FlowSink));
    let run = pipeline::analyze(source, &options, &mut sinks, &mut |_read, _total| {})?;
    if let Some(store) = &mut store {
        store.finish(&run)?;
    }
    let mut out = anstream::stdout().lock();
    match log {
        Some(log) => log.render(&run, &mut out)?,
        None => text::render(&run, &mut out)?,
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
