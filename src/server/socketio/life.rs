//! How connections of Socket.IO begin and end: what is answered, what the client is told, and what is
//! left of the session.

use super::session::{Asked, RECONNECT, UNAUTHORIZED};
use super::{Generation, site};
use crate::Reject;
use crate::conn::ConnKey;
use crate::conn::http1::{OutBody, Outgoing};
use crate::connection::{Cause, CloseReason, ConnectionId};
use crate::proto::sio06;
use crate::proto::sio09::{handshake, packet};
use crate::server::engine::{Engine, Link, Next};
use crate::server::sessions::{Family, Place, SessionKey};
use std::rc::Rc;

impl<S: 'static> Engine<S> {
    /// The application has taken a connection: the root of a session, or an endpoint.
    pub(in crate::server) fn accept_socketio(
        &mut self,
        key: SessionKey,
        id: ConnectionId,
        packets: Vec<Box<[u8]>>,
        headers: &[u8],
    ) -> Option<Asked> {
        let endpoint = self.endpoint_of(id);
        let it = self.sessions.socketio(key)?;
        let rules = Rc::clone(&it.rules);
        let mut asked = None;
        if endpoint.is_none() {
            it.session.accept(self.conns.now, &rules.limits);
            asked = it.asked.take().map(|asked| *asked);
        }
        let sid = self.sessions.arena.get(key)?.name.1.clone();
        if rules.generation == Generation::V06 {
            // The first message is the id, whatever follows.
            self.push_packet(key, |out| sio06::frame::push_text(out, &sid));
        } else {
            let endpoint = endpoint.as_deref().unwrap_or_default();
            self.push_packet(key, |out| packet::push_connect(out, endpoint));
        }
        self.conns.stats.messages_out += packets.len() as u64;
        for packet in packets {
            self.push_packet(key, |out| out.extend_from_slice(&packet));
        }
        match asked {
            Some(Asked::Handshake(mut place, script)) => {
                let mut body = Vec::new();
                let settings = &rules.settings;
                let beat = settings.heartbeat_interval;
                let announced = |time| site::seconds(time + settings.client_timeout);
                // Clients that count while they poll, too, must not give up before a poll has ended.
                let longest = match settings.global_heartbeats {
                    true => beat,
                    false => beat.max(settings.xhr_polling_timeout),
                };
                let beat = (!beat.is_zero()).then(|| announced(longest));
                let close = announced(settings.xhr_polling_timeout);
                handshake::push_body(&mut body, &sid, beat, close, &rules.transports);
                place.headers.extend_from_slice(headers);
                self.answer_handshake(&place, script, &body);
            }
            Some(Asked::Receiver(mut at)) => {
                at.place.headers.extend_from_slice(headers);
                self.attach_socketio(key, at);
            }
            upgrade => {
                self.after_flush(key);
                return upgrade;
            }
        }
        self.after_flush(key);
        None
    }

    fn answer_handshake(&mut self, place: &Place, script: Option<u32>, body: &[u8]) {
        let mut out = Vec::new();
        let content_type = match script {
            None => {
                out.extend_from_slice(body);
                "text/plain; charset=UTF-8"
            }
            Some(index) => {
                let text = std::str::from_utf8(body).unwrap_or_default();
                handshake::push_jsonp(&mut out, index, text);
                "application/javascript; charset=UTF-8"
            }
        };
        let response = Outgoing {
            status: 200,
            content_type: Some(content_type),
            headers: &place.headers,
            body: OutBody::Bytes(&out),
            close: false,
        };
        if self.conns.answer(place.conn, place.serial, response) {
            self.next.push_back(Next::Answered(place.conn));
        }
    }

    /// The application has refused a connection: the root, with its session, or an endpoint.
    pub(in crate::server) fn refuse_socketio(
        &mut self,
        key: SessionKey,
        id: ConnectionId,
        reject: &Reject,
        headers: &[u8],
    ) {
        if let Some(endpoint) = self.endpoint_of(id) {
            self.leave_endpoint(key, id);
            self.push_packet(key, |out| packet::push_error(out, &endpoint, UNAUTHORIZED));
            return self.resume_session(key);
        }
        let asked = self.sessions.socketio(key).and_then(|it| it.asked.take());
        if let Some(entry) = self.sessions.arena.get_mut(key) {
            entry.connection = None;
        }
        self.forget_session(key, Cause::Server);
        let Some(asked) = asked else { return };
        let mut lines = headers.to_vec();
        reject.push_headers(&mut lines);
        let (status, text) = site::refusal(reject);
        self.refuse_asked(*asked, status, &text, &lines);
    }

    /// Refuses whoever asked for a session.
    pub(in crate::server) fn refuse_asked(
        &mut self,
        asked: Asked,
        status: u16,
        text: &str,
        lines: &[u8],
    ) {
        let (mut place, script, close) = match asked {
            Asked::Handshake(place, script) => (place, script, false),
            Asked::Receiver(at) => (at.place, None, false),
            // What follows a refused upgrade may be no HTTP.
            Asked::Upgrade(at, ..) => (at.place, None, true),
        };
        place.headers.extend_from_slice(lines);
        self.refuse_script(&place, script, (status, close), text);
    }

    /// Refuses a handshake; a script can only be told with 200.
    fn refuse_script(
        &mut self,
        place: &Place,
        script: Option<u32>,
        (status, close): (u16, bool),
        text: &str,
    ) {
        let mut out = Vec::new();
        let (status, content_type) = match script {
            None => {
                out.extend_from_slice(text.as_bytes());
                (status, "text/plain; charset=UTF-8")
            }
            Some(index) => {
                handshake::push_jsonp_error(&mut out, index, text);
                (200, "application/javascript; charset=UTF-8")
            }
        };
        let response = Outgoing {
            status,
            content_type: Some(content_type),
            headers: &place.headers,
            body: OutBody::Bytes(&out),
            close,
        };
        if self.conns.answer(place.conn, place.serial, response) {
            self.next.push_back(Next::Answered(place.conn));
        }
    }

    /// The name of a connection below the root; `None` at the root, and of other families.
    pub(in crate::server) fn endpoint_of(&self, id: ConnectionId) -> Option<String> {
        let entry = self.connections.get(id.0)?;
        match entry.link {
            Link::SocketIo(_) => entry.rare.as_ref()?.channel.as_deref().map(str::to_owned),
            _ => None,
        }
    }

    fn leave_endpoint(&mut self, key: SessionKey, id: ConnectionId) {
        if let Some(it) = self.sessions.socketio(key) {
            it.endpoints.retain(|(_, of)| *of != id);
        }
    }

    /// Tells the client that a connection is closed. At the root the session ends, with all others.
    pub(in crate::server) fn close_socketio(
        &mut self,
        key: SessionKey,
        id: ConnectionId,
        why: &CloseReason,
    ) {
        if let Some(endpoint) = self.endpoint_of(id) {
            self.leave_endpoint(key, id);
            self.push_packet(key, |out| packet::push_disconnect(out, &endpoint));
            return self.resume_session(key);
        }
        let Some(entry) = self.sessions.arena.get_mut(key) else {
            return;
        };
        entry.connection = None;
        let Family::SocketIo(it) = &mut entry.family else {
            return;
        };
        let before = it.session.waiting();
        let endpoints = std::mem::take(&mut it.endpoints);
        if why.cause == Cause::Overflow && it.session.receiver().is_none() {
            // Nobody has come for it, and it is too much to be kept on.
            it.session.drop_waiting();
        }
        // After a disconnect packet clients do not come back; these are to, here or elsewhere.
        let again = why.cause == Cause::Shutdown || why.code == SERVICE_RESTART;
        match (it.generation(), again) {
            (Generation::V06, _) => it.session.close_silently(),
            (Generation::V09, true) => {
                it.session
                    .close(|out| packet::push_error(out, "", RECONNECT));
            }
            (Generation::V09, false) => it.session.close(|out| packet::push_disconnect(out, "")),
        }
        self.conns.queued = (self.conns.queued + it.session.waiting()).saturating_sub(before);
        self.end_send(key);
        self.sessions.mark_dirty(key);
        for (_, id) in endpoints {
            self.end(id, why.clone());
        }
    }

    /// The client has left an endpoint, or the session as a whole: it is told so.
    pub(in crate::server) fn client_disconnects(&mut self, key: SessionKey, endpoint: &str) {
        let Some(entry) = self.sessions.arena.get(key) else {
            return;
        };
        let Family::SocketIo(it) = &entry.family else {
            return;
        };
        let id = match endpoint {
            "" => entry.connection,
            name => it.endpoint(name),
        };
        let Some(id) = id else { return };
        let why = CloseReason {
            cause: Cause::Client,
            code: 1000,
            reason: String::new(),
            clean: true,
        };
        self.close_socketio(key, id, &why);
        self.end(id, why);
        let entry = self.sessions.arena.get(key);
        if endpoint.is_empty() && entry.is_some_and(|entry| entry.conn().is_none()) {
            // Whoever says so does not come to hear the answer.
            return self.forget_session(key, Cause::Client);
        }
        // Its close frame may be right behind.
        self.flush_session(key);
    }

    /// Another packet could not be used. The session is closed at too many.
    pub(in crate::server) fn count_broken(&mut self, key: SessionKey) {
        self.conns.stats.protocol_errors += 1;
        let Some(entry) = self.sessions.arena.get_mut(key) else {
            return;
        };
        let root = entry.connection;
        let Family::SocketIo(it) = &mut entry.family else {
            return;
        };
        it.broken = it.broken.saturating_add(1);
        if it.broken > it.rules.settings.broken_packets_max {
            if let Some(id) = root {
                self.close(id, Cause::Protocol, 1008, "too many broken packets");
            }
        }
    }

    /// What the client calls its session.
    pub(crate) fn session_id(&self, id: ConnectionId) -> Option<String> {
        let entry = self.connections.get(id.0)?;
        match entry.link {
            Link::SocketIo(key) | Link::Session(key) => {
                let session = self.sessions.arena.get(key).map(|session| &session.name.1);
                let gone = || entry.rare.as_ref()?.session.as_ref();
                session.or_else(gone).map(ToString::to_string)
            }
            Link::Channel(parent) => self.session_id(parent),
            Link::WebSocket(_) | Link::SockJs(_) => None,
        }
    }

    /// A WebSocket that has not shown in time that packets pass is given up.
    pub(in crate::server) fn give_up(&mut self, key: SessionKey, conn: ConnKey) {
        let entry = self.sessions.arena.get(key);
        if entry.is_none_or(|entry| entry.conn() != Some(conn)) {
            self.conns.close_websocket(conn, 1000, "");
        }
    }

    /// Whether it is attached by another receiver than this, or by none.
    pub(in crate::server) fn is_receiver(&self, key: SessionKey, conn: ConnKey) -> bool {
        let entry = self.sessions.arena.get(key);
        entry.is_some_and(|entry| entry.conn() == Some(conn))
    }

    /// Closes the session that a WebSocket with these bits carries: a limit of WebSockets was reached.
    pub(in crate::server) fn close_session_of(
        &mut self,
        bits: u64,
        cause: Cause,
        (code, reason): (u16, &str),
    ) {
        let entry = SessionKey::from_bits(bits).and_then(|key| self.sessions.arena.get(key));
        if let Some(id) = entry.and_then(|entry| entry.connection) {
            self.close(id, cause, code, reason);
        }
    }

    /// The client sends, so it lives, whatever it sends. False: the session is closed, and takes nothing.
    pub(in crate::server) fn hear_post(&mut self, key: SessionKey) -> bool {
        self.sessions.socketio(key).is_some_and(|it| {
            it.session.heard();
            !it.session.is_closing()
        })
    }

    /// The inbox of one of its connections is gone: what was put off because of it goes on.
    fn resume_session(&mut self, key: SessionKey) {
        if let Some(conn) = self.hold_conn(key, false) {
            if let Some(conn) = self.conns.arena.get_mut(conn) {
                conn.held = false;
            }
            self.next.push_back(Next::Answered(conn));
        }
        self.inbox_has_room(key);
    }

    /// Whether the inbox of one of a session's connections is full.
    pub(in crate::server) fn is_session_inbox_full(&self, key: SessionKey) -> bool {
        let entry = self.sessions.arena.get(key);
        entry.is_some_and(|entry| entry.connections().any(|id| self.is_inbox_full(id)))
    }

    /// Stops reading the WebSocket of a session, or says which one may be read again: the inbox of one of
    /// its connections is full, or is not any more.
    pub(in crate::server) fn hold_conn(&mut self, key: SessionKey, held: bool) -> Option<ConnKey> {
        let full = self.is_session_inbox_full(key);
        let conn = self.sessions.arena.get(key)?.conn()?;
        if !held {
            return Some(conn).filter(|_| !full);
        }
        let conn = self.conns.arena.get_mut(conn)?;
        conn.held = !conn.is_http();
        None
    }
}

/// The close code of who is older than `lifetime_max`.
const SERVICE_RESTART: u16 = 1012;
