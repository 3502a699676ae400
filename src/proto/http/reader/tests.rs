//! Scripts for the reader: whole, and cut in every way.

use proptest::prelude::*;

use super::*;
use crate::proto::http::head::{Head, slots};

const AT: fn(u64) -> Instant = |s| Instant::from_nanos(s * 1_000_000_000);

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Event {
    /// Method, target, body.
    Request(String, String, Vec<u8>),
    Refused(u16),
}

/// A connection of the simplest kind: answers each request as soon as it is whole.
struct Conn {
    reader: Reader,
    events: Vec<Event>,
    limits: BodyLimits,
}

impl Conn {
    fn new() -> Self {
        Self {
            reader: Reader::new(Instant::START),
            events: Vec::new(),
            limits: BodyLimits::default(),
        }
    }

    fn feed(&mut self, piece: &[u8]) {
        let mut piece = piece.to_vec();
        let mut input = Input::new(&mut piece);
        loop {
            match self.step(&mut input) {
                Ok(true) => {}
                Ok(false) => break,
                Err(e) => {
                    self.events.push(Event::Refused(e.status()));
                    break;
                }
            }
        }
    }

    /// Whether there may be more.
    fn step(&mut self, input: &mut Input<'_>) -> Result<bool, Error> {
        let now = Instant::START;
        if self.reader.is_reading_body() {
            let Some(body) = self.reader.poll_body(input, now)? else {
                return Ok(false);
            };
            let head = self.reader.take_head();
            return self.answer(&head, &body);
        }
        let Some(raw) = self.reader.poll_head(input, &HeadLimits::default(), now)? else {
            return Ok(false);
        };
        let mut slots = slots();
        let framing = Head::parse(&raw, &mut slots)?.framing()?;
        self.reader.expect_body(framing, &self.limits, now)?;
        match self.reader.poll_body(input, now)? {
            Some(body) => self.answer(&raw, &body),
            None => {
                self.reader.keep_head(raw);
                Ok(false)
            }
        }
    }

    fn answer(&mut self, raw: &[u8], body: &[u8]) -> Result<bool, Error> {
        let mut slots = slots();
        let head = Head::parse(raw, &mut slots)?;
        let (method, target) = (head.method.to_owned(), head.target.to_owned());
        let request = Event::Request(method, target, body.to_vec());
        self.events.push(request);
        self.reader.finish(Instant::START);
        Ok(true)
    }
}

fn events_in_pieces(bytes: &[u8], piece: usize) -> Vec<Event> {
    let mut conn = Conn::new();
    for piece in bytes.chunks(piece.max(1)) {
        if matches!(conn.events.last(), Some(Event::Refused(_))) {
            break;
        }
        conn.feed(piece);
    }
    conn.events
}

/// The events of `bytes`, the same however they are cut.
fn events(bytes: &[u8]) -> Vec<Event> {
    let whole = events_in_pieces(bytes, bytes.len());
    for piece in 1..bytes.len().min(12) {
        assert_eq!(events_in_pieces(bytes, piece), whole, "pieces of {piece}");
    }
    for cut in 0..bytes.len() {
        let mut conn = Conn::new();
        conn.feed(&bytes[..cut]);
        if !matches!(conn.events.last(), Some(Event::Refused(_))) {
            conn.feed(&bytes[cut..]);
        }
        assert_eq!(conn.events, whole, "cut after {cut}");
    }
    whole
}

fn request(method: &str, target: &str, body: &str) -> Event {
    Event::Request(method.into(), target.into(), body.into())
}

#[test]
fn accepted_requests() {
    let get = request("GET", "/", "");
    let hello = request("POST", "/", "hello");
    #[rustfmt::skip]
    let cases: &[(&str, &str, &[Event])] = &[
        ("get", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", std::slice::from_ref(&get)),
        ("three", &"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3), &[get.clone(), get.clone(), get.clone()]),
        ("crlf first", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", std::slice::from_ref(&get)),
        ("four empty lines", "\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", std::slice::from_ref(&get)),
        ("crlf between", "GET / HTTP/1.1\r\nHost: a\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", &[get.clone(), get.clone()]),
        ("two posts", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nAPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nB",
            &[request("POST", "/", "A"), request("POST", "/", "B")]),
        ("chunked, get", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            &[request("POST", "/", "abc"), get.clone()]),
        // RUSTSEC-2020-0008: bodies on GET are read, not taken for the next request.
        ("get with body", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            &[request("GET", "/", "hello"), get.clone()]),
        ("post without length", "POST / HTTP/1.1\r\nHost: a\r\n\r\n", &[request("POST", "/", "")]),
        ("length 0", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", &[request("POST", "/", "")]),
        ("trailer", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n5;a=b;c=\"d;e\"\r\nhello\r\n0\r\nX-T: 1\r\n\r\n",
            std::slice::from_ref(&hello)),
    ];
    for &(name, bytes, want) in cases {
        assert_eq!(events(bytes.as_bytes()), want, "{name}");
    }
}

/// Whatever is refused, what stands behind it is not answered.
#[test]
fn refused_requests() {
    #[rustfmt::skip]
    let cases: &[(&str, &str, u16)] = &[
        ("five empty lines", "\r\n\r\n\r\n\r\n\r\n", 400),
        ("cr alone first",   "\rG", 400),
        ("lf first",         "\n", 400),
        ("both lengths",     "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("both, turned",     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n", 400),
        ("coding",           "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        ("too long",         "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n", 413),
        ("chunk too long",   "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n100001\r\n", 413),
        ("chunk size",       "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n", 400),
        ("lf in chunks",     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n", 400),
        ("version",          "GET / HTTP/2.0\r\n\r\n", 505),
        ("lf only",          "GET / HTTP/1.1\nHost: a\n\n", 400),
    ];
    for &(name, bytes, status) in cases {
        let behind = format!("{bytes}GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(
            events(behind.as_bytes()),
            [Event::Refused(status)],
            "{name}"
        );
    }
}

#[test]
fn nothing_is_read_after_an_error() {
    let mut reader = Reader::new(Instant::START);
    let mut bytes = *b"\x16GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut input = Input::new(&mut bytes);
    let limits = HeadLimits::default();
    assert!(reader.poll_head(&mut input, &limits, AT(0)).is_err());
    input.take(1);
    assert_eq!(reader.poll_head(&mut input, &limits, AT(0)), Ok(None));
    assert_eq!(reader.poll_timeout(&Timeouts::default()), None);
}

#[test]
fn whole_requests_are_not_copied() {
    let raw = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
    let mut bytes = [&raw[..], b"helloG"].concat();
    let mut input = Input::new(&mut bytes);
    let mut reader = Reader::new(AT(0));
    let head = reader.poll_head(&mut input, &HeadLimits::default(), AT(0));
    assert!(matches!(head, Ok(Some(Cow::Borrowed(head))) if head == raw));
    let framing = Framing::Length(5);
    assert_eq!(
        reader.expect_body(framing, &BodyLimits::default(), AT(0)),
        Ok(())
    );
    let body = reader.poll_body(&mut input, AT(0));
    assert!(matches!(body, Ok(Some(Cow::Borrowed(b"hello")))));
    assert_eq!(input.rest(), b"G", "the next request is left where it is");
    let next = reader.poll_head(&mut input, &HeadLimits::default(), AT(0));
    assert_eq!(
        (next, input.rest()),
        (Ok(None), &b"G"[..]),
        "until this one is finished"
    );
    assert_eq!(reader.partial.capacity() + reader.head.capacity(), 0);
}

/// rust-websocket RUSTSEC-2022-0035: memory grows with what came, never with the claim; and an idle
/// reader has given all of it back.
#[test]
fn memory_follows_the_bytes() {
    let limits = BodyLimits {
        body_bytes_max: u64::MAX,
        ..BodyLimits::default()
    };
    for (claim, bytes, framing) in [
        ("length", &b"hello"[..], Framing::Length(1 << 40)),
        ("chunk", b"ffffffffff\r\nhello", Framing::Chunked),
    ] {
        let mut reader = Reader::new(AT(0));
        let mut raw = *b"POST / HTTP/1.1\r\n\r\n";
        let head = reader.poll_head(&mut Input::new(&mut raw), &HeadLimits::default(), AT(0));
        reader.keep_head(head.unwrap().unwrap());
        reader.expect_body(framing, &limits, AT(0)).unwrap();
        let mut piece = bytes.to_vec();
        assert_eq!(
            reader.poll_body(&mut Input::new(&mut piece), AT(0)),
            Ok(None),
            "{claim}"
        );
        assert!(reader.partial.capacity() < 100, "{claim}");
        assert_eq!(reader.body_bytes_received(), bytes.len() as u64, "{claim}");
    }

    let mut conn = Conn::new();
    for b in b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" {
        conn.feed(&[*b]);
    }
    assert_eq!(conn.events, [request("POST", "/", "hello")]);
    assert!(conn.reader.is_idle());
    assert_eq!(
        conn.reader.partial.capacity() + conn.reader.head.capacity(),
        0
    );
}

fn feed_head(reader: &mut Reader, bytes: &[u8], now: Instant) -> bool {
    let mut bytes = bytes.to_vec();
    let mut input = Input::new(&mut bytes);
    let head = reader.poll_head(&mut input, &HeadLimits::default(), now);
    head.unwrap().is_some()
}

#[test]
fn a_head_has_ten_seconds_however_it_trickles() {
    let timeouts = Timeouts::default();
    let mut reader = Reader::new(AT(5));
    assert_eq!(reader.poll_timeout(&timeouts), Some(AT(15)));
    assert_eq!(reader.handle_timeout(AT(14), &timeouts), None);
    assert_eq!(
        reader.handle_timeout(AT(15), &timeouts),
        Some(Expired::Silent)
    );
    assert_eq!(reader.handle_timeout(AT(16), &timeouts), None, "once");

    let mut reader = Reader::new(AT(5));
    for (i, b) in b"GET / HTT".iter().enumerate() {
        assert!(!feed_head(&mut reader, &[*b], AT(5 + i as u64)));
        assert_eq!(reader.poll_timeout(&timeouts), Some(AT(15)));
    }
    let refused = Some(Expired::Refuse(Error::Timeout("head")));
    assert_eq!(reader.handle_timeout(AT(15), &timeouts), refused);
}

#[test]
fn the_next_request_may_be_waited_for_longer() {
    let timeouts = Timeouts::default();
    let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut reader = Reader::new(AT(0));
    assert!(feed_head(&mut reader, head, AT(1)));
    assert_eq!(reader.poll_timeout(&timeouts), None, "while it is handled");
    assert_eq!(reader.handle_timeout(AT(1000), &timeouts), None);
    reader.finish(AT(1000));
    assert_eq!(reader.poll_timeout(&timeouts), Some(AT(1075)));
    assert!(!feed_head(&mut reader, b"\r\n", AT(1010)));
    assert_eq!(
        reader.poll_timeout(&timeouts),
        Some(AT(1075)),
        "empty lines are no request"
    );
    assert!(!feed_head(&mut reader, b"G", AT(1074)));
    assert_eq!(reader.poll_timeout(&timeouts), Some(AT(1084)));

    let mut reader = Reader::new(AT(0));
    assert!(feed_head(&mut reader, head, AT(1)));
    reader.finish(AT(2));
    assert_eq!(
        reader.handle_timeout(AT(77), &timeouts),
        Some(Expired::Silent)
    );
}

#[test]
fn a_body_must_move_and_not_too_slowly() {
    let timeouts = Timeouts::default();
    let limits = BodyLimits::default();
    let mut reader = Reader::new(AT(0));
    assert!(feed_head(&mut reader, b"POST / HTTP/1.1\r\n\r\n", AT(0)));
    reader
        .expect_body(Framing::Length(1 << 20), &limits, AT(0))
        .unwrap();
    // Received by the end of a second, and the deadline after it, in milliseconds.
    #[rustfmt::skip]
    let script: &[(u64, usize, u64)] = &[
        (1,  1,          10_000), // nothing paid for beyond the first ten seconds
        (9,  20 * 1024,  20_000), // twenty seconds paid for
        (10, 1022,       20_999), // not quite one more
        (11, 30 * 1024,  41_000), // without a byte for thirty seconds, though 51 are paid for
        (12, 0,          41_000), // no bytes, no progress
    ];
    let ms = |n| AT(0) + Duration::from_millis(n);
    for &(at, bytes, deadline) in script {
        let mut piece = vec![b'x'; bytes];
        let body = reader.poll_body(&mut Input::new(&mut piece), AT(at));
        assert_eq!(body, Ok(None));
        let want = Some(ms(deadline));
        assert_eq!(
            reader.poll_timeout(&timeouts),
            want,
            "{bytes} bytes at {at}"
        );
        assert_eq!(reader.handle_timeout(ms(deadline - 1), &timeouts), None);
    }
    let refused = Some(Expired::Refuse(Error::Timeout("body")));
    assert_eq!(reader.handle_timeout(AT(41), &timeouts), refused);
}

#[test]
fn an_unread_body_ends_the_connection() {
    let mut reader = Reader::new(AT(0));
    assert!(feed_head(&mut reader, b"POST / HTTP/1.1\r\n\r\n", AT(0)));
    reader
        .expect_body(Framing::Length(5), &BodyLimits::default(), AT(0))
        .unwrap();
    reader.finish(AT(1));
    assert!(!feed_head(&mut reader, b"GET / HTTP/1.1\r\n\r\n", AT(1)));
    assert!(!reader.is_idle());
}

proptest! {
    /// Any sequence of these pieces gives the same events whole and cut anywhere.
    #[test]
    fn cuts_change_nothing(
        parts in proptest::collection::vec(proptest::sample::select(PARTS), 1..12),
        cuts in proptest::collection::vec(1usize..40, 1..40),
    ) {
        let bytes = parts.concat().into_bytes();
        let whole = events_in_pieces(&bytes, bytes.len());
        let mut conn = Conn::new();
        let mut rest = &bytes[..];
        for cut in cuts.iter().cycle() {
            if rest.is_empty() || matches!(conn.events.last(), Some(Event::Refused(_))) {
                break;
            }
            let (piece, more) = rest.split_at((*cut).min(rest.len()));
            conn.feed(piece);
            rest = more;
        }
        prop_assert_eq!(conn.events, whole);
    }

    /// No bytes whatever make it panic.
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        events_in_pieces(&bytes, 7);
    }
}

const PARTS: &[&str] = &[
    "GET / HTTP/1.1\r\n",
    "POST /a?b HTTP/1.1\r\n",
    "GET / HTTP/1.0\r\n",
    "Host: a\r\n",
    "Content-Length: 5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Connection: close\r\n",
    "\r\n",
    "\r\n",
    "\r",
    "\n",
    "hello",
    "5\r\nhello\r\n",
    "0\r\n\r\n",
    "0\r\nX: y\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
];
