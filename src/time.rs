//! Instants and calendar seconds as plain values.
//!
//! There is no clock in here: the reactor reads one once a turn and hands the values down, so that a
//! test can make them up.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

/// A point on the monotonic clock of one loop, in nanoseconds since that loop began.
///
/// Eight bytes, and made from a number, so that machines can be tested with invented times.
/// Arithmetic saturates: an instant too far away is the farthest one, 584 years on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The instant at which the loop's clock began.
    pub const START: Self = Self(0);
    /// The last instant that can be told: "never" for a deadline.
    pub const FAR: Self = Self(u64::MAX);

    /// The instant so many nanoseconds after the start.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to `self`; zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The next instant, at or after `self`, on a grid of `step` nanoseconds.
    pub const fn round_up(self, step: u64) -> Self {
        match self.0 % step {
            0 => self,
            rest => Self(self.0.saturating_add(step - rest)),
        }
    }
}

impl Add<Duration> for Instant {
    type Output = Self;
    fn add(self, d: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, d: Duration) {
        *self = *self + d;
    }
}

impl Sub for Instant {
    type Output = Duration;
    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

/// Counts what happens in one second, which begins with the first of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct PerSecond {
    from: Instant,
    count: u32,
}

impl PerSecond {
    /// Nothing was counted, and a second has begun.
    pub const fn new(now: Instant) -> Self {
        Self {
            from: now,
            count: 0,
        }
    }

    /// Counts so many more. False: there are more than `max` in this second. Zero: no limit.
    pub fn count(&mut self, now: Instant, more: u32, max: u32) -> bool {
        if now.since(self.from) >= Duration::from_secs(1) {
            *self = Self::new(now);
        }
        self.count = self.count.saturating_add(more);
        max == 0 || self.count <= max
    }
}

/// Seconds since 1970-01-01 00:00:00 UTC, for `Date`, `Expires` and `Last-Modified`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixSeconds(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn per_second() {
        let at = |millis: u64| Instant::from_nanos(millis * 1_000_000);
        let mut seen = PerSecond::new(at(500));
        for (millis, more, want) in [
            (500, 2, true),
            (1499, 1, true),
            (1499, 1, false),
            (1500, 3, true),
            (1500, u32::MAX, false),
            (2400, u32::MAX, false),
            (9000, 4, false),
            (10_000, 1, true),
        ] {
            assert_eq!(seen.count(at(millis), more, 3), want, "{millis} {more}");
        }
        assert!(seen.count(at(10_000), u32::MAX, 0));
    }

    #[test]
    fn arithmetic_saturates() {
        let a = Instant::from_nanos(5);
        assert_eq!(Instant::START.since(a), Duration::ZERO);
        assert_eq!(a - Instant::START, Duration::from_nanos(5));
        assert_eq!(Instant::FAR + Duration::from_secs(1), Instant::FAR);
        assert_eq!(a + Duration::MAX, Instant::FAR);
    }

    #[test]
    fn rounding_goes_up_to_the_grid() {
        for (at, want) in [(0, 0), (1, 10), (10, 10), (11, 20)] {
            assert_eq!(
                Instant::from_nanos(at).round_up(10),
                Instant::from_nanos(want)
            );
        }
        assert_eq!(Instant::from_nanos(u64::MAX - 1).round_up(10), Instant::FAR);
    }
}
