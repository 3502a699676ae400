//! Callbacks at a steady beat.
//!
//! The beats lie on a grid, which begins when the callback is started. One that comes late does not
//! move the next; those that were missed altogether are skipped, not made up for. Jitter moves each
//! beat a little, at random, and leaves the grid where it is: callbacks that were started together
//! spread out.

use std::time::Duration;

use super::IoLoop;
use crate::storage::arena::Key;
use crate::storage::wheel::{TICK, TimerKey};
use crate::time::Instant;

/// Delivers a message as `Event::Timeout` once in each period, from [`Self::start`] to [`Self::stop`].
///
/// The loop does the work. If this value is dropped while it runs, the beat goes on for good.
#[derive(Debug)]
pub struct PeriodicCallback<M> {
    message: M,
    period: Duration,
    jitter: f64,
    running: Option<Key<Beat<M>>>,
}

impl<M: Clone> PeriodicCallback<M> {
    /// A callback that is not running yet. A period below a tick of the wheel, 10 ms, becomes one.
    pub fn new(period: Duration, message: M) -> Self {
        Self {
            message,
            period: period.max(TICK),
            jitter: 0.0,
            running: None,
        }
    }

    /// Moves each beat by a random part of the period, by up to half of `fraction` either way.
    ///
    /// Default: 0. Range: 0 to 1, others become the nearest.
    #[must_use]
    pub fn with_jitter(mut self, fraction: f64) -> Self {
        self.jitter = fraction.clamp(0.0, 1.0);
        self
    }

    /// Starts the beat: the first comes after one period. Does nothing if it is running.
    pub fn start(&mut self, io: &mut IoLoop<M>) {
        if self.running.is_some() {
            return;
        }
        // Random enough to spread callbacks; without entropy they would only beat together.
        let seed = match self.jitter {
            0.0 => 1,
            _ => getrandom::u64().unwrap_or(1) | 1,
        };
        let beat = Beat {
            message: self.message.clone(),
            grid: io.now(),
            period: self.period,
            jitter: self.jitter,
            random: seed,
            timer: None,
        };
        self.running = Some(io.start_beat(beat));
    }

    /// Stops the beat. Nothing more comes, not even in this turn. Does nothing if it is not running.
    pub fn stop(&mut self, io: &mut IoLoop<M>) {
        if let Some(key) = self.running.take() {
            io.stop_beat(key);
        }
    }

    /// Whether it was started and not stopped.
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }
}

/// A running callback, as the loop keeps it.
#[derive(Debug)]
pub(super) struct Beat<M> {
    pub(super) message: M,
    /// The last beat, as it would have been without jitter.
    grid: Instant,
    period: Duration,
    jitter: f64,
    random: u64,
    pub(super) timer: Option<TimerKey>,
}

impl<M> Beat<M> {
    /// Goes on to the next beat and answers its deadline.
    pub(super) fn next(&mut self, now: Instant) -> Instant {
        self.grid += self.period;
        if self.grid <= now {
            // Saturating: at the end of time there is one more beat, at the end of time.
            let period = u64::try_from(self.period.as_nanos()).unwrap_or(u64::MAX);
            let late = u64::try_from(now.since(self.grid).as_nanos()).unwrap_or(u64::MAX);
            self.grid +=
                Duration::from_nanos((late / period).saturating_add(1).saturating_mul(period));
        }
        if self.jitter == 0.0 {
            return self.grid;
        }
        // Half of the largest shift is taken away, so that the beats lie evenly around the grid.
        let most = self.period.mul_f64(self.jitter);
        let part = self.random_part();
        let nanos = |d: Duration| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
        let earliest = self.grid.as_nanos().saturating_sub(nanos(most / 2));
        Instant::from_nanos(earliest) + most.mul_f64(part)
    }

    /// From 0 up to 1, by xorshift.
    fn random_part(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat(period_ms: u64, jitter: f64) -> Beat<()> {
        Beat {
            message: (),
            grid: Instant::START,
            period: Duration::from_millis(period_ms),
            jitter,
            random: 7,
            timer: None,
        }
    }

    /// For each beat when it was heard, and when the next is due; in milliseconds.
    #[test]
    fn late_beats_stay_on_the_grid() {
        let mut beat = beat(100, 0.0);
        for (now, next) in [
            (0, 100),
            (100, 200),
            (299, 300),
            (300, 400),
            (1_000, 1_100),
            (1_777, 1_800),
        ] {
            let at = beat.next(Instant::from_nanos(now * 1_000_000));
            assert_eq!(at, Instant::from_nanos(next * 1_000_000), "heard at {now}");
        }
        beat.next(Instant::FAR);
        assert_eq!(beat.next(Instant::FAR), Instant::FAR);
    }

    #[test]
    fn jitter_spreads_around_the_grid() {
        let mut beat = beat(1_000, 0.2);
        let mut sides = [0, 0];
        for n in 1..=1_000u64 {
            let grid = n * 1_000_000_000;
            let at = beat
                .next(Instant::from_nanos(grid - 1_000_000_000))
                .as_nanos();
            assert!(at.abs_diff(grid) <= 100_000_000, "beat {n} at {at}");
            sides[usize::from(at > grid)] += 1;
        }
        assert!(sides.iter().all(|&n| n > 400), "{sides:?}");
    }
}
