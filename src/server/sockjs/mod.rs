//! Requests at a SockJS mount: which endpoint answers, and what becomes of the session.
//!
//! Not here: headers (`site.rs`); what a session sends (`session.rs`).

pub(crate) mod session;
mod site;

use crate::Reject;
use crate::conn::ConnKey;
use crate::conn::http1::{OutBody, Outgoing};
use crate::connection::{ConnectionId, Message, Transport};
use crate::mounts::SockJs;
use crate::proto::http::conditional;
use crate::proto::sockjs::message::{self, Broken, Messages};
use crate::proto::sockjs::path::{self, Endpoint};
use crate::proto::sockjs::wrapping::{
    self, CALLBACK_BYTES_MAX, HTMLFILE_CALLBACK_BYTES_MAX, Wrapping,
};
use crate::proto::sockjs::{frame, page};
use crate::reactor::IoLoop;
use crate::routes::SockJsMount;
use crate::server::Msg;
use crate::server::core::Core;
use crate::server::engine::{Link, Opening, Rare};
use crate::server::request::Request;
use crate::server::sends::Share;
use crate::server::sessions::{Family, Place, SessionKey};
use crate::server::timers::TimerRun;
use crate::session::sockjs::{Limits, Session};
use site::{Null, Site, cache, put};
use std::borrow::Cow;
use std::rc::Rc;

/// A request on a conn: the place of its answer, before its headers are known.
pub(in crate::server) type At = (ConnKey, u32);

impl<S: 'static> Core<S> {
    /// Answers a request at or below the prefix of a mount.
    pub(in crate::server) fn sockjs(
        &mut self,
        io: &mut IoLoop<Msg>,
        at: At,
        mount: u32,
        rest: &str,
        raw: &[u8],
        req: Request<'_>,
    ) {
        let table = Rc::clone(&self.table);
        let SockJsMount {
            of,
            websocket,
            raw: raw_websocket,
            ..
        } = &table.sockjs()[mount as usize];
        let site = Site::new(of, &req);
        let endpoint = path::parse(rest).filter(|endpoint| site.offers(*endpoint));
        let Some(endpoint) = endpoint else {
            return self.reply_to(at, NOT_FOUND, b"", site.upgrades());
        };
        if !endpoint.is_allowed(req.method()) {
            let mut lines = Vec::new();
            put(&mut lines, "Allow", endpoint.allow());
            return self.reply_to(at, (405, None, b""), &lines, site.upgrades());
        }
        if req.method() == "OPTIONS" {
            let lines = site.preflight(endpoint, self.unix);
            return self.reply(at, (204, None, b""), &lines);
        }
        match endpoint {
            Endpoint::Greeting => self.reply(at, (200, PLAIN, page::GREETING.as_bytes()), b""),
            Endpoint::Iframe => self.iframe(at, of, &req),
            Endpoint::Info => {
                let mut text = String::new();
                page::info(
                    &mut text,
                    of.settings.websocket,
                    of.settings.jsessionid,
                    of.base_url.as_deref(),
                    crate::server::random_u32(),
                );
                let mut lines = site.nocache();
                site.cors(&mut lines, Null::Echoed);
                let kind = Some("application/json; charset=UTF-8");
                self.reply(at, (200, kind, text.as_bytes()), &lines);
            }
            Endpoint::ChunkingTest => self.chunking_test(at, &site),
            Endpoint::RawWebSocket if req.header("Sec-WebSocket-Key1").is_some() => {
                let text = b"Only supported WebSocket protocol is RFC 6455.";
                self.reply_to(at, (400, None, text), b"", true);
            }
            Endpoint::RawWebSocket => self.upgrade(io, at.0, *raw_websocket as u32, raw, req),
            Endpoint::Session {
                transport: path::Transport::WebSocket,
                ..
            } => self.upgrade(io, at.0, *websocket as u32, raw, req),
            Endpoint::Session { id, transport } => {
                let lines = site.session_lines(transport);
                if !site.may_connect() {
                    self.engine().conns.stats.handshakes_refused += 1;
                    return self.reply(at, (403, PLAIN, b"Origin not allowed\n"), &lines);
                }
                match transport {
                    path::Transport::XhrSend | path::Transport::JsonpSend => {
                        let thanks = match transport {
                            path::Transport::JsonpSend => "ok",
                            _ => "",
                        };
                        self.send_request(io, place(at, lines, thanks), (mount, id), &req);
                    }
                    _ => match receiver(transport, &req) {
                        Ok((wrapping, transport)) => {
                            let to = Receiving {
                                at: place(at, lines, ""),
                                wrapping,
                                transport,
                            };
                            self.receiver_request(io, to, (mount, id), raw, req);
                        }
                        Err(text) => self.reply(at, (500, None, text.as_bytes()), &lines),
                    },
                }
            }
        }
    }

    // ---- pages ------------------------------------------------------------------------------

    fn iframe(&mut self, at: At, of: &SockJs, req: &Request<'_>) {
        let body = page::iframe(&of.sockjs_url, of.profile);
        let etag = page::etag(body.as_bytes());
        let mut lines = cache(self.unix);
        put(&mut lines, "ETag", &etag);
        let known = req
            .header("If-None-Match")
            .is_some_and(|tags| conditional::etag_matches(tags.as_bytes(), &etag));
        if known {
            self.reply(at, (304, None, b""), &lines);
        } else {
            self.reply(at, (200, HTML, body.as_bytes()), &lines);
        }
    }

    /// The endpoint of SockJS 0.1: chunks at growing distances.
    fn chunking_test(&mut self, at: At, site: &Site<'_>) {
        let mut lines = Vec::new();
        site.cors(&mut lines, Null::Echoed);
        let (conn, serial) = at;
        let response = Outgoing {
            status: 200,
            content_type: JAVASCRIPT,
            headers: &lines,
            body: OutBody::Stream,
            close: false,
        };
        self.engine().conns.answer(conn, serial, response);
        self.engine().conns.stream(conn, serial, b"h\n");
        let mut padded = vec![b' '; 2048];
        padded.extend_from_slice(b"h\n");
        self.engine().conns.stream(conn, serial, &padded);
        for (n, ms) in [5, 25, 125, 625, 3125, 3125].into_iter().enumerate() {
            let last = n == 5;
            let run = TimerRun::App(Box::new(move |app| {
                let mut engine = app.shared().engine.borrow_mut();
                match last {
                    false => drop(engine.conns.stream(conn, serial, b"h\n")),
                    true => engine.end_stream(conn, serial),
                }
            }));
            let after = std::time::Duration::from_millis(ms);
            self.engine().start_timer(None, after, run);
        }
    }

    // ---- receivers --------------------------------------------------------------------------

    /// A request on which the server may send: it is attached to its session, which it makes if
    /// there is none.
    fn receiver_request(
        &mut self,
        io: &mut IoLoop<Msg>,
        to: Receiving,
        (mount, id): (u32, &str),
        raw: &[u8],
        req: Request<'_>,
    ) {
        let table = Rc::clone(&self.table);
        let SockJsMount { of, websocket, .. } = &table.sockjs()[mount as usize];
        let (number, ip) = (*websocket as u32, req.remote_ip());
        let engine = self.engine();
        let Some(key) = engine.sessions.find(number, id) else {
            return self.new_session(io, to, (mount, id), raw, req);
        };
        let Some(entry) = engine.sessions.arena.get(key) else {
            return;
        };
        let Family::SockJs(sockjs) = &entry.family else {
            return;
        };
        let mut refused = Vec::new();
        if of.settings.verify_ip && entry.ip != ip {
            let text = "Attempted to connect to session from different IP";
            frame::push_close(&mut refused, 2010, text);
        } else if sockjs.session.receiver().is_some() {
            frame::push_close(&mut refused, 2010, "Another connection still open");
        }
        if refused.is_empty() {
            engine.attach(key, to.at, to.wrapping);
        } else {
            let limits = Rc::clone(&sockjs.limits);
            engine.turn_away(&to.at, &to.wrapping, &limits, &refused);
        }
    }

    fn new_session(
        &mut self,
        io: &mut IoLoop<Msg>,
        mut to: Receiving,
        (mount, name): (u32, &str),
        raw: &[u8],
        req: Request<'_>,
    ) {
        let table = Rc::clone(&self.table);
        let SockJsMount {
            router,
            of,
            websocket,
            ..
        } = &table.sockjs()[mount as usize];
        let number = *websocket as u32;
        let most = (of.settings.sessions_max, of.settings.sessions_per_ip_max);
        let ip = req.remote_ip();
        if !self.takes_session(number, ip, most) {
            self.engine().conns.stats.handshakes_refused += 1;
            let mut lines = to.at.headers;
            put(&mut lines, "Retry-After", "1");
            return self.reply((to.at.conn, to.at.serial), (503, None, b""), &lines);
        }
        let req = Request {
            transport: Some(to.transport),
            ..req
        };
        let index = self.shared.remote.router_index(router.id);
        let Some(object) = self.guard(router.name, || (router.make)(&req)) else {
            let at = (to.at.conn, to.at.serial);
            return self.reply(at, (500, None, b""), &to.at.headers);
        };
        let limits = Rc::clone(&table.session_limits()[mount as usize]);
        let session = Session::new(io.now(), &limits);
        let family = Family::SockJs(session::SockJs { session, limits });
        let from = (req.peer(), ip);
        let sessions = &mut self.engine().sessions;
        let key = sessions.insert(number, name, family, from);
        let kept = router.keeps_request().then(|| Rc::new(req.keep(raw)));
        let rare = Rare::opening(Opening::new(None), kept);
        let by = (Link::Session(key), to.transport);
        let id = self.engine().begin(index, by, object, rare);
        if let Some(entry) = self.engine().sessions.arena.get_mut(key) {
            entry.connection = Some(id);
        }
        let opened = self.call(io, id, "on_open", |object, at| object.open(at, &req));
        let lines = &mut to.at.headers;
        if let Some(opening) = self.opening(id) {
            lines.append(&mut opening.headers);
        }
        if let Some(Err(reject)) = &opened {
            reject.push_headers(lines);
        }
        match opened {
            None => self.decided(io, id, Err(Reject::close(1011, "internal error"))),
            Some(Err(reject)) => self.decided(io, id, Err(reject)),
            Some(Ok(())) if self.opening(id).is_some_and(|opening| opening.later) => {
                self.decide_in_time(id);
            }
            Some(Ok(())) => self.decided(io, id, Ok(())),
        }
        self.engine().attach(key, to.at, to.wrapping);
    }

    /// The client's messages wait for the decision, which has to come in time.
    pub(in crate::server) fn decide_in_time(&mut self, id: ConnectionId) {
        let after = self.settings.answer_timeout;
        let engine = self.engine();
        engine.hold(id);
        let run = TimerRun::App(Box::new(move |app| {
            let mut engine = app.shared().engine.borrow_mut();
            engine.next.push_back(crate::server::engine::Next::Decided(
                id,
                Err(Reject::status(503)),
            ));
        }));
        engine.start_timer(Some(id), after, run);
    }

    // ---- sends ------------------------------------------------------------------------------

    /// Messages of the client: they are handed on, then the request is answered.
    fn send_request(
        &mut self,
        io: &mut IoLoop<Msg>,
        at: Place,
        (mount, id): (u32, &str),
        req: &Request<'_>,
    ) {
        let of = &self.table.sockjs()[mount as usize];
        let (verify, number) = (of.of.settings.verify_ip, of.websocket as u32);
        let sessions = &self.engine().sessions;
        let key = sessions.find(number, id).filter(|key| {
            let entry = sessions.arena.get(*key);
            !verify || entry.is_some_and(|entry| entry.ip == req.remote_ip())
        });
        let Some(key) = key else {
            return self.reply((at.conn, at.serial), NOT_FOUND, &at.headers);
        };
        if self.engine().is_sending(key) {
            // A client sends one request at a time, so this is none: one of them is waiting already.
            return self.reply((at.conn, at.serial), (503, None, b""), &at.headers);
        }
        let text = match at.thanks {
            "ok" => message::send_body(req.header("Content-Type"), req.body()),
            _ => std::str::from_utf8(req.body())
                .map(Cow::Borrowed)
                .map_err(|_| Broken::Json),
        };
        let messages = text
            .as_deref()
            .map_err(|broken| *broken)
            .and_then(message::array);
        let answer = match messages {
            Ok(messages) if !messages.are_more_than(MESSAGES_MAX) => {
                return self.sockjs_send(io, key, at, messages);
            }
            Ok(_) => (413, None, &b""[..]),
            Err(broken) => (500, None, broken.text().as_bytes()),
        };
        self.engine().conns.stats.protocol_errors += 1;
        self.reply((at.conn, at.serial), answer, &at.headers);
    }

    /// The messages of a send, or what is left of them.
    pub(in crate::server) fn sockjs_send(
        &mut self,
        io: &mut IoLoop<Msg>,
        key: SessionKey,
        at: Place,
        mut messages: Messages<'_>,
    ) {
        let entry = self.engine().sessions.arena.get(key);
        let Some(id) = entry.and_then(|entry| entry.connection) else {
            // To a session that is closed they come too late.
            return self.handed_on(io, key, at, "");
        };
        let (mut out, mut share) = (None, self.share());
        let delivered = self.deliver(io, id, &mut messages, &mut share, &mut out);
        self.put_back(&mut out);
        self.engine().conns.stats.messages_in += delivered.count;
        if delivered.panicked {
            return self.reply((at.conn, at.serial), (500, None, b""), &at.headers);
        }
        let is_over = !self.engine().is_there(id);
        self.handed_on(io, key, at, if is_over { "" } else { messages.rest() });
    }

    /// Hands messages on, each with what follows from it.
    pub(in crate::server) fn deliver(
        &mut self,
        io: &mut IoLoop<Msg>,
        id: ConnectionId,
        messages: &mut Messages<'_>,
        share: &mut Share,
        out: &mut crate::server::messages::Out<S>,
    ) -> Delivered {
        let mut scratch = std::mem::take(&mut self.text);
        let mut delivered = Delivered::default();
        while !share.is_over() {
            let Some(text) = messages.next(&mut scratch) else {
                break;
            };
            delivered.count += 1;
            share.take(text.len());
            let panics = self.engine().conns.stats.panics;
            if !self.message(id, Message::from(text), out) {
                // What follows may have panics of others.
                delivered.panicked = self.engine().conns.stats.panics > panics;
                self.put_back(out);
                self.follow_up(io);
                if !self.engine().is_there(id) {
                    break;
                }
            }
            if out.is_none() && self.engine().is_inbox_full(id) {
                break;
            }
        }
        if scratch.capacity() > TEXT_BYTES_KEPT {
            scratch = String::new();
        }
        self.text = scratch;
        delivered
    }

    // ---- answers ----------------------------------------------------------------------------

    fn reply(&mut self, at: At, answer: (u16, Option<&str>, &[u8]), lines: &[u8]) {
        self.reply_to(at, answer, lines, false);
    }

    /// The same, and the end of the conn if wanted: what follows a refused upgrade may be no HTTP.
    fn reply_to(
        &mut self,
        (conn, serial): At,
        (status, content_type, body): (u16, Option<&str>, &[u8]),
        lines: &[u8],
        close: bool,
    ) {
        let response = Outgoing {
            status,
            content_type,
            headers: lines,
            body: OutBody::Bytes(body),
            close,
        };
        self.engine().conns.answer(conn, serial, response);
    }
}

/// What became of the messages of one request or frame.
#[derive(Default)]
pub(in crate::server) struct Delivered {
    pub(in crate::server) count: u64,
    /// The application has failed at one of them.
    pub(in crate::server) panicked: bool,
}

/// A receiver on its way to a session.
struct Receiving {
    at: Place,
    wrapping: Wrapping,
    transport: Transport,
}

fn place((conn, serial): At, lines: Vec<u8>, thanks: &'static str) -> Place {
    Place {
        conn,
        serial,
        headers: lines,
        thanks,
    }
}

/// How frames are put into the answer of a receiver. The error is the body of a 500.
fn receiver(
    transport: path::Transport,
    req: &Request<'_>,
) -> Result<(Wrapping, Transport), &'static str> {
    let callback = |bytes_max| {
        let value = req.query("c").or_else(|| req.query("callback"));
        wrapping::callback(value.as_deref(), bytes_max).map(Into::into)
    };
    Ok(match transport {
        path::Transport::EventSource => (Wrapping::EventSource, Transport::EventSource),
        path::Transport::HtmlFile => (
            Wrapping::HtmlFile(callback(HTMLFILE_CALLBACK_BYTES_MAX)?),
            Transport::HtmlFile,
        ),
        path::Transport::Jsonp => (
            Wrapping::Jsonp(callback(CALLBACK_BYTES_MAX)?),
            Transport::Jsonp,
        ),
        path::Transport::XhrStreaming => (Wrapping::XhrStreaming, Transport::XhrStreaming),
        _ => (Wrapping::Xhr, Transport::Xhr),
    })
}

/// The limits of a mount's sessions.
pub(in crate::server) fn limits(of: &SockJs) -> Limits {
    Limits {
        heartbeat_delay: of.settings.heartbeat_delay,
        disconnect_delay: of.settings.disconnect_delay,
        response_limit: of.settings.response_limit,
        profile: of.profile,
    }
}

const PLAIN: Option<&str> = Some("text/plain; charset=UTF-8");
const HTML: Option<&str> = Some("text/html; charset=UTF-8");
const JAVASCRIPT: Option<&str> = Some("application/javascript; charset=UTF-8");
const NOT_FOUND: (u16, Option<&str>, &[u8]) = (404, PLAIN, b"404 Error: Page not found\n");

/// Messages of one send, or of one frame of a WebSocket: they are counted before any is handed on.
pub(in crate::server) const MESSAGES_MAX: usize = 4096;

/// A scratch text that a large message has grown beyond this is given back.
const TEXT_BYTES_KEPT: usize = 64 << 10;
