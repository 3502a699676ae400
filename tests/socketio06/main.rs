//! Socket.IO 0.6, live: a real server on a free port, raw clients, a clock set by hand. No test sleeps to
//! let time pass, and after each scenario nothing may be left of it in the server.

// In a test a failed unwrap is a failed test.
#![allow(clippy::unwrap_used, clippy::type_complexity)]

#[path = "../sockjs/answers.rs"]
mod answers;
mod extra;
mod failures;
mod hostile;
mod life;
mod limits;
mod mixed;
mod refused;
#[expect(dead_code, reason = "the tests of 0.9 use the rest of it")]
#[path = "../socketio09/support.rs"]
mod sio09;
mod support;
mod transports;
#[expect(dead_code, reason = "the tests of plain WebSocket use the rest of it")]
#[path = "../websocket/support.rs"]
mod websocket;
