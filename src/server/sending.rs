//! Sending and closing: from a message to the form that each connection's link wants.

use super::emitting::push_frame;
use super::engine::{Early, Engine, Life, Link, Opening};
use super::socketio::Generation;
use crate::conn::{ConnKey, Frame, Protocol, Queued};
use crate::connection::{Cause, CloseReason, ConnectionId, Message, Sent};
use crate::proto::sio09::packet::{self, AckId};
use crate::proto::sockjs;
use crate::proto::ws::Kind;
use crate::proto::ws::close::{cut_reason, valid_code};
use crate::proto::ws::frame;

impl<S: 'static> Engine<S> {
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
        if let Link::SocketIo(_) = link {
            return self.send_socketio(id, message, AckId::None);
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
                let framed = Message::new(Kind::Text, &bytes);
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
            Link::WebSocket(_) | Link::SocketIo(_) => Sent::Gone,
        }
    }

    /// Keeps a message until the handshake of its WebSocket is answered.
    fn send_early(&mut self, id: ConnectionId, message: Message<'_>) -> Sent {
        let bytes = message.bytes.len() + size_of::<Early>();
        self.keep(id, bytes, |opening| {
            opening.early.push((message.kind, message.bytes.into()));
        })
    }

    /// Keeps what is sent before the connection is accepted: `put` puts it there, it counts as so many bytes.
    pub(super) fn keep(
        &mut self,
        id: ConnectionId,
        bytes: usize,
        put: impl FnOnce(&mut Opening),
    ) -> Sent {
        let (high, max) = (
            self.settings.write_high_bytes,
            self.settings.write_max_bytes,
        );
        let entry = self.connections.get_mut(id.0);
        let opening = entry
            .and_then(|entry| entry.rare.as_mut())
            .and_then(|rare| rare.opening.as_mut());
        let Some(opening) = opening.filter(|opening| opening.close.is_none()) else {
            return Sent::Gone;
        };
        if opening.kept_bytes >= max {
            self.overflow(id);
            return Sent::Gone;
        }
        opening.kept_bytes += bytes;
        opening.full |= opening.kept_bytes > high;
        put(opening);
        match opening.full {
            true => Sent::Full,
            false => Sent::Queued,
        }
    }

    /// Keeps a buffer for frames, unless a large one has grown it too far.
    pub(super) fn keep_frame(&mut self, bytes: Vec<u8>) {
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
            Queued::Unsupported => {
                self.conns.stats.unsupported += 1;
                Sent::Unsupported
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
        let plain = Frame::of(&bytes, (message.kind, message.bytes));
        let (mut sockjs, mut socketio) = (Forms::default(), PacketForms::default());
        let mut frames = FrameForms::default();
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
                (Life::Open, Link::SocketIo(key))
                    if self.sessions.generation(key) == Generation::V06 =>
                {
                    match frames.message(message) {
                        Some(both) => self.queue_framed(key, both),
                        None => self.send(id, message),
                    }
                }
                (Life::Open, Link::SocketIo(key)) => {
                    let endpoint = entry.rare.as_ref().and_then(|rare| rare.channel.as_deref());
                    match socketio.message(endpoint.unwrap_or_default(), message) {
                        Some(both) => self.queue_framed(key, both),
                        None => self.send(id, message),
                    }
                }
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

    /// Sends one event to many; answers how many it was queued for.
    pub(crate) fn broadcast_event(
        &mut self,
        ids: &[ConnectionId],
        name: &str,
        args: &[u8],
        volatile: bool,
    ) -> usize {
        let mut socketio = PacketForms::default();
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
                (Life::Open, Link::SocketIo(key))
                    if self.sessions.generation(key) == Generation::V09 =>
                {
                    let endpoint = entry.rare.as_ref().and_then(|rare| rare.channel.as_deref());
                    let both = socketio.event(endpoint.unwrap_or_default(), name, args);
                    self.queue_framed(key, both)
                }
                _ => self.emit(id, name, args, AckId::None),
            };
            count += usize::from(matches!(sent, Sent::Queued | Sent::Full));
        }
        count
    }

    /// Whether a connection has not taken yet what was sent earlier.
    pub(super) fn is_behind(&self, id: ConnectionId) -> bool {
        let entry = self.connections.get(id.0);
        entry.is_some_and(|entry| self.is_backlogged(entry.link))
    }

    /// Whether what was sent earlier has not been taken yet.
    fn is_backlogged(&self, link: Link) -> bool {
        match link {
            Link::WebSocket(conn) | Link::SockJs(conn) => self.conns.is_blocked(conn),
            Link::Session(key) | Link::SocketIo(key) => self.is_session_backlogged(key),
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
        if !ws.machine.takes_frames() {
            return Sent::Unsupported;
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
        let why = CloseReason {
            cause,
            code,
            reason: reason.to_owned(),
            clean: true,
        };
        match link {
            Link::WebSocket(conn) => self.conns.close_websocket(conn, code, reason),
            Link::SockJs(conn) => self.close_sockjs(conn, code, shown),
            Link::Session(key) => self.close_session(key, code, shown),
            Link::SocketIo(key) => self.close_socketio(key, id, &why),
            Link::Channel(below) => self.tell_closed(id, below),
        }
        self.end(id, why);
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
}

/// The forms of SockJS that a message for many needs, each made at most once.
#[derive(Default)]
struct Forms {
    json: Vec<u8>,
    payload: Vec<u8>,
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
            let mut payload = std::mem::take(&mut self.payload);
            sockjs::frame::push_messages(&mut payload, self.json(message)?);
            frame::write_message(&mut self.frame, Kind::Text, &payload);
            self.payload = payload;
        }
        Some(Frame::plain(&self.frame, (Kind::Text, &self.payload)))
    }
}

/// A message of Socket.IO 0.6 for many, and its WebSocket frame.
#[derive(Default)]
struct FrameForms {
    message: Vec<u8>,
    frame: Vec<u8>,
}

impl FrameForms {
    /// `None`: it is binary.
    fn message(&mut self, message: Message<'_>) -> Option<(&[u8], &[u8])> {
        let text = message.text()?;
        if self.message.is_empty() {
            push_frame(&mut self.message, message.json, text);
            frame::write_message(&mut self.frame, Kind::Text, &self.message);
        }
        Some((&self.message, &self.frame))
    }
}

/// The packet that a broadcast makes for one endpoint after the other, and its WebSocket frame: made anew
/// only where the endpoint changes.
#[derive(Default)]
struct PacketForms {
    packet: Vec<u8>,
    frame: Vec<u8>,
    endpoint: String,
}

impl PacketForms {
    /// `None`: it is binary.
    fn message(&mut self, endpoint: &str, message: Message<'_>) -> Option<(&[u8], &[u8])> {
        let text = message.text()?;
        Some(self.of(endpoint, |out| match message.json {
            true => packet::push_json(out, AckId::None, endpoint, text),
            false => packet::push_message(out, AckId::None, endpoint, text),
        }))
    }

    fn event(&mut self, endpoint: &str, name: &str, args: &[u8]) -> (&[u8], &[u8]) {
        self.of(endpoint, |out| {
            packet::push_event(out, AckId::None, endpoint, name, args);
        })
    }

    fn of(&mut self, endpoint: &str, write: impl FnOnce(&mut Vec<u8>)) -> (&[u8], &[u8]) {
        if self.packet.is_empty() || self.endpoint != endpoint {
            endpoint.clone_into(&mut self.endpoint);
            self.packet.clear();
            write(&mut self.packet);
            self.frame.clear();
            frame::write_message(&mut self.frame, Kind::Text, &self.packet);
        }
        (&self.packet, &self.frame)
    }
}

/// What SockJS servers say when nothing else is said.
const NORMAL: &str = "Normal closure";

/// Room that control frames have above `write_max_bytes`.
pub(crate) const CONTROL_RESERVE: usize = 4 << 10;

/// A scratch buffer that a large message has grown beyond this is given back.
const SHARED_BYTES_MAX_KEPT: usize = 64 << 10;
