//! Socket.IO: the server's counters, told each second over its own connections.
//!
//!     npm ci --ignore-scripts --prefix tests/clients        # the client, once
//!     cargo run --release --example stats
//!
//! Then open <http://127.0.0.1:8012/>, which makes something to count, and
//! <http://127.0.0.1:8012/stats>, which draws it.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/socketio/mod.rs"]
mod socketio;

use dustdevil::{Connection, Cx, Error, Events, Keep, Router, SocketServer};
use serde_json::{Map, Value};
use std::time::Duration;

#[derive(Default)]
struct Ping;

impl Connection for Ping {
    type State = ();

    fn events(on: &mut Events<Self>) {
        on.on("ping", Self::ping);
    }
}

impl Ping {
    fn ping(&mut self, _: &mut Cx<Self>, (client,): (f64,)) -> (f64, f64) {
        (client, socketio::milliseconds())
    }
}

/// `/stats`: only listens.
#[derive(Default)]
struct Watch;

impl Connection for Watch {
    type State = ();
}

fn main() -> Result<(), Error> {
    let port = common::begin(8012);
    let watchers = Router::<Watch>::new();
    let root = Router::<Ping>::new().endpoint("/stats", &watchers);
    let watchers = watchers.id();
    let server = SocketServer::new(())?
        .page("/", include_str!("page.html"))
        .page("/stats", include_str!("stats.html"))
        .routes(socketio::routes())
        .socketio("/socket.io", &root, socketio::mount())
        .bind(("127.0.0.1", port))?
        // One timer for all who watch; the event is written once.
        .every(Duration::from_secs(1), move |app| {
            let dump = app.stats().dump().into_iter();
            let counters: Map<_, _> = dump
                .map(|(name, value)| (name.to_owned(), Value::from(value)))
                .collect();
            let watchers = app.router(watchers).all();
            watchers.emit("stats", Value::Object(counters));
            Keep::Going
        })?
        .drain_on_signals()?;
    common::run(server)
}
