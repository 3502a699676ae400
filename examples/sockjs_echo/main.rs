//! SockJS: every message comes back, over whichever transport the browser can.
//!
//!     npm ci --ignore-scripts --prefix tests/clients        # the client, once
//!     cargo run --release --example sockjs_echo
//!
//! Then open <http://127.0.0.1:8002/>.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/sockjs/mod.rs"]
mod sockjs;

use dustdevil::{Connection, Cx, Error, Message, Router, SockJs, SocketServer};

#[derive(Default)]
struct Echo;

impl Connection for Echo {
    type State = ();

    fn on_message(&mut self, cx: &mut Cx<Self>, message: Message) {
        cx.send(message);
    }
}

fn main() -> Result<(), Error> {
    let port = common::begin(8002);
    let server = SocketServer::new(())?
        .page("/", include_str!("page.html"))
        .routes(sockjs::routes())
        .sockjs("/echo", &Router::<Echo>::new(), SockJs::default())
        .bind(("127.0.0.1", port))?
        .drain_on_signals()?;
    common::run(server)
}
