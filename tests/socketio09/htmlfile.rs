//! htmlfile: a page of scripts that grows.

use crate::support::*;
use dustdevil::{SocketIoSettings, Transport};

#[test]
fn the_prelude_comes_at_once() {
    let (mut rig, script) = sio(Script::default());
    let sid = rig.shake();
    let mut client = rig.start("GET", &path(Transport::HtmlFile, &sid), "", b"");
    let head = client.head(&mut rig);
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(
        head.contains("Content-Type: text/html; charset=UTF-8\r\n"),
        "{head}"
    );
    assert!(head.contains("Transfer-Encoding: chunked\r\n"), "{head}");
    let page =
        "<html><body><script>var _ = function (msg) { parent.s._(msg, document); };</script>";
    assert_eq!(client.chunk(&mut rig).unwrap(), format!("{page:256}"));
    assert_eq!(
        client.chunk(&mut rig).unwrap(),
        "<script>_(\"1::\");</script>"
    );
    client.silent(&mut rig);
    assert_eq!(rig.stats().transports.htmlfile, 1);
    rig.over(&script, client);
}

#[test]
fn payloads_are_scripts() {
    let (mut rig, script) = sio(Script::default());
    let sid = rig.shake();
    let mut client = rig.page(&sid);
    assert_eq!(client.script(&mut rig), "1::");
    for text in ["3:::hello", "3:::", "4:::{\"j\":1}", "3:::é😀\n"] {
        let answer = rig.ask(
            "POST",
            &path(Transport::HtmlFile, &sid),
            PLAIN,
            text.as_bytes(),
        );
        assert_eq!((answer.status, &*answer.text()), (200, "1"));
        assert_eq!(client.script(&mut rig), text);
    }
    // Several at once are one script; they come together with what waited.
    rig.push(&sid, &["3:::a", "3:::😀"]);
    assert_eq!(packets(&client.script(&mut rig)), ["3:::a", "3:::😀"]);
    client.silent(&mut rig);
    rig.over(&script, client);
}

#[test]
fn escapes() {
    let (mut rig, script) = sio(Script::default());
    let sid = rig.shake();
    let mut client = rig.page(&sid);
    assert_eq!(client.script(&mut rig), "1::");
    let text = "3:::</script><script>alert(1)//\u{2028}\u{2029}\"\\";
    rig.push(&sid, &[text]);
    let chunk = client.chunk(&mut rig).unwrap();
    let want =
        r#"<script>_("3:::\u003c/script>\u003cscript>alert(1)//\u2028\u2029\"\\");</script>"#;
    assert_eq!(chunk, want);
    rig.over(&script, client);
}

#[test]
fn it_beats_and_does_not_end() {
    let (mut rig, script) = sio_of(
        Script::default(),
        SocketIoSettings {
            heartbeat_interval: secs(12),
            ..calm()
        },
    );
    let sid = rig.shake();
    let mut client = rig.page(&sid);
    assert_eq!(client.script(&mut rig), "1::");
    for _ in 0..6 {
        rig.pass(ms(12_250));
        assert_eq!(client.script(&mut rig), "2::");
        rig.push(&sid, &["2::"]);
    }
    client.silent(&mut rig);
    rig.over_after(secs(60), &script, client);
}

/// The stream ends with its last chunk, and the conn goes on.
#[test]
fn the_end_of_the_session_ends_it() {
    let (mut rig, script) = sio(echo());
    let sid = rig.shake();
    let mut client = rig.page(&sid);
    assert_eq!(client.script(&mut rig), "1::");
    rig.push(&sid, &["3:::close"]);
    assert_eq!(client.script(&mut rig), "0::");
    client.ends(&mut rig);
    client.write(&http("GET", "/socket.io/", "", b""));
    assert_eq!(client.answer(&mut rig).status, 200);
    rig.over(&script, client);
    assert_eq!(script.closed(), [0]);
}

#[test]
fn another_receiver_ends_it() {
    let (mut rig, script) = sio(Script::default());
    let sid = rig.shake();
    let mut client = rig.page(&sid);
    assert_eq!(client.script(&mut rig), "1::");
    let mut poll = rig.hold(&sid);
    assert_eq!(client.script(&mut rig), "8::");
    client.ends(&mut rig);
    rig.push(&sid, &["3:::x"]);
    assert_eq!(poll.answer(&mut rig).text(), "3:::x");
    rig.over(&script, (client, poll));
}

#[test]
fn over_http_1_0() {
    let (mut rig, script) = sio(Script::default());
    let sid = rig.shake();
    let mut client = rig.raw();
    let path = path(Transport::HtmlFile, &sid);
    client.write(format!("GET {path} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").as_bytes());
    let head = client.head(&mut rig);
    assert!(
        !head.contains("Transfer-Encoding") && !head.contains("Content-Length"),
        "{head}"
    );
    rig.push(&sid, &["0::"]);
    let rest = String::from_utf8(client.rest(&mut rig)).unwrap();
    assert!(
        rest.starts_with("<html>") && rest.contains("_(\"1::\");"),
        "{rest}"
    );
    assert!(rest.ends_with("<script>_(\"0::\");</script>"), "{rest}");
    rig.over(&script, client);
}
