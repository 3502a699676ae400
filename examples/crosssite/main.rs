//! Socket.IO: a page on one port, and what it connects to on another, which is another origin.
//!
//!     npm ci --ignore-scripts --prefix tests/clients        # the client, once
//!     cargo run --release --example crosssite
//!
//! Then open <http://127.0.0.1:8010/>. The sockets are at the next port.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/socketio/mod.rs"]
mod socketio;

use dustdevil::{
    Connection, Cx, Error, Events, Files, Message, OriginPattern, OriginPolicy, Origins, Response,
    Router, Routes, SocketIo, SocketServer,
};
use std::net::TcpListener;

/// Where the sockets are; the page asks for it.
#[derive(Default)]
struct Site {
    sockets_port: u16,
}

#[derive(Default)]
struct Echo;

impl Connection for Echo {
    type State = Site;

    fn events(on: &mut Events<Self>) {
        on.on("transport", |_, cx, ()| cx.transport().name());
    }

    fn on_message(&mut self, cx: &mut Cx<Self>, message: Message) {
        cx.send(message);
    }
}

fn main() -> Result<(), Error> {
    let asked = common::begin(8010);
    // The page's port has to be known before the sockets are: it is what they let in.
    let page = TcpListener::bind(("127.0.0.1", asked))?;
    let port = page.local_addr()?.port();
    let origins = ["127.0.0.1", "localhost"].map(|host| {
        OriginPattern::parse(&format!("http://{host}:{port}")).expect("a scheme, a host and a port")
    });
    let sockets = Routes::new().socketio(
        "/socket.io",
        &Router::<Echo>::new(),
        SocketIo {
            origins: OriginPolicy {
                origins: Origins::List(origins.to_vec()),
                ..OriginPolicy::default()
            },
            ..SocketIo::default()
        },
    );
    let next = if asked == 0 { 0 } else { port.wrapping_add(1) };
    let mut server = SocketServer::new(Site::default())?
        .page("/", include_str!("page.html"))
        .get("/sockets-port", |_, app, reply| {
            reply.send(Response::json(&app.state.sockets_port));
        })
        .files("/socket.io.js", Files::file(socketio::CLIENT))
        .routes(socketio::routes())
        .listen_on(page)?
        .bind_with(("127.0.0.1", next), sockets)?
        .drain_on_signals()?;
    let sockets = server.local_addrs()[1].tcp();
    server.with_app(|app| app.state.sockets_port = sockets.map_or(0, |at| at.port()))?;
    common::run(server)
}
