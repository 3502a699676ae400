//! What the manual says, held against the library: the tables of limits, and the dialogues.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

use dustdevil::{
    Connection, Cx, Message, Remote, Router, Settings, SocketServer, WebSocket, WebSocketLimits,
};
use std::fmt::Debug;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

const ARCHITECTURE: &str = include_str!("../src/manual/architecture.md");
const HTTP: &str = include_str!("../src/manual/http.md");
const WEBSOCKET: &str = include_str!("../src/manual/websocket.md");

// ---- limits -----------------------------------------------------------------------------------

/// Every setting has one row, with the default and the range that it has in the code.
#[test]
fn every_setting_is_in_the_manual() {
    let defaults = Settings::default();
    for field in Settings::FIELDS {
        let allowed = |text| Settings::default().set(field, text).unwrap_err().allowed;
        check(field, &defaults, &allowed("?"));
    }
    let defaults = WebSocketLimits::default();
    for field in WebSocketLimits::FIELDS {
        let allowed = |text| {
            let error = WebSocketLimits::default().set(field, text).unwrap_err();
            error.allowed
        };
        check(field, &defaults, &allowed("?"));
    }
}

/// No row is about a setting that does not exist.
#[test]
fn every_row_is_about_a_setting() {
    for line in pages().lines() {
        let Some((field, rest)) = line.strip_prefix("| `").and_then(|l| l.split_once("` | "))
        else {
            continue;
        };
        let of_limits = rest.split('|').nth(1).is_some_and(|r| r.contains(" to "));
        if of_limits && field.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
            let known =
                Settings::FIELDS.contains(&field) || WebSocketLimits::FIELDS.contains(&field);
            assert!(known, "{field} is in the manual, but it is no setting");
        }
    }
}

fn check(field: &str, defaults: &impl Debug, allowed: &str) {
    let begin = format!("| `{field}` | ");
    let pages = pages();
    let rows: Vec<&str> = pages
        .lines()
        .filter_map(|l| l.strip_prefix(&begin))
        .collect();
    assert_eq!(rows.len(), 1, "{field}: rows in the manual");
    let cells: Vec<&str> = rows[0].split('|').map(str::trim).collect();
    // `Settings { a: 1, b: 2s }`
    let debug = format!("{defaults:?}").replace([',', '{', '}'], " ");
    let words: Vec<&str> = debug.split_whitespace().collect();
    let at = words
        .iter()
        .position(|w| *w == format!("{field}:"))
        .expect(field);
    assert_eq!(value(cells[0]), words[at + 1], "default of {field}");
    let (least, most) = cells[1].split_once(" to ").expect(field);
    let range = format!("{} to {}", value(least), value(most));
    assert_eq!(range, allowed, "range of {field}");
}

/// `8 KiB` as `8192`, `10 s` as a `Duration` shows itself, all else as it is.
fn value(text: &str) -> String {
    let Some((number, unit)) = text.split_once(' ') else {
        return text.to_owned();
    };
    let number: u64 = number.parse().expect(text);
    match unit {
        "KiB" => (number << 10).to_string(),
        "MiB" => (number << 20).to_string(),
        "GiB" => (number << 30).to_string(),
        "ms" => format!("{:?}", Duration::from_millis(number)),
        "s" => format!("{:?}", Duration::from_secs(number)),
        "h" => format!("{:?}", Duration::from_secs(number * 3600)),
        _ => panic!("no unit of the manual: {text}"),
    }
}

fn pages() -> String {
    [ARCHITECTURE, HTTP, WEBSOCKET].join("\n")
}

// ---- dialogues --------------------------------------------------------------------------------

#[derive(Default)]
struct Echo;

impl Connection for Echo {
    type State = ();
    fn on_message(&mut self, cx: &mut Cx<Self>, message: Message) {
        cx.send(message);
    }
}

/// A live echo server on a free port; it ends with this value.
struct Live {
    address: SocketAddr,
    remote: Remote<()>,
    thread: Option<JoinHandle<()>>,
}

impl Live {
    fn start() -> Self {
        let (tell, told) = mpsc::channel();
        let thread = thread::spawn(move || {
            let mut server = SocketServer::new(())
                .unwrap()
                .websocket("/ws", &Router::<Echo>::new(), WebSocket::default())
                .bind("127.0.0.1:0")
                .unwrap();
            let address = server.local_addrs()[0].tcp().unwrap();
            tell.send((address, server.remote().unwrap())).unwrap();
            server.run().unwrap();
        });
        let (address, remote) = told.recv().unwrap();
        let thread = Some(thread);
        Self {
            address,
            remote,
            thread,
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        let patience = Some(Duration::from_secs(10));
        stream.set_read_timeout(patience).unwrap();
        stream
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.remote.stop();
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || matches!(ended, Some(Ok(()))));
    }
}

/// The dialogues of the page about WebSocket, byte by byte.
#[test]
fn dialogues() {
    let live = Live::start();
    let mut count = 0;
    for block in WEBSOCKET.split("```text\n").skip(1) {
        let block = block.split("```").next().unwrap();
        if block.starts_with("C|") || block.starts_with("C upgrades") {
            replay(&live, block);
            count += 1;
        }
    }
    assert_eq!(count, 4, "dialogues on the page");
}

fn replay(live: &Live, dialogue: &str) {
    let mut stream = live.connect();
    for line in dialogue.lines() {
        let (who, what) = line.split_at(2);
        match who {
            "C|" | "C:" => stream.write_all(&bytes(who, what)).unwrap(),
            "S|" | "S:" => {
                let want = bytes(who, what);
                let mut came = vec![0; want.len()];
                stream.read_exact(&mut came).expect(line);
                assert_eq!(show(&came), show(&want), "{line}");
            }
            "C " if what == "upgrades" => upgrade(&mut stream),
            "S " if what == "end" => {
                let mut rest = Vec::new();
                stream.read_to_end(&mut rest).expect(line);
                assert_eq!(show(&rest), "", "{line}");
            }
            _ => panic!("no line of a dialogue: {line}"),
        }
    }
}

fn upgrade(stream: &mut TcpStream) {
    let request = "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", show(&head));
}

/// The bytes that a line of a dialogue stands for.
fn bytes(who: &str, what: &str) -> Vec<u8> {
    if who.ends_with('|') {
        return format!("{}\r\n", what.strip_prefix(' ').unwrap_or(what)).into_bytes();
    }
    let mut bytes = Vec::new();
    // Every second part stands in quotes; a remark ends the line.
    for (i, part) in what.split('"').enumerate() {
        if i % 2 == 1 {
            bytes.extend_from_slice(part.as_bytes());
            continue;
        }
        let (hex, remark) = match part.split_once(';') {
            Some((hex, _)) => (hex, true),
            None => (part, false),
        };
        let digits = hex.split_whitespace();
        bytes.extend(digits.map(|two| u8::from_str_radix(two, 16).expect(what)));
        if remark {
            break;
        }
    }
    bytes
}

fn show(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
