//! What the load client says on a conn, and what it must hear: one [`Codec`] per protocol.
//!
//! A codec is asked before the clock starts and never while it runs: the client sends and compares
//! prepared bytes. To measure another protocol (SockJS, a generation of Socket.IO), write a codec
//! whose messages of one payload length, and whose replies to them, all have the same length.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::time::Duration;

/// One protocol, seen from a client that echoes.
pub(crate) trait Codec {
    /// Opens a conn, step by step. Step 0 comes with no input as soon as TCP is there; each later
    /// step comes with what has been received and not used. The step number grows with each
    /// [`Open::Send`].
    fn open(&self, step: usize, input: &[u8]) -> Result<Open, String>;

    /// The bytes of one message from the client. `serial` tells messages apart that differ in
    /// nothing else, such as by their masks.
    fn message(&self, payload: &[u8], serial: u32) -> Vec<u8>;

    /// The bytes the server answers that message with.
    fn reply(&self, payload: &[u8]) -> Vec<u8>;

    /// The part of every reply that may differ from [`Self::reply`], such as a date.
    fn ignored(&self) -> Range<usize> {
        0..0
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
    fn open(&self, _step: usize, _input: &[u8]) -> Result<Open, String> {
        Ok(Open::Done { used: 0 })
    }

    fn message(&self, payload: &[u8], _serial: u32) -> Vec<u8> {
        payload.to_vec()
    }

    fn reply(&self, payload: &[u8]) -> Vec<u8> {
        payload.to_vec()
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
    fn open(&self, step: usize, input: &[u8]) -> Result<Open, String> {
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

    fn message(&self, payload: &[u8], serial: u32) -> Vec<u8> {
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

    fn reply(&self, payload: &[u8]) -> Vec<u8> {
        let mut frame = frame_head(payload.len(), 0);
        frame.extend_from_slice(payload);
        frame
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

/// `GET` of one path on a conn that is kept. The payload plays no part.
pub(crate) struct Get {
    request: Vec<u8>,
    reply: Vec<u8>,
    date: Range<usize>,
}

impl Get {
    /// Asks once, to know what the answers look like, and checks this one.
    pub(crate) fn learn(addr: SocketAddr, path: &str, body: &str) -> Result<Self, String> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\n\r\n").into_bytes();
        let ask = || {
            let mut stream = TcpStream::connect_timeout(&addr, Duration::from_secs(5))?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.write_all(&request)?;
            let mut reply = Vec::new();
            let mut piece = [0; 4096];
            while !reply.ends_with(body.as_bytes()) {
                match stream.read(&mut piece)? {
                    0 => break,
                    n => reply.extend_from_slice(&piece[..n]),
                }
            }
            Ok::<_, std::io::Error>(reply)
        };
        let reply = ask().map_err(|error| format!("GET {path}: {error}"))?;
        let head = head(&reply).ok_or_else(|| format!("GET {path}: no whole answer"))?;
        let length = field(&head, "content-length").map(|at| head[at].to_owned());
        if !head.starts_with("HTTP/1.1 200 ")
            || length.as_deref() != Some(&body.len().to_string())
            || &reply[head.len()..] != body.as_bytes()
        {
            return Err(format!(
                "GET {path} was not answered with {body:?}, but with {head:?}"
            ));
        }
        let date = field(&head, "date").unwrap_or(0..0);
        Ok(Self {
            request,
            reply,
            date,
        })
    }
}

impl Codec for Get {
    fn open(&self, _step: usize, _input: &[u8]) -> Result<Open, String> {
        Ok(Open::Done { used: 0 })
    }

    fn message(&self, _payload: &[u8], _serial: u32) -> Vec<u8> {
        self.request.clone()
    }

    fn reply(&self, _payload: &[u8]) -> Vec<u8> {
        self.reply.clone()
    }

    fn ignored(&self) -> Range<usize> {
        self.date.clone()
    }
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
