//! Wire formats: bytes in, meaning out, and back. Pure: no socket, no clock.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod flash;
pub mod http;
pub mod json;
pub mod sio06;
pub mod sio09;
pub mod sockjs;
pub mod ws;

/// What is before the first `separator`, which is ASCII, and what is behind it.
fn split_at_first(text: &str, separator: u8) -> (&str, Option<&str>) {
    debug_assert!(separator.is_ascii(), "{separator}");
    match memchr::memchr(separator, text.as_bytes()) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}
