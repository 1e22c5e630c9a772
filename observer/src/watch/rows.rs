//! What is read of a run, as it is shown.

use crate::rules::Severity;
use crate::time::Timestamp;

/// Whether a run goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    /// A process writes it.
    Running,
    /// It was written to its end.
    Finished,
    /// It has no end, and no process that could write one.
    Killed,
    /// It has no end; whether a process writes it cannot be told here.
    #[default]
    Unfinished,
}

impl State {
    /// The word that is shown.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Killed => "killed",
            Self::Unfinished => "unfinished",
        }
    }
}

/// The numbers of a run. What is known only at its end is absent before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    /// Its number in the database.
    pub(super) run: i64,
    /// Whether it goes on.
    pub(super) state: State,
    /// When it began, by the clock on the wall.
    pub(super) started: Option<Timestamp>,
    /// Frames read.
    pub(super) frames: Option<u64>,
    /// Flows written.
    pub(super) flows: u64,
    /// Frames, sockets and other things that were lost.
    pub(super) lost: Option<u64>,
    /// Flows without an owner.
    pub(super) unattributed: Option<u64>,
    /// Why the absence of findings says nothing, if so.
    pub(super) inconclusive: Option<String>,
    /// The step of the test.
    pub(super) step: Option<String>,
    /// The number of a later run in the same database.
    pub(super) newer: Option<i64>,
}

/// An app by name and uid; a work profile has the same apps under other uids. No name is traffic without an owner.
pub(super) type AppKey = (Option<String>, Option<u32>);

/// An app with what the filter lets through of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct AppRow {
    /// Name and uid.
    pub(super) key: AppKey,
    /// Its label.
    pub(super) label: Option<String>,
    /// Flows.
    pub(super) flows: u64,
    /// Their bytes in both directions, headers included.
    pub(super) bytes: u64,
    /// Findings that are not excused.
    pub(super) findings: u64,
    /// The gravest of them.
    pub(super) worst: Option<Severity>,
}

/// A flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FlowRow {
    /// Its id in the database, which ascends.
    pub(super) id: i64,
    /// When it began.
    pub(super) start: Timestamp,
    /// Whose it is.
    pub(super) app: Option<String>,
    /// With whom: name or address.
    pub(super) host: String,
    /// The far end's port.
    pub(super) port: Option<u16>,
    /// `tcp`, `udp`, …
    pub(super) transport: String,
    /// Its protocols, outermost first.
    pub(super) layers: Vec<String>,
    /// `TLS 1.3`.
    pub(super) version: Option<String>,
    /// `encrypted`, `cleartext`, …
    pub(super) protection: String,
    /// The step of the test in which it began.
    pub(super) step: Option<String>,
}

/// A finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FindingRow {
    /// Its id in the database.
    pub(super) id: i64,
    /// How bad.
    pub(super) severity: Severity,
    /// The rule's id.
    pub(super) rule: String,
    /// Whose traffic.
    pub(super) app: Option<String>,
    /// With whom: name or address.
    pub(super) host: String,
    /// The far end's port.
    pub(super) port: u16,
    /// One sentence with what was seen.
    pub(super) message: String,
    /// Whether it is held against nobody: an exception excuses it.
    pub(super) excused: bool,
    /// The step of the test in which its flow began.
    pub(super) step: Option<String>,
}

/// What rows of a list are known by.
pub(super) trait Row {
    /// The key by which lists are read in parts; ascends.
    fn id(&self) -> i64;
}

impl Row for FlowRow {
    fn id(&self) -> i64 {
        self.id
    }
}

impl Row for FindingRow {
    fn id(&self) -> i64 {
        self.id
    }
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Window<T> {
    /// The rows, no more than [`WINDOW`].
    pub(super) rows: Vec<T>,
    /// Whether there are rows before them.
    pub(super) before: bool,
    /// Whether there are rows after them.
    pub(super) after: bool,
}

/// Rows of a list that are held.
pub(super) const WINDOW: usize = 600;

/// Where a part of a list is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seek {
    /// From the first row.
    First,
    /// Up to the last row.
    Last,
    /// As many rows before and after the row with this id.
    Around(i64),
}

/// What is selected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Selected {
    /// An app.
    App(AppKey),
    /// A flow by its id.
    Flow(i64),
    /// A finding by its id.
    Finding(i64),
}

/// A line of the details.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    /// A name and a value.
    Pair(&'static str, String),
    /// A heading.
    Title(String),
    /// A finding: how bad, and the rest of its line.
    Finding(Severity, String),
    /// Words that may be broken at spaces.
    Text(String),
    /// To be copied as it is.
    Code(String),
}
