//! `observer analyze`: capture files in, verdicts out.

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::judging::{Format, Judging};
use super::outputs::{Form, Outputs};
use super::selectors::Selectors;
use super::witnesses::Witnesses;
use super::{USAGE, now, words};
use crate::attribution::Sidecar;
use crate::pipeline;
use crate::report::json::FlowLog;
use crate::report::overview::Overview;
use crate::source::{self, SourceError};

/// Inputs from this size on have a progress bar, in bytes.
const LONG: u64 = 32 << 20;

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
    #[command(flatten)]
    judging: Judging,
    #[command(flatten)]
    selectors: Selectors,
    #[command(flatten)]
    witnesses: Witnesses,
}

const EXAMPLES: &str = "\
Examples:
  observer analyze phone.pcapng
  observer analyze mon.pcap.gz tue.pcap.gz tcp port 443 or udp port 53
  observer analyze phone.pcapng --packages packages.list --db run.db
  observer analyze phone.pcapng --packages packages.list --logcat logcat.txt
  observer analyze phone.pcapng --format jsonl | jq 'select(.type == \"finding\")'
  ssh phone tcpdump -w - | observer analyze - --fail-on critical";

pub(super) fn run(arguments: &Arguments, quiet: bool) -> anyhow::Result<ExitCode> {
    let judging = &arguments.judging;
    let mut options = judging.options()?;
    let (files, expression) = words::split(&arguments.words, |path| path.exists());
    let expression = arguments.filter.as_deref().unwrap_or(&expression);
    let source = match source::open_filtered(&files, Some(expression)) {
        Err(error @ SourceError::Filter { .. }) => {
            super::complain(&error.into());
            return Ok(ExitCode::from(USAGE));
        }
        opened => source::with_key_logs(opened?, &judging.keylog)?,
    };
    let witnesses = &arguments.witnesses;
    let (near, source) = match witnesses.wants_a_year() {
        true => source::first_timestamp(source)?,
        false => (None, source),
    };
    let (markers, notes) = witnesses.read(near.unwrap_or_else(now))?;
    options.markers = markers;
    options.clock_offset = witnesses.clock_offset();
    let mut sidecar = Sidecar::default();
    for file in &files {
        sidecar.load(file)?;
    }
    options.sidecar = Arc::new(sidecar);
    options.selection = arguments.selectors.selection(None);

    let form = match judging.format {
        Format::Text => Form::Text(Overview::default()),
        Format::Json | Format::Jsonl => Form::Log(FlowLog::new(judging.secrets())?),
    };
    let mut outputs = Outputs::begin(judging, form)?;
    tracing::info!(files = files.len(), expression, threads = options.threads, "analyzing");
    let started = now();
    let mut bar = Bar::new(quiet);
    let analyzed =
        pipeline::analyze(source, &options, &mut outputs.sinks(), &mut |read, total| bar.show(read, total));
    bar.clear();
    let mut run = analyzed?;
    run.assessment.notes.extend(notes);
    let elapsed = now().since(started);
    tracing::info!(frames = run.totals.frames, flows = run.totals.flows, ?elapsed, "analyzed");
    outputs.finish(&run, quiet)
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
