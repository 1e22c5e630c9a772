//! Files that say which test ran when.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use jiff::tz::TimeZone;

use crate::android::{instrument, junit, logcat};
use crate::source::{ClockOffset, Marker};
use crate::time::Timestamp;

#[derive(clap::Args)]
#[command(next_help_heading = "Tests")]
pub(super) struct Witnesses {
    /// The device's log (`adb logcat`, -v threadtime, time or epoch): the tests of AndroidJUnitRunner, and what was logged under
    /// the tag Observer; can be repeated
    #[arg(long, value_name = "FILE")]
    logcat: Vec<PathBuf>,
    /// The output of `am instrument -r`, each line stamped as `| ts %.s` does; can be repeated
    #[arg(long, value_name = "FILE")]
    instrument: Vec<PathBuf>,
    /// JUnit's results (XML): times are inferred from those of suites and durations; can be repeated
    #[arg(long, value_name = "FILE")]
    junit: Vec<PathBuf>,
    /// What to add to the times of the machine that ran the tests (--instrument, --junit, marks made there) to have the capture's
    #[arg(long, value_name = "SECONDS", default_value = "0", hide_default_value = true, allow_hyphen_values = true, value_parser = seconds)]
    clock_offset: i64,
    /// The time zone of times that name none, e.g. Europe/Berlin
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = zone)]
    time_zone: TimeZone,
}

impl Witnesses {
    /// Whether a log may have times without a year.
    pub(super) fn wants_a_year(&self) -> bool {
        !self.logcat.is_empty()
    }

    /// How the other machine's clock differs, where the user said so.
    pub(super) fn clock_offset(&self) -> Option<ClockOffset> {
        (self.clock_offset != 0).then_some(ClockOffset { offset_ns: self.clock_offset, error_ns: None })
    }

    /// All that the files say, and what there is to say of them. The capture begins about `near`.
    pub(super) fn read(&self, near: Timestamp) -> anyhow::Result<(Vec<Marker>, Vec<String>)> {
        let (mut markers, mut notes) = (Vec::new(), Vec::new());
        let open = |path: &Path| File::open(path).with_context(|| format!("cannot read {}", path.display()));
        for path in &self.logcat {
            let assumed = logcat::Assumed { near, zone: self.time_zone.clone() };
            let summary = logcat::read(&mut open(path)?, assumed, &mut |marker| markers.push(marker))
                .with_context(|| format!("cannot read {}", path.display()))?;
            notes.extend(self.of_log(path, summary));
        }
        for path in &self.instrument {
            let found = instrument::read(&mut open(path)?, &mut |marker| markers.push(marker.remote()))
                .with_context(|| path.display().to_string())?;
            if found == 0 {
                notes.push(format!("{}: no test in it", path.display()));
            }
        }
        for path in &self.junit {
            let summary = junit::read(&mut open(path)?, &self.time_zone, &mut |marker| markers.push(marker))
                .with_context(|| path.display().to_string())?;
            notes.extend(of_results(path, summary));
        }
        Ok((markers, notes))
    }

    fn of_log(&self, path: &Path, summary: logcat::LogcatSummary) -> Vec<String> {
        let mut notes = Vec::new();
        if summary.markers == 0 {
            notes.push("no test in it: nothing under the tags TestRunner and Observer".to_owned());
        }
        if summary.assumed > 0 {
            let zone = self.time_zone.iana_name().unwrap_or("a fixed zone");
            notes.push(format!(
                "times without a year or a zone, read as of the year of the capture and of {zone}: {}",
                summary.assumed
            ));
        }
        for (count, what) in [
            (summary.untimed, "lines of tests whose time cannot be read"),
            (summary.cut, "lines longer than any of a log, cut"),
        ] {
            if count > 0 {
                notes.push(format!("{what}: {count}"));
            }
        }
        notes.into_iter().map(|note| format!("{}: {note}", path.display())).collect()
    }
}

fn of_results(path: &Path, summary: junit::JunitSummary) -> Vec<String> {
    let mut notes = Vec::new();
    if summary.tests > 0 {
        notes.push(format!("when its tests ran is inferred: {}", summary.tests));
    }
    for (count, what) in [
        (summary.untimed, "tests whose time it does not say"),
        (
            summary.end_stamped,
            "suites whose time was taken for that of their end, as Android's listeners write it",
        ),
    ] {
        if count > 0 {
            notes.push(format!("{what}: {count}"));
        }
    }
    notes.into_iter().map(|note| format!("{}: {note}", path.display())).collect()
}

/// Seconds with a sign and up to nine digits of a fraction, in nanoseconds.
fn seconds(text: &str) -> anyhow::Result<i64> {
    let wrong = || anyhow!("seconds are a number such as -1.25");
    let (sign, digits) = match text.split_at_checked(1) {
        Some(("-", digits)) => (-1, digits),
        Some(("+", digits)) => (1, digits),
        _ => (1, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(fraction) || fraction.len() > 9 {
        return Err(wrong());
    }
    let fraction: i64 = format!("{fraction:0<9}").parse()?;
    let whole = whole.parse::<i64>().ok().and_then(|whole| whole.checked_mul(1_000_000_000));
    whole.and_then(|whole| whole.checked_add(fraction)?.checked_mul(sign)).ok_or_else(wrong)
}

fn zone(name: &str) -> anyhow::Result<TimeZone> {
    match name {
        "UTC" | "Z" => Ok(TimeZone::UTC),
        name => TimeZone::get(name).map_err(Into::into),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_read_to_the_nanosecond() {
        for (text, nanoseconds) in
            [("0", 0), ("-1.25", -1_250_000_000), ("+0.000000001", 1), ("3600", 3_600_000_000_000)]
        {
            assert_eq!(seconds(text).unwrap(), nanoseconds, "{text}");
        }
        for text in ["", "-", "1,5", "1e9", ".5", "99999999999999", "--1"] {
            seconds(text).unwrap_err();
        }
    }
}
