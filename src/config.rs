//! Settings: every limit, size and time of the server, with its default and its range.
//!
//! Plain data. A settings struct is declared once, by `settings!`, with the default and the
//! allowed range of each field beside its meaning; from that come `Default`, the check at bind and
//! setting a field by its name (for command lines). Nothing is read from the environment.

use std::fmt;
use std::time::Duration;

/// A setting that was refused: which one, its value and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The field, as `Struct::field`.
    pub field: &'static str,
    /// The value that was refused.
    pub value: String,
    /// What is allowed.
    pub allowed: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is {}, allowed is {}",
            self.field, self.value, self.allowed
        )
    }
}

impl std::error::Error for ConfigError {}

/// What a setting can be: it has a text form and, where that makes sense, an order.
pub(crate) trait Setting: PartialOrd + Sized {
    fn read(text: &str) -> Option<Self>;
    fn show(&self) -> String;
}

macro_rules! plain_setting {
    ($($t:ty),*) => { $(impl Setting for $t {
        fn read(text: &str) -> Option<Self> { text.parse().ok() }
        fn show(&self) -> String { self.to_string() }
    })* };
}
plain_setting!(usize, u32, u64, bool);

impl Setting for Duration {
    /// `250ms`, `10s`, `5m`, `2h`; a bare number is seconds.
    fn read(text: &str) -> Option<Self> {
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let number: u64 = text[..digits].parse().ok()?;
        match &text[digits..] {
            "ms" => Some(Self::from_millis(number)),
            "" | "s" => Some(Self::from_secs(number)),
            "m" => Some(Self::from_secs(number.checked_mul(60)?)),
            "h" => Some(Self::from_secs(number.checked_mul(3600)?)),
            _ => None,
        }
    }

    fn show(&self) -> String {
        format!("{self:?}")
    }
}

/// Declares a settings struct: `name: type = default, least..=most;` with the documentation above.
macro_rules! settings {
    (
        $(#[$outer:meta])*
        pub struct $name:ident {
            $( $(#[$doc:meta])* $field:ident : $t:ty = $default:expr, $range:expr; )*
        }
    ) => {
        $(#[$outer])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $( $(#[$doc])* pub $field: $t, )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )* }
            }
        }

        impl $name {
            /// The names of all fields that [`Self::set`] knows.
            pub const FIELDS: &'static [&'static str] = &[$( stringify!($field) ),*];

            /// Sets a field by its name, from text: numbers as they are, times as `250ms`, `10s`,
            /// `5m` or `2h`, switches as `true` and `false`.
            ///
            /// # Errors
            ///
            /// [`ConfigError`] for an unknown name, a text that is no such value, or a value out
            /// of its range.
            pub fn set(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
                match name {
                    $( stringify!($field) => {
                        let range = $range;
                        self.$field = read_setting(
                            concat!(stringify!($name), "::", stringify!($field)), value, &range)?;
                        Ok(())
                    } )*
                    _ => Err(ConfigError {
                        field: stringify!($name),
                        value: name.to_owned(),
                        allowed: Self::FIELDS.join(", "),
                    }),
                }
            }

            /// Checks every field against its range. `bind` calls it.
            ///
            /// # Errors
            ///
            /// [`ConfigError`] names the first field that is out of its range.
            pub fn check(&self) -> Result<(), ConfigError> {
                $( check_setting(
                    concat!(stringify!($name), "::", stringify!($field)), &self.$field, &$range)?; )*
                Ok(())
            }
        }
    };
}

pub(crate) fn check_setting<T: Setting>(
    field: &'static str,
    value: &T,
    range: &std::ops::RangeInclusive<T>,
) -> Result<(), ConfigError> {
    if range.contains(value) {
        return Ok(());
    }
    let allowed = format!("{} to {}", range.start().show(), range.end().show());
    Err(ConfigError {
        field,
        value: value.show(),
        allowed,
    })
}

pub(crate) fn read_setting<T: Setting>(
    field: &'static str,
    text: &str,
    range: &std::ops::RangeInclusive<T>,
) -> Result<T, ConfigError> {
    let value = T::read(text).ok_or_else(|| ConfigError {
        field,
        value: format!("{text:?}"),
        allowed: format!("{} to {}", range.start().show(), range.end().show()),
    })?;
    check_setting(field, &value, range)?;
    Ok(value)
}

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}
const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}
/// The longest time a setting can name.
const DAY: Duration = secs(86_400);
/// The shortest time-out that means something: one tick of the timer wheel.
const TICK: Duration = ms(10);

settings! {
    /// Settings of a server: HTTP, connections, overload.
    ///
    /// ```
    /// use dustdevil::Settings;
    /// use std::time::Duration;
    ///
    /// let settings = Settings { keep_alive_timeout: Duration::from_secs(30), ..Settings::default() };
    /// assert!(settings.check().is_ok());
    /// ```
    pub struct Settings {
        /// Bytes of the request line, its CR LF not counted. Over it: 414. Default: 8 KiB.
        request_line_bytes_max: usize = 8 * KIB, 64..=64 * KIB;
        /// Bytes of request line and header section together. Over it: 431. Default: 16 KiB.
        #[doc(alias = "max_header_size")]
        head_bytes_max: usize = 16 * KIB, 128..=256 * KIB;
        /// Header lines of a request. Over it: 431. Default and most: 100.
        headers_max: usize = 100, 1..=100;
        /// Bytes of a request body, where its route does not say otherwise. Over it: 413.
        /// Default: 1 MiB.
        #[doc(alias = "max_body_size")]
        #[doc(alias = "max_buffer_size")]
        body_bytes_max: usize = MIB, 0..=1024 * MIB;
        /// Time for a whole request head, from accept or from the first byte of a later request.
        /// Bytes do not extend it. Over it: 408, or a silent close if nothing came. Default: 10 s.
        header_timeout: Duration = secs(10), TICK..=DAY;
        /// How long a connection without a request is kept. Default: 75 s.
        #[doc(alias = "idle_connection_timeout")]
        keep_alive_timeout: Duration = secs(75), TICK..=DAY;
        /// Whether connections are kept for further requests at all (Tornado's `no_keep_alive`,
        /// the other way round). Default: true.
        #[doc(alias = "no_keep_alive")]
        keep_alive: bool = true, false..=true;
        /// Time without a byte of an unfinished request body. Over it: 408. Default: 30 s.
        body_timeout: Duration = secs(30), TICK..=DAY;
        /// Bytes per second that a body must bring on average, once it has taken
        /// `body_rate_after`. Under it: 408. Zero: no floor. Default: 1 KiB.
        body_rate_min: u64 = 1024, 0..=1 << 30;
        /// After which time `body_rate_min` is looked at. Default: 10 s.
        body_rate_after: Duration = secs(10), TICK..=DAY;
        /// Time in which a peer that owes us reading takes nothing at all; then it is dropped.
        /// Default: 30 s.
        write_timeout: Duration = secs(30), TICK..=DAY;
        /// How long a closed connection is still read from, so that its last answer is not lost to
        /// a reset (RFC 9112, 9.6). Default: 2 s.
        linger_timeout: Duration = secs(2), TICK..=secs(60);
        /// How many bytes are read and dropped meanwhile. Default: 64 KiB.
        linger_bytes_max: usize = 64 * KIB, 0..=16 * MIB;
        /// Requests on one connection; the answer to the last one closes it. Zero: no limit.
        /// Default: 0.
        requests_per_conn_max: u32 = 0, 0..=u32::MAX;
        /// Time for a handler that answers later, and for an `on_open` that decides later; then
        /// the request is answered with 503. Default: 60 s.
        answer_timeout: Duration = secs(60), TICK..=DAY;
        /// Accepted connections at a time. Over it: 503 with `Retry-After: 1`. Zero: the
        /// process's limit of open files less 64. Default: 0.
        connections_max: usize = 0, 0..=1 << 24;
        /// Connections at a time from one address. Over it: 503. Zero: no limit. Default: 0.
        connections_per_ip_max: u32 = 0, 0..=1 << 24;
        /// Sessions of SockJS and Socket.IO that begin in one second, WebSockets of SockJS not counted. Over it:
        /// 503 with `Retry-After: 1`. Zero: no limit. Default: 0.
        sessions_per_second_max: u32 = 0, 0..=1 << 24;
        /// Connections accepted in one turn of the loop, each listener. Default: 256.
        accepts_per_turn: usize = 256, 1..=65_536;
        /// Work for one connection in one turn of the loop, in bytes; every frame, every request and every
        /// message that comes with others in one of them counts at least 1 KiB, a file 16 KiB. Then the others
        /// have their turn. Default: 256 KiB.
        work_per_turn_bytes: usize = 256 * KIB, KIB..=64 * MIB;
        /// Unwritten bytes of one connection at which `send` answers `Full` and its input is no
        /// longer read. For this and the next two a message that waits for a poll, or for a stream that is
        /// behind, counts at least 100 bytes. Default: 256 KiB.
        write_high_bytes: usize = 256 * KIB, KIB..=1024 * MIB;
        /// Unwritten bytes at which a connection that was over `write_high_bytes` goes on:
        /// `on_writable` runs and its input is read again. Default: 64 KiB.
        write_low_bytes: usize = 64 * KIB, 0..=1024 * MIB;
        /// Unwritten bytes at or over which a further message closes the connection (1013). One
        /// message may overshoot, so that an echo of the largest legal message works.
        /// Default: 1 MiB.
        write_max_bytes: usize = MIB, KIB..=4096 * MIB;
        /// Bytes in all buffers together: unwritten output, and input that is unfinished or put off. At
        /// 80 % new connections and WebSockets get 503, at 95 % the largest holders are closed.
        /// Default: 256 MiB.
        buffers_max_bytes: usize = 256 * MIB, MIB..=1 << 40;
        /// Messages that wait while a connection's `Ordered` is held; then its input is no longer
        /// read. Default: 64.
        inbox_max: usize = 64, 1..=1 << 20;
        /// Bytes of those messages at which the same happens, of an endpoint as of any connection. One
        /// message may overshoot. Default: 4 MiB.
        inbox_bytes_max: usize = 4 * MIB, KIB..=4096 * MIB;
        /// Rooms of one connection. Over it `join` is refused and logged. Default: 1024.
        rooms_per_connection_max: usize = 1024, 1..=1 << 20;
        /// Running timers of one connection. Over it `after` and `every` are refused and logged.
        /// Default: 1024.
        timers_per_connection_max: usize = 1024, 1..=1 << 20;
        /// Jobs from other threads that wait for the loop. Default: 65 536.
        remote_queue_max: usize = 65_536, 1..=1 << 24;
        /// A callback that holds the loop longer is logged and counted. Default: 100 ms.
        slow_callback: Duration = ms(100), TICK..=DAY;
        /// `drain` goes on accepting for this long, while `/readyz` answers 503, also where a route of
        /// yours has that path. Default: 0.
        drain_delay: Duration = Duration::ZERO, Duration::ZERO..=secs(3600);
        /// Over which time `drain` spreads the closing of WebSockets, so that not all clients come
        /// back at once. Default: 1 s.
        drain_window: Duration = secs(1), Duration::ZERO..=secs(3600);
        /// What a signal (feature `signals`) gives `drain` as its deadline. Default: 5 s.
        drain_timeout: Duration = secs(5), Duration::ZERO..=secs(3600);
        /// Length of the queue of connections the kernel has not handed over yet. Default: 4096.
        backlog: u32 = 4096, 1..=65_535;
        /// `SO_REUSEPORT`: several processes may listen on one port. Default: false.
        reuse_port: bool = false, false..=true;
    }
}

impl Settings {
    /// Checks what no field can tell alone: the marks of unwritten bytes have an order.
    pub(crate) fn check_marks(&self) -> Result<(), ConfigError> {
        let marks = [
            (
                "Settings::write_low_bytes",
                self.write_low_bytes,
                self.write_high_bytes,
            ),
            (
                "Settings::write_high_bytes",
                self.write_high_bytes,
                self.write_max_bytes,
            ),
        ];
        for (field, mark, above) in marks {
            check_setting(field, &mark, &(0..=above))?;
        }
        Ok(())
    }
}

settings! {
    /// Limits and times of a WebSocket route (RFC 6455).
    pub struct WebSocketLimits {
        /// Bytes of a message, in fragments too. Over it: 1009. Default: 1 MiB.
        #[doc(alias = "websocket_max_message_size")]
        message_bytes_max: usize = MIB, 1..=1024 * MIB;
        /// Bytes of a frame. Over it: 1009. Default: 1 GiB, so that the message limit decides.
        frame_bytes_max: usize = 1024 * MIB, 1..=1024 * MIB;
        /// Fragments of a message. Over it: 1008. Default: 131 072.
        fragments_max: u32 = 131_072, 1..=1 << 30;
        /// Empty fragments of a message. Over it: 1008. Default: 1024.
        empty_fragments_max: u32 = 1024, 0..=1 << 30;
        /// Messages of one connection per second, on average over a second. Over it: 1008. Zero: no
        /// limit. Default: 0.
        messages_per_second_max: u32 = 0, 0..=1 << 30;
        /// A ping goes out when nothing was heard for this long. Zero: no pings. Default: 25 s.
        #[doc(alias = "websocket_ping_interval")]
        ping_interval: Duration = secs(25), Duration::ZERO..=DAY;
        /// A peer that is silent for this long after a ping is dropped (1011). Any byte is life.
        /// Default: 20 s.
        #[doc(alias = "websocket_ping_timeout")]
        ping_timeout: Duration = secs(20), TICK..=DAY;
        /// A connection that sent no message for this long is closed (1000). Zero: never.
        /// Default: 0.
        idle_timeout: Duration = Duration::ZERO, Duration::ZERO..=DAY;
        /// A connection older than this is closed (1012), spread over a tenth of it. Zero: never.
        /// Default: 0.
        lifetime_max: Duration = Duration::ZERO, Duration::ZERO..=secs(30 * 86_400);
        /// Time for the peer's answer to our close frame. Default: 5 s.
        close_timeout: Duration = secs(5), TICK..=secs(600);
        /// Takes frames that are not masked, against RFC 6455, 5.1. Default: false.
        accept_unmasked: bool = false, false..=true;
        /// Refuses lengths that are not in their shortest form (1002). Default: false.
        strict_length: bool = false, false..=true;
    }
}

settings! {
    /// Limits, times and switches of a SockJS mount. The ancestors' names are kept where the meaning is.
    #[doc(alias = "disabled_transports")]
    pub struct SockJsSettings {
        /// Between two heartbeats (`h`) while the client listens; on a WebSocket too, beside its own pings.
        /// Clients of jsonp give up after 35 s. Default: 25 s.
        heartbeat_delay: Duration = secs(25), TICK..=DAY;
        /// How long a session without a receiver lives. Default: 5 s.
        disconnect_delay: Duration = secs(5), TICK..=DAY;
        /// Bytes of frames after which a streaming response ends and the client opens the next one.
        /// Default: 128 KiB.
        response_limit: usize = 128 * KIB, 1..=1024 * MIB;
        /// Bytes of the body of a send. Over it: 413. Default: 1 MiB.
        body_bytes_max: usize = MIB, 1..=1024 * MIB;
        /// Sessions on polling and streaming transports at a time. Over it: 503. Default: 100 000.
        sessions_max: usize = 100_000, 1..=1 << 24;
        /// Such sessions at a time from one address. Over it: 503. Zero: no limit. Default: 0.
        sessions_per_ip_max: u32 = 0, 0..=1 << 24;
        /// Sets the cookie `JSESSIONID`, for load balancers that look at it. Default: false.
        jsessionid: bool = false, false..=true;
        /// Later requests of a session have to come from the address of the first one. Default: false.
        verify_ip: bool = false, false..=true;
        /// Whether the transport websocket is offered. Default: true.
        websocket: bool = true, false..=true;
        /// Whether the raw WebSocket at `PREFIX/websocket` is offered, if websocket is. Default: true.
        raw_websocket: bool = true, false..=true;
        /// Whether the transport xhr_streaming is offered. Default: true.
        xhr_streaming: bool = true, false..=true;
        /// Whether the transport xhr (polling) is offered. Default: true.
        xhr: bool = true, false..=true;
        /// Whether the transport eventsource is offered. Default: true.
        eventsource: bool = true, false..=true;
        /// Whether the transport htmlfile is offered, where origins are not restricted. Default: true.
        htmlfile: bool = true, false..=true;
        /// Whether the transport jsonp is offered, where origins are not restricted. Default: true.
        jsonp: bool = true, false..=true;
        /// Answers `PREFIX/chunking_test`, which clients asked before version 0.2. Default: false.
        chunking_test: bool = false, false..=true;
    }
}

settings! {
    /// Limits, times and switches of a Socket.IO mount. TornadIO2's names are kept.
    #[doc(alias = "DEFAULT_SETTINGS")]
    pub struct SocketIoSettings {
        /// Expiry is rounded up to multiples of this, so that many sessions end at one moment: one that
        /// nobody comes back to lives for `session_expiry` and up to this much longer. Zero: exactly as
        /// long. Default: 15 s.
        session_check_interval: Duration = secs(15), Duration::ZERO..=DAY;
        /// How long a session without a receiver lives: before its first one, between two polls, and when
        /// a WebSocket or stream was lost. Default: 30 s.
        session_expiry: Duration = secs(30), TICK..=DAY;
        /// Between two heartbeats of ours. Zero: there are none. Default: 12 s.
        heartbeat_interval: Duration = secs(12), Duration::ZERO..=DAY;
        /// At so many heartbeats without a sign of life the session is closed. Any packet is one.
        /// Default: 3.
        heartbeats_missed_max: u32 = 3, 1..=1000;
        /// How long a poll is held. Default: 20 s.
        xhr_polling_timeout: Duration = secs(20), TICK..=DAY;
        /// What the network may take: announced are `heartbeat_interval` (without `global_heartbeats` not
        /// less than `xhr_polling_timeout`) and `xhr_polling_timeout`, each with this added. Also the time for the answer of `websocket_check`. Default: 5 s.
        client_timeout: Duration = secs(5), TICK..=DAY;
        /// Sends a heartbeat on a new WebSocket, and makes use of it when a packet comes back: for clients
        /// behind proxies that let the handshake pass, but no frames. Default: false.
        websocket_check: bool = false, false..=true;
        /// Whether there are heartbeats from the handshake on and while the client polls, not on streams
        /// only. Default: true.
        global_heartbeats: bool = true, false..=true;
        /// Later requests of a session have to come from the address of the handshake; else 401.
        /// Default: false.
        verify_remote_ip: bool = false, false..=true;
        /// Bytes of the body of a POST. Over it: 413. Default: 1 MiB.
        body_bytes_max: usize = MIB, 1..=1024 * MIB;
        /// Packets in the body of a POST. Over it: 400. Default: 10 000.
        packets_max: usize = 10_000, 1..=1 << 24;
        /// Sessions at a time. Over it: 503. Default: 65 536.
        sessions_max: usize = 65_536, 1..=1 << 24;
        /// Sessions at a time from one address. Over it: 503. Zero: no limit. Default: 0.
        sessions_per_ip_max: u32 = 0, 0..=1 << 24;
        /// Endpoints that a session is connected to. Over it the next one is refused. Default: 64.
        endpoints_max: usize = 64, 0..=1 << 16;
        /// Bytes of an endpoint's name. Over it the packet is dropped. Default: 255.
        endpoint_bytes_max: usize = 255, 1..=1 << 16;
        /// Acknowledgements that a connection waits for. Over it nothing is sent. Default: 64.
        acks_max: usize = 64, 1..=1 << 20;
        /// How long an acknowledgement is waited for. Default: 60 s.
        ack_timeout: Duration = secs(60), TICK..=DAY;
        /// Broken packets of a session, which are dropped; the next one closes it. Default: 64.
        broken_packets_max: u32 = 64, 0..=u32::MAX;
        /// A poll of a session that is not known gets 401, as TornadIO2 did it, not the packet that asks
        /// the client to shake hands again. Default: false.
        unknown_session_401: bool = false, false..=true;
        /// An endpoint that there is not is refused, and the client's `connect_failed` fires; else nothing
        /// is said. Default: false.
        refuse_unknown_endpoints: bool = false, false..=true;
    }
}

settings! {
    /// What Socket.IO 0.6 has for itself at a mount, beside [`SocketIoSettings`]. TornadIO's names are kept.
    pub struct SocketIo06Settings {
        /// Between two heartbeats of ours, on streams and WebSockets. Clients give up after 15 s in which
        /// nothing comes. Zero: there are none. Default: 12 s.
        heartbeat_interval: Duration = secs(12), Duration::ZERO..=DAY;
        /// At so many heartbeats without a sign of life the session is closed. Any message is one.
        /// Default: 7, which is after the sixth.
        heartbeats_missed_max: u32 = 7, 1..=1000;
        /// Messages in the body of a POST, or in one of a WebSocket. Over it: 400, or the WebSocket is
        /// closed (1008). Default: 10 000.
        messages_max: usize = 10_000, 1..=1 << 24;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_in_range() {
        assert_eq!(SocketIo06Settings::default().check(), Ok(()));
        assert_eq!(SocketIoSettings::default().check(), Ok(()));
        assert_eq!(Settings::default().check(), Ok(()));
        assert_eq!(SockJsSettings::default().check(), Ok(()));
        assert_eq!(WebSocketLimits::default().check(), Ok(()));
    }

    #[test]
    fn an_error_names_field_value_and_range() {
        let settings = Settings {
            head_bytes_max: 5,
            ..Settings::default()
        };
        let error = settings.check().unwrap_err();
        assert_eq!(
            error.to_string(),
            "Settings::head_bytes_max is 5, allowed is 128 to 262144"
        );
    }

    #[test]
    fn marks_have_an_order() {
        let settings = Settings {
            write_high_bytes: 2048,
            ..Settings::default()
        };
        let error = settings.check_marks().unwrap_err();
        assert_eq!(
            error.to_string(),
            "Settings::write_low_bytes is 65536, allowed is 0 to 2048"
        );
        assert_eq!(Settings::default().check_marks(), Ok(()));
    }

    #[test]
    fn setting_by_name() {
        let mut settings = Settings::default();
        #[rustfmt::skip]
        let good = [
            ("head_bytes_max", "4096"), ("keep_alive", "false"), ("header_timeout", "3"),
            ("body_timeout", "250ms"), ("write_timeout", "5m"), ("keep_alive_timeout", "2h"),
        ];
        for (name, value) in good {
            settings.set(name, value).unwrap();
        }
        assert_eq!(settings.head_bytes_max, 4096);
        assert!(!settings.keep_alive);
        assert_eq!(settings.header_timeout, secs(3));
        assert_eq!(settings.body_timeout, ms(250));
        assert_eq!(settings.write_timeout, secs(300));
        assert_eq!(settings.keep_alive_timeout, secs(7200));
        #[rustfmt::skip]
        let bad = [
            ("nonsense", "1"), ("head_bytes_max", "many"), ("head_bytes_max", "-1"),
            ("head_bytes_max", "1"), ("header_timeout", "3 days"), ("keep_alive", "yes"),
        ];
        for (name, value) in bad {
            assert!(settings.set(name, value).is_err(), "{name}={value}");
        }
    }

    #[test]
    fn every_field_can_be_set_to_its_own_default() {
        let mut settings = Settings::default();
        for name in Settings::FIELDS {
            assert!(settings.set(name, "nonsense").is_err(), "{name}");
        }
        assert_eq!(settings, Settings::default());
    }
}
