//! Requests at a Socket.IO mount: handshakes, and the transports of sessions.
//!
//! Not here: headers and origins (`site.rs`), packets that come (`packets.rs`), packets that go
//! (`session.rs`), how connections begin and end (`life.rs`).

mod life;
mod packets;
mod requests06;
pub(crate) mod session;
mod site;

use self::session::{At, RECONNECT, Way};
use self::site::Site;
use crate::Reject;
use crate::config::SocketIoSettings;
use crate::conn::ConnKey;
use crate::conn::http1::{OutBody, Outgoing};
use crate::connection::Transport;
use crate::mounts::{SocketIo, SocketIo06};
use crate::proto::sio06;
use crate::proto::sio09::path::{self, Route};
use crate::proto::sio09::wrapping::{self, Post};
use crate::proto::sio09::{handshake, packet};
use crate::reactor::IoLoop;
use crate::routes::SocketIoMount;
use crate::server::Msg;
use crate::server::core::Core;
use crate::server::engine::{Link, Opening, Rare};
use crate::server::files::Files;
use crate::server::request::Request;
use crate::server::routing::Mounted;
use crate::server::sessions::{Family, Place, SessionKey};
use crate::server::timers::TimerRun;
use crate::server::websocket::Begins;
use crate::session::socketio::{self, Session};
use std::rc::Rc;

/// Which Socket.IO a session speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Generation {
    /// 0.6: messages, and nothing else.
    V06,
    /// 0.7 to 0.9.
    V09,
}

impl Generation {
    /// The packet that ends a poll and says nothing, if there is one.
    fn nothing(self) -> Option<&'static [u8]> {
        match self {
            Self::V06 => None,
            Self::V09 => Some(packet::NOOP),
        }
    }
}

/// What the sessions of a mount keep to.
pub(crate) struct Rules {
    pub(crate) generation: Generation,
    pub(crate) limits: socketio::Limits,
    pub(crate) settings: SocketIoSettings,
    /// Messages, or packets, of one request.
    pub(crate) messages_max: usize,
    /// The names of its transports, in their order.
    pub(crate) transports: Vec<&'static str>,
    /// Which mount.
    pub(crate) mount: usize,
}

impl Rules {
    /// The rules for sessions of 0.6, with what they share with the later ones.
    pub(crate) fn of_06(of: &SocketIo, old: &SocketIo06, mount: usize) -> Self {
        let shared = Self::new(of, mount);
        let beat = old.settings.heartbeat_interval;
        Self {
            generation: Generation::V06,
            limits: socketio::Limits {
                heartbeat_interval: (!beat.is_zero()).then_some(beat),
                missed_max: old.settings.heartbeats_missed_max,
                global_heartbeats: false,
                ..shared.limits
            },
            messages_max: old.settings.messages_max,
            ..shared
        }
    }

    pub(crate) fn new(of: &SocketIo, mount: usize) -> Self {
        let settings = of.settings.clone();
        let beat = settings.heartbeat_interval;
        Self {
            generation: Generation::V09,
            messages_max: settings.packets_max,
            limits: socketio::Limits {
                heartbeat_interval: (!beat.is_zero()).then_some(beat),
                missed_max: settings.heartbeats_missed_max,
                global_heartbeats: settings.global_heartbeats,
                polling_timeout: settings.xhr_polling_timeout,
                session_expiry: settings.session_expiry,
                check_interval: settings.session_check_interval,
            },
            settings,
            transports: of.enabled_protocols.iter().map(|it| it.name()).collect(),
            mount,
        }
    }
}

/// A request on a conn: the place of its answer, before its headers are known.
type Asked = (ConnKey, u32);

impl<S: 'static> Core<S> {
    /// Answers a request at or below the prefix of a mount.
    pub(in crate::server) fn socketio(
        &mut self,
        io: &mut IoLoop<Msg>,
        at: Asked,
        mount: u32,
        rest: &str,
        raw: &[u8],
        req: Request<'_>,
    ) {
        let table = Rc::clone(&self.table);
        let mounted = &table.socketio()[mount as usize];
        let SocketIoMount { of, router, .. } = &mounted.mount;
        let site = Site::new(of, &req);
        let upgrade = req.head.has_option("Upgrade", "websocket");
        // What 0.7 to 0.9 ask for begins with `/1`, which may be data of the application for 0.6.
        let mut route = path::parse(rest).filter(|route| of.socketio09 || route.is_of_all());
        if route.is_none_or(|route| !route.is_of_09()) {
            let by = mounted.old.as_ref().zip(of.socketio06.as_ref());
            match by.zip(sio06::path::parse(rest)) {
                Some(((rules, by), old)) if old.extra.is_empty() || router.extra.is_some() => {
                    let old = (old, rules, &*by.enabled_protocols);
                    return self.socketio06(io, at, mount, old, raw, req);
                }
                // A new session with data that nobody reads: nothing is there, and no other version.
                Some((_, old)) if old.session.is_none() => {
                    route = route.filter(|route| *route != Route::BadVersion);
                }
                Some(_) | None => {}
            }
        }
        let Some(route) = route else {
            return self.say(at, 404, "404 Not Found\n", &site.cors(), upgrade);
        };
        if req.method() == "OPTIONS" {
            return self.answer_preflight(at, &site, upgrade);
        }
        let allowed: &[&str] = match route {
            Route::Welcome | Route::ClientFile => &["GET", "HEAD"],
            Route::Handshake | Route::Transport { .. } => &["GET", "POST"],
            Route::BadVersion => return self.say(at, 503, BAD_VERSION, &site.cors(), upgrade),
        };
        if !allowed.contains(&req.method()) {
            let mut lines = site.cors();
            site::put(
                &mut lines,
                "Allow",
                &format!("{}, OPTIONS", allowed.join(", ")),
            );
            return self.say(at, 405, "", &lines, upgrade);
        }
        match route {
            Route::Welcome if req.query("EIO").is_some() => {
                self.say(at, 400, BAD_VERSION, &site.cors(), upgrade);
            }
            Route::Welcome => self.say(at, 200, "Welcome to socket.io.", &site.cors(), upgrade),
            Route::ClientFile => match &of.client_file {
                Some(path) => {
                    let response = Files::file(path).respond(&req);
                    self.engine().answer(at.0, at.1, response);
                }
                None => self.say(at, 404, "404 Not Found\n", &site.cors(), upgrade),
            },
            Route::Handshake => self.shake_hands(io, at, mount, raw, req),
            Route::Transport {
                transport,
                name,
                sid,
            } => {
                let to = (mount, transport, name, sid);
                self.transport(io, at, to, req);
            }
            Route::BadVersion => {}
        }
    }

    // ---- the handshake ----------------------------------------------------------------------

    fn shake_hands(
        &mut self,
        io: &mut IoLoop<Msg>,
        at: Asked,
        mount: u32,
        raw: &[u8],
        req: Request<'_>,
    ) {
        let table = Rc::clone(&self.table);
        let Mounted {
            mount: of, rules, ..
        } = &table.socketio()[mount as usize];
        let site = Site::new(&of.of, &req);
        let script = handshake::jsonp_index(req.query("jsonp").as_deref());
        let headers = match script {
            None => site.cors(),
            Some(_) => b"X-Content-Type-Options: nosniff\r\n".to_vec(),
        };
        let mut place = place(at, headers);
        place
            .headers
            .extend_from_slice(b"Cache-Control: no-store\r\n");
        let asked = session::Asked::Handshake(place, script);
        if !site.allows(script.is_some()) {
            let engine = self.engine();
            engine.conns.stats.handshakes_refused += 1;
            return engine.refuse_asked(asked, 403, "handshake bad origin", b"");
        }
        self.begin_session(io, (mount, rules), asked, raw, req);
    }

    /// Makes a session, if there is room, and asks the application about it.
    fn begin_session(
        &mut self,
        io: &mut IoLoop<Msg>,
        (mount, rules): (u32, &Rc<Rules>),
        asked: session::Asked,
        raw: &[u8],
        req: Request<'_>,
    ) {
        let table = Rc::clone(&self.table);
        let SocketIoMount {
            router,
            of,
            websocket,
        } = &table.socketio()[mount as usize].mount;
        let number = *websocket as u32;
        let most = (of.settings.sessions_max, of.settings.sessions_per_ip_max);
        let ip = req.remote_ip();
        let takes = self.takes_session(number, ip, most);
        let id = takes.then(|| self.new_session_id(&of.node_id));
        let Some(sid) = id.flatten() else {
            let engine = self.engine();
            engine.conns.stats.handshakes_refused += 1;
            return engine.refuse_asked(asked, 503, "handshake error", b"Retry-After: 1\r\n");
        };
        let transport = asked.transport();
        let req = Request {
            transport: Some(transport).filter(|it| *it != Transport::None),
            ..req
        };
        let index = self.number(router);
        let Some(object) = self.guard(router.name, || (router.make)(&req)) else {
            return self
                .engine()
                .refuse_asked(asked, 500, "handshake error", b"");
        };
        let mut session = session::SocketIo::new(Session::new(), Rc::clone(rules));
        session.asked = Some(Box::new(asked));
        let from = (req.peer(), ip);
        let sessions = &mut self.engine().sessions;
        let key = sessions.insert(number, &sid, Family::SocketIo(session), from);
        let kept = router.keeps_request().then(|| Rc::new(req.keep(raw)));
        let rare = Rare::opening(Opening::new(None), kept);
        let by = (Link::SocketIo(key), transport);
        let id = self.engine().begin(index, by, object, rare);
        if let Some(entry) = self.engine().sessions.arena.get_mut(key) {
            entry.connection = Some(id);
        }
        let opened = self.call(io, id, "on_open", |object, at| object.open(at, &req));
        self.decide(io, id, opened);
    }

    /// `on_open` of a connection without a handshake of its own has returned, or panicked.
    pub(in crate::server) fn decide(
        &mut self,
        io: &mut IoLoop<Msg>,
        id: crate::ConnectionId,
        opened: Option<Result<(), Reject>>,
    ) {
        match opened {
            None => self.decided(io, id, Err(Reject::status(500))),
            Some(Err(reject)) => self.decided(io, id, Err(reject)),
            Some(Ok(())) if self.opening(id).is_some_and(|opening| opening.later) => {
                self.decide_in_time(id);
            }
            Some(Ok(())) => self.decided(io, id, Ok(())),
        }
    }

    /// 32 digits of base 32, of the kernel's random numbers but for the server's own part in front.
    fn new_session_id(&mut self, node_id: &str) -> Option<String> {
        const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
        let mut id = node_id.to_owned();
        let mut bytes = [0; ID_BYTES];
        let bytes = &mut bytes[node_id.len()..];
        self.entropy.fill(bytes)?;
        id.extend(
            bytes
                .iter()
                .map(|b| char::from(DIGITS[usize::from(b % 32)])),
        );
        Some(id)
    }

    // ---- transports -------------------------------------------------------------------------

    /// A request of a session: a receiver, packets, or its end.
    fn transport(
        &mut self,
        io: &mut IoLoop<Msg>,
        at: Asked,
        (mount, transport, name, sid): (u32, Option<path::Transport>, &str, &str),
        req: Request<'_>,
    ) {
        let table = Rc::clone(&self.table);
        let SocketIoMount { of, websocket, .. } = &table.socketio()[mount as usize].mount;
        let site = Site::new(of, &req);
        let upgrade = req.head.has_option("Upgrade", "websocket");
        let key = self.find_session(*websocket as u32, sid, Generation::V09);
        let way = transport.map(|transport| way(transport, &req));
        let way = way.filter(|way| of.enabled_protocols.contains(&way.transport()));
        let script = matches!(way, Some(Way::JsonpPolling(_))) && req.method() == "GET";
        let lines = match script {
            false => site.cors(),
            true => b"X-Content-Type-Options: nosniff\r\n".to_vec(),
        };
        let wants_end = req.query("disconnect").is_some();
        let is_websocket = matches!(way, Some(Way::WebSocket | Way::FlashSocket));
        if way.is_none() && !(wants_end && (name.is_empty() || transport.is_some())) {
            let status = if upgrade { 400 } else { 404 };
            return self.say(at, status, "unknown transport\n", &lines, upgrade);
        }
        if is_websocket && upgrade {
            return self.upgrade_session(io, at.0, (*websocket as u32, key), way, &req);
        }
        if !site.allows(script) {
            self.engine().conns.stats.handshakes_refused += 1;
            return self.say(at, 403, "handshake bad origin", &lines, upgrade);
        }
        if self.is_from_elsewhere(of, key, &req) {
            return self.say(at, 401, "", &lines, upgrade);
        }
        if wants_end {
            if let Some(key) = key {
                self.engine().client_disconnects(key, "");
            }
            return self.say(at, 200, "", &lines, upgrade);
        }
        match way {
            None => {}
            Some(Way::WebSocket | Way::FlashSocket) => {
                let mut lines = lines;
                lines.extend_from_slice(b"Upgrade: websocket\r\n");
                self.say(at, 426, "", &lines, true);
            }
            Some(way) if req.method() == "POST" => self.post(io, at, (of, key), way, lines, &req),
            Some(way) => {
                let mut place = place(at, lines);
                place
                    .headers
                    .extend_from_slice(b"Cache-Control: no-store\r\n");
                match key {
                    Some(key) => self.engine().attach_socketio(key, At { place, way }),
                    None if of.settings.unknown_session_401 => {
                        self.say(at, 401, "", &place.headers, false);
                    }
                    None => self.engine().answer_packet(place, way, NOT_HANDSHAKEN),
                }
            }
        }
    }

    /// The session of that id. Before its handshake is answered nobody knows it.
    fn find_session(
        &mut self,
        websocket: u32,
        sid: &str,
        generation: Generation,
    ) -> Option<SessionKey> {
        let key = self.engine().sessions.find(websocket, sid)?;
        let it = self.engine().sessions.socketio(key)?;
        let known = it.session.is_open() || it.session.is_closing();
        (known && it.generation() == generation).then_some(key)
    }

    /// Completes an upgrade for a session.
    pub(in crate::server) fn accept_upgrade(
        &mut self,
        io: &mut IoLoop<Msg>,
        key: SessionKey,
        asked: session::Asked,
        headers: &[u8],
    ) {
        let session::Asked::Upgrade(at, shake, websocket) = asked else {
            return;
        };
        let begins = Begins {
            shake: &shake,
            mount: websocket,
            protocol: None,
            headers,
            early: &[],
            full: false,
        };
        self.become_websocket(io, at.place.conn, 0, begins);
        self.engine().conns.stats.websockets_opened += 1;
        self.engine().attach_socketio(key, at);
    }

    /// Whether a session is asked for by another address than it was made by, where that matters.
    fn is_from_elsewhere(
        &mut self,
        of: &SocketIo,
        key: Option<SessionKey>,
        req: &Request<'_>,
    ) -> bool {
        let verify = of.settings.verify_remote_ip;
        let entry = key.and_then(|key| self.engine().sessions.arena.get(key));
        verify && entry.is_some_and(|entry| entry.ip != req.remote_ip())
    }

    /// A WebSocket for a session that is there.
    fn upgrade_session(
        &mut self,
        io: &mut IoLoop<Msg>,
        conn: ConnKey,
        (websocket, key): (u32, Option<SessionKey>),
        way: Option<Way>,
        req: &Request<'_>,
    ) {
        let table = Rc::clone(&self.table);
        let Some(shake) = self.check_upgrade(conn, &table.mounts()[websocket as usize], req) else {
            return;
        };
        let rules = key.and_then(|key| {
            let it = self.engine().sessions.socketio(key)?;
            Some(Rc::clone(&it.rules))
        });
        let of = rules
            .as_ref()
            .map(|rules| &table.socketio()[rules.mount].mount.of);
        if of.is_some_and(|of| self.is_from_elsewhere(of, key, req)) {
            return self.refuse_with(conn, 401, "", b"");
        }
        let begins = Begins {
            shake: &shake,
            mount: websocket,
            protocol: None,
            headers: b"",
            early: &[],
            full: false,
        };
        let (Some(key), Some(rules), Some(way)) = (key, rules, way) else {
            // A browser cannot read the status of a refused upgrade, but a packet.
            self.become_websocket(io, conn, 0, begins);
            self.engine().conns.send_last(conn, NOT_HANDSHAKEN);
            self.engine().conns.close_websocket(conn, 1000, "");
            return;
        };
        let place = place((conn, 0), Vec::new());
        if !rules.settings.websocket_check {
            self.become_websocket(io, conn, 0, begins);
            self.engine().conns.stats.websockets_opened += 1;
            self.engine().attach_socketio(key, At { place, way });
            return;
        }
        self.become_websocket(io, conn, 0, begins);
        let engine = self.engine();
        engine.conns.send_last(conn, packet::HEARTBEAT);
        engine.conns.stats.websockets_opened += 1;
        engine.conns.set_session(conn, key.to_bits());
        if let Some(it) = engine.sessions.socketio(key) {
            it.trial = Some(At { place, way });
        }
        let run = TimerRun::App(Box::new(move |app| {
            app.shared().engine.borrow_mut().give_up(key, conn);
        }));
        engine.start_timer(None, rules.settings.client_timeout, run);
    }

    /// Packets of the client: they are handed on, then the request is answered.
    fn post(
        &mut self,
        io: &mut IoLoop<Msg>,
        at: Asked,
        (of, key): (&SocketIo, Option<SessionKey>),
        way: Way,
        mut lines: Vec<u8>,
        req: &Request<'_>,
    ) {
        let Some(key) = key else {
            return self.say(at, 401, "", &lines, false);
        };
        if !self.engine().hear_post(key) {
            return self.say(at, 401, "", &lines, false);
        }
        if self.engine().is_sending(key) {
            // A client sends one request at a time, so this is none: one of them is waiting already.
            return self.say(at, 503, "", &lines, false);
        }
        let kind = match way {
            Way::JsonpPolling(_) => Post::Jsonp,
            _ => Post::Plain,
        };
        let body = wrapping::post_body(kind, req.header("Content-Type"), req.body());
        let max = of.settings.packets_max;
        let body = body.ok().filter(|body| {
            let packets = crate::proto::sio09::payload::packets(body);
            packets.take(max.saturating_add(1)).count() <= max
        });
        let Some(body) = body else {
            self.engine().conns.stats.protocol_errors += 1;
            return self.say(at, 400, "", &lines, false);
        };
        if req.header("Origin").is_some() {
            lines.extend_from_slice(b"X-XSS-Protection: 0\r\n");
        }
        let mut place = place(at, lines);
        place.thanks = "1";
        self.socketio_send(io, key, place, &body);
    }

    fn answer_preflight(&mut self, at: Asked, site: &Site<'_>, upgrade: bool) {
        let (status, lines) = site.answer_to_preflight();
        self.say(at, status, "", &lines, upgrade);
    }

    /// Answers at once, and ends the conn if wanted: what follows a refused upgrade may be no HTTP.
    fn say(&mut self, (conn, serial): Asked, status: u16, text: &str, lines: &[u8], close: bool) {
        let response = Outgoing {
            status,
            content_type: Some("text/plain; charset=UTF-8").filter(|_| !text.is_empty()),
            headers: lines,
            body: OutBody::Bytes(text.as_bytes()),
            close,
        };
        self.engine().conns.answer(conn, serial, response);
    }
}

fn place((conn, serial): Asked, headers: Vec<u8>) -> Place {
    Place {
        conn,
        serial,
        headers,
        thanks: "",
    }
}

fn way(transport: path::Transport, req: &Request<'_>) -> Way {
    match transport {
        path::Transport::WebSocket => Way::WebSocket,
        path::Transport::FlashSocket => Way::FlashSocket,
        path::Transport::XhrPolling => Way::XhrPolling,
        path::Transport::JsonpPolling => {
            let index = handshake::jsonp_index(req.query("i").as_deref());
            Way::JsonpPolling(index.unwrap_or(0))
        }
        path::Transport::HtmlFile => Way::HtmlFile,
    }
}

const BAD_VERSION: &str = "Protocol version not supported.";
const NOT_HANDSHAKEN: &[u8] = b"7:::1+0";
const _: () = assert!(RECONNECT.len() == NOT_HANDSHAKEN.len() - 4);

/// As many digits has a session id.
const ID_BYTES: usize = 32;
