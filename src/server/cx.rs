//! What a callback is handed: [`Cx`] for connections, [`App`] for everything else.
//!
//! Both have two fields that can be borrowed at once: the shared `state`, and `io`, whose methods
//! all take `&self`. So a loop over something in the state may send.

use super::ServerLoop;
use super::engine::{Next, Shared};
use super::object::job;
use super::remote::{Ordered, Remote};
use super::request::Request;
use super::response::{Later, Response, Streaming};
use super::target::{Target, To};
use super::timers::{TimerId, TimerRun};
use crate::connection::{
    Cause, Connection, ConnectionId, Dialect, IntoMessage, Keep, Message, Sent, Transport,
};
use crate::proto::http::cookie::SetCookie;
use crate::proto::http::response::push_field;
use crate::proto::ws::handshake::is_own_field;
use crate::router::RouterId;
use crate::stats::Stats;
use crate::time::Instant;
use std::marker::PhantomData;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::Duration;

/// Where a callback of a [`Connection`] runs: the shared state, and what it can do.
///
/// Derefs to [`Io`], so `cx.send(…)` is `cx.io.send(…)`; the longer form leaves `cx.state` free.
pub struct Cx<'a, C: Connection> {
    /// What all connections of the server share.
    pub state: &'a mut C::State,
    /// What this connection can do.
    pub io: Io<'a, C>,
}

impl<'a, C: Connection> Deref for Cx<'a, C> {
    type Target = Io<'a, C>;
    fn deref(&self) -> &Self::Target {
        &self.io
    }
}

/// What a connection can do: send, close, reach others, set timers. Derefs to [`AppIo`].
pub struct Io<'a, C: Connection> {
    app: AppIo<'a, C::State>,
    id: ConnectionId,
    of: PhantomData<fn(&mut C)>,
}

impl<C: Connection> Clone for Io<'_, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C: Connection> Copy for Io<'_, C> {}

impl<'a, C: Connection> Deref for Io<'a, C> {
    type Target = AppIo<'a, C::State>;
    fn deref(&self) -> &Self::Target {
        &self.app
    }
}

impl<'a, C: Connection> Io<'a, C> {
    pub(crate) fn new(shared: &'a Shared<C::State>, id: ConnectionId) -> Self {
        Self {
            app: AppIo { shared },
            id,
            of: PhantomData,
        }
    }

    /// What the whole server can do, whoever asks.
    pub fn app(&self) -> AppIo<'a, C::State> {
        self.app
    }

    /// This connection.
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    /// Queues a message for the client; never waits. Everything that one callback sends arrives in
    /// order. What is sent to oneself while one's own input is handled is written right after it, what
    /// others send at the end of the turn.
    ///
    /// See [`Sent`] for what a slow client means.
    #[doc(alias = "write_message")]
    pub fn send(&self, message: impl IntoMessage) -> Sent {
        self.app.with_message(&message, |shared, message| {
            shared.engine.borrow_mut().send(self.id, message)
        })
    }

    /// Queues several messages, in order. `Full`: at least one `send` said so; `Gone`: the rest was not
    /// tried.
    pub fn send_each<M: IntoMessage>(&self, messages: impl IntoIterator<Item = M>) -> Sent {
        let mut sent = Sent::Queued;
        for message in messages {
            let told = self.send(message);
            match told {
                Sent::Queued => {}
                Sent::Full => sent = Sent::Full,
                Sent::Gone | Sent::Unsupported | Sent::Refused => return told,
            }
        }
        sent
    }

    /// Closes: 1000, without a reason. `on_close` runs when the present callback has returned.
    pub fn close(&self) {
        self.close_with(1000, "");
    }

    /// Closes with a code and a reason. A code that may not be sent becomes 1000; a reason is cut
    /// to 123 bytes at the border of a character (RFC 6455, 5.5 and 7.4).
    pub fn close_with(&self, code: u16, reason: &str) {
        self.app
            .shared
            .engine
            .borrow_mut()
            .close(self.id, Cause::Server, code, reason);
    }

    /// Sends a WebSocket ping with up to 125 bytes (RFC 6455, 5.5.2); the answer comes to `on_pong`.
    /// No deadline hangs on it. `Gone`: the connection is not open, or `data` is longer. `Full`: more
    /// than `write_max_bytes` and 4 KiB wait, and nothing was sent.
    pub fn ping(&self, data: &[u8]) -> Sent {
        self.app.shared.engine.borrow_mut().ping(self.id, data)
    }

    /// The members of a room of this router, this connection too if it is one of them.
    pub fn room<'t>(&self, name: &'t str) -> Target<'t, C::State>
    where
        'a: 't,
    {
        let router = self.router();
        Target::new(self.app, To::Room(router, name))
    }

    /// All open connections of this router, at all its mounts, this one too.
    #[doc(alias = "participants")]
    #[doc(alias = "broadcast")]
    pub fn all(&self) -> Target<'a, C::State> {
        Target::new(self.app, To::All(self.router()))
    }

    /// Enters a room; it exists from its first member to its last. False: it was there already, or
    /// it is in `rooms_per_connection_max` rooms (default: 1024), or it is closed.
    pub fn join(&self, room: &str) -> bool {
        self.app.shared.engine.borrow_mut().join(self.id, room)
    }

    /// Leaves a room. False: it was not there. At its end a connection leaves all by itself.
    pub fn leave(&self, room: &str) -> bool {
        self.app.shared.engine.borrow_mut().leave(self.id, room)
    }

    /// Lends another connection of the same class. `None`: it is gone, is of another class, or is
    /// this one, whose object is lent to its own callback already.
    ///
    /// # Panics
    ///
    /// If `f` does: that ends this connection, not the other one.
    pub fn peer<R>(&self, id: ConnectionId, f: impl FnOnce(&mut C) -> R) -> Option<R> {
        let shared = self.app.shared;
        let mut object = {
            let mut engine = shared.engine.borrow_mut();
            if !engine.is_open(id) {
                return None;
            }
            engine.connections.get_mut(id.0)?.object.take()?
        };
        // `f` is user code: it runs while nothing is borrowed. If it panics, that is the caller's
        // end, not the other's.
        let answer = catch_unwind(AssertUnwindSafe(|| {
            object.as_any().downcast_mut::<C>().map(f)
        }));
        if let Some(entry) = shared.engine.borrow_mut().connections.get_mut(id.0) {
            entry.object = Some(object);
        }
        answer.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Runs `f` on this connection after a while, unless it is closed by then: never earlier, as a rule
    /// less than 10 ms later. Over `timers_per_connection_max` (default: 1024) it is refused, logged,
    /// and never runs.
    #[doc(alias = "add_timeout")]
    #[doc(alias = "call_later")]
    pub fn after(&self, wait: Duration, f: impl FnOnce(&mut C, &mut Cx<'_, C>) + 'static) -> Timer {
        self.start(wait, TimerRun::Once(job(f)))
    }

    /// Runs `f` again and again, until it answers [`Keep::Stop`], the timer is cancelled or the
    /// connection is closed. A period begins when `f` has run: late runs are not made up for.
    #[doc(alias = "PeriodicCallback")]
    pub fn every(
        &self,
        period: Duration,
        mut f: impl FnMut(&mut C, &mut Cx<'_, C>) -> Keep + 'static,
    ) -> Timer {
        let run = TimerRun::Every(
            period,
            Box::new(
                move |object, at| match object.as_any().downcast_mut::<C>() {
                    Some(me) => f(me, &mut at.cx()),
                    None => Keep::Stop,
                },
            ),
        );
        self.start(period, run)
    }

    fn start(&self, wait: Duration, run: TimerRun<C::State>) -> Timer {
        Timer(
            self.app
                .shared
                .engine
                .borrow_mut()
                .start_timer(Some(self.id), wait, run),
        )
    }

    /// Holds back this connection's later messages until the returned value is finished or dropped.
    /// Heartbeats and closing pass. When `inbox_max` messages or `inbox_bytes_max` bytes of
    /// [`Settings`](crate::Settings) wait, a WebSocket is no longer read, a request that brought them is not answered, and a channel is closed
    /// by the next one. What stands behind them comes later too: also the answer to what was asked with
    /// [`emit_ack`](Self::emit_ack). Held several times, it holds until the last one is gone.
    #[doc(alias = "sync_engine")]
    pub fn ordered(&self) -> Ordered<C> {
        self.app.shared.engine.borrow_mut().hold(self.id);
        Ordered::new(self.app.remote(), self.id)
    }

    /// In `on_open`: puts the decision off. The handshake is answered when the returned value
    /// accepts or refuses; until then the client's messages wait. After `answer_timeout`, or when
    /// it is dropped, the client is refused with 503.
    ///
    /// Elsewhere it does nothing.
    pub fn decide_later(&self) -> super::remote::Deciding<C> {
        self.opening(|opening| opening.later = true);
        super::remote::Deciding::new(self.app.remote(), self.id)
    }

    /// In `on_open`: adds a header to the answer of the handshake. False: it is too late, or the
    /// name or value is not allowed; `Upgrade`, `Connection` and `Sec-WebSocket-…` are the protocol's.
    pub fn set_header(&self, name: &str, value: &str) -> bool {
        !is_own_field(name)
            && self.opening(|opening| push_field(&mut opening.headers, name, value).is_ok())
                == Some(true)
    }

    /// In `on_open`: sets a cookie with the answer of the handshake. False: it is too late.
    pub fn set_cookie(&self, cookie: &SetCookie<'_>) -> bool {
        cookie
            .to_value()
            .is_ok_and(|value| self.set_header("Set-Cookie", &value))
    }

    fn opening<R>(&self, f: impl FnOnce(&mut super::engine::Opening) -> R) -> Option<R> {
        let mut engine = self.app.shared.engine.borrow_mut();
        let entry = engine.connections.get_mut(self.id.0);
        let rare = entry.and_then(|entry| entry.rare.as_mut());
        rare.and_then(|rare| rare.opening.as_mut()).map(f)
    }

    /// The request of the handshake, if the router keeps it
    /// ([`Router::keep_request`](crate::Router::keep_request)).
    #[doc(alias = "get_conn_info")]
    pub fn request<R>(&self, f: impl FnOnce(&Request<'_>) -> R) -> Option<R> {
        let kept = {
            let engine = self.app.shared.engine.borrow();
            let entry = engine.connections.get(self.id.0)?;
            let head = entry.rare.as_ref()?.kept.clone()?;
            (head, engine.peer_of(self.id), Rc::clone(&engine.trusted))
        };
        kept.0.lend(kept.1, |ip| kept.2.contains(ip), f)
    }

    /// The address of the other end of the TCP connection, which may be a proxy's: what the
    /// proxies say is in [`Request::remote_ip`]. `None` on a Unix socket.
    pub fn remote_addr(&self) -> Option<std::net::SocketAddr> {
        self.app.shared.engine.borrow().peer_of(self.id)
    }

    /// By which way the client is connected. A session of SockJS keeps to the one it began with.
    #[doc(alias = "transport_name")]
    pub fn transport(&self) -> Transport {
        let engine = self.app.shared.engine.borrow();
        let entry = engine.connections.get(self.id.0);
        entry.map_or(Transport::WebSocket, |entry| entry.transport)
    }

    /// What the client speaks; of a channel, what the connection below it does.
    pub fn dialect(&self) -> Dialect {
        self.app.shared.engine.borrow().dialect(self.id)
    }

    fn router(&self) -> u32 {
        self.app
            .shared
            .engine
            .borrow()
            .router_of(self.id)
            .unwrap_or(u32::MAX)
    }
}

/// A running timer, to be cancelled. Dropping it changes nothing.
#[derive(Clone, Copy, Debug)]
pub struct Timer(Option<TimerId>);

/// Where a job of the server runs: the shared state, and what the server can do.
///
/// Derefs to [`AppIo`].
pub struct App<'a, S: 'static> {
    /// What all connections of the server share.
    pub state: &'a mut S,
    /// What the server can do.
    pub io: AppIo<'a, S>,
}

impl<'a, S: 'static> Deref for App<'a, S> {
    type Target = AppIo<'a, S>;
    fn deref(&self) -> &Self::Target {
        &self.io
    }
}

impl<'a, S: 'static> App<'a, S> {
    pub(crate) fn new(shared: &'a Shared<S>, state: &'a mut S) -> Self {
        Self {
            state,
            io: AppIo { shared },
        }
    }
}

/// What can be done from everywhere on the loop's thread: reach connections, answer requests, set
/// timers of the server's own.
pub struct AppIo<'a, S: 'static> {
    shared: &'a Shared<S>,
}

impl<'a, S: 'static> AppIo<'a, S> {
    pub(crate) fn new(shared: &'a Shared<S>) -> Self {
        Self { shared }
    }
}

impl<S: 'static> Clone for AppIo<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S: 'static> Copy for AppIo<'_, S> {}

impl<'a, S: 'static> AppIo<'a, S> {
    pub(crate) fn shared(&self) -> &'a Shared<S> {
        self.shared
    }

    /// One connection.
    pub fn to(&self, id: ConnectionId) -> Target<'a, S> {
        Target::new(*self, To::One(id))
    }

    /// Those connections, each once for each time it is named.
    pub fn to_each(&self, ids: impl IntoIterator<Item = ConnectionId>) -> Target<'a, S> {
        let mut list = self.shared.engine.borrow_mut().take_ids();
        list.extend(ids);
        Target::new(*self, To::Each(list))
    }

    /// The rooms and connections of one router.
    pub fn router(&self, router: RouterId) -> RouterIo<'a, S> {
        let index = self.shared.remote.router_index(router);
        RouterIo { io: *self, index }
    }

    /// Whether a connection is open: it is not while its `on_open` or `on_close` runs.
    #[doc(alias = "is_closed")]
    pub fn is_open(&self, id: ConnectionId) -> bool {
        self.shared.engine.borrow().is_open(id)
    }

    /// Runs `f` after a while: never earlier, as a rule less than 10 ms later.
    #[doc(alias = "add_timeout")]
    #[doc(alias = "call_later")]
    pub fn after(&self, wait: Duration, f: impl FnOnce(&mut App<'_, S>) + 'static) -> Timer {
        self.start_app(wait, TimerRun::App(Box::new(f)))
    }

    /// Runs `f` again and again, until it answers [`Keep::Stop`] or the timer is cancelled. A period
    /// begins when `f` has run.
    #[doc(alias = "PeriodicCallback")]
    pub fn every(
        &self,
        period: Duration,
        f: impl FnMut(&mut App<'_, S>) -> Keep + 'static,
    ) -> Timer {
        self.start_app(period, TimerRun::AppEvery(period, Box::new(f)))
    }

    fn start_app(&self, wait: Duration, run: TimerRun<S>) -> Timer {
        Timer(self.shared.engine.borrow_mut().start_timer(None, wait, run))
    }

    /// Cancels a timer, if it still runs; a repeating one also from its own callback.
    #[doc(alias = "remove_timeout")]
    pub fn cancel(&self, timer: Timer) {
        if let Some(timer) = timer.0 {
            self.shared.engine.borrow_mut().cancel_timer(timer);
        }
    }

    /// Runs `f` in the next turn of the loop.
    #[doc(alias = "spawn_callback")]
    pub fn add_callback(&self, f: impl FnOnce(&mut App<'_, S>) + 'static) {
        self.start_app(Duration::ZERO, TimerRun::App(Box::new(f)));
    }

    /// Runs `f` with the loop itself, when the present callback has returned: to add a source of
    /// one's own, or to remove it.
    pub fn with_loop(&self, f: impl FnOnce(&mut ServerLoop<'_, S>) + 'static) {
        self.shared
            .engine
            .borrow_mut()
            .next
            .push_back(Next::Loop(Box::new(f)));
    }

    /// Answers a request whose handler took [`Later`].
    pub fn answer(&self, later: Later<S>, response: Response<'_>) -> Sent {
        later.send(self, response)
    }

    /// Writes to a response that was begun with [`Reply::stream`](crate::Reply::stream).
    pub fn write(&self, to: &Streaming<S>, bytes: &[u8]) -> Sent {
        to.write(self, bytes)
    }

    /// The counters.
    #[doc(alias = "dump")]
    pub fn stats(&self) -> Stats {
        self.shared.engine.borrow().stats()
    }

    /// The instant of this turn, on the loop's clock.
    #[doc(alias = "time")]
    pub fn now(&self) -> Instant {
        self.shared.engine.borrow().conns.now
    }

    /// A handle for other threads.
    pub fn remote(&self) -> Remote<S> {
        self.shared.remote.clone()
    }

    /// Turns a message into bytes and hands them to `f`, while nothing is borrowed.
    pub(super) fn with_message<R>(
        &self,
        message: &impl IntoMessage,
        f: impl FnOnce(&Shared<S>, Message<'_>) -> R,
    ) -> R {
        // Serializing is user code, so it runs while nothing is borrowed, into a buffer that is
        // taken out and put back. Text and bytes need none.
        let mut scratch = match message.needs_scratch() {
            true => std::mem::take(&mut self.shared.engine.borrow_mut().scratch),
            false => Vec::new(),
        };
        let answer = f(self.shared, message.message(&mut scratch));
        if scratch.capacity() > 0 && scratch.capacity() <= SCRATCH_BYTES_KEPT {
            scratch.clear();
            self.shared.engine.borrow_mut().scratch = scratch;
        }
        answer
    }
}

/// A scratch buffer that a large message has grown beyond this is given back.
const SCRATCH_BYTES_KEPT: usize = 64 << 10;

/// The connections of one router, for who is not one of them.
pub struct RouterIo<'a, S: 'static> {
    io: AppIo<'a, S>,
    index: u32,
}

impl<'a, S: 'static> RouterIo<'a, S> {
    /// The members of a room.
    pub fn room<'t>(&self, name: &'t str) -> Target<'t, S>
    where
        'a: 't,
    {
        Target::new(self.io, To::Room(self.index, name))
    }

    /// All open connections.
    #[doc(alias = "participants")]
    #[doc(alias = "broadcast")]
    pub fn all(&self) -> Target<'a, S> {
        Target::new(self.io, To::All(self.index))
    }
}
