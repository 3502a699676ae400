//! What families over HTTP need beside the support of the WebSocket tests: answers with their chunks, and
//! a look at what is left.

use crate::websocket::*;

use dustdevil::{Settings, TransportCounts};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A request of HTTP/1.1, with a length if its method has a body.
pub(crate) fn http(method: &str, path: &str, lines: &str, body: &[u8]) -> Vec<u8> {
    let length = match method {
        "POST" | "PUT" => format!("Content-Length: {}\r\n", body.len()),
        _ => String::new(),
    };
    let mut bytes =
        format!("{method} {path} HTTP/1.1\r\nHost: h\r\n{lines}{length}\r\n").into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

impl Rig<World> {
    /// Sends a request over a conn of its own.
    pub(crate) fn start(&mut self, method: &str, path: &str, lines: &str, body: &[u8]) -> Client {
        let mut client = self.raw();
        client.write_long(self, &http(method, path, lines, body));
        self.settle();
        client
    }

    /// The answer to such a request.
    pub(crate) fn ask(&mut self, method: &str, path: &str, lines: &str, body: &[u8]) -> Answer {
        self.start(method, path, lines, body).answer(self)
    }

    /// What a request's messages make the script note, no more than four a turn, and the answer.
    /// `meanwhile` is called once, after the first turn.
    pub(crate) fn by_turns(
        &mut self,
        (path, lines, body): (&str, &str, &str),
        script: &Script,
        meanwhile: impl FnOnce(&mut Self),
    ) -> (Vec<String>, Answer) {
        let mut client = self.raw();
        client.write_long(self, &http("POST", path, lines, body.as_bytes()));
        let (mut taken, mut meanwhile) = (Vec::new(), Some(meanwhile));
        while !client.fill() {
            self.turn();
            let now = script.taken();
            assert!(now.len() <= 4, "{now:?}");
            if !now.is_empty() {
                taken.extend(now);
                if let Some(meanwhile) = meanwhile.take() {
                    meanwhile(self);
                }
            }
        }
        let answer = client.answer(self);
        assert_eq!(script.taken(), [""; 0]);
        (taken, answer)
    }

    /// What a text message of a WebSocket makes the script note, no more than four a turn, until there are as
    /// many notes.
    #[allow(dead_code)]
    pub(crate) fn message_by_turns(
        &mut self,
        client: &mut Client,
        text: &str,
        script: &Script,
        count: usize,
    ) -> Vec<String> {
        client.write_long(self, &masked(0x81, text.as_bytes()));
        let (mut taken, mut turns) = (Vec::new(), 0);
        while taken.len() < count {
            self.turn();
            let now = script.taken();
            assert!(now.len() <= 4, "{now:?}");
            turns = if now.is_empty() { turns + 1 } else { 0 };
            assert!(turns < 1000, "no more than {taken:?}");
            taken.extend(now);
        }
        taken
    }

    /// Sends to one that takes nothing until it is cut; answers how many bytes were queued at the most.
    #[allow(dead_code)]
    pub(crate) fn sends_until_cut(&mut self, id: dustdevil::ConnectionId) -> u64 {
        let text = "x".repeat(100_000);
        let mut most = 0;
        for round in 0.. {
            let count = self.server.with_app(|app| app.to(id).send(&text)).unwrap();
            self.turn();
            most = most.max(self.stats().bytes_queued);
            if count == 0 {
                break;
            }
            assert!(round < 1000, "there is no end to it");
        }
        most
    }

    /// Makes so many bytes wait for one that takes none.
    #[allow(dead_code)]
    pub(crate) fn fill(&mut self, id: dustdevil::ConnectionId, bytes: usize) {
        let text = "x".repeat(bytes);
        self.server.with_app(|app| app.to(id).send(text)).unwrap();
        self.settle();
    }

    /// Sends a request up to each of its bytes, and all of it, and resets the connection.
    #[allow(dead_code)]
    pub(crate) fn resets_at_every_byte(&mut self, bytes: &[u8]) {
        for cut in 1..=bytes.len() {
            let mut client = self.raw();
            client.write(&bytes[..cut]);
            if cut % 2 == 0 {
                self.turn();
            }
            client.reset();
            self.turn();
        }
        for seen in [true, false] {
            let mut client = self.raw();
            client.write(bytes);
            if seen {
                self.settle();
            }
            client.reset();
            self.turn();
        }
        self.settle();
    }

    /// An upgrade with more and more header lines.
    #[allow(dead_code)]
    pub(crate) fn more_headers_than_are_kept(&mut self, head: &str) {
        for (count, status) in [
            (50, "101"),
            (99, "431"),
            (100, "431"),
            (200, "431"),
            (1000, "431"),
        ] {
            let lines: String = (0..count).map(|n| format!("x{n}: 1\r\n")).collect();
            let head = head.replacen("Upgrade:", &format!("{lines}Upgrade:"), 1);
            let mut client = self.raw();
            client.write(head.as_bytes());
            assert_eq!(&client.head(self)[9..12], status, "{count}");
        }
    }

    /// What is there to be counted is gone at the latest after so long: all its clients are.
    pub(crate) fn over_after<T>(&mut self, time: Duration, script: &Script, clients: T) {
        drop(clients);
        self.settle();
        self.pass(time);
        let stats = self.stats();
        assert_eq!(stats.conns_open, 0, "conns");
        assert_eq!(stats.connections_open, 0, "connections");
        assert_eq!(stats.sessions_open, 0, "sessions");
        assert_eq!(stats.websockets_open, 0, "WebSockets");
        assert_eq!(stats.bytes_queued, 0, "bytes");
        assert_eq!(stats.bytes_unfinished, 0, "bytes of input");
        assert_eq!(stats.transports, TransportCounts::default());
        let mut closed = script.closed();
        closed.sort_unstable();
        let all = closed.len();
        closed.dedup();
        assert_eq!(closed.len(), all, "closed twice");
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// The pieces of a chunked body.
    pub(crate) chunks: Vec<String>,
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1);
        lines.find_map(|line| {
            let (field, value) = line.split_once(": ")?;
            field.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

impl Client {
    /// From another address of the loopback network.
    pub(crate) fn connect_from(ip: [u8; 4], addr: SocketAddr) -> Self {
        use socket2::{Domain, Socket, Type};
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((ip, 0)).into()).unwrap();
        socket.connect(&addr.into()).unwrap();
        let stream = TcpStream::from(socket);
        Self::over(stream)
    }

    /// The next answer, whole.
    pub(crate) fn answer(&mut self, rig: &mut Rig<World>) -> Answer {
        let head = self.head(rig);
        let mut answer = Answer {
            status: head[9..12].parse().unwrap(),
            head,
            body: Vec::new(),
            chunks: Vec::new(),
        };
        if answer.field("Transfer-Encoding").is_some() {
            while let Some(chunk) = self.chunk(rig) {
                answer.body.extend_from_slice(chunk.as_bytes());
                answer.chunks.push(chunk);
            }
        } else if let Some(length) = answer.field("Content-Length") {
            let length: usize = length.parse().unwrap();
            answer.body = self.until(rig, "body", |me| {
                (me.got.len() >= length).then(|| me.got.drain(..length).collect())
            });
        } else if ![204, 304].contains(&answer.status) {
            answer.body = self.rest(rig);
        }
        answer
    }

    /// The next chunk of a body; `None` is its end.
    pub(crate) fn chunk(&mut self, rig: &mut Rig<World>) -> Option<String> {
        self.until(rig, "chunk", |me| {
            let line = me.got.windows(2).position(|w| w == b"\r\n")?;
            let size = std::str::from_utf8(&me.got[..line]).unwrap();
            let size = usize::from_str_radix(size, 16).unwrap();
            let (start, end) = (line + 2, line + 2 + size);
            if me.got.len() < end + 2 {
                return None;
            }
            let bytes: Vec<u8> = me.got.drain(..end + 2).collect();
            assert_eq!(bytes[end..], *b"\r\n");
            let text = String::from_utf8(bytes[start..end].to_vec()).unwrap();
            Some((size > 0).then_some(text))
        })
    }

    /// The body ends here.
    pub(crate) fn ends(&mut self, rig: &mut Rig<World>) {
        assert_eq!(self.chunk(rig), None);
    }
}

/// Runs an ignored test of this binary in a process of its own.
#[allow(dead_code)]
pub(crate) fn passes_in_a_child(name: &str) {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", name])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && told.contains("1 passed"),
        "{output:?}"
    );
}

/// Four messages of a send are a turn's share.
pub(crate) fn short_turns() -> Settings {
    Settings {
        work_per_turn_bytes: 4096,
        ..Settings::default()
    }
}

impl Rig<World> {
    /// Clients send these as far as all kinds of places and end their side: nothing spins, all conns end.
    #[allow(dead_code)]
    pub(crate) fn ends_anywhere(&mut self, all: impl IntoIterator<Item = Vec<u8>>) {
        for bytes in all {
            for cut in (0..=bytes.len()).rev().step_by(7) {
                let mut client = self.raw();
                client.write(&bytes[..cut]);
                self.turn();
                client.finish();
                self.settle(); // It fails if there is no end.
                client.fill();
            }
        }
        self.pass(Duration::from_secs(80));
        assert_eq!(self.stats().conns_open, 0);
    }
}

/// No position of these ids has the same character everywhere.
#[allow(dead_code)]
pub(crate) fn assert_spread(ids: &std::collections::HashSet<String>) {
    for at in 0..32 {
        let seen: std::collections::HashSet<u8> = ids.iter().map(|id| id.as_bytes()[at]).collect();
        assert!(seen.len() > 8, "position {at}: {seen:?}");
    }
}
