//! What answers where: [`Routes`] binds classes, handlers and files to paths.

use crate::config::WebSocketLimits;
use crate::connection::Connection;
use crate::error::Error;
use crate::mounts::{Messages, SockJs, SocketIo, WebSocket};
use crate::proto::http::origin::OriginPolicy;
use crate::proto::http::pattern::{Pattern, PatternError};
use crate::router::{Inner, Router};
use crate::server::cx::App;
use crate::server::files::Files;
use crate::server::request::Request;
use crate::server::response::Reply;
use std::rc::Rc;

/// Answers a request: now, or later (see [`Reply`]).
type Handler<S> = Rc<dyn Fn(&Request<'_>, &mut App<'_, S>, Reply<'_, S>)>;

/// A handler and where it answers: a method and a pattern (see [`Routes`]).
///
/// The handler is called with the request, its body included, the server, and a
/// [`Reply`](crate::Reply) that it uses up: it answers now, later, or piece by piece.
///
/// ```
/// use dustdevil::{Response, Route};
///
/// let route = Route::<()>::post("/notes/:name", |req, _app, reply| {
///     let name = req.param("name").unwrap_or_default();
///     reply.send(Response::text(format!("{} bytes for {name}", req.body().len())));
/// })
/// .body_bytes_max(64 << 10);
/// ```
///
/// # Panics
///
/// A handler that panics has answered 500; nobody else is disturbed.
#[doc(alias = "RequestHandler")]
#[doc(alias = "URLSpec")]
pub struct Route<S: 'static> {
    pub(crate) pattern: String,
    pub(crate) method: &'static str,
    pub(crate) handler: Handler<S>,
    pub(crate) body_bytes_max: Option<usize>,
    pub(crate) length_required: bool,
}

macro_rules! methods {
    ($($name:ident $method:literal;)*) => { $(
        #[doc = concat!("A handler for ", $method, ".")]
        pub fn $name(
            pattern: &str,
            handler: impl Fn(&Request<'_>, &mut App<'_, S>, Reply<'_, S>) + 'static,
        ) -> Self {
            Self::method($method, pattern, handler)
        }
    )* };
}

impl<S: 'static> Route<S> {
    methods! {
        get "GET"; head "HEAD"; post "POST"; put "PUT"; patch "PATCH"; delete "DELETE";
        options "OPTIONS";
    }

    fn method(
        method: &'static str,
        pattern: &str,
        handler: impl Fn(&Request<'_>, &mut App<'_, S>, Reply<'_, S>) + 'static,
    ) -> Self {
        Self {
            pattern: pattern.to_owned(),
            method,
            handler: Rc::new(handler),
            body_bytes_max: None,
            length_required: false,
        }
    }

    /// Bytes of a request body here, in place of the setting of that name (default: 1 MiB). Over it:
    /// 413, before more is read. There is no upper bound: the body is held in memory.
    #[doc(alias = "max_body_size")]
    #[must_use]
    pub fn body_bytes_max(mut self, max: usize) -> Self {
        self.body_bytes_max = Some(max);
        self
    }

    /// Refuses a request without `Content-Length` (411; RFC 9110, 15.5.12), a chunked one too.
    #[must_use]
    pub fn length_required(mut self) -> Self {
        self.length_required = true;
        self
    }
}

/// What answers where, on one listener or on all.
///
/// A pattern is a path, in which `:name` stands for one segment and a last `*name` for all the
/// rest. The first match decides. HEAD is answered by GET's handler if it has none of its own; a
/// method without a handler gets 405 with `Allow`, a path without one 404. A path may have handlers
/// and a WebSocket: requests with `Upgrade: websocket` go to the WebSocket. See the
/// [manual](crate::manual::http).
///
/// A pattern that cannot be used is found by `bind`: [`Error::Route`].
#[doc(alias = "Application")]
#[doc(alias = "URLSpec")]
pub struct Routes<S: 'static> {
    pub(crate) table: Vec<Entry<S>>,
    pub(crate) mounts: Vec<Mount<S>>,
    pub(crate) sockjs: Vec<SockJsMount<S>>,
    pub(crate) socketio: Vec<SocketIoMount<S>>,
    pub(crate) error: Option<Error>,
}

pub(crate) struct Entry<S: 'static> {
    pub(crate) pattern: Pattern,
    pub(crate) text: String,
    /// Whether the pattern stands for nothing but itself.
    pub(crate) literal: bool,
    /// What the path has to begin with, in place of `text`.
    #[cfg(feature = "regex")]
    prefix: Option<Prefix>,
    pub(crate) to: Endpoint<S>,
}

/// A regular expression that begins a path.
#[cfg(feature = "regex")]
struct Prefix {
    /// Of everything before a slash, or before the end.
    whole: regex_lite::Regex,
    /// Of as much as it takes.
    start: regex_lite::Regex,
}

impl<S: 'static> Entry<S> {
    /// What follows in a path below the prefix, as a rule nothing or a slash first.
    pub(crate) fn below<'p>(&self, path: &'p str) -> Option<&'p str> {
        #[cfg(feature = "regex")]
        if let Some(prefix) = &self.prefix {
            if path.len() > REGEX_BYTES_MAX {
                return None;
            }
            let ends = path.rmatch_indices('/').map(|(at, _)| at);
            let ends = std::iter::once(path.len()).chain(ends);
            let end = ends
                .take(REGEX_TRIES_MAX)
                .find(|end| prefix.whole.is_match(&path[..*end]));
            let end = end.or_else(|| prefix.start.find(path).map(|found| found.end()));
            return end.map(|end| &path[end..]);
        }
        path.strip_prefix(&*self.text)
    }
}

/// Longer paths match no regular expression: each of their beginnings would be tried.
#[cfg(feature = "regex")]
const REGEX_BYTES_MAX: usize = 1024;
/// How many beginnings of a path are tried.
#[cfg(feature = "regex")]
const REGEX_TRIES_MAX: usize = 16;

pub(crate) enum Endpoint<S: 'static> {
    Methods(Vec<Route<S>>),
    /// Index among `mounts`.
    WebSocket(usize),
    Files(Files),
    /// Everything below a prefix; index among `sockjs`.
    SockJs(usize),
    /// The same; index among `socketio`.
    SocketIo(usize),
}

/// A router as the target of WebSockets.
pub(crate) struct Mount<S: 'static> {
    pub(crate) router: Rc<Inner<S>>,
    pub(crate) settings: WebSocket,
    pub(crate) framing: Framing,
}

/// What the messages of a WebSocket hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// The application's messages.
    Plain,
    /// The same, below a SockJS mount.
    RawSockJs,
    /// Frames of SockJS, with this long between two heartbeats.
    SockJs(std::time::Duration),
    /// Packets of Socket.IO, for a session that is there already.
    SocketIo,
}

/// A router served over SockJS.
pub(crate) struct SockJsMount<S: 'static> {
    pub(crate) router: Rc<Inner<S>>,
    pub(crate) of: SockJs,
    /// Indexes among `mounts` of its two kinds of WebSocket.
    pub(crate) websocket: usize,
    pub(crate) raw: usize,
}

/// A router served over Socket.IO.
pub(crate) struct SocketIoMount<S: 'static> {
    pub(crate) router: Rc<Inner<S>>,
    pub(crate) of: SocketIo,
    /// Index among `mounts` of its WebSockets.
    pub(crate) websocket: usize,
}

impl<S: 'static> Default for Routes<S> {
    fn default() -> Self {
        Self {
            table: Vec::new(),
            mounts: Vec::new(),
            sockjs: Vec::new(),
            socketio: Vec::new(),
            error: None,
        }
    }
}

impl<S: 'static> Routes<S> {
    /// Nothing is answered yet but 404.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a handler. Handlers of one pattern are kept together, whenever they are added; for one
    /// method the first counts.
    #[must_use]
    pub fn route(mut self, route: Route<S>) -> Self {
        let same = self.table.iter_mut().find_map(|entry| match &mut entry.to {
            Endpoint::Methods(methods) if entry.text == route.pattern => Some(methods),
            _ => None,
        });
        match same {
            Some(methods) => methods.push(route),
            None => {
                let text = route.pattern.clone();
                self.add(&text, Endpoint::Methods(vec![route]));
            }
        }
        self
    }

    /// Serves a class over plain WebSocket (RFC 6455; versions 13, 8 and 7). A GET there that is no
    /// upgrade gets 426, unless the path has handlers too.
    #[must_use]
    pub fn websocket<C: Connection<State = S>>(
        mut self,
        pattern: &str,
        router: &Router<C>,
        settings: WebSocket,
    ) -> Self {
        let mount = self.mount(router, settings, Framing::Plain);
        self.add(pattern, Endpoint::WebSocket(mount));
        self
    }

    /// Serves a class over SockJS 0.3, all transports, at and below a prefix: a path without a slash
    /// at its end, or nothing. It answers everything there that routes added before it do not. See
    /// the [manual](crate::manual::sockjs).
    #[doc(alias = "SockJSRouter")]
    #[doc(alias = "apply_routes")]
    #[doc(alias = "urls")]
    #[must_use]
    pub fn sockjs<C: Connection<State = S>>(
        mut self,
        prefix: &str,
        router: &Router<C>,
        of: SockJs,
    ) -> Self {
        let websocket = || carrier(&of.websocket, &of.origins, (of.hixie76, of.hixie75));
        let framing = Framing::SockJs(of.settings.heartbeat_delay);
        let text = WebSocket {
            messages: Messages::Text,
            ..websocket()
        };
        let raw = self.mount(router, websocket(), Framing::RawSockJs);
        let websocket = self.mount(router, text, framing);
        self.sockjs.push(SockJsMount {
            router: router.inner(),
            of,
            websocket,
            raw,
        });
        let mount = self.sockjs.len() - 1;
        self.add_prefix(prefix, Endpoint::SockJs(mount));
        self
    }

    /// Serves a class over Socket.IO 0.6 to 0.9, all transports, at and below a prefix, `/socket.io` as a
    /// rule: clients ask there unless they are told otherwise. It answers everything there that routes
    /// added before it do not. See the [manual](crate::manual::socketio09).
    #[doc(alias = "TornadioRouter")]
    #[doc(alias = "SocketRouterBase")]
    #[doc(alias = "apply_routes")]
    #[doc(alias = "resource")]
    #[doc(alias = "route")]
    #[doc(alias = "routes")]
    #[doc(alias = "namespace")]
    #[must_use]
    pub fn socketio<C: Connection<State = S>>(
        mut self,
        prefix: &str,
        router: &Router<C>,
        of: SocketIo,
    ) -> Self {
        let websocket = WebSocket {
            messages: Messages::Text,
            ..carrier(&of.websocket, &of.origins, (of.hixie76, of.hixie75))
        };
        let websocket = self.mount(router, websocket, Framing::SocketIo);
        self.socketio.push(SocketIoMount {
            router: router.inner(),
            of,
            websocket,
        });
        let mount = self.socketio.len() - 1;
        self.add_prefix(prefix, Endpoint::SocketIo(mount));
        self
    }

    /// The same, at and below every path that a regular expression matches, as `/chat/[a-z]+`: the resource
    /// of TornadIO and SocketTornad.IO. Of several beginnings of a path that match the longest counts. Feature
    /// `regex`.
    ///
    /// # Errors
    ///
    /// What is wrong with the expression.
    #[cfg(feature = "regex")]
    #[doc(alias = "resource")]
    pub fn socketio_regex<C: Connection<State = S>>(
        mut self,
        prefix: &str,
        router: &Router<C>,
        of: SocketIo,
    ) -> Result<Self, regex_lite::Error> {
        let prefix = Prefix {
            whole: regex_lite::Regex::new(&format!("^(?:{prefix})$"))?,
            start: regex_lite::Regex::new(&format!("^(?:{prefix})"))?,
        };
        self = self.socketio("", router, of);
        if let Some(entry) = self.table.last_mut() {
            entry.prefix = Some(prefix);
        }
        Ok(self)
    }

    /// Adds what answers everything at and below a prefix.
    fn add_prefix(&mut self, prefix: &str, to: Endpoint<S>) {
        let before = self.table.len();
        self.add(if prefix.is_empty() { "/" } else { prefix }, to);
        if let Some(entry) = self.table.get_mut(before) {
            entry.text.truncate(prefix.trim_end_matches('/').len());
        }
    }

    fn mount<C: Connection<State = S>>(
        &mut self,
        router: &Router<C>,
        settings: WebSocket,
        framing: Framing,
    ) -> usize {
        self.mounts.push(Mount {
            router: router.inner(),
            settings,
            framing,
        });
        self.mounts.len() - 1
    }

    /// Serves files to GET and HEAD. For a folder the pattern ends with `*path`; a single file may have
    /// any pattern.
    #[doc(alias = "StaticFileHandler")]
    #[must_use]
    pub fn files(mut self, pattern: &str, files: Files) -> Self {
        self.add(pattern, Endpoint::Files(files));
        self
    }

    /// These routes, then others.
    #[must_use]
    pub fn then(mut self, others: Self) -> Self {
        let (first, first_sockjs) = (self.mounts.len(), self.sockjs.len());
        let first_socketio = self.socketio.len();
        self.mounts.extend(others.mounts);
        for mut mount in others.socketio {
            mount.websocket += first;
            self.socketio.push(mount);
        }
        for mut mount in others.sockjs {
            mount.websocket += first;
            mount.raw += first;
            self.sockjs.push(mount);
        }
        for mut entry in others.table {
            match &mut entry.to {
                Endpoint::WebSocket(mount) => *mount += first,
                Endpoint::SockJs(mount) => *mount += first_sockjs,
                Endpoint::SocketIo(mount) => *mount += first_socketio,
                Endpoint::Methods(_) | Endpoint::Files(_) => {}
            }
            match entry.to {
                Endpoint::Methods(routes) => {
                    for route in routes {
                        self = self.route(route);
                    }
                }
                _ => self.table.push(entry),
            }
        }
        self.error = self.error.or(others.error);
        self
    }

    fn add(&mut self, pattern: &str, to: Endpoint<S>) {
        let parsed = Pattern::parse(pattern).and_then(|parsed| match &to {
            Endpoint::Files(files) if files.is_folder() && !parsed.takes_rest() => {
                Err(PatternError::NoRest)
            }
            _ => Ok(parsed),
        });
        match parsed {
            Ok(parsed) => self.table.push(Entry {
                pattern: parsed,
                text: pattern.to_owned(),
                literal: !pattern.contains([':', '*', '%']),
                #[cfg(feature = "regex")]
                prefix: None,
                to,
            }),
            Err(error) => {
                let pattern = pattern.to_owned();
                self.error.get_or_insert(Error::Route { pattern, error });
            }
        }
    }
}

/// The WebSocket of a mount that has other transports beside it.
fn carrier(
    limits: &WebSocketLimits,
    origins: &OriginPolicy,
    (hixie76, hixie75): (bool, bool),
) -> WebSocket {
    WebSocket {
        limits: limits.clone(),
        origins: origins.clone(),
        hixie76,
        hixie75,
        ..WebSocket::default()
    }
}

#[cfg(all(test, feature = "regex"))]
mod tests {
    use super::*;

    struct Nobody;
    impl Connection for Nobody {
        type State = ();
    }

    #[test]
    fn prefixes_by_regular_expression() {
        let router = Router::with(|_| Nobody);
        let of = SocketIo::default;
        let routes = Routes::new()
            .socketio_regex("/(chat|news)/[a-z]+", &router, of())
            .expect("a good expression");
        let long = format!("/chat/{}", "a/".repeat(600));
        for (path, want) in [
            ("/chat/a/websocket", Some("/websocket")),
            ("/news/ab/1/", Some("/1/")),
            ("/chat/a", Some("")),
            ("/chat/ab-42/websocket", Some("-42/websocket")),
            ("/chat/1/websocket", None),
            ("/chat", None),
            (&long, None),
        ] {
            assert_eq!(routes.table[0].below(path), want, "{path}");
        }
        assert!(Routes::new().socketio_regex("(", &router, of()).is_err());
    }
}
