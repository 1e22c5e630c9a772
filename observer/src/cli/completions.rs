//! `observer completions`: what a shell needs to complete the command line.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;

/// Print what a shell needs to complete commands and options
///
/// It goes to standard output; where your shell looks for it is in the examples.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Which shell
    shell: Shell,
}

const EXAMPLES: &str = "\
Examples:
  observer completions bash > ~/.local/share/bash-completion/completions/observer
  observer completions zsh > \"${fpath[1]}/_observer\"
  observer completions fish > ~/.config/fish/completions/observer.fish";

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut command = super::Arguments::command();
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "observer", &mut script);
    io::stdout().lock().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}
