//! SockJS: everybody hears what anybody says.
//!
//!     npm ci --ignore-scripts --prefix tests/clients        # the client, once
//!     cargo run --release --example sockjs_chat
//!
//! Then open <http://127.0.0.1:8003/> in two windows.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/sockjs/mod.rs"]
mod sockjs;

use dustdevil::{
    CloseReason, Connection, Cx, Error, Message, Reject, Request, Router, SockJs, SocketServer,
};

#[derive(Default)]
struct Chat;

impl Connection for Chat {
    type State = ();

    fn on_open(&mut self, cx: &mut Cx<Self>, _: &Request) -> Result<(), Reject> {
        // Those who are there already; this one is not counted before it is accepted.
        cx.all().send("Someone joined.");
        Ok(())
    }

    fn on_message(&mut self, cx: &mut Cx<Self>, message: Message) {
        cx.all().send(message);
    }

    fn on_close(&mut self, cx: &mut Cx<Self>, _: CloseReason) {
        cx.all().send("Someone left.");
    }
}

fn main() -> Result<(), Error> {
    let port = common::begin(8003);
    let server = SocketServer::new(())?
        .page("/", include_str!("page.html"))
        .routes(sockjs::routes())
        .sockjs("/chat", &Router::<Chat>::new(), SockJs::default())
        .bind(("127.0.0.1", port))?
        .drain_on_signals()?;
    common::run(server)
}
