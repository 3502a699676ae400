//! Socket.IO 0.9 as the load client speaks it: an event over a WebSocket, or by xhr-polling.
//!
//! The server gives a session its name. What polls and sends are answered with is learned once, as
//! for SockJS.

use std::net::SocketAddr;

use crate::codec::{Codec, Open, Reply, Step, masked_frame, plain_frame, upgrade, upgraded};
use crate::http::{Answer, Asker, field, head};

/// Whether a server offers Socket.IO at `/socket.io`.
pub(crate) fn is_offered(addr: SocketAddr) -> bool {
    let asked = Asker::connect(addr).and_then(|mut asker| asker.ask(&shake(&addr.to_string())));
    asked.is_ok_and(|answer| session_id(&answer.head, answer.body()).is_ok())
}

/// `/socket.io/1/websocket/ID`. A message is an event that comes back as it went.
pub(crate) struct WebSocket {
    pub(crate) host: String,
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
        match step {
            0 => Ok(Open::Send {
                used: 0,
                bytes: shake(&self.host),
            }),
            1 => greeted(input, name, |id| {
                upgrade(&self.host, &format!("/socket.io/1/websocket/{id}"))
            }),
            _ => match upgraded(input)? {
                Some(used) => starts_with(&input[used..], &plain_frame(CONNECTED), used),
                None => Ok(Open::Wait),
            },
        }
    }

    fn message(&self, _name: &str, payload: &[u8], serial: u32) -> Vec<Step> {
        let packet = event(self.event, payload);
        vec![Step::one(
            masked_frame(&packet, serial),
            plain_frame(&packet),
        )]
    }
}

/// `/socket.io/1/xhr-polling/ID`. A message is a round: a send and its `1`, then a poll that finds the
/// echo.
pub(crate) struct Polling {
    host: String,
    /// The answer to a send.
    accepted: Reply,
    /// The answer to a poll, the packet last. It has the length that it has for all messages of a case.
    polled: Reply,
}

impl Polling {
    /// Opens a session and has one event of so many bytes echoed.
    pub(crate) fn learn(addr: SocketAddr, payload_len: usize) -> Result<Self, String> {
        let host = addr.to_string();
        let packet = event("echo", &vec![b'x'; payload_len]);
        let mut asker = Asker::connect(addr).map_err(|error| format!("Socket.IO: {error}"))?;
        let mut ask = |request: &[u8]| -> Result<Answer, String> {
            asker
                .ask(request)
                .map_err(|error| format!("xhr-polling: {error}"))
        };
        let shaken = ask(&shake(&host))?;
        let id = session_id(&shaken.head, shaken.body())?;
        let mut answers = Vec::new();
        for (request, body) in [
            (poll(&host, &id), CONNECTED),
            (send(&host, &id, &packet), b"1"),
            (poll(&host, &id), &packet),
        ] {
            let answer = ask(&request)?;
            if answer.status() != "200" || answer.body() != body {
                let shown = String::from_utf8_lossy(&answer.bytes);
                return Err(format!("xhr-polling was answered with {shown:?}"));
            }
            answers.push(answer.reply());
        }
        let [_, accepted, polled] = <[Reply; 3]>::try_from(answers).map_err(|_| "three answers")?;
        Ok(Self {
            host,
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
                bytes: shake(&self.host),
            }),
            1 => greeted(input, name, |id| poll(&self.host, id)),
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
        let packet = event("echo", payload);
        let mut polled = self.polled.clone();
        let start = polled.bytes.len() - packet.len();
        polled.bytes[start..].copy_from_slice(&packet);
        vec![
            Step::one(send(&self.host, name, &packet), self.accepted.clone()),
            Step::one(poll(&self.host, name), polled),
        ]
    }
}

/// The first packet of a session.
const CONNECTED: &[u8] = b"1::";

/// The request that makes a session.
fn shake(host: &str) -> Vec<u8> {
    format!("GET /socket.io/1/ HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes()
}

/// Goes on when the session has been made.
fn greeted(
    input: &[u8],
    name: &mut String,
    next: impl Fn(&str) -> Vec<u8>,
) -> Result<Open, String> {
    let Some(head) = head(input) else {
        return Ok(Open::Wait);
    };
    let len = field(&head, "content-length").map(|at| head[at].parse::<usize>());
    let Some(Ok(len)) = len else {
        return Err(format!("a handshake was answered with {head:?}"));
    };
    let used = head.len() + len;
    if input.len() < used {
        return Ok(Open::Wait);
    }
    *name = session_id(&head, &input[head.len()..used])?;
    let bytes = next(name);
    Ok(Open::Send { used, bytes })
}

/// The name of a session, out of the answer to its handshake.
fn session_id(head: &str, body: &[u8]) -> Result<String, String> {
    let text = String::from_utf8_lossy(body);
    match text.split_once(':') {
        Some((id, _)) if head.starts_with("HTTP/1.1 200 ") && !id.is_empty() => Ok(id.to_owned()),
        _ => Err(format!("a handshake was answered with {head:?} {text:?}")),
    }
}

fn poll(host: &str, id: &str) -> Vec<u8> {
    format!("GET /socket.io/1/xhr-polling/{id} HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes()
}

fn send(host: &str, id: &str, packet: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "POST /socket.io/1/xhr-polling/{id} HTTP/1.1\r\nHost: {host}\r\n\
         Content-Type: text/plain;charset=UTF-8\r\nContent-Length: {}\r\n\r\n",
        packet.len()
    )
    .into_bytes();
    bytes.extend_from_slice(packet);
    bytes
}

/// An event of one text. The payloads have nothing that JSON escapes.
fn event(name: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("5:::{{\"name\":\"{name}\",\"args\":[\"");
    [head.as_bytes(), payload, b"\"]}"].concat()
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
