//! A request as handlers and `on_open` see it.

use crate::connection::Transport;
use crate::proto::http::forwarded::Client;
use crate::proto::http::head::{self, Head};
use crate::proto::http::pattern::Params;
use crate::proto::http::{cookie, url};
use crate::router::Extra;
use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

/// A request: its head, its body, who sent it and what the route found in its path.
#[doc(alias = "ConnectionInfo")]
#[derive(Debug)]
pub struct Request<'a> {
    pub(crate) head: Head<'a>,
    pub(crate) body: &'a [u8],
    pub(crate) params: Params<'a>,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) client: Client<'a>,
    pub(crate) subprotocol: Option<&'a str>,
    pub(crate) transport: Option<Transport>,
    /// What stood behind the name of the endpoint that is connected to.
    pub(crate) endpoint_query: &'a str,
    pub(crate) extra: Option<&'a Extra>,
}

impl<'a> Request<'a> {
    /// The method, upper case.
    pub fn method(&self) -> &'a str {
        self.head.method
    }

    /// The path as it was sent, without the query; not decoded.
    pub fn path(&self) -> &'a str {
        self.head.path()
    }

    /// What a `:name` or `*name` of the route's pattern matched, percent-decoded.
    #[doc(alias = "path_args")]
    #[doc(alias = "path_kwargs")]
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.find(name)
    }

    /// The query as it was sent, without its question mark.
    pub fn query_string(&self) -> &'a str {
        self.head.query().unwrap_or("")
    }

    /// The first query argument of that name, decoded: `+` is a blank, escapes that are no UTF-8 become
    /// U+FFFD. Of more than 1000 arguments the rest is not seen. In `on_open` of an endpoint of Socket.IO those
    /// of the endpoint come before those of the handshake.
    #[doc(alias = "get_argument")]
    #[doc(alias = "get_query_argument")]
    pub fn query(&self, name: &str) -> Option<Cow<'a, str>> {
        url::first(self.endpoint_query, name).or_else(|| url::first(self.query_string(), name))
    }

    /// All query arguments in order, decoded.
    #[doc(alias = "get_arguments")]
    #[doc(alias = "get_query_arguments")]
    #[doc(alias = "arguments")]
    pub fn query_pairs(&self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> + use<'a> {
        url::pairs(self.endpoint_query).chain(url::pairs(self.query_string()))
    }

    /// The first header of that name, any case. `None` also if its value is no UTF-8.
    #[doc(alias = "get_header")]
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.head.header_str(name)
    }

    /// All headers in order; values may be any bytes.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        self.head
            .headers
            .iter()
            .map(|field| (field.name, field.value))
    }

    /// The value of the first cookie of that name, without quotes (RFC 6265, 5.4). Browsers send the one
    /// with the most specific path first.
    #[doc(alias = "get_cookie")]
    #[doc(alias = "cookies")]
    pub fn cookie(&self, name: &str) -> Option<Cow<'a, str>> {
        cookie::cookie(&self.head, name)
    }

    /// The host and port the client asked for: from an absolute target or `Host` (RFC 9112, 3.2), or from
    /// a trusted proxy's `X-Forwarded-Host`. Empty only in a request of HTTP/1.0 that named none.
    pub fn host(&self) -> &'a str {
        self.client.host.unwrap_or_else(|| self.head.host())
    }

    /// The other end of the TCP connection. `None` on a Unix socket.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// The client's address: the peer's, or what a trusted proxy says
    /// ([`SocketServer::trust_proxies`](crate::SocketServer::trust_proxies)).
    /// `None` on a Unix socket without a proxy's word.
    #[doc(alias = "ip")]
    pub fn remote_ip(&self) -> Option<IpAddr> {
        match self.peer {
            None if self.client.ip.is_unspecified() => None,
            _ => Some(self.client.ip),
        }
    }

    /// Whether the client speaks TLS, as a trusted proxy's `X-Forwarded-Proto` or `X-Scheme` says; `false`
    /// without one.
    #[doc(alias = "protocol")]
    pub fn is_secure(&self) -> bool {
        self.client.secure.unwrap_or(false)
    }

    /// The WebSocket subprotocol that was chosen; see [`WebSocket::subprotocol`](crate::WebSocket::subprotocol).
    #[doc(alias = "selected_subprotocol")]
    pub fn subprotocol(&self) -> Option<&'a str> {
        self.subprotocol
    }

    /// By which way the client connects, in `on_open`; `None` for plain HTTP, and in the handshake of
    /// Socket.IO, which has no transport yet.
    pub fn transport(&self) -> Option<Transport> {
        self.transport
    }

    /// Data of the application in the path, in `on_open`, where the router reads some
    /// ([`Router::extra`](crate::Router::extra)).
    pub fn extra(&self) -> Option<&'a Extra> {
        self.extra
    }

    /// The body, chunks put together; empty if there was none. `body_bytes_max` at most.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The body as text; bytes that are no UTF-8 become U+FFFD.
    pub fn text(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.body)
    }

    /// The body as JSON, whatever its `Content-Type` says.
    ///
    /// # Errors
    ///
    /// What `serde_json` found wrong.
    pub fn json<T: serde_core::Deserialize<'a>>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(self.body)
    }

    /// The first field of that name in an urlencoded form body, decoded, whatever the `Content-Type`.
    /// `None` also if the body is no UTF-8. Multipart bodies are not read.
    #[doc(alias = "get_body_argument")]
    pub fn form(&self, name: &str) -> Option<String> {
        let body = std::str::from_utf8(self.body).ok()?;
        url::first(body, name).map(Cow::into_owned)
    }

    /// All fields of an urlencoded form body in order, decoded: for names that come several times, as boxes
    /// to be ticked do. None if the body is no UTF-8; of more than 1000 fields the rest is not seen.
    #[doc(alias = "get_body_arguments")]
    pub fn form_pairs(&self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> + use<'a> {
        url::pairs(std::str::from_utf8(self.body).unwrap_or_default())
    }

    /// What has to be kept to show the request later.
    pub(crate) fn keep(&self, raw: &[u8]) -> Kept {
        Kept {
            raw: raw.into(),
            params: self
                .params
                .iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            subprotocol: self.subprotocol.map(str::to_owned),
            transport: self.transport,
            extra: self.extra.cloned(),
        }
    }
}

/// A request that is kept beyond its handshake: its raw head, and what was found out about it.
pub(crate) struct Kept {
    raw: Box<[u8]>,
    params: Box<[(Box<str>, Box<str>)]>,
    subprotocol: Option<String>,
    transport: Option<Transport>,
    extra: Option<Extra>,
}

impl Kept {
    /// Lends the request again.
    pub(crate) fn lend<R>(
        &self,
        peer: Option<SocketAddr>,
        trusted: impl Fn(IpAddr) -> bool,
        f: impl FnOnce(&Request<'_>) -> R,
    ) -> Option<R> {
        let mut slots = head::slots();
        let head = Head::parse(&self.raw, &mut slots).ok()?;
        let client = client(&head, peer, trusted);
        let params = self
            .params
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        let subprotocol = self.subprotocol.as_deref();
        Some(f(&Request {
            head,
            body: &[],
            params,
            peer,
            client,
            subprotocol,
            transport: self.transport,
            endpoint_query: "",
            extra: self.extra.as_ref(),
        }))
    }
}

/// Who is behind a request. A Unix socket counts as a trusted proxy: only this machine can reach it.
pub(crate) fn client<'a>(
    head: &Head<'a>,
    peer: Option<SocketAddr>,
    trusted: impl Fn(IpAddr) -> bool,
) -> Client<'a> {
    let ip = peer.map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.ip());
    let unix = peer.is_none();
    crate::proto::http::forwarded::client(head, ip, |at| (unix && at == ip) || trusted(at))
}
