//! What a path is for, below the mount.
//!
//! Paths are compared as they came: case matters, escapes are not decoded.
//!
//! Not here: the mount (`/socket.io`) and the query, which the caller takes off; which transports are
//! switched on.

use crate::proto::split_at_first;

/// What a path below the mount names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route<'p> {
    /// The mount itself: a line of text.
    Welcome,
    /// A session is asked for.
    Handshake,
    /// A session is used.
    Transport {
        /// How its packets travel. `None`: the name is unknown; or there is none, and the client wants
        /// the session ended.
        transport: Option<Transport>,
        /// The transport as it is written in the path; may be empty.
        name: &'p str,
        /// The session's id; never empty, at most [`ID_BYTES_MAX`].
        sid: &'p str,
    },
    /// The script of the client.
    ClientFile,
    /// A version of the protocol other than 1.
    BadVersion,
}

/// A way for packets to travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Both ways, each packet a message of a WebSocket.
    WebSocket,
    /// The same, from a client that brings its own WebSocket.
    FlashSocket,
    /// Polls: one payload each.
    XhrPolling,
    /// Polls: one payload each, as a script.
    JsonpPolling,
    /// A stream of scripts in a page.
    HtmlFile,
}

/// Reads the path behind the mount: empty, or beginning with `/`. `None`: it names nothing (404).
pub fn parse(rest: &str) -> Option<Route<'_>> {
    let path = rest.strip_suffix('/').unwrap_or(rest);
    if path.is_empty() {
        return Some(Route::Welcome);
    }
    let (version, behind) = split_at_first(path.strip_prefix('/')?, b'/');
    match version {
        VERSION => {}
        CLIENT_FILE if path == rest && behind.is_none() => return Some(Route::ClientFile),
        other => {
            let is_number = !other.is_empty() && other.bytes().all(|b| b.is_ascii_digit());
            return is_number.then_some(Route::BadVersion);
        }
    }
    let Some(behind) = behind else {
        return Some(Route::Handshake);
    };
    let (name, sid) = split_at_first(behind, b'/');
    let (sid, more) = split_at_first(sid?, b'/');
    let is_good = more.is_none() && (1..=ID_BYTES_MAX).contains(&sid.len());
    is_good.then(|| Route::Transport {
        transport: Transport::of(name),
        name,
        sid,
    })
}

impl Route<'_> {
    /// Whether only 0.7 to 0.9 ask for it.
    pub fn is_of_09(self) -> bool {
        matches!(self, Self::Handshake | Self::Transport { .. })
    }

    /// Whether it is there for clients of every version.
    pub fn is_of_all(self) -> bool {
        matches!(self, Self::Welcome | Self::ClientFile)
    }

    /// Whether an upgrade belongs there.
    pub fn is_websocket(self) -> bool {
        let transport = match self {
            Self::Transport { transport, .. } => transport,
            _ => None,
        };
        matches!(
            transport,
            Some(Transport::WebSocket | Transport::FlashSocket)
        )
    }
}

impl Transport {
    /// As it is written in paths and in the answer of a handshake.
    pub fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::FlashSocket => "flashsocket",
            Self::XhrPolling => "xhr-polling",
            Self::JsonpPolling => "jsonp-polling",
            Self::HtmlFile => "htmlfile",
        }
    }

    fn of(name: &str) -> Option<Self> {
        ALL.into_iter().find(|transport| transport.name() == name)
    }
}

const ALL: [Transport; 5] = [
    Transport::WebSocket,
    Transport::FlashSocket,
    Transport::XhrPolling,
    Transport::JsonpPolling,
    Transport::HtmlFile,
];
const VERSION: &str = "1";
const CLIENT_FILE: &str = "socket.io.js";
/// The most bytes of a session's id.
pub const ID_BYTES_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        use Route::{BadVersion, ClientFile, Handshake, Welcome};
        let (longest, longer) = ("a".repeat(128), "a".repeat(129));
        let to = |transport, sid| {
            let name = Transport::name(transport);
            let transport = Some(transport);
            Some(Route::Transport {
                transport,
                name,
                sid,
            })
        };
        let unknown = |name, sid| {
            Some(Route::Transport {
                transport: None,
                name,
                sid,
            })
        };
        let with_longest = format!("/1/websocket/{longest}");
        let with_longer = format!("/1/websocket/{longer}");
        #[rustfmt::skip]
        let cases = [
            ("", Some(Welcome)), ("/", Some(Welcome)), ("//", None),
            ("/1", Some(Handshake)), ("/1/", Some(Handshake)), ("/1//", None), ("/1///", None),
            ("/1/websocket/SID", to(Transport::WebSocket, "SID")),
            ("/1/websocket/SID/", to(Transport::WebSocket, "SID")),
            ("/1/flashsocket/SID", to(Transport::FlashSocket, "SID")),
            ("/1/xhr-polling/a_-Z9", to(Transport::XhrPolling, "a_-Z9")),
            ("/1/jsonp-polling/SID/", to(Transport::JsonpPolling, "SID")),
            ("/1/htmlfile/SID", to(Transport::HtmlFile, "SID")),
            ("/1//SID/", unknown("", "SID")), ("/1//SID", unknown("", "SID")),
            ("/1/xhr-multipart/SID", unknown("xhr-multipart", "SID")),
            ("/1/WebSocket/SID", unknown("WebSocket", "SID")),
            ("/1/websocket", None), ("/1/websocket/", None), ("/1/websocket//", None), ("/1/websocket/SID//", None),
            ("/1/websocket/SID/x", None), ("/1/websocket//SID", None), ("//1/websocket/SID", None), ("1", None),
            (&with_longest, to(Transport::WebSocket, &longest)), (&with_longer, None),
            ("/socket.io.js", Some(ClientFile)), ("/socket.io.js/", None), ("/socket.io.js/x", None),
            ("/Socket.io.js", None), ("/socket.io.v0.9.16.js", None), ("/static/flashsocket/WebSocketMain.swf", None),
            ("/0", Some(BadVersion)), ("/2", Some(BadVersion)), ("/2/", Some(BadVersion)), ("/10/", Some(BadVersion)),
            ("/01", Some(BadVersion)), ("/2/websocket/SID", Some(BadVersion)),
            ("/99999999999999999999", Some(BadVersion)),
            ("/1.0", None), ("/-1", None), ("/x", None), ("/1x", None), ("/websocket", None), ("/%31", None),
            ("/\u{661}", None),
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
        }
        assert_eq!(ALL.len(), 5);
    }
}
