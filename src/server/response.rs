//! Answers to HTTP requests: [`Response`], and who may give it when.
//!
//! A handler gets a [`Reply`]. It answers with [`Reply::send`] at once, takes a [`Later`] to answer
//! from a timer or another thread, or a [`Streaming`] to write the body piece by piece. Who drops
//! one of them without an answer has answered 500.

use super::cx::AppIo;
use super::engine::Shared;
use super::loud::loud;
use super::remote::Remote;
use crate::conn::http1::{FileBody, OutBody, Outgoing};
use crate::conn::{ConnKey, Queued};
use crate::connection::Sent;
use crate::proto::http::cookie::SetCookie;
use crate::proto::http::response::{HeaderError, check_field, push_field};
use std::borrow::Cow;

/// An answer: a status, headers and a body.
///
/// A header that is not allowed (a control character in its value, say) makes it a 500 when it is
/// sent, and is logged; [`Response::check`] tells before.
#[must_use = "a response is sent with `Reply::send` or `Later::send`"]
pub struct Response<'a> {
    status: u16,
    content_type: Option<Cow<'a, str>>,
    headers: Vec<u8>,
    body: Body<'a>,
    close: bool,
    wrong: Option<HeaderError>,
}

enum Body<'a> {
    Bytes(Cow<'a, [u8]>),
    File(FileBody),
    Stream,
}

impl<'a> Response<'a> {
    /// An empty answer. Statuses outside 200 to 599 become 500.
    pub fn new(status: u16) -> Self {
        let status = if (200..=599).contains(&status) {
            status
        } else {
            500
        };
        Self {
            status,
            content_type: None,
            headers: Vec::new(),
            body: Body::Bytes(Cow::Borrowed(&[])),
            close: false,
            wrong: None,
        }
    }

    /// 200 with `text/plain; charset=utf-8`.
    pub fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self::new(200).with_text("text/plain; charset=utf-8", text.into())
    }

    /// 200 with `text/html; charset=utf-8`.
    pub fn html(text: impl Into<Cow<'a, str>>) -> Self {
        Self::new(200).with_text("text/html; charset=utf-8", text.into())
    }

    /// 200 with `application/json`. A value that cannot be written becomes a 500 and is logged.
    pub fn json(value: &impl serde_core::Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(text) => Self::bytes("application/json", text),
            Err(error) => {
                loud!(error, "an answer cannot be written as JSON: {error}");
                Self::new(500)
            }
        }
    }

    /// 200 with bytes of any type.
    pub fn bytes(content_type: impl Into<Cow<'a, str>>, bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        let mut response = Self::new(200);
        response.body = Body::Bytes(bytes.into());
        response.content_type(content_type)
    }

    /// 302 to another address (RFC 9110, 15.4.3); [`status`](Self::status) makes it another one.
    #[doc(alias = "RedirectHandler")]
    pub fn redirect(location: &str) -> Self {
        Self::new(302).header("Location", location)
    }

    pub(crate) fn file(content_type: impl Into<Cow<'a, str>>, file: FileBody) -> Self {
        let mut response = Self::new(200);
        response.body = Body::File(file);
        response.content_type(content_type)
    }

    fn with_text(mut self, content_type: &'static str, text: Cow<'a, str>) -> Self {
        self.content_type = Some(Cow::Borrowed(content_type));
        self.body = Body::Bytes(match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        });
        self
    }

    /// Sets the status. Outside 200 to 599 it becomes 500.
    #[doc(alias = "set_status")]
    pub fn status(mut self, status: u16) -> Self {
        self.status = if (200..=599).contains(&status) {
            status
        } else {
            500
        };
        self
    }

    /// Sets `Content-Type`. One with a character that may not stand there makes the answer a 500.
    pub fn content_type(mut self, content_type: impl Into<Cow<'a, str>>) -> Self {
        let content_type = content_type.into();
        match check_field("Content-Type", &content_type) {
            Ok(()) => self.content_type = Some(content_type),
            Err(error) => self.wrong = Some(error),
        }
        self
    }

    /// Adds a header. `Content-Length`, `Transfer-Encoding`, `Connection` and `Date` are the
    /// server's own and are refused; see [`check`](Self::check).
    #[doc(alias = "set_header")]
    #[doc(alias = "add_header")]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Err(error) = push_field(&mut self.headers, name, value) {
            self.wrong = Some(error);
        }
        self
    }

    /// Adds a `Set-Cookie` (RFC 6265, 4.1). A cookie with a part that could be read as something else makes
    /// the answer a 500.
    #[doc(alias = "clear_cookie")]
    pub fn set_cookie(self, cookie: &SetCookie<'_>) -> Self {
        match cookie.to_value() {
            Ok(value) => self.header("Set-Cookie", &value),
            Err(error) => Self {
                wrong: Some(error),
                ..self
            },
        }
    }

    /// Closes the connection after this answer: `Connection: close`.
    pub fn close(mut self) -> Self {
        self.close = true;
        self
    }

    /// Whether all headers are allowed.
    ///
    /// # Errors
    ///
    /// The last header that is not.
    pub fn check(&self) -> Result<(), HeaderError> {
        match &self.wrong {
            None => Ok(()),
            Some(error) => Err(*error),
        }
    }

    pub(crate) fn outgoing(&mut self) -> Outgoing<'_> {
        if let Some(error) = self.wrong.take() {
            loud!(error, "an answer became a 500: {error}");
            *self = Self::new(500);
        }
        let body = match std::mem::replace(&mut self.body, Body::Stream) {
            Body::Bytes(bytes) => {
                self.body = Body::Bytes(bytes);
                match &self.body {
                    Body::Bytes(bytes) => OutBody::Bytes(bytes),
                    Body::File(_) | Body::Stream => OutBody::Stream,
                }
            }
            Body::File(file) => OutBody::File(file),
            Body::Stream => OutBody::Stream,
        };
        Outgoing {
            status: self.status,
            content_type: self.content_type.as_deref(),
            headers: &self.headers,
            body,
            close: self.close,
        }
    }
}

/// The right to answer one request, now.
#[must_use = "a reply that is dropped answers 500"]
pub struct Reply<'a, S: 'static> {
    pub(crate) shared: &'a Shared<S>,
    pub(crate) conn: ConnKey,
    pub(crate) serial: u32,
    pub(crate) open: bool,
}

impl<'a, S: 'static> Reply<'a, S> {
    /// Answers. To HEAD, and with 204 and 304, the body is not written.
    #[doc(alias = "finish")]
    pub fn send(mut self, response: Response<'_>) {
        self.open = false;
        self.shared
            .engine
            .borrow_mut()
            .answer(self.conn, self.serial, response);
    }

    /// Puts the answer off: it can be given from a timer or another thread. After
    /// `answer_timeout` (default: 60 s) the client is told 503. Its later requests wait meanwhile.
    #[doc(alias = "asynchronous")]
    pub fn later(mut self) -> Later<S> {
        self.open = false;
        let remote = Some(self.shared.remote.clone());
        Later {
            conn: self.conn,
            serial: self.serial,
            remote,
        }
    }

    /// Begins an answer whose body is written piece by piece; the body of `response` is the first
    /// piece. Each piece is one chunk (RFC 9112, 7.1); to a client of HTTP/1.0 the body ends with
    /// the connection.
    pub fn stream(mut self, mut response: Response<'_>) -> Streaming<S> {
        self.open = false;
        let first = match std::mem::replace(&mut response.body, Body::Stream) {
            Body::Bytes(bytes) => bytes,
            Body::File(_) | Body::Stream => Cow::Borrowed(&[][..]),
        };
        let mut engine = self.shared.engine.borrow_mut();
        engine.answer(self.conn, self.serial, response);
        if !first.is_empty() {
            engine.conns.stream(self.conn, self.serial, &first);
        }
        let remote = Some(self.shared.remote.clone());
        Streaming {
            conn: self.conn,
            serial: self.serial,
            remote,
        }
    }

    /// The server's state is not here, but all that can be done is.
    pub fn io(&self) -> AppIo<'a, S> {
        AppIo::new(self.shared)
    }
}

impl<S: 'static> Drop for Reply<'_, S> {
    fn drop(&mut self) {
        if self.open {
            loud!(error, "a handler did not answer");
            let response = Response::new(500);
            self.shared
                .engine
                .borrow_mut()
                .answer(self.conn, self.serial, response);
        }
    }
}

/// The right to answer one request, later. It may go to another thread and come back with
/// [`Remote::call`].
#[must_use = "dropped, it answers 500"]
pub struct Later<S: 'static> {
    conn: ConnKey,
    serial: u32,
    remote: Option<Remote<S>>,
}

impl<S: 'static> Later<S> {
    /// Answers. `Gone`: the client has gone, or it took too long.
    pub fn send(mut self, io: &AppIo<'_, S>, response: Response<'_>) -> Sent {
        self.remote = None;
        io.shared()
            .engine
            .borrow_mut()
            .answer(self.conn, self.serial, response)
    }
}

impl<S: 'static> Drop for Later<S> {
    fn drop(&mut self) {
        if let Some(remote) = self.remote.take() {
            let (conn, serial) = (self.conn, self.serial);
            remote.post(Box::new(move |app| {
                let response = Response::new(500);
                app.shared()
                    .engine
                    .borrow_mut()
                    .answer(conn, serial, response);
            }));
        }
    }
}

/// An answer whose body is being written. Dropped, it ends.
pub struct Streaming<S: 'static> {
    conn: ConnKey,
    serial: u32,
    remote: Option<Remote<S>>,
}

impl<S: 'static> Streaming<S> {
    /// Writes a piece; never waits. `Full`: it was queued, but more than `write_high_bytes` wait, so please
    /// try again later. `Gone`: the client has gone, or it was cut because `write_max_bytes` waited.
    /// There is no time-out but `write_timeout` for who takes nothing.
    #[doc(alias = "flush")]
    pub fn write(&self, io: &AppIo<'_, S>, bytes: &[u8]) -> Sent {
        let mut engine = io.shared().engine.borrow_mut();
        match engine.conns.stream(self.conn, self.serial, bytes) {
            Queued::Yes => Sent::Queued,
            Queued::OverHigh => Sent::Full,
            Queued::Gone | Queued::Unsupported => Sent::Gone,
            Queued::OverMax => {
                engine.conns.cut.push(self.conn);
                Sent::Gone
            }
        }
    }

    /// Ends the body. The connection goes on with its next request, if it is kept.
    #[doc(alias = "finish")]
    pub fn end(mut self, io: &AppIo<'_, S>) {
        self.remote = None;
        io.shared()
            .engine
            .borrow_mut()
            .end_stream(self.conn, self.serial);
    }
}

impl<S: 'static> Drop for Streaming<S> {
    fn drop(&mut self) {
        if let Some(remote) = self.remote.take() {
            let (conn, serial) = (self.conn, self.serial);
            remote.post(Box::new(move |app| {
                app.shared().engine.borrow_mut().end_stream(conn, serial);
            }));
        }
    }
}
