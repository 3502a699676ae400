//! Sessions of Socket.IO: their ids and endpoints, the packets they send, and the way of those to
//! whatever receiver there is.

use super::{Generation, Rules};
use crate::conn::http1::{OutBody, Outgoing};
use crate::conn::{ConnKey, Frame, Queued};
use crate::connection::{Cause, CloseReason, ConnectionId, Sent, Transport};
use crate::proto::sio06;
use crate::proto::sio09::payload::Payload;
use crate::proto::sio09::{handshake, packet, wrapping};
use crate::proto::ws::Kind;
use crate::server::engine::{Engine, Life, Link, Next};
use crate::server::sessions::{Family, Place, SessionKey, Sessions};
use crate::server::websocket::Shake;
use crate::session::MESSAGE_LOAD;
use crate::session::socketio::{self, Due, Session};
use std::rc::Rc;

/// A session, and what the server knows beside it.
pub(crate) struct SocketIo {
    pub(crate) session: Session<At>,
    pub(crate) rules: Rc<Rules>,
    /// Connections below the root, by name.
    pub(crate) endpoints: Vec<(Box<str>, ConnectionId)>,
    /// Packets that were dropped.
    pub(crate) broken: u32,
    /// A WebSocket that has to show that packets pass before it is attached.
    pub(crate) trial: Option<At>,
    /// What is answered when the application has decided.
    pub(crate) asked: Option<Box<Asked>>,
    /// Heartbeats of 0.6 are numbered.
    beats: u32,
}

/// A request that waits for the application's decision.
pub(crate) enum Asked {
    /// A handshake of 0.7 to 0.9, and the function that its answer calls if it is a script.
    Handshake(Place, Option<u32>),
    /// The first receiver of a session of 0.6.
    Receiver(At),
    /// The same, a WebSocket: its answer, and at which mount.
    Upgrade(At, Shake, u32),
}

impl Asked {
    /// The transport that it brings.
    pub(super) fn transport(&self) -> Transport {
        match self {
            Self::Handshake(..) => Transport::None,
            Self::Receiver(at) | Self::Upgrade(at, ..) => at.way.transport(),
        }
    }
}

/// A receiver: where it is, and how packets are put there.
#[derive(Debug)]
pub(crate) struct At {
    pub(crate) place: Place,
    pub(crate) way: Way,
}

/// How packets are put into what a receiver takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    WebSocket,
    FlashSocket,
    XhrPolling,
    /// In a call of the function with that index.
    JsonpPolling(u32),
    HtmlFile,
    XhrMultipart,
}

impl Way {
    pub(crate) fn transport(self) -> Transport {
        match self {
            Self::WebSocket => Transport::WebSocket,
            Self::FlashSocket => Transport::FlashSocket,
            Self::XhrPolling => Transport::XhrPolling,
            Self::JsonpPolling(_) => Transport::JsonpPolling,
            Self::HtmlFile => Transport::HtmlFile,
            Self::XhrMultipart => Transport::XhrMultipart,
        }
    }

    fn kind(self) -> socketio::Kind {
        match self {
            Self::WebSocket | Self::FlashSocket => socketio::Kind::WebSocket,
            Self::XhrPolling | Self::JsonpPolling(_) => socketio::Kind::Poll,
            Self::HtmlFile | Self::XhrMultipart => socketio::Kind::Stream,
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::JsonpPolling(_) => "text/javascript; charset=UTF-8",
            Self::HtmlFile => "text/html; charset=UTF-8",
            Self::XhrMultipart => sio06::wrapping::MULTIPART_CONTENT_TYPE,
            _ => "text/plain; charset=UTF-8",
        }
    }

    /// Appends a payload as it goes over the wire.
    fn wrap(self, generation: Generation, payload: &str, out: &mut Vec<u8>) {
        match (self, generation) {
            (Self::JsonpPolling(index), Generation::V09) => {
                handshake::push_jsonp(out, index, payload);
            }
            (Self::JsonpPolling(index), Generation::V06) => {
                sio06::wrapping::push_jsonp(out, index, payload);
            }
            (Self::HtmlFile, Generation::V09) => wrapping::push_htmlfile(out, payload),
            (Self::HtmlFile, Generation::V06) => sio06::wrapping::push_htmlfile(out, payload),
            (Self::XhrMultipart, _) => sio06::wrapping::push_part(out, payload),
            _ => out.extend_from_slice(payload.as_bytes()),
        }
    }

    /// What a streamed answer begins with.
    fn prelude(self, generation: Generation) -> &'static [u8] {
        match (self, generation) {
            (Self::HtmlFile, Generation::V09) => wrapping::HTMLFILE_PRELUDE,
            (Self::HtmlFile, Generation::V06) => sio06::wrapping::HTMLFILE_PRELUDE,
            (Self::XhrMultipart, _) => sio06::wrapping::MULTIPART_PRELUDE,
            _ => b"",
        }
    }
}

impl SocketIo {
    pub(crate) fn new(session: Session<At>, rules: Rc<Rules>) -> Self {
        Self {
            session,
            rules,
            endpoints: Vec::new(),
            broken: 0,
            trial: None,
            asked: None,
            beats: 0,
        }
    }

    pub(crate) fn generation(&self) -> Generation {
        self.rules.generation
    }

    /// The connection below the root that has this name.
    pub(crate) fn endpoint(&self, name: &str) -> Option<ConnectionId> {
        let mut endpoints = self.endpoints.iter();
        endpoints.find(|(of, _)| **of == *name).map(|(_, id)| *id)
    }

    /// The WebSocket that takes packets as they come: nothing waits before them.
    #[inline]
    fn direct(&self) -> Option<ConnKey> {
        self.websocket().filter(|_| self.session.is_empty())
    }

    /// The WebSocket that is its receiver.
    #[inline]
    pub(crate) fn websocket(&self) -> Option<ConnKey> {
        let receiver = self.session.receiver()?;
        let is_websocket = receiver.kind == socketio::Kind::WebSocket;
        is_websocket.then_some(receiver.at.place.conn)
    }
}

impl Sessions {
    /// What a session of Socket.IO speaks.
    pub(crate) fn generation(&self, key: SessionKey) -> Generation {
        match self.arena.get(key).map(|entry| &entry.family) {
            Some(Family::SocketIo(it)) => it.generation(),
            Some(Family::SockJs(_)) | None => Generation::V09,
        }
    }

    #[inline]
    pub(crate) fn socketio(&mut self, key: SessionKey) -> Option<&mut SocketIo> {
        match &mut self.arena.get_mut(key)?.family {
            Family::SocketIo(it) => Some(it),
            Family::SockJs(_) => None,
        }
    }
}

impl<S: 'static> Engine<S> {
    // ---- packets that go --------------------------------------------------------------------

    /// Sends what `write` appends, given the endpoint of the connection.
    pub(in crate::server) fn send_packet(
        &mut self,
        id: ConnectionId,
        write: impl FnOnce(&mut Vec<u8>, &str),
    ) -> Sent {
        let Some(entry) = self.connections.get_mut(id.0) else {
            return Sent::Gone;
        };
        let Link::SocketIo(key) = entry.link else {
            return Sent::Unsupported;
        };
        let mut bytes = std::mem::take(&mut self.frame);
        bytes.clear();
        let endpoint = entry.rare.as_ref().and_then(|rare| rare.channel.as_deref());
        write(&mut bytes, endpoint.unwrap_or_default());
        let sent = match entry.life {
            Life::Closing => Sent::Gone,
            Life::Open => self.queue_packet(key, &bytes),
            Life::Opening => self.keep_packet(id, &bytes),
        };
        self.keep_frame(bytes);
        sent
    }

    /// Sends a packet that was made for many, with its WebSocket frame.
    pub(in crate::server) fn queue_framed(
        &mut self,
        key: SessionKey,
        (packet, frame): (&[u8], &[u8]),
    ) -> Sent {
        match self.sessions.socketio(key).and_then(|it| it.direct()) {
            Some(conn) => {
                let frame = Frame::plain(frame, (Kind::Text, packet));
                let queued = self.conns.send_frame(conn, &frame);
                self.sent_to_session(key, queued)
            }
            None => self.queue_packet(key, packet),
        }
    }

    fn sent_to_session(&mut self, key: SessionKey, queued: Queued) -> Sent {
        match queued {
            Queued::Yes => Sent::Queued,
            Queued::OverHigh => {
                // It is owed by the session, whatever becomes of this WebSocket.
                if let Some(entry) = self.sessions.arena.get_mut(key) {
                    entry.full = true;
                }
                Sent::Full
            }
            Queued::Gone | Queued::Unsupported => Sent::Gone,
            Queued::OverMax => {
                let entry = self.sessions.arena.get(key);
                self.overflow_session(entry.and_then(|entry| entry.connection))
            }
        }
    }

    fn queue_packet(&mut self, key: SessionKey, bytes: &[u8]) -> Sent {
        let Some(entry) = self.sessions.arena.get_mut(key) else {
            return Sent::Gone;
        };
        let Family::SocketIo(it) = &mut entry.family else {
            return Sent::Gone;
        };
        let root = entry.connection;
        if let Some(conn) = it.direct() {
            let queued = self.conns.send(conn, Kind::Text, bytes);
            return self.sent_to_session(key, queued);
        }
        if it.session.load() >= self.conns.settings.write_max_bytes {
            return self.overflow_session(root);
        }
        let before = it.session.waiting();
        if !it.session.push(|out| out.extend_from_slice(bytes)) {
            return Sent::Gone;
        }
        let waiting = it.session.waiting();
        let over = it.session.load() > self.conns.settings.write_high_bytes;
        entry.full |= over;
        self.conns.queued += waiting - before;
        self.conns.stats.messages_out += 1;
        self.sessions.mark_dirty(key);
        if over { Sent::Full } else { Sent::Queued }
    }

    fn overflow_session(&mut self, root: Option<ConnectionId>) -> Sent {
        if let Some(id) = root {
            self.overflow(id);
        }
        Sent::Gone
    }

    /// Keeps a packet until the connection is accepted.
    fn keep_packet(&mut self, id: ConnectionId, packet: &[u8]) -> Sent {
        let bytes = (packet.len() + size_of::<Box<[u8]>>()).max(MESSAGE_LOAD);
        self.keep(id, bytes, |opening| opening.packets.push(packet.into()))
    }

    /// Queues a packet of the protocol's own, however much waits.
    pub(in crate::server) fn push_packet(
        &mut self,
        key: SessionKey,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let Some(it) = self.sessions.socketio(key) else {
            return;
        };
        let before = it.session.waiting();
        it.session.push(write);
        self.conns.queued += it.session.waiting() - before;
        self.sessions.mark_dirty(key);
    }

    /// Hands what waits to the receiver, as far as there is one that takes it.
    pub(in crate::server) fn flush_socketio(&mut self, key: SessionKey) {
        let (now, high) = (self.conns.now, self.conns.settings.write_high_bytes);
        let Some(it) = self.sessions.socketio(key) else {
            return;
        };
        let closing = it.session.is_closing();
        if it.session.is_empty() && !closing {
            return;
        }
        let Some(receiver) = it.session.receiver() else {
            if it.session.is_over() {
                self.forget_session(key, Cause::Server);
            }
            return;
        };
        let (conn, way) = (receiver.at.place.conn, receiver.at.way);
        // What a slow receiver does not take stays here, where the limits of `send` see it.
        if !closing && self.conns.waiting(conn) >= high {
            return;
        }
        let mut out = std::mem::take(&mut self.sessions.out);
        out.clear();
        let Some(it) = self.sessions.socketio(key) else {
            return;
        };
        let limits = &it.rules.limits;
        let waiting = it.session.waiting();
        let last = closing || way.kind() == socketio::Kind::Poll;
        if way.kind() == socketio::Kind::WebSocket {
            for packet in it.session.packets() {
                self.conns.send_waiting(conn, packet);
            }
        } else {
            wrap(it.session.packets(), it.generation(), way, &mut out);
        }
        it.session.taken();
        let receiver = last.then(|| it.session.detach(now, limits)).flatten();
        let over = it.session.is_over();
        self.conns.queued = self.conns.queued.saturating_sub(waiting);
        if let Some(receiver) = &receiver {
            self.finish(receiver, &out);
        } else if let Some(receiver) = self
            .sessions
            .socketio(key)
            .and_then(|it| it.session.receiver())
        {
            let at = &receiver.at.place;
            if way.kind() == socketio::Kind::Stream {
                self.conns.stream_waiting(at.conn, at.serial, &out);
            }
        }
        self.sessions.out = out;
        if over {
            self.forget_session(key, Cause::Server);
        }
    }

    /// Ends what a receiver is, with these last bytes.
    pub(super) fn finish(&mut self, receiver: &socketio::Receiver<At>, bytes: &[u8]) {
        let At { place, way } = &receiver.at;
        let ended = match way {
            Way::WebSocket | Way::FlashSocket => {
                let code = if self.conns.draining { 1001 } else { 1000 };
                self.conns.close_websocket(place.conn, code, "");
                false
            }
            Way::HtmlFile | Way::XhrMultipart => {
                if !bytes.is_empty() {
                    self.conns.stream_waiting(place.conn, place.serial, bytes);
                }
                self.conns.end_stream(place.conn, place.serial)
            }
            Way::XhrPolling | Way::JsonpPolling(_) => {
                let response = Outgoing {
                    status: 200,
                    content_type: Some(way.content_type()),
                    headers: &place.headers,
                    body: OutBody::Bytes(bytes),
                    close: false,
                };
                self.conns.answer(place.conn, place.serial, response)
            }
        };
        if ended {
            self.next.push_back(Next::Answered(place.conn));
        }
    }

    /// Answers a request for packets with one, without a session.
    pub(in crate::server) fn answer_packet(&mut self, place: Place, way: Way, text: &[u8]) {
        let mut out = Vec::new();
        wrap(std::iter::once(text), Generation::V09, way, &mut out);
        let at = At { place, way };
        self.begin_stream(&at, Generation::V09);
        let kind = way.kind();
        self.finish(&socketio::Receiver { at, kind }, &out);
    }

    // ---- receivers --------------------------------------------------------------------------

    /// A streamed answer begins at once: head and prelude.
    fn begin_stream(&mut self, at: &At, generation: Generation) {
        if at.way.kind() != socketio::Kind::Stream {
            return;
        }
        let place = &at.place;
        let response = Outgoing {
            status: 200,
            content_type: Some(at.way.content_type()),
            headers: &place.headers,
            body: OutBody::Stream,
            close: false,
        };
        self.conns.answer(place.conn, place.serial, response);
        let prelude = at.way.prelude(generation);
        self.conns.stream(place.conn, place.serial, prelude);
    }

    /// Attaches a receiver; the one before it makes room.
    pub(in crate::server) fn attach_socketio(&mut self, key: SessionKey, at: At) {
        // It may have gone while the application was deciding.
        if self.conns.arena.get(at.place.conn).is_none() {
            return;
        }
        let now = self.conns.now;
        let Some(it) = self.sessions.socketio(key) else {
            return;
        };
        let generation = it.generation();
        if let Some(old) = it.session.detach(now, &it.rules.limits) {
            let mut out = Vec::new();
            wrap(generation.nothing(), generation, old.at.way, &mut out);
            self.finish(&old, &out);
        }
        self.begin_stream(&at, generation);
        self.conns.set_session(at.place.conn, key.to_bits());
        let (kind, transport) = (at.way.kind(), at.way.transport());
        if let Some(it) = self.sessions.socketio(key) {
            it.session.attach(at, kind, now, &it.rules.limits);
        }
        self.name_transport(key, transport);
        if self.is_session_inbox_full(key) {
            self.hold_conn(key, true);
        }
        self.flush_session(key);
    }

    /// Its connections go on over another transport.
    fn name_transport(&mut self, key: SessionKey, transport: Transport) {
        let Some(entry) = self.sessions.arena.get(key) else {
            return;
        };
        for id in entry.connections() {
            let Some(connection) = self.connections.get_mut(id.0) else {
                continue;
            };
            let before = std::mem::replace(&mut connection.transport, transport);
            if connection.life != Life::Opening && entry.connection == Some(id) {
                self.conns.stats.transports.closed(before);
                self.conns.stats.transports.opened(transport);
            }
        }
    }

    /// The conn of its receiver is gone. Clients of 0.6 do not come back to a session that was on a WebSocket.
    pub(in crate::server) fn socketio_detached(&mut self, key: SessionKey, why: CloseReason) {
        let now = self.conns.now;
        let Some(it) = self.sessions.socketio(key) else {
            return;
        };
        let ends = it.generation() == Generation::V06 && it.websocket().is_some();
        it.session.detach(now, &it.rules.limits);
        if it.session.is_over() || ends {
            return self.session_ends(key, why);
        }
        self.after_flush(key);
    }

    fn push_beat(&mut self, key: SessionKey) {
        let Some(it) = self.sessions.socketio(key) else {
            return;
        };
        it.beats = it.beats.wrapping_add(1);
        let (generation, beats) = (it.generation(), it.beats);
        self.push_packet(key, |out| match generation {
            Generation::V06 => sio06::frame::push_heartbeat(out, beats),
            Generation::V09 => out.extend_from_slice(packet::HEARTBEAT),
        });
    }

    /// The timer of a session has fired.
    pub(in crate::server) fn socketio_timeout(&mut self, key: SessionKey) {
        let now = self.conns.now;
        let Some(entry) = self.sessions.arena.get_mut(key) else {
            return;
        };
        let root = entry.connection;
        let paused =
            entry.send.is_some() || entry.conn().is_some_and(|conn| self.conns.is_paused(conn));
        let Some(it) = self.sessions.socketio(key) else {
            return;
        };
        let generation = it.generation();
        match it.session.handle_timeout(now, &it.rules.limits) {
            None => self.after_flush(key),
            Some(Due::PollEnded) if generation == Generation::V06 => {
                // An empty answer is all that there is to say.
                if let Some(old) = it.session.detach(now, &it.rules.limits) {
                    let mut out = Vec::new();
                    wrap(std::iter::empty(), Generation::V06, old.at.way, &mut out);
                    self.finish(&old, &out);
                }
                self.after_flush(key);
            }
            Some(Due::PollEnded) => {
                self.push_packet(key, |out| out.extend_from_slice(packet::NOOP));
                self.flush_session(key);
            }
            Some(Due::Silent) if !paused => {
                self.conns.stats.ping_timeouts += 1;
                // Clients of 0.6 are not asked once more.
                if generation == Generation::V09 {
                    self.push_beat(key);
                }
                if let Some(id) = root {
                    self.close(id, Cause::Timeout, 1000, "heartbeat timeout");
                }
                self.flush_session(key);
            }
            // Whoever is not read cannot show that it lives.
            Some(Due::Silent | Due::Heartbeat) => {
                self.push_beat(key);
                self.flush_session(key);
            }
            Some(Due::Expired) => self.forget_session(key, Cause::Timeout),
        }
    }
}

/// Appends packets as one payload, wrapped.
fn wrap<'p>(
    packets: impl IntoIterator<Item = &'p [u8]>,
    generation: Generation,
    way: Way,
    out: &mut Vec<u8>,
) {
    // Mostly there is one, which has no head.
    let packets = packets.into_iter();
    let mut packets = packets.map(|packet| std::str::from_utf8(packet).unwrap_or_default());
    let first = match packets.next() {
        Some(first) => first,
        // A script has to be one; a stream just ends.
        None if way.kind() == socketio::Kind::Poll => "",
        None => return,
    };
    let Some(second) = packets.next() else {
        return way.wrap(generation, first, out);
    };
    if generation == Generation::V06 {
        let payload: String = [first, second].into_iter().chain(packets).collect();
        return way.wrap(generation, &payload, out);
    }
    let mut payload = Payload::new();
    for packet in [first, second].into_iter().chain(packets) {
        payload.push(packet);
    }
    let mut body = Vec::with_capacity(payload.len());
    payload.take_into(&mut body);
    way.wrap(
        generation,
        std::str::from_utf8(&body).unwrap_or_default(),
        out,
    );
}

/// Client not handshaken, reconnect.
pub(in crate::server) const RECONNECT: &str = "1+0";
/// Unauthorized.
pub(in crate::server) const UNAUTHORIZED: &str = "2";
