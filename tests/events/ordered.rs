//! What is held back while a handler's work goes on elsewhere, and what passes.

use crate::support::*;
use dustdevil::{Cause, Deciding, Ordered, Sent, Settings, SocketIoSettings};
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
    let by_text = std::mem::replace(&mut script.message, Box::new(|_, _, _| {}));
    script.message = Box::new(move |me, cx, message| match acted(&message) {
        Some(_) => by_text(me, cx, message),
        None => {
            let kind = if message.is_json() {
                "value"
            } else {
                "message"
            };
            let text = message.text().unwrap();
            me.script.note(format!("{kind} {text}"));
        }
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

#[test]
fn it_holds_this_connection_and_no_other() {
    for way in Way::EVENTS {
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
                way.act(at, "hold"),
                way.act(at, "a"),
                way.message(at, "b"),
                way.event(at, Some(1), "c", "[]"),
                way.act(elsewhere, "passes"),
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
    for way in Way::EVENTS {
        let (script, _) = holding();
        let (mut rig, script) = events(script);
        let mut peer = rig.peer(way);
        let packets = [way.act("", "hold and ask"), way.act("", "next")];
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
    for way in Way::EVENTS {
        let (script, _) = holding();
        let (mut rig, script) = events_with(script, Settings::default(), of.clone());
        let mut peer = rig.peer(way);
        let packets = [way.act("", "hold and ask"), way.act("", "next")];
        peer.say_all(&mut rig, &packets);
        rig.pass(secs(4));
        assert_eq!(script.taken(), ["hold and ask", "Err(Timeout)", "next"]);
        rig.left(&script, peer);
    }
}

/// The client's signs of life count while it is held, and ours go out.
#[test]
fn heartbeats_pass() {
    for way in Way::EVENTS {
        let (script, kept) = holding();
        let of = SocketIoSettings::default();
        let (mut rig, script) = events_with(script, Settings::default(), of);
        let mut peer = rig.peer(way);
        let packets = [way.act("", "hold"), way.act("", "next")];
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
        let packets = [way.act("", "hold"), way.act("", "next")];
        peer.say_all(&mut rig, &packets);
        let held = kept.borrow_mut().pop_front().unwrap();
        let thread = std::thread::spawn(move || {
            held.finish(|me, cx| {
                me.script.note("finished");
                assert_eq!(cx.send("result"), Sent::Queued);
            });
        });
        thread.join().unwrap();
        rig.settle();
        let want = way.message("", "result");
        assert_eq!(peer.hear(&mut rig), [want]);
        assert_eq!(script.taken(), ["hold", "finished", "next"]);
        rig.left(&script, peer);
    }
}

/// A question of the client that is answered by a thread, which then lets the next one in.
#[test]
fn a_pending_answer_and_the_next_event() {
    for way in Way::EVENTS {
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
        let packets = ["hold", "hold", "a", "hold", "b"].map(|word| way.act("", word));
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
    for way in Way::EVENTS {
        for how in ["leave", "end", "server", "lost", "drain"] {
            let (root, _) = holding();
            let (chat, kept) = holding();
            let (mut rig, [root, chat]) = with_chat(root, chat);
            let mut peer = rig.peer(way);
            peer.join(&mut rig, "/chat");
            let packets = ["hold", "a", "b"].map(|word| way.act("/chat", word));
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

/// The same at the root, with the session.
#[test]
fn the_session_is_closed_while_held() {
    for way in Way::ALL {
        for how in ["server", "lost", "drain"] {
            let (script, kept) = holding();
            let (mut rig, script) = events(script);
            let mut peer = rig.peer(way);
            let packets = ["hold", "a"].map(|word| way.act("", word));
            peer.say_all(&mut rig, &packets);
            let causes = match how {
                "server" => {
                    let id = script.id(0);
                    rig.server.with_app(|app| app.to(id).close()).unwrap();
                    [Cause::Server; 2]
                }
                "lost" => {
                    peer.silent(&mut rig);
                    peer.cut();
                    rig.pass(secs(50));
                    // Without a receiver it is given up when its time is over.
                    [Cause::Lost, Cause::Timeout]
                }
                _ => {
                    rig.server.drain(secs(5)).unwrap();
                    rig.pass(secs(6));
                    [Cause::Shutdown; 2]
                }
            };
            rig.settle();
            assert_eq!(script.taken(), ["hold", "on_close"], "{way:?} {how}");
            let got = script.last_reason().cause;
            assert!(causes.contains(&got), "{way:?} {how}: {got:?}");
            if how == "server" {
                assert_eq!(peer.hear(&mut rig), way.end());
                assert!(peer.is_over, "{way:?}");
            }
            let held = kept.borrow_mut().pop_front().unwrap();
            held.finish(|_, _| panic!("nobody is there"));
            rig.settle();
            assert_eq!(script.taken(), [""; 0], "{way:?} {how}");
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
    let ways = Way::SOCKETS.map(|way| [(way, true), (way, false)]);
    for (way, heartbeats) in ways.concat() {
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
        let packets: Vec<String> = words.iter().map(|word| way.act("", word)).collect();
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
        heard.retain(|packet| packet != "2::" && !packet.starts_with("~h~"));
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
    for way in Way::POLLS {
        let (script, kept) = holding();
        let (mut rig, script) = events_with(script, settings.clone(), quiet());
        let mut peer = rig.peer(way);
        let packets = |words: &[&str]| -> Vec<String> {
            words.iter().map(|word| way.act("", word)).collect()
        };
        // Just under: answered at once, though nothing of it has been handled.
        let mut post = peer.post(&mut rig, &packets(&["hold", "a"]));
        assert_eq!(post.answer(&mut rig).text(), way.thanks());
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
        assert_eq!(post.answer(&mut rig).text(), way.thanks());
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
        assert_eq!(post.answer(&mut rig).text(), way.thanks());
        rig.left(&script, (peer, post));
    }
}

/// Their bytes fill it as well; one message may go beyond.
#[test]
fn an_inbox_full_of_bytes() {
    let settings = Settings {
        inbox_bytes_max: 4096,
        ..Settings::default()
    };
    for way in Way::ALL {
        let (script, kept) = holding();
        let (mut rig, script) = events_with(script, settings.clone(), quiet());
        let mut peer = rig.peer(way);
        peer.act(&mut rig, "hold");
        let long = "x".repeat(4000);
        let message = way.message("", &long);
        peer.say(&mut rig, &message);
        let mut post = None;
        if way.is_socket() {
            peer.say(&mut rig, &message);
            let before = rig.stats().bytes_in;
            peer.say(&mut rig, &message);
            assert_eq!(rig.stats().bytes_in, before, "{way:?}");
        } else {
            let messages = [message.clone(), message];
            let post = post.insert(peer.post(&mut rig, &messages));
            post.silent(&mut rig);
        }
        assert_eq!(script.taken(), ["hold"]);
        release(&kept, &mut rig);
        assert_eq!(script.taken(), vec![format!("message {long}"); 3]);
        if let Some(post) = &mut post {
            assert_eq!(post.answer(&mut rig).text(), way.thanks());
        }
        rig.left(&script, (peer, post));
    }
}

/// What waits counts for the memory of all: who holds most is closed, and what it held is gone at once.
#[test]
fn inboxes_and_memory() {
    let settings = Settings {
        buffers_max_bytes: 1 << 20,
        ..Settings::default()
    };
    for way in [Way::Sio06Socket, Way::Sio09Socket, Way::Sio09Polling] {
        let (script, kept) = holding();
        let (mut rig, script) = events_with(script, settings.clone(), quiet());
        let (mut one, mut two) = (rig.peer(way), rig.peer(way));
        two.act(&mut rig, "hold");
        one.act(&mut rig, "hold");
        assert_eq!(script.taken(), ["hold"; 2]);
        let long = "x".repeat(50_000);
        let messages = |n| vec![way.message("", &long); n];
        two.say_all(&mut rig, &messages(11));
        one.say_all(&mut rig, &messages(5));
        assert_eq!(rig.stats().memory_closes, 0);
        one.say_all(&mut rig, &messages(4));
        assert_eq!(rig.stats().memory_closes, 1);
        assert_eq!(script.taken(), ["on_close"]);
        assert!(rig.stats().bytes_unfinished < 500_000, "{way:?}");
        let why = script.last_reason();
        assert_eq!((why.cause, why.code), (Cause::Overflow, 1006), "{way:?}");
        if way.is_socket() {
            // It hears nothing.
            assert_eq!(two.receiver().rest(&mut rig), b"");
        }
        // There is room again.
        one.say_all(&mut rig, &messages(3));
        release(&kept, &mut rig);
        release(&kept, &mut rig);
        let want = format!("message {long}");
        assert_eq!(script.taken(), vec![want; 12]);
        assert_eq!(rig.stats().memory_closes, 1);
        rig.left(&script, (one, two));
    }
}

/// While a POST is parked its client leaves, and the session ends: neither leaves anything behind.
#[test]
fn a_parked_post_is_forgotten() {
    let settings = Settings {
        inbox_max: 1,
        ..Settings::default()
    };
    let ways = Way::POLLS.map(|way| [(way, "client"), (way, "session")]);
    for (way, how) in ways.concat() {
        let (script, kept) = holding();
        let (mut rig, script) = events_with(script, settings.clone(), quiet());
        let mut peer = rig.peer(way);
        let packets: Vec<String> = ["hold", "a", "b", "c"].map(|word| way.act("", word)).into();
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
            assert_eq!(peer.hear(&mut rig), way.end());
            assert!(peer.is_over);
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
    for way in Way::EVENTS {
        let (script, _) = holding();
        let (mut rig, script) = events_with(script, settings.clone(), quiet());
        let mut peer = rig.peer(way);
        let mut packets = vec![way.act("", "hold and ask")];
        packets.extend(["a", "b", "c"].map(|word| way.act("", word)));
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
    for way in Way::EVENTS {
        for at in ["", "/chat"] {
            let (mut held, kept) = holding();
            let put = Rc::clone(&kept);
            held.open = Box::new(move |_, cx, _| {
                put.borrow_mut().push_back(cx.ordered());
                cx.send("wait");
                Ok(())
            });
            let (free, _) = holding();
            let (mut rig, [root, chat]) = match at {
                "" => with_chat(held, free),
                _ => with_chat(free, held),
            };
            let script = if at.is_empty() { &root } else { &chat };
            let answer = rig.ask("GET", "/socket.io/1/", "", b"");
            let mut peer = Peer::of_answer(way, "/socket.io", &answer);
            let mut want = vec![way.join("")];
            if at.is_empty() {
                want.push(way.message("", "wait"));
            }
            assert_eq!(peer.hear(&mut rig), want);
            // To be held at the root is not to be held elsewhere.
            let packets = [way.join("/chat"), way.act(at, "first")];
            peer.say_all(&mut rig, &packets);
            let mut want = vec![way.join("/chat")];
            if at == "/chat" {
                want.push(way.message(at, "wait"));
            }
            assert_eq!(peer.hear(&mut rig), want);
            assert_eq!(script.taken(), [""; 0]);
            release(&kept, &mut rig);
            assert_eq!(script.taken(), ["first"]);
            rig.left(&root, peer);
        }
    }
}

/// The same where there are no endpoints. What comes is answered, and what is sent goes out.
#[test]
fn the_root_is_held_from_on_open() {
    for way in Way::ALL {
        let (mut script, kept) = holding();
        let put = Rc::clone(&kept);
        script.open = Box::new(move |_, cx, _| {
            put.borrow_mut().push_back(cx.ordered());
            cx.send("wait");
            Ok(())
        });
        let (mut rig, script) = events(script);
        let (mut peer, heard) = Peer::greeted(&mut rig, way, "/socket.io", "");
        assert_eq!(heard, [way.message("", "wait")], "{way:?}");
        let said = [Said::Text("second"), Said::Value("[3]"), Said::Text("[4]")];
        let mut packets = vec![way.act("", "first")];
        packets.extend(said.map(|said| way.said(said)));
        peer.say_all(&mut rig, &packets);
        assert_eq!(script.taken(), [""; 0], "{way:?}");
        let id = script.id(0);
        rig.server.with_app(|app| app.to(id).send("still")).unwrap();
        assert_eq!(peer.hear(&mut rig), [way.message("", "still")]);
        release(&kept, &mut rig);
        let want = ["first", "message second", "value [3]", "message [4]"];
        assert_eq!(script.taken(), want, "{way:?}");
        rig.left(&script, peer);
    }
}

/// One whose inbox was full, so that nothing was read, is closed: the others are read again.
#[test]
fn reading_goes_on_when_the_held_one_is_gone() {
    let settings = Settings {
        inbox_max: 2,
        ..Settings::default()
    };
    for way in Way::EVENTS {
        let (root, _) = holding();
        let (chat, kept) = holding();
        let (mut rig, [root, chat]) = with_chat_and(root, chat, settings.clone(), quiet());
        let mut peer = rig.peer(way);
        peer.join(&mut rig, "/chat");
        let mut packets: Vec<String> = ["hold", "a", "b", "c"]
            .map(|word| way.act("/chat", word))
            .into();
        packets.extend(["one", "two"].map(|word| way.act("", word)));
        let post = match way.is_socket() {
            true => {
                peer.say_all(&mut rig, &packets);
                None
            }
            false => Some(peer.post(&mut rig, &packets)),
        };
        rig.settle();
        assert_eq!(chat.taken(), ["hold"]);
        assert_eq!(root.taken(), [""; 0]);
        let id = chat.id(0);
        rig.server.with_app(|app| app.to(id).close()).unwrap();
        rig.settle();
        assert_eq!(chat.taken(), ["on_close"]);
        assert_eq!(root.taken(), ["one", "two"], "{way:?}");
        if let Some(mut post) = post {
            assert_eq!(post.answer(&mut rig).text(), "1");
        }
        assert_eq!(peer.hear(&mut rig), [way.leave("/chat")]);
        peer.act(&mut rig, "three");
        assert_eq!(root.taken(), ["three"]);
        kept.borrow_mut().clear();
        rig.left(&root, peer);
    }
}

/// So they are when it is refused at last, or accepted.
#[test]
fn reading_goes_on_when_an_endpoint_is_decided() {
    let settings = Settings {
        inbox_max: 2,
        ..Settings::default()
    };
    for way in Way::EVENTS {
        for accepted in [true, false] {
            let shelf: Rc<RefCell<Vec<Deciding<Probe>>>> = Rc::default();
            let put = Rc::clone(&shelf);
            let (root, _) = holding();
            let (mut chat, _) = holding();
            chat.open = Box::new(move |_, cx, _| {
                put.borrow_mut().push(cx.decide_later());
                Ok(())
            });
            let (mut rig, [root, chat]) = with_chat_and(root, chat, settings.clone(), quiet());
            let mut peer = rig.peer(way);
            let mut packets = vec![way.join("/chat")];
            packets.extend(["a", "b", "c"].map(|word| way.act("/chat", word)));
            packets.push(way.act("", "one"));
            let post = match way.is_socket() {
                true => {
                    peer.say_all(&mut rig, &packets);
                    None
                }
                false => Some(peer.post(&mut rig, &packets)),
            };
            rig.settle();
            assert_eq!(chat.taken(), [""; 0]);
            let deciding = shelf.borrow_mut().pop().unwrap();
            let answer = match accepted {
                true => {
                    deciding.accept(|me, _| me.script.note("accepted"));
                    way.join("/chat")
                }
                false => {
                    deciding.refuse(dustdevil::Reject::from("no"));
                    way.refusal("/chat")
                }
            };
            rig.settle();
            let want: &[&str] = match accepted {
                true => &["accepted", "a", "b", "c"],
                false => &[],
            };
            assert_eq!(chat.taken(), want, "{way:?} {accepted}");
            assert_eq!(root.taken(), ["one"], "{way:?} {accepted}");
            assert_eq!(peer.hear(&mut rig), [answer]);
            drop(post);
            rig.left(&root, peer);
        }
    }
}

/// A client whose WebSocket was not read any more loses it, and comes back: it is not read either, until
/// what waits has been handled; and nothing is lost of what had been read.
#[test]
fn back_with_a_full_inbox() {
    let settings = Settings {
        inbox_max: 2,
        ..Settings::default()
    };
    for back in Way::EVENTS {
        let (script, kept) = holding();
        let (mut rig, script) = events_with(script, settings.clone(), quiet());
        let way = Way::Sio09Socket;
        let mut peer = rig.peer(way);
        let packets = ["hold", "a", "b"].map(|word| way.act("", word));
        peer.say_all(&mut rig, &packets);
        peer.cut();
        rig.pass(secs(5));
        peer.way = back;
        peer.silent(&mut rig);
        match back.is_socket() {
            true => {
                // At the first packet it is seen to be full.
                peer.say(&mut rig, &way.act("", "c"));
                let before = rig.stats().bytes_in;
                peer.say(&mut rig, &way.act("", "d"));
                assert_eq!(rig.stats().bytes_in, before);
            }
            // There is no request whose answer could wait.
            false => {
                let packets = [way.act("", "c")];
                assert_eq!(peer.post(&mut rig, &packets).answer(&mut rig).status, 503);
            }
        }
        assert_eq!(script.taken(), ["hold"]);
        release(&kept, &mut rig);
        let want: &[&str] = match back.is_socket() {
            true => &["a", "b", "c", "d"],
            false => &["a", "b"],
        };
        assert_eq!(script.taken(), want);
        peer.act(&mut rig, "e");
        assert_eq!(script.taken(), ["e"]);
        rig.left(&script, peer);
    }
}

/// A POST that is parked for `answer_timeout` is answered like any other request that takes so long; what it
/// brought is handled nevertheless.
#[test]
fn a_post_is_parked_for_long() {
    let settings = Settings {
        inbox_max: 2,
        ..Settings::default()
    };
    for way in Way::POLLS {
        let (script, kept) = holding();
        let (mut rig, script) = events_with(script, settings.clone(), quiet());
        let mut peer = rig.peer(way);
        let packets = ["hold", "a", "b", "c"].map(|word| way.act("", word));
        let mut post = peer.post(&mut rig, &packets);
        assert_eq!(peer.hear_for(&mut rig, secs(55)), [""; 0]);
        post.silent(&mut rig);
        assert_eq!(peer.hear_for(&mut rig, secs(200)), [""; 0]);
        assert_eq!(post.answer(&mut rig).status, 503);
        assert_eq!(script.taken(), ["hold"]);
        release(&kept, &mut rig);
        assert_eq!(script.taken(), ["a", "b", "c"]);
        peer.act(&mut rig, "d");
        assert_eq!(script.taken(), ["d"]);
        rig.left(&script, (peer, post));
    }
}

/// With two of them full a POST waits for both; a client is not told to go on before it can.
#[test]
fn two_full_inboxes() {
    let settings = Settings {
        inbox_max: 2,
        ..Settings::default()
    };
    for way in Way::EVENTS {
        let (root, at_root) = holding();
        let (chat, at_chat) = holding();
        let (mut rig, [root, chat]) = with_chat_and(root, chat, settings.clone(), quiet());
        let mut peer = rig.peer(way);
        peer.join(&mut rig, "/chat");
        let words = |at| ["hold", "a", "b"].map(|word| way.act(at, word));
        let packets = [words(""), words("/chat")].concat();
        let mut post = None;
        match way.is_socket() {
            // The first one that is full stops it.
            true => peer.say_all(&mut rig, &packets),
            false => post = Some(peer.post(&mut rig, &packets)),
        }
        rig.settle();
        assert_eq!(root.taken(), ["hold"]);
        release(&at_root, &mut rig);
        assert_eq!(root.taken(), ["a", "b"]);
        assert_eq!(chat.taken(), ["hold"]);
        if let Some(post) = &mut post {
            post.silent(&mut rig);
        }
        release(&at_chat, &mut rig);
        assert_eq!(chat.taken(), ["a", "b"]);
        if let Some(post) = &mut post {
            assert_eq!(post.answer(&mut rig).text(), "1");
        }
        peer.act(&mut rig, "c");
        assert_eq!(root.taken(), ["c"]);
        rig.left(&root, (peer, post));
    }
}

/// A poll that takes another's place changes nothing of it.
#[test]
fn another_receiver_while_held() {
    for way in Way::EVENTS {
        let (script, kept) = holding();
        let (mut rig, script) = events(script);
        let mut peer = rig.peer(way);
        let packets = ["hold", "a"].map(|word| way.act("", word));
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

/// What would release it is an answer that does not come any more.
#[test]
fn held_by_a_question_and_closed() {
    for way in Way::EVENTS {
        let (script, _) = holding();
        let (mut rig, script) = events(script);
        let mut peer = rig.peer(way);
        let packets = [way.act("", "hold and ask"), way.act("", "next")];
        peer.say_all(&mut rig, &packets);
        peer.say(&mut rig, &way.leave(""));
        let log = script.taken();
        assert_eq!(log, ["hold and ask", "Err(Closed)", "on_close"]);
        rig.left(&script, peer);
    }
}

/// A WebSocket whose place another has taken is not listened to any more.
#[test]
fn a_receiver_that_was_replaced() {
    let way = Way::Sio09Socket;
    let (script, _) = holding();
    let (mut rig, script) = events_with(script, Settings::default(), quiet());
    let mut peer = rig.peer(way);
    let path = format!("/socket.io/1/websocket/{}", peer.id);
    let mut second = rig.client(&path);
    // It has not heard of it yet.
    peer.receiver()
        .write(&masked(0x81, way.act("", "late").as_bytes()));
    rig.settle();
    second.write(&masked(0x81, way.act("", "new").as_bytes()));
    rig.settle();
    let log = script.taken();
    assert_eq!(log, ["new"]);
    let id = script.id(0);
    rig.server.with_app(|app| app.to(id).send("hello")).unwrap();
    assert_eq!(second.texts(&mut rig), [way.message("", "hello")]);
    let frames = peer.receiver().frames(&mut rig);
    assert!(frames.iter().all(|frame| frame.head == 0x88), "{frames:?}");
    rig.left(&script, (peer, second));
}

/// Both in one turn: what the old one sent comes from the same client, and the new one is the receiver.
#[test]
fn a_receiver_that_is_replaced_in_the_same_turn() {
    let way = Way::Sio09Socket;
    for late_first in [true, false] {
        let (script, _) = holding();
        let (mut rig, script) = events_with(script, Settings::default(), quiet());
        let mut peer = rig.peer(way);
        let path = format!("/socket.io/1/websocket/{}", peer.id);
        let mut second = rig.raw();
        rig.settle();
        let late = masked(0x81, way.act("", "late").as_bytes());
        let upgrade = request(&path, "");
        if late_first {
            peer.receiver().write(&late);
            second.write(upgrade.as_bytes());
        } else {
            second.write(upgrade.as_bytes());
            peer.receiver().write(&late);
        }
        rig.settle();
        second.head(&mut rig);
        second.write(&masked(0x81, way.act("", "new").as_bytes()));
        rig.settle();
        let mut log = script.taken();
        log.retain(|word| word != "late");
        assert_eq!(log, ["new"], "{late_first}");
        let id = script.id(0);
        rig.server.with_app(|app| app.to(id).send("hello")).unwrap();
        assert_eq!(second.texts(&mut rig), [way.message("", "hello")]);
        rig.left(&script, (peer, second));
    }
}
