//! What events need beside the support of the other tests: clients that speak in packets, whatever carries
//! them.

pub(crate) use crate::sockjs::*;

use dustdevil::{Router, Routes, Settings, SocketIo, SocketIoSettings};
use std::rc::Rc;
use std::time::Duration;

/// A family, and the transport that its packets travel by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Socket.IO 0.9 on a WebSocket.
    Sio09Socket,
    /// Socket.IO 0.9 by xhr-polling.
    Sio09Polling,
}

impl Way {
    /// Those that have events, and endpoints.
    pub(crate) const EVENTS: [Self; 2] = [Self::Sio09Socket, Self::Sio09Polling];

    /// A named message, its arguments a JSON array; `ack`: the id under which an answer is wanted.
    pub(crate) fn event(self, at: &str, ack: Option<u32>, name: &str, args: &str) -> String {
        match self {
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
            (Self::Sio09Socket | Self::Sio09Polling, "[]") => format!("6::{at}:{id}"),
            (Self::Sio09Socket | Self::Sio09Polling, args) => format!("6::{at}:{id}+{args}"),
        }
    }

    /// A text.
    pub(crate) fn message(self, at: &str, text: &str) -> String {
        match self {
            Self::Sio09Socket | Self::Sio09Polling => format!("3::{at}:{text}"),
        }
    }

    /// Joins an endpoint, and says that it is joined.
    pub(crate) fn join(self, at: &str) -> String {
        match self {
            Self::Sio09Socket | Self::Sio09Polling => format!("1::{at}"),
        }
    }

    /// Leaves an endpoint; at the root the session ends.
    pub(crate) fn leave(self, at: &str) -> String {
        match self {
            Self::Sio09Socket | Self::Sio09Polling => format!("0::{at}"),
        }
    }

    /// Whether the session has ended with this packet.
    pub(crate) fn is_end(self, packet: &str) -> bool {
        match self {
            Self::Sio09Socket | Self::Sio09Polling => ["0::", "7:::1+0"].contains(&packet),
        }
    }

    /// Says that an endpoint is refused.
    pub(crate) fn refusal(self, at: &str) -> String {
        match self {
            Self::Sio09Socket | Self::Sio09Polling => format!("7::{at}:2"),
        }
    }
}

// ---- the server -------------------------------------------------------------------------------

/// Without heartbeats: where time has to pass, they would be all that is heard.
pub(crate) fn quiet() -> SocketIoSettings {
    SocketIoSettings {
        heartbeat_interval: secs(0),
        ..SocketIoSettings::default()
    }
}

pub(crate) fn sio(settings: SocketIoSettings) -> SocketIo {
    SocketIo {
        settings,
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

/// A script that acts on the first argument of an event `do` or `later`, which is a word.
pub(crate) fn acting(
    f: impl Fn(&mut Probe, &mut dustdevil::Cx<'_, Probe>, &str) + 'static,
) -> Script {
    Script {
        act: Box::new(move |me, cx, args| f(me, cx, args[0].as_str().unwrap())),
        ..Script::default()
    }
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
        let answer = rig.ask("GET", &format!("{prefix}/1/{query}"), "", b"");
        let mut peer = Self::of_answer(way, prefix, &answer);
        assert_eq!(peer.hear(rig), [way.join("")]);
        peer
    }

    /// A session that has heard nothing but the answer to its handshake.
    pub(crate) fn of_answer(way: Way, prefix: &str, answer: &Answer) -> Self {
        assert_eq!(answer.status, 200, "{answer:?}");
        Self {
            way,
            id: answer.text().split(':').next().unwrap().to_owned(),
            prefix: prefix.to_owned(),
            receiver: None,
            is_over: false,
        }
    }

    fn path(&self) -> String {
        let transport = match self.way {
            Way::Sio09Socket => "websocket",
            Way::Sio09Polling => "xhr-polling",
        };
        format!("{}/1/{transport}/{}", self.prefix, self.id)
    }

    /// Sends a packet, and waits for nothing else.
    pub(crate) fn say(&mut self, rig: &mut Rig<World>, packet: &str) {
        match self.way {
            Way::Sio09Socket => {
                let socket = self.receiver.as_mut().unwrap();
                socket.write_long(rig, &masked(0x81, packet.as_bytes()));
            }
            Way::Sio09Polling => {
                let answer = rig.ask("POST", &self.path(), "", packet.as_bytes());
                assert_eq!((answer.status, answer.text().as_str()), (200, "1"));
            }
        }
        rig.settle();
    }

    /// Sends several packets at once.
    pub(crate) fn say_all(&mut self, rig: &mut Rig<World>, packets: &[String]) {
        match self.way {
            Way::Sio09Socket => {
                let frames = packets.iter().map(|text| masked(0x81, text.as_bytes()));
                let frames: Vec<u8> = frames.flatten().collect();
                self.receiver.as_mut().unwrap().write_long(rig, &frames);
                rig.settle();
            }
            Way::Sio09Polling => self.say(rig, &payload(packets)),
        }
    }

    /// Sends several packets at once by a POST whose answer is the caller's.
    pub(crate) fn post(&mut self, rig: &mut Rig<World>, packets: &[String]) -> Client {
        rig.start("POST", &self.path(), "", payload(packets).as_bytes())
    }

    /// All packets that come before the server rests.
    pub(crate) fn hear(&mut self, rig: &mut Rig<World>) -> Vec<String> {
        let packets = match self.way {
            Way::Sio09Socket => self.hear_frames(rig),
            Way::Sio09Polling => self.hear_polls(rig),
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
            assert!(is_end, "{end:?} without a word");
        }
        frames.iter().map(Frame::text).collect()
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
            assert_eq!(answer.status, 200, "{answer:?}");
            self.receiver = None;
            packets.extend(packets_of(&answer.text()));
        }
        packets.retain(|packet| packet != "8::");
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
        let packet = self.way.event("", None, "do", &format!("[\"{what}\"]"));
        self.ask(rig, &packet)
    }

    /// The same at an endpoint.
    pub(crate) fn act_at(&mut self, rig: &mut Rig<World>, at: &str, what: &str) -> Vec<String> {
        let packet = self.way.event(at, None, "do", &format!("[\"{what}\"]"));
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
