//! A whole live server on a clock that stands still until it is moved: its answers do not depend on
//! how the bytes were cut, every open has its close, and when the clients are gone nothing is left.

use dustdevil::reactor::{Clock, ManualClock};
use dustdevil::{
    CloseReason, Connection, Cx, Message, Reject, Request, Response, Route, Router, Settings,
    SocketServer, WebSocket, WebSocketLimits,
};
use std::cell::RefCell;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::cuts;
use super::ops::{Ops, masked_frame};

enum Op {
    /// A client connects, and is the one that acts from now on.
    Connect,
    /// Another client acts.
    Next,
    /// The client sends.
    Feed(Vec<u8>),
    /// Time passes, in quarters of a second: far deadlines are rounded up to them, and what comes between one and its
    /// timer meets either.
    Advance(u8),
    /// The client sends no more.
    Shutdown,
    /// The client goes.
    Gone,
    /// The client reads no more, or it does again.
    Reads(bool),
}

/// What clients got, and what the application was told.
type Outcome = (Vec<Vec<u8>>, Vec<String>);

/// The last byte: which limits. The cuts come before it, the operations before them.
pub(crate) fn run(data: &[u8]) {
    let Some((&flags, data)) = data.split_last() else {
        return;
    };
    if data.len() > 8 << 10 {
        return;
    }
    let (data, cuts) = cuts::split_cuts(data);
    let ops = read(data);
    SERVERS.with_borrow_mut(|servers| {
        let small = usize::from(flags & 1);
        let server = servers[small].get_or_insert_with(|| Server::new(small == 1));
        let whole = server.play(&ops, &[]);
        assert_eq!(whole, server.play(&ops, &cuts), "cut by {cuts:?}");
    });
}

fn read(data: &[u8]) -> Vec<Op> {
    let mut input = Ops(data);
    let mut ops = vec![Op::Connect];
    while let Some(op) = input.byte() {
        let op = match op {
            b'a' => Op::Advance(input.byte().unwrap_or(0)),
            b'o' => Op::Connect,
            b'n' => Op::Next,
            b's' => Op::Shutdown,
            b'x' => Op::Gone,
            b'q' => Op::Reads(false),
            b'r' => Op::Reads(true),
            b'm' => {
                let first = input.byte().unwrap_or(0x81);
                Op::Feed(masked_frame(first, input.some()))
            }
            _ => Op::Feed(input.some().to_vec()),
        };
        match (ops.last_mut(), op) {
            (Some(Op::Feed(last)), Op::Feed(more)) => last.extend(more),
            (_, op) => ops.push(op),
        }
    }
    ops
}

thread_local! {
    /// One with the limits as they are, one with small ones. They stay, so that a leak shows.
    static SERVERS: RefCell<[Option<Server>; 2]> = const { RefCell::new([None, None]) };
}

struct Server {
    server: SocketServer<Vec<String>>,
    hand: ManualClock,
    now: Duration,
    path: PathBuf,
}

struct Client {
    stream: Option<UnixStream>,
    reads: bool,
    got: Vec<u8>,
}

impl Server {
    fn new(small: bool) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("dustdevil-fuzz-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let (clock, hand) = Clock::manual();
        let (mut settings, mut limits) = (Settings::default(), WebSocketLimits::default());
        if small {
            settings.head_bytes_max = 300;
            settings.request_line_bytes_max = 80;
            settings.headers_max = 8;
            settings.body_bytes_max = 40;
            settings.requests_per_conn_max = 3;
            settings.work_per_turn_bytes = 2 << 10;
            settings.write_high_bytes = 1 << 10;
            settings.write_low_bytes = 100;
            settings.write_max_bytes = 2 << 10;
            limits.message_bytes_max = 64;
            limits.fragments_max = 3;
            limits.idle_timeout = Duration::from_secs(40);
            limits.messages_per_second_max = 20;
        }
        let socket = WebSocket {
            limits,
            ..WebSocket::default()
        };
        let server = SocketServer::with_clock(Vec::new(), clock)
            .expect("a poller")
            .settings(settings)
            .websocket("/ws", &Router::<Echo>::new(), socket)
            .get("/", |_, _, reply| reply.send(Response::text("hello")))
            .get("/later", |_, app, reply| {
                let later = reply.later();
                app.after(Duration::from_secs(1), move |app| {
                    app.answer(later, Response::text("later"));
                });
            })
            .get("/stream/:name", |req, app, reply| {
                let name = req.param("name").unwrap_or("").to_owned();
                let stream = reply.stream(Response::text(name));
                app.after(Duration::from_secs(1), move |app| {
                    app.write(&stream, b"more");
                    stream.end(app);
                });
            })
            .route(Route::post("/echo", |req, _, reply| {
                reply.send(Response::bytes("text/plain", req.body()));
            }))
            .bind_unix(&path)
            .expect("a socket");
        Self {
            server,
            hand,
            now: Duration::ZERO,
            path,
        }
    }

    fn play(&mut self, ops: &[Op], cuts: &[usize]) -> Outcome {
        // Deadlines are rounded to a grid, so both runs begin at the same place of it.
        self.pass(PERIOD - Duration::from_nanos((self.now.as_nanos() % PERIOD.as_nanos()) as u64));
        let mut clients: Vec<Client> = Vec::new();
        let mut at = 0;
        for op in ops {
            match op {
                Op::Connect if clients.len() < 4 => {
                    at = clients.len();
                    clients.push(Client::connect(&self.path));
                }
                Op::Connect => {}
                Op::Next => at = (at + 1) % clients.len(),
                Op::Feed(bytes) => {
                    for piece in cuts::pieces(bytes, cuts) {
                        clients[at].write(piece);
                        self.settle(&mut clients);
                    }
                }
                Op::Advance(by) => self.pass(Duration::from_millis(u64::from(*by) * 250)),
                Op::Shutdown => {
                    if let Some(stream) = &clients[at].stream {
                        let _ = stream.shutdown(Shutdown::Write);
                    }
                }
                Op::Gone => clients[at].stream = None,
                Op::Reads(on) => clients[at].reads = *on,
            }
            self.settle(&mut clients);
        }
        for client in &mut clients {
            client.reads = true;
        }
        self.settle(&mut clients);
        let got = clients
            .iter()
            .map(|client| without_dates(&client.got))
            .collect();
        drop(clients);
        self.settle(&mut []);
        // Lingering, answers that are due later, timers of connections.
        for _ in 0..3 {
            self.pass(Duration::from_secs(70));
            self.settle(&mut []);
        }
        let stats = self.server.stats().expect("it is bound");
        assert_eq!(stats.conns_open, 0, "{stats:?}");
        assert_eq!(stats.websockets_open, 0, "{stats:?}");
        assert_eq!(stats.connections_open, 0, "{stats:?}");
        assert_eq!(stats.bytes_queued, 0, "{stats:?}");
        assert_eq!(stats.panics, 0, "{stats:?}");
        assert_eq!(self.server.next_deadline(), None, "a timer is left");
        let mut told = Vec::new();
        let taken = self.server.with_app(|app| std::mem::take(&mut *app.state));
        told.extend(taken.expect("it is bound"));
        let opened = told.iter().filter(|line| *line == "open").count();
        let closed = told.iter().filter(|line| line.starts_with("close")).count();
        assert_eq!(opened, closed, "{told:?}");
        (got, told)
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.hand.advance(time);
    }

    /// Turns, until nothing happens any more.
    fn settle(&mut self, clients: &mut [Client]) {
        let mut quiet = 0;
        let mut last = (0, 0, 0);
        for _ in 0..10_000 {
            self.server
                .poll_once(Some(Duration::ZERO))
                .expect("the poller works");
            let read = clients.iter_mut().any(Client::read);
            let stats = self.server.stats().expect("it is bound");
            let now = (stats.bytes_in, stats.bytes_out, stats.conns_open);
            quiet = match read || now != last {
                true => 0,
                false => quiet + 1,
            };
            last = now;
            if quiet == 3 {
                return;
            }
        }
        panic!("the server does not come to rest");
    }
}

impl Client {
    fn connect(path: &PathBuf) -> Self {
        let stream = UnixStream::connect(path).expect("the server listens");
        stream.set_nonblocking(true).expect("a socket can do that");
        Self {
            stream: Some(stream),
            reads: true,
            got: Vec::new(),
        }
    }

    /// What the server does not take is lost, as it has closed.
    fn write(&mut self, bytes: &[u8]) {
        if let Some(stream) = &mut self.stream {
            let _ = stream.write_all(bytes);
        }
    }

    /// Whether something came.
    fn read(&mut self) -> bool {
        let Some(stream) = self.stream.as_mut().filter(|_| self.reads) else {
            return false;
        };
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(n) => {
                self.got.extend_from_slice(&buffer[..n]);
                assert!(
                    self.got.starts_with(&b"HTTP/1.1 "[..self.got.len().min(9)]),
                    "not an answer: {}",
                    self.got.escape_ascii()
                );
                true
            }
            Err(error) => {
                assert!(
                    matches!(
                        error.kind(),
                        ErrorKind::WouldBlock | ErrorKind::ConnectionReset
                    ),
                    "{error}"
                );
                false
            }
        }
    }
}

/// Without the lines that depend on when something was, and without `100 Continue`, which is only
/// sent if nothing of the body has come yet.
fn without_dates(got: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::new();
    for line in got.split_inclusive(|&b| b == b'\n') {
        if line.starts_with(b"Date: ") {
            continue;
        }
        out.extend_from_slice(line);
        if out.ends_with(CONTINUE) {
            out.truncate(out.len() - CONTINUE.len());
        }
    }
    out
}

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
const PERIOD: Duration = Duration::from_secs(1000);

/// What the clients talk to.
#[derive(Default)]
struct Echo;

impl Connection for Echo {
    type State = Vec<String>;

    fn on_open(&mut self, cx: &mut Cx<'_, Self>, req: &Request<'_>) -> Result<(), Reject> {
        match req.query_string() {
            "no" => return Err(Reject::status(403)),
            "close" => return Err(Reject::close(4000, "no")),
            "hello" => {
                cx.send("hello");
            }
            _ => {}
        }
        cx.state.push("open".into());
        Ok(())
    }

    fn on_message(&mut self, cx: &mut Cx<'_, Self>, message: Message<'_>) {
        cx.state.push(format!("message {}", message.bytes().len()));
        match message.text() {
            Some("join") => {
                cx.join("room");
            }
            Some("leave") => {
                cx.leave("room");
            }
            Some("say") => {
                cx.room("room").send("said");
            }
            Some("all") => {
                cx.all().send([7; 100]);
            }
            Some("close") => cx.close_with(4001, "bye"),
            Some("end") => cx.all().close(),
            Some("ping") => {
                cx.ping(b"there?");
            }
            Some("later") => {
                cx.after(Duration::from_secs(1), |_, cx| {
                    cx.send("later");
                });
            }
            Some("wait") => {
                let ordered = cx.ordered();
                let wait = Duration::from_secs(1);
                cx.app().after(wait, move |_| ordered.finish(|_, _| {}));
            }
            Some("much") => {
                cx.send_each([[b'x'; 1000].as_slice(); 4]);
            }
            _ => {
                cx.send(message);
            }
        }
    }

    fn on_close(&mut self, cx: &mut Cx<'_, Self>, why: CloseReason) {
        cx.state.push(format!("close {:?} {}", why.cause, why.code));
    }
}
