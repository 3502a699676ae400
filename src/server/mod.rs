//! The server: sets everything up, runs it, and joins the columns below.

pub(crate) mod accept;
mod callbacks;
pub(crate) mod core;
pub(crate) mod cors;
pub(crate) mod cx;
pub(crate) mod drain;
pub(crate) mod emitting;
pub(crate) mod engine;
mod entropy;
pub(crate) mod files;
pub(crate) mod flash;
pub(crate) mod http;
mod inbox;
pub(crate) mod loud;
mod memory;
mod messages;
pub(crate) mod multiplex;
pub(crate) mod object;
pub(crate) mod proxies;
pub(crate) mod remote;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod routing;
mod sending;
mod sends;
pub(crate) mod sessions;
#[cfg(feature = "signals")]
mod signals;
pub(crate) mod socketio;
pub(crate) mod sockjs;
pub(crate) mod target;
pub(crate) mod timers;
mod times;
mod traffic;
pub(crate) mod websocket;

use self::core::{Core, io_error};
use self::engine::{Engine, Shared};
use self::timers::TimerId;
use crate::config::Settings;
use crate::conn::ConnKey;
use crate::connection::{Connection, Keep};
use crate::error::Error;
use crate::mounts::{SockJs, SocketIo, WebSocket};
use crate::net::open_files_limit;
use crate::net::{ListenOptions, Listener, LocalAddr};
use crate::reactor::{Clock, Handler, IoLoop, LoopHandle, Readiness};
use crate::router::Router;
use crate::routes::{Route, Routes};
use crate::stats::Stats;
use crate::storage::arena::{Arena, Key};
use crate::time::Instant;
use accept::Listening;
use cx::App;
use files::Files;
use mio::Interest;
use mio::event::Source;
use proxies::Proxies;
use remote::Remote;
use sessions::SessionKey;
use std::cell::RefCell;
use std::io;
use std::net::{TcpListener, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

/// What the server's loop is told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Msg {
    Conn(ConnKey),
    Listener(u32),
    Timer(TimerId),
    Session(SessionKey),
    Source(Key<SourceTag>),
    Drain,
}

pub(crate) enum SourceTag {}
pub(crate) type SourceHandler<S> = Box<dyn FnMut(&mut App<'_, S>, Readiness)>;

/// A server: routes on one side, listeners on the other, and one loop that joins them.
///
/// ```no_run
/// use dustdevil::{Connection, Cx, Message, Router, SocketServer, WebSocket};
///
/// #[derive(Default)]
/// struct Echo;
/// impl Connection for Echo {
///     type State = ();
///     fn on_message(&mut self, cx: &mut Cx<Self>, message: Message) {
///         cx.send(message);
///     }
/// }
///
/// fn main() -> Result<(), dustdevil::Error> {
///     SocketServer::new(())?
///         .websocket("/ws", &Router::<Echo>::new(), WebSocket::default())
///         .bind("127.0.0.1:8080")?
///         .run()
/// }
/// ```
///
/// Routes, settings and proxies come first. [`bind`](Self::bind), and every other method that has to have
/// them ([`remote`](Self::remote), [`every`](Self::every), [`with_app`](Self::with_app), …), checks them;
/// after that they are fixed, and [`Error::Late`] comes of adding more.
#[doc(alias = "HTTPServer")]
#[doc(alias = "Application")]
pub struct SocketServer<S: 'static> {
    io: IoLoop<Msg>,
    stage: Stage<S>,
    /// Something was added too late; the next method that can fail says so.
    late: bool,
}

enum Stage<S: 'static> {
    /// Routes are added.
    Building(Box<Building<S>>),
    /// At least one listener is bound.
    Bound(Box<Core<S>>),
    /// Only while it changes.
    Changing,
}

struct Building<S: 'static> {
    state: S,
    settings: Settings,
    routes: Routes<S>,
    proxies: Proxies,
    flash: Option<flash::FlashPolicy>,
}

impl<S: 'static> SocketServer<S> {
    /// A server without routes. `state` is what its connections share.
    ///
    /// # Errors
    ///
    /// The operating system has no poller to give.
    pub fn new(state: S) -> Result<Self, Error> {
        Self::with_clock(state, Clock::system())
    }

    /// A server whose time is told: for tests, with [`Clock::manual`].
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_clock(state: S, clock: Clock) -> Result<Self, Error> {
        let io = IoLoop::with_clock(clock)?;
        let (settings, routes, proxies, flash) = Default::default();
        let stage = Stage::Building(Box::new(Building {
            state,
            settings,
            routes,
            proxies,
            flash,
        }));
        Ok(Self {
            io,
            stage,
            late: false,
        })
    }

    // ---- building ---------------------------------------------------------------------------

    fn build(mut self, f: impl FnOnce(&mut Building<S>)) -> Self {
        match &mut self.stage {
            Stage::Building(building) => f(building),
            Stage::Bound(_) | Stage::Changing => self.late = true,
        }
        self
    }

    /// Sets the settings, in place of the defaults; [`bind`](Self::bind) checks them.
    #[must_use]
    pub fn settings(self, settings: Settings) -> Self {
        self.build(|building| building.settings = settings)
    }

    /// Adds routes, after those there are.
    #[must_use]
    pub fn routes(self, routes: Routes<S>) -> Self {
        self.build(|building| {
            building.routes = std::mem::take(&mut building.routes).then(routes);
        })
    }

    /// Adds a handler; see [`Route`].
    #[must_use]
    pub fn route(self, route: Route<S>) -> Self {
        self.routes(Routes::new().route(route))
    }

    /// Serves a class over plain WebSocket at a path; see [`Routes::websocket`].
    #[must_use]
    pub fn websocket<C: Connection<State = S>>(
        self,
        pattern: &str,
        router: &Router<C>,
        settings: WebSocket,
    ) -> Self {
        self.routes(Routes::new().websocket(pattern, router, settings))
    }

    /// Serves a class over SockJS, at and below a prefix; see [`Routes::sockjs`].
    #[doc(alias = "SockJSRouter")]
    #[must_use]
    pub fn sockjs<C: Connection<State = S>>(
        self,
        prefix: &str,
        router: &Router<C>,
        of: SockJs,
    ) -> Self {
        self.routes(Routes::new().sockjs(prefix, router, of))
    }

    /// Serves a class over Socket.IO, at and below a prefix; see [`Routes::socketio`].
    #[doc(alias = "TornadioRouter")]
    #[must_use]
    pub fn socketio<C: Connection<State = S>>(
        self,
        prefix: &str,
        router: &Router<C>,
        of: SocketIo,
    ) -> Self {
        self.routes(Routes::new().socketio(prefix, router, of))
    }

    /// Answers GET (and HEAD) at a path; see [`Route`].
    #[must_use]
    pub fn get(
        self,
        pattern: &str,
        handler: impl Fn(&request::Request<'_>, &mut App<'_, S>, response::Reply<'_, S>) + 'static,
    ) -> Self {
        self.route(Route::get(pattern, handler))
    }

    /// Answers POST at a path; see [`Route`].
    #[must_use]
    pub fn post(
        self,
        pattern: &str,
        handler: impl Fn(&request::Request<'_>, &mut App<'_, S>, response::Reply<'_, S>) + 'static,
    ) -> Self {
        self.route(Route::post(pattern, handler))
    }

    /// Serves a page at a path, as `text/html; charset=utf-8`.
    #[must_use]
    pub fn page(self, pattern: &str, html: &'static str) -> Self {
        self.get(pattern, move |_, _, reply| {
            reply.send(response::Response::html(html))
        })
    }

    /// Serves files; see [`Routes::files`] and [`Files`].
    #[doc(alias = "StaticFileHandler")]
    #[must_use]
    pub fn files(self, pattern: &str, files: Files) -> Self {
        self.routes(Routes::new().files(pattern, files))
    }

    /// Believes `X-Forwarded-For`, `X-Forwarded-Proto`, `X-Forwarded-Host` and `X-Real-IP` of
    /// these peers: addresses, or networks like `10.0.0.0/8`. Nobody is believed by default, but for the
    /// peer of a Unix socket, which can only be of this machine.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] names the text that is neither.
    #[doc(alias = "xheaders")]
    #[doc(alias = "trusted_downstream")]
    pub fn trust_proxies<'n>(
        self,
        networks: impl IntoIterator<Item = &'n str>,
    ) -> Result<Self, Error> {
        let proxies = Proxies::parse(networks)?;
        Ok(self.build(|building| building.proxies = proxies))
    }

    // ---- binding ----------------------------------------------------------------------------

    /// Listens on an address, or on each that a host name stands for; port 0 takes a free one, which
    /// [`local_addrs`](Self::local_addrs) tells. It may be called several times. Connections are
    /// accepted by the kernel from now on, and served once the server runs.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a setting out of its range, [`Error::Route`] for a bad pattern,
    /// [`Error::Late`] if routes or settings were added after they were fixed, [`Error::Io`] if an
    /// address cannot be listened on.
    #[doc(alias = "listen")]
    #[doc(alias = "socket_io_port")]
    #[doc(alias = "socket_io_address")]
    pub fn bind(self, address: impl ToSocketAddrs) -> Result<Self, Error> {
        self.bind_all(address, 0)
    }

    /// Listens on an address with routes of its own: another application in the same loop, on
    /// another port.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind).
    pub fn bind_with(
        mut self,
        address: impl ToSocketAddrs,
        routes: Routes<S>,
    ) -> Result<Self, Error> {
        let site = self.core()?.add_site(routes)?;
        self.bind_all(address, site)
    }

    /// Listens on a Unix socket. A stale socket file is removed; only this user may connect
    /// (mode 0600). Its routes are those of [`bind`](Self::bind).
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind).
    #[doc(alias = "bind_unix_socket")]
    pub fn bind_unix(mut self, path: impl AsRef<Path>) -> Result<Self, Error> {
        self.core()?;
        let path = path.as_ref();
        let listener = Listener::bind_unix(path, 0o600)
            .map_err(|error| io_error(&format!("listening on {}", path.display()), error))?;
        self.add_listener(listener, 0)?;
        Ok(self)
    }

    /// Takes over a listener that somebody else has bound, as a service manager does. Its routes are those
    /// of [`bind`](Self::bind).
    #[doc(alias = "add_socket")]
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind).
    pub fn listen_on(mut self, listener: TcpListener) -> Result<Self, Error> {
        self.core()?;
        let listener =
            Listener::from_std(listener).map_err(|error| io_error("taking a listener", error))?;
        self.add_listener(listener, 0)?;
        Ok(self)
    }

    fn bind_all(mut self, address: impl ToSocketAddrs, site: usize) -> Result<Self, Error> {
        let settings = Rc::clone(&self.core()?.settings);
        let options = ListenOptions {
            backlog: settings.backlog as i32,
            reuse_port: settings.reuse_port,
            ..ListenOptions::default()
        };
        let addresses = address
            .to_socket_addrs()
            .map_err(|error| io_error("looking an address up", error))?;
        let mut none = true;
        for address in addresses {
            none = false;
            let listener = Listener::bind(address, &options)
                .map_err(|error| io_error(&format!("listening on {address}"), error))?;
            self.add_listener(listener, site)?;
        }
        if none {
            return Err(io_error(
                "looking an address up",
                io::ErrorKind::NotFound.into(),
            ));
        }
        Ok(self)
    }

    fn add_listener(&mut self, mut listener: Listener, site: usize) -> Result<(), Error> {
        let index = self.core()?.listeners.len();
        let message = Msg::Listener(u32::try_from(index).unwrap_or(u32::MAX));
        let handler = self
            .io
            .add_handler(&mut listener, Interest::READABLE, message)
            .map_err(|error| io_error("registering a listener", error))?;
        let handler = Some(handler);
        self.core()?.listeners.push(Listening {
            listener,
            handler,
            site,
            for_policies: false,
        });
        Ok(())
    }

    /// The running part; the first call makes it, and checks the settings.
    fn core(&mut self) -> Result<&mut Core<S>, Error> {
        if self.late {
            return Err(Error::Late);
        }
        if let Stage::Building(_) = self.stage {
            let Stage::Building(building) = std::mem::replace(&mut self.stage, Stage::Changing)
            else {
                unreachable!("it was just looked at");
            };
            let Building {
                state,
                settings,
                routes,
                proxies,
                flash,
            } = *building;
            settings.check()?;
            settings.check_marks()?;
            let settings = Rc::new(settings);
            let handle: LoopHandle<Msg> = self.io.handle();
            let remote = Remote::new(handle, settings.remote_queue_max);
            let proxies = Rc::new(proxies);
            let engine = Engine::new(Rc::clone(&settings), Rc::clone(&proxies));
            let shared = Shared {
                engine: RefCell::new(engine),
                remote,
            };
            let conns_max = match settings.connections_max {
                0 => usize::try_from(open_files_limit().saturating_sub(64).max(1)).unwrap_or(1),
                max => max,
            };
            log::info!("at most {conns_max} connections; {settings:?}");
            let mut core = Core::new(state, shared, settings, conns_max, proxies);
            core.add_site(routes)?;
            self.stage = Stage::Bound(Box::new(core));
            if let Some(policy) = flash {
                self.start_flash(&policy)?;
            }
        }
        match &mut self.stage {
            Stage::Bound(core) => Ok(core),
            Stage::Building(_) | Stage::Changing => Err(io_error(
                "binding after an error",
                io::ErrorKind::InvalidInput.into(),
            )),
        }
    }

    // ---- running ----------------------------------------------------------------------------

    /// Where it listens, in the order of binding, with the real ports. A port for policies of Flash comes last.
    pub fn local_addrs(&self) -> Vec<LocalAddr> {
        let Stage::Bound(core) = &self.stage else {
            return Vec::new();
        };
        let mut listeners: Vec<_> = core.listeners.iter().collect();
        listeners.sort_by_key(|listening| listening.for_policies);
        listeners
            .into_iter()
            .filter_map(|listening| listening.listener.local_addr().ok())
            .collect()
    }

    /// A handle for other threads.
    ///
    /// # Errors
    ///
    /// Those of [`bind`](Self::bind), if nothing was bound before.
    pub fn remote(&mut self) -> Result<Remote<S>, Error> {
        Ok(self.core()?.shared.remote.clone())
    }

    /// Serves until [`stop`](Self::stop) or the end of [`drain`](Self::drain).
    ///
    /// # Errors
    ///
    /// The poller failed; [`Error::Late`]; those of [`bind`](Self::bind), if nothing was bound before.
    #[doc(alias = "start")]
    #[doc(alias = "auto_start")]
    pub fn run(&mut self) -> Result<(), Error> {
        self.core()?;
        let Self { io, stage, .. } = self;
        let Stage::Bound(core) = stage else {
            return Ok(());
        };
        if std::mem::take(&mut core.stopped) {
            return Ok(());
        }
        io.run(|io, event| core.event(io, event))?;
        core.stopped = false;
        Ok(())
    }

    /// One turn of the loop, waiting at most that long for something to happen; `None`: as long as
    /// it takes. For a server that lives in somebody else's loop.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn poll_once(&mut self, timeout: Option<Duration>) -> Result<(), Error> {
        self.core()?;
        let Self { io, stage, .. } = self;
        let Stage::Bound(core) = stage else {
            return Ok(());
        };
        Ok(io.poll_once(timeout, |io, event| core.event(io, event))?)
    }

    /// Makes `run` return: at once, if it does not run yet.
    pub fn stop(&mut self) {
        self.io.stop();
    }

    /// Shuts down in good order: nothing new is accepted, WebSockets get 1001 over
    /// `drain_window`, at the deadline the rest is cut; every `on_close` runs. Then `run` returns.
    /// A second call cuts at once.
    ///
    /// # Errors
    ///
    /// Those of [`bind`](Self::bind), if nothing was bound before.
    pub fn drain(&mut self, deadline: Duration) -> Result<(), Error> {
        self.core()?;
        let Self { io, stage, .. } = self;
        if let Stage::Bound(core) = stage {
            core.refresh(io);
            core.start_drain(io, deadline);
            core.flush(io);
        }
        Ok(())
    }

    /// When something is due that no descriptor will announce, on the loop's clock. `None`: nothing, as
    /// things stand. For a server that lives in somebody else's loop, with [`as_fd`](AsFd::as_fd).
    pub fn next_deadline(&self) -> Option<Instant> {
        self.io.next_deadline()
    }

    /// The present on the loop's clock: what is left until [`next_deadline`](Self::next_deadline) is
    /// `deadline - server.now()`.
    #[doc(alias = "time")]
    pub fn now(&self) -> Instant {
        self.io.now()
    }

    /// The counters.
    ///
    /// # Errors
    ///
    /// Those of [`bind`](Self::bind), if nothing was bound before.
    pub fn stats(&mut self) -> Result<Stats, Error> {
        Ok(self.core()?.engine().stats())
    }

    /// Runs `f` on the state, with all that a handler can do; then what follows from it.
    ///
    /// # Errors
    ///
    /// Those of [`bind`](Self::bind), if nothing was bound before.
    pub fn with_app<R>(&mut self, f: impl FnOnce(&mut App<'_, S>) -> R) -> Result<R, Error> {
        self.core()?;
        let Self { io, stage, .. } = self;
        let Stage::Bound(core) = stage else {
            return Err(io_error("running", io::ErrorKind::InvalidInput.into()));
        };
        core.refresh(io);
        let answer = f(&mut App::new(&core.shared, &mut core.state));
        core.follow_up(io);
        core.flush(io);
        Ok(answer)
    }

    /// Runs `f` again and again, as long as it answers [`Keep::Going`], for the first time after one period.
    #[doc(alias = "PeriodicCallback")]
    ///
    /// # Errors
    ///
    /// Those of [`bind`](Self::bind).
    pub fn every(
        mut self,
        period: Duration,
        f: impl FnMut(&mut App<'_, S>) -> Keep + 'static,
    ) -> Result<Self, Error> {
        self.with_app(|app| {
            app.every(period, f);
        })?;
        Ok(self)
    }

    /// The loop itself, to put sources of one's own on it.
    ///
    /// # Errors
    ///
    /// Those of [`bind`](Self::bind), if nothing was bound before.
    pub fn io_loop(&mut self) -> Result<ServerLoop<'_, S>, Error> {
        self.core()?;
        let Self { io, stage, .. } = self;
        match stage {
            Stage::Bound(core) => Ok(ServerLoop {
                io,
                sources: &mut core.sources,
            }),
            Stage::Building(_) | Stage::Changing => {
                Err(io_error("running", io::ErrorKind::InvalidInput.into()))
            }
        }
    }

    /// Drains on SIGTERM and SIGINT, with `drain_timeout` (default: 5 s); a second signal cuts at once.
    /// Feature `signals`.
    ///
    /// # Errors
    ///
    /// The handlers cannot be set.
    #[cfg(feature = "signals")]
    pub fn drain_on_signals(mut self) -> Result<Self, Error> {
        let deadline = self.core()?.settings.drain_timeout;
        signals::install(&mut self, deadline)?;
        Ok(self)
    }
}

impl<S: 'static> AsFd for SocketServer<S> {
    /// The poller's descriptor: readable when [`SocketServer::poll_once`] has something to do.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}

/// The server's loop, for sources of the application's own.
#[doc(alias = "IOLoop")]
pub struct ServerLoop<'a, S: 'static> {
    io: &'a mut IoLoop<Msg>,
    sources: &'a mut Arena<Option<SourceHandler<S>>, SourceTag>,
}

/// Names a source that was added to the server's loop.
#[derive(Clone, Copy, Debug)]
pub struct SourceId {
    key: Key<SourceTag>,
    handler: Handler,
}

impl<S: 'static> ServerLoop<'_, S> {
    /// Watches a source: `f` runs whenever it is ready. Readiness is told once: read or write until
    /// `WouldBlock`. The source stays yours, and must be removed before it is dropped.
    ///
    /// # Errors
    ///
    /// The poller refused; it does when a source is added twice.
    pub fn add_handler(
        &mut self,
        source: &mut impl Source,
        interest: Interest,
        f: impl FnMut(&mut App<'_, S>, Readiness) + 'static,
    ) -> io::Result<SourceId> {
        let key = self.sources.insert(Some(Box::new(f)));
        match self.io.add_handler(source, interest, Msg::Source(key)) {
            Ok(handler) => Ok(SourceId { key, handler }),
            Err(error) => {
                self.sources.remove(key);
                Err(error)
            }
        }
    }

    /// Changes what is watched.
    ///
    /// # Errors
    ///
    /// The source is not watched.
    pub fn update_handler(
        &mut self,
        source: &mut impl Source,
        id: SourceId,
        interest: Interest,
    ) -> io::Result<()> {
        self.io.update_handler(source, id.handler, interest)
    }

    /// What the loop has done so far: an idle one makes one turn for each deadline.
    pub fn stats(&self) -> crate::reactor::Stats {
        self.io.stats()
    }

    /// Stops watching. An event that has come already does not arrive any more.
    ///
    /// # Errors
    ///
    /// The source is not watched.
    pub fn remove_handler(&mut self, source: &mut impl Source, id: SourceId) -> io::Result<()> {
        self.sources.remove(id.key);
        self.io.remove_handler(source, id.handler)
    }
}

/// A number in 0 to 1, to spread what would happen at once.
pub(crate) fn fraction() -> f64 {
    f64::from(random_u32()) / f64::from(u32::MAX)
}

pub(crate) fn random_u32() -> u32 {
    let mut bytes = [0; 4];
    // Without entropy nothing is spread, and nothing else suffers.
    let _ = getrandom::fill(&mut bytes);
    u32::from_ne_bytes(bytes)
}
