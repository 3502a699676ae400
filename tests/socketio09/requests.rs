//! Requests that name a session: which are served, which are refused, and with what.

use crate::support::*;
use dustdevil::reactor::Clock;
use dustdevil::{Cause, Routes, SocketIo, SocketIoSettings, SocketServer, Transport};

#[test]
fn unknown_sessions() {
    let (mut rig, script) = sio(Script::default());
    for sid in ["x", &"0".repeat(32), &"a".repeat(128)] {
        let answer = rig.get(sid);
        assert_eq!((answer.status, &*answer.text()), (200, UNKNOWN));
        let answer = rig.ask("POST", &polls(sid), PLAIN, b"3:::x");
        assert_eq!((answer.status, &*answer.body), (401, &b""[..]));
        let of = path(Transport::JsonpPolling, sid);
        let answer = rig.ask("GET", &format!("{of}?i=2"), "", b"");
        assert_eq!(
            (answer.status, called(&answer.text(), 2).as_str()),
            (200, UNKNOWN)
        );
        let answer = rig.ask("POST", &of, FORM, b"d=%222::%22");
        assert_eq!((answer.status, &*answer.body), (401, &b""[..]));
        let mut page = rig.start("GET", &path(Transport::HtmlFile, sid), "", b"");
        let answer = page.answer(&mut rig);
        assert_eq!(answer.status, 200);
        assert!(answer.text().contains(UNKNOWN), "{answer:?}");
    }
    assert_eq!(rig.stats().sessions_open, 0);
    rig.over(&script, ());
}

#[test]
fn unknown_session_401() {
    let (mut rig, script) = sio_of(
        Script::default(),
        SocketIoSettings {
            unknown_session_401: true,
            ..calm()
        },
    );
    for transport in [
        Transport::XhrPolling,
        Transport::JsonpPolling,
        Transport::HtmlFile,
    ] {
        for method in ["GET", "POST"] {
            let answer = rig.ask(method, &path(transport, "x"), "", b"");
            assert_eq!(answer.status, 401, "{method} {transport:?}");
        }
    }
    rig.over(&script, ());
}

#[test]
fn unknown_and_disabled_transports() {
    let of = SocketIo {
        enabled_protocols: vec![Transport::WebSocket],
        ..mount(calm())
    };
    let (mut rig, script) = sio_with(Script::default(), Default::default(), of);
    let sid = rig.shake();
    for name in [
        "xhr-multipart",
        "xhr-polling",
        "jsonp-polling",
        "htmlfile",
        "WebSocket",
        "x",
    ] {
        for method in ["GET", "POST"] {
            let path = format!("/socket.io/1/{name}/{sid}");
            let answer = rig.ask(method, &path, "", b"");
            assert_eq!(answer.status, 404, "{method} {name}");
        }
    }
    let mut client = rig.attach(&sid);
    assert_eq!(client.text(&mut rig), "1::");
    rig.over(&script, client);
}

#[test]
fn other_methods() {
    let (mut rig, script) = sio(noting());
    let sid = rig.session();
    script.taken();
    for transport in [
        Transport::XhrPolling,
        Transport::JsonpPolling,
        Transport::HtmlFile,
    ] {
        for method in ["HEAD", "DELETE", "PUT", "PATCH"] {
            let mut client = rig.start(method, &path(transport, &sid), "", b"");
            let head = client.head(&mut rig);
            assert!(
                head.starts_with("HTTP/1.1 405 "),
                "{method} {transport:?}: {head}"
            );
        }
    }
    assert!(script.taken().is_empty() && script.closed().is_empty());
    rig.push(&sid, &["3:::x"]);
    assert_eq!(script.taken(), ["text x"]);
    rig.over(&script, ());
}

#[test]
fn body_bytes_max() {
    let (mut rig, script) = sio_of(
        Script::default(),
        SocketIoSettings {
            body_bytes_max: 100,
            ..calm()
        },
    );
    let sid = rig.session();
    let just = format!("3:::{}", "x".repeat(96));
    assert_eq!(rig.post(&sid, &just), 200);
    assert_eq!(rig.poll(&sid), just);
    assert_eq!(rig.post(&sid, &format!("{just}x")), 413);
    // Its end is not told before.
    let chunked = "Transfer-Encoding: chunked\r\n";
    let mut bytes =
        format!("POST {} HTTP/1.1\r\nHost: h\r\n{chunked}\r\n", polls(&sid)).into_bytes();
    bytes.extend_from_slice(format!("65\r\n{just}x\r\n0\r\n\r\n").as_bytes());
    let mut client = rig.raw();
    client.write(&bytes);
    assert_eq!(client.answer(&mut rig).status, 413);
    assert!(script.closed().is_empty());
    assert_eq!(rig.post(&sid, "3:::y"), 200);
    assert_eq!(rig.poll(&sid), "3:::y");
    rig.over(&script, client);
}

#[test]
fn body_bytes_max_by_default() {
    let (mut rig, script) = sio(noting());
    let sid = rig.session();
    script.taken();
    let just = format!("3:::{}", "x".repeat((1 << 20) - 4));
    assert_eq!(rig.post(&sid, &just), 200);
    assert_eq!(script.taken().len(), 1);
    assert_eq!(rig.post(&sid, &format!("{just}x")), 413);
    assert!(script.taken().is_empty());
    rig.serves_another();
    rig.over(&script, ());
}

#[test]
fn packets_max() {
    let (mut rig, script) = sio_of(
        noting(),
        SocketIoSettings {
            packets_max: 3,
            ..calm()
        },
    );
    let sid = rig.session();
    script.taken();
    assert_eq!(rig.post(&sid, &payload(&["3:::a"; 3])), 200);
    assert_eq!(script.taken(), ["text a"; 3]);
    assert_eq!(rig.post(&sid, &payload(&["3:::a"; 4])), 400);
    assert!(script.taken().is_empty() && script.closed().is_empty());
    rig.push(&sid, &["3:::b"]);
    assert_eq!(script.taken(), ["text b"]);
    rig.over(&script, ());
}

/// The smallest packets there are, as many as fit.
#[test]
fn packets_max_by_default() {
    let (mut rig, script) = sio(noting());
    let sid = rig.session();
    script.taken();
    assert_eq!(rig.post(&sid, &framed("3").repeat(10_000)), 200);
    rig.settle();
    assert_eq!(script.taken().len(), 10_000);
    assert_eq!(rig.post(&sid, &framed("3").repeat(10_001)), 400);
    assert!(script.taken().is_empty());
    rig.serves_another();
    rig.over(&script, ());
}

#[test]
fn bodies_that_are_no_utf8() {
    let (mut rig, script) = sio(noting());
    let sid = rig.session();
    script.taken();
    for body in [
        &b"3:::\xff"[..],
        b"3:::\xc3",
        b"\xef\xbf",
        b"3:::\xed\xa0\x80",
    ] {
        let answer = rig.ask("POST", &polls(&sid), PLAIN, body);
        assert_eq!(answer.status, 400, "{body:?}");
    }
    assert!(script.taken().is_empty() && script.closed().is_empty());
    assert_eq!(rig.post(&sid, "3:::x"), 200);
    rig.over(&script, ());
}

#[test]
fn verify_remote_ip() {
    for verified in [true, false] {
        let (mut rig, script) = sio_of(
            noting(),
            SocketIoSettings {
                verify_remote_ip: verified,
                ..calm()
            },
        );
        let sid = rig.session();
        script.taken();
        let mut there = Client::connect_from([127, 0, 0, 2], rig.addr);
        there.write(&http("POST", &polls(&sid), PLAIN, b"3:::theirs"));
        let status = there.answer(&mut rig).status;
        assert_eq!(status, if verified { 401 } else { 200 });
        rig.push(&sid, &["3:::own"]);
        let taken = script.taken();
        assert_eq!(taken.contains(&"text theirs".to_owned()), !verified);
        assert!(taken.contains(&"text own".to_owned()));
        there.write(&http("GET", &polls(&sid), "", b""));
        if verified {
            assert_eq!(there.answer(&mut rig).status, 401);
            let lines = request(&sockets(&sid), "");
            let mut socket = Client::connect_from([127, 0, 0, 2], rig.addr);
            socket.write(lines.as_bytes());
            assert!(socket.head(&mut rig).starts_with("HTTP/1.1 401 "));
            let path = format!("/socket.io/1//{sid}/?disconnect=1");
            there.write(&http("GET", &path, "", b""));
            there.answer(&mut rig);
            assert!(script.closed().is_empty(), "ended from elsewhere");
        } else {
            there.silent(&mut rig);
            rig.push(&sid, &["0::"]);
            assert_eq!(there.answer(&mut rig).text(), "0::");
        }
        rig.over(&script, there);
        assert_eq!(script.closed(), [0]);
    }
}

/// Behind a proxy that is trusted, addresses are those that it tells.
#[test]
fn addresses_behind_a_proxy() {
    let script = std::rc::Rc::new(Script::default());
    let of = SocketIoSettings {
        verify_remote_ip: true,
        sessions_per_ip_max: 2,
        ..calm()
    };
    let routes = Routes::new().socketio("/socket.io", &router(&script), mount(of));
    let mut rig = Rig::behind_proxies(routes);
    let from = |ip: &str| format!("X-Forwarded-For: {ip}\r\n");
    let mut sids = Vec::new();
    for (ip, status) in [
        ("10.0.0.1", 200),
        ("10.0.0.1", 200),
        ("10.0.0.1", 503),
        ("10.0.0.2", 200),
    ] {
        let answer = rig.ask("GET", SHAKE, &from(ip), b"");
        assert_eq!(answer.status, status, "{ip}");
        sids.push(answer.text());
    }
    let sid = sid_of(&sids[0]);
    let path = polls(&sid);
    assert_eq!(rig.ask("GET", &path, &from("10.0.0.2"), b"").status, 401);
    assert_eq!(
        rig.ask("POST", &path, &from("10.0.0.2"), b"3:::x").status,
        401
    );
    assert_eq!(rig.ask("GET", &path, &from("10.0.0.1"), b"").text(), "1::");
    assert_eq!(
        rig.ask("POST", &path, &from("10.0.0.1"), b"3:::x").status,
        200
    );
    rig.over(&script, ());
}

impl Rig<World> {
    fn behind_proxies(routes: Routes<World>) -> Self {
        let (clock, hand) = Clock::manual();
        let server = SocketServer::with_clock(World::new(), clock)
            .unwrap()
            .trust_proxies(["127.0.0.1"])
            .unwrap()
            .routes(routes)
            .bind("127.0.0.1:0")
            .unwrap();
        let addr = server.local_addrs()[0].tcp().unwrap();
        Self {
            server,
            clock: hand,
            addr,
        }
    }
}

/// The URL with which a page that is left ends its session.
#[test]
fn disconnect_requests() {
    for query in ["?disconnect=1", "?disconnect", "?t=1&disconnect=1"] {
        let (mut rig, script) = sio(Script::default());
        let sid = rig.session();
        let mut poll = rig.hold(&sid);
        let path = format!("{}{query}", polls(&sid));
        let answer = rig.ask("GET", &path, "", b"");
        assert_eq!((answer.status, &*answer.body), (200, &b""[..]), "{query}");
        assert_eq!(poll.answer(&mut rig).text(), "0::");
        assert_eq!(causes(&script), [(0, Cause::Client)]);
        // Again, and for who was never there.
        assert_eq!(rig.ask("GET", &path, "", b"").status, 200);
        let nobody = format!("{}{query}", polls("nobody"));
        let answer = rig.ask("GET", &nobody, "", b"");
        assert_eq!((answer.status, &*answer.body), (200, &b""[..]));
        assert_eq!(rig.poll(&sid), UNKNOWN);
        assert_eq!(rig.stats().sessions_open, 0);
        rig.over(&script, poll);
    }
}

/// The form of real clients: no transport, a slash behind the id.
#[test]
fn disconnect_requests_without_a_transport() {
    let (mut rig, script) = sio(Script::default());
    for method in ["GET", "POST"] {
        let (sid, mut client) = rig.socket();
        let path = format!("/socket.io/1//{sid}/?disconnect=1");
        let answer = rig.ask(method, &path, "", b"");
        assert_eq!((answer.status, &*answer.body), (200, &b""[..]));
        client.told(&mut rig, "0::");
        assert_eq!(rig.poll(&sid), UNKNOWN);
    }
    let answer = rig.ask("GET", "/socket.io/1//nobody/?disconnect=1", "", b"");
    assert_eq!(answer.status, 200);
    // Without the query it means nothing.
    let sid = rig.session();
    let path = format!("/socket.io/1//{sid}/");
    assert_eq!(rig.ask("GET", &path, "", b"").status, 404);
    rig.push(&sid, &["3:::x"]);
    rig.over(&script, ());
    assert_eq!(
        causes(&script),
        [(0, Cause::Client), (1, Cause::Client), (2, Cause::Timeout)]
    );
}

/// Requests that come one behind the other on one conn.
#[test]
fn pipelined() {
    let (mut rig, script) = sio(Script::default());
    let sid = rig.shake();
    let mut client = rig.raw();
    let mut bytes = http("GET", &polls(&sid), "", b"");
    bytes.extend(http("POST", &polls(&sid), PLAIN, b"3:::a"));
    bytes.extend(http("GET", &polls(&sid), "", b""));
    client.write(&bytes);
    let texts: Vec<String> = (0..3).map(|_| client.answer(&mut rig).text()).collect();
    assert_eq!(texts, ["1::", "1", "3:::a"]);
    rig.over(&script, client);
}

/// The type of a body is the browser's business: each is answered, and its packets are handed on.
#[test]
fn bodies_of_any_type() {
    for kind in [
        "application/octet-stream",
        "application/json",
        "multipart/form-data; boundary=x",
        "text/plain",
        "nonsense",
        "",
    ] {
        let (mut rig, script) = sio(noting());
        let sid = rig.session();
        script.taken();
        let lines = format!("Content-Type: {kind}\r\n");
        let mut client = rig.raw();
        for transport in [Transport::XhrPolling, Transport::HtmlFile] {
            client.write(&http("POST", &path(transport, &sid), &lines, b"3:::x"));
            let answer = client.answer(&mut rig);
            assert_eq!((answer.status, &*answer.text()), (200, "1"), "{kind}");
            assert_eq!(script.taken(), ["text x"], "{transport:?} {kind}");
        }
        let path = path(Transport::JsonpPolling, &sid);
        client.write(&http("POST", &path, &lines, b"d=%223:::y%22"));
        assert_eq!(client.answer(&mut rig).status, 200, "{kind}");
        assert_eq!(script.taken(), ["text y"], "{kind}");
        rig.over(&script, client);
    }
}
