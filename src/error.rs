//! What can go wrong when a server is set up or run.

use crate::config::ConfigError;
use crate::proto::http::pattern::PatternError;
use std::fmt;
use std::io;

/// Why a server could not be bound or run.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A setting is out of its range.
    Config(ConfigError),
    /// A route's pattern cannot be used.
    Route {
        /// The pattern as it was given.
        pattern: String,
        /// What is wrong with it.
        error: PatternError,
    },
    /// Routes, settings or proxies were added when they were fixed already: after `bind`, or after
    /// another method that has to have them, like `remote` or `every`.
    Late,
    /// The operating system refused.
    Io {
        /// What was being done.
        doing: String,
        /// Its answer.
        error: io::Error,
    },
}

impl Error {
    pub(crate) fn io(doing: impl Into<String>, error: io::Error) -> Self {
        Self::Io {
            doing: doing.into(),
            error,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => write!(f, "{error}"),
            Self::Route { pattern, error } => write!(f, "route {pattern:?}: {error}"),
            Self::Late => {
                f.write_str("routes and settings come before `bind`, `remote` and `every`")
            }
            Self::Io { doing, error } => write!(f, "{doing}: {error}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Config(error) => Some(error),
            Self::Route { error, .. } => Some(error),
            Self::Late => None,
            Self::Io { error, .. } => Some(error),
        }
    }
}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io {
            doing: "event loop".into(),
            error,
        }
    }
}
