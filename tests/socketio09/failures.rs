//! Published failures of servers of this family that concern Socket.IO 0.7 to 0.9, and where each is tested.
//!
//! | failure | test |
//! | --- | --- |
//! | engine.io CVE-2022-21676, RSV bits right behind the upgrade | `hostile::frames_behind_the_upgrade` |
//! | engine.io CVE-2022-41940, reset during a refused upgrade | `hostile::resets_during_the_handshake` |
//! | engine.io CVE-2023-31125, upgrade with an unknown transport | `hostile::upgrades_with_an_unknown_transport` |
//! | engine.io CVE-2020-36048, bodies without a limit | `requests::body_bytes_max`, `requests::body_bytes_max_by_default` |
//! | engine.io CVE-2026-59725, a type of body that is not answered | `requests::bodies_of_any_type` |
//! | socket.io CVE-2024-38355, an event named `error` | `hostile::reserved_event_names` |
//! | socket.io CVE-2020-28481, every origin allowed | `handshake::origins_by_default`, `refused::transports_from_a_foreign_page` |
//! | socket.io CVE-2017-16031, ids that can be guessed | `handshake::ids_are_long_and_all_different` |
//! | socket.io-parser CVE-2020-36049, quadratic reading of large payloads | [`large_payloads`] |
//! | socket.io-parser CVE-2023-32695, an object as the name of an event | `hostile::event_names_that_are_no_text` |
//! | python-engineio GHSA-cgwc-pv48-fhj5, a task for each unasked pong | [`unasked_heartbeats_start_nothing`] |
//! | sockjs CVE-2020-7693, upgrade on the wrong endpoint | `sockets::upgrades_where_there_is_no_websocket` |
//! | ws CVE-2016-10542, no size limit | `limits::message_bytes_max` |
//! | ws CVE-2024-37890, more headers than are kept | [`more_headers_than_are_kept`] |
//! | ws CVE-2026-48779, tiny fragments cost an object each | [`tiny_fragments_are_one_message`] |
//! | Tornado CVE-2025-67724, CR LF in what is echoed | `hostile::header_injection` |
//! | ws-rs RUSTSEC-2020-0043, outgoing buffer without bound | `limits::nobody_polls`, `limits::a_slow_receiver`, `limits::echoes_that_nobody_takes` |
//! | rust-websocket RUSTSEC-2022-0035, buffer by the claimed length | `hostile::huge_lengths` |
//! | rustls RUSTSEC-2024-0336, a close at the wrong moment spins | [`a_close_at_any_moment_does_not_spin`] |
//! | deep JSON | `hostile::deep_json`, `limits::deep_acknowledgements` |
//! | large bodies stop the loop | `limits::a_long_post_takes_turns` |
//! | errors nobody catches | `hostile::panics_everywhere`, `refused::by_a_panic` |
//! | slowloris, slow body, silent connections | [`withheld_parts`] |
//! | slow read | `limits::a_receiver_that_takes_nothing` |
//! | reset storms, half-close | `hostile::resets_during_the_handshake`, [`half_closed`] |
//! | pipelining unread | [`pipelined_and_unread`] |
//! | SIGSTOP, pauses, VM moves | `life::a_turn_that_comes_late` |
//! | Rosetta Flash | `jsonp::the_index`, `handshake::the_index_of_a_script_has_digits_only` |
//! | htmlfile break-out | `htmlfile::escapes`, `jsonp::escapes` |
//! | cross-site WebSocket hijacking | `refused::transports_from_a_foreign_page` |

use crate::support::*;
use dustdevil::{SocketIoSettings, Transport};
use std::time::Instant;

/// Everything that a client sends at its beginning, and an upgrade that is refused.
fn beginnings(sid: &str) -> Vec<Vec<u8>> {
    let message = masked(0x81, b"3:::x");
    let form = b"d=%223:::x%22";
    vec![
        http("GET", SHAKE, "", b""),
        http("GET", &polls(sid), "", b""),
        http("POST", &polls(sid), PLAIN, b"3:::x"),
        http("GET", &path(Transport::HtmlFile, sid), "", b""),
        http("POST", &path(Transport::JsonpPolling, sid), FORM, form),
        request("/socket.io/1/nosuch/x", "").into_bytes(),
        [request(&sockets(sid), "").as_bytes(), &message].concat(),
    ]
}

/// The smallest packets and the longest one, good and broken: no body takes long.
#[test]
fn large_payloads() {
    let (mut rig, script) = sio(noting());
    let sid = rig.session();
    let event = format!(
        "5:::{{\"name\":\"e\",\"args\":[\"{}\"]}}",
        "\\\\".repeat(150_000)
    );
    #[rustfmt::skip]
    let cases = [
        ("the smallest",       framed("3").repeat(10_000),                           200, 10_000),
        ("one too many",       framed("3").repeat(10_001),                           400, 0),
        ("the longest",        format!("3:::{}", "é\n".repeat(150_000)),             200, 1),
        ("a long event",       event,                                                200, 1),
        ("far too long heads", "\u{fffd}999999\u{fffd}".repeat(9000),                200, 0),
        ("heads alone",        FFFD.to_string().repeat(9000),                        200, 0),
        ("a long endpoint",    format!("1::/{}", "?".repeat(900_000)),               200, 0),
        ("a long id",          format!("3:{}", "1".repeat(900_000)),                 200, 0),
    ];
    for (name, payload, status, count) in cases {
        script.taken();
        let began = Instant::now();
        let got = (rig.post(&sid, &payload), script.taken().len());
        assert_eq!(got, (status, count), "{name}");
        let took = began.elapsed();
        assert!(took < secs(5), "{name}: {took:?}");
    }
    assert!(script.closed().is_empty());
    rig.over(&script, ());
}

/// As many as one likes: the next one of ours is due as if one had come.
#[test]
fn unasked_heartbeats_start_nothing() {
    let of = SocketIoSettings {
        heartbeat_interval: secs(12),
        ..calm()
    };
    let (mut rig, script) = sio_of(noting(), of);
    let (_, mut client) = rig.socket();
    let sid = rig.shake();
    let mut page = rig.page(&sid);
    assert_eq!(page.script(&mut rig), "1::");
    script.taken();
    for _ in 0..20 {
        client.write(&masked(0x81, b"2::").repeat(500));
        rig.push(&sid, &["2::"; 500]);
    }
    client.silent(&mut rig);
    page.silent(&mut rig);
    for _ in 0..2 {
        rig.pass(secs(12) + ms(500));
        assert_eq!(client.texts(&mut rig), ["2::"]);
        assert_eq!(page.script(&mut rig), "2::");
        page.silent(&mut rig);
    }
    assert!(script.taken().is_empty() && script.closed().is_empty());
    assert_eq!(rig.stats().protocol_errors, 0);
    rig.over_after(secs(90), &script, (client, page));
}

/// With the upgrade among the last of them.
#[test]
fn more_headers_than_are_kept() {
    let (mut rig, script) = sio(Script::default());
    let sid = rig.shake();
    let head = request(&sockets(&sid), "");
    rig.more_headers_than_are_kept(&head);
    rig.serves_another();
    rig.over(&script, ());
}

/// A byte each, and some of none.
#[test]
fn tiny_fragments_are_one_message() {
    let (mut rig, script) = sio(noting());
    let (_, mut client) = rig.socket();
    script.taken();
    let text = "x".repeat(500);
    let mut bytes = masked(0x01, b"");
    for byte in format!("3:::{text}").as_bytes() {
        bytes.extend(masked(0x00, &[*byte]));
        bytes.extend(masked(0x00, b""));
    }
    bytes.extend(masked(0x80, b""));
    client.write_long(&mut rig, &bytes);
    rig.settle();
    assert_eq!(script.taken(), [format!("text {text}")]);
    rig.over(&script, client);
}

/// Whatever the moment, a turn in which nothing comes has nothing to do.
#[test]
fn a_close_at_any_moment_does_not_spin() {
    let (mut rig, script) = sio(Script::default());
    let sid = rig.session();
    rig.ends_anywhere(beginnings(&sid));
    rig.over(&script, ());
}

/// Who keeps something back is given up, and the others are served until then.
#[test]
fn withheld_parts() {
    let of = SocketIoSettings {
        heartbeat_interval: secs(12),
        ..calm()
    };
    let (mut rig, script) = sio_of(Script::default(), of);
    let sid = rig.session();
    let mut held = vec![rig.raw()];
    for bytes in beginnings(&sid) {
        let all = bytes.len();
        // The last one is in the middle of a message, where there is one.
        for cut in [1, all / 2, all - 12, all - 4] {
            let mut client = rig.raw();
            client.write(&bytes[..cut]);
            held.push(client);
        }
    }
    rig.settle();
    assert_eq!(rig.stats().conns_open, held.len() as u64);
    rig.serves_another();
    rig.pass(secs(110));
    assert_eq!(rig.stats().conns_open, 0);
    rig.over(&script, held);
}

/// Half of a TCP connection is closed: nobody will read there either. What was sent before is handled, and
/// the session waits for who comes back.
#[test]
fn half_closed() {
    for transport in [
        Transport::WebSocket,
        Transport::FlashSocket,
        Transport::XhrPolling,
        Transport::JsonpPolling,
        Transport::HtmlFile,
    ] {
        let (mut rig, script) = sio(noting());
        let sid = rig.session();
        script.taken();
        let path = path(transport, &sid);
        let client = match transport {
            Transport::WebSocket | Transport::FlashSocket => {
                let mut client = rig.client(&path);
                client.send("3:::x");
                client
            }
            Transport::HtmlFile => rig.page(&sid),
            _ => rig.start("GET", &path, "", b""),
        };
        client.finish();
        rig.settle();
        let is_socket = matches!(transport, Transport::WebSocket | Transport::FlashSocket);
        let want: &[&str] = if is_socket { &["text x"] } else { &[] };
        assert_eq!(script.taken(), want, "{transport:?}");
        let stats = rig.stats();
        assert_eq!((stats.conns_open, stats.sessions_open), (0, 1));
        assert!(script.closed().is_empty(), "{transport:?}");
        // Not so a request that is whole, and asks for nothing that lasts.
        let mut post = rig.raw();
        post.write(&http("POST", &polls(&sid), PLAIN, b"3:::y"));
        post.finish();
        assert_eq!(post.answer(&mut rig).text(), "1");
        assert_eq!(script.taken(), ["text y"], "{transport:?}");
        let id = script.id(0);
        rig.server.with_app(|app| app.to(id).send("kept")).unwrap();
        assert_eq!(rig.poll(&sid), "3:::kept", "{transport:?}");
        rig.over(&script, (client, post));
    }
}

/// Who does not read its answers is not asked for more; when it reads, it gets them all.
#[test]
fn pipelined_and_unread() {
    let (mut rig, script) = sio(Script {
        message: Box::new(|me, cx, _| {
            me.value += 1;
            me.script.note(me.value.to_string());
            cx.send("x".repeat(100_000));
        }),
        ..Script::default()
    });
    let sid = rig.session();
    let one = [
        http("POST", &polls(&sid), PLAIN, b"3:::x"),
        http("GET", &polls(&sid), "", b""),
    ]
    .concat();
    let mut client = rig.raw();
    client.write_long(&mut rig, &one.repeat(300));
    rig.settle();
    let handled = script.taken().len();
    assert!(handled < 300, "{handled}");
    let stats = rig.stats();
    assert!(stats.bytes_queued < 1 << 20, "{stats:?}");
    rig.serves_another();
    for n in 0..300 {
        assert_eq!(client.answer(&mut rig).text(), "1", "{n}");
        assert_eq!(client.answer(&mut rig).body.len(), 100_004, "{n}");
    }
    rig.over(&script, client);
}
