//! `observer cleanup`: takes away what a killed capture left.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use super::{FAILED, complain};
use crate::attribution::ebpf;
use crate::live::leftovers::{self, Leftover};
use crate::report::plain::plain;

/// Take away what a killed capture left on this system
///
/// A capture that ends, also by Ctrl-C, takes everything away itself. One that is killed leaves its filters at the interfaces
/// (unless the kernel has tcx), the cgroup of its command, and the socket for its markers. What belongs to a capture that
/// runs stays, as does what others made. Needs root.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {}

const EXAMPLES: &str = "\
Examples:
  sudo observer cleanup";

pub(super) fn run(_arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if !rustix::process::geteuid().is_root() {
        anstream::eprintln!("observer: cleanup needs root: what a capture leaves belongs to the system");
        return Ok(ExitCode::from(FAILED));
    }
    let mut out = BufWriter::new(anstream::stdout().lock());
    let code = clean(&mut out)?;
    out.flush()?;
    Ok(code)
}

/// Goes on after what it cannot take away.
fn clean(out: &mut dyn Write) -> io::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    let mut clean = true;
    match ebpf::clean_up() {
        Ok(filters) => {
            for filter in filters {
                clean = false;
                let qdisc = if filter.qdisc { ", and the clsact qdisc that was made for it" } else { "" };
                writeln!(out, "removed the filter at {}{qdisc}", plain(&filter.interface))?;
            }
        }
        Err(error) => {
            complain(&anyhow::Error::new(error).context("looking for filters at interfaces"));
            code = ExitCode::from(FAILED);
        }
    }
    for leftover in leftovers::find() {
        clean = false;
        let name = describe(&leftover);
        match leftover.remove() {
            Ok(()) => writeln!(out, "removed {}", plain(&name))?,
            Err(error) => {
                complain(&anyhow::Error::new(error).context(format!("removing {name}")));
                code = ExitCode::from(FAILED);
            }
        }
    }
    if clean && code == ExitCode::SUCCESS {
        writeln!(out, "nothing to clean up")?;
    }
    Ok(code)
}

fn describe(leftover: &Leftover) -> String {
    match leftover {
        Leftover::Cgroup { path, processes } => match processes.as_slice() {
            [] => format!("the cgroup {}", path.display()),
            [process] => {
                format!("the cgroup {}; process {process}, which was in it, goes on", path.display())
            }
            processes => {
                format!(
                    "the cgroup {}; {} processes, which were in it, go on",
                    path.display(),
                    processes.len()
                )
            }
        },
        Leftover::Socket { path } => format!("the socket {}", path.display()),
    }
}
