//! Messages: `~m~`, their length in UTF-16 code units, `~m~`, and the data; any number of them follow
//! each other.
//!
//! Data that begins with `~j~` is JSON, with `~h~` a heartbeat; everything else is text.

use crate::proto::json;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'t> {
    /// A text.
    Text(&'t str),
    /// A value: JSON, without blanks around it.
    Json(&'t str),
    /// The answer to a heartbeat: what the server had sent.
    Heartbeat(&'t str),
}

/// Why a frame is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// There is no head, or its length is no number or cuts a character: the rest of the payload is dropped,
    /// too.
    Head,
    /// What should be JSON is none, or is nested too deep.
    Json,
}

/// The frames of a payload. A length that is too long gives what is there; behind a broken head nothing
/// more comes.
pub fn frames(payload: &str) -> Frames<'_> {
    Frames {
        rest: payload,
        exact: true,
    }
}

/// Frames of a payload; see [`frames`].
#[derive(Clone, Debug)]
pub struct Frames<'t> {
    rest: &'t str,
    /// Every length so far was that of what followed.
    exact: bool,
}

impl<'t> Iterator for Frames<'t> {
    type Item = Result<Frame<'t>, Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = std::mem::take(&mut self.rest);
        if rest.is_empty() {
            return None;
        }
        let Some((data, rest, exact)) = split(rest) else {
            self.exact = false;
            return Some(Err(Broken::Head));
        };
        self.exact &= exact;
        self.rest = rest;
        Some(read(data))
    }
}

impl Frames<'_> {
    /// Whether all lengths are those of what follows them.
    fn are_exact(mut self) -> bool {
        // What the data is does not matter.
        while self.next().is_some() {}
        self.exact
    }
}

/// Whether the lengths of a payload fit.
pub(super) fn is_exact(payload: &str) -> bool {
    frames(payload).are_exact()
}

/// The data of the first frame, what follows it, and whether it was as long as it said.
fn split(payload: &str) -> Option<(&str, &str, bool)> {
    let rest = payload.strip_prefix(MARK)?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = rest.split_at(digits);
    let rest = rest.strip_prefix(MARK)?;
    if number.is_empty() {
        return None;
    }
    // A length that is too large for us is too long for the payload.
    let units = number.parse().unwrap_or(usize::MAX);
    let (end, exact) = end_of(rest, units)?;
    Some((&rest[..end], &rest[end..], exact))
}

/// Where so many UTF-16 code units end, and whether there are that many. `None`: inside a character.
fn end_of(text: &str, units: usize) -> Option<(usize, bool)> {
    if text.as_bytes().get(..units).is_some_and(<[u8]>::is_ascii) {
        return Some((units, true));
    }
    let mut left = units;
    for (at, c) in text.char_indices() {
        if left == 0 {
            return Some((at, true));
        }
        left = left.checked_sub(c.len_utf16())?;
    }
    Some((text.len(), left == 0))
}

fn read(data: &str) -> Result<Frame<'_>, Broken> {
    if let Some(value) = data.strip_prefix(JSON) {
        return json::checked(value).map(Frame::Json).ok_or(Broken::Json);
    }
    Ok(match data.strip_prefix(HEARTBEAT) {
        Some(number) => Frame::Heartbeat(number),
        None => Frame::Text(data),
    })
}

/// Appends a text.
pub fn push_text(out: &mut Vec<u8>, text: &str) {
    push_head(out, units_of(text));
    out.extend_from_slice(text.as_bytes());
}

/// Appends a value; `json` is the JSON of it.
pub fn push_json(out: &mut Vec<u8>, json: &str) {
    push_head(out, units_of(json) + JSON.len());
    out.extend_from_slice(JSON.as_bytes());
    out.extend_from_slice(json.as_bytes());
}

/// Appends a heartbeat, which is answered with the same number.
pub fn push_heartbeat(out: &mut Vec<u8>, number: u32) {
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(number);
    push_head(out, digits.len() + HEARTBEAT.len());
    out.extend_from_slice(HEARTBEAT.as_bytes());
    out.extend_from_slice(digits.as_bytes());
}

fn push_head(out: &mut Vec<u8>, units: usize) {
    out.extend_from_slice(MARK.as_bytes());
    out.extend_from_slice(itoa::Buffer::new().format(units).as_bytes());
    out.extend_from_slice(MARK.as_bytes());
}

/// How long `text` is in UTF-16.
fn units_of(text: &str) -> usize {
    if text.is_ascii() {
        return text.len();
    }
    text.chars().map(char::len_utf16).sum()
}

const MARK: &str = "~m~";
const JSON: &str = "~j~";
const HEARTBEAT: &str = "~h~";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(payload: &str) -> Vec<Result<Frame<'_>, Broken>> {
        frames(payload).collect()
    }

    #[test]
    fn read() {
        use Broken::{Head, Json as NotJson};
        use Frame::{Heartbeat, Json, Text};
        #[rustfmt::skip]
        let cases: &[(&str, &[Result<Frame<'_>, Broken>])] = &[
            ("", &[]),
            ("~m~3~m~abc", &[Ok(Text("abc"))]),
            ("~m~0~m~", &[Ok(Text(""))]),
            ("~m~1~m~é", &[Ok(Text("é"))]),
            ("~m~2~m~\u{1f600}", &[Ok(Text("\u{1f600}"))]),
            ("~m~3~m~é\u{1f600}~m~1~m~x", &[Ok(Text("é\u{1f600}")), Ok(Text("x"))]),
            ("~m~3~m~one~m~3~m~two~m~10~m~~j~{\"a\":1}", &[Ok(Text("one")), Ok(Text("two")), Ok(Json("{\"a\":1}"))]),
            ("~m~4~m~~h~1~m~1~m~a", &[Ok(Heartbeat("1")), Ok(Text("a"))]),
            ("~m~3~m~~m~", &[Ok(Text("~m~"))]),
            ("~m~99~m~short", &[Ok(Text("short"))]),
            ("~m~99999999999999999999999~m~short", &[Ok(Text("short"))]),
            ("~m~4~m~~j~{~m~1~m~a", &[Err(NotJson), Ok(Text("a"))]),
            ("~m~1~m~a tail", &[Ok(Text("a")), Err(Head)]),
            ("~m~1~m~\u{1f600}~m~1~m~a", &[Err(Head)]),
            ("garbage", &[Err(Head)]), ("~m~", &[Err(Head)]), ("~m~~m~a", &[Err(Head)]), ("~m~-1~m~a", &[Err(Head)]),
            ("~m~1a~m~a", &[Err(Head)]), ("~m~1", &[Err(Head)]),
        ];
        for (payload, want) in cases {
            assert_eq!(all(payload), *want, "{payload}");
            for cut in (0..payload.len()).filter(|cut| payload.is_char_boundary(*cut)) {
                all(&payload[..cut]);
                all(&payload[cut..]);
            }
        }
    }

    #[test]
    fn lengths_that_fit() {
        for (payload, want) in [
            ("", true),
            ("~m~1~m~a", true),
            ("~m~3~m~a\r\nb", false),
            ("~m~4~m~a\r\nb", true),
            ("~m~2~m~a", false),
        ] {
            assert_eq!(is_exact(payload), want, "{payload:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(texts in prop::collection::vec(".*", 0..8), number: u32) {
            let mut out = Vec::new();
            for text in &texts {
                push_text(&mut out, text);
                push_json(&mut out, "[1]");
                push_heartbeat(&mut out, number);
            }
            let payload = String::from_utf8(out).unwrap();
            let number = number.to_string();
            let mut want = Vec::new();
            for text in &texts {
                want.push(super::read(text));
                want.push(Ok(Frame::Json("[1]")));
                want.push(Ok(Frame::Heartbeat(&number)));
            }
            prop_assert_eq!(all(&payload), want);
            prop_assert!(is_exact(&payload));
        }

        #[test]
        fn anything_can_be_read(payload in "(~m~|[0-9]{1,3}|~j~|~h~|.){0,40}") {
            prop_assert!(all(&payload).len() <= payload.len());
        }
    }
}
