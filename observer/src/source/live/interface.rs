//! One interface: opened through libpcap, read by a thread of its own.

use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pcap::{Active, Capture, Linktype, Precision};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::outbound::Outbound;
use super::{LiveOptions, lock, now};
use crate::source::{
    FrameBatch, FrameRecord, InputSummary, InterfaceIndex, InterfaceInfo, LinkType, SourceError,
};
use crate::time::Timestamp;

/// Frames of a batch at most.
const BATCH: usize = 4096;
/// Bytes from which a batch is handed on.
const BLOCK: usize = 1 << 20;
/// How long to wait for a frame before looking whether to end.
const WAIT: Duration = Duration::from_millis(100);
/// How long the kernel gathers frames into a block, at most, where it does not hand over each at once.
const GATHER: Duration = Duration::from_millis(10);
/// For how long frames are still read when the end has come and they keep coming, in nanoseconds.
const DRAIN: i64 = 500_000_000;
/// How often the kernel's counters are read, in nanoseconds.
const COUNT_EVERY: i64 = 1_000_000_000;
/// LINKTYPE_LINUX_SLL2, which names the interface of each frame.
const SLL2: Linktype = Linktype(276);

/// An interface that may be captured on.
#[derive(Clone, Debug)]
pub struct Device {
    /// Its name.
    pub name: String,
    /// What libpcap says of it.
    pub description: Option<String>,
    /// Its addresses.
    pub addresses: Vec<std::net::IpAddr>,
    /// Whether it is up.
    pub up: bool,
    /// Whether it is connected and running.
    pub running: bool,
    /// Whether it leads back to this host.
    pub loopback: bool,
}

/// The interfaces that may be captured on, as libpcap lists them.
///
/// # Errors
/// When libpcap cannot list them.
pub fn devices() -> Result<Vec<Device>, SourceError> {
    let failed = |error| SourceError::Interface { name: "any".to_owned(), reason: reason(error) };
    let devices = pcap::Device::list().map_err(failed)?;
    Ok(devices
        .into_iter()
        .map(|device| Device {
            addresses: device.addresses.iter().map(|address| address.addr).collect(),
            up: device.flags.is_up(),
            running: device.flags.is_running(),
            loopback: device.flags.is_loopback(),
            name: device.name,
            description: device.desc,
        })
        .collect())
}

/// An interface whose ring fills.
pub(super) struct Opened {
    capture: Capture<Active>,
    info: InterfaceInfo,
    outbound: Outbound,
}

/// What was read from an interface so far.
pub(super) struct Reading {
    pub(super) summary: InputSummary,
    pub(super) bytes: u64,
    received: u64,
    dropped: u64,
    /// The kernel's counters at the last look: they wrap at 32 bits.
    last: (u32, u32),
}

impl Reading {
    pub(super) fn new(opened: &Opened) -> Self {
        let summary = InputSummary {
            path: opened.info.name.clone(),
            format: "live".to_owned(),
            link_types: vec![opened.info.link_type],
            dropped: Some(0),
            ..InputSummary::default()
        };
        Self { summary, bytes: 0, received: 0, dropped: 0, last: (0, 0) }
    }

    /// Counts a frame that is handed on.
    pub(super) fn frame(&mut self, record: &FrameRecord) {
        let summary = &mut self.summary;
        summary.frames = summary.frames.saturating_add(1);
        summary.first = Some(summary.first.map_or(record.timestamp, |first| first.min(record.timestamp)));
        summary.last = Some(summary.last.map_or(record.timestamp, |last| last.max(record.timestamp)));
        self.bytes =
            self.bytes.saturating_add(u64::from(record.range.end.saturating_sub(record.range.start)));
    }

    /// Frames that the kernel took, and those that it dropped for want of room.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.received, self.dropped)
    }

    fn count(&mut self, received: u32, dropped: u32) {
        let (last_received, last_dropped) = std::mem::replace(&mut self.last, (received, dropped));
        self.received = self.received.saturating_add(received.wrapping_sub(last_received).into());
        self.dropped = self.dropped.saturating_add(dropped.wrapping_sub(last_dropped).into());
        self.summary.dropped = Some(self.dropped);
    }
}

impl Opened {
    pub(super) fn new(name: &str, options: &LiveOptions) -> Result<Self, SourceError> {
        let failed = |error| SourceError::Interface { name: name.to_owned(), reason: reason(error) };
        let device = devices()?.into_iter().find(|device| device.name == name);
        let Some(device) = device else {
            let reason = "there is no such interface; `observer capture -D` lists them".to_owned();
            return Err(SourceError::Interface { name: name.to_owned(), reason });
        };
        let size = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
        let mut capture = Capture::from_device(name)
            .map_err(failed)?
            .promisc(options.promiscuous)
            .snaplen(size(options.snaplen))
            .buffer_size(size(options.buffer))
            .immediate_mode(options.immediate)
            .timeout(size(u32::try_from(GATHER.as_millis()).unwrap_or(10)))
            .precision(Precision::Nano)
            .open()
            .map_err(failed)?;
        let offered = capture.list_datalinks().unwrap_or_default();
        if name == "any" && offered.contains(&SLL2) {
            capture.set_datalink(SLL2).map_err(failed)?;
        }
        if !options.expression.is_empty() {
            capture.filter(&options.expression, true).map_err(|error| SourceError::Filter {
                expression: options.expression.clone(),
                reason: reason(error),
            })?;
        }
        let capture = capture.setnonblock().map_err(failed)?;
        let link_type = link_type(capture.get_datalink());
        let filter = Some(options.expression.clone()).filter(|expression| !expression.is_empty());
        let info = InterfaceInfo { name: name.to_owned(), link_type, snaplen: options.snaplen, filter };
        let outbound = Outbound::new(&device, link_type);
        Ok(Self { capture, info, outbound })
    }

    pub(super) fn info(&self) -> InterfaceInfo {
        self.info.clone()
    }

    /// Hands on frames until told to stop, or until the interface goes away.
    pub(super) fn read(
        mut self,
        interface: InterfaceIndex,
        state: &Arc<Mutex<Reading>>,
        to_source: &SyncSender<FrameBatch>,
        stop: &AtomicBool,
    ) {
        let mut counted = Timestamp(0);
        loop {
            // What the kernel has when the end comes is still read: so look first, then read.
            let last = stop.load(Ordering::Acquire);
            if !last {
                self.wait();
            }
            let deadline = Timestamp(now().0.saturating_add(DRAIN));
            let ended = loop {
                match self.batch(interface) {
                    Ok(None) => break last,
                    Ok(Some(batch)) => {
                        if to_source.send(batch).is_err() {
                            break true;
                        }
                    }
                    Err((batch, error)) => {
                        let _ = to_source.send(batch);
                        lock(state).fail(error);
                        break true;
                    }
                }
                if last && now() > deadline {
                    break true;
                }
            };
            let time = now();
            if ended || time.0.saturating_sub(counted.0) >= COUNT_EVERY {
                counted = time;
                if let Ok(stat) = self.capture.stats() {
                    lock(state).count(stat.received, stat.dropped.wrapping_add(stat.if_dropped));
                }
            }
            if ended {
                return;
            }
        }
    }

    /// Waits until there is a frame, at most [`WAIT`].
    fn wait(&self) {
        let fd = self.capture.as_fd();
        let wait = Timespec { tv_sec: 0, tv_nsec: i64::from(WAIT.subsec_nanos()) };
        // Whatever ends the wait, reading says what is the matter.
        let _ = poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&wait));
    }

    /// The frames that the kernel has; `None` when it has none.
    fn batch(&mut self, interface: InterfaceIndex) -> Result<Option<FrameBatch>, (FrameBatch, String)> {
        let mut bytes = Vec::new();
        let mut frames = Vec::new();
        let mut failure = None;
        while frames.len() < BATCH && bytes.len() < BLOCK {
            let packet = match self.capture.next_packet() {
                Ok(packet) => packet,
                Err(pcap::Error::TimeoutExpired | pcap::Error::NoMorePackets) => break,
                Err(error) => {
                    failure = Some(reason(error));
                    break;
                }
            };
            let start = bytes.len();
            bytes.extend_from_slice(packet.data);
            let place = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
            frames.push(FrameRecord {
                number: 0,
                // The crate keeps libpcap's nanoseconds in the field for microseconds.
                timestamp: Timestamp::new(packet.header.ts.tv_sec, packet.header.ts.tv_usec),
                link_type: self.info.link_type,
                interface,
                original_len: packet.header.len.max(packet.header.caplen),
                buffer: 0,
                range: place(start)..place(bytes.len()),
                annotations: self.outbound.direction(packet.data),
            });
        }
        let empty = frames.is_empty();
        let batch = FrameBatch { buffers: vec![Arc::new(bytes)], frames, ..FrameBatch::default() };
        match failure {
            Some(failure) => Err((batch, failure)),
            None => Ok((!empty).then_some(batch)),
        }
    }
}

/// libpcap's number for a link type to the one that files have: a few of the oldest differ.
fn link_type(dlt: Linktype) -> LinkType {
    LinkType(match dlt.0 {
        11 => 100,
        12 | 14 => 101,
        19 => 106,
        same => u16::try_from(same).unwrap_or(u16::MAX),
    })
}

fn reason(error: pcap::Error) -> String {
    match error {
        pcap::Error::PcapError(reason)
            if reason.contains("permission") || reason.contains("not permitted") =>
        {
            format!("{reason}; capturing takes root or CAP_NET_RAW")
        }
        pcap::Error::PcapError(reason) => reason,
        other => other.to_string(),
    }
}
