//! `observer mark`: a word into a running capture.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;

use crate::live;

/// Put a marker into a running capture: the step of a test, the press of a button
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// What happens now, in 1 to 255 bytes
    label: String,
    /// The capture's socket, where more than one capture runs
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  observer mark \"step 3: log in\"";

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
    live::mark(&socket, &arguments.label)?;
    Ok(ExitCode::SUCCESS)
}
