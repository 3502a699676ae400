//! One turn of the server: events of the loop become reads, writes, callbacks and timers.
//!
//! The order within a turn is the loop's. Here: what a conn's input produced is written right after
//! that input; what others sent to it, once, at the end of the turn. What follows from a callback
//! is done when it has returned, before the next input.

use super::engine::{ConnectionTag, Engine, Shared};
use super::entropy::Entropy;
use super::proxies::Proxies;
use super::routing::Table;
use super::sessions::lost;
use super::{Msg, SourceHandler, SourceTag};
use crate::config::Settings;
use crate::conn::http1::Phase;
use crate::conn::websocket::Limits;
use crate::conn::{Conn, ConnKey, Protocol};
use crate::connection::{Cause, CloseReason, ConnectionId};
use crate::error::Error;
use crate::proto::http::date;
use crate::reactor::{Event, IoLoop};
use crate::router::Inner;
use crate::routes::Routes;
use crate::storage::arena::{Arena, Key};
use crate::time::{Instant, UnixSeconds};
use std::any::Any;
use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

pub(crate) struct Core<S: 'static> {
    pub(crate) state: S,
    pub(crate) shared: Shared<S>,
    pub(crate) settings: Rc<Settings>,
    pub(crate) table: Rc<Table<S>>,
    /// The limits of each mount, by its number.
    pub(crate) limits: Vec<Limits>,
    /// The class of each router and its table of events, by its number.
    pub(super) classes: Vec<(&'static str, Rc<dyn Any>)>,
    pub(crate) trusted: Rc<Proxies>,
    pub(crate) listeners: Vec<super::accept::Listening>,
    pub(crate) sources: Arena<Option<SourceHandler<S>>, SourceTag>,
    pub(crate) per_ip: HashMap<IpAddr, u32>,
    pub(crate) conns_max: usize,
    pub(crate) drain: Option<super::drain::Draining>,
    /// The answer to films of Flash that ask for a policy.
    pub(super) policy: Option<Rc<[u8]>>,
    /// Stopped by `stop`, or drained.
    pub(crate) stopped: bool,
    /// One large buffer to read into, for all conns.
    pub(super) recv: Vec<u8>,
    /// What a WebSocket's machine answers by itself, on its way to the queue. Empty but then.
    pub(crate) control: Vec<u8>,
    /// Where messages with escapes are decoded. Empty but then.
    pub(super) text: String,
    pub(super) entropy: Entropy,
    pub(super) unix: UnixSeconds,
    pub(super) now: Instant,
    /// Up to when the time is accounted for; see `watch`.
    pub(super) mark: Instant,
    /// Which callback of a batch ran last, and whose.
    pub(super) last_called: Option<(&'static str, ConnectionId)>,
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
            classes: Vec::new(),
            trusted,
            listeners: Vec::new(),
            sources: Arena::new(),
            per_ip: HashMap::new(),
            conns_max,
            drain: None,
            policy: None,
            stopped: false,
            recv: vec![0; RECV_BYTES],
            control: Vec::new(),
            text: String::new(),
            entropy: Entropy::default(),
            unix: UnixSeconds(0),
            now: Instant::FAR,
            mark: Instant::START,
            last_called: None,
        }
    }

    /// Adds the routes of a listener, and checks them.
    pub(crate) fn add_site(&mut self, routes: Routes<S>) -> Result<usize, Error> {
        if let Some(error) = routes.error {
            return Err(error);
        }
        for mount in &routes.mounts {
            mount.settings.limits.check()?;
            mount.router.with_all_inside(&mut |router| {
                self.number(router);
            });
        }
        for mount in &routes.sockjs {
            mount.of.settings.check()?;
        }
        for mount in &routes.socketio {
            mount.of.check()?;
        }
        // Requests hold the table only while they are handled, so between turns nobody does.
        let table = Rc::get_mut(&mut self.table)
            .ok_or_else(|| io_error("adding routes", io::ErrorKind::ResourceBusy.into()))?;
        let site = table.add(routes);
        self.limits = self.table.limits();
        Ok(site)
    }

    /// The number of a router, which gets one if it has none.
    pub(crate) fn number(&mut self, router: &Inner<S>) -> u32 {
        if self.shared.remote.add_router(router.id) {
            self.classes.push((router.name, Rc::clone(&router.events)));
        }
        self.shared.remote.router_index(router.id)
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
            Event::Timeout(Msg::Session(key)) => {
                self.engine().session_timeout(key);
                self.follow_up(io);
            }
            Event::Callback(Msg::Session(key)) => self.go_on_with_send(io, key),
            Event::Timeout(Msg::Timer(timer)) => self.timer(io, timer),
            Event::Timeout(Msg::Listener(index)) => self.accept(io, index),
            Event::Timeout(Msg::Drain) => self.drain_step(io),
            Event::BeforeSleep => self.end_turn(io),
            Event::Ready(..) | Event::Timeout(_) | Event::Callback(_) => {}
        }
    }

    /// Once a turn: the instant, and the date if another second has begun.
    pub(super) fn begin_turn(&mut self, io: &mut IoLoop<Msg>) {
        self.refresh(io);
        self.engine().conns.stats.turns += 1;
    }

    /// Tells everybody the time, also between two turns.
    pub(crate) fn refresh(&mut self, io: &mut IoLoop<Msg>) {
        self.now = io.now();
        self.mark = self.now;
        let unix = io.unix_now();
        let changed = self.unix != unix;
        let seconds = unix.0.saturating_sub(self.unix.0);
        self.unix = unix;
        let now = self.now;
        let conns = &mut self.engine().conns;
        conns.now = now;
        if changed {
            conns.date = date::format(unix);
            super::loud::next_second();
            conns.rates.advance(seconds, conns.stats.totals());
        }
    }

    pub(super) fn end_turn(&mut self, io: &mut IoLoop<Msg>) {
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
        self.flush_sessions(io);
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
            self.flush_sessions(io);
            std::mem::swap(&mut dirty, &mut self.engine().conns.dirty);
        }
        // Both are empty; the one that has grown is kept.
        let kept = &mut self.engine().conns.dirty;
        if kept.capacity() < dirty.capacity() {
            *kept = dirty;
        }
    }

    /// Hands what sessions have to send to their receivers.
    fn flush_sessions(&mut self, io: &mut IoLoop<Msg>) {
        while self.engine().sessions.is_dirty() {
            self.engine().flush_sessions();
            self.follow_up(io);
        }
    }

    /// The conn is lost, or cut: its owner is told, then it is gone.
    pub(crate) fn lose(&mut self, io: &mut IoLoop<Msg>, key: ConnKey, cause: Cause) {
        let Some(conn) = self.conn(key) else { return };
        if let Protocol::WebSocket(ws) = &mut conn.protocol {
            if let Some(id) = owner(std::mem::take(&mut ws.owner)) {
                self.engine().end(id, lost(cause));
            }
        }
        self.abandon(key, lost(cause));
        self.remove(io, key);
    }

    /// The conn has nobody behind it any more: a handshake that waits for its decision is forgotten,
    /// a session has lost its receiver.
    pub(super) fn abandon(&mut self, key: ConnKey, why: CloseReason) {
        let Some(conn) = self.conn(key) else { return };
        let session = conn.session();
        if let Protocol::Http(http) = &conn.protocol {
            if let Phase::Deciding(id, _) = http.phase {
                if let Some(id) = owner(id) {
                    self.engine().forget(id);
                }
            }
        }
        if session != 0 {
            self.engine().receiver_lost(session, key, why);
        }
    }

    /// Closes the socket and forgets the conn.
    pub(crate) fn remove(&mut self, io: &mut IoLoop<Msg>, key: ConnKey) {
        self.abandon(key, lost(Cause::Lost));
        let conns = &mut self.engine().conns;
        let Some(mut conn) = conns.take(key) else {
            return;
        };
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

/// How long a WebSocket lingers after its closing handshake (RFC 6455, 7.1.1).
pub(crate) const WS_LINGER: Duration = Duration::from_secs(1);
