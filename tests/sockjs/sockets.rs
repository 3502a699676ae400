//! The two WebSockets of a mount: with frames of SockJS in its messages, and the raw one.

use crate::support::*;
use dustdevil::{Cause, Sent, Settings, SockJs, SockJsSettings, WebSocketLimits};

/// Notes what comes and echoes it.
fn echoing() -> Script {
    Script {
        message: Box::new(|me, cx, message| {
            me.script.note(message.text().unwrap_or("binary"));
            cx.send(message);
        }),
        ..Script::default()
    }
}

/// What a client may send, and what comes of it.
#[test]
fn messages() {
    let (mut rig, script) = sockjs(echoing());
    let mut client = rig.client("/s/0/x/websocket");
    assert_eq!(client.text(&mut rig), "o");
    #[rustfmt::skip]
    let cases: &[(&str, &[&str], &[&str])] = &[
        ("",                    &[],            &[]),
        ("[]",                  &[],            &[]),
        (" [ ] ",               &[],            &[]),
        ("[\"a\"]",             &["a"],         &["a[\"a\"]"]),
        ("\"b\"",               &["b"],         &["a[\"b\"]"]),
        ("[\"a\",\"\\u2028\"]", &["a", "\u{2028}"], &["a[\"a\"]", "a[\"\\u2028\"]"]),
        ("[1,{}]",              &["1", "{}"],   &["a[\"1\"]", "a[\"{}\"]"]),
        ("\"\\ud83d\\ude00\"",  &["\u{1f600}"], &["a[\"\\ud83d\\ude00\"]"]),
    ];
    for &(text, messages, frames) in cases {
        client.send(text);
        assert_eq!(client.texts(&mut rig), frames, "{text}");
        assert_eq!(script.taken(), messages, "{text}");
    }
    let stats = rig.stats();
    assert_eq!((stats.sessions_open, stats.transports.websocket), (0, 1));
    assert_eq!((stats.messages_in, stats.messages_out), (7, 7));
    rig.over(&script, client);
    assert_eq!(script.last_reason().cause, Cause::Lost);
}

#[test]
fn broken_framing() {
    for text in [
        "x",
        "{}",
        "1",
        "null",
        "[\"a\"",
        "\"a",
        "[\"a\"]]",
        "['a']",
        "[\"a\n\"]",
    ] {
        let (mut rig, script) = sockjs(echoing());
        let mut client = rig.client("/s/0/x/websocket");
        client.send("[\"good\"]");
        client.send(text);
        client.send("[\"late\"]");
        let frames = client.frames(&mut rig);
        assert_eq!(frames.len(), 3, "{text}");
        assert_eq!(frames[1].text(), "a[\"good\"]");
        assert_eq!(
            (frames[2].code(), frames[2].reason()),
            (Some(3000), "Broken framing."),
            "{text}"
        );
        assert_eq!(script.taken(), ["good"]);
        let why = script.last_reason();
        assert_eq!(
            (why.cause, why.code, why.clean),
            (Cause::Protocol, 3000, false)
        );
        client.write(&closing(3000, ""));
        assert_eq!(client.rest(&mut rig), b"");
        rig.over(&script, client);
        assert_eq!(rig.stats().protocol_errors, 1);
    }
}

#[test]
fn deep_json() {
    let (mut rig, script) = sockjs(echoing());
    for (levels, good) in [(128, true), (129, false), (100_000, false)] {
        let mut client = rig.client("/s/0/x/websocket");
        client.text(&mut rig);
        let text = "[".repeat(levels) + &"]".repeat(levels);
        client.write_long(&mut rig, &masked(0x81, text.as_bytes()));
        let frame = client.frame(&mut rig);
        match good {
            true => assert!(frame.text().starts_with("a[\"[[[")),
            false => assert_eq!(frame.code(), Some(3000), "{levels}"),
        }
    }
    rig.over(&script, ());
}

/// A frame of SockJS is text.
#[test]
fn binary_messages_are_refused() {
    let (mut rig, script) = sockjs(echoing());
    let mut client = rig.client("/s/0/x/websocket");
    client.text(&mut rig);
    client.write(&masked(0x82, b"[\"a\"]"));
    assert_eq!(client.close_code(&mut rig), Some(1003));
    assert!(script.taken().is_empty());
    rig.over(&script, client);
}

#[test]
fn heartbeats() {
    let of = SockJs {
        settings: SockJsSettings {
            heartbeat_delay: secs(10),
            ..SockJsSettings::default()
        },
        websocket: WebSocketLimits {
            ping_interval: secs(0),
            ..WebSocketLimits::default()
        },
        ..SockJs::default()
    };
    let (mut rig, script) = sockjs_with(echoing(), Settings::default(), of);
    let mut client = rig.client("/s/0/x/websocket");
    let mut raw = rig.client("/s/websocket");
    assert_eq!(client.text(&mut rig), "o");
    rig.pass(ms(9500));
    client.silent(&mut rig);
    rig.pass(ms(1000));
    assert_eq!(client.texts(&mut rig), ["h"]);
    // Messages do not put it off.
    rig.pass(secs(5));
    client.send("\"a\"");
    assert_eq!(client.texts(&mut rig), ["a[\"a\"]"]);
    rig.pass(secs(5));
    assert_eq!(client.texts(&mut rig), ["h"]);
    rig.pass(secs(30));
    assert_eq!(client.texts(&mut rig), ["h", "h", "h"]);
    raw.silent(&mut rig);
    // None follows a close.
    client.write(&closing(1000, ""));
    assert_eq!(client.close_code(&mut rig), Some(1000));
    assert_eq!(client.rest(&mut rig), b"");
    rig.over(&script, (client, raw));
}

/// Pings of the WebSocket come beside them, and find the dead.
#[test]
fn a_silent_peer_is_dropped() {
    let (mut rig, script) = sockjs(echoing());
    let mut client = rig.client("/s/0/x/websocket");
    client.text(&mut rig);
    rig.pass(secs(26));
    let mut heads: Vec<u8> = client
        .frames(&mut rig)
        .iter()
        .map(|frame| frame.head)
        .collect();
    heads.sort_unstable();
    assert_eq!(heads, [0x81, 0x89]);
    rig.pass(secs(20));
    assert_eq!(script.last_reason().cause, Cause::Timeout);
    rig.over(&script, client);
}

/// Our close: the frame of SockJS, then that of the WebSocket, then the end of the conn.
#[test]
fn we_close() {
    #[rustfmt::skip]
    let cases = [
        ("\"plain\"", "c[1000,\"Normal closure\"]"),
        ("\"with\"",  "c[3000,\"Go away!\"]"),
    ];
    for (text, frame) in cases {
        let (mut rig, script) = sockjs(Script {
            message: Box::new(|_, cx, message| match message.text().unwrap() {
                "plain" => cx.close(),
                _ => cx.close_with(3000, "Go away!"),
            }),
            ..Script::default()
        });
        let mut client = rig.client("/s/0/x/websocket");
        client.send(text);
        assert_eq!(client.text(&mut rig), "o");
        assert_eq!(client.text(&mut rig), frame);
        let end = client.frame(&mut rig);
        assert_eq!((end.code(), end.reason()), (Some(1000), "Normal closure"));
        assert_eq!(script.last_reason().cause, Cause::Server);
        client.write(&closing(1000, ""));
        assert_eq!(client.rest(&mut rig), b"");
        // The close frame is no message.
        assert_eq!(rig.stats().messages_out, 0);
        rig.over(&script, client);
        assert_eq!(script.closed(), [0]);
    }
}

#[test]
fn the_client_closes() {
    for (payload, code) in [(&b"\x03\xe8bye"[..], 1000), (&b""[..], 1005)] {
        for path in ["/s/0/x/websocket", "/s/websocket"] {
            let (mut rig, script) = sockjs(echoing());
            let mut client = rig.client(path);
            client.write(&masked(0x88, payload));
            let frames = client.frames(&mut rig);
            // It comes back with code and reason.
            assert_eq!(frames.last().unwrap().payload, payload);
            let why = script.last_reason();
            assert_eq!(
                (why.cause, why.code, why.clean),
                (Cause::Client, code, true)
            );
            assert_eq!(client.rest(&mut rig), b"");
            rig.over(&script, client);
        }
    }
}

/// An id names nothing here: two may have the same, and a session of polls too.
#[test]
fn ids_mean_nothing() {
    let (mut rig, script) = sockjs(echoing());
    let mut first = rig.client("/s/0/x/websocket");
    let mut second = rig.client("/s/0/x/websocket");
    assert_eq!(rig.post("x", "[]"), 404);
    assert_eq!(rig.poll("x"), "o\n");
    second.send("\"a\"");
    assert_eq!(second.texts(&mut rig), ["o", "a[\"a\"]"]);
    assert_eq!(first.texts(&mut rig), ["o"]);
    drop(first);
    rig.settle();
    second.send("\"b\"");
    assert_eq!(second.texts(&mut rig), ["a[\"b\"]"]);
    rig.over(&script, second);
    assert_eq!(script.ids.borrow().len(), 3);
}

/// The raw WebSocket.
#[test]
fn raw() {
    let (mut rig, script) = sockjs(Script {
        message: Box::new(|me, cx, message| {
            assert_eq!(cx.transport().name(), "rawwebsocket");
            if message.text() == Some("close") {
                return cx.close_with(3000, "Go away!");
            }
            me.script.note(format!("{:?}", message.kind()));
            assert_eq!(cx.send(message), Sent::Queued);
        }),
        ..Script::default()
    });
    let mut client = rig.client("/s/websocket");
    client.silent(&mut rig);
    for text in ["a", "[\"a\"]", "{", ""] {
        client.send(text);
        assert_eq!(client.text(&mut rig), text);
    }
    client.write(&masked(0x82, b"\xff\0"));
    let frame = client.frame(&mut rig);
    assert_eq!((frame.head, &*frame.payload), (0x82, &b"\xff\0"[..]));
    assert_eq!(rig.stats().transports.rawwebsocket, 1);
    rig.pass(secs(20));
    client.silent(&mut rig);
    client.send("close");
    let frame = client.frame(&mut rig);
    assert_eq!((frame.code(), frame.reason()), (Some(3000), "Go away!"));
    rig.over(&script, client);
}

#[test]
fn refused_upgrades() {
    let can = "Can \"Upgrade\" only to \"WebSocket\".";
    let (mut rig, script) = sockjs(echoing());
    let good = request("/s/0/x/websocket", "");
    #[rustfmt::skip]
    let cases = [
        (good.replace("Upgrade: websocket\r\n", ""),             400, can),
        (good.replace("Upgrade: websocket", "Upgrade: h2c"),     400, can),
        (good.replace("Connection: Upgrade", "Connection: x"),   400, ""),
        (good.replace("Version: 13", "Version: 12"),             426, ""),
        (good.replace(KEY, "short"),                             400, ""),
    ];
    for (text, status, body) in cases {
        let mut client = rig.raw();
        client.write(text.as_bytes());
        let answer = client.answer(&mut rig);
        assert_eq!(answer.status, status, "{text}");
        assert!(answer.text().contains(body), "{text}: {}", answer.text());
        assert_eq!(client.rest(&mut rig), b"");
    }
    for version in ["7", "8", "13"] {
        let text = good.replace("Version: 13", &format!("Version: {version}"));
        let mut client = rig.raw();
        client.write(text.as_bytes());
        assert!(
            client.head(&mut rig).starts_with("HTTP/1.1 101 "),
            "{version}"
        );
    }
    rig.over(&script, ());
}

/// Whoever does not read is told why it was closed, once it reads.
#[test]
fn a_slow_consumer() {
    let script = Script {
        message: Box::new(|me, cx, _| {
            let mut sent = Vec::new();
            while sent.last() != Some(&Sent::Gone) {
                sent.push(cx.send("x".repeat(15_000)));
            }
            me.script.note(format!("{sent:?}"));
        }),
        ..Script::default()
    };
    let settings = Settings {
        write_low_bytes: 1_000,
        write_high_bytes: 20_000,
        write_max_bytes: 40_000,
        ..Settings::default()
    };
    let (mut rig, script) = sockjs_with(script, settings, SockJs::default());
    let mut client = rig.client("/s/0/x/websocket");
    assert_eq!(client.text(&mut rig), "o");
    client.send("\"a\"");
    for _ in 0..3 {
        assert_eq!(client.text(&mut rig).len(), 15_005);
    }
    assert_eq!(client.text(&mut rig), "c[1013,\"slow consumer\"]");
    assert_eq!(client.close_code(&mut rig), Some(1000));
    assert_eq!(script.taken(), ["[Queued, Full, Full, Gone]"]);
    assert_eq!(script.last_reason().cause, Cause::Overflow);
    rig.over(&script, client);
}
