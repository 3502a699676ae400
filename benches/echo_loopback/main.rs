//! What an echo costs: WebSocket on dustdevil beside a raw TCP echo on the same loop, SockJS and
//! Socket.IO beside plain WebSocket and plain HTTP, in CPU time of the server; and beside any other server that is
//! named.
//!
//! ```text
//! cargo bench --bench echo_loopback
//! cargo bench --bench echo_loopback -- --case '20 B' --rounds 3 --seconds 0.2
//! cargo bench --bench echo_loopback -- --server ws://127.0.0.1:9001/ws --pid 4711
//! ```
//!
//! The servers (`ioloop_tcp_echo`, `testbed --bench`) are processes of their own, on the first
//! core; this program is the load client, on the second. Rounds are interleaved: every row has its
//! turn in each, with fresh conns. A row shows the median of all rounds; the ratio is the median
//! of the ratios *within* a round, because the machine's speed differs between rounds, and the
//! spread is the smallest and the largest of them. Nothing passes or fails here.
//!
//! Only loopback addresses are accepted, and everything ends by itself.

mod client;
mod codec;
mod http;
mod server;
mod socketio;
mod sockjs;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use client::{Client, Load};
use codec::{Codec, Raw, WebSocket};
use http::Get;
use server::{Kind, Server};
use socketio::Version;
use sockjs::{Listen, Xhr};

const USAGE: &str = "cargo bench --bench echo_loopback -- [OPTIONS]

  --case TEXT      only cases whose name has this text; may be repeated
  --list           names the cases
  --rounds N       interleaved rounds per case (default 7)
  --seconds S      time of one measurement (default 0.5; at most 15)
  --server URL     another server, running already: tcp://ADDR or ws://ADDR/PATH (with /hello,
                   /broadcast and perhaps SockJS at /echo and /broadcast and
                   Socket.IO at /socket.io beside it); may be repeated
  --pid N          the process of the --server before it
  --name TEXT      its name in the table
  --only-others    do not start our own servers
  --no-build       do not build our own servers first
  -v               one line per measurement too";

/// What is measured, and as which rows of the table.
struct Case {
    name: String,
    what: What,
    /// In this order for each server. The first row of all is what the others are compared with.
    rows: &'static [Row],
    /// The longest time of one measurement, however long others are.
    time_max: Duration,
}

#[derive(Clone, Copy)]
enum What {
    Echo {
        bytes: usize,
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
}

impl What {
    /// Bytes of a message.
    fn bytes(self) -> usize {
        match self {
            Self::Echo { bytes, .. } => bytes,
            Self::Broadcast { .. } => 20,
            Self::Memory { .. } => 1024,
        }
    }
}

/// What is spoken, and its name where a server has several rows.
type Row = (Talk, &'static str);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Talk {
    Raw,
    WebSocket,
    /// `GET /hello`.
    Hello,
    SockJsWebSocket,
    SockJsXhr(Listen),
    SocketIoWebSocket(Version),
    SocketIoPolling(Version),
}

impl Talk {
    /// Whether a server that speaks it is there to be asked; one of ours is.
    fn is_offered(self, addr: SocketAddr) -> bool {
        match self {
            Self::SockJsWebSocket | Self::SockJsXhr(_) => sockjs::is_offered(addr),
            Self::SocketIoWebSocket(version) | Self::SocketIoPolling(version) => {
                version.is_offered(addr)
            }
            Self::Raw | Self::WebSocket | Self::Hello => true,
        }
    }

    /// Whether it is what its case is about, and the other rows are there to be compared with it.
    fn is_subject(self) -> bool {
        !matches!(self, Self::Raw | Self::WebSocket | Self::Hello)
    }
}

const ECHO: &[Row] = &[(Talk::Raw, ""), (Talk::WebSocket, "")];
const WEBSOCKET: &[Row] = &[(Talk::WebSocket, "")];
const HELLO: &[Row] = &[(Talk::Hello, "")];
const SOCKJS: &[Row] = &[(Talk::WebSocket, "ws"), (Talk::SockJsWebSocket, "sockjs")];
const XHR: &[Row] = &[
    (Talk::Hello, "GET /hello"),
    (Talk::SockJsXhr(Listen::Polling), "xhr round"),
];
const XHR_STREAMING: &[Row] = &[
    (Talk::Hello, "GET /hello"),
    (Talk::SockJsXhr(Listen::Streaming), "streaming"),
];
const SOCKETIO09: &[Row] = &[
    (Talk::WebSocket, "ws"),
    (Talk::SocketIoWebSocket(Version::V09), "socket.io"),
];
const XHR_POLLING09: &[Row] = &[
    (Talk::Hello, "GET /hello"),
    (Talk::SocketIoPolling(Version::V09), "xhr-polling"),
];
const SOCKETIO06: &[Row] = &[
    (Talk::WebSocket, "ws"),
    (Talk::SocketIoWebSocket(Version::V06), "socket.io"),
];
const XHR_POLLING06: &[Row] = &[
    (Talk::Hello, "GET /hello"),
    (Talk::SocketIoPolling(Version::V06), "xhr-polling"),
];

/// Descriptors that this process and the servers need beside their conns.
const OTHER_FILES: usize = 128;

fn cases(files: usize) -> Vec<Case> {
    let most = files.saturating_sub(OTHER_FILES).max(1);
    let mut cases = Vec::new();
    let case = |name: String, what, rows| Case {
        name,
        what,
        rows,
        time_max: Duration::MAX,
    };
    let echo = |bytes, conns, depth| What::Echo {
        bytes,
        conns,
        depth,
    };
    for (size, bytes) in [("20 B", 20), ("1 KiB", 1 << 10), ("16 KiB", 16 << 10)] {
        for conns in [1, 100, 1000.min(most)] {
            for depth in [1, 16] {
                let name = format!("echo {size}, {conns} conns, depth {depth}");
                cases.push(case(name, echo(bytes, conns, depth), ECHO));
            }
        }
    }
    let conns = 9000.min(most);
    let name = format!("echo 20 B, {conns} conns, depth 1");
    cases.push(case(name, echo(20, conns, 1), ECHO));
    for depth in [1, 16] {
        let name = format!("GET /hello, 100 conns, depth {depth}");
        cases.push(case(name, echo(0, 100, depth), HELLO));
    }
    for window in [1, 4] {
        let name = format!("broadcast 20 B to 1000, window {window}");
        let conns = 1000;
        cases.push(case(name, What::Broadcast { conns, window }, WEBSOCKET));
    }
    for depth in [1, 16] {
        let name = format!("sockjs 20 B, 100 conns, depth {depth}");
        cases.push(case(name, echo(20, 100, depth), SOCKJS));
    }
    // A message of these is 20 B long and costs two requests, or one and a chunk.
    cases.push(case(
        "xhr round, 100 conns".to_owned(),
        echo(20, 100, 1),
        XHR,
    ));
    // A stream ends at the response limit, 128 KiB or 5041 frames of 26 bytes, and the next one is
    // not opened here. To come so far in the time and its warming up, 2.1 s, the sessions would
    // have to have 240,000 echoes a second.
    let name = "xhr_streaming message, 100 sessions";
    cases.push(Case {
        time_max: Duration::from_secs(2),
        ..case(name.to_owned(), echo(20, 100, 1), XHR_STREAMING)
    });
    let what = What::Broadcast {
        conns: 1000,
        window: 1,
    };
    let name = "broadcast 20 B to 1000 (SockJS websocket), window 1";
    cases.push(case(name.to_owned(), what, SOCKJS));
    for (version, packet, sockets, polls) in [
        ("0.6", "message", SOCKETIO06, XHR_POLLING06),
        ("0.9", "event", SOCKETIO09, XHR_POLLING09),
    ] {
        for depth in [1, 16] {
            let name = format!("socket.io {version} {packet} 20 B, 100 conns, depth {depth}");
            cases.push(case(name, echo(20, 100, depth), sockets));
        }
        let name = format!("xhr-polling round (Socket.IO {version}), 100 conns");
        cases.push(case(name, echo(20, 100, 1), polls));
    }
    let name = "broadcast 20 B to 1000 (Socket.IO 0.9), window 1";
    cases.push(case(name.to_owned(), what, SOCKETIO09));
    let conns = 10_000.min(most);
    let what = What::Memory { conns };
    cases.push(case(format!("memory, {conns} conns"), what, ECHO));
    let name = format!("memory, {conns} conns (SockJS websocket)");
    cases.push(case(name, what, SOCKJS));
    for (version, rows) in [("0.6", SOCKETIO06), ("0.9", SOCKETIO09)] {
        let name = format!("memory, {conns} conns (Socket.IO {version} websocket)");
        cases.push(case(name, what, rows));
    }
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
    // Names are cut nowhere, and the common ones keep their place.
    let width = cases
        .iter()
        .map(|case| case.name.len())
        .fold(34, usize::max);
    println!(
        "{:<width$} {:<12} {:>10} {:>12} {:>7} {:>15} {:>6}",
        "case", "server", "µs CPU/msg", "msg/CPU s", "ratio", "spread", "busy"
    );
    for case in &cases {
        match case.what {
            What::Memory { conns } => memory(case, conns, &servers, core, width)?,
            _ => rounds(case, &servers, options, width)?,
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

/// How a server is spoken to in a row, and the row's name.
type Spoken = (Box<dyn Codec>, String);

/// `None`: the server does not offer what the row is about.
fn codec(server: &Server, case: &Case, (talk, label): Row) -> Result<Option<Spoken>, String> {
    // Ours must; without it, no row of the case says anything about another server.
    let mut subjects = case.rows.iter().filter(|(talk, _)| talk.is_subject());
    let is_missing = |(talk, _): &Row| {
        server.kind == Kind::Tcp || !server.is_own() && !talk.is_offered(server.addr)
    };
    if subjects.any(is_missing) {
        return Ok(None);
    }
    let host = server.addr.to_string();
    let is_broadcast = matches!(case.what, What::Broadcast { .. });
    let codec: Box<dyn Codec> = match (server.kind, talk) {
        (Kind::Tcp, Talk::Raw) => Box::new(Raw),
        (Kind::WebSocket, Talk::WebSocket) => {
            let path = match is_broadcast {
                true => "/broadcast".to_owned(),
                false => server.path.clone(),
            };
            Box::new(WebSocket { host, path })
        }
        (Kind::WebSocket, Talk::Hello) => Box::new(Get::learn(server.addr, "/hello", "hello")?),
        (Kind::WebSocket, Talk::SockJsWebSocket) => {
            let prefix = match is_broadcast {
                true => "/broadcast",
                false => "/echo",
            };
            Box::new(sockjs::WebSocket { host, prefix })
        }
        (Kind::WebSocket, Talk::SockJsXhr(listen)) => {
            Box::new(Xhr::learn(server.addr, listen, case.what.bytes())?)
        }
        (Kind::WebSocket, Talk::SocketIoWebSocket(version)) => {
            let event = match is_broadcast {
                true => "broadcast",
                false => "echo",
            };
            Box::new(socketio::WebSocket {
                host,
                version,
                event,
            })
        }
        (Kind::WebSocket, Talk::SocketIoPolling(version)) => {
            let bytes = case.what.bytes();
            Box::new(socketio::Polling::learn(server.addr, version, bytes)?)
        }
        (Kind::Tcp, _) | (Kind::WebSocket, Talk::Raw) => return Ok(None),
    };
    let name = match label {
        "" => server.name.clone(),
        _ if server.is_own() => label.to_owned(),
        _ => format!("{} {label}", server.name),
    };
    Ok(Some((codec, name)))
}

fn measure(
    server: &Server,
    codec: &dyn Codec,
    what: What,
    time: Duration,
) -> Result<Sample, String> {
    let (conns, load) = match what {
        What::Echo { conns, depth, .. } => (conns, Load::Echo { depth }),
        What::Broadcast { conns, window } => (conns, Load::Broadcast { window }),
        What::Memory { conns } => (conns, Load::Echo { depth: 1 }),
    };
    let mut client = Client::open(server.addr, codec, conns, what.bytes(), load)?;
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

fn rounds(case: &Case, servers: &[Server], options: &Options, width: usize) -> Result<(), String> {
    let named = |row: &str, why: String| format!("{}, {row}: {why}", case.name);
    let time = options.time.min(case.time_max);
    let mut takers = Vec::new();
    for server in servers {
        for row in case.rows {
            match codec(server, case, *row) {
                Ok(Some((codec, name))) => takers.push((server, name, codec, Vec::new())),
                Ok(None) => {}
                Err(why) => return Err(named(&server.name, why)),
            }
        }
    }
    for round in 0..options.rounds {
        for (server, name, codec, samples) in &mut takers {
            let sample =
                measure(server, codec.as_ref(), case.what, time).map_err(|why| named(name, why))?;
            if options.verbose {
                println!(
                    "  round {}: {} {:.3} µs, {:.0} messages in {:.3} s",
                    round + 1,
                    name,
                    sample.us_per_message(),
                    sample.messages,
                    sample.wall.as_secs_f64()
                );
            }
            samples.push(sample);
        }
    }
    let Some((_, _, _, base)) = takers.first() else {
        return Ok(());
    };
    for (at, (_, name, _, samples)) in takers.iter().enumerate() {
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
            "{:<width$} {:<12} {us:>10.3} {:>12.0} {ratio:>7} {spread:>15} {:>5.0}%",
            if at == 0 { &case.name } else { "" },
            name,
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
    core: Option<usize>,
    width: usize,
) -> Result<(), String> {
    println!();
    println!(
        "{:<width$} {:<12} {:>10} {:>12} {:>22} {:>14}",
        "case", "server", "B/conn", "B/conn used", "MiB before, with, after", "files left"
    );
    let mut case_name = case.name.as_str();
    let rows = |server| case.rows.iter().map(move |row| (server, *row));
    for (server, row) in servers.iter().flat_map(rows) {
        let named = |why: String| format!("{}, {}: {why}", case.name, server.name);
        if codec(server, case, row).map_err(named)?.is_none() {
            continue;
        }
        // Ours begin anew, because memory that the load left behind would hide the growth.
        let fresh = match server.is_own() {
            true => Some(start_own(server.kind, core)?),
            false => None,
        };
        let server = fresh.as_ref().unwrap_or(server);
        let Some((codec, name)) = codec(server, case, row).map_err(named)? else {
            continue;
        };
        let bytes = case.what.bytes();
        let open = |conns| {
            let echo = Load::Echo { depth: 1 };
            Client::open(server.addr, codec.as_ref(), conns, bytes, echo).map_err(named)
        };
        // One conn first: what is allocated once is no part of a conn.
        let mut first = open(1)?;
        first.start().and_then(|()| first.drain()).map_err(named)?;
        drop(first);
        settle();
        let (before, files) = (server.rss()?, server.descriptors());
        let mut client = open(conns)?;
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
            "{case_name:<width$} {name:<12} {:>10.0} {:>12.0} {:>22} {:>14}",
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
        case_name = "";
    }
    Ok(())
}

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
