//! Sessions of SockJS: what they send, and the way of it to their receivers.

use crate::conn::Conns;
use crate::conn::http1::{OutBody, Outgoing};
use crate::connection::{Cause, Sent};
use crate::proto::sockjs::wrapping::Wrapping;
use crate::server::engine::{Engine, Next};
use crate::server::sessions::{Family, Place, SessionKey, Sessions, lost};
use crate::session::sockjs::{self as session, Session};
use std::collections::VecDeque;
use std::rc::Rc;

/// A session, and what it keeps to.
pub(crate) struct SockJs {
    pub(crate) session: Session<Place>,
    pub(crate) limits: Rc<session::Limits>,
}

impl Sessions {
    fn sockjs(&mut self, key: SessionKey) -> Option<&mut SockJs> {
        match &mut self.arena.get_mut(key)?.family {
            Family::SockJs(sockjs) => Some(sockjs),
            Family::SocketIo(_) => None,
        }
    }
}

impl<S: 'static> Engine<S> {
    /// Queues a message, which `push` appends.
    pub(in crate::server) fn send_session(
        &mut self,
        key: SessionKey,
        push: impl FnOnce(&mut Session<Place>),
    ) -> Sent {
        let Some(entry) = self.sessions.arena.get_mut(key) else {
            return Sent::Gone;
        };
        let Family::SockJs(sockjs) = &mut entry.family else {
            return Sent::Gone;
        };
        let before = sockjs.session.waiting();
        if sockjs.session.load() >= self.conns.settings.write_max_bytes {
            if let Some(id) = entry.connection {
                self.overflow(id);
            }
            return Sent::Gone;
        }
        push(&mut sockjs.session);
        let waiting = sockjs.session.waiting();
        let over = sockjs.session.load() > self.conns.settings.write_high_bytes;
        entry.full |= over;
        self.conns.queued += waiting - before;
        self.conns.stats.messages_out += 1;
        self.sessions.mark_dirty(key);
        if over { Sent::Full } else { Sent::Queued }
    }

    /// Closes from our side, or refuses; the client is told with its next receiver.
    pub(in crate::server) fn close_session(&mut self, key: SessionKey, code: u16, reason: &str) {
        let now = self.conns.now;
        let Some(entry) = self.sessions.arena.get_mut(key) else {
            return;
        };
        entry.connection = None;
        if let Family::SockJs(sockjs) = &mut entry.family {
            sockjs.session.accept();
            sockjs.session.close(code, reason, now, &sockjs.limits);
        }
        self.sessions.mark_dirty(key);
        self.end_send(key);
    }

    /// The application has taken it.
    pub(in crate::server) fn accept_session(&mut self, key: SessionKey) {
        if let Some(sockjs) = self.sessions.sockjs(key) {
            sockjs.session.accept();
            self.sessions.mark_dirty(key);
        }
    }

    /// The application has refused it: what it sent is not.
    pub(in crate::server) fn refuse_session(&mut self, key: SessionKey, code: u16, reason: &str) {
        if let Some(sockjs) = self.sessions.sockjs(key) {
            let dropped = sockjs.session.drop_waiting();
            self.conns.queued = self.conns.queued.saturating_sub(dropped);
        }
        self.close_session(key, code, reason);
    }

    /// Attaches a receiver: the session has none.
    pub(crate) fn attach(&mut self, key: SessionKey, at: Place, wrapping: Wrapping) {
        let now = self.conns.now;
        let Some(sockjs) = self.sessions.sockjs(key) else {
            return;
        };
        let limits = Rc::clone(&sockjs.limits);
        self.begin_answer(&at, &wrapping, &limits);
        self.conns.set_session(at.conn, key.to_bits());
        if let Some(sockjs) = self.sessions.sockjs(key) {
            sockjs.session.attach(at, wrapping, now, &limits);
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

    /// Sends what waits, as far as there is a receiver that takes it.
    pub(in crate::server) fn flush_sockjs(&mut self, key: SessionKey) {
        let (now, high) = (self.conns.now, self.conns.settings.write_high_bytes);
        let mut out = std::mem::take(&mut self.sessions.out);
        let mut scratch = std::mem::take(&mut self.sessions.scratch);
        while let Some(SockJs { session, limits }) = self.sessions.sockjs(key) {
            let Some(conn) = session.receiver().map(|receiver| receiver.at.conn) else {
                break;
            };
            // What a slow receiver does not take stays here, where the limits of `send` see it.
            if self.conns.waiting(conn) >= high {
                break;
            }
            let before = session.waiting();
            let limits = Rc::clone(limits);
            out.clear();
            let Some(sent) = session.transmit(now, &limits, &mut scratch, &mut out) else {
                break;
            };
            let taken = before - session.waiting();
            self.conns.queued = self.conns.queued.saturating_sub(taken);
            let last = sent == session::Sent::Last;
            if let Some(receiver) = session.receiver() {
                let (at, wrapping) = (&receiver.at, &receiver.wrapping);
                let to = (&mut self.conns, &mut self.next);
                write(to, at, wrapping, &limits, &out, last);
            }
            if last {
                session.detach(now, &limits);
            }
        }
        self.sessions.out = out;
        self.sessions.scratch = scratch;
    }

    /// The timer of a session has fired.
    pub(in crate::server) fn sockjs_timeout(&mut self, key: SessionKey) {
        let now = self.conns.now;
        let Some(SockJs { session, limits }) = self.sessions.sockjs(key) else {
            return;
        };
        match session.handle_timeout(now, limits) {
            Some(session::Due::Expired) => self.forget_session(key, Cause::Timeout),
            Some(session::Due::Heartbeat) | None => self.flush_session(key),
        }
    }

    /// The conn of its receiver is gone: the session is closed.
    pub(in crate::server) fn sockjs_cut(&mut self, key: SessionKey, cause: Cause) {
        let now = self.conns.now;
        let Some(SockJs { session, limits }) = self.sessions.sockjs(key) else {
            return;
        };
        let dropped = session.drop_waiting();
        session.cut(now, limits);
        self.conns.queued = self.conns.queued.saturating_sub(dropped);
        let entry = self.sessions.arena.get_mut(key);
        let connection = entry.and_then(|entry| entry.connection.take());
        self.end_send(key);
        if let Some(id) = connection {
            self.end(id, lost(cause));
        }
        self.after_flush(key);
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
