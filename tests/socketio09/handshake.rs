//! The request that makes a session, and what else is at the mount.

use crate::support::*;
use dustdevil::{
    OriginPattern, Origins, Response, Route, Routes, Settings, SocketIo, SocketIoSettings,
    Transport, WebSocket,
};
use std::collections::HashSet;
use std::time::Duration;

/// What follows the id by default.
const FIELDS: &str = ":17:25:websocket,flashsocket,xhr-polling,jsonp-polling,htmlfile";

fn defaults() -> (Rig<World>, std::rc::Rc<Script>) {
    sio_with(noting(), Settings::default(), SocketIo::default())
}

#[test]
fn methods_and_forms_of_the_path() {
    let (mut rig, script) = defaults();
    let paths = [
        "/socket.io/1/",
        "/socket.io/1",
        "/socket.io/1/?t=1320000000000",
        "/socket.io/1?a=b&c",
    ];
    for path in paths {
        for method in ["GET", "POST"] {
            let answer = rig.ask(method, path, "", b"");
            assert_eq!(answer.status, 200, "{method} {path}: {answer:?}");
            let text = answer.text();
            assert_eq!(text.split_off_sid().1, FIELDS, "{method} {path}");
            let kind = answer.field("Content-Type").unwrap();
            assert!(kind.starts_with("text/plain"), "{kind}");
            let length = answer.field("Content-Length").unwrap();
            assert_eq!(length, text.len().to_string());
        }
    }
    // The body of a POST is nobody's business.
    assert_eq!(rig.ask("POST", SHAKE, PLAIN, b"3:::x").status, 200);
    assert_eq!(script.taken().len(), 9);
    let stats = rig.stats();
    assert_eq!((stats.sessions_open, stats.connections_open), (9, 9));
    assert_eq!(stats.transports.none, 9);
    rig.over(&script, ());
}

trait Split {
    fn split_off_sid(&self) -> (&str, &str);
}

impl Split for String {
    fn split_off_sid(&self) -> (&str, &str) {
        self.split_at(self.find(':').unwrap())
    }
}

/// Both are in seconds, with the time for the network added.
#[test]
fn announced_times() {
    #[rustfmt::skip]
    let cases: &[(u64, u64, u64, &str)] = &[
        (12, 20, 5,  ":17:25:"),
        (25, 20, 35, ":60:55:"),
        (0,  20, 5,  "::25:"),
        (1,  1,  1,  ":2:2:"),
    ];
    for &(beat, poll, network, want) in cases {
        let (mut rig, script) = sio_of(
            Script::default(),
            SocketIoSettings {
                heartbeat_interval: secs(beat),
                xhr_polling_timeout: secs(poll),
                client_timeout: secs(network),
                ..SocketIoSettings::default()
            },
        );
        let text = rig.ask("GET", SHAKE, "", b"").text();
        assert!(text[32..].starts_with(want), "{text}");
        rig.over(&script, ());
    }
}

#[test]
fn transports_are_announced_in_their_order() {
    use Transport::{FlashSocket, HtmlFile, JsonpPolling, WebSocket, XhrPolling};
    #[rustfmt::skip]
    let cases: &[(&[Transport], &str)] = &[
        (&[XhrPolling],                                    "xhr-polling"),
        (&[HtmlFile, WebSocket],                           "htmlfile,websocket"),
        (&[JsonpPolling, XhrPolling, HtmlFile, FlashSocket, WebSocket],
         "jsonp-polling,xhr-polling,htmlfile,flashsocket,websocket"),
    ];
    for &(enabled, want) in cases {
        let of = SocketIo {
            enabled_protocols: enabled.to_vec(),
            ..mount(calm())
        };
        let (mut rig, script) = sio_with(Script::default(), Settings::default(), of);
        let text = rig.ask("GET", SHAKE, "", b"").text();
        assert_eq!(text[32..], format!("::25:{want}"));
        rig.over(&script, ());
    }
}

#[test]
fn ids_are_long_and_all_different() {
    let (mut rig, script) = sio(Script::default());
    let mut ids = HashSet::new();
    let mut client = rig.raw();
    for _ in 0..300 {
        client.write(&http("GET", SHAKE, "", b""));
        let sid = sid_of(&client.answer(&mut rig).text());
        let is_good = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        assert!(sid.bytes().all(is_good), "{sid}");
        assert!(ids.insert(sid));
    }
    assert_spread(&ids);
    rig.over(&script, client);
}

#[test]
fn node_ids_lead() {
    for node in ["a", "Node42xy"] {
        let of = SocketIo {
            node_id: node.to_owned(),
            ..mount(calm())
        };
        let (mut rig, script) = sio_with(Script::default(), Settings::default(), of);
        let (one, two) = (rig.session(), rig.session());
        assert!(
            one.starts_with(node) && two.starts_with(node),
            "{one} {two}"
        );
        assert_ne!(one, two);
        rig.over(&script, ());
    }
}

#[test]
fn bad_settings_are_refused() {
    let bad = [
        SocketIo {
            node_id: "ninechars".to_owned(),
            ..SocketIo::default()
        },
        SocketIo {
            node_id: "a-b".to_owned(),
            ..SocketIo::default()
        },
        SocketIo {
            enabled_protocols: vec![Transport::Xhr],
            ..SocketIo::default()
        },
        SocketIo {
            settings: SocketIoSettings {
                session_expiry: Duration::ZERO,
                ..SocketIoSettings::default()
            },
            ..SocketIo::default()
        },
    ];
    for of in bad {
        let text = format!("{of:?}");
        let router = router(&std::rc::Rc::default());
        let bound = dustdevil::SocketServer::new(World::new())
            .unwrap()
            .routes(Routes::new().socketio("/socket.io", &router, of))
            .bind("127.0.0.1:0");
        assert!(bound.is_err(), "{text}");
    }
}

// ---- as a script --------------------------------------------------------------------------------

#[test]
fn as_a_script() {
    let (mut rig, script) = sio(Script::default());
    for (query, index) in [("?jsonp=0", 0), ("?t=1&jsonp=12", 12), ("?jsonp=007", 7)] {
        let answer = rig.ask("GET", &format!("{SHAKE}{query}"), "", b"");
        assert_eq!(answer.status, 200, "{query}");
        let kind = answer.field("Content-Type").unwrap();
        assert!(kind.contains("javascript"), "{kind}");
        let text = called(&answer.text(), index);
        let sid = sid_of(&text);
        assert!(text.ends_with("::25:websocket,flashsocket,xhr-polling,jsonp-polling,htmlfile"));
        assert_eq!(rig.poll(&sid), "1::");
    }
    rig.over(&script, ());
}

/// An index of anything but digits is as good as none.
#[test]
fn the_index_of_a_script_has_digits_only() {
    let (mut rig, script) = sio(Script::default());
    for index in [
        "",
        "alert(1)",
        "-1",
        "+1",
        "1.0",
        "0x1",
        "1e3",
        "0](",
        "a",
        "1%20",
        "%0a1",
        "1;",
        "99999999999999999999",
        "%D9%A1",
    ] {
        let answer = rig.ask("GET", &format!("{SHAKE}?jsonp={index}"), "", b"");
        assert_eq!(answer.status, 200, "{index}");
        let kind = answer.field("Content-Type").unwrap();
        assert!(kind.starts_with("text/plain"), "{index}: {kind}");
        sid_of(&answer.text());
    }
    rig.over(&script, ());
}

// ---- other origins ------------------------------------------------------------------------------

/// The literal echo with credentials, on every answer that a page reads.
#[test]
fn cross_origin_headers() {
    for origin in ["http://other.test", "https://other.test:8443", "null"] {
        let (mut rig, script) = sio(Script::default());
        let lines = format!("Origin: {origin}\r\n");
        let sid = rig.shake();
        let answers = [
            rig.ask("GET", SHAKE, &lines, b""),
            rig.ask("POST", SHAKE, &lines, b""),
            rig.ask("GET", &polls(&sid), &lines, b""),
            rig.ask("POST", &polls(&sid), &lines, b"3:::x"),
            rig.ask("GET", &polls(&"0".repeat(32)), &lines, b""),
            rig.ask("POST", &polls(&"0".repeat(32)), &lines, b"3:::x"),
            rig.ask("GET", &format!("{}?disconnect=1", polls(&sid)), &lines, b""),
        ];
        for answer in answers {
            let of = |name| answer.field(name);
            assert_eq!(
                of("Access-Control-Allow-Origin"),
                Some(origin),
                "{answer:?}"
            );
            assert_eq!(of("Access-Control-Allow-Credentials"), Some("true"));
            assert_eq!(of("Vary"), Some("Origin"), "{answer:?}");
        }
        rig.over(&script, ());
    }
}

#[test]
fn without_an_origin_there_are_no_cross_origin_headers() {
    let (mut rig, script) = sio(Script::default());
    let sid = rig.shake();
    for answer in [rig.ask("GET", SHAKE, "", b""), rig.get(&sid)] {
        assert!(
            !answer.head.contains("Access-Control-Allow-Origin"),
            "{answer:?}"
        );
        // A cache must not give it to a page of another origin.
        assert_eq!(answer.field("Vary"), Some("Origin"), "{answer:?}");
    }
    rig.over(&script, ());
}

#[test]
fn options() {
    let (mut rig, script) = sio(Script::default());
    let sid = rig.session();
    let lines = "Origin: http://other.test\r\nAccess-Control-Request-Method: POST\r\n\
                 Access-Control-Request-Headers: content-type\r\n";
    for path in [SHAKE.to_owned(), "/socket.io/1".to_owned(), polls(&sid)] {
        let answer = rig.ask("OPTIONS", &path, lines, b"");
        assert!([200, 204].contains(&answer.status), "{answer:?}");
        assert_eq!(answer.body, b"");
        let of = |name| answer.field(name).unwrap_or_default();
        assert_eq!(of("Access-Control-Allow-Origin"), "http://other.test");
        assert_eq!(of("Access-Control-Allow-Credentials"), "true");
        let methods = of("Access-Control-Allow-Methods");
        for method in ["GET", "POST", "OPTIONS"] {
            assert!(methods.contains(method), "{methods}");
        }
    }
    // It has made no session.
    assert_eq!(rig.stats().sessions_open, 1);
    rig.over(&script, ());
}

#[test]
fn other_methods() {
    let (mut rig, script) = sio(noting());
    for method in ["PUT", "DELETE", "PATCH", "HEAD"] {
        let mut client = rig.start(method, SHAKE, "", b"");
        let head = client.head(&mut rig);
        assert!(head.starts_with("HTTP/1.1 405 "), "{method}: {head}");
        assert!(head.contains("\r\nAllow: "), "{head}");
    }
    assert_eq!(rig.stats().sessions_open, 0);
    assert!(script.taken().is_empty());
    rig.serves_another();
    rig.over(&script, ());
}

// ---- what else there is -------------------------------------------------------------------------

#[test]
fn welcome() {
    let (mut rig, script) = sio(Script::default());
    for path in ["/socket.io", "/socket.io/", "/socket.io/?a=b"] {
        let answer = rig.ask("GET", path, "", b"");
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.text().trim_end(), "Welcome to socket.io.");
        assert!(
            answer
                .field("Content-Type")
                .unwrap()
                .starts_with("text/plain")
        );
    }
    rig.over(&script, ());
}

#[test]
fn other_versions() {
    let (mut rig, script) = sio(noting());
    for path in [
        "/socket.io/0/",
        "/socket.io/2",
        "/socket.io/10/",
        "/socket.io/2/websocket/x",
    ] {
        for method in ["GET", "POST"] {
            let answer = rig.ask(method, path, "", b"");
            assert_eq!(answer.status, 503, "{method} {path}: {answer:?}");
        }
    }
    assert_eq!(rig.stats().sessions_open, 0);
    assert!(script.taken().is_empty());
    rig.over(&script, ());
}

#[test]
fn unknown_paths() {
    let (mut rig, script) = sio(noting());
    let sid = rig.session();
    let more = [
        format!("/socket.io/1/xhr-polling/{sid}/more"),
        format!("/socket.io/1/xhr-polling/{sid}//"),
        format!("/socket.io//1/xhr-polling/{sid}"),
        format!("/socket.io/1/xhr-polling/{}", "a".repeat(129)),
    ];
    let paths = [
        "/socket.io/x",
        "/socket.io//",
        "/socket.io/1//",
        "/socket.io/1/xhr-polling",
        "/socket.io/1/xhr-polling/",
        "/socket.io/1x/",
        "/socket.io/%31/",
        "/socket.iox",
        "/Socket.io/1/",
        "/",
        "/other",
    ];
    let paths = paths.into_iter().chain(more.iter().map(String::as_str));
    for path in paths {
        assert_eq!(rig.ask("GET", path, "", b"").status, 404, "{path}");
    }
    assert_eq!(rig.stats().sessions_open, 1);
    rig.over(&script, ());
}

#[test]
fn the_script_of_the_client() {
    let file = std::env::temp_dir().join(format!("socket.io.{}.js", std::process::id()));
    std::fs::write(&file, "var io = {};\n").unwrap();
    let of = SocketIo {
        client_file: Some(file.clone()),
        ..mount(calm())
    };
    let (mut rig, script) = sio_with(Script::default(), Settings::default(), of);
    let answer = rig.ask("GET", "/socket.io/socket.io.js", "", b"");
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (200, "var io = {};\n")
    );
    let kind = answer.field("Content-Type").unwrap();
    assert!(kind.contains("javascript"), "{kind}");
    assert_eq!(answer.field("Content-Length"), Some("13"));
    let mut client = rig.start("HEAD", "/socket.io/socket.io.js", "", b"");
    assert!(client.head(&mut rig).starts_with("HTTP/1.1 200 "));
    client.silent(&mut rig);
    assert_eq!(
        rig.ask("GET", "/socket.io/socket.io.js?v=1", "", b"")
            .status,
        200
    );
    assert_eq!(
        rig.ask("GET", "/socket.io/socket.io.v0.9.16.js", "", b"")
            .status,
        404
    );
    std::fs::remove_file(file).unwrap();
    let path = "/socket.io/socket.io.js";
    assert_eq!(rig.ask("GET", path, "", b"").status, 404);
    rig.over(&script, client);

    let (mut rig, script) = sio(Script::default());
    assert_eq!(
        rig.ask("GET", "/socket.io/socket.io.js", "", b"").status,
        404
    );
    rig.over(&script, ());
}

/// Below another prefix, and beside another mount of the same class.
#[test]
fn several_mounts() {
    let script = std::rc::Rc::new(Script::default());
    let router = router(&script);
    let routes = Routes::new()
        .socketio("/socket.io", &router, mount(calm()))
        .socketio("/a/b", &router, mount(calm()))
        .sockjs("/s", &router, Default::default());
    let mut rig = Rig::new(World::new(), Settings::default(), routes);
    let sid = rig.session();
    let other = sid_of(&rig.ask("GET", "/a/b/1/", "", b"").text());
    let path = format!("/a/b/1/xhr-polling/{other}");
    assert_eq!(rig.ask("GET", &path, "", b"").text(), "1::");
    // Ids are known at their own mount only.
    assert_eq!(rig.poll(&other), UNKNOWN);
    let path = format!("/a/b/1/xhr-polling/{sid}");
    assert_eq!(rig.ask("GET", &path, "", b"").text(), UNKNOWN);
    assert_eq!(rig.ask("GET", "/s", "", b"").status, 200);
    let all = rig
        .server
        .with_app(|app| app.router(router.id()).all().send("all"))
        .unwrap();
    assert_eq!(all, 2);
    assert_eq!(rig.poll(&sid), "3:::all");
    rig.over(&script, ());
}

/// At the root of the site, and with a slash that means nothing.
#[test]
fn forms_of_the_prefix() {
    for prefix in ["", "/", "/a/", "/a"] {
        let script = std::rc::Rc::new(Script::default());
        let routes = Routes::new().socketio(prefix, &router(&script), mount(calm()));
        let mut rig = Rig::new(World::new(), Settings::default(), routes);
        let base = prefix.trim_end_matches('/');
        let answer = rig.ask("GET", &format!("{base}/1/"), "", b"");
        assert_eq!(answer.status, 200, "{prefix:?}");
        let sid = sid_of(&answer.text());
        let path = format!("{base}/1/xhr-polling/{sid}");
        assert_eq!(rig.ask("GET", &path, "", b"").text(), "1::", "{prefix:?}");
        let mut client = rig.client(&format!("{base}/1/websocket/{sid}"));
        client.send("3:::x");
        assert_eq!(client.text(&mut rig), "3:::x");
        let answer = rig.ask("GET", &format!("{base}/"), "", b"");
        assert_eq!(answer.text(), "Welcome to socket.io.", "{prefix:?}");
        rig.over(&script, client);
    }
}

/// Routes that were added before the mount come first.
#[test]
fn routes_below_the_mount() {
    let script = std::rc::Rc::new(Script::default());
    let router = router(&script);
    let routes = Routes::new()
        .route(Route::get("/socket.io/custom", |_, _, reply| {
            reply.send(Response::text("custom"))
        }))
        .websocket("/socket.io/ws", &router, WebSocket::default())
        .socketio("/socket.io", &router, mount(calm()));
    let mut rig = Rig::new(World::new(), Settings::default(), routes);
    assert_eq!(
        rig.ask("GET", "/socket.io/custom", "", b"").text(),
        "custom"
    );
    let mut plain = rig.client("/socket.io/ws");
    let (_, mut client) = rig.socket();
    let all = rig
        .server
        .with_app(|app| app.router(router.id()).all().send("all"))
        .unwrap();
    assert_eq!(all, 2);
    assert_eq!(plain.text(&mut rig), "all");
    assert_eq!(client.text(&mut rig), "3:::all");
    rig.over(&script, (plain, client));
}

/// What the application is told when it decides.
#[test]
fn what_on_open_sees() {
    let (mut rig, script) = sio(Script {
        open: Box::new(|me, cx, req| {
            me.script.note(format!(
                "{:?} {:?} {:?} {:?} {:?} {:?} {}",
                req.query("a").as_deref(),
                req.cookie("k"),
                cx.transport(),
                cx.dialect(),
                cx.endpoint(),
                cx.session_id().map(|sid| sid.len()),
                cx.remote_addr().is_some_and(|addr| addr.ip().is_loopback()),
            ));
            cx.send("early");
            assert!(cx.set_header("X-Open", "yes"));
            Ok(())
        }),
        ..Script::default()
    });
    let path = format!("{SHAKE}?a=b%20c&t=1");
    let answer = rig.ask("GET", &path, "Cookie: k=v\r\n", b"");
    assert_eq!(answer.field("X-Open"), Some("yes"));
    assert_eq!(
        script.taken(),
        ["Some(\"b c\") Some(\"v\") None SocketIo09 None Some(32) true"]
    );
    let sid = sid_of(&answer.text());
    // The first packet is the same as ever.
    assert_eq!(packets(&rig.poll(&sid)), ["1::", "3:::early"]);
    rig.over(&script, ());
}

/// The policy of the mount: the same host by default.
#[test]
fn origins_by_default() {
    let (mut rig, script) = defaults();
    for (lines, status) in [
        ("", 200),
        ("Origin: http://h\r\n", 200),
        ("Origin: http://other.test\r\n", 403),
        ("Origin: null\r\n", 403),
    ] {
        let answer = rig.ask("GET", SHAKE, lines, b"");
        assert_eq!(answer.status, status, "{lines}");
    }
    assert_eq!(script.taken().len(), 2);
    assert_eq!(rig.stats().sessions_open, 2);
    rig.over(&script, ());
}

/// A page's script has no origin: its referer tells where it is from.
#[test]
fn the_origin_of_a_script() {
    let list = Origins::List(vec![OriginPattern::parse("http://friend.test").unwrap()]);
    #[rustfmt::skip]
    let cases: &[(Origins, &str, bool)] = &[
        (Origins::Any,  "",                                               true),
        (Origins::Any,  "Referer: http://other.test/page\r\n",            true),
        (Origins::Same, "",                                               false),
        (Origins::Same, "Referer: http://h/page\r\n",                     true),
        (Origins::Same, "Referer: http://other.test/h/\r\n",              false),
        (Origins::Same, "Referer: http://h@other.test/\r\n",              false),
        (Origins::Same, "Referer: http://h:80@other.test/\r\n",           false),
        (Origins::Same, "Referer: http://h\\@other.test/\r\n",            false),
        (Origins::Same, "Referer: http://other.test#h/\r\n",              false),
        (Origins::Same, "Referer: http://h:8080/\r\n",                    false),
        (Origins::Same, "Referer: //h/\r\n",                              false),
        (Origins::Same, "Referer: nonsense\r\n",                          false),
        (Origins::Same, "Origin: http://h\r\n",                           true),
        (Origins::Same, "Origin: null\r\nReferer: http://h/\r\n",         false),
        (Origins::Same, "Origin: http://other.test\r\nReferer: http://h/\r\n", false),
        // What browsers say of their own accord, also of a page that hides its address.
        (Origins::Same, "Sec-Fetch-Site: same-origin\r\n",                true),
        (Origins::Same, "Sec-Fetch-Site: cross-site\r\n",                 false),
        (Origins::Same, "Sec-Fetch-Site: same-site\r\n",                  false),
        (Origins::Same, "Sec-Fetch-Site: cross-site\r\nReferer: http://h/\r\n", false),
        (list.clone(),  "",                                               false),
        (list.clone(),  "Referer: http://friend.test/a?b\r\n",            true),
        (list.clone(),  "Sec-Fetch-Site: cross-site\r\nReferer: http://friend.test/\r\n", true),
        (list.clone(),  "Sec-Fetch-Site: cross-site\r\n",                 false),
        (list,          "Referer: http://friend.test.evil/\r\n",          false),
    ];
    for (origins, lines, accepted) in cases {
        let of = SocketIo {
            origins: policy(origins.clone()),
            ..mount(calm())
        };
        let (mut rig, script) = sio_with(noting(), Settings::default(), of);
        let name = format!("{origins:?} {lines:?}");
        let answer = rig.ask("GET", &format!("{SHAKE}?jsonp=3"), lines, b"");
        let text = answer.text();
        if *accepted {
            assert_eq!(answer.status, 200, "{name}: {text}");
            sid_of(&called(&text, 3));
        } else {
            assert!(text.contains("handshake bad origin"), "{name}: {text}");
        }
        assert_eq!(script.taken().len(), usize::from(*accepted), "{name}");
        rig.over(&script, ());
    }
}
