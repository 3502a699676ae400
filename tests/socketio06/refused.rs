//! Who is refused, and what other pages may read.

use crate::support::*;
use dustdevil::{
    Deciding, OriginPattern, Origins, Reject, Settings, SocketIo, SocketIo06, SocketIoSettings,
    Transport,
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
