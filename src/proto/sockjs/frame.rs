//! Frames, as the server sends them, and the strings in them.
//!
//! A frame is `o`, `h`, `a[…]` with messages, or `c[…]` with a code and a reason. Some code points
//! that JSON allows are escaped all the same, because browsers lost them; the protocol's test suite
//! compares the result.
//!
//! Not here: what stands around a frame on each transport (`wrapping.rs`).

use crate::proto::json::{self, Escapes, Look};

/// The first frame of a session.
pub const OPEN: &[u8] = b"o";
/// The frame that shows that the server is there.
pub const HEARTBEAT: &[u8] = b"h";

/// Whether `text` can be sent as it is, between quotes: nothing in it must be escaped.
pub fn is_plain(text: &str) -> bool {
    plain_len(text) == text.len()
}

/// Appends `text` as a JSON string, with its quotes and exactly the escapes that the protocol wants.
pub fn push_string(out: &mut Vec<u8>, text: &str) {
    json::push_string_with(out, text, plain_len);
}

/// Appends the frame with this one message.
pub fn push_message(out: &mut Vec<u8>, text: &str) {
    out.reserve(text.len() + 5);
    out.extend_from_slice(b"a[");
    push_string(out, text);
    out.push(b']');
}

/// Appends the frame with these messages: what [`push_string`] wrote, with commas between.
pub fn push_messages(out: &mut Vec<u8>, joined: &[u8]) {
    out.reserve(joined.len() + 3);
    out.extend_from_slice(b"a[");
    out.extend_from_slice(joined);
    out.push(b']');
}

/// Appends the frame that says that the session is closed, and why.
pub fn push_close(out: &mut Vec<u8>, code: u16, reason: &str) {
    out.extend_from_slice(b"c[");
    out.extend_from_slice(itoa::Buffer::new().format(code).as_bytes());
    out.push(b',');
    push_string(out, reason);
    out.push(b']');
}

/// How many bytes at the front need no escape. What follows them is a character that does.
fn plain_len(text: &str) -> usize {
    json::plain_len::<Old>(text)
}

/// What browsers of old lost.
struct Old;

impl Escapes for Old {
    const MARK: Option<u8> = None;
    const LOOKS: &[Look; 256] = &{
        let mut looks = json::LOOKS;
        let mut b = 0xf0;
        while b < 256 {
            looks[b] = Look::Escape;
            b += 1;
        }
        looks[0xe2] = Look::Further;
        looks[0xef] = Look::Further;
        looks
    };

    fn is_escaped_in_three(bytes: &[u8]) -> bool {
        matches!(
            bytes,
            // U+200C to U+200F, U+2028 to U+202F, U+2060 to U+206F, U+FFF0 to U+FFFF.
            [0xe2, 0x80, 0x8c..=0x8f | 0xa8..=0xaf, ..]
                | [0xe2, 0x81, 0xa0..=0xaf, ..]
                | [0xef, 0xbf, 0xb0..=0xbf, ..]
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::message::{self, Messages};
    use super::*;

    fn string(text: &str) -> String {
        let mut out = Vec::new();
        push_string(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    /// The list of what is escaped, written down once more.
    fn must_escape(c: char) -> bool {
        matches!(
            c,
            '\0'..='\u{1f}' | '"' | '\\' | '\u{200c}'..='\u{200f}' | '\u{2028}'..='\u{202f}'
                | '\u{2060}'..='\u{206f}' | '\u{fff0}'..='\u{ffff}' | '\u{10000}'..
        )
    }

    #[test]
    fn strings() {
        #[rustfmt::skip]
        let cases: &[(&str, &str)] = &[
            ("", r#""""#), ("x", r#""x""#), ("/'<>&%", r#""/'<>&%""#),
            ("\"", r#""\"""#), ("\\", r#""\\""#), ("\0", r#""\u0000""#), ("\u{1f}", r#""\u001f""#),
            ("\u{8}\t\n\u{c}\r", r#""\b\t\n\f\r""#), ("\u{b}", r#""\u000b""#),
            ("\u{200c}\u{200f}", r#""\u200c\u200f""#), ("\u{2028}\u{202f}", r#""\u2028\u202f""#),
            ("\u{2060}\u{206f}", r#""\u2060\u206f""#), ("\u{fff0}\u{ffff}", r#""\ufff0\uffff""#),
            ("\u{1f600}", r#""\ud83d\ude00""#), ("\u{10000}", r#""\ud800\udc00""#),
            ("\u{10ffff}", r#""\udbff\udfff""#), ("a\u{1f600}b", r#""a\ud83d\ude00b""#),
            ("€uro \u{2028}", r#""€uro \u2028""#), ("1234567\"", r#""1234567\"""#),
            ("12345678\"", r#""12345678\"""#), ("1234567\u{2028}9", r#""1234567\u20289""#),
            // What sockjs-node sent back in xhr_unicode.json.
            (
                "\0\u{1f}\u{7f}\u{80}\u{ad}\u{600}\u{200b}\u{200c}\u{200f}\u{2010}\u{2027}\u{2028}\
                 \u{202f}\u{2030}\u{205f}\u{2060}\u{206f}\u{2070}\u{feff}\u{ffef}\u{fff0}\u{ffff}\
                 \u{1f600}\\\"/\n\r\t\u{8}\u{c}",
                "\"\\u0000\\u001f\u{7f}\u{80}\u{ad}\u{600}\u{200b}\\u200c\\u200f\u{2010}\u{2027}\
                 \\u2028\\u202f\u{2030}\u{205f}\\u2060\\u206f\u{2070}\u{feff}\u{ffef}\\ufff0\\uffff\
                 \\ud83d\\ude00\\\\\\\"/\\n\\r\\t\\b\\f\"",
            ),
        ];
        for &(text, want) in cases {
            assert_eq!(string(text), want, "{text:?}");
            assert_eq!(is_plain(text), want.len() == text.len() + 2, "{text:?}");
        }
    }

    /// Each code point of at most three bytes, and some of four, at each place in a word of eight.
    #[test]
    fn every_character() {
        for c in ('\0'..='\u{10010}').chain(('\u{10000}'..=char::MAX).step_by(997)) {
            for before in 0..8 {
                let text = format!("{}{c}12345678", &"1234567"[..before]);
                assert_eq!(is_plain(&text), !must_escape(c), "{text:?}");
            }
            if must_escape(c) {
                assert!(string(&format!("123{c}")).starts_with("\"123\\"), "{c:?}");
            }
        }
    }

    #[test]
    fn frames() {
        let written = |write: &dyn Fn(&mut Vec<u8>)| {
            let mut out = b"before ".to_vec();
            write(&mut out);
            String::from_utf8(out).unwrap()
        };
        #[rustfmt::skip]
        let cases = [
            (written(&|out| push_message(out, "x")), r#"before a["x"]"#),
            (written(&|out| push_message(out, "")), r#"before a[""]"#),
            (written(&|out| push_message(out, "\"\n")), r#"before a["\"\n"]"#),
            (written(&|out| push_messages(out, br#""m1","m2""#)), r#"before a["m1","m2"]"#),
            (written(&|out| push_messages(out, b"")), "before a[]"),
            (written(&|out| push_close(out, 3000, "Go away!")), r#"before c[3000,"Go away!"]"#),
            (written(&|out| push_close(out, 0, "\"")), r#"before c[0,"\""]"#),
            (written(&|out| out.extend_from_slice(OPEN)), "before o"),
            (written(&|out| out.extend_from_slice(HEARTBEAT)), "before h"),
        ];
        for (got, want) in cases {
            assert_eq!(got, want);
        }
    }

    /// Texts with much of what is escaped, and of its neighbours.
    fn texts() -> impl Strategy<Value = String> {
        let chars = prop_oneof![
            4 => prop::char::range(' ', '~'),
            1 => prop::char::range('\0', '\u{9f}'),
            1 => prop::char::range('\u{2000}', '\u{2080}'),
            1 => prop::char::range('\u{ffe0}', '\u{10010}'),
            1 => any::<char>(),
        ];
        prop::collection::vec(chars, 0..40).prop_map(String::from_iter)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(text in texts(), other in texts()) {
            let read: String = serde_json::from_str(&string(&text)).unwrap();
            prop_assert_eq!(&read, &text);
            prop_assert_eq!(is_plain(&text), !text.contains(must_escape));
            prop_assert!(is_plain(&text.replace(must_escape, "")));

            let array = format!("[{},{}]", string(&text), string(&other));
            let mut messages: Messages<'_> = message::array(&array).unwrap();
            let mut scratch = String::new();
            prop_assert_eq!(messages.next(&mut scratch), Some(&*text));
            prop_assert_eq!(messages.next(&mut scratch), Some(&*other));
            prop_assert_eq!(messages.next(&mut scratch), None);
            let one = string(&text);
            let mut messages = message::websocket(&one).unwrap();
            prop_assert_eq!(messages.next(&mut scratch), Some(&*text));
            prop_assert_eq!(messages.next(&mut scratch), None);
        }
    }
}
