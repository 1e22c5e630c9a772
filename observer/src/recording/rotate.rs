//! Names of capture files, and when the next one begins: tcpdump's `-C`, `-G` and `-W`.
//!
//! | | begins another file | named | ends |
//! |---|---|---|---|
//! | `-C` | before a frame, when the file is larger | `name`, `name1`, `name2`, … | never |
//! | `-C -W` | the same | `name0` to `name9`, then `name0` again | never: a ring |
//! | `-G` | before a frame that comes so long after the file began | by strftime(3), local time | never |
//! | `-G -W` | the same | the same | after so many files |
//! | `-C -G` | either | by strftime, then a number that begins anew with each interval | never |
//! | `-C -G -W` | either | the same, with leading zeros | never: the oldest file of the run is removed |
//!
//! The last row is where it differs from tcpdump, which ignores `-W` there and fills the disk. Time is that of the frames.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::{Path, PathBuf};

use jiff::fmt::strtime;
use jiff::tz::TimeZone;

use super::RecordingError;
use crate::time::Timestamp;

/// Bytes of the unit that `-C` counts in.
const MEGABYTE: u64 = 1_000_000;

/// When another file begins. The default is never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    /// Millions of bytes (1,000,000) after which another file begins.
    pub size: Option<NonZeroU64>,
    /// Seconds of capture time after which another file begins. The name is then a pattern of strftime(3).
    pub seconds: Option<NonZeroU64>,
    /// How many files there are at most. Without the others it says nothing.
    pub files: Option<NonZeroU32>,
}

/// What is to be done before a frame is written.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing.
    Stay,
    /// The file ends, `remove` goes, and the next one is `open`.
    Next { open: PathBuf, remove: Option<PathBuf> },
    /// The file ends, and it was the last one.
    Full,
}

/// The names of a run's files.
#[derive(Debug)]
pub(super) struct Names {
    pattern: PathBuf,
    rotation: Rotation,
    zone: TimeZone,
    /// When the interval began.
    began: Timestamp,
    /// Files within the interval, and intervals, before this one.
    number: u64,
    intervals: u64,
    /// The files that exist, the oldest first: kept where the oldest has to go.
    existing: VecDeque<PathBuf>,
}

impl Names {
    /// Names of files that begin at `began`, in the system's time zone.
    pub(super) fn new(pattern: &Path, rotation: Rotation, began: Timestamp) -> Self {
        Self::in_zone(pattern, rotation, began, TimeZone::system())
    }

    fn in_zone(pattern: &Path, rotation: Rotation, began: Timestamp, zone: TimeZone) -> Self {
        let pattern = pattern.to_owned();
        Self { pattern, rotation, zone, began, number: 0, intervals: 0, existing: VecDeque::new() }
    }

    /// The first file's name.
    pub(super) fn first(&mut self) -> Result<PathBuf, RecordingError> {
        let name = self.name()?;
        self.existing.push_back(name.clone());
        Ok(name)
    }

    /// What to do before a frame captured at `at` goes to a file of `written` bytes.
    pub(super) fn step(&mut self, at: Timestamp, written: u64) -> Result<Step, RecordingError> {
        let Rotation { size, seconds, files } = self.rotation;
        let files = files.map(|files| u64::from(files.get()));
        if seconds.is_some_and(|seconds| at.since(self.began).as_secs() >= seconds.get()) {
            self.began = at;
            self.number = 0;
            self.intervals = self.intervals.saturating_add(1);
            if size.is_none() && files.is_some_and(|files| self.intervals >= files) {
                return Ok(Step::Full);
            }
        } else if size.is_some_and(|size| written > size.get().saturating_mul(MEGABYTE)) {
            self.number = self.number.saturating_add(1);
            if let (None, Some(files)) = (seconds, files) {
                self.number = self.number.checked_rem(files).unwrap_or(0);
            }
        } else {
            return Ok(Step::Stay);
        }
        let open = self.name()?;
        let mut remove = None;
        if let (Some(_), Some(_), Some(files)) = (size, seconds, files) {
            self.existing.retain(|known| *known != open);
            self.existing.push_back(open.clone());
            if u64::try_from(self.existing.len()).is_ok_and(|len| len > files) {
                remove = self.existing.pop_front();
            }
        }
        Ok(Step::Next { open, remove })
    }

    fn name(&self) -> Result<PathBuf, RecordingError> {
        let mut name = match self.rotation.seconds {
            Some(_) => self.in_time()?.into(),
            None => OsString::from(&self.pattern),
        };
        let width = match (self.rotation.size, self.rotation.files) {
            (Some(_), Some(files)) => digits(files.get().saturating_sub(1)),
            _ => 0,
        };
        if self.number > 0 || width > 0 {
            name.push(format!("{:0width$}", self.number));
        }
        Ok(name.into())
    }

    /// The pattern with the time at which the interval began.
    fn in_time(&self) -> Result<String, RecordingError> {
        let failed =
            |reason: String| RecordingError::Name { pattern: self.pattern.display().to_string(), reason };
        let pattern = self.pattern.to_str().ok_or_else(|| failed("it is not UTF-8".to_owned()))?;
        let at = jiff::Timestamp::from_nanosecond(i128::from(self.began.0))
            .map_err(|error| failed(error.to_string()))?;
        strtime::format(pattern, &at.to_zoned(self.zone.clone())).map_err(|error| failed(error.to_string()))
    }
}

/// Digits of `value`; none of 0, as tcpdump has it.
fn digits(value: u32) -> usize {
    value.checked_ilog10().map_or(0, |log| usize::try_from(log).map_or(0, |log| log.saturating_add(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names, with times in seconds after 2026-11-22 10:00 UTC.
    fn names(pattern: &str, size: u64, seconds: u64, files: u32) -> Names {
        let rotation = Rotation {
            size: NonZeroU64::new(size),
            seconds: NonZeroU64::new(seconds),
            files: NonZeroU32::new(files),
        };
        Names::in_zone(Path::new(pattern), rotation, at(0), TimeZone::UTC)
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::new(1_795_341_600 + seconds, 0)
    }

    /// The file that a frame goes to, what went, or the end.
    fn shown(names: &mut Names, seconds: i64, written: u64) -> String {
        match names.step(at(seconds), written).unwrap() {
            Step::Stay => "stay".to_owned(),
            Step::Next { open, remove: None } => open.display().to_string(),
            Step::Next { open, remove: Some(gone) } => format!("{} -{}", open.display(), gone.display()),
            Step::Full => "full".to_owned(),
        }
    }

    fn first(names: &mut Names) -> String {
        names.first().unwrap().display().to_string()
    }

    #[test]
    fn without_options_there_is_one_file() {
        let mut names = names("a%H.pcapng", 0, 0, 3);
        assert_eq!(first(&mut names), "a%H.pcapng");
        assert_eq!(shown(&mut names, 1_000_000, u64::MAX), "stay");
    }

    #[test]
    fn sizes_are_millions_of_bytes_and_names_are_numbered() {
        let mut names = names("a", 2, 0, 0);
        assert_eq!(first(&mut names), "a");
        assert_eq!(shown(&mut names, 0, 2_000_000), "stay");
        for name in ["a1", "a2", "a3"] {
            assert_eq!(shown(&mut names, 0, 2_000_001), name);
        }
    }

    #[test]
    fn a_ring_begins_again_with_leading_zeros() {
        let mut ring = names("a", 1, 0, 11);
        assert_eq!(first(&mut ring), "a00");
        let seen: Vec<_> = (0..11).map(|_| shown(&mut ring, 0, 1_000_001)).collect();
        assert_eq!((seen[0].as_str(), seen[9].as_str(), seen[10].as_str()), ("a01", "a10", "a00"));
        let mut one = names("a", 1, 0, 1);
        assert_eq!((first(&mut one), shown(&mut one, 0, 1_000_001)), ("a".to_owned(), "a".to_owned()));
    }

    #[test]
    fn intervals_are_named_by_time_and_end_after_so_many() {
        let mut names = names("a-%Y%m%d-%H%M%S.pcapng", 0, 60, 3);
        assert_eq!(first(&mut names), "a-20261122-100000.pcapng");
        assert_eq!(shown(&mut names, 59, u64::MAX), "stay");
        // The next interval begins with the frame, as tcpdump has it.
        assert_eq!(shown(&mut names, 65, 0), "a-20261122-100105.pcapng");
        assert_eq!(shown(&mut names, 124, 0), "stay");
        assert_eq!(shown(&mut names, 125, 0), "a-20261122-100205.pcapng");
        assert_eq!(shown(&mut names, 185, 0), "full");
    }

    #[test]
    fn a_clock_that_is_set_back_ends_no_interval() {
        let mut names = names("a-%s", 0, 60, 0);
        first(&mut names);
        assert_eq!(shown(&mut names, -1_000, 0), "stay");
    }

    #[test]
    fn both_number_the_files_of_each_interval() {
        let mut names = names("%M", 1, 60, 0);
        assert_eq!(first(&mut names), "00");
        assert_eq!(shown(&mut names, 10, 1_000_001), "001");
        assert_eq!(shown(&mut names, 20, 1_000_001), "002");
        assert_eq!(shown(&mut names, 60, 1_000_001), "01");
        assert_eq!(shown(&mut names, 61, 1_000_001), "011");
    }

    #[test]
    fn all_three_keep_the_newest_files() {
        let mut names = names("%M-", 1, 60, 3);
        assert_eq!(first(&mut names), "00-0");
        assert_eq!(shown(&mut names, 10, 1_000_001), "00-1");
        assert_eq!(shown(&mut names, 60, 0), "01-0");
        assert_eq!(shown(&mut names, 120, 0), "02-0 -00-0");
        assert_eq!(shown(&mut names, 130, 1_000_001), "02-1 -00-1");
    }

    #[test]
    fn patterns_that_are_none_are_named() {
        let error = names("a-%&", 0, 60, 0).first().unwrap_err().to_string();
        assert!(error.starts_with("a-%& is no pattern for file names: "), "{error}");
    }
}
