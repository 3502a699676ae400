//! Running the application's code: guarded against panics, watched for slowness, and followed by what
//! follows from it (`on_close` of whatever it closed, say), one after the other and never inside.

use super::core::Core;
use super::cx::App;
use super::engine::{Command, Link, Next};
use super::inbox::Held;
use super::loud::loud;
use super::object::{At, Object};
use super::{Msg, SourceTag};
use crate::conn::ConnKey;
use crate::connection::{Cause, ConnectionId};
use crate::events::AckError;
use crate::reactor::{IoLoop, Readiness};
use crate::storage::arena::Key;
use std::panic::{AssertUnwindSafe, catch_unwind};

impl<S: 'static> Core<S> {
    /// Runs a callback of one connection. `None`: it is gone, or it panicked and is closed now.
    pub(super) fn call<R>(
        &mut self,
        io: &mut IoLoop<Msg>,
        id: ConnectionId,
        what: &str,
        f: impl FnOnce(&mut dyn Object<S>, At<'_, S>) -> R,
    ) -> Option<R> {
        let mut object = self.engine().connections.get_mut(id.0)?.object.take()?;
        let (shared, state) = (&self.shared, &mut self.state);
        let result = catch_unwind(AssertUnwindSafe(|| {
            f(&mut *object, At { shared, state, id })
        }));
        self.watch(io, what, Some(id));
        if let Some(entry) = self.engine().connections.get_mut(id.0) {
            entry.object = Some(object);
        }
        match result {
            Ok(answer) => Some(answer),
            Err(_) => {
                self.panicked(id, what);
                None
            }
        }
    }

    pub(super) fn panicked(&mut self, id: ConnectionId, what: &str) {
        loud!(error, "{id}: {what} panicked; the connection is closed");
        let engine = self.engine();
        engine.conns.stats.panics += 1;
        engine.close(id, Cause::Error, 1011, "internal error");
    }

    /// Runs something of the application's that belongs to no connection.
    pub(super) fn on_app<R>(
        &mut self,
        io: &mut IoLoop<Msg>,
        what: &str,
        f: impl FnOnce(&mut App<'_, S>) -> R,
    ) -> Option<R> {
        let answer = self.guarded(what, f);
        self.watch(io, what, None);
        answer
    }

    /// The same for who watches the time himself.
    pub(super) fn guarded<R>(
        &mut self,
        what: &str,
        f: impl FnOnce(&mut App<'_, S>) -> R,
    ) -> Option<R> {
        let mut app = App::new(&self.shared, &mut self.state);
        let result = catch_unwind(AssertUnwindSafe(|| f(&mut app)));
        if result.is_err() {
            self.panicked_alone(what);
        }
        result.ok()
    }

    /// Runs code of the application's that is lent nothing of the server's. `None`: it panicked.
    pub(super) fn guard<R>(&mut self, what: &str, f: impl FnOnce() -> R) -> Option<R> {
        let result = catch_unwind(AssertUnwindSafe(f));
        if result.is_err() {
            self.panicked_alone(what);
        }
        result.ok()
    }

    /// A panic that ends no connection.
    pub(super) fn panicked_alone(&mut self, what: &str) {
        loud!(error, "{what} panicked");
        self.engine().conns.stats.panics += 1;
    }

    /// The same for whatever of a batch was called last; `otherwise`: what that is if no connection was.
    pub(super) fn watch_last(&mut self, io: &IoLoop<Msg>, otherwise: &str) {
        let (what, whose) = match self.last_called.take() {
            Some((what, id)) => (what, Some(id)),
            None => (otherwise, None),
        };
        self.watch(io, what, whose);
    }

    /// Says so when something has held the loop for long: since the turn began, or since the last
    /// call of this.
    pub(super) fn watch(&mut self, io: &IoLoop<Msg>, what: &str, whose: Option<ConnectionId>) {
        self.last_called = None;
        let now = io.fresh_now();
        let took = now - std::mem::replace(&mut self.mark, now);
        if took >= self.settings.slow_callback {
            let router = whose.and_then(|id| self.engine().router_of(id));
            let class = router.and_then(|router| self.classes.get(router as usize));
            let class = class.map_or("server:", |(name, _)| *name);
            loud!(warn, "{class} {what} held the loop for {took:?}");
            self.engine().conns.stats.slow_callbacks += 1;
        }
    }

    /// Does what follows from callbacks, until nothing follows any more.
    #[inline]
    pub(super) fn follow_up(&mut self, io: &mut IoLoop<Msg>) {
        if self.engine().has_follow_up() {
            self.follow_up_at_length(io);
        }
    }

    fn follow_up_at_length(&mut self, io: &mut IoLoop<Msg>) {
        loop {
            let engine = self.engine();
            if !engine.commands.is_empty() {
                self.obey(io);
            }
            while let Some(dead) = self.engine().dead.pop() {
                self.guard("dropping a value", || drop(dead));
            }
            let engine = self.engine();
            if let Some(key) = engine.conns.cut.pop() {
                // Two writes of one callback may have asked for it.
                if engine.conns.arena.get(key).is_some() {
                    engine.conns.stats.overflows += 1;
                    self.lose(io, key, Cause::Overflow);
                }
                continue;
            }
            let Some(next) = engine.next.pop_front() else {
                return;
            };
            match next {
                Next::Closed(id, why) => {
                    engine.withdraw(id);
                    for then in self.engine().take_acks(id) {
                        self.call(io, id, "an acknowledgement", |object, at| {
                            then(object, at, Err(AckError::Closed));
                        });
                    }
                    self.call(io, id, "on_close", |object, at| object.closed(at, why));
                    self.engine().forget(id);
                }
                Next::Writable(id) => {
                    if self.engine().is_open(id) {
                        self.call(io, id, "on_writable", |object, at| object.writable(at));
                    }
                }
                Next::Run(id, job) => {
                    if self.engine().is_open(id) {
                        self.call(io, id, "a posted closure", |object, at| job(object, at));
                    } else {
                        self.guard("dropping a posted closure", || drop(job));
                    }
                }
                Next::Released(id) => self.released(io, id),
                Next::Decided(id, decision) => self.decided(io, id, decision),
                Next::Resumed(id) => {
                    let entry = engine.connections.get(id.0);
                    if let Some(conn) = entry.and_then(|entry| entry.link.conn()) {
                        self.resume(io, conn);
                    }
                }
                Next::Unblocked(session) => io.add_callback(Msg::Session(session)),
                Next::Answered(conn) => self.resume(io, conn),
                Next::ChannelOpened(id) => self.channel_opened(io, id),
                Next::ChannelMessage(id, text) => self.channel_message(id, &text),
                Next::Gathered(job) => {
                    self.on_app(io, "acknowledgements", |app| job(app));
                }
                Next::Loop(job) => {
                    let sources = &mut self.sources;
                    let mut io = super::ServerLoop { io, sources };
                    let result = catch_unwind(AssertUnwindSafe(|| job(&mut io)));
                    if result.is_err() {
                        self.panicked_alone("a closure for the loop");
                    }
                }
                Next::Drain(deadline) => self.start_drain(io, deadline),
                Next::Stop => {
                    self.stopped = true;
                    io.stop();
                }
            }
        }
    }

    /// A conn may go on with input it had put off.
    pub(super) fn resume(&mut self, io: &mut IoLoop<Msg>, key: ConnKey) {
        let current = self.engine().conns.current == Some(key);
        let Some(conn) = self.conn(key) else { return };
        if !current && (conn.has_input() || conn.readable) {
            io.again(conn.handler, Readiness::READABLE);
        } else if !current && conn.eof {
            self.end_of_input(io, key);
        }
    }

    /// The last `Ordered` of a connection is gone: the messages that waited are handed over, one at
    /// a time, so that what follows from each comes before the next.
    pub(super) fn released(&mut self, io: &mut IoLoop<Msg>, id: ConnectionId) {
        let Some(entry) = self.engine().connections.get_mut(id.0) else {
            return;
        };
        if entry.holds > 0 || entry.life != super::engine::Life::Open {
            return;
        }
        let link = entry.link;
        let waiting = self.engine().next_held(id);
        if let Link::Session(key) | Link::SocketIo(key) = link {
            self.engine().inbox_has_room(key);
        }
        if let Some(held) = waiting {
            match held {
                Held::Packet(text) => self.waited(io, id, &text),
                Held::Message { kind, json, bytes } => {
                    let bytes = &*bytes;
                    let message = crate::Message { kind, bytes, json };
                    self.call(io, id, "on_message", |object, at| {
                        object.message(at, message)
                    });
                }
            }
            self.engine().next.push_back(Next::Released(id));
            return;
        }
        let conn = match link {
            Link::SocketIo(session) => self.engine().hold_conn(session, false),
            link => link.conn(),
        };
        let Some(key) = conn else { return };
        if let Some(conn) = self.conn(key) {
            conn.held = false;
        }
        self.settle(io, key);
        self.resume(io, key);
    }

    /// Tells the reactor what callbacks wanted of it.
    pub(super) fn obey(&mut self, io: &mut IoLoop<Msg>) {
        let mut commands = std::mem::take(&mut self.engine().commands);
        for command in commands.drain(..) {
            match command {
                Command::Arm(timer, at) => {
                    let timeout = io.call_at(at, Msg::Timer(timer));
                    if !self.engine().armed(timer, timeout) {
                        io.remove_timeout(timeout);
                    }
                }
                Command::ArmSession(key, at) => {
                    let timeout = io.call_at(super::times::coarse(at, io.now()), Msg::Session(key));
                    if let Some(old) = self.engine().session_armed(key, at, timeout) {
                        io.remove_timeout(old);
                    }
                }
                Command::Disarm(timeout) => {
                    io.remove_timeout(timeout);
                }
            }
        }
        self.engine().commands = commands;
    }

    pub(super) fn source_ready(
        &mut self,
        io: &mut IoLoop<Msg>,
        key: Key<SourceTag>,
        ready: Readiness,
    ) {
        let Some(mut handler) = self.sources.get_mut(key).and_then(Option::take) else {
            return;
        };
        self.on_app(io, "a source's handler", |app| handler(app, ready));
        self.follow_up(io);
        if let Some(slot) = self.sources.get_mut(key) {
            *slot = Some(handler);
        }
    }
}
