//! A server on a clock set by hand, driven a turn at a time on the test's own thread; a client that
//! writes raw bytes and reads frames; a connection whose callbacks a test writes as closures.

use dustdevil::reactor::{Clock, ManualClock};
use dustdevil::{
    CloseReason, Connection, ConnectionId, Cx, Event, Events, Message, Pending, Reject, Request,
    Router, Routes, Settings, SocketServer, Stats, WebSocket, WebSocketLimits,
};
use serde_json::Value;
use std::cell::{Cell, RefCell};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::rc::Rc;
use std::time::{Duration, Instant};

pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(crate) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// A real time that only a failing test reaches.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub(crate) fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

// ---- the server -------------------------------------------------------------------------------

pub(crate) struct Rig<S: 'static> {
    pub(crate) server: SocketServer<S>,
    pub(crate) clock: ManualClock,
    pub(crate) addr: SocketAddr,
}

impl<S: 'static> Rig<S> {
    pub(crate) fn new(state: S, settings: Settings, routes: Routes<S>) -> Self {
        let (clock, hand) = Clock::manual();
        let server = SocketServer::with_clock(state, clock)
            .unwrap()
            .settings(settings)
            .routes(routes)
            .bind("127.0.0.1:0")
            .unwrap();
        Self::of(server, hand)
    }

    pub(crate) fn of(server: SocketServer<S>, clock: ManualClock) -> Self {
        let addr = server.local_addrs()[0].tcp().unwrap();
        Self {
            server,
            clock,
            addr,
        }
    }

    /// One turn, which waits a little for what is under way.
    pub(crate) fn turn(&mut self) {
        self.server.poll_once(Some(ms(1))).unwrap();
    }

    /// Turns until nothing happens any more.
    pub(crate) fn settle(&mut self) {
        let until = Instant::now() + PATIENCE;
        let mut quiet = 0;
        while quiet < 3 {
            let before = self.server.io_loop().unwrap().stats().events;
            self.turn();
            let after = self.server.io_loop().unwrap().stats().events;
            quiet = if before == after { quiet + 1 } else { 0 };
            assert!(Instant::now() < until, "it never comes to rest");
        }
    }

    /// Lets time pass in steps that the loop keeps up with, then settles.
    pub(crate) fn pass(&mut self, time: Duration) {
        let step = ms(250);
        let mut left = time;
        while !left.is_zero() {
            let now = left.min(step);
            self.clock.advance(now);
            left -= now;
            self.server.poll_once(Some(Duration::ZERO)).unwrap();
            self.server.poll_once(Some(Duration::ZERO)).unwrap();
        }
        self.settle();
    }

    pub(crate) fn stats(&mut self) -> Stats {
        self.server.stats().unwrap()
    }

    pub(crate) fn state<R>(&mut self, f: impl FnOnce(&mut S) -> R) -> R {
        self.server.with_app(|app| f(app.state)).unwrap()
    }

    pub(crate) fn raw(&self) -> Client {
        Client::connect(self.addr)
    }

    /// A client whose handshake is done.
    pub(crate) fn client(&mut self, path: &str) -> Client {
        let mut client = self.raw();
        client.write(request(path, "").as_bytes());
        let head = client.head(self);
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        client
    }
}

/// An upgrade request as in the RFC's example, with further header lines.
pub(crate) fn request(path: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
    )
}

// ---- the client -------------------------------------------------------------------------------

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) head: u8,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn text(&self) -> String {
        assert_eq!(self.head, 0x81, "{self:?}");
        String::from_utf8(self.payload.clone()).unwrap()
    }

    pub(crate) fn code(&self) -> Option<u16> {
        assert_eq!(self.head, 0x88, "{self:?}");
        let code = self.payload.first_chunk::<2>();
        code.map(|code| u16::from_be_bytes(*code))
    }

    pub(crate) fn reason(&self) -> &str {
        std::str::from_utf8(self.payload.get(2..).unwrap_or_default()).unwrap()
    }
}

pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    pub(crate) got: Vec<u8>,
    eof: bool,
    reset: bool,
}

impl Client {
    pub(crate) fn connect(addr: SocketAddr) -> Self {
        Self::over(TcpStream::connect(addr).unwrap())
    }

    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_nonblocking(true).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            got: Vec::new(),
            eof: false,
            reset: false,
        }
    }

    /// Writes what is short enough for the socket's buffer.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Writes anything, while the server reads it.
    pub(crate) fn write_long<S>(&mut self, rig: &mut Rig<S>, mut bytes: &[u8]) {
        let until = Instant::now() + PATIENCE;
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(n) => bytes = &bytes[n..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => rig.turn(),
                // The server has had enough.
                Err(_) => return,
            }
            assert!(Instant::now() < until, "{} bytes are not read", bytes.len());
        }
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.write(&masked(0x81, text.as_bytes()));
    }

    pub(crate) fn finish(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Reads what there is. False: nothing.
    pub(crate) fn fill(&mut self) -> bool {
        let mut buffer = [0; 64 << 10];
        match self.stream.read(&mut buffer) {
            Ok(0) => self.eof = true,
            Ok(n) => {
                self.got.extend_from_slice(&buffer[..n]);
                return true;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => {
                self.eof = true;
                self.reset = true;
            }
        }
        false
    }

    /// Turns the server until `f` finds what it wants in the bytes that came.
    pub(crate) fn until<S, R>(
        &mut self,
        rig: &mut Rig<S>,
        what: &str,
        f: impl Fn(&mut Self) -> Option<R>,
    ) -> R {
        let until = Instant::now() + PATIENCE;
        loop {
            while self.fill() {}
            if let Some(found) = f(self) {
                return found;
            }
            let got = String::from_utf8_lossy(&self.got);
            assert!(!self.eof, "the end in place of {what}; {got:?}");
            assert!(Instant::now() < until, "no {what}; {got:?}");
            rig.turn();
        }
    }

    /// The head of an answer, with its blank line.
    pub(crate) fn head<S>(&mut self, rig: &mut Rig<S>) -> String {
        self.until(rig, "head", |me| {
            let end = me.got.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
            Some(String::from_utf8(me.got.drain(..end).collect()).unwrap())
        })
    }

    pub(crate) fn frame<S>(&mut self, rig: &mut Rig<S>) -> Frame {
        self.until(rig, "frame", |me| me.next_frame())
    }

    pub(crate) fn next_frame(&mut self) -> Option<Frame> {
        let (head, used) = {
            let got = &self.got;
            let (len, at) = match *got.get(1)? {
                126 => (
                    usize::from(u16::from_be_bytes(*got.get(2..)?.first_chunk()?)),
                    4,
                ),
                127 => (
                    u64::from_be_bytes(*got.get(2..)?.first_chunk()?) as usize,
                    10,
                ),
                short => (usize::from(short), 2),
            };
            (got.len() >= at + len).then_some((at, at + len))?
        };
        let frame: Vec<u8> = self.got.drain(..used).collect();
        Some(Frame {
            head: frame[0],
            payload: frame[head..].to_vec(),
        })
    }

    pub(crate) fn text<S>(&mut self, rig: &mut Rig<S>) -> String {
        self.frame(rig).text()
    }

    /// The code of the close frame that comes next.
    pub(crate) fn close_code<S>(&mut self, rig: &mut Rig<S>) -> Option<u16> {
        self.frame(rig).code()
    }

    /// Everything up to the end of the connection.
    pub(crate) fn rest<S>(&mut self, rig: &mut Rig<S>) -> Vec<u8> {
        self.until(rig, "end", |me| me.eof.then(|| std::mem::take(&mut me.got)))
    }

    /// Nothing comes, and the connection stays.
    pub(crate) fn silent<S>(&mut self, rig: &mut Rig<S>) {
        rig.settle();
        while self.fill() {}
        assert!(
            self.got.is_empty(),
            "{:?}",
            String::from_utf8_lossy(&self.got)
        );
        assert!(!self.eof, "the connection has ended");
    }

    /// All frames that come before the server rests.
    pub(crate) fn frames<S>(&mut self, rig: &mut Rig<S>) -> Vec<Frame> {
        rig.settle();
        while self.fill() {}
        std::iter::from_fn(|| self.next_frame()).collect()
    }

    pub(crate) fn texts<S>(&mut self, rig: &mut Rig<S>) -> Vec<String> {
        self.frames(rig).iter().map(Frame::text).collect()
    }

    /// Dropped with a reset in place of a FIN.
    pub(crate) fn reset(self) {
        let socket = socket2::Socket::from(self.stream);
        socket.set_linger(Some(Duration::ZERO)).unwrap();
    }
}

/// A frame with a first byte of one's choice, masked, its length in the shortest form.
pub(crate) fn masked(head: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![head];
    match payload.len() {
        len @ 0..=125 => frame.push(0x80 | len as u8),
        len @ 126..=0xffff => {
            frame.push(0xfe);
            frame.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            frame.push(0xff);
            frame.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    let key = [0x37, 0xfa, 0x21, 0x3d];
    frame.extend_from_slice(&key);
    let start = frame.len();
    frame.extend_from_slice(payload);
    for (i, byte) in frame[start..].iter_mut().enumerate() {
        *byte ^= key[i % 4];
    }
    frame
}

/// A masked close frame.
pub(crate) fn closing(code: u16, reason: &str) -> Vec<u8> {
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(reason.as_bytes());
    masked(0x88, &payload)
}

// ---- the connection ---------------------------------------------------------------------------

/// What a test writes down, and shares.
pub(crate) type World = Vec<String>;
type Do = Box<dyn Fn(&mut Probe, &mut Cx<'_, Probe>)>;
type OnOpen = Box<dyn Fn(&mut Probe, &mut Cx<'_, Probe>, &Request<'_>) -> Result<(), Reject>>;
type OnMessage = Box<dyn Fn(&mut Probe, &mut Cx<'_, Probe>, Message<'_>)>;
type OnAct = Box<dyn Fn(&mut Probe, &mut Cx<'_, Probe>, Vec<Value>)>;
type OnEvent = Box<dyn Fn(&mut Probe, &mut Cx<'_, Probe>, Event<'_>)>;
type OnPong = Box<dyn Fn(&mut Probe, &mut Cx<'_, Probe>, &[u8])>;
type OnClose = Box<dyn Fn(&mut Probe, &mut Cx<'_, Probe>, &CloseReason)>;

/// The callbacks of a class.
pub(crate) struct Script {
    pub(crate) open: OnOpen,
    pub(crate) message: OnMessage,
    /// Handles the events `do`, and `later`, whose acknowledgement is pending.
    pub(crate) act: OnAct,
    /// The other events.
    pub(crate) event: OnEvent,
    pub(crate) pong: OnPong,
    pub(crate) writable: Do,
    pub(crate) close: OnClose,
    /// All that was opened, in order.
    pub(crate) ids: RefCell<Vec<ConnectionId>>,
    pub(crate) closed: RefCell<Vec<(usize, CloseReason)>>,
    pub(crate) log: RefCell<Vec<String>>,
    pub(crate) number: Cell<usize>,
    pub(crate) depth: Cell<u32>,
    pub(crate) deepest: Cell<u32>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            open: Box::new(|_, _, _| Ok(())),
            message: Box::new(|_, cx, message| {
                cx.send(message);
            }),
            act: Box::new(|_, _, _| {}),
            event: Box::new(|_, _, _| {}),
            pong: Box::new(|_, _, _| {}),
            writable: Box::new(|_, _| {}),
            close: Box::new(|_, _, _| {}),
            ids: RefCell::default(),
            closed: RefCell::default(),
            log: RefCell::default(),
            number: Cell::new(0),
            depth: Cell::new(0),
            deepest: Cell::new(0),
        }
    }
}

impl Script {
    pub(crate) fn id(&self, n: usize) -> ConnectionId {
        self.ids.borrow()[n]
    }

    pub(crate) fn note(&self, text: impl Into<String>) {
        self.log.borrow_mut().push(text.into());
    }

    pub(crate) fn taken(&self) -> Vec<String> {
        self.log.take()
    }

    /// Who was closed, in order.
    pub(crate) fn closed(&self) -> Vec<usize> {
        self.closed.borrow().iter().map(|(n, _)| *n).collect()
    }

    pub(crate) fn last_reason(&self) -> CloseReason {
        self.closed
            .borrow()
            .last()
            .expect("nobody was closed")
            .1
            .clone()
    }
}

/// Counted down also when a callback panics.
struct Within<'a>(&'a Script);

impl<'a> Within<'a> {
    fn new(script: &'a Script) -> Self {
        script.depth.set(script.depth.get() + 1);
        script
            .deepest
            .set(script.deepest.get().max(script.depth.get()));
        Self(script)
    }
}

impl Drop for Within<'_> {
    fn drop(&mut self) {
        self.0.depth.set(self.0.depth.get() - 1);
    }
}

pub(crate) struct Probe {
    /// Counts the connections of its script, from 0, in the order in which they were made.
    pub(crate) n: usize,
    pub(crate) value: u32,
    pub(crate) script: Rc<Script>,
    /// Dropped with the connection.
    pub(crate) kept: Option<Box<dyn std::any::Any>>,
}

impl Probe {
    fn act(&mut self, cx: &mut Cx<'_, Self>, args: Vec<Value>) {
        let script = Rc::clone(&self.script);
        let _within = Within::new(&script);
        (script.act)(self, cx, args);
    }

    fn act_later(&mut self, cx: &mut Cx<'_, Self>, args: Vec<Value>) -> Pending {
        self.act(cx, args);
        Pending
    }
}

impl Connection for Probe {
    type State = World;

    fn events(on: &mut Events<Self>) {
        on.on("do", Self::act).on("later", Self::act_later);
    }

    fn on_open(&mut self, cx: &mut Cx<'_, Self>, req: &Request<'_>) -> Result<(), Reject> {
        let script = Rc::clone(&self.script);
        let _within = Within::new(&script);
        script.ids.borrow_mut().push(cx.id());
        (script.open)(self, cx, req)
    }

    fn on_message(&mut self, cx: &mut Cx<'_, Self>, message: Message<'_>) {
        let script = Rc::clone(&self.script);
        let _within = Within::new(&script);
        (script.message)(self, cx, message);
    }

    fn on_event(&mut self, cx: &mut Cx<'_, Self>, event: Event<'_>) {
        let script = Rc::clone(&self.script);
        let _within = Within::new(&script);
        (script.event)(self, cx, event);
    }

    fn on_pong(&mut self, cx: &mut Cx<'_, Self>, data: &[u8]) {
        let script = Rc::clone(&self.script);
        let _within = Within::new(&script);
        (script.pong)(self, cx, data);
    }

    fn on_writable(&mut self, cx: &mut Cx<'_, Self>) {
        let script = Rc::clone(&self.script);
        let _within = Within::new(&script);
        (script.writable)(self, cx);
    }

    fn on_close(&mut self, cx: &mut Cx<'_, Self>, why: CloseReason) {
        let script = Rc::clone(&self.script);
        let _within = Within::new(&script);
        script.closed.borrow_mut().push((self.n, why.clone()));
        (script.close)(self, cx, &why);
    }
}

pub(crate) fn router(script: &Rc<Script>) -> Router<Probe> {
    let script = Rc::clone(script);
    Router::with(move |_| {
        let n = script.number.get();
        script.number.set(n + 1);
        Probe {
            n,
            value: 0,
            script: Rc::clone(&script),
            kept: None,
        }
    })
}

/// A server with one class at `/ws`.
pub(crate) fn rig(script: Script) -> (Rig<World>, Rc<Script>) {
    rig_with(script, Settings::default(), WebSocket::default())
}

pub(crate) fn rig_with(
    script: Script,
    settings: Settings,
    mount: WebSocket,
) -> (Rig<World>, Rc<Script>) {
    let script = Rc::new(script);
    let routes = Routes::new().websocket("/ws", &router(&script), mount);
    (Rig::new(World::new(), settings, routes), script)
}

pub(crate) fn limits(of: WebSocketLimits) -> WebSocket {
    WebSocket {
        limits: of,
        ..WebSocket::default()
    }
}

/// Runs what is meant to panic without its noise on the terminal.
pub(crate) fn quiet_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let payload = info.payload();
            let text = payload.downcast_ref::<&str>().copied().unwrap_or_default();
            if text != MEANT {
                usual(info);
            }
        }));
    });
}

pub(crate) const MEANT: &str = "meant to panic";
