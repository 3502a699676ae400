//! What is held back while a handler's work goes on elsewhere, and what passes.

use crate::support::*;
use dustdevil::{Cause, Ordered, Sent, Settings, SocketIoSettings};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

type Kept = Rc<RefCell<VecDeque<Ordered<Probe>>>>;

/// Writes down every event and message; `hold` keeps an [`Ordered`] where the test finds it.
fn holding() -> (Script, Kept) {
    let kept = Kept::default();
    let put = Rc::clone(&kept);
    let mut script = acting(move |me, cx, word| {
        me.script.note(word);
        match word {
            "hold" => put.borrow_mut().push_back(cx.ordered()),
            "hold and ask" => {
                let held = cx.ordered();
                cx.emit_ack("q", (), move |me, cx, result| {
                    me.script.note(format!("{result:?}"));
                    cx.emit("done", ());
                    drop(held);
                });
            }
            _ => {}
        }
    });
    script.message = Box::new(|me, _, message| {
        let text = message.text().unwrap();
        me.script.note(format!("message {text}"));
    });
    script.event = Box::new(|me, _, event| me.script.note(format!("event {}", event.name)));
    script.close = Box::new(|me, _, _| me.script.note("on_close"));
    (script, kept)
}

fn release(kept: &Kept, rig: &mut Rig<World>) {
    let held = kept.borrow_mut().pop_front().unwrap();
    drop(held);
    rig.settle();
}

fn act(way: Way, at: &str, word: &str) -> String {
    way.event(at, None, "do", &format!("[\"{word}\"]"))
}

#[test]
fn it_holds_this_connection_and_no_other() {
    for way in Way::ALL {
        let (root, at_root) = holding();
        let (chat, at_chat) = holding();
        let (mut rig, [root, chat]) = with_chat(root, chat);
        let mut peer = rig.peer(way);
        let mut other = rig.peer(way);
        for peer in [&mut peer, &mut other] {
            peer.join(&mut rig, "/chat");
        }
        for (at, held, kept, free) in [
            ("", &root, &at_root, &chat),
            ("/chat", &chat, &at_chat, &root),
        ] {
            let elsewhere = if at.is_empty() { "/chat" } else { "" };
            let packets = [
                act(way, at, "hold"),
                act(way, at, "a"),
                way.message(at, "b"),
                way.event(at, Some(1), "c", "[]"),
                act(way, elsewhere, "passes"),
            ];
            peer.say_all(&mut rig, &packets);
            assert_eq!(held.taken(), ["hold"], "{at:?}");
            assert_eq!(free.taken(), ["passes"], "{at:?}");
            other.act_at(&mut rig, at, "another client");
            assert_eq!(held.taken(), ["another client"], "{at:?}");
            peer.silent(&mut rig);
            release(kept, &mut rig);
            assert_eq!(held.taken(), ["a", "message b", "event c"], "{at:?}");
            assert_eq!(peer.hear(&mut rig), [way.answer(at, 1, "[]")], "{at:?}");
            peer.act_at(&mut rig, at, "d");
            assert_eq!(held.taken(), ["d"], "{at:?}");
        }
        rig.left(&root, (peer, other));
    }
}

/// The answer to a question of a held handler is what releases it.
#[test]
fn acknowledgements_pass() {
    for way in Way::ALL {
        let (script, _) = holding();
        let (mut rig, script) = events(script);
        let mut peer = rig.peer(way);
        let packets = [act(way, "", "hold and ask"), act(way, "", "next")];
        peer.say_all(&mut rig, &packets);
        assert_eq!(peer.hear(&mut rig), [way.event("", Some(1), "q", "[]")]);
        assert_eq!(script.taken(), ["hold and ask"]);
        let heard = peer.ask(&mut rig, &way.answer("", 1, "[1]"));
        assert_eq!(heard, [way.event("", None, "done", "[]")]);
        assert_eq!(script.taken(), ["Ok([Number(1)])", "next"]);
        rig.left(&script, peer);
    }
}

/// So do answers whose time is over.
#[test]
fn a_question_that_is_not_answered() {
    let of = SocketIoSettings {
        ack_timeout: secs(3),
        ..quiet()
    };
    for way in Way::ALL {
        let (script, _) = holding();
        let (mut rig, script) = events_with(script, Settings::default(), of.clone());
        let mut peer = rig.peer(way);
        let packets = [act(way, "", "hold and ask"), act(way, "", "next")];
        peer.say_all(&mut rig, &packets);
        rig.pass(secs(4));
        assert_eq!(script.taken(), ["hold and ask", "Err(Timeout)", "next"]);
        rig.left(&script, peer);
    }
}

/// The client's signs of life count while it is held, and ours go out.
#[test]
fn heartbeats_pass() {
    for way in Way::ALL {
        let (script, kept) = holding();
        let of = SocketIoSettings::default();
        let (mut rig, script) = events_with(script, Settings::default(), of);
        let mut peer = rig.peer(way);
        let packets = [act(way, "", "hold"), act(way, "", "next")];
        peer.say_all(&mut rig, &packets);
        for _ in 0..6 {
            rig.pass(ms(12_250));
            assert_eq!(peer.hear(&mut rig), ["2::"]);
            peer.say(&mut rig, "2::");
        }
        assert_eq!(script.taken(), ["hold"]);
        release(&kept, &mut rig);
        assert_eq!(script.taken(), ["next"]);
        // Without an answer it is closed, held or not.
        peer.say_all(&mut rig, &packets);
        rig.pass(secs(60));
        assert_eq!(script.taken(), ["hold", "on_close"]);
        assert_eq!(script.last_reason().cause, Cause::Timeout);
        kept.borrow_mut().clear();
        rig.left(&script, peer);
    }
}

#[test]
fn it_is_finished_from_a_thread() {
    for way in Way::ALL {
        let (script, kept) = holding();
        let (mut rig, script) = events(script);
        let mut peer = rig.peer(way);
        let packets = [act(way, "", "hold"), act(way, "", "next")];
        peer.say_all(&mut rig, &packets);
        let held = kept.borrow_mut().pop_front().unwrap();
        let thread = std::thread::spawn(move || {
            held.finish(|me, cx| {
                me.script.note("finished");
                assert_eq!(cx.emit("result", (1, "b")), Sent::Queued);
            });
        });
        thread.join().unwrap();
        rig.settle();
        let want = way.event("", None, "result", "[1,\"b\"]");
        assert_eq!(peer.hear(&mut rig), [want]);
        assert_eq!(script.taken(), ["hold", "finished", "next"]);
        rig.left(&script, peer);
    }
}

/// A question of the client that is answered by a thread, which then lets the next one in.
#[test]
fn a_pending_answer_and_the_next_event() {
    for way in Way::ALL {
        let (mut rig, script) = events(acting(|me, cx, word| {
            me.script.note(word);
            let (turn, ack, word) = (cx.ordered(), cx.ack(), word.to_owned());
            std::thread::spawn(move || {
                turn.finish(move |_, cx| {
                    cx.reply(ack, (word, 1));
                });
            });
        }));
        let mut peer = rig.peer(way);
        let words = ["a", "b", "c"];
        let packets: Vec<String> = words
            .iter()
            .zip(1..)
            .map(|(word, id)| way.event("", Some(id), "later", &format!("[\"{word}\"]")))
            .collect();
        peer.say_all(&mut rig, &packets);
        let mut heard = Vec::new();
        while heard.len() < 3 {
            heard.extend(peer.hear(&mut rig));
        }
        let want: Vec<String> = words
            .iter()
            .zip(1..)
            .map(|(word, id)| way.answer("", id, &format!("[\"{word}\",1]")))
            .collect();
        assert_eq!(heard, want);
        assert_eq!(script.taken(), words);
        rig.left(&script, peer);
    }
}

/// Several are needed all; what is released is followed up one by one.
#[test]
fn several() {
    for way in Way::ALL {
        let (script, kept) = holding();
        let (mut rig, script) = events(script);
        let mut peer = rig.peer(way);
        let packets = ["hold", "hold", "a", "hold", "b"].map(|word| act(way, "", word));
        peer.say_all(&mut rig, &packets);
        for want in [&["hold"][..], &["hold"], &["a", "hold"]] {
            assert_eq!(script.taken(), want);
            release(&kept, &mut rig);
        }
        assert_eq!(script.taken(), ["b"]);
        rig.left(&script, peer);
    }
}

/// Closing passes, whoever closes: what waited is gone.
#[test]
fn closed_while_held() {
    for way in Way::ALL {
        for how in ["leave", "end", "server", "lost", "drain"] {
            let (root, _) = holding();
            let (chat, kept) = holding();
            let (mut rig, [root, chat]) = with_chat(root, chat);
            let mut peer = rig.peer(way);
            peer.join(&mut rig, "/chat");
            let packets = ["hold", "a", "b"].map(|word| act(way, "/chat", word));
            peer.say_all(&mut rig, &packets);
            let cause = match how {
                "leave" => {
                    peer.say(&mut rig, &way.leave("/chat"));
                    Cause::Client
                }
                "end" => {
                    peer.say(&mut rig, &way.leave(""));
                    Cause::Client
                }
                "server" => {
                    let id = chat.id(0);
                    rig.server.with_app(|app| app.to(id).close()).unwrap();
                    Cause::Server
                }
                "lost" => {
                    peer.cut();
                    rig.pass(secs(50));
                    Cause::Lost
                }
                _ => {
                    rig.server.drain(secs(5)).unwrap();
                    rig.pass(secs(6));
                    Cause::Shutdown
                }
            };
            rig.settle();
            assert_eq!(chat.taken(), ["hold", "on_close"], "{way:?} {how}");
            let got = chat.last_reason().cause;
            // A session without a receiver is given up when its time is over.
            let lost = how == "lost" && got == Cause::Timeout;
            assert!(got == cause || lost, "{way:?} {how}: {got:?}");
            assert_eq!(
                root.closed().len(),
                usize::from(!["leave", "server"].contains(&how))
            );
            if how == "leave" {
                // A new one in its place is not held, nor does it get what waited.
                assert_eq!(peer.hear(&mut rig), [way.leave("/chat")]);
                peer.join(&mut rig, "/chat");
                peer.act_at(&mut rig, "/chat", "new");
                assert_eq!(chat.taken(), ["new"]);
            }
            let held = kept.borrow_mut().pop_front().unwrap();
            held.finish(|_, _| panic!("nobody is there"));
            rig.settle();
            assert_eq!(chat.taken(), [""; 0], "{way:?} {how}");
            assert_eq!(rig.stats().panics, 0);
        }
    }
}

/// As many as `inbox_max` wait; with more behind them a WebSocket is no longer read.
#[test]
fn a_full_inbox_of_a_websocket() {
    let settings = Settings {
        inbox_max: 4,
        ..Settings::default()
    };
    let way = Way::Sio09Socket;
    for heartbeats in [true, false] {
        let of = if heartbeats {
            SocketIoSettings::default()
        } else {
            quiet()
        };
        let (script, kept) = holding();
        let (mut rig, script) = events_with(script, settings.clone(), of);
        let mut peer = rig.peer(way);
        peer.act(&mut rig, "hold");
        let words: Vec<String> = (0..10).map(|n| n.to_string()).collect();
        let packets: Vec<String> = words.iter().map(|word| act(way, "", word)).collect();
        peer.say_all(&mut rig, &packets);
        peer.receiver().write(&masked(0x89, b"late"));
        peer.silent(&mut rig);
        let before = rig.stats().bytes_in;
        let long = way.message("", &"x".repeat(5000));
        peer.say(&mut rig, &long);
        assert_eq!(rig.stats().bytes_in, before);
        // Nor is its silence held against it.
        rig.pass(secs(200));
        let mut heard = peer.hear(&mut rig);
        heard.retain(|packet| packet != "2::");
        assert_eq!(heard, [""; 0]);
        assert_eq!(script.taken(), ["hold"]);
        release(&kept, &mut rig);
        let mut want = words.clone();
        want.push(format!("message {}", "x".repeat(5000)));
        assert_eq!(script.taken(), want);
        let mut pongs = peer.receiver().frames(&mut rig);
        pongs.retain(|frame| frame.head == 0x8a);
        assert_eq!(pongs.len(), 1);
        rig.left(&script, peer);
    }
}

/// Over it a POST is answered when there is room again.
#[test]
fn a_full_inbox_of_a_polling_client() {
    let settings = Settings {
        inbox_max: 2,
        ..Settings::default()
    };
    let way = Way::Sio09Polling;
    let (script, kept) = holding();
    let (mut rig, script) = events_with(script, settings, quiet());
    let mut peer = rig.peer(way);
    let packets =
        |words: &[&str]| -> Vec<String> { words.iter().map(|word| act(way, "", word)).collect() };
    // Just under: answered at once, though nothing of it has been handled.
    let mut post = peer.post(&mut rig, &packets(&["hold", "a"]));
    assert_eq!(post.answer(&mut rig).text(), "1");
    assert_eq!(script.taken(), ["hold"]);
    drop(post);
    // Over it.
    let mut post = peer.post(&mut rig, &packets(&["b", "c", "d", "e"]));
    post.silent(&mut rig);
    rig.pass(secs(5));
    post.silent(&mut rig);
    assert_eq!(script.taken(), [""; 0]);
    // The session can be spoken to meanwhile.
    let id = script.id(0);
    rig.server.with_app(|app| app.to(id).send("hello")).unwrap();
    assert_eq!(peer.hear(&mut rig), [way.message("", "hello")]);
    release(&kept, &mut rig);
    assert_eq!(post.answer(&mut rig).text(), "1");
    assert_eq!(script.taken(), ["a", "b", "c", "d", "e"]);
    drop(post);
    // Held again in the midst of a payload.
    let mut post = peer.post(
        &mut rig,
        &packets(&["f", "hold", "g", "h", "hold", "i", "j", "k"]),
    );
    post.silent(&mut rig);
    assert_eq!(script.taken(), ["f", "hold"]);
    release(&kept, &mut rig);
    assert_eq!(script.taken(), ["g", "h", "hold"]);
    release(&kept, &mut rig);
    assert_eq!(script.taken(), ["i", "j", "k"]);
    assert_eq!(post.answer(&mut rig).text(), "1");
    rig.left(&script, (peer, post));
}

/// While a POST is parked its client leaves, and the session ends: neither leaves anything behind.
#[test]
fn a_parked_post_is_forgotten() {
    let settings = Settings {
        inbox_max: 1,
        ..Settings::default()
    };
    let way = Way::Sio09Polling;
    for how in ["client", "session"] {
        let (script, kept) = holding();
        let (mut rig, script) = events_with(script, settings.clone(), quiet());
        let mut peer = rig.peer(way);
        let packets: Vec<String> = ["hold", "a", "b", "c"]
            .map(|word| act(way, "", word))
            .into();
        let mut post = peer.post(&mut rig, &packets);
        post.silent(&mut rig);
        if how == "client" {
            post.reset();
            rig.settle();
            release(&kept, &mut rig);
            // What was accepted is handled; the rest may be.
            let log = script.taken();
            assert_eq!(log[..2], ["hold", "a"]);
            peer.act(&mut rig, "d");
            assert_eq!(script.taken(), ["d"]);
        } else {
            let id = script.id(0);
            rig.server.with_app(|app| app.to(id).close()).unwrap();
            rig.settle();
            assert_eq!(script.taken(), ["hold", "on_close"]);
            let answer = post.answer(&mut rig);
            assert!([200, 401].contains(&answer.status), "{answer:?}");
            drop(post);
            kept.borrow_mut().clear();
            assert_eq!(peer.hear(&mut rig), [way.leave("")]);
        }
        rig.left(&script, peer);
    }
}

/// The answers to what a held handler asks come in behind a full inbox: they are not read then. Up to it
/// they pass.
#[test]
fn an_answer_behind_what_waits() {
    let settings = Settings {
        inbox_max: 4,
        ..Settings::default()
    };
    for way in Way::ALL {
        let (script, _) = holding();
        let (mut rig, script) = events_with(script, settings.clone(), quiet());
        let mut peer = rig.peer(way);
        let mut packets = vec![act(way, "", "hold and ask")];
        packets.extend(["a", "b", "c"].map(|word| act(way, "", word)));
        peer.say_all(&mut rig, &packets);
        assert_eq!(peer.hear(&mut rig), [way.event("", Some(1), "q", "[]")]);
        peer.say(&mut rig, &way.answer("", 1, "[]"));
        assert_eq!(script.taken(), ["hold and ask", "Ok([])", "a", "b", "c"]);
        rig.left(&script, peer);
    }
}

/// In `on_open`: what the client says first waits.
#[test]
fn held_from_on_open() {
    for way in Way::ALL {
        let (mut script, kept) = holding();
        let put = Rc::clone(&kept);
        script.open = Box::new(move |_, cx, _| {
            put.borrow_mut().push_back(cx.ordered());
            cx.send("wait");
            Ok(())
        });
        let (root, _) = holding();
        let (mut rig, [root, chat]) = with_chat(root, script);
        let mut peer = rig.peer(way);
        let packets = [way.join("/chat"), act(way, "/chat", "first")];
        peer.say_all(&mut rig, &packets);
        let want = [way.join("/chat"), way.message("/chat", "wait")];
        assert_eq!(peer.hear(&mut rig), want);
        assert_eq!(chat.taken(), [""; 0]);
        release(&kept, &mut rig);
        assert_eq!(chat.taken(), ["first"]);
        rig.left(&root, peer);
    }
}

/// A poll that takes another's place changes nothing of it.
#[test]
fn another_receiver_while_held() {
    for way in Way::ALL {
        let (script, kept) = holding();
        let (mut rig, script) = events(script);
        let mut peer = rig.peer(way);
        let packets = ["hold", "a"].map(|word| act(way, "", word));
        peer.say_all(&mut rig, &packets);
        peer.cut();
        rig.pass(secs(5));
        peer.way = Way::Sio09Polling;
        peer.silent(&mut rig);
        peer.act(&mut rig, "b");
        assert_eq!(script.taken(), ["hold"]);
        release(&kept, &mut rig);
        assert_eq!(script.taken(), ["a", "b"]);
        rig.left(&script, peer);
    }
}
