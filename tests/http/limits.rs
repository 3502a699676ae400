//! Every limit of HTTP and of connections, just under and just over, on a clock set by hand.

use crate::support::{Client, End, Rig};
use dustdevil::{Settings, WebSocketLimits};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

const JUST_UNDER: Duration = Duration::from_millis(500);

fn rig(set: impl FnOnce(&mut Settings)) -> Rig {
    let mut settings = Settings::default();
    set(&mut settings);
    Rig::new(settings)
}

fn get(path_len: usize) -> Vec<u8> {
    let path = "a".repeat(path_len - 1);
    format!("GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes()
}

fn status(rig: &mut Rig, input: &[u8]) -> u16 {
    rig.exchange(input, usize::MAX, false).statuses()[0]
}

#[test]
fn request_line() {
    let mut rig = rig(|s| s.request_line_bytes_max = 100);
    // `GET ` and ` HTTP/1.1` are 13 bytes.
    assert_eq!(status(&mut rig, &get(87)), 404);
    assert_eq!(status(&mut rig, &get(88)), 414);
}

#[test]
fn head() {
    let mut rig = rig(|s| s.head_bytes_max = 200);
    let frame = b"GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n".len();
    let of = |n: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
            "y".repeat(n - frame)
        )
    };
    assert_eq!(status(&mut rig, of(200).as_bytes()), 200);
    assert_eq!(status(&mut rig, of(201).as_bytes()), 431);
}

#[test]
fn headers() {
    let mut rig = rig(|s| s.headers_max = 5);
    let of = |n: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
            "X: y\r\n".repeat(n - 1)
        )
    };
    assert_eq!(status(&mut rig, of(5).as_bytes()), 200);
    assert_eq!(status(&mut rig, of(6).as_bytes()), 431);
}

#[test]
fn body() {
    let mut rig = rig(|s| s.body_bytes_max = 20);
    for (path, max) in [("/", 20), ("/small", 10)] {
        for (n, want) in [(max, 200), (max + 1, 413)] {
            let body = "b".repeat(n);
            let known =
                format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {n}\r\n\r\n{body}");
            assert_eq!(status(&mut rig, known.as_bytes()), want, "{path} {n}");
            let chunked = format!(
                "POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{n:x}\r\n{body}\r\n0\r\n\r\n"
            );
            assert_eq!(
                status(&mut rig, chunked.as_bytes()),
                want,
                "{path} {n} chunked"
            );
        }
    }
}

#[test]
fn length_required() {
    let mut rig = rig(|_| ());
    assert_eq!(
        status(
            &mut rig,
            b"POST /exact HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\na"
        ),
        200
    );
    assert_eq!(
        status(&mut rig, b"POST /exact HTTP/1.1\r\nHost: a\r\n\r\n"),
        411
    );
    let chunked = b"POST /exact HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(status(&mut rig, chunked), 411);
}

/// Waits until just before `time`, sees that nothing happened, and goes past it.
fn expect_end(rig: &mut Rig, client: &mut Client, time: Duration) {
    rig.pass(time - JUST_UNDER);
    client.look();
    assert_eq!(client.end, None, "too early");
    rig.pass(JUST_UNDER + Duration::from_millis(500));
    client.look();
    assert_eq!(client.end, Some(End::Closed), "too late");
}

#[test]
fn header_timeout() {
    let mut rig = rig(|s| s.header_timeout = secs(3));
    // Nothing came: a silent close.
    let mut client = rig.client();
    expect_end(&mut rig, &mut client, secs(3));
    assert!(client.seen.is_empty());
    // Something came, and goes on coming: 408 all the same.
    let mut client = rig.client();
    client.write(&mut rig, b"GET / HT");
    rig.pass(secs(2));
    client.write(&mut rig, b"TP/1.1\r\n");
    expect_end(&mut rig, &mut client, secs(1));
    assert_eq!(client.statuses(), [408]);
    // A later request has its time from its first byte on.
    let mut client = rig.exchange(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", usize::MAX, false);
    rig.pass(secs(10));
    client.write(&mut rig, b"GET");
    expect_end(&mut rig, &mut client, secs(3));
    assert_eq!(client.statuses(), [200, 408]);
}

#[test]
fn keep_alive_timeout() {
    let mut rig = rig(|s| s.keep_alive_timeout = secs(4));
    let mut client = rig.exchange(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", usize::MAX, false);
    expect_end(&mut rig, &mut client, secs(4));
    assert_eq!(client.statuses(), [200]);
}

#[test]
fn body_timeout_and_rate() {
    let mut rig = rig(|s| s.body_timeout = secs(3));
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nx";
    let mut client = rig.exchange(head, usize::MAX, false);
    expect_end(&mut rig, &mut client, secs(3));
    assert_eq!(client.statuses(), [408]);
    // Progress counts, but not a byte every two seconds for ever.
    let mut client = rig.exchange(head, usize::MAX, false);
    for _ in 0..4 {
        rig.pass(secs(2));
        client.write(&mut rig, b"y");
    }
    client.look();
    assert_eq!(client.end, None);
    rig.pass(secs(2) + JUST_UNDER);
    client.look();
    assert_eq!(
        (client.statuses(), client.end),
        (vec![408], Some(End::Closed))
    );
}

/// The floor: a body that brings just enough lives, one a little slower does not; zero is no floor.
#[test]
fn body_rate_min() {
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n";
    for (name, floor, per_second, want) in [
        ("just over", 100, 101, None),
        ("just under", 100, 98, Some(408)),
        ("no floor", 0, 1, None),
    ] {
        let mut rig = rig(|s| {
            s.body_rate_min = floor;
            s.body_rate_after = secs(5);
        });
        let mut client = rig.exchange(head, usize::MAX, false);
        // What comes at once counts.
        client.write(&mut rig, &vec![b'x'; per_second]);
        for second in 1..=20 {
            rig.pass(secs(1));
            client.look();
            if second < 5 {
                assert!(client.seen.is_empty(), "{name}: it is not looked at yet");
            }
            if client.end.is_none() {
                client.write(&mut rig, &vec![b'x'; per_second]);
            }
        }
        rig.settle();
        client.look();
        assert_eq!(client.statuses().first().copied(), want, "{name}");
        assert_eq!(client.end.is_some(), want.is_some(), "{name}");
        if want.is_none() {
            let sent = 21 * per_second;
            client.write(&mut rig, &vec![b'x'; 100_000 - sent]);
            rig.settle();
            client.look();
            assert_eq!(client.statuses(), [200], "{name}");
        }
    }
}

/// An answer too large for the sockets between us, to a client that has not begun to read it.
fn unread(rig: &mut Rig) -> Client {
    let mut client = rig.client();
    let body = vec![b'x'; 16 << 20];
    let head = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    client.write(rig, &[head.as_bytes(), &body].concat());
    rig.settle();
    assert!(rig.server.stats().unwrap().bytes_queued > 0);
    client
}

#[test]
fn write_timeout() {
    let set = |s: &mut Settings| {
        s.write_timeout = secs(3);
        s.body_bytes_max = 16 << 20;
    };
    // Who takes nothing is dropped, and its answer with it.
    let mut rig = rig(set);
    let _client = unread(&mut rig);
    rig.pass(secs(3) - JUST_UNDER);
    assert_eq!(rig.server.stats().unwrap().conns_open, 1);
    rig.pass(JUST_UNDER + Duration::from_millis(250));
    let stats = rig.server.stats().unwrap();
    assert_eq!(
        (stats.conns_open, stats.write_timeouts, stats.bytes_queued),
        (0, 1, 0)
    );
    // Who takes a little now and then is not, however long it takes.
    let mut rig = self::rig(set);
    let mut client = unread(&mut rig);
    let mut piece = vec![0; 4 << 20];
    let mut took = 0;
    while rig.server.stats().unwrap().bytes_queued > 0 {
        rig.pass(secs(3) - JUST_UNDER);
        assert_eq!(rig.server.stats().unwrap().conns_open, 1, "after {took}");
        let mut n = 0;
        while n < piece.len() {
            match client.socket.read(&mut piece[n..]) {
                Ok(more) => n += more,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    break;
                }
            }
        }
        took += n;
        client.seen.extend_from_slice(&piece[..n]);
        rig.settle();
    }
    client.look();
    assert_eq!(client.answers(&[])[0].body.len(), 16 << 20);
    assert_eq!(rig.server.stats().unwrap().write_timeouts, 0);
}

#[test]
fn answer_timeout() {
    let mut rig = rig(|s| s.answer_timeout = secs(3));
    let mut client = rig.exchange(b"GET /never HTTP/1.1\r\nHost: a\r\n\r\n", usize::MAX, false);
    rig.pass(secs(2));
    client.look();
    assert!(client.seen.is_empty());
    rig.pass(secs(2));
    client.look();
    assert_eq!(client.statuses(), [503]);
}

#[test]
fn requests_per_conn() {
    let mut rig = rig(|s| s.requests_per_conn_max = 2);
    let input = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3);
    let client = rig.exchange(&input, usize::MAX, false);
    let answers = client.answers(&[]);
    assert_eq!(answers.len(), 2);
    assert_eq!(answers[0].field("connection"), None);
    assert_eq!(answers[1].field("connection"), Some("close"));
    assert_eq!(client.end, Some(End::Closed));
}

#[test]
fn keep_alive_off() {
    let mut rig = rig(|s| s.keep_alive = false);
    let client = rig.exchange(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", usize::MAX, false);
    assert_eq!(
        (client.statuses(), client.end),
        (vec![200], Some(End::Closed))
    );
}

#[test]
fn connections() {
    for set in [
        (|s: &mut Settings| s.connections_max = 2) as fn(&mut Settings),
        |s| s.connections_per_ip_max = 2,
    ] {
        let mut rig = rig(set);
        let held = [rig.client(), rig.client()];
        let mut over = rig.client();
        rig.settle();
        over.look();
        let answers = over.answers(&[]);
        assert_eq!(answers[0].status, 503);
        assert_eq!(answers[0].field("retry-after"), Some("1"));
        assert_eq!(over.end, Some(End::Closed));
        assert_eq!(rig.server.stats().unwrap().refused, 1);
        drop((held, over));
        rig.settle();
        assert_eq!(status(&mut rig, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), 200);
    }
}

#[test]
fn linger() {
    let mut rig = rig(|s| s.linger_timeout = secs(2));
    let bad = b"GET / HTTP/3.0\r\n\r\n";
    let mut client = rig.exchange(bad, usize::MAX, false);
    assert_eq!(client.statuses(), [505]);
    // We have shut down, and wait for the client to do so too, for a while.
    assert_eq!(rig.server.stats().unwrap().conns_open, 1);
    rig.pass(secs(2) - JUST_UNDER);
    assert_eq!(rig.server.stats().unwrap().conns_open, 1);
    rig.pass(secs(1));
    assert_eq!(rig.server.stats().unwrap().conns_open, 0);
    // Or until it has sent too much.
    client = rig.exchange(bad, usize::MAX, false);
    client.write(&mut rig, &[b'x'; 65_536]);
    rig.settle();
    assert_eq!(rig.server.stats().unwrap().conns_open, 1);
    client.write(&mut rig, b"x");
    rig.settle();
    assert_eq!(rig.server.stats().unwrap().conns_open, 0);
}

/// A body over the limit: the client may go on sending for a while, and then finds the answer.
#[test]
fn the_answer_to_a_body_over_the_limit_is_not_lost() {
    const LINGER: usize = 64 << 10;
    let known = b"POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n";
    let chunked = b"POST /small HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n";
    for (name, head) in [("known", &known[..]), ("chunked", chunked)] {
        for piece in [1000, 10_000, LINGER] {
            let mut rig = rig(|s| s.linger_bytes_max = LINGER);
            let mut client = rig.client();
            client.write(&mut rig, head);
            rig.settle();
            // It sends on without a look at what comes.
            // The line of the chunk's size counts too.
            let body = vec![b'x'; LINGER - 3];
            for piece in body.chunks(piece) {
                (&client.socket).write_all(piece).unwrap();
                rig.settle();
            }
            assert_eq!(rig.server.stats().unwrap().conns_open, 1, "{name}");
            client.look();
            assert_eq!(client.statuses(), [413], "{name}");
            let answer = &client.answers(&[])[0];
            assert_eq!(answer.field("connection"), Some("close"), "{name}");
            assert_eq!(client.end, Some(End::Closed), "{name}: not a reset");
            // Too much ends it.
            client.write(&mut rig, b"xxxx");
            rig.settle();
            assert_eq!(rig.server.stats().unwrap().conns_open, 0, "{name}");
        }
    }
}

#[test]
fn accepts_per_turn() {
    for max in [1, 3] {
        let mut rig = rig(|s| s.accepts_per_turn = max);
        let address = rig.server.local_addrs()[0].tcp().unwrap();
        let clients: Vec<_> = (0..5)
            .map(|_| TcpStream::connect(address).unwrap())
            .collect();
        rig.turn();
        assert_eq!(rig.server.stats().unwrap().conns_open, max as u64);
        rig.settle();
        assert_eq!(rig.server.stats().unwrap().conns_open, 5);
        drop(clients);
    }
}

#[test]
fn settings_out_of_range_are_refused_at_bind() {
    for settings in [
        Settings {
            head_bytes_max: 1,
            ..Settings::default()
        },
        Settings {
            write_low_bytes: 1 << 30,
            ..Settings::default()
        },
    ] {
        let server = dustdevil::SocketServer::new(()).unwrap().settings(settings);
        let error = server
            .bind("127.0.0.1:0")
            .err()
            .expect("out of range")
            .to_string();
        assert!(
            error.contains("Settings::") && error.contains("allowed is"),
            "{error}"
        );
    }
    assert!(
        WebSocketLimits {
            message_bytes_max: 0,
            ..Default::default()
        }
        .check()
        .is_err()
    );
}
