//! SockJS 0.3.3, server side: the bytes of it.
//!
//! [`path`] says which endpoint a request is for, [`message`] reads what a client sends, [`frame`]
//! writes what it is sent, and [`wrapping`] puts a frame into the answer of a transport; [`page`] has
//! the answers that belong to no session.
//!
//! Not here: sessions and their timers, HTTP heads, WebSocket handshakes, who may connect.
//!
//! Section numbers are those of the project's description of the wire and group as follows: 2 paths,
//! 4 strings, 6 to 8 pages, 9 to 11 transports over HTTP, 12 and 13 WebSocket, 15 profiles.

pub mod frame;
pub mod message;
pub mod page;
pub mod path;
pub mod wrapping;

/// Which of the protocol's two test suites the server's bytes are for.
///
/// Default: [`Profile::Current`], which today's clients and sockjs-node 0.3.24 speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// The suite in its last state.
    #[default]
    Current,
    /// The suite of version 0.3.3.
    V033,
}
