//! A chat room with its own page, names, joins, leaves, who is there: one class for clients of plain WebSocket,
//! SockJS and Socket.IO 0.6 to 0.9, on one port.
//!
//!     npm ci --ignore-scripts --prefix tests/clients        # the clients for the page, once; WebSocket needs none
//!     cargo run --release --example chatroom
//!
//! Then open <http://127.0.0.1:8001/> in two windows. The first message of a client is its name,
//! every later one is said in the room. What comes back is a line of text:
//!
//! | line | what it is |
//! | --- | --- |
//! | `anna: hello` | what somebody has said |
//! | `* anna joined, by plain WebSocket`, `* anna left` | a notice |
//! | `# anna, bert` | who is there |
//!
//! A name has none of the characters that tell these apart, see [`name`].

#[path = "../common/mod.rs"]
mod common;

use dustdevil::{
    CloseReason, Connection, ConnectionId, Cx, Dialect, Error, Message, Response, Route, Router,
    Routes, SockJs, SocketIo, SocketServer, WebSocket,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// Who is there, by name.
#[derive(Default)]
struct Room {
    people: BTreeMap<ConnectionId, String>,
}

#[derive(Default)]
struct Chat {
    /// `None` until the client has said its name.
    name: Option<String>,
}

impl Connection for Chat {
    type State = Room;

    fn on_message(&mut self, cx: &mut Cx<Self>, message: Message) {
        let Some(text) = message
            .text()
            .map(str::trim)
            .filter(|text| !text.is_empty())
        else {
            return;
        };
        match &self.name {
            Some(name) => {
                let line: String = text.chars().take(LINE_MAX).collect();
                cx.all().send(format!("{name}: {line}"));
            }
            None => {
                let Some(name) = name(text) else { return };
                cx.state.people.insert(cx.id(), name.clone());
                let way = way(cx);
                cx.all().send(format!("* {name} joined, by {way}"));
                self.name = Some(name);
                cx.all().send(people(cx.state));
            }
        }
    }

    fn on_close(&mut self, cx: &mut Cx<Self>, _: CloseReason) {
        if let Some(name) = cx.state.people.remove(&cx.id()) {
            cx.all().send(format!("* {name} left"));
            cx.all().send(people(cx.state));
        }
    }
}

/// What is left of a name without the characters that lines are told apart by, if anything is.
fn name(text: &str) -> Option<String> {
    let of_lines = |c: char| matches!(c, '#' | '*' | ':' | ',') || c.is_control();
    let left: String = text.chars().filter(|c| !of_lines(*c)).collect();
    let name: String = left.trim().chars().take(NAME_MAX).collect();
    (!name.is_empty()).then_some(name)
}

/// `# anna, bert`
fn people(room: &Room) -> String {
    let names: Vec<&str> = room.people.values().map(String::as_str).collect();
    format!("# {}", names.join(", "))
}

/// `xhr-polling of Socket.IO 0.6`
fn way(cx: &Cx<Chat>) -> String {
    let family = match cx.dialect() {
        Dialect::WebSocket => return "plain WebSocket".to_owned(),
        Dialect::SockJs => "SockJS",
        Dialect::SocketIo06 => "Socket.IO 0.6",
        Dialect::SocketIo09 => "Socket.IO 0.9",
        _ => "another protocol",
    };
    format!("{} of {family}", cx.transport().name())
}

fn main() -> Result<(), Error> {
    let port = common::begin(8001);
    let chat = Router::<Chat>::new();
    let mut socketio = SocketIo::default();
    // Who polls by Socket.IO 0.6 leaves without a word.
    socketio.settings.session_expiry = Duration::from_secs(5);
    socketio.settings.session_check_interval = Duration::from_secs(1);
    let server = SocketServer::new(Room::default())?
        .page("/", include_str!("page.html"))
        .routes(clients())
        .websocket("/chat", &chat, WebSocket::default())
        .sockjs("/sockjs", &chat, SockJs::default())
        .socketio("/socket.io", &chat, socketio)
        .bind(("127.0.0.1", port))?
        .drain_on_signals()?;
    common::run(server)
}

/// The clients for the page, of which those may be missing that are not installed.
fn clients<S: 'static>() -> Routes<S> {
    CLIENTS.iter().fold(Routes::new(), |routes, (path, file)| {
        routes.route(Route::get(path, move |_, _, reply| {
            // Files of some kilobytes, and only an example: they are read each time.
            let script = std::fs::read(format!("{MODULES}/{file}"))
                .unwrap_or_else(|_| b"// This client is not installed.".to_vec());
            reply.send(Response::bytes("text/javascript; charset=utf-8", script));
        }))
    })
}

const CLIENTS: [(&str, &str); 3] = [
    ("/clients/sockjs.js", "sockjs-client/dist/sockjs.min.js"),
    (
        "/clients/socketio06.js",
        "socket.io-0.6.18/support/socket.io-client/socket.io.js",
    ),
    (
        "/clients/socketio09.js",
        "socket.io-client-0.9.17/dist/socket.io.js",
    ),
];
const MODULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/node_modules");

/// Characters of a name, and of a line.
const NAME_MAX: usize = 30;
const LINE_MAX: usize = 2000;
