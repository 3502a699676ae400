//! What an application sees of events and acknowledgements, live: a real server on a free port, raw
//! clients, a clock set by hand. No test sleeps to let time pass.
//!
//! What families have in common is tested over every [`Way`](support::Way) there is; a family that comes
//! later is a further one. What only one of them has is written in its own packets.

// In a test a failed unwrap is a failed test.
#![allow(clippy::unwrap_used, clippy::type_complexity)]

mod acks;
#[expect(dead_code, reason = "the tests of SockJS use the rest of it")]
#[path = "../sockjs/answers.rs"]
mod answers;
mod asks;
mod chance;
mod endpoints;
mod gathered;
mod ordered;
mod semantics;
mod sends;
#[expect(dead_code, reason = "the tests of SockJS use the rest of it")]
#[path = "../sockjs/support.rs"]
mod sockjs;
mod support;
mod table;
#[expect(dead_code, reason = "the tests of plain WebSocket use the rest of it")]
#[path = "../websocket/support.rs"]
mod websocket;
