//! Several connections of the application over one session.

use crate::support::*;
use dustdevil::{
    Cause, Connection, Cx, Deciding, Dialect, Message, Multiplex, Reject, Request, Router, Routes,
    Sent, Settings, SocketIoSettings, Transport, WebSocket,
};
use std::cell::RefCell;
use std::rc::Rc;

/// A class that says its name, and what it is asked.
struct Named(&'static str);

impl Connection for Named {
    type State = World;

    fn on_open(&mut self, cx: &mut Cx<'_, Self>, req: &Request<'_>) -> Result<(), Reject> {
        let at = cx.endpoint();
        let query = req.query("a").map(|text| text.into_owned());
        cx.state.push(format!("{} opens {at:?} {query:?}", self.0));
        Ok(())
    }

    fn on_message(&mut self, cx: &mut Cx<'_, Self>, message: Message<'_>) {
        cx.send(format!("{}: {}", self.0, message.text().unwrap()));
    }

    fn on_close(&mut self, cx: &mut Cx<'_, Self>, why: dustdevil::CloseReason) {
        cx.state.push(format!("{} closes {:?}", self.0, why.cause));
    }
}

fn named(name: &'static str) -> Router<Named> {
    Router::with(move |_| Named(name))
}

#[test]
fn the_table() {
    let router = || {
        named("root")
            .endpoint("/chat", &named("chat"))
            .endpoint("/chat", &named("never"))
            .endpoint("/chat/deep", &named("deep"))
            .endpoint("bare", &named("bare"))
            .endpoint("/é b", &named("odd"))
    };
    #[rustfmt::skip]
    let cases: &[(&str, Option<&str>)] = &[
        ("/chat",      Some("chat")),
        ("/chat/deep", Some("deep")),
        ("bare",       Some("bare")),
        ("/é b",       Some("odd")),
        // The client's own spelling counts.
        ("/Chat",      None),
        ("/chat/",     None),
        ("chat",       None),
        ("/",          None),
        ("/nosuch",    None),
        ("/%63hat",    None),
    ];
    for way in Way::EVENTS {
        for refuse in [false, true] {
            let of = SocketIoSettings {
                refuse_unknown_endpoints: refuse,
                ..quiet()
            };
            let routes = Routes::new().socketio("/socket.io", &router(), sio(of));
            let mut rig = Rig::new(World::new(), Settings::default(), routes);
            let mut peer = rig.peer(way);
            assert_eq!(rig.noted(), ["root opens None None"]);
            for &(at, name) in cases {
                let heard = peer.ask(&mut rig, &way.join(at));
                let said = peer.ask(&mut rig, &way.message(at, "x"));
                match name {
                    Some(name) => {
                        assert_eq!(heard, [way.join(at)], "{at}");
                        assert_eq!(said, [way.message(at, &format!("{name}: x"))], "{at}");
                        let opens = format!("{name} opens {:?} None", Some(at));
                        assert_eq!(rig.noted(), [opens]);
                    }
                    None => {
                        let want = if refuse {
                            vec![way.refusal(at)]
                        } else {
                            vec![]
                        };
                        assert_eq!(heard, want, "{at}");
                        assert_eq!(said, [""; 0], "{at}");
                        assert_eq!(rig.noted(), [""; 0], "{at}");
                    }
                }
            }
            assert_eq!(rig.stats().connections_open, 5);
            assert_eq!(rig.stats().sessions_open, 1);
            // The session ends, and all of it with it: each once.
            assert_eq!(peer.ask(&mut rig, &way.leave("")), [way.leave("")]);
            let mut log = rig.noted();
            log.sort_unstable();
            let want = ["bare", "chat", "deep", "odd", "root"];
            assert_eq!(log, want.map(|name| format!("{name} closes Client")));
        }
    }
}

#[test]
fn endpoints_by_function() {
    for way in Way::EVENTS {
        let asked: Rc<RefCell<Vec<String>>> = Rc::default();
        let log = Rc::clone(&asked);
        let rooms = named("room").any();
        let router =
            named("root")
                .endpoint("/chat", &named("chat"))
                .endpoint_fn(move |name, req| {
                    log.borrow_mut().push(name.to_owned());
                    let known =
                        name.starts_with("/room/") && req.query("key").as_deref() == Some("1");
                    known.then(|| rooms.clone())
                });
        let mut rig = serving(router);
        let mut peer = Peer::open(&mut rig, way, "/socket.io", "?key=1");
        rig.noted();
        peer.join(&mut rig, "/chat");
        assert!(asked.take().is_empty(), "the table comes first");
        peer.join(&mut rig, "/room/1");
        peer.join(&mut rig, "/room/2");
        assert_eq!(peer.ask(&mut rig, &way.join("/hall/1")), [""; 0]);
        assert_eq!(asked.take(), ["/room/1", "/room/2", "/hall/1"]);
        let heard = peer.ask(&mut rig, &way.message("/room/2", "x"));
        assert_eq!(heard, [way.message("/room/2", "room: x")]);
        let mut other = rig.peer(way);
        assert_eq!(other.ask(&mut rig, &way.join("/room/1")), [""; 0]);
        assert_eq!(rig.stats().connections_open, 5);
    }
}

/// A connect that comes again is answered, and nothing else.
#[test]
fn connected_twice() {
    for way in Way::EVENTS {
        let mut rig = serving(named("root").endpoint("/chat", &named("chat")));
        let mut peer = rig.peer(way);
        rig.noted();
        peer.join(&mut rig, "/chat");
        assert_eq!(rig.noted().len(), 1);
        for at in ["/chat", "/chat"] {
            assert_eq!(peer.ask(&mut rig, &way.join(at)), [way.join(at)], "{at:?}");
            assert_eq!(rig.noted(), [""; 0], "{at:?}");
        }
        // The root has been greeted.
        peer.silent(&mut rig);
        assert_eq!(peer.ask(&mut rig, &way.join("")), [""; 0]);
        let packets = vec![way.join("/chat"); 3];
        peer.say_all(&mut rig, &packets);
        assert_eq!(peer.hear(&mut rig), packets);
        assert_eq!(rig.stats().connections_open, 2);
        // Left and joined again it is another one.
        assert_eq!(
            peer.ask(&mut rig, &way.leave("/chat")),
            [way.leave("/chat")]
        );
        peer.join(&mut rig, "/chat");
        let log = rig.noted();
        assert_eq!(
            log,
            ["chat closes Client", "chat opens Some(\"/chat\") None"]
        );
    }
}

/// The endpoint's own query is asked first, then that of the handshake; the answer has no query.
#[test]
fn queries() {
    #[rustfmt::skip]
    let cases: &[(&str, &str)] = &[
        ("1::/chat",             "Some(\"handshake\")"),
        ("1::/chat?a=own",       "Some(\"own\")"),
        ("1::/chat?b=1",         "Some(\"handshake\")"),
        ("1::/chat?a=",          "Some(\"\")"),
        ("1::/chat?",            "Some(\"handshake\")"),
        ("1::/chat?a=x%20y+z",   "Some(\"x y z\")"),
        ("1::/chat?b=1&a=own",   "Some(\"own\")"),
        ("1::/chat:?a=own",      "Some(\"own\")"),
    ];
    for way in Way::EVENTS {
        let mut rig = serving(named("root").endpoint("/chat", &named("chat")));
        let mut peer = Peer::open(&mut rig, way, "/socket.io", "?a=handshake&t=1");
        assert_eq!(rig.noted(), ["root opens None Some(\"handshake\")"]);
        for &(packet, want) in cases {
            assert_eq!(peer.ask(&mut rig, packet), ["1::/chat"], "{packet}");
            let opens = format!("chat opens Some(\"/chat\") {want}");
            assert_eq!(rig.noted(), [opens], "{packet}");
            peer.say(&mut rig, &way.leave("/chat"));
            assert_eq!(rig.noted(), ["chat closes Client"]);
            peer.hear(&mut rig);
        }
    }
}

/// Everything that is said to an endpoint that is not connected is ignored.
#[test]
fn nobody_is_there() {
    for way in Way::EVENTS {
        let (mut rig, [root, chat]) = with_chat(Script::default(), Script::default());
        let mut peer = rig.peer(way);
        let packets = |at| {
            [
                way.message(at, "x"),
                way.event(at, Some(1), "do", "[\"x\"]"),
                way.event(at, None, "nobody", "[]"),
                way.answer(at, 1, "[1]"),
                way.leave(at),
                format!("3:1:{at}:x"),
                format!("4::{at}:[]"),
                format!("7::{at}:2"),
                format!("2::{at}"),
                format!("8::{at}"),
            ]
        };
        for at in ["/chat", "/nosuch"] {
            for packet in packets(at) {
                assert_eq!(peer.ask(&mut rig, &packet), [""; 0], "{packet}");
            }
        }
        assert!(chat.ids.borrow().is_empty());
        let alive = peer.ask(&mut rig, &way.message("", "alive"));
        assert_eq!(alive, [way.message("", "alive")]);
        rig.left(&root, peer);
    }
}

/// Both sides can leave.
#[test]
fn left() {
    for way in Way::EVENTS {
        let script = || {
            acting(|_, cx, _| {
                cx.send("last");
                cx.close_with(3000, "enough");
                assert_eq!(cx.send("never"), Sent::Gone);
                assert_eq!(cx.emit("never", ()), Sent::Gone);
            })
        };
        let (mut rig, [root, chat]) = with_chat(script(), script());
        let mut peer = rig.peer(way);
        peer.join(&mut rig, "/chat");
        // The client.
        assert_eq!(
            peer.ask(&mut rig, &way.leave("/chat")),
            [way.leave("/chat")]
        );
        let why = chat.last_reason();
        assert_eq!((why.cause, why.clean), (Cause::Client, true));
        assert_eq!(peer.ask(&mut rig, &way.leave("/chat")), [""; 0]);
        // The server; what was said behind it is dropped.
        peer.join(&mut rig, "/chat");
        let packets = [
            way.event("/chat", None, "do", "[\"x\"]"),
            way.message("/chat", "late"),
            way.message("", "in time"),
        ];
        peer.say_all(&mut rig, &packets);
        let want = [
            way.message("/chat", "last"),
            way.leave("/chat"),
            way.message("", "in time"),
        ];
        assert_eq!(peer.hear(&mut rig), want);
        let why = chat.last_reason();
        assert_eq!((why.cause, why.code), (Cause::Server, 3000));
        assert_eq!(why.reason, "enough");
        // The server closes the root: all of it.
        peer.join(&mut rig, "/chat");
        let packets = [
            way.event("", None, "do", "[\"x\"]"),
            way.message("/chat", "late"),
        ];
        peer.say_all(&mut rig, &packets);
        assert_eq!(
            peer.hear(&mut rig),
            [way.message("", "last"), way.leave("")]
        );
        assert_eq!((chat.closed(), root.closed()), (vec![0, 1, 2], vec![0]));
        assert_eq!(chat.last_reason().cause, Cause::Server);
        rig.left(&root, peer);
    }
}

/// A refusal undoes what `on_open` has done, and the endpoint can be tried again.
#[test]
fn refused() {
    type Refusal = fn() -> Reject;
    for refusal in [
        (|| Reject::from("no")) as Refusal,
        || Reject::status(500),
        || Reject::close(4000, "no"),
    ] {
        for way in Way::EVENTS {
            let chat = Script {
                open: Box::new(move |me, cx, _| {
                    cx.join("room");
                    cx.send("never");
                    cx.emit("never", ());
                    cx.after(secs(1), |me, _| me.script.note("a dead timer"));
                    match me.n {
                        1 => Ok(()),
                        _ => Err(refusal()),
                    }
                }),
                message: Box::new(|me, cx, _| {
                    me.script.note(cx.room("room").fetch().len().to_string());
                }),
                ..Script::default()
            };
            let (mut rig, [root, chat]) = with_chat(Script::default(), chat);
            let mut peer = rig.peer(way);
            let packets = [way.join("/chat"), way.message("/chat", "x")];
            peer.say_all(&mut rig, &packets);
            assert_eq!(peer.hear(&mut rig), [way.refusal("/chat")]);
            rig.pass(secs(2));
            assert_eq!(chat.taken(), [""; 0]);
            assert_eq!(rig.stats().rejected, 1);
            peer.say_all(&mut rig, &packets);
            assert_eq!(peer.hear(&mut rig)[0], way.join("/chat"));
            assert_eq!(chat.taken(), ["1"]);
            assert_eq!(root.closed(), [0; 0]);
            rig.left(&root, peer);
            assert_eq!(chat.closed(), [1]);
        }
    }
}

#[test]
fn a_panic_in_on_open() {
    quiet_panics();
    for way in Way::EVENTS {
        let chat = Script {
            open: Box::new(|_, _, _| panic!("{}", MEANT)),
            ..Script::default()
        };
        let (mut rig, [root, chat]) = with_chat(Script::default(), chat);
        let mut peer = rig.peer(way);
        assert_eq!(
            peer.ask(&mut rig, &way.join("/chat")),
            [way.refusal("/chat")]
        );
        assert_eq!(chat.closed(), [0; 0]);
        let alive = peer.ask(&mut rig, &way.message("", "alive"));
        assert_eq!(alive, [way.message("", "alive")]);
        rig.left(&root, peer);
    }
}

/// As many as `endpoints_max`; names up to `endpoint_bytes_max`.
#[test]
fn limits() {
    let of = SocketIoSettings {
        endpoints_max: 2,
        endpoint_bytes_max: 8,
        refuse_unknown_endpoints: true,
        ..quiet()
    };
    for way in Way::EVENTS {
        let any = named("any").any();
        let router = named("root").endpoint_fn(move |_, _| Some(any.clone()));
        let routes = Routes::new().socketio("/socket.io", &router, sio(of.clone()));
        let mut rig = Rig::new(World::new(), Settings::default(), routes);
        let mut peer = rig.peer(way);
        peer.join(&mut rig, "/a");
        // Just under and just over, in bytes.
        peer.join(&mut rig, "/23456é");
        assert_eq!(peer.ask(&mut rig, &way.join("/c")), [way.refusal("/c")]);
        assert_eq!(peer.ask(&mut rig, &way.join("/a")), [way.join("/a")]);
        peer.ask(&mut rig, &way.leave("/a"));
        let heard = peer.ask(&mut rig, &way.join("/234567é"));
        assert!(!heard.contains(&way.join("/234567é")), "{heard:?}");
        peer.join(&mut rig, "/c");
        assert_eq!(rig.stats().connections_open, 3);
    }
}

/// It is still known when the session is gone.
#[test]
fn the_session_in_on_close() {
    for way in Way::EVENTS {
        for how in ["leaves", "is closed", "is lost"] {
            let script = || Script {
                close: Box::new(|me, cx, _| {
                    me.script.note(cx.session_id().unwrap_or_default());
                }),
                ..Script::default()
            };
            let (mut rig, [root, chat]) = with_chat(script(), script());
            let mut peer = rig.peer(way);
            peer.join(&mut rig, "/chat");
            let id = peer.id.clone();
            match how {
                "leaves" => peer.say(&mut rig, &way.leave("")),
                "is closed" => {
                    let root = root.id(0);
                    rig.server.with_app(|app| app.to(root).close()).unwrap();
                }
                _ => peer.cut(),
            }
            rig.settle();
            rig.left(&root, peer);
            assert_eq!(root.taken(), [&*id], "{way:?} {how}");
            assert_eq!(chat.taken(), [&*id], "{way:?} {how}");
        }
    }
}

/// What each of them can ask of itself.
#[test]
fn who_am_i() {
    for way in Way::EVENTS {
        let script = || Script {
            open: Box::new(|me, cx, req| {
                assert!(cx.session_id().is_some());
                let transport = req.transport().map(Transport::name);
                me.script.note(format!("{transport:?} {:?}", req.path()));
                Ok(())
            }),
            close: Box::new(|me, cx, _| {
                me.script.note(format!("{:?}", cx.endpoint()));
            }),
            ..acting(|me, cx, _| {
                assert_eq!(cx.dialect(), Dialect::SocketIo09);
                assert!(cx.remote_addr().is_some_and(|addr| addr.ip().is_loopback()));
                let a = cx.request(|req| req.query("a").map(|text| text.into_owned()));
                let (session, at) = (cx.session_id().unwrap(), cx.endpoint());
                let transport = cx.transport().name();
                me.script
                    .note(format!("{session} {at:?} {transport} {a:?}"));
            })
        };
        let (mut rig, [root, chat]) = with_chat(script(), script());
        let mut peer = Peer::open(&mut rig, way, "/socket.io", "?a=1");
        // The handshake is no transport.
        assert_eq!(root.taken(), ["None \"/socket.io/1/\""]);
        peer.join(&mut rig, "/chat");
        let opened = chat.taken();
        assert_eq!(opened.len(), 1);
        let transport = match way.is_socket() {
            true => "websocket",
            false => "xhr-polling",
        };
        for (at, script) in [("", &root), ("/chat", &chat)] {
            peer.act_at(&mut rig, at, "x");
            let at = (!at.is_empty()).then_some(at);
            let want = format!("{} {at:?} {transport} Some(Some(\"1\"))", peer.id);
            assert_eq!(script.taken(), [want]);
        }
        assert_ne!(root.id(0), chat.id(0));
        // At the end, too.
        peer.say(&mut rig, &way.leave(""));
        assert_eq!(root.taken(), ["None"]);
        assert_eq!(chat.taken(), ["Some(\"/chat\")"]);
        rig.left(&root, peer);
    }
}

#[test]
fn nothing_of_it_elsewhere() {
    let script = Rc::new(Script {
        message: Box::new(|_, cx, message| {
            assert_eq!(cx.endpoint(), None);
            cx.send(message);
        }),
        ..Script::default()
    });
    let router = router(&script);
    let routes = Routes::new()
        .socketio("/socket.io", &router, sio(quiet()))
        .sockjs("/s", &router, dustdevil::SockJs::default())
        .websocket("/ws", &router, WebSocket::default());
    let mut rig = Rig::new(World::new(), Settings::default(), routes);
    for way in [Way::Sio06Socket, Way::Sio06Polling] {
        let mut peer = rig.peer(way);
        assert_eq!(peer.ask(&mut rig, "1::/chat"), ["1::/chat"]);
        rig.left(&script, peer);
    }
    let mut client = rig.client("/ws");
    client.send("1::/chat");
    assert_eq!(client.texts(&mut rig), ["1::/chat"]);
    rig.poll("x");
    assert_eq!(rig.post("x", "[\"1::/chat\"]"), 204);
    assert_eq!(rig.poll("x"), "a[\"1::/chat\"]\n");
    rig.over(&script, client);
}

/// Rooms and `all` are those of a router, wherever it is mounted.
#[test]
fn rooms_over_all_mounts() {
    for way in Way::EVENTS {
        let chat = Rc::new(Script {
            open: Box::new(|_, cx, _| {
                cx.join("room");
                Ok(())
            }),
            message: Box::new(|me, cx, message| {
                let all = cx.all().send(message);
                let room = cx.room("room").except(cx.id()).send(message);
                me.script.note(format!("{all} {room}"));
            }),
            ..Script::default()
        });
        let scripts = [Rc::new(Script::default()), Rc::new(Script::default())];
        let chats = router(&chat);
        let routes = Routes::new()
            .socketio(
                "/socket.io",
                &router(&scripts[0]).endpoint("/chat", &chats),
                sio(quiet()),
            )
            .socketio(
                "/other",
                &router(&scripts[1]).endpoint("/talk", &chats),
                sio(quiet()),
            )
            .socketio("/root", &chats, sio(quiet()))
            .websocket("/ws", &chats, WebSocket::default());
        let mut rig = Rig::new(World::new(), Settings::default(), routes);
        let mut first = rig.peer(way);
        first.join(&mut rig, "/chat");
        let mut second = Peer::open(&mut rig, way, "/other", "");
        second.join(&mut rig, "/talk");
        let mut third = Peer::open(&mut rig, way, "/root", "");
        let mut plain = rig.client("/ws");
        first.say(&mut rig, &way.message("/chat", "x"));
        assert_eq!(chat.taken(), ["4 3"]);
        assert_eq!(first.hear(&mut rig), [way.message("/chat", "x")]);
        assert_eq!(second.hear(&mut rig), vec![way.message("/talk", "x"); 2]);
        assert_eq!(third.hear(&mut rig), vec![way.message("", "x"); 2]);
        assert_eq!(plain.texts(&mut rig), ["x", "x"]);
        let remote = rig.server.remote().unwrap();
        remote.room(chats.id(), "room", "y").unwrap();
        rig.settle();
        assert_eq!(first.hear(&mut rig), [way.message("/chat", "y")]);
        assert_eq!(second.hear(&mut rig), [way.message("/talk", "y")]);
        assert_eq!(third.hear(&mut rig), [way.message("", "y")]);
        assert_eq!(plain.texts(&mut rig), ["y"]);
        for script in &scripts {
            assert_eq!(script.taken(), [""; 0]);
        }
        rig.left(&chat, (first, second, third, plain));
        assert_eq!(chat.closed().len(), 4);
    }
}

/// Three classes over one session, joined before the greeting of the root has been heard.
#[test]
fn several_classes() {
    for way in Way::EVENTS {
        let router = named("root")
            .endpoint("/chat", &named("chat"))
            .endpoint("/ping", &named("ping"));
        let mut rig = serving(router);
        let mut peer = rig.peer(way);
        let packets = [
            way.join("/chat"),
            way.message("/chat", "a"),
            way.join("/ping"),
            way.message("/ping", "b"),
            way.message("", "c"),
            way.leave("/chat"),
            way.message("/chat", "d"),
            way.message("/ping", "e"),
        ];
        peer.say_all(&mut rig, &packets);
        let want = [
            way.join("/chat"),
            way.message("/chat", "chat: a"),
            way.join("/ping"),
            way.message("/ping", "ping: b"),
            way.message("", "root: c"),
            way.leave("/chat"),
            way.message("/ping", "ping: e"),
        ];
        assert_eq!(peer.hear(&mut rig), want);
    }
}

/// How a session ends, and what each of its connections is told.
#[test]
fn the_end_of_the_session() {
    for way in Way::EVENTS {
        for how in [
            "leaves",
            "asks to disconnect",
            "is closed",
            "expires",
            "is drained",
        ] {
            let (mut rig, [root, chat]) = with_chat(
                acting(|_, cx, _| cx.close_with(3000, "enough")),
                Script {
                    close: Box::new(|_, cx, _| {
                        assert_eq!(cx.send("x"), Sent::Gone);
                        assert!(!cx.is_open(cx.id()));
                    }),
                    ..Script::default()
                },
            );
            let mut peer = rig.peer(way);
            peer.join(&mut rig, "/chat");
            let id = peer.id.clone();
            let causes = match how {
                "leaves" => {
                    assert_eq!(peer.ask(&mut rig, &way.leave("")), [way.leave("")]);
                    [Cause::Client; 2]
                }
                "asks to disconnect" => {
                    let path = format!("/socket.io/1//{id}/?disconnect=1");
                    assert_eq!(rig.ask("GET", &path, "", b"").status, 200);
                    assert_eq!(peer.hear(&mut rig), [way.leave("")]);
                    [Cause::Client; 2]
                }
                "is closed" => {
                    assert_eq!(peer.act(&mut rig, "x"), [way.leave("")]);
                    [Cause::Server; 2]
                }
                "expires" => {
                    peer.cut();
                    rig.pass(secs(25));
                    assert_eq!(root.closed(), [0; 0]);
                    rig.pass(secs(25));
                    [Cause::Lost, Cause::Timeout]
                }
                _ => {
                    rig.server.drain(secs(5)).unwrap();
                    rig.pass(secs(2));
                    assert_eq!(peer.hear(&mut rig), ["7:::1+0"]);
                    [Cause::Shutdown; 2]
                }
            };
            for script in [&root, &chat] {
                assert_eq!(script.closed(), [0], "{way:?} {how}");
                let got = script.last_reason().cause;
                assert!(causes.contains(&got), "{way:?} {how}: {got:?}");
            }
            rig.left(&root, peer);
        }
    }
}

/// The decision about an endpoint is put off: its packets wait, the others do not.
#[test]
fn decided_later() {
    type Shelf = Rc<RefCell<Vec<Deciding<Probe>>>>;
    for way in Way::EVENTS {
        for how in ["accepted", "refused", "dropped", "left", "too late"] {
            let shelf = Shelf::default();
            let put = Rc::clone(&shelf);
            let chat = Script {
                open: Box::new(move |_, cx, _| {
                    put.borrow_mut().push(cx.decide_later());
                    cx.send("first");
                    Ok(())
                }),
                ..Script::default()
            };
            let (mut rig, [root, chat]) = with_chat(Script::default(), chat);
            let mut peer = rig.peer(way);
            let packets = [
                way.join("/chat"),
                way.message("/chat", "a"),
                way.message("", "b"),
            ];
            peer.say_all(&mut rig, &packets);
            assert_eq!(peer.hear(&mut rig), [way.message("", "b")], "{how}");
            let deciding = shelf.borrow_mut().pop().unwrap();
            match how {
                "accepted" => {
                    let thread = std::thread::spawn(move || {
                        deciding.accept(|_, cx| {
                            cx.send("second");
                        });
                    });
                    thread.join().unwrap();
                    rig.settle();
                    let mut want = vec![way.join("/chat")];
                    want.extend(["first", "second", "a"].map(|text| way.message("/chat", text)));
                    assert_eq!(peer.hear(&mut rig), want);
                }
                "refused" => {
                    deciding.refuse(Reject::from("no"));
                    rig.settle();
                    assert_eq!(peer.hear(&mut rig), [way.refusal("/chat")]);
                }
                "dropped" => {
                    drop(deciding);
                    rig.settle();
                    assert_eq!(peer.hear(&mut rig), [way.refusal("/chat")]);
                }
                "left" => {
                    assert_eq!(
                        peer.ask(&mut rig, &way.leave("/chat")),
                        [way.leave("/chat")]
                    );
                    deciding.accept(|_, _| panic!("nobody is there"));
                    rig.settle();
                    peer.silent(&mut rig);
                }
                _ => {
                    let heard = peer.hear_for(&mut rig, secs(65));
                    assert_eq!(heard, [way.refusal("/chat")]);
                    deciding.accept(|_, _| panic!("nobody is there"));
                    rig.settle();
                    peer.silent(&mut rig);
                }
            }
            let alive = peer.ask(&mut rig, &way.message("", "alive"));
            assert_eq!(alive, [way.message("", "alive")], "{how}");
            assert_eq!(rig.stats().panics, 0);
            rig.left(&root, peer);
            let closed = if how == "accepted" { vec![0] } else { vec![] };
            assert_eq!(chat.closed(), closed, "{how}");
        }
    }
}

/// The decision about the root is put off: so is the answer to the handshake.
#[test]
fn the_root_decided_later() {
    type Shelf = Rc<RefCell<Vec<Deciding<Probe>>>>;
    let shelf = Shelf::default();
    let put = Rc::clone(&shelf);
    let (mut rig, script) = events(Script {
        open: Box::new(move |_, cx, _| {
            put.borrow_mut().push(cx.decide_later());
            cx.send("first");
            Ok(())
        }),
        ..Script::default()
    });
    for way in Way::EVENTS {
        let mut handshake = rig.start("GET", "/socket.io/1/", "", b"");
        handshake.silent(&mut rig);
        shelf.borrow_mut().pop().unwrap().accept(|_, cx| {
            cx.send("second");
        });
        let answer = handshake.answer(&mut rig);
        let mut peer = Peer::of_answer(way, "/socket.io", &answer);
        let mut want = vec![way.join("")];
        want.extend(["first", "second"].map(|text| way.message("", text)));
        assert_eq!(peer.hear(&mut rig), want);
        // Refused, and given up by the client.
        let mut handshake = rig.start("GET", "/socket.io/1/", "", b"");
        handshake.silent(&mut rig);
        shelf
            .borrow_mut()
            .pop()
            .unwrap()
            .refuse(Reject::status(401));
        assert_eq!(handshake.answer(&mut rig).status, 401);
        let mut handshake = rig.start("GET", "/socket.io/1/", "", b"");
        handshake.silent(&mut rig);
        handshake.reset();
        rig.settle();
        shelf.borrow_mut().pop().unwrap().accept(|_, _| {});
        rig.settle();
        drop(peer);
    }
    rig.left(&script, ());
}

/// What others send to an endpoint that is being decided never comes before its greeting.
#[test]
fn sent_while_it_is_decided() {
    type Shelf = Rc<RefCell<Vec<Deciding<Probe>>>>;
    for way in Way::EVENTS {
        let shelf = Shelf::default();
        let put = Rc::clone(&shelf);
        let chat = Script {
            open: Box::new(move |_, cx, _| {
                put.borrow_mut().push(cx.decide_later());
                cx.join("room");
                Ok(())
            }),
            ..Script::default()
        };
        let (mut rig, [root, chat]) = with_chat(Script::default(), chat);
        let mut peer = rig.peer(way);
        assert_eq!(peer.ask(&mut rig, &way.join("/chat")), [""; 0]);
        let id = chat.id(0);
        rig.server
            .with_app(|app| {
                assert!(!app.is_open(id));
                app.to(id).emit("early", ());
                app.to(id).send("early");
            })
            .unwrap();
        rig.settle();
        peer.silent(&mut rig);
        shelf.borrow_mut().pop().unwrap().accept(|_, _| {});
        rig.settle();
        let heard = peer.hear(&mut rig);
        assert_eq!(heard[0], way.join("/chat"));
        rig.left(&root, peer);
    }
}

/// `on_open` closes what it opens, or what is around it.
#[test]
fn closed_in_on_open() {
    for way in Way::EVENTS {
        // Itself.
        let closing = || Script {
            open: Box::new(|_, cx, _| {
                cx.send("hello");
                cx.close();
                Ok(())
            }),
            ..Script::default()
        };
        let (mut rig, [root, chat]) = with_chat(Script::default(), closing());
        let mut peer = rig.peer(way);
        let heard = peer.ask(&mut rig, &way.join("/chat"));
        let hello = way.message("/chat", "hello");
        assert_eq!(heard, [way.join("/chat"), hello, way.leave("/chat")]);
        assert_eq!(chat.closed(), [0]);
        rig.left(&root, peer);
        let (mut rig, script) = events(closing());
        let answer = rig.ask("GET", "/socket.io/1/", "", b"");
        let mut peer = Peer::of_answer(way, "/socket.io", &answer);
        let hello = way.message("", "hello");
        assert_eq!(peer.hear(&mut rig), [way.join(""), hello, way.leave("")]);
        assert_eq!(script.closed(), [0]);
        rig.left(&script, peer);
        // Everything.
        let root = Rc::new(Script::default());
        let around = Rc::clone(&root);
        let chat = Rc::new(Script {
            open: Box::new(move |_, cx, _| {
                cx.to(around.id(0)).close();
                Ok(())
            }),
            ..Script::default()
        });
        let mut rig = serving(router(&root).endpoint("/chat", &router(&chat)));
        let mut peer = rig.peer(way);
        let heard = peer.ask(&mut rig, &way.join("/chat"));
        assert_eq!(heard.last(), Some(&way.leave("")), "{heard:?}");
        assert_eq!(root.closed(), [0]);
        rig.left(&root, peer);
        assert!(chat.closed().len() <= 1);
    }
}

/// Making an endpoint panics, or finding it.
#[test]
fn panics_before_on_open() {
    quiet_panics();
    for way in Way::EVENTS {
        let router = named("root")
            .endpoint("/made", &Router::<Named>::with(|_| panic!("{}", MEANT)))
            .endpoint_fn(|_, _| panic!("{}", MEANT));
        let mut rig = serving(router);
        let mut peer = rig.peer(way);
        let heard = peer.ask(&mut rig, &way.join("/made"));
        assert_eq!(heard, [way.refusal("/made")]);
        peer.ask(&mut rig, &way.join("/found"));
        let heard = peer.ask(&mut rig, &way.message("", "x"));
        assert_eq!(heard, [way.message("", "root: x")]);
        assert_eq!(rig.stats().panics, 2);
        assert_eq!(rig.stats().connections_open, 1);
    }
}

/// Behind the end of the session nothing is looked at.
#[test]
fn behind_the_end() {
    for way in Way::EVENTS {
        let mut rig = serving(named("root").endpoint("/chat", &named("chat")));
        let mut peer = rig.peer(way);
        rig.noted();
        let packets = [way.leave(""), way.join("/chat"), way.message("", "x")];
        peer.say_all(&mut rig, &packets);
        assert_eq!(peer.hear(&mut rig), [way.leave("")]);
        assert_eq!(rig.noted(), ["root closes Client"]);
    }
}

/// One payload connects and leaves again and again.
#[test]
fn coming_and_going() {
    for way in Way::EVENTS {
        let mut rig = serving(named("root").endpoint("/chat", &named("chat")));
        let mut peer = rig.peer(way);
        rig.noted();
        let both = [way.join("/chat"), way.leave("/chat")];
        let packets = vec![both; 500].concat();
        peer.say_all(&mut rig, &packets);
        assert_eq!(peer.hear(&mut rig), packets);
        assert_eq!(rig.noted().len(), 1000);
        assert_eq!(rig.stats().connections_open, 1);
    }
}

/// The session goes from one transport to another, and all of it with it; each is counted once.
#[test]
fn another_transport() {
    let transports = |rig: &mut Rig<World>| {
        let counts = rig.stats().transports;
        [counts.none, counts.websocket, counts.xhr_polling]
    };
    let script = || acting(|me, cx, _| me.script.note(cx.transport().name()));
    let (mut rig, [root, chat]) = with_chat(script(), script());
    let answer = rig.ask("GET", "/socket.io/1/", "", b"");
    assert_eq!(transports(&mut rig), [1, 0, 0]);
    let mut peer = Peer::of_answer(Way::Sio09Polling, "/socket.io", &answer);
    peer.hear(&mut rig);
    peer.join(&mut rig, "/chat");
    assert_eq!(rig.stats().sessions_open, 1);
    assert_eq!(transports(&mut rig), [0, 0, 1], "of sessions");
    for (way, name, want) in [
        (Way::Sio09Socket, "websocket", [0, 1, 0]),
        (Way::Sio09Polling, "xhr-polling", [0, 0, 1]),
        (Way::Sio09Socket, "websocket", [0, 1, 0]),
    ] {
        peer.cut();
        rig.settle();
        peer.way = way;
        peer.silent(&mut rig);
        for (at, script) in [("", &root), ("/chat", &chat)] {
            peer.act_at(&mut rig, at, "x");
            assert_eq!(script.taken(), [name], "{at:?}");
        }
        assert_eq!(transports(&mut rig), want);
    }
    rig.left(&root, peer);
}

/// When the root is told of the end, its endpoints are at theirs.
#[test]
fn the_last_words_of_the_root() {
    for way in Way::EVENTS {
        let chat = Rc::new(Script::default());
        let inner = Rc::clone(&chat);
        let root = Rc::new(Script {
            close: Box::new(move |_, cx, _| {
                let id = inner.id(0);
                assert!(!cx.is_open(id));
                assert_eq!(cx.to(id).send("x"), 0);
            }),
            ..Script::default()
        });
        let mut rig = serving(router(&root).endpoint("/chat", &router(&chat)));
        let mut peer = rig.peer(way);
        peer.join(&mut rig, "/chat");
        assert_eq!(peer.ask(&mut rig, &way.leave("")), [way.leave("")]);
        assert_eq!((root.closed(), chat.closed()), (vec![0], vec![0]));
        assert_eq!(rig.stats().panics, 0);
        rig.left(&root, peer);
    }
}

/// Channels of a [`Multiplex`] go over messages, of the root and of an endpoint; they have no events.
#[test]
fn channels_inside() {
    for way in Way::EVENTS {
        for at in ["", "/mux"] {
            let ann = Rc::new(Script {
                message: Box::new(|me, cx, message| match message.text().unwrap() {
                    "emit" => {
                        let never = |me: &mut Probe, _: &mut Cx<'_, Probe>, _| me.script.note("no");
                        let sent = [cx.emit("x", ()), cx.emit_ack("x", (), never)];
                        let all = cx.all().emit("x", ());
                        me.script.note(format!("{sent:?} {all}"));
                    }
                    "close" => cx.close(),
                    "who" => {
                        let session = cx.session_id().is_some();
                        me.script.note(format!("{:?} {session}", cx.dialect()));
                    }
                    _ => {
                        cx.send(message);
                    }
                }),
                ..Script::default()
            });
            let mux = Multiplex::new().channel("ann", &router(&ann)).router();
            let routes = match at {
                "" => Routes::new().socketio("/socket.io", &mux, sio(quiet())),
                at => {
                    let root = named("root").endpoint(at, &mux);
                    Routes::new().socketio("/socket.io", &root, sio(quiet()))
                }
            };
            let mut rig = Rig::new(World::new(), Settings::default(), routes);
            let mut peer = rig.peer(way);
            if !at.is_empty() {
                peer.join(&mut rig, at);
            }
            let say = |text: &str| way.message(at, text);
            assert_eq!(peer.ask(&mut rig, &say("sub,ann")), [""; 0]);
            let echo = say("msg,ann,hello: é");
            assert_eq!(peer.ask(&mut rig, &echo), [echo.as_str()]);
            assert_eq!(peer.ask(&mut rig, &say("msg,ann,emit")), [""; 0]);
            assert_eq!(ann.taken(), ["[Unsupported, Unsupported] 0"]);
            assert_eq!(rig.stats().unsupported, 3);
            peer.ask(&mut rig, &say("msg,ann,who"));
            assert_eq!(ann.taken(), ["SocketIo09 true"]);
            // An answer that is wanted is given by the connection below.
            let wanted = echo.replacen("3::", "3:7:", 1);
            let heard = peer.ask(&mut rig, &wanted);
            assert_eq!(heard.len(), 2, "{heard:?}");
            assert!(heard.contains(&way.answer(at, 7, "[]")), "{heard:?}");
            assert_eq!(peer.ask(&mut rig, &say("msg,ann,close")), [say("uns,ann")]);
            assert_eq!(ann.closed(), [0]);
            peer.ask(&mut rig, &say("sub,ann"));
            assert_eq!(peer.ask(&mut rig, &way.leave(at)), [way.leave(at)]);
            assert_eq!(ann.closed(), [0, 1]);
            assert_eq!(ann.last_reason().cause, Cause::Client);
            rig.left(&ann, peer);
        }
    }
}
