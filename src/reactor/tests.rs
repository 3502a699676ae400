//! The loop with real sockets on port 0 and, where time matters, a clock moved by hand.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use mio::net::TcpStream as Socket;

use super::*;

type Io = IoLoop<u32>;

fn manual() -> (Io, ManualClock) {
    let (clock, hand) = Clock::manual();
    (IoLoop::with_clock(clock).unwrap(), hand)
}

/// A watched end and the peer's.
fn pair() -> (Socket, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    ours.set_nonblocking(true).unwrap();
    (Socket::from_std(ours), peer)
}

/// The events of one turn that does not sleep.
fn turn(io: &mut Io) -> Vec<Event<u32>> {
    turn_with(io, |_, _| {})
}

fn turn_with(io: &mut Io, mut f: impl FnMut(&mut Io, Event<u32>)) -> Vec<Event<u32>> {
    let mut seen = Vec::new();
    io.poll_once(Some(Duration::ZERO), |io, event| {
        seen.push(event);
        f(io, event);
    })
    .unwrap();
    assert_eq!(seen.pop(), Some(Event::BeforeSleep));
    seen
}

const READ: Interest = Interest::READABLE;
const ONE_MS: Duration = Duration::from_millis(1);

/// Both are found ready by one poll; the first to be told removes the other.
#[test]
fn a_source_removed_in_the_turn_is_not_told() {
    let (mut io, _) = manual();
    let mut ends: Vec<_> = (0..2).map(|_| pair()).collect();
    let mut handlers = Vec::new();
    for (n, (ours, peer)) in ends.iter_mut().enumerate() {
        handlers.push(io.add_handler(ours, READ, n as u32).unwrap());
        peer.write_all(b"x").unwrap();
    }
    let mut other = None;
    let seen = turn_with(&mut io, |io, event| {
        let Event::Ready(n, _) = event else { return };
        let gone = 1 - n as usize;
        io.remove_handler(&mut ends[gone].0, handlers[gone])
            .unwrap();
        // The place is taken at once by somebody who has nothing to hear.
        let mut new = pair();
        let handler = io.add_handler(&mut new.0, READ, 9).unwrap();
        assert_ne!(handler, handlers[gone]);
        other = Some((new, gone));
    });
    assert!(matches!(seen[..], [Event::Ready(0 | 1, _)]), "{seen:?}");
    let (_new, gone) = other.unwrap();
    let error = io
        .remove_handler(&mut ends[gone].0, handlers[gone])
        .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    let error = io
        .update_handler(&mut ends[gone].0, handlers[gone], READ)
        .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}

#[test]
fn a_second_add_is_an_error_and_changes_nothing() {
    let (mut io, _) = manual();
    let (mut ours, mut peer) = pair();
    let handler = io.add_handler(&mut ours, READ, 1).unwrap();
    let error = io.add_handler(&mut ours, READ, 2).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    peer.write_all(b"x").unwrap();
    assert_eq!(turn(&mut io), [Event::Ready(1, Readiness::READABLE)]);
    io.remove_handler(&mut ours, handler).unwrap();
    let handler = io.add_handler(&mut ours, READ, 3).unwrap();
    assert_eq!(turn(&mut io), [Event::Ready(3, Readiness::READABLE)]);
    io.remove_handler(&mut ours, handler).unwrap();
}

#[test]
fn readiness_tells_read_write_and_close() {
    let (mut io, _) = manual();
    let (mut ours, mut peer) = pair();
    let handler = io.add_handler(&mut ours, READ, 1).unwrap();
    assert_eq!(turn(&mut io), []);
    let both = READ | Interest::WRITABLE;
    io.update_handler(&mut ours, handler, both).unwrap();
    assert_eq!(turn(&mut io), [Event::Ready(1, Readiness::WRITABLE)]);
    assert_eq!(turn(&mut io), [], "edge-triggered");
    io.update_handler(&mut ours, handler, READ).unwrap();
    // Bytes and the end before the poll: one event, and it tells both.
    peer.write_all(b"bye").unwrap();
    drop(peer);
    let Event::Ready(1, readiness) = turn(&mut io)[0] else {
        panic!("no readiness");
    };
    assert!(readiness.is_readable() && readiness.is_closed());
    assert_eq!(
        format!("{:?}", Readiness::CLOSED),
        r#"{"readable", "closed"}"#
    );
    let mut bytes = Vec::new();
    assert_eq!(ours.read_to_end(&mut bytes).unwrap(), 3);
}

/// Timeouts, then sources, then callbacks.
#[test]
fn order_of_a_turn() {
    let (mut io, hand) = manual();
    let (mut ours, mut peer) = pair();
    io.add_handler(&mut ours, READ, 1).unwrap();
    peer.write_all(b"x").unwrap();
    io.add_callback(2);
    io.handle().add_callback(3).unwrap();
    io.call_later(Duration::from_secs(2), 5);
    io.call_later(Duration::from_secs(1), 4);
    hand.advance(Duration::from_secs(2));
    assert_eq!(
        turn(&mut io),
        [
            Event::Timeout(4),
            Event::Timeout(5),
            Event::Ready(1, Readiness::READABLE),
            Event::Callback(2),
            Event::Callback(3),
        ]
    );
}

/// A timeout that arms a timeout, a callback that adds a callback, a source that wants more.
#[test]
fn what_handlers_add_waits_for_the_next_turn() {
    let (mut io, hand) = manual();
    let (mut ours, mut peer) = pair();
    let handler = io.add_handler(&mut ours, READ, 30).unwrap();
    peer.write_all(b"x").unwrap();
    io.call_later(ONE_MS, 10);
    io.add_callback(20);
    hand.advance(Duration::from_secs(1));
    for n in 0..3 {
        let seen = turn_with(&mut io, |io, event| match event {
            Event::Timeout(m) => {
                io.call_at(Instant::START, m + 1);
            }
            Event::Callback(m) => io.add_callback(m + 1),
            Event::Ready(..) => io.again(handler, Readiness::READABLE),
            Event::BeforeSleep => assert_eq!(io.next_deadline(), Some(io.now())),
        });
        let want = [
            Event::Timeout(10 + n),
            Event::Ready(30, Readiness::READABLE),
            Event::Callback(20 + n),
        ];
        assert_eq!(seen, want, "turn {n}");
    }
}

/// On the ready list and found by the poll: one call, with both.
#[test]
fn again_tells_each_handler_once_a_turn() {
    let (mut io, _) = manual();
    let (mut ours, mut peer) = pair();
    let handler = io.add_handler(&mut ours, READ, 1).unwrap();
    io.again(handler, Readiness::WRITABLE);
    io.again(handler, Readiness::WRITABLE);
    peer.write_all(b"x").unwrap();
    let both = Readiness::READABLE | Readiness::WRITABLE;
    let seen = turn_with(&mut io, |io, _| {
        if io.stats().events == 1 {
            io.again(handler, Readiness::READABLE);
        }
    });
    assert_eq!(seen, [Event::Ready(1, both)]);
    // With no end to the sleep but the list itself.
    let mut system = IoLoop::new().unwrap();
    let (mut ours, _peer) = pair();
    let handler = system.add_handler(&mut ours, READ, 1).unwrap();
    system.again(handler, Readiness::READABLE);
    let mut seen = Vec::new();
    system.poll_once(None, |_, event| seen.push(event)).unwrap();
    assert_eq!(
        seen,
        [Event::Ready(1, Readiness::READABLE), Event::BeforeSleep]
    );
    // Removed while on the list.
    io.again(handler, Readiness::READABLE);
    let (mut ours, _peer) = pair();
    let handler = io.add_handler(&mut ours, READ, 2).unwrap();
    turn(&mut io);
    io.again(handler, Readiness::READABLE);
    io.remove_handler(&mut ours, handler).unwrap();
    io.again(handler, Readiness::READABLE);
    assert_eq!(turn(&mut io), []);
    assert_eq!(io.next_deadline(), None);
}

#[test]
fn timeouts_can_be_taken_back() {
    let (mut io, hand) = manual();
    let [a, b, c] = [1, 2, 3].map(|n| io.call_later(Duration::from_secs(1), n));
    assert_eq!(io.remove_timeout(b), Some(2));
    assert_eq!(io.remove_timeout(b), None);
    hand.advance(Duration::from_secs(1));
    // The first removes the third, which is due in the same turn.
    let seen = turn_with(&mut io, |io, _| {
        io.remove_timeout(c);
    });
    assert_eq!(seen, [Event::Timeout(1)]);
    assert_eq!(io.remove_timeout(a), None);
}

#[test]
fn stop_before_run() {
    let mut io = Io::new().unwrap();
    io.add_callback(1);
    for from_afar in [false, true] {
        if from_afar {
            io.handle().stop();
        } else {
            io.stop();
        }
        let turns = io.stats().turns;
        io.run(|_, _| panic!("returns at once")).unwrap();
        assert_eq!(io.stats().turns, turns);
    }
    // The flag is clear again; a stop in a turn lets it finish.
    io.add_callback(2);
    let mut seen = Vec::new();
    io.run(|io, event| {
        seen.push(event);
        io.stop();
    })
    .unwrap();
    assert_eq!(
        seen,
        [Event::Callback(1), Event::Callback(2), Event::BeforeSleep]
    );
}

#[test]
fn run_until() {
    let (mut io, hand) = manual();
    let second = Duration::from_secs(1);
    io.call_later(second * 2, 1);
    let on = |io: &mut Io, event| match event {
        Event::BeforeSleep => hand.advance(second / 2),
        _ => io.stop(),
    };
    assert_eq!(io.run_until(second, on).unwrap(), Stopped::TimedOut);
    assert_eq!(io.now(), Instant::START + second);
    assert_eq!(io.run_until(second * 9, on).unwrap(), Stopped::Asked);
    assert_eq!(io.run_until(Duration::ZERO, on).unwrap(), Stopped::TimedOut);
    // On the system's clock, with nothing to do.
    let mut io = Io::new().unwrap();
    let stopped = io.run_until(ONE_MS, |_, _| {}).unwrap();
    assert_eq!((stopped, io.stats().polls), (Stopped::TimedOut, 1));
}

/// Far timeouts on several levels of the wheel: as many polls as deadlines.
#[test]
fn an_idle_loop_polls_once_for_each_deadline() {
    let (mut io, hand) = manual();
    let hours = [1, 2, 3, 100, 5_000];
    for h in hours {
        io.call_later(Duration::from_secs(3_600 * u64::from(h)), h);
    }
    turn(&mut io);
    let polls = io.stats().polls;
    let mut fired = Vec::new();
    hand.advance_to(io.next_deadline().unwrap());
    io.run(|io, event| match event {
        Event::Timeout(h) => fired.push(h),
        // What the poll's sleep does on the system's clock.
        Event::BeforeSleep => match io.next_deadline() {
            Some(at) => hand.advance_to(at),
            None => io.stop(),
        },
        other => panic!("{other:?}"),
    })
    .unwrap();
    assert_eq!(fired, hours);
    assert_eq!(io.stats().polls - polls, hours.len() as u64);
}

/// The system's clock sleeps to the deadline: no turn comes too early.
#[test]
fn the_poll_sleeps_until_the_deadline() {
    let mut io = Io::new().unwrap();
    let at = io.now() + Duration::from_millis(25);
    io.call_at(at, 1);
    let mut when = None;
    io.run(|io, event| {
        if event == Event::Timeout(1) {
            when = Some(io.now());
            io.stop();
        }
    })
    .unwrap();
    assert!(when.unwrap() >= at);
    assert_eq!(io.stats().polls, 1);
}

#[test]
fn periodic_callback() {
    let (mut io, hand) = manual();
    let mut beat = PeriodicCallback::new(Duration::from_millis(100), 7);
    beat.start(&mut io);
    beat.start(&mut io);
    assert!(beat.is_running());
    // Time that passes, and the beats that come then: missed ones are skipped.
    for (ms, beats) in [(90, 0), (10, 1), (99, 0), (1, 1), (350, 1), (49, 0), (1, 1)] {
        hand.advance(Duration::from_millis(ms));
        assert_eq!(turn(&mut io).len(), beats, "at {:?}", io.now());
        assert_eq!(turn(&mut io), [], "not twice");
    }
    hand.advance(Duration::from_millis(100));
    assert_eq!(turn_with(&mut io, |io, _| beat.stop(io)).len(), 1);
    assert!(!beat.is_running());
    assert_eq!(io.next_deadline(), None);
    beat.stop(&mut io);
}

#[test]
fn posts_from_another_thread() {
    let mut io = Io::new().unwrap();
    let handle = io.handle();
    let (runs, running) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        // A stop before the loop runs would make it return at once.
        running.recv().unwrap();
        for n in 0..1_000 {
            handle.add_callback(n).unwrap();
        }
        handle.stop();
    });
    let mut seen = Vec::new();
    io.add_callback(1_000);
    io.run(|_, event| match event {
        Event::Callback(n) if (0..1_000).contains(&n) => seen.push(n),
        Event::Callback(_) => runs.send(()).unwrap(),
        _ => {}
    })
    .unwrap();
    thread.join().unwrap();
    assert!(seen.into_iter().eq(0..1_000));
}

#[test]
fn many_posts_ring_once_and_too_many_are_refused() {
    let mut io = Io::new().unwrap();
    io.set_posts_max(3);
    let handle = io.handle();
    for n in 0..3 {
        handle.add_callback(n).unwrap();
    }
    assert_eq!(handle.add_callback(3), Err(Full(3)));
    let seen = turn(&mut io);
    assert_eq!(seen, [0, 1, 2].map(Event::Callback));
    assert_eq!((turn(&mut io).len(), io.stats().polls), (0, 2));
    handle.add_callback(4).unwrap();
    assert_eq!(turn(&mut io), [Event::Callback(4)]);
    // A ring with nothing to say ends the sleep.
    handle.wake();
    io.poll_once(None, |_, event| assert_eq!(event, Event::BeforeSleep))
        .unwrap();
}

#[test]
fn a_handler_cannot_run_the_loop() {
    let (mut io, _) = manual();
    let mut nested = None;
    io.poll_once(None, |io, _| nested = Some(io.run(|_, _| {})))
        .unwrap();
    assert!(nested.unwrap().is_err());
    assert_eq!(turn(&mut io), []);
}

#[test]
fn the_wall_clock_follows() {
    let (mut io, hand) = manual();
    assert_eq!(io.unix_now(), MANUAL_EPOCH);
    hand.advance(Duration::from_secs(5));
    assert_eq!(io.unix_now(), UnixSeconds(MANUAL_EPOCH.0 + 5));
}

/// Another loop can wait for this one.
#[cfg(unix)]
#[test]
fn the_descriptor_is_readable_when_a_source_is_ready() {
    use std::os::fd::AsRawFd;
    let (mut inner, _) = manual();
    let (mut ours, mut peer) = pair();
    inner.add_handler(&mut ours, READ, 1).unwrap();
    let (mut outer, _) = manual();
    let fd = inner.as_raw_fd();
    outer
        .add_handler(&mut mio::unix::SourceFd(&fd), READ, 2)
        .unwrap();
    assert_eq!(turn(&mut outer), []);
    peer.write_all(b"x").unwrap();
    assert_eq!(turn(&mut outer), [Event::Ready(2, Readiness::READABLE)]);
}

#[test]
fn handles_can_be_sent() {
    fn sendable<T: Send + Sync + Clone>() {}
    sendable::<LoopHandle<std::cell::Cell<u32>>>();
}
