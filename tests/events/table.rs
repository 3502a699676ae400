//! Events that come, and what handlers are given of them.

use crate::support::*;
use dustdevil::{
    Cause, CloseReason, Connection, Cx, Event, Events, Message, Named, Router, Routes, Settings,
};
use serde::Deserialize;
use serde_json::Value;

/// What a handler takes by name.
#[derive(Deserialize)]
struct Point {
    x: i32,
    label: Option<String>,
}

/// A class with a handler for each kind of arguments. It writes down what it is called with.
#[derive(Default)]
struct Typed;

type At<'a, 'b> = &'a mut Cx<'b, Typed>;

impl Connection for Typed {
    type State = World;

    #[rustfmt::skip]
    fn events(on: &mut Events<Self>) {
        on.on("none",     |_, cx: At, ()| cx.state.push("none".into()));
        on.on("text",     |_, cx: At, (a,): (String,)| cx.state.push(format!("text {a}")));
        on.on("two",      |_, cx: At, (a, b): (u8, String)| cx.state.push(format!("two {a} {b}")));
        on.on("maybe",    |_, cx: At, (a,): (Option<u8>,)| cx.state.push(format!("maybe {a:?}")));
        on.on("list",     |_, cx: At, (a,): (Vec<u8>,)| cx.state.push(format!("list {a:?}")));
        on.on("real",     |_, cx: At, (a,): (f64,)| cx.state.push(format!("real {a:e}")));
        on.on("whole",    |_, cx: At, (a,): (u64,)| cx.state.push(format!("whole {a}")));
        on.on("value",    |_, cx: At, (a,): (Value,)| cx.state.push(format!("value {a}")));
        on.on("all",      |_, cx: At, all: Vec<Value>| cx.state.push(format!("all {}", Value::from(all))));
        on.on("point",    |_, cx: At, Named(p): Named<Point>| cx.state.push(format!("point {} {:?}", p.x, p.label)));
        on.on("eight",    |_, cx: At, a: (u8, u8, u8, u8, u8, u8, u8, u8)| cx.state.push(format!("{a:?}")));
        on.on("twice",    |_, cx: At, ()| cx.state.push("the first".into()));
        on.on("twice",    |_, cx: At, ()| cx.state.push("the last".into()));
        on.on("message",  |_, cx: At, all: Vec<Value>| cx.state.push(format!("message {}", Value::from(all))));
        on.on("é\"\\",    |_, cx: At, ()| cx.state.push("an odd name".into()));
        on.on("",         |_, cx: At, ()| cx.state.push("no name".into()));
        on.on("connect",  |_, cx: At, ()| cx.state.push("never".into()));
    }

    fn on_event(&mut self, cx: &mut Cx<'_, Self>, event: Event<'_>) {
        cx.state.push(format!("unknown {}", event.name));
    }

    fn on_message(&mut self, cx: &mut Cx<'_, Self>, message: Message<'_>) {
        cx.state.push(format!("on_message {:?}", message.text()));
    }

    fn on_close(&mut self, cx: &mut Cx<'_, Self>, why: CloseReason) {
        cx.state
            .push(format!("closed {:?} {}", why.cause, why.code));
    }
}

/// Name, arguments, and what the handler got.
#[rustfmt::skip]
const FIT: &[(&str, &str, &str)] = &[
    ("none",        "[]",                              "none"),
    ("text",        r#"["a"]"#,                        "text a"),
    ("text",        r#"["\u00e9\"\n\ud83d\ude00"]"#,   "text é\"\n😀"),
    ("text",        r#"["\u0000"]"#,                   "text \0"),
    ("two",         r#"[255,"b"]"#,                    "two 255 b"),
    ("maybe",       "[null]",                          "maybe None"),
    ("maybe",       "[7]",                             "maybe Some(7)"),
    ("list",        "[[1,2,3]]",                       "list [1, 2, 3]"),
    ("list",        "[[]]",                            "list []"),
    ("all",         "[]",                              "all []"),
    ("all",         r#"[1,"b",null,[2],{"c":3}]"#,     r#"all [1,"b",null,[2],{"c":3}]"#),
    ("all",         "[ 1 , 2 ]",                       "all [1,2]"),
    ("eight",       "[1,2,3,4,5,6,7,8]",               "(1, 2, 3, 4, 5, 6, 7, 8)"),
    ("point",       r#"[{"x":1}]"#,                    "point 1 None"),
    ("point",       r#"[{"label":"a","x":-1,"y":2}]"#, "point -1 Some(\"a\")"),
    ("twice",       "[]",                              "the last"),
    ("",            "[]",                              "no name"),
    ("é\\\"\\\\",   "[]",                              "an odd name"),
    (r"\u00e9\u0022\u005c", "[]",                      "an odd name"),
    ("message",     r#"["a"]"#,                        r#"message ["a"]"#),
    ("message",     "[1,2]",                           "message [1,2]"),
    // More than it takes.
    ("none",        "[1,2]",                           "none"),
    ("text",        r#"["a",5,{}]"#,                   "text a"),
    ("two",         r#"[1,"b",[[[]]]]"#,               "two 1 b"),
    ("eight",       "[1,2,3,4,5,6,7,8,9]",             "(1, 2, 3, 4, 5, 6, 7, 8)"),
    ("point",       r#"[{"x":1},2]"#,                  "point 1 None"),
    ("point",       r#"[1,"a",2]"#,                    "point 1 Some(\"a\")"),
    ("point",       "[1, null]",                       "point 1 None"),
    // Numbers at their ends.
    ("all",         "[18446744073709551616,-9223372036854775809]", "all [1.8446744073709552e+19,-9.223372036854776e+18]"),
    ("real",        "[1e308]",                         "real 1e308"),
    ("real",        "[18446744073709551616]",          "real 1.8446744073709552e19"),
    ("real",        "[1e-400]",                        "real 0e0"),
    ("whole",       "[18446744073709551615]",          "whole 18446744073709551615"),
    ("value",       "[18446744073709551615]",          "value 18446744073709551615"),
    // Half a pair is no character.
    ("text",        r#"["a\ud800b"]"#,                 "text a\u{fffd}b"),
    ("text",        r#"["\udc00\ud800"]"#,             "text \u{fffd}\u{fffd}"),
    ("all",         r#"["\udfff",{"\ud800":1}]"#,      "all [\"\u{fffd}\",{\"\u{fffd}\":1}]"),
    (r"\ud800",     "[]",                              "unknown \u{fffd}"),
    // Names that nobody has.
    ("nobody",      "[1]",                             "unknown nobody"),
    ("NONE",        "[]",                              "unknown NONE"),
    ("none ",       "[]",                              "unknown none "),
];

/// Arguments that a handler does not take.
#[rustfmt::skip]
const WRONG: &[(&str, &str)] = &[
    ("text",  "[]"),
    ("text",  "[1]"),
    ("text",  "[null]"),
    ("two",   "[1]"),
    ("two",   "[256,\"b\"]"),
    ("two",   "[-1,\"b\"]"),
    ("two",   "[1.5,\"b\"]"),
    ("two",   "[\"1\",\"b\"]"),
    ("two",   "[\"b\",1]"),
    ("maybe", "[]"),
    ("list",  "[1,2]"),
    ("list",  "[[300]]"),
    ("eight", "[1,2,3,4,5,6,7]"),
    ("point", "[]"),
    ("point", "[1]"),
    ("point", "[{}]"),
    ("point", "[\"a\",1]"),
    ("point", "[[1,null]]"),
    ("point", "[{\"x\":1e99}]"),
    ("real",  "[1e400]"),
    ("real",  "[-1e400]"),
    ("whole", "[18446744073709551616]"),
    ("whole", "[-1]"),
    ("whole", "[1e3]"),
    ("value", "[1e400]"),
    ("all",   "[1,1e400]"),
];

fn typed() -> Rig<World> {
    serving(Router::<Typed>::new())
}

#[test]
fn arguments_that_fit() {
    for way in Way::EVENTS {
        let mut rig = typed();
        let mut peer = rig.peer(way);
        for &(name, args, want) in FIT {
            let packet = way.event("", None, name, args);
            assert_eq!(peer.ask(&mut rig, &packet), [""; 0], "{packet}");
            assert_eq!(rig.noted(), [want], "{packet}");
        }
        // Several at once, in order.
        let packets: Vec<String> = FIT
            .iter()
            .map(|(name, args, _)| way.event("", None, name, args))
            .collect();
        peer.say_all(&mut rig, &packets);
        let wants: Vec<&str> = FIT.iter().map(|(_, _, want)| *want).collect();
        assert_eq!(rig.noted(), wants);
    }
}

/// At the root they end the session.
#[test]
fn arguments_that_do_not_fit_the_root() {
    for way in Way::EVENTS {
        let mut rig = typed();
        for &(name, args) in WRONG {
            let mut peer = rig.peer(way);
            let packets = [
                way.event("", Some(1), name, args),
                way.event("", None, "none", "[]"),
            ];
            peer.say_all(&mut rig, &packets);
            assert_eq!(peer.hear(&mut rig), [way.leave("")], "{name} {args}");
            assert_eq!(rig.noted(), ["closed Error 1011"], "{name} {args}");
        }
        rig.settle();
        assert_eq!(rig.stats().connections_open, 0);
        assert_eq!(rig.stats().sessions_open, 0);
    }
}

/// At an endpoint they end it, and nothing else.
#[test]
fn arguments_that_do_not_fit_an_endpoint() {
    for way in Way::EVENTS {
        let root = Router::<Typed>::new().endpoint("/typed", &Router::<Typed>::new());
        let mut rig = serving(root);
        let mut peer = rig.peer(way);
        for &(name, args) in WRONG {
            peer.join(&mut rig, "/typed");
            let packets = [
                way.event("/typed", Some(1), name, args),
                way.event("/typed", None, "none", "[]"),
                way.event("", None, "text", "[\"here\"]"),
            ];
            peer.say_all(&mut rig, &packets);
            assert_eq!(peer.hear(&mut rig), [way.leave("/typed")], "{name} {args}");
            assert_eq!(
                rig.noted(),
                ["closed Error 1011", "text here"],
                "{name} {args}"
            );
        }
        assert_eq!(rig.stats().connections_open, 1);
    }
}

/// Events that are the library's own, or broken, reach nobody, and the session goes on.
#[test]
fn events_that_are_dropped() {
    #[rustfmt::skip]
    let cases: &[&str] = &[
        r#"5:::{"name":"connect"}"#,
        r#"5:1+::{"name":"connect","args":[1]}"#,
        r#"5:::{"name":"disconnect"}"#,
        r#"5:2::{"name":"disconnect"}"#,
        r#"5:::{"name":"error","args":["x"]}"#,
        r#"5:::{"name":"conn\u0065ct"}"#,
        r#"5:::{"name":5}"#,
        r#"5:::{"args":[]}"#,
        r#"5:::{"name":"none","args":5}"#,
        r#"5:::{"name":"none","args":{}}"#,
        r#"5:::["none"]"#,
        r#"5:::{"name":"none""#,
        r#"5:::{"name":"none"}}"#,
        "5:::",
        "5::",
        "5",
    ];
    for way in Way::EVENTS {
        let mut rig = typed();
        let mut peer = rig.peer(way);
        for &packet in cases {
            assert_eq!(peer.ask(&mut rig, packet), [""; 0], "{packet}");
            assert_eq!(rig.noted(), [""; 0], "{packet}");
        }
        let packet = way.event("", Some(3), "none", "[]");
        assert_eq!(peer.ask(&mut rig, &packet), [way.answer("", 3, "[]")]);
        assert_eq!(rig.noted(), ["none"]);
    }
}

/// An event `message` of a class whose table has none: with one text it is a message.
#[test]
fn the_event_message() {
    #[rustfmt::skip]
    let cases: &[(&str, &str)] = &[
        (r#"["hi"]"#,            "message hi"),
        (r#"[""]"#,              "message "),
        (r#"["\ud800\u00e9"]"#,  "message \u{fffd}é"),
        ("[]",                   "event message []"),
        ("[1]",                  "event message [1]"),
        ("[null]",               "event message [null]"),
        ("[[\"hi\"]]",           "event message [[\"hi\"]]"),
        (r#"["a","b"]"#,         "event message [\"a\",\"b\"]"),
    ];
    for way in Way::EVENTS {
        let (mut rig, script) = events(Script {
            message: Box::new(|me, _, message| {
                assert!(!message.is_json());
                me.script
                    .note(format!("message {}", message.text().unwrap()));
            }),
            event: Box::new(|me, _, event| {
                let raw: Vec<&str> = (0..event.args.len())
                    .map(|at| event.args.raw(at).unwrap())
                    .collect();
                me.script
                    .note(format!("event {} [{}]", event.name, raw.join(",")));
            }),
            ..Script::default()
        });
        let mut peer = rig.peer(way);
        for &(args, want) in cases {
            let packet = way.event("", Some(1), "message", args);
            let answer = way.answer("", 1, "[]");
            assert_eq!(peer.ask(&mut rig, &packet), [answer], "{packet}");
            assert_eq!(script.taken(), [want], "{packet}");
        }
        rig.left(&script, peer);
        assert_eq!(script.closed(), [0]);
    }
}

/// What `on_event` can read of the arguments; numbers keep their text.
#[test]
fn the_arguments_of_an_unknown_event() {
    for way in Way::EVENTS {
        let (mut rig, script) = events(Script {
            event: Box::new(|me, _, event| {
                let args = event.args;
                me.script.note(format!("{} {}", event.name, args.len()));
                assert_eq!(args.raw(0), Some("1e400"));
                assert_eq!(args.raw(1), Some("18446744073709551616"));
                assert_eq!(args.raw(2), Some("1.10"));
                assert_eq!(args.raw(3), Some("{ \"a\" : [1] }"));
                assert_eq!(args.raw(5), None);
                assert_eq!(args.get::<f64>(2), Ok(1.1));
                assert!(args.get::<f64>(0).is_err());
                assert!(args.get::<u64>(1).is_err());
                assert!(args.get::<u8>(5).is_err());
                assert_eq!(args.get::<Value>(3), Ok(serde_json::json!({"a": [1]})));
                assert_eq!(args.get::<String>(4), Ok("\u{fffd}".to_owned()));
                assert!(!args.is_empty());
            }),
            ..Script::default()
        });
        let mut peer = rig.peer(way);
        let args = r#"[1e400,18446744073709551616, 1.10 ,{ "a" : [1] },"\ud9ab"]"#;
        let packet = way.event("", Some(9), "odd", args);
        assert_eq!(peer.ask(&mut rig, &packet), [way.answer("", 9, "[]")]);
        assert_eq!(script.taken(), ["odd 5"]);
        rig.left(&script, peer);
    }
}

/// The limit of depth, just under and just over: deeper ones are dropped.
#[test]
fn deep_arguments() {
    for way in Way::EVENTS {
        let mut rig = typed();
        let mut peer = rig.peer(way);
        // The object of the event and its list are levels, too.
        for (depth, want) in [(100, 1), (126, 1), (127, 0), (100_000, 0)] {
            let args = format!("[{}{}]", "[".repeat(depth), "]".repeat(depth));
            peer.say(&mut rig, &way.event("", None, "none", &args));
            assert_eq!(rig.noted().len(), want, "{depth}");
        }
        peer.silent(&mut rig);
    }
}

/// A handler that panics ends its own connection: at the root the session, else the endpoint.
#[test]
fn a_handler_that_panics() {
    quiet_panics();
    for way in Way::EVENTS {
        let script = || acting(|_, _, _| panic!("{}", MEANT));
        let (mut rig, [root, chat]) = with_chat(script(), script());
        let mut bystander = rig.peer(way);
        bystander.join(&mut rig, "/chat");
        let mut peer = rig.peer(way);
        peer.join(&mut rig, "/chat");
        let packet = way.event("/chat", Some(1), "do", "[\"x\"]");
        assert_eq!(peer.ask(&mut rig, &packet), [way.leave("/chat")]);
        assert_eq!((chat.closed(), root.closed()), (vec![1], vec![]));
        let why = chat.last_reason();
        assert_eq!((why.cause, why.code), (Cause::Error, 1011));
        let packet = way.event("", Some(1), "nobody", "[]");
        assert_eq!(peer.ask(&mut rig, &packet), [way.answer("", 1, "[]")]);
        peer.join(&mut rig, "/chat");
        assert_eq!(peer.act(&mut rig, "x"), [way.leave("")]);
        assert_eq!((chat.closed(), root.closed()), (vec![1, 2], vec![1]));
        assert_eq!(root.last_reason().cause, Cause::Error);
        assert_eq!(rig.stats().panics, 2);
        assert_eq!(bystander.ask(&mut rig, &packet), [way.answer("", 1, "[]")]);
        rig.left(&root, (peer, bystander));
        assert_eq!(chat.closed(), [1, 2, 0]);
    }
}

/// The other families have no events; a class with a table serves them all the same.
#[test]
fn a_table_elsewhere() {
    let router = Router::<Typed>::new();
    let routes = Routes::new()
        .sockjs("/s", &router, dustdevil::SockJs::default())
        .websocket("/ws", &router, dustdevil::WebSocket::default());
    let mut rig = Rig::new(World::new(), Settings::default(), routes);
    let mut client = rig.client("/ws");
    client.send(r#"5:::{"name":"none"}"#);
    client.silent(&mut rig);
    assert_eq!(
        rig.noted(),
        [r#"on_message Some("5:::{\"name\":\"none\"}")"#]
    );
}

/// What is dropped counts: at one more than `broken_packets_max` the session is closed.
#[test]
fn too_much_is_dropped() {
    let of = dustdevil::SocketIoSettings {
        broken_packets_max: 4,
        ..quiet()
    };
    for way in Way::EVENTS {
        let (mut rig, script) = events_with(Script::default(), Settings::default(), of.clone());
        let mut peer = rig.peer(way);
        let before = rig.stats().protocol_errors;
        let dropped = [
            way.event("", None, "connect", "[]"),
            way.event("", None, "error", "[1]"),
            "5:::{".to_owned(),
            "9::".to_owned(),
        ];
        peer.say_all(&mut rig, &dropped);
        assert_eq!(rig.stats().protocol_errors, before + 4);
        let packet = way.message("", "alive");
        assert_eq!(peer.ask(&mut rig, &packet), [packet.as_str()]);
        let one_more = way.event("", Some(1), "disconnect", "[]");
        assert_eq!(peer.ask(&mut rig, &one_more), [way.leave("")]);
        assert_eq!(script.last_reason().cause, Cause::Protocol);
        rig.left(&script, peer);
    }
}
