//! Who is refused, and what other pages may read.

use crate::support::*;
use dustdevil::{
    Cause, Deciding, OriginPattern, Origins, Reject, Routes, Settings, SocketIo, SocketIo06,
    SocketIoSettings, Transport,
};
use std::cell::RefCell;
use std::rc::Rc;

#[test]
fn by_the_application() {
    for transport in ALL {
        for status in [401, 403, 503] {
            let (mut rig, script) = sio(Script {
                open: Box::new(move |_, cx, _| {
                    cx.send("never seen");
                    Err(Reject::status(status).body("no").header("X-Why", "full"))
                }),
                ..Script::default()
            });
            let mut client = rig.knock(transport, &first(transport, MOUNT), "");
            let answer = client.answer(&mut rig);
            assert_eq!((answer.status, &*answer.text()), (status, "no"));
            assert_eq!(answer.field("X-Why"), Some("full"));
            assert_eq!((rig.stats().rejected, rig.stats().sessions_open), (1, 0));
            assert!(script.closed().is_empty());
            rig.over(&script, client);
        }
    }
}

#[test]
fn by_a_panic() {
    quiet_panics();
    for transport in ALL {
        let (mut rig, script) = sio(Script {
            open: Box::new(|me, _, _| match me.n {
                0 => panic!("{}", MEANT),
                _ => Ok(()),
            }),
            ..Script::default()
        });
        assert_eq!(rig.status(transport, ""), 500, "{transport:?}");
        assert_eq!((rig.stats().panics, rig.stats().sessions_open), (1, 0));
        rig.serves(transport);
        rig.over(&script, ());
    }
}

type Later = Rc<RefCell<Option<Deciding<Probe>>>>;

fn undecided() -> (Script, Later) {
    let shelf = Later::default();
    let put = Rc::clone(&shelf);
    let script = Script {
        open: Box::new(move |_, cx, _| {
            cx.send("early");
            put.replace(Some(cx.decide_later()));
            Ok(())
        }),
        ..Script::default()
    };
    (script, shelf)
}

#[test]
fn accepted_later() {
    for transport in ALL {
        let (script, shelf) = undecided();
        let (mut rig, script) = sio(script);
        let mut client = rig.knock(transport, &first(transport, MOUNT), "");
        rig.pass(secs(5));
        client.silent(&mut rig);
        assert_eq!(rig.stats().connections_open, 0);
        let deciding = shelf.take().unwrap();
        deciding.accept(|_, cx| {
            cx.send("late");
        });
        let mut peer = Peer::new(transport, MOUNT, client);
        let mut heard = peer.hear(&mut rig);
        assert_is_id(&heard[0]);
        peer.sid.clone_from(&heard[0]);
        // A poll is answered before what comes late.
        heard.extend(peer.hear(&mut rig));
        assert_eq!(heard[1..], ["early", "late"], "{transport:?}");
        rig.over(&script, peer);
    }
}

/// What comes before the decision is kept, the nonce too, and does not get before the id.
#[test]
fn bytes_before_the_decision() {
    let keys = "Sec-WebSocket-Key1: 18x 6]8vM;54 *(5:  {   U1]8  z [  8\r\n\
        Sec-WebSocket-Key2: 1_ tx7X d  <  nw  334J702) 7]o}` 0\r\n";
    let (script, shelf) = undecided();
    let (mut rig, script) = sio(script);
    let mut client = rig.raw();
    let head = format!(
        "GET {MOUNT}/websocket HTTP/1.1\r\nHost: a\r\nUpgrade: WebSocket\r\n\
         Connection: Upgrade\r\nOrigin: http://a\r\n{keys}\r\nTm[K "
    );
    client.write(head.as_bytes());
    rig.settle();
    client.write(b"T2u\0~m~1~m~x\xff");
    rig.settle();
    client.silent(&mut rig);
    shelf.take().unwrap().accept(|_, _| {});
    client.until(&mut rig, "answer", |client| {
        let text = String::from_utf8_lossy(&client.got).into_owned();
        let (_, frames) = text.split_once("\r\n\r\nfQJ,fN/4F4!~K~MH\0~m~32~m~")?;
        let (_, frames) = frames.split_at(32);
        (frames == "\u{fffd}\0~m~5~m~early\u{fffd}\0~m~1~m~x\u{fffd}").then_some(())
    });
    rig.over(&script, client);
}

#[test]
fn refused_later() {
    for transport in ALL {
        for (how, status) in [("refused", 403), ("dropped", 503), ("forgotten", 503)] {
            let (script, shelf) = undecided();
            let (mut rig, script) = sio(script);
            let mut client = rig.knock(transport, &first(transport, MOUNT), "");
            match how {
                "refused" => shelf.take().unwrap().refuse(Reject::from("no")),
                "dropped" => drop(shelf.take()),
                _ => rig.pass(secs(61)),
            }
            let answer = client.answer(&mut rig);
            assert_eq!(answer.status, status, "{transport:?} {how}");
            assert_eq!(rig.stats().sessions_open, 0);
            assert!(script.closed().is_empty());
            rig.over(&script, client);
        }
    }
}

#[test]
fn gone_while_undecided() {
    for transport in ALL {
        let (script, shelf) = undecided();
        let (mut rig, script) = sio(script);
        let client = rig.knock(transport, &first(transport, MOUNT), "");
        client.reset();
        rig.settle();
        if let Some(deciding) = shelf.take() {
            deciding.accept(|_, _| {});
        }
        rig.settle();
        rig.over(&script, ());
        assert_eq!(rig.stats().panics, 0);
    }
}

#[test]
fn by_the_origin() {
    let origins = Origins::List(vec![OriginPattern::parse("http://friend.test").unwrap()]);
    let of = SocketIo {
        origins: policy(origins),
        ..mount(calm())
    };
    let (mut rig, script) = sio_with(Script::default(), Settings::default(), of);
    for transport in ALL {
        for origin in ["http://other.test", "https://friend.test", "null"] {
            let lines = format!("Origin: {origin}\r\n");
            assert_eq!(rig.status(transport, &lines), 403, "{transport:?} {origin}");
        }
    }
    assert!(script.ids.borrow().is_empty());
    for transport in ALL {
        let lines = "Origin: http://friend.test\r\n";
        let status = rig.status(transport, lines);
        assert!([101, 200].contains(&status), "{transport:?} {status}");
    }
    for transport in ALL {
        // What a page asks for without showing itself, as an image.
        let hidden = "Sec-Fetch-Site: cross-site\r\n";
        assert_eq!(rig.status(transport, hidden), 403, "{transport:?}");
        let path = first(transport, MOUNT);
        for (origin, status) in [("http://other.test", 403), ("http://friend.test", 200)] {
            let lines = format!("Origin: {origin}\r\nAccess-Control-Request-Method: POST\r\n");
            let answer = rig.ask("OPTIONS", &path, &lines, b"");
            let headers = answer.field("Access-Control-Allow-Headers");
            let want = (status == 200).then_some("Content-Type");
            assert_eq!((answer.status, headers), (status, want), "{origin}");
        }
    }
    // Sends from elsewhere do not come through either.
    let peer = rig.peer_at(
        Transport::XhrPolling,
        MOUNT,
        "Origin: http://friend.test\r\n",
    );
    let path = sends(Transport::XhrPolling, &peer.sid);
    let body = form(&framed("x"));
    let answer = rig.ask(
        "POST",
        &path,
        "Origin: http://other.test\r\n",
        body.as_bytes(),
    );
    assert_eq!(answer.status, 403);
    assert_eq!(answer.field("Access-Control-Allow-Origin"), None);
    rig.over(&script, peer);
}

#[test]
fn what_other_pages_may_read() {
    let lines = "Origin: http://o.test\r\n";
    for transport in REQUESTS {
        let (mut rig, script) = sio(Script::default());
        let mut client = rig.knock(transport, &first(transport, MOUNT), lines);
        let head = client.head(&mut rig);
        let is_script = transport == Transport::JsonpPolling;
        for line in [
            "Access-Control-Allow-Origin: http://o.test\r\n",
            "Access-Control-Allow-Credentials: true\r\n",
            "Vary: Origin\r\n",
        ] {
            assert_eq!(head.contains(line), !is_script, "{transport:?} {head}");
        }
        let answer = rig.ask("POST", &sends(transport, "abc"), lines, b"data=");
        let origin = answer.field("Access-Control-Allow-Origin");
        assert_eq!((answer.status, origin), (401, Some("http://o.test")));
        rig.over(&script, client);
    }
}

/// A preflight makes no session; other methods are not allowed.
#[test]
fn methods() {
    let (mut rig, script) = sio(Script::default());
    for transport in ALL {
        let path = first(transport, MOUNT);
        let lines = "Origin: http://o.test\r\nAccess-Control-Request-Method: POST\r\n\
                     Access-Control-Request-Headers: Content-Type\r\n";
        let answer = rig.ask("OPTIONS", &path, lines, b"");
        assert_eq!((answer.status, &*answer.text()), (200, ""), "{path}");
        for (name, value) in [
            ("Access-Control-Allow-Origin", "http://o.test"),
            ("Access-Control-Allow-Methods", "GET, POST, OPTIONS"),
            ("Access-Control-Allow-Headers", "Content-Type"),
        ] {
            assert_eq!(answer.field(name), Some(value), "{path}");
        }
        for method in ["PUT", "DELETE", "PATCH"] {
            let answer = rig.ask(method, &path, "", b"");
            let allow = answer.field("Allow");
            assert_eq!((answer.status, allow), (405, Some("GET, POST, OPTIONS")));
        }
        let mut head = rig.start("HEAD", &path, "", b"");
        assert!(head.head(&mut rig).starts_with("HTTP/1.1 405 "));
    }
    assert!(script.ids.borrow().is_empty());
    rig.over(&script, ());
}

#[test]
fn a_transport_that_is_off() {
    for transport in ALL {
        let on = ALL.into_iter().filter(|it| *it != transport);
        let of = SocketIo {
            socketio06: Some(SocketIo06 {
                enabled_protocols: on.collect(),
                ..SocketIo06::default()
            }),
            ..mount(calm())
        };
        let (mut rig, script) = sio_with(Script::default(), Settings::default(), of);
        for other in ALL {
            let status = rig.status(other, "");
            assert_eq!(status == 403, other == transport, "{other:?} {status}");
        }
        rig.over(&script, ());
    }
}

#[test]
fn sessions_max() {
    let of = SocketIoSettings {
        sessions_max: 1,
        ..calm()
    };
    let (mut rig, script) = sio_of(Script::default(), of);
    let peer = rig.peer(Transport::XhrPolling);
    for transport in ALL {
        assert_eq!(rig.status(transport, ""), 503, "{transport:?}");
    }
    // Both generations count.
    assert_eq!(rig.ask("GET", SHAKE, "", b"").status, 503);
    assert_eq!(script.ids.borrow().len(), 1);
    rig.over(&script, peer);
}

/// Any page can read a script, and browsers name no origin with it: the `Referer` says whose page it is.
#[test]
fn jsonp_where_origins_are_restricted() {
    let friend = OriginPattern::parse("http://friend.test").unwrap();
    for (origins, friend) in [
        (Origins::Same, 403),
        (Origins::List(vec![friend.clone()]), 200),
    ] {
        let of = SocketIo {
            origins: policy(origins),
            ..mount(calm())
        };
        let (mut rig, script) = sio_with(Script::default(), Settings::default(), of);
        let cases = [
            ("", 403),
            ("Referer: http://other.test/h\r\n", 403),
            ("Referer: http://h.other.test/\r\n", 403),
            ("Referer: h\r\n", 403),
            ("Origin: http://other.test\r\n", 403),
            (
                "Origin: http://other.test\r\nReferer: http://h/page\r\n",
                403,
            ),
            ("Referer: http://friend.test/page\r\n", friend),
            ("Referer: http://h/page?a=b\r\n", 200),
            ("Origin: http://h\r\n", 200),
        ];
        for (lines, status) in cases {
            let got = rig.status(Transport::JsonpPolling, lines);
            assert_eq!(got, status, "{lines}");
        }
        let served = cases.iter().filter(|(_, status)| *status == 200).count();
        assert_eq!(script.ids.borrow().len(), served);
        let refused = (cases.len() - served) as u64;
        assert_eq!(rig.stats().handshakes_refused, refused);
        // Nor does a foreign page get what waits, or send; its own page does.
        let peer = rig.peer_at(Transport::JsonpPolling, MOUNT, "Referer: http://h/\r\n");
        let id = script.id(served);
        rig.server.with_app(|app| app.to(id).send("kept")).unwrap();
        let path = later(Transport::JsonpPolling, &peer.sid);
        for (lines, status) in cases {
            if status == 403 {
                assert_eq!(rig.ask("GET", &path, lines, b"").status, 403, "{lines}");
            }
        }
        let foreign = format!("{FORM}Referer: http://other.test/\r\n");
        let body = form(&framed("forged"));
        let answer = rig.ask("POST", &path, &foreign, body.as_bytes());
        assert_eq!(answer.status, 403);
        let answer = rig.ask("GET", &path, "Referer: http://h/\r\n", b"");
        assert_eq!(unframed(&called(&answer.text(), 0)), ["kept"]);
        rig.over(&script, peer);
    }
}

/// By default pages of the same host are served, and what is no page.
#[test]
fn pages_of_the_same_host_by_default() {
    for transport in ALL {
        let of = SocketIo {
            settings: calm(),
            ..SocketIo::default()
        };
        let (mut rig, script) = sio_with(Script::default(), Settings::default(), of);
        let host = match SOCKETS.contains(&transport) {
            true => "server.example.com",
            false => "h",
        };
        let foreign = [
            "http://other.test".to_owned(),
            format!("http://{host}.other.test"),
            format!("http://other.{host}"),
            format!("http://{host}:8080"),
            "null".to_owned(),
        ];
        for origin in &foreign {
            let lines = format!("Origin: {origin}\r\n");
            assert_eq!(rig.status(transport, &lines), 403, "{transport:?} {origin}");
        }
        let several = format!("Origin: http://{host}\r\nOrigin: http://other.test\r\n");
        assert_eq!(rig.status(transport, &several), 403, "{transport:?}");
        assert!(script.ids.borrow().is_empty());
        let own = format!("Origin: http://{host}\r\n");
        let none = match transport {
            Transport::JsonpPolling => "Referer: http://h/\r\n",
            _ => "",
        };
        for lines in [&own, none] {
            let status = rig.status(transport, lines);
            assert!(
                [101, 200].contains(&status),
                "{transport:?} {status} {lines}"
            );
        }
        // Who knows an id does not get to its session from a foreign page.
        let peer = rig.peer(Transport::XhrPolling);
        let lines = "Origin: http://other.test\r\n";
        let mut client = rig.knock(transport, &later(transport, &peer.sid), lines);
        assert_eq!(client.answer(&mut rig).status, 403, "{transport:?}");
        if REQUESTS.contains(&transport) {
            let path = sends(transport, &peer.sid);
            let answer = rig.ask("POST", &path, lines, b"data=~m~1~m~x");
            assert_eq!(answer.status, 403, "{transport:?}");
            assert_eq!(answer.field("Access-Control-Allow-Origin"), None);
        }
        assert_eq!(rig.stats().messages_in, 0);
        rig.over(&script, (peer, client));
    }
}

/// Where it matters, a session is for the address that it was made from, whatever the transport.
#[test]
fn verify_remote_ip() {
    for verified in [true, false] {
        for transport in ALL {
            let of = SocketIoSettings {
                verify_remote_ip: verified,
                ..calm()
            };
            let (mut rig, script) = sio_of(noting(), of);
            let mut peer = rig.peer(Transport::XhrPolling);
            script.taken();
            if REQUESTS.contains(&transport) {
                let mut there = Client::connect_from([127, 0, 0, 2], rig.addr);
                let body = form(&framed("theirs"));
                there.write(&http(
                    "POST",
                    &sends(transport, &peer.sid),
                    FORM,
                    body.as_bytes(),
                ));
                let answer = there.answer(&mut rig);
                let (status, text) = if verified { (401, "") } else { (200, "ok") };
                assert_eq!((answer.status, &*answer.text()), (status, text));
                let taken = script.taken();
                assert_eq!(taken.is_empty(), verified, "{transport:?} {taken:?}");
            }
            let id = script.id(0);
            rig.server.with_app(|app| app.to(id).send("kept")).unwrap();
            let mut there = Client::connect_from([127, 0, 0, 2], rig.addr);
            let path = later(transport, &peer.sid);
            match SOCKETS.contains(&transport) {
                true => there.write(request(&path, "").as_bytes()),
                false => there.write(&http("GET", &path, "", b"")),
            }
            let head = there.head(&mut rig);
            if verified {
                assert!(head.starts_with("HTTP/1.1 401 "), "{transport:?} {head}");
                assert!(script.closed().is_empty());
                assert_eq!(peer.hear(&mut rig), ["kept"], "{transport:?}");
                peer.say(&mut rig, &["own"]);
                assert_eq!(script.taken(), ["text own"]);
            } else {
                let status = head[9..12].parse().unwrap();
                assert!([101, 200].contains(&status), "{transport:?} {head}");
            }
            rig.over(&script, (peer, there));
        }
    }
}

/// Whatever the transport; who goes makes room.
#[test]
fn sessions_per_ip_max() {
    for transport in ALL {
        let of = SocketIoSettings {
            sessions_per_ip_max: 2,
            ..calm()
        };
        let (mut rig, script) = sio_of(Script::default(), of);
        let mut held = Vec::new();
        let path = first(transport, MOUNT);
        let bytes = match SOCKETS.contains(&transport) {
            true => request(&path, "").into_bytes(),
            false => http("GET", &path, "", b""),
        };
        let mut asks = |rig: &mut Rig<World>, last: u8| {
            let mut client = Client::connect_from([127, 0, 0, last], rig.addr);
            client.write(&bytes);
            let head = client.head(rig);
            held.push(client);
            head
        };
        for (last, is_one_too_many) in [(1, false), (1, false), (1, true), (2, false)] {
            let head = asks(&mut rig, last);
            let is_refused = head.starts_with("HTTP/1.1 503 ");
            assert_eq!(is_refused, is_one_too_many, "{transport:?} {last} {head}");
            assert_eq!(head.contains("\r\nRetry-After: 1\r\n"), is_refused);
        }
        assert_eq!(script.ids.borrow().len(), 3);
        assert_eq!(rig.stats().handshakes_refused, 1);
        let id = script.id(0);
        rig.server.with_app(|app| app.to(id).close()).unwrap();
        // A poll brings the end to who has not asked again.
        rig.pass(ms(30_500));
        let head = asks(&mut rig, 1);
        assert!(!head.starts_with("HTTP/1.1 503 "), "{transport:?} {head}");
        rig.over(&script, held);
    }
}

/// Over conns that are there already: four fifths of the memory are taken.
#[test]
fn short_of_memory() {
    let settings = Settings {
        buffers_max_bytes: 2 << 20,
        ..Settings::default()
    };
    for transport in ALL {
        let (mut rig, script) = sio_with(Script::default(), settings.clone(), mount(calm()));
        let sids = [0, 1].map(|_| rig.peer(Transport::XhrPolling).sid);
        let mut early: Vec<_> = (0..3).map(|_| rig.raw()).collect();
        rig.settle();
        let knock = |rig: &mut Rig<World>, client: &mut Client| {
            let path = first(transport, MOUNT);
            match SOCKETS.contains(&transport) {
                true => client.write(request(&path, "").as_bytes()),
                false => client.write(&http("GET", &path, "", b"")),
            }
            client.head(rig)
        };
        // Just under it.
        rig.fill(script.id(0), 900_000);
        rig.fill(script.id(1), 700_000);
        let head = knock(&mut rig, &mut early[0]);
        assert!(!head.starts_with("HTTP/1.1 503 "), "{transport:?} {head}");
        rig.fill(script.id(1), 100_000);
        let stats = rig.stats();
        assert!(stats.bytes_queued > (2 << 20) / 100 * 80, "{stats:?}");
        let head = knock(&mut rig, &mut early[1]);
        assert!(head.starts_with("HTTP/1.1 503 "), "{transport:?} {head}");
        assert!(head.contains("\r\nRetry-After: 1\r\n"), "{head}");
        assert_eq!(script.ids.borrow().len(), 3);
        assert_eq!(rig.stats().memory_closes, 0);
        // Who is there is served on, and then there is room again.
        let path = later(Transport::XhrPolling, &sids[0]);
        early[2].write(&http("GET", &path, "", b""));
        assert_eq!(early[2].answer(&mut rig).body.len(), 900_000 + 12);
        rig.serves(transport);
        rig.over(&script, early);
    }
}

/// Over a conn that is still there: another server is to be asked.
#[test]
fn while_draining() {
    for transport in ALL {
        let (mut rig, script) = sio(Script::default());
        let peer = rig.peer(Transport::WebSocket);
        let path = first(transport, MOUNT);
        let bytes = match SOCKETS.contains(&transport) {
            true => request(&path, "").into_bytes(),
            false => http("GET", &path, "", b""),
        };
        let mut client = rig.raw();
        client.write(&bytes[..10]);
        rig.settle();
        rig.server.drain(secs(5)).unwrap();
        client.write(&bytes[10..]);
        let answer = client.answer(&mut rig);
        let retry = answer.field("Retry-After");
        assert_eq!((answer.status, retry), (503, Some("1")), "{transport:?}");
        assert_eq!(script.ids.borrow().len(), 1);
        drop((peer, client));
        rig.pass(secs(6));
        assert_eq!(causes(&script), [(0, Cause::Shutdown)]);
        assert_eq!(rig.stats().sessions_open, 0);
    }
}

/// What 0.6 has no form for cannot be switched on.
#[test]
fn transports_that_there_are_not() {
    let bound = |of| {
        let router = router(&Rc::default());
        dustdevil::SocketServer::new(World::new())
            .unwrap()
            .routes(Routes::new().socketio(MOUNT, &router, of))
            .bind("127.0.0.1:0")
    };
    let with = |enabled_protocols| SocketIo {
        socketio06: Some(SocketIo06 {
            enabled_protocols,
            ..SocketIo06::default()
        }),
        ..SocketIo::default()
    };
    for transport in [
        Transport::None,
        Transport::RawWebSocket,
        Transport::Xhr,
        Transport::XhrStreaming,
        Transport::Jsonp,
        Transport::EventSource,
    ] {
        let all = [&ALL[..], &[transport]].concat();
        let refused = bound(with(all)).err().expect("it is taken").to_string();
        assert!(
            refused.contains("SocketIo06::enabled_protocols"),
            "{refused}"
        );
    }
    for transport in ALL {
        assert!(bound(with(vec![transport])).is_ok(), "{transport:?}");
    }
}
