//! Patterns of routes: `/rooms/:room/files/*path`.
//!
//! A segment is a literal, `:name` for one segment that is not empty, or, at the end, `*name` for all
//! that remains, which may be nothing. Segments are split before they are decoded: `%2F` is a
//! character of its segment.
//!
//! Not here: which of several patterns wins; methods. A `*name` can hold `..` and slashes that were
//! escaped: it is no file name yet.

use std::borrow::Cow;
use std::fmt;

use super::error::Error;
use super::url::decode_path;

/// Why a pattern is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PatternError {
    /// It does not begin with a slash.
    NoSlash,
    /// `:` or `*` without a name.
    NoName,
    /// Two parameters with the same name.
    SameName,
    /// `*name` is not the last segment.
    RestNotLast,
    /// A folder of files is served there, and no last `*name` says which of them.
    NoRest,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSlash => "a pattern begins with a slash",
            Self::NoName => "a parameter has a name",
            Self::SameName => "two parameters have the same name",
            Self::RestNotLast => "only the last segment can take the rest of the path",
            Self::NoRest => "a folder needs a last segment like `*path`",
        })
    }
}

impl std::error::Error for PatternError {}

/// A parsed pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    segments: Vec<Segment>,
    params: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    /// Decoded.
    Literal(String),
    One(String),
    Rest(String),
}

impl Pattern {
    /// Parses a pattern. Literals are written as they read, not escaped.
    ///
    /// # Errors
    ///
    /// See [`PatternError`].
    pub fn parse(pattern: &str) -> Result<Self, PatternError> {
        let path = pattern.strip_prefix('/').ok_or(PatternError::NoSlash)?;
        let mut segments = Vec::new();
        let mut names: Vec<&str> = Vec::new();
        for text in path.split('/') {
            if matches!(segments.last(), Some(Segment::Rest(_))) {
                return Err(PatternError::RestNotLast);
            }
            let (name, segment): (_, fn(String) -> Segment) = match text.as_bytes() {
                [b':', ..] => (&text[1..], Segment::One),
                [b'*', ..] => (&text[1..], Segment::Rest),
                _ => {
                    segments.push(Segment::Literal(text.to_owned()));
                    continue;
                }
            };
            if name.is_empty() {
                return Err(PatternError::NoName);
            }
            if names.contains(&name) {
                return Err(PatternError::SameName);
            }
            names.push(name);
            segments.push(segment(name.to_owned()));
        }
        Ok(Self {
            segments,
            params: names.len(),
        })
    }

    /// Whether it ends with a `*name`.
    pub fn takes_rest(&self) -> bool {
        matches!(self.segments.last(), Some(Segment::Rest(_)))
    }

    /// Compares with a path as it was sent. `None`: it is another route's.
    ///
    /// # Errors
    ///
    /// Those of [`decode_path`], in the segments compared before the first that differs.
    pub fn matches<'a>(&'a self, path: &'a str) -> Result<Option<Params<'a>>, Error> {
        let Some(mut rest) = path.strip_prefix('/').map(Some) else {
            return Ok(None);
        };
        let mut found = Vec::with_capacity(self.params);
        for segment in &self.segments {
            let Some(text) = rest else { return Ok(None) };
            let (first, behind) = match text.split_once('/') {
                Some((first, behind)) => (first, Some(behind)),
                None => (text, None),
            };
            rest = behind;
            match segment {
                Segment::Literal(literal) if decode_path(first)? == *literal => {}
                Segment::One(name) if !first.is_empty() => {
                    found.push((name.as_str(), decode_path(first)?));
                }
                Segment::Rest(name) => {
                    found.push((name.as_str(), decode_path(text)?));
                    rest = None;
                }
                Segment::Literal(_) | Segment::One(_) => return Ok(None),
            }
        }
        Ok(rest.is_none().then_some(Params { found }))
    }
}

/// The parameters found in a path, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params<'a> {
    found: Vec<(&'a str, Cow<'a, str>)>,
}

impl<'a> FromIterator<(&'a str, &'a str)> for Params<'a> {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(pairs: I) -> Self {
        let found = pairs
            .into_iter()
            .map(|(name, value)| (name, Cow::Borrowed(value)));
        Self {
            found: found.collect(),
        }
    }
}

impl Params<'_> {
    /// The value of a parameter.
    pub fn find(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(n, _)| *n == name)
            .map(|(_, value)| value)
    }

    /// Names and values in the order of the pattern.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.found.iter().map(|(name, value)| (*name, &**value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pattern, a path, and the parameters if they match.
    type Case = (
        &'static str,
        &'static str,
        Option<&'static [(&'static str, &'static str)]>,
    );

    #[test]
    fn matching() {
        #[rustfmt::skip]
        let cases: &[Case] = &[
            ("/",           "/",             Some(&[])),
            ("/",           "/a",            None),
            ("/a",          "/a",            Some(&[])),
            ("/a",          "/%61",          Some(&[])),
            ("/a",          "/A",            None),
            ("/a",          "/a/",           None),
            ("/a/",         "/a/",           Some(&[])),
            ("/a/",         "/a",            None),
            ("/a b",        "/a%20b",        Some(&[])),
            ("/a",          "*",             None),
            ("/a",          "",              None),
            ("/:x",         "/b",            Some(&[("x", "b")])),
            ("/:x",         "/",             None),
            ("/:x",         "/b/c",          None),
            ("/:x",         "/b%2Fc",        Some(&[("x", "b/c")])),
            ("/:x",         "/%C3%A9",       Some(&[("x", "\u{e9}")])),
            ("/a/:x/c/:y",  "/a/b/c/d",      Some(&[("x", "b"), ("y", "d")])),
            ("/a/:x/c/:y",  "/a//c/d",       None),
            ("/:x/",        "/b/",           Some(&[("x", "b")])),
            ("/a/*r",       "/a/",           Some(&[("r", "")])),
            ("/a/*r",       "/a",            None),
            ("/a/*r",       "/a/b/c/",       Some(&[("r", "b/c/")])),
            ("/a/*r",       "/a/%2e%2e/b",   Some(&[("r", "../b")])),
            ("/*r",         "/",             Some(&[("r", "")])),
            ("/:x/*r",      "/b/c/d",        Some(&[("x", "b"), ("r", "c/d")])),
        ];
        for &(pattern, path, want) in cases {
            let pattern = Pattern::parse(pattern).unwrap();
            let found = pattern.matches(path).unwrap();
            let found: Option<Vec<_>> = found.as_ref().map(|params| params.iter().collect());
            assert_eq!(found.as_deref(), want, "{pattern:?} and {path}");
        }
    }

    #[test]
    fn params_by_name() {
        let pattern = Pattern::parse("/:x/:y").unwrap();
        let params = pattern.matches("/1/2").unwrap().unwrap();
        assert_eq!((params.find("y"), params.find("z")), (Some("2"), None));
    }

    #[test]
    fn bad_escapes_are_refused() {
        for (pattern, path) in [
            ("/:x", "/%"),
            ("/*r", "/a/%zz"),
            ("/a", "/%00"),
            ("/:x", "/%ff"),
        ] {
            let refused = Pattern::parse(pattern).unwrap().matches(path).map(|_| ());
            assert_eq!(refused.map_err(Error::status), Err(400), "{path}");
        }
    }

    #[test]
    fn bad_patterns() {
        #[rustfmt::skip]
        let cases = [
            ("", PatternError::NoSlash), ("a", PatternError::NoSlash), ("/:", PatternError::NoName),
            ("/*", PatternError::NoName), ("/:a/:a", PatternError::SameName),
            ("/:a/*a", PatternError::SameName), ("/*a/b", PatternError::RestNotLast),
        ];
        for (pattern, want) in cases {
            assert_eq!(Pattern::parse(pattern), Err(want), "{pattern}");
        }
    }

    #[test]
    fn fixed_patterns_allocate_nothing_to_match() {
        let pattern = Pattern::parse("/a/b").unwrap();
        let params = pattern.matches("/a/b").unwrap().unwrap();
        assert_eq!(params.found.capacity(), 0);
    }
}
