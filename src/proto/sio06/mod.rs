//! Socket.IO 0.6, server side: the bytes of it.
//!
//! [`path`] says what a request is for, [`frame`] reads and writes messages, and [`wrapping`] has what
//! stands around them on each transport.
//!
//! Not here: sessions and their timers, heartbeats that are due, HTTP heads, who may connect, WebSocket drafts.
//!
//! Section numbers are those of the project's description of the wire: 2 URLs, 3 frames, 5 to 8 transports over
//! HTTP.

pub mod frame;
pub mod path;
pub mod wrapping;
