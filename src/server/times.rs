//! What comes with time: the deadlines of conns, and the timers of the application.
//!
//! A conn has one timer. Traffic does not move it: it fires early, and is armed again.

use super::Msg;
use super::core::{Core, WS_LINGER, owner};
use super::sessions::lost;
use super::timers::{TimerId, TimerRun};
use crate::conn::http1::{Phase, timeouts};
use crate::conn::websocket::Aged;
use crate::conn::{ConnKey, Protocol};
use crate::connection::{Cause, CloseReason, Keep};
use crate::proto::http::reader;
use crate::proto::ws::Kind;
use crate::proto::ws::machine::Expired;
use crate::reactor::IoLoop;
use crate::time::Instant;
use std::rc::Rc;
use std::time::Duration;

impl<S: 'static> Core<S> {
    /// Sees to it that the conn's timer fires no later than its next deadline. A later deadline
    /// leaves the timer alone: it fires early and is armed again, so traffic costs nothing.
    pub(super) fn arm(&mut self, io: &mut IoLoop<Msg>, key: ConnKey) {
        let engine = self.shared.engine.get_mut();
        let Some(conn) = engine.conns.arena.get_mut(key) else {
            return;
        };
        if conn.timer.is_none() || !conn.only_postpones() {
            self.arm_anew(io, key);
        }
    }

    pub(super) fn arm_anew(&mut self, io: &mut IoLoop<Msg>, key: ConnKey) {
        let engine = self.shared.engine.get_mut();
        let Some(conn) = engine.conns.arena.get_mut(key) else {
            return;
        };
        let Some(deadline) = conn.deadline(&self.settings, &self.limits) else {
            return;
        };
        let at = coarse(deadline, io.now());
        match conn.timer {
            Some((armed, _)) if armed <= at => {}
            old => {
                if let Some((_, timeout)) = old {
                    io.remove_timeout(timeout);
                }
                conn.timer = Some((at, io.call_at(at, Msg::Conn(key))));
            }
        }
    }

    pub(super) fn timeout(&mut self, io: &mut IoLoop<Msg>, key: ConnKey) {
        let now = io.now();
        let settings = Rc::clone(&self.settings);
        // Time-outs come before ready sources: a sign of life may lie in the socket.
        if self.conn(key).is_some_and(|conn| conn.is_unanswered()) {
            self.look(io, key);
        }
        let engine = self.shared.engine.get_mut();
        let conns = &mut engine.conns;
        let Some(conn) = conns.arena.get_mut(key) else {
            return;
        };
        let late = conn.timer.take().map_or(Duration::ZERO, |(at, _)| now - at);
        if conn.blocked && now >= conn.progress + settings.write_timeout {
            conns.stats.write_timeouts += 1;
            self.lose(io, key, Cause::Timeout);
            self.follow_up(io);
            return;
        }
        match &mut conn.protocol {
            Protocol::Http(http) => match &http.phase {
                Phase::Reading => match http.reader.handle_timeout(now, &timeouts(&settings)) {
                    Some(reader::Expired::Silent) => self.remove(io, key),
                    Some(reader::Expired::Refuse(error)) => self.refuse(io, key, error),
                    None => {}
                },
                // A timer that was armed for something else may fire for a receiver.
                Phase::Waiting(_, until) if now >= *until && http.session == 0 => {
                    self.answer_timeout(key);
                }
                Phase::Deciding(id, until) if now >= *until => {
                    if let Some(id) = owner(*id) {
                        self.decided(io, id, Err(crate::Reject::status(503)));
                    }
                }
                _ => {}
            },
            Protocol::WebSocket(ws) => {
                let limits = &self.limits[ws.mount as usize];
                let id = owner(ws.owner);
                if let Some(text) = ws.take_heartbeat(limits, now).filter(|_| id.is_some()) {
                    let out = conn.out.tail(&mut conns.pool);
                    let before = out.len();
                    ws.machine.send(Kind::Text, text, out);
                    conns.queued += out.len() - before;
                }
                match (id, ws.aged(limits, now)) {
                    (Some(id), Some(Aged::Idle)) => engine.close(id, Cause::Timeout, 1000, "idle"),
                    (Some(id), Some(Aged::Old)) => {
                        engine.close(id, Cause::Timeout, 1012, "too old");
                    }
                    (None, Some(aged)) if ws.session != 0 => {
                        let session = ws.session;
                        let why = match aged {
                            Aged::Idle => (1000, "idle"),
                            Aged::Old => (1012, "too old"),
                        };
                        engine.close_session_of(session, Cause::Timeout, why);
                    }
                    _ => {
                        // A turn this late says nothing about the peer: it gets one more interval.
                        if limits
                            .machine
                            .ping_interval
                            .is_some_and(|interval| late >= interval)
                        {
                            ws.machine.heard(now);
                        }
                        let out = conn.out.tail(&mut conns.pool);
                        let before = out.len();
                        let expired = ws.machine.handle_timeout(now, &limits.machine, out);
                        conns.queued += out.len() - before;
                        match expired {
                            None => {}
                            Some(Expired::Ping) => {
                                ws.owner = 0;
                                let session = std::mem::take(&mut ws.session);
                                conns.stats.ping_timeouts += 1;
                                conn.close(settings.linger_timeout.min(WS_LINGER));
                                engine.receiver_lost(session, key, lost(Cause::Timeout));
                                if let Some(id) = id {
                                    engine.end(
                                        id,
                                        CloseReason {
                                            cause: Cause::Timeout,
                                            code: 1006,
                                            reason: "ping timeout".to_owned(),
                                            clean: false,
                                        },
                                    );
                                }
                            }
                            Some(Expired::Close) => {
                                conns.stats.close_timeouts += 1;
                                self.lose(io, key, Cause::Timeout);
                            }
                        }
                    }
                }
            }
            Protocol::Policy(asking) => {
                if now >= asking.until {
                    self.remove(io, key);
                }
            }
            Protocol::Closing(closing) => {
                if closing.until.is_some_and(|until| now >= until) {
                    self.remove(io, key);
                }
            }
        }
        self.settle(io, key);
        self.follow_up(io);
    }

    pub(super) fn timer(&mut self, io: &mut IoLoop<Msg>, timer: TimerId) {
        let Some((owner, run)) = self.engine().take_timer(timer) else {
            return;
        };
        match (run, owner) {
            (TimerRun::Once(job), Some(id)) => {
                self.call(io, id, "a timer", |object, at| job(object, at));
            }
            (TimerRun::Every(period, mut job), Some(id)) => {
                let keep = self.call(io, id, "a timer", |object, at| job(object, at));
                if keep == Some(Keep::Going) {
                    self.engine()
                        .repeat_timer(timer, period, TimerRun::Every(period, job));
                } else {
                    self.engine().cancel_timer(timer);
                    self.guard("dropping a timer", || drop(job));
                }
            }
            (TimerRun::App(job), _) => {
                self.on_app(io, "a timer", |app| job(app));
            }
            (TimerRun::AppEvery(period, mut job), _) => {
                let keep = self.on_app(io, "a timer", |app| job(app));
                if keep == Some(Keep::Going) {
                    self.engine()
                        .repeat_timer(timer, period, TimerRun::AppEvery(period, job));
                } else {
                    self.engine().cancel_timer(timer);
                    self.guard("dropping a timer", || drop(job));
                }
            }
            (TimerRun::Once(_) | TimerRun::Every(..), None) => {}
        }
        self.follow_up(io);
    }
}

/// Where a deadline goes on the grid.
pub(super) fn coarse(deadline: Instant, now: Instant) -> Instant {
    match deadline - now >= COARSE_FROM {
        true => deadline.round_up(COARSE_NANOS),
        false => deadline,
    }
}

/// Deadlines that far away go to a shared grid, so that ten thousand of them are few wake-ups.
const COARSE_FROM: Duration = Duration::from_secs(5);
const COARSE_NANOS: u64 = 250_000_000;
