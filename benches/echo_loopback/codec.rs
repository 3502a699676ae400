//! What the load client says on a conn, and what it must hear: one [`Codec`] per protocol.
//!
//! A codec is asked before the clock starts and never while it runs: the client sends and compares
//! prepared bytes. To measure another protocol, write a codec.

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// One protocol, seen from a client that echoes.
pub(crate) trait Codec {
    /// Opens a conn, step by step. Step 0 comes with no input as soon as TCP is there; each later
    /// step comes with what has been received and not used. The step number grows with each
    /// [`Open::Send`].
    fn open(&self, conn: usize, step: usize, input: &[u8]) -> Result<Open, String>;

    /// The bytes of one message from the client. `serial` tells messages apart that differ in
    /// nothing else, such as by their masks.
    fn message(&self, conn: usize, payload: &[u8], serial: u32) -> Vec<u8>;

    /// The bytes the server answers that message with; of a pair, what the first conn hears (role 0)
    /// and what the second does (role 1).
    fn reply(&self, role: usize, payload: &[u8], serial: u32) -> Part;

    /// Fresh conns are about to be opened.
    fn begin(&self) {}

    /// Whether the bytes of a message depend on its conn.
    fn differs(&self) -> bool {
        false
    }

    /// How many messages and replies, one after the other, are counted as one.
    fn steps(&self) -> usize {
        1
    }
}

/// Bytes, and the part of them that may differ, such as a date.
#[derive(Clone)]
pub(crate) struct Part {
    pub(crate) bytes: Vec<u8>,
    pub(crate) ignored: Range<usize>,
}

impl From<Vec<u8>> for Part {
    fn from(bytes: Vec<u8>) -> Self {
        let ignored = 0..0;
        Self { bytes, ignored }
    }
}

/// How the opening of a conn goes on.
pub(crate) enum Open {
    /// More input is needed.
    Wait,
    /// So much input was used; send these bytes, then go on.
    Send { used: usize, bytes: Vec<u8> },
    /// So much input was used; messages may go.
    Done { used: usize },
}

/// Bare TCP: no framing at all. The floor that a protocol is compared with.
pub(crate) struct Raw;

impl Codec for Raw {
    fn open(&self, _conn: usize, _step: usize, _input: &[u8]) -> Result<Open, String> {
        Ok(Open::Done { used: 0 })
    }

    fn message(&self, _conn: usize, payload: &[u8], _serial: u32) -> Vec<u8> {
        payload.to_vec()
    }

    fn reply(&self, _role: usize, payload: &[u8], _serial: u32) -> Part {
        payload.to_vec().into()
    }
}

/// RFC 6455 text messages, one frame each.
pub(crate) struct WebSocket {
    pub(crate) host: String,
    pub(crate) path: String,
}

/// The example key of RFC 6455, 1.3, and the answer it must get.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

impl Codec for WebSocket {
    fn open(&self, _conn: usize, step: usize, input: &[u8]) -> Result<Open, String> {
        if step == 0 {
            let bytes = format!(
                "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n",
                self.path, self.host
            );
            return Ok(Open::Send {
                used: 0,
                bytes: bytes.into_bytes(),
            });
        }
        let Some(head) = head(input) else {
            return Ok(Open::Wait);
        };
        if !head.starts_with("HTTP/1.1 101 ")
            || field(&head, "sec-websocket-accept").map(|at| &head[at]) != Some(ACCEPT)
        {
            return Err(format!(
                "the handshake was refused: {:?}",
                head.lines().next().unwrap_or("")
            ));
        }
        Ok(Open::Done { used: head.len() })
    }

    fn message(&self, _conn: usize, payload: &[u8], serial: u32) -> Vec<u8> {
        let mask = serial
            .wrapping_mul(0x9e37_79b9)
            .wrapping_add(0x1234_5678)
            .to_be_bytes();
        let mut frame = frame_head(payload.len(), 0x80);
        frame.extend_from_slice(&mask);
        frame.extend(
            payload
                .iter()
                .zip(mask.iter().cycle())
                .map(|(byte, key)| byte ^ key),
        );
        frame
    }

    fn reply(&self, _role: usize, payload: &[u8], _serial: u32) -> Part {
        let mut frame = frame_head(payload.len(), 0);
        frame.extend_from_slice(payload);
        frame.into()
    }
}

/// The head of a final text frame in the shortest form, without its mask.
fn frame_head(len: usize, mask_bit: u8) -> Vec<u8> {
    let mut head = vec![0x81];
    match len {
        0..=125 => head.push(mask_bit | len as u8),
        126..=0xffff => {
            head.push(mask_bit | 126);
            head.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            head.push(mask_bit | 127);
            head.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    head
}

/// A frame of SockJS in each message of a WebSocket.
pub(crate) struct SockJs(pub(crate) WebSocket);

impl Codec for SockJs {
    fn open(&self, conn: usize, step: usize, input: &[u8]) -> Result<Open, String> {
        match self.0.open(conn, step, input)? {
            // The open frame follows the head.
            Open::Done { used } if input[used..].is_empty() => Ok(Open::Wait),
            Open::Done { used } if input[used..] == *b"\x81\x01o" => {
                Ok(Open::Done { used: used + 3 })
            }
            Open::Done { .. } => Err("no open frame".to_owned()),
            other => Ok(other),
        }
    }

    fn message(&self, conn: usize, payload: &[u8], serial: u32) -> Vec<u8> {
        self.0
            .message(conn, &[b"[\"", payload, b"\"]"].concat(), serial)
    }

    fn reply(&self, role: usize, payload: &[u8], serial: u32) -> Part {
        self.0.reply(role, &array(payload), serial)
    }
}

fn array(payload: &[u8]) -> Vec<u8> {
    [b"a[\"", payload, b"\"]"].concat()
}

/// `GET` of one path on a conn that is kept. The payload plays no part.
pub(crate) struct Get {
    request: Vec<u8>,
    reply: Part,
}

impl Get {
    /// Asks once, to know what the answers look like, and checks this one.
    pub(crate) fn learn(addr: SocketAddr, path: &str, body: &str) -> Result<Self, String> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\n\r\n").into_bytes();
        let reply = learn(addr, &request, 200, body)?;
        Ok(Self { request, reply })
    }
}

impl Codec for Get {
    fn open(&self, _conn: usize, _step: usize, _input: &[u8]) -> Result<Open, String> {
        Ok(Open::Done { used: 0 })
    }

    fn message(&self, _conn: usize, _payload: &[u8], _serial: u32) -> Vec<u8> {
        self.request.clone()
    }

    fn reply(&self, _role: usize, _payload: &[u8], _serial: u32) -> Part {
        self.reply.clone()
    }
}

/// A SockJS session over HTTP on a conn: a send, its answer, a poll, its answer are one message; or on
/// two: the first streams, the second sends.
pub(crate) struct Xhr {
    addr: SocketAddr,
    streaming: bool,
    /// Tells the sessions of one measurement from those of another.
    epoch: Cell<u32>,
    sent: Part,
    polled: Part,
}

impl Xhr {
    /// Makes a session, to know what the answers look like. Payloads have `len` bytes.
    pub(crate) fn learn(addr: SocketAddr, len: usize, streaming: bool) -> Result<Self, String> {
        let payload = "x".repeat(len);
        let name = format!("/echo/000/{}-{}", std::process::id(), epoch());
        let poll = post(addr, &format!("{name}/xhr"), "");
        let send = post(
            addr,
            &format!("{name}/xhr_send"),
            &format!("[\"{payload}\"]"),
        );
        learn(addr, &poll, 200, "o\n")?;
        let sent = learn(addr, &send, 204, "")?;
        let polled = learn(addr, &poll, 200, &format!("a[\"{payload}\"]\n"))?;
        Ok(Self {
            addr,
            streaming,
            epoch: Cell::new(0),
            sent,
            polled,
        })
    }

    fn request(&self, conn: usize, endpoint: &str, body: &str) -> Vec<u8> {
        // Both conns of a pair are of one session.
        let session = if self.streaming { conn / 2 } else { conn };
        let epoch = self.epoch.get();
        let process = std::process::id();
        let path = format!("/echo/000/{process}-{epoch}-{session}/{endpoint}");
        post(self.addr, &path, body)
    }
}

impl Codec for Xhr {
    fn open(&self, conn: usize, step: usize, input: &[u8]) -> Result<Open, String> {
        let (endpoint, end): (_, &[u8]) = match (self.streaming, conn % 2) {
            (true, 1) => return Ok(Open::Done { used: 0 }),
            (true, _) => ("xhr_streaming", b"\r\n2\r\no\n\r\n"),
            (false, _) => ("xhr", b"\r\n\r\no\n"),
        };
        if step == 0 {
            let bytes = self.request(conn, endpoint, "");
            return Ok(Open::Send { used: 0, bytes });
        }
        match input.ends_with(end) {
            true => Ok(Open::Done { used: input.len() }),
            false => Ok(Open::Wait),
        }
    }

    fn message(&self, conn: usize, payload: &[u8], serial: u32) -> Vec<u8> {
        if !self.streaming && serial % 2 == 1 {
            return self.request(conn, "xhr", "");
        }
        let text = String::from_utf8_lossy(payload);
        self.request(conn, "xhr_send", &format!("[\"{text}\"]"))
    }

    fn reply(&self, role: usize, payload: &[u8], serial: u32) -> Part {
        if self.streaming && role == 0 {
            let frame = [&array(payload)[..], b"\n"].concat();
            let size = format!("{:x}\r\n", frame.len());
            return [size.as_bytes(), &frame, b"\r\n"].concat().into();
        }
        if self.streaming || serial % 2 == 0 {
            return self.sent.clone();
        }
        let Part { mut bytes, ignored } = self.polled.clone();
        let frame = [&array(payload)[..], b"\n"].concat();
        bytes.truncate(bytes.len() - frame.len());
        bytes.extend(frame);
        Part { bytes, ignored }
    }

    fn begin(&self) {
        self.epoch.set(epoch());
    }

    fn differs(&self) -> bool {
        true
    }

    fn steps(&self) -> usize {
        if self.streaming { 1 } else { 2 }
    }
}

/// A number for names of sessions, which outlive their conns for a while.
fn epoch() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn post(addr: SocketAddr, path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nHost: {addr}\r\nContent-Length: {length}\r\n\r\n");
    (head + body).into_bytes()
}

/// Asks once, on a conn of its own, and checks the answer; what may differ in it is its date.
fn learn(addr: SocketAddr, request: &[u8], status: u16, body: &str) -> Result<Part, String> {
    let what = || {
        String::from_utf8_lossy(request)
            .lines()
            .next()
            .unwrap_or("")
            .to_owned()
    };
    let ask = || {
        let mut stream = TcpStream::connect_timeout(&addr, Duration::from_secs(5))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(request)?;
        let mut reply = Vec::new();
        let mut piece = [0; 4096];
        let whole = |reply: &[u8]| head(reply).is_some() && reply.ends_with(body.as_bytes());
        while !whole(&reply) {
            match stream.read(&mut piece)? {
                0 => break,
                n => reply.extend_from_slice(&piece[..n]),
            }
        }
        Ok::<_, std::io::Error>(reply)
    };
    let bytes = ask().map_err(|error| format!("{}: {error}", what()))?;
    let head = head(&bytes).ok_or_else(|| format!("{}: no whole answer", what()))?;
    let length = field(&head, "content-length").map(|at| head[at].to_owned());
    let wanted = (status != 204).then(|| body.len().to_string());
    if !head.starts_with(&format!("HTTP/1.1 {status} "))
        || length != wanted
        || &bytes[head.len()..] != body.as_bytes()
    {
        return Err(format!(
            "{} was not answered with {body:?}, but with {head:?}",
            what()
        ));
    }
    let ignored = field(&head, "date").unwrap_or(0..0);
    Ok(Part { bytes, ignored })
}

/// The head of an HTTP answer with its blank line, if all of it is there.
fn head(input: &[u8]) -> Option<String> {
    let end = input.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    Some(String::from_utf8_lossy(&input[..end]).into_owned())
}

/// Where the value of the field `name` (lower case) is.
fn field(head: &str, name: &str) -> Option<Range<usize>> {
    let mut start = 0;
    for line in head.split_inclusive("\r\n") {
        if let Some((key, value)) = line.split_once(':') {
            if key.eq_ignore_ascii_case(name) {
                let at = start + key.len() + 1 + (value.len() - value.trim_start().len());
                return Some(at..at + value.trim().len());
            }
        }
        start += line.len();
    }
    None
}
