//! What has brought other servers down; after each of it another client is served.

use crate::support::*;
use dustdevil::{Origins, Settings, SocketIo, SocketIoSettings};
use std::rc::Rc;

/// Sends packets that are dropped without a word.
fn dropped(texts: &[&str]) {
    let (mut rig, script) = sio(noting());
    let (_, mut client) = rig.socket();
    script.taken();
    for text in texts {
        let before = rig.stats().protocol_errors;
        client.send(text);
        client.silent(&mut rig);
        assert_eq!(script.taken(), [""; 0], "{text}");
        assert_eq!(
            rig.stats().protocol_errors,
            before + 1,
            "{text} is not counted"
        );
    }
    client.send("3:::alive");
    rig.settle();
    assert_eq!(script.taken(), ["text alive"]);
    assert!(script.closed().is_empty());
    assert_eq!(rig.stats().panics, 0);
    rig.serves_another();
    rig.over(&script, client);
}

#[test]
fn event_names_that_are_no_text() {
    dropped(&[
        r#"5:::{"name":{"toString":"x"},"args":[1]}"#,
        r#"5:::{"name":{"toString":null,"length":1}}"#,
        r#"5:::{"name":["a"]}"#,
        r#"5:::{"name":5}"#,
        r#"5:::{"name":null}"#,
        r#"5:::{"name":true}"#,
        r#"5:::{"args":[1]}"#,
        r#"5:::{}"#,
        "5:::[]",
        "5:::null",
        "5:::",
    ]);
}

#[test]
fn arguments_that_are_no_list() {
    dropped(&[
        r#"5:::{"name":"a","args":5}"#,
        r#"5:::{"name":"a","args":{"length":9}}"#,
        r#"5:::{"name":"a","args":null}"#,
        r#"5:::{"name":"a","args":"x"}"#,
    ]);
}

/// Names of the libraries' own events.
#[test]
fn reserved_event_names() {
    dropped(&[
        r#"5:::{"name":"error","args":["x"]}"#,
        r#"5:::{"name":"connect"}"#,
        r#"5:::{"name":"disconnect"}"#,
        r#"5:::{"name":"\u0065rror"}"#,
    ]);
}

const BUILT_IN: [&str; 6] = [
    "__proto__",
    "constructor",
    "toString",
    "hasOwnProperty",
    "prototype",
    "valueOf",
];

/// Names of properties that all objects have in another language.
#[test]
fn built_in_names_as_events() {
    let (mut rig, script) = sio(noting());
    let (_, mut client) = rig.socket();
    script.taken();
    for name in BUILT_IN {
        client.send(&format!(
            r#"5:1+::{{"name":"{name}","args":[{{"{name}":{{}}}}]}}"#
        ));
        assert_eq!(client.text(&mut rig), "6:::1");
        let want = format!("event {name} {{\"{name}\":{{}}}}");
        assert_eq!(script.taken(), [want]);
    }
    rig.serves_another();
    rig.over(&script, client);
}

#[test]
fn built_in_names_as_sessions() {
    let (mut rig, script) = sio(Script::default());
    for name in BUILT_IN {
        assert_eq!(rig.poll(name), UNKNOWN);
        assert_eq!(rig.post(name, "3:::x"), 401);
        let mut client = rig.client(&sockets(name));
        client.told(&mut rig, UNKNOWN);
        let path = format!("/socket.io/1//{name}/?disconnect=1");
        assert_eq!(rig.ask("GET", &path, "", b"").status, 200);
    }
    rig.serves_another();
    rig.over(&script, ());
}

#[test]
fn built_in_names_as_endpoints() {
    let (mut rig, root, chat) = with_chat(noting(), noting(), calm());
    let (_, mut client) = rig.socket();
    root.taken();
    for name in BUILT_IN {
        for slash in ["", "/"] {
            client.send(&format!("1::{slash}{name}"));
            client.send(&format!("3::{slash}{name}:x"));
            client.send(&format!("5:1+:{slash}{name}:{{\"name\":\"a\"}}"));
            client.send(&format!("0::{slash}{name}"));
        }
    }
    client.silent(&mut rig);
    assert!(root.taken().is_empty() && chat.taken().is_empty());
    rig.serves_another();
    rig.over(&root, client);
}

/// And where an application takes any name.
#[test]
fn any_name_is_an_endpoint() {
    let (root, any) = (Rc::new(echo()), Rc::new(echo()));
    let inside = router(&any);
    let outside = router(&root).endpoint_fn(move |_, _| Some(inside.any()));
    let mut rig = serve(&outside, Settings::default(), mount(calm()));
    let (_, mut client) = rig.socket();
    for name in BUILT_IN.into_iter().chain(["/", "/é😀", "/a b\n", "x"]) {
        client.send(&format!("1::{name}"));
        assert_eq!(client.text(&mut rig), format!("1::{name}"));
        client.send(&format!("3::{name}:x"));
        assert_eq!(client.text(&mut rig), format!("3::{name}:x"));
    }
    rig.serves_another();
    rig.over(&root, client);
    assert_eq!(any.closed().len(), 10);
}

fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

#[test]
fn deep_json() {
    let (mut rig, script) = sio(Script {
        message: Box::new(|me, _, message| {
            // What was let through can be read without harm.
            let depth = message.bytes().len() / 2;
            let value = message.json::<serde_json::Value>();
            me.script.note(format!("{depth} {}", value.is_ok()));
        }),
        event: Box::new(|me, _, event| {
            let value = event.args.get::<serde_json::Value>(0);
            me.script.note(format!("event {}", value.is_ok()));
        }),
        ..Script::default()
    });
    let (sid, mut client) = rig.socket();
    // `serde_json` gives up one level earlier: that is the application's to see.
    client.send(&format!("4:::{}", nested(127)));
    client.send(&format!("4:::{}", nested(128)));
    client.send(&format!("4:::{}", nested(129)));
    rig.settle();
    let taken = script.taken();
    assert_eq!(taken.len(), 2, "{taken:?}");
    assert_eq!(taken[0], "127 true");
    assert!(taken[1].starts_with("128 "), "{taken:?}");
    // The object and the list are levels as well.
    client.send(&format!(
        "5:::{{\"name\":\"a\",\"args\":[{}]}}",
        nested(126)
    ));
    client.send(&format!(
        "5:::{{\"name\":\"a\",\"args\":[{}]}}",
        nested(127)
    ));
    rig.settle();
    assert_eq!(script.taken(), ["event true"]);
    assert_eq!(rig.stats().protocol_errors, 2);
    // As deep as a body can be, in lists, objects and half of either.
    for deep in [
        nested(500_000),
        "[".repeat(1_000_000),
        "{\"a\":".repeat(200_000),
    ] {
        assert_eq!(rig.post(&sid, &format!("4:::{deep}")), 200);
        assert_eq!(rig.post(&sid, &format!("6:::1+{deep}")), 200);
    }
    assert!(script.taken().is_empty());
    client.send("4:::[]");
    rig.settle();
    assert_eq!(script.taken(), ["1 true"]);
    rig.serves_another();
    rig.over(&script, client);
}

#[test]
fn huge_ids() {
    let (mut rig, script) = sio(noting());
    let (_, mut client) = rig.socket();
    script.taken();
    // The largest there is.
    client.send("3:4294967295::a");
    assert_eq!(client.text(&mut rig), "6:::4294967295");
    client.send("3:4294967295+::a");
    let got = client.text(&mut rig);
    assert!(got.starts_with("6:::4294967295"), "{got}");
    assert_eq!(script.taken(), ["text a", "text a"]);
    let long = "9".repeat(100_000);
    for id in [
        "4294967296",
        "18446744073709551616",
        "-1",
        "1e9",
        "0x1",
        &long,
    ] {
        client.send_long(&mut rig, &format!("3:{id}::a"));
        client.send_long(&mut rig, &format!("6:::{id}"));
        client.silent(&mut rig);
    }
    assert!(script.taken().is_empty());
    rig.serves_another();
    rig.over(&script, client);
}

impl Client {
    fn send_long(&mut self, rig: &mut Rig<World>, text: &str) {
        self.write_long(rig, &masked(0x81, text.as_bytes()));
    }
}

/// Lengths that no body has.
#[test]
fn huge_lengths() {
    let (mut rig, script) = sio(noting());
    let sid = rig.session();
    script.taken();
    for length in ["4294967296", "18446744073709551616", &"9".repeat(10_000)] {
        assert_eq!(
            rig.post(&sid, &format!("\u{fffd}{length}\u{fffd}3:::a")),
            200
        );
        assert_eq!(script.taken(), ["text a"]);
    }
    rig.serves_another();
    rig.over(&script, ());
}

#[test]
fn upgrades_with_an_unknown_transport() {
    let (mut rig, script) = sio(Script::default());
    let sid = rig.session();
    for name in ["nosuch", "__proto__", "constructor", "polling", ""] {
        for id in [&*sid, "nobody"] {
            let mut client = rig.raw();
            client.write(request(&format!("/socket.io/1/{name}/{id}"), "").as_bytes());
            let answer = client.answer(&mut rig);
            assert_eq!(answer.status, 400, "{name:?} {id}: {answer:?}");
        }
    }
    rig.serves_another();
    rig.over(&script, ());
}

/// At any byte of a request, of an upgrade that is refused as well, and right behind it.
#[test]
fn resets_during_the_handshake() {
    let of = SocketIo {
        origins: policy(Origins::Same),
        ..mount(calm())
    };
    let (mut rig, script) = sio_with(Script::default(), Settings::default(), of);
    let sid = rig.shake();
    let foreign = "Origin: http://other.test\r\n";
    let upgrade = request(&sockets(&sid), "");
    let nowhere = format!("/socket.io/1/nosuch/{sid}");
    #[rustfmt::skip]
    let requests = [
        (200, http("GET", &polls(&sid), "", b"")),
        (200, http("POST", &polls(&sid), PLAIN, b"3:::x")),
        (101, request(&sockets("nobody"), "").into_bytes()),
        (200, request(&polls(&sid), "").into_bytes()),
        (403, request(&sockets(&sid), foreign).into_bytes()),
        (426, upgrade.replace("Version: 13", "Version: 12").into_bytes()),
        (400, upgrade.replace("Key: ", "Key: !").into_bytes()),
        (400, request(&nowhere, "").into_bytes()),
        (101, upgrade.into_bytes()),
        // These make sessions.
        (200, http("GET", SHAKE, "", b"")),
    ];
    for (status, bytes) in &requests {
        let name = String::from_utf8_lossy(bytes);
        let mut client = rig.raw();
        client.write(bytes);
        let head = client.head(&mut rig);
        assert_eq!(head[9..12], status.to_string(), "{name}");
        client.reset();
        rig.resets_at_every_byte(bytes);
        let stats = rig.stats();
        assert_eq!((stats.conns_open, stats.websockets_open), (0, 0), "{name}");
        assert_eq!(stats.panics, 0, "{name}");
    }
    rig.serves_another();
    rig.over(&script, ());
}

/// Frames right behind the upgrade, before its answer: good ones, and ones that break a rule.
#[test]
fn frames_behind_the_upgrade() {
    for (frame, is_good) in [
        (masked(0x81, b"3:::x"), true),
        (masked(0xf1, b"3:::x"), false),
        (masked(0x83, b""), false),
        (b"\x81\x05hello".to_vec(), false),
    ] {
        let (mut rig, script) = sio(Script::default());
        let sid = rig.shake();
        let mut bytes = request(&sockets(&sid), "").into_bytes();
        bytes.extend_from_slice(&frame);
        let mut client = rig.raw();
        client.write(&bytes);
        assert!(client.head(&mut rig).starts_with("HTTP/1.1 101 "));
        if is_good {
            assert_eq!(client.text(&mut rig), "1::");
            assert_eq!(client.text(&mut rig), "3:::x");
        } else {
            let rest = client.frames(&mut rig);
            assert_eq!(rest.last().unwrap().code(), Some(1002), "{rest:?}");
        }
        assert_eq!(rig.stats().panics, 0);
        rig.serves_another();
        rig.over(&script, client);
    }
}

/// Behind an upgrade for a session that there is not.
#[test]
fn frames_for_nobody() {
    let (mut rig, script) = sio(noting());
    let mut bytes = request(&sockets("nobody"), "").into_bytes();
    for text in ["3:::x", "0::", "1::/chat"] {
        bytes.extend_from_slice(&masked(0x81, text.as_bytes()));
    }
    let mut client = rig.raw();
    client.write(&bytes);
    assert!(client.head(&mut rig).starts_with("HTTP/1.1 101 "));
    assert_eq!(client.text(&mut rig), UNKNOWN);
    assert_eq!(client.frame(&mut rig).head, 0x88);
    assert!(script.taken().is_empty());
    rig.serves_another();
    rig.over(&script, client);
}

/// A burst of handshakes that nobody uses.
#[test]
fn a_flood_of_handshakes() {
    let (mut rig, script) = sio_of(
        Script::default(),
        SocketIoSettings {
            sessions_max: 500,
            ..calm()
        },
    );
    let mut client = rig.raw();
    let mut refused = 0;
    for _ in 0..600 {
        client.write(&http("GET", SHAKE, "", b""));
        refused += u32::from(client.answer(&mut rig).status == 503);
    }
    assert_eq!(refused, 100);
    rig.pass(ms(30_500));
    rig.serves_another();
    rig.over(&script, client);
}

/// Line ends in what is echoed.
#[test]
fn header_injection() {
    let (mut rig, script) = sio(Script::default());
    let sid = rig.shake();
    for path in [
        format!("{SHAKE}?jsonp=0%0d%0aX-Bad:%201"),
        format!("/socket.io/1/jsonp-polling/{sid}?i=0%0d%0aX-Bad:%201"),
    ] {
        let answer = rig.ask("GET", &path, "Origin: http://a\tb\r\n", b"");
        assert_eq!(answer.field("X-Bad"), None, "{answer:?}");
        assert!(!answer.text().contains("X-Bad"));
    }
    rig.serves_another();
    rig.over(&script, ());
}

/// A half of a character that is none: legal JSON, which comes as U+FFFD (RFC 8259, 8.2).
#[test]
fn lone_surrogates() {
    let (mut rig, script) = sio(Script {
        message: Box::new(|me, _, message| {
            let text = message.json::<String>();
            me.script.note(format!("{:?}", text.ok()));
        }),
        event: Box::new(|me, _, event| {
            let text = event.args.get::<String>(0);
            me.script.note(format!("{} {:?}", event.name, text.ok()));
        }),
        ..Script::default()
    });
    let (_, mut client) = rig.socket();
    client.send(r#"5:::{"name":"a\udc00","args":["b\ud800c"]}"#);
    client.send(r#"4:::"\ud800""#);
    rig.settle();
    assert_eq!(
        script.taken(),
        ["a\u{fffd} Some(\"b\u{fffd}c\")", "Some(\"\u{fffd}\")"]
    );
    rig.over(&script, client);
}

/// The draft without a proof is answered, and with no 101.
#[test]
fn hixie_75() {
    let (mut rig, script) = sio(Script::default());
    let sid = rig.shake();
    let path = sockets(&sid);
    let mut client = rig.raw();
    let head = "Upgrade: WebSocket\r\nConnection: Upgrade\r\nOrigin: http://h\r\n\r\n";
    client.write(format!("GET {path} HTTP/1.1\r\nHost: h\r\n{head}").as_bytes());
    let answer = client.answer(&mut rig);
    assert!((400..500).contains(&answer.status), "{answer:?}");
    rig.serves_another();
    rig.over(&script, ());
}

/// What the application panics at on the way is its client's end, and nobody else's.
#[test]
fn panics_everywhere() {
    quiet_panics();
    let (mut rig, script) = sio(Script {
        event: Box::new(|_, cx, event| match event.name {
            "now" => panic!("{}", MEANT),
            "ack" => {
                cx.emit_ack("x", (), |_, _, _| panic!("{}", MEANT));
            }
            _ => {
                cx.after(secs(1), |_, _| panic!("{}", MEANT));
            }
        }),
        ..Script::default()
    });
    for name in ["now", "ack", "soon"] {
        let (_, mut client) = rig.socket();
        client.send(&format!("5:::{{\"name\":\"{name}\"}}"));
        if name == "ack" {
            assert_eq!(client.text(&mut rig), "5:1+::{\"name\":\"x\"}");
            client.send("6:::1");
        }
        rig.settle();
        rig.pass(ms(1100));
        client.told(&mut rig, "0::");
        assert_eq!(
            script.last_reason().cause,
            dustdevil::Cause::Error,
            "{name}"
        );
    }
    assert_eq!(rig.stats().panics, 3);
    rig.serves_another();
    rig.over(&script, ());
}

/// And a function that finds endpoints.
#[test]
fn a_panic_while_an_endpoint_is_looked_for() {
    quiet_panics();
    let root = Rc::new(Script::default());
    let router = router(&root).endpoint_fn(|_, _| panic!("{}", MEANT));
    let mut rig = serve(&router, Settings::default(), mount(calm()));
    let (_, mut client) = rig.socket();
    client.send("1::/chat");
    client.send("3:::x");
    assert_eq!(client.text(&mut rig), "3:::x");
    assert_eq!(rig.stats().panics, 1);
    rig.over(&root, client);
}

/// All that a session can hold, for one client after the other: nothing grows.
#[test]
fn the_same_client_over_and_over() {
    let (mut rig, root, chat) = with_chat(noting(), noting(), calm());
    let mut client = rig.raw();
    for _ in 0..200 {
        client.write(&http("GET", SHAKE, "", b""));
        let sid = sid_of(&client.answer(&mut rig).text());
        let body = payload(&["1::/chat", "3:1:/chat:x", "garbage", "0::"]);
        client.write(&http("POST", &polls(&sid), PLAIN, body.as_bytes()));
        assert_eq!(client.answer(&mut rig).text(), "1");
        client.write(&http("GET", &polls(&sid), "", b""));
        assert_eq!(client.answer(&mut rig).text(), UNKNOWN);
    }
    let stats = rig.stats();
    assert_eq!((stats.sessions_open, stats.sessions_peak), (0, 1));
    assert_eq!((stats.connections_open, stats.bytes_queued), (0, 0));
    assert_eq!((root.closed().len(), chat.closed().len()), (200, 200));
    rig.over(&root, client);
}
