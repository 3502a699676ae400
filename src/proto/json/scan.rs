//! Where a value ends, and whether it is one.

use super::string::{ESCAPE_BYTES, unit};
use super::words;

/// Checks that `text` is one JSON value with at most [`DEPTH_MAX`] levels; gives it without the blanks
/// around it.
pub fn checked(text: &str) -> Option<&str> {
    let end = value_end(text.as_bytes())?;
    let value = behind_blanks(&text[..end]);
    (blanks_end(text.as_bytes(), end) == text.len()).then_some(value)
}

/// What follows the blanks at the front.
pub(in crate::proto) fn behind_blanks(text: &str) -> &str {
    &text[blanks_end(text.as_bytes(), 0)..]
}

/// Where the JSON value at the front of `text` ends (RFC 8259); `None` if there is none, or more than
/// [`DEPTH_MAX`] levels of it. What follows it is not looked at.
pub(in crate::proto) fn value_end(text: &[u8]) -> Option<usize> {
    value_end_within(text, DEPTH_MAX)
}

/// As [`value_end`], with so many levels at most, which are not more than [`DEPTH_MAX`].
#[inline]
pub(in crate::proto) fn value_end_within(text: &[u8], levels: u32) -> Option<usize> {
    debug_assert!(levels <= DEPTH_MAX);
    let mut at = 0;
    let mut open = Open::default();
    loop {
        // Here a value begins.
        at = blanks_end(text, at);
        match text.get(at)? {
            b'"' => at = string_end(text, at + 1)?,
            b'[' => {
                open.push(Container::Array, levels)?;
                at = blanks_end(text, at + 1);
                if text.get(at)? != &b']' {
                    continue;
                }
            }
            b'{' => {
                open.push(Container::Object, levels)?;
                at = blanks_end(text, at + 1);
                if text.get(at)? != &b'}' {
                    at = key_end(text, at)?.1;
                    continue;
                }
            }
            b't' => at = literal_end(text, at, b"true")?,
            b'f' => at = literal_end(text, at, b"false")?,
            b'n' => at = literal_end(text, at, b"null")?,
            _ => at = number_end(text, at)?,
        }
        // Here one has ended, or a container is empty.
        loop {
            let Some(container) = open.last() else {
                return Some(at);
            };
            at = blanks_end(text, at);
            match (text.get(at)?, container) {
                (b',', Container::Array) => {
                    at += 1;
                    break;
                }
                (b',', Container::Object) => {
                    at = key_end(text, blanks_end(text, at + 1))?.1;
                    break;
                }
                (b']', Container::Array) | (b'}', Container::Object) => {
                    open.pop();
                    at += 1;
                }
                _ => return None,
            }
        }
    }
}

/// Behind the key that begins here, and behind its colon.
pub(super) fn key_end(text: &[u8], at: usize) -> Option<(usize, usize)> {
    if text.get(at)? != &b'"' {
        return None;
    }
    let end = string_end(text, at + 1)?;
    let at = blanks_end(text, end);
    (text.get(at)? == &b':').then_some((end, at + 1))
}

/// Behind the quote that ends the string; `at` is behind the first one.
fn string_end(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at = plain_end(text, at);
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => match text.get(at + 1)? {
                b'u' => {
                    unit(&text[at..])?;
                    at += ESCAPE_BYTES;
                }
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => at += 2,
                _ => return None,
            },
            _ => return None,
        }
    }
}

/// Where the first quote, backslash or control character is, else the end.
pub(in crate::proto) fn plain_end(text: &[u8], start: usize) -> usize {
    let is_special = |b: u8| (b < 0x20) | (b == b'"') | (b == b'\\');
    let mut at = start;
    while let Some(word) = text[at..].first_chunk::<8>() {
        match words::special(u64::from_le_bytes(*word)) {
            0 => at += 8,
            found => return at + found.trailing_zeros() as usize / 8,
        }
        if at == start + words::BEFORE_BLOCKS {
            at += words::plain_blocks(&text[at..], is_special);
        }
    }
    let left = text.len() - at;
    match text.last_chunk::<8>() {
        Some(word) if left > 0 => {
            // The last eight without those that have been looked at. The zeros that come in behind
            // them are special, so that the search ends there.
            let word = u64::from_le_bytes(*word) >> (8 * (8 - left));
            at + words::special(word).trailing_zeros() as usize / 8
        }
        _ => {
            let mut tail = text[at..].iter();
            at + tail.position(|b| is_special(*b)).unwrap_or(left)
        }
    }
}

fn number_end(text: &[u8], at: usize) -> Option<usize> {
    let at = at + usize::from(text.get(at) == Some(&b'-'));
    let mut at = match text.get(at)? {
        b'0' => at + 1,
        _ => digits_end(text, at)?,
    };
    if text.get(at) == Some(&b'.') {
        at = digits_end(text, at + 1)?;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        let signed = matches!(text.get(at + 1), Some(b'+' | b'-'));
        at = digits_end(text, at + 1 + usize::from(signed))?;
    }
    Some(at)
}

/// Behind one or more digits.
fn digits_end(text: &[u8], at: usize) -> Option<usize> {
    let digits = text.get(at..)?;
    let len = digits.iter().take_while(|b| b.is_ascii_digit()).count();
    (len > 0).then_some(at + len)
}

fn literal_end(text: &[u8], at: usize, literal: &[u8]) -> Option<usize> {
    let len = literal.len();
    text[at..].starts_with(literal).then_some(at + len)
}

pub(super) fn blanks_end(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\n' | b'\r') = text.get(at) {
        at += 1;
    }
    at
}

/// The arrays and objects around a value, one bit each: set for an object, the innermost lowest.
#[derive(Default)]
struct Open {
    objects: u128,
    depth: u32,
}

#[derive(Clone, Copy)]
enum Container {
    Array,
    Object,
}

impl Open {
    /// `None` if that were too many.
    fn push(&mut self, container: Container, levels: u32) -> Option<()> {
        if self.depth == levels {
            return None;
        }
        self.depth += 1;
        self.objects = self.objects << 1 | u128::from(matches!(container, Container::Object));
        Some(())
    }

    fn last(&self) -> Option<Container> {
        match (self.depth, self.objects & 1) {
            (0, _) => None,
            (_, 0) => Some(Container::Array),
            _ => Some(Container::Object),
        }
    }

    fn pop(&mut self) {
        self.depth -= 1;
        self.objects >>= 1;
    }
}

/// The most arrays and objects around a value.
pub const DEPTH_MAX: u32 = u128::BITS;

#[cfg(test)]
mod tests {
    use super::*;

    /// More texts are in the tests of `sockjs::message`.
    #[test]
    fn values() {
        #[rustfmt::skip]
        let cases = [
            ("1", Some("1")), (" \r\n\t[ 1 ] \n", Some("[ 1 ]")), ("\"a\"", Some("\"a\"")), ("{}", Some("{}")),
            ("null ", Some("null")), ("-0.5e+1", Some("-0.5e+1")), ("\"\\ud800\"", Some("\"\\ud800\"")),
            ("", None), (" ", None), ("1 2", None), ("[]]", None), ("\u{a0}1", None), ("\"a", None),
            ("{\"a\" 1}", None),
            ("{\"a\":1,}", None), ("{ \"a\" : 1 , \"b\" : { } }", Some("{ \"a\" : 1 , \"b\" : { } }")),
            ("{ , }", None), ("nul", None), ("01", None), ("\u{feff}1", None),
        ];
        for (text, want) in cases {
            assert_eq!(checked(text), want, "{text:?}");
            for cut in (0..text.len()).filter(|cut| text.is_char_boundary(*cut)) {
                checked(&text[..cut]);
                checked(&text[cut..]);
            }
        }
    }

    #[test]
    fn levels() {
        for levels in [0, 1, 2, 127, 128] {
            for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
                let nested =
                    |depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
                let depth = levels as usize;
                let text = nested(depth);
                assert_eq!(value_end_within(text.as_bytes(), levels), Some(text.len()));
                assert_eq!(value_end_within(nested(depth + 1).as_bytes(), levels), None);
            }
        }
    }
}
