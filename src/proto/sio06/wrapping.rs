//! What stands around payloads: scripts, parts and pages on their way out, forms on their way in.

use super::frame;
use crate::proto::http::url;
use crate::proto::json;
use std::borrow::Cow;

/// The payload of a POST, from the field `data` of its form, whatever the type of the body. `jsonp`: a form
/// of the browser brought it, which has made every LF a CR LF after the lengths were counted; where the
/// lengths fit only without, that is undone.
///
/// # Errors
///
/// It is no UTF-8, or has no such field.
pub fn post_body(body: &[u8], jsonp: bool) -> Result<Cow<'_, str>, BadBody> {
    let body = std::str::from_utf8(body).map_err(|_| BadBody)?;
    let payload = url::form_value(body, "data").ok_or(BadBody)?;
    let payload = payload.map_err(|_| BadBody)?;
    if jsonp && payload.contains("\r\n") && !frame::is_exact(&payload) {
        let repaired = payload.replace("\r\n", "\n");
        if frame::is_exact(&repaired) {
            return Ok(repaired.into());
        }
    }
    Ok(payload)
}

/// The body of a POST cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadBody;

/// Appends a call of the client's function of this index, with `payload` as a string.
pub fn push_jsonp(out: &mut Vec<u8>, index: u32, payload: &str) {
    out.extend_from_slice(b"io.JSONP[");
    out.extend_from_slice(itoa::Buffer::new().format(index).as_bytes());
    out.extend_from_slice(b"]._(");
    json::push_script_string(out, payload);
    out.extend_from_slice(b");");
}

/// Appends a script for the page of htmlfile.
pub fn push_htmlfile(out: &mut Vec<u8>, payload: &str) {
    out.extend_from_slice(b"<script>parent.s._(");
    json::push_script_string(out, payload);
    out.extend_from_slice(b", document);</script>");
}

/// What the page of htmlfile begins with: long enough for clients that wait for 256 bytes.
pub const HTMLFILE_PRELUDE: &[u8] = &{
    let mut prelude = [b' '; 256];
    let page = b"<html><body>";
    let mut at = 0;
    while at < page.len() {
        prelude[at] = page[at];
        at += 1;
    }
    prelude
};

/// Appends a part of xhr-multipart, and the line that ends it.
pub fn push_part(out: &mut Vec<u8>, payload: &str) {
    out.extend_from_slice(b"Content-Type: text/plain; charset=UTF-8\n\n");
    out.extend_from_slice(payload.as_bytes());
    out.extend_from_slice(b"\n");
    out.extend_from_slice(MULTIPART_PRELUDE);
}

/// What an answer of xhr-multipart begins with.
pub const MULTIPART_PRELUDE: &[u8] = b"--socketio\n";
/// The type of such an answer.
pub const MULTIPART_CONTENT_TYPE: &str = "multipart/x-mixed-replace;boundary=\"socketio\"";

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn bodies() {
        let real = "data=~m~7~m~h%C3%A9%F0%9F%98%80llo";
        #[rustfmt::skip]
        let cases: &[(&str, bool, Result<&str, BadBody>)] = &[
            (real, false, Ok("~m~7~m~hé\u{1f600}llo")),
            ("data=~m~3~m~a+b", false, Ok("~m~3~m~a b")),
            ("data=~m~3~m~a%0D%0Ab", true, Ok("~m~3~m~a\nb")),
            ("data=~m~4~m~a%0D%0Ab", true, Ok("~m~4~m~a\r\nb")),
            ("data=~m~3~m~a%0D%0Ab", false, Ok("~m~3~m~a\r\nb")),
            ("data=~m~9~m~a%0D%0Ab", true, Ok("~m~9~m~a\r\nb")),
            ("data=", false, Ok("")), ("", false, Err(BadBody)), ("d=x", false, Err(BadBody)),
        ];
        for (body, jsonp, want) in cases {
            let got = post_body(body.as_bytes(), *jsonp);
            assert_eq!(got.as_deref(), want.as_ref().map(|text| *text), "{body}");
            for cut in 0..body.len() {
                let _ = post_body(&body.as_bytes()[..cut], *jsonp);
            }
        }
        assert_eq!(post_body(b"data=\xff", false), Err(BadBody));
    }

    #[test]
    fn wrappings() {
        let jsonp = written(|out| push_jsonp(out, 0, "~m~8~m~Welcome!"));
        assert_eq!(jsonp, r#"io.JSONP[0]._("~m~8~m~Welcome!");"#);
        assert_eq!(
            written(|out| push_jsonp(out, 3, "</\u{2028}")),
            r#"io.JSONP[3]._("\u003c/\u2028");"#
        );
        assert_eq!(
            written(|out| push_htmlfile(out, "~m~5~m~hello")),
            r#"<script>parent.s._("~m~5~m~hello", document);</script>"#
        );
        assert_eq!(HTMLFILE_PRELUDE.len(), 256);
        assert_eq!(
            written(|out| push_part(out, "~m~1~m~a")),
            "Content-Type: text/plain; charset=UTF-8\n\n~m~1~m~a\n--socketio\n"
        );
    }
}
