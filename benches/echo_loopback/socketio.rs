//! Socket.IO as the load client speaks it, by version: a message over a WebSocket, or by xhr-polling.
//!
//! The server gives a session its name. What polls and sends are answered with is learned once, as
//! for SockJS.

use std::net::SocketAddr;

use crate::codec::{Codec, Open, Reply, Step, masked_frame, plain_frame, upgrade, upgraded};
use crate::http::{Answer, Asker, field, head};

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// 0.6: a message is a text.
    V06,
    /// 0.7 to 0.9: a message is an event.
    V09,
}

impl Version {
    /// Whether a server offers it at `/socket.io`.
    pub(crate) fn is_offered(self, addr: SocketAddr) -> bool {
        let request = self.greeting(&addr.to_string());
        let asked = Asker::connect(addr).and_then(|mut asker| asker.ask(&request));
        asked.is_ok_and(|answer| self.session_id(&answer.head, answer.body()).is_ok())
    }

    /// The request that makes a session: the first poll, or the handshake.
    fn greeting(self, host: &str) -> Vec<u8> {
        let path = match self {
            Self::V06 => "/socket.io/xhr-polling//1",
            Self::V09 => "/socket.io/1/",
        };
        get(host, path)
    }

    /// The name of a session, out of the answer to that.
    fn session_id(self, head: &str, body: &[u8]) -> Result<String, String> {
        let text = String::from_utf8_lossy(body);
        let id = match self {
            Self::V06 => only_framed(&text),
            Self::V09 => text.split_once(':').map(|(id, _)| id),
        };
        match id {
            Some(id) if head.starts_with("HTTP/1.1 200 ") && !id.is_empty() => Ok(id.to_owned()),
            _ => Err(format!("a handshake was answered with {head:?} {text:?}")),
        }
    }

    /// How much of the input was the answer, if all of it is there; the session's name is learned.
    fn greeted(self, input: &[u8], name: &mut String) -> Result<Option<usize>, String> {
        let Some(head) = head(input) else {
            return Ok(None);
        };
        let len = field(&head, "content-length").map(|at| head[at].parse::<usize>());
        let Some(Ok(len)) = len else {
            return Err(format!("a handshake was answered with {head:?}"));
        };
        let used = head.len() + len;
        if input.len() < used {
            return Ok(None);
        }
        *name = self.session_id(&head, &input[head.len()..used])?;
        Ok(Some(used))
    }

    /// One message as it goes, and as it comes back: of one text. The payloads are ASCII, and have nothing
    /// that JSON escapes. `event` is its name, where messages have one.
    fn packet(self, event: &str, payload: &[u8]) -> Vec<u8> {
        let (head, tail) = match self {
            Self::V06 => (format!("~m~{}~m~", payload.len()), ""),
            Self::V09 => (format!("5:::{{\"name\":\"{event}\",\"args\":[\""), "\"]}"),
        };
        [head.as_bytes(), payload, tail.as_bytes()].concat()
    }

    fn poll(self, host: &str, id: &str) -> Vec<u8> {
        let path = match self {
            Self::V06 => format!("/socket.io/xhr-polling/{id}/1"),
            Self::V09 => format!("/socket.io/1/xhr-polling/{id}"),
        };
        get(host, &path)
    }

    fn send(self, host: &str, id: &str, packet: &[u8]) -> Vec<u8> {
        let (path, content_type, body) = match self {
            Self::V06 => (
                format!("/socket.io/xhr-polling/{id}/send"),
                "application/x-www-form-urlencoded; charset=utf-8",
                form(packet),
            ),
            Self::V09 => (
                format!("/socket.io/1/xhr-polling/{id}"),
                "text/plain;charset=UTF-8",
                packet.to_vec(),
            ),
        };
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {content_type}\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        [head.into_bytes(), body].concat()
    }

    /// The body of the answer to a send.
    fn accepted(self) -> &'static [u8] {
        match self {
            Self::V06 => b"ok",
            Self::V09 => b"1",
        }
    }
}

/// A message is one that comes back as it went.
pub(crate) struct WebSocket {
    pub(crate) host: String,
    pub(crate) version: Version,
    /// Its name, where messages have one.
    pub(crate) event: &'static str,
}

impl Codec for WebSocket {
    fn open(
        &self,
        _line: usize,
        name: &mut String,
        step: usize,
        input: &[u8],
    ) -> Result<Open, String> {
        let send = |used, bytes| Ok(Open::Send { used, bytes });
        match (self.version, step) {
            (Version::V06, 0) => send(0, upgrade(&self.host, "/socket.io/websocket")),
            (Version::V09, 0) => send(0, self.version.greeting(&self.host)),
            (Version::V09, 1) => match self.version.greeted(input, name)? {
                Some(used) => {
                    let path = format!("/socket.io/1/websocket/{name}");
                    send(used, upgrade(&self.host, &path))
                }
                None => Ok(Open::Wait),
            },
            _ => match (upgraded(input)?, self.version) {
                (Some(used), Version::V06) => named(&input[used..], name, used),
                (Some(used), Version::V09) => {
                    starts_with(&input[used..], &plain_frame(CONNECTED), used)
                }
                (None, _) => Ok(Open::Wait),
            },
        }
    }

    fn message(&self, _name: &str, payload: &[u8], serial: u32) -> Vec<Step> {
        let packet = self.version.packet(self.event, payload);
        vec![Step::one(
            masked_frame(&packet, serial),
            plain_frame(&packet),
        )]
    }
}

/// A message is a round: a send and its answer, then a poll that finds the echo.
pub(crate) struct Polling {
    host: String,
    version: Version,
    /// The answer to a send.
    accepted: Reply,
    /// The answer to a poll, the packet last. It has the length that it has for all messages of a case.
    polled: Reply,
}

impl Polling {
    /// Opens a session and has one message of so many bytes echoed.
    pub(crate) fn learn(
        addr: SocketAddr,
        version: Version,
        payload_len: usize,
    ) -> Result<Self, String> {
        let host = addr.to_string();
        let packet = version.packet("echo", &vec![b'x'; payload_len]);
        let mut asker = Asker::connect(addr).map_err(|error| format!("Socket.IO: {error}"))?;
        let mut ask = |request: &[u8]| -> Result<Answer, String> {
            asker
                .ask(request)
                .map_err(|error| format!("xhr-polling: {error}"))
        };
        let greeted = ask(&version.greeting(&host))?;
        let id = version.session_id(&greeted.head, greeted.body())?;
        let mut heard = |request: &[u8], body: &[u8]| {
            let answer = ask(request)?;
            if answer.status() != "200" || answer.body() != body {
                let shown = String::from_utf8_lossy(&answer.bytes);
                return Err(format!("xhr-polling was answered with {shown:?}"));
            }
            Ok(answer.reply())
        };
        let poll = version.poll(&host, &id);
        if version == Version::V09 {
            heard(&poll, CONNECTED)?;
        }
        let accepted = heard(&version.send(&host, &id, &packet), version.accepted())?;
        let polled = heard(&poll, &packet)?;
        Ok(Self {
            host,
            version,
            accepted,
            polled,
        })
    }
}

impl Codec for Polling {
    fn open(
        &self,
        _line: usize,
        name: &mut String,
        step: usize,
        input: &[u8],
    ) -> Result<Open, String> {
        match step {
            0 => Ok(Open::Send {
                used: 0,
                bytes: self.version.greeting(&self.host),
            }),
            1 => Ok(match (self.version.greeted(input, name)?, self.version) {
                (Some(used), Version::V06) => Open::Done { used },
                (Some(used), Version::V09) => Open::Send {
                    used,
                    bytes: self.version.poll(&self.host, name),
                },
                (None, _) => Open::Wait,
            }),
            _ => match head(input) {
                Some(head) if head.starts_with("HTTP/1.1 200 ") => {
                    starts_with(&input[head.len()..], CONNECTED, head.len())
                }
                Some(head) => Err(format!("a poll was answered with {head:?}")),
                None => Ok(Open::Wait),
            },
        }
    }

    fn says_name(&self) -> bool {
        true
    }

    fn message(&self, name: &str, payload: &[u8], _serial: u32) -> Vec<Step> {
        let packet = self.version.packet("echo", payload);
        let mut polled = self.polled.clone();
        let start = polled.bytes.len() - packet.len();
        polled.bytes[start..].copy_from_slice(&packet);
        let send = self.version.send(&self.host, name, &packet);
        vec![
            Step::one(send, self.accepted.clone()),
            Step::one(self.version.poll(&self.host, name), polled),
        ]
    }
}

/// The first packet of a session, where its name came before.
const CONNECTED: &[u8] = b"1::";

fn get(host: &str, path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes()
}

/// A body as browsers post it.
fn form(packet: &[u8]) -> Vec<u8> {
    let mut body = b"data=".to_vec();
    for &byte in packet {
        match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'~' => body.push(byte),
            _ => body.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
    body
}

/// The text of a payload of 0.6 that has one message; names have a byte for each character.
fn only_framed(payload: &str) -> Option<&str> {
    let (len, text) = payload.strip_prefix("~m~")?.split_once("~m~")?;
    (len.parse() == Ok(text.len())).then_some(text)
}

/// Whether a conn is open that must hear the name of its session after `before` bytes.
fn named(input: &[u8], name: &mut String, before: usize) -> Result<Open, String> {
    let [0x81, len @ 0..=125, rest @ ..] = input else {
        return match input.len() {
            0 | 1 => Ok(Open::Wait),
            _ => Err("a session did not begin with its name".to_owned()),
        };
    };
    let Some(payload) = rest.get(..usize::from(*len)) else {
        return Ok(Open::Wait);
    };
    let payload = String::from_utf8_lossy(payload);
    match only_framed(&payload) {
        Some(id) if !id.is_empty() => {
            *name = id.to_owned();
            let used = before + 2 + usize::from(*len);
            Ok(Open::Done { used })
        }
        _ => Err(format!(
            "a session did not begin with its name, but with {payload:?}"
        )),
    }
}

/// Whether a conn is open that must hear `wanted` after `before` bytes.
fn starts_with(input: &[u8], wanted: &[u8], before: usize) -> Result<Open, String> {
    if input.starts_with(wanted) {
        let used = before + wanted.len();
        Ok(Open::Done { used })
    } else if wanted.starts_with(input) {
        Ok(Open::Wait)
    } else {
        let shown = String::from_utf8_lossy(&input[..input.len().min(60)]);
        Err(format!(
            "a session was not opened, but answered with {shown:?}"
        ))
    }
}
