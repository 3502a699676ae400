//! The small formats around HTTP, all of them on the same input: nothing panics, what is written can
//! be read, and an answer holds what it promises.

use std::net::{IpAddr, Ipv4Addr};

use dustdevil::proto::flash;
use dustdevil::proto::http::conditional::{self, RangeAnswer};
use dustdevil::proto::http::head::slots;
use dustdevil::proto::http::origin::{OriginPattern, OriginPolicy, OriginRequest, Origins};
use dustdevil::proto::http::pattern::Pattern;
use dustdevil::proto::http::{Head, cookie, date, forwarded, mime, response, url};
use dustdevil::proto::ws::handshake;
use dustdevil::proto::ws::hixie::handshake as hixie;
use dustdevil::time::UnixSeconds;

/// A first argument and, behind a line feed, a second one.
pub(crate) fn run(data: &[u8]) {
    dates(data);
    policies(data);
    let (first, second) = match data.iter().position(|b| *b == b'\n') {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, &b""[..]),
    };
    ranges(first, second);
    etags(first, second);
    heads(data);
    let (Ok(first), Ok(second)) = (std::str::from_utf8(first), std::str::from_utf8(second)) else {
        return;
    };
    urls(first);
    cookies(first, second);
    origins(first, second);
    patterns(first, second);
    assert!(mime::content_type(first).contains('/'));
}

fn dates(data: &[u8]) {
    if let Some(at) = date::parse(data) {
        assert_eq!(date::parse(&date::format(at)), Some(at));
    }
    if let Some(seconds) = data.first_chunk::<8>() {
        let seconds = u64::from_be_bytes(*seconds) >> (data[7] & 63);
        let text = date::format(UnixSeconds(seconds));
        let read = date::parse(&text).map(|at| at.0);
        assert!(
            read == Some(seconds)
                || read.is_some_and(|at| at < seconds && text[12..].starts_with(b"9999"))
        );
    }
}

fn policies(data: &[u8]) {
    let cuts = 0..=data.len().min(flash::REQUEST_BYTES_MAX);
    let mut sniffed = cuts.map(|cut| flash::sniff(&data[..cut]));
    let known = sniffed.find(|&it| it != flash::Sniff::Incomplete);
    assert!(sniffed.all(|it| Some(it) == known));
    let answer = flash::answer(data);
    assert_eq!(answer.iter().position(|b| *b == 0), Some(answer.len() - 1));
}

fn ranges(header: &[u8], size: &[u8]) {
    let size = std::str::from_utf8(size).ok();
    let size = size.and_then(|size| size.parse().ok()).unwrap_or(10);
    if let RangeAnswer::Part { first, last } = conditional::range(header, size) {
        assert!(first <= last && last < size);
    }
}

fn etags(header: &[u8], tag: &[u8]) {
    let Ok(tag) = std::str::from_utf8(tag) else {
        return;
    };
    conditional::etag_matches(header, tag);
    let quoted = format!("\"{}\"", tag.replace('"', ""));
    let list = [b"\"other\", W/", quoted.as_bytes(), b", ", header].concat();
    assert!(conditional::etag_matches(&list, &quoted));
    assert!(conditional::if_range_holds(
        quoted.as_bytes(),
        Some(&quoted),
        None
    ));
    assert!(!conditional::if_range_holds(header, None, None));
    conditional::not_modified(Some(header), Some(header), Some(tag), date::parse(header));
}

/// The lines as the fields of a request.
fn heads(lines: &[u8]) {
    let mut raw = b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec();
    for line in lines.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        raw.extend_from_slice(line);
        raw.extend_from_slice(b"\r\n");
    }
    raw.extend_from_slice(b"\r\n");
    let mut slots = slots();
    let Ok(head) = Head::parse(&raw, &mut slots) else {
        return;
    };
    cookie::cookie(&head, "a");
    let origin = OriginRequest::of(&head, head.host());
    OriginPolicy::default().allows(&origin);
    let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
    assert_eq!(forwarded::client(&head, peer, |_| false).ip, peer);
    forwarded::client(&head, peer, |ip| ip == peer);
    forwarded::client(&head, peer, |_| true);
    handshakes(&head);
}

fn handshakes(head: &Head<'_>) {
    let request = handshake::Request {
        method: head.method,
        http11: true,
        headers: head.headers,
    };
    let drafts = handshake::Versions::WithDrafts;
    for route in [handshake::Route::WebSocket, handshake::Route::Transport] {
        match handshake::check(&request, drafts, route) {
            Ok(shake) => {
                assert!(matches!(shake.version, 7 | 8 | 13));
                let key = head.header("sec-websocket-key").unwrap_or_default();
                assert_eq!(shake.accept, handshake::accept_key(key));
                assert_eq!(key.len(), 24);
                let rfc = handshake::check(&request, handshake::Versions::Rfc6455, route);
                assert_eq!(rfc.is_ok(), shake.version == 13);
                assert!(head.has_option("Upgrade", "websocket"));
                assert!(head.has_option("Connection", "upgrade"));
                let mut out = Vec::new();
                handshake::write_101(&mut out, &shake, None, b"");
                assert!(out.starts_with(b"HTTP/1.1 101 ") && out.ends_with(b"\r\n\r\n"));
                let ends = out.windows(2).filter(|end| end == b"\r\n").count();
                assert_eq!(ends, 5, "three fields");
            }
            Err(refusal) => assert!((400..500).contains(&refusal.status)),
        }
    }
    old_handshakes(head, &request);
    if let Ok(protocols) = handshake::protocols(&request) {
        for name in protocols.as_slice() {
            assert!(response::check_field("Sec-WebSocket-Protocol", name).is_ok());
            assert!(!name.is_empty() && !name.contains([',', ' ']));
        }
    }
}

/// No request is for RFC 6455 and for a draft, and the answer has the fields it should have.
fn old_handshakes(head: &Head<'_>, request: &handshake::Request<'_>) {
    let Some(draft) = hixie::draft(request) else {
        return;
    };
    let drafts = handshake::Versions::WithDrafts;
    assert!(handshake::check(request, drafts, handshake::Route::Transport).is_err());
    let location = hixie::Location {
        secure: true,
        host: head.host(),
        target: "/",
    };
    let (shake, protocol) = match (
        hixie::check(request, draft, location),
        hixie::protocol(request, draft),
    ) {
        (Ok(shake), Ok(protocol)) => (shake, protocol),
        (Err(refusal), _) | (_, Err(refusal)) => {
            assert!((400..500).contains(&refusal.status));
            return;
        }
    };
    let mut out = Vec::new();
    hixie::write_101(&mut out, &shake, protocol, b"");
    assert!(out.starts_with(b"HTTP/1.1 101 Web") && out.ends_with(b"\r\n\r\n"));
    let ends = out.iter().filter(|b| **b == b'\n').count();
    assert_eq!(ends, 6 + usize::from(protocol.is_some()), "a line each");
}

fn urls(text: &str) {
    for (name, value) in url::pairs(text).take(9) {
        assert!(url::first(text, &name).is_some(), "{name} {value}");
    }
    if let Ok(decoded) = url::decode_path(text) {
        assert!(!decoded.contains('\0'));
        assert!(decoded.len() <= text.len());
    }
    let mut encoded = String::new();
    url::encode_component(text, &mut encoded);
    assert_eq!(url::decode_form(&encoded), text);
    match url::decode_path(&encoded) {
        Ok(decoded) => assert_eq!(decoded, text),
        Err(_) => assert!(text.contains('\0')),
    }
}

fn cookies(name: &str, value: &str) {
    for (name, _) in cookie::cookies(name) {
        assert!(!name.contains([';', '=']));
    }
    let mut set = cookie::SetCookie::new(name, value);
    if let Ok(line) = set.to_value() {
        assert!(response::check_field("Set-Cookie", &line).is_ok());
        let mut read = cookie::cookies(&line);
        assert_eq!(read.next(), Some((name, value.into())));
        assert_eq!(read.next(), None);
    }
    set = cookie::SetCookie::new("a", "b");
    set.domain = Some(name);
    set.path = Some(value);
    if let Ok(line) = set.to_value() {
        assert!(response::check_field("Set-Cookie", &line).is_ok());
        assert_eq!(line.split(';').count(), 3);
    }
}

fn origins(pattern: &str, origin: &str) {
    let allows = |origins: Origins, origin: &str, host: &str| {
        let policy = OriginPolicy {
            origins,
            require_origin: true,
        };
        policy.allows(&OriginRequest {
            origin: Some(origin),
            several: false,
            host,
            sec_fetch_site: None,
        })
    };
    allows(Origins::Same, pattern, origin);
    assert!(allows(Origins::Any, origin, "a"));
    let Ok(parsed) = OriginPattern::parse(pattern) else {
        return;
    };
    let list = Origins::List(vec![parsed]);
    let own = pattern.replacen("://*.", "://below.", 1);
    assert!(allows(list.clone(), &own, "elsewhere"), "{own}");
    if allows(list, origin, "elsewhere.invalid") {
        let host = |text: &str| text.to_ascii_lowercase().replace("*.", "");
        let (_, pattern_host) = pattern.split_once("://").unwrap_or_default();
        let name = host(pattern_host);
        let name = name.rsplit_once(':').map_or(&*name, |(name, _)| name);
        let ours = origin.to_ascii_lowercase();
        assert!(ours.contains(name) || ours.contains("elsewhere.invalid"));
    }
}

fn patterns(pattern: &str, path: &str) {
    let Ok(parsed) = Pattern::parse(pattern) else {
        return;
    };
    if let Ok(Some(params)) = parsed.matches(path) {
        for (name, value) in params.iter() {
            assert_eq!(params.find(name), Some(value));
        }
    }
    if !pattern.contains(['%', ':', '*', '\0']) {
        assert!(matches!(parsed.matches(pattern), Ok(Some(_))), "{pattern}");
    }
}
