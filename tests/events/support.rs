//! What events need beside the support of the other tests: clients that speak in packets, whatever carries
//! them.

pub(crate) use crate::sockjs::*;

use dustdevil::{
    Message, Router, Routes, Settings, SocketIo, SocketIo06, SocketIo06Settings, SocketIoSettings,
    Target,
};
use std::rc::Rc;
use std::time::Duration;

/// A family, and the transport that its packets travel by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Socket.IO 0.6 on a WebSocket.
    Sio06Socket,
    /// Socket.IO 0.6 by xhr-polling.
    Sio06Polling,
    /// Socket.IO 0.9 on a WebSocket.
    Sio09Socket,
    /// Socket.IO 0.9 by xhr-polling.
    Sio09Polling,
}

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Text(&'static str),
    /// JSON.
    Value(&'static str),
}

impl Way {
    pub(crate) const ALL: [Self; 4] = [
        Self::Sio06Socket,
        Self::Sio06Polling,
        Self::Sio09Socket,
        Self::Sio09Polling,
    ];
    pub(crate) const SOCKETS: [Self; 2] = [Self::Sio06Socket, Self::Sio09Socket];
    pub(crate) const POLLS: [Self; 2] = [Self::Sio06Polling, Self::Sio09Polling];
    /// Those that have events, and endpoints.
    pub(crate) const EVENTS: [Self; 2] = [Self::Sio09Socket, Self::Sio09Polling];

    pub(crate) fn is_socket(self) -> bool {
        Self::SOCKETS.contains(&self)
    }

    pub(crate) fn has_events(self) -> bool {
        Self::EVENTS.contains(&self)
    }

    fn has_none(self) -> ! {
        panic!("{self:?} has nothing like that")
    }

    /// Has the application do something: an event `do`, or a text that stands for it.
    pub(crate) fn act(self, at: &str, word: &str) -> String {
        match self.has_events() {
            true => self.event(at, None, "do", &format!("[\"{word}\"]")),
            false => self.message(at, &format!("{DO}{word}")),
        }
    }

    /// A named message, its arguments a JSON array; `ack`: the id under which an answer is wanted.
    pub(crate) fn event(self, at: &str, ack: Option<u32>, name: &str, args: &str) -> String {
        match self {
            Self::Sio06Socket | Self::Sio06Polling => self.has_none(),
            Self::Sio09Socket | Self::Sio09Polling => {
                let ack = ack.map_or(String::new(), |id| format!("{id}+"));
                let args = match args {
                    "[]" => String::new(),
                    args => format!(",\"args\":{args}"),
                };
                format!("5:{ack}:{at}:{{\"name\":\"{name}\"{args}}}")
            }
        }
    }

    /// The answer to such a packet.
    pub(crate) fn answer(self, at: &str, id: u32, args: &str) -> String {
        match (self, args) {
            (Self::Sio06Socket | Self::Sio06Polling, _) => self.has_none(),
            (Self::Sio09Socket | Self::Sio09Polling, "[]") => format!("6::{at}:{id}"),
            (Self::Sio09Socket | Self::Sio09Polling, args) => format!("6::{at}:{id}+{args}"),
        }
    }

    /// A text.
    pub(crate) fn message(self, at: &str, text: &str) -> String {
        match self {
            Self::Sio06Socket | Self::Sio06Polling if at.is_empty() => text.to_owned(),
            Self::Sio06Socket | Self::Sio06Polling => self.has_none(),
            Self::Sio09Socket | Self::Sio09Polling => format!("3::{at}:{text}"),
        }
    }

    /// What the application says, at the root.
    pub(crate) fn said(self, said: Said) -> String {
        match said {
            Said::Text(text) => self.message("", text),
            Said::Value(json) => self.value(json),
        }
    }

    /// Sends a number: as the argument of an event, or alone where there are none.
    pub(crate) fn tell<S: 'static>(self, to: Target<'_, S>, name: &str, n: usize) -> usize {
        match self.has_events() {
            true => to.emit(name, n),
            false => to.send(n.to_string()),
        }
    }

    /// What is heard then.
    pub(crate) fn told(self, name: &str, n: usize) -> String {
        match self.has_events() {
            true => self.event("", None, name, &format!("[{n}]")),
            false => self.message("", &n.to_string()),
        }
    }

    /// A value, at the root.
    pub(crate) fn value(self, json: &str) -> String {
        match self {
            Self::Sio06Socket | Self::Sio06Polling => format!("~j~{json}"),
            Self::Sio09Socket | Self::Sio09Polling => format!("4:::{json}"),
        }
    }

    /// Joins an endpoint, and says that it is joined.
    pub(crate) fn join(self, at: &str) -> String {
        match self {
            Self::Sio06Socket | Self::Sio06Polling => self.has_none(),
            Self::Sio09Socket | Self::Sio09Polling => format!("1::{at}"),
        }
    }

    /// Leaves an endpoint; at the root the session ends.
    pub(crate) fn leave(self, at: &str) -> String {
        match self {
            Self::Sio06Socket | Self::Sio06Polling => self.has_none(),
            Self::Sio09Socket | Self::Sio09Polling => format!("0::{at}"),
        }
    }

    /// What a client is told before its session ends, if it is told in a packet.
    pub(crate) fn end(self) -> Vec<String> {
        let packet = self.has_events().then(|| self.leave(""));
        packet.into_iter().collect()
    }

    /// Whether the session has ended with this packet. In 0.6 there is none: the WebSocket is closed, or the
    /// next poll is refused.
    pub(crate) fn is_end(self, packet: &str) -> bool {
        match self {
            Self::Sio06Socket | Self::Sio06Polling => false,
            Self::Sio09Socket | Self::Sio09Polling => ["0::", "7:::1+0"].contains(&packet),
        }
    }

    /// The answer to a POST.
    pub(crate) fn thanks(self) -> &'static str {
        match self {
            Self::Sio06Socket | Self::Sio06Polling => "ok",
            Self::Sio09Socket | Self::Sio09Polling => "1",
        }
    }

    /// Says that an endpoint is refused.
    pub(crate) fn refusal(self, at: &str) -> String {
        match self {
            Self::Sio06Socket | Self::Sio06Polling => self.has_none(),
            Self::Sio09Socket | Self::Sio09Polling => format!("7::{at}:2"),
        }
    }
}

/// What a text begins with that stands for an event `do`.
const DO: &str = "do:";

// ---- the server -------------------------------------------------------------------------------

/// Without heartbeats: where time has to pass, they would be all that is heard.
pub(crate) fn quiet() -> SocketIoSettings {
    SocketIoSettings {
        heartbeat_interval: secs(0),
        ..SocketIoSettings::default()
    }
}

pub(crate) fn sio(settings: SocketIoSettings) -> SocketIo {
    let old = SocketIo06 {
        settings: SocketIo06Settings {
            heartbeat_interval: settings.heartbeat_interval,
            ..SocketIo06Settings::default()
        },
        ..SocketIo06::default()
    };
    SocketIo {
        settings,
        socketio06: Some(old),
        ..SocketIo::default()
    }
}

/// A server with one class at `/socket.io`.
pub(crate) fn events(script: Script) -> (Rig<World>, Rc<Script>) {
    events_with(script, Settings::default(), quiet())
}

pub(crate) fn events_with(
    script: Script,
    settings: Settings,
    of: SocketIoSettings,
) -> (Rig<World>, Rc<Script>) {
    let script = Rc::new(script);
    let routes = Routes::new().socketio("/socket.io", &router(&script), sio(of));
    (Rig::new(World::new(), settings, routes), script)
}

/// A server whose root has an endpoint `/chat`.
pub(crate) fn with_chat(root: Script, chat: Script) -> (Rig<World>, [Rc<Script>; 2]) {
    with_chat_and(root, chat, Settings::default(), quiet())
}

pub(crate) fn with_chat_and(
    root: Script,
    chat: Script,
    settings: Settings,
    of: SocketIoSettings,
) -> (Rig<World>, [Rc<Script>; 2]) {
    let scripts = [Rc::new(root), Rc::new(chat)];
    let router = router(&scripts[0]).endpoint("/chat", &router(&scripts[1]));
    let routes = Routes::new().socketio("/socket.io", &router, sio(of));
    (Rig::new(World::new(), settings, routes), scripts)
}

/// A server with a class of the test's own at the root.
pub(crate) fn serving<C>(router: Router<C>) -> Rig<World>
where
    C: dustdevil::Connection<State = World>,
{
    let routes = Routes::new().socketio("/socket.io", &router, sio(quiet()));
    Rig::new(World::new(), Settings::default(), routes)
}

/// A script that acts on the first argument of an event `do` or `later`, which is a word; or on a text that
/// stands for such an event. Other messages go back.
pub(crate) fn acting(
    f: impl Fn(&mut Probe, &mut dustdevil::Cx<'_, Probe>, &str) + 'static,
) -> Script {
    let f = Rc::new(f);
    let by_text = Rc::clone(&f);
    Script {
        act: Box::new(move |me, cx, args| f(me, cx, args[0].as_str().unwrap())),
        message: Box::new(move |me, cx, message| match acted(&message) {
            Some(word) => by_text(me, cx, word),
            None => {
                cx.send(message);
            }
        }),
        ..Script::default()
    }
}

/// The word of a text that stands for an event `do`.
pub(crate) fn acted<'a>(message: &Message<'a>) -> Option<&'a str> {
    message.text().and_then(|text| text.strip_prefix(DO))
}

impl Rig<World> {
    pub(crate) fn peer(&mut self, way: Way) -> Peer {
        Peer::open(self, way, "/socket.io", "")
    }

    /// What the application has written down since it was asked last.
    pub(crate) fn noted(&mut self) -> Vec<String> {
        self.state(std::mem::take)
    }

    /// All clients leave without a word: nothing of them stays.
    pub(crate) fn left<T>(&mut self, script: &Script, peers: T) {
        self.over_after(secs(50), script, peers);
    }
}

// ---- the client -------------------------------------------------------------------------------

/// A client that speaks in packets.
pub(crate) struct Peer {
    pub(crate) way: Way,
    pub(crate) id: String,
    prefix: String,
    /// Its WebSocket, or its poll that waits.
    receiver: Option<Client>,
    /// Whether the session has ended.
    pub(crate) is_over: bool,
}

impl Peer {
    /// A session whose root is connected.
    pub(crate) fn open(rig: &mut Rig<World>, way: Way, prefix: &str, query: &str) -> Self {
        let (peer, heard) = Self::greeted(rig, way, prefix, query);
        assert_eq!(heard, [""; 0]);
        peer
    }

    /// The same, and what it hears at once.
    pub(crate) fn greeted(
        rig: &mut Rig<World>,
        way: Way,
        prefix: &str,
        query: &str,
    ) -> (Self, Vec<String>) {
        let mut peer = match way.has_events() {
            true => {
                let answer = rig.ask("GET", &format!("{prefix}/1/{query}"), "", b"");
                Self::of_answer(way, prefix, &answer)
            }
            false => Self::new(way, prefix, ""),
        };
        let mut heard = peer.hear(rig);
        assert!(!heard.is_empty(), "{way:?}: no session");
        match way.has_events() {
            true => assert_eq!(heard.remove(0), way.join("")),
            false => assert_eq!(heard.remove(0).len(), 32),
        }
        (peer, heard)
    }

    /// A session that has heard nothing but the answer to its handshake.
    pub(crate) fn of_answer(way: Way, prefix: &str, answer: &Answer) -> Self {
        assert_eq!(answer.status, 200, "{answer:?}");
        Self::new(way, prefix, answer.text().split(':').next().unwrap())
    }

    fn new(way: Way, prefix: &str, id: &str) -> Self {
        Self {
            way,
            id: id.to_owned(),
            prefix: prefix.to_owned(),
            receiver: None,
            is_over: false,
        }
    }

    /// Where it listens.
    fn path(&self) -> String {
        let (prefix, id) = (&self.prefix, &self.id);
        match self.way {
            Way::Sio06Socket => format!("{prefix}/websocket/{id}"),
            Way::Sio06Polling => format!("{prefix}/xhr-polling/{id}/1290000000000"),
            Way::Sio09Socket => format!("{prefix}/1/websocket/{id}"),
            Way::Sio09Polling => format!("{prefix}/1/xhr-polling/{id}"),
        }
    }

    /// Sends a packet, and waits for nothing else.
    pub(crate) fn say(&mut self, rig: &mut Rig<World>, packet: &str) {
        self.say_all(rig, &[packet.to_owned()]);
    }

    /// Sends several packets at once.
    pub(crate) fn say_all(&mut self, rig: &mut Rig<World>, packets: &[String]) {
        if self.way.is_socket() {
            let payloads = packets.iter().map(|packet| match self.way.has_events() {
                true => packet.clone(),
                false => framed(packet),
            });
            let frames = payloads.map(|payload| masked(0x81, payload.as_bytes()));
            let frames: Vec<u8> = frames.flatten().collect();
            self.receiver.as_mut().unwrap().write_long(rig, &frames);
        } else {
            let answer = self.post(rig, packets).answer(rig);
            let got = (answer.status, answer.text());
            assert_eq!(got, (200, self.way.thanks().to_owned()));
        }
        rig.settle();
    }

    /// Sends several packets at once by a POST whose answer is the caller's.
    pub(crate) fn post(&mut self, rig: &mut Rig<World>, packets: &[String]) -> Client {
        if self.way.has_events() {
            return rig.start("POST", &self.path(), "", payload(packets).as_bytes());
        }
        let path = format!("{}/xhr-polling/{}/send", self.prefix, self.id);
        let payload: String = packets.iter().map(|packet| framed(packet)).collect();
        let escaped = payload.bytes().map(|byte| format!("%{byte:02X}"));
        let body = format!("data={}", escaped.collect::<String>());
        let lines = "Content-Type: application/x-www-form-urlencoded\r\n";
        rig.start("POST", &path, lines, body.as_bytes())
    }

    /// All packets that come before the server rests.
    pub(crate) fn hear(&mut self, rig: &mut Rig<World>) -> Vec<String> {
        let packets = match self.way.is_socket() {
            true => self.hear_frames(rig),
            false => self.hear_polls(rig),
        };
        self.is_over |= packets.last().is_some_and(|last| self.way.is_end(last));
        packets
    }

    fn hear_frames(&mut self, rig: &mut Rig<World>) -> Vec<String> {
        let path = self.path();
        let socket = self.receiver.get_or_insert_with(|| rig.client(&path));
        let mut frames = socket.frames(rig);
        if frames.last().is_some_and(|last| last.head == 0x88) {
            let end = frames.pop();
            let last = frames.last().map(Frame::text);
            let is_end = last.is_some_and(|last| self.way.is_end(&last));
            assert!(is_end || !self.way.has_events(), "{end:?} without a word");
            self.is_over = true;
        }
        let texts = frames.iter().map(Frame::text);
        texts.flat_map(|text| self.packets_in(text)).collect()
    }

    fn hear_polls(&mut self, rig: &mut Rig<World>) -> Vec<String> {
        let way = self.way;
        let mut packets = Vec::new();
        let is_end = |packets: &Vec<String>| packets.last().is_some_and(|last| way.is_end(last));
        while !self.is_over && !is_end(&packets) {
            let path = self.path();
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
            if answer.status == 401 && !way.has_events() {
                self.is_over = true;
                break;
            }
            assert_eq!(answer.status, 200, "{answer:?}");
            packets.extend(self.packets_in(answer.text()));
        }
        packets.retain(|packet| packet != "8::");
        packets
    }

    /// What a payload is made of. The first message of 0.6 is the name of the session.
    fn packets_in(&mut self, payload: String) -> Vec<String> {
        let packets = match self.way {
            Way::Sio06Socket | Way::Sio06Polling => unframed(&payload),
            Way::Sio09Socket => vec![payload],
            Way::Sio09Polling => packets_of(&payload),
        };
        if let ("", [id, ..]) = (&*self.id, &packets[..]) {
            self.id.clone_from(id);
        }
        packets
    }

    /// Nothing comes.
    pub(crate) fn silent(&mut self, rig: &mut Rig<World>) {
        assert_eq!(self.hear(rig), [""; 0]);
    }

    /// What is heard while time passes, and a polling client goes on polling.
    pub(crate) fn hear_for(&mut self, rig: &mut Rig<World>, mut time: Duration) -> Vec<String> {
        let mut packets = Vec::new();
        while !time.is_zero() {
            let step = time.min(secs(5));
            rig.pass(step);
            time -= step;
            packets.extend(self.hear(rig));
        }
        packets
    }

    /// What is heard after a packet.
    pub(crate) fn ask(&mut self, rig: &mut Rig<World>, packet: &str) -> Vec<String> {
        self.say(rig, packet);
        self.hear(rig)
    }

    /// Has the application do something.
    pub(crate) fn act(&mut self, rig: &mut Rig<World>, what: &str) -> Vec<String> {
        let packet = self.way.act("", what);
        self.ask(rig, &packet)
    }

    /// The same at an endpoint.
    pub(crate) fn act_at(&mut self, rig: &mut Rig<World>, at: &str, what: &str) -> Vec<String> {
        let packet = self.way.act(at, what);
        self.ask(rig, &packet)
    }

    /// Connects to an endpoint, which answers.
    pub(crate) fn join(&mut self, rig: &mut Rig<World>, at: &str) {
        let packet = self.way.join(at);
        assert_eq!(self.ask(rig, &packet), [packet.as_str()]);
    }

    /// The conn that it receives by.
    pub(crate) fn receiver(&mut self) -> &mut Client {
        self.receiver.as_mut().unwrap()
    }

    /// That conn is cut; the session may go on.
    pub(crate) fn cut(&mut self) {
        self.receiver.take().unwrap().reset();
    }
}

/// Several packets in one body; lengths are counted as browsers do.
pub(crate) fn payload(packets: &[String]) -> String {
    if let [packet] = packets {
        return packet.clone();
    }
    let framed = packets.iter().map(|packet| {
        let len = packet.encode_utf16().count();
        format!("\u{fffd}{len}\u{fffd}{packet}")
    });
    framed.collect()
}

/// The packets of such a body.
pub(crate) fn packets_of(body: &str) -> Vec<String> {
    let Some(mut rest) = body.strip_prefix('\u{fffd}') else {
        return vec![body.to_owned()];
    };
    let mut packets = Vec::new();
    loop {
        let (len, text) = rest.split_once('\u{fffd}').unwrap();
        let units: Vec<u16> = text.encode_utf16().collect();
        let len: usize = len.parse().unwrap();
        packets.push(String::from_utf16(&units[..len]).unwrap());
        let after = String::from_utf16(&units[len..]).unwrap();
        match text[text.len() - after.len()..].strip_prefix('\u{fffd}') {
            Some(next) => rest = next,
            None => {
                assert_eq!(after, "");
                return packets;
            }
        }
    }
}

/// A message of 0.6 with its head.
fn framed(data: &str) -> String {
    format!("~m~{}~m~{data}", data.encode_utf16().count())
}

/// The messages of a payload of 0.6.
fn unframed(payload: &str) -> Vec<String> {
    let mut rest: Vec<u16> = payload.encode_utf16().collect();
    let mut messages = Vec::new();
    while !rest.is_empty() {
        let text = String::from_utf16(&rest).unwrap();
        let (len, data) = text.strip_prefix("~m~").unwrap().split_once("~m~").unwrap();
        let units: Vec<u16> = data.encode_utf16().collect();
        let (data, behind) = units.split_at(len.parse().unwrap());
        messages.push(String::from_utf16(data).unwrap());
        rest = behind.to_vec();
    }
    messages
}
