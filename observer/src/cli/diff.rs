//! `observer diff`: two runs compared, release to release, or undisturbed and under interception.

mod interception;

use std::io::{BufWriter, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;

use super::USAGE;
use super::judging::FailOn;
use super::outputs::exit_code;
use super::run_name::RunName;
use crate::report::{review, text};
use crate::store;

/// Compare two runs: what a release changed; with --interception, validation and pinning
///
/// Tells what is new, changed, or not exercised again: verdicts, findings, far ends and what protects them, certificates.
/// Worse is a verdict that became violated, a new or graver finding at or above --fail-on, cleartext where there was
/// encryption, a lower version of TLS. What AFTER does not show was not exercised or not seen in it; that it is gone, nobody
/// knows.
///
/// With --interception, AFTER was made behind an interceptor: each app and host that took the real certificate in BEFORE,
/// and then turned away the interceptor's, validates its certificates. With --test-ca, the device was made to trust the
/// interceptor's authority: whoever turns it away then pins.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The earlier run: a database; of its runs the last that ended, unless a number is named
    #[arg(value_name = "BEFORE.db[:RUN]")]
    before: RunName,
    /// The later run, likewise
    #[arg(value_name = "AFTER.db[:RUN]")]
    after: RunName,
    /// From which severity on a new finding makes it worse
    #[arg(long, value_name = "SEVERITY", default_value = "high")]
    fail_on: FailOn,
    /// AFTER was made under interception: say whether validation and pinning hold
    #[arg(long)]
    interception: bool,
    /// The interceptor's authority (PEM), which the device was made to trust; implies --interception. Without it, the device
    /// does not know the authority
    #[arg(long, value_name = "CA.pem")]
    test_ca: Option<PathBuf>,
    /// The number of the undisturbed run; implies --interception. BEFORE.db:RUN is the same
    #[arg(long, value_name = "RUN", hide = true)]
    baseline_run: Option<i64>,
    /// The number of the run under interception; implies --interception. AFTER.db:RUN is the same
    #[arg(long, value_name = "RUN", hide = true)]
    interception_run: Option<i64>,
    /// The form of the comparison
    #[arg(long, value_name = "FORM", default_value = "text")]
    format: Format,
}

const EXAMPLES: &str = "\
Examples:
  observer diff release-11.db release-12.db
  observer diff runs.db:3 runs.db:4 --format markdown | gh pr comment --body-file -
  observer diff --interception baseline.db interception.db
  observer diff baseline.db interception.db --test-ca mitmproxy-ca-cert.pem

Exit codes:
  0  nothing got worse; with --interception, nothing fails, and something holds
  1  something got worse; with --interception, validation or pinning fails
  2  wrong usage: one run against itself
  3  no database, or no such run that was written to its end
  4  inconclusive: a run is, or nothing was exercised in both";

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Markdown,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let named = |name: &RunName, run: Option<i64>| RunName { run: run.or(name.run), ..name.clone() };
    let before = named(&arguments.before, arguments.baseline_run);
    let after = named(&arguments.after, arguments.interception_run);
    if arguments.is_under_interception() {
        return interception::run(&before, &after, arguments.test_ca.as_deref(), arguments.format);
    }
    let reviewed =
        store::review((&before.path, before.run), (&after.path, after.run), arguments.fail_on.severity())?;
    if before.is_in(&after.path) && reviewed.before.origin.run == reviewed.after.origin.run {
        let run = reviewed.after.origin.run;
        let error = anyhow::anyhow!("run {run} of {} against itself: name another", after.path.display());
        super::complain(&error);
        return Ok(ExitCode::from(USAGE));
    }
    let mut out = BufWriter::new(anstream::stdout().lock());
    match arguments.format {
        Format::Text => text::render_review(&reviewed, &mut out)?,
        Format::Json => review::render_json(&reviewed, &mut out)?,
        Format::Markdown => review::render_markdown(&reviewed, &mut out)?,
    }
    out.flush()?;
    Ok(exit_code(&reviewed.outcome()))
}

impl Arguments {
    fn is_under_interception(&self) -> bool {
        self.interception
            || self.test_ca.is_some()
            || self.baseline_run.is_some()
            || self.interception_run.is_some()
    }
}
