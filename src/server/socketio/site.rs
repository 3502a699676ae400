//! Who may connect at a Socket.IO mount, and the headers and texts of its answers.

use crate::connection::{Refusing, Reject};
use crate::mounts::SocketIo;
use crate::proto::http::origin::{OriginRequest, Origins};
pub(super) use crate::server::cors::put;
use crate::server::cors::{is_field_names, is_origin};
use crate::server::request::Request;
use std::borrow::Cow;
use std::time::Duration;

/// A mount as one request sees it.
pub(super) struct Site<'a> {
    of: &'a SocketIo,
    req: &'a Request<'a>,
}

impl<'a> Site<'a> {
    pub(super) fn new(of: &'a SocketIo, req: &'a Request<'a>) -> Self {
        Self { of, req }
    }

    /// Whether the page that asks may. `script`: its answer is one, which any page can read.
    pub(super) fn allows(&self, script: bool) -> bool {
        let policy = &self.of.origins;
        if matches!(policy.origins, Origins::Any) {
            return true;
        }
        let mut from = OriginRequest::of(&self.req.head, self.req.host());
        // Where browsers name no origin, as with scripts, they name the page as a rule.
        let referer = self.req.header("Referer").and_then(origin_of);
        if from.origin.is_none() && !from.several {
            from.origin = referer.as_deref();
        }
        // A page can hide its address; then it is ours only if the browser says so.
        let is_ours = matches!(from.sec_fetch_site, Some("same-origin" | "none"));
        (is_ours || from.origin.is_some() || !script) && policy.allows(&from)
    }

    /// What lets a page of another origin read an answer.
    pub(super) fn cors(&self) -> Vec<u8> {
        // There is room for what most answers add.
        let mut lines = Vec::with_capacity(160);
        lines.extend_from_slice(b"Vary: Origin\r\n");
        let origin = self.req.header("Origin").filter(|origin| is_origin(origin));
        if let Some(origin) = origin.filter(|_| self.allows(false)) {
            put(&mut lines, "Access-Control-Allow-Origin", origin);
            lines.extend_from_slice(b"Access-Control-Allow-Credentials: true\r\n");
        }
        lines
    }

    /// Status and headers of the answer to a preflight.
    pub(super) fn answer_to_preflight(&self) -> (u16, Vec<u8>) {
        let mut lines = self.cors();
        if !self.allows(false) {
            return (403, lines);
        }
        lines.extend_from_slice(b"Access-Control-Allow-Methods: GET, POST, OPTIONS\r\n");
        let asked = self.req.header("Access-Control-Request-Headers");
        let asked = asked.filter(|asked| is_field_names(asked));
        let allowed = asked.unwrap_or("Content-Type");
        put(&mut lines, "Access-Control-Allow-Headers", allowed);
        (200, lines)
    }
}

/// Scheme, host and port of a URL.
fn origin_of(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    Some(format!("{scheme}://{authority}"))
}

/// Whole seconds, rounded up: what is announced must not be shorter than what is kept to.
pub(super) fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// Status and text of a refused handshake.
pub(super) fn refusal(reject: &Reject) -> (u16, Cow<'_, str>) {
    let (status, text) = match &reject.how {
        Refusing::Status(status) => (*status, String::from_utf8_lossy(&reject.body)),
        Refusing::Close(_, reason) => (403, Cow::Borrowed(&**reason)),
    };
    match (text.is_empty(), status) {
        (false, _) => (status, text),
        (true, 500..) => (status, "handshake error".into()),
        (true, _) => (status, "handshake unauthorized".into()),
    }
}
