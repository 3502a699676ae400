//! Faults that earlier servers of this protocol have, and this one has not.

use crate::support::*;
use dustdevil::{
    Cause, Connection, Cx, Events, Json, Named, Reject, Router, Routes, Settings, Transport,
};
use std::collections::HashMap;

/// Real clients answer an event only if its id has a plus behind it.
#[test]
fn an_event_that_wants_an_answer_has_a_plus() {
    let (mut rig, script) = sio(Script {
        message: Box::new(|_, cx, _| {
            cx.emit_ack("ask", (1, "two"), |me, _, answer| {
                me.script.note(format!("{answer:?}"));
            });
            cx.send_ack("text", |me, _, answer| {
                me.script.note(format!("{answer:?}"));
            });
        }),
        ..Script::default()
    });
    let (_, mut client) = rig.socket();
    client.send("3:::go");
    assert_eq!(
        client.text(&mut rig),
        r#"5:1+::{"name":"ask","args":[1,"two"]}"#
    );
    // A message is answered by the client's library.
    assert_eq!(client.text(&mut rig), "3:2::text");
    client.send("6:::2");
    client.send(r#"6:::1+["yes",{"a":1}]"#);
    rig.settle();
    let yes = r#"Ok([String("yes"), Object {"a": Number(1)}])"#;
    assert_eq!(script.taken(), ["Ok([])", yes]);
    rig.over(&script, client);
}

#[derive(Default)]
struct Greeter;

impl Connection for Greeter {
    type State = World;

    fn events(on: &mut Events<Self>) {
        on.on("hi", Self::hi);
        on.on(
            "add",
            |_: &mut Self, _: &mut Cx<'_, Self>, (a, b): (i32, i32)| a + b,
        );
    }

    fn on_close(&mut self, cx: &mut Cx<'_, Self>, why: dustdevil::CloseReason) {
        cx.state.push(format!("{:?}", why.cause));
    }
}

impl Greeter {
    fn hi(&mut self, cx: &mut Cx<'_, Self>, Named(of): Named<HashMap<String, String>>) {
        cx.emit("thanks", Json(serde_json::json!({ "name": of["name"] })));
    }
}

fn greeter() -> Rig<World> {
    let router = Router::<Greeter>::new();
    let routes = Routes::new().socketio("/socket.io", &router, mount(calm()));
    Rig::new(World::new(), Settings::default(), routes)
}

/// An argument called `name` is one like any other.
#[test]
fn an_argument_called_name() {
    let mut rig = greeter();
    let (_, mut client) = rig.socket();
    client.send(r#"5:::{"name":"hi","args":[{"name":"Ann"}]}"#);
    let want = r#"5:::{"name":"thanks","args":[{"name":"Ann"}]}"#;
    assert_eq!(client.text(&mut rig), want);
    rig.over(&Script::default(), client);
}

#[test]
fn an_index_is_never_code() {
    let (mut rig, script) = sio(Script::default());
    let sid = rig.shake();
    for path in [
        format!("{SHAKE}?jsonp=alert(1)"),
        format!("{}?i=alert(1)", path(Transport::JsonpPolling, &sid)),
        format!(
            "{}?i=0]%3Balert(1)%3B[0",
            path(Transport::JsonpPolling, "nobody")
        ),
    ] {
        let answer = rig.ask("GET", &path, "", b"");
        assert!(!answer.text().contains("alert"), "{answer:?}");
    }
    rig.over(&script, ());
}

#[test]
fn a_script_cannot_be_ended_from_within() {
    let (mut rig, script) = sio(Script::default());
    let sid = rig.session();
    let mut page = rig.page(&sid);
    rig.push(&sid, &["3:::</script>"]);
    let chunk = page.chunk(&mut rig).unwrap();
    assert_eq!(chunk.matches("</script>").count(), 1, "{chunk}");
    assert!(chunk.ends_with("</script>"));
    rig.over(&script, page);
}

/// What cannot be understood is dropped; the session goes on.
#[test]
fn bad_packets_do_not_close_the_session() {
    let (mut rig, script) = sio(noting());
    let sid = rig.session();
    script.taken();
    let mut bad = 0;
    for body in [
        "",
        "garbage",
        "\u{fffd}7\u{fffd}garbage",
        "4:::{",
        "4:::",
        "5:::{",
        "5:::5",
        "6:::",
        "6:::x",
        "6:::99",
        "6:::99+[1]",
        "9:::x",
        ":::",
        "1::/nosuch",
        "3::/nosuch:x",
        "0::/nosuch",
    ] {
        assert_eq!(rig.post(&sid, body), 200, "{body:?}");
        bad += 1;
        assert_eq!(rig.stats().sessions_open, 1, "{body:?}");
    }
    assert!(bad > 0 && script.taken().is_empty(), "{:?}", script.taken());
    rig.push(&sid, &["3:::alive"]);
    assert_eq!(script.taken(), ["text alive"]);
    assert!(script.closed().is_empty());
    rig.over(&script, ());
}

/// Arguments that do not fit are counted, and end that connection only, as the application has been asked
/// what it cannot answer; more than it wants are none of its business.
#[test]
fn wrong_arguments() {
    let mut rig = greeter();
    let (_, mut client) = rig.socket();
    client.send(r#"5:1+::{"name":"add","args":[1,2,"surplus"]}"#);
    assert_eq!(client.text(&mut rig), "6:::1+[3]");
    client.send(r#"5:2+::{"name":"nosuch","args":[1]}"#);
    assert_eq!(client.text(&mut rig), "6:::2");
    assert_eq!(rig.stats().protocol_errors, 0);
    for (n, args) in (1..).zip(["[1]", "[]", r#"[1,"2"]"#, "[null,[]]", "[{},1.5]"]) {
        let mut other = rig.socket().1;
        other.send(&format!(r#"5:1+::{{"name":"add","args":{args}}}"#));
        other.told(&mut rig, "0::");
        let noted = rig.state(|state| state.clone());
        assert_eq!(noted, vec!["Error"; n], "{args}");
        let stats = rig.stats();
        assert_eq!((stats.protocol_errors, stats.panics), (n as u64, 0));
        client.send(r#"5:3+::{"name":"add","args":[1,2]}"#);
        assert_eq!(client.text(&mut rig), "6:::3+[3]");
    }
    rig.over(&Script::default(), client);
}

/// At an endpoint they end that endpoint.
#[test]
fn wrong_arguments_at_an_endpoint() {
    let root = std::rc::Rc::new(Script::default());
    let router = router(&root).endpoint("/greet", &Router::<Greeter>::new());
    let mut rig = serve(&router, Settings::default(), mount(calm()));
    let (_, mut client) = rig.socket();
    client.send("1::/greet");
    assert_eq!(client.text(&mut rig), "1::/greet");
    client.send(r#"5:1+:/greet:{"name":"add","args":["a","b"]}"#);
    assert_eq!(client.text(&mut rig), "0::/greet");
    assert_eq!(rig.stats().protocol_errors, 1);
    client.send("3:::x");
    assert_eq!(client.text(&mut rig), "3:::x");
    assert!(root.closed().is_empty());
    rig.over(&root, client);
}

/// The answer is 400, or what can be read is taken: never 500.
#[test]
fn bad_framing_is_no_error_of_ours() {
    let (mut rig, script) = sio(Script::default());
    let sid = rig.session();
    for body in [
        "\u{fffd}",
        "\u{fffd}x\u{fffd}",
        "\u{fffd}5",
        "\u{fffd}5\u{fffd}",
        "\u{fffd}9\u{fffd}3",
    ] {
        assert_eq!(rig.post(&sid, body), 200, "{body:?}");
    }
    let answer = rig.ask("POST", &polls(&sid), PLAIN, b"3:::\xff");
    assert_eq!(answer.status, 400);
    assert!(script.closed().is_empty());
    rig.serves_another();
    rig.over(&script, ());
}

/// Lengths are in UTF-16 units, as browsers count.
#[test]
fn emoji_do_not_break_payloads() {
    let (mut rig, script) = sio(Script::default());
    let sid = rig.session();
    let body = "\u{fffd}8\u{fffd}3:::😀😀\u{fffd}5\u{fffd}3:::b";
    assert_eq!(rig.post(&sid, body), 200);
    assert_eq!(rig.poll(&sid), body);
    rig.over(&script, ());
}

#[test]
fn refused_handshakes_are_not_counted_as_sessions() {
    let (mut rig, script) = sio(Script {
        open: Box::new(|_, _, _| Err(Reject::from("no"))),
        ..Script::default()
    });
    for _ in 0..10 {
        assert_eq!(rig.ask("GET", SHAKE, "", b"").status, 403);
    }
    let stats = rig.stats();
    assert_eq!(stats.sessions_open, 0);
    let dump: HashMap<_, _> = stats.dump().into_iter().collect();
    assert_eq!(dump["active_sessions"], 0.0);
    rig.over(&script, ());
}

#[test]
fn a_form_without_a_string_is_refused() {
    let (mut rig, script) = sio(Script::default());
    let sid = rig.shake();
    for body in [&b"d=%22"[..], b"", b"x", b"d=%22a"] {
        let answer = rig.ask("POST", &path(Transport::JsonpPolling, &sid), FORM, body);
        assert_eq!(answer.status, 400, "{body:?}");
    }
    rig.serves_another();
    rig.over(&script, ());
}

#[test]
fn a_ping_is_answered_with_a_pong() {
    let (mut rig, script) = sio(Script::default());
    let (_, mut client) = rig.socket();
    client.write(&masked(0x89, b"data"));
    let frame = client.frame(&mut rig);
    assert_eq!((frame.head, &*frame.payload), (0x8a, &b"data"[..]));
    rig.over(&script, client);
}

#[test]
fn no_poll_is_left_without_an_answer() {
    let (mut rig, script) = sio(Script::default());
    let sid = rig.session();
    let mut all: Vec<Client> = (0..5)
        .map(|_| rig.start("GET", &polls(&sid), "", b""))
        .collect();
    let mut last = all.pop().unwrap();
    for client in &mut all {
        assert_eq!(client.answer(&mut rig).text(), "8::");
    }
    last.silent(&mut rig);
    rig.push(&sid, &["0::"]);
    assert_eq!(last.answer(&mut rig).text(), "0::");
    assert_eq!(causes(&script), [(0, Cause::Client)]);
    rig.over(&script, (all, last));
}

#[test]
fn options_are_answered() {
    let (mut rig, script) = sio(Script::default());
    let sid = rig.shake();
    for transport in [
        "xhr-polling",
        "jsonp-polling",
        "htmlfile",
        "websocket",
        "nosuch",
    ] {
        let path = format!("/socket.io/1/{transport}/{sid}");
        let mut client = rig.start("OPTIONS", &path, "Origin: http://o.test\r\n", b"");
        let status = client.answer(&mut rig).status;
        assert!((200..500).contains(&status), "{transport}: {status}");
    }
    rig.over(&script, ());
}
