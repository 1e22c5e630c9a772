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
use crate::source::live::{Live, LiveOptions, now};
use crate::source::{CaptureControl, ClockOffset, Marker, Source, SourceError, follow};

/// How often is looked for the first word on the device's clock.
const LOOK: Duration = Duration::from_millis(20);
/// How long a device may take to tell the time.
const ASK: Duration = Duration::from_secs(10);

/// Ends a capture of a device, and puts markers into it.
#[derive(Clone)]
pub enum DeviceControl {
    /// Of the agent on it.
    Agent(AgentControl),
    /// Of a file or pipe that the emulator writes, or of interfaces of this machine; and what to add to the device's time to
    /// have this machine's.
    Host(CaptureControl, Option<ClockOffset>),
}

impl Control for DeviceControl {
    fn stop(&self) {
        match self {
            Self::Agent(control) => control.stop(),
            Self::Host(control, _) => control.stop(),
        }
    }

    fn is_stopped(&self) -> bool {
        match self {
            Self::Agent(control) => control.state() == LinkState::Ended,
            Self::Host(control, _) => control.stopped(),
        }
    }

    /// Of somebody who speaks to this machine, whose clock stamped it.
    fn mark(&self, marker: Marker) {
        match self {
            Self::Agent(control) => control.mark(marker.remote()),
            Self::Host(control, _) => control.mark(marker),
        }
    }
}

impl DeviceControl {
    /// Puts a marker into it that the device's clock stamped: its log has those.
    pub fn mark_by_device(&self, marker: Marker) {
        match self {
            Self::Agent(control) => control.mark(marker),
            Self::Host(control, offset) => control.mark(marker.remote().corrected(*offset)),
        }
    }

    /// What to add to the time of the machine that did not stamp the frames to have that of the one that did: to this
    /// one's with an agent, to the device's without. Waits for the first measurement for `patience` at most.
    #[must_use]
    pub fn clock(&self, patience: Duration) -> Option<ClockOffset> {
        let control = match self {
            Self::Agent(control) => control,
            Self::Host(_, offset) => return *offset,
        };
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
            Self::Host(..) => Vec::new(),
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
        let offset = ahead(adb, &device.serial);
        if offset.is_none() {
            notes.push(
                "the device's clock cannot be read: its tests are taken to be stamped by this machine's"
                    .to_owned(),
            );
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
                (Box::new(source), control)
            }
            HostSource::Interfaces(names) => {
                let options = LiveOptions { interfaces: names.clone(), ..LiveOptions::default() };
                let (mut source, control) = Live::open(&options)?.start();
                source.before_end(before_end);
                (Box::new(source), control)
            }
        };
        Ok(Self { source, owners, control: DeviceControl::Host(control, offset), notes, watch })
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

/// By how much this machine's clock is ahead of the device's.
fn ahead(adb: &dyn Adb, serial: &str) -> Option<ClockOffset> {
    let asked = now();
    let output = adb.shell(serial, "date +%s.%N", ASK).ok()?;
    let answered = now();
    let device = seconds(output.text().trim())?;
    let half = answered.0.saturating_sub(asked.0) / 2;
    let offset_ns = asked.0.saturating_add(half).saturating_sub(device);
    Some(ClockOffset { offset_ns, error_ns: u64::try_from(half).ok() })
}

/// Nanoseconds since the Unix epoch, of `SECONDS.NANOSECONDS`.
fn seconds(text: &str) -> Option<i64> {
    let (seconds, nanoseconds) = text.split_once('.')?;
    if nanoseconds.len() != 9 || !nanoseconds.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    seconds.parse::<i64>().ok()?.checked_mul(1_000_000_000)?.checked_add(nanoseconds.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_devices_time_is_whole_or_none() {
        assert_eq!(seconds("1764190000.000000042"), Some(1_764_190_000_000_000_042));
        // A date without %N prints it as it is.
        for odd in
            ["1764190000.N", "1764190000.%N", "1764190000", "", "x.000000000", "99999999999999.000000000"]
        {
            assert_eq!(seconds(odd), None, "{odd}");
        }
    }
}
