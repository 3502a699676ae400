//! Which sources the loop watches, and what it hears of them.
//!
//! Each registration is a place in an arena, and its key is the token that `mio` gets. An event that
//! was already fetched when its source was removed carries a stale key and goes nowhere.
//!
//! Not here: what happens then (`mod.rs`).

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::ops::{BitOr, BitOrAssign};
use std::time::Duration;

use mio::event::Source;
use mio::{Events, Interest, Token};

use crate::storage::arena::{Arena, Key};

#[cfg(not(target_pointer_width = "64"))]
compile_error!("a token of the poller carries a key of 64 bits");

/// One registered source; the `fd` of the ancestor's `add_handler`. Stale once it is removed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Handler(Key<Handler>);

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handler({:?})", self.0)
    }
}

/// What a source is ready for.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Readiness(u8);

impl Readiness {
    /// For nothing.
    pub const NONE: Self = Self(0);
    /// A read does not block.
    pub const READABLE: Self = Self(1);
    /// A write does not block.
    pub const WRITABLE: Self = Self(2);
    /// The peer sends no more, or there is an error: read until that shows, even after a short
    /// read, because no other event will come. Readable, too.
    pub const CLOSED: Self = Self(4 | 1);

    /// Whether a read does not block.
    pub const fn is_readable(self) -> bool {
        self.0 & 1 != 0
    }

    /// Whether a write does not block.
    pub const fn is_writable(self) -> bool {
        self.0 & 2 != 0
    }

    /// Whether the side we read from is closed; see [`Self::CLOSED`].
    pub const fn is_closed(self) -> bool {
        self.0 & 4 != 0
    }

    /// Whether it is ready for nothing.
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    fn of(event: &mio::event::Event) -> Self {
        let mut readiness = Self::NONE;
        if event.is_readable() {
            readiness |= Self::READABLE;
        }
        if event.is_writable() {
            readiness |= Self::WRITABLE;
        }
        if event.is_read_closed() || event.is_error() {
            readiness |= Self::CLOSED;
        }
        readiness
    }
}

impl BitOr for Readiness {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Readiness {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (self.is_readable(), "readable"),
            (self.is_writable(), "writable"),
            (self.is_closed(), "closed"),
        ];
        let set = names.iter().filter(|(is, _)| *is).map(|(_, name)| name);
        f.debug_set().entries(set).finish()
    }
}

#[derive(Debug)]
struct Registration<M> {
    message: M,
    /// What is to be told again in the next turn. Not empty: the handler is in `Poller::again`.
    again: Readiness,
    /// What is to be told again in this turn.
    due: Readiness,
}

/// The sources and the system's poll.
#[derive(Debug)]
pub(super) struct Poller<M> {
    poll: mio::Poll,
    registrations: Arena<Registration<M>, Handler>,
    /// The ready list: handlers to be told again, each once.
    again: VecDeque<Handler>,
}

impl<M> Poller<M> {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            poll: mio::Poll::new()?,
            registrations: Arena::new(),
            again: VecDeque::new(),
        })
    }

    pub(super) fn poll(
        &mut self,
        events: &mut Events,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        self.poll.poll(events, timeout)
    }

    pub(super) fn registry(&self) -> &mio::Registry {
        self.poll.registry()
    }

    pub(super) fn add(
        &mut self,
        source: &mut impl Source,
        interest: Interest,
        message: M,
    ) -> io::Result<Handler> {
        let handler = Handler(self.registrations.vacant_key());
        source.register(self.poll.registry(), handler.token(), interest)?;
        self.registrations.insert(Registration {
            message,
            again: Readiness::NONE,
            due: Readiness::NONE,
        });
        Ok(handler)
    }

    pub(super) fn update(
        &mut self,
        source: &mut impl Source,
        handler: Handler,
        interest: Interest,
    ) -> io::Result<()> {
        self.known(handler)?;
        source.reregister(self.poll.registry(), handler.token(), interest)
    }

    pub(super) fn remove(&mut self, source: &mut impl Source, handler: Handler) -> io::Result<()> {
        self.known(handler)?;
        self.registrations.remove(handler.0);
        source.deregister(self.poll.registry())
    }

    fn known(&self, handler: Handler) -> io::Result<()> {
        if self.registrations.contains(handler.0) {
            return Ok(());
        }
        let text = "this handler was removed";
        Err(io::Error::new(io::ErrorKind::NotFound, text))
    }

    /// Puts a handler on the ready list.
    pub(super) fn again(&mut self, handler: Handler, readiness: Readiness) {
        let Some(registration) = self.registrations.get_mut(handler.0) else {
            return;
        };
        if registration.again.is_none() && !readiness.is_none() {
            self.again.push_back(handler);
        }
        registration.again |= readiness;
    }

    /// Whether the ready list is not empty.
    pub(super) fn has_ready(&self) -> bool {
        !self.again.is_empty()
    }

    /// Begins a turn: what is on the ready list now is told in this turn, what comes later is not.
    /// Answers how many [`Self::next_again`] may be asked for.
    pub(super) fn begin_turn(&mut self) -> usize {
        for handler in &self.again {
            if let Some(registration) = self.registrations.get_mut(handler.0) {
                registration.due |= std::mem::take(&mut registration.again);
            }
        }
        self.again.len()
    }

    /// Whom an event of the system is for, and what to tell; with what the ready list has for him, so
    /// that he is called once a turn. `None`: nobody, any more.
    pub(super) fn ready(&mut self, event: &mio::event::Event) -> Option<(M, Readiness)>
    where
        M: Clone,
    {
        let handler = Handler(Key::from_bits(event.token().0 as u64)?);
        self.tell(handler, Readiness::of(event))
    }

    /// The same for the front of the ready list.
    pub(super) fn next_again(&mut self) -> Option<(M, Readiness)>
    where
        M: Clone,
    {
        let handler = self.again.pop_front()?;
        self.tell(handler, Readiness::NONE)
    }

    fn tell(&mut self, handler: Handler, readiness: Readiness) -> Option<(M, Readiness)>
    where
        M: Clone,
    {
        let registration = self.registrations.get_mut(handler.0)?;
        let readiness = readiness | std::mem::take(&mut registration.due);
        (!readiness.is_none()).then(|| (registration.message.clone(), readiness))
    }
}

impl Handler {
    fn token(self) -> Token {
        Token(self.0.to_bits() as usize)
    }
}

/// The token of the loop's own waker: no key has these bits.
pub(super) const WAKER: Token = Token(0);
