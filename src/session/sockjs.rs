//! The life of a virtual connection that spans many HTTP requests.
//!
//! A client polls or streams. Each such request is a *receiver*: the one place where the server may
//! send now. A session has one or none; what is sent meanwhile waits. It ends when nobody has come
//! back for a while, when a receiver is lost, or when one of the two sides closes.
//!
//! ```text
//! Opening -- accept() --> Open -- close(), cut() --> Closed -- disconnect_delay --> gone
//!    |                     |
//!    `-- refused: close()  `-- disconnect_delay without a receiver --> gone
//! ```
//!
//! Give [`Session::attach`] each receiver. After anything that may have produced output, take
//! frames with [`Session::transmit`] until it answers `None`, write each where the receiver is, and
//! end the response when it says that this was the last. [`Session::poll_timeout`] may be earlier
//! after any call.
//!
//! Not here: sockets, the requests on the wire, the application's object; a session on a WebSocket,
//! which is as long as its conn and needs none of this.

use super::MESSAGE_LOAD;
use crate::proto::sockjs::Profile;
use crate::proto::sockjs::frame;
use crate::proto::sockjs::wrapping::Wrapping;
use crate::time::Instant;
use std::time::Duration;

/// A session whose receivers are named by an `R`.
#[derive(Debug)]
pub struct Session<R> {
    stage: Stage,
    receiver: Option<Receiver<R>>,
    /// Messages that wait, as JSON strings with commas between them.
    outbox: Vec<u8>,
    /// How many those are.
    count: usize,
    /// The close frame: kept, and given to each later receiver.
    closed: Option<(u16, Box<str>)>,
    /// When the receiver is owed a heartbeat; without a receiver, when the session is gone.
    due: Instant,
    owes_open: bool,
    owes_heartbeat: bool,
}

/// Where the server may send now.
#[derive(Debug)]
pub struct Receiver<R> {
    /// What the caller calls it.
    pub at: R,
    /// How frames are put there.
    pub wrapping: Wrapping,
    /// Bytes of frames so far.
    sent: usize,
}

/// What a session keeps to.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Between two heartbeats while a receiver is attached. Default: 25 s.
    pub heartbeat_delay: Duration,
    /// How long a session without a receiver lives. Default: 5 s.
    pub disconnect_delay: Duration,
    /// Bytes of frames after which a streaming response ends. Default: 128 KiB.
    pub response_limit: usize,
    /// Whose bytes are sent.
    pub profile: Profile,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            heartbeat_delay: Duration::from_secs(25),
            disconnect_delay: Duration::from_secs(5),
            response_limit: 128 << 10,
            profile: Profile::Current,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The application has not decided yet: nothing is sent.
    Opening,
    Open,
    /// Closed for the application; the close frame is kept for who comes.
    Closed,
}

/// A frame was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// More may follow on this response.
    More,
    /// It was the last on this response, which ends: call [`Session::detach`].
    Last,
}

/// A deadline that passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// A heartbeat is ready to be transmitted.
    Heartbeat,
    /// Nobody came back: the session is to be forgotten.
    Expired,
}

impl<R> Session<R> {
    /// A session whose first receiver is on its way.
    pub fn new(now: Instant, limits: &Limits) -> Self {
        Self {
            stage: Stage::Opening,
            receiver: None,
            outbox: Vec::new(),
            count: 0,
            closed: None,
            due: now + limits.disconnect_delay,
            owes_open: true,
            owes_heartbeat: false,
        }
    }

    /// The application takes it.
    pub fn accept(&mut self) {
        if self.stage == Stage::Opening {
            self.stage = Stage::Open;
        }
    }

    /// Whether messages of the client are handed on.
    pub fn is_open(&self) -> bool {
        self.stage == Stage::Open
    }

    /// Whether it was closed, from either side.
    pub fn is_closed(&self) -> bool {
        self.stage == Stage::Closed
    }

    /// The receiver, if there is one.
    pub fn receiver(&self) -> Option<&Receiver<R>> {
        self.receiver.as_ref()
    }

    /// Attaches a receiver; not where [`Self::receiver`] has one already.
    pub fn attach(&mut self, at: R, wrapping: Wrapping, now: Instant, limits: &Limits) {
        debug_assert!(self.receiver.is_none());
        self.receiver = Some(Receiver {
            at,
            wrapping,
            sent: 0,
        });
        self.owes_heartbeat = false;
        self.due = now + limits.heartbeat_delay;
    }

    /// The response of the receiver has ended properly.
    pub fn detach(&mut self, now: Instant, limits: &Limits) -> Option<Receiver<R>> {
        let receiver = self.receiver.take()?;
        self.due = now + limits.disconnect_delay;
        Some(receiver)
    }

    /// Bytes of messages that wait.
    pub fn waiting(&self) -> usize {
        self.outbox.len()
    }

    /// What waits, as the limits see it: a message is no less than [`MESSAGE_LOAD`].
    pub fn load(&self) -> usize {
        self.outbox.len().max(self.count * MESSAGE_LOAD)
    }

    /// Drops the messages that wait; answers how many bytes they were.
    pub fn drop_waiting(&mut self) -> usize {
        self.count = 0;
        std::mem::take(&mut self.outbox).len()
    }

    /// Queues a message.
    pub fn push(&mut self, text: &str) {
        self.comma();
        frame::push_string(&mut self.outbox, text);
    }

    /// Queues a message that is a JSON string already, escaped as clients want it.
    pub fn push_json(&mut self, json: &[u8]) {
        self.comma();
        self.outbox.extend_from_slice(json);
    }

    fn comma(&mut self) {
        self.count += 1;
        if !self.outbox.is_empty() {
            self.outbox.push(b',');
        }
    }

    /// Closes from our side: what waits is still sent, then the close frame. A second call changes
    /// nothing.
    pub fn close(&mut self, code: u16, reason: &str, now: Instant, limits: &Limits) {
        if self.stage == Stage::Closed {
            return;
        }
        self.stage = Stage::Closed;
        self.closed = Some((code, reason.into()));
        if self.receiver.is_none() {
            self.due = now + limits.disconnect_delay;
        }
    }

    /// The receiver's conn was lost, and with it perhaps messages: the session is closed, and who
    /// comes back is told so.
    pub fn cut(&mut self, now: Instant, limits: &Limits) {
        self.receiver = None;
        self.drop_waiting();
        self.close(1002, "Connection interrupted", now, limits);
        self.due = now + limits.disconnect_delay;
    }

    /// Writes the next frame for the receiver, wrapped, to `out`; `scratch` is empty before and
    /// after. `None`: there is no receiver, or nothing to send.
    pub fn transmit(
        &mut self,
        now: Instant,
        limits: &Limits,
        scratch: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Option<Sent> {
        let receiver = self.receiver.as_mut()?;
        let mut last = receiver.wrapping.is_polling();
        if self.stage == Stage::Opening {
            return None;
        } else if self.owes_open {
            self.owes_open = false;
            scratch.extend_from_slice(frame::OPEN);
        } else if !self.outbox.is_empty() {
            frame::push_messages(scratch, &self.outbox);
            self.outbox.clear();
            self.count = 0;
            if self.outbox.capacity() > OUTBOX_BYTES_KEPT {
                self.outbox = Vec::new();
            }
        } else if let Some((code, reason)) = &self.closed {
            frame::push_close(scratch, *code, reason);
            last = true;
        } else if self.owes_heartbeat {
            self.owes_heartbeat = false;
            self.due = now + limits.heartbeat_delay;
            scratch.extend_from_slice(frame::HEARTBEAT);
        } else {
            return None;
        }
        let before = out.len();
        receiver.wrapping.wrap(scratch, limits.profile, out);
        scratch.clear();
        receiver.sent += out.len() - before;
        if last || receiver.sent >= limits.response_limit {
            return Some(Sent::Last);
        }
        Some(Sent::More)
    }

    /// Whether there is something that a receiver would get.
    pub fn has_output(&self) -> bool {
        self.stage != Stage::Opening
            && (self.owes_open
                || !self.outbox.is_empty()
                || self.closed.is_some()
                || self.owes_heartbeat)
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Instant {
        self.due
    }

    /// Says that `now` has come. Early calls do nothing.
    pub fn handle_timeout(&mut self, now: Instant, limits: &Limits) -> Option<Due> {
        if now < self.due {
            return None;
        }
        if self.receiver.is_none() {
            return Some(Due::Expired);
        }
        // It counts from now on, also when it cannot be sent yet.
        self.due = now + limits.heartbeat_delay;
        self.owes_heartbeat = self.stage == Stage::Open;
        self.owes_heartbeat.then_some(Due::Heartbeat)
    }
}

/// An outbox that a burst has grown beyond this is given back.
const OUTBOX_BYTES_KEPT: usize = 4 << 10;

#[cfg(test)]
mod tests;
