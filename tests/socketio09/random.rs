//! Whatever comes, in whatever order: nothing panics, nobody is closed twice, and nothing is left.

use crate::support::*;
use dustdevil::{Settings, SocketIoSettings, Transport};
use std::rc::Rc;

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x ^ (x >> 31)) % n as u64) as usize
    }

    fn pick<'t, T>(&mut self, all: &'t [T]) -> Option<&'t T> {
        (!all.is_empty()).then(|| &all[self.below(all.len())])
    }
}

const PACKETS: [&str; 30] = [
    "2::",
    "3:::a",
    "3:1::b",
    "3:2+::é😀",
    "4:::{\"j\":[1]}",
    "4:::{",
    "5:::{\"name\":\"e\",\"args\":[1]}",
    "5:7+::{\"name\":\"e\"}",
    "5:::{\"name\":\"do\",\"args\":[1]}",
    "5:8+::{\"name\":\"later\"}",
    "6:::1",
    "6:::2+[1]",
    "7:::1",
    "8::",
    "1::",
    "1::/chat",
    "1::/chat?a=b",
    "3::/chat:c",
    "5:9+:/chat:{\"name\":\"e\"}",
    "6::/chat:1",
    "0::/chat",
    "1::/e1",
    "3:3:/e1:d",
    "0::/e1",
    "1::/nosuch",
    "garbage",
    "3:::ask",
    "3:::close",
    "3::/chat:close",
    "0::",
];

/// Answers, asks, sends to others, sets timers, holds back, decides late; closes when it is told to.
/// Notes whom it has taken.
fn lively() -> Script {
    Script {
        open: Box::new(|me, cx, _| {
            cx.join("room");
            match me.n % 5 {
                3 => {
                    let deciding = cx.decide_later();
                    cx.app().after(ms(500), move |_| {
                        deciding.accept(|me, cx| {
                            me.script.note(me.n.to_string());
                            cx.send("at last");
                        });
                    });
                }
                4 => return Err("no".into()),
                _ => me.script.note(me.n.to_string()),
            }
            cx.send("hello");
            Ok(())
        }),
        message: Box::new(|_, cx, message| match message.text() {
            Some("close") => cx.close(),
            Some("ask") => {
                cx.emit_ack("ask", 1, |_, cx, _| {
                    cx.send("answered");
                });
                cx.after(ms(700), |_, cx| {
                    cx.send("late");
                });
            }
            Some("a") => {
                cx.room("room").send("to all");
            }
            Some("b") => {
                let held = cx.ordered();
                cx.after(ms(900), |_, _| drop(held));
            }
            _ => {
                cx.send(message);
            }
        }),
        close: Box::new(|me, cx, _| {
            let ids = me.script.ids.borrow().clone();
            if let Some(id) = ids.last() {
                cx.to(*id).emit("gone", me.n as u32);
            }
        }),
        ..Script::default()
    }
}

fn run(seed: u64, steps: usize) {
    println!("seed {seed}");
    let mut random = Random(seed);
    let (root, chat) = (Rc::new(lively()), Rc::new(lively()));
    let inside = router(&chat);
    let any = inside.any();
    let outside = router(&root)
        .endpoint("/chat", &inside)
        .endpoint_fn(move |name, _| name.starts_with("/e").then(|| any.clone()));
    let of = SocketIoSettings {
        heartbeat_interval: secs([0, 2, 12][random.below(3)]),
        session_expiry: secs([3, 30][random.below(2)]),
        session_check_interval: secs([0, 5][random.below(2)]),
        global_heartbeats: random.below(2) == 0,
        websocket_check: random.below(3) == 0,
        refuse_unknown_endpoints: random.below(2) == 0,
        broken_packets_max: 10,
        acks_max: 3,
        ..SocketIoSettings::default()
    };
    let settings = Settings {
        inbox_max: [2, 64][random.below(2)],
        ..Settings::default()
    };
    let mut rig = serve(&outside, settings, mount(of));
    let mut sids = vec!["nobody".to_owned()];
    let mut clients: Vec<Client> = Vec::new();
    for _ in 0..steps {
        // Mostly one of those that may be alive.
        let old = match random.below(4) {
            0 => sids.len(),
            _ => sids.len().min(3),
        };
        let sid = sids[sids.len() - 1 - random.below(old)].clone();
        let at = random.below(clients.len().max(1));
        match random.below(15) {
            0 => {
                let mut client = rig.start("GET", SHAKE, "", b"");
                rig.pass(ms(600));
                let answer = client.answer(&mut rig);
                assert!([200, 403].contains(&answer.status), "{answer:?}");
                if answer.status == 200 {
                    sids.push(sid_of(&answer.text()));
                }
            }
            2 | 3 => clients.push(rig.start("GET", &polls(&sid), "", b"")),
            4 | 5 => {
                let mut client = rig.raw();
                client.write(request(&sockets(&sid), "").as_bytes());
                clients.push(client);
            }
            6 => clients.push(rig.start("GET", &path(Transport::HtmlFile, &sid), "", b"")),
            7 | 8 => {
                let count = 1 + random.below(6);
                let all: Vec<&str> = (0..count)
                    .map(|_| *random.pick(&PACKETS).unwrap())
                    .collect();
                let body = payload(&all);
                clients.push(rig.start("POST", &polls(&sid), PLAIN, body.as_bytes()));
            }
            9 | 14 if at < clients.len() => {
                // Some are no WebSockets: then it is bad HTTP.
                for _ in 0..=random.below(3) {
                    let packet = random.pick(&PACKETS).unwrap();
                    let frame = masked(0x81, packet.as_bytes());
                    let _ = std::io::Write::write(&mut clients[at].stream, &frame);
                }
            }
            10 if at < clients.len() => {
                let client = clients.swap_remove(at);
                match random.below(3) {
                    0 => client.reset(),
                    1 => drop(client),
                    _ => {
                        let _ = client.stream.shutdown(std::net::Shutdown::Write);
                        clients.push(client);
                    }
                }
            }
            11 => {
                let of = if random.below(2) == 0 { &root } else { &chat };
                let ids = of.ids.borrow().clone();
                if let Some(&id) = random.pick(&ids) {
                    let what = random.below(4);
                    rig.server
                        .with_app(|app| match what {
                            0 => app.to(id).close(),
                            1 => drop(app.to(id).volatile().send("v")),
                            2 => drop(app.to(id).emit("e", "x")),
                            _ => drop(app.to(id).send("x")),
                        })
                        .unwrap();
                }
            }
            12 => rig.pass(ms(random.below(4000) as u64)),
            13 if random.below(3) == 0 => {
                let path = format!("/socket.io/1//{sid}/?disconnect=1");
                assert_eq!(rig.ask("GET", &path, "", b"").status, 200);
            }
            _ => {}
        }
        if random.below(2) == 0 {
            rig.settle();
        } else {
            rig.turn();
        }
        assert_eq!(rig.stats().panics, 0);
    }
    rig.over_after(secs(120), &root, clients);
    for (name, script) in [("root", &root), ("chat", &chat)] {
        let taken: Vec<usize> = script.taken().iter().map(|n| n.parse().unwrap()).collect();
        let mut closed = script.closed();
        assert!(taken.iter().all(|n| closed.contains(n)), "{name}");
        // Who is closed before it is decided about may have been taken without having run.
        closed.retain(|n| !taken.contains(n) && n % 5 != 3);
        assert_eq!(closed, [0; 0], "{name}");
    }
}

#[test]
fn whatever_comes() {
    for seed in 0..4 {
        run(seed, 200);
    }
}
