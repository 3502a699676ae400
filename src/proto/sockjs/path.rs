//! Which endpoint a path is for, and the methods it takes.
//!
//! Paths are compared as they came: case matters, escapes are not decoded.
//!
//! Not here: prefixes and query strings, which the caller takes off; which transports are switched on.

/// A way for messages to travel, or the way back of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Both ways, frames as messages of a WebSocket.
    WebSocket,
    /// A poll: one frame.
    Xhr,
    /// Messages of the client, for all but WebSocket and JSONP.
    XhrSend,
    /// A stream of frames, one a line.
    XhrStreaming,
    /// A stream of events (`EventSource`).
    EventSource,
    /// A stream of scripts in a page.
    HtmlFile,
    /// A poll: one frame, as a script.
    Jsonp,
    /// Messages of the client, from a form.
    JsonpSend,
}

/// What a path below the prefix names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint<'p> {
    /// The prefix itself: a line of text.
    Greeting,
    /// The page for transports in an iframe.
    Iframe,
    /// What the server offers, in JSON.
    Info,
    /// A WebSocket without frames and sessions.
    RawWebSocket,
    /// The test of SockJS 0.1 for streaming.
    ChunkingTest,
    /// A transport of a session.
    Session {
        /// The session's id, chosen by the client; never empty, at most [`ID_BYTES_MAX`].
        id: &'p str,
        /// How its messages travel.
        transport: Transport,
    },
}

/// Reads the path behind the prefix: empty, or beginning with `/`. `None`: it names nothing (404).
pub fn parse(rest: &str) -> Option<Endpoint<'_>> {
    let path = rest.strip_suffix('/').unwrap_or(rest);
    if path.is_empty() {
        return Some(Endpoint::Greeting);
    }
    let (first, rest) = cut(path.strip_prefix('/')?);
    let Some(rest) = rest else {
        return parse_single(first);
    };
    let (id, rest) = cut(rest);
    let (transport, rest) = cut(rest?);
    let transport = parse_transport(transport)?;
    // The first segment is for load balancers.
    let ends = rest.is_none();
    (ends && is_id(first) && is_id(id)).then_some(Endpoint::Session { id, transport })
}

/// A segment, and what is behind its slash. (Byte by byte: `split` costs more on texts this short.)
fn cut(path: &str) -> (&str, Option<&str>) {
    match path.bytes().position(|b| b == b'/') {
        Some(at) => (&path[..at], Some(&path[at + 1..])),
        None => (path, None),
    }
}

fn parse_single(name: &str) -> Option<Endpoint<'static>> {
    match name {
        "info" => Some(Endpoint::Info),
        "websocket" => Some(Endpoint::RawWebSocket),
        "chunking_test" => Some(Endpoint::ChunkingTest),
        _ => {
            let version = name.strip_prefix("iframe")?.strip_suffix(".html")?;
            let mut bytes = version.bytes();
            bytes
                .all(|b| matches!(b, b'0'..=b'9' | b'-' | b'.' | b'a'..=b'z' | b'_'))
                .then_some(Endpoint::Iframe)
        }
    }
}

fn parse_transport(name: &str) -> Option<Transport> {
    Some(match name {
        "websocket" => Transport::WebSocket,
        "xhr" => Transport::Xhr,
        "xhr_send" => Transport::XhrSend,
        "xhr_streaming" => Transport::XhrStreaming,
        "eventsource" => Transport::EventSource,
        "htmlfile" => Transport::HtmlFile,
        "jsonp" => Transport::Jsonp,
        "jsonp_send" => Transport::JsonpSend,
        _ => return None,
    })
}

fn is_id(segment: &str) -> bool {
    (1..=ID_BYTES_MAX).contains(&segment.len()) && !segment.bytes().any(|b| b == b'.')
}

impl Endpoint<'_> {
    /// Whether a WebSocket is spoken there.
    pub fn is_websocket(self) -> bool {
        matches!(
            self,
            Self::RawWebSocket
                | Self::Session {
                    transport: Transport::WebSocket,
                    ..
                }
        )
    }

    /// The `Allow` field of a 405, as sockjs-node writes it.
    pub fn allow(&self) -> &'static str {
        match self {
            Self::Greeting | Self::Iframe | Self::RawWebSocket => "GET",
            Self::Info => "OPTIONS, GET",
            Self::ChunkingTest => "POST, OPTIONS",
            Self::Session { transport, .. } => match transport {
                Transport::Xhr | Transport::XhrSend | Transport::XhrStreaming => "POST, OPTIONS",
                Transport::JsonpSend => "POST",
                Transport::WebSocket
                | Transport::EventSource
                | Transport::HtmlFile
                | Transport::Jsonp => "GET",
            },
        }
    }

    /// Whether a request may have this method. HEAD may stand for GET where the answer is a page,
    /// though [`Self::allow`] does not say so.
    pub fn is_allowed(&self, method: &str) -> bool {
        match (method, self) {
            ("HEAD", Self::Greeting | Self::Iframe | Self::Info) => true,
            ("GET" | "POST" | "OPTIONS", _) => self.allow().contains(method),
            _ => false,
        }
    }
}

/// The most bytes of an id: of a session, and of a server.
pub const ID_BYTES_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn session(id: &str, transport: Transport) -> Option<Endpoint<'_>> {
        Some(Endpoint::Session { id, transport })
    }

    #[test]
    fn paths() {
        #[rustfmt::skip]
        let cases: &[(&str, Option<Endpoint<'_>>)] = &[
            ("", Some(Endpoint::Greeting)), ("/", Some(Endpoint::Greeting)),
            ("/iframe.html", Some(Endpoint::Iframe)), ("/iframe-a.html", Some(Endpoint::Iframe)),
            ("/iframe-0.1.2.html", Some(Endpoint::Iframe)), ("/iframe.html.html", Some(Endpoint::Iframe)),
            ("/iframe-0.1.2-dirty_2144.html/", Some(Endpoint::Iframe)),
            ("/info", Some(Endpoint::Info)), ("/info/", Some(Endpoint::Info)),
            ("/websocket", Some(Endpoint::RawWebSocket)), ("/websocket/", Some(Endpoint::RawWebSocket)),
            ("/chunking_test", Some(Endpoint::ChunkingTest)),
            ("/000/abc/websocket", session("abc", Transport::WebSocket)),
            ("/000/abc/xhr", session("abc", Transport::Xhr)),
            ("/999/abc/xhr/", session("abc", Transport::Xhr)),
            ("/000/abc/xhr_send", session("abc", Transport::XhrSend)),
            ("/000/abc/xhr_streaming", session("abc", Transport::XhrStreaming)),
            ("/000/abc/eventsource", session("abc", Transport::EventSource)),
            ("/000/abc/htmlfile", session("abc", Transport::HtmlFile)),
            ("/000/abc/jsonp", session("abc", Transport::Jsonp)),
            ("/000/abc/jsonp_send", session("abc", Transport::JsonpSend)),
            ("/abcdefgh_i-j%20/x%20/xhr", session("x%20", Transport::Xhr)),
            ("/info/info/xhr", session("info", Transport::Xhr)), ("/1/\u{e9}/xhr", session("\u{e9}", Transport::Xhr)),
            // A slash as an escape is none.
            ("/1/a%2fb/xhr", session("a%2fb", Transport::Xhr)), ("/1/%2e/xhr", session("%2e", Transport::Xhr)),

            ("//", None), ("///", None), ("/a", None), ("/a/", None), ("/a.html", None), ("/a/a", None),
            ("/a/a/", None), ("/1/2/3/4", None), ("/0/s/unknown", None), ("/0/s/", None), ("/0/s//", None),
            ("//s/xhr", None), ("/0//xhr", None), ("/0/s/xhr//", None), ("/0/s//xhr", None),
            ("//0/s/xhr", None), ("/0/s/xhr/a", None), ("/a./a/xhr", None), ("/a/a./xhr", None),
            ("/./././xhr", None), ("/././xhr", None), ("/0.0/s/xhr", None), ("/0/s.1/xhr", None),
            ("/../s/xhr", None), ("/0/s/XHR", None), ("/0/s/xh%72", None), ("/0/s/xhr ", None),
            ("/iframe.htm", None), ("/iframe", None), ("/IFRAME.HTML", None), ("/iframe-/.html", None),
            ("/iframe.HTML", None), ("/iframe-A.html", None), ("/iframe%2d.html", None), ("/xiframe.html", None),
            ("/iframe.htmlx", None), ("/iframehtml", None), ("/Info", None), ("/info//", None), ("//info", None),
            ("/infox", None), ("/info/x", None), ("/websocket/x", None), ("/chunking_test/x", None),
            ("info", None), ("x", None), ("x/", None), ("0/s/xhr", None),
        ];
        for &(path, want) in cases {
            assert_eq!(parse(path), want, "{path}");
            for cut in (0..path.len()).filter(|cut| path.is_char_boundary(*cut)) {
                parse(&path[..cut]);
                parse(&path[cut..]);
            }
        }
    }

    #[test]
    fn ids_have_a_limit() {
        let (longest, longer) = ("a".repeat(ID_BYTES_MAX), "a".repeat(ID_BYTES_MAX + 1));
        for (server, id, found) in [
            (&*longest, &*longest, true),
            ("0", &longest, true),
            ("0", &longer, false),
            (&longer, "s", false),
        ] {
            let path = format!("/{server}/{id}/xhr");
            let want = session(id, Transport::Xhr).filter(|_| found);
            assert_eq!(parse(&path), want, "{path}");
        }
    }

    #[test]
    fn methods() {
        #[rustfmt::skip]
        let cases: &[(&str, &str, &[&str])] = &[
            ("", "GET", &["GET", "HEAD"]),
            ("/iframe.html", "GET", &["GET", "HEAD"]),
            ("/info", "OPTIONS, GET", &["GET", "HEAD", "OPTIONS"]),
            ("/websocket", "GET", &["GET"]),
            ("/chunking_test", "POST, OPTIONS", &["POST", "OPTIONS"]),
            ("/0/s/websocket", "GET", &["GET"]),
            ("/0/s/xhr", "POST, OPTIONS", &["POST", "OPTIONS"]),
            ("/0/s/xhr_send", "POST, OPTIONS", &["POST", "OPTIONS"]),
            ("/0/s/xhr_streaming", "POST, OPTIONS", &["POST", "OPTIONS"]),
            ("/0/s/eventsource", "GET", &["GET"]),
            ("/0/s/htmlfile", "GET", &["GET"]),
            ("/0/s/jsonp", "GET", &["GET"]),
            ("/0/s/jsonp_send", "POST", &["POST"]),
        ];
        let methods = [
            "GET",
            "HEAD",
            "POST",
            "OPTIONS",
            "PUT",
            "DELETE",
            "get",
            "",
            "POST, OPTIONS",
        ];
        for &(path, allow, allowed) in cases {
            let endpoint = parse(path).unwrap();
            assert_eq!(endpoint.allow(), allow, "{path}");
            for method in methods {
                let want = allowed.contains(&method);
                assert_eq!(endpoint.is_allowed(method), want, "{method} {path}");
            }
        }
    }
}
