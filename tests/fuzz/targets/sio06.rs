//! Socket.IO 0.6, all of it on the same input: frames are those that a plain reader of UTF-16 finds, what is
//! written can be read again, and nothing in a payload ends the script around it.

use std::borrow::Cow;

use dustdevil::proto::json;
use dustdevil::proto::sio06::frame::{self, Broken, Frame};
use dustdevil::proto::sio06::path::{self, ID_BYTES_MAX};
use dustdevil::proto::sio06::wrapping::{self, Post};

/// One text: a path, a payload, a text to be sent, the body of a request.
pub(crate) fn run(data: &[u8]) {
    bodies(data);
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    paths(text);
    frames(text);
    forms(text);
    written(text);
    scripts(text);
}

fn bodies(data: &[u8]) {
    let plain = wrapping::post_body(Post::Script, data);
    let form = wrapping::post_body(Post::Form, data);
    let (Ok(plain), Ok(form)) = (&plain, &form) else {
        assert_eq!(plain, form);
        return;
    };
    assert!(plain.len() + "data".len() <= data.len());
    assert!(form == plain || **form == plain.replace("\r\n", "\n"));
}

fn paths(path: &str) {
    let Some(route) = path::parse(path) else {
        return;
    };
    let name = route.transport.name();
    assert_eq!(route.is_websocket(), name.ends_with("socket"));
    let start = format!("{}/{name}", route.extra);
    let tail = path.strip_prefix(&start).unwrap();
    let session = route.session.unwrap_or_default();
    assert!(session.len() <= ID_BYTES_MAX && session.bytes().all(|b| b.is_ascii_alphanumeric()));
    assert_eq!(tail.split('/').nth(1).unwrap_or_default(), session);
    assert!(route.index.is_none() || name == "jsonp-polling");
    let again = match route.index {
        None => format!("{start}/{session}"),
        Some(index) => {
            let mut segments = tail.split('/').skip(2);
            assert!(segments.any(|segment| segment.parse() == Ok(index)));
            format!("{start}/{session}/1290000000000/{index}")
        }
    };
    assert_eq!(path::parse(&again), Some(route));
}

/// The text as a payload, against a reader that goes by the letter.
fn frames(payload: &str) {
    let got: Vec<_> = frame::frames(payload).collect();
    assert_eq!(got.len(), plain_frames(payload).len());
    for (got, want) in got.iter().zip(plain_frames(payload)) {
        match (got, want) {
            (Err(Broken::Head), None) => {}
            (Ok(Frame::Json(value)), Some(data)) => {
                let behind = data.strip_prefix("~j~");
                assert_eq!(behind.and_then(json::checked), Some(*value));
            }
            (Err(Broken::Json), Some(data)) => {
                let behind = data.strip_prefix("~j~").unwrap();
                assert_eq!(json::checked(behind), None);
            }
            (Ok(Frame::Heartbeat(number)), Some(data)) => assert_eq!(data, format!("~h~{number}")),
            (Ok(Frame::Text(text)), Some(data)) => {
                assert_eq!(*text, data);
                assert!(!data.starts_with("~j~") && !data.starts_with("~h~"));
            }
            (got, want) => panic!("{got:?}, {want:?}"),
        }
    }
    // What was read is written as it was, but for lengths.
    let mut out = Vec::new();
    for frame in got.iter().flatten() {
        match frame {
            Frame::Text(text) => frame::push_text(&mut out, text),
            Frame::Json(value) => frame::push_json(&mut out, value),
            Frame::Heartbeat(number) => match number.parse() {
                Ok(number) => frame::push_heartbeat(&mut out, number),
                Err(_) => frame::push_heartbeat(&mut out, 0),
            },
        }
    }
    let out = std::str::from_utf8(&out).unwrap();
    let again: Vec<_> = frame::frames(out).collect();
    let good: Vec<_> = got.iter().flatten().collect();
    assert_eq!(again.len(), good.len());
    for (again, frame) in again.iter().zip(good) {
        match frame {
            Frame::Heartbeat(_) => assert!(matches!(again, Ok(Frame::Heartbeat(_)))),
            frame => assert_eq!(again.as_ref(), Ok(frame)),
        }
    }
}

/// The data of each frame; `None`: a broken head.
fn plain_frames(payload: &str) -> Vec<Option<String>> {
    let units: Vec<u16> = payload.encode_utf16().collect();
    let mark: Vec<u16> = "~m~".encode_utf16().collect();
    let mut frames = Vec::new();
    let mut rest = &units[..];
    while !rest.is_empty() {
        let frame = plain_frame(rest, &mark);
        frames.push(frame.as_ref().map(|(data, _)| data.clone()));
        match frame {
            Some((_, behind)) => rest = behind,
            None => break,
        }
    }
    frames
}

fn plain_frame<'u>(units: &'u [u16], mark: &[u16]) -> Option<(String, &'u [u16])> {
    let rest = units.strip_prefix(mark)?;
    let digits = rest.iter().position(|unit| !(0x30..0x3a).contains(unit))?;
    let (number, rest) = rest.split_at(digits);
    let rest = rest.strip_prefix(mark)?;
    let number = String::from_utf16(number).unwrap();
    if number.is_empty() {
        return None;
    }
    let wanted: usize = number.parse().unwrap_or(usize::MAX);
    let (data, behind) = rest.split_at(wanted.min(rest.len()));
    Some((String::from_utf16(data).ok()?, behind))
}

/// The text as messages of a client, from a script and from a form of the browser.
fn forms(text: &str) {
    // What the browser does to the ends of lines.
    let text = text.replace('\r', "");
    let mut payload = Vec::new();
    text.split(':')
        .for_each(|message| frame::push_text(&mut payload, message));
    let payload = std::str::from_utf8(&payload).unwrap();
    let post = |kind, payload: &str| {
        let escaped: String = payload.bytes().map(|b| format!("%{b:02X}")).collect();
        let body = format!("a=b&data={escaped}");
        wrapping::post_body(kind, body.as_bytes()).map(Cow::into_owned)
    };
    assert_eq!(post(Post::Script, payload).as_deref(), Ok(payload));
    let browser = payload.replace('\n', "\r\n");
    let got = post(Post::Form, &browser).unwrap();
    // A length that was too short can by chance be right, where the text looks like a head.
    if !text.contains("m~") {
        assert_eq!(got, payload);
    }
}

/// The text as messages of the server.
fn written(text: &str) {
    let messages: Vec<&str> = text.split(':').collect();
    let mut payload = Vec::new();
    for (number, message) in messages.iter().enumerate() {
        frame::push_text(&mut payload, message);
        frame::push_heartbeat(&mut payload, number as u32);
    }
    let payload = std::str::from_utf8(&payload).unwrap();
    let mut frames = frame::frames(payload);
    for (number, message) in messages.iter().enumerate() {
        let text = match frames.next().unwrap().unwrap() {
            Frame::Text(text) => Cow::Borrowed(text),
            Frame::Json(value) => json::string(value).unwrap(),
            Frame::Heartbeat(_) => panic!("{message} became a heartbeat"),
        };
        assert_eq!(text, *message);
        let number = number.to_string();
        assert_eq!(frames.next(), Some(Ok(Frame::Heartbeat(&number))));
    }
    assert_eq!(frames.next(), None);
}

fn scripts(text: &str) {
    let mut call = Vec::new();
    wrapping::push_jsonp(&mut call, 7, text);
    let call = std::str::from_utf8(&call).unwrap();
    let string = call.strip_prefix("io.JSONP[7]._(").unwrap();
    let string = string.strip_suffix(");").unwrap();
    assert!(!string.contains(['<', '\u{2028}', '\u{2029}']));
    assert!(!string.contains(|c: char| c.is_ascii_control() && c != '\u{7f}'));
    assert_eq!(serde_json::from_str::<String>(string).unwrap(), text);
    let mut page = Vec::new();
    wrapping::push_htmlfile(&mut page, text);
    let want = format!("<script>parent.s._({string}, document);</script>");
    assert_eq!(page, want.as_bytes());
    let mut part = Vec::new();
    wrapping::push_part(&mut part, text);
    let part = std::str::from_utf8(&part).unwrap();
    let (head, body) = part.split_once("\n\n").unwrap();
    assert_eq!(head, "Content-Type: text/plain; charset=UTF-8");
    assert_eq!(body, format!("{text}\n--socketio\n"));
}
