//! Many connections, much output, bad luck: what the server holds stays bounded, and comes back.

use crate::support::*;
use dustdevil::net::open_files_limit;
use dustdevil::{Cause, Keep, Response, Route, Routes, Sent, Settings, WebSocket, WebSocketLimits};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// However many messages: at most one write for each subscriber in a turn.
#[test]
fn a_broadcast_is_one_write_per_subscriber_and_turn() {
    let script = Script {
        message: Box::new(|_, cx, _| {
            for n in 0..50 {
                cx.all().send(n.to_string());
                cx.all().send("y".repeat(200));
            }
        }),
        ..Script::default()
    };
    let (mut rig, _) = rig(script);
    let mut all: Vec<_> = (0..20).map(|_| rig.client("/ws")).collect();
    rig.settle();
    let before = rig.stats().writes;
    all[0].write(&masked(0x81, b"go").repeat(4));
    rig.settle();
    // Four messages of one read, a hundred broadcasts each: the sender's own is written after its
    // input.
    assert_eq!(rig.stats().writes - before, 20);
    for client in &mut all {
        assert_eq!(client.frames(&mut rig).len(), 400);
    }
}

/// Echoes of one read leave in one write.
#[test]
fn pipelined_echoes_are_one_write() {
    let (mut rig, _) = rig(Script::default());
    let mut client = rig.client("/ws");
    rig.settle();
    let before = rig.stats().writes;
    client.write(&masked(0x81, b"x").repeat(16));
    assert_eq!(client.frames(&mut rig).len(), 16);
    assert_eq!(rig.stats().writes - before, 1);
}

/// Fragments are work as messages are: a peer that sends many tiny ones has its turn as short.
#[test]
fn fragments_are_work() {
    let (mut rig, _) = rig(Script::default());
    let mut client = rig.client("/ws");
    rig.settle();
    let middle = masked(0x00, b"x").repeat(598);
    client.write(&[masked(0x02, b"x"), middle, masked(0x80, b"x")].concat());
    let mut turns = 0;
    while rig.stats().messages_in == 0 {
        rig.turn();
        turns += 1;
    }
    // 600 frames of at least 1 KiB, and 256 KiB a turn.
    assert_eq!(turns, 3);
    assert_eq!(client.frames(&mut rig).len(), 1);
}

/// The poll is called once for each deadline, not between: pings of ten connections, on a grid.
#[test]
fn an_idle_server_does_not_poll_between_deadlines() {
    let mut server = dustdevil::SocketServer::new(World::new())
        .unwrap()
        .websocket(
            "/ws",
            &router(&Rc::new(Script::default())),
            WebSocket::default(),
        )
        .bind("127.0.0.1:0")
        .unwrap();
    let addr = server.local_addrs()[0].tcp().unwrap();
    let clients: Vec<_> = (0..10)
        .map(|_| {
            let mut client = Client::connect(addr);
            client.write(request("/ws", "").as_bytes());
            while !client.got.ends_with(b"\r\n\r\n") {
                server.poll_once(Some(ms(1))).unwrap();
                client.fill();
            }
            client
        })
        .collect();
    // The time-outs of their handshakes fire once, early, and find nothing to do.
    let polls = server.io_loop().unwrap().stats().polls;
    let began = Instant::now();
    server
        .with_app(|app| {
            let remote = app.remote();
            app.after(ms(400), move |_| remote.stop());
        })
        .unwrap();
    server.run().unwrap();
    let polls = server.io_loop().unwrap().stats().polls - polls;
    assert!(began.elapsed() >= ms(400));
    assert!(polls <= 4, "{polls} polls in 400 ms");
    drop(clients);
}

/// With a clock that stands still nothing is due, so nothing happens.
#[test]
fn deadlines_share_a_grid() {
    let (mut rig, _) = rig(Script::default());
    let mut clients = Vec::new();
    for _ in 0..50 {
        clients.push(rig.client("/ws"));
        rig.clock.advance(ms(3));
    }
    rig.settle();
    let mut deadlines = Vec::new();
    let end = dustdevil::time::Instant::START + secs(27);
    while let Some(at) = rig.server.next_deadline().filter(|at| *at < end) {
        deadlines.push(at);
        rig.clock.advance_to(at);
        rig.server.poll_once(Some(Duration::ZERO)).unwrap();
    }
    assert!(
        deadlines.len() <= 6,
        "{} wake-ups for 50 peers",
        deadlines.len()
    );
}

// ---- slow readers -----------------------------------------------------------------------------

/// A client that never reads: bounded, and dropped when it takes nothing for `write_timeout`.
#[test]
fn a_client_that_never_reads() {
    let (mut rig, script) = rig(Script::default());
    let mut client = rig.client("/ws");
    let message = masked(0x82, &vec![0; 60_000]);
    // It writes as long as somebody reads.
    let mut sent = 0;
    while sent < 64 << 20 {
        match client.stream.write(&message[sent % message.len()..]) {
            Ok(n) => sent += n,
            Err(_) => {
                let before = rig.stats().bytes_in;
                rig.settle();
                if rig.stats().bytes_in == before {
                    break;
                }
            }
        }
    }
    assert!(
        sent < 64 << 20,
        "its input is not read while it does not read"
    );
    let queued = rig.stats().bytes_queued;
    assert!((64 << 10..1 << 20).contains(&queued), "{queued}");
    rig.pass(secs(29));
    assert!(script.closed().is_empty());
    rig.pass(secs(2));
    assert_eq!(script.closed(), [0]);
    assert_eq!(script.last_reason().cause, Cause::Timeout);
    let stats = rig.stats();
    assert_eq!(
        (stats.write_timeouts, stats.conns_open, stats.bytes_queued),
        (1, 0, 0)
    );
}

/// 100,000 pings whose pongs nobody reads.
#[test]
fn pings_unread_keep_memory_flat() {
    let (mut rig, script) = rig(Script::default());
    let mut client = rig.client("/ws");
    let pings = masked(0x89, &[b'p'; 125]).repeat(100);
    let (mut sent, mut most, mut stuck) = (0, 0, 0);
    let mut at = 0;
    while sent < 1000 && stuck < 20 {
        match client.stream.write(&pings[at..]) {
            Ok(n) => {
                at += n;
                stuck = 0;
                if at == pings.len() {
                    (at, sent) = (0, sent + 1);
                }
            }
            Err(_) => stuck += 1,
        }
        rig.server.poll_once(Some(Duration::ZERO)).unwrap();
        most = most.max(rig.stats().bytes_queued);
    }
    assert!(most < 300 << 10, "{most} bytes of pongs");
    assert!(script.closed().is_empty());
    // It reads again, and is served again.
    client.stream.set_nonblocking(true).unwrap();
    while rig.stats().bytes_queued > 0 {
        client.fill();
        client.got.clear();
        rig.turn();
    }
}

// ---- resets and churn -------------------------------------------------------------------------

/// A small generator, so that a failing run can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// Connections that end at any byte of a dialogue, by FIN or reset; each opened one is closed once.
#[test]
fn resets_at_random_moments() {
    let seed = u64::from(std::process::id()) + 1;
    println!("seed {seed}");
    let mut random = Random(seed);
    let script = Script {
        open: Box::new(|_, cx, _| {
            cx.join("room");
            cx.every(ms(20), |_, cx| {
                cx.room("room").send("tick");
                Keep::Going
            });
            Ok(())
        }),
        message: Box::new(|_, cx, message| {
            let held = cx.ordered();
            cx.room("room").send(message);
            cx.after(ms(10), move |_, _| drop(held));
        }),
        ..Script::default()
    };
    let (mut rig, script) = rig(script);
    let mut dialogue = request("/ws", "").into_bytes();
    dialogue.extend(masked(0x81, b"hello"));
    dialogue.extend(masked(0x01, b"frag"));
    dialogue.extend(masked(0x89, b"ping"));
    dialogue.extend(masked(0x80, b"ment"));
    dialogue.extend(closing(1000, ""));
    for _ in 0..400 {
        let mut client = rig.raw();
        let cut = random.below(dialogue.len() as u64 + 1) as usize;
        let middle = random.below(cut as u64 + 1) as usize;
        client.write(&dialogue[..middle]);
        for _ in 0..random.below(3) {
            rig.clock.advance(ms(random.below(30)));
            rig.server.poll_once(Some(Duration::ZERO)).unwrap();
        }
        if client.stream.write_all(&dialogue[middle..cut]).is_err() {
            continue;
        }
        match random.below(3) {
            0 => client.reset(),
            1 => drop(client),
            _ => client.finish(),
        }
        rig.server.poll_once(Some(Duration::ZERO)).unwrap();
    }
    rig.pass(secs(60));
    let mut closed = script.closed();
    assert_eq!(closed.len(), script.number.get(), "seed {seed}");
    closed.sort_unstable();
    closed.dedup();
    assert_eq!(
        closed.len(),
        script.number.get(),
        "seed {seed}: one was closed twice"
    );
    let stats = rig.stats();
    assert_eq!(
        (
            stats.conns_open,
            stats.websockets_open,
            stats.connections_open,
            stats.bytes_queued
        ),
        (0, 0, 0, 0),
        "seed {seed}"
    );
    assert_eq!(stats.panics, 0);
}

/// Open descriptors of this process that are sockets.
fn sockets() -> usize {
    let files = std::fs::read_dir("/proc/self/fd").unwrap();
    files
        .filter_map(|file| std::fs::read_link(file.ok()?.path()).ok())
        .filter(|link| link.to_string_lossy().starts_with("socket:"))
        .count()
}

fn heap_pages() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse().unwrap()
}

/// The server's side of ten thousand connections, in a process of its own: other tests have
/// descriptors too.
#[test]
#[cfg(target_os = "linux")]
fn ten_thousand_connections_leave_nothing_behind() {
    let this = std::env::current_exe().unwrap();
    let output = Command::new(this)
        .args(["--ignored", "--exact", "--nocapture", "load::many_server"])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    print!("{told}");
    assert!(
        output.status.success() && told.contains("1 passed"),
        "{output:?}"
    );
}

#[test]
#[ignore = "ten_thousand_connections_leave_nothing_behind runs it in a process of its own"]
fn many_server() {
    let limit = open_files_limit() as usize;
    let count = 10_000.min(limit.saturating_sub(200));
    if count < 10_000 {
        println!("{count} connections in place of 10000: only {limit} files may be open");
    }
    let (mut rig, script) = rig(Script {
        open: Box::new(|me, cx, _| {
            cx.join(&format!("room {}", me.n % 100));
            cx.after(secs(1000), |_, _| ());
            Ok(())
        }),
        ..Script::default()
    });
    let baseline = sockets();
    let mut grown = Vec::new();
    for round in 0..3 {
        let mut child = child(&rig, count);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut input = child.stdin.take().unwrap();
        let until = Instant::now() + secs(60);
        // Each sends a message when it is open.
        let all = ((round + 1) * count) as u64;
        while rig.stats().messages_in < all {
            rig.turn();
            assert!(Instant::now() < until, "{:?}", rig.stats());
        }
        assert_eq!(rig.stats().connections_open, count as u64);
        assert_eq!(sockets(), baseline + count);
        let told = rig.server.with_app(|app| {
            let ids = script.ids.borrow();
            app.to_each(ids[ids.len() - count..].iter().copied())
                .send("all")
        });
        assert_eq!(told.unwrap(), count);
        rig.settle();
        writeln!(input, "end").unwrap();
        while rig.stats().conns_open > 0 {
            rig.turn();
            assert!(Instant::now() < until, "{:?}", rig.stats());
        }
        assert!(lines.any(|line| line.unwrap().contains("all heard")));
        assert!(child.wait().unwrap().success());
        rig.pass(secs(2));
        assert_eq!(script.closed().len(), all as usize);
        let stats = rig.stats();
        assert_eq!(
            (
                stats.connections_open,
                stats.websockets_open,
                stats.bytes_queued
            ),
            (0, 0, 0)
        );
        assert_eq!(sockets(), baseline);
        script.ids.take();
        script.closed.take();
        script.number.set(0);
        for _ in 0..all {
            // The script's own list has to stay as long as the test says.
            script.closed.borrow_mut().push((0, why()));
        }
        grown.push(heap_pages());
    }
    // What the first round has grown (slabs, pools) serves the next ones.
    assert!(grown[2] < grown[0] + 2048, "pages: {grown:?}");
}

fn why() -> dustdevil::CloseReason {
    dustdevil::CloseReason {
        cause: Cause::Lost,
        code: 0,
        reason: String::new(),
        clean: false,
    }
}

fn child(rig: &Rig<World>, count: usize) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "load::many_client"])
        .env("DUSTDEVIL_TEST", format!("{} {count}", rig.addr))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
#[ignore = "many_server runs it, with an address"]
fn many_client() {
    let Ok(told) = std::env::var("DUSTDEVIL_TEST") else {
        return;
    };
    let (addr, count) = told.split_once(' ').unwrap();
    let count: usize = count.parse().unwrap();
    let mut hello = request("/ws", "").into_bytes();
    hello.extend(masked(0x81, b"hi"));
    let mut streams: Vec<TcpStream> = (0..count)
        .map(|_| {
            let mut stream = TcpStream::connect(addr).unwrap();
            stream.write_all(&hello).unwrap();
            stream
        })
        .collect();
    std::io::stdin().read_line(&mut String::new()).unwrap();
    let mut heard = 0;
    for (n, stream) in streams.iter_mut().enumerate() {
        let mut bytes = [0; 400];
        let len = std::io::Read::read(stream, &mut bytes).unwrap();
        heard += usize::from(bytes[..len].ends_with(b"\x81\x02hi\x81\x03all"));
        if n % 2 == 0 {
            stream.write_all(&closing(1000, "")).unwrap();
        }
    }
    println!(
        "{}",
        if heard == count {
            "all heard"
        } else {
            "some did not hear"
        }
    );
}

// ---- draining ---------------------------------------------------------------------------------

/// 1001 spread over the window; who answers is gone, who does not is cut at the deadline.
#[test]
fn drain_spreads_and_cuts() {
    let settings = Settings {
        drain_window: secs(2),
        ..Settings::default()
    };
    let mount = limits(WebSocketLimits {
        close_timeout: secs(60),
        ..Default::default()
    });
    let script = Script {
        close: Box::new(|_, cx, _| assert_eq!(cx.send("x"), Sent::Gone)),
        ..Script::default()
    };
    let (mut rig, script) = rig_with(script, settings, mount);
    let mut all: Vec<_> = (0..100).map(|_| rig.client("/ws")).collect();
    rig.settle();
    rig.server.drain(secs(5)).unwrap();
    assert!(TcpStream::connect(rig.addr).is_err(), "nobody new");
    rig.settle();
    let first = script.closed().len();
    rig.pass(secs(1));
    let half = script.closed().len();
    rig.pass(ms(1500));
    assert!(first < 10 && (20..80).contains(&half), "{first}, {half}");
    assert_eq!(script.closed().len(), 100);
    for (n, client) in all.iter_mut().enumerate() {
        let close = client.frames(&mut rig).pop().unwrap();
        assert_eq!((close.code(), close.reason()), (Some(1001), "going away"));
        if n % 2 == 0 {
            client.write(&closing(1001, ""));
            client.rest(&mut rig);
        }
    }
    all.retain(|client| client.stream.peer_addr().is_ok());
    let why = script.last_reason();
    assert_eq!((why.cause, why.code), (Cause::Shutdown, 1001));
    rig.pass(secs(3));
    assert_eq!(rig.stats().conns_open, 0, "the deadline");
    assert_eq!(script.closed().len(), 100);
    rig.server.run().unwrap();
}

#[test]
fn a_second_drain_cuts_at_once() {
    let (mut rig, script) = rig(Script::default());
    let _all: Vec<_> = (0..20).map(|_| rig.client("/ws")).collect();
    rig.server.drain(secs(5)).unwrap();
    assert!(script.closed().len() < 20);
    rig.server.drain(secs(5)).unwrap();
    assert_eq!(script.closed().len(), 20);
    assert_eq!(rig.stats().conns_open, 0);
    rig.server.run().unwrap();
}

/// A drain that waits goes on accepting, WebSockets too.
#[test]
fn drain_delay_goes_on_serving() {
    let settings = Settings {
        drain_delay: secs(10),
        ..Settings::default()
    };
    let (mut rig, script) = rig_with(Script::default(), settings, WebSocket::default());
    rig.server.drain(secs(5)).unwrap();
    rig.pass(secs(5));
    let mut client = rig.client("/ws");
    client.send("x");
    assert_eq!(client.text(&mut rig), "x");
    let mut probe = rig.raw();
    probe.write(b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(probe.head(&mut rig).starts_with("HTTP/1.1 503"));
    rig.pass(secs(7));
    assert_eq!(client.close_code(&mut rig), Some(1001));
    assert_eq!(script.closed(), [0]);
}

#[test]
fn drain_from_another_thread() {
    let (mut rig, script) = rig(Script::default());
    let mut client = rig.client("/ws");
    let remote = rig.server.remote().unwrap();
    std::thread::spawn(move || remote.drain(secs(5)))
        .join()
        .unwrap();
    assert_eq!(client.close_code(&mut rig), Some(1001));
    client.write(&closing(1001, ""));
    client.rest(&mut rig);
    drop(client);
    rig.server.run().unwrap();
    assert_eq!(script.closed(), [0]);
}

/// The real signal to the real program: 1001 to its clients, then it ends well.
#[test]
#[cfg(target_os = "linux")]
fn sigterm_drains_an_example() {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.set_file_name("examples");
    path.push("ws_echo");
    if !path.exists() {
        println!("skipped: {} is not built", path.display());
        return;
    }
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let mut child = Command::new(path)
        .args(["--port", &port.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let until = Instant::now() + secs(10);
    let mut ws = loop {
        match tungstenite::connect(format!("ws://127.0.0.1:{port}/ws")) {
            Ok((ws, _)) => break ws,
            Err(error) => assert!(Instant::now() < until, "{error}"),
        }
        std::thread::yield_now();
    };
    ws.send("x".into()).unwrap();
    assert_eq!(ws.read().unwrap().to_text().unwrap(), "x");
    let kill = Command::new("kill").arg(child.id().to_string()).status();
    assert!(kill.unwrap().success());
    let close = loop {
        match ws.read() {
            Ok(tungstenite::Message::Close(Some(frame))) => break u16::from(frame.code),
            Ok(_) => {}
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(close, 1001);
    while ws.read().is_ok() {}
    drop(ws);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

// ---- everybody together -----------------------------------------------------------------------

/// All buffers together: the largest holders go, the others stay.
#[test]
fn buffers_max_closes_the_largest_holders() {
    let settings = Settings {
        buffers_max_bytes: 8 << 20,
        write_max_bytes: 64 << 20,
        ..Settings::default()
    };
    let (mut rig, script) = rig_with(Script::default(), settings, WebSocket::default());
    let mut all: Vec<_> = (0..4).map(|_| rig.client("/ws")).collect();
    let large = script.id(2);
    rig.server
        .with_app(|app| app.to(large).send("x".repeat(24 << 20)))
        .unwrap();
    rig.settle();
    assert_eq!(script.closed(), [2]);
    assert_eq!(script.last_reason().cause, Cause::Overflow);
    let stats = rig.stats();
    assert_eq!((stats.memory_closes, stats.bytes_queued), (1, 0));
    all[0].send("x");
    assert_eq!(all[0].text(&mut rig), "x");
}

/// The same for input: messages that never end.
#[test]
fn buffers_max_counts_unfinished_messages() {
    let settings = Settings {
        buffers_max_bytes: 4 << 20,
        ..Settings::default()
    };
    let (mut rig, script) = rig_with(Script::default(), settings, WebSocket::default());
    let mut all: Vec<_> = (0..5).map(|_| rig.client("/ws")).collect();
    for (n, client) in all.iter_mut().enumerate().skip(1) {
        // A frame of a million bytes less the last.
        let mut bytes = vec![0x82, 0xff];
        bytes.extend_from_slice(&1_000_000_u64.to_be_bytes());
        bytes.resize(bytes.len() + 4 + 1_000_000 - n, 0);
        client.write_long(&mut rig, &bytes);
        rig.settle();
    }
    assert_eq!(script.closed().len(), 1);
    assert_eq!(script.last_reason().cause, Cause::Overflow);
    let stats = rig.stats();
    assert_eq!(stats.memory_closes, 1);
    assert!(stats.bytes_unfinished < 4 << 20);
    all[0].send("x");
    assert_eq!(all[0].text(&mut rig), "x");
    drop(all);
    rig.settle();
    assert_eq!(rig.stats().bytes_unfinished, 0);
}

/// At four fifths nobody new is let in, neither a conn nor a WebSocket; who is there stays.
#[test]
fn buffers_max_turns_away_who_is_new() {
    const MAX: usize = 64 << 20;
    let script = Rc::new(Script::default());
    let routes = Routes::new()
        .websocket("/ws", &router(&script), WebSocket::default())
        .route(Route::<World>::get("/large", |_, _, reply| {
            reply.send(Response::text("x".repeat(60 << 20)));
        }))
        .route(Route::<World>::get("/", |_, _, reply| {
            reply.send(Response::text("x"));
        }));
    let settings = Settings {
        buffers_max_bytes: MAX,
        ..Settings::default()
    };
    let mut rig = Rig::new(World::new(), settings, routes);
    let mut echo = rig.client("/ws");
    let mut kept = rig.raw();
    let get = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    kept.write(get);
    assert!(kept.head(&mut rig).starts_with("HTTP/1.1 200 "));
    kept.got.clear();
    let mut large = rig.raw();
    large.write(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    rig.settle();
    let queued = rig.stats().bytes_queued as usize;
    assert!(
        (MAX / 100 * 80..MAX / 100 * 95).contains(&queued),
        "{queued}"
    );

    let mut late = rig.raw();
    let head = late.head(&mut rig);
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert!(head.contains("\r\nRetry-After: 1\r\n"), "{head}");
    late.rest(&mut rig);
    kept.write(request("/ws", "").as_bytes());
    let head = kept.head(&mut rig);
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    echo.send("x");
    assert_eq!(echo.text(&mut rig), "x");
    assert_eq!(rig.stats().memory_closes, 0);

    // When it is read there is room again.
    large.head(&mut rig);
    while large.got.len() < 60 << 20 {
        rig.turn();
        while large.fill() {}
    }
    rig.settle();
    let mut echo = rig.client("/ws");
    echo.send("x");
    assert_eq!(echo.text(&mut rig), "x");
}

/// The linger of a closing connection begins when its answer is out, not before.
#[test]
fn a_slow_client_gets_the_end_of_its_answer() {
    let routes = Routes::new().route(Route::<World>::get("/", |_, _, reply| {
        reply.send(Response::text("x".repeat(16 << 20)));
    }));
    let mut rig = Rig::new(World::new(), Settings::default(), routes);
    let mut client = rig.raw();
    client.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    rig.settle();
    rig.pass(secs(20));
    client.head(&mut rig);
    assert_eq!(client.rest(&mut rig).len(), 16 << 20);
    rig.pass(secs(3));
    assert_eq!(rig.stats().conns_open, 0);
}
