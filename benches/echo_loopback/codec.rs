//! What the load client says, and what it must hear: one [`Codec`] per protocol.
//!
//! A codec is asked before the clock starts and never while it runs: the client sends and compares
//! prepared bytes. A message of the client goes to the server, and comes back as its echo, in
//! [`Step`]s; for most protocols that is one step of one request and one reply. A session may use
//! several conns, which are its *lines*, such as one that listens and one that sends.

use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::http::{field, head};

/// One protocol, seen from a client that echoes.
pub(crate) trait Codec {
    /// The conns of a session. Line 0 is opened first, the others when it is open.
    fn lines(&self) -> usize {
        1
    }

    /// Opens a conn, step by step. Step 0 comes with no input as soon as TCP is there; each later
    /// step comes with what has been received and not used. The step number grows with each
    /// [`Open::Send`].
    ///
    /// `name` is the session's, the same on all its lines: eight letters and digits that no other
    /// session has. A codec whose server gives the names puts that one in its place.
    fn open(
        &self,
        line: usize,
        name: &mut String,
        step: usize,
        input: &[u8],
    ) -> Result<Open, String>;

    /// Whether what a session says has its name in it. If not, all sessions share prepared bytes.
    fn says_name(&self) -> bool {
        false
    }

    /// The steps of one message: as many for every message, at least one. `serial` tells messages
    /// apart that differ in nothing else, such as by their masks. Replies are the same for every
    /// `name`.
    fn message(&self, name: &str, payload: &[u8], serial: u32) -> Vec<Step>;
}

/// What is said at once, and what must be heard before the session's next step.
pub(crate) struct Step {
    /// Bytes, each with the line they go out on.
    pub(crate) say: Vec<(usize, Vec<u8>)>,
    /// Replies, each with the line it comes in on. At least one.
    pub(crate) hear: Vec<(usize, Reply)>,
}

impl Step {
    /// A request and its reply on the only line there is.
    pub(crate) fn one(say: Vec<u8>, hear: impl Into<Reply>) -> Self {
        Self {
            say: vec![(0, say)],
            hear: vec![(0, hear.into())],
        }
    }
}

/// What the server must say, byte for byte.
#[derive(Clone)]
pub(crate) struct Reply {
    /// At least one.
    pub(crate) bytes: Vec<u8>,
    /// The parts that may differ, such as a date; in order.
    pub(crate) ignored: Vec<Range<usize>>,
}

impl From<Vec<u8>> for Reply {
    fn from(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            ignored: Vec::new(),
        }
    }
}

/// Where the names of sessions are counted from: not where they were a short time ago, because a
/// server may remember those.
pub(crate) fn name_seed() -> u32 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_nanos() as u32)
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
    fn open(&self, _: usize, _: &mut String, _: usize, _: &[u8]) -> Result<Open, String> {
        Ok(Open::Done { used: 0 })
    }

    fn message(&self, _name: &str, payload: &[u8], _serial: u32) -> Vec<Step> {
        vec![Step::one(payload.to_vec(), payload.to_vec())]
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
    fn open(
        &self,
        _line: usize,
        _name: &mut String,
        step: usize,
        input: &[u8],
    ) -> Result<Open, String> {
        if step == 0 {
            return Ok(Open::Send {
                used: 0,
                bytes: upgrade(&self.host, &self.path),
            });
        }
        Ok(upgraded(input)?.map_or(Open::Wait, |used| Open::Done { used }))
    }

    fn message(&self, _name: &str, payload: &[u8], serial: u32) -> Vec<Step> {
        vec![Step::one(
            masked_frame(payload, serial),
            plain_frame(payload),
        )]
    }
}

/// The request of an opening handshake.
pub(crate) fn upgrade(host: &str, path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    .into_bytes()
}

/// The length of the answer to [`upgrade`], if all of it is there.
pub(crate) fn upgraded(input: &[u8]) -> Result<Option<usize>, String> {
    let Some(head) = head(input) else {
        return Ok(None);
    };
    if !head.starts_with("HTTP/1.1 101 ")
        || field(&head, "sec-websocket-accept").map(|at| &head[at]) != Some(ACCEPT)
    {
        return Err(format!(
            "the handshake was refused: {:?}",
            head.lines().next().unwrap_or("")
        ));
    }
    Ok(Some(head.len()))
}

/// A text message of the client, with a mask made of `serial`.
pub(crate) fn masked_frame(payload: &[u8], serial: u32) -> Vec<u8> {
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

/// A text message of the server.
pub(crate) fn plain_frame(payload: &[u8]) -> Vec<u8> {
    let mut frame = frame_head(payload.len(), 0);
    frame.extend_from_slice(payload);
    frame
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
