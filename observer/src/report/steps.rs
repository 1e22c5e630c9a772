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

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use crate::source::{Marker, MarkerKind, MarkerOrigin, TestResult};
use crate::time::Timestamp;

/// How long after a test's end a flow may begin that is still the test's: a UI thread hands work to others, name look-ups come
/// first, and log lines are stamped when they are written. Longer than that it is as likely a timer of the app's.
pub const GRACE: Duration = Duration::from_millis(250);

/// Later steps of a flow that are named; all are counted.
const SPANS: usize = 8;
/// Tests running beside the one that a flow began in that are named.
const BESIDE: usize = 8;

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

/// Where in the test a flow lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position<'a> {
    /// The step in which it began; `None` is background.
    pub step: Option<&'a Step>,
    /// How.
    pub began: Began,
    /// Tests that ran beside that one when the flow began: it may be theirs. Bounded.
    pub beside: Vec<&'a Step>,
    /// Steps that began while the flow went on, in order; bounded.
    pub spans: Vec<&'a Step>,
    /// How many there are.
    pub spans_count: u64,
}

/// The steps of a run.
#[derive(Clone, Debug, Default)]
pub struct Steps {
    steps: Vec<Step>,
    changes: Vec<Change>,
    /// Begins of the steps that last, with their places in `steps`.
    begins: Vec<(Timestamp, usize)>,
}

/// From a point in time on, in which step flows begin.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Change {
    at: Timestamp,
    step: Option<usize>,
    began: Began,
    beside: Vec<usize>,
}

impl Steps {
    /// What `markers` amount to. Their order decides between those of the same time alone.
    #[must_use]
    pub fn new(markers: &[Marker]) -> Self {
        let mut order: Vec<&Marker> = markers.iter().collect();
        order.sort_by_key(|marker| marker.at);
        let mut steps = tests(&order);
        steps.extend(labels(&order));
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

    fn of(marker: &Marker, kind: StepKind) -> Self {
        Self {
            number: 0,
            name: marker.label.clone(),
            kind,
            origin: marker.origin,
            start: marker.at,
            end: None,
            result: None,
            basis: match marker.origin {
                MarkerOrigin::Junit => StepBasis::Inferred,
                _ => StepBasis::Observed,
            },
        }
    }
}

/// The tests of all origins, each once.
fn tests(order: &[&Marker]) -> Vec<Step> {
    let origins: BTreeSet<MarkerOrigin> = order.iter().map(|marker| marker.origin).collect();
    // By name, what the more exact origins say.
    let mut known: BTreeMap<String, Vec<Step>> = BTreeMap::new();
    for origin in origins {
        let mut named: BTreeMap<String, Vec<Step>> = BTreeMap::new();
        for step in tests_of(origin, order) {
            named.entry(step.name.clone()).or_default().push(step);
        }
        for (name, steps) in named {
            witness(known.entry(name).or_default(), steps);
        }
    }
    let mut tests: Vec<_> = known.into_values().flatten().collect();
    tests.sort_by_key(|step| step.start);
    tests
}

/// Adds to the `known` runs of a name what another origin says of them: each of its runs is the nearest one that it does not
/// have yet, or one of its own.
fn witness(known: &mut Vec<Step>, said: Vec<Step>) {
    let mut free: BTreeSet<(Timestamp, usize)> =
        known.iter().zip(0..).map(|(step, place)| (step.start, place)).collect();
    for step in said {
        let before = free.range(..(step.start, usize::MAX)).next_back().copied();
        let after = free.range((step.start, usize::MAX)..).next().copied();
        let near = [before, after].into_iter().flatten();
        let nearest = near.min_by_key(|(start, _)| start.0.abs_diff(step.start.0));
        let Some(nearest) = nearest else {
            known.push(step);
            continue;
        };
        free.remove(&nearest);
        if let Some(same) = known.get_mut(nearest.1)
            && matches!(same.result, Some(TestResult::Unknown | TestResult::Unfinished))
            && step.result != Some(TestResult::Unfinished)
        {
            same.result = step.result;
        }
    }
}

/// The tests of one origin, in order of their begins.
fn tests_of(origin: MarkerOrigin, order: &[&Marker]) -> Vec<Step> {
    let one_at_a_time = matches!(origin, MarkerOrigin::Logcat | MarkerOrigin::Instrument);
    let mut steps: Vec<Step> = Vec::new();
    // Places in `steps` of those that run, by name and in order of their begins.
    let mut running: BTreeSet<usize> = BTreeSet::new();
    let mut latest: BTreeMap<&str, usize> = BTreeMap::new();
    for marker in order.iter().filter(|marker| marker.origin == origin) {
        let is_running = |running: &BTreeSet<usize>, place: Option<&usize>| {
            place.copied().filter(|place| running.contains(place))
        };
        match marker.kind {
            MarkerKind::Point => {}
            MarkerKind::RunStarted | MarkerKind::RunFinished => {
                close_all(&mut steps, &mut running, marker.at);
            }
            MarkerKind::Begin => {
                if one_at_a_time {
                    close_all(&mut steps, &mut running, marker.at);
                } else if let Some(place) = is_running(&running, latest.get(marker.label.as_str())) {
                    running.remove(&place);
                    close(steps.get_mut(place), marker.at, TestResult::Unfinished);
                }
                running.insert(steps.len());
                latest.insert(&marker.label, steps.len());
                let result = Some(TestResult::Unfinished);
                steps.push(Step { result, ..Step::of(marker, StepKind::Test) });
            }
            MarkerKind::End(result) => {
                let place = match marker.label.as_str() {
                    // Whoever ends without a name ends what began last.
                    "" => running.last().copied(),
                    name => is_running(&running, latest.get(name)),
                };
                if let Some(place) = place {
                    running.remove(&place);
                    close(steps.get_mut(place), marker.at, result);
                    continue;
                }
                let former = latest.get(marker.label.as_str()).and_then(|place| steps.get_mut(*place));
                match former {
                    // It was taken for ended when another began.
                    Some(step) if step.result == Some(TestResult::Unfinished) => step.result = Some(result),
                    _ if marker.label.is_empty() => {}
                    _ => {
                        let step = Step::of(marker, StepKind::Test);
                        steps.push(Step { end: Some(marker.at), result: Some(result), ..step });
                    }
                }
            }
        }
    }
    steps
}

fn close_all(steps: &mut [Step], running: &mut BTreeSet<usize>, at: Timestamp) {
    for place in std::mem::take(running) {
        close(steps.get_mut(place), at, TestResult::Unfinished);
    }
}

fn close(step: Option<&mut Step>, at: Timestamp, result: TestResult) {
    if let Some(step) = step {
        step.end = Some(at);
        step.result = Some(result);
    }
}

/// What labels stand for: each lasts until the next marker.
fn labels(order: &[&Marker]) -> Vec<Step> {
    let ends = order.iter().skip(1).map(|marker| Some(marker.at)).chain([None]);
    let points = order.iter().zip(ends).filter(|(marker, _)| marker.kind == MarkerKind::Point);
    points.map(|(marker, end)| Step { end, ..Step::of(marker, StepKind::Label) }).collect()
}

/// In which step flows begin from when on.
fn changes(steps: &[Step]) -> Vec<Change> {
    let grace = i64::try_from(GRACE.as_nanos()).unwrap_or(i64::MAX);
    let (mut starts, mut ends, mut instants) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
    for (step, place) in steps.iter().zip(0_usize..).filter(|(step, _)| step.lasts()) {
        starts.entry(step.start).or_insert_with(Vec::new).push(place);
        instants.insert(step.start);
        if let Some(end) = step.end {
            ends.entry(end).or_insert_with(Vec::new).push(place);
            instants.insert(end);
            if step.kind == StepKind::Test {
                instants.insert(Timestamp(end.0.saturating_add(grace)));
            }
        }
    }
    let is_test = |place: &usize| steps.get(*place).is_some_and(|step| step.kind == StepKind::Test);
    let (mut tests, mut label, mut ended) = (BTreeSet::new(), None, None);
    // Before everything else is background, too.
    let first = Change { at: Timestamp(i64::MIN), step: None, began: Began::Background, beside: Vec::new() };
    let mut changes = vec![first];
    for at in instants {
        for place in ends.get(&at).into_iter().flatten() {
            if tests.remove(place) {
                ended = Some((*place, at.0.saturating_add(grace)));
            } else if label == Some(*place) {
                label = None;
            }
        }
        for place in starts.get(&at).into_iter().flatten() {
            match is_test(place) {
                true => drop(tests.insert(*place)),
                false => label = Some(*place),
            }
        }
        let (step, began) = match (tests.last().copied().or(label), ended) {
            (Some(step), _) => (Some(step), Began::Inside),
            (None, Some((step, until))) if at.0 < until => (Some(step), Began::Grace),
            (None, _) => (None, Began::Background),
        };
        let others = tests.iter().rev().filter(|place| Some(**place) != step);
        let change = Change { at, step, began, beside: others.take(BESIDE).copied().collect() };
        let same = |last: &Change| {
            (last.step, last.began, &last.beside) == (change.step, change.began, &change.beside)
        };
        if !changes.last().is_some_and(same) {
            changes.push(change);
        }
    }
    changes
}

/// Where a flow lies, as records have it.
impl Serialize for Position<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Record<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            name: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            kind: Option<StepKind>,
            #[serde(skip_serializing_if = "Option::is_none")]
            start: Option<Timestamp>,
            began: Began,
            #[serde(skip_serializing_if = "Option::is_none")]
            basis: Option<StepBasis>,
            #[serde(skip_serializing_if = "Vec::is_empty")]
            beside: Vec<&'a str>,
            #[serde(skip_serializing_if = "Vec::is_empty")]
            spans: Vec<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            spans_count: Option<u64>,
        }
        let names = |steps: &'_ [&'_ Step]| steps.iter().map(|step| step.name.clone()).collect::<Vec<_>>();
        let (beside, spans) = (names(&self.beside), names(&self.spans));
        Record {
            name: self.step.map(|step| step.name.as_str()),
            kind: self.step.map(|step| step.kind),
            start: self.step.map(|step| step.start),
            began: self.began,
            basis: self.step.map(|step| step.basis),
            beside: beside.iter().map(String::as_str).collect(),
            spans: spans.iter().map(String::as_str).collect(),
            spans_count: Some(self.spans_count).filter(|count| *count > 0),
        }
        .serialize(serializer)
    }
}

/// Steps that are named beside the first.
const ALSO: usize = 3;

/// In which step something was seen first, and in which others, in words.
#[must_use]
pub fn in_words<'a>(step: Option<&str>, began: Began, all: impl Iterator<Item = &'a str>) -> String {
    let mut words = match (step, began) {
        (None, _) => "none: it began in no test".to_owned(),
        (Some(step), Began::Grace) => format!("{step}, just after its end"),
        (Some(step), _) => step.to_owned(),
    };
    let mut others = all.filter(|other| Some(*other) != step);
    for other in others.by_ref().take(ALSO) {
        words.push_str("; also ");
        words.push_str(other);
    }
    let more = others.count();
    if more > 0 {
        words.push_str(&format!("; and {more} more"));
    }
    words
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use MarkerKind::{Begin, End, Point, RunFinished, RunStarted};
    use MarkerOrigin::{Http, Instrument, Junit, Logcat, Mark};
    use TestResult::{Failed, Ignored, Passed, Unfinished, Unknown};

    /// Milliseconds.
    fn at(ms: i64) -> Timestamp {
        Timestamp(ms * 1_000_000)
    }

    fn steps(markers: &[(i64, MarkerKind, MarkerOrigin, &str)]) -> Steps {
        let markers: Vec<_> = markers
            .iter()
            .map(|(ms, kind, origin, label)| Marker::new(at(*ms), *kind, *origin, label))
            .collect();
        Steps::new(&markers)
    }

    /// Name, start, end and result of each.
    fn shown(steps: &Steps) -> Vec<(&str, i64, Option<i64>, Option<TestResult>)> {
        let ms = |time: Timestamp| time.0 / 1_000_000;
        steps
            .all()
            .iter()
            .map(|step| (step.name.as_str(), ms(step.start), step.end.map(ms), step.result))
            .collect()
    }

    fn began(steps: &Steps, ms: i64) -> (Option<&str>, Began) {
        let position = steps.position(at(ms), at(ms)).unwrap();
        (position.step.map(|step| step.name.as_str()), position.began)
    }

    #[test]
    fn a_flow_belongs_to_the_test_in_which_it_began() {
        let steps = steps(&[
            (1_000, RunStarted, Logcat, "2 tests"),
            (1_100, Begin, Logcat, "a(T)"),
            (2_000, End(Passed), Logcat, "a(T)"),
            (2_100, Begin, Logcat, "b(T)"),
            (3_000, End(Failed), Logcat, "b(T)"),
            (3_010, RunFinished, Logcat, "2 tests"),
        ]);
        assert_eq!(
            shown(&steps),
            [("a(T)", 1_100, Some(2_000), Some(Passed)), ("b(T)", 2_100, Some(3_000), Some(Failed))]
        );
        assert_eq!(began(&steps, 1_050), (None, Began::Background));
        assert_eq!(began(&steps, 1_100), (Some("a(T)"), Began::Inside));
        assert_eq!(began(&steps, 1_999), (Some("a(T)"), Began::Inside));
        assert_eq!(began(&steps, 2_050), (Some("a(T)"), Began::Grace));
        assert_eq!(began(&steps, 2_100), (Some("b(T)"), Began::Inside));
        assert_eq!(began(&steps, 3_249), (Some("b(T)"), Began::Grace));
        assert_eq!(began(&steps, 3_250), (None, Began::Background));
    }

    #[test]
    fn flows_that_go_on_say_into_what() {
        let steps = steps(&[
            (10, Begin, Logcat, "a(T)"),
            (20, End(Passed), Logcat, "a(T)"),
            (25, End(Ignored), Logcat, "skipped(T)"),
            (30, Begin, Logcat, "b(T)"),
            (40, End(Passed), Logcat, "b(T)"),
        ]);
        let spans = |from, to| {
            let position = steps.position(at(from), at(to)).unwrap();
            let names: Vec<_> = position.spans.iter().map(|step| step.name.as_str()).collect();
            (names.join(" "), position.spans_count)
        };
        assert_eq!(spans(15, 29), (String::new(), 0));
        assert_eq!(spans(15, 30), ("b(T)".to_owned(), 1));
        assert_eq!(spans(5, 99), ("a(T) b(T)".to_owned(), 2));
        assert_eq!(began(&steps, 5), (None, Began::Background));
    }

    #[test]
    fn an_end_that_is_missing_is_said_to_be() {
        let crashed = steps(&[
            (1, Begin, Logcat, "a(T)"),
            (5, Begin, Logcat, "b(T)"),
            (7, RunFinished, Logcat, ""),
            (8, RunStarted, Logcat, ""),
            (9, Begin, Logcat, "c(T)"),
        ]);
        assert_eq!(
            shown(&crashed),
            [
                ("a(T)", 1, Some(5), Some(Unfinished)),
                ("b(T)", 5, Some(7), Some(Unfinished)),
                ("c(T)", 9, None, Some(Unfinished))
            ]
        );
        assert_eq!(began(&crashed, 1_000_000), (Some("c(T)"), Began::Inside));
        // It was late, not missing.
        let late = steps(&[
            (1, Begin, Logcat, "a(T)"),
            (5, Begin, Logcat, "b(T)"),
            (6, End(Failed), Logcat, "a(T)"),
        ]);
        assert_eq!(shown(&late)[0], ("a(T)", 1, Some(5), Some(Failed)));
    }

    #[test]
    fn harnesses_may_nest_and_overlap() {
        let nested = steps(&[
            (0, Begin, Http, "suite"),
            (10, Begin, Http, "login"),
            (20, End(Passed), Http, ""),
            (30, Begin, Http, "other"),
            (35, End(Unknown), Http, "suite"),
            (40, End(Failed), Http, "other"),
        ]);
        assert_eq!(began(&nested, 5), (Some("suite"), Began::Inside));
        assert_eq!(began(&nested, 15), (Some("login"), Began::Inside));
        assert_eq!(began(&nested, 25), (Some("suite"), Began::Inside));
        assert_eq!(began(&nested, 37), (Some("other"), Began::Inside));
        let beside = nested.position(at(15), at(15)).unwrap().beside;
        assert_eq!(beside.iter().map(|step| step.name.as_str()).collect::<Vec<_>>(), ["suite"]);
        let again = steps(&[(0, Begin, Http, "x"), (5, Begin, Http, "x"), (9, End(Passed), Http, "x")]);
        assert_eq!(shown(&again), [("x", 0, Some(5), Some(Unfinished)), ("x", 5, Some(9), Some(Passed))]);
    }

    #[test]
    fn witnesses_of_one_test_count_once() {
        let steps = steps(&[
            (10, Begin, Logcat, "a(T)"),
            (12, End(Passed), Logcat, "a(T)"),
            // Shorter than the other way takes.
            (13, Begin, Logcat, "b(T)"),
            (22, Begin, Instrument, "a(T)"),
            (24, End(Passed), Instrument, "a(T)"),
            (25, Begin, Instrument, "b(T)"),
            (40, RunFinished, Logcat, ""),
            (52, End(Failed), Instrument, "b(T)"),
            (0, Begin, Junit, "a(T)"),
            (7, End(Passed), Junit, "a(T)"),
            (60, Begin, Junit, "c(T)"),
            (70, End(Passed), Junit, "c(T)"),
        ]);
        assert_eq!(
            shown(&steps),
            [
                ("a(T)", 10, Some(12), Some(Passed)),
                ("b(T)", 13, Some(40), Some(Failed)),
                ("c(T)", 60, Some(70), Some(Passed))
            ]
        );
        let bases: Vec<_> = steps.all().iter().map(|step| step.basis).collect();
        assert_eq!(bases, [StepBasis::Observed, StepBasis::Observed, StepBasis::Inferred]);
    }

    #[test]
    fn a_label_lasts_until_the_next_marker_and_a_test_goes_before_it() {
        let steps = steps(&[
            (10, Point, Mark, "log in"),
            (20, Point, Mark, "cart"),
            (30, Begin, Logcat, "a(T)"),
            (40, Point, Mark, "within"),
            (50, End(Passed), Logcat, "a(T)"),
            (60, Point, Mark, "after"),
        ]);
        assert_eq!(began(&steps, 5), (None, Began::Background));
        assert_eq!(began(&steps, 15), (Some("log in"), Began::Inside));
        assert_eq!(began(&steps, 25), (Some("cart"), Began::Inside));
        assert_eq!(began(&steps, 45), (Some("a(T)"), Began::Inside));
        assert_eq!(began(&steps, 55), (Some("a(T)"), Began::Grace));
        assert_eq!(began(&steps, 1_000), (Some("after"), Began::Inside));
    }

    #[test]
    fn a_class_that_fails_has_no_length() {
        let steps = steps(&[(10, End(Failed), Logcat, "com.example.T")]);
        assert_eq!(shown(&steps), [("com.example.T", 10, Some(10), Some(Failed))]);
        assert_eq!(began(&steps, 10), (None, Began::Background));
    }

    #[test]
    fn without_markers_there_are_no_steps() {
        assert_eq!(Steps::new(&[]).position(at(1), at(2)), None);
    }

    proptest! {
        /// The table of changes says the same as going through all steps.
        #[test]
        fn changes_agree_with_a_search(
            said in prop::collection::vec((0_i64..600, 0_u8..5, 0_usize..4, 0_usize..3), 0..24),
            when in -300_i64..1_000,
        ) {
            let names = ["", "a", "b", "c"];
            let said: Vec<_> = said.iter().map(|(ms, kind, name, origin)| {
                let kind = [Point, Begin, End(Passed), RunStarted, RunFinished][usize::from(*kind)];
                (*ms, kind, [Logcat, Http, Mark][*origin], names[*name])
            }).collect();
            let steps = steps(&said);
            prop_assert!(steps.all().is_sorted_by_key(|step| step.start));
            let Some(position) = steps.position(at(when), at(when)) else { return Ok(()) };
            let runs = |step: &&Step| step.start <= at(when) && step.end.is_none_or(|end| end > at(when));
            let is_test = |step: &&Step| step.kind == StepKind::Test;
            let test = steps.all().iter().filter(runs).rfind(is_test);
            let label = steps.all().iter().filter(runs).rfind(|step| !is_test(step));
            let grace = steps.all().iter().filter(is_test).filter(|step| step.lasts()).any(|step| {
                step.end.is_some_and(|end| end <= at(when) && at(when) < at(end.0 / 1_000_000 + 250))
            });
            match (test.or(label), grace) {
                (Some(step), _) => prop_assert_eq!(position.step, Some(step)),
                (None, true) => prop_assert_eq!(position.began, Began::Grace),
                (None, false) => prop_assert_eq!(position.began, Began::Background),
            }
        }
    }
}
