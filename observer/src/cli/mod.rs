//! The command line: arguments and wording, no logic.
//!
//! Data goes to standard output, all else to standard error. A reader who has seen enough (a closed pipe) is no error.

#[cfg(all(feature = "live", target_os = "linux"))]
mod agent;
mod analyze;
#[cfg(all(feature = "live", target_os = "linux"))]
mod capture;
#[cfg(all(feature = "live", target_os = "linux"))]
mod cleanup;
mod completions;
#[cfg(all(feature = "live", target_os = "linux"))]
mod devices;
mod diff;
#[cfg(all(feature = "live", target_os = "linux"))]
mod doctor;
mod judging;
mod man;
#[cfg(all(feature = "live", target_os = "linux"))]
mod mark;
mod outputs;
mod query;
mod report;
mod requirements;
mod rules;
#[cfg(all(feature = "live", target_os = "linux"))]
mod run;
mod run_name;
mod selectors;
#[cfg(unix)]
mod watch;
mod witnesses;
mod words;

use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::time::SystemTime;

use clap::{Parser, Subcommand, ValueEnum};
use tracing_subscriber::filter::LevelFilter;

use crate::report::plain::plain;
use crate::time::Timestamp;

/// Exit code: findings at or above `--fail-on`.
const FINDINGS: u8 = 1;
/// Exit code: the command was used wrongly.
const USAGE: u8 = 2;
/// Exit code: the run failed.
const FAILED: u8 = 3;
/// Exit code: no conclusion is possible.
const INCONCLUSIVE: u8 = 4;

/// Which app sent what, to whom, protected how, and which requirement does that break?
#[derive(Parser)]
#[command(name = "observer", bin_name = "observer", version, propagate_version = true, after_help = EXIT_CODES, max_term_width = 80)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    output: Output,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  nothing at or above --fail-on
  1  findings at or above --fail-on
  2  wrong usage, or wrong SQL
  3  the run failed: unreadable input, no permission, disk full
  4  inconclusive: drops, damage, no traffic, or too much without an owner";

#[derive(clap::Args)]
#[command(next_help_heading = "Global options")]
struct Output {
    /// When to use colours; `auto` heeds NO_COLOR and CLICOLOR, and uses none in a pipe
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: Color,
    /// No warnings and no progress bar; errors are still shown
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Say more about what is being done; twice for even more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

#[derive(Clone, Copy, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Subcommand)]
enum Command {
    #[cfg(all(feature = "live", target_os = "linux"))]
    Agent(agent::Arguments),
    Analyze(analyze::Arguments),
    #[cfg(all(feature = "live", target_os = "linux"))]
    Capture(capture::Arguments),
    #[cfg(all(feature = "live", target_os = "linux"))]
    Cleanup(cleanup::Arguments),
    Completions(completions::Arguments),
    #[cfg(all(feature = "live", target_os = "linux"))]
    Devices(devices::Arguments),
    Diff(diff::Arguments),
    #[cfg(all(feature = "live", target_os = "linux"))]
    Doctor(doctor::Arguments),
    Man(man::Arguments),
    #[cfg(all(feature = "live", target_os = "linux"))]
    Mark(mark::Arguments),
    Query(query::Arguments),
    Report(report::Arguments),
    Requirements(requirements::Arguments),
    Rules(rules::Arguments),
    #[cfg(all(feature = "live", target_os = "linux"))]
    Run(run::Arguments),
    #[cfg(unix)]
    Watch(watch::Arguments),
}

/// Parses the arguments, runs the command and says how it ended.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    arguments.output.apply();
    let result = match arguments.command {
        #[cfg(all(feature = "live", target_os = "linux"))]
        Command::Agent(command) => agent::run(&command),
        Command::Analyze(command) => analyze::run(&command, arguments.output.quiet),
        #[cfg(all(feature = "live", target_os = "linux"))]
        Command::Capture(command) => capture::run(&command, arguments.output.quiet),
        #[cfg(all(feature = "live", target_os = "linux"))]
        Command::Cleanup(command) => cleanup::run(&command),
        Command::Completions(command) => completions::run(&command),
        #[cfg(all(feature = "live", target_os = "linux"))]
        Command::Devices(command) => devices::run(&command),
        Command::Diff(command) => diff::run(&command),
        #[cfg(all(feature = "live", target_os = "linux"))]
        Command::Doctor(command) => doctor::run(&command),
        Command::Man(command) => man::run(&command),
        #[cfg(all(feature = "live", target_os = "linux"))]
        Command::Mark(command) => mark::run(&command),
        Command::Query(command) => query::run(&command),
        Command::Report(command) => report::run(&command),
        Command::Requirements(command) => requirements::run(&command),
        Command::Rules(command) => rules::run(&command),
        #[cfg(all(feature = "live", target_os = "linux"))]
        Command::Run(command) => run::run(&command, arguments.output.quiet),
        #[cfg(unix)]
        Command::Watch(command) => watch::run(&command),
    };
    match result {
        Ok(code) => code,
        Err(error) if is_broken_pipe(error.as_ref()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::from(FAILED)
        }
    }
}

impl Output {
    fn apply(&self) {
        match self.color {
            Color::Auto => anstream::ColorChoice::Auto,
            Color::Always => anstream::ColorChoice::Always,
            Color::Never => anstream::ColorChoice::Never,
        }
        .write_global();
        let level = match (self.quiet, self.verbose) {
            (true, _) => LevelFilter::ERROR,
            (false, 0) => LevelFilter::WARN,
            (false, 1) => LevelFilter::INFO,
            (false, 2) => LevelFilter::DEBUG,
            (false, _) => LevelFilter::TRACE,
        };
        tracing_subscriber::fmt()
            .with_max_level(level)
            .with_writer(io::stderr)
            .with_ansi(anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never)
            .without_time()
            .with_target(false)
            .init();
    }
}

/// Says an error and its causes in one line. What it quotes may come from the network.
fn complain(error: &anyhow::Error) {
    anstream::eprintln!("observer: {}", plain(&format!("{error:#}")));
}

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The clock on the wall: when a run was made.
#[expect(clippy::disallowed_methods, reason = "the edge: a run's own time, in the database alone")]
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
