//! Listeners, proxies, CORS, draining.

use crate::support::{End, Rig};
use dustdevil::{
    Cors, Error, Files, Keep, OriginPattern, Origins, Response, Route, Routes, Settings,
    SocketServer,
};
use std::io::{ErrorKind, Read, Write};
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

/// What lies at the path of a Unix socket decides: only a socket that nobody listens on is replaced.
#[test]
fn what_is_at_the_path_of_a_unix_socket() {
    let folder = std::env::temp_dir().join(format!("dustdevil-{}-paths", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("s");
    let bind = |text| {
        let server = SocketServer::new(()).unwrap().routes(answering(text));
        server.bind_unix(&path)
    };
    let kind = |server: Result<SocketServer<()>, Error>| match server {
        Ok(_) => None,
        Err(Error::Io { error, .. }) => Some(error.kind()),
        Err(other) => panic!("{other}"),
    };

    std::fs::write(&path, "precious").unwrap();
    assert_eq!(kind(bind("x")), Some(ErrorKind::AlreadyExists));
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert_eq!(kind(bind("x")), Some(ErrorKind::AlreadyExists));
    std::fs::remove_dir(&path).unwrap();

    // Nobody listens any more: it is replaced, and the permissions are those of a new one.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let mut first = bind("first").unwrap();
    // Somebody does: it is refused, the one there is not disturbed, and its file stays.
    assert_eq!(kind(bind("second")), Some(ErrorKind::AddrInUse));
    turns(&mut first);
    let socket = UnixStream::connect(&path).unwrap();
    assert_eq!(ask(&mut first, socket), "first");
    drop(first);
    assert!(!path.exists());
    std::fs::remove_dir(&folder).unwrap();
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

    for (pattern, files, good) in [
        ("/files/*path", Files::folder("."), true),
        ("/files", Files::folder("."), false),
        ("/:user/files", Files::folder("."), false),
        ("/one", Files::file("Cargo.toml"), true),
    ] {
        let server = SocketServer::new(()).unwrap().files(pattern, files);
        assert_eq!(server.bind("127.0.0.1:0").is_ok(), good, "{pattern}");
    }
}

/// Address, TLS and host of the client as a handler is told them.
fn who() -> Routes<()> {
    Routes::new().route(Route::get("/", |req, _, reply| {
        let ip = req
            .remote_ip()
            .map_or("nobody".to_owned(), |ip| ip.to_string());
        let (secure, host) = (req.is_secure(), req.host());
        reply.send(Response::text(format!("{ip} {secure} {host}")));
    }))
}

/// What a handler says to a request with these fields.
fn told(server: &mut SocketServer<()>, mut socket: impl Read + Write, fields: &str) -> String {
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n");
    socket.write_all(head.as_bytes()).unwrap();
    turns(server);
    let mut text = String::new();
    socket.read_to_string(&mut text).unwrap();
    text.split_once("\r\n\r\n").unwrap().1.to_owned()
}

const FORWARDED: &str = "X-Forwarded-For: 9.9.9.9, 203.0.113.7\r\nX-Forwarded-Proto: https\r\n\
    X-Forwarded-Host: evil, b.example:8443\r\n";
const REAL: &str = "X-Real-IP: 203.0.113.7\r\nX-Scheme: https\r\n";

/// A route that would be lost is told, by whichever method comes next.
#[test]
fn late_routes_are_an_error() {
    let page = |server: SocketServer<()>| server.page("/", "late");
    let bound = || SocketServer::new(()).unwrap().bind("127.0.0.1:0").unwrap();
    let is_late = |result: Result<(), Error>| matches!(result, Err(Error::Late));
    assert!(is_late(page(bound()).run()));
    assert!(is_late(page(bound()).poll_once(Some(Duration::ZERO))));
    let every = SocketServer::new(()).unwrap();
    let every = every.every(Duration::from_secs(1), |_| Keep::Going);
    assert!(is_late(page(every.unwrap()).bind("127.0.0.1:0").map(drop)));
    let mut remote = SocketServer::new(()).unwrap();
    remote.remote().unwrap();
    assert!(is_late(remote.settings(Settings::default()).run()));
}

/// Proxies are believed if they are named, and only then.
#[test]
fn forwarded_fields() {
    #[rustfmt::skip]
    let cases: &[(&[&str], &str, &str)] = &[
        (&[],                           FORWARDED, "127.0.0.1 false a"),
        (&["10.0.0.0/8"],               FORWARDED, "127.0.0.1 false a"),
        (&["127.0.0.1"],                FORWARDED, "203.0.113.7 true b.example:8443"),
        (&["127.0.0.0/8", "203.0.113.7"], FORWARDED, "9.9.9.9 true b.example:8443"),
        (&[],                           REAL,      "127.0.0.1 false a"),
        (&["10.0.0.0/8"],               REAL,      "127.0.0.1 false a"),
        (&["127.0.0.1"],                REAL,      "203.0.113.7 true a"),
        // What no address or no host is, is not passed on.
        (&["127.0.0.1"], "X-Real-IP: localhost\r\n",         "127.0.0.1 false a"),
        (&["127.0.0.1"], "X-Forwarded-Host: b/c?d\r\n",      "127.0.0.1 false a"),
        (&["127.0.0.1"], "X-Forwarded-Proto: gopher\r\n",    "127.0.0.1 false a"),
    ];
    for &(trusted, fields, want) in cases {
        let server = SocketServer::new(()).unwrap();
        let server = server.trust_proxies(trusted.iter().copied()).unwrap();
        let mut server = server.routes(who()).bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(server.local_addrs()[0].tcp().unwrap()).unwrap();
        let text = told(&mut server, socket, fields);
        assert_eq!(text, want, "{trusted:?} {fields}");
    }
    assert!(
        SocketServer::new(())
            .unwrap()
            .trust_proxies(["somewhere"])
            .is_err()
    );
}

/// Who reaches a Unix socket is a proxy on this machine; those before it still have to be named.
#[test]
fn forwarded_fields_over_a_unix_socket() {
    let path = std::env::temp_dir().join(format!("dustdevil-{}-who.sock", std::process::id()));
    #[rustfmt::skip]
    let cases: &[(&[&str], &str, &str)] = &[
        (&[],              "",        "nobody false a"),
        (&[],              FORWARDED, "203.0.113.7 true b.example:8443"),
        (&["203.0.113.7"], FORWARDED, "9.9.9.9 true b.example:8443"),
        (&["10.0.0.0/8"],  FORWARDED, "203.0.113.7 true b.example:8443"),
        (&[],              REAL,      "203.0.113.7 true a"),
        (&[], "X-Forwarded-For: 0.0.0.0\r\n", "nobody false a"),
    ];
    for &(trusted, fields, want) in cases {
        let server = SocketServer::new(()).unwrap();
        let server = server.trust_proxies(trusted.iter().copied()).unwrap();
        let mut server = server.routes(who()).bind_unix(&path).unwrap();
        let socket = UnixStream::connect(&path).unwrap();
        let text = told(&mut server, socket, fields);
        assert_eq!(text, want, "{trusted:?} {fields}");
    }
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

/// What a `Cors` names is what a preflight and an answer say, and nothing else.
#[test]
fn cross_origin_as_configured() {
    let cors = |set: fn(&mut Cors)| {
        let origins = Origins::List(vec![OriginPattern::parse("https://b.example").unwrap()]);
        let mut cors = Cors {
            origins,
            ..Cors::default()
        };
        set(&mut cors);
        Rc::new(cors)
    };
    let bare = cors(|_| ());
    let full = cors(|cors| {
        cors.methods = ["GET", "PUT", "DELETE"].map(str::to_owned).to_vec();
        cors.headers = ["X-Token", "Content-Type"].map(str::to_owned).to_vec();
        cors.exposed = ["X-Total", "X-Page"].map(str::to_owned).to_vec();
        cors.max_age = Duration::from_millis(600_900);
    });
    let (b, other) = ("https://b.example", "https://x.example");
    let (methods, headers, exposed, age) = (
        "access-control-allow-methods",
        "access-control-allow-headers",
        "access-control-expose-headers",
        "access-control-max-age",
    );
    #[rustfmt::skip]
    let cases = [
        ("bare preflight", &bare, "OPTIONS", b,
            [(methods, Some("GET, HEAD, POST")), (headers, Some("x-a, x-b")), (exposed, None), (age, None)]),
        ("bare answer",    &bare, "GET", b,
            [(methods, None), (headers, None), (exposed, None), (age, None)]),
        // Not what was asked for, but what is allowed.
        ("full preflight", &full, "OPTIONS", b,
            [(methods, Some("GET, PUT, DELETE")), (headers, Some("X-Token, Content-Type")),
             (exposed, Some("X-Total, X-Page")), (age, Some("600"))]),
        ("full answer",    &full, "GET", b,
            [(methods, None), (headers, None), (exposed, Some("X-Total, X-Page")), (age, None)]),
        ("preflight of another", &full, "OPTIONS", other,
            [(methods, None), (headers, None), (exposed, None), (age, None)]),
        ("answer to another",    &full, "GET", other,
            [(methods, None), (headers, None), (exposed, None), (age, None)]),
    ];
    for (name, cors, method, origin, fields) in cases {
        let (answer, preflight) = (Rc::clone(cors), Rc::clone(cors));
        let routes = Routes::new()
            .route(Route::get("/", move |req, _, reply| {
                reply.send(answer.apply(req, Response::text("hello")));
            }))
            .route(Route::options("/", move |req, _, reply| {
                reply.send(preflight.preflight(req))
            }));
        let mut rig = Rig::with(Settings::default(), routes);
        let asks = "Access-Control-Request-Method: PATCH\r\n\
                    Access-Control-Request-Headers: x-a, x-b";
        let head = format!("{method} / HTTP/1.1\r\nHost: a\r\nOrigin: {origin}\r\n{asks}\r\n\r\n");
        let client = rig.exchange(head.as_bytes(), usize::MAX, false);
        let answer = &client.answers(&[])[0];
        for (field, want) in fields {
            assert_eq!(answer.field(field), want, "{name}: {field}");
        }
        let allowed = Some(origin).filter(|_| origin == b);
        let field = "access-control-allow-origin";
        assert_eq!(answer.field(field), allowed, "{name}");
        assert!(answer.head.contains("Vary: Origin\r\n"), "{name}");
    }
}

/// Idle connections close, nobody new is let in, and who waits has until the deadline.
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

/// The application's own answer, until it is not ready any more.
#[test]
fn readyz_while_draining() {
    let routes = Routes::new().route(Route::get("/readyz", |_, _, reply| {
        reply.send(Response::text("ready"));
    }));
    let settings = Settings {
        drain_delay: Duration::from_secs(10),
        ..Settings::default()
    };
    let mut rig = Rig::with(settings, routes);
    let probe = b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n";
    let before = rig.exchange(probe, usize::MAX, false);
    assert_eq!(before.statuses(), [200]);
    rig.server.drain(Duration::from_secs(5)).unwrap();
    let after = rig.exchange(probe, usize::MAX, false);
    assert_eq!(after.statuses(), [503]);
}

const GET_KEPT: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
