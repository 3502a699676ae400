//! One accepted connection: its socket, what waits to be written, and the protocol it speaks.
//!
//! Driving: it reads and writes the socket and asks the loop for writability. It knows HTTP/1.1
//! and WebSocket as framings; which route a request goes to, and which application object is
//! behind a conn, is the server's to know.
//!
//! Invariant: a conn with unwritten bytes after a turn is `blocked`, and only then has interest in
//! writability.

pub(crate) mod http1;
pub(crate) mod websocket;
pub(crate) mod wire;

use crate::config::Settings;
use crate::net::{Peer, Stream};
use crate::proto::ws::Kind;
use crate::proto::ws::machine::State;
use crate::reactor::{Handler, IoLoop, Timeout};
use crate::stats::{Rates, Stats};
use crate::storage::arena::{Arena, Key};
use crate::storage::pool::Pool;
use crate::storage::write_queue::{Flush, SHARED_BYTES_MIN, WriteQueue};
use crate::time::Instant;
use http1::{Http1, Phase};
use mio::Interest;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;
use websocket::{Limits, WebSocket};

/// Names an accepted connection.
pub(crate) type ConnKey = Key<Conn>;

/// An accepted connection.
pub(crate) struct Conn {
    pub(crate) stream: Stream,
    pub(crate) handler: Handler,
    pub(crate) out: WriteQueue,
    pub(crate) protocol: Protocol,
    /// The address of the other end; `None` on a Unix socket.
    pub(crate) peer: Option<std::net::SocketAddr>,
    /// Which routes it is served by.
    pub(crate) site: u32,
    /// The one timer: when it fires, and its key.
    pub(crate) timer: Option<(Instant, Timeout)>,
    /// When bytes were last taken by the peer, or `blocked` began.
    pub(crate) progress: Instant,
    /// Input that was read and cannot be looked at yet.
    #[expect(clippy::box_collection, reason = "rare, and a conn should be small")]
    pub(crate) pending: Option<Box<Vec<u8>>>,
    /// Bytes of input that are kept, as they were when last looked at.
    pub(crate) held_input: usize,
    /// The peer refused bytes; interest in writability is on.
    pub(crate) blocked: bool,
    /// `send` has answered `Full`; `on_writable` is owed.
    pub(crate) full: bool,
    /// In the list of conns to flush at the end of the turn.
    pub(crate) dirty: bool,
    /// There may be input in the socket that nobody has read.
    pub(crate) readable: bool,
    /// The event said that the read side is closed: read on to the end.
    pub(crate) read_closed: bool,
    /// The end of the input has been read.
    pub(crate) eof: bool,
    /// The application holds messages back and its inbox is full.
    pub(crate) held: bool,
    /// It is or was a WebSocket.
    pub(crate) was_websocket: bool,
}

/// What a conn speaks.
pub(crate) enum Protocol {
    Http(Box<Http1>),
    WebSocket(WebSocket),
    /// A question for the policy of Flash.
    Policy(Asking),
    /// Nothing more is served: write what waits, shut down, drop what still comes (RFC 9112, 9.6).
    Closing(Closing),
}

/// A film that asks for the policy of Flash.
pub(crate) struct Asking {
    /// What has come of its question.
    pub(crate) asked: Vec<u8>,
    /// Until when all of it must have come.
    pub(crate) until: Instant,
    /// Whether it came to a port where nothing else is to be had.
    pub(crate) alone: bool,
}

/// The last moments of a conn.
pub(crate) struct Closing {
    linger: Duration,
    pub(crate) dropped: usize,
    /// Until when the rest of the input is dropped, once everything is written.
    pub(crate) until: Option<Instant>,
}

/// What `send` came to, before the application's view of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queued {
    Yes,
    OverHigh,
    OverMax,
    Gone,
    /// The draft that the peer speaks has no form for it.
    Unsupported,
}

impl Closing {
    /// Everything is written; answers whether that is news.
    pub(crate) fn written(&mut self, now: Instant) -> bool {
        let news = self.until.is_none();
        self.until.get_or_insert(now + self.linger);
        news
    }
}

impl Conn {
    /// Whether its input may be looked at now.
    pub(crate) fn wants_input(&self, settings: &Settings) -> bool {
        match &self.protocol {
            Protocol::Policy(_) | Protocol::Closing(_) => true,
            Protocol::Http(http) => http.wants_input(self, settings),
            // Once we have closed, the peer's close frame is all that counts, and makes no output.
            // Between the two marks of the output it is as it was: `full` remembers.
            Protocol::WebSocket(ws) => {
                ws.machine.state() != State::Open
                    || !(self.held || self.full)
                    || ws.machine.awaits_nonce()
            }
        }
    }

    /// Whether input that was put off may be looked at now.
    pub(crate) fn takes_pending(&self, settings: &Settings) -> bool {
        match &self.protocol {
            Protocol::Http(http) => matches!(http.phase, Phase::Reading) && !self.blocked,
            Protocol::WebSocket(_) | Protocol::Policy(_) | Protocol::Closing(_) => {
                self.wants_input(settings)
            }
        }
    }

    /// Whose it is, if it is a WebSocket that somebody still owns.
    pub(crate) fn owner(&self) -> u64 {
        match &self.protocol {
            Protocol::WebSocket(ws) => ws.owner,
            Protocol::Http(_) | Protocol::Policy(_) | Protocol::Closing(_) => 0,
        }
    }

    pub(crate) fn is_http(&self) -> bool {
        matches!(self.protocol, Protocol::Http(_))
    }

    /// Bits of the session that it is a receiver of; 0: of none.
    pub(crate) fn session(&self) -> u64 {
        match &self.protocol {
            Protocol::Http(http) => http.session,
            Protocol::WebSocket(ws) => ws.session,
            Protocol::Policy(_) | Protocol::Closing(_) => 0,
        }
    }

    /// Says that we send no more, if that is all that is left to do. True: there is nothing to wait
    /// for either, so the conn can go.
    pub(crate) fn shut_down(&mut self, now: Instant) -> bool {
        let Protocol::Closing(closing) = &mut self.protocol else {
            return false;
        };
        if !closing.written(now) {
            return false;
        }
        self.readable = true;
        self.eof || self.stream.shutdown_write().is_err()
    }

    /// Whether a ping of ours waits for a sign of life.
    pub(crate) fn is_unanswered(&self) -> bool {
        matches!(&self.protocol, Protocol::WebSocket(ws) if ws.machine.is_unanswered())
    }

    /// Whether a file is being sent.
    pub(crate) fn is_sending(&self) -> bool {
        match &self.protocol {
            Protocol::Http(http) => matches!(http.phase, Phase::Sending(..)),
            Protocol::WebSocket(_) | Protocol::Policy(_) | Protocol::Closing(_) => false,
        }
    }

    /// Writes what waits. Interest in writability follows the outcome.
    pub(crate) fn flush<M: Clone>(
        &mut self,
        io: &mut IoLoop<M>,
        pool: &mut Pool,
        stats: &mut Stats,
        queued: &mut usize,
    ) -> io::Result<()> {
        let before = self.out.len();
        if before == 0 {
            // The buffer that was lent for output that did not come goes back.
            self.out.clear(pool);
            return Ok(());
        }
        let outcome = self.out.write_to(&mut self.stream, pool)?;
        let written = before - self.out.len();
        stats.writes += 1;
        stats.bytes_out += written as u64;
        *queued = queued.saturating_sub(written);
        if written > 0 {
            self.progress = io.now();
        }
        match outcome {
            Flush::Done if self.blocked => {
                self.blocked = false;
                io.update_handler(&mut self.stream, self.handler, Interest::READABLE)?;
                if let Protocol::WebSocket(ws) = &mut self.protocol {
                    // Who takes bytes is alive; and while we did not read it, it could not say so.
                    ws.machine.heard(io.now());
                    // A pong that waited for this goes out with the next write.
                    let tail = self.out.tail(pool);
                    ws.machine.unblocked(tail);
                    if !tail.is_empty() {
                        *queued += tail.len();
                        return self.flush(io, pool, stats, queued);
                    }
                    self.out.clear(pool);
                }
            }
            Flush::Blocked if !self.blocked => {
                self.blocked = true;
                self.progress = io.now();
                let both = Interest::READABLE | Interest::WRITABLE;
                io.update_handler(&mut self.stream, self.handler, both)?;
            }
            Flush::Done | Flush::Blocked => {}
        }
        Ok(())
    }

    /// Whether traffic can only put the next deadline off, as for an open WebSocket that takes its
    /// output: then a timer that is armed already fires early enough.
    pub(crate) fn only_postpones(&self) -> bool {
        match &self.protocol {
            Protocol::WebSocket(ws) => !self.blocked && ws.machine.state() == State::Open,
            Protocol::Http(_) | Protocol::Policy(_) | Protocol::Closing(_) => false,
        }
    }

    /// When something is due that no byte will bring.
    pub(crate) fn deadline(&self, settings: &Settings, mounts: &[Limits]) -> Option<Instant> {
        let stall = self.blocked.then(|| self.progress + settings.write_timeout);
        let own = match &self.protocol {
            Protocol::Http(http) => http.deadline(settings),
            Protocol::WebSocket(ws) => ws.deadline(&mounts[ws.mount as usize]),
            Protocol::Policy(asking) => Some(asking.until),
            // Before that, the write time-out is what bounds it.
            Protocol::Closing(closing) => closing.until,
        };
        stall.into_iter().chain(own).min()
    }

    /// While we do not read, the peer cannot show that it lives: its deadlines stand still.
    /// True: they go on, and may be earlier than what was armed meanwhile.
    pub(crate) fn pause_or_resume(&mut self, now: Instant, settings: &Settings) -> bool {
        let reading = self.wants_input(settings);
        let Protocol::WebSocket(ws) = &mut self.protocol else {
            return false;
        };
        if !reading {
            ws.machine.pause();
            return false;
        }
        ws.machine.resume(now)
    }

    /// Bytes in its buffers.
    pub(crate) fn buffered(&self) -> usize {
        self.out.len() + self.held_input
    }

    /// Bytes that wait to be sent, those that a nonce has to come before among them.
    #[inline]
    pub(crate) fn waiting(&self) -> usize {
        let kept = match &self.protocol {
            Protocol::WebSocket(ws) => ws.machine.waiting(),
            Protocol::Http(_) | Protocol::Policy(_) | Protocol::Closing(_) => 0,
        };
        self.out.len() + kept
    }

    /// Whether there is input that was put off.
    #[inline]
    pub(crate) fn has_input(&self) -> bool {
        let left = matches!(&self.protocol, Protocol::WebSocket(ws) if ws.left.is_some());
        left || self.pending.is_some()
    }

    /// Keeps input for later.
    pub(crate) fn stash(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.pending
                .get_or_insert_default()
                .extend_from_slice(bytes);
        }
    }

    pub(crate) fn pending_len(&self) -> usize {
        self.pending.as_ref().map_or(0, |pending| pending.len())
    }

    pub(crate) fn ip(&self) -> Option<IpAddr> {
        self.peer.map(|peer| peer.ip().to_canonical())
    }

    /// Goes over to closing: what waits is written, and from then on the conn ends within `linger`.
    pub(crate) fn close(&mut self, linger: Duration) {
        self.pending = None;
        self.held = false;
        self.protocol = Protocol::Closing(Closing {
            linger,
            dropped: 0,
            until: None,
        });
    }
}

/// All accepted connections, and what they share.
pub(crate) struct Conns {
    pub(crate) arena: Arena<Conn>,
    pub(crate) pool: Pool,
    /// Conns with output that nobody has tried to write yet.
    pub(crate) dirty: Vec<ConnKey>,
    /// The conn whose input is being handled: it is flushed right after, not at the turn's end.
    pub(crate) current: Option<ConnKey>,
    /// Unwritten bytes of all conns.
    pub(crate) queued: usize,
    /// Bytes of input that is unfinished or put off: of all conns, of sends, in inboxes; and of what waits for a
    /// nonce.
    pub(crate) held_input: usize,
    pub(crate) now: Instant,
    /// The value of `Date`, of this second.
    pub(crate) date: [u8; 29],
    pub(crate) settings: Rc<Settings>,
    pub(crate) stats: Stats,
    pub(crate) rates: Rates,
    pub(crate) draining: bool,
    /// Conns to be cut as soon as the present callback has returned.
    pub(crate) cut: Vec<ConnKey>,
}

impl Conns {
    pub(crate) fn new(settings: Rc<Settings>) -> Self {
        Self {
            arena: Arena::new(),
            pool: Pool::default(),
            dirty: Vec::new(),
            current: None,
            queued: 0,
            held_input: 0,
            now: Instant::START,
            date: [b' '; 29],
            settings,
            stats: Stats::default(),
            rates: Rates::default(),
            draining: false,
            cut: Vec::new(),
        }
    }

    /// Bytes in the buffers of all conns.
    pub(crate) fn buffered(&self) -> usize {
        self.queued + self.held_input
    }

    /// Counts the input that a conn keeps, and the output that it cannot even queue yet.
    #[inline]
    pub(crate) fn count_input(&mut self, key: ConnKey) {
        let Some(conn) = self.arena.get_mut(key) else {
            return;
        };
        let kept = conn.pending_len()
            + match &conn.protocol {
                Protocol::Http(http) => http.reader.held_bytes(),
                Protocol::WebSocket(ws) => {
                    let left = ws.left.as_ref().map_or(0, |left| left.len());
                    ws.machine.held_bytes() + ws.machine.waiting() + left
                }
                Protocol::Policy(asking) => asking.asked.len(),
                Protocol::Closing(_) => 0,
            };
        self.held_input = self.held_input + kept - conn.held_input;
        conn.held_input = kept;
    }

    /// Takes a conn out.
    pub(crate) fn take(&mut self, key: ConnKey) -> Option<Conn> {
        let mut conn = self.arena.remove(key)?;
        self.queued = self.queued.saturating_sub(conn.out.len());
        self.held_input -= conn.held_input;
        conn.out.clear(&mut self.pool);
        Some(conn)
    }

    /// Notes that a conn has output; it is written at the end of the turn at the latest.
    pub(crate) fn mark_dirty(&mut self, key: ConnKey) {
        if self.current == Some(key) {
            return;
        }
        if let Some(conn) = self.arena.get_mut(key) {
            if !conn.dirty {
                conn.dirty = true;
                self.dirty.push(key);
            }
        }
    }

    /// Queues a WebSocket message.
    pub(crate) fn send(&mut self, key: ConnKey, kind: Kind, payload: &[u8]) -> Queued {
        if kind == Kind::Binary && !self.takes_binary(key) {
            return Queued::Unsupported;
        }
        self.queue(key, |ws, out, pool| {
            let tail = out.tail(pool);
            let before = tail.len();
            ws.machine
                .send(kind, payload, tail)
                .then(|| tail.len() - before)
        })
    }

    fn takes_binary(&self, key: ConnKey) -> bool {
        match self.arena.get(key).map(|conn| &conn.protocol) {
            Some(Protocol::WebSocket(ws)) => ws.machine.takes_frames(),
            Some(Protocol::Http(_) | Protocol::Policy(_) | Protocol::Closing(_)) | None => true,
        }
    }

    /// Queues a message whose frame exists already.
    pub(crate) fn send_frame(&mut self, key: ConnKey, frame: &Frame<'_>) -> Queued {
        self.queue(key, |ws, out, pool| {
            if !ws.machine.takes_frames() {
                let tail = out.tail(pool);
                let before = tail.len();
                let (kind, payload) = frame.of;
                let sent = ws.machine.send(kind, payload, tail);
                return sent.then(|| tail.len() - before);
            }
            if ws.machine.state() != State::Open {
                return None;
            }
            match &frame.shared {
                Some(bytes) => out.append_shared(Rc::clone(bytes), pool),
                None => out.append(frame.bytes, pool),
            }
            Some(frame.bytes.len())
        })
    }

    /// Queues what the protocol inside says at its end, however much waits already.
    pub(crate) fn send_last(&mut self, key: ConnKey, text: &[u8]) {
        let Some(conn) = self.arena.get_mut(key) else {
            return;
        };
        if let Protocol::WebSocket(ws) = &mut conn.protocol {
            let out = conn.out.tail(&mut self.pool);
            let before = out.len();
            ws.machine.send(Kind::Text, text, out);
            self.queued += out.len() - before;
        }
        self.count_input(key);
    }

    /// Queues a text message that has waited elsewhere: it is not counted again, and never too much.
    pub(crate) fn send_waiting(&mut self, key: ConnKey, text: &[u8]) {
        let high = self.settings.write_high_bytes;
        self.send_last(key, text);
        if let Some(conn) = self.arena.get_mut(key) {
            conn.full |= conn.waiting() > high;
        }
        self.mark_dirty(key);
    }

    /// Whether a conn is not read at the moment, and so cannot show that its peer lives.
    pub(crate) fn is_paused(&self, key: ConnKey) -> bool {
        self.arena
            .get(key)
            .is_some_and(|conn| conn.held || conn.full)
    }

    /// Begins the closing handshake. A code that may not be sent becomes 1000.
    pub(crate) fn close_websocket(&mut self, key: ConnKey, code: u16, reason: &str) {
        let Some(conn) = self.arena.get_mut(key) else {
            return;
        };
        let Protocol::WebSocket(ws) = &mut conn.protocol else {
            return;
        };
        ws.owner = 0;
        ws.session = 0;
        conn.held = false;
        let out = conn.out.tail(&mut self.pool);
        let before = out.len();
        if !ws.machine.close(Some(code), reason, self.now, out) {
            ws.machine.close(None, reason, self.now, out);
        }
        self.queued += out.len() - before;
        if ws.machine.state() == State::Closed {
            // A draft without a closing handshake: there is no answer to wait for.
            conn.close(self.settings.linger_timeout);
        }
        self.count_input(key);
        self.mark_dirty(key);
    }

    /// Bytes that wait to be written to a conn.
    pub(crate) fn waiting(&self, key: ConnKey) -> usize {
        self.arena.get(key).map_or(0, Conn::waiting)
    }

    /// Whether a conn has refused bytes.
    pub(crate) fn is_blocked(&self, key: ConnKey) -> bool {
        self.arena.get(key).is_some_and(|conn| conn.blocked)
    }

    fn queue(
        &mut self,
        key: ConnKey,
        put: impl FnOnce(&mut WebSocket, &mut WriteQueue, &mut Pool) -> Option<usize>,
    ) -> Queued {
        let Some(conn) = self.arena.get_mut(key) else {
            return Queued::Gone;
        };
        let Protocol::WebSocket(ws) = &mut conn.protocol else {
            return Queued::Gone;
        };
        let waiting = conn.out.len() + ws.machine.waiting();
        if waiting >= self.settings.write_max_bytes {
            return Queued::OverMax;
        }
        let Some(added) = put(ws, &mut conn.out, &mut self.pool) else {
            return Queued::Gone;
        };
        let kept = ws.machine.waiting();
        self.queued += added;
        self.stats.messages_out += 1;
        let over = conn.out.len() + kept > self.settings.write_high_bytes;
        conn.full |= over;
        if kept > 0 {
            self.count_input(key);
        }
        self.mark_dirty(key);
        if over { Queued::OverHigh } else { Queued::Yes }
    }
}

/// A WebSocket frame made once for many, and what it holds, for whom it is framed otherwise.
pub(crate) struct Frame<'a> {
    bytes: &'a [u8],
    /// Where it is large.
    shared: Option<Rc<[u8]>>,
    of: (Kind, &'a [u8]),
}

impl<'a> Frame<'a> {
    /// Shared, if that pays.
    pub(crate) fn of(bytes: &'a [u8], of: (Kind, &'a [u8])) -> Self {
        let shared = (bytes.len() >= SHARED_BYTES_MIN).then(|| Rc::from(bytes));
        Self { bytes, shared, of }
    }

    /// For a few, or small.
    pub(crate) fn plain(bytes: &'a [u8], of: (Kind, &'a [u8])) -> Self {
        let shared = None;
        Self { bytes, shared, of }
    }
}

/// The address of a peer, as far as it has one.
pub(crate) fn address(peer: &Peer) -> Option<std::net::SocketAddr> {
    match peer {
        Peer::Tcp(address) => Some(*address),
        Peer::Unix => None,
    }
}
