//! What a path is for: `[EXTRA]/TRANSPORT[/[SESSION][/TAIL]]`, below the mount.
//!
//! An empty session, or none, is a new one. The tail is a time stamp against caches, or `send`; only
//! jsonp-polling has something to say there.
//!
//! Paths are compared as they came: case matters, escapes are not decoded.
//!
//! Not here: the mount (`/socket.io`) and the query, which the caller takes off; whether the extra text is
//! right; methods; which transports are switched on.

use crate::proto::split_at_first;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route<'p> {
    /// What stands before the transport and its slash: data of the application, with what separates it from
    /// the mount. It may hold slashes, and names of transports.
    pub extra: &'p str,
    /// How the messages travel.
    pub transport: Transport,
    /// The session's id: letters and digits, at most [`ID_BYTES_MAX`]; `None`: a new session is asked for.
    pub session: Option<&'p str>,
    /// The last number of the tail of jsonp-polling: the function that the answer calls.
    pub index: Option<u32>,
}

/// A way for messages to travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Both ways, a payload as a message of a WebSocket.
    WebSocket,
    /// The same, from a client that brings its own WebSocket.
    FlashSocket,
    /// A stream of scripts in a page.
    HtmlFile,
    /// A stream of parts, each in place of the one before.
    XhrMultipart,
    /// Polls: one payload each.
    XhrPolling,
    /// Polls: one payload each, as a script.
    JsonpPolling,
}

/// Reads the path behind the mount. `None`: it names nothing (404).
pub fn parse(rest: &str) -> Option<Route<'_>> {
    let (extra, transport, tail) = split_transport(rest)?;
    let (session, tail) = split_at_first(tail, b'/');
    let is_good = session.is_empty() || is_id(session);
    let has_index = transport == Transport::JsonpPolling;
    is_good.then(|| Route {
        extra,
        transport,
        session: (!session.is_empty()).then_some(session),
        index: tail.filter(|_| has_index).and_then(index_of),
    })
}

/// What is before the transport, and what is behind its slash. Of several the last one counts: no session
/// and no tail has such a name, the application's data may.
fn split_transport(rest: &str) -> Option<(&str, Transport, &str)> {
    let mut end = rest.len();
    loop {
        let slash = memchr::memrchr(b'/', &rest.as_bytes()[..end])?;
        if let Some(transport) = Transport::of(&rest[slash + 1..end]) {
            let tail = rest[end..].strip_prefix('/').unwrap_or_default();
            return Some((&rest[..slash], transport, tail));
        }
        end = slash;
    }
}

/// The last number of a tail; none if no client counts as far, as a time stamp.
fn index_of(tail: &str) -> Option<u32> {
    let is_number =
        |segment: &&str| !segment.is_empty() && segment.bytes().all(|b| b.is_ascii_digit());
    let last = tail.rsplit('/').find(is_number)?;
    (last.len() <= INDEX_DIGITS_MAX).then(|| last.parse().ok())?
}

fn is_id(text: &str) -> bool {
    // Without a branch for each byte.
    let is_alphanumeric = |good, b: u8| good & b.is_ascii_alphanumeric();
    text.len() <= ID_BYTES_MAX && text.bytes().fold(true, is_alphanumeric)
}

impl Route<'_> {
    /// Whether an upgrade belongs there.
    pub fn is_websocket(self) -> bool {
        matches!(
            self.transport,
            Transport::WebSocket | Transport::FlashSocket
        )
    }
}

impl Transport {
    /// As it is written in paths.
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
/// The most bytes of a session's id.
pub const ID_BYTES_MAX: usize = 128;
/// A client counts its functions; its time stamps are longer.
const INDEX_DIGITS_MAX: usize = 9;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths() {
        use Transport::{FlashSocket, HtmlFile, JsonpPolling, WebSocket, XhrMultipart, XhrPolling};
        const HEX: &str = "566d8e5c0d743b67262e141ed1ad1faf";
        let route = |extra, transport, session, index| {
            Some(Route {
                extra,
                transport,
                session,
                index,
            })
        };
        let to = |transport, session, index| route("", transport, session, index);
        let (longest, longer) = ("a".repeat(128), "a".repeat(129));
        let with_longest = format!("/xhr-polling/{longest}/1");
        let with_longer = format!("/xhr-polling/{longer}/1");
        let send = format!("/xhr-polling/{HEX}/send");
        #[rustfmt::skip]
        let cases = [
            // As the client asks.
            ("/websocket", to(WebSocket, None, None)), ("/flashsocket", to(FlashSocket, None, None)),
            ("/websocket/a1", to(WebSocket, Some("a1"), None)),
            ("/xhr-polling//1290000000000", to(XhrPolling, None, None)),
            ("/xhr-polling/26568709202827434/1290000000040", to(XhrPolling, Some("26568709202827434"), None)),
            ("/xhr-polling/26568709202827434/send", to(XhrPolling, Some("26568709202827434"), None)),
            (&send, to(XhrPolling, Some(HEX), None)),
            ("/xhr-multipart/", to(XhrMultipart, None, None)),
            ("/xhr-multipart/a1/send", to(XhrMultipart, Some("a1"), None)),
            ("/htmlfile//1290000000000", to(HtmlFile, None, None)),
            ("/htmlfile/a1/send", to(HtmlFile, Some("a1"), None)),
            ("/jsonp-polling//1290000000000/0", to(JsonpPolling, None, Some(0))),
            ("/jsonp-polling/435386972435732/1290000000003/7", to(JsonpPolling, Some("435386972435732"), Some(7))),
            // In other ways.
            ("/xhr-polling", to(XhrPolling, None, None)), ("/xhr-polling/", to(XhrPolling, None, None)),
            ("/xhr-polling//", to(XhrPolling, None, None)), ("/xhr-polling///", to(XhrPolling, None, None)),
            ("/websocket/", to(WebSocket, None, None)), ("/websocket//", to(WebSocket, None, None)),
            ("/xhr-polling/a1", to(XhrPolling, Some("a1"), None)), ("/xhr-polling/a1/", to(XhrPolling, Some("a1"), None)),
            ("/xhr-polling//send", to(XhrPolling, None, None)), ("/xhr-polling/send", to(XhrPolling, Some("send"), None)),
            ("/xhr-polling/a1/x/y%20/\u{e9}", to(XhrPolling, Some("a1"), None)),
            (&with_longest, to(XhrPolling, Some(&longest), None)), (&with_longer, None),
            // The index.
            ("/jsonp-polling", to(JsonpPolling, None, None)), ("/jsonp-polling/7", to(JsonpPolling, Some("7"), None)),
            ("/jsonp-polling/a1/7", to(JsonpPolling, Some("a1"), Some(7))),
            ("/jsonp-polling/a1/7/", to(JsonpPolling, Some("a1"), Some(7))),
            ("/jsonp-polling/a1/7//x", to(JsonpPolling, Some("a1"), Some(7))),
            ("/jsonp-polling//007", to(JsonpPolling, None, Some(7))),
            ("/jsonp-polling/a1/1/2/x/12", to(JsonpPolling, Some("a1"), Some(12))),
            ("/jsonp-polling/a1/999999999", to(JsonpPolling, Some("a1"), Some(999_999_999))),
            ("/jsonp-polling/a1/1000000000", to(JsonpPolling, Some("a1"), None)),
            ("/jsonp-polling/a1/1/99999999999999999999", to(JsonpPolling, Some("a1"), None)),
            ("/jsonp-polling/a1/1290000000007/alert(1)", to(JsonpPolling, Some("a1"), None)),
            ("/jsonp-polling/a1/1290000000005", to(JsonpPolling, Some("a1"), None)),
            ("/jsonp-polling/a1/alert(1)", to(JsonpPolling, Some("a1"), None)),
            ("/jsonp-polling/a1/-1", to(JsonpPolling, Some("a1"), None)),
            ("/jsonp-polling/a1/+1", to(JsonpPolling, Some("a1"), None)),
            ("/jsonp-polling/a1/1.0", to(JsonpPolling, Some("a1"), None)),
            ("/jsonp-polling/a1/%31", to(JsonpPolling, Some("a1"), None)),
            ("/jsonp-polling/a1/\u{661}", to(JsonpPolling, Some("a1"), None)),
            // Data of the application.
            ("/123/jsonp-polling//1", route("/123", JsonpPolling, None, Some(1))),
            ("/42/websocket", route("/42", WebSocket, None, None)), ("42/websocket", route("42", WebSocket, None, None)),
            ("-a=b/htmlfile/a1/send", route("-a=b", HtmlFile, Some("a1"), None)),
            ("/a/b/xhr-polling//1", route("/a/b", XhrPolling, None, None)),
            ("//websocket", route("/", WebSocket, None, None)), ("/\u{e9}%20/websocket", route("/\u{e9}%20", WebSocket, None, None)),
            ("/websocket/xhr-polling/a1/send", route("/websocket", XhrPolling, Some("a1"), None)),
            ("/xhr-polling//websocket", route("/xhr-polling/", WebSocket, None, None)),
            ("/1/websocket/a1", route("/1", WebSocket, Some("a1"), None)),
            ("/websockets/flashsocket", route("/websockets", FlashSocket, None, None)),
            // Nothing.
            ("", None), ("/", None), ("//", None), ("/1/", None), ("/123", None), ("websocket", None), ("websocket/", None),
            ("/websockets", None), ("/xwebsocket", None), ("/WebSocket", None), ("/websocket%2F", None), ("/xhr", None),
            ("/no-such-transport/", None), ("/socket.io.js", None),
            ("/xhr-polling/a_b/1", None), ("/xhr-polling/a-b", None), ("/xhr-polling/a.b", None),
            ("/xhr-polling/%61", None), ("/xhr-polling/\u{e9}/1", None), ("/websocket/ ", None),
        ];
        for (path, want) in cases {
            assert_eq!(parse(path), want, "{path}");
            for cut in (0..path.len()).filter(|cut| path.is_char_boundary(*cut)) {
                parse(&path[..cut]);
                parse(&path[cut..]);
            }
        }
    }

    #[test]
    fn names() {
        for transport in ALL {
            assert_eq!(Transport::of(transport.name()), Some(transport));
            let path = format!("/{}", transport.name());
            let route = parse(&path).unwrap();
            let is_websocket = transport.name().ends_with("socket");
            assert_eq!(
                (route.transport, route.is_websocket()),
                (transport, is_websocket)
            );
        }
        assert_eq!(ALL.len(), 6);
    }

    proptest! {
        /// Whatever an application puts there, it gets.
        #[test]
        fn what_is_put_together_is_taken_apart(
            extra in "(/|websocket|/htmlfile|[a-z]|\\PC){0,6}",
            transport in prop::sample::select(&ALL[..]),
            session in "[0-9A-Za-z]{0,128}",
            index in 0..=999_999_999_u32,
        ) {
            let path = format!("{extra}/{}/{session}/1290000000000/{index}", transport.name());
            let want = Route {
                extra: &extra,
                transport,
                session: Some(&*session).filter(|session| !session.is_empty()),
                index: (transport == Transport::JsonpPolling).then_some(index),
            };
            prop_assert_eq!(parse(&path), Some(want));
        }

        #[test]
        fn half_right_paths(path in "(/|websocket|xhr-polling|jsonp-polling|send|[0-9]{1,10}|a|é|\\PC){0,12}") {
            if let Some(route) = parse(&path) {
                let start = format!("{}/{}", route.extra, route.transport.name());
                let tail = path.strip_prefix(&start).unwrap();
                prop_assert!(tail.is_empty() || tail.starts_with('/'));
                let session = tail.strip_prefix('/').unwrap_or_default();
                prop_assert!(session.starts_with(route.session.unwrap_or_default()));
            }
        }
    }
}
