//! What the application sends: events, texts and values, to one or to many, whatever they speak.

use crate::support::Said::{Text, Value};
use crate::support::*;
use dustdevil::{Cause, Json, RawJson, Routes, Sent, Settings, SockJs, Transport, WebSocket};
use std::rc::Rc;

/// A class of each family: Socket.IO at `/socket.io`, SockJS at `/s`, plain WebSocket at `/ws`.
fn mixed(script: Script) -> (Rig<World>, Rc<Script>) {
    mixed_with(script, Settings::default())
}

fn mixed_with(script: Script, settings: Settings) -> (Rig<World>, Rc<Script>) {
    let script = Rc::new(script);
    let router = router(&script);
    let routes = Routes::new()
        .socketio("/socket.io", &router, sio(quiet()))
        .sockjs("/s", &router, SockJs::default())
        .websocket("/ws", &router, WebSocket::default());
    (Rig::new(World::new(), settings, routes), script)
}

#[test]
fn events_with_arguments() {
    let (mut rig, script) = events(acting(|_, cx, word| {
        let (list, text) = (vec![1, 2], String::from("s"));
        let sent = match word {
            "none" => cx.emit("e", ()),
            "one" => cx.emit("e", 7),
            "text" => cx.emit("e", "a\"\n\u{2028}é"),
            "string" => cx.emit("e", &text),
            "tuple" => cx.emit("e", (1, "b", list)),
            "list" => cx.emit("e", (list,)),
            "json" => cx.emit("e", Json(list)),
            "value" => cx.emit("e", serde_json::json!({"a": null})),
            "name" => cx.emit("é\"\\\u{1}", ()),
            "empty" => cx.emit("", ()),
            "reserved" => cx.emit("disconnect", ()),
            "nan" => cx.emit("e", (f64::INFINITY, 1)),
            "eight" => cx.emit("e", (1, 2, 3, 4, 5, 6, 7, 8)),
            word => panic!("{word}"),
        };
        assert_eq!(sent, Sent::Queued, "{word}");
    }));
    #[rustfmt::skip]
    let cases: &[(&str, &str, &str)] = &[
        ("none",     "e", "[]"),
        ("one",      "e", "[7]"),
        ("text",     "e", "[\"a\\\"\\n\u{2028}é\"]"),
        ("string",   "e", "[\"s\"]"),
        ("tuple",    "e", "[1,\"b\",[1,2]]"),
        ("list",     "e", "[[1,2]]"),
        ("json",     "e", "[[1,2]]"),
        ("value",    "e", "[{\"a\":null}]"),
        ("name",     "é\\\"\\\\\\u0001", "[]"),
        ("empty",    "",  "[]"),
        ("reserved", "disconnect", "[]"),
        ("nan",      "e", "[null,1]"),
        ("eight",    "e", "[1,2,3,4,5,6,7,8]"),
    ];
    for way in Way::EVENTS {
        let mut peer = rig.peer(way);
        for &(word, name, args) in cases {
            let want = way.event("", None, name, args);
            assert_eq!(peer.act(&mut rig, word), [want], "{word}");
        }
        assert_eq!(rig.stats().unsupported, 0);
        drop(peer);
    }
    rig.left(&script, ());
}

/// A text is one kind of message, a value another; bytes are none.
#[test]
fn messages() {
    let (mut rig, script) = mixed(Script {
        message: Box::new(|me, cx, message| {
            let list = serde_json::json!([1, "b"]);
            let sent = match message.text().unwrap() {
                "text" => cx.send("a:b\n"),
                "empty" => cx.send(""),
                "json" => cx.send(Json((1, "b"))),
                "raw" => cx.send(RawJson("[1, \"b\"]")),
                "value" => cx.send(&list),
                "nan" => cx.send(Json(f64::NAN)),
                "bytes" => cx.send(b"bytes"),
                "each" => cx.send_each(["a", "b"]),
                _ => {
                    me.script.note(format!("{}", message.is_json()));
                    cx.send(message)
                }
            };
            if sent != Sent::Queued {
                me.script.note(format!("{sent:?}"));
            }
        }),
        ..Script::default()
    });
    #[rustfmt::skip]
    let cases: &[(&str, &[Said], &[&str])] = &[
        // Said, heard by Socket.IO, heard by a plain WebSocket.
        ("text",   &[Text("a:b\n")],        &["a:b\n"]),
        ("empty",  &[Text("")],             &[""]),
        ("json",   &[Value("[1,\"b\"]")],    &["[1,\"b\"]"]),
        ("raw",    &[Value("[1, \"b\"]")],   &["[1, \"b\"]"]),
        ("value",  &[Value("[1,\"b\"]")],    &["[1,\"b\"]"]),
        ("nan",    &[Value("null")],         &["null"]),
        ("each",   &[Text("a"), Text("b")],   &["a", "b"]),
    ];
    let mut plain = rig.client("/ws");
    for way in Way::ALL {
        let mut peer = rig.peer(way);
        for &(word, want, texts) in cases {
            let want: Vec<String> = want.iter().map(|said| way.said(*said)).collect();
            let packet = way.message("", word);
            assert_eq!(peer.ask(&mut rig, &packet), want, "{word}");
            plain.send(word);
            assert_eq!(plain.texts(&mut rig), texts, "{word}");
        }
        // Bytes have a form on a plain WebSocket only.
        let before = rig.stats().unsupported;
        assert_eq!(peer.ask(&mut rig, &way.message("", "bytes")), [""; 0]);
        assert_eq!(script.taken(), ["Unsupported"]);
        assert_eq!(rig.stats().unsupported, before + 1);
        plain.send("bytes");
        assert_eq!(plain.frame(&mut rig).payload, b"bytes");
        assert_eq!(script.taken(), [""; 0]);
        drop(peer);
    }
    rig.left(&script, plain);
}

/// What came is sent as it came: a text as a text, a value as a value. A list is one message.
#[test]
fn an_echo() {
    #[rustfmt::skip]
    let cases: &[(Said, bool)] = &[
        (Text("hi"),                  false),
        (Text(""),                    false),
        (Text("[1,2]"),               false),
        (Text("a:b:c\n\r\0"),         false),
        (Text("\u{fffd}3\u{fffd}2::"), false),
        (Text("é😀\u{2028}"),         false),
        (Value("[1,2]"),               true),
        (Value("[1, 2]"),              true),
        (Value("{\"a\":[]}"),          true),
        (Value("\"text\""),            true),
        (Value("null"),                true),
        (Value("1e400"),               true),
        (Value("\"\\ud83d\\ude00\""),  true),
    ];
    let (mut rig, script) = events(Script {
        message: Box::new(|me, cx, message| {
            me.script.note(format!("{}", message.is_json()));
            cx.send(message);
        }),
        ..Script::default()
    });
    for way in Way::ALL {
        let mut peer = rig.peer(way);
        for &(said, json) in cases {
            let packet = way.said(said);
            assert_eq!(peer.ask(&mut rig, &packet), [packet.as_str()], "{packet}");
            assert_eq!(script.taken(), [json.to_string()], "{packet}");
        }
        // Other forms of the same.
        let mut others = vec![(way.value(" [1] "), way.value("[1]"))];
        if way.has_events() {
            others.extend(["3::", "3"].map(|packet| (packet.to_owned(), way.message("", ""))));
        }
        for (packet, want) in others {
            assert_eq!(peer.ask(&mut rig, &packet), [want], "{packet}");
        }
        // What is no JSON is none.
        script.taken();
        let broken = ["", "{", "[1]]", "nul", " "].map(|json| way.value(json));
        let short = way.has_events().then(|| "4".to_owned());
        for packet in broken.into_iter().chain(short) {
            assert_eq!(peer.ask(&mut rig, &packet), [""; 0], "{packet}");
        }
        assert_eq!(script.taken(), [""; 0]);
        drop(peer);
    }
    rig.left(&script, ());
}

fn reading() -> Script {
    Script {
        message: Box::new(|me, _, message| {
            let value = message.json::<serde_json::Value>();
            me.script
                .note(value.map_or("not read".to_owned(), |value| value.to_string()));
        }),
        ..Script::default()
    }
}

/// Half a pair in a value is no character, for who reads it.
#[test]
fn half_pairs_in_values() {
    let (mut rig, script) = events(reading());
    for way in Way::ALL {
        let mut peer = rig.peer(way);
        let value = way.value(r#"["\ud800x",{"\udc00":"\ud83d\ude00"}]"#);
        peer.say(&mut rig, &value);
        assert_eq!(script.taken(), ["[\"\u{fffd}x\",{\"\u{fffd}\":\"😀\"}]"]);
    }
}

#[test]
fn values_that_are_read() {
    let (mut rig, script) = events(reading());
    #[rustfmt::skip]
    let cases: &[(Said, &str)] = &[
        (Value("\"\\ud83d\\ude00\""),   "\"😀\""),
        (Value("[18446744073709551615]"), "[18446744073709551615]"),
        (Value("1e400"),                 "not read"),
        (Text("{\"a\":1}"),             "{\"a\":1}"),
        (Text("text"),                  "not read"),
    ];
    for way in Way::ALL {
        let mut peer = rig.peer(way);
        for &(said, want) in cases {
            peer.say(&mut rig, &way.said(said));
            assert_eq!(script.taken(), [want], "{way:?} {said:?}");
        }
    }
}

/// Who has no events gets nothing, and is not counted.
#[test]
fn events_elsewhere() {
    let (mut rig, script) = mixed(Script {
        open: Box::new(|_, cx, _| {
            cx.join("room");
            Ok(())
        }),
        message: Box::new(|me, cx, _| {
            let never =
                || |me: &mut Probe, _: &mut dustdevil::Cx<'_, Probe>, _| me.script.note("never");
            me.script.note(format!("{:?}", cx.emit("e", 1)));
            me.script
                .note(format!("{:?}", cx.emit_ack("e", 1, never())));
            me.script.note(format!("{:?}", cx.send_ack("e", never())));
            cx.send("after");
        }),
        ..Script::default()
    });
    let mut plain = rig.client("/ws");
    let mut raw = rig.client("/s/websocket");
    let mut framed = rig.client("/s/0/w/websocket");
    assert_eq!(framed.text(&mut rig), "o");
    rig.poll("x");
    plain.send("x");
    assert_eq!(plain.texts(&mut rig), ["after"]);
    raw.send("x");
    assert_eq!(raw.texts(&mut rig), ["after"]);
    framed.send("[\"x\"]");
    assert_eq!(framed.texts(&mut rig), ["a[\"after\"]"]);
    assert_eq!(rig.post("x", "[\"x\"]"), 204);
    assert_eq!(rig.poll("x"), "a[\"after\"]\n");
    assert_eq!(script.taken(), ["Unsupported"; 12]);
    let mut old = [Way::Sio06Socket, Way::Sio06Polling].map(|way| rig.peer(way));
    for peer in &mut old {
        assert_eq!(peer.ask(&mut rig, "x"), ["after"]);
        assert_eq!(script.taken(), ["Unsupported"; 3], "{:?}", peer.way);
    }
    assert_eq!(rig.stats().unsupported, 18);
    assert_eq!(rig.stats().messages_out, 6);

    // A mixed room: only who got it counts.
    let mut peers = Way::EVENTS.map(|way| rig.peer(way));
    let id = script.id(6);
    let counts = rig
        .server
        .with_app(|app| {
            let all = || app.to_each(script.ids.borrow().iter().copied());
            let to_each = all().emit("e", (1, "b"));
            let to_one = app.to(script.id(0)).emit("e", ());
            let to_event = app.to(id).emit("one", ());
            [to_each, to_one, to_event, all().send("text")]
        })
        .unwrap();
    assert_eq!(counts, [2, 0, 1, 8]);
    assert_eq!(rig.stats().unsupported, 18 + 6 + 1);
    for (n, peer) in peers.iter_mut().enumerate() {
        let way = peer.way;
        let mut want = vec![way.event("", None, "e", "[1,\"b\"]")];
        want.extend((n == 0).then(|| way.event("", None, "one", "[]")));
        want.push(way.message("", "text"));
        assert_eq!(peer.hear(&mut rig), want);
    }
    for peer in &mut old {
        assert_eq!(peer.hear(&mut rig), ["text"], "{:?}", peer.way);
    }
    assert_eq!(plain.texts(&mut rig), ["text"]);
    assert_eq!(raw.texts(&mut rig), ["text"]);
    assert_eq!(framed.texts(&mut rig), ["a[\"text\"]"]);
    assert_eq!(rig.poll("x"), "a[\"text\"]\n");
    rig.left(&script, (peers, old, plain, raw, framed));
    assert_eq!(script.closed().len(), 8);
}

/// Rooms, `all`, `except`: of one router, over all its mounts, in each one's own form.
#[test]
fn targets() {
    let (mut rig, script) = mixed(Script {
        open: Box::new(|me, cx, _| {
            cx.join(if me.n % 2 == 0 { "even" } else { "odd" });
            Ok(())
        }),
        act: Box::new(|me, cx, args| {
            let script = Rc::clone(&me.script);
            let count = match args[0].as_str().unwrap() {
                "all" => cx.all().emit("e", 1),
                "others" => cx.all().except(cx.id()).emit("e", 1),
                "even" => cx.room("even").emit("e", 1),
                "not even" => cx.all().except_room("even").emit("e", 1),
                "nobody" => cx.room("nobody").emit("e", 1),
                "twice" => cx.to_each([cx.id(), cx.id()]).emit("e", 1),
                "value" => cx.all().send(Json([1])),
                word => panic!("{word}"),
            };
            script.note(count.to_string());
        }),
        ..Script::default()
    });
    // The numbers 0 to 4; the last one has no events.
    let mut peers: Vec<Peer> = [Way::EVENTS, Way::EVENTS]
        .concat()
        .into_iter()
        .map(|way| rig.peer(way))
        .collect();
    let mut plain = rig.client("/ws");
    #[rustfmt::skip]
    let cases: &[(&str, &str, &[usize])] = &[
        ("all",      "4", &[0, 1, 2, 3]),
        ("others",   "3", &[0, 2, 3]),
        ("even",     "2", &[0, 2]),
        ("not even", "2", &[1, 3]),
        ("nobody",   "0", &[]),
        ("twice",    "2", &[1, 1]),
        ("value",    "5", &[0, 1, 2, 3]),
    ];
    for &(word, count, who) in cases {
        let way = peers[1].way;
        peers[1].say(
            &mut rig,
            &way.event("", None, "do", &format!("[\"{word}\"]")),
        );
        assert_eq!(script.taken(), [count], "{word}");
        for (n, peer) in peers.iter_mut().enumerate() {
            let packet = match word {
                "value" => "4:::[1]".to_owned(),
                _ => peer.way.event("", None, "e", "[1]"),
            };
            let times = who.iter().filter(|who| **who == n).count();
            assert_eq!(peer.hear(&mut rig), vec![packet; times], "{word} {n}");
        }
        let texts: &[&str] = if word == "value" { &["[1]"] } else { &[] };
        assert_eq!(plain.texts(&mut rig), texts);
    }
    // Whoever is gone is not reached.
    drop(peers.pop());
    rig.pass(secs(50));
    peers[1].silent(&mut rig);
    assert_eq!(peers[1].act(&mut rig, "not even").len(), 1);
    assert_eq!(script.taken(), ["1"]);
    rig.left(&script, (peers, plain));
}

/// The same for messages, to clients of each family.
#[test]
fn messages_to_many() {
    let (mut rig, script) = mixed(Script {
        open: Box::new(|me, cx, _| {
            cx.join(if me.n < 2 { "first" } else { "others" });
            Ok(())
        }),
        message: Box::new(|me, cx, message| {
            let count = match message.text().unwrap() {
                "all" => cx.all().send("text"),
                "others" => cx.all().except(cx.id()).send("text"),
                "first" => cx.room("first").send("text"),
                "not first" => cx.all().except_room("first").send("text"),
                "nobody" => cx.room("nobody").send("text"),
                "twice" => cx.to_each([cx.id(), cx.id()]).send("text"),
                "value" => cx.all().send(Json([1])),
                "leave" => {
                    cx.leave("first");
                    cx.room("first").send("text")
                }
                word => panic!("{word}"),
            };
            me.script.note(count.to_string());
        }),
        ..Script::default()
    });
    // The numbers 0 to 4.
    let mut peers = Way::ALL.map(|way| rig.peer(way));
    let mut plain = rig.client("/ws");
    #[rustfmt::skip]
    let cases: &[(&str, Said, &[usize])] = &[
        ("all",       Text("text"), &[0, 1, 2, 3, 4]),
        ("others",    Text("text"), &[0, 2, 3, 4]),
        ("first",     Text("text"), &[0, 1]),
        ("not first", Text("text"), &[2, 3, 4]),
        ("nobody",    Text("text"), &[]),
        ("twice",     Text("text"), &[1, 1]),
        ("value",     Value("[1]"), &[0, 1, 2, 3, 4]),
        ("leave",     Text("text"), &[0]),
    ];
    for &(word, said, who) in cases {
        let way = peers[1].way;
        peers[1].say(&mut rig, &way.message("", word));
        assert_eq!(script.taken(), [who.len().to_string()], "{word}");
        let times = |n| who.iter().filter(|who| **who == n).count();
        for (n, peer) in peers.iter_mut().enumerate() {
            let want = vec![peer.way.said(said); times(n)];
            assert_eq!(peer.hear(&mut rig), want, "{word} {:?}", peer.way);
        }
        let (Text(text) | Value(text)) = said;
        assert_eq!(plain.texts(&mut rig), vec![text; times(4)], "{word}");
    }
    rig.left(&script, (peers, plain));
}

/// Over the same session, at the root and at an endpoint: each in the endpoint's name.
#[test]
fn to_the_root_and_to_endpoints() {
    let script = |word: &'static str| {
        acting(move |me, cx, _| {
            let count = cx.all().emit(word, ()) + cx.all().send(word);
            me.script.note(count.to_string());
        })
    };
    for way in Way::EVENTS {
        let (mut rig, [root, chat]) = with_chat(script("root"), script("chat"));
        let mut peers = [rig.peer(way), rig.peer(way), rig.peer(way)];
        for peer in &mut peers[..2] {
            peer.join(&mut rig, "/chat");
        }
        peers[0].say(&mut rig, &way.event("", None, "do", "[\"x\"]"));
        assert_eq!((root.taken(), chat.taken()), (vec!["6".to_owned()], vec![]));
        for peer in &mut peers {
            let want = [way.event("", None, "root", "[]"), way.message("", "root")];
            assert_eq!(peer.hear(&mut rig), want);
        }
        peers[0].say(&mut rig, &way.event("/chat", None, "do", "[\"x\"]"));
        assert_eq!((root.taken(), chat.taken()), (vec![], vec!["4".to_owned()]));
        for peer in &mut peers[..2] {
            let at = "/chat";
            let want = [way.event(at, None, "chat", "[]"), way.message(at, "chat")];
            assert_eq!(peer.hear(&mut rig), want);
        }
        peers[2].silent(&mut rig);
        rig.left(&root, peers);
    }
}

/// What may be lost is not sent to who has not taken the earlier ones; nor is it counted.
#[test]
fn volatile() {
    let settings = Settings {
        write_high_bytes: 8 << 20,
        write_max_bytes: 64 << 20,
        ..Settings::default()
    };
    let way = Way::Sio09Socket;
    let (mut rig, script) = events_with(
        acting(|me, cx, word| {
            let slow = me.script.id(0);
            match word {
                "fill" => assert_eq!(cx.to(slow).send("x".repeat(16 << 20)), 1),
                _ => {
                    let count = cx.all().volatile().emit("tick", ());
                    me.script.note(count.to_string());
                }
            }
        }),
        settings,
        quiet(),
    );
    let mut slow = rig.peer(way);
    let mut fast = rig.peer(way);
    let tick = way.event("", None, "tick", "[]");
    assert_eq!(fast.act(&mut rig, "tick"), [tick.as_str()]);
    assert_eq!(slow.hear(&mut rig), [tick.as_str()]);
    assert_eq!(script.taken(), ["2"]);
    assert_eq!(fast.act(&mut rig, "fill"), [""; 0]);
    assert_eq!(fast.act(&mut rig, "tick"), [tick.as_str()]);
    assert_eq!(script.taken(), ["1"]);
    // A long message may come in fragments.
    let mut got = 0;
    while got < 4 + (16 << 20) {
        got += slow.receiver().frame(&mut rig).payload.len();
    }
    assert_eq!(got, 4 + (16 << 20));
    slow.silent(&mut rig);
    assert_eq!(fast.act(&mut rig, "tick"), [tick.as_str()]);
    assert_eq!(slow.hear(&mut rig), [tick.as_str()]);
    rig.left(&script, (slow, fast));
}

/// A client that does not take its events is told apart from one that does: `Full`, then closed.
#[test]
fn full() {
    let settings = Settings {
        write_low_bytes: 1024,
        write_high_bytes: 2048,
        write_max_bytes: 4096,
        ..Settings::default()
    };
    let mut script = acting(|me, cx, word| {
        let text = "x".repeat(900);
        match word {
            "some" => {
                let sent: Vec<Sent> = (0..3).map(|_| cx.emit("e", &text)).collect();
                me.script.note(format!("{sent:?}"));
            }
            _ => {
                while cx.emit("e", &text) != Sent::Gone {}
                me.script.note("gone");
            }
        }
    });
    script.writable = Box::new(|me, _| me.script.note("writable"));
    let (mut rig, script) = events_with(script, settings, quiet());
    // Between two polls nothing is taken.
    let way = Way::Sio09Polling;
    let mut peer = rig.peer(way);
    // The poll that waits takes what was sent by the end of the turn.
    peer.act(&mut rig, "some");
    let log = script.taken();
    assert_eq!(log[0], "[Queued, Queued, Full]");
    assert_eq!(log[1..], ["writable"]);
    peer.say(&mut rig, &way.event("", None, "do", "[\"all\"]"));
    assert_eq!(script.taken(), ["gone"]);
    assert_eq!(script.last_reason().cause, Cause::Overflow);
    let heard = peer.hear(&mut rig);
    assert_eq!(heard.last(), Some(&way.leave("")));
    rig.left(&script, peer);
}

/// What `on_open` sends counts as well, and is told when it has been taken.
#[test]
fn full_in_on_open() {
    let settings = Settings {
        write_low_bytes: 1024,
        write_high_bytes: 2048,
        write_max_bytes: 4096,
        ..Settings::default()
    };
    // Whatever a message weighs in either place.
    for bytes in [1, 40, 100, 104, 109, 130, 160, 190, 250, 500, 900] {
        let open = move || Script {
            open: Box::new(move |me, cx, _| {
                let text = "x".repeat(bytes);
                let mut count = 1;
                while cx.send(&text) == Sent::Queued {
                    count += 1;
                }
                me.script.note(count.to_string());
                Ok(())
            }),
            writable: Box::new(|me, _| me.script.note("writable")),
            ..Script::default()
        };
        for way in Way::ALL {
            let (mut rig, script) = events_with(open(), settings.clone(), quiet());
            let (peer, heard) = Peer::greeted(&mut rig, way, "/socket.io", "");
            rig.settle();
            let log = script.taken();
            assert_eq!(log, [heard.len().to_string(), "writable".into()], "{way:?}");
            rig.left(&script, peer);
        }
        let (mut rig, script) = mixed_with(open(), settings.clone());
        for path in ["/ws", "/s/websocket", "/s/0/x/websocket"] {
            let mut client = rig.client(path);
            client.text(&mut rig);
            rig.settle();
            let log = script.taken();
            assert_eq!(log[1..], ["writable"], "{path} {bytes}");
        }
    }
}

/// A POST to a session that the server has closed is not accepted: nobody would be given it.
#[test]
fn posts_after_the_end() {
    for way in Way::ALL.iter().copied().filter(|way| !way.is_socket()) {
        let (mut rig, script) = events(Script::default());
        let mut peer = rig.peer(way);
        // The poll that waits takes what was sent first; what closes waits for the next.
        let id = script.id(0);
        let close = rig.server.with_app(|app| {
            app.to(id).send("last");
        });
        close.unwrap();
        rig.settle();
        rig.server.with_app(|app| app.to(id).close()).unwrap();
        let mut post = peer.post(&mut rig, &[way.message("", "x")]);
        assert_eq!(post.answer(&mut rig).status, 401, "{way:?}");
        rig.left(&script, (peer, post));
    }
}

/// What is said of the way that a client is connected by.
#[test]
fn transports() {
    for way in Way::ALL {
        let (mut rig, script) = events(Script {
            open: Box::new(|me, cx, req| {
                me.script
                    .note(format!("{:?} {:?}", req.transport(), cx.transport()));
                Ok(())
            }),
            ..acting(|me, cx, _| {
                me.script
                    .note(format!("{:?} {:?}", cx.transport(), cx.dialect()));
            })
        });
        let mut peer = rig.peer(way);
        let (name, transport) = match way.is_socket() {
            true => ("WebSocket", Transport::WebSocket),
            false => ("XhrPolling", Transport::XhrPolling),
        };
        // Where a handshake comes first it is not known yet.
        let (known, dialect) = match way.has_events() {
            true => ("None None".to_owned(), "SocketIo09"),
            false => (format!("Some({name}) {name}"), "SocketIo06"),
        };
        assert_eq!(script.taken(), [known]);
        peer.act(&mut rig, "x");
        assert_eq!(script.taken(), [format!("{transport:?} {dialect}")]);
        let stats = rig.stats();
        let counts = (stats.transports.websocket, stats.transports.xhr_polling);
        assert_eq!(
            counts,
            ((name == "WebSocket").into(), (name != "WebSocket").into())
        );
        rig.left(&script, peer);
    }
}

/// A client that polls is behind while more than `write_low_bytes` wait for its next poll.
#[test]
fn volatile_between_polls() {
    let settings = Settings {
        write_low_bytes: 1024,
        ..Settings::default()
    };
    let (mut rig, script) = events_with(Script::default(), settings, quiet());
    let way = Way::Sio09Polling;
    let mut peer = rig.peer(way);
    let id = script.id(0);
    let counts = |rig: &mut Rig<World>| {
        let counts = rig.server.with_app(|app| {
            let volatile = |name: &str| app.to(id).volatile().emit(name, ());
            let first = volatile("a");
            app.to(id).send("x".repeat(1024));
            [first, volatile("b")]
        });
        counts.unwrap()
    };
    assert_eq!(counts(&mut rig), [1, 0]);
    let heard = peer.hear(&mut rig);
    assert_eq!(heard.len(), 2);
    assert_eq!(heard[0], way.event("", None, "a", "[]"));
    assert_eq!(counts(&mut rig), [1, 0]);
    rig.left(&script, peer);
}

/// All endpoints of a session share what waits for it: they are told when it has been taken, and who goes on
/// at `Full` ends them all.
#[test]
fn full_at_an_endpoint() {
    let settings = Settings {
        write_low_bytes: 1024,
        write_high_bytes: 2048,
        write_max_bytes: 4096,
        ..Settings::default()
    };
    let script = || {
        let mut script = acting(|me, cx, word| {
            let text = "x".repeat(900);
            match word {
                "some" => {
                    let sent: Vec<Sent> = (0..3).map(|_| cx.emit("e", &text)).collect();
                    me.script.note(format!("{sent:?}"));
                }
                _ => while cx.emit("e", &text) != Sent::Gone {},
            }
        });
        script.writable = Box::new(|me, _| me.script.note("writable"));
        script
    };
    for way in Way::EVENTS {
        let (mut rig, [root, chat]) = with_chat_and(script(), script(), settings.clone(), quiet());
        let mut peer = rig.peer(way);
        peer.join(&mut rig, "/chat");
        assert_eq!(peer.act_at(&mut rig, "/chat", "some").len(), 3);
        assert_eq!(chat.taken(), ["[Queued, Queued, Full]", "writable"]);
        assert_eq!(root.taken(), ["writable"]);
        peer.act_at(&mut rig, "/chat", "all");
        for script in [&root, &chat] {
            assert_eq!(script.closed(), [0], "{way:?}");
            assert_eq!(script.last_reason().cause, Cause::Overflow);
        }
        rig.left(&root, peer);
    }
}
