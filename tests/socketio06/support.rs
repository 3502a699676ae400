//! What 0.6 needs beside the support of the tests of 0.9: clients that send and receive messages, whatever
//! carries them.

pub(crate) use crate::sio09::*;

use dustdevil::{SocketIo, SocketIo06, SocketIo06Settings, Transport};

/// All that 0.6 has.
pub(crate) const ALL: [Transport; 6] = [
    Transport::XhrPolling,
    Transport::JsonpPolling,
    Transport::HtmlFile,
    Transport::XhrMultipart,
    Transport::WebSocket,
    Transport::FlashSocket,
];
/// Those that ask again after each answer.
pub(crate) const POLLS: [Transport; 2] = [Transport::XhrPolling, Transport::JsonpPolling];
/// Those with one answer that goes on.
pub(crate) const STREAMS: [Transport; 2] = [Transport::HtmlFile, Transport::XhrMultipart];
pub(crate) const SOCKETS: [Transport; 2] = [Transport::WebSocket, Transport::FlashSocket];
/// Those that are requests.
pub(crate) const REQUESTS: [Transport; 4] = [
    Transport::XhrPolling,
    Transport::JsonpPolling,
    Transport::HtmlFile,
    Transport::XhrMultipart,
];

pub(crate) const MOUNT: &str = "/socket.io";

/// A mount with settings of 0.6.
pub(crate) fn old(settings: SocketIo06Settings) -> SocketIo {
    SocketIo {
        socketio06: Some(SocketIo06 {
            settings,
            ..SocketIo06::default()
        }),
        ..mount(calm())
    }
}

/// Data with its head, the length in UTF-16.
pub(crate) fn framed(data: &str) -> String {
    format!("~m~{}~m~{data}", data.encode_utf16().count())
}

/// Several, one behind the other.
pub(crate) fn payload(all: &[&str]) -> String {
    all.iter().map(|data| framed(data)).collect()
}

/// The data of a payload; the lengths have to be right.
pub(crate) fn unframed(payload: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = payload;
    while !rest.is_empty() {
        let after = rest.strip_prefix("~m~").and_then(|it| it.split_once("~m~"));
        let (length, data) = after.unwrap_or_else(|| panic!("{payload:?}"));
        let (mut left, mut end) = (length.parse::<usize>().unwrap(), 0);
        for c in data.chars() {
            if left == 0 {
                break;
            }
            left = left.checked_sub(c.len_utf16()).expect("half a pair");
            end += c.len_utf8();
        }
        assert_eq!(left, 0, "{payload:?}");
        found.push(data[..end].to_owned());
        rest = &data[end..];
    }
    found
}

/// The payload in a call of function `index`.
pub(crate) fn called(script: &str, index: u32) -> String {
    string_in(script, &format!("io.JSONP[{index}]._("), ");")
}

/// A string of JavaScript between `before` and `behind`, which can end no script.
fn string_in(script: &str, before: &str, behind: &str) -> String {
    let string = script.strip_prefix(before);
    let string = string.and_then(|it| it.strip_suffix(behind));
    let string = string.unwrap_or_else(|| panic!("{script:?}"));
    assert!(
        !string.contains(['<', '\u{2028}', '\u{2029}']),
        "{string:?}"
    );
    serde_json::from_str(string).unwrap()
}

/// As clients encode what they post.
pub(crate) fn form(payload: &str) -> String {
    let escaped = payload.bytes().map(|b| match b {
        b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'~' | b'-' | b'.' | b'_' => {
            char::from(b).to_string()
        }
        _ => format!("%{b:02X}"),
    });
    format!("data={}", escaped.collect::<String>())
}

/// What a new client asks for below a prefix.
pub(crate) fn first(transport: Transport, prefix: &str) -> String {
    let name = transport.name();
    match transport {
        Transport::XhrPolling | Transport::HtmlFile => format!("{prefix}/{name}//1290000000000"),
        Transport::JsonpPolling => format!("{prefix}/{name}//1290000000000/0"),
        Transport::XhrMultipart => format!("{prefix}/{name}/"),
        _ => format!("{prefix}/{name}"),
    }
}

/// What a client asks for that has a session.
pub(crate) fn later(transport: Transport, sid: &str) -> String {
    let name = transport.name();
    match transport {
        Transport::JsonpPolling => format!("{MOUNT}/{name}/{sid}/1290000000001/0"),
        Transport::WebSocket | Transport::FlashSocket => format!("{MOUNT}/{name}/{sid}"),
        _ => format!("{MOUNT}/{name}/{sid}/1290000000001"),
    }
}

/// Where it sends to.
pub(crate) fn sends(transport: Transport, sid: &str) -> String {
    match transport {
        Transport::JsonpPolling => later(transport, sid),
        _ => format!("{MOUNT}/{}/{sid}/send", transport.name()),
    }
}

impl Rig<World> {
    /// Asks for a transport, by an upgrade if it is a WebSocket.
    pub(crate) fn knock(&mut self, transport: Transport, path: &str, lines: &str) -> Client {
        if !SOCKETS.contains(&transport) {
            return self.start("GET", path, lines, b"");
        }
        let mut client = self.raw();
        client.write(request(path, lines).as_bytes());
        self.settle();
        client
    }

    /// The status that a new client is refused with, or 101 or 200.
    pub(crate) fn status(&mut self, transport: Transport, lines: &str) -> u16 {
        let mut client = self.knock(transport, &first(transport, MOUNT), lines);
        client.head(self)[9..12].parse().unwrap()
    }

    pub(crate) fn peer(&mut self, transport: Transport) -> Peer {
        self.peer_at(transport, MOUNT, "")
    }

    /// A client behind its first message.
    pub(crate) fn peer_at(&mut self, transport: Transport, prefix: &str, lines: &str) -> Peer {
        let client = self.knock(transport, &first(transport, prefix), lines);
        let mut peer = Peer::new(transport, prefix, client);
        let mut heard = peer.hear(self);
        assert!(!heard.is_empty(), "{transport:?}: no id");
        peer.sid = heard.remove(0);
        assert_is_id(&peer.sid);
        peer.before = heard;
        peer
    }

    /// A client that has heard its id, and nothing else.
    pub(crate) fn serves(&mut self, transport: Transport) {
        let mut peer = self.peer(transport);
        peer.before.clear();
        assert_eq!(peer.ask(self, "still here"), ["still here"]);
        drop(peer);
        self.settle();
    }
}

pub(crate) fn assert_is_id(sid: &str) {
    let is_good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    assert!(sid.len() == 32 && sid.bytes().all(is_good), "{sid:?}");
}

/// A client that sends and receives messages.
pub(crate) struct Peer {
    pub(crate) transport: Transport,
    pub(crate) sid: String,
    prefix: String,
    /// What came together with the id.
    before: Vec<String>,
    /// Its stream, its WebSocket, or its poll that waits.
    pub(crate) receiver: Option<Client>,
    /// The head of the answer was read.
    begun: bool,
    /// The session has ended, as the client is told.
    pub(crate) is_over: bool,
}

impl Peer {
    /// A client that has asked, and heard nothing yet.
    pub(crate) fn new(transport: Transport, prefix: &str, client: Client) -> Self {
        Self {
            transport,
            sid: String::new(),
            prefix: prefix.to_owned(),
            before: Vec::new(),
            receiver: Some(client),
            begun: false,
            is_over: false,
        }
    }

    /// A client that comes back to its session, or to one that it does not have.
    pub(crate) fn back(rig: &mut Rig<World>, transport: Transport, sid: &str) -> Self {
        let client = rig.knock(transport, &later(transport, sid), "");
        let mut peer = Self::new(transport, MOUNT, client);
        peer.sid = sid.to_owned();
        peer
    }

    fn path(&self, path: String) -> String {
        path.replacen(MOUNT, &self.prefix, 1)
    }

    /// The data of all messages that come before the server rests.
    pub(crate) fn hear(&mut self, rig: &mut Rig<World>) -> Vec<String> {
        let payloads = self.payloads(rig);
        let heard = payloads.iter().flat_map(|payload| unframed(payload));
        std::mem::take(&mut self.before)
            .into_iter()
            .chain(heard)
            .collect()
    }

    /// The same as they are put together.
    pub(crate) fn payloads(&mut self, rig: &mut Rig<World>) -> Vec<String> {
        match self.transport {
            Transport::XhrPolling | Transport::JsonpPolling => self.polled(rig),
            Transport::HtmlFile | Transport::XhrMultipart => self.streamed(rig),
            _ => self.framed(rig),
        }
    }

    fn polled(&mut self, rig: &mut Rig<World>) -> Vec<String> {
        let mut payloads = Vec::new();
        while !self.is_over {
            let path = self.path(later(self.transport, &self.sid));
            let poll = self
                .receiver
                .get_or_insert_with(|| rig.start("GET", &path, "", b""));
            rig.settle();
            while poll.fill() {}
            if poll.got.is_empty() {
                break;
            }
            let answer = poll.answer(rig);
            self.receiver = None;
            if answer.status == 401 {
                assert_eq!(answer.text(), "");
                self.is_over = true;
                break;
            }
            assert_eq!(answer.status, 200, "{answer:?}");
            payloads.push(match self.transport {
                Transport::XhrPolling => answer.text(),
                _ => called(&answer.text(), 0),
            });
            // The id is not known yet.
            if self.sid.is_empty() {
                break;
            }
        }
        payloads
    }

    fn streamed(&mut self, rig: &mut Rig<World>) -> Vec<String> {
        let transport = self.transport;
        let stream = self.receiver.as_mut().unwrap();
        rig.settle();
        if !self.begun {
            let head = stream.head(rig);
            assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
            assert!(head.contains("Transfer-Encoding: chunked\r\n"), "{head}");
            let prelude = stream.chunk(rig).unwrap();
            match transport {
                Transport::HtmlFile => assert_eq!(prelude, format!("{:256}", "<html><body>")),
                _ => assert_eq!(prelude, "--socketio\n"),
            }
            self.begun = true;
        }
        while stream.fill() {}
        let mut payloads = Vec::new();
        while !stream.got.is_empty() {
            let Some(chunk) = stream.chunk(rig) else {
                self.is_over = true;
                break;
            };
            payloads.push(match transport {
                Transport::HtmlFile => {
                    string_in(&chunk, "<script>parent.s._(", ", document);</script>")
                }
                _ => {
                    let part = chunk.strip_prefix("Content-Type: text/plain; charset=UTF-8\n\n");
                    let part = part.and_then(|part| part.strip_suffix("\n--socketio\n"));
                    part.unwrap_or_else(|| panic!("{chunk:?}")).to_owned()
                }
            });
        }
        payloads
    }

    fn framed(&mut self, rig: &mut Rig<World>) -> Vec<String> {
        let socket = self.receiver.as_mut().unwrap();
        if !self.begun {
            let head = socket.head(rig);
            assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
            self.begun = true;
        }
        let mut frames = socket.frames(rig);
        if frames.last().is_some_and(|last| last.head == 0x88) {
            frames.pop();
            self.is_over = true;
        }
        frames.iter().map(Frame::text).collect()
    }

    /// Nothing comes.
    pub(crate) fn silent(&mut self, rig: &mut Rig<World>) {
        assert_eq!(self.hear(rig), [""; 0], "{:?}", self.transport);
        assert!(!self.is_over);
    }

    /// Sends messages, in one payload.
    pub(crate) fn say(&mut self, rig: &mut Rig<World>, all: &[&str]) {
        self.send_payload(rig, &payload(all));
    }

    /// Sends what stands for a payload; it is taken.
    pub(crate) fn send_payload(&mut self, rig: &mut Rig<World>, payload: &str) {
        if SOCKETS.contains(&self.transport) {
            let socket = self.receiver.as_mut().unwrap();
            socket.write_long(rig, &masked(0x81, payload.as_bytes()));
            rig.settle();
            return;
        }
        let answer = self.post(rig, &form(payload));
        assert_eq!((answer.status, &*answer.text()), (200, "ok"), "{payload}");
    }

    /// The answer to a body.
    pub(crate) fn post(&mut self, rig: &mut Rig<World>, body: &str) -> Answer {
        let path = self.path(sends(self.transport, &self.sid));
        rig.ask("POST", &path, FORM, body.as_bytes())
    }

    /// What is heard after a message.
    pub(crate) fn ask(&mut self, rig: &mut Rig<World>, data: &str) -> Vec<String> {
        self.say(rig, &[data]);
        self.hear(rig)
    }

    /// What is heard while time passes, with when; a polling client goes on polling.
    pub(crate) fn listen(&mut self, rig: &mut Rig<World>, seconds: u64) -> Vec<(u64, String)> {
        let mut heard = Vec::new();
        for second in 1..=seconds {
            rig.pass(secs(1));
            heard.extend(self.hear(rig).into_iter().map(|data| (second, data)));
            if self.is_over {
                break;
            }
        }
        heard
    }

    /// The server has closed: whoever receives is told by the end of it, and later requests by 401.
    pub(crate) fn is_closed(&mut self, rig: &mut Rig<World>) {
        assert_eq!(self.hear(rig), [""; 0], "{:?}", self.transport);
        assert!(self.is_over, "{:?}", self.transport);
        if let Some(mut socket) = self.receiver.take_if(|_| SOCKETS.contains(&self.transport)) {
            socket.write(&masked(0x88, b""));
            assert_eq!(socket.rest(rig), b"");
        }
        for transport in ALL {
            let mut again = rig.knock(transport, &later(transport, &self.sid), "");
            let answer = again.answer(rig);
            assert_eq!(
                (answer.status, &*answer.text()),
                (401, ""),
                "{transport:?} after {:?}",
                self.transport
            );
        }
        for transport in REQUESTS {
            let path = sends(transport, &self.sid);
            let body = form(&framed("late"));
            assert_eq!(rig.ask("POST", &path, FORM, body.as_bytes()).status, 401);
        }
    }

    /// The conn that it receives by.
    pub(crate) fn receiver(&mut self) -> &mut Client {
        self.receiver.as_mut().unwrap()
    }

    /// That conn, cut.
    pub(crate) fn cut(&mut self) {
        self.receiver.take().unwrap().reset();
        self.begun = false;
    }
}
