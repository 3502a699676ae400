//! What the application is promised about its callbacks, where events touch it.

use crate::support::*;
use dustdevil::reactor::ManualClock;
use dustdevil::{Cause, Cx, Sent};
use std::cell::RefCell;
use std::rc::Rc;

/// A call that comes from a callback's own client: events, messages, acknowledgements, timers.
#[test]
fn no_callback_runs_inside_another() {
    for way in Way::EVENTS {
        let mut script = acting(|me, cx, _| {
            let script = Rc::clone(&me.script);
            for id in script.ids.borrow().iter() {
                cx.to(*id).emit("x", 1);
                cx.to(*id).close();
            }
            cx.emit_ack("q", (), |_, _, _| {});
            let ack = cx.ack();
            cx.reply(ack, 1);
            cx.close();
            script.note("handled");
        });
        script.open = Box::new(|_, cx, _| {
            cx.emit_ack("q", (), |me, cx, _| {
                me.script.note(format!("asked {}", me.n));
                cx.all().close();
                cx.all().emit("x", ());
                me.script.note(format!("told {}", me.n));
            });
            Ok(())
        });
        script.close = Box::new(|me, cx, _| {
            me.script.note(format!("close {}", me.n));
            cx.all().close();
            cx.all().emit("bye", ());
            me.script.note(format!("closed {}", me.n));
        });
        let (mut rig, script) = events(script);
        let answers: Vec<Answer> = (0..3)
            .map(|_| rig.ask("GET", "/socket.io/1/", "", b""))
            .collect();
        let mut peers: Vec<Peer> = answers
            .iter()
            .map(|answer| Peer::of_answer(way, "/socket.io", answer))
            .collect();
        for peer in &mut peers {
            assert_eq!(peer.hear(&mut rig).len(), 2);
        }
        let packet = way.event("", Some(1), "do", "[\"x\"]");
        peers[1].say(&mut rig, &packet);
        let log = script.taken();
        assert_eq!(log[0], "handled");
        assert_eq!(log.len(), 1 + 3 * 4, "{log:?}");
        for four in log[1..].chunks(4) {
            let n = four[0].strip_prefix("asked ").unwrap();
            let want = ["asked", "told", "close", "closed"].map(|word| format!("{word} {n}"));
            assert_eq!(four, want, "{log:?}");
        }
        assert_eq!(script.deepest.get(), 1);
        assert_eq!(script.closed().len(), 3);
        rig.left(&script, peers);
    }
}

/// What was read behind a close is dropped, of events and of messages; `on_close` runs once.
#[test]
fn after_a_close() {
    for way in Way::EVENTS {
        let (mut rig, script) = events(acting(|me, cx, word| {
            me.script.note(word);
            cx.emit("before", ());
            cx.close();
            let ack = cx.ack();
            let sent = [
                cx.send("x"),
                cx.emit("x", ()),
                cx.emit_ack("x", (), |me, _, _| me.script.note("never")),
                cx.reply(ack, 1),
            ];
            assert_eq!(sent, [Sent::Gone; 4]);
            assert_eq!(cx.all().emit("x", ()), 0);
        }));
        let mut peer = rig.peer(way);
        let packets = [
            way.event("", Some(1), "do", "[\"one\"]"),
            way.event("", Some(2), "do", "[\"two\"]"),
            way.message("", "three"),
            way.leave(""),
        ];
        peer.say_all(&mut rig, &packets);
        let want = [way.event("", None, "before", "[]"), way.leave("")];
        assert_eq!(peer.hear(&mut rig), want);
        assert_eq!(script.taken(), ["one"]);
        assert_eq!(script.closed(), [0]);
        assert_eq!(script.last_reason().cause, Cause::Server);
        rig.left(&script, peer);
        assert_eq!(script.closed(), [0]);
    }
}

/// The same where there are no events.
#[test]
fn after_a_close_of_messages() {
    for way in Way::ALL {
        let (mut rig, script) = events(acting(|me, cx, word| {
            me.script.note(word);
            cx.send("before");
            cx.close();
            let unsupported = cx.stats().unsupported;
            assert_eq!(cx.send("x"), Sent::Gone);
            assert_eq!(cx.emit("x", ()), Sent::Gone);
            assert_eq!(cx.emit_ack("x", (), |_, _, _| {}), Sent::Gone);
            assert_eq!(cx.send_ack("x", |_, _, _| {}), Sent::Gone);
            assert_eq!(cx.stats().unsupported, unsupported);
            assert_eq!(cx.all().send("x"), 0);
        }));
        let mut peer = rig.peer(way);
        let packets = [way.act("", "one"), way.act("", "two")];
        peer.say_all(&mut rig, &packets);
        let mut want = vec![way.message("", "before")];
        want.extend(way.end());
        assert_eq!(peer.hear(&mut rig), want);
        assert!(peer.is_over, "{way:?}");
        assert_eq!(script.taken(), ["one"]);
        assert_eq!(script.closed(), [0]);
        assert_eq!(script.last_reason().cause, Cause::Server);
        rig.left(&script, peer);
        assert_eq!(script.closed(), [0]);
    }
}

/// `on_close` reaches the others, the state and no more itself; timers are gone.
#[test]
fn at_the_end_others_are_reached() {
    for way in Way::ALL {
        let mut script = acting(|_, cx, word| match word {
            "join" => {
                cx.join("room");
                cx.after(secs(1), |me, _| me.script.note("a dead timer"));
            }
            _ => cx.close(),
        });
        script.close = Box::new(move |me, cx, _| {
            cx.state.push(format!("{} left", me.n));
            assert_eq!(cx.send("left"), Sent::Gone);
            assert!(!cx.room("room").fetch().contains(&cx.id()));
            assert!(!cx.all().fetch().contains(&cx.id()));
            assert!(!cx.join("room"));
            cx.after(secs(1), |me, _| me.script.note("never"));
            let told = way.tell(cx.room("room"), "left", me.n);
            me.script.note(format!("told {told}"));
        });
        let (mut rig, script) = events(script);
        let mut peers = [rig.peer(way), rig.peer(way), rig.peer(way)];
        for peer in &mut peers {
            peer.act(&mut rig, "join");
        }
        assert_eq!(peers[1].act(&mut rig, "leave"), way.end());
        for n in [0, 2] {
            let want = [way.told("left", 1)];
            assert_eq!(peers[n].hear(&mut rig), want);
        }
        assert_eq!(script.taken(), ["told 2"]);
        assert_eq!(rig.noted(), ["1 left"]);
        rig.pass(secs(3));
        let mut log = script.taken();
        log.sort_unstable();
        assert_eq!(
            log,
            ["a dead timer", "a dead timer"],
            "of the two that are there"
        );
        rig.left(&script, peers);
    }
}

/// Whoever is kicked while all are told something is not counted and gets nothing after it.
#[test]
fn kicked_while_broadcasting() {
    for way in Way::ALL {
        let (mut rig, script) = events(acting(move |me, cx, _| {
            let script = Rc::clone(&me.script);
            for (n, id) in script.ids.borrow().iter().enumerate() {
                if n % 2 == 1 {
                    cx.to(*id).close();
                }
                let count = way.tell(cx.all(), "tick", n);
                script.note(count.to_string());
            }
        }));
        let mut peers: Vec<Peer> = (0..4).map(|_| rig.peer(way)).collect();
        peers[0].say(&mut rig, &way.act("", "x"));
        assert_eq!(script.taken(), ["4", "3", "3", "2"]);
        assert_eq!(script.closed(), [1, 3]);
        let heard = [4, 1, 4, 3];
        for (peer, count) in peers.iter_mut().zip(heard) {
            let mut want: Vec<String> = (0..count).map(|n| way.told("tick", n)).collect();
            if count < 4 {
                want.extend(way.end());
            }
            assert_eq!(peer.hear(&mut rig), want);
            assert_eq!(peer.is_over, count < 4, "{way:?}");
        }
        rig.left(&script, peers);
    }
}

/// An id of one that is gone reaches nobody, not even on the place that it had.
#[test]
fn a_stale_id_is_harmless() {
    for way in Way::EVENTS {
        let (mut rig, [root, chat]) = with_chat(Script::default(), Script::default());
        let mut peer = rig.peer(way);
        for _ in 0..3 {
            peer.join(&mut rig, "/chat");
            let stale = *chat.ids.borrow().last().unwrap();
            peer.ask(&mut rig, &way.leave("/chat"));
            peer.join(&mut rig, "/chat");
            let closed = chat.closed();
            rig.server
                .with_app(|app| {
                    assert_eq!(app.to(stale).emit("stale", ()), 0);
                    assert_eq!(app.to(stale).send("stale"), 0);
                    app.to(stale).close();
                    app.to(stale).join("room");
                })
                .unwrap();
            rig.settle();
            peer.silent(&mut rig);
            assert_eq!(chat.closed(), closed);
            peer.ask(&mut rig, &way.leave("/chat"));
        }
        rig.left(&root, peer);
    }
}

/// Two connections that close each other come to an end.
#[test]
fn an_endless_exchange_of_close_ends() {
    for way in Way::EVENTS {
        let script = || Script {
            close: Box::new(|me, cx, _| {
                for id in me.script.ids.borrow().iter() {
                    cx.to(*id).close();
                    cx.to(*id).emit("x", ());
                }
                cx.app()
                    .add_callback(|app| app.state.push("posted".to_owned()));
            }),
            ..acting(|_, cx, _| cx.close())
        };
        let (mut rig, [root, chat]) = with_chat(script(), script());
        let mut peers = [rig.peer(way), rig.peer(way)];
        for peer in &mut peers {
            peer.join(&mut rig, "/chat");
        }
        peers[0].act(&mut rig, "x");
        rig.settle();
        assert_eq!((root.closed().len(), chat.closed().len()), (2, 2));
        assert_eq!(rig.noted().len(), 4);
        rig.left(&root, peers);
    }
}

/// What one callback sends arrives in that order, over all endpoints of a session.
#[test]
fn the_order_of_what_is_sent() {
    for way in Way::EVENTS {
        let (mut rig, [root, chat]) = with_chat(
            Script::default(),
            acting(|_, cx, _| {
                let ack = cx.ack();
                cx.send("one");
                cx.emit("two", ());
                cx.emit_ack("three", (), |_, _, _| {});
                cx.reply(ack, 4);
                cx.send_each(["five", "six"]);
                cx.all().emit("seven", ());
                cx.send("eight");
            }),
        );
        let mut peer = rig.peer(way);
        peer.join(&mut rig, "/chat");
        let at = "/chat";
        let heard = peer.ask(&mut rig, &way.event(at, Some(9), "do", "[\"x\"]"));
        let want = [
            way.message(at, "one"),
            way.event(at, None, "two", "[]"),
            way.event(at, Some(1), "three", "[]"),
            way.answer(at, 9, "[4]"),
            way.message(at, "five"),
            way.message(at, "six"),
            way.event(at, None, "seven", "[]"),
            way.message(at, "eight"),
        ];
        assert_eq!(heard, want);
        // Of a thread, too.
        let (remote, root_id, chat_id) = (rig.server.remote().unwrap(), root.id(0), chat.id(0));
        let thread = std::thread::spawn(move || {
            for n in 0..50 {
                let id = if n % 2 == 0 { root_id } else { chat_id };
                remote
                    .call(move |app| {
                        app.to(id).emit("n", n);
                    })
                    .unwrap();
            }
        });
        thread.join().unwrap();
        rig.settle();
        let want: Vec<String> = (0..50)
            .map(|n| {
                let at = if n % 2 == 0 { "" } else { at };
                way.event(at, None, "n", &format!("[{n}]"))
            })
            .collect();
        assert_eq!(peer.hear(&mut rig), want);
        rig.left(&root, peer);
    }
}

/// Values are made into JSON while nothing is borrowed: what does it may send, and may panic.
#[test]
fn user_code_runs_while_nothing_is_borrowed() {
    struct Sly<'a, 'b>(&'a Cx<'b, Probe>, bool);
    impl serde_core::Serialize for Sly<'_, '_> {
        fn serialize<S: serde_core::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            assert!(!self.1, "{}", MEANT);
            self.0.emit("inner", ());
            to.serialize_str("outer")
        }
    }
    quiet_panics();
    for way in Way::EVENTS {
        let (mut rig, script) = events(acting(|_, cx, word| {
            let sly = || (Sly(cx, word == "panic"),);
            assert_eq!(cx.emit("a", sly()), Sent::Queued);
            assert_eq!(cx.all().emit("b", sly()), 1);
            assert_eq!(cx.emit_ack("c", sly(), |_, _, _| {}), Sent::Queued);
            let ack = cx.ack();
            cx.reply(ack, sly());
            // A loop over the state may send.
            cx.state.push("d".to_owned());
            for name in &*cx.state {
                cx.io.emit(name, ());
            }
        }));
        let mut peer = rig.peer(way);
        let ask = |word: &str| way.event("", Some(1), "do", &format!("[\"{word}\"]"));
        let inner = way.event("", None, "inner", "[]");
        let want = [
            inner.clone(),
            way.event("", None, "a", "[\"outer\"]"),
            inner.clone(),
            way.event("", None, "b", "[\"outer\"]"),
            inner.clone(),
            way.event("", Some(1), "c", "[\"outer\"]"),
            inner.clone(),
            way.answer("", 1, "[\"outer\"]"),
            way.event("", None, "d", "[]"),
        ];
        assert_eq!(peer.ask(&mut rig, &ask("fine")), want);
        assert_eq!(peer.ask(&mut rig, &ask("panic")), [way.leave("")]);
        assert_eq!(script.last_reason().cause, Cause::Error);
        rig.left(&script, peer);
    }
}

/// A callback that is slow is counted: of an event, of an answer.
#[test]
fn slow_callbacks() {
    let clock = Rc::new(RefCell::new(None::<ManualClock>));
    let hand = Rc::clone(&clock);
    let (mut rig, script) = events(acting(move |_, cx, word| {
        let hand = hand.borrow().clone().unwrap();
        let held = ms(word.parse().unwrap());
        hand.advance(held);
        cx.emit_ack("q", (), move |_, _, _| hand.advance(held));
    }));
    *clock.borrow_mut() = Some(rig.clock.clone());
    let way = Way::Sio09Socket;
    let mut peer = rig.peer(way);
    for (id, held, count) in [(1, "99", 0), (2, "100", 2)] {
        assert_eq!(peer.act(&mut rig, held).len(), 1);
        peer.ask(&mut rig, &way.answer("", id, "[]"));
        assert_eq!(rig.stats().slow_callbacks, count, "{held}");
    }
    rig.left(&script, peer);
}

thread_local! {
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Keeps the warnings of this thread.
struct Warnings;

impl log::Log for Warnings {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            LINES.with_borrow_mut(|lines| lines.push(record.args().to_string()));
        }
    }

    fn flush(&self) {}
}

/// The line in the log says which class it was, and which of its callbacks.
#[test]
fn slow_callbacks_are_named() {
    let _ = log::set_logger(&Warnings);
    log::set_max_level(log::LevelFilter::Warn);
    for way in Way::ALL {
        let clock = Rc::new(RefCell::new(None::<ManualClock>));
        let hand = Rc::clone(&clock);
        let settings = dustdevil::Settings {
            work_per_turn_bytes: 1024,
            ..Default::default()
        };
        let script = acting(move |_, _, _| {
            hand.borrow().as_ref().unwrap().advance(ms(100));
        });
        let (mut rig, script) = events_with(script, settings, quiet());
        *clock.borrow_mut() = Some(rig.clock.clone());
        let mut peer = rig.peer(way);
        LINES.take();
        peer.say(&mut rig, &way.act("", "x"));
        let what = match way.has_events() {
            true => "an event's handler",
            false => "on_message",
        };
        let class = std::any::type_name::<Probe>();
        let want = format!("{class} {what} held the loop for 100ms");
        assert_eq!(LINES.take(), [want.as_str()], "{way:?}");
        // Those of later turns as well.
        let packets = vec![way.act("", "x"); 3];
        peer.say_all(&mut rig, &packets);
        assert_eq!(rig.stats().slow_callbacks, 4, "{way:?}");
        let lines = LINES.take();
        assert!(lines.iter().all(|line| line.contains(what)), "{lines:?}");
        rig.left(&script, peer);
    }
}

/// Who is refused at the root has not been there: rooms, timers and questions are undone, nothing that was
/// sent is heard, and `on_close` does not run.
#[test]
fn a_reject_undoes_everything() {
    let dropped = Rc::new(());
    let watch = Rc::clone(&dropped);
    let (mut rig, script) = events(Script {
        open: Box::new(move |me, cx, _| {
            let watch = Rc::clone(&watch);
            cx.join("room");
            cx.emit("never", ());
            cx.after(secs(1), |me, _| me.script.note("a dead timer"));
            cx.emit_ack("never", (), move |me, _, _| {
                let _watch = watch;
                me.script.note("a dead question");
            });
            match me.n {
                0 => Err("no".into()),
                _ => Ok(()),
            }
        }),
        act: Box::new(|me, cx, _| me.script.note(cx.room("room").fetch().len().to_string())),
        ..Script::default()
    });
    let answer = rig.ask("GET", "/socket.io/1/", "", b"");
    assert_eq!(answer.status, 403);
    rig.pass(secs(2));
    let stats = rig.stats();
    assert_eq!((stats.rejected, stats.sessions_open), (1, 0));
    assert_eq!((stats.connections_open, stats.bytes_queued), (0, 0));
    // The script itself has one.
    assert_eq!(Rc::strong_count(&dropped), 2, "the question is dropped");
    let answer = rig.ask("GET", "/socket.io/1/", "", b"");
    let mut peer = Peer::of_answer(Way::Sio09Socket, "/socket.io", &answer);
    assert_eq!(peer.hear(&mut rig).len(), 3);
    peer.act(&mut rig, "x");
    assert_eq!(script.taken(), ["1"]);
    peer.say(&mut rig, "0::");
    assert_eq!(script.taken(), ["a dead question"]);
    rig.left(&script, peer);
    assert_eq!(script.closed(), [1]);
}
