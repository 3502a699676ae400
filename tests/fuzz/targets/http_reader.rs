//! The reader of requests under a list of operations: bytes, time, answers. What it finds does not
//! depend on how the bytes between two other operations were cut.
//!
//! Input: an option, then operations; see [`Op`].

use dustdevil::proto::http::chunked::BodyLimits;
use dustdevil::proto::http::head::{Head, HeadLimits, slots};
use dustdevil::proto::http::reader::{Expired, Reader, Timeouts};
use dustdevil::storage::input::Input;
use dustdevil::time::Instant;
use std::borrow::Cow;
use std::time::Duration;

use super::cuts;
use super::ops::Ops;

enum Op {
    /// Bytes come.
    Feed(Vec<u8>),
    /// Time passes, in tenths of a second, and the timer looks.
    Advance(u8),
    /// The request has been answered.
    Finish,
}

#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Head(Vec<u8>),
    Body(Vec<u8>),
    Refused(u16),
    Expired(Expired),
}

/// The last byte: answers at once or when an operation says so, and small limits or not. The cuts come
/// before it, the operations before them.
pub(crate) fn run(data: &[u8]) {
    let Some((&flags, data)) = data.split_last() else {
        return;
    };
    let (data, cuts) = cuts::split_cuts(data);
    let ops = read(data);
    let whole = play(&ops, flags, &[]);
    assert_eq!(whole, play(&ops, flags, &cuts), "cut by {cuts:?}");
    assert_eq!(whole, play(&ops, flags, &[1]), "byte after byte");
}

fn read(data: &[u8]) -> Vec<Op> {
    let mut input = Ops(data);
    let mut ops = Vec::new();
    while let Some(op) = input.byte() {
        let op = match op {
            b'a' => Op::Advance(input.byte().unwrap_or(0)),
            b'f' => Op::Finish,
            _ => Op::Feed(input.some().to_vec()),
        };
        match (ops.last_mut(), op) {
            (Some(Op::Feed(last)), Op::Feed(more)) => last.extend(more),
            (_, op) => ops.push(op),
        }
    }
    ops
}

/// A reader with what a conn has around it.
struct Conn {
    reader: Reader,
    limits: (HeadLimits, BodyLimits, Timeouts),
    now: Instant,
    /// What came while a request was handled.
    pending: Vec<u8>,
    handling: bool,
    /// Requests are answered at once.
    at_once: bool,
    failed: bool,
    seen: Vec<Seen>,
}

fn play(ops: &[Op], flags: u8, cuts: &[usize]) -> Vec<Seen> {
    let mut conn = Conn {
        reader: Reader::new(Instant::START),
        limits: limits(flags),
        now: Instant::START,
        pending: Vec::new(),
        handling: false,
        at_once: flags & 1 == 0,
        failed: false,
        seen: Vec::new(),
    };
    for op in ops {
        match op {
            Op::Feed(bytes) => {
                for piece in cuts::pieces(bytes, cuts) {
                    conn.feed(piece);
                }
            }
            Op::Advance(by) => conn.advance(*by),
            Op::Finish if conn.handling => conn.finish(),
            Op::Finish => {}
        }
    }
    conn.seen
}

fn limits(flags: u8) -> (HeadLimits, BodyLimits, Timeouts) {
    let (mut head, mut body) = (HeadLimits::default(), BodyLimits::default());
    if flags & 2 != 0 {
        head.head_bytes_max = 100;
        head.request_line_bytes_max = 40;
        head.headers_max = 3;
        body.body_bytes_max = 20;
    }
    (head, body, Timeouts::default())
}

impl Conn {
    fn feed(&mut self, piece: &[u8]) {
        self.pending.extend_from_slice(piece);
        self.go_on();
    }

    fn go_on(&mut self) {
        let mut bytes = std::mem::take(&mut self.pending);
        let mut input = Input::new(&mut bytes);
        while !self.failed && !self.handling && !input.is_empty() {
            match self.step(&mut input) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    self.seen.push(Seen::Refused(error.status()));
                    self.failed = true;
                    // Nothing more is read, and nothing is waited for.
                    let left = input.len();
                    let more = self.reader.poll_head(&mut input, &self.limits.0, self.now);
                    assert!(matches!(more, Ok(None)) && input.len() == left);
                    assert_eq!(self.reader.poll_timeout(&self.limits.2), None);
                }
            }
            if self.handling && self.at_once {
                self.reader.finish(self.now);
                self.handling = false;
                assert!(self.reader.is_idle());
            }
        }
        if !self.failed {
            assert!(self.handling || input.is_empty(), "bytes are left");
            self.pending = input.rest().to_vec();
        }
    }

    /// Whether there may be more.
    fn step(&mut self, input: &mut Input<'_>) -> Result<bool, dustdevil::proto::http::Error> {
        if self.reader.is_reading_body() {
            let Some(body) = self.reader.poll_body(input, self.now)? else {
                return Ok(false);
            };
            let head = self.reader.take_head();
            self.seen.push(Seen::Head(head));
            self.seen.push(Seen::Body(body.into_owned()));
            self.handling = true;
            return Ok(true);
        }
        let Some(raw) = self.reader.poll_head(input, &self.limits.0, self.now)? else {
            return Ok(false);
        };
        let raw: Cow<'_, [u8]> = raw;
        let framing = {
            let mut slots = slots();
            let head = Head::parse(&raw, &mut slots);
            head.and_then(|head| head.framing())
        };
        let framing = match framing {
            Ok(framing) => framing,
            Err(error) => {
                // The server closes, so the reader hears no more.
                self.failed = true;
                self.seen.push(Seen::Refused(error.status()));
                return Ok(false);
            }
        };
        self.reader.expect_body(framing, &self.limits.1, self.now)?;
        match self.reader.poll_body(input, self.now)? {
            None => {
                self.reader.keep_head(Cow::Owned(raw.into_owned()));
                Ok(false)
            }
            Some(body) => {
                self.seen.push(Seen::Head(raw.into_owned()));
                self.seen.push(Seen::Body(body.into_owned()));
                self.handling = true;
                Ok(true)
            }
        }
    }

    fn finish(&mut self) {
        self.reader.finish(self.now);
        self.handling = false;
        self.go_on();
    }

    fn advance(&mut self, by: u8) {
        self.now += Duration::from_millis(u64::from(by) * 100);
        if self.failed {
            return;
        }
        let due = self.reader.poll_timeout(&self.limits.2);
        let expired = self.reader.handle_timeout(self.now, &self.limits.2);
        assert_eq!(expired.is_some(), due.is_some_and(|due| due <= self.now));
        if let Some(expired) = expired {
            assert!(!self.handling);
            self.seen.push(Seen::Expired(expired));
            self.failed = true;
        }
        let again = self.reader.handle_timeout(self.now, &self.limits.2);
        assert_eq!(again, None, "a time-out comes once");
    }
}
