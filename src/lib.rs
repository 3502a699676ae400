//! A single-threaded realtime server on a hand-written `mio` reactor: HTTP/1.1, WebSocket, SockJS and
//! Socket.IO 0.6 to 0.9 on one port, and one application class behind them.
//!
//! ```no_run
//! use dustdevil::{Connection, Cx, Message, Router, SocketServer, WebSocket};
//!
//! #[derive(Default)]
//! struct Chat;
//!
//! impl Connection for Chat {
//!     type State = ();
//!     fn on_message(&mut self, cx: &mut Cx<Self>, message: Message) {
//!         cx.all().send(message);
//!     }
//! }
//!
//! fn main() -> Result<(), dustdevil::Error> {
//!     SocketServer::new(())?
//!         .websocket("/chat", &Router::<Chat>::new(), WebSocket::default())
//!         .bind("127.0.0.1:8080")?
//!         .run()
//! }
//! ```
//!
//! # A short tour
//!
//! - [`Connection`] is what an application implements: one value for each client, with
//!   [`on_open`](Connection::on_open), [`on_message`](Connection::on_message) and
//!   [`on_close`](Connection::on_close). Its callbacks get a [`Cx`]: the state that all connections
//!   share, and [`Io`], through which it sends, joins rooms and sets timers.
//! - [`Router`] makes connections of one class. [`SocketServer`] mounts it at a path, beside plain
//!   HTTP ([`Route`], [`Routes`], [`Files`]), binds and runs. [`WebSocket`], [`SockJs`] and
//!   [`SocketIo`] are the kinds of mount; a class may have all of them. [`Multiplex`] puts several classes
//!   on one connection, as the endpoints of Socket.IO do ([`Router::endpoint`]).
//! - [`Events`] is a class's table of named events, [`Named`] and [`FromArgs`] are what their arguments are
//!   read as, [`IntoReply`] and [`Ack`] how they are acknowledged.
//! - [`Request`] is what handlers and `on_open` read; [`Response`], [`Reply`], [`Later`] and
//!   [`Streaming`] are how they answer: at once, later, piece by piece.
//! - [`Remote`] reaches the server from other threads. [`Ordered`] and
//!   [`decide_later`](Io::decide_later) hold a client's messages or its handshake back until work
//!   elsewhere is done.
//! - [`Settings`], [`WebSocketLimits`], [`SockJsSettings`], [`SocketIoSettings`] and [`SocketIo06Settings`]
//!   name every limit, with its default and its range;
//!   [`OriginPolicy`] and [`Cors`] say which web pages may connect and read.
//! - [`IoLoop`] is the event loop below all this; it can be used alone. [`proto`] holds the wire
//!   formats, as machines without sockets and clocks.
//!
//! # The manual
//!
//! [`manual`] has a page on the [architecture](manual::architecture), one on
//! [HTTP](manual::http), one on [WebSocket](manual::websocket), one on [SockJS](manual::sockjs), with
//! all names of sockjs-tornado, one on [Socket.IO 0.7 to 0.9](manual::socketio09), one with
//! [all names of TornadIO2](manual::migrating_tornadio2), one on [Socket.IO 0.6](manual::socketio06), one with
//! [all names of TornadIO and SocketTornad.IO](manual::migrating_tornadio), and the
//! [changelog](manual::changelog).
//!
//! # Features
//!
//! `signals`, off by default: `SocketServer::drain_on_signals`, so that SIGTERM and SIGINT shut the
//! server down in good order.
//!
//! `regex`, off by default: `Router::extra_regex` and `Routes::socketio_regex`, for paths of Socket.IO that a
//! regular expression describes.
//!
//! # Panics
//!
//! A callback that panics closes its own connection and no other. This needs `panic = "unwind"`,
//! which is Rust's default.

pub mod config;
pub(crate) mod conn;
mod connection;
mod error;
mod events;
pub mod hub;
pub mod manual;
mod mounts;
pub mod net;
pub mod proto;
pub mod reactor;
mod router;
mod routes;
mod server;
pub mod session;
mod stats;
pub mod storage;
pub mod time;

pub use config::{
    ConfigError, Settings, SockJsSettings, SocketIo06Settings, SocketIoSettings, WebSocketLimits,
};
pub use connection::{
    Cause, CloseReason, Connection, ConnectionId, Dialect, Event, IntoMessage, Json, Keep, Kind,
    Message, RawJson, Reject, Sent, Transport,
};
pub use error::Error;
pub use events::{
    Ack, AckError, Acked, Args, EventArgs, Events, FromArgs, IntoArgs, IntoReply, Named, Pending,
    WrongArgs,
};
/// What sources are made of: [`IoLoop::add_handler`] and [`ServerLoop::add_handler`] take those of this
/// version.
pub use mio;
pub use mounts::{AllowOrigin, Messages, SockJs, SocketIo, SocketIo06, Subprotocol, WebSocket};
pub use proto::http::cookie::{SameSite, SetCookie};
pub use proto::http::origin::{OriginPattern, OriginPolicy, Origins};
pub use proto::sockjs::Profile;
pub use reactor::{IoLoop, LoopHandle, PeriodicCallback};
pub use router::{AnyRouter, Extra, Router, RouterId};
pub use routes::{Route, Routes};
pub use server::cors::Cors;
pub use server::cx::{App, AppIo, Cx, Io, RouterIo, Timer};
pub use server::files::Files;
pub use server::flash::FlashPolicy;
pub use server::multiplex::Multiplex;
pub use server::remote::{Deciding, Ordered, Remote, RemoteFull};
pub use server::request::Request;
pub use server::response::{Later, Reply, Response, Streaming};
pub use server::target::Target;
pub use server::{ServerLoop, SocketServer, SourceId};
pub use stats::{Stats, TransportCounts};

/// The program of the README is compiled with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
