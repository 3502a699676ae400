//! HTTP/1.1 as the load client speaks it: the codec of a plain `GET`, and what codecs need to read
//! answers while no clock runs.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::time::Duration;

use crate::codec::{Codec, Open, Reply, Step};

/// `GET` of one path on a conn that is kept. The payload plays no part.
pub(crate) struct Get {
    request: Vec<u8>,
    reply: Reply,
}

impl Get {
    /// Asks once, to know what the answers look like, and checks this one.
    pub(crate) fn learn(addr: SocketAddr, path: &str, body: &str) -> Result<Self, String> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\n\r\n").into_bytes();
        let answer = Asker::connect(addr)
            .and_then(|mut asker| asker.ask(&request))
            .map_err(|error| format!("GET {path}: {error}"))?;
        if answer.status() != "200" || answer.body() != body.as_bytes() {
            return Err(format!(
                "GET {path} was not answered with {body:?}, but with {:?}",
                answer.head
            ));
        }
        Ok(Self {
            request,
            reply: answer.reply(),
        })
    }
}

impl Codec for Get {
    fn open(&self, _: usize, _: &mut String, _: usize, _: &[u8]) -> Result<Open, String> {
        Ok(Open::Done { used: 0 })
    }

    fn message(&self, _name: &str, _payload: &[u8], _serial: u32) -> Vec<Step> {
        vec![Step::one(self.request.clone(), self.reply.clone())]
    }
}

/// A conn on which one request after the other is asked, to learn how the server answers.
pub(crate) struct Asker {
    stream: TcpStream,
}

impl Asker {
    pub(crate) fn connect(addr: SocketAddr) -> std::io::Result<Self> {
        let within = Some(Duration::from_secs(5));
        let stream = TcpStream::connect_timeout(&addr, Duration::from_secs(5))?;
        stream.set_read_timeout(within)?;
        Ok(Self { stream })
    }

    /// Reads until the answer has ended, or the conn.
    pub(crate) fn ask(&mut self, request: &[u8]) -> std::io::Result<Answer> {
        self.stream.write_all(request)?;
        let mut bytes = Vec::new();
        let mut piece = [0; 4096];
        loop {
            let n = self.stream.read(&mut piece)?;
            bytes.extend_from_slice(&piece[..n]);
            let head = head(&bytes);
            match head.filter(|head| n == 0 || is_whole(head, &bytes[head.len()..])) {
                Some(head) => return Ok(Answer { bytes, head }),
                None if n == 0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                None => {}
            }
        }
    }
}

/// Whether all of an answer's body is there.
fn is_whole(head: &str, body: &[u8]) -> bool {
    if let Some(len) = field(head, "content-length") {
        head[len].parse() == Ok(body.len())
    } else if field(head, "transfer-encoding").is_some() {
        body.ends_with(b"\r\n0\r\n\r\n")
    } else {
        head.starts_with("HTTP/1.1 204 ")
    }
}

/// An answer as it came.
pub(crate) struct Answer {
    pub(crate) bytes: Vec<u8>,
    /// With its blank line.
    pub(crate) head: String,
}

impl Answer {
    pub(crate) fn status(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or("")
    }

    /// The body, or the only chunk of it.
    pub(crate) fn body(&self) -> &[u8] {
        let body = &self.bytes[self.head.len()..];
        if field(&self.head, "transfer-encoding").is_none() {
            return body;
        }
        let start = body.windows(2).position(|two| two == b"\r\n");
        let chunk = start.and_then(|at| body[at + 2..].strip_suffix(b"\r\n0\r\n\r\n"));
        chunk.unwrap_or_default()
    }

    /// The same answer, to be heard at another time.
    pub(crate) fn reply(&self) -> Reply {
        Reply {
            bytes: self.bytes.clone(),
            ignored: field(&self.head, "date").into_iter().collect(),
        }
    }
}

/// The head of an HTTP answer with its blank line, if all of it is there.
pub(crate) fn head(input: &[u8]) -> Option<String> {
    let end = input.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    Some(String::from_utf8_lossy(&input[..end]).into_owned())
}

/// Where the value of the field `name` (lower case) is.
pub(crate) fn field(head: &str, name: &str) -> Option<Range<usize>> {
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
