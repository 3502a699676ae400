//! Paths below a mount: `[EXTRA]/TRANSPORT[/[SESSION][/TAIL]]`.
//!
//! An empty session, or none, is a new one. Of the tail only a number at its end counts, and only for
//! jsonp.

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route<'p> {
    /// What stands before the transport and its slash: data of the application.
    pub extra: &'p str,
    /// The transport.
    pub transport: Transport,
    /// The session; `None`: a new one.
    pub session: Option<&'p str>,
    /// The function that the answer is to call.
    pub index: Option<u32>,
}

/// The transports of Socket.IO 0.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A WebSocket.
    WebSocket,
    /// A WebSocket opened by a Flash film.
    FlashSocket,
    /// A page that grows.
    HtmlFile,
    /// A streamed answer in parts.
    XhrMultipart,
    /// Polling by XMLHttpRequest.
    XhrPolling,
    /// Polling by scripts.
    JsonpPolling,
}

/// What a path below a mount is for. `None`: it names no transport.
pub fn parse(rest: &str) -> Option<Route<'_>> {
    // The last segment that is one: a transport's name may be part of the data before it.
    let mut found = None;
    let mut from = 0;
    while let Some(slash) = memchr::memchr(b'/', &rest.as_bytes()[from..]) {
        let begin = from + slash + 1;
        let name = rest[begin..].split('/').next().unwrap_or_default();
        if let Some(transport) = Transport::of(name) {
            found = Some((&rest[..begin - 1], transport, &rest[begin + name.len()..]));
            break;
        }
        from = begin;
    }
    let (extra, transport, tail) = found?;
    let mut segments = tail.strip_prefix('/').unwrap_or_default().split('/');
    let session = segments.next().filter(|session| !session.is_empty());
    if session.is_some_and(|session| !is_id(session)) {
        return None;
    }
    let index = segments.rfind(|it| it.bytes().all(|b| b.is_ascii_digit()) && !it.is_empty());
    Some(Route {
        extra,
        transport,
        session,
        index: index
            .filter(|index| index.len() <= INDEX_DIGITS_MAX)
            .and_then(|index| index.parse().ok()),
    })
}

fn is_id(text: &str) -> bool {
    text.len() <= ID_BYTES_MAX && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

impl Route<'_> {
    /// Whether an upgrade belongs there.
    pub fn is_websocket(&self) -> bool {
        matches!(
            self.transport,
            Transport::WebSocket | Transport::FlashSocket
        )
    }
}

impl Transport {
    /// Its name in paths.
    pub fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::FlashSocket => "flashsocket",
            Self::HtmlFile => "htmlfile",
            Self::XhrMultipart => "xhr-multipart",
            Self::XhrPolling => "xhr-polling",
            Self::JsonpPolling => "jsonp-polling",
        }
    }

    fn of(name: &str) -> Option<Self> {
        ALL.into_iter().find(|transport| transport.name() == name)
    }
}

const ALL: [Transport; 6] = [
    Transport::WebSocket,
    Transport::FlashSocket,
    Transport::HtmlFile,
    Transport::XhrMultipart,
    Transport::XhrPolling,
    Transport::JsonpPolling,
];
/// Bytes of a session's id.
pub const ID_BYTES_MAX: usize = 128;
/// A client counts its functions; its time stamps are longer.
const INDEX_DIGITS_MAX: usize = 9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        use Transport::{FlashSocket, HtmlFile, JsonpPolling, WebSocket, XhrMultipart, XhrPolling};
        let route = |extra, transport, session, index| {
            Some(Route {
                extra,
                transport,
                session,
                index,
            })
        };
        let longest = format!("/xhr-polling/{}/1", "a".repeat(128));
        #[rustfmt::skip]
        let cases = [
            ("/websocket", route("", WebSocket, None, None)), ("/flashsocket/", route("", FlashSocket, None, None)),
            ("/websocket/abc", route("", WebSocket, Some("abc"), None)),
            ("/xhr-polling//1290000000000", route("", XhrPolling, None, None)),
            ("/xhr-polling/a1/1290000000000", route("", XhrPolling, Some("a1"), None)),
            ("/xhr-polling/a1/send", route("", XhrPolling, Some("a1"), None)),
            ("/xhr-multipart/", route("", XhrMultipart, None, None)), ("/htmlfile//1", route("", HtmlFile, None, Some(1))),
            ("/jsonp-polling//1290000000000/0", route("", JsonpPolling, None, Some(0))),
            ("/jsonp-polling/a1/1290000000000/12", route("", JsonpPolling, Some("a1"), Some(12))),
            ("/jsonp-polling/a1/7", route("", JsonpPolling, Some("a1"), Some(7))),
            ("/jsonp-polling/a1/alert(1)", route("", JsonpPolling, Some("a1"), None)),
            ("/jsonp-polling/a1", route("", JsonpPolling, Some("a1"), None)),
            ("/42/websocket", route("/42", WebSocket, None, None)), ("42/websocket", route("42", WebSocket, None, None)),
            ("/a/b/xhr-polling//1", route("/a/b", XhrPolling, None, Some(1))),
            (&longest, route("", XhrPolling, Some(&longest[13..141]), Some(1))),
            ("/xhr-polling/a_b/1", None), ("", None), ("/", None), ("/1/", None), ("/websockets", None), ("websocket", None),
            ("/socket.io.js", None),
        ];
        for (path, want) in cases {
            assert_eq!(parse(path), want, "{path}");
            for cut in (0..path.len()).filter(|cut| path.is_char_boundary(*cut)) {
                parse(&path[..cut]);
                parse(&path[cut..]);
            }
        }
        let longer = format!("/xhr-polling/{}/1", "a".repeat(129));
        assert_eq!(parse(&longer), None);
    }
}
