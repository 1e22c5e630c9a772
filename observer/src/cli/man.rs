//! `observer man`: the manual pages, made from what `--help` says.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_mangen::Man;

/// Print a manual page, or write all of them
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The command whose page to print
    #[arg(value_name = "COMMAND", conflicts_with = "output")]
    command: Option<String>,
    /// Write the pages of all commands into this folder, which is made if it is not there
    #[arg(short, long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  observer man capture | man -l -
  observer man --output ~/.local/share/man/man1";

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut observer = super::Arguments::command().disable_help_subcommand(true);
    if let Some(folder) = &arguments.output {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let written = clap_mangen::generate_to(observer, folder);
        written.with_context(|| format!("cannot write to {}", folder.display()))?;
        return Ok(ExitCode::SUCCESS);
    }
    // Commands get the names and the global options that they have on the command line.
    observer.build();
    let command = match arguments.command.as_deref() {
        None => &observer,
        Some(name) => match observer.find_subcommand(name) {
            Some(command) => command,
            None => {
                let error = anyhow::anyhow!("there is no command '{name}': `observer --help` lists them");
                super::complain(&error);
                return Ok(ExitCode::from(super::USAGE));
            }
        },
    };
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page)?;
    io::stdout().lock().write_all(&page)?;
    Ok(ExitCode::SUCCESS)
}
