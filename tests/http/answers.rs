//! Handlers: at once, later, piece by piece; what they are given and what they may not do.

use crate::support::{End, Rig};
use dustdevil::{Files, Request, Response, Route, Routes, SetCookie, Settings};
use std::io::Write;
use std::time::Duration;

fn rig() -> Rig {
    let routes = Routes::new()
        .route(Route::get("/", |_, _, reply| {
            reply.send(Response::text("hello"))
        }))
        .route(Route::get("/later", |_, app, reply| {
            let later = reply.later();
            app.after(Duration::from_millis(100), move |app| {
                later.send(&app.io, Response::text("at last"));
            });
        }))
        .route(Route::get("/thread", |_, app, reply| {
            let (later, remote) = (reply.later(), app.remote());
            std::thread::spawn(move || {
                let answer = move |app: &mut dustdevil::App<'_, ()>| {
                    later.send(&app.io, Response::text("from afar"));
                };
                remote.call(answer).expect("there is room");
            });
        }))
        .route(Route::get("/dropped", |_, _, reply| drop(reply.later())))
        .route(Route::get("/silent", |_, _, reply| drop(reply)))
        .route(Route::get("/panic", |_, _, _| {
            panic!("a handler's mistake")
        }))
        .route(Route::get("/stream", |_, app, reply| {
            let stream = reply.stream(Response::text("one,"));
            app.after(Duration::from_millis(100), move |app| {
                stream.write(&app.io, b"");
                stream.write(&app.io, b"two");
                stream.end(&app.io);
            });
        }))
        .route(Route::get("/inject", |_, _, reply| {
            reply.send(Response::text("x").header("X-A", "1\r\nX-B: 2"));
        }))
        .route(Route::get("/hello/:name", |req, _, reply| {
            let name = req.param("name").unwrap();
            reply.send(Response::text(name.to_owned()));
        }))
        .route(Route::get("/away", |_, _, reply| {
            reply.send(Response::redirect("/there"))
        }))
        .route(Route::get("/cookie", |req, _, reply| {
            let cookie = SetCookie {
                http_only: true,
                ..SetCookie::new("a", "1")
            };
            let seen = req.cookie("b").unwrap_or_default().into_owned();
            reply.send(Response::text(seen).set_cookie(&cookie));
        }))
        .route(Route::post("/json", |req, _, reply| {
            match req.json::<Vec<u32>>() {
                Ok(numbers) => reply.send(Response::json(&numbers.iter().sum::<u32>())),
                Err(_) => reply.send(Response::new(400)),
            }
        }))
        .route(Route::post("/form", |req, _, reply| {
            let first = req.form("a").unwrap_or_default();
            let all: Vec<_> = req.form_pairs().map(|(n, v)| format!("{n}:{v}")).collect();
            reply.send(Response::text(format!("{first} {}", all.join(","))));
        }))
        .route(Route::get("/at/:room/in/*rest", |req, _, reply| {
            let (room, rest) = (req.param("room").unwrap(), req.param("rest").unwrap());
            let q = req.query("q").unwrap_or_default();
            reply.send(Response::text(format!("{room}|{rest}|{q}")));
        }));
    Rig::with(Settings::default(), routes)
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\nCookie: b=2\r\n\r\n").into_bytes()
}

#[test]
fn sixteen_requests_leave_in_one_write() {
    let mut rig = rig();
    let mut client = rig.client();
    let before = rig.server.stats().unwrap().writes;
    client.write(&mut rig, &get("/").repeat(16));
    rig.settle();
    client.look();
    assert_eq!(client.statuses(), [200; 16]);
    assert_eq!(rig.server.stats().unwrap().writes - before, 1);
}

#[test]
fn late_answers_keep_the_order() {
    let mut rig = rig();
    let input = [get("/later"), get("/"), get("/thread"), get("/")].concat();
    let mut client = rig.exchange(&input, usize::MAX, false);
    assert!(client.seen.is_empty());
    rig.pass(Duration::from_millis(250));
    while client.seen.is_empty() || client.statuses().len() < 4 {
        rig.turn();
        client.look();
    }
    let bodies: Vec<Vec<u8>> = client.answers(&[]).into_iter().map(|a| a.body).collect();
    assert_eq!(bodies, [&b"at last"[..], b"hello", b"from afar", b"hello"]);
}

#[test]
fn who_does_not_answer_has_answered_500() {
    let mut rig = rig();
    for path in ["/dropped", "/silent", "/panic", "/inject"] {
        let input = [get(path), get("/")].concat();
        let client = rig.exchange(&input, usize::MAX, false);
        assert_eq!(client.statuses(), [500, 200], "{path}");
        assert!(!client.seen.windows(3).any(|w| w == b"X-B"), "{path}");
    }
    assert_eq!(rig.server.stats().unwrap().panics, 1);
}

#[test]
fn pieces_are_chunks_or_end_with_the_connection() {
    let mut rig = rig();
    let mut client = rig.exchange(&[get("/stream"), get("/")].concat(), usize::MAX, false);
    let text = String::from_utf8(client.seen.clone()).unwrap();
    assert!(text.contains("Transfer-Encoding: chunked\r\n") && text.ends_with("4\r\none,\r\n"));
    client.seen.clear();
    rig.pass(Duration::from_millis(250));
    client.look();
    let text = String::from_utf8(client.seen.clone()).unwrap();
    assert!(
        text.starts_with("3\r\ntwo\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n"),
        "{text}"
    );

    let old = b"GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    let mut client = rig.exchange(old, usize::MAX, false);
    rig.pass(Duration::from_millis(250));
    client.look();
    let text = String::from_utf8(client.seen.clone()).unwrap();
    assert!(
        text.contains("Connection: close\r\n") && text.ends_with("\r\n\r\none,two"),
        "{text}"
    );
    assert!(!text.contains("chunked") && !text.contains("Content-Length"));
    assert_eq!(client.end, Some(End::Closed));
}

/// Who holds a stream and hangs up has gone.
#[test]
fn the_end_of_a_stream_that_nobody_reads() {
    let mut rig = rig();
    let client = rig.exchange(&get("/stream"), usize::MAX, true);
    assert!(client.end.is_some());
    rig.pass(Duration::from_secs(3));
    assert_eq!(rig.server.stats().unwrap().conns_open, 0);
}

#[test]
fn what_handlers_are_given() {
    let mut rig = rig();
    #[rustfmt::skip]
    let cases: &[(&str, &str, u16, &str)] = &[
        ("GET /at/a%20b/in/c/d%2Fe?q=x+y%21 HTTP/1.1\r\nHost: a\r\n\r\n", "parameters", 200, "a b|c/d/e|x y!"),
        ("GET /at/%C3%A9/in/ HTTP/1.1\r\nHost: a\r\n\r\n", "an empty rest", 200, "é||"),
        ("GET /at/a%2Fb/in/c HTTP/1.1\r\nHost: a\r\n\r\n", "an escaped slash", 200, "a/b|c|"),
        ("GET /at/a%2fin%2Fb/in/c HTTP/1.1\r\nHost: a\r\n\r\n", "two of them", 200, "a/in/b|c|"),
        ("GET /at/a%2Fin/c HTTP/1.1\r\nHost: a\r\n\r\n", "it separates nothing", 404, "404 Not Found\n"),
        ("GET /hello/a%2Fb HTTP/1.1\r\nHost: a\r\n\r\n", "it ends no parameter", 200, "a/b"),
        ("GET /hello/a/b HTTP/1.1\r\nHost: a\r\n\r\n", "a slash does", 404, "404 Not Found\n"),
        ("GET /hello%2Fa HTTP/1.1\r\nHost: a\r\n\r\n", "nor is it one of the pattern's", 404, "404 Not Found\n"),
        ("GET /at//in/x HTTP/1.1\r\nHost: a\r\n\r\n", "an empty parameter", 404, "404 Not Found\n"),
        ("GET /at/%ff/in/x HTTP/1.1\r\nHost: a\r\n\r\n", "no UTF-8", 400, ""),
        ("POST /json HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n[1,2,3]", "JSON", 200, "6"),
        ("POST /json HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n[1,2,3!", "bad JSON", 400, ""),
        ("POST /form HTTP/1.1\r\nHost: a\r\nContent-Length: 17\r\n\r\nb=1&a=2+3%26x&a=4", "a form", 200, "2 3&x b:1,a:2 3&x,a:4"),
    ];
    for &(input, name, status, body) in cases {
        let client = rig.exchange(input.as_bytes(), usize::MAX, false);
        let answer = &client.answers(&[])[0];
        assert_eq!(
            (answer.status, &answer.body[..]),
            (status, body.as_bytes()),
            "{name}"
        );
    }
    let client = rig.exchange(&get("/cookie"), usize::MAX, false);
    let answer = &client.answers(&[])[0];
    assert_eq!(answer.field("set-cookie"), Some("a=1; HttpOnly"));
    assert_eq!(answer.body, b"2");
    let client = rig.exchange(&get("/away"), usize::MAX, false);
    let answer = &client.answers(&[])[0];
    assert_eq!(
        (answer.status, answer.field("location")),
        (302, Some("/there"))
    );
}

/// A handler that panics is its own client's matter: others do not notice.
#[test]
fn a_panic_leaves_others_alone() {
    let mut rig = rig();
    let mut waiting = rig.exchange(&get("/later"), usize::MAX, false);
    let mut streaming = rig.exchange(&get("/stream"), usize::MAX, false);
    let mut sending = rig.client();
    sending.write(
        &mut rig,
        b"POST /json HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n[1,2",
    );
    // All in the same turn, before and behind.
    let mut before = rig.client();
    let mut panics = rig.client();
    let mut behind = rig.client();
    for (client, path) in [(&before, "/"), (&panics, "/panic"), (&behind, "/")] {
        (&client.socket).write_all(&get(path)).unwrap();
    }
    rig.settle();
    sending.write(&mut rig, b",3]");
    rig.pass(Duration::from_millis(250));
    for (name, client, want) in [
        ("before", &mut before, &b"hello"[..]),
        ("behind", &mut behind, b"hello"),
        ("waiting", &mut waiting, b"at last"),
        ("sending", &mut sending, b"6"),
    ] {
        client.look();
        let answers = client.answers(&[]);
        assert_eq!((answers.len(), answers[0].status), (1, 200), "{name}");
        assert_eq!(answers[0].body, want, "{name}");
    }
    streaming.look();
    assert!(streaming.seen.ends_with(b"3\r\ntwo\r\n0\r\n\r\n"));
    panics.look();
    assert_eq!(panics.statuses(), [500]);
    assert_eq!(rig.server.stats().unwrap().panics, 1);
}

/// A method that has no handler there is 405 and is told, exactly, which do.
#[test]
fn allow() {
    fn ok(_: &Request<'_>, _: &mut dustdevil::App<'_, ()>, reply: dustdevil::Reply<'_, ()>) {
        reply.send(Response::new(200));
    }
    let routes = Routes::new()
        .route(Route::get("/get", ok))
        .route(Route::post("/post", ok))
        .route(Route::put("/:any", ok))
        .route(Route::post("/all", ok))
        .route(Route::delete("/all", ok))
        .route(Route::options("/all", ok))
        .route(Route::patch("/all", ok))
        .route(Route::get("/all", ok))
        .route(Route::head("/head/only", ok))
        .files("/f/*path", Files::folder("/nowhere"));
    let mut rig = Rig::with(Settings::default(), routes);
    #[rustfmt::skip]
    let cases = [
        ("POST",    "/get",       Some("GET, HEAD, PUT")),
        ("OPTIONS", "/get",       Some("GET, HEAD, PUT")),
        ("GET",     "/post",      Some("POST, PUT")),
        ("HEAD",    "/post",      Some("POST, PUT")),
        ("OPTIONS", "/post",      Some("POST, PUT")),
        ("OPTIONS", "/else",      Some("PUT")),
        ("GET",     "/head/only", Some("HEAD")),
        ("OPTIONS", "/f/x",       Some("GET, HEAD")),
        ("DELETE",  "/f/x",       Some("GET, HEAD")),
        ("HEAD",    "/get",       None),
        ("OPTIONS", "/all",       None),
        ("PUT",     "/all",       None),
        ("HEAD",    "/head/only", None),
    ];
    for (method, path, allow) in cases {
        let input = format!("{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        let client = rig.exchange(input.as_bytes(), usize::MAX, false);
        let answer = &client.answers(&[0])[0];
        let status = if allow.is_some() { 405 } else { 200 };
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(answer.field("allow"), allow, "{method} {path}");
    }
    // Of all methods of a path none is missing, and each is there once.
    let routes = Routes::new()
        .route(Route::post("/", ok))
        .route(Route::get("/", ok))
        .route(Route::head("/", ok))
        .route(Route::patch("/", ok))
        .route(Route::delete("/", ok));
    let mut rig = Rig::with(Settings::default(), routes);
    let client = rig.exchange(b"OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\n", usize::MAX, false);
    let answer = &client.answers(&[])[0];
    assert_eq!(
        answer.field("allow"),
        Some("DELETE, GET, HEAD, PATCH, POST")
    );
}

/// What a handler took from somebody cannot become a header, wherever it is put.
#[test]
fn no_header_is_injected() {
    type Make = fn(&str) -> Response<'static>;
    #[rustfmt::skip]
    let makes: &[(&str, Make)] = &[
        ("a value",          |text| Response::text("x").header("X-A", text)),
        ("a name",           |text| Response::text("x").header(text, "1")),
        ("a type",           |text| Response::text("x").content_type(text.to_owned())),
        ("a type of bytes",  |text| Response::bytes(text.to_owned(), &b"x"[..])),
        ("a redirect",       |text| Response::redirect(text)),
        ("a cookie's name",  |text| Response::text("x").set_cookie(&SetCookie::new(text, "1"))),
        ("a cookie's value", |text| Response::text("x").set_cookie(&SetCookie::new("a", text))),
        ("a cookie's path",  |text| {
            Response::text("x").set_cookie(&SetCookie { path: Some(text), ..SetCookie::new("a", "1") })
        }),
        ("a cookie's domain", |text| {
            Response::text("x").set_cookie(&SetCookie { domain: Some(text), ..SetCookie::new("a", "1") })
        }),
    ];
    for &(name, make) in makes {
        for text in [
            "a\r\nX-B: 2",
            "a\nX-B: 2",
            "a\rX-B: 2",
            "a\r\n\r\nX-B",
            "a\r\n X-B: 2",
            "a\0X-B: 2",
            "a\r\n",
        ] {
            let routes = Routes::new()
                .route(Route::get("/", move |_, _, reply| reply.send(make(text))))
                .route(Route::get("/stream", move |_, _, reply| {
                    drop(reply.stream(make(text)));
                }));
            let mut rig = Rig::with(Settings::default(), routes);
            assert!(make(text).check().is_err(), "{name} {text:?}");
            let client = rig.exchange(&get("/"), usize::MAX, false);
            assert_eq!(client.statuses(), [500], "{name} {text:?}");
            assert!(!client.seen.windows(3).any(|w| w == b"X-B"), "{name}");
            let client = rig.exchange(&get("/stream"), usize::MAX, false);
            assert!(client.seen.starts_with(b"HTTP/1.1 500 "), "{name} {text:?}");
            assert!(!client.seen.windows(3).any(|w| w == b"X-B"), "{name}");
        }
    }
}
