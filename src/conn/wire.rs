//! The framing of a WebSocket: that of RFC 6455, or of one of the drafts before it.

use crate::proto::ws::Kind;
use crate::proto::ws::error::Error;
use crate::proto::ws::hixie;
use crate::proto::ws::machine::{Event, Expired, Limits, Machine, State};
use crate::storage::input::Input;
use crate::time::Instant;

/// A WebSocket's machine. The drafts are rare, and so their machine is behind a pointer.
pub(crate) enum Wire {
    Rfc6455(Machine),
    Hixie(Box<hixie::Machine>),
}

impl Wire {
    /// Whether frames made for RFC 6455 can be sent as they are.
    #[inline]
    pub(crate) fn takes_frames(&self) -> bool {
        matches!(self, Self::Rfc6455(_))
    }

    /// Bytes that wait in here to be sent: until a nonce has come.
    #[inline]
    pub(crate) fn waiting(&self) -> usize {
        match self {
            Self::Rfc6455(_) => 0,
            Self::Hixie(machine) => machine.waiting(),
        }
    }

    /// Whether a nonce has to come before all else.
    #[inline]
    pub(crate) fn awaits_nonce(&self) -> bool {
        match self {
            Self::Rfc6455(_) => false,
            Self::Hixie(machine) => machine.awaits_nonce(),
        }
    }

    #[inline]
    pub(crate) fn state(&self) -> State {
        match self {
            Self::Rfc6455(machine) => machine.state(),
            Self::Hixie(machine) => machine.state(),
        }
    }

    #[inline]
    pub(crate) fn poll_event<'b>(
        &mut self,
        input: &mut Input<'b>,
        limits: &Limits,
        backlogged: bool,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event<'b>>, Error> {
        match self {
            Self::Rfc6455(machine) => machine.poll_event(input, limits, backlogged, out),
            Self::Hixie(machine) => machine.poll_event(input, limits, backlogged, out),
        }
    }

    #[inline]
    pub(crate) fn send(&mut self, kind: Kind, payload: &[u8], out: &mut Vec<u8>) -> bool {
        match self {
            Self::Rfc6455(machine) => machine.send(kind, payload, out),
            Self::Hixie(machine) => machine.send(kind, payload, out),
        }
    }

    /// Sends a ping; false also where there are none.
    pub(crate) fn ping(&mut self, data: &[u8], out: &mut Vec<u8>) -> bool {
        match self {
            Self::Rfc6455(machine) => machine.ping(data, out),
            Self::Hixie(_) => false,
        }
    }

    pub(crate) fn close(
        &mut self,
        code: Option<u16>,
        reason: &str,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> bool {
        match self {
            Self::Rfc6455(machine) => machine.close(code, reason, now, out),
            Self::Hixie(machine) => machine.close(code, reason, now, out),
        }
    }

    pub(crate) fn fail(&mut self, error: Error, out: &mut Vec<u8>) {
        match self {
            Self::Rfc6455(machine) => machine.fail(error, out),
            Self::Hixie(machine) => machine.fail(error, out),
        }
    }

    #[inline]
    pub(crate) fn heard(&mut self, now: Instant) {
        match self {
            Self::Rfc6455(machine) => machine.heard(now),
            Self::Hixie(machine) => machine.heard(now),
        }
    }

    pub(crate) fn held_bytes(&self) -> usize {
        match self {
            Self::Rfc6455(machine) => machine.held_bytes(),
            Self::Hixie(machine) => machine.held_bytes(),
        }
    }

    pub(crate) fn is_answer(&self, payload: &[u8]) -> bool {
        match self {
            Self::Rfc6455(machine) => machine.is_answer(payload),
            Self::Hixie(_) => false,
        }
    }

    pub(crate) fn is_unanswered(&self) -> bool {
        match self {
            Self::Rfc6455(machine) => machine.is_unanswered(),
            Self::Hixie(_) => false,
        }
    }

    pub(crate) fn pause(&mut self) {
        if let Self::Rfc6455(machine) = self {
            machine.pause();
        }
    }

    pub(crate) fn resume(&mut self, now: Instant) -> bool {
        match self {
            Self::Rfc6455(machine) => machine.resume(now),
            Self::Hixie(_) => false,
        }
    }

    pub(crate) fn unblocked(&mut self, out: &mut Vec<u8>) {
        if let Self::Rfc6455(machine) = self {
            machine.unblocked(out);
        }
    }

    pub(crate) fn poll_timeout(&self, limits: &Limits) -> Option<Instant> {
        match self {
            Self::Rfc6455(machine) => machine.poll_timeout(limits),
            Self::Hixie(machine) => machine.poll_timeout(limits),
        }
    }

    pub(crate) fn handle_timeout(
        &mut self,
        now: Instant,
        limits: &Limits,
        out: &mut Vec<u8>,
    ) -> Option<Expired> {
        match self {
            Self::Rfc6455(machine) => machine.handle_timeout(now, limits, out),
            Self::Hixie(machine) => machine.handle_timeout(now, limits, out),
        }
    }
}
