//! Makes the connections of one class: [`Router`].

use crate::connection::Connection;
use crate::events::Events;
use crate::server::object::Object;
use crate::server::request::Request;
use std::any::Any;
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
    keep_request: bool,
    /// The class's `Events`.
    pub(crate) events: Rc<dyn Any>,
    /// The routers of its channels.
    inside: Vec<Rc<Inner<S>>>,
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
