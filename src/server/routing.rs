//! The routes of all listeners, as requests are matched against them.

use crate::conn::websocket::{Heartbeat, Inside, Limits};
use crate::mounts::Messages;
use crate::proto::http::Error;
use crate::proto::http::pattern::Params;
use crate::proto::sockjs::frame;
use crate::routes::{Endpoint, Entry, Framing, Mount, Route, Routes, SockJsMount, SocketIoMount};
use crate::server::files::Files;
use crate::server::socketio::Rules;
use crate::session::sockjs as session;
use std::rc::Rc;

/// Routes by site; a listener belongs to one site, mounts are numbered through.
pub(crate) struct Table<S: 'static> {
    sites: Vec<Site<S>>,
    mounts: Vec<Mount<S>>,
    sockjs: Vec<SockJsMount<S>>,
    session_limits: Vec<Rc<session::Limits>>,
    socketio: Vec<Mounted<S>>,
}

/// A Socket.IO mount, and what its sessions keep to.
pub(crate) struct Mounted<S: 'static> {
    pub(crate) mount: SocketIoMount<S>,
    pub(crate) rules: Rc<Rules>,
    /// Those of 0.6, if that is served.
    pub(crate) old: Option<Rc<Rules>>,
}

struct Site<S: 'static> {
    entries: Vec<Entry<S>>,
    first_mount: usize,
    first_sockjs: usize,
    first_socketio: usize,
}

/// What answers a request.
pub(crate) enum Found<'t, S: 'static> {
    Handler(&'t Route<S>),
    /// A WebSocket mount, by its number.
    WebSocket(u32),
    Files(&'t Files),
    /// A SockJS mount, by its number, and the path below its prefix.
    SockJs(u32, &'t str),
    /// A Socket.IO mount, the same.
    SocketIo(u32, &'t str),
    /// The path exists, this method does not: the value of `Allow`.
    NoMethod(String),
    Nothing,
}

impl<S: 'static> Table<S> {
    pub(crate) fn new() -> Self {
        Self {
            sites: Vec::new(),
            mounts: Vec::new(),
            sockjs: Vec::new(),
            session_limits: Vec::new(),
            socketio: Vec::new(),
        }
    }

    /// Adds a site; answers its number.
    pub(crate) fn add(&mut self, routes: Routes<S>) -> usize {
        self.sites.push(Site {
            entries: routes.table,
            first_mount: self.mounts.len(),
            first_sockjs: self.sockjs.len(),
            first_socketio: self.socketio.len(),
        });
        for mut mount in routes.socketio {
            mount.websocket += self.mounts.len();
            let number = self.socketio.len();
            let rules = Rc::new(Rules::new(&mount.of, number));
            let old = mount.of.socketio06.as_ref();
            let old = old.map(|old| Rc::new(Rules::of_06(&mount.of, old, number)));
            self.socketio.push(Mounted { mount, rules, old });
        }
        for mut mount in routes.sockjs {
            mount.websocket += self.mounts.len();
            mount.raw += self.mounts.len();
            self.session_limits
                .push(Rc::new(super::sockjs::limits(&mount.of)));
            self.sockjs.push(mount);
        }
        self.mounts.extend(routes.mounts);
        self.sites.len() - 1
    }

    pub(crate) fn limits(&self) -> Vec<Limits> {
        let of = |mount: &Mount<S>| {
            let messages = mount.settings.messages;
            let (text, binary) = (messages != Messages::Binary, messages != Messages::Text);
            let heartbeat = match mount.framing {
                Framing::SockJs(every) => Some(Heartbeat {
                    every,
                    text: frame::HEARTBEAT,
                }),
                Framing::Plain | Framing::RawSockJs | Framing::SocketIo => None,
            };
            let mut limits = Limits::new(&mount.settings.limits, text, binary);
            limits.inside = match mount.framing {
                Framing::Plain | Framing::RawSockJs => Inside::Messages,
                Framing::SockJs(_) => Inside::SockJs,
                Framing::SocketIo => Inside::SocketIo,
            };
            limits.heartbeat = heartbeat;
            limits
        };
        self.mounts.iter().map(of).collect()
    }

    pub(crate) fn mounts(&self) -> &[Mount<S>] {
        &self.mounts
    }

    pub(crate) fn session_limits(&self) -> &[Rc<session::Limits>] {
        &self.session_limits
    }

    pub(crate) fn socketio(&self) -> &[Mounted<S>] {
        &self.socketio
    }

    pub(crate) fn sockjs(&self) -> &[SockJsMount<S>] {
        &self.sockjs
    }

    /// Finds what answers. A path may have both handlers and a WebSocket: an upgrade goes to the
    /// WebSocket, everything else to the handlers.
    pub(crate) fn find<'t>(
        &'t self,
        site: usize,
        method: &str,
        path: &'t str,
        upgrade: bool,
    ) -> Result<(Found<'t, S>, Params<'t>), Error> {
        let Some(site) = self.sites.get(site) else {
            return Ok((Found::Nothing, Params::default()));
        };
        let mut allowed: Vec<&'static str> = Vec::new();
        let mut websocket = None;
        // Most patterns and most paths are plain text, which is compared as it is.
        let plain = memchr::memchr(b'%', path.as_bytes()).is_none();
        for entry in &site.entries {
            if matches!(entry.to, Endpoint::SockJs(_) | Endpoint::SocketIo(_)) {
                // Such paths are compared as they were sent: percent escapes are part of an id.
                let Some(rest) = entry.below(path) else {
                    continue;
                };
                let is_below = rest.is_empty() || rest.starts_with('/');
                let found = match &entry.to {
                    Endpoint::SockJs(mount) if is_below => {
                        Found::SockJs((site.first_sockjs + mount) as u32, rest)
                    }
                    Endpoint::SocketIo(mount) => {
                        let mount = site.first_socketio + mount;
                        if !is_below && !self.socketio[mount].takes(rest) {
                            continue;
                        }
                        Found::SocketIo(mount as u32, rest)
                    }
                    _ => continue,
                };
                return Ok((found, Params::default()));
            }
            if plain && entry.literal && entry.text != path {
                continue;
            }
            let Some(params) = entry.pattern.matches(path)? else {
                continue;
            };
            match &entry.to {
                Endpoint::WebSocket(mount) => {
                    let found = Found::WebSocket((site.first_mount + mount) as u32);
                    if upgrade {
                        return Ok((found, params));
                    }
                    websocket.get_or_insert((found, params));
                }
                Endpoint::Files(files) => match method {
                    "GET" | "HEAD" => return Ok((Found::Files(files), params)),
                    _ => allowed.extend(["GET", "HEAD"]),
                },
                Endpoint::SockJs(_) | Endpoint::SocketIo(_) => {}
                Endpoint::Methods(routes) => {
                    let of = |method: &str| routes.iter().find(|route| route.method == method);
                    let route = of(method).or_else(|| of("GET").filter(|_| method == "HEAD"));
                    if let Some(route) = route {
                        return Ok((Found::Handler(route), params));
                    }
                    allowed.extend(routes.iter().map(|route| route.method));
                    if of("GET").is_some() {
                        allowed.push("HEAD");
                    }
                }
            }
        }
        if let Some(found) = websocket.filter(|_| allowed.is_empty()) {
            return Ok(found);
        }
        if allowed.is_empty() {
            return Ok((Found::Nothing, Params::default()));
        }
        allowed.sort_unstable();
        allowed.dedup();
        Ok((Found::NoMethod(allowed.join(", ")), Params::default()))
    }
}
