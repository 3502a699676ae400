//! Listeners, proxies, CORS, draining.

use crate::support::{End, Rig};
use dustdevil::{
    Cors, Error, OriginPattern, Origins, Response, Route, Routes, Settings, SocketServer,
};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

fn answering(text: &'static str) -> Routes<()> {
    Routes::new().route(Route::get("/", move |_, _, reply| {
        reply.send(Response::text(text))
    }))
}

fn turns(server: &mut SocketServer<()>) {
    for _ in 0..10 {
        server.poll_once(Some(Duration::from_millis(1))).unwrap();
    }
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

fn ask(server: &mut SocketServer<()>, mut socket: impl Read + Write) -> String {
    socket.write_all(GET).unwrap();
    turns(server);
    let mut text = String::new();
    socket.read_to_string(&mut text).unwrap();
    text.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[test]
fn two_applications_on_two_ports() {
    let mut server = SocketServer::new(())
        .unwrap()
        .routes(answering("one"))
        .bind("127.0.0.1:0")
        .unwrap()
        .bind_with("127.0.0.1:0", answering("two"))
        .unwrap();
    for (address, want) in server.local_addrs().iter().zip(["one", "two"]) {
        let socket = TcpStream::connect(address.tcp().unwrap()).unwrap();
        assert_eq!(ask(&mut server, socket), want);
    }
}

#[test]
fn a_unix_socket() {
    let path = std::env::temp_dir().join(format!("dustdevil-{}.sock", std::process::id()));
    // A stale file of a server that is gone.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let mut server = SocketServer::new(())
        .unwrap()
        .routes(answering("unix"))
        .bind_unix(&path)
        .unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let socket = UnixStream::connect(&path).unwrap();
    assert_eq!(ask(&mut server, socket), "unix");
    drop(server);
    assert!(!path.exists());
}

#[test]
fn several_servers_share_a_port_by_option() {
    let settings = Settings {
        reuse_port: true,
        ..Settings::default()
    };
    let server = |address: &str, settings: &Settings| {
        let server = SocketServer::new(()).unwrap().settings(settings.clone());
        server.routes(answering("shared")).bind(address)
    };
    let mut first = server("127.0.0.1:0", &settings).unwrap();
    let address = first.local_addrs()[0].to_string();
    let mut second = server(&address, &settings).unwrap();
    assert!(matches!(
        server(&address, &Settings::default()),
        Err(Error::Io { .. })
    ));
    let mut socket = TcpStream::connect(&address).unwrap();
    socket.write_all(GET).unwrap();
    turns(&mut first);
    turns(&mut second);
    let mut text = String::new();
    socket.read_to_string(&mut text).unwrap();
    assert!(text.ends_with("shared"));
}

#[test]
fn a_listener_of_somebody_else() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = SocketServer::new(())
        .unwrap()
        .routes(answering("mine"))
        .listen_on(listener)
        .unwrap();
    let socket = TcpStream::connect(address).unwrap();
    assert_eq!(ask(&mut server, socket), "mine");
}

#[test]
fn a_bad_pattern_is_an_error() {
    let server = SocketServer::new(())
        .unwrap()
        .get("nowhere", |_, _, reply| {
            reply.send(Response::new(200));
        });
    let error = server.bind("127.0.0.1:0").err().expect("no slash");
    assert!(error.to_string().contains("\"nowhere\""), "{error}");
}

/// Proxies are believed if they are named, and only then.
#[test]
fn forwarded_fields() {
    let who = || {
        Routes::new().route(Route::get("/", |req, _, reply| {
            let ip = req.remote_ip().unwrap();
            reply.send(Response::text(format!(
                "{ip} {} {}",
                req.is_secure(),
                req.host()
            )));
        }))
    };
    let fields = "X-Forwarded-For: 9.9.9.9, 203.0.113.7\r\nX-Forwarded-Proto: https\r\n";
    for (trusted, want) in [
        (&["10.0.0.0/8"][..], "127.0.0.1 false a"),
        (&["127.0.0.1"], "203.0.113.7 true a"),
        (&["127.0.0.0/8", "203.0.113.7"], "9.9.9.9 true a"),
    ] {
        let server = SocketServer::new(()).unwrap();
        let server = server.trust_proxies(trusted.iter().copied()).unwrap();
        let mut server = server.routes(who()).bind("127.0.0.1:0").unwrap();
        let mut socket = TcpStream::connect(server.local_addrs()[0].tcp().unwrap()).unwrap();
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n");
        socket.write_all(head.as_bytes()).unwrap();
        turns(&mut server);
        let mut text = String::new();
        socket.read_to_string(&mut text).unwrap();
        assert!(text.ends_with(want), "{trusted:?}: {text}");
    }
    assert!(
        SocketServer::new(())
            .unwrap()
            .trust_proxies(["somewhere"])
            .is_err()
    );
}

#[test]
fn cross_origin() {
    let listed = Origins::List(vec![OriginPattern::parse("https://b.example").unwrap()]);
    #[rustfmt::skip]
    let cases = [
        (Origins::Any, false, "https://x.example", Some("*"), None),
        (Origins::Any, true, "https://x.example", Some("https://x.example"), Some("true")),
        (listed.clone(), false, "https://b.example", Some("https://b.example"), None),
        (listed.clone(), false, "https://x.example", None, None),
        (Origins::Same, false, "https://x.example", None, None),
        (Origins::Same, false, "http://a", Some("http://a"), None),
        (listed, true, "null", None, None),
    ];
    for (origins, credentials, origin, allowed, with_cookies) in cases {
        let cors = Rc::new(Cors {
            origins: origins.clone(),
            credentials,
            max_age: Duration::from_secs(60),
            ..Cors::default()
        });
        let preflight = Rc::clone(&cors);
        let routes = Routes::new()
            .route(Route::get("/", move |req, _, reply| {
                reply.send(cors.apply(req, Response::text("hello")));
            }))
            .route(Route::options("/", move |req, _, reply| {
                reply.send(preflight.preflight(req))
            }));
        let mut rig = Rig::with(Settings::default(), routes);
        let name = format!("{origins:?} {origin}");
        for (method, status) in [("GET", 200), ("OPTIONS", 204)] {
            let asks = "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: x-a";
            let head =
                format!("{method} / HTTP/1.1\r\nHost: a\r\nOrigin: {origin}\r\n{asks}\r\n\r\n");
            let client = rig.exchange(head.as_bytes(), usize::MAX, false);
            let answer = &client.answers(&[])[0];
            assert_eq!(answer.status, status, "{name}");
            assert_eq!(
                answer.field("access-control-allow-origin"),
                allowed,
                "{name}"
            );
            assert_eq!(
                answer.field("access-control-allow-credentials"),
                with_cookies,
                "{name}"
            );
            let varies = answer.head.contains("Vary: Origin\r\n");
            assert_eq!(varies, allowed != Some("*"), "{name}");
            if method == "OPTIONS" && allowed.is_some() {
                assert_eq!(
                    answer.field("access-control-allow-headers"),
                    Some("x-a"),
                    "{name}"
                );
                assert_eq!(answer.field("access-control-max-age"), Some("60"), "{name}");
            }
        }
    }
}

/// Idle connections close, the answer under way says so, and nobody new is let in.
#[test]
fn draining_http() {
    let mut rig = Rig::new(Settings::default());
    let mut idle = rig.exchange(GET_KEPT, usize::MAX, false);
    let mut waiting = rig.exchange(b"GET /never HTTP/1.1\r\nHost: a\r\n\r\n", usize::MAX, false);
    let address = rig.server.local_addrs()[0].tcp().unwrap();
    rig.server.drain(Duration::from_secs(5)).unwrap();
    rig.settle();
    idle.look();
    assert_eq!(idle.end, Some(End::Closed));
    assert!(TcpStream::connect(address).is_err());
    waiting.look();
    assert_eq!(waiting.end, None);
    rig.pass(Duration::from_secs(6));
    waiting.look();
    assert!(waiting.end.is_some());
    assert_eq!(rig.server.stats().unwrap().conns_open, 0);
}

const GET_KEPT: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
