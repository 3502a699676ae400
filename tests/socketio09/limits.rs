//! Limits of a session and of its endpoints, each just under and just over.

use crate::support::*;
use dustdevil::{
    AckError, Cause, Sent, Settings, SocketIo, SocketIoSettings, Transport, WebSocketLimits,
};
use std::rc::Rc;
use std::time::Duration;

const MIB: usize = 1 << 20;

// ---- output that nobody takes -------------------------------------------------------------------

/// Nobody polls: what waits is bounded, and gone with the session.
#[test]
fn nobody_polls() {
    let (mut rig, script) = sio(Script {
        message: Box::new(|me, cx, _| {
            let text = "x".repeat(400_000);
            let sent: Vec<Sent> = (0..5).map(|_| cx.send(&text)).collect();
            me.script.note(format!("{sent:?}"));
        }),
        ..Script::default()
    });
    let sid = rig.session();
    rig.push(&sid, &["3:::x"]);
    // One message may be over it, so that the largest of all can be sent.
    assert_eq!(script.taken(), ["[Full, Full, Full, Gone, Gone]"]);
    assert_eq!(causes(&script), [(0, Cause::Overflow)]);
    assert_eq!(rig.stats().overflows, 1);
    rig.pass(ms(30_500));
    assert_eq!(rig.stats().bytes_queued, 0);
    rig.over(&script, ());
}

#[test]
fn write_max_bytes() {
    let (mut rig, script) = sio(Script::default());
    let sid = rig.session();
    let id = script.id(0);
    let send = |rig: &mut Rig<World>, len: usize| {
        let text = "x".repeat(len);
        rig.server.with_app(|app| app.to(id).send(text)).unwrap()
    };
    // Just under it, one more is taken.
    assert_eq!(send(&mut rig, MIB - 1000), 1);
    assert_eq!(send(&mut rig, 2000), 1);
    assert!(script.closed().is_empty());
    let got = packets(&rig.poll(&sid));
    assert_eq!(
        got.iter().map(String::len).collect::<Vec<_>>(),
        [MIB - 996, 2004]
    );
    // Over it, none.
    assert_eq!(send(&mut rig, MIB + 1000), 1);
    assert_eq!(send(&mut rig, 1), 0);
    rig.settle();
    assert_eq!(causes(&script), [(0, Cause::Overflow)]);
    rig.serves_another();
    rig.over(&script, ());
}

/// Small messages count with what it takes to keep them.
#[test]
fn very_many_small_messages() {
    let (mut rig, script) = sio(Script::default());
    rig.session();
    let id = script.id(0);
    let mut taken = 0;
    while rig.server.with_app(|app| app.to(id).send("")).unwrap() == 1 {
        taken += 1;
        assert!(taken <= 20_000, "there is no end to it");
    }
    assert_eq!(taken, 10_486);
    assert_eq!(causes(&script), [(0, Cause::Overflow)]);
    rig.over(&script, ());
}

/// Streams and WebSockets that are not read.
#[test]
fn a_slow_receiver() {
    for transport in [Transport::WebSocket, Transport::HtmlFile] {
        let (mut rig, script) = sio(Script::default());
        let sid = rig.session();
        let client = match transport {
            Transport::WebSocket => rig.attach(&sid),
            _ => rig.page(&sid),
        };
        let id = script.id(0);
        let most = rig.sends_until_cut(id);
        assert!(most <= (2 * MIB + 300_000) as u64, "{transport:?}: {most}");
        assert_eq!(causes(&script), [(0, Cause::Overflow)], "{transport:?}");
        rig.serves_another();
        rig.over_after(secs(90), &script, client);
    }
}

#[test]
fn on_writable() {
    let (mut rig, script) = sio(Script {
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
    let sid = rig.session();
    rig.push(&sid, &["3:::x"]);
    assert!(script.taken().is_empty());
    assert_eq!(packets(&rig.poll(&sid)).len(), 2);
    assert_eq!(script.taken(), ["writable"]);
    assert_eq!(rig.poll(&sid), "3:::more");
    rig.over(&script, ());
}

/// The same on a WebSocket and on a stream, which take what they can at once.
#[test]
fn on_writable_behind_a_slow_receiver() {
    for transport in [Transport::WebSocket, Transport::HtmlFile] {
        let settings = Settings {
            write_max_bytes: 64 * MIB,
            ..Settings::default()
        };
        let writable = Script {
            writable: Box::new(|me, _| me.script.note("writable")),
            ..Script::default()
        };
        let (mut rig, script) = sio_with(writable, settings, mount(calm()));
        let sid = rig.session();
        let mut client = match transport {
            Transport::WebSocket => rig.attach(&sid),
            _ => rig.page(&sid),
        };
        let id = script.id(0);
        // Long enough that no kernel takes all of it, and all in order.
        let text = "x".repeat(100_000);
        for n in 0..200 {
            let text = format!("{n} {text}");
            assert_eq!(
                rig.server.with_app(|app| app.to(id).send(&text)).unwrap(),
                1
            );
            rig.turn();
        }
        let mut next = 0;
        while next < 200 {
            let got = match transport {
                Transport::WebSocket => vec![client.text(&mut rig)],
                _ => packets(&client.script(&mut rig)),
            };
            for packet in got {
                let start = format!("3:::{next} x");
                assert!(
                    packet.starts_with(&start),
                    "{transport:?}: {}",
                    &packet[..20]
                );
                next += 1;
            }
        }
        rig.settle();
        // Once for each time that it was full: how often, is the kernel's doing.
        let taken = script.taken();
        assert!(
            !taken.is_empty() && taken.len() < 100,
            "{transport:?}: {taken:?}"
        );
        rig.settle();
        assert!(script.taken().is_empty() && script.closed().is_empty());
        rig.over(&script, client);
    }
}

/// What `Full` has promised is owed by the session, whatever becomes of its WebSocket.
#[test]
fn on_writable_when_the_socket_is_lost_or_replaced() {
    for replaced in [false, true] {
        let settings = Settings {
            write_max_bytes: 64 * MIB,
            ..Settings::default()
        };
        let writable = Script {
            writable: Box::new(|me, _| me.script.note("writable")),
            ..Script::default()
        };
        let (mut rig, script) = sio_with(writable, settings, mount(calm()));
        let sid = rig.session();
        let first = rig.attach(&sid);
        let (id, text) = (script.id(0), "x".repeat(8 * MIB));
        rig.server.with_app(|app| app.to(id).send(&text)).unwrap();
        rig.turn();
        assert!(script.taken().is_empty(), "it was taken at once");
        let second = if replaced {
            Some((rig.attach(&sid), first))
        } else {
            first.reset();
            rig.settle();
            Some((rig.attach(&sid), rig.raw()))
        };
        rig.settle();
        assert_eq!(script.taken(), ["writable"], "replaced: {replaced}");
        rig.over(&script, second);
    }
}

/// While a POST waits for room in an inbox, its client cannot show that it lives.
#[test]
fn a_parked_post_is_no_silence() {
    let settings = Settings {
        inbox_max: 2,
        ..Settings::default()
    };
    let hold = Script {
        message: Box::new(|_, cx, _| {
            let turn = cx.ordered();
            cx.after(secs(50), move |_, _| drop(turn));
        }),
        ..Script::default()
    };
    let of = SocketIoSettings {
        xhr_polling_timeout: secs(600),
        ..SocketIoSettings::default()
    };
    let (mut rig, script) = sio_with(hold, settings, mount(of));
    let sid = rig.session();
    let body = ["3:::a", "3:::b", "3:::c"]
        .map(|packet| format!("\u{fffd}5\u{fffd}{packet}"))
        .concat();
    let post = rig.start(
        "POST",
        &path(Transport::XhrPolling, &sid),
        "",
        body.as_bytes(),
    );
    for _ in 0..4 {
        let poll = rig.start("GET", &path(Transport::XhrPolling, &sid), "", b"");
        rig.pass(secs(11));
        drop(poll);
        rig.settle();
    }
    assert!(script.closed().is_empty());
    assert_eq!(rig.stats().ping_timeouts, 0);
    rig.over(&script, post);
}

/// Who takes nothing at all is dropped after `write_timeout`; the session waits for another receiver, and then
/// expires.
#[test]
fn a_receiver_that_takes_nothing() {
    for transport in [Transport::WebSocket, Transport::HtmlFile] {
        let (mut rig, script) = sio(Script::default());
        let sid = rig.session();
        let client = match transport {
            Transport::WebSocket => rig.attach(&sid),
            _ => rig.page(&sid),
        };
        let id = script.id(0);
        let long = "x".repeat(24 * MIB);
        rig.server.with_app(|app| app.to(id).send(long)).unwrap();
        rig.settle();
        assert_eq!(rig.stats().conns_open, 1);
        rig.pass(secs(31));
        let stats = rig.stats();
        assert_eq!(
            (stats.write_timeouts, stats.conns_open),
            (1, 0),
            "{transport:?}"
        );
        assert!(script.closed().is_empty(), "{transport:?}");
        rig.server.with_app(|app| app.to(id).send("late")).unwrap();
        assert_eq!(rig.poll(&sid), "3:::late", "{transport:?}");
        rig.over(&script, client);
        assert_eq!(causes(&script), [(0, Cause::Timeout)]);
    }
}

/// The last packet follows what a receiver was too slow for, as soon as that is taken.
#[test]
fn closed_while_the_receiver_is_stuck() {
    for transport in [Transport::WebSocket, Transport::HtmlFile] {
        for by_client in [true, false] {
            let (mut rig, script) = sio(Script::default());
            let sid = rig.session();
            let mut client = match transport {
                Transport::WebSocket => rig.attach(&sid),
                _ => rig.page(&sid),
            };
            let id = script.id(0);
            let long = "x".repeat(8 * MIB);
            rig.server.with_app(|app| app.to(id).send(long)).unwrap();
            rig.settle();
            assert!(rig.stats().bytes_queued > MIB as u64);
            match by_client {
                true => rig.push(&sid, &["0::"]),
                false => {
                    rig.server.with_app(|app| app.to(id).close()).unwrap();
                }
            }
            rig.settle();
            let cause = if by_client {
                Cause::Client
            } else {
                Cause::Server
            };
            assert_eq!(causes(&script), [(0, cause)]);
            if transport == Transport::WebSocket {
                // In fragments: their heads are skipped.
                let mut last = client.frame(&mut rig);
                while last.head != 0x81 {
                    last = client.frame(&mut rig);
                }
                assert_eq!(last.text(), "0::");
                client.closes(&mut rig);
            } else {
                assert_eq!(client.script(&mut rig).len(), 8 * MIB + 4);
                assert_eq!(client.script(&mut rig), "0::");
                client.ends(&mut rig);
            }
            assert_eq!(rig.stats().bytes_queued, 0);
            rig.over(&script, client);
        }
    }
}

/// Messages that may be lost are, for who has not taken the earlier ones.
#[test]
fn volatile_messages() {
    let settings = Settings {
        write_max_bytes: 64 * MIB,
        ..Settings::default()
    };
    let (mut rig, script) = sio_with(Script::default(), settings, mount(calm()));
    let (_, slow) = rig.socket();
    let polling = rig.session();
    let (_, mut good) = rig.socket();
    let ids = [0, 1, 2].map(|n| script.id(n));
    rig.server
        .with_app(|app| {
            app.to(ids[0]).send("x".repeat(24 * MIB));
            app.to(ids[1]).send("x".repeat(100_000))
        })
        .unwrap();
    rig.settle();
    let volatile = |rig: &mut Rig<World>| {
        rig.server
            .with_app(|app| {
                let sent = app.to_each(ids).volatile().send("v");
                (sent, app.to_each(ids).volatile().emit("e", 1))
            })
            .unwrap()
    };
    assert_eq!(volatile(&mut rig), (1, 1));
    assert_eq!(good.text(&mut rig), "3:::v");
    assert_eq!(good.text(&mut rig), "5:::{\"name\":\"e\",\"args\":[1]}");
    assert_eq!(rig.poll(&polling).len(), 100_004);
    assert_eq!(volatile(&mut rig), (2, 2));
    assert_eq!(packets(&rig.poll(&polling)).len(), 2);
    slow.reset();
    rig.over(&script, good);
}

/// All buffers together are nearly full: who holds most is closed.
#[test]
fn out_of_memory() {
    let settings = Settings {
        buffers_max_bytes: 2 * MIB,
        ..Settings::default()
    };
    let (mut rig, script) = sio_with(Script::default(), settings, mount(calm()));
    let (one, two) = (rig.session(), rig.session());
    let ids = [script.id(0), script.id(1)];
    rig.server
        .with_app(|app| {
            app.to(ids[0]).send("x".repeat(900_000));
            app.to(ids[1]).send("x".repeat(1_100_000));
        })
        .unwrap();
    rig.settle();
    assert_eq!(causes(&script), [(1, Cause::Overflow)]);
    assert_eq!(rig.stats().memory_closes, 1);
    assert_eq!(rig.poll(&two), UNKNOWN);
    assert_eq!(rig.poll(&one).len(), 900_004);
    rig.serves_another();
    rig.over(&script, ());
}

// ---- endpoints ----------------------------------------------------------------------------------

#[test]
fn endpoints_max() {
    let of = SocketIoSettings {
        endpoints_max: 3,
        ..calm()
    };
    let (root, chat) = (Rc::new(echo()), Rc::new(echo()));
    let inside = router(&chat);
    let outside =
        router(&root).endpoint_fn(move |name, _| name.starts_with("/c").then(|| inside.any()));
    let mut rig = serve(&outside, Settings::default(), mount(of));
    let (_, mut client) = rig.socket();
    for n in 0..3 {
        client.send(&format!("1::/c{n}"));
        assert_eq!(client.text(&mut rig), format!("1::/c{n}"));
    }
    client.send("1::/c3");
    assert_eq!(client.text(&mut rig), "7::/c3:2");
    // One that is connected is none more.
    client.send("1::/c1");
    assert_eq!(client.text(&mut rig), "1::/c1");
    assert_eq!(chat.ids.borrow().len(), 3);
    // One that is left makes room.
    client.send("0::/c0");
    assert_eq!(client.text(&mut rig), "0::/c0");
    client.send("1::/c3");
    assert_eq!(client.text(&mut rig), "1::/c3");
    client.send("3::/c3:x");
    assert_eq!(client.text(&mut rig), "3::/c3:x");
    rig.serves_another();
    rig.over(&root, client);
    assert_eq!(chat.closed().len(), 4);
}

#[test]
fn endpoints_max_by_default() {
    let (root, chat) = (Rc::new(echo()), Rc::new(echo()));
    let inside = router(&chat);
    let outside = router(&root).endpoint_fn(move |_, _| Some(inside.any()));
    let mut rig = serve(&outside, Settings::default(), mount(calm()));
    let (_, mut client) = rig.socket();
    for n in 0..70 {
        client.send(&format!("1::/{n}"));
        let want = if n < 64 {
            format!("1::/{n}")
        } else {
            format!("7::/{n}:2")
        };
        assert_eq!(client.text(&mut rig), want);
    }
    assert_eq!(rig.stats().connections_open, 65);
    client.send("0::");
    client.told(&mut rig, "0::");
    assert_eq!(chat.closed().len(), 64);
    rig.over(&root, client);
}

#[test]
fn endpoint_bytes_max() {
    let (root, chat) = (Rc::new(echo()), Rc::new(echo()));
    let inside = router(&chat);
    let outside = router(&root).endpoint_fn(move |_, _| Some(inside.any()));
    let mut rig = serve(&outside, Settings::default(), mount(calm()));
    let (_, mut client) = rig.socket();
    let just = format!("/{}", "é".repeat(127));
    assert_eq!(just.len(), 255);
    client.send(&format!("1::{just}"));
    assert_eq!(client.text(&mut rig), format!("1::{just}"));
    client.send(&format!("3::{just}:x"));
    assert_eq!(client.text(&mut rig), format!("3::{just}:x"));
    // A query is not part of it.
    client.send(&format!("0::{just}"));
    assert_eq!(client.text(&mut rig), format!("0::{just}"));
    client.send(&format!("1::{just}?{}", "a".repeat(1000)));
    assert_eq!(client.text(&mut rig), format!("1::{just}"));
    let before = rig.stats().protocol_errors;
    client.send(&format!("1::{just}x"));
    client.silent(&mut rig);
    assert_eq!(rig.stats().protocol_errors, before + 1);
    client.send("3:::x");
    assert_eq!(client.text(&mut rig), "3:::x");
    rig.serves_another();
    rig.over(&root, client);
}

// ---- broken packets -----------------------------------------------------------------------------

#[test]
fn broken_packets_max() {
    for (max, of) in [
        (64, calm()),
        (
            2,
            SocketIoSettings {
                broken_packets_max: 2,
                ..calm()
            },
        ),
    ] {
        let (mut rig, script) = sio_of(Script::default(), of);
        let (sid, mut client) = rig.socket();
        for _ in 0..max {
            client.send("garbage");
        }
        client.send("3:::x");
        assert_eq!(client.text(&mut rig), "3:::x");
        assert_eq!(rig.stats().protocol_errors, max);
        // The next one is too much.
        client.send("garbage");
        client.send("3:::never");
        client.told(&mut rig, "0::");
        assert_eq!(causes(&script), [(0, Cause::Protocol)]);
        assert_eq!(rig.poll(&sid), UNKNOWN);
        rig.serves_another();
        rig.over(&script, client);
    }
}

/// In one payload, too.
#[test]
fn broken_packets_of_a_post() {
    let (mut rig, script) = sio(noting());
    let sid = rig.session();
    script.taken();
    let mut poll = rig.hold(&sid);
    let mut all = vec!["garbage"; 64];
    all.push("3:::last");
    rig.push(&sid, &all);
    assert_eq!(script.taken(), ["text last"]);
    rig.push(&sid, &["5:::{", "3:::never"]);
    assert!(script.taken().is_empty());
    assert_eq!(poll.answer(&mut rig).text(), "0::");
    assert_eq!(causes(&script), [(0, Cause::Protocol)]);
    rig.over(&script, poll);
}

// ---- acknowledgements ---------------------------------------------------------------------------

/// Asks for an acknowledgement at each message, and notes what comes of it.
fn asking() -> Script {
    Script {
        message: Box::new(|me, cx, message| {
            let text = message.text().unwrap().to_owned();
            let sent = cx.emit_ack("ask", &*text.clone(), move |me, _, answer| {
                me.script.note(match answer {
                    Ok(values) => format!("{text} {}", serde_json::Value::from(values)),
                    Err(AckError::Timeout) => format!("{text} timeout"),
                    Err(_) => format!("{text} closed"),
                });
            });
            me.script.note(format!("{sent:?}"));
        }),
        ..Script::default()
    }
}

#[test]
fn acks_max() {
    for max in [1, 64] {
        let (mut rig, script) = sio_of(
            asking(),
            SocketIoSettings {
                acks_max: max,
                ..calm()
            },
        );
        let (_, mut client) = rig.socket();
        for n in 1..=max {
            client.send(&format!("3:::{n}"));
            let want = format!("5:{n}+::{{\"name\":\"ask\",\"args\":[\"{n}\"]}}");
            assert_eq!(client.text(&mut rig), want);
        }
        assert_eq!(script.taken(), vec!["Queued"; max]);
        client.send("3:::over");
        client.silent(&mut rig);
        assert_eq!(script.taken(), ["Refused"]);
        // An answer makes room.
        client.send("6:::1+[true]");
        client.send("3:::more");
        let want = format!("5:{}+::", max + 1);
        let got = client.text(&mut rig);
        assert!(got.starts_with(&want), "{got}");
        assert_eq!(script.taken(), ["1 [true]", "Queued"]);
        client.send("0::");
        assert_eq!(client.text(&mut rig), "0::");
        assert_eq!(script.taken().len(), max);
        rig.over(&script, client);
    }
}

#[test]
fn ack_timeout() {
    let (mut rig, script) = sio_of(
        asking(),
        SocketIoSettings {
            ack_timeout: secs(10),
            ..calm()
        },
    );
    let (_, mut client) = rig.socket();
    client.send("3:::a");
    assert_eq!(
        client.text(&mut rig),
        "5:1+::{\"name\":\"ask\",\"args\":[\"a\"]}"
    );
    rig.pass(secs(5));
    client.send("3:::b");
    client.text(&mut rig);
    script.taken();
    rig.pass(ms(4700));
    assert!(script.taken().is_empty());
    rig.pass(ms(600));
    assert_eq!(script.taken(), ["a timeout"]);
    // It is too late, and that does no harm; the other one is not.
    client.send("6:::1+[1]");
    client.send("6:::2+[2]");
    rig.settle();
    assert_eq!(script.taken(), ["b [2]"]);
    // Twice is once.
    client.send("6:::2+[3]");
    client.silent(&mut rig);
    assert!(script.taken().is_empty());
    rig.serves_another();
    rig.over(&script, client);
}

#[test]
fn acks_that_never_come() {
    for how in ["0::", "expires"] {
        let (mut rig, script) = sio(asking());
        let (_, mut client) = rig.socket();
        client.send("3:::a");
        client.text(&mut rig);
        script.taken();
        match how {
            "0::" => client.send("0::"),
            _ => client.reset(),
        }
        rig.pass(secs(31));
        assert_eq!(script.taken(), ["a closed"], "{how}");
        rig.over(&script, ());
    }
}

// ---- answers of the server's own ----------------------------------------------------------------

/// Echoes of connects wait like messages do, and are bounded like them.
#[test]
fn echoes_that_nobody_takes() {
    let (mut rig, root, _) = with_chat(echo(), echo(), calm());
    let sid = rig.session();
    rig.push(&sid, &["1::/chat"]);
    let body = framed("1::/chat").repeat(10_000);
    for _ in 0..40 {
        rig.post(&sid, &body);
        if rig.stats().overflows > 0 {
            break;
        }
    }
    let queued = rig.stats().bytes_queued;
    assert!(queued <= 2 * MIB as u64, "{queued}");
    assert_eq!(causes(&root), [(0, Cause::Overflow)]);
    rig.serves_another();
    rig.over(&root, ());
}

/// So do refusals.
#[test]
fn refusals_that_nobody_takes() {
    let (mut rig, script) = sio_of(
        Script::default(),
        SocketIoSettings {
            refuse_unknown_endpoints: true,
            ..calm()
        },
    );
    let sid = rig.session();
    let body = framed("1::/nosuch").repeat(10_000);
    for _ in 0..40 {
        rig.post(&sid, &body);
        if rig.stats().overflows > 0 {
            break;
        }
    }
    let queued = rig.stats().bytes_queued;
    assert!(queued <= 2 * MIB as u64, "{queued}");
    assert_eq!(causes(&script), [(0, Cause::Overflow)]);
    rig.over(&script, ());
}

/// And what endpoints are told that come and go.
#[test]
fn endpoints_that_come_and_go() {
    let (mut rig, root, chat) = with_chat(Script::default(), Script::default(), calm());
    let sid = rig.session();
    let body = payload(&["1::/chat", "0::/chat"]).repeat(5000);
    for _ in 0..40 {
        rig.post(&sid, &body);
        if rig.stats().overflows > 0 {
            break;
        }
    }
    let queued = rig.stats().bytes_queued;
    assert!(queued <= 2 * MIB as u64, "{queued}");
    assert_eq!(causes(&root), [(0, Cause::Overflow)]);
    let opened = chat.ids.borrow().len();
    assert_eq!(chat.closed().len(), opened);
    rig.over(&root, ());
}

/// And acknowledgements.
#[test]
fn acknowledgements_that_nobody_takes() {
    let (mut rig, script) = sio(noting());
    let sid = rig.session();
    let body = framed("3:1::").repeat(10_000);
    for _ in 0..40 {
        rig.post(&sid, &body);
        if rig.stats().overflows > 0 {
            break;
        }
    }
    assert!(rig.stats().bytes_queued <= 2 * MIB as u64);
    assert_eq!(causes(&script), [(0, Cause::Overflow)]);
    rig.over(&script, ());
}

// ---- limits of WebSockets -----------------------------------------------------------------------

fn with_websocket(of: WebSocketLimits) -> SocketIo {
    SocketIo {
        websocket: of,
        ..mount(calm())
    }
}

#[test]
fn messages_per_second_max() {
    let of = with_websocket(WebSocketLimits {
        messages_per_second_max: 5,
        ping_interval: Duration::ZERO,
        ..WebSocketLimits::default()
    });
    let (mut rig, script) = sio_with(noting(), Settings::default(), of);
    let (_, mut client) = rig.socket();
    script.taken();
    for _ in 0..5 {
        client.send("3:::x");
    }
    client.silent(&mut rig);
    assert_eq!(script.taken().len(), 5);
    for _ in 0..20 {
        client.send("3:::x");
    }
    client.told(&mut rig, "0::");
    assert_eq!(causes(&script), [(0, Cause::Protocol)]);
    assert!(script.taken().len() < 10);
    rig.over(&script, client);
}

#[test]
fn message_bytes_max() {
    let of = with_websocket(WebSocketLimits {
        message_bytes_max: 100,
        ping_interval: Duration::ZERO,
        ..WebSocketLimits::default()
    });
    let (mut rig, script) = sio_with(Script::default(), Settings::default(), of);
    let (sid, mut client) = rig.socket();
    let just = format!("3:::{}", "x".repeat(96));
    client.send(&just);
    assert_eq!(client.text(&mut rig), just);
    client.send(&format!("{just}x"));
    assert_eq!(client.close_code(&mut rig), Some(1009));
    drop(client);
    rig.settle();
    // The session has not heard of it.
    assert!(script.closed().is_empty());
    rig.push(&sid, &["3:::x"]);
    assert_eq!(rig.poll(&sid), "3:::x");
    rig.over(&script, ());
}

/// Pings of the WebSocket, where somebody wants both.
#[test]
fn pings_beside_heartbeats() {
    let of = SocketIo {
        websocket: WebSocketLimits {
            ping_interval: secs(25),
            ping_timeout: secs(20),
            ..WebSocketLimits::default()
        },
        ..mount(calm())
    };
    let (mut rig, script) = sio_with(Script::default(), Settings::default(), of);
    let (sid, mut client) = rig.socket();
    rig.pass(ms(25_500));
    assert_eq!(client.frame(&mut rig).head, 0x89);
    rig.pass(ms(20_500));
    assert_eq!(client.close_code(&mut rig), Some(1011));
    drop(client);
    rig.settle();
    assert!(script.closed().is_empty());
    rig.push(&sid, &["3:::x"]);
    assert_eq!(rig.poll(&sid), "3:::x");
    rig.over(&script, ());
}

/// A WebSocket that is too old, or idle, ends with its session; nobody has broken a rule.
#[test]
fn ages_of_websockets() {
    for (idle, old) in [(secs(10), secs(0)), (secs(0), secs(10))] {
        let of = with_websocket(WebSocketLimits {
            idle_timeout: idle,
            lifetime_max: old,
            ping_interval: Duration::ZERO,
            ..WebSocketLimits::default()
        });
        let (mut rig, script) = sio_with(Script::default(), Settings::default(), of);
        let (_, mut client) = rig.socket();
        rig.pass(ms(8500));
        client.silent(&mut rig);
        rig.pass(ms(3000));
        // Who is too old may come back.
        let last = if old.is_zero() { "0::" } else { "7:::1+0" };
        client.told(&mut rig, last);
        assert_eq!(causes(&script), [(0, Cause::Timeout)]);
        rig.over(&script, client);
    }
}

/// What JSON may be nested is no deeper in an acknowledgement than elsewhere.
#[test]
fn deep_acknowledgements() {
    let (mut rig, script) = sio(asking());
    let (_, mut client) = rig.socket();
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let cases = [
        (nested(127), true),
        (nested(128), false),
        (nested(129), false),
        ("[1e999]".to_owned(), false),
    ];
    for (n, (data, is_good)) in (1..).zip(&cases) {
        client.send("3:::x");
        client.text(&mut rig);
        script.taken();
        let before = rig.stats().protocol_errors;
        client.send(&format!("6:::{n}+{data}"));
        rig.settle();
        let errors = rig.stats().protocol_errors - before;
        match is_good {
            true => assert_eq!((script.taken(), errors), (vec![format!("x {data}")], 0)),
            false => {
                assert_eq!((script.taken(), errors), (vec![], 1), "{data}");
                // It is still waited for.
                client.send(&format!("6:::{n}+[1]"));
                rig.settle();
                assert_eq!(script.taken(), ["x [1]"]);
            }
        }
    }
    // What nobody waits for is not even read.
    let before = rig.stats().protocol_errors;
    client.send("6:::777+[1e999]");
    rig.settle();
    assert_eq!(rig.stats().protocol_errors, before);
    rig.over(&script, client);
}

/// A turn hands on so much of a POST, whatever is in it; what is left comes in the next ones, and another
/// POST has to wait for that.
#[test]
fn a_long_post_takes_turns() {
    let (mut rig, script) = sio_with(noting(), short_turns(), mount(calm()));
    let sid = rig.session();
    script.taken();
    let all: Vec<String> = (0..30).map(|n| n.to_string()).collect();
    let body: String = all.iter().map(|n| framed(&format!("3:::{n}"))).collect();
    let path = polls(&sid);
    let mut other = rig.raw();
    let (taken, answer) = rig.by_turns((&path, "", &body), &script, |_| {
        other.write(&http("POST", &path, "", b"3:::too early"));
    });
    assert_eq!(other.answer(&mut rig).status, 503);
    let want: Vec<String> = all.iter().map(|n| format!("text {n}")).collect();
    assert_eq!(taken, want);
    assert_eq!((answer.status, &*answer.text()), (200, "1"));
    assert_eq!(rig.stats().messages_in, 30);
    assert_eq!(rig.post(&sid, "3:::x"), 200);
    assert_eq!(script.taken(), ["text x"]);
    rig.over(&script, other);
}

/// What is left of a POST is lost with its session; it is answered.
#[test]
fn a_long_post_outlives_its_session() {
    let closing = Script {
        message: Box::new(|me, cx, message| {
            me.script.note(message.text().unwrap());
            if message.text() == Some("5") {
                cx.close();
            }
        }),
        ..Script::default()
    };
    let (mut rig, script) = sio_with(closing, short_turns(), mount(calm()));
    let sid = rig.session();
    let body: String = (0..30).map(|n| framed(&format!("3:::{n}"))).collect();
    let path = polls(&sid);
    let (taken, answer) = rig.by_turns((&path, "", &body), &script, |_| {});
    assert_eq!(taken, ["0", "1", "2", "3", "4", "5"]);
    assert_eq!(answer.status, 200);
    // The server ends it between two turns.
    let sid = rig.session();
    let id = script.id(1);
    let path = polls(&sid);
    let close = |rig: &mut Rig<World>| rig.server.with_app(|app| app.to(id).close()).unwrap();
    let (taken, answer) = rig.by_turns((&path, "", &body), &script, close);
    assert_eq!(taken.len(), 4);
    assert_eq!(answer.status, 200);
    rig.over(&script, ());
}

/// Over a conn that is there already: four fifths of the memory are taken.
#[test]
fn handshakes_when_memory_is_short() {
    let settings = Settings {
        buffers_max_bytes: 2 * MIB,
        ..Settings::default()
    };
    let (mut rig, script) = sio_with(Script::default(), settings, mount(calm()));
    let (one, _two) = (rig.session(), rig.session());
    let mut early = rig.raw();
    rig.settle();
    let shake = |rig: &mut Rig<World>, early: &mut Client| {
        early.write(&http("GET", SHAKE, "", b""));
        early.answer(rig)
    };
    // Just under it.
    rig.fill(script.id(0), 900_000);
    rig.fill(script.id(1), 700_000);
    assert_eq!(shake(&mut rig, &mut early).status, 200);
    rig.fill(script.id(1), 100_000);
    let answer = shake(&mut rig, &mut early);
    let retry = answer.field("Retry-After");
    assert_eq!((answer.status, retry), (503, Some("1")));
    assert_eq!(answer.text(), "handshake error");
    early.write(&http("GET", &format!("{SHAKE}?jsonp=0"), "", b""));
    let answer = early.answer(&mut rig).text();
    assert!(answer.starts_with("io.j[0](new Error("), "{answer}");
    assert_eq!(script.ids.borrow().len(), 3);
    let stats = rig.stats();
    assert_eq!((stats.handshakes_refused, stats.memory_closes), (2, 0));
    // Who is there is served on, and then there is room again.
    early.write(&http("GET", &polls(&one), "", b""));
    assert_eq!(early.answer(&mut rig).body.len(), 900_004);
    assert_eq!(shake(&mut rig, &mut early).status, 200);
    rig.over(&script, early);
}
