//! The answer that begins a session, and the scripts that carry answers across domains.
//!
//! Not here: ids and how they are made; who may have a session; CORS.

use crate::proto::json;

/// Appends `sid:heartbeat:close:transports`, both time-outs in seconds; without a heartbeat its field is
/// empty. The client tries the transports in this order.
pub fn push_body(
    out: &mut Vec<u8>,
    sid: &str,
    heartbeat: Option<u64>,
    close: u64,
    transports: &[&str],
) {
    debug_assert!(!sid.contains(':'), "{sid}");
    let mut digits = itoa::Buffer::new();
    out.extend_from_slice(sid.as_bytes());
    out.push(b':');
    if let Some(seconds) = heartbeat {
        out.extend_from_slice(digits.format(seconds).as_bytes());
    }
    out.push(b':');
    out.extend_from_slice(digits.format(close).as_bytes());
    for (n, transport) in transports.iter().enumerate() {
        out.push(if n == 0 { b':' } else { b',' });
        out.extend_from_slice(transport.as_bytes());
    }
    if transports.is_empty() {
        out.push(b':');
    }
}

/// Appends a call of the client's function of this index, with `payload` as a string: the answer of a
/// handshake with `jsonp=`, or of a jsonp-polling request with `i=`.
pub fn push_jsonp(out: &mut Vec<u8>, index: u32, payload: &str) {
    out.reserve(payload.len() + 32);
    push_function(out, index);
    json::push_script_string(out, payload);
    out.extend_from_slice(b");");
}

/// Appends a call with an error of this text: a handshake that is refused.
pub fn push_jsonp_error(out: &mut Vec<u8>, index: u32, text: &str) {
    push_function(out, index);
    out.extend_from_slice(b"new Error(");
    json::push_script_string(out, text);
    out.extend_from_slice(b"));");
}

fn push_function(out: &mut Vec<u8>, index: u32) {
    out.extend_from_slice(b"io.j[");
    out.extend_from_slice(itoa::Buffer::new().format(index).as_bytes());
    out.extend_from_slice(b"](");
}

/// Reads the parameter `jsonp` or `i`. `None`: it is missing, is no number, or is a number that no client
/// counts to.
pub fn jsonp_index(value: Option<&str>) -> Option<u32> {
    let value = value?;
    let is_number = value.len() <= INDEX_DIGITS_MAX && value.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| value.parse().ok())?
}

/// Clients count their requests from 0.
const INDEX_DIGITS_MAX: usize = 9;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = b"before ".to_vec();
        write(&mut out);
        String::from_utf8(out).unwrap().split_off(7)
    }

    #[test]
    fn bodies() {
        let body = |sid, heartbeat, close, transports: &[&str]| {
            written(|out| push_body(out, sid, heartbeat, close, transports))
        };
        #[rustfmt::skip]
        let cases = [
            (
                body("3_4JbTIUyfQDR_042vr1", Some(60), 60, &["websocket", "flashsocket", "htmlfile", "xhr-polling", "jsonp-polling"]),
                "3_4JbTIUyfQDR_042vr1:60:60:websocket,flashsocket,htmlfile,xhr-polling,jsonp-polling",
            ),
            (
                body("d167fb298488654a4bedd507c42b32bf", Some(17), 25, &["websocket", "xhr-polling"]),
                "d167fb298488654a4bedd507c42b32bf:17:25:websocket,xhr-polling",
            ),
            (body("SID", None, 60, &["websocket"]), "SID::60:websocket"),
            (body("SID", Some(0), u64::MAX, &[]), "SID:0:18446744073709551615:"),
        ];
        for (got, want) in cases {
            assert_eq!(got, want);
        }
    }

    #[test]
    fn scripts() {
        let call = |index, payload| written(|out| push_jsonp(out, index, payload));
        let error = |index, text| written(|out| push_jsonp_error(out, index, text));
        #[rustfmt::skip]
        let cases = [
            (call(0, "1::"), r#"io.j[0]("1::");"#), (call(0, "7:::1+0"), r#"io.j[0]("7:::1+0");"#),
            (call(7, "SID:60:60:websocket"), r#"io.j[7]("SID:60:60:websocket");"#), (call(0, ""), r#"io.j[0]("");"#),
            (call(u32::MAX, "8::"), r#"io.j[4294967295]("8::");"#),
            (call(0, "5:::{\"name\":\"a\"}"), r#"io.j[0]("5:::{\"name\":\"a\"}");"#),
            (call(0, "3:::</script>&'/\\\r\n\0"), r#"io.j[0]("3:::\u003c/script>&'/\\\r\n\u0000");"#),
            (call(0, "3:::\u{2027}\u{2028}\u{2029}\u{202a}é\u{1f600}\u{fffd}"), "io.j[0](\"3:::\u{2027}\\u2028\\u2029\u{202a}é\u{1f600}\u{fffd}\");"),
            (error(0, "handshake unauthorized"), r#"io.j[0](new Error("handshake unauthorized"));"#),
            (error(3, "handshake \"error\"<\u{2028}"), r#"io.j[3](new Error("handshake \"error\"\u003c\u2028"));"#),
        ];
        for (got, want) in cases {
            assert_eq!(got, want);
        }
        assert_eq!(call(0, "1::").len(), 15);
    }

    #[test]
    fn indexes() {
        #[rustfmt::skip]
        let cases = [
            (None, None), (Some(""), None), (Some("0"), Some(0)), (Some("12"), Some(12)), (Some("007"), Some(7)),
            (Some("999999999"), Some(999_999_999)), (Some("1000000000"), None), (Some("99999999999999999999"), None),
            (Some("-1"), None), (Some("+1"), None), (Some(" 1"), None), (Some("1 "), None), (Some("1.0"), None),
            (Some("0x1"), None), (Some("1e3"), None), (Some("alert(1)"), None), (Some("0]("), None),
            (Some("\u{661}"), None),
        ];
        for (value, want) in cases {
            assert_eq!(jsonp_index(value), want, "{value:?}");
        }
    }

    proptest! {
        /// A browser gets the payload, and nothing in it ends the script.
        #[test]
        fn payloads_come_out_as_they_went_in(text in "(\\PC|\u{2028}|\u{2029}|<|\"|\\\\|\n|[a-z]){0,40}", index in any::<u32>()) {
            let call = written(|out| push_jsonp(out, index, &text));
            let string = call.strip_prefix(&format!("io.j[{index}](")).unwrap();
            let string = string.strip_suffix(");").unwrap();
            assert!(!string.contains(['<', '\u{2028}', '\u{2029}']));
            prop_assert_eq!(serde_json::from_str::<String>(string).unwrap(), text);
        }
    }
}
