//! Socket.IO 0.7 to 0.9, live: a real server on a free port, raw clients, a clock set by hand. No test
//! sleeps to let time pass, and after each scenario nothing may be left of it in the server.

// In a test a failed unwrap is a failed test.
#![allow(clippy::unwrap_used, clippy::type_complexity)]

#[path = "../sockjs/answers.rs"]
mod answers;
mod endings;
mod failures;
mod handshake;
mod hostile;
mod htmlfile;
mod jsonp;
mod legacy;
mod life;
mod limits;
mod polling;
mod random;
mod refused;
mod requests;
mod sockets;
mod support;
#[expect(dead_code, reason = "the tests of plain WebSocket use the rest of it")]
#[path = "../websocket/support.rs"]
mod websocket;
