//! Cookies, both ways (RFC 6265).
//!
//! Reading is lenient and linear; writing refuses whatever could be read as something else.
//!
//! Not here: signing, storing, deciding who gets which cookie.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use super::date;
use super::grammar::is_token;
use super::head::Head;
use super::response::HeaderError;
use crate::time::UnixSeconds;

/// The cookies of one Cookie field, in order. Pieces without `=` are passed over.
pub fn cookies(header: &str) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
    header.split(';').filter_map(|piece| {
        let (name, value) = piece.split_once('=')?;
        Some((name.trim_ascii(), unquote(value.trim_ascii())))
    })
}

/// The value of the first cookie with this name. Browsers send the most specific path first.
pub fn cookie<'b>(head: &Head<'b>, name: &str) -> Option<Cow<'b, str>> {
    head.all("cookie")
        .filter_map(|field| std::str::from_utf8(field).ok())
        .flat_map(cookies)
        .find(|(n, _)| *n == name)
        .map(|(_, value)| value)
}

/// Takes the quotes off a quoted value, and the backslashes in it: `\"`, and `\054` as some servers
/// write a comma. One pass from left to right.
fn unquote(value: &str) -> Cow<'_, str> {
    let Some(inner) = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    else {
        return Cow::Borrowed(value);
    };
    let Some((mut plain, mut rest)) = inner.split_once('\\') else {
        return Cow::Borrowed(inner);
    };
    let mut out = String::with_capacity(inner.len());
    loop {
        out.push_str(plain);
        if let [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] = rest.as_bytes() {
            out.push(char::from((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0')));
            rest = &rest[3..];
        } else if let Some(escaped) = rest.chars().next() {
            out.push(escaped);
            rest = &rest[escaped.len_utf8()..];
        }
        match rest.split_once('\\') {
            Some(parts) => (plain, rest) = parts,
            None => {
                out.push_str(rest);
                return Cow::Owned(out);
            }
        }
    }
}

/// When a cookie is sent along with requests from other sites.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    /// Never.
    Strict,
    /// When the user follows a link.
    Lax,
    /// Always. Browsers want [`SetCookie::secure`] beside it.
    None,
}

/// A cookie to be set. Fill in the fields, then [`SetCookie::to_value`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetCookie<'a> {
    /// A token.
    pub name: &'a str,
    /// Visible ASCII without blanks, quotes, commas, semicolons and backslashes.
    pub value: &'a str,
    /// The paths it is sent to. Default: that of the request, up to its last slash.
    pub path: Option<&'a str>,
    /// The hosts it is sent to. Default: the one that set it.
    pub domain: Option<&'a str>,
    /// How long it lives, in whole seconds. Zero deletes it. Default: as long as the browser runs.
    pub max_age: Option<Duration>,
    /// When it dies, for old browsers.
    pub expires: Option<UnixSeconds>,
    /// Sent over TLS only.
    pub secure: bool,
    /// Hidden from scripts.
    pub http_only: bool,
    /// Which requests carry it. Default: what the browser thinks best.
    pub same_site: Option<SameSite>,
}

impl<'a> SetCookie<'a> {
    /// A cookie with nothing but a name and a value.
    pub fn new(name: &'a str, value: &'a str) -> Self {
        Self {
            name,
            value,
            ..Self::default()
        }
    }

    /// The value of the Set-Cookie field.
    ///
    /// # Errors
    ///
    /// A part has a character that it may not have; see the fields.
    pub fn to_value(&self) -> Result<String, HeaderError> {
        if !is_token(self.name.as_bytes()) {
            return Err(HeaderError::Name);
        }
        if !self.value.bytes().all(is_value_octet) {
            return Err(HeaderError::Value);
        }
        let mut out = format!("{}={}", self.name, self.value);
        let attributes = [
            ("Path", self.path, is_path_octet as fn(u8) -> bool),
            ("Domain", self.domain, is_domain_octet),
        ];
        for (name, value, is_octet) in attributes {
            let Some(value) = value else { continue };
            if !value.bytes().all(is_octet) {
                return Err(HeaderError::Value);
            }
            push(&mut out, format_args!("; {name}={value}"));
        }
        if let Some(age) = self.max_age {
            push(&mut out, format_args!("; Max-Age={}", age.as_secs()));
        }
        if let Some(at) = self.expires {
            let date = date::format(at);
            push(&mut out, format_args!("; Expires={}", date.escape_ascii()));
        }
        if self.secure {
            out.push_str("; Secure");
        }
        if self.http_only {
            out.push_str("; HttpOnly");
        }
        out.push_str(match self.same_site {
            Some(SameSite::Strict) => "; SameSite=Strict",
            Some(SameSite::Lax) => "; SameSite=Lax",
            Some(SameSite::None) => "; SameSite=None",
            None => "",
        });
        Ok(out)
    }
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a String takes everything");
}

/// `cookie-octet` of RFC 6265.
fn is_value_octet(b: u8) -> bool {
    b.is_ascii_graphic() && !matches!(b, b'"' | b',' | b';' | b'\\')
}

fn is_path_octet(b: u8) -> bool {
    matches!(b, b' '..=b'~') && b != b';'
}

fn is_domain_octet(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::http::head::slots;

    #[test]
    fn reading() {
        #[rustfmt::skip]
        let cases: &[(&str, &[(&str, &str)])] = &[
            ("", &[]), (";;", &[]), ("a", &[]), ("a=", &[("a", "")]),
            ("a=b", &[("a", "b")]), (" a = b ; c=d", &[("a", "b"), ("c", "d")]),
            ("a=b=c", &[("a", "b=c")]), ("a=1; a=2", &[("a", "1"), ("a", "2")]),
            ("a=\"b\"", &[("a", "b")]), ("a=\"", &[("a", "\"")]), ("a=\"\"", &[("a", "")]),
            ("a=\"b\\\"c\\\\d\"", &[("a", "b\"c\\d")]), ("a=\"\\054\\073\"", &[("a", ",;")]),
            ("a=\"\\377\"", &[("a", "\u{ff}")]), ("a=\"\\400\"", &[("a", "400")]),
            ("a=\"\\05\"", &[("a", "05")]), ("a=\"\\\"", &[("a", "")]), ("a=\"\\\u{e9}\"", &[("a", "\u{e9}")]),
        ];
        for &(header, want) in cases {
            let got: Vec<_> = cookies(header).collect();
            let got: Vec<_> = got.iter().map(|(n, v)| (*n, &**v)).collect();
            assert_eq!(got, want, "{header}");
        }
    }

    #[test]
    fn one_by_name() {
        let raw = b"GET / HTTP/1.1\r\nHost: a\r\nCookie: a=1; b=2\r\nCookie: c=3; a=4\r\n\r\n";
        let mut slots = slots();
        let head = Head::parse(raw, &mut slots).unwrap();
        assert_eq!(cookie(&head, "a").as_deref(), Some("1"));
        assert_eq!(cookie(&head, "c").as_deref(), Some("3"));
        assert_eq!(cookie(&head, "d"), None);
    }

    /// Tornado CVE-2024-52804: unquoting is one pass. A quadratic one would take minutes here.
    #[test]
    fn unquoting_is_linear() {
        let n = 1 << 20;
        for escape in ["\\\\", "\\\"", "\\054", "\\x"] {
            let header = format!("a=\"{}\"", escape.repeat(n));
            let (_, value) = cookies(&header).next().unwrap();
            assert_eq!(value.len(), n);
        }
    }

    #[test]
    fn writing() {
        let full = SetCookie {
            path: Some("/a b"),
            domain: Some("example.org"),
            max_age: Some(Duration::from_secs(60)),
            expires: Some(UnixSeconds(784_111_777)),
            secure: true,
            http_only: true,
            same_site: Some(SameSite::Lax),
            ..SetCookie::new("a", "b")
        };
        let want = "a=b; Path=/a b; Domain=example.org; Max-Age=60; \
                    Expires=Sun, 06 Nov 1994 08:49:37 GMT; Secure; HttpOnly; SameSite=Lax";
        assert_eq!(full.to_value().as_deref(), Ok(want));
        assert_eq!(SetCookie::new("a", "").to_value().as_deref(), Ok("a="));
    }

    /// Tornado 6.5.5: attributes took CR LF and `;`.
    #[test]
    fn no_part_can_begin_another() {
        for bad in ["a;b", "a\r\nb", "a\nb", "a\0b", "a\x7fb", "\u{e9}"] {
            assert_eq!(
                SetCookie::new(bad, "b").to_value(),
                Err(HeaderError::Name),
                "{bad:?}"
            );
            assert_eq!(
                SetCookie::new("a", bad).to_value(),
                Err(HeaderError::Value),
                "{bad:?}"
            );
            let mut cookie = SetCookie::new("a", "b");
            cookie.path = Some(bad);
            assert_eq!(cookie.to_value(), Err(HeaderError::Value), "{bad:?}");
            cookie.path = None;
            cookie.domain = Some(bad);
            assert_eq!(cookie.to_value(), Err(HeaderError::Value), "{bad:?}");
        }
        for bad in ["a b", "a,b", "a\"b", "a\\b", "a\tb"] {
            assert_eq!(
                SetCookie::new("a", bad).to_value(),
                Err(HeaderError::Value),
                "{bad:?}"
            );
        }
        for bad in ["", "a=b", "a b"] {
            assert_eq!(
                SetCookie::new(bad, "b").to_value(),
                Err(HeaderError::Name),
                "{bad:?}"
            );
        }
    }
}
