//! Frames: `~m~`, the length in UTF-16 code units, `~m~`, and the data. Any number of them
//! follow each other in one payload.
//!
//! Data that begins with `~j~` is JSON, with `~h~` a heartbeat; everything else is text.
//!
//! [`frames`] borrows from the payload and looks at all of it once: the JSON that it gives is JSON, of at
//! most 128 levels. A frame that is broken is not given, and the session goes on.
//!
//! Not here: how a payload travels (`wrapping.rs`); whether a heartbeat was due.

use crate::proto::json;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'t> {
    /// A text.
    Text(&'t str),
    /// A value: JSON, without blanks around it.
    Json(&'t str),
    /// The answer to a heartbeat: what the server had sent, if the client keeps the rules.
    Heartbeat(&'t str),
}

/// Why a frame is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// There is no head, or its length is no number or cuts a character in halves: the rest of the payload is
    /// dropped, too.
    Head,
    /// What should be JSON is none, or is nested too deep.
    Json,
}

/// The frames of a payload, those that are empty too. A length that is too long gives what is there;
/// behind a broken head nothing more comes.
pub fn frames(payload: &str) -> Frames<'_> {
    Frames { rest: payload }
}

/// Frames of a payload; see [`frames`].
#[derive(Clone, Debug)]
pub struct Frames<'t> {
    rest: &'t str,
}

impl<'t> Frames<'t> {
    /// What the frames that are left stand in.
    pub fn rest(&self) -> &'t str {
        self.rest
    }
}

impl<'t> Iterator for Frames<'t> {
    type Item = Result<Frame<'t>, Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = std::mem::take(&mut self.rest);
        if rest.is_empty() {
            return None;
        }
        let Some((data, rest, _)) = split(rest) else {
            return Some(Err(Broken::Head));
        };
        self.rest = rest;
        Some(read(data))
    }
}

/// Whether [`frames`] gives more than `max`. Where bytes are too few for that, nothing is looked at.
pub fn are_more_than(max: usize, payload: &str) -> bool {
    // All but the last, which may be broken, have a head.
    if payload.len() / HEAD_BYTES_MIN < max {
        return false;
    }
    let mut rest = payload;
    for _ in 0..max {
        match split(rest) {
            Some((_, behind, _)) => rest = behind,
            None => return false,
        }
    }
    !rest.is_empty()
}

/// Whether the heads of a payload are good and their lengths those of what follows. What the data says
/// does not matter.
pub(super) fn is_exact(payload: &str) -> bool {
    let mut rest = payload;
    while !rest.is_empty() {
        match split(rest) {
            Some((_, behind, true)) => rest = behind,
            _ => return false,
        }
    }
    true
}

/// The data of the first frame, what follows it, and whether it was as long as it said.
fn split(payload: &str) -> Option<(&str, &str, bool)> {
    let rest = payload.strip_prefix(MARK)?;
    let (mut units, mut digits) = (0_usize, 0);
    for byte in rest.bytes().take_while(u8::is_ascii_digit) {
        // What does not fit into the type is too long for any payload.
        units = units
            .saturating_mul(10)
            .saturating_add(usize::from(byte - b'0'));
        digits += 1;
    }
    if digits == 0 {
        return None;
    }
    let rest = rest[digits..].strip_prefix(MARK)?;
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

/// Appends a text. One that begins as JSON or as a heartbeat is written as a JSON string: clients would
/// parse it, or answer it, and hand the text itself to nobody.
pub fn push_text(out: &mut Vec<u8>, text: &str) {
    if text.starts_with(JSON) || text.starts_with(HEARTBEAT) {
        return push_as_json(out, text);
    }
    push_head(out, units_of(text));
    out.extend_from_slice(text.as_bytes());
}

#[cold]
fn push_as_json(out: &mut Vec<u8>, text: &str) {
    let mut string = Vec::new();
    json::push_string(&mut string, text);
    // Of the text, which may hold any character, only ASCII is replaced, by ASCII.
    let units = units_of(text) + string.len() - text.len();
    push_head(out, units + JSON.len());
    out.extend_from_slice(JSON.as_bytes());
    out.extend_from_slice(&string);
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
/// Two marks and a digit.
const HEAD_BYTES_MIN: usize = 7;
const JSON: &str = "~j~";
const HEARTBEAT: &str = "~h~";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The frames; and nothing panics at any cut, and all are counted.
    fn read(payload: &str) -> Vec<Result<Frame<'_>, Broken>> {
        let counted = |part: &str| {
            let count = frames(part).count();
            for max in 0..=count + 1 {
                assert_eq!(are_more_than(max, part), count > max, "{max}, {part:?}");
            }
        };
        counted(payload);
        for cut in (0..payload.len()).filter(|cut| payload.is_char_boundary(*cut)) {
            counted(&payload[..cut]);
            counted(&payload[cut..]);
        }
        let mut frames = frames(payload);
        let all: Vec<_> = frames.by_ref().collect();
        assert_eq!(frames.next(), None);
        let mut rest = payload;
        let mut one_by_one = Vec::new();
        while !rest.is_empty() {
            let mut frames = super::frames(rest);
            one_by_one.extend(frames.next());
            rest = frames.rest();
        }
        assert_eq!(one_by_one, all);
        all
    }

    fn written(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = b"before ".to_vec();
        write(&mut out);
        String::from_utf8(out).unwrap().split_off(7)
    }

    /// What is written, and read again.
    #[test]
    fn payloads() {
        use Frame::{Heartbeat, Json, Text};
        #[rustfmt::skip]
        let cases: &[(&[Frame<'_>], &str)] = &[
            (&[], ""), (&[Text("")], "~m~0~m~"), (&[Text("abc")], "~m~3~m~abc"),
            (&[Text("9089cf7943a8522709018269aec8e728"), Text("Welcome!")],
             "~m~32~m~9089cf7943a8522709018269aec8e728~m~8~m~Welcome!"),
            (&[Text("one"), Text("two"), Json("{\"a\":1}")], "~m~3~m~one~m~3~m~two~m~10~m~~j~{\"a\":1}"),
            (&[Json("{\"k\":\"v\"}")], "~m~12~m~~j~{\"k\":\"v\"}"), (&[Json("\"\"")], "~m~5~m~~j~\"\""),
            (&[Json("0"), Json("[null, true]")], "~m~4~m~~j~0~m~15~m~~j~[null, true]"),
            (&[Json("\"\u{e9}\u{1f600}\"")], "~m~8~m~~j~\"\u{e9}\u{1f600}\""),
            (&[Heartbeat("1")], "~m~4~m~~h~1"), (&[Heartbeat("4294967295")], "~m~13~m~~h~4294967295"),
            (&[Heartbeat("0"), Text("after"), Heartbeat("10")], "~m~4~m~~h~0~m~5~m~after~m~5~m~~h~10"),
            // The unit of the length.
            (&[Text("\u{e9}")], "~m~1~m~\u{e9}"), (&[Text("\u{4e2d}")], "~m~1~m~\u{4e2d}"),
            (&[Text("\u{1f600}")], "~m~2~m~\u{1f600}"), (&[Text("\u{e9}\u{1f600}")], "~m~3~m~\u{e9}\u{1f600}"),
            (&[Text("a\u{10ffff}\u{ffff}\u{10000}"), Text("Z")], "~m~6~m~a\u{10ffff}\u{ffff}\u{10000}~m~1~m~Z"),
            (&[Text("\u{e9}\u{1f600}"), Json("{\"k\":\"v\"}")], "~m~3~m~\u{e9}\u{1f600}~m~12~m~~j~{\"k\":\"v\"}"),
            // Marks among the text are text.
            (&[Text("~m~")], "~m~3~m~~m~"), (&[Text("~m~3~m~abc"), Text("x")], "~m~10~m~~m~3~m~abc~m~1~m~x"),
            (&[Text("a~j~1"), Text(" ~h~1"), Text("~j"), Text("~h"), Text("~J~1")],
             "~m~5~m~a~j~1~m~5~m~ ~h~1~m~2~m~~j~m~2~m~~h~m~4~m~~J~1"),
            (&[Text("a\r\nb\0")], "~m~5~m~a\r\nb\0"),
        ];
        for &(frames, payload) in cases {
            let got = written(|out| {
                for frame in frames {
                    match frame {
                        Text(text) => push_text(out, text),
                        Json(value) => push_json(out, value),
                        Heartbeat(number) => push_heartbeat(out, number.parse().unwrap()),
                    }
                }
            });
            assert_eq!(got, payload);
            let want: Vec<_> = frames.iter().copied().map(Ok).collect();
            assert_eq!(read(payload), want, "{payload}");
            assert!(is_exact(payload), "{payload}");
        }
    }

    /// Clients get these texts, too.
    #[test]
    fn texts_that_begin_as_something_else() {
        #[rustfmt::skip]
        let cases = [
            ("~j~", "~m~8~m~~j~\"~j~\""), ("~h~1", "~m~9~m~~j~\"~h~1\""), ("~j~{bad", "~m~12~m~~j~\"~j~{bad\""),
            ("~j~{\"a\":1}", "~m~17~m~~j~\"~j~{\\\"a\\\":1}\""),
            ("~h~\u{e9}\u{1f600}\0\n\"", "~m~21~m~~j~\"~h~\u{e9}\u{1f600}\\u0000\\n\\\"\""),
        ];
        for (text, want) in cases {
            let payload = written(|out| push_text(out, text));
            assert_eq!(payload, want);
            assert!(is_exact(&payload), "{payload}");
            let [Ok(Frame::Json(value))] = read(&payload)[..] else {
                panic!("{payload}");
            };
            assert_eq!(json::string(value).as_deref(), Some(text));
        }
    }

    #[test]
    fn payloads_of_clients() {
        use Broken::{Head, Json as NotJson};
        use Frame::{Heartbeat, Json, Text};
        #[rustfmt::skip]
        let cases: &[(&str, &[Result<Frame<'_>, Broken>])] = &[
            // Lengths that are written in another way.
            ("~m~03~m~abc", &[Ok(Text("abc"))]), ("~m~00~m~~m~1~m~a", &[Ok(Text("")), Ok(Text("a"))]),
            // Too long.
            ("~m~99~m~short", &[Ok(Text("short"))]), ("~m~1~m~", &[Ok(Text(""))]), ("~m~9~m~~h~1", &[Ok(Heartbeat("1"))]),
            ("~m~9~m~~j~1", &[Ok(Json("1"))]), ("~m~9~m~\u{1f600}", &[Ok(Text("\u{1f600}"))]),
            ("~m~99~m~a~m~1~m~b", &[Ok(Text("a~m~1~m~b"))]),
            ("~m~99999999999999999999999~m~short", &[Ok(Text("short"))]),
            // Too short.
            ("~m~2~m~toolong", &[Ok(Text("to")), Err(Head)]), ("~m~0~m~a", &[Ok(Text("")), Err(Head)]),
            ("~m~1~m~1~m~1~m~2 ~m~1~m~3", &[Ok(Text("1")), Ok(Text("2")), Err(Head)]),
            // As those count to whom U+1F600 is one character, or four bytes.
            ("~m~1~m~\u{1f600}~m~1~m~Z", &[Err(Head)]), ("~m~2~m~a\u{1f600}", &[Err(Head)]),
            ("~m~2~m~\u{e9}~m~1~m~Z", &[Ok(Text("\u{e9}~")), Err(Head)]),
            ("~m~6~m~\u{e9}\u{1f600}~m~1~m~Z", &[Ok(Text("\u{e9}\u{1f600}~m~")), Err(Head)]),
            // No heads.
            ("garbage", &[Err(Head)]), (" ~m~1~m~a", &[Err(Head)]), ("~", &[Err(Head)]), ("~m", &[Err(Head)]),
            ("~m~", &[Err(Head)]), ("~m~5", &[Err(Head)]), ("~m~5~", &[Err(Head)]), ("~m~5~m", &[Err(Head)]),
            ("~m~~m~", &[Err(Head)]), ("~m~~m~a", &[Err(Head)]), ("~m~abc~m~x", &[Err(Head)]), ("~m~-1~m~a", &[Err(Head)]),
            ("~m~+1~m~a", &[Err(Head)]), ("~m~ 1~m~a", &[Err(Head)]), ("~m~1 ~m~a", &[Err(Head)]),
            ("~m~1.0~m~a", &[Err(Head)]), ("~m~1e0~m~a", &[Err(Head)]), ("~m~1a~m~a", &[Err(Head)]),
            ("~m~\u{661}~m~a", &[Err(Head)]), ("~M~1~M~a", &[Err(Head)]), ("~m~1~j~a", &[Err(Head)]),
            ("~j~1", &[Err(Head)]), ("~h~1", &[Err(Head)]),
            ("~m~1~m~a~m~x~m~b~m~1~m~c", &[Ok(Text("a")), Err(Head)]),
            // Values.
            ("~m~9~m~~j~ [1] \n", &[Ok(Json("[1]"))]), ("~m~11~m~~j~\"\\ud83d\"", &[Ok(Json("\"\\ud83d\""))]),
            ("~m~7~m~~j~{bad", &[Err(NotJson)]), ("~m~3~m~~j~", &[Err(NotJson)]), ("~m~4~m~~j~ ", &[Err(NotJson)]),
            ("~m~6~m~~j~1 2", &[Err(NotJson)]), ("~m~6~m~~j~NaN", &[Err(NotJson)]), ("~m~4~m~~j~{}", &[Err(NotJson), Err(Head)]),
            ("~m~1~m~1~m~7~m~~j~{bad~m~1~m~2", &[Ok(Text("1")), Err(NotJson), Ok(Text("2"))]),
            // Heartbeats swallow nothing, whatever their number is.
            ("~m~4~m~~h~1~m~5~m~after", &[Ok(Heartbeat("1")), Ok(Text("after"))]),
            ("~m~3~m~~h~~m~1~m~a", &[Ok(Heartbeat("")), Ok(Text("a"))]),
            ("~m~7~m~~h~~m~1~m~1~m~a", &[Ok(Heartbeat("~m~1")), Ok(Text("a"))]),
        ];
        for &(payload, want) in cases {
            assert_eq!(read(payload), want, "{payload}");
        }
    }

    #[test]
    fn lengths_that_fit() {
        #[rustfmt::skip]
        let cases = [
            ("", true), ("~m~0~m~", true), ("~m~1~m~a", true), ("~m~1~m~a~m~2~m~\u{1f600}", true),
            ("~m~4~m~a\r\nb", true), ("~m~3~m~a\r\nb", false), ("~m~2~m~a", false), ("~m~1~m~\u{1f600}", false),
            ("~m~1~m~a~m~2~m~b", false), ("~m~1~m~a~m~", false), ("a", false),
            ("~m~99999999999999999999999~m~a", false),
            // What the data says does not matter.
            ("~m~7~m~~j~{bad~m~4~m~~h~x", true),
        ];
        for (payload, want) in cases {
            assert_eq!(is_exact(payload), want, "{payload:?}");
        }
    }

    #[test]
    fn depth() {
        for (depth, is_good) in [(128, true), (129, false), (1 << 20, false)] {
            let value = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            let payload = written(|out| push_json(out, &value));
            let got: Vec<_> = frames(&payload).collect();
            let want = is_good.then_some(Frame::Json(&value)).ok_or(Broken::Json);
            assert_eq!(got, [want], "{depth}");
        }
    }

    /// A payload of many frames is read in one pass, also if all that follows is not ASCII.
    #[test]
    fn many_frames() {
        let end = "\u{4e2d}".repeat(100_000);
        let payload = format!(
            "{}~m~100000~m~{end}",
            "~m~0~m~~m~1~m~\u{e9}".repeat(100_000)
        );
        assert_eq!(frames(&payload).count(), 200_001);
        assert_eq!(frames(&payload).last(), Some(Ok(Frame::Text(&end))));
        assert!(is_exact(&payload));
        let digits = format!("~m~{}1~m~a~m~1~m~b", "0".repeat(1 << 20));
        assert_eq!(frames(&digits).last(), Some(Ok(Frame::Text("b"))));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(texts in prop::collection::vec("(\\PC|[a-z]|~m~|\n|\u{1f600}){0,12}", 0..6), number: u32) {
            let values: Vec<_> = texts.iter().map(|text| serde_json::to_string(text).unwrap()).collect();
            let number = number.to_string();
            let mut want = Vec::new();
            let payload = written(|out| {
                for (text, value) in texts.iter().zip(&values) {
                    push_text(out, text);
                    push_json(out, value);
                    push_heartbeat(out, number.parse().unwrap());
                }
            });
            for (text, value) in texts.iter().zip(&values) {
                want.extend([Ok(Frame::Text(text)), Ok(Frame::Json(value)), Ok(Frame::Heartbeat(&number))]);
                prop_assert_eq!(units_of(text), text.encode_utf16().count());
            }
            prop_assert!(is_exact(&payload));
            prop_assert_eq!(read(&payload), want);
        }

        /// What is given is part of the payload, in its order, and nothing follows a broken head.
        #[test]
        fn half_right_payloads(payload in "(~m~[0-9]{1,2}~m~|~m~|[0-9]|~j~|~h~|1|\\PC|\u{1f600}|a){0,20}") {
            let mut rest = &*payload;
            let frames = read(&payload);
            for frame in &frames {
                let Ok(Frame::Text(part) | Frame::Json(part) | Frame::Heartbeat(part)) = frame else { continue };
                let at = rest.find(part).unwrap();
                rest = &rest[at + part.len()..];
            }
            let broken = frames.iter().position(|frame| *frame == Err(Broken::Head));
            prop_assert!(broken.is_none_or(|at| at + 1 == frames.len()));
        }
    }
}
