//! One request after another off one connection: heads, bodies, and how long each may take.
//!
//! ```text
//!           first byte            whole head             expect_body             whole body
//!   Idle ---------------> Head ---------------> Handling ------------> Body ---------------> Handling
//!    ^                                                                                          |
//!    +------------------------------------ finish ---------------------------------------------+
//!   any state -- error, time-out --> Failed
//! ```
//!
//! What lies whole in the input is handed out in place; only what came in part is kept. A head whose
//! body is still on its way is the caller's to hand back ([`Reader::keep_head`]), because the input
//! it borrows from will be gone.
//!
//! Not here: what a head means ([`Head`](super::head::Head)), when to answer.
//!
//! Invariants: an idle reader holds no memory of its own. One request is read at a time: what comes
//! behind it stays in the input until [`Reader::finish`]. After an error nothing more is read.

use std::borrow::Cow;
use std::time::Duration;

use super::chunked::{BodyLimits, Decoder};
use super::error::Error;
use super::framing::Framing;
use super::head::{HeadLimits, HeadScanner};
use crate::storage::input::Input;
use crate::time::Instant;

/// Bytes in place, or those that had to be put together.
pub type Bytes<'b> = Cow<'b, [u8]>;

/// How long a peer may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a whole head: from accept for the first request, else from its first byte. More bytes do
    /// not extend it. Default: 10 s.
    pub header: Duration,
    /// Between two requests. Default: 75 s, as nginx.
    pub keep_alive: Duration,
    /// Without a byte of an unfinished body. Default: 30 s.
    pub body: Duration,
    /// The least average rate of a body. Default: 1024, the floor of uWebSockets. Zero: no floor.
    pub body_rate_bytes_per_s: u64,
    /// For how long a body may be slower. Default: 10 s.
    pub body_rate_after: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            header: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
            body: Duration::from_secs(30),
            body_rate_bytes_per_s: 1024,
            body_rate_after: Duration::from_secs(10),
        }
    }
}

/// What to do about a peer that took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expired {
    /// Close: nothing of a request had come.
    Silent,
    /// Answer with the error's status and close.
    Refuse(Error),
}

/// Reads the requests of one connection.
#[derive(Debug)]
pub struct Reader {
    state: State,
    /// What has come of an unfinished head, or the data of an unfinished body.
    partial: Vec<u8>,
    /// The head of an unfinished body.
    head: Vec<u8>,
}

#[derive(Debug)]
enum State {
    Idle {
        since: Instant,
        /// No request has been read yet: the time-out for heads runs.
        first: bool,
        /// Bytes of empty lines dropped before the request line.
        skipped: u8,
    },
    Head {
        since: Instant,
        scanner: HeadScanner,
    },
    Handling,
    Body(Body),
    Failed,
}

#[derive(Debug)]
struct Body {
    since: Instant,
    /// When the last byte came.
    progress: Instant,
    /// Bytes taken off the input, chunk lines included.
    received: u64,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Length(u64),
    /// Boxed, so that the readers of idle connections stay small.
    Chunked(Box<Decoder>),
}

impl Reader {
    /// A reader for a connection accepted at `now`.
    pub fn new(now: Instant) -> Self {
        Self {
            state: State::Idle {
                since: now,
                first: true,
                skipped: 0,
            },
            partial: Vec::new(),
            head: Vec::new(),
        }
    }

    /// Takes the next head off `input`. `None`: there is no whole head yet, or a request is being read
    /// or handled.
    ///
    /// # Errors
    ///
    /// Those of [`HeadScanner::scan`]. Answer, close, and read no more.
    pub fn poll_head<'b>(
        &mut self,
        input: &mut Input<'b>,
        limits: &HeadLimits,
        now: Instant,
    ) -> Result<Option<Bytes<'b>>, Error> {
        self.read_head(input, limits, now)
            .inspect_err(|_| self.fail())
    }

    /// Says how long the body is of the request whose head came last.
    ///
    /// # Errors
    ///
    /// 413 if the length told is over the limit; nothing of the body is read then.
    pub fn expect_body(
        &mut self,
        framing: Framing,
        limits: &BodyLimits,
        now: Instant,
    ) -> Result<(), Error> {
        debug_assert!(matches!(self.state, State::Handling), "no head came before");
        let kind = match framing {
            Framing::None => return Ok(()),
            Framing::Length(n) if n > limits.body_bytes_max => {
                self.fail();
                return Err(Error::BodyTooLarge);
            }
            Framing::Length(n) => Kind::Length(n),
            Framing::Chunked => Kind::Chunked(Box::new(Decoder::new(*limits))),
        };
        self.state = State::Body(Body {
            since: now,
            progress: now,
            received: 0,
            kind,
        });
        Ok(())
    }

    /// Takes the body off `input`. `None`: not all of it is there; if this is the first call for the
    /// request, hand the head to [`Self::keep_head`]. A request without a body has an empty one.
    ///
    /// # Errors
    ///
    /// Those of [`Decoder::decode`]. Answer, close, and read no more.
    pub fn poll_body<'b>(
        &mut self,
        input: &mut Input<'b>,
        now: Instant,
    ) -> Result<Option<Bytes<'b>>, Error> {
        let body = match &mut self.state {
            State::Body(body) => body,
            State::Handling => return Ok(Some(Cow::Borrowed(&[]))),
            State::Idle { .. } | State::Head { .. } | State::Failed => return Ok(None),
        };
        let before = input.len();
        match body.read(input, &mut self.partial) {
            Ok(Some(whole)) => {
                self.state = State::Handling;
                Ok(Some(whole))
            }
            Ok(None) => {
                if input.len() < before {
                    body.progress = now;
                    body.received += (before - input.len()) as u64;
                }
                Ok(None)
            }
            Err(e) => {
                self.fail();
                Err(e)
            }
        }
    }

    /// Keeps the head while the rest of its body is on its way.
    pub fn keep_head(&mut self, head: Bytes<'_>) {
        self.head = head.into_owned();
    }

    /// The head that was kept; empty if none was.
    pub fn take_head(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.head)
    }

    /// Says that the request has been answered: on to the next one. A body that was not read to its
    /// end leaves nothing to go on with, so that the connection has to be closed.
    pub fn finish(&mut self, now: Instant) {
        self.head = Vec::new();
        match self.state {
            State::Handling => {
                self.state = State::Idle {
                    since: now,
                    first: false,
                    skipped: 0,
                };
            }
            State::Body(_) => self.fail(),
            State::Idle { .. } | State::Head { .. } | State::Failed => {}
        }
    }

    /// Whether nothing of a next request has come.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle { .. })
    }

    /// Whether a body is on its way: call [`Self::poll_body`] with what comes.
    pub fn is_reading_body(&self) -> bool {
        matches!(self.state, State::Body(_))
    }

    /// Bytes that are kept of an unfinished request.
    pub fn held_bytes(&self) -> usize {
        self.partial.len() + self.head.len()
    }

    /// Bytes of the unfinished body that have come, chunk lines included. Zero: `100 Continue` is
    /// still worth sending.
    pub fn body_bytes_received(&self) -> u64 {
        match &self.state {
            State::Body(body) => body.received,
            _ => 0,
        }
    }

    /// Chunks of the unfinished body that have begun: the caller counts each as 1 KiB of work.
    pub fn chunks(&self) -> u64 {
        match &self.state {
            State::Body(body) => match &body.kind {
                Kind::Chunked(decoder) => decoder.chunks(),
                Kind::Length(_) => 0,
            },
            _ => 0,
        }
    }

    /// When [`Self::handle_timeout`] wants to be called; `None`: not while a request is handled.
    pub fn poll_timeout(&self, timeouts: &Timeouts) -> Option<Instant> {
        match &self.state {
            State::Idle {
                since, first: true, ..
            }
            | State::Head { since, .. } => Some(*since + timeouts.header),
            State::Idle { since, .. } => Some(*since + timeouts.keep_alive),
            State::Body(body) => Some(body.deadline(timeouts)),
            State::Handling | State::Failed => None,
        }
    }

    /// Says that `now` has come; early and repeated calls do nothing.
    pub fn handle_timeout(&mut self, now: Instant, timeouts: &Timeouts) -> Option<Expired> {
        if now < self.poll_timeout(timeouts)? {
            return None;
        }
        let expired = match self.state {
            State::Head { .. } => Expired::Refuse(Error::Timeout("head")),
            State::Body(_) => Expired::Refuse(Error::Timeout("body")),
            State::Idle { .. } | State::Handling | State::Failed => Expired::Silent,
        };
        self.fail();
        Some(expired)
    }

    fn read_head<'b>(
        &mut self,
        input: &mut Input<'b>,
        limits: &HeadLimits,
        now: Instant,
    ) -> Result<Option<Bytes<'b>>, Error> {
        if let State::Idle {
            since,
            first,
            skipped,
        } = &mut self.state
        {
            skip_empty_lines(input, skipped)?;
            if input.is_empty() {
                return Ok(None);
            }
            self.state = State::Head {
                since: if *first { *since } else { now },
                scanner: HeadScanner::default(),
            };
        }
        let State::Head { scanner, .. } = &mut self.state else {
            return Ok(None);
        };
        let had = self.partial.len();
        if had == 0 {
            let Some(n) = scanner.scan(input.rest(), limits)? else {
                self.partial.extend_from_slice(input.take(usize::MAX));
                return Ok(None);
            };
            self.state = State::Handling;
            return Ok(Some(Cow::Borrowed(input.take(n))));
        }
        // One byte over the limit is enough for the scanner to refuse.
        let room = (limits.head_bytes_max + 1).saturating_sub(had);
        let more = &input.rest()[..input.len().min(room)];
        let copied = more.len();
        self.partial.extend_from_slice(more);
        let Some(n) = scanner.scan(&self.partial, limits)? else {
            input.take(copied);
            return Ok(None);
        };
        input.take(n - had);
        self.partial.truncate(n);
        self.state = State::Handling;
        Ok(Some(Cow::Owned(std::mem::take(&mut self.partial))))
    }

    fn fail(&mut self) {
        self.state = State::Failed;
        self.partial = Vec::new();
        self.head = Vec::new();
    }
}

impl Body {
    fn read<'b>(
        &mut self,
        input: &mut Input<'b>,
        partial: &mut Vec<u8>,
    ) -> Result<Option<Bytes<'b>>, Error> {
        let done = match &mut self.kind {
            Kind::Length(total) => {
                let left = usize::try_from(*total - partial.len() as u64).unwrap_or(usize::MAX);
                if partial.is_empty() && input.len() >= left {
                    return Ok(Some(Cow::Borrowed(input.take(left))));
                }
                let taken = input.take(left);
                partial.extend_from_slice(taken);
                taken.len() == left
            }
            Kind::Chunked(decoder) => decoder.decode(input, partial)?,
        };
        Ok(done.then(|| Cow::Owned(std::mem::take(partial))))
    }

    /// The earlier of: too long without a byte; too slow on average.
    fn deadline(&self, timeouts: &Timeouts) -> Instant {
        let stalled = self.progress + timeouts.body;
        // In milliseconds: a whole second would be much for a short body.
        let received = self.received.saturating_mul(1000);
        let Some(paid_for) = received.checked_div(timeouts.body_rate_bytes_per_s) else {
            return stalled;
        };
        let paid_for = Duration::from_millis(paid_for);
        stalled.min(self.since + paid_for.max(timeouts.body_rate_after))
    }
}

/// A few empty lines before a request are no harm. Counting bytes also tells which half of a CRLF is due, however
/// the input was cut.
fn skip_empty_lines(input: &mut Input<'_>, skipped: &mut u8) -> Result<(), Error> {
    while let Some(&b) = input.rest().first() {
        match (*skipped % 2 == 1, b) {
            (true, b'\n') => {}
            (true, _) => return Err(Error::Syntax("carriage return without line feed")),
            (false, b'\r') if *skipped < EMPTY_LINE_BYTES_MAX => {}
            (false, _) => return Ok(()),
        }
        *skipped += 1;
        input.take(1);
    }
    Ok(())
}

const EMPTY_LINE_BYTES_MAX: u8 = 8;

#[cfg(test)]
mod tests;
