//! SockJS, live: a real server on a free port, raw clients, a clock set by hand. No test sleeps to let
//! time pass, and after each scenario nothing may be left of it in the server.

// In a test a failed unwrap is a failed test.
#![allow(clippy::unwrap_used, clippy::type_complexity)]

mod answers;
mod channels;
mod endpoints;
mod life;
mod limits;
mod mixed;
mod sends;
mod sockets;
mod support;
#[expect(dead_code, reason = "the tests of plain WebSocket use the rest of it")]
#[path = "../websocket/support.rs"]
mod websocket;
