//! Socket.IO 0.6: JSON there and back, with the server's time and the client's address.
//!
//!     npm ci --ignore-scripts --prefix tests/clients        # the client, once
//!     cargo run --release --example ping
//!
//! Then open <http://127.0.0.1:8013/>.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/socketio/mod.rs"]
mod socketio;

use dustdevil::{Connection, Cx, Error, Json, Message, Router, SocketIo, SocketServer};
use serde_json::{Value, json};

#[derive(Default)]
struct Ping;

impl Connection for Ping {
    type State = ();

    /// Gives an object back with ours added; it has no events that could be acknowledged.
    fn on_message(&mut self, cx: &mut Cx<Self>, message: Message) {
        let Ok(Value::Object(mut answer)) = message.json() else {
            return;
        };
        answer.insert("server".to_owned(), json!(socketio::milliseconds()));
        let address = cx.remote_addr().map(|address| address.to_string());
        answer.insert("address".to_owned(), json!(address));
        cx.send(Json(&answer));
    }
}

fn main() -> Result<(), Error> {
    let port = common::begin(8013);
    let of = SocketIo {
        client_file: Some(socketio::CLIENT06.into()),
        socketio09: false,
        ..SocketIo::default()
    };
    let server = SocketServer::new(())?
        .page("/", include_str!("page.html"))
        .routes(socketio::routes())
        .socketio("/socket.io", &Router::<Ping>::new(), of)
        .bind(("127.0.0.1", port))?
        .drain_on_signals()?;
    common::run(server)
}
