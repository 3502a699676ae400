//! WebSocket messages: from the frames of a conn to `on_message`, and the end of a WebSocket.

use super::Msg;
use super::core::{Core, WS_LINGER, owner};
use super::engine::Link;
use super::inbox::Held;
use super::object::{At, Object};
use super::sends::Share;
use super::sockjs::MESSAGES_MAX;
use crate::conn::websocket::Inside;
use crate::conn::{ConnKey, Protocol};
use crate::connection::{Cause, CloseReason, ConnectionId, Message};
use crate::proto::sockjs::message::{self, Broken, Messages};
use crate::proto::ws::Error;
use crate::proto::ws::machine::{Event, FRAME_WORK, State};
use crate::reactor::IoLoop;
use crate::storage::input::Input;
use crate::time::Instant;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The object that is out of its slot, if one is.
pub(super) type Out<S> = Option<(ConnectionId, Box<dyn Object<S>>)>;

impl<S: 'static> Core<S> {
    /// Handles frames. False: what is left of the input has to wait.
    ///
    /// While one message follows another, the connection's object stays out of its slot: this is
    /// the hot path, and nobody else runs between two of them.
    pub(crate) fn websocket_input(
        &mut self,
        io: &mut IoLoop<Msg>,
        key: ConnKey,
        input: &mut Input<'_>,
        work: &mut usize,
    ) -> bool {
        let budget = self.settings.work_per_turn_bytes;
        let mut control = std::mem::take(&mut self.control);
        let mut out: Out<S> = None;
        let mut count = 0;
        let go_on = loop {
            let conns = &mut self.shared.engine.get_mut().conns;
            let Some(conn) = conns.arena.get_mut(key) else {
                break true;
            };
            let Protocol::WebSocket(ws) = &mut conn.protocol else {
                break true;
            };
            // The same rule as in `Conn::wants_input`, or `read` would go round in a circle.
            let paused = (conn.held || conn.full)
                && ws.machine.state() == State::Open
                && !ws.machine.awaits_nonce();
            if *work >= budget || paused {
                break false;
            }
            if let Some(text) = ws.left.take() {
                let of = (owner(ws.owner), ws.session);
                count += self.messages_inside(io, key, of, (&text, None), work, &mut out);
                continue;
            }
            let limits = &self.limits[ws.mount as usize];
            let before = input.len();
            let polled = ws
                .machine
                .poll_event(input, &limits.machine, conn.blocked, &mut control);
            let counted = (before - input.len()).max(FRAME_WORK);
            *work += counted;
            let (id, session) = (owner(ws.owner), ws.session);
            let Ok(Some(Event::Message { kind, payload })) = polled else {
                self.put_back(&mut out);
                if !self.other_event(io, key, polled, &mut control) {
                    break true;
                }
                continue;
            };
            if id.is_none() && session == 0 {
                continue;
            }
            if !limits.takes(kind) {
                self.put_back(&mut out);
                self.websocket_failed(io, key, Error::WrongKind);
                break true;
            }
            if !ws.count(limits, io.now()) {
                self.too_many(io, (id, session), &mut out);
                continue;
            }
            let inside = limits.inside;
            let Some(id) = id.filter(|_| inside == Inside::Messages) else {
                // The machine has checked the text.
                let text = std::str::from_utf8(&payload).unwrap_or_default();
                let of = (id, session);
                count += self.messages_inside(io, key, of, (text, Some(counted)), work, &mut out);
                continue;
            };
            count += 1;
            let message = Message::new(kind, &payload);
            if !self.message(id, message, &mut out) {
                self.put_back(&mut out);
                self.follow_up(io);
            }
        };
        self.put_back(&mut out);
        self.control = control;
        if count > 0 {
            self.engine().conns.stats.messages_in += count;
            self.watch_last(io, "on_message");
        }
        go_on
    }

    /// More messages came in a second, or in one, than may.
    fn too_many(
        &mut self,
        io: &mut IoLoop<Msg>,
        (id, session): (Option<ConnectionId>, u64),
        out: &mut Out<S>,
    ) {
        self.put_back(out);
        let engine = self.engine();
        let why = (1008, "too many messages");
        match id {
            Some(id) => engine.close(id, Cause::Protocol, why.0, why.1),
            None => engine.close_session_of(session, Cause::Protocol, why),
        }
        self.follow_up(io);
    }

    /// Takes the messages out of one that holds several, or out of what is left of it; answers how many there
    /// were. `counted`: the work that it was counted as when it came, just now.
    #[inline]
    fn messages_inside(
        &mut self,
        io: &mut IoLoop<Msg>,
        key: ConnKey,
        (id, session): (Option<ConnectionId>, u64),
        (text, counted): (&str, Option<usize>),
        work: &mut usize,
        out: &mut Out<S>,
    ) -> u64 {
        let mut share = self.share();
        let (count, rest) = match id {
            None => self.websocket_packet(io, (key, session), text, &mut share, out),
            Some(id) => {
                let messages = match counted {
                    Some(_) => message::websocket(text),
                    None => Ok(Messages::left(text)),
                };
                match messages {
                    Ok(messages) => self.sockjs_messages(io, id, messages, &mut share, out),
                    Err(broken) => {
                        self.put_back(out);
                        self.sockjs_failed(io, key, id, broken);
                        (0, "")
                    }
                }
            }
        };
        // The first was counted when it came.
        let more = count.saturating_sub(u64::from(counted.is_some()));
        if more > 0 && !self.count_more(key, more, io.now()) {
            self.too_many(io, (id, session), out);
            return count;
        }
        let budget = self.settings.work_per_turn_bytes;
        *work += share.used(budget).saturating_sub(counted.unwrap_or(0));
        if !rest.is_empty() {
            *work = budget.max(*work);
            self.leave(key, rest);
        }
        count
    }

    /// Takes the messages out of a frame of SockJS.
    fn sockjs_messages<'t>(
        &mut self,
        io: &mut IoLoop<Msg>,
        id: ConnectionId,
        mut messages: Messages<'t>,
        share: &mut Share,
        out: &mut Out<S>,
    ) -> (u64, &'t str) {
        if messages.are_more_than(MESSAGES_MAX) {
            self.too_many(io, (Some(id), 0), out);
            return (0, "");
        }
        let delivered = self.deliver(io, id, &mut messages, share, out);
        (delivered.count, messages.rest())
    }

    fn count_more(&mut self, key: ConnKey, count: u64, now: Instant) -> bool {
        let conns = &mut self.shared.engine.get_mut().conns;
        let Some(conn) = conns.arena.get_mut(key) else {
            return true;
        };
        let Protocol::WebSocket(ws) = &mut conn.protocol else {
            return true;
        };
        let limits = &self.limits[ws.mount as usize];
        ws.count_all(limits, now, u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// Keeps what is left of a message for the next turn.
    fn leave(&mut self, key: ConnKey, rest: &str) {
        let Some(conn) = self.conn(key) else { return };
        if let Protocol::WebSocket(ws) = &mut conn.protocol {
            if ws.owner != 0 || ws.session != 0 {
                ws.left = Some(rest.into());
            }
        }
    }

    /// A frame of SockJS is broken: the WebSocket is closed without one of our own.
    fn sockjs_failed(
        &mut self,
        io: &mut IoLoop<Msg>,
        key: ConnKey,
        id: ConnectionId,
        broken: Broken,
    ) {
        log::debug!("{id}: {}", broken.text());
        let reason = "Broken framing.";
        let engine = self.engine();
        engine.conns.stats.protocol_errors += 1;
        engine.conns.close_websocket(key, 3000, reason);
        engine.end(
            id,
            CloseReason {
                cause: Cause::Protocol,
                code: 3000,
                reason: reason.to_owned(),
                clean: false,
            },
        );
        self.follow_up(io);
    }

    /// Handles what is no message: the end of the input, a control frame, a broken rule. False:
    /// there is nothing more to take.
    fn other_event(
        &mut self,
        io: &mut IoLoop<Msg>,
        key: ConnKey,
        polled: Result<Option<Event<'_>>, Error>,
        control: &mut Vec<u8>,
    ) -> bool {
        let conns = &mut self.shared.engine.get_mut().conns;
        let Some(conn) = conns.arena.get_mut(key) else {
            return false;
        };
        if !control.is_empty() {
            conn.out.append(control, &mut conns.pool);
            conns.queued += control.len();
            control.clear();
        }
        match polled {
            Ok(None) => return false,
            Ok(Some(Event::Pong { payload })) => {
                let Protocol::WebSocket(ws) = &conn.protocol else {
                    return false;
                };
                if let Some(id) = owner(ws.owner).filter(|_| !ws.machine.is_answer(&payload)) {
                    self.call(io, id, "on_pong", |object, at| object.pong(at, &payload));
                    self.follow_up(io);
                }
            }
            Ok(Some(Event::Close { code, reason })) => {
                let code = code.unwrap_or(1005);
                let (cause, clean) = (Cause::Client, true);
                self.websocket_ends(
                    io,
                    key,
                    CloseReason {
                        cause,
                        code,
                        reason,
                        clean,
                    },
                );
                return false;
            }
            Ok(Some(Event::Ping { .. } | Event::Message { .. } | Event::Silent)) => {}
            Err(error) => {
                self.websocket_failed(io, key, error);
                return false;
            }
        }
        true
    }

    /// Hands a message over, or keeps it while an `Ordered` is held. False: something follows from
    /// it that has to be done before the next one.
    pub(super) fn message(
        &mut self,
        id: ConnectionId,
        message: Message<'_>,
        out: &mut Out<S>,
    ) -> bool {
        if out.is_none() {
            let engine = self.shared.engine.get_mut();
            let Some(entry) = engine.connections.get_mut(id.0) else {
                return true;
            };
            if entry.holds > 0 {
                let link = entry.link;
                // Whoever is below a channel cannot be kept waiting for it.
                if matches!(link, Link::Channel(_)) && engine.is_inbox_full(id) {
                    engine.close(id, Cause::Overflow, 1013, "inbox full");
                    return false;
                }
                engine.keep_waiting(id, Held::message(message));
                let conn = link.conn().filter(|_| engine.is_inbox_full(id));
                if let Some(conn) = conn.and_then(|conn| engine.conns.arena.get_mut(conn)) {
                    conn.held = true;
                }
                return true;
            }
            *out = entry.object.take().map(|object| (id, object));
        }
        let Some((_, object)) = out else { return true };
        self.last_called = Some(("on_message", id));
        let (shared, state) = (&self.shared, &mut self.state);
        let result = catch_unwind(AssertUnwindSafe(|| {
            object.message(At { shared, state, id }, message);
        }));
        if result.is_err() {
            self.panicked(id, "on_message");
        }
        !self.shared.engine.get_mut().has_follow_up()
    }

    /// Puts an object back into its slot.
    #[inline]
    pub(super) fn put_back(&mut self, out: &mut Out<S>) {
        if let Some((id, object)) = out.take() {
            if let Some(entry) = self.engine().connections.get_mut(id.0) {
                entry.object = Some(object);
            }
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

    /// Tells the owner, if it does not know yet, and lets the conn end. We close TCP first
    /// (RFC 6455, 7.1.1).
    fn websocket_ends(&mut self, io: &mut IoLoop<Msg>, key: ConnKey, why: CloseReason) {
        let linger = self.settings.linger_timeout.min(WS_LINGER);
        let Some(conn) = self.conn(key) else { return };
        let Protocol::WebSocket(ws) = &mut conn.protocol else {
            return;
        };
        let id = owner(std::mem::take(&mut ws.owner));
        self.abandon(key, why.clone());
        let Some(conn) = self.conn(key) else { return };
        conn.close(linger);
        self.engine().conns.mark_dirty(key);
        if let Some(id) = id {
            self.engine().end(id, why);
        }
        self.follow_up(io);
    }
}
