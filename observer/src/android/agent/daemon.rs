//! The process that captures: it outlives links, and ends by itself.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use super::clock::{instant, now};
use super::folder::{AgentError, Place, Taken, remove_leftovers};
use super::outbox::Outbox;
use super::server::Server;
use super::spool::{Spool, SpoolLimits};
use super::wire::{DeviceHello, InterfaceCounts, VERSION, cut};
use crate::attribution::{AppDirectory, Attributors, Choice, Method, PackageWatch, attributors};
use crate::live::Session;
use crate::live::confinement::{Confinement, confine};
use crate::live::privileges::{self, Need, Target};
use crate::source::live::{Live, LiveOptions, LiveSource};
use crate::source::{FrameBatch, Source as _};

/// Bytes of messages that are held in memory. Buffers of frames may have as much room again that is not in use.
const MEMORY: usize = 16 << 20;
/// Bytes beyond those, for what is not frames.
const RESERVE: usize = 4 << 20;
/// Flows that began and that nobody has looked for yet.
const OPENED: usize = 16 << 10;
/// How often it is said what was counted.
const COUNT_EVERY: Duration = Duration::from_secs(1);
/// How often it is said that time goes on.
const UNTIL_EVERY: i64 = 250_000_000;

/// How an agent captures.
#[derive(Clone, Debug)]
pub struct AgentOptions {
    /// The session's name: 1 to 40 letters, digits, `-` and `_`.
    pub session: String,
    /// The folder in which the session has its own, while it lives.
    pub folder: PathBuf,
    /// What to capture.
    pub live: LiveOptions,
    /// How to find owners.
    pub attribution: Choice,
    /// The device's list of packages.
    pub packages: PathBuf,
    /// Bytes that the spool's file may have.
    pub spool: u64,
    /// How long the capture goes on without a host.
    pub linger: Duration,
}

/// How an agent's capture ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The host has everything.
    Delivered,
    /// Nobody was there to take the rest.
    Abandoned,
}

/// Captures for whoever connects to the session's socket, until the host says stop, a signal comes, or no host was there for
/// as long as [`AgentOptions::linger`] says. `ready` is called when the socket listens.
///
/// Everything that it made is gone when it returns; what killed agents left, too.
///
/// # Errors
/// When the session runs already, or when the capture cannot begin.
pub fn serve(options: &AgentOptions, ready: impl FnOnce()) -> Result<Ending, AgentError> {
    // Of a terminal or a shell that goes, this process is to hear nothing. It leads a group already where it is run by hand.
    let _ = rustix::process::setsid();
    let place = Place::new(&options.folder, &options.session)?;
    let mut notes = remove_leftovers(&options.folder);
    let (taken, listener) = place.take()?;
    let live = Live::open(&options.live)?;
    let Attributors { allowed, notes: refused } = attributors(options.attribution)?;
    notes.extend(refused);
    let needs = [Need::FollowInterfaces, Need::ReadProcesses, Need::ReadPackages, Need::WriteOutputs];
    // The environment says nothing of whom to become: on a device there is nobody else.
    privileges::lower(Target::choose(None, |_| None)?, &needs)?;

    let interfaces = live.interfaces();
    let hello = DeviceHello {
        version: VERSION,
        session: options.session.clone(),
        instance: instance(),
        kernel: kernel(),
        machine: rustix::system::uname().machine().to_string_lossy().into_owned(),
        page_size: u64::try_from(rustix::param::page_size()).unwrap_or(0),
        methods: allowed.iter().map(|attributor| attributor.method().to_string()).collect(),
        asks: allowed.iter().any(|attributor| attributor.method() != Method::Ebpf),
        notes: notes.into_iter().map(cut).collect(),
        interfaces: interfaces.iter().cloned().map(Into::into).collect(),
    };
    let spool_file = || -> Result<_, AgentError> {
        let failed = |source| AgentError::Io { path: taken.place().folder.display().to_string(), source };
        tempfile::tempfile_in(&taken.place().folder).map_err(failed)
    };
    let file = if options.spool > 0 { Some(spool_file()?) } else { None };
    let limits = SpoolLimits { memory: MEMORY, reserve: RESERVE, file: options.spool };
    let outbox = Outbox::new(Spool::new(limits, file), interfaces.len());
    let mut watch = PackageWatch::new(&options.packages);
    let session = Session {
        live,
        attributors: allowed,
        apps: AppDirectory::default(),
        apps_watch: Some(Box::new(move || watch.changed())),
        command: None,
        socket: Some(taken.place().marks()),
        endpoint: None,
    };
    let (opened, begun) = sync_channel(OPENED);
    let confined = || confined(options);
    let (mut source, rest) = session.start_for::<AgentError>(outbox.clone(), begun, confined)?;
    let server = Server::new(outbox.clone(), hello, opened);
    let links = server.clone();
    std::thread::spawn(move || links.run(&listener));
    ready();

    let stop = rest.control.clone();
    let captured = capture(&mut source, &server, options.linger, || stop.stop());
    for note in rest.join() {
        outbox.note(note);
    }
    if let Err(error) = captured.outcome {
        outbox.note(format!("the capture ended early: {error}"));
    }
    outbox.count(counts(&source), server.unasked.load(Ordering::Relaxed));
    outbox.end(captured.frames);
    let delivered = !captured.abandoned && outbox.wait_until_done(options.linger);
    finish(taken, &server);
    Ok(if delivered { Ending::Delivered } else { Ending::Abandoned })
}

/// The folder goes before the link: a relay that finds it gone knows that this was the end.
fn finish(taken: Taken, server: &Server) {
    drop(taken);
    server.close();
}

/// What came of the capture.
struct Captured {
    frames: u64,
    abandoned: bool,
    outcome: Result<(), crate::source::SourceError>,
}

/// Puts frames into the outbox until the capture ends.
fn capture(source: &mut LiveSource, server: &Server, linger: Duration, stop: impl Fn()) -> Captured {
    let mut captured = Captured { frames: 0, abandoned: false, outcome: Ok(()) };
    let (mut counted, mut known) = (instant(), None);
    let mut said = 0;
    loop {
        let mut batch = match source.next_batch() {
            Ok(Some(batch)) => batch,
            Ok(None) => return captured,
            Err(error) => {
                captured.outcome = Err(error);
                return captured;
            }
        };
        captured.frames =
            captured.frames.saturating_add(u64::try_from(batch.frames.len()).unwrap_or(u64::MAX));
        batch.until = batch.until.filter(|until| until.0.saturating_sub(said) >= UNTIL_EVERY);
        said = batch.until.map_or(said, |until| until.0);
        if batch.until.is_some() || !is_empty(&batch) {
            server.outbox.batch(&batch);
        }
        if counted.elapsed() >= COUNT_EVERY {
            counted = instant();
            let counts = (counts(source), server.unasked.load(Ordering::Relaxed));
            if known.as_ref() != Some(&counts) {
                server.outbox.count(counts.0.clone(), counts.1);
                known = Some(counts);
            }
        }
        if server.outbox.is_stopped() {
            stop();
        }
        if server.outbox.is_abandoned(linger) {
            captured.abandoned = true;
            stop();
        }
    }
}

fn is_empty(batch: &FrameBatch) -> bool {
    batch.frames.is_empty() && batch.metadata.is_empty()
}

fn counts(source: &LiveSource) -> Vec<InterfaceCounts> {
    let inputs = source.inputs().into_iter();
    inputs
        .map(|input| InterfaceCounts {
            dropped: input.dropped.unwrap_or(0),
            damages: input.damages,
            reason: input.damage.into_iter().last().map(|damage| cut(damage.reason)),
        })
        .collect()
}

/// Leaves the threads that touch frames and links no files but those of the session and the list of packages.
fn confined(options: &AgentOptions) -> Result<(), AgentError> {
    let packages = options.packages.parent().filter(|folder| folder.is_dir());
    let confinement = Confinement {
        read: packages.map(std::path::Path::to_path_buf).into_iter().collect(),
        write: vec![options.folder.clone()],
    };
    confine(&confinement)?;
    Ok(())
}

/// A number that no other daemon has: its own, and the time.
fn instance() -> u64 {
    let time = now().0.unsigned_abs();
    time.rotate_left(16) ^ u64::from(std::process::id())
}

fn kernel() -> String {
    let system = rustix::system::uname();
    format!("{} {}", system.sysname().to_string_lossy(), system.release().to_string_lossy())
}
