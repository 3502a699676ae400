//! Sessions that span many requests: their ids, whose they are, and the way of their output to the
//! receivers.

use super::engine::{Command, Engine, Next};
use crate::conn::http1::{OutBody, Outgoing};
use crate::conn::{ConnKey, Conns};
use crate::connection::{Cause, CloseReason, ConnectionId, Sent};
use crate::proto::sockjs::wrapping::Wrapping;
use crate::reactor::Timeout;
use crate::session::{self, Session};
use crate::storage::arena::{Arena, Key};
use crate::time::Instant;
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

pub(crate) type SessionKey = Key<Virtual>;

/// A session, and what the server knows beside it.
pub(crate) struct Virtual {
    pub(crate) session: Session<Place>,
    pub(crate) limits: Rc<session::Limits>,
    /// The application's side; `None` once it was told that it is over.
    pub(crate) connection: Option<ConnectionId>,
    /// What the client calls it, at which mount.
    name: (u32, Box<str>),
    /// Where its first request came from.
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) ip: Option<IpAddr>,
    /// A send that is answered when the inbox has room again.
    pub(crate) parked: Option<Place>,
    timer: Option<(Instant, Timeout)>,
    full: bool,
    dirty: bool,
}

/// A request that is answered later: on which conn, which of its requests, with which headers.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) conn: ConnKey,
    pub(crate) serial: u32,
    pub(crate) headers: Vec<u8>,
    /// It is answered 200 with `ok`, if it is a send (jsonp).
    pub(crate) ok_body: bool,
}

/// All sessions.
#[derive(Default)]
pub(crate) struct Sessions {
    pub(crate) arena: Arena<Virtual>,
    /// By mount and id.
    ids: Vec<HashMap<Box<str>, SessionKey>>,
    /// By mount and address.
    per_ip: HashMap<(u32, IpAddr), u32>,
    /// Those that may have something to send.
    dirty: Vec<SessionKey>,
    scratch: Vec<u8>,
    out: Vec<u8>,
}

impl Sessions {
    pub(crate) fn find(&self, mount: u32, id: &str) -> Option<SessionKey> {
        self.ids.get(mount as usize)?.get(id).copied()
    }

    /// How many a mount has.
    pub(crate) fn of_mount(&self, mount: u32) -> usize {
        self.ids.get(mount as usize).map_or(0, HashMap::len)
    }

    /// How many of them come from an address.
    pub(crate) fn of_ip(&self, mount: u32, ip: Option<IpAddr>) -> u32 {
        let count = ip.and_then(|ip| self.per_ip.get(&(mount, ip)));
        count.copied().unwrap_or_default()
    }

    pub(crate) fn insert(
        &mut self,
        mount: u32,
        id: &str,
        session: Session<Place>,
        limits: Rc<session::Limits>,
        (peer, ip): (Option<SocketAddr>, Option<IpAddr>),
    ) -> SessionKey {
        let key = self.arena.insert(Virtual {
            session,
            limits,
            connection: None,
            name: (mount, id.into()),
            peer,
            ip,
            parked: None,
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
            .is_some_and(|entry| entry.session.has_output())
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

impl<S: 'static> Engine<S> {
    /// Queues a message, which `push` appends.
    pub(super) fn send_session(
        &mut self,
        key: SessionKey,
        push: impl FnOnce(&mut Session<Place>),
    ) -> Sent {
        let Some(entry) = self.sessions.arena.get_mut(key) else {
            return Sent::Gone;
        };
        let before = entry.session.waiting();
        if before >= self.conns.settings.write_max_bytes {
            if let Some(id) = entry.connection {
                self.overflow(id);
            }
            return Sent::Gone;
        }
        push(&mut entry.session);
        let waiting = entry.session.waiting();
        let over = waiting > self.conns.settings.write_high_bytes;
        entry.full |= over;
        self.conns.queued += waiting - before;
        self.conns.stats.messages_out += 1;
        self.sessions.mark_dirty(key);
        if over { Sent::Full } else { Sent::Queued }
    }

    /// Whether what was sent earlier has not been taken yet.
    pub(super) fn is_session_backlogged(&self, key: SessionKey) -> bool {
        self.sessions.arena.get(key).is_some_and(|entry| {
            let receiver = entry.session.receiver();
            let blocked = receiver.is_some_and(|receiver| self.conns.is_blocked(receiver.at.conn));
            blocked || entry.session.waiting() > self.conns.settings.write_low_bytes
        })
    }

    /// Closes from our side, or refuses; the client is told with its next receiver.
    pub(super) fn close_session(&mut self, key: SessionKey, code: u16, reason: &str) {
        let now = self.conns.now;
        let Some(entry) = self.sessions.arena.get_mut(key) else {
            return;
        };
        entry.connection = None;
        entry.session.accept();
        entry.session.close(code, reason, now, &entry.limits);
        self.unpark(key);
        self.sessions.mark_dirty(key);
        self.unpark(key);
    }

    /// The application has taken it.
    pub(super) fn accept_session(&mut self, key: SessionKey) {
        if let Some(entry) = self.sessions.arena.get_mut(key) {
            entry.session.accept();
            self.sessions.mark_dirty(key);
        }
    }

    /// The application has refused it: what it sent is not.
    pub(super) fn refuse_session(&mut self, key: SessionKey, code: u16, reason: &str) {
        if let Some(entry) = self.sessions.arena.get_mut(key) {
            let dropped = entry.session.drop_waiting();
            self.conns.queued = self.conns.queued.saturating_sub(dropped);
        }
        self.close_session(key, code, reason);
    }

    /// Too much waits for all together: what waits for this one is dropped, and with it the session.
    pub(super) fn relieve_session(&mut self, key: SessionKey) {
        let connection = self
            .sessions
            .arena
            .get(key)
            .and_then(|entry| entry.connection);
        self.refuse_session(key, 1002, "Connection interrupted");
        if let Some(id) = connection {
            self.end(id, lost(Cause::Overflow));
        }
    }

    /// Attaches a receiver: the session has none.
    pub(crate) fn attach(&mut self, key: SessionKey, at: Place, wrapping: Wrapping) {
        let now = self.conns.now;
        let Some(entry) = self.sessions.arena.get(key) else {
            return;
        };
        let limits = Rc::clone(&entry.limits);
        self.begin_answer(&at, &wrapping, &limits);
        self.conns.set_session(at.conn, key.to_bits());
        if let Some(entry) = self.sessions.arena.get_mut(key) {
            entry.session.attach(at, wrapping, now, &limits);
        }
        self.flush_session(key);
    }

    /// Gives a receiver that cannot be attached one frame, and ends it.
    pub(crate) fn turn_away(
        &mut self,
        at: &Place,
        wrapping: &Wrapping,
        limits: &session::Limits,
        frame: &[u8],
    ) {
        self.begin_answer(at, wrapping, limits);
        let mut out = Vec::new();
        wrapping.wrap(frame, limits.profile, &mut out);
        let to = (&mut self.conns, &mut self.next);
        write(to, at, wrapping, limits, &out, true);
    }

    /// A streaming answer begins at once: head and prelude.
    fn begin_answer(&mut self, at: &Place, wrapping: &Wrapping, limits: &session::Limits) {
        if wrapping.is_polling() {
            return;
        }
        let mut prelude = std::mem::take(&mut self.sessions.out);
        prelude.clear();
        wrapping.prelude(&mut prelude);
        let response = Outgoing {
            status: 200,
            content_type: Some(wrapping.content_type(limits.profile)),
            headers: &at.headers,
            body: OutBody::Stream,
            close: false,
        };
        self.conns.answer(at.conn, at.serial, response);
        self.conns.stream(at.conn, at.serial, &prelude);
        self.sessions.out = prelude;
    }

    /// Sends what waits to the receivers of all sessions that were touched.
    pub(crate) fn flush_sessions(&mut self) {
        while let Some(key) = self.sessions.dirty.pop() {
            self.flush_session(key);
        }
    }

    /// Sends what waits, as far as there is a receiver that takes it, and arms the timer.
    pub(crate) fn flush_session(&mut self, key: SessionKey) {
        let (now, high) = (self.conns.now, self.conns.settings.write_high_bytes);
        let mut out = std::mem::take(&mut self.sessions.out);
        while let Some(entry) = self.sessions.arena.get_mut(key) {
            entry.dirty = false;
            let Some(conn) = entry.session.receiver().map(|receiver| receiver.at.conn) else {
                break;
            };
            // What a slow receiver does not take stays here, where the limits of `send` see it.
            if self.conns.waiting(conn) >= high {
                break;
            }
            let before = entry.session.waiting();
            let limits = Rc::clone(&entry.limits);
            out.clear();
            let scratch = &mut self.sessions.scratch;
            let Some(sent) = entry.session.transmit(now, &limits, scratch, &mut out) else {
                break;
            };
            let taken = before - entry.session.waiting();
            self.conns.queued = self.conns.queued.saturating_sub(taken);
            let last = sent == session::Sent::Last;
            if let Some(receiver) = entry.session.receiver() {
                let (at, wrapping) = (&receiver.at, &receiver.wrapping);
                let to = (&mut self.conns, &mut self.next);
                write(to, at, wrapping, &limits, &out, last);
            }
            if last {
                entry.session.detach(now, &limits);
            }
        }
        self.sessions.out = out;
        self.after_flush(key);
    }

    fn after_flush(&mut self, key: SessionKey) {
        let low = self.conns.settings.write_low_bytes;
        let Some(entry) = self.sessions.arena.get_mut(key) else {
            return;
        };
        if entry.full && entry.session.waiting() <= low {
            entry.full = false;
            self.next.extend(entry.connection.map(Next::Writable));
        }
        // As with conns: a deadline that only moves away leaves the timer alone, which fires early.
        let due = entry.session.poll_timeout();
        if entry.timer.is_none_or(|(armed, _)| due < armed) {
            self.commands.push(Command::ArmSession(key, due));
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

    /// Its timer has fired.
    pub(crate) fn session_timeout(&mut self, key: SessionKey) {
        let now = self.conns.now;
        let Some(entry) = self.sessions.arena.get_mut(key) else {
            return;
        };
        entry.timer = None;
        match entry.session.handle_timeout(now, &entry.limits) {
            Some(session::Due::Expired) => self.forget_session(key, Cause::Timeout),
            Some(session::Due::Heartbeat) | None => self.flush_session(key),
        }
    }

    /// The conn of its receiver is gone.
    pub(crate) fn receiver_lost(&mut self, bits: u64, conn: ConnKey, cause: Cause) {
        let now = self.conns.now;
        let Some(key) = SessionKey::from_bits(bits) else {
            return;
        };
        let Some(entry) = self.sessions.arena.get_mut(key) else {
            return;
        };
        if entry
            .session
            .receiver()
            .is_none_or(|receiver| receiver.at.conn != conn)
        {
            return;
        }
        let dropped = entry.session.drop_waiting();
        entry.session.cut(now, &entry.limits);
        let connection = entry.connection.take();
        self.conns.queued = self.conns.queued.saturating_sub(dropped);
        self.unpark(key);
        if let Some(id) = connection {
            self.end(id, lost(cause));
        }
        self.unpark(key);
        self.after_flush(key);
    }

    /// Removes a session; the application is told, if it does not know.
    pub(crate) fn forget_session(&mut self, key: SessionKey, cause: Cause) {
        self.unpark(key);
        let Some(entry) = self.sessions.arena.remove(key) else {
            return;
        };
        if let Some(receiver) = entry.session.receiver() {
            self.conns.cut.push(receiver.at.conn);
        }
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
        self.conns.queued = self.conns.queued.saturating_sub(entry.session.waiting());
        self.commands
            .extend(entry.timer.map(|(_, timeout)| Command::Disarm(timeout)));
        if let Some(id) = entry.connection {
            self.end(id, lost(cause));
        }
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

    /// Answers a send that was put off, if there is one: the inbox has room again, or nobody needs it
    /// any more.
    pub(crate) fn unpark(&mut self, key: SessionKey) {
        let Some(entry) = self.sessions.arena.get_mut(key) else {
            return;
        };
        if let Some(at) = entry.parked.take() {
            self.answer_send(&at);
        }
    }

    /// Answers a send: what it brought is accepted.
    pub(crate) fn answer_send(&mut self, at: &Place) {
        let status = if at.ok_body { 200 } else { 204 };
        let response = Outgoing {
            status,
            content_type: Some("text/plain; charset=UTF-8"),
            headers: &at.headers,
            body: OutBody::Bytes(if at.ok_body { b"ok" } else { b"" }),
            close: false,
        };
        if self.conns.answer(at.conn, at.serial, response) {
            self.next.push_back(Next::Answered(at.conn));
        }
    }
}

/// Writes a wrapped frame to a receiver.
fn write<S>(
    (conns, next): (&mut Conns, &mut VecDeque<Next<S>>),
    at: &Place,
    wrapping: &Wrapping,
    limits: &session::Limits,
    bytes: &[u8],
    last: bool,
) {
    let ended = if wrapping.is_polling() {
        let response = Outgoing {
            status: 200,
            content_type: Some(wrapping.content_type(limits.profile)),
            headers: &at.headers,
            body: OutBody::Bytes(bytes),
            close: false,
        };
        conns.answer(at.conn, at.serial, response)
    } else {
        conns.stream(at.conn, at.serial, bytes);
        last && conns.end_stream(at.conn, at.serial)
    };
    if ended {
        next.push_back(Next::Answered(at.conn));
    }
}

fn lost(cause: Cause) -> CloseReason {
    CloseReason {
        cause,
        code: 1006,
        reason: String::new(),
        clean: false,
    }
}
