//! The request line: method, target, version (RFC 9112, 3).
//!
//! Parsed by hand and strictly: one blank between the parts, visible ASCII in the target. What
//! `httparse` calls a bad version is several different mistakes with different statuses.
//!
//! Not here: the fields behind it, percent-decoding.

use memchr::{memchr, memchr2};

use super::error::Error;
use super::grammar::{is_host, is_token};

/// The version of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// A parsed request line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestLine<'b> {
    pub(crate) method: &'static str,
    pub(crate) target: &'b str,
    pub(crate) version: Version,
    /// Host and port of an absolute-form target.
    pub(crate) authority: Option<&'b str>,
    pub(crate) path: &'b str,
    pub(crate) query: Option<&'b str>,
}

impl<'b> RequestLine<'b> {
    /// Parses a request line without its CRLF.
    pub(crate) fn parse(line: &'b [u8]) -> Result<Self, Error> {
        let blank = memchr(b' ', line).ok_or(Error::Syntax("request line"))?;
        let (method, rest) = (&line[..blank], &line[blank + 1..]);
        let blank = memchr(b' ', rest).ok_or(Error::Syntax("request line"))?;
        let (target, version) = (&rest[..blank], &rest[blank + 1..]);

        let version = parse_version(version)?;
        let method = parse_method(method)?;
        let good = target
            .iter()
            .fold(true, |good, &b| good & b.is_ascii_graphic() & (b != b'#'));
        let target = match std::str::from_utf8(target) {
            Ok(target) if good && !target.is_empty() => target,
            _ => return Err(Error::Syntax("target")),
        };
        let (authority, path) = match target.as_bytes() {
            [b'/', ..] => (None, target),
            b"*" if method == "OPTIONS" => (None, target),
            _ => parse_absolute(target)?,
        };
        let (path, query) = match memchr(b'?', path.as_bytes()) {
            Some(at) => (&path[..at], Some(&path[at + 1..])),
            None => (path, None),
        };
        Ok(Self {
            method,
            target,
            version,
            authority,
            path: if path.is_empty() { "/" } else { path },
            query,
        })
    }
}

/// Only what is a version in form can be one that is not supported.
fn parse_version(version: &[u8]) -> Result<Version, Error> {
    match version {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(Error::Version)
        }
        _ => Err(Error::Syntax("version")),
    }
}

/// CONNECT and TRACE are left out on purpose.
fn parse_method(method: &[u8]) -> Result<&'static str, Error> {
    Ok(match method {
        b"GET" => "GET",
        b"POST" => "POST",
        b"HEAD" => "HEAD",
        b"PUT" => "PUT",
        b"DELETE" => "DELETE",
        b"PATCH" => "PATCH",
        b"OPTIONS" => "OPTIONS",
        other if other.len() <= METHOD_BYTES_MAX && is_token(other) => return Err(Error::Method),
        _ => return Err(Error::Syntax("method")),
    })
}

/// The authority of `http://host/path`, and what follows it, which may be empty.
fn parse_absolute(target: &str) -> Result<(Option<&str>, &str), Error> {
    let rest = ["http://", "https://"]
        .iter()
        .find_map(|scheme| {
            let (head, rest) = target.split_at_checked(scheme.len())?;
            head.eq_ignore_ascii_case(scheme).then_some(rest)
        })
        .ok_or(Error::Syntax("target"))?;
    let end = memchr2(b'/', b'?', rest.as_bytes()).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if !is_host(authority.as_bytes()) {
        return Err(Error::Host("characters"));
    }
    Ok((Some(authority), path))
}

const METHOD_BYTES_MAX: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_the_target() {
        #[rustfmt::skip]
        let cases: &[(&str, Option<&str>, &str, Option<&str>)] = &[
            ("GET / HTTP/1.1",                   None,          "/",   None),
            ("GET /a?b=c?d HTTP/1.1",            None,          "/a",  Some("b=c?d")),
            ("GET /? HTTP/1.1",                  None,          "/",   Some("")),
            ("GET //a/b HTTP/1.1",               None,          "//a/b", None),
            ("OPTIONS * HTTP/1.1",               None,          "*",   None),
            ("GET http://a/ HTTP/1.1",           Some("a"),     "/",   None),
            ("GET HTTP://a HTTP/1.1",            Some("a"),     "/",   None),
            ("GET https://a:1?x HTTP/1.1",       Some("a:1"),   "/",   Some("x")),
            ("GET http://[::1]:80/p?q HTTP/1.1", Some("[::1]:80"), "/p", Some("q")),
        ];
        for &(line, authority, path, query) in cases {
            let parsed = RequestLine::parse(line.as_bytes()).expect(line);
            assert_eq!(
                (parsed.authority, parsed.path, parsed.query),
                (authority, path, query),
                "{line}"
            );
        }
    }

    #[test]
    fn refusals() {
        #[rustfmt::skip]
        let cases: &[(&[u8], u16)] = &[
            (b"", 400), (b"GET", 400), (b"GET /", 400), (b"GET / ", 400), (b"GET  / HTTP/1.1", 400),
            (b"GET /  HTTP/1.1", 400), (b"GET / HTTP/1.1 ", 400), (b" GET / HTTP/1.1", 400),
            (b"GET\t/\tHTTP/1.1", 400), (b"GET /a b HTTP/1.1", 400), (b"GET /\x01 HTTP/1.1", 400),
            (b"GET /\0 HTTP/1.1", 400), (b"GET /\x7f HTTP/1.1", 400), (b"GET /\xc3\xa9 HTTP/1.1", 400),
            (b"GET /\xff HTTP/1.1", 400), (b"GET /#a HTTP/1.1", 400), (b"GET a HTTP/1.1", 400),
            (b"GET * HTTP/1.1", 400), (b"GET ftp://a/ HTTP/1.1", 400), (b"GET http:///a HTTP/1.1", 400),
            (b"GET http://u@a/ HTTP/1.1", 400), (b"GET http://a:x/ HTTP/1.1", 400),
            (b"G@T / HTTP/1.1", 400), (b"ABCDEFGHIJKLMNOPQRSTUVWXY / HTTP/1.1", 400),
            (b"ABCDEFGHIJKLMNOPQRSTUVWX / HTTP/1.1", 501), (b"get / HTTP/1.1", 501),
            (b"CONNECT a:80 HTTP/1.1", 501), (b"TRACE / HTTP/1.1", 501),
            (b"GET / http/1.1", 400), (b"GET / HTTP/1", 400), (b"GET / HTTP/1.10", 400),
            (b"GET / HTTP/11", 400), (b"GET / HTTP/x.1", 400), (b"GET / HTTP/ 1.1", 400),
            (b"GET / HTTP/1.2", 505), (b"GET / HTTP/1.9", 505), (b"GET / HTTP/2.0", 505),
            (b"GET / HTTP/9.9", 505), (b"GET / HTTP/0.9", 505), (b"PRI * HTTP/2.0", 505),
        ];
        for &(line, status) in cases {
            let refused = RequestLine::parse(line).map_err(Error::status);
            assert_eq!(refused, Err(status), "{:?}", String::from_utf8_lossy(line));
        }
    }
}
