//! Parts of a file and files that have not changed (RFC 9110, 13 and 14).
//!
//! Not here: files. The caller knows the size, the tag and the time of change.

use super::date;
use super::grammar::trim;
use crate::time::UnixSeconds;

/// What a Range field asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeAnswer {
    /// The whole file, with 200.
    Whole,
    /// A part, with 206 and `Content-Range: bytes first-last/size`.
    Part {
        /// The first byte.
        first: u64,
        /// The last byte; it belongs to the part.
        last: u64,
    },
    /// 416 with `Content-Range: bytes */size`.
    Unsatisfiable,
}

/// Reads a Range field for a file of `size` bytes. Several ranges, and those that are not
/// understood, get the whole file.
pub fn range(header: &[u8], size: u64) -> RangeAnswer {
    parse_range(header, size).unwrap_or(RangeAnswer::Whole)
}

fn parse_range(header: &[u8], size: u64) -> Option<RangeAnswer> {
    let (unit, range) = header.split_at_checked(UNIT.len())?;
    if !unit.eq_ignore_ascii_case(UNIT) {
        return None;
    }
    let range = trim(range);
    let dash = memchr::memchr(b'-', range)?;
    let (first, last) = (&range[..dash], &range[dash + 1..]);
    if first.is_empty() {
        let suffix = number(last)?;
        return match (suffix, size) {
            (0, _) => Some(RangeAnswer::Unsatisfiable),
            (_, 0) => None,
            _ => Some(RangeAnswer::Part {
                first: size.saturating_sub(suffix),
                last: size - 1,
            }),
        };
    }
    let first = number(first)?;
    let last = match last {
        [] => u64::MAX,
        _ => number(last)?,
    };
    if last < first {
        return None;
    }
    if first >= size {
        return Some(RangeAnswer::Unsatisfiable);
    }
    let last = last.min(size - 1);
    Some(RangeAnswer::Part { first, last })
}

/// Whether an If-Range field lets a part be sent: it names the very tag, which is not a weak one, or
/// the very time of change.
pub fn if_range_holds(if_range: &[u8], etag: Option<&str>, modified: Option<UnixSeconds>) -> bool {
    match if_range {
        [b'"', ..] => etag.is_some_and(|etag| etag.as_bytes() == if_range),
        _ => modified.is_some() && date::parse(if_range) == modified,
    }
}

/// Whether `etag` is among those of an If-None-Match field, weak and strong ones alike. `*` is any.
/// A list is read up to its first mistake.
pub fn etag_matches(if_none_match: &[u8], etag: &str) -> bool {
    let wanted = without_weak(etag.as_bytes());
    let mut rest = trim(if_none_match);
    if rest == b"*" {
        return true;
    }
    loop {
        while let [b',' | b' ' | b'\t', tail @ ..] = rest {
            rest = tail;
        }
        rest = without_weak(rest);
        let [b'"', tail @ ..] = rest else {
            return false;
        };
        let Some(end) = memchr::memchr(b'"', tail) else {
            return false;
        };
        // With both quotes.
        let (tag, behind) = rest.split_at(end + 2);
        if tag == wanted {
            return true;
        }
        rest = behind;
    }
}

/// Whether the client's copy is still good, so that 304 is the answer to GET and HEAD. The tag
/// decides if the client sent one, else the time.
pub fn not_modified(
    if_none_match: Option<&[u8]>,
    if_modified_since: Option<&[u8]>,
    etag: Option<&str>,
    modified: Option<UnixSeconds>,
) -> bool {
    match (if_none_match, if_modified_since) {
        (Some(tags), _) => match etag {
            Some(etag) => etag_matches(tags, etag),
            None => trim(tags) == b"*",
        },
        (None, Some(since)) => match (modified, date::parse(since)) {
            (Some(modified), Some(since)) => modified <= since,
            _ => false,
        },
        (None, None) => false,
    }
}

fn without_weak(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// Digits only; what is too large for 64 bits is past every end.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |n, b| {
        let digit = b.is_ascii_digit().then(|| u64::from(b - b'0'))?;
        Some(n.saturating_mul(10).saturating_add(digit))
    })
}

const UNIT: &[u8] = b"bytes=";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        use RangeAnswer::{Unsatisfiable, Whole};
        let part = |first, last| RangeAnswer::Part { first, last };
        #[rustfmt::skip]
        let cases: &[(&str, u64, RangeAnswer)] = &[
            ("bytes=0-0", 10, part(0, 0)), ("bytes=2-5", 10, part(2, 5)), ("bytes=2-", 10, part(2, 9)),
            ("bytes=9-", 10, part(9, 9)), ("bytes=0-99", 10, part(0, 9)), ("Bytes=1-2", 10, part(1, 2)),
            ("bytes= 1-2 ", 10, part(1, 2)),
            ("bytes=-3", 10, part(7, 9)), ("bytes=-10", 10, part(0, 9)), ("bytes=-11", 10, part(0, 9)),
            ("bytes=0-18446744073709551616", 10, part(0, 9)),
            ("bytes=10-", 10, Unsatisfiable), ("bytes=10-12", 10, Unsatisfiable),
            ("bytes=-0", 10, Unsatisfiable), ("bytes=0-", 0, Unsatisfiable),
            ("bytes=99999999999999999999-", 10, Unsatisfiable),
            ("bytes=-1", 0, Whole), ("bytes=5-2", 10, Whole), ("bytes=0-1,3-4", 10, Whole),
            ("bytes=-", 10, Whole), ("bytes=", 10, Whole), ("bytes", 10, Whole), ("", 10, Whole),
            ("bytes=a-b", 10, Whole), ("bytes=+1-2", 10, Whole), ("bytes=1", 10, Whole),
            ("bytes=1--2", 10, Whole), ("bytes=--2", 10, Whole), ("lines=1-2", 10, Whole),
            ("bytes=1 - 2", 10, Whole),
        ];
        for &(header, size, want) in cases {
            assert_eq!(range(header.as_bytes(), size), want, "{header} of {size}");
        }
    }

    #[test]
    fn tags() {
        #[rustfmt::skip]
        let cases: &[(&str, &str, bool)] = &[
            ("\"a\"", "\"a\"", true), ("W/\"a\"", "\"a\"", true), ("\"a\"", "W/\"a\"", true),
            ("*", "\"a\"", true), (" * ", "\"a\"", true), ("\"b\", \"a\"", "\"a\"", true),
            ("\"b\",W/\"a\"", "\"a\"", true), ("\"x,y\", \"a\"", "\"a\"", true), (", ,\"a\"", "\"a\"", true),
            ("\"b\"", "\"a\"", false), ("", "\"a\"", false), ("a", "\"a\"", false),
            ("\"a", "\"a\"", false), ("w/\"a\"", "\"a\"", false), ("\"*\"", "\"a\"", false),
            ("\"A\"", "\"a\"", false), ("junk \"a\"", "\"a\"", false),
        ];
        for &(header, etag, want) in cases {
            assert_eq!(
                etag_matches(header.as_bytes(), etag),
                want,
                "{header} of {etag}"
            );
        }
    }

    #[test]
    fn the_tag_decides_before_the_time() {
        let now = Some(UnixSeconds(784_111_777));
        let then = Some(&b"Sun, 06 Nov 1994 08:49:37 GMT"[..]);
        let before = Some(&b"Sun, 06 Nov 1994 08:49:36 GMT"[..]);
        let (same, other) = (Some(&b"\"a\""[..]), Some(&b"\"b\""[..]));
        #[rustfmt::skip]
        let cases = [
            (None, None, false), (same, None, true), (other, None, false), (None, then, true),
            (None, before, false), (other, then, false), (same, before, true),
            (None, Some(&b"junk"[..]), false),
        ];
        for (tags, since, want) in cases {
            assert_eq!(
                not_modified(tags, since, Some("\"a\""), now),
                want,
                "{tags:?} {since:?}"
            );
        }
        assert!(!not_modified(same, then, None, now));
        assert!(!not_modified(None, then, Some("\"a\""), None));
    }

    #[test]
    fn if_range() {
        let at = Some(UnixSeconds(784_111_777));
        #[rustfmt::skip]
        let cases: &[(&str, bool)] = &[
            ("\"a\"", true), ("W/\"a\"", false), ("\"b\"", false), ("", false),
            ("Sun, 06 Nov 1994 08:49:37 GMT", true), ("Sun, 06 Nov 1994 08:49:38 GMT", false),
        ];
        for &(value, want) in cases {
            assert_eq!(
                if_range_holds(value.as_bytes(), Some("\"a\""), at),
                want,
                "{value}"
            );
        }
        assert!(!if_range_holds(b"junk", Some("\"a\""), None));
    }
}
