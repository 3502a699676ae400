//! What the application is promised: each numbered semantics as a test of that name.

use crate::support::*;
use dustdevil::{
    Cause, Connection, Cx, Json, Keep, Message, Ordered, RawJson, Reject, Route, Router, Routes,
    Sent, Settings, SocketServer, Timer, WebSocket,
};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// A script that does what it is told by the words of a message.
fn words(f: impl Fn(&mut Probe, &mut Cx<'_, Probe>, &str) + 'static) -> Script {
    Script {
        message: Box::new(move |me, cx, message| f(me, cx, message.text().unwrap_or("(binary)"))),
        ..Script::default()
    }
}

fn clients<S>(rig: &mut Rig<S>, count: usize) -> Vec<Client> {
    (0..count).map(|_| rig.client("/ws")).collect()
}

// ---- 4.1 to 4.3: callbacks --------------------------------------------------------------------

#[test]
fn no_callback_runs_inside_another() {
    let mut script = words(|me, cx, _| {
        let script = Rc::clone(&me.script);
        for id in script.ids.borrow().iter() {
            cx.to(*id).send("x");
            cx.to(*id).close();
        }
        cx.close();
        script.note("message done");
    });
    script.close = Box::new(|me, cx, _| {
        me.script.note(format!("close {}", me.n));
        // More of the same, which changes nothing.
        cx.all().close();
        cx.all().send("bye");
        me.script.note(format!("closed {}", me.n));
    });
    let (mut rig, script) = rig(script);
    let mut all = clients(&mut rig, 4);
    all[1].send("go");
    rig.settle();
    let log = script.taken();
    assert_eq!(log[0], "message done");
    for pair in log[1..].chunks(2) {
        assert_eq!(pair[0].replace("close", "closed"), pair[1], "{log:?}");
    }
    assert_eq!(
        script.closed(),
        [0, 1, 2, 3],
        "one by one, in the order of closing"
    );
    assert_eq!(script.deepest.get(), 1);
}

#[test]
fn after_close_send_is_gone_and_what_was_read_is_dropped() {
    let (mut rig, script) = rig(words(|me, cx, text| {
        me.script.note(text);
        assert_eq!(cx.send("before"), Sent::Queued);
        cx.close();
        cx.close_with(4000, "again");
        assert_eq!(cx.send("after"), Sent::Gone);
        assert_eq!(cx.ping(b""), Sent::Gone);
        assert_eq!(cx.send_each(["a", "b"]), Sent::Gone);
        assert_eq!(cx.to(cx.id()).send("after"), 0);
        assert!(!cx.is_open(cx.id()));
        assert!(!cx.join("room"));
    }));
    let mut client = rig.client("/ws");
    let mut three = masked(0x81, b"one");
    three.extend(masked(0x81, b"two"));
    three.extend(masked(0x81, b"three"));
    client.write(&three);
    assert_eq!(client.text(&mut rig), "before");
    assert_eq!(client.close_code(&mut rig), Some(1000));
    assert_eq!(script.taken(), ["one"]);
    assert_eq!(script.closed(), [0]);
    // Nor does the end of TCP call it again.
    drop(client);
    rig.settle();
    rig.pass(secs(10));
    assert_eq!(script.closed(), [0]);
}

#[test]
fn on_close_reaches_others_and_the_state_but_not_itself() {
    let mut script = words(|_, cx, text| match text {
        "join" => {
            assert!(cx.join("room"));
            assert!(!cx.join("room"), "twice");
            cx.after(secs(1), |me, _| me.script.note("a dead timer"));
            cx.every(secs(1), |me, _| {
                me.script.note("a dead timer");
                Keep::Going
            });
        }
        _ => cx.close(),
    });
    script.close = Box::new(|me, cx, _| {
        cx.state.push(format!("{} left", me.n));
        assert_eq!(cx.send("to myself"), Sent::Gone);
        assert!(!cx.is_open(cx.id()));
        assert!(!cx.room("room").fetch().contains(&cx.id()));
        assert!(!cx.all().fetch().contains(&cx.id()));
        assert!(!cx.join("room"));
        cx.after(secs(1), |me, _| me.script.note("never"));
        cx.close();
        let told = cx.room("room").send(format!("{} left", me.n));
        me.script.note(format!("told {told}"));
    });
    let (mut rig, script) = rig(script);
    let mut all = clients(&mut rig, 3);
    for client in &mut all {
        client.send("join");
    }
    rig.settle();
    all[1].send("leave");
    assert_eq!(all[0].text(&mut rig), "1 left");
    assert_eq!(all[2].text(&mut rig), "1 left");
    assert_eq!(script.taken(), ["told 2"]);
    // Lost in place of closed: the same.
    let last = all.pop().unwrap();
    last.reset();
    assert_eq!(all[0].text(&mut rig), "2 left");
    script.taken();
    rig.state(|state| assert_eq!(*state, ["1 left", "2 left"]));
    drop(all);
    rig.settle();
    rig.pass(secs(3));
    assert_eq!(script.taken(), ["told 0"], "their timers are gone");
    assert_eq!(script.closed(), [1, 2, 0]);
}

// ---- 4.4: back-pressure -----------------------------------------------------------------------

#[test]
fn a_full_outbox_closes_the_slow_one_later() {
    let script = words(|me, cx, text| {
        if text != "flood" {
            return;
        }
        let script = Rc::clone(&me.script);
        let line = "x".repeat(64 << 10);
        let slow = script.id(1);
        let (mut full, mut rounds) = (0, 0);
        while cx.is_open(slow) {
            // Everybody in one loop: none of it may call back.
            cx.to_each(script.ids.borrow().iter().copied())
                .volatile()
                .send("y");
            rounds += cx.to(slow).send(&line);
            full += usize::from(cx.to(script.id(2)).send("z") == 1);
        }
        assert!(script.closed().is_empty(), "not in the loop that sends");
        script.note(format!("{rounds} {}", full > 0));
    });
    let (mut rig, script) = rig(script);
    let mut all = clients(&mut rig, 3);
    all[0].send("flood");
    rig.settle();
    // Sixteen with their headers are over 1 MiB; the next one is too many.
    assert_eq!(script.taken(), ["16 true"]);
    assert_eq!(script.closed(), [1]);
    let why = script.last_reason();
    assert_eq!((why.cause, why.code), (Cause::Overflow, 1013));
    assert_eq!(rig.stats().overflows, 1);
    all[0].send("still there");
    rig.settle();
    assert!(rig.stats().connections_open == 2);
}

/// `Full` over the high mark, `on_writable` under the low one, and reading goes on.
#[test]
fn full_then_writable() {
    let mut script = words(|me, cx, text| {
        if text == "more" {
            me.script.note("more");
            return;
        }
        let line = "x".repeat(32 << 10);
        while cx.send(&line) == Sent::Queued {}
        assert_eq!(cx.send("over, but queued"), Sent::Full);
        me.script.note("full");
    });
    script.writable = Box::new(|me, cx| {
        me.script.note("writable");
        cx.send("welcome back");
    });
    let settings = Settings {
        write_high_bytes: 8 << 20,
        write_low_bytes: 1 << 20,
        write_max_bytes: 64 << 20,
        ..Settings::default()
    };
    let (mut rig, script) = rig_with(script, settings, WebSocket::default());
    let mut client = rig.client("/ws");
    client.send("fill");
    rig.settle();
    assert_eq!(script.taken(), ["full"]);
    let mut over = false;
    loop {
        let frame = client.frame(&mut rig);
        over |= frame.payload == b"over, but queued";
        if frame.payload == b"welcome back" {
            break;
        }
    }
    assert!(over);
    assert_eq!(script.taken(), ["writable"], "once");
    client.send("more");
    rig.settle();
    assert_eq!(script.taken(), ["more"]);
    assert_eq!(rig.stats().overflows, 0);
}

/// What `on_open` sends is bounded by the same marks.
#[test]
fn full_then_writable_in_on_open() {
    let script = Script {
        open: Box::new(|me, cx, _| {
            let line = "x".repeat(32 << 10);
            while cx.send(&line) == Sent::Queued {}
            assert_eq!(cx.send("last"), Sent::Full);
            me.value = 1;
            Ok(())
        }),
        writable: Box::new(|_, cx| {
            cx.send("writable");
        }),
        ..Script::default()
    };
    let (mut rig, _) = rig(script);
    let mut client = rig.client("/ws");
    while client.frame(&mut rig).payload != b"last" {}
    assert_eq!(client.text(&mut rig), "writable");

    let script = Script {
        open: Box::new(|_, cx, _| {
            while cx.send("x".repeat(32 << 10)) != Sent::Gone {}
            Ok(())
        }),
        ..Script::default()
    };
    let (mut rig, script) = self::rig(script);
    let mut client = rig.client("/ws");
    while client.frame(&mut rig).head != 0x88 {}
    assert_eq!(script.last_reason().cause, Cause::Overflow);
}

// ---- 4.5 to 4.7 -------------------------------------------------------------------------------

#[test]
fn a_stale_id_is_harmless() {
    let (mut rig, script) = rig(words(|_, _, _| {}));
    let first = rig.client("/ws");
    drop(first);
    rig.settle();
    let mut second = rig.client("/ws");
    let (old, new) = (script.id(0), script.id(1));
    assert_ne!(old, new);
    let told = rig.server.with_app(|app| {
        assert!(!app.is_open(old) && app.is_open(new));
        app.to(old).close();
        app.to(old).join("room");
        assert!(app.to(old).fetch().is_empty());
        app.to_each([old, new, old]).send("hello")
    });
    assert_eq!(told.unwrap(), 1);
    assert_eq!(second.texts(&mut rig), ["hello"]);
    assert_eq!(script.closed(), [0]);
}

#[test]
fn kicked_while_broadcasting() {
    let mut script = words(|me, cx, _| {
        let script = Rc::clone(&me.script);
        let mut counts = Vec::new();
        for &id in script.ids.borrow().iter().skip(1) {
            cx.to(id).close_with(4000, "kicked");
            counts.push(cx.all().send("to who is left"));
        }
        script.note(format!("{counts:?}"));
    });
    script.close = Box::new(|me, _, why| {
        assert_eq!((why.cause, why.code), (Cause::Server, 4000));
        me.script.note(format!("gone {}", me.n));
    });
    let (mut rig, script) = rig(script);
    let mut all = clients(&mut rig, 4);
    all[0].send("go");
    assert_eq!(all[0].texts(&mut rig).len(), 3);
    assert_eq!(script.taken(), ["[3, 2, 1]", "gone 1", "gone 2", "gone 3"]);
    for (n, client) in all.iter_mut().enumerate().skip(1) {
        let frames = client.frames(&mut rig);
        assert_eq!(frames.len(), n, "nothing after the close");
        assert_eq!(frames[n - 1].code(), Some(4000));
    }
}

#[test]
fn a_reject_undoes_joins_and_timers() {
    let script = Script {
        open: Box::new(|me, cx, _| {
            cx.join("room");
            cx.after(secs(1), |me, _| me.script.note("a dead timer"));
            cx.send("lost");
            let _held = cx.ordered();
            if me.n == 0 {
                return Ok(());
            }
            Err(Reject::status(403))
        }),
        ..Script::default()
    };
    let (mut rig, script) = rig(script);
    let _member = rig.client("/ws");
    for _ in 0..3 {
        let mut client = rig.raw();
        client.write(request("/ws", "").as_bytes());
        client.rest(&mut rig);
    }
    rig.pass(secs(2));
    assert_eq!(
        script.taken(),
        ["a dead timer"],
        "that of the one who is in"
    );
    let first = script.id(0);
    rig.server
        .with_app(|app| {
            app.to(first).join("other");
            assert_eq!(app.stats().connections_open, 1);
        })
        .unwrap();
    assert!(script.closed().is_empty());
}

// ---- 4.8: ordered -----------------------------------------------------------------------------

type Kept = Rc<RefCell<VecDeque<Ordered<Probe>>>>;

/// Each message `hold` keeps an [`Ordered`] where the test finds it.
fn holding(settings: Settings) -> (Rig<World>, Rc<Script>, Kept) {
    let kept = Kept::default();
    let there = Rc::clone(&kept);
    let script = words(move |me, cx, text| {
        me.script.note(text);
        match text {
            "hold" => there.borrow_mut().push_back(cx.ordered()),
            "close the other" => {
                let other = me.script.id(1);
                cx.to(other).close();
            }
            _ => {}
        }
    });
    let (rig, script) = rig_with(script, settings, WebSocket::default());
    (rig, script, kept)
}

#[test]
fn ordered_holds_this_connection_and_no_other() {
    let (mut rig, script, kept) = holding(Settings::default());
    let mut all = clients(&mut rig, 2);
    for text in ["hold", "a", "b"] {
        all[0].send(text);
    }
    rig.settle();
    all[1].send("other");
    rig.settle();
    assert_eq!(script.taken(), ["hold", "other"]);
    // Pings pass, and so does the application's own sending.
    all[0].write(&masked(0x89, b"p"));
    assert_eq!(all[0].frame(&mut rig).head, 0x8a);
    drop(kept.borrow_mut().pop_front());
    rig.settle();
    assert_eq!(script.taken(), ["a", "b"]);
    all[0].send("c");
    rig.settle();
    assert_eq!(script.taken(), ["c"]);
}

#[test]
fn ordered_finished_from_a_thread_runs_on_the_loop() {
    let (mut rig, script, kept) = holding(Settings::default());
    let mut client = rig.client("/ws");
    for text in ["hold", "next"] {
        client.send(text);
    }
    rig.settle();
    let held = kept.borrow_mut().pop_front().unwrap();
    let loop_thread = std::thread::current().id();
    std::thread::spawn(move || {
        held.finish(move |me, cx| {
            assert_eq!(std::thread::current().id(), loop_thread);
            me.script.note("finished");
            cx.send("result");
        });
    })
    .join()
    .unwrap();
    assert_eq!(client.text(&mut rig), "result");
    assert_eq!(script.taken(), ["hold", "finished", "next"]);
}

#[test]
fn ordered_dropped_in_a_timer_releases() {
    let (mut rig, script) = rig(words(|me, cx, text| {
        me.script.note(text);
        if text == "query" {
            let turn = cx.ordered();
            cx.after(secs(3), move |me, cx| {
                me.script.note("handled");
                cx.send("response");
                drop(turn);
            });
        }
    }));
    let mut client = rig.client("/ws");
    client.send("query");
    client.send("query");
    rig.pass(secs(2));
    assert_eq!(script.taken(), ["query"]);
    rig.pass(secs(2));
    assert_eq!(script.taken(), ["handled", "query"]);
    rig.pass(secs(4));
    assert_eq!(script.taken(), ["handled"]);
    assert_eq!(client.texts(&mut rig), ["response", "response"]);
}

#[test]
fn ordered_several_are_needed_all() {
    let (mut rig, script, kept) = holding(Settings::default());
    let mut client = rig.client("/ws");
    for text in ["hold", "hold", "a", "hold", "b"] {
        client.send(text);
    }
    rig.settle();
    assert_eq!(script.taken(), ["hold"]);
    let first = kept.borrow_mut().pop_front();
    drop(first);
    rig.settle();
    assert_eq!(script.taken(), ["hold"], "the second holds the rest");
    let second = kept.borrow_mut().pop_front();
    drop(second);
    rig.settle();
    assert_eq!(script.taken(), ["a", "hold"]);
    kept.borrow_mut().clear();
    rig.settle();
    assert_eq!(script.taken(), ["b"]);
}

/// An `on_close` that follows from a held message runs before the next one.
#[test]
fn ordered_released_messages_are_followed_up_one_by_one() {
    let (mut rig, script, kept) = holding(Settings::default());
    let mut all = clients(&mut rig, 2);
    for text in ["hold", "close the other", "next"] {
        all[0].send(text);
    }
    rig.settle();
    script.taken();
    let log = Rc::clone(&script);
    drop(kept.borrow_mut().pop_front());
    rig.settle();
    assert_eq!(log.taken(), ["close the other", "next"]);
    assert_eq!(script.closed(), [1]);
}

#[test]
fn ordered_closed_while_held_frees_everything() {
    for by_peer in [false, true] {
        let (mut rig, script, kept) = holding(Settings::default());
        let mut client = rig.client("/ws");
        for text in ["hold", "a", "b"] {
            client.send(text);
        }
        rig.settle();
        let id = script.id(0);
        if by_peer {
            client.write(&closing(4001, "")); // Closing passes.
            rig.settle();
            assert_eq!(script.last_reason().code, 4001);
        } else {
            rig.server.with_app(|app| app.to(id).close()).unwrap();
        }
        assert_eq!(script.closed(), [0]);
        let held = kept.borrow_mut().pop_front().unwrap();
        held.finish(|_, _| panic!("nobody is there"));
        rig.settle();
        assert_eq!(script.taken(), ["hold"]);
        assert_eq!(rig.stats().panics, 0);
    }
}

#[test]
fn a_full_inbox_stops_reading() {
    let few = Settings {
        inbox_max: 4,
        ..Settings::default()
    };
    let small = Settings {
        inbox_bytes_max: 1024,
        ..Settings::default()
    };
    for (settings, len) in [(few, 1), (small, 400)] {
        let (mut rig, script, kept) = holding(settings);
        let mut client = rig.client("/ws");
        client.send("hold");
        let texts: Vec<String> = (0..10).map(|n| n.to_string().repeat(len)).collect();
        for text in &texts {
            client.send(text);
        }
        rig.settle();
        // Not read: a ping behind them has no answer yet, and silence costs nothing.
        client.write(&masked(0x89, b"late"));
        client.silent(&mut rig);
        rig.pass(secs(300));
        client.silent(&mut rig);
        let before = rig.stats().bytes_in;
        client.write_long(&mut rig, &masked(0x82, &[0; 5000]));
        rig.settle();
        assert_eq!(rig.stats().bytes_in, before);
        drop(kept.borrow_mut().pop_front());
        rig.settle();
        let first = std::iter::once("hold".to_owned());
        let last = std::iter::once("(binary)".to_owned());
        let want: Vec<String> = first.chain(texts).chain(last).collect();
        assert_eq!(script.taken(), want);
        assert_eq!(client.frame(&mut rig).head, 0x8a);
        assert!(script.closed().is_empty());
    }
}

/// Who holds in two ways, in the inbox and in input behind it, is let go once and counts once.
#[test]
fn an_inbox_and_input_behind_it() {
    let settings = Settings {
        buffers_max_bytes: 1 << 20,
        inbox_bytes_max: 180_000,
        ..Settings::default()
    };
    let (mut rig, script, kept) = holding(settings);
    let mut clients: Vec<Client> = (0..86).map(|_| rig.client("/ws")).collect();
    let text = "x".repeat(9_900);
    for client in &mut clients {
        client.send("hold");
        client.send(&text);
    }
    rig.settle();
    assert_eq!(rig.stats().memory_closes, 0);
    let frames = masked(0x81, text.as_bytes()).repeat(25);
    clients[43].write_long(&mut rig, &frames);
    rig.settle();
    let closed = script.closed();
    assert_eq!(closed[0], 43);
    assert!(closed.len() > 1, "without it there was enough room");
    assert_eq!(rig.stats().memory_closes, closed.len() as u64);
    drop(kept.borrow_mut().drain(..).collect::<Vec<_>>());
    rig.settle();
    assert_eq!(rig.stats().bytes_unfinished, 0);
}

// ---- 4.10: panics -----------------------------------------------------------------------------

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "{MEANT}");
    }
}

struct Unwritable;

impl serde_core::Serialize for Unwritable {
    fn serialize<S: serde_core::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("{MEANT}")
    }
}

/// In every callback: that connection ends with `Error`, `on_close` runs once, others go on.
#[test]
fn a_panic_closes_that_connection_only() {
    quiet_panics();
    let boom = |word: &str, at: &str| assert_ne!(word, at, "{MEANT}");
    let script = Script {
        message: Box::new(move |me, cx, message| {
            let text = message.text().unwrap_or_default().to_owned();
            boom(&text, "message");
            match text.as_str() {
                "timer" => {
                    cx.after(Duration::ZERO, |_, _| panic!("{MEANT}"));
                }
                "every" => {
                    cx.every(ms(10), |_, _| panic!("{MEANT}"));
                }
                "serialize" => {
                    cx.send(Json(Unwritable));
                }
                "broadcast" => {
                    cx.all().send(Json(Unwritable));
                }
                "iterator" => {
                    let ids = std::iter::from_fn(|| panic!("{MEANT}"));
                    let _ = cx.to_each(ids).send("x");
                }
                "peer" => {
                    let other = me.script.id(0);
                    cx.peer(other, |_| panic!("{MEANT}"));
                }
                "finish" => cx.ordered().finish(|_, _| panic!("{MEANT}")),
                "pong" => {
                    cx.ping(b"");
                }
                "on_close" => {
                    me.value = 13;
                    cx.close();
                }
                "drop" => {
                    me.kept = Some(Box::new(Bomb));
                    cx.close();
                }
                "drop of a timer" => {
                    let bomb = Bomb;
                    cx.after(secs(1), move |_, _| drop(bomb));
                    cx.close();
                }
                "drop of a cancelled timer" => {
                    let bomb = Bomb;
                    let timer = cx.after(secs(1), move |_, _| drop(bomb));
                    cx.cancel(timer);
                    cx.close();
                }
                "loop" => {
                    cx.with_loop(|_| panic!("{MEANT}"));
                    cx.close();
                }
                _ => {
                    cx.send(message);
                }
            }
        }),
        pong: Box::new(|_, _, _| panic!("{MEANT}")),
        close: Box::new(|me, _, _| assert_ne!(me.value, 13, "{MEANT}")),
        ..Script::default()
    };
    let (mut rig, script) = rig(script);
    let mut bystander = rig.client("/ws");
    #[rustfmt::skip]
    let cases = [
        ("message", Cause::Error), ("timer", Cause::Error), ("every", Cause::Error),
        ("serialize", Cause::Error), ("broadcast", Cause::Error), ("iterator", Cause::Error),
        ("peer", Cause::Error), ("finish", Cause::Error), ("pong", Cause::Error),
        ("on_close", Cause::Server), ("drop", Cause::Server), ("drop of a timer", Cause::Server),
        ("drop of a cancelled timer", Cause::Server), ("loop", Cause::Server),
    ];
    for (i, (word, cause)) in cases.into_iter().enumerate() {
        let mut client = rig.client("/ws");
        client.send(word);
        if word == "pong" {
            assert_eq!(client.frame(&mut rig).head, 0x89);
            client.write(&masked(0x8a, b""));
        }
        rig.settle();
        rig.pass(ms(50));
        let code = if cause == Cause::Error { 1011 } else { 1000 };
        assert_eq!(client.close_code(&mut rig), Some(code), "{word}");
        assert_eq!(script.last_reason().cause, cause, "{word}");
        assert_eq!(script.closed().len(), i + 1, "{word}");
        assert_eq!(rig.stats().panics, i as u64 + 1, "{word}");
        bystander.send("still here");
        assert_eq!(bystander.text(&mut rig), "still here", "{word}");
    }
    // Lent to a closure that panicked, it was not lost.
    drop(bystander);
    rig.settle();
    assert_eq!(script.closed().last(), Some(&0));
    assert_eq!(rig.stats().connections_open, 0);
}

/// Before the connection is there: 500, and nothing is left.
#[test]
fn a_panic_in_a_handshake_is_a_500() {
    quiet_panics();
    type Mount = fn() -> WebSocket;
    let plain: Mount = WebSocket::default;
    let choosing: Mount = || WebSocket {
        subprotocol: Some(Box::new(|_| panic!("{MEANT}"))),
        ..WebSocket::default()
    };
    let judging: Mount = || WebSocket {
        allow_origin: Some(Box::new(|_, _| panic!("{MEANT}"))),
        ..WebSocket::default()
    };
    for (make_panics, mount) in [
        (true, plain),
        (false, plain),
        (false, choosing),
        (false, judging),
    ] {
        let script = Rc::new(Script {
            open: Box::new(|me, cx, _| {
                cx.join("room");
                me.kept = Some(Box::new(Bomb));
                panic!("{MEANT}")
            }),
            ..Script::default()
        });
        let own = router(&script);
        let panicking = Router::<Probe>::with(|_| panic!("{MEANT}"));
        let router = if make_panics { panicking } else { own };
        let routes = Routes::new().websocket("/ws", &router, mount());
        let mut rig = Rig::new(World::new(), Settings::default(), routes);
        let mut client = rig.raw();
        client.write(request("/ws", "Origin: http://a.example\r\n").as_bytes());
        let head = client.head(&mut rig);
        let origin_is_asked_first = mount().allow_origin.is_none();
        let want = if origin_is_asked_first {
            "HTTP/1.1 403"
        } else {
            "HTTP/1.1 500"
        };
        assert!(head.starts_with(want), "{head}");
        let mut client = rig.raw();
        client.write(request("/ws", "").as_bytes());
        let head = client.head(&mut rig);
        assert!(head.starts_with("HTTP/1.1 500"), "{head}");
        client.rest(&mut rig);
        assert!(script.closed().is_empty());
        assert_eq!(rig.stats().connections_open, 0);
        assert!(rig.stats().panics >= 1);
    }
}

#[test]
fn a_panic_in_a_job_or_a_server_timer_ends_nothing() {
    quiet_panics();
    let (mut rig, _) = rig(Script::default());
    let mut client = rig.client("/ws");
    let remote = rig.server.remote().unwrap();
    remote.call(|_| panic!("{MEANT}")).unwrap();
    rig.server
        .with_app(|app| {
            app.after(Duration::ZERO, |_| panic!("{MEANT}"));
            app.every(ms(10), |_| panic!("{MEANT}"));
            app.add_callback(|_| panic!("{MEANT}"));
        })
        .unwrap();
    rig.pass(ms(100));
    assert_eq!(rig.stats().panics, 4);
    client.send("x");
    assert_eq!(client.text(&mut rig), "x");
}

// ---- 4.11 to 4.13 -----------------------------------------------------------------------------

#[test]
fn a_slow_callback_is_counted() {
    let clock = Rc::new(RefCell::new(None::<dustdevil::reactor::ManualClock>));
    let hand = Rc::clone(&clock);
    let (mut rig, _) = rig(words(move |_, cx, text| {
        let hand = hand.borrow().clone().unwrap();
        let held = ms(text.parse().unwrap());
        hand.advance(held);
        cx.after(Duration::ZERO, move |_, _| hand.advance(held));
    }));
    *clock.borrow_mut() = Some(rig.clock.clone());
    let mut client = rig.client("/ws");
    client.send("99");
    rig.settle();
    assert_eq!(rig.stats().slow_callbacks, 0);
    client.send("100");
    rig.settle();
    rig.pass(ms(20));
    assert_eq!(rig.stats().slow_callbacks, 2, "the message and the timer");
}

#[test]
fn an_endless_exchange_of_close_ends() {
    let mut script = words(|_, cx, _| cx.close());
    script.close = Box::new(|me, cx, _| {
        for id in me.script.ids.borrow().iter() {
            cx.to(*id).close();
        }
        // Jobs of jobs run in later turns, not in this one.
        fn again(remote: dustdevil::Remote<World>) {
            let next = remote.clone();
            let _ = remote.call(move |app| {
                app.state.push("again".into());
                if app.state.len() < 100 {
                    again(next);
                }
            });
        }
        again(cx.remote());
    });
    let (mut rig, script) = rig(script);
    let mut all = clients(&mut rig, 8);
    all[0].send("go");
    rig.turn();
    assert!(rig.state(|state| state.len()) < 100);
    for _ in 0..200 {
        rig.turn();
    }
    assert_eq!(script.closed().len(), 8);
    assert!(rig.state(|state| state.len()) >= 100);
}

/// What one callback sends arrives in that order, whatever the way.
#[test]
fn order_of_messages() {
    let (mut rig, script) = rig(words(|me, cx, _| {
        let id = cx.id();
        cx.join("room");
        cx.send("1");
        cx.to(id).send("2");
        cx.room("room").send("3");
        cx.all().send("4".repeat(40_000));
        cx.send(RawJson("{\"n\":5}"));
        cx.send_each(["6", "7"]);
        cx.send(Json(8));
        cx.send(&b"9"[..]);
        cx.ping(b"10");
        me.value = 1;
    }));
    let mut client = rig.client("/ws");
    client.send("go");
    let frames = client.frames(&mut rig);
    let heads: Vec<u8> = frames.iter().map(|frame| frame.head).collect();
    assert_eq!(
        heads,
        [0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x82, 0x89]
    );
    for (frame, want) in
        frames
            .iter()
            .zip(["1", "2", "3", "4", "{\"n\":5}", "6", "7", "8", "9", "10"])
    {
        assert!(frame.payload.starts_with(want.as_bytes()), "{want}");
    }
    // Those of one thread keep theirs.
    let (remote, id) = (rig.server.remote().unwrap(), script.id(0));
    std::thread::spawn(move || {
        for n in 0..500 {
            remote.send(id, n.to_string()).unwrap();
        }
    })
    .join()
    .unwrap();
    let want: Vec<String> = (0..500).map(|n| n.to_string()).collect();
    assert_eq!(client.texts(&mut rig), want);
}

/// Sending from within `Serialize` and from the iterator of ids: nothing is borrowed meanwhile.
#[test]
fn user_code_runs_while_nothing_is_borrowed() {
    struct Sly<'a, 'b>(&'a Cx<'b, Probe>);
    impl serde_core::Serialize for Sly<'_, '_> {
        fn serialize<S: serde_core::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            self.0.send(Json("inner"));
            to.serialize_str("outer")
        }
    }
    let (mut rig, _) = rig(words(|_, cx, _| {
        cx.send(Json(Sly(cx)));
        let ids = (0..3).map(|n| {
            cx.send(n.to_string());
            cx.id()
        });
        assert_eq!(cx.to_each(ids).send("each"), 3);
        // A loop over the state may send.
        cx.state.extend(["a".to_owned(), "b".to_owned()]);
        for text in &mut *cx.state {
            text.push('!');
            cx.io.send(&*text);
        }
    }));
    let mut client = rig.client("/ws");
    client.send("go");
    assert_eq!(
        client.texts(&mut rig),
        [
            "\"inner\"",
            "\"outer\"",
            "0",
            "1",
            "2",
            "each",
            "each",
            "each",
            "a!",
            "b!"
        ]
    );
}

// ---- 7.1, 7.7, 7.12: rooms, targets, peers ----------------------------------------------------

#[test]
fn rooms_reach_over_all_mounts_of_a_router() {
    let script = Rc::new(words(|_, cx, text| {
        match text.split_once(' ') {
            Some(("join", room)) => drop(cx.join(room)),
            Some(("leave", room)) => drop(cx.leave(room)),
            Some((room, text)) => drop(cx.room(room).send(text)),
            None => drop(cx.all().send(text)),
        };
    }));
    let other = Rc::new(Script::default());
    let chat = router(&script);
    let routes = Routes::new()
        .websocket("/a", &chat, WebSocket::default())
        .websocket("/b/:name", &chat, WebSocket::default())
        .websocket("/c", &router(&other), WebSocket::default());
    let mut rig = Rig::new(World::new(), Settings::default(), routes);
    let mut a = rig.client("/a");
    let mut b = rig.client("/b/x");
    let mut c = rig.client("/c");
    for client in [&mut a, &mut b] {
        client.send("join r");
    }
    rig.settle();
    a.send("r hello");
    assert_eq!(
        (a.text(&mut rig), b.text(&mut rig)),
        ("hello".into(), "hello".into())
    );
    b.send("all");
    assert_eq!(
        (a.text(&mut rig), b.text(&mut rig)),
        ("all".into(), "all".into())
    );
    b.send("leave r");
    b.send("r only a");
    assert_eq!(a.text(&mut rig), "only a");
    // A class of its own has rooms of its own, of the same name.
    let stranger = other.id(0);
    rig.server
        .with_app(|app| app.to(stranger).join("r"))
        .unwrap();
    a.send("r again");
    assert_eq!(a.text(&mut rig), "again");
    c.silent(&mut rig);
    let id = chat.id();
    let remote = rig.server.remote().unwrap();
    remote.room(id, "r", "from outside").unwrap();
    assert_eq!(a.text(&mut rig), "from outside");
    let all = rig
        .server
        .with_app(|app| app.router(id).all().fetch().len());
    assert_eq!(all.unwrap(), 2);
    b.silent(&mut rig);
}

#[test]
fn targets() {
    let (mut rig, script) = rig(words(|_, _, _| {}));
    let mut all = clients(&mut rig, 5);
    let ids: Vec<_> = script.ids.borrow().clone();
    let told = rig.server.with_app(|app| {
        let everyone = || app.to_each(ids.iter().copied());
        app.to_each(ids[..3].iter().copied()).join("low");
        app.to_each(ids[2..].iter().copied()).join("high");
        everyone().except(ids[0]).except(ids[1]).send("not 0, 1");
        everyone().except_room("low").send("not low");
        everyone().except_room("low").except(ids[4]).send("only 3");
        everyone().volatile().send("volatile");
        app.to(ids[2]).leave("low");
        everyone()
            .except_room("low")
            .except_room("high")
            .send("nobody but 2?");
        let low = app.to_each(ids.iter().copied()).except_room("high").fetch();
        app.to(ids[4]).close_with(4000, "you");
        let left = everyone().fetch();
        (low, left, everyone().send("last"))
    });
    let (low, left, count) = told.unwrap();
    assert_eq!(low, &ids[..2]);
    assert_eq!(left, &ids[..4]);
    assert_eq!(count, 4);
    let want: [&[&str]; 4] = [
        &["volatile", "last"],
        &["volatile", "last"],
        &["not 0, 1", "volatile", "last"],
        &["not 0, 1", "not low", "only 3", "volatile", "last"],
    ];
    for (client, want) in all.iter_mut().zip(want) {
        assert_eq!(client.texts(&mut rig), want);
    }
    let frames = all[4].frames(&mut rig);
    assert_eq!(frames.last().unwrap().reason(), "you");
}

/// Volatile messages pass by who has not taken the earlier ones.
#[test]
fn volatile_spares_the_backlogged() {
    let settings = Settings {
        write_max_bytes: 64 << 20,
        ..Settings::default()
    };
    let (mut rig, script) = rig_with(words(|_, _, _| {}), settings, WebSocket::default());
    let mut all = clients(&mut rig, 2);
    let ids: Vec<_> = script.ids.borrow().clone();
    rig.server
        .with_app(|app| app.to(ids[0]).send("x".repeat(16 << 20)))
        .unwrap();
    rig.settle();
    let told = rig.server.with_app(|app| {
        let volatile = app.to_each(ids.iter().copied()).volatile().send("v");
        (volatile, app.to_each(ids.iter().copied()).send("w"))
    });
    assert_eq!(told.unwrap(), (1, 2));
    assert_eq!(all[1].texts(&mut rig), ["v", "w"]);
    let mut last = Vec::new();
    while last != b"w" {
        last = all[0].frame(&mut rig).payload;
        assert_ne!(last, b"v");
    }
}

#[test]
fn peers_of_the_same_class() {
    #[derive(Default)]
    struct Other;
    impl Connection for Other {
        type State = World;
        fn on_open(&mut self, cx: &mut Cx<Self>, _: &dustdevil::Request) -> Result<(), Reject> {
            cx.state.push(format!("{}", cx.id()));
            STRANGER.set(Some(cx.id()));
            Ok(())
        }
    }
    thread_local!(static STRANGER: Cell<Option<dustdevil::ConnectionId>> = const { Cell::new(None) });
    let script = Rc::new(words(|me, cx, _| {
        let script = Rc::clone(&me.script);
        let read = |id| {
            cx.peer(id, |peer: &mut Probe| {
                peer.value += 1;
                (peer.n, peer.value)
            })
        };
        assert_eq!(read(script.id(1)), Some((1, 1)));
        assert_eq!(read(script.id(1)), Some((1, 2)));
        assert_eq!(read(cx.id()), None, "oneself");
        assert_eq!(read(STRANGER.get().unwrap()), None, "of another class");
        // Lent, it cannot be lent again; but it can be sent to.
        let nested = cx.peer(script.id(1), |_| {
            cx.to(script.id(1)).send("hello");
            read(script.id(1))
        });
        assert_eq!(nested, Some(None));
        cx.to(script.id(1)).close();
        assert_eq!(read(script.id(1)), None, "closed");
        script.note("done");
    }));
    let routes = Routes::new()
        .websocket("/ws", &router(&script), WebSocket::default())
        .websocket("/other", &Router::<Other>::new(), WebSocket::default());
    let mut rig = Rig::new(World::new(), Settings::default(), routes);
    let mut all = clients(&mut rig, 2);
    let _other = rig.client("/other");
    all[0].send("go");
    assert_eq!(all[1].text(&mut rig), "hello");
    assert_eq!(script.taken(), ["done"]);
    assert_eq!(script.closed(), [1]);
}

/// Two classes over one state, and a POST that broadcasts.
#[test]
fn two_classes_and_a_handler_share_the_state() {
    #[derive(Default)]
    struct Monitor;
    impl Connection for Monitor {
        type State = World;
        fn on_message(&mut self, cx: &mut Cx<Self>, _: Message) {
            let seen = cx.state.join(",");
            cx.send(format!("{seen} {}", cx.stats().connections_open));
        }
    }
    let script = Rc::new(words(|_, cx, text| cx.state.push(text.to_owned())));
    let chat = router(&script);
    let id = chat.id();
    let routes = Routes::new()
        .websocket("/ws", &chat, WebSocket::default())
        .websocket("/monitor", &Router::<Monitor>::new(), WebSocket::default())
        .route(Route::<World>::post("/say", move |req, app, reply| {
            let told = app.router(id).all().send(req.text().into_owned());
            app.state.push("posted".into());
            reply.send(dustdevil::Response::text(told.to_string()));
        }));
    let mut rig = Rig::new(World::new(), Settings::default(), routes);
    let mut client = rig.client("/ws");
    let mut monitor = rig.client("/monitor");
    client.send("a");
    rig.settle();
    let mut poster = rig.raw();
    poster.write(
        b"POST /say HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi",
    );
    assert!(poster.rest(&mut rig).ends_with(b"\r\n\r\n1"));
    assert_eq!(client.text(&mut rig), "hi");
    monitor.send("?");
    assert_eq!(monitor.text(&mut rig), "a,posted 2");
}

/// A POST reaches the members of a room, at once, and nobody else.
#[test]
fn a_handler_sends_to_a_room() {
    let script = Script {
        message: Box::new(|_, cx, message| {
            let word = message.text().unwrap_or_default().to_owned();
            match word.strip_prefix('-') {
                Some(room) => cx.leave(room),
                None => cx.join(&word),
            };
            cx.send("ok");
        }),
        ..Script::default()
    };
    let script = Rc::new(script);
    let (chat, other) = (router(&script), router(&script));
    let id = chat.id();
    let routes = Routes::new()
        .websocket("/ws", &chat, WebSocket::default())
        .websocket("/other", &other, WebSocket::default())
        .route(Route::<World>::post(
            "/rooms/:room",
            move |req, app, reply| {
                let room = app.router(id).room(req.param("room").unwrap());
                let told = room.send(req.text().into_owned());
                reply.send(dustdevil::Response::text(told.to_string()));
            },
        ));
    let mut rig = Rig::new(World::new(), Settings::default(), routes);
    let mut all = clients(&mut rig, 4);
    // The same name, but a room of another router.
    all.push(rig.client("/other"));
    for (client, room) in all.iter_mut().zip(["a/b", "a/b", "b", "a/b", "a/b"]) {
        client.send(room);
        assert_eq!(client.text(&mut rig), "ok");
    }
    all[1].send("-a/b");
    assert_eq!(all[1].text(&mut rig), "ok");

    let mut poster = rig.raw();
    let mut post = |rig: &mut Rig<World>, room: &str, body: &str| {
        let length = body.len();
        let head =
            format!("POST /rooms/{room} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        poster.write([head.as_bytes(), body.as_bytes()].concat().as_slice());
        poster.head(rig);
        std::mem::take(&mut poster.got)
    };
    assert_eq!(post(&mut rig, "a%2Fb", "hi"), b"2");
    let got: Vec<_> = all.iter_mut().map(|all| all.texts(&mut rig)).collect();
    assert_eq!(got, [&["hi"][..], &[], &[], &["hi"], &[]]);
    assert_eq!(post(&mut rig, "nobody", "hi"), b"0");
    drop(all.remove(0));
    rig.settle();
    // Long enough to be shared by all who get it.
    let long = "x".repeat(60_000);
    assert_eq!(post(&mut rig, "a%2Fb", &long), b"1");
    assert_eq!(all[2].text(&mut rig), long);
    for client in [0, 1, 3] {
        all[client].silent(&mut rig);
    }
}

// ---- timers -----------------------------------------------------------------------------------

#[test]
fn timers_after_every_cancel() {
    let held = Rc::new(RefCell::new(Vec::<Timer>::new()));
    let timers = Rc::clone(&held);
    let (mut rig, script) = rig(words(move |_, cx, text| match text {
        "start" => {
            let once = cx.after(secs(2), |me, cx| {
                me.script.note("once");
                // A timer made by a timer waits for the next turn.
                cx.after(Duration::ZERO, |me, _| me.script.note("zero"));
                me.script.note("made");
            });
            let count = Cell::new(0);
            let every = cx.every(secs(1), move |me, _| {
                count.set(count.get() + 1);
                me.script.note(format!("every {}", count.get()));
                if count.get() == 4 {
                    Keep::Stop
                } else {
                    Keep::Going
                }
            });
            let never = cx.after(secs(1), |me, _| me.script.note("never"));
            timers.borrow_mut().extend([once, every, never]);
        }
        "self" => {
            let own = Rc::new(Cell::new(None::<Timer>));
            let inside = Rc::clone(&own);
            own.set(Some(cx.every(secs(1), move |me, cx| {
                me.script.note("beat");
                cx.cancel(inside.get().unwrap());
                Keep::Going
            })));
        }
        _ => cx.cancel(timers.borrow()[2]),
    }));
    let mut client = rig.client("/ws");
    client.send("start");
    client.send("cancel");
    rig.settle();
    rig.pass(ms(1500));
    assert_eq!(script.taken(), ["every 1"]);
    rig.pass(ms(600));
    assert_eq!(
        script
            .taken()
            .iter()
            .filter(|line| *line != "every 2")
            .count(),
        3
    );
    rig.pass(secs(10));
    assert_eq!(script.taken(), ["every 3", "every 4"]);
    client.send("cancel"); // Harmless on what is over.
    client.send("self");
    rig.settle();
    rig.pass(secs(5));
    assert_eq!(script.taken(), ["beat"], "a beat may cancel itself");
}

/// Started between two turns, it counts from then.
#[test]
fn timers_of_the_server_between_two_turns() {
    let (mut rig, _) = rig(Script::default());
    rig.settle();
    rig.clock.advance(secs(3600));
    rig.server
        .with_app(|app| {
            app.after(secs(2), |app| app.state.push("after".into()));
        })
        .unwrap();
    rig.pass(secs(1));
    assert!(rig.state(|state| state.is_empty()));
    rig.pass(secs(2));
    rig.state(|state| assert_eq!(*state, ["after"]));
}

// ---- limits -----------------------------------------------------------------------------------

#[test]
fn rooms_per_connection_max() {
    let settings = Settings {
        rooms_per_connection_max: 3,
        ..Settings::default()
    };
    let script = words(|me, cx, _| {
        let joined: Vec<bool> = ["a", "b", "c", "c", "d"].map(|room| cx.join(room)).into();
        me.script
            .note(format!("{joined:?} {} {}", cx.leave("a"), cx.join("d")));
        me.script.note(format!(
            "{} {}",
            cx.room("d").send("d"),
            cx.room("a").send("a")
        ));
    });
    let (mut rig, script) = rig_with(script, settings, WebSocket::default());
    let mut client = rig.client("/ws");
    client.send("go");
    assert_eq!(client.text(&mut rig), "d");
    assert_eq!(
        script.taken(),
        ["[true, true, true, false, false] true true", "1 0"]
    );
}

#[test]
fn timers_per_connection_max() {
    let settings = Settings {
        timers_per_connection_max: 2,
        ..Settings::default()
    };
    let script = words(|_, cx, _| {
        for n in 0..4 {
            cx.after(secs(1), move |me, _| me.script.note(n.to_string()));
        }
    });
    let (mut rig, script) = rig_with(script, settings, WebSocket::default());
    let mut client = rig.client("/ws");
    for _ in 0..2 {
        client.send("go");
        rig.pass(secs(2));
        assert_eq!(script.taken(), ["0", "1"], "and again when they are over");
    }
}

#[test]
fn remote_queue_max() {
    let settings = Settings {
        remote_queue_max: 3,
        ..Settings::default()
    };
    let (mut rig, script) = rig_with(words(|_, _, _| {}), settings, WebSocket::default());
    let mut client = rig.client("/ws");
    let (remote, id) = (rig.server.remote().unwrap(), script.id(0));
    for n in 0..5 {
        assert_eq!(remote.send(id, n.to_string()).is_ok(), n < 3);
    }
    assert_eq!(remote.call(|_| ()), Err(dustdevil::RemoteFull));
    // What a connection would hang without is not counted.
    remote.stop();
    assert_eq!(client.texts(&mut rig), ["0", "1", "2"]);
    assert!(remote.call(|_| ()).is_ok());
}

/// Full or not, an `Ordered` from another thread releases.
#[test]
fn a_full_remote_hangs_nobody() {
    let settings = Settings {
        remote_queue_max: 1,
        ..Settings::default()
    };
    let (mut rig, script, kept) = holding(settings);
    let mut client = rig.client("/ws");
    client.send("hold");
    client.send("next");
    rig.settle();
    let remote = rig.server.remote().unwrap();
    remote.call(|_| ()).unwrap();
    assert!(remote.call(|_| ()).is_err());
    drop(kept.borrow_mut().pop_front());
    rig.settle();
    assert_eq!(script.taken(), ["hold", "next"]);
}

#[test]
fn settings_are_checked_at_bind() {
    let settings = Settings {
        inbox_max: 0,
        ..Settings::default()
    };
    let error = SocketServer::new(())
        .unwrap()
        .settings(settings)
        .bind("127.0.0.1:0")
        .err();
    assert_eq!(
        error.unwrap().to_string(),
        "Settings::inbox_max is 0, allowed is 1 to 1048576"
    );
    let mount = limits(dustdevil::WebSocketLimits {
        message_bytes_max: 0,
        ..Default::default()
    });
    let script = Rc::new(Script::default());
    let server = SocketServer::new(World::new()).unwrap();
    let error = server
        .websocket("/ws", &router(&script), mount)
        .bind("127.0.0.1:0")
        .err();
    let text = error.unwrap().to_string();
    assert!(
        text.starts_with("WebSocketLimits::message_bytes_max is 0"),
        "{text}"
    );
}

// ---- 7.10: the life of the server -------------------------------------------------------------

/// A server on a thread of its own, stopped from this one.
#[test]
fn run_and_stop() {
    #[derive(Default)]
    struct Echo;
    impl Connection for Echo {
        type State = u32;
        fn on_message(&mut self, cx: &mut Cx<Self>, message: Message) {
            *cx.state += 1;
            cx.send(message);
        }
    }
    let (tell, told) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let mut server = SocketServer::new(0)
            .unwrap()
            .websocket("/ws", &Router::<Echo>::new(), WebSocket::default())
            .bind("127.0.0.1:0")
            .unwrap();
        let addr = server.local_addrs()[0].tcp().unwrap();
        tell.send((addr, server.remote().unwrap())).unwrap();
        server.run().unwrap();
        // Stopped, not ended: it can go on.
        let count = server.with_app(|app| *app.state).unwrap();
        server.stop();
        server.run().unwrap();
        count
    });
    let (addr, remote) = told.recv().unwrap();
    let (mut ws, _) = tungstenite::connect(format!("ws://{addr}/ws")).unwrap();
    for _ in 0..3 {
        ws.send("x".into()).unwrap();
        assert_eq!(ws.read().unwrap().to_text().unwrap(), "x");
    }
    remote.stop();
    assert_eq!(thread.join().unwrap(), 3);
}

#[test]
fn stop_before_run_makes_it_return_at_once() {
    let mut server = SocketServer::new(()).unwrap().bind("127.0.0.1:0").unwrap();
    server.stop();
    server.run().unwrap();
    let remote = server.remote().unwrap();
    remote.stop();
    server.run().unwrap();
    // A drained server has no reason to run.
    server.drain(secs(1)).unwrap();
    server.run().unwrap();
}

/// A source of the application's own on the loop, added before and from within a callback.
#[test]
fn own_sources_on_the_loop() {
    let (mut rig, script) = rig(words(|me, cx, _| {
        let (mut here, there) = mio::net::UnixStream::pair().unwrap();
        let script = Rc::clone(&me.script);
        let id = cx.id();
        cx.with_loop(move |io| {
            let source = io.add_handler(&mut here, mio::Interest::READABLE, move |app, ready| {
                assert!(ready.is_readable());
                script.note("second source");
                app.to(id).send("from a source");
            });
            assert!(source.is_ok());
            std::mem::forget(here);
        });
        (&there).write_all(b"x").unwrap();
        std::mem::forget(there);
    }));
    let (mut here, there) = mio::net::UnixStream::pair().unwrap();
    let first = Rc::clone(&script);
    let source = rig
        .server
        .io_loop()
        .unwrap()
        .add_handler(&mut here, mio::Interest::READABLE, move |app, _| {
            first.note("first source");
            app.state.push("ready".into());
        })
        .unwrap();
    (&there).write_all(b"x").unwrap();
    rig.settle();
    assert_eq!(script.taken(), ["first source"]);
    rig.state(|state| assert_eq!(*state, ["ready"]));
    let mut io = rig.server.io_loop().unwrap();
    io.remove_handler(&mut here, source).unwrap();
    (&there).write_all(b"x").unwrap();
    let mut client = rig.client("/ws");
    client.send("go");
    assert_eq!(client.text(&mut rig), "from a source");
    assert_eq!(script.taken(), ["second source"]);
}

/// The server as a guest in somebody else's poll.
#[test]
fn poll_once_inside_a_foreign_poll() {
    let (mut rig, script) = rig(words(|_, cx, _| {
        cx.after(secs(2), |_, cx| {
            cx.send("late");
        });
    }));
    let mut client = rig.client("/ws");
    rig.settle();
    let fd = rig.server.as_fd().as_raw_fd();
    let mut poll = mio::Poll::new().unwrap();
    poll.registry()
        .register(
            &mut mio::unix::SourceFd(&fd),
            mio::Token(0),
            mio::Interest::READABLE,
        )
        .unwrap();
    let mut events = mio::Events::with_capacity(4);
    client.send("go");
    poll.poll(&mut events, Some(secs(5))).unwrap();
    assert!(!events.is_empty());
    let before = rig.server.next_deadline();
    rig.server.poll_once(Some(Duration::ZERO)).unwrap();
    // Its timer is announced, and earlier than the pings.
    assert!(rig.server.next_deadline() < before);
    let left = rig.server.next_deadline().unwrap() - rig.server.now();
    assert!(left >= secs(2) && left < secs(3), "{left:?}");
    // What another thread posts wakes the foreign poll too.
    let (remote, id) = (rig.server.remote().unwrap(), script.id(0));
    std::thread::spawn(move || remote.send(id, "posted").unwrap())
        .join()
        .unwrap();
    poll.poll(&mut events, Some(secs(5))).unwrap();
    assert!(!events.is_empty());
    rig.server.poll_once(Some(Duration::ZERO)).unwrap();
    assert_eq!(client.text(&mut rig), "posted");
    rig.clock.advance(secs(3));
    rig.server.poll_once(Some(Duration::ZERO)).unwrap();
    assert_eq!(client.text(&mut rig), "late");
}

/// What is sent between two turns does not wait for the next event.
#[test]
fn with_app_sends_at_once() {
    let (mut rig, script) = rig(Script::default());
    let mut client = rig.client("/ws");
    rig.settle();
    let id = script.id(0);
    rig.server.with_app(|app| app.to(id).send("now")).unwrap();
    let until = std::time::Instant::now() + secs(5);
    while !client.fill() {
        assert!(std::time::Instant::now() < until, "it was not written");
    }
    assert_eq!(client.next_frame().unwrap().text(), "now");
}

#[test]
fn jobs_of_a_remote_are_followed_up_one_by_one() {
    let script = Script {
        close: Box::new(|_, cx, _| cx.state.push("on_close".into())),
        ..Script::default()
    };
    let (mut rig, script) = rig(script);
    let _client = rig.client("/ws");
    let (remote, id) = (rig.server.remote().unwrap(), script.id(0));
    remote.call(move |app| app.to(id).close()).unwrap();
    remote
        .call(|app| app.state.push("second job".into()))
        .unwrap();
    rig.settle();
    rig.state(|state| assert_eq!(*state, ["on_close", "second job"]));
}

/// `Remote` is Send and Sync, and its jobs may hold a state that is neither.
#[test]
fn remotes_are_shared_by_threads() {
    let (mut rig, _) = rig(Script::default());
    let remote = rig.server.remote().unwrap();
    let sum = Arc::new(AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..100 {
                    let sum = Arc::clone(&sum);
                    remote
                        .call(move |_| {
                            sum.fetch_add(1, Ordering::Relaxed);
                        })
                        .unwrap();
                }
            });
        }
    });
    rig.settle();
    assert_eq!(sum.load(Ordering::Relaxed), 400);
}
