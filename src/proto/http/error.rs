//! Why a request was refused, and with which status.
//!
//! Every error of reading ends the connection: nothing is looked for behind a request that was not
//! understood.
//!
//! Not here: mistakes of the application in a response ([`HeaderError`](super::response::HeaderError)).

use std::fmt;

/// Why a request was refused. The peer's doing in every case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A rule of the grammar was broken; the text names it. 400.
    Syntax(&'static str),
    /// The Host field, or what stands in for it, is missing, repeated or malformed. 400.
    Host(&'static str),
    /// It cannot be told for sure where the body ends. 400.
    Framing(&'static str),
    /// The request did not arrive in time. 408.
    Timeout(&'static str),
    /// The route wants a body whose length is known. 411.
    LengthRequired,
    /// The body is over the limit. 413.
    BodyTooLarge,
    /// The request line is over the limit. 414.
    TargetTooLong,
    /// An expectation other than `100-continue`. 417.
    Expectation,
    /// Head or trailers are over a limit; the text names it. 431.
    HeadTooLarge(&'static str),
    /// A method nobody here implements. 501.
    Method,
    /// A transfer coding nobody here implements. 501.
    Coding,
    /// A version of HTTP other than 1.0 and 1.1. 505.
    Version,
}

impl Error {
    /// The status for the peer.
    pub fn status(self) -> u16 {
        match self {
            Self::Syntax(_) | Self::Host(_) | Self::Framing(_) => 400,
            Self::Timeout(_) => 408,
            Self::LengthRequired => 411,
            Self::BodyTooLarge => 413,
            Self::TargetTooLong => 414,
            Self::Expectation => 417,
            Self::HeadTooLarge(_) => 431,
            Self::Method | Self::Coding => 501,
            Self::Version => 505,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(rule) => write!(f, "malformed request: {rule}"),
            Self::Host(rule) => write!(f, "bad host: {rule}"),
            Self::Framing(rule) => write!(f, "unclear body length: {rule}"),
            Self::Timeout(what) => write!(f, "timed out: {what}"),
            Self::LengthRequired => f.write_str("a body length is required"),
            Self::BodyTooLarge => f.write_str("body over the limit"),
            Self::TargetTooLong => f.write_str("request line over the limit"),
            Self::Expectation => f.write_str("unknown expectation"),
            Self::HeadTooLarge(what) => write!(f, "over the limit: {what}"),
            Self::Method => f.write_str("method not implemented"),
            Self::Coding => f.write_str("transfer coding not implemented"),
            Self::Version => f.write_str("http version not supported"),
        }
    }
}

impl std::error::Error for Error {}
