//! Socket.IO 0.7 to 0.9, server side: the bytes of it.
//!
//! [`path`] says what a request is for, [`handshake`] writes the answer that begins a session,
//! [`packet`] reads and writes packets, [`payload`] puts several into one body and takes them out
//! again, and [`wrapping`] has what stands around a payload on htmlfile and in forms.
//!
//! Not here: sessions and their timers, acknowledgements that are due, HTTP heads, who may connect.

pub mod handshake;
pub mod packet;
pub mod path;
pub mod payload;
pub mod wrapping;
