//! A conn that speaks HTTP/1.1: which request it is at, and how an answer is put on the wire.
//!
//! Requests are handled one at a time, in order. While one is with its handler, input is kept, up
//! to a limit, and not looked at.

use super::{Conn, ConnKey, Conns, Protocol, Queued};
use crate::config::Settings;
use crate::proto::http::reader::{Reader, Timeouts};
use crate::proto::http::response::{
    BodyLength, Connection, ResponseHead, write_chunk, write_head, write_last_chunk,
};
use crate::proto::http::{Head, Version};
use crate::time::Instant;
use std::fs::File;
use std::io::{self, Read};

/// The HTTP side of a conn.
pub(crate) struct Http1 {
    pub(crate) reader: Reader,
    pub(crate) phase: Phase,
    /// Requests answered.
    pub(crate) served: u32,
    /// Names the request at hand, so that a late answer to an earlier one is harmless.
    pub(crate) serial: u32,
    /// Bits of the session that the request at hand is a receiver of; 0: of none. Its peer owes us nothing
    /// more, and its going is the session's loss.
    pub(crate) session: u64,
}

pub(crate) enum Phase {
    /// A request is awaited or being read.
    Reading,
    /// A request is with its handler, which has until then to answer.
    Waiting(Terms, Instant),
    /// A WebSocket handshake is with `on_open`, which decides until then; the bits of its id.
    Deciding(u64, Instant),
    /// The handler writes the body piece by piece.
    Streaming(Terms),
    /// A file is being sent.
    Sending(Terms, FileBody),
}

/// What an answer has to keep to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// The request was HEAD.
    pub(crate) head: bool,
    pub(crate) http10: bool,
    /// The client would like to go on.
    pub(crate) keep_alive: bool,
}

impl Terms {
    pub(crate) fn of(head: &Head<'_>) -> Self {
        Self {
            head: head.method == "HEAD",
            http10: head.version == Version::Http10,
            keep_alive: head.keep_alive(),
        }
    }
}

/// A part of a file that is sent a piece at a time.
pub(crate) struct FileBody {
    pub(crate) file: File,
    pub(crate) remaining: u64,
}

/// A response on its way out.
pub(crate) struct Outgoing<'a> {
    pub(crate) status: u16,
    pub(crate) content_type: Option<&'a str>,
    /// Checked `Name: value\r\n` lines.
    pub(crate) headers: &'a [u8],
    pub(crate) body: OutBody<'a>,
    pub(crate) close: bool,
}

pub(crate) enum OutBody<'a> {
    Bytes(&'a [u8]),
    File(FileBody),
    Stream,
}

impl Http1 {
    pub(crate) fn new(now: Instant) -> Box<Self> {
        Box::new(Self {
            reader: Reader::new(now),
            phase: Phase::Reading,
            served: 0,
            serial: 0,
            session: 0,
        })
    }

    pub(crate) fn wants_input(&self, conn: &Conn, settings: &Settings) -> bool {
        match self.phase {
            // The next request waits until the last answer is out.
            Phase::Reading => !conn.blocked,
            _ => conn.pending_len() < settings.head_bytes_max,
        }
    }

    pub(crate) fn deadline(&self, settings: &Settings) -> Option<Instant> {
        match self.phase {
            Phase::Reading => self.reader.poll_timeout(&timeouts(settings)),
            // A receiver waits for as long as its session lives.
            Phase::Waiting(..) if self.session != 0 => None,
            Phase::Waiting(_, until) | Phase::Deciding(_, until) => Some(until),
            Phase::Streaming(_) | Phase::Sending(..) => None,
        }
    }
}

/// The settings that the reader's times come from.
pub(crate) fn timeouts(settings: &Settings) -> Timeouts {
    Timeouts {
        header: settings.header_timeout,
        keep_alive: settings.keep_alive_timeout,
        body: settings.body_timeout,
        body_rate_bytes_per_s: settings.body_rate_min,
        body_rate_after: settings.body_rate_after,
    }
}

impl Conns {
    /// Writes an answer, if the conn still waits for it.
    pub(crate) fn answer(&mut self, key: ConnKey, serial: u32, response: Outgoing<'_>) -> bool {
        let Some(conn) = self.arena.get_mut(key) else {
            return false;
        };
        let Protocol::Http(http) = &mut conn.protocol else {
            return false;
        };
        let Phase::Waiting(mut terms, _) = http.phase else {
            return false;
        };
        if http.serial != serial {
            return false;
        }
        http.served = http.served.saturating_add(1);
        let max = self.settings.requests_per_conn_max;
        terms.keep_alive &= !response.close
            && !self.draining
            && self.settings.keep_alive
            && (max == 0 || http.served < max);
        let length = match &response.body {
            OutBody::Bytes(bytes) => BodyLength::Known(bytes.len() as u64),
            OutBody::File(file) => BodyLength::Known(file.remaining),
            OutBody::Stream if terms.http10 => {
                terms.keep_alive = false;
                BodyLength::UntilClose
            }
            OutBody::Stream => BodyLength::Chunked,
        };
        let tail = conn.out.tail(&mut self.pool);
        let before = tail.len();
        write_head(
            tail,
            &ResponseHead {
                status: response.status,
                date: Some(&self.date),
                connection: connection_field(terms, response.status),
                length,
                content_type: response.content_type,
                extra: response.headers,
            },
        );
        let mut done = true;
        match response.body {
            _ if terms.head || bodiless(response.status) => {}
            OutBody::Bytes(bytes) => tail.extend_from_slice(bytes),
            OutBody::File(file) => {
                http.phase = Phase::Sending(terms, file);
                done = false;
            }
            OutBody::Stream => {
                http.phase = Phase::Streaming(terms);
                done = false;
            }
        }
        self.queued += tail.len() - before;
        if done {
            self.answered(key, terms);
        }
        self.mark_dirty(key);
        true
    }

    /// Writes a piece of a streamed body; one piece is one chunk.
    pub(crate) fn stream(&mut self, key: ConnKey, serial: u32, bytes: &[u8]) -> Queued {
        let over = self
            .streaming(key, serial)
            .is_some_and(|(conn, _)| conn.out.len() >= self.settings.write_max_bytes);
        match over {
            true => Queued::OverMax,
            false => self.stream_waiting(key, serial, bytes),
        }
    }

    /// The same for what has waited elsewhere, where the limits were minded, and for what comes last.
    pub(crate) fn stream_waiting(&mut self, key: ConnKey, serial: u32, bytes: &[u8]) -> Queued {
        let Some((conn, terms)) = self.streaming(key, serial) else {
            return Queued::Gone;
        };
        let waiting = conn.out.len();
        let conn = self.arena.get_mut(key).expect("it was found");
        let tail = conn.out.tail(&mut self.pool);
        let before = tail.len();
        if terms.http10 {
            tail.extend_from_slice(bytes);
        } else {
            write_chunk(tail, bytes);
        }
        self.queued += tail.len() - before;
        let over = waiting + bytes.len() > self.settings.write_high_bytes;
        self.mark_dirty(key);
        if over { Queued::OverHigh } else { Queued::Yes }
    }

    /// Ends a streamed body. False: it had ended.
    pub(crate) fn end_stream(&mut self, key: ConnKey, serial: u32) -> bool {
        let Some((_, terms)) = self.streaming(key, serial) else {
            return false;
        };
        let conn = self.arena.get_mut(key).expect("it was found");
        if !terms.http10 {
            let tail = conn.out.tail(&mut self.pool);
            let before = tail.len();
            write_last_chunk(tail);
            self.queued += tail.len() - before;
        }
        self.answered(key, terms);
        self.mark_dirty(key);
        true
    }

    /// Says which session the request at hand, or the WebSocket, is a receiver of.
    pub(crate) fn set_session(&mut self, key: ConnKey, bits: u64) {
        match self.arena.get_mut(key).map(|conn| &mut conn.protocol) {
            Some(Protocol::Http(http)) => http.session = bits,
            Some(Protocol::WebSocket(ws)) => ws.session = bits,
            Some(Protocol::Policy(_) | Protocol::Closing(_)) | None => {}
        }
    }

    fn streaming(&self, key: ConnKey, serial: u32) -> Option<(&Conn, Terms)> {
        let conn = self.arena.get(key)?;
        match &conn.protocol {
            Protocol::Http(http) if http.serial == serial => match http.phase {
                Phase::Streaming(terms) => Some((conn, terms)),
                _ => None,
            },
            _ => None,
        }
    }

    /// Puts the next piece of a file into the queue; answers how many bytes.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or has become shorter: the answer cannot be completed.
    pub(crate) fn refill(&mut self, key: ConnKey) -> io::Result<usize> {
        let Some(conn) = self.arena.get_mut(key) else {
            return Ok(0);
        };
        let Protocol::Http(http) = &mut conn.protocol else {
            return Ok(0);
        };
        let Phase::Sending(terms, body) = &mut http.phase else {
            return Ok(0);
        };
        let tail = conn.out.tail(&mut self.pool);
        let before = tail.len();
        (&mut body.file)
            .take(body.remaining.min(PIECE))
            .read_to_end(tail)?;
        let read = tail.len() - before;
        if read == 0 && body.remaining > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.queued += read;
        body.remaining -= read as u64;
        if body.remaining == 0 {
            let terms = *terms;
            self.answered(key, terms);
        }
        Ok(read)
    }

    /// The answer is complete: on to the next request, or to the end.
    fn answered(&mut self, key: ConnKey, terms: Terms) {
        let (now, linger) = (self.now, self.settings.linger_timeout);
        let Some(conn) = self.arena.get_mut(key) else {
            return;
        };
        let Protocol::Http(http) = &mut conn.protocol else {
            return;
        };
        http.session = 0;
        // Its head may have been written before the draining began, which closes who is idle.
        let idle = conn.pending.is_none();
        if terms.keep_alive && !(self.draining && idle) {
            http.phase = Phase::Reading;
            http.reader.finish(now);
        } else {
            conn.close(linger);
        }
    }
}

fn connection_field(terms: Terms, status: u16) -> Connection {
    match (terms.keep_alive, terms.http10) {
        (false, _) if status == 426 => Connection::UpgradeClose,
        (false, _) => Connection::Close,
        (true, true) => Connection::KeepAlive,
        (true, false) => Connection::Open,
    }
}

/// Answers that have no body whatever the handler says (RFC 9110, 6.4.1).
fn bodiless(status: u16) -> bool {
    status < 200 || status == 204 || status == 304
}

/// Bytes of a file that are read at a time.
const PIECE: u64 = 128 << 10;
