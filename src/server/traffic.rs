//! Bytes in and bytes out: reading a conn within its budget, handing its input on, writing what waits.
//!
//! What a conn's own input produced is written right after that input.

use super::Msg;
use super::core::{Core, owner};
use super::engine::Next;
use super::sessions::{SessionKey, lost};
use crate::conn::http1::Phase;
use crate::conn::{ConnKey, Protocol};
use crate::connection::Cause;
use crate::reactor::{IoLoop, Readiness};
use crate::storage::input::Input;
use std::io::{self, ErrorKind, Read};

impl<S: 'static> Core<S> {
    pub(super) fn ready(&mut self, io: &mut IoLoop<Msg>, key: ConnKey, readiness: Readiness) {
        let Some(conn) = self.conn(key) else { return };
        let writes = conn.blocked || conn.is_sending();
        if readiness.is_readable() || readiness.is_closed() {
            conn.readable = true;
            conn.read_closed |= readiness.is_closed();
        }
        if writes && readiness.is_writable() {
            self.settle(io, key);
            self.follow_up(io);
        }
        self.read(io, key);
    }

    /// Reads and handles what a conn has sent, within its budget for this turn.
    pub(super) fn read(&mut self, io: &mut IoLoop<Msg>, key: ConnKey) {
        let mut buffer = std::mem::take(&mut self.recv);
        let budget = self.settings.work_per_turn_bytes;
        let mut work = 0;
        self.engine().conns.current = Some(key);
        loop {
            let settings = &*self.settings;
            let conns = &mut self.shared.engine.get_mut().conns;
            let Some(conn) = conns.arena.get_mut(key) else {
                break;
            };
            if work >= budget {
                let handler = conn.handler;
                io.again(handler, Readiness::READABLE);
                break;
            }
            if conn.has_input() && conn.takes_pending(settings) {
                let mut pending = *conn.pending.take().unwrap_or_default();
                self.input(io, key, &mut pending, &mut work);
                self.settle(io, key);
                continue;
            }
            if !conn.readable || !conn.wants_input(settings) {
                // Whoever was to receive has gone. What it sent behind its request is lost with it.
                conn.eof |= conn.read_closed && conn.is_http() && conn.session() != 0;
                break;
            }
            match conn.stream.read(&mut buffer) {
                Ok(0) => {
                    conn.readable = false;
                    conn.eof = true;
                    break;
                }
                Ok(n) => {
                    // A short read means drained, unless the end of the input lies behind it.
                    if n < buffer.len() && !conn.read_closed {
                        conn.readable = false;
                    }
                    conns.stats.bytes_in += n as u64;
                    self.input(io, key, &mut buffer[..n], &mut work);
                    self.settle(io, key);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    conn.readable = false;
                    break;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    self.lose(io, key, Cause::Lost);
                    break;
                }
            }
        }
        let conns = &mut self.engine().conns;
        conns.current = None;
        conns.count_input(key);
        self.recv = buffer;
        if self.conn(key).is_some_and(|conn| conn.eof) {
            self.end_of_input(io, key);
        }
        self.follow_up(io);
    }

    /// Reads, whether an event has said that there is something or not.
    pub(super) fn look(&mut self, io: &mut IoLoop<Msg>, key: ConnKey) {
        if let Some(conn) = self.conn(key) {
            conn.readable = true;
        }
        self.read(io, key);
    }

    /// Hands bytes to what the conn speaks; what it cannot look at yet is kept.
    pub(super) fn input(
        &mut self,
        io: &mut IoLoop<Msg>,
        key: ConnKey,
        bytes: &mut [u8],
        work: &mut usize,
    ) {
        let now = io.now();
        let linger_max = self.settings.linger_bytes_max;
        let mut input = Input::new(bytes);
        loop {
            let Some(conn) = self.conn(key) else { return };
            if conn.pending.is_some() || (input.is_empty() && !conn.has_input()) {
                break;
            }
            let go_on = match &mut conn.protocol {
                Protocol::WebSocket(ws) => {
                    ws.machine.heard(now);
                    self.websocket_input(io, key, &mut input, work)
                }
                Protocol::Http(_) => self.http_input(io, key, &mut input, work),
                Protocol::Policy(_) => {
                    self.policy_input(io, key, &mut input);
                    return;
                }
                Protocol::Closing(closing) => {
                    closing.dropped += input.len();
                    if closing.dropped > linger_max && closing.until.is_some() {
                        self.remove(io, key);
                    }
                    return;
                }
            };
            if !go_on {
                break;
            }
        }
        if !input.is_empty() {
            if let Some(conn) = self.conn(key) {
                conn.stash(input.rest());
            }
        }
    }

    /// The peer has sent all it will ever send.
    pub(super) fn end_of_input(&mut self, io: &mut IoLoop<Msg>, key: ConnKey) {
        let Some(conn) = self.conn(key) else { return };
        let complete = conn.pending.is_some();
        match &mut conn.protocol {
            // Whoever holds a stream open has gone; a plain request that is whole is still answered.
            Protocol::Http(http) => match &http.phase {
                Phase::Waiting(..) if http.session != 0 => self.lose_politely(io, key),
                Phase::Waiting(terms, until) => {
                    let (mut terms, until) = (*terms, *until);
                    terms.keep_alive &= complete;
                    http.phase = Phase::Waiting(terms, until);
                }
                Phase::Sending(..) => {}
                Phase::Reading if complete => {}
                Phase::Reading | Phase::Streaming(_) | Phase::Deciding(..) => {
                    self.lose_politely(io, key);
                }
            },
            Protocol::WebSocket(_) | Protocol::Policy(_) => self.lose(io, key, Cause::Lost),
            Protocol::Closing(closing) => {
                if closing.until.is_some() {
                    self.remove(io, key);
                }
            }
        }
    }

    /// The input has ended and nothing is owed but what waits to be written.
    pub(super) fn lose_politely(&mut self, io: &mut IoLoop<Msg>, key: ConnKey) {
        let linger = self.settings.linger_timeout;
        let Some(conn) = self.conn(key) else { return };
        if conn.out.is_empty() {
            self.lose(io, key, Cause::Lost);
        } else {
            self.abandon(key, lost(Cause::Lost));
            if let Some(conn) = self.conn(key) {
                conn.close(linger);
            }
            self.settle(io, key);
        }
    }

    // ---- writing ----------------------------------------------------------------------------

    /// Writes what waits and does what follows from the outcome: the next piece of a file,
    /// `on_writable`, shutting down, the timer, further input.
    pub(super) fn settle(&mut self, io: &mut IoLoop<Msg>, key: ConnKey) {
        if let Err(error) = self.write(io, key) {
            log::debug!("a conn was lost while writing: {error}");
            self.lose(io, key, Cause::Lost);
            return;
        }
        let now = io.now();
        let settings = &*self.settings;
        let engine = self.shared.engine.get_mut();
        let current = engine.conns.current == Some(key);
        let Some(conn) = engine.conns.arena.get_mut(key) else {
            return;
        };
        let session = conn.session();
        if conn.full && conn.waiting() <= settings.write_low_bytes {
            conn.full = false;
            match owner(conn.owner()) {
                Some(id) => engine.next.push_back(Next::Writable(id)),
                None => {
                    if let Some(session) = SessionKey::from_bits(session) {
                        engine.sessions.mark_dirty(session);
                    }
                }
            }
        }
        // A session gives a receiver more only as it takes it.
        if conn.out.is_empty() && session != 0 {
            engine.sessions.mark_dirty_bits(session);
        }
        if conn.out.is_empty() && conn.shut_down(now) {
            self.remove(io, key);
            return;
        }
        let resumed = conn.pause_or_resume(now, settings);
        // Reading had stopped; if it may go on, it does so in the next turn.
        if !current
            && ((conn.readable && conn.wants_input(settings))
                || (conn.has_input() && conn.takes_pending(settings)))
        {
            io.again(conn.handler, Readiness::READABLE);
        }
        match resumed {
            true => self.arm_anew(io, key),
            false => self.arm(io, key),
        }
    }

    /// Writes what waits, and further pieces of a file within the budget of a turn.
    pub(super) fn write(&mut self, io: &mut IoLoop<Msg>, key: ConnKey) -> io::Result<()> {
        let mut budget = self.settings.work_per_turn_bytes;
        loop {
            let conns = &mut self.shared.engine.get_mut().conns;
            let Some(conn) = conns.arena.get_mut(key) else {
                return Ok(());
            };
            conn.flush(io, &mut conns.pool, &mut conns.stats, &mut conns.queued)?;
            if conn.blocked || !conn.is_sending() {
                return Ok(());
            }
            if budget == 0 {
                io.again(conn.handler, Readiness::WRITABLE);
                return Ok(());
            }
            budget = budget.saturating_sub(conns.refill(key)?);
        }
    }
}
