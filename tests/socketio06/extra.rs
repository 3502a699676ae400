//! Data of the application in the path.

use crate::support::*;
use dustdevil::{Extra, Response, Route, Router, Routes, Settings, SocketIo, Transport};
use std::rc::Rc;

/// Notes what is in the path.
fn noting_extra() -> Rc<Script> {
    Rc::new(Script {
        open: Box::new(|me, _, req| {
            let extra = req.extra().map(|it| (it.text(), it.get("room"), it.at(0)));
            me.script.note(format!("{extra:?}"));
            Ok(())
        }),
        ..Script::default()
    })
}

fn rooms(router: Router<Probe>) -> Router<Probe> {
    router.extra(|text| {
        let room = text.strip_prefix('/')?;
        let is_number = !room.is_empty() && room.bytes().all(|b| b.is_ascii_digit());
        is_number.then(|| Extra::new(room).named("room", room))
    })
}

#[test]
fn a_function() {
    for transport in ALL {
        let script = noting_extra();
        let router = rooms(router(&script));
        let mut rig = serve(&router, Settings::default(), mount(calm()));
        let mut peer = rig.peer_at(transport, "/socket.io/42", "");
        assert_eq!(peer.ask(&mut rig, "x"), ["x"], "{transport:?}");
        let want = "Some((\"42\", Some(\"42\"), Some(\"42\")))";
        assert_eq!(script.taken(), [want]);
        for prefix in ["/socket.io", "/socket.io/x"] {
            let mut client = rig.knock(transport, &first(transport, prefix), "");
            assert_eq!(
                client.answer(&mut rig).status,
                404,
                "{transport:?} {prefix}"
            );
        }
        rig.over(&script, peer);
    }
}

/// The function is given the separator, too, and there need not be one.
#[test]
fn any_separator() {
    let script = noting_extra();
    let router = router(&script).extra(|text| Some(Extra::new(text)));
    let mut rig = serve(&router, Settings::default(), mount(calm()));
    for text in ["", "/42", "-42", "42", "/", "/a/b", "/%2F%e9"] {
        let prefix = format!("{MOUNT}{text}");
        for transport in ALL {
            drop(rig.peer_at(transport, &prefix, ""));
            let want = format!("Some(({text:?}, None, None))");
            assert_eq!(script.taken(), [want], "{transport:?} {text}");
        }
    }
    rig.over(&script, ());
}

/// Without a function, no path may have any.
#[test]
fn not_asked_for() {
    let (mut rig, script) = sio(Script::default());
    for transport in ALL {
        for (prefix, status) in [
            ("/socket.io/42", 404),
            ("/socket.io/x", 404),
            ("/socket.iox", 404),
        ] {
            let mut client = rig.knock(transport, &first(transport, prefix), "");
            assert_eq!(
                client.answer(&mut rig).status,
                status,
                "{transport:?} {prefix}"
            );
        }
    }
    assert!(script.ids.borrow().is_empty());
    rig.over(&script, ());
}

#[test]
fn a_panic_in_it() {
    quiet_panics();
    let script = noting_extra();
    let router = router(&script).extra(|_| panic!("{}", MEANT));
    let mut rig = serve(&router, Settings::default(), mount(calm()));
    for transport in ALL {
        assert_eq!(rig.status(transport, ""), 500, "{transport:?}");
        let mut client = rig.knock(transport, &first(transport, "/socket.io-1"), "");
        assert_eq!(client.answer(&mut rig).status, 500, "{transport:?}");
    }
    assert_eq!(rig.stats().panics, 2 * ALL.len() as u64);
    rig.over(&script, ());
}

/// What 0.7 to 0.9 ask for stays theirs: `/1/TRANSPORT/ID` below the mount. Without an id it is 0.6 with data.
#[test]
fn data_that_looks_like_a_version() {
    let script = noting_extra();
    let router = rooms(router(&script));
    let mut rig = serve(&router, Settings::default(), mount(calm()));
    let sid = rig.session();
    assert_eq!(script.taken(), ["None"]);
    assert_eq!(rig.post(&sid, "3:::x"), 200);
    assert_eq!(rig.poll(&sid), "3:::x");
    for room in ["1", "2"] {
        let path = format!("/socket.io/{room}/xhr-polling//1");
        let answer = rig.ask("GET", &path, "", b"");
        assert_eq!(answer.status, 200);
        assert_is_id(&unframed(&answer.text())[0]);
        let want = format!("Some((\"{room}\", Some(\"{room}\"), Some(\"{room}\")))");
        assert_eq!(script.taken(), [want]);
    }
    rig.over(&script, ());
}

/// Where 0.7 to 0.9 are not served, no path is theirs.
#[test]
fn data_like_a_version_that_is_not_served() {
    let script = noting_extra();
    let of = SocketIo {
        socketio09: false,
        ..mount(calm())
    };
    let mut rig = serve(&rooms(router(&script)), Settings::default(), of);
    for room in ["1", "2"] {
        let path = format!("{MOUNT}/{room}");
        let first = rig.ask("GET", &format!("{path}/xhr-polling//1"), "", b"");
        let sid = unframed(&first.text()).remove(0);
        let send = format!("{path}/xhr-polling/{sid}/send");
        assert_eq!(rig.ask("POST", &send, "", b"data=~m~1~m~x").status, 200);
        let poll = rig.ask("GET", &format!("{path}/xhr-polling/{sid}"), "", b"");
        assert_eq!(unframed(&poll.text()), ["x"], "{room}");
        let again = format!("{path}/websocket/{sid}");
        let mut client = rig.knock(Transport::WebSocket, &again, "");
        assert_eq!(&client.head(&mut rig)[9..12], "101", "{room}");
        for rest in ["", "/"] {
            let answer = rig.ask("GET", &format!("{path}{rest}"), "", b"");
            assert_eq!(answer.status, 404, "{room}{rest}");
        }
    }
}

/// What follows a mount without a slash is its own only if the application takes it.
#[test]
fn mounts_that_begin_alike() {
    let script = noting_extra();
    let numbers = router(&script).extra(|text| {
        let number = text.bytes().all(|b| b.is_ascii_digit());
        number.then(|| Extra::new(text))
    });
    let plain = router(&script);
    let routes = Routes::new()
        .route(Route::get("/chat3/:rest", |_, _, reply| {
            reply.send(Response::text("a page"))
        }))
        .socketio("/chat", &numbers, mount(calm()))
        .socketio("/chatroom", &plain, mount(calm()))
        .socketio("/chat2", &plain, mount(calm()));
    let mut rig = Rig::new(World::new(), Settings::default(), routes);
    for (prefix, extra) in [
        ("/chat", "Some((\"\", None, None))"),
        ("/chat2", "Some((\"2\", None, None))"),
        ("/chatroom", "None"),
    ] {
        for transport in ALL {
            drop(rig.peer_at(transport, prefix, ""));
            assert_eq!(script.taken(), [extra], "{transport:?} {prefix}");
        }
    }
    for (path, status) in [
        ("/chat3/websocket", 200),
        ("/chatx/xhr-polling", 404),
        ("/chat4", 404),
        ("/chat4/", 404),
        ("/chat4/1/", 404),
    ] {
        assert_eq!(rig.ask("GET", path, "", b"").status, status, "{path}");
    }
    rig.over(&script, ());
}

#[cfg(feature = "regex")]
#[test]
fn a_regular_expression() {
    let script = noting_extra();
    let router = router(&script)
        .extra_regex("(?P<room>[a-z]+)-[0-9]+", "/")
        .unwrap();
    let mut rig = serve(&router, Settings::default(), mount(calm()));
    for transport in ALL {
        drop(rig.peer_at(transport, "/socket.io/lobby-7", ""));
        let want = "Some((\"lobby-7\", Some(\"lobby\"), Some(\"lobby\")))";
        assert_eq!(script.taken(), [want], "{transport:?}");
        for prefix in ["/socket.io/lobby", "/socket.io/xlobby-7x", "/socket.io"] {
            let mut client = rig.knock(transport, &first(transport, prefix), "");
            assert_eq!(
                client.answer(&mut rig).status,
                404,
                "{transport:?} {prefix}"
            );
        }
    }
    rig.over(&script, ());
}

/// A separator that is no slash, below mounts by text and by expression.
#[cfg(feature = "regex")]
#[test]
fn expressions_and_separators() {
    let script = noting_extra();
    for (separator, way) in [("", ""), ("-", "-"), ("/", "/"), ("/rooms/", "/rooms/")] {
        let router = router(&script).extra_regex("([0-9]+)", separator).unwrap();
        let routes = Routes::new()
            .socketio("/news", &router, mount(calm()))
            .socketio_regex("/[a-c]+", &router, mount(calm()))
            .unwrap();
        let mut rig = Rig::new(World::new(), Settings::default(), routes);
        for transport in ALL {
            for prefix in ["/news", "/abc"] {
                drop(rig.peer_at(transport, &format!("{prefix}{way}42"), ""));
                let want = "Some((\"42\", None, Some(\"42\")))";
                assert_eq!(script.taken(), [want], "{transport:?} {prefix}{way}");
                for wrong in ["", "x", "42", "-x", "/42x", ".42"] {
                    if wrong == format!("{way}42") {
                        continue;
                    }
                    let path = first(transport, &format!("{prefix}{wrong}"));
                    let mut client = rig.knock(transport, &path, "");
                    assert_eq!(client.answer(&mut rig).status, 404, "{path}");
                }
            }
        }
        rig.over(&script, ());
    }
}
