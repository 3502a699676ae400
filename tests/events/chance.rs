//! Clients, connections and time doing what chance says: whatever comes of it, nothing is answered twice,
//! nothing is left, and nobody is told of an end twice or not at all.

use crate::support::*;
use dustdevil::{Ack, Cx, Deciding, Ordered, Sent, Settings, SocketIoSettings};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// xorshift64*.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// What the application has in its hands.
#[derive(Default)]
struct Shelf {
    held: RefCell<Vec<Ordered<Probe>>>,
    acks: RefCell<Vec<Ack>>,
    deciding: RefCell<Vec<Deciding<Probe>>>,
    opened: Cell<usize>,
    closed: Cell<usize>,
    asked: Cell<usize>,
    told: Cell<usize>,
}

fn more(cell: &Cell<usize>) {
    cell.set(cell.get() + 1);
}

fn act(shelf: &Rc<Shelf>, cx: &mut Cx<'_, Probe>, word: &str) {
    match word {
        "hold" => shelf.held.borrow_mut().push(cx.ordered()),
        "take" => shelf.acks.borrow_mut().push(cx.ack()),
        "ask" => {
            let told = Rc::clone(shelf);
            let sent = cx.emit_ack("q", word, move |_, cx, _| {
                more(&told.told);
                cx.emit("told", ());
            });
            if matches!(sent, Sent::Queued | Sent::Full) {
                more(&shelf.asked);
            }
        }
        "all" => {
            cx.all().emit("all", (1, "b"));
        }
        "close" => cx.close(),
        "kick" => {
            let ids = cx.all().except(cx.id()).fetch();
            if let Some(id) = ids.first() {
                cx.to(*id).close();
            }
        }
        "panic" => panic!("{}", MEANT),
        "later" => {
            cx.after(ms(400), |_, cx| {
                cx.emit("late", ());
            });
        }
        _ => {
            cx.emit("echo", word);
        }
    }
}

fn script(shelf: &Rc<Shelf>, decides: bool) -> Script {
    let mut script = acting({
        let shelf = Rc::clone(shelf);
        move |_, cx, word| act(&shelf, cx, word)
    });
    let (at_open, at_close) = (Rc::clone(shelf), Rc::clone(shelf));
    script.open = Box::new(move |me, cx, _| {
        if decides && me.n % 3 == 0 {
            let deciding = cx.decide_later();
            at_open.deciding.borrow_mut().push(deciding);
            return Ok(());
        }
        if decides && me.n % 7 == 1 {
            return Err("no".into());
        }
        more(&at_open.opened);
        Ok(())
    });
    script.close = Box::new(move |_, cx, _| {
        more(&at_close.closed);
        assert_eq!(cx.emit("x", ()), Sent::Gone);
    });
    script
}

#[test]
fn nothing_is_left() {
    quiet_panics();
    const WORDS: &[&str] = &[
        "hold", "take", "ask", "ask", "all", "close", "kick", "panic", "later", "a", "b",
    ];
    for seed in 1..=3 {
        run(seed, WORDS);
    }
}

fn run(seed: u64, words: &[&str]) {
    let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let shelf: Rc<Shelf> = Rc::default();
    let settings = Settings {
        inbox_max: 3,
        ..Settings::default()
    };
    let of = SocketIoSettings {
        ack_timeout: secs(4),
        acks_max: 3,
        ..quiet()
    };
    let (mut rig, [root, chat]) =
        with_chat_and(script(&shelf, false), script(&shelf, true), settings, of);
    let mut peers: Vec<Talker> = Vec::new();
    for step in 0..150 {
        let note = || format!("seed {seed}, step {step}");
        if peers.len() < 3 {
            let way = chance.one(&Way::EVENTS);
            peers.push(Talker::new(rig.peer(way)));
            continue;
        }
        let n = chance.below(peers.len());
        let at = chance.one(&["", "/chat"]);
        let talker = &mut peers[n];
        match chance.below(20) {
            0 | 1 => talker.say(&mut rig, |way, _| way.join("/chat")),
            2 => talker.say(&mut rig, |way, _| way.leave("/chat")),
            3 if chance.below(6) == 0 => talker.say(&mut rig, |way, _| way.leave("")),
            4 => talker.say(&mut rig, |_, _| "5:::{".to_owned()),
            5 => {
                // An answer to what was asked, or to nothing.
                let id = chance.below(5) as u32;
                talker.say(&mut rig, |way, _| way.answer(at, id, "[1]"));
            }
            6 => drop(shelf.held.borrow_mut().pop()),
            7 => {
                let ack = shelf.acks.borrow_mut().pop();
                if let Some(ack) = ack {
                    rig.server.with_app(|app| app.reply(ack, step)).unwrap();
                }
            }
            8 => {
                let deciding = shelf.deciding.borrow_mut().pop();
                if let Some(deciding) = deciding {
                    match chance.below(2) {
                        0 => deciding.refuse("no".into()),
                        _ => deciding.accept(|me, cx| {
                            me.script.note("accepted");
                            cx.emit("accepted", ());
                        }),
                    }
                }
            }
            9 => rig.pass(ms(chance.below(3000) as u64)),
            10 if chance.below(4) == 0 => talker.switch(&mut rig, chance.one(&Way::EVENTS)),
            _ => {
                let word = chance.one(words);
                let name = chance.one(&["do", "do", "later", "nobody"]);
                talker.say(&mut rig, |way, id| {
                    way.event(at, id, name, &format!("[\"{word}\"]"))
                });
            }
        }
        rig.settle();
        for talker in &mut peers {
            talker.listen(&mut rig, &note);
        }
        peers.retain(|talker| !talker.peer.is_over);
    }
    shelf.held.borrow_mut().clear();
    shelf.acks.borrow_mut().clear();
    shelf.deciding.borrow_mut().clear();
    rig.settle();
    rig.left(&root, peers);
    let note = format!("seed {seed}");
    // Who is refused is told of no end.
    let opened = shelf.opened.get() + chat.taken().len();
    assert_eq!(opened, shelf.closed.get(), "{note}");
    assert_eq!(root.ids.borrow().len(), root.closed().len(), "{note}");
    assert_eq!(shelf.asked.get(), shelf.told.get(), "{note}");
}

/// A client that keeps books of what it wants answered.
struct Talker {
    peer: Peer,
    last: u32,
    wanted: BTreeSet<u32>,
    heard: BTreeMap<u32, usize>,
    /// POSTs that are parked.
    posts: Vec<Client>,
}

impl Talker {
    fn new(peer: Peer) -> Self {
        Self {
            peer,
            last: 0,
            wanted: BTreeSet::new(),
            heard: BTreeMap::new(),
            posts: Vec::new(),
        }
    }

    fn say(&mut self, rig: &mut Rig<World>, packet: impl Fn(Way, Option<u32>) -> String) {
        let way = self.peer.way;
        let id = (self.last % 2 == 0).then_some(self.last + 100);
        self.last += 1;
        self.wanted.extend(id);
        let packets = [packet(way, id)];
        match way.is_socket() {
            true => self.peer.say_all(rig, &packets),
            false => {
                let post = self.peer.post(rig, &packets);
                self.posts.push(post);
            }
        }
    }

    fn switch(&mut self, rig: &mut Rig<World>, way: Way) {
        self.peer.cut();
        rig.settle();
        self.peer.way = way;
    }

    fn listen(&mut self, rig: &mut Rig<World>, note: &dyn Fn() -> String) {
        for packet in self.peer.hear(rig) {
            let Some(answer) = packet.strip_prefix("6::") else {
                continue;
            };
            let (_, answer) = answer.split_once(':').unwrap();
            let id = answer.split('+').next().unwrap().parse().unwrap();
            assert!(self.wanted.contains(&id), "{}: {packet}", note());
            *self.heard.entry(id).or_default() += 1;
            assert_eq!(self.heard[&id], 1, "{}: {packet}", note());
        }
        self.posts.retain_mut(|post| {
            while post.fill() {}
            post.got.is_empty()
        });
    }
}
