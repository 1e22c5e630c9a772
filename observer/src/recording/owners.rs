//! Whose a frame is, and how that is written down. Answers are remembered for a while, within a bound.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::Answer;
use super::pcapng::cut;
use crate::attribution::{Confidence, Owner};
use crate::decode::{FiveTuple, Packet, Segment, Transport};
use crate::time::Timestamp;

/// Five-tuples remembered in each of two generations.
const GENERATION: usize = 32 << 10;
/// How long an answer holds, in nanoseconds: the clocks of captures and of attribution differ by as much.
const FRESH: i64 = 10_000_000;
/// How long it holds for TCP, where another socket begins with a SYN.
const FRESH_TCP: i64 = 1_000_000_000;
/// Bytes of a path; those of Linux end before.
const MAX_PROCESS: usize = 4096;
/// Bytes of names in a comment.
const MAX_NAMES: usize = 1024;

/// Finds the owner of a five-tuple, whose source is the originator as far as known, at a time.
pub(super) type Lookup = Box<dyn FnMut(&FiveTuple, Timestamp) -> Answer + Send>;

/// An owner, and the comments that state it.
#[derive(Debug)]
pub(super) struct Described {
    pub(super) owner: Owner,
    pub(super) comments: Vec<String>,
}

impl Described {
    pub(super) fn new(owner: Owner, is_android: bool) -> Self {
        let android = owner.uid.filter(|_| is_android).map(|uid| format!("u-{uid}"));
        let comments = android.into_iter().chain(comment(&owner, is_android)).collect();
        Self { owner, comments }
    }
}

/// The observer's comment; `None` when there is nothing to say.
fn comment(owner: &Owner, is_android: bool) -> Option<String> {
    let mut text = String::from("observer");
    let mut field = |key: &str, value: &str| {
        let value: String = cut(value, MAX_NAMES)
            .chars()
            .map(|c| if c.is_whitespace() || c.is_control() { '_' } else { c })
            .collect();
        if !value.is_empty() {
            // Nothing fails that writes into a string.
            let _ = write!(text, " {key}={value}");
        }
    };
    if let Some(uid) = owner.uid {
        field("uid", &uid.to_string());
    }
    if let Some(pid) = owner.pid {
        field("pid", &pid.to_string());
    }
    match owner.confidence {
        Confidence::Exact => {}
        Confidence::Polled => field("confidence", "polled"),
        Confidence::Inferred => field("confidence", "inferred"),
    }
    // Android's user names follow from the uid, and its labels stand in the UID map.
    if !is_android {
        field("user", owner.user.as_deref().unwrap_or_default());
        field("label", owner.label.as_deref().unwrap_or_default());
    }
    match &owner.package {
        Some(package) => field("app", package),
        None => field("app", &owner.packages.join("+")),
    }
    if let Some(process) = owner.process.as_deref().filter(|process| !process.is_empty()) {
        let process = cut(process, MAX_PROCESS);
        let process = process.chars().map(|c| if c.is_control() { '_' } else { c });
        text.push_str(" process=");
        text.extend(process);
    }
    text.contains(' ').then_some(text)
}

/// The owners of recent five-tuples.
pub(super) struct Owners {
    lookup: Lookup,
    is_android: bool,
    recent: HashMap<FiveTuple, Known, RandomState>,
    older: HashMap<FiveTuple, Known, RandomState>,
}

/// An answer.
#[derive(Clone)]
struct Known {
    /// The five-tuple with the originator as its source.
    originator: FiveTuple,
    owner: Option<Arc<Described>>,
    wanted: bool,
    asked: Timestamp,
}

impl Known {
    /// Whether the answer is still good at `at`.
    fn holds(&self, at: Timestamp) -> bool {
        let tcp = self.originator.transport == Transport::Tcp && self.owner.is_some();
        let span = if tcp { FRESH_TCP } else { FRESH };
        at.0.saturating_sub(self.asked.0).saturating_abs() < span
    }
}

impl Owners {
    pub(super) fn new(lookup: Lookup, is_android: bool) -> Self {
        Self { lookup, is_android, recent: HashMap::default(), older: HashMap::default() }
    }

    /// Whose `packet` is, and whether it is wanted.
    pub(super) fn of(&mut self, packet: &Packet<'_>) -> (Option<Arc<Described>>, bool) {
        let tuple = packet.five_tuple;
        let key = if tuple.source <= tuple.destination { tuple } else { tuple.reverse() };
        let known = self.recent.get(&key).or_else(|| self.older.get(&key));
        let (opens, originator) = match (packet.segment, known) {
            (Segment::Tcp { flags, .. }, _) if flags.syn && !flags.ack => (true, tuple),
            (_, Some(known)) => (false, known.originator),
            (Segment::Tcp { flags, .. }, None) if flags.syn => (false, tuple.reverse()),
            (_, None) => (false, tuple),
        };
        if let Some(known) = known.filter(|known| !opens && known.holds(packet.timestamp)) {
            return (known.owner.clone(), known.wanted);
        }
        let before = known.and_then(|known| known.owner.clone());
        let Answer { owner, wanted } = (self.lookup)(&originator, packet.timestamp);
        let owner = owner.map(|owner| match before {
            Some(before) if before.owner == owner => before,
            _ => Arc::new(Described::new(owner, self.is_android)),
        });
        if self.recent.len() >= GENERATION {
            self.older = std::mem::take(&mut self.recent);
        }
        let known = Known { originator, owner: owner.clone(), wanted, asked: packet.timestamp };
        self.recent.insert(key, known);
        (owner, wanted)
    }
}
