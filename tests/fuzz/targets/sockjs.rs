//! SockJS, all of it on the same input: what a client sends is read as `serde_json` reads it, what the
//! server writes can be read again, and nothing in a frame ends what is wrapped around it.

use dustdevil::proto::sockjs::message::{self, Broken, Messages};
use dustdevil::proto::sockjs::path::{self, Endpoint, ID_BYTES_MAX};
use dustdevil::proto::sockjs::wrapping::{self, Wrapping};
use dustdevil::proto::sockjs::{Profile, frame, page};
use serde_json::Value;

/// One text: a path, what a client sends, a message for it, a callback, a URL.
pub(crate) fn run(data: &[u8]) {
    bodies(data);
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    paths(text);
    messages(text);
    frames(text);
    pages(text);
}

fn bodies(data: &[u8]) {
    match message::send_body(None, data) {
        Ok(body) => assert_eq!(body.as_bytes(), data),
        Err(Broken::Empty) => assert!(data.is_empty()),
        Err(_) => assert!(std::str::from_utf8(data).is_err()),
    }
    if let Ok(body) = message::send_body(Some("application/x-www-form-urlencoded"), data) {
        assert!(!body.is_empty() && body.len() < data.len());
    }
}

fn paths(path: &str) {
    let Some(endpoint) = path::parse(path) else {
        return;
    };
    let closed = format!("{}/", path.strip_suffix('/').unwrap_or(path));
    assert_eq!(path::parse(&closed), Some(endpoint));
    assert_eq!(path::parse(&format!("{closed}/")), None);
    for method in endpoint.allow().split(", ") {
        assert!(endpoint.is_allowed(method));
    }
    if let Endpoint::Session { id, .. } = endpoint {
        assert!(!id.is_empty() && id.len() <= ID_BYTES_MAX);
        assert!(!id.contains(['/', '.']) && path.contains(id));
    }
}

fn messages(text: &str) {
    let array = message::array(text).map(all);
    let websocket = message::websocket(text).map(all);
    if array.is_ok() {
        assert_eq!(array, websocket);
    }
    if let Ok(messages) = &websocket {
        let mut joined = Vec::new();
        for message in messages {
            if !joined.is_empty() {
                joined.push(b',');
            }
            frame::push_string(&mut joined, message);
        }
        let mut again = Vec::new();
        frame::push_messages(&mut again, &joined);
        let again = std::str::from_utf8(&again[1..]).unwrap();
        assert_eq!(message::array(again).map(all).as_ref(), Ok(messages));
        let read: Vec<String> = serde_json::from_str(again).unwrap();
        assert_eq!(read, *messages);
    }
    match serde_json::from_str(text) {
        Ok(Value::Array(members)) => {
            let messages = array.unwrap();
            assert_eq!(messages.len(), members.len());
            for (message, member) in messages.iter().zip(&members) {
                match member {
                    Value::String(text) => assert_eq!(message, text),
                    _ => assert_eq!(serde_json::from_str::<Value>(message).unwrap(), *member),
                }
            }
        }
        Ok(Value::String(message)) => {
            assert_eq!(array, Err(Broken::NotArray));
            assert_eq!(websocket, Ok(vec![message]));
        }
        Ok(_) => {
            assert_eq!(array, Err(Broken::NotArray));
            assert_eq!(websocket, Err(Broken::NotArray));
        }
        Err(_) if text.is_empty() => {
            assert_eq!(array, Err(Broken::Empty));
            assert_eq!(websocket, Ok(Vec::new()));
        }
        // It minds lone surrogates, numbers that are too large, and the last level of depth.
        Err(_) => assert!(
            array == Err(Broken::Json)
                || text.contains("\\u")
                || text.contains(['e', 'E'])
                || text.len() > 127
        ),
    }
}

fn all(mut messages: Messages<'_>) -> Vec<String> {
    let mut scratch = String::new();
    let mut all = Vec::new();
    while let Some(message) = messages.next(&mut scratch) {
        all.push(message.to_owned());
    }
    all
}

fn frames(text: &str) {
    let mut string = Vec::new();
    frame::push_string(&mut string, text);
    assert_eq!(frame::is_plain(text), string.len() == text.len() + 2);
    let mut message = Vec::new();
    frame::push_message(&mut message, text);
    assert_eq!(message[2..message.len() - 1], string);
    let mut close = Vec::new();
    frame::push_close(&mut close, 3000, text);
    let read: (u16, String) = serde_json::from_slice(&close[1..]).unwrap();
    assert_eq!(read, (3000, text.to_owned()));
    for frame in [&message, &close] {
        wrappings(std::str::from_utf8(frame).unwrap());
    }
    if let Ok(callback) = wrapping::callback(Some(text), wrapping::CALLBACK_BYTES_MAX) {
        assert!(callback == text && text.is_ascii() && (1..=32).contains(&text.len()));
        assert!(!text.contains(|c: char| c.is_ascii_control() || " <>\"'()&;/\\".contains(c)));
    }
}

fn wrappings(frame: &str) {
    assert!(!frame.contains(|c: char| c.is_ascii_control() && c != '\u{7f}'));
    let wrapped = |wrapping: Wrapping| {
        let mut out = Vec::new();
        wrapping.wrap(frame.as_bytes(), Profile::Current, &mut out);
        String::from_utf8(out).unwrap()
    };
    for wrapping in [Wrapping::Xhr, Wrapping::XhrStreaming] {
        assert_eq!(wrapped(wrapping).strip_suffix('\n'), Some(frame));
    }
    let event = wrapped(Wrapping::EventSource);
    let event = event.strip_prefix("data: ").unwrap();
    let event = event.strip_suffix("\r\n\r\n").unwrap();
    assert_eq!(event.replace("%25", "%"), frame);
    assert_eq!(event.matches('%').count(), event.matches("%25").count());
    let page = wrapped(Wrapping::HtmlFile("c".into()));
    let script = page.strip_prefix("<script>\np(").unwrap();
    let script = script.strip_suffix(");\n</script>\r\n").unwrap();
    let call = wrapped(Wrapping::Jsonp("c".into()));
    let call = call.strip_prefix("/**/c(").unwrap();
    assert_eq!(call.strip_suffix(");\r\n"), Some(script));
    assert!(!script.contains(['<', '\u{2028}', '\u{2029}']));
    assert_eq!(serde_json::from_str::<String>(script).unwrap(), frame);
}

fn pages(url: &str) {
    let marks = |page: &str| page.matches(['<', '>', '"', '\'']).count();
    for profile in [Profile::Current, Profile::V033] {
        assert_eq!(
            marks(&page::iframe(url, profile)),
            marks(&page::iframe("", profile))
        );
    }
    let mut info = String::new();
    page::info(&mut info, true, false, Some(url), 7);
    let info: Value = serde_json::from_str(&info).unwrap();
    assert_eq!(info["base_url"], url);
    assert_eq!(page::etag(url.as_bytes()).len(), 42);
}
