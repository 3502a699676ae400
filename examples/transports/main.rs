//! Socket.IO: a chat over whichever transports are chosen, and the server tells which one is in use.
//!
//!     npm ci --ignore-scripts --prefix tests/clients        # the client, once
//!     cargo run --release --example transports
//!
//! Then open <http://127.0.0.1:8009/> in two windows.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/socketio/mod.rs"]
mod socketio;

use dustdevil::{Connection, Cx, Error, Events, Message, Router, SocketServer};

#[derive(Default)]
struct Chat;

impl Connection for Chat {
    type State = ();

    fn events(on: &mut Events<Self>) {
        // In `on_open` it is not known yet: that runs in the handshake, before there is a transport.
        on.on("transport", |_, cx, ()| cx.transport().name());
    }

    fn on_message(&mut self, cx: &mut Cx<Self>, message: Message) {
        cx.all().send(message);
    }
}

fn main() -> Result<(), Error> {
    let port = common::begin(8009);
    let server = SocketServer::new(())?
        .page("/", include_str!("page.html"))
        .routes(socketio::routes())
        .socketio("/socket.io", &Router::<Chat>::new(), socketio::mount())
        .bind(("127.0.0.1", port))?
        .drain_on_signals()?;
    common::run(server)
}
