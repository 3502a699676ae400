//! The lives of virtual connections, which span many requests or WebSockets.
//!
//! [`sockjs`] is closed with its receiver's loss; [`socketio`] outlives it.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod socketio;
pub mod sockjs;

/// What a message that waits counts for the limits at least, in bytes: however short they are, a little more than ten
/// thousand are a mebibyte. So many may come in one request, and an echo of it has to work.
pub const MESSAGE_LOAD: usize = 100;
