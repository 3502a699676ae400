//! One server with every test service. The project's own tests, and others' clients, run against it.
//!
//!     cargo run --release --example testbed -- --port 9001
//!
//! | option | meaning |
//! | --- | --- |
//! | `--port N` | listens there on 127.0.0.1; 0 takes a free port. Default: 9001 |
//! | `--set NAME=VALUE` | any field of `Settings`, `SockJsSettings`, `SocketIoSettings` or `WebSocketLimits`, like `header_timeout=3s`. Of a name that several have the first one's is set; `socketio.NAME` is that of `SocketIoSettings`, `socketio06.NAME` that of `SocketIo06Settings` |
//! | `--flash-policy-port N` | the policy of Flash alone, there; 0 takes a free port. Default: none, it is at the other port only |
//! | `--sockjs-url URL` | where the iframe page of SockJS finds the client |
//! | `--sockjs-033` | the bytes that version 0.3.3 of SockJS's test suite wants |
//! | `--socketio-client FILE` | what Socket.IO mounts serve as `socket.io.js`. Default: a file without code |
//! | `--bench` | only what benchmarks need, with production settings: `/hello`, `/ws`, `/broadcast`, SockJS at `/echo` and `/broadcast`, Socket.IO at `/socket.io` |
//! | `--short-limits` | limits that a test reaches within seconds, and the default origin policy |

#[path = "../common/mod.rs"]
mod common;
mod socketio;
mod socketio06;
mod sockjs;

use dustdevil::{
    Connection, Cx, Error, Files, FlashPolicy, Message, OriginPolicy, Origins, Profile, Response,
    Route, Router, Routes, Settings, SockJs, SockJsSettings, SocketIo, SocketIoSettings,
    SocketServer, WebSocket, WebSocketLimits,
};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

/// Sends every message back with its type.
#[derive(Default)]
struct Echo;

impl Connection for Echo {
    type State = ();

    fn on_message(&mut self, cx: &mut Cx<Self>, message: Message) {
        cx.send(message);
    }
}

/// Sends every message to everyone connected here, the sender too.
#[derive(Default)]
struct Broadcast;

impl Connection for Broadcast {
    type State = ();

    fn on_message(&mut self, cx: &mut Cx<Self>, message: Message) {
        cx.all().send(message);
    }
}

struct Options {
    port: u16,
    bench: bool,
    short_limits: bool,
    flash_policy_port: Option<u16>,
    sockjs_url: Option<String>,
    sockjs_033: bool,
    socketio_client: PathBuf,
    set: Vec<(String, String)>,
}

fn main() -> Result<(), Error> {
    common::log();
    let options = options().unwrap_or_else(|error| common::usage(&error));
    let (mut settings, mut limits) = (Settings::default(), WebSocketLimits::default());
    let mut origins = OriginPolicy {
        origins: Origins::Any,
        ..OriginPolicy::default()
    };
    if options.short_limits {
        settings.header_timeout = Duration::from_secs(3);
        settings.body_timeout = Duration::from_secs(3);
        settings.keep_alive_timeout = Duration::from_secs(4);
        settings.body_bytes_max = 1 << 20;
        limits.message_bytes_max = 1 << 20;
        limits.ping_interval = Duration::from_secs(2);
        limits.ping_timeout = Duration::from_millis(1500);
        origins = OriginPolicy::default();
    } else if !options.bench {
        // The conformance suite sends messages of 16 MiB, and reads them back when it likes.
        limits.message_bytes_max = 64 << 20;
        settings.write_max_bytes = 256 << 20;
        settings.buffers_max_bytes = 1 << 30;
    }
    let mut of_sockjs = SockJs::default();
    let mut of_socketio = SocketIo {
        client_file: Some(options.socketio_client),
        ..SocketIo::default()
    };
    if !options.bench {
        of_socketio.origins = origins.clone();
    }
    for (name, value) in &options.set {
        if let Some(name) = name.strip_prefix("socketio.") {
            of_socketio.settings.set(name, value)?
        } else if let Some(name) = name.strip_prefix("socketio06.") {
            let old = of_socketio.socketio06.get_or_insert_default();
            old.settings.set(name, value)?
        } else if Settings::FIELDS.contains(&name.as_str()) {
            settings.set(name, value)?
        } else if SockJsSettings::FIELDS.contains(&name.as_str()) {
            of_sockjs.settings.set(name, value)?
        } else if SocketIoSettings::FIELDS.contains(&name.as_str()) {
            of_socketio.settings.set(name, value)?
        } else {
            limits.set(name, value)?;
            of_socketio.websocket.set(name, value)?
        }
    }
    of_sockjs.websocket = limits.clone();
    if let Some(url) = options.sockjs_url {
        of_sockjs.sockjs_url = url;
    }
    if options.sockjs_033 {
        of_sockjs.profile = Profile::V033;
    }
    let mount = || WebSocket {
        limits: limits.clone(),
        origins: origins.clone(),
        ..WebSocket::default()
    };
    let routes = Routes::new()
        .websocket("/ws", &Router::<Echo>::new(), mount())
        .websocket("/broadcast", &Router::<Broadcast>::new(), mount())
        .route(Route::get("/hello", |_, _, reply| {
            reply.send(Response::text("hello"))
        }));
    let routes = if options.bench {
        routes
            .then(sockjs::bench())
            .then(socketio::bench(&of_socketio))
    } else {
        routes
            .then(sockjs::services(&of_sockjs))
            .then(socketio::services(&of_socketio))
            .then(socketio06::services(&of_socketio))
            .then(plain())
    };
    let server = SocketServer::new(())?.settings(settings).routes(routes);
    let server = match options.bench {
        true => server,
        false => server.flash_policy(FlashPolicy {
            port: options.flash_policy_port,
            address: Ipv4Addr::LOCALHOST.into(),
            file: None,
        }),
    };
    let server = server
        .bind(("127.0.0.1", options.port))?
        .drain_on_signals()?;
    common::run(server)
}

/// The services over plain HTTP.
fn plain() -> Routes<()> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/testbed/static");
    Routes::new()
        .route(Route::get("/", |_, _, reply| {
            reply.send(Response::html(PAGE))
        }))
        .route(Route::post("/", |req, _, reply| reply.send(echo(req))))
        .route(Route::put("/", |req, _, reply| reply.send(echo(req))))
        .route(Route::delete("/", |_, _, reply| {
            reply.send(Response::new(200))
        }))
        .route(Route::options("/", |_, _, reply| {
            reply.send(Response::new(200))
        }))
        .route(Route::get("/slow", |_, app, reply| {
            let later = reply.later();
            app.after(Duration::from_millis(100), move |app| {
                later.send(&app.io, Response::text("at last"));
            });
        }))
        .route(Route::get("/stream", |_, app, reply| {
            let stream = reply.stream(Response::text("one\n"));
            app.after(Duration::from_millis(50), move |app| {
                stream.write(&app.io, b"two\n");
                stream.end(&app.io);
            });
        }))
        .route(Route::get("/simple.txt", |_, _, reply| {
            let text = format!("{}\nb\n", "a".repeat(2048));
            reply.send(Response::text(text).header("Access-Control-Allow-Origin", "*"));
        }))
        .route(Route::get("/streaming.txt", |_, app, reply| {
            let text = format!("{}\n", "a".repeat(2048));
            let response = Response::text(text).header("Access-Control-Allow-Origin", "*");
            let stream = reply.stream(response);
            app.after(Duration::from_millis(250), move |app| {
                stream.write(&app.io, b"b\n");
                stream.end(&app.io);
            });
        }))
        .files("/static/*path", Files::folder(folder))
}

fn echo<'a>(req: &dustdevil::Request<'a>) -> Response<'a> {
    let content_type = req
        .header("Content-Type")
        .unwrap_or("application/octet-stream");
    Response::bytes(content_type, req.body())
}

fn options() -> Result<Options, lexopt::Error> {
    use lexopt::{Arg::Long, ValueExt};
    let mut options = Options {
        port: 9001,
        bench: false,
        short_limits: false,
        flash_policy_port: None,
        sockjs_url: None,
        sockjs_033: false,
        socketio_client: concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/examples/testbed/static/client.js"
        )
        .into(),
        set: Vec::new(),
    };
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            Long("port") => options.port = args.value()?.parse()?,
            Long("bench") => options.bench = true,
            Long("short-limits") => options.short_limits = true,
            Long("flash-policy-port") => options.flash_policy_port = Some(args.value()?.parse()?),
            Long("sockjs-url") => options.sockjs_url = Some(args.value()?.string()?),
            Long("sockjs-033") => options.sockjs_033 = true,
            Long("socketio-client") => options.socketio_client = args.value()?.into(),
            Long("set") => {
                let text = args.value()?.string()?;
                let (name, value) = text.split_once('=').ok_or("--set wants NAME=VALUE")?;
                options.set.push((name.to_owned(), value.to_owned()));
            }
            other => return Err(other.unexpected()),
        }
    }
    Ok(options)
}

const PAGE: &str = include_str!("index.html");
