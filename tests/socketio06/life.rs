//! Time: heartbeats, expiry, and how sessions end.

use crate::support::*;
use dustdevil::{Cause, Settings, SocketIo06Settings, SocketIoSettings, Transport};

fn beats(all: &[(u64, String)]) -> Vec<&str> {
    all.iter().map(|(_, data)| data.as_str()).collect()
}

fn long_lived() -> Vec<Transport> {
    STREAMS.into_iter().chain(SOCKETS).collect()
}

// ---- heartbeats -----------------------------------------------------------------------------------

#[test]
fn heartbeats_that_are_answered() {
    for transport in long_lived() {
        let (mut rig, script) = sio(noting());
        let mut peer = rig.peer(transport);
        script.taken();
        for n in 1..=8 {
            let heard = peer.listen(&mut rig, 12);
            assert_eq!(beats(&heard), [format!("~h~{n}")], "{transport:?}");
            assert!((11..=12).contains(&heard[0].0), "{heard:?}");
            peer.say(&mut rig, &[&format!("~h~{n}")]);
        }
        // They are nothing to the application.
        assert!(script.taken().is_empty() && script.closed().is_empty());
        assert_eq!(rig.stats().protocol_errors, 0);
        rig.over(&script, peer);
    }
}

/// Six go out; when the seventh is due it is too late.
#[test]
fn heartbeats_that_are_not() {
    for transport in long_lived() {
        let (mut rig, script) = sio(Script::default());
        let mut peer = rig.peer(transport);
        let heard = peer.listen(&mut rig, 100);
        let want: Vec<String> = (1..=6).map(|n| format!("~h~{n}")).collect();
        assert_eq!(beats(&heard), want, "{transport:?}");
        assert!(peer.is_over, "{transport:?}");
        let closed = script.closed.borrow()[0].1.cause;
        assert_eq!(closed, Cause::Timeout);
        assert_eq!(rig.stats().ping_timeouts, 1);
        peer.is_closed(&mut rig);
        rig.over(&script, peer);
    }
}

#[test]
fn heartbeats_missed_max() {
    for max in [1, 2, 3] {
        for transport in long_lived() {
            let of = SocketIo06Settings {
                heartbeat_interval: secs(2),
                heartbeats_missed_max: max,
                ..SocketIo06Settings::default()
            };
            let (mut rig, script) = sio_with(Script::default(), Settings::default(), old(of));
            let mut peer = rig.peer(transport);
            let heard = peer.listen(&mut rig, u64::from(2 * max) - 1);
            let want: Vec<String> = (1..max).map(|n| format!("~h~{n}")).collect();
            assert_eq!(beats(&heard), want, "{transport:?} {max}");
            assert!(script.closed().is_empty());
            assert_eq!(peer.listen(&mut rig, 2).len(), 0);
            assert_eq!(causes(&script), [(0, Cause::Timeout)]);
            rig.over(&script, peer);
        }
    }
}

/// Whatever comes is a sign of life, and all that was missed is forgiven.
#[test]
fn any_message_is_an_answer() {
    for transport in long_lived() {
        let (mut rig, script) = sio(noting());
        let mut peer = rig.peer(transport);
        for data in ["x", "~h~1", "~h~99999999999", "~j~{"] {
            let heard = peer.listen(&mut rig, 72);
            assert_eq!(heard.len(), 6, "{transport:?} {data} {heard:?}");
            peer.say(&mut rig, &[data]);
        }
        assert!(script.closed().is_empty());
        rig.over(&script, peer);
    }
}

#[test]
fn no_heartbeats_on_polls() {
    for transport in POLLS {
        let (mut rig, script) = sio(Script::default());
        let mut peer = rig.peer(transport);
        assert_eq!(peer.listen(&mut rig, 130), []);
        assert!(script.closed().is_empty() && !peer.is_over);
        assert_eq!(peer.ask(&mut rig, "x"), ["x"]);
        rig.over(&script, peer);
    }
}

#[test]
fn no_heartbeats_at_all() {
    for transport in long_lived() {
        let of = SocketIo06Settings {
            heartbeat_interval: secs(0),
            ..SocketIo06Settings::default()
        };
        let (mut rig, script) = sio_with(Script::default(), Settings::default(), old(of));
        let mut peer = rig.peer(transport);
        assert_eq!(peer.listen(&mut rig, 100), []);
        assert_eq!(peer.ask(&mut rig, "x"), ["x"]);
        rig.over(&script, peer);
    }
}

/// The loop was held up for hours: that is nobody's silence, and no poll's end before it is answered.
#[test]
fn a_turn_that_comes_late() {
    let hours = secs(5 * 3600);
    for transport in long_lived() {
        let (mut rig, script) = sio(Script::default());
        let mut peer = rig.peer(transport);
        peer.silent(&mut rig);
        for n in 1..=10 {
            rig.clock.advance(hours);
            assert_eq!(peer.hear(&mut rig), [format!("~h~{n}")], "{transport:?}");
            assert!(!peer.is_over && script.closed().is_empty());
        }
        // None of them counts as missed.
        let heard = peer.listen(&mut rig, 83);
        let want: Vec<String> = (11..=16).map(|n| format!("~h~{n}")).collect();
        assert_eq!(beats(&heard), want, "{transport:?}");
        assert!(!peer.is_over, "{transport:?}");
        assert_eq!(peer.listen(&mut rig, 2), []);
        assert_eq!(causes(&script), [(0, Cause::Timeout)], "{transport:?}");
        rig.over(&script, peer);
    }
    for transport in POLLS {
        let (mut rig, script) = sio(Script::default());
        let mut peer = rig.peer(transport);
        peer.silent(&mut rig);
        for _ in 0..3 {
            rig.clock.advance(hours);
            rig.settle();
            let answer = peer.receiver().answer(&mut rig);
            let want = match transport {
                Transport::XhrPolling => "",
                _ => "io.JSONP[0]._(\"\");",
            };
            assert_eq!((answer.status, &*answer.text()), (200, want));
            // The time to ask again begins now.
            rig.pass(secs(29));
            peer.cut();
            peer.silent(&mut rig);
        }
        assert!(script.closed().is_empty(), "{transport:?}");
        assert_eq!(peer.ask(&mut rig, "x"), ["x"]);
        rig.over(&script, peer);
    }
}

// ---- expiry ---------------------------------------------------------------------------------------

#[test]
fn expiry() {
    for transport in ALL.into_iter().filter(|it| !SOCKETS.contains(it)) {
        let (mut rig, script) = sio(Script::default());
        let mut peer = rig.peer(transport);
        peer.silent(&mut rig);
        peer.cut();
        rig.settle();
        rig.pass(secs(29));
        assert!(script.closed().is_empty(), "{transport:?}");
        assert_eq!(rig.stats().sessions_open, 1);
        rig.pass(ms(1500));
        assert_eq!(causes(&script), [(0, Cause::Timeout)], "{transport:?}");
        let mut late = rig.knock(transport, &later(transport, &peer.sid), "");
        assert_eq!(late.answer(&mut rig).status, 401);
        rig.over(&script, late);
    }
}

/// Who was on a WebSocket does not come back to its session, which ends with it.
#[test]
fn a_lost_websocket() {
    for transport in SOCKETS {
        for how in ["is cut", "says goodbye", "breaks a rule"] {
            let (mut rig, script) = sio(Script::default());
            let mut peer = rig.peer(transport);
            peer.silent(&mut rig);
            match how {
                "is cut" => peer.cut(),
                "says goodbye" => peer.receiver().write(&masked(0x88, b"\x03\xe9bye")),
                _ => peer.receiver().write(&masked(0x83, b"")),
            }
            rig.settle();
            let why = script.last_reason();
            let want = match how {
                "is cut" => (Cause::Lost, 1006, "", false),
                "says goodbye" => (Cause::Client, 1001, "bye", true),
                _ => (Cause::Protocol, 1002, &*why.reason, false),
            };
            let why = (why.cause, why.code, &*why.reason, why.clean);
            assert_eq!(why, want, "{transport:?} {how}");
            assert_eq!(rig.stats().sessions_open, 0);
            if how == "says goodbye" {
                assert_eq!(peer.receiver().frames(&mut rig).last().unwrap().head, 0x88);
            }
            let mut late = rig.knock(transport, &later(transport, &peer.sid), "");
            assert_eq!(late.answer(&mut rig).status, 401);
            rig.over(&script, (peer, late));
        }
    }
}

/// By any transport, in time, and nothing is lost; `on_open` does not run again.
#[test]
fn who_comes_back() {
    for transport in ALL.into_iter().filter(|it| !SOCKETS.contains(it)) {
        for next in ALL {
            let (mut rig, script) = sio(Script::default());
            let mut peer = rig.peer(transport);
            peer.silent(&mut rig);
            peer.cut();
            rig.settle();
            rig.pass(secs(20));
            let id = script.id(0);
            let sent = rig.server.with_app(|app| app.to(id).send("kept"));
            assert_eq!(sent.unwrap(), 1);
            let mut back = Peer::back(&mut rig, next, &peer.sid);
            assert_eq!(back.hear(&mut rig), ["kept"], "{transport:?} {next:?}");
            rig.pass(secs(11));
            assert_eq!(back.ask(&mut rig, "x").last().unwrap(), "x");
            assert_eq!(script.ids.borrow().len(), 1);
            rig.over(&script, back);
        }
    }
}

/// Half of a TCP connection is closed: nobody will read there either. What was sent before is handled.
#[test]
fn half_closed() {
    for (transport, more) in ALL.into_iter().flat_map(|it| [(it, 0), (it, 500)]) {
        let (mut rig, script) = sio(noting());
        let mut peer = rig.peer(transport);
        peer.silent(&mut rig);
        script.taken();
        if SOCKETS.contains(&transport) {
            for text in ["a", "b"] {
                peer.receiver()
                    .write(&masked(0x81, framed(text).as_bytes()));
            }
            peer.receiver().finish();
            rig.settle();
            assert_eq!(script.taken(), ["text a", "text b"], "{transport:?}");
            assert_eq!(causes(&script), [(0, Cause::Lost)], "{transport:?}");
            assert_eq!(rig.stats().conns_open, 0, "{transport:?}");
            rig.over(&script, peer);
            continue;
        }
        // More than is read while a request is in work: it is lost with it.
        let behind = http("GET", &first(transport, MOUNT), "", b"").repeat(more);
        peer.receiver().write_long(&mut rig, &behind);
        peer.receiver().finish();
        rig.settle();
        let stats = rig.stats();
        assert_eq!((stats.conns_open, stats.sessions_open), (0, 1));
        assert!(script.closed().is_empty(), "{transport:?}");
        // Not so a request that is whole, and asks for nothing that lasts.
        let mut post = rig.raw();
        let body = form(&framed("c"));
        let path = sends(transport, &peer.sid);
        post.write(&http("POST", &path, FORM, body.as_bytes()));
        post.finish();
        let answer = post.answer(&mut rig);
        assert_eq!((answer.status, &*answer.text()), (200, "ok"));
        assert_eq!(script.taken(), ["text c"], "{transport:?}");
        let mut begins = rig.raw();
        begins.write(&http("GET", &first(transport, MOUNT), "", b""));
        begins.finish();
        let answer = begins.rest(&mut rig);
        assert!(answer.starts_with(b"HTTP/1.1 200 "), "{transport:?}");
        // Its session waits for who comes back.
        let id = script.id(0);
        rig.server.with_app(|app| app.to(id).send("kept")).unwrap();
        let mut back = Peer::back(&mut rig, transport, &peer.sid);
        assert_eq!(back.hear(&mut rig), ["kept"], "{transport:?}");
        rig.over(&script, (peer, post, begins, back));
    }
}

#[test]
fn expiry_is_rounded_up_to_the_check() {
    let of = SocketIoSettings {
        session_check_interval: secs(15),
        session_expiry: secs(30),
        ..calm()
    };
    let (mut rig, script) = sio_of(Script::default(), of);
    drop(rig.peer(Transport::XhrPolling));
    rig.pass(secs(30));
    rig.pass(secs(15) + ms(500));
    assert_eq!(causes(&script), [(0, Cause::Timeout)]);
    rig.over(&script, ());
}

// ---- ends -----------------------------------------------------------------------------------------

/// There is no message for it: the end of what the client receives by, and 401.
#[test]
fn by_the_server() {
    for transport in ALL {
        for last in [false, true] {
            let (mut rig, script) = sio(Script {
                message: Box::new(|_, cx, message| {
                    if message.text() == Some("last words") {
                        cx.send("goodbye");
                    }
                    cx.close();
                }),
                ..Script::default()
            });
            let mut peer = rig.peer(transport);
            peer.silent(&mut rig);
            peer.say(&mut rig, &[if last { "last words" } else { "x" }]);
            assert_eq!(causes(&script), [(0, Cause::Server)], "{transport:?}");
            if last {
                assert_eq!(peer.hear(&mut rig), ["goodbye"], "{transport:?}");
            }
            peer.is_closed(&mut rig);
            assert_eq!(rig.stats().sessions_open, 0, "{transport:?}");
            rig.over(&script, peer);
        }
    }
}

/// A poll that waits is answered, empty, before later ones are refused.
#[test]
fn a_poll_at_the_end() {
    for transport in POLLS {
        let (mut rig, script) = sio(Script::default());
        let mut peer = rig.peer(transport);
        peer.silent(&mut rig);
        let id = script.id(0);
        rig.server.with_app(|app| app.to(id).close()).unwrap();
        let answer = peer.receiver().answer(&mut rig);
        let want = match transport {
            Transport::XhrPolling => "",
            _ => "io.JSONP[0]._(\"\");",
        };
        assert_eq!((answer.status, &*answer.text()), (200, want));
        peer.cut();
        peer.is_closed(&mut rig);
        rig.over(&script, peer);
    }
}

/// The id is told all the same; the message before the end, too.
#[test]
fn in_on_open() {
    for transport in ALL {
        let (mut rig, script) = sio(Script {
            open: Box::new(|_, cx, _| {
                cx.send("full");
                cx.close();
                Ok(())
            }),
            ..Script::default()
        });
        let mut peer = rig.peer(transport);
        assert_eq!(peer.hear(&mut rig), ["full"], "{transport:?}");
        peer.is_closed(&mut rig);
        assert_eq!(causes(&script), [(0, Cause::Server)]);
        rig.over(&script, peer);
    }
}

#[test]
fn by_a_close_frame() {
    for transport in SOCKETS {
        let (mut rig, script) = sio(Script::default());
        let mut peer = rig.peer(transport);
        peer.silent(&mut rig);
        peer.receiver().write(&closing(1000, ""));
        peer.receiver().close_code(&mut rig);
        assert_eq!(peer.receiver().rest(&mut rig), b"");
        rig.over(&script, peer);
        assert_eq!(script.closed(), [0]);
    }
}

#[test]
fn by_a_panic() {
    quiet_panics();
    for transport in ALL {
        let (mut rig, script) = sio(Script {
            message: Box::new(|me, cx, message| match me.n {
                0 => panic!("{}", MEANT),
                _ => {
                    cx.send(message);
                }
            }),
            ..Script::default()
        });
        let mut peer = rig.peer(transport);
        peer.silent(&mut rig);
        peer.say(&mut rig, &["x", "y"]);
        assert_eq!(script.closed(), [0]);
        assert_eq!(rig.stats().panics, 1);
        peer.is_closed(&mut rig);
        rig.serves(transport);
        rig.over(&script, peer);
    }
}

/// All are told when the server goes.
#[test]
fn drained() {
    for transport in ALL {
        let (mut rig, script) = sio(Script::default());
        let mut peer = rig.peer(transport);
        peer.silent(&mut rig);
        rig.server.drain(secs(5)).unwrap();
        rig.pass(secs(2));
        assert_eq!(causes(&script), [(0, Cause::Shutdown)]);
        match transport {
            Transport::XhrPolling | Transport::JsonpPolling => {
                assert_eq!(peer.receiver().answer(&mut rig).status, 200);
            }
            Transport::HtmlFile | Transport::XhrMultipart => peer.receiver().ends(&mut rig),
            _ => peer.receiver().closes(&mut rig),
        }
        assert_eq!(rig.stats().sessions_open, 0);
    }
}

#[test]
fn unknown_sessions() {
    let (mut rig, script) = sio(Script::default());
    let known = rig.peer(Transport::XhrPolling);
    let upper = known.sid.to_uppercase();
    let longer = format!("{}0", known.sid);
    for sid in [
        "0123456789abcdef0123456789abcdef",
        "1",
        "constructor",
        &upper,
        &longer,
        &known.sid[1..],
    ] {
        for transport in ALL {
            let mut client = rig.knock(transport, &later(transport, sid), "");
            let answer = client.answer(&mut rig);
            assert_eq!(
                (answer.status, &*answer.text()),
                (401, ""),
                "{transport:?} {sid}"
            );
            assert_eq!(answer.field("Content-Length"), Some("0"));
        }
        for transport in REQUESTS {
            let answer = rig.ask("POST", &sends(transport, sid), FORM, b"data=~m~1~m~x");
            assert_eq!((answer.status, &*answer.text()), (401, ""), "{transport:?}");
        }
    }
    // What can be no id names nothing.
    for sid in ["a_b", "a.b", "%61", "a%20b", &"a".repeat(129)] {
        let answer = rig.ask("GET", &later(Transport::XhrPolling, sid), "", b"");
        assert_eq!(answer.status, 404, "{sid}");
    }
    // A send to nobody makes no session.
    for path in ["/socket.io/xhr-polling//send", "/socket.io/htmlfile/"] {
        assert_eq!(rig.ask("POST", path, FORM, b"data=~m~1~m~x").status, 401);
    }
    assert_eq!(script.ids.borrow().len(), 1);
    rig.over(&script, known);
}

/// In a process of its own, for others of this one come and go.
#[cfg(target_os = "linux")]
#[test]
fn descriptors_are_given_back() {
    passes_in_a_child("life::descriptors_in_a_child");
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "counts the descriptors of its process; descriptors_are_given_back runs it in one of its own"]
fn descriptors_in_a_child() {
    let count = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let (mut rig, script) = sio(echo());
    rig.settle();
    let before = count();
    let ends = ["close", "reset", "half-close", "expires"];
    for round in 0..3 {
        let mut held = Vec::new();
        for end in ends {
            for transport in ALL {
                let mut peer = rig.peer(transport);
                assert_eq!(peer.ask(&mut rig, "x"), ["x"]);
                match end {
                    "close" => peer.say(&mut rig, &["close"]),
                    "reset" => peer.cut(),
                    "half-close" => {
                        peer.receiver().finish();
                        held.push(peer);
                    }
                    _ => drop(peer),
                }
            }
        }
        let unknown = rig.client("/socket.io/1/websocket/unknown");
        let refused = ALL.map(|transport| rig.knock(transport, &later(transport, "unknown"), ""));
        let silent = rig.raw();
        rig.settle();
        assert!(count() > before);
        rig.over(&script, (held, unknown, refused, silent));
        assert_eq!(count(), before, "round {round}");
    }
    assert_eq!(script.ids.borrow().len(), 3 * ends.len() * ALL.len());
}
