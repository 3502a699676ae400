//! Three channels over one SockJS connection: each is a class of its own.
//!
//!     npm ci --ignore-scripts --prefix tests/clients        # the client, once
//!     cargo run --release --example sockjs_multiplex
//!
//! Then open <http://127.0.0.1:8004/>.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/sockjs/mod.rs"]
mod sockjs;

use dustdevil::{
    Connection, Cx, Error, Message, Multiplex, Reject, Request, Router, SockJs, SocketServer,
};

/// Agrees with everything.
#[derive(Default)]
struct Ann;

impl Connection for Ann {
    type State = ();

    fn on_open(&mut self, cx: &mut Cx<Self>, _: &Request) -> Result<(), Reject> {
        cx.send("Ann is here.");
        Ok(())
    }

    fn on_message(&mut self, cx: &mut Cx<Self>, message: Message) {
        cx.send(format!("Yes, {}!", message.text().unwrap_or_default()));
    }
}

/// Tells all who have opened his channel.
#[derive(Default)]
struct Bob;

impl Connection for Bob {
    type State = ();

    fn on_message(&mut self, cx: &mut Cx<Self>, message: Message) {
        let text = message.text().unwrap_or_default();
        cx.all().send(format!("Bob passes it on: {text}"));
    }
}

/// Counts to three, and leaves.
#[derive(Default)]
struct Carl {
    heard: u32,
}

impl Connection for Carl {
    type State = ();

    fn on_message(&mut self, cx: &mut Cx<Self>, _: Message) {
        self.heard += 1;
        cx.send(format!("That was number {}.", self.heard));
        if self.heard == 3 {
            cx.close();
        }
    }
}

fn main() -> Result<(), Error> {
    let port = common::begin(8004);
    let channels = Multiplex::new()
        .channel("ann", &Router::<Ann>::new())
        .channel("bob", &Router::<Bob>::new())
        .channel("carl", &Router::<Carl>::new())
        .router();
    let server = SocketServer::new(())?
        .page("/", include_str!("page.html"))
        .routes(sockjs::routes())
        .sockjs("/multiplex", &channels, SockJs::default())
        .bind(("127.0.0.1", port))?
        .drain_on_signals()?;
    common::run(server)
}
