//! Packets: `type ":" [id ["+"]] ":" [endpoint] [":" data]` (section 4).
//!
//! [`parse`] borrows from the text and looks at all of it: the JSON of a packet that it gives is JSON,
//! of at most 128 levels. A packet that is broken is not given, and the session goes on.
//!
//! Not here: several packets in one body (`payload.rs`); whether an endpoint is connected; which
//! event names are the library's own.

use std::borrow::Cow;

use crate::proto::json;

/// One packet. `endpoint` is empty for the root, else a name that usually begins with `/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet<'t> {
    /// `0`: the endpoint is left; the root: the session ends.
    Disconnect {
        /// The endpoint.
        endpoint: &'t str,
    },
    /// `1`: the endpoint is joined.
    Connect {
        /// The endpoint, without the query.
        endpoint: &'t str,
        /// What stood behind a `?`, as it came; empty if there was none.
        query: &'t str,
    },
    /// `2`: a sign of life.
    Heartbeat,
    /// `3`: a text.
    Message {
        /// The acknowledgement that is asked for.
        ack: AckId,
        /// The endpoint.
        endpoint: &'t str,
        /// The text.
        data: &'t str,
    },
    /// `4`: a value.
    Json {
        /// The acknowledgement that is asked for.
        ack: AckId,
        /// The endpoint.
        endpoint: &'t str,
        /// The value: JSON, without blanks around it.
        data: &'t str,
    },
    /// `5`: a named message.
    Event {
        /// The acknowledgement that is asked for.
        ack: AckId,
        /// The endpoint.
        endpoint: &'t str,
        /// The name; borrowed unless something in it was escaped.
        name: Cow<'t, str>,
        /// The arguments: a JSON array; `[]` if none came.
        args: &'t str,
    },
    /// `6`: the answer to a packet that asked for one.
    Ack {
        /// The endpoint.
        endpoint: &'t str,
        /// The id of the packet.
        id: u32,
        /// What is answered: a JSON array, or empty.
        data: &'t str,
    },
    /// `7`: something was refused.
    Error {
        /// The endpoint.
        endpoint: &'t str,
        /// `reason[+advice]`, as it came.
        reason: &'t str,
    },
    /// `8`: nothing; ends a poll.
    Noop,
}

/// Whether a packet asks for an acknowledgement, and for which. Ids are counted per endpoint and
/// direction, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckId {
    /// It asks for none.
    None,
    /// `id`: the receiver's library answers by itself, without data.
    Auto(u32),
    /// `id+`: the receiver's application answers, with data if it has some.
    Data(u32),
}

/// Why a packet is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The text has not the form of a packet.
    NotAPacket,
    /// It has, but there is no such type.
    UnknownType,
    /// The data is no JSON, nested too deep, or not of the type that the packet wants.
    Json,
    /// An event without a name that is a string.
    NoName,
}

/// Reads one packet.
///
/// # Errors
///
/// The packet is to be dropped and counted; the session goes on.
pub fn parse(text: &str) -> Result<Packet<'_>, Broken> {
    let (kind, ack, rest) = parse_head(text)?;
    let (endpoint, data) = split_endpoint(rest);
    Ok(match kind {
        b'0' => Packet::Disconnect { endpoint },
        b'1' => {
            let (endpoint, query) = split_query(rest);
            Packet::Connect { endpoint, query }
        }
        b'2' => Packet::Heartbeat,
        b'3' => Packet::Message {
            ack,
            endpoint,
            data,
        },
        b'4' => Packet::Json {
            ack,
            endpoint,
            data: json::checked(data).ok_or(Broken::Json)?,
        },
        b'5' => {
            let (name, args) = parse_event(data)?;
            Packet::Event {
                ack,
                endpoint,
                name,
                args,
            }
        }
        b'6' => {
            let (id, data) = parse_answer(data)?;
            Packet::Ack { endpoint, id, data }
        }
        b'7' => Packet::Error {
            endpoint,
            reason: data,
        },
        b'8' => Packet::Noop,
        _ => return Err(Broken::UnknownType),
    })
}

/// The type, the id, and the endpoint with what follows it.
fn parse_head(text: &str) -> Result<(u8, AckId, &str), Broken> {
    let (kind, rest) = match text.as_bytes() {
        // All but the type may be left out.
        [kind @ b'0'..=b'8'] => return Ok((*kind, AckId::None, "")),
        [kind, b':', ..] => (*kind, &text[2..]),
        // A longer type, if it is a packet at all.
        _ => match text.split(':').count() {
            3.. if !text.starts_with(':') => return Err(Broken::UnknownType),
            _ => return Err(Broken::NotAPacket),
        },
    };
    if let Some(rest) = rest.strip_prefix(':') {
        return Ok((kind, AckId::None, rest));
    }
    let (id, rest) = rest.split_once(':').ok_or(Broken::NotAPacket)?;
    let ack = match id.strip_suffix('+') {
        None => AckId::Auto(number(id).ok_or(Broken::NotAPacket)?),
        Some(id) => AckId::Data(number(id).ok_or(Broken::NotAPacket)?),
    };
    Ok((kind, ack, rest))
}

/// The endpoint and the data.
fn split_endpoint(rest: &str) -> (&str, &str) {
    if let Some(data) = rest.strip_prefix(':') {
        return ("", data);
    }
    match memchr::memchr(b':', rest.as_bytes()) {
        Some(at) => (&rest[..at], &rest[at + 1..]),
        None => (rest, ""),
    }
}

/// The endpoint of a connect packet, and its query: `/chat?a=b`, or `/chat:?a=b` as the reference
/// server reads it.
fn split_query(rest: &str) -> (&str, &str) {
    match memchr::memchr2(b':', b'?', rest.as_bytes()) {
        None => (rest, ""),
        Some(at) => {
            let (endpoint, query) = (&rest[..at], &rest[at + 1..]);
            match rest.as_bytes()[at] {
                b'?' => (endpoint, query),
                _ => (endpoint, query.strip_prefix('?').unwrap_or_default()),
            }
        }
    }
}

/// The name and the arguments. Of members with the same key the last one counts, as in browsers.
fn parse_event(data: &str) -> Result<(Cow<'_, str>, &str), Broken> {
    if let Some((name, args)) = plain_event(data) {
        return Ok((Cow::Borrowed(name), args));
    }
    let mut name = None;
    let mut args = "[]";
    for member in json::members(data) {
        let (key, value) = member.map_err(|_| Broken::Json)?;
        match key {
            "\"name\"" => name = Some(value),
            "\"args\"" => args = value,
            _ => match json::string(key).as_deref() {
                Some("name") => name = Some(value),
                Some("args") => args = value,
                _ => {}
            },
        }
    }
    let name = name.and_then(json::string).ok_or(Broken::NoName)?;
    match args.starts_with('[') {
        true => Ok((name, args)),
        false => Err(Broken::Json),
    }
}

/// The name and the arguments of an event as clients write it: without blanks, and without escapes in
/// the name.
fn plain_event(data: &str) -> Option<(&str, &str)> {
    let inner = data.strip_prefix("{\"name\":\"")?;
    let (name, rest) = inner.split_at(json::plain_end(inner.as_bytes(), 0));
    let args = rest.strip_prefix("\",\"args\":")?;
    let (args, rest) = args.split_at(plain_list_end(args)?);
    (rest == "}").then_some((name, args))
}

/// Where the array at the front ends, which is inside of an object.
fn plain_list_end(text: &str) -> Option<usize> {
    if let Some(inner) = text.strip_prefix("[\"") {
        // Mostly there is one string in it.
        let end = json::plain_end(inner.as_bytes(), 0);
        if inner[end..].starts_with("\"]") {
            return Some(end + 4);
        }
    }
    if !text.starts_with('[') {
        return None;
    }
    json::value_end_within(text.as_bytes(), json::DEPTH_MAX - 1)
}

/// The id and the data of an acknowledgement.
fn parse_answer(data: &str) -> Result<(u32, &str), Broken> {
    let (id, list) = data.split_once('+').unwrap_or((data, ""));
    let id = number(id).ok_or(Broken::NotAPacket)?;
    if list.is_empty() {
        return Ok((id, ""));
    }
    let list = json::checked(list).ok_or(Broken::Json)?;
    match list.starts_with('[') {
        true => Ok((id, list)),
        false => Err(Broken::Json),
    }
}

/// Digits only; `None` if there are none, or too many.
fn number(text: &str) -> Option<u32> {
    match text.bytes().all(|b| b.is_ascii_digit()) {
        true => text.parse().ok(),
        false => None,
    }
}

/// Appends `0::endpoint`.
pub fn push_disconnect(out: &mut Vec<u8>, endpoint: &str) {
    push_head(out, b'0', AckId::None, endpoint);
}

/// Appends `1::endpoint`.
pub fn push_connect(out: &mut Vec<u8>, endpoint: &str) {
    push_head(out, b'1', AckId::None, endpoint);
}

/// Appends `3:id:endpoint:text`.
pub fn push_message(out: &mut Vec<u8>, ack: AckId, endpoint: &str, text: &str) {
    push_with_data(out, b'3', ack, endpoint, text);
}

/// Appends `4:id:endpoint:json`.
pub fn push_json(out: &mut Vec<u8>, ack: AckId, endpoint: &str, json: &str) {
    push_with_data(out, b'4', ack, endpoint, json);
}

/// Appends `5:id:endpoint:{"name":…,"args":…}`. `args` is a JSON array; the member is left out if the
/// array is empty.
///
/// An event that is to be acknowledged wants [`AckId::Data`]: real clients answer no other.
pub fn push_event(out: &mut Vec<u8>, ack: AckId, endpoint: &str, name: &str, args: &str) {
    out.reserve(endpoint.len() + name.len() + args.len() + 48);
    push_head(out, b'5', ack, endpoint);
    out.extend_from_slice(b":{\"name\":");
    json::push_string(out, name);
    if !is_empty_list(args) {
        out.extend_from_slice(b",\"args\":");
        out.extend_from_slice(args.as_bytes());
    }
    out.push(b'}');
}

/// Appends `6::endpoint:id+data`, or `6::endpoint:id` if there is no data or its array is empty.
pub fn push_ack(out: &mut Vec<u8>, endpoint: &str, id: u32, data: Option<&str>) {
    push_head(out, b'6', AckId::None, endpoint);
    out.push(b':');
    out.extend_from_slice(itoa::Buffer::new().format(id).as_bytes());
    if let Some(data) = data.filter(|data| !is_empty_list(data)) {
        out.push(b'+');
        out.extend_from_slice(data.as_bytes());
    }
}

/// Appends `7::endpoint:reason`; the reason is `reason[+advice]`.
pub fn push_error(out: &mut Vec<u8>, endpoint: &str, reason: &str) {
    push_with_data(out, b'7', AckId::None, endpoint, reason);
}

fn push_with_data(out: &mut Vec<u8>, kind: u8, ack: AckId, endpoint: &str, data: &str) {
    out.reserve(endpoint.len() + data.len() + 16);
    push_head(out, kind, ack, endpoint);
    out.push(b':');
    out.extend_from_slice(data.as_bytes());
}

/// What all packets have: the colon behind the endpoint only comes with data.
fn push_head(out: &mut Vec<u8>, kind: u8, ack: AckId, endpoint: &str) {
    debug_assert!(!endpoint.contains(':'), "{endpoint}");
    out.extend_from_slice(&[kind, b':']);
    if let AckId::Auto(id) | AckId::Data(id) = ack {
        out.extend_from_slice(itoa::Buffer::new().format(id).as_bytes());
        if matches!(ack, AckId::Data(_)) {
            out.push(b'+');
        }
    }
    out.push(b':');
    out.extend_from_slice(endpoint.as_bytes());
}

fn is_empty_list(json: &str) -> bool {
    matches!(json.as_bytes(), [] | b"[]")
}

/// A sign of life.
pub const HEARTBEAT: &[u8] = b"2::";
/// Nothing; ends a poll.
pub const NOOP: &[u8] = b"8::";
