//! How a class is served at a mount, by protocol: [`WebSocket`], [`SockJs`], [`SocketIo`].
//!
//! Not here: which class is served at which path.

use crate::config::{
    ConfigError, SockJsSettings, SocketIo06Settings, SocketIoSettings, WebSocketLimits,
};
use crate::connection::Transport;
use crate::error::Error;
use crate::proto::http::origin::{OriginPolicy, Origins};
use crate::proto::sockjs::Profile;
use crate::server::request::Request;
use std::fmt;
use std::path::PathBuf;

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
    const TRANSPORTS: [Transport; 5] = [
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
