//! Acknowledgements of several: `Target::emit_ack`.

use crate::support::*;
use dustdevil::SocketIoSettings;
use serde_json::Value;
use std::cell::RefCell;
use std::rc::Rc;

/// Asks as each word says; notes how many were asked, and what came of it.
fn asking() -> Script {
    let mut script = acting(|me, cx, word| {
        let to = match word {
            "others" => cx.all().except(cx.id()),
            "nobody" | "room" => cx.room(word),
            "the first" => cx.to(me.script.id(0)),
            "volatile" => cx.all().volatile(),
            _ => cx.all(),
        };
        let (script, panics) = (Rc::clone(&me.script), word == "panic");
        let count = to.emit_ack("q", word, move |app, answers| {
            // It can reach everyone.
            let told = app.to_each(answers.iter().map(|(id, _)| *id)).send("told");
            let mut line = format!("{told} told");
            for (id, answer) in answers {
                let who = script.ids.borrow().iter().position(|one| *one == id);
                let answer = answer.map(|values| Value::from(values).to_string());
                line += &format!(", {} {answer:?}", who.unwrap());
            }
            script.note(line);
            assert!(!panics, "{}", MEANT);
        });
        me.script.note(format!("{count} asked"));
        if word == "leave" {
            cx.close();
        }
    });
    script.close = Box::new(|me, _, _| me.script.note("on_close"));
    script
}

fn question(way: Way, id: u32, word: &str) -> String {
    way.event("", Some(id), "q", &format!("[\"{word}\"]"))
}

/// All that have acknowledgements are asked, by whatever they are connected.
#[test]
fn everybody() {
    let (mut rig, script) = events(asking());
    let mut peers: Vec<_> = Way::ALL.iter().map(|way| rig.peer(*way)).collect();
    let (asked, mut others): (Vec<_>, Vec<_>) =
        (0..peers.len()).partition(|n| Way::ALL[*n].has_events());
    assert!(asked.len() > 1 && !others.is_empty());
    let first = asked[0];
    let way = Way::ALL[first];
    peers[first].say(&mut rig, &way.act("", "x"));
    assert_eq!(script.taken(), [format!("{} asked", asked.len())]);
    let mut want = format!("{} told", asked.len());
    // The last one answers first.
    for &n in asked.iter().rev() {
        assert_eq!(script.taken(), [""; 0]);
        let way = Way::ALL[n];
        assert_eq!(peers[n].hear(&mut rig), [question(way, 1, "x")]);
        let answer = way.answer("", 1, &format!("[{n}]"));
        peers[n].say(&mut rig, &answer);
        want += &format!(", {n} Ok(\"[{n}]\")");
    }
    assert_eq!(script.taken(), [want]);
    for &n in &asked {
        let told = Way::ALL[n].message("", "told");
        assert_eq!(peers[n].hear(&mut rig), [told]);
        // A second answer is none.
        peers[n].say(&mut rig, &Way::ALL[n].answer("", 1, "[7]"));
    }
    for n in others.drain(..) {
        peers[n].silent(&mut rig);
    }
    assert_eq!(script.taken(), [""; 0]);
    drop(peers);
    rig.left(&script, ());
}

/// With nobody to ask, the answer is there at once.
#[test]
fn nobody() {
    for way in Way::ALL {
        let (mut rig, script) = events(asking());
        let mut peer = rig.peer(way);
        for word in ["nobody", "others"] {
            assert_eq!(peer.act(&mut rig, word), [""; 0]);
            assert_eq!(script.taken(), ["0 asked", "0 told"], "{word}");
        }
        if way.has_events() {
            let mut other = rig.peer(way);
            peer.say(&mut rig, &way.leave(""));
            script.taken();
            assert_eq!(other.act(&mut rig, "the first"), [""; 0]);
            assert_eq!(script.taken(), ["0 asked", "0 told"]);
            peer = other;
        }
        rig.left(&script, peer);
    }
}

/// Those that close or keep silent are among the answers, each with the reason.
#[test]
fn some_do_not_answer() {
    let of = SocketIoSettings {
        ack_timeout: secs(3),
        acks_max: 1,
        ..quiet()
    };
    for way in Way::EVENTS {
        let (mut rig, script) = events_with(asking(), Default::default(), of.clone());
        let mut peers: Vec<_> = (0..3).map(|_| rig.peer(way)).collect();
        peers[0].say(&mut rig, &way.act("", "x"));
        assert_eq!(script.taken(), ["3 asked"]);
        // Each waits for one already, and another one is not sent.
        peers[1].say(&mut rig, &way.act("", "y"));
        assert_eq!(script.taken(), ["0 asked", "0 told"]);
        for peer in &mut peers {
            assert_eq!(peer.hear(&mut rig), [question(way, 1, "x")]);
        }
        rig.pass(secs(1));
        peers[2].say(&mut rig, &way.leave(""));
        assert_eq!(script.taken(), ["on_close"]);
        peers[1].say(&mut rig, &way.answer("", 1, "[]"));
        assert_eq!(script.taken(), [""; 0]);
        rig.pass(ms(2500));
        let want = "2 told, 2 Err(Closed), 1 Ok(\"[]\"), 0 Err(Timeout)";
        assert_eq!(script.taken(), [want]);
        rig.left(&script, peers);
    }
}

/// Who is not accepted yet is not asked, so nobody waits for what becomes of it.
#[test]
fn some_are_undecided() {
    for way in Way::EVENTS {
        let shelf = Rc::new(RefCell::new(None));
        let put = Rc::clone(&shelf);
        let mut script = asking();
        script.open = Box::new(move |me, cx, _| {
            cx.join("room");
            if me.n == 1 {
                *put.borrow_mut() = Some(cx.decide_later());
            }
            Ok(())
        });
        let (mut rig, script) = events(script);
        let mut peer = rig.peer(way);
        let mut other = rig.raw();
        other.write(&http("GET", "/socket.io/1/", "", b""));
        rig.settle();
        peer.say(&mut rig, &way.act("", "room"));
        assert_eq!(script.taken(), ["1 asked"]);
        peer.say(&mut rig, &way.answer("", 1, "[]"));
        assert_eq!(script.taken(), ["1 told, 0 Ok(\"[]\")"]);
        let decide: dustdevil::Deciding<Probe> = shelf.take().unwrap();
        decide.refuse("no".into());
        rig.settle();
        rig.left(&script, (peer, other));
    }
}

/// The one that asks may be gone when the answers are there.
#[test]
fn asked_and_left() {
    for way in Way::EVENTS {
        let (mut rig, script) = events(asking());
        let mut asking = rig.peer(way);
        let mut other = rig.peer(way);
        asking.say(&mut rig, &way.act("", "leave"));
        assert_eq!(script.taken(), ["2 asked", "on_close"]);
        assert_eq!(other.hear(&mut rig), [question(way, 1, "leave")]);
        other.say(&mut rig, &way.answer("", 1, "[2]"));
        assert_eq!(script.taken(), ["1 told, 0 Err(Closed), 1 Ok(\"[2]\")"]);
        assert_eq!(other.hear(&mut rig), [way.message("", "told")]);
        rig.left(&script, (asking, other));
    }
}

/// What handles the answers belongs to nobody: its panic ends no connection.
#[test]
fn a_closure_that_panics() {
    quiet_panics();
    for way in Way::EVENTS {
        let (mut rig, script) = events(asking());
        let mut peer = rig.peer(way);
        peer.act(&mut rig, "panic");
        peer.say(&mut rig, &way.answer("", 1, "[]"));
        assert_eq!(script.taken(), ["1 asked", "1 told, 0 Ok(\"[]\")"]);
        assert_eq!(rig.stats().panics, 1);
        assert_eq!(peer.hear(&mut rig), [way.message("", "told")]);
        assert_eq!(peer.act(&mut rig, "x"), [question(way, 2, "x")]);
        rig.left(&script, peer);
    }
}

/// Who is behind is not asked what may be lost.
#[test]
fn volatile() {
    let settings = dustdevil::Settings {
        write_low_bytes: 1024,
        ..Default::default()
    };
    let (mut rig, script) = events_with(asking(), settings, quiet());
    let way = Way::Sio09Polling;
    let (mut slow, mut fast) = (rig.peer(way), rig.peer(Way::Sio09Socket));
    let id = script.id(0);
    // One for the poll that waits, one for the next.
    for _ in 0..2 {
        let sent = rig.server.with_app(|app| app.to(id).send("x".repeat(2000)));
        assert_eq!(sent.unwrap(), 1);
        rig.settle();
    }
    let asked = fast.act(&mut rig, "volatile");
    assert_eq!(asked, [question(way, 1, "volatile")]);
    assert_eq!(script.taken(), ["1 asked"]);
    fast.say(&mut rig, &way.answer("", 1, "[]"));
    assert_eq!(script.taken(), ["1 told, 1 Ok(\"[]\")"]);
    assert_eq!(slow.hear(&mut rig).len(), 2);
    rig.left(&script, (slow, fast));
}
