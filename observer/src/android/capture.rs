//! A capture of a device's traffic that runs: by the agent on it, or on this machine.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use super::adb::Adb;
use super::agent::{AgentControl, LinkState};
use super::device::Device;
use super::tables::DeviceTables;
use crate::attribution::{AppDirectory, Attributor, LiveOwners};
use crate::live::{Control, OwnersWatch};
use crate::source::live::{Live, LiveControl, LiveOptions};
use crate::source::{ClockOffset, FollowControl, Marker, Source, SourceError, follow};
use crate::time::Timestamp;

/// How often is looked for the first word on the device's clock.
const LOOK: Duration = Duration::from_millis(20);

/// Ends a capture of a device, and puts markers into it.
#[derive(Clone)]
pub enum DeviceControl {
    /// Of the agent on it.
    Agent(AgentControl),
    /// Of a file or pipe that the emulator writes.
    File(FollowControl),
    /// Of interfaces of this machine.
    Interfaces(LiveControl),
}

impl Control for DeviceControl {
    fn stop(&self) {
        match self {
            Self::Agent(control) => control.stop(),
            Self::File(control) => control.stop(),
            Self::Interfaces(control) => control.stop(),
        }
    }

    fn is_stopped(&self) -> bool {
        match self {
            Self::Agent(control) => control.state() == LinkState::Ended,
            Self::File(control) => control.stopped(),
            Self::Interfaces(control) => control.stopped(),
        }
    }

    fn mark(&self, marker: Marker) {
        match self {
            Self::Agent(control) => control.mark(marker),
            // The frames are stamped by this machine, as the markers are.
            Self::File(control) => control.mark(marker.corrected(None)),
            Self::Interfaces(control) => control.mark(marker.corrected(None)),
        }
    }
}

impl DeviceControl {
    /// What to add to this machine's time to have that of the frames; waits for the first measurement for `patience` at most.
    #[must_use]
    pub fn clock(&self, patience: Duration) -> Option<ClockOffset> {
        let Self::Agent(control) = self else { return None };
        let mut waited = Duration::ZERO;
        while control.clock().is_none() && waited < patience && control.state() != LinkState::Ended {
            sleep(LOOK);
            waited = waited.saturating_add(LOOK);
        }
        control.clock()
    }

    /// What there is to say of it so far.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        match self {
            Self::Agent(control) => control.notes(),
            Self::File(_) | Self::Interfaces(_) => Vec::new(),
        }
    }
}

/// What a capture on this machine reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostSource {
    /// What the emulator (`-tcpdump FILE`), netsim or another recorder writes: a file that grows, or a pipe.
    File(PathBuf),
    /// Interfaces of this machine.
    Interfaces(Vec<String>),
}

impl fmt::Display for HostSource {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(out, "what is written to {}", path.display()),
            Self::Interfaces(names) => write!(out, "on {}", names.join(", ")),
        }
    }
}

/// A capture on this machine that runs, with the device's socket tables beside it.
pub struct HostCapture {
    /// Its frames.
    pub source: Box<dyn Source>,
    /// Its owners, as far as the device's tables tell in time.
    pub owners: Arc<LiveOwners>,
    /// To end it.
    pub control: DeviceControl,
    /// What is missing from the start.
    pub notes: Vec<String>,
    /// Why the tables were read no longer, once it has ended.
    pub watch: JoinHandle<Vec<String>>,
}

impl HostCapture {
    /// Begins to capture, and to ask `device` for the owners of what is seen. Nothing is put on the device.
    ///
    /// # Errors
    /// When there is nothing to capture from. That the device does not tell owners is noted.
    pub fn begin(adb: &dyn Adb, device: &Device, from: &HostSource) -> Result<Self, SourceError> {
        let mut notes = Vec::new();
        let apps = device.packages(adb).unwrap_or_else(|error| {
            notes.push(format!("the device's apps are not known: {error}"));
            AppDirectory::default()
        });
        let mut attributors: Vec<Box<dyn Attributor>> = Vec::new();
        let as_root = |command: &str| device.root.command(command).unwrap_or_else(|| command.to_owned());
        match DeviceTables::open(adb, &device.serial, as_root) {
            Ok(tables) => attributors.push(Box::new(tables)),
            Err(error) => notes.push(format!("{error}: no flow has an owner")),
        }
        let (owners, begun) = LiveOwners::new(apps);
        let owners = Arc::new(owners);
        let (before_end, watch) = OwnersWatch::begin(attributors, Arc::clone(&owners), begun).before_end();
        let (source, control): (Box<dyn Source>, _) = match from {
            HostSource::File(path) => {
                let mut control = None;
                let mut source = follow(path, |given| control = Some(given))?;
                source.before_end(before_end);
                let control =
                    control.ok_or_else(|| SourceError::Empty { path: path.display().to_string() })?;
                (Box::new(source), DeviceControl::File(control))
            }
            HostSource::Interfaces(names) => {
                let options = LiveOptions { interfaces: names.clone(), ..LiveOptions::default() };
                let (mut source, control) = Live::open(&options)?.start();
                source.before_end(before_end);
                (Box::new(source), DeviceControl::Interfaces(control))
            }
        };
        Ok(Self { source, owners, control, notes, watch })
    }
}

/// How much the stronger way knows: what is said of a run whose owners were polled.
#[must_use]
pub fn polled_note(unattributed: u64, flows: u64) -> Option<String> {
    (unattributed > 0).then(|| {
        format!(
            "{unattributed} of {flows} flows have no owner: their sockets were gone before the device's tables were read. The agent \
             on the device (--capture device) sees the owner with the first packet of each flow"
        )
    })
}

/// The time of the device's clock at `now` of this machine's.
#[must_use]
pub fn device_time(now: Timestamp, offset: Option<ClockOffset>) -> Timestamp {
    Timestamp(now.0.saturating_add(offset.map_or(0, |offset| offset.offset_ns)))
}
