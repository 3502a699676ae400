//! The life of a session as the application and its client see it.

use crate::support::*;
use dustdevil::{Cause, Connection, Deciding, Reject, Sent, Settings, SockJsSettings, Transport};
use std::cell::RefCell;
use std::rc::Rc;

const INTERRUPTED: &str = "c[1002,\"Connection interrupted\"]\n";

fn causes(script: &Script) -> Vec<(usize, Cause, u16)> {
    let closed = script.closed.borrow();
    closed
        .iter()
        .map(|(n, why)| (*n, why.cause, why.code))
        .collect()
}

/// Notes each opening with its transport.
fn noting() -> Script {
    Script {
        open: Box::new(|me, cx, req| {
            assert_eq!(req.transport(), Some(cx.transport()));
            me.script
                .note(format!("open {} {}", me.n, cx.transport().name()));
            Ok(())
        }),
        ..Script::default()
    }
}

// ---- opening and expiry ------------------------------------------------------------------------

const OVER_HTTP: [Transport; 5] = [
    Transport::XhrStreaming,
    Transport::Xhr,
    Transport::EventSource,
    Transport::HtmlFile,
    Transport::Jsonp,
];

#[test]
fn every_transport_opens_a_session() {
    for (at, transport) in OVER_HTTP.into_iter().enumerate() {
        let (mut rig, script) = sockjs(noting());
        let name = transport.name();
        let method = if name.starts_with("xhr") {
            "POST"
        } else {
            "GET"
        };
        let path = format!("/s/0/x/{name}?c=cb");
        let client = rig.start(method, &path, "", b"");
        assert_eq!(script.taken(), [format!("open 0 {name}")]);
        let stats = rig.stats();
        assert_eq!((stats.sessions_open, stats.connections_open), (1, 1));
        let counts = stats.transports;
        let all = [
            counts.xhr_streaming,
            counts.xhr,
            counts.eventsource,
            counts.htmlfile,
            counts.jsonp,
        ];
        assert_eq!(all.iter().sum::<u64>(), 1, "{name}");
        assert_eq!(all[at], 1, "{name}");
        rig.over(&script, client);
        assert_eq!(script.closed(), [0]);
    }
}

#[test]
fn a_session_keeps_to_the_transport_it_began_with() {
    let (mut rig, script) = sockjs(noting());
    rig.poll("x");
    let client = rig.stream("x");
    let stats = rig.stats().transports;
    assert_eq!((stats.xhr, stats.xhr_streaming), (1, 0));
    assert_eq!(script.taken(), ["open 0 xhr"]);
    rig.over(&script, client);
}

#[test]
fn it_expires() {
    let (mut rig, script) = sockjs(noting());
    rig.poll("x");
    rig.pass(ms(4750));
    assert!(script.closed().is_empty());
    rig.pass(ms(500));
    assert_eq!(causes(&script), [(0, Cause::Timeout, 1006)]);
    assert!(!script.last_reason().clean);
    // The id is free again.
    assert_eq!(rig.poll("x"), "o\n");
    assert_eq!(script.taken(), ["open 0 xhr", "open 1 xhr"]);
    rig.over(&script, ());
}

#[test]
fn a_poll_keeps_it() {
    let (mut rig, script) = sockjs(Script::default());
    rig.poll("x");
    for _ in 0..4 {
        rig.pass(secs(4));
        let mut client = rig.wait("x");
        rig.pass(secs(20));
        assert_eq!(rig.post("x", "[\"a\"]"), 204);
        assert_eq!(client.answer(&mut rig).text(), "a[\"a\"]\n");
    }
    assert!(script.closed().is_empty());
    rig.over(&script, ());
}

#[test]
fn heartbeats() {
    let of = mount(SockJsSettings {
        heartbeat_delay: secs(10),
        ..SockJsSettings::default()
    });
    let (mut rig, script) = sockjs_with(Script::default(), Settings::default(), of);
    rig.poll("x");
    let mut poll = rig.wait("x");
    rig.pass(ms(9900));
    poll.silent(&mut rig);
    rig.pass(ms(350));
    assert_eq!(poll.answer(&mut rig).text(), "h\n");
    let mut stream = rig.stream("x");
    for _ in 0..3 {
        rig.pass(ms(10_250));
        assert_eq!(stream.chunk(&mut rig).unwrap(), "h\n");
    }
    stream.silent(&mut rig);
    rig.over(&script, (poll, stream));
}

/// Time-outs of plain requests are not for receivers.
#[test]
fn a_receiver_outlives_the_times_of_requests() {
    let of = mount(SockJsSettings {
        heartbeat_delay: secs(300),
        ..SockJsSettings::default()
    });
    let settings = Settings {
        answer_timeout: secs(3),
        header_timeout: secs(10),
        keep_alive_timeout: secs(20),
        ..Settings::default()
    };
    let (mut rig, script) = sockjs_with(Script::default(), settings, of);
    rig.poll("x");
    rig.poll("y");
    // Their conns are there for a while: timers run.
    let (mut poll, mut stream) = (rig.raw(), rig.raw());
    rig.pass(secs(1));
    poll.write(&http("POST", "/s/0/x/xhr", "", b""));
    stream.write(&http("POST", "/s/0/y/xhr_streaming", "", b""));
    stream.head(&mut rig);
    stream.chunk(&mut rig);
    rig.pass(secs(100));
    poll.silent(&mut rig);
    stream.silent(&mut rig);
    assert_eq!(rig.post("x", "[\"a\"]"), 204);
    assert_eq!(rig.post("y", "[\"b\"]"), 204);
    assert_eq!(poll.answer(&mut rig).text(), "a[\"a\"]\n");
    assert_eq!(stream.chunk(&mut rig).unwrap(), "a[\"b\"]\n");
    rig.over(&script, (poll, stream));
}

#[test]
fn response_limit() {
    let of = mount(SockJsSettings {
        response_limit: 16,
        ..SockJsSettings::default()
    });
    let (mut rig, script) = sockjs_with(Script::default(), Settings::default(), of);
    let mut client = rig.stream("x");
    assert_eq!(client.chunk(&mut rig).unwrap(), "o\n");
    assert_eq!(rig.post("x", "[\"a\"]"), 204);
    assert_eq!(client.chunk(&mut rig).unwrap(), "a[\"a\"]\n");
    client.silent(&mut rig);
    assert_eq!(rig.post("x", "[\"b\"]"), 204);
    assert_eq!(client.chunk(&mut rig).unwrap(), "a[\"b\"]\n");
    client.ends(&mut rig);
    // The conn can be used again, and what came meanwhile is there.
    assert_eq!(rig.post("x", "[\"c\"]"), 204);
    client.write(&http("POST", "/s/0/x/xhr_streaming", "", b""));
    client.head(&mut rig);
    client.chunk(&mut rig);
    assert_eq!(client.chunk(&mut rig).unwrap(), "a[\"c\"]\n");
    rig.over(&script, client);
}

#[test]
fn streams_over_http_1_0() {
    for (transport, prelude) in [
        ("xhr_streaming", 2049),
        ("eventsource", 2),
        ("htmlfile?c=cb", 1029),
    ] {
        let of = mount(SockJsSettings {
            response_limit: 100,
            ..SockJsSettings::default()
        });
        let (mut rig, script) = sockjs_with(Script::default(), Settings::default(), of);
        let method = if transport == "xhr_streaming" {
            "POST"
        } else {
            "GET"
        };
        let mut client = rig.raw();
        let text = format!(
            "{method} /s/0/x/{transport} HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n"
        );
        client.write(text.as_bytes());
        let head = client.head(&mut rig);
        assert!(
            !head.contains("Transfer-Encoding") && !head.contains("Content-Length"),
            "{head}"
        );
        assert!(head.contains("Connection: close"), "{head}");
        let long = "x".repeat(100);
        assert_eq!(rig.post("x", &format!("[\"{long}\"]")), 204);
        let body = client.rest(&mut rig);
        let frames = String::from_utf8(body[prelude..].to_vec()).unwrap();
        assert!(frames.contains('o') && frames.contains(&long), "{frames}");
        // It has ended as it should: the session is there.
        assert_eq!(rig.post("x", "[\"next\"]"), 204);
        assert_eq!(rig.poll("x"), "a[\"next\"]\n");
        rig.over(&script, client);
    }
}

#[test]
fn polls_over_http_1_0() {
    let (mut rig, script) = sockjs(Script::default());
    for (line, kept) in [("", false), ("Connection: keep-alive\r\n", true)] {
        let mut client = rig.raw();
        let id = kept.to_string();
        let request = format!("POST /s/0/{id}/xhr HTTP/1.0\r\nContent-Length: 0\r\n{line}\r\n");
        client.write(request.as_bytes());
        let answer = client.answer(&mut rig);
        assert_eq!(answer.text(), "o\n");
        assert_eq!(answer.field("Content-Length"), Some("2"));
        let want = if kept { "keep-alive" } else { "close" };
        let got = answer.field("Connection").unwrap();
        assert!(got.eq_ignore_ascii_case(want), "{got}");
        if kept {
            client.silent(&mut rig);
        } else {
            assert_eq!(client.rest(&mut rig), b"");
        }
    }
    rig.over(&script, ());
}

// ---- receivers ---------------------------------------------------------------------------------

/// Rule 3: the second is told so, the first goes on.
#[test]
fn a_second_receiver() {
    let another = "c[2010,\"Another connection still open\"]";
    for first_is_a_poll in [true, false] {
        let (mut rig, script) = sockjs(Script::default());
        rig.poll("x");
        let mut first = match first_is_a_poll {
            true => rig.wait("x"),
            false => rig.stream("x"),
        };
        assert_eq!(rig.poll("x"), format!("{another}\n"));
        let answer = rig.ask("POST", "/s/0/x/xhr_streaming", "", b"");
        assert_eq!(answer.chunks[1..], [format!("{another}\n")]);
        let answer = rig.ask("GET", "/s/0/x/eventsource", "", b"");
        assert_eq!(answer.chunks[1..], [format!("data: {another}\r\n\r\n")]);
        let answer = rig.ask("GET", "/s/0/x/jsonp?c=cb", "", b"");
        assert_eq!(
            answer.text(),
            "/**/cb(\"c[2010,\\\"Another connection still open\\\"]\");\r\n"
        );
        first.silent(&mut rig);
        assert_eq!(rig.post("x", "[\"a\"]"), 204);
        let text = match first_is_a_poll {
            true => first.answer(&mut rig).text(),
            false => first.chunk(&mut rig).unwrap(),
        };
        assert_eq!(text, "a[\"a\"]\n");
        assert!(script.closed().is_empty());
        rig.over(&script, first);
    }
}

/// Rule 6: reset, or closed.
#[test]
fn an_aborted_receiver() {
    for reset in [true, false] {
        for streams in [true, false] {
            let (mut rig, script) = sockjs(Script::default());
            rig.poll("x");
            let client = match streams {
                true => rig.stream("x"),
                false => rig.wait("x"),
            };
            rig.pass(secs(1));
            if reset {
                client.reset();
            } else {
                drop(client);
            }
            rig.settle();
            assert_eq!(causes(&script), [(0, Cause::Lost, 1006)]);
            let stats = rig.stats();
            assert_eq!((stats.connections_open, stats.sessions_open), (0, 1));
            // Who comes back is told the truth, each time.
            assert_eq!(rig.poll("x"), INTERRUPTED);
            assert_eq!(rig.post("x", "[\"late\"]"), 204);
            rig.pass(secs(4));
            assert_eq!(rig.poll("x"), INTERRUPTED);
            rig.pass(ms(5250));
            assert_eq!(rig.poll("x"), "o\n");
            rig.over(&script, ());
            assert_eq!(script.closed(), [0, 1]);
        }
    }
}

/// Half of a TCP connection is closed: nobody will read there either.
#[test]
fn a_receiver_that_half_closes() {
    let (mut rig, script) = sockjs(Script::default());
    rig.poll("x");
    let client = rig.wait("x");
    client.finish();
    rig.settle();
    assert_eq!(causes(&script), [(0, Cause::Lost, 1006)]);
    rig.over(&script, client);
}

/// A client that goes after its poll was answered has lost nothing.
#[test]
fn a_conn_lost_between_polls_is_no_loss() {
    let (mut rig, script) = sockjs(Script::default());
    let mut client = rig.raw();
    client.write(&http("POST", "/s/0/x/xhr", "", b""));
    client.answer(&mut rig);
    client.reset();
    rig.settle();
    assert!(script.closed().is_empty());
    assert_eq!(rig.post("x", "[\"a\"]"), 204);
    assert_eq!(rig.poll("x"), "a[\"a\"]\n");
    rig.over(&script, ());
}

// ---- closing -----------------------------------------------------------------------------------

/// Rule 7, and what `close` without a reason says.
#[test]
fn the_application_closes() {
    let (mut rig, script) = sockjs(Script {
        message: Box::new(|_, cx, message| match message.text().unwrap() {
            "close" => cx.close(),
            "close with" => {
                cx.send("last");
                cx.close_with(3000, "Go away!");
                assert_eq!(cx.send("never"), Sent::Gone);
            }
            "bad code" => cx.close_with(5, &"é".repeat(100)),
            text => {
                cx.send(text);
            }
        }),
        ..Script::default()
    });
    rig.poll("a");
    assert_eq!(rig.post("a", "[\"close\"]"), 204);
    assert_eq!(causes(&script), [(0, Cause::Server, 1000)]);
    assert_eq!(rig.poll("a"), "c[1000,\"Normal closure\"]\n");
    assert_eq!(rig.poll("a"), "c[1000,\"Normal closure\"]\n");

    rig.poll("b");
    assert_eq!(rig.post("b", "[\"first\",\"close with\"]"), 204);
    assert_eq!(rig.poll("b"), "a[\"first\",\"last\"]\n");
    assert_eq!(rig.poll("b"), "c[3000,\"Go away!\"]\n");
    assert_eq!(causes(&script).last(), Some(&(1, Cause::Server, 3000)));
    assert!(script.last_reason().clean);

    let mut stream = rig.stream("c");
    assert_eq!(rig.post("c", "[\"close with\"]"), 204);
    assert_eq!(stream.chunk(&mut rig).unwrap(), "o\n");
    assert_eq!(stream.chunk(&mut rig).unwrap(), "a[\"last\"]\n");
    assert_eq!(stream.chunk(&mut rig).unwrap(), "c[3000,\"Go away!\"]\n");
    stream.ends(&mut rig);

    rig.poll("d");
    let mut poll = rig.wait("d");
    assert_eq!(rig.post("d", "[\"bad code\"]"), 204);
    let want = format!("c[1000,\"{}\"]\n", "é".repeat(61));
    assert_eq!(poll.answer(&mut rig).text(), want);
    rig.over(&script, (poll, stream));
    assert_eq!(script.closed(), [0, 1, 2, 3]);
}

/// Rule 7: the frame is kept while somebody asks for it, and 5 s longer.
#[test]
fn a_closed_session_is_kept_for_a_while() {
    let (mut rig, script) = sockjs(Script {
        message: Box::new(|_, cx, _| cx.close()),
        ..Script::default()
    });
    rig.poll("x");
    assert_eq!(rig.post("x", "[\"\"]"), 204);
    for _ in 0..3 {
        rig.pass(ms(4500));
        assert_eq!(rig.poll("x"), "c[1000,\"Normal closure\"]\n");
    }
    rig.pass(ms(5250));
    assert_eq!(rig.stats().sessions_open, 0);
    assert_eq!(script.closed(), [0]);
    rig.over(&script, ());
}

#[test]
fn closed_in_on_open() {
    let open = || Script {
        open: Box::new(|_, cx, _| {
            cx.send("hello");
            cx.close_with(3001, "enough");
            Ok(())
        }),
        ..Script::default()
    };
    let (mut rig, script) = sockjs(open());
    for frame in [
        "o\n",
        "a[\"hello\"]\n",
        "c[3001,\"enough\"]\n",
        "c[3001,\"enough\"]\n",
    ] {
        assert_eq!(rig.poll("x"), frame);
    }
    assert_eq!(causes(&script), [(0, Cause::Server, 3001)]);
    let answer = rig.ask("POST", "/s/0/y/xhr_streaming", "", b"");
    assert_eq!(
        answer.chunks[1..],
        ["o\n", "a[\"hello\"]\n", "c[3001,\"enough\"]\n"]
    );
    let mut client = rig.client("/s/0/z/websocket");
    let frames = client.frames(&mut rig);
    let texts: Vec<String> = frames[..3].iter().map(Frame::text).collect();
    assert_eq!(texts, ["o", "a[\"hello\"]", "c[3001,\"enough\"]"]);
    assert_eq!(frames[3].code(), Some(1000));
    rig.over(&script, client);
    assert_eq!(script.closed(), [0, 1, 2]);
}

/// The table of `Reject`: a client sees it open, then closed. `on_close` does not run.
#[test]
fn refused_in_on_open() {
    type Refusal = fn() -> Reject;
    #[rustfmt::skip]
    let cases: &[(Refusal, &str)] = &[
        (|| Reject::from("members only"),                        "c[4403,\"members only\"]"),
        (|| Reject::status(401),                                 "c[4401,\"\"]"),
        (|| Reject::status(200),                                 "c[4403,\"\"]"),
        (|| Reject::status(503).body("later"),                   "c[4503,\"later\"]"),
        (|| Reject::status(403).body(vec![0xff]),                "c[4403,\"\"]"),
        (|| Reject::json(&serde_json::json!({"no": 1})),         "c[4403,\"{\\\"no\\\":1}\"]"),
        (|| Reject::close(4000, "full"),                         "c[4000,\"full\"]"),
        (|| Reject::close(1008, "x".repeat(200)),                "c[1008,\"#\"]"),
        (|| Reject::close(5, "odd"),                             "c[1008,\"odd\"]"),
    ];
    for &(refusal, frame) in cases {
        let frame = &*frame.replace('#', &"x".repeat(123));
        let (mut rig, script) = sockjs(Script {
            open: Box::new(move |_, cx, _| {
                cx.send("never seen");
                cx.join("room");
                Err(refusal())
            }),
            ..Script::default()
        });
        assert_eq!(rig.poll("x"), "o\n");
        assert_eq!(rig.post("x", "[\"a\"]"), 204);
        for _ in 0..2 {
            assert_eq!(rig.poll("x"), format!("{frame}\n"));
        }
        let answer = rig.ask("POST", "/s/0/y/xhr_streaming", "", b"");
        assert_eq!(answer.chunks[1..], ["o\n".to_owned(), format!("{frame}\n")]);
        let mut client = rig.client("/s/0/z/websocket");
        assert_eq!(client.text(&mut rig), "o");
        assert_eq!(client.text(&mut rig), frame);
        assert_eq!(client.close_code(&mut rig), Some(1000));
        let stats = rig.stats();
        assert_eq!(
            (stats.rejected, stats.connections_opened, stats.bytes_queued),
            (3, 0, 0)
        );
        rig.over(&script, client);
        assert!(script.closed().is_empty());
    }
}

/// What goes with the answer of the handshake goes with the first answer of the session.
#[test]
fn headers_from_on_open() {
    let (mut rig, script) = sockjs(Script {
        open: Box::new(|me, cx, _| {
            assert!(cx.set_header("X-Open", "yes"));
            assert!(!cx.set_header("X-Bad", "a\r\nb"));
            match me.n {
                0 => Ok(()),
                _ => Err(Reject::from("no").header("X-Refused", "yes")),
            }
        }),
        ..Script::default()
    });
    let answer = rig.ask("POST", "/s/0/x/xhr", "", b"");
    assert_eq!(answer.field("X-Open"), Some("yes"));
    assert_eq!(rig.post("x", "[\"a\"]"), 204);
    let answer = rig.ask("POST", "/s/0/x/xhr", "", b"");
    assert_eq!(answer.field("X-Open"), None);
    let answer = rig.ask("POST", "/s/0/y/xhr", "", b"");
    assert_eq!(answer.field("X-Open"), Some("yes"));
    assert_eq!(answer.field("X-Refused"), Some("yes"));
    let mut client = rig.raw();
    client.write(request("/s/0/z/websocket", "").as_bytes());
    let head = client.head(&mut rig);
    assert!(
        head.contains("X-Open: yes\r\n") && head.contains("X-Refused: yes\r\n"),
        "{head}"
    );
    rig.over(&script, client);
}

// ---- deciding later ----------------------------------------------------------------------------

type Later = Rc<RefCell<Option<Deciding<Probe>>>>;

/// Puts each decision off, and into the shelf.
fn undecided() -> (Script, Later) {
    let shelf = Later::default();
    let put = Rc::clone(&shelf);
    let script = Script {
        open: Box::new(move |_, cx, _| {
            cx.send("early");
            put.replace(Some(cx.decide_later()));
            Ok(())
        }),
        message: Box::new(|me, cx, message| {
            me.script.note(message.text().unwrap());
            cx.send(message);
        }),
        ..Script::default()
    };
    (script, shelf)
}

fn take(shelf: &Later) -> Deciding<Probe> {
    shelf.take().expect("nobody asked")
}

#[test]
fn accepted_later() {
    let (script, shelf) = undecided();
    let (mut rig, script) = sockjs(script);
    let mut poll = rig.wait("x");
    // Heartbeats are not due yet, a second receiver is one too many, messages wait.
    rig.pass(secs(30));
    poll.silent(&mut rig);
    assert!(rig.poll("x").starts_with("c[2010,"));
    assert_eq!(rig.post("x", "[\"a\",\"b\"]"), 204);
    assert!(script.taken().is_empty());
    assert_eq!(rig.stats().connections_open, 0);
    take(&shelf).accept(|me, cx| {
        me.script.note("accepted");
        cx.send("late");
    });
    assert_eq!(poll.answer(&mut rig).text(), "o\n");
    rig.settle();
    assert_eq!(script.taken(), ["accepted", "a", "b"]);
    assert_eq!(rig.poll("x"), "a[\"early\",\"late\",\"a\",\"b\"]\n");
    rig.over(&script, poll);
    assert_eq!(script.closed(), [0]);
}

#[test]
fn refused_later() {
    for (number, frame) in [
        (0, "c[4403,\"no\"]\n"),
        (1, "c[4503,\"\"]\n"),
        (2, "c[4503,\"\"]\n"),
    ] {
        let (script, shelf) = undecided();
        let (mut rig, script) = sockjs(script);
        let mut poll = rig.wait("x");
        assert_eq!(rig.post("x", "[\"a\"]"), 204);
        match number {
            0 => take(&shelf).refuse(Reject::from("no")),
            1 => drop(take(&shelf)),
            // Nobody ever decides.
            _ => rig.pass(secs(61)),
        }
        assert_eq!(poll.answer(&mut rig).text(), "o\n");
        assert_eq!(rig.poll("x"), frame);
        assert!(script.taken().is_empty());
        rig.over(&script, poll);
        // It is too late now.
        if let Some(late) = shelf.take() {
            late.accept(|_, _| panic!("nobody is there"));
            rig.settle();
        }
        assert!(script.closed().is_empty());
    }
}

#[test]
fn the_client_goes_while_it_is_undecided() {
    for streams in [false, true] {
        let (script, shelf) = undecided();
        let (mut rig, script) = sockjs(script);
        let client = match streams {
            false => rig.wait("x"),
            true => rig.stream("x"),
        };
        assert_eq!(rig.post("x", "[\"a\"]"), 204);
        client.reset();
        rig.settle();
        take(&shelf).accept(|_, _| panic!("nobody is there"));
        rig.settle();
        assert_eq!(rig.stats().connections_open, 0);
        rig.pass(secs(60));
        rig.over(&script, ());
        assert!(script.closed().is_empty() && script.taken().is_empty());
        assert_eq!(rig.stats().panics, 0);
    }
}

/// A send that waits for room in the inbox is answered when the session is decided, whichever way.
#[test]
fn a_send_waits_for_the_decision() {
    for accepted in [true, false] {
        let (script, shelf) = undecided();
        let settings = Settings {
            inbox_max: 2,
            ..Settings::default()
        };
        let (mut rig, script) = sockjs_with(script, settings, Default::default());
        let poll = rig.wait("x");
        let mut send = rig.start("POST", "/s/0/x/xhr_send", "", b"[\"a\",\"b\",\"c\"]");
        send.silent(&mut rig);
        match accepted {
            true => take(&shelf).accept(|_, _| {}),
            false => take(&shelf).refuse(Reject::from("no")),
        }
        assert_eq!(send.answer(&mut rig).status, 204, "{accepted}");
        rig.over(&script, (poll, send));
    }
}

// ---- ordered -----------------------------------------------------------------------------------

/// Works elsewhere on `hold` until it is told that this is done.
fn slow() -> (Script, Rc<RefCell<Vec<dustdevil::Ordered<Probe>>>>) {
    let shelf: Rc<RefCell<Vec<_>>> = Rc::default();
    let put = Rc::clone(&shelf);
    let script = Script {
        message: Box::new(move |me, cx, message| {
            let text = message.text().unwrap();
            me.script.note(text);
            if text.starts_with("hold") {
                put.borrow_mut().push(cx.ordered());
            }
        }),
        ..Script::default()
    };
    (script, shelf)
}

#[test]
fn ordered_holds_messages() {
    let (script, shelf) = slow();
    let (mut rig, script) = sockjs(script);
    rig.poll("x");
    assert_eq!(rig.post("x", "[\"hold\",\"a\"]"), 204);
    assert_eq!(rig.post("x", "[\"b\",\"hold 2\",\"c\"]"), 204);
    assert_eq!(script.taken(), ["hold"]);
    let first = shelf.borrow_mut().pop().unwrap();
    first.finish(|me, cx| {
        me.script.note("done");
        cx.send("done");
    });
    rig.settle();
    assert_eq!(script.taken(), ["done", "a", "b", "hold 2"]);
    assert_eq!(rig.poll("x"), "a[\"done\"]\n");
    shelf.borrow_mut().clear();
    rig.settle();
    assert_eq!(script.taken(), ["c"]);
    // Each was handed over once.
    assert_eq!(rig.stats().messages_in, 5);
    rig.over(&script, ());
}

#[test]
fn a_full_inbox_parks_the_send() {
    let (script, shelf) = slow();
    let settings = Settings {
        inbox_max: 2,
        ..Settings::default()
    };
    let (mut rig, script) = sockjs_with(script, settings, Default::default());
    rig.poll("x");
    assert_eq!(rig.post("x", "[\"hold\",\"a\"]"), 204);
    let mut send = rig.start("POST", "/s/0/x/xhr_send", "", b"[\"b\"]");
    send.silent(&mut rig);
    // Another one would be more than can wait.
    assert_eq!(rig.post("x", "[\"c\"]"), 503);
    shelf.borrow_mut().clear();
    assert_eq!(send.answer(&mut rig).status, 204);
    assert_eq!(rig.post("x", "[\"d\"]"), 204);
    let taken = script.taken();
    assert_eq!(taken[..3], ["hold", "a", "b"]);
    assert_eq!(taken.last().unwrap(), "d");
    // On jsonp it says `ok`.
    assert_eq!(rig.post("x", "[\"hold\",\"a\"]"), 204);
    let mut jsonp = rig.start("POST", "/s/0/x/jsonp_send", "", b"[\"b\"]");
    jsonp.silent(&mut rig);
    shelf.borrow_mut().clear();
    assert_eq!(jsonp.answer(&mut rig).text(), "ok");
    rig.over(&script, (send, jsonp));
}

/// The session ends while a send waits: it is answered all the same.
#[test]
fn a_parked_send_outlives_its_session() {
    for how in ["expires", "is closed", "is cut"] {
        let (script, shelf) = slow();
        let settings = Settings {
            inbox_max: 1,
            ..Settings::default()
        };
        let (mut rig, script) = sockjs_with(script, settings, Default::default());
        rig.poll("x");
        let mut poll = Some(rig.wait("x"));
        let mut send = rig.start("POST", "/s/0/x/xhr_send", "", b"[\"hold\",\"a\"]");
        send.silent(&mut rig);
        match how {
            "expires" => {
                let id = script.id(0);
                rig.server.with_app(|app| app.to(id).send("x")).unwrap();
                rig.settle();
                rig.pass(ms(5250));
            }
            "is closed" => {
                let id = script.id(0);
                rig.server.with_app(|app| app.to(id).close()).unwrap();
            }
            _ => poll.take().unwrap().reset(),
        }
        rig.settle();
        assert_eq!(script.closed(), [0], "it {how}");
        assert_eq!(send.answer(&mut rig).status, 204, "it {how}");
        shelf.borrow_mut().clear();
        rig.over(&script, (send, poll));
        assert_eq!(script.taken(), ["hold"]);
    }
}

// ---- panics ------------------------------------------------------------------------------------

#[test]
fn a_panic_closes_that_session_only() {
    quiet_panics();
    let (mut rig, script) = sockjs(Script {
        open: Box::new(|_, _, req| match req.path().contains("bad") {
            true => panic!("{}", MEANT),
            false => Ok(()),
        }),
        message: Box::new(|me, cx, message| {
            me.script.note(message.text().unwrap());
            match message.text().unwrap() {
                "panic" => panic!("{}", MEANT),
                text => cx.send(text),
            };
        }),
        ..Script::default()
    });
    rig.poll("x");
    rig.poll("y");
    let answer = rig.ask("POST", "/s/0/x/xhr_send", "", b"[\"a\",\"panic\",\"b\"]");
    assert_eq!((answer.status, answer.field("Content-Type")), (500, None));
    assert_eq!(script.taken(), ["a", "panic"]);
    assert_eq!(causes(&script), [(0, Cause::Error, 1011)]);
    assert_eq!(rig.poll("x"), "a[\"a\"]\n");
    assert_eq!(rig.poll("x"), "c[1011,\"internal error\"]\n");
    assert_eq!(rig.post("x", "[\"late\"]"), 204);
    assert_eq!(rig.post("y", "[\"alive\"]"), 204);
    assert_eq!(rig.poll("y"), "a[\"alive\"]\n");
    assert_eq!(rig.poll("bad"), "o\n");
    assert_eq!(rig.poll("bad"), "c[1011,\"internal error\"]\n");
    assert_eq!(rig.stats().panics, 2);
    rig.over(&script, ());
    assert_eq!(script.closed(), [0, 1]);
}

/// Somebody else's panic is not the sender's.
#[test]
fn a_panic_of_another_session() {
    quiet_panics();
    let (mut rig, script) = sockjs(Script {
        message: Box::new(|me, cx, _| {
            cx.to(me.script.id(1)).close_with(3000, "thrown out");
        }),
        close: Box::new(|me, _, _| {
            if me.n == 1 {
                panic!("{}", MEANT);
            }
        }),
        ..Script::default()
    });
    rig.poll("x");
    rig.poll("y");
    assert_eq!(rig.post("x", "[\"a\"]"), 204);
    assert_eq!(script.closed(), [1]);
    assert_eq!(rig.poll("y"), "c[3000,\"thrown out\"]\n");
    rig.over(&script, ());
}

#[test]
fn a_panic_while_it_is_made() {
    quiet_panics();
    #[derive(Default)]
    struct Never;
    impl Connection for Never {
        type State = World;
    }
    let router = dustdevil::Router::<Never>::with(|_| panic!("{}", MEANT));
    let routes = dustdevil::Routes::new().sockjs("/s", &router, Default::default());
    let mut rig = Rig::new(World::new(), Settings::default(), routes);
    let answer = rig.ask("POST", "/s/0/x/xhr", "", b"");
    assert_eq!(answer.status, 500);
    assert_eq!(answer.field("Access-Control-Allow-Origin"), Some("*"));
    assert_eq!(rig.stats().sessions_open, 0);
    rig.over(&Script::default(), ());
}

// ---- sending -----------------------------------------------------------------------------------

#[test]
fn what_cannot_be_sent() {
    let (mut rig, script) = sockjs(Script {
        open: Box::new(|_, cx, _| {
            assert_eq!(cx.send(b"binary"), Sent::Unsupported);
            Ok(())
        }),
        message: Box::new(|me, cx, _| {
            let sent = [cx.send(b"binary"), cx.send(vec![1_u8]), cx.ping(b"")];
            me.script.note(format!("{sent:?}"));
            assert_eq!(cx.send("text"), Sent::Queued);
            assert_eq!(cx.dialect(), dustdevil::Dialect::SockJs);
        }),
        ..Script::default()
    });
    rig.poll("x");
    assert_eq!(rig.post("x", "[\"\"]"), 204);
    assert_eq!(rig.poll("x"), "a[\"text\"]\n");
    assert_eq!(script.taken(), ["[Unsupported, Unsupported, Unsupported]"]);
    assert_eq!(rig.stats().unsupported, 3);
    let mut client = rig.client("/s/0/y/websocket");
    client.send("\"\"");
    let frames = client.frames(&mut rig);
    assert_eq!(frames[0].text(), "o");
    assert_eq!(frames[1].head, 0x89);
    assert_eq!(frames[2].text(), "a[\"text\"]");
    assert_eq!(script.taken(), ["[Unsupported, Unsupported, Queued]"]);
    rig.over(&script, client);
}

#[test]
fn json_is_a_text() {
    let (mut rig, script) = sockjs(Script {
        message: Box::new(|_, cx, message| {
            cx.send(dustdevil::Json(vec![1, 2]));
            cx.send(dustdevil::RawJson("{\"a\":\"\u{2028}\"}"));
            cx.send(message);
        }),
        ..Script::default()
    });
    rig.poll("x");
    assert_eq!(rig.post("x", "[{\"b\": 1}]"), 204);
    let want = "a[\"[1,2]\",\"{\\\"a\\\":\\\"\\u2028\\\"}\",\"{\\\"b\\\": 1}\"]\n";
    assert_eq!(rig.poll("x"), want);
    rig.over(&script, ());
}

// ---- long sends --------------------------------------------------------------------------------

/// A turn hands on so much of a send; what is left comes in the next ones, and another send has to wait.
#[test]
fn a_long_send_takes_turns() {
    for (path, want) in [("/s/0/x/xhr_send", 204), ("/s/0/x/jsonp_send", 200)] {
        let (script, _) = slow();
        let (mut rig, script) = sockjs_with(script, short_turns(), Default::default());
        rig.poll("x");
        let all: Vec<String> = (0..30).map(|n| n.to_string()).collect();
        let body = format!(
            " [ {} ] ",
            all.iter()
                .map(|n| format!("\"{n}\""))
                .collect::<Vec<_>>()
                .join(" , ")
        );
        let mut other = rig.raw();
        let (taken, answer) = rig.by_turns((path, "", &body), &script, |_| {
            other.write(&http("POST", path, "", b"[\"too early\"]"));
        });
        assert_eq!(taken, all);
        assert_eq!(answer.status, want);
        assert_eq!(other.answer(&mut rig).status, 503);
        assert_eq!(rig.stats().messages_in, 30);
        assert_eq!(rig.post("x", "[\"a\"]"), 204);
        assert_eq!(script.taken(), ["a"]);
        rig.over(&script, other);
    }
}

/// The same of a message of a WebSocket.
#[test]
fn a_long_message_takes_turns() {
    let (script, shelf) = slow();
    let settings = Settings {
        inbox_max: 3,
        ..short_turns()
    };
    let (mut rig, script) = sockjs_with(script, settings, Default::default());
    let mut client = rig.client("/s/0/x/websocket");
    assert_eq!(client.text(&mut rig), "o");
    let all: Vec<String> = (0..30).map(|n| n.to_string()).collect();
    let body = |all: &[String]| serde_json::to_string(all).unwrap();
    let taken = rig.message_by_turns(&mut client, &body(&all), &script, 30);
    assert_eq!(taken, all);
    // What a full inbox has no room for waits, too.
    let mut all = all;
    all[2] = "hold".to_owned();
    let taken = rig.message_by_turns(&mut client, &body(&all), &script, 3);
    assert_eq!(taken, all[..3]);
    rig.settle();
    assert_eq!(script.taken(), [""; 0]);
    assert!(rig.stats().bytes_unfinished > 100);
    shelf.borrow_mut().clear();
    rig.settle();
    assert_eq!(script.taken(), all[3..]);
    rig.over(&script, client);
}

/// What is left of a send is lost with its session; it is answered.
#[test]
fn a_long_send_outlives_its_session() {
    let (script, _) = slow();
    let (mut rig, script) = sockjs_with(script, short_turns(), Default::default());
    rig.poll("x");
    let body = format!("[{}]", ["\"a\""; 30].join(","));
    let id = script.id(0);
    let path = "/s/0/x/xhr_send";
    let (taken, answer) = rig.by_turns((path, "", &body), &script, |rig| {
        rig.server.with_app(|app| app.to(id).close()).unwrap();
    });
    assert_eq!(taken.len(), 4);
    assert_eq!(answer.status, 204);
    rig.over(&script, ());
}
