//! Tests of the life of a session, on a made-up clock.

use super::*;

/// A session and its clock. Frames are read wrapped for xhr: as lines.
struct Script {
    session: Session<u32>,
    limits: Limits,
    now: Instant,
    receivers: u32,
}

impl Script {
    /// Nothing has happened to it yet.
    fn opening() -> Self {
        let (limits, now) = (Limits::default(), Instant::START + secs(1000));
        Self {
            session: Session::new(now, &limits),
            limits,
            now,
            receivers: 0,
        }
    }

    /// The application has taken it, and `o` is sent.
    fn open() -> Self {
        let mut script = Self::opening();
        script.session.accept();
        assert_eq!(script.poll(), ["o\n", "|"]);
        script
    }

    fn attach(&mut self, wrapping: Wrapping) {
        self.receivers += 1;
        let Self {
            session,
            limits,
            now,
            receivers,
        } = self;
        session.attach(*receivers, wrapping, *now, limits);
    }

    /// What is written now; `|` where the response ends.
    fn written(&mut self) -> Vec<String> {
        let (mut scratch, mut frames) = (Vec::new(), Vec::new());
        loop {
            let mut out = b"kept".to_vec();
            let (now, limits) = (self.now, &self.limits);
            let ready = self.session.has_output() && self.session.receiver().is_some();
            let sent = self.session.transmit(now, limits, &mut scratch, &mut out);
            assert!(scratch.is_empty());
            assert_eq!(sent.is_some(), ready);
            let frame = String::from_utf8(out).unwrap().split_off(4);
            match sent {
                None => {
                    assert_eq!(frame, "");
                    return frames;
                }
                Some(Sent::More) => frames.push(frame),
                Some(Sent::Last) => {
                    frames.extend([frame, "|".to_owned()]);
                    let receiver = self.session.detach(now, limits).expect("it had a receiver");
                    assert_eq!(receiver.at, self.receivers);
                }
            }
        }
    }

    /// A poll, and what it brings at once.
    fn poll(&mut self) -> Vec<String> {
        self.attach(Wrapping::Xhr);
        self.written()
    }

    fn stream(&mut self) -> Vec<String> {
        self.attach(Wrapping::XhrStreaming);
        self.written()
    }

    fn close(&mut self, code: u16, reason: &str) {
        self.session.close(code, reason, self.now, &self.limits);
    }

    fn cut(&mut self) {
        self.session.cut(self.now, &self.limits);
    }

    /// Lets time pass; what was due at its end, and never before.
    fn pass(&mut self, time: Duration) -> Option<Due> {
        let just_before = self.now + time.saturating_sub(Duration::from_nanos(1));
        if just_before > self.now {
            assert_eq!(self.session.handle_timeout(just_before, &self.limits), None);
        }
        self.now += time;
        self.session.handle_timeout(self.now, &self.limits)
    }

    /// It is gone after that long, to the nanosecond.
    fn expires_in(&mut self, time: Duration) {
        assert_eq!(self.session.poll_timeout(), self.now + time);
        assert_eq!(self.pass(time), Some(Due::Expired));
    }
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

const NOTHING: [&str; 0] = [];
const DELAY: Duration = Duration::from_secs(5);
const HEARTBEAT: Duration = Duration::from_secs(25);
const GO_AWAY: &str = "c[3000,\"Go away!\"]\n";

// ---- frames ------------------------------------------------------------------------------------

/// Rule 1. What was sent while it opened comes behind `o`: on polling with the next poll.
#[test]
fn the_open_frame_is_the_first() {
    let mut script = Script::opening();
    script.session.push("early");
    script.session.accept();
    assert_eq!(script.poll(), ["o\n", "|"]);
    assert_eq!(script.poll(), ["a[\"early\"]\n", "|"]);

    let mut script = Script::opening();
    script.session.push("early");
    script.session.accept();
    assert_eq!(script.stream(), ["o\n", "a[\"early\"]\n"]);
    assert_eq!(script.written(), NOTHING);
}

/// The open frame is sent once, not to each receiver.
#[test]
fn one_open_frame() {
    let mut script = Script::opening();
    script.session.accept();
    // A session is accepted once.
    script.session.accept();
    assert_eq!(script.stream(), ["o\n"]);
    script.session.detach(script.now, &script.limits);
    assert_eq!(script.stream(), NOTHING);
}

#[test]
fn nothing_is_sent_while_it_opens() {
    let mut script = Script::opening();
    assert!(!script.session.is_open() && !script.session.is_closed());
    script.session.push("early");
    assert_eq!(script.stream(), NOTHING);
    // Nor is a heartbeat due, however long it takes.
    for _ in 0..3 {
        assert_eq!(script.pass(HEARTBEAT), None);
        assert_eq!(script.written(), NOTHING);
    }
    script.session.accept();
    assert!(script.session.is_open());
    assert_eq!(script.written(), ["o\n", "a[\"early\"]\n"]);
    assert_eq!(script.pass(HEARTBEAT), Some(Due::Heartbeat));
    assert_eq!(script.written(), ["h\n"]);
}

/// Rule 2.
#[test]
fn messages_that_waited_are_one_frame() {
    let mut script = Script::open();
    assert_eq!(script.session.waiting(), 0);
    script.session.push("x\n");
    script.session.push("");
    script.session.push_json(b"\"\\u2028\"");
    assert_eq!(script.session.waiting(), r#""x\n","","\u2028""#.len());
    assert_eq!(script.poll(), ["a[\"x\\n\",\"\",\"\\u2028\"]\n", "|"]);
    assert_eq!(script.session.waiting(), 0);
    // Nothing waits: the next poll does.
    assert_eq!(script.poll(), NOTHING);
    script.session.push("y");
    assert_eq!(script.written(), ["a[\"y\"]\n", "|"]);
}

#[test]
fn a_stream_takes_messages_as_they_come() {
    let mut script = Script::open();
    script.session.push("x");
    assert_eq!(script.stream(), ["a[\"x\"]\n"]);
    script.session.push("y");
    assert_eq!(script.written(), ["a[\"y\"]\n"]);
    assert_eq!(script.written(), NOTHING);
}

#[test]
fn dropped_messages_are_not_sent() {
    let mut script = Script::open();
    script.session.push("abc");
    assert_eq!(script.session.drop_waiting(), 5);
    assert_eq!(script.session.drop_waiting(), 0);
    assert_eq!(script.poll(), NOTHING);
    script.session.push("d");
    assert_eq!(script.written(), ["a[\"d\"]\n", "|"]);
}

/// A burst does not hold its memory.
#[test]
fn a_large_outbox_is_given_back() {
    let mut script = Script::open();
    for len in [100, 2 * OUTBOX_BYTES_KEPT] {
        script.session.push(&"x".repeat(len));
        script.poll();
        assert!(
            script.session.outbox.capacity() <= OUTBOX_BYTES_KEPT,
            "{len}"
        );
    }
}

#[test]
fn frames_are_wrapped_for_their_receiver() {
    #[rustfmt::skip]
    let cases = [
        (Wrapping::Xhr,                  "a[\"%\"]\n",                                       true),
        (Wrapping::XhrStreaming,         "a[\"%\"]\n",                                       false),
        (Wrapping::EventSource,          "data: a[\"%25\"]\r\n\r\n",                         false),
        (Wrapping::HtmlFile("c".into()), "<script>\np(\"a[\\\"%\\\"]\");\n</script>\r\n",    false),
        (Wrapping::Jsonp("c".into()),    "/**/c(\"a[\\\"%\\\"]\");\r\n",                     true),
    ];
    for (wrapping, frame, ends) in cases {
        let mut script = Script::open();
        script.session.push("%");
        script.attach(wrapping.clone());
        assert_eq!(script.session.receiver().unwrap().wrapping, wrapping);
        let want: &[&str] = if ends { &[frame, "|"] } else { &[frame] };
        assert_eq!(script.written(), want, "{}", wrapping.name());
    }
    // The profile decides where the bytes differ.
    let mut script = Script::open();
    script.limits.profile = Profile::V033;
    script.session.push("x");
    script.attach(Wrapping::Jsonp("c".into()));
    assert_eq!(script.written(), ["c(\"a[\\\"x\\\"]\");\r\n", "|"]);
}

// ---- response_limit ----------------------------------------------------------------------------

/// A response ends after the frame that brings it to the limit or over it. The bytes of the frames count
/// with what is around them, the prelude does not: it is not the session's.
#[test]
fn response_limit() {
    // `o\n` is 2 bytes, `a["x"]\n` is 7: 9 and 16 in all.
    #[rustfmt::skip]
    let cases: &[(usize, &[&str])] = &[
        (1,  &["o\n", "|"]),
        (2,  &["o\n", "|"]),
        (3,  &["o\n", "a[\"x\"]\n", "|"]),
        (8,  &["o\n", "a[\"x\"]\n", "|"]),
        (9,  &["o\n", "a[\"x\"]\n", "|"]),
        (10, &["o\n", "a[\"x\"]\n", "a[\"y\"]\n", "|"]),
        (16, &["o\n", "a[\"x\"]\n", "a[\"y\"]\n", "|"]),
        (17, &["o\n", "a[\"x\"]\n", "a[\"y\"]\n"]),
    ];
    for &(limit, want) in cases {
        let mut script = Script::opening();
        script.limits.response_limit = limit;
        script.session.accept();
        let mut got = script.stream();
        for text in ["x", "y"] {
            script.session.push(text);
            got.extend(script.written());
        }
        assert_eq!(got, want, "limit {limit}");
    }
}

#[test]
fn response_limit_counts_the_wrapping() {
    // `data: a["x"]\r\n\r\n` is 16 bytes; `%` is sent as `%25`.
    for (text, limit, ends) in [
        ("x", 16, true),
        ("x", 17, false),
        ("%", 18, true),
        ("%", 19, false),
    ] {
        let mut script = Script::open();
        script.limits.response_limit = limit;
        script.session.push(text);
        script.attach(Wrapping::EventSource);
        let got = script.written();
        assert_eq!(got.contains(&"|".to_owned()), ends, "{text} {limit}");
        assert_eq!(script.session.receiver().is_none(), ends);
    }
}

/// Heartbeats count too, and each response counts for itself.
#[test]
fn response_limit_of_each_response() {
    let mut script = Script::open();
    script.limits.response_limit = 4;
    for _ in 0..2 {
        assert_eq!(script.stream(), NOTHING);
        assert_eq!(script.pass(HEARTBEAT), Some(Due::Heartbeat));
        assert_eq!(script.written(), ["h\n"]);
        assert_eq!(script.pass(HEARTBEAT), Some(Due::Heartbeat));
        assert_eq!(script.written(), ["h\n", "|"]);
    }
}

/// A frame is never cut, and what comes after the limit waits for the next response.
#[test]
fn beyond_the_response_limit() {
    let mut script = Script::open();
    let long = "x".repeat(3 * script.limits.response_limit);
    script.session.push(&long);
    assert_eq!(
        script.stream(),
        [format!("a[\"{long}\"]\n"), "|".to_owned()]
    );
    script.session.push("y");
    assert_eq!(script.written(), NOTHING);
    assert_eq!(script.stream(), ["a[\"y\"]\n"]);
}

// ---- disconnect_delay --------------------------------------------------------------------------

/// Rule 5.
#[test]
fn it_expires_when_nobody_ever_comes() {
    Script::opening().expires_in(DELAY);
    let mut script = Script::opening();
    script.session.accept();
    script.expires_in(DELAY);
}

#[test]
fn it_expires_after_a_receiver_has_ended() {
    let mut script = Script::open();
    script.pass(secs(4));
    assert_eq!(script.poll(), NOTHING);
    script.pass(secs(20));
    script.session.push("x");
    assert_eq!(script.written(), ["a[\"x\"]\n", "|"]);
    script.expires_in(DELAY);
}

#[test]
fn a_stream_at_its_limit_starts_the_delay() {
    let mut script = Script::open();
    script.limits.response_limit = 7;
    assert_eq!(script.stream(), NOTHING);
    script.pass(secs(3));
    script.session.push("x");
    assert_eq!(script.written(), ["a[\"x\"]\n", "|"]);
    script.expires_in(DELAY);
}

#[test]
fn a_receiver_stops_the_delay() {
    for wrapping in [Wrapping::Xhr, Wrapping::XhrStreaming] {
        let mut script = Script::open();
        assert_eq!(script.pass(DELAY - secs(1)), None);
        script.attach(wrapping);
        for _ in 0..24 {
            assert_eq!(script.pass(secs(1)), None);
        }
        assert!(script.session.is_open());
    }
}

/// Messages that are queued do not put the end off (rule 4 says so of sends).
#[test]
fn what_is_sent_does_not_put_the_end_off() {
    let mut script = Script::open();
    assert_eq!(script.pass(secs(4)), None);
    script.session.push("x");
    assert_eq!(script.written(), NOTHING);
    script.expires_in(secs(1));
}

#[test]
fn detaching_nobody_changes_nothing() {
    let mut script = Script::open();
    assert_eq!(script.pass(secs(2)), None);
    assert!(script.session.detach(script.now, &script.limits).is_none());
    script.expires_in(secs(3));
}

// ---- heartbeats --------------------------------------------------------------------------------

#[test]
fn a_stream_has_heartbeats() {
    let mut script = Script::open();
    script.pass(secs(1));
    assert_eq!(script.stream(), NOTHING);
    for _ in 0..3 {
        assert_eq!(script.session.poll_timeout(), script.now + HEARTBEAT);
        assert_eq!(script.pass(HEARTBEAT), Some(Due::Heartbeat));
        assert_eq!(script.written(), ["h\n"]);
        assert_eq!(script.written(), NOTHING);
    }
}

#[test]
fn on_a_poll_the_heartbeat_is_the_answer() {
    let mut script = Script::open();
    assert_eq!(script.poll(), NOTHING);
    assert_eq!(script.pass(HEARTBEAT), Some(Due::Heartbeat));
    assert_eq!(script.written(), ["h\n", "|"]);
    script.expires_in(DELAY);
}

/// A message is the better sign of life: the heartbeat that was due waits for its turn on a stream, and is
/// forgotten where the receiver has gone.
#[test]
fn messages_go_before_a_heartbeat() {
    let mut script = Script::open();
    assert_eq!(script.stream(), NOTHING);
    assert_eq!(script.pass(HEARTBEAT), Some(Due::Heartbeat));
    script.session.push("x");
    assert_eq!(script.written(), ["a[\"x\"]\n", "h\n"]);

    let mut script = Script::open();
    assert_eq!(script.poll(), NOTHING);
    assert_eq!(script.pass(HEARTBEAT), Some(Due::Heartbeat));
    script.session.push("x");
    assert_eq!(script.written(), ["a[\"x\"]\n", "|"]);
    assert_eq!(script.poll(), NOTHING);
}

#[test]
fn a_late_turn_owes_one_heartbeat() {
    let mut script = Script::open();
    assert_eq!(script.stream(), NOTHING);
    script.now += 10 * HEARTBEAT;
    let (now, limits) = (script.now, &script.limits);
    assert_eq!(
        script.session.handle_timeout(now, limits),
        Some(Due::Heartbeat)
    );
    assert_eq!(script.session.handle_timeout(now, limits), None);
    assert_eq!(script.written(), ["h\n"]);
    assert_eq!(script.session.poll_timeout(), now + HEARTBEAT);
}

#[test]
fn no_heartbeat_without_a_receiver() {
    let mut script = Script::open();
    script.limits.disconnect_delay = 4 * HEARTBEAT;
    assert_eq!(script.poll(), NOTHING);
    script.session.push("x");
    script.written();
    assert_eq!(script.pass(HEARTBEAT), None);
    assert_eq!(script.poll(), NOTHING);
}

// ---- the end -----------------------------------------------------------------------------------

/// Rule 7. On polling the messages come first, then the close frame with the next poll.
#[test]
fn closed_with_messages_queued_on_polling() {
    let mut script = Script::open();
    script.session.push("x");
    script.session.push("y");
    script.close(3000, "Go away!");
    assert!(script.session.is_closed() && !script.session.is_open());
    assert_eq!(script.poll(), ["a[\"x\",\"y\"]\n", "|"]);
    assert_eq!(script.poll(), [GO_AWAY, "|"]);
}

#[test]
fn closed_with_messages_queued_on_streaming() {
    let mut script = Script::open();
    assert_eq!(script.stream(), NOTHING);
    script.session.push("x");
    script.close(3000, "Go away!");
    assert_eq!(script.written(), ["a[\"x\"]\n", GO_AWAY, "|"]);
}

/// At the limit the close frame has to wait for the next response.
#[test]
fn closed_with_messages_up_to_the_limit() {
    let mut script = Script::open();
    script.limits.response_limit = 7;
    script.session.push("x");
    script.close(3000, "Go away!");
    assert_eq!(script.stream(), ["a[\"x\"]\n", "|"]);
    assert_eq!(script.stream(), [GO_AWAY, "|"]);
}

#[test]
fn closed_while_a_poll_waits() {
    let mut script = Script::open();
    assert_eq!(script.poll(), NOTHING);
    script.close(3000, "Go away!");
    assert_eq!(script.written(), [GO_AWAY, "|"]);
    script.expires_in(DELAY);
}

/// The close frame is for each later receiver, and each of them starts the delay again.
#[test]
fn the_close_frame_is_kept() {
    let mut script = Script::open();
    script.close(3000, "Go away!");
    for wrapping in [Wrapping::Xhr, Wrapping::XhrStreaming, Wrapping::Xhr] {
        assert_eq!(script.pass(DELAY - secs(1)), None);
        script.attach(wrapping);
        assert_eq!(script.written(), [GO_AWAY, "|"]);
    }
    script.expires_in(DELAY);
}

/// The delay runs from the close, not from the receiver before.
#[test]
fn closing_starts_the_delay() {
    let mut script = Script::open();
    assert_eq!(script.pass(secs(4)), None);
    script.close(3000, "Go away!");
    script.expires_in(DELAY);
}

#[test]
fn the_first_close_counts() {
    let mut script = Script::open();
    script.close(3000, "Go away!");
    script.pass(secs(1));
    script.close(1000, "Normal closure");
    script.cut();
    script.session.accept();
    assert!(script.session.is_closed());
    assert_eq!(script.poll(), [GO_AWAY, "|"]);
}

#[test]
fn no_heartbeat_once_it_is_closed() {
    let mut script = Script::open();
    assert_eq!(script.stream(), NOTHING);
    script.close(3000, "Go away!");
    // The response is stuck, say: the close frame is not taken.
    assert_eq!(script.pass(HEARTBEAT), None);
    assert_eq!(script.written(), [GO_AWAY, "|"]);
}

/// A refusal: the client sees it open, then closed, because it would try the next transport otherwise.
#[test]
fn refused() {
    let mut script = Script::opening();
    script.session.accept();
    script.close(4403, "no");
    assert_eq!(script.poll(), ["o\n", "|"]);
    assert_eq!(script.poll(), ["c[4403,\"no\"]\n", "|"]);

    let mut script = Script::opening();
    script.attach(Wrapping::XhrStreaming);
    script.close(4403, "no");
    assert_eq!(script.written(), ["o\n", "c[4403,\"no\"]\n", "|"]);
}

#[test]
fn close_reasons_are_json() {
    let mut script = Script::open();
    script.close(1000, "a \"b\"\n\u{1f600}");
    assert_eq!(
        script.poll(),
        ["c[1000,\"a \\\"b\\\"\\n\\ud83d\\ude00\"]\n", "|"]
    );
}

/// Rule 6. What was queued may have gaps before it, so it is not sent.
#[test]
fn a_receiver_that_is_cut_closes_the_session() {
    for wrapping in [Wrapping::Xhr, Wrapping::XhrStreaming] {
        let mut script = Script::open();
        script.attach(wrapping);
        script.pass(secs(3));
        script.session.push("lost");
        script.cut();
        assert!(script.session.is_closed());
        assert!(script.session.receiver().is_none());
        assert_eq!(script.session.waiting(), 0);
        let frame = "c[1002,\"Connection interrupted\"]\n";
        assert_eq!(script.pass(DELAY - secs(1)), None);
        assert_eq!(script.poll(), [frame, "|"]);
        script.expires_in(DELAY);
    }
}

#[test]
fn it_is_gone_a_while_after_the_cut() {
    let mut script = Script::open();
    assert_eq!(script.stream(), NOTHING);
    script.pass(secs(20));
    script.cut();
    script.expires_in(DELAY);
}

/// Cut while it closes: the close frame was perhaps not seen, and is kept.
#[test]
fn cut_when_it_is_closed() {
    let mut script = Script::open();
    assert_eq!(script.stream(), NOTHING);
    script.close(3000, "Go away!");
    script.cut();
    assert_eq!(script.pass(DELAY - secs(1)), None);
    assert_eq!(script.poll(), [GO_AWAY, "|"]);
}
