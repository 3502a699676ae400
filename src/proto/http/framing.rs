//! How long is the body, and may it be sent? (RFC 9112, 6; RFC 9110, 10.1.1.)
//!
//! The rules are strict because the two ends of a chain of servers have to find the same answer:
//! whatever could be read in two ways is refused.
//!
//! Not here: reading the body ([`chunked`](super::chunked), [`reader`](super::reader)).

use super::error::Error;
use super::grammar::{elements, is_token};
use super::head::Head;
use super::request_line::Version;

/// How the length of a body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    /// So many bytes, at most 2^63-1.
    Length(u64),
    /// In chunks, the last of them empty.
    Chunked,
}

impl Head<'_> {
    /// How the length of the body is told.
    ///
    /// # Errors
    ///
    /// 501 for codings other than `chunked`, 400 for all that is not clear beyond doubt.
    pub fn framing(&self) -> Result<Framing, Error> {
        let (mut coding, mut length) = (None, None);
        for field in self.headers {
            // The lengths of the two names: nearly every other field is passed by without comparing.
            match field.name.len() {
                17 if field.name.eq_ignore_ascii_case("transfer-encoding")
                    && coding.replace(field.value).is_some() =>
                {
                    return Err(Error::Framing("several transfer-encodings"));
                }
                14 if field.name.eq_ignore_ascii_case("content-length") => {
                    let first = *length.get_or_insert(field.value);
                    // Written differently is refused even where the numbers are equal.
                    if first != field.value {
                        return Err(Error::Framing("content-lengths that differ"));
                    }
                }
                _ => {}
            }
        }
        match (coding, length) {
            (None, None) => Ok(Framing::None),
            (None, Some(value)) => parse_length(value).map(Framing::Length),
            (Some(_), Some(_)) => Err(Error::Framing("content-length and transfer-encoding")),
            (Some(_), None) if self.version == Version::Http10 => {
                Err(Error::Framing("transfer-encoding in http/1.0"))
            }
            (Some(value), None) => parse_coding(value),
        }
    }

    /// Whether the client waits for `100 Continue` before it sends the body: not
    /// in HTTP/1.0, and not if there is no body.
    ///
    /// # Errors
    ///
    /// 417 for any other expectation; those of [`Self::framing`].
    pub fn expects_continue(&self) -> Result<bool, Error> {
        if self.version == Version::Http10 {
            return Ok(false);
        }
        let mut expects = false;
        for value in self.all("expect") {
            if !value.eq_ignore_ascii_case(b"100-continue") {
                return Err(Error::Expectation);
            }
            expects = true;
        }
        Ok(expects && !matches!(self.framing()?, Framing::None | Framing::Length(0)))
    }
}

/// A number, or a list of the same number written the same way.
fn parse_length(value: &[u8]) -> Result<u64, Error> {
    let mut list = elements(value);
    let first = list.next().unwrap_or_default();
    if list.any(|other| other != first) {
        return Err(Error::Framing("content-lengths that differ"));
    }
    let bad = Error::Framing("content-length");
    if first.is_empty() || first.len() > LENGTH_DIGITS_MAX {
        return Err(bad);
    }
    let mut length: u64 = 0;
    for &b in first {
        if !b.is_ascii_digit() {
            return Err(bad);
        }
        // 19 digits fit in 64 bits.
        length = length * 10 + u64::from(b - b'0');
    }
    if length > BODY_BYTES_END {
        return Err(bad);
    }
    Ok(length)
}

/// `chunked` alone is understood; codings below it are understood to be codings.
fn parse_coding(value: &[u8]) -> Result<Framing, Error> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(Framing::Chunked);
    }
    let mut list = elements(value);
    let last_is_chunked = list
        .next_back()
        .is_some_and(|last| last.eq_ignore_ascii_case(b"chunked"));
    let is_coding = |name: &[u8]| {
        is_token(name)
            && !name.eq_ignore_ascii_case(b"chunked")
            && !name.eq_ignore_ascii_case(b"identity")
    };
    if last_is_chunked && list.all(is_coding) {
        return Err(Error::Coding);
    }
    Err(Error::Framing("transfer-encoding"))
}

const LENGTH_DIGITS_MAX: usize = 19;
/// The largest length that can be told, in both framings.
pub(crate) const BODY_BYTES_END: u64 = i64::MAX as u64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::http::head::slots;

    fn framing(version: &str, fields: &str) -> Result<Framing, u16> {
        let raw = format!("POST / HTTP/{version}\r\nHost: a\r\n{fields}\r\n\r\n");
        let mut slots = slots();
        let head = Head::parse(raw.as_bytes(), &mut slots).expect(fields);
        head.framing().map_err(Error::status)
    }

    /// Includes RUSTSEC-2021-0078 (`+` in Content-Length) and RUSTSEC-2021-0020 (several codings).
    #[test]
    fn length_of_the_body() {
        #[rustfmt::skip]
        let cases: &[(&str, Result<Framing, u16>)] = &[
            ("X: y",                                          Ok(Framing::None)),
            ("Content-Length: 0",                             Ok(Framing::Length(0))),
            ("content-LENGTH:\t5 ",                           Ok(Framing::Length(5))),
            ("Content-Length: 0005",                          Ok(Framing::Length(5))),
            ("Content-Length: 9223372036854775807",           Ok(Framing::Length(BODY_BYTES_END))),
            ("Content-Length: 5, 5",                          Ok(Framing::Length(5))),
            ("Content-Length: 5\r\nContent-Length: 5",        Ok(Framing::Length(5))),
            ("Transfer-Encoding: chunked",                    Ok(Framing::Chunked)),
            ("Transfer-Encoding: Chunked",                    Ok(Framing::Chunked)),
            ("Content-Length: 9223372036854775808",           Err(400)),
            ("Content-Length: 18446744073709551618",          Err(400)),
            ("Content-Length: 00000000000000000001",          Err(400)),
            ("Content-Length: +2",                            Err(400)),
            ("Content-Length: -2",                            Err(400)),
            ("Content-Length: 0x2",                           Err(400)),
            ("Content-Length: 1_0",                           Err(400)),
            ("Content-Length: abc",                           Err(400)),
            ("Content-Length:",                               Err(400)),
            ("Content-Length: 1 0",                           Err(400)),
            ("Content-Length: 2.0",                           Err(400)),
            ("Content-Length: \u{ff12}",                      Err(400)),
            ("Content-Length: \u{a0}2",                       Err(400)),
            ("Content-Length: 1, 2",                          Err(400)),
            ("Content-Length: 5, 05",                         Err(400)),
            ("Content-Length: 5,",                            Err(400)),
            ("Content-Length: ,5",                            Err(400)),
            ("Content-Length: 5\r\nContent-Length: 6",        Err(400)),
            ("Content-Length: 5\r\nContent-Length: 05",       Err(400)),
            ("Content-Length: 5\r\nTransfer-Encoding: chunked", Err(400)),
            ("Transfer-Encoding: chunked\r\nContent-Length: 5", Err(400)),
            ("Transfer-Encoding: identity\r\nContent-Length: 5", Err(400)),
            ("Transfer-Encoding:\r\nContent-Length: 5",       Err(400)),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", Err(400)),
            ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", Err(400)),
            ("Transfer-Encoding: chunked, chunked",           Err(400)),
            ("Transfer-Encoding: chunked, identity",          Err(400)),
            ("Transfer-Encoding: identity, chunked",          Err(400)),
            ("Transfer-Encoding: identity",                   Err(400)),
            ("Transfer-Encoding: gzip",                       Err(400)),
            ("Transfer-Encoding: xchunked",                   Err(400)),
            ("Transfer-Encoding: \u{a0}chunked",              Err(400)),
            ("Transfer-Encoding: ,chunked",                   Err(400)),
            ("Transfer-Encoding: chunked,",                   Err(400)),
            ("Transfer-Encoding: \"chunked\"",                Err(400)),
            ("Transfer-Encoding: chunked;q=1",                Err(400)),
            ("Transfer-Encoding:",                            Err(400)),
            ("Transfer-Encoding: gzip, chunked",              Err(501)),
            ("Transfer-Encoding: foo ,\tChunked",             Err(501)),
        ];
        for &(fields, want) in cases {
            assert_eq!(framing("1.1", fields), want, "{fields}");
        }
        assert_eq!(framing("1.0", "Transfer-Encoding: chunked"), Err(400));
        assert_eq!(framing("1.0", "Content-Length: 3"), Ok(Framing::Length(3)));
    }

    #[test]
    fn expectations() {
        #[rustfmt::skip]
        let cases: &[(&str, &str, Result<bool, u16>)] = &[
            ("1.1", "Content-Length: 2",                                   Ok(false)),
            ("1.1", "Content-Length: 2\r\nExpect: 100-continue",           Ok(true)),
            ("1.1", "Content-Length: 2\r\nExpect: 100-Continue",           Ok(true)),
            ("1.1", "Transfer-Encoding: chunked\r\nExpect: 100-continue",  Ok(true)),
            ("1.1", "Content-Length: 0\r\nExpect: 100-continue",           Ok(false)),
            ("1.1", "Expect: 100-continue",                                Ok(false)),
            ("1.0", "Content-Length: 2\r\nExpect: 100-continue",           Ok(false)),
            ("1.0", "Content-Length: 2\r\nExpect: magic",                  Ok(false)),
            ("1.1", "Content-Length: 2\r\nExpect: magic",                  Err(417)),
            ("1.1", "Expect:",                                             Err(417)),
            ("1.1", "Expect: 100-continue\r\nExpect: magic",               Err(417)),
        ];
        for &(version, fields, want) in cases {
            let raw = format!("POST / HTTP/{version}\r\nHost: a\r\n{fields}\r\n\r\n");
            let mut slots = slots();
            let head = Head::parse(raw.as_bytes(), &mut slots).expect(fields);
            assert_eq!(
                head.expects_continue().map_err(Error::status),
                want,
                "{fields}"
            );
        }
    }
}
