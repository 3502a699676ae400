//! Limits and overload: how many sessions, from where, and how much waits for the slow.

use crate::support::*;
use dustdevil::{Cause, Deciding, Sent, Settings, SockJs, SockJsSettings};
use std::cell::RefCell;
use std::rc::Rc;

const MIB: usize = 1 << 20;

fn ip_settings(settings: SockJsSettings) -> (Rig<World>, std::rc::Rc<Script>) {
    sockjs_with(Script::default(), Settings::default(), mount(settings))
}

/// The answer to a request from an address of its own.
fn ask_from(rig: &mut Rig<World>, ip: [u8; 4], path: &str, body: &str) -> Answer {
    let mut client = Client::connect_from(ip, rig.addr);
    client.write(&http("POST", path, "", body.as_bytes()));
    client.answer(rig)
}

const HERE: [u8; 4] = [127, 0, 0, 1];
const THERE: [u8; 4] = [127, 0, 0, 2];

#[test]
fn sessions_max() {
    let (mut rig, script) = ip_settings(SockJsSettings {
        sessions_max: 2,
        ..SockJsSettings::default()
    });
    assert_eq!(rig.poll("a"), "o\n");
    let stream = rig.stream("b");
    let answer = rig.ask("POST", "/s/0/c/xhr", "", b"");
    assert_eq!(
        (answer.status, answer.field("Retry-After")),
        (503, Some("1"))
    );
    assert_eq!(answer.field("Access-Control-Allow-Origin"), Some("*"));
    let answer = rig.ask("GET", "/s/0/c/htmlfile?c=x", "", b"");
    assert_eq!(answer.status, 503);
    assert_eq!(rig.stats().handshakes_refused, 2);
    // Those that are there go on, and WebSockets are none of them.
    assert_eq!(rig.post("a", "[\"x\"]"), 204);
    assert_eq!(rig.poll("a"), "a[\"x\"]\n");
    let client = rig.client("/s/0/d/websocket");
    rig.pass(ms(5250));
    assert_eq!(rig.poll("c"), "o\n");
    rig.over(&script, (stream, client));
}

/// Later requests of a session are none that begin one.
#[test]
fn sessions_per_second_max() {
    let settings = Settings {
        sessions_per_second_max: 2,
        ..Settings::default()
    };
    let (mut rig, script) = sockjs_with(Script::default(), settings, Default::default());
    for (id, status) in [("a", 200), ("b", 200), ("c", 503), ("a", 204), ("c", 503)] {
        let path = match status {
            204 => format!("/s/0/{id}/xhr_send"),
            _ => format!("/s/0/{id}/xhr"),
        };
        assert_eq!(rig.ask("POST", &path, "", b"[]").status, status, "{id}");
    }
    rig.pass(secs(1));
    assert_eq!(rig.ask("POST", "/s/0/c/xhr", "", b"").status, 200);
    rig.over(&script, ());
}

#[test]
fn sessions_per_ip_max() {
    let (mut rig, script) = ip_settings(SockJsSettings {
        sessions_per_ip_max: 2,
        ..SockJsSettings::default()
    });
    for (ip, id, status) in [
        (HERE, "a", 200),
        (HERE, "b", 200),
        (HERE, "c", 503),
        (THERE, "c", 200),
        (THERE, "d", 200),
        (THERE, "e", 503),
        // A session that is there is no new one.
        (HERE, "d", 200),
    ] {
        if id == "d" && ip == HERE {
            ask_from(&mut rig, THERE, "/s/0/d/xhr_send", "[\"x\"]");
        }
        let answer = ask_from(&mut rig, ip, &format!("/s/0/{id}/xhr"), "");
        assert_eq!(answer.status, status, "{ip:?} {id}");
    }
    rig.pass(ms(5250));
    for ip in [HERE, THERE] {
        for id in ["f", "g"] {
            let path = format!("/s/0/{id}{}/xhr", ip[3]);
            assert_eq!(ask_from(&mut rig, ip, &path, "").status, 200);
        }
    }
    rig.over(&script, ());
}

#[test]
fn verify_ip() {
    for verify_ip in [true, false] {
        let (mut rig, script) = ip_settings(SockJsSettings {
            verify_ip,
            ..SockJsSettings::default()
        });
        assert_eq!(ask_from(&mut rig, HERE, "/s/0/x/xhr", "").text(), "o\n");
        let other = ask_from(&mut rig, THERE, "/s/0/x/xhr_send", "[\"theirs\"]");
        let own = ask_from(&mut rig, HERE, "/s/0/x/xhr_send", "[\"mine\"]");
        assert_eq!(
            (own.status, other.status),
            (204, if verify_ip { 404 } else { 204 })
        );
        let other = ask_from(&mut rig, THERE, "/s/0/x/xhr", "").text();
        if verify_ip {
            let text = "Attempted to connect to session from different IP";
            assert_eq!(other, format!("c[2010,\"{text}\"]\n"));
            let own = ask_from(&mut rig, HERE, "/s/0/x/xhr", "").text();
            assert_eq!(own, "a[\"mine\"]\n");
        } else {
            assert_eq!(other, "a[\"theirs\",\"mine\"]\n");
        }
        rig.over(&script, ());
    }
}

/// Long enough that no kernel takes all of it.
fn long() -> String {
    "x".repeat(24 * MIB)
}

fn one_long_response() -> SockJs {
    mount(SockJsSettings {
        response_limit: 1024 * MIB,
        ..SockJsSettings::default()
    })
}

/// Reads to the end of the body; the last frame.
fn read_on(client: &mut Client, rig: &mut Rig<World>) -> String {
    let mut last = String::new();
    while let Some(chunk) = client.chunk(rig) {
        last = chunk;
    }
    last
}

/// What a stream does not take waits in the session, up to `write_max_bytes`.
#[test]
fn a_slow_stream() {
    for of in [SockJs::default(), one_long_response()] {
        let (mut rig, script) = sockjs_with(Script::default(), Settings::default(), of);
        let mut client = rig.stream("x");
        let id = script.id(0);
        let most = rig.sends_until_cut(id);
        // Outbox, conn, and one message over each.
        assert!(most <= (MIB + (MIB >> 2) + 300_000) as u64, "{most}");
        let why = script.last_reason();
        assert_eq!((why.cause, why.code), (Cause::Overflow, 1013));
        assert_eq!(rig.stats().overflows, 1);
        let last = read_on(&mut client, &mut rig);
        if last != "c[1013,\"slow consumer\"]\n" {
            // The response was at its limit: the rest comes with the next ones.
            assert!(rig.poll("x").starts_with("a[\"xxx"));
            assert_eq!(rig.poll("x"), "c[1013,\"slow consumer\"]\n");
        }
        assert_eq!(rig.stats().bytes_queued, 0);
        rig.over(&script, client);
    }
}

/// Nobody polls: what waits is bounded too, and gone with the session.
#[test]
fn nobody_polls() {
    let (mut rig, script) = sockjs(Script {
        message: Box::new(|me, cx, _| {
            let text = "x".repeat(400_000);
            let sent: Vec<Sent> = (0..5).map(|_| cx.send(&text)).collect();
            me.script.note(format!("{sent:?}"));
        }),
        ..Script::default()
    });
    rig.poll("x");
    assert_eq!(rig.post("x", "[\"\"]"), 204);
    assert_eq!(script.taken(), ["[Full, Full, Full, Gone, Gone]"]);
    assert!(rig.stats().bytes_queued >= 1_200_000);
    rig.pass(ms(5250));
    assert_eq!(rig.stats().bytes_queued, 0);
    rig.over(&script, ());
    assert_eq!(script.last_reason().cause, Cause::Overflow);
}

#[test]
fn on_writable() {
    let (mut rig, script) = sockjs(Script {
        message: Box::new(|_, cx, _| {
            assert_eq!(cx.send("x".repeat(200_000)), Sent::Queued);
            assert_eq!(cx.send("x".repeat(200_000)), Sent::Full);
        }),
        writable: Box::new(|me, cx| {
            me.script.note("writable");
            cx.send("more");
        }),
        ..Script::default()
    });
    rig.poll("x");
    assert_eq!(rig.post("x", "[\"\"]"), 204);
    assert!(script.taken().is_empty());
    assert_eq!(rig.poll("x").len(), 400_009);
    assert_eq!(script.taken(), ["writable"]);
    assert_eq!(rig.poll("x"), "a[\"more\"]\n");
    rig.over(&script, ());
    assert!(script.taken().is_empty());
}

/// The close frame follows what a stream was too slow for, as soon as that is taken.
#[test]
fn closed_while_the_stream_is_stuck() {
    let (mut rig, script) =
        sockjs_with(Script::default(), Settings::default(), one_long_response());
    let mut client = rig.stream("x");
    let id = script.id(0);
    rig.server.with_app(|app| app.to(id).send(long())).unwrap();
    rig.settle();
    assert!(rig.stats().bytes_queued > MIB as u64);
    rig.server
        .with_app(|app| app.to(id).close_with(3000, "Go away!"))
        .unwrap();
    rig.settle();
    assert_eq!(read_on(&mut client, &mut rig), "c[3000,\"Go away!\"]\n");
    rig.over(&script, client);
}

/// Who takes nothing at all is dropped after `write_timeout`.
#[test]
fn a_stream_that_takes_nothing() {
    let (mut rig, script) =
        sockjs_with(Script::default(), Settings::default(), one_long_response());
    let client = rig.stream("x");
    let id = script.id(0);
    rig.server.with_app(|app| app.to(id).send(long())).unwrap();
    rig.settle();
    rig.server.with_app(|app| app.to(id).send("more")).unwrap();
    rig.pass(secs(31));
    let why = script.last_reason();
    assert_eq!((why.cause, why.code), (Cause::Timeout, 1006));
    let stats = rig.stats();
    assert_eq!((stats.bytes_queued, stats.write_timeouts), (0, 1));
    assert_eq!(rig.poll("x"), "c[1002,\"Connection interrupted\"]\n");
    rig.over(&script, client);
}

/// The receiver is lost while much waits for it.
#[test]
fn a_stuck_stream_is_cut() {
    let (mut rig, script) =
        sockjs_with(Script::default(), Settings::default(), one_long_response());
    let client = rig.stream("x");
    let id = script.id(0);
    rig.server.with_app(|app| app.to(id).send(long())).unwrap();
    rig.settle();
    rig.server
        .with_app(|app| app.to(id).send("x".repeat(MIB / 2)))
        .unwrap();
    client.reset();
    rig.settle();
    assert_eq!(script.last_reason().cause, Cause::Lost);
    assert_eq!(rig.stats().bytes_queued, 0);
    rig.over(&script, ());
}

/// Messages that may be lost are, for who has not taken the earlier ones.
#[test]
fn volatile_messages() {
    let (mut rig, script) =
        sockjs_with(Script::default(), Settings::default(), one_long_response());
    let client = rig.stream("x");
    rig.poll("y");
    let ids = [script.id(0), script.id(1)];
    rig.server
        .with_app(|app| app.to(ids[0]).send(long()))
        .unwrap();
    rig.settle();
    let count = rig
        .server
        .with_app(|app| app.to_each(ids).volatile().send("v"))
        .unwrap();
    assert_eq!(count, 1);
    assert_eq!(rig.poll("y"), "a[\"v\"]\n");
    rig.over(&script, client);
}

/// All buffers together are nearly full: who holds most is closed, be it a session or a conn.
#[test]
fn out_of_memory() {
    let settings = Settings {
        buffers_max_bytes: 2 * MIB,
        ..Settings::default()
    };
    let (mut rig, script) = sockjs_with(Script::default(), settings, SockJs::default());
    for id in ["a", "b", "c"] {
        rig.poll(id);
    }
    let mut small = rig.wait("c");
    let mut socket = rig.client("/s/0/w/websocket");
    assert_eq!(socket.text(&mut rig), "o");
    let ids: Vec<_> = script.ids.borrow().clone();
    rig.server
        .with_app(|app| {
            app.to(ids[0]).send("x".repeat(900_000));
            app.to(ids[1]).send("x".repeat(1_100_000));
            app.to(ids[2]).send("small");
            app.to(ids[3]).send("small");
        })
        .unwrap();
    rig.settle();
    assert_eq!(socket.text(&mut rig), "a[\"small\"]");
    assert_eq!(small.answer(&mut rig).text(), "a[\"small\"]\n");
    assert_eq!(script.closed(), [1]);
    assert_eq!(script.last_reason().cause, Cause::Overflow);
    assert!(rig.stats().bytes_queued < 1_000_000);
    assert_eq!(rig.stats().memory_closes, 1);
    assert_eq!(rig.poll("b"), "c[1002,\"Connection interrupted\"]\n");
    assert_eq!(rig.poll("a").len(), 900_006);
    rig.over(&script, (small, socket));
}

/// What waits for a decision is let go as well, and those who hold less stay.
#[test]
fn undecided_and_out_of_memory() {
    let settings = Settings {
        buffers_max_bytes: 2 * MIB,
        ..Settings::default()
    };
    let shelf: Rc<RefCell<Vec<Deciding<Probe>>>> = Rc::default();
    let put = Rc::clone(&shelf);
    let undecided = Script {
        open: Box::new(move |_, cx, _| {
            put.borrow_mut().push(cx.decide_later());
            Ok(())
        }),
        ..Script::default()
    };
    let (mut rig, script) = sockjs_with(undecided, settings, SockJs::default());
    let mut polls = ["a", "b"].map(|id| rig.wait(id));
    let mut half = rig.raw();
    half.write(b"GET / HTTP/1.1\r\nHost: ");
    rig.settle();
    let body = format!("[\"{}\"]", "x".repeat(1_000_000));
    let mut sends =
        ["a", "b"].map(|id| rig.start("POST", &format!("/s/0/{id}/xhr_send"), "", body.as_bytes()));
    rig.settle();
    assert!(rig.stats().bytes_unfinished < 1_100_000);
    assert_eq!(rig.stats().memory_closes, 1);
    // Of two alike one is left, and it can still be accepted.
    for deciding in shelf.borrow_mut().drain(..) {
        deciding.accept(|me, _| me.script.note("accepted"));
    }
    rig.settle();
    assert_eq!(script.taken(), ["accepted"]);
    half.write(b"x\r\n\r\n");
    assert_eq!(half.answer(&mut rig).status, 404);
    for client in polls.iter_mut().chain(&mut sends) {
        while client.fill() {}
    }
    rig.over(&script, (polls, sends, half));
}

/// Short of memory there are no new sessions.
#[test]
fn no_new_sessions_when_short_of_memory() {
    let settings = Settings {
        buffers_max_bytes: 2 * MIB,
        ..Settings::default()
    };
    let (mut rig, script) = sockjs_with(Script::default(), settings, SockJs::default());
    for id in ["a", "b"] {
        rig.poll(id);
    }
    // Not even new conns; these are there.
    let (mut old, mut new) = (rig.raw(), rig.raw());
    rig.settle();
    let ids: Vec<_> = script.ids.borrow().clone();
    rig.server
        .with_app(|app| {
            ids.iter().for_each(|id| {
                app.to(*id).send("x".repeat(900_000));
            })
        })
        .unwrap();
    rig.settle();
    assert_eq!(rig.ask("POST", "/s/0/c/xhr", "", b"").status, 503);
    let poll = |id: &str| http("POST", &format!("/s/0/{id}/xhr"), "", b"");
    new.write(&poll("c"));
    assert_eq!(new.answer(&mut rig).status, 503);
    old.write(&poll("a"));
    assert_eq!(old.answer(&mut rig).body.len(), 900_006);
    new.write(&poll("c"));
    assert_eq!(new.answer(&mut rig).text(), "o\n");
    rig.over(&script, (old, new));
}
