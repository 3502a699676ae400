//! A server on a clock set by hand, and a client that writes raw bytes and reads answers.

use dustdevil::reactor::{Clock, ManualClock};
use dustdevil::{Response, Route, Routes, Settings, SocketServer};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

pub(crate) struct Rig {
    pub(crate) server: SocketServer<()>,
    pub(crate) clock: ManualClock,
    addr: SocketAddr,
}

/// GET answers `hello`, POST and PUT the body; `/small` takes ten bytes, `/exact` wants a length,
/// `/never` does not answer.
fn routes() -> Routes<()> {
    let echo = |req: &dustdevil::Request<'_>| Response::bytes("text/plain", req.body().to_vec());
    Routes::new()
        .route(Route::get("/", |_, _, reply| {
            reply.send(Response::text("hello"))
        }))
        .route(Route::post("/", move |req, _, reply| reply.send(echo(req))))
        .route(Route::put("/", move |req, _, reply| reply.send(echo(req))))
        .route(Route::options("/", |_, _, reply| {
            reply.send(Response::new(200))
        }))
        .route(Route::delete("/", |_, _, reply| {
            reply.send(Response::new(200))
        }))
        .route(Route::post("/small", move |req, _, reply| reply.send(echo(req))).body_bytes_max(10))
        .route(Route::post("/exact", move |req, _, reply| reply.send(echo(req))).length_required())
        .route(Route::get("/never", |_, app, reply| {
            let later = reply.later();
            app.after(Duration::from_secs(3600), move |_| drop(later));
        }))
}

impl Rig {
    pub(crate) fn new(settings: Settings) -> Self {
        Self::with(settings, routes())
    }

    pub(crate) fn with(settings: Settings, routes: Routes<()>) -> Self {
        let (clock, hand) = Clock::manual();
        let server = SocketServer::with_clock((), clock)
            .unwrap()
            .settings(settings)
            .routes(routes)
            .bind("127.0.0.1:0")
            .unwrap();
        let addr = server.local_addrs()[0].tcp().unwrap();
        Self {
            server,
            clock: hand,
            addr,
        }
    }

    pub(crate) fn turn(&mut self) {
        self.server.poll_once(Some(Duration::ZERO)).unwrap();
    }

    /// Turns until nothing happens any more.
    pub(crate) fn settle(&mut self) {
        let until = Instant::now() + Duration::from_secs(20);
        let mut quiet = 0;
        while quiet < 3 {
            let before = self.server.io_loop().unwrap().stats().events;
            self.server
                .poll_once(Some(Duration::from_millis(1)))
                .unwrap();
            let after = self.server.io_loop().unwrap().stats().events;
            quiet = if before == after { quiet + 1 } else { 0 };
            assert!(Instant::now() < until, "it never comes to rest");
        }
    }

    /// Lets time pass, in steps that the loop keeps up with.
    pub(crate) fn pass(&mut self, time: Duration) {
        let mut left = time;
        while !left.is_zero() {
            let step = left.min(Duration::from_millis(250));
            self.clock.advance(step);
            left -= step;
            self.turn();
            self.turn();
        }
        self.settle();
    }

    pub(crate) fn client(&mut self) -> Client {
        let socket = TcpStream::connect(self.addr).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_nonblocking(true).unwrap();
        self.settle();
        Client {
            socket,
            seen: Vec::new(),
            end: None,
        }
    }

    /// What comes back for `input`, given in pieces of so many bytes.
    pub(crate) fn exchange(&mut self, input: &[u8], piece: usize, half_close: bool) -> Client {
        let mut client = self.client();
        for piece in input.chunks(piece.max(1)) {
            if client.end.is_some() {
                break;
            }
            client.write(self, piece);
            client.look();
        }
        if half_close {
            let _ = client.socket.shutdown(Shutdown::Write);
        }
        self.settle();
        client.look();
        client
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Closed,
    Reset,
}

pub(crate) struct Client {
    pub(crate) socket: TcpStream,
    pub(crate) seen: Vec<u8>,
    pub(crate) end: Option<End>,
}

impl Client {
    pub(crate) fn write(&mut self, rig: &mut Rig, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.socket.write(bytes) {
                Ok(n) => bytes = &bytes[n..],
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
            rig.turn();
            if !bytes.is_empty() {
                self.look();
            }
        }
    }

    /// Reads what has come.
    pub(crate) fn look(&mut self) {
        let mut buffer = [0; 65_536];
        while self.end.is_none() {
            match self.socket.read(&mut buffer) {
                Ok(0) => self.end = Some(End::Closed),
                Ok(n) => self.seen.extend_from_slice(&buffer[..n]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(_) => self.end = Some(End::Reset),
            }
        }
    }

    /// The answers so far; `heads` tells which of them answer HEAD.
    pub(crate) fn answers(&self, heads: &[usize]) -> Vec<Answer> {
        let mut rest = &self.seen[..];
        let mut answers = Vec::new();
        while !rest.is_empty() {
            let end = rest
                .windows(4)
                .position(|w| w == b"\r\n\r\n")
                .expect("a whole head")
                + 4;
            let head = String::from_utf8(rest[..end].to_vec()).unwrap();
            rest = &rest[end..];
            let status = head[9..12].parse().unwrap();
            let length = field(&head, "content-length").map_or(0, |n| n.parse().unwrap());
            let length = if heads.contains(&answers.len()) {
                0
            } else {
                length
            };
            assert!(rest.len() >= length, "a whole body");
            let body = rest[..length].to_vec();
            rest = &rest[length..];
            answers.push(Answer { status, head, body });
        }
        answers
    }

    pub(crate) fn statuses(&self) -> Vec<u16> {
        self.answers(&[])
            .iter()
            .map(|answer| answer.status)
            .collect()
    }
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (field, value) = line.split_once(": ")?;
        field.eq_ignore_ascii_case(name).then_some(value)
    })
}
