//! What stands around a payload: the stream of scripts of htmlfile (section 8), and the bodies of
//! POST requests (sections 6 and 7).
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
