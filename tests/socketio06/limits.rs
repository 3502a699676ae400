//! What cannot be read, what is too much, and what nobody takes.

use crate::support::*;
use dustdevil::{
    Cause, Settings, SocketIo, SocketIo06Settings, SocketIoSettings, Transport, WebSocketLimits,
};
use std::cell::RefCell;
use std::rc::Rc;

/// What can be read is taken, and nobody is closed.
#[test]
fn broken_payloads() {
    #[rustfmt::skip]
    let cases: &[(&str, &[&str], u64)] = &[
        ("~m~99~m~short",                       &["short"],  0),
        ("~m~99999999999999999999999~m~short",  &["short"],  0),
        ("~m~1~m~a tail",                       &["a"],      1),
        ("~m~1~m~a~m~",                         &["a"],      1),
        ("~m~1~m~\u{1f600}~m~1~m~a",            &[],         1),
        ("garbage",                             &[],         1),
        ("~m~",                                 &[],         1),
        ("~m~~m~a",                             &[],         1),
        ("~m~-1~m~a",                           &[],         1),
        ("~m~+1~m~a",                           &[],         1),
        ("~m~1a~m~a",                           &[],         1),
        ("~m~4~m~~j~{~m~1~m~a",                 &["a"],      1),
        ("~m~4~m~~h~1~m~1~m~a",                 &["a"],      0),
        ("~m~0~m~~m~1~m~b",                     &["", "b"],  0),
    ];
    for transport in ALL {
        let (mut rig, script) = sio(Script::default());
        let mut peer = rig.peer(transport);
        for &(payload, want, errors) in cases {
            let before = rig.stats().protocol_errors;
            peer.send_payload(&mut rig, payload);
            assert_eq!(peer.hear(&mut rig), want, "{transport:?} {payload}");
            let counted = rig.stats().protocol_errors - before;
            assert_eq!(counted, errors, "{transport:?} {payload}");
        }
        assert!(script.closed().is_empty());
        assert_eq!(peer.ask(&mut rig, "x"), ["x"]);
        rig.over(&script, peer);
    }
}

#[test]
fn broken_packets_max() {
    for transport in ALL {
        let of = SocketIoSettings {
            broken_packets_max: 2,
            ..calm()
        };
        let (mut rig, script) = sio_of(Script::default(), of);
        let mut peer = rig.peer(transport);
        for _ in 0..2 {
            peer.send_payload(&mut rig, "garbage");
        }
        assert_eq!(peer.ask(&mut rig, "x"), ["x"], "{transport:?}");
        peer.send_payload(&mut rig, "garbage");
        assert_eq!(causes(&script), [(0, Cause::Protocol)], "{transport:?}");
        peer.hear(&mut rig);
        assert!(peer.is_over, "{transport:?}");
        rig.over(&script, peer);
    }
}

#[test]
fn messages_max() {
    let of = || SocketIo06Settings {
        messages_max: 3,
        ..SocketIo06Settings::default()
    };
    for transport in ALL {
        let (mut rig, script) = sio_with(noting(), Settings::default(), old(of()));
        let mut peer = rig.peer(transport);
        script.taken();
        peer.say(&mut rig, &["a", "b", "c"]);
        assert_eq!(script.taken(), ["text a", "text b", "text c"]);
        let four = payload(&["a", "b", "c", "d"]);
        if SOCKETS.contains(&transport) {
            peer.send_payload(&mut rig, &four);
            assert!(script.taken().is_empty());
            assert_eq!(peer.receiver().close_code(&mut rig), Some(1008));
            assert_eq!(script.closed(), [0]);
        } else {
            assert_eq!(peer.post(&mut rig, &form(&four)).status, 400);
            assert!(script.taken().is_empty() && script.closed().is_empty());
        }
        rig.over(&script, peer);
    }
}

#[test]
fn bodies() {
    for transport in REQUESTS {
        let of = SocketIoSettings {
            body_bytes_max: 2000,
            ..calm()
        };
        let (mut rig, script) = sio_of(noting(), of);
        let mut peer = rig.peer(transport);
        script.taken();
        let just = format!("data=~m~1986~m~{}", "x".repeat(1985));
        assert_eq!(just.len(), 2000);
        assert_eq!(peer.post(&mut rig, &just).status, 200);
        assert_eq!(peer.post(&mut rig, &format!("{just}x")).status, 413);
        assert_eq!(script.taken().len(), 1);
        for body in ["", "x=1", "~m~1~m~a", "data=%FF", "data=%C3"] {
            assert_eq!(peer.post(&mut rig, body).status, 400, "{body}");
        }
        // Nothing is in it, and nothing is wrong with it; the type does not matter.
        assert_eq!(peer.post(&mut rig, "data=").status, 200);
        let path = sends(transport, &peer.sid);
        for lines in ["", PLAIN] {
            let answer = rig.ask("POST", &path, lines, b"data=~m~1~m~y");
            assert_eq!(answer.status, 200);
            assert_eq!(script.taken(), ["text y"]);
        }
        assert!(script.closed().is_empty());
        rig.over(&script, peer);
    }
}

/// A body that does not tell its length is too long as soon as it is.
#[test]
fn bodies_in_chunks() {
    for transport in REQUESTS {
        let of = SocketIoSettings {
            body_bytes_max: 2000,
            ..calm()
        };
        let (mut rig, script) = sio_of(noting(), of);
        let peer = rig.peer(transport);
        script.taken();
        for (len, status) in [(1985, 200), (1986, 413)] {
            let body = format!("data=~m~{len}~m~{}", "x".repeat(len));
            let mut client = rig.raw();
            let path = sends(transport, &peer.sid);
            let head = format!(
                "POST {path} HTTP/1.1\r\nHost: h\r\n{FORM}Transfer-Encoding: chunked\r\n\r\n"
            );
            let size = body.len();
            client.write(format!("{head}{size:x}\r\n{body}\r\n0\r\n\r\n").as_bytes());
            assert_eq!(client.answer(&mut rig).status, status, "{transport:?}");
            assert_eq!(script.taken().len(), usize::from(status == 200));
        }
        assert!(script.closed().is_empty());
        rig.over(&script, peer);
    }
}

/// A message of a WebSocket with more bytes, heads and all, ends it; in fragments, too.
#[test]
fn message_bytes_max() {
    let just = framed(&"x".repeat(92));
    assert_eq!(just.len(), 100);
    let more = framed(&"x".repeat(93));
    let fragments = [
        masked(0x01, &more.as_bytes()[..60]),
        masked(0x80, &more.as_bytes()[60..]),
    ];
    for transport in SOCKETS {
        for long in [masked(0x81, more.as_bytes()), fragments.concat()] {
            let of = SocketIo {
                websocket: WebSocketLimits {
                    message_bytes_max: 100,
                    ping_interval: secs(0),
                    ..WebSocketLimits::default()
                },
                ..mount(calm())
            };
            let (mut rig, script) = sio_with(noting(), Settings::default(), of);
            let mut peer = rig.peer(transport);
            script.taken();
            peer.send_payload(&mut rig, &just);
            assert_eq!(script.taken().len(), 1, "{transport:?}");
            peer.receiver().write(&long);
            assert_eq!(peer.receiver().close_code(&mut rig), Some(1009));
            assert!(script.taken().is_empty());
            let why = script.last_reason();
            assert_eq!((why.cause, why.code), (Cause::Protocol, 1009));
            assert_eq!(rig.stats().sessions_open, 0, "{transport:?}");
            rig.over(&script, peer);
        }
    }
}

/// Who takes nothing of a stream is dropped after `write_timeout`; its session waits for another receiver, and
/// then expires.
#[test]
fn a_stream_that_takes_nothing() {
    for transport in STREAMS {
        for (settings, seconds) in [
            (Settings::default(), 30),
            (
                Settings {
                    write_timeout: secs(7),
                    ..Settings::default()
                },
                7,
            ),
        ] {
            let of = SocketIo06Settings {
                heartbeat_interval: secs(0),
                ..SocketIo06Settings::default()
            };
            let (mut rig, script) = sio_with(Script::default(), settings, old(of));
            let mut peer = rig.peer(transport);
            peer.silent(&mut rig);
            let id = script.id(0);
            let long = "x".repeat(24 << 20);
            rig.server.with_app(|app| app.to(id).send(long)).unwrap();
            rig.settle();
            rig.pass(secs(seconds - 1));
            assert_eq!(rig.stats().conns_open, 1, "{transport:?}");
            rig.pass(secs(2));
            let stats = rig.stats();
            let counts = (stats.write_timeouts, stats.conns_open, stats.bytes_queued);
            assert_eq!(counts, (1, 0, 0), "{transport:?}");
            assert!(script.closed().is_empty(), "{transport:?}");
            rig.server.with_app(|app| app.to(id).send("late")).unwrap();
            let mut back = Peer::back(&mut rig, transport, &peer.sid);
            assert_eq!(back.hear(&mut rig), ["late"], "{transport:?}");
            rig.over(&script, (peer, back));
            assert_eq!(causes(&script), [(0, Cause::Timeout)]);
        }
    }
}

/// Nobody takes what is sent: it is bounded, and gone with the session.
#[test]
fn output_that_nobody_takes() {
    for transport in ALL {
        let (mut rig, script) = sio(Script::default());
        let mut peer = rig.peer(transport);
        // A poll that waits would take it.
        if !POLLS.contains(&transport) {
            peer.silent(&mut rig);
        }
        let id = script.id(0);
        let most = rig.sends_until_cut(id);
        assert!(most <= (2 << 20) + 300_000, "{transport:?}: {most}");
        assert_eq!(causes(&script), [(0, Cause::Overflow)], "{transport:?}");
        rig.serves(transport);
        rig.over_after(secs(90), &script, peer);
    }
}

/// Very many small messages at once are all answered.
#[test]
fn floods() {
    for transport in ALL {
        let (mut rig, script) = sio(Script::default());
        let mut peer = rig.peer(transport);
        let many: Vec<String> = (0..5000).map(|n| n.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        peer.say(&mut rig, &many);
        assert_eq!(peer.hear(&mut rig), many, "{transport:?}");
        rig.over(&script, peer);
    }
    let (mut rig, script) = sio(Script::default());
    for _ in 0..300 {
        assert_eq!(rig.status(Transport::XhrPolling, ""), 200);
    }
    assert_eq!(rig.stats().sessions_open, 300);
    rig.over(&script, ());
}

/// A turn hands on so much of a message of a WebSocket; what is left comes in the next ones, before the next
/// message, and is lost with the session.
#[test]
fn a_long_message_takes_turns() {
    for transport in SOCKETS {
        let closing = Script {
            message: Box::new(|me, cx, message| {
                me.script.note(message.text().unwrap());
                if message.text() == Some("close") {
                    cx.close();
                }
            }),
            ..Script::default()
        };
        let (mut rig, script) = sio_with(closing, short_turns(), mount(calm()));
        let mut peer = rig.peer(transport);
        let all: Vec<String> = (0..30).map(|n| n.to_string()).collect();
        let texts: Vec<&str> = all.iter().map(String::as_str).collect();
        let client = peer.receiver.as_mut().unwrap();
        let taken = rig.message_by_turns(client, &payload(&texts), &script, 30);
        assert_eq!(taken, all);
        // Another one right behind it.
        client.write(&masked(0x81, payload(&texts).as_bytes()));
        client.write(&masked(0x81, payload(&["last"]).as_bytes()));
        for turns in 0.. {
            rig.turn();
            let now = script.taken();
            assert!(now.len() <= 4 && turns < 1000, "{now:?}");
            if now.last().is_some_and(|text| text == "last") {
                break;
            }
        }
        let mut texts = texts;
        texts[5] = "close";
        let taken = rig.message_by_turns(client, &payload(&texts), &script, 6);
        assert_eq!(taken, ["0", "1", "2", "3", "4", "close"]);
        rig.settle();
        assert_eq!(script.taken(), [""; 0]);
        rig.over(&script, peer);
    }
}

/// Messages that come in one count as many.
#[test]
fn messages_per_second_max() {
    let of = SocketIo {
        websocket: WebSocketLimits {
            messages_per_second_max: 5,
            ..WebSocketLimits::default()
        },
        ..mount(calm())
    };
    for transport in SOCKETS {
        let (mut rig, script) = sio_with(noting(), Settings::default(), of.clone());
        let mut peer = rig.peer(transport);
        script.taken();
        peer.say(&mut rig, &["a", "b", "c"]);
        peer.say(&mut rig, &["d"]);
        assert_eq!(script.taken().len(), 4);
        rig.pass(ms(1000));
        peer.say(&mut rig, &["a", "b"]);
        peer.say(&mut rig, &["c", "d", "e"]);
        assert_eq!(script.closed(), [0; 0]);
        assert_eq!(script.taken().len(), 5);
        rig.pass(ms(1000));
        peer.say(&mut rig, &["a", "b", "c", "d", "e", "f"]);
        assert_eq!(script.last_reason().code, 1008, "{transport:?}");
        rig.over(&script, peer);
    }
}

/// What a full inbox has no room for waits as the text that it came in, and is counted.
#[test]
fn a_full_inbox_holds_the_rest_back() {
    let settings = Settings {
        inbox_max: 3,
        ..Settings::default()
    };
    for transport in ALL {
        let shelf: Rc<RefCell<Vec<dustdevil::Ordered<Probe>>>> = Rc::default();
        let put = Rc::clone(&shelf);
        let holding = Script {
            message: Box::new(move |me, cx, message| {
                me.script.note(message.text().unwrap());
                if message.text() == Some("hold") {
                    put.borrow_mut().push(cx.ordered());
                }
            }),
            ..Script::default()
        };
        let (mut rig, script) = sio_with(holding, settings.clone(), mount(calm()));
        let mut peer = rig.peer(transport);
        let all: Vec<String> = (0..50).map(|n| n.to_string()).collect();
        let mut texts = vec!["hold"];
        texts.extend(all.iter().map(String::as_str));
        texts[20] = "hold";
        let sent = payload(&texts);
        let post = match SOCKETS.contains(&transport) {
            true => {
                let client = peer.receiver.as_mut().unwrap();
                client.write(&masked(0x81, sent.as_bytes()));
                None
            }
            false => {
                let path = sends(transport, &peer.sid);
                Some(rig.start("POST", &path, FORM, form(&sent).as_bytes()))
            }
        };
        rig.settle();
        assert_eq!(script.taken(), ["hold"]);
        // The inbox has a byte of each of three.
        let left = 3 + payload(&texts[4..]).len() as u64;
        assert_eq!(rig.stats().bytes_unfinished, left, "{transport:?}");
        let mut taken = vec!["hold".to_owned()];
        while !shelf.borrow().is_empty() {
            shelf.borrow_mut().clear();
            rig.settle();
            taken.extend(script.taken());
        }
        assert_eq!(taken, texts, "{transport:?}");
        assert_eq!(rig.stats().bytes_unfinished, 0);
        if let Some(mut post) = post {
            assert_eq!(post.answer(&mut rig).status, 200);
        }
        rig.over(&script, peer);
    }
}

/// A turn hands on so much of a POST; what is left comes in the next ones.
#[test]
fn a_long_post_takes_turns() {
    for transport in [Transport::XhrPolling, Transport::JsonpPolling] {
        let (mut rig, script) = sio_with(noting(), short_turns(), mount(calm()));
        let mut peer = rig.peer(transport);
        let all: Vec<String> = (0..30).map(|n| n.to_string()).collect();
        let body: String = all.iter().map(|n| framed(n)).collect();
        script.taken();
        let path = sends(transport, &peer.sid);
        let (taken, answer) = rig.by_turns((&path, FORM, &form(&body)), &script, |_| {});
        let want: Vec<String> = all.iter().map(|n| format!("text {n}")).collect();
        assert_eq!(taken, want, "{transport:?}");
        assert_eq!((answer.status, &*answer.text()), (200, "ok"));
        peer.say(&mut rig, &["x"]);
        assert_eq!(script.taken(), ["text x"]);
        rig.over(&script, peer);
    }
}
