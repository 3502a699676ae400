//! WebSocket, server side (RFC 6455), and the drafts before it in [`hixie`].
//!
//! [`handshake`] turns the request head into an answer, [`machine`] turns the bytes behind it into
//! events and the answers of the protocol itself; the others are the parts of the machine.
//! Extensions are never negotiated here.

pub mod close;
pub mod error;
pub mod frame;
pub mod handshake;
pub mod hixie;
pub mod machine;
pub mod mask;
#[cfg(test)]
mod testing;
pub mod utf8;

pub use error::Error;
pub use frame::Kind;
pub use machine::{Event, Expired, Limits, Machine, Payload, State};
