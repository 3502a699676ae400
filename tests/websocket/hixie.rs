//! The drafts before RFC 6455, at all mounts, and the policy of Flash.

use crate::support::*;
use dustdevil::reactor::Clock;
use dustdevil::{
    Cause, Dialect, FlashPolicy, Json, Routes, Sent, Settings, SockJs, SocketIo, SocketServer,
    WebSocket,
};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;

const KEYS: &str = "Sec-WebSocket-Key1: 18x 6]8vM;54 *(5:  {   U1]8  z [  8\r\n\
    Sec-WebSocket-Key2: 1_ tx7X d  <  nw  334J702) 7]o}` 0\r\n";
const NONCE: &[u8] = b"Tm[K T2u";
const PROOF: &str = "fQJ,fN/4F4!~K~MH";

fn head(path: &str, keys: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: a:1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
         Origin: http://a:1\r\n{keys}\r\n"
    )
}

fn old() -> WebSocket {
    WebSocket {
        hixie76: true,
        hixie75: true,
        ..WebSocket::default()
    }
}

/// A class at every kind of mount.
fn everywhere(script: Script) -> (Rig<World>, Rc<Script>) {
    let script = Rc::new(script);
    let router = router(&script);
    let routes = Routes::new()
        .websocket("/ws", &router, WebSocket::default())
        .websocket("/old", &router, old())
        .sockjs("/s", &router, SockJs::default())
        .socketio("/socket.io", &router, SocketIo::default());
    (Rig::new(World::new(), Settings::default(), routes), script)
}

/// What comes until `end` does.
fn until(rig: &mut Rig<World>, client: &mut Client, end: &str) -> String {
    client.until(rig, end, |client| {
        let text = String::from_utf8_lossy(&client.got).into_owned();
        text.ends_with(end).then(|| {
            client.got.clear();
            text
        })
    })
}

#[test]
fn the_head_comes_before_the_nonce_and_frames_right_behind_it() {
    let (mut rig, script) = everywhere(Script::default());
    let mut client = rig.raw();
    client.write(head("/old", KEYS).as_bytes());
    let answer = until(&mut rig, &mut client, "\r\n\r\n");
    assert_eq!(
        answer,
        "HTTP/1.1 101 WebSocket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Origin: http://a:1\r\nSec-WebSocket-Location: ws://a:1/old\r\n\r\n"
    );
    for byte in &NONCE[..7] {
        client.write(&[*byte]);
        rig.settle();
        client.silent(&mut rig);
    }
    client.write(&[NONCE[7]]);
    client.write(b"\0one\xff\0t\xc3\xa9\xff");
    client.until(&mut rig, "answer", |client| {
        let want = [PROOF.as_bytes(), b"\0one\xff\0t\xc3\xa9\xff"].concat();
        (client.got == want).then_some(())
    });
    client.got.clear();
    client.write(b"\xff\0");
    assert_eq!(client.rest(&mut rig), b"\xff\0");
    let why = script.last_reason();
    assert_eq!(
        (why.cause, why.code, why.clean),
        (Cause::Client, 1005, true)
    );
}

#[test]
fn every_mount_that_says_so() {
    for (path, first, say, back) in [
        ("/old", "", "x", "\0x"),
        ("/s/0/a/websocket", "\0o", "[\"x\"]", "\0a[\"x\"]"),
        (
            "/socket.io/websocket",
            "\0~m~32~m~",
            "~m~1~m~x",
            "\0~m~1~m~x",
        ),
    ] {
        let (mut rig, _) = everywhere(Script::default());
        let mut client = rig.raw();
        client.write(head(path, KEYS).as_bytes());
        client.write(NONCE);
        client.until(&mut rig, "answer", |client| {
            let text = String::from_utf8_lossy(&client.got).into_owned();
            let (_, body) = text.split_once(PROOF)?;
            body.starts_with(first).then_some(())
        });
        client.got.clear();
        client.write(format!("\0{say}").as_bytes());
        client.write(b"\xff");
        client.until(&mut rig, "answer", |client| {
            let want = [back.as_bytes(), b"\xff"].concat();
            client.got.ends_with(&want).then_some(())
        });
        // The server closes; the client answers and all is gone.
        drop(client);
        rig.settle();
        assert_eq!(rig.stats().conns_open, 0, "{path}");
    }
}

#[test]
fn where_it_is_off_it_is_no_handshake() {
    let (mut rig, _) = everywhere(Script::default());
    for (path, keys) in [("/ws", KEYS), ("/ws", ""), ("/socket.io/websocket", "")] {
        let mut client = rig.raw();
        client.write(head(path, keys).as_bytes());
        client.write(NONCE);
        let answer = String::from_utf8(client.rest(&mut rig)).unwrap();
        assert!(answer.starts_with("HTTP/1.1 4"), "{path}: {answer}");
    }
}

#[test]
fn hixie_75_has_no_proof_and_no_closing() {
    let (mut rig, script) = everywhere(Script {
        message: Box::new(|_, cx, message| {
            cx.send(message);
            cx.close();
        }),
        ..Script::default()
    });
    let mut client = rig.raw();
    client.write(head("/old", "").as_bytes());
    client.write(b"\0x\xff");
    let all = client.rest(&mut rig);
    let text = String::from_utf8_lossy(&all);
    assert!(text.starts_with("HTTP/1.1 101 Web Socket Protocol Handshake\r\n"));
    assert!(text.contains("\r\nWebSocket-Location: ws://a:1/old\r\n\r\n"));
    assert!(all.ends_with(b"\r\n\r\n\0x\xff"));
    assert_eq!(script.closed(), [0]);
}

#[test]
fn binary_and_pings_have_no_form() {
    let (mut rig, script) = everywhere(Script {
        message: Box::new(|me, cx, _| {
            assert_eq!(cx.dialect(), Dialect::WebSocket);
            me.script
                .note(format!("{:?} {:?}", cx.send(b"x"), cx.ping(b"")));
            assert_eq!(cx.send(Json([1])), Sent::Queued);
        }),
        ..Script::default()
    });
    let mut client = rig.raw();
    client.write(head("/old", KEYS).as_bytes());
    client.write(NONCE);
    client.write(b"\0?\xff");
    client.until(&mut rig, "answer", |client| {
        client.got.ends_with(b"\0[1]\xff").then_some(())
    });
    assert_eq!(script.taken(), ["Unsupported Unsupported"]);
}

#[test]
fn a_broadcast_is_framed_for_each() {
    let (mut rig, _) = everywhere(Script {
        message: Box::new(|_, cx, message| {
            cx.all().send(message);
        }),
        ..Script::default()
    });
    let mut new = rig.client("/ws");
    let mut old = rig.raw();
    old.write(head("/old", KEYS).as_bytes());
    old.write(NONCE);
    old.until(&mut rig, "answer", |client| {
        client.got.ends_with(PROOF.as_bytes()).then_some(())
    });
    old.got.clear();
    for len in [1, 100_000] {
        let text = "t".repeat(len);
        new.send(&text);
        assert_eq!(new.text(&mut rig), text);
        old.until(&mut rig, "answer", |client| {
            (client.got.len() == len + 2).then_some(())
        });
        assert_eq!(old.got, [b"\0", text.as_bytes(), b"\xff"].concat());
        old.got.clear();
    }
}

#[test]
fn a_nonce_that_does_not_come() {
    let (mut rig, script) = everywhere(Script::default());
    let mut client = rig.raw();
    client.write(head("/old", KEYS).as_bytes());
    until(&mut rig, &mut client, "\r\n\r\n");
    client.write(&NONCE[..7]);
    rig.pass(secs(11));
    assert_eq!(client.rest(&mut rig), b"");
    assert_eq!(script.last_reason().cause, Cause::Timeout);
    assert_eq!(rig.stats().conns_open, 0);
}

/// What waits for a nonce counts: for the sender, who is told when it was taken, and for the server.
#[test]
fn what_waits_for_a_nonce_is_counted() {
    let settings = Settings {
        write_low_bytes: 1 << 10,
        write_high_bytes: 4 << 10,
        write_max_bytes: 64 << 10,
        buffers_max_bytes: 1 << 20,
        ..Settings::default()
    };
    let script = Rc::new(Script {
        writable: Box::new(|me, _| me.script.note("writable")),
        ..Script::default()
    });
    let routes = Routes::new().websocket("/old", &router(&script), old());
    let mut rig = Rig::new(World::new(), settings, routes);
    let mut client = rig.raw();
    client.write(head("/old", KEYS).as_bytes());
    until(&mut rig, &mut client, "\r\n\r\n");
    let text = "x".repeat(3000);
    let id = script.id(0);
    let send = |rig: &mut Rig<World>| {
        let sent = rig.server.with_app(|app| app.to(id).send(&text)).unwrap();
        rig.settle();
        assert_eq!(sent, 1);
    };
    let held = |rig: &mut Rig<World>| {
        let stats = rig.stats();
        stats.bytes_unfinished + stats.bytes_queued
    };
    for n in 1..=3 {
        send(&mut rig);
        assert_eq!(held(&mut rig), n * 3002);
    }
    assert_eq!(script.taken(), [""; 0], "nobody has taken it");
    client.write(NONCE);
    let got = until(&mut rig, &mut client, "x\u{fffd}");
    assert_eq!(got.matches(&*text).count(), 3);
    assert_eq!(script.taken(), ["writable"]);
    assert_eq!(held(&mut rig), 0);
    // Many of them, and much for each.
    let clients: Vec<_> = (0..40)
        .map(|_| {
            let mut client = rig.raw();
            client.write(head("/old", KEYS).as_bytes());
            until(&mut rig, &mut client, "\r\n\r\n");
            client
        })
        .collect();
    for _ in 0..12 {
        rig.server
            .with_app(|app| {
                app.to_each(script.ids.borrow()[1..].iter().copied())
                    .send(&text)
            })
            .unwrap();
        rig.settle();
        assert!(held(&mut rig) < 1 << 20);
    }
    let stats = rig.stats();
    assert!(stats.memory_closes > 0 && stats.overflows == 0, "{stats:?}");
    assert_eq!(script.last_reason().cause, Cause::Overflow);
    client.write(b"\0still here\xff");
    until(&mut rig, &mut client, "\0still here\u{fffd}");
    // One alone gets no more than it may.
    let mut alone = rig.raw();
    alone.write(head("/old", KEYS).as_bytes());
    until(&mut rig, &mut alone, "\r\n\r\n");
    let id = *script.ids.borrow().last().unwrap();
    let full = rig.server.with_app(|app| {
        let long = "x".repeat(64 << 10);
        [app.to(id).send(&long), app.to(id).send("x")]
    });
    assert_eq!(full.unwrap(), [1, 0]);
    assert_eq!(rig.stats().overflows, 1);
    drop((clients, alone, client));
    rig.settle();
    assert_eq!(held(&mut rig), 0);
}

/// A connection that holds its messages, or is behind, is asked for its nonce all the same.
#[test]
fn a_nonce_is_read_whatever_waits() {
    for word in ["hold", "much"] {
        let script = Script {
            open: Box::new(move |me, cx, _| {
                match word {
                    "hold" => {
                        let held = cx.ordered();
                        cx.after(secs(1), move |_, _| drop(held));
                    }
                    _ => {
                        let sent: Vec<_> = (0..2).map(|_| cx.send("x".repeat(300 << 10))).collect();
                        me.script.note(format!("{sent:?}"));
                    }
                }
                Ok(())
            }),
            ..Script::default()
        };
        let (mut rig, script) = everywhere(script);
        let mut client = rig.raw();
        client.write(head("/old", KEYS).as_bytes());
        until(&mut rig, &mut client, "\r\n\r\n");
        client.write(NONCE);
        client.write(b"\0one\xff");
        if word == "hold" {
            assert_eq!(until(&mut rig, &mut client, PROOF), PROOF);
            rig.settle();
            client.silent(&mut rig);
            rig.pass(secs(1));
        } else {
            assert_eq!(script.taken(), ["[Full, Full]"]);
        }
        until(&mut rig, &mut client, "\0one\u{fffd}");
        drop(client);
        rig.settle();
        assert_eq!(rig.stats().conns_open, 0);
    }
}

#[test]
fn what_is_broken_ends() {
    for bytes in [&b"\x80\x01x"[..], b"x", b"\0\xc3(\xff"] {
        let (mut rig, script) = everywhere(Script::default());
        let mut client = rig.raw();
        client.write(head("/old", KEYS).as_bytes());
        client.write(NONCE);
        client.write(bytes);
        let all = client.rest(&mut rig);
        assert!(all.ends_with(PROOF.as_bytes()), "{bytes:?}");
        assert_eq!(script.last_reason().cause, Cause::Protocol, "{bytes:?}");
    }
}

// ---- the policy of Flash ----------------------------------------------------------------------

fn with_policy(policy: FlashPolicy) -> Rig<()> {
    let (clock, hand) = Clock::manual();
    let server = SocketServer::with_clock((), clock).unwrap();
    let server = server.flash_policy(policy).page("/", "page");
    Rig::of(server.bind("127.0.0.1:0").unwrap(), hand)
}

#[test]
fn a_film_asks_on_the_servers_own_port() {
    let mut rig = with_policy(FlashPolicy::default());
    for pieces in [
        vec![&b"<policy-file-request/>\0"[..]],
        vec![b"<policy-file-request/>"],
        b"<policy-file-request/>\0".chunks(1).collect(),
    ] {
        let mut client = rig.raw();
        for piece in pieces {
            client.write(piece);
            rig.settle();
        }
        let answer = client.rest(&mut rig);
        assert!(answer.starts_with(b"<?xml version=\"1.0\"?>"));
        assert!(answer.ends_with(b"</cross-domain-policy>\n\0"));
    }
    let mut client = rig.raw();
    client.write(b"<policy-file-requests>\0");
    assert!(client.rest(&mut rig).starts_with(b"HTTP/1.1 400 "));
    let mut client = rig.raw();
    client.write(b"<policy");
    rig.pass(secs(2));
    client.write(b"-file");
    rig.pass(secs(2));
    assert_eq!(client.rest(&mut rig), b"");
    let mut client = rig.raw();
    client.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(client.rest(&mut rig).ends_with(b"page"));
}

#[test]
fn a_policy_of_ones_own() {
    let path = std::env::temp_dir().join(format!("policy-{}.xml", std::process::id()));
    std::fs::write(&path, "<mine/>").unwrap();
    let file = Some(path.clone());
    let mut rig = with_policy(FlashPolicy {
        file,
        ..FlashPolicy::default()
    });
    let mut client = rig.raw();
    client.write(b"<policy-file-request/>\0");
    assert_eq!(client.rest(&mut rig), b"<mine/>\0");
    std::fs::remove_file(&path).unwrap();
    let missing = FlashPolicy {
        file: Some(path),
        ..FlashPolicy::default()
    };
    let server = SocketServer::new(()).unwrap().flash_policy(missing);
    assert!(server.bind("127.0.0.1:0").is_err());
}

#[test]
fn without_a_policy_it_is_a_bad_request() {
    let (mut rig, _) = everywhere(Script::default());
    let mut client = rig.raw();
    client.write(b"<policy-file-request/>\0\r\n\r\n");
    assert!(client.rest(&mut rig).starts_with(b"HTTP/1.1 400 "));
}

/// Who wants to know where the server listens looks at the first address.
#[test]
fn a_port_for_policies_comes_last() {
    let policy = FlashPolicy {
        port: Some(0),
        address: [0, 0, 0, 0].into(),
        file: None,
    };
    let server = SocketServer::new(()).unwrap().flash_policy(policy);
    let server = server.bind("127.0.0.1:0").unwrap();
    let addresses = server.local_addrs();
    let hosts: Vec<_> = addresses.iter().map(|it| it.tcp().unwrap().ip()).collect();
    assert_eq!(
        hosts,
        [Ipv4Addr::LOCALHOST.into(), Ipv4Addr::UNSPECIFIED.into()] as [IpAddr; 2]
    );
}

/// Requests, other questions, and silence.
#[test]
fn a_port_for_policies_has_nothing_else() {
    let (clock, hand) = Clock::manual();
    let policy = FlashPolicy {
        port: Some(0),
        address: [127, 0, 0, 1].into(),
        file: None,
    };
    let server = SocketServer::with_clock((), clock).unwrap();
    let server = server.flash_policy(policy).page("/", "page");
    let server = server.bind("127.0.0.1:0").unwrap();
    let at = server.local_addrs()[1].tcp().unwrap();
    let mut rig = Rig::of(server, hand);
    let mut ask = |bytes: &[u8], then: u64| {
        let mut client = Client::connect(at);
        client.write(bytes);
        rig.settle();
        rig.pass(secs(then));
        client.rest(&mut rig)
    };
    assert!(ask(b"<policy-file-request/>", 0).ends_with(b"</cross-domain-policy>\n\0"));
    assert_eq!(ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0), b"");
    assert_eq!(ask(b"hello", 0), b"");
    assert_eq!(ask(b"<policy-file-requests>\0", 0), b"");
    assert_eq!(ask(b"<policy-file", 4), b"");
    assert_eq!(ask(b"", 4), b"");
    assert_eq!(rig.stats().bad_requests, 3);
    assert_eq!(rig.stats().conns_open, 0);
}

#[test]
fn a_server_for_policies_alone() {
    let policy = FlashPolicy {
        port: Some(0),
        address: [127, 0, 0, 1].into(),
        file: None,
    };
    let server = policy.server().unwrap();
    assert_eq!(server.local_addrs().len(), 1);
    // A port that is taken is no reason not to run.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let policy = FlashPolicy {
        port: Some(taken.local_addr().unwrap().port()),
        address: [127, 0, 0, 1].into(),
        file: None,
    };
    let server = SocketServer::new(()).unwrap().flash_policy(policy);
    let server = server.bind("127.0.0.1:0").unwrap();
    assert_eq!(server.local_addrs().len(), 1);
}

/// A server with a port for policies, and that port's address.
fn with_a_port(file: Option<std::path::PathBuf>, settings: Settings) -> (Rig<()>, SocketAddr) {
    let (clock, hand) = Clock::manual();
    let policy = FlashPolicy {
        port: Some(0),
        address: [127, 0, 0, 1].into(),
        file,
    };
    let server = SocketServer::with_clock((), clock).unwrap();
    let server = server.settings(settings).flash_policy(policy);
    let server = server.page("/", "page").bind("127.0.0.1:0").unwrap();
    let at = server.local_addrs()[1].tcp().unwrap();
    (Rig::of(server, hand), at)
}

/// A policy longer than any socket takes: who does not read it is given up, and the others have theirs.
#[test]
fn a_policy_that_is_not_read() {
    let path = std::env::temp_dir().join(format!("long-policy-{}.xml", std::process::id()));
    let policy = "x".repeat(16 << 20);
    std::fs::write(&path, &policy).unwrap();
    let (mut rig, at) = with_a_port(Some(path.clone()), Settings::default());
    std::fs::remove_file(&path).unwrap();
    let question = b"<policy-file-request/>\0";
    let mut held: Vec<Client> = [at, rig.addr].map(Client::connect).into();
    for client in &mut held {
        client.write(question);
    }
    rig.settle();
    let stats = rig.stats();
    assert_eq!(stats.conns_open, 2);
    assert!(stats.bytes_queued > 2 << 20, "{stats:?}");
    for at in [at, rig.addr] {
        let mut client = Client::connect(at);
        client.write(question);
        let answer = client.rest(&mut rig);
        assert_eq!(answer.len(), policy.len() + 1);
        assert_eq!(answer.last(), Some(&0));
    }
    rig.pass(secs(28));
    assert_eq!(rig.stats().conns_open, 2);
    rig.pass(secs(4));
    let stats = rig.stats();
    assert_eq!((stats.conns_open, stats.bytes_queued), (0, 0));
    assert_eq!(stats.write_timeouts, 2);
    // One that goes before it has read all, and one that goes at once.
    for seen in [true, false] {
        let mut client = Client::connect(at);
        client.write(question);
        if seen {
            rig.settle();
        }
        client.reset();
        rig.settle();
        let stats = rig.stats();
        assert_eq!((stats.conns_open, stats.bytes_queued), (0, 0));
    }
}

/// Who is one too many at the port for policies is cut without a word; on the other port it is told so.
#[test]
fn one_too_many_for_a_policy() {
    let question = b"<policy-file-request/>\0";
    for settings in [
        Settings {
            connections_max: 1,
            ..Settings::default()
        },
        Settings {
            connections_per_ip_max: 1,
            ..Settings::default()
        },
    ] {
        let (mut rig, at) = with_a_port(None, settings);
        let first = Client::connect(at);
        rig.settle();
        for n in 1..=3 {
            let mut late = Client::connect(at);
            rig.settle();
            assert_eq!(late.rest(&mut rig), b"");
            let mut late = rig.raw();
            let told = late.rest(&mut rig);
            assert!(told.starts_with(b"HTTP/1.1 503 "), "{told:?}");
            drop(late);
            rig.settle();
            let stats = rig.stats();
            assert_eq!((stats.conns_open, stats.refused), (1, 2 * n));
        }
        // Who never asks makes room, too.
        rig.pass(secs(4));
        for at in [at, rig.addr] {
            let mut client = Client::connect(at);
            client.write(question);
            let answer = client.rest(&mut rig);
            assert!(answer.ends_with(b"</cross-domain-policy>\n\0"));
            drop(client);
            rig.settle();
        }
        assert_eq!(rig.stats().conns_open, 0);
        drop(first);
    }
}
