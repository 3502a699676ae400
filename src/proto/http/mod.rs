//! HTTP/1.1, server side (RFC 9110, RFC 9112).
//!
//! [`reader::Reader`] cuts the bytes of a connection into heads and bodies; [`head::Head`] reads a
//! head; [`response`] writes one. The rest are the small formats around them: dates, escapes,
//! cookies, ranges, route patterns, proxies, origins.
//!
//! Not here: sockets, routes, what a handler does. Rule numbers (H1, R6, C2, …) are those of the
//! project's wire specification and group as follows: H reading a head, R its parts, B the length of a
//! body, C chunks, E expectations, K keeping a connection, S responses.

pub mod chunked;
pub mod conditional;
pub mod cookie;
pub mod date;
pub mod error;
pub mod forwarded;
pub mod framing;
mod grammar;
pub mod head;
pub mod mime;
pub mod origin;
pub mod pattern;
pub mod reader;
mod request_line;
pub mod response;
pub mod url;

pub use error::Error;
pub use framing::Framing;
pub use head::{Head, HeadLimits};
pub use request_line::Version;
