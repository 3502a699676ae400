//! WebSocket before RFC 6455, server side: the drafts hixie-76 (also called hybi-00) and hixie-75.
//!
//! Safari 5, early Chrome, Firefox 4 and the Flash fallback of Socket.IO speak them. [`handshake`]
//! turns the request head into an answer.

pub mod handshake;

pub use handshake::{Draft, Handshake};
