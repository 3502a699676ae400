//! Socket.IO 0.7 to 0.9, all of it on the same input: packets say what their text says, what is written
//! can be read again, and nothing in a payload ends the script around it.

use dustdevil::proto::json;
use dustdevil::proto::sio09::handshake;
use dustdevil::proto::sio09::packet::{self, AckId, Broken, Packet};
use dustdevil::proto::sio09::path::{self, ID_BYTES_MAX, Route};
use dustdevil::proto::sio09::payload::{self, Payload};
use dustdevil::proto::sio09::wrapping::{self, Post};
use serde_json::Value;

/// One text: a path, a packet, a body with several, a value, a parameter.
pub(crate) fn run(data: &[u8]) {
    bodies(data);
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    paths(text);
    packets(text);
    payloads(text);
    events(text);
    parts(text);
    scripts(text);
}

fn bodies(data: &[u8]) {
    let text = std::str::from_utf8(data).ok();
    let plain = wrapping::post_body(Post::Plain, Some("text/plain"), data);
    assert_eq!(plain.ok().as_deref(), text);
    if let Ok(body) = wrapping::post_body(Post::Plain, None, data) {
        assert!(text.unwrap().ends_with(&*body) && body.len() + 5 >= data.len());
    }
    if let Ok(body) = wrapping::post_body(Post::Jsonp, None, data) {
        assert!(body.len() < data.len());
    }
}

fn paths(path: &str) {
    let index = handshake::jsonp_index(Some(path));
    assert!(index.is_none_or(|index| path.parse() == Ok(index)));
    match path::parse(path) {
        None | Some(Route::ClientFile) => {}
        Some(route) => {
            let closed = format!("{}/", path.strip_suffix('/').unwrap_or(path));
            assert_eq!(path::parse(&closed), Some(route));
            if let Route::Transport {
                transport,
                name,
                sid,
            } = route
            {
                assert!(!sid.is_empty() && sid.len() <= ID_BYTES_MAX && !sid.contains('/'));
                assert!(transport.is_none_or(|transport| transport.name() == name));
                assert_eq!(closed, format!("/1/{name}/{sid}/"));
            }
        }
    }
}

fn packets(text: &str) {
    let Ok(packet) = packet::parse(text) else {
        return;
    };
    let mut out = Vec::new();
    match &packet {
        Packet::Disconnect { endpoint } => packet::push_disconnect(&mut out, endpoint),
        Packet::Connect { endpoint, query } => {
            assert!(text.ends_with(query));
            packet::push_connect(&mut out, endpoint);
        }
        Packet::Heartbeat => out.extend_from_slice(packet::HEARTBEAT),
        Packet::Message {
            ack,
            endpoint,
            data,
        } => packet::push_message(&mut out, *ack, endpoint, data),
        Packet::Json {
            ack,
            endpoint,
            data,
        } => {
            assert_eq!(json::checked(data), Some(*data));
            packet::push_json(&mut out, *ack, endpoint, data);
        }
        Packet::Event {
            ack,
            endpoint,
            name,
            args,
        } => {
            assert!(json::checked(args) == Some(*args) && args.starts_with('['));
            packet::push_event(&mut out, *ack, endpoint, name, args.as_bytes());
        }
        Packet::Ack { endpoint, id, data } => {
            assert!(data.is_empty() || json::checked(data) == Some(*data));
            packet::push_ack(&mut out, endpoint, *id, Some(data.as_bytes()));
        }
        Packet::Error { endpoint, reason } => packet::push_error(&mut out, endpoint, reason),
        Packet::Noop => out.extend_from_slice(packet::NOOP),
    }
    let want = match packet {
        Packet::Connect { endpoint, .. } => Packet::Connect {
            endpoint,
            query: "",
        },
        // An empty list is not written.
        Packet::Ack {
            endpoint,
            id,
            data: "[]",
        } => Packet::Ack {
            endpoint,
            id,
            data: "",
        },
        packet => packet,
    };
    assert_eq!(packet::parse(std::str::from_utf8(&out).unwrap()), Ok(want));
}

fn payloads(text: &str) {
    let packets: Vec<&str> = payload::packets(text).collect();
    assert!(packets.iter().map(|packet| packet.len()).sum::<usize>() <= text.len());
    assert!(packets.iter().all(|packet| !packet.is_empty()));
    for packets in [packets, text.split_inclusive(':').collect()] {
        let mut payload = Payload::new();
        for packet in &packets {
            payload.push(packet);
        }
        let mut body = Vec::new();
        payload.take_into(&mut body);
        let body = std::str::from_utf8(&body).unwrap();
        // No packet begins so; one that does is taken for a head if it is alone.
        if packets.len() > 1 || !body.starts_with('\u{fffd}') {
            assert_eq!(payload::packets(body).collect::<Vec<_>>(), packets);
        }
    }
}

/// The text as the data of an event, against serde_json.
fn events(text: &str) {
    let packet = format!("5:1+:/a:{text}");
    let got = packet::parse(&packet);
    let mended = json::without_lone_surrogates(text);
    match serde_json::from_str::<Value>(&mended) {
        Ok(Value::Object(object)) => {
            let name = object.get("name").and_then(Value::as_str);
            let args = object.get("args");
            match (name, args) {
                (None, _) => assert_eq!(got, Err(Broken::NoName)),
                (Some(_), Some(args)) if !args.is_array() => assert_eq!(got, Err(Broken::Json)),
                (Some(name), args) => {
                    let Ok(Packet::Event {
                        ack,
                        endpoint,
                        name: got,
                        args: list,
                    }) = got
                    else {
                        panic!("{got:?}");
                    };
                    assert_eq!((ack, endpoint, &*got), (AckId::Data(1), "/a", name));
                    let list = json::without_lone_surrogates(list);
                    let list: Value = serde_json::from_str(&list).unwrap();
                    assert_eq!(list, args.cloned().unwrap_or(Value::Array(Vec::new())));
                }
            }
        }
        Ok(_) => assert_eq!(got, Err(Broken::Json)),
        // It minds numbers that are too large, and the last level of depth.
        Err(_) => {
            assert!(got == Err(Broken::Json) || text.contains(['e', 'E']) || text.len() > 127)
        }
    }
}

fn parts(text: &str) {
    let checked = json::checked(text);
    let members: Result<Vec<_>, _> = json::members(text).collect();
    let is_object = checked.is_some_and(|value| value.starts_with('{'));
    assert_eq!(members.is_ok(), is_object);
    for (key, value) in members.unwrap_or_default() {
        assert!(json::string(key).is_some());
        assert_eq!(json::checked(value), Some(value));
    }
    let Some(value) = checked else { return };
    let mut rest = value;
    for element in json::elements(value) {
        assert_eq!(json::checked(element), Some(element));
        rest = &rest[rest.find(element).unwrap() + element.len()..];
    }
    if value.starts_with('[') {
        assert!(rest.trim_start_matches('[').trim() == "]");
    }
    assert_eq!(json::string(value).is_some(), value.starts_with('"'));
}

fn scripts(text: &str) {
    let mut call = Vec::new();
    handshake::push_jsonp(&mut call, 7, text);
    let call = std::str::from_utf8(&call).unwrap();
    let string = call.strip_prefix("io.j[7](").unwrap();
    let string = string.strip_suffix(");").unwrap();
    assert!(!string.contains(['<', '\u{2028}', '\u{2029}']));
    assert!(!string.contains(|c: char| c.is_ascii_control() && c != '\u{7f}'));
    assert_eq!(serde_json::from_str::<String>(string).unwrap(), text);
    let mut error = Vec::new();
    handshake::push_jsonp_error(&mut error, 7, text);
    assert_eq!(error, format!("io.j[7](new Error({string}));").as_bytes());
    let mut page = Vec::new();
    wrapping::push_htmlfile(&mut page, text);
    assert_eq!(page, format!("<script>_({string});</script>").as_bytes());
    let mut plain = Vec::new();
    json::push_string(&mut plain, text);
    let plain = std::str::from_utf8(&plain).unwrap();
    assert_eq!(plain, serde_json::to_string(text).unwrap());
    for json in [plain, string] {
        assert_eq!(json::string(json).as_deref(), Some(text));
    }
}
