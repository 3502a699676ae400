//! A single-threaded realtime server on a hand-written `mio` reactor.

pub mod config;
pub(crate) mod conn;
mod connection;
mod error;
pub mod hub;
pub mod net;
pub mod proto;
pub mod reactor;
mod router;
mod server;
mod stats;
pub mod storage;
pub mod time;

pub use config::{ConfigError, Settings, WebSocketLimits};
pub use connection::{
    Cause, CloseReason, Connection, ConnectionId, Event, IntoMessage, Json, Keep, Kind, Message,
    RawJson, Reject, Sent,
};
pub use error::Error;
pub use proto::http::cookie::{SameSite, SetCookie};
pub use proto::http::origin::{OriginPattern, OriginPolicy, Origins};
pub use reactor::{IoLoop, LoopHandle, PeriodicCallback};
pub use router::{AllowOrigin, Messages, Route, Router, RouterId, Routes, Subprotocol, WebSocket};
pub use server::cors::Cors;
pub use server::cx::{App, AppIo, Cx, Io, RouterIo, Target, Timer};
pub use server::files::Files;
pub use server::remote::{Deciding, Ordered, Remote, RemoteFull};
pub use server::request::Request;
pub use server::response::{Later, Reply, Response, Streaming};
pub use server::{ServerLoop, SocketServer, SourceId};
pub use stats::Stats;
