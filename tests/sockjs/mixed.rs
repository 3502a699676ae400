//! All transports at one router: broadcasts, counters, and the end of the server.

use crate::support::*;
use dustdevil::{Cause, Dialect, Routes, Settings, SockJs, Transport, TransportCounts, WebSocket};
use std::rc::Rc;

/// One class over SockJS at `/s` and over plain WebSocket at `/ws`.
fn both(script: Script) -> (Rig<World>, Rc<Script>) {
    let script = Rc::new(script);
    let router = router(&script);
    let routes = Routes::new()
        .sockjs("/s", &router, SockJs::default())
        .websocket("/ws", &router, WebSocket::default());
    (Rig::new(World::new(), Settings::default(), routes), script)
}

/// Each gets the message in its own form, encoded once for all of a kind.
#[test]
fn a_broadcast_reaches_every_form() {
    let (mut rig, script) = both(Script {
        open: Box::new(|_, cx, _| {
            cx.join("room");
            Ok(())
        }),
        message: Box::new(|_, cx, message| match message.text() {
            Some("all") => assert_eq!(cx.all().send("é%<\"\u{2028}"), 8),
            Some("room") => assert_eq!(cx.room("room").except(cx.id()).send("r"), 7),
            Some("binary") => assert_eq!(cx.all().send(b"\0\xff"), 2),
            other => panic!("{other:?}"),
        }),
        ..Script::default()
    });
    let mut plain = rig.client("/ws");
    let mut raw = rig.client("/s/websocket");
    let mut socket = rig.client("/s/0/w/websocket");
    assert_eq!(socket.text(&mut rig), "o");
    rig.poll("poll");
    rig.poll("later");
    let mut poll = rig.wait("poll");
    let mut stream = rig.stream("stream");
    assert_eq!(stream.chunk(&mut rig).unwrap(), "o\n");
    let mut events = rig.start("GET", "/s/0/events/eventsource", "", b"");
    let mut page = rig.start("GET", "/s/0/page/htmlfile?c=cb", "", b"");
    for client in [&mut events, &mut page] {
        client.head(&mut rig);
        client.chunk(&mut rig);
        client.chunk(&mut rig);
    }
    let stats = rig.stats();
    assert_eq!((stats.connections_open, stats.sessions_open), (8, 5));
    let mut counts = TransportCounts::default();
    (counts.websocket, counts.rawwebsocket, counts.xhr) = (2, 1, 2);
    (counts.xhr_streaming, counts.eventsource, counts.htmlfile) = (1, 1, 1);
    assert_eq!(stats.transports, counts);

    plain.send("all");
    let frame = "a[\"é%<\\\"\\u2028\"]";
    assert_eq!(plain.text(&mut rig), "é%<\"\u{2028}");
    assert_eq!(raw.text(&mut rig), "é%<\"\u{2028}");
    assert_eq!(socket.text(&mut rig), frame);
    assert_eq!(poll.answer(&mut rig).text(), format!("{frame}\n"));
    assert_eq!(rig.poll("later"), format!("{frame}\n"));
    assert_eq!(stream.chunk(&mut rig).unwrap(), format!("{frame}\n"));
    let escaped = frame.replace('%', "%25");
    assert_eq!(
        events.chunk(&mut rig).unwrap(),
        format!("data: {escaped}\r\n\r\n")
    );
    let string = "a[\\\"é%\\u003c\\\\\\\"\\\\u2028\\\"]";
    let chunk = page.chunk(&mut rig).unwrap();
    assert_eq!(chunk, format!("<script>\np(\"{string}\");\n</script>\r\n"));

    // Binary has a form for two of them, and the others are none the worse for it.
    plain.send("binary");
    assert_eq!(plain.frame(&mut rig).payload, b"\0\xff");
    assert_eq!(raw.frame(&mut rig).head, 0x82);
    socket.silent(&mut rig);
    stream.silent(&mut rig);
    assert_eq!(rig.stats().unsupported, 6);

    assert_eq!(rig.post("poll", "[\"room\"]"), 204);
    assert_eq!(plain.text(&mut rig), "r");
    assert_eq!(raw.text(&mut rig), "r");
    assert_eq!(socket.text(&mut rig), "a[\"r\"]");
    assert_eq!(stream.chunk(&mut rig).unwrap(), "a[\"r\"]\n");
    assert_eq!(rig.poll("later"), "a[\"r\"]\n");
    assert_eq!(rig.stats().messages_out, 8 + 2 + 7);
    rig.over(&script, (plain, raw, socket, poll, stream, events, page));
    assert_eq!(script.closed().len(), 8);
}

#[test]
fn what_the_application_can_ask() {
    let (mut rig, script) = both(Script {
        open: Box::new(|me, cx, req| {
            me.script.note(format!(
                "{} {:?} {:?}",
                req.path(),
                req.transport().map(Transport::name),
                cx.dialect(),
            ));
            assert!(cx.remote_addr().is_some_and(|addr| addr.ip().is_loopback()));
            Ok(())
        }),
        ..Script::default()
    });
    let clients = ["/ws", "/s/websocket", "/s/0/w/websocket"].map(|path| rig.client(path));
    rig.poll("x");
    let sockjs = Dialect::SockJs;
    assert_eq!(
        script.taken(),
        [
            format!("/ws Some(\"websocket\") {:?}", Dialect::WebSocket),
            format!("/s/websocket Some(\"rawwebsocket\") {sockjs:?}"),
            format!("/s/0/w/websocket Some(\"websocket\") {sockjs:?}"),
            format!("/s/0/x/xhr Some(\"xhr\") {sockjs:?}"),
        ]
    );
    rig.over(&script, clients);
}

/// A timer of a session runs between its receivers, and dies with it.
#[test]
fn timers() {
    let (mut rig, script) = sockjs(Script {
        open: Box::new(|_, cx, _| {
            cx.every(secs(1), |me, cx| {
                me.script.note("tick");
                cx.send("tick");
                dustdevil::Keep::Going
            });
            Ok(())
        }),
        ..Script::default()
    });
    rig.poll("x");
    rig.pass(ms(2600));
    assert_eq!(rig.poll("x"), "a[\"tick\",\"tick\"]\n");
    rig.pass(secs(6));
    script.taken();
    rig.pass(secs(3));
    assert!(script.taken().is_empty());
    rig.over(&script, ());
}

#[test]
fn rates() {
    let (mut rig, script) = both(Script::default());
    let mut socket = rig.client("/ws");
    rig.poll("x");
    rig.pass(secs(1));
    let mut poll = rig.wait("x");
    for _ in 0..10 {
        assert_eq!(rig.post("x", "[\"a\",\"b\"]"), 204);
        assert_eq!(poll.answer(&mut rig).text(), "a[\"a\",\"b\"]\n");
        socket.send("c");
        assert_eq!(socket.text(&mut rig), "c");
        rig.pass(ms(500));
        poll = rig.wait("x");
    }
    let stats = rig.stats();
    assert_eq!(stats.connections_per_second, 0.2);
    assert_eq!((stats.messages_in, stats.messages_out), (30, 30));
    assert_eq!(
        (stats.messages_in_per_second, stats.messages_out_per_second),
        (3.0, 3.0)
    );
    rig.pass(secs(12));
    let stats = rig.stats();
    assert_eq!(stats.connections_per_second, 0.0);
    assert_eq!(
        (stats.messages_in_per_second, stats.messages_out_per_second),
        (0.0, 0.0)
    );
    rig.over(&script, (socket, poll));
}

/// Who listens is told, who does not is closed all the same.
#[test]
fn drained() {
    let (mut rig, script) = both(Script::default());
    rig.poll("poll");
    rig.poll("between");
    let mut idle = rig.raw();
    idle.write(&http("POST", "/s/0/idle/xhr", "", b""));
    assert_eq!(idle.answer(&mut rig).text(), "o\n");
    let mut poll = rig.wait("poll");
    let mut stream = rig.stream("stream");
    stream.chunk(&mut rig);
    let mut socket = rig.client("/s/0/w/websocket");
    socket.text(&mut rig);
    rig.server.drain(secs(5)).unwrap();
    rig.pass(secs(2));
    let frame = "c[1001,\"going away\"]";
    let answer = poll.answer(&mut rig);
    assert_eq!(answer.text(), format!("{frame}\n"));
    assert_eq!(answer.field("Connection"), Some("close"));
    assert_eq!(stream.chunk(&mut rig).unwrap(), format!("{frame}\n"));
    stream.ends(&mut rig);
    assert_eq!(socket.text(&mut rig), frame);
    assert_eq!(socket.close_code(&mut rig), Some(1000));
    assert_eq!(script.closed().len(), 5);
    for (n, why) in script.closed.borrow().iter() {
        assert_eq!((why.cause, why.code), (Cause::Shutdown, 1001), "{n}");
    }
    rig.over(&script, (idle, poll, stream, socket));
}

/// Nobody is connected at the moment: the sessions are closed before the server ends.
#[test]
fn drained_between_polls() {
    let (mut rig, script) = both(Script::default());
    for id in ["a", "b", "c"] {
        rig.poll(id);
    }
    rig.server.drain(secs(5)).unwrap();
    rig.clock.advance(secs(2));
    rig.server.run().unwrap();
    let mut closed = script.closed();
    closed.sort_unstable();
    assert_eq!(closed, [0, 1, 2]);
    assert!(
        script
            .closed
            .borrow()
            .iter()
            .all(|(_, why)| why.cause == Cause::Shutdown)
    );
}

/// At the deadline everything is cut.
#[test]
fn drained_at_once() {
    let (mut rig, script) = both(Script::default());
    rig.poll("poll");
    rig.poll("between");
    let poll = rig.wait("poll");
    let stream = rig.stream("stream");
    rig.server.drain(secs(0)).unwrap();
    rig.settle();
    let closed = script.closed();
    assert_eq!(closed.len(), 3, "{closed:?}");
    assert!(
        script
            .closed
            .borrow()
            .iter()
            .all(|(_, why)| why.cause == Cause::Shutdown)
    );
    let stats = rig.stats();
    assert_eq!((stats.sessions_open, stats.conns_open), (0, 0));
    rig.over(&script, (poll, stream));
}

/// What comes while the server drains.
#[test]
fn requests_while_draining() {
    let (mut rig, script) = both(Script::default());
    rig.poll("x");
    // It keeps the server from its end.
    let stuck = rig.client("/ws");
    let mut late = rig.raw();
    rig.settle();
    late.write(b"POST /s/0/new/xhr HTTP/1.1\r\nHost: h\r\n");
    rig.settle();
    rig.server.drain(secs(5)).unwrap();
    rig.settle();
    late.write(b"\r\n");
    assert_eq!(late.answer(&mut rig).status, 503);
    rig.over(&script, (stuck, late));
}

/// Many clients that come, talk, and go in every way: nothing is left.
#[test]
fn many_at_random() {
    let (mut rig, script) = both(Script::default());
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    let mut clients = Vec::new();
    for round in 0..600 {
        let id = random(12).to_string();
        let transport = [
            "xhr",
            "xhr_streaming",
            "eventsource",
            "htmlfile?c=x",
            "jsonp?c=x",
        ][random(5) as usize];
        let method = if transport.starts_with("xhr") {
            "POST"
        } else {
            "GET"
        };
        match random(8) {
            0..=2 => {
                let mut client = rig.raw();
                client.write(&http(method, &format!("/s/0/{id}/{transport}"), "", b""));
                clients.push(client);
            }
            3 | 4 => {
                let mut client = rig.raw();
                let path = format!("/s/0/{id}/xhr_send");
                client.write(&http("POST", &path, "", b"[\"a\",\"b\"]"));
                clients.push(client);
            }
            5 => {
                let mut client = rig.raw();
                client.write(request(&format!("/s/0/{id}/websocket"), "").as_bytes());
                client.write(&masked(0x81, b"[\"a\"]"));
                clients.push(client);
            }
            6 if !clients.is_empty() => {
                let at = random(clients.len() as u64) as usize;
                let client = clients.swap_remove(at);
                match random(3) {
                    0 => client.reset(),
                    1 => client.finish(),
                    _ => drop(client),
                }
            }
            _ => rig.clock.advance(ms(random(3000))),
        }
        if random(3) == 0 {
            rig.turn();
        }
        assert_eq!(rig.stats().panics, 0, "round {round}");
    }
    rig.over(&script, clients);
    let opened = rig.stats().connections_opened;
    assert_eq!(script.closed().len() as u64, opened);
    assert!(opened > 50, "{opened}");
}
