//! Who is behind the proxy: X-Forwarded-For, X-Real-IP, X-Forwarded-Proto, X-Scheme,
//! X-Forwarded-Host.
//!
//! Anybody can write these fields. They count only in so far as a trusted proxy wrote them: the peer
//! must be one, and its own entry is the rightmost.
//!
//! Not here: the list of trusted proxies, which the caller keeps as a predicate.

use std::net::{IpAddr, SocketAddr};

use super::grammar::{elements, is_host, trim};
use super::head::Head;

/// The client as far as trusted proxies can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client<'b> {
    /// Its address.
    pub ip: IpAddr,
    /// Whether it came over TLS; `None`: no proxy told.
    pub secure: Option<bool>,
    /// The host and port it asked for; `None`: no proxy told, see [`Head::host`].
    pub host: Option<&'b str>,
}

/// Finds out about the client from the peer's address and what trusted proxies wrote.
pub fn client<'b>(head: &Head<'b>, peer: IpAddr, trusted: impl Fn(IpAddr) -> bool) -> Client<'b> {
    let peer = peer.to_canonical();
    if !trusted(peer) {
        return Client {
            ip: peer,
            secure: None,
            host: None,
        };
    }
    let secure = last(head, "x-forwarded-proto")
        .or_else(|| last(head, "x-scheme"))
        .and_then(|scheme| match scheme.to_ascii_lowercase().as_slice() {
            b"https" | b"wss" => Some(true),
            b"http" | b"ws" => Some(false),
            _ => None,
        });
    let host = last(head, "x-forwarded-host")
        .filter(|host| is_host(host))
        .and_then(|host| std::str::from_utf8(host).ok());
    Client {
        ip: address(head, peer, trusted),
        secure,
        host,
    }
}

/// From the right: the first address that is not a trusted proxy's. If all are, the leftmost. What is
/// no address ends the search, because nobody knows who wrote what is left of it.
fn address(head: &Head<'_>, peer: IpAddr, trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
    let mut hops = head
        .all("x-forwarded-for")
        .rev()
        .flat_map(|field| elements(field).rev())
        .peekable();
    if hops.peek().is_none() {
        return last(head, "x-real-ip").and_then(parse_ip).unwrap_or(peer);
    }
    let mut nearest = peer;
    for hop in hops {
        let Some(ip) = parse_ip(hop) else { break };
        nearest = ip;
        if !trusted(ip) {
            break;
        }
    }
    nearest
}

/// The last element of the last field: what the nearest proxy wrote.
fn last<'b>(head: &Head<'b>, name: &str) -> Option<&'b [u8]> {
    head.all(name)
        .next_back()?
        .rsplit(|&b| b == b',')
        .next()
        .map(trim)
}

/// An address, with a port or without.
fn parse_ip(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let bare = text
        .strip_prefix('[')
        .and_then(|t| t.strip_suffix(']'))
        .unwrap_or(text);
    let ip = match bare.parse::<IpAddr>() {
        Ok(ip) => ip,
        Err(_) => text.parse::<SocketAddr>().ok()?.ip(),
    };
    Some(ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::http::head::slots;

    fn is_trusted(ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => ip.octets()[0] == 10,
            IpAddr::V6(ip) => ip.is_loopback(),
        }
    }

    fn with<T>(fields: &str, peer: &str, f: impl FnOnce(Client<'_>) -> T) -> T {
        let raw = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
        let mut slots = slots();
        let head = Head::parse(raw.as_bytes(), &mut slots).expect(fields);
        f(client(&head, peer.parse().expect("an address"), is_trusted))
    }

    #[test]
    fn addresses() {
        #[rustfmt::skip]
        let cases: &[(&str, &str, &str)] = &[
            ("1.1.1.1",  "X-Forwarded-For: 9.9.9.9",             "1.1.1.1"),
            ("1.1.1.1",  "X-Real-IP: 9.9.9.9",                   "1.1.1.1"),
            ("10.0.0.1", "X: y",                                 "10.0.0.1"),
            ("10.0.0.1", "X-Forwarded-For: 2.2.2.2",             "2.2.2.2"),
            ("::ffff:10.0.0.1", "X-Forwarded-For: 2.2.2.2",      "2.2.2.2"),
            ("10.0.0.1", "X-Forwarded-For: 9.9.9.9, 2.2.2.2",    "2.2.2.2"),
            ("10.0.0.1", "X-Forwarded-For: 2.2.2.2, 10.0.0.2",   "2.2.2.2"),
            ("10.0.0.1", "X-Forwarded-For: 2.2.2.2\r\nX-Forwarded-For: 10.0.0.2", "2.2.2.2"),
            ("10.0.0.1", "X-Forwarded-For: 10.0.0.3, 10.0.0.2",  "10.0.0.3"),
            ("10.0.0.1", "X-Forwarded-For: 9.9.9.9, junk, 10.0.0.2", "10.0.0.2"),
            ("10.0.0.1", "X-Forwarded-For: junk",                "10.0.0.1"),
            ("10.0.0.1", "X-Forwarded-For:",                     "10.0.0.1"),
            ("10.0.0.1", "X-Forwarded-For: 2.2.2.2:80",          "2.2.2.2"),
            ("10.0.0.1", "X-Forwarded-For: [2001:db8::1]:80",    "2001:db8::1"),
            ("10.0.0.1", "X-Forwarded-For: [2001:db8::1]",       "2001:db8::1"),
            ("::1",      "X-Forwarded-For: ::ffff:2.2.2.2",      "2.2.2.2"),
            ("10.0.0.1", "X-Real-IP: 3.3.3.3",                   "3.3.3.3"),
            ("10.0.0.1", "X-Real-IP: junk",                      "10.0.0.1"),
            ("10.0.0.1", "X-Real-IP: 3.3.3.3\r\nX-Forwarded-For: 2.2.2.2", "2.2.2.2"),
        ];
        for &(peer, fields, want) in cases {
            let want: IpAddr = want.parse().unwrap();
            with(fields, peer, |client| {
                assert_eq!(client.ip, want, "{peer} {fields}")
            });
        }
    }

    #[test]
    fn scheme_and_host() {
        #[rustfmt::skip]
        let cases: &[(&str, &str, Option<bool>, Option<&str>)] = &[
            ("1.1.1.1",  "X-Forwarded-Proto: https\r\nX-Forwarded-Host: b", None, None),
            ("10.0.0.1", "X: y",                              None,        None),
            ("10.0.0.1", "X-Forwarded-Proto: https",          Some(true),  None),
            ("10.0.0.1", "X-Forwarded-Proto: http",           Some(false), None),
            ("10.0.0.1", "X-Forwarded-Proto: http, HTTPS",    Some(true),  None),
            ("10.0.0.1", "X-Forwarded-Proto: junk",           None,        None),
            ("10.0.0.1", "X-Scheme: https",                   Some(true),  None),
            ("10.0.0.1", "X-Forwarded-Host: b:8080",          None,        Some("b:8080")),
            ("10.0.0.1", "X-Forwarded-Host: evil, b",         None,        Some("b")),
            ("10.0.0.1", "X-Forwarded-Host: a/b",             None,        None),
        ];
        for &(peer, fields, secure, host) in cases {
            with(fields, peer, |client| {
                assert_eq!(
                    (client.secure, client.host),
                    (secure, host),
                    "{peer} {fields}"
                );
            });
        }
    }
}
