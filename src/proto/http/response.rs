//! Writing responses: status line, fields, chunks (RFC 9110, 15; RFC 9112, 4 and 6).
//!
//! [`write_head`] appends a head to the output in one go. Fields of the application come in as lines
//! that [`push_field`] has checked, so that nothing unchecked reaches the wire.
//!
//! Not here: which status, which body; the answer to an Upgrade.

use std::fmt;

use super::date::DATE_BYTES;
use super::grammar::{is_token, is_value_byte};
use super::request_line::Version;

/// What is wrong with a field or cookie the application wants to send. Nothing of it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeaderError {
    /// The name is no token.
    Name,
    /// CR, LF, NUL or another character that may not stand in the value.
    Value,
    /// The field is written by the server itself.
    Reserved,
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "the name of a field is not a token",
            Self::Value => "a character that may not stand in the value of a field",
            Self::Reserved => "a field that the server writes itself",
        })
    }
}

impl std::error::Error for HeaderError {}

/// Whether the connection stays open after the response, and how the client learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// It stays open, which goes without saying in HTTP/1.1.
    Open,
    /// It closes, and the client is told to come back with an upgrade (RFC 9110, 7.8).
    UpgradeClose,
    /// It stays open, and an HTTP/1.0 client is told so.
    KeepAlive,
    /// It will be closed.
    Close,
}

impl Connection {
    /// What tells a client of this version that its connection stays open.
    pub fn open(version: Version) -> Self {
        match version {
            Version::Http10 => Self::KeepAlive,
            Version::Http11 => Self::Open,
        }
    }
}

/// How the client learns where the body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// So many bytes. Also in answers to HEAD, where they do not follow.
    Known(u64),
    /// In chunks; HTTP/1.1 only.
    Chunked,
    /// At the end of the connection; `Connection: close` is written whatever was asked for.
    UntilClose,
    /// Nothing is said: an answer to HEAD whose length nobody worked out.
    None,
}

/// The head of a response.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'a> {
    /// The status, 100 to 999.
    pub status: u16,
    /// The current date as [`date::format`](super::date::format) writes it. Left out of 1xx.
    pub date: Option<&'a [u8; DATE_BYTES]>,
    /// Whether the connection stays open.
    pub connection: Connection,
    /// Where the body ends. Left out of 1xx, 204 and 304, which have none.
    pub length: BodyLength,
    /// A media type, already checked if it is not a constant.
    pub content_type: Option<&'a str>,
    /// More lines, made by [`push_field`].
    pub extra: &'a [u8],
}

impl ResponseHead<'_> {
    /// A head with this status, for a connection that stays open and a body of known length.
    pub fn new(status: u16, content_length: u64) -> Self {
        Self {
            status,
            date: None,
            connection: Connection::Open,
            length: BodyLength::Known(content_length),
            content_type: None,
            extra: &[],
        }
    }
}

/// Appends a head, the empty line included.
pub fn write_head(out: &mut Vec<u8>, head: &ResponseHead<'_>) {
    out.reserve(HEAD_BYTES_GUESS + head.extra.len());
    match head.status {
        200 => out.extend_from_slice(b"HTTP/1.1 200 OK\r\n"),
        status => {
            out.extend_from_slice(b"HTTP/1.1 ");
            push_number(out, u64::from(status));
            out.push(b' ');
            out.extend_from_slice(reason(status).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
    if let (Some(date), 200..) = (head.date, head.status) {
        out.extend_from_slice(b"Date: ");
        out.extend_from_slice(date);
        out.extend_from_slice(b"\r\n");
    }
    let has_body = !matches!(head.status, 100..=199 | 204 | 304);
    if let Some(content_type) = head.content_type {
        debug_assert!(check_field("Content-Type", content_type).is_ok());
        out.extend_from_slice(b"Content-Type: ");
        out.extend_from_slice(content_type.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    match head.length {
        BodyLength::Known(n) if has_body => {
            out.extend_from_slice(b"Content-Length: ");
            push_number(out, n);
            out.extend_from_slice(b"\r\n");
        }
        BodyLength::Chunked if has_body => {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        }
        _ => {}
    }
    let until_close = has_body && head.length == BodyLength::UntilClose;
    match head.connection {
        Connection::Close => out.extend_from_slice(b"Connection: close\r\n"),
        Connection::UpgradeClose => out.extend_from_slice(b"Connection: Upgrade, close\r\n"),
        _ if until_close => out.extend_from_slice(b"Connection: close\r\n"),
        Connection::KeepAlive => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        Connection::Open => {}
    }
    out.extend_from_slice(head.extra);
    out.extend_from_slice(b"\r\n");
}

/// Checks a field the application wants to send.
///
/// # Errors
///
/// The name is no token, or the value has CR, LF, NUL or another control character.
pub fn check_field(name: &str, value: &str) -> Result<(), HeaderError> {
    if !is_token(name.as_bytes()) {
        return Err(HeaderError::Name);
    }
    if !value.bytes().all(is_value_byte) {
        return Err(HeaderError::Value);
    }
    Ok(())
}

/// Appends the line of a field to `extra`, the lines of a [`ResponseHead`].
///
/// # Errors
///
/// Those of [`check_field`]; and the fields that frame the response are not the application's.
pub fn push_field(extra: &mut Vec<u8>, name: &str, value: &str) -> Result<(), HeaderError> {
    check_field(name, value)?;
    if RESERVED.iter().any(|r| r.eq_ignore_ascii_case(name)) {
        return Err(HeaderError::Reserved);
    }
    for part in [name, ": ", value, "\r\n"] {
        extra.extend_from_slice(part.as_bytes());
    }
    Ok(())
}

/// Appends a chunk; nothing if `data` is empty, because the empty chunk is the end.
pub fn write_chunk(out: &mut Vec<u8>, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    let digits = (usize::BITS - data.len().leading_zeros()).div_ceil(4);
    out.reserve(data.len() + digits as usize + 4);
    for digit in (0..digits).rev() {
        out.push(b"0123456789abcdef"[data.len() >> (4 * digit) & 15]);
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

/// Appends the empty chunk that ends a body.
pub fn write_last_chunk(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n\r\n");
}

/// The usual words for a status; empty for one without.
pub fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

fn push_number(out: &mut Vec<u8>, n: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
}

const HEAD_BYTES_GUESS: usize = 192;
const RESERVED: [&str; 4] = ["Content-Length", "Transfer-Encoding", "Connection", "Date"];

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &[u8; DATE_BYTES] = b"Sun, 06 Nov 1994 08:49:37 GMT";

    fn head(status: u16, connection: Connection, length: BodyLength) -> String {
        let mut out = Vec::new();
        let head = ResponseHead {
            connection,
            length,
            ..ResponseHead::new(status, 0)
        };
        write_head(&mut out, &head);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn framing_of_responses() {
        use BodyLength::{Chunked, Known, None, UntilClose};
        use Connection::{Close, KeepAlive, Open};
        let max = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", u64::MAX);
        #[rustfmt::skip]
        let cases: &[(u16, Connection, BodyLength, &str)] = &[
            (200, Open,      Known(5),   "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
            (200, Open,      Known(u64::MAX), &max),
            (200, Open,      Chunked,    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
            (200, Open,      None,       "HTTP/1.1 200 OK\r\n\r\n"),
            (404, KeepAlive, Known(0),   "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n"),
            (400, Close,     Known(0),   "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
            (200, KeepAlive, UntilClose, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"),
            (200, Close,     UntilClose, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"),
            (100, Open,      Known(0),   "HTTP/1.1 100 Continue\r\n\r\n"),
            (204, Open,      Known(0),   "HTTP/1.1 204 No Content\r\n\r\n"),
            (304, Open,      Chunked,    "HTTP/1.1 304 Not Modified\r\n\r\n"),
            (304, Close,     UntilClose, "HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n"),
            (599, Open,      Known(0),   "HTTP/1.1 599 \r\nContent-Length: 0\r\n\r\n"),
        ];
        for &(status, connection, length, want) in cases {
            assert_eq!(head(status, connection, length), want);
        }
    }

    #[test]
    fn all_parts_of_a_head() {
        let mut extra = Vec::new();
        push_field(&mut extra, "X-A", "b c").unwrap();
        let mut head = ResponseHead {
            date: Some(DATE),
            content_type: Some("text/plain"),
            extra: &extra,
            ..ResponseHead::new(200, 3)
        };
        let mut out = Vec::new();
        write_head(&mut out, &head);
        let want = "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
                    Content-Type: text/plain\r\nContent-Length: 3\r\nX-A: b c\r\n\r\n";
        assert_eq!(out, want.as_bytes());

        head.status = 100;
        out.clear();
        write_head(&mut out, &head);
        assert!(
            !out.starts_with(b"HTTP/1.1 100 Continue\r\nDate"),
            "no date in 1xx"
        );
    }

    #[test]
    fn version_decides_how_open_is_told() {
        assert_eq!(Connection::open(Version::Http10), Connection::KeepAlive);
        assert_eq!(Connection::open(Version::Http11), Connection::Open);
    }

    /// Tornado CVE-2025-67724: line ends in what the application sends.
    #[test]
    fn fields_of_the_application() {
        #[rustfmt::skip]
        let cases: &[(&str, &str, Result<(), HeaderError>)] = &[
            ("X-A", "", Ok(())), ("X-A", "a\tb \u{e9}", Ok(())),
            ("", "a", Err(HeaderError::Name)), ("X A", "a", Err(HeaderError::Name)),
            ("X:", "a", Err(HeaderError::Name)), ("X\r\nY", "a", Err(HeaderError::Name)),
            ("X", "a\r\nY: b", Err(HeaderError::Value)), ("X", "a\rb", Err(HeaderError::Value)),
            ("X", "a\nb", Err(HeaderError::Value)), ("X", "a\0b", Err(HeaderError::Value)),
            ("X", "\x7f", Err(HeaderError::Value)),
            ("content-length", "1", Err(HeaderError::Reserved)),
            ("Transfer-Encoding", "chunked", Err(HeaderError::Reserved)),
        ];
        for &(name, value, want) in cases {
            let mut extra = Vec::new();
            assert_eq!(
                push_field(&mut extra, name, value),
                want,
                "{name:?}: {value:?}"
            );
            assert_eq!(extra.is_empty(), want.is_err());
        }
    }

    #[test]
    fn chunks() {
        let long = vec![b'x'; 0x1a0];
        #[rustfmt::skip]
        let cases: &[(&[u8], &[u8])] = &[
            (b"", b""), (b"a", b"1\r\na\r\n"),
            (b"0123456789abcdef", b"10\r\n0123456789abcdef\r\n"),
            (&long, &[b"1a0\r\n", &long[..], b"\r\n"].concat()),
        ];
        for &(data, want) in cases {
            let mut out = Vec::new();
            write_chunk(&mut out, data);
            assert_eq!(out, want);
        }
        let mut out = Vec::new();
        write_last_chunk(&mut out);
        assert_eq!(out, b"0\r\n\r\n");
    }
}
