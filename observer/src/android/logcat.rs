//! The device's log, as far as it tells of tests.
//!
//! `AndroidJUnitRunner` writes the life of each test under the tag `TestRunner` (androidx
//! `runner/android_junit_runner/java/androidx/test/internal/runner/listener/LogRunListener.java`):
//!
//! ```text
//! I  run started: N tests
//! I  started: NAME
//! E  failed: NAME                     E  assumption failed: NAME
//! E  ----- begin exception -----      … the stack trace …      E  ----- end exception -----
//! I  ignored: NAME
//! I  finished: NAME
//! I  run finished: N tests, N failed, N ignored
//! ```
//!
//! `NAME` is `method(fully.qualified.Class)`, or a class whose set-up failed. Other harnesses on the device may write under
//! [`TAG`]: `step LABEL`, `step-begin NAME`, `step-end NAME`, `step-end[RESULT] NAME`, with a result of [`TestResult`].
//!
//! Read are `logcat -v threadtime` (what `adb logcat` prints unasked) and `-v time`, with `epoch`, `usec`, `nsec`, `year`, `zone`
//! and `uid` as they come. A time without a year or a zone is read with what is [`Assumed`]. What an exception's text says is not
//! taken for the runner's word: its lines have another level. Any app may write under any tag: who distrusts the app under
//! test has its tests told by another way.

use std::io::{self, Read};

use jiff::civil;
use jiff::tz::TimeZone;

use super::lines::{Lines, epoch};
use crate::source::{Marker, MarkerKind, MarkerOrigin, TestResult};
use crate::time::Timestamp;

/// The tag under which an app or a harness on the device may set markers.
pub const TAG: &str = "Observer";
/// The runner's tag.
const RUNNER: &str = "TestRunner";
/// Words between a line's time and its level: uid, pid and tid.
const MAX_WORDS: usize = 3;
/// Times before this are since the device's start (`-v monotonic`): the year 2001.
const EARLIEST: i64 = 1_000_000_000_000_000_000;

/// What a time without year or zone is read with.
#[derive(Clone, Debug)]
pub struct Assumed {
    /// A time near which the log was written: the year is the one that leads there.
    pub near: Timestamp,
    /// The device's time zone.
    pub zone: TimeZone,
}

impl Assumed {
    /// A device that shows UTC, about `near`.
    #[must_use]
    pub fn utc(near: Timestamp) -> Self {
        Self { near, zone: TimeZone::UTC }
    }
}

/// What there is to say of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogcatSummary {
    /// Markers found.
    pub markers: u64,
    /// Of these, how many had no year or no zone in their time.
    pub assumed: u64,
    /// Lines of the runner's tag or of [`TAG`] whose time cannot be read.
    pub untimed: u64,
    /// Lines that were longer than any that logd writes.
    pub cut: u64,
}

/// A log, line by line.
#[derive(Debug)]
pub struct Logcat {
    lines: Lines,
    reader: LineReader,
}

#[derive(Debug)]
struct LineReader {
    assumed: Assumed,
    /// The test that runs.
    current: Option<String>,
    /// What was said of it.
    result: Option<TestResult>,
    in_exception: bool,
    summary: LogcatSummary,
}

/// A line that may matter.
struct Line<'a> {
    /// The time, and whether something of it is assumed; `None` where it cannot be read.
    at: Option<(Timestamp, bool)>,
    level: u8,
    tag: &'a str,
    message: &'a str,
}

impl Logcat {
    /// A log of which nothing is read yet.
    #[must_use]
    pub fn new(assumed: Assumed) -> Self {
        let summary = LogcatSummary::default();
        let reader = LineReader { assumed, current: None, result: None, in_exception: false, summary };
        Self { lines: Lines::default(), reader }
    }

    /// Takes bytes as they arrive, and hands on the markers in them.
    pub fn feed(&mut self, bytes: &[u8], out: &mut dyn FnMut(Marker)) {
        self.lines.feed(bytes, &mut |line| self.reader.line(line, out));
    }

    /// Takes what no line end came after.
    pub fn finish(&mut self, out: &mut dyn FnMut(Marker)) -> LogcatSummary {
        self.lines.finish(&mut |line| self.reader.line(line, out));
        LogcatSummary { cut: self.lines.cut(), ..self.reader.summary }
    }
}

/// Reads a whole log.
///
/// # Errors
/// Those of `input`; what was read before was handed on.
pub fn read(
    input: &mut dyn Read,
    assumed: Assumed,
    out: &mut dyn FnMut(Marker),
) -> io::Result<LogcatSummary> {
    let mut log = Logcat::new(assumed);
    super::pour(input, &mut |bytes| log.feed(bytes, out))?;
    Ok(log.finish(out))
}

impl LineReader {
    fn line(&mut self, line: &[u8], out: &mut dyn FnMut(Marker)) {
        // Most lines are somebody else's: a search for the tags is cheaper than reading the time.
        let is_ours = |tag: &str| line.windows(tag.len()).any(|window| window == tag.as_bytes());
        if !is_ours(RUNNER) && !is_ours(TAG) {
            return;
        }
        let text = String::from_utf8_lossy(line);
        let Some(line) = Line::read(&text, &self.assumed) else { return };
        let said = match line.tag {
            RUNNER => self.runner(line.level, line.message),
            TAG => harness(line.message),
            _ => None,
        };
        let Some((kind, label)) = said else { return };
        let Some((at, is_assumed)) = line.at else {
            self.summary.untimed = self.summary.untimed.saturating_add(1);
            return;
        };
        self.summary.markers = self.summary.markers.saturating_add(1);
        self.summary.assumed = self.summary.assumed.saturating_add(u64::from(is_assumed));
        out(Marker::new(at, kind, MarkerOrigin::Logcat, label));
    }

    /// What a line of the runner's says.
    fn runner<'a>(&mut self, level: u8, message: &'a str) -> Option<(MarkerKind, &'a str)> {
        if level == b'E' {
            match message {
                "----- begin exception -----" => self.in_exception = true,
                "----- end exception -----" => self.in_exception = false,
                _ if self.in_exception => {}
                _ => {
                    let (result, name) =
                        match (message.strip_prefix("failed: "), message.strip_prefix("assumption failed: "))
                        {
                            (Some(name), _) => (TestResult::Failed, name),
                            (_, Some(name)) => (TestResult::AssumptionFailed, name),
                            _ => return None,
                        };
                    if self.current.as_deref() == Some(name) {
                        self.result = Some(result);
                        return None;
                    }
                    // A class that could not be set up or taken down: its tests never began, or are over.
                    return Some((MarkerKind::End(result), name));
                }
            }
            return None;
        }
        // A line that was lost may have been the exception's end.
        self.in_exception = false;
        if level != b'I' {
            return None;
        }
        if let Some(name) = message.strip_prefix("started: ") {
            self.current = Some(name.to_owned());
            self.result = None;
            return Some((MarkerKind::Begin, name));
        }
        if let Some(name) = message.strip_prefix("finished: ") {
            let result = self.result.take().unwrap_or(TestResult::Passed);
            let result = if self.current.as_deref() == Some(name) { result } else { TestResult::Unknown };
            self.current = None;
            return Some((MarkerKind::End(result), name));
        }
        if let Some(name) = message.strip_prefix("ignored: ") {
            return Some((MarkerKind::End(TestResult::Ignored), name));
        }
        let kind = if message.starts_with("run started: ") {
            MarkerKind::RunStarted
        } else if message.starts_with("run finished: ") {
            MarkerKind::RunFinished
        } else {
            return None;
        };
        self.current = None;
        message.split_once(": ").map(|(_, numbers)| (kind, numbers))
    }
}

/// What a line of [`TAG`] says.
fn harness(message: &str) -> Option<(MarkerKind, &str)> {
    let (verb, label) = message.trim().split_once(' ')?;
    let label = label.trim();
    let kind = match verb {
        "step" => MarkerKind::Point,
        "step-begin" => MarkerKind::Begin,
        "step-end" => MarkerKind::End(TestResult::Unknown),
        verb => {
            let result = verb.strip_prefix("step-end[")?.strip_suffix(']')?;
            MarkerKind::End(TestResult::find(result)?)
        }
    };
    (!label.is_empty()).then_some((kind, label))
}

impl<'a> Line<'a> {
    fn read(text: &'a str, assumed: &Assumed) -> Option<Self> {
        let (at, rest) = time(text.trim_start(), assumed)?;
        // -v time: `I/TestRunner( 1234): started: …`
        if let [level, b'/', ..] = rest.as_bytes() {
            let (tag, rest) = rest.get(2..)?.split_once('(')?;
            let (_, message) = rest.split_once("): ")?;
            return Some(Self { at, level: *level, tag: tag.trim_end(), message });
        }
        let mut rest = rest;
        for _ in 0..=MAX_WORDS {
            let (word, after) = rest.split_once(' ')?;
            rest = after.trim_start();
            if let [level] = word.as_bytes()
                && level.is_ascii_uppercase()
            {
                let (tag, message) = rest.split_once(": ")?;
                return Some(Self { at, level: *level, tag: tag.trim_end(), message });
            }
        }
        None
    }
}

type Stamp = Option<(Timestamp, bool)>;

/// The time that a line begins with, and the rest of the line; `None` for a line that begins with none.
fn time<'a>(text: &'a str, assumed: &Assumed) -> Option<(Stamp, &'a str)> {
    let (first, rest) = text.split_once(' ')?;
    if first.contains('.') {
        let at = epoch(first).filter(|at| *at >= EARLIEST).map(|at| (Timestamp(at), false));
        return Some((at, rest.trim_start()));
    }
    let (clock, rest) = rest.trim_start().split_once(' ')?;
    let rest = rest.trim_start();
    let (zone, rest) = match rest.split_once(' ') {
        Some((zone, after)) if zone.starts_with(['+', '-']) => (offset(zone), after.trim_start()),
        _ => (None, rest),
    };
    Some((calendar(first, clock, zone, assumed), rest))
}

/// `+0130`, in seconds east of Greenwich.
fn offset(text: &str) -> Option<TimeZone> {
    let (sign, digits) = text.split_at_checked(1)?;
    let (hours, minutes) = digits.split_at_checked(2)?;
    let seconds = hours.parse::<i32>().ok()?.checked_mul(3600)?;
    let seconds = minutes.parse::<i32>().ok()?.checked_mul(60)?.checked_add(seconds)?;
    let seconds = if sign == "-" { seconds.checked_neg()? } else { seconds };
    Some(TimeZone::fixed(jiff::tz::Offset::from_seconds(seconds).ok()?))
}

/// A time on the calendar: `11-21` or `2026-11-21`, and `10:00:00.123`.
fn calendar(date: &str, clock: &str, zone: Option<TimeZone>, assumed: &Assumed) -> Stamp {
    let clock: civil::Time = clock.parse().ok()?;
    let is_assumed = zone.is_none();
    let zone = zone.unwrap_or_else(|| assumed.zone.clone());
    let point = |date: civil::Date| {
        let point = zone.to_timestamp(date.to_datetime(clock)).ok()?;
        Some(Timestamp(i64::try_from(point.as_nanosecond()).ok()?))
    };
    let numbers: Vec<&str> = date.split('-').collect();
    match numbers.as_slice() {
        [year, month, day] => {
            let date = civil::Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok()?;
            Some((point(date)?, is_assumed))
        }
        [month, day] => {
            let (month, day) = (month.parse().ok()?, day.parse().ok()?);
            let near = jiff::Timestamp::from_nanosecond(i128::from(assumed.near.0)).ok()?;
            let year = near.to_zoned(zone.clone()).year();
            let years = [year.checked_sub(1), Some(year), year.checked_add(1)].into_iter().flatten();
            let points = years.filter_map(|year| point(civil::Date::new(year, month, day).ok()?));
            let nearest = points.min_by_key(|point| point.0.abs_diff(assumed.near.0))?;
            Some((nearest, true))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use MarkerKind::{Begin, End, Point, RunFinished, RunStarted};
    use TestResult::{AssumptionFailed, Failed, Ignored, Passed, Unknown};

    /// 2026-11-21 10:00 UTC.
    const NEAR: i64 = 1_795_255_200_000_000_000;

    fn assumed() -> Assumed {
        Assumed::utc(Timestamp(NEAR))
    }

    fn parsed(text: &str) -> (Vec<Marker>, LogcatSummary) {
        let mut markers = Vec::new();
        let read = read(&mut text.as_bytes(), assumed(), &mut |marker| markers.push(marker));
        (markers, read.unwrap())
    }

    /// Milliseconds after 10 o'clock, kind and label of each.
    fn shown(markers: &[Marker]) -> Vec<(i64, MarkerKind, &str)> {
        let one = |marker: &Marker| (marker.at.0 - NEAR) / 1_000_000;
        markers.iter().map(|marker| (one(marker), marker.kind, marker.label.as_str())).collect()
    }

    const RUN: &str = "\
--------- beginning of main
11-21 10:00:00.000  4321  4340 I TestRunner: run started: 5 tests
11-21 10:00:00.100  4321  4340 I TestRunner: started: login(com.example.shop.ShopTest)
11-21 10:00:00.150  4321  4321 D Shop    : started: not the runner
11-21 10:00:01.200  4321  4340 I TestRunner: finished: login(com.example.shop.ShopTest)
11-21 10:00:01.300  4321  4340 I TestRunner: started: pay[0: card (visa)](com.example.shop.ShopTest)
11-21 10:00:02.000  4321  4340 E TestRunner: failed: pay[0: card (visa)](com.example.shop.ShopTest)
11-21 10:00:02.000  4321  4340 E TestRunner: ----- begin exception -----
11-21 10:00:02.001  4321  4340 E TestRunner: java.lang.AssertionError: expected
11-21 10:00:02.001  4321  4340 E TestRunner: finished: fake(com.example.Fake)
11-21 10:00:02.001  4321  4340 E TestRunner: failed: fake(com.example.Fake)
11-21 10:00:02.002  4321  4340 E TestRunner: ----- end exception -----
11-21 10:00:02.100  4321  4340 I TestRunner: finished: pay[0: card (visa)](com.example.shop.ShopTest)
11-21 10:00:02.200  4321  4340 I TestRunner: ignored: later(com.example.shop.ShopTest)
--------- switch to crash
11-21 10:00:02.300  4321  4340 I TestRunner: started: sale(com.example.shop.ShopTest)
11-21 10:00:02.400  4321  4340 E TestRunner: assumption failed: sale(com.example.shop.ShopTest)
11-21 10:00:02.400  4321  4340 E TestRunner: ----- begin exception -----
11-21 10:00:02.500  4321  4340 I TestRunner: finished: sale(com.example.shop.ShopTest)
11-21 10:00:02.600  4321  4340 E TestRunner: failed: com.example.shop.BrokenTest
11-21 10:00:02.700  4321  4340 I TestRunner: run finished: 5 tests, 2 failed, 1 ignored
";

    #[test]
    fn the_runner_s_lines_become_markers() {
        let (markers, summary) = parsed(RUN);
        assert_eq!(
            shown(&markers),
            [
                (0, RunStarted, "5 tests"),
                (100, Begin, "login(com.example.shop.ShopTest)"),
                (1_200, End(Passed), "login(com.example.shop.ShopTest)"),
                (1_300, Begin, "pay[0: card (visa)](com.example.shop.ShopTest)"),
                (2_100, End(Failed), "pay[0: card (visa)](com.example.shop.ShopTest)"),
                (2_200, End(Ignored), "later(com.example.shop.ShopTest)"),
                (2_300, Begin, "sale(com.example.shop.ShopTest)"),
                (2_500, End(AssumptionFailed), "sale(com.example.shop.ShopTest)"),
                (2_600, End(Failed), "com.example.shop.BrokenTest"),
                (2_700, RunFinished, "5 tests, 2 failed, 1 ignored"),
            ]
        );
        assert_eq!((summary.markers, summary.assumed, summary.untimed), (10, 10, 0));
    }

    #[test]
    fn every_form_of_a_line_is_read() {
        let forms = [
            ("11-21 10:00:00.250  1 2 I TestRunner: started: a(T)", true),
            ("11-21 10:00:00.250000  1000  1 2 I TestRunner: started: a(T)", true),
            ("11-21 10:00:00.250  u0_a12  1 2 I TestRunner: started: a(T)", true),
            ("2026-11-21 10:00:00.250  1 2 I TestRunner: started: a(T)", true),
            ("2026-11-21 11:30:00.250 +0130  1 2 I TestRunner: started: a(T)", false),
            ("11-21 11:00:00.250 +0100  1 2 I TestRunner: started: a(T)\r", true),
            ("        1795255200.250  1 2 I TestRunner: started: a(T)", false),
            ("        1795255200.250000  1 2 I TestRunner  : started: a(T)", false),
            ("1795255200.250000000 I/TestRunner( 1234): started: a(T)", false),
            ("11-21 10:00:00.250 I/TestRunner( 1234): started: a(T)", true),
        ];
        for (line, is_assumed) in forms {
            let (markers, summary) = parsed(line);
            assert_eq!(shown(&markers), [(250, Begin, "a(T)")], "{line}");
            assert_eq!(summary.assumed, u64::from(is_assumed), "{line}");
        }
    }

    #[test]
    fn a_harness_has_a_tag_of_its_own() {
        let lines = [
            "step-begin log in",
            "step-end log in",
            "step-begin cart",
            "step-end[failed] cart",
            "step pay",
            "step-end[great] x",
            "step-begin",
            "hello",
        ];
        let text: String =
            lines.map(|line| format!("1795255200.000  1 2 I Observer: {line}\n")).into_iter().collect();
        let (markers, _) = parsed(&text);
        assert_eq!(
            shown(&markers),
            [
                (0, Begin, "log in"),
                (0, End(Unknown), "log in"),
                (0, Begin, "cart"),
                (0, End(Failed), "cart"),
                (0, Point, "pay"),
            ]
        );
    }

    #[test]
    fn the_year_is_the_one_that_leads_near() {
        let at = |near: &str, line: &str| {
            let near: jiff::Timestamp = near.parse().unwrap();
            let near = Timestamp(i64::try_from(near.as_nanosecond()).unwrap());
            let mut found = Vec::new();
            let assumed = Assumed::utc(near);
            read(&mut line.as_bytes(), assumed, &mut |marker| found.push(marker.at.to_string())).unwrap();
            found
        };
        let december = "12-31 23:59:59.000  1 2 I TestRunner: started: a(T)";
        assert_eq!(at("2027-01-01T00:00:05Z", december), ["2026-12-31T23:59:59.000000000Z"]);
        let january = "01-01 00:00:01.000  1 2 I TestRunner: started: a(T)";
        assert_eq!(at("2026-12-31T23:59:50Z", january), ["2027-01-01T00:00:01.000000000Z"]);
        let leap = "02-29 12:00:00.000  1 2 I TestRunner: started: a(T)";
        assert_eq!(at("2028-03-01T00:00:00Z", leap), ["2028-02-29T12:00:00.000000000Z"]);
    }

    #[test]
    fn times_since_the_start_are_no_times() {
        let (markers, summary) = parsed(
            "  12345.678  1 2 I TestRunner: started: a(T)\n02-30 10:00:00.000  1 2 I TestRunner: started: a(T)\n",
        );
        assert_eq!((markers.len(), summary.untimed), (0, 2));
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_markers(cuts in prop::collection::vec(0..RUN.len(), 0..6)) {
            let mut cuts = cuts;
            cuts.sort_unstable();
            let (mut log, mut markers, mut from) = (Logcat::new(assumed()), Vec::new(), 0);
            for cut in cuts.into_iter().chain([RUN.len()]) {
                log.feed(&RUN.as_bytes()[from..cut], &mut |marker| markers.push(marker));
                from = cut;
            }
            log.finish(&mut |marker| markers.push(marker));
            prop_assert_eq!(markers, parsed(RUN).0);
        }

        #[test]
        fn no_log_makes_it_panic(lines in prop::collection::vec("(11-21 |1795255200.0 )?[0-9:. +-]{0,20}( I |/)?(TestRunner|Observer)?.{0,30}", 0..20)) {
            parsed(&lines.join("\n"));
        }
    }
}
