//! The services that recordings and clients of Socket.IO 0.7 to 0.9 ask for.

use dustdevil::{
    Connection, Cx, Dialect, Event, EventArgs, Events, FromArgs, IntoArgs, Message, Named,
    OriginPattern, OriginPolicy, Origins, Reject, Request, Router, Routes, SocketIo,
    SocketIoSettings, Transport, WrongArgs,
};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// As many arguments as there are, as they came.
struct Args(String);

impl FromArgs for Args {
    fn from_args(args: &EventArgs<'_>) -> Result<Self, WrongArgs> {
        Ok(Self(args.iter().collect::<Vec<_>>().join(",")))
    }
}

impl IntoArgs for Args {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.as_bytes());
    }
}

/// The same of values.
fn arguments(values: &[Value]) -> Args {
    Args(
        values
            .iter()
            .map(Value::to_string)
            .collect::<Vec<_>>()
            .join(","),
    )
}

// ---- for clients of every kind ------------------------------------------------------------------

/// Echoes messages, JSON and events; acknowledges, broadcasts, asks. Greets who speaks Socket.IO 0.6.
#[derive(Default)]
struct Public;

impl Connection for Public {
    type State = ();

    fn events(on: &mut Events<Self>) {
        public_events(on);
    }

    fn on_open(&mut self, cx: &mut Cx<Self>, _: &Request) -> Result<(), Reject> {
        if cx.dialect() == Dialect::SocketIo06 {
            cx.send("Welcome!");
        }
        Ok(())
    }

    fn on_message(&mut self, cx: &mut Cx<Self>, message: Message) {
        cx.send(message);
    }
}

/// What is said here goes to everybody who is here.
#[derive(Default)]
struct Chat;

impl Connection for Chat {
    type State = ();

    fn events(on: &mut Events<Self>) {
        public_events(on);
    }

    fn on_message(&mut self, cx: &mut Cx<Self>, message: Message) {
        cx.all().send(message);
    }
}

/// Answers `ping` with `pong`, and acknowledges it.
#[derive(Default)]
struct Ping;

impl Connection for Ping {
    type State = ();

    fn events(on: &mut Events<Self>) {
        public_events(on);
        on.on("ping", |_, cx, args: Args| {
            cx.emit("pong", Args(args.0.clone()));
            args
        });
    }

    fn on_message(&mut self, cx: &mut Cx<Self>, message: Message) {
        cx.send(message);
    }
}

/// Refuses everybody.
#[derive(Default)]
struct Refuse;

impl Connection for Refuse {
    type State = ();

    fn on_open(&mut self, _: &mut Cx<Self>, _: &Request) -> Result<(), Reject> {
        Err("not you".into())
    }
}

fn public_events<C: Connection>(on: &mut Events<C>) {
    on.on("echo", |_, cx, args: Args| {
        cx.emit("echo", args);
    });
    on.on("ack", |_, _, args: Args| args);
    on.on("broadcast", |_, cx, args: Args| {
        cx.all().emit("broadcast", args);
    });
    on.on("ask", |_, cx, args: Args| {
        cx.emit_ack("question", args, |_, cx, answer| {
            if let Ok(values) = answer {
                cx.emit("answered", arguments(&values));
            }
        });
    });
    on.on("ask_message", |_, cx, (text,): (String,)| {
        cx.send_ack(text, |_, cx, answer| {
            if let Ok(values) = answer {
                cx.emit("answered", arguments(&values));
            }
        });
    });
    on.on("close", |_, cx, ()| cx.close());
}

fn public() -> Router<Public> {
    Router::<Public>::new()
        .endpoint("/chat", &Router::<Chat>::new())
        .endpoint("/ping", &Router::<Ping>::new())
        .endpoint("/private", &Router::<Refuse>::new())
}

/// Answers and sends on what comes, arguments as they are.
#[derive(Default)]
struct Bench;

impl Connection for Bench {
    type State = ();

    fn on_message(&mut self, cx: &mut Cx<Self>, message: Message) {
        cx.send(message);
    }

    fn on_event(&mut self, cx: &mut Cx<Self>, event: Event) {
        match event.name {
            "echo" => {
                cx.emit("echo", *event.args);
            }
            "ack" => {
                let ack = cx.ack();
                cx.reply(ack, *event.args);
            }
            "broadcast" => {
                cx.all().emit("broadcast", *event.args);
            }
            _ => {}
        }
    }
}

/// What benchmarks need.
pub(crate) fn bench(of: &SocketIo) -> Routes<()> {
    Routes::new().socketio("/socket.io", &Router::<Bench>::new(), of.clone())
}

// ---- what was recorded of the Node server -------------------------------------------------------

/// Messages come back with a tag before them.
#[derive(Default)]
struct Node;

impl Connection for Node {
    type State = ();

    fn events(on: &mut Events<Self>) {
        node_events(on);
    }

    fn on_message(&mut self, cx: &mut Cx<Self>, message: Message) {
        tagged(cx, &message, "root:");
    }
}

/// Its endpoint `/chat`.
#[derive(Default)]
struct NodeChat;

impl Connection for NodeChat {
    type State = ();

    fn events(on: &mut Events<Self>) {
        node_events(on);
    }

    fn on_open(&mut self, cx: &mut Cx<Self>, _: &Request) -> Result<(), Reject> {
        cx.emit("welcome", json!({"room": "chat"}));
        Ok(())
    }

    fn on_message(&mut self, cx: &mut Cx<Self>, message: Message) {
        tagged(cx, &message, "chat:");
    }
}

fn tagged<C: Connection>(cx: &mut Cx<C>, message: &Message, tag: &str) {
    if message.is_json() {
        cx.send(message);
        return;
    }
    let text = message.text().unwrap_or_default();
    match text {
        "close-me" => cx.close(),
        "data ack" => {
            let ack = cx.ack();
            cx.reply(ack, "gotit");
            cx.send(format!("{tag}{text}"));
        }
        _ => {
            cx.send(format!("{tag}{text}"));
        }
    }
}

fn node_events<C: Connection>(on: &mut Events<C>) {
    common_events(on);
    on.on("none", |_, _, ()| ());
    on.on("askme", |_, cx, ()| {
        cx.emit_ack("question", "x", |_, cx, answer| {
            if let Ok(values) = answer {
                cx.emit("answered", arguments(&values));
            }
        });
    });
    on.on("askme0", |_, cx, ()| {
        cx.emit_ack("question", "x", |_, cx, _| {
            cx.emit("answered0", ());
        });
    });
    on.on("three", |_, cx, ()| {
        cx.emit("e1", ());
        cx.emit("e2", "\u{e9}\u{1f600}");
        cx.send("m3");
    });
}

/// What both recorded applications do.
fn common_events<C: Connection>(on: &mut Events<C>) {
    on.on("add", |_, _, (a, b): (i64, i64)| a + b);
    on.on("multi", |_, _, ()| ("Joes", json!({"n": 1}), [2]));
    on.on("echo", |_, cx, args: Args| {
        cx.emit("echoed", args);
    });
    on.on("bye", |_, cx, ()| cx.close());
}

/// Lets in who has the right token.
#[derive(Default)]
struct Token;

impl Connection for Token {
    type State = ();

    fn on_open(&mut self, _: &mut Cx<Self>, req: &Request) -> Result<(), Reject> {
        match req.query("token").as_deref() {
            Some("ok") => Ok(()),
            Some("err") => panic!("the token is an error"),
            _ => Err(Reject::status(403)),
        }
    }
}

// ---- what was recorded of TornadIO2 -------------------------------------------------------------

/// Messages come back as they are.
#[derive(Default)]
struct Tornadio2;

impl Connection for Tornadio2 {
    type State = ();

    fn events(on: &mut Events<Self>) {
        tornadio2_events(on);
    }

    fn on_open(&mut self, _: &mut Cx<Self>, req: &Request) -> Result<(), Reject> {
        match req.query("reject") {
            Some(_) => Err(Reject::status(403)),
            None => Ok(()),
        }
    }

    fn on_message(&mut self, cx: &mut Cx<Self>, message: Message) {
        match message.text() {
            Some("close-me") => cx.close(),
            Some("boom") => panic!("boom"),
            Some("sendack") => {
                cx.send_ack("ackplease", acked);
            }
            _ => {
                cx.send(message);
            }
        }
    }
}

/// Its endpoint `/chat`.
#[derive(Default)]
struct Tornadio2Chat;

impl Connection for Tornadio2Chat {
    type State = ();

    fn events(on: &mut Events<Self>) {
        tornadio2_events(on);
    }

    fn on_open(&mut self, cx: &mut Cx<Self>, req: &Request) -> Result<(), Reject> {
        let welcome = json!({"a": req.query("a"), "room": "chat"});
        cx.emit("welcome", welcome);
        Ok(())
    }

    fn on_message(&mut self, cx: &mut Cx<Self>, message: Message) {
        cx.send(message);
    }
}

/// The answer to a question goes back as one argument.
fn acked<C: Connection>(
    _: &mut C,
    cx: &mut Cx<'_, C>,
    answer: Result<Vec<Value>, dustdevil::AckError>,
) {
    if let Ok(values) = answer {
        let nothing = values.is_empty();
        let values = if nothing { Value::Null } else { values.into() };
        cx.emit("acked", values);
    }
}

/// The argument of `kw`: by its name, or the first one.
struct Who(String);

impl FromArgs for Who {
    fn from_args(args: &EventArgs<'_>) -> Result<Self, WrongArgs> {
        match args.get::<Value>(0)?.get("who").and_then(Value::as_str) {
            Some(who) => Ok(Self(who.to_owned())),
            None => args.get(0).map(Self),
        }
    }
}

fn tornadio2_events<C: Connection>(on: &mut Events<C>) {
    common_events(on);
    on.on("one", |_, _, ()| "Joes");
    on.on("lst", |_, _, ()| (["a", "b"],));
    on.on("kw", |_, cx, Who(who)| {
        cx.emit("thanks", json!({"who": who}));
        who
    });
    on.on(
        "kwname",
        |_, cx, Named(named): Named<Map<String, Value>>| {
            let name = named.get("name").cloned().unwrap_or_default();
            cx.emit("thanks", json!({"name": name}));
            name
        },
    );
    on.on("askme", |_, cx, ()| {
        cx.emit_ack("question", "x", acked);
    });
    on.on("three", |_, cx, ()| {
        cx.emit("e1", json!({}));
        cx.emit("e2", "\u{e9}\u{1f600}");
        cx.send("m3");
    });
    on.on("stats", |_, cx, ()| {
        let dump = cx.stats().dump();
        let named = dump
            .into_iter()
            .map(|(name, value)| (name.to_owned(), json!(value)));
        Value::Object(named.collect())
    });
}

// ---- mounts -------------------------------------------------------------------------------------

/// All services; `of` is what they have in common.
///
/// | where | what |
/// | --- | --- |
/// | `/socket.io` | for clients of every kind |
/// | `/fast/socket.io` | the same with times of a second or two; clients are told five |
/// | `/node...`, `/tornadio2...` | what was recorded of either server; what follows the name says with which options |
pub(crate) fn services(of: &SocketIo) -> Routes<()> {
    let with = |change: fn(&mut SocketIoSettings)| {
        let mut of = of.clone();
        change(&mut of.settings);
        if let Some(old) = &mut of.socketio06 {
            old.settings.heartbeat_interval = old
                .settings
                .heartbeat_interval
                .min(of.settings.heartbeat_interval);
        }
        of
    };
    let node_like = |change: fn(&mut SocketIoSettings)| {
        let mut of = with(change);
        of.enabled_protocols = vec![
            Transport::WebSocket,
            Transport::FlashSocket,
            Transport::HtmlFile,
            Transport::XhrPolling,
            Transport::JsonpPolling,
        ];
        of
    };
    let node = Router::<Node>::new()
        .endpoint("/chat", &Router::<NodeChat>::new())
        .endpoint("/private", &Router::<Refuse>::new())
        .endpoint("/boom", &Router::<Refuse>::new());
    let tornadio2 = Router::<Tornadio2>::new()
        .endpoint("/chat", &Router::<Tornadio2Chat>::new())
        .endpoint("/private", &Router::<Refuse>::new());
    let origins = OriginPolicy {
        origins: Origins::List(vec![
            OriginPattern::parse("http://good.example").expect("a scheme and a host"),
        ]),
        require_origin: true,
    };
    Routes::new()
        .socketio("/socket.io", &public(), of.clone())
        .socketio(
            "/fast/socket.io",
            &public(),
            with(|set| {
                fast(set);
                // A browser on a machine that stalls is not to give up.
                set.client_timeout = Duration::from_secs(4);
            }),
        )
        .socketio(
            "/node/socket.io",
            &node,
            SocketIo {
                hixie75: true,
                ..node_like(node_times)
            },
        )
        .socketio(
            "/node-fast/socket.io",
            &node,
            node_like(|set| {
                fast(set);
                set.global_heartbeats = false;
            }),
        )
        .socketio(
            "/node-noheartbeat/socket.io",
            &node,
            node_like(|set| {
                node_times(set);
                set.heartbeat_interval = Duration::ZERO;
            }),
        )
        .socketio(
            "/node-auth/socket.io",
            &Router::<Token>::new(),
            node_like(node_times),
        )
        .socketio(
            "/node-origins/socket.io",
            &node,
            SocketIo {
                origins,
                ..node_like(node_times)
            },
        )
        .socketio(
            "/tornadio2/socket.io",
            &tornadio2,
            with(|set| set.unknown_session_401 = true),
        )
        .socketio(
            "/tornadio2-fast/socket.io",
            &tornadio2,
            with(|set| {
                fast(set);
                set.unknown_session_401 = true;
            }),
        )
        .socketio(
            "/tornadio2-check/socket.io",
            &tornadio2,
            with(|set| {
                set.websocket_check = true;
                set.client_timeout = Duration::from_secs(1);
            }),
        )
}

/// The Node server announces a minute.
fn node_times(set: &mut SocketIoSettings) {
    set.heartbeat_interval = Duration::from_secs(55);
    set.xhr_polling_timeout = Duration::from_secs(55);
    set.global_heartbeats = false;
}

fn fast(set: &mut SocketIoSettings) {
    set.heartbeat_interval = Duration::from_secs(1);
    set.xhr_polling_timeout = Duration::from_secs(1);
    set.client_timeout = Duration::from_secs(1);
    set.session_expiry = Duration::from_secs(2);
    set.session_check_interval = Duration::from_secs(1);
}
