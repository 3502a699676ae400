//! Shutting down in good order.
//!
//! First nothing new is accepted, connections without a request close, answers say
//! `Connection: close`. WebSockets are closed with 1001, spread over a window so that their clients
//! do not all come back at once. At the deadline everything is cut. Every `on_close` runs.

use super::Msg;
use super::core::{Core, owner};
use crate::conn::http1::Phase;
use crate::conn::{ConnKey, Protocol};
use crate::connection::{Cause, ConnectionId};
use crate::reactor::IoLoop;
use crate::time::Instant;
use std::time::Duration;

pub(crate) struct Draining {
    /// Until then only `/readyz` knows.
    begins: Instant,
    deadline: Instant,
    begun: bool,
    /// Those to be closed, and how many there were.
    waiting: Vec<ConnectionId>,
    total: usize,
}

impl<S: 'static> Core<S> {
    /// Begins. A second call makes it end at once.
    pub(crate) fn start_drain(&mut self, io: &mut IoLoop<Msg>, deadline: Duration) {
        let now = io.now();
        if let Some(drain) = &mut self.drain {
            drain.begins = now;
            drain.deadline = now.min(drain.deadline);
        } else {
            let begins = now + self.settings.drain_delay;
            self.drain = Some(Draining {
                begins,
                deadline: begins + deadline,
                begun: false,
                waiting: Vec::new(),
                total: 0,
            });
        }
        self.drain_step(io);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.drain.is_some()
    }

    /// Does what is due, and comes back while there is something to do.
    pub(crate) fn drain_step(&mut self, io: &mut IoLoop<Msg>) {
        let now = io.now();
        let Some(drain) = &self.drain else { return };
        let (begins, deadline) = (drain.begins, drain.deadline);
        if now < begins {
            io.call_at(begins, Msg::Drain);
            return;
        }
        if !drain.begun {
            self.begin_drain(io);
        }
        let Some(drain) = &mut self.drain else { return };
        // By the time that has passed, not by the number of steps: a busy loop makes fewer.
        let window = self.settings.drain_window;
        let left = window.saturating_sub(now - begins + STEP);
        let rest = match window.is_zero() {
            true => 0,
            false => (drain.total as f64 * left.div_duration_f64(window)) as usize,
        };
        let rest = rest.min(drain.waiting.len());
        for id in drain.waiting.split_off(rest) {
            self.engine().close(id, Cause::Shutdown, 1001, "going away");
        }
        self.follow_up(io);
        if now >= deadline {
            for key in self.keys() {
                self.lose(io, key, Cause::Shutdown);
            }
            self.engine().forget_sessions();
            self.follow_up(io);
        } else {
            io.call_at(deadline.min(now + STEP), Msg::Drain);
        }
        self.drain_check(io);
    }

    fn begin_drain(&mut self, io: &mut IoLoop<Msg>) {
        self.engine().conns.draining = true;
        for listening in &mut self.listeners {
            if let Some(handler) = listening.handler.take() {
                let _ = io.remove_handler(&mut listening.listener, handler);
            }
        }
        // Dropped listeners refuse at once; registered ones would leave clients in the backlog.
        self.listeners.clear();
        let mut waiting = Vec::new();
        waiting.extend(self.engine().session_connections());
        for key in self.keys() {
            let Some(conn) = self.conn(key) else { continue };
            match &conn.protocol {
                Protocol::WebSocket(ws) => waiting.extend(owner(ws.owner)),
                Protocol::Http(http) => {
                    let idle = matches!(http.phase, Phase::Reading) && http.reader.is_idle();
                    if idle && conn.out.is_empty() && !conn.readable {
                        self.remove(io, key);
                    }
                }
                Protocol::Policy(_) | Protocol::Closing(_) => {}
            }
        }
        if let Some(drain) = &mut self.drain {
            drain.begun = true;
            drain.total = waiting.len();
            drain.waiting = waiting;
        }
    }

    /// When the last conn is gone, so is the reason to run.
    pub(crate) fn drain_check(&mut self, io: &mut IoLoop<Msg>) {
        let begun = self.drain.as_ref().is_some_and(|drain| drain.begun);
        let engine = self.engine();
        if begun
            && engine.conns.arena.is_empty()
            && engine.next.is_empty()
            && !engine.has_session_connections()
        {
            self.stopped = true;
            io.stop();
        }
    }

    fn keys(&mut self) -> Vec<ConnKey> {
        self.engine().conns.arena.keys().collect()
    }
}

/// How often WebSockets are closed while draining.
const STEP: Duration = Duration::from_millis(20);
