//! WebSocket at a mount: the handshake, the messages, the end.

use super::Msg;
use super::core::Core;
use super::engine::{Early, Life, Link, Opening, Rare, Upgrade};
use super::loud::loud;
use super::request::Request;
use crate::conn::http1::Phase;
use crate::conn::websocket::WebSocket;
use crate::conn::wire::Wire;
use crate::conn::{ConnKey, Protocol};
use crate::connection::{ConnectionId, Refusing, Reject, Transport};
use crate::proto::http::Version;
use crate::proto::http::origin::OriginRequest;
use crate::proto::sockjs;
use crate::proto::ws::Kind;
use crate::proto::ws::handshake::{self, Handshake, Refusal, Versions};
use crate::proto::ws::hixie::{self, Draft};
use crate::proto::ws::machine::Machine;
use crate::reactor::IoLoop;
use crate::routes::{Framing, Mount};
use crate::time::Instant;
use std::rc::Rc;
use std::time::Duration;

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
        let table = Rc::clone(&self.table);
        let mounted = &table.mounts()[mount as usize];
        let Mount {
            router,
            settings,
            framing,
        } = mounted;
        let Some(shake) = self.check_upgrade(key, mounted, &req) else {
            return;
        };
        let offered = match &shake {
            Shake::Rfc6455(_) => {
                handshake::protocols(&asked(&req)).map(|offered| offered.as_slice().to_vec())
            }
            Shake::Hixie(_, protocol) => Ok(protocol.iter().map(|it| &**it).collect()),
        };
        let protocol = match offered {
            Err(refusal) => return self.refuse_handshake(key, &refusal),
            // Clients of the drafts ask for one, and insist on it.
            Ok(offered) if matches!(shake, Shake::Hixie(..)) && settings.subprotocol.is_none() => {
                offered.first().map(|&offered| offered.to_owned())
            }
            Ok(offered) => {
                let offered = &offered[..];
                let choose = settings.subprotocol.as_ref();
                let Some(chosen) =
                    self.guard("subprotocol", || choose.and_then(|choose| choose(offered)))
                else {
                    return self.refuse_with(key, 500, "", b"");
                };
                chosen
                    .filter(|chosen| offered.contains(chosen))
                    .map(str::to_owned)
            }
        };
        let by = match framing {
            Framing::Plain | Framing::SocketIo => (Link::WebSocket(key), Transport::WebSocket),
            Framing::RawSockJs => (Link::WebSocket(key), Transport::RawWebSocket),
            Framing::SockJs(_) => (Link::SockJs(key), Transport::WebSocket),
        };
        let req = Request {
            subprotocol: protocol.as_deref(),
            transport: Some(by.1),
            ..req
        };
        let index = self.shared.remote.router_index(router.id);
        let Some(object) = self.guard(router.name, || (router.make)(&req)) else {
            return self.refuse_with(key, 500, "", b"");
        };
        let kept = router.keeps_request().then(|| Rc::new(req.keep(raw)));
        let upgrade = Upgrade {
            handshake: shake,
            protocol: protocol.clone(),
            mount,
        };
        let rare = Rare::opening(Opening::new(Some(upgrade)), kept);
        let id = self.engine().begin(index, by, object, rare);
        let opened = self.call(io, id, "on_open", |object, at| object.open(at, &req));
        let until = io.now() + self.settings.answer_timeout;
        match opened {
            None if matches!(framing, Framing::SockJs(_)) => {
                self.decided(io, id, Err(Reject::close(1011, "internal error")));
            }
            None => self.decided(io, id, Err(Reject::status(500))),
            Some(Err(reject)) => self.decided(io, id, Err(reject)),
            Some(Ok(())) if self.opening(id).is_some_and(|opening| opening.later) => {
                if let Some(Protocol::Http(http)) = self.conn(key).map(|conn| &mut conn.protocol) {
                    http.phase = Phase::Deciding(id.0.to_bits(), until);
                }
            }
            Some(Ok(())) => self.decided(io, id, Ok(())),
        }
    }

    /// What every handshake is checked for: its form, the origin, and whether there is room. `None`: it is
    /// refused.
    pub(super) fn check_upgrade(
        &mut self,
        key: ConnKey,
        mount: &Mount<S>,
        req: &Request<'_>,
    ) -> Option<Shake> {
        let settings = &mount.settings;
        let route = match mount.framing {
            Framing::Plain => handshake::Route::WebSocket,
            Framing::SockJs(_) | Framing::RawSockJs | Framing::SocketIo => {
                handshake::Route::Transport
            }
        };
        let asked = asked(req);
        let draft = hixie::handshake::draft(&asked).filter(|draft| match draft {
            Draft::Hixie76 => settings.hixie76,
            Draft::Hixie75 => settings.hixie75,
        });
        let shake = match draft {
            None => handshake::check(&asked, Versions::WithDrafts, route).map(Shake::Rfc6455),
            Some(draft) => Shake::of_draft(&asked, draft, req),
        };
        let shake = match shake {
            Ok(shake) => shake,
            Err(refusal) => {
                self.refuse_handshake(key, &refusal);
                return None;
            }
        };
        let from = OriginRequest::of(&req.head, req.host());
        let allowed = match (
            from.origin.filter(|_| !from.several),
            &settings.allow_origin,
        ) {
            (Some(origin), Some(allow)) if !settings.origins.allows(&from) => {
                self.guard("allow_origin", || allow(origin, req))
            }
            _ => Some(settings.origins.allows(&from)),
        };
        let Some(allowed) = allowed else {
            self.refuse_with(key, 500, "", b"");
            return None;
        };
        if !allowed {
            loud!(
                info,
                "origin {:?} may not connect to host {:?}",
                from.origin,
                from.host
            );
            self.refuse_handshake(key, &ORIGIN);
            return None;
        }
        if self.engine().conns.draining || self.is_short_of_memory() {
            self.engine().conns.stats.handshakes_refused += 1;
            self.refuse_with(key, 503, "", b"Retry-After: 1\r\n");
            return None;
        }
        Some(shake)
    }

    pub(super) fn opening(&mut self, id: ConnectionId) -> Option<&mut Opening> {
        let entry = self.engine().connections.get_mut(id.0)?;
        entry.rare.as_mut().and_then(|rare| rare.opening.as_mut())
    }

    pub(super) fn is_short_of_memory(&mut self) -> bool {
        let max = self.settings.buffers_max_bytes;
        self.engine().conns.buffered() >= max / 100 * 80
    }

    fn refuse_handshake(&mut self, key: ConnKey, refusal: &Refusal) {
        self.engine().conns.stats.handshakes_refused += 1;
        let mut lines = Vec::new();
        // The server writes `Connection` itself.
        for (name, value) in refusal
            .headers
            .iter()
            .filter(|(name, _)| *name != "Connection")
        {
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
        let link = entry.link;
        let draining = self.engine().conns.draining;
        let decision = match decision {
            Ok(()) if draining => Err(Reject::status(503).header("Retry-After", "1")),
            decision => decision,
        };
        if decision.is_err() {
            self.engine().conns.stats.rejected += 1;
        }
        let Some(key) = link.conn() else {
            return self.decided_otherwise(io, id, link, decision);
        };
        match decision {
            Ok(()) => self.open(io, key, id),
            Err(reject) => {
                let opening = self.opening(id).map(std::mem::take);
                self.engine().forget(id);
                let upgrade = opening.and_then(|opening| Some((opening.upgrade?, opening.headers)));
                self.reject(io, (key, link), upgrade, reject);
            }
        }
        self.settle(io, key);
    }

    /// The same for who has no handshake to be answered.
    fn decided_otherwise(
        &mut self,
        io: &mut IoLoop<Msg>,
        id: ConnectionId,
        link: Link,
        decision: Result<(), Reject>,
    ) {
        let mut opening = self.opening(id).map(std::mem::take).unwrap_or_default();
        match decision {
            Ok(()) => {
                let packets = std::mem::take(&mut opening.packets);
                let (close, waited) = (opening.close, opening.later);
                let engine = self.engine();
                if let (Link::SocketIo(key), true) = (link, opening.full) {
                    if let Some(entry) = engine.sessions.arena.get_mut(key) {
                        entry.full = true;
                    }
                }
                engine.opened(id);
                match link {
                    Link::Session(key) => engine.accept_session(key),
                    Link::SocketIo(key) => {
                        let lines = &opening.headers;
                        if let Some(upgrade) = engine.accept_socketio(key, id, packets, lines) {
                            self.accept_upgrade(io, key, upgrade, lines);
                        }
                    }
                    _ => {}
                }
                let engine = self.engine();
                if waited {
                    engine.release(id);
                }
                if let Some((cause, code, reason)) = close {
                    engine.close(id, cause, code, &reason);
                }
            }
            Err(reject) => {
                let (code, reason) = reject.as_close();
                let engine = self.engine();
                match link {
                    Link::Session(key) => engine.refuse_session(key, code, reason),
                    Link::SocketIo(key) => {
                        engine.refuse_socketio(key, id, &reject, &opening.headers);
                    }
                    Link::Channel(below) => engine.tell_closed(id, below),
                    Link::WebSocket(_) | Link::SockJs(_) => {}
                }
                engine.forget(id);
            }
        }
    }

    /// Answers the handshake; what `on_open` sent follows.
    fn open(&mut self, io: &mut IoLoop<Msg>, key: ConnKey, id: ConnectionId) {
        let Some(opening) = self.opening(id) else {
            return;
        };
        let Some(upgrade) = opening.upgrade.take() else {
            return;
        };
        let (early, close) = (opening.take_early(), opening.close.take());
        let full = opening.full;
        let headers = std::mem::take(&mut opening.headers);
        let owner = id.0.to_bits();
        let begins = Begins {
            full,
            ..upgrade.begins(&headers, &early)
        };
        self.become_websocket(io, key, owner, begins);
        let engine = self.engine();
        engine.opened(id);
        engine.conns.stats.websockets_opened += 1;
        if let Some((cause, code, reason)) = close {
            engine.close(id, cause, code, &reason);
        }
    }

    pub(super) fn become_websocket(
        &mut self,
        io: &mut IoLoop<Msg>,
        key: ConnKey,
        owner: u64,
        begins: Begins<'_>,
    ) {
        let Begins { shake, mount, .. } = begins;
        let now = io.now();
        let spread = super::fraction();
        let nonce_timeout = self.settings.header_timeout;
        let mut machine = shake.wire(now, nonce_timeout);
        let framing = self.table.mounts()[mount as usize].framing;
        let ages = self.limits[mount as usize].ages(now, spread);
        let conns = &mut self.engine().conns;
        let Some(conn) = conns.arena.get_mut(key) else {
            return;
        };
        let out = conn.out.tail(&mut conns.pool);
        let before = out.len();
        shake.write_101(out, begins.protocol, begins.headers);
        if let Framing::SockJs(_) = framing {
            machine.send(Kind::Text, sockjs::frame::OPEN, out);
        }
        for (kind, payload) in begins.early {
            machine.send(*kind, payload, out);
        }
        let added = out.len() - before;
        conns.queued += added;
        conns.stats.websockets_open += 1;
        conn.was_websocket = true;
        // The timer was armed for the request, and its deadline says nothing about what follows.
        let timer = conn.timer.take();
        conn.protocol = Protocol::WebSocket(WebSocket {
            machine,
            owner,
            session: 0,
            mount,
            left: None,
            ages,
        });
        conn.full |= begins.full || conn.waiting() > conns.settings.write_high_bytes;
        conns.count_input(key);
        conns.mark_dirty(key);
        if let Some((_, timeout)) = timer {
            io.remove_timeout(timeout);
        }
        self.resume_after_upgrade(io, key);
    }

    /// Frames may have come right behind the request.
    fn resume_after_upgrade(&mut self, io: &mut IoLoop<Msg>, key: ConnKey) {
        let current = self.engine().conns.current == Some(key);
        let Some(conn) = self.conn(key) else { return };
        if !current && (conn.has_input() || conn.readable) {
            io.again(conn.handler, crate::reactor::Readiness::READABLE);
        }
    }

    /// Refuses as `on_open` wants it; the table in [`Reject`] tells how.
    fn reject(
        &mut self,
        io: &mut IoLoop<Msg>,
        (key, link): (ConnKey, Link),
        upgrade: Option<(Upgrade, Vec<u8>)>,
        reject: Reject,
    ) {
        let closes = reject.as_close();
        match (&reject.how, upgrade) {
            (_, Some((upgrade, mut lines))) if matches!(link, Link::SockJs(_)) => {
                reject.push_headers(&mut lines);
                self.become_websocket(io, key, 0, upgrade.begins(&lines, &[]));
                self.engine().close_sockjs(key, closes.0, closes.1);
            }
            (Refusing::Status(status), _) => {
                let mut lines = Vec::new();
                reject.push_headers(&mut lines);
                self.refuse_with_body(key, *status, reject.content_type, &reject.body, &lines);
            }
            (Refusing::Close(..), Some((upgrade, mut lines))) => {
                // With the subprotocol: without it a browser that asked for one fails, and shows
                // its page 1006 in place of the code.
                reject.push_headers(&mut lines);
                self.become_websocket(io, key, 0, upgrade.begins(&lines, &[]));
                self.engine().conns.close_websocket(key, closes.0, closes.1);
            }
            (Refusing::Close(..), None) => self.refuse_with(key, 403, "", b""),
        }
    }
}

/// An accepted handshake.
pub(crate) enum Shake {
    Rfc6455(Handshake),
    /// Of a draft before it, and the subprotocol that is asked for.
    Hixie(hixie::Handshake, Option<String>),
}

impl Shake {
    fn of_draft(
        asked: &handshake::Request<'_>,
        draft: Draft,
        req: &Request<'_>,
    ) -> Result<Self, Refusal> {
        let location = hixie::Location {
            secure: req.is_secure(),
            host: req.host(),
            target: req.head.target,
        };
        let shake = hixie::handshake::check(asked, draft, location)?;
        let protocol = hixie::handshake::protocol(asked, draft)?;
        Ok(Self::Hixie(shake, protocol.map(str::to_owned)))
    }

    fn write_101(&self, out: &mut Vec<u8>, protocol: Option<&str>, headers: &[u8]) {
        match self {
            Self::Rfc6455(shake) => handshake::write_101(out, shake, protocol, headers),
            Self::Hixie(shake, asked) => {
                let protocol = protocol.or(asked.as_deref());
                hixie::handshake::write_101(out, shake, protocol, headers);
            }
        }
    }

    fn wire(&self, now: Instant, nonce_timeout: Duration) -> Wire {
        match self {
            Self::Rfc6455(_) => Wire::Rfc6455(Machine::new(now)),
            Self::Hixie(shake, _) => {
                Wire::Hixie(Box::new(hixie::Machine::new(shake, now, nonce_timeout)))
            }
        }
    }
}

/// What a WebSocket begins with.
#[derive(Clone, Copy)]
pub(crate) struct Begins<'a> {
    pub(crate) shake: &'a Shake,
    pub(crate) mount: u32,
    pub(crate) protocol: Option<&'a str>,
    pub(crate) headers: &'a [u8],
    pub(crate) early: &'a [Early],
    /// Whether the sender was told that these are much.
    pub(crate) full: bool,
}

impl Upgrade {
    fn begins<'a>(&'a self, headers: &'a [u8], early: &'a [Early]) -> Begins<'a> {
        Begins {
            shake: &self.handshake,
            mount: self.mount,
            protocol: self.protocol.as_deref(),
            headers,
            early,
            full: false,
        }
    }
}

/// The handshake as `proto` looks at it.
fn asked<'a>(req: &Request<'a>) -> handshake::Request<'a> {
    handshake::Request {
        method: req.head.method,
        http11: req.head.version == Version::Http11,
        headers: req.head.headers,
    }
}

const ORIGIN: Refusal = Refusal {
    status: 403,
    text: "Cross origin websockets not allowed",
    headers: &[],
};
