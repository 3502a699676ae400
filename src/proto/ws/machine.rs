//! One WebSocket connection, server side: frames into messages, pings, closing (RFC 6455, 5 to 7).
//!
//! Give the bytes read from the socket to [`Machine::poll_event`] until it answers `None`, tell
//! [`Machine::heard`] once for each read, and write what any method appends to `out`. There is no
//! socket and no clock in here.
//!
//! Not here: the opening handshake (`handshake.rs`); extensions, which are never offered; what
//! becomes of the socket once the state is [`State::Closed`].
//!
//! A message that lies whole in the input is unmasked and checked there and lent out, nothing is
//! copied. Any other is put together in a buffer that grows with the bytes that came, never with
//! the length that was claimed. That buffer, a header cut by the end of a read and a waiting pong
//! live in a box that is there only while one of them is: an idle connection is 40 bytes.
//!
//! ```text
//! Open -- close() ------------------------> ClosingLocal -- close frame, close_timeout --> Closed
//! Open -- close frame, a broken rule, ping timeout --------------------------------------> Closed
//! ```
//!
//! The caller keeps: when the state is `Closed`, it writes what `out` holds, then closes the
//! socket. After any call the answer of [`Machine::poll_timeout`] may have changed; a timer may be
//! left early, since [`Machine::handle_timeout`] does nothing before its time.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use super::close::{self, Close};
use super::error::Error;
use super::frame::{self, CLIENT_HEAD_BYTES_MAX, CONTROL_BYTES_MAX, Header, Kind, Opcode, Rules};
use super::mask::unmask;
use super::utf8::Utf8;
use crate::storage::input::Input;
use crate::time::Instant;

/// One connection.
#[derive(Debug)]
pub struct Machine {
    /// When the last bytes came.
    heard: Instant,
    /// When our close frame or the ping that waits for life was sent.
    sent: Instant,
    /// What is not there on an idle connection.
    unfinished: Option<Box<Unfinished>>,
    /// Pings sent, the payload of the next one.
    pings: u64,
    state: State,
    /// Nothing has been heard since the ping of `sent`.
    unanswered: bool,
    paused: bool,
}

/// Where a connection is in its life (RFC 6455, 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Messages go both ways.
    Open,
    /// We have sent a close frame and wait for the peer's; nothing is delivered any more.
    ClosingLocal,
    /// The handshake is over or has failed: input is dropped, nothing more is sent.
    Closed,
}

/// What the peer did.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'b> {
    /// A whole message; text is valid UTF-8.
    Message {
        /// Text or binary.
        kind: Kind,
        /// Its bytes.
        payload: Payload<'b>,
    },
    /// A ping. Its pong is in `out` or waits until the backlog is gone.
    Ping {
        /// At most 125 bytes.
        payload: Payload<'b>,
    },
    /// A pong, asked for or not.
    Pong {
        /// At most 125 bytes.
        payload: Payload<'b>,
    },
    /// The peer's close frame; the state is [`State::Closed`] now, and our answer is in `out` unless
    /// we had closed before.
    Close {
        /// Its code; `None` if it had none (1005).
        code: Option<u16>,
        /// Its reason, often empty.
        reason: String,
    },
    /// A frame that says nothing yet or nothing any more: a fragment that is not the last, or what
    /// comes behind our close frame. It is told so that every frame can be counted as work.
    Silent,
}

/// The bytes of a message or of a control frame.
#[derive(Debug, PartialEq, Eq)]
pub enum Payload<'b> {
    /// They came whole and lie in the input, unmasked.
    Borrowed(&'b mut [u8]),
    /// They came in pieces.
    Owned(Vec<u8>),
}

/// What the machine allows; one for all connections of a route.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a message. Default: 1 MiB. Zero allows empty messages only.
    pub message_bytes_max: usize,
    /// Bytes of a data frame. Default: 1 MiB.
    pub frame_bytes_max: usize,
    /// Frames of a message. Default: 131,072.
    pub fragments_max: u32,
    /// Empty frames of a message in fragments. Default: 1024.
    pub empty_fragments_max: u32,
    /// Silence after which we send a ping; `None`: never. Default: 25 s.
    pub ping_interval: Option<Duration>,
    /// Silence after such a ping that ends the connection. Default: 20 s.
    pub ping_timeout: Duration,
    /// How long we wait for the answer to our close frame. Default: 5 s.
    pub close_timeout: Duration,
    /// Frames without a mask are taken too (against RFC 6455, 5.1). Default: false.
    pub accept_unmasked: bool,
    /// A length not in its shortest form is refused (RFC 6455, 5.2). Default: false, as most servers.
    pub strict_length: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes_max: 1 << 20,
            frame_bytes_max: 1 << 20,
            fragments_max: 131_072,
            empty_fragments_max: 1024,
            ping_interval: Some(Duration::from_secs(25)),
            ping_timeout: Duration::from_secs(20),
            close_timeout: Duration::from_secs(5),
            accept_unmasked: false,
            strict_length: false,
        }
    }
}

/// A deadline that passed. The state is [`State::Closed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expired {
    /// No byte within [`Limits::ping_timeout`] of our ping; a close frame (1011) is in `out`.
    Ping,
    /// No close frame within [`Limits::close_timeout`] of ours: cut the socket, report 1006.
    Close,
}

/// The least work a frame counts for in the budget of a turn, in bytes: a peer that sends tiny
/// frames has its turn as short as others. An event is one frame or the end of one, and costs the
/// bytes of input it took, but at least this.
pub const FRAME_WORK: usize = 1024;

impl Machine {
    /// A connection whose handshake was done at `now`.
    pub fn new(now: Instant) -> Self {
        Self {
            heard: now,
            sent: now,
            unfinished: None,
            pings: 0,
            state: State::Open,
            unanswered: false,
            paused: false,
        }
    }

    /// Where the connection is in its life.
    pub fn state(&self) -> State {
        self.state
    }

    /// Takes the next event out of `input`. `Ok(None)`: all of it is taken, what was unfinished is kept.
    ///
    /// Pings are answered in `out` at once and in order. While `backlogged` (bytes are left after a
    /// refused write) only the newest waits, for [`Self::unblocked`]: a flood fills no memory.
    ///
    /// # Errors
    ///
    /// The rule the peer broke. The close frame is in `out`, the state is [`State::Closed`].
    #[inline]
    pub fn poll_event<'b>(
        &mut self,
        input: &mut Input<'b>,
        limits: &Limits,
        backlogged: bool,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event<'b>>, Error> {
        while !input.is_empty() && self.state != State::Closed {
            if let Some((header, payload)) = self.short_message(input, limits) {
                match unmask_message(&header, payload) {
                    Ok(_) if self.state != State::Open => return Ok(Some(Event::Silent)),
                    Ok(kind) => {
                        let payload = Payload::Borrowed(payload);
                        return Ok(Some(Event::Message { kind, payload }));
                    }
                    Err(error) => {
                        self.give_up(error, input, out);
                        return Err(error);
                    }
                }
            }
            let event = match self.next_head(input, limits) {
                // The common case: a message in one frame, all of it here. Its event is written
                // once, where the caller wants it (measured: through a variable it costs 5 ns).
                Ok(Some(header)) if header.is_message() && header.len <= input.len() => {
                    let payload = input.take(header.len);
                    match unmask_message(&header, payload) {
                        Ok(_) if self.state != State::Open => return Ok(Some(Event::Silent)),
                        Ok(kind) => {
                            let payload = Payload::Borrowed(payload);
                            return Ok(Some(Event::Message { kind, payload }));
                        }
                        Err(error) => Err(error),
                    }
                }
                Ok(header) => self.other_frame(header, input, limits, backlogged, out),
                Err(error) => Err(error),
            };
            match event {
                Ok(None) => {}
                Ok(event) => return Ok(event),
                Err(error) => {
                    self.give_up(error, input, out);
                    return Err(error);
                }
            }
        }
        if self.state == State::Closed {
            input.take(input.len());
        }
        Ok(None)
    }

    /// Bytes came, whatever they are: the peer lives.
    #[inline]
    pub fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.unanswered = false;
    }

    /// Bytes that are kept of an unfinished message.
    #[inline]
    pub fn held_bytes(&self) -> usize {
        let message = self.unfinished.as_ref().and_then(|it| it.message.as_ref());
        message.map_or(0, |message| message.bytes.len())
    }

    /// Whether a ping of ours waits for a sign of life.
    pub fn is_unanswered(&self) -> bool {
        self.unanswered
    }

    /// We stop reading the peer: until [`Self::resume`] its silence counts for nothing. The close
    /// timeout goes on.
    pub fn pause(&mut self) {
        self.paused = true;
    }

    /// We read the peer again: its silence begins at `now`. `false`, and nothing: it was not paused.
    pub fn resume(&mut self, now: Instant) -> bool {
        let paused = std::mem::take(&mut self.paused);
        if paused {
            self.heard(now);
        }
        paused
    }

    /// Sends a message; `false`: the connection is closing or closed.
    #[inline]
    pub fn send(&mut self, kind: Kind, payload: &[u8], out: &mut Vec<u8>) -> bool {
        let open = self.state == State::Open;
        if open {
            frame::write_message(out, kind, payload);
        }
        open
    }

    /// Sends a ping of the application; its pong is an event, no deadline hangs on it.
    ///
    /// `false`: the connection is closing or closed, or `data` is longer than 125 bytes.
    pub fn ping(&mut self, data: &[u8], out: &mut Vec<u8>) -> bool {
        let may = self.state == State::Open && data.len() <= CONTROL_BYTES_MAX;
        if may {
            frame::write_control(out, Opcode::Ping, data);
        }
        may
    }

    /// Whether a pong answers a ping that the machine sent by itself.
    pub fn is_answer(&self, pong: &[u8]) -> bool {
        match <[u8; 8]>::try_from(pong) {
            Ok(bytes) => (1..=self.pings).contains(&u64::from_be_bytes(bytes)),
            Err(_) => false,
        }
    }

    /// Begins the closing handshake: `code`, or 1000, and as much of `reason` as fits.
    ///
    /// `false`, and nothing is sent: the connection is closing or closed already, or the code is one
    /// that may not be sent.
    pub fn close(
        &mut self,
        code: Option<u16>,
        reason: &str,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> bool {
        let code = code.unwrap_or(NORMAL);
        if self.state != State::Open || !close::valid_code(code) {
            return false;
        }
        Close {
            code: Some(code),
            reason,
        }
        .encode(out);
        self.state = State::ClosingLocal;
        self.sent = now;
        if let Some(unfinished) = &mut self.unfinished {
            unfinished.pong = None;
            if let Some(message) = &mut unfinished.message {
                message.bytes = Vec::new();
            }
        }
        true
    }

    /// Ends the connection for what the peer did, and tells it so if no close frame was sent before.
    pub fn fail(&mut self, error: Error, out: &mut Vec<u8>) {
        self.end(Some(error.close_code()), error.rule(), out);
    }

    /// The backlog is gone: sends the pong that waited, if any.
    pub fn unblocked(&mut self, out: &mut Vec<u8>) {
        let Some(unfinished) = &mut self.unfinished else {
            return;
        };
        if let Some(pong) = unfinished.pong.take() {
            frame::write_control(out, Opcode::Pong, &pong);
        }
        self.tidy();
    }

    /// When [`Self::handle_timeout`] wants to be called; `None`: never, as things stand.
    pub fn poll_timeout(&self, limits: &Limits) -> Option<Instant> {
        match self.state {
            State::Open if self.paused => None,
            State::Open if self.unanswered => Some(self.sent + limits.ping_timeout),
            State::Open => limits.ping_interval.map(|interval| self.heard + interval),
            State::ClosingLocal => Some(self.sent + limits.close_timeout),
            State::Closed => None,
        }
    }

    /// Says that `now` has come: sends the ping that is due, or ends the connection. Early and
    /// repeated calls do nothing.
    pub fn handle_timeout(
        &mut self,
        now: Instant,
        limits: &Limits,
        out: &mut Vec<u8>,
    ) -> Option<Expired> {
        if self.poll_timeout(limits).is_none_or(|due| now < due) {
            return None;
        }
        if self.state == State::ClosingLocal {
            self.end(None, "", out);
            return Some(Expired::Close);
        }
        if self.unanswered {
            self.end(Some(INTERNAL_ERROR), "ping timeout", out);
            return Some(Expired::Ping);
        }
        self.pings += 1;
        frame::write_control(out, Opcode::Ping, &self.pings.to_be_bytes());
        self.sent = now;
        self.unanswered = true;
        None
    }

    /// Closes for good, with our close frame unless one was sent before.
    fn end(&mut self, code: Option<u16>, reason: &str, out: &mut Vec<u8>) {
        if self.state == State::Open {
            Close { code, reason }.encode(out);
        }
        self.state = State::Closed;
        self.unfinished = None;
    }

    /// Fails, and reads nothing more.
    #[cold]
    fn give_up(&mut self, error: Error, input: &mut Input<'_>, out: &mut Vec<u8>) {
        self.fail(error, out);
        input.take(input.len());
    }

    /// Takes the commonest of all frames: a whole message of up to 125 bytes, masked, all of it here.
    /// What it does is what the general way does; it only looks at less.
    #[inline]
    fn short_message<'b>(
        &self,
        input: &mut Input<'b>,
        limits: &Limits,
    ) -> Option<(Header, &'b mut [u8])> {
        if self.unfinished.is_some() {
            return None;
        }
        let [
            first @ (0x81 | 0x82),
            second @ 0x80..=0xfd,
            a,
            b,
            c,
            d,
            ref rest @ ..,
        ] = *input.rest()
        else {
            return None;
        };
        let len = usize::from(second & 0x7f);
        if rest.len() < len || len > limits.message_bytes_max.min(limits.frame_bytes_max) {
            return None;
        }
        let opcode = if first == 0x81 {
            Opcode::Text
        } else {
            Opcode::Binary
        };
        let header = Header {
            fin: true,
            opcode,
            key: [a, b, c, d],
            len,
        };
        let (_, payload) = input.take(6 + len).split_at_mut(6);
        Some((header, payload))
    }

    /// Takes the next header. `Ok(None)`: a payload comes first, or the input ends inside the header.
    #[inline]
    fn next_head(
        &mut self,
        input: &mut Input<'_>,
        limits: &Limits,
    ) -> Result<Option<Header>, Error> {
        if self.unfinished.is_some() {
            return self.next_head_of_unfinished(input, limits);
        }
        let Some((header, used)) = frame::parse(input.rest(), &rules(None, limits))? else {
            self.unfinished().keep_head(input);
            return Ok(None);
        };
        input.take(used);
        Ok(Some(header))
    }

    #[cold]
    fn next_head_of_unfinished(
        &mut self,
        input: &mut Input<'_>,
        limits: &Limits,
    ) -> Result<Option<Header>, Error> {
        let unfinished = self.unfinished();
        if unfinished.frame.is_some() {
            return Ok(None);
        }
        let rules = rules(unfinished.message.as_ref(), limits);
        let header = unfinished.take_head(input, &rules)?;
        self.tidy();
        Ok(header)
    }

    /// Goes on with a control frame, a fragment, or a frame in pieces: a new one, if there is a
    /// header, else the one that is unfinished.
    #[cold]
    fn other_frame<'b>(
        &mut self,
        header: Option<Header>,
        input: &mut Input<'b>,
        limits: &Limits,
        backlogged: bool,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event<'b>>, Error> {
        let Some(header) = header else {
            return match self.unfinished().frame.take() {
                Some(frame) => self.go_on(frame, input, backlogged, out),
                None => Ok(None),
            };
        };
        if !header.opcode.is_control() {
            self.unfinished().count_fragment(&header, limits)?;
        } else if header.len <= input.len() {
            let payload = input.take(header.len);
            unmask(payload, header.key, 0);
            let event = self.control(header.opcode, Payload::Borrowed(payload), backlogged, out);
            self.tidy();
            return event;
        }
        let frame = Frame {
            header,
            got: 0,
            control: Vec::new(),
        };
        self.go_on(frame, input, backlogged, out)
    }

    /// Takes what there is of the payload of a frame, and ends the frame if that is all of it.
    fn go_on<'b>(
        &mut self,
        mut frame: Frame,
        input: &mut Input<'b>,
        backlogged: bool,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event<'b>>, Error> {
        let header = frame.header;
        let piece = input.take(header.len - frame.got);
        let ascii = unmask(piece, header.key, frame.got);
        frame.got += piece.len();
        let done = frame.got == header.len;
        if header.opcode.is_control() {
            frame.control.extend_from_slice(piece);
            if done {
                let payload = Payload::Owned(frame.control);
                let event = self.control(header.opcode, payload, backlogged, out);
                self.tidy();
                return event;
            }
        } else {
            let open = self.state == State::Open;
            let unfinished = self.unfinished();
            if let Some(message) = &mut unfinished.message {
                message.add(piece, ascii, open)?;
            }
            if done {
                return match header.fin {
                    true => self.finish_message(),
                    false => Ok(Some(Event::Silent)),
                };
            }
        }
        self.unfinished().frame = Some(frame);
        Ok(None)
    }

    /// The last fragment is complete.
    fn finish_message<'b>(&mut self) -> Result<Option<Event<'b>>, Error> {
        let message = self.unfinished().message.take();
        self.tidy();
        let Some(message) = message else {
            return Ok(None);
        };
        if !message.utf8.is_complete() {
            return Err(Error::TextUnfinished);
        }
        let payload = Payload::Owned(message.bytes);
        Ok(Some(match self.state {
            State::Open => Event::Message {
                kind: message.kind,
                payload,
            },
            _ => Event::Silent,
        }))
    }

    /// A whole control frame and what is due to it.
    fn control<'b>(
        &mut self,
        opcode: Opcode,
        payload: Payload<'b>,
        backlogged: bool,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event<'b>>, Error> {
        if opcode == Opcode::Close {
            let Close { code, reason } = Close::parse(&payload)?;
            let reason = reason.to_owned();
            self.end(code, &reason, out);
            return Ok(Some(Event::Close { code, reason }));
        }
        if self.state != State::Open {
            return Ok(Some(Event::Silent));
        }
        if opcode == Opcode::Pong {
            return Ok(Some(Event::Pong { payload }));
        }
        if backlogged {
            self.unfinished().pong = Some(payload.to_vec());
        } else {
            self.unblocked(out);
            frame::write_control(out, Opcode::Pong, &payload);
        }
        Ok(Some(Event::Ping { payload }))
    }

    fn unfinished(&mut self) -> &mut Unfinished {
        self.unfinished.get_or_insert_default()
    }

    /// Gives the box back if nothing is in it.
    fn tidy(&mut self) {
        if self.unfinished.as_ref().is_some_and(|u| u.is_empty()) {
            self.unfinished = None;
        }
    }
}

impl Deref for Payload<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }
}

impl DerefMut for Payload<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }
}

/// What is kept between two reads, and between the fragments of a message.
#[derive(Debug, Default)]
struct Unfinished {
    /// The beginning of a header: `head[..head_len]`.
    head: [u8; CLIENT_HEAD_BYTES_MAX],
    head_len: u8,
    /// The frame whose payload is not all there.
    frame: Option<Frame>,
    /// The message whose last fragment is not all there.
    message: Option<Message>,
    /// The payload of the newest ping not answered yet.
    pong: Option<Vec<u8>>,
}

/// A frame whose payload is coming.
#[derive(Debug)]
struct Frame {
    header: Header,
    /// How much of the payload has come.
    got: usize,
    /// That much of it, if this is a control frame.
    control: Vec<u8>,
}

/// A message whose fragments are coming.
#[derive(Debug)]
struct Message {
    kind: Kind,
    /// What has come; stays empty once we have closed.
    bytes: Vec<u8>,
    /// The payloads of the fragments so far, all that their headers claim.
    claimed: usize,
    utf8: Utf8,
    fragments: u32,
    empty_fragments: u32,
}

impl Unfinished {
    fn is_empty(&self) -> bool {
        self.head_len == 0 && self.frame.is_none() && self.message.is_none() && self.pong.is_none()
    }

    /// Keeps the rest of the input, the beginning of a header.
    fn keep_head(&mut self, input: &mut Input<'_>) {
        let rest = input.take(CLIENT_HEAD_BYTES_MAX);
        self.head[..rest.len()].copy_from_slice(rest);
        self.head_len = rest.len() as u8;
    }

    /// Takes a header, of which the beginning may be here and the rest in the input.
    fn take_head(&mut self, input: &mut Input<'_>, rules: &Rules) -> Result<Option<Header>, Error> {
        let kept = usize::from(self.head_len);
        let more = input.len().min(CLIENT_HEAD_BYTES_MAX - kept);
        let all = kept + more;
        self.head[kept..all].copy_from_slice(&input.rest()[..more]);
        match frame::parse(&self.head[..all], rules)? {
            Some((header, used)) => {
                input.take(used - kept);
                self.head_len = 0;
                Ok(Some(header))
            }
            None => {
                input.take(more);
                self.head_len = all as u8;
                Ok(None)
            }
        }
    }

    /// A data frame begins: counts it against the limits of its message.
    fn count_fragment(&mut self, header: &Header, limits: &Limits) -> Result<(), Error> {
        let message = self.message.get_or_insert_with(|| Message {
            kind: header.kind(),
            bytes: Vec::new(),
            claimed: 0,
            utf8: Utf8::default(),
            fragments: 0,
            empty_fragments: 0,
        });
        message.claimed += header.len;
        message.fragments += 1;
        message.empty_fragments += u32::from(header.len == 0);
        if message.fragments > limits.fragments_max {
            return Err(Error::Fragments);
        }
        if message.empty_fragments > limits.empty_fragments_max {
            return Err(Error::EmptyFragments);
        }
        Ok(())
    }
}

impl Message {
    /// Checks the next piece and keeps it if it will be delivered.
    fn add(&mut self, piece: &[u8], ascii: bool, keep: bool) -> Result<(), Error> {
        if self.kind == Kind::Text && !(ascii && self.utf8.is_complete()) {
            self.utf8.feed(piece).map_err(|_| Error::Text)?;
        }
        if keep {
            self.bytes.extend_from_slice(piece);
        }
        Ok(())
    }
}

/// What the next header is judged by.
#[inline]
fn rules(message: Option<&Message>, limits: &Limits) -> Rules {
    let claimed = message.map_or(0, |message| message.claimed);
    Rules {
        in_message: message.is_some(),
        accept_unmasked: limits.accept_unmasked,
        strict_length: limits.strict_length,
        data_bytes_max: limits
            .frame_bytes_max
            .min(limits.message_bytes_max.saturating_sub(claimed)),
    }
}

/// Unmasks a whole message and checks its text.
#[inline]
fn unmask_message(header: &Header, payload: &mut [u8]) -> Result<Kind, Error> {
    let ascii = unmask(payload, header.key, 0);
    let kind = header.kind();
    if kind == Kind::Text && !ascii {
        check_text(payload)?;
    }
    Ok(kind)
}

/// A whole text that is not all ASCII.
#[inline(never)]
pub(super) fn check_text(text: &[u8]) -> Result<(), Error> {
    match std::str::from_utf8(text) {
        Ok(_) => Ok(()),
        Err(error) if error.error_len().is_none() => Err(Error::TextUnfinished),
        Err(_) => Err(Error::Text),
    }
}

/// The code of a close without one.
const NORMAL: u16 = 1000;
/// The code for a peer that does not answer pings.
const INTERNAL_ERROR: u16 = 1011;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::ws::testing::{KEY, Random, client_frame, raw_frame};
    use proptest::prelude::*;

    const T0: Instant = Instant::from_nanos(1_000_000_000);

    fn after(seconds: u64) -> Instant {
        T0 + Duration::from_secs(seconds)
    }

    fn limits() -> Limits {
        Limits::default()
    }

    /// An event that owns its bytes.
    #[derive(Clone, Debug, PartialEq, Eq)]
    enum Seen {
        Text(Vec<u8>),
        Binary(Vec<u8>),
        Ping(Vec<u8>),
        Pong(Vec<u8>),
        Close(Option<u16>, String),
        Failed(Error),
    }

    /// A machine, its limits and its output.
    struct Script {
        machine: Machine,
        limits: Limits,
        backlogged: bool,
        out: Vec<u8>,
        seen: Vec<Seen>,
        /// Messages that lay whole in the input.
        borrowed: usize,
    }

    impl Script {
        fn new(limits: Limits) -> Self {
            Self {
                machine: Machine::new(T0),
                limits,
                backlogged: false,
                out: Vec::new(),
                seen: Vec::new(),
                borrowed: 0,
            }
        }

        /// One read of these bytes.
        fn read(&mut self, bytes: &[u8]) {
            let mut bytes = bytes.to_vec();
            let mut input = Input::new(&mut bytes);
            loop {
                let seen = match self.machine.poll_event(
                    &mut input,
                    &self.limits,
                    self.backlogged,
                    &mut self.out,
                ) {
                    Ok(None) => break,
                    Ok(Some(Event::Silent)) => continue,
                    Ok(Some(Event::Message { kind, payload })) => {
                        self.borrowed += usize::from(matches!(payload, Payload::Borrowed(_)));
                        match kind {
                            Kind::Text => Seen::Text(payload.to_vec()),
                            Kind::Binary => Seen::Binary(payload.to_vec()),
                        }
                    }
                    Ok(Some(Event::Ping { payload })) => Seen::Ping(payload.to_vec()),
                    Ok(Some(Event::Pong { payload })) => Seen::Pong(payload.to_vec()),
                    Ok(Some(Event::Close { code, reason })) => Seen::Close(code, reason),
                    Err(error) => Seen::Failed(error),
                };
                self.seen.push(seen);
            }
            assert!(input.is_empty());
        }

        fn out(&mut self) -> Vec<u8> {
            std::mem::take(&mut self.out)
        }
    }

    fn run(limits: &Limits, reads: &[&[u8]]) -> (Vec<Seen>, Vec<u8>, State) {
        let mut script = Script::new(limits.clone());
        for read in reads {
            script.read(read);
        }
        (script.seen, script.out, script.machine.state())
    }

    /// Whole, a byte at a time, and cut in two everywhere: always the same.
    fn run_cut(name: &str, limits: &Limits, bytes: &[u8]) -> (Vec<Seen>, Vec<u8>, State) {
        let whole = run(limits, &[bytes]);
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(run(limits, &single), whole, "{name}, a byte at a time");
        for cut in 0..bytes.len().min(300) {
            let (left, right) = bytes.split_at(cut);
            assert_eq!(
                run(limits, &[left, right]),
                whole,
                "{name}, cut after {cut}"
            );
        }
        whole
    }

    fn text(payload: &[u8]) -> Vec<u8> {
        client_frame(true, Opcode::Text, payload)
    }

    fn failure(error: Error) -> Vec<u8> {
        let mut out = Vec::new();
        Machine::new(T0).fail(error, &mut out);
        assert_eq!(out[2..4], error.close_code().to_be_bytes());
        assert_eq!(&out[4..], error.rule().as_bytes());
        out
    }

    #[test]
    fn small() {
        assert!(size_of::<Machine>() <= 64, "{}", size_of::<Machine>());
    }

    /// What is delivered and what is answered.
    #[test]
    fn good_streams() {
        let ping = |data: &[u8]| client_frame(true, Opcode::Ping, data);
        let fragment = |fin, opcode, data: &[u8]| client_frame(fin, opcode, data);
        let long = vec![b'x'; 300];
        type Row<'a> = (&'a str, Vec<u8>, Vec<Seen>, &'a [u8]);
        #[rustfmt::skip]
        let cases: &[Row<'_>] = &[
            ("text", text(b"Hello"), vec![Seen::Text(b"Hello".into())], b""),
            ("empty text", text(b""), vec![Seen::Text(vec![])], b""),
            ("not ascii", text("κόσμε".as_bytes()), vec![Seen::Text("κόσμε".into())], b""),
            ("binary", client_frame(true, Opcode::Binary, b"\xff\0"), vec![Seen::Binary(b"\xff\0".into())], b""),
            ("long", text(&long), vec![Seen::Text(long.clone())], b""),
            ("2 bytes in a 16-bit length", [b"\x81\xfe\0\x02".as_slice(), &KEY, &[b'h' ^ KEY[0], b'i' ^ KEY[1]]].concat(), vec![Seen::Text(b"hi".into())], b""),
            ("two", [text(b"a"), text(b"b")].concat(), vec![Seen::Text(b"a".into()), Seen::Text(b"b".into())], b""),
            ("ping", ping(b"p"), vec![Seen::Ping(b"p".into())], b"\x8a\x01p"),
            ("pings in order", [ping(b"1"), ping(b"2")].concat(), vec![Seen::Ping(b"1".into()), Seen::Ping(b"2".into())], b"\x8a\x011\x8a\x012"),
            ("unasked pong", client_frame(true, Opcode::Pong, b"p"), vec![Seen::Pong(b"p".into())], b""),
            ("fragments", [fragment(false, Opcode::Text, b"a"), fragment(false, Opcode::Continuation, b"b"), fragment(true, Opcode::Continuation, b"c")].concat(),
                vec![Seen::Text(b"abc".into())], b""),
            ("empty fragments", [fragment(false, Opcode::Binary, b""), fragment(false, Opcode::Continuation, b"b"), fragment(true, Opcode::Continuation, b"")].concat(),
                vec![Seen::Binary(b"b".into())], b""),
            ("ping between fragments", [fragment(false, Opcode::Text, b"a"), ping(b"p"), fragment(true, Opcode::Continuation, b"c")].concat(),
                vec![Seen::Ping(b"p".into()), Seen::Text(b"ac".into())], b"\x8a\x01p"),
            ("character across fragments", [fragment(false, Opcode::Text, b"\xe2"), ping(b""), fragment(false, Opcode::Continuation, b"\x82"), fragment(true, Opcode::Continuation, b"\xac")].concat(),
                vec![Seen::Ping(vec![]), Seen::Text("€".into())], b"\x8a\x00"),
            ("close empty", client_frame(true, Opcode::Close, b""), vec![Seen::Close(None, String::new())], b"\x88\x00"),
            ("close 4000 bye", client_frame(true, Opcode::Close, b"\x0f\xa0bye"), vec![Seen::Close(Some(4000), "bye".into())], b"\x88\x05\x0f\xa0bye"),
            ("close inside a message", [fragment(false, Opcode::Text, b"a"), client_frame(true, Opcode::Close, b"\x03\xe8")].concat(),
                vec![Seen::Close(Some(1000), String::new())], b"\x88\x02\x03\xe8"),
            ("data after close", [client_frame(true, Opcode::Close, b"\x03\xe8"), text(b"late"), ping(b"late"), b"\xff\xff".into()].concat(),
                vec![Seen::Close(Some(1000), String::new())], b"\x88\x02\x03\xe8"),
        ];
        for (name, bytes, seen, out) in cases {
            let got = run_cut(name, &limits(), bytes);
            assert_eq!((&got.0, &got.1[..]), (seen, *out), "{name}");
            let closed = matches!(seen.last(), Some(Seen::Close(..)));
            assert_eq!(got.2 == State::Closed, closed, "{name}");
        }
    }

    /// What the peer is refused for, after what it may have sent before.
    #[test]
    fn bad_streams() {
        let closing = |data: &[u8]| client_frame(true, Opcode::Close, data);
        let open = client_frame(false, Opcode::Text, b"a");
        let more = |fin, data: &[u8]| client_frame(fin, Opcode::Continuation, data);
        let small = Limits {
            message_bytes_max: 10,
            frame_bytes_max: 8,
            ..limits()
        };
        let strict = Limits {
            strict_length: true,
            ..limits()
        };
        let cases: Vec<(&str, Limits, Vec<u8>, Error)> = vec![
            (
                "unmasked text",
                limits(),
                b"\x81\x05Hello".into(),
                Error::Unmasked,
            ),
            ("text ff", limits(), text(b"\xff"), Error::Text),
            ("text cut", limits(), text(b"a\xc3"), Error::TextUnfinished),
            ("bad, then cut", limits(), text(b"a\xff\xc3"), Error::Text),
            (
                "bad byte, half the payload",
                limits(),
                text(b"ab\xffde01234")[..11].into(),
                Error::Text,
            ),
            (
                "cut across fragments",
                limits(),
                [open.clone(), more(true, b"\xc3")].concat(),
                Error::TextUnfinished,
            ),
            (
                "bad in a fragment",
                limits(),
                [open.clone(), more(false, b"\xc3\xc3")].concat(),
                Error::Text,
            ),
            (
                "surrogate across fragments",
                limits(),
                [
                    client_frame(false, Opcode::Text, b"\xed"),
                    more(false, b"\xa0"),
                ]
                .concat(),
                Error::Text,
            ),
            (
                "rsv1 text",
                limits(),
                raw_frame(0xc1, b"a"),
                Error::ReservedBit,
            ),
            (
                "rsv1 continuation",
                limits(),
                [open.clone(), raw_frame(0xc0, b"a")].concat(),
                Error::ReservedBit,
            ),
            ("opcode 3", limits(), raw_frame(0x83, b""), Error::Opcode),
            ("opcode b", limits(), raw_frame(0x8b, b""), Error::Opcode),
            (
                "lone continuation",
                limits(),
                more(true, b"a"),
                Error::LoneContinuation,
            ),
            (
                "continuation after a message",
                limits(),
                [text(b""), more(true, b"a")].concat(),
                Error::LoneContinuation,
            ),
            (
                "text inside a message",
                limits(),
                [open.clone(), text(b"b")].concat(),
                Error::Interrupted,
            ),
            (
                "fragmented ping",
                limits(),
                raw_frame(0x09, b""),
                Error::ControlFragmented,
            ),
            (
                "ping of 126",
                limits(),
                raw_frame(0x89, &[0; 126]),
                Error::ControlLength,
            ),
            (
                "top bit",
                limits(),
                b"\x82\xff\x80\0\0\0\0\0\0\x01".into(),
                Error::LengthTopBit,
            ),
            (
                "length form",
                strict,
                b"\x82\xfe\0\x02".into(),
                Error::LengthForm,
            ),
            (
                "close of 1 byte",
                limits(),
                closing(b"\x03"),
                Error::CloseLength,
            ),
            (
                "close 999",
                limits(),
                closing(b"\x03\xe7"),
                Error::CloseCode,
            ),
            (
                "close 1005",
                limits(),
                closing(b"\x03\xed"),
                Error::CloseCode,
            ),
            (
                "close 1015",
                limits(),
                closing(b"\x03\xf7"),
                Error::CloseCode,
            ),
            (
                "close 2999",
                limits(),
                closing(b"\x0b\xb7"),
                Error::CloseCode,
            ),
            (
                "close, bad reason",
                limits(),
                closing(b"\x03\xe8\xff"),
                Error::CloseReason,
            ),
            (
                "frame over the limit, header only",
                small.clone(),
                b"\x82\x89".into(),
                Error::TooBig,
            ),
            (
                "message over the limit",
                small.clone(),
                [
                    client_frame(false, Opcode::Text, b"12345678"),
                    b"\x80\x83".into(),
                ]
                .concat(),
                Error::TooBig,
            ),
        ];
        for (name, limits, bytes, error) in cases {
            let bytes = [bytes, text(b"not read")].concat();
            let (seen, out, state) = run_cut(name, &limits, &bytes);
            assert_eq!(seen.last(), Some(&Seen::Failed(error)), "{name}");
            assert!(seen.len() <= 2, "{name}");
            assert_eq!(out, failure(error), "{name}");
            assert_eq!(state, State::Closed, "{name}");
        }
    }

    /// The limits of bytes: at them and one over.
    #[test]
    fn bytes_max() {
        let limits = Limits {
            message_bytes_max: 10,
            frame_bytes_max: 8,
            ..limits()
        };
        let first = client_frame(false, Opcode::Text, b"12345678");
        let stream = |last: &[u8]| {
            [
                first.clone(),
                client_frame(true, Opcode::Continuation, last),
            ]
            .concat()
        };
        assert_eq!(
            run_cut("frame at", &limits, &text(b"12345678")).0,
            [Seen::Text(b"12345678".into())]
        );
        assert_eq!(
            run_cut("frame over", &limits, &text(b"123456789")).0,
            [Seen::Failed(Error::TooBig)]
        );
        assert_eq!(
            run_cut("message at", &limits, &stream(b"90")).0,
            [Seen::Text(b"1234567890".into())]
        );
        assert_eq!(
            run_cut("message over", &limits, &stream(b"90a")).0,
            [Seen::Failed(Error::TooBig)]
        );
        let none = Limits {
            message_bytes_max: 0,
            ..limits
        };
        assert_eq!(
            run_cut("empty only", &none, &text(b"")).0,
            [Seen::Text(vec![])]
        );
        assert_eq!(
            run_cut("zero is not unlimited", &none, &text(b"1")).0,
            [Seen::Failed(Error::TooBig)]
        );
    }

    /// The limits of fragments: at them and one over; Autobahn 9.3.1; ws CVE-2026-48779.
    #[test]
    fn fragments_max() {
        let stream = |middle: usize, data: &[u8]| {
            let mut bytes = client_frame(false, Opcode::Binary, data);
            for _ in 0..middle {
                bytes.extend(client_frame(false, Opcode::Continuation, data));
            }
            bytes.extend(client_frame(true, Opcode::Continuation, data));
            bytes
        };
        let few = Limits {
            fragments_max: 4,
            ..limits()
        };
        assert_eq!(
            run_cut("at", &few, &stream(2, b"x")).0,
            [Seen::Binary(b"xxxx".into())]
        );
        assert_eq!(
            run_cut("over", &few, &stream(3, b"x")).0,
            [Seen::Failed(Error::Fragments)]
        );
        assert_eq!(
            run(&limits(), &[&stream(1022, b"")]).0,
            [Seen::Binary(vec![])]
        );
        assert_eq!(
            run(&limits(), &[&stream(1023, b"")]).0,
            [Seen::Failed(Error::EmptyFragments)]
        );
        assert_eq!(
            run(&limits(), &[&stream(2000, b"")]).1,
            failure(Error::EmptyFragments)
        );
        let big = Limits {
            message_bytes_max: 4 << 20,
            ..limits()
        };
        let bytes = stream(65_534, &[7; 64]);
        for read in [1 << 16, 5_000_000] {
            let reads: Vec<&[u8]> = bytes.chunks(read).collect();
            assert_eq!(run(&big, &reads).0, [Seen::Binary(vec![7; 4 << 20])]);
        }
    }

    /// No call takes more than one frame, so that each is counted as work (rule M5).
    #[test]
    fn a_frame_a_call() {
        let fragment = client_frame(false, Opcode::Continuation, b"");
        #[rustfmt::skip]
        let cases: &[(&str, bool, Vec<u8>, Vec<u8>)] = &[
            ("fragments", false, client_frame(false, Opcode::Text, b"a"), fragment.clone()),
            ("closing, texts", true, text(b"a"), text(b"b")),
            ("closing, pings", true, text(b"a"), client_frame(true, Opcode::Ping, b"")),
            ("closing, fragments", true, client_frame(false, Opcode::Text, b"a"), fragment),
        ];
        for (name, closing, first, then) in cases {
            let mut machine = Machine::new(T0);
            let mut out = Vec::new();
            if *closing {
                machine.close(None, "", T0, &mut out);
            }
            let mut bytes = [first.clone(), then.repeat(9)].concat();
            let mut input = Input::new(&mut bytes);
            for left in (0..=9).rev() {
                let event = machine.poll_event(&mut input, &limits(), false, &mut out);
                assert_eq!(event, Ok(Some(Event::Silent)), "{name}");
                assert_eq!(input.len(), left * then.len(), "{name}");
            }
        }
    }

    /// RUSTSEC-2022-0035: the buffer grows with what came, not with what was claimed.
    #[test]
    fn claimed_length_costs_nothing() {
        let mut script = Script::new(Limits {
            message_bytes_max: usize::MAX,
            frame_bytes_max: usize::MAX,
            ..limits()
        });
        script.read(b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xffKEYSabc");
        let unfinished = script.machine.unfinished.as_ref().unwrap();
        let message = unfinished.message.as_ref().unwrap();
        assert_eq!(message.bytes.len(), 3);
        assert!(message.bytes.capacity() < 64);
    }

    /// engine.io CVE-2022-21676: a bad frame right behind the handshake is an answer, not a crash.
    #[test]
    fn reserved_bits_behind_the_handshake() {
        assert_eq!(run(&limits(), &[b"\xf1"]).1, failure(Error::ReservedBit));
    }

    /// A message whole in the input is lent, also behind a header that was cut; idle keeps nothing.
    #[test]
    fn whole_messages_are_lent() {
        let mut script = Script::new(limits());
        let bytes = [text(b"one"), text("zwö".as_bytes()), text(b"three")].concat();
        script.read(&bytes);
        assert_eq!((script.seen.len(), script.borrowed), (3, 3));
        let three = text(b"three");
        script.read(&three[..3]);
        script.read(&three[3..]);
        assert_eq!((script.seen.len(), script.borrowed), (4, 4));
        script.read(&three[..8]);
        assert!(script.machine.unfinished.is_some());
        script.read(&three[8..]);
        assert_eq!((script.seen.len(), script.borrowed), (5, 4));
        assert!(script.machine.unfinished.is_none());
    }

    /// 100,000 pings to a peer that reads nothing: one pong is kept, the newest.
    #[test]
    fn ping_flood() {
        let mut script = Script::new(limits());
        script.backlogged = true;
        for i in 0..100_000_u32 {
            let ping = client_frame(true, Opcode::Ping, &i.to_be_bytes());
            let mut bytes = ping.clone();
            let mut input = Input::new(&mut bytes);
            let machine = &mut script.machine;
            let event = machine.poll_event(&mut input, &script.limits, true, &mut script.out);
            assert!(matches!(event, Ok(Some(Event::Ping { .. }))));
        }
        assert!(script.out.is_empty());
        assert_eq!(script.out.capacity(), 0);
        script.machine.unblocked(&mut script.out);
        assert_eq!(
            script.out(),
            [b"\x8a\x04".as_slice(), &99_999_u32.to_be_bytes()].concat()
        );
        script.machine.unblocked(&mut script.out);
        assert!(script.out.is_empty());
        assert!(script.machine.unfinished.is_none());
    }

    /// A pong that waited goes before the next one; none goes after our close.
    #[test]
    fn waiting_pong() {
        let ping = |data| client_frame(true, Opcode::Ping, data);
        let mut script = Script::new(limits());
        script.backlogged = true;
        script.read(&ping(b"1"));
        script.backlogged = false;
        script.read(&ping(b"2"));
        assert_eq!(script.out(), b"\x8a\x011\x8a\x012");
        script.backlogged = true;
        script.read(&ping(b"3"));
        assert!(script.machine.close(None, "", T0, &mut script.out));
        script.machine.unblocked(&mut script.out);
        assert_eq!(script.out(), b"\x88\x02\x03\xe8");
    }

    #[test]
    fn unmasked_by_option() {
        let limits = Limits {
            accept_unmasked: true,
            ..limits()
        };
        let bytes = [b"\x81\x05Hello\x89\x01p".as_slice(), &text(b"masked")].concat();
        let (seen, ..) = run_cut("unmasked", &limits, &bytes);
        let want = [
            Seen::Text(b"Hello".into()),
            Seen::Ping(b"p".into()),
            Seen::Text(b"masked".into()),
        ];
        assert_eq!(seen, want);
    }

    #[test]
    fn sending() {
        let mut script = Script::new(limits());
        let Script { machine, out, .. } = &mut script;
        assert!(machine.send(Kind::Text, b"a", out));
        assert!(machine.send(Kind::Binary, b"b", out));
        assert!(machine.ping(b"c", out));
        assert!(machine.ping(&[0; 125], out));
        assert!(!machine.ping(&[0; 126], out));
        assert_eq!(out[..9], *b"\x81\x01a\x82\x01b\x89\x01c");
        assert_eq!(out.len(), 9 + 127);
        for code in [0, 999, 1004, 1005, 1006, 1015, 2999, 5000] {
            assert!(!machine.close(Some(code), "", T0, out), "{code}");
        }
        assert_eq!(machine.state(), State::Open);
        out.clear();
        assert!(machine.close(Some(4000), "bye", T0, out));
        assert_eq!(out, b"\x88\x05\x0f\xa0bye");
        out.clear();
        assert!(!machine.close(None, "", T0, out));
        assert!(!machine.send(Kind::Text, b"a", out));
        assert!(!machine.ping(b"", out));
        machine.fail(Error::WrongKind, out);
        assert!(out.is_empty());
        assert_eq!(machine.state(), State::Closed);
    }

    /// All states against everything that can come.
    #[test]
    fn states() {
        let closing = client_frame(true, Opcode::Close, b"\x0f\xa0bye");
        let ping = client_frame(true, Opcode::Ping, b"p");
        let pong = client_frame(true, Opcode::Pong, b"p");
        let late = [
            text(b"late"),
            client_frame(false, Opcode::Text, b"l"),
            client_frame(true, Opcode::Continuation, b"ate"),
        ]
        .concat();
        let by_peer = Seen::Close(Some(4000), "bye".into());
        type Row<'a> = (&'a str, State, Vec<u8>, Vec<Seen>, &'a [u8], State);
        #[rustfmt::skip]
        let cases: Vec<Row<'_>> = vec![
            ("close frame",              State::Open,         closing.clone(),   vec![by_peer.clone()], b"\x88\x05\x0f\xa0bye", State::Closed),
            ("data while closing",       State::ClosingLocal, late,              vec![],                b"", State::ClosingLocal),
            ("bad data while closing",   State::ClosingLocal, text(b"\xff"),     vec![Seen::Failed(Error::Text)], b"", State::Closed),
            ("bad frame while closing",  State::ClosingLocal, raw_frame(0xf1, b""), vec![Seen::Failed(Error::ReservedBit)], b"", State::Closed),
            ("ping while closing",       State::ClosingLocal, ping.clone(),      vec![],                b"", State::ClosingLocal),
            ("pong while closing",       State::ClosingLocal, pong,              vec![],                b"", State::ClosingLocal),
            ("close frame while closing", State::ClosingLocal, closing.clone(),  vec![by_peer],         b"", State::Closed),
            ("data when closed",         State::Closed,       text(b"late"),     vec![],                b"", State::Closed),
            ("ping when closed",         State::Closed,       ping,              vec![],                b"", State::Closed),
            ("close frame when closed",  State::Closed,       closing,           vec![],                b"", State::Closed),
            ("rubbish when closed",      State::Closed,       vec![0xff; 99],    vec![],                b"", State::Closed),
        ];
        for (name, from, bytes, seen, out, to) in cases {
            for step in [1, 3, bytes.len()] {
                let mut script = Script::new(limits());
                match from {
                    State::Open => {}
                    State::ClosingLocal => {
                        assert!(script.machine.close(None, "", T0, &mut script.out));
                    }
                    State::Closed => script.machine.fail(Error::Opcode, &mut script.out),
                }
                assert_eq!(script.machine.state(), from, "{name}");
                script.out();
                bytes.chunks(step).for_each(|read| script.read(read));
                assert_eq!(script.seen, seen, "{name}");
                assert_eq!(script.out, out, "{name}");
                assert_eq!(script.machine.state(), to, "{name}");
            }
        }
    }

    /// Closing inside a message: the rest is checked but not kept.
    #[test]
    fn close_inside_a_message() {
        let mut script = Script::new(limits());
        script.read(&client_frame(false, Opcode::Text, b"begun"));
        assert!(script.machine.close(None, "", T0, &mut script.out));
        script.read(&client_frame(false, Opcode::Continuation, &[b'x'; 1000]));
        let message = script
            .machine
            .unfinished
            .as_ref()
            .unwrap()
            .message
            .as_ref()
            .unwrap();
        assert_eq!(message.bytes.capacity(), 0);
        script.read(&client_frame(true, Opcode::Continuation, b"ended"));
        assert_eq!(script.seen, []);
        script.read(&client_frame(true, Opcode::Close, b""));
        assert_eq!(script.seen, [Seen::Close(None, String::new())]);
    }

    #[test]
    fn close_timeout() {
        let mut script = Script::new(limits());
        let Script {
            machine,
            limits,
            out,
            ..
        } = &mut script;
        assert!(machine.close(None, "", after(3), out));
        out.clear();
        machine.heard(after(7));
        machine.pause();
        assert_eq!(machine.poll_timeout(limits), Some(after(8)));
        assert_eq!(machine.handle_timeout(after(7), limits, out), None);
        assert_eq!(
            machine.handle_timeout(after(8), limits, out),
            Some(Expired::Close)
        );
        assert_eq!(
            (machine.state(), machine.poll_timeout(limits)),
            (State::Closed, None)
        );
        assert_eq!(machine.handle_timeout(after(9), limits, out), None);
        assert!(out.is_empty());
    }

    /// Ping after 25 s of silence, 1011 after 20 s more, life by any byte in between.
    #[test]
    fn ping_timing() {
        let mut script = Script::new(limits());
        let Script {
            machine,
            limits,
            out,
            ..
        } = &mut script;
        assert_eq!(machine.poll_timeout(limits), Some(after(25)));
        machine.heard(after(10));
        assert_eq!(
            machine.handle_timeout(after(25), limits, out),
            None,
            "turned out early"
        );
        assert!(out.is_empty());
        assert_eq!(machine.poll_timeout(limits), Some(after(35)));
        assert_eq!(machine.handle_timeout(after(35), limits, out), None);
        assert_eq!(std::mem::take(out), b"\x89\x08\0\0\0\0\0\0\0\x01");
        assert_eq!(machine.poll_timeout(limits), Some(after(55)));
        assert_eq!(machine.handle_timeout(after(54), limits, out), None);
        machine.heard(after(54));
        assert_eq!(machine.poll_timeout(limits), Some(after(79)));
        assert_eq!(machine.handle_timeout(after(79), limits, out), None);
        assert_eq!(std::mem::take(out), b"\x89\x08\0\0\0\0\0\0\0\x02");
        assert_eq!(machine.handle_timeout(after(98), limits, out), None);
        assert!(out.is_empty());
        assert_eq!(
            machine.handle_timeout(after(99), limits, out),
            Some(Expired::Ping)
        );
        assert_eq!(out, b"\x88\x0e\x03\xf3ping timeout");
        assert_eq!(
            (machine.state(), machine.poll_timeout(limits)),
            (State::Closed, None)
        );
    }

    /// While reading is paused the heartbeat stands still, before the ping and behind it.
    #[test]
    fn pause_stops_the_heartbeat() {
        let mut script = Script::new(limits());
        let Script {
            machine,
            limits,
            out,
            ..
        } = &mut script;
        machine.pause();
        assert_eq!(machine.poll_timeout(limits), None);
        assert_eq!(machine.handle_timeout(after(500), limits, out), None);
        machine.resume(after(500));
        assert_eq!(machine.handle_timeout(after(525), limits, out), None);
        assert_eq!(out.len(), 10);
        machine.pause();
        assert_eq!(machine.handle_timeout(after(900), limits, out), None);
        machine.resume(after(900));
        assert_eq!(machine.poll_timeout(limits), Some(after(925)));
        assert_eq!(machine.state(), State::Open);
    }

    #[test]
    fn no_pings_by_option() {
        let mut script = Script::new(Limits {
            ping_interval: None,
            ..limits()
        });
        let Script {
            machine,
            limits,
            out,
            ..
        } = &mut script;
        assert_eq!(machine.poll_timeout(limits), None);
        assert_eq!(machine.handle_timeout(after(10_000), limits, out), None);
        assert!(out.is_empty());
    }

    /// GHSA-cgwc-pv48-fhj5: unasked pongs move nothing but the sign of life.
    #[test]
    fn unasked_pongs() {
        let mut script = Script::new(limits());
        for _ in 0..1000 {
            script.read(&client_frame(true, Opcode::Pong, b"?"));
        }
        assert_eq!(script.machine.poll_timeout(&script.limits), Some(after(25)));
        assert!(script.out.is_empty());
    }

    /// A stream of frames, mostly good.
    fn stream(random: &mut Random, frames: usize) -> Vec<u8> {
        const TEXT: &str = "aé€😀 plain text";
        let mut bytes = Vec::new();
        let mut inside = false;
        for _ in 0..frames {
            let len = [0, 1, 5, 20, 124, 130, 300][random.below(7)];
            let text: Vec<u8> = TEXT.bytes().cycle().take(len).collect();
            let fin = random.below(3) > 0;
            let data = if inside {
                Opcode::Continuation
            } else {
                Opcode::Text
            };
            match random.below(40) {
                0 => bytes.extend(raw_frame(random.next() as u8, &text)),
                1 => bytes.extend(client_frame(true, Opcode::Close, &text[..len.min(120)])),
                2..8 => bytes.extend(client_frame(true, Opcode::Ping, &text[..len.min(125)])),
                8..10 => bytes.extend(client_frame(true, Opcode::Pong, &text[..len.min(125)])),
                10..20 if !inside => {
                    bytes.extend(client_frame(fin, Opcode::Binary, &text));
                    inside = !fin;
                }
                20..22 => {
                    bytes.extend(client_frame(fin, data, b"\xc3"));
                    inside = !fin;
                }
                _ => {
                    let whole = TEXT.repeat(len);
                    bytes.extend(client_frame(fin, data, whole.as_bytes()));
                    inside = !fin;
                }
            }
        }
        bytes
    }

    proptest! {
        /// Any cut of any stream gives the same events, the same bytes and the same state.
        #[test]
        fn cut_anywhere(seed: u64, frames in 1..12_usize, step in 1..700_usize) {
            let mut random = Random(seed);
            let bytes = stream(&mut random, frames);
            let whole = run(&limits(), &[&bytes]);
            let mut script = Script::new(limits());
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (read, more) = rest.split_at((1 + random.below(step)).min(rest.len()));
                script.read(read);
                rest = more;
            }
            prop_assert_eq!((script.seen, script.out, script.machine.state()), whole);
        }

        /// No bytes make it panic, and a closed machine stays closed.
        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            let (seen, _, state) = run(&limits(), &[&bytes]);
            let failed = seen.iter().any(|s| matches!(s, Seen::Failed(_) | Seen::Close(..)));
            prop_assert_eq!(failed, state == State::Closed);
        }
    }
}
