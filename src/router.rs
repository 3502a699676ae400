//! What answers where: [`Router`] makes the connections of one class, [`Routes`] binds classes,
//! handlers and files to paths.

use crate::config::{
    ConfigError, SockJsSettings, SocketIo06Settings, SocketIoSettings, WebSocketLimits,
};
use crate::connection::{Connection, Transport};
use crate::error::Error;
use crate::events::Events;
use crate::proto::http::origin::{OriginPolicy, Origins};
use crate::proto::http::pattern::{Pattern, PatternError};
use crate::proto::sockjs::Profile;
use crate::server::cx::App;
use crate::server::files::Files;
use crate::server::object::Object;
use crate::server::request::Request;
use crate::server::response::Reply;
use std::any::Any;
use std::fmt;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Makes the connections of one class. A server can mount it at several places; its rooms and
/// `all()` reach over all of them.
///
/// ```
/// use dustdevil::{Connection, Router};
///
/// #[derive(Default)]
/// struct Chat;
/// impl Connection for Chat {
///     type State = ();
/// }
/// let chat = Router::<Chat>::new();
/// ```
pub struct Router<C: Connection> {
    inner: Rc<Inner<C::State>>,
    of: std::marker::PhantomData<fn() -> C>,
}

/// Names a router, on every thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RouterId(u64);

/// A router without its class.
pub(crate) struct Inner<S: 'static> {
    pub(crate) id: RouterId,
    pub(crate) name: &'static str,
    pub(crate) make: Make<S>,
    pub(crate) keep_request: bool,
    /// The class's `Events`.
    pub(crate) events: Rc<dyn Any>,
    /// The routers of its channels.
    pub(crate) inside: Vec<Rc<Inner<S>>>,
    /// Those of its endpoints, by name.
    pub(crate) endpoints: Vec<(String, Rc<Inner<S>>)>,
    /// Asked for an endpoint that the list does not have.
    pub(crate) find_endpoint: Option<FindEndpoint<S>>,
    /// Reads what stands between the mount and the transport.
    pub(crate) extra: Option<ReadExtra>,
}

type ReadExtra = Box<dyn Fn(&str) -> Option<Extra>>;

type FindEndpoint<S> = Box<dyn Fn(&str, &Request<'_>) -> Option<AnyRouter<S>>>;

/// A router whose class is left open: what [`Router::endpoint_fn`] answers with.
pub struct AnyRouter<S: 'static>(pub(crate) Rc<Inner<S>>);

impl<S: 'static> Clone for AnyRouter<S> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

/// Data of the application in the path of a handshake: the text, and its fields. See [`Router::extra`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extra {
    text: String,
    fields: Vec<(Option<String>, String)>,
}

impl Extra {
    /// Without fields.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            fields: Vec::new(),
        }
    }

    /// Adds a field with a name.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.fields.push((Some(name.into()), value.into()));
        self
    }

    /// Adds a field without a name.
    #[must_use]
    pub fn unnamed(mut self, value: impl Into<String>) -> Self {
        self.fields.push((None, value.into()));
        self
    }

    /// All of it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The first field of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        let field = fields.find(|(of, _)| of.as_deref() == Some(name));
        field.map(|(_, value)| &**value)
    }

    /// A field by its place.
    pub fn at(&self, index: usize) -> Option<&str> {
        self.fields.get(index).map(|(_, value)| &**value)
    }
}

impl<S: 'static> Inner<S> {
    /// Every router that it names, and itself.
    pub(crate) fn with_all_inside(&self, f: &mut impl FnMut(&Self)) {
        f(self);
        let endpoints = self.endpoints.iter().map(|(_, inner)| inner);
        for inner in self.inside.iter().chain(endpoints) {
            inner.with_all_inside(f);
        }
    }

    /// Whether connections that it makes keep their requests: their endpoints are shown them, too.
    pub(crate) fn keeps_request(&self) -> bool {
        self.keep_request || !self.endpoints.is_empty() || self.find_endpoint.is_some()
    }
}

type Make<S> = Box<dyn Fn(&Request<'_>) -> Box<dyn Object<S>>>;

impl<C: Connection> Router<C> {
    /// Connections begin as `C::default()`.
    #[doc(alias = "get_router")]
    #[doc(alias = "SockJSRouter")]
    #[doc(alias = "TornadioRouter")]
    pub fn new() -> Self
    where
        C: Default,
    {
        Self::with(|_| C::default())
    }

    /// Connections are made from the request of their handshake. If `make` panics, the handshake is
    /// answered with 500.
    #[doc(alias = "get_connection_class")]
    #[doc(alias = "session_kls")]
    pub fn with(make: impl Fn(&Request<'_>) -> C + 'static) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self::from_inner(Inner {
            id: RouterId(NEXT.fetch_add(1, Ordering::Relaxed)),
            name: std::any::type_name::<C>(),
            make: Box::new(move |req| Box::new(make(req))),
            keep_request: false,
            events: Rc::new(Events::<C>::of_class()),
            inside: Vec::new(),
            endpoints: Vec::new(),
            find_endpoint: None,
            extra: None,
        })
    }

    /// Keeps the head of each handshake request, so that [`Io::request`](crate::Io::request) can
    /// show it at any time. It costs its size in memory for each connection, up to `head_bytes_max`.
    /// Off by default. Say so before the router is mounted: later it has no effect.
    #[must_use]
    pub fn keep_request(self) -> Self {
        self.change(|inner| inner.keep_request = true)
    }

    /// Names an endpoint of Socket.IO: a client that connects to it gets a connection of that router's
    /// class, beside the one at the root and over the same session. For one name the first counts. Endpoints
    /// of a router that is itself mounted as an endpoint are not looked at.
    ///
    /// Say so before the router is mounted: later it has no effect. The heads of handshake requests are kept
    /// from then on, as with [`keep_request`](Self::keep_request).
    ///
    /// ```
    /// use dustdevil::{Connection, Router};
    ///
    /// #[derive(Default)]
    /// struct Chat;
    /// impl Connection for Chat {
    ///     type State = ();
    /// }
    /// #[derive(Default)]
    /// struct Root;
    /// impl Connection for Root {
    ///     type State = ();
    /// }
    /// let router = Router::<Root>::new().endpoint("/chat", &Router::<Chat>::new());
    /// ```
    #[doc(alias = "__endpoints__")]
    #[doc(alias = "of")]
    #[must_use]
    pub fn endpoint<E: Connection<State = C::State>>(self, name: &str, router: &Router<E>) -> Self {
        let endpoint = (name.to_owned(), router.inner());
        self.change(|inner| inner.endpoints.push(endpoint))
    }

    /// Finds endpoints that the table does not have: it is asked with the name, without its query, and
    /// the request, and answers with a router ([`any`](Self::any)) or with nothing. The routers should be
    /// made once: each one that is new is kept for as long as the server runs, and at 4096 a new one is
    /// refused. As with [`endpoint`](Self::endpoint), say so before mounting.
    #[doc(alias = "get_endpoint")]
    #[must_use]
    pub fn endpoint_fn(
        self,
        find: impl Fn(&str, &Request<'_>) -> Option<AnyRouter<C::State>> + 'static,
    ) -> Self {
        self.change(|inner| inner.find_endpoint = Some(Box::new(find)))
    }

    /// Takes data of the application in the path of Socket.IO 0.6: what stands between the mount and the
    /// transport, whatever separates them, as `/42` in `/chat/42/websocket` and `-42` in `/chat-42/websocket`.
    /// `read` is given that text with the separator, of every request, and makes what
    /// [`Request::extra`](crate::Request::extra) answers in `on_open`. Whether [`Extra::text`] has the separator
    /// is for `read` to say; with `extra_regex` (feature `regex`) it has not.
    ///
    /// With `None` the path is 404, or that of a route added later if the text does not begin with a slash.
    /// Without this a path with such a text is 404. As with [`endpoint`](Self::endpoint), say so before
    /// mounting.
    ///
    /// ```
    /// use dustdevil::{Connection, Extra, Router};
    ///
    /// #[derive(Default)]
    /// struct Chat;
    /// impl Connection for Chat {
    ///     type State = ();
    /// }
    /// let router = Router::<Chat>::new().extra(|text| {
    ///     let room = text.strip_prefix('/')?;
    ///     let is_number = room.bytes().all(|b| b.is_ascii_digit()) && !room.is_empty();
    ///     is_number.then(|| Extra::new(room).named("room", room))
    /// });
    /// ```
    #[doc(alias = "extra_re")]
    #[doc(alias = "extra_sep")]
    #[doc(alias = "extraRE")]
    #[doc(alias = "extraSep")]
    #[must_use]
    pub fn extra(self, read: impl Fn(&str) -> Option<Extra> + 'static) -> Self {
        self.change(|inner| inner.extra = Some(Box::new(read)))
    }

    /// The same with a regular expression, which has to match the whole text between a separator (`""`
    /// for none) and the transport. That is [`Extra::text`], without the separator; the groups are the fields
    /// of [`Extra`], the named ones also by name. Feature `regex`.
    ///
    /// # Errors
    ///
    /// What is wrong with the expression.
    #[cfg(feature = "regex")]
    pub fn extra_regex(self, pattern: &str, separator: &str) -> Result<Self, regex_lite::Error> {
        let regex = regex_lite::Regex::new(&format!("^(?:{pattern})$"))?;
        let separator = separator.to_owned();
        Ok(self.extra(move |text| {
            let inner = text.strip_prefix(&*separator)?;
            let found = regex.captures(inner)?;
            let mut extra = Extra::new(inner);
            for (name, group) in regex.capture_names().zip(found.iter()).skip(1) {
                let value = group.map_or("", |group| group.as_str());
                extra = match name {
                    Some(name) => extra.named(name, value),
                    None => extra.unnamed(value),
                };
            }
            Some(extra)
        }))
    }

    /// This router, its class left open.
    pub fn any(&self) -> AnyRouter<C::State> {
        AnyRouter(self.inner())
    }

    /// What is mounted already keeps to what it was told.
    fn change(mut self, f: impl FnOnce(&mut Inner<C::State>)) -> Self {
        match Rc::get_mut(&mut self.inner) {
            Some(inner) => f(inner),
            None => log::error!("{}: changed after it was mounted", self.inner.name),
        }
        self
    }

    /// Says which routers its connections make channels of.
    pub(crate) fn around(self, inside: Vec<Rc<Inner<C::State>>>) -> Self {
        self.change(|of| of.inside = inside)
    }

    pub(crate) fn inner(&self) -> Rc<Inner<C::State>> {
        Rc::clone(&self.inner)
    }

    /// The router's name for [`Remote::room`](crate::Remote::room) and
    /// [`AppIo::router`](crate::AppIo::router).
    pub fn id(&self) -> RouterId {
        self.inner.id
    }

    fn from_inner(inner: Inner<C::State>) -> Self {
        Self {
            inner: Rc::new(inner),
            of: std::marker::PhantomData,
        }
    }
}

impl<C: Connection + Default> Default for Router<C> {
    fn default() -> Self {
        Self::new()
    }
}

/// How a WebSocket is served at a mount.
///
/// ```
/// use dustdevil::{WebSocket, WebSocketLimits};
///
/// let mount = WebSocket {
///     limits: WebSocketLimits { message_bytes_max: 64 << 10, ..Default::default() },
///     ..Default::default()
/// };
/// ```
pub struct WebSocket {
    /// Limits and times. Default: those of [`WebSocketLimits`]. `bind` checks them.
    pub limits: WebSocketLimits,
    /// Which pages may connect; others are refused with 403. Default: those of the same host, and
    /// whatever is no browser (RFC 6455, 10.2).
    #[doc(alias = "check_origin")]
    #[doc(alias = "trusted_origins")]
    pub origins: OriginPolicy,
    /// Decides further about an origin that the rule above refuses; it is not asked where there is no
    /// origin, or several. Default: none.
    #[doc(alias = "check_origin")]
    pub allow_origin: Option<AllowOrigin>,
    /// Chooses one of the subprotocols that the client offers; asked once, also with an empty list.
    /// An answer that was not offered is as good as none, and none is no refusal: the 101 names no
    /// subprotocol then (RFC 6455, 4.2.2). Default: none.
    #[doc(alias = "select_subprotocol")]
    pub subprotocol: Option<Subprotocol>,
    /// Takes the draft hixie-76, too, which browsers of 2010 and the WebSocket of Flash speak. It has neither
    /// pings nor binary messages. Default: false.
    #[doc(alias = "allow_draft76")]
    pub hixie76: bool,
    /// Takes the draft hixie-75, too. It has no proof that a WebSocket is meant. Default: false.
    pub hixie75: bool,
    /// Which kinds of message are taken; the other one closes with 1003 (RFC 6455, 7.4.1). Default:
    /// both.
    pub messages: Messages,
}

/// See [`WebSocket::allow_origin`]: origin and request.
pub type AllowOrigin = Box<dyn Fn(&str, &Request<'_>) -> bool>;

/// See [`WebSocket::subprotocol`]: offered in, chosen out.
pub type Subprotocol = Box<dyn for<'a> Fn(&[&'a str]) -> Option<&'a str>>;

/// Which kinds of message a mount takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Messages {
    /// Text and binary.
    #[default]
    Both,
    /// Text only.
    Text,
    /// Binary only.
    Binary,
}

impl Default for WebSocket {
    fn default() -> Self {
        Self {
            limits: WebSocketLimits::default(),
            origins: OriginPolicy::default(),
            allow_origin: None,
            subprotocol: None,
            messages: Messages::Both,
            hixie76: false,
            hixie75: false,
        }
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// How SockJS is served at a mount.
///
/// ```
/// use dustdevil::{SockJs, SockJsSettings};
///
/// let mount = SockJs {
///     settings: SockJsSettings { websocket: false, ..Default::default() },
///     ..Default::default()
/// };
/// ```
#[derive(Clone, Debug)]
pub struct SockJs {
    /// Limits, times and switches. Default: those of [`SockJsSettings`]. `bind` checks them.
    pub settings: SockJsSettings,
    /// Limits and times of its WebSockets, their pings among them. `bind` checks them.
    pub websocket: WebSocketLimits,
    /// Which pages may connect, over all transports. Default: everybody's, as the protocol wants it; then a
    /// cookie must not be what proves who somebody is. Where it is not [`Origins::Any`], other pages get
    /// 403 and no CORS headers, and the iframe page, htmlfile and jsonp, where an
    /// origin cannot be checked, are switched off.
    #[doc(alias = "websocket_allow_origin")]
    pub origins: OriginPolicy,
    /// Where the page in the iframe finds the client, in the version that the pages use: a path of this server
    /// or a URL. Default: `/sockjs.min.js`, which is yours to serve.
    pub sockjs_url: String,
    /// What `info` tells clients to use in place of the address they were given. Default: nothing.
    pub base_url: Option<String>,
    /// Whose bytes are sent, where the two test suites of the protocol differ. Default:
    /// [`Profile::Current`].
    pub profile: Profile,
    /// Whether its WebSockets take the draft hixie-76, too; see [`WebSocket::hixie76`]. Default: true.
    pub hixie76: bool,
    /// The same of hixie-75. Default: false.
    pub hixie75: bool,
}

impl Default for SockJs {
    fn default() -> Self {
        Self {
            settings: SockJsSettings::default(),
            websocket: WebSocketLimits::default(),
            origins: OriginPolicy {
                origins: Origins::Any,
                require_origin: false,
            },
            sockjs_url: "/sockjs.min.js".to_owned(),
            base_url: None,
            profile: Profile::Current,
            hixie76: true,
            hixie75: false,
        }
    }
}

/// How Socket.IO is served at a mount.
///
/// ```
/// use dustdevil::{SocketIo, SocketIoSettings};
/// use std::time::Duration;
///
/// let mount = SocketIo {
///     settings: SocketIoSettings {
///         heartbeat_interval: Duration::from_secs(25),
///         ..Default::default()
///     },
///     ..Default::default()
/// };
/// ```
#[doc(alias = "user_settings")]
#[derive(Clone, Debug)]
pub struct SocketIo {
    /// Limits, times and switches. Default: those of [`SocketIoSettings`]. `bind` checks them.
    pub settings: SocketIoSettings,
    /// Limits and times of its WebSockets. Default: those of [`WebSocketLimits`] without pings, for the protocol
    /// has heartbeats of its own. `bind` checks them.
    pub websocket: WebSocketLimits,
    /// Which pages may connect, over all transports; others get 403. Default: those of the same host, and
    /// whatever is no browser. The origin of a script (jsonp) is that of its `Referer`; with neither it is
    /// refused, unless any page may connect.
    #[doc(alias = "verify_origin")]
    pub origins: OriginPolicy,
    /// The transports that are served, in the order in which they are announced and clients try them. Default:
    /// websocket, flashsocket, xhr-polling, jsonp-polling, htmlfile. `bind` refuses others.
    #[doc(alias = "PROTOCOLS")]
    pub enabled_protocols: Vec<Transport>,
    /// What session ids begin with, so that a load balancer finds the server they belong to: up to 8 letters
    /// and digits of ASCII, of the same number on all servers. Default: nothing.
    pub node_id: String,
    /// Whether Socket.IO 0.7 to 0.9 is served. Default: true.
    pub socketio09: bool,
    /// How Socket.IO 0.6 is served at the same mount. Default: as [`SocketIo06`] says; `None`: it is not.
    pub socketio06: Option<SocketIo06>,
    /// Whether its WebSockets take the draft hixie-76, too; see [`WebSocket::hixie76`]. Default: true.
    pub hixie76: bool,
    /// The same of hixie-75. Default: false.
    pub hixie75: bool,
    /// The browser's client, a file that is served as `socket.io.js` below the mount. Default: none, and 404.
    pub client_file: Option<PathBuf>,
}

impl SocketIo {
    /// What the handshake can announce.
    pub(crate) const TRANSPORTS: [Transport; 5] = [
        Transport::WebSocket,
        Transport::FlashSocket,
        Transport::XhrPolling,
        Transport::JsonpPolling,
        Transport::HtmlFile,
    ];

    pub(crate) fn check(&self) -> Result<(), Error> {
        self.settings.check()?;
        let known = |transport| Self::TRANSPORTS.contains(transport);
        if !self.enabled_protocols.iter().all(known) {
            return Err(Error::Config(ConfigError {
                field: "SocketIo::enabled_protocols",
                value: format!("{:?}", self.enabled_protocols),
                allowed: format!("some of {:?}", Self::TRANSPORTS),
            }));
        }
        if let Some(old) = &self.socketio06 {
            old.settings.check()?;
            let known = |it| known(it) || *it == Transport::XhrMultipart;
            if !old.enabled_protocols.iter().all(known) {
                return Err(Error::Config(ConfigError {
                    field: "SocketIo06::enabled_protocols",
                    value: format!("{:?}", old.enabled_protocols),
                    allowed: format!("some of {:?} and XhrMultipart", Self::TRANSPORTS),
                }));
            }
        }
        let is_good = self.node_id.bytes().all(|b| b.is_ascii_alphanumeric());
        if !is_good || self.node_id.len() > NODE_ID_BYTES_MAX {
            return Err(Error::Config(ConfigError {
                field: "SocketIo::node_id",
                value: self.node_id.clone(),
                allowed: format!("up to {NODE_ID_BYTES_MAX} letters and digits of ASCII"),
            }));
        }
        Ok(())
    }
}

const NODE_ID_BYTES_MAX: usize = 8;

/// How Socket.IO 0.6 is served at a mount, where it differs from 0.7 to 0.9.
#[derive(Clone, Debug)]
pub struct SocketIo06 {
    /// Limits and times. Default: those of [`SocketIo06Settings`]. `bind` checks them.
    pub settings: SocketIo06Settings,
    /// The transports that are served; others get 403. Default: all six.
    pub enabled_protocols: Vec<Transport>,
}

impl Default for SocketIo06 {
    fn default() -> Self {
        let mut enabled_protocols = SocketIo::TRANSPORTS.to_vec();
        enabled_protocols.push(Transport::XhrMultipart);
        Self {
            settings: SocketIo06Settings::default(),
            enabled_protocols,
        }
    }
}

impl Default for SocketIo {
    fn default() -> Self {
        Self {
            settings: SocketIoSettings::default(),
            websocket: WebSocketLimits {
                ping_interval: std::time::Duration::ZERO,
                ..WebSocketLimits::default()
            },
            origins: OriginPolicy::default(),
            enabled_protocols: Self::TRANSPORTS.to_vec(),
            node_id: String::new(),
            socketio09: true,
            socketio06: Some(SocketIo06::default()),
            hixie76: true,
            hixie75: false,
            client_file: None,
        }
    }
}

/// Answers a request: now, or later (see [`Reply`]).
pub(crate) type Handler<S> = Rc<dyn Fn(&Request<'_>, &mut App<'_, S>, Reply<'_, S>)>;

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
    pub(crate) prefix: Option<Prefix>,
    pub(crate) to: Endpoint<S>,
}

/// A regular expression that begins a path.
#[cfg(feature = "regex")]
pub(crate) struct Prefix {
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
        let websocket = || WebSocket {
            limits: of.websocket.clone(),
            origins: of.origins.clone(),
            hixie76: of.hixie76,
            hixie75: of.hixie75,
            ..WebSocket::default()
        };
        let framing = Framing::SockJs(of.settings.heartbeat_delay);
        let text = WebSocket {
            messages: Messages::Text,
            ..websocket()
        };
        let raw = self.mount(router, websocket(), Framing::RawSockJs);
        let websocket = self.mount(router, text, framing);
        self.sockjs.push(SockJsMount {
            router: Rc::clone(&router.inner),
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
            limits: of.websocket.clone(),
            origins: of.origins.clone(),
            hixie76: of.hixie76,
            hixie75: of.hixie75,
            messages: Messages::Text,
            ..WebSocket::default()
        };
        let websocket = self.mount(router, websocket, Framing::SocketIo);
        self.socketio.push(SocketIoMount {
            router: Rc::clone(&router.inner),
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
            router: Rc::clone(&router.inner),
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
