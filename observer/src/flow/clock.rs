//! Capture time that never runs backwards.

use crate::time::{Tick, Timestamp};

/// Turns the timestamps of frames into [`Tick`]s.
///
/// Every frame has a greater tick than its predecessor, by a nanosecond where the capture's clock stands still, so that
/// what ended at one frame is over at the next. A clock that was set back stands still for that frame and goes on from there. A jump ahead by more than
/// [`Clock::JUMP`] is believed only when the next frame confirms it, so that one damaged timestamp ends no flow.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    last: Option<Timestamp>,
    ahead: Option<Timestamp>,
    now: Tick,
    steps_back: u64,
    outliers: u64,
}

impl Clock {
    /// Nanoseconds between two frames that need a second witness: ten minutes.
    pub const JUMP: i64 = 600 * 1_000_000_000;

    /// The tick of a frame captured at `timestamp`.
    pub fn advance(&mut self, timestamp: Timestamp) -> Tick {
        let elapsed = self.elapsed(timestamp);
        self.now = Tick(self.now.0.saturating_add(elapsed.max(1)));
        self.now
    }

    /// Nanoseconds since the frame before, as far as they are believed.
    fn elapsed(&mut self, timestamp: Timestamp) -> u64 {
        let Some(last) = self.last else {
            self.last = Some(timestamp);
            return 0;
        };
        let delta = timestamp.0.saturating_sub(last.0);
        if delta < 0 {
            if self.ahead.take().is_some() {
                self.outliers = self.outliers.saturating_add(1);
            }
            self.steps_back = self.steps_back.saturating_add(1);
            self.last = Some(timestamp);
            return 0;
        }
        if delta > Self::JUMP {
            let confirmed =
                self.ahead.is_some_and(|ahead| timestamp.0.abs_diff(ahead.0) <= Self::JUMP.unsigned_abs());
            if !confirmed {
                if self.ahead.replace(timestamp).is_some() {
                    self.outliers = self.outliers.saturating_add(1);
                }
                return 0;
            }
        } else if self.ahead.take().is_some() {
            self.outliers = self.outliers.saturating_add(1);
        }
        self.ahead = None;
        self.last = Some(timestamp);
        delta.unsigned_abs()
    }

    /// The tick of the last frame.
    #[must_use]
    pub fn now(&self) -> Tick {
        self.now
    }

    /// Frames whose timestamp is before their predecessor's.
    #[must_use]
    pub fn steps_back(&self) -> u64 {
        self.steps_back
    }

    /// Frames whose timestamp was not believed.
    #[must_use]
    pub fn outliers(&self) -> u64 {
        self.outliers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(seconds: &[i64]) -> (Vec<u64>, Clock) {
        let mut clock = Clock::default();
        let ticks = seconds.iter().map(|&s| clock.advance(Timestamp::new(s, 0)).0 / 1_000_000_000).collect();
        (ticks, clock)
    }

    #[test]
    fn a_clock_set_back_stands_still_and_goes_on() {
        let (ticks, clock) = ticks(&[100, 110, 50, 55]);
        assert_eq!(ticks, [0, 10, 10, 15]);
        assert_eq!(clock.steps_back(), 1);
    }

    #[test]
    fn one_frame_from_the_future_is_not_believed() {
        let (ticks, clock) = ticks(&[100, 2_000_000_000, 101, 102]);
        assert_eq!(ticks, [0, 0, 1, 2]);
        assert_eq!(clock.outliers(), 1);
    }

    #[test]
    fn a_gap_of_years_is_believed_when_confirmed() {
        let (ticks, clock) = ticks(&[100, 2_000_000_000, 2_000_000_001]);
        assert_eq!(ticks, [0, 0, 1_999_999_901]);
        assert_eq!(clock.outliers(), 0);
    }

    #[test]
    fn ticks_grow_where_the_clock_stands_still() {
        let mut clock = Clock::default();
        let ticks: Vec<_> = (0..3).map(|_| clock.advance(Timestamp(7))).collect();
        assert_eq!(ticks, [Tick(1), Tick(2), Tick(3)]);
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        let mut clock = Clock::default();
        for timestamp in [i64::MIN, i64::MAX, i64::MAX, i64::MIN, 0, i64::MAX, i64::MAX] {
            clock.advance(Timestamp(timestamp));
        }
    }
}
