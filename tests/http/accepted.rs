//! What is accepted, and what comes back.

use crate::support::{End, Rig};
use dustdevil::Settings;

struct Case {
    name: &'static str,
    input: &'static [u8],
    /// Status and body of each answer.
    want: &'static [(u16, &'static str)],
    /// Whether the server closes.
    closes: bool,
}

#[rustfmt::skip]
const CASES: &[Case] = &[
    Case { name: "plain", input: b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", want: &[(200, "hello")], closes: false },
    Case { name: "three in one segment", input: b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", want: &[(200, "hello"), (200, "hello"), (200, "hello")], closes: false },
    Case { name: "an empty line first", input: b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", want: &[(200, "hello")], closes: false },
    Case { name: "absolute form", input: b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", want: &[(200, "hello")], closes: false },
    Case { name: "two bodies in one segment", input: b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nAPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nB", want: &[(200, "A"), (200, "B")], closes: false },
    Case { name: "chunked, then a GET", input: b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", want: &[(200, "abc"), (200, "hello")], closes: false },
    Case { name: "GET with a body, then a GET", input: b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: a\r\n\r\n", want: &[(200, "hello"), (200, "hello")], closes: false },
    Case { name: "close", input: b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", want: &[(200, "hello")], closes: true },
    Case { name: "Close", input: b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", want: &[(200, "hello")], closes: true },
    Case { name: "keep-alive, close", input: b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, close\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", want: &[(200, "hello")], closes: true },
    Case { name: "1.0 with Host", input: b"GET / HTTP/1.0\r\nHost: a\r\n\r\n", want: &[(200, "hello")], closes: true },
    Case { name: "1.0 without Host", input: b"GET / HTTP/1.0\r\n\r\n", want: &[(200, "hello")], closes: true },
    Case { name: "1.0 keep-alive", input: b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", want: &[(200, "hello")], closes: false },
    Case { name: "1.0 with Expect", input: b"POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nhi", want: &[(200, "hi")], closes: true },
    Case { name: "chunked echo", input: b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", want: &[(200, "hello")], closes: false },
    Case { name: "chunk size A", input: b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n", want: &[(200, "0123456789")], closes: false },
    Case { name: "chunk size a", input: b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n", want: &[(200, "0123456789")], closes: false },
    Case { name: "leading zeros", input: b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0005\r\nhello\r\n000\r\n\r\n", want: &[(200, "hello")], closes: false },
    Case { name: "extension", input: b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b;c=\"d;e\"\r\nhello\r\n0\r\n\r\n", want: &[(200, "hello")], closes: false },
    Case { name: "trailer", input: b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n", want: &[(200, "hello")], closes: false },
    Case { name: "Chunked", input: b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", want: &[(200, "hello")], closes: false },
    Case { name: "empty value", input: b"GET / HTTP/1.1\r\nHost: a\r\nX:\r\n\r\n", want: &[(200, "hello")], closes: false },
    Case { name: "tabs around a value", input: b"GET / HTTP/1.1\r\nHost:\ta\t\r\n\r\n", want: &[(200, "hello")], closes: false },
    Case { name: "names in any case", input: b"GET / HTTP/1.1\r\nhOST: a\r\n\r\n", want: &[(200, "hello")], closes: false },
    Case { name: "value byte 0xe9", input: b"GET / HTTP/1.1\r\nHost: a\r\nX: \xe9\r\n\r\n", want: &[(200, "hello")], closes: false },
    Case { name: "no length, no body", input: b"POST / HTTP/1.1\r\nHost: a\r\n\r\n", want: &[(200, "")], closes: false },
    Case { name: "no route", input: b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n", want: &[(404, "404 Not Found\n")], closes: false },
    Case { name: "no such method here", input: b"PATCH / HTTP/1.1\r\nHost: a\r\n\r\n", want: &[(405, "")], closes: false },
];

#[test]
fn accepted_whole_and_in_pieces() {
    let mut rig = Rig::new(Settings::default());
    for case in CASES {
        for piece in [usize::MAX, 1, 7] {
            let client = rig.exchange(case.input, piece, false);
            let name = format!("{} in pieces of {piece}", case.name);
            let answers = client.answers(&[]);
            let got: Vec<(u16, &str)> = answers
                .iter()
                .map(|answer| (answer.status, std::str::from_utf8(&answer.body).unwrap()))
                .collect();
            assert_eq!(got, case.want, "{name}");
            assert_eq!(client.end, case.closes.then_some(End::Closed), "{name}");
            let last = answers.last().unwrap();
            let said = last.field("connection");
            let kept_10 = case.input.windows(8).any(|w| w == b"HTTP/1.0") && !case.closes;
            let want = if case.closes {
                Some("close")
            } else {
                kept_10.then_some("keep-alive")
            };
            assert_eq!(said, want, "{name}");
            assert!(last.field("date").is_some(), "{name}");
            assert_eq!(last.field("transfer-encoding"), None, "{name}");
        }
    }
    assert_eq!(rig.server.stats().unwrap().bad_requests, 0);
}

#[test]
fn eighty_fields() {
    let mut input = b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec();
    for n in 0..79 {
        input.extend_from_slice(format!("X-{n}: {n}\r\n").as_bytes());
    }
    input.extend_from_slice(b"\r\n");
    let mut rig = Rig::new(Settings::default());
    for piece in [usize::MAX, 1] {
        assert_eq!(rig.exchange(&input, piece, false).statuses(), [200]);
    }
}

#[test]
fn head_then_get() {
    let input = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut rig = Rig::new(Settings::default());
    for piece in [usize::MAX, 1] {
        let client = rig.exchange(input, piece, false);
        let answers = client.answers(&[0]);
        assert_eq!(answers.len(), 2);
        assert_eq!(answers[0].field("content-length"), Some("5"));
        assert_eq!(answers[1].body, b"hello");
    }
}

#[test]
fn expect_gets_a_100_while_nothing_of_the_body_has_come() {
    let mut rig = Rig::new(Settings::default());
    for expect in ["100-continue", "100-Continue"] {
        let head =
            format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: {expect}\r\n\r\n");
        let mut client = rig.exchange(head.as_bytes(), usize::MAX, false);
        assert_eq!(client.seen, b"HTTP/1.1 100 Continue\r\n\r\n");
        client.seen.clear();
        client.write(&mut rig, b"hi");
        rig.settle();
        client.look();
        assert_eq!(client.answers(&[])[0].body, b"hi");
        // With the body there is nothing to ask for.
        let client = rig.exchange(format!("{head}hi").as_bytes(), usize::MAX, false);
        assert_eq!(client.statuses(), [200]);
    }
}

#[test]
fn a_half_closed_client_gets_its_answer() {
    let mut rig = Rig::new(Settings::default());
    let close: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let keep: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for input in [close, keep] {
        for piece in [usize::MAX, 1] {
            let client = rig.exchange(input, piece, true);
            assert_eq!(
                (client.statuses(), client.end),
                (vec![200], Some(End::Closed))
            );
        }
    }
}

#[test]
fn any_prefix_of_a_head_waits() {
    let input = b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n";
    let mut rig = Rig::new(Settings::default());
    for cut in 0..input.len() {
        let client = rig.exchange(&input[..cut], usize::MAX, false);
        assert_eq!(
            (&client.seen[..], client.end),
            (&b""[..], None),
            "cut after {cut}"
        );
    }
}
