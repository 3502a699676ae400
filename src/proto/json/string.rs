//! Strings: decoding those that came, and writing others with more escapes or fewer.

use std::borrow::Cow;

use super::scan::plain_end;
use super::words;

/// Decodes a value that is a string; a lone surrogate becomes U+FFFD. `None`: it is no string.
///
/// The value is one that was checked, without blanks around it.
pub fn string(value: &str) -> Option<Cow<'_, str>> {
    let inner = value.strip_prefix('"')?;
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return inner.strip_suffix('"').map(Cow::Borrowed);
    }
    let mut out = String::with_capacity(inner.len());
    decode(inner, &mut out)?;
    Some(Cow::Owned(out))
}

/// The same JSON with `\ufffd` for each lone surrogate, which `serde_json` refuses.
///
/// The text was checked.
pub fn without_lone_surrogates(json: &str) -> Cow<'_, str> {
    let mut out = Cow::Borrowed(json);
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'\\', &json.as_bytes()[at..]) {
        at += found;
        let Some((c, len)) = escape(&json.as_bytes()[at..]) else {
            break;
        };
        let end = at + len;
        if c == char::REPLACEMENT_CHARACTER && !json[at..end].eq_ignore_ascii_case(REPLACEMENT) {
            out.to_mut().replace_range(at..end, REPLACEMENT);
        }
        at = end;
    }
    out
}

/// Appends `text` as a JSON string, with its quotes. Only what must be escaped is.
pub fn push_string(out: &mut Vec<u8>, text: &str) {
    push_string_with(out, text, |text| plain_end(text.as_bytes(), 0));
}

/// Appends `text` as a string that can stand in a script, also within a page: besides what JSON
/// wants, `<`, U+2028 and U+2029 are escaped.
pub fn push_script_string(out: &mut Vec<u8>, text: &str) {
    push_string_with(out, text, plain_len::<Script>);
}

/// Appends `text` as a JSON string. `plain_len` says how many bytes at the front need no escape; the
/// character behind them gets one.
#[inline]
pub(in crate::proto) fn push_string_with(
    out: &mut Vec<u8>,
    text: &str,
    plain_len: impl Fn(&str) -> usize,
) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let mut rest = text;
    loop {
        let (plain, tail) = rest.split_at(plain_len(rest));
        out.extend_from_slice(plain.as_bytes());
        let mut chars = tail.chars();
        let Some(c) = chars.next() else { break };
        push_escape(out, c);
        rest = chars.as_str();
    }
    out.push(b'"');
}

/// Which characters get an escape, besides those that must have one.
pub(in crate::proto) trait Escapes {
    /// A character of ASCII that gets one.
    const MARK: Option<u8>;
    /// By byte. What follows a first byte is never looked up after [`Look::Escape`] or
    /// [`Look::Further`].
    const LOOKS: &[Look; 256];

    /// Whether the character at the front gets one, if its first byte is a [`Look::Further`].
    fn is_escaped_in_three(bytes: &[u8]) -> bool;
}

/// For scripts in pages.
struct Script;

impl Escapes for Script {
    const MARK: Option<u8> = Some(b'<');
    const LOOKS: &[Look; 256] = &{
        let mut looks = LOOKS;
        looks[b'<' as usize] = Look::Escape;
        looks[0xe2] = Look::Further;
        looks
    };

    fn is_escaped_in_three(bytes: &[u8]) -> bool {
        // U+2028 and U+2029.
        matches!(bytes, [0xe2, 0x80, 0xa8 | 0xa9, ..])
    }
}

/// What a byte of UTF-8 says about escaping.
#[derive(Clone, Copy)]
pub(in crate::proto) enum Look {
    /// It needs none, or belongs to a character that needs none.
    Plain,
    /// It begins a character that needs one.
    Escape,
    /// It begins a character of three bytes; the other two decide.
    Further,
}

/// What JSON wants; by byte.
pub(in crate::proto) const LOOKS: [Look; 256] = {
    let mut looks = [Look::Plain; 256];
    let mut b = 0;
    while b < 0x20 {
        looks[b] = Look::Escape;
        b += 1;
    }
    looks[b'"' as usize] = Look::Escape;
    looks[b'\\' as usize] = Look::Escape;
    looks
};

/// How many bytes at the front need no escape. What follows them is a character that does.
#[inline(always)]
pub(in crate::proto) fn plain_len<E: Escapes>(text: &str) -> usize {
    let bytes = text.as_bytes();
    let is_look = |b: u8| {
        !b.is_ascii()
            | (b < 0x20)
            | (b == b'"')
            | (b == b'\\')
            | E::MARK.is_some_and(|mark| b == mark)
    };
    let looks = |word: u64| {
        let marks = E::MARK.map_or(0, |mark| words::equal(word, mark));
        words::special(word) | marks | (word & words::HIGHS)
    };
    let mut at = 0;
    while at < bytes.len() {
        if let Some(word) = bytes[at..].first_chunk::<8>() {
            if looks(u64::from_le_bytes(*word)) == 0 {
                at += 8;
                if at == words::BEFORE_BLOCKS {
                    at += words::plain_blocks(&bytes[at..], is_look);
                }
                continue;
            }
        }
        // One of the next eight wants a look, or there are no eight.
        let end = bytes.len().min(at + 8);
        while at < end {
            match E::LOOKS[usize::from(bytes[at])] {
                Look::Plain => at += 1,
                Look::Escape => return at,
                Look::Further if E::is_escaped_in_three(&bytes[at..]) => return at,
                Look::Further => at += 3,
            }
        }
    }
    at
}

// Not a call: that costs a tenth where there are escapes.
#[inline(always)]
fn push_escape(out: &mut Vec<u8>, c: char) {
    let short = match c {
        '"' => b'"',
        '\\' => b'\\',
        '\u{8}' => b'b',
        '\t' => b't',
        '\n' => b'n',
        '\u{c}' => b'f',
        '\r' => b'r',
        _ => {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let digit = |shift: u16| b"0123456789abcdef"[usize::from(*unit >> shift & 15)];
                out.extend_from_slice(&[b'\\', b'u', digit(12), digit(8), digit(4), digit(0)]);
            }
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// Decodes a string into `out`, from behind its first quote; gives what is behind the second.
pub(in crate::proto) fn decode<'t>(inner: &'t str, out: &mut String) -> Option<&'t str> {
    let mut rest = inner;
    loop {
        let (plain, tail) = rest.split_at(plain_end(rest.as_bytes(), 0));
        out.push_str(plain);
        if let Some(rest) = tail.strip_prefix('"') {
            return Some(rest);
        }
        let (c, len) = escape(tail.as_bytes())?;
        out.push(c);
        rest = &tail[len..];
    }
}

/// The character that the escape at the front stands for, and the length of the escape.
fn escape(text: &[u8]) -> Option<(char, usize)> {
    let c = match text.get(1)? {
        b'u' => {
            let unit = u32::from(unit(text)?);
            return Some(
                match (unit, text.get(ESCAPE_BYTES..).and_then(self::unit)) {
                    (0xd800..0xdc00, Some(low @ 0xdc00..0xe000)) => {
                        let c = 0x10000 + ((unit - 0xd800) << 10 | (u32::from(low) - 0xdc00));
                        (char::from_u32(c)?, 2 * ESCAPE_BYTES)
                    }
                    _ => (
                        // It is a surrogate without the other one if it is no character.
                        char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER),
                        ESCAPE_BYTES,
                    ),
                },
            );
        }
        b'b' => '\u{8}',
        b't' => '\t',
        b'n' => '\n',
        b'f' => '\u{c}',
        b'r' => '\r',
        same @ (b'"' | b'\\' | b'/') => char::from(*same),
        _ => return None,
    };
    Some((c, 2))
}

/// The UTF-16 code unit of an escape with four digits at the front.
pub(super) fn unit(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(b"\\u")?.first_chunk::<4>()?;
    digits.iter().try_fold(0, |unit, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(unit << 4 | digit as u16)
    })
}

const REPLACEMENT: &str = "\\ufffd";
/// Of `\u1234`.
pub(super) const ESCAPE_BYTES: usize = 6;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(write: fn(&mut Vec<u8>, &str), text: &str) -> String {
        let mut out = b"|".to_vec();
        write(&mut out, text);
        String::from_utf8(out).unwrap().split_off(1)
    }

    #[test]
    fn writing() {
        #[rustfmt::skip]
        let cases = [
            ("", r#""""#, r#""""#), ("x/'&>\u{7f}é\u{1f600}", "\"x/'&>\u{7f}é\u{1f600}\"", "\"x/'&>\u{7f}é\u{1f600}\""),
            ("\"\\", r#""\"\\""#, r#""\"\\""#), ("\u{8}\t\n\u{c}\r", r#""\b\t\n\f\r""#, r#""\b\t\n\f\r""#),
            ("\0\u{b}\u{1f}", r#""\u0000\u000b\u001f""#, r#""\u0000\u000b\u001f""#),
            ("</script>", r#""</script>""#, r#""\u003c/script>""#),
            ("\u{2027}\u{2028}\u{2029}\u{202a}", "\"\u{2027}\u{2028}\u{2029}\u{202a}\"", "\"\u{2027}\\u2028\\u2029\u{202a}\""),
        ];
        for (text, json, script) in cases {
            assert_eq!(written(push_string, text), json, "{text:?}");
            assert_eq!(written(push_script_string, text), script, "{text:?}");
        }
    }

    /// At each place in a word of eight, and in a block.
    #[test]
    fn one_character_anywhere() {
        for c in ('\0'..='\u{ff}')
            .chain('\u{2020}'..='\u{2030}')
            .chain(['\u{ffff}', '\u{1f600}'])
        {
            for before in (0..9).chain([20, 31, 40]) {
                let text = format!("{}{c}{}", "x".repeat(before), "y".repeat(40));
                let must = c < ' ' || matches!(c, '"' | '\\');
                let json = written(push_string, &text);
                assert_eq!(json.contains('\\'), must, "{text:?}");
                let script = written(push_script_string, &text);
                let must = must || matches!(c, '<' | '\u{2028}' | '\u{2029}');
                assert_eq!(script.contains('\\'), must, "{text:?}");
                for json in [json, script] {
                    assert_eq!(string(&json).as_deref(), Some(&*text), "{json}");
                }
            }
        }
    }

    #[test]
    fn reading() {
        #[rustfmt::skip]
        let cases = [
            (r#""""#, Some("")), (r#""a""#, Some("a")),
            (r#""\"\\\/\b\f\n\r\t\u0000""#, Some("\"\\/\u{8}\u{c}\n\r\t\0")),
            (r#""\ud83d\ude00\uD83D\uDE00""#, Some("\u{1f600}\u{1f600}")),
            (r#""\ud800 \udc00""#, Some("\u{fffd} \u{fffd}")), (r#""\ude00\ud83d""#, Some("\u{fffd}\u{fffd}")),
            (r#""\ud83d\ud83d\ude00""#, Some("\u{fffd}\u{1f600}")), (r#""\ud83d\n""#, Some("\u{fffd}\n")),
            ("", None), ("1", None), ("null", None), ("[\"a\"]", None), ("\"", None), ("\"\\", None),
            ("\"\\u12\"", None),
        ];
        for (text, want) in cases {
            assert_eq!(string(text).as_deref(), want, "{text}");
            let is_borrowed = matches!(string(text), Some(Cow::Borrowed(_)));
            assert_eq!(
                is_borrowed,
                want.is_some() && !text.contains('\\'),
                "{text}"
            );
            for cut in 0..text.len() {
                string(&text[..cut]);
                string(&text[cut..]);
            }
        }
    }

    #[test]
    fn lone_surrogates() {
        #[rustfmt::skip]
        let cases = [
            ("", ""), ("[1,\"a\"]", "[1,\"a\"]"), (r#"["\n\u0041\\ud800"]"#, r#"["\n\u0041\\ud800"]"#),
            (r#"["\ud83d\ude00"]"#, r#"["\ud83d\ude00"]"#), (r#"["\ufffd"]"#, r#"["\ufffd"]"#),
            (r#"["\ud800",{"\uDFFF":"x\ude00\ud83dy"}]"#, r#"["\ufffd",{"\ufffd":"x\ufffd\ufffdy"}]"#),
            (r#""\ud83d\ud83d\ude00\ude00""#, r#""\ufffd\ud83d\ude00\ufffd""#),
            (r#""\\\ud800é""#, r#""\\\ufffdé""#), (r#""\ud800\\udc00""#, r#""\ufffd\\udc00""#),
            // No JSON.
            ("\\", "\\"), ("\\x\\ud800", "\\x\\ud800"), ("\\ud8", "\\ud8"),
        ];
        for (text, want) in cases {
            let got = without_lone_surrogates(text);
            assert_eq!(got, want, "{text}");
            assert_eq!(
                matches!(got, Cow::Owned(_)),
                got.contains("ufffd") && !text.contains("ufffd"),
                "{text}"
            );
        }
    }

    proptest! {
        /// serde_json takes what is left of them, and reads what we do.
        #[test]
        fn mended_strings(inner in "(\\\\ud83d|\\\\ude00|\\\\n|\\\\\\\\|u|d|é){0,9}") {
            let json = format!("\"{inner}\"");
            let mended = without_lone_surrogates(&json);
            let read: String = serde_json::from_str(&mended).unwrap();
            let ours = string(&json);
            prop_assert_eq!(ours.as_deref(), Some(&*read));
        }

        #[test]
        fn what_is_written_is_read(text in "(\\PC|\u{2028}|<|\"|\\\\|\n|\0|[a-z]){0,60}") {
            for write in [push_string, push_script_string] {
                let json = written(write, &text);
                let read = string(&json);
                prop_assert_eq!(read.as_deref(), Some(&*text));
                prop_assert_eq!(&serde_json::from_str::<String>(&json).unwrap(), &text);
            }
        }
    }
}
