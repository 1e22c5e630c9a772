//! Capture time that never runs backwards.

use crate::time::{Tick, Timestamp};

/// Turns the timestamps of frames into [`Tick`]s.
///
/// Every frame has a greater tick than its predecessor, by a nanosecond where the capture's clock stands still, so that
/// what ended at one frame is over at the next. A clock that was set back stands still for that frame and goes on from
/// there. A jump by more than [`Clock::JUMP`], ahead or back, is believed only when the frame after it lies beyond the
/// jump, too: one damaged timestamp ends no flow.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    last: Option<Timestamp>,
    now: Tick,
    steps_back: u64,
    outliers: u64,
}

impl Clock {
    /// Nanoseconds between two frames that need a second witness: ten minutes.
    pub const JUMP: i64 = 600 * 1_000_000_000;

    /// Nanoseconds by which a frame may come before its predecessor without a clock having been set: two processors, or two
    /// interfaces, hand over their frames in any order.
    pub const JITTER: i64 = 10_000_000;

    /// The tick of a frame captured at `timestamp`, the frame after it at `following`; `None` for the last one.
    pub fn advance(&mut self, timestamp: Timestamp, following: Option<Timestamp>) -> Tick {
        let elapsed = self.elapsed(timestamp, following);
        self.now = Tick(self.now.0.saturating_add(elapsed.max(1)));
        self.now
    }

    /// Time goes on to `timestamp` without a frame. A time before the last frame's, or far beyond it, changes nothing.
    pub fn idle(&mut self, timestamp: Timestamp) {
        let Some(last) = self.last else { return };
        let delta = timestamp.0.saturating_sub(last.0);
        if (1..=Self::JUMP).contains(&delta) {
            self.last = Some(timestamp);
            self.now = Tick(self.now.0.saturating_add(delta.unsigned_abs()));
        }
    }

    /// The tick of the last frame, or of the time after it up to which there was none.
    #[must_use]
    pub fn now(&self) -> Tick {
        self.now
    }

    /// Frames whose timestamp is before their predecessor's by more than [`Self::JITTER`].
    #[must_use]
    pub fn steps_back(&self) -> u64 {
        self.steps_back
    }

    /// Frames whose timestamp was not believed.
    #[must_use]
    pub fn outliers(&self) -> u64 {
        self.outliers
    }

    /// Nanoseconds since the frame before, as far as they are believed.
    fn elapsed(&mut self, timestamp: Timestamp, following: Option<Timestamp>) -> u64 {
        let last = *self.last.get_or_insert(timestamp);
        let delta = timestamp.0.saturating_sub(last.0);
        let jumps = |to: Timestamp| to.0.saturating_sub(last.0).saturating_abs() > Self::JUMP;
        if jumps(timestamp) && following.is_some_and(|following| !jumps(following)) {
            self.outliers = self.outliers.saturating_add(1);
            return 0;
        }
        self.last = Some(timestamp);
        self.steps_back = self.steps_back.saturating_add(u64::from(delta < -Self::JITTER));
        u64::try_from(delta).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds between the ticks of frames captured at `seconds`.
    fn steps(seconds: &[i64]) -> (Vec<u64>, Clock) {
        let mut clock = Clock::default();
        let mut before = 0;
        let steps = seconds.iter().enumerate().map(|(place, &second)| {
            let following = seconds.get(place + 1).map(|&second| Timestamp::new(second, 0));
            let tick = clock.advance(Timestamp::new(second, 0), following).0;
            (tick - std::mem::replace(&mut before, tick)) / 1_000_000_000
        });
        (steps.collect(), clock)
    }

    #[test]
    fn time_goes_on_without_frames() {
        let mut clock = Clock::default();
        clock.idle(Timestamp::new(50, 0));
        let first = clock.advance(Timestamp::new(100, 0), None);
        for second in [103, 102, 3_000_000] {
            clock.idle(Timestamp::new(second, 0));
            assert_eq!(clock.now().0 - first.0, 3_000_000_000);
        }
        // A frame that was on its way while time went on.
        assert_eq!(clock.advance(Timestamp::new(102, 0), None).0 - first.0, 3_000_000_001);
    }

    #[test]
    fn a_clock_set_back_stands_still_and_goes_on() {
        let (steps, clock) = steps(&[100, 110, 50, 55]);
        assert_eq!(steps, [0, 10, 0, 5]);
        assert_eq!(clock.steps_back(), 1);
    }

    #[test]
    fn one_frame_from_the_future_or_the_past_is_not_believed() {
        let (ahead, clock) = steps(&[100, 2_000_000_000, 101, 102]);
        assert_eq!(ahead, [0, 0, 1, 1]);
        assert_eq!((clock.outliers(), clock.steps_back()), (1, 0));
        let (back, clock) = steps(&[2_000_000_000, 0, 2_000_000_001]);
        assert_eq!(back, [0, 0, 1]);
        assert_eq!((clock.outliers(), clock.steps_back()), (1, 0));
    }

    #[test]
    fn a_gap_of_years_is_believed_at_its_first_frame() {
        let (steps, clock) = steps(&[100, 2_000_000_000, 2_000_000_001]);
        assert_eq!(steps, [0, 1_999_999_900, 1]);
        assert_eq!(clock.outliers(), 0);
    }

    #[test]
    fn ticks_grow_where_the_clock_stands_still() {
        let mut clock = Clock::default();
        let ticks: Vec<_> = (0..3).map(|_| clock.advance(Timestamp(7), Some(Timestamp(7)))).collect();
        assert_eq!(ticks, [Tick(1), Tick(2), Tick(3)]);
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        let mut clock = Clock::default();
        for timestamp in [i64::MIN, i64::MAX, i64::MAX, i64::MIN, 0, i64::MAX, i64::MAX] {
            clock.advance(Timestamp(timestamp), Some(Timestamp(i64::MIN)));
            clock.advance(Timestamp(timestamp), None);
        }
    }
}
