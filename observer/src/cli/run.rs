//! `observer run`: a test on a device, watched from its host.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, BufWriter};
use std::net::{SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use tempfile::TempDir;

use super::capture::{Method, loopback};
use super::judging::{Format, Judging};
use super::outputs::{Form, Outputs};
use super::{USAGE, now};
use crate::android::adb::{Adb, SpawnedAdb, choose, find_adb, quote};
use crate::android::agent::{Client, ClientOptions};
use crate::android::capture::{DeviceControl, HostCapture, HostSource, polled_note};
use crate::android::command::TestCommand;
use crate::android::device::{Device, Placed, RemotePath, Root, agent_for, ensure_agent, leftovers};
use crate::android::link::{LogFollower, links};
use crate::attribution::{self, LiveOwners, Owner};
use crate::live::{self, Control as _, SetMarker};
use crate::pipeline::{self, Options};
use crate::report::Run;
use crate::report::json::{FlowLog, LiveLog};
use crate::report::overview::Overview;
use crate::report::plain::plain;
use crate::source::{self, Source};
use crate::time::Timestamp;

/// Run tests on a device and judge what its apps send meanwhile
///
/// Puts an agent on the device, captures while the command behind `--` runs, or until Ctrl-C, takes the tests from the
/// device's log, ends the agent, and says for each app and each test what was sent and what that breaks.
#[derive(clap::Args)]
#[command(after_help = AFTER, override_usage = "observer run [OPTIONS] [-- COMMAND...]")]
pub(super) struct Arguments {
    /// The command that runs the tests, on this machine; without one the run lasts until Ctrl-C
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
    /// The app under test; can be repeated. Others are shown, and not judged [default: those of the policy, or all]
    #[arg(long, value_name = "NAME")]
    package: Vec<String>,
    /// The device [default: ANDROID_SERIAL, or the only one]
    #[arg(short, long, value_name = "SERIAL")]
    serial: Option<String>,
    /// Android's client [default: that of the SDK, or on the path]
    #[arg(long, value_name = "FILE")]
    adb: Option<PathBuf>,
    /// The observer that is put on the device [default: the one that was built for its processor]
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
    /// Where to capture
    #[arg(long, value_name = "WHERE", default_value = "device")]
    capture: Where,
    /// Interface to capture on, of the device or of this machine; can be repeated [default: all]
    #[arg(short, long, value_name = "NAME")]
    interface: Vec<String>,
    /// With --capture host: what the emulator writes (`-tcpdump FILE`, a file or a pipe), or netsim
    #[arg(long, value_name = "FILE", conflicts_with = "interface")]
    tcpdump: Option<PathBuf>,
    /// How to find out whose a flow is; `auto` takes the strongest that the device allows
    #[arg(long, value_name = "METHOD", default_value = "auto")]
    attribution: Method,
    /// Where markers are taken over HTTP (`POST /mark`), on the loopback interface
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0", value_parser = loopback)]
    mark_listen: SocketAddrV4,
    /// How long the agent captures on when it loses this machine
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    linger: u64,
    /// Write every form of the report into this folder: report.html, report.sarif, report.xml (JUnit), report.md, report.json
    #[arg(long, value_name = "FOLDER")]
    report: Option<PathBuf>,
    #[command(flatten)]
    judging: Judging,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Where {
    /// On the device, by an agent: every flow with its app. Takes root there
    Device,
    /// On this machine: owners are asked for over adb, and short flows have none
    Host,
}

const AFTER: &str = "\
The command gets ANDROID_SERIAL, and OBSERVER_MARK_URL for markers of its own; what it
writes goes to standard error. When it fails the run is inconclusive: what it did
not come to was not seen.

Examples:
  observer run --package com.example.shop -- ./gradlew connectedCheck
  observer run --package com.example.shop --db run.db --report out/ -- ./ui-test.sh
  observer run --db run.db --baseline last.db -- adb shell am instrument -w -r \\
      com.example.shop.test/androidx.test.runner.AndroidJUnitRunner
  observer run --capture host --tcpdump wifi.pcap --package com.example.shop";

/// How long to wait for the first word on the device's clock.
const CLOCK: Duration = Duration::from_secs(3);

pub(super) fn run(arguments: &Arguments, quiet: bool) -> anyhow::Result<ExitCode> {
    if arguments.capture == Where::Host && arguments.tcpdump.is_none() && arguments.interface.is_empty() {
        let error = "--capture host needs --tcpdump FILE (what the emulator writes) or --interface NAME";
        super::complain(&anyhow::anyhow!(error));
        return Ok(ExitCode::from(USAGE));
    }
    // Reports are made from a database; one that nobody asked for goes when they are there.
    let room = arguments.report.as_ref().map(|_| TempDir::new()).transpose()?;
    let mut judging = arguments.judging.clone();
    if let (Some(room), None) = (&room, &judging.db) {
        judging.db = Some(room.path().join("run.db"));
    }
    let mut options = judging.options()?;
    if !arguments.package.is_empty() {
        options.policy.scope.apps.clone_from(&arguments.package);
    }
    let adb: Arc<dyn Adb> = Arc::new(SpawnedAdb::new(find_adb(arguments.adb.as_deref())?));
    let listed = adb.devices()?;
    let named = std::env::var("ANDROID_SERIAL").ok().filter(|serial| !serial.is_empty());
    let chosen = choose(&listed, arguments.serial.as_deref().or(named.as_deref()))?;
    chosen.ready()?;
    let mut device = Device::ask(adb.as_ref(), &chosen.serial)?;
    let way = Way { adb: Arc::clone(&adb), quiet, begun: now() };
    let begun = match arguments.capture {
        Where::Device => way.on_device(arguments, &mut device)?,
        Where::Host => way.on_host(arguments, &mut device)?,
    };
    way.watch(arguments, &judging, options, &device, begun)
}

/// A capture that runs on the device or here.
struct Begun {
    source: Box<dyn Source>,
    owners: Arc<LiveOwners>,
    control: DeviceControl,
    /// How owners are found.
    methods: BTreeSet<attribution::Method>,
    /// Where the agent lies on the device, if it is one that captures.
    agent: Option<RemotePath>,
    /// Why the device's tables were read no longer, if they are what knows owners.
    tables: Option<JoinHandle<Vec<String>>>,
    /// What it began with, to be said in the report.
    notes: Vec<String>,
    /// In words.
    what: String,
}

/// The way to a device, and how much is said of it.
struct Way {
    adb: Arc<dyn Adb>,
    quiet: bool,
    /// When the run began, by this machine's clock.
    begun: Timestamp,
}

impl Way {
    fn say(&self, words: &str) {
        if !self.quiet {
            anstream::eprintln!("observer: {}", plain(words));
        }
    }

    fn on_device(&self, arguments: &Arguments, device: &mut Device) -> anyhow::Result<Begun> {
        let adb = self.adb.as_ref();
        let agent = agent_for(device, arguments.agent.as_deref())?;
        device.become_root(adb)?;
        if let Root::None { reason } = &device.root {
            bail!(
                "{} gives no root: {reason}; an agent cannot capture there. Take a google_apis image or a rooted device, or \
                 capture on this machine (--capture host)",
                device.serial
            );
        }
        let Placed { path, copied } = ensure_agent(adb, device, &agent, &mut |_, _| {})?;
        if copied {
            self.say(&format!("the agent was put on {} as {path}", device.serial));
        }
        let mut words = vec![path.to_string(), "agent".to_owned(), "--session".to_owned(), session_name()];
        for interface in &arguments.interface {
            words.extend(["--interface".to_owned(), quote(interface)]);
        }
        words.extend(["--attribution".to_owned(), arguments.attribution.word().to_owned()]);
        words.extend(["--linger".to_owned(), arguments.linger.to_string()]);
        let command = device.root.command(&words.join(" ")).context("root was lost")?;
        let links = links(Arc::clone(&self.adb), device.serial.clone(), command);
        let options = ClientOptions {
            name: device.serial.clone(),
            give_up_after: Duration::from_secs(arguments.linger),
            ..ClientOptions::default()
        };
        let client = Client::connect(links, &options)
            .with_context(|| format!("the agent on {} does not capture", device.serial))?;
        let known = [attribution::Method::Ebpf, attribution::Method::SockDiag, attribution::Method::Procfs];
        let looks = |method: &attribution::Method| client.hello.methods.contains(&method.to_string());
        Ok(Begun {
            source: Box::new(client.source),
            owners: client.owners,
            control: DeviceControl::Agent(client.control),
            methods: known.into_iter().filter(looks).collect(),
            agent: Some(path),
            tables: None,
            notes: Vec::new(),
            what: format!("on {}", device.serial),
        })
    }

    fn on_host(&self, arguments: &Arguments, device: &mut Device) -> anyhow::Result<Begun> {
        // Apps' sockets are shown to root alone since Android 10. Without it what is possible is done.
        device.become_root(self.adb.as_ref())?;
        let source = match &arguments.tcpdump {
            Some(path) => HostSource::File(path.clone()),
            None => HostSource::Interfaces(arguments.interface.clone()),
        };
        let capture = HostCapture::begin(self.adb.as_ref(), device, &source)?;
        Ok(Begun {
            source: capture.source,
            owners: capture.owners,
            control: capture.control,
            methods: [attribution::Method::Procfs].into(),
            agent: None,
            tables: Some(capture.watch),
            notes: capture.notes,
            what: format!("{source} for {}", device.serial),
        })
    }

    /// Analyses while the command runs, and says what came of it.
    fn watch(
        &self,
        arguments: &Arguments,
        judging: &Judging,
        mut options: Options,
        device: &Device,
        begun: Begun,
    ) -> anyhow::Result<ExitCode> {
        let Begun { mut source, owners, control, methods, agent, tables, notes, what } = begun;
        options.clock_offset = control.clock(CLOCK);
        let around =
            self.surround(arguments, judging, device, &control, || form(judging, source.as_ref(), &methods));
        let Around { mut outputs, log, attendance, address, process } = match around {
            Ok(around) => around,
            Err(error) => {
                // The agent ends now, and not when it has waited long enough for somebody.
                control.stop();
                while let Ok(Some(_)) = source.next_batch() {}
                return Err(error);
            }
        };
        if arguments.capture == Where::Host {
            // This machine's interfaces show it.
            options.own_endpoints = vec![address];
        }
        self.say(&format!("capturing {what}; markers are taken at {}", mark_url(address)));
        options.live = Some(owners);
        let source = source::with_key_logs(source, &judging.keylog)?;
        let analyzed = pipeline::analyze(source, &options, &mut outputs.sinks(), &mut |_, _| {});
        control.stop();
        let (heard, exit) = attendance.finish();
        let mut said = notes;
        said.extend(heard);
        if let (Some(process), None) = (process, &exit) {
            said.extend(told_to_end(process));
        }
        said.extend(log.finish());
        said.extend(control.notes());
        said.extend(tables.and_then(|thread| thread.join().ok()).unwrap_or_default());
        said.extend(agent.and_then(|agent| self.left(device, &agent)).unwrap_or_default());
        let mut run = analyzed?;
        if arguments.capture == Where::Host {
            said.extend(polled_note(run.totals.unattributed_flows, run.totals.flows));
        }
        said.iter().for_each(|note| self.say(note));
        run.assessment.notes.extend(said);
        doubt(&mut run, exit, &arguments.package);
        let code = outputs.finish(&run, self.quiet)?;
        if let (Some(folder), Some(database)) = (&arguments.report, &judging.db) {
            super::report::write_reports(database, judging.fail_on(), folder)?;
            self.say(&format!("the reports are in {}", folder.display()));
        }
        Ok(code)
    }

    /// Begins what goes on beside the capture: the outputs, the device's log, the command, and whatever is heard.
    fn surround<'a>(
        &self,
        arguments: &Arguments,
        judging: &'a Judging,
        device: &Device,
        control: &DeviceControl,
        form: impl FnOnce() -> io::Result<Form>,
    ) -> anyhow::Result<Around<'a>> {
        let outputs = Outputs::begin(judging, form()?)?;
        let endpoint = live::Endpoint::bind(arguments.mark_listen)?;
        let address = endpoint.address();
        let (by_device, by_host) = (control.clone(), control.clone());
        let command =
            arguments.command(&device.serial, address, Arc::new(move |marker| by_host.mark(marker)))?;
        let process = command.as_ref().map(TestCommand::id);
        let command = command.map(|command| -> live::Ends { Box::new(move || command.wait()) });
        let attendance = live::attend(control, Some(&live::socket_path()), Some(endpoint), command)?;
        // What the device's log has of before is no test of this run.
        let begin = match control {
            DeviceControl::Agent(_) => control.clock(Duration::ZERO).map_or(0, |offset| offset.offset_ns),
            _ => control.clock(Duration::ZERO).map_or(0, |offset| offset.offset_ns.saturating_neg()),
        };
        let begin = Timestamp(self.begun.0.saturating_add(begin));
        let mark: SetMarker = Arc::new(move |marker| by_device.mark_by_device(marker));
        let log = LogFollower::start(Arc::clone(&self.adb), device.serial.clone(), begin, mark);
        Ok(Around { outputs, log, attendance, address, process })
    }

    /// What is left on the device that ought not to be.
    fn left(&self, device: &Device, agent: &RemotePath) -> Option<Vec<String>> {
        match leftovers(self.adb.as_ref(), device, Some(agent)) {
            Ok(left) => Some(left),
            Err(error) => {
                Some(vec![format!("whether anything is left on the device cannot be seen: {error}")])
            }
        }
    }
}

/// What goes on beside a capture.
struct Around<'a> {
    outputs: Outputs<'a>,
    log: LogFollower,
    attendance: live::Attendance,
    /// Where markers are taken over HTTP.
    address: SocketAddr,
    /// The command's process.
    process: Option<u32>,
}

/// Ends a command that outlives what it was to be observed by: the device is gone, or somebody ended the run.
fn told_to_end(process: u32) -> Option<String> {
    let process = i32::try_from(process).ok().and_then(rustix::process::Pid::from_raw)?;
    // Nobody has waited for it yet, so that the number is still its own.
    rustix::process::kill_process(process, rustix::process::Signal::TERM).ok()?;
    Some("the command still ran, and was told to end".to_owned())
}

/// Where markers are posted to.
fn mark_url(address: SocketAddr) -> String {
    format!("http://{address}/mark")
}

impl Arguments {
    /// The command, which runs from now on.
    fn command(
        &self,
        serial: &str,
        address: SocketAddr,
        mark: SetMarker,
    ) -> anyhow::Result<Option<TestCommand>> {
        let Some(program) = self.command.first() else { return Ok(None) };
        let variables = [("ANDROID_SERIAL", serial.to_owned()), ("OBSERVER_MARK_URL", mark_url(address))];
        let command = TestCommand::spawn(&self.command, &variables, mark)
            .with_context(|| format!("cannot run {}", program.to_string_lossy()))?;
        Ok(Some(command))
    }
}

/// What keeps a run without findings from being clean, beside what the traffic itself says.
fn doubt(run: &mut Run, exit: Option<io::Result<ExitStatus>>, packages: &[String]) {
    let is = |owner: &Owner, package: &String| {
        owner.package.as_ref() == Some(package) || owner.packages.contains(package)
    };
    let sent = |package: &String| {
        let owners = run.assessment.verdicts.iter().filter_map(|verdict| verdict.owner.as_deref());
        owners.into_iter().any(|owner| is(owner, package))
    };
    let failed = match exit {
        Some(Ok(status)) if !status.success() => Some(format!("the command ended with {status}")),
        Some(Err(error)) => Some(format!("how the command ended is unknown: {error}")),
        _ => None,
    };
    let silent = packages.iter().find(|package| !sent(package));
    let reason = failed
        .map(|failed| format!("{failed}: what it did not come to was not seen"))
        .or_else(|| silent.map(|package| format!("{package} sent nothing")));
    if let (Some(reason), None) = (reason, &run.assessment.inconclusive) {
        run.assessment.inconclusive = Some(reason);
    }
}

/// What standard output shows.
fn form(judging: &Judging, source: &dyn Source, methods: &BTreeSet<attribution::Method>) -> io::Result<Form> {
    Ok(match judging.format {
        Format::Text => Form::Text(Overview::default()),
        Format::Json => Form::Log(FlowLog::new(judging.secrets())?),
        Format::Jsonl => {
            let begun = Run { inputs: source.inputs(), ..Run::default() };
            Form::Stream(LiveLog::new(&begun, methods, judging.secrets(), BufWriter::new(io::stdout()))?)
        }
    })
}

/// A name that no other run has.
fn session_name() -> String {
    format!("{:x}-{}", now().0, std::process::id())
}
