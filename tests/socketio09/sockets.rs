//! WebSockets: one packet a message, RFC 6455 and the drafts before it.

use crate::support::*;
use dustdevil::{Cause, SocketIo, SocketIoSettings, Transport};

fn upgrade(path: &str, version: &str, more: &str) -> String {
    request(path, more).replace("Version: 13", &format!("Version: {version}"))
}

fn closing(code: u16) -> Vec<u8> {
    crate::websocket::closing(code, "")
}

#[test]
fn versions() {
    for version in ["13", "8", "7"] {
        let (mut rig, script) = sio(Script::default());
        let sid = rig.shake();
        let mut client = rig.raw();
        client.write(upgrade(&sockets(&sid), version, "").as_bytes());
        let head = client.head(&mut rig);
        assert!(head.starts_with("HTTP/1.1 101 "), "{version}: {head}");
        assert!(head.contains(ACCEPT), "{head}");
        assert_eq!(client.text(&mut rig), "1::");
        client.send("3:::hello");
        assert_eq!(client.text(&mut rig), "3:::hello");
        let stats = rig.stats();
        assert_eq!((stats.transports.websocket, stats.transports.none), (1, 0));
        client.write(&closing(1000));
        rig.over(&script, client);
    }
    let (mut rig, script) = sio(Script::default());
    let sid = rig.shake();
    for version in ["14", "6", "0"] {
        let mut client = rig.raw();
        client.write(upgrade(&sockets(&sid), version, "").as_bytes());
        let head = client.head(&mut rig);
        assert!(head.starts_with("HTTP/1.1 426 "), "{version}: {head}");
    }
    // The session is none the worse for it.
    assert_eq!(rig.poll(&sid), "1::");
    rig.over(&script, ());
}

/// A client that brings its own WebSocket says the same.
#[test]
fn over_flash() {
    let (mut rig, script) = sio(Script::default());
    let sid = rig.shake();
    let mut client = rig.client(&path(Transport::FlashSocket, &sid));
    assert_eq!(client.text(&mut rig), "1::");
    client.send("3:::hello");
    assert_eq!(client.text(&mut rig), "3:::hello");
    let stats = rig.stats().transports;
    assert_eq!((stats.flashsocket, stats.websocket), (1, 0));
    rig.over(&script, client);
}

#[test]
fn one_packet_a_message() {
    let (mut rig, script) = sio(Script::default());
    let (sid, mut client) = rig.socket();
    client.send("3:::a");
    client.send("3:::é😀");
    client.send("4:::{\"j\":1}");
    assert_eq!(
        client.texts(&mut rig),
        ["3:::a", "3:::é😀", "4:::{\"j\":1}"]
    );
    // What comes while there is no receiver is not put together either.
    client.reset();
    rig.settle();
    rig.push(&sid, &["3:::b", "3:::c"]);
    let mut client = rig.attach(&sid);
    assert_eq!(client.texts(&mut rig), ["3:::b", "3:::c"]);
    rig.over(&script, client);
}

#[test]
fn a_payload_is_no_packet() {
    let (mut rig, script) = sio(noting());
    let (_, mut client) = rig.socket();
    script.taken();
    client.send(&payload(&["3:::a", "3:::b"]));
    client.send(&framed("3:::c"));
    client.silent(&mut rig);
    client.send("3:::d");
    rig.settle();
    assert_eq!(script.taken(), ["text d"]);
    rig.over(&script, client);
}

/// A browser could not read an answer of HTTP.
#[test]
fn an_unknown_session() {
    let (mut rig, script) = sio(Script::default());
    let ended = rig.session();
    rig.push(&ended, &["0::"]);
    for transport in [Transport::WebSocket, Transport::FlashSocket] {
        for sid in [&*ended, "x", &"0".repeat(32), &"a".repeat(128)] {
            let mut client = rig.client(&path(transport, sid));
            client.told(&mut rig, UNKNOWN);
        }
    }
    assert_eq!(rig.stats().sessions_open, 0);
    rig.over(&script, ());
}

/// TornadIO2's answer is for polls; here the packet can always be read.
#[test]
fn an_unknown_session_where_polls_get_401() {
    let (mut rig, script) = sio_of(
        Script::default(),
        SocketIoSettings {
            unknown_session_401: true,
            ..calm()
        },
    );
    let mut client = rig.client(&sockets("x"));
    client.told(&mut rig, UNKNOWN);
    rig.over(&script, ());
}

/// Where there is none the wish is refused, or not heeded (RFC 9110, 7.8).
#[test]
fn upgrades_where_there_is_no_websocket() {
    let (mut rig, script) = sio(Script::default());
    let sid = rig.session();
    for (path, status) in [
        (format!("/socket.io/1/nosuch/{sid}"), 400),
        (format!("/socket.io/1//{sid}/"), 400),
        ("/socket.io/x".to_owned(), 404),
        ("/socket.io/2/".to_owned(), 503),
        (SHAKE.to_owned(), 200),
        ("/socket.io/".to_owned(), 200),
    ] {
        let mut client = rig.raw();
        client.write(request(&path, "").as_bytes());
        let answer = client.answer(&mut rig);
        assert_eq!(answer.status, status, "{path}: {answer:?}");
    }
    for transport in [Transport::XhrPolling, Transport::JsonpPolling] {
        let mut client = rig.raw();
        client.write(request(&path(transport, &sid), "").as_bytes());
        client.silent(&mut rig);
        rig.push(&sid, &["3:::x"]);
        assert!(client.answer(&mut rig).text().contains("3:::x"));
    }
    rig.serves_another();
    rig.over(&script, ());
}

#[test]
fn a_transport_that_is_off() {
    let of = SocketIo {
        enabled_protocols: vec![Transport::XhrPolling],
        ..mount(calm())
    };
    let (mut rig, script) = sio_with(Script::default(), Default::default(), of);
    let sid = rig.shake();
    for transport in [Transport::WebSocket, Transport::FlashSocket] {
        let mut client = rig.raw();
        client.write(request(&path(transport, &sid), "").as_bytes());
        assert_eq!(client.answer(&mut rig).status, 400, "{transport:?}");
    }
    assert_eq!(rig.poll(&sid), "1::");
    rig.over(&script, ());
}

#[test]
fn a_websocket_path_without_an_upgrade() {
    let (mut rig, script) = sio(Script::default());
    let sid = rig.session();
    for transport in [Transport::WebSocket, Transport::FlashSocket] {
        for method in ["GET", "POST"] {
            let answer = rig.ask(method, &path(transport, &sid), "", b"");
            assert!((400..500).contains(&answer.status), "{answer:?}");
        }
    }
    rig.push(&sid, &["3:::x"]);
    assert_eq!(rig.poll(&sid), "3:::x");
    rig.over(&script, ());
}

/// Upgrades in any case, among other tokens; and broken ones.
#[test]
fn forms_of_the_upgrade() {
    let (mut rig, script) = sio(Script::default());
    let sid = rig.shake();
    let good = request(&sockets(&sid), "")
        .replace("Upgrade: websocket", "Upgrade: WebSocket")
        .replace("Connection: Upgrade", "Connection: keep-alive, upgrade");
    let mut client = rig.raw();
    client.write(good.as_bytes());
    assert!(client.head(&mut rig).starts_with("HTTP/1.1 101 "));
    assert_eq!(client.text(&mut rig), "1::");
    for (from, to) in [
        (KEY, "short"),
        ("Connection: Upgrade", "Connection: close"),
        ("GET", "POST"),
    ] {
        let mut other = rig.raw();
        other.write(request(&sockets(&sid), "").replace(from, to).as_bytes());
        let answer = other.answer(&mut rig);
        assert!((400..500).contains(&answer.status), "{to}: {answer:?}");
    }
    client.send("3:::x");
    assert_eq!(client.text(&mut rig), "3:::x");
    rig.over(&script, client);
}

#[test]
fn a_ping_is_answered_with_what_it_brought() {
    let (mut rig, script) = sio(Script::default());
    let (_, mut client) = rig.socket();
    for data in [&b""[..], b"x", &[0xff; 125]] {
        client.write(&masked(0x89, data));
        let frame = client.frame(&mut rig);
        assert_eq!((frame.head, &*frame.payload), (0x8a, data));
    }
    rig.over(&script, client);
}

/// Messages of every form of the length field.
#[test]
fn long_messages() {
    let (mut rig, script) = sio(Script::default());
    let (_, mut client) = rig.socket();
    for len in [120, 121, 122, 65_530, 65_531, 65_532, 120_000] {
        let text = format!("3:::{}", "x".repeat(len));
        client.write_long(&mut rig, &masked(0x81, text.as_bytes()));
        assert_eq!(client.text(&mut rig), text, "{len}");
    }
    rig.over(&script, client);
}

/// Broken frames end the WebSocket as the RFC says, and the session waits for its client.
#[test]
fn empty_messages_are_nothing() {
    let (mut rig, script) = sio_of(
        noting(),
        SocketIoSettings {
            broken_packets_max: 0,
            ..calm()
        },
    );
    let (_, mut client) = rig.socket();
    script.taken();
    for _ in 0..3 {
        client.send("");
    }
    client.send("3:::x");
    rig.settle();
    assert_eq!(script.taken(), ["text x"]);
    assert_eq!(rig.stats().protocol_errors, 0);
    rig.over(&script, client);
}

#[test]
fn broken_frames() {
    for (bytes, code) in [
        (masked(0xc1, b"3:::x"), 1002),
        (vec![0x81, 0x05, b'3', b':', b':', b':', b'x'], 1002),
        (masked(0x81, b"3:::\xff"), 1007),
        (masked(0x82, b"3:::x"), 1003),
    ] {
        let (mut rig, script) = sio(Script::default());
        let (sid, mut client) = rig.socket();
        client.write(&bytes);
        assert_eq!(client.close_code(&mut rig), Some(code));
        drop(client);
        rig.settle();
        // It was the conn's fault: the session can be had by another way, or has ended for it.
        let told = rig.start("GET", &polls(&sid), "", b"");
        rig.serves_another();
        drop(told);
        rig.over(&script, ());
        assert_eq!(script.closed().len(), 2);
    }
}

/// It beats first, and is used when something comes back.
#[test]
fn checked_first() {
    let of = SocketIoSettings {
        websocket_check: true,
        ..calm()
    };
    for answer in ["2::", "3:::x", "8::"] {
        let (mut rig, script) = sio_of(Script::default(), of.clone());
        let sid = rig.shake();
        let mut client = rig.attach(&sid);
        assert_eq!(client.text(&mut rig), "2::");
        rig.pass(ms(4500));
        client.silent(&mut rig);
        client.send(answer);
        assert_eq!(client.text(&mut rig), "1::", "{answer}");
        client.send("3:::y");
        let texts = client.texts(&mut rig);
        assert_eq!(texts.last().unwrap(), "3:::y", "{answer}");
        rig.over(&script, client);
    }
}

/// Nothing comes back: the next transport has a try, on the same session.
#[test]
fn checked_in_vain() {
    let of = SocketIoSettings {
        websocket_check: true,
        ..calm()
    };
    let (mut rig, script) = sio_of(Script::default(), of);
    let sid = rig.shake();
    let mut client = rig.attach(&sid);
    assert_eq!(client.text(&mut rig), "2::");
    rig.pass(ms(5500));
    client.closes(&mut rig);
    assert!(script.closed().is_empty());
    assert_eq!(rig.poll(&sid), "1::");
    rig.over(&script, client);
    assert_eq!(causes(&script), [(0, Cause::Timeout)]);
}

/// A WebSocket that has to make room is heard no more.
#[test]
fn packets_of_one_that_was_replaced() {
    let (mut rig, script) = sio(noting());
    let (sid, mut old) = rig.socket();
    script.taken();
    let mut new = rig.attach(&sid);
    old.send("3:::late");
    old.send("0::");
    new.send("3:::x");
    rig.settle();
    assert_eq!(script.taken(), ["text x"]);
    old.closes(&mut rig);
    new.silent(&mut rig);
    new.send("3:::y");
    rig.settle();
    assert_eq!(script.taken(), ["text y"]);
    rig.over(&script, new);
}

/// Its session ends while it is on trial.
#[test]
fn the_session_of_one_that_is_checked_ends() {
    for answers in [true, false] {
        let (mut rig, script) = sio_of(
            noting(),
            SocketIoSettings {
                websocket_check: true,
                ..calm()
            },
        );
        let sid = rig.session();
        let mut client = rig.attach(&sid);
        assert_eq!(client.text(&mut rig), "2::");
        rig.push(&sid, &["0::"]);
        script.taken();
        if answers {
            client.send("3:::x");
        }
        rig.pass(secs(6));
        let frames = client.frames(&mut rig);
        assert_eq!(
            frames.last().map(|frame| frame.head),
            Some(0x88),
            "{answers}"
        );
        assert!(script.taken().is_empty());
        rig.over(&script, client);
        assert_eq!(script.closed(), [0]);
    }
}

/// While a WebSocket is on trial the session is at others' disposal.
#[test]
fn another_comes_while_one_is_checked() {
    let of = SocketIoSettings {
        websocket_check: true,
        ..calm()
    };
    let (mut rig, script) = sio_of(Script::default(), of);
    let sid = rig.shake();
    let mut client = rig.attach(&sid);
    assert_eq!(client.text(&mut rig), "2::");
    assert_eq!(rig.poll(&sid), "1::");
    client.reset();
    rig.settle();
    rig.push(&sid, &["3:::x"]);
    assert_eq!(rig.poll(&sid), "3:::x");
    rig.over(&script, ());
}
