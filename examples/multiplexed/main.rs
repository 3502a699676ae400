//! Socket.IO: two endpoints and the root, each a class of its own, over one connection.
//!
//!     npm ci --ignore-scripts --prefix tests/clients        # the client, once
//!     cargo run --release --example multiplexed
//!
//! Then open <http://127.0.0.1:8007/> in two windows.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/socketio/mod.rs"]
mod socketio;

use dustdevil::{
    CloseReason, Connection, Cx, Error, Events, Message, Reject, Request, Router, SocketServer,
};

/// What is connected before any endpoint is: it sends everything back.
#[derive(Default)]
struct Root;

impl Connection for Root {
    type State = ();

    fn on_open(&mut self, cx: &mut Cx<Self>, _: &Request) -> Result<(), Reject> {
        tell_session(cx);
        Ok(())
    }

    fn on_message(&mut self, cx: &mut Cx<Self>, message: Message) {
        cx.send(message);
    }
}

/// `/chat`: everybody who has joined with a name hears what anybody says.
#[derive(Default)]
struct Chat {
    name: Option<String>,
}

impl Connection for Chat {
    type State = ();

    fn events(on: &mut Events<Self>) {
        on.on("join", Self::join);
    }

    fn on_open(&mut self, cx: &mut Cx<Self>, _: &Request) -> Result<(), Reject> {
        tell_session(cx);
        Ok(())
    }

    fn on_message(&mut self, cx: &mut Cx<Self>, message: Message) {
        if let (Some(name), Some(text)) = (&self.name, message.text()) {
            cx.room(ROOM).emit("said", (name, text));
        }
    }

    fn on_close(&mut self, cx: &mut Cx<Self>, _: CloseReason) {
        if let Some(name) = &self.name {
            cx.room(ROOM).emit("left", name);
        }
    }
}

impl Chat {
    /// Answers whether the name will do.
    fn join(&mut self, cx: &mut Cx<Self>, (name,): (String,)) -> bool {
        let name = name.trim();
        if self.name.is_some() || name.is_empty() || name.len() > NAME_BYTES_MAX {
            return false;
        }
        self.name = Some(name.to_owned());
        cx.join(ROOM);
        cx.room(ROOM).emit("joined", name);
        true
    }
}

/// `/ping`: answers with the client's time, as it came, and ours.
#[derive(Default)]
struct Ping;

impl Connection for Ping {
    type State = ();

    fn events(on: &mut Events<Self>) {
        on.on("ping", Self::ping);
    }

    fn on_open(&mut self, cx: &mut Cx<Self>, _: &Request) -> Result<(), Reject> {
        tell_session(cx);
        Ok(())
    }
}

impl Ping {
    fn ping(&mut self, _: &mut Cx<Self>, (client,): (f64,)) -> (f64, f64) {
        (client, socketio::milliseconds())
    }
}

/// It is the same on all endpoints of a connection.
fn tell_session<C: Connection>(cx: &Cx<C>) {
    cx.emit("session", cx.session_id().unwrap_or_default());
}

fn main() -> Result<(), Error> {
    let port = common::begin(8007);
    let root = Router::<Root>::new()
        .endpoint("/chat", &Router::<Chat>::new())
        .endpoint("/ping", &Router::<Ping>::new());
    let server = SocketServer::new(())?
        .page("/", include_str!("page.html"))
        .routes(socketio::routes())
        .socketio("/socket.io", &root, socketio::mount())
        .bind(("127.0.0.1", port))?
        .drain_on_signals()?;
    common::run(server)
}

const ROOM: &str = "everybody";
const NAME_BYTES_MAX: usize = 60;
