//! What the manual says, held against the library: the tables of limits, and the dialogues.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

use dustdevil::{
    ConfigError, Connection, Cx, Events, Message, Reject, Remote, Request, Router, Routes,
    Settings, SockJs, SockJsSettings, SocketIo, SocketIo06, SocketIo06Settings, SocketIoSettings,
    SocketServer, Transport, WebSocket, WebSocketLimits,
};
use std::fmt::Debug;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

const ARCHITECTURE: &str = include_str!("../src/manual/architecture.md");
const HTTP: &str = include_str!("../src/manual/http.md");
const WEBSOCKET: &str = include_str!("../src/manual/websocket.md");
const SOCKJS: &str = include_str!("../src/manual/sockjs.md");
const SOCKETIO09: &str = include_str!("../src/manual/socketio09.md");
const SOCKETIO06: &str = include_str!("../src/manual/socketio06.md");

// ---- limits -----------------------------------------------------------------------------------

/// Every setting has one row, with the default and the range that it has in the code.
#[test]
fn every_setting_is_in_the_manual() {
    let server = [ARCHITECTURE, HTTP].join("\n");
    check(&server, Settings::FIELDS, Settings::set);
    check(WEBSOCKET, WebSocketLimits::FIELDS, WebSocketLimits::set);
    check(SOCKJS, SockJsSettings::FIELDS, SockJsSettings::set);
    let (fields, set) = (SocketIoSettings::FIELDS, SocketIoSettings::set);
    check(SOCKETIO09, fields, set);
    let (fields, set) = (SocketIo06Settings::FIELDS, SocketIo06Settings::set);
    check(SOCKETIO06, fields, set);
}

/// No row is about a setting that does not exist.
#[test]
fn every_row_is_about_a_setting() {
    for (page, fields) in [
        (ARCHITECTURE, Settings::FIELDS),
        (HTTP, Settings::FIELDS),
        (WEBSOCKET, WebSocketLimits::FIELDS),
        (SOCKJS, SockJsSettings::FIELDS),
        (SOCKETIO09, SocketIoSettings::FIELDS),
        (SOCKETIO06, SocketIo06Settings::FIELDS),
    ] {
        for line in page.lines() {
            let Some((field, rest)) = line.strip_prefix("| `").and_then(|l| l.split_once("` | "))
            else {
                continue;
            };
            // Default, range, meaning.
            let cells: Vec<&str> = rest.split('|').collect();
            let of_limits = cells.len() == 4 && cells[1].contains(" to ");
            if of_limits && field.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
                let known = fields.contains(&field);
                assert!(known, "{field} is in the manual, but it is no setting");
            }
        }
    }
}

/// What a mount has besides its settings, and all transports.
#[test]
fn every_part_of_sockjs_is_in_the_manual() {
    // A field that is added has to be named here, and then in the manual.
    let SockJs {
        settings: _,
        websocket: _,
        origins: _,
        sockjs_url,
        base_url: _,
        profile,
        hixie76,
        hixie75,
    } = SockJs::default();
    assert!(hixie76 && !hixie75);
    for row in [
        "| `settings` | ".to_owned(),
        "| `websocket` | those of ".to_owned(),
        "| `origins` | `Origins::Any` | ".to_owned(),
        format!("| `sockjs_url` | `{sockjs_url}` | "),
        "| `base_url` | `None` | ".to_owned(),
        format!("| `profile` | `Profile::{profile:?}` | "),
        "| `hixie76` | `true` | ".to_owned(),
        "| `hixie75` | `false` | ".to_owned(),
    ] {
        let rows = SOCKJS.lines().filter(|line| line.starts_with(&row));
        assert_eq!(rows.count(), 1, "{row}");
    }
    for name in [
        "websocket",
        "rawwebsocket",
        "xhr_streaming",
        "eventsource",
        "htmlfile",
        "xhr",
        "jsonp",
    ] {
        let row = format!("| `{name}` | ");
        let rows = SOCKJS.lines().filter(|line| line.starts_with(&row));
        // The switches that have the same name are checked with the settings.
        let switch = usize::from(SockJsSettings::FIELDS.contains(&name));
        let mount = usize::from(name == "websocket");
        assert_eq!(rows.count(), 1 + switch + mount, "{name}");
    }
}

/// What a mount of Socket.IO has besides its settings, and its transports.
#[test]
fn every_part_of_socketio_is_in_the_manual() {
    let SocketIo {
        settings: _,
        websocket,
        origins,
        enabled_protocols,
        node_id,
        client_file,
        socketio09,
        socketio06: _,
        hixie76,
        hixie75,
    } = SocketIo::default();
    assert!(hixie76 && !hixie75);
    let names: Vec<&str> = enabled_protocols.iter().map(|it| it.name()).collect();
    let pings = websocket.ping_interval;
    for row in [
        "| `settings` | ".to_owned(),
        format!(
            "| `websocket` | those of [`WebSocketLimits`](crate::WebSocketLimits), `ping_interval` {} s | ",
            pings.as_secs()
        ),
        format!("| `origins` | `Origins::{:?}` | ", origins.origins),
        format!("| `enabled_protocols` | `{}` | ", names.join("`, `")),
        format!("| `node_id` | `{node_id:?}` | "),
        format!("| `client_file` | `{client_file:?}` | "),
        format!("| `socketio09` | `{socketio09:?}` | "),
        "| `hixie76` | `true` | ".to_owned(),
        "| `hixie75` | `false` | ".to_owned(),
        "| `socketio06` | ".to_owned(),
    ] {
        let rows = SOCKETIO09.lines().filter(|line| line.starts_with(&row));
        assert_eq!(rows.count(), 1, "{row}");
    }
    for name in names {
        let row = format!("| `{name}` | ");
        let rows = SOCKETIO09.lines().filter(|line| line.starts_with(&row));
        let field = usize::from(name == "websocket");
        assert_eq!(rows.count(), 1 + field, "{name}");
    }
}

/// What a mount has for 0.6 alone, and the transports of that.
#[test]
fn every_part_of_socketio06_is_in_the_manual() {
    let SocketIo06 {
        settings: _,
        enabled_protocols,
    } = SocketIo06::default();
    let names: Vec<&str> = enabled_protocols.iter().map(|it| it.name()).collect();
    let fields = [
        "| `settings` | ".to_owned(),
        format!("| `enabled_protocols` | `{}` | ", names.join("`, `")),
    ];
    let transports = names.iter().map(|name| format!("| `{name}` | "));
    for row in fields.into_iter().chain(transports) {
        let rows = SOCKETIO06.lines().filter(|line| line.starts_with(&row));
        assert_eq!(rows.count(), 1, "{row}");
    }
}

/// A transport that is added has to be on the page of its family.
#[test]
fn every_transport_is_in_the_manual() {
    for transport in Transport::ALL {
        let row = format!("| `{}` | ", transport.name());
        let pages = [SOCKJS, SOCKETIO09, SOCKETIO06];
        let known = pages.iter().any(|page| page.contains(&row));
        assert!(known || transport == Transport::None, "{row}");
    }
}

fn check<T: Debug + Default>(
    page: &str,
    fields: &[&str],
    set: fn(&mut T, &str, &str) -> Result<(), ConfigError>,
) {
    // `Settings { a: 1, b: 2s }`
    let debug = format!("{:?}", T::default()).replace([',', '{', '}'], " ");
    let words: Vec<&str> = debug.split_whitespace().collect();
    for field in fields {
        let begin = format!("| `{field}` | ");
        let rows: Vec<Vec<&str>> = page
            .lines()
            .filter_map(|line| line.strip_prefix(&begin))
            .map(|row| row.split('|').map(str::trim).collect())
            .filter(|cells: &Vec<&str>| cells[1].contains(" to "))
            .collect();
        assert_eq!(rows.len(), 1, "{field}: rows in the manual");
        let name = format!("{field}:");
        let at = words.iter().position(|word| *word == name).expect(field);
        assert_eq!(value(rows[0][0]), words[at + 1], "default of {field}");
        let (least, most) = rows[0][1].split_once(" to ").expect(field);
        let range = format!("{} to {}", value(least), value(most));
        let allowed = set(&mut T::default(), field, "?").unwrap_err().allowed;
        assert_eq!(range, allowed, "range of {field}");
    }
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

/// Each program has a row in the README.
#[test]
fn every_example_is_in_the_readme() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    for entry in fs::read_dir(root.join("examples")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap();
        let row = format!("\n| `{name}` | ");
        assert!(name == "common" || readme.contains(&row), "{name}");
    }
}

// ---- dialogues --------------------------------------------------------------------------------

#[derive(Default)]
struct Echo;

impl Connection for Echo {
    type State = ();
    fn on_message(&mut self, cx: &mut Cx<Self>, message: Message) {
        match message.text() {
            Some("bye") => cx.close_with(3000, "Go away!"),
            _ => {
                cx.send(message);
            }
        }
    }
}

/// The root of the page about Socket.IO.
#[derive(Default)]
struct Desk;

impl Connection for Desk {
    type State = ();

    fn events(on: &mut Events<Self>) {
        on.on("add", Self::add);
    }

    fn on_message(&mut self, cx: &mut Cx<Self>, message: Message) {
        match message.text() {
            Some("bye") => cx.close(),
            _ => {
                cx.send(message);
            }
        }
    }
}

impl Desk {
    fn add(&mut self, cx: &mut Cx<Self>, (a, b): (i64, i64)) -> i64 {
        cx.emit("added", (a, b));
        a + b
    }
}

/// Its endpoint `/chat`.
#[derive(Default)]
struct Chat;

impl Connection for Chat {
    type State = ();

    fn on_message(&mut self, cx: &mut Cx<Self>, message: Message) {
        cx.all().send(message);
    }
}

/// The program of the page about Socket.IO 0.6.
#[derive(Default)]
struct Talk;

impl Connection for Talk {
    type State = ();

    fn on_open(&mut self, cx: &mut Cx<Self>, _: &Request) -> Result<(), Reject> {
        cx.send("Welcome!");
        Ok(())
    }

    fn on_message(&mut self, cx: &mut Cx<Self>, message: Message) {
        match message.text() {
            Some("bye") => cx.close(),
            _ => {
                cx.all().send(message);
            }
        }
    }
}

fn of_06() -> Routes<()> {
    Routes::new().socketio("/socket.io", &Router::<Talk>::new(), SocketIo::default())
}

fn of_the_others() -> Routes<()> {
    let desk = Router::<Desk>::new().endpoint("/chat", &Router::<Chat>::new());
    Routes::new()
        .websocket("/ws", &Router::<Echo>::new(), WebSocket::default())
        .sockjs("/echo", &Router::<Echo>::new(), SockJs::default())
        .socketio("/socket.io", &desk, SocketIo::default())
}

/// A live server of the pages' programs on a free port; it ends with this value.
struct Live {
    address: SocketAddr,
    remote: Remote<()>,
    thread: Option<JoinHandle<()>>,
}

impl Live {
    fn start(routes: fn() -> Routes<()>) -> Self {
        let (tell, told) = mpsc::channel();
        let thread = thread::spawn(move || {
            let mut server = SocketServer::new(())
                .unwrap()
                .routes(routes())
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

/// The dialogues of all pages, byte by byte.
#[test]
fn dialogues() {
    replay_all(WEBSOCKET, of_the_others, 4);
    replay_all(SOCKJS, of_the_others, 4);
    replay_all(SOCKETIO09, of_the_others, 5);
    replay_all(SOCKETIO06, of_06, 4);
}

fn replay_all(page: &str, routes: fn() -> Routes<()>, want: usize) {
    let live = Live::start(routes);
    let mut count = 0;
    for block in page.split("```text\n").skip(1) {
        let block = block.split("```").next().unwrap();
        if block.starts_with("C|") || block.starts_with("C upgrades") {
            replay(&live, block);
            count += 1;
        }
    }
    assert_eq!(count, want, "dialogues on the page");
}

fn replay(live: &Live, dialogue: &str) {
    let mut stream = live.connect();
    // The id that a handshake has brought, wherever it is named.
    let mut sid = String::new();
    for line in dialogue.lines() {
        let (who, what) = line.split_at(2);
        let around = what
            .split_once("SID")
            .filter(|_| who == "S>" && sid.is_empty());
        if let Some((before, behind)) = around {
            let mut came = vec![0; before.len() - 1];
            stream.read_exact(&mut came).expect(line);
            assert_eq!(show(&came), before[1..], "{line}");
            sid = read_sid(&mut stream, line);
            let mut came = vec![0; behind.len()];
            stream.read_exact(&mut came).expect(line);
            assert_eq!(show(&came), behind, "{line}");
            continue;
        }
        let what = &*match sid.is_empty() {
            true => what.to_owned(),
            false => what.replace("SID", &sid),
        };
        match who {
            "C|" | "C:" | "C>" => stream.write_all(&bytes(who, what)).unwrap(),
            "S|" if what.ends_with('…') => {
                let begin = what.trim_start().trim_end_matches('…');
                let mut came = read_line(&mut stream, line);
                assert!(came.starts_with(begin), "{line}, not {came:?}");
                while begin.is_empty() && !came.is_empty() {
                    came = read_line(&mut stream, line);
                }
            }
            "S|" | "S:" | "S>" => {
                let want = bytes(who, what);
                let mut came = vec![0; want.len()];
                stream.read_exact(&mut came).expect(line);
                assert_eq!(show(&came), show(&want), "{line}");
            }
            "C " if what == "upgrades" => upgrade(&mut stream, "/ws"),
            "C " if what.starts_with("upgrades ") => {
                upgrade(&mut stream, what.trim_start_matches("upgrades "));
            }
            "S " if what == "end" => {
                let mut rest = Vec::new();
                stream.read_to_end(&mut rest).expect(line);
                assert_eq!(show(&rest), "", "{line}");
            }
            _ => panic!("no line of a dialogue: {line}"),
        }
    }
}

/// 32 digits of base 32.
fn read_sid(stream: &mut TcpStream, line: &str) -> String {
    let mut sid = vec![0; 32];
    stream.read_exact(&mut sid).expect(line);
    let is_digit = |b: &u8| matches!(b, b'0'..=b'9' | b'a'..=b'v');
    assert!(sid.iter().all(is_digit), "{}", show(&sid));
    String::from_utf8(sid).unwrap()
}

/// A line without its CR LF.
fn read_line(stream: &mut TcpStream, line: &str) -> String {
    let mut came = Vec::new();
    while !came.ends_with(b"\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect(line);
        came.push(byte[0]);
    }
    came.truncate(came.len() - 2);
    String::from_utf8(came).unwrap()
}

fn upgrade(stream: &mut TcpStream, path: &str) {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
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
    if who.ends_with('>') {
        return what.strip_prefix(' ').unwrap_or(what).into();
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
