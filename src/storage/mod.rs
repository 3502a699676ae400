//! Where bytes, keys and deadlines are kept. Pure: no socket, no clock.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod input;
