//! The one place that reads a clock.
//!
//! The loop reads it once a turn (and again before it sleeps until a deadline, so that a long turn
//! makes no timer late) and hands plain [`Instant`]s down. Tests use a clock that they set by hand.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use crate::time::{Instant, UnixSeconds};

/// Where a loop takes the time from.
#[derive(Debug)]
pub struct Clock(Source);

#[derive(Debug)]
enum Source {
    System { start: std::time::Instant },
    Manual(Rc<Cell<Instant>>),
}

/// Sets the time of a loop made with [`Clock::manual`].
#[derive(Clone, Debug)]
pub struct ManualClock(Rc<Cell<Instant>>);

impl Clock {
    /// The monotonic clock and the wall clock of the system.
    pub fn system() -> Self {
        Self(Source::System {
            start: std::time::Instant::now(),
        })
    }

    /// A clock that stands still until it is moved. Its wall clock begins at [`MANUAL_EPOCH`].
    ///
    /// A loop with such a clock never sleeps to wait for a deadline, since none would come: see
    /// [`IoLoop::with_clock`](super::IoLoop::with_clock).
    pub fn manual() -> (Self, ManualClock) {
        let now = Rc::new(Cell::new(Instant::START));
        (Self(Source::Manual(now.clone())), ManualClock(now))
    }

    /// Reads the monotonic clock.
    pub(super) fn now(&self) -> Instant {
        match &self.0 {
            Source::System { start } => Instant::START + start.elapsed(),
            Source::Manual(now) => now.get(),
        }
    }

    /// Reads the wall clock: the time since 1970, zero if it is set to before.
    pub(super) fn since_unix_epoch(&self) -> Duration {
        match &self.0 {
            Source::System { .. } => SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default(),
            Source::Manual(now) => {
                Duration::from_secs(MANUAL_EPOCH.0) + now.get().since(Instant::START)
            }
        }
    }

    /// Whether time passes only when it is told to.
    pub(super) fn is_manual(&self) -> bool {
        matches!(self.0, Source::Manual(_))
    }
}

impl ManualClock {
    /// Moves the time on. The loop sees it at its next turn.
    pub fn advance(&self, by: Duration) {
        self.0.set(self.0.get() + by);
    }

    /// Moves the time on to `at`; does nothing if that has passed.
    pub fn advance_to(&self, at: Instant) {
        self.0.set(self.0.get().max(at));
    }
}

/// The second at which a manual wall clock begins: Sun, 06 Nov 1994 08:49:37 GMT, the example of the
/// RFCs on HTTP.
pub const MANUAL_EPOCH: UnixSeconds = UnixSeconds(784_111_777);

/// The wall clock in whole seconds, read at most once in each.
#[derive(Debug, Default)]
pub(super) struct Seconds {
    seconds: UnixSeconds,
    /// When the next second begins.
    until: Instant,
}

impl Seconds {
    pub(super) fn at(&mut self, now: Instant, clock: &Clock) -> UnixSeconds {
        if now >= self.until {
            let wall = clock.since_unix_epoch();
            self.seconds = UnixSeconds(wall.as_secs());
            let rest = 1_000_000_000 - u64::from(wall.subsec_nanos());
            self.until = now + Duration::from_nanos(rest);
        }
        self.seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_clock_goes_forward() {
        let clock = Clock::system();
        let first = clock.now();
        assert!(clock.now() >= first);
        assert!(clock.since_unix_epoch().as_secs() > MANUAL_EPOCH.0);
    }

    /// Milliseconds since the start, and the second that is told then.
    #[test]
    fn seconds_change_when_they_do() {
        let (clock, hand) = Clock::manual();
        hand.advance(Duration::from_millis(300));
        let mut seconds = Seconds::default();
        for (ms, want) in [
            (300, 0),
            (999, 0),
            (1_000, 1),
            (1_999, 1),
            (9_999, 9),
            (10_000, 10),
        ] {
            hand.advance_to(Instant::from_nanos(ms * 1_000_000));
            let told = seconds.at(clock.now(), &clock);
            assert_eq!(told, UnixSeconds(MANUAL_EPOCH.0 + want), "{ms}");
        }
    }
}
