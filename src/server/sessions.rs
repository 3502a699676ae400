//! Sessions that span many requests, whatever they speak: their ids, whose they are, their timers, and
//! which of them have something to send.
//!
//! Not here: what they send, and how it gets to the receivers (`session.rs` of each family).

use super::core::Core;
use super::engine::{Command, Engine, Next};
use super::sends::Unanswered;
use super::socketio::session::SocketIo;
use super::sockjs::session::SockJs;
use crate::conn::ConnKey;
use crate::connection::{Cause, CloseReason, ConnectionId};
use crate::reactor::Timeout;
use crate::storage::arena::{Arena, Key};
use crate::time::{Instant, PerSecond};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

pub(crate) type SessionKey = Key<Virtual>;

/// A session, and what the server knows beside it.
pub(crate) struct Virtual {
    pub(crate) family: Family,
    /// The application's side, of several the one at the root; `None` once it was told that it is over.
    pub(crate) connection: Option<ConnectionId>,
    /// At which mount for WebSockets, and what the client calls it.
    pub(crate) name: (u32, Box<str>),
    /// Where its first request came from.
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) ip: Option<IpAddr>,
    /// The client's send that is not answered yet.
    pub(super) send: Option<Unanswered>,
    timer: Option<(Instant, Timeout)>,
    /// `send` has answered `Full`; `on_writable` is owed.
    pub(crate) full: bool,
    dirty: bool,
}

/// What a session speaks.
pub(crate) enum Family {
    SockJs(SockJs),
    SocketIo(SocketIo),
}

impl Virtual {
    /// Bytes that wait for a receiver.
    pub(crate) fn waiting(&self) -> usize {
        match &self.family {
            Family::SockJs(it) => it.session.waiting(),
            Family::SocketIo(it) => it.session.waiting(),
        }
    }

    /// The same, and what is left of a send.
    pub(super) fn buffered(&self) -> usize {
        self.waiting() + self.send.as_ref().map_or(0, Unanswered::len)
    }

    /// What waits for a receiver, as the limits see it.
    pub(crate) fn load(&self) -> usize {
        match &self.family {
            Family::SockJs(it) => it.session.load(),
            Family::SocketIo(it) => it.session.load(),
        }
    }

    /// The conn of its receiver.
    pub(crate) fn conn(&self) -> Option<ConnKey> {
        match &self.family {
            Family::SockJs(it) => it.session.receiver().map(|receiver| receiver.at.conn),
            Family::SocketIo(it) => it.session.receiver().map(|receiver| receiver.at.place.conn),
        }
    }

    fn has_output(&self) -> bool {
        match &self.family {
            Family::SockJs(it) => it.session.has_output(),
            Family::SocketIo(it) => !it.session.is_empty(),
        }
    }

    fn poll_timeout(&self) -> Instant {
        match &self.family {
            Family::SockJs(it) => it.session.poll_timeout(),
            Family::SocketIo(it) => it.session.poll_timeout(),
        }
    }

    /// All connections of the application over it, the one at the root last.
    pub(crate) fn connections(&self) -> impl Iterator<Item = ConnectionId> {
        let endpoints = match &self.family {
            Family::SockJs(_) => &[][..],
            Family::SocketIo(it) => &it.endpoints,
        };
        let endpoints = endpoints.iter().map(|(_, id)| *id);
        endpoints.chain(self.connection)
    }
}

/// A request that is answered later: on which conn, which of its requests, with which headers.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) conn: ConnKey,
    pub(crate) serial: u32,
    pub(crate) headers: Vec<u8>,
    /// What a send is answered with: 200 and this, or 204 if it is empty.
    pub(crate) thanks: &'static str,
}

/// All sessions.
#[derive(Default)]
pub(crate) struct Sessions {
    pub(crate) arena: Arena<Virtual>,
    /// By mount and id.
    ids: Vec<HashMap<Box<str>, SessionKey>>,
    /// By mount and address.
    per_ip: HashMap<(u32, IpAddr), u32>,
    begun: PerSecond,
    /// Those that may have something to send.
    dirty: Vec<SessionKey>,
    pub(crate) scratch: Vec<u8>,
    pub(crate) out: Vec<u8>,
    /// The most that there were at a time.
    pub(crate) peak: usize,
}

impl Sessions {
    pub(crate) fn find(&self, mount: u32, id: &str) -> Option<SessionKey> {
        self.ids.get(mount as usize)?.get(id).copied()
    }

    /// How many a mount has.
    fn of_mount(&self, mount: u32) -> usize {
        self.ids.get(mount as usize).map_or(0, HashMap::len)
    }

    /// How many of them come from an address.
    fn of_ip(&self, mount: u32, ip: Option<IpAddr>) -> u32 {
        let count = ip.and_then(|ip| self.per_ip.get(&(mount, ip)));
        count.copied().unwrap_or_default()
    }

    pub(crate) fn insert(
        &mut self,
        mount: u32,
        id: &str,
        family: Family,
        (peer, ip): (Option<SocketAddr>, Option<IpAddr>),
    ) -> SessionKey {
        let key = self.arena.insert(Virtual {
            family,
            connection: None,
            name: (mount, id.into()),
            peer,
            ip,
            send: None,
            timer: None,
            full: false,
            dirty: false,
        });
        if let Some(ip) = ip {
            *self.per_ip.entry((mount, ip)).or_default() += 1;
        }
        let mount = mount as usize;
        if self.ids.len() <= mount {
            self.ids.resize_with(mount + 1, HashMap::new);
        }
        self.ids[mount].insert(id.into(), key);
        self.peak = self.peak.max(self.arena.len());
        key
    }

    /// The same, by the bits that a conn knows it by, if it has something to send.
    pub(crate) fn mark_dirty_bits(&mut self, bits: u64) {
        let Some(key) = SessionKey::from_bits(bits) else {
            return;
        };
        if self
            .arena
            .get(key)
            .is_some_and(|entry| entry.full || entry.has_output())
        {
            self.mark_dirty(key);
        }
    }

    pub(crate) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    pub(crate) fn mark_dirty(&mut self, key: SessionKey) {
        if let Some(entry) = self.arena.get_mut(key).filter(|entry| !entry.dirty) {
            entry.dirty = true;
            self.dirty.push(key);
        }
    }
}

impl<S: 'static> Core<S> {
    /// Whether a mount takes another session. `per_ip`: zero is no limit.
    pub(super) fn takes_session(
        &mut self,
        mount: u32,
        ip: Option<IpAddr>,
        (max, per_ip): (usize, u32),
    ) -> bool {
        if self.is_short_of_memory() {
            return false;
        }
        let per_second = self.settings.sessions_per_second_max;
        let Engine {
            sessions, conns, ..
        } = self.engine();
        !conns.draining
            && sessions.of_mount(mount) < max
            && (per_ip == 0 || sessions.of_ip(mount, ip) < per_ip)
            && sessions.begun.count(conns.now, 1, per_second)
    }
}

impl<S: 'static> Engine<S> {
    /// Whether what was sent earlier has not been taken yet.
    pub(super) fn is_session_backlogged(&self, key: SessionKey) -> bool {
        self.sessions.arena.get(key).is_some_and(|entry| {
            let blocked = entry.conn().is_some_and(|conn| self.conns.is_blocked(conn));
            blocked || entry.load() > self.conns.settings.write_low_bytes
        })
    }

    /// Sends what waits to the receivers of all sessions that were touched.
    pub(crate) fn flush_sessions(&mut self) {
        while let Some(key) = self.sessions.dirty.pop() {
            self.flush_session(key);
        }
    }

    /// Sends what waits, as far as there is a receiver that takes it, and arms the timer.
    pub(crate) fn flush_session(&mut self, key: SessionKey) {
        let Some(entry) = self.sessions.arena.get_mut(key) else {
            return;
        };
        entry.dirty = false;
        match entry.family {
            Family::SockJs(_) => self.flush_sockjs(key),
            Family::SocketIo(_) => self.flush_socketio(key),
        }
        self.after_flush(key);
    }

    pub(crate) fn after_flush(&mut self, key: SessionKey) {
        let low = self.conns.settings.write_low_bytes;
        let Some(entry) = self.sessions.arena.get_mut(key) else {
            return;
        };
        let conn = match &entry.family {
            // What has been handed to a WebSocket waits there.
            Family::SocketIo(it) => it.websocket(),
            Family::SockJs(_) => None,
        };
        let load = entry.load() + conn.map_or(0, |conn| self.conns.waiting(conn));
        if entry.full && load <= low {
            entry.full = false;
            self.next.extend(entry.connections().map(Next::Writable));
        }
        // As with conns: a deadline that only moves away leaves the timer alone, which fires early.
        let due = entry.poll_timeout();
        if due < Instant::FAR && entry.timer.is_none_or(|(armed, _)| due < armed) {
            self.commands.push(Command::ArmSession(key, due));
        }
    }

    /// Its timer has fired.
    pub(crate) fn session_timeout(&mut self, key: SessionKey) {
        let Some(entry) = self.sessions.arena.get_mut(key) else {
            return;
        };
        entry.timer = None;
        match entry.family {
            Family::SockJs(_) => self.sockjs_timeout(key),
            Family::SocketIo(_) => self.socketio_timeout(key),
        }
    }

    /// The conn of its receiver is gone.
    pub(crate) fn receiver_lost(&mut self, bits: u64, conn: ConnKey, why: CloseReason) {
        let Some(key) = SessionKey::from_bits(bits) else {
            return;
        };
        let Some(entry) = self.sessions.arena.get(key) else {
            return;
        };
        if entry.conn() != Some(conn) {
            return;
        }
        match entry.family {
            Family::SockJs(_) => self.sockjs_cut(key, why.cause),
            Family::SocketIo(_) => self.socketio_detached(key, why),
        }
    }

    /// Too much waits for all together: what waits for this one is dropped, and with it the session.
    pub(super) fn relieve_session(&mut self, key: SessionKey) {
        let Some(entry) = self.sessions.arena.get(key) else {
            return;
        };
        match entry.family {
            Family::SockJs(_) => {
                let connection = entry.connection;
                self.refuse_session(key, 1002, "Connection interrupted");
                if let Some(id) = connection {
                    self.end(id, lost(Cause::Overflow));
                }
            }
            Family::SocketIo(_) => self.forget_session(key, Cause::Overflow),
        }
    }

    /// The reactor has armed its timer; answers the one before, to be disarmed.
    pub(crate) fn session_armed(
        &mut self,
        key: SessionKey,
        at: Instant,
        timeout: Timeout,
    ) -> Option<Timeout> {
        match self.sessions.arena.get_mut(key) {
            Some(entry) => entry.timer.replace((at, timeout)).map(|(_, old)| old),
            None => Some(timeout),
        }
    }

    /// Removes a session; the application is told, if it does not know.
    pub(crate) fn forget_session(&mut self, key: SessionKey, cause: Cause) {
        self.session_ends(key, lost(cause));
    }

    /// The same, for a reason that may have come from the client.
    pub(crate) fn session_ends(&mut self, key: SessionKey, why: CloseReason) {
        self.end_send(key);
        let entry = self.sessions.arena.get(key);
        let connections: Vec<_> = entry.into_iter().flat_map(Virtual::connections).collect();
        for id in connections {
            self.end(id, why.clone());
        }
        let Some(entry) = self.sessions.arena.remove(key) else {
            return;
        };
        self.conns.cut.extend(entry.conn());
        let (mount, id) = &entry.name;
        if let Some(ids) = self.sessions.ids.get_mut(*mount as usize) {
            ids.remove(id);
        }
        if let Some(ip) = entry.ip {
            let of = (*mount, ip);
            if let Some(count) = self.sessions.per_ip.get_mut(&of) {
                *count -= 1;
                if *count == 0 {
                    self.sessions.per_ip.remove(&of);
                }
            }
        }
        self.conns.queued = self.conns.queued.saturating_sub(entry.waiting());
        self.commands
            .extend(entry.timer.map(|(_, timeout)| Command::Disarm(timeout)));
    }

    /// The application's side of all sessions.
    pub(crate) fn session_connections(&self) -> Vec<ConnectionId> {
        let entries = self.sessions.arena.iter();
        entries.filter_map(|(_, entry)| entry.connection).collect()
    }

    /// Whether a session has an `on_close` before it.
    pub(crate) fn has_session_connections(&self) -> bool {
        let mut entries = self.sessions.arena.iter();
        entries.any(|(_, entry)| entry.connection.is_some())
    }

    /// Removes all sessions: the server ends.
    pub(crate) fn forget_sessions(&mut self) {
        let keys: Vec<SessionKey> = self.sessions.arena.keys().collect();
        for key in keys {
            self.forget_session(key, Cause::Shutdown);
        }
    }
}

pub(crate) fn lost(cause: Cause) -> CloseReason {
    CloseReason {
        cause,
        code: 1006,
        reason: String::new(),
        clean: false,
    }
}
