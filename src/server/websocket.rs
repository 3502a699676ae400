//! WebSocket at a mount: the handshake, the messages, the end.

use super::Msg;
use super::core::{Core, WS_LINGER, owner};
use super::engine::{Life, Opening, Rare};
use super::object::At;
use super::request::Request;
use crate::conn::http1::Phase;
use crate::conn::websocket::WebSocket;
use crate::conn::{ConnKey, Protocol};
use crate::connection::{Cause, CloseReason, ConnectionId, Kind, Message, Refusing, Reject};
use crate::proto::http::Version;
use crate::proto::http::origin::OriginRequest;
use crate::proto::http::response::push_field;
use crate::proto::ws::Error;
use crate::proto::ws::handshake::{self, Refusal, Versions};
use crate::proto::ws::machine::{Event, FRAME_WORK, Machine};
use crate::reactor::IoLoop;
use crate::router::{Messages, Mount};
use crate::storage::input::Input;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

impl<S: 'static> Core<S> {
    // ---- the handshake ----------------------------------------------------------------------

    /// Answers a request on a WebSocket mount (rules W1 to W12).
    pub(crate) fn upgrade(
        &mut self,
        io: &mut IoLoop<Msg>,
        key: ConnKey,
        mount: u32,
        raw: &[u8],
        req: Request<'_>,
    ) {
        let head = req.head;
        let asked = handshake::Request {
            method: head.method,
            http11: head.version == Version::Http11,
            headers: head.headers,
        };
        let shake =
            match handshake::check(&asked, Versions::WithDrafts, handshake::Route::WebSocket) {
                Ok(shake) => shake,
                Err(refusal) => return self.refuse_handshake(key, &refusal),
            };
        let table = Rc::clone(&self.table);
        let Mount { router, settings } = &table.mounts()[mount as usize];
        let from = OriginRequest::of(&head, req.host());
        let allowed = settings.origins.allows(&from)
            || match (
                from.origin.filter(|_| !from.several),
                &settings.allow_origin,
            ) {
                (Some(origin), Some(allow)) => allow(origin, &req),
                _ => false,
            };
        if !allowed {
            log::info!(
                "origin {:?} may not connect to host {:?}",
                from.origin,
                from.host
            );
            return self.refuse_handshake(key, &ORIGIN);
        }
        let protocol = match handshake::protocols(&asked) {
            Err(refusal) => return self.refuse_handshake(key, &refusal),
            Ok(offered) => settings
                .subprotocol
                .as_ref()
                .and_then(|choose| choose(offered.as_slice()))
                .filter(|chosen| offered.as_slice().contains(chosen))
                .map(str::to_owned),
        };
        if self.is_draining() || self.is_short_of_memory() {
            self.engine().conns.stats.handshakes_refused += 1;
            return self.refuse_with(key, 503, "", b"Retry-After: 1\r\n");
        }
        let req = Request {
            subprotocol: protocol.as_deref(),
            ..req
        };
        let index = self.shared.remote.router_index(router.id);
        let made = catch_unwind(AssertUnwindSafe(|| (router.make)(&req)));
        let Ok(object) = made else {
            log::error!("{}: making a connection panicked", router.name);
            self.engine().conns.stats.panics += 1;
            return self.refuse_with(key, 500, "", b"");
        };
        let kept = router.keep_request.then(|| Rc::from(raw));
        let rare = Rare::opening(Opening::new(shake, protocol.clone(), mount), kept);
        let id = self.engine().begin(index, key, rare);
        if let Some(entry) = self.engine().connections.get_mut(id.0) {
            entry.object = Some(object);
        }
        let opened = self.call(io, id, "on_open", |object, at| object.open(at, &req));
        let until = io.now() + self.settings.answer_timeout;
        match opened {
            None => self.decided(io, id, Err(Reject::status(500))),
            Some(Err(reject)) => self.decided(io, id, Err(reject)),
            Some(Ok(())) if self.decides_later(id) => {
                if let Some(Protocol::Http(http)) = self.conn(key).map(|conn| &mut conn.protocol) {
                    http.phase = Phase::Deciding(id.0.to_bits(), until);
                }
            }
            Some(Ok(())) => self.decided(io, id, Ok(())),
        }
    }

    fn decides_later(&mut self, id: ConnectionId) -> bool {
        self.opening(id).is_some_and(|opening| opening.later)
    }

    fn opening(&mut self, id: ConnectionId) -> Option<&mut Opening> {
        let entry = self.engine().connections.get_mut(id.0)?;
        entry.rare.as_mut().and_then(|rare| rare.opening.as_mut())
    }

    fn is_short_of_memory(&mut self) -> bool {
        let max = self.settings.buffers_max_bytes;
        self.engine().conns.queued >= max / 100 * 80
    }

    fn refuse_handshake(&mut self, key: ConnKey, refusal: &Refusal) {
        self.engine().conns.stats.handshakes_refused += 1;
        let mut lines = Vec::new();
        for (name, value) in refusal.headers {
            lines.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        self.refuse_with(key, refusal.status, refusal.text, &lines);
    }

    /// `on_open` has decided, at once or later.
    pub(crate) fn decided(
        &mut self,
        io: &mut IoLoop<Msg>,
        id: ConnectionId,
        decision: Result<(), Reject>,
    ) {
        let Some(entry) = self.engine().connections.get(id.0) else {
            return;
        };
        if entry.life != Life::Opening {
            return;
        }
        let key = entry.conn;
        match decision {
            Ok(()) => self.open(io, key, id),
            Err(reject) => {
                self.engine().conns.stats.rejected += 1;
                let opening = self
                    .opening(id)
                    .map(|opening| (opening.handshake, opening.mount));
                drop(self.engine().forget(id));
                self.reject(io, key, opening, reject);
            }
        }
        self.settle(io, key);
    }

    /// Answers the handshake; what `on_open` sent follows.
    fn open(&mut self, io: &mut IoLoop<Msg>, key: ConnKey, id: ConnectionId) {
        let now = io.now();
        let Some(opening) = self.opening(id) else {
            return;
        };
        let mut head = Vec::new();
        let protocol = opening.protocol.take();
        handshake::write_101(
            &mut head,
            &opening.handshake,
            protocol.as_deref(),
            &opening.headers,
        );
        head.append(&mut opening.take_early());
        let (mount, close) = (opening.mount, opening.close.take());
        self.become_websocket(io, key, mount, id.0.to_bits(), &head);
        let engine = self.engine();
        engine.opened(id);
        engine.conns.stats.websockets_opened += 1;
        if let Some((code, reason)) = close {
            engine.close(id, Cause::Server, code, &reason);
        }
        let _ = now;
    }

    fn become_websocket(
        &mut self,
        io: &mut IoLoop<Msg>,
        key: ConnKey,
        mount: u32,
        owner: u64,
        head: &[u8],
    ) {
        let now = io.now();
        let spread = super::fraction();
        let ages = self.limits[mount as usize].ages(now, spread);
        let conns = &mut self.engine().conns;
        let Some(conn) = conns.arena.get_mut(key) else {
            return;
        };
        conn.out.append(head, &mut conns.pool);
        conns.queued += head.len();
        conns.stats.websockets_open += 1;
        conn.was_websocket = true;
        conn.protocol = Protocol::WebSocket(WebSocket {
            machine: Machine::new(now),
            owner,
            mount,
            ages,
        });
        conns.mark_dirty(key);
        self.resume_after_upgrade(io, key);
    }

    /// Frames may have come right behind the request.
    fn resume_after_upgrade(&mut self, io: &mut IoLoop<Msg>, key: ConnKey) {
        let current = self.engine().conns.current == Some(key);
        let Some(conn) = self.conn(key) else { return };
        if !current && (conn.pending.is_some() || conn.readable) {
            io.again(conn.handler, crate::reactor::Readiness::READABLE);
        }
    }

    /// Refuses as `on_open` wants it; the table in [`Reject`] tells how.
    fn reject(
        &mut self,
        io: &mut IoLoop<Msg>,
        key: ConnKey,
        opening: Option<(handshake::Handshake, u32)>,
        reject: Reject,
    ) {
        match (reject.how, opening) {
            (Refusing::Status(status), _) => {
                let mut lines = Vec::new();
                for (name, value) in &reject.headers {
                    if let Err(error) = push_field(&mut lines, name, value) {
                        log::error!("header {name:?} of a refusal: {error}");
                    }
                }
                self.refuse_with_body(key, status, reject.content_type, &reject.body, &lines);
            }
            (Refusing::Close(code, reason), Some((shake, mount))) => {
                let mut head = Vec::new();
                handshake::write_101(&mut head, &shake, None, b"");
                self.become_websocket(io, key, mount, 0, &head);
                let code = if crate::proto::ws::close::valid_code(code) {
                    code
                } else {
                    1008
                };
                self.engine().conns.close_websocket(key, code, &reason);
            }
            (Refusing::Close(..), None) => self.refuse_with(key, 403, "", b""),
        }
    }

    // ---- messages ---------------------------------------------------------------------------

    /// Handles frames. False: what is left of the input has to wait.
    pub(crate) fn websocket_input(
        &mut self,
        io: &mut IoLoop<Msg>,
        key: ConnKey,
        input: &mut Input<'_>,
        work: &mut usize,
    ) -> bool {
        let (budget, high) = (
            self.settings.work_per_turn_bytes,
            self.settings.write_high_bytes,
        );
        let began = io.fresh_now();
        let mut count = 0_u64;
        let go_on = loop {
            let engine = self.shared.engine.get_mut();
            let conns = &mut engine.conns;
            let Some(conn) = conns.arena.get_mut(key) else {
                break true;
            };
            let Protocol::WebSocket(ws) = &mut conn.protocol else {
                break true;
            };
            if *work >= budget || conn.held || conn.out.len() >= high {
                break false;
            }
            let limits = &self.limits[ws.mount as usize];
            let (left, out) = (input.len(), conn.out.tail(&mut conns.pool));
            let before = out.len();
            let polled = ws
                .machine
                .poll_event(input, &limits.machine, conn.blocked, out);
            conns.queued += out.len() - before;
            *work += (left - input.len()).max(FRAME_WORK);
            let event = match polled {
                Ok(Some(event)) => event,
                Ok(None) => break true,
                Err(error) => {
                    self.websocket_failed(io, key, error);
                    break true;
                }
            };
            let id = owner(ws.owner);
            match (event, id) {
                (Event::Message { kind, payload }, Some(id)) => {
                    let wrong = match self.table.mounts()[ws.mount as usize].settings.messages {
                        Messages::Both => false,
                        Messages::Text => kind != Kind::Text,
                        Messages::Binary => kind != Kind::Binary,
                    };
                    if wrong {
                        self.websocket_failed(io, key, Error::WrongKind);
                    } else if !ws.count(limits, io.now()) {
                        engine.close(id, Cause::Protocol, 1008, "too many messages");
                    } else {
                        count += 1;
                        self.message(
                            id,
                            Message {
                                kind,
                                bytes: &payload,
                            },
                        );
                    }
                }
                (Event::Pong { payload }, Some(id)) => {
                    self.call(io, id, "on_pong", |object, at| object.pong(at, &payload));
                }
                (Event::Close { code, reason }, _) => {
                    self.websocket_closed(io, key, code, reason);
                    break true;
                }
                _ => {}
            }
            let engine = self.shared.engine.get_mut();
            if !engine.next.is_empty() || !engine.commands.is_empty() {
                self.follow_up(io);
            }
        };
        if count > 0 {
            self.engine().conns.stats.messages_in += count;
            self.watch(io, began, "on_message");
        }
        go_on
    }

    /// Hands a message over, or keeps it while an `Ordered` is held.
    fn message(&mut self, id: ConnectionId, message: Message<'_>) {
        let engine = self.shared.engine.get_mut();
        let Some(entry) = engine.connections.get_mut(id.0) else {
            return;
        };
        if entry.holds > 0 {
            let inbox = &mut entry.rare.get_or_insert_default().inbox;
            inbox.push_back((message.kind, message.bytes.into()));
            let full = inbox.len() >= self.settings.inbox_max;
            if let Some(conn) = engine.conns.arena.get_mut(entry.conn).filter(|_| full) {
                conn.held = true;
            }
            return;
        }
        let Some(mut object) = entry.object.take() else {
            return;
        };
        let (shared, state) = (&self.shared, &mut self.state);
        let result = catch_unwind(AssertUnwindSafe(|| {
            object.message(At { shared, state, id }, message);
        }));
        let entry = self.shared.engine.get_mut().connections.get_mut(id.0);
        if let Some(entry) = entry {
            entry.object = Some(object);
        }
        if result.is_err() {
            self.panicked(id, "on_message");
        }
    }

    /// The peer has broken a rule; the machine has put its close frame into the queue.
    fn websocket_failed(&mut self, io: &mut IoLoop<Msg>, key: ConnKey, error: Error) {
        log::debug!("a WebSocket failed: {error}");
        let conns = &mut self.engine().conns;
        conns.stats.protocol_errors += 1;
        let Some(conn) = conns.arena.get_mut(key) else {
            return;
        };
        let Protocol::WebSocket(ws) = &mut conn.protocol else {
            return;
        };
        let out = conn.out.tail(&mut conns.pool);
        let before = out.len();
        ws.machine.fail(error, out);
        conns.queued += out.len() - before;
        let code = error.close_code();
        let reason = error.rule().to_owned();
        let clean = false;
        self.websocket_ends(
            io,
            key,
            CloseReason {
                cause: Cause::Protocol,
                code,
                reason,
                clean,
            },
        );
    }

    /// The peer's close frame came; our answer, if one is owed, is in the queue.
    fn websocket_closed(
        &mut self,
        io: &mut IoLoop<Msg>,
        key: ConnKey,
        code: Option<u16>,
        reason: String,
    ) {
        let code = code.unwrap_or(1005);
        self.websocket_ends(
            io,
            key,
            CloseReason {
                cause: Cause::Client,
                code,
                reason,
                clean: true,
            },
        );
    }

    /// Tells the owner, if it does not know yet, and lets the conn end. We close TCP first
    /// (RFC 6455, 7.1.1).
    fn websocket_ends(&mut self, io: &mut IoLoop<Msg>, key: ConnKey, why: CloseReason) {
        let linger = self.settings.linger_timeout.min(WS_LINGER);
        let Some(conn) = self.conn(key) else { return };
        let Protocol::WebSocket(ws) = &mut conn.protocol else {
            return;
        };
        let id = owner(std::mem::take(&mut ws.owner));
        conn.close(io.now(), linger);
        self.engine().conns.mark_dirty(key);
        if let Some(id) = id {
            self.engine().end(id, why);
        }
        self.follow_up(io);
    }
}

const ORIGIN: Refusal = Refusal {
    status: 403,
    text: "Cross origin websockets not allowed",
    headers: &[],
};
