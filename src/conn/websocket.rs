//! A conn that speaks WebSocket: the machine, whose it is, and the limits the machine does not know.

use super::wire::Wire;
use crate::config::WebSocketLimits;
use crate::proto::ws::{Kind, machine};
use crate::time::{Instant, PerSecond};
use std::time::Duration;

/// A WebSocket: its framing and whose it is.
pub(crate) struct WebSocket {
    pub(crate) machine: Wire,
    /// Bits of the application's connection; 0 once it was told that it is closed, and where a session
    /// is behind it.
    pub(crate) owner: u64,
    /// Bits of the session that it is a receiver of; 0: of none.
    pub(crate) session: u64,
    /// Which mount, for its limits.
    pub(crate) mount: u32,
    /// What is left of a message that holds several: they take turns.
    pub(crate) left: Option<Box<str>>,
    /// Only where the mount has limits on rate, idleness or age.
    pub(crate) ages: Option<Box<Ages>>,
}

/// What is counted for the limits that are off by default.
pub(crate) struct Ages {
    messages: PerSecond,
    last_message: Instant,
    end_of_life: Instant,
    heartbeat: Instant,
}

/// Why a WebSocket is to be closed, beside what its machine finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aged {
    /// No message for `idle_timeout`: 1000.
    Idle,
    /// Older than `lifetime_max`: 1012.
    Old,
}

/// The limits of a mount, for the machine and beside it.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) machine: machine::Limits,
    text: bool,
    binary: bool,
    messages_per_second_max: u32,
    idle_timeout: Option<Duration>,
    lifetime_max: Option<Duration>,
    pub(crate) inside: Inside,
    pub(crate) heartbeat: Option<Heartbeat>,
}

/// What its messages hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inside {
    /// The application's messages.
    Messages,
    /// Frames of SockJS.
    SockJs,
    /// Packets of Socket.IO.
    SocketIo,
}

/// A text message that the protocol inside wants sent at intervals.
#[derive(Clone, Debug)]
pub(crate) struct Heartbeat {
    pub(crate) every: Duration,
    pub(crate) text: &'static [u8],
}

impl Limits {
    /// `text`, `binary`: which kinds of message are taken.
    pub(crate) fn new(of: &WebSocketLimits, text: bool, binary: bool) -> Self {
        let nonzero = |d: Duration| (d > Duration::ZERO).then_some(d);
        Self {
            machine: machine::Limits {
                message_bytes_max: of.message_bytes_max,
                frame_bytes_max: of.frame_bytes_max,
                fragments_max: of.fragments_max,
                empty_fragments_max: of.empty_fragments_max,
                ping_interval: nonzero(of.ping_interval),
                ping_timeout: of.ping_timeout,
                close_timeout: of.close_timeout,
                accept_unmasked: of.accept_unmasked,
                strict_length: of.strict_length,
            },
            text,
            binary,
            messages_per_second_max: of.messages_per_second_max,
            idle_timeout: nonzero(of.idle_timeout),
            lifetime_max: nonzero(of.lifetime_max),
            inside: Inside::Messages,
            heartbeat: None,
        }
    }

    /// Whether messages of that kind are taken.
    pub(crate) fn takes(&self, kind: Kind) -> bool {
        match kind {
            Kind::Text => self.text,
            Kind::Binary => self.binary,
        }
    }

    /// What to count for a connection that begins `now`; `spread` in 0 to 1 shortens its life.
    pub(crate) fn ages(&self, now: Instant, spread: f64) -> Option<Box<Ages>> {
        let counts = self.messages_per_second_max > 0;
        let beats = self.heartbeat.as_ref().map(|heartbeat| heartbeat.every);
        if !counts && self.idle_timeout.is_none() && self.lifetime_max.is_none() && beats.is_none()
        {
            return None;
        }
        let end_of_life = self
            .lifetime_max
            .map_or(Instant::FAR, |life| now + life.mul_f64(1.0 - spread / 10.0));
        Some(Box::new(Ages {
            messages: PerSecond::new(now),
            last_message: now,
            end_of_life,
            heartbeat: beats.map_or(Instant::FAR, |every| now + every),
        }))
    }
}

impl WebSocket {
    /// Counts a message. False: there are too many in this second.
    #[inline]
    pub(crate) fn count(&mut self, limits: &Limits, now: Instant) -> bool {
        self.ages.is_none() || self.count_all(limits, now, 1)
    }

    /// Counts messages that came in one.
    pub(crate) fn count_all(&mut self, limits: &Limits, now: Instant, count: u32) -> bool {
        let Some(ages) = &mut self.ages else {
            return true;
        };
        ages.last_message = now;
        ages.messages
            .count(now, count, limits.messages_per_second_max)
    }

    /// Whether one of the ages is reached.
    pub(crate) fn aged(&self, limits: &Limits, now: Instant) -> Option<Aged> {
        let ages = self.ages.as_ref()?;
        if limits
            .idle_timeout
            .is_some_and(|idle| now >= ages.last_message + idle)
        {
            return Some(Aged::Idle);
        }
        (now >= ages.end_of_life).then_some(Aged::Old)
    }

    /// The heartbeat, if it is due; the next one counts from `now`.
    pub(crate) fn take_heartbeat(
        &mut self,
        limits: &Limits,
        now: Instant,
    ) -> Option<&'static [u8]> {
        let heartbeat = limits.heartbeat.as_ref()?;
        let ages = self.ages.as_mut().filter(|ages| now >= ages.heartbeat)?;
        ages.heartbeat = now + heartbeat.every;
        Some(heartbeat.text)
    }

    /// When something is due.
    pub(crate) fn deadline(&self, limits: &Limits) -> Option<Instant> {
        let machine = self.machine.poll_timeout(&limits.machine);
        let Some(ages) = self
            .ages
            .as_ref()
            .filter(|_| self.owner != 0 || self.session != 0)
        else {
            return machine;
        };
        let idle = limits.idle_timeout.map(|idle| ages.last_message + idle);
        let old = limits.lifetime_max.map(|_| ages.end_of_life);
        let beat = limits.heartbeat.as_ref().map(|_| ages.heartbeat);
        machine.into_iter().chain(idle).chain(old).chain(beat).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::START + Duration::from_secs(seconds)
    }

    fn websocket(limits: &Limits) -> WebSocket {
        WebSocket {
            left: None,
            machine: Wire::Rfc6455(machine::Machine::new(at(0))),
            owner: 1,
            session: 0,
            mount: 0,
            ages: limits.ages(at(0), 0.5),
        }
    }

    #[test]
    fn nothing_is_counted_by_default() {
        let limits = Limits::new(&WebSocketLimits::default(), true, true);
        let mut ws = websocket(&limits);
        assert!(ws.ages.is_none());
        assert!(ws.count(&limits, at(0)));
        assert_eq!(ws.aged(&limits, Instant::FAR), None);
    }

    #[test]
    fn messages_per_second_just_under_and_over() {
        let of = WebSocketLimits {
            messages_per_second_max: 2,
            ..Default::default()
        };
        let limits = Limits::new(&of, true, true);
        let mut ws = websocket(&limits);
        assert!(ws.count(&limits, at(0)));
        assert!(ws.count(&limits, at(0)));
        assert!(!ws.count(&limits, at(0)));
        assert!(ws.count(&limits, at(1)));
    }

    #[test]
    fn idle_counts_from_the_last_message_and_old_from_the_first() {
        let of = WebSocketLimits {
            idle_timeout: Duration::from_secs(10),
            lifetime_max: Duration::from_secs(100),
            ping_interval: Duration::ZERO,
            ..Default::default()
        };
        let limits = Limits::new(&of, true, true);
        let mut ws = websocket(&limits);
        assert_eq!(ws.deadline(&limits), Some(at(10)));
        assert!(ws.count(&limits, at(9)));
        assert_eq!(ws.aged(&limits, at(18)), None);
        assert_eq!(ws.aged(&limits, at(19)), Some(Aged::Idle));
        for second in 10..94 {
            ws.count(&limits, at(second));
        }
        // A hundred seconds less the spread: half of a tenth.
        assert_eq!(ws.aged(&limits, at(94)), None);
        assert_eq!(ws.deadline(&limits), Some(at(95)));
        assert_eq!(ws.aged(&limits, at(95)), Some(Aged::Old));
    }
}
