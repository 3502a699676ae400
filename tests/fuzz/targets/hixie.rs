//! One connection of hixie-76 or hixie-75 driven by a list of operations: what comes out is the
//! answer to the nonce and whole frames, and the same however the input was cut.

use std::time::Duration;

use dustdevil::proto::ws::handshake::Request;
use dustdevil::proto::ws::hixie::handshake::{
    Draft, Handshake, Location, challenge, check, draft, write_101,
};
use dustdevil::proto::ws::hixie::machine::{Machine, write_text};
use dustdevil::proto::ws::{Error, Event, Expired, Kind, Limits, State};
use dustdevil::storage::input::Input;
use dustdevil::time::Instant;
use httparse::Header;

use super::cuts;
use super::ops::{Ops, masked_frame};

/// The last byte: which draft and which limits. The cuts come before it, the keys and then the
/// operations before them.
pub(crate) fn run(data: &[u8]) {
    let Some((&flags, data)) = data.split_last() else {
        return;
    };
    let mut limits = Limits::default();
    if flags & 4 != 0 {
        limits.message_bytes_max = 20;
    }
    let (data, cuts) = cuts::split_cuts(data);
    let mut ops = Ops(data);
    let handshake = match flags & 1 {
        0 => shake(Some([ops.some(), ops.some()])).or_else(|| shake(Some(KEYS))),
        _ => shake(None),
    };
    let handshake = handshake.expect("a good handshake is taken");
    let data = ops.0;
    let whole = Run::of(data, &handshake, &[], &limits);
    let cut = Run::of(data, &handshake, &cuts, &limits);
    assert_eq!(whole, cut, "cut by {cuts:?}");
    let single = Run::of(data, &handshake, &[1], &limits);
    assert_eq!(whole, single, "byte after byte");
}

const KEYS: [&[u8]; 2] = [b"4 @1  46546xW%0l 1 5", b"12998 5 Y3 1  .P00"];

/// The handshake of a client with these keys, if it is taken.
fn shake(keys: Option<[&[u8]; 2]>) -> Option<Handshake> {
    let mut fields: Vec<(&str, &[u8])> = vec![
        ("Upgrade", b"WebSocket"),
        ("Connection", b"Upgrade"),
        ("Origin", b"http://example.com"),
    ];
    let names = ["Sec-WebSocket-Key1", "Sec-WebSocket-Key2"];
    fields.extend(names.into_iter().zip(keys.into_iter().flatten()));
    let headers: Vec<Header<'_>> = fields
        .iter()
        .map(|&(name, value)| Header { name, value })
        .collect();
    let request = Request {
        method: "GET",
        http11: true,
        headers: &headers,
    };
    let is = match keys {
        Some(_) => Draft::Hixie76,
        None => Draft::Hixie75,
    };
    assert_eq!(draft(&request), Some(is));
    let location = Location {
        secure: false,
        host: "example.com",
        target: "/",
    };
    let shake = check(&request, is, location).ok()?;
    let mut head = Vec::new();
    write_101(&mut head, &shake, None, b"");
    assert!(head.starts_with(b"HTTP/1.1 101 Web") && head.ends_with(b"\r\n\r\n"));
    Some(shake)
}

/// What an application sees.
#[derive(Debug, PartialEq)]
enum Seen {
    Message(Vec<u8>),
    Close,
    Error(Error),
    Expired(Expired),
    /// What an operation answered.
    Did(bool),
}

#[derive(Debug, PartialEq)]
struct Run {
    seen: Vec<Seen>,
    out: Vec<u8>,
    /// The first bytes that came, of which a nonce may consist.
    first: Vec<u8>,
    state: State,
}

impl Run {
    fn of(data: &[u8], handshake: &Handshake, cuts: &[usize], limits: &Limits) -> Self {
        let mut now = Instant::START;
        let mut machine = Machine::new(handshake, now, Duration::from_secs(10));
        let mut run = Self {
            seen: Vec::new(),
            out: Vec::new(),
            first: Vec::new(),
            state: State::Open,
        };
        let mut ops = Ops(data);
        while let Some(op) = ops.byte() {
            let out = &mut run.out;
            let open = machine.state() == State::Open;
            match op % 6 {
                0 => run.feed(&mut machine, ops.some(), now, cuts, limits),
                1 => {
                    let text = ops.some();
                    let frame = [b"\0", text, b"\xff"].concat();
                    run.feed(&mut machine, &frame, now, cuts, limits);
                }
                2 => {
                    now += Duration::from_secs(u64::from(ops.byte().unwrap_or(0)));
                    let due = machine.poll_timeout(limits);
                    let expired = machine.handle_timeout(now, limits, out);
                    assert_eq!(expired.is_some(), due.is_some_and(|due| due <= now));
                    assert!(expired.is_none() || machine.state() == State::Closed);
                    assert_eq!(machine.handle_timeout(now, limits, out), None);
                    run.seen.extend(expired.map(Seen::Expired));
                }
                3 => {
                    let did = machine.close(Some(4000), "bye", now, out);
                    assert_eq!(did, open);
                    assert_ne!(machine.state(), State::Open);
                    run.seen.push(Seen::Did(did));
                }
                4 => {
                    let text = ops.some();
                    let kind = match std::str::from_utf8(text) {
                        Ok(_) => Kind::Text,
                        Err(_) => Kind::Binary,
                    };
                    let did = machine.send(kind, text, out);
                    assert_eq!(did, open && kind == Kind::Text);
                    run.seen.push(Seen::Did(did));
                }
                _ => {
                    let first = ops.byte().unwrap_or(0x81);
                    let frame = masked_frame(first, ops.some());
                    run.feed(&mut machine, &frame, now, cuts, limits);
                }
            }
            run.check_out(&machine, handshake);
        }
        run.state = machine.state();
        // Behind the end, more or less of it has come by the cuts.
        run.first.clear();
        run
    }

    fn feed(
        &mut self,
        machine: &mut Machine,
        bytes: &[u8],
        now: Instant,
        cuts: &[usize],
        limits: &Limits,
    ) {
        for piece in cuts::pieces(bytes, cuts) {
            let before = machine.state();
            if before != State::Closed {
                let more = piece.len().min(8 - self.first.len());
                self.first.extend_from_slice(&piece[..more]);
            }
            machine.heard(now);
            let mut bytes = piece.to_vec();
            let mut input = Input::new(&mut bytes);
            loop {
                let event = machine.poll_event(&mut input, limits, false, &mut self.out);
                let state = machine.state();
                self.seen.push(match event {
                    Ok(None) => break,
                    Ok(Some(Event::Silent)) => continue,
                    Ok(Some(Event::Message { kind, payload })) => {
                        assert!(state == State::Open && !machine.awaits_nonce());
                        assert!(kind == Kind::Text && std::str::from_utf8(&payload).is_ok());
                        assert!(payload.len() <= limits.message_bytes_max);
                        Seen::Message(payload.to_vec())
                    }
                    Ok(Some(Event::Close { code, reason })) => {
                        assert!(state == State::Closed && before != State::Closed);
                        assert!(code.is_none() && reason.is_empty() && input.is_empty());
                        Seen::Close
                    }
                    Ok(Some(event)) => panic!("no draft has {event:?}"),
                    Err(error) => {
                        assert!(state == State::Closed && before != State::Closed);
                        assert!(input.is_empty());
                        Seen::Error(error)
                    }
                });
            }
            assert!(input.is_empty(), "nothing more, and not all taken");
            let held = machine.held_bytes();
            assert!(machine.awaits_nonce() || held <= limits.message_bytes_max);
        }
    }

    /// The answer to the nonce, whole frames, and a closing frame the last of them.
    fn check_out(&self, machine: &Machine, handshake: &Handshake) {
        let mut rest = &self.out[..];
        if handshake.draft == Draft::Hixie76 {
            let Ok(nonce) = <[u8; 8]>::try_from(&self.first[..]) else {
                assert!(rest.is_empty(), "bytes before the answer to the nonce");
                return;
            };
            let answer = challenge(handshake.numbers, nonce);
            let behind = rest.strip_prefix(&answer);
            rest = behind.expect("the answer to the nonce comes first");
        }
        while let Some(text) = rest.strip_prefix(b"\0") {
            let end = text.iter().position(|&byte| byte == 0xff);
            let (text, behind) = text.split_at(end.expect("a whole frame"));
            assert!(std::str::from_utf8(text).is_ok());
            let mut frame = Vec::new();
            write_text(&mut frame, text);
            assert_eq!(frame.len(), text.len() + 2);
            rest = &behind[1..];
        }
        if !rest.is_empty() {
            assert_eq!(rest, b"\xff\0");
            assert_eq!(handshake.draft, Draft::Hixie76);
            assert_ne!(machine.state(), State::Open);
        }
    }
}
