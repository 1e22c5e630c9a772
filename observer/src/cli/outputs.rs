//! Where a run goes: the database, standard output; and what it came to, in an exit code.

use std::io::{self, BufWriter, IsTerminal as _, Stdout, Write as _};
use std::process::ExitCode;

use anstream::AutoStream;
use anyhow::Context as _;

use super::judging::{Format, Judging};
use super::{FINDINGS, INCONCLUSIVE, now};
use crate::observation::FlowSink;
use crate::report::Run;
use crate::report::json::{FlowLog, LiveLog};
use crate::report::outcome::Outcome;
use crate::report::overview::Overview;
use crate::report::plain::plain;
use crate::report::text::{self, LiveLines};
use crate::store::Store;

/// Damaged places of an input that are shown.
const DAMAGE_SHOWN: usize = 10;

/// The outputs of a run.
pub(super) struct Outputs<'a> {
    judging: &'a Judging,
    store: Option<Store>,
    form: Form,
}

/// What standard output is to show.
#[cfg_attr(
    not(all(feature = "live", target_os = "linux")),
    expect(dead_code, reason = "half of the forms are those of captures")
)]
pub(super) enum Form {
    /// The report for people.
    Text(Overview),
    /// The report, and before it a line for each flow as it ends.
    Live(Overview, LiveLines<AutoStream<Stdout>>),
    /// All records at the end.
    Log(FlowLog),
    /// Records as they come.
    Stream(LiveLog<BufWriter<Stdout>>),
    /// Nothing: something else goes there.
    Nothing,
}

impl<'a> Outputs<'a> {
    /// Begins the run in the database, if one is asked for.
    pub(super) fn begin(judging: &'a Judging, form: Form) -> anyhow::Result<Self> {
        let begin = |path| Store::begin(path, judging.secrets(), now());
        Ok(Self { judging, store: judging.db.as_deref().map(begin).transpose()?, form })
    }

    /// All that take flows.
    pub(super) fn sinks(&mut self) -> Vec<&mut dyn FlowSink> {
        let mut sinks: Vec<&mut dyn FlowSink> = Vec::new();
        sinks.extend(self.store.as_mut().map(|store| store as &mut dyn FlowSink));
        match &mut self.form {
            Form::Text(overview) => sinks.push(overview),
            Form::Live(overview, lines) => {
                sinks.push(overview);
                sinks.push(lines);
            }
            Form::Log(log) => sinks.push(log),
            Form::Stream(stream) => sinks.push(stream),
            Form::Nothing => {}
        }
        sinks
    }

    /// Completes the database, says what is wrong with the input and why the run proves nothing, and shows the run.
    pub(super) fn finish(mut self, run: &Run, quiet: bool) -> anyhow::Result<ExitCode> {
        if let Some(store) = &mut self.store {
            store.finish(run, now())?;
        }
        if !quiet {
            warn_of_damage(run);
        }
        let outcome = run.outcome(self.judging.fail_on());
        // The report says it in its first line; who watches it need not read it twice.
        let watched = matches!(self.form, Form::Text(_) | Form::Live(..)) && io::stdout().is_terminal();
        if let (Outcome::Inconclusive(reason), false) = (&outcome, watched) {
            anstream::eprintln!("observer: inconclusive: {}", plain(reason));
        }
        self.render(run).context("cannot write to standard output")?;
        Ok(exit_code(&outcome))
    }

    fn render(self, run: &Run) -> io::Result<()> {
        match self.form {
            Form::Text(overview) | Form::Live(overview, _) => {
                let mut out = BufWriter::new(anstream::stdout().lock());
                text::render(run, &overview, self.judging.fail_on(), &mut out)?;
                out.flush()
            }
            Form::Log(log) => {
                // JSON has no colours to strip.
                let mut out = BufWriter::new(io::stdout().lock());
                match self.judging.format {
                    Format::Json => log.render_document(run, &mut out)?,
                    Format::Jsonl | Format::Text => log.render_lines(run, &mut out)?,
                }
                out.flush()
            }
            Form::Stream(stream) => stream.finish(run),
            Form::Nothing => Ok(()),
        }
    }
}

/// The exit code of an outcome.
pub(super) fn exit_code(outcome: &Outcome) -> ExitCode {
    match outcome {
        Outcome::Clean => ExitCode::SUCCESS,
        Outcome::Findings(_) => ExitCode::from(FINDINGS),
        Outcome::Inconclusive(_) => ExitCode::from(INCONCLUSIVE),
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
