//! Acknowledgements that clients want: what handlers return, and what comes later.

use crate::support::*;
use dustdevil::{Ack, Connection, ConnectionId, Cx, Events, Json, Message, Pending, Router, Sent};
use std::cell::RefCell;
use std::rc::Rc;

/// A class whose handlers return one thing each.
#[derive(Default)]
struct Returning;

type At<'a, 'b> = &'a mut Cx<'b, Returning>;

impl Connection for Returning {
    type State = World;

    #[rustfmt::skip]
    fn events(on: &mut Events<Self>) {
        on.on("nothing",  |_, _: At, ()| ());
        on.on("number",   |_, _: At, ()| 7_u8);
        on.on("real",     |_, _: At, ()| 1.5);
        on.on("nan",      |_, _: At, ()| f64::NAN);
        on.on("bool",     |_, _: At, ()| true);
        on.on("text",     |_, _: At, ()| "a\"é\u{2028}");
        on.on("string",   |_, _: At, ()| String::from("s"));
        on.on("value",    |_, _: At, ()| serde_json::json!({"a": [1, null]}));
        on.on("null",     |_, _: At, ()| serde_json::Value::Null);
        on.on("one",      |_, _: At, ()| (1,));
        on.on("tuple",    |_, _: At, ()| (1, "b", None::<u8>));
        on.on("list",     |_, _: At, ()| (vec![1, 2],));
        on.on("json",     |_, _: At, ()| Json([1, 2]));
        on.on("some",     |_, _: At, ()| Some("x"));
        on.on("none",     |_, _: At, ()| None::<String>);
        on.on("some two", |_, _: At, ()| Some((1, 2)));
        on.on("add",      |_, _: At, (a, b): (f64, f64)| a + b);
        on.on("sent",     |_, cx: At, ()| { cx.send("before"); 1 });
        on.on("emitted",  |_, cx: At, ()| { cx.emit("before", ()); });
        on.on("taken",    |_, cx: At, ()| { let ack = cx.ack(); cx.reply(ack, "mine"); "not this" });
        on.on("kept",     |_, cx: At, ()| { let _ack = cx.ack(); "not this" });
        on.on("pending",  |_, _: At, ()| Pending);
        on.on("closed",   |_, cx: At, ()| { cx.close(); 1 });
    }
}

#[test]
fn what_handlers_return() {
    #[rustfmt::skip]
    let cases: &[(&str, &str, &str)] = &[
        ("nothing",  "[]",       "[]"),
        ("number",   "[]",       "[7]"),
        ("real",     "[]",       "[1.5]"),
        ("nan",      "[]",       "[null]"),
        ("bool",     "[]",       "[true]"),
        // Clients read answers a line at a time.
        ("text",     "[]",       "[\"a\\\"é\\u2028\"]"),
        ("string",   "[]",       "[\"s\"]"),
        ("value",    "[]",       "[{\"a\":[1,null]}]"),
        ("null",     "[]",       "[null]"),
        ("one",      "[]",       "[1]"),
        ("tuple",    "[]",       "[1,\"b\",null]"),
        ("list",     "[]",       "[[1,2]]"),
        ("json",     "[]",       "[[1,2]]"),
        ("some",     "[]",       "[\"x\"]"),
        ("none",     "[]",       "[]"),
        ("some two", "[]",       "[1,2]"),
        ("add",      "[1,2.5]",  "[3.5]"),
        ("taken",    "[]",       "[\"mine\"]"),
        // Nobody handles it.
        ("nobody",   "[1]",      "[]"),
    ];
    for way in Way::EVENTS {
        let root = Router::<Returning>::new().endpoint("/r", &Router::<Returning>::new());
        let mut rig = serving(root);
        let mut peer = rig.peer(way);
        peer.join(&mut rig, "/r");
        let mut id = 0;
        for at in ["", "/r"] {
            for &(name, args, want) in cases {
                id += 1;
                let asked = way.event(at, Some(id), name, args);
                let answer = way.answer(at, id, want);
                assert_eq!(peer.ask(&mut rig, &asked), [answer], "{asked}");
                // Who does not ask is not answered.
                let unasked = way.event(at, None, name, args);
                assert_eq!(peer.ask(&mut rig, &unasked), [""; 0], "{unasked}");
            }
        }
        // The largest id that is one, and ids that come again.
        for id in [1, 0, u32::MAX, 1] {
            let asked = way.event("", Some(id), "number", "[]");
            assert_eq!(peer.ask(&mut rig, &asked), [way.answer("", id, "[7]")]);
        }
        // What the handler sends comes first.
        let asked = way.event("", Some(1), "sent", "[]");
        let want = [way.message("", "before"), way.answer("", 1, "[1]")];
        assert_eq!(peer.ask(&mut rig, &asked), want);
        let asked = way.event("", Some(1), "emitted", "[]");
        let want = [way.event("", None, "before", "[]"), way.answer("", 1, "[]")];
        assert_eq!(peer.ask(&mut rig, &asked), want);
        // An acknowledgement that nobody gives.
        for name in ["kept", "pending"] {
            let asked = way.event("", Some(1), name, "[]");
            assert_eq!(peer.ask(&mut rig, &asked), [""; 0], "{name}");
        }
        // After a close nothing follows.
        let asked = way.event("/r", Some(1), "closed", "[]");
        assert_eq!(peer.ask(&mut rig, &asked), [way.leave("/r")]);
        let asked = way.event("", Some(1), "closed", "[]");
        assert_eq!(peer.ask(&mut rig, &asked), [way.leave("")]);
    }
}

/// Both forms of an id are answered alike: with data if there is some.
#[test]
fn both_forms_of_an_id() {
    #[rustfmt::skip]
    let cases: &[(&str, &[&str])] = &[
        (r#"5:1::{"name":"number"}"#,   &["6:::1+[7]"]),
        (r#"5:1+::{"name":"number"}"#,  &["6:::1+[7]"]),
        (r#"5:1::{"name":"nothing"}"#,  &["6:::1"]),
        (r#"5:1+::{"name":"nothing"}"#, &["6:::1"]),
        (r#"5:1::{"name":"nobody"}"#,   &["6:::1"]),
        (r#"5:1+::{"name":"nobody"}"#,  &["6:::1"]),
        (r#"5:1:/r:{"name":"number"}"#, &["6::/r:1+[7]"]),
        (r#"5:007:/r:{"name":"nothing"}"#, &["6::/r:7"]),
        ("3:1::x",                      &["6:::1"]),
        ("3:1+::x",                     &["6:::1"]),
        ("3:1:/r:x",                    &["6::/r:1"]),
        ("3:1:",                        &["6:::1"]),
        ("4:1::{}",                     &["6:::1"]),
        ("4:1+:/r:[]",                  &["6::/r:1"]),
        // Nobody is there, or nothing.
        ("3:1:/nosuch:x",               &[]),
        (r#"5:1+:/nosuch:{"name":"number"}"#, &[]),
        ("4:1::{",                      &[]),
        ("3:x::x",                      &[]),
        ("3:4294967296::x",             &[]),
    ];
    for way in Way::EVENTS {
        let root = Router::<Returning>::new().endpoint("/r", &Router::<Returning>::new());
        let mut rig = serving(root);
        let mut peer = rig.peer(way);
        peer.join(&mut rig, "/r");
        for &(packet, want) in cases {
            assert_eq!(peer.ask(&mut rig, packet), want, "{packet}");
        }
    }
}

/// A message with an id is acknowledged when its handler has run, or by who takes its [`Ack`].
#[test]
fn messages() {
    for way in Way::EVENTS {
        let (mut rig, script) = events(Script {
            message: Box::new(|me, cx, message| match message.text().unwrap() {
                "take" => {
                    let ack = cx.ack();
                    cx.send("taken");
                    let sent = cx.reply(ack, (1, "b"));
                    me.script.note(format!("{sent:?}"));
                }
                "later" => {
                    let ack = cx.ack();
                    cx.after(secs(1), move |_, cx| {
                        cx.reply(ack, ());
                    });
                }
                _ => {
                    cx.send(message);
                }
            }),
            ..Script::default()
        });
        let mut peer = rig.peer(way);
        #[rustfmt::skip]
        let cases: &[(&str, &[&str])] = &[
            ("3:1::hi",     &["3:::hi", "6:::1"]),
            ("3:2+::hi",    &["3:::hi", "6:::2"]),
            ("3:::hi",      &["3:::hi"]),
            ("4:3::[1]",    &["4:::[1]", "6:::3"]),
            ("3:4+::take",  &["3:::taken", "6:::4+[1,\"b\"]"]),
            ("3:5::take",   &["3:::taken", "6:::5+[1,\"b\"]"]),
            ("3:::take",    &["3:::taken"]),
            ("3:6+::later", &[]),
        ];
        for &(packet, want) in cases {
            assert_eq!(peer.ask(&mut rig, packet), want, "{packet}");
        }
        rig.pass(secs(2));
        assert_eq!(peer.hear(&mut rig), ["6:::6"]);
        // Who did not ask is not there to be answered.
        assert_eq!(script.taken(), ["Queued", "Queued", "Gone"]);
        rig.left(&script, peer);
    }
}

type Shelf = Rc<RefCell<Vec<Ack>>>;

/// Each event `later` puts its [`Ack`] where the test finds it.
fn shelving(more: impl Fn(&mut Probe, &mut Cx<'_, Probe>, &str) + 'static) -> (Script, Shelf) {
    let shelf = Shelf::default();
    let put = Rc::clone(&shelf);
    let script = acting(move |me, cx, word| match word {
        "shelve" => put.borrow_mut().push(cx.ack()),
        word => more(me, cx, word),
    });
    (script, shelf)
}

fn taken(shelf: &Shelf) -> Ack {
    shelf.borrow_mut().remove(0)
}

#[test]
fn pending_answered_by_anybody() {
    for way in Way::EVENTS {
        let (script, shelf) = shelving(|_, _, _| {});
        let others = Rc::clone(&shelf);
        let mut script = Script {
            message: Box::new(move |_, cx, message| {
                let ack = taken(&others);
                let sent = cx.reply(ack, message.text().unwrap());
                cx.send(format!("{sent:?}"));
            }),
            ..script
        };
        let timers = Rc::clone(&shelf);
        script.open = Box::new(move |_, cx, _| {
            let timers = Rc::clone(&timers);
            cx.after(secs(1), move |_, cx| {
                if !timers.borrow().is_empty() {
                    cx.reply(taken(&timers), (1, "timer"));
                }
            });
            Ok(())
        });
        let (mut rig, script) = events(script);
        let mut peer = rig.peer(way);
        let later = |id| way.event("", Some(id), "later", "[\"shelve\"]");
        // A timer.
        assert_eq!(peer.ask(&mut rig, &later(1)), [""; 0]);
        rig.pass(secs(2));
        assert_eq!(peer.hear(&mut rig), [way.answer("", 1, "[1,\"timer\"]")]);
        // Another connection's handler.
        let mut other = rig.peer(way);
        assert_eq!(peer.ask(&mut rig, &later(2)), [""; 0]);
        let said = other.ask(&mut rig, &way.message("", "hello"));
        assert_eq!(said, [way.message("", "Queued")]);
        assert_eq!(peer.hear(&mut rig), [way.answer("", 2, "[\"hello\"]")]);
        // The server itself, in another order than they were asked in.
        for id in [3, 4] {
            peer.say(&mut rig, &later(id));
        }
        let (first, second) = (taken(&shelf), taken(&shelf));
        rig.server
            .with_app(|app| {
                assert_eq!(app.reply(second, Json(2)), Sent::Queued);
                assert_eq!(app.reply(first, ()), Sent::Queued);
            })
            .unwrap();
        let want = [way.answer("", 4, "[2]"), way.answer("", 3, "[]")];
        assert_eq!(peer.hear(&mut rig), want);
        // Another thread.
        peer.say(&mut rig, &later(5));
        let (ack, remote) = (taken(&shelf), rig.server.remote().unwrap());
        let thread = std::thread::spawn(move || remote.reply(ack, ("thread", vec![1])));
        thread.join().unwrap();
        rig.settle();
        let want = [way.answer("", 5, "[\"thread\",[1]]")];
        assert_eq!(peer.hear(&mut rig), want);
        // Nobody asked: nothing is said.
        peer.say(&mut rig, &way.event("", None, "later", "[\"shelve\"]"));
        let (ack, remote) = (taken(&shelf), rig.server.remote().unwrap());
        remote.reply(ack, "unasked");
        rig.settle();
        peer.silent(&mut rig);
        rig.left(&script, (peer, other));
    }
}

/// A full queue of jobs does not refuse answers.
#[test]
fn a_full_remote_answers() {
    let settings = dustdevil::Settings {
        remote_queue_max: 1,
        ..dustdevil::Settings::default()
    };
    let (script, shelf) = shelving(|_, _, _| {});
    let (mut rig, script) = events_with(script, settings, quiet());
    let way = Way::Sio09Socket;
    let mut peer = rig.peer(way);
    for id in 1..=3 {
        peer.say(&mut rig, &way.event("", Some(id), "later", "[\"shelve\"]"));
    }
    let remote = rig.server.remote().unwrap();
    assert!(remote.call(|_| {}).is_ok());
    assert!(remote.call(|_| {}).is_err());
    for ack in shelf.take() {
        remote.reply(ack, 0);
    }
    rig.settle();
    let want = [1, 2, 3].map(|id| way.answer("", id, "[0]"));
    assert_eq!(peer.hear(&mut rig), want);
    rig.left(&script, peer);
}

/// Taken twice, it is one right: one answer goes out.
#[test]
fn taken_twice() {
    let (mut rig, script) = events(acting(|me, cx, _| {
        let (one, two) = (cx.ack(), cx.ack());
        me.script.note(format!("{:?}", cx.reply(one, 1)));
        me.script.note(format!("{:?}", cx.reply(two, 2)));
    }));
    for way in Way::EVENTS {
        let mut peer = rig.peer(way);
        let packet = way.event("", Some(1), "do", "[\"x\"]");
        assert_eq!(peer.ask(&mut rig, &packet), [way.answer("", 1, "[1]")]);
        assert_eq!(script.taken()[0], "Queued");
    }
}

/// An [`Ack`] outlives its connection, and is worth nothing then: neither for a later one in its place,
/// nor for one that comes back to the endpoint.
#[test]
fn an_ack_of_a_closed_connection() {
    for way in Way::EVENTS {
        let (chat, shelf) = shelving(|_, cx, _| cx.close());
        let (root, roots) = shelving(|_, cx, _| cx.close());
        let (mut rig, [root, chat]) = with_chat(root, chat);
        let mut peer = rig.peer(way);
        for at in ["/chat", ""] {
            if at == "/chat" {
                peer.join(&mut rig, at);
            }
            let packet = way.event(at, Some(1), "later", "[\"shelve\"]");
            assert_eq!(peer.ask(&mut rig, &packet), [""; 0]);
            assert_eq!(peer.act_at(&mut rig, at, "close"), [way.leave(at)]);
            if at == "/chat" {
                peer.join(&mut rig, at);
            } else {
                peer = rig.peer(way);
            }
            let ack = taken(if at == "/chat" { &shelf } else { &roots });
            let sent = rig.server.with_app(|app| app.reply(ack, "late")).unwrap();
            assert_eq!(sent, Sent::Gone, "{at:?}");
            peer.silent(&mut rig);
        }
        assert_eq!(chat.closed(), [0, 1]);
        rig.left(&root, peer);
    }
}

/// Between two polls an answer waits like all else.
#[test]
fn answers_wait_for_a_poll() {
    let (script, shelf) = shelving(|_, _, _| {});
    let (mut rig, script) = events(script);
    let way = Way::Sio09Polling;
    let mut peer = rig.peer(way);
    for id in 1..=2 {
        peer.say(&mut rig, &way.event("", Some(id), "later", "[\"shelve\"]"));
    }
    let id = script.id(0);
    rig.server
        .with_app(|app| {
            for ack in shelf.take() {
                app.reply(ack, "x");
                app.to(id).send("y");
            }
        })
        .unwrap();
    let y = way.message("", "y");
    let want = [1, 2].map(|id| [way.answer("", id, "[\"x\"]"), y.clone()]);
    assert_eq!(peer.hear(&mut rig), want.concat());
    rig.left(&script, peer);
}

/// Nor is an answer lost with a WebSocket: it waits for whatever the client comes back by.
#[test]
fn answers_wait_for_a_lost_socket() {
    for back in Way::EVENTS {
        let (script, shelf) = shelving(|_, _, _| {});
        let (mut rig, script) = events(script);
        let mut peer = rig.peer(Way::Sio09Socket);
        peer.say(&mut rig, &back.event("", Some(1), "later", "[\"shelve\"]"));
        peer.cut();
        rig.settle();
        let ack = taken(&shelf);
        let sent = rig.server.with_app(|app| app.reply(ack, "x")).unwrap();
        assert_eq!(sent, Sent::Queued);
        rig.pass(secs(5));
        peer.way = back;
        assert_eq!(peer.hear(&mut rig), [back.answer("", 1, "[\"x\"]")]);
        rig.left(&script, peer);
    }
}

/// What is full says so for answers, too.
#[test]
fn answers_count_as_bytes() {
    let settings = dustdevil::Settings {
        write_low_bytes: 1024,
        write_high_bytes: 2048,
        write_max_bytes: 4096,
        ..dustdevil::Settings::default()
    };
    let (script, shelf) = shelving(|_, _, _| {});
    let (mut rig, script) = events_with(script, settings, quiet());
    let way = Way::Sio09Polling;
    let mut peer = rig.peer(way);
    for id in 1..=8 {
        peer.say(&mut rig, &way.event("", Some(id), "later", "[\"shelve\"]"));
    }
    let sent: Vec<Sent> = rig
        .server
        .with_app(|app| {
            let acks = shelf.take().into_iter();
            acks.map(|ack| app.reply(ack, "x".repeat(1000))).collect()
        })
        .unwrap();
    assert_eq!(sent[0], Sent::Queued);
    assert!(sent.contains(&Sent::Full), "{sent:?}");
    assert_eq!(sent[7], Sent::Gone, "{sent:?}");
    assert_eq!(script.last_reason().cause, dustdevil::Cause::Overflow);
    rig.left(&script, peer);
}

/// Other families have nothing to acknowledge: the right to do so is worth nothing.
#[test]
fn no_acks_elsewhere() {
    let script = Rc::new(Script {
        message: Box::new(|_, cx, message: Message<'_>| {
            let ack = cx.ack();
            cx.reply(ack, 1);
            cx.send(message);
        }),
        ..Script::default()
    });
    let router = router(&script);
    let routes = dustdevil::Routes::new()
        .socketio("/socket.io", &router, sio(quiet()))
        .sockjs("/s", &router, dustdevil::SockJs::default())
        .websocket("/ws", &router, dustdevil::WebSocket::default());
    let mut rig = Rig::new(World::new(), dustdevil::Settings::default(), routes);
    for way in [Way::Sio06Socket, Way::Sio06Polling] {
        let mut peer = rig.peer(way);
        assert_eq!(peer.ask(&mut rig, "3:1::x"), ["3:1::x"]);
        rig.left(&script, peer);
    }
    script.ids.borrow_mut().clear();
    let mut client = rig.client("/ws");
    client.send("3:1::x");
    assert_eq!(client.texts(&mut rig), ["3:1::x"]);
    rig.poll("x");
    assert_eq!(rig.post("x", "[\"3:1::x\"]"), 204);
    assert_eq!(rig.poll("x"), "a[\"3:1::x\"]\n");
    let ids: Vec<ConnectionId> = script.ids.borrow().clone();
    assert_eq!(ids.len(), 2);
    rig.over(&script, client);
}
