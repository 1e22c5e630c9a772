//! Files of JUnit's results, as far as they tell when each test ran.
//!
//! Few of them say it. From the most to the least exact:
//!
//! - Android's orchestrator writes `start-time` and `end-time` of each test, by the device's clock (androidx
//!   `runner/android_test_orchestrator/…/listeners/OrchestrationXmlTestRunListener.java`); some runners write a `timestamp`
//!   for each test.
//! - Others write when the suite began, and how long each test took: their times are summed up. What passes between two
//!   tests is missing in that sum, so later tests lie ever further ahead of what they were.
//! - Android's own listeners (`XmlTestRunListener` of ddmlib, which the Android Gradle plugin uses, and the orchestrator's) write
//!   into `timestamp` when the suite *ended*. They are told by a host called `localhost` and a time without a zone.
//!
//! So all of it counts as inferred, and any other witness goes before it. Times without a zone are in the zone that the caller
//! says; Android's listeners and Gradle write UTC.
//!
//! quick-junit reads what it writes: a `<testsuites>` with times of RFC 3339. The files of Gradle and Android have neither,
//! so elements are taken from the tokenizer beneath it.

use std::io::{self, Read};

use jiff::civil;
use jiff::tz::TimeZone;
use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};

use super::lines::epoch;
use crate::source::{Marker, MarkerClock, MarkerKind, MarkerOrigin, TestResult};
use crate::time::Timestamp;

/// Bytes of a file at most: results of a whole test run have some MiB, with all their output.
const MAX_FILE: u64 = 64 << 20;

/// What there is to say of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JunitSummary {
    /// Tests with a time.
    pub tests: u64,
    /// Tests whose time nobody says.
    pub untimed: u64,
    /// Suites whose time was taken for that of their end.
    pub end_stamped: u64,
}

/// Why a file's tests are not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JunitError {
    /// It cannot be read.
    #[error("cannot be read")]
    Io(#[from] io::Error),
    /// It is too long.
    #[error("has more than {} MiB", MAX_FILE >> 20)]
    TooLong,
    /// It is no XML.
    #[error("is not well-formed at byte {offset}")]
    Xml {
        /// Bytes from its beginning.
        offset: u64,
        /// What is wrong.
        #[source]
        source: quick_xml::Error,
    },
    /// There is no suite in it.
    #[error("has no <testsuite>")]
    NoSuite,
}

/// Reads a file of results.
///
/// # Errors
/// When it cannot be read, is no XML or has no suite; the tests before the damage were handed on.
pub fn read(
    input: &mut dyn Read,
    zone: &TimeZone,
    out: &mut dyn FnMut(Marker),
) -> Result<JunitSummary, JunitError> {
    let mut bytes = Vec::new();
    input.take(MAX_FILE.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_FILE {
        return Err(JunitError::TooLong);
    }
    let text = String::from_utf8_lossy(&bytes);
    let mut xml = quick_xml::Reader::from_str(&text);
    let mut results =
        Results { zone, out, suite: None, test: None, suites: 0, summary: JunitSummary::default() };
    loop {
        match xml.read_event() {
            Ok(Event::Start(element)) => results.open(&element),
            Ok(Event::Empty(element)) => {
                results.open(&element);
                results.close(element.local_name().as_ref());
            }
            Ok(Event::End(element)) => results.close(element.local_name().as_ref()),
            Ok(Event::Eof) => break,
            Ok(_) => {}
            Err(source) => return Err(JunitError::Xml { offset: xml.error_position(), source }),
        }
    }
    if results.suites == 0 {
        return Err(JunitError::NoSuite);
    }
    Ok(results.summary)
}

struct Results<'a> {
    zone: &'a TimeZone,
    out: &'a mut dyn FnMut(Marker),
    /// The suite at hand; a suite within another takes its place.
    suite: Option<Suite>,
    test: Option<Test>,
    suites: u64,
    summary: JunitSummary,
}

/// A suite, as far as its tests are read.
#[derive(Clone, Copy)]
struct Suite {
    /// When the next test begins, in nanoseconds since the epoch.
    next: Option<i64>,
}

struct Test {
    name: String,
    /// Begin and end, in nanoseconds since the epoch, and the clock that they are by.
    span: Option<(i64, i64, MarkerClock)>,
    result: TestResult,
}

impl Results<'_> {
    fn open(&mut self, element: &BytesStart<'_>) {
        let value = |name: &str| attribute(element, name);
        match element.local_name().as_ref() {
            b"testsuite" => {
                self.suites = self.suites.saturating_add(1);
                let stamp = value("timestamp");
                let mut next = stamp.as_deref().and_then(|stamp| point(stamp, self.zone));
                // Android's listeners write when it ended.
                let is_bare = stamp.is_some_and(|stamp| civil_time(&stamp).is_some());
                if is_bare && value("hostname").as_deref() == Some("localhost") {
                    let length = value("time").and_then(|time| duration(&time));
                    next = next.zip(length).and_then(|(end, length)| end.checked_sub(length));
                    self.summary.end_stamped = self.summary.end_stamped.saturating_add(1);
                }
                // A suite within a suite may have no time of its own.
                self.suite = Some(Suite { next: next.or(self.suite.and_then(|suite| suite.next)) });
            }
            b"testcase" => self.test = self.begin(&value),
            b"failure" | b"error" => self.result(TestResult::Failed),
            b"skipped" => self.result(TestResult::Ignored),
            _ => {}
        }
    }

    fn begin(&mut self, value: &dyn Fn(&str) -> Option<String>) -> Option<Test> {
        let method = value("name")?;
        let name = match value("classname") {
            Some(class) if !class.is_empty() => format!("{method}({class})"),
            _ => method,
        };
        let length = value("time").and_then(|time| duration(&time)).unwrap_or(0);
        let own = value("start-time").and_then(|time| duration(&time));
        let own = own.zip(value("end-time").and_then(|time| duration(&time)));
        let stamp = value("timestamp").and_then(|stamp| point(&stamp, self.zone));
        let summed = self.suite.and_then(|suite| suite.next);
        let span = match (own, stamp.or(summed)) {
            (Some((start, end)), _) => Some((start, end.max(start), MarkerClock::Capture)),
            (None, Some(start)) => Some((start, start.saturating_add(length), MarkerClock::Remote)),
            (None, None) => None,
        };
        if let Some(suite) = &mut self.suite {
            suite.next = suite.next.map(|next| next.saturating_add(length));
        }
        Some(Test { name, span, result: TestResult::Passed })
    }

    fn result(&mut self, result: TestResult) {
        if let Some(test) = &mut self.test {
            test.result = result;
        }
    }

    fn close(&mut self, element: &[u8]) {
        let Some(test) = self.test.take_if(|_| element == b"testcase") else { return };
        let Some((start, end, clock)) = test.span else {
            self.summary.untimed = self.summary.untimed.saturating_add(1);
            return;
        };
        self.summary.tests = self.summary.tests.saturating_add(1);
        let marker =
            |at, kind| Marker { clock, ..Marker::new(Timestamp(at), kind, MarkerOrigin::Junit, &test.name) };
        if end > start {
            (self.out)(marker(start, MarkerKind::Begin));
        }
        (self.out)(marker(end, MarkerKind::End(test.result)));
    }
}

fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    let attribute = element.try_get_attribute(name).ok()??;
    attribute.normalized_value(XmlVersion::Explicit1_0).ok().map(std::borrow::Cow::into_owned)
}

/// Seconds with a fraction, in nanoseconds. Some writers put commas between thousands, or before the fraction.
fn duration(text: &str) -> Option<i64> {
    let text = text.trim();
    let text = if text.contains('.') { text.replace(',', "") } else { text.replace(',', ".") };
    let (seconds, fraction) = text.split_once('.').unwrap_or((&text, "0"));
    // Java prints as many digits as a double has.
    epoch(&format!("{seconds}.{}", fraction.get(..9).unwrap_or(fraction)))
}

/// A time of ISO 8601, without a zone in `zone`.
fn point(text: &str, zone: &TimeZone) -> Option<i64> {
    let point = match text.trim().parse::<jiff::Timestamp>() {
        Ok(point) => point,
        Err(_no_zone) => zone.to_timestamp(civil_time(text)?).ok()?,
    };
    i64::try_from(point.as_nanosecond()).ok()
}

/// A time of ISO 8601 that has no zone.
fn civil_time(text: &str) -> Option<civil::DateTime> {
    match text.trim().parse::<jiff::Timestamp>() {
        Ok(_has_zone) => None,
        Err(_no_zone) => text.trim().parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use TestResult::{Failed, Ignored, Passed};

    /// 2026-11-21 10:00 UTC.
    const TEN: i64 = 1_795_255_200_000_000_000;

    /// Milliseconds after 10 o'clock, kind, clock and label of each.
    fn parsed(text: &str) -> (Vec<(i64, MarkerKind, MarkerClock, String)>, JunitSummary) {
        let mut markers = Vec::new();
        let mut out = |marker: Marker| {
            markers.push(((marker.at.0 - TEN) / 1_000_000, marker.kind, marker.clock, marker.label));
        };
        let summary = read(&mut text.as_bytes(), &TimeZone::UTC, &mut out).unwrap();
        (markers, summary)
    }

    fn shown(text: &str) -> Vec<(i64, Option<TestResult>, String)> {
        let result = |kind| match kind {
            MarkerKind::End(result) => Some(result),
            _ => None,
        };
        parsed(text).0.into_iter().map(|(ms, kind, _, label)| (ms, result(kind), label)).collect()
    }

    #[test]
    fn durations_are_summed_up_from_the_suite_s_begin() {
        let text = r#"<?xml version="1.0" encoding="UTF-8"?>
            <testsuite name="T" tests="3" timestamp="2026-11-21T10:00:01" hostname="ci-7" time="3.5">
              <properties/>
              <testcase name="login" classname="com.example.T" time="1.5"/>
              <testcase name="pay[0: &quot;visa&quot;]" classname="com.example.T" time="2.0">
                <failure message="no" type="java.lang.AssertionError">at com.example</failure>
              </testcase>
              <testcase name="later" classname="com.example.T" time="0"><skipped/></testcase>
              <system-out><![CDATA[<testcase name="fake" time="9"/>]]></system-out>
            </testsuite>"#;
        let pay = "pay[0: \"visa\"](com.example.T)".to_owned();
        assert_eq!(
            shown(text),
            [
                (1_000, None, "login(com.example.T)".to_owned()),
                (2_500, Some(Passed), "login(com.example.T)".to_owned()),
                (2_500, None, pay.clone()),
                (4_500, Some(Failed), pay),
                (4_500, Some(Ignored), "later(com.example.T)".to_owned()),
            ]
        );
        let (markers, summary) = parsed(text);
        assert!(markers.iter().all(|(_, _, clock, _)| *clock == MarkerClock::Remote));
        assert_eq!(summary, JunitSummary { tests: 3, untimed: 0, end_stamped: 0 });
    }

    #[test]
    fn android_s_listeners_say_when_a_suite_ended() {
        let text = r#"<testsuite name="" tests="1" time="4.0" timestamp="2026-11-21T10:00:10" hostname="localhost">
            <testcase name="a" classname="T" time="1.25" /></testsuite>"#;
        assert_eq!(shown(text), [(6_000, None, "a(T)".to_owned()), (7_250, Some(Passed), "a(T)".to_owned())]);
        assert_eq!(parsed(text).1.end_stamped, 1);
    }

    #[test]
    fn what_a_test_says_of_itself_goes_first() {
        let text = r#"<testsuites><testsuite timestamp="2026-11-21T10:00:10" time="4.0" hostname="localhost">
            <testcase name="a" classname="T" start-time="1795255200.500" end-time="1795255201,250" time="0.75"/>
            <testcase name="b" classname="T" timestamp="2026-11-21T11:00:02.5+01:00" time="1,000.5"/>
            </testsuite></testsuites>"#;
        let (markers, _) = parsed(text);
        let shown: Vec<_> = markers.iter().map(|(ms, _, clock, _)| (*ms, *clock)).collect();
        let (device, host) = (MarkerClock::Capture, MarkerClock::Remote);
        assert_eq!(shown, [(500, device), (1_250, device), (2_500, host), (1_003_000, host)]);
    }

    #[test]
    fn what_has_no_time_is_counted() {
        let text =
            r#"<testsuites><testsuite name="x"><testcase name="a" time="1"/></testsuite></testsuites>"#;
        let (markers, summary) = parsed(text);
        assert_eq!((markers.len(), summary.untimed), (0, 1));
    }

    #[test]
    fn other_files_are_refused_in_words() {
        let refused =
            |text: &str| read(&mut text.as_bytes(), &TimeZone::UTC, &mut |_| {}).unwrap_err().to_string();
        assert_eq!(refused("hello"), "has no <testsuite>");
        assert_eq!(refused("<testsuite><testcase></testsuite>"), "is not well-formed at byte 21");
    }

    proptest! {
        #[test]
        fn no_file_makes_it_panic(
            pieces in prop::collection::vec("<?/?(testsuite|testcase|failure)? ?(timestamp|time|name|start-time)?=?\"?.{0,9}\"?/?>?", 0..20),
        ) {
            let _ = read(&mut pieces.concat().as_bytes(), &TimeZone::UTC, &mut |_| {});
        }
    }
}
