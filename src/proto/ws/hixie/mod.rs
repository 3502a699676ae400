//! WebSocket before RFC 6455, server side: the drafts hixie-76 (also called hybi-00) and hixie-75.
//!
//! Safari 5, early Chrome, Firefox 4 and the Flash fallback of Socket.IO speak them. [`handshake`]
//! turns the request head into an answer, [`machine`] turns the bytes behind it into events, in the
//! form of [`super::machine`]. There is text only: no binary messages, no pings, no fragments, no
//! close codes, no masks.

pub mod handshake;
pub mod machine;

pub use handshake::{Draft, Handshake, Location};
pub use machine::Machine;
