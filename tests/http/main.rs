//! HTTP/1.1 over real sockets: the case table of what is accepted and what is refused, each case also
//! a byte at a time, and every limit just under and just over.

mod accepted;
mod answers;
mod files;
mod limits;
mod refused;
mod setup;
mod support;
