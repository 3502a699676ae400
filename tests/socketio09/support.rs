//! What Socket.IO needs beside answers: handshakes, polls, sends, streams and sockets; payloads.

pub(crate) use crate::answers::*;
pub(crate) use crate::websocket::*;

use dustdevil::{
    Cause, OriginPolicy, Origins, Router, Routes, Settings, SocketIo, SocketIoSettings, Transport,
};
use std::rc::Rc;
use std::time::Duration;

/// Where the handshake is.
pub(crate) const SHAKE: &str = "/socket.io/1/";
/// What is told to who asks for a session that there is not.
pub(crate) const UNKNOWN: &str = "7:::1+0";
pub(crate) const FFFD: char = '\u{fffd}';

/// A server with one class at `/socket.io`, which any page may use.
pub(crate) fn sio(script: Script) -> (Rig<World>, Rc<Script>) {
    sio_with(script, Settings::default(), mount(calm()))
}

/// The same, with settings of the mount.
pub(crate) fn sio_of(script: Script, of: SocketIoSettings) -> (Rig<World>, Rc<Script>) {
    sio_with(script, Settings::default(), mount(of))
}

pub(crate) fn sio_with(
    script: Script,
    settings: Settings,
    of: SocketIo,
) -> (Rig<World>, Rc<Script>) {
    let script = Rc::new(script);
    let router = router(&script);
    (serve(&router, settings, of), script)
}

pub(crate) fn serve(router: &Router<Probe>, settings: Settings, of: SocketIo) -> Rig<World> {
    let routes = Routes::new().socketio("/socket.io", router, of);
    Rig::new(World::new(), settings, routes)
}

/// A class with an endpoint `/chat`.
pub(crate) fn with_chat(
    root: Script,
    chat: Script,
    of: SocketIoSettings,
) -> (Rig<World>, Rc<Script>, Rc<Script>) {
    let (root, chat) = (Rc::new(root), Rc::new(chat));
    let router = router(&root).endpoint("/chat", &router(&chat));
    let rig = serve(&router, Settings::default(), mount(of));
    (rig, root, chat)
}

/// No heartbeats, and what expires does so at once.
pub(crate) fn calm() -> SocketIoSettings {
    SocketIoSettings {
        heartbeat_interval: Duration::ZERO,
        session_check_interval: Duration::ZERO,
        ..SocketIoSettings::default()
    }
}

pub(crate) fn mount(settings: SocketIoSettings) -> SocketIo {
    SocketIo {
        settings,
        origins: policy(Origins::Any),
        ..SocketIo::default()
    }
}

pub(crate) fn policy(origins: Origins) -> OriginPolicy {
    OriginPolicy {
        origins,
        ..OriginPolicy::default()
    }
}

pub(crate) fn causes(script: &Script) -> Vec<(usize, Cause)> {
    let closed = script.closed.borrow();
    closed.iter().map(|(n, why)| (*n, why.cause)).collect()
}

/// Notes what its clients do.
pub(crate) fn noting() -> Script {
    Script {
        open: Box::new(|me, cx, _| {
            let endpoint = cx.endpoint().unwrap_or_default();
            me.script.note(format!("open {}{endpoint}", me.n));
            Ok(())
        }),
        message: Box::new(|me, _, message| {
            let kind = if message.is_json() { "json" } else { "text" };
            let text = message.text().unwrap();
            me.script.note(format!("{kind} {text}"));
        }),
        event: Box::new(|me, _, event| {
            let args: Vec<&str> = (0..event.args.len())
                .filter_map(|at| event.args.raw(at))
                .collect();
            me.script
                .note(format!("event {} {}", event.name, args.join(" ")));
        }),
        ..Script::default()
    }
}

/// Echoes messages and events; closes on `close`, is rude on `panic`.
pub(crate) fn echo() -> Script {
    Script {
        message: Box::new(|_, cx, message| match message.text() {
            Some("close") => cx.close(),
            Some("panic") => panic!("{}", MEANT),
            _ => {
                cx.send(message);
            }
        }),
        event: Box::new(|_, cx, event| {
            let args: Vec<serde_json::Value> = (0..event.args.len())
                .map(|at| event.args.get(at).unwrap())
                .collect();
            match &args[..] {
                [] => cx.emit(event.name, ()),
                [one] => cx.emit(event.name, (one,)),
                [one, two, ..] => cx.emit(event.name, (one, two)),
            };
        }),
        ..Script::default()
    }
}

/// Several packets in one payload; one stands as it is.
pub(crate) fn payload(packets: &[&str]) -> String {
    match packets {
        [one] => (*one).to_owned(),
        _ => packets.iter().map(|packet| framed(packet)).collect(),
    }
}

/// A packet with its head.
pub(crate) fn framed(packet: &str) -> String {
    let units = packet.encode_utf16().count();
    format!("{FFFD}{units}{FFFD}{packet}")
}

/// The packets of a payload; the lengths have to be right.
pub(crate) fn packets(payload: &str) -> Vec<String> {
    if !payload.starts_with(FFFD) {
        return vec![payload.to_owned()];
    }
    let mut units: Vec<u16> = payload.encode_utf16().collect();
    let mut found = Vec::new();
    while !units.is_empty() {
        assert_eq!(units[0], 0xfffd, "{payload:?}");
        let end = 1 + units[1..].iter().position(|unit| *unit == 0xfffd).unwrap();
        let length = String::from_utf16(&units[1..end]).unwrap();
        let behind = end + 1 + length.parse::<usize>().unwrap();
        found.push(String::from_utf16(&units[end + 1..behind]).unwrap());
        units.drain(..behind);
    }
    assert!(found.len() > 1, "one packet has no head: {payload:?}");
    found
}

/// The argument of a call that a script makes of function `index`.
pub(crate) fn called(script: &str, index: u32) -> String {
    let call = script.strip_prefix(&format!("io.j[{index}]("));
    let string = call.and_then(|call| call.strip_suffix(");"));
    let string = string.unwrap_or_else(|| panic!("{script:?}"));
    assert!(
        !string.contains(['<', '\u{2028}', '\u{2029}']),
        "{string:?}"
    );
    serde_json::from_str(string).unwrap()
}

pub(crate) fn path(transport: Transport, sid: &str) -> String {
    format!("/socket.io/1/{}/{sid}", transport.name())
}

pub(crate) fn polls(sid: &str) -> String {
    path(Transport::XhrPolling, sid)
}

pub(crate) fn sockets(sid: &str) -> String {
    path(Transport::WebSocket, sid)
}

impl Rig<World> {
    /// The id of a new session.
    pub(crate) fn shake(&mut self) -> String {
        self.shake_with("")
    }

    /// The same, with a query and header lines.
    pub(crate) fn shake_with(&mut self, query: &str) -> String {
        let answer = self.ask("GET", &format!("{SHAKE}{query}"), "", b"");
        assert_eq!(answer.status, 200, "{answer:?}");
        sid_of(&answer.text())
    }

    /// A new session whose first poll has been answered.
    pub(crate) fn session(&mut self) -> String {
        let sid = self.shake();
        assert_eq!(self.poll(&sid), "1::");
        sid
    }

    /// The answer to a poll.
    pub(crate) fn get(&mut self, sid: &str) -> Answer {
        self.ask("GET", &polls(sid), "", b"")
    }

    /// The payload of a poll that is answered.
    pub(crate) fn poll(&mut self, sid: &str) -> String {
        let answer = self.get(sid);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.text()
    }

    /// A poll that waits.
    pub(crate) fn hold(&mut self, sid: &str) -> Client {
        let mut client = self.start("GET", &polls(sid), "", b"");
        client.silent(self);
        client
    }

    /// The status of a send; the body is checked.
    pub(crate) fn post(&mut self, sid: &str, body: &str) -> u16 {
        let answer = self.ask("POST", &polls(sid), PLAIN, body.as_bytes());
        if answer.status == 200 {
            assert_eq!(answer.text(), "1");
        }
        answer.status
    }

    /// Sends packets, in one payload.
    pub(crate) fn push(&mut self, sid: &str, packets: &[&str]) {
        assert_eq!(self.post(sid, &payload(packets)), 200, "{packets:?}");
    }

    /// A WebSocket for a session, which has said nothing.
    pub(crate) fn attach(&mut self, sid: &str) -> Client {
        self.client(&sockets(sid))
    }

    /// A WebSocket for a new session, behind its `1::`.
    pub(crate) fn socket(&mut self) -> (String, Client) {
        let sid = self.shake();
        let mut client = self.attach(&sid);
        assert_eq!(client.text(self), "1::");
        (sid, client)
    }

    /// A htmlfile stream, behind its prelude.
    pub(crate) fn page(&mut self, sid: &str) -> Client {
        let mut client = self.start("GET", &path(Transport::HtmlFile, sid), "", b"");
        let head = client.head(self);
        assert!(head.contains("Transfer-Encoding: chunked"), "{head}");
        assert_eq!(client.chunk(self).unwrap().len(), 256);
        client
    }

    /// Another client is served, whatever its class does with messages.
    pub(crate) fn serves_another(&mut self) {
        let (_, mut client) = self.socket();
        client.send("3:1::still here");
        while client.text(self) != "6:::1" {}
        client.send("0::");
        client.told(self, "0::");
    }

    /// Nothing is left, at the latest when what nobody comes back to has expired.
    pub(crate) fn over<T>(&mut self, script: &Script, clients: T) {
        self.over_after(secs(46), script, clients);
    }
}

/// As clients send it.
pub(crate) const PLAIN: &str = "Content-Type: text/plain;charset=UTF-8\r\n";
pub(crate) const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

/// The id in the answer to a handshake.
pub(crate) fn sid_of(body: &str) -> String {
    let sid = body.split(':').next().unwrap();
    assert_eq!(sid.len(), 32, "{body:?}");
    sid.to_owned()
}

impl Client {
    /// What the next script of a htmlfile stream hands over.
    pub(crate) fn script(&mut self, rig: &mut Rig<World>) -> String {
        let chunk = self.chunk(rig).expect("the body has ended");
        let string = chunk.strip_prefix("<script>_(");
        let string = string.and_then(|chunk| chunk.strip_suffix(");</script>"));
        let string = string.unwrap_or_else(|| panic!("{chunk:?}"));
        assert!(
            !string.contains(['<', '\u{2028}', '\u{2029}']),
            "{string:?}"
        );
        serde_json::from_str(string).unwrap()
    }

    /// The last packet, the close frame, and the end.
    pub(crate) fn told(&mut self, rig: &mut Rig<World>, last: &str) {
        assert_eq!(self.text(rig), last);
        self.closes(rig);
    }

    /// A close frame of ours that is no reproach; it is answered, and the conn ends.
    pub(crate) fn closes(&mut self, rig: &mut Rig<World>) {
        let code = self.close_code(rig);
        assert!(matches!(code, None | Some(1000 | 1001)), "{code:?}");
        self.write(&masked(0x88, b""));
        assert_eq!(self.rest(rig), b"");
    }
}
