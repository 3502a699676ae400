//! One WebSocket connection driven by a list of operations: what comes out is well formed, and the
//! same however the input was cut.

use std::time::Duration;

use dustdevil::proto::ws::close::Close;
use dustdevil::proto::ws::{Error, Event, Expired, Kind, Limits, Machine, State};
use dustdevil::storage::input::Input;
use dustdevil::time::Instant;

use super::cuts;
use super::ops::{Ops, masked_frame};

/// The last byte: which limits. The cuts come before it, the operations before them.
pub(crate) fn run(data: &[u8]) {
    let Some((&flags, data)) = data.split_last() else {
        return;
    };
    let mut limits = Limits {
        accept_unmasked: flags & 1 != 0,
        strict_length: flags & 2 != 0,
        ..Limits::default()
    };
    if flags & 4 != 0 {
        limits.message_bytes_max = 200;
        limits.frame_bytes_max = 150;
        limits.fragments_max = 6;
        limits.empty_fragments_max = 2;
    }
    let (data, cuts) = cuts::split_cuts(data);
    let whole = Run::of(data, &[], &limits);
    assert_eq!(whole, Run::of(data, &cuts, &limits), "cut by {cuts:?}");
    assert_eq!(whole, Run::of(data, &[1], &limits), "byte after byte");
}

/// What an application sees.
#[derive(Debug, PartialEq)]
enum Seen {
    Message(Kind, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
    Error(Error),
    Expired(Expired),
    /// What an operation answered.
    Did(bool),
}

#[derive(Debug, PartialEq)]
struct Run {
    seen: Vec<Seen>,
    out: Vec<u8>,
    state: State,
}

impl Run {
    fn of(data: &[u8], cuts: &[usize], limits: &Limits) -> Self {
        let mut now = Instant::START;
        let mut machine = Machine::new(now);
        let mut run = Self {
            seen: Vec::new(),
            out: Vec::new(),
            state: State::Open,
        };
        let mut backlogged = false;
        let mut ops = Ops(data);
        while let Some(op) = ops.byte() {
            let out = &mut run.out;
            match op % 8 {
                0 => {
                    let bytes = ops.some();
                    run.feed(&mut machine, bytes, now, cuts, limits, backlogged);
                }
                1 => {
                    let first = ops.byte().unwrap_or(0x81);
                    let frame = masked_frame(first, ops.some());
                    run.feed(&mut machine, &frame, now, cuts, limits, backlogged);
                }
                2 => {
                    now += Duration::from_secs(u64::from(ops.byte().unwrap_or(0)));
                    let due = machine.poll_timeout(limits);
                    let expired = machine.handle_timeout(now, limits, out);
                    assert!(expired.is_none() || machine.state() == State::Closed);
                    assert!(expired.is_none() || due.is_some_and(|due| due <= now));
                    assert_eq!(machine.handle_timeout(now, limits, out), None);
                    run.seen.extend(expired.map(Seen::Expired));
                }
                3 => {
                    let open = machine.state() == State::Open;
                    let data = ops.some();
                    let did = machine.ping(data, out);
                    assert_eq!(did, open && data.len() <= 125);
                    run.seen.push(Seen::Did(did));
                }
                4 => {
                    let code =
                        u16::from_be_bytes([ops.byte().unwrap_or(0), ops.byte().unwrap_or(0)]);
                    let reason = String::from_utf8_lossy(ops.some());
                    let code = Some(code).filter(|code| *code != 0);
                    let did = machine.close(code, &reason, now, out);
                    assert!(!did || machine.state() == State::ClosingLocal);
                    run.seen.push(Seen::Did(did));
                }
                5 => {
                    backlogged = ops.byte().is_some_and(|b| b & 1 != 0);
                    if !backlogged {
                        machine.unblocked(out);
                    }
                }
                6 => {
                    let data = ops.some();
                    let kind =
                        [Kind::Text, Kind::Binary][usize::from(std::str::from_utf8(data).is_err())];
                    let did = machine.send(kind, data, out);
                    run.seen.push(Seen::Did(did));
                }
                _ => match ops.byte().is_some_and(|b| b & 1 != 0) {
                    true => machine.pause(),
                    false => {
                        let did = machine.resume(now);
                        run.seen.push(Seen::Did(did));
                    }
                },
            }
            run.check_out(&machine);
        }
        run.state = machine.state();
        run
    }
}

impl Run {
    fn feed(
        &mut self,
        machine: &mut Machine,
        bytes: &[u8],
        now: Instant,
        cuts: &[usize],
        limits: &Limits,
        backlogged: bool,
    ) {
        for piece in cuts::pieces(bytes, cuts) {
            let before = machine.state();
            machine.heard(now);
            assert!(!machine.is_unanswered());
            let mut bytes = piece.to_vec();
            let mut input = Input::new(&mut bytes);
            loop {
                let event = machine.poll_event(&mut input, limits, backlogged, &mut self.out);
                let state = machine.state();
                self.seen.push(match event {
                    Ok(None) => break,
                    Ok(Some(Event::Silent)) => continue,
                    Ok(Some(Event::Message { kind, payload })) => {
                        assert_eq!(state, State::Open);
                        assert!(payload.len() <= limits.message_bytes_max);
                        assert!(kind == Kind::Binary || std::str::from_utf8(&payload).is_ok());
                        Seen::Message(kind, payload.to_vec())
                    }
                    Ok(Some(Event::Ping { payload })) => {
                        assert!(state == State::Open && payload.len() <= 125);
                        Seen::Ping(payload.to_vec())
                    }
                    Ok(Some(Event::Pong { payload })) => {
                        assert!(state == State::Open && payload.len() <= 125);
                        Seen::Pong(payload.to_vec())
                    }
                    Ok(Some(Event::Close { code, reason })) => {
                        assert!(state == State::Closed && before != State::Closed);
                        Seen::Close(code, reason)
                    }
                    Err(error) => {
                        assert!(state == State::Closed && before != State::Closed);
                        assert!(input.is_empty());
                        Seen::Error(error)
                    }
                });
            }
            assert!(input.is_empty(), "nothing more, and not all taken");
        }
    }

    /// Whole frames of a server, and a close frame the last of them, if not the connection is open.
    fn check_out(&self, machine: &Machine) {
        let mut rest = &self.out[..];
        let mut closed = false;
        while let [first, second, behind @ ..] = rest {
            assert!(!closed, "bytes behind our close frame");
            assert!(matches!(first, 0x81 | 0x82 | 0x88..=0x8a), "{first:#x}");
            let (len, behind) = match (second, behind) {
                (0..=125, _) => (usize::from(*second), behind),
                (126, [a, b, behind @ ..]) => {
                    let len = usize::from(u16::from_be_bytes([*a, *b]));
                    assert!(len > 125, "not the shortest form");
                    (len, behind)
                }
                _ => panic!("no operation makes a frame with {second:#x}"),
            };
            let (payload, behind) = behind.split_at(len);
            match first {
                0x81 => assert!(std::str::from_utf8(payload).is_ok()),
                0x88 => {
                    assert!(Close::parse(payload).is_ok());
                    closed = true;
                }
                _ => assert!(*first == 0x82 || len <= 125),
            }
            rest = behind;
        }
        assert!(rest.is_empty(), "part of a frame");
        assert_eq!(closed, machine.state() != State::Open);
    }
}
