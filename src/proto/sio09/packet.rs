//! Packets: `type ":" [id ["+"]] ":" [endpoint] [":" data]`.
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
        [kind, b':', ..] if *kind != b':' => (*kind, &text[2..]),
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

/// The endpoint of a connect packet, and its query: of `/chat?a=b`, and of `/chat:?a=b`, where it is
/// the data.
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
pub fn push_event(out: &mut Vec<u8>, ack: AckId, endpoint: &str, name: &str, args: &[u8]) {
    out.reserve(endpoint.len() + name.len() + args.len() + 48);
    push_head(out, b'5', ack, endpoint);
    out.extend_from_slice(b":{\"name\":");
    json::push_string(out, name);
    if !is_empty_list(args) {
        out.extend_from_slice(b",\"args\":");
        out.extend_from_slice(args);
    }
    out.push(b'}');
}

/// Appends `6::endpoint:id+data`, or `6::endpoint:id` if there is no data or its array is empty.
pub fn push_ack(out: &mut Vec<u8>, endpoint: &str, id: u32, data: Option<&[u8]>) {
    push_head(out, b'6', AckId::None, endpoint);
    out.push(b':');
    out.extend_from_slice(itoa::Buffer::new().format(id).as_bytes());
    if let Some(data) = data.filter(|data| !is_empty_list(data)) {
        out.push(b'+');
        push_line(out, data);
    }
}

/// Appends JSON without ends of lines. Clients read the data of an acknowledgement up to the first one, and to them
/// U+2028 and U+2029 are such.
fn push_line(out: &mut Vec<u8>, json: &[u8]) {
    let mut rest = json;
    while let Some(at) = memchr::memchr3(b'\n', b'\r', 0xe2, rest) {
        let (instead, len): (&[u8], usize) = match &rest[at..] {
            [0xe2, 0x80, 0xa8, ..] => (b"\\u2028", 3),
            [0xe2, 0x80, 0xa9, ..] => (b"\\u2029", 3),
            [0xe2, ..] => (b"\xe2", 1),
            // Between values: within a string it would be an escape.
            _ => (b" ", 1),
        };
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(instead);
        rest = &rest[at + len..];
    }
    out.extend_from_slice(rest);
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

fn is_empty_list(json: &[u8]) -> bool {
    matches!(json, [] | b"[]")
}

/// A sign of life.
pub const HEARTBEAT: &[u8] = b"2::";
/// Nothing; ends a poll.
pub const NOOP: &[u8] = b"8::";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What `text` says; and nothing panics at any cut.
    fn read(text: &str) -> Result<Packet<'_>, Broken> {
        for cut in (0..text.len()).filter(|cut| text.is_char_boundary(*cut)) {
            parse(&text[..cut]).ok();
            parse(&text[cut..]).ok();
        }
        parse(text)
    }

    fn message<'t>(ack: AckId, endpoint: &'t str, data: &'t str) -> Packet<'t> {
        Packet::Message {
            ack,
            endpoint,
            data,
        }
    }

    fn json<'t>(ack: AckId, endpoint: &'t str, data: &'t str) -> Packet<'t> {
        Packet::Json {
            ack,
            endpoint,
            data,
        }
    }

    fn event<'t>(ack: AckId, endpoint: &'t str, name: &'t str, args: &'t str) -> Packet<'t> {
        Packet::Event {
            ack,
            endpoint,
            name: Cow::Borrowed(name),
            args,
        }
    }

    #[test]
    fn packets() {
        use AckId::{Auto, Data, None};
        use Packet::{Ack, Connect, Disconnect, Error, Heartbeat, Noop};
        #[rustfmt::skip]
        let cases: &[(&str, Packet<'_>)] = &[
            ("0", Disconnect { endpoint: "" }), ("0::", Disconnect { endpoint: "" }),
            ("0:::", Disconnect { endpoint: "" }), ("0::/chat", Disconnect { endpoint: "/chat" }),
            ("0::/chat:", Disconnect { endpoint: "/chat" }),
            ("1", Connect { endpoint: "", query: "" }), ("1::", Connect { endpoint: "", query: "" }),
            ("1:::", Connect { endpoint: "", query: "" }),
            ("1::/chat", Connect { endpoint: "/chat", query: "" }),
            ("1::/chat:", Connect { endpoint: "/chat", query: "" }),
            ("1::/chat?a=b&c", Connect { endpoint: "/chat", query: "a=b&c" }),
            ("1::/chat?u=http://x?y", Connect { endpoint: "/chat", query: "u=http://x?y" }),
            ("1::/chat:?a=b:c", Connect { endpoint: "/chat", query: "a=b:c" }),
            ("1::/chat:a=b", Connect { endpoint: "/chat", query: "" }),
            ("1::/chat?", Connect { endpoint: "/chat", query: "" }),
            ("1::?a", Connect { endpoint: "", query: "a" }), ("1:::?a", Connect { endpoint: "", query: "a" }),
            ("2", Heartbeat), ("2::", Heartbeat), ("2:::", Heartbeat), ("2:1::", Heartbeat), ("2::/a:b", Heartbeat),
            ("3", message(None, "", "")), ("3::", message(None, "", "")), ("3:::", message(None, "", "")),
            ("3::/chat", message(None, "/chat", "")), ("3::/chat:", message(None, "/chat", "")),
            ("3:::hello", message(None, "", "hello")), ("3:1::ack me", message(Auto(1), "", "ack me")),
            ("3:2+::x", message(Data(2), "", "x")), ("3::/chat:hi", message(None, "/chat", "hi")),
            ("3:12:/chat:hi", message(Auto(12), "/chat", "hi")), ("3:0012::", message(Auto(12), "", "")),
            ("3:4294967295+:chat:hi", message(Data(u32::MAX), "chat", "hi")),
            ("3::::a:b::", message(None, "", ":a:b::")), ("3:::a\r\nb\n", message(None, "", "a\r\nb\n")),
            ("3:::h\u{e9}\u{1f600}\0\u{fffd}", message(None, "", "h\u{e9}\u{1f600}\0\u{fffd}")),
            ("3::/\u{e9}\u{1f600}:x", message(None, "/\u{e9}\u{1f600}", "x")), ("3::a?b:c", message(None, "a?b", "c")),
            (r#"4:::{"j":1}"#, json(None, "", r#"{"j":1}"#)), ("4:1:/a: [1, 2] ", json(Auto(1), "/a", "[1, 2]")),
            ("4:7+::null", json(Data(7), "", "null")), (r#"4:::"a:b""#, json(None, "", r#""a:b""#)),
            (r#"5:::{"name":"e1"}"#, event(None, "", "e1", "[]")),
            (r#"5:::{"name":"echo","args":[]}"#, event(None, "", "echo", "[]")),
            (r#"5:::{"name":"echo","args":["20 bytes of a text.."]}"#, event(None, "", "echo", r#"["20 bytes of a text.."]"#)),
            (r#"5:1+:/chat:{"name":"add","args":[1,2]}"#, event(Data(1), "/chat", "add", "[1,2]")),
            (r#"5:3::{"name":"a","args":["b\n",":"]}"#, event(Auto(3), "", "a", r#"["b\n",":"]"#)),
            // As TornadIO2 writes them, and whoever else likes blanks.
            (r#"5:::{"name": "a", "args": ["b", {"c": 1}]}"#, event(None, "", "a", r#"["b", {"c": 1}]"#)),
            ("5:::\r\n{ \"args\" : [ 1 ]\t, \"name\" : \"a\" } ", event(None, "", "a", "[ 1 ]")),
            (r#"5:::{"args":[1],"name":"a"}"#, event(None, "", "a", "[1]")),
            (r#"5:::{"x":{"name":"y"},"name":"a","args":[],"z":[1]}"#, event(None, "", "a", "[]")),
            (r#"5:::{"name":"a","args":[1],"x":1}"#, event(None, "", "a", "[1]")),
            (r#"5:::{"name":"a\u00e9\"\ud800"}"#, event(None, "", "aé\"\u{fffd}", "[]")),
            (r#"5:::{"n\u0061me":"a","\u0061rgs":[1]}"#, event(None, "", "a", "[1]")),
            (r#"5:::{"name":"a","args":[1],"name":"b","args":[2]}"#, event(None, "", "b", "[2]")),
            (r#"5:::{"name":5,"name":"b","args":6,"args":[2]}"#, event(None, "", "b", "[2]")),
            (r#"5:::{"name":"","args":["]}"]}"#, event(None, "", "", r#"["]}"]"#)),
            ("6:::1", Ack { endpoint: "", id: 1, data: "" }), ("6:::1+", Ack { endpoint: "", id: 1, data: "" }),
            ("6::/chat:1+[3]", Ack { endpoint: "/chat", id: 1, data: "[3]" }),
            (r#"6:::2+[["a", "b"]]"#, Ack { endpoint: "", id: 2, data: r#"[["a", "b"]]"# }),
            ("6:::3+ [] ", Ack { endpoint: "", id: 3, data: "[]" }), ("6:9::3", Ack { endpoint: "", id: 3, data: "" }),
            (r#"6:::3+["1+1"]"#, Ack { endpoint: "", id: 3, data: r#"["1+1"]"# }),
            ("7", Error { endpoint: "", reason: "" }), ("7::", Error { endpoint: "", reason: "" }),
            ("7:::1+0", Error { endpoint: "", reason: "1+0" }),
            ("7::/private:2", Error { endpoint: "/private", reason: "2" }),
            ("8", Noop), ("8::", Noop), ("8:::", Noop),
        ];
        for (text, want) in cases {
            assert_eq!(read(text).as_ref(), Ok(want), "{text}");
        }
    }

    #[test]
    fn broken() {
        use Broken::{Json, NoName, NotAPacket, UnknownType};
        #[rustfmt::skip]
        let cases: &[(&str, Broken)] = &[
            ("", NotAPacket), (":", NotAPacket), ("::", NotAPacket), (":::x", NotAPacket), ("garbage", NotAPacket),
            ("9", NotAPacket), ("x", NotAPacket), ("00", NotAPacket), ("3:", NotAPacket), ("10:", NotAPacket),
            ("3:x", NotAPacket), ("3hello", NotAPacket), (" 3:::x", UnknownType), ("\u{e9}", NotAPacket),
            ("9::", UnknownType), ("10:::x", UnknownType), ("03:::x", UnknownType), ("message:::x", UnknownType),
            ("x:::", UnknownType), ("-1:::", UnknownType), ("\u{fffd}5\u{fffd}3:::a\u{fffd}", UnknownType),
            // Ids.
            ("3:x::a", NotAPacket), ("3:+::a", NotAPacket), ("3:1++::a", NotAPacket), ("3:-1::a", NotAPacket),
            ("3:+1::a", NotAPacket), ("3: 1::a", NotAPacket), ("3:1.0::a", NotAPacket), ("3:4294967296::a", NotAPacket),
            ("3:99999999999999999999::a", NotAPacket), ("3:\u{661}::a", NotAPacket), ("3:1", NotAPacket),
            ("2:x::", NotAPacket), ("9:x::", NotAPacket),
            // JSON.
            ("4", Json), ("4::", Json), ("4:::", Json), ("4:::{", Json), ("4:::{j:1}", Json), ("4:::1 2", Json),
            ("4:::[1,]", Json), ("4:::undefined", Json),
            // Events.
            ("5", Json), ("5::", Json), ("5:::", Json), ("5:::[1]", Json), ("5:::\"a\"", Json), ("5:::null", Json),
            ("5:::{\"name\":\"a\"", Json), ("5:::{\"name\":\"a\"}}", Json), ("5:::{\"name\":\"a\"} x", Json),
            ("5:::{\"name\":\"a\",}", Json), ("5:::{\"name\":\"a\",\"args\":[1}", Json),
            ("5:::{\"name\":\"a\",\"args\":[\"b\"]", Json), ("5:::{\"name\":\"a\",\"args\":[\"b\"]]}", Json),
            ("5:::{\"name\":\"a\" \"args\":[]}", Json), ("5:::{\"name\":\"a\n\"}", Json), ("5:::{name:\"a\"}", Json),
            ("5:::{\"name\":\"a\",\"args\":5}", Json), ("5:::{\"name\":\"a\",\"args\":null}", Json),
            ("5:::{\"name\":\"a\",\"args\":{}}", Json), ("5:::{\"name\":\"a\",\"args\":\"[]\"}", Json),
            ("5:::{\"name\":\"a\",\"args\":[1],\"args\":2}", Json),
            ("5:::{}", NoName), ("5:::{\"args\":[1]}", NoName), ("5:::{\"name\":5,\"args\":[1]}", NoName),
            ("5:::{\"name\":null}", NoName), ("5:::{\"name\":[\"a\"]}", NoName), ("5:::{\"Name\":\"a\"}", NoName),
            ("5:::{\"name\":\"a\",\"name\":1}", NoName), ("5:::{\"x\":{\"name\":\"a\"}}", NoName),
            // Acknowledgements.
            ("6", NotAPacket), ("6::", NotAPacket), ("6:::", NotAPacket), ("6:::x", NotAPacket), ("6:::1x", NotAPacket),
            ("6:::+[1]", NotAPacket), ("6:::4294967296", NotAPacket), ("6:::-1", NotAPacket), ("6:1::", NotAPacket),
            ("6:::1+x", Json), ("6:::1+[", Json), ("6:::1+{}", Json), ("6:::1+1", Json), ("6:::1+ ", Json),
            ("6:::1+[1] x", Json),
        ];
        for &(text, want) in cases {
            assert_eq!(read(text), Err(want), "{text}");
        }
    }

    #[test]
    fn depth() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let deepest = json::DEPTH_MAX as usize;
        for (depth, is_good) in [(deepest, true), (deepest + 1, false), (1 << 20, false)] {
            assert_eq!(parse(&format!("4:::{}", nested(depth))).is_ok(), is_good);
            assert_eq!(parse(&format!("6:::1+{}", nested(depth))).is_ok(), is_good);
            // The object is a level as well.
            for head in [
                "\"name\":\"a\",",
                "\"name\" : \"a\",",
                "\"n\\u0061me\":\"a\",",
            ] {
                let text = format!("5:::{{{head}\"args\":{}}}", nested(depth - 1));
                assert_eq!(parse(&text).is_ok(), is_good, "{head} {depth}");
            }
        }
    }

    #[test]
    fn borrowed_unless_escaped() {
        let cases = [
            (r#"5:::{"name":"a","args":["b"]}"#, true),
            (r#"5:::{"name": "a", "args": ["\n"]}"#, true),
            (r#"5:::{"name":"\u0061","args":["b"]}"#, false),
        ];
        for (text, borrowed) in cases {
            let Ok(Packet::Event { name, .. }) = parse(text) else {
                panic!("{text}");
            };
            assert_eq!(name, "a", "{text}");
            assert_eq!(matches!(name, Cow::Borrowed(_)), borrowed, "{text}");
        }
    }

    fn written(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = b"before ".to_vec();
        write(&mut out);
        String::from_utf8(out).unwrap().split_off(7)
    }

    #[test]
    fn writers() {
        use AckId::{Auto, Data, None as Nothing};
        let message = |ack, endpoint, text| written(|out| push_message(out, ack, endpoint, text));
        let json = |ack, endpoint, json| written(|out| push_json(out, ack, endpoint, json));
        let event = |ack, endpoint, name, args: &str| {
            written(|out| push_event(out, ack, endpoint, name, args.as_bytes()))
        };
        let ack = |endpoint, id, data: Option<&str>| {
            written(|out| push_ack(out, endpoint, id, data.map(str::as_bytes)))
        };
        #[rustfmt::skip]
        let cases = [
            (written(|out| push_disconnect(out, "")), "0::"),
            (written(|out| push_disconnect(out, "/chat")), "0::/chat"),
            (written(|out| push_connect(out, "")), "1::"), (written(|out| push_connect(out, "/chat")), "1::/chat"),
            (written(|out| out.extend_from_slice(HEARTBEAT)), "2::"),
            (written(|out| out.extend_from_slice(NOOP)), "8::"),
            (message(Nothing, "", "hello"), "3:::hello"), (message(Nothing, "", ""), "3:::"),
            (message(Auto(1), "", "ack me"), "3:1::ack me"), (message(Data(2), "/chat", "a:\n"), "3:2+:/chat:a:\n"),
            (json(Nothing, "", r#"{"j":1}"#), r#"4:::{"j":1}"#), (json(Auto(u32::MAX), "/a", "1"), "4:4294967295:/a:1"),
            (event(Nothing, "", "e1", "[]"), r#"5:::{"name":"e1"}"#),
            (event(Nothing, "", "e1", ""), r#"5:::{"name":"e1"}"#),
            (event(Data(1), "/chat", "add", "[1,2]"), r#"5:1+:/chat:{"name":"add","args":[1,2]}"#),
            (event(Auto(3), "", "\"\\\n\u{1}é\u{1f600}/<", "[null]"), "5:3::{\"name\":\"\\\"\\\\\\n\\u0001é\u{1f600}/<\",\"args\":[null]}"),
            (ack("", 1, None), "6:::1"), (ack("/chat", 1, Some("[3]")), "6::/chat:1+[3]"),
            (ack("", 2, Some(r#"[["a","b"]]"#)), r#"6:::2+[["a","b"]]"#),
            (ack("", 3, Some("[\n1,\r\n\"\u{2028}\u{2029}\u{2027}\u{202a}\u{e2}\"]")), "6:::3+[ 1,  \"\\u2028\\u2029\u{2027}\u{202a}\u{e2}\"]"),
            (ack("", 4, Some("[]")), "6:::4"), (ack("", 4, Some("")), "6:::4"),
            (written(|out| push_error(out, "", "1+0")), "7:::1+0"),
            (written(|out| push_error(out, "/private", "2")), "7::/private:2"),
        ];
        for (got, want) in cases {
            assert_eq!(got, want);
        }
    }

    fn ack_id() -> impl Strategy<Value = AckId> {
        prop_oneof![
            Just(AckId::None),
            any::<u32>().prop_map(AckId::Auto),
            any::<u32>().prop_map(AckId::Data),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            ack in ack_id(),
            endpoint in "(/[^:?]{0,9})?",
            text in any::<String>(),
            list in prop::collection::vec(any::<String>(), 0..3),
            id in any::<u32>(),
        ) {
            let (endpoint, text) = (&*endpoint, &*text);
            let args = &*serde_json::to_string(&list).unwrap();
            let value = &*serde_json::to_string(&text).unwrap();
            let one_line = args.replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029");
            let data = if list.is_empty() { "" } else { &one_line };
            let cases = [
                (written(|out| push_disconnect(out, endpoint)), Packet::Disconnect { endpoint }),
                (written(|out| push_connect(out, endpoint)), Packet::Connect { endpoint, query: "" }),
                (written(|out| push_message(out, ack, endpoint, text)), message(ack, endpoint, text)),
                (written(|out| push_json(out, ack, endpoint, value)), json(ack, endpoint, value)),
                (written(|out| push_event(out, ack, endpoint, text, args.as_bytes())), event(ack, endpoint, text, args)),
                (written(|out| push_ack(out, endpoint, id, None)), Packet::Ack { endpoint, id, data: "" }),
                (written(|out| push_ack(out, endpoint, id, Some(args.as_bytes()))), Packet::Ack { endpoint, id, data }),
                (written(|out| push_error(out, endpoint, text)), Packet::Error { endpoint, reason: text }),
            ];
            for (written, want) in &cases {
                let got = read(written);
                prop_assert_eq!(got.as_ref(), Ok(want), "{}", written);
            }
        }

        /// Texts that are half right; and both ways of reading an event say the same.
        #[test]
        fn half_right_texts(text in "[0-9]?(:|[0-9]|\\+|/a){0,4}(\\{\"name\":\"a)?(\"|,|\"args\":|\\[|\\]|\\}|:|\\\\|é){0,7}") {
            let got = read(&text);
            if let Some(data) = text.strip_prefix("5:::{") {
                let spaced = format!("5:::{{ {data}");
                prop_assert_eq!(parse(&spaced), got);
            }
        }
    }
}
