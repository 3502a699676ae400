//! The head of a request: request line and fields (RFC 9112, 3 and 5).
//!
//! [`HeadScanner`] finds where a head ends while its bytes still arrive; [`Head::parse`] reads a
//! whole one. `httparse` takes the fields apart; what it lets through (LF alone as a line end, any
//! byte in the target, every question about Host) is checked here.
//!
//! Not here: empty lines before a request line ([`Reader`](super::reader::Reader) drops them), the
//! meaning of a body's bytes, percent-decoding ([`url`](super::url)).
//!
//! Invariant: a [`Head`] has exactly one valid host, a known method, and no line end in any part.

use std::borrow::Cow;
use std::mem::MaybeUninit;

use memchr::{memchr, memchr_iter};

use super::error::Error;
use super::grammar::{elements, is_host, is_token_byte};
use super::request_line::{RequestLine, Version};

/// The most field lines a head can have, whatever [`HeadLimits::headers_max`] says.
pub const HEADERS_MAX: usize = 100;

/// Room for the fields of one head, on the caller's stack; nothing in it is initialised.
pub type Slots<'b> = [MaybeUninit<httparse::Header<'b>>; HEADERS_MAX];

/// Fresh [`Slots`].
pub fn slots<'b>() -> Slots<'b> {
    [const { MaybeUninit::uninit() }; HEADERS_MAX]
}

/// How large a head may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the request line without its CRLF. Default: 8 KiB. Over it: 414.
    pub request_line_bytes_max: usize,
    /// Bytes of the whole head. Default: 16 KiB, the size HAProxy and Node have. Over it: 431.
    pub head_bytes_max: usize,
    /// Field lines. Default and upper bound: [`HEADERS_MAX`]. Over it: 431.
    pub headers_max: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self {
            request_line_bytes_max: 8 << 10,
            head_bytes_max: 16 << 10,
            headers_max: HEADERS_MAX,
        }
    }
}

/// Finds the end of a head in bytes that arrive in pieces, looking at each byte once.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadScanner {
    /// Bytes looked at.
    seen: usize,
    /// Where the line begins that is not complete yet.
    line: usize,
    /// Complete lines, the request line included.
    lines: usize,
    /// Whether the request line has been found good.
    checked: bool,
}

impl HeadScanner {
    /// Looks for the end in `bytes`: everything of the head that has come so far, and possibly more.
    /// `Some(n)`: the head is `bytes[..n]`. `None`: come back with the same bytes and more.
    ///
    /// # Errors
    ///
    /// A line that does not end in CRLF, a head over a limit, and, as soon as it is complete, a bad
    /// request line: a peer that will be refused is not waited for.
    pub fn scan(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<Option<usize>, Error> {
        match bytes.first() {
            Some(&b) if !is_token_byte(b) => return Err(not_a_request(b)),
            _ => {}
        }
        let found = self.find_end(bytes, limits);
        // With the end found, the parser comes next and checks the request line anyway. In all other
        // cases it is checked here, and first, so that the answer does not depend on how the bytes
        // were cut.
        if !matches!(found, Ok(Some(_))) && self.lines > 0 && !self.checked {
            let end = memchr(b'\r', bytes).unwrap_or(bytes.len());
            RequestLine::parse(&bytes[..end])?;
            self.checked = true;
        }
        found
    }

    fn find_end(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<Option<usize>, Error> {
        let window = &bytes[..bytes.len().min(limits.head_bytes_max)];
        let from = self.seen.min(window.len());
        for at in memchr_iter(b'\n', &window[from..]) {
            let at = from + at;
            let has_cr = at > self.line && window[at - 1] == b'\r';
            let len = at - self.line - usize::from(has_cr);
            if self.lines == 0 && len > limits.request_line_bytes_max {
                return Err(Error::TargetTooLong);
            }
            if !has_cr {
                return Err(Error::Syntax("line feed without carriage return"));
            }
            if len == 0 {
                return Ok(Some(at + 1));
            }
            if self.lines > limits.headers_max.min(HEADERS_MAX) {
                return Err(Error::HeadTooLarge("header lines"));
            }
            self.lines += 1;
            self.line = at + 1;
        }
        self.seen = window.len();
        if self.lines == 0 {
            let cr = usize::from(window.last() == Some(&b'\r'));
            if window.len() - cr > limits.request_line_bytes_max {
                return Err(Error::TargetTooLong);
            }
        }
        if bytes.len() > limits.head_bytes_max {
            return Err(Error::HeadTooLarge("head"));
        }
        Ok(None)
    }
}

/// A parsed head. It borrows from the bytes it was parsed from.
#[derive(Clone, Copy, Debug)]
pub struct Head<'b> {
    /// One of `GET HEAD POST PUT DELETE PATCH OPTIONS`.
    pub method: &'static str,
    /// The request target as sent.
    pub target: &'b str,
    /// HTTP/1.0 or HTTP/1.1.
    pub version: Version,
    /// The fields in the order in which they came, values without blanks around them.
    pub headers: &'b [httparse::Header<'b>],
    host: &'b str,
    path: &'b str,
    query: Option<&'b str>,
}

impl<'b> Head<'b> {
    /// Parses a whole head: `raw` begins with the request line and ends with the empty line.
    ///
    /// # Errors
    ///
    /// Every breach of the grammar of a head; see [`Error`].
    pub fn parse<'r: 'b>(raw: &'r [u8], slots: &'b mut Slots<'r>) -> Result<Self, Error> {
        let line_end = memchr(b'\r', raw).ok_or(Error::Syntax("line end"))?;
        let line = RequestLine::parse(&raw[..line_end])?;
        let mut request = httparse::Request::new(&mut []);
        let end = request
            .parse_with_uninit_headers(raw, slots)
            .map_err(of_httparse)?;
        if end != httparse::Status::Complete(raw.len()) {
            return Err(Error::Syntax("end of the head"));
        }
        let headers: &'b [httparse::Header<'b>] = request.headers;
        // It refuses a CR that no LF follows, so as many CRs as lines mean that every LF follows one.
        if memchr_iter(b'\r', raw).count() != headers.len() + 2 {
            return Err(Error::Syntax("line feed without carriage return"));
        }
        Ok(Self {
            method: line.method,
            target: line.target,
            version: line.version,
            headers,
            host: host(headers, line.version, line.authority)?,
            path: line.path,
            query: line.query,
        })
    }

    /// The host and port the request is for: of an absolute-form target, else of the Host field.
    /// Empty only in an HTTP/1.0 request that named none.
    pub fn host(&self) -> &'b str {
        self.host
    }

    /// The path of the target as sent, without the query; `*` in a server-wide OPTIONS.
    pub fn path(&self) -> &'b str {
        self.path
    }

    /// What stands behind the first `?` of the target, as sent.
    pub fn query(&self) -> Option<&'b str> {
        self.query
    }

    /// The values of all fields with this name, in order.
    pub fn all(&self, name: &str) -> impl DoubleEndedIterator<Item = &'b [u8]> {
        self.headers
            .iter()
            .filter(move |h| h.name.eq_ignore_ascii_case(name))
            .map(|h| h.value)
    }

    /// The value of the first field with this name.
    pub fn header(&self, name: &str) -> Option<&'b [u8]> {
        self.all(name).next()
    }

    /// The value of the first field with this name, if it is UTF-8.
    pub fn header_str(&self, name: &str) -> Option<&'b str> {
        std::str::from_utf8(self.header(name)?).ok()
    }

    /// All fields with this name as one value: joined by `; ` for Cookie, else by `, `.
    pub fn joined(&self, name: &str) -> Option<Cow<'b, [u8]>> {
        let mut values = self.all(name);
        let first = values.next()?;
        let Some(second) = values.next() else {
            return Some(Cow::Borrowed(first));
        };
        let separator: &[u8] = if name.eq_ignore_ascii_case("cookie") {
            b"; "
        } else {
            b", "
        };
        let mut joined = first.to_vec();
        for value in std::iter::once(second).chain(values) {
            joined.extend_from_slice(separator);
            joined.extend_from_slice(value);
        }
        Some(Cow::Owned(joined))
    }

    /// Whether `option` is among the comma-separated elements of any field with this name, in any case.
    pub fn has_option(&self, name: &str, option: &str) -> bool {
        self.all(name)
            .flat_map(elements)
            .any(|element| element.eq_ignore_ascii_case(option.as_bytes()))
    }

    /// Whether the client leaves the connection open for another request.
    pub fn keep_alive(&self) -> bool {
        match self.version {
            Version::Http11 => !self.has_option("connection", "close"),
            Version::Http10 => {
                self.has_option("connection", "keep-alive")
                    && !self.has_option("connection", "close")
            }
        }
    }
}

/// The host of the request: the authority of the target wins over the Host field, which has
/// to be right all the same.
fn host<'b>(
    headers: &[httparse::Header<'b>],
    version: Version,
    authority: Option<&'b str>,
) -> Result<&'b str, Error> {
    let mut fields = headers
        .iter()
        .filter(|h| h.name.len() == 4 && h.name.eq_ignore_ascii_case("host"));
    let field = match (fields.next(), version) {
        (Some(field), _) => field.value,
        (None, Version::Http10) => return Ok(authority.unwrap_or("")),
        (None, Version::Http11) => return Err(Error::Host("missing")),
    };
    if fields.next().is_some() {
        return Err(Error::Host("more than one"));
    }
    match authority {
        Some(authority) if field.is_empty() || is_host(field) => Ok(authority),
        None if is_host(field) => std::str::from_utf8(field).map_err(|_| Error::Host("characters")),
        _ => Err(Error::Host("characters")),
    }
}

#[cold]
fn not_a_request(first: u8) -> Error {
    match first {
        0x16 => Error::Syntax("tls on a plain port"),
        b'\r' | b'\n' => Error::Syntax("empty lines before the request"),
        _ => Error::Syntax("method"),
    }
}

#[cold]
fn of_httparse(e: httparse::Error) -> Error {
    match e {
        httparse::Error::HeaderName => Error::Syntax("field name"),
        httparse::Error::HeaderValue => Error::Syntax("field value"),
        httparse::Error::NewLine => Error::Syntax("line end"),
        httparse::Error::TooManyHeaders => Error::HeadTooLarge("header lines"),
        // The request line has been checked before; these cannot come.
        httparse::Error::Status | httparse::Error::Token | httparse::Error::Version => {
            Error::Syntax("request line")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The length of the head found, `None` if it is not complete, or the status of the refusal.
    type Scanned = Result<Option<usize>, u16>;

    /// Scans `bytes` whole, then one byte after another, and wants the same answer; parses what was
    /// found.
    fn status_of(bytes: &[u8], limits: &HeadLimits) -> Scanned {
        let parse = |n: usize| {
            let mut slots = slots();
            Head::parse(&bytes[..n], &mut slots)
                .and_then(|head| head.framing())
                .map(|_| Some(n))
        };
        let whole = match HeadScanner::default().scan(bytes, limits) {
            Ok(Some(n)) => parse(n),
            other => other,
        };
        let mut scanner = HeadScanner::default();
        let mut cut = Ok(None);
        for end in 1..=bytes.len() {
            cut = match scanner.scan(&bytes[..end], limits) {
                Ok(None) => continue,
                Ok(Some(n)) => parse(n),
                refused => refused,
            };
            break;
        }
        assert_eq!(whole.map_err(Error::status), cut.map_err(Error::status));
        whole.map_err(Error::status)
    }

    fn with<T>(raw: &str, f: impl FnOnce(Head<'_>) -> T) -> T {
        let mut slots = slots();
        f(Head::parse(raw.as_bytes(), &mut slots).expect(raw))
    }

    #[test]
    fn accepted_heads() {
        let eighty = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(79));
        #[rustfmt::skip]
        let cases: &[(&str, &[u8])] = &[
            ("plain",          b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("absolute form",  b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("absolute, empty host", b"GET http://a/ HTTP/1.1\r\nHost:\r\n\r\n"),
            ("1.0, no host",   b"GET / HTTP/1.0\r\n\r\n"),
            ("1.0, host",      b"GET / HTTP/1.0\r\nHost: a\r\n\r\n"),
            ("server-wide",    b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("empty value",    b"GET / HTTP/1.1\r\nHost: a\r\nX:\r\n\r\n"),
            ("blank value",    b"GET / HTTP/1.1\r\nHost: a\r\nX: \t \r\n\r\n"),
            ("tabs",           b"GET / HTTP/1.1\r\nHost:\ta\t\r\n\r\n"),
            ("0xe9 in value",  b"GET / HTTP/1.1\r\nHost: a\r\nX: \xe9\r\n\r\n"),
            ("odd case",       b"GET / HTTP/1.1\r\nhOsT: a\r\n\r\n"),
            ("eighty fields",  eighty.as_bytes()),
        ];
        for &(name, raw) in cases {
            let limits = HeadLimits::default();
            assert_eq!(status_of(raw, &limits), Ok(Some(raw.len())), "{name}");
            let more = [raw, b"GET / HTTP/1.1\r\n"].concat();
            assert_eq!(
                status_of(&more, &limits),
                Ok(Some(raw.len())),
                "{name}, and more"
            );
            for cut in 0..raw.len() {
                assert_eq!(
                    status_of(&raw[..cut], &limits),
                    Ok(None),
                    "{name}, cut after {cut}"
                );
            }
        }
    }

    /// The groups Host, names, values and line ends of the case table, and the known holes of
    /// httparse; RUSTSEC-2017-0002 and RUSTSEC-2020-0031 (line ends in values).
    #[test]
    fn refused_heads() {
        #[rustfmt::skip]
        let cases: &[(&str, &[u8], u16)] = &[
            ("no host",            b"GET / HTTP/1.1\r\n\r\n", 400),
            ("two hosts",          b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
            ("two other hosts",    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
            ("two hosts in 1.0",   b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 400),
            ("empty host",         b"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
            ("blank in host",      b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
            ("user in host",       b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400),
            ("slash in host",      b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
            ("list of hosts",      b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
            ("absolute, no host",  b"GET http://a/ HTTP/1.1\r\n\r\n", 400),
            ("absolute, bad host", b"GET http://a/ HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
            ("blank before colon", b"GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n", 400),
            ("the same, length",   b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 2\r\n\r\n", 400),
            ("blank before name",  b"GET / HTTP/1.1\r\n X: y\r\nHost: a\r\n\r\n", 400),
            ("folded",             b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n", 400),
            ("folded by tab",      b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\tz\r\n\r\n", 400),
            ("folded coding",      b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n", 400),
            ("no colon",           b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", 400),
            ("no name",            b"GET / HTTP/1.1\r\nHost: a\r\n: y\r\n\r\n", 400),
            ("nul in name",        b"GET / HTTP/1.1\r\nHost: a\r\nX\0: y\r\n\r\n", 400),
            ("brackets in name",   b"GET / HTTP/1.1\r\nHost: a\r\nX[]: y\r\n\r\n", 400),
            ("0xe9 in name",       b"GET / HTTP/1.1\r\nHost: a\r\nX\xe9: y\r\n\r\n", 400),
            ("nul in value",       b"GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", 400),
            ("cr in value",        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400),
            ("bell in value",      b"GET / HTTP/1.1\r\nHost: a\r\nX: \x07\r\n\r\n", 400),
            ("0x0b in value",      b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n", 400),
            ("del in value",       b"GET / HTTP/1.1\r\nHost: a\r\nX: a long enough value\x7f\r\n\r\n", 400),
            ("cr between fields",  b"GET / HTTP/1.1\r\nHost: a\r\n\rX: y\r\n\r\n", 400),
            ("cr before field",    b"GET / HTTP/1.1\r\n\rHost: a\r\n\r\n", 400),
            ("cr cr lf",           b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", 400),
            ("cr after version",   b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", 400),
            ("lf only",            b"GET / HTTP/1.1\nHost: a\n\n", 400),
            ("lf in one line",     b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", 400),
            ("lf at the end",      b"GET / HTTP/1.1\r\nHost: a\r\n\n", 400),
            ("lf lf",              b"GET / HTTP/1.1\r\nHost: a\r\nUseless:\n\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("no version",         b"GET /\r\nHost: a\r\n\r\n", 400),
            ("no version, blank",  b"GET / \r\nHost: a\r\n\r\n", 400),
            ("http/1.1",           b"GET / http/1.1\r\nHost: a\r\n\r\n", 400),
            ("HTTP/1.10",          b"GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400),
            ("HTTP/2.0",           b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
            ("HTTP/2.0 and worse", b"GET / HTTP/2.0\r\nHost: a\nX\r\n\r\n", 505),
            ("HTTP/9.9",           b"GET / HTTP/9.9\r\nHost: a\r\n\r\n", 505),
            ("tabs",               b"GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("blank first",        b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("unknown method",     b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
            ("connect",            b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 501),
            ("tls hello",          b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
            ("binary first",       b"\0\x01\x02GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ];
        for &(name, raw, status) in cases {
            assert_eq!(
                status_of(raw, &HeadLimits::default()),
                Err(status),
                "{name}"
            );
        }
    }

    /// The parser does not lean on the scanner: it refuses LF alone by itself.
    #[test]
    fn parser_alone_wants_whole_heads() {
        for raw in [
            &b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n"[..],
            b"GET / HTTP/1.1\r\nHost: a\r\n\n",
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\nmore",
            b"GET / HTTP/1.1\r\nHost: a\r\n",
            b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"",
        ] {
            let mut slots = slots();
            let refused = Head::parse(raw, &mut slots).map(|_| ());
            assert!(matches!(refused, Err(Error::Syntax(_))), "{raw:?}");
        }
    }

    #[test]
    fn limits_just_under_and_just_over() {
        let limits = HeadLimits {
            request_line_bytes_max: 16,
            head_bytes_max: 44,
            headers_max: 3,
        };
        #[rustfmt::skip]
        let cases: &[(&str, &str, Scanned)] = &[
            ("line at the limit",     "GET /ab HTTP/1.1\r\nHost: a\r\n\r\n", Ok(Some(29))),
            ("line over",             "GET /abc HTTP/1.1\r\nHost: a\r\n\r\n", Err(414)),
            ("line over, no end yet", "GET /abcdefghijkl", Err(414)),
            ("line at the limit, cr", "GET /ab HTTP/1.1\r", Ok(None)),
            ("line over and lf",      "GET /abc HTTP/1.1\nHost: a\r\n\r\n", Err(414)),
            ("head at the limit",     "GET / HTTP/1.1\r\nHost: a\r\nX: 345678901234\r\n\r\n", Ok(Some(44))),
            ("head over",             "GET / HTTP/1.1\r\nHost: a\r\nX: 3456789012345\r\n\r\n", Err(431)),
            ("head over, no end",     "GET / HTTP/1.1\r\nHost: a\r\nX: 34567890123456789", Err(431)),
            ("fields at the limit",   "GET / HTTP/1.1\r\nHost: a\r\nX:\r\nX:\r\n\r\n", Ok(Some(35))),
            ("fields over",           "GET / HTTP/1.1\r\nHost: a\r\nX:\r\nX:\r\nX:\r\n\r\n", Err(431)),
        ];
        for &(name, raw, want) in cases {
            assert_eq!(status_of(raw.as_bytes(), &limits), want, "{name}");
        }
    }

    /// The group "size" of the case table, with the default limits.
    #[test]
    fn oversized_heads() {
        let target = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(200_000));
        let field = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(200_000));
        let fields = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(2000));
        let hundred = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(99));
        let hundred_one = format!(
            "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
            "X: y\r\n".repeat(100)
        );
        let limits = HeadLimits::default();
        assert_eq!(status_of(target.as_bytes(), &limits), Err(414));
        assert_eq!(status_of(field.as_bytes(), &limits), Err(431));
        assert_eq!(status_of(fields.as_bytes(), &limits), Err(431));
        assert_eq!(
            status_of(hundred.as_bytes(), &limits),
            Ok(Some(hundred.len()))
        );
        assert_eq!(status_of(hundred_one.as_bytes(), &limits), Err(431));
    }

    /// RUSTSEC-2023-0065: a long head is not looked at again from its start at each read.
    #[test]
    fn scanner_resumes_where_it_stopped() {
        let mut bytes = b"GET / HTTP/1.1\r\nX: ".to_vec();
        let mut scanner = HeadScanner::default();
        for _ in 0..16_000 {
            bytes.push(b'a');
            assert_eq!(scanner.scan(&bytes, &HeadLimits::default()), Ok(None));
            assert_eq!(scanner.seen, bytes.len());
        }
    }

    #[test]
    fn fields_are_found_in_any_case() {
        let raw = "GET /p?q HTTP/1.1\r\nHost: a:1\r\nX-A: 1\r\nx-a: 2\r\nCookie: a=1\r\n\
                   cookie: b=2\r\nOnly: one\r\nConnection: foo, Upgrade\r\nconnection:  Bar\r\n\r\n";
        with(raw, |head| {
            assert_eq!((head.method, head.target), ("GET", "/p?q"));
            assert_eq!((head.path(), head.query()), ("/p", Some("q")));
            assert_eq!(head.host(), "a:1");
            assert_eq!(head.header("x-A"), Some(&b"1"[..]));
            assert_eq!(head.header_str("X-a"), Some("1"));
            assert_eq!(head.header("X-B"), None);
            assert_eq!(head.all("X-A").collect::<Vec<_>>(), [b"1", b"2"]);
            assert_eq!(head.joined("X-A").as_deref(), Some(&b"1, 2"[..]));
            assert_eq!(head.joined("Cookie").as_deref(), Some(&b"a=1; b=2"[..]));
            assert!(matches!(head.joined("only"), Some(Cow::Borrowed(b"one"))));
            assert_eq!(head.joined("X-B"), None);
            for (option, want) in [
                ("upgrade", true),
                ("FOO", true),
                ("bar", true),
                ("up", false),
            ] {
                assert_eq!(head.has_option("Connection", option), want, "{option}");
            }
        });
        let absolute = "GET http://b:2/p HTTP/1.1\r\nHost: a\r\n\r\n";
        with(absolute, |head| {
            assert_eq!((head.host(), head.path()), ("b:2", "/p"))
        });
    }

    /// Tornado CVE-2025-67725: many fields of one name are joined in one pass. The result holds each
    /// byte once, so that the work is bounded by its length.
    #[test]
    fn repeated_fields_are_joined_once() {
        let line = format!("X: {}\r\n", "a".repeat(100));
        let raw = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", line.repeat(99));
        with(&raw, |head| {
            let joined = head.joined("x").expect("there are many");
            assert_eq!(joined.len(), 99 * 100 + 98 * 2);
        });
    }

    #[test]
    fn keeping_the_connection() {
        #[rustfmt::skip]
        let cases: &[(&str, &str, bool)] = &[
            ("1.1", "X: y", true),
            ("1.1", "Connection: close", false),
            ("1.1", "Connection: Close", false),
            ("1.1", "Connection: keep-alive, close", false),
            ("1.1", "Connection: keep-alive\r\nConnection: x,close", false),
            ("1.1", "Connection: closed", true),
            ("1.0", "X: y", false),
            ("1.0", "Connection: Keep-Alive", true),
            ("1.0", "Connection: keep-alive, close", false),
        ];
        for &(version, field, want) in cases {
            let raw = format!("GET / HTTP/{version}\r\nHost: a\r\n{field}\r\n\r\n");
            with(&raw, |head| {
                assert_eq!(head.keep_alive(), want, "{version} {field}")
            });
        }
    }
}
