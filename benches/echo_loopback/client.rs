//! The load client: one thread, one poll, many conns.
//!
//! For each readiness event it reads once and writes at most once; what it writes was prepared
//! before the clock started, and what it reads is compared byte for byte with prepared bytes. A
//! differing, missing or surplus reply ends the run with an error.
//!
//! Not here: what the bytes mean (`codec.rs`); the server's side of the account (`server.rs`).

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::SockRef;

use crate::codec::{Codec, Open, Part};

/// What is kept in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// So many messages on every conn; each is answered on the same conn.
    Echo { depth: usize },
    /// So many messages of the first conn; each reaches every conn, the first included.
    Broadcast { window: usize },
    /// Conns in pairs: the second of each sends one message; the next when it has its answer, and the
    /// first of the pair has heard the message.
    Pairs,
}

impl Load {
    fn in_flight_max(self) -> usize {
        match self {
            Self::Echo { depth } => depth,
            Self::Broadcast { window } => window,
            Self::Pairs => 1,
        }
    }
}

/// Different messages that follow each other on a conn, so that replies out of order show.
const MESSAGES: usize = 16;
const BUFFER_BYTES: usize = 512 << 10;
/// Conns that are being opened at the same time.
const OPENING_MAX: usize = 128;
const OPEN_WITHIN: Duration = Duration::from_secs(60);
/// A server that answers nothing for so long is stalled.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// Prepared bytes: what is said over and over, and what is heard.
struct Tape {
    bytes: Vec<u8>,
    /// Where each message ends, up to the cycle.
    ends: Vec<usize>,
    /// Bytes after which the messages repeat.
    cycle: usize,
    /// What may differ, in the first cycle.
    ignored: Vec<Range<usize>>,
}

impl Tape {
    /// A slice of up to `ahead` bytes can be taken at every offset under the cycle.
    fn new(message: impl Fn(usize) -> Part, count: usize, ahead: usize) -> Result<Self, String> {
        let (mut cycle, mut ends, mut ignored) = (Vec::new(), Vec::new(), Vec::new());
        for Part { bytes, ignored: of } in (0..count).map(message) {
            if bytes.is_empty() {
                return Err("a codec must make no empty messages".to_owned());
            }
            let start = cycle.len();
            ignored.extend((!of.is_empty()).then_some(start + of.start..start + of.end));
            cycle.extend(bytes);
            ends.push(cycle.len());
        }
        let len = cycle.len();
        let bytes = cycle.into_iter().cycle().take(len + ahead).collect();
        Ok(Self {
            bytes,
            ends,
            cycle: len,
            ignored,
        })
    }

    /// How many messages end within `n` bytes from an offset under the cycle.
    fn ended(&self, from: usize, n: usize) -> usize {
        let before = |at: usize| {
            let whole = at / self.cycle * self.ends.len();
            whole + self.ends.partition_point(|end| *end <= at % self.cycle)
        };
        before(from + n) - before(from)
    }

    /// The bytes of `count` messages from the one at an offset.
    fn len_of(&self, from: usize, count: usize) -> usize {
        let first = self.ends.partition_point(|end| *end <= from);
        let last = first + count - 1;
        let whole = last / self.ends.len() * self.cycle;
        whole + self.ends[last % self.ends.len()] - from
    }
}

struct Conn {
    stream: TcpStream,
    opening: Option<Opening>,
    /// Where on the send tape the next byte is, and how many may go.
    send_at: usize,
    owed: usize,
    /// Where on the send tape the next message is.
    next_at: usize,
    /// Where on the reply tape the next byte is.
    reply_at: usize,
    /// Messages sent whose reply has not come (of the first conn only, in a broadcast).
    in_flight: usize,
    /// Replies so far.
    replies: u64,
}

#[derive(Default)]
struct Opening {
    step: usize,
    input: Vec<u8>,
    output: Vec<u8>,
}

/// Conns to one server, opened and ready.
pub(crate) struct Client {
    poll: Poll,
    events: Events,
    conns: Vec<Conn>,
    /// One for all conns, or one for each.
    send: Vec<Tape>,
    /// One for all conns; of pairs, what the first hears and what the second does.
    reply: Vec<Tape>,
    load: Load,
    /// Replies that make one message of the case.
    steps: u64,
    buffer: Vec<u8>,
    /// No new messages.
    draining: bool,
    /// Replies that have come.
    replies: u64,
    /// Broadcast: messages published, and how many conns have had each of those in flight.
    published: u64,
    completed: u64,
    had: Vec<usize>,
}

/// A readable payload, different for each serial number and `len` bytes long.
fn payload(len: usize, serial: usize) -> Vec<u8> {
    let mut payload = format!("{serial:02} ").into_bytes();
    payload.extend((b'a'..=b'z').cycle().skip(serial).take(len));
    payload.truncate(len);
    payload
}

impl Client {
    /// Opens `conns` conns; none has said anything after its handshake.
    pub(crate) fn open(
        addr: SocketAddr,
        codec: &dyn Codec,
        conns: usize,
        payload_len: usize,
        load: Load,
    ) -> Result<Self, String> {
        if !addr.ip().is_loopback() {
            return Err(format!("{addr} is not a loopback address"));
        }
        codec.begin();
        let steps = codec.steps();
        let count = MESSAGES * steps;
        let send_tape = |conn: usize| {
            let message = |serial: usize| {
                codec.message(conn, &payload(payload_len, serial / steps), serial as u32)
            };
            let one = (0..steps).map(|serial| message(serial).len()).max();
            let ahead = one.unwrap_or_default() * load.in_flight_max();
            Tape::new(|serial| message(serial).into(), count, ahead)
        };
        let tapes = if codec.differs() { conns } else { 1 };
        let send = (0..tapes).map(send_tape).collect::<Result<_, _>>()?;
        let reply_tape = |role: usize| {
            let part = |serial: usize| {
                codec.reply(role, &payload(payload_len, serial / steps), serial as u32)
            };
            Tape::new(part, count, BUFFER_BYTES)
        };
        let roles = if load == Load::Pairs { 2 } else { 1 };
        let reply = (0..roles).map(reply_tape).collect::<Result<_, _>>()?;
        let mut client = Self {
            poll: Poll::new().map_err(|error| format!("poll: {error}"))?,
            events: Events::with_capacity(1024),
            conns: Vec::with_capacity(conns),
            send,
            reply,
            load,
            steps: steps as u64,
            buffer: vec![0; BUFFER_BYTES],
            draining: false,
            replies: 0,
            published: 0,
            completed: 0,
            had: vec![0; load.in_flight_max()],
        };
        client.open_all(addr, codec, conns)?;
        Ok(client)
    }

    fn open_all(
        &mut self,
        addr: SocketAddr,
        codec: &dyn Codec,
        count: usize,
    ) -> Result<(), String> {
        let deadline = Instant::now() + OPEN_WITHIN;
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        let mut opened = 0;
        while opened < count {
            while self.conns.len() < count && self.conns.len() - opened < OPENING_MAX {
                self.connect(addr).map_err(|error| {
                    format!("conn {} of {count}: {error}", self.conns.len() + 1)
                })?;
            }
            if Instant::now() > deadline {
                return Err(format!(
                    "only {opened} of {count} conns opened in {OPEN_WITHIN:?}"
                ));
            }
            self.poll(&mut events, Duration::from_millis(100))?;
            for event in &events {
                let at = event.token().0;
                if self.conns[at].opening.is_some() && self.go_on_opening(at, codec)? {
                    opened += 1;
                }
            }
        }
        self.events = events;
        Ok(())
    }

    fn connect(&mut self, addr: SocketAddr) -> std::io::Result<()> {
        let mut stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        // Closing must leave no port in TIME_WAIT: rounds of many conns would run out of ports.
        SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
        let token = Token(self.conns.len());
        self.poll.registry().register(
            &mut stream,
            token,
            Interest::READABLE | Interest::WRITABLE,
        )?;
        self.conns.push(Conn {
            stream,
            opening: Some(Opening::default()),
            send_at: 0,
            owed: 0,
            next_at: 0,
            reply_at: 0,
            in_flight: 0,
            replies: 0,
        });
        Ok(())
    }

    /// Answers whether the conn is open now.
    fn go_on_opening(&mut self, at: usize, codec: &dyn Codec) -> Result<bool, String> {
        let conn = &mut self.conns[at];
        let Some(opening) = &mut conn.opening else {
            return Ok(true);
        };
        let failed = |error: std::io::Error| format!("conn {}: {error}", at + 1);
        if let Some(error) = conn.stream.take_error().map_err(failed)? {
            return Err(failed(error));
        }
        match conn.stream.peer_addr() {
            Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(false),
            other => other.map_err(failed)?,
        };
        if opening.step > 0 {
            loop {
                match conn.stream.read(&mut self.buffer) {
                    Ok(0) => return Err(format!("conn {}: closed in its handshake", at + 1)),
                    Ok(n) => opening.input.extend_from_slice(&self.buffer[..n]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(failed(error)),
                }
            }
        }
        loop {
            while !opening.output.is_empty() {
                match conn.stream.write(&opening.output) {
                    Ok(n) => drop(opening.output.drain(..n)),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                    Err(error) => return Err(failed(error)),
                }
            }
            match codec.open(at, opening.step, &opening.input)? {
                Open::Wait => return Ok(false),
                Open::Send { used, bytes } => {
                    opening.input.drain(..used);
                    opening.output = bytes;
                    opening.step += 1;
                }
                Open::Done { used } => {
                    if used < opening.input.len() {
                        return Err(format!("conn {}: bytes nobody asked for", at + 1));
                    }
                    conn.opening = None;
                    return Ok(true);
                }
            }
        }
    }

    /// Sends the first messages.
    pub(crate) fn start(&mut self) -> Result<(), String> {
        match self.load {
            Load::Echo { depth } => {
                for at in 0..self.conns.len() {
                    self.push(at, depth)?;
                }
            }
            Load::Broadcast { window } => self.push(0, window)?,
            Load::Pairs => {
                for at in (1..self.conns.len()).step_by(2) {
                    self.push(at, 1)?;
                }
            }
        }
        Ok(())
    }

    /// Keeps the load up for so long and answers how many replies came.
    pub(crate) fn run(&mut self, time: Duration) -> Result<u64, String> {
        let before = self.replies;
        let begun = Instant::now();
        let mut last_heard = begun;
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        loop {
            let now = Instant::now();
            let Some(left) = time.checked_sub(now - begun).filter(|left| !left.is_zero()) else {
                break;
            };
            if now - last_heard > SILENCE_MAX {
                return Err(format!("no reply for {SILENCE_MAX:?}"));
            }
            if self.turn(&mut events, left)? {
                last_heard = now;
            }
        }
        self.events = events;
        Ok((self.replies - before) / self.steps)
    }

    /// Sends nothing new and waits for all that is in flight; then nothing more may come.
    pub(crate) fn drain(&mut self) -> Result<(), String> {
        self.draining = true;
        let deadline = Instant::now() + SILENCE_MAX;
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        while self.is_owed() {
            if Instant::now() > deadline {
                return Err("replies are missing".to_owned());
            }
            self.turn(&mut events, Duration::from_millis(100))?;
        }
        // A surplus reply is an error in `receive`; it would be here by now or very soon.
        self.turn(&mut events, Duration::from_millis(5))?;
        self.events = events;
        Ok(())
    }

    fn is_owed(&self) -> bool {
        match self.load {
            Load::Echo { .. } | Load::Pairs => self.conns.iter().any(|conn| conn.in_flight > 0),
            Load::Broadcast { .. } => self.completed < self.published,
        }
    }

    fn poll(&mut self, events: &mut Events, timeout: Duration) -> Result<(), String> {
        match self.poll.poll(events, Some(timeout)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => Err(format!("poll: {error}")),
            _ => Ok(()),
        }
    }

    /// Answers whether anything came.
    fn turn(&mut self, events: &mut Events, timeout: Duration) -> Result<bool, String> {
        let before = self.replies;
        self.poll(events, timeout)?;
        let mut heard = false;
        for event in &*events {
            let at = event.token().0;
            if event.is_readable() {
                heard = true;
                self.receive(at)?;
            } else if event.is_writable() && self.conns[at].owed > 0 {
                self.flush(at)?;
            }
        }
        Ok(heard || self.replies > before)
    }

    /// Reads, compares, and sends what the replies make room for.
    fn receive(&mut self, at: usize) -> Result<(), String> {
        let mut came = 0;
        let reply = &self.reply[at % self.reply.len()];
        loop {
            let conn = &mut self.conns[at];
            let n = match conn.stream.read(&mut self.buffer) {
                Ok(0) => return Err(format!("conn {}: closed by the server", at + 1)),
                Ok(n) => n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(format!("conn {}: {error}", at + 1)),
            };
            let expected = &reply.bytes[conn.reply_at..][..n];
            if self.buffer[..n] != *expected
                && !same(&self.buffer[..n], expected, conn.reply_at, reply)
            {
                let shown = String::from_utf8_lossy(&self.buffer[..n.min(60)]).into_owned();
                return Err(format!("conn {}: a wrong reply: {shown:?}", at + 1));
            }
            came += reply.ended(conn.reply_at, n);
            conn.reply_at = (conn.reply_at + n) % reply.cycle;
            // The poll is edge-triggered; a short read has emptied the socket.
            if n < self.buffer.len() {
                break;
            }
        }
        if came == 0 {
            return Ok(());
        }
        if self.load != Load::Pairs {
            self.replies += came as u64;
        }
        match self.load {
            Load::Echo { .. } => {
                let conn = &mut self.conns[at];
                conn.in_flight = conn
                    .in_flight
                    .checked_sub(came)
                    .ok_or_else(|| format!("conn {}: more replies than messages", at + 1))?;
                if !self.draining {
                    self.push(at, came)?;
                }
            }
            Load::Pairs => {
                let sender = at | 1;
                let conn = &mut self.conns[sender];
                conn.replies += came as u64;
                if conn.replies > 2 {
                    return Err(format!("conn {}: more replies than messages", at + 1));
                }
                if conn.replies == 2 {
                    conn.replies = 0;
                    conn.in_flight -= 1;
                    self.replies += 1;
                    if !self.draining {
                        self.push(sender, 1)?;
                    }
                }
            }
            Load::Broadcast { window } => {
                let all = self.conns.len();
                let conn = &mut self.conns[at];
                let first = conn.replies;
                conn.replies += came as u64;
                if conn.replies > self.published {
                    return Err(format!("conn {}: more replies than messages", at + 1));
                }
                for serial in first..conn.replies {
                    self.had[serial as usize % window] += 1;
                }
                let mut done = 0;
                // In order: a conn that has had a message has had those before it.
                while self.completed < self.published
                    && self.had[self.completed as usize % window] == all
                {
                    self.had[self.completed as usize % window] = 0;
                    self.completed += 1;
                    done += 1;
                }
                if done > 0 && !self.draining {
                    self.push(0, done)?;
                }
            }
        }
        Ok(())
    }

    /// Sends `count` more messages on a conn.
    fn push(&mut self, at: usize, count: usize) -> Result<(), String> {
        let tape = &self.send[at % self.send.len()];
        let conn = &mut self.conns[at];
        let len = tape.len_of(conn.next_at, count);
        conn.next_at = (conn.next_at + len) % tape.cycle;
        conn.owed += len;
        conn.in_flight += count;
        self.published += count as u64;
        self.flush(at)
    }

    fn flush(&mut self, at: usize) -> Result<(), String> {
        let tape = &self.send[at % self.send.len()];
        let conn = &mut self.conns[at];
        while conn.owed > 0 {
            match conn.stream.write(&tape.bytes[conn.send_at..][..conn.owed]) {
                Ok(n) => {
                    conn.owed -= n;
                    conn.send_at = (conn.send_at + n) % tape.cycle;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(format!("conn {}: {error}", at + 1)),
            }
        }
        Ok(())
    }
}

/// Compares what may differ in parts of the replies.
fn same(came: &[u8], expected: &[u8], start: usize, tape: &Tape) -> bool {
    let may_differ = |at: usize| tape.ignored.iter().any(|range| range.contains(&at));
    let mut pairs = came.iter().zip(expected).enumerate();
    pairs.all(|(i, (a, b))| a == b || may_differ((start + i) % tape.cycle))
}
