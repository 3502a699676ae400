//! Answers that are not there at once, and clients that send on, hang up, or do not read.

use crate::support::{Client, End, Rig};
use dustdevil::{Later, Response, Route, Routes, Sent, Settings, Streaming};
use std::cell::RefCell;
use std::io::{ErrorKind, Write};
use std::rc::Rc;
use std::time::Duration;

/// A server whose test holds what its handlers took.
struct Held {
    rig: Rig,
    laters: Rc<RefCell<Vec<Later<()>>>>,
    streams: Rc<RefCell<Vec<Streaming<()>>>>,
}

/// `/later` and `/stream` are answered by the test; `/` at once, with the number of bytes it was sent.
fn held(settings: Settings) -> Held {
    let laters: Rc<RefCell<Vec<Later<()>>>> = Rc::default();
    let streams: Rc<RefCell<Vec<Streaming<()>>>> = Rc::default();
    let (keep, keep_stream) = (Rc::clone(&laters), Rc::clone(&streams));
    let count = |req: &dustdevil::Request<'_>| Response::text(req.body().len().to_string());
    let routes = Routes::new()
        .route(Route::get("/", |_, _, reply| {
            reply.send(Response::text("hello"))
        }))
        .route(Route::post("/", move |req, _, reply| {
            reply.send(count(req))
        }))
        .route(Route::get("/later", move |_, _, reply| {
            keep.borrow_mut().push(reply.later());
        }))
        .route(Route::get("/stream", move |_, _, reply| {
            let stream = reply.stream(Response::text("one,"));
            keep_stream.borrow_mut().push(stream);
        }));
    Held {
        rig: Rig::with(settings, routes),
        laters,
        streams,
    }
}

impl Held {
    /// Answers the oldest request that waits.
    fn answer(&mut self) -> Sent {
        let later = self.laters.borrow_mut().remove(0);
        let text = Response::text("at last");
        let sent = self.rig.server.with_app(|app| later.send(&app.io, text));
        self.rig.settle();
        sent.unwrap()
    }

    /// Writes to the only stream.
    fn write(&mut self, bytes: &[u8]) -> Sent {
        let streams = self.streams.borrow();
        let sent = self.rig.server.with_app(|app| {
            // Both ways are the same.
            app.write(&streams[0], b"");
            streams[0].write(&app.io, bytes)
        });
        sent.unwrap()
    }

    fn end(&mut self) {
        let stream = self.streams.borrow_mut().remove(0);
        self.rig.server.with_app(|app| stream.end(&app.io)).unwrap();
        self.rig.settle();
    }
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes()
}

/// What came since the last time, as text.
fn news(client: &mut Client) -> String {
    client.look();
    String::from_utf8(std::mem::take(&mut client.seen)).unwrap()
}

// ---- Later ------------------------------------------------------------------------------------

/// A request that waits stops the reading: `head_bytes_max` and one read more, whatever is sent.
#[test]
fn reading_stops_behind_a_later() {
    const HEAD: usize = 16 << 10;
    const READ: usize = 256 << 10;
    let mut held = held(Settings {
        head_bytes_max: HEAD,
        ..Settings::default()
    });
    let mut client = held.rig.client();
    client.write(&mut held.rig, &get("/later"));
    held.rig.settle();
    let start = held.rig.server.stats().unwrap().bytes_in;
    let one = {
        let body = vec![b'x'; 60_000];
        let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n";
        [&head[..], &body].concat()
    };
    let mut sent = 0;
    let mut stands = 0;
    while stands < 20 && sent < 64 << 20 {
        match client.socket.write(&one[sent % one.len()..]) {
            Ok(n) => {
                sent += n;
                stands = 0;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                stands += 1;
            }
        }
        held.rig.turn();
    }
    assert!(sent < 64 << 20, "everything is read");
    let read = (held.rig.server.stats().unwrap().bytes_in - start) as usize;
    assert!((1..=HEAD + READ).contains(&read), "{read}");
    held.rig.pass(Duration::from_secs(10));
    let still = (held.rig.server.stats().unwrap().bytes_in - start) as usize;
    assert_eq!(still, read, "it stands still");

    // It goes on where it stopped, and nothing was lost.
    assert_eq!(held.answer(), Sent::Queued);
    let rest = (one.len() - sent % one.len()) % one.len();
    client.write(&mut held.rig, &one[one.len() - rest..]);
    held.rig.settle();
    client.look();
    let answers = client.answers(&[]);
    assert_eq!(answers[0].body, b"at last");
    assert_eq!(answers.len(), 1 + sent.div_ceil(one.len()));
    assert!(answers[1..].iter().all(|answer| answer.body == b"60000"));
}

/// Who has sent all that he will send still reads.
#[test]
fn half_closed_behind_a_later() {
    let mut held = held(Settings::default());
    // The last of the requests waits too, and one that is not whole is nobody's.
    #[rustfmt::skip]
    #[allow(clippy::type_complexity)]
    let cases: &[(&str, &[&str], &[u8], &[&str])] = &[
        ("alone",           &["/later"],                  b"",      &["at last"]),
        ("one more",        &["/later", "/"],             b"",      &["at last", "hello"]),
        ("two that wait",   &["/later", "/later", "/"],   b"",      &["at last", "at last", "hello"]),
        ("a broken-off one", &["/later", "/"],            b"GET /", &["at last", "hello"]),
    ];
    for &(name, paths, rest, want) in cases {
        let mut input: Vec<u8> = paths.iter().flat_map(|path| get(path)).collect();
        input.extend_from_slice(rest);
        let mut client = held.rig.exchange(&input, usize::MAX, true);
        assert!(client.seen.is_empty() && client.end.is_none(), "{name}");
        while !held.laters.borrow().is_empty() {
            assert_eq!(held.answer(), Sent::Queued, "{name}");
        }
        client.look();
        let answers = client.answers(&[]);
        let bodies: Vec<_> = answers
            .iter()
            .map(|answer| std::str::from_utf8(&answer.body).unwrap())
            .collect();
        assert_eq!(bodies, want, "{name}");
        assert_eq!(client.end, Some(End::Closed), "{name}");
    }
    held.rig.pass(Duration::from_secs(3));
    assert_eq!(held.rig.server.stats().unwrap().conns_open, 0);
}

/// An answer to somebody who has gone, and one that comes after its time.
#[test]
fn a_later_that_is_too_late() {
    let mut held = held(Settings::default());
    let mut client = held.rig.exchange(&get("/later"), usize::MAX, false);
    held.rig.pass(Duration::from_secs(61));
    client.look();
    assert_eq!(client.statuses(), [503]);
    // The next request waits on the same connection: the late answer is not taken for its own.
    client.write(&mut held.rig, &get("/later"));
    held.rig.settle();
    assert_eq!(held.answer(), Sent::Gone);
    assert_eq!(held.answer(), Sent::Queued);
    client.look();
    assert_eq!(client.statuses(), [503, 200]);

    let client = held.rig.exchange(&get("/later"), usize::MAX, false);
    let socket = socket2::Socket::from(client.socket);
    socket.set_linger(Some(Duration::ZERO)).unwrap();
    drop(socket);
    held.rig.settle();
    assert_eq!(held.answer(), Sent::Gone);
}

// ---- Streaming --------------------------------------------------------------------------------

/// Dropped, a stream ends as if it had been ended.
#[test]
fn a_dropped_stream_ends_its_body() {
    let mut held = held(Settings::default());
    let input = [get("/stream"), get("/")].concat();
    let mut client = held.rig.exchange(&input, usize::MAX, false);
    assert!(news(&mut client).ends_with("\r\n\r\n4\r\none,\r\n"));
    assert_eq!(held.write(b"two"), Sent::Queued);
    held.streams.borrow_mut().clear();
    held.rig.settle();
    let text = news(&mut client);
    let next = text.strip_prefix("3\r\ntwo\r\n0\r\n\r\n").expect(&text);
    assert!(next.starts_with("HTTP/1.1 200 OK\r\n") && next.ends_with("hello"));
    assert_eq!(client.end, None);

    // To HTTP/1.0 the end of the body is the end of the connection.
    let old = b"GET /stream HTTP/1.0\r\n\r\n";
    let mut client = held.rig.exchange(old, usize::MAX, false);
    assert_eq!(client.end, None);
    // From another thread too.
    let stream = held.streams.borrow_mut().remove(0);
    std::thread::spawn(move || drop(stream)).join().unwrap();
    held.rig.settle();
    assert!(news(&mut client).ends_with("\r\n\r\none,"));
    assert_eq!(client.end, Some(End::Closed));
}

/// HEAD is answered as GET is, without the body; the stream is nobody's then.
#[test]
fn a_stream_for_head() {
    let mut held = held(Settings::default());
    for ending in [Held::end as fn(&mut Held), |held| {
        held.streams.borrow_mut().clear()
    }] {
        let input = [&b"HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n"[..], &get("/")].concat();
        let mut client = held.rig.exchange(&input, usize::MAX, false);
        assert_eq!(held.write(b"two"), Sent::Gone);
        ending(&mut held);
        held.rig.settle();
        let text = news(&mut client);
        let (head, next) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("\r\nTransfer-Encoding: chunked"), "{head}");
        assert!(next.starts_with("HTTP/1.1 200 OK\r\n"), "{next}");
        assert!(next.ends_with("\r\n\r\nhello"), "{next}");
    }
}

/// `Full` to a peer that does not read, `Queued` when it has, and `Gone` at `write_max_bytes`.
#[test]
fn a_stream_for_a_peer_that_does_not_read() {
    const PIECE: usize = 32 << 10;
    const HIGH: usize = 128 << 10;
    const MAX: usize = 512 << 10;
    let mut held = held(Settings {
        write_high_bytes: HIGH,
        write_max_bytes: MAX,
        ..Settings::default()
    });
    let mut client = held.rig.exchange(&get("/stream"), usize::MAX, false);
    let piece = [b'x'; PIECE];
    let flood = |held: &mut Held, want: Sent| {
        for n in 1.. {
            let waiting = held.rig.server.stats().unwrap().bytes_queued as usize;
            let sent = held.write(&piece);
            if sent == want {
                return (n, waiting);
            }
            assert!(sent == Sent::Queued || want == Sent::Gone);
            assert!(n < 2000, "it never ends");
            held.rig.turn();
        }
        unreachable!()
    };
    let (written, waiting) = flood(&mut held, Sent::Full);
    assert!((HIGH - PIECE - 100..=HIGH).contains(&waiting), "{waiting}");
    // That piece was queued all the same.
    let mut seen = 0;
    while seen < written * PIECE {
        held.rig.settle();
        seen += news(&mut client).matches('x').count();
        assert_eq!(client.end, None);
    }
    assert_eq!(held.write(b"y"), Sent::Queued);

    let (_, waiting) = flood(&mut held, Sent::Gone);
    assert!((MAX..MAX + PIECE + 100).contains(&waiting), "{waiting}");
    held.rig.settle();
    let stats = held.rig.server.stats().unwrap();
    assert_eq!(
        (stats.overflows, stats.conns_open, stats.bytes_queued),
        (1, 0, 0)
    );
    assert_eq!(held.write(b"z"), Sent::Gone);
    // The client can tell that it is not whole.
    while client.end.is_none() {
        assert!(!news(&mut client).ends_with("0\r\n\r\n"));
    }
}

#[test]
fn a_stream_whose_peer_has_left() {
    let mut held = held(Settings::default());
    let client = held.rig.exchange(&get("/stream"), usize::MAX, false);
    assert_eq!(held.write(b"two"), Sent::Queued);
    drop(client);
    held.rig.settle();
    assert_eq!(held.write(b"three"), Sent::Gone);
    held.end();
    held.rig.pass(Duration::from_secs(3));
    assert_eq!(held.rig.server.stats().unwrap().conns_open, 0);
}

// ---- draining ---------------------------------------------------------------------------------

/// What is answered while draining says that the connection ends, and it does.
#[test]
fn draining_closes_after_the_answer_under_way() {
    let mut held = held(Settings::default());
    let body = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab";
    let mut waiting = held.rig.exchange(&get("/later"), usize::MAX, false);
    let mut sending = held.rig.exchange(body, usize::MAX, false);
    held.rig.server.drain(Duration::from_secs(60)).unwrap();
    held.rig.settle();
    assert_eq!(held.answer(), Sent::Queued);
    sending.write(&mut held.rig, b"cd");
    held.rig.settle();
    for (name, client) in [("waiting", &mut waiting), ("sending", &mut sending)] {
        client.look();
        let answer = &client.answers(&[])[0];
        assert_eq!(answer.status, 200, "{name}");
        assert_eq!(answer.field("connection"), Some("close"), "{name}");
        assert_eq!(client.end, Some(End::Closed), "{name}");
    }
    drop((waiting, sending));
    held.rig.settle();
    assert_eq!(held.rig.server.stats().unwrap().conns_open, 0);
}

/// A stream whose head went out before: it could not say so, and its connection ends with it.
#[test]
fn draining_closes_after_a_stream() {
    let mut held = held(Settings::default());
    let mut alone = held.rig.exchange(&get("/stream"), usize::MAX, false);
    held.rig.server.drain(Duration::from_secs(60)).unwrap();
    held.rig.settle();
    assert_eq!(held.write(b"two"), Sent::Queued);
    held.end();
    let text = news(&mut alone);
    assert!(text.ends_with("3\r\ntwo\r\n0\r\n\r\n"), "{text}");
    assert_eq!(alone.end, Some(End::Closed));
}

/// A request that waits behind such a stream is still answered.
#[test]
fn draining_answers_what_waits_behind_a_stream() {
    let mut held = held(Settings::default());
    let input = [get("/stream"), get("/")].concat();
    let mut client = held.rig.exchange(&input, usize::MAX, false);
    held.rig.server.drain(Duration::from_secs(60)).unwrap();
    held.rig.settle();
    held.end();
    let text = news(&mut client);
    let (_, next) = text.split_once("0\r\n\r\n").unwrap();
    assert!(next.contains("\r\nConnection: close\r\n"), "{next}");
    assert!(next.ends_with("hello"), "{next}");
    assert_eq!(client.end, Some(End::Closed));
}
