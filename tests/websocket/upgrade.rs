//! The opening handshake: what is taken, origins, refusals, late decisions.

use crate::support::*;
use dustdevil::{
    Deciding, OriginPattern, OriginPolicy, Origins, Reject, Router, Routes, SetCookie, Settings,
    WebSocket,
};
use std::cell::RefCell;
use std::rc::Rc;

const WS: &str = "Upgrade: websocket\r\n";
const CONN: &str = "Connection: Upgrade\r\n";
const VERSION: &str = "Sec-WebSocket-Version: 13\r\n";

fn status(head: &str) -> &str {
    &head[9..12]
}

/// The values of a field, in order.
fn fields<'h>(head: &'h str, name: &str) -> Vec<&'h str> {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    lines
        .filter(|(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
        .collect()
}

/// A request of these lines.
fn ask(line: &str, lines: &[&str]) -> String {
    format!(
        "{line}\r\nHost: server.example.com\r\n{}\r\n",
        lines.concat()
    )
}

fn key(key: &str) -> String {
    format!("Sec-WebSocket-Key: {key}\r\n")
}

/// Every row whose answer is 101, whole and a byte at a time.
#[test]
fn accepted() {
    let (mut rig, _) = rig(Script::default());
    let key = key(KEY);
    let get = "GET /ws HTTP/1.1";
    #[rustfmt::skip]
    let cases: &[(&str, String)] = &[
        ("as is",               request("/ws", "")),
        ("odd case of names",   request("/ws", "").replace("Upgrade:", "uPGRADE:").replace("Sec-WebSocket-Key", "sec-websocket-KEY")),
        ("keep-alive, Upgrade", ask(get, &[WS, "Connection: keep-alive, Upgrade\r\n", &key, VERSION])),
        ("Upgrade: WebSocket",  ask(get, &["Upgrade: WebSocket\r\n", CONN, &key, VERSION])),
        ("foo, websocket",      ask(get, &["Upgrade: foo, websocket\r\n", CONN, &key, VERSION])),
        ("version 8",           ask(get, &[WS, CONN, &key, "Sec-WebSocket-Version: 8\r\n"])),
        ("version 7",           ask(get, &[WS, CONN, &key, "Sec-WebSocket-Version: 7\r\n"])),
        ("blanks in the key",   ask(get, &[WS, CONN, "Sec-WebSocket-Key:   dGhlIHNhbXBsZSBub25jZQ== \r\n", VERSION])),
        ("length 0",            request("/ws", "Content-Length: 0\r\n")),
        ("expect",              request("/ws", "Expect: 100-continue\r\n")),
        ("protocols unchosen",  request("/ws", "Sec-WebSocket-Protocol: a, b\r\n")),
        ("unknown extension",   request("/ws", "Sec-WebSocket-Extensions: foo\r\n")),
        ("deflate, foo",        request("/ws", "Sec-WebSocket-Extensions: permessage-deflate; foo\r\n")),
        ("window of 7",         request("/ws", "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=7\r\n")),
        ("a parameter twice",   request("/ws", "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; client_no_context_takeover\r\n")),
        ("two offers",          request("/ws", "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=7, permessage-deflate\r\n")),
        ("windows",             request("/ws", "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10; client_max_window_bits\r\n")),
        ("a query",             request("/ws?a=b", "")),
    ];
    for (name, request) in cases {
        for bytewise in [false, true] {
            let mut client = rig.raw();
            if bytewise {
                for byte in request.as_bytes() {
                    client.write(&[*byte]);
                    rig.turn();
                }
            } else {
                client.write(request.as_bytes());
            }
            let head = client.head(&mut rig);
            let want = format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                 Connection: Upgrade\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
            );
            assert_eq!(head, want, "{name}");
            client.send("x");
            assert_eq!(client.text(&mut rig), "x", "{name}");
        }
    }
}

/// Every row that is refused: status, fields, body, and the end of the connection.
#[test]
fn refused() {
    let (mut rig, script) = rig(Script::default());
    let good = key(KEY);
    let get = "GET /ws HTTP/1.1";
    let version = |v: &str| format!("Sec-WebSocket-Version: {v}\r\n");
    let keyed = |k: &str| ask(get, &[WS, CONN, &key(k), VERSION]);
    let versioned = |v: &str| ask(get, &[WS, CONN, &good, &version(v)]);
    #[rustfmt::skip]
    let cases: &[(&str, &str, String)] = &[
        ("405", "POST",             ask("POST /ws HTTP/1.1", &[WS, CONN, &good, VERSION])),
        ("405", "PUT with length 0", ask("PUT /ws HTTP/1.1", &[WS, CONN, &good, VERSION, "Content-Length: 0\r\n"])),
        ("400", "HTTP/1.0",         ask("GET /ws HTTP/1.0", &[WS, CONN, &good, VERSION])),
        ("426", "no Upgrade",       ask(get, &[CONN, &good, VERSION])),
        ("426", "plain GET",        ask(get, &[])),
        ("426", "h2c",              ask(get, &["Upgrade: h2c\r\n", CONN, &good, VERSION])),
        ("400", "no Connection",    ask(get, &[WS, &good, VERSION])),
        ("400", "keep-alive",       ask(get, &[WS, "Connection: keep-alive\r\n", &good, VERSION])),
        ("400", "no key",           ask(get, &[WS, CONN, VERSION])),
        ("400", "two keys",         ask(get, &[WS, CONN, &good, &good, VERSION])),
        ("400", "key abc",          keyed("abc")),
        ("400", "15 bytes",         keyed("AAAAAAAAAAAAAAAAAAAA")),
        ("400", "17 bytes",         keyed("AAAAAAAAAAAAAAAAAAAAAAA=")),
        ("400", "no base64",        keyed("!!!!!!!!!!!!!!!!!!!!!!==")),
        ("400", "unused bits",      keyed("AAAAAAAAAAAAAAAAAAAAAB==")),
        ("426", "no version",       ask(get, &[WS, CONN, &good])),
        ("426", "12",               versioned("12")),
        ("426", "14",               versioned("14")),
        ("426", "13, 8",            versioned("13, 8")),
        ("426", "two fields",       ask(get, &[WS, CONN, &good, VERSION, VERSION])),
        ("426", "013",              versioned("013")),
        ("426", "+13",              versioned("+13")),
        ("400", "a,,b",             request("/ws", "Sec-WebSocket-Protocol: a,,b\r\n")),
        ("400", "a, a",             request("/ws", "Sec-WebSocket-Protocol: a, a\r\n")),
        ("400", "a blank inside",   request("/ws", "Sec-WebSocket-Protocol: a b\r\n")),
        ("400", "extensions",       request("/ws", "Sec-WebSocket-Extensions: a; =\r\n")),
        ("403", "foreign origin",   request("/ws", "Origin: http://evil.example\r\n")),
        ("403", "null",             request("/ws", "Origin: null\r\n")),
        ("403", "two origins",      request("/ws", "Origin: http://server.example.com\r\nOrigin: http://server.example.com\r\n")),
        ("403", "cross-site",       request("/ws", "Origin: http://server.example.com\r\nSec-Fetch-Site: cross-site\r\n")),
        ("400", "length 5",         request("/ws", "Content-Length: 5\r\n")),
        ("400", "chunked",          request("/ws", "Transfer-Encoding: chunked\r\n")),
    ];
    for (want, name, request) in cases {
        let mut client = rig.raw();
        // Nothing behind a refused request is looked at.
        client.write(request.as_bytes());
        client.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let head = client.head(&mut rig);
        assert_eq!(status(&head), *want, "{name}: {head}");
        let connection = fields(&head, "Connection");
        match *want {
            "426" => {
                assert_eq!(fields(&head, "Upgrade"), ["websocket"], "{name}");
                assert_eq!(connection, ["Upgrade, close"], "{name}: {head}");
                assert_eq!(
                    fields(&head, "Sec-WebSocket-Version"),
                    ["13, 8, 7"],
                    "{name}"
                );
            }
            "405" => {
                assert_eq!(fields(&head, "Allow"), ["GET"], "{name}");
                assert_eq!(connection, ["close"], "{name}");
            }
            _ => assert_eq!(connection, ["close"], "{name}"),
        }
        let body = client.rest(&mut rig);
        let length = fields(&head, "Content-Length");
        assert_eq!(length, [body.len().to_string()], "{name}");
    }
    rig.settle();
    assert_eq!(script.number.get(), 0, "no connection was made");
    let stats = rig.stats();
    assert_eq!(stats.handshakes_refused, cases.len() as u64);
    assert_eq!((stats.conns_open, stats.connections_open), (0, 0));
}

/// Policies of a mount against requests.
#[test]
fn origins() {
    let list = |pattern: &str| Origins::List(vec![OriginPattern::parse(pattern).unwrap()]);
    let policy = |origins: Origins, require_origin: bool| OriginPolicy {
        origins,
        require_origin,
    };
    let own = "Origin: http://server.example.com\r\n";
    let foreign = "Origin: https://page.example\r\n";
    let sub = "Origin: https://a.page.example\r\n";
    #[rustfmt::skip]
    let cases: &[(&str, OriginPolicy, String, &str)] = &[
        ("own",             policy(Origins::Same, false), own.into(), "101"),
        ("own, upper case", policy(Origins::Same, false), "Origin: HTTP://SERVER.Example.com:80\r\n".into(), "101"),
        ("other port",      policy(Origins::Same, false), "Origin: http://server.example.com:81\r\n".into(), "403"),
        ("none",            policy(Origins::Same, false), String::new(), "101"),
        ("none, required",  policy(Origins::Same, true), String::new(), "403"),
        ("own, required",   policy(Origins::Same, true), own.into(), "101"),
        ("same-origin",     policy(Origins::Same, true), format!("{foreign}Sec-Fetch-Site: same-origin\r\n"), "101"),
        ("typed",           policy(Origins::Same, true), "Sec-Fetch-Site: none\r\n".into(), "101"),
        ("cross-site",      policy(Origins::Same, false), format!("{own}Sec-Fetch-Site: cross-site\r\n"), "403"),
        ("listed",          policy(list("https://page.example"), false), foreign.into(), "101"),
        ("listed, cross",   policy(list("https://page.example"), false), format!("{foreign}Sec-Fetch-Site: cross-site\r\n"), "101"),
        ("own beside list", policy(list("https://page.example"), false), own.into(), "101"),
        ("below listed",    policy(list("https://*.page.example"), false), sub.into(), "101"),
        ("not below",       policy(list("https://*.page.example"), false), "Origin: https://evilpage.example\r\n".into(), "403"),
        ("other scheme",    policy(list("https://page.example"), false), "Origin: http://page.example\r\n".into(), "403"),
        ("any",             policy(Origins::Any, false), "Origin: null\r\n".into(), "101"),
    ];
    for (name, origins, lines, want) in cases {
        let origins = origins.clone();
        let mount = WebSocket {
            origins,
            ..WebSocket::default()
        };
        let (mut rig, _) = rig_with(Script::default(), Settings::default(), mount);
        let mut client = rig.raw();
        client.write(request("/ws", lines).as_bytes());
        assert_eq!(status(&client.head(&mut rig)), *want, "{name}");
    }
    // The drafts name the field differently.
    let (mut rig, _) = rig(Script::default());
    let text = request("/ws", "Sec-WebSocket-Origin: http://evil.example\r\n");
    let mut client = rig.raw();
    client.write(text.replace("Version: 13", "Version: 8").as_bytes());
    assert_eq!(status(&client.head(&mut rig)), "403");
}

#[test]
fn allow_origin_decides_about_what_the_policy_refuses() {
    quiet_panics();
    let mount = WebSocket {
        allow_origin: Some(Box::new(|origin, req| {
            assert_ne!(origin, "http://panic.example", "{MEANT}");
            origin == "http://friend.example" && req.query("key").as_deref() == Some("1")
        })),
        ..WebSocket::default()
    };
    let (mut rig, _) = rig_with(Script::default(), Settings::default(), mount);
    for (path, origin, want) in [
        ("/ws?key=1", "http://friend.example", "101"),
        ("/ws", "http://friend.example", "403"),
        ("/ws?key=1", "http://evil.example", "403"),
        ("/ws", "http://server.example.com", "101"),
    ] {
        let mut client = rig.raw();
        client.write(request(path, &format!("Origin: {origin}\r\n")).as_bytes());
        assert_eq!(status(&client.head(&mut rig)), want, "{path} {origin}");
    }
}

#[test]
fn subprotocol_is_chosen_among_those_offered() {
    let offered = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&offered);
    let mount = WebSocket {
        subprotocol: Some(Box::new(move |list| {
            seen.borrow_mut().push(list.join("+"));
            match list {
                ["evil"] => Some("never offered"),
                _ => list.iter().copied().find(|name| *name == "b"),
            }
        })),
        ..WebSocket::default()
    };
    let script = Script {
        open: Box::new(|_, cx, req| {
            cx.send(req.subprotocol().unwrap_or("-"));
            Ok(())
        }),
        ..Script::default()
    };
    let (mut rig, _) = rig_with(script, Settings::default(), mount);
    for (lines, chosen) in [
        ("Sec-WebSocket-Protocol: a, b\r\n", Some("b")),
        (
            "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b\r\n",
            Some("b"),
        ),
        ("Sec-WebSocket-Protocol: c\r\n", None),
        ("Sec-WebSocket-Protocol: evil\r\n", None),
        ("", None),
    ] {
        let mut client = rig.raw();
        client.write(request("/ws", lines).as_bytes());
        let head = client.head(&mut rig);
        let want: Vec<&str> = chosen.into_iter().collect();
        assert_eq!(fields(&head, "Sec-WebSocket-Protocol"), want, "{lines}");
        assert_eq!(client.text(&mut rig), chosen.unwrap_or("-"));
    }
    assert_eq!(*offered.borrow(), ["a+b", "a+b", "c", "evil", ""]);
}

#[test]
fn headers_and_cookies_on_the_101() {
    let script = Script {
        open: Box::new(|me, cx, _| {
            assert!(cx.set_header("X-Here", "yes"));
            assert!(!cx.set_header("X-Split", "a\r\nX-Evil: 1"));
            assert!(!cx.set_header("X Bad", "a"));
            for own in [
                "Sec-WebSocket-Accept",
                "sec-websocket-protocol",
                "Upgrade",
                "Connection",
            ] {
                assert!(!cx.set_header(own, "a"), "{own}");
            }
            assert!(cx.set_cookie(&SetCookie::new("sid", "42")));
            assert!(!cx.set_cookie(&SetCookie::new("sid", "4;2")));
            me.value = 1;
            Ok(())
        }),
        message: Box::new(|_, cx, _| {
            let late = cx.set_header("X-Late", "1") || cx.set_cookie(&SetCookie::new("a", "b"));
            cx.send(if late { "set" } else { "late" });
        }),
        ..Script::default()
    };
    let (mut rig, _) = rig(script);
    let mut client = rig.raw();
    client.write(request("/ws", "").as_bytes());
    let head = client.head(&mut rig);
    let own = format!("Sec-WebSocket-Accept: {ACCEPT}\r\n");
    assert!(
        head.ends_with(&format!("{own}X-Here: yes\r\nSet-Cookie: sid=42\r\n\r\n")),
        "{head}"
    );
    client.send("?");
    assert_eq!(client.text(&mut rig), "late");
}

/// Each form of [`Reject`]; what was sent is lost, `on_close` does not run.
#[test]
fn rejects() {
    // The refusal; status, some fields and body of the answer.
    type Make = fn() -> Reject;
    type Case = (
        Make,
        &'static str,
        &'static [(&'static str, &'static str)],
        &'static str,
    );
    #[rustfmt::skip]
    let cases: &[Case] = &[
        (|| Reject::status(401).header("WWW-Authenticate", "Basic").body("who?"), "401", &[("WWW-Authenticate", "Basic")], "who?"),
        (|| Reject::status(599), "599", &[], ""),
        (|| Reject::status(302), "403", &[], ""),
        (|| Reject::from("not you"), "403", &[("Content-Type", "text/plain; charset=utf-8")], "not you"),
        (|| String::from("nor you").into(), "403", &[], "nor you"),
        (|| Reject::json(&serde_json::json!({"why": 1})), "403", &[("Content-Type", "application/json")], "{\"why\":1}"),
        (|| Reject::status(400).header("X-Split", "a\r\nX-Evil: 1"), "400", &[], ""),
    ];
    for (make, want, lines, body) in cases {
        let make = *make;
        let script = Script {
            open: Box::new(move |_, cx, _| {
                cx.send("never seen");
                Err(make())
            }),
            ..Script::default()
        };
        let (mut rig, script) = rig(script);
        let mut client = rig.raw();
        client.write(request("/ws", "").as_bytes());
        client.send("early");
        let head = client.head(&mut rig);
        assert_eq!(status(&head), *want);
        for (name, value) in *lines {
            assert_eq!(fields(&head, name), [*value]);
        }
        assert!(!head.contains("Evil"), "{head}");
        assert_eq!(client.rest(&mut rig), body.as_bytes());
        drop(client);
        rig.settle();
        assert!(script.closed().is_empty());
        assert_eq!((rig.stats().rejected, rig.stats().conns_open), (1, 0));
    }
}

/// A refusal that a browser can see: 101 with the subprotocol, then the close frame.
#[test]
fn reject_with_a_close_frame() {
    for (code, told) in [(4401, 4401), (1005, 1008), (999, 1008)] {
        let mount = WebSocket {
            subprotocol: Some(Box::new(|offered| offered.first().copied())),
            ..WebSocket::default()
        };
        let script = Script {
            open: Box::new(move |_, cx, _| {
                cx.send("never seen");
                cx.set_cookie(&SetCookie::new("a", "b"));
                Err(Reject::close(code, "go away").header("X-Why", "1"))
            }),
            ..Script::default()
        };
        let (mut rig, script) = rig_with(script, Settings::default(), mount);
        let mut client = rig.raw();
        client.write(request("/ws", "Sec-WebSocket-Protocol: chat\r\n").as_bytes());
        let head = client.head(&mut rig);
        assert_eq!(status(&head), "101");
        assert_eq!(fields(&head, "Sec-WebSocket-Protocol"), ["chat"]);
        assert_eq!(fields(&head, "Set-Cookie"), ["a=b"]);
        assert_eq!(fields(&head, "X-Why"), ["1"]);
        let close = client.frame(&mut rig);
        assert_eq!((close.code(), close.reason()), (Some(told), "go away"));
        client.write(&closing(told, ""));
        assert!(client.rest(&mut rig).is_empty());
        assert!(script.closed().is_empty());
    }
}

/// Frames that came with the request are answered behind the 101.
#[test]
fn frames_in_the_segment_of_the_request() {
    let script = Script {
        open: Box::new(|_, cx, _| {
            cx.send("welcome");
            Ok(())
        }),
        ..Script::default()
    };
    let (mut rig, _) = rig(script);
    let mut bytes = request("/ws", "").into_bytes();
    bytes.extend(masked(0x81, b"one"));
    bytes.extend(masked(0x89, b"ping"));
    bytes.extend(masked(0x81, b"two"));
    for cut in [0, 1, 5, 20] {
        let mut client = rig.raw();
        client.write(&bytes[..bytes.len() - cut]);
        if cut > 0 {
            rig.settle();
            client.write(&bytes[bytes.len() - cut..]);
        }
        assert_eq!(status(&client.head(&mut rig)), "101");
        assert_eq!(client.text(&mut rig), "welcome");
        assert_eq!(client.text(&mut rig), "one");
        let pong = client.frame(&mut rig);
        assert_eq!((pong.head, &pong.payload[..]), (0x8a, &b"ping"[..]));
        assert_eq!(client.text(&mut rig), "two");
    }
}

#[test]
fn the_request_is_kept_if_the_router_says_so() {
    for keep in [false, true] {
        let script = Rc::new(Script {
            open: Box::new(|me, _, req| {
                assert_eq!(req.param("room"), Some("a b"));
                me.value = 1;
                Ok(())
            }),
            message: Box::new(|_, cx, _| {
                let told = cx.request(|req| {
                    let cookie = req.cookie("c").unwrap_or_default().into_owned();
                    let room = req.param("room").map(str::to_owned);
                    format!("{} {room:?} {:?} {cookie}", req.path(), req.query("q"))
                });
                cx.send(told.unwrap_or_else(|| "gone".into()));
            }),
            ..Script::default()
        });
        let router = if keep {
            router(&script).keep_request()
        } else {
            router(&script)
        };
        let routes = Routes::new().websocket("/in/:room", &router, WebSocket::default());
        let mut rig = Rig::new(World::new(), Settings::default(), routes);
        let mut client = rig.raw();
        client.write(request("/in/a%20b?q=1", "Cookie: c=d\r\n").as_bytes());
        client.head(&mut rig);
        client.send("?");
        let want = if keep {
            "/in/a%20b Some(\"a b\") Some(\"1\") d"
        } else {
            "gone"
        };
        assert_eq!(client.text(&mut rig), want);
    }
}

#[test]
fn routers_make_from_the_request() {
    let script = Rc::new(Script::default());
    let made = Rc::clone(&script);
    let router = Router::with(move |req| {
        made.note(format!("{} {:?}", req.method(), req.header("X-Who")));
        Probe {
            n: 0,
            value: 0,
            script: Rc::clone(&made),
            kept: None,
        }
    });
    let routes = Routes::new().websocket("/ws", &router, WebSocket::default());
    let mut rig = Rig::new(World::new(), Settings::default(), routes);
    let mut client = rig.raw();
    client.write(request("/ws", "X-Who: me\r\n").as_bytes());
    client.head(&mut rig);
    assert_eq!(script.taken(), ["GET Some(\"me\")"]);
}

// ---- deciding later ---------------------------------------------------------------------------

type Held = Rc<RefCell<Option<Deciding<Probe>>>>;

/// A server whose `on_open` puts the decision where the test finds it.
fn deciding(settings: Settings) -> (Rig<World>, Rc<Script>, Held) {
    let held = Held::default();
    let there = Rc::clone(&held);
    let script = Script {
        open: Box::new(move |_, cx, _| {
            *there.borrow_mut() = Some(cx.decide_later());
            cx.send("early");
            cx.join("room");
            Ok(())
        }),
        ..Script::default()
    };
    let (rig, script) = rig_with(script, settings, WebSocket::default());
    (rig, script, held)
}

/// The request and a message behind it, which have no answer yet.
fn waiting(rig: &mut Rig<World>) -> Client {
    let mut client = rig.raw();
    client.write(request("/ws", "").as_bytes());
    client.send("hello");
    client.silent(rig);
    client
}

#[test]
fn decided_later_accepted_from_another_thread() {
    let (mut rig, script, held) = deciding(Settings::default());
    let mut client = waiting(&mut rig);
    assert_eq!(rig.stats().connections_open, 0);
    client.send("again");
    let deciding = held.take().unwrap();
    std::thread::spawn(move || {
        deciding.accept(|me, cx| {
            me.value = 7;
            cx.send("accepted");
        });
    })
    .join()
    .unwrap();
    assert_eq!(status(&client.head(&mut rig)), "101");
    for want in ["early", "accepted", "hello", "again"] {
        assert_eq!(client.text(&mut rig), want);
    }
    drop(client);
    rig.settle();
    assert_eq!(script.closed(), [0]);
}

#[test]
fn decided_later_accepted_from_a_timer() {
    let script = Script {
        open: Box::new(|_, cx, _| {
            let deciding = cx.decide_later();
            cx.after(secs(3), move |me, cx| {
                me.value = 1;
                assert!(cx.set_cookie(&SetCookie::new("late", "1")));
                deciding.accept(|me, cx| {
                    cx.send(me.value.to_string());
                });
            });
            Ok(())
        }),
        ..Script::default()
    };
    let (mut rig, _) = rig(script);
    let mut client = waiting(&mut rig);
    rig.pass(secs(2));
    client.silent(&mut rig);
    rig.pass(secs(2));
    let head = client.head(&mut rig);
    assert_eq!(fields(&head, "Set-Cookie"), ["late=1"]);
    assert_eq!(client.texts(&mut rig), ["1", "hello"]);
}

#[test]
fn decided_later_refused_dropped_or_timed_out() {
    let settings = Settings {
        answer_timeout: secs(4),
        ..Settings::default()
    };
    type Decide = fn(&mut Rig<World>, &Held);
    #[rustfmt::skip]
    let cases: &[(&str, &str, Decide)] = &[
        ("refused", "401", |_, held| held.take().unwrap().refuse(Reject::status(401).body("no"))),
        ("dropped", "503", |_, held| drop(held.take())),
        ("too late", "503", |rig, _| rig.pass(secs(5))),
    ];
    for (name, want, decide) in cases {
        let (mut rig, script, held) = deciding(settings.clone());
        let mut client = waiting(&mut rig);
        decide(&mut rig, &held);
        let head = client.head(&mut rig);
        assert_eq!(status(&head), *want, "{name}");
        assert_eq!(fields(&head, "Connection"), ["close"]);
        client.rest(&mut rig);
        drop(held.take());
        rig.settle();
        assert!(script.closed().is_empty(), "{name}");
        let room = rig
            .server
            .with_app(|app| app.is_open(script.id(0)))
            .unwrap();
        assert!(!room);
    }
}

#[test]
fn decided_later_by_then_the_client_has_gone() {
    for with_reset in [false, true] {
        let (mut rig, script, held) = deciding(Settings::default());
        let client = waiting(&mut rig);
        if with_reset {
            client.reset()
        } else {
            drop(client)
        }
        rig.settle();
        assert_eq!(rig.stats().conns_open, 0);
        held.take()
            .unwrap()
            .accept(|_, _| panic!("nobody is there"));
        rig.settle();
        assert!(script.closed().is_empty());
        assert_eq!(rig.stats().panics, 0);
    }
}

/// Draining: a handshake is refused, and one that was put off too.
#[test]
fn draining_refuses_handshakes() {
    let (mut rig, _, held) = deciding(Settings::default());
    let mut client = waiting(&mut rig);
    let mut idle = rig.raw();
    idle.write(b"GET /ws HTTP/1.1\r\n");
    rig.settle();
    rig.server.drain(secs(5)).unwrap();
    held.take().unwrap().accept(|_, _| panic!("too late"));
    assert_eq!(status(&client.head(&mut rig)), "503");
    let rest = request("/ws", "");
    idle.write(&rest.as_bytes()["GET /ws HTTP/1.1\r\n".len()..]);
    let head = idle.head(&mut rig);
    assert_eq!(status(&head), "503");
    assert_eq!(fields(&head, "Retry-After"), ["1"]);
}

/// An independent client agrees.
#[test]
fn tungstenite_connects_chats_and_closes() {
    let (mut rig, script) = rig(Script::default());
    let addr = rig.addr;
    let client = std::thread::spawn(move || {
        let (mut ws, answer) = tungstenite::connect(format!("ws://{addr}/ws")).unwrap();
        assert_eq!(answer.status(), 101);
        for text in ["a", "ä", &"x".repeat(200_000)] {
            ws.send(text.to_owned().into()).unwrap();
            assert_eq!(ws.read().unwrap().to_text().unwrap(), text);
        }
        ws.send(tungstenite::Message::Ping(vec![1, 2].into()))
            .unwrap();
        assert_eq!(
            ws.read().unwrap(),
            tungstenite::Message::Pong(vec![1, 2].into())
        );
        ws.close(None).unwrap();
        while ws.read().is_ok() {}
    });
    while !client.is_finished() {
        rig.turn();
    }
    client.join().unwrap();
    rig.settle();
    assert_eq!(script.closed(), [0]);
    assert!(script.last_reason().clean);
}
