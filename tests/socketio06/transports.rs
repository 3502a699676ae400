//! What goes over the wire on each transport.

use crate::support::*;
use dustdevil::{Dialect, Settings, SocketIo, SocketIoSettings, Transport};

/// Greets in `on_open`; notes who is there.
fn greeting() -> Script {
    Script {
        open: Box::new(|me, cx, req| {
            assert_eq!(cx.dialect(), Dialect::SocketIo06);
            assert_eq!(req.transport(), Some(cx.transport()));
            me.script.note(format!("open {}", cx.transport().name()));
            cx.send("Welcome!");
            Ok(())
        }),
        ..Script::default()
    }
}

/// The id comes first, whatever `on_open` sends; `on_open` runs once, however often the client polls.
#[test]
fn the_first_message_is_the_id() {
    for transport in ALL {
        let (mut rig, script) = sio(greeting());
        let mut peer = rig.peer(transport);
        assert_eq!(peer.hear(&mut rig), ["Welcome!"], "{transport:?}");
        for text in ["a", "b", "c"] {
            assert_eq!(peer.ask(&mut rig, text), [text], "{transport:?}");
        }
        assert_eq!(script.taken(), [format!("open {}", transport.name())]);
        assert_eq!(rig.stats().sessions_open, 1);
        assert_eq!(rig.stats().connections_open, 1);
        rig.over(&script, peer);
    }
}

/// A server's own part begins every id, whatever the transport; the rest is random.
#[test]
fn node_ids_lead() {
    for node in ["a", "node42xy"] {
        let of = SocketIo {
            node_id: node.to_owned(),
            ..mount(calm())
        };
        let (mut rig, script) = sio_with(Script::default(), Settings::default(), of);
        let mut rests = Vec::new();
        for transport in ALL {
            for _ in 0..2 {
                let peer = rig.peer(transport);
                let rest = peer.sid.strip_prefix(node);
                let rest = rest.unwrap_or_else(|| panic!("{transport:?} {}", peer.sid));
                rests.push(rest.to_owned());
            }
        }
        rests.sort_unstable();
        rests.dedup();
        assert_eq!(rests.len(), 2 * ALL.len());
        rig.over(&script, ());
    }
}

/// What the application sees of it.
#[test]
fn names() {
    for transport in ALL {
        let (mut rig, script) = sio(Script {
            message: Box::new(|me, cx, _| {
                assert_eq!(cx.dialect(), Dialect::SocketIo06);
                let transport = cx.transport().name();
                let sid = cx.session_id().unwrap();
                me.script.note(format!("{transport} {sid}"));
            }),
            ..Script::default()
        });
        let mut peer = rig.peer(transport);
        assert_eq!(peer.ask(&mut rig, "x"), [""; 0]);
        let want = format!("{} {}", transport.name(), peer.sid);
        assert_eq!(script.taken(), [want]);
        let counts = rig.stats().transports;
        let mut each = [
            counts.xhr_polling,
            counts.jsonp_polling,
            counts.htmlfile,
            counts.xhr_multipart,
            counts.websocket,
            counts.flashsocket,
        ];
        let at = ALL.iter().position(|it| *it == transport).unwrap();
        assert_eq!(std::mem::take(&mut each[at]), 1, "{transport:?}");
        assert_eq!(each, [0; 6], "{transport:?}");
        rig.over(&script, peer);
    }
}

#[test]
fn xhr_polling() {
    let (mut rig, script) = sio(greeting());
    let answer = rig.ask("GET", "/socket.io/xhr-polling//1290000000000", "", b"");
    assert_eq!(answer.status, 200);
    let kind = answer.field("Content-Type");
    assert_eq!(kind, Some("text/plain; charset=UTF-8"));
    assert_eq!(answer.field("Content-Length"), Some("55"));
    let text = answer.text();
    let (id, rest) = text.strip_prefix("~m~32~m~").unwrap().split_at(32);
    assert_is_id(id);
    assert_eq!(rest, "~m~8~m~Welcome!");
    let send = format!("/socket.io/xhr-polling/{id}/send");
    let answer = rig.ask("POST", &send, FORM, b"data=~m~7~m~h%C3%A9%F0%9F%98%80llo");
    assert_eq!((answer.status, &*answer.text()), (200, "ok"));
    let kind = answer.field("Content-Type");
    assert_eq!(kind, Some("text/plain; charset=UTF-8"));
    assert_eq!(answer.field("Content-Length"), Some("2"));
    let poll = format!("/socket.io/xhr-polling/{id}/1290000000001");
    let answer = rig.ask("GET", &poll, "", b"");
    assert_eq!(answer.text(), "~m~7~m~hé\u{1f600}llo");
    assert_eq!(answer.field("Content-Length"), Some("17"));
    rig.over(&script, ());
}

/// An id that is empty, or none, makes a session; what follows it does not matter.
#[test]
fn paths_of_new_sessions() {
    let (mut rig, script) = sio(Script::default());
    for tail in ["", "/", "//1", "//", "//anything/at/all", "?a=b", "//1?a=b"] {
        let answer = rig.ask("GET", &format!("/socket.io/xhr-polling{tail}"), "", b"");
        assert_eq!(answer.status, 200, "{tail}");
        assert_is_id(&unframed(&answer.text())[0]);
    }
    for tail in ["", "/", "//1", "?a=b"] {
        let client = rig.client(&format!("/socket.io/websocket{tail}"));
        drop(client);
    }
    assert_eq!(script.ids.borrow().len(), 11);
    rig.over(&script, ());
}

#[test]
fn jsonp_polling() {
    let (mut rig, script) = sio(greeting());
    let answer = rig.ask("GET", "/socket.io/jsonp-polling//1290000000000/0", "", b"");
    assert_eq!(answer.status, 200);
    let kind = answer.field("Content-Type");
    assert_eq!(kind, Some("text/javascript; charset=UTF-8"));
    assert_eq!(answer.field("X-Content-Type-Options"), Some("nosniff"));
    let text = answer.text();
    let start = text.strip_prefix("io.JSONP[0]._(\"~m~32~m~").unwrap();
    let (id, rest) = start.split_at(32);
    assert_eq!(rest, "~m~8~m~Welcome!\");");
    for index in [0, 1, 12, 4711] {
        let path = format!("/socket.io/jsonp-polling/{id}/1290000000000/{index}");
        let answer = rig.ask("POST", &path, FORM, b"data=~m~3~m~a+b");
        assert_eq!((answer.status, &*answer.text()), (200, "ok"));
        let answer = rig.ask("GET", &path, "", b"").text();
        assert_eq!(answer, format!("io.JSONP[{index}]._(\"~m~3~m~a b\");"));
    }
    rig.over(&script, ());
}

/// A single number behind the id is the index; without any, nobody can be called.
#[test]
fn jsonp_indexes() {
    let (mut rig, script) = sio(Script::default());
    for (tail, index) in [("//7", 7), ("//1290000000000/3", 3), ("//1/2/x", 2)] {
        let answer = rig.ask("GET", &format!("/socket.io/jsonp-polling{tail}"), "", b"");
        assert_eq!(answer.status, 200, "{tail}");
        called(&answer.text(), index);
    }
    let made = script.ids.borrow().len();
    for tail in [
        "",
        "/",
        "//",
        "//x",
        "//alert(1)",
        "//1290000000000",
        "//0](",
        "//-1",
        "//1.5",
        "//99999999999999999999999",
    ] {
        let answer = rig.ask("GET", &format!("/socket.io/jsonp-polling{tail}"), "", b"");
        assert_eq!((answer.status, &*answer.text()), (400, ""), "{tail}");
    }
    assert_eq!(script.ids.borrow().len(), made);
    // Neither is a session reached so.
    let peer = rig.peer(Transport::JsonpPolling);
    for tail in ["", "/", "/x"] {
        let path = format!("/socket.io/jsonp-polling/{}{tail}", peer.sid);
        for method in ["GET", "POST"] {
            assert_eq!(rig.ask(method, &path, FORM, b"data=").status, 400);
        }
    }
    rig.over(&script, peer);
}

/// A browser that posts a form has made each LF a CR LF, behind the back of who counted.
#[test]
fn line_ends_of_forms() {
    #[rustfmt::skip]
    let cases = [
        ("data=~m~3~m~a%0D%0Ab",                    Transport::JsonpPolling, "a\nb"),
        ("data=~m~4~m~a%0D%0Ab",                    Transport::JsonpPolling, "a\r\nb"),
        ("data=~m~2~m~%0D%0A%0D%0A~m~1~m~x",        Transport::JsonpPolling, "\n\n|x"),
        ("data=~m~3~m~a%0Ab",                       Transport::JsonpPolling, "a\nb"),
        ("data=~m~4~m~a%0D%0Ab",                    Transport::XhrPolling,   "a\r\nb"),
        ("data=~m~1~m~%0D%0A",                      Transport::JsonpPolling, "\n"),
    ];
    for (body, transport, want) in cases {
        let (mut rig, script) = sio(Script::default());
        let mut peer = rig.peer(transport);
        assert_eq!(peer.post(&mut rig, body).status, 200);
        assert_eq!(peer.hear(&mut rig).join("|"), want, "{body}");
        assert_eq!(rig.stats().protocol_errors, 0);
        rig.over(&script, peer);
    }
    // Elsewhere a length is what it says.
    let (mut rig, script) = sio(Script::default());
    let mut peer = rig.peer(Transport::XhrPolling);
    assert_eq!(peer.post(&mut rig, "data=~m~3~m~a%0D%0Ab").status, 200);
    assert_eq!(peer.hear(&mut rig), ["a\r\n"]);
    assert_eq!(rig.stats().protocol_errors, 1);
    rig.over(&script, peer);
}

/// Nothing in a payload ends the script that it is in.
#[test]
fn escapes() {
    let text = "</script><!--\u{2028}\u{2029}'\"\\/\0\r\n&é\u{1f600}";
    for transport in [Transport::JsonpPolling, Transport::HtmlFile] {
        let (mut rig, script) = sio(Script::default());
        let mut peer = rig.peer(transport);
        // The support looks for what must not be there.
        assert_eq!(peer.ask(&mut rig, text), [text]);
        rig.over(&script, peer);
    }
}

#[test]
fn htmlfile() {
    let (mut rig, script) = sio(greeting());
    let mut client = rig.start("GET", "/socket.io/htmlfile//1290000000000", "", b"");
    let head = client.head(&mut rig);
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    for line in [
        "Content-Type: text/html; charset=UTF-8\r\n",
        "Transfer-Encoding: chunked\r\n",
    ] {
        assert!(head.contains(line), "{head}");
    }
    let prelude = client.chunk(&mut rig).unwrap();
    assert_eq!(prelude, format!("<html><body>{:244}", ""));
    let chunk = client.chunk(&mut rig).unwrap();
    let start = chunk.strip_prefix("<script>parent.s._(\"~m~32~m~").unwrap();
    let (id, rest) = start.split_at(32);
    assert_eq!(rest, "~m~8~m~Welcome!\", document);</script>");
    let path = sends(Transport::HtmlFile, id);
    rig.ask("POST", &path, FORM, b"data=~m~5~m~hello");
    let want = "<script>parent.s._(\"~m~5~m~hello\", document);</script>";
    assert_eq!(client.chunk(&mut rig).unwrap(), want);
    client.silent(&mut rig);
    rig.over(&script, client);
}

#[test]
fn xhr_multipart() {
    let (mut rig, script) = sio(greeting());
    let mut client = rig.start("GET", "/socket.io/xhr-multipart/", "", b"");
    let head = client.head(&mut rig);
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let kind = "Content-Type: multipart/x-mixed-replace;boundary=\"socketio\"\r\n";
    assert!(head.contains(kind), "{head}");
    assert_eq!(client.chunk(&mut rig).unwrap(), "--socketio\n");
    let chunk = client.chunk(&mut rig).unwrap();
    let part = "Content-Type: text/plain; charset=UTF-8\n\n";
    let start = chunk.strip_prefix(part).unwrap();
    let (id, rest) = start.strip_prefix("~m~32~m~").unwrap().split_at(32);
    assert_eq!(rest, "~m~8~m~Welcome!\n--socketio\n");
    let path = sends(Transport::XhrMultipart, id);
    rig.ask("POST", &path, FORM, "data=~m~1~m~é".as_bytes());
    let want = format!("{part}~m~1~m~é\n--socketio\n");
    assert_eq!(client.chunk(&mut rig).unwrap(), want);
    client.silent(&mut rig);
    rig.over(&script, client);
}

#[test]
fn websocket_and_flashsocket() {
    for transport in SOCKETS {
        let (mut rig, script) = sio(greeting());
        let mut client = rig.client(&format!("/socket.io/{}", transport.name()));
        let id = client.text(&mut rig);
        assert_is_id(id.strip_prefix("~m~32~m~").unwrap());
        assert_eq!(client.text(&mut rig), "~m~8~m~Welcome!");
        client.send("~m~3~m~one~m~3~m~two~m~10~m~~j~{\"a\":1}");
        for want in ["~m~3~m~one", "~m~3~m~two", "~m~10~m~~j~{\"a\":1}"] {
            assert_eq!(client.text(&mut rig), want);
        }
        // A message may come in fragments, and right behind the request.
        client.write(&masked(0x01, b"~m~5~m~he"));
        client.write(&masked(0x80, b"llo"));
        assert_eq!(client.text(&mut rig), "~m~5~m~hello");
        let mut eager = rig.raw();
        let mut bytes = request("/socket.io/websocket", "").into_bytes();
        bytes.extend(masked(0x81, b"~m~5~m~early"));
        eager.write(&bytes);
        eager.head(&mut rig);
        let heard = eager.texts(&mut rig);
        assert_eq!(heard[1..], ["~m~8~m~Welcome!", "~m~5~m~early"]);
        rig.over(&script, (client, eager));
    }
}

#[test]
fn plain_requests_for_websockets() {
    let (mut rig, script) = sio(Script::default());
    for transport in SOCKETS {
        for method in ["GET", "POST"] {
            let answer = rig.ask(method, &first(transport, MOUNT), "", b"");
            let got = (answer.status, &*answer.text());
            assert_eq!(got, (400, "Upgrade required\n"), "{method}");
        }
    }
    assert!(script.ids.borrow().is_empty());
    rig.over(&script, ());
}

/// UTF-16 units are counted, both ways.
#[test]
fn lengths() {
    #[rustfmt::skip]
    let cases = [
        ("", 0), ("abc", 3), ("é", 1), ("中", 1), ("\u{1f600}", 2), ("é\u{1f600}", 3), ("~m~", 3), ("~m~5~m~x", 8),
        ("a\u{1f600}\r\n\0\u{7f}\u{ffff}\u{10ffff}", 10), ("~", 1), ("~h", 2), ("~J~{", 4),
    ];
    for transport in ALL {
        let (mut rig, script) = sio(Script::default());
        let mut peer = rig.peer(transport);
        for (text, units) in cases {
            let wire = format!("~m~{units}~m~{text}");
            peer.send_payload(&mut rig, &wire);
            assert_eq!(peer.payloads(&mut rig), [wire], "{transport:?} {text:?}");
        }
        let texts: Vec<&str> = cases.iter().map(|(text, _)| *text).collect();
        peer.say(&mut rig, &texts);
        assert_eq!(peer.hear(&mut rig), texts, "{transport:?}");
        rig.over(&script, peer);
    }
}

#[test]
fn json_both_ways() {
    #[rustfmt::skip]
    let cases = [
        "{\"a\":1}", "[1,2]", "\"é\u{1f600}\"", "null", "1.50", "true", "{\"k\":\"v\"}", "[]",
    ];
    for transport in ALL {
        let (mut rig, script) = sio(Script {
            message: Box::new(|me, cx, message| {
                let kind = if message.is_json() { "json" } else { "text" };
                me.script
                    .note(format!("{kind} {}", message.text().unwrap()));
                cx.send(message);
            }),
            ..Script::default()
        });
        let mut peer = rig.peer(transport);
        for json in cases {
            let data = format!("~j~{json}");
            assert_eq!(peer.ask(&mut rig, &data), [data], "{transport:?}");
            assert_eq!(peer.ask(&mut rig, json), [json], "{transport:?}");
            assert_eq!(
                script.taken(),
                [format!("json {json}"), format!("text {json}")]
            );
        }
        rig.over(&script, peer);
    }
}

/// Several messages are one payload where the transport has room for it.
#[test]
fn send_each() {
    for transport in ALL {
        let (mut rig, script) = sio(Script {
            message: Box::new(|_, cx, _| {
                cx.send_each(["one", "é\u{1f600}", ""]);
                cx.send(dustdevil::Json(&serde_json::json!({ "a": 1 })));
            }),
            ..Script::default()
        });
        let mut peer = rig.peer(transport);
        peer.silent(&mut rig);
        peer.say(&mut rig, &["go"]);
        let got = peer.payloads(&mut rig);
        let want = ["one", "é\u{1f600}", "", "~j~{\"a\":1}"];
        if SOCKETS.contains(&transport) {
            assert_eq!(got, want.map(framed));
        } else {
            assert_eq!(got, [payload(&want)], "{transport:?}");
        }
        rig.over(&script, peer);
    }
}

/// Events and acknowledgements are unknown here.
#[test]
fn no_events() {
    for transport in ALL {
        let (mut rig, script) = sio(Script {
            message: Box::new(|me, cx, _| {
                let sent = cx.emit("event", 1);
                me.script.note(format!("{sent:?}"));
            }),
            ..Script::default()
        });
        let mut peer = rig.peer(transport);
        assert_eq!(peer.ask(&mut rig, "x"), [""; 0]);
        assert_eq!(script.taken(), ["Unsupported"]);
        // Packets of 0.9 are no messages.
        let before = rig.stats().protocol_errors;
        peer.send_payload(&mut rig, "3:::x");
        peer.silent(&mut rig);
        assert_eq!(rig.stats().protocol_errors, before + 1);
        assert!(script.taken().is_empty());
        rig.over(&script, peer);
    }
}

// ---- polls ----------------------------------------------------------------------------------------

#[test]
fn held_polls_end_empty() {
    for transport in POLLS {
        for seconds in [1, 20] {
            let of = SocketIoSettings {
                xhr_polling_timeout: secs(seconds),
                ..calm()
            };
            let (mut rig, script) = sio_of(Script::default(), of);
            let mut peer = rig.peer(transport);
            for _ in 0..3 {
                peer.silent(&mut rig);
                rig.pass(secs(seconds) - ms(300));
                peer.receiver().silent(&mut rig);
                rig.pass(ms(600));
                let answer = peer.receiver().answer(&mut rig);
                assert_eq!(answer.status, 200);
                if transport == Transport::XhrPolling {
                    assert_eq!(
                        (answer.text(), answer.field("Content-Length")),
                        (String::new(), Some("0"))
                    );
                } else {
                    assert_eq!(answer.text(), "io.JSONP[0]._(\"\");");
                }
                peer.cut();
            }
            assert!(script.closed().is_empty());
            assert_eq!(peer.ask(&mut rig, "x"), ["x"]);
            rig.over(&script, peer);
        }
    }
}

/// A second receiver takes over; the first is finished, not left alone.
#[test]
fn superseded_receivers() {
    for transport in ALL {
        for next in ALL {
            let (mut rig, script) = sio(Script::default());
            let mut peer = rig.peer(transport);
            peer.silent(&mut rig);
            let mut second = Peer::back(&mut rig, next, &peer.sid);
            second.silent(&mut rig);
            let old = peer.receiver();
            match transport {
                Transport::XhrPolling => assert_eq!(old.answer(&mut rig).text(), ""),
                Transport::JsonpPolling => {
                    assert_eq!(called(&old.answer(&mut rig).text(), 0), "");
                }
                Transport::HtmlFile | Transport::XhrMultipart => old.ends(&mut rig),
                _ => old.closes(&mut rig),
            }
            assert_eq!(second.ask(&mut rig, "x"), ["x"], "{transport:?} {next:?}");
            assert!(script.closed().is_empty());
            assert_eq!(script.ids.borrow().len(), 1);
            rig.over(&script, (peer, second));
        }
    }
}

/// What comes between polls waits, and goes out in one.
#[test]
fn what_was_queued() {
    for transport in POLLS {
        let (mut rig, script) = sio(Script::default());
        let mut peer = rig.peer(transport);
        peer.say(&mut rig, &["a"]);
        peer.say(&mut rig, &["b", "c"]);
        assert_eq!(peer.payloads(&mut rig), [payload(&["a", "b", "c"])]);
        // A poll that is cut loses nothing.
        peer.silent(&mut rig);
        peer.cut();
        rig.settle();
        assert_eq!(peer.ask(&mut rig, "d"), ["d"]);
        rig.over(&script, peer);
    }
}

/// Answers are whole for who speaks HTTP/1.0, streams without chunks.
#[test]
fn over_http_1_0() {
    let (mut rig, script) = sio(Script::default());
    let mut client = rig.raw();
    client.write(b"GET /socket.io/xhr-polling//1 HTTP/1.0\r\n\r\n");
    let answer = client.answer(&mut rig);
    assert_eq!(answer.field("Content-Length"), Some("40"));
    assert_eq!(client.rest(&mut rig), b"");
    let mut client = rig.raw();
    client.write(b"GET /socket.io/xhr-multipart/ HTTP/1.0\r\n\r\n");
    let head = client.head(&mut rig);
    assert!(!head.contains("chunked"), "{head}");
    rig.settle();
    client.fill();
    let got = String::from_utf8(client.got.clone()).unwrap();
    assert!(got.starts_with("--socketio\nContent-Type: "), "{got}");
    assert!(got.ends_with("\n--socketio\n"), "{got}");
    rig.over(&script, client);
}

/// Where 0.7 to 0.9 are off, 0.6 goes on; and the other way.
#[test]
fn either_alone() {
    let (mut rig, script) = sio_with(
        Script::default(),
        dustdevil::Settings::default(),
        SocketIo {
            socketio09: false,
            ..mount(calm())
        },
    );
    assert_eq!(rig.ask("GET", SHAKE, "", b"").status, 404);
    rig.serves(Transport::XhrPolling);
    rig.over(&script, ());
    let (mut rig, script) = sio_with(
        Script::default(),
        dustdevil::Settings::default(),
        SocketIo {
            socketio06: None,
            ..mount(calm())
        },
    );
    for transport in ALL {
        assert_eq!(rig.status(transport, ""), 404, "{transport:?}");
    }
    rig.serves_another();
    rig.over(&script, ());
}
