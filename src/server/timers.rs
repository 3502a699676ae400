//! Timers of the application: of one connection, with which they die, or of the server.

use super::engine::{Command, Dead, Engine, Life};
use super::loud::loud;
use super::object::{At, ConnectionJob, Object};
use crate::connection::{ConnectionId, Keep};
use crate::reactor::Timeout;
use crate::storage::arena::Key;
use std::time::Duration;

/// Tells keys of timers from others.
pub(crate) enum TimerTag {}

pub(crate) type TimerId = Key<TimerTag>;

pub(super) struct Timer<S: 'static> {
    owner: Option<ConnectionId>,
    run: TimerRun<S>,
    armed: Option<Timeout>,
}

/// What a timer does.
pub(crate) enum TimerRun<S: 'static> {
    Once(ConnectionJob<S>),
    Every(Duration, Every<S>),
    App(AppJob<S>),
    AppEvery(Duration, AppEvery<S>),
}

pub(crate) type Every<S> = Box<dyn FnMut(&mut dyn Object<S>, At<'_, S>) -> Keep>;
pub(crate) type AppJob<S> = Box<dyn FnOnce(&mut super::cx::App<'_, S>)>;
pub(crate) type AppEvery<S> = Box<dyn FnMut(&mut super::cx::App<'_, S>) -> Keep>;

impl<S: 'static> Engine<S> {
    /// Starts a timer; with an owner it dies with that connection. `None`: refused.
    pub(crate) fn start_timer(
        &mut self,
        owner: Option<ConnectionId>,
        after: Duration,
        run: TimerRun<S>,
    ) -> Option<TimerId> {
        let mut own = None;
        if let Some(id) = owner {
            let entry = self.connections.get_mut(id.0)?;
            if entry.life == Life::Closing {
                return None;
            }
            let timers = &mut entry.rare.get_or_insert_default().timers;
            if timers.len() >= self.settings.timers_per_connection_max {
                loud!(
                    warn,
                    "{id}: timer refused, it has timers_per_connection_max timers"
                );
                return None;
            }
            own = Some(timers);
        }
        let timer = self.timers.insert(Timer {
            owner,
            run,
            armed: None,
        });
        if let Some(own) = own {
            own.push(timer);
        }
        self.commands
            .push(Command::Arm(timer, self.conns.now + after));
        Some(timer)
    }

    /// The reactor has armed a timer. False: it is gone by now.
    pub(crate) fn armed(&mut self, timer: TimerId, timeout: Timeout) -> bool {
        match self.timers.get_mut(timer) {
            Some(timer) => {
                timer.armed = Some(timeout);
                true
            }
            None => false,
        }
    }

    pub(crate) fn cancel_timer(&mut self, timer: TimerId) {
        let owner = self.timers.get(timer).and_then(|timer| timer.owner);
        if let Some(entry) = owner.and_then(|id| self.connections.get_mut(id.0)) {
            if let Some(rare) = &mut entry.rare {
                rare.timers.retain(|own| *own != timer);
            }
        }
        self.drop_timer(timer);
    }

    pub(super) fn drop_timer(&mut self, timer: TimerId) {
        let Some(Timer { armed, run, .. }) = self.timers.remove(timer) else {
            return;
        };
        self.commands.extend(armed.map(Command::Disarm));
        self.dead.push(Dead::Timer { _run: run });
    }

    /// A timer has fired: what to run, and for whom. It is out of the table meanwhile; a repeating
    /// one is put back with [`Self::repeat_timer`].
    pub(crate) fn take_timer(
        &mut self,
        timer: TimerId,
    ) -> Option<(Option<ConnectionId>, TimerRun<S>)> {
        let Timer { owner, run, .. } = self.timers.get_mut(timer).map(|timer| Timer {
            owner: timer.owner,
            run: std::mem::replace(&mut timer.run, TimerRun::App(Box::new(|_| {}))),
            armed: timer.armed.take(),
        })?;
        if matches!(run, TimerRun::Once(_) | TimerRun::App(_)) {
            self.cancel_timer(timer);
        }
        Some((owner, run))
    }

    /// Puts a repeating timer back, unless it was cancelled while it ran.
    pub(crate) fn repeat_timer(&mut self, timer: TimerId, every: Duration, run: TimerRun<S>) {
        if let Some(slot) = self.timers.get_mut(timer) {
            slot.run = run;
            self.commands
                .push(Command::Arm(timer, self.conns.now + every));
        }
    }
}
