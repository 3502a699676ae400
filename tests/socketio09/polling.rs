//! xhr-polling: GETs that wait, POSTs that carry, and the framing of several packets.

use crate::support::*;
use dustdevil::SocketIoSettings;

#[test]
fn the_first_poll_says_that_it_is_open() {
    let (mut rig, script) = sio(Script::default());
    let sid = rig.shake();
    let answer = rig.get(&sid);
    assert_eq!((answer.status, &*answer.text()), (200, "1::"));
    assert_eq!(
        answer.field("Content-Type"),
        Some("text/plain; charset=UTF-8")
    );
    assert_eq!(answer.field("Content-Length"), Some("3"));
    assert_eq!(rig.stats().transports.xhr_polling, 1);
    rig.over(&script, ());
}

#[test]
fn a_poll_is_held_until_there_is_something() {
    let (mut rig, script) = sio(Script::default());
    let sid = rig.session();
    let mut poll = rig.hold(&sid);
    assert_eq!(rig.post(&sid, "3:::hello"), 200);
    let answer = poll.answer(&mut rig);
    assert_eq!((answer.status, &*answer.text()), (200, "3:::hello"));
    // The conn goes on.
    poll.write(&http("GET", &polls(&sid), "", b""));
    poll.silent(&mut rig);
    assert_eq!(rig.post(&sid, "3:::again"), 200);
    assert_eq!(poll.answer(&mut rig).text(), "3:::again");
    rig.over(&script, poll);
}

#[test]
fn a_poll_ends_after_a_while() {
    for seconds in [1, 20] {
        let (mut rig, script) = sio_of(
            Script::default(),
            SocketIoSettings {
                xhr_polling_timeout: secs(seconds),
                ..calm()
            },
        );
        let sid = rig.session();
        for _ in 0..3 {
            let mut poll = rig.hold(&sid);
            rig.pass(secs(seconds) - ms(300));
            poll.silent(&mut rig);
            rig.pass(ms(600));
            assert_eq!(poll.answer(&mut rig).text(), "8::");
        }
        assert!(script.closed().is_empty());
        rig.over(&script, ());
    }
}

#[test]
fn a_send() {
    let (mut rig, script) = sio(noting());
    let sid = rig.session();
    script.taken();
    let answer = rig.ask("POST", &polls(&sid), PLAIN, b"3:::hello");
    assert_eq!((answer.status, &*answer.text()), (200, "1"));
    assert_eq!(
        answer.field("Content-Type"),
        Some("text/plain; charset=UTF-8")
    );
    assert_eq!(answer.field("Content-Length"), Some("1"));
    assert_eq!(script.taken(), ["text hello"]);
    // Before the first poll, too: the session is open since its handshake.
    let other = rig.shake();
    assert_eq!(rig.post(&other, "3:::early"), 200);
    assert_eq!(script.taken(), ["open 1", "text early"]);
    rig.over(&script, ());
}

#[test]
fn packets_that_say_nothing() {
    let (mut rig, script) = sio(noting());
    let sid = rig.session();
    script.taken();
    for body in [
        "",
        "2::",
        "8::",
        "7:::1",
        "2",
        "8",
        "1::",
        "6:::1",
        "6:::77+[1]",
    ] {
        assert_eq!(rig.post(&sid, body), 200, "{body:?}");
    }
    assert!(script.taken().is_empty());
    assert_eq!(rig.post(&sid, "3:::x"), 200);
    assert_eq!(script.taken(), ["text x"]);
    rig.over(&script, ());
}

#[test]
fn messages_of_both_kinds() {
    let (mut rig, script) = sio(echo());
    let sid = rig.session();
    #[rustfmt::skip]
    let cases = [
        ("3:::hello",                            "3:::hello"),
        ("3:::",                                 "3:::"),
        ("3::",                                  "3:::"),
        ("3",                                    "3:::"),
        ("3:::a:b::c\r\nd",                      "3:::a:b::c\r\nd"),
        ("3:::\0\u{7f}\u{2028}</script>",        "3:::\0\u{7f}\u{2028}</script>"),
        ("4:::{\"j\":1}",                        "4:::{\"j\":1}"),
        ("4:::\"text\"",                         "4:::\"text\""),
        ("4:::null",                             "4:::null"),
        ("5:::{\"name\":\"e\",\"args\":[1]}",    "5:::{\"name\":\"e\",\"args\":[1]}"),
        ("5:::{\"name\":\"e\"}",                 "5:::{\"name\":\"e\"}"),
    ];
    for (sent, want) in cases {
        assert_eq!(rig.post(&sid, sent), 200, "{sent:?}");
        assert_eq!(rig.poll(&sid), want, "{sent:?}");
    }
    rig.over(&script, ());
}

/// Lengths count UTF-16 units, both ways.
#[test]
fn several_packets() {
    let texts = [
        "a",
        "é",
        "中",
        "😀",
        "",
        "é😀llo 中",
        "\u{fffd}7\u{fffd}",
        "x",
    ];
    let all: Vec<String> = texts.iter().map(|text| format!("3:::{text}")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let (mut rig, script) = sio(Script::default());
    let sid = rig.session();
    rig.push(&sid, &all);
    let answer = rig.poll(&sid);
    assert_eq!(packets(&answer), all);
    assert_eq!(answer, payload(&all));
    // The bytes of one of them.
    rig.push(&sid, &["3:::😀", "3:::é"]);
    assert_eq!(
        rig.get(&sid).body,
        b"\xef\xbf\xbd6\xef\xbf\xbd3:::\xf0\x9f\x98\x80\xef\xbf\xbd5\xef\xbf\xbd3:::\xc3\xa9"
    );
    rig.over(&script, ());
}

/// One packet may have a head when it comes; it has none when it goes.
#[test]
fn one_packet_with_a_head() {
    let (mut rig, script) = sio(Script::default());
    let sid = rig.session();
    assert_eq!(rig.post(&sid, &framed("3:::😀")), 200);
    assert_eq!(rig.poll(&sid), "3:::😀");
    rig.over(&script, ());
}

/// What can be read is taken, the rest dropped, and nobody is closed.
#[test]
fn broken_framing() {
    #[rustfmt::skip]
    let cases: &[(&str, &[&str])] = &[
        ("�9�3:::long",           &["3:::long"]),
        ("�5�3:::a�",             &["3:::a"]),
        ("�5�3:::a�7",            &["3:::a"]),
        ("�5�3:::a�x�3:::b",      &["3:::a"]),
        ("�x�3:::a",              &[]),
        ("�",                     &[]),
        ("��",                    &[]),
        ("�-1�3:::a",             &[]),
        ("�99999999999999999999999�3:::all", &["3:::all"]),
        ("�0��5�3:::a",           &["3:::a"]),
    ];
    let (mut rig, script) = sio(Script::default());
    let sid = rig.session();
    for &(body, want) in cases {
        assert_eq!(rig.post(&sid, body), 200, "{body:?}");
        rig.push(&sid, &["3:::end"]);
        let mut got = packets(&rig.poll(&sid));
        assert_eq!(got.pop().unwrap(), "3:::end");
        assert_eq!(got, want, "{body:?}");
    }
    assert!(script.closed().is_empty());
    rig.over(&script, ());
}

/// Clients that cannot set the type put this in front.
#[test]
fn the_prefix_of_cross_domain_requests() {
    let (mut rig, script) = sio(Script::default());
    let sid = rig.session();
    for (lines, want) in [("", "3:::x"), (PLAIN, "")] {
        let answer = rig.ask("POST", &polls(&sid), lines, b"data=3:::x");
        assert_eq!(answer.status, 200);
        rig.push(&sid, &["3:::end"]);
        let got = rig.poll(&sid);
        let want = if want.is_empty() {
            "3:::end".to_owned()
        } else {
            payload(&[want, "3:::end"])
        };
        assert_eq!(got, want, "{lines:?}");
    }
    rig.over(&script, ());
}

/// The new one takes over; the old one is finished, not left alone.
#[test]
fn a_second_poll() {
    let (mut rig, script) = sio(Script::default());
    let sid = rig.session();
    let mut first = rig.hold(&sid);
    let mut second = rig.hold(&sid);
    assert_eq!(first.answer(&mut rig).text(), "8::");
    assert_eq!(rig.post(&sid, "3:::x"), 200);
    assert_eq!(second.answer(&mut rig).text(), "3:::x");
    assert!(script.closed().is_empty());
    rig.over(&script, (first, second));
}

#[test]
fn what_was_queued_comes_in_one_payload() {
    let (mut rig, script) = sio(Script::default());
    let sid = rig.shake();
    rig.push(&sid, &["3:::a"]);
    rig.push(&sid, &["3:::b", "3:::c"]);
    assert_eq!(packets(&rig.poll(&sid)), ["1::", "3:::a", "3:::b", "3:::c"]);
    rig.over(&script, ());
}

/// Its client has gone: what comes now waits for the next one.
#[test]
fn a_poll_that_is_cut() {
    for reset in [true, false] {
        let (mut rig, script) = sio(Script::default());
        let sid = rig.session();
        let poll = rig.hold(&sid);
        if reset {
            poll.reset();
        } else {
            drop(poll);
        }
        rig.settle();
        assert!(script.closed().is_empty());
        assert_eq!(rig.post(&sid, "3:::x"), 200);
        assert_eq!(rig.poll(&sid), "3:::x");
        rig.over(&script, ());
    }
}

#[test]
fn over_http_1_0() {
    let (mut rig, script) = sio(Script::default());
    let sid = rig.shake();
    let mut client = rig.raw();
    client.write(format!("GET {} HTTP/1.0\r\n\r\n", polls(&sid)).as_bytes());
    let answer = client.answer(&mut rig);
    assert_eq!(
        (answer.text().as_str(), answer.field("Content-Length")),
        ("1::", Some("3"))
    );
    assert_eq!(client.rest(&mut rig), b"");
    rig.over(&script, client);
}

/// Counted are messages and events that come, not what the protocol says beside.
#[test]
fn what_is_counted() {
    let (mut rig, script) = sio(Script {
        message: Box::new(|_, cx, message| {
            if message.text() == Some("answer") {
                cx.send("a");
                cx.emit("b", ());
            }
        }),
        ..Script::default()
    });
    let sid = rig.session();
    rig.push(
        &sid,
        &[
            "2::",
            "8::",
            "3:1::x",
            "4:::1",
            "5:1+::{\"name\":\"x\"}",
            "6:::1",
        ],
    );
    let mut client = rig.attach(&sid);
    client.send("3:2::x");
    rig.settle();
    assert_eq!(rig.stats().messages_in, 4);
    let before = rig.stats().messages_out;
    client.send("3:::answer");
    rig.settle();
    client.reset();
    rig.settle();
    rig.push(&sid, &["3:::answer"]);
    let stats = rig.stats();
    // Each sends two, in both ways.
    assert_eq!((stats.messages_in, stats.messages_out - before), (6, 4));
    rig.over(&script, ());
}

/// A conn that is to be used once is closed behind the answer, when that comes.
#[test]
fn a_poll_on_a_conn_of_its_own() {
    let (mut rig, script) = sio(Script::default());
    let sid = rig.session();
    let mut poll = rig.start("GET", &polls(&sid), "Connection: close\r\n", b"");
    poll.silent(&mut rig);
    rig.push(&sid, &["3:::x"]);
    let answer = poll.answer(&mut rig);
    assert_eq!(
        (&*answer.text(), answer.field("Connection")),
        ("3:::x", Some("close"))
    );
    assert_eq!(poll.rest(&mut rig), b"");
    rig.push(&sid, &["3:::y"]);
    assert_eq!(rig.poll(&sid), "3:::y");
    rig.over(&script, poll);
}

/// Bodies and requests come in pieces.
#[test]
fn cut_at_every_byte() {
    let (mut rig, script) = sio(Script::default());
    let sid = rig.session();
    let body = payload(&["3:::é😀", "3:::b"]);
    let bytes = http("POST", &polls(&sid), PLAIN, body.as_bytes());
    for cut in (1..bytes.len()).rev().take(body.len() + 8) {
        let mut client = rig.raw();
        client.write(&bytes[..cut]);
        rig.turn();
        client.silent(&mut rig);
        client.write(&bytes[cut..]);
        assert_eq!(client.answer(&mut rig).text(), "1", "{cut}");
        assert_eq!(packets(&rig.poll(&sid)), ["3:::é😀", "3:::b"], "{cut}");
    }
    rig.over(&script, ());
}
