//! The load client: one thread, one poll, many conns.
//!
//! For each readiness event it reads once and writes at most once; what it writes was prepared
//! before the clock started, and what it reads is compared byte for byte with prepared bytes. A
//! differing, missing or surplus reply ends the run with an error.
//!
//! The conns are told apart by session and line: conn `line * sessions + session`. With one line,
//! which most protocols have, conn and session are the same number.
//!
//! Not here: what the bytes mean (`codec.rs`); the server's side of the account (`server.rs`).

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::SockRef;

use crate::codec::{Codec, Open, Reply, name_seed};

/// What is kept in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// So many messages of every session; each comes back to it. More than one at a time only where
    /// a message is one step on one line.
    Echo { depth: usize },
    /// So many messages of the first session; each reaches every session, the first included. A
    /// message is one step on one line.
    Broadcast { window: usize },
}

impl Load {
    fn in_flight_max(self) -> usize {
        match self {
            Self::Echo { depth } => depth,
            Self::Broadcast { window } => window,
        }
    }
}

/// Different messages that follow each other in a session, so that replies out of order show.
const MESSAGES: usize = 16;
const BUFFER_BYTES: usize = 512 << 10;
/// Conns that are being opened at the same time.
const OPENING_MAX: usize = 128;
const OPEN_WITHIN: Duration = Duration::from_secs(60);
/// A server that answers nothing for so long is stalled.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// Prepared bytes of one line: what is said over and over, or what is heard.
#[derive(Default)]
struct Tape {
    bytes: Vec<u8>,
    /// Where each part ends, a request or a reply. They repeat after the last.
    ends: Vec<usize>,
    /// What may differ, up to the last end; in order.
    ignored: Vec<Range<usize>>,
}

impl Tape {
    fn push(&mut self, part: &Reply) {
        let start = self.bytes.len();
        let moved = |range: &Range<usize>| start + range.start..start + range.end;
        self.ignored.extend(part.ignored.iter().map(moved));
        self.bytes.extend_from_slice(&part.bytes);
        self.ends.push(self.bytes.len());
    }

    /// Bytes after which the parts repeat.
    fn cycle(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// A slice of up to `ahead` bytes can then be taken at every offset under the cycle.
    fn extend(&mut self, ahead: usize) {
        let repeated: Vec<u8> = self.bytes.iter().copied().cycle().take(ahead).collect();
        self.bytes.extend(repeated);
    }
}

/// What sessions do: the steps of all messages, and the bytes they say in them.
struct Script {
    say: Vec<Tape>,
    steps: Vec<Turn>,
    steps_per_message: usize,
}

/// One step: for each line, the bytes that go out on it and the replies due on it.
struct Turn {
    lines: Vec<(usize, usize)>,
    replies: usize,
}

impl Script {
    /// Adds what is heard to `hear`, a tape for each line.
    fn new(
        codec: &dyn Codec,
        name: &str,
        payload_len: usize,
        hear: &mut [Tape],
    ) -> Result<Self, String> {
        let mut script = Self {
            say: (0..hear.len()).map(|_| Tape::default()).collect(),
            steps: Vec::new(),
            steps_per_message: 0,
        };
        for serial in 0..MESSAGES {
            let steps = codec.message(name, &payload(payload_len, serial), serial as u32);
            if serial == 0 {
                script.steps_per_message = steps.len();
            }
            if steps.is_empty() || steps.len() != script.steps_per_message {
                return Err("a codec must make messages of so many steps".to_owned());
            }
            for step in steps {
                let replies = step.hear.len();
                let mut lines = vec![(0, 0); hear.len()];
                for (line, bytes) in step.say {
                    lines[line].0 += bytes.len();
                    script.say[line].push(&bytes.into());
                }
                for (line, reply) in step.hear {
                    if reply.bytes.is_empty() {
                        return Err("a reply must have bytes".to_owned());
                    }
                    lines[line].1 += 1;
                    hear[line].push(&reply);
                }
                if replies == 0 {
                    return Err("a step must have a reply".to_owned());
                }
                script.steps.push(Turn { lines, replies });
            }
        }
        Ok(script)
    }

    /// Lets slices of the bytes of `depth` steps be taken everywhere.
    fn extend(&mut self, depth: usize) {
        for (line, tape) in self.say.iter_mut().enumerate() {
            let largest = self.steps.iter().map(|step| step.lines[line].0).max();
            tape.extend(largest.unwrap_or(0) * depth);
        }
    }
}

struct Session {
    name: String,
    /// Its script; sessions may share one.
    script: usize,
    /// The next step to begin, and the first one that lacks replies.
    next: usize,
    current: usize,
    /// Replies of the current step that have come.
    heard: usize,
    /// Broadcasts that have come.
    broadcasts: u64,
}

struct Conn {
    stream: TcpStream,
    opening: Option<Opening>,
    /// Where on the tape of its line the next byte to be sent is, and how many may go.
    send_at: usize,
    owed: usize,
    /// Where on the reply tape the next byte is, and which reply it belongs to.
    reply_at: usize,
    reply: usize,
    /// Replies that have not come. A broadcast does not count them here.
    due: usize,
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
    sessions: Vec<Session>,
    scripts: Vec<Script>,
    /// What is heard on each line, in all sessions.
    hear: Vec<Tape>,
    load: Load,
    buffer: Vec<u8>,
    /// No new messages.
    draining: bool,
    /// Messages that have come back, or broadcasts that have come.
    replies: u64,
    /// Broadcast: messages published, and how many sessions have had each of those in flight.
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
    /// Opens so many sessions; none has said anything after its opening.
    pub(crate) fn open(
        addr: SocketAddr,
        codec: &dyn Codec,
        sessions: usize,
        payload_len: usize,
        load: Load,
    ) -> Result<Self, String> {
        if !addr.ip().is_loopback() {
            return Err(format!("{addr} is not a loopback address"));
        }
        let lines = codec.lines();
        let seed = name_seed();
        let mut client = Self {
            poll: Poll::new().map_err(|error| format!("poll: {error}"))?,
            events: Events::with_capacity(1024),
            conns: Vec::with_capacity(sessions * lines),
            sessions: (0..sessions as u32)
                .map(|at| Session {
                    name: format!("{:08x}", seed.wrapping_add(at)),
                    script: 0,
                    next: 0,
                    current: 0,
                    heard: 0,
                    broadcasts: 0,
                })
                .collect(),
            scripts: Vec::new(),
            hear: Vec::new(),
            load,
            buffer: vec![0; BUFFER_BYTES],
            draining: false,
            replies: 0,
            published: 0,
            completed: 0,
            had: vec![0; load.in_flight_max()],
        };
        for line in 0..lines {
            client.open_line(addr, codec, line)?;
        }
        client.prepare(codec, payload_len)?;
        Ok(client)
    }

    /// Prepares all bytes that will be said or heard.
    fn prepare(&mut self, codec: &dyn Codec, payload_len: usize) -> Result<(), String> {
        let tapes = || -> Vec<Tape> { (0..codec.lines()).map(|_| Tape::default()).collect() };
        let scripts = match codec.says_name() {
            true => self.sessions.len(),
            false => 1,
        };
        for at in 0..scripts {
            let mut hear = tapes();
            let name = &self.sessions[at].name;
            let mut script = Script::new(codec, name, payload_len, &mut hear)?;
            script.extend(self.load.in_flight_max());
            self.sessions[at].script = at;
            self.scripts.push(script);
            if at == 0 {
                self.hear = hear;
            }
        }
        self.hear
            .iter_mut()
            .for_each(|tape| tape.extend(BUFFER_BYTES));
        let simple = codec.lines() == 1 && self.scripts[0].steps_per_message == 1;
        match self.load {
            Load::Echo { depth: 1 } => Ok(()),
            _ if simple => Ok(()),
            _ => Err("this load needs messages of one step on one line".to_owned()),
        }
    }

    /// Opens that line of all sessions.
    fn open_line(
        &mut self,
        addr: SocketAddr,
        codec: &dyn Codec,
        line: usize,
    ) -> Result<(), String> {
        let deadline = Instant::now() + OPEN_WITHIN;
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        let mut opened = line * self.sessions.len();
        let count = opened + self.sessions.len();
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
                if self.conns[at].opening.is_some() && self.go_on_opening(at, line, codec)? {
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
            reply_at: 0,
            reply: 0,
            due: 0,
        });
        Ok(())
    }

    /// Answers whether the conn is open now.
    fn go_on_opening(&mut self, at: usize, line: usize, codec: &dyn Codec) -> Result<bool, String> {
        let session = at % self.sessions.len();
        let name = &mut self.sessions[session].name;
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
            match codec.open(line, name, opening.step, &opening.input)? {
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
                for at in 0..self.sessions.len() {
                    self.push(at, depth)?;
                }
            }
            Load::Broadcast { window } => self.push(0, window)?,
        }
        Ok(())
    }

    /// Keeps the load up for so long and answers how many messages came back.
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
        Ok(self.replies - before)
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
            Load::Echo { .. } => self.conns.iter().any(|conn| conn.due > 0),
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
        let (line, session) = (at / self.sessions.len(), at % self.sessions.len());
        let tape = &self.hear[line];
        let conn = &mut self.conns[at];
        let mut came = 0;
        loop {
            let n = match conn.stream.read(&mut self.buffer) {
                Ok(0) => return Err(format!("conn {}: closed by the server", at + 1)),
                Ok(n) => n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(format!("conn {}: {error}", at + 1)),
            };
            let input = &self.buffer[..n];
            // Nothing is expected on a line without replies.
            let expected = tape.bytes.get(conn.reply_at..conn.reply_at + n);
            let expected = expected.unwrap_or_default();
            if input != expected && !same(input, expected, conn.reply_at, tape) {
                let shown = String::from_utf8_lossy(&input[..n.min(60)]).into_owned();
                return Err(format!("conn {}: a wrong reply: {shown:?}", at + 1));
            }
            conn.reply_at += n;
            while conn.reply_at >= tape.ends[conn.reply] {
                came += 1;
                conn.reply += 1;
                if conn.reply == tape.ends.len() {
                    conn.reply_at -= tape.ends[conn.reply - 1];
                    conn.reply = 0;
                }
            }
            // The poll is edge-triggered; a short read has emptied the socket.
            if n < self.buffer.len() {
                break;
            }
        }
        match came {
            0 => Ok(()),
            _ => match self.load {
                Load::Echo { .. } => self.echoed(at, session, came),
                Load::Broadcast { window } => self.broadcast_came(session, came, window),
            },
        }
    }

    /// So many replies have come on a conn: the session goes on.
    fn echoed(&mut self, at: usize, session: usize, came: usize) -> Result<(), String> {
        let conn = &mut self.conns[at];
        conn.due = conn
            .due
            .checked_sub(came)
            .ok_or_else(|| format!("conn {}: more replies than messages", at + 1))?;
        let state = &mut self.sessions[session];
        let script = &self.scripts[state.script];
        state.heard += came;
        let mut done = 0;
        while state.heard >= script.steps[state.current].replies {
            state.heard -= script.steps[state.current].replies;
            state.current = (state.current + 1) % script.steps.len();
            done += 1;
            if state.current % script.steps_per_message == 0 {
                self.replies += 1;
            }
        }
        // A message that has begun is ended.
        let is_between = state.next % script.steps_per_message == 0;
        if done > 0 && !(self.draining && is_between) {
            self.push(session, done)?;
        }
        Ok(())
    }

    fn broadcast_came(&mut self, session: usize, came: usize, window: usize) -> Result<(), String> {
        let all = self.sessions.len();
        let state = &mut self.sessions[session];
        self.replies += came as u64;
        let first = state.broadcasts;
        state.broadcasts += came as u64;
        if state.broadcasts > self.published {
            return Err(format!("conn {}: more replies than messages", session + 1));
        }
        for serial in first..state.broadcasts {
            self.had[serial as usize % window] += 1;
        }
        let mut done = 0;
        // In order: a session that has had a message has had those before it.
        while self.completed < self.published && self.had[self.completed as usize % window] == all {
            self.had[self.completed as usize % window] = 0;
            self.completed += 1;
            done += 1;
        }
        if done > 0 && !self.draining {
            self.push(0, done)?;
        }
        Ok(())
    }

    /// Begins `count` more steps of a session.
    fn push(&mut self, session: usize, count: usize) -> Result<(), String> {
        let sessions = self.sessions.len();
        let state = &mut self.sessions[session];
        let script = &self.scripts[state.script];
        for _ in 0..count {
            for (line, (bytes, replies)) in script.steps[state.next].lines.iter().enumerate() {
                let conn = &mut self.conns[line * sessions + session];
                conn.owed += bytes;
                conn.due += replies;
            }
            state.next = (state.next + 1) % script.steps.len();
        }
        self.published += count as u64;
        for line in 0..self.hear.len() {
            self.flush(line * sessions + session)?;
        }
        Ok(())
    }

    fn flush(&mut self, at: usize) -> Result<(), String> {
        let (line, session) = (at / self.sessions.len(), at % self.sessions.len());
        let tape = &self.scripts[self.sessions[session].script].say[line];
        let conn = &mut self.conns[at];
        while conn.owed > 0 {
            match conn.stream.write(&tape.bytes[conn.send_at..][..conn.owed]) {
                Ok(n) => {
                    conn.owed -= n;
                    conn.send_at = (conn.send_at + n) % tape.cycle();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(format!("conn {}: {error}", at + 1)),
            }
        }
        Ok(())
    }
}

/// Compares input that begins at `start` of the tape, where parts may differ.
fn same(came: &[u8], expected: &[u8], start: usize, tape: &Tape) -> bool {
    let cycle = tape.cycle();
    let may_differ = |at: usize| {
        let next = tape.ignored.partition_point(|range| range.end <= at);
        tape.ignored
            .get(next)
            .is_some_and(|range| range.start <= at)
    };
    came.len() == expected.len()
        && came
            .iter()
            .zip(expected)
            .enumerate()
            .all(|(i, (a, b))| a == b || may_differ((start + i) % cycle))
}
