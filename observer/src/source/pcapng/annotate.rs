//! What a packet's options say of it, interned: equal options cost one look-up and no allocation.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::options::{COMMENT, Options};
use crate::source::dialect::{self, owner_in_comments};
use crate::source::order::ByteOrder;
use crate::source::{Annotations, Dialect, LinkDirection, Marker, RecordedOwner};
use crate::time::Timestamp;

const FLAGS: u16 = 2;
const DROP_COUNT: u16 = 4;
const PROCESS_AND_THREAD: u16 = 8;
/// Darwin: the index of the process block of whoever has the socket.
const DARWIN_PROCESS: u16 = 0x8001;
/// Darwin: the index of the process block of whoever the socket works for.
const DARWIN_EFFECTIVE_PROCESS: u16 = 0x8003;

/// Different annotations that are remembered; then the memory begins anew.
const MAX_CACHED: usize = 16 << 10;
/// Bytes of options that are remembered; longer ones are read each time.
const MAX_KEY: usize = 4 << 10;
/// Processes of a section.
const MAX_PROCESSES: usize = 64 << 10;

/// The markers among the comments in the `options` of a packet of `at`.
pub(super) fn markers(order: ByteOrder, options: &[u8], at: Timestamp) -> impl Iterator<Item = Marker> {
    Options::new(order, options)
        .filter(|(code, _)| *code == COMMENT)
        .filter_map(move |(_, value)| Marker::from_comment(value, at))
}

/// The annotations of a section's packets.
#[derive(Default)]
pub(super) struct Annotator {
    cache: HashMap<Box<[u8]>, Option<Arc<Annotations>>, RandomState>,
    /// The options that matter, of the packet at hand.
    key: Vec<u8>,
    /// What the process blocks name, by index.
    processes: Vec<RecordedOwner>,
}

impl Annotator {
    /// Takes a Darwin process block; false when there are too many of them.
    pub(super) fn process(&mut self, order: ByteOrder, body: &[u8]) -> bool {
        const NAME: u16 = 2;
        const PATH: u16 = 3;
        if self.processes.len() >= MAX_PROCESSES {
            return false;
        }
        // An index that was out of range so far may be in range from now on.
        self.cache.clear();
        let mut owner = RecordedOwner::new(Dialect::Darwin);
        owner.pid = order.u32(body, 0).filter(|pid| *pid > 0);
        for (code, value) in Options::new(order, body.get(4..).unwrap_or_default()) {
            let text = String::from_utf8_lossy(value);
            match code {
                NAME if owner.process.is_none() => owner.process = dialect::name(&text),
                PATH => owner.process = dialect::name(&text).or(owner.process),
                _ => {}
            }
        }
        self.processes.push(owner);
        true
    }

    /// The annotations that a packet's `options` make, and how many packets were lost before it. Markers are for others: see
    /// [`markers`].
    pub(super) fn annotate(
        &mut self,
        order: ByteOrder,
        options: &[u8],
    ) -> (Option<Arc<Annotations>>, Option<u64>) {
        let mut dropped = None;
        self.key.clear();
        for (code, value) in Options::new(order, options) {
            match code {
                COMMENT if Marker::is_comment(value) => {}
                COMMENT | FLAGS | PROCESS_AND_THREAD | DARWIN_PROCESS | DARWIN_EFFECTIVE_PROCESS => {
                    let len = u16::try_from(value.len()).unwrap_or(u16::MAX);
                    self.key.extend(code.to_le_bytes());
                    self.key.extend(len.to_le_bytes());
                    self.key.extend(value);
                    self.key.resize(self.key.len().next_multiple_of(4), 0);
                }
                DROP_COUNT => dropped = order.u64(value, 0),
                _ => {}
            }
        }
        if self.key.is_empty() {
            return (None, dropped);
        }
        if let Some(known) = self.cache.get(self.key.as_slice()) {
            return (known.clone(), dropped);
        }
        let annotations = self.read(order).map(Arc::new);
        if self.key.len() <= MAX_KEY {
            if self.cache.len() >= MAX_CACHED {
                self.cache.clear();
            }
            self.cache.insert(self.key.as_slice().into(), annotations.clone());
        }
        (annotations, dropped)
    }

    /// The annotations in the options of `key`.
    fn read(&self, order: ByteOrder) -> Option<Annotations> {
        let options = Options::new(ByteOrder::Little, &self.key);
        let value = |wanted| options.clone().find(|(code, _)| *code == wanted).map(|(_, value)| value);
        let word = |wanted| value(wanted).and_then(|value| order.u32(value, 0));
        let direction = match word(FLAGS).map(|flags| flags & 3) {
            Some(1) => Some(LinkDirection::Inbound),
            Some(2) => Some(LinkDirection::Outbound),
            _ => None,
        };
        let comments = options.clone().filter(|(code, _)| *code == COMMENT).map(|(_, value)| value);
        let process = |index: u32| self.processes.get(usize::try_from(index).ok()?).cloned();
        let mut owner = owner_in_comments(comments)
            .or_else(|| process(word(DARWIN_EFFECTIVE_PROCESS)?))
            .or_else(|| process(word(DARWIN_PROCESS)?));
        if let Some(pid) = word(PROCESS_AND_THREAD).filter(|pid| *pid > 0) {
            let owner = owner.get_or_insert_with(|| RecordedOwner::new(Dialect::ProcessIdOption));
            owner.pid = owner.pid.or(Some(pid));
        }
        let annotations = Annotations { direction, owner: owner.map(Arc::new) };
        (annotations != Annotations::default()).then_some(annotations)
    }
}
