//! A hierarchical timer wheel: deadlines to the tick of 10 ms, armed and cancelled in constant time.
//!
//! There is no clock in here: [`Wheel::advance`] is told that a time has come and collects what is
//! due, [`Wheel::pop_due`] hands it out.
//!
//! Seven levels of 64 slots. Write the current tick and the deadline's tick in base 64: the highest
//! digit in which they differ is the timer's level, the deadline's digit there its slot. So every
//! timer of a lower level is earlier than any of a higher one, and within a level the slots are in
//! order. When time enters a slot of a higher level, its timers are placed anew, below.
//!
//! ```text
//! level 0   ticks with the same digits but the last      each slot one tick of 10 ms
//! level 1   … but the last two                           each slot 640 ms
//! level 2   … but the last three                         each slot 41 s
//! level 6   all there is: 64^7 ticks are 1,393 years, an `Instant` ends after 584
//! ```
//!
//! Invariant: each waiting timer is where its deadline and the current tick say. Timers of one tick
//! are therefore always in the same list, and keep the order in which they were armed.

use std::num::NonZeroU32;
use std::time::Duration;

use slab::Slab;

use super::arena::{KEPT_WHEN_EMPTY, following};
use crate::time::Instant;

/// Timers that each carry a `T`.
///
/// Memory: 32 bytes for a timer with a value of eight, and 7 KiB once.
#[derive(Debug)]
pub struct Wheel<T> {
    timers: Slab<Timer<T>>,
    /// The slots of all levels, then [`OVERDUE`] and [`DUE`].
    lists: Box<[List]>,
    /// For each level, a bit for each slot that is not empty.
    occupied: [u64; LEVELS],
    /// The last tick that [`Wheel::advance`] was told of.
    current: u64,
    /// Goes to the next timer.
    generation: NonZeroU32,
}

/// The name of one armed timer. It names nothing else, ever, once that has fired or was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerKey {
    index: u32,
    generation: NonZeroU32,
}

#[derive(Debug)]
struct Timer<T> {
    /// In ticks.
    deadline: u64,
    previous: u32,
    next: u32,
    generation: NonZeroU32,
    /// The list this timer is in.
    list: u16,
    value: T,
}

#[derive(Clone, Debug)]
struct List {
    first: u32,
    last: u32,
    /// No deadline in here is earlier. After the least was cancelled none may be equal either: a
    /// wake-up for nothing, after which the slot is placed anew and exact again.
    least: u64,
}

impl<T> Wheel<T> {
    /// A wheel without timers, at [`Instant::START`].
    pub fn new() -> Self {
        Self {
            timers: Slab::new(),
            lists: vec![List::EMPTY; LEVELS * SLOTS + 2].into(),
            occupied: [0; LEVELS],
            current: 0,
            generation: NonZeroU32::MIN,
        }
    }

    /// The number of timers that have been neither popped nor cancelled.
    pub fn len(&self) -> usize {
        self.timers.len()
    }

    /// Whether there is no timer.
    pub fn is_empty(&self) -> bool {
        self.timers.is_empty()
    }

    /// Arms a timer. It is due at the first [`Self::advance`] that is told `deadline` or later, where
    /// `deadline` is rounded up to a tick. A deadline that has passed counts as the present one.
    pub fn arm(&mut self, deadline: Instant, value: T) -> TimerKey {
        let deadline = deadline.as_nanos().div_ceil(TICK_NANOS).max(self.current);
        let generation = self.generation;
        self.generation = following(generation);
        let index = self.timers.insert(Timer {
            deadline,
            previous: NONE,
            next: NONE,
            generation,
            list: OVERDUE,
            value,
        });
        let index = u32::try_from(index).expect("fewer than 2^32 timers fit in memory");
        let list = self.slot_of(deadline).unwrap_or(OVERDUE);
        self.push(list, index);
        TimerKey { index, generation }
    }

    /// Takes a timer out that has not been popped. `None`: it was, or was cancelled before.
    pub fn cancel(&mut self, key: TimerKey) -> Option<T> {
        let timer = self.timers.get(key.index as usize)?;
        if timer.generation != key.generation {
            return None;
        }
        self.unlink(key.index);
        Some(self.forget(key.index))
    }

    /// The time to call [`Self::advance`] with. `None`: never, as things stand.
    ///
    /// It is the earliest deadline, on whatever level; time that moves on by itself wants no call.
    /// Only if the earliest was cancelled may it be a call for nothing.
    pub fn next_deadline(&self) -> Option<Instant> {
        let ticks =
            if self.lists[DUE as usize].is_empty() && self.lists[OVERDUE as usize].is_empty() {
                let (level, slot) = self.earliest()?;
                self.lists[level * SLOTS + slot].least
            } else {
                self.current
            };
        Some(Instant::from_nanos(ticks.saturating_mul(TICK_NANOS)))
    }

    /// Says that `now` has come: collects what is due, earliest first. Earlier times do nothing.
    pub fn advance(&mut self, now: Instant) {
        self.relink(OVERDUE);
        let target = (now.as_nanos() / TICK_NANOS).max(self.current);
        while let Some((level, slot)) = self.earliest() {
            // The digits above the level are those of the current tick, the ones below are zero.
            let shift = DIGIT_BITS * level as u32;
            let above = self.current >> (shift + DIGIT_BITS) << (shift + DIGIT_BITS);
            let start = above | (slot as u64) << shift;
            if start > target {
                break;
            }
            self.current = start;
            self.occupied[level] &= !(1 << slot);
            self.relink((level * SLOTS + slot) as u16);
        }
        self.current = target;
    }

    /// Takes out the next of the timers that [`Self::advance`] has collected.
    ///
    /// One that was armed since then is not among them, due or not: a timer that arms a timer cannot
    /// keep its caller for ever.
    pub fn pop_due(&mut self) -> Option<T> {
        let index = self.lists[DUE as usize].first;
        if index == NONE {
            return None;
        }
        self.unlink(index);
        Some(self.forget(index))
    }

    /// The slot for a deadline after the current tick.
    fn slot_of(&self, deadline: u64) -> Option<u16> {
        if deadline <= self.current {
            return None;
        }
        let level = (self.current ^ deadline).ilog2() / DIGIT_BITS;
        let slot = (deadline >> (DIGIT_BITS * level)) as usize % SLOTS;
        Some((level as usize * SLOTS + slot) as u16)
    }

    /// Level and slot of the earliest timers. All occupied slots lie after the current tick.
    fn earliest(&self) -> Option<(usize, usize)> {
        let level = self.occupied.iter().position(|&slots| slots != 0)?;
        Some((level, self.occupied[level].trailing_zeros() as usize))
    }

    /// Empties a list: each of its timers goes where the current tick now wants it.
    fn relink(&mut self, list: u16) {
        let mut index = std::mem::replace(&mut self.lists[list as usize], List::EMPTY).first;
        while index != NONE {
            let timer = &self.timers[index as usize];
            let (deadline, next) = (timer.deadline, timer.next);
            let home = self.slot_of(deadline).unwrap_or(DUE);
            self.push(home, index);
            index = next;
        }
    }

    /// Links a timer in at the end of a list.
    fn push(&mut self, list: u16, index: u32) {
        let ends = &mut self.lists[list as usize];
        let last = std::mem::replace(&mut ends.last, index);
        let timer = &mut self.timers[index as usize];
        ends.least = ends.least.min(timer.deadline);
        timer.list = list;
        timer.previous = last;
        timer.next = NONE;
        if last == NONE {
            ends.first = index;
            if let Some(slots) = self.occupied.get_mut(list as usize / SLOTS) {
                *slots |= 1 << (list as usize % SLOTS);
            }
        } else {
            self.timers[last as usize].next = index;
        }
    }

    /// Takes a timer out of the list it is in.
    fn unlink(&mut self, index: u32) {
        let timer = &self.timers[index as usize];
        let (list, previous, next) = (timer.list, timer.previous, timer.next);
        let ends = &mut self.lists[list as usize];
        if previous == NONE {
            ends.first = next;
        } else {
            self.timers[previous as usize].next = next;
        }
        if next == NONE {
            ends.last = previous;
        } else {
            self.timers[next as usize].previous = previous;
        }
        if ends.is_empty() {
            *ends = List::EMPTY;
            if let Some(slots) = self.occupied.get_mut(list as usize / SLOTS) {
                *slots &= !(1 << (list as usize % SLOTS));
            }
        }
    }

    /// Frees the place of an unlinked timer.
    fn forget(&mut self, index: u32) -> T {
        let value = self.timers.remove(index as usize).value;
        if self.timers.is_empty() && self.timers.capacity() > KEPT_WHEN_EMPTY {
            self.timers = Slab::new();
        }
        value
    }
}

impl<T> Default for Wheel<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl List {
    const EMPTY: Self = Self {
        first: NONE,
        last: NONE,
        least: u64::MAX,
    };

    fn is_empty(&self) -> bool {
        self.first == NONE
    }
}

/// The grid of the deadlines.
pub const TICK: Duration = Duration::from_nanos(TICK_NANOS);

const TICK_NANOS: u64 = 10_000_000;
const DIGIT_BITS: u32 = 6;
const SLOTS: usize = 1 << DIGIT_BITS;
const LEVELS: usize = 7;
const _: () = assert!(
    u64::MAX / TICK_NANOS + 1 < 1 << (DIGIT_BITS * LEVELS as u32),
    "every instant has a place"
);

/// The list of timers armed when they were already due. Behind the slots, as is [`DUE`]: neither has
/// a bit in `occupied`.
const OVERDUE: u16 = (LEVELS * SLOTS) as u16;
/// The list of timers collected and not yet popped.
const DUE: u16 = OVERDUE + 1;
/// No timer.
const NONE: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    fn at_ms(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn due<T>(wheel: &mut Wheel<T>) -> Vec<T> {
        std::iter::from_fn(|| wheel.pop_due()).collect()
    }

    /// Deadlines are rounded up: never early, at most a tick late.
    #[test]
    fn never_early() {
        // Deadline in nanoseconds, the last one at which it is not due, the first at which it is.
        let ms = 1_000_000;
        for (deadline, early, late) in [
            (1, 10 * ms - 1, 10 * ms),
            (10 * ms, 10 * ms - 1, 10 * ms),
            (10 * ms + 1, 20 * ms - 1, 20 * ms),
            (640 * ms, 640 * ms - 1, 640 * ms),
            (3_600_000 * ms + 5, 3_600_010 * ms - 1, 3_600_010 * ms),
        ] {
            let mut wheel = Wheel::new();
            wheel.arm(Instant::from_nanos(deadline), ());
            assert_eq!(wheel.next_deadline(), Some(Instant::from_nanos(late)));
            wheel.advance(Instant::from_nanos(early));
            assert_eq!(wheel.pop_due(), None, "{deadline} at {early}");
            assert_eq!(wheel.next_deadline(), Some(Instant::from_nanos(late)));
            wheel.advance(Instant::from_nanos(late));
            assert_eq!(wheel.pop_due(), Some(()), "{deadline} at {late}");
            assert_eq!(wheel.next_deadline(), None);
        }
    }

    #[test]
    fn one_deadline_fires_in_the_order_of_arming() {
        let mut wheel = Wheel::new();
        // From ever nearer, so that they begin on different levels.
        for (n, now) in [0, 1_000, 4_900, 4_990].into_iter().enumerate() {
            wheel.advance(at_ms(now));
            wheel.arm(at_ms(5_000), (5_000, n));
            wheel.arm(at_ms(5_010), (5_010, n));
        }
        wheel.advance(at_ms(60_000));
        let want: Vec<_> = [5_000, 5_010]
            .iter()
            .flat_map(|&ms| (0..4).map(move |n| (ms, n)))
            .collect();
        assert_eq!(due(&mut wheel), want);
    }

    #[test]
    fn armed_when_due_waits_for_the_next_advance() {
        let mut wheel = Wheel::new();
        wheel.arm(at_ms(100), "first");
        wheel.advance(at_ms(1_000));
        assert_eq!(wheel.pop_due(), Some("first"));
        wheel.arm(at_ms(500), "past");
        wheel.arm(at_ms(1_000), "present");
        assert_eq!(wheel.pop_due(), None);
        assert_eq!(wheel.next_deadline(), Some(at_ms(1_000)));
        wheel.advance(at_ms(1_000));
        assert_eq!(due(&mut wheel), ["past", "present"]);
    }

    #[test]
    fn cancel_at_any_time() {
        let mut wheel = Wheel::new();
        let [a, b, c, d] = [1, 2, 3, 90_000].map(|s| wheel.arm(at_ms(s * 1_000), s));
        assert_eq!(wheel.cancel(b), Some(2));
        assert_eq!(wheel.cancel(b), None, "twice");
        wheel.advance(at_ms(5_000));
        assert_eq!(wheel.cancel(a), Some(1), "collected, not popped");
        assert_eq!(wheel.pop_due(), Some(3));
        assert_eq!(wheel.cancel(c), None, "popped");
        assert_eq!(wheel.cancel(d), Some(90_000));
        assert_eq!(wheel.next_deadline(), None);
        let e = wheel.arm(at_ms(6_000), 6);
        assert_eq!(wheel.cancel(d), None, "the slot has another now");
        assert_eq!(wheel.cancel(e), Some(6));
        assert!(wheel.is_empty());
    }

    /// Far timers are waited for in one go: no call is needed to move them down a level.
    #[test]
    fn no_call_only_to_cascade() {
        let mut wheel = Wheel::new();
        let hours = [1, 2, 30, 24 * 400];
        for h in hours {
            wheel.arm(at_ms(h * 3_600_000 + 10), h);
        }
        for h in hours {
            let at = wheel.next_deadline().unwrap();
            assert_eq!(at, at_ms(h * 3_600_000 + 10));
            wheel.advance(at);
            assert_eq!(due(&mut wheel), [h]);
        }
        assert_eq!(wheel.next_deadline(), None);
    }

    #[test]
    fn the_ends_of_time() {
        let mut wheel = Wheel::new();
        wheel.arm(Instant::FAR, "never");
        wheel.arm(Instant::from_nanos(u64::MAX - 3 * TICK_NANOS), "late");
        wheel.arm(Instant::START, "now");
        wheel.advance(Instant::START);
        assert_eq!(due(&mut wheel), ["now"]);
        wheel.advance(Instant::FAR);
        assert_eq!(due(&mut wheel), ["late"]);
        assert_eq!(wheel.next_deadline(), Some(Instant::FAR));
        wheel.advance(at_ms(5));
        wheel.arm(at_ms(5), "after the end");
        wheel.advance(Instant::START);
        assert_eq!(due(&mut wheel), ["after the end"], "time does not go back");
    }

    #[test]
    fn small() {
        assert_eq!(size_of::<Timer<u64>>(), 32);
        let mut wheel = Wheel::new();
        let keys: Vec<_> = (0..1_000u64).map(|n| wheel.arm(at_ms(n), n)).collect();
        for key in keys {
            wheel.cancel(key);
        }
        assert_eq!(wheel.timers.capacity(), 0, "an empty wheel keeps little");
    }

    /// The same wheel, as a list searched from end to end.
    #[derive(Default)]
    struct Naive {
        /// Deadline in ticks, order of arming.
        waiting: Vec<(u64, u32)>,
        due: Vec<(u64, u32)>,
        current: u64,
    }

    impl Naive {
        fn arm(&mut self, nanos: u64, n: u32) {
            let deadline = nanos.div_ceil(TICK_NANOS).max(self.current);
            self.waiting.push((deadline, n));
        }

        fn cancel(&mut self, n: u32) -> bool {
            let before = self.waiting.len() + self.due.len();
            self.waiting.retain(|w| w.1 != n);
            self.due.retain(|w| w.1 != n);
            before != self.waiting.len() + self.due.len()
        }

        fn advance(&mut self, nanos: u64) {
            self.current = self.current.max(nanos / TICK_NANOS);
            self.waiting.sort();
            let ready = self.waiting.partition_point(|w| w.0 <= self.current);
            self.due.extend(self.waiting.drain(..ready));
        }

        fn next(&self) -> Option<u64> {
            if !self.due.is_empty() {
                return Some(self.current);
            }
            self.waiting.iter().map(|w| w.0).min()
        }
    }

    struct Random(u64);

    impl Random {
        fn below(&mut self, n: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % n
        }

        /// Up to some thousand years, but every order of magnitude as often as any other.
        fn span(&mut self) -> u64 {
            let magnitude = self.below(58);
            self.below(2 << magnitude)
        }
    }

    #[test]
    fn against_a_naive_twin() {
        for seed in 1..=30u64 {
            let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let (mut wheel, mut naive) = (Wheel::new(), Naive::default());
            let mut keys = Vec::new();
            let mut now = 0u64;
            let mut cancelled = false;
            for step in 0..1_500u32 {
                match random.below(10) {
                    0..5 => {
                        // Now and then on the grid and shared, so that the order of arming counts.
                        let mut deadline = now.saturating_add(random.span());
                        if random.below(3) == 0 {
                            deadline = deadline >> 28 << 28;
                        }
                        keys.push((wheel.arm(Instant::from_nanos(deadline), step), step));
                        naive.arm(deadline, step);
                    }
                    5 if !keys.is_empty() => {
                        let (key, n) = keys[random.below(keys.len() as u64) as usize];
                        let had = wheel.cancel(key);
                        assert_eq!(had.is_some(), naive.cancel(n), "seed {seed}, step {step}");
                        cancelled |= had.is_some();
                    }
                    6..8 => {
                        // Just a little or a big jump.
                        let magnitude = 20 + random.below(35);
                        now = now.saturating_add(random.below(1 << magnitude) >> random.below(20));
                        wheel.advance(Instant::from_nanos(now));
                        naive.advance(now);
                    }
                    8 => {
                        if let Some(next) = wheel.next_deadline() {
                            now = now.max(next.as_nanos());
                            wheel.advance(next);
                            naive.advance(next.as_nanos());
                        }
                    }
                    _ => {
                        for _ in 0..random.below(40) {
                            let want = (!naive.due.is_empty()).then(|| naive.due.remove(0).1);
                            assert_eq!(wheel.pop_due(), want, "seed {seed}, step {step}");
                        }
                    }
                }
                assert_eq!(wheel.len(), naive.waiting.len() + naive.due.len());
                let next = wheel.next_deadline().map(|at| at.as_nanos() / TICK_NANOS);
                if cancelled {
                    // A lower bound, and nothing once there is nothing.
                    assert!(next <= naive.next(), "seed {seed}, step {step}");
                    assert_eq!(next.is_some(), naive.next().is_some());
                } else {
                    assert_eq!(next, naive.next(), "seed {seed}, step {step}");
                }
            }
        }
    }
}
