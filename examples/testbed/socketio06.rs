//! The services that recordings of Socket.IO 0.6 ask for.

use dustdevil::{
    Connection, Cx, Extra, Json, Message, Reject, Request, Router, Routes, SocketIo, SocketIo06,
};
use serde_json::{Value, json};
use std::time::Duration;

/// The application of all recordings: it greets, sends back, and knows two words.
#[derive(Default)]
struct Recorded;

impl Connection for Recorded {
    type State = ();

    fn on_open(&mut self, cx: &mut Cx<Self>, _: &Request) -> Result<(), Reject> {
        cx.send("Welcome!");
        Ok(())
    }

    fn on_message(&mut self, cx: &mut Cx<Self>, message: Message) {
        match message.text() {
            Some("three") if !message.is_json() => {
                cx.send("a");
                cx.send("\u{e9}\u{1f600}");
                cx.send(Json(&json!({"k": "v"})));
            }
            Some("bye") if !message.is_json() => cx.close(),
            _ => {
                cx.send(message);
            }
        }
    }
}

/// Greets, and answers every message with the data that the path had.
#[derive(Default)]
struct Room {
    extra: Value,
}

impl Connection for Room {
    type State = ();

    fn on_open(&mut self, cx: &mut Cx<Self>, req: &Request) -> Result<(), Reject> {
        self.extra = req.extra().map_or(
            Value::Null,
            |extra| json!({"text": extra.text(), "room": extra.get("room")}),
        );
        cx.send("Welcome!");
        Ok(())
    }

    fn on_message(&mut self, cx: &mut Cx<Self>, _: Message) {
        cx.send(Json(&self.extra));
    }
}

/// The number in `/123`.
fn room(text: &str) -> Option<Extra> {
    let digits = text.strip_prefix('/')?;
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| Extra::new(text).named("room", digits))
}

/// All services; `of` is what they have in common.
///
/// | where | what |
/// | --- | --- |
/// | `/chat/<digits>` | sends back what the path had |
/// | `/tornadio`, `/tornadio-fast`, `/node06`, `/node06-fast` | what was recorded of the two kinds of servers, with usual times and with those of a second; hixie-75 at `/node06` only |
///
/// Behind all but the first stands `/socket.io`.
pub(crate) fn services(of: &SocketIo) -> Routes<()> {
    let with = |change: fn(&mut SocketIo, &mut SocketIo06)| {
        let mut of = of.clone();
        let mut old = of.socketio06.take().unwrap_or_default();
        change(&mut of, &mut old);
        of.socketio06 = Some(old);
        of
    };
    let recorded = Router::<Recorded>::new();
    Routes::new()
        .socketio(
            "/chat",
            &Router::<Room>::new().extra(room),
            with(|of, _| of.socketio09 = false),
        )
        .socketio("/tornadio/socket.io", &recorded, with(|_, _| ()))
        .socketio("/tornadio-fast/socket.io", &recorded, with(fast))
        .socketio(
            "/node06/socket.io",
            &recorded,
            with(|of, _| of.hixie75 = true),
        )
        .socketio(
            "/node06-fast/socket.io",
            &recorded,
            with(|of, old| {
                fast(of, old);
                old.settings.heartbeats_missed_max = 2;
            }),
        )
}

fn fast(of: &mut SocketIo, old: &mut SocketIo06) {
    old.settings.heartbeat_interval = Duration::from_secs(1);
    of.settings.xhr_polling_timeout = Duration::from_secs(1);
    of.settings.session_expiry = Duration::from_millis(2500);
    of.settings.session_check_interval = Duration::from_millis(500);
}
