//! What somebody who watches a capture says happens: tests that begin and end, steps that have a name.
//!
//! Markers come from test runners, harnesses and people, in one stream. What they amount to is concluded elsewhere (see
//! [`report::steps`](crate::report::steps)). A recording keeps a marker as a comment of a packet, which people can read:
//!
//! ```text
//! step=LABEL                                                           a plain word of `observer mark`; its time is the packet's
//! marker=KIND [result=RESULT] origin=ORIGIN at=SECONDS.NANOSECONDS [clock=remote] label=LABEL     all others
//! ```

use std::fmt::{self, Write as _};

use serde::Serialize;

use crate::time::Timestamp;

/// A word of somebody who watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    /// When it was said, or when what it says happened, by `clock`.
    pub at: Timestamp,
    /// The clock that stamped it.
    pub clock: MarkerClock,
    /// What happens.
    pub kind: MarkerKind,
    /// Who says it.
    pub origin: MarkerOrigin,
    /// In whose words: the name of the step or the test. A test of JUnit is called `method(fully.qualified.Class)`.
    pub label: String,
}

/// What a marker says happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MarkerKind {
    /// A step, which lasts until the next marker.
    Point,
    /// A test begins.
    Begin,
    /// A test has ended.
    End(TestResult),
    /// A test runner has begun.
    RunStarted,
    /// A test runner has ended: none of its tests runs any more.
    RunFinished,
}

/// How a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TestResult {
    /// It passed.
    Passed,
    /// It failed.
    Failed,
    /// What it takes for granted does not hold here: it was given up.
    AssumptionFailed,
    /// It was not run.
    Ignored,
    /// It ended, and nobody said how.
    Unknown,
    /// Nobody said that it ended: its process may have crashed.
    Unfinished,
}

/// Who says what a marker says; the most exact first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MarkerOrigin {
    /// The device's log: stamped where it happened.
    Logcat,
    /// The output of `am instrument -r`: stamped when it arrived.
    Instrument,
    /// A harness, over HTTP: stamped when it arrived.
    Http,
    /// `observer mark`: stamped when it arrived.
    Mark,
    /// A file of JUnit's results: begins are inferred from durations.
    Junit,
}

/// A clock that stamps markers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MarkerClock {
    /// The clock that stamps the frames, too.
    #[default]
    Capture,
    /// Another machine's, which may differ: see [`ClockOffset`].
    Remote,
}

/// How two clocks differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ClockOffset {
    /// What to add to a [remote](MarkerClock::Remote) clock's time to have the capture's, in nanoseconds.
    pub offset_ns: i64,
    /// By how much that may be wrong, in nanoseconds; `None` where nobody measured it.
    pub error_ns: Option<u64>,
}

/// Bytes of a label at most; what is longer is cut by [`Marker::new`].
pub const MAX_LABEL: usize = 1024;

impl Marker {
    /// A marker by the capture's clock, whose label is cut to [`MAX_LABEL`] bytes.
    #[must_use]
    pub fn new(at: Timestamp, kind: MarkerKind, origin: MarkerOrigin, label: &str) -> Self {
        let mut end = label.len().min(MAX_LABEL);
        while !label.is_char_boundary(end) {
            end = end.saturating_sub(1);
        }
        let label = label.get(..end).unwrap_or_default().to_owned();
        Self { at, clock: MarkerClock::Capture, kind, origin, label }
    }

    /// A plain word of `observer mark`, by the capture's clock.
    #[must_use]
    pub fn point(at: Timestamp, label: &str) -> Self {
        Self::new(at, MarkerKind::Point, MarkerOrigin::Mark, label)
    }

    /// The same marker, stamped by another machine's clock.
    #[must_use]
    pub fn remote(self) -> Self {
        Self { clock: MarkerClock::Remote, ..self }
    }

    /// The same marker by the capture's clock. Without an `offset` the clocks are taken for equal.
    #[must_use]
    pub fn corrected(self, offset: Option<ClockOffset>) -> Self {
        match (self.clock, offset) {
            (MarkerClock::Capture, _) => self,
            (MarkerClock::Remote, offset) => {
                let offset = offset.map_or(0, |offset| offset.offset_ns);
                Self { at: Timestamp(self.at.0.saturating_add(offset)), clock: MarkerClock::Capture, ..self }
            }
        }
    }

    /// What a recording keeps of it.
    #[must_use]
    pub fn to_comment(&self) -> String {
        if (self.kind, self.origin, self.clock)
            == (MarkerKind::Point, MarkerOrigin::Mark, MarkerClock::Capture)
        {
            return format!("{STEP}{}", self.label);
        }
        let mut text = format!("{MARKER}{}", self.kind.as_str());
        // Writing into a text cannot fail.
        if let MarkerKind::End(result) = self.kind {
            let _ = write!(text, " result={}", result.as_str());
        }
        let nanoseconds = self.at.0.rem_euclid(1_000_000_000);
        let _ = write!(text, " origin={} at={}.{nanoseconds:09}", self.origin.as_str(), self.at.seconds());
        if self.clock == MarkerClock::Remote {
            text.push_str(" clock=remote");
        }
        text.push_str(LABEL);
        text.push_str(&self.label);
        text
    }

    /// The marker in the comment of a packet of `at`, if it is one.
    #[must_use]
    pub fn from_comment(comment: &[u8], at: Timestamp) -> Option<Self> {
        if let Some(label) = comment.strip_prefix(STEP.as_bytes()) {
            return Some(Self::point(at, &String::from_utf8_lossy(label)));
        }
        let text = String::from_utf8_lossy(comment.strip_prefix(MARKER.as_bytes())?);
        let (head, label) = text.split_once(LABEL)?;
        let mut words = head.split(' ');
        let kind = words.next()?;
        let (mut result, mut origin, mut stamp, mut clock) = (None, None, None, MarkerClock::Capture);
        for word in words {
            match word.split_once('=')? {
                ("result", word) => result = Some(TestResult::find(word)?),
                ("origin", word) => origin = Some(MarkerOrigin::find(word)?),
                ("at", word) => stamp = Some(point_in_time(word)?),
                ("clock", "remote") => clock = MarkerClock::Remote,
                // A word of a later version.
                _ => {}
            }
        }
        let kind = match (kind, result) {
            ("point", _) => MarkerKind::Point,
            ("begin", _) => MarkerKind::Begin,
            ("end", result) => MarkerKind::End(result.unwrap_or(TestResult::Unknown)),
            ("run-started", _) => MarkerKind::RunStarted,
            ("run-finished", _) => MarkerKind::RunFinished,
            _ => return None,
        };
        Some(Self { clock, ..Self::new(stamp?, kind, origin?, label) })
    }

    /// Whether a packet's comment is a marker's.
    #[must_use]
    pub(super) fn is_comment(comment: &[u8]) -> bool {
        [STEP, MARKER].iter().any(|start| comment.starts_with(start.as_bytes()))
    }
}

/// What the comment of a plain word begins with.
const STEP: &str = "step=";
/// What the comments of all other markers begin with.
const MARKER: &str = "marker=";
/// What goes before the label, which is last and may have any bytes.
const LABEL: &str = " label=";

/// `SECONDS.NANOSECONDS` since the epoch, with nine digits; seconds are rounded down.
fn point_in_time(text: &str) -> Option<Timestamp> {
    let (seconds, nanoseconds) = text.split_once('.')?;
    let digits = nanoseconds.len() == 9 && nanoseconds.bytes().all(|byte| byte.is_ascii_digit());
    digits.then_some(Timestamp::new(seconds.parse().ok()?, nanoseconds.parse().ok()?))
}

/// The whole of a marker as records have it: `{"at","label","kind","origin","result"}`.
impl Serialize for Marker {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;
        let result = match self.kind {
            MarkerKind::End(result) => Some(result),
            _ => None,
        };
        let fields = if result.is_some() { 5 } else { 4 };
        let mut record = serializer.serialize_struct("Marker", fields)?;
        record.serialize_field("at", &self.at)?;
        record.serialize_field("label", &self.label)?;
        record.serialize_field("kind", self.kind.as_str())?;
        record.serialize_field("origin", &self.origin)?;
        if let Some(result) = result {
            record.serialize_field("result", &result)?;
        }
        record.end()
    }
}

impl MarkerKind {
    /// Its name in records, e.g. `run-started`; an end has the same with any result.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Point => "point",
            Self::Begin => "begin",
            Self::End(_) => "end",
            Self::RunStarted => "run-started",
            Self::RunFinished => "run-finished",
        }
    }
}

impl TestResult {
    const ALL: [Self; 6] =
        [Self::Passed, Self::Failed, Self::AssumptionFailed, Self::Ignored, Self::Unknown, Self::Unfinished];

    /// Its name in records, e.g. `assumption_failed`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::AssumptionFailed => "assumption_failed",
            Self::Ignored => "ignored",
            Self::Unknown => "unknown",
            Self::Unfinished => "unfinished",
        }
    }

    /// The result of that name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|result| result.as_str() == name)
    }
}

impl fmt::Display for TestResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.as_str().replace('_', " "))
    }
}

impl MarkerOrigin {
    const ALL: [Self; 5] = [Self::Logcat, Self::Instrument, Self::Http, Self::Mark, Self::Junit];

    /// Its name in records, e.g. `logcat`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Logcat => "logcat",
            Self::Instrument => "instrument",
            Self::Http => "http",
            Self::Mark => "mark",
            Self::Junit => "junit",
        }
    }

    /// The origin of that name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|origin| origin.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_marker() -> impl Strategy<Value = Marker> {
        let kind = prop_oneof![
            Just(MarkerKind::Point),
            Just(MarkerKind::Begin),
            prop::sample::select(TestResult::ALL.to_vec()).prop_map(MarkerKind::End),
            Just(MarkerKind::RunStarted),
            Just(MarkerKind::RunFinished),
        ];
        let origin = prop::sample::select(MarkerOrigin::ALL.to_vec());
        (any::<i64>(), kind, origin, any::<bool>(), ".{0,60}").prop_map(
            |(at, kind, origin, remote, label)| {
                let marker = Marker::new(Timestamp(at), kind, origin, &label);
                if remote { marker.remote() } else { marker }
            },
        )
    }

    proptest! {
        #[test]
        fn comments_come_back(marker in any_marker()) {
            let comment = marker.to_comment();
            prop_assert!(Marker::is_comment(comment.as_bytes()));
            prop_assert_eq!(Marker::from_comment(comment.as_bytes(), marker.at), Some(marker));
        }

        #[test]
        fn no_comment_makes_it_panic(comment in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Marker::from_comment(&[MARKER.as_bytes(), &comment].concat(), Timestamp(0));
        }
    }

    #[test]
    fn people_can_read_a_comment() {
        let end = MarkerKind::End(TestResult::AssumptionFailed);
        let marker =
            Marker::new(Timestamp(1_500_000_000), end, MarkerOrigin::Logcat, "pay(com.example.Cart)");
        let comment =
            "marker=end result=assumption_failed origin=logcat at=1.500000000 label=pay(com.example.Cart)";
        assert_eq!(marker.to_comment(), comment);
        assert_eq!(Marker::point(Timestamp(7), "log in").to_comment(), "step=log in");
    }

    #[test]
    fn the_remote_clock_alone_is_corrected() {
        let offset = Some(ClockOffset { offset_ns: -3, error_ns: Some(1) });
        let marker = Marker::point(Timestamp(10), "x");
        assert_eq!(marker.clone().corrected(offset).at, Timestamp(10));
        assert_eq!(marker.clone().remote().corrected(offset), Marker { at: Timestamp(7), ..marker.clone() });
        assert_eq!(marker.clone().remote().corrected(None), marker);
    }

    #[test]
    fn a_long_label_is_cut_between_characters() {
        let marker = Marker::point(Timestamp(0), &"é".repeat(MAX_LABEL));
        assert_eq!(marker.label.len(), MAX_LABEL);
        assert_eq!(Marker::point(Timestamp(0), &format!("x{}", "é".repeat(600))).label.len(), MAX_LABEL - 1);
    }
}
