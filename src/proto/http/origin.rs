//! Which web pages may connect: the policy on the Origin field.
//!
//! Browsers let any page open a WebSocket to any server and send the user's cookies along; the Origin
//! field is what tells the server whose page it was (RFC 6455, 10.2).
//!
//! Not here: the answer 403, the fields of CORS.

use std::fmt;

use super::grammar::is_host;
use super::head::Head;

/// What a request says about where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OriginRequest<'a> {
    /// The value of Origin, or of Sec-WebSocket-Origin.
    pub origin: Option<&'a str>,
    /// There are several origins, or one that is not UTF-8: none of them counts.
    pub several: bool,
    /// The host asked for: [`Head::host`], or what a trusted proxy says instead.
    pub host: &'a str,
    /// The value of Sec-Fetch-Site, which scripts cannot set.
    pub sec_fetch_site: Option<&'a str>,
}

impl<'b> OriginRequest<'b> {
    /// Reads the fields of a head. `host`: as in [`OriginRequest::host`].
    pub fn of(head: &Head<'b>, host: &'b str) -> Self {
        // Drafts 7 and 8 of WebSocket have their own name for the field; who sends both is asked by
        // the common one.
        let mut names = ["origin", "sec-websocket-origin"].iter();
        let name = names.find(|name| head.all(name).next().is_some());
        let mut origins = head.all(name.unwrap_or(&"origin"));
        let first = origins.next();
        let origin = first.and_then(|value| std::str::from_utf8(value).ok());
        Self {
            origin,
            several: origins.next().is_some() || (first.is_some() && origin.is_none()),
            host,
            sec_fetch_site: head.header_str("sec-fetch-site"),
        }
    }
}

/// Whose pages may connect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origins {
    /// Everybody's.
    Any,
    /// Those of the same host and port. The default.
    #[default]
    Same,
    /// Those of the same host and port, and these.
    List(Vec<OriginPattern>),
}

/// The policy of a route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OriginPolicy {
    /// Whose pages may connect.
    pub origins: Origins,
    /// Whether a request without an origin is refused. Browsers always send one with a WebSocket;
    /// other programs need not, and could send any. Default: false.
    pub require_origin: bool,
}

impl OriginPolicy {
    /// Whether the request may go on. The rules in order; the first that fits decides.
    pub fn allows(&self, request: &OriginRequest<'_>) -> bool {
        let list = match &self.origins {
            Origins::Any => return true,
            Origins::Same => &[][..],
            Origins::List(list) => list,
        };
        let site = request.sec_fetch_site.unwrap_or("");
        if site == "same-origin" || site == "none" {
            return true;
        }
        if request.several {
            return false;
        }
        // Browsers leave it out of what needs no answer, as of an image.
        let Some(origin) = request.origin else {
            return !self.require_origin && site != "cross-site";
        };
        // No browser leaves the scheme out; old clients that are none send the host they ask for.
        let is_bare = !origin.is_empty() && origin != "null" && site.is_empty();
        if is_bare && origin.eq_ignore_ascii_case(request.host) {
            return true;
        }
        let Some(origin) = Origin::parse(origin) else {
            return false;
        };
        if site != "cross-site" && origin.is_at(request.host) {
            return true;
        }
        list.iter().any(|pattern| pattern.matches(&origin))
    }
}

/// An origin that may connect: `scheme://host`, `scheme://host:port`, or `scheme://*.host` for all
/// hosts below one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginPattern {
    /// Lower case.
    scheme: String,
    /// Lower case, without port.
    host: String,
    port: Option<u16>,
    subdomains: bool,
}

/// The text is no origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OriginPatternError;

impl fmt::Display for OriginPatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an origin reads scheme://host, with a port or with *. before the host")
    }
}

impl std::error::Error for OriginPatternError {}

impl OriginPattern {
    /// Parses a pattern.
    ///
    /// # Errors
    ///
    /// It has another form than those above.
    pub fn parse(pattern: &str) -> Result<Self, OriginPatternError> {
        let origin = Origin::parse(pattern).ok_or(OriginPatternError)?;
        let below = origin.host.strip_prefix("*.");
        let host = below.unwrap_or(origin.host);
        if host.contains('*') || host.is_empty() {
            return Err(OriginPatternError);
        }
        Ok(Self {
            scheme: origin.scheme.to_ascii_lowercase(),
            host: host.to_ascii_lowercase(),
            port: origin.port,
            subdomains: below.is_some(),
        })
    }

    fn matches(&self, origin: &Origin<'_>) -> bool {
        let host_fits = match self.subdomains {
            false => origin.host.eq_ignore_ascii_case(&self.host),
            true => origin
                .host
                .len()
                .checked_sub(self.host.len())
                .and_then(|at| origin.host.split_at_checked(at))
                .is_some_and(|(below, host)| {
                    below.len() > 1 && below.ends_with('.') && host.eq_ignore_ascii_case(&self.host)
                }),
        };
        host_fits && self.port == origin.port && self.scheme.eq_ignore_ascii_case(origin.scheme)
    }
}

/// An origin taken apart.
struct Origin<'a> {
    scheme: &'a str,
    host: &'a str,
    /// `None` also if it is the default one of the scheme.
    port: Option<u16>,
}

impl<'a> Origin<'a> {
    /// `null` is none.
    fn parse(origin: &'a str) -> Option<Self> {
        let (scheme, authority) = origin.split_once("://")?;
        let is_scheme = !scheme.is_empty()
            && scheme
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
        if !is_scheme {
            return None;
        }
        let (host, port) = split_port(authority, scheme)?;
        Some(Self { scheme, host, port })
    }

    /// Whether it has this host and port. The scheme is left out: behind a proxy nobody knows it.
    fn is_at(&self, host: &str) -> bool {
        split_port(host, self.scheme)
            .is_some_and(|(name, port)| name.eq_ignore_ascii_case(self.host) && port == self.port)
    }
}

/// Host and port; no port if it is the default one of the scheme.
fn split_port<'a>(authority: &'a str, scheme: &str) -> Option<(&'a str, Option<u16>)> {
    if !is_host(authority.as_bytes()) {
        return None;
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (authority, ""),
    };
    if port.is_empty() {
        return Some((host, None));
    }
    let port: u16 = port.parse().ok()?;
    let is_default = DEFAULT_PORTS
        .iter()
        .any(|(s, p)| s.eq_ignore_ascii_case(scheme) && *p == port);
    Some((host, (!is_default).then_some(port)))
}

const DEFAULT_PORTS: [(&str, u16); 4] = [("http", 80), ("https", 443), ("ws", 80), ("wss", 443)];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::http::head::slots;

    fn request<'a>(origin: Option<&'a str>, host: &'a str, site: &'a str) -> OriginRequest<'a> {
        OriginRequest {
            origin,
            several: false,
            host,
            sec_fetch_site: (!site.is_empty()).then_some(site),
        }
    }

    #[test]
    fn same_host() {
        #[rustfmt::skip]
        let cases: &[(Option<&str>, &str, &str, bool)] = &[
            (Some("http://a"),       "a",       "",            true),
            (Some("a:8080"),         "A:8080",  "",            true),
            (Some("a:8080"),         "a:8080",  "cross-site",  false),
            (Some("a:8080"),         "a",       "",            false),
            (Some(""),               "",        "",            false),
            (Some("https://A"),      "a",       "",            true),
            (Some("http://a:80"),    "a",       "",            true),
            (Some("http://a"),       "a:80",    "",            true),
            (Some("https://a"),      "a:443",   "",            true),
            (Some("https://a:443"),  "A",       "",            true),
            (Some("http://a:8080"),  "a:8080",  "",            true),
            (Some("http://[::1]:1"), "[::1]:1", "",            true),
            (Some("http://[::1]"),   "[::1]:80", "",           true),
            (None,                   "a",       "",            true),
            (None,                   "a",       "same-site",   true),
            (None,                   "a",       "cross-site",  false),
            (Some("http://b"),       "a",       "none",        true),
            (Some("http://a"),       "a",       "same-site",   true),
            (Some("http://a"),       "a",       "same-origin", true),
            (Some("http://a"),       "a",       "cross-site",  false),
            (Some("http://b"),       "a",       "same-site",   false),
            (Some("http://b"),       "a",       "",            false),
            (Some("http://a:8080"),  "a",       "",            false),
            (Some("https://a"),      "a:80",    "",            false),
            (Some("http://b.a"),     "a",       "",            false),
            (Some("http://a.b"),     "a",       "",            false),
            (Some("null"),           "a",       "",            false),
            (Some("null"),           "null",    "",            false),
            (Some(""),               "a",       "",            false),
            (Some(""),               "",        "",            false),
            (Some("a"),              "a",       "",            true),
            (Some("http://"),        "",        "",            false),
            (Some("http://a/"),      "a",       "",            false),
            (Some("http://a http://b"), "a",    "",            false),
            (Some("http://b@a"),     "a",       "",            false),
            (Some("http://a:99999"), "a:99999", "",            false),
        ];
        let policy = OriginPolicy::default();
        for &(origin, host, site, want) in cases {
            assert_eq!(
                policy.allows(&request(origin, host, site)),
                want,
                "{origin:?} {host} {site}"
            );
        }
    }

    #[test]
    fn any_and_required() {
        let any = OriginPolicy {
            origins: Origins::Any,
            require_origin: true,
        };
        assert!(any.allows(&request(Some("null"), "a", "cross-site")));
        let required = OriginPolicy {
            origins: Origins::Same,
            require_origin: true,
        };
        assert!(!required.allows(&request(None, "a", "")));
        assert!(required.allows(&request(Some("http://a"), "a", "")));
        let several = OriginRequest {
            several: true,
            ..request(Some("http://a"), "a", "")
        };
        assert!(!OriginPolicy::default().allows(&several));
    }

    #[test]
    fn lists() {
        #[rustfmt::skip]
        let cases: &[(&str, &str, bool)] = &[
            ("https://b",       "https://b",        true),
            ("https://B",       "HTTPS://b:443",    true),
            ("https://b:444",   "https://b:444",    true),
            ("https://*.b",     "https://x.b",      true),
            ("https://*.b",     "https://X.y.B",    true),
            ("https://*.b:444", "https://x.b:444",  true),
            ("app://b",         "app://b",          true),
            ("https://b",       "http://b",         false),
            ("https://b",       "https://b:444",    false),
            ("https://b",       "https://x.b",      false),
            ("https://*.b",     "https://b",        false),
            ("https://*.b",     "https://.b",       false),
            ("https://*.b",     "https://xb",       false),
            ("https://*.b",     "https://x.b.evil", false),
            ("https://*.b",     "http://x.b",       false),
            ("https://*.b",     "https://x.b:444",  false),
            ("https://*.b",     "https://\u{e9}b",  false),
        ];
        for &(pattern, origin, want) in cases {
            let list = vec![OriginPattern::parse(pattern).expect(pattern)];
            let policy = OriginPolicy {
                origins: Origins::List(list),
                require_origin: false,
            };
            let listed = policy.allows(&request(Some(origin), "a", "cross-site"));
            assert_eq!(listed, want, "{pattern} and {origin}");
            assert!(
                policy.allows(&request(Some("http://a"), "a", "")),
                "the same host, too"
            );
        }
        for bad in [
            "",
            "b",
            "null",
            "*",
            "https://*",
            "https://*.",
            "https://b/",
            "https://a.*.b",
            "://b",
        ] {
            assert_eq!(OriginPattern::parse(bad), Err(OriginPatternError), "{bad}");
        }
    }

    #[test]
    fn fields_of_a_head() {
        #[rustfmt::skip]
        let cases: &[(&[u8], Option<&str>, bool)] = &[
            (b"X: y", None, false),
            (b"Origin: http://a", Some("http://a"), false),
            (b"Sec-WebSocket-Origin: http://a", Some("http://a"), false),
            (b"Origin: http://a\r\nOrigin: http://a", Some("http://a"), true),
            (b"Origin: http://a\r\nSec-WebSocket-Origin: http://b", Some("http://a"), false),
            (b"Origin: \xff", None, true),
        ];
        for &(fields, origin, several) in cases {
            let raw = [b"GET / HTTP/1.1\r\nHost: a\r\n", fields, b"\r\n\r\n"].concat();
            let mut slots = slots();
            let head = Head::parse(&raw, &mut slots).unwrap();
            let request = OriginRequest::of(&head, head.host());
            assert_eq!((request.origin, request.several), (origin, several));
        }
    }
}
