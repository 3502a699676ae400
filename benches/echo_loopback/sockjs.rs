//! SockJS as the load client speaks it: a WebSocket, or requests of xhr.
//!
//! The server is asked once how it answers, because the order of headers is its own. What the
//! answers must have is checked then; from there on each must be that, but for the date.

use std::net::SocketAddr;

use crate::codec::{
    Codec, Open, Reply, Step, masked_frame, name_seed, plain_frame, upgrade, upgraded,
};
use crate::http::{Answer, Asker, Get, field, head};

/// Whether a server offers SockJS at `/echo`.
pub(crate) fn is_offered(addr: SocketAddr) -> bool {
    Get::learn(addr, "/echo", "Welcome to SockJS!\n").is_ok()
}

/// `PREFIX/000/NAME/websocket`.
pub(crate) struct WebSocket {
    pub(crate) host: String,
    pub(crate) prefix: &'static str,
}

impl Codec for WebSocket {
    fn open(
        &self,
        _line: usize,
        name: &mut String,
        step: usize,
        input: &[u8],
    ) -> Result<Open, String> {
        if step == 0 {
            let path = format!("{}/000/{name}/websocket", self.prefix);
            return Ok(Open::Send {
                used: 0,
                bytes: upgrade(&self.host, &path),
            });
        }
        let Some(used) = upgraded(input)? else {
            return Ok(Open::Wait);
        };
        starts_with(&input[used..], &plain_frame(b"o"), used)
    }

    fn message(&self, _name: &str, payload: &[u8], serial: u32) -> Vec<Step> {
        vec![Step::one(
            masked_frame(&sent(payload), serial),
            plain_frame(&echoed(payload)),
        )]
    }
}

/// How a session that has no WebSocket listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listen {
    /// On the conn it sends on. A message is a round: a send and its 204, then a poll that finds the
    /// echo.
    Polling,
    /// On a conn of its own, opened first, whose answer goes on. A message is a send, its 204 on one
    /// conn and the echo on the other.
    Streaming,
}

/// xhr_send, and xhr or xhr_streaming, at `/echo`.
pub(crate) struct Xhr {
    host: String,
    listen: Listen,
    /// The answer to a send.
    accepted: Reply,
    /// The answer to a poll up to the frame, and what follows it. The frame has the length that it
    /// has for all messages of a case.
    poll_head: Reply,
    poll_tail: Vec<u8>,
}

/// The first line of a streaming answer, with its line end, and the open frame: a chunk each.
fn prelude() -> Vec<u8> {
    format!("801\r\n{}\n\r\n2\r\no\n\r\n", "h".repeat(2048)).into_bytes()
}

impl Xhr {
    /// Opens a session and has one message of so many bytes echoed.
    pub(crate) fn learn(
        addr: SocketAddr,
        listen: Listen,
        payload_len: usize,
    ) -> Result<Self, String> {
        let host = addr.to_string();
        let name = format!("{:08x}", name_seed());
        let payload = vec![b'x'; payload_len];
        let mut asker = Asker::connect(addr).map_err(|error| format!("SockJS: {error}"))?;
        let mut ask = |endpoint: &str, body: &[u8]| -> Result<Answer, String> {
            asker
                .ask(&post(&host, &name, endpoint, body))
                .map_err(|error| format!("{endpoint}: {error}"))
        };
        let wrong = |endpoint: &str, answer: &Answer| {
            let shown = String::from_utf8_lossy(&answer.bytes);
            Err(format!("{endpoint} was answered with {shown:?}"))
        };
        let opened = ask("xhr", b"")?;
        if opened.status() != "200" || opened.body() != b"o\n" {
            return wrong("xhr", &opened);
        }
        let accepted = ask("xhr_send", &sent(&payload))?;
        if accepted.status() != "204" {
            return wrong("xhr_send", &accepted);
        }
        let polled = ask("xhr", b"")?;
        let mut frame = echoed(&payload);
        frame.push(b'\n');
        if polled.status() != "200" || polled.body() != frame {
            return wrong("xhr", &polled);
        }
        let reply = polled.reply();
        let at = reply
            .bytes
            .windows(frame.len())
            .rposition(|part| part == frame);
        let at = at.unwrap_or(0);
        Ok(Self {
            accepted: accepted.reply(),
            poll_head: Reply {
                bytes: reply.bytes[..at].to_vec(),
                ignored: reply.ignored,
            },
            poll_tail: reply.bytes[at + frame.len()..].to_vec(),
            host,
            listen,
        })
    }
}

impl Codec for Xhr {
    fn lines(&self) -> usize {
        match self.listen {
            Listen::Polling => 1,
            Listen::Streaming => 2,
        }
    }

    fn open(
        &self,
        line: usize,
        name: &mut String,
        step: usize,
        input: &[u8],
    ) -> Result<Open, String> {
        let endpoint = match (line, self.listen) {
            (0, Listen::Polling) => "xhr",
            (0, Listen::Streaming) => "xhr_streaming",
            // The line that sends.
            _ => return Ok(Open::Done { used: 0 }),
        };
        if step == 0 {
            let bytes = post(&self.host, name, endpoint, b"");
            return Ok(Open::Send { used: 0, bytes });
        }
        let Some(head) = head(input) else {
            return Ok(Open::Wait);
        };
        let coding = |name| field(&head, name).map(|at| head[at].to_ascii_lowercase());
        let chunked = coding("transfer-encoding").as_deref() == Some("chunked");
        let body = match self.listen {
            Listen::Polling if chunked => b"2\r\no\n\r\n0\r\n\r\n".to_vec(),
            Listen::Polling => b"o\n".to_vec(),
            Listen::Streaming => prelude(),
        };
        if !head.starts_with("HTTP/1.1 200 ") || (self.listen == Listen::Streaming && !chunked) {
            return Err(format!("{endpoint} was answered with {head:?}"));
        }
        starts_with(&input[head.len()..], &body, head.len())
    }

    fn says_name(&self) -> bool {
        true
    }

    fn message(&self, name: &str, payload: &[u8], _serial: u32) -> Vec<Step> {
        let send = post(&self.host, name, "xhr_send", &sent(payload));
        let mut frame = echoed(payload);
        frame.push(b'\n');
        match self.listen {
            Listen::Polling => {
                let mut polled = self.poll_head.clone();
                polled.bytes.extend_from_slice(&frame);
                polled.bytes.extend_from_slice(&self.poll_tail);
                vec![
                    Step::one(send, self.accepted.clone()),
                    Step::one(post(&self.host, name, "xhr", b""), polled),
                ]
            }
            Listen::Streaming => {
                let mut chunk = format!("{:x}\r\n", frame.len()).into_bytes();
                chunk.extend_from_slice(&frame);
                chunk.extend_from_slice(b"\r\n");
                vec![Step {
                    say: vec![(1, send)],
                    hear: vec![(0, chunk.into()), (1, self.accepted.clone())],
                }]
            }
        }
    }
}

/// A request as a client makes it that is no browser.
fn post(host: &str, name: &str, endpoint: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes =
        format!("POST /echo/000/{name}/{endpoint} HTTP/1.1\r\nHost: {host}\r\n").into_bytes();
    if !body.is_empty() {
        bytes.extend_from_slice(b"Content-Type: text/plain\r\n");
    }
    bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// What a client sends. The payloads have nothing that JSON escapes.
fn sent(payload: &[u8]) -> Vec<u8> {
    [b"[\"", payload, b"\"]"].concat()
}

/// The frame of one message.
fn echoed(payload: &[u8]) -> Vec<u8> {
    [b"a[\"", payload, b"\"]"].concat()
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
