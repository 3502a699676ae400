//! WebSocket and the application API, live: a real server on a free port, raw clients, a clock set
//! by hand. No test sleeps to let time pass.

mod api;
mod failures;
mod frames;
mod load;
mod support;
mod upgrade;
