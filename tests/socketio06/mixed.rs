//! Clients of 0.6 and of 0.9 at one mount, of one class, in one room.

use crate::support::*;
use dustdevil::{Dialect, Settings};

#[test]
fn one_room() {
    for transport in ALL {
        let (mut rig, script) = sio(Script {
            open: Box::new(|_, cx, _| {
                cx.join("room");
                Ok(())
            }),
            message: Box::new(|me, cx, message| {
                let sent = match message.text() {
                    Some("event") => cx.room("room").emit("e", 1),
                    Some("json") => cx
                        .room("room")
                        .send(dustdevil::Json(&serde_json::json!({ "a": 1 }))),
                    _ => cx.room("room").send("é\u{1f600}"),
                };
                let dialect = cx.dialect();
                assert!([Dialect::SocketIo06, Dialect::SocketIo09].contains(&dialect));
                me.script.note(format!("{sent}"));
            }),
            ..Script::default()
        });
        let mut one = rig.peer(transport);
        let mut two = rig.peer(transport);
        let (_, mut new) = rig.socket();
        for from_new in [true, false] {
            #[rustfmt::skip]
            let cases: [(&str, &[&str], &str, &str); 3] = [
                ("text",  &["é\u{1f600}"],    "3:::é\u{1f600}",                        "3"),
                ("json",  &["~j~{\"a\":1}"],  "4:::{\"a\":1}",                         "3"),
                ("event", &[],                "5:::{\"name\":\"e\",\"args\":[1]}",     "1"),
            ];
            for (what, old, packet, count) in cases {
                match from_new {
                    true => new.send(&format!("3:::{what}")),
                    false => one.say(&mut rig, &[what]),
                }
                assert_eq!(one.hear(&mut rig), old, "{transport:?} {what}");
                assert_eq!(two.hear(&mut rig), old, "{transport:?} {what}");
                assert_eq!(new.text(&mut rig), packet, "{transport:?} {what}");
                assert_eq!(script.taken(), [count], "{transport:?} {what}");
            }
        }
        rig.over(&script, (one, two, new));
    }
}

/// An id of one is unknown to the other.
#[test]
fn ids_are_not_shared() {
    let (mut rig, script) = sio_with(Script::default(), Settings::default(), mount(calm()));
    let peer = rig.peer(ALL[0]);
    let sid = rig.session();
    assert_eq!(rig.post(&peer.sid, "3:::x"), 401);
    for transport in ALL {
        let mut client = rig.knock(transport, &later(transport, &sid), "");
        assert_eq!(client.answer(&mut rig).status, 401, "{transport:?}");
    }
    rig.over(&script, peer);
}
