//! What stands around payloads: the bodies of POST requests, and the scripts, pages and parts of answers.
//! An answer of xhr-polling is the payload itself.
//!
//! Not here: chunks, HTTP heads, and when an answer ends.

use std::borrow::Cow;

use super::frame;
use crate::proto::http::url;
use crate::proto::json;

/// Who made the form that a POST request carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Post {
    /// The client: all but jsonp-polling.
    Script,
    /// The browser, which makes each LF a CR LF after the lengths were counted: jsonp-polling.
    Form,
}

/// A body that is not UTF-8, or has no payload: 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadBody;

/// Takes the payload out of the body of a POST request: the field `data` of a form. The type of the body
/// does not matter: some clients cannot set one.
///
/// Of a form of the browser CR LF are read as LF where the lengths fit only then.
///
/// # Errors
///
/// The body or the field is not UTF-8; or there is no field.
pub fn post_body(kind: Post, body: &[u8]) -> Result<Cow<'_, str>, BadBody> {
    let body = std::str::from_utf8(body).map_err(|_| BadBody)?;
    let payload = url::form_value(body, "data").ok_or(BadBody)?;
    let payload = payload.map_err(|_| BadBody)?;
    Ok(match kind {
        Post::Script => payload,
        Post::Form => with_counted_ends(payload),
    })
}

/// The payload with its ends of lines as they were counted, if that can be told.
fn with_counted_ends(payload: Cow<'_, str>) -> Cow<'_, str> {
    if !payload.contains("\r\n") || frame::is_exact(&payload) {
        return payload;
    }
    let counted = payload.replace("\r\n", "\n");
    match frame::is_exact(&counted) {
        true => Cow::Owned(counted),
        false => payload,
    }
}

/// Appends a call of the client's function of this index, with `payload` as a string.
pub fn push_jsonp(out: &mut Vec<u8>, index: u32, payload: &str) {
    out.reserve(payload.len() + 32);
    out.extend_from_slice(b"io.JSONP[");
    out.extend_from_slice(itoa::Buffer::new().format(index).as_bytes());
    out.extend_from_slice(b"]._(");
    json::push_script_string(out, payload);
    out.extend_from_slice(b");");
}

/// Appends the script that hands `payload` to the page around the one of htmlfile.
pub fn push_htmlfile(out: &mut Vec<u8>, payload: &str) {
    out.reserve(payload.len() + 48);
    out.extend_from_slice(b"<script>parent.s._(");
    json::push_script_string(out, payload);
    out.extend_from_slice(b", document);</script>");
}

/// The head of the page, filled up to 256 bytes so that browsers begin to show it.
pub const HTMLFILE_PRELUDE: &[u8] = &{
    let mut prelude = [b' '; 256];
    let mut at = 0;
    while at < PAGE.len() {
        prelude[at] = PAGE[at];
        at += 1;
    }
    prelude
};
const PAGE: &[u8] = b"<html><body>";

/// Appends a part of xhr-multipart, and the boundary that ends it: a browser shows no part before that.
/// Ends of lines are bare LF, as the client's transport has always had them.
pub fn push_part(out: &mut Vec<u8>, payload: &str) {
    out.reserve(payload.len() + 64);
    out.extend_from_slice(b"Content-Type: text/plain; charset=UTF-8\n\n");
    out.extend_from_slice(payload.as_bytes());
    out.extend_from_slice(b"\n");
    out.extend_from_slice(MULTIPART_PRELUDE);
}

/// What an answer of xhr-multipart begins with: a boundary.
pub const MULTIPART_PRELUDE: &[u8] = b"--socketio\n";
/// The type of such an answer, with the boundary between its parts.
pub const MULTIPART_CONTENT_TYPE: &str = "multipart/x-mixed-replace;boundary=\"socketio\"";

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
    fn scripts() {
        let call = |index, payload| written(|out| push_jsonp(out, index, payload));
        let page = |payload| written(|out| push_htmlfile(out, payload));
        #[rustfmt::skip]
        let cases = [
            (call(0, "~m~8~m~Welcome!"), r#"io.JSONP[0]._("~m~8~m~Welcome!");"#), (call(0, ""), r#"io.JSONP[0]._("");"#),
            (call(0, "~m~16~m~7477426013698016"), r#"io.JSONP[0]._("~m~16~m~7477426013698016");"#),
            (call(7, "~m~14~m~~j~{\"a\":[1,2]}"), r#"io.JSONP[7]._("~m~14~m~~j~{\"a\":[1,2]}");"#),
            (call(u32::MAX, "a"), r#"io.JSONP[4294967295]._("a");"#),
            (call(7, "~m~24~m~say \"hi\" </script> \u{2028} \u{e9}\u{1f600}"),
             "io.JSONP[7]._(\"~m~24~m~say \\\"hi\\\" \\u003c/script> \\u2028 \u{e9}\u{1f600}\");"),
            (call(0, "</script>&'/\\\r\n\0\u{2029}"), r#"io.JSONP[0]._("\u003c/script>&'/\\\r\n\u0000\u2029");"#),
            (page("~m~5~m~hello"), r#"<script>parent.s._("~m~5~m~hello", document);</script>"#),
            (page(""), r#"<script>parent.s._("", document);</script>"#),
            (page("~m~13~m~</script><b>\""), r#"<script>parent.s._("~m~13~m~\u003c/script>\u003cb>\"", document);</script>"#),
            (page("<!--<script>\u{2028}\u{2029}\u{e9}\u{1f600}\n\\"),
             "<script>parent.s._(\"\\u003c!--\\u003cscript>\\u2028\\u2029\u{e9}\u{1f600}\\n\\\\\", document);</script>"),
            (page("~m~1~m~a~m~12~m~~j~{\"k\":\"v\"}"),
             r#"<script>parent.s._("~m~1~m~a~m~12~m~~j~{\"k\":\"v\"}", document);</script>"#),
        ];
        for (got, want) in cases {
            assert_eq!(got, want);
        }
        assert_eq!(call(0, "~m~8~m~Welcome!").len(), 33);
        let blanks = " ".repeat(244);
        let prelude = format!("<html><body>{blanks}");
        assert_eq!(HTMLFILE_PRELUDE, prelude.as_bytes());
        assert_eq!(HTMLFILE_PRELUDE.len(), 256);
    }

    #[test]
    fn parts() {
        let stream = written(|out| {
            out.extend_from_slice(MULTIPART_PRELUDE);
            for payload in [
                "~m~16~m~8483396674876769",
                "~m~1~m~\u{e9}",
                "~m~13~m~</script><b>\"",
                "",
            ] {
                push_part(out, payload);
            }
        });
        let want = "--socketio\n\
            Content-Type: text/plain; charset=UTF-8\n\n~m~16~m~8483396674876769\n--socketio\n\
            Content-Type: text/plain; charset=UTF-8\n\n~m~1~m~\u{e9}\n--socketio\n\
            Content-Type: text/plain; charset=UTF-8\n\n~m~13~m~</script><b>\"\n--socketio\n\
            Content-Type: text/plain; charset=UTF-8\n\n\n--socketio\n";
        assert_eq!(stream, want);
        assert!(MULTIPART_CONTENT_TYPE.ends_with(";boundary=\"socketio\""));
    }

    #[test]
    fn bodies() {
        use Post::{Form, Script};
        #[rustfmt::skip]
        let cases: &[(Post, &[u8], Option<&str>)] = &[
            (Script, b"data=~m~5~m~hello", Some("~m~5~m~hello")), (Form, b"data=~m~1~m~x", Some("~m~1~m~x")),
            (Script, b"data=~m~7~m~h%C3%A9%F0%9F%98%80llo", Some("~m~7~m~h\u{e9}\u{1f600}llo")),
            (Script, b"data=~m~2~m~\xc3\xa9%c3%a9", Some("~m~2~m~\u{e9}\u{e9}")),
            (Script, b"data=~m~13~m~%3C%2Fscript%3E%3Cb%3E%22", Some("~m~13~m~</script><b>\"")),
            (Script, b"data=%7Em%7E6%7Em%7Ea%2Bb%3D%26c", Some("~m~6~m~a+b=&c")),
            (Script, b"data=~m~6~m~a+b%41", Some("~m~6~m~a bA")), (Form, b"data=~m~3~m~a+b", Some("~m~3~m~a b")),
            (Script, b"data=~m~1~m~a=b", Some("~m~1~m~a=b")), (Script, b"data=~m~3~m~%zz%", Some("~m~3~m~%zz%")),
            (Script, b"data=", Some("")), (Form, b"data", Some("")), (Script, b"data=garbage", Some("garbage")),
            (Script, b"a=1&data=~m~1~m~x&data=2", Some("~m~1~m~x")), (Script, b"d%61ta=x&b", Some("x")),
            // Ends of lines that the browser changed.
            (Form, b"data=~m~3~m~a%0D%0Ab", Some("~m~3~m~a\nb")), (Form, b"data=~m~3~m~a\r\nb", Some("~m~3~m~a\nb")),
            (Form, b"data=~m~1~m~%0D%0A~m~2~m~%0D%0A%0D%0A~m~1~m~x", Some("~m~1~m~\n~m~2~m~\n\n~m~1~m~x")),
            (Form, b"data=~m~4~m~%C3%A9%0D%0A%F0%9F%98%80", Some("~m~4~m~\u{e9}\n\u{1f600}")),
            // And that are as they were counted; or nobody knows.
            (Form, b"data=~m~4~m~c%0D%0Ad", Some("~m~4~m~c\r\nd")), (Form, b"data=~m~3~m~a%0Ab", Some("~m~3~m~a\nb")),
            (Form, b"data=~m~3~m~a%0Db", Some("~m~3~m~a\rb")), (Form, b"data=~m~9~m~a%0D%0Ab", Some("~m~9~m~a\r\nb")),
            (Form, b"data=~m~4~m~c%0D%0Ad~m~1~m~%0D%0A", Some("~m~4~m~c\r\nd~m~1~m~\r\n")),
            (Form, b"data=%0D%0A", Some("\r\n")), (Script, b"data=~m~3~m~a%0D%0Ab", Some("~m~3~m~a\r\nb")),
            // No field.
            (Script, b"", None), (Form, b"", None), (Script, b"nodata=1", None), (Script, b"DATA=1", None), (Script, b"d=x", None),
            (Script, b"~m~1~m~x", None), (Script, b"=data", None), (Script, b" data=x", None),
            // No UTF-8.
            (Script, b"data=\xff", None), (Script, b"data=%FF", None), (Form, b"data=%ED%A0%80", None),
            (Script, b"data=~m~1~m~%C3", None), (Script, b"\xff&data=x", None),
        ];
        for &(kind, body, want) in cases {
            let got = post_body(kind, body);
            let want = want.ok_or(BadBody);
            assert_eq!(
                got.as_deref(),
                want.as_deref(),
                "{kind:?} {}",
                body.escape_ascii()
            );
            for cut in 0..body.len() {
                post_body(kind, &body[..cut]).ok();
                post_body(kind, &body[cut..]).ok();
            }
        }
    }

    proptest! {
        #[test]
        fn what_clients_send_is_read(payload in any::<String>()) {
            let mut form = String::from("data=");
            url::encode_component(&payload, &mut form);
            let got = post_body(Post::Script, form.as_bytes());
            prop_assert_eq!(got.as_deref(), Ok(&*payload));
        }

        /// A browser sends each CR, LF and CR LF of a form as CR LF.
        #[test]
        fn what_browsers_send_is_read(texts in prop::collection::vec("([a-z]|\n|é|\u{1f600}| ){0,8}", 0..5)) {
            let payload = written(|out| texts.iter().for_each(|text| frame::push_text(out, text)));
            let mut form = String::from("data=");
            url::encode_component(&payload.replace('\n', "\r\n"), &mut form);
            let got = post_body(Post::Form, form.as_bytes());
            prop_assert_eq!(got.as_deref(), Ok(&*payload));
        }

        /// A browser gets the payload, and nothing in it ends the script.
        #[test]
        fn payloads_come_out_as_they_went_in(text in "(\\PC|\u{2028}|\u{2029}|<|\"|\\\\|\n|[a-z]){0,40}", index in any::<u32>()) {
            let call = written(|out| push_jsonp(out, index, &text));
            let string = call.strip_prefix(&format!("io.JSONP[{index}]._(")).unwrap();
            let string = string.strip_suffix(");").unwrap();
            assert!(!string.contains(['<', '\u{2028}', '\u{2029}']));
            let page = written(|out| push_htmlfile(out, &text));
            prop_assert_eq!(page, format!("<script>parent.s._({string}, document);</script>"));
            prop_assert_eq!(serde_json::from_str::<String>(string).unwrap(), text);
        }
    }
}
