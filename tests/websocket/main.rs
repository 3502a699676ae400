//! WebSocket and the application API, live: a real server on a free port, raw clients, a clock set
//! by hand. No test sleeps to let time pass.

// In a test a failed unwrap is a failed test.
#![allow(clippy::unwrap_used)]

mod api;
mod failures;
mod frames;
mod hixie;
mod load;
mod support;
mod upgrade;
