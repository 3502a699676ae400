//! Socket.IO 0.6, server side: the bytes of it.
//!
//! [`path`] says what a request is for, [`frame`] reads and writes messages, and [`wrapping`] has what
//! stands around them on each transport.
//!
//! Not here: sessions and their timers, heartbeats that are due, HTTP heads, who may connect, WebSocket drafts.

pub mod frame;
pub mod path;
pub mod wrapping;
