//! One turn of the server: events of the loop become reads, writes, callbacks and timers.
//!
//! The order within a turn is the loop's. Here: what a conn's input produced is written right after
//! that input; what others sent to it, once, at the end of the turn. What follows from a callback
//! is done when it has returned, before the next input.

use super::cx::App;
use super::engine::{Command, ConnectionTag, Engine, Next, Shared, TimerId, TimerRun};
use super::object::{At, Object};
use super::proxies::Proxies;
use super::routing::Table;
use super::{Msg, SourceHandler, SourceTag};
use crate::config::Settings;
use crate::conn::http1::{Phase, timeouts};
use crate::conn::websocket::{Aged, Limits};
use crate::conn::{Conn, ConnKey, Protocol};
use crate::connection::{Cause, CloseReason, ConnectionId, Keep};
use crate::error::Error;
use crate::proto::http::date;
use crate::proto::http::reader;
use crate::proto::ws::machine::Expired;
use crate::reactor::{Event, IoLoop, Readiness};
use crate::router::Routes;
use crate::storage::arena::{Arena, Key};
use crate::storage::input::Input;
use crate::time::{Instant, UnixSeconds};
use std::collections::HashMap;
use std::io::{self, ErrorKind, Read};
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

pub(crate) struct Core<S: 'static> {
    pub(crate) state: S,
    pub(crate) shared: Shared<S>,
    pub(crate) settings: Rc<Settings>,
    pub(crate) table: Rc<Table<S>>,
    /// The limits of each mount, by its number.
    pub(crate) limits: Vec<Limits>,
    /// The class of each router, by its number.
    names: Vec<&'static str>,
    pub(crate) trusted: Rc<Proxies>,
    pub(crate) listeners: Vec<super::accept::Listening>,
    pub(crate) sources: Arena<Option<SourceHandler<S>>, SourceTag>,
    pub(crate) per_ip: HashMap<IpAddr, u32>,
    pub(crate) conns_max: usize,
    pub(crate) drain: Option<super::drain::Draining>,
    /// Stopped by `stop`, or drained.
    pub(crate) stopped: bool,
    /// One large buffer to read into, for all conns.
    recv: Vec<u8>,
    /// What a WebSocket's machine answers by itself, on its way to the queue. Empty but then.
    pub(crate) control: Vec<u8>,
    unix: UnixSeconds,
    now: Instant,
    /// Up to when the time is accounted for; see `watch`.
    mark: Instant,
}

impl<S: 'static> Core<S> {
    pub(crate) fn new(
        state: S,
        shared: Shared<S>,
        settings: Rc<Settings>,
        conns_max: usize,
        trusted: Rc<Proxies>,
    ) -> Self {
        Self {
            state,
            shared,
            settings,
            table: Rc::new(Table::new()),
            limits: Vec::new(),
            names: Vec::new(),
            trusted,
            listeners: Vec::new(),
            sources: Arena::new(),
            per_ip: HashMap::new(),
            conns_max,
            drain: None,
            stopped: false,
            recv: vec![0; RECV_BYTES],
            control: Vec::new(),
            unix: UnixSeconds(0),
            now: Instant::FAR,
            mark: Instant::START,
        }
    }

    /// Adds the routes of a listener, and checks them.
    pub(crate) fn add_site(&mut self, routes: Routes<S>) -> Result<usize, Error> {
        if let Some(error) = routes.error {
            return Err(error);
        }
        for mount in &routes.mounts {
            mount.settings.limits.check()?;
            if self.shared.remote.add_router(mount.router.id) {
                self.names.push(mount.router.name);
            }
        }
        // Requests hold the table only while they are handled, so between turns nobody does.
        let table = Rc::get_mut(&mut self.table)
            .ok_or_else(|| io_error("adding routes", io::ErrorKind::ResourceBusy.into()))?;
        let site = table.add(routes);
        self.limits = self.table.limits();
        Ok(site)
    }

    pub(crate) fn engine(&mut self) -> &mut Engine<S> {
        self.shared.engine.get_mut()
    }

    pub(crate) fn conn(&mut self, key: ConnKey) -> Option<&mut Conn> {
        self.engine().conns.arena.get_mut(key)
    }

    /// Takes one event of the loop.
    pub(crate) fn event(&mut self, io: &mut IoLoop<Msg>, event: Event<Msg>) {
        if self.now != io.now() {
            self.begin_turn(io);
        }
        match event {
            Event::Ready(Msg::Conn(key), readiness) => self.ready(io, key, readiness),
            Event::Ready(Msg::Listener(index), _) => self.accept(io, index),
            Event::Ready(Msg::Source(key), readiness) => self.source_ready(io, key, readiness),
            Event::Timeout(Msg::Conn(key)) => self.timeout(io, key),
            Event::Timeout(Msg::Timer(timer)) => self.timer(io, timer),
            Event::Timeout(Msg::Listener(index)) => self.accept(io, index),
            Event::Timeout(Msg::Drain) => self.drain_step(io),
            Event::BeforeSleep => self.end_turn(io),
            Event::Ready(..) | Event::Timeout(_) | Event::Callback(_) => {}
        }
    }

    /// Once a turn: the instant, and the date if another second has begun.
    fn begin_turn(&mut self, io: &mut IoLoop<Msg>) {
        self.refresh(io);
        self.engine().conns.stats.turns += 1;
    }

    /// Tells everybody the time, also between two turns.
    pub(crate) fn refresh(&mut self, io: &mut IoLoop<Msg>) {
        self.now = io.now();
        self.mark = self.now;
        let unix = io.unix_now();
        let changed = self.unix != unix;
        self.unix = unix;
        let now = self.now;
        let conns = &mut self.engine().conns;
        conns.now = now;
        if changed {
            conns.date = date::format(unix);
        }
    }

    fn end_turn(&mut self, io: &mut IoLoop<Msg>) {
        for job in self.shared.remote.take() {
            self.on_app(io, "a job from another thread", |app| job(app));
            self.follow_up(io);
        }
        self.follow_up(io);
        self.relieve(io);
        self.flush(io);
    }

    /// Writes what the turn has left to be written.
    pub(crate) fn flush(&mut self, io: &mut IoLoop<Msg>) {
        let mut dirty = std::mem::take(&mut self.engine().conns.dirty);
        while !dirty.is_empty() {
            for key in dirty.drain(..) {
                if let Some(conn) = self.conn(key) {
                    conn.dirty = false;
                    self.settle(io, key);
                }
            }
            // An `on_writable` or `on_close` may have sent more; that is written in this turn too.
            self.follow_up(io);
            std::mem::swap(&mut dirty, &mut self.engine().conns.dirty);
        }
        // Both are empty; the one that has grown is kept.
        let kept = &mut self.engine().conns.dirty;
        if kept.capacity() < dirty.capacity() {
            *kept = dirty;
        }
    }

    /// All buffers together are nearly over their limit: the largest holders are closed.
    fn relieve(&mut self, io: &mut IoLoop<Msg>) {
        let max = self.settings.buffers_max_bytes;
        if self.engine().conns.queued < max / 100 * 95 {
            return;
        }
        let conns = &mut self.engine().conns;
        let mut holders: Vec<(usize, ConnKey)> = conns
            .arena
            .iter()
            .map(|(key, conn)| (conn.out.len(), key))
            .collect();
        holders.sort_unstable_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        for (bytes, key) in holders {
            if bytes == 0 || self.engine().conns.queued < max / 100 * 80 {
                break;
            }
            // What was not tried yet may fit.
            self.settle(io, key);
            if self
                .conn(key)
                .is_some_and(|conn| conn.out.len() * 2 > bytes)
            {
                self.engine().conns.stats.memory_closes += 1;
                self.lose(io, key, Cause::Overflow);
            }
        }
        self.follow_up(io);
    }

    // ---- reading ----------------------------------------------------------------------------

    fn ready(&mut self, io: &mut IoLoop<Msg>, key: ConnKey, readiness: Readiness) {
        let Some(conn) = self.conn(key) else { return };
        let writes = conn.blocked || conn.is_sending();
        if readiness.is_readable() || readiness.is_closed() {
            conn.readable = true;
            conn.read_closed |= readiness.is_closed();
        }
        if writes && readiness.is_writable() {
            self.settle(io, key);
            self.follow_up(io);
        }
        self.read(io, key);
    }

    /// Reads and handles what a conn has sent, within its budget for this turn.
    pub(crate) fn read(&mut self, io: &mut IoLoop<Msg>, key: ConnKey) {
        let mut buffer = std::mem::take(&mut self.recv);
        let budget = self.settings.work_per_turn_bytes;
        let mut work = 0;
        self.engine().conns.current = Some(key);
        loop {
            let settings = &*self.settings;
            let conns = &mut self.shared.engine.get_mut().conns;
            let Some(conn) = conns.arena.get_mut(key) else {
                break;
            };
            if work >= budget {
                let handler = conn.handler;
                io.again(handler, Readiness::READABLE);
                break;
            }
            if conn.pending.is_some() && conn.takes_pending(settings) {
                let mut pending = *conn.pending.take().unwrap_or_default();
                self.input(io, key, &mut pending, &mut work);
                self.settle(io, key);
                continue;
            }
            if !conn.readable || !conn.wants_input(settings) {
                break;
            }
            match conn.stream.read(&mut buffer) {
                Ok(0) => {
                    conn.readable = false;
                    conn.eof = true;
                    break;
                }
                Ok(n) => {
                    // A short read means drained, unless the end of the input lies behind it.
                    if n < buffer.len() && !conn.read_closed {
                        conn.readable = false;
                    }
                    conns.stats.bytes_in += n as u64;
                    self.input(io, key, &mut buffer[..n], &mut work);
                    self.settle(io, key);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    conn.readable = false;
                    break;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    self.lose(io, key, Cause::Lost);
                    break;
                }
            }
        }
        self.engine().conns.current = None;
        self.recv = buffer;
        if self.conn(key).is_some_and(|conn| conn.eof) {
            self.end_of_input(io, key);
        }
        self.follow_up(io);
    }

    /// Reads, whether an event has said that there is something or not.
    fn look(&mut self, io: &mut IoLoop<Msg>, key: ConnKey) {
        if let Some(conn) = self.conn(key) {
            conn.readable = true;
        }
        self.read(io, key);
    }

    /// Hands bytes to what the conn speaks; what it cannot look at yet is kept.
    fn input(&mut self, io: &mut IoLoop<Msg>, key: ConnKey, bytes: &mut [u8], work: &mut usize) {
        let now = io.now();
        let linger_max = self.settings.linger_bytes_max;
        let mut input = Input::new(bytes);
        while !input.is_empty() {
            let Some(conn) = self.conn(key) else { return };
            if conn.pending.is_some() {
                break;
            }
            let go_on = match &mut conn.protocol {
                Protocol::WebSocket(ws) => {
                    ws.machine.heard(now);
                    self.websocket_input(io, key, &mut input, work)
                }
                Protocol::Http(_) => self.http_input(io, key, &mut input, work),
                Protocol::Closing(closing) => {
                    closing.dropped += input.len();
                    if closing.dropped > linger_max && closing.until.is_some() {
                        self.remove(io, key);
                    }
                    return;
                }
            };
            if !go_on {
                break;
            }
        }
        if !input.is_empty() {
            if let Some(conn) = self.conn(key) {
                conn.stash(input.rest());
            }
        }
    }

    /// The peer has sent all it will ever send.
    fn end_of_input(&mut self, io: &mut IoLoop<Msg>, key: ConnKey) {
        let Some(conn) = self.conn(key) else { return };
        let complete = conn.pending.is_some();
        match &mut conn.protocol {
            // Whoever holds a stream open has gone; a plain request that is whole is still answered.
            Protocol::Http(http) => match &http.phase {
                Phase::Waiting(terms, until) => {
                    let (mut terms, until) = (*terms, *until);
                    terms.keep_alive &= complete;
                    http.phase = Phase::Waiting(terms, until);
                }
                Phase::Sending(..) => {}
                Phase::Reading if complete => {}
                Phase::Reading | Phase::Streaming(_) | Phase::Deciding(..) => {
                    self.lose_politely(io, key);
                }
            },
            Protocol::WebSocket(_) => self.lose(io, key, Cause::Lost),
            Protocol::Closing(closing) => {
                if closing.until.is_some() {
                    self.remove(io, key);
                }
            }
        }
    }

    /// The input has ended and nothing is owed but what waits to be written.
    pub(crate) fn lose_politely(&mut self, io: &mut IoLoop<Msg>, key: ConnKey) {
        let linger = self.settings.linger_timeout;
        let Some(conn) = self.conn(key) else { return };
        if conn.out.is_empty() {
            self.lose(io, key, Cause::Lost);
        } else {
            self.abandon(key);
            if let Some(conn) = self.conn(key) {
                conn.close(linger);
            }
            self.settle(io, key);
        }
    }

    // ---- writing ----------------------------------------------------------------------------

    /// Writes what waits and does what follows from the outcome: the next piece of a file,
    /// `on_writable`, shutting down, the timer, further input.
    pub(crate) fn settle(&mut self, io: &mut IoLoop<Msg>, key: ConnKey) {
        if let Err(error) = self.write(io, key) {
            log::debug!("a conn was lost while writing: {error}");
            self.lose(io, key, Cause::Lost);
            return;
        }
        let now = io.now();
        let settings = &*self.settings;
        let engine = self.shared.engine.get_mut();
        let current = engine.conns.current == Some(key);
        let Some(conn) = engine.conns.arena.get_mut(key) else {
            return;
        };
        if conn.full && conn.out.len() <= settings.write_low_bytes {
            conn.full = false;
            if let Some(id) = owner(conn.owner()) {
                engine.next.push_back(Next::Writable(id));
            }
        }
        if conn.out.is_empty() && conn.shut_down(now) {
            self.remove(io, key);
            return;
        }
        let resumed = conn.pause_or_resume(now, settings);
        // Reading had stopped; if it may go on, it does so in the next turn.
        if !current
            && ((conn.readable && conn.wants_input(settings))
                || (conn.pending.is_some() && conn.takes_pending(settings)))
        {
            io.again(conn.handler, Readiness::READABLE);
        }
        match resumed {
            true => self.arm_anew(io, key),
            false => self.arm(io, key),
        }
    }

    /// Writes what waits, and further pieces of a file within the budget of a turn.
    fn write(&mut self, io: &mut IoLoop<Msg>, key: ConnKey) -> io::Result<()> {
        let mut budget = self.settings.work_per_turn_bytes;
        loop {
            let conns = &mut self.shared.engine.get_mut().conns;
            let Some(conn) = conns.arena.get_mut(key) else {
                return Ok(());
            };
            conn.flush(io, &mut conns.pool, &mut conns.stats, &mut conns.queued)?;
            if conn.blocked || !conn.is_sending() {
                return Ok(());
            }
            if budget == 0 {
                io.again(conn.handler, Readiness::WRITABLE);
                return Ok(());
            }
            budget = budget.saturating_sub(conns.refill(key)?);
        }
    }

    // ---- time -------------------------------------------------------------------------------

    /// Sees to it that the conn's timer fires no later than its next deadline. A later deadline
    /// leaves the timer alone: it fires early and is armed again, so traffic costs nothing.
    fn arm(&mut self, io: &mut IoLoop<Msg>, key: ConnKey) {
        let engine = self.shared.engine.get_mut();
        let Some(conn) = engine.conns.arena.get_mut(key) else {
            return;
        };
        if conn.timer.is_none() || !conn.only_postpones() {
            self.arm_anew(io, key);
        }
    }

    fn arm_anew(&mut self, io: &mut IoLoop<Msg>, key: ConnKey) {
        let engine = self.shared.engine.get_mut();
        let Some(conn) = engine.conns.arena.get_mut(key) else {
            return;
        };
        let Some(deadline) = conn.deadline(&self.settings, &self.limits) else {
            return;
        };
        let at = if deadline - io.now() >= COARSE_FROM {
            deadline.round_up(COARSE_NANOS)
        } else {
            deadline
        };
        match conn.timer {
            Some((armed, _)) if armed <= at => {}
            old => {
                if let Some((_, timeout)) = old {
                    io.remove_timeout(timeout);
                }
                conn.timer = Some((at, io.call_at(at, Msg::Conn(key))));
            }
        }
    }

    fn timeout(&mut self, io: &mut IoLoop<Msg>, key: ConnKey) {
        let now = io.now();
        let settings = Rc::clone(&self.settings);
        // Time-outs come before ready sources: a sign of life may lie in the socket.
        if self.conn(key).is_some_and(|conn| conn.is_unanswered()) {
            self.look(io, key);
        }
        let engine = self.shared.engine.get_mut();
        let conns = &mut engine.conns;
        let Some(conn) = conns.arena.get_mut(key) else {
            return;
        };
        let late = conn.timer.take().map_or(Duration::ZERO, |(at, _)| now - at);
        if conn.blocked && now >= conn.progress + settings.write_timeout {
            conns.stats.write_timeouts += 1;
            self.lose(io, key, Cause::Timeout);
            self.follow_up(io);
            return;
        }
        match &mut conn.protocol {
            Protocol::Http(http) => match &http.phase {
                Phase::Reading => match http.reader.handle_timeout(now, &timeouts(&settings)) {
                    Some(reader::Expired::Silent) => self.remove(io, key),
                    Some(reader::Expired::Refuse(error)) => self.refuse(io, key, error),
                    None => {}
                },
                Phase::Waiting(_, until) if now >= *until => self.answer_timeout(key),
                Phase::Deciding(id, until) if now >= *until => {
                    if let Some(id) = owner(*id) {
                        self.decided(io, id, Err(crate::Reject::status(503)));
                    }
                }
                _ => {}
            },
            Protocol::WebSocket(ws) => {
                let limits = &self.limits[ws.mount as usize];
                let id = owner(ws.owner);
                match (id, ws.aged(limits, now)) {
                    (Some(id), Some(Aged::Idle)) => engine.close(id, Cause::Timeout, 1000, "idle"),
                    (Some(id), Some(Aged::Old)) => {
                        engine.close(id, Cause::Timeout, 1012, "too old");
                    }
                    _ => {
                        // A turn this late says nothing about the peer: it gets one more interval.
                        if limits
                            .machine
                            .ping_interval
                            .is_some_and(|interval| late >= interval)
                        {
                            ws.machine.heard(now);
                        }
                        let out = conn.out.tail(&mut conns.pool);
                        let before = out.len();
                        let expired = ws.machine.handle_timeout(now, &limits.machine, out);
                        conns.queued += out.len() - before;
                        match expired {
                            None => {}
                            Some(Expired::Ping) => {
                                ws.owner = 0;
                                conns.stats.ping_timeouts += 1;
                                conn.close(settings.linger_timeout.min(WS_LINGER));
                                if let Some(id) = id {
                                    engine.end(
                                        id,
                                        CloseReason {
                                            cause: Cause::Timeout,
                                            code: 1006,
                                            reason: "ping timeout".to_owned(),
                                            clean: false,
                                        },
                                    );
                                }
                            }
                            Some(Expired::Close) => {
                                conns.stats.close_timeouts += 1;
                                self.remove(io, key);
                            }
                        }
                    }
                }
            }
            Protocol::Closing(closing) => {
                if closing.until.is_some_and(|until| now >= until) {
                    self.remove(io, key);
                }
            }
        }
        self.settle(io, key);
        self.follow_up(io);
    }

    fn timer(&mut self, io: &mut IoLoop<Msg>, timer: TimerId) {
        let Some((owner, run)) = self.engine().take_timer(timer) else {
            return;
        };
        match (run, owner) {
            (TimerRun::Once(job), Some(id)) => {
                self.call(io, id, "a timer", |object, at| job(object, at));
            }
            (TimerRun::Every(period, mut job), Some(id)) => {
                let keep = self.call(io, id, "a timer", |object, at| job(object, at));
                if keep == Some(Keep::Going) {
                    self.engine()
                        .repeat_timer(timer, period, TimerRun::Every(period, job));
                } else {
                    self.engine().cancel_timer(timer);
                    self.guard("dropping a timer", || drop(job));
                }
            }
            (TimerRun::App(job), _) => {
                self.on_app(io, "a timer", |app| job(app));
            }
            (TimerRun::AppEvery(period, mut job), _) => {
                let keep = self.on_app(io, "a timer", |app| job(app));
                if keep == Some(Keep::Going) {
                    self.engine()
                        .repeat_timer(timer, period, TimerRun::AppEvery(period, job));
                } else {
                    self.engine().cancel_timer(timer);
                    self.guard("dropping a timer", || drop(job));
                }
            }
            (TimerRun::Once(_) | TimerRun::Every(..), None) => {}
        }
        self.follow_up(io);
    }

    // ---- callbacks --------------------------------------------------------------------------

    /// Runs a callback of one connection. `None`: it is gone, or it panicked and is closed now.
    pub(crate) fn call<R>(
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

    pub(crate) fn panicked(&mut self, id: ConnectionId, what: &str) {
        log::error!("{id}: {what} panicked; the connection is closed");
        let engine = self.engine();
        engine.conns.stats.panics += 1;
        engine.close(id, Cause::Error, 1011, "internal error");
    }

    /// Runs something of the application's that belongs to no connection.
    pub(crate) fn on_app<R>(
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
    pub(crate) fn guarded<R>(
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
    pub(crate) fn guard<R>(&mut self, what: &str, f: impl FnOnce() -> R) -> Option<R> {
        let result = catch_unwind(AssertUnwindSafe(f));
        if result.is_err() {
            self.panicked_alone(what);
        }
        result.ok()
    }

    /// A panic that ends no connection.
    fn panicked_alone(&mut self, what: &str) {
        log::error!("{what} panicked");
        self.engine().conns.stats.panics += 1;
    }

    /// Says so when something has held the loop for long: since the turn began, or since the last
    /// call of this.
    pub(crate) fn watch(&mut self, io: &IoLoop<Msg>, what: &str, whose: Option<ConnectionId>) {
        let now = io.fresh_now();
        let took = now - std::mem::replace(&mut self.mark, now);
        if took >= self.settings.slow_callback {
            let router = whose.and_then(|id| self.engine().router_of(id));
            let class = router.and_then(|router| self.names.get(router as usize));
            log::warn!(
                "{} {what} held the loop for {took:?}",
                class.unwrap_or(&"server:")
            );
            self.engine().conns.stats.slow_callbacks += 1;
        }
    }

    /// Does what follows from callbacks, until nothing follows any more.
    pub(crate) fn follow_up(&mut self, io: &mut IoLoop<Msg>) {
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
                self.lose(io, key, Cause::Overflow);
                continue;
            }
            let Some(next) = engine.next.pop_front() else {
                return;
            };
            match next {
                Next::Closed(id, why) => {
                    engine.withdraw(id);
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
                    if let Some(entry) = engine.connections.get(id.0) {
                        let conn = entry.conn;
                        self.resume(io, conn);
                    }
                }
                Next::Answered(conn) => self.resume(io, conn),
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
    fn resume(&mut self, io: &mut IoLoop<Msg>, key: ConnKey) {
        let current = self.engine().conns.current == Some(key);
        let Some(conn) = self.conn(key) else { return };
        if !current && (conn.pending.is_some() || conn.readable) {
            io.again(conn.handler, Readiness::READABLE);
        } else if !current && conn.eof {
            self.end_of_input(io, key);
        }
    }

    /// The last `Ordered` of a connection is gone: the messages that waited are handed over, one at
    /// a time, so that what follows from each comes before the next.
    fn released(&mut self, io: &mut IoLoop<Msg>, id: ConnectionId) {
        let Some(entry) = self.engine().connections.get_mut(id.0) else {
            return;
        };
        if entry.holds > 0 || entry.life != super::engine::Life::Open {
            return;
        }
        let waiting = entry.rare.as_mut().and_then(|rare| rare.inbox.pop_front());
        let key = entry.conn;
        if let Some((kind, bytes)) = waiting {
            self.engine().conns.stats.messages_in += 1;
            let message = crate::Message {
                kind,
                bytes: &bytes,
            };
            self.call(io, id, "on_message", |object, at| {
                object.message(at, message)
            });
            self.engine().next.push_back(Next::Released(id));
            return;
        }
        if let Some(conn) = self.conn(key) {
            conn.held = false;
        }
        self.settle(io, key);
        self.resume(io, key);
    }

    /// Tells the reactor what callbacks wanted of it.
    fn obey(&mut self, io: &mut IoLoop<Msg>) {
        let mut commands = std::mem::take(&mut self.engine().commands);
        for command in commands.drain(..) {
            match command {
                Command::Arm(timer, at) => {
                    let timeout = io.call_at(at, Msg::Timer(timer));
                    if !self.engine().armed(timer, timeout) {
                        io.remove_timeout(timeout);
                    }
                }
                Command::Disarm(timeout) => {
                    io.remove_timeout(timeout);
                }
            }
        }
        self.engine().commands = commands;
    }

    fn source_ready(&mut self, io: &mut IoLoop<Msg>, key: Key<SourceTag>, ready: Readiness) {
        let Some(mut handler) = self.sources.get_mut(key).and_then(Option::take) else {
            return;
        };
        self.on_app(io, "a source's handler", |app| handler(app, ready));
        self.follow_up(io);
        if let Some(slot) = self.sources.get_mut(key) {
            *slot = Some(handler);
        }
    }

    // ---- the end of a conn ------------------------------------------------------------------

    /// The conn is lost, or cut: its owner is told, then it is gone.
    pub(crate) fn lose(&mut self, io: &mut IoLoop<Msg>, key: ConnKey, cause: Cause) {
        let Some(conn) = self.conn(key) else { return };
        if let Protocol::WebSocket(ws) = &mut conn.protocol {
            if let Some(id) = owner(std::mem::take(&mut ws.owner)) {
                let why = CloseReason {
                    cause,
                    code: 1006,
                    reason: String::new(),
                    clean: false,
                };
                self.engine().end(id, why);
            }
        }
        self.remove(io, key);
    }

    /// A handshake that waits for its decision has nobody to tell it to any more.
    fn abandon(&mut self, key: ConnKey) {
        let Some(conn) = self.conn(key) else { return };
        let Protocol::Http(http) = &conn.protocol else {
            return;
        };
        let Phase::Deciding(id, _) = http.phase else {
            return;
        };
        if let Some(id) = owner(id) {
            self.engine().forget(id);
        }
    }

    /// Closes the socket and forgets the conn.
    pub(crate) fn remove(&mut self, io: &mut IoLoop<Msg>, key: ConnKey) {
        self.abandon(key);
        let conns = &mut self.engine().conns;
        let Some(mut conn) = conns.arena.remove(key) else {
            return;
        };
        conns.queued = conns.queued.saturating_sub(conn.out.len());
        conn.out.clear(&mut conns.pool);
        if matches!(conn.protocol, Protocol::WebSocket(_)) || conn.was_websocket {
            conns.stats.websockets_open = conns.stats.websockets_open.saturating_sub(1);
        }
        if let Some((_, timeout)) = conn.timer.take() {
            io.remove_timeout(timeout);
        }
        if let Err(error) = io.remove_handler(&mut conn.stream, conn.handler) {
            log::debug!("a conn could not be deregistered: {error}");
        }
        if let Some(ip) = conn.ip() {
            if let Some(count) = self.per_ip.get_mut(&ip) {
                *count -= 1;
                if *count == 0 {
                    self.per_ip.remove(&ip);
                }
            }
        }
        if self.drain.is_some() {
            self.drain_check(io);
        }
    }
}

/// The connection that a WebSocket's bits name.
pub(crate) fn owner(bits: u64) -> Option<ConnectionId> {
    Key::<ConnectionTag>::from_bits(bits).map(ConnectionId)
}

pub(crate) fn io_error(doing: &str, error: io::Error) -> crate::Error {
    crate::Error::io(doing, error)
}

/// One read takes at most so much; a conn that sends more fills it and is read again.
const RECV_BYTES: usize = 256 << 10;

/// Deadlines that far away go to a shared grid, so that ten thousand of them are few wake-ups.
const COARSE_FROM: Duration = Duration::from_secs(5);
const COARSE_NANOS: u64 = 250_000_000;

/// How long a WebSocket lingers after its closing handshake (RFC 6455, 7.1.1).
pub(crate) const WS_LINGER: Duration = Duration::from_secs(1);
