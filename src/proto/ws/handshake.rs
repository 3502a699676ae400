//! The opening handshake, server side (RFC 6455, 4.2; drafts hybi-07 and -08).
//!
//! [`check`] judges the request up to the origin, which is the caller's to judge; [`protocols`]
//! judges what is offered, [`write_101`] answers. The first failure decides.
//!
//! Not here: the origin rules (W8), which need the settings of the route and the scheme; extensions,
//! whose header is only checked for its grammar (W10); hixie-76 and hixie-75
//! (`hixie/handshake.rs`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use httparse::Header;
use sha1::{Digest as _, Sha1};

/// What the handshake looks at in a request head.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a str,
    /// Whether the version is HTTP/1.1.
    pub http11: bool,
    /// The header fields.
    pub headers: &'a [Header<'a>],
}

/// The protocol versions a route speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Versions {
    /// Version 13 only.
    Rfc6455,
    /// Version 13, and 8 and 7 of the drafts, which differ in the name of the origin field only.
    #[default]
    WithDrafts,
}

/// How a request that asks for no upgrade is refused (W3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// A route that is nothing but a WebSocket: 426.
    WebSocket,
    /// A route of Socket.IO or SockJS: 400 with the text of the servers they had.
    Transport,
}

/// An accepted request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// The version: 13, 8 or 7.
    pub version: u8,
    /// The proof that we understood: the value of `Sec-WebSocket-Accept`.
    pub accept: [u8; 28],
}

/// A refused request. The connection closes after the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub text: &'static str,
    /// Fields of the answer that belong to the status, `Connection` among them where it has to say
    /// more than `close`.
    pub headers: &'static [(&'static str, &'static str)],
}

/// The subprotocols a client offers, in its order of preference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Protocols<'a>(Vec<&'a str>);

impl<'a> Protocols<'a> {
    /// All of them; empty if none were offered.
    pub fn as_slice(&self) -> &[&'a str] {
        &self.0
    }
}

/// Checks W1 to W7, in this order.
///
/// # Errors
///
/// The answer to the first rule that is broken.
pub fn check(
    request: &Request<'_>,
    versions: Versions,
    route: Route,
) -> Result<Handshake, Refusal> {
    if request.method != "GET" {
        return Err(METHOD);
    }
    if !request.http11 {
        return Err(NO_HTTP11);
    }
    if !has_element(request, "Upgrade", "websocket") {
        return Err(match route {
            Route::WebSocket => versions.refusal(NO_UPGRADE.text),
            Route::Transport => NO_UPGRADE,
        });
    }
    if !has_element(request, "Connection", "upgrade") {
        return Err(NO_CONNECTION);
    }
    let version = match (single(request, "Sec-WebSocket-Version"), versions) {
        (Some(b"13"), _) => 13,
        (Some(b"8"), Versions::WithDrafts) => 8,
        (Some(b"7"), Versions::WithDrafts) => 7,
        _ => return Err(versions.refusal("Version of WebSocket not supported.")),
    };
    let key = match single(request, "Sec-WebSocket-Key") {
        Some(key) if is_key(key) => key,
        _ => return Err(bad("\"Sec-WebSocket-Key\" must be 16 bytes in base64.")),
    };
    if !is_without_body(request) {
        return Err(NO_BODY);
    }
    Ok(Handshake {
        version,
        accept: accept_key(key),
    })
}

/// Checks the offers, W9 and the grammar of W10, and answers the subprotocols.
///
/// # Errors
///
/// 400: an element of `Sec-WebSocket-Protocol` is empty, no token, or repeated;
/// `Sec-WebSocket-Extensions` breaks its grammar.
pub fn protocols<'a>(request: &Request<'a>) -> Result<Protocols<'a>, Refusal> {
    let mut offered = Vec::new();
    for element in fields(request, "Sec-WebSocket-Protocol").flat_map(elements) {
        offered.push(token(element).ok_or(PROTOCOL)?);
    }
    // Sorted, so that a long list costs no quadratic search.
    let mut sorted = offered.clone();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(PROTOCOL);
    }
    for value in fields(request, "Sec-WebSocket-Extensions") {
        let mut scanner = Scanner(value);
        scanner.extensions().ok_or(EXTENSIONS)?;
    }
    Ok(Protocols(offered))
}

/// Appends the answer to an accepted request.
///
/// `protocol` is one of those offered; `extra` are whole lines of the application, each with its
/// CR LF, without any of the fields that are the protocol's own.
pub fn write_101(out: &mut Vec<u8>, handshake: &Handshake, protocol: Option<&str>, extra: &[u8]) {
    out.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\n\
          Upgrade: websocket\r\n\
          Connection: Upgrade\r\n\
          Sec-WebSocket-Accept: ",
    );
    out.extend_from_slice(&handshake.accept);
    out.extend_from_slice(b"\r\n");
    if let Some(protocol) = protocol {
        out.extend_from_slice(b"Sec-WebSocket-Protocol: ");
        out.extend_from_slice(protocol.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(extra);
    out.extend_from_slice(b"\r\n");
}

/// Whether a field of the answer is the protocol's own, not the application's.
pub fn is_own_field(name: &str) -> bool {
    let prefix = name.as_bytes().get(..OWN_PREFIX.len());
    name.eq_ignore_ascii_case("Upgrade")
        || prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case(OWN_PREFIX))
        || name.eq_ignore_ascii_case("WebSocket-Origin")
        || name.eq_ignore_ascii_case("WebSocket-Location")
        || name.eq_ignore_ascii_case("WebSocket-Protocol")
}

/// The value of `Sec-WebSocket-Accept` for a key: base64 of the SHA-1 of key and GUID.
pub fn accept_key(key: &[u8]) -> [u8; 28] {
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let mut accept = [0; 28];
    let written = STANDARD.encode_slice(digest, &mut accept);
    debug_assert_eq!(written, Ok(28));
    accept
}

impl Versions {
    /// 426, and what we speak (RFC 9110, 15.5.22: `Upgrade` is due).
    const fn refusal(self, text: &'static str) -> Refusal {
        let headers: &'static [(&str, &str)] = match self {
            Self::Rfc6455 => &[
                ("Upgrade", "websocket"),
                ("Connection", "Upgrade, close"),
                ("Sec-WebSocket-Version", "13"),
            ],
            Self::WithDrafts => &[
                ("Upgrade", "websocket"),
                ("Connection", "Upgrade, close"),
                ("Sec-WebSocket-Version", "13, 8, 7"),
            ],
        };
        Refusal {
            status: 426,
            text,
            headers,
        }
    }
}

const OWN_PREFIX: &[u8] = b"Sec-WebSocket-";

pub(super) const fn bad(text: &'static str) -> Refusal {
    Refusal {
        status: 400,
        text,
        headers: &[],
    }
}

/// The values of all fields of a name, in order, without blanks around them.
pub(super) fn fields<'a>(
    request: &Request<'a>,
    name: &'static str,
) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    let headers = request.headers;
    headers
        .iter()
        .filter(move |header| header.name.eq_ignore_ascii_case(name))
        .map(|header| trim(header.value))
}

/// The value of a field that comes once.
pub(super) fn single<'a>(request: &Request<'a>, name: &'static str) -> Option<&'a [u8]> {
    let mut values = fields(request, name);
    values.next().filter(|_| values.next().is_none())
}

/// The elements of a list, without blanks around them.
fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(trim)
}

/// Whether a list has an element, in any case.
pub(super) fn has_element(request: &Request<'_>, name: &'static str, want: &str) -> bool {
    fields(request, name)
        .flat_map(elements)
        .any(|element| element.eq_ignore_ascii_case(want.as_bytes()))
}

/// Whether no body is announced, or one of no bytes (W7).
pub(super) fn is_without_body(request: &Request<'_>) -> bool {
    fields(request, "Content-Length").all(|value| value == b"0")
        && fields(request, "Transfer-Encoding").next().is_none()
}

/// Without blanks and tabs around; other white space is not white here.
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Sixteen bytes in base64: 22 digits, the last of which carries two bits, and `==` (W6).
fn is_key(key: &[u8]) -> bool {
    let Some((digits, b"==")) = key.split_last_chunk::<2>() else {
        return false;
    };
    digits.len() == 22
        && digits
            .iter()
            .all(|&b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/')
        && matches!(digits[21], b'A' | b'Q' | b'g' | b'w')
}

/// The bytes as a token (RFC 9110, 5.6.2).
fn token(bytes: &[u8]) -> Option<&str> {
    let good = !bytes.is_empty() && bytes.iter().all(|&byte| is_token_byte(byte));
    good.then(|| std::str::from_utf8(bytes).ok()).flatten()
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Reads the grammar of RFC 6455, 9.1, from left to right, each byte once:
///
/// ```text
/// extensions = extension *( "," extension )
/// extension  = token *( ";" token [ "=" ( token | quoted token ) ] )
/// ```
struct Scanner<'a>(&'a [u8]);

impl Scanner<'_> {
    fn extensions(&mut self) -> Option<()> {
        loop {
            self.token()?;
            while self.takes(b';') {
                self.token()?;
                if self.takes(b'=') {
                    self.value()?;
                }
            }
            if self.0.is_empty() {
                return Some(());
            }
            self.takes(b',').then_some(())?;
        }
    }

    /// A token and the blanks around it.
    fn token(&mut self) -> Option<()> {
        self.blanks();
        let len = self
            .0
            .iter()
            .take_while(|&&byte| is_token_byte(byte))
            .count();
        self.0 = &self.0[len..];
        self.blanks();
        (len > 0).then_some(())
    }

    /// A token, bare or in quotes, where a backslash may stand before any byte.
    fn value(&mut self) -> Option<()> {
        self.blanks();
        if !self.takes(b'"') {
            return self.token();
        }
        let mut empty = true;
        while !self.takes(b'"') {
            self.takes(b'\\');
            let (&byte, rest) = self.0.split_first()?;
            is_token_byte(byte).then_some(())?;
            self.0 = rest;
            empty = false;
        }
        self.blanks();
        (!empty).then_some(())
    }

    fn takes(&mut self, byte: u8) -> bool {
        let rest = self.0.strip_prefix(&[byte]);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn blanks(&mut self) {
        while self.takes(b' ') || self.takes(b'\t') {}
    }
}

pub(super) const METHOD: Refusal = Refusal {
    status: 405,
    text: "WebSocket needs GET.",
    headers: &[("Allow", "GET")],
};
pub(super) const NO_HTTP11: Refusal = bad("WebSocket needs HTTP/1.1.");
pub(super) const NO_UPGRADE: Refusal = bad("Can \"Upgrade\" only to \"WebSocket\".");
pub(super) const NO_CONNECTION: Refusal = bad("\"Connection\" must be \"Upgrade\".");
pub(super) const NO_BODY: Refusal = bad("A WebSocket handshake has no body.");
const PROTOCOL: Refusal = bad("\"Sec-WebSocket-Protocol\" must list tokens, each once.");
const EXTENSIONS: Refusal = bad("\"Sec-WebSocket-Extensions\" breaks its grammar.");
/// What the key is followed by before it is hashed (RFC 6455, 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

#[cfg(test)]
mod tests {
    use super::*;

    /// Names and values of fields.
    type Fields<'a> = &'a [(&'a str, &'a str)];

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    /// The fields of the RFC's example, changed: a name with a value replaces the field or adds it,
    /// `None` takes it away.
    fn example(
        changes: &[(&'static str, Option<&'static str>)],
    ) -> Vec<(&'static str, &'static str)> {
        let mut fields = vec![
            ("Host", "server.example.com"),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", KEY),
            ("Origin", "http://example.com"),
            ("Sec-WebSocket-Version", "13"),
        ];
        for &(name, _) in changes {
            fields.retain(|field| field.0 != name);
        }
        for &(name, value) in changes {
            fields.extend(value.map(|value| (name, value)));
        }
        fields
    }

    fn with<T>(fields: &[(&str, &str)], then: impl FnOnce(Request<'_>) -> T) -> T {
        let headers: Vec<Header<'_>> = fields
            .iter()
            .map(|(name, value)| Header {
                name,
                value: value.as_bytes(),
            })
            .collect();
        then(Request {
            method: "GET",
            http11: true,
            headers: &headers,
        })
    }

    fn checked(changes: &[(&'static str, Option<&'static str>)]) -> Result<Handshake, Refusal> {
        with(&example(changes), |request| {
            check(&request, Versions::WithDrafts, Route::WebSocket)
        })
    }

    #[test]
    fn example_of_the_rfc() {
        assert_eq!(&accept_key(KEY.as_bytes()), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let handshake = checked(&[]).unwrap();
        assert_eq!(handshake.version, 13);
        let mut out = Vec::new();
        write_101(&mut out, &handshake, None, b"");
        let want = "HTTP/1.1 101 Switching Protocols\r\n\
            Upgrade: websocket\r\n\
            Connection: Upgrade\r\n\
            Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        assert_eq!(out, want.as_bytes());
        out.clear();
        write_101(&mut out, &handshake, Some("chat"), b"X-A: b\r\n");
        let want = want.replace(
            "\r\n\r\n",
            "\r\nSec-WebSocket-Protocol: chat\r\nX-A: b\r\n\r\n",
        );
        assert_eq!(out, want.as_bytes());
    }

    /// The requests that are taken.
    #[test]
    fn taken() {
        type Changes = &'static [(&'static str, Option<&'static str>)];
        #[rustfmt::skip]
        let cases: &[(&str, Changes, u8)] = &[
            ("odd case",        &[("Upgrade", None), ("uPgRaDe", Some("WebSocket"))], 13),
            ("keep-alive",      &[("Connection", Some("keep-alive, Upgrade"))], 13),
            ("two fields",      &[("Connection", Some("keep-alive")), ("connection", Some("upgrade"))], 13),
            ("list",            &[("Upgrade", Some("foo, websocket"))], 13),
            ("blanks",          &[("Upgrade", Some("foo ,\t websocket ,"))], 13),
            ("version 8",       &[("Sec-WebSocket-Version", Some("8"))], 8),
            ("version 7",       &[("Sec-WebSocket-Version", Some("7"))], 7),
            ("length 0",        &[("Content-Length", Some("0"))], 13),
            ("expect",          &[("Expect", Some("100-continue"))], 13),
            ("no origin",       &[("Origin", None)], 13),
            ("blanks around the key", &[("Sec-WebSocket-Key", Some(" dGhlIHNhbXBsZSBub25jZQ==\t"))], 13),
        ];
        for &(name, changes, version) in cases {
            let got = checked(changes).unwrap_or_else(|refusal| panic!("{name}: {refusal:?}"));
            assert_eq!(got.version, version, "{name}");
            assert_eq!(&got.accept, b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "{name}");
        }
    }

    /// The requests that are not.
    #[test]
    fn refused() {
        type Changes = &'static [(&'static str, Option<&'static str>)];
        const K: &str = "Sec-WebSocket-Key";
        const V: &str = "Sec-WebSocket-Version";
        #[rustfmt::skip]
        let cases: &[(&str, Changes, u16)] = &[
            ("no Upgrade",       &[("Upgrade", None)], 426),
            ("h2c",              &[("Upgrade", Some("h2c"))], 426),
            ("part of a word",   &[("Upgrade", Some("websockets"))], 426),
            ("no Connection",    &[("Connection", None)], 400),
            ("keep-alive",       &[("Connection", Some("keep-alive"))], 400),
            ("no version",       &[(V, None)], 426),
            ("version 12",       &[(V, Some("12"))], 426),
            ("version 14",       &[(V, Some("14"))], 426),
            ("version list",     &[(V, Some("13, 8"))], 426),
            ("version twice",    &[(V, Some("13")), (V, Some("13"))], 426),
            ("version 013",      &[(V, Some("013"))], 426),
            ("version +13",      &[(V, Some("+13"))], 426),
            ("no key",           &[(K, None)], 400),
            ("two keys",         &[(K, Some(KEY)), (K, Some(KEY))], 400),
            ("short key",        &[(K, Some("abc"))], 400),
            ("key of 15 bytes",  &[(K, Some("dGhlIHNhbXBsZSBub25j"))], 400),
            ("key of 17 bytes",  &[(K, Some("dGhlIHNhbXBsZSBub25jZWU="))], 400),
            ("key not base64",   &[(K, Some("dGhlIHNhbXBsZSBub25jZ!=="))], 400),
            ("unused bits set",  &[(K, Some("dGhlIHNhbXBsZSBub25jZR=="))], 400),
            ("length 5",         &[("Content-Length", Some("5"))], 400),
            ("length twice",     &[("Content-Length", Some("0")), ("content-length", Some("1"))], 400),
            ("chunked",          &[("Transfer-Encoding", Some("chunked"))], 400),
        ];
        for &(name, changes, status) in cases {
            let refusal = checked(changes).unwrap_err();
            assert_eq!(refusal.status, status, "{name}");
            let headers: &[(&str, &str)] = match status {
                426 => &[
                    ("Upgrade", "websocket"),
                    ("Connection", "Upgrade, close"),
                    ("Sec-WebSocket-Version", "13, 8, 7"),
                ],
                _ => &[],
            };
            assert_eq!(refusal.headers, headers, "{name}");
        }
    }

    /// The first rule that is broken decides: each request keeps all rules before its own and breaks
    /// all behind it.
    #[test]
    fn order() {
        let texts = [
            METHOD.text,
            "WebSocket needs HTTP/1.1.",
            "Can \"Upgrade\" only to \"WebSocket\".",
            "\"Connection\" must be \"Upgrade\".",
            "Version of WebSocket not supported.",
            "\"Sec-WebSocket-Key\" must be 16 bytes in base64.",
            "A WebSocket handshake has no body.",
        ];
        let good = [
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", KEY),
        ];
        for (kept, text) in texts.iter().enumerate() {
            let mut fields = good[..kept.saturating_sub(2)].to_vec();
            fields.push(("Content-Length", "5"));
            let refusal = with(&fields, |request| {
                let request = Request {
                    method: if kept > 0 { "GET" } else { "POST" },
                    http11: kept > 1,
                    ..request
                };
                check(&request, Versions::WithDrafts, Route::Transport).unwrap_err()
            });
            assert_eq!(refusal.text, *text);
            let status = [405, 400, 400, 400, 426, 400, 400][kept];
            assert_eq!(refusal.status, status, "{text}");
        }
        assert_eq!(METHOD.headers, [("Allow", "GET")]);
    }

    #[test]
    fn drafts_by_option() {
        for version in ["7", "8"] {
            let refusal = with(
                &example(&[("Sec-WebSocket-Version", Some(version))]),
                |request| check(&request, Versions::Rfc6455, Route::WebSocket).unwrap_err(),
            );
            assert_eq!(refusal.status, 426);
            assert_eq!(refusal.headers[2], ("Sec-WebSocket-Version", "13"));
        }
    }

    #[test]
    fn subprotocols() {
        const P: &str = "Sec-WebSocket-Protocol";
        #[rustfmt::skip]
        let cases: &[(Fields<'_>, Option<&[&str]>)] = &[
            (&[],                              Some(&[])),
            (&[(P, "a")],                      Some(&["a"])),
            (&[(P, "b, a")],                   Some(&["b", "a"])),
            (&[(P, "b"), (P, "a ,\tc")],       Some(&["b", "a", "c"])),
            (&[(P, "a, A")],                   Some(&["a", "A"])),
            (&[(P, "v1.0+json")],              Some(&["v1.0+json"])),
            (&[(P, "")],                       None),
            (&[(P, "a,,b")],                   None),
            (&[(P, "a,")],                     None),
            (&[(P, "a, a")],                   None),
            (&[(P, "a"), (P, "a")],            None),
            (&[(P, "a b")],                    None),
            (&[(P, "a/b")],                    None),
            (&[(P, "é")],                      None),
        ];
        for &(fields, want) in cases {
            let got = with(fields, |request| {
                protocols(&request).map(|p| {
                    p.as_slice()
                        .iter()
                        .map(|s| s.to_string())
                        .collect::<Vec<_>>()
                })
            });
            match want {
                Some(want) => assert_eq!(got.unwrap(), want, "{fields:?}"),
                None => assert_eq!(got.unwrap_err().status, 400, "{fields:?}"),
            }
        }
    }

    /// The grammar of extensions; websocket-extensions CVE-2020-7662 is the unclosed quote.
    #[test]
    fn extensions() {
        #[rustfmt::skip]
        let cases = [
            ("permessage-deflate", true),
            ("permessage-deflate; client_max_window_bits", true),
            ("permessage-deflate;server_max_window_bits=10 ; a = \"b\" , other", true),
            ("a; b=\"\\c\\d\"", true),
            ("constructor, __proto__; hasOwnProperty=1", true),
            ("a; b; b", true),
            ("", false),
            ("a,", false),
            (",a", false),
            ("a,,b", false),
            ("a;", false),
            ("a; b=", false),
            ("a; =b", false),
            ("a; b=\"\"", false),
            ("a; b=\"c d\"", false),
            ("a; b=\"c", false),
            ("a; b=\"c\\", false),
            ("a; b=\"c\"d", false),
            ("a b", false),
            ("a=b", false),
            ("\"a\"", false),
        ];
        for (value, good) in cases {
            let got = with(&[("Sec-WebSocket-Extensions", value)], |r| {
                protocols(&r).is_ok()
            });
            assert_eq!(got, good, "{value}");
        }
    }

    /// ws 2017 and CVE-2021-32640, CVE-2020-7662: long values cost what they are long.
    #[test]
    fn no_backtracking() {
        let quotes = format!("a; b=\"{}", "\\a".repeat(500_000));
        let blanks = format!("a{}b", " ".repeat(1_000_000));
        let semicolons = "a;".repeat(500_000);
        for value in [&quotes, &blanks, &semicolons] {
            with(&[("Sec-WebSocket-Extensions", value)], |r| {
                assert!(protocols(&r).is_err())
            });
            with(&[("Sec-WebSocket-Protocol", value)], |r| {
                assert!(protocols(&r).is_err())
            });
        }
        let many: Vec<String> = (0..100_000).map(|i| i.to_string()).collect();
        let many = many.join(",");
        with(&[("Sec-WebSocket-Protocol", &many)], |r| {
            assert_eq!(protocols(&r).unwrap().as_slice().len(), 100_000);
        });
    }
}
