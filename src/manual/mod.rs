//! The manual: how the server works, what it serves, and every limit. Read it from the top, or look
//! things up.
//!
//! | page | about |
//! | --- | --- |
//! | [`architecture`] | the path of a byte, one turn of the loop, who may borrow what, limits of the server |
//! | [`http`] | HTTP/1.1: routes, answers, files, cookies, CORS, proxies, limits, deviations |
//! | [`websocket`] | WebSocket: handshake, frames, closing, back-pressure, limits, deviations |
//! | [`sockjs`] | SockJS: sessions, endpoints, settings, proxies, deviations, coming from sockjs-tornado |
//! | [`socketio09`] | Socket.IO 0.7 to 0.9: sessions, events, acknowledgements, endpoints, settings, proxies, deviations |
//! | [`socketio06`] | Socket.IO 0.6: sessions, framing, transports, extra data, settings, proxies, deviations |
//! | [`migrating_tornadio`] | coming from TornadIO or SocketTornad.IO: each of their names, and what it is called here |
//! | [`migrating_tornadio2`] | coming from TornadIO2: each of its names, and what it is called here |
//! | [`changelog`] | what has changed |
//!
//! Rules are cited by the clause of their standard. A limit is written as the name of its setting; the
//! tables of limits and the recorded dialogues are checked by the tests.

#[doc = include_str!("architecture.md")]
pub mod architecture {}

#[doc = include_str!("http.md")]
pub mod http {}

#[doc = include_str!("websocket.md")]
pub mod websocket {}

#[doc = include_str!("sockjs.md")]
#[doc(alias = "session_check_interval")]
#[doc(alias = "immediate_flush")]
#[doc(alias = "disable_nagle")]
pub mod sockjs {}

#[doc = include_str!("socketio09.md")]
pub mod socketio09 {}

#[doc = include_str!("socketio06.md")]
pub mod socketio06 {}

#[doc = include_str!("migrating_tornadio.md")]
#[doc(alias = "PollingSession")]
#[doc(alias = "SocketIOServer")]
#[doc(alias = "closeTimeout")]
pub mod migrating_tornadio {}

#[doc = include_str!("migrating_tornadio2.md")]
#[doc(alias = "FlashPolicyServer")]
#[doc(alias = "HandshakeHandler")]
#[doc(alias = "SessionContainer")]
#[doc(alias = "flash_policy_file")]
#[doc(alias = "flash_policy_port")]
#[doc(alias = "gen")]
#[doc(alias = "ssl_options")]
pub mod migrating_tornadio2 {}

#[doc = include_str!("changelog.md")]
pub mod changelog {}
