//! The clocks of device and host: how far they are apart, and whether one was set.

use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use crate::source::ClockOffset;
use crate::time::Timestamp;

/// A clock that was set by more than this is spoken of, in nanoseconds.
const JUMP: i64 = 1_000_000_000;

/// The device's clocks at one moment, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceTime {
    /// `CLOCK_REALTIME`: since the Unix epoch. Frames and logcat have it.
    pub realtime: i64,
    /// `CLOCK_MONOTONIC`: since the start, without the time in suspend.
    pub monotonic: i64,
    /// `CLOCK_BOOTTIME`: since the start.
    pub boottime: i64,
}

/// What the answers to pings say.
#[derive(Debug, Default)]
pub(super) struct Clocks {
    best: Option<ClockOffset>,
    last: Option<DeviceTime>,
}

impl Clocks {
    /// The best of the measurements; of those since the clock was set, if it was.
    pub(super) fn offset(&self) -> Option<ClockOffset> {
        self.best
    }

    /// Takes an answer that came at `now` to a ping of `sent`; what there is to say of it.
    ///
    /// An answer from before its question says nothing, and is left out.
    pub(super) fn answer(&mut self, sent: Timestamp, now: Timestamp, device: DeviceTime) -> Vec<String> {
        let round_trip = now.0.saturating_sub(sent.0);
        if round_trip < 0 {
            return Vec::new();
        }
        let mut notes = Vec::new();
        if let Some(last) = self.last.replace(device) {
            let (set, slept) = changes(last, device);
            if set.saturating_abs() > JUMP {
                let words = if set > 0 { "ahead" } else { "back" };
                notes.push(format!("the device's clock was set {words} by {}", seconds(set)));
                self.best = None;
            }
            if slept > JUMP {
                notes.push(format!("the device was suspended for {}", seconds(slept)));
            }
        }
        let half = round_trip / 2;
        let offset_ns = device.realtime.saturating_sub(sent.0.saturating_add(half));
        let measured = ClockOffset { offset_ns, error_ns: u64::try_from(half).ok() };
        if self.best.is_none_or(|best| measured.error_ns < best.error_ns) {
            self.best = Some(measured);
        }
        notes
    }
}

/// By how much the clock on the wall was set between two moments, and how long the device slept, in nanoseconds.
fn changes(last: DeviceTime, now: DeviceTime) -> (i64, i64) {
    let passed = |clock: fn(&DeviceTime) -> i64| clock(&now).saturating_sub(clock(&last));
    let boottime = passed(|time| time.boottime);
    let set = passed(|time| time.realtime).saturating_sub(boottime);
    (set, boottime.saturating_sub(passed(|time| time.monotonic)))
}

fn seconds(nanoseconds: i64) -> String {
    let duration = Duration::from_nanos(nanoseconds.unsigned_abs());
    format!("{}.{:03} s", duration.as_secs(), duration.subsec_millis())
}

/// The clock on the wall.
#[expect(clippy::disallowed_methods, reason = "the edge: a device's clock is held against it")]
pub(super) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// A clock that nobody sets, for time-outs.
#[expect(clippy::disallowed_methods, reason = "the edge: a link that hangs is not waited for")]
pub(super) fn instant() -> Instant {
    Instant::now()
}

/// This system's clocks.
#[cfg(all(feature = "live", target_os = "linux"))]
pub(super) fn device_time() -> DeviceTime {
    use rustix::time::{ClockId, clock_gettime};
    let read = |clock| {
        let time = clock_gettime(clock);
        Timestamp::new(time.tv_sec, time.tv_nsec).0
    };
    DeviceTime {
        realtime: read(ClockId::Realtime),
        monotonic: read(ClockId::Monotonic),
        boottime: read(ClockId::Boottime),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn device(realtime: i64, monotonic: i64, boottime: i64) -> DeviceTime {
        DeviceTime { realtime, monotonic, boottime }
    }

    #[test]
    fn the_shortest_round_trip_tells_the_offset() {
        let mut clocks = Clocks::default();
        assert_eq!(clocks.offset(), None);
        // The device is 5 s ahead; its answer takes 40, 10 and 30 ms.
        for (sent, round_trip) in
            [(100 * SECOND, 40_000_000), (101 * SECOND, 10_000_000), (102 * SECOND, 30_000_000)]
        {
            let there = sent + round_trip / 2;
            let time = device(there + 5 * SECOND, there, there);
            let notes = clocks.answer(Timestamp(sent), Timestamp(sent + round_trip), time);
            assert_eq!(notes, [] as [String; 0]);
        }
        assert_eq!(clocks.offset(), Some(ClockOffset { offset_ns: 5 * SECOND, error_ns: Some(5_000_000) }));
    }

    #[test]
    fn a_clock_that_was_set_is_measured_anew() {
        let mut clocks = Clocks::default();
        clocks.answer(Timestamp(0), Timestamp(2), device(SECOND, SECOND, SECOND));
        // An emulator that loads a snapshot: the clock on the wall goes back.
        let notes = clocks.answer(
            Timestamp(SECOND),
            Timestamp(SECOND + 4),
            device(-3 * SECOND, 2 * SECOND, 2 * SECOND),
        );
        assert_eq!(notes, ["the device's clock was set back by 5.000 s"]);
        assert_eq!(clocks.offset(), Some(ClockOffset { offset_ns: -4 * SECOND - 2, error_ns: Some(2) }));
        let asleep = device(7 * SECOND, 3 * SECOND, 12 * SECOND);
        assert_eq!(
            clocks.answer(Timestamp(0), Timestamp(0), asleep),
            ["the device was suspended for 9.000 s"]
        );
    }

    #[test]
    fn an_answer_from_before_its_question_says_nothing() {
        let mut clocks = Clocks::default();
        assert!(clocks.answer(Timestamp(9), Timestamp(8), device(i64::MAX, i64::MIN, 0)).is_empty());
        assert_eq!(clocks.offset(), None);
        clocks.answer(Timestamp(i64::MIN), Timestamp(i64::MAX), device(i64::MIN, i64::MAX, i64::MIN));
        clocks.answer(Timestamp(0), Timestamp(0), device(i64::MAX, i64::MIN, i64::MAX));
    }
}
