//! Socket.IO: an event that is acknowledged with what its handler returns.
//!
//!     npm ci --ignore-scripts --prefix tests/clients        # the client, once
//!     cargo run --release --example ackping
//!
//! Then open <http://127.0.0.1:8005/>.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/socketio/mod.rs"]
mod socketio;

use dustdevil::{Connection, Cx, Error, Events, Router, SocketServer};

#[derive(Default)]
struct AckPing;

impl Connection for AckPing {
    type State = ();

    fn events(on: &mut Events<Self>) {
        on.on("ping", Self::ping);
    }
}

impl AckPing {
    /// Answers with the client's time, as it came, and ours.
    fn ping(&mut self, _: &mut Cx<Self>, (client,): (f64,)) -> (f64, f64) {
        (client, socketio::milliseconds())
    }
}

fn main() -> Result<(), Error> {
    let port = common::begin(8005);
    let server = SocketServer::new(())?
        .page("/", include_str!("page.html"))
        .routes(socketio::routes())
        .socketio("/socket.io", &Router::<AckPing>::new(), socketio::mount())
        .bind(("127.0.0.1", port))?
        .drain_on_signals()?;
    common::run(server)
}
