//! Handshakes that are refused, put off, or one too many: what the client is told, and that nothing is left.

use crate::support::*;
use dustdevil::{
    Cause, Connection, Deciding, OriginPattern, Origins, Reject, Routes, Settings, SocketIo,
    SocketIoSettings,
};
use std::cell::RefCell;
use std::rc::Rc;

fn nothing_left(rig: &mut Rig<World>, script: &Script) {
    let stats = rig.stats();
    assert_eq!((stats.sessions_open, stats.connections_open), (0, 0));
    assert!(script.closed().is_empty());
}

/// The error in a script that is called for.
fn error_of(answer: &Answer, index: u32) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    let kind = answer.field("Content-Type").unwrap();
    assert!(kind.contains("javascript"), "{kind}");
    let text = answer.text();
    let call = text.strip_prefix(&format!("io.j[{index}](new Error("));
    let string = call.and_then(|call| call.strip_suffix("));"));
    serde_json::from_str(string.unwrap_or_else(|| panic!("{text:?}"))).unwrap()
}

#[test]
fn by_the_application() {
    type Refusal = fn() -> Reject;
    #[rustfmt::skip]
    let cases: &[(Refusal, u16, &str)] = &[
        (|| Reject::from("members only"),         403, "members only"),
        (|| Reject::status(403),                  403, "handshake unauthorized"),
        (|| Reject::status(401).body("who?"),     401, "who?"),
        (|| Reject::status(503).body("</script>\u{2028}"), 503, "</script>\u{2028}"),
    ];
    for &(refusal, status, text) in cases {
        let (mut rig, script) = sio(Script {
            open: Box::new(move |_, cx, _| {
                cx.send("never seen");
                cx.join("room");
                Err(refusal())
            }),
            ..Script::default()
        });
        for method in ["GET", "POST"] {
            let answer = rig.ask(method, SHAKE, "Origin: http://o.test\r\n", b"");
            assert_eq!((answer.status, &*answer.text()), (status, text));
            // The page has to be able to read why.
            let origin = answer.field("Access-Control-Allow-Origin");
            assert_eq!(origin, Some("http://o.test"));
        }
        let answer = rig.ask("GET", &format!("{SHAKE}?jsonp=4"), "", b"");
        assert_eq!(error_of(&answer, 4), text);
        assert!(!answer.text().contains(['<', '\u{2028}']));
        assert_eq!(rig.stats().rejected, 3);
        nothing_left(&mut rig, &script);
        rig.over(&script, ());
    }
}

/// What has no meaning here is refused all the same, with its text if it has one.
#[test]
fn by_the_application_with_a_close_code() {
    let (mut rig, script) = sio(Script {
        open: Box::new(|_, _, _| Err(Reject::close(4000, "full"))),
        ..Script::default()
    });
    let answer = rig.ask("GET", SHAKE, "", b"");
    assert!((400..600).contains(&answer.status), "{answer:?}");
    nothing_left(&mut rig, &script);
    rig.over(&script, ());
}

#[test]
fn with_headers() {
    let (mut rig, script) = sio(Script {
        open: Box::new(|_, cx, _| {
            assert!(cx.set_header("X-Open", "yes"));
            Err(Reject::from("no").header("X-Refused", "yes"))
        }),
        ..Script::default()
    });
    let answer = rig.ask("GET", SHAKE, "", b"");
    assert_eq!(answer.status, 403);
    assert_eq!(answer.field("X-Refused"), Some("yes"));
    rig.over(&script, ());
}

#[test]
fn by_a_panic() {
    quiet_panics();
    let (mut rig, script) = sio(Script {
        open: Box::new(|me, _, _| match me.n {
            0 | 1 => panic!("{}", MEANT),
            _ => Ok(()),
        }),
        ..Script::default()
    });
    let answer = rig.ask("GET", SHAKE, "", b"");
    assert_eq!((answer.status, &*answer.text()), (500, "handshake error"));
    let answer = rig.ask("GET", &format!("{SHAKE}?jsonp=0"), "", b"");
    assert_eq!(error_of(&answer, 0), "handshake error");
    assert_eq!(rig.stats().panics, 2);
    assert_eq!(rig.stats().sessions_open, 0);
    rig.serves_another();
    rig.over(&script, ());
}

#[test]
fn by_a_panic_while_it_is_made() {
    quiet_panics();
    #[derive(Default)]
    struct Never;
    impl Connection for Never {
        type State = World;
    }
    let router = dustdevil::Router::<Never>::with(|_| panic!("{}", MEANT));
    let routes = Routes::new().socketio("/socket.io", &router, mount(calm()));
    let mut rig = Rig::new(World::new(), Settings::default(), routes);
    let answer = rig.ask("GET", SHAKE, "", b"");
    assert_eq!((answer.status, &*answer.text()), (500, "handshake error"));
    nothing_left(&mut rig, &Script::default());
    rig.over(&Script::default(), ());
}

#[test]
fn by_the_origin() {
    let origins = Origins::List(vec![OriginPattern::parse("http://friend.test").unwrap()]);
    let of = SocketIo {
        origins: policy(origins),
        ..mount(calm())
    };
    let (mut rig, script) = sio_with(noting(), Settings::default(), of);
    for origin in [
        "http://other.test",
        "http://friend.test.evil",
        "https://friend.test",
        "null",
    ] {
        let lines = format!("Origin: {origin}\r\n");
        let answer = rig.ask("GET", SHAKE, &lines, b"");
        assert_eq!(
            (answer.status, &*answer.text()),
            (403, "handshake bad origin")
        );
        assert_eq!(answer.field("Access-Control-Allow-Origin"), None);
        let answer = rig.ask("GET", &format!("{SHAKE}?jsonp=2"), &lines, b"");
        assert_eq!(error_of(&answer, 2), "handshake bad origin");
    }
    assert!(script.taken().is_empty());
    nothing_left(&mut rig, &script);
    let lines = "Origin: http://friend.test\r\n";
    let answer = rig.ask("GET", SHAKE, lines, b"");
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.field("Access-Control-Allow-Origin"),
        Some("http://friend.test")
    );
    rig.over(&script, ());
}

/// Who knows an id does not get to its session from a foreign page.
#[test]
fn transports_from_a_foreign_page() {
    let (mut rig, script) = sio_with(
        noting(),
        Settings::default(),
        SocketIo {
            origins: policy(Origins::Same),
            ..mount(calm())
        },
    );
    let sid = rig.session();
    script.taken();
    let lines = "Origin: http://other.test\r\n";
    let answer = rig.ask("GET", &polls(&sid), lines, b"");
    assert_eq!(
        (answer.status, answer.field("Access-Control-Allow-Origin")),
        (403, None)
    );
    let answer = rig.ask("POST", &polls(&sid), lines, b"3:::forged");
    assert_eq!(
        (answer.status, answer.field("Access-Control-Allow-Origin")),
        (403, None)
    );
    let mut client = rig.raw();
    client.write(request(&sockets(&sid), lines).as_bytes());
    assert!(client.head(&mut rig).starts_with("HTTP/1.1 403 "));
    assert!(script.taken().is_empty());
    assert_eq!(rig.post(&sid, "3:::own"), 200);
    assert_eq!(script.taken(), ["text own"]);
    rig.over(&script, client);
}

// ---- one too many -------------------------------------------------------------------------------

#[test]
fn sessions_max() {
    let (mut rig, script) = sio_of(
        Script::default(),
        SocketIoSettings {
            sessions_max: 2,
            ..calm()
        },
    );
    let one = rig.session();
    // A handshake that nobody has used yet counts, and so does a WebSocket.
    let (_, socket) = rig.socket();
    let answer = rig.ask("GET", SHAKE, "Origin: http://o.test\r\n", b"");
    assert_eq!(
        (answer.status, answer.field("Retry-After")),
        (503, Some("1"))
    );
    assert_eq!(
        answer.field("Access-Control-Allow-Origin"),
        Some("http://o.test")
    );
    let answer = rig.ask("GET", &format!("{SHAKE}?jsonp=0"), "", b"");
    assert!(!error_of(&answer, 0).is_empty());
    assert_eq!(script.ids.borrow().len(), 2);
    assert_eq!(rig.stats().handshakes_refused, 2);
    // Those that are there go on; one that ends makes room.
    assert_eq!(rig.post(&one, "3:::x"), 200);
    assert_eq!(rig.poll(&one), "3:::x");
    assert_eq!(rig.post(&one, "0::"), 200);
    let two = rig.shake();
    assert_eq!(rig.ask("GET", SHAKE, "", b"").status, 503);
    rig.pass(ms(30_500));
    // It has expired.
    assert_eq!(rig.poll(&two), UNKNOWN);
    rig.shake();
    rig.over(&script, socket);
}

/// Both generations count, and who is refused does not.
#[test]
fn sessions_per_second_max() {
    let settings = Settings {
        sessions_per_second_max: 3,
        ..Settings::default()
    };
    let (mut rig, script) = sio_with(Script::default(), settings, mount(calm()));
    let old = "/socket.io/xhr-polling//1";
    for _ in 0..3 {
        for (path, status) in [
            (SHAKE, 200),
            (old, 200),
            (SHAKE, 200),
            (old, 503),
            (SHAKE, 503),
        ] {
            let answer = rig.ask("GET", path, "", b"");
            assert_eq!(answer.status, status, "{path}");
            assert_eq!(
                answer.head.contains("\r\nRetry-After: 1\r\n"),
                status == 503
            );
        }
        rig.pass(secs(1));
    }
    assert_eq!(rig.stats().sessions_open, 9);
    rig.over(&script, ());
}

#[test]
fn sessions_per_ip_max() {
    let (mut rig, script) = sio_of(
        Script::default(),
        SocketIoSettings {
            sessions_per_ip_max: 2,
            ..calm()
        },
    );
    let from = |rig: &mut Rig<World>, last: u8| {
        let mut client = Client::connect_from([127, 0, 0, last], rig.addr);
        client.write(&http("GET", SHAKE, "", b""));
        client.answer(rig)
    };
    for (last, status) in [(1, 200), (1, 200), (1, 503), (2, 200), (2, 200), (2, 503)] {
        assert_eq!(from(&mut rig, last).status, status, "127.0.0.{last}");
    }
    rig.pass(ms(30_500));
    for last in [1, 2] {
        let sid = sid_of(&from(&mut rig, last).text());
        assert_eq!(rig.post(&sid, "0::"), 200);
        assert_eq!(from(&mut rig, last).status, 200);
        assert_eq!(from(&mut rig, last).status, 200);
        assert_eq!(from(&mut rig, last).status, 503);
    }
    rig.over(&script, ());
}

// ---- deciding later -----------------------------------------------------------------------------

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
    let (mut rig, script) = sio(script);
    let mut client = rig.start("GET", SHAKE, "", b"");
    rig.pass(secs(20));
    client.silent(&mut rig);
    assert_eq!(rig.stats().connections_open, 0);
    take(&shelf).accept(|me, cx| {
        me.script.note("accepted");
        cx.send("late");
    });
    let answer = client.answer(&mut rig);
    assert_eq!(answer.status, 200);
    let sid = sid_of(&answer.text());
    assert_eq!(script.taken(), ["accepted"]);
    assert_eq!(packets(&rig.poll(&sid)), ["1::", "3:::early", "3:::late"]);
    // The answer was late, and so its time begins then.
    rig.over(&script, client);
    assert_eq!(causes(&script), [(0, Cause::Timeout)]);
}

#[test]
fn refused_later() {
    for (how, status, text) in [
        ("refused", 403, "no"),
        ("dropped", 503, ""),
        ("forgotten", 503, ""),
    ] {
        for jsonp in [false, true] {
            let (script, shelf) = undecided();
            let (mut rig, script) = sio(script);
            let path = if jsonp {
                format!("{SHAKE}?jsonp=1")
            } else {
                SHAKE.to_owned()
            };
            let mut client = rig.start("GET", &path, "", b"");
            match how {
                "refused" => take(&shelf).refuse(Reject::from("no")),
                "dropped" => drop(take(&shelf)),
                _ => rig.pass(secs(61)),
            }
            let answer = client.answer(&mut rig);
            if jsonp {
                let error = error_of(&answer, 1);
                assert!(text.is_empty() || error == text, "{error}");
            } else {
                assert_eq!(answer.status, status, "{how}");
                assert!(text.is_empty() || answer.text() == text);
            }
            // It is too late now.
            if let Some(late) = shelf.take() {
                late.accept(|_, _| panic!("nobody is there"));
                rig.settle();
            }
            nothing_left(&mut rig, &script);
            rig.over(&script, client);
        }
    }
}

#[test]
fn the_client_goes_while_it_is_undecided() {
    for reset in [true, false] {
        let (script, shelf) = undecided();
        let (mut rig, script) = sio(script);
        let client = rig.start("GET", SHAKE, "", b"");
        if reset {
            client.reset();
        } else {
            drop(client);
        }
        rig.settle();
        take(&shelf).accept(|_, _| {});
        rig.settle();
        rig.over(&script, ());
        assert_eq!(rig.stats().panics, 0);
    }
}
