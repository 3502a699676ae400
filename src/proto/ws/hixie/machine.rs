//! One connection of hixie-76 or hixie-75, server side: the nonce, messages, closing.
//!
//! The form is that of the machine for RFC 6455, so that a caller can hold one or the other: give
//! what was read to [`Machine::poll_event`] until it answers `None`, write what any method appends
//! to `out`. There is no socket and no clock in here.
//!
//! ```text
//! nonce     8 bytes        hixie-76 only, before all else; answered by 16 bytes
//! message   00 text FF     text is UTF-8, which has no byte FF
//! closing   FF 00          hixie-76; the other side answers with the same
//! ```
//!
//! The drafts know frames of more types, which are to be read and dropped. No client sends one, and
//! those with a length could claim any: they end the connection, as text does that is not UTF-8.
//! Such an end is told to the peer by the end of the connection alone, for there are no codes.
//!
//! A message that lies whole in the input is lent out from there. Any other is put together in a
//! buffer that grows with the bytes that came.
//!
//! ```text
//! Open -- close(), hixie-76 --------------------------> ClosingLocal -- FF 00, timeout --> Closed
//! Open -- close(), hixie-75; FF 00; a broken rule; no nonce in time ---------------------> Closed
//! ```
//!
//! The caller keeps: until the nonce has come, nothing but the head of the answer goes to the peer.
//! The machine holds back what is sent through it; bytes framed elsewhere have to wait while
//! [`Machine::awaits_nonce`]. When the state is `Closed`, it writes what `out` holds, then closes the
//! socket.
//!
//! Not here: signs of life. There are no pings, and an idle peer is the business of what is spoken
//! inside.

use super::handshake::{Draft, Handshake, NONCE_BYTES, challenge};
use crate::proto::ws::error::Error;
use crate::proto::ws::frame::Kind;
use crate::proto::ws::machine::{Event, Expired, Limits, Payload, State, check_text};
use crate::proto::ws::utf8::Utf8;
use crate::storage::input::Input;
use crate::time::Instant;
use std::time::Duration;

/// One connection.
#[derive(Debug)]
pub struct Machine {
    /// When our closing frame was sent.
    closed: Instant,
    part: Part,
    state: State,
    draft: Draft,
}

/// What the next byte belongs to.
#[derive(Debug)]
enum Part {
    /// The nonce.
    Nonce(Box<Nonce>),
    /// A frame, whose type it is.
    Type,
    /// The text of a message that is not all there.
    Text(Box<Text>),
    /// A closing frame, of which the first byte has come.
    Closing,
}

/// What is kept until the nonce is there.
#[derive(Debug)]
struct Nonce {
    /// The numbers of the two keys.
    numbers: [u32; 2],
    /// The beginning of the nonce: `bytes[..len]`.
    bytes: [u8; NONCE_BYTES],
    len: usize,
    /// When we stop waiting for it.
    until: Instant,
    /// Frames that go out behind the answer.
    frames: Vec<u8>,
}

/// A message that is coming.
#[derive(Debug, Default)]
struct Text {
    /// What has come; stays empty once we have closed.
    bytes: Vec<u8>,
    /// How much has come.
    len: usize,
    utf8: Utf8,
}

impl Machine {
    /// A connection whose handshake was accepted at `now`, and its head answered.
    ///
    /// `nonce_timeout`: how long the nonce of hixie-76 may take.
    pub fn new(handshake: &Handshake, now: Instant, nonce_timeout: Duration) -> Self {
        let part = match handshake.draft {
            Draft::Hixie75 => Part::Type,
            Draft::Hixie76 => Part::Nonce(Box::new(Nonce {
                numbers: handshake.numbers,
                bytes: [0; NONCE_BYTES],
                len: 0,
                until: now + nonce_timeout,
                frames: Vec::new(),
            })),
        };
        Self {
            closed: now,
            part,
            state: State::Open,
            draft: handshake.draft,
        }
    }

    /// Where the connection is in its life; open while the nonce is missing, too.
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether the nonce is missing: nothing but the head of the answer may be on its way.
    pub fn awaits_nonce(&self) -> bool {
        matches!(self.part, Part::Nonce(_))
    }

    /// Takes the next event out of `input`. `Ok(None)`: all of it is taken, what was unfinished is
    /// kept.
    ///
    /// Of the limits, [`Limits::message_bytes_max`] holds for the bytes that came. Nothing is
    /// answered that a backlog could pile up, so whether there is one is not looked at. The answer
    /// to the nonce comes with an [`Event::Silent`]: it has to be on its way before a handler runs.
    ///
    /// # Errors
    ///
    /// The rule the peer broke. The state is [`State::Closed`].
    pub fn poll_event<'b>(
        &mut self,
        input: &mut Input<'b>,
        limits: &Limits,
        _backlogged: bool,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event<'b>>, Error> {
        let mut polled = Ok(None);
        while matches!(polled, Ok(None)) && !input.is_empty() && self.state != State::Closed {
            polled = match &mut self.part {
                Part::Nonce(nonce) => {
                    let came = nonce.take(input, out);
                    if came {
                        self.part = Part::Type;
                    }
                    Ok(came.then_some(Event::Silent))
                }
                Part::Type => self.frame(input, limits),
                Part::Text(_) => self.rest_of_message(input, limits),
                Part::Closing => self.closing(input, out),
            };
        }
        if let Err(error) = polled {
            self.fail(error, out);
        }
        if self.state == State::Closed {
            input.take(input.len());
        }
        polled
    }

    /// Bytes came. Nothing hangs on it here: no ping waits for a sign of life.
    pub fn heard(&mut self, _now: Instant) {}

    /// Bytes that are kept of an unfinished message.
    pub fn held_bytes(&self) -> usize {
        match &self.part {
            Part::Text(text) => text.bytes.len(),
            Part::Nonce(_) | Part::Type | Part::Closing => 0,
        }
    }

    /// Bytes that wait for the nonce, to be sent.
    pub fn waiting(&self) -> usize {
        match &self.part {
            Part::Nonce(nonce) => nonce.frames.len(),
            Part::Text(_) | Part::Type | Part::Closing => 0,
        }
    }

    /// Sends a message. `false`, and nothing: the connection is closing or closed; the message is
    /// binary, which the drafts cannot say; it holds a byte FF, so it is no text.
    ///
    /// Before the nonce has come it is kept, and counts in [`Self::waiting`].
    pub fn send(&mut self, kind: Kind, payload: &[u8], out: &mut Vec<u8>) -> bool {
        let may = self.state == State::Open
            && kind == Kind::Text
            && memchr::memchr(LAST, payload).is_none();
        if may {
            write_text(self.way_out(out), payload);
        }
        may
    }

    /// Begins the closing handshake of hixie-76; in hixie-75, which has none, the state is
    /// [`State::Closed`] at once. There is no place for code and reason.
    ///
    /// `false`, and nothing is sent: the connection is closing or closed already.
    pub fn close(
        &mut self,
        _code: Option<u16>,
        _reason: &str,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> bool {
        if self.state != State::Open {
            return false;
        }
        if self.draft == Draft::Hixie75 {
            self.end();
            return true;
        }
        self.way_out(out).extend_from_slice(CLOSING);
        self.state = State::ClosingLocal;
        self.closed = now;
        if let Part::Text(text) = &mut self.part {
            text.bytes = Vec::new();
        }
        true
    }

    /// Ends the connection for what the peer did. It is not told why, there are no codes.
    pub fn fail(&mut self, _error: Error, _out: &mut Vec<u8>) {
        self.end();
    }

    /// When [`Self::handle_timeout`] wants to be called; `None`: never, as things stand.
    pub fn poll_timeout(&self, limits: &Limits) -> Option<Instant> {
        match (self.state, &self.part) {
            (State::Open, Part::Nonce(nonce)) => Some(nonce.until),
            (State::Open | State::Closed, _) => None,
            (State::ClosingLocal, _) => Some(self.closed + limits.close_timeout),
        }
    }

    /// Says that `now` has come: ends the connection if the nonce or the answer to our closing frame
    /// has not. Either is an [`Expired::Close`]: the socket is to be cut.
    ///
    /// Early and repeated calls do nothing.
    pub fn handle_timeout(
        &mut self,
        now: Instant,
        limits: &Limits,
        _out: &mut Vec<u8>,
    ) -> Option<Expired> {
        if self.poll_timeout(limits).is_none_or(|due| now < due) {
            return None;
        }
        self.end();
        Some(Expired::Close)
    }

    /// Where frames are to be put: behind the answer to the nonce.
    fn way_out<'a>(&'a mut self, out: &'a mut Vec<u8>) -> &'a mut Vec<u8> {
        match &mut self.part {
            Part::Nonce(nonce) => &mut nonce.frames,
            _ => out,
        }
    }

    /// Closes for good.
    fn end(&mut self) {
        self.state = State::Closed;
        self.part = Part::Type;
    }

    /// A frame begins. The common case is a message that is all here.
    fn frame<'b>(
        &mut self,
        input: &mut Input<'b>,
        limits: &Limits,
    ) -> Result<Option<Event<'b>>, Error> {
        let [first, text @ ..] = input.rest() else {
            return Ok(None);
        };
        match *first {
            TEXT => {
                let Some(len) = find_end(text, limits.message_bytes_max) else {
                    input.take(1);
                    self.part = Part::Text(Box::default());
                    return Ok(None);
                };
                let payload = &mut input.take(1 + len + 1)[1..=len];
                check_text(payload)?;
                Ok(Some(self.message(Payload::Borrowed(payload))))
            }
            LAST => {
                input.take(1);
                self.part = Part::Closing;
                Ok(None)
            }
            _ => Err(Error::FrameType),
        }
    }

    /// Goes on with a message that was not all there when it began.
    fn rest_of_message<'b>(
        &mut self,
        input: &mut Input<'b>,
        limits: &Limits,
    ) -> Result<Option<Event<'b>>, Error> {
        let Part::Text(text) = &mut self.part else {
            return Ok(None);
        };
        let room = limits.message_bytes_max.saturating_sub(text.len);
        let end = find_end(input.rest(), room);
        let piece = input.take(end.unwrap_or(room));
        text.len += piece.len();
        text.utf8.feed(piece).map_err(|_| Error::Text)?;
        if self.state == State::Open {
            text.bytes.extend_from_slice(piece);
        }
        if end.is_none() {
            // What is left stands where the message would have had to end.
            return match input.is_empty() {
                true => Ok(None),
                false => Err(Error::TooBig),
            };
        }
        input.take(1);
        if !text.utf8.is_complete() {
            return Err(Error::TextUnfinished);
        }
        let bytes = std::mem::take(&mut text.bytes);
        self.part = Part::Type;
        Ok(Some(self.message(Payload::Owned(bytes))))
    }

    /// A message is complete.
    fn message<'b>(&self, payload: Payload<'b>) -> Event<'b> {
        match self.state {
            State::Open => Event::Message {
                kind: Kind::Text,
                payload,
            },
            _ => Event::Silent,
        }
    }

    /// The second byte of a closing frame.
    fn closing<'b>(
        &mut self,
        input: &mut Input<'b>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event<'b>>, Error> {
        if input.take(1) != [CLOSING[1]] {
            return Err(Error::FrameType);
        }
        if self.state == State::Open && self.draft == Draft::Hixie76 {
            out.extend_from_slice(CLOSING);
        }
        self.end();
        Ok(Some(Event::Close {
            code: None,
            reason: String::new(),
        }))
    }
}

impl Nonce {
    /// Takes what is there of it. True: that was the rest, and it is answered.
    fn take(&mut self, input: &mut Input<'_>, out: &mut Vec<u8>) -> bool {
        let piece = input.take(NONCE_BYTES - self.len);
        self.bytes[self.len..][..piece.len()].copy_from_slice(piece);
        self.len += piece.len();
        let came = self.len == NONCE_BYTES;
        if came {
            out.extend_from_slice(&challenge(self.numbers, self.bytes));
            out.append(&mut self.frames);
        }
        came
    }
}

/// Where a text ends that begins here, if its end is here and it has at most `max` bytes. Looks at
/// no byte behind those.
fn find_end(text: &[u8], max: usize) -> Option<usize> {
    let window = text.len().min(max.saturating_add(1));
    memchr::memchr(LAST, &text[..window])
}

/// Appends a message, which must hold no byte FF.
pub fn write_text(out: &mut Vec<u8>, payload: &[u8]) {
    debug_assert!(memchr::memchr(LAST, payload).is_none(), "no text");
    out.reserve(payload.len() + 2);
    out.push(TEXT);
    out.extend_from_slice(payload);
    out.push(LAST);
}

/// The type of a message.
const TEXT: u8 = 0x00;
/// The last byte of a message, and the type of a closing frame.
const LAST: u8 = 0xff;
/// A closing frame.
const CLOSING: &[u8; 2] = b"\xff\x00";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::ws::handshake::Request;
    use crate::proto::ws::hixie::handshake::{Location, check};
    use crate::proto::ws::testing::Random;
    use httparse::Header;
    use proptest::prelude::*;

    const T0: Instant = Instant::from_nanos(1_000_000_000);
    const NONCE: &[u8; 8] = b"^n:ds[4U";
    const ANSWER: &[u8; 16] = b"8jKS'y:G*Co,Wxa-";

    fn after(seconds: u64) -> Instant {
        T0 + Duration::from_secs(seconds)
    }

    /// A connection after the handshake of the draft's example, which may have 10 s for its nonce.
    fn machine(draft: Draft) -> Machine {
        let headers = [
            ("Upgrade", "WebSocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key1", "4 @1  46546xW%0l 1 5"),
            ("Sec-WebSocket-Key2", "12998 5 Y3 1  .P00"),
            ("Origin", "http://example.com"),
        ]
        .map(|(name, value)| Header {
            name,
            value: value.as_bytes(),
        });
        let request = Request {
            method: "GET",
            http11: true,
            headers: &headers,
        };
        let location = Location {
            secure: false,
            host: "example.com",
            target: "/demo",
        };
        let handshake = check(&request, draft, location).unwrap();
        Machine::new(&handshake, T0, Duration::from_secs(10))
    }

    /// An event that owns its bytes.
    #[derive(Clone, Debug, PartialEq, Eq)]
    enum Seen {
        Text(Vec<u8>),
        Closed,
        Failed(Error),
    }

    fn text(text: &str) -> Seen {
        Seen::Text(text.into())
    }

    /// A machine, its limits and its output.
    struct Script {
        machine: Machine,
        limits: Limits,
        out: Vec<u8>,
        seen: Vec<Seen>,
        /// Messages that lay whole in the input.
        borrowed: usize,
    }

    impl Script {
        fn new(draft: Draft, limits: Limits) -> Self {
            Self {
                machine: machine(draft),
                limits,
                out: Vec::new(),
                seen: Vec::new(),
                borrowed: 0,
            }
        }

        /// The nonce has come and is answered.
        fn open() -> Self {
            let mut script = Self::new(Draft::Hixie76, Limits::default());
            script.read(NONCE);
            assert_eq!(script.out(), ANSWER);
            script
        }

        /// One read of these bytes.
        fn read(&mut self, bytes: &[u8]) {
            let mut bytes = bytes.to_vec();
            let mut input = Input::new(&mut bytes);
            self.machine.heard(T0);
            loop {
                let polled =
                    self.machine
                        .poll_event(&mut input, &self.limits, false, &mut self.out);
                let seen = match polled {
                    Ok(None) => break,
                    Ok(Some(Event::Silent)) => continue,
                    Ok(Some(Event::Message { kind, payload })) => {
                        assert_eq!(kind, Kind::Text);
                        self.borrowed += usize::from(matches!(payload, Payload::Borrowed(_)));
                        Seen::Text(payload.to_vec())
                    }
                    Ok(Some(Event::Close { code: None, reason })) if reason.is_empty() => {
                        Seen::Closed
                    }
                    Ok(Some(event)) => panic!("{event:?}"),
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

    type Ran = (Vec<Seen>, Vec<u8>, State);

    fn run(draft: Draft, limits: &Limits, reads: &[&[u8]]) -> Ran {
        let mut script = Script::new(draft, limits.clone());
        for read in reads {
            script.read(read);
        }
        (script.seen, script.out, script.machine.state())
    }

    /// Whole, a byte at a time, and cut in two everywhere: always the same.
    fn run_cut(name: &str, draft: Draft, limits: &Limits, bytes: &[u8]) -> Ran {
        let whole = run(draft, limits, &[bytes]);
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(
            run(draft, limits, &single),
            whole,
            "{name}, a byte at a time"
        );
        for cut in 0..bytes.len() {
            let (left, right) = bytes.split_at(cut);
            let got = run(draft, limits, &[left, right]);
            assert_eq!(got, whole, "{name}, cut after {cut}");
        }
        whole
    }

    #[test]
    fn small() {
        assert!(size_of::<Machine>() <= 40, "{}", size_of::<Machine>());
    }

    /// What is delivered and what is answered, in both drafts.
    #[test]
    fn streams() {
        let failed = |error| vec![Seen::Failed(error)];
        type Row<'a> = (&'a str, &'a [u8], Vec<Seen>, &'a [u8], State);
        #[rustfmt::skip]
        let cases: Vec<Row<'_>> = vec![
            ("nothing",                 b"",                         vec![], b"", State::Open),
            ("text",                    b"\0Hello\xff",              vec![text("Hello")], b"", State::Open),
            ("empty text",              b"\0\xff",                   vec![text("")], b"", State::Open),
            ("not ascii",               b"\0\xe2\x82\xac\xf0\x9f\x98\x80\xff", vec![text("€😀")], b"", State::Open),
            ("NUL in a text",           b"\0a\0b\xff",               vec![text("a\0b")], b"", State::Open),
            ("three",                   b"\0a\xff\0b\xff\0\xc3\xa9\xff", vec![text("a"), text("b"), text("é")], b"", State::Open),
            ("begun",                   b"\0a\xff\0b",               vec![text("a")], b"", State::Open),
            ("closing",                 b"\xff\0",                   vec![Seen::Closed], b"\xff\0", State::Closed),
            ("text, closing",           b"\0a\xff\xff\0",            vec![text("a"), Seen::Closed], b"\xff\0", State::Closed),
            ("bytes behind closing",    b"\xff\0\0a\xff\xff\0\x80",  vec![Seen::Closed], b"\xff\0", State::Closed),
            ("half of closing",         b"\xff",                     vec![], b"", State::Open),
            ("closing with a length",   b"\xff\x05Hello",            failed(Error::FrameType), b"", State::Closed),
            ("FF twice",                b"\xff\xff\0",               failed(Error::FrameType), b"", State::Closed),
            ("type 01",                 b"\x01Hello\xff",            failed(Error::FrameType), b"", State::Closed),
            ("type 7f",                 b"\x7fHello\xff",            failed(Error::FrameType), b"", State::Closed),
            ("type 80",                 b"\x80\x05Hello",            failed(Error::FrameType), b"", State::Closed),
            ("type 80, huge",           b"\x80\xff\xff\xff\xff\x7f", failed(Error::FrameType), b"", State::Closed),
            ("type fe",                 b"\xfe\x00",                 failed(Error::FrameType), b"", State::Closed),
            ("frame of RFC 6455",       b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", failed(Error::FrameType), b"", State::Closed),
            ("no type",                 b"Hello\xff",                failed(Error::FrameType), b"", State::Closed),
            ("text, then a bad type",   b"\0a\xffb",                 vec![text("a"), Seen::Failed(Error::FrameType)], b"", State::Closed),
            ("lone continuation",       b"\0a\x80b\xff",             failed(Error::Text), b"", State::Closed),
            ("overlong",                b"\0\xc0\xaf\xff",           failed(Error::Text), b"", State::Closed),
            ("surrogate",               b"\0\xed\xa0\x80\xff",       failed(Error::Text), b"", State::Closed),
            ("fe in a text",            b"\0a\xfeb\xff",             failed(Error::Text), b"", State::Closed),
            ("bad, not ended",          b"\0a\xc3\xc3b",             failed(Error::Text), b"", State::Closed),
            ("cut character",           b"\0a\xe2\x82\xff\0b\xff",   failed(Error::TextUnfinished), b"", State::Closed),
            ("cut by a character",      b"\0\xe2\x82\xc3\xa9\xff",   failed(Error::Text), b"", State::Closed),
        ];
        for (name, bytes, seen, out, state) in cases {
            let limits = Limits::default();
            let got = run_cut(name, Draft::Hixie75, &limits, bytes);
            // There is no closing handshake in hixie-75.
            assert_eq!(got, (seen.clone(), Vec::new(), state), "{name}");
            let bytes = [NONCE, bytes].concat();
            let got = run_cut(name, Draft::Hixie76, &limits, &bytes);
            assert_eq!(got, (seen, [ANSWER, out].concat(), state), "{name}");
        }
    }

    /// The limit is for the bytes between the first and the last; what breaks first decides.
    #[test]
    fn message_limit() {
        let max = |message_bytes_max| Limits {
            message_bytes_max,
            ..Limits::default()
        };
        let too_big = || vec![Seen::Failed(Error::TooBig)];
        type Row<'a> = (&'a str, usize, &'a [u8], Vec<Seen>);
        #[rustfmt::skip]
        let cases: Vec<Row<'_>> = vec![
            ("at the limit",          5, b"\0Hello\xff",            vec![text("Hello")]),
            ("one over",              5, b"\0Hello!\xff",           too_big()),
            ("one over, not ended",   5, b"\0Hello!",               too_big()),
            ("at it, not ended",      5, b"\0Hello",                vec![]),
            ("far over",              5, &[0; 5000],                too_big()),
            ("each for itself",       5, b"\0Hello\xff\0World\xff", vec![text("Hello"), text("World")]),
            ("none",                  0, b"\0\xff",                 vec![text("")]),
            ("one over none",         0, b"\0a\xff",                too_big()),
            ("bad before the limit",  5, b"\0Hel\x80o!\xff",        vec![Seen::Failed(Error::Text)]),
            ("bad at the limit",      5, b"\0Hell\x80!\xff",        vec![Seen::Failed(Error::Text)]),
            ("bad behind it",         5, b"\0Hello\x80\xff",        too_big()),
            ("limit in a character",  5, b"\0Hell\xc3\xa9\xff",     too_big()),
            ("end in a character",    5, b"\0Hell\xc3\xff",         vec![Seen::Failed(Error::TextUnfinished)]),
            ("no limit",              usize::MAX, b"\0Hello\xff",   vec![text("Hello")]),
        ];
        for (name, bytes_max, bytes, seen) in cases {
            let limits = max(bytes_max);
            let got = match bytes.len() {
                0..100 => run_cut(name, Draft::Hixie75, &limits, bytes),
                _ => run(Draft::Hixie75, &limits, &[bytes]),
            };
            assert_eq!(got.0, seen, "{name}");
        }
    }

    /// A peer that never ends its message: no more is kept than the limit allows.
    #[test]
    fn held_bytes_are_limited() {
        let mut script = Script::open();
        script.limits.message_bytes_max = 1000;
        script.read(b"\0");
        for i in 1..=1000 {
            script.read(b"x");
            assert_eq!(script.machine.held_bytes(), i);
        }
        script.read(b"x");
        assert_eq!(script.seen, [Seen::Failed(Error::TooBig)]);
        assert_eq!(script.machine.held_bytes(), 0);
    }

    /// Each byte is looked at a fixed number of times, however they come.
    #[test]
    fn no_quadratic_scanning() {
        let limits = Limits {
            message_bytes_max: 2 << 20,
            ..Limits::default()
        };
        let mut many = Script::new(Draft::Hixie75, limits.clone());
        many.read(&b"\0\xff".repeat(1 << 18));
        assert_eq!(many.seen.len(), 1 << 18);
        let mut long = Script::new(Draft::Hixie75, limits);
        long.read(b"\0");
        for _ in 0..1 << 18 {
            long.read(b"long");
        }
        long.read(b"\xff");
        assert_eq!(long.seen.len(), 1);
    }

    /// The nonce in any pieces, frames right behind it, and what was sent before it.
    #[test]
    fn nonce() {
        let bytes = [NONCE.as_slice(), b"\0a\xff\0b\xff"].concat();
        for cut in 0..=bytes.len() {
            let mut script = Script::new(Draft::Hixie76, Limits::default());
            let Script { machine, out, .. } = &mut script;
            assert!(machine.awaits_nonce());
            assert!(machine.send(Kind::Text, b"early", out));
            script.read(&bytes[..cut]);
            let came = cut >= 8;
            assert_eq!(script.out.is_empty(), !came, "cut after {cut}");
            assert_eq!(script.machine.awaits_nonce(), !came, "cut after {cut}");
            if !came {
                assert_eq!(script.machine.waiting(), b"\0early\xff".len());
            }
            script.read(&bytes[cut..]);
            assert!(script.machine.send(Kind::Text, b"late", &mut script.out));
            assert_eq!(script.seen, [text("a"), text("b")], "cut after {cut}");
            let want = [ANSWER.as_slice(), b"\0early\xff\0late\xff"].concat();
            assert_eq!(script.out, want, "cut after {cut}");
        }
    }

    /// The answer to the nonce is an event of its own: it can be written before a message is
    /// handled.
    #[test]
    fn nonce_is_an_event() {
        let mut machine = machine(Draft::Hixie76);
        let mut bytes = [NONCE.as_slice(), b"\0a\xff"].concat();
        let mut input = Input::new(&mut bytes);
        let mut out = Vec::new();
        let limits = Limits::default();
        let event = machine.poll_event(&mut input, &limits, false, &mut out);
        assert_eq!(
            (event, out.as_slice()),
            (Ok(Some(Event::Silent)), &ANSWER[..])
        );
        assert_eq!(input.rest(), b"\0a\xff");
    }

    #[test]
    fn nonce_timeout() {
        let mut script = Script::new(Draft::Hixie76, Limits::default());
        script.read(&NONCE[..7]);
        let Script {
            machine,
            limits,
            out,
            ..
        } = &mut script;
        machine.heard(after(9));
        assert_eq!(machine.poll_timeout(limits), Some(after(10)));
        assert_eq!(machine.handle_timeout(after(9), limits, out), None);
        let expired = machine.handle_timeout(after(10), limits, out);
        assert_eq!(expired, Some(Expired::Close));
        assert_eq!(machine.state(), State::Closed);
        assert_eq!(machine.handle_timeout(after(11), limits, out), None);
        script.read(&NONCE[7..]);
        assert!(script.out.is_empty());
        assert_eq!(
            Script::open().machine.poll_timeout(&Limits::default()),
            None
        );
    }

    /// Closing before the nonce: what was sent and the closing frame wait for it.
    #[test]
    fn close_before_the_nonce() {
        let mut script = Script::new(Draft::Hixie76, Limits::default());
        let Script {
            machine,
            limits,
            out,
            ..
        } = &mut script;
        assert!(machine.send(Kind::Text, b"early", out));
        assert!(machine.close(None, "", after(7), out));
        assert!(!machine.send(Kind::Text, b"late", out));
        assert_eq!(machine.poll_timeout(limits), Some(after(12)));
        script.read(NONCE);
        let want = [ANSWER.as_slice(), b"\0early\xff\xff\0"].concat();
        assert_eq!(script.out(), want);
        assert_eq!(script.machine.state(), State::ClosingLocal);
        script.read(b"\xff\0");
        assert_eq!(script.seen, [Seen::Closed]);
        assert!(script.out.is_empty());
    }

    #[test]
    fn close_timeout() {
        let mut script = Script::open();
        let Script {
            machine,
            limits,
            out,
            ..
        } = &mut script;
        assert_eq!(machine.poll_timeout(limits), None);
        assert!(machine.close(Some(4000), "bye", after(3), out));
        assert_eq!(std::mem::take(out), b"\xff\0");
        machine.heard(after(7));
        assert_eq!(machine.poll_timeout(limits), Some(after(8)));
        assert_eq!(machine.handle_timeout(after(7), limits, out), None);
        let expired = machine.handle_timeout(after(8), limits, out);
        assert_eq!(expired, Some(Expired::Close));
        let state = (machine.state(), machine.poll_timeout(limits));
        assert_eq!(state, (State::Closed, None));
        assert!(out.is_empty());
    }

    /// The states against everything that can come.
    #[test]
    fn states() {
        type Row<'a> = (&'a str, State, &'a [u8], Vec<Seen>, State);
        #[rustfmt::skip]
        let cases: Vec<Row<'_>> = vec![
            ("text while closing",      State::ClosingLocal, b"\0late\xff",     vec![],                                State::ClosingLocal),
            ("bad text while closing",  State::ClosingLocal, b"\0\x80\xff",     vec![Seen::Failed(Error::Text)],       State::Closed),
            ("cut text while closing",  State::ClosingLocal, b"\0\xc3\xff",     vec![Seen::Failed(Error::TextUnfinished)], State::Closed),
            ("bad type while closing",  State::ClosingLocal, b"\x80\0",         vec![Seen::Failed(Error::FrameType)],  State::Closed),
            ("answer",                  State::ClosingLocal, b"\xff\0",         vec![Seen::Closed],                    State::Closed),
            ("text, answer",            State::ClosingLocal, b"\0late\xff\xff\0\0", vec![Seen::Closed],                State::Closed),
            ("text when closed",        State::Closed,       b"\0late\xff",     vec![],                                State::Closed),
            ("closing when closed",     State::Closed,       b"\xff\0",         vec![],                                State::Closed),
            ("rubbish when closed",     State::Closed,       &[0xfe; 99],       vec![],                                State::Closed),
        ];
        for (name, from, bytes, seen, to) in cases {
            for step in [1, 3, bytes.len()] {
                let mut script = Script::open();
                match from {
                    State::Open => {}
                    State::ClosingLocal => {
                        assert!(script.machine.close(None, "", T0, &mut script.out));
                    }
                    State::Closed => script.machine.fail(Error::WrongKind, &mut script.out),
                }
                script.out();
                bytes.chunks(step).for_each(|read| script.read(read));
                assert_eq!(script.seen, seen, "{name}");
                assert_eq!(script.machine.state(), to, "{name}");
                let Script { machine, out, .. } = &mut script;
                assert!(!machine.send(Kind::Text, b"a", out), "{name}");
                assert!(!machine.close(None, "", T0, out), "{name}");
                assert!(out.is_empty(), "{name}");
            }
        }
    }

    /// Closing inside a message, or inside the peer's closing frame.
    #[test]
    fn close_between_bytes() {
        let mut script = Script::open();
        script.read(b"\0begun");
        assert_eq!(script.machine.held_bytes(), 5);
        assert!(script.machine.close(None, "", T0, &mut script.out));
        script.read(&[b'x'; 1000]);
        assert_eq!(script.machine.held_bytes(), 0);
        script.read(b"ended\xff");
        assert_eq!(script.seen, []);
        script.read(b"\xff\0");
        assert_eq!(script.seen, [Seen::Closed]);
        assert_eq!(script.out, b"\xff\0");

        let mut script = Script::open();
        script.read(b"\xff");
        assert!(script.machine.close(None, "", T0, &mut script.out));
        script.read(b"\0");
        assert_eq!(script.seen, [Seen::Closed]);
        assert_eq!(script.out, b"\xff\0");
    }

    /// Hixie-75 has no closing handshake.
    #[test]
    fn close_of_hixie_75() {
        let mut script = Script::new(Draft::Hixie75, Limits::default());
        let Script { machine, out, .. } = &mut script;
        assert!(!machine.awaits_nonce());
        assert!(machine.send(Kind::Text, b"a", out));
        assert!(machine.close(None, "", T0, out));
        assert!(!machine.close(None, "", T0, out));
        assert_eq!(machine.state(), State::Closed);
        assert_eq!(out, b"\0a\xff");
    }

    #[test]
    fn sending() {
        let mut script = Script::open();
        let Script { machine, out, .. } = &mut script;
        assert!(machine.send(Kind::Text, b"a", out));
        assert!(machine.send(Kind::Text, b"", out));
        assert!(machine.send(Kind::Text, "é".as_bytes(), out));
        assert!(!machine.send(Kind::Binary, b"b", out));
        assert!(!machine.send(Kind::Text, b"a\xff\xff\0", out));
        assert_eq!(out, b"\0a\xff\0\xff\0\xc3\xa9\xff");
        assert_eq!(machine.state(), State::Open);
    }

    /// A message whole in the input is lent; idle keeps nothing.
    #[test]
    fn whole_messages_are_lent() {
        let mut script = Script::open();
        script.read("\0one".as_bytes());
        script.read(b"\xff\0two\xff\0three\xff");
        assert_eq!((script.seen.len(), script.borrowed), (3, 2));
        assert_eq!(script.machine.held_bytes(), 0);
        let mut script = Script::new(Draft::Hixie76, Limits::default());
        script.read(&[NONCE.as_slice(), b"\0one\xff"].concat());
        assert_eq!((script.seen.len(), script.borrowed), (1, 1));
    }

    /// A stream of frames, mostly good.
    fn stream(random: &mut Random, frames: usize) -> Vec<u8> {
        let mut bytes = NONCE.to_vec();
        for _ in 0..frames {
            let texts = ["", "a", "plain text", "aé€😀", "κόσμε"];
            let times = [0, 1, 2, 30][random.below(4)];
            let text = texts[random.below(texts.len())].repeat(times);
            match random.below(20) {
                0 => bytes.push(random.next() as u8),
                1 => bytes.extend(b"\xff\0"),
                2 => bytes.extend(b"\0a\xe2\x82\xff"),
                _ => write_text(&mut bytes, text.as_bytes()),
            }
        }
        bytes
    }

    proptest! {
        /// Any cut of any stream gives the same events, the same bytes and the same state.
        #[test]
        fn cut_anywhere(seed: u64, frames in 1..12_usize, step in 1..300_usize, message_bytes_max in 0..500_usize) {
            let mut random = Random(seed);
            let bytes = stream(&mut random, frames);
            let limits = Limits { message_bytes_max, ..Limits::default() };
            let whole = run(Draft::Hixie76, &limits, &[&bytes]);
            let mut script = Script::new(Draft::Hixie76, limits);
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (read, more) = rest.split_at((1 + random.below(step)).min(rest.len()));
                script.read(read);
                rest = more;
            }
            prop_assert_eq!((script.seen, script.out, script.machine.state()), whole);
        }

        /// What one machine sends, another one reads.
        #[test]
        fn round_trip(texts: Vec<String>) {
            let mut script = Script::open();
            for text in &texts {
                prop_assert!(script.machine.send(Kind::Text, text.as_bytes(), &mut script.out));
            }
            let sent = script.out();
            script.read(&sent);
            let want: Vec<Seen> = texts.iter().map(|sent| text(sent)).collect();
            prop_assert_eq!(script.seen, want);
        }

        /// No bytes make it panic, and a closed machine stays closed.
        #[test]
        fn any_bytes(bytes: Vec<u8>, hixie_75: bool) {
            let draft = if hixie_75 { Draft::Hixie75 } else { Draft::Hixie76 };
            let (seen, _, state) = run(draft, &Limits::default(), &[&bytes]);
            let closed = seen.iter().any(|s| matches!(s, Seen::Failed(_) | Seen::Closed));
            prop_assert_eq!(closed, state == State::Closed);
        }
    }
}
