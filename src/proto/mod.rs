//! Wire formats: bytes in, meaning out, and back. Pure: no socket, no clock.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod flash;
pub mod http;
pub mod json;
pub mod sio06;
pub mod sio09;
pub mod sockjs;
pub mod ws;
