//! `observer capture`: a running system in, verdicts out.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, BufWriter, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::num::{NonZeroU32, NonZeroU64};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::ValueEnum;

use super::judging::{Format, Judging};
use super::outputs::{Form, Outputs};
use super::selectors::Selectors;
use super::{USAGE, now};
use crate::attribution::{Choice, PACKAGES_LIST, PackageWatch, attributors};
use crate::live::confinement::{self, Confinement};
use crate::live::privileges::{self, Need, Target};
use crate::live::{self, Recording, Session};
use crate::pipeline;
use crate::recording::{Precision, RecorderOptions, RecorderSummary, Rotation, SectionHeader};
use crate::report::Run;
use crate::report::json::{FlowLog, LiveLog};
use crate::report::overview::Overview;
use crate::report::plain::plain;
use crate::report::text::LiveLines;
use crate::source::live::{Live, LiveOptions, devices};
use crate::source::{self, InputSummary, InterfaceInfo, SourceError};

/// Observe live traffic: which app sends what, protected how, and what that breaks
///
/// Takes frames from network interfaces, finds out which app each flow belongs to, and shows a line for each flow as
/// it ends. Ends on Ctrl-C, after --count frames or after the command behind `--`, and then judges the whole.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES, override_usage = "observer capture [OPTIONS] [EXPRESSION]... [-- COMMAND...]")]
pub(super) struct Arguments {
    /// Words of a filter expression, as tcpdump takes it
    #[arg(value_name = "EXPRESSION")]
    expression: Vec<String>,
    /// Run this command and observe it and its children only; the capture ends after it
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
    /// Interface to capture on; can be repeated
    #[arg(short, long, value_name = "NAME", default_value = "any")]
    interface: Vec<String>,
    /// List the interfaces and exit
    #[arg(short = 'D', long)]
    list_interfaces: bool,
    /// Bytes to keep of each frame
    #[arg(short, long, value_name = "BYTES", default_value_t = 262_144, value_parser = clap::value_parser!(u32).range(1..=262_144))]
    snapshot_length: u32,
    /// Size of the kernel's buffer for each interface
    #[arg(short = 'B', long, value_name = "KIB", default_value_t = 64 << 10, value_parser = clap::value_parser!(u32).range(1..=2_097_151))]
    buffer_size: u32,
    /// Take each frame from the kernel at once, not within 10 ms: the ring then holds few, and frames get lost
    #[arg(long)]
    immediate_mode: bool,
    /// Take frames that are for other hosts, too
    #[arg(long)]
    promiscuous: bool,
    /// End after this many frames
    #[arg(short, long, value_name = "FRAMES", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// How to find out whose a flow is; `auto` takes the strongest that the system allows
    #[arg(long, value_name = "METHOD", default_value = "auto")]
    attribution: Method,
    /// Record the frames in this pcapng file, with their owners; `-` is standard output
    #[arg(short, long, value_name = "FILE", help_heading = "Recording")]
    write: Option<PathBuf>,
    /// Begin another file when one has this many millions of bytes
    #[arg(short = 'C', long, value_name = "MB", requires = "write", help_heading = "Recording")]
    file_size: Option<NonZeroU64>,
    /// Begin another file after this many seconds; its name is a pattern of strftime
    #[arg(short = 'G', long, value_name = "SECONDS", requires = "write", help_heading = "Recording")]
    rotate_seconds: Option<NonZeroU64>,
    /// Keep this many files: with -C the oldest gives way, with -G alone the capture ends
    #[arg(short = 'W', long, value_name = "FILES", requires = "write", help_heading = "Recording")]
    file_count: Option<NonZeroU32>,
    /// The unit of the timestamps in the file
    #[arg(long, value_name = "UNIT", default_value = "nano", requires = "write", help_heading = "Recording")]
    time_stamp_precision: Unit,
    /// Take markers over HTTP, too (`POST /mark`), on this address of the loopback interface, and say which on standard error
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, require_equals = true, default_missing_value = "127.0.0.1:0", value_parser = loopback)]
    mark_listen: Option<SocketAddrV4>,
    /// Go on as this user once everything is open [default: whoever called sudo]
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    #[command(flatten)]
    judging: Judging,
    #[command(flatten)]
    selectors: Selectors,
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Method {
    /// Kernel programs and netlink's tables together, or what of them is allowed
    Auto,
    /// Kernel programs: every flow, from its first packet
    Ebpf,
    /// Netlink's socket tables: short flows may be missed
    #[value(name = "sock_diag")]
    SockDiag,
    /// /proc/net: the same, slower
    Procfs,
    /// What the frames themselves say
    Recorded,
    /// Nothing: all flows stay unattributed
    None,
}

#[derive(Clone, Copy, ValueEnum)]
enum Unit {
    Nano,
    /// What PCAPdroid takes all timestamps for
    Micro,
}

impl Method {
    /// The word for it on the command line.
    pub(super) fn word(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

impl From<Method> for Choice {
    fn from(method: Method) -> Self {
        match method {
            Method::Auto => Self::Auto,
            Method::Ebpf => Self::Ebpf,
            Method::SockDiag => Self::SockDiag,
            Method::Procfs => Self::Procfs,
            Method::Recorded => Self::Recorded,
            Method::None => Self::None,
        }
    }
}

const EXAMPLES: &str = "\
Examples:
  observer capture -i wlan0 --package com.example.shop --db run.db
  observer capture tcp port 443 or udp port 53
  observer capture -- curl https://example.org
  observer capture --format jsonl | jq 'select(.type == \"flow\")'";

pub(super) fn run(arguments: &Arguments, quiet: bool) -> anyhow::Result<ExitCode> {
    if arguments.list_interfaces {
        list()?;
        return Ok(ExitCode::SUCCESS);
    }
    let judging = &arguments.judging;
    if arguments.writes_to_stdout() && judging.format != Format::Text {
        super::complain(&anyhow::anyhow!("standard output cannot take both the frames and the records"));
        return Ok(ExitCode::from(USAGE));
    }
    let mut options = judging.options()?;
    let packages = judging.packages.as_deref().unwrap_or(Path::new(PACKAGES_LIST));
    if judging.packages.is_none() && packages.exists() {
        options.apps.load(packages)?;
    }
    let live = match Live::open(&arguments.live_options()) {
        Err(error @ SourceError::Filter { .. }) => {
            super::complain(&error.into());
            return Ok(ExitCode::from(USAGE));
        }
        opened => opened?,
    };
    let attribution = attributors(arguments.attribution.into())?;
    for note in attribution.notes.iter().filter(|_| !quiet) {
        anstream::eprintln!("observer: warning: {}", plain(note));
    }
    let methods: BTreeSet<_> = attribution.allowed.iter().map(|attributor| attributor.method()).collect();
    let interfaces = live.interfaces();
    let begun = Run { inputs: interfaces.iter().map(input).collect(), ..Run::default() };
    let endpoint = arguments.mark_listen.map(live::Endpoint::bind).transpose()?;
    let target = Target::choose(arguments.user.as_deref(), |name| std::env::var(name).ok())?;
    let command = match (arguments.command.as_slice(), &target) {
        ([], _) => None,
        (words, Target::Become(user)) => Some(live::Command::spawn(words, Some((user.uid, user.gid)))?),
        (words, Target::Stay { .. }) => Some(live::Command::spawn(words, None)?),
    };
    let mut needs = vec![Need::FollowInterfaces, Need::ReadProcesses, Need::ReadPackages];
    needs.extend(command.as_ref().map(|_| Need::RemoveCgroup));
    say(privileges::lower(target, &needs)?.notes());
    options.selection = arguments.selectors.selection(command.as_ref().map(live::Command::cgroup));

    let mut watch = PackageWatch::new(packages);
    let session = Session {
        live,
        attributors: attribution.allowed,
        apps: std::mem::take(&mut options.apps),
        apps_watch: Some(Box::new(move || watch.changed())),
        command,
        socket: Some(live::socket_path()),
        endpoint,
    };
    let is_android = !session.apps.is_empty();
    let mut running = session.start(|| arguments.confine())?;
    let mut outputs = Outputs::begin(judging, arguments.form(&begun, &methods)?)?;
    let recorder = arguments.recorder(interfaces, is_android)?;
    let recording = recorder
        .map(|recorder| Recording::start(recorder, &mut running, options.selection.clone()))
        .transpose()?;
    if !quiet {
        for address in &running.own_endpoints {
            anstream::eprintln!("observer: markers are taken at http://{address}/mark");
        }
        anstream::eprintln!("observer: capturing on {}", arguments.interface.join(", "));
    }
    options.own_endpoints = running.own_endpoints;
    options.live = Some(running.owners);
    let source = source::with_key_logs(Box::new(running.source), &judging.keylog)?;
    let analyzed = pipeline::analyze(source, &options, &mut outputs.sinks(), &mut |_, _| {});
    let notes = running.rest.join();
    let recorded = recording.map(Recording::finish);
    for note in notes.iter().filter(|_| !quiet) {
        anstream::eprintln!("observer: {}", plain(note));
    }
    let mut run = analyzed?;
    run.assessment.notes.extend(attribution.notes);
    run.assessment.notes.extend(notes);
    run.assessment.notes.extend(recorded.iter().flat_map(notes_of));
    if !quiet {
        count(&run);
    }
    let code = outputs.finish(&run, quiet)?;
    match recorded.and_then(|recorded| recorded.error) {
        Some(error) => Err(error.into()),
        None => Ok(code),
    }
}

impl Arguments {
    /// Leaves the process no files but those that the capture still needs.
    fn confine(&self) -> anyhow::Result<()> {
        let outputs = self.judging.db.iter().chain(self.write.iter().filter(|path| **path != Path::new("-")));
        let mut write: Vec<_> = outputs.map(|path| folder_of(path)).collect();
        write.push(std::env::temp_dir());
        write.push(folder_of(&live::socket_path()));
        let hierarchy = || live::mounts::find("cgroup2");
        write.extend(Some(()).filter(|()| !self.command.is_empty()).and_then(|()| hierarchy()));
        let packages = self.judging.packages.as_deref().unwrap_or(Path::new(PACKAGES_LIST));
        let read = self.judging.keylog.iter().map(|path| folder_of(path)).chain([folder_of(packages)]);
        let read = read.filter(|folder| folder.is_dir()).collect();
        say(confinement::confine(&Confinement { read, write })?.notes());
        Ok(())
    }

    /// What standard output shows.
    fn form(&self, begun: &Run, methods: &BTreeSet<crate::attribution::Method>) -> io::Result<Form> {
        let secrets = self.judging.secrets();
        Ok(match self.judging.format {
            Format::Text if self.writes_to_stdout() => Form::Nothing,
            Format::Text => Form::Live(Overview::default(), LiveLines::new(anstream::stdout())),
            Format::Json => Form::Log(FlowLog::new(secrets)?),
            Format::Jsonl => {
                let out = BufWriter::new(io::stdout());
                Form::Stream(LiveLog::new(begun, methods, secrets, out)?)
            }
        })
    }

    /// Whether the frames go to standard output, so that nothing else may.
    fn writes_to_stdout(&self) -> bool {
        self.write.as_deref() == Some(Path::new("-"))
    }

    /// How to record, if at all.
    fn recorder(
        &self,
        interfaces: Vec<InterfaceInfo>,
        is_android: bool,
    ) -> anyhow::Result<Option<RecorderOptions>> {
        let Some(path) = &self.write else { return Ok(None) };
        let system = rustix::system::uname();
        let words = [system.sysname(), system.release()].map(|word| word.to_string_lossy().into_owned());
        Ok(Some(RecorderOptions {
            rotation: Rotation { size: self.file_size, seconds: self.rotate_seconds, files: self.file_count },
            header: SectionHeader {
                hardware: Some(system.machine().to_string_lossy().into_owned()),
                system: Some(words.join(" ")),
                application: Some(format!("observer {}", env!("CARGO_PKG_VERSION"))),
                comment: None,
            },
            is_android,
            precision: match self.time_stamp_precision {
                Unit::Nano => Precision::Nano,
                Unit::Micro => Precision::Micro,
            },
            interfaces: (0..).zip(interfaces).collect(),
            ..RecorderOptions::new(path.clone(), now())
        }))
    }

    fn live_options(&self) -> LiveOptions {
        LiveOptions {
            interfaces: self.interface.clone(),
            snaplen: self.snapshot_length,
            buffer: self.buffer_size.saturating_mul(1024),
            immediate: self.immediate_mode,
            promiscuous: self.promiscuous,
            expression: self.expression.join(" "),
            count: self.count,
        }
    }
}

/// An address on which markers may be taken; a port alone is one of 127.0.0.1.
pub(super) fn loopback(text: &str) -> anyhow::Result<SocketAddrV4> {
    let address = match text.parse::<u16>() {
        Ok(port) => SocketAddrV4::new(Ipv4Addr::LOCALHOST, port),
        Err(_no_port) => text.parse().context("it is PORT or 127.0.0.1:PORT")?,
    };
    anyhow::ensure!(*address.ip() == Ipv4Addr::LOCALHOST, "markers are taken on 127.0.0.1 alone");
    Ok(address)
}

/// What there is to say of a recording.
fn notes_of(recorded: &RecorderSummary) -> Vec<String> {
    [
        (recorded.left_out, "frames of other owners, which were not recorded"),
        (recorded.early, "frames recorded before their owners could be known"),
        (recorded.markers_lost, "markers that are not in the recording"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{what}: {count}"))
    .chain(
        recorded
            .full
            .then(|| "recording ended before the capture: it had all the files it may have".to_owned()),
    )
    .collect()
}

fn say(notes: Vec<String>) {
    for note in notes {
        tracing::info!("{note}");
    }
}

/// The folder that a file lies in.
fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

fn input(interface: &InterfaceInfo) -> InputSummary {
    InputSummary {
        path: interface.name.clone(),
        format: "live".to_owned(),
        link_types: vec![interface.link_type],
        ..InputSummary::default()
    }
}

/// The line with which tcpdump ends, with what this program adds.
fn count(run: &Run) {
    let totals = &run.totals;
    let flows = totals.flows;
    let share = |part: u64| if flows == 0 { 0.0 } else { percent(part, flows) };
    anstream::eprintln!(
        "observer: {} frames, {} dropped by kernel, {flows} flows, {} unattributed ({:.1} %)",
        totals.frames,
        totals.dropped_by_kernel,
        totals.unattributed_flows,
        share(totals.unattributed_flows)
    );
}

#[expect(clippy::cast_precision_loss, reason = "a share for people")]
fn percent(part: u64, whole: u64) -> f64 {
    part as f64 * 100.0 / whole as f64
}

/// The interfaces, a line each, as tcpdump lists them.
fn list() -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    for (place, device) in devices()?.into_iter().enumerate() {
        let mut words = Vec::new();
        words.extend(device.up.then(|| "up".to_owned()));
        words.extend(device.running.then(|| "running".to_owned()));
        words.extend(device.loopback.then(|| "loopback".to_owned()));
        words.extend(device.addresses.iter().map(ToString::to_string));
        let description = device.description.map(|text| format!(" ({text})")).unwrap_or_default();
        writeln!(out, "{}.{}{description} [{}]", place.saturating_add(1), device.name, words.join(", "))?;
    }
    Ok(())
}
