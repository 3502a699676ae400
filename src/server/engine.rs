//! What callbacks reach: connections, rooms, timers, output.
//!
//! A callback holds `&Shared` and borrows the engine for one operation at a time. User code never
//! runs while it is borrowed: values are made into bytes, and iterators into lists, before.
//! Nothing in here calls back; what has to follow (an `on_close`, a timer of the reactor) is put
//! down in `next` and `commands`, and the server does it when the callback has returned.

use super::object::{ConnectionJob, Object};
use super::proxies::Proxies;
use super::remote::Remote;
use super::request::Kept;
use super::response::Response;
use super::sessions::{SessionKey, Sessions};
use crate::config::Settings;
use crate::conn::{ConnKey, Conns, Frame, Protocol, Queued};
use crate::connection::{
    Cause, CloseReason, ConnectionId, Dialect, Keep, Message, Sent, Transport,
};
use crate::hub::Hub;
use crate::proto::sockjs;
use crate::proto::ws::Kind;
use crate::proto::ws::close::{cut_reason, valid_code};
use crate::proto::ws::frame;
use crate::proto::ws::handshake::Handshake;
use crate::reactor::Timeout;
use crate::stats::Stats;
use crate::storage::arena::{Arena, Key};
use crate::time::Instant;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// Tells keys of connections from others, whatever the server's state is.
pub(crate) enum ConnectionTag {}
/// Tells keys of timers from others.
pub(crate) enum TimerTag {}

/// The engine as callbacks see it.
pub(crate) struct Shared<S: 'static> {
    pub(crate) engine: RefCell<Engine<S>>,
    pub(crate) remote: Remote<S>,
}

pub(crate) struct Engine<S: 'static> {
    pub(crate) conns: Conns,
    pub(crate) connections: Arena<Entry<S>, ConnectionTag>,
    pub(crate) sessions: Sessions,
    pub(crate) hub: Hub<ConnectionId, RandomState>,
    /// All open connections of each router.
    rosters: Vec<Vec<ConnectionId>>,
    timers: Arena<Timer<S>, TimerTag>,
    /// What follows from the present callback, in order.
    pub(crate) next: VecDeque<Next<S>>,
    /// What the reactor has to be told.
    pub(crate) commands: Vec<Command>,
    /// Somebody has taken an `Ordered`.
    held: bool,
    /// Values of the application's that have had their day. Their `Drop` is user code, so the
    /// server drops them, when nothing is borrowed.
    pub(crate) dead: Vec<Dead<S>>,
    pub(crate) scratch: Vec<u8>,
    frame: Vec<u8>,
    ids: Vec<Vec<ConnectionId>>,
    settings: Rc<Settings>,
    pub(crate) trusted: Rc<Proxies>,
}

/// One connection of the application.
pub(crate) struct Entry<S: 'static> {
    /// Out while one of its callbacks runs.
    pub(crate) object: Option<Box<dyn Object<S>>>,
    pub(crate) link: Link,
    pub(crate) router: u32,
    roster_at: u32,
    pub(crate) transport: Transport,
    pub(crate) life: Life,
    /// How many `Ordered` are held.
    pub(crate) holds: u32,
    pub(crate) rare: Option<Box<Rare>>,
}

/// What carries a connection, and in which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// A WebSocket whose messages are the application's.
    WebSocket(ConnKey),
    /// A WebSocket with frames of SockJS in its messages.
    SockJs(ConnKey),
    /// A session of SockJS, whose requests come and go.
    Session(SessionKey),
    /// A channel of another connection.
    Channel(ConnectionId),
}

impl Link {
    /// The conn that is its own.
    pub(crate) fn conn(self) -> Option<ConnKey> {
        match self {
            Self::WebSocket(conn) | Self::SockJs(conn) => Some(conn),
            Self::Session(_) | Self::Channel(_) => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Opening,
    Open,
    /// Closed for everybody; its `on_close` is to come.
    Closing,
}

/// What most connections do not need.
#[derive(Default)]
pub(crate) struct Rare {
    timers: Vec<TimerId>,
    pub(crate) inbox: VecDeque<(Kind, Box<[u8]>)>,
    pub(crate) kept: Option<Rc<Kept>>,
    pub(crate) opening: Option<Opening>,
    /// Its name, if it is a channel.
    pub(crate) channel: Option<Box<str>>,
}

impl Rare {
    pub(crate) fn opening(opening: Opening, kept: Option<Rc<Kept>>) -> Self {
        Self {
            kept,
            opening: Some(opening),
            ..Self::default()
        }
    }
}

/// A connection about which `on_open` has not decided yet.
#[derive(Default)]
pub(crate) struct Opening {
    /// The handshake that is to be answered, if it is a WebSocket.
    pub(crate) upgrade: Option<Upgrade>,
    /// Header lines for the answer.
    pub(crate) headers: Vec<u8>,
    /// Frames sent meanwhile.
    early: Vec<u8>,
    /// `on_open` decides later.
    pub(crate) later: bool,
    /// It is closed already.
    pub(crate) close: Option<(Cause, u16, String)>,
}

/// A WebSocket handshake that waits for its answer.
pub(crate) struct Upgrade {
    pub(crate) handshake: Handshake,
    pub(crate) protocol: Option<String>,
    pub(crate) mount: u32,
}

impl Opening {
    pub(crate) fn new(upgrade: Option<Upgrade>) -> Self {
        Self {
            upgrade,
            ..Self::default()
        }
    }

    pub(crate) fn take_early(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.early)
    }
}

pub(crate) type TimerId = Key<TimerTag>;

struct Timer<S: 'static> {
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

pub(crate) type Every<S> = Box<dyn FnMut(&mut dyn Object<S>, super::object::At<'_, S>) -> Keep>;
pub(crate) type AppJob<S> = Box<dyn FnOnce(&mut super::cx::App<'_, S>)>;
pub(crate) type LoopJob<S> = Box<dyn FnOnce(&mut super::ServerLoop<'_, S>)>;
pub(crate) type AppEvery<S> = Box<dyn FnMut(&mut super::cx::App<'_, S>) -> Keep>;

/// What follows from a callback.
pub(crate) enum Next<S: 'static> {
    Closed(ConnectionId, CloseReason),
    Writable(ConnectionId),
    Run(ConnectionId, ConnectionJob<S>),
    /// The last `Ordered` is gone: what waited is handed over.
    Released(ConnectionId),
    /// `on_open` has decided.
    Decided(ConnectionId, Result<(), crate::connection::Reject>),
    /// A late answer is there: the conn may go on with its next request.
    Answered(ConnKey),
    /// A connection that was accepted later may read what came meanwhile.
    Resumed(ConnectionId),
    /// A channel begins: its `on_open`.
    ChannelOpened(ConnectionId),
    /// A message for a channel.
    ChannelMessage(ConnectionId, Box<str>),
    /// Something for the loop itself.
    Loop(LoopJob<S>),
    Drain(Duration),
    Stop,
}

/// What is to be dropped after a callback.
pub(crate) enum Dead<S: 'static> {
    Connection { _object: Box<dyn Object<S>> },
    Timer { _run: TimerRun<S> },
}

/// What the reactor is told after a callback.
pub(crate) enum Command {
    Arm(TimerId, Instant),
    ArmSession(SessionKey, Instant),
    Disarm(Timeout),
}

impl<S: 'static> Engine<S> {
    pub(crate) fn new(settings: Rc<Settings>, trusted: Rc<Proxies>) -> Self {
        Self {
            trusted,
            conns: Conns::new(Rc::clone(&settings)),
            connections: Arena::new(),
            sessions: Sessions::default(),
            hub: Hub::new(RandomState::new()),
            rosters: Vec::new(),
            timers: Arena::new(),
            next: VecDeque::new(),
            commands: Vec::new(),
            held: false,
            dead: Vec::new(),
            scratch: Vec::new(),
            frame: Vec::new(),
            ids: Vec::new(),
            settings,
        }
    }

    // ---- connections ------------------------------------------------------------------------

    /// A connection whose handshake is under way.
    pub(crate) fn begin(
        &mut self,
        router: u32,
        (link, transport): (Link, Transport),
        object: Box<dyn Object<S>>,
        rare: Rare,
    ) -> ConnectionId {
        ConnectionId(self.connections.insert(Entry {
            object: Some(object),
            link,
            router,
            roster_at: 0,
            transport,
            life: Life::Opening,
            holds: 0,
            rare: Some(Box::new(rare)),
        }))
    }

    /// The handshake is answered: from now on it is one of all.
    pub(crate) fn opened(&mut self, id: ConnectionId) {
        let Some(entry) = self.connections.get_mut(id.0) else {
            return;
        };
        entry.life = Life::Open;
        self.conns.stats.connections_opened += 1;
        if !matches!(entry.link, Link::Channel(_)) {
            self.conns.stats.transports.opened(entry.transport);
        }
        let router = entry.router as usize;
        if self.rosters.len() <= router {
            self.rosters.resize_with(router + 1, Vec::new);
        }
        entry.roster_at = u32::try_from(self.rosters[router].len()).unwrap_or(u32::MAX);
        self.rosters[router].push(id);
        if let Some(rare) = &mut entry.rare {
            rare.opening = None;
            let Rare {
                timers,
                inbox,
                kept,
                channel,
                ..
            } = &**rare;
            if timers.is_empty() && inbox.is_empty() && kept.is_none() && channel.is_none() {
                entry.rare = None;
            }
        }
    }

    pub(crate) fn is_open(&self, id: ConnectionId) -> bool {
        self.connections
            .get(id.0)
            .is_some_and(|entry| entry.life == Life::Open)
    }

    /// Whether it is open, or about to be.
    pub(crate) fn is_there(&self, id: ConnectionId) -> bool {
        self.connections
            .get(id.0)
            .is_some_and(|entry| entry.life != Life::Closing)
    }

    /// How many messages wait while it is held.
    pub(crate) fn inbox_len(&self, id: ConnectionId) -> usize {
        let entry = self.connections.get(id.0);
        let rare = entry.and_then(|entry| entry.rare.as_ref());
        rare.map_or(0, |rare| rare.inbox.len())
    }

    /// Closes for the application: nothing reaches it any more, `on_close` follows.
    /// The caller tells the peer.
    pub(crate) fn end(&mut self, id: ConnectionId, why: CloseReason) {
        let Some(entry) = self.connections.get_mut(id.0) else {
            return;
        };
        match entry.life {
            Life::Closing => {}
            Life::Opening => self.forget(id),
            Life::Open => {
                entry.life = Life::Closing;
                self.next.push_back(Next::Closed(id, why));
            }
        }
    }

    /// Takes a connection out of rooms, lists and timers. `on_close` may run after it.
    pub(crate) fn withdraw(&mut self, id: ConnectionId) {
        self.hub.leave_all(id);
        let Some(entry) = self.connections.get_mut(id.0) else {
            return;
        };
        let timers = entry
            .rare
            .as_mut()
            .map(|rare| std::mem::take(&mut rare.timers))
            .unwrap_or_default();
        if entry.life != Life::Opening {
            if !matches!(entry.link, Link::Channel(_)) {
                self.conns.stats.transports.closed(entry.transport);
            }
            let (router, at) = (entry.router as usize, entry.roster_at as usize);
            self.rosters[router].swap_remove(at);
            if let Some(&moved) = self.rosters[router].get(at) {
                if let Some(moved) = self.connections.get_mut(moved.0) {
                    moved.roster_at = at as u32;
                }
            }
        }
        for timer in timers {
            self.drop_timer(timer);
        }
    }

    /// Removes a connection that is withdrawn, or that never opened.
    pub(crate) fn forget(&mut self, id: ConnectionId) {
        if self
            .connections
            .get(id.0)
            .is_some_and(|entry| entry.life == Life::Opening)
        {
            self.withdraw(id);
        }
        let entry = self.connections.remove(id.0);
        if let Some(_object) = entry.and_then(|entry| entry.object) {
            self.dead.push(Dead::Connection { _object });
        }
    }

    // ---- sending ----------------------------------------------------------------------------

    pub(crate) fn send(&mut self, id: ConnectionId, message: Message<'_>) -> Sent {
        let Some(entry) = self.connections.get(id.0) else {
            return Sent::Gone;
        };
        match (entry.life, entry.link) {
            (Life::Open, Link::WebSocket(conn)) => {
                let queued = self.conns.send(conn, message.kind, message.bytes);
                self.sent(id, queued)
            }
            (Life::Closing, _) => Sent::Gone,
            (life, link) => self.send_otherwise(id, life, link, message),
        }
    }

    /// Sends what needs another form than its own, or goes before the answer of the handshake.
    fn send_otherwise(
        &mut self,
        id: ConnectionId,
        life: Life,
        link: Link,
        message: Message<'_>,
    ) -> Sent {
        if let Link::WebSocket(_) = link {
            return self.send_early(id, message);
        }
        let Some(text) = message.text() else {
            self.conns.stats.unsupported += 1;
            return Sent::Unsupported;
        };
        match link {
            Link::SockJs(conn) => {
                let mut bytes = std::mem::take(&mut self.frame);
                bytes.clear();
                sockjs::frame::push_message(&mut bytes, text);
                let framed = Message {
                    kind: Kind::Text,
                    bytes: &bytes,
                };
                let sent = match life {
                    Life::Open => {
                        let queued = self.conns.send(conn, framed.kind, framed.bytes);
                        self.sent(id, queued)
                    }
                    _ => self.send_early(id, framed),
                };
                self.keep_frame(bytes);
                sent
            }
            Link::Session(key) => self.send_session(key, |session| session.push(text)),
            Link::Channel(parent) => {
                let Some(frame) = self.channel_frame("msg", id, Some(text)) else {
                    return Sent::Gone;
                };
                self.send(parent, frame.as_str().into())
            }
            Link::WebSocket(_) => Sent::Gone,
        }
    }

    /// Keeps a message until the handshake of its WebSocket is answered.
    fn send_early(&mut self, id: ConnectionId, message: Message<'_>) -> Sent {
        let (high, max) = (
            self.settings.write_high_bytes,
            self.settings.write_max_bytes,
        );
        let entry = self.connections.get_mut(id.0);
        let opening = entry
            .and_then(|entry| entry.rare.as_mut())
            .and_then(|rare| rare.opening.as_mut());
        let Some(opening) = opening.filter(|o| o.close.is_none()) else {
            return Sent::Gone;
        };
        if opening.early.len() >= max {
            self.overflow(id);
            return Sent::Gone;
        }
        frame::write_message(&mut opening.early, message.kind, message.bytes);
        match opening.early.len() > high {
            true => Sent::Full,
            false => Sent::Queued,
        }
    }

    /// Keeps a buffer for frames, unless a large one has grown it too far.
    fn keep_frame(&mut self, bytes: Vec<u8>) {
        if bytes.capacity() <= SHARED_BYTES_MAX_KEPT {
            self.frame = bytes;
        }
    }

    fn sent(&mut self, id: ConnectionId, queued: Queued) -> Sent {
        match queued {
            Queued::Yes => Sent::Queued,
            Queued::OverHigh => Sent::Full,
            Queued::Gone => Sent::Gone,
            Queued::OverMax => {
                self.overflow(id);
                Sent::Gone
            }
        }
    }

    /// Closes a connection whose peer does not take its messages.
    pub(super) fn overflow(&mut self, id: ConnectionId) {
        self.conns.stats.overflows += 1;
        self.close(id, Cause::Overflow, 1013, "slow consumer");
    }

    /// Sends one message to many; answers how many it was queued for.
    pub(crate) fn broadcast(
        &mut self,
        ids: &[ConnectionId],
        message: Message<'_>,
        volatile: bool,
    ) -> usize {
        let mut bytes = std::mem::take(&mut self.frame);
        bytes.clear();
        frame::write_message(&mut bytes, message.kind, message.bytes);
        let plain = Frame::of(&bytes);
        let mut sockjs = Forms::default();
        let mut count = 0;
        for &id in ids {
            let Some(entry) = self.connections.get(id.0) else {
                continue;
            };
            let link = entry.link;
            if volatile && self.is_backlogged(link) {
                continue;
            }
            let sent = match (entry.life, link) {
                (Life::Closing, _) => continue,
                (Life::Open, Link::WebSocket(conn)) => {
                    let queued = self.conns.send_frame(conn, &plain);
                    self.sent(id, queued)
                }
                (Life::Open, Link::SockJs(conn)) => match sockjs.frame(message) {
                    Some(frame) => {
                        let queued = self.conns.send_frame(conn, &frame);
                        self.sent(id, queued)
                    }
                    None => self.send(id, message),
                },
                (_, Link::Session(key)) => match sockjs.json(message) {
                    Some(json) => self.send_session(key, |session| session.push_json(json)),
                    None => self.send(id, message),
                },
                _ => self.send(id, message),
            };
            if matches!(sent, Sent::Queued | Sent::Full) {
                count += 1;
            }
        }
        drop(plain);
        self.keep_frame(bytes);
        count
    }

    /// Whether what was sent earlier has not been taken yet.
    fn is_backlogged(&self, link: Link) -> bool {
        match link {
            Link::WebSocket(conn) | Link::SockJs(conn) => self.conns.is_blocked(conn),
            Link::Session(key) => self.is_session_backlogged(key),
            Link::Channel(parent) => self
                .connections
                .get(parent.0)
                .is_some_and(|entry| self.is_backlogged(entry.link)),
        }
    }

    pub(crate) fn ping(&mut self, id: ConnectionId, data: &[u8]) -> Sent {
        let Some(entry) = self.connections.get(id.0) else {
            return Sent::Gone;
        };
        let Some(key) = entry.link.conn() else {
            return Sent::Unsupported;
        };
        let Some(conn) = self.conns.arena.get_mut(key) else {
            return Sent::Gone;
        };
        let Protocol::WebSocket(ws) = &mut conn.protocol else {
            return Sent::Gone;
        };
        if entry.life != Life::Open {
            return Sent::Gone;
        }
        if conn.out.len() >= self.settings.write_max_bytes + CONTROL_RESERVE {
            return Sent::Full;
        }
        let tail = conn.out.tail(&mut self.conns.pool);
        let before = tail.len();
        if !ws.machine.ping(data, tail) {
            return Sent::Gone;
        }
        self.conns.queued += tail.len() - before;
        self.conns.mark_dirty(key);
        Sent::Queued
    }

    /// Closes a connection from our side: the peer gets a close frame, `on_close` follows.
    pub(crate) fn close(&mut self, id: ConnectionId, cause: Cause, code: u16, reason: &str) {
        let Some(entry) = self.connections.get_mut(id.0) else {
            return;
        };
        match entry.life {
            Life::Closing => return,
            Life::Opening => {
                if let Some(opening) = entry.rare.as_mut().and_then(|rare| rare.opening.as_mut()) {
                    opening
                        .close
                        .get_or_insert_with(|| (cause, code, reason.to_owned()));
                }
                return;
            }
            Life::Open => {}
        }
        let link = entry.link;
        let code = if valid_code(code) { code } else { 1000 };
        let reason = cut_reason(reason);
        // SockJS clients are used to a reason.
        let shown = match (code, reason) {
            (1000, "") => NORMAL,
            (_, reason) => reason,
        };
        match link {
            Link::WebSocket(conn) => self.conns.close_websocket(conn, code, reason),
            Link::SockJs(conn) => self.close_sockjs(conn, code, shown),
            Link::Session(key) => self.close_session(key, code, shown),
            Link::Channel(below) => self.tell_closed(id, below),
        }
        let clean = true;
        self.end(
            id,
            CloseReason {
                cause,
                code,
                reason: reason.to_owned(),
                clean,
            },
        );
    }

    /// Closes a SockJS WebSocket: its own close frame, then that of the WebSocket.
    pub(crate) fn close_sockjs(&mut self, conn: ConnKey, code: u16, reason: &str) {
        let mut bytes = std::mem::take(&mut self.frame);
        bytes.clear();
        sockjs::frame::push_close(&mut bytes, code, reason);
        self.conns.send_last(conn, &bytes);
        self.keep_frame(bytes);
        self.conns.close_websocket(conn, 1000, NORMAL);
    }

    // ---- sets of connections ----------------------------------------------------------------

    pub(crate) fn roster(&self, router: u32) -> &[ConnectionId] {
        self.rosters
            .get(router as usize)
            .map_or(&[], |roster| roster)
    }

    /// The other end of its TCP connection, or of the one that its session began with.
    pub(crate) fn peer_of(&self, id: ConnectionId) -> Option<SocketAddr> {
        match self.connections.get(id.0)?.link {
            Link::WebSocket(conn) | Link::SockJs(conn) => self.conns.arena.get(conn)?.peer,
            Link::Session(key) => self.sessions.arena.get(key)?.peer,
            Link::Channel(parent) => self.peer_of(parent),
        }
    }

    pub(crate) fn dialect(&self, id: ConnectionId) -> Dialect {
        match self.connections.get(id.0) {
            None => Dialect::WebSocket,
            Some(entry) => match entry.link {
                Link::WebSocket(_) if entry.transport == Transport::WebSocket => Dialect::WebSocket,
                Link::WebSocket(_) | Link::SockJs(_) | Link::Session(_) => Dialect::SockJs,
                Link::Channel(parent) => self.dialect(parent),
            },
        }
    }

    pub(crate) fn router_of(&self, id: ConnectionId) -> Option<u32> {
        self.connections.get(id.0).map(|entry| entry.router)
    }

    pub(crate) fn take_ids(&mut self) -> Vec<ConnectionId> {
        self.ids.pop().unwrap_or_default()
    }

    pub(crate) fn give_ids(&mut self, mut ids: Vec<ConnectionId>) {
        ids.clear();
        if self.ids.len() < 4 && ids.capacity() <= IDS_MAX_KEPT {
            self.ids.push(ids);
        }
    }

    pub(crate) fn join(&mut self, id: ConnectionId, room: &str) -> bool {
        let Some(entry) = self.connections.get(id.0) else {
            return false;
        };
        if entry.life == Life::Closing {
            return false;
        }
        if self.hub.rooms_of(id) >= self.settings.rooms_per_connection_max
            && !self.hub.is_member(entry.router, room, id)
        {
            log::warn!("{id}: join refused, it is in rooms_per_connection_max rooms");
            return false;
        }
        self.hub.join(entry.router, room, id)
    }

    pub(crate) fn leave(&mut self, id: ConnectionId, room: &str) -> bool {
        let Some(router) = self.router_of(id) else {
            return false;
        };
        self.hub.leave(router, room, id)
    }

    // ---- timers -----------------------------------------------------------------------------

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
                log::warn!("{id}: timer refused, it has timers_per_connection_max timers");
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

    fn drop_timer(&mut self, timer: TimerId) {
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

    // ---- holding ----------------------------------------------------------------------------

    /// One more `Ordered` is held.
    pub(crate) fn hold(&mut self, id: ConnectionId) {
        if let Some(entry) = self.connections.get_mut(id.0) {
            entry.holds += 1;
            self.held = true;
        }
    }

    /// One `Ordered` less.
    pub(crate) fn release(&mut self, id: ConnectionId) {
        let Some(entry) = self.connections.get_mut(id.0) else {
            return;
        };
        entry.holds = entry.holds.saturating_sub(1);
        if entry.holds == 0 {
            self.next.push_back(Next::Released(id));
        }
    }

    /// Whether something follows from the callback that has just run.
    pub(crate) fn has_follow_up(&mut self) -> bool {
        let held = std::mem::take(&mut self.held);
        held || !self.next.is_empty()
            || !self.commands.is_empty()
            || !self.dead.is_empty()
            || !self.conns.cut.is_empty()
    }

    // ---- HTTP -------------------------------------------------------------------------------

    /// Answers a request, if it still waits for this answer.
    pub(crate) fn answer(
        &mut self,
        conn: ConnKey,
        serial: u32,
        mut response: Response<'_>,
    ) -> Sent {
        if self.conns.answer(conn, serial, response.outgoing()) {
            self.next.push_back(Next::Answered(conn));
            Sent::Queued
        } else {
            Sent::Gone
        }
    }

    /// Ends a streamed body.
    pub(crate) fn end_stream(&mut self, conn: ConnKey, serial: u32) {
        if self.conns.end_stream(conn, serial) {
            self.next.push_back(Next::Answered(conn));
        }
    }

    // ---- the rest ---------------------------------------------------------------------------

    pub(crate) fn stats(&self) -> Stats {
        let rates = self.conns.rates.per_second(self.conns.stats.totals());
        let [connections, messages_in, messages_out] = rates;
        Stats {
            connections_per_second: connections,
            messages_in_per_second: messages_in,
            messages_out_per_second: messages_out,
            conns_open: self.conns.arena.len() as u64,
            sessions_open: self.sessions.arena.len() as u64,
            connections_open: self.rosters.iter().map(|roster| roster.len() as u64).sum(),
            bytes_queued: self.conns.queued as u64,
            bytes_unfinished: self.conns.held_input as u64,
            ..self.conns.stats.clone()
        }
    }
}

/// The forms of SockJS that a message for many needs, each made at most once.
#[derive(Default)]
struct Forms {
    json: Vec<u8>,
    frame: Vec<u8>,
}

impl Forms {
    /// The message as a JSON string. `None`: it is binary.
    fn json(&mut self, message: Message<'_>) -> Option<&[u8]> {
        let text = message.text()?;
        if self.json.is_empty() {
            sockjs::frame::push_string(&mut self.json, text);
        }
        Some(&self.json)
    }

    /// The message as the frame of a WebSocket.
    fn frame(&mut self, message: Message<'_>) -> Option<Frame<'_>> {
        if self.frame.is_empty() {
            let mut payload = Vec::new();
            sockjs::frame::push_messages(&mut payload, self.json(message)?);
            frame::write_message(&mut self.frame, Kind::Text, &payload);
        }
        Some(Frame::Bytes(&self.frame))
    }
}

/// What SockJS servers say when nothing else is said.
const NORMAL: &str = "Normal closure";

/// Room that control frames have above `write_max_bytes`.
pub(crate) const CONTROL_RESERVE: usize = 4 << 10;

/// A scratch buffer that a large message has grown beyond this is given back.
const SHARED_BYTES_MAX_KEPT: usize = 64 << 10;

/// Likewise a list of ids.
const IDS_MAX_KEPT: usize = 64 << 10;
