//! The opening handshake of hixie-76 and hixie-75, server side.
//!
//! [`draft`] tells the drafts from RFC 6455, [`check`] judges the request, [`protocol`] what is
//! offered, and [`write_101`] answers. In hixie-76 that is half of the answer: the client sends eight
//! bytes more, the nonce, and wants to see [`challenge`] of them. The head does not wait for the
//! nonce, since a proxy may keep it back until it has seen the head.
//!
//! Nothing in hixie-75 proves that the client meant a WebSocket: any page can have a request of that
//! form sent. Who takes it has to insist on the origin.
//!
//! Not here: the origin rules, which need the settings of the route; the nonce's way in, which is
//! the machine's.

use crate::proto::ws::handshake::{
    METHOD, NO_BODY, NO_CONNECTION, NO_HTTP11, NO_UPGRADE, Refusal, Request, bad, fields,
    has_element, is_without_body, single,
};
use md5::{Digest as _, Md5};

/// Which of the drafts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Draft {
    /// Two keys and a nonce are asked for a proof.
    Hixie76,
    /// No proof, and no closing handshake.
    Hixie75,
}

/// The URL the client asked for, as it knows it.
#[derive(Clone, Copy, Debug)]
pub struct Location<'a> {
    /// Whether the client speaks TLS, with us or with a proxy before us.
    pub secure: bool,
    /// The host as sent, with its port if one was sent.
    pub host: &'a str,
    /// Path and query as sent.
    pub target: &'a str,
}

/// An accepted request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// The draft.
    pub draft: Draft,
    /// The numbers in the two keys; zeros in hixie-75, which has none.
    pub numbers: [u32; 2],
    /// The origin as sent.
    origin: String,
    /// The URL the client asked for.
    location: String,
}

/// Which draft a request speaks. `None`: neither, RFC 6455 may take or refuse it.
///
/// One key alone makes a hixie-76 that is refused, never a hixie-75: the proof cannot be dropped on
/// the way.
pub fn draft(request: &Request<'_>) -> Option<Draft> {
    let has = |name| fields(request, name).next().is_some();
    // `Sec-WebSocket-Draft` stands in drafts that came behind, with these keys but other frames.
    let is_later =
        has("Sec-WebSocket-Version") || has("Sec-WebSocket-Key") || has("Sec-WebSocket-Draft");
    if is_later || !has_element(request, "Upgrade", "websocket") {
        None
    } else if has("Sec-WebSocket-Key1") || has("Sec-WebSocket-Key2") {
        Some(Draft::Hixie76)
    } else {
        Some(Draft::Hixie75)
    }
}

/// Checks a request of that draft, up to the origin's value, which is the caller's to judge.
///
/// # Errors
///
/// The answer to the first rule that is broken.
pub fn check(
    request: &Request<'_>,
    draft: Draft,
    location: Location<'_>,
) -> Result<Handshake, Refusal> {
    if request.method != "GET" {
        return Err(METHOD);
    }
    if !request.http11 {
        return Err(NO_HTTP11);
    }
    if !has_element(request, "Upgrade", "websocket") {
        return Err(NO_UPGRADE);
    }
    if !has_element(request, "Connection", "upgrade") {
        return Err(NO_CONNECTION);
    }
    let numbers = match draft {
        Draft::Hixie75 => [0, 0],
        Draft::Hixie76 => {
            let number = |name| single(request, name).and_then(key_number).ok_or(KEY);
            [number("Sec-WebSocket-Key1")?, number("Sec-WebSocket-Key2")?]
        }
    };
    if !is_without_body(request) {
        return Err(NO_BODY);
    }
    // All of them go into the answer, where a line end would begin a field.
    let origin = single(request, "Origin").ok_or(ORIGIN)?;
    let origin = std::str::from_utf8(origin).map_err(|_| ORIGIN)?;
    if !is_word(origin) {
        return Err(ORIGIN);
    }
    if !is_word(location.host) || !location.target.starts_with('/') || !is_word(location.target) {
        return Err(LOCATION);
    }
    let scheme = if location.secure { "wss" } else { "ws" };
    Ok(Handshake {
        draft,
        numbers,
        origin: origin.to_owned(),
        location: format!("{scheme}://{}{}", location.host, location.target),
    })
}

/// The subprotocol a client asks for, if it does: one, whatever it holds.
///
/// A client that asked for one gives up unless the answer names it.
///
/// # Errors
///
/// 400: it comes twice, is empty, or has other than visible characters and blanks.
pub fn protocol<'a>(request: &Request<'a>, draft: Draft) -> Result<Option<&'a str>, Refusal> {
    let name = draft.protocol_field();
    if fields(request, name).next().is_none() {
        return Ok(None);
    }
    let value = single(request, name).ok_or(PROTOCOL)?;
    let good = !value.is_empty() && value.iter().all(|byte| matches!(byte, b' '..=b'~'));
    let text = std::str::from_utf8(value).map_err(|_| PROTOCOL)?;
    good.then_some(Some(text)).ok_or(PROTOCOL)
}

/// Appends the head of the answer to an accepted request.
///
/// In hixie-76 the 16 bytes of [`challenge`] follow, and nothing before them. `protocol` is the one
/// asked for; `extra` are whole lines of the application, each with its CR LF, without any of the
/// fields that are the protocol's own.
pub fn write_101(out: &mut Vec<u8>, handshake: &Handshake, protocol: Option<&str>, extra: &[u8]) {
    let draft = handshake.draft;
    // Clients compare all of it literally, down to the blank in "Web Socket".
    let (reason, prefix) = match draft {
        Draft::Hixie76 => ("WebSocket", "Sec-"),
        Draft::Hixie75 => ("Web Socket", ""),
    };
    let Handshake {
        origin, location, ..
    } = handshake;
    let head = format!(
        "HTTP/1.1 101 {reason} Protocol Handshake\r\n\
         Upgrade: WebSocket\r\n\
         Connection: Upgrade\r\n\
         {prefix}WebSocket-Origin: {origin}\r\n\
         {prefix}WebSocket-Location: {location}\r\n"
    );
    out.extend_from_slice(head.as_bytes());
    if let Some(protocol) = protocol {
        for part in [draft.protocol_field(), ": ", protocol, "\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
    }
    out.extend_from_slice(extra);
    out.extend_from_slice(b"\r\n");
}

/// The proof that we understood the keys and the nonce (hixie-76): MD5 of the three.
pub fn challenge(numbers: [u32; 2], nonce: [u8; 8]) -> [u8; 16] {
    Md5::new()
        .chain_update(numbers[0].to_be_bytes())
        .chain_update(numbers[1].to_be_bytes())
        .chain_update(nonce)
        .finalize()
        .into()
}

/// The number a key hides: its digits in order, divided by the number of its blanks.
///
/// `None`: no client makes such a key. It has no digit or no blank, over 19 digits, leaves a
/// remainder, or hides more than 32 bits.
pub fn key_number(key: &[u8]) -> Option<u32> {
    let (mut digits, mut blanks, mut number) = (0, 0, 0_u64);
    for &byte in key {
        match byte {
            b'0'..=b'9' if digits == DIGITS_MAX => return None,
            b'0'..=b'9' => {
                digits += 1;
                number = number * 10 + u64::from(byte - b'0');
            }
            b' ' => blanks += 1,
            _ => {}
        }
    }
    if digits == 0 || blanks == 0 || number % blanks != 0 {
        return None;
    }
    u32::try_from(number / blanks).ok()
}

impl Draft {
    const fn protocol_field(self) -> &'static str {
        match self {
            Self::Hixie76 => "Sec-WebSocket-Protocol",
            Self::Hixie75 => "WebSocket-Protocol",
        }
    }
}

/// Whether a text has bytes, and no blank or control byte among them.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte > b' ' && byte != 0x7f)
}

/// Any number of so many digits fits 64 bits.
const DIGITS_MAX: u32 = 19;
/// The bytes the client sends behind its head in hixie-76.
pub const NONCE_BYTES: usize = 8;

const KEY: Refusal =
    bad("\"Sec-WebSocket-Key1\" and \"-Key2\" must hide a number behind blanks, each.");
const ORIGIN: Refusal = bad("\"Origin\" must come once.");
const LOCATION: Refusal = bad("No location to be named in the answer.");
const PROTOCOL: Refusal = bad("The subprotocol must be one of visible characters.");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::ws::handshake::{self, Route, Versions};
    use httparse::Header;
    use proptest::prelude::*;

    /// The fields of the draft's example, changed: a name with a value replaces the field or adds
    /// it, `None` takes it away.
    type Changes<'a> = &'a [(&'a str, Option<&'a str>)];

    const K1: &str = "Sec-WebSocket-Key1";
    const K2: &str = "Sec-WebSocket-Key2";
    const P: &str = "Sec-WebSocket-Protocol";
    const AT: Location<'_> = Location {
        secure: false,
        host: "example.com",
        target: "/demo",
    };

    fn with<T>(changes: Changes<'_>, then: impl FnOnce(Request<'_>) -> T) -> T {
        let mut fields = vec![
            ("Host", "example.com"),
            ("Connection", "Upgrade"),
            (K2, "12998 5 Y3 1  .P00"),
            (P, "sample"),
            ("Upgrade", "WebSocket"),
            (K1, "4 @1  46546xW%0l 1 5"),
            ("Origin", "http://example.com"),
        ];
        for &(name, _) in changes {
            fields.retain(|field| field.0 != name);
        }
        for &(name, value) in changes {
            fields.extend(value.map(|value| (name, value)));
        }
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

    fn checked(draft: Draft, changes: Changes<'_>) -> Result<Handshake, Refusal> {
        with(changes, |request| check(&request, draft, AT))
    }

    /// The same request without keys.
    const HIXIE_75: Changes<'_> = &[(K1, None), (K2, None), (P, None)];

    #[test]
    fn example_of_the_draft() {
        with(&[], |request| {
            assert_eq!(draft(&request), Some(Draft::Hixie76));
            let handshake = check(&request, Draft::Hixie76, AT).unwrap();
            assert_eq!(handshake.numbers, [829_309_203, 259_970_620]);
            let protocol = protocol(&request, Draft::Hixie76).unwrap();
            let mut out = Vec::new();
            write_101(&mut out, &handshake, protocol, b"X-A: b\r\n");
            let want = "HTTP/1.1 101 WebSocket Protocol Handshake\r\n\
                Upgrade: WebSocket\r\n\
                Connection: Upgrade\r\n\
                Sec-WebSocket-Origin: http://example.com\r\n\
                Sec-WebSocket-Location: ws://example.com/demo\r\n\
                Sec-WebSocket-Protocol: sample\r\n\
                X-A: b\r\n\r\n";
            assert_eq!(String::from_utf8(out).unwrap(), want);
            assert_eq!(
                &challenge(handshake.numbers, *b"^n:ds[4U"),
                b"8jKS'y:G*Co,Wxa-"
            );
        });
    }

    #[test]
    fn answer_of_hixie_75() {
        with(HIXIE_75, |request| {
            assert_eq!(draft(&request), Some(Draft::Hixie75));
            let location = Location {
                secure: true,
                target: "/demo?a=b",
                host: "example.com:8443",
            };
            let handshake = check(&request, Draft::Hixie75, location).unwrap();
            let mut out = Vec::new();
            write_101(&mut out, &handshake, Some("sample"), b"");
            let want = "HTTP/1.1 101 Web Socket Protocol Handshake\r\n\
                Upgrade: WebSocket\r\n\
                Connection: Upgrade\r\n\
                WebSocket-Origin: http://example.com\r\n\
                WebSocket-Location: wss://example.com:8443/demo?a=b\r\n\
                WebSocket-Protocol: sample\r\n\r\n";
            assert_eq!(String::from_utf8(out).unwrap(), want);
        });
    }

    /// Who speaks what. What is no draft is left to RFC 6455, whatever becomes of it there.
    #[test]
    fn recognised() {
        #[rustfmt::skip]
        let cases: &[(&str, Changes<'_>, Option<Draft>)] = &[
            ("both keys",       &[],                                           Some(Draft::Hixie76)),
            ("first key only",  &[(K2, None)],                                 Some(Draft::Hixie76)),
            ("second key only", &[(K1, None)],                                 Some(Draft::Hixie76)),
            ("no keys",         HIXIE_75,                                      Some(Draft::Hixie75)),
            ("lower case",      &[("Upgrade", Some("websocket"))],             Some(Draft::Hixie76)),
            ("no Upgrade",      &[("Upgrade", None)],                          None),
            ("other Upgrade",   &[("Upgrade", Some("h2c"))],                   None),
            ("version 13 too",  &[("Sec-WebSocket-Version", Some("13"))],      None),
            ("empty version",   &[("Sec-WebSocket-Version", Some(""))],        None),
            ("key of the RFC",  &[(K1, None), (K2, None), ("Sec-WebSocket-Key", Some("dGhlIHNhbXBsZSBub25jZQ=="))], None),
            ("later draft",     &[("Sec-WebSocket-Draft", Some("2"))],         None),
        ];
        for &(name, changes, want) in cases {
            with(changes, |request| {
                assert_eq!(draft(&request), want, "{name}");
                let rfc = handshake::check(&request, Versions::WithDrafts, Route::Transport);
                assert!(rfc.is_err(), "{name}");
            });
        }
    }

    #[test]
    fn refused() {
        #[rustfmt::skip]
        let cases: &[(&str, Changes<'_>, Refusal)] = &[
            ("no Upgrade",        &[("Upgrade", None)],                        NO_UPGRADE),
            ("no Connection",     &[("Connection", None)],                     NO_CONNECTION),
            ("keep-alive",        &[("Connection", Some("keep-alive"))],       NO_CONNECTION),
            ("no first key",      &[(K1, None)],                               KEY),
            ("no second key",     &[(K2, None)],                               KEY),
            ("first key twice",   &[(K1, Some("1 2")), (K1, Some("1 2"))],     KEY),
            ("bad first key",     &[(K1, Some("12"))],                         KEY),
            ("bad second key",    &[(K2, Some("1  2 3 45"))],                  KEY),
            ("length 8",          &[("Content-Length", Some("8"))],            NO_BODY),
            ("chunked",           &[("Transfer-Encoding", Some("chunked"))],   NO_BODY),
            ("no origin",         &[("Origin", None)],                         ORIGIN),
            ("empty origin",      &[("Origin", Some(""))],                     ORIGIN),
            ("two origins",       &[("Origin", Some("http://a")), ("Origin", Some("http://b"))], ORIGIN),
            ("list of origins",   &[("Origin", Some("http://a http://b"))],    ORIGIN),
            ("line end inside",   &[("Origin", Some("http://a\r\nX: y"))],     ORIGIN),
        ];
        for &(name, changes, want) in cases {
            assert_eq!(checked(Draft::Hixie76, changes), Err(want), "{name}");
        }
        #[rustfmt::skip]
        let good: &[Changes<'_>] = &[
            &[],
            &[("Connection", Some("keep-alive, Upgrade"))],
            &[("Content-Length", Some("0"))],
            &[("Origin", Some("null"))],
            &[("Origin", Some("file://"))],
        ];
        for &changes in good {
            assert!(checked(Draft::Hixie76, changes).is_ok(), "{changes:?}");
        }
        with(&[], |request| {
            let post = Request {
                method: "POST",
                http11: false,
                ..request
            };
            assert_eq!(check(&post, Draft::Hixie76, AT), Err(METHOD));
            let http10 = Request {
                http11: false,
                ..request
            };
            assert_eq!(check(&http10, Draft::Hixie76, AT), Err(NO_HTTP11));
            for (host, target) in [
                ("", "/"),
                ("a b", "/"),
                ("a", ""),
                ("a", "*"),
                ("a", "/\r\n"),
                ("a\n", "/"),
            ] {
                let location = Location { host, target, ..AT };
                let got = check(&request, Draft::Hixie76, location);
                assert_eq!(got, Err(LOCATION), "{host:?} {target:?}");
            }
        });
    }

    #[test]
    fn key_numbers() {
        #[rustfmt::skip]
        let cases: &[(&str, &[u8], Option<u32>)] = &[
            ("of the draft",             b"4 @1  46546xW%0l 1 5",  Some(829_309_203)),
            ("of the draft, second",     b"12998 5 Y3 1  .P00",    Some(259_970_620)),
            ("one blank",                b"1 2",                   Some(12)),
            ("zero",                     b"0 ",                    Some(0)),
            ("leading zeros",            b"00 24",                 Some(24)),
            ("blanks at the ends",       b" 12 ",                  Some(6)),
            ("other characters",         b"a4\xffz8 ~!/:",         Some(48)),
            ("nothing",                  b"",                      None),
            ("no blank",                 b"12345",                 None),
            ("no digit",                 b"a b c",                 None),
            ("blanks only",              b"   ",                   None),
            ("tabs are no blanks",       b"1\t2",                  None),
            ("nor are other spaces",     b"1\x0b2\xa03",           None),
            ("tabs are not counted",     b"1\t \t2",               Some(12)),
            ("remainder",                b"1 2 3",                 None),
            ("largest",                  b"4294967295 ",           Some(u32::MAX)),
            ("one more",                 b"4294967296 ",           None),
            ("largest, twelve blanks",   b"51539607540            ", Some(u32::MAX)),
            ("over by the blanks",       b"8589934592  ",          None),
            ("in 32 bits but for 2^32",  b"4294967308 ",           None),
            ("19 digits",                b"0000000000000000024 ",  Some(24)),
            ("20 digits",                b"00000000000000000024 ", None),
            ("over 64 bits",             b"18446744073709551628 ", None),
            ("far too many",             &[b'9'; 4000],            None),
        ];
        for &(name, key, want) in cases {
            assert_eq!(key_number(key), want, "{name}");
        }
        // Far over 32 bits until the blanks divide it.
        let blanks = vec![b' '; 2_500_000];
        let number = 2_500_000 * 4_000_000_000_u64;
        let key = [number.to_string().as_bytes(), &blanks].concat();
        assert_eq!(key_number(&key), Some(4_000_000_000));
    }

    #[test]
    fn challenges() {
        type Row<'a> = (&'a [u8], &'a [u8], &'a [u8; 8], [u8; 16]);
        #[rustfmt::skip]
        let cases: &[Row<'_>] = &[
            (b"4 @1  46546xW%0l 1 5", b"12998 5 Y3 1  .P00", b"^n:ds[4U", *b"8jKS'y:G*Co,Wxa-"),
            (b"18x 6]8vM;54 *(5:  {   U1]8  z [  8", b"1_ tx7X d  <  nw  334J702) 7]o}` 0", b"Tm[K T2u", *b"fQJ,fN/4F4!~K~MH"),
            (b"3703 :70 ~d367 )", b"4 +93 K8@2  7 0", b"ABCDEFGH",
                *b"\xfb\x7c\xbf\xff\x88\xfd\xa5\x44\x7b\xa8\x37\xbc\x90\xc3\x10\x32"),
        ];
        for &(first, second, nonce, want) in cases {
            let numbers = [first, second].map(|key| key_number(key).unwrap());
            assert_eq!(challenge(numbers, *nonce), want, "{numbers:?}");
        }
    }

    #[test]
    fn subprotocols() {
        #[rustfmt::skip]
        let cases: &[(Changes<'_>, Result<Option<&str>, Refusal>)] = &[
            (&[(P, None)],                      Ok(None)),
            (&[(P, Some("a"))],                 Ok(Some("a"))),
            (&[(P, Some("a, b/c d"))],          Ok(Some("a, b/c d"))),
            (&[(P, Some(""))],                  Err(PROTOCOL)),
            (&[(P, Some("a")), (P, Some("b"))], Err(PROTOCOL)),
            (&[(P, Some("a\tb"))],              Err(PROTOCOL)),
            (&[(P, Some("a\r\nX: y"))],         Err(PROTOCOL)),
            (&[(P, Some("é"))],                 Err(PROTOCOL)),
        ];
        for &(changes, want) in cases {
            let got = with(changes, |request| {
                let got = protocol(&request, Draft::Hixie76);
                got.map(|protocol| protocol.map(str::to_owned))
            });
            assert_eq!(got.as_ref().map(|p| p.as_deref()), want.as_ref().copied());
        }
        with(&[("WebSocket-Protocol", Some("old"))], |request| {
            assert_eq!(protocol(&request, Draft::Hixie75), Ok(Some("old")));
            assert_eq!(protocol(&request, Draft::Hixie76), Ok(Some("sample")));
        });
    }

    proptest! {
        /// What a client hides, wherever the blanks and the other characters come to stand.
        #[test]
        fn hidden_numbers(
            number in any::<u32>(),
            blanks in 1..=12_u64,
            noise in prop::collection::vec((any::<prop::sample::Index>(), "[!-/:-~]"), 0..12),
            places in prop::collection::vec(any::<prop::sample::Index>(), 12),
        ) {
            let mut key = (u64::from(number) * blanks).to_string();
            for (at, c) in &noise {
                key.insert_str(at.index(key.len() + 1), c);
            }
            for at in &places[..blanks as usize] {
                key.insert(at.index(key.len() + 1), ' ');
            }
            prop_assert_eq!(key_number(key.as_bytes()), Some(number), "{}", key);
        }

        /// No key makes it panic, and none hides a number that its digits do not hold.
        #[test]
        fn any_key(key: Vec<u8>) {
            if let Some(number) = key_number(&key) {
                let digits: String = key.iter().filter(|b| b.is_ascii_digit()).map(|&b| char::from(b)).collect();
                let blanks = key.iter().filter(|&&b| b == b' ').count() as u64;
                prop_assert_eq!(digits.parse::<u64>().unwrap(), u64::from(number) * blanks);
            }
        }
    }
}
