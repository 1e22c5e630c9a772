//! `observer agent`: the device's side of a capture that a host analyses.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use super::capture::Method;
use super::now;
use crate::android::agent::{AgentError, AgentOptions, Ending, READY, default_folder, relay, serve};
use crate::attribution::PACKAGES_LIST;
use crate::report::plain::plain;
use crate::source::live::LiveOptions;

/// Capture on a device for a host that analyses: `observer run` starts it
///
/// Speaks a binary protocol with the host on standard input and output; it is not for people. The first agent of a session
/// starts a daemon that captures, and leads to it; when the link breaks, the daemon goes on, and the next agent of the same
/// session resumes without a loss. Without a host it ends by itself.
#[derive(clap::Args)]
#[command(after_help = AFTER, override_usage = "observer agent [OPTIONS] [EXPRESSION]...")]
pub(super) struct Arguments {
    /// Words of a filter expression, as tcpdump takes it
    #[arg(value_name = "EXPRESSION")]
    expression: Vec<String>,
    /// The session's name: 1 to 40 letters, digits, `-` and `_` [default: one of its own]
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Interface to capture on; can be repeated
    #[arg(short, long, value_name = "NAME", default_value = "any")]
    interface: Vec<String>,
    /// Bytes to keep of each frame
    #[arg(short, long, value_name = "BYTES", default_value_t = 262_144, value_parser = clap::value_parser!(u32).range(1..=262_144))]
    snapshot_length: u32,
    /// Size of the kernel's buffer for each interface
    #[arg(short = 'B', long, value_name = "KIB", default_value_t = 64 << 10, value_parser = clap::value_parser!(u32).range(1..=2_097_151))]
    buffer_size: u32,
    /// How to find out whose a flow is; `auto` takes the strongest that the system allows
    #[arg(long, value_name = "METHOD", default_value = "auto")]
    attribution: Method,
    /// The device's list of packages
    #[arg(long, value_name = "FILE", default_value = PACKAGES_LIST)]
    packages: PathBuf,
    /// Folder for the session's socket and spool [default: TMPDIR, else that of the program]
    #[arg(long, value_name = "FOLDER")]
    spool: Option<PathBuf>,
    /// Disk space for what the host has not acknowledged, beyond 16 MiB of memory; what does not fit is dropped and counted
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u64).range(0..=65_536))]
    spool_size: u64,
    /// How long to capture on without a host
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    linger: u64,
    /// Be the daemon
    #[arg(long, hide = true, requires = "session")]
    daemon: bool,
}

const AFTER: &str = "\
Examples:
  adb shell -T /data/local/tmp/observer agent --session mine -i wlan0 | …

Exit codes:
  0  the capture has ended, and the host has everything
  2  wrong usage
  3  the capture cannot begin, or the link broke before the end";

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let folder = match &arguments.spool {
        Some(folder) => folder.clone(),
        None => default_folder()?,
    };
    let session = arguments.session.clone().unwrap_or_else(own_name);
    if arguments.daemon {
        return Ok(daemon(&arguments.options(folder, session)));
    }
    let mut command = Command::new(std::env::current_exe()?);
    // What this process was given, with the name that both have to agree on.
    command.args(["agent", "--daemon", "--session", &session]);
    command.arg("--spool").arg(&folder).args(arguments.capture());
    relay(&folder, &session, &mut command)?;
    Ok(ExitCode::SUCCESS)
}

/// Captures, and tells the relay that waits how that begins.
fn daemon(options: &AgentOptions) -> ExitCode {
    let say = |words: &str| {
        let mut out = std::io::stdout();
        // A relay that has gone does not hear it.
        let _ = writeln!(out, "{words}").and_then(|()| out.flush());
    };
    match serve(options, || say(READY)) {
        Ok(Ending::Delivered | Ending::Abandoned) => ExitCode::SUCCESS,
        Err(error) => {
            say(&plain(&words(error)));
            ExitCode::from(super::FAILED)
        }
    }
}

fn words(error: AgentError) -> String {
    format!("{:#}", anyhow::Error::new(error))
}

/// A name that no other session has, for an agent that nobody means to find again.
fn own_name() -> String {
    format!("{:x}-{}", now().0, std::process::id())
}

impl Arguments {
    /// The words with which another process captures the same.
    fn capture(&self) -> Vec<std::ffi::OsString> {
        let mut words: Vec<std::ffi::OsString> = Vec::new();
        let mut option = |name: &str, value: &OsStr| words.extend([name.into(), value.to_owned()]);
        for interface in &self.interface {
            option("--interface", interface.as_ref());
        }
        option("--snapshot-length", self.snapshot_length.to_string().as_ref());
        option("--buffer-size", self.buffer_size.to_string().as_ref());
        option("--attribution", self.attribution.word().as_ref());
        option("--packages", self.packages.as_os_str());
        option("--spool-size", self.spool_size.to_string().as_ref());
        option("--linger", self.linger.to_string().as_ref());
        words.push("--".into());
        words.extend(self.expression.iter().map(Into::into));
        words
    }

    fn options(&self, folder: PathBuf, session: String) -> AgentOptions {
        AgentOptions {
            session,
            folder,
            live: LiveOptions {
                interfaces: self.interface.clone(),
                snaplen: self.snapshot_length,
                buffer: self.buffer_size.saturating_mul(1024),
                expression: self.expression.join(" "),
                ..LiveOptions::default()
            },
            attribution: self.attribution.into(),
            packages: self.packages.clone(),
            spool: self.spool_size.saturating_mul(1 << 20),
            linger: Duration::from_secs(self.linger),
        }
    }
}
