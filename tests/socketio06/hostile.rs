//! Peers that mean harm, or break in the middle of something.

use crate::support::*;
use dustdevil::{Cause, Reject, Settings, SocketIo, SocketIo06Settings, Transport};

/// The head of hixie-76, without its nonce.
pub(crate) fn old_head() -> String {
    format!(
        "GET {MOUNT}/websocket HTTP/1.1\r\nHost: a\r\nUpgrade: WebSocket\r\n\
         Connection: Upgrade\r\nOrigin: http://a\r\n\
         Sec-WebSocket-Key1: 18x 6]8vM;54 *(5:  {{   U1]8  z [  8\r\n\
         Sec-WebSocket-Key2: 1_ tx7X d  <  nw  334J702) 7]o}}` 0\r\n\r\n"
    )
}

const NONCE: &str = "Tm[K T2u";

/// Everything that a client begins with.
pub(crate) fn beginnings(sid: &str) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for transport in REQUESTS {
        all.push(http("GET", &first(transport, MOUNT), "", b""));
        all.push(http("GET", &later(transport, sid), "", b""));
        all.push(http("POST", &sends(transport, sid), FORM, b"data=~m~1~m~x"));
    }
    let message = masked(0x81, b"~m~1~m~x");
    let socket = request(&first(Transport::WebSocket, MOUNT), "");
    all.push([socket.as_bytes(), &message].concat());
    all.push([(old_head() + NONCE).as_bytes(), b"\0~m~1~m~x\xff\xff\0"].concat());
    all
}

#[test]
fn resets_at_any_moment() {
    let (mut rig, script) = sio(Script::default());
    let peer = rig.peer(Transport::XhrPolling);
    for bytes in beginnings(&peer.sid) {
        let all = bytes.len();
        for cut in [1, all / 2, all - 12, all - 5, all - 1, all] {
            for seen in [true, false] {
                let mut client = rig.raw();
                client.write(&bytes[..cut]);
                if seen {
                    rig.turn();
                }
                client.reset();
                rig.settle();
            }
        }
    }
    assert_eq!(rig.stats().panics, 0);
    for transport in ALL {
        rig.serves(transport);
    }
    rig.over(&script, peer);
}

/// Who keeps something back is given up, and the others are served until then.
#[test]
fn withheld_parts() {
    let of = SocketIo06Settings {
        heartbeats_missed_max: 2,
        ..SocketIo06Settings::default()
    };
    let (mut rig, script) = sio_with(Script::default(), Settings::default(), old(of));
    let sid = rig.peer(Transport::XhrPolling).sid;
    let mut held = Vec::new();
    for bytes in beginnings(&sid) {
        let all = bytes.len();
        // The last two are in the middle of a message.
        for cut in [1, all / 2, all - 12, all - 6] {
            let mut client = rig.raw();
            client.write(&bytes[..cut]);
            held.push(client);
        }
    }
    rig.settle();
    assert_eq!(rig.stats().conns_open, held.len() as u64);
    for transport in ALL {
        rig.serves(transport);
    }
    rig.pass(secs(110));
    assert_eq!(rig.stats().conns_open, 0);
    rig.over(&script, held);
}

#[test]
fn built_in_names_as_sessions() {
    let (mut rig, script) = sio(Script::default());
    for sid in [
        "__proto__",
        "constructor",
        "toString",
        "..",
        ".",
        "%00",
        "%2e%2e",
    ] {
        let is_id = sid.bytes().all(|b| b.is_ascii_alphanumeric());
        let want = if is_id { 401 } else { 404 };
        for transport in ALL {
            let mut client = rig.knock(transport, &later(transport, sid), "");
            let status = client.answer(&mut rig).status;
            assert_eq!(status, want, "{transport:?} {sid}");
        }
        for transport in REQUESTS {
            let path = sends(transport, sid);
            let answer = rig.ask("POST", &path, FORM, b"data=~m~1~m~x");
            assert_eq!(answer.status, want, "{transport:?} {sid}");
        }
    }
    assert_eq!(rig.stats().sessions_open, 0);
    rig.serves(Transport::XhrPolling);
    rig.over(&script, ());
}

#[test]
fn deep_json() {
    let nested = |depth| format!("~j~{}{}", "[".repeat(depth), "]".repeat(depth));
    for transport in ALL {
        let (mut rig, script) = sio(noting());
        let mut peer = rig.peer(transport);
        script.taken();
        peer.say(&mut rig, &[&nested(128), &nested(129), "x"]);
        let taken = script.taken();
        assert_eq!(taken.len(), 2, "{transport:?} {taken:?}");
        assert_eq!(taken[1], "text x", "{transport:?}");
        if SOCKETS.contains(&transport) {
            rig.over(&script, peer);
            continue;
        }
        // As deep as a body can be, and half of it.
        let deepest = [
            "[".repeat(900_000),
            "{\"a\":".repeat(180_000),
            nested(450_000),
        ];
        for deep in deepest {
            let body = format!("data={}{}", framed(&format!("~j~{deep}")), framed("y"));
            assert_eq!(peer.post(&mut rig, &body).status, 200);
            assert_eq!(script.taken(), ["text y"], "{transport:?}");
        }
        assert!(script.closed().is_empty());
        rig.over(&script, peer);
    }
}

/// Right behind an upgrade, before its answer: frames that break a rule.
#[test]
fn frames_behind_the_upgrade() {
    for frame in [
        masked(0xf1, b"x"),
        masked(0x83, b""),
        b"\x81\x05hello".to_vec(),
    ] {
        let (mut rig, script) = sio(Script::default());
        let mut client = rig.raw();
        let head = request(&first(Transport::WebSocket, MOUNT), "");
        client.write(&[head.as_bytes(), &frame].concat());
        assert!(client.head(&mut rig).starts_with("HTTP/1.1 101 "));
        let rest = client.frames(&mut rig);
        assert_eq!(rest.last().unwrap().code(), Some(1002), "{rest:?}");
        rig.serves(Transport::WebSocket);
        rig.over(&script, client);
    }
    for frame in [
        &b"\x80\x05hello"[..],
        b"\xff\x01",
        b"\0\xed\xa0\x80\xff",
        b"x",
    ] {
        let (mut rig, script) = sio(Script::default());
        let mut client = rig.raw();
        client.write(&[(old_head() + NONCE).as_bytes(), frame].concat());
        let all = client.rest(&mut rig);
        assert!(all.starts_with(b"HTTP/1.1 101 "), "{frame:?}");
        rig.serves(Transport::WebSocket);
        rig.over(&script, client);
    }
}

/// A request stays one, whatever it would like to be.
#[test]
fn upgrades_of_requests() {
    for transport in REQUESTS {
        let (mut rig, script) = sio(Script::default());
        for head in [request(&first(transport, MOUNT), ""), {
            let path = first(transport, MOUNT);
            old_head().replace(&format!("{MOUNT}/websocket"), &path)
        }] {
            let mut client = rig.raw();
            client.write(head.as_bytes());
            let head = client.head(&mut rig);
            assert!(head.starts_with("HTTP/1.1 200 "), "{transport:?} {head}");
        }
        rig.serves(transport);
        rig.over(&script, ());
    }
}

/// A WebSocket of hixie-76 whose client does not read.
#[test]
fn output_that_an_old_websocket_does_not_read() {
    let (mut rig, script) = sio(Script::default());
    let mut client = rig.raw();
    client.write((old_head() + NONCE).as_bytes());
    rig.settle();
    let id = script.id(0);
    let most = rig.sends_until_cut(id);
    assert!(most <= (2 << 20) + 300_000, "{most}");
    assert_eq!(causes(&script), [(0, Cause::Overflow)]);
    rig.serves(Transport::WebSocket);
    rig.over_after(secs(90), &script, client);
}

/// Names of transports that there are not, whatever would be made of them; polls know no upgrade.
#[test]
fn upgrades_with_an_unknown_transport() {
    let (mut rig, script) = sio(Script::default());
    let sid = rig.peer(Transport::XhrPolling).sid;
    for name in [
        "nosuch",
        "polling",
        "WebSocket",
        "websocket2",
        "__proto__",
        "constructor",
        "",
        "%77ebsocket",
    ] {
        for tail in ["", "/", "//1290000000000", &format!("/{sid}"), "/nobody"] {
            let path = format!("{MOUNT}/{name}{tail}");
            // The page that says who is there.
            if name.is_empty() && tail.is_empty() {
                continue;
            }
            let old = old_head().replace(&format!("{MOUNT}/websocket"), &path);
            for head in [request(&path, ""), old] {
                let mut client = rig.raw();
                client.write(head.as_bytes());
                let answer = client.answer(&mut rig);
                assert_eq!(answer.status, 404, "{path}: {answer:?}");
                assert_eq!(client.rest(&mut rig), b"", "{path}");
            }
        }
    }
    for transport in REQUESTS {
        for (id, status) in [("nobody", "401"), (&*sid, "200")] {
            let mut client = rig.raw();
            client.write(request(&later(transport, id), "").as_bytes());
            // Something to be said to whoever asks.
            rig.settle();
            let connection = script.id(0);
            rig.server
                .with_app(|app| app.to(connection).send("x"))
                .unwrap();
            let head = client.head(&mut rig);
            assert_eq!(&head[9..12], status, "{transport:?} {id}");
        }
    }
    assert_eq!(script.ids.borrow().len(), 1);
    for transport in ALL {
        rig.serves(transport);
    }
    rig.over(&script, ());
}

/// At any byte of an upgrade that is refused, and right behind it.
#[test]
fn resets_during_a_refused_upgrade() {
    let of = SocketIo {
        settings: calm(),
        ..SocketIo::default()
    };
    let refusing = Script {
        open: Box::new(|_, _, _| Err(Reject::status(403).body("no"))),
        ..Script::default()
    };
    let (mut rig, script) = sio_with(refusing, Settings::default(), of);
    let path = first(Transport::WebSocket, MOUNT);
    let foreign = "Origin: http://other.test\r\n";
    #[rustfmt::skip]
    let cases = [
        ("the application",     request(&path, ""),                                         403),
        ("flashsocket",         request(&first(Transport::FlashSocket, MOUNT), ""),         403),
        ("hixie-76",            old_head() + NONCE,                                         403),
        ("origin",              request(&path, foreign),                                    403),
        ("an old one's origin", old_head().replace("http://a", "http://other.test"),        403),
        ("version",             request(&path, "").replace("Version: 13", "Version: 12"),   426),
        ("no such session",     request(&later(Transport::WebSocket, "nobody"), ""),        401),
        ("no such transport",   request(&format!("{MOUNT}/nosuch"), ""),                    404),
    ];
    for (name, bytes, status) in cases {
        let bytes = bytes.as_bytes();
        let mut client = rig.raw();
        client.write(bytes);
        assert_eq!(client.answer(&mut rig).status, status, "{name}");
        drop(client);
        rig.resets_at_every_byte(bytes);
        let stats = rig.stats();
        assert_eq!((stats.conns_open, stats.sessions_open), (0, 0), "{name}");
        assert_eq!((stats.websockets_open, stats.panics), (0, 0), "{name}");
    }
    assert!(script.closed().is_empty());
    rig.over(&script, ());
}
