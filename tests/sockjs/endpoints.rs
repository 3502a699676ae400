//! What each endpoint answers: status, headers and body; which paths there are, and which are switched
//! off.

use crate::support::*;
use dustdevil::{
    Cause, OriginPattern, OriginPolicy, Origins, Profile, Settings, SockJs, SockJsSettings,
};

const NOCACHE: &str = "Cache-Control: no-store, no-cache, no-transform, must-revalidate, max-age=0";
const NOCACHE_OLD: &str = "Cache-Control: no-store, no-cache, must-revalidate, max-age=0";
const CACHE: &str = "Cache-Control: public, max-age=31536000";
const EXPIRES: &str = "Expires: Mon, 06 Nov 1995 08:49:37 GMT";
const ANY: &str = "Access-Control-Allow-Origin: *";
const CREDENTIALS: &str = "Access-Control-Allow-Credentials: true";
const VARY: &str = "Vary: Origin";
const SCRIPT: &str = "Content-Type: application/javascript; charset=UTF-8";
const PLAIN: &str = "Content-Type: text/plain; charset=UTF-8";
const HTML: &str = "Content-Type: text/html; charset=UTF-8";
const EVENTS: &str = "Content-Type: text/event-stream";
const JSON: &str = "Content-Type: application/json; charset=UTF-8";
const COOKIE: &str = "Set-Cookie: JSESSIONID=dummy; path=/";
const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const FLOWS: &str = "X-Accel-Buffering: no";
const NOSNIFF: &str = "X-Content-Type-Options: nosniff";

fn profile(profile: Profile) -> SockJs {
    SockJs {
        profile,
        ..SockJs::default()
    }
}

/// What closes each session at once, so that every answer ends.
fn closing() -> Script {
    Script {
        open: Box::new(|_, cx, _| {
            cx.close_with(3000, "Go away!");
            Ok(())
        }),
        ..Script::default()
    }
}

fn sorted<'a>(lines: &[&'a str]) -> Vec<&'a str> {
    let mut lines = lines.to_vec();
    lines.sort_unstable();
    lines
}

/// Which headers and types each endpoint has.
#[test]
fn headers_of_all_endpoints() {
    #[rustfmt::skip]
    let cases: &[(&str, &str, &[u8], u16, &[&str])] = &[
        ("GET",     "/s",                    b"",       200, &[PLAIN]),
        ("GET",     "/s/",                   b"",       200, &[PLAIN]),
        ("GET",     "/s?x",                  b"",       200, &[PLAIN]),
        ("GET",     "/s/info",               b"",       200, &[NOCACHE, ANY, VARY, JSON]),
        ("POST",    "/s/0/a/xhr",            b"",       200, &[NOCACHE, ANY, VARY, SCRIPT]),
        ("POST",    "/s/0/b/xhr_streaming",  b"",       200, &[NOCACHE, ANY, VARY, SCRIPT, FLOWS]),
        ("GET",     "/s/0/c/eventsource",    b"",       200, &[NOCACHE, ANY, VARY, EVENTS, FLOWS]),
        ("GET",     "/s/0/d/htmlfile?c=cb",  b"",       200, &[NOCACHE, HTML, FLOWS]),
        ("GET",     "/s/0/e/jsonp?c=cb",     b"",       200, &[NOCACHE, SCRIPT, NOSNIFF]),
        ("POST",    "/s/0/a/xhr_send",       b"[]",     204, &[NOCACHE, ANY, VARY, PLAIN]),
        ("POST",    "/s/0/e/jsonp_send",     b"[]",     200, &[NOCACHE, PLAIN]),
        // Errors have them too.
        ("POST",    "/s/0/no/xhr_send",      b"[]",     404, &[NOCACHE, ANY, VARY, PLAIN]),
        ("POST",    "/s/0/no/jsonp_send",    b"[]",     404, &[NOCACHE, PLAIN]),
        ("POST",    "/s/0/a/xhr_send",       b"",       500, &[NOCACHE, ANY, VARY]),
        ("GET",     "/s/0/f/jsonp",          b"",       500, &[NOCACHE, NOSNIFF]),
        ("GET",     "/s/0/f/htmlfile",       b"",       500, &[NOCACHE, FLOWS]),
    ];
    let cookie = mount(SockJsSettings {
        jsessionid: true,
        ..SockJsSettings::default()
    });
    for (of, with_cookie) in [(SockJs::default(), false), (cookie, true)] {
        let (mut rig, script) = sockjs_with(closing(), Settings::default(), of);
        for &(method, path, body, status, lines) in cases {
            let answer = rig.ask(method, path, "", body);
            assert_eq!(answer.status, status, "{method} {path}");
            let mut want = lines.to_vec();
            if with_cookie && path.contains("/0/") {
                want.push(COOKIE);
            }
            assert_eq!(answer.lines(), sorted(&want), "{method} {path}");
        }
        rig.over(&script, ());
    }
}

#[test]
fn bodies() {
    let page = "<!DOCTYPE html>\n<html>\n<head>\n  <meta http-equiv=\"X-UA-Compatible\" \
                content=\"IE=edge\" />\n";
    let frame = "c[3000,\"Go away!\"]";
    let (mut rig, script) = sockjs(closing());
    let body = |rig: &mut Rig<World>, method: &str, path: &str, body: &[u8]| {
        let answer = rig.ask(method, path, "", body);
        (answer.text(), answer.chunks)
    };
    assert_eq!(body(&mut rig, "GET", "/s", b"").0, "Welcome to SockJS!\n");
    assert!(
        body(&mut rig, "GET", "/s/iframe.html", b"")
            .0
            .starts_with(page)
    );
    assert_eq!(body(&mut rig, "POST", "/s/0/x/xhr", b"").0, "o\n");
    assert_eq!(
        body(&mut rig, "POST", "/s/0/x/xhr", b"").0,
        format!("{frame}\n")
    );
    assert_eq!(body(&mut rig, "POST", "/s/0/x/jsonp_send", b"[]").0, "ok");
    assert_eq!(body(&mut rig, "POST", "/s/0/x/xhr_send", b"[]").0, "");
    let prelude = "h".repeat(2048) + "\n";
    let (_, chunks) = body(&mut rig, "POST", "/s/0/xs/xhr_streaming", b"");
    assert_eq!(chunks, [prelude, "o\n".to_owned(), format!("{frame}\n")]);
    let (_, chunks) = body(&mut rig, "GET", "/s/0/es/eventsource", b"");
    assert_eq!(chunks[..2], ["\r\n", "data: o\r\n\r\n"]);
    assert_eq!(chunks[2..], [format!("data: {frame}\r\n\r\n")]);
    let (_, chunks) = body(&mut rig, "GET", "/s/0/hf/htmlfile?c=callback", b"");
    assert_eq!(chunks[0].len(), 1035);
    assert!(chunks[0].contains("var c = parent.callback;"));
    let wrapped = "c[3000,\\\"Go away!\\\"]";
    let script_of = |frame: &str| format!("<script>\np(\"{frame}\");\n</script>\r\n");
    assert_eq!(chunks[1..], [script_of("o"), script_of(wrapped)]);
    let (text, _) = body(&mut rig, "GET", "/s/0/jp/jsonp?c=cb", b"");
    assert_eq!(text, "/**/cb(\"o\");\r\n");
    let (text, _) = body(&mut rig, "GET", "/s/0/jp/jsonp?c=other", b"");
    assert_eq!(text, format!("/**/other(\"{wrapped}\");\r\n"));
    rig.over(&script, ());
}

#[test]
fn head_is_get_without_a_body() {
    let (mut rig, script) = sockjs(Script::default());
    for path in ["/s", "/s/info", "/s/iframe.html"] {
        let mut client = rig.start("HEAD", path, "", b"");
        let head = client.head(&mut rig);
        assert!(head.starts_with("HTTP/1.1 200 "), "{path}: {head}");
        client.silent(&mut rig);
    }
    assert_eq!(rig.ask("HEAD", "/s/0/x/xhr", "", b"").status, 405);
    rig.over(&script, ());
}

/// Origin, `null`, and no origin, in both profiles.
#[test]
fn cross_origin_headers() {
    let given = "Access-Control-Allow-Origin: http://other.test";
    let null = "Access-Control-Allow-Origin: null";
    let get = ["/s/info", "/s/0/x/eventsource"];
    let post = ["/s/0/x/xhr", "/s/0/x/xhr_streaming", "/s/0/no/xhr_send"];
    #[rustfmt::skip]
    let cases: &[(Profile, &str, &[&str])] = &[
        (Profile::Current, "",                              &[ANY, VARY]),
        (Profile::Current, "Origin: http://other.test\r\n", &[given, CREDENTIALS, VARY]),
        (Profile::Current, "Origin: null\r\n",              &[null, CREDENTIALS, VARY]),
        (Profile::V033,    "",                              &[ANY, CREDENTIALS, VARY]),
        (Profile::V033,    "Origin: http://other.test\r\n", &[given, CREDENTIALS, VARY]),
        (Profile::V033,    "Origin: null\r\n",              &[ANY, CREDENTIALS, VARY]),
    ];
    for &(which, lines, want) in cases {
        let (mut rig, script) = sockjs_with(closing(), Settings::default(), profile(which));
        let all = get.map(|path| ("GET", path)).into_iter();
        for (method, path) in all.chain(post.map(|path| ("POST", path))) {
            // Event sources cannot send credentials from a page of no origin.
            let want = match (which, path.ends_with("eventsource"), lines) {
                (Profile::Current, true, "Origin: null\r\n") => &[ANY, VARY],
                _ => want,
            };
            let answer = rig.ask(method, path, lines, b"");
            let got = answer.lines().into_iter();
            let got = got.filter(|line| line.starts_with("Access-") || line.starts_with("Vary"));
            let got: Vec<&str> = got.collect();
            assert_eq!(got, sorted(want), "{which:?} {lines:?} {path}");
        }
        rig.over(&script, ());
    }
}

#[test]
fn requested_headers_are_echoed() {
    let (mut rig, script) = sockjs(closing());
    for (asked, want) in [
        (
            "Access-Control-Request-Headers: a, b, c\r\n",
            Some("a, b, c"),
        ),
        ("Access-Control-Request-Headers: \r\n", None),
        ("", None),
    ] {
        for (method, path) in [
            ("OPTIONS", "/s/0/x/xhr"),
            ("POST", "/s/0/x/xhr"),
            ("GET", "/s/info"),
        ] {
            let answer = rig.ask(method, path, asked, b"");
            let got = answer.field("Access-Control-Allow-Headers");
            assert_eq!(got, want, "{method} {path}");
        }
    }
    rig.over(&script, ());
}

/// Preflights of all endpoints.
#[test]
fn preflights() {
    let lines = "Origin: http://other.test\r\nAccess-Control-Request-Method: POST\r\n\
                 Access-Control-Request-Headers: content-type, x-a\r\n";
    let of = mount(SockJsSettings {
        chunking_test: true,
        ..SockJsSettings::default()
    });
    let (mut rig, script) = sockjs_with(Script::default(), Settings::default(), of);
    for (path, methods) in [
        ("/s/0/x/xhr", "OPTIONS, POST"),
        ("/s/0/x/xhr_streaming", "OPTIONS, POST"),
        ("/s/0/x/xhr_send", "OPTIONS, POST"),
        ("/s/chunking_test", "OPTIONS, POST"),
        ("/s/info", "OPTIONS, GET"),
    ] {
        let answer = rig.ask("OPTIONS", path, lines, b"");
        assert_eq!(answer.status, 204, "{path}");
        let methods = format!("Access-Control-Allow-Methods: {methods}");
        let want = [
            "Access-Control-Allow-Headers: content-type, x-a",
            "Access-Control-Allow-Origin: http://other.test",
            "Access-Control-Max-Age: 31536000",
            CREDENTIALS,
            CACHE,
            EXPIRES,
            VARY,
            &methods,
        ];
        assert_eq!(answer.lines(), sorted(&want), "{path}");
        assert_eq!(answer.field("Content-Length"), None);
    }
    // A preflight opens nothing.
    assert_eq!(rig.stats().sessions_open, 0);
    rig.over(&script, ());
}

#[test]
fn cookies() {
    let of = mount(SockJsSettings {
        jsessionid: true,
        ..SockJsSettings::default()
    });
    let (mut rig, script) = sockjs_with(closing(), Settings::default(), of);
    #[rustfmt::skip]
    let cases = [
        ("",                                     "dummy"),
        ("Cookie: JSESSIONID=abcdef\r\n",        "abcdef"),
        ("Cookie: x=1; JSESSIONID=a-b!~; y\r\n", "a-b!~"),
        ("Cookie: JSESSIONID=a b\r\n",           "dummy"),
        ("Cookie: JSESSIONID=a,b\r\n",           "dummy"),
        ("Cookie: JSESSIONID=\"a b\"\r\n",       "dummy"),
        ("Cookie: JSESSIONID=\"ab\"\r\n",        "ab"),
        ("Cookie: jsessionid=abc\r\n",           "dummy"),
    ];
    for (line, value) in cases {
        let want = format!("JSESSIONID={value}; path=/");
        for (method, path) in [
            ("POST", "/s/0/x/xhr"),
            ("OPTIONS", "/s/0/x/xhr"),
            ("POST", "/s/0/x/jsonp_send"),
        ] {
            let answer = rig.ask(method, path, line, b"");
            assert_eq!(
                answer.field("Set-Cookie"),
                Some(&*want),
                "{method} {path} {line}"
            );
        }
        for path in ["/s", "/s/info", "/s/iframe.html"] {
            assert_eq!(
                rig.ask("GET", path, line, b"").field("Set-Cookie"),
                None,
                "{path}"
            );
        }
    }
    let info = rig.ask("GET", "/s/info", "", b"").text();
    assert!(info.contains("\"cookie_needed\":true"), "{info}");
    rig.over(&script, ());
}

/// The profile of the older suite, where the bytes differ.
#[test]
fn the_older_profile() {
    let (mut rig, script) = sockjs_with(closing(), Settings::default(), profile(Profile::V033));
    let answer = rig.ask("GET", "/s/0/j/jsonp?c=cb", "", b"");
    assert_eq!(answer.text(), "cb(\"o\");\r\n");
    assert_eq!(answer.lines(), sorted(&[NOCACHE_OLD, SCRIPT, NOSNIFF]));
    let answer = rig.ask("GET", "/s/0/e/eventsource", "", b"");
    let kind = "Content-Type: text/event-stream; charset=UTF-8";
    assert_eq!(
        answer.lines(),
        sorted(&[NOCACHE_OLD, kind, ANY, CREDENTIALS, VARY, FLOWS])
    );
    let page = rig.ask("GET", "/s/iframe.html", "", b"").text();
    assert!(page.contains("_sockjs_onload"), "{page}");
    rig.over(&script, ());
}

#[test]
fn iframe_pages() {
    let of = SockJs {
        sockjs_url: "/lib/sockjs.js?a&b".to_owned(),
        ..SockJs::default()
    };
    let (mut rig, script) = sockjs_with(Script::default(), Settings::default(), of);
    let answer = rig.ask("GET", "/s/iframe.html", "", b"");
    let tag = answer.field("ETag").unwrap().to_owned();
    let etag = format!("ETag: {tag}");
    assert_eq!(answer.lines(), sorted(&[CACHE, EXPIRES, HTML, &etag]));
    assert!(
        answer
            .text()
            .contains("<script src=\"/lib/sockjs.js?a&amp;b\"></script>")
    );
    for path in [
        "/s/iframe-a.html",
        "/s/iframe-0.1.2-dirty_2144.html",
        "/s/iframe.html?t=1",
    ] {
        let other = rig.ask("GET", path, "", b"");
        assert_eq!((other.status, &other.body), (200, &answer.body), "{path}");
    }
    for tags in [
        tag.clone(),
        format!("W/{tag}"),
        format!("\"x\", {tag}"),
        "*".to_owned(),
    ] {
        let lines = format!("If-None-Match: {tags}\r\n");
        let answer = rig.ask("GET", "/s/iframe.html", &lines, b"");
        assert_eq!(answer.status, 304, "{tags}");
        assert_eq!(answer.lines(), sorted(&[CACHE, EXPIRES, &etag]));
    }
    let answer = rig.ask("GET", "/s/iframe.html", "If-None-Match: \"x\"\r\n", b"");
    assert_eq!(answer.status, 200);
    rig.over(&script, ());
}

#[test]
fn info() {
    let of = SockJs {
        base_url: Some("/other/base".to_owned()),
        ..SockJs::default()
    };
    let (mut rig, script) = sockjs_with(Script::default(), Settings::default(), of);
    let mut seen = Vec::new();
    for _ in 0..4 {
        let text = rig.ask("GET", "/s/info?t=1", "", b"").text();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["websocket"], true);
        assert_eq!(json["cookie_needed"], false);
        assert_eq!(json["origins"], serde_json::json!(["*:*"]));
        assert_eq!(json["base_url"], "/other/base");
        seen.push(u32::try_from(json["entropy"].as_u64().unwrap()).unwrap());
    }
    seen.dedup();
    assert!(seen.len() > 1, "{seen:?}");
    rig.over(&script, ());
}

/// The chunks come at growing distances; a client that goes away meanwhile leaves nothing.
#[test]
fn chunking_test() {
    let of = mount(SockJsSettings {
        chunking_test: true,
        ..SockJsSettings::default()
    });
    let (mut rig, script) = sockjs_with(Script::default(), Settings::default(), of);
    let mut gone = rig.start("POST", "/s/chunking_test", "", b"");
    let mut client = rig.start("POST", "/s/chunking_test", "", b"");
    client.head(&mut rig);
    assert_eq!(client.chunk(&mut rig).unwrap(), "h\n");
    assert_eq!(client.chunk(&mut rig).unwrap(), " ".repeat(2048) + "h\n");
    gone.head(&mut rig);
    gone.reset();
    for wait in [5, 20, 100, 500] {
        client.silent(&mut rig);
        rig.pass(ms(wait + 20));
        assert_eq!(client.chunk(&mut rig).unwrap(), "h\n", "{wait}");
    }
    rig.pass(secs(3));
    assert_eq!(client.chunk(&mut rig).unwrap(), "h\n");
    client.ends(&mut rig);
    // The conn can be used again.
    client.write(&http("GET", "/s", "", b""));
    assert_eq!(client.answer(&mut rig).status, 200);
    rig.over(&script, client);
}

/// Paths and methods.
#[test]
fn paths_that_are_none() {
    let (mut rig, script) = sockjs(Script::default());
    #[rustfmt::skip]
    let paths = [
        "/s/a", "/s/a.html", "/s//", "/s///", "/s/a/a", "/s/a/a/", "/s/a/", "/s//s/xhr", "/s/a./a/xhr",
        "/s/a/a./xhr", "/s/./././xhr", "/s/1/2/3/4", "/s/iframe.htm", "/s/IFRAME.HTML", "/s/iframe-/.html",
        "/s/0/x/unknown", "/s/0/x/XHR", "/s/Info", "/s/info/x", "/s/0//xhr", "/s/chunking_test", "/S", "/sx",
        "/s/0/x/xhr//",
    ];
    for path in paths {
        for method in ["GET", "POST", "OPTIONS", "DELETE"] {
            let answer = rig.ask(method, path, "", b"");
            assert_eq!(answer.status, 404, "{method} {path}");
        }
        let upgrade = request(path, "");
        let mut client = rig.raw();
        client.write(upgrade.as_bytes());
        assert_eq!(client.answer(&mut rig).status, 404, "upgrade of {path}");
    }
    let answer = rig.ask("GET", "/s/a", "", b"");
    assert_eq!(answer.lines(), [PLAIN]);
    assert_eq!(answer.text(), "404 Error: Page not found\n");
    rig.over(&script, ());
}

#[test]
fn methods_that_are_not_allowed() {
    let (mut rig, script) = sockjs(Script::default());
    #[rustfmt::skip]
    let cases: &[(&str, &str, &[&str])] = &[
        ("/s",                   "GET",           &["POST", "PUT", "OPTIONS", "DELETE"]),
        ("/s/iframe.html",       "GET",           &["POST", "OPTIONS"]),
        ("/s/info",              "OPTIONS, GET",  &["POST", "DELETE"]),
        ("/s/websocket",         "GET",           &["POST", "HEAD"]),
        ("/s/0/x/websocket",     "GET",           &["POST", "HEAD", "OPTIONS"]),
        ("/s/0/x/xhr",           "POST, OPTIONS", &["GET", "HEAD", "PUT"]),
        ("/s/0/x/xhr_send",      "POST, OPTIONS", &["GET", "DELETE"]),
        ("/s/0/x/xhr_streaming", "POST, OPTIONS", &["GET"]),
        ("/s/0/x/eventsource",   "GET",           &["POST", "OPTIONS"]),
        ("/s/0/x/htmlfile?c=x",  "GET",           &["POST"]),
        ("/s/0/x/jsonp?c=x",     "GET",           &["POST", "HEAD"]),
        ("/s/0/x/jsonp_send",    "POST",          &["GET", "OPTIONS"]),
    ];
    for &(path, allow, methods) in cases {
        for &method in methods {
            // A client that would not know where a body ends has asked with HEAD.
            let mut client = rig.start(method, path, "", b"");
            let head = client.head(&mut rig);
            assert!(head.starts_with("HTTP/1.1 405 "), "{method} {path}: {head}");
            assert!(
                head.contains(&format!("\r\nAllow: {allow}\r\n")),
                "{method} {path}: {head}"
            );
            assert!(head.contains("\r\nContent-Length: 0\r\n"), "{head}");
            assert!(!head.contains("Content-Type"), "{head}");
        }
    }
    // With the headers of an upgrade it is the same.
    let mut client = rig.raw();
    client.write(
        request("/s/0/x/websocket", "")
            .replace("GET", "POST")
            .as_bytes(),
    );
    assert_eq!(client.answer(&mut rig).status, 405);
    assert_eq!(rig.stats().sessions_open, 0);
    rig.over(&script, client);
}

/// The slash at the end, the query, the first segment: none of them makes another session.
#[test]
fn spellings_of_one_session() {
    let (mut rig, script) = sockjs(Script::default());
    assert_eq!(rig.ask("POST", "/s/000/x/xhr/?t=1", "", b"").text(), "o\n");
    assert_eq!(
        rig.ask("POST", "/s/999/x/xhr_send/", "", b"[\"a\"]").status,
        204
    );
    assert_eq!(
        rig.ask("POST", "/s/x%20y/x/xhr", "", b"").text(),
        "a[\"a\"]\n"
    );
    // An escape is part of the id as it stands.
    assert_eq!(rig.ask("POST", "/s/0/%78/xhr", "", b"").text(), "o\n");
    assert_eq!(rig.stats().sessions_open, 2);
    rig.over(&script, ());
}

#[test]
fn ids() {
    let (longest, longer) = ("a".repeat(128), "a".repeat(129));
    let (mut rig, script) = sockjs(Script::default());
    #[rustfmt::skip]
    let good = [
        &*longest, "__proto__", "constructor", "hasOwnProperty", "null", "info", "websocket", "%00", "%",
        "a+b", "~!$&'()*,;=:@", "x%2fy",
    ];
    for id in good {
        assert_eq!(rig.poll(id), "o\n", "{id}");
        assert_eq!(rig.post(id, "[\"m\"]"), 204, "{id}");
    }
    for id in good {
        assert_eq!(rig.poll(id), "a[\"m\"]\n", "{id}");
    }
    for path in [format!("/s/0/{longer}/xhr"), format!("/s/{longer}/x/xhr")] {
        assert_eq!(rig.ask("POST", &path, "", b"").status, 404);
    }
    assert_eq!(rig.stats().sessions_open, good.len() as u64);
    rig.over(&script, ());
}

/// They come before anything touches the session.
#[test]
fn callbacks() {
    let (longest, longer) = ("a".repeat(32), "a".repeat(33));
    let required = "\"callback\" parameter required";
    let invalid = "invalid \"callback\" parameter";
    let long = format!("c={longest}");
    let too_long = format!("c={longer}");
    #[rustfmt::skip]
    let cases: &[(&str, Result<&str, &str>)] = &[
        ("c=callback",          Ok("callback")),
        ("c=_jp.a1-b2",         Ok("_jp.a1-b2")),
        ("c=%63allback",        Ok("callback")),
        ("callback=cb",         Ok("cb")),
        ("x=1&c=a&c=b",         Ok("a")),
        (&*long,                Ok(&*longest)),
        ("",                    Err(required)),
        ("c",                   Err(required)),
        ("c=",                  Err(required)),
        ("d=x",                 Err(required)),
        (&*too_long,            Err(invalid)),
        ("c=a%20b",             Err(invalid)),
        ("c=a+b",               Err(invalid)),
        ("c=alert(1)",          Err(invalid)),
        ("c=%3Cscript%3E",      Err(invalid)),
        ("c=%00",               Err(invalid)),
        ("c=a%0Ab",             Err(invalid)),
        ("c=%C3%A9",            Err(invalid)),
        ("c=%FF",               Err(invalid)),
    ];
    for &(query, want) in cases {
        let (mut rig, script) = sockjs(closing());
        for transport in ["jsonp", "htmlfile"] {
            // Only what jsonp makes of it could be taken for something else.
            let longer = query == too_long && transport == "htmlfile";
            let want = if longer { Ok(&too_long[2..]) } else { want };
            let path = format!("/s/0/{transport}/{transport}?{query}");
            let answer = rig.ask("GET", &path, "", b"");
            match want {
                Ok(callback) => {
                    assert_eq!(answer.status, 200, "{path}");
                    let start = match transport {
                        "jsonp" => format!("/**/{callback}(\"o\");\r\n"),
                        _ => format!("parent.{callback};"),
                    };
                    assert!(answer.text().contains(&start), "{path}: {}", answer.text());
                }
                Err(text) => {
                    assert_eq!((answer.status, &*answer.text()), (500, text), "{path}");
                    assert_eq!(answer.field("Content-Type"), None, "{path}");
                    assert_eq!(rig.stats().sessions_open, 0);
                }
            }
        }
        rig.over(&script, ());
    }
}

/// A message that closes the script element would let who sends it write the page.
#[test]
fn htmlfile_cannot_be_broken_out_of() {
    let (mut rig, script) = sockjs(Script::default());
    let mut client = rig.start("GET", "/s/0/x/htmlfile?c=cb", "", b"");
    client.head(&mut rig);
    client.chunk(&mut rig);
    client.chunk(&mut rig);
    assert_eq!(rig.post("x", "[\"</script><b>\\u2028\"]"), 204);
    let chunk = client.chunk(&mut rig).unwrap();
    let want = "p(\"a[\\\"\\u003c/script>\\u003cb>\\\\u2028\\\"]\");";
    assert!(chunk.contains(want), "{chunk}");
    rig.over(&script, client);
}

#[test]
fn switched_off() {
    type Switch = fn(&mut SockJsSettings);
    #[rustfmt::skip]
    let cases: &[(Switch, &[(&str, &str)])] = &[
        (|s| s.xhr = false,           &[("POST", "/s/0/x/xhr"), ("OPTIONS", "/s/0/x/xhr")]),
        (|s| s.xhr_streaming = false, &[("POST", "/s/0/x/xhr_streaming"), ("OPTIONS", "/s/0/x/xhr_streaming")]),
        (|s| s.eventsource = false,   &[("GET", "/s/0/x/eventsource")]),
        (|s| s.htmlfile = false,      &[("GET", "/s/0/x/htmlfile?c=x")]),
        (|s| s.jsonp = false,         &[("GET", "/s/0/x/jsonp?c=x"), ("POST", "/s/0/x/jsonp_send")]),
        (|s| s.websocket = false,     &[("GET", "/s/0/x/websocket"), ("GET", "/s/websocket")]),
        (|s| s.raw_websocket = false, &[("GET", "/s/websocket")]),
        (|s| (s.xhr, s.xhr_streaming, s.eventsource, s.htmlfile) = (false, false, false, false),
            &[("POST", "/s/0/x/xhr_send"), ("OPTIONS", "/s/0/x/xhr_send")]),
    ];
    for (number, (switch, off)) in cases.iter().enumerate() {
        let mut settings = SockJsSettings::default();
        switch(&mut settings);
        let websocket = settings.websocket;
        let (mut rig, script) = sockjs_with(closing(), Settings::default(), mount(settings));
        for &(method, path) in *off {
            let lines = match path.ends_with("websocket") {
                true => UPGRADE,
                false => "",
            };
            assert_eq!(
                rig.ask(method, path, lines, b"").status,
                404,
                "{number}: {path}"
            );
            assert_eq!(
                rig.ask("DELETE", path, "", b"").status,
                404,
                "{number}: {path}"
            );
        }
        let info = rig.ask("GET", "/s/info", "", b"").text();
        assert!(
            info.contains(&format!("\"websocket\":{websocket}")),
            "{info}"
        );
        // The others are there.
        assert_eq!(rig.ask("GET", "/s", "", b"").status, 200);
        rig.over(&script, ());
    }
}

fn restricted() -> SockJs {
    SockJs {
        origins: OriginPolicy {
            origins: Origins::List(vec![OriginPattern::parse("https://good.test").unwrap()]),
            require_origin: false,
        },
        ..SockJs::default()
    }
}

/// With a list of origins: the header, where there is one to look at; what cannot be checked is switched off.
#[test]
fn restricted_origins() {
    let (mut rig, script) = sockjs_with(closing(), Settings::default(), restricted());
    for (method, path) in [
        ("GET", "/s/iframe.html"),
        ("GET", "/s/0/x/htmlfile?c=x"),
        ("GET", "/s/0/x/jsonp?c=x"),
        ("POST", "/s/0/x/jsonp_send"),
    ] {
        for origin in [
            "",
            "Origin: https://good.test\r\n",
            "Origin: https://evil.test\r\n",
        ] {
            assert_eq!(
                rig.ask(method, path, origin, b"").status,
                404,
                "{path} {origin}"
            );
        }
    }
    #[rustfmt::skip]
    let cases = [
        ("",                                None),
        ("Origin: https://evil.test\r\n",   None),
        ("Origin: null\r\n",                None),
        ("Origin: https://good.test\r\n",   Some("https://good.test")),
        // The host's own pages may.
        ("Origin: http://h\r\n",            Some("http://h")),
    ];
    for (lines, want) in cases {
        for (method, path) in [
            ("GET", "/s/info"),
            ("POST", "/s/0/x/xhr"),
            ("OPTIONS", "/s/0/x/xhr_send"),
            ("GET", "/s/0/x/eventsource"),
        ] {
            let answer = rig.ask(method, path, lines, b"");
            assert_eq!(
                answer.field("Access-Control-Allow-Origin"),
                want,
                "{path} {lines}"
            );
            let credentials = answer.field("Access-Control-Allow-Credentials");
            assert_eq!(credentials, want.map(|_| "true"), "{path} {lines}");
            assert_eq!(answer.field("Vary"), Some("Origin"), "{path} {lines}");
            // Who may not read may not send either.
            let refused = want.is_none() && !lines.is_empty() && path.contains("/0/");
            let refused = refused && method != "OPTIONS";
            assert_eq!(answer.status == 403, refused, "{path} {lines}");
        }
    }
    let upgrades = [
        ("https://evil.test", 403),
        ("null", 403),
        ("https://good.test", 101),
    ];
    for (origin, status) in upgrades {
        for path in ["/s/0/x/websocket", "/s/websocket"] {
            let mut client = rig.raw();
            client.write(request(path, &format!("Origin: {origin}\r\n")).as_bytes());
            let head = client.head(&mut rig);
            assert!(
                head.starts_with(&format!("HTTP/1.1 {status} ")),
                "{origin} {path}: {head}"
            );
        }
    }
    rig.over(&script, ());
}

/// Behind the mount's prefix nothing else answers; a route that was added before it does.
#[test]
fn prefixes() {
    use dustdevil::{Response, Route, Routes};
    let script = std::rc::Rc::new(Script::default());
    let router = router(&script);
    let hello =
        |text: &'static str| Route::get(text, move |_, _, reply| reply.send(Response::text(text)));
    let routes = Routes::new()
        .route(hello("/s/mine"))
        .sockjs("/s", &router, SockJs::default())
        .route(hello("/s/never"))
        .route(hello("/sx"))
        .sockjs("", &router, SockJs::default());
    let mut rig = Rig::new(World::new(), Settings::default(), routes);
    for (path, status, text) in [
        ("/s/mine", 200, "/s/mine"),
        ("/s/never", 404, "404 Error: Page not found\n"),
        ("/sx", 200, "/sx"),
        ("/s", 200, "Welcome to SockJS!\n"),
        ("/", 200, "Welcome to SockJS!\n"),
    ] {
        let answer = rig.ask("GET", path, "", b"");
        assert_eq!((answer.status, &*answer.text()), (status, text), "{path}");
    }
    // An id belongs to its mount.
    assert_eq!(rig.poll("x"), "o\n");
    assert_eq!(rig.ask("POST", "/0/x/xhr_send", "", b"[]").status, 404);
    assert_eq!(rig.ask("POST", "/0/x/xhr", "", b"").text(), "o\n");
    assert_eq!(rig.stats().sessions_open, 2);
    rig.over(&script, ());
    assert!(
        script
            .closed
            .borrow()
            .iter()
            .all(|(_, why)| why.cause == Cause::Timeout)
    );
}
