//! What clients send over HTTP: `xhr_send` and `jsonp_send`.

use crate::support::*;
use dustdevil::{Cause, Settings};

/// Notes what comes and answers nothing.
fn listening() -> Script {
    Script {
        message: Box::new(|me, _, message| {
            me.script.note(message.text().unwrap());
        }),
        ..Script::default()
    }
}

/// The cases in their order: a session first.
#[test]
fn xhr_send() {
    let (mut rig, script) = sockjs(listening());
    let cases: &[(&[u8], u16, &str, &[&str])] = &[
        (b"", 500, "Payload expected.", &[]),
        (b"[\"x", 500, "Broken JSON encoding.", &[]),
        (b"[\"x\"]]", 500, "Broken JSON encoding.", &[]),
        (b"[\"x\",]", 500, "Broken JSON encoding.", &[]),
        (b"x", 500, "Broken JSON encoding.", &[]),
        (b"[\"\xff\"]", 500, "Broken JSON encoding.", &[]),
        (b"\"x\"", 500, "Payload expected.", &[]),
        (b"{}", 500, "Payload expected.", &[]),
        (b"1", 500, "Payload expected.", &[]),
        (b"null", 500, "Payload expected.", &[]),
        (b"[]", 204, "", &[]),
        (b" [ ] ", 204, "", &[]),
        (b"[\"x\"]", 204, "", &["x"]),
        (b"[\"a\",\"b\", \"c\" ]", 204, "", &["a", "b", "c"]),
        (b"[\"\\ud83d\\ude00\\n\"]", 204, "", &["\u{1f600}\n"]),
        (b"[\"\\ud800\",\"\\u0000\"]", 204, "", &["\u{fffd}", "\0"]),
        (
            b"[1,null,{\"a\":[2]}]",
            204,
            "",
            &["1", "null", "{\"a\":[2]}"],
        ),
        (b"[\"\"]", 204, "", &[""]),
    ];
    for &(body, _, _, _) in cases {
        let answer = rig.ask("POST", "/s/0/x/xhr_send", "", body);
        assert_eq!(answer.status, 404, "without a session: {body:?}");
    }
    assert_eq!(rig.stats().sessions_open, 0);
    assert_eq!(rig.poll("x"), "o\n");
    for &(body, status, text, messages) in cases {
        let name = String::from_utf8_lossy(body);
        let answer = rig.ask("POST", "/s/0/x/xhr_send", "", body);
        assert_eq!((answer.status, &*answer.text()), (status, text), "{name}");
        if status == 204 {
            assert_eq!(answer.field("Content-Length"), None);
        }
        assert_eq!(script.taken(), messages, "{name}");
    }
    // A failed request has left the session as it was.
    assert!(script.closed().is_empty());
    let stats = rig.stats();
    assert_eq!((stats.protocol_errors, stats.messages_in), (10, 11));
    rig.over(&script, ());
    assert_eq!(script.last_reason().cause, Cause::Timeout);
}

#[test]
fn content_types_of_xhr_send_do_not_matter() {
    let (mut rig, script) = sockjs(listening());
    rig.poll("x");
    for kind in [
        "text/plain",
        "application/json",
        "application/x-www-form-urlencoded",
        "",
        "T",
    ] {
        let line = format!("Content-Type: {kind}\r\n");
        let answer = rig.ask("POST", "/s/0/x/xhr_send", &line, b"[\"a+%62\"]");
        assert_eq!(answer.status, 204, "{kind}");
        assert_eq!(script.taken(), ["a+%62"], "{kind}");
    }
    rig.over(&script, ());
}

/// The forms of jsonp.
#[test]
fn jsonp_send() {
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let utf8 = "Content-Type: Application/X-WWW-form-urlencoded; charset=UTF-8\r\n";
    let plain = "Content-Type: text/plain\r\n";
    let (mut rig, script) = sockjs(listening());
    #[rustfmt::skip]
    let cases: &[(&str, &[u8], u16, &str, &[&str])] = &[
        (form,  b"d=%5B%22x%22%5D",         200, "ok",                    &["x"]),
        (utf8,  b"d=[%22a+b%22,\"%C3%A9\"]",200, "ok",                    &["a b", "\u{e9}"]),
        (form,  b"a=1&d=[]&d=x",            200, "ok",                    &[]),
        (form,  b"d=[%22%61bc%22]",         200, "ok",                    &["abc"]),
        (plain, b"[\"%61bc\"]",             200, "ok",                    &["%61bc"]),
        ("",    b"[\"a+b\"]",               200, "ok",                    &["a+b"]),
        (form,  b"",                        500, "Payload expected.",     &[]),
        (form,  b"d",                       500, "Payload expected.",     &[]),
        (form,  b"d=",                      500, "Payload expected.",     &[]),
        (form,  b"e=[]",                    500, "Payload expected.",     &[]),
        (form,  b"d=%22x%22",               500, "Payload expected.",     &[]),
        (form,  b"d=%7B%7D",                500, "Payload expected.",     &[]),
        (form,  b"d=p",                     500, "Broken JSON encoding.", &[]),
        (form,  b"d=%FF",                   500, "Broken JSON encoding.", &[]),
        (plain, b"",                        500, "Payload expected.",     &[]),
        (plain, b"d=[]",                    500, "Broken JSON encoding.", &[]),
    ];
    let path = "/s/0/x/jsonp_send?i=a123";
    for &(lines, body, _, _, _) in cases {
        assert_eq!(rig.ask("POST", path, lines, body).status, 404);
    }
    assert_eq!(rig.ask("GET", "/s/0/x/jsonp?c=cb", "", b"").status, 200);
    for &(lines, body, status, text, messages) in cases {
        let name = String::from_utf8_lossy(body);
        let answer = rig.ask("POST", path, lines, body);
        assert_eq!((answer.status, &*answer.text()), (status, text), "{name}");
        assert_eq!(script.taken(), messages, "{name}");
    }
    rig.over(&script, ());
}

/// Without a length there is no body; a body may also come in chunks.
#[test]
fn framing_of_bodies() {
    let (mut rig, script) = sockjs(listening());
    let mut client = rig.raw();
    client.write(b"POST /s/0/x/xhr HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(client.answer(&mut rig).text(), "o\n");
    client.write(b"POST /s/0/x/xhr_send HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(client.answer(&mut rig).text(), "Payload expected.");
    client.write(
        b"POST /s/0/x/xhr_send HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
          3\r\n[\"a\r\n2\r\n\"]\r\n0\r\n\r\n",
    );
    assert_eq!(client.answer(&mut rig).status, 204);
    assert_eq!(script.taken(), ["a"]);
    rig.over(&script, client);
}

/// The scanner does not recurse, and counts.
#[test]
fn deep_json() {
    let (mut rig, script) = sockjs(listening());
    rig.poll("x");
    let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    assert_eq!(rig.post("x", &deep(128)), 204);
    assert_eq!(script.taken(), [deep(127)]);
    for levels in [129, 10_000, 400_000] {
        assert_eq!(rig.post("x", &deep(levels)), 500, "{levels}");
        assert_eq!(rig.post("x", &"[".repeat(levels)), 500, "{levels}");
    }
    assert_eq!(rig.post("x", "[\"alive\"]"), 204);
    assert_eq!(script.taken(), ["alive"]);
    rig.over(&script, ());
}

/// The messages of one request come back as one frame; with more than 4096 it would hold up everybody.
#[test]
fn many_messages_in_one_request() {
    let (mut rig, script) = sockjs(Script::default());
    rig.poll("x");
    let of = |count: usize| format!("[{}\"\"]", "\"\",".repeat(count - 1));
    assert_eq!(rig.post("x", &of(4096)), 204);
    assert_eq!(rig.poll("x"), format!("a{}\n", of(4096)));
    assert_eq!(rig.post("x", &of(4097)), 413);
    assert_eq!(rig.post("x", &of(300_000)), 413);
    assert_eq!(rig.stats().messages_in, 4096);
    rig.over(&script, ());
}

/// A send does not put the end of its session off.
#[test]
fn sends_do_not_keep_a_session() {
    let (mut rig, script) = sockjs(listening());
    rig.poll("x");
    rig.pass(secs(4));
    assert_eq!(rig.post("x", "[\"a\"]"), 204);
    rig.pass(ms(900));
    assert!(script.closed().is_empty());
    rig.pass(ms(400));
    assert_eq!(script.closed(), [0]);
    assert_eq!(rig.post("x", "[\"b\"]"), 404);
    rig.over(&script, ());
}

/// To a session that is closed they come too late, and nothing is wrong with them.
#[test]
fn sends_to_a_closed_session() {
    let (mut rig, script) = sockjs(Script {
        message: Box::new(|me, cx, message| {
            me.script.note(message.text().unwrap());
            cx.close_with(3000, "bye");
        }),
        ..Script::default()
    });
    rig.poll("x");
    // Neither do those behind the one at which it was closed.
    assert_eq!(rig.post("x", "[\"a\",\"b\"]"), 204);
    assert_eq!(rig.post("x", "[\"c\"]"), 204);
    assert_eq!(script.taken(), ["a"]);
    assert_eq!(rig.poll("x"), "c[3000,\"bye\"]\n");
    rig.over(&script, ());
}

/// Who waits behind a poll on the same conn has to wait for it, as HTTP wants it.
#[test]
fn requests_behind_a_poll() {
    let (mut rig, script) = sockjs(listening());
    let mut client = rig.raw();
    let mut bytes = http("POST", "/s/0/x/xhr", "", b"");
    bytes.extend(http("POST", "/s/0/x/xhr_send", "", b"[\"a\"]"));
    bytes.extend(http("POST", "/s/0/x/xhr", "", b""));
    bytes.extend(http("POST", "/s/0/x/xhr_send", "", b"[\"b\"]"));
    bytes.extend(http("GET", "/s", "", b""));
    client.write(&bytes);
    assert_eq!(client.answer(&mut rig).text(), "o\n");
    assert_eq!(client.answer(&mut rig).status, 204);
    client.silent(&mut rig);
    assert_eq!(script.taken(), ["a"]);
    rig.pass(secs(26));
    assert_eq!(client.answer(&mut rig).text(), "h\n");
    assert_eq!(client.answer(&mut rig).status, 204);
    assert_eq!(client.answer(&mut rig).text(), "Welcome to SockJS!\n");
    assert_eq!(script.taken(), ["b"]);
    rig.over(&script, client);
}

#[test]
fn body_bytes_max() {
    let of = mount(dustdevil::SockJsSettings {
        body_bytes_max: 100,
        ..dustdevil::SockJsSettings::default()
    });
    let (mut rig, script) = sockjs_with(listening(), Settings::default(), of);
    rig.poll("x");
    for (len, status) in [(99, 204), (100, 204), (101, 413), (1_000_000, 413)] {
        for path in ["/s/0/x/xhr_send", "/s/0/x/jsonp_send"] {
            let body = format!("[\"{}\"]", "x".repeat(len - 4));
            let status = match (status, path.contains("jsonp")) {
                (204, true) => 200,
                (status, _) => status,
            };
            let answer = rig.ask("POST", path, "", body.as_bytes());
            assert_eq!(answer.status, status, "{path} {len}");
        }
    }
    // Chunks are counted too.
    let chunk = format!("40\r\n{}\r\n", "x".repeat(64));
    let mut client = rig.raw();
    client.write(b"POST /s/0/x/xhr_send HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.write(chunk.repeat(2).as_bytes());
    assert_eq!(client.answer(&mut rig).status, 413);
    assert!(script.closed().is_empty());
    rig.over(&script, client);
}
