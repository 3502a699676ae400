//! What the SockJS examples share: the client bundle, and how the pages look.

use dustdevil::{Response, Route, Routes};

/// The client at `/sockjs.min.js`, once npm has installed it (`npm ci --ignore-scripts --prefix
/// tests/clients`); the style and the script of the pages.
pub(crate) fn routes<S: 'static>() -> Routes<S> {
    Routes::new()
        .route(Route::get("/sockjs.min.js", |_, _, reply| {
            // A file of a few kilobytes, and only an example: it is read each time.
            reply.send(match std::fs::read(CLIENT) {
                Ok(script) => Response::bytes(SCRIPT, script),
                Err(_) => Response::bytes(SCRIPT, &b"// The client is not installed."[..]),
            });
        }))
        .route(Route::get("/style.css", |_, _, reply| {
            let style = &include_bytes!("../style.css")[..];
            reply.send(Response::bytes("text/css; charset=utf-8", style));
        }))
        .route(Route::get("/client.js", |_, _, reply| {
            reply.send(Response::bytes(SCRIPT, &include_bytes!("client.js")[..]));
        }))
}

const SCRIPT: &str = "text/javascript; charset=utf-8";
const CLIENT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/clients/node_modules/sockjs-client/dist/sockjs.min.js"
);
