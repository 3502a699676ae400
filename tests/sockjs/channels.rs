//! Several connections of the application over one of the client: the protocol of websocket-multiplex.

use crate::support::*;
use dustdevil::{Cause, Deciding, Multiplex, Reject, Routes, Sent, Settings, SockJs, WebSocket};
use std::cell::RefCell;
use std::rc::Rc;

/// Two classes, `ann` and `bob`, over SockJS at `/s` and over plain WebSocket at `/ws`.
fn channels(ann: Script, bob: Script) -> (Rig<World>, [Rc<Script>; 2]) {
    channels_with(ann, bob, Settings::default())
}

fn channels_with(ann: Script, bob: Script, settings: Settings) -> (Rig<World>, [Rc<Script>; 2]) {
    let scripts = [Rc::new(ann), Rc::new(bob)];
    let multiplex = Multiplex::new()
        .channel("ann", &router(&scripts[0]))
        .channel("bob", &router(&scripts[1]))
        .channel("a b,é", &router(&scripts[1]))
        .channel("ann", &router(&scripts[1]))
        .router();
    let routes = Routes::new()
        .sockjs("/s", &multiplex, SockJs::default())
        .websocket("/ws", &multiplex, WebSocket::default());
    (Rig::new(World::new(), settings, routes), scripts)
}

fn causes(script: &Script) -> Vec<(usize, Cause, u16)> {
    let closed = script.closed.borrow();
    closed
        .iter()
        .map(|(n, why)| (*n, why.cause, why.code))
        .collect()
}

/// One dialogue, over SockJS by polls and over a plain WebSocket.
#[test]
fn a_dialogue() {
    #[rustfmt::skip]
    let cases: &[(&str, &[&str])] = &[
        // Nobody is there yet.
        ("msg,ann,hello",          &[]),
        ("uns,ann",                &[]),
        ("sub,ann",                &["msg,ann,welcome"]),
        ("msg,ann,hello",          &["msg,ann,hello"]),
        ("msg,ann,a,b,,c",         &["msg,ann,a,b,,c"]),
        ("msg,ann,",               &["msg,ann,"]),
        ("msg,ann",                &["msg,ann,"]),
        ("msg,ann,{\"a\": \"é\"}", &["msg,ann,{\"a\": \"é\"}"]),
        // A second time.
        ("sub,ann",                &[]),
        ("sub,bob",                &["msg,bob,welcome"]),
        ("msg,bob,x",              &["msg,bob,x"]),
        ("msg,ann,y",              &["msg,ann,y"]),
        ("uns,bob",                &[]),
        ("msg,bob,x",              &[]),
        ("uns,bob",                &[]),
        ("sub,bob",                &["msg,bob,welcome"]),
        // Names that nobody serves, and what is none.
        ("sub,eve",                &[]),
        ("msg,eve,x",              &[]),
        ("sub,",                   &[]),
        ("sub",                    &[]),
        ("",                       &[]),
        ("xyz,ann,x",              &[]),
        ("SUB,ann",                &[]),
        ("sub,Ann",                &[]),
        (",,",                     &[]),
        // Names are as `escape` writes them, and answered as they came.
        ("sub,a%20b%2C%E9",        &["msg,a%20b%2C%E9,welcome"]),
        ("msg,a%20b%2C%E9,x,y",    &["msg,a%20b%2C%E9,x,y"]),
        ("msg,ann,z",              &["msg,ann,z"]),
    ];
    let script = || Script {
        open: Box::new(|_, cx, _| {
            cx.send("welcome");
            Ok(())
        }),
        ..Script::default()
    };
    for plain in [true, false] {
        let (mut rig, [ann, bob]) = channels(script(), script());
        let mut socket = plain.then(|| rig.client("/ws"));
        if !plain {
            rig.poll("x");
        }
        for &(text, want) in cases {
            match &mut socket {
                Some(client) => {
                    client.send(text);
                    assert_eq!(client.texts(&mut rig), want, "{text}");
                }
                None => {
                    let body = serde_json::json!([text]).to_string();
                    assert_eq!(rig.post("x", &body), 204, "{text}");
                    if !want.is_empty() {
                        let want = serde_json::json!(want);
                        let got = rig.poll("x");
                        let got: serde_json::Value = serde_json::from_str(&got[1..]).unwrap();
                        assert_eq!(got, want, "{text}");
                    }
                }
            }
        }
        assert_eq!(causes(&ann), []);
        assert_eq!(causes(&bob), [(0, Cause::Client, 1000)]);
        // One connection below, three channels, counted by transport once.
        let stats = rig.stats();
        assert_eq!(stats.connections_open, 4);
        let counts = stats.transports;
        assert_eq!(counts.websocket + counts.xhr, 1);
        rig.over(&ann, socket);
        assert_eq!(ann.closed(), [0]);
        let mut closed = bob.closed();
        closed.sort_unstable();
        assert_eq!(closed, [0, 1, 2]);
    }
}

/// Two spellings of a name are one channel.
#[test]
fn spellings() {
    let (mut rig, [ann, bob]) = channels(Script::default(), Script::default());
    let mut client = rig.client("/ws");
    for text in [
        "sub,ann",
        "sub,%61nn",
        "msg,ann,a",
        "msg,%61nn,b",
        "uns,ann",
        "uns,%61nn",
    ] {
        client.send(text);
    }
    rig.settle();
    let texts = client.texts(&mut rig);
    assert_eq!(texts.len(), 1, "{texts:?}");
    // Whichever it is, all of it ends with its client.
    rig.over(&ann, client);
    assert_eq!(ann.closed().len() as u64, ann.ids.borrow().len() as u64);
    assert!(bob.closed().is_empty());
}

#[test]
fn refused() {
    type Refusal = fn() -> Reject;
    for refusal in [
        (|| Reject::from("no")) as Refusal,
        || Reject::status(500),
        || Reject::close(4000, "no"),
    ] {
        let (mut rig, [ann, bob]) = channels(
            Script {
                open: Box::new(move |me, cx, _| {
                    cx.join("room");
                    match me.n {
                        0 => Err(refusal()),
                        _ => Ok(()),
                    }
                }),
                ..Script::default()
            },
            Script::default(),
        );
        let mut client = rig.client("/ws");
        client.send("sub,ann");
        client.send("msg,ann,x");
        assert_eq!(client.texts(&mut rig), ["uns,ann"]);
        assert_eq!(rig.stats().rejected, 1);
        // It can be tried again.
        client.send("sub,ann");
        client.send("msg,ann,x");
        assert_eq!(client.texts(&mut rig), ["msg,ann,x"]);
        rig.over(&ann, client);
        assert_eq!(ann.closed(), [1]);
        assert!(bob.closed().is_empty());
    }
}

#[test]
fn the_server_closes_a_channel() {
    let script = Script {
        message: Box::new(|_, cx, message| match message.text().unwrap() {
            "close" => {
                cx.send("last");
                cx.close_with(3000, "enough");
                assert_eq!(cx.send("never"), Sent::Gone);
            }
            text => {
                cx.send(text);
            }
        }),
        ..Script::default()
    };
    let (mut rig, [ann, bob]) = channels(script, Script::default());
    let mut client = rig.client("/s/0/x/websocket");
    assert_eq!(client.text(&mut rig), "o");
    client.send(
        "[\"sub,ann\",\"sub,bob\",\"msg,ann,close\",\"msg,ann,late\",\"uns,ann\",\"msg,bob,x\"]",
    );
    assert_eq!(
        client.texts(&mut rig),
        ["a[\"msg,ann,last\"]", "a[\"uns,ann\"]", "a[\"msg,bob,x\"]"]
    );
    assert_eq!(causes(&ann), [(0, Cause::Server, 3000)]);
    client.send("[\"sub,ann\",\"msg,ann,again\"]");
    assert_eq!(client.texts(&mut rig), ["a[\"msg,ann,again\"]"]);
    rig.over(&ann, client);
    assert_eq!(ann.closed(), [0, 1]);
    assert_eq!(bob.closed(), [0]);
}

/// The end of the connection below is the end of all, with its reason.
#[test]
fn the_end_of_the_session_closes_every_channel() {
    for how in ["expires", "is cut", "is drained"] {
        let (mut rig, [ann, bob]) = channels(Script::default(), Script::default());
        rig.poll("x");
        assert_eq!(rig.post("x", "[\"sub,ann\",\"sub,bob\"]"), 204);
        assert_eq!(rig.stats().connections_open, 3);
        let cause = match how {
            "expires" => {
                rig.pass(ms(5250));
                Cause::Timeout
            }
            "is cut" => {
                rig.wait("x").reset();
                Cause::Lost
            }
            _ => {
                rig.server.drain(secs(5)).unwrap();
                rig.pass(secs(2));
                Cause::Shutdown
            }
        };
        rig.settle();
        for script in [&ann, &bob] {
            let got: Vec<Cause> = causes(script)
                .into_iter()
                .map(|(_, cause, _)| cause)
                .collect();
            assert_eq!(got, [cause], "it {how}");
        }
        rig.over(&ann, ());
    }
}

#[test]
fn the_client_closes_below() {
    let (mut rig, [ann, bob]) = channels(Script::default(), Script::default());
    let mut client = rig.client("/ws");
    client.send("sub,ann");
    client.send("sub,bob");
    client.write(&closing(3001, "bye"));
    client.rest(&mut rig);
    assert_eq!(causes(&ann), [(0, Cause::Client, 3001)]);
    assert_eq!(causes(&bob), [(0, Cause::Client, 3001)]);
    rig.over(&ann, client);
}

/// The channels of one class are a router of their own.
#[test]
fn rooms_of_channels() {
    let script = Script {
        open: Box::new(|_, cx, req| {
            cx.join("room");
            assert!(req.path().starts_with("/"));
            Ok(())
        }),
        message: Box::new(|me, cx, message| {
            me.script.note(format!("{}", cx.room("room").send(message)));
        }),
        ..Script::default()
    };
    let (mut rig, [ann, bob]) = channels(script, Script::default());
    let mut first = rig.client("/ws");
    let mut second = rig.client("/s/0/x/websocket");
    second.text(&mut rig);
    rig.poll("y");
    first.send("sub,ann");
    second.send("[\"sub,ann\",\"sub,bob\"]");
    assert_eq!(rig.post("y", "[\"sub,ann\"]"), 204);
    first.send("msg,ann,\"hi\"");
    assert_eq!(first.texts(&mut rig), ["msg,ann,\"hi\""]);
    assert_eq!(second.texts(&mut rig), ["a[\"msg,ann,\\\"hi\\\"\"]"]);
    assert_eq!(rig.poll("y"), "a[\"msg,ann,\\\"hi\\\"\"]\n");
    assert_eq!(ann.taken(), ["3"]);
    rig.over(&ann, (first, second));
    assert_eq!(bob.closed(), [0]);
}

/// Binary messages have no form in a channel; of a client they are ignored.
#[test]
fn binary() {
    let script = Script {
        message: Box::new(|me, cx, _| {
            let sent = [cx.send(b"binary"), cx.ping(b"")];
            me.script.note(format!("{sent:?}"));
        }),
        ..Script::default()
    };
    let (mut rig, [ann, _]) = channels(script, Script::default());
    let mut client = rig.client("/ws");
    client.write(&masked(0x82, b"sub,ann"));
    client.send("sub,ann");
    client.write(&masked(0x82, b"msg,ann,x"));
    client.send("msg,ann,x");
    assert!(client.texts(&mut rig).is_empty());
    assert_eq!(ann.taken(), ["[Unsupported, Unsupported]"]);
    assert_eq!(ann.ids.borrow().len(), 1);
    rig.over(&ann, client);
}

#[test]
fn a_panic_closes_that_channel_only() {
    quiet_panics();
    let script = Script {
        message: Box::new(|_, _, _| panic!("{}", MEANT)),
        ..Script::default()
    };
    let (mut rig, [ann, bob]) = channels(script, Script::default());
    let mut client = rig.client("/ws");
    for text in ["sub,ann", "sub,bob", "msg,ann,x", "msg,bob,alive"] {
        client.send(text);
    }
    assert_eq!(client.texts(&mut rig), ["uns,ann", "msg,bob,alive"]);
    assert_eq!(causes(&ann), [(0, Cause::Error, 1011)]);
    rig.over(&ann, client);
    assert_eq!(bob.closed(), [0]);
}

/// A channel decides later; its messages wait, up to `inbox_max`.
#[test]
fn decided_later() {
    let shelf: Rc<RefCell<Vec<Deciding<Probe>>>> = Rc::default();
    let put = Rc::clone(&shelf);
    let script = Script {
        open: Box::new(move |_, cx, _| {
            put.borrow_mut().push(cx.decide_later());
            Ok(())
        }),
        ..Script::default()
    };
    let settings = Settings {
        inbox_max: 2,
        ..Settings::default()
    };
    let (mut rig, [ann, bob]) = channels_with(script, Script::default(), settings);
    let mut client = rig.client("/ws");
    for text in ["sub,ann", "msg,ann,a", "sub,bob", "msg,ann,b", "msg,bob,c"] {
        client.send(text);
    }
    assert_eq!(client.texts(&mut rig), ["msg,bob,c"]);
    let deciding = shelf.borrow_mut().pop().unwrap();
    deciding.accept(|_, cx| {
        cx.send("accepted");
    });
    rig.settle();
    assert_eq!(
        client.texts(&mut rig),
        ["msg,ann,accepted", "msg,ann,a", "msg,ann,b"]
    );
    for text in ["uns,ann", "sub,ann"] {
        client.send(text);
    }
    rig.settle();
    shelf.borrow_mut().clear();
    assert_eq!(client.texts(&mut rig), ["uns,ann"]);
    rig.over(&ann, client);
    assert_eq!(ann.closed(), [0]);
    assert_eq!(bob.closed(), [0]);
}

/// Whoever is below cannot wait for a channel: one that holds too many is closed.
#[test]
fn a_full_inbox_closes_the_channel() {
    let shelf: Rc<RefCell<Vec<dustdevil::Ordered<Probe>>>> = Rc::default();
    let put = Rc::clone(&shelf);
    let script = Script {
        message: Box::new(move |_, cx, _| put.borrow_mut().push(cx.ordered())),
        ..Script::default()
    };
    let settings = Settings {
        inbox_max: 2,
        ..Settings::default()
    };
    let (mut rig, [ann, bob]) = channels_with(script, Script::default(), settings);
    let mut client = rig.client("/ws");
    for text in ["sub,ann", "sub,bob", "msg,ann,1", "msg,ann,2", "msg,ann,3"] {
        client.send(text);
    }
    assert!(client.texts(&mut rig).is_empty());
    client.send("msg,ann,4");
    client.send("msg,bob,alive");
    assert_eq!(client.texts(&mut rig), ["uns,ann", "msg,bob,alive"]);
    assert_eq!(causes(&ann), [(0, Cause::Overflow, 1013)]);
    shelf.borrow_mut().clear();
    rig.over(&ann, client);
    assert_eq!(bob.closed(), [0]);
}

/// A class that is made of nothing but channels is a connection like others: what its channels are too
/// slow for closes it.
#[test]
fn a_slow_consumer_below() {
    let script = Script {
        message: Box::new(|me, cx, _| {
            let mut sent = Vec::new();
            while sent.last() != Some(&Sent::Gone) {
                sent.push(cx.send("x".repeat(400_000)));
            }
            me.script.note(format!("{sent:?}"));
        }),
        ..Script::default()
    };
    let (mut rig, [ann, bob]) = channels(script, Script::default());
    rig.poll("x");
    assert_eq!(
        rig.post("x", "[\"sub,ann\",\"sub,bob\",\"msg,ann,x\"]"),
        204
    );
    assert_eq!(ann.taken(), ["[Full, Full, Full, Gone]"]);
    assert_eq!(causes(&ann), [(0, Cause::Overflow, 1013)]);
    assert_eq!(causes(&bob), [(0, Cause::Overflow, 1013)]);
    assert!(rig.poll("x").len() > 1_200_000);
    assert_eq!(rig.poll("x"), "c[1013,\"slow consumer\"]\n");
    rig.over(&ann, ());
}

/// `Multiplex` without channels is a connection that hears nothing.
#[test]
fn no_channels() {
    let routes = Routes::new().websocket("/ws", &Multiplex::new().router(), WebSocket::default());
    let mut rig: Rig<World> = Rig::new(World::new(), Settings::default(), routes);
    let mut client = rig.client("/ws");
    client.send("sub,ann");
    client.silent(&mut rig);
    rig.over(&Script::default(), client);
}

/// All buffers together are nearly full: the channel that holds most is closed, open or not, and no other.
#[test]
fn out_of_memory_for_channels() {
    for decided in [true, false] {
        let held: Rc<RefCell<Vec<dustdevil::Ordered<Probe>>>> = Rc::default();
        let asked: Rc<RefCell<Vec<Deciding<Probe>>>> = Rc::default();
        let (keep, ask) = (Rc::clone(&held), Rc::clone(&asked));
        let script = Script {
            open: Box::new(move |_, cx, _| {
                if decided {
                    keep.borrow_mut().push(cx.ordered());
                } else {
                    ask.borrow_mut().push(cx.decide_later());
                }
                Ok(())
            }),
            ..Script::default()
        };
        let settings = Settings {
            buffers_max_bytes: 1 << 20,
            ..Settings::default()
        };
        let (mut rig, [ann, bob]) = channels_with(script, Script::default(), settings);
        let mut client = rig.client("/ws");
        for text in ["sub,ann", "sub,bob"] {
            client.send(text);
        }
        rig.settle();
        let long = format!("msg,ann,{}", "x".repeat(300_000));
        for _ in 0..4 {
            client.write_long(&mut rig, &masked(0x81, long.as_bytes()));
            rig.settle();
        }
        client.send("msg,bob,alive");
        assert_eq!(client.texts(&mut rig), ["uns,ann", "msg,bob,alive"]);
        assert_eq!(rig.stats().memory_closes, 1);
        assert_eq!(rig.stats().bytes_unfinished, 0);
        let want = decided.then_some((0, Cause::Overflow, 1013));
        assert_eq!(causes(&ann), Vec::from_iter(want));
        held.borrow_mut().clear();
        asked.borrow_mut().clear();
        rig.over(&ann, client);
        assert_eq!(bob.closed(), [0]);
    }
}
