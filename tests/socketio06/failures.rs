//! Published failures of servers of this family that concern Socket.IO 0.6, and where each is tested. Those of
//! WebSocket, of its old drafts and of the policy of Flash have a table of their own beside the tests of plain
//! WebSocket.
//!
//! | failure | test |
//! | --- | --- |
//! | engine.io CVE-2022-21676, RSV bits right behind the upgrade | `hostile::frames_behind_the_upgrade` |
//! | engine.io CVE-2022-41940, reset during a refused upgrade | `hostile::resets_during_a_refused_upgrade` |
//! | engine.io CVE-2023-31125, upgrade with an unknown transport | `hostile::upgrades_with_an_unknown_transport` |
//! | engine.io CVE-2020-36048, bodies without a limit | `limits::bodies`, `limits::bodies_in_chunks`, [`bodies_by_default`] |
//! | engine.io CVE-2026-59725, a type of body that is not answered | [`bodies_of_any_type`] |
//! | socket.io CVE-2020-28481, every origin allowed | `refused::pages_of_the_same_host_by_default`, `refused::jsonp_where_origins_are_restricted` |
//! | socket.io CVE-2017-16031, ids that can be guessed | [`ids_are_long_and_all_different`] |
//! | socket.io-parser CVE-2020-36049, quadratic reading of large payloads | [`large_payloads`] |
//! | python-engineio GHSA-cgwc-pv48-fhj5, a task for each unasked pong | [`unasked_heartbeats_start_nothing`] |
//! | sockjs CVE-2020-7693, upgrade on the wrong endpoint | `hostile::upgrades_of_requests` |
//! | ws CVE-2016-10542, no size limit | `limits::message_bytes_max` |
//! | ws CVE-2024-37890, more headers than are kept | [`more_headers_than_are_kept`] |
//! | ws CVE-2026-48779, tiny fragments cost an object each | [`tiny_fragments_are_one_message`], `limits::floods` |
//! | Tornado CVE-2025-67724, CR LF in what is echoed | [`header_injection`] |
//! | ws-rs RUSTSEC-2020-0043, outgoing buffer without bound | `limits::output_that_nobody_takes`, `hostile::output_that_an_old_websocket_does_not_read` |
//! | rust-websocket RUSTSEC-2022-0035, buffer by the claimed length | `limits::broken_payloads` |
//! | rustls RUSTSEC-2024-0336, a close at the wrong moment spins | [`a_close_at_any_moment_does_not_spin`] |
//! | deep JSON | `hostile::deep_json` |
//! | large bodies stop the loop | `limits::a_long_post_takes_turns`, `limits::a_long_message_takes_turns` |
//! | errors nobody catches | `life::by_a_panic`, `refused::by_a_panic`, `extra::a_panic_in_it` |
//! | slowloris, slow body, silent connections | `hostile::withheld_parts` |
//! | slow read | `limits::a_stream_that_takes_nothing` |
//! | reset storms, half-close | `hostile::resets_at_any_moment`, `life::half_closed` |
//! | pipelining unread | [`pipelined_and_unread`] |
//! | SIGSTOP, pauses, VM moves | `life::a_turn_that_comes_late` |
//! | Rosetta Flash | `transports::jsonp_indexes` |
//! | htmlfile break-out | `transports::escapes` |
//! | cross-site WebSocket hijacking | `refused::by_the_origin`, `refused::pages_of_the_same_host_by_default` |

use crate::hostile::{beginnings, old_head};
use crate::support::*;
use dustdevil::Transport;
use std::collections::HashSet;
use std::time::Instant;

/// A limit that nobody has set is there all the same.
#[test]
fn bodies_by_default() {
    for transport in REQUESTS {
        let (mut rig, script) = sio(noting());
        let mut peer = rig.peer(transport);
        script.taken();
        let text = "x".repeat((1 << 20) - "data=~m~1048559~m~".len());
        let just = format!("data={}", framed(&text));
        assert_eq!(just.len(), 1 << 20);
        assert_eq!(peer.post(&mut rig, &just).status, 200, "{transport:?}");
        assert_eq!(script.taken().len(), 1);
        assert_eq!(peer.post(&mut rig, &format!("{just}x")).status, 413);
        // The claim is enough.
        let mut client = rig.raw();
        let path = sends(transport, &peer.sid);
        let head = format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\n");
        client.write(head.as_bytes());
        assert_eq!(client.answer(&mut rig).status, 413);
        assert!(script.taken().is_empty() && script.closed().is_empty());
        peer.say(&mut rig, &["x"]);
        assert_eq!(script.taken(), ["text x"]);
        rig.over(&script, (peer, client));
    }
}

/// Each is answered, and its messages are handed on.
#[test]
fn bodies_of_any_type() {
    for transport in REQUESTS {
        let (mut rig, script) = sio(noting());
        let peer = rig.peer(transport);
        script.taken();
        let mut client = rig.raw();
        for kind in [
            "application/octet-stream",
            "application/json",
            "multipart/form-data; boundary=x",
            "nonsense",
            "",
        ] {
            let lines = format!("Content-Type: {kind}\r\n");
            let path = sends(transport, &peer.sid);
            client.write(&http("POST", &path, &lines, b"data=~m~1~m~x"));
            let answer = client.answer(&mut rig);
            assert_eq!((answer.status, &*answer.text()), (200, "ok"), "{kind}");
            assert_eq!(script.taken(), ["text x"], "{transport:?} {kind}");
        }
        rig.over(&script, (peer, client));
    }
}

/// No position has the same character everywhere.
#[test]
fn ids_are_long_and_all_different() {
    let (mut rig, script) = sio(Script::default());
    let mut ids = HashSet::new();
    let mut client = rig.raw();
    for _ in 0..300 {
        let path = first(Transport::XhrPolling, MOUNT);
        client.write(&http("GET", &path, "", b""));
        let sid = unframed(&client.answer(&mut rig).text()).remove(0);
        assert_is_id(&sid);
        assert!(ids.insert(sid));
    }
    assert_spread(&ids);
    rig.over(&script, client);
}

/// The smallest messages and the longest one, good and broken: no body takes long.
#[test]
fn large_payloads() {
    for transport in REQUESTS {
        let (mut rig, script) = sio(noting());
        let mut peer = rig.peer(transport);
        #[rustfmt::skip]
        let cases = [
            ("the smallest",       framed("").repeat(10_000),                        200, 10_000),
            ("one too many",       framed("").repeat(10_001),                        400, 0),
            ("the longest",        framed(&"é\n".repeat(150_000)),                   200, 1),
            ("long JSON",          framed(&format!("~j~\"{}\"", "\\\\".repeat(150_000))), 200, 1),
            ("far too long heads", "~m~999999~m~\r\n".repeat(20_000),                200, 1),
            ("heads alone",        "~m~1".repeat(90_000),                            400, 0),
            ("no head",            "%0D%0A".repeat(90_000),                          200, 0),
        ];
        for (name, payload, status, count) in cases {
            script.taken();
            let began = Instant::now();
            let answer = peer.post(&mut rig, &format!("data={payload}"));
            let got = (answer.status, script.taken().len());
            assert_eq!(got, (status, count), "{transport:?} {name}");
            let took = began.elapsed();
            assert!(took < secs(5), "{transport:?} {name}: {took:?}");
        }
        assert!(script.closed().is_empty());
        rig.over(&script, peer);
    }
}

/// As many as one likes: the next one of ours is due as if one had come.
#[test]
fn unasked_heartbeats_start_nothing() {
    for transport in STREAMS.into_iter().chain(SOCKETS) {
        let (mut rig, script) = sio(noting());
        let mut peer = rig.peer(transport);
        peer.silent(&mut rig);
        script.taken();
        for _ in 0..20 {
            peer.say(&mut rig, &["~h~1"; 500]);
        }
        peer.silent(&mut rig);
        let heard = peer.listen(&mut rig, 26);
        let texts: Vec<&str> = heard.iter().map(|(_, text)| &**text).collect();
        assert_eq!(texts, ["~h~1", "~h~2"], "{transport:?}");
        assert!(script.taken().is_empty() && script.closed().is_empty());
        assert_eq!(rig.stats().protocol_errors, 0);
        rig.over(&script, peer);
    }
}

/// With the upgrade among the last of them; in the heads of the old draft, too.
#[test]
fn more_headers_than_are_kept() {
    let (mut rig, script) = sio(Script::default());
    let upgrade = request(&first(Transport::WebSocket, MOUNT), "");
    for head in [upgrade, old_head()] {
        rig.more_headers_than_are_kept(&head);
    }
    rig.serves(Transport::WebSocket);
    rig.over(&script, ());
}

/// A byte each, and some of none.
#[test]
fn tiny_fragments_are_one_message() {
    for transport in SOCKETS {
        let (mut rig, script) = sio(noting());
        let mut peer = rig.peer(transport);
        script.taken();
        let text = "x".repeat(500);
        let mut bytes = masked(0x01, b"");
        for byte in framed(&text).as_bytes() {
            bytes.extend(masked(0x00, &[*byte]));
            bytes.extend(masked(0x00, b""));
        }
        bytes.extend(masked(0x80, b""));
        peer.receiver().write_long(&mut rig, &bytes);
        rig.settle();
        assert_eq!(script.taken(), [format!("text {text}")], "{transport:?}");
        rig.over(&script, peer);
    }
}

/// Line ends in what is echoed.
#[test]
fn header_injection() {
    let (mut rig, script) = sio(Script::default());
    for transport in REQUESTS {
        for path in [
            first(transport, MOUNT),
            format!("{}/0%0d%0aX-Bad:%201", first(transport, MOUNT)),
            format!("{}?0%0d%0aX-Bad:%201", first(transport, MOUNT)),
        ] {
            for origin in ["http://a\tb", "http://a%0d%0aX-Bad:%201", "a b"] {
                let lines = format!("Origin: {origin}\r\n");
                let mut client = rig.start("GET", &path, &lines, b"");
                let head = client.head(&mut rig);
                assert!(!head.contains("X-Bad: 1"), "{path} {origin}: {head}");
                assert!(!head.contains('\t'), "{path} {origin}: {head}");
            }
        }
    }
    rig.serves(Transport::JsonpPolling);
    rig.over(&script, ());
}

/// Whatever the moment, a turn in which nothing comes has nothing to do.
#[test]
fn a_close_at_any_moment_does_not_spin() {
    let (mut rig, script) = sio(Script::default());
    let peer = rig.peer(Transport::XhrPolling);
    rig.ends_anywhere(beginnings(&peer.sid));
    rig.over(&script, peer);
}

/// Who does not read its answers is not asked for more; when it reads, it gets them all.
#[test]
fn pipelined_and_unread() {
    let (mut rig, script) = sio(Script {
        open: Box::new(|_, cx, _| {
            cx.send("x".repeat(100_000));
            Ok(())
        }),
        ..Script::default()
    });
    let mut client = rig.raw();
    let path = first(Transport::XhrPolling, MOUNT);
    client.write_long(&mut rig, &http("GET", &path, "", b"").repeat(300));
    rig.settle();
    let opened = script.ids.borrow().len();
    assert!(opened < 300, "{opened}");
    let stats = rig.stats();
    assert!(stats.bytes_queued < 1 << 20, "{stats:?}");
    assert_eq!(rig.status(Transport::XhrPolling, ""), 200);
    for n in 0..300 {
        assert!(client.answer(&mut rig).body.len() > 100_000, "{n}");
    }
    assert_eq!(script.ids.borrow().len(), 301);
    rig.over(&script, client);
}
