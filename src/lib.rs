//! A single-threaded realtime server on a hand-written `mio` reactor.

pub mod net;
pub mod proto;
pub mod reactor;
pub mod storage;
pub mod time;
