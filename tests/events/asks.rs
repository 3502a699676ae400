//! Acknowledgements that the server wants: `emit_ack` and `send_ack`.

use crate::support::*;
use dustdevil::{AckError, Cause, Cx, Json, Sent, Settings, SocketIoSettings};
use serde_json::Value;
use std::rc::Rc;

/// Notes what comes of it.
fn note(me: &mut Probe, result: Result<Vec<Value>, AckError>) {
    me.script.note(match result {
        Ok(values) => Value::from(values).to_string(),
        Err(error) => format!("{error:?}"),
    });
}

/// Asks at each word; notes what `emit_ack` says if it is not `Queued`, and what comes of it.
fn asking() -> Script {
    let mut script = acting(|me, cx, word| {
        let script = Rc::clone(&me.script);
        let sent = match word {
            "message" => cx.send_ack("hello", |me, _, result| note(me, result)),
            "value" => cx.send_ack(Json([1, 2]), |me, _, result| note(me, result)),
            "bytes" => cx.send_ack(b"bytes", |me, _, result| note(me, result)),
            "close" => {
                cx.close();
                cx.emit_ack("q", (), |me, _, result| note(me, result))
            }
            "ask and close" => {
                let sent = cx.emit_ack("q", (), |me, _, result| note(me, result));
                cx.close();
                sent
            }
            "panic" => cx.emit_ack("q", (), |_, _, _| panic!("{}", MEANT)),
            word => cx.emit_ack("q", (word, 1), |me, _, result| note(me, result)),
        };
        if sent != Sent::Queued {
            script.note(format!("{sent:?}"));
        }
    });
    script.close = Box::new(|me, _, _| me.script.note("on_close"));
    script
}

fn question(way: Way, at: &str, id: u32, word: &str) -> String {
    way.event(at, Some(id), "q", &format!("[\"{word}\",1]"))
}

#[test]
fn answers() {
    #[rustfmt::skip]
    let cases: &[(&str, &str)] = &[
        ("[]",                    "[]"),
        ("[1]",                   "[1]"),
        ("[[1,2],{\"a\":null}]",  "[[1,2],{\"a\":null}]"),
        (" [ \"x\" , 2 ] ",       "[\"x\",2]"),
        (r#"["\ud800"]"#,         "[\"\u{fffd}\"]"),
        ("[18446744073709551615]", "[18446744073709551615]"),
    ];
    for way in Way::EVENTS {
        let (mut rig, [root, chat]) = with_chat(asking(), asking());
        let mut peer = rig.peer(way);
        peer.join(&mut rig, "/chat");
        for (n, &(args, want)) in cases.iter().enumerate() {
            // Each endpoint counts for itself, from 1.
            let id = n as u32 + 1;
            for (at, script) in [("", &root), ("/chat", &chat)] {
                assert_eq!(peer.act_at(&mut rig, at, "a"), [question(way, at, id, "a")]);
                assert_eq!(script.taken(), [""; 0]);
                let answer = way.answer(at, id, args);
                assert_eq!(peer.ask(&mut rig, &answer), [""; 0], "{answer}");
                assert_eq!(script.taken(), [want], "{answer}");
                // A second time.
                assert_eq!(peer.ask(&mut rig, &answer), [""; 0], "{answer}");
                assert_eq!(script.taken(), [""; 0], "{answer}");
            }
        }
        rig.left(&root, peer);
        assert_eq!(root.taken(), ["on_close"]);
        assert_eq!(chat.taken(), ["on_close"]);
    }
}

/// Answers that are none, and the one that comes after all.
#[test]
fn answers_that_are_ignored() {
    let cases = [
        "6:::2", // Another id,
        "6:::0", // and others,
        "6:::4294967295",
        "6:::4294967297",
        "6::/chat:1",   // another endpoint,
        "6::/nosuch:1", // one that nobody serves,
        "6:::1+5",      // no list,
        "6:::1+{}",
        "6:::1+\"x\"",
        "6:::1+[", // no JSON,
        "6:::1+[1]]",
        "6:::+[1]",
        "6:::x",
        "6::",
        "6",
        "6:::-1",
    ];
    for way in Way::EVENTS {
        let (mut rig, [root, chat]) = with_chat(asking(), asking());
        let mut peer = rig.peer(way);
        peer.join(&mut rig, "/chat");
        assert_eq!(peer.act(&mut rig, "a"), [question(way, "", 1, "a")]);
        for packet in cases {
            assert_eq!(peer.ask(&mut rig, packet), [""; 0], "{packet}");
            assert_eq!(root.taken(), [""; 0], "{packet}");
        }
        assert_eq!(peer.ask(&mut rig, "6:::1+[\"at last\"]"), [""; 0]);
        assert_eq!(root.taken(), ["[\"at last\"]"]);
        rig.left(&root, peer);
        assert_eq!(chat.taken(), ["on_close"]);
    }
}

/// In any order, several in one payload, and messages with an id of the same count.
#[test]
fn several() {
    for way in Way::EVENTS {
        let (mut rig, script) = events(asking());
        let mut peer = rig.peer(way);
        let words = ["a", "message", "b", "value"];
        let packets = words.map(|word| way.event("", None, "do", &format!("[\"{word}\"]")));
        peer.say_all(&mut rig, &packets);
        let want = [
            question(way, "", 1, "a"),
            "3:2::hello".to_owned(),
            question(way, "", 3, "b"),
            "4:4::[1,2]".to_owned(),
        ];
        assert_eq!(peer.hear(&mut rig), want);
        let answers = [
            way.answer("", 3, "[3]"),
            way.answer("", 1, "[1]"),
            way.answer("", 4, "[]"),
            way.answer("", 2, "[]"),
        ];
        peer.say_all(&mut rig, &answers);
        assert_eq!(script.taken(), ["[3]", "[1]", "[]", "[]"]);
        // What has no form is not awaited.
        assert_eq!(peer.act(&mut rig, "bytes"), [""; 0]);
        assert_eq!(script.taken(), ["Unsupported"]);
        assert_eq!(rig.stats().unsupported, 1);
        assert_eq!(peer.act(&mut rig, "c").len(), 1);
        rig.left(&script, peer);
        assert_eq!(script.taken(), ["Closed", "on_close"]);
    }
}

#[test]
fn too_late() {
    let of = SocketIoSettings {
        ack_timeout: secs(3),
        ..quiet()
    };
    for way in Way::EVENTS {
        let (mut rig, [root, chat]) =
            with_chat_and(asking(), asking(), Settings::default(), of.clone());
        let mut peer = rig.peer(way);
        peer.join(&mut rig, "/chat");
        for (at, script) in [("", &root), ("/chat", &chat)] {
            peer.act_at(&mut rig, at, "a");
            rig.pass(secs(2));
            peer.act_at(&mut rig, at, "b");
            assert_eq!(script.taken(), [""; 0]);
            rig.pass(ms(1500));
            assert_eq!(script.taken(), ["Timeout"], "{at:?}");
            // Late for one, in time for the other.
            peer.ask(&mut rig, &way.answer(at, 1, "[1]"));
            assert_eq!(script.taken(), [""; 0]);
            peer.ask(&mut rig, &way.answer(at, 2, "[2]"));
            assert_eq!(script.taken(), ["[2]"]);
            rig.pass(secs(5));
            assert_eq!(script.taken(), [""; 0], "nothing is left of it");
            // The ids go on.
            assert_eq!(peer.act_at(&mut rig, at, "c"), [question(way, at, 3, "c")]);
            rig.pass(secs(4));
            assert_eq!(script.taken(), ["Timeout"]);
        }
        assert_eq!(
            root.closed(),
            [0; 0],
            "a client that does not answer is no fault"
        );
        rig.left(&root, peer);
    }
}

/// Whoever closes: each question is told so, once, before `on_close`.
#[test]
fn closed() {
    for way in Way::EVENTS {
        for how in ["endpoint", "session", "server", "cut", "drain"] {
            let (mut rig, [root, chat]) = with_chat(asking(), asking());
            let mut peer = rig.peer(way);
            peer.join(&mut rig, "/chat");
            for word in ["a", "b", "c"] {
                peer.act_at(&mut rig, "/chat", word);
            }
            peer.act(&mut rig, "d");
            peer.ask(&mut rig, &way.answer("/chat", 2, "[]"));
            assert_eq!(chat.taken(), ["[]"]);
            match how {
                "endpoint" => peer.say(&mut rig, &way.leave("/chat")),
                "session" => peer.say(&mut rig, &way.leave("")),
                "server" => {
                    let id = root.id(0);
                    rig.server.with_app(|app| app.to(id).close()).unwrap();
                }
                "cut" => {
                    peer.cut();
                    rig.pass(secs(50));
                }
                _ => {
                    rig.server.drain(secs(5)).unwrap();
                    rig.pass(secs(6));
                }
            }
            rig.settle();
            assert_eq!(
                chat.taken(),
                ["Closed", "Closed", "on_close"],
                "{way:?} {how}"
            );
            let left: &[&str] = match how {
                "endpoint" => &[],
                _ => &["Closed", "on_close"],
            };
            assert_eq!(root.taken(), left, "{way:?} {how}");
            // An answer that was under way.
            if how == "endpoint" {
                assert_eq!(peer.hear(&mut rig), [way.leave("/chat")]);
                peer.ask(&mut rig, &way.answer("/chat", 1, "[]"));
                peer.join(&mut rig, "/chat");
                peer.ask(&mut rig, &way.answer("/chat", 1, "[]"));
                assert_eq!(chat.taken(), [""; 0]);
                // It is a new connection, which counts from 1.
                assert_eq!(
                    peer.act_at(&mut rig, "/chat", "z"),
                    [question(way, "/chat", 1, "z")]
                );
            }
        }
    }
}

/// In the callback that closes.
#[test]
fn asked_and_closed() {
    for way in Way::EVENTS {
        let (mut rig, [root, chat]) = with_chat(asking(), asking());
        let mut peer = rig.peer(way);
        peer.join(&mut rig, "/chat");
        for (at, script) in [("/chat", &chat), ("", &root)] {
            let heard = peer.act_at(&mut rig, at, "ask and close");
            let asked = way.event(at, Some(1), "q", "[]");
            assert_eq!(heard, [asked, way.leave(at)]);
            assert_eq!(script.taken(), ["Closed", "on_close"]);
        }
        let mut peer = rig.peer(way);
        assert_eq!(peer.act(&mut rig, "close"), [way.leave("")]);
        // Who is gone is not asked: the answer says so, and the closure is dropped.
        assert_eq!(root.taken(), ["Gone", "on_close"]);
    }
}

/// What runs at the end cannot reach its own client, and cannot ask again.
#[test]
fn asking_again_at_the_end() {
    let mut script = acting(|_, cx, _| {
        cx.emit_ack("q", (), |me, cx, result| {
            assert_eq!(result, Err(AckError::Closed));
            assert_eq!(cx.send("x"), Sent::Gone);
            assert_eq!(cx.emit("x", ()), Sent::Gone);
            let again = cx.emit_ack("x", (), |me, _, _| me.script.note("never"));
            assert_eq!(again, Sent::Gone);
            assert!(!cx.is_open(cx.id()));
            me.script.note("closed");
        });
    });
    script.close = Box::new(|me, cx, _| {
        let again = cx.emit_ack("x", (), |me, _, _| me.script.note("never"));
        assert_eq!(again, Sent::Gone);
        me.script.note("on_close");
    });
    let (mut rig, script) = events(script);
    for way in Way::EVENTS {
        let mut peer = rig.peer(way);
        peer.act(&mut rig, "x");
        assert_eq!(peer.ask(&mut rig, &way.leave("")), [way.leave("")]);
        assert_eq!(script.taken(), ["closed", "on_close"]);
    }
    assert_eq!(rig.stats().panics, 0);
}

/// As many as `acks_max` wait; the next one is refused, and not sent.
#[test]
fn acks_max() {
    let of = SocketIoSettings {
        acks_max: 2,
        ..quiet()
    };
    for way in Way::EVENTS {
        let (mut rig, [root, chat]) =
            with_chat_and(asking(), asking(), Settings::default(), of.clone());
        let mut peer = rig.peer(way);
        peer.join(&mut rig, "/chat");
        for (id, word) in [(1, "a"), (2, "b")] {
            assert_eq!(peer.act(&mut rig, word), [question(way, "", id, word)]);
        }
        for word in ["c", "message"] {
            assert_eq!(peer.act(&mut rig, word), [""; 0]);
            assert_eq!(root.taken(), ["Refused"]);
        }
        // The other endpoint is another connection.
        assert_eq!(
            peer.act_at(&mut rig, "/chat", "a"),
            [question(way, "/chat", 1, "a")]
        );
        peer.ask(&mut rig, &way.answer("", 2, "[]"));
        assert_eq!(root.taken(), ["[]"]);
        assert_eq!(peer.act(&mut rig, "d"), [question(way, "", 3, "d")]);
        assert_eq!(peer.act(&mut rig, "e"), [""; 0]);
        assert_eq!(root.taken(), ["Refused"]);
        rig.left(&root, peer);
        assert_eq!(root.taken(), ["Closed", "Closed", "on_close"]);
        assert_eq!(chat.taken(), ["Closed", "on_close"]);
    }
}

/// What handles an answer is a callback like others.
#[test]
fn a_closure_that_panics() {
    quiet_panics();
    for way in Way::EVENTS {
        let (mut rig, [root, chat]) = with_chat(asking(), asking());
        let mut peer = rig.peer(way);
        peer.join(&mut rig, "/chat");
        peer.act_at(&mut rig, "/chat", "panic");
        peer.act_at(&mut rig, "/chat", "a");
        let heard = peer.ask(&mut rig, &way.answer("/chat", 1, "[]"));
        assert_eq!(heard, [way.leave("/chat")]);
        assert_eq!(chat.taken(), ["Closed", "on_close"]);
        assert_eq!(chat.last_reason().cause, Cause::Error);
        assert_eq!(root.closed(), [0; 0]);
        // At the end of the connection `on_close` runs nevertheless, and the other closures.
        peer.join(&mut rig, "/chat");
        peer.act_at(&mut rig, "/chat", "panic");
        peer.act_at(&mut rig, "/chat", "a");
        peer.say(&mut rig, &way.leave("/chat"));
        assert_eq!(chat.taken(), ["Closed", "on_close"]);
        assert_eq!(chat.closed(), [0, 1]);
        assert_eq!(rig.stats().panics, 2);
        rig.left(&root, peer);
    }
}

/// The answer's closure answers a question of the client, asks on, and sends.
#[test]
fn questions_and_answers() {
    fn ask(cx: &mut Cx<'_, Probe>, n: u64, ack: dustdevil::Ack) {
        cx.emit_ack("next", n, move |_, cx, result| {
            match result.unwrap().first().and_then(Value::as_u64) {
                Some(n) => ask(cx, n + 1, ack),
                None => {
                    cx.reply(ack, n);
                }
            }
        });
    }
    for way in Way::EVENTS {
        let (mut rig, script) = events(acting(|_, cx, _| {
            let ack = cx.ack();
            ask(cx, 1, ack);
        }));
        let mut peer = rig.peer(way);
        let first = way.event("", Some(1), "later", "[\"x\"]");
        let mut heard = peer.ask(&mut rig, &first);
        for n in 1..=5 {
            assert_eq!(heard, [way.event("", Some(n), "next", &format!("[{n}]"))]);
            let args = if n < 5 {
                format!("[{n}]")
            } else {
                "[]".to_owned()
            };
            heard = peer.ask(&mut rig, &way.answer("", n, &args));
        }
        assert_eq!(heard, [way.answer("", 1, "[5]")]);
        rig.left(&script, peer);
    }
}

/// What is asked in `on_open` is heard after the greeting; of a client that is refused nothing is left.
#[test]
fn asked_in_on_open() {
    for way in Way::EVENTS {
        let (mut rig, [root, chat]) = with_chat(
            Script {
                open: Box::new(|_, cx, _| {
                    assert_eq!(
                        cx.emit_ack("q", (), |me, _, got| note(me, got)),
                        Sent::Queued
                    );
                    Ok(())
                }),
                ..Script::default()
            },
            Script {
                open: Box::new(|me, cx, _| {
                    cx.emit_ack("q", (), |me, _, got| note(me, got));
                    cx.emit("x", ());
                    match me.n {
                        0 => Err("no".into()),
                        _ => Ok(()),
                    }
                }),
                ..Script::default()
            },
        );
        let answer = rig.ask("GET", "/socket.io/1/", "", b"");
        assert_eq!(answer.status, 200);
        let mut peer = Peer::of_answer(way, "/socket.io", &answer);
        let asked = |at| way.event(at, Some(1), "q", "[]");
        assert_eq!(peer.hear(&mut rig), [way.join(""), asked("")]);
        peer.ask(&mut rig, &way.answer("", 1, "[1]"));
        assert_eq!(root.taken(), ["[1]"]);
        let heard = peer.ask(&mut rig, &way.join("/chat"));
        assert_eq!(heard, [way.refusal("/chat")]);
        peer.ask(&mut rig, &way.answer("/chat", 1, "[1]"));
        let heard = peer.ask(&mut rig, &way.join("/chat"));
        let x = way.event("/chat", None, "x", "[]");
        assert_eq!(heard, [way.join("/chat"), asked("/chat"), x]);
        peer.ask(&mut rig, &way.answer("/chat", 1, "[2]"));
        assert_eq!(chat.taken().last().map(String::as_str), Some("[2]"));
        rig.left(&root, peer);
        assert_eq!(chat.closed(), [1]);
    }
}

/// A WebSocket that is lost is no end: the client comes back, by another transport even, and answers.
#[test]
fn a_question_survives_a_lost_socket() {
    for way in Way::EVENTS {
        let (mut rig, script) = events(asking());
        let mut peer = rig.peer(way);
        peer.act(&mut rig, "a");
        peer.cut();
        rig.pass(secs(10));
        peer.way = Way::Sio09Polling;
        peer.silent(&mut rig);
        peer.ask(&mut rig, &way.answer("", 1, "[1]"));
        assert_eq!(script.taken(), ["[1]"]);
        rig.left(&script, peer);
    }
}
