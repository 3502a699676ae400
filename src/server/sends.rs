//! Messages that come together, in a send of a client that polls or in one message of a WebSocket: a turn
//! hands on as many as its share allows and the inbox has room for. A send is answered when all are handed on, and
//! the inbox has room for more.

use super::Msg;
use super::core::Core;
use super::engine::{Engine, Next};
use super::sessions::{Family, Place, SessionKey};
use crate::conn::http1::{OutBody, Outgoing};
use crate::proto::sockjs::message::Messages;
use crate::proto::ws::machine::FRAME_WORK;
use crate::reactor::IoLoop;

/// A send that is not answered yet.
pub(crate) struct Unanswered {
    at: Place,
    /// The messages that are left.
    rest: Box<str>,
    /// Whether the inbox has no room for them, or for the answer; else they wait for their turn.
    blocked: bool,
}

impl Unanswered {
    pub(super) fn len(&self) -> usize {
        self.rest.len()
    }
}

/// What one turn may hand on of messages that came together: so much work, of which each makes as much as a
/// frame of a WebSocket with it would.
pub(crate) struct Share(usize);

impl Share {
    /// Takes what a message makes.
    #[inline]
    pub(crate) fn take(&mut self, message_bytes: usize) {
        self.0 = self.0.saturating_sub(message_bytes.max(FRAME_WORK));
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0 == 0
    }

    /// What was taken of so much.
    pub(crate) fn used(&self, budget: usize) -> usize {
        budget - self.0
    }
}

impl<S: 'static> Core<S> {
    pub(super) fn share(&self) -> Share {
        Share(self.settings.work_per_turn_bytes)
    }

    /// Some messages of a send are handed on: the rest follows in later turns, or the send is answered.
    pub(super) fn handed_on(
        &mut self,
        io: &mut IoLoop<Msg>,
        key: SessionKey,
        at: Place,
        rest: &str,
    ) {
        let engine = self.engine();
        let blocked = engine.is_session_inbox_full(key);
        if rest.is_empty() && !blocked {
            return engine.answer_send(&at);
        }
        let Some(entry) = engine.sessions.arena.get_mut(key) else {
            return engine.answer_send(&at);
        };
        entry.send = Some(Unanswered {
            at,
            rest: rest.into(),
            blocked,
        });
        engine.conns.held_input += rest.len();
        if !blocked {
            io.add_callback(Msg::Session(key));
        }
    }

    /// The next turn of a send.
    pub(super) fn go_on_with_send(&mut self, io: &mut IoLoop<Msg>, key: SessionKey) {
        let engine = self.engine();
        if engine.is_session_inbox_full(key) {
            engine.block_send(key);
            return;
        }
        let Some(Unanswered { at, rest, .. }) = engine.take_send(key) else {
            return;
        };
        let entry = self.engine().sessions.arena.get(key);
        let is_sockjs = entry.is_some_and(|entry| matches!(entry.family, Family::SockJs(_)));
        match is_sockjs {
            true => self.sockjs_send(io, key, at, Messages::left(&rest)),
            false => self.socketio_send(io, key, at, &rest),
        }
        self.watch_last(io, "on_message");
        self.follow_up(io);
    }
}

impl<S: 'static> Engine<S> {
    /// Whether a send of this session is not answered yet. Its client sends the next one after that.
    pub(super) fn is_sending(&self, key: SessionKey) -> bool {
        let entry = self.sessions.arena.get(key);
        entry.is_some_and(|entry| entry.send.is_some()) || self.is_session_inbox_full(key)
    }

    fn take_send(&mut self, key: SessionKey) -> Option<Unanswered> {
        let send = self.sessions.arena.get_mut(key)?.send.take()?;
        self.conns.held_input -= send.rest.len();
        Some(send)
    }

    /// Answers the send that waits, if there is one: its session is over, and what is left of it too.
    pub(crate) fn end_send(&mut self, key: SessionKey) {
        if let Some(send) = self.take_send(key) {
            self.answer_send(&send.at);
        }
    }

    fn block_send(&mut self, key: SessionKey) {
        let entry = self.sessions.arena.get_mut(key);
        if let Some(send) = entry.and_then(|entry| entry.send.as_mut()) {
            send.blocked = true;
        }
    }

    /// The inbox may have room again, for which a send has waited.
    pub(crate) fn inbox_has_room(&mut self, key: SessionKey) {
        // The inbox of another endpoint may be full still.
        if self.is_session_inbox_full(key) {
            return;
        }
        let entry = self.sessions.arena.get_mut(key);
        let send = entry.and_then(|entry| entry.send.as_mut());
        let Some(send) = send.filter(|send| send.blocked) else {
            return;
        };
        send.blocked = false;
        match send.rest.is_empty() {
            true => self.end_send(key),
            false => self.next.push_back(Next::Unblocked(key)),
        }
    }

    /// Answers a send: what it brought is accepted.
    fn answer_send(&mut self, at: &Place) {
        let status = if at.thanks.is_empty() { 204 } else { 200 };
        let response = Outgoing {
            status,
            content_type: Some("text/plain; charset=UTF-8"),
            headers: &at.headers,
            body: OutBody::Bytes(at.thanks.as_bytes()),
            close: false,
        };
        if self.conns.answer(at.conn, at.serial, response) {
            self.next.push_back(Next::Answered(at.conn));
        }
    }
}
