//! What an application writes and is handed: [`Connection`], messages, reasons for closing.
//!
//! One [`Connection`] value stands for one client. Its callbacks run on the loop's thread, one at a
//! time: nothing that a callback sends, closes or joins makes another callback run inside it. What
//! follows from a callback (`on_close` of whatever it closed) runs right after it.

use crate::events::{EventArgs, Events};
use crate::proto::http::response::push_field;
use crate::proto::ws::close::{cut_reason, valid_code};
use crate::proto::ws::handshake::is_own_field;
use crate::server::cx::Cx;
use crate::server::engine::ConnectionTag;
use crate::server::request::Request;
use crate::stats::TransportCounts;
use crate::storage::arena::Key;
use std::fmt;

pub use crate::proto::ws::Kind;

/// One client, as the application sees it. Every callback has a default that does nothing.
///
/// ```
/// use dustdevil::{Connection, Cx, Message};
///
/// #[derive(Default)]
/// struct Echo;
///
/// impl Connection for Echo {
///     type State = ();
///     fn on_message(&mut self, cx: &mut Cx<Self>, message: Message) {
///         cx.send(message);
///     }
/// }
/// ```
///
/// # Panics
///
/// A callback that panics closes its own connection only: [`on_close`](Self::on_close) runs with
/// [`Cause::Error`], the others go on. With `panic = "abort"` the process ends.
#[doc(alias = "SocketConnection")]
#[doc(alias = "SocketIOHandler")]
#[doc(alias = "SockJSConnection")]
#[doc(alias = "WebSocketHandler")]
pub trait Connection: Sized + 'static {
    /// What all connections of a server share. `()` when there is nothing to share.
    type State: 'static;

    /// Names the events of this class and what handles them; see [`Events`]. Called once for each
    /// router.
    #[doc(alias = "event")]
    fn events(on: &mut Events<Self>) {
        let _ = on;
    }

    /// The client is there: its handshake has been checked, and is answered when this returns. What
    /// is sent here follows that answer. No message is delivered before.
    ///
    /// The decision can be put off with [`Io::decide_later`](crate::Io::decide_later).
    ///
    /// Put yourself into the shared state last: after an error [`on_close`](Self::on_close) does
    /// not run. Rooms joined and timers started are undone then.
    ///
    /// # Errors
    ///
    /// [`Reject`] refuses the client; see there what it is told.
    #[doc(alias = "open")]
    #[doc(alias = "prepare")]
    fn on_open(&mut self, cx: &mut Cx<'_, Self>, req: &Request<'_>) -> Result<(), Reject> {
        let _ = (cx, req);
        Ok(())
    }

    /// A message came, whole: fragments are put together, text is valid UTF-8 (RFC 6455, 5.4 and
    /// 8.1). It borrows from the bytes that were read; copy what is to be kept.
    ///
    /// Messages of one client come in order and one at a time. [`Io::ordered`](crate::Io::ordered)
    /// holds the next ones back while this one is worked at elsewhere.
    fn on_message(&mut self, cx: &mut Cx<'_, Self>, message: Message<'_>) {
        let _ = (cx, message);
    }

    /// An event came that is not in the table of [`events`](Self::events), from a client of a family
    /// that has events (Socket.IO). Unless it is handled, it is logged.
    fn on_event(&mut self, cx: &mut Cx<'_, Self>, event: Event<'_>) {
        log::debug!("{}: event {:?} is not handled", cx.id(), event.name);
    }

    /// A pong came, with up to 125 bytes: the answer to [`Io::ping`](crate::Io::ping), or one
    /// unasked. Answers to the pings that the server sends by itself stay inside.
    fn on_pong(&mut self, cx: &mut Cx<'_, Self>, data: &[u8]) {
        let _ = (cx, data);
    }

    /// The client has taken most of what was queued, after `send` had answered [`Sent::Full`]:
    /// `write_low_bytes` or less wait now (default: 64 KiB). Once for each time that it was full.
    #[doc(alias = "drain")]
    fn on_writable(&mut self, cx: &mut Cx<'_, Self>) {
        let _ = cx;
    }

    /// The connection has ended. Runs once for each connection whose `on_open` was successful.
    ///
    /// Others can be reached, itself not any more: `send` answers [`Sent::Gone`], it has left its
    /// rooms, its timers are cancelled. After a close from our side it runs right after the callback
    /// that closed, and does not wait for the client's answer.
    #[doc(alias = "on_connection_close")]
    #[doc(alias = "on_disconnect")]
    fn on_close(&mut self, cx: &mut Cx<'_, Self>, why: CloseReason) {
        let _ = (cx, why);
    }
}

/// Names a [`Connection`]. A stale one is harmless: it never reaches a later connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConnectionId(pub(crate) Key<ConnectionTag>);

impl Ord for ConnectionId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.to_bits().cmp(&other.0.to_bits())
    }
}

impl PartialOrd for ConnectionId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectionId({self})")
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0.to_bits())
    }
}

/// A message from the client, borrowed from the bytes read.
///
/// It can be sent on as it is: `cx.send(message)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    pub(crate) kind: Kind,
    pub(crate) bytes: &'a [u8],
    /// Its text is a value, where that makes a difference.
    pub(crate) json: bool,
}

impl<'a> From<&'a str> for Message<'a> {
    fn from(text: &'a str) -> Self {
        Self::new(Kind::Text, text.as_bytes())
    }
}

impl<'a> Message<'a> {
    pub(crate) fn new(kind: Kind, bytes: &'a [u8]) -> Self {
        let json = false;
        Self { kind, bytes, json }
    }

    /// A value, as JSON.
    pub(crate) fn of_json(bytes: &'a [u8]) -> Self {
        Self {
            kind: Kind::Text,
            bytes,
            json: true,
        }
    }

    /// Whether it came as a JSON message of Socket.IO, or is sent as one: [`Json`], [`RawJson`] and JSON
    /// values are. The other families have no such kind; there it is text.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Text or binary.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The text, which is valid UTF-8; `None` for a binary message.
    pub fn text(&self) -> Option<&'a str> {
        match self.kind {
            Kind::Text => std::str::from_utf8(self.bytes).ok(),
            Kind::Binary => None,
        }
    }

    /// The payload, of either kind.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Reads the payload as JSON.
    ///
    /// # Errors
    ///
    /// What `serde_json` found wrong.
    #[doc(alias = "json_load")]
    pub fn json<T: serde_core::Deserialize<'a>>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(self.bytes)
    }
}

/// A named event and its arguments.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// Its name.
    pub name: &'a str,
    /// What came with it.
    pub args: &'a EventArgs<'a>,
}

/// What became of a message that was sent. Nothing waits: this is the answer at once.
#[doc(alias = "WebSocketClosedError")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sent {
    /// It will be written.
    Queued,
    /// It will be written, but more than `write_high_bytes` wait (default: 256 KiB): please stop until
    /// `on_writable`. Who goes on up to `write_max_bytes` (default: 1 MiB) loses the connection.
    Full,
    /// There is nobody to send it to: the connection is closed, or this message has closed it
    /// because `write_max_bytes` or more were waiting.
    Gone,
    /// What the client speaks has no form for it, as SockJS has none for binary messages and for events. It is
    /// counted, and nothing else happens.
    Unsupported,
    /// It was not sent: as many acknowledgements as `acks_max` allows (default: 64) are awaited already.
    Refused,
}

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// Plain WebSocket (RFC 6455).
    WebSocket,
    /// SockJS 0.3.
    SockJs,
    /// Socket.IO 0.6.
    SocketIo06,
    /// Socket.IO 0.7 to 0.9.
    SocketIo09,
}

/// By which way a client is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// None yet: a session of Socket.IO, between its handshake and its first transport.
    None,
    /// A WebSocket.
    WebSocket,
    /// A WebSocket that a Flash film has opened.
    FlashSocket,
    /// The raw WebSocket of a SockJS mount, without its framing.
    RawWebSocket,
    /// A streamed answer to an XMLHttpRequest.
    XhrStreaming,
    /// Polling by XMLHttpRequest.
    Xhr,
    /// Server-sent events.
    EventSource,
    /// A page in an iframe that grows.
    HtmlFile,
    /// Polling by scripts.
    Jsonp,
    /// Polling by XMLHttpRequest, of Socket.IO.
    XhrPolling,
    /// Polling by scripts, of Socket.IO.
    JsonpPolling,
    /// A streamed answer in parts, of Socket.IO 0.6.
    XhrMultipart,
}

impl Transport {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::None,
        Self::WebSocket,
        Self::FlashSocket,
        Self::RawWebSocket,
        Self::XhrStreaming,
        Self::Xhr,
        Self::EventSource,
        Self::HtmlFile,
        Self::Jsonp,
        Self::XhrPolling,
        Self::JsonpPolling,
        Self::XhrMultipart,
    ];

    /// Its name on the wire; of [`None`](Self::None) an empty text.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "",
            Self::WebSocket => "websocket",
            Self::FlashSocket => "flashsocket",
            Self::RawWebSocket => "rawwebsocket",
            Self::XhrStreaming => "xhr_streaming",
            Self::Xhr => "xhr",
            Self::EventSource => "eventsource",
            Self::HtmlFile => "htmlfile",
            Self::Jsonp => "jsonp",
            Self::XhrPolling => "xhr-polling",
            Self::JsonpPolling => "jsonp-polling",
            Self::XhrMultipart => "xhr-multipart",
        }
    }
}

impl TransportCounts {
    fn of(&mut self, transport: Transport) -> &mut u64 {
        match transport {
            Transport::None => &mut self.none,
            Transport::WebSocket => &mut self.websocket,
            Transport::FlashSocket => &mut self.flashsocket,
            Transport::RawWebSocket => &mut self.rawwebsocket,
            Transport::XhrStreaming => &mut self.xhr_streaming,
            Transport::Xhr => &mut self.xhr,
            Transport::EventSource => &mut self.eventsource,
            Transport::HtmlFile => &mut self.htmlfile,
            Transport::Jsonp => &mut self.jsonp,
            Transport::XhrPolling => &mut self.xhr_polling,
            Transport::JsonpPolling => &mut self.jsonp_polling,
            Transport::XhrMultipart => &mut self.xhr_multipart,
        }
    }

    pub(crate) fn opened(&mut self, transport: Transport) {
        *self.of(transport) += 1;
    }

    pub(crate) fn closed(&mut self, transport: Transport) {
        *self.of(transport) -= 1;
    }
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseReason {
    /// What ended it.
    pub cause: Cause,
    /// The close code: the peer's if it closed, ours if we did; 1005 for none, 1006 for a connection
    /// that was lost (RFC 6455, 7.4.1).
    #[doc(alias = "close_code")]
    pub code: u16,
    /// The text that came with the code, 123 bytes at most; of a rule that was broken, its name. Often
    /// empty.
    #[doc(alias = "close_reason")]
    pub reason: String,
    /// Whether it ended with a close frame, the peer's or ours, rather than by loss or a broken rule.
    /// For a close from our side it is not known yet whether the peer will answer.
    pub clean: bool,
}

/// What ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// The client closed.
    Client,
    /// The application closed, with `close` or `close_with`.
    Server,
    /// The TCP connection was lost without a close frame.
    Lost,
    /// The client broke a rule of the protocol, or a limit: 1002, 1003, 1007, 1008 or 1009.
    Protocol,
    /// The client gave no sign of life for `ping_timeout`, took no byte for `write_timeout`, or was over
    /// `idle_timeout` or `lifetime_max`.
    Timeout,
    /// The client did not take its messages: `write_max_bytes` waited for it (1013), or the buffers of
    /// all together were full (1006; for a channel 1013).
    Overflow,
    /// A callback of this connection panicked, or the arguments of an event were not those that its handler
    /// takes: 1011.
    Error,
    /// The server shuts down: 1001, or 1006 at the deadline of `drain`.
    Shutdown,
}

/// Refuses a client in `on_open`.
///
/// | made by | plain WebSocket | SockJS: open frame, then close frame with | Socket.IO 0.7 to 0.9, handshake |
/// | --- | --- | --- | --- |
/// | [`status`](Self::status) | that HTTP status instead of 101, with headers and body | 4000 and the status, the body if it is text | that status with the body, or with `handshake unauthorized` if there is none |
/// | `Reject::from("text")` | 403 with the text | 4403 and the text | 403 with the text |
/// | [`json`](Self::json) | 403 with the JSON text | 4403 and the JSON text | 403 with the JSON text |
/// | [`close`](Self::close) | 101, then a close frame with code and reason, which a browser can see | code and reason | 403 with the reason |
///
/// On SockJS a status would make the client try the next transport, and be refused on each. A handshake of
/// Socket.IO that came as a script gets 200 and an `Error` with the text; an endpoint gets `7::NAME:2`.
#[doc(alias = "HTTPError")]
#[doc(alias = "send_error")]
#[derive(Clone, Debug)]
pub struct Reject {
    pub(crate) how: Refusing,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) content_type: &'static str,
}

#[derive(Clone, Debug)]
pub(crate) enum Refusing {
    Status(u16),
    Close(u16, String),
}

impl Reject {
    /// With an HTTP status, 400 to 599; anything else becomes 403.
    pub fn status(status: u16) -> Self {
        let status = if (400..=599).contains(&status) {
            status
        } else {
            403
        };
        Self::new(Refusing::Status(status))
    }

    /// After the handshake, with a close code and a reason. Codes that may not be sent (RFC 6455, 7.4)
    /// become 1008; the reason is cut to 123 bytes at the border of a character.
    pub fn close(code: u16, reason: impl Into<String>) -> Self {
        Self::new(Refusing::Close(code, reason.into()))
    }

    /// With status 403 and a JSON text as its body.
    pub fn json(value: &serde_json::Value) -> Self {
        let mut reject = Self::status(403);
        reject.body = value.to_string().into_bytes();
        reject.content_type = "application/json";
        reject
    }

    /// Adds a header to the refusal; before a close frame it goes with the 101. One that is not allowed is
    /// left out and logged; `Content-Length`, `Transfer-Encoding`, `Connection` and `Date` are the
    /// server's own, `Upgrade` and `Sec-WebSocket-…` the protocol's.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body of the refusal, where it has a status. Its type is `text/plain; charset=utf-8`,
    /// after [`json`](Self::json) `application/json`.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The refusal where it has to be a close frame.
    pub(crate) fn as_close(&self) -> (u16, &str) {
        match &self.how {
            Refusing::Close(code, reason) => {
                let code = if valid_code(*code) { *code } else { 1008 };
                (code, cut_reason(reason))
            }
            Refusing::Status(status) => {
                let text = std::str::from_utf8(&self.body).unwrap_or_default();
                (4000 + status, cut_reason(text))
            }
        }
    }

    /// Appends its headers; one that is not allowed is left out and logged.
    pub(crate) fn push_headers(&self, lines: &mut Vec<u8>) {
        for (name, value) in &self.headers {
            if is_own_field(name) {
                continue;
            }
            if let Err(error) = push_field(lines, name, value) {
                crate::server::loud::loud!(error, "header {name:?} of a refusal: {error}");
            }
        }
    }

    fn new(how: Refusing) -> Self {
        let content_type = "text/plain; charset=utf-8";
        Self {
            how,
            headers: Vec::new(),
            body: Vec::new(),
            content_type,
        }
    }
}

impl From<&str> for Reject {
    fn from(text: &str) -> Self {
        Self::status(403).body(text)
    }
}

impl From<String> for Reject {
    fn from(text: String) -> Self {
        Self::status(403).body(text)
    }
}

/// Whether a repeating timer goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Call me again.
    Going,
    /// That was the last time.
    Stop,
}

/// A text message with the JSON of a value, made when it is sent. A value that cannot be written as
/// JSON is sent as `null` and logged.
#[doc(alias = "json_dumps")]
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(pub T);

/// A text message whose JSON exists already. It is sent as it is, not checked.
#[doc(alias = "force_json")]
#[derive(Clone, Copy, Debug)]
pub struct RawJson<'a>(pub &'a str);

/// What can be sent: text, bytes, a message as it came, [`Json`], [`RawJson`], a JSON value; or a
/// reference, a `Box`, an `Rc` or an `Arc` of one of them.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent as a message",
    label = "neither text nor bytes",
    note = "a value that serde can serialize is sent as `Json(value)`"
)]
pub trait IntoMessage {
    /// The message; `scratch` is empty and may hold its bytes.
    fn message<'a>(&'a self, scratch: &'a mut Vec<u8>) -> Message<'a>;

    /// Whether `message` writes to its scratch buffer.
    fn needs_scratch(&self) -> bool {
        false
    }
}

macro_rules! text_message {
    ($($t:ty),*) => { $(impl IntoMessage for $t {
        fn message<'a>(&'a self, _: &'a mut Vec<u8>) -> Message<'a> {
            Message::new(Kind::Text, self.as_bytes())
        }
    })* };
}
text_message!(str, String, std::borrow::Cow<'_, str>);

macro_rules! binary_message {
    ($($t:ty),*) => { $(impl IntoMessage for $t {
        fn message<'a>(&'a self, _: &'a mut Vec<u8>) -> Message<'a> {
            Message::new(Kind::Binary, self)
        }
    })* };
}
binary_message!([u8], Vec<u8>, std::borrow::Cow<'_, [u8]>);

impl<const N: usize> IntoMessage for [u8; N] {
    fn message<'a>(&'a self, _: &'a mut Vec<u8>) -> Message<'a> {
        Message::new(Kind::Binary, self)
    }
}

macro_rules! pointer_to_message {
    ($($t:ty),*) => { $(impl<T: IntoMessage + ?Sized> IntoMessage for $t {
        fn message<'a>(&'a self, scratch: &'a mut Vec<u8>) -> Message<'a> {
            (**self).message(scratch)
        }

        fn needs_scratch(&self) -> bool {
            (**self).needs_scratch()
        }
    })* };
}
pointer_to_message!(&T, Box<T>, std::rc::Rc<T>, std::sync::Arc<T>);

impl IntoMessage for Message<'_> {
    fn message<'a>(&'a self, _: &'a mut Vec<u8>) -> Message<'a> {
        *self
    }
}

impl IntoMessage for RawJson<'_> {
    fn message<'a>(&'a self, _: &'a mut Vec<u8>) -> Message<'a> {
        Message::of_json(self.0.as_bytes())
    }
}

impl<T: serde_core::Serialize> IntoMessage for Json<T> {
    fn needs_scratch(&self) -> bool {
        true
    }

    /// A value that cannot be written as JSON is sent as `null` and logged.
    fn message<'a>(&'a self, scratch: &'a mut Vec<u8>) -> Message<'a> {
        if let Err(error) = serde_json::to_writer(&mut *scratch, &self.0) {
            log::error!("a value cannot be sent as JSON: {error}");
            scratch.clear();
            scratch.extend_from_slice(b"null");
        }
        Message::of_json(scratch)
    }
}

impl IntoMessage for serde_json::Value {
    fn needs_scratch(&self) -> bool {
        true
    }

    fn message<'a>(&'a self, scratch: &'a mut Vec<u8>) -> Message<'a> {
        if serde_json::to_writer(&mut *scratch, self).is_err() {
            scratch.clear();
            scratch.extend_from_slice(b"null");
        }
        Message::of_json(scratch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::Cow;
    use std::rc::Rc;
    use std::sync::Arc;

    #[test]
    #[expect(
        clippy::needless_borrows_for_generic_args,
        reason = "references are what is tested"
    )]
    fn what_can_be_sent() {
        fn check(message: impl IntoMessage, kind: Kind, bytes: &[u8]) {
            let mut scratch = Vec::new();
            let made = message.message(&mut scratch);
            assert_eq!((made.kind, made.bytes), (kind, bytes));
            assert_eq!(message.needs_scratch(), scratch.capacity() > 0);
        }
        let text = String::from("hi");
        check("hi", Kind::Text, b"hi");
        check(&"hi", Kind::Text, b"hi");
        check(&text, Kind::Text, b"hi");
        check(text.clone(), Kind::Text, b"hi");
        check(Cow::Borrowed("hi"), Kind::Text, b"hi");
        check(Box::<str>::from("hi"), Kind::Text, b"hi");
        check(&Arc::<str>::from("hi"), Kind::Text, b"hi");
        check(Rc::new(text), Kind::Text, b"hi");
        check(RawJson("[1]"), Kind::Text, b"[1]");
        check(Json([1, 2]), Kind::Text, b"[1,2]");
        check(&Json([1, 2]), Kind::Text, b"[1,2]");
        check(&serde_json::json!({"a": 1}), Kind::Text, b"{\"a\":1}");
        check(b"hi", Kind::Binary, b"hi");
        check([1, 2], Kind::Binary, &[1, 2]);
        check(&[1, 2][..], Kind::Binary, &[1, 2]);
        check(&vec![1, 2], Kind::Binary, &[1, 2]);
        check(Cow::Borrowed(&[1, 2][..]), Kind::Binary, &[1, 2]);
        check(Arc::<[u8]>::from([1, 2]), Kind::Binary, &[1, 2]);
        check(Message::from("hi"), Kind::Text, b"hi");
    }
}
