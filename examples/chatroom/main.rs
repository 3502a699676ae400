//! A chat room with its own page: names, joins, leaves, who is there.
//!
//!     cargo run --release --example chatroom
//!
//! Then open <http://127.0.0.1:8001/> in two windows. The first message of a client is its name,
//! every later one is said in the room.

#[path = "../common/mod.rs"]
mod common;

use dustdevil::{
    CloseReason, Connection, ConnectionId, Cx, Error, Message, Router, SocketServer, WebSocket,
};
use std::collections::BTreeMap;

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
                let name: String = text.chars().take(NAME_MAX).collect();
                cx.state.people.insert(cx.id(), name.clone());
                cx.all().send(format!("* {name} joined"));
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

/// `# anna, bert`
fn people(room: &Room) -> String {
    let names: Vec<&str> = room.people.values().map(String::as_str).collect();
    format!("# {}", names.join(", "))
}

fn main() -> Result<(), Error> {
    let port = common::port(8001);
    let server = SocketServer::new(Room::default())?
        .page("/", include_str!("page.html"))
        .websocket("/chat", &Router::<Chat>::new(), WebSocket::default())
        .bind(("127.0.0.1", port))?
        .drain_on_signals()?;
    common::run(server)
}

/// Characters of a name, and of a line.
const NAME_MAX: usize = 30;
const LINE_MAX: usize = 2000;
