//! The life of a Socket.IO session: a handshake, then receivers that come and go.
//!
//! Unlike SockJS it is made before its first receiver; a new receiver takes the place of the old one;
//! a lost receiver is no loss: what waits is kept for a while, and the client may come back by any
//! transport, a WebSocket too. Both sides beat. In Socket.IO 0.6 the first receiver makes the session, and the
//! loss of a WebSocket ends it: the caller sees to both.
//!
//! ```text
//! Opening -- accept() --> Open -- close() --> Closing -- the last packet is taken --> gone
//!    |                     |                     |
//!    `-- refused: gone     `-- missed beats -----'-- session_expiry without a receiver --> gone
//! ```
//!
//! Not here: what packets mean (`proto`), who they are for, the wrapping of payloads.

use super::MESSAGE_LOAD;
use crate::time::Instant;
use std::time::Duration;

/// A session whose receivers are named by an `R`.
#[derive(Debug)]
pub struct Session<R> {
    stage: Stage,
    receiver: Option<Receiver<R>>,
    /// Packets that wait, one behind the other, and where each ends.
    packets: Vec<u8>,
    ends: Vec<usize>,
    /// When a poll has lasted long enough; without a receiver, when the session is gone.
    due: Instant,
    /// When the next beat goes out.
    beat: Instant,
    /// Beats that went out since anything was heard.
    unanswered: u32,
}

/// Where the server may send now.
#[derive(Debug)]
pub struct Receiver<R> {
    /// What the caller calls it.
    pub at: R,
    /// What it can take.
    pub kind: Kind,
}

/// What a receiver can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One payload, and the answer ends.
    Poll,
    /// One payload after the other.
    Stream,
    /// One packet after the other.
    WebSocket,
}

/// What a session keeps to.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Between two beats of ours; `None`: there are none. Default: 12 s.
    pub heartbeat_interval: Option<Duration>,
    /// At so many beats without a sign of life the session is closed. Default: 3.
    pub missed_max: u32,
    /// Whether there are beats also while the client polls. Default: true.
    pub global_heartbeats: bool,
    /// How long a poll is held. Default: 20 s.
    pub polling_timeout: Duration,
    /// How long a session without a receiver lives. Default: 30 s.
    pub session_expiry: Duration,
    /// Expiry is rounded up to multiples of this; zero: it is not. Default: zero.
    pub check_interval: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            heartbeat_interval: Some(Duration::from_secs(12)),
            missed_max: 3,
            global_heartbeats: true,
            polling_timeout: Duration::from_secs(20),
            session_expiry: Duration::from_secs(30),
            check_interval: Duration::ZERO,
        }
    }
}

impl Limits {
    /// When a session that has no receiver from `now` on is gone.
    fn expiry(&self, now: Instant) -> Instant {
        let at = now + self.session_expiry;
        match u64::try_from(self.check_interval.as_nanos()) {
            Ok(grid) if grid > 0 => at.round_up(grid),
            _ => at,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Opening,
    Open,
    /// The last packet waits; nothing comes behind it.
    Closing,
}

/// A deadline that passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// A beat has to be pushed.
    Heartbeat,
    /// The poll has lasted long enough: a packet that says nothing has to be pushed.
    PollEnded,
    /// The client has not answered: the session has to be closed.
    Silent,
    /// Nobody came back: the session is to be forgotten.
    Expired,
}

impl<R> Default for Session<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R> Session<R> {
    /// A session that the application decides about, in its own time.
    pub fn new() -> Self {
        Self {
            stage: Stage::Opening,
            receiver: None,
            packets: Vec::new(),
            ends: Vec::new(),
            due: Instant::FAR,
            beat: Instant::FAR,
            unanswered: 0,
        }
    }

    /// The application takes it.
    pub fn accept(&mut self, now: Instant, limits: &Limits) {
        self.stage = Stage::Open;
        self.due = limits.expiry(now);
        self.arm_beat(now, limits);
    }

    /// Whether packets of the client are looked at.
    pub fn is_open(&self) -> bool {
        self.stage == Stage::Open
    }

    /// Whether the last packet has been pushed.
    pub fn is_closing(&self) -> bool {
        self.stage == Stage::Closing
    }

    /// Whether no packet waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Whether everything is said.
    pub fn is_over(&self) -> bool {
        self.is_closing() && self.ends.is_empty()
    }

    /// The receiver, if there is one.
    pub fn receiver(&self) -> Option<&Receiver<R>> {
        self.receiver.as_ref()
    }

    /// Attaches a receiver, where the one before has been detached.
    pub fn attach(&mut self, at: R, kind: Kind, now: Instant, limits: &Limits) {
        debug_assert!(self.receiver.is_none());
        self.receiver = Some(Receiver { at, kind });
        self.due = match kind {
            Kind::Poll => now + limits.polling_timeout,
            Kind::Stream | Kind::WebSocket => {
                // Polls come by themselves, these because the client wants to go on.
                self.heard();
                Instant::FAR
            }
        };
        // Beats go on over all receivers: polls that follow each other must not put them off.
        if self.beat == Instant::FAR {
            self.arm_beat(now, limits);
        }
    }

    /// The receiver has had its answer, is lost, or makes room for another.
    pub fn detach(&mut self, now: Instant, limits: &Limits) -> Option<Receiver<R>> {
        let receiver = self.receiver.take()?;
        self.due = limits.expiry(now);
        if !limits.global_heartbeats {
            self.beat = Instant::FAR;
        }
        Some(receiver)
    }

    /// Something came from the client: it lives.
    #[inline]
    pub fn heard(&mut self) {
        self.unanswered = 0;
    }

    /// Queues a packet that `write` appends. False, and nothing: the last one has been pushed.
    pub fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        if self.stage == Stage::Closing {
            return false;
        }
        write(&mut self.packets);
        self.ends.push(self.packets.len());
        true
    }

    /// Queues the last packet.
    pub fn close(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.push(write);
        self.stage = Stage::Closing;
        self.beat = Instant::FAR;
    }

    /// Closes without a packet of its own.
    pub fn close_silently(&mut self) {
        self.stage = Stage::Closing;
        self.beat = Instant::FAR;
    }

    /// Bytes that waiting packets take.
    pub fn waiting(&self) -> usize {
        self.packets.len() + self.ends.len() * size_of::<usize>()
    }

    /// What waits, as the limits see it: a packet is no less than [`MESSAGE_LOAD`].
    pub fn load(&self) -> usize {
        self.waiting().max(self.ends.len() * MESSAGE_LOAD)
    }

    /// Drops the packets that wait; answers how many bytes they took.
    pub fn drop_waiting(&mut self) -> usize {
        let waiting = self.waiting();
        self.taken();
        waiting
    }

    /// The packets that wait, in order.
    pub fn packets(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let both = starts.zip(&self.ends);
        both.map(|(start, end)| &self.packets[start..*end])
    }

    /// They have been handed to the receiver.
    pub fn taken(&mut self) {
        self.ends.clear();
        self.packets.clear();
        if self.packets.capacity() > PACKETS_BYTES_KEPT {
            self.packets = Vec::new();
            self.ends = Vec::new();
        }
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Instant {
        self.due.min(self.beat)
    }

    /// Says that `now` has come. Early calls do nothing; one call tells one thing.
    pub fn handle_timeout(&mut self, now: Instant, limits: &Limits) -> Option<Due> {
        // A beat that is due as well ends the poll by itself, and somebody is there to hear it.
        let beat_first = self.receiver.is_some() && self.beat <= self.due;
        if now >= self.due && !beat_first {
            if self.receiver.is_none() {
                return Some(Due::Expired);
            }
            // A poll that has packets to take ends by itself.
            self.due = now + limits.polling_timeout;
            return Some(Due::PollEnded);
        }
        if now < self.beat {
            return None;
        }
        // What nobody could hear is not missed, and a turn this late says nothing about the client.
        let is_late = limits
            .heartbeat_interval
            .is_some_and(|every| now - self.beat >= every);
        let counts = self.receiver.is_some() && !is_late;
        self.unanswered += u32::from(counts);
        self.arm_beat(now, limits);
        match counts && self.unanswered >= limits.missed_max {
            true => Some(Due::Silent),
            false => Some(Due::Heartbeat),
        }
    }

    fn arm_beat(&mut self, now: Instant, limits: &Limits) {
        let streams = self
            .receiver
            .as_ref()
            .is_some_and(|it| it.kind != Kind::Poll);
        let beats = limits.global_heartbeats || streams;
        self.beat = match limits.heartbeat_interval {
            Some(every) if beats && self.stage != Stage::Closing => now + every,
            _ => Instant::FAR,
        };
    }
}

/// A queue that a burst has grown beyond this is given back.
const PACKETS_BYTES_KEPT: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::START + Duration::from_millis(ms)
    }

    fn open(limits: &Limits) -> Session<u8> {
        let mut session = Session::new();
        session.accept(at(0), limits);
        session
    }

    fn texts(session: &Session<u8>) -> Vec<String> {
        let texts = session.packets().map(String::from_utf8_lossy);
        texts.map(|text| text.into_owned()).collect()
    }

    fn say(session: &mut Session<u8>, text: &str) -> bool {
        session.push(|out| out.extend_from_slice(text.as_bytes()))
    }

    #[test]
    fn packets_wait_for_a_receiver_and_keep_their_order() {
        let limits = Limits::default();
        let mut session = open(&limits);
        assert!(say(&mut session, "1::"));
        assert!(say(&mut session, "3:::x"));
        assert_eq!(texts(&session), ["1::", "3:::x"]);
        assert_eq!(session.waiting(), 8 + 2 * size_of::<usize>());
        session.attach(1, Kind::Poll, at(10), &limits);
        session.taken();
        assert_eq!(texts(&session), [""; 0]);
        assert_eq!(session.detach(at(20), &limits).unwrap().at, 1);
    }

    #[test]
    fn a_session_without_a_receiver_expires() {
        let limits = Limits {
            heartbeat_interval: None,
            ..Limits::default()
        };
        let mut session = open(&limits);
        assert_eq!(session.handle_timeout(at(29_999), &limits), None);
        assert_eq!(
            session.handle_timeout(at(30_000), &limits),
            Some(Due::Expired)
        );
        session.attach(1, Kind::Stream, at(30_000), &limits);
        assert_eq!(session.poll_timeout(), Instant::FAR);
        session.detach(at(40_000), &limits);
        assert_eq!(session.poll_timeout(), at(70_000));
    }

    #[test]
    fn expiry_is_rounded_up() {
        let limits = Limits {
            heartbeat_interval: None,
            check_interval: Duration::from_secs(15),
            ..Limits::default()
        };
        let mut session = Session::<u8>::new();
        assert_eq!(session.poll_timeout(), Instant::FAR);
        session.accept(at(1), &limits);
        assert_eq!(session.poll_timeout(), at(45_000));
        let mut session = Session::<u8>::new();
        session.accept(at(0), &limits);
        assert_eq!(session.poll_timeout(), at(30_000));
    }

    #[test]
    fn a_poll_ends() {
        let limits = Limits {
            heartbeat_interval: None,
            ..Limits::default()
        };
        let mut session = open(&limits);
        session.attach(1, Kind::Poll, at(0), &limits);
        assert_eq!(session.handle_timeout(at(19_999), &limits), None);
        assert_eq!(
            session.handle_timeout(at(20_000), &limits),
            Some(Due::PollEnded)
        );
    }

    #[test]
    fn a_beat_at_the_end_of_a_poll_is_heard() {
        let limits = Limits {
            polling_timeout: Duration::from_secs(12),
            ..Limits::default()
        };
        let mut session = open(&limits);
        for (n, want) in [(1, Due::Heartbeat), (2, Due::Heartbeat), (3, Due::Silent)] {
            session.attach(1, Kind::Poll, at(12_000 * (n - 1)), &limits);
            let due = session.handle_timeout(at(12_000 * n), &limits);
            assert_eq!(due, Some(want), "{n}");
            session.detach(at(12_000 * n), &limits);
        }
    }

    /// A stream or a WebSocket that comes back is a sign of life, a poll is none.
    #[test]
    fn who_comes_back_lives() {
        let limits = Limits::default();
        for (kind, want) in [
            (Kind::Poll, Due::Silent),
            (Kind::Stream, Due::Heartbeat),
            (Kind::WebSocket, Due::Heartbeat),
        ] {
            let mut session = open(&limits);
            session.attach(1, Kind::Stream, at(0), &limits);
            for n in 1..3 {
                let due = session.handle_timeout(at(n * 12_000), &limits);
                assert_eq!(due, Some(Due::Heartbeat));
            }
            session.detach(at(25_000), &limits);
            session.attach(2, kind, at(26_000), &limits);
            let due = session.handle_timeout(at(36_000), &limits);
            assert_eq!(due, Some(want), "{kind:?}");
        }
    }

    #[test]
    fn the_third_beat_unanswered_ends_it() {
        let limits = Limits::default();
        let mut session = open(&limits);
        session.attach(1, Kind::WebSocket, at(0), &limits);
        assert_eq!(session.handle_timeout(at(11_999), &limits), None);
        assert_eq!(
            session.handle_timeout(at(12_000), &limits),
            Some(Due::Heartbeat)
        );
        session.heard();
        assert_eq!(
            session.handle_timeout(at(24_000), &limits),
            Some(Due::Heartbeat)
        );
        assert_eq!(
            session.handle_timeout(at(36_000), &limits),
            Some(Due::Heartbeat)
        );
        assert_eq!(
            session.handle_timeout(at(48_000), &limits),
            Some(Due::Silent)
        );
    }

    #[test]
    fn beats_that_are_not_counted() {
        let limits = Limits {
            session_expiry: Duration::from_secs(3600),
            ..Limits::default()
        };
        let mut session = open(&limits);
        for n in 1..10 {
            let due = session.handle_timeout(at(n * 12_000), &limits);
            assert_eq!(due, Some(Due::Heartbeat), "nobody is there");
        }
        session.attach(1, Kind::WebSocket, at(108_000), &limits);
        for n in 1..10 {
            let due = session.handle_timeout(at(108_000 + n * 24_000), &limits);
            assert_eq!(due, Some(Due::Heartbeat), "as late as another one");
        }
    }

    #[test]
    fn beats_on_polls_only_if_they_are_global() {
        for (global, beat) in [(true, at(12_000)), (false, Instant::FAR)] {
            let limits = Limits {
                global_heartbeats: global,
                ..Limits::default()
            };
            let mut session = open(&limits);
            session.attach(1, Kind::Poll, at(0), &limits);
            assert_eq!(session.beat, beat);
            session.detach(at(1), &limits);
            session.attach(1, Kind::Stream, at(2), &limits);
            assert_eq!(session.beat, if global { beat } else { at(12_002) });
        }
    }

    #[test]
    fn nothing_comes_behind_the_last_packet() {
        let limits = Limits::default();
        let mut session = open(&limits);
        say(&mut session, "3:::x");
        session.close(|out| out.extend_from_slice(b"0::"));
        assert!(!say(&mut session, "3:::y"));
        assert_eq!(texts(&session), ["3:::x", "0::"]);
        assert!(session.is_closing() && !session.is_over());
        session.taken();
        assert!(session.is_over());
    }
}
