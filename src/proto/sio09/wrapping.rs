//! What stands around a payload: the stream of scripts of htmlfile, and the bodies of POST requests.
//!
//! Not here: the script of jsonp-polling (`handshake.rs`); chunks, and when an answer ends.

use std::borrow::Cow;

use crate::proto::http::url;
use crate::proto::json;

/// How a POST request carries its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Post {
    /// As the body: xhr-polling and htmlfile.
    Plain,
    /// As a JSON string in a form: jsonp-polling.
    Jsonp,
}

/// A body that is not UTF-8, or a form without a payload: 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadBody;

/// Takes the payload out of the body of a POST request.
///
/// # Errors
///
/// The body is not UTF-8; or a form has no field `d`, or something in it that begins as a JSON string and
/// is none.
pub fn post_body<'b>(
    kind: Post,
    content_type: Option<&str>,
    body: &'b [u8],
) -> Result<Cow<'b, str>, BadBody> {
    let body = std::str::from_utf8(body).map_err(|_| BadBody)?;
    match (kind, content_type) {
        // Some versions of XDomainRequest clients send this, and none of them can set the type.
        (Post::Plain, None) => Ok(body.strip_prefix("data=").unwrap_or(body).into()),
        (Post::Plain, Some(_)) => Ok(body.into()),
        (Post::Jsonp, _) => {
            let value = url::form_value(body, "d").ok_or(BadBody)?;
            unquoted(value.map_err(|_| BadBody)?)
        }
    }
}

/// The text of a JSON string; or what does not begin as one, as it is.
fn unquoted(value: Cow<'_, str>) -> Result<Cow<'_, str>, BadBody> {
    if !json::behind_blanks(&value).starts_with('"') {
        return Ok(value);
    }
    let string = match &value {
        Cow::Borrowed(value) => json::checked(value).and_then(json::string),
        Cow::Owned(value) => json::checked(value)
            .and_then(json::string)
            .map(|text| Cow::Owned(text.into_owned())),
    };
    string.ok_or(BadBody)
}

/// Appends the script that hands `payload` to the client.
pub fn push_htmlfile(out: &mut Vec<u8>, payload: &str) {
    out.reserve(payload.len() + 32);
    out.extend_from_slice(b"<script>_(");
    json::push_script_string(out, payload);
    out.extend_from_slice(b");</script>");
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
const PAGE: &[u8] =
    b"<html><body><script>var _ = function (msg) { parent.s._(msg, document); };</script>";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn htmlfile() {
        let head =
            "<html><body><script>var _ = function (msg) { parent.s._(msg, document); };</script>";
        let blanks = " ".repeat(173);
        assert_eq!(HTMLFILE_PRELUDE, format!("{head}{blanks}").as_bytes());
        assert_eq!(HTMLFILE_PRELUDE.len(), 256);
        #[rustfmt::skip]
        let cases = [
            ("3:::hello", r#"<script>_("3:::hello");</script>"#), ("", r#"<script>_("");</script>"#),
            ("3:::</script>", r#"<script>_("3:::\u003c/script>");</script>"#),
            ("3:::<!--<script>", r#"<script>_("3:::\u003c!--\u003cscript>");</script>"#),
            ("5:::{\"name\":\"e1\"}", r#"<script>_("5:::{\"name\":\"e1\"}");</script>"#),
            ("3:::\u{2028}\u{2029}é\u{1f600}\n\\", "<script>_(\"3:::\\u2028\\u2029é\u{1f600}\\n\\\\\");</script>"),
            ("\u{fffd}3\u{fffd}1::\u{fffd}3\u{fffd}2::", "<script>_(\"\u{fffd}3\u{fffd}1::\u{fffd}3\u{fffd}2::\");</script>"),
        ];
        for (payload, want) in cases {
            let mut out = b"before ".to_vec();
            push_htmlfile(&mut out, payload);
            assert_eq!(std::str::from_utf8(&out[7..]), Ok(want));
        }
    }

    #[test]
    fn bodies() {
        use Post::{Jsonp, Plain};
        let text = Some("text/plain;charset=UTF-8");
        let form = Some("application/x-www-form-urlencoded");
        type Case = (
            Post,
            Option<&'static str>,
            &'static [u8],
            Option<&'static str>,
        );
        #[rustfmt::skip]
        let cases: &[Case] = &[
            (Plain, text, b"3:::hello", Some("3:::hello")), (Plain, None, b"3:::hello", Some("3:::hello")),
            (Plain, text, b"3:::h\xc3\xa9\xf0\x9f\x98\x80llo", Some("3:::hé\u{1f600}llo")),
            (Plain, text, b"", Some("")), (Plain, None, b"", Some("")), (Plain, None, b"data=", Some("")),
            (Plain, None, b"data=3:::a%20+", Some("3:::a%20+")), (Plain, None, b"data=data=", Some("data=")),
            (Plain, None, b"3:::data=", Some("3:::data=")), (Plain, None, b"data", Some("data")),
            (Plain, text, b"data=3:::a", Some("data=3:::a")), (Plain, Some(""), b"data=3:::a", Some("data=3:::a")),
            (Plain, form, b"d=%22%22", Some("d=%22%22")),
            (Plain, text, b"3:::\xff", None), (Plain, None, b"3:::\xed\xa0\x80", None),
            (Plain, text, b"3:::\xc3", None),
            (Jsonp, form, b"d=%223%3A%3A%3Asay+%5C%22hi%5C%22%22", Some("3:::say \"hi\"")),
            (Jsonp, form, b"d=\"3:::hello\"", Some("3:::hello")), (Jsonp, None, b"d=\"3:::hello\"", Some("3:::hello")),
            (Jsonp, form, b"d=\"3:::a%5Cr%5Cnb\"", Some("3:::a\r\nb")),
            (Jsonp, form, b"d=\"\\ufffd3\\ufffd2::\"", Some("\u{fffd}3\u{fffd}2::")),
            (Jsonp, form, b"d=\"\xc3\xa9%F0%9F%98%80\\ud83d\\ude00\\ud800\"", Some("é\u{1f600}\u{1f600}\u{fffd}")),
            (Jsonp, form, b"d=+\"2::\"%0A", Some("2::")), (Jsonp, form, b"a=1&d=\"2::\"&d=3", Some("2::")),
            (Jsonp, form, b"%64=\"2::\"", Some("2::")), (Jsonp, form, b"d=\"\"", Some("")),
            // No string: as it is.
            (Jsonp, form, b"d=3%3A%3A%3Ahello", Some("3:::hello")), (Jsonp, form, b"d=3:::a\"b\"", Some("3:::a\"b\"")),
            (Jsonp, form, b"d=", Some("")), (Jsonp, form, b"d", Some("")),
            // Begins as one and is none.
            (Jsonp, form, b"d=\"", None), (Jsonp, form, b"d=\"3:::a", None), (Jsonp, form, b"d=\"a\"b\"", None),
            (Jsonp, form, b"d=\"a\\x\"", None), (Jsonp, form, b"d=\"a%0A\"", None),
            (Jsonp, form, b"d=\"a\",\"b\"", None),
            (Jsonp, form, b"d=\"a%5C\"", None),
            // No field.
            (Jsonp, form, b"", None), (Jsonp, form, b"3:::hello", None), (Jsonp, form, b"D=\"2::\"", None),
            (Jsonp, form, b"dd=\"2::\"", None), (Jsonp, form, b"\"2::\"", None),
            (Jsonp, form, b"d=\"\xff\"", None), (Jsonp, form, b"d=\"%FF\"", None), (Jsonp, form, b"d=%ED%A0%80", None),
        ];
        for &(kind, content_type, body, want) in cases {
            let shown = body.escape_ascii();
            let got = post_body(kind, content_type, body);
            assert_eq!(
                got.as_deref(),
                want.ok_or(BadBody).as_deref(),
                "{kind:?} {shown}"
            );
            for cut in 0..body.len() {
                post_body(kind, content_type, &body[..cut]).ok();
                post_body(kind, content_type, &body[cut..]).ok();
            }
        }
    }

    proptest! {
        #[test]
        fn what_clients_send_is_read(text in any::<String>()) {
            let got = post_body(Post::Plain, Some("text/plain"), text.as_bytes());
            prop_assert_eq!(got.as_deref(), Ok(&*text));
            let mut form = String::from("d=");
            url::encode_component(&serde_json::to_string(&text).unwrap(), &mut form);
            let got = post_body(Post::Jsonp, None, form.as_bytes());
            prop_assert_eq!(got.as_deref(), Ok(&*text));
        }

        #[test]
        fn a_page_gets_the_payload(text in "(\\PC|\u{2028}|\u{2029}|<|\"|\\\\|\n|[a-z]){0,40}") {
            let mut out = Vec::new();
            push_htmlfile(&mut out, &text);
            let script = std::str::from_utf8(&out).unwrap();
            let script = script.strip_prefix("<script>_(").unwrap();
            let string = script.strip_suffix(");</script>").unwrap();
            assert!(!string.contains(['<', '\u{2028}', '\u{2029}']));
            prop_assert_eq!(serde_json::from_str::<String>(string).unwrap(), text);
        }
    }
}
