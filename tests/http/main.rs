//! HTTP/1.1 over real sockets: the case table of what is accepted and what is refused, each case also
//! a byte at a time, and every limit just under and just over.

// In a test a failed unwrap is a failed test.
#![allow(clippy::unwrap_used)]

mod accepted;
mod answers;
mod files;
mod late;
mod limits;
mod refused;
mod setup;
mod support;
