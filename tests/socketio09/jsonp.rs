//! jsonp-polling: answers are scripts, sends are forms.

use crate::support::*;
use dustdevil::{Origins, Settings, SocketIo, Transport};

fn jsonp(sid: &str) -> String {
    path(Transport::JsonpPolling, sid)
}

/// What a poll of index 0 hands over.
fn poll(rig: &mut Rig<World>, sid: &str) -> String {
    let answer = rig.ask("GET", &format!("{}?t=1&i=0", jsonp(sid)), "", b"");
    assert_eq!(answer.status, 200, "{answer:?}");
    called(&answer.text(), 0)
}

fn encoded(text: &str) -> String {
    text.bytes().map(|b| format!("%{b:02X}")).collect()
}

/// As a form of a browser has it.
fn form(payload: &str) -> String {
    format!("d={}", encoded(&serde_json::to_string(payload).unwrap()))
}

fn post(rig: &mut Rig<World>, sid: &str, body: &str) -> u16 {
    let path = format!("{}?t=1&i=0", jsonp(sid));
    rig.ask("POST", &path, FORM, body.as_bytes()).status
}

#[test]
fn answers_are_scripts() {
    let (mut rig, script) = sio(Script::default());
    let sid = rig.shake();
    let answer = rig.ask("GET", &format!("{}?i=0", jsonp(&sid)), "", b"");
    assert_eq!((answer.status, &*answer.text()), (200, "io.j[0](\"1::\");"));
    assert_eq!(
        answer.field("Content-Type"),
        Some("text/javascript; charset=UTF-8")
    );
    assert_eq!(answer.field("Content-Length"), Some("15"));
    assert_eq!(answer.field("X-Content-Type-Options"), Some("nosniff"));
    assert_eq!(rig.stats().transports.jsonp_polling, 1);
    rig.over(&script, ());
}

#[test]
fn the_index() {
    let (mut rig, script) = sio(Script::default());
    #[rustfmt::skip]
    let cases = [
        ("?i=0", 0), ("?i=7", 7), ("?t=5&i=12", 12), ("?i=", 0), ("", 0), ("?i=alert(1)", 0), ("?i=0](", 0),
        ("?i=-1", 0), ("?i=1.5", 0), ("?i=99999999999999999999", 0),
    ];
    for (query, index) in cases {
        let sid = rig.shake();
        let answer = rig.ask("GET", &format!("{}{query}", jsonp(&sid)), "", b"");
        assert_eq!(called(&answer.text(), index), "1::", "{query}");
    }
    rig.over(&script, ());
}

#[test]
fn sends_are_forms() {
    let (mut rig, script) = sio(Script::default());
    let sid = rig.shake();
    assert_eq!(poll(&mut rig, &sid), "1::");
    let several = payload(&["3:::a", "3:::é😀", "4:::{\"j\":1}"]);
    #[rustfmt::skip]
    let cases = [
        (form("3:::say \"hi\""),                             "3:::say \"hi\""),
        ("d=%223%3A%3A%3Asay+%5C%22hi%5C%22%22".to_owned(),  "3:::say \"hi\""),
        (form("3:::one\ntwo\r\nthree"),                      "3:::one\ntwo\r\nthree"),
        (form("3:::hé😀中 &+%=\u{2028}"),                    "3:::hé😀中 &+%=\u{2028}"),
        (form(&several),                                     &several),
        (format!("t=1&{}&x=y", form("3:::among others")),    "3:::among others"),
        // Without quotes it is taken as it is.
        (format!("d={}", encoded("3:::bare")),               "3:::bare"),
    ];
    for (body, want) in cases {
        let path = format!("{}?i=0", jsonp(&sid));
        let answer = rig.ask("POST", &path, FORM, body.as_bytes());
        assert_eq!((answer.status, &*answer.text()), (200, "1"), "{body}");
        assert_eq!(poll(&mut rig, &sid), want, "{body}");
    }
    rig.over(&script, ());
}

#[test]
fn forms_without_a_payload() {
    let (mut rig, script) = sio(noting());
    let sid = rig.shake();
    script.taken();
    for body in [
        "",
        "x=1",
        "3:::hello",
        "D=%222::%22",
        "d=%22",
        "d=%22a",
        "d=%22a%22b%22",
        "d=%22a%5Cx%22",
        "d=%22%0A%22",
        "d=%22%FF%22",
        "d=%22a%22,%22b%22",
    ] {
        assert_eq!(post(&mut rig, &sid, body), 400, "{body}");
    }
    assert!(script.taken().is_empty() && script.closed().is_empty());
    assert_eq!(post(&mut rig, &sid, &form("3:::x")), 200);
    assert_eq!(script.taken(), ["text x"]);
    rig.serves_another();
    rig.over(&script, ());
}

/// Nothing in a payload ends the script, or breaks it.
#[test]
fn escapes() {
    let (mut rig, script) = sio(Script::default());
    let sid = rig.shake();
    assert_eq!(poll(&mut rig, &sid), "1::");
    let text = "3:::</script><!--\u{2028}\u{2029}'\"\\/\0\r\n&é😀";
    assert_eq!(post(&mut rig, &sid, &form(text)), 200);
    let answer = rig
        .ask("GET", &format!("{}?i=0", jsonp(&sid)), "", b"")
        .text();
    assert!(
        answer.contains(r"\u003c/script>\u003c!--\u2028\u2029'"),
        "{answer}"
    );
    assert_eq!(called(&answer, 0), text);
    rig.over(&script, ());
}

#[test]
fn a_poll_is_held() {
    let (mut rig, script) = sio(Script::default());
    let sid = rig.shake();
    assert_eq!(poll(&mut rig, &sid), "1::");
    let path = format!("{}?i=3", jsonp(&sid));
    let mut held = rig.start("GET", &path, "", b"");
    held.silent(&mut rig);
    rig.pass(ms(20_300));
    assert_eq!(called(&held.answer(&mut rig).text(), 3), "8::");
    let mut first = rig.start("GET", &path, "", b"");
    let mut second = rig.start("GET", &path, "", b"");
    assert_eq!(called(&first.answer(&mut rig).text(), 3), "8::");
    assert_eq!(post(&mut rig, &sid, &form("0::")), 200);
    assert_eq!(called(&second.answer(&mut rig).text(), 3), "0::");
    assert_eq!(poll(&mut rig, &sid), UNKNOWN);
    rig.over(&script, (held, first, second));
}

/// With neither origin nor referer nobody knows whose page it is.
#[test]
fn where_origins_are_restricted() {
    let of = SocketIo {
        origins: policy(Origins::Same),
        ..mount(calm())
    };
    let (mut rig, script) = sio_with(Script::default(), Settings::default(), of);
    let sid = rig.shake();
    let path = format!("{}?i=0", jsonp(&sid));
    for (lines, status) in [
        ("", 403),
        ("Referer: http://other.test/h\r\n", 403),
        ("Origin: http://other.test\r\n", 403),
        ("Referer: http://h/page?a=b\r\n", 200),
    ] {
        let answer = rig.ask("GET", &path, lines, b"");
        assert_eq!(answer.status, status, "{lines}");
    }
    rig.over(&script, ());
}
