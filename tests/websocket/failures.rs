//! Published failures of servers of this family that concern WebSocket and sessions, and where each
//! is tested.
//!
//! | failure | test |
//! | --- | --- |
//! | engine.io CVE-2022-21676, RSV bits right behind the upgrade | [`reserved_bits_right_behind_the_upgrade`] |
//! | engine.io CVE-2022-41940, reset during a refused upgrade | [`reset_during_a_refused_upgrade`] |
//! | sockjs CVE-2020-7693, upgrade on the wrong endpoint | [`upgrade_where_there_is_no_websocket`] |
//! | socket.io CVE-2020-28481, every origin allowed | `upgrade::refused`, `upgrade::origins` |
//! | python-engineio GHSA-cgwc-pv48-fhj5, a task for each unasked pong | [`unasked_pongs_start_nothing`] |
//! | ws CVE-2016-10542, no size limit | `frames::limits_of_messages`, `frames::default_limit_of_messages` |
//! | ws 2017, CVE-2020-7662 and -7663, extension header | [`hostile_extension_headers`]; grammar: `proto::ws::handshake` |
//! | ws CVE-2021-32640, blanks in Sec-WebSocket-Protocol | [`hostile_protocol_headers`]; `proto::ws::handshake` |
//! | ws CVE-2024-37890, more headers than are kept | [`more_headers_than_are_kept`] |
//! | ws CVE-2026-45736, a close with odd arguments | `frames::we_close` |
//! | ws CVE-2026-48779, tiny fragments cost an object each | `frames::limits_of_messages`, `frames::many_fragments_are_one_message` |
//! | Tornado CVE-2025-67724, CR LF in what the application sets | `upgrade::headers_and_cookies_on_the_101`, `upgrade::rejects` |
//! | Tornado CVE-2026-49854, mask routine reads past the end | `proto::ws::mask` (there is no unsafe code) |
//! | ws-rs RUSTSEC-2020-0043, outgoing buffer without bound | `api::a_full_outbox_closes_the_slow_one_later`, `load::a_client_that_never_reads`; old drafts: `hixie::what_waits_for_a_nonce_is_counted` |
//! | rust-websocket RUSTSEC-2022-0035, buffer by the claimed length | `frames::broken_rules` (header only), `proto::ws::machine` |
//! | rustls RUSTSEC-2024-0336, a close at the wrong moment spins | [`a_close_at_any_moment_does_not_spin`] |
//! | errors nobody catches | `api::a_panic_closes_that_connection_only` |
//! | slow read, silent connections | `load::a_client_that_never_reads`, `frames::a_silent_peer_is_pinged_and_dropped`; old drafts: `hixie::a_nonce_that_does_not_come`; the policy of Flash: `hixie::a_policy_that_is_not_read`, `hixie::a_port_for_policies_has_nothing_else` |
//! | reset storms, half-close | `load::resets_at_random_moments`, `frames::half_closed` |
//! | ping floods | `load::pings_unread_keep_memory_flat` |
//! | cross-site WebSocket hijacking | `upgrade::refused`, `upgrade::origins` |
//! | SIGSTOP, pauses, VM moves | `frames::a_late_turn_gives_one_more_interval`, `frames::an_answer_in_the_socket_counts` |

use crate::support::*;
use dustdevil::{Cause, Reject, Settings, WebSocket};
use std::time::{Duration, Instant};

/// The server still serves others.
fn lives(rig: &mut Rig<World>) {
    let mut other = rig.client("/ws");
    other.send("alive?");
    assert_eq!(other.text(rig), "alive?");
}

#[test]
fn reserved_bits_right_behind_the_upgrade() {
    let (mut rig, script) = rig(Script::default());
    for bits in [0x40, 0x20, 0x10, 0x70] {
        let mut client = rig.raw();
        let mut bytes = request("/ws", "").into_bytes();
        bytes.extend(masked(0x81 | bits, b"x"));
        client.write(&bytes);
        assert!(client.head(&mut rig).starts_with("HTTP/1.1 101"));
        assert_eq!(client.close_code(&mut rig), Some(1002));
        client.rest(&mut rig);
        assert_eq!(script.last_reason().cause, Cause::Protocol);
        lives(&mut rig);
    }
}

#[test]
fn reset_during_a_refused_upgrade() {
    let script = Script {
        open: Box::new(|me, _, _| match me.n % 2 {
            0 => Err(Reject::status(403).body(vec![b'x'; 1 << 20])),
            _ => Err(Reject::close(4000, "no")),
        }),
        ..Script::default()
    };
    let (mut rig, script) = rig(script);
    for n in 0..50 {
        let mut client = rig.raw();
        client.write(request("/ws", "").as_bytes());
        if n % 3 == 0 {
            rig.turn();
        }
        client.reset();
        rig.turn();
    }
    rig.settle();
    rig.pass(secs(10));
    assert_eq!(rig.stats().conns_open, 0);
    assert!(script.closed().is_empty());
}

#[test]
fn upgrade_where_there_is_no_websocket() {
    let (mut rig, _) = rig(Script::default());
    for path in ["/", "/wsx", "/ws/", "/other?transport=evil", "/%2e%2e/ws"] {
        let mut client = rig.raw();
        client.write(request(path, "").as_bytes());
        let head = client.head(&mut rig);
        assert!(head.starts_with("HTTP/1.1 404"), "{path}: {head}");
    }
    lives(&mut rig);
}

#[test]
fn unasked_pongs_start_nothing() {
    let (mut rig, script) = rig(Script::default());
    let mut client = rig.client("/ws");
    for _ in 0..100 {
        client.write(&masked(0x8a, b"unasked").repeat(100));
        rig.settle();
    }
    client.silent(&mut rig);
    // One ping is due, as if nothing had come but life.
    rig.pass(secs(26));
    let frames = client.frames(&mut rig);
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0].head, 0x89);
    assert!(script.closed().is_empty());
}

#[test]
fn hostile_extension_headers() {
    let (mut rig, _) = rig(Script::default());
    let quotes = format!("a; b=\"{}", "\\c".repeat(3000));
    #[rustfmt::skip]
    let cases: &[(&str, &str)] = &[
        ("constructor", "101"), ("__proto__; toString=1", "101"), ("hasOwnProperty; valueOf", "101"),
        (&quotes, "400"), ("a; b=\"", "400"), (";", "400"), ("a;;b", "400"),
    ];
    for (value, want) in cases {
        let began = Instant::now();
        let mut client = rig.raw();
        client.write(request("/ws", &format!("Sec-WebSocket-Extensions: {value}\r\n")).as_bytes());
        let head = client.head(&mut rig);
        assert_eq!(&head[9..12], *want, "{value}");
        assert!(began.elapsed() < Duration::from_secs(2), "{value}");
    }
}

#[test]
fn hostile_protocol_headers() {
    let (mut rig, _) = rig(Script::default());
    let blanks = format!("a{}b", " ".repeat(7000));
    let many: Vec<String> = (0..1500).map(|n| format!("p{n}")).collect();
    let many = many.join(",");
    for (value, want) in [
        (blanks.as_str(), "400"),
        (many.as_str(), "101"),
        ("constructor", "101"),
    ] {
        let mut client = rig.raw();
        client.write(request("/ws", &format!("Sec-WebSocket-Protocol: {value}\r\n")).as_bytes());
        assert_eq!(&client.head(&mut rig)[9..12], want);
    }
    lives(&mut rig);
}

#[test]
fn more_headers_than_are_kept() {
    let (mut rig, _) = rig(Script::default());
    for count in [50, 99, 100, 200, 1000] {
        let lines: String = (0..count).map(|n| format!("x{n}: 1\r\n")).collect();
        let mut client = rig.raw();
        client.write(request("/ws", &lines).as_bytes());
        let want = if count == 50 { "101" } else { "431" };
        assert_eq!(&client.head(&mut rig)[9..12], want, "{count}");
    }
    lives(&mut rig);
}

/// Whatever the moment, a turn in which nothing comes has nothing to do.
#[test]
fn a_close_at_any_moment_does_not_spin() {
    let settings = Settings {
        inbox_max: 2,
        ..Settings::default()
    };
    let script = Script {
        message: Box::new(|_, cx, message| {
            let held = cx.ordered();
            cx.send(message);
            cx.after(secs(1), move |_, _| drop(held));
        }),
        ..Script::default()
    };
    let (mut rig, _) = rig_with(script, settings, WebSocket::default());
    let mut dialogue = request("/ws", "").into_bytes();
    for _ in 0..5 {
        dialogue.extend(masked(0x81, b"hello"));
    }
    dialogue.extend(closing(1000, ""));
    for cut in (0..dialogue.len()).step_by(3) {
        let mut client = rig.raw();
        client.write(&dialogue[..cut]);
        rig.settle();
        client.finish();
        rig.settle(); // It fails if there is no end.
        client.fill();
    }
    rig.pass(secs(80));
    assert_eq!(rig.stats().conns_open, 0);
}
