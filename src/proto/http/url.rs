//! Percent-escapes in paths and forms (RFC 3986, 2.1; WHATWG URL, 5.1).
//!
//! Paths are strict, because they decide what is served; query strings and form bodies are lenient,
//! because that is how browsers and servers have always read them.
//!
//! Not here: `.` and `..` segments, which only the file handler refuses; route patterns.

use std::borrow::Cow;
use std::string::FromUtf8Error;

use super::error::Error;
use crate::proto::split_at_first;

/// Decodes the path of a target.
///
/// # Errors
///
/// 400 for an escape that is none, for NUL, and for bytes that are not UTF-8.
pub fn decode_path(path: &str) -> Result<Cow<'_, str>, Error> {
    if !path.contains('%') {
        return match path.contains('\0') {
            true => Err(Error::Syntax("nul in the path")),
            false => Ok(Cow::Borrowed(path)),
        };
    }
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [b, tail @ ..] = rest {
        let (byte, tail) = match escape(rest) {
            Some(decoded) => decoded,
            None if *b == b'%' => return Err(Error::Syntax("escape in the path")),
            None => (*b, tail),
        };
        if byte == 0 {
            return Err(Error::Syntax("nul in the path"));
        }
        out.push(byte);
        rest = tail;
    }
    match String::from_utf8(out) {
        Ok(decoded) => Ok(Cow::Owned(decoded)),
        Err(_) => Err(Error::Syntax("the path is not utf-8")),
    }
}

/// Decodes a name or value of a form or query: `+` is a blank, an escape that is none stays as it is,
/// and bytes that are not UTF-8 become U+FFFD.
pub fn decode_form(text: &str) -> Cow<'_, str> {
    match decode_form_bytes(text) {
        None => Cow::Borrowed(text),
        Some(bytes) => Cow::Owned(match String::from_utf8(bytes) {
            Ok(decoded) => decoded,
            Err(e) => String::from_utf8_lossy(e.as_bytes()).into_owned(),
        }),
    }
}

/// As [`decode_form`], for those who do not take bytes that are not UTF-8. `None`: nothing in `text`
/// is to be decoded.
fn decode_form_bytes(text: &str) -> Option<Vec<u8>> {
    memchr::memchr2(b'%', b'+', text.as_bytes())?;
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [b, tail @ ..] = rest {
        let (byte, tail) = match (escape(rest), b) {
            (Some(decoded), _) => decoded,
            (None, b'+') => (b' ', tail),
            (None, _) => (*b, tail),
        };
        out.push(byte);
        rest = tail;
    }
    Some(out)
}

/// The value of the first field of a form with this name, however many are before it.
pub(in crate::proto) fn form_value<'f>(
    form: &'f str,
    name: &str,
) -> Option<Result<Cow<'f, str>, FromUtf8Error>> {
    let (_, value) = fields(form).find(|(field, _)| decode_form(field) == name)?;
    let value = value.unwrap_or_default();
    Some(match decode_form_bytes(value) {
        None => Ok(Cow::Borrowed(value)),
        Some(bytes) => String::from_utf8(bytes).map(Cow::Owned),
    })
}

/// The fields of a query string or form body, in order; after [`FIELDS_MAX`] it ends.
pub fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    let there = fields(query).filter(|field| *field != ("", None));
    there
        .take(FIELDS_MAX)
        .map(|(name, value)| (decode_form(name), decode_form(value.unwrap_or_default())))
}

/// All fields as they stand there: the name, and what is behind its `=`.
fn fields(text: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let (field, behind) = split_at_first(rest?, b'&');
        rest = behind;
        Some(split_at_first(field, b'='))
    })
}

/// The value of the first field with this name.
pub fn first<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    pairs(query)
        .find(|(n, _)| n == name)
        .map(|(_, value)| value)
}

/// Appends `text` so that it can stand anywhere in a URL: all but letters, digits and `-._~` escaped.
pub fn encode_component(text: &str, out: &mut String) {
    for b in text.bytes() {
        match b {
            b'-' | b'.' | b'_' | b'~' => out.push(char::from(b)),
            _ if b.is_ascii_alphanumeric() => out.push(char::from(b)),
            _ => {
                out.push('%');
                for digit in [b >> 4, b & 15] {
                    out.push(char::from(b"0123456789ABCDEF"[usize::from(digit)]));
                }
            }
        }
    }
}

/// The byte that an escape at the front stands for, and what follows it.
fn escape(text: &[u8]) -> Option<(u8, &[u8])> {
    let [b'%', high, low, rest @ ..] = text else {
        return None;
    };
    let digit = |b: &u8| char::from(*b).to_digit(16);
    let byte = digit(high)? << 4 | digit(low)?;
    Some((byte as u8, rest))
}

/// The most fields of one query or form.
pub const FIELDS_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        #[rustfmt::skip]
        let cases: &[(&str, Option<&str>)] = &[
            ("/", Some("/")), ("/a+b", Some("/a+b")), ("/%41%6a", Some("/Aj")), ("/%2F", Some("//")),
            ("/%2e%2E", Some("/..")), ("/%C3%A9", Some("/\u{e9}")), ("/%25", Some("/%")),
            ("/%2541", Some("/%41")),
            ("/%", None), ("/%4", None), ("/%g0", None), ("/%0g", None), ("/%+1", None),
            ("/%%41", None), ("/%00", None), ("/\0", None), ("/a\0%41", None), ("/%ff", None),
            ("/%C3", None), ("/%c0%af", None), ("/%ED%A0%80", None), ("/%\u{e9}", None),
        ];
        for &(path, want) in cases {
            assert_eq!(decode_path(path).ok().as_deref(), want, "{path:?}");
        }
        assert!(matches!(decode_path("/plain"), Ok(Cow::Borrowed(_))));
    }

    #[test]
    fn forms() {
        #[rustfmt::skip]
        let cases: &[(&str, &str)] = &[
            ("", ""), ("a", "a"), ("a+b", "a b"), ("a%20b", "a b"), ("a%2Bb", "a+b"), ("%", "%"),
            ("%4", "%4"), ("%zz", "%zz"), ("%%41", "%A"), ("%e2%82%ac", "\u{20ac}"),
            ("%ff", "\u{fffd}"), ("a%00", "a\0"), ("\u{e9}+", "\u{e9} "),
        ];
        for &(text, want) in cases {
            assert_eq!(decode_form(text), want, "{text:?}");
        }
    }

    #[test]
    fn fields() {
        #[rustfmt::skip]
        let cases: &[(&str, &[(&str, &str)])] = &[
            ("", &[]), ("&&", &[]), ("a", &[("a", "")]), ("a=", &[("a", "")]), ("=b", &[("", "b")]),
            ("a=b&c=d", &[("a", "b"), ("c", "d")]), ("a=b=c", &[("a", "b=c")]),
            ("a=1&a=2&", &[("a", "1"), ("a", "2")]), ("%61=%26", &[("a", "&")]),
            ("a;b=c", &[("a;b", "c")]),
        ];
        for &(query, want) in cases {
            let got: Vec<_> = pairs(query).collect();
            let got: Vec<_> = got.iter().map(|(n, v)| (&**n, &**v)).collect();
            assert_eq!(got, want, "{query}");
        }
        assert_eq!(first("a=1&b=2&a=3", "a").as_deref(), Some("1"));
        assert_eq!(first("a=1", "b"), None);
    }

    #[test]
    fn fields_are_capped() {
        assert_eq!(pairs(&"a&".repeat(FIELDS_MAX)).count(), FIELDS_MAX);
        assert_eq!(pairs(&"a&".repeat(FIELDS_MAX + 1)).count(), FIELDS_MAX);
    }

    #[test]
    fn encoding() {
        let mut out = String::new();
        encode_component("a-Z_0.~ /\u{e9}%", &mut out);
        assert_eq!(out, "a-Z_0.~%20%2F%C3%A9%25");
        assert_eq!(decode_form(&out), "a-Z_0.~ /\u{e9}%");
    }
}
