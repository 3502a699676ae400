//! A WebSocket echo server: the first program of every library of this kind.
//!
//!     cargo run --release --example ws_echo -- --port 8080

mod common;

use dustdevil::{Connection, Cx, Error, Message, Router, SocketServer, WebSocket};

#[derive(Default)]
struct Echo;

impl Connection for Echo {
    type State = ();

    fn on_message(&mut self, cx: &mut Cx<Self>, message: Message) {
        cx.send(message);
    }
}

fn main() -> Result<(), Error> {
    let port = common::begin(8080);
    let server = SocketServer::new(())?
        .websocket("/ws", &Router::<Echo>::new(), WebSocket::default())
        .bind(("127.0.0.1", port))?
        .drain_on_signals()?;
    common::run(server)
}
