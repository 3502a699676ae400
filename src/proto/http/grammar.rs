//! The character sets of HTTP, as tables (RFC 9110, 5.6; RFC 3986, 3.2.2).
//!
//! Not here: anything that knows what the characters are for.

/// Whether `b` may stand in a token: a method, a field name, the name of a cookie.
pub(crate) fn is_token_byte(b: u8) -> bool {
    TOKEN[usize::from(b)]
}

/// Whether `s` is a token: one or more token characters.
pub(crate) fn is_token(s: &[u8]) -> bool {
    !s.is_empty() && s.iter().all(|&b| is_token_byte(b))
}

/// Whether `b` may stand in a field value: visible, blank, tab, or above ASCII.
pub(crate) fn is_value_byte(b: u8) -> bool {
    b == b'\t' || (b >= b' ' && b != 0x7f)
}

/// `s` without the blanks and tabs around it, and no other kind of white space.
pub(crate) fn trim(mut s: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = s {
        s = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = s {
        s = rest;
    }
    s
}

/// The elements of a comma-separated list, trimmed; empty ones are yielded too.
pub(crate) fn elements(list: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    list.split(|&b| b == b',').map(trim)
}

/// Whether `s` is a host with an optional port, as the Host field has it.
///
/// A comma is legal in a registered name, but refused: it is how two hosts look when joined.
pub(crate) fn is_host(s: &[u8]) -> bool {
    let (name_is_good, rest) = match s {
        [b'[', tail @ ..] => {
            let Some(end) = memchr::memchr(b']', tail) else {
                return false;
            };
            let address = &tail[..end];
            let good = address
                .iter()
                .all(|&b| b.is_ascii_hexdigit() || b == b':' || b == b'.');
            (good && end > 1, &tail[end + 1..])
        }
        _ => {
            let end = memchr::memchr(b':', s).unwrap_or(s.len());
            let good = s[..end].iter().all(|&b| HOST[usize::from(b)]);
            (good && end > 0, &s[end..])
        }
    };
    name_is_good
        && match rest {
            [] => true,
            [b':', port @ ..] => port.len() <= 5 && port.iter().all(u8::is_ascii_digit),
            _ => false,
        }
}

const fn table(also: &[u8]) -> [bool; 256] {
    let mut set = [false; 256];
    let mut b = 0;
    while b < 128 {
        set[b] = (b as u8).is_ascii_alphanumeric();
        b += 1;
    }
    let mut i = 0;
    while i < also.len() {
        set[also[i] as usize] = true;
        i += 1;
    }
    set
}

static TOKEN: [bool; 256] = table(b"!#$%&'*+-.^_`|~");
static HOST: [bool; 256] = table(b"-._~%!$&'()*+;=");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        #[rustfmt::skip]
        let cases: &[(&str, bool)] = &[
            ("a", true), ("a.b", true), ("a:80", true), ("a:", true), ("[::1]", true),
            ("[::1]:8080", true), ("127.0.0.1:1", true), ("a_b", true), ("a%20b", true),
            ("", false), (":80", false), ("a b", false), ("u@a", false), ("a/b", false),
            ("a, b", false), ("a,b", false), ("a:b", false), ("a:80:80", false), ("a:123456", false),
            ("[", false), ("[]", false), ("[::1", false), ("[::1]x", false), ("[g]", false),
            ("\u{e9}", false), ("a\\b", false), ("a?b", false), ("a#b", false), ("a\"", false),
        ];
        for &(host, want) in cases {
            assert_eq!(is_host(host.as_bytes()), want, "{host:?}");
        }
    }

    #[test]
    fn trimming_takes_blanks_and_tabs_only() {
        assert_eq!(trim(b" \ta b\t "), b"a b");
        assert_eq!(trim(b"\x0ba\xa0"), b"\x0ba\xa0");
        assert_eq!(trim(b" \t "), b"");
    }

    #[test]
    fn tokens_and_values() {
        for b in 0..=255u8 {
            let token = b.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(&b);
            assert_eq!(is_token_byte(b), token, "{b:#x}");
            let value = matches!(b, b'\t' | b' '..=b'~' | 0x80..);
            assert_eq!(is_value_byte(b), value, "{b:#x}");
        }
        assert!(!is_token(b""));
    }
}
