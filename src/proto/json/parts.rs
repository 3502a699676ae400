//! What an array or an object is made of.

use super::scan::{DEPTH_MAX, behind_blanks, blanks_end, key_end, value_end, value_end_within};

/// A text is no JSON, or nested too deep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotJson;

/// The elements of `array`, each as the JSON that it is, without blanks around it.
///
/// The text is an array that [`super::checked`] or [`members`] gave. Of any other text some elements
/// may come, or none.
pub fn elements(array: &str) -> Elements<'_> {
    let rest = behind_blanks(array).strip_prefix('[').unwrap_or_default();
    Elements { rest }
}

/// Elements of an array; see [`elements`].
#[derive(Clone, Debug)]
pub struct Elements<'t> {
    /// What is left, up to the bracket and what is behind it.
    rest: &'t str,
}

impl<'t> Iterator for Elements<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<&'t str> {
        let rest = behind_blanks(std::mem::take(&mut self.rest));
        let (element, rest) = rest.split_at(value_end(rest.as_bytes())?);
        self.rest = behind_comma(rest);
        Some(element)
    }
}

/// What follows an element: the next one, or the end.
pub(in crate::proto) fn behind_comma(rest: &str) -> &str {
    let rest = behind_blanks(rest);
    rest.strip_prefix(',').unwrap_or(rest)
}

/// The members of the object that `text` is. The text is checked on the way, with its depth; so the
/// members are those of JSON only if no error comes before the end.
pub fn members(text: &str) -> Members<'_> {
    Members {
        text,
        next: Next::Brace,
    }
}

/// Members of an object: their keys and values, each as the JSON that it is; see [`members`].
#[derive(Clone, Debug)]
pub struct Members<'t> {
    text: &'t str,
    next: Next,
}

#[derive(Clone, Copy, Debug)]
enum Next {
    Brace,
    /// A comma or a brace is at this place, if not a blank.
    Behind(usize),
    Nothing,
}

impl<'t> Iterator for Members<'t> {
    type Item = Result<(&'t str, &'t str), NotJson>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let next = std::mem::replace(&mut self.next, Next::Nothing);
        match self.read(next) {
            Some(None) => None,
            Some(Some(member)) => Some(Ok(member)),
            None => Some(Err(NotJson)),
        }
    }
}

impl<'t> Members<'t> {
    /// `None`: it is no JSON; `Some(None)`: there are no more.
    fn read(&mut self, next: Next) -> Option<Option<(&'t str, &'t str)>> {
        let text = self.text.as_bytes();
        let key = match next {
            Next::Nothing => return Some(None),
            Next::Brace => {
                let at = blanks_end(text, 0);
                if text.get(at)? != &b'{' {
                    return None;
                }
                let at = blanks_end(text, at + 1);
                if text.get(at)? == &b'}' {
                    return self.end(at + 1);
                }
                at
            }
            Next::Behind(at) => {
                let at = blanks_end(text, at);
                match text.get(at)? {
                    b',' => blanks_end(text, at + 1),
                    b'}' => return self.end(at + 1),
                    _ => return None,
                }
            }
        };
        let (key_end, value) = key_end(text, key)?;
        let value = blanks_end(text, value);
        let end = value + value_end_within(&text[value..], DEPTH_MAX - 1)?;
        self.next = Next::Behind(end);
        Some(Some((&self.text[key..key_end], &self.text[value..end])))
    }

    fn end<T>(&self, at: usize) -> Option<Option<T>> {
        (blanks_end(self.text.as_bytes(), at) == self.text.len()).then_some(None)
    }
}
