//! Sockets: listening and connected, TCP and Unix.
//!
//! Not here: when to read, write or accept (the reactor's handler), and what the bytes mean.

mod limits;
mod listener;
mod stream;

pub use limits::open_files_limit;
pub use listener::{Accept, ListenOptions, Listener, LocalAddr};
pub use stream::{Peer, Stream};
