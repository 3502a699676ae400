//! Counters of a server: what happened since it began, and what there is now.

/// A server's counters at one moment. All but the first group only grow.
#[doc(alias = "StatsCollector")]
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Accepted TCP connections that are open now.
    #[doc(alias = "active_connections")]
    pub conns_open: u64,
    /// WebSocket connections that are open now.
    pub websockets_open: u64,
    /// Application connections that are open now.
    #[doc(alias = "sessions_active")]
    pub connections_open: u64,
    /// Sessions that there are now: those of SockJS on polling and streaming transports, those of Socket.IO
    /// on all.
    #[doc(alias = "active_sessions")]
    pub sessions_open: u64,
    /// The most of them that there were at a time.
    #[doc(alias = "max_sessions")]
    pub sessions_peak: u64,
    /// The most accepted TCP connections that were open at a time.
    #[doc(alias = "max_connections")]
    pub conns_peak: u64,
    /// Application connections that are open now, by transport; of those of one session, one.
    pub transports: TransportCounts,
    /// Bytes that wait to be written now.
    pub bytes_queued: u64,
    /// Bytes of input that are kept now: unfinished requests and messages, and what is put off.
    pub bytes_unfinished: u64,

    /// Application connections opened per second, over the last 10 seconds.
    #[doc(alias = "connections_ps")]
    pub connections_per_second: f64,
    /// Messages received per second, over the last 10 seconds.
    #[doc(alias = "packets_recv_ps")]
    pub messages_in_per_second: f64,
    /// Messages sent per second, over the last 10 seconds.
    #[doc(alias = "packets_sent_ps")]
    pub messages_out_per_second: f64,

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
    /// Application connections opened.
    pub connections_opened: u64,
    /// Connections that `on_open` refused.
    pub rejected: u64,
    /// Messages and events received.
    pub messages_in: u64,
    /// Messages, events and acknowledgements queued, one for each receiver.
    pub messages_out: u64,
    /// Messages that were not sent, because what the client speaks has no form for them.
    pub unsupported: u64,
    /// Bytes read.
    pub bytes_in: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// Calls of `write` on connections.
    pub writes: u64,
    /// Broken rules of a protocol, and limits: a connection was closed, or a packet of Socket.IO dropped.
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

impl Stats {
    /// The counters of sockjs-tornado, by their names there: `sessions_active`, `connections_active`,
    /// `transp_NAME` for each transport, and `connections_ps`, `packets_sent_ps`, `packets_recv_ps`,
    /// averages over the last 10 seconds. And those that TornadIO2 has beside the last three:
    /// `max_sessions`, `active_sessions`, `max_connections`, `active_connections`.
    pub fn dump(&self) -> Vec<(&'static str, f64)> {
        let of = &self.transports;
        vec![
            ("sessions_active", self.connections_open as f64),
            ("connections_active", self.conns_open as f64),
            ("transp_websocket", of.websocket as f64),
            ("transp_rawwebsocket", of.rawwebsocket as f64),
            ("transp_xhr_streaming", of.xhr_streaming as f64),
            ("transp_xhr", of.xhr as f64),
            ("transp_eventsource", of.eventsource as f64),
            ("transp_htmlfile", of.htmlfile as f64),
            ("transp_jsonp", of.jsonp as f64),
            ("connections_ps", self.connections_per_second),
            ("packets_sent_ps", self.messages_out_per_second),
            ("packets_recv_ps", self.messages_in_per_second),
            ("max_sessions", self.sessions_peak as f64),
            ("active_sessions", self.sessions_open as f64),
            ("max_connections", self.conns_peak as f64),
            ("active_connections", self.conns_open as f64),
        ]
    }

    /// What rates are made of.
    pub(crate) fn totals(&self) -> [u64; 3] {
        [self.connections_opened, self.messages_in, self.messages_out]
    }
}

/// Open connections by transport.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransportCounts {
    /// Without one yet: sessions of Socket.IO.
    pub none: u64,
    /// WebSockets, plain or with a protocol inside.
    pub websocket: u64,
    /// WebSockets that Flash films have opened.
    pub flashsocket: u64,
    /// Raw WebSockets of SockJS mounts.
    pub rawwebsocket: u64,
    /// Streamed answers to XMLHttpRequests.
    pub xhr_streaming: u64,
    /// Polling by XMLHttpRequests.
    pub xhr: u64,
    /// Server-sent events.
    pub eventsource: u64,
    /// Pages that grow.
    pub htmlfile: u64,
    /// Polling by scripts.
    pub jsonp: u64,
    /// Polling by XMLHttpRequests, of Socket.IO.
    pub xhr_polling: u64,
    /// Polling by scripts, of Socket.IO.
    pub jsonp_polling: u64,
    /// Streamed answers in parts, of Socket.IO 0.6.
    pub xhr_multipart: u64,
}

/// Averages over the last seconds, of counters that only grow. It is told when another second has
/// begun, and needs no timer: seconds in which nothing happened are made up for.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    /// The totals at the ends of the last seconds; the oldest is the next to go.
    ends: [[u64; 3]; RATE_SECONDS],
    at: usize,
}

impl Rates {
    /// `seconds` have passed; up to the last one `totals` were reached.
    pub(crate) fn advance(&mut self, seconds: u64, totals: [u64; 3]) {
        for _ in 0..seconds.min(RATE_SECONDS as u64) {
            self.ends[self.at] = totals;
            self.at = (self.at + 1) % RATE_SECONDS;
        }
    }

    /// Per second, up to `totals`.
    pub(crate) fn per_second(&self, totals: [u64; 3]) -> [f64; 3] {
        let oldest = self.ends[self.at];
        let mut rates = [0.0; 3];
        for (rate, (now, then)) in rates.iter_mut().zip(totals.into_iter().zip(oldest)) {
            *rate = now.saturating_sub(then) as f64 / RATE_SECONDS as f64;
        }
        rates
    }
}

/// Over how many seconds rates are averaged.
const RATE_SECONDS: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dump_has_each_counter_once() {
        let stats = Stats {
            connections_open: 3,
            transports: TransportCounts {
                xhr: 2,
                ..TransportCounts::default()
            },
            messages_out_per_second: 0.5,
            ..Stats::default()
        };
        let mut dump = stats.dump();
        assert!(dump.contains(&("sessions_active", 3.0)));
        assert!(dump.contains(&("transp_xhr", 2.0)));
        assert!(dump.contains(&("packets_sent_ps", 0.5)));
        let len = dump.len();
        dump.sort_by_key(|(name, _)| *name);
        dump.dedup_by_key(|(name, _)| *name);
        assert_eq!(dump.len(), len);
    }

    #[test]
    fn rates_look_back_ten_seconds() {
        let mut rates = Rates::default();
        assert_eq!(rates.per_second([10, 0, 5]), [1.0, 0.0, 0.5]);
        for second in 1..=10 {
            rates.advance(1, [second * 7, 0, 0]);
        }
        assert_eq!(rates.per_second([77, 0, 0]), [7.0, 0.0, 0.0]);
        rates.advance(4, [77, 0, 0]);
        assert_eq!(rates.per_second([77, 0, 0])[0], 4.2);
        rates.advance(u64::MAX, [77, 0, 0]);
        assert_eq!(rates.per_second([77, 0, 0])[0], 0.0);
    }
}
