//! `observer mark`: a word into a running capture.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::ValueEnum;

use crate::live::{self, Said};
use crate::source::{MarkerKind, TestResult};

/// Put a marker into a running capture: the step of a test, the press of a button
///
/// A plain label lasts until the next marker. What has a begin and an end is a test: a flow counts in the test in
/// which it began.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// What happens now, in 1 to 1024 bytes; with --end, what began last if left out
    #[arg(required_unless_present = "end")]
    label: Option<String>,
    /// A test of that name begins
    #[arg(long, conflicts_with = "end")]
    begin: bool,
    /// A test of that name has ended
    #[arg(long)]
    end: bool,
    /// How it ended
    #[arg(long, value_name = "RESULT", requires = "end")]
    result: Option<Outcome>,
    /// The capture's socket, where more than one capture runs
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Outcome {
    Passed,
    Failed,
    /// What it takes for granted does not hold here
    AssumptionFailed,
    /// It was not run
    Ignored,
}

const EXAMPLES: &str = "\
Examples:
  observer mark \"step 3: log in\"
  observer mark --begin login && ./login-test; observer mark --end login --result passed";

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let socket = match &arguments.socket {
        Some(socket) => socket.clone(),
        None => match live::sockets().as_slice() {
            [socket] => socket.clone(),
            [] => bail!("no capture of yours is running; as another user, name its socket with --socket"),
            several => {
                let paths: Vec<_> = several.iter().map(|path| path.display().to_string()).collect();
                bail!("several captures have sockets: name one with --socket: {}", paths.join(", "));
            }
        },
    };
    let kind = match (arguments.begin, arguments.end, arguments.result) {
        (true, _, _) => MarkerKind::Begin,
        (_, true, result) => MarkerKind::End(result.map_or(TestResult::Unknown, TestResult::from)),
        _ => MarkerKind::Point,
    };
    live::mark(&socket, &Said { kind, label: arguments.label.clone().unwrap_or_default() })?;
    Ok(ExitCode::SUCCESS)
}

impl From<Outcome> for TestResult {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Passed => Self::Passed,
            Outcome::Failed => Self::Failed,
            Outcome::AssumptionFailed => Self::AssumptionFailed,
            Outcome::Ignored => Self::Ignored,
        }
    }
}
