//! What the parts cost that are on the way of every request, message or timer.
//!
//! ```text
//! cargo bench --bench micro
//! cargo bench --bench micro -- ws
//! ```
//!
//! Nothing passes or fails here.
#![allow(clippy::unwrap_used)]

use std::hash::RandomState;
use std::time::Duration;

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use dustdevil::hub::Hub;
use dustdevil::proto::http::chunked::{BodyLimits, Decoder};
use dustdevil::proto::http::head::slots;
use dustdevil::proto::http::response::{ResponseHead, write_head};
use dustdevil::proto::http::{Head, date};
use dustdevil::proto::ws::mask::unmask;
use dustdevil::proto::ws::{Kind, Limits, Machine};
use dustdevil::storage::arena::Arena;
use dustdevil::storage::input::Input;
use dustdevil::storage::wheel::Wheel;
use dustdevil::time::{Instant, UnixSeconds};

fn main() {
    divan::main();
}

const SMALL: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const BROWSER: &[u8] = b"GET /chat/room/42?since=1017 HTTP/1.1\r\n\
    Host: www.example.org\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
    Accept-Language: en-US,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Connection: keep-alive\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    Sec-Fetch-Dest: document\r\n\
    Sec-Fetch-Mode: navigate\r\n\
    Sec-Fetch-Site: none\r\n\
    Priority: u=0, i\r\n\r\n";

mod http {
    use super::*;

    #[divan::bench(args = [("small", SMALL), ("browser", BROWSER)].map(Named))]
    fn parse_head(bencher: Bencher<'_, '_>, raw: &Named) {
        let raw = raw.0.1;
        bencher.counter(BytesCount::new(raw.len())).bench_local(|| {
            let mut slots = slots();
            let head = Head::parse(black_box(raw), &mut slots).unwrap();
            black_box(head.framing()).unwrap();
        });
    }

    /// The name of an input, not its bytes, stands in the table.
    pub(crate) struct Named(pub(crate) (&'static str, &'static [u8]));

    impl std::fmt::Display for Named {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.0.0)
        }
    }

    #[divan::bench(args = [16, 1024])]
    fn decode_16_chunks(bencher: Bencher<'_, '_>, size: usize) {
        let mut body = Vec::new();
        for _ in 0..16 {
            body.extend_from_slice(format!("{size:x}\r\n").as_bytes());
            body.resize(body.len() + size, b'a');
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"0\r\n\r\n");
        let mut out = Vec::with_capacity(16 * size);
        bencher.counter(BytesCount::new(16 * size)).bench_local(|| {
            out.clear();
            let mut decoder = Decoder::new(BodyLimits::default());
            let mut input = Input::new(black_box(&mut body));
            assert_eq!(decoder.decode(&mut input, &mut out), Ok(true));
        });
    }

    #[divan::bench]
    fn write_response_head(bencher: Bencher<'_, '_>) {
        let date = date::format(UnixSeconds(784_111_777));
        let mut head = ResponseHead::new(200, 1234);
        head.date = Some(&date);
        head.content_type = Some("text/html; charset=utf-8");
        let mut out = Vec::with_capacity(1024);
        bencher.bench_local(|| {
            out.clear();
            write_head(&mut out, black_box(&head));
        });
    }

    #[divan::bench]
    fn format_date() -> [u8; 29] {
        date::format(black_box(UnixSeconds(784_111_777)))
    }
}

mod ws {
    use super::*;

    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    #[divan::bench(name = "unmask", args = [20, 1 << 10, 16 << 10])]
    fn unmask_payload(bencher: Bencher<'_, '_>, size: usize) {
        let mut payload = vec![b'a'; size];
        bencher
            .counter(BytesCount::new(size))
            .bench_local(|| unmask(black_box(&mut payload), KEY, 0));
    }

    /// The copy of the frames is part of the figure: unmasking writes in them.
    #[divan::bench]
    fn decode_16_of_20_bytes(bencher: Bencher<'_, '_>) {
        let mut frame = vec![0x81, 0x80 | 20];
        frame.extend_from_slice(&KEY);
        frame.extend((0..20).map(|n| b'a' ^ KEY[n % 4]));
        let frames = frame.repeat(16);
        let mut bytes = frames.clone();
        let mut out = Vec::new();
        let limits = Limits::default();
        let mut machine = Machine::new(Instant::START);
        bencher.counter(ItemsCount::new(16_u32)).bench_local(|| {
            bytes.copy_from_slice(&frames);
            let mut input = Input::new(&mut bytes);
            let mut messages = 0;
            while let Ok(Some(event)) = machine.poll_event(&mut input, &limits, false, &mut out) {
                black_box(event);
                messages += 1;
            }
            assert_eq!(messages, 16);
        });
    }

    #[divan::bench]
    fn encode_16_of_20_bytes(bencher: Bencher<'_, '_>) {
        let mut machine = Machine::new(Instant::START);
        let mut out = Vec::with_capacity(1024);
        bencher.counter(ItemsCount::new(16_u32)).bench_local(|| {
            out.clear();
            for _ in 0..16 {
                machine.send(Kind::Text, black_box(b"aaaaaaaaaaaaaaaaaaaa"), &mut out);
            }
        });
    }
}

mod storage {
    use super::*;

    const TIMERS: u64 = 10_000;

    /// 10,000 timers over a minute.
    fn wheel() -> Wheel<u64> {
        let mut wheel = Wheel::new();
        for n in 0..TIMERS {
            let at = Instant::START + Duration::from_millis(1 + n * 7919 % 60_000);
            wheel.arm(at, n);
        }
        wheel
    }

    #[divan::bench]
    fn wheel_arm_and_cancel(bencher: Bencher<'_, '_>) {
        let mut wheel = wheel();
        let at = Instant::START + Duration::from_secs(25);
        bencher.bench_local(|| {
            let key = wheel.arm(black_box(at), 1);
            wheel.cancel(key)
        });
    }

    /// A minute in steps of 10 ms; each timer is armed again as it falls due. One step is an item.
    #[divan::bench(sample_count = 20, sample_size = 1)]
    fn wheel_advance_a_minute(bencher: Bencher<'_, '_>) {
        bencher
            .counter(ItemsCount::new(6000_u32))
            .with_inputs(wheel)
            .bench_local_refs(|wheel| {
                let mut now = Instant::START;
                let mut due = 0;
                for _ in 0..6000 {
                    now += Duration::from_millis(10);
                    wheel.advance(now);
                    while let Some(n) = wheel.pop_due() {
                        wheel.arm(now + Duration::from_secs(60), n);
                        due += 1;
                    }
                }
                due
            });
    }

    #[divan::bench]
    fn arena_get(bencher: Bencher<'_, '_>) {
        let mut arena: Arena<u64> = Arena::new();
        let keys: Vec<_> = (0..10_000).map(|n| arena.insert(n)).collect();
        let mut at = 0;
        bencher.bench_local(|| {
            at = (at + 4177) % keys.len();
            arena.get(black_box(keys[at])).copied()
        });
    }
}

mod hub {
    use super::*;

    /// A member more in a room of so many, and out again.
    #[divan::bench(args = [1, 1000])]
    fn join_and_leave(bencher: Bencher<'_, '_>, members: u64) {
        let mut hub: Hub<u64, RandomState> = Hub::new(RandomState::new());
        for member in 0..members {
            hub.join(0, "lobby", member);
        }
        bencher.bench_local(|| {
            hub.join(0, black_box("lobby"), members);
            hub.leave(0, black_box("lobby"), members)
        });
    }
}
