//! From markers to steps: which test ran when, and in which one a flow began.
//!
//! What is decided here:
//!
//! - A test runs from its begin to its end. Its end is missing when its process crashed: then it ended, *unfinished*, with the
//!   next test that the same runner begins, with the runner's own start or end, or with the capture. A runner
//!   of `logcat` or `instrument` has one test at a time; harnesses (`http`, `mark`) and files of results may have several at
//!   a time, beside or within one another, and a name that begins again ends its former self.
//! - A test that was never begun but ended, as one that is ignored or whose class could not be set up, has no length: nothing
//!   begins in it.
//! - Several witnesses of one test: what another origin says of a name is of the run of that name that is nearest in time. The
//!   most exact origin says when (the order of [`MarkerOrigin`]), the others add a result that it did not know.
//! - A label (a plain point) lasts until the next marker of any kind. A test goes before a label.
//! - A flow's step is the one in which it began, by its first frame: it may end seconds later, and what it asks for late was
//!   begun early. Of several tests at a time it is the one that began last; the others are named beside it.
//! - What a test set off may reach the wire just after its end: what begins within [`GRACE`] of it while nothing else runs
//!   is still that test's, and is said to be.
//! - Everything else is background: it is held against no test.

mod changes;
mod markers;
mod position;
#[cfg(test)]
mod tests;
mod words;

use std::time::Duration;

use serde::Serialize;

use self::changes::{Change, changes};
pub use self::position::Position;
pub use self::words::in_words;
use crate::source::{Marker, MarkerOrigin, TestResult};
use crate::time::Timestamp;

/// How long after a test's end a flow may begin that is still the test's: a UI thread hands work to others, name look-ups come
/// first, and log lines are stamped when they are written. Longer than that it is as likely a timer of the app's.
pub const GRACE: Duration = Duration::from_millis(250);

/// Later steps of a flow that are named; all are counted.
const SPANS: usize = 8;

/// A test, or what a label stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Its number in the run, from 1, in order of time.
    pub number: u64,
    /// In the words of whoever set the marker.
    pub name: String,
    /// What it is.
    pub kind: StepKind,
    /// Who says so; of several the most exact.
    pub origin: MarkerOrigin,
    /// When it began.
    pub start: Timestamp,
    /// When it ended; `None` goes on to the end of the capture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<Timestamp>,
    /// How a test ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<TestResult>,
    /// Whether its times were told or follow from durations.
    pub basis: StepBasis,
}

/// What a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// A test with a begin and an end of its own.
    Test,
    /// A word that holds until the next marker.
    Label,
}

/// What a step's times rest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepBasis {
    /// Its begin and end were told as they happened.
    Observed,
    /// They were computed from a suite's time and the durations of its tests.
    Inferred,
}

/// How a flow's beginning lies to a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Began {
    /// While the step went on.
    Inside,
    /// Within [`GRACE`] of the end of the test, while nothing else ran.
    Grace,
    /// Before, between or after all steps.
    Background,
}

/// The steps of a run.
#[derive(Clone, Debug, Default)]
pub struct Steps {
    steps: Vec<Step>,
    changes: Vec<Change>,
    /// Begins of the steps that last, with their places in `steps`.
    begins: Vec<(Timestamp, usize)>,
}

impl Steps {
    /// What `markers` amount to. Their order decides between those of the same time alone.
    #[must_use]
    pub fn new(markers: &[Marker]) -> Self {
        let mut order: Vec<&Marker> = markers.iter().collect();
        order.sort_by_key(|marker| marker.at);
        let mut steps = markers::tests(&order);
        steps.extend(markers::labels(&order));
        steps.sort_by_key(|step| (step.start, step.kind == StepKind::Test));
        for (step, number) in steps.iter_mut().zip(1..) {
            step.number = number;
        }
        let begins = steps.iter().zip(0..).filter(|(step, _)| step.lasts());
        let begins = begins.map(|(step, place)| (step.start, place)).collect();
        let changes = if steps.is_empty() { Vec::new() } else { changes(&steps) };
        Self { steps, changes, begins }
    }

    /// All of them, in order of time.
    #[must_use]
    pub fn all(&self) -> &[Step] {
        &self.steps
    }

    /// Whether nobody said anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Where a flow lies that began at `start` and had its last packet at `end`; `None` where a run has no steps.
    #[must_use]
    pub fn position(&self, start: Timestamp, end: Timestamp) -> Option<Position<'_>> {
        if self.steps.is_empty() {
            return None;
        }
        let next = self.changes.partition_point(|change| change.at <= start);
        let change = next.checked_sub(1).and_then(|place| self.changes.get(place));
        let named = |places: &[usize]| places.iter().filter_map(|place| self.steps.get(*place)).collect();
        let from = self.begins.partition_point(|(begin, _)| *begin <= start);
        let to = self.begins.partition_point(|(begin, _)| *begin <= end);
        let later = self.begins.get(from..to).unwrap_or_default();
        Some(Position {
            step: change.and_then(|change| self.steps.get(change.step?)),
            began: change.map_or(Began::Background, |change| change.began),
            beside: change.map(|change| named(&change.beside)).unwrap_or_default(),
            spans: later.iter().take(SPANS).filter_map(|(_, place)| self.steps.get(*place)).collect(),
            spans_count: u64::try_from(later.len()).unwrap_or(u64::MAX),
        })
    }

    /// From when on flows begin in which step, in order of time: what a look-up by a flow's beginning needs.
    pub fn changes(&self) -> impl Iterator<Item = (Timestamp, Option<&Step>, Began)> {
        self.changes
            .iter()
            .map(|change| (change.at, change.step.and_then(|step| self.steps.get(step)), change.began))
    }
}

impl Step {
    /// Whether anything can begin in it.
    #[must_use]
    pub fn lasts(&self) -> bool {
        self.end.is_none_or(|end| end > self.start)
    }
}

impl StepKind {
    /// Its name in records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Label => "label",
        }
    }
}

impl StepBasis {
    /// Its name in records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Observed => "observed",
            Self::Inferred => "inferred",
        }
    }
}

impl Began {
    /// Its name in records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inside => "inside",
            Self::Grace => "grace",
            Self::Background => "background",
        }
    }
}
