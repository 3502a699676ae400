//! Requests of Socket.IO 0.6, whose sessions begin with their first transport.

use super::session::{Asked, At, Way};
use super::site::{self, Site};
use super::{Generation, place};
use crate::conn::ConnKey;
use crate::connection::Transport;
use crate::proto::sio06::frame;
use crate::proto::sio06::path::{self, Route};
use crate::proto::sio06::wrapping::{self, Post};
use crate::reactor::IoLoop;
use crate::router::Extra;
use crate::routes::SocketIoMount;
use crate::server::Msg;
use crate::server::core::Core;
use crate::server::request::Request;
use crate::server::routing::Mounted;
use crate::server::sessions::SessionKey;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

impl<S: 'static> Mounted<S> {
    /// Whether the application takes what follows the prefix without a slash as its data. A panic of its is
    /// dealt with where it is asked again.
    pub(in crate::server) fn takes(&self, rest: &str) -> bool {
        let served = self.old.is_some();
        let Some(read) = self.mount.router.extra.as_ref().filter(|_| served) else {
            return false;
        };
        path::parse(rest).is_some_and(|route| {
            catch_unwind(AssertUnwindSafe(|| read(route.extra))).map_or(true, |it| it.is_some())
        })
    }
}

impl<S: 'static> Core<S> {
    /// Answers a request whose path names a transport of 0.6, with what serves it.
    pub(super) fn socketio06(
        &mut self,
        io: &mut IoLoop<Msg>,
        (conn, serial): (ConnKey, u32),
        mount: u32,
        (route, rules, on): (Route<'_>, &Rc<super::Rules>, &[Transport]),
        raw: &[u8],
        req: Request<'_>,
    ) {
        let at = (conn, serial);
        let table = Rc::clone(&self.table);
        let mounted = &table.socketio()[mount as usize];
        let SocketIoMount {
            router,
            of,
            websocket,
        } = &mounted.mount;
        let upgrade = req.head.has_option("Upgrade", "websocket");
        let site = Site::new(of, &req);
        let lines = site.cors();
        let extra = match &router.extra {
            None => None,
            Some(read) => match self.guard(router.name, || read(route.extra)) {
                Some(Some(extra)) => Some(extra),
                Some(None) => return self.say(at, 404, "404 Not Found\n", &lines, upgrade),
                None => return self.say(at, 500, "", &lines, upgrade),
            },
        };
        if req.method() == "OPTIONS" {
            return self.answer_preflight(at, &site, upgrade);
        }
        if !matches!(req.method(), "GET" | "POST") {
            let mut lines = lines;
            site::put(&mut lines, "Allow", "GET, POST, OPTIONS");
            return self.say(at, 405, "", &lines, upgrade);
        }
        let way = match route.transport {
            path::Transport::WebSocket => Some(Way::WebSocket),
            path::Transport::FlashSocket => Some(Way::FlashSocket),
            path::Transport::XhrPolling => Some(Way::XhrPolling),
            path::Transport::XhrMultipart => Some(Way::XhrMultipart),
            path::Transport::HtmlFile => Some(Way::HtmlFile),
            path::Transport::JsonpPolling => route.index.map(Way::JsonpPolling),
        };
        let Some(way) = way else {
            return self.say(at, 400, "", &lines, upgrade);
        };
        if !on.contains(&way.transport()) {
            return self.say(at, 403, "", &lines, upgrade);
        }
        let script = matches!(way, Way::JsonpPolling(_)) && req.method() == "GET";
        let lines = match script {
            false => lines,
            true => b"X-Content-Type-Options: nosniff\r\n".to_vec(),
        };
        let is_websocket = matches!(way, Way::WebSocket | Way::FlashSocket);
        let key = route
            .session
            .and_then(|sid| self.find_session(*websocket as u32, sid, Generation::V06));
        if self.is_from_elsewhere(of, key, &req) || (route.session.is_some() && key.is_none()) {
            return self.say(at, 401, "", &lines, upgrade);
        }
        let place = place(at, lines);
        if is_websocket && upgrade {
            let mount_of = &table.mounts()[*websocket];
            let Some(shake) = self.check_upgrade(conn, mount_of, &req) else {
                return;
            };
            let asked = Asked::Upgrade(At { place, way }, shake, *websocket as u32);
            return match key {
                Some(key) => self.accept_upgrade(io, key, asked, b""),
                None => self.begin_06(io, (mount, rules), asked, raw, (req, extra.as_ref())),
            };
        }
        if is_websocket {
            return self.say(at, 400, "Upgrade required\n", &place.headers, true);
        }
        if !site.allows(script) {
            self.engine().conns.stats.handshakes_refused += 1;
            return self.say(at, 403, "", &place.headers, upgrade);
        }
        match (req.method(), key) {
            ("POST", Some(key)) => self.post_06(io, at, (key, way), place.headers, &req),
            ("POST", None) => self.say(at, 401, "", &place.headers, upgrade),
            (_, Some(key)) => self.engine().attach_socketio(key, At { place, way }),
            (_, None) => {
                let asked = Asked::Receiver(At { place, way });
                self.begin_06(io, (mount, rules), asked, raw, (req, extra.as_ref()));
            }
        }
    }

    fn begin_06(
        &mut self,
        io: &mut IoLoop<Msg>,
        to: (u32, &Rc<super::Rules>),
        asked: Asked,
        raw: &[u8],
        (req, extra): (Request<'_>, Option<&Extra>),
    ) {
        // Shorter-lived than the request's own parts, and so it is made anew.
        let req = Request { extra, ..req };
        self.begin_session(io, to, asked, raw, req);
    }

    /// Messages of the client: they are handed on, then the request is answered.
    fn post_06(
        &mut self,
        io: &mut IoLoop<Msg>,
        at: (ConnKey, u32),
        (key, way): (SessionKey, Way),
        lines: Vec<u8>,
        req: &Request<'_>,
    ) {
        if !self.engine().hear_post(key) {
            return self.say(at, 401, "", &lines, false);
        }
        if self.engine().is_sending(key) {
            return self.say(at, 503, "", &lines, false);
        }
        let max = self
            .engine()
            .sessions
            .socketio(key)
            .map(|it| it.rules.messages_max);
        let max = max.unwrap_or_default();
        let kind = match way {
            Way::JsonpPolling(_) => Post::Form,
            _ => Post::Script,
        };
        let body = wrapping::post_body(kind, req.body());
        let body = body.ok().filter(|body| !frame::are_more_than(max, body));
        let Some(body) = body else {
            self.engine().conns.stats.protocol_errors += 1;
            return self.say(at, 400, "", &lines, false);
        };
        let mut place = place(at, lines);
        place.thanks = "ok";
        self.socketio_send(io, key, place, &body);
    }
}
