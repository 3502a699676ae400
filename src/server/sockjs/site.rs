//! Which endpoints of a SockJS mount a request may use, and the headers of its answers: caching, CORS,
//! the cookie.

use crate::mounts::SockJs;
use crate::proto::http::date;
use crate::proto::http::origin::{OriginRequest, Origins};
use crate::proto::sockjs::Profile;
use crate::proto::sockjs::path::{self, Endpoint};
pub(super) use crate::server::cors::put;
use crate::server::cors::{is_field_names, is_origin};
use crate::server::request::Request;
use crate::time::UnixSeconds;

/// A mount as one request sees it: what is offered to it, and which headers it gets.
pub(in crate::server) struct Site<'a> {
    of: &'a SockJs,
    req: &'a Request<'a>,
    /// Any page may connect.
    any: bool,
}

/// What is answered to an origin of `null`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Null {
    Echoed,
    Any,
}

impl<'a> Site<'a> {
    pub(in crate::server) fn new(of: &'a SockJs, req: &'a Request<'a>) -> Self {
        let any = matches!(of.origins.origins, Origins::Any);
        Self { of, req, any }
    }

    pub(in crate::server) fn offers(&self, endpoint: Endpoint<'_>) -> bool {
        let on = &self.of.settings;
        match endpoint {
            Endpoint::Greeting | Endpoint::Info => true,
            Endpoint::Iframe => self.any,
            Endpoint::RawWebSocket => on.websocket && on.raw_websocket,
            Endpoint::ChunkingTest => on.chunking_test,
            Endpoint::Session { transport, .. } => match transport {
                path::Transport::WebSocket => on.websocket,
                path::Transport::Xhr => on.xhr,
                path::Transport::XhrStreaming => on.xhr_streaming,
                path::Transport::XhrSend => {
                    on.xhr || on.xhr_streaming || on.eventsource || on.htmlfile
                }
                path::Transport::EventSource => on.eventsource,
                path::Transport::HtmlFile => on.htmlfile && self.any,
                path::Transport::Jsonp | path::Transport::JsonpSend => on.jsonp && self.any,
            },
        }
    }

    pub(in crate::server) fn upgrades(&self) -> bool {
        self.req.head.has_option("Upgrade", "websocket")
    }

    /// Whether the page that asks may use a session. Without CORS headers it could not read, but send.
    pub(in crate::server) fn may_connect(&self) -> bool {
        self.any || {
            let from = OriginRequest::of(&self.req.head, self.req.host());
            self.of.origins.allows(&from)
        }
    }

    fn old(&self) -> bool {
        self.of.profile == Profile::V033
    }

    pub(in crate::server) fn nocache(&self) -> Vec<u8> {
        let mut lines = Vec::with_capacity(320);
        lines.extend_from_slice(match self.old() {
            true => b"Cache-Control: no-store, no-cache, must-revalidate, max-age=0\r\n".as_slice(),
            false => {
                b"Cache-Control: no-store, no-cache, no-transform, must-revalidate, max-age=0\r\n"
            }
        });
        lines
    }

    /// The headers of every answer of a transport.
    pub(in crate::server) fn session_lines(&self, transport: path::Transport) -> Vec<u8> {
        use path::Transport::{EventSource, HtmlFile, Jsonp, JsonpSend, XhrStreaming};
        let mut lines = self.nocache();
        if matches!(transport, XhrStreaming | EventSource | HtmlFile) {
            // For nginx, which else collects what should flow.
            lines.extend_from_slice(b"X-Accel-Buffering: no\r\n");
        }
        match transport {
            Jsonp => lines.extend_from_slice(b"X-Content-Type-Options: nosniff\r\n"),
            HtmlFile | JsonpSend => {}
            EventSource => self.cors(&mut lines, Null::Any),
            _ => self.cors(&mut lines, Null::Echoed),
        }
        self.cookie(&mut lines);
        lines
    }

    /// What lets pages of other origins read an answer.
    pub(in crate::server) fn cors(&self, lines: &mut Vec<u8>, null: Null) {
        let origin = self.req.header("Origin").filter(|origin| is_origin(origin));
        lines.extend_from_slice(b"Vary: Origin\r\n");
        if !self.any && (origin.is_none() || !self.may_connect()) {
            return;
        }
        let null = if self.old() { Null::Any } else { null };
        let echoed = origin.filter(|origin| *origin != "null" || null == Null::Echoed);
        match echoed {
            Some(origin) => put(lines, "Access-Control-Allow-Origin", origin),
            None => lines.extend_from_slice(b"Access-Control-Allow-Origin: *\r\n"),
        }
        if echoed.is_some() || self.old() {
            lines.extend_from_slice(b"Access-Control-Allow-Credentials: true\r\n");
        }
        let asked = self.req.header("Access-Control-Request-Headers");
        if let Some(asked) = asked.filter(|asked| is_field_names(asked)) {
            put(lines, "Access-Control-Allow-Headers", asked);
        }
    }

    fn cookie(&self, lines: &mut Vec<u8>) {
        if self.of.settings.jsessionid {
            let value = self.req.cookie("JSESSIONID");
            let value = value.as_deref().filter(|value| is_cookie_value(value));
            let value = value.unwrap_or("dummy");
            put(lines, "Set-Cookie", &format!("JSESSIONID={value}; path=/"));
        }
    }

    pub(in crate::server) fn preflight(&self, endpoint: Endpoint<'_>, now: UnixSeconds) -> Vec<u8> {
        let mut lines = cache(now);
        self.cors(&mut lines, Null::Echoed);
        let methods = match endpoint {
            Endpoint::Info => "OPTIONS, GET",
            _ => "OPTIONS, POST",
        };
        put(&mut lines, "Access-Control-Allow-Methods", methods);
        lines.extend_from_slice(b"Access-Control-Max-Age: 31536000\r\n");
        self.cookie(&mut lines);
        lines
    }
}

/// A year in the caches.
pub(in crate::server) fn cache(now: UnixSeconds) -> Vec<u8> {
    let mut lines = b"Cache-Control: public, max-age=31536000\r\nExpires: ".to_vec();
    lines.extend_from_slice(&date::format(UnixSeconds(now.0 + 31_536_000)));
    lines.extend_from_slice(b"\r\n");
    lines
}

/// One or more cookie octets (RFC 6265, 4.1.1).
fn is_cookie_value(value: &str) -> bool {
    let is_octet =
        |byte| matches!(byte, 0x21 | 0x23..=0x2b | 0x2d..=0x3a | 0x3c..=0x5b | 0x5d..=0x7e);
    !value.is_empty() && value.bytes().all(is_octet)
}
