//! Counters of a server: what happened since it began, and what there is now.

/// A server's counters at one moment. All but the first group only grow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Accepted TCP connections that are open now.
    pub conns_open: u64,
    /// WebSocket connections that are open now.
    pub websockets_open: u64,
    /// Application connections that are open now.
    pub connections_open: u64,
    /// Bytes that wait to be written now.
    pub bytes_queued: u64,

    /// TCP connections accepted.
    pub accepted: u64,
    /// TCP connections refused: over a limit, or no descriptor left.
    pub refused: u64,
    /// Times that accepting was paused because even the spare descriptor did not help.
    pub accept_pauses: u64,
    /// HTTP requests read.
    pub requests: u64,
    /// HTTP requests refused for their form, limits or time-outs.
    pub bad_requests: u64,
    /// WebSocket handshakes refused.
    pub handshakes_refused: u64,
    /// WebSockets opened.
    pub websockets_opened: u64,
    /// Connections that `on_open` refused.
    pub rejected: u64,
    /// Messages handed to `on_message`.
    pub messages_in: u64,
    /// Messages queued by `send`, one for each receiver.
    pub messages_out: u64,
    /// Bytes read.
    pub bytes_in: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// Calls of `write` on connections.
    pub writes: u64,
    /// Connections closed for a broken rule of the protocol, or for a limit.
    pub protocol_errors: u64,
    /// Connections closed because they did not take their messages.
    pub overflows: u64,
    /// Connections closed because all buffers together were over their limit.
    pub memory_closes: u64,
    /// Peers dropped because they gave no sign of life.
    pub ping_timeouts: u64,
    /// Peers cut because they did not answer our close frame.
    pub close_timeouts: u64,
    /// Peers dropped because they took no byte for the write time-out.
    pub write_timeouts: u64,
    /// Callbacks that panicked.
    pub panics: u64,
    /// Callbacks that held the loop longer than `slow_callback`.
    pub slow_callbacks: u64,
    /// Turns of the loop.
    pub turns: u64,
}
