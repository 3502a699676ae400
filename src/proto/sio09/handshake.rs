//! The answer that begins a session (section 3), and the scripts that carry answers across domains
//! (sections 3 and 7).
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
