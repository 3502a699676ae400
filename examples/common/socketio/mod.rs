//! What the Socket.IO examples share: the mount with its client, and how the pages look.

use dustdevil::{Response, Route, Routes, SocketIo};
use std::path::PathBuf;

/// A mount that also serves the client, once npm has installed it
/// (`npm ci --ignore-scripts --prefix tests/clients`).
#[allow(dead_code)]
pub(crate) fn mount() -> SocketIo {
    SocketIo {
        client_file: Some(PathBuf::from(CLIENT)),
        ..SocketIo::default()
    }
}

/// The style and the script of the pages.
pub(crate) fn routes<S: 'static>() -> Routes<S> {
    Routes::new()
        .route(Route::get("/style.css", |_, _, reply| {
            let style = &include_bytes!("../style.css")[..];
            reply.send(Response::bytes("text/css; charset=utf-8", style));
        }))
        .route(Route::get("/client.js", |_, _, reply| {
            let script = &include_bytes!("client.js")[..];
            reply.send(Response::bytes("text/javascript; charset=utf-8", script));
        }))
}

/// The wall clock as scripts know it: milliseconds since 1970, to a tenth.
#[allow(dead_code)]
pub(crate) fn milliseconds() -> f64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0.0, |since| (since.as_secs_f64() * 10_000.0).round() / 10.0)
}

/// The client of 0.9 for browsers.
#[allow(dead_code)]
pub(crate) const CLIENT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/clients/node_modules/socket.io-client-0.9.17/dist/socket.io.js"
);

/// That of Socket.IO 0.6.
#[allow(dead_code)]
pub(crate) const CLIENT06: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/clients/node_modules/socket.io-0.6.18/support/socket.io-client/socket.io.js"
);
