//! How sessions end: who hears what, and that `on_close` runs once, with the right cause.

use crate::support::*;
use dustdevil::{Cause, SocketIoSettings, Transport};

fn is_gone(rig: &mut Rig<World>, sid: &str) {
    let stats = rig.stats();
    assert_eq!((stats.sessions_open, stats.connections_open), (0, 0));
    assert_eq!(rig.poll(sid), UNKNOWN);
    assert_eq!(rig.post(sid, "3:::x"), 401);
}

// ---- the client ends it -------------------------------------------------------------------------

#[test]
fn by_the_client_while_it_polls() {
    for packet in ["0::", "0", "0:::"] {
        let (mut rig, script) = sio(Script::default());
        let sid = rig.session();
        let mut poll = rig.hold(&sid);
        rig.push(&sid, &["3:::last", packet]);
        let answer = poll.answer(&mut rig).text();
        assert_eq!(packets(&answer), ["3:::last", "0::"], "{packet}");
        assert_eq!(causes(&script), [(0, Cause::Client)]);
        is_gone(&mut rig, &sid);
        rig.over(&script, poll);
    }
}

/// It does not come to hear of it, and so its place is free at once.
#[test]
fn by_the_client_between_polls() {
    let (mut rig, script) = sio(Script::default());
    let sid = rig.session();
    rig.push(&sid, &["0::"]);
    assert_eq!(causes(&script), [(0, Cause::Client)]);
    is_gone(&mut rig, &sid);
    rig.over(&script, ());
}

#[test]
fn by_the_client_over_a_websocket() {
    let (mut rig, script) = sio(Script::default());
    let (sid, mut client) = rig.socket();
    client.send("3:::last");
    client.send("0::");
    client.send("3:::never");
    assert_eq!(client.text(&mut rig), "3:::last");
    client.told(&mut rig, "0::");
    assert_eq!(causes(&script), [(0, Cause::Client)]);
    is_gone(&mut rig, &sid);
    rig.over(&script, client);
}

#[test]
fn by_the_client_over_a_stream() {
    let (mut rig, script) = sio(Script::default());
    let sid = rig.shake();
    let mut page = rig.page(&sid);
    assert_eq!(page.script(&mut rig), "1::");
    rig.push(&sid, &["0::"]);
    assert_eq!(page.script(&mut rig), "0::");
    page.ends(&mut rig);
    is_gone(&mut rig, &sid);
    rig.over(&script, page);
}

/// What follows in the same payload is nobody's any more.
#[test]
fn packets_behind_the_last_one() {
    let (mut rig, script) = sio(noting());
    let sid = rig.session();
    script.taken();
    rig.push(&sid, &["3:::a", "0::", "3:::b", "1::", "0::"]);
    assert_eq!(script.taken(), ["text a"]);
    assert_eq!(script.closed(), [0]);
    rig.over(&script, ());
}

// ---- the server ends it -------------------------------------------------------------------------

#[test]
fn by_the_server_while_it_polls() {
    let (mut rig, script) = sio(echo());
    let sid = rig.session();
    let mut poll = rig.hold(&sid);
    rig.push(&sid, &["3:::last", "3:::close", "3:::never"]);
    assert_eq!(packets(&poll.answer(&mut rig).text()), ["3:::last", "0::"]);
    assert_eq!(causes(&script), [(0, Cause::Server)]);
    is_gone(&mut rig, &sid);
    rig.over(&script, poll);
}

/// It is kept for who asks next, then forgotten.
#[test]
fn by_the_server_without_a_receiver() {
    let (mut rig, script) = sio(echo());
    let (one, two) = (rig.session(), rig.session());
    for sid in [&one, &two] {
        rig.push(sid, &["3:::last", "3:::close"]);
    }
    assert_eq!(causes(&script), [(0, Cause::Server), (1, Cause::Server)]);
    assert_eq!(packets(&rig.poll(&one)), ["3:::last", "0::"]);
    assert_eq!(rig.poll(&one), UNKNOWN);
    rig.pass(ms(30_500));
    is_gone(&mut rig, &two);
    rig.over(&script, ());
}

/// Before its first receiver has come.
#[test]
fn by_the_server_in_on_open() {
    let (mut rig, script) = sio(Script {
        open: Box::new(|_, cx, _| {
            cx.send("hello");
            cx.close();
            Ok(())
        }),
        ..Script::default()
    });
    let sid = rig.shake();
    assert_eq!(causes(&script), [(0, Cause::Server)]);
    assert_eq!(packets(&rig.poll(&sid)), ["1::", "3:::hello", "0::"]);
    is_gone(&mut rig, &sid);
    let other = rig.shake();
    let mut client = rig.attach(&other);
    for text in ["1::", "3:::hello"] {
        assert_eq!(client.text(&mut rig), text);
    }
    client.told(&mut rig, "0::");
    rig.over(&script, client);
}

#[test]
fn by_the_server_over_a_websocket() {
    let (mut rig, script) = sio(echo());
    let (sid, mut client) = rig.socket();
    client.send("3:::last");
    client.send("3:::close");
    client.send("3:::never");
    assert_eq!(client.text(&mut rig), "3:::last");
    client.told(&mut rig, "0::");
    assert_eq!(causes(&script), [(0, Cause::Server)]);
    is_gone(&mut rig, &sid);
    rig.over(&script, client);
}

#[test]
fn by_the_server_over_a_stream() {
    let (mut rig, script) = sio(echo());
    let sid = rig.shake();
    let mut page = rig.page(&sid);
    assert_eq!(page.script(&mut rig), "1::");
    let id = script.id(0);
    rig.server
        .with_app(|app| app.to(id).close_with(4000, "why"))
        .unwrap();
    rig.settle();
    assert_eq!(page.script(&mut rig), "0::");
    page.ends(&mut rig);
    assert_eq!(causes(&script), [(0, Cause::Server)]);
    is_gone(&mut rig, &sid);
    rig.over(&script, page);
}

/// An endpoint is closed alone; the session with all of them.
#[test]
fn with_endpoints() {
    for by_client in [true, false] {
        let (mut rig, root, chat) = with_chat(echo(), echo(), calm());
        let (_, mut client) = rig.socket();
        client.send("1::/chat");
        assert_eq!(client.text(&mut rig), "1::/chat");
        client.send(if by_client {
            "0::/chat"
        } else {
            "3::/chat:close"
        });
        assert_eq!(client.text(&mut rig), "0::/chat");
        let cause = if by_client {
            Cause::Client
        } else {
            Cause::Server
        };
        assert_eq!(causes(&chat), [(0, cause)]);
        assert!(root.closed().is_empty());
        // And again.
        client.send("1::/chat");
        assert_eq!(client.text(&mut rig), "1::/chat");
        client.send(if by_client { "0::" } else { "3:::close" });
        client.told(&mut rig, "0::");
        assert_eq!(causes(&chat), [(0, cause), (1, cause)]);
        assert_eq!(causes(&root), [(0, cause)]);
        rig.over(&root, client);
    }
}

#[test]
fn endpoints_end_when_a_session_expires() {
    let (mut rig, root, chat) = with_chat(echo(), echo(), calm());
    let (_, mut client) = rig.socket();
    client.send("1::/chat");
    assert_eq!(client.text(&mut rig), "1::/chat");
    client.reset();
    rig.pass(ms(30_500));
    assert_eq!((root.closed(), chat.closed()), (vec![0], vec![0]));
    assert_eq!(root.last_reason().cause, chat.last_reason().cause);
    rig.over(&root, ());
}

// ---- by an error --------------------------------------------------------------------------------

#[test]
fn by_a_panic() {
    quiet_panics();
    let (mut rig, script) = sio(echo());
    let (sid, mut client) = rig.socket();
    let other = rig.session();
    client.send("3:::panic");
    client.told(&mut rig, "0::");
    assert_eq!(causes(&script), [(0, Cause::Error)]);
    assert_eq!(rig.poll(&sid), UNKNOWN);
    let mut poll = rig.hold(&other);
    let answer = rig.ask(
        "POST",
        &polls(&other),
        PLAIN,
        payload(&["3:::a", "3:::panic", "3:::b"]).as_bytes(),
    );
    assert!([200, 500].contains(&answer.status), "{answer:?}");
    assert_eq!(packets(&poll.answer(&mut rig).text()), ["3:::a", "0::"]);
    assert_eq!(causes(&script)[1], (1, Cause::Error));
    assert_eq!(rig.stats().panics, 2);
    rig.serves_another();
    rig.over(&script, (client, poll));
}

#[test]
fn a_panic_in_on_close() {
    quiet_panics();
    let (mut rig, script) = sio(Script {
        close: Box::new(|_, _, _| panic!("{}", MEANT)),
        ..echo()
    });
    let (_, mut client) = rig.socket();
    client.send("0::");
    client.told(&mut rig, "0::");
    assert_eq!(script.closed(), [0]);
    rig.serves_another();
    rig.over(&script, client);
}

/// An endpoint's error is its own.
#[test]
fn a_panic_at_an_endpoint() {
    quiet_panics();
    let (mut rig, root, chat) = with_chat(echo(), echo(), calm());
    let (_, mut client) = rig.socket();
    client.send("1::/chat");
    assert_eq!(client.text(&mut rig), "1::/chat");
    client.send("3::/chat:panic");
    assert_eq!(client.text(&mut rig), "0::/chat");
    assert_eq!(causes(&chat), [(0, Cause::Error)]);
    client.send("3:::x");
    assert_eq!(client.text(&mut rig), "3:::x");
    assert!(root.closed().is_empty());
    rig.over(&root, client);
}

// ---- the end of the server ----------------------------------------------------------------------

/// Clients are asked to shake hands elsewhere.
#[test]
fn drained() {
    let (mut rig, script) = sio(Script::default());
    let (_, mut client) = rig.socket();
    let sid = rig.session();
    let mut poll = rig.hold(&sid);
    let sid = rig.shake();
    let mut page = rig.page(&sid);
    assert_eq!(page.script(&mut rig), "1::");
    rig.server.drain(secs(5)).unwrap();
    rig.pass(secs(2));
    assert_eq!(client.text(&mut rig), UNKNOWN);
    assert_eq!(client.frame(&mut rig).head, 0x88);
    assert_eq!(poll.answer(&mut rig).text(), UNKNOWN);
    assert_eq!(page.script(&mut rig), UNKNOWN);
    page.ends(&mut rig);
    let mut all = causes(&script);
    all.sort_unstable_by_key(|(n, _)| *n);
    assert_eq!(all, [0, 1, 2].map(|n| (n, Cause::Shutdown)));
    rig.over(&script, (client, poll, page));
}

/// There is no receiver: the server ends all the same.
#[test]
fn drained_without_a_receiver() {
    let (mut rig, script) = sio(Script::default());
    rig.session();
    rig.shake();
    rig.server.drain(secs(5)).unwrap();
    rig.clock.advance(secs(2));
    rig.server.run().unwrap();
    let mut all = causes(&script);
    all.sort_unstable_by_key(|(n, _)| *n);
    assert_eq!(all, [(0, Cause::Shutdown), (1, Cause::Shutdown)]);
}

/// Over a conn that is still there.
#[test]
fn requests_while_draining() {
    let (mut rig, script) = sio(Script::default());
    let (_, client) = rig.socket();
    let sid = rig.session();
    let mut poll = rig.hold(&sid);
    let sid = rig.session();
    let mut other = rig.hold(&sid);
    rig.server.drain(secs(5)).unwrap();
    rig.pass(secs(2));
    assert_eq!(poll.answer(&mut rig).text(), UNKNOWN);
    assert_eq!(other.answer(&mut rig).text(), UNKNOWN);
    assert_eq!(poll.rest(&mut rig), b"");
    drop((client, other));
    rig.pass(secs(4));
    assert_eq!(script.closed().len(), 3);
}

/// A handshake that is not answered yet is refused, and the client asks another server.
#[test]
fn undecided_while_draining() {
    let script = Script {
        open: Box::new(|_, cx, _| {
            let deciding = cx.decide_later();
            cx.app().after(secs(1), move |_| deciding.accept(|_, _| {}));
            Ok(())
        }),
        ..Script::default()
    };
    let (mut rig, script) = sio(script);
    let mut client = rig.start("GET", SHAKE, "", b"");
    rig.server.drain(secs(5)).unwrap();
    rig.pass(secs(2));
    let answer = client.answer(&mut rig);
    assert_eq!(
        (answer.status, answer.field("Retry-After")),
        (503, Some("1"))
    );
    assert!(script.closed().is_empty());
    rig.over(&script, client);
}

/// Endpoints hear of it as well, and once.
#[test]
fn endpoints_are_drained() {
    let (mut rig, root, chat) = with_chat(echo(), echo(), calm());
    let (_, mut client) = rig.socket();
    client.send("1::/chat");
    assert_eq!(client.text(&mut rig), "1::/chat");
    rig.server.drain(secs(5)).unwrap();
    rig.pass(secs(2));
    assert_eq!(client.text(&mut rig), UNKNOWN);
    assert_eq!(causes(&root), [(0, Cause::Shutdown)]);
    assert_eq!(causes(&chat), [(0, Cause::Shutdown)]);
    rig.over(&root, client);
}

// ---- once ---------------------------------------------------------------------------------------

/// Whatever else comes at the same time.
#[test]
fn ended_from_all_sides() {
    let (mut rig, script) = sio(echo());
    let (sid, mut client) = rig.socket();
    let id = script.id(0);
    client.send("3:::close");
    client.send("0::");
    client.write(&closing(1000, ""));
    rig.server.with_app(|app| app.to(id).close()).unwrap();
    rig.ask("GET", &format!("{}?disconnect", polls(&sid)), "", b"");
    client.reset();
    rig.settle();
    assert_eq!(script.closed(), [0]);
    rig.over(&script, ());
}

/// Sessions of every kind, over and over: nothing is left.
#[test]
fn nothing_is_left() {
    let (mut rig, script) = sio_of(
        echo(),
        SocketIoSettings {
            heartbeat_interval: secs(12),
            ..calm()
        },
    );
    let transports = [
        Transport::WebSocket,
        Transport::XhrPolling,
        Transport::HtmlFile,
    ];
    let mut count = 0;
    for _ in 0..4 {
        for transport in transports {
            for end in ["0::", "3:::close", "reset", "expires"] {
                let sid = rig.shake();
                count += 1;
                let client = match transport {
                    Transport::WebSocket => rig.attach(&sid),
                    Transport::XhrPolling => {
                        assert_eq!(rig.poll(&sid), "1::");
                        rig.hold(&sid)
                    }
                    _ => rig.page(&sid),
                };
                match end {
                    "reset" => client.reset(),
                    "expires" => drop(client),
                    packet => rig.push(&sid, &[packet]),
                }
            }
        }
        rig.pass(secs(10));
    }
    rig.over_after(secs(60), &script, ());
    assert_eq!(script.closed().len(), count);
}

/// In a process of its own, for others of this one come and go.
#[cfg(target_os = "linux")]
#[test]
fn descriptors_are_given_back() {
    passes_in_a_child("endings::descriptors_in_a_child");
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "counts the descriptors of its process; descriptors_are_given_back runs it in one of its own"]
fn descriptors_in_a_child() {
    let count = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let (mut rig, script) = sio(echo());
    rig.settle();
    let before = count();
    for round in 0..3 {
        for end in ["0::", "3:::close", "reset", "expires"] {
            for transport in [
                Transport::WebSocket,
                Transport::XhrPolling,
                Transport::HtmlFile,
            ] {
                let sid = rig.session();
                let client = match transport {
                    Transport::WebSocket => rig.attach(&sid),
                    Transport::XhrPolling => rig.hold(&sid),
                    _ => rig.page(&sid),
                };
                match end {
                    "reset" => client.reset(),
                    "expires" => drop(client),
                    packet => rig.push(&sid, &[packet]),
                }
            }
        }
        let unknown = rig.client(&sockets("unknown"));
        let silent = rig.raw();
        assert!(count() > before);
        rig.over(&script, (unknown, silent));
        assert_eq!(count(), before, "round {round}");
    }
}
