//! Where bytes, keys and deadlines are kept. Pure: no socket, no clock.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod arena;
pub mod input;
pub mod pool;
pub mod wheel;
pub mod write_queue;
