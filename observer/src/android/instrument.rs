//! The output of `am instrument -r`, as far as it tells of tests.
//!
//! A status is some values and a code that ends it (androidx
//! `runner/android_junit_runner/java/androidx/test/internal/runner/listener/InstrumentationResultPrinter.java`):
//!
//! ```text
//! INSTRUMENTATION_STATUS: class=com.example.shop.ShopTest
//! INSTRUMENTATION_STATUS: test=login
//! INSTRUMENTATION_STATUS: stack=… may go on over many lines …
//! INSTRUMENTATION_STATUS_CODE: 1      1 begins, 0 passed, -1 and -2 failed, -3 ignored, -4 an assumption failed
//! INSTRUMENTATION_CODE: -1            the runner has ended
//! ```
//!
//! There are no times in it: a line's time is when it arrived. A file that was kept of it has times where each line
//! was stamped, as `ts %.s` does (moreutils): seconds since the epoch and a blank before each line.

use std::io::{self, Read};

use super::lines::{Lines, epoch};
use crate::source::{MAX_LABEL, Marker, MarkerKind, MarkerOrigin, TestResult};
use crate::time::Timestamp;

/// The output, line by line.
#[derive(Debug, Default)]
pub struct Instrument {
    lines: Lines,
    status: Status,
}

/// What is known of the status at hand.
#[derive(Debug, Default)]
struct Status {
    class: Option<String>,
    test: Option<String>,
    is_running: bool,
}

/// Why a file that was kept of the output says nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstrumentError {
    /// It cannot be read.
    #[error("cannot be read")]
    Io(#[from] io::Error),
    /// Nobody stamped its lines.
    #[error("line {line} has no time: am prints none, so keep its output with `| ts %.s` (moreutils)")]
    Unstamped {
        /// The first line that needs one, from 1.
        line: u64,
    },
}

impl Instrument {
    /// Takes bytes that arrived at `at`, and hands on the markers in them.
    pub fn feed(&mut self, bytes: &[u8], at: Timestamp, out: &mut dyn FnMut(Marker)) {
        self.lines.feed(bytes, &mut |line| self.status.line(&String::from_utf8_lossy(line), at, out));
    }

    /// Takes what no line end came after, at the end of the output, `at`: no test runs any more.
    pub fn finish(&mut self, at: Timestamp, out: &mut dyn FnMut(Marker)) {
        self.lines.finish(&mut |line| self.status.line(&String::from_utf8_lossy(line), at, out));
        self.status.end(at, out);
    }
}

/// Reads a file whose lines were stamped as they arrived; how many markers it has.
///
/// # Errors
/// Those of `input`, and when a line that tells something has no time; what was read before was handed on.
pub fn read(input: &mut dyn Read, out: &mut dyn FnMut(Marker)) -> Result<u64, InstrumentError> {
    let (mut lines, mut status) = (Lines::default(), Status::default());
    let (mut number, mut found, mut last, mut unstamped) = (0_u64, 0_u64, None, None);
    let mut line = |line: &[u8]| {
        number = number.saturating_add(1);
        let text = String::from_utf8_lossy(line);
        match text.split_once(' ').and_then(|(stamp, rest)| Some((epoch(stamp)?, rest))) {
            Some((at, rest)) => {
                last = Some(Timestamp(at));
                status.line(rest, Timestamp(at), &mut |marker| {
                    found = found.saturating_add(1);
                    out(marker);
                });
            }
            None if text.starts_with("INSTRUMENTATION_") => unstamped = unstamped.or(Some(number)),
            None => {}
        }
    };
    super::pour(input, &mut |bytes| lines.feed(bytes, &mut line))?;
    lines.finish(&mut line);
    if let Some(line) = unstamped {
        return Err(InstrumentError::Unstamped { line });
    }
    if let Some(at) = last {
        status.end(at, out);
    }
    Ok(found)
}

impl Status {
    fn line(&mut self, line: &str, at: Timestamp, out: &mut dyn FnMut(Marker)) {
        if let Some(value) = line.strip_prefix("INSTRUMENTATION_STATUS: ") {
            let kept = |value: &str| (value.len() <= MAX_LABEL).then(|| value.trim_end().to_owned());
            match value.split_once('=') {
                Some(("class", class)) => self.class = kept(class),
                Some(("test", test)) => self.test = kept(test),
                // Others, and what goes on over several lines, say nothing of time.
                _ => {}
            }
        } else if let Some(code) = line.strip_prefix("INSTRUMENTATION_STATUS_CODE: ") {
            self.code(code.trim(), at, out);
        } else if ["INSTRUMENTATION_CODE: ", "INSTRUMENTATION_FAILED: ", "INSTRUMENTATION_ABORTED: "]
            .iter()
            .any(|word| line.starts_with(word))
        {
            self.end(at, out);
        }
    }

    fn code(&mut self, code: &str, at: Timestamp, out: &mut dyn FnMut(Marker)) {
        let kind = match code {
            "1" => MarkerKind::Begin,
            "0" => MarkerKind::End(TestResult::Passed),
            "-1" | "-2" => MarkerKind::End(TestResult::Failed),
            "-3" => MarkerKind::End(TestResult::Ignored),
            "-4" => MarkerKind::End(TestResult::AssumptionFailed),
            // 2 is progress; others are those of other runners.
            _ => return,
        };
        let label = match (self.test.take(), self.class.take()) {
            (Some(test), Some(class)) if !test.is_empty() && test != "null" => format!("{test}({class})"),
            (_, Some(class)) => class,
            _ => return,
        };
        if !std::mem::replace(&mut self.is_running, true) {
            out(Marker::new(at, MarkerKind::RunStarted, MarkerOrigin::Instrument, ""));
        }
        out(Marker::new(at, kind, MarkerOrigin::Instrument, &label));
    }

    fn end(&mut self, at: Timestamp, out: &mut dyn FnMut(Marker)) {
        if std::mem::take(&mut self.is_running) {
            out(Marker::new(at, MarkerKind::RunFinished, MarkerOrigin::Instrument, ""));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use MarkerKind::{Begin, End, RunFinished, RunStarted};
    use TestResult::{AssumptionFailed, Failed, Ignored, Passed};

    const RUN: &str = "\
INSTRUMENTATION_STATUS: class=com.example.shop.ShopTest
INSTRUMENTATION_STATUS: current=1
INSTRUMENTATION_STATUS: id=AndroidJUnitRunner
INSTRUMENTATION_STATUS: numtests=3
INSTRUMENTATION_STATUS: stream=
com.example.shop.ShopTest:
INSTRUMENTATION_STATUS: test=login
INSTRUMENTATION_STATUS_CODE: 1
INSTRUMENTATION_STATUS: class=com.example.shop.ShopTest
INSTRUMENTATION_STATUS: test=login
INSTRUMENTATION_STATUS_CODE: 0
INSTRUMENTATION_STATUS: class=com.example.shop.ShopTest
INSTRUMENTATION_STATUS: test=pay[0]
INSTRUMENTATION_STATUS_CODE: 1
INSTRUMENTATION_STATUS: class=com.example.shop.ShopTest
INSTRUMENTATION_STATUS: stack=java.lang.AssertionError
\tat com.example.shop.ShopTest.pay(ShopTest.kt:7)
INSTRUMENTATION_STATUS: test=pay[0]
INSTRUMENTATION_STATUS_CODE: -2
INSTRUMENTATION_STATUS: class=com.example.shop.ShopTest
INSTRUMENTATION_STATUS: test=later
INSTRUMENTATION_STATUS_CODE: -3
INSTRUMENTATION_STATUS: class=com.example.shop.ShopTest
INSTRUMENTATION_STATUS: test=sale
INSTRUMENTATION_STATUS_CODE: -4
INSTRUMENTATION_STATUS: class=com.example.shop.BrokenTest
INSTRUMENTATION_STATUS: test=null
INSTRUMENTATION_STATUS_CODE: -2
INSTRUMENTATION_RESULT: stream=

Time: 1.234

INSTRUMENTATION_CODE: -1
";

    const SHOWN: [(MarkerKind, &str); 9] = [
        (RunStarted, ""),
        (Begin, "login(com.example.shop.ShopTest)"),
        (End(Passed), "login(com.example.shop.ShopTest)"),
        (Begin, "pay[0](com.example.shop.ShopTest)"),
        (End(Failed), "pay[0](com.example.shop.ShopTest)"),
        (End(Ignored), "later(com.example.shop.ShopTest)"),
        (End(AssumptionFailed), "sale(com.example.shop.ShopTest)"),
        (End(Failed), "com.example.shop.BrokenTest"),
        (RunFinished, ""),
    ];

    fn shown(markers: &[Marker]) -> Vec<(MarkerKind, &str)> {
        markers.iter().map(|marker| (marker.kind, marker.label.as_str())).collect()
    }

    #[test]
    fn statuses_become_markers_as_they_arrive() {
        let (mut output, mut markers) = (Instrument::default(), Vec::new());
        for (line, at) in RUN.split_inclusive('\n').zip(1..) {
            output.feed(line.as_bytes(), Timestamp(at), &mut |marker| markers.push(marker));
        }
        output.finish(Timestamp(99), &mut |marker| markers.push(marker));
        assert_eq!(shown(&markers), SHOWN);
        assert_eq!(markers[1].at, Timestamp(8));
        assert_eq!(markers[8].at, Timestamp(33));
    }

    #[test]
    fn an_output_that_breaks_off_ends_the_run() {
        let (mut output, mut markers) = (Instrument::default(), Vec::new());
        let begun = RUN.find("CODE: 1").unwrap() + "CODE: 1".len();
        output.feed(&RUN.as_bytes()[..begun], Timestamp(1), &mut |marker| markers.push(marker));
        assert_eq!(markers, []);
        output.finish(Timestamp(2), &mut |marker| markers.push(marker));
        assert_eq!(shown(&markers), [SHOWN[0], SHOWN[1], SHOWN[8]]);
    }

    #[test]
    fn a_file_has_times_where_its_lines_were_stamped() {
        let stamped: String =
            RUN.lines().zip(0..).map(|(line, ms)| format!("1795255200.{ms:03} {line}\n")).collect();
        let mut markers = Vec::new();
        assert_eq!(read(&mut stamped.as_bytes(), &mut |marker| markers.push(marker)).unwrap(), 9);
        assert_eq!(shown(&markers), SHOWN);
        assert_eq!(markers[1].at, Timestamp(1_795_255_200_007_000_000));
        let bare = read(&mut RUN.as_bytes(), &mut |_| {}).unwrap_err();
        assert!(matches!(bare, InstrumentError::Unstamped { line: 1 }), "{bare}");
    }

    proptest! {
        #[test]
        fn no_output_makes_it_panic(
            lines in prop::collection::vec("INSTRUMENTATION_(STATUS|STATUS_CODE|CODE)?: ?(class=|test=)?.{0,12}", 0..20),
        ) {
            let (mut output, text) = (Instrument::default(), lines.join("\n"));
            output.feed(text.as_bytes(), Timestamp(0), &mut |_| {});
            output.finish(Timestamp(0), &mut |_| {});
            let _ = read(&mut text.as_bytes(), &mut |_| {});
        }
    }
}
