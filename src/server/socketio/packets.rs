//! Packets that come: from their text to the callbacks of the connection they are for.

use super::Generation;
use super::session::UNAUTHORIZED;
use crate::Reject;
use crate::conn::ConnKey;
use crate::connection::{Cause, ConnectionId, Event, Message};
use crate::events::{Answer, EventArgs};
use crate::proto::json;
use crate::proto::sio06::{self, frame::Frame};
use crate::proto::sio09::packet::{self, AckId, Packet};
use crate::proto::sio09::payload;
use crate::reactor::IoLoop;
use crate::server::Msg;
use crate::server::core::Core;
use crate::server::emitting::Acking;
use crate::server::engine::{Link, Opening, Rare};
use crate::server::inbox::Held;
use crate::server::loud::loud;
use crate::server::messages::Out;
use crate::server::object::{At as CallAt, Handled};
use crate::server::request::Request;
use crate::server::sends::Share;
use crate::server::sessions::{Place, SessionKey};
use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

/// What a packet is to the application.
#[derive(Clone, Copy)]
enum Incoming<'a> {
    Message(Message<'a>),
    Event { name: &'a str, args: &'a str },
}

impl<S: 'static> Core<S> {
    /// The packets of a send, or what is left of them.
    pub(in crate::server) fn socketio_send(
        &mut self,
        io: &mut IoLoop<Msg>,
        key: SessionKey,
        at: Place,
        body: &str,
    ) {
        let mut share = self.share();
        let mut out = None;
        let mut count = 0;
        let rest;
        match self.engine().sessions.generation(key) {
            Generation::V06 => (count, rest) = self.frames(io, key, body, &mut share, &mut out),
            Generation::V09 => {
                let mut packets = payload::packets(body);
                for text in packets.by_ref() {
                    count += u64::from(self.packet(io, key, text, &mut out));
                    self.follow_packet(io, &mut out);
                    share.take(text.len());
                    if share.is_over() || self.is_inbox_full(key, &out) {
                        break;
                    }
                }
                rest = packets.rest();
            }
        }
        self.put_back(&mut out);
        let engine = self.engine();
        engine.conns.stats.messages_in += count;
        let it = engine.sessions.socketio(key);
        let is_over = !it.is_some_and(|it| it.session.is_open());
        self.handed_on(io, key, at, if is_over { "" } else { rest });
    }

    /// Does what follows from a packet, before the next one.
    #[inline]
    fn follow_packet(&mut self, io: &mut IoLoop<Msg>, out: &mut Out<S>) {
        if self.engine().has_follow_up() {
            self.put_back(out);
            self.follow_up(io);
        }
    }

    /// The messages of a payload of 0.6; answers how many there were, and what is left.
    fn frames<'t>(
        &mut self,
        io: &mut IoLoop<Msg>,
        key: SessionKey,
        payload: &'t str,
        share: &mut Share,
        out: &mut Out<S>,
    ) -> (u64, &'t str) {
        let mut count = 0;
        let mut frames = sio06::frame::frames(payload);
        while !share.is_over() {
            let before = frames.rest().len();
            let Some(frame) = frames.next() else { break };
            share.take(before - frames.rest().len());
            let engine = self.shared.engine.get_mut();
            let Some(it) = engine.sessions.socketio(key) else {
                break;
            };
            it.session.heard();
            if !it.session.is_open() {
                break;
            }
            let text;
            let message = match frame {
                Ok(Frame::Text(text)) => Message::from(text),
                Ok(Frame::Json(value)) => {
                    text = json::without_lone_surrogates(value);
                    Message::of_json(text.as_bytes())
                }
                Ok(Frame::Heartbeat(_)) => continue,
                Err(broken) => {
                    log::debug!("a message was dropped: {broken:?}");
                    engine.count_broken(key);
                    self.follow_packet(io, out);
                    continue;
                }
            };
            let held = || Held::message(message);
            let incoming = Incoming::Message(message);
            count += u64::from(self.hand_over(key, ("", held), incoming, AckId::None, out));
            self.follow_packet(io, out);
            if self.is_inbox_full(key, out) {
                break;
            }
        }
        (count, frames.rest())
    }

    /// Whether what follows has to wait: an inbox is full, so nobody was called at last.
    #[inline]
    fn is_inbox_full(&mut self, key: SessionKey, out: &Out<S>) -> bool {
        out.is_none() && self.engine().is_session_inbox_full(key)
    }

    /// The packet, or the messages, of a WebSocket; answers how many messages and events there were, and what
    /// is left.
    pub(in crate::server) fn websocket_packet<'t>(
        &mut self,
        io: &mut IoLoop<Msg>,
        (conn, bits): (ConnKey, u64),
        text: &'t str,
        share: &mut Share,
        out: &mut Out<S>,
    ) -> (u64, &'t str) {
        let Some(key) = SessionKey::from_bits(bits) else {
            return (0, "");
        };
        if !self.engine().is_receiver(key, conn) {
            let it = self.engine().sessions.socketio(key);
            let Some(passed) = it.and_then(|it| it.trial.take_if(|at| at.place.conn == conn))
            else {
                return (0, "");
            };
            self.engine().attach_socketio(key, passed);
        }
        match self.engine().sessions.generation(key) {
            Generation::V06 => {
                let engine = self.engine();
                let it = engine.sessions.socketio(key);
                let max = it.map_or(0, |it| it.rules.messages_max);
                if sio06::frame::are_more_than(max, text) {
                    engine.conns.stats.protocol_errors += 1;
                    let why = (1008, "too many messages");
                    engine.close_session_of(bits, Cause::Protocol, why);
                    engine.conns.close_websocket(conn, why.0, why.1);
                    return (0, "");
                }
                self.frames(io, key, text, share, out)
            }
            // Old browsers send these; they say nothing.
            Generation::V09 if text.is_empty() => (0, ""),
            Generation::V09 => {
                let counts = self.packet(io, key, text, out);
                self.follow_packet(io, out);
                share.take(text.len());
                (u64::from(counts), "")
            }
        }
    }

    /// Handles a packet; answers whether it was a message or an event.
    #[inline]
    fn packet(
        &mut self,
        io: &mut IoLoop<Msg>,
        key: SessionKey,
        text: &str,
        out: &mut Out<S>,
    ) -> bool {
        let engine = self.shared.engine.get_mut();
        let Some(it) = engine.sessions.socketio(key) else {
            return false;
        };
        it.session.heard();
        if !it.session.is_open() {
            return false;
        }
        let held = || Held::Packet(text.into());
        match packet::parse(text) {
            Ok(Packet::Event {
                ack,
                endpoint,
                name,
                args,
            }) => {
                if matches!(&*name, "connect" | "disconnect" | "error") {
                    engine.count_broken(key);
                    return false;
                }
                let incoming = Incoming::Event { name: &name, args };
                self.hand_over(key, (endpoint, held), incoming, ack, out)
            }
            Ok(Packet::Message {
                ack,
                endpoint,
                data,
            }) => {
                let incoming = Incoming::Message(Message::from(data));
                self.hand_over(key, (endpoint, held), incoming, ack, out)
            }
            Ok(Packet::Json {
                ack,
                endpoint,
                data,
            }) => {
                let data = json::without_lone_surrogates(data);
                let incoming = Incoming::Message(Message::of_json(data.as_bytes()));
                self.hand_over(key, (endpoint, held), incoming, ack, out)
            }
            Ok(Packet::Heartbeat | Packet::Noop | Packet::Error { .. }) => false,
            Ok(other) => {
                self.put_back(out);
                match other {
                    Packet::Disconnect { endpoint } => {
                        self.engine().client_disconnects(key, endpoint);
                    }
                    Packet::Connect { endpoint, query } => {
                        self.connect_endpoint(io, key, endpoint, query);
                    }
                    Packet::Ack { endpoint, id, data } => {
                        self.acknowledged(io, key, endpoint, id, data);
                    }
                    _ => {}
                }
                false
            }
            Err(broken) => {
                log::debug!("a packet was dropped: {broken:?}");
                engine.count_broken(key);
                false
            }
        }
    }

    /// Finds who it is for, and hands it over, or keeps what `held` makes while an `Ordered` is held.
    fn hand_over(
        &mut self,
        key: SessionKey,
        (endpoint, held): (&str, impl FnOnce() -> Held),
        incoming: Incoming<'_>,
        ack: AckId,
        out: &mut Out<S>,
    ) -> bool {
        let engine = self.shared.engine.get_mut();
        let Some(entry) = engine.sessions.arena.get_mut(key) else {
            return false;
        };
        let id = match endpoint {
            "" => entry.connection,
            name => engine
                .sessions
                .socketio(key)
                .and_then(|it| it.endpoint(name)),
        };
        let Some(id) = id else { return false };
        if out.as_ref().is_none_or(|(of, _)| *of != id) {
            self.put_back(out);
            let engine = self.shared.engine.get_mut();
            let Some(entry) = engine.connections.get_mut(id.0) else {
                return false;
            };
            if entry.holds > 0 {
                engine.keep_waiting(id, held());
                if engine.is_inbox_full(id) {
                    engine.hold_conn(key, true);
                }
                return true;
            }
            *out = entry.object.take().map(|object| (id, object));
        }
        self.run(id, incoming, ack, out);
        true
    }

    /// Runs the callback, and acknowledges.
    fn run(&mut self, id: ConnectionId, incoming: Incoming<'_>, ack: AckId, out: &mut Out<S>) {
        let wanted = match ack {
            AckId::None => None,
            AckId::Auto(n) | AckId::Data(n) => Some(n),
        };
        let Some((_, object)) = out else { return };
        if wanted.is_some() {
            self.shared.engine.get_mut().acking = Some(Acking {
                connection: id,
                id: wanted,
                taken: false,
            });
        }
        let router = self
            .shared
            .engine
            .get_mut()
            .router_of(id)
            .unwrap_or(u32::MAX);
        let events = self.classes.get(router as usize).map(|(_, events)| events);
        let (shared, state) = (&self.shared, &mut self.state);
        let what = match incoming {
            Incoming::Message(_) => "on_message",
            Incoming::Event { .. } => "an event's handler",
        };
        self.last_called = Some((what, id));
        let result = catch_unwind(AssertUnwindSafe(|| {
            let at = CallAt { shared, state, id };
            match (incoming, events) {
                (Incoming::Event { name, args }, Some(events)) => {
                    let args = EventArgs::new(args);
                    object.event(at, &**events, Event { name, args: &args })
                }
                (Incoming::Message(message), _) => {
                    object.message(at, message);
                    Handled::Answered(Answer::Now(None))
                }
                _ => Handled::Unknown,
            }
        }));
        let engine = self.shared.engine.get_mut();
        let taken = wanted.is_some() && engine.acking.take().is_none_or(|acking| acking.taken);
        let answer = match result {
            Ok(Handled::Answered(Answer::Now(data))) => data,
            Ok(Handled::Answered(Answer::Later)) => return,
            Ok(Handled::Unknown) => None,
            Ok(Handled::Wrong(wrong)) => {
                loud!(
                    info,
                    "{id}: an event does not have the arguments it should: {wrong}"
                );
                engine.conns.stats.protocol_errors += 1;
                return engine.close(id, Cause::Error, 1011, "wrong arguments");
            }
            Err(_) => return self.panicked(id, what),
        };
        if let Some(n) = wanted.filter(|_| !taken) {
            engine.send_packet(id, |out, endpoint| {
                packet::push_ack(out, endpoint, n, answer.as_deref());
            });
        }
    }

    /// A packet that has waited in the inbox of a connection.
    pub(in crate::server) fn waited(&mut self, io: &IoLoop<Msg>, id: ConnectionId, text: &str) {
        let (text, json, ack) = match packet::parse(text) {
            Ok(Packet::Event {
                ack,
                ref name,
                args,
                ..
            }) => {
                let mut out = self.take_out(id);
                self.run(id, Incoming::Event { name, args }, ack, &mut out);
                self.put_back(&mut out);
                return self.watch(io, "an event's handler", Some(id));
            }
            Ok(Packet::Message { ack, data, .. }) => (Cow::Borrowed(data), false, ack),
            Ok(Packet::Json { ack, data, .. }) => (json::without_lone_surrogates(data), true, ack),
            _ => return,
        };
        let message = Message {
            json,
            ..Message::from(&*text)
        };
        let mut out = self.take_out(id);
        self.run(id, Incoming::Message(message), ack, &mut out);
        self.put_back(&mut out);
        self.watch(io, "on_message", Some(id));
    }

    fn take_out(&mut self, id: ConnectionId) -> Out<S> {
        let entry = self.engine().connections.get_mut(id.0)?;
        Some((id, entry.object.take()?))
    }

    // ---- endpoints --------------------------------------------------------------------------

    /// The client connects to an endpoint.
    fn connect_endpoint(&mut self, io: &mut IoLoop<Msg>, key: SessionKey, name: &str, query: &str) {
        let Some(entry) = self.engine().sessions.arena.get(key) else {
            return;
        };
        let (Some(root), peer) = (entry.connection, entry.peer) else {
            return;
        };
        // It will be answered in one way or another, and so a client that takes nothing is to end.
        if entry.load() >= self.settings.write_max_bytes {
            return self.engine().overflow(root);
        }
        let Some(it) = self.engine().sessions.socketio(key) else {
            return;
        };
        let rules = Rc::clone(&it.rules);
        let refuse = |core: &mut Self| {
            let push = |out: &mut Vec<u8>| packet::push_error(out, name, UNAUTHORIZED);
            core.engine().push_packet(key, push);
        };
        if name.is_empty() {
            return;
        }
        if name.len() > rules.settings.endpoint_bytes_max {
            return self.engine().count_broken(key);
        }
        if let Some(id) = it.endpoint(name) {
            // A second time is as good as once.
            if self.engine().is_open(id) {
                let push = |out: &mut Vec<u8>| packet::push_connect(out, name);
                self.engine().push_packet(key, push);
            }
            return;
        }
        if it.endpoints.len() >= rules.settings.endpoints_max {
            return refuse(self);
        }
        let parent = self.engine().connections.get(root.0);
        let Some(parent) = parent else { return };
        let transport = parent.transport;
        let kept = parent.rare.as_ref().and_then(|rare| rare.kept.clone());
        let table = Rc::clone(&self.table);
        let router = &table.socketio()[rules.mount].mount.router;
        let trusted = Rc::clone(&self.trusted);
        let lend = |f: &mut dyn FnMut(&Request<'_>)| {
            let trusted = |ip| trusted.contains(ip);
            if let Some(kept) = &kept {
                kept.lend(peer, trusted, |req| {
                    f(&Request {
                        endpoint_query: query,
                        transport: Some(transport),
                        params: req.params.clone(),
                        ..*req
                    });
                });
            }
        };
        let listed = router.endpoints.iter().find(|(of, _)| of == name);
        let mut found = listed.map(|(_, inner)| Rc::clone(inner));
        if let (None, Some(find)) = (&found, &router.find_endpoint) {
            lend(&mut |req| {
                let asked = self.guard("endpoint_fn", || find(name, req));
                found = asked.flatten().map(|router| router.0);
            });
        }
        let Some(inner) = found else {
            if rules.settings.refuse_unknown_endpoints {
                refuse(self);
            }
            return;
        };
        let known = self.shared.remote.router_index(inner.id) != u32::MAX;
        if !known && self.classes.len() >= ROUTERS_MAX {
            loud!(
                error,
                "{}: endpoint_fn makes a router for each endpoint; make them once",
                inner.name
            );
            return refuse(self);
        }
        let index = self.number(&inner);
        let mut object = None;
        lend(&mut |req| object = self.guard(inner.name, || (inner.make)(req)));
        let Some(object) = object else {
            return refuse(self);
        };
        let mut rare = Rare::opening(Opening::new(None), kept.clone());
        rare.channel = Some(name.into());
        let by = (Link::SocketIo(key), transport);
        let id = self.engine().begin(index, by, object, rare);
        if let Some(it) = self.engine().sessions.socketio(key) {
            it.endpoints.push((name.into(), id));
        }
        let mut opened: Option<Result<(), Reject>> = None;
        lend(&mut |req| {
            opened = self.call(io, id, "on_open", |object, at| object.open(at, req));
        });
        self.decide(io, id, opened);
    }

    // ---- acknowledgements -------------------------------------------------------------------

    /// The client has answered a packet of ours.
    fn acknowledged(
        &mut self,
        io: &mut IoLoop<Msg>,
        key: SessionKey,
        endpoint: &str,
        n: u32,
        data: &str,
    ) {
        let engine = self.engine();
        let Some(entry) = engine.sessions.arena.get(key) else {
            return;
        };
        let id = match endpoint {
            "" => entry.connection,
            name => engine
                .sessions
                .socketio(key)
                .and_then(|it| it.endpoint(name)),
        };
        // Nobody reads what nobody has asked for: it may be long.
        let Some(id) = id.filter(|id| self.engine().awaits_ack(*id, n)) else {
            return;
        };
        let values = match data {
            "" => Ok(Vec::new()),
            list => serde_json::from_str(&json::without_lone_surrogates(list)),
        };
        let values = match values {
            Ok(values) => values,
            Err(error) => {
                // What the scanner takes and `serde_json` does not: a number out of range, the 128th level.
                log::debug!("{id}: an acknowledgement cannot be read: {error}");
                return self.engine().count_broken(key);
            }
        };
        let Some(then) = self.engine().take_ack(id, n) else {
            return;
        };
        self.call(io, id, "an acknowledgement", |object, at| {
            then(object, at, Ok(values));
        });
    }
}

/// Routers that there can be in all, before one that `endpoint_fn` brings is refused: each is numbered for
/// as long as the server runs.
const ROUTERS_MAX: usize = 4096;
