//! The life of a session: heartbeats, expiry, receivers that are lost and come back.

use crate::support::*;
use dustdevil::{Cause, Settings, SocketIoSettings, Transport};
use std::time::Duration;

/// More than the grid to which deadlines of that length are rounded.
const GRID: Duration = Duration::from_millis(300);

fn beating() -> SocketIoSettings {
    SocketIoSettings {
        heartbeat_interval: secs(12),
        ..calm()
    }
}

/// Lets time pass, and tells after how many seconds packets came to a WebSocket. Each is answered, if
/// there is an answer.
fn listen(
    rig: &mut Rig<World>,
    client: &mut Client,
    time: u64,
    answer: Option<&str>,
) -> Vec<(f64, String)> {
    let mut heard = Vec::new();
    for quarter in 1..=time * 4 {
        rig.pass(ms(250));
        while client.fill() {}
        while let Some(frame) = client.next_frame() {
            if frame.head != 0x81 {
                return heard;
            }
            heard.push((quarter as f64 / 4.0, frame.text()));
            if let Some(answer) = answer {
                client.send(answer);
            }
        }
    }
    heard
}

/// One packet after the other, each so many seconds after the one before.
fn assert_beats(heard: &[(f64, String)], every: f64, want: &[&str]) {
    let texts: Vec<&str> = heard.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, want, "{heard:?}");
    let mut before = 0.0;
    for (at, _) in heard {
        let apart = at - before;
        assert!((every - 0.25..=every + 0.5).contains(&apart), "{heard:?}");
        before = *at;
    }
}

// ---- heartbeats ---------------------------------------------------------------------------------

/// Any packet is a sign of life.
#[test]
fn heartbeats_that_are_answered() {
    for answer in ["2::", "3:::x", "8::", "nonsense"] {
        let (mut rig, script) = sio_of(noting(), beating());
        let (_, mut client) = rig.socket();
        let heard = listen(&mut rig, &mut client, 50, Some(answer));
        assert_beats(&heard, 12.0, &["2::"; 4]);
        assert!(script.closed().is_empty(), "{answer}");
        rig.over_after(secs(60), &script, client);
    }
}

#[test]
fn the_third_heartbeat_unanswered_ends_it() {
    let (mut rig, script) = sio_of(Script::default(), beating());
    let (sid, mut client) = rig.socket();
    let mut heard = listen(&mut rig, &mut client, 48, None);
    // The last beat and the end come together.
    let (at, end) = heard.pop().unwrap();
    assert_eq!((&*end, Some(at)), ("0::", heard.last().map(|(at, _)| *at)));
    assert_beats(&heard, 12.0, &["2::"; 3]);
    assert_eq!(causes(&script), [(0, Cause::Timeout)]);
    assert_eq!(rig.poll(&sid), UNKNOWN);
    rig.over(&script, client);
}

#[test]
fn heartbeats_missed_max() {
    for missed in [1, 2, 5] {
        let (mut rig, script) = sio_of(
            Script::default(),
            SocketIoSettings {
                heartbeats_missed_max: missed,
                ..beating()
            },
        );
        let (_, mut client) = rig.socket();
        let mut heard = listen(&mut rig, &mut client, 65, None);
        assert_eq!(heard.pop().unwrap().1, "0::");
        assert_beats(&heard, 12.0, &vec!["2::"; missed as usize]);
        rig.over(&script, client);
    }
}

/// One sign of life is enough for all that was missed.
#[test]
fn a_late_answer_is_one() {
    let (mut rig, script) = sio_of(Script::default(), beating());
    let (_, mut client) = rig.socket();
    for _ in 0..3 {
        let heard = listen(&mut rig, &mut client, 26, None);
        assert!(
            heard.iter().all(|(_, text)| text == "2::") && heard.len() >= 2,
            "{heard:?}"
        );
        client.send("2::");
        client.silent(&mut rig);
    }
    rig.over_after(secs(60), &script, client);
}

/// Traffic to the client does not put them off.
#[test]
fn heartbeats_among_traffic() {
    let (mut rig, script) = sio_of(Script::default(), beating());
    let (_, mut client) = rig.socket();
    let mut beats = 0;
    for _ in 0..13 {
        rig.pass(secs(2));
        client.send("3:::x");
        beats += client
            .texts(&mut rig)
            .iter()
            .filter(|text| *text == "2::")
            .count();
    }
    assert_eq!(beats, 2);
    rig.over_after(secs(60), &script, client);
}

#[test]
fn heartbeats_on_polls() {
    let (mut rig, script) = sio_of(Script::default(), beating());
    let sid = rig.session();
    // Half a second beside the beats, which come every 12 s.
    rig.pass(ms(500));
    for _ in 0..5 {
        let mut poll = rig.hold(&sid);
        rig.pass(secs(11));
        poll.silent(&mut rig);
        rig.pass(ms(1500));
        assert_eq!(poll.answer(&mut rig).text(), "2::");
        rig.push(&sid, &["2::"]);
        // The next one comes while there is no receiver.
        rig.pass(ms(11_500));
        assert_eq!(rig.poll(&sid), "2::");
        rig.push(&sid, &["2::"]);
    }
    assert!(script.closed().is_empty());
    rig.over_after(secs(60), &script, ());
}

/// A client that polls and does not answer them is gone as well.
#[test]
fn polls_are_no_answer_to_heartbeats() {
    let (mut rig, script) = sio_of(Script::default(), beating());
    let sid = rig.session();
    let mut got = Vec::new();
    for _ in 0..3 {
        let mut poll = rig.hold(&sid);
        for _ in 0..50 {
            rig.pass(ms(250));
            while poll.fill() {}
            if !poll.got.is_empty() {
                break;
            }
        }
        got.push(poll.answer(&mut rig).text());
    }
    assert_eq!(packets(&got.pop().unwrap()), ["2::", "0::"]);
    assert_eq!(got, ["2::", "2::"]);
    assert_eq!(causes(&script), [(0, Cause::Timeout)]);
    rig.over(&script, ());
}

#[test]
fn no_heartbeats_on_polls_unless_they_are_global() {
    let (mut rig, script) = sio_of(
        Script::default(),
        SocketIoSettings {
            global_heartbeats: false,
            ..beating()
        },
    );
    let sid = rig.session();
    for _ in 0..4 {
        let mut poll = rig.hold(&sid);
        rig.pass(secs(20) + GRID);
        assert_eq!(poll.answer(&mut rig).text(), "8::");
    }
    assert!(script.closed().is_empty());
    // On a stream there are some.
    let mut page = rig.page(&sid);
    rig.pass(secs(12) + GRID);
    assert_eq!(page.script(&mut rig), "2::");
    // And on a WebSocket.
    let mut client = rig.attach(&sid);
    let heard = listen(&mut rig, &mut client, 25, Some("2::"));
    assert_eq!(heard.len(), 2, "{heard:?}");
    rig.over_after(secs(60), &script, (page, client));
}

/// They begin with the handshake: one waits for who comes late.
#[test]
fn global_heartbeats_before_the_first_receiver() {
    for (global, want) in [(true, &["1::", "2::"][..]), (false, &["1::"])] {
        let (mut rig, script) = sio_of(
            Script::default(),
            SocketIoSettings {
                global_heartbeats: global,
                ..beating()
            },
        );
        let sid = rig.shake();
        rig.pass(secs(13));
        assert_eq!(packets(&rig.poll(&sid)), want, "{global}");
        rig.over_after(secs(60), &script, ());
    }
}

#[test]
fn no_heartbeats_at_all() {
    let (mut rig, script) = sio(Script::default());
    let (_, mut client) = rig.socket();
    let sid = rig.shake();
    let mut page = rig.page(&sid);
    assert_eq!(page.script(&mut rig), "1::");
    rig.pass(secs(300));
    client.silent(&mut rig);
    page.silent(&mut rig);
    assert!(script.closed().is_empty());
    rig.over(&script, (client, page));
}

// ---- expiry -------------------------------------------------------------------------------------

/// Asks without touching it.
fn sessions(rig: &mut Rig<World>) -> u64 {
    rig.stats().sessions_open
}

#[test]
fn a_handshake_that_nobody_uses_expires() {
    let (mut rig, script) = sio(Script::default());
    let sid = rig.shake();
    rig.pass(secs(30) - GRID);
    assert_eq!(sessions(&mut rig), 1);
    rig.pass(GRID + GRID);
    assert_eq!(sessions(&mut rig), 0);
    assert_eq!(causes(&script), [(0, Cause::Timeout)]);
    assert_eq!(rig.poll(&sid), UNKNOWN);
    assert_eq!(rig.post(&sid, "3:::x"), 401);
    rig.over(&script, ());
}

#[test]
fn a_session_that_nobody_polls_expires() {
    let (mut rig, script) = sio_of(
        Script::default(),
        SocketIoSettings {
            session_expiry: secs(10),
            ..calm()
        },
    );
    let sid = rig.session();
    // Sends do not keep it.
    rig.pass(secs(6));
    rig.push(&sid, &["3:::x"]);
    rig.pass(secs(4) - GRID);
    assert_eq!(sessions(&mut rig), 1);
    // A poll does.
    assert_eq!(rig.poll(&sid), "3:::x");
    rig.pass(secs(10) - GRID);
    let mut poll = rig.hold(&sid);
    rig.pass(secs(15));
    rig.push(&sid, &["3:::y"]);
    assert_eq!(poll.answer(&mut rig).text(), "3:::y");
    rig.pass(secs(10) - GRID);
    assert!(script.closed().is_empty());
    rig.pass(GRID + GRID);
    assert_eq!(causes(&script), [(0, Cause::Timeout)]);
    rig.over(&script, poll);
}

#[test]
fn expiry_is_rounded_up_to_the_check() {
    let (mut rig, script) = sio_of(
        Script::default(),
        SocketIoSettings {
            session_check_interval: secs(15),
            ..calm()
        },
    );
    // The clock begins at a multiple.
    rig.pass(secs(1));
    rig.shake();
    rig.pass(secs(10));
    rig.shake();
    rig.pass(secs(34) - GRID);
    assert_eq!(sessions(&mut rig), 2);
    rig.pass(GRID + GRID);
    // Both at one moment: 31 s and 41 s are 45 s.
    assert_eq!(sessions(&mut rig), 0);
    assert_eq!(script.closed().len(), 2);
    rig.over(&script, ());
}

// ---- receivers that are lost --------------------------------------------------------------------

#[test]
fn a_lost_websocket_keeps_its_session() {
    for how in ["reset", "FIN", "close frame"] {
        let (mut rig, script) = sio(noting());
        let (sid, mut client) = rig.socket();
        script.taken();
        match how {
            "reset" => client.reset(),
            "FIN" => drop(client),
            _ => {
                client.write(&closing(1001, "away"));
                client.closes(&mut rig);
            }
        }
        rig.settle();
        assert!(script.closed().is_empty(), "{how}");
        let stats = rig.stats();
        assert_eq!((stats.sessions_open, stats.connections_open), (1, 1));
        let id = script.id(0);
        rig.server
            .with_app(|app| {
                app.to(id).send("a");
                app.to(id).send("b")
            })
            .unwrap();
        rig.pass(secs(29));
        // What waited, and no second `1::`.
        let mut client = rig.attach(&sid);
        assert_eq!(client.texts(&mut rig), ["3:::a", "3:::b"], "{how}");
        client.send("3:::c");
        rig.settle();
        assert_eq!(script.taken(), ["text c"]);
        rig.pass(secs(60));
        assert!(script.closed().is_empty());
        rig.over(&script, client);
        assert_eq!(script.closed(), [0]);
    }
}

#[test]
fn a_lost_websocket_and_nobody_comes_back() {
    let (mut rig, script) = sio(Script::default());
    let (sid, client) = rig.socket();
    client.reset();
    rig.pass(secs(30) - GRID);
    assert_eq!(sessions(&mut rig), 1);
    rig.pass(GRID + GRID);
    assert_eq!(script.closed(), [0]);
    let cause = script.last_reason().cause;
    assert!(matches!(cause, Cause::Timeout | Cause::Lost), "{cause:?}");
    let mut client = rig.client(&sockets(&sid));
    client.told(&mut rig, UNKNOWN);
    rig.over(&script, client);
}

/// Whatever was the last receiver, and whatever is the next.
#[test]
fn another_transport_takes_over() {
    let all = [
        Transport::WebSocket,
        Transport::XhrPolling,
        Transport::HtmlFile,
    ];
    for first in all {
        for second in all {
            for gone in [true, false] {
                take_over(first, second, gone);
            }
        }
    }
}

fn receive(rig: &mut Rig<World>, transport: Transport, sid: &str) -> Client {
    match transport {
        Transport::WebSocket => rig.attach(sid),
        Transport::XhrPolling => rig.start("GET", &polls(sid), "", b""),
        _ => rig.page(sid),
    }
}

fn next(rig: &mut Rig<World>, transport: Transport, client: &mut Client) -> String {
    match transport {
        Transport::WebSocket => client.text(rig),
        Transport::XhrPolling => client.answer(rig).text(),
        _ => client.script(rig),
    }
}

fn take_over(first: Transport, second: Transport, gone: bool) {
    let name = format!("{first:?}, then {second:?}, gone: {gone}");
    let (mut rig, script) = sio(noting());
    let sid = rig.session();
    let old = receive(&mut rig, first, &sid);
    let mut kept = None;
    if gone {
        old.reset();
        rig.settle();
    } else {
        kept = Some(old);
    }
    let mut new = receive(&mut rig, second, &sid);
    new.silent(&mut rig);
    if let Some(old) = &mut kept {
        match first {
            // It is told that it is of no use any more, and not that the session has ended.
            Transport::WebSocket => {
                let frames = old.frames(&mut rig);
                let mut texts = frames.iter().filter(|frame| frame.head == 0x81);
                assert!(
                    texts.all(|frame| frame.text() == "8::"),
                    "{name}: {frames:?}"
                );
                assert_eq!(frames.last().unwrap().head, 0x88, "{name}");
            }
            Transport::XhrPolling => assert_eq!(old.answer(&mut rig).text(), "8::", "{name}"),
            _ => {
                assert_eq!(old.script(&mut rig), "8::", "{name}");
                old.ends(&mut rig);
            }
        }
    }
    assert!(script.closed().is_empty(), "{name}");
    let stats = rig.stats();
    assert_eq!(
        (stats.sessions_open, stats.connections_open),
        (1, 1),
        "{name}"
    );
    rig.push(&sid, &["3:::in"]);
    let id = script.id(0);
    rig.server.with_app(|app| app.to(id).send("out")).unwrap();
    assert_eq!(next(&mut rig, second, &mut new), "3:::out", "{name}");
    assert_eq!(script.taken(), ["open 0", "text in"], "{name}");
    rig.over(&script, (kept, new));
    assert_eq!(script.closed(), [0], "{name}");
}

/// A client tries the next transport with the id that it has, if the first one never works.
#[test]
fn a_receiver_that_never_works() {
    let (mut rig, script) = sio(Script::default());
    let sid = rig.shake();
    let client = rig.attach(&sid);
    rig.pass(secs(10));
    client.reset();
    rig.settle();
    // The first packet was lost on the way: what was handed on is gone.
    rig.push(&sid, &["3:::x"]);
    assert_eq!(rig.poll(&sid), "3:::x");
    assert!(script.closed().is_empty());
    rig.over(&script, ());
}

/// Each packet goes to one receiver, whatever comes and goes.
#[test]
fn nothing_is_delivered_twice() {
    let (mut rig, script) = sio(Script::default());
    let sid = rig.session();
    let id = script.id(0);
    let mut got = Vec::new();
    for n in 0..30 {
        let count = rig
            .server
            .with_app(|app| app.to(id).send(n.to_string()))
            .unwrap();
        assert_eq!(count, 1);
        match n % 3 {
            0 => got.extend(packets(&rig.poll(&sid))),
            1 => {
                let mut client = rig.attach(&sid);
                got.extend(client.texts(&mut rig));
                client.reset();
                rig.settle();
            }
            _ => {
                let mut page = rig.page(&sid);
                got.extend(packets(&page.script(&mut rig)));
                drop(page);
                rig.settle();
            }
        }
    }
    let want: Vec<String> = (0..30).map(|n| format!("3:::{n}")).collect();
    assert_eq!(got, want);
    rig.over(&script, ());
}

/// Time-outs of plain requests are not for receivers.
#[test]
fn a_receiver_outlives_the_times_of_requests() {
    let settings = Settings {
        answer_timeout: secs(3),
        header_timeout: secs(10),
        keep_alive_timeout: secs(20),
        ..Settings::default()
    };
    let of = SocketIoSettings {
        xhr_polling_timeout: secs(200),
        ..calm()
    };
    let (mut rig, script) = sio_with(Script::default(), settings, mount(of));
    let (one, two) = (rig.session(), rig.session());
    // Their conns are there for a while: timers run.
    let (mut poll, mut page) = (rig.raw(), rig.raw());
    rig.pass(secs(1));
    poll.write(&http("GET", &polls(&one), "", b""));
    page.write(&http("GET", &path(Transport::HtmlFile, &two), "", b""));
    page.head(&mut rig);
    page.chunk(&mut rig);
    rig.pass(secs(100));
    poll.silent(&mut rig);
    page.silent(&mut rig);
    rig.push(&one, &["3:::a"]);
    rig.push(&two, &["3:::b"]);
    assert_eq!(poll.answer(&mut rig).text(), "3:::a");
    assert_eq!(page.script(&mut rig), "3:::b");
    rig.over(&script, (poll, page));
}

/// The application can see by which way its client is connected.
#[test]
fn the_name_of_the_transport() {
    let (mut rig, script) = sio(Script {
        message: Box::new(|me, cx, _| me.script.note(cx.transport().name())),
        ..Script::default()
    });
    let sid = rig.shake();
    rig.push(&sid, &["3:::x"]);
    rig.poll(&sid);
    rig.push(&sid, &["3:::x"]);
    let client = rig.attach(&sid);
    rig.push(&sid, &["3:::x"]);
    let counts = rig.stats().transports;
    assert_eq!(
        (counts.websocket, counts.xhr_polling, counts.none),
        (1, 0, 0)
    );
    let page = rig.page(&sid);
    rig.push(&sid, &["3:::x"]);
    let flash = rig.client(&path(Transport::FlashSocket, &sid));
    rig.push(&sid, &["3:::x"]);
    let names = ["", "xhr-polling", "websocket", "htmlfile", "flashsocket"];
    assert_eq!(script.taken(), names);
    rig.over(&script, (client, page, flash));
}

/// The loop was held up for long: that is nobody's silence.
#[test]
fn a_turn_that_comes_late() {
    let (mut rig, script) = sio_of(Script::default(), beating());
    let (_, mut client) = rig.socket();
    rig.clock.advance(secs(60));
    rig.settle();
    assert_eq!(client.texts(&mut rig), ["2::"]);
    client.send("2::");
    rig.settle();
    assert_eq!(listen(&mut rig, &mut client, 25, None).len(), 2);
    // Two are open; the answer has come, but was not read yet.
    client.send("2::");
    rig.clock.advance(secs(30));
    rig.settle();
    assert_eq!(client.texts(&mut rig), ["2::"]);
    assert!(script.closed().is_empty());
    rig.over_after(secs(60), &script, client);
}

/// Heartbeats that nobody could hear are not missed.
#[test]
fn a_session_outlives_heartbeats_without_a_receiver() {
    let (mut rig, script) = sio_of(
        Script::default(),
        SocketIoSettings {
            session_expiry: secs(120),
            ..beating()
        },
    );
    let (sid, client) = rig.socket();
    client.reset();
    rig.settle();
    let id = script.id(0);
    rig.server.with_app(|app| app.to(id).send("a")).unwrap();
    rig.pass(secs(100));
    assert!(script.closed().is_empty());
    let mut client = rig.attach(&sid);
    let texts = client.texts(&mut rig);
    assert!(texts.contains(&"3:::a".to_owned()), "{texts:?}");
    rig.over_after(secs(180), &script, client);
}

/// By the names that TornadIO2 has for them.
#[test]
fn counters() {
    let (mut rig, script) = sio(Script::default());
    let ends = rig.session();
    let (_, client) = rig.socket();
    rig.push(&ends, &["0::"]);
    rig.settle();
    let dump = rig.stats().dump();
    let of = |name| dump.iter().find(|(of, _)| *of == name).map(|(_, n)| *n);
    assert_eq!(of("max_sessions"), Some(2.0));
    assert_eq!(of("active_sessions"), Some(1.0));
    assert_eq!(of("active_connections"), Some(1.0));
    assert!(of("max_connections") >= Some(2.0));
    rig.over(&script, client);
    assert_eq!(rig.stats().sessions_peak, 2);
}
