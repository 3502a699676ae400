//! Socket.IO: slow work for one client, with its next messages held back or not. The loop never waits.
//!
//!     npm ci --ignore-scripts --prefix tests/clients        # the client, once
//!     cargo run --release --example ordered
//!
//! Then open <http://127.0.0.1:8008/>.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/socketio/mod.rs"]
mod socketio;

use dustdevil::{Connection, Cx, Error, Events, Pending, Router, SocketServer};
use std::time::Duration;

#[derive(Default)]
struct Queries;

impl Connection for Queries {
    type State = ();

    fn events(on: &mut Events<Self>) {
        on.on("ordered query", Self::ordered_query);
        on.on("query", Self::query);
        on.on("ping", |_, _, (client,): (f64,)| client);
    }
}

impl Queries {
    /// The work blocks, so it has a thread; until it is done, this client's next message waits. So there
    /// is never more than one thread for each client.
    fn ordered_query(&mut self, cx: &mut Cx<Self>, (number,): (u32,)) -> Pending {
        cx.emit("begun", number);
        let (ack, held) = (cx.ack(), cx.ordered());
        std::thread::spawn(move || {
            std::thread::sleep(WORK);
            let answer = format!("answer {number}");
            held.finish(move |_, cx| {
                cx.reply(ack, answer);
            });
        });
        Pending
    }

    /// The work is only waiting, so a timer will do; the next query begins meanwhile.
    fn query(&mut self, cx: &mut Cx<Self>, (number,): (u32,)) -> Pending {
        cx.emit("begun", number);
        let ack = cx.ack();
        cx.after(WORK, move |_, cx| {
            cx.reply(ack, format!("answer {number}"));
        });
        Pending
    }
}

fn main() -> Result<(), Error> {
    let port = common::begin(8008);
    let server = SocketServer::new(())?
        .page("/", include_str!("page.html"))
        .routes(socketio::routes())
        .socketio("/socket.io", &Router::<Queries>::new(), socketio::mount())
        .bind(("127.0.0.1", port))?
        .drain_on_signals()?;
    common::run(server)
}

const WORK: Duration = Duration::from_secs(3);
