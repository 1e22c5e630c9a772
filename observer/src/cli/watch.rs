//! `observer watch`: a run in the terminal, while it goes on.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;

use ratatui::crossterm::style::force_color_output;

use super::USAGE;
use crate::watch;

/// Watch a run in the terminal, while it goes on or afterwards
///
/// Shows the apps, flows and findings in a database that `capture --db` or `analyze --db` writes or has written. The
/// database is only read. Findings come as flows end; until the run ends they are provisional: whom they are held
/// against, exceptions and what compares flows are settled then. `?` shows the keys.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The database
    #[arg(value_name = "DATABASE")]
    database: PathBuf,
    /// The run with this number [default: the newest]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i64).range(1..))]
    run: Option<i64>,
}

const EXAMPLES: &str = "\
Examples:
  sudo observer capture --db run.db        # in one terminal
  sudo observer watch run.db               # in another
Then type / and for example:
  pkg:shop sev:>=high -host:cdn step:\"log in\"";

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let stdout = io::stdout();
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    if !stdout.is_terminal() || is_dumb {
        let reason = if is_dumb { "a terminal that can move its cursor" } else { "a terminal to draw on" };
        super::complain(&anyhow::anyhow!(
            "watch needs {reason}; `observer query` and `observer report` do not"
        ));
        return Ok(ExitCode::from(USAGE));
    }
    let color = anstream::AutoStream::choice(&stdout) != anstream::ColorChoice::Never;
    // Whether colours are wanted has been decided; NO_COLOR is not asked a second time.
    force_color_output(color);
    watch::watch(&arguments.database, arguments.run, color)?;
    Ok(ExitCode::SUCCESS)
}
