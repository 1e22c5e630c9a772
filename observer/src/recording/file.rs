//! One capture file: what it has been told, so that each packet finds its interface and its app described.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::output::Output;
use super::owners::Described;
use super::pcapng::{BlockWriter, InterfaceBlock, PacketBlock, StatisticsBlock};
use super::{RecorderOptions, RecordingError};
use crate::source::{Frame, InterfaceIndex, InterfaceInfo, LinkType};
use crate::time::Timestamp;

/// Apps that a file is known to name; then they are named again, which does no harm.
const MAX_NAMED: usize = 16 << 10;

/// The interfaces of a run.
pub(super) type Interfaces = BTreeMap<InterfaceIndex, Interface>;

/// An interface, and what was received and lost there.
#[derive(Debug, Default)]
pub(super) struct Interface {
    /// Unknown where frames came before it was declared.
    info: Option<InterfaceInfo>,
    /// Frames received and lost, as last reported; counted from the start of the run.
    reported: Option<(u64, u64)>,
    /// Frames received since the file began.
    received: u64,
    /// Frames lost that the file's packets tell of.
    dropped: u64,
    /// Frames lost since the last packet.
    pending: u64,
}

impl Interface {
    pub(super) fn new(info: InterfaceInfo) -> Self {
        Self { info: Some(info), ..Self::default() }
    }

    pub(super) fn declare(&mut self, info: InterfaceInfo) {
        self.info = Some(info);
    }

    /// Learns how many frames were received and lost since the start.
    pub(super) fn report(&mut self, received: u64, dropped: u64) {
        let (before, lost_before) = self.reported.unwrap_or((0, 0));
        self.received = self.received.saturating_add(received.saturating_sub(before));
        self.pending = self.pending.saturating_add(dropped.saturating_sub(lost_before));
        self.reported = Some((received.max(before), dropped.max(lost_before)));
    }
}

/// A file that is being written.
pub(super) struct CaptureFile {
    path: PathBuf,
    blocks: BlockWriter<Output>,
    numbers: HashMap<(InterfaceIndex, LinkType), u32>,
    named: HashSet<(u32, String)>,
    is_android: bool,
    /// The time of the latest frame.
    last: Timestamp,
}

impl CaptureFile {
    /// Begins the file `path` at `began`.
    pub(super) fn begin(
        path: &Path,
        options: &RecorderOptions,
        interfaces: &Interfaces,
        began: Timestamp,
    ) -> Result<Self, RecordingError> {
        let output = Output::open(path)?;
        let blocks = BlockWriter::new(output, &options.header, options.precision);
        let mut file = Self {
            path: path.to_owned(),
            blocks: blocks.map_err(|source| write_error(path, source))?,
            numbers: HashMap::new(),
            named: HashSet::new(),
            is_android: options.is_android,
            last: began,
        };
        for (index, interface) in interfaces {
            file.describe(*index, interface)?;
        }
        // So that the file is a capture from the start, and a full disk shows now.
        file.flush()?;
        Ok(file)
    }

    pub(super) fn written(&self) -> u64 {
        self.blocks.written()
    }

    pub(super) fn last(&self) -> Timestamp {
        self.last
    }

    /// Describes an interface, if it is declared and not described yet.
    pub(super) fn describe(
        &mut self,
        index: InterfaceIndex,
        interface: &Interface,
    ) -> Result<(), RecordingError> {
        let Some(info) = &interface.info else { return Ok(()) };
        self.number(index, info.link_type, Some(info)).map(|_| ())
    }

    /// The number of an interface in this file, for frames of `link_type`.
    fn number(
        &mut self,
        index: InterfaceIndex,
        link_type: LinkType,
        info: Option<&InterfaceInfo>,
    ) -> Result<u32, RecordingError> {
        if let Some(number) = self.numbers.get(&(index, link_type)) {
            return Ok(*number);
        }
        let block = InterfaceBlock {
            link_type: link_type.0,
            snaplen: info.map_or(0, |info| info.snaplen),
            name: info.map(|info| info.name.as_str()).filter(|name| !name.is_empty()),
            filter: info.and_then(|info| info.filter.as_deref()),
        };
        let number = self.blocks.interface(&block).map_err(|source| write_error(&self.path, source))?;
        self.numbers.insert((index, link_type), number);
        Ok(number)
    }

    /// Writes a frame with what is known of it.
    pub(super) fn packet(
        &mut self,
        frame: &Frame<'_>,
        owner: Option<&Described>,
        markers: &[String],
        interfaces: &mut Interfaces,
    ) -> Result<(), RecordingError> {
        let interface = interfaces.entry(frame.interface).or_default();
        let number = self.number(frame.interface, frame.link_type, interface.info.as_ref())?;
        if let Some(owner) = owner.filter(|_| self.is_android) {
            self.name(owner)?;
        }
        let dropped = std::mem::take(&mut interface.pending);
        interface.dropped = interface.dropped.saturating_add(dropped);
        let own = owner.map(|owner| owner.comments.as_slice()).unwrap_or_default();
        let all: Vec<String>;
        let comments = if markers.is_empty() {
            own
        } else {
            all = [own, markers].concat();
            &all
        };
        let block = PacketBlock {
            interface: number,
            timestamp: frame.timestamp,
            original_len: frame.original_len,
            data: frame.data,
            direction: frame.annotations.and_then(|annotations| annotations.direction),
            dropped,
            number: frame.number,
            pid: owner.and_then(|owner| owner.owner.pid),
            comments,
        };
        self.last = frame.timestamp;
        self.blocks.packet(&block).map_err(|source| write_error(&self.path, source))
    }

    /// Names the apps behind an owner's uid, each once.
    ///
    /// PCAPdroid takes the first of a shared uid and ignores the others; it needs one even if the app is not known.
    fn name(&mut self, described: &Described) -> Result<(), RecordingError> {
        let owner = &described.owner;
        let Some(uid) = owner.uid else { return Ok(()) };
        let one = owner.package.as_ref().map(std::slice::from_ref);
        let unknown = [String::new()];
        let packages = match one.unwrap_or(&owner.packages) {
            [] => unknown.as_slice(),
            packages => packages,
        };
        let label = match packages {
            [_] => owner.label.as_deref().unwrap_or_default(),
            // It is not said whose it is.
            _ => "",
        };
        for package in packages {
            let app = (uid, package.clone());
            if self.named.contains(&app) {
                continue;
            }
            if self.named.len() >= MAX_NAMED {
                self.named.clear();
            }
            self.named.insert(app);
            self.blocks.app(uid, package, label).map_err(|source| write_error(&self.path, source))?;
        }
        Ok(())
    }

    pub(super) fn flush(&mut self) -> Result<(), RecordingError> {
        self.blocks.out().flush().map_err(|source| write_error(&self.path, source))
    }

    /// Bytes of it that the operating system has.
    pub(super) fn kept(&mut self) -> u64 {
        self.blocks.out().written()
    }

    /// Completes the file. In the `last` one stands what was lost after the last packet, too, and `markers` that no packet came
    /// after; false if there was no place for them, because nothing was captured.
    pub(super) fn finish(
        &mut self,
        interfaces: &mut Interfaces,
        is_last: bool,
        markers: &[String],
    ) -> Result<bool, RecordingError> {
        let mut markers = markers;
        for (index, interface) in interfaces {
            if is_last {
                interface.dropped = interface.dropped.saturating_add(std::mem::take(&mut interface.pending));
            }
            let received = std::mem::take(&mut interface.received);
            let dropped = std::mem::take(&mut interface.dropped);
            let counts = interface.reported.map(|_| (received, dropped));
            let numbers = self.numbers.iter().filter(|((known, _), _)| known == index);
            // Of an interface with frames of two link types, the first description stands for it.
            let Some(number) = numbers.map(|(_, number)| *number).min() else { continue };
            if counts.is_none() && markers.is_empty() {
                continue;
            }
            let comments = std::mem::take(&mut markers);
            let block = StatisticsBlock { interface: number, timestamp: self.last, counts, comments };
            self.blocks.statistics(&block).map_err(|source| write_error(&self.path, source))?;
        }
        self.flush()?;
        Ok(markers.is_empty())
    }
}

fn write_error(path: &Path, source: io::Error) -> RecordingError {
    RecordingError::Write { path: path.display().to_string(), source }
}
