//! HTTP requests: from the bytes of a conn to the handler of a route, and the refusals.

use super::Msg;
use super::core::Core;
use super::request::{Request, client};
use super::response::{Reply, Response};
use super::routing::Found;
use crate::conn::http1::{OutBody, Outgoing, Phase, Terms};
use crate::conn::{Asking, ConnKey, Protocol};
use crate::proto::http::Error;
use crate::proto::http::chunked::BodyLimits;
use crate::proto::http::framing::Framing;
use crate::proto::http::head::{self, Head, HeadLimits};
use crate::proto::http::pattern::Params;
use crate::proto::{sio06, sio09, sockjs};
use crate::reactor::IoLoop;
use crate::storage::input::Input;
use std::borrow::Cow;
use std::rc::Rc;

impl<S: 'static> Core<S> {
    /// Handles requests of the input. False: what is left of it has to wait.
    pub(crate) fn http_input(
        &mut self,
        io: &mut IoLoop<Msg>,
        key: ConnKey,
        input: &mut Input<'_>,
        work: &mut usize,
    ) -> bool {
        let now = io.now();
        let limits = HeadLimits {
            request_line_bytes_max: self.settings.request_line_bytes_max,
            head_bytes_max: self.settings.head_bytes_max,
            headers_max: self.settings.headers_max,
        };
        let budget = self.settings.work_per_turn_bytes;
        let has_policy = self.policy.is_some();
        loop {
            let Some(conn) = self.conn(key) else {
                return true;
            };
            let blocked = conn.blocked;
            let Protocol::Http(http) = &mut conn.protocol else {
                return true;
            };
            if !matches!(http.phase, Phase::Reading) || blocked || *work >= budget {
                return false;
            }
            let left = input.len();
            if has_policy
                && http.served == 0
                && http.reader.is_idle()
                && input.rest().first() == Some(&b'<')
            {
                // No request begins with this byte: it is said elsewhere what it is.
                conn.protocol = Protocol::Policy(Asking::new(now, false));
                return true;
            }
            let chunks = http.reader.chunks();
            let outcome = if http.reader.is_reading_body() {
                match http.reader.poll_body(input, now) {
                    Ok(None) => Ok(()),
                    Ok(Some(body)) => {
                        let raw = http.reader.take_head();
                        self.body_read(io, key, &raw, &body);
                        Ok(())
                    }
                    Err(error) => Err(error),
                }
            } else {
                match http.reader.poll_head(input, &limits, now) {
                    Ok(None) => Ok(()),
                    Ok(Some(raw)) => self.head_read(io, key, &raw, input),
                    Err(error) => Err(error),
                }
            };
            if let Err(error) = outcome {
                self.refuse(io, key, error);
                return true;
            }
            let least = match self.conn(key).map(|conn| &conn.protocol) {
                Some(Protocol::Http(http)) if matches!(http.phase, Phase::Sending(..)) => FILE_WORK,
                Some(Protocol::Http(http)) => {
                    let chunks = http.reader.chunks().saturating_sub(chunks) as usize;
                    REQUEST_WORK * chunks.max(1)
                }
                _ => REQUEST_WORK,
            };
            *work += (left - input.len()).max(least);
            if self.engine().has_follow_up() {
                self.follow_up(io);
            }
            if input.is_empty() {
                self.watch_last(io, "a handler");
                return true;
            }
        }
    }

    /// A head is there: it is checked, its body is waited for, or it is handled at once.
    fn head_read(
        &mut self,
        io: &mut IoLoop<Msg>,
        key: ConnKey,
        raw: &[u8],
        input: &mut Input<'_>,
    ) -> Result<(), Error> {
        let now = io.now();
        self.engine().conns.stats.requests += 1;
        let mut slots = head::slots();
        let head = Head::parse(raw, &mut slots)?;
        let framing = head.framing()?;
        let continues = head.expects_continue()?;
        let upgrade = head.has_option("Upgrade", "websocket");
        let site = self.site(key);
        let table = Rc::clone(&self.table);
        let (found, params) = table.find(site, head.method, head.path(), upgrade)?;
        let mut max = self.settings.body_bytes_max;
        match &found {
            // A handshake has no body; what follows it are frames (rule W7).
            Found::WebSocket(_) => {
                self.handle(io, key, raw, head, &[], (found, params));
                return Ok(());
            }
            Found::Handler(route) => {
                max = route.body_bytes_max.unwrap_or(max);
                if route.length_required && !matches!(framing, Framing::Length(_)) {
                    return Err(Error::LengthRequired);
                }
            }
            Found::SockJs(mount, rest) => {
                let is_websocket = sockjs::path::Endpoint::is_websocket;
                if upgrade && sockjs::path::parse(rest).is_some_and(is_websocket) {
                    self.handle(io, key, raw, head, &[], (found, params));
                    return Ok(());
                }
                max = table.sockjs()[*mount as usize].of.settings.body_bytes_max;
            }
            Found::SocketIo(mount, rest) => {
                let is_websocket = sio09::path::Route::is_websocket;
                let is_old = sio06::path::Route::is_websocket;
                if upgrade
                    && (sio09::path::parse(rest).is_some_and(is_websocket)
                        || sio06::path::parse(rest).is_some_and(is_old))
                {
                    self.handle(io, key, raw, head, &[], (found, params));
                    return Ok(());
                }
                max = table.socketio()[*mount as usize]
                    .mount
                    .of
                    .settings
                    .body_bytes_max;
            }
            Found::Files(_) | Found::NoMethod(_) | Found::Nothing => {}
        }
        if framing == Framing::None {
            self.handle(io, key, raw, head, &[], (found, params));
            return Ok(());
        }
        let nothing_came = input.is_empty();
        let Some(conn) = self.conn(key) else {
            return Ok(());
        };
        let Protocol::Http(http) = &mut conn.protocol else {
            return Ok(());
        };
        let body_limits = BodyLimits {
            body_bytes_max: max as u64,
            ..BodyLimits::default()
        };
        http.reader.expect_body(framing, &body_limits, now)?;
        if let Some(body) = http.reader.poll_body(input, now)? {
            self.handle(io, key, raw, head, &body, (found, params));
            return Ok(());
        }
        http.reader.keep_head(Cow::Borrowed(raw));
        if continues && nothing_came {
            let conns = &mut self.engine().conns;
            if let Some(conn) = conns.arena.get_mut(key) {
                conn.out
                    .append(b"HTTP/1.1 100 Continue\r\n\r\n", &mut conns.pool);
                conns.queued += 25;
                conns.mark_dirty(key);
            }
        }
        Ok(())
    }

    /// The body of a request whose head was kept is there.
    fn body_read(&mut self, io: &mut IoLoop<Msg>, key: ConnKey, raw: &[u8], body: &[u8]) {
        let mut slots = head::slots();
        let table = Rc::clone(&self.table);
        let site = self.site(key);
        let parsed = Head::parse(raw, &mut slots).and_then(|head| {
            let upgrade = head.has_option("Upgrade", "websocket");
            let found = table.find(site, head.method, head.path(), upgrade)?;
            Ok((head, found))
        });
        match parsed {
            Ok((head, found)) => self.handle(io, key, raw, head, body, found),
            // It was parsed before, so this does not happen; if it does, nobody is hurt.
            Err(error) => self.refuse(io, key, error),
        }
    }

    /// A whole request: it goes to what answers there.
    fn handle(
        &mut self,
        io: &mut IoLoop<Msg>,
        key: ConnKey,
        raw: &[u8],
        head: Head<'_>,
        body: &[u8],
        (found, params): (Found<'_, S>, Params<'_>),
    ) {
        let until = io.now() + self.settings.answer_timeout;
        let Some(conn) = self.conn(key) else { return };
        let peer = conn.peer;
        let Protocol::Http(http) = &mut conn.protocol else {
            return;
        };
        http.serial = http.serial.wrapping_add(1);
        http.phase = Phase::Waiting(Terms::of(&head), until);
        let serial = http.serial;
        let trusted = Rc::clone(&self.trusted);
        let client = client(&head, peer, |ip| trusted.contains(ip));
        let req = Request {
            head,
            body,
            params,
            peer,
            client,
            subprotocol: None,
            transport: None,
            endpoint_query: "",
            extra: None,
        };
        match found {
            // Before the route that says 200 otherwise: it does not know of the drain.
            Found::Handler(_) | Found::Files(_) | Found::Nothing
                if self.is_draining() && req.path() == "/readyz" =>
            {
                self.engine().answer(key, serial, Response::new(503));
            }
            Found::WebSocket(mount) => self.upgrade(io, key, mount, raw, req),
            Found::SockJs(mount, rest) => self.sockjs(io, (key, serial), mount, rest, raw, req),
            Found::SocketIo(mount, rest) => self.socketio(io, (key, serial), mount, rest, raw, req),
            Found::Handler(route) => {
                let handler = Rc::clone(&route.handler);
                let reply = (key, serial);
                self.guarded("a handler", |app| {
                    let shared = app.shared();
                    let (conn, serial) = reply;
                    handler(
                        &req,
                        app,
                        Reply {
                            shared,
                            conn,
                            serial,
                            open: true,
                        },
                    );
                });
            }
            Found::Files(files) => {
                let response = files.respond(&req);
                self.engine().answer(key, serial, response);
            }
            Found::NoMethod(allow) => {
                let response = Response::new(405).header("Allow", &allow);
                self.engine().answer(key, serial, response);
            }
            Found::Nothing => {
                let response = Response::text("404 Not Found\n").status(404);
                self.engine().answer(key, serial, response);
            }
        }
    }

    fn site(&mut self, key: ConnKey) -> usize {
        self.conn(key).map_or(usize::MAX, |conn| conn.site as usize)
    }

    // ---- refusals ---------------------------------------------------------------------------

    /// Answers a request that cannot be understood, and closes: nothing behind it is looked at.
    pub(crate) fn refuse(&mut self, io: &mut IoLoop<Msg>, key: ConnKey, error: Error) {
        log::debug!("a request was refused: {error}");
        self.engine().conns.stats.bad_requests += 1;
        self.refuse_with(key, error.status(), "", b"");
        self.settle(io, key);
    }

    /// A handler took too long.
    pub(crate) fn answer_timeout(&mut self, key: ConnKey) {
        let Some(conn) = self.conn(key) else { return };
        let Protocol::Http(http) = &conn.protocol else {
            return;
        };
        let serial = http.serial;
        self.engine().answer(key, serial, Response::new(503));
    }

    /// Answers with a status and a short text, and closes.
    pub(crate) fn refuse_with(&mut self, key: ConnKey, status: u16, text: &str, lines: &[u8]) {
        self.refuse_with_body(
            key,
            status,
            "text/plain; charset=utf-8",
            text.as_bytes(),
            lines,
        );
    }

    pub(crate) fn refuse_with_body(
        &mut self,
        key: ConnKey,
        status: u16,
        content_type: &str,
        body: &[u8],
        lines: &[u8],
    ) {
        let Some(conn) = self.conn(key) else { return };
        let Protocol::Http(http) = &mut conn.protocol else {
            return;
        };
        let terms = match &http.phase {
            Phase::Waiting(terms, _) => *terms,
            _ => Terms {
                head: false,
                http10: false,
                keep_alive: false,
            },
        };
        http.phase = Phase::Waiting(terms, crate::time::Instant::FAR);
        let serial = http.serial;
        let content_type = Some(content_type).filter(|_| !body.is_empty());
        let body = OutBody::Bytes(body);
        let response = Outgoing {
            status,
            content_type,
            headers: lines,
            body,
            close: true,
        };
        self.engine().conns.answer(key, serial, response);
    }
}

/// The least a request or a chunk counts for in the budget of a turn.
const REQUEST_WORK: usize = 1024;

/// The least a request that is answered with a file counts for: it is looked up and opened, which
/// takes as long as some ten other requests.
const FILE_WORK: usize = 16 << 10;
