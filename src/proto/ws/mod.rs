//! WebSocket, server side (RFC 6455).
//!
//! The parts of a connection: masking, text, frames, close payloads.
//! Extensions are never negotiated here.

pub mod close;
pub mod error;
pub mod frame;
pub mod mask;
pub mod utf8;

pub use error::Error;
pub use frame::Kind;

#[cfg(test)]
mod testing;
