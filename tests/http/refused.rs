//! What is refused: the status, then the end, and nothing behind it is answered.

use crate::support::{End, Rig};
use dustdevil::Settings;

const HIDDEN: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// A request that differs from a good one in its fields.
fn fields(fields: &[u8]) -> Vec<u8> {
    [b"GET / HTTP/1.1\r\n", fields, b"\r\n"].concat()
}

/// A POST with these fields and this body.
fn post(fields: &[u8], body: &[u8]) -> Vec<u8> {
    [b"POST / HTTP/1.1\r\nHost: a\r\n", fields, b"\r\n", body].concat()
}

/// A chunked body, behind a good head.
fn chunked(body: &[u8]) -> Vec<u8> {
    post(b"Transfer-Encoding: chunked\r\n", body)
}

/// Status and input of each case; the input is followed by a request that must not be answered.
#[rustfmt::skip]
fn cases() -> Vec<(u16, Vec<u8>)> {
    let mut cases: Vec<(u16, Vec<u8>)> = Vec::new();
    for host in [&b""[..], b"Host: a\r\nHost: a\r\n", b"Host: a\r\nHost: b\r\n", b"Host: a b\r\n", b"Host: u@a\r\n", b"Host: a/b\r\n", b"Host: a, b\r\n"] {
        cases.push((400, fields(host)));
    }
    for name in [
        &b"Host: a\r\nX : y\r\n"[..], b"Host: a\r\nContent-Length : 2\r\n", b" X: y\r\nHost: a\r\n", b"Host: a\r\nX: y\r\n z\r\n",
        b"Host: a\r\nTransfer-Encoding:\r\n chunked\r\n", b"Host: a\r\nX y\r\n", b"Host: a\r\n: y\r\n", b"Host: a\r\nX\0: y\r\n",
        b"Host: a\r\nX[]: y\r\n", b"Host: a\r\nX\xe9: y\r\n",
    ] {
        cases.push((400, fields(name)));
    }
    for value in [&b"Host: a\r\nX: \0\r\n"[..], b"Host: a\r\nX: a\rb\r\n", b"Host: a\r\nX: \x07\r\n", b"Host: a\r\nX: \x7f\r\n"] {
        cases.push((400, fields(value)));
    }
    for lines in [
        &b"GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n"[..], b"GET / HTTP/1.1\r\nHost: a\r\n\rX: y\r\n\r\n", b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nUseless:\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        cases.push((400, lines.to_vec()));
    }
    for (status, line) in [
        (400, &b"GET /"[..]), (400, b"GET / "), (400, b"GET / http/1.1"), (400, b"GET / HTTP/1"), (400, b"GET / HTTP/1.10"), (505, b"GET / HTTP/2.0"),
        (505, b"GET / HTTP/9.9"), (400, b"GET  / HTTP/1.1"), (400, b"GET /  HTTP/1.1"), (400, b"GET\t/\tHTTP/1.1"), (400, b"GET / HTTP/1.1 "), (400, b" GET / HTTP/1.1"),
        (400, b"GET /a b HTTP/1.1"), (400, b"GET /\x01 HTTP/1.1"), (400, b"GET /\0 HTTP/1.1"), (400, b"G@T / HTTP/1.1"), (400, b"\x16\x03\x01\x02\x00\x01"), (400, b"\0\x01\x02GET / HTTP/1.1"),
        (501, b"BREW / HTTP/1.1"), (501, b"CONNECT a:443 HTTP/1.1"), (400, b"GET /#a HTTP/1.1"), (400, b"GET /%zz HTTP/1.1"), (400, b"GET /%00 HTTP/1.1"), (400, b"GET * HTTP/1.1"),
    ] {
        cases.push((status, [line, b"\r\nHost: a\r\n\r\n"].concat()));
    }
    for length in ["+2", "-2", "0x2", "1_0", "abc", "", "1 0", "2.0", "\u{ff12}", "18446744073709551618", "1, 2"] {
        cases.push((400, post(format!("Content-Length: {length}\r\n").as_bytes(), b"ab")));
    }
    cases.push((400, post(b"Content-Length: 1\r\nContent-Length: 2\r\n", b"ab")));
    cases.push((400, post(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n")));
    cases.push((400, post(b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n")));
    for (status, coding) in [
        (400, &b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"[..]), (400, b"Transfer-Encoding: chunked, chunked\r\n"),
        (400, b"Transfer-Encoding: identity\r\nContent-Length: 2\r\n"), (400, b"Transfer-Encoding: chunked, identity\r\n"), (501, b"Transfer-Encoding: gzip, chunked\r\n"),
        (400, b"Transfer-Encoding: xchunked\r\n"), (400, b"Transfer-Encoding: \x0bchunked\r\n"), (400, b"Transfer-Encoding: \xa0chunked\r\n"),
        (400, b"Transfer-Encoding: ,chunked\r\n"), (400, b"Transfer-Encoding: \"chunked\"\r\n"), (400, b"Transfer-Encoding:\r\nContent-Length: 2\r\n"),
    ] {
        cases.push((status, post(coding, b"0\r\n\r\n")));
    }
    cases.push((400, b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_vec()));
    for size in [
        &b"+5\r\nhello\r\n0\r\n\r\n"[..], b"-5\r\nhello\r\n0\r\n\r\n", b"0x5\r\nhello\r\n0\r\n\r\n", b"0_5\r\nhello\r\n0\r\n\r\n", b"\r\n\r\n", b"5zz\r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n", b"00000000000000005\r\nhello\r\n0\r\n\r\n", b"5\r\r;x\r\nhello\r\n0\r\n\r\n", b"5;a\rb\r\nhello\r\n0\r\n\r\n", b"5\nhello\r\n0\r\n\r\n",
        b"5\r\nhellox\r\n0\r\n\r\n", b"5\r\nhello\n0\r\n\r\n", b"5\r\nhelloxx0\r\n\r\n",
    ] {
        cases.push((400, chunked(size)));
    }
    cases.push((400, chunked(&[b"5;", &[b'a'; 300][..], b"\r\nhello\r\n0\r\n\r\n"].concat())));
    cases.push((417, post(b"Expect: tea\r\nContent-Length: 2\r\n", b"ab")));
    cases
}

fn refused(rig: &mut Rig, status: u16, input: &[u8], pieces: &[usize]) {
    let input = [input, HIDDEN].concat();
    let shown = input[..input.len().min(90)].escape_ascii().to_string();
    for &piece in pieces {
        let client = rig.exchange(&input, piece, false);
        let name = format!("{shown} in pieces of {piece}");
        let answers = client.answers(&[]);
        let got: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(got, [status], "{name}");
        assert_eq!(answers[0].field("connection"), Some("close"), "{name}");
        assert_eq!(answers[0].field("content-length"), Some("0"), "{name}");
        assert_eq!(client.end, Some(End::Closed), "{name}");
    }
}

#[test]
fn refused_whole_and_in_pieces() {
    let mut rig = Rig::new(Settings::default());
    let cases = cases();
    for (status, input) in &cases {
        refused(&mut rig, *status, input, &[usize::MAX, 1, 7]);
    }
    rig.settle();
    let stats = rig.server.stats().unwrap();
    assert_eq!(stats.bad_requests, 3 * cases.len() as u64);
    assert_eq!((stats.conns_open, stats.panics), (0, 0));
}

#[test]
fn too_large() {
    let mut rig = Rig::new(Settings::default());
    let long = "a".repeat(200_000);
    let many: String = (0..2000).map(|n| format!("X-{n}: y\r\n")).collect();
    #[rustfmt::skip]
    let cases = [
        (414, format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n")),
        (431, format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n")),
        (431, format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n")),
        (431, format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: {long}\r\n\r\n")),
    ];
    for (status, input) in &cases {
        refused(&mut rig, *status, input.as_bytes(), &[usize::MAX, 1]);
    }
}

/// A 413 reaches a client that still sends what nobody will read.
#[test]
fn an_early_answer_is_not_lost() {
    let mut rig = Rig::new(Settings::default());
    let mut input = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n".to_vec();
    input.resize(input.len() + 60_000, b'x');
    let client = rig.exchange(&input, 10_000, false);
    assert_eq!(
        (client.statuses(), client.end),
        (vec![413], Some(End::Closed))
    );
}
