//! Cross-origin requests (the Fetch standard, "CORS protocol"): which pages of other origins may
//! read an answer.

use super::request::Request;
use super::response::Response;
use crate::proto::http::origin::{OriginPolicy, OriginRequest, Origins};
use crate::proto::http::response::push_field;
use std::time::Duration;

/// Adds the headers that let pages of other origins read an answer.
///
/// ```
/// use dustdevil::{Cors, Origins, Response, Route};
/// use std::rc::Rc;
///
/// let cors = Rc::new(Cors { origins: Origins::Any, ..Cors::default() });
/// let preflight = Rc::clone(&cors);
/// let routes = dustdevil::Routes::<()>::new()
///     .route(Route::get("/api", move |req, _, reply| {
///         reply.send(cors.apply(req, Response::text("hello")));
///     }))
///     .route(Route::options("/api", move |req, _, reply| reply.send(preflight.preflight(req))));
/// ```
#[derive(Clone, Debug)]
pub struct Cors {
    /// Which origins. Default: [`Origins::Same`], which adds nothing.
    pub origins: Origins,
    /// Whether cookies may come along. The origin is echoed then, never `*`: with [`Origins::Any`] every
    /// page of the world can act as your users. Default: false.
    pub credentials: bool,
    /// What a preflight allows. Default: GET, HEAD and POST.
    pub methods: Vec<String>,
    /// Request headers a preflight allows; empty: those it asks for. Default: empty.
    pub headers: Vec<String>,
    /// Headers of the answer that the page may read. Default: none beyond the standard's.
    pub exposed: Vec<String>,
    /// How long a browser may keep the answer to a preflight, in whole seconds. Zero: not said.
    /// Default: 0.
    pub max_age: Duration,
}

impl Default for Cors {
    fn default() -> Self {
        let methods = ["GET", "HEAD", "POST"].map(str::to_owned).to_vec();
        let (headers, exposed, max_age) = Default::default();
        Self {
            origins: Origins::Same,
            credentials: false,
            methods,
            headers,
            exposed,
            max_age,
        }
    }
}

impl Cors {
    /// Adds what the request's origin is owed. `Vary: Origin` comes with every answer that depends
    /// on it.
    pub fn apply<'r>(&self, req: &Request<'_>, response: Response<'r>) -> Response<'r> {
        let any = matches!(self.origins, Origins::Any) && !self.credentials;
        let response = if any {
            response
        } else {
            response.header("Vary", "Origin")
        };
        let Some(origin) = self.allowed(req) else {
            return response;
        };
        let allowed = if any { "*" } else { origin };
        let mut response = response.header("Access-Control-Allow-Origin", allowed);
        if self.credentials {
            response = response.header("Access-Control-Allow-Credentials", "true");
        }
        if !self.exposed.is_empty() {
            response = response.header("Access-Control-Expose-Headers", &self.exposed.join(", "));
        }
        response
    }

    /// Answers a preflight: 204, and what is allowed if the origin is.
    pub fn preflight(&self, req: &Request<'_>) -> Response<'static> {
        let mut response = self.apply(req, Response::new(204));
        if self.allowed(req).is_none() {
            return response;
        }
        response = response.header("Access-Control-Allow-Methods", &self.methods.join(", "));
        let asked = req.header("Access-Control-Request-Headers").unwrap_or("");
        if !self.headers.is_empty() {
            response = response.header("Access-Control-Allow-Headers", &self.headers.join(", "));
        } else if !asked.is_empty() {
            response = response
                .header("Access-Control-Allow-Headers", asked)
                .header("Vary", "Access-Control-Request-Headers");
        }
        if !self.max_age.is_zero() {
            let seconds = self.max_age.as_secs().to_string();
            response = response.header("Access-Control-Max-Age", &seconds);
        }
        response
    }

    /// The request's origin, if it is one of ours.
    fn allowed<'a>(&self, req: &Request<'a>) -> Option<&'a str> {
        let from = OriginRequest {
            sec_fetch_site: None,
            ..OriginRequest::of(&req.head, req.host())
        };
        let policy = OriginPolicy {
            origins: self.origins.clone(),
            require_origin: false,
        };
        from.origin.filter(|_| policy.allows(&from))
    }
}

/// Adds a header. Values that come from the request were checked when it was parsed; one that is not
/// allowed in an answer all the same is left out.
pub(super) fn put(lines: &mut Vec<u8>, name: &str, value: &str) {
    if let Err(error) = push_field(lines, name, value) {
        log::debug!("header {name:?} is left out: {error}");
    }
}

/// One word, of visible characters: more than that no browser sends.
pub(super) fn is_origin(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Names of headers and what may stand between them (RFC 9110, 5.6).
pub(super) fn is_field_names(value: &str) -> bool {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~, ".contains(&byte);
    !value.is_empty() && value.bytes().all(is_good)
}
