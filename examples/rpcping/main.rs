//! Socket.IO: an event whose arguments go by position or by name, answered by another event.
//!
//!     npm ci --ignore-scripts --prefix tests/clients        # the client, once
//!     cargo run --release --example rpcping
//!
//! Then open <http://127.0.0.1:8006/>.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/socketio/mod.rs"]
mod socketio;

use dustdevil::{
    Connection, Cx, Error, EventArgs, Events, FromArgs, Named, Router, SocketServer, WrongArgs,
};
use serde_json::json;
use std::collections::HashMap;

/// The arguments of `ping`: the client's time.
enum Ping {
    /// `emit('ping', time)`
    ByPosition(f64),
    /// `emit('ping', {client: time})`
    ByName(f64),
}

impl FromArgs for Ping {
    fn from_args(args: &EventArgs) -> Result<Self, WrongArgs> {
        if let Ok(Named(fields)) = Named::<HashMap<String, f64>>::from_args(args) {
            if let Some(client) = fields.get("client") {
                return Ok(Self::ByName(*client));
            }
        }
        let (client,) = FromArgs::from_args(args)?;
        Ok(Self::ByPosition(client))
    }
}

#[derive(Default)]
struct RpcPing;

impl Connection for RpcPing {
    type State = ();

    fn events(on: &mut Events<Self>) {
        on.on("ping", Self::ping);
    }
}

impl RpcPing {
    /// Answers in the form in which it was asked.
    fn ping(&mut self, cx: &mut Cx<Self>, ping: Ping) {
        let server = socketio::milliseconds();
        match ping {
            Ping::ByPosition(client) => cx.emit("pong", (client, server)),
            Ping::ByName(client) => cx.emit("pong", json!({ "client": client, "server": server })),
        };
    }
}

fn main() -> Result<(), Error> {
    let port = common::begin(8006);
    let server = SocketServer::new(())?
        .page("/", include_str!("page.html"))
        .routes(socketio::routes())
        .socketio("/socket.io", &Router::<RpcPing>::new(), socketio::mount())
        .bind(("127.0.0.1", port))?
        .drain_on_signals()?;
    common::run(server)
}
