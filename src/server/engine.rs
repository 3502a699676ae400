//! What callbacks reach: connections, rooms, timers, output.
//!
//! A callback holds `&Shared` and borrows the engine for one operation at a time. User code never
//! runs while it is borrowed: values are made into bytes, and iterators into lists, before.
//! Nothing in here calls back; what has to follow (an `on_close`, a timer of the reactor) is put
//! down in `next` and `commands`, and the server does it when the callback has returned.

use super::emitting::{AckJob, Acking, Acks};
use super::inbox::Inbox;
use super::loud::loud;
use super::object::{ConnectionJob, Object};
use super::proxies::Proxies;
use super::remote::Remote;
use super::request::Kept;
use super::response::Response;
use super::sessions::{SessionKey, Sessions};
use super::socketio::Generation;
use super::timers::{AppJob, Timer, TimerId, TimerRun, TimerTag};
use super::websocket::Shake;
use crate::config::Settings;
use crate::conn::{ConnKey, Conns};
use crate::connection::{Cause, CloseReason, ConnectionId, Dialect, Sent, Transport};
use crate::hub::Hub;
use crate::proto::ws::Kind;
use crate::reactor::Timeout;
use crate::stats::Stats;
use crate::storage::arena::Arena;
use crate::time::Instant;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// Tells keys of connections from others, whatever the server's state is.
pub(crate) enum ConnectionTag {}

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
    pub(super) timers: Arena<Timer<S>, TimerTag>,
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
    /// Where arguments of events are made into JSON.
    pub(super) args: Vec<u8>,
    /// The packet at hand, if it is to be acknowledged.
    pub(super) acking: Option<Acking>,
    pub(super) frame: Vec<u8>,
    ids: Vec<Vec<ConnectionId>>,
    pub(super) settings: Rc<Settings>,
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
    pub(crate) rare: Option<Box<Rare<S>>>,
}

impl<S: 'static> Entry<S> {
    /// Whether it is no channel of another connection, and no endpoint beside one.
    fn is_outermost(&self) -> bool {
        let named = |rare: &Rare<S>| rare.channel.is_some();
        !self.rare.as_deref().is_some_and(named)
    }

    /// What waits in its inbox.
    pub(super) fn inbox_bytes(&self) -> usize {
        self.rare.as_ref().map_or(0, |rare| rare.inbox.bytes())
    }
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
    /// A session of Socket.IO, the same; at the root or at an endpoint of it.
    SocketIo(SessionKey),
    /// A channel of another connection.
    Channel(ConnectionId),
}

impl Link {
    /// The conn that is its own.
    pub(crate) fn conn(self) -> Option<ConnKey> {
        match self {
            Self::WebSocket(conn) | Self::SockJs(conn) => Some(conn),
            Self::Session(_) | Self::SocketIo(_) | Self::Channel(_) => None,
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
pub(crate) struct Rare<S: 'static> {
    pub(super) timers: Vec<TimerId>,
    pub(crate) inbox: Inbox,
    pub(crate) kept: Option<Rc<Kept>>,
    pub(crate) opening: Option<Opening>,
    /// Its name, if it is a channel or an endpoint.
    pub(crate) channel: Option<Box<str>>,
    /// What its session was called, once it is closed: the session may be gone before `on_close` runs.
    pub(super) session: Option<Box<str>>,
    pub(super) acks: Acks<S>,
}

impl<S: 'static> Default for Rare<S> {
    fn default() -> Self {
        Self {
            timers: Vec::new(),
            inbox: Inbox::default(),
            kept: None,
            opening: None,
            channel: None,
            session: None,
            acks: Acks::default(),
        }
    }
}

impl<S: 'static> Rare<S> {
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
    /// Messages sent meanwhile.
    pub(super) early: Vec<Early>,
    /// Packets of Socket.IO sent meanwhile.
    pub(super) packets: Vec<Box<[u8]>>,
    /// How many bytes those or these take.
    pub(super) kept_bytes: usize,
    /// `send` has answered `Full` meanwhile; `on_writable` is owed.
    pub(super) full: bool,
    /// `on_open` decides later.
    pub(crate) later: bool,
    /// It is closed already.
    pub(crate) close: Option<(Cause, u16, String)>,
}

/// A message for a WebSocket whose handshake is not answered yet.
pub(crate) type Early = (Kind, Box<[u8]>);

/// A WebSocket handshake that waits for its answer.
pub(crate) struct Upgrade {
    pub(crate) handshake: Shake,
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

    pub(crate) fn take_early(&mut self) -> Vec<Early> {
        std::mem::take(&mut self.early)
    }
}

pub(crate) type LoopJob<S> = Box<dyn FnOnce(&mut super::ServerLoop<'_, S>)>;

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
    /// The inbox has room again for what is left of a send.
    Unblocked(SessionKey),
    /// A connection that was accepted later may read what came meanwhile.
    Resumed(ConnectionId),
    /// A channel begins: its `on_open`.
    ChannelOpened(ConnectionId),
    /// A message for a channel.
    ChannelMessage(ConnectionId, Box<str>),
    /// What several have acknowledged is there.
    Gathered(AppJob<S>),
    /// Something for the loop itself.
    Loop(LoopJob<S>),
    Drain(Duration),
    Stop,
}

/// What is to be dropped after a callback.
pub(crate) enum Dead<S: 'static> {
    Connection { _object: Box<dyn Object<S>> },
    Timer { _run: TimerRun<S> },
    Ack { _then: AckJob<S> },
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
            args: Vec::new(),
            acking: None,
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
        rare: Rare<S>,
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
        if entry.is_outermost() {
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
                acks,
                ..
            } = &**rare;
            let is_bare = kept.is_none() && channel.is_none() && acks.is_unused();
            if is_bare && timers.is_empty() && inbox.is_empty() {
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
                if let Link::Session(key) | Link::SocketIo(key) = entry.link {
                    let session = self.sessions.arena.get(key);
                    let name = session.map(|session| session.name.1.clone());
                    entry.rare.get_or_insert_default().session = name;
                }
                self.empty_inbox(id);
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
            if entry.is_outermost() {
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
        for _then in self.take_acks(id) {
            self.dead.push(Dead::Ack { _then });
        }
        self.empty_inbox(id);
        let entry = self.connections.remove(id.0);
        if let Some(_object) = entry.and_then(|entry| entry.object) {
            self.dead.push(Dead::Connection { _object });
        }
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
            Link::Session(key) | Link::SocketIo(key) => self.sessions.arena.get(key)?.peer,
            Link::Channel(parent) => self.peer_of(parent),
        }
    }

    pub(crate) fn dialect(&self, id: ConnectionId) -> Dialect {
        match self.connections.get(id.0) {
            None => Dialect::WebSocket,
            Some(entry) => match entry.link {
                Link::WebSocket(_) if entry.transport == Transport::WebSocket => Dialect::WebSocket,
                Link::WebSocket(_) | Link::SockJs(_) | Link::Session(_) => Dialect::SockJs,
                Link::SocketIo(key) => match self.sessions.generation(key) {
                    Generation::V06 => Dialect::SocketIo06,
                    Generation::V09 => Dialect::SocketIo09,
                },
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
            loud!(
                warn,
                "{id}: join refused, it is in rooms_per_connection_max rooms"
            );
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
            sessions_peak: self.sessions.peak as u64,
            connections_open: self.rosters.iter().map(|roster| roster.len() as u64).sum(),
            bytes_queued: self.conns.queued as u64,
            bytes_unfinished: self.conns.held_input as u64,
            ..self.conns.stats.clone()
        }
    }
}

/// A list of ids that has grown beyond this is given back.
const IDS_MAX_KEPT: usize = 64 << 10;
