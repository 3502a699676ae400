//! What an echo costs: WebSocket on dustdevil beside a raw TCP echo on the same loop, in CPU time
//! of the server, and beside any other server that is named.
//!
//! ```text
//! cargo bench --bench echo_loopback
//! cargo bench --bench echo_loopback -- --case '20 B' --rounds 3 --seconds 0.2
//! cargo bench --bench echo_loopback -- --server ws://127.0.0.1:9001/ws --pid 4711
//! ```
//!
//! The servers (`ioloop_tcp_echo`, `testbed --bench`) are processes of their own, on the first
//! core; this program is the load client, on the second. Rounds are interleaved: every server has
//! its turn in each, with fresh conns. A row shows the median of all rounds; the ratio is the median
//! of the ratios *within* a round, because the machine's speed differs between rounds, and the
//! spread is the smallest and the largest of them. Nothing passes or fails here.
//!
//! Only loopback addresses are accepted, and everything ends by itself.

mod client;
mod codec;
mod server;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use client::{Client, Load};
use codec::{Codec, Get, Raw, SockJs, WebSocket, Xhr};
use server::{Kind, Server};

const USAGE: &str = "cargo bench --bench echo_loopback -- [OPTIONS]

  --case TEXT      only cases whose name has this text; may be repeated
  --list           names the cases
  --rounds N       interleaved rounds per case (default 7)
  --seconds S      time of one measurement (default 0.5; at most 15)
  --server URL     another server, running already: tcp://ADDR or ws://ADDR/PATH (with /hello and
                   /broadcast beside it); may be repeated
  --pid N          the process of the --server before it
  --name TEXT      its name in the table
  --only-others    do not start our own servers
  --no-build       do not build our own servers first
  -v               one line per measurement too";

/// One row of the table.
struct Case {
    name: String,
    what: What,
}

#[derive(Clone, Copy)]
enum What {
    Echo {
        bytes: usize,
        conns: usize,
        depth: usize,
    },
    Http {
        conns: usize,
        depth: usize,
    },
    Broadcast {
        conns: usize,
        window: usize,
    },
    Memory {
        conns: usize,
    },
    /// An echo over SockJS's WebSocket, beside the plain one.
    SockJs {
        depth: usize,
    },
    /// A send and a poll, beside a GET.
    XhrRound,
    /// A send that comes back on a stream, beside a GET.
    XhrStreaming,
    /// A broadcast over SockJS's WebSocket, beside the plain one.
    SockJsBroadcast,
}

/// Descriptors that this process and the servers need beside their conns.
const OTHER_FILES: usize = 128;

fn cases(files: usize) -> Vec<Case> {
    let most = files.saturating_sub(OTHER_FILES).max(1);
    let mut cases = Vec::new();
    for (size, bytes) in [("20 B", 20), ("1 KiB", 1 << 10), ("16 KiB", 16 << 10)] {
        for conns in [1, 100, 1000.min(most)] {
            for depth in [1, 16] {
                let name = format!("echo {size}, {conns} conns, depth {depth}");
                cases.push(Case {
                    name,
                    what: What::Echo {
                        bytes,
                        conns,
                        depth,
                    },
                });
            }
        }
    }
    let conns = 9000.min(most);
    cases.push(Case {
        name: format!("echo 20 B, {conns} conns, depth 1"),
        what: What::Echo {
            bytes: 20,
            conns,
            depth: 1,
        },
    });
    for depth in [1, 16] {
        let name = format!("GET /hello, 100 conns, depth {depth}");
        cases.push(Case {
            name,
            what: What::Http { conns: 100, depth },
        });
    }
    for window in [1, 4] {
        let name = format!("broadcast 20 B to 1000, window {window}");
        cases.push(Case {
            name,
            what: What::Broadcast {
                conns: 1000,
                window,
            },
        });
    }
    for depth in [1, 16] {
        let name = format!("sockjs 20 B, 100 conns, depth {depth}");
        let what = What::SockJs { depth };
        cases.push(Case { name, what });
    }
    for (name, what) in [
        ("sockjs broadcast 20 B to 1000", What::SockJsBroadcast),
        ("xhr round, 100 conns", What::XhrRound),
        ("xhr_streaming, 100 sessions", What::XhrStreaming),
    ] {
        let name = name.to_owned();
        cases.push(Case { name, what });
    }
    let conns = 10_000.min(most);
    cases.push(Case {
        name: format!("memory, {conns} conns"),
        what: What::Memory { conns },
    });
    cases
}

struct Options {
    wanted: Vec<String>,
    list: bool,
    rounds: usize,
    time: Duration,
    others: Vec<(String, Option<u32>, Option<String>)>,
    only_others: bool,
    build: bool,
    verbose: bool,
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1).peekable();
    if args.peek().is_none() {
        // `cargo bench` passes `--bench`; without it this is `cargo test` passing through.
        println!("echo_loopback: a benchmark; {USAGE}");
        return ExitCode::SUCCESS;
    }
    match options().and_then(|options| options.map_or(Ok(()), |options| run(&options))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("echo_loopback: {why}");
            ExitCode::FAILURE
        }
    }
}

/// `None`: help was asked for and given.
fn options() -> Result<Option<Options>, String> {
    use lexopt::prelude::*;
    let mut options = Options {
        wanted: Vec::new(),
        list: false,
        rounds: 7,
        time: Duration::from_millis(500),
        others: Vec::new(),
        only_others: false,
        build: true,
        verbose: false,
    };
    let mut read = || -> Result<bool, lexopt::Error> {
        let mut parser = lexopt::Parser::from_env();
        while let Some(arg) = parser.next()? {
            match arg {
                Long("bench") => {}
                Long("case") => options.wanted.push(parser.value()?.string()?),
                Long("list") => options.list = true,
                Long("rounds") => options.rounds = parser.value()?.parse()?,
                Long("seconds") => {
                    let seconds: f64 = parser.value()?.parse()?;
                    if !(0.01..=15.0).contains(&seconds) {
                        return Err("--seconds is from 0.01 to 15".into());
                    }
                    options.time = Duration::from_secs_f64(seconds);
                }
                Long("server") => options.others.push((parser.value()?.string()?, None, None)),
                Long("pid") => match options.others.last_mut() {
                    Some((_, pid, _)) => *pid = Some(parser.value()?.parse()?),
                    None => return Err("--pid comes after its --server".into()),
                },
                Long("name") => match options.others.last_mut() {
                    Some((_, _, name)) => *name = Some(parser.value()?.string()?),
                    None => return Err("--name comes after its --server".into()),
                },
                Long("only-others") => options.only_others = true,
                Long("no-build") => options.build = false,
                Short('v') | Long("verbose") => options.verbose = true,
                Short('h') | Long("help") => return Ok(false),
                _ => return Err(arg.unexpected()),
            }
        }
        Ok(true)
    };
    let go_on = read().map_err(|error| format!("{error}\n\n{USAGE}"))?;
    if !(1..=1000).contains(&options.rounds) {
        return Err("--rounds is from 1 to 1000".to_owned());
    }
    if !go_on {
        println!("{USAGE}");
    }
    Ok(go_on.then_some(options))
}

fn run(options: &Options) -> Result<(), String> {
    let files = server::raise_file_limit();
    let cases: Vec<Case> = cases(files)
        .into_iter()
        .filter(|case| {
            options.wanted.is_empty() || options.wanted.iter().any(|part| case.name.contains(part))
        })
        .collect();
    if options.list {
        cases.iter().for_each(|case| println!("{}", case.name));
        return Ok(());
    }
    if cases.is_empty() {
        return Err("no case has that in its name; --list shows them".to_owned());
    }
    if options.build && !options.only_others {
        server::build_examples()?;
    }
    let core = server::part_cores();
    let servers = start(options, core)?;
    if files < 10_000 + OTHER_FILES {
        println!("At most {files} open files: the cases of 9,000 and 10,000 conns have fewer.");
    }
    if core.is_none() {
        println!("The processes could not be kept on cores of their own (taskset, two cores).");
    }
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!(
        "{} rounds of {:?}; load before: {}",
        options.rounds,
        options.time,
        load.split(' ').next().unwrap_or("unknown")
    );
    println!();
    println!(
        "{:<34} {:<12} {:>10} {:>12} {:>7} {:>15} {:>6}",
        "case", "server", "µs CPU/msg", "msg/CPU s", "ratio", "spread", "busy"
    );
    for case in &cases {
        match case.what {
            What::Memory { conns } => memory(case, conns, &servers, options, core)?,
            what => rounds(case, what, &servers, options)?,
        }
    }
    Ok(())
}

fn start(options: &Options, core: Option<usize>) -> Result<Vec<Server>, String> {
    let mut servers = Vec::new();
    if !options.only_others {
        servers.push(start_own(Kind::Tcp, core)?);
        servers.push(start_own(Kind::WebSocket, core)?);
    }
    for (url, pid, name) in &options.others {
        let pid = pid.ok_or_else(|| format!("{url}: its process is needed (--pid)"))?;
        let mut server = Server::running(url, pid)?;
        if let Some(name) = name {
            server.name.clone_from(name);
        }
        servers.push(server);
    }
    if servers.is_empty() {
        return Err("no server to measure".to_owned());
    }
    Ok(servers)
}

fn start_own(kind: Kind, core: Option<usize>) -> Result<Server, String> {
    let dir = server::examples_dir().ok_or("where is this program?")?;
    match kind {
        Kind::Tcp => Server::start(
            "raw",
            kind,
            &dir.join("ioloop_tcp_echo"),
            &["--port", "0"],
            core,
        ),
        Kind::WebSocket => Server::start(
            "ws",
            kind,
            &dir.join("testbed"),
            &["--bench", "--port", "0"],
            core,
        ),
    }
}

/// What one measurement found.
#[derive(Clone, Copy)]
struct Sample {
    cpu_ns: f64,
    messages: f64,
    wall: Duration,
}

impl Sample {
    fn us_per_message(self) -> f64 {
        self.cpu_ns / 1e3 / self.messages
    }
}

/// What is said to a server in a case, each with the name of its row and how it is loaded.
struct Taker {
    name: String,
    codec: Box<dyn Codec>,
    conns: usize,
    bytes: usize,
    load: Load,
}

fn takers(server: &Server, what: What) -> Result<Vec<Taker>, String> {
    let websocket = |path: &str| WebSocket {
        host: server.addr.to_string(),
        path: path.to_owned(),
    };
    let sockjs = |service: &str| SockJs(websocket(&format!("/{service}/000/bench/websocket")));
    let get = || Get::learn(server.addr, "/hello", "hello");
    let (bytes, conns, load) = match what {
        What::Echo {
            bytes,
            conns,
            depth,
        } => (bytes, conns, Load::Echo { depth }),
        What::Http { conns, depth } => (0, conns, Load::Echo { depth }),
        What::Broadcast { conns, window } => (20, conns, Load::Broadcast { window }),
        What::Memory { conns } => (1024, conns, Load::Echo { depth: 1 }),
        What::SockJs { depth } => (20, 100, Load::Echo { depth }),
        What::SockJsBroadcast => (20, 1000, Load::Broadcast { window: 1 }),
        What::XhrRound | What::XhrStreaming => (20, 100, Load::Echo { depth: 1 }),
    };
    let mut takers = Vec::new();
    let mut add = |name: &str, codec: Box<dyn Codec>| {
        takers.push(Taker {
            name: name.to_owned(),
            codec,
            conns,
            bytes,
            load,
        });
    };
    match (server.kind, what) {
        (Kind::Tcp, What::Echo { .. } | What::Memory { .. }) => add(&server.name, Box::new(Raw)),
        (Kind::Tcp, _) => {}
        (Kind::WebSocket, What::Echo { .. }) => {
            add(&server.name, Box::new(websocket(&server.path)));
        }
        (Kind::WebSocket, What::Memory { .. }) => {
            add(&server.name, Box::new(websocket(&server.path)));
            add("sockjs", Box::new(sockjs("echo")));
        }
        (Kind::WebSocket, What::Broadcast { .. }) => {
            add(&server.name, Box::new(websocket("/broadcast")));
        }
        (Kind::WebSocket, What::Http { .. }) => add(&server.name, Box::new(get()?)),
        (Kind::WebSocket, What::SockJs { .. }) => {
            add(&server.name, Box::new(websocket(&server.path)));
            add("sockjs", Box::new(sockjs("echo")));
        }
        (Kind::WebSocket, What::SockJsBroadcast) => {
            add(&server.name, Box::new(websocket("/broadcast")));
            add("sockjs", Box::new(sockjs("broadcast")));
        }
        (Kind::WebSocket, What::XhrRound) => {
            add("GET", Box::new(get()?));
            add("xhr", Box::new(Xhr::learn(server.addr, bytes, false)?));
        }
        (Kind::WebSocket, What::XhrStreaming) => {
            add("GET", Box::new(get()?));
            add(
                "xhr_streaming",
                Box::new(Xhr::learn(server.addr, bytes, true)?),
            );
            if let Some(last) = takers.last_mut() {
                (last.conns, last.load) = (200, Load::Pairs);
            }
        }
    }
    Ok(takers)
}

fn measure(server: &Server, taker: &Taker, time: Duration) -> Result<Sample, String> {
    let conns = taker.conns;
    // A stream ends after 128 KiB, which no session reaches in this time.
    let time = if taker.load == Load::Pairs {
        time.min(STREAM_TIME_MAX)
    } else {
        time
    };
    let codec = taker.codec.as_ref();
    let mut client = Client::open(server.addr, codec, conns, taker.bytes, taker.load)?;
    client.start()?;
    // Until each conn has been served a few times, so that buffers and caches are as they will be.
    let warm = Duration::from_millis(100) + Duration::from_micros(30) * conns as u32;
    client.run(warm.min(time))?;
    let (begun, before) = (Instant::now(), server.cpu_ns()?);
    let messages = client.run(time)?;
    let (wall, after) = (begun.elapsed(), server.cpu_ns()?);
    client.drain()?;
    if messages == 0 {
        return Err("no message came back".to_owned());
    }
    Ok(Sample {
        cpu_ns: (after - before) as f64,
        messages: messages as f64,
        wall,
    })
}

fn rounds(case: &Case, what: What, servers: &[Server], options: &Options) -> Result<(), String> {
    let named = |name: &str, why: String| format!("{}, {name}: {why}", case.name);
    let mut all = Vec::new();
    for server in servers {
        let takers = takers(server, what).map_err(|why| named(&server.name, why))?;
        all.extend(takers.into_iter().map(|taker| (server, taker, Vec::new())));
    }
    for round in 0..options.rounds {
        for (server, taker, samples) in &mut all {
            let sample =
                measure(server, taker, options.time).map_err(|why| named(&taker.name, why))?;
            if options.verbose {
                println!(
                    "  round {}: {} {:.3} µs, {:.0} messages in {:.3} s",
                    round + 1,
                    taker.name,
                    sample.us_per_message(),
                    sample.messages,
                    sample.wall.as_secs_f64()
                );
            }
            samples.push(sample);
        }
    }
    let Some((_, _, base)) = all.first() else {
        return Ok(());
    };
    for (at, (_, taker, samples)) in all.iter().enumerate() {
        let us = median(samples.iter().map(|sample| sample.us_per_message()));
        let busy = median(
            samples
                .iter()
                .map(|sample| sample.cpu_ns / sample.wall.as_nanos() as f64),
        );
        let ratios = || {
            base.iter()
                .zip(samples)
                .map(|(base, own)| base.us_per_message() / own.us_per_message())
        };
        let (low, high) = ratios().fold((f64::MAX, 0.0_f64), |(low, high), r| {
            (low.min(r), high.max(r))
        });
        let (ratio, spread) = match at {
            0 => ("1".to_owned(), String::new()),
            _ => (
                format!("{:.3}", median(ratios())),
                format!("{low:.3} - {high:.3}"),
            ),
        };
        println!(
            "{:<34} {:<12} {us:>10.3} {:>12.0} {ratio:>7} {spread:>15} {:>5.0}%",
            if at == 0 { &case.name } else { "" },
            taker.name,
            1e6 / us,
            busy * 100.0,
        );
    }
    Ok(())
}

/// Growth of the resident set over conns that have opened and are silent, then after each has echoed
/// one message of 1 KiB; and what is left when they have gone.
fn memory(
    case: &Case,
    conns: usize,
    servers: &[Server],
    options: &Options,
    core: Option<usize>,
) -> Result<(), String> {
    println!();
    println!(
        "{:<34} {:<12} {:>10} {:>12} {:>22} {:>14}",
        "case", "server", "B/conn", "B/conn used", "MiB before, with, after", "files left"
    );
    let mut rows = Vec::new();
    for (at, server) in servers.iter().enumerate() {
        let count = takers(server, What::Memory { conns })?.len();
        rows.extend((0..count).map(|which| (at, server, which)));
    }
    for (row, (at, server, which)) in rows.into_iter().enumerate() {
        let named = |why: String| format!("{}, {}: {why}", case.name, server.name);
        // Ours begin anew, because memory that the load left behind would hide the growth.
        let fresh = match at {
            0 | 1 if !options.only_others => Some(start_own(server.kind, core)?),
            _ => None,
        };
        let server = fresh.as_ref().unwrap_or(server);
        let mut takers = takers(server, What::Memory { conns }).map_err(named)?;
        let Taker { name, codec, .. } = takers.swap_remove(which);
        let echo = Load::Echo { depth: 1 };
        // One conn first: what is allocated once is no part of a conn.
        let mut first = Client::open(server.addr, codec.as_ref(), 1, 1024, echo).map_err(named)?;
        first.start().and_then(|()| first.drain()).map_err(named)?;
        drop(first);
        settle();
        let (before, files) = (server.rss()?, server.descriptors());
        let mut client =
            Client::open(server.addr, codec.as_ref(), conns, 1024, echo).map_err(named)?;
        settle();
        let idle = server.rss()?;
        client
            .start()
            .and_then(|()| client.drain())
            .map_err(named)?;
        settle();
        let used = server.rss()?;
        drop(client);
        settle();
        let deadline = Instant::now() + Duration::from_secs(5);
        while server.descriptors() > files && Instant::now() < deadline {
            settle();
        }
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let each = |bytes: u64| bytes.saturating_sub(before) as f64 / conns as f64;
        println!(
            "{:<34} {:<12} {:>10.0} {:>12.0} {:>22} {:>14}",
            if row == 0 { &case.name } else { "" },
            name,
            each(idle),
            each(used),
            format!(
                "{:.1}, {:.1}, {:.1}",
                mib(before),
                mib(used),
                mib(server.rss()?)
            ),
            server.descriptors().saturating_sub(files),
        );
    }
    Ok(())
}

/// What a streaming session is loaded for at most.
const STREAM_TIME_MAX: Duration = Duration::from_millis(1000);

/// Lets a server end what it has begun; nothing is measured by time here.
fn settle() {
    std::thread::sleep(Duration::from_millis(300));
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        0 => (values[middle - 1] + values[middle]) / 2.0,
        _ => values[middle],
    }
}
