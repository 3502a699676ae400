//! The lives of virtual connections, which span many requests or WebSockets.
//!
//! [`sockjs`] is closed with its receiver's loss; [`socketio`] outlives it.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod socketio;
pub mod sockjs;
