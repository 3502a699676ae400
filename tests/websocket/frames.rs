//! Frames, closing, limits and times, live.

use crate::support::*;
use dustdevil::{Cause, CloseReason, Messages, Settings, WebSocket, WebSocketLimits};
use std::time::Duration;

/// A header as a client could lie it: first byte, length field, a masking key of zero.
fn lying(head: u8, length: &[u8]) -> Vec<u8> {
    let mut bytes = vec![head];
    bytes.extend_from_slice(length);
    bytes.extend_from_slice(&[0; 4]);
    bytes
}

fn join(parts: &[Vec<u8>]) -> Vec<u8> {
    parts.concat()
}

fn reason(cause: Cause, code: u16, reason: &str, clean: bool) -> CloseReason {
    CloseReason {
        cause,
        code,
        reason: reason.to_owned(),
        clean,
    }
}

/// Broken rules: the code the peer is told, once, and the end; whole and a byte at a time.
#[test]
fn broken_rules() {
    let mut unmasked = masked(0x81, b"Hello");
    unmasked[1] &= 0x7f;
    let long_ping = masked(0x89, &[b'x'; 126]);
    let mut partial = masked(0x81, b"abc\xffefghij");
    partial.truncate(6 + 5);
    let mut cases: Vec<(String, u16, Vec<u8>)> = vec![
        ("unmasked".into(), 1002, unmasked),
        ("text FF".into(), 1007, masked(0x81, b"\xff")),
        ("half a text".into(), 1007, partial),
        ("overlong".into(), 1007, masked(0x81, b"\xc0\x80")),
        ("surrogate".into(), 1007, masked(0x81, b"\xed\xa0\x80")),
        ("unfinished".into(), 1007, masked(0x81, b"a\xc3")),
        (
            "bad byte in a continuation".into(),
            1007,
            join(&[masked(0x01, b"\xc3"), masked(0x00, b"a")]),
        ),
        ("lone continuation".into(), 1002, masked(0x80, b"x")),
        (
            "text inside a message".into(),
            1002,
            join(&[masked(0x01, b"a"), masked(0x81, b"b")]),
        ),
        ("fragmented ping".into(), 1002, masked(0x09, b"")),
        ("long ping".into(), 1002, long_ping),
        ("close of 1 byte".into(), 1002, masked(0x88, b"x")),
        (
            "close with a bad reason".into(),
            1007,
            masked(0x88, b"\x03\xe8\xff"),
        ),
        (
            "top bit of the length".into(),
            1002,
            lying(0x82, &[0xff, 0x80, 0, 0, 0, 0, 0, 0, 0]),
        ),
        (
            "over the limit, header only".into(),
            1009,
            lying(0x82, &[0xff, 0, 0, 0, 0, 0, 0x10, 0, 1]),
        ),
    ];
    for bit in [0x40, 0x20, 0x10] {
        cases.push((format!("reserved {bit:x}"), 1002, masked(0x81 | bit, b"x")));
    }
    for opcode in (3..8).chain(11..16) {
        cases.push((format!("opcode {opcode}"), 1002, masked(0x80 | opcode, b"")));
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535] {
        cases.push((format!("close {code}"), 1002, closing(code, "")));
    }
    let (mut rig, script) = rig(Script::default());
    for (name, code, bytes) in &cases {
        for bytewise in [false, true] {
            let mut client = rig.client("/ws");
            if bytewise {
                for byte in bytes {
                    client.stream.set_nonblocking(true).unwrap();
                    client.write_long(&mut rig, &[*byte]);
                    rig.turn();
                }
            } else {
                client.write(bytes);
                // What is behind it is not looked at.
                client.send("never");
            }
            let close = client.frame(&mut rig);
            assert_eq!(close.code(), Some(*code), "{name}");
            assert!(client.rest(&mut rig).is_empty(), "{name}");
            let why = script.last_reason();
            assert_eq!((why.cause, why.code), (Cause::Protocol, *code), "{name}");
            assert_eq!((why.reason.as_str(), why.clean), (close.reason(), false));
        }
    }
    let all: Vec<usize> = (0..2 * cases.len()).collect();
    assert_eq!(script.closed(), all, "each once");
    rig.settle();
    assert_eq!(rig.stats().connections_open, 0);
}

/// The rows that are no fault.
#[test]
fn accepted_forms() {
    let mut long_form = vec![0x81, 0xfe, 0, 2, 0, 0, 0, 0];
    long_form.extend_from_slice(b"hi");
    #[rustfmt::skip]
    let cases: &[(&str, Vec<u8>, &str)] = &[
        ("2 bytes in a 16-bit length", long_form.clone(), "hi"),
        ("two fragments", join(&[masked(0x01, b"a"), masked(0x80, b"b")]), "ab"),
        ("empty fragments", join(&[masked(0x01, b""), masked(0x00, b"x"), masked(0x80, b"")]), "x"),
        ("a character cut in two", join(&[masked(0x01, b"\xc3"), masked(0x80, b"\xa4")]), "ä"),
        ("a pong between", join(&[masked(0x01, b"a"), masked(0x8a, b"?"), masked(0x80, b"b")]), "ab"),
        ("empty", masked(0x81, b""), ""),
    ];
    let (mut rig, _) = rig(Script::default());
    for (name, bytes, want) in cases {
        for bytewise in [false, true] {
            let mut client = rig.client("/ws");
            for piece in bytes.chunks(if bytewise { 1 } else { bytes.len() }) {
                client.write(piece);
                rig.turn();
            }
            assert_eq!(client.text(&mut rig), *want, "{name}");
        }
    }
    let strict = limits(WebSocketLimits {
        strict_length: true,
        ..Default::default()
    });
    let (mut rig, _) = rig_with(Script::default(), Settings::default(), strict);
    let mut client = rig.client("/ws");
    client.write(&long_form);
    assert_eq!(client.close_code(&mut rig), Some(1002));
    let lenient = limits(WebSocketLimits {
        accept_unmasked: true,
        ..Default::default()
    });
    let (mut rig, _) = rig_with(Script::default(), Settings::default(), lenient);
    let mut client = rig.client("/ws");
    client.write(b"\x81\x02hi");
    assert_eq!(client.text(&mut rig), "hi");
}

/// Autobahn 9.3.1 in small pieces, and pings between fragments answered at once and in order.
#[test]
fn many_fragments_are_one_message() {
    let (mut rig, _) = rig(Script::default());
    let mut client = rig.client("/ws");
    let mut bytes = masked(0x02, &[7; 16]);
    for n in 1..65_536 {
        bytes.extend(masked(if n == 65_535 { 0x80 } else { 0x00 }, &[7; 16]));
    }
    client.write_long(&mut rig, &bytes);
    let mut got = 0;
    while got < 1 << 20 {
        let frame = client.frame(&mut rig);
        assert!(frame.payload.iter().all(|byte| *byte == 7));
        got += frame.payload.len();
    }
    assert_eq!(got, 1 << 20);
    client.write(&join(&[
        masked(0x01, b"a"),
        masked(0x89, b"1"),
        masked(0x89, b"2"),
        masked(0x80, b"b"),
    ]));
    let frames = client.frames(&mut rig);
    let told: Vec<_> = frames.iter().map(|f| (f.head, &f.payload[..])).collect();
    assert_eq!(told, [(0x8a, &b"1"[..]), (0x8a, b"2"), (0x81, b"ab")]);
}

/// Just under and just over each limit of a message.
#[test]
fn limits_of_messages() {
    let mount = || {
        limits(WebSocketLimits {
            message_bytes_max: 10,
            frame_bytes_max: 6,
            fragments_max: 4,
            empty_fragments_max: 2,
            ..Default::default()
        })
    };
    let fragments = |sizes: &[usize]| {
        let mut bytes = Vec::new();
        for (i, size) in sizes.iter().enumerate() {
            let fin = if i + 1 == sizes.len() { 0x80 } else { 0 };
            bytes.extend(masked(fin | (u8::from(i == 0) * 2), &vec![b'x'; *size]));
        }
        bytes
    };
    #[rustfmt::skip]
    let cases: &[(&str, Vec<u8>, Result<usize, u16>)] = &[
        ("a frame of 6",       fragments(&[6]), Ok(6)),
        ("a frame of 7",       fragments(&[7]), Err(1009)),
        ("a message of 10",    fragments(&[6, 4]), Ok(10)),
        ("a message of 11",    fragments(&[6, 5]), Err(1009)),
        ("four fragments",     fragments(&[1, 1, 1, 1]), Ok(4)),
        ("five fragments",     fragments(&[1, 1, 1, 1, 1]), Err(1008)),
        ("two empty ones",     fragments(&[0, 1, 0]), Ok(1)),
        ("three empty ones",   fragments(&[0, 0, 0]), Err(1008)),
    ];
    let (mut rig, _) = rig_with(Script::default(), Settings::default(), mount());
    for (name, bytes, want) in cases {
        let mut client = rig.client("/ws");
        client.write(bytes);
        let frame = client.frame(&mut rig);
        match want {
            Ok(len) => assert_eq!((frame.head, frame.payload.len()), (0x82, *len), "{name}"),
            Err(code) => assert_eq!(frame.code(), Some(*code), "{name}"),
        }
    }
}

/// The default of 1 MiB: the frame that crosses it is refused by its header.
#[test]
fn default_limit_of_messages() {
    let (mut rig, _) = rig(Script::default());
    let mut client = rig.client("/ws");
    client.write_long(&mut rig, &masked(0x82, &vec![1; 1 << 20]));
    let mut got = 0;
    while got < 1 << 20 {
        got += client.frame(&mut rig).payload.len();
    }
    client.write_long(&mut rig, &masked(0x02, &vec![1; 1 << 19]));
    client.write_long(&mut rig, &lying(0x80, &[0xff, 0, 0, 0, 0, 0, 0x08, 0, 1]));
    assert_eq!(client.close_code(&mut rig), Some(1009));
}

#[test]
fn only_text_or_only_binary() {
    for (messages, good, bad) in [(Messages::Text, 0x81, 0x82), (Messages::Binary, 0x82, 0x81)] {
        let mount = WebSocket {
            messages,
            ..WebSocket::default()
        };
        let (mut rig, script) = rig_with(Script::default(), Settings::default(), mount);
        let mut client = rig.client("/ws");
        client.write(&masked(good, b"x"));
        assert_eq!(client.frame(&mut rig).head, good);
        client.write(&masked(bad, b"x"));
        assert_eq!(client.close_code(&mut rig), Some(1003));
        client.rest(&mut rig);
        assert_eq!(script.last_reason().code, 1003);
    }
}

#[test]
fn messages_per_second() {
    let mount = limits(WebSocketLimits {
        messages_per_second_max: 3,
        ..Default::default()
    });
    let (mut rig, script) = rig_with(Script::default(), Settings::default(), mount);
    let mut client = rig.client("/ws");
    for _ in 0..2 {
        for _ in 0..3 {
            client.send("x");
        }
        assert_eq!(client.texts(&mut rig).len(), 3);
        rig.pass(secs(1));
    }
    for _ in 0..4 {
        client.send("x");
    }
    let frames = client.frames(&mut rig);
    assert_eq!(frames.len(), 4);
    assert_eq!(frames[3].code(), Some(1008));
    assert_eq!(script.last_reason().cause, Cause::Protocol);
}

// ---- closing ----------------------------------------------------------------------------------

/// What the peer's close frame is answered with, and what the application is told.
#[test]
fn the_peer_closes() {
    #[rustfmt::skip]
    let cases: &[(Vec<u8>, Option<u16>, u16, &str)] = &[
        (masked(0x88, b""), None, 1005, ""),
        (closing(1000, ""), Some(1000), 1000, ""),
        (closing(4000, "bye"), Some(4000), 4000, "bye"),
        (closing(1001, "ä"), Some(1001), 1001, "ä"),
        (closing(1014, ""), Some(1014), 1014, ""),
        (closing(3000, &"x".repeat(123)), Some(3000), 3000, &"x".repeat(123)),
    ];
    for (bytes, answer, code, text) in cases {
        let (mut rig, script) = rig(Script::default());
        let mut client = rig.client("/ws");
        let mut all = bytes.clone();
        // Data after the close is dropped.
        all.extend(masked(0x81, b"late"));
        all.extend(masked(0x89, b"late"));
        client.write(&all);
        let close = client.frame(&mut rig);
        assert_eq!((close.code(), close.reason()), (*answer, *text));
        // We close TCP first.
        assert!(client.rest(&mut rig).is_empty());
        assert_eq!(
            script.last_reason(),
            reason(Cause::Client, *code, text, true)
        );
        drop(client);
        rig.settle();
        assert_eq!(script.closed(), [0]);
        assert_eq!(rig.stats().conns_open, 0);
    }
}

/// A script that closes with code and reason when a message comes.
fn closer(code: u16, text: &'static str) -> Script {
    Script {
        message: Box::new(move |_, cx, _| cx.close_with(code, text)),
        ..Script::default()
    }
}

#[test]
fn we_close() {
    let long = "ä".repeat(100);
    let long: &'static str = Box::leak(long.into_boxed_str());
    for (code, text, told, cut) in [
        (1000, "", 1000, ""),
        (4001, "enough", 4001, "enough"),
        (1005, "x", 1000, "x"),
        (1006, "", 1000, ""),
        (999, "", 1000, ""),
        (1000, long, 1000, &long[..122]),
    ] {
        let (mut rig, script) = rig(closer(code, text));
        let mut client = rig.client("/ws");
        client.send("x");
        let close = client.frame(&mut rig);
        assert_eq!((close.code(), close.reason()), (Some(told), cut));
        // At once, not when the peer has answered; and what it is told is what went out.
        assert_eq!(script.last_reason(), reason(Cause::Server, told, cut, true));
        // Until the answer everything is checked, nothing delivered, no ping answered.
        client.write(&masked(0x81, b"late"));
        client.write(&masked(0x89, b"late"));
        client.silent(&mut rig);
        client.write(&closing(told, ""));
        assert!(
            client.rest(&mut rig).is_empty(),
            "the answer is not answered"
        );
        assert_eq!(script.closed(), [0]);
        assert_eq!(rig.stats().close_timeouts, 0);
    }
}

#[test]
fn we_close_and_the_peer_breaks_a_rule() {
    let (mut rig, script) = rig(closer(1000, ""));
    let mut client = rig.client("/ws");
    client.send("x");
    assert_eq!(client.close_code(&mut rig), Some(1000));
    client.write(&masked(0x83, b""));
    assert!(
        client.rest(&mut rig).is_empty(),
        "nothing behind our close frame"
    );
    assert_eq!(script.closed(), [0]);
}

#[test]
fn close_timeout_cuts() {
    let (mut rig, script) = rig(closer(1000, ""));
    let mut client = rig.client("/ws");
    client.send("x");
    assert_eq!(client.close_code(&mut rig), Some(1000));
    rig.pass(ms(4500));
    client.send("chatter is no answer");
    client.silent(&mut rig);
    rig.pass(secs(1));
    client.rest(&mut rig);
    let stats = rig.stats();
    assert_eq!((stats.close_timeouts, stats.conns_open), (1, 0));
    assert_eq!(script.closed(), [0]);
}

/// Also when the peer does not read, so that we do not read it.
#[test]
fn close_timeout_cuts_a_peer_that_does_not_read() {
    let script = Script {
        open: Box::new(|_, cx, _| {
            // The system takes some of it, the rest waits.
            let text = "x".repeat(600 << 10);
            cx.after(Duration::ZERO, move |_, cx| {
                while cx.send(&text) != dustdevil::Sent::Gone {}
            });
            Ok(())
        }),
        ..Script::default()
    };
    let settings = Settings {
        write_max_bytes: 16 << 20,
        ..Settings::default()
    };
    let (mut rig, script) = rig_with(script, settings, WebSocket::default());
    let mut client = rig.raw();
    client.write(request("/ws", "").as_bytes());
    rig.settle();
    assert_eq!(script.last_reason().cause, Cause::Overflow);
    assert_eq!(rig.stats().conns_open, 1);
    rig.pass(secs(6));
    let stats = rig.stats();
    assert_eq!((stats.conns_open, stats.close_timeouts), (0, 1));
}

/// After the handshake the rest of the peer's bytes is dropped, for a second at most.
#[test]
fn lingering_ends() {
    let (mut rig, script) = rig(Script::default());
    let mut client = rig.client("/ws");
    client.write(&closing(1000, ""));
    assert_eq!(client.close_code(&mut rig), Some(1000));
    client.rest(&mut rig);
    client.write(&[0; 1000]);
    rig.settle();
    assert_eq!(rig.stats().conns_open, 1, "it lingers");
    rig.pass(ms(1500));
    assert_eq!(rig.stats().conns_open, 0);
    assert_eq!(script.closed(), [0]);
}

#[test]
fn a_lost_connection_is_1006() {
    for with_reset in [false, true] {
        let (mut rig, script) = rig(Script::default());
        let mut client = rig.client("/ws");
        client.write(&masked(0x01, b"unfinished"));
        if with_reset {
            client.reset()
        } else {
            drop(client)
        }
        rig.settle();
        assert_eq!(script.closed(), [0]);
        assert_eq!(script.last_reason(), reason(Cause::Lost, 1006, "", false));
        assert_eq!(rig.stats().conns_open, 0);
    }
}

/// A half-closed client: what it sent is handled, then it counts as lost.
#[test]
fn half_closed() {
    let (mut rig, script) = rig(Script::default());
    let mut client = rig.client("/ws");
    client.send("one");
    client.send("two");
    client.finish();
    rig.settle();
    assert_eq!(rig.stats().messages_in, 2);
    assert_eq!(script.last_reason().cause, Cause::Lost);
}

// ---- times ------------------------------------------------------------------------------------

fn beating() -> (Rig<World>, std::rc::Rc<Script>) {
    rig(Script {
        pong: Box::new(|me, _, data| me.script.note(format!("pong {}", data.len()))),
        ..Script::default()
    })
}

#[test]
fn a_silent_peer_is_pinged_and_dropped() {
    let (mut rig, script) = beating();
    let mut client = rig.client("/ws");
    rig.pass(secs(24));
    client.silent(&mut rig);
    rig.pass(ms(1500));
    let ping = client.frame(&mut rig);
    assert_eq!((ping.head, ping.payload.len()), (0x89, 8));
    rig.pass(secs(19));
    client.silent(&mut rig);
    rig.pass(ms(1500));
    let close = client.frame(&mut rig);
    assert_eq!((close.code(), close.reason()), (Some(1011), "ping timeout"));
    client.rest(&mut rig);
    assert_eq!(
        script.last_reason(),
        reason(Cause::Timeout, 1006, "ping timeout", false)
    );
    assert_eq!(script.closed(), [0]);
    rig.pass(secs(2));
    let stats = rig.stats();
    assert_eq!((stats.ping_timeouts, stats.conns_open), (1, 0));
}

/// Any byte is life: a pong, one asked for by nobody, a message, half a header.
#[test]
fn any_byte_is_life() {
    let lives: &[&[u8]] = &[&masked(0x8a, b"x"), &masked(0x81, b"x"), &[0x81]];
    for life in lives {
        let (mut rig, script) = beating();
        let mut client = rig.client("/ws");
        rig.pass(ms(25_500));
        assert_eq!(client.frame(&mut rig).head, 0x89);
        rig.pass(secs(19));
        client.write(life);
        rig.settle();
        client.frames(&mut rig);
        // The silence begins anew.
        rig.pass(secs(24));
        client.silent(&mut rig);
        rig.pass(secs(2));
        assert_eq!(client.frame(&mut rig).head, 0x89);
        assert!(script.closed().is_empty());
    }
}

#[test]
fn a_peer_that_talks_is_not_pinged() {
    let (mut rig, _) = beating();
    let mut client = rig.client("/ws");
    for _ in 0..10 {
        rig.pass(secs(20));
        client.send("x");
        assert_eq!(client.text(&mut rig), "x");
    }
}

#[test]
fn pings_of_the_application() {
    let script = Script {
        message: Box::new(|me, cx, _| {
            assert_eq!(cx.ping(b"are you there"), dustdevil::Sent::Queued);
            assert_eq!(cx.ping(&[0; 126]), dustdevil::Sent::Gone);
            me.value += 1;
        }),
        pong: Box::new(|me, _, data| me.script.note(String::from_utf8_lossy(data))),
        ..Script::default()
    };
    let (mut rig, script) = rig(script);
    let mut client = rig.client("/ws");
    client.send("x");
    let ping = client.frame(&mut rig);
    assert_eq!(
        (ping.head, &ping.payload[..]),
        (0x89, &b"are you there"[..])
    );
    client.write(&masked(0x8a, &ping.payload));
    client.write(&masked(0x8a, b"unasked"));
    client.silent(&mut rig);
    assert_eq!(script.taken(), ["are you there", "unasked"]);
}

/// A turn that comes late by more than an interval: a suspended machine loses nobody.
#[test]
fn a_late_turn_gives_one_more_interval() {
    let (mut rig, script) = beating();
    let mut client = rig.client("/ws");
    rig.pass(ms(25_500));
    assert_eq!(client.frame(&mut rig).head, 0x89);
    rig.clock.advance(secs(3600));
    client.silent(&mut rig);
    assert!(script.closed().is_empty());
    // It was one interval, not a pardon for good.
    rig.pass(secs(26));
    assert_eq!(client.frame(&mut rig).head, 0x89);
    rig.pass(secs(21));
    assert_eq!(client.close_code(&mut rig), Some(1011));
}

/// The loop was busy for long while the pong lay in the socket.
#[test]
fn an_answer_in_the_socket_counts() {
    let (mut rig, script) = beating();
    let mut client = rig.client("/ws");
    rig.pass(ms(25_500));
    let ping = client.frame(&mut rig);
    client.write(&masked(0x8a, &ping.payload));
    rig.clock.advance(secs(21));
    rig.settle();
    assert!(script.closed().is_empty());
    // It answered a ping of the server, so the application does not hear of it.
    assert!(script.taken().is_empty());
}

/// While we do not read a peer its deadlines stand still, and its silence counts from when we do.
#[test]
fn deadlines_stand_still_while_we_do_not_read() {
    let script = Script {
        message: Box::new(|_, cx, message| {
            if message.text() == Some("much") {
                cx.send("x".repeat(8 << 20));
            }
        }),
        ..Script::default()
    };
    let settings = Settings {
        write_timeout: secs(3600),
        ..Settings::default()
    };
    let (mut rig, script) = rig_with(script, settings, WebSocket::default());
    let mut client = rig.client("/ws");
    // The ping is out, and unanswered, when we stop reading.
    rig.pass(ms(25_500));
    assert_eq!(client.frame(&mut rig).head, 0x89);
    rig.state(|_| ());
    let id = script.id(0);
    rig.server
        .with_app(|app| app.to(id).send("x".repeat(16 << 20)))
        .unwrap();
    rig.settle();
    rig.pass(secs(600));
    assert!(script.closed().is_empty(), "it could not have shown life");
    // It reads all of that, and then has the whole time-out again.
    let mut left = 16 << 20;
    while left > 0 {
        left -= client.frame(&mut rig).payload.len();
    }
    rig.pass(secs(20));
    assert!(script.closed().is_empty());
    client.frames(&mut rig);
    rig.pass(secs(30));
    let frames = client.frames(&mut rig);
    assert_eq!(frames.last().unwrap().code(), Some(1011));
    assert_eq!(script.last_reason().cause, Cause::Timeout);
}

#[test]
fn idle_timeout_counts_messages_not_pongs() {
    let mount = limits(WebSocketLimits {
        idle_timeout: secs(60),
        ..Default::default()
    });
    let (mut rig, script) = rig_with(Script::default(), Settings::default(), mount);
    let mut client = rig.client("/ws");
    rig.pass(secs(20));
    client.send("x");
    assert_eq!(client.text(&mut rig), "x");
    for _ in 0..5 {
        rig.pass(secs(11));
        client.write(&masked(0x8a, b""));
        client.silent(&mut rig);
    }
    rig.pass(secs(6));
    let close = client.frame(&mut rig);
    assert_eq!((close.code(), close.reason()), (Some(1000), "idle"));
    assert_eq!(
        script.last_reason(),
        reason(Cause::Timeout, 1000, "idle", true)
    );
}

#[test]
fn lifetime_max_is_spread_over_a_tenth() {
    let mount = limits(WebSocketLimits {
        lifetime_max: secs(100),
        ping_interval: Duration::ZERO,
        ..Default::default()
    });
    let (mut rig, script) = rig_with(Script::default(), Settings::default(), mount);
    let mut clients: Vec<_> = (0..40).map(|_| rig.client("/ws")).collect();
    rig.pass(ms(89_700));
    assert!(script.closed().is_empty());
    rig.pass(secs(5));
    let half = script.closed().len();
    assert!((4..=36).contains(&half), "{half} of 40 in the first half");
    rig.pass(ms(5_500));
    assert_eq!(script.closed().len(), 40);
    for client in &mut clients {
        assert_eq!(client.frames(&mut rig)[0].code(), Some(1012));
    }
}

#[test]
fn no_pings_with_an_interval_of_zero() {
    let mount = limits(WebSocketLimits {
        ping_interval: Duration::ZERO,
        ..Default::default()
    });
    let (mut rig, script) = rig_with(Script::default(), Settings::default(), mount);
    let mut client = rig.client("/ws");
    rig.pass(secs(300));
    client.silent(&mut rig);
    assert!(script.closed().is_empty());
}
