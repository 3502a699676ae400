//! The event loop: readiness of sources, timeouts and callbacks, in turns.
//!
//! It mirrors Tornado's classic `IOLoop`, with two differences. Events carry a message of the user's
//! own closed set instead of a function; and the loop lends itself to the one function that handles
//! them, so that no state has to be shared between handlers.
//!
//! One turn:
//!
//! ```text
//! poll        sleeps until a source is ready, a timeout is due, or somebody posts;
//!             does not sleep while the ready list or a callback waits
//! clock       is read; `now` stands still until the next turn
//! timeouts    that are due, earliest first
//! sources     that are ready, then those on the ready list (`again`)
//! callbacks   that were there before the turn began, and what other threads have posted
//! before sleep
//! ```
//!
//! Whatever a handler adds waits for the next turn: a timeout that is already due, a place on the
//! ready list, a callback. So each turn ends, and each source gets its turn.
//!
//! Not here: sockets (`net`), and reading or writing. The poll is edge-triggered: a handler reads
//! until a read comes up short or would block, or asks to be called `again`.

mod clock;
mod periodic;
mod poller;
mod remote;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use mio::event::Source;
use mio::{Events, Interest, Waker};

pub use clock::{Clock, MANUAL_EPOCH, ManualClock};
pub use periodic::PeriodicCallback;
pub use poller::{Handler, Readiness};
pub use remote::{Full, LoopHandle};

use crate::storage::arena::{Arena, Key};
use crate::storage::wheel::{TimerKey, Wheel};
use crate::time::{Instant, UnixSeconds};
use clock::Seconds;
use periodic::Beat;
use poller::Poller;
use remote::Posts;

/// The event loop, for messages of type `M`: what an event is about, in the user's own words. It is
/// cloned for each event, so let it be small: an enum of keys.
pub struct IoLoop<M> {
    poller: Poller<M>,
    /// The poll's buffer; `None` while its events are being handled.
    events: Option<Events>,
    clock: Clock,
    now: Instant,
    unix: Seconds,
    timers: Wheel<Alarm<M>>,
    beats: Arena<Beat<M>>,
    callbacks: VecDeque<M>,
    posts: Arc<Posts<M>>,
    stopping: bool,
    stats: Stats,
}

/// What the loop tells its handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<M> {
    /// A source is ready.
    Ready(M, Readiness),
    /// The time of a timeout or a periodic callback has come.
    Timeout(M),
    /// Somebody added a callback.
    Callback(M),
    /// The turn is over; the next thing is the poll. Here is where a server writes what the turn
    /// has left to be written.
    BeforeSleep,
}

/// Names a timeout, until it has fired or was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timeout(TimerKey);

/// Why [`IoLoop::run_until`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Somebody called `stop`.
    Asked,
    /// The time was over.
    TimedOut,
}

/// What the loop has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Turns begun.
    pub turns: u64,
    /// System calls made to poll. An idle loop makes one for each deadline, and none between.
    pub polls: u64,
    /// Events handed out, not counting [`Event::BeforeSleep`].
    pub events: u64,
}

#[derive(Debug)]
enum Alarm<M> {
    Once(M),
    Beat(Key<Beat<M>>),
}

impl<M: Clone> IoLoop<M> {
    /// A loop on the system's clock.
    ///
    /// # Errors
    ///
    /// Those of the system, when no poll can be had (too many open files).
    #[doc(alias = "current")]
    #[doc(alias = "instance")]
    pub fn new() -> io::Result<Self> {
        Self::with_clock(Clock::system())
    }

    /// A loop on a clock of one's own choice.
    ///
    /// On a manual clock the poll never sleeps until a deadline, and never because of a missing
    /// time-out: only [`Self::poll_once`] with one waits for sources, that long in real time, if
    /// nothing is due. [`Self::run`] spins: its handler moves the clock, at [`Event::BeforeSleep`]
    /// for example.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub fn with_clock(clock: Clock) -> io::Result<Self> {
        let poller = Poller::new()?;
        let waker = Waker::new(poller.registry(), poller::WAKER)?;
        Ok(Self {
            poller,
            events: Some(Events::with_capacity(EVENTS_MAX)),
            now: clock.now(),
            clock,
            unix: Seconds::default(),
            timers: Wheel::new(),
            beats: Arena::new(),
            callbacks: VecDeque::new(),
            posts: Posts::new(waker),
            stopping: false,
            stats: Stats::default(),
        })
    }

    /// Watches a source: from now on its readiness comes with `message`.
    ///
    /// Keep the source until it was given to [`Self::remove_handler`]: the loop does not hold it.
    ///
    /// # Errors
    ///
    /// Those of the system. A source that is already watched is `AlreadyExists` and stays watched
    /// as it was (where the system is epoll, or in a debug build; a release build on kqueue takes
    /// the new handler for the old).
    pub fn add_handler(
        &mut self,
        source: &mut impl Source,
        interest: Interest,
        message: M,
    ) -> io::Result<Handler> {
        self.poller.add(source, interest, message)
    }

    /// Changes what a source is watched for. What it is already ready for is told, once more.
    ///
    /// # Errors
    ///
    /// `NotFound` if the handler was removed; those of the system.
    pub fn update_handler(
        &mut self,
        source: &mut impl Source,
        handler: Handler,
        interest: Interest,
    ) -> io::Result<()> {
        self.poller.update(source, handler, interest)
    }

    /// Forgets a source. Nothing more comes from it, not even what the poll of this turn has found.
    ///
    /// # Errors
    ///
    /// `NotFound`, harmless, if the handler was already removed; those of the system, but then it is
    /// removed all the same.
    pub fn remove_handler(&mut self, source: &mut impl Source, handler: Handler) -> io::Result<()> {
        self.poller.remove(source, handler)
    }

    /// Puts a source on the ready list: the next turn, which does not sleep, tells its handler
    /// `readiness` together with what the poll finds. For a handler that has had its share of this
    /// turn and left bytes unread. A handler that was removed is ignored.
    pub fn again(&mut self, handler: Handler, readiness: Readiness) {
        self.poller.again(handler, readiness);
    }

    /// Delivers `message` after a time: never earlier, and as a rule less than a tick of 10 ms later.
    #[doc(alias = "add_timeout")]
    pub fn call_later(&mut self, delay: Duration, message: M) -> Timeout {
        self.call_at(self.now() + delay, message)
    }

    /// Delivers `message` at a time; one that has passed means the next turn.
    #[doc(alias = "add_timeout")]
    pub fn call_at(&mut self, at: Instant, message: M) -> Timeout {
        Timeout(self.timers.arm(at, Alarm::Once(message)))
    }

    /// Takes a timeout back. `None`, harmless: it has fired or was removed.
    #[doc(alias = "cancel")]
    pub fn remove_timeout(&mut self, timeout: Timeout) -> Option<M> {
        match self.timers.cancel(timeout.0)? {
            Alarm::Once(message) => Some(message),
            Alarm::Beat(_) => None,
        }
    }

    /// Delivers `message` in the next turn.
    #[doc(alias = "spawn_callback")]
    pub fn add_callback(&mut self, message: M) {
        self.callbacks.push_back(message);
    }

    /// The time on the loop's clock: within a turn that of its beginning, else the present.
    #[doc(alias = "time")]
    pub fn now(&self) -> Instant {
        if self.in_turn() {
            self.now
        } else {
            self.clock.now()
        }
    }

    /// The wall clock. It is read once a second at most, and only if somebody asks.
    pub fn unix_now(&mut self) -> UnixSeconds {
        self.unix.at(self.now(), &self.clock)
    }

    /// When the loop wants its next turn, if no source is ready before: for somebody else's loop that
    /// watches this one's descriptor. `None`: never, as things stand.
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.has_work() {
            return Some(self.now());
        }
        self.timers.next_deadline()
    }

    /// A handle for other threads.
    pub fn handle(&self) -> LoopHandle<M> {
        self.posts.handle()
    }

    /// How many messages of [`LoopHandle::add_callback`] may wait. Default: 65,536.
    pub fn set_posts_max(&mut self, max: usize) {
        self.posts.set_max(max);
    }

    /// Makes turns until somebody calls [`Self::stop`]. The turn in which it is called is finished.
    ///
    /// # Errors
    ///
    /// Those of the poll; `Other` when it is called from a handler of this loop.
    #[doc(alias = "start")]
    pub fn run(&mut self, mut f: impl FnMut(&mut Self, Event<M>)) -> io::Result<()> {
        self.collect_posts();
        while !std::mem::take(&mut self.stopping) {
            self.turn(None, &mut f)?;
        }
        Ok(())
    }

    /// Makes turns until somebody calls [`Self::stop`], but not longer than `timeout` on the loop's
    /// clock. If both, the stop counts.
    ///
    /// # Errors
    ///
    /// As [`Self::run`].
    #[doc(alias = "run_sync")]
    pub fn run_until(
        &mut self,
        timeout: Duration,
        mut f: impl FnMut(&mut Self, Event<M>),
    ) -> io::Result<Stopped> {
        self.collect_posts();
        let end = self.now() + timeout;
        loop {
            if std::mem::take(&mut self.stopping) {
                return Ok(Stopped::Asked);
            }
            let now = self.now();
            if now >= end {
                return Ok(Stopped::TimedOut);
            }
            let wait = (!self.clock.is_manual()).then(|| end.since(now));
            self.turn(wait, &mut f)?;
        }
    }

    /// Makes one turn, which sleeps for `timeout` at most; `None`: as long as it takes.
    ///
    /// # Errors
    ///
    /// As [`Self::run`].
    pub fn poll_once(
        &mut self,
        timeout: Option<Duration>,
        mut f: impl FnMut(&mut Self, Event<M>),
    ) -> io::Result<()> {
        self.turn(timeout, &mut f)
    }

    /// The instant right now, for measuring how long something takes.
    pub fn fresh_now(&self) -> Instant {
        self.clock.now()
    }

    /// Makes [`Self::run`] return after this turn. If it is not running, the next run returns at
    /// once, without a turn, and the one after that runs.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// What the loop has done so far.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    fn turn(
        &mut self,
        wait: Option<Duration>,
        f: &mut impl FnMut(&mut Self, Event<M>),
    ) -> io::Result<()> {
        let text = "a handler of the loop cannot run the loop";
        let mut events = self.events.take().ok_or_else(|| io::Error::other(text))?;
        let polled = self.poll(&mut events, wait);
        if polled.is_ok() {
            self.dispatch(&events, f);
        }
        self.events = Some(events);
        polled
    }

    fn poll(&mut self, events: &mut Events, wait: Option<Duration>) -> io::Result<()> {
        self.stats.turns += 1;
        self.stats.polls += 1;
        let wait = self.sleep_at_most(wait);
        match self.poller.poll(events, wait) {
            // A signal: a turn without ready sources.
            Err(e) if e.kind() == io::ErrorKind::Interrupted => events.clear(),
            result => result?,
        }
        self.now = self.clock.now();
        Ok(())
    }

    fn dispatch(&mut self, events: &Events, f: &mut impl FnMut(&mut Self, Event<M>)) {
        // What is there now belongs to this turn, what comes later to the next.
        let ready = self.poller.begin_turn();
        self.collect_posts();
        let callbacks = self.callbacks.len();

        self.timers.advance(self.now);
        while let Some(alarm) = self.timers.pop_due() {
            if let Some(message) = self.fire(alarm) {
                self.stats.events += 1;
                f(self, Event::Timeout(message));
            }
        }
        for event in events {
            if let Some((message, readiness)) = self.poller.ready(event) {
                self.stats.events += 1;
                f(self, Event::Ready(message, readiness));
            }
        }
        for _ in 0..ready {
            if let Some((message, readiness)) = self.poller.next_again() {
                self.stats.events += 1;
                f(self, Event::Ready(message, readiness));
            }
        }
        for _ in 0..callbacks {
            if let Some(message) = self.callbacks.pop_front() {
                self.stats.events += 1;
                f(self, Event::Callback(message));
            }
        }
        f(self, Event::BeforeSleep);
    }

    /// How long the poll may sleep, if the caller of the loop lets it sleep for `wait`.
    fn sleep_at_most(&self, wait: Option<Duration>) -> Option<Duration> {
        if self.has_work() {
            return Some(Duration::ZERO);
        }
        let deadline = self.timers.next_deadline();
        let until = deadline.map(|at| at.since(self.clock.now()));
        if self.clock.is_manual() {
            let due = until == Some(Duration::ZERO);
            return Some(wait.filter(|_| !due).unwrap_or_default());
        }
        match (until, wait) {
            (Some(until), Some(wait)) => Some(until.min(wait)),
            (until, wait) => until.or(wait),
        }
    }

    fn has_work(&self) -> bool {
        self.poller.has_ready() || !self.callbacks.is_empty()
    }

    fn in_turn(&self) -> bool {
        self.events.is_none()
    }

    fn collect_posts(&mut self) {
        self.stopping |= self.posts.collect(&mut self.callbacks);
    }

    /// The message of a timer; a periodic one is armed anew.
    fn fire(&mut self, alarm: Alarm<M>) -> Option<M> {
        match alarm {
            Alarm::Once(message) => Some(message),
            Alarm::Beat(key) => {
                let beat = self.beats.get_mut(key)?;
                let at = beat.next(self.now);
                beat.timer = Some(self.timers.arm(at, Alarm::Beat(key)));
                Some(beat.message.clone())
            }
        }
    }

    fn start_beat(&mut self, mut beat: Beat<M>) -> Key<Beat<M>> {
        let key = self.beats.vacant_key();
        let at = beat.next(self.now());
        beat.timer = Some(self.timers.arm(at, Alarm::Beat(key)));
        self.beats.insert(beat)
    }

    fn stop_beat(&mut self, key: Key<Beat<M>>) {
        let beat = self.beats.remove(key);
        if let Some(timer) = beat.and_then(|beat| beat.timer) {
            self.timers.cancel(timer);
        }
    }
}

impl<M> std::fmt::Debug for IoLoop<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IoLoop")
            .field("now", &self.now)
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}

/// The descriptor of the poll: readable when a source is ready.
#[cfg(unix)]
impl<M> std::os::fd::AsFd for IoLoop<M> {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.poller.registry().as_fd()
    }
}

#[cfg(unix)]
impl<M> std::os::fd::AsRawFd for IoLoop<M> {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.poller.registry().as_raw_fd()
    }
}

/// Events that one poll fetches at most; what is left over comes with the next.
const EVENTS_MAX: usize = 1_024;

#[cfg(test)]
mod tests;
