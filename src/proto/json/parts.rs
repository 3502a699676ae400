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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Members<'t> = Result<Vec<(&'t str, &'t str)>, NotJson>;

    fn all(text: &str) -> Members<'_> {
        let mut members = members(text);
        let all = members.by_ref().collect();
        assert!(members.next().is_none(), "{text}");
        all
    }

    #[test]
    fn members_of_objects() {
        #[rustfmt::skip]
        let cases: &[(&str, &[(&str, &str)])] = &[
            ("{}", &[]), (" { } ", &[]), (r#"{"a":1}"#, &[("\"a\"", "1")]),
            (r#"{"a":[1, "}"],"b":{"c":null}}"#, &[("\"a\"", "[1, \"}\"]"), ("\"b\"", "{\"c\":null}")]),
            ("\n{ \"a\" : 1 ,\t\"b\":\"x\" }\r", &[("\"a\"", "1"), ("\"b\"", "\"x\"")]),
            (r#"{"a\"\u0061":1,"":2,"":3}"#, &[("\"a\\\"\\u0061\"", "1"), ("\"\"", "2"), ("\"\"", "3")]),
        ];
        for &(text, want) in cases {
            assert_eq!(all(text).as_deref(), Ok(want), "{text}");
            for cut in (0..text.trim_end().len()).filter(|cut| text.is_char_boundary(*cut)) {
                assert_eq!(all(&text[..cut]), Err(NotJson), "{text}, cut after {cut}");
            }
        }
        #[rustfmt::skip]
        let no_objects = [
            "", " ", "1", "[]", "\"a\"", "{", "}", "{]", "{,}", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{\"a\":1 \"b\":2}",
            "{\"a\":1]", "{\"a\":1}}", "{} x", "{a:1}", "{1:1}", "{,\"a\":1}", "{\"a\",1}", "{\"a\":1,,}", "{\"a\":01}",
        ];
        for text in no_objects {
            assert_eq!(all(text), Err(NotJson), "{text}");
        }
    }

    #[test]
    fn elements_of_arrays() {
        #[rustfmt::skip]
        let cases: &[(&str, &[&str])] = &[
            ("[]", &[]), (" [ ] ", &[]), ("[1]", &["1"]),
            ("[ \"a\" ,[1, 2],{\"b\":\"]\"}\n]", &["\"a\"", "[1, 2]", "{\"b\":\"]\"}"]),
            ("[\"\\\"\",null]", &["\"\\\"\"", "null"]), ("[[[]],[]]", &["[[]]", "[]"]),
            // No arrays.
            ("", &[]), ("1", &[]), ("{\"a\":1}", &[]), ("[1,", &["1"]), ("[,1]", &[]), ("[1 2]", &["1", "2"]),
        ];
        for &(text, want) in cases {
            assert_eq!(elements(text).collect::<Vec<_>>(), want, "{text}");
            for cut in (0..text.len()).filter(|cut| text.is_char_boundary(*cut)) {
                elements(&text[..cut]).for_each(drop);
                elements(&text[cut..]).for_each(drop);
            }
        }
    }

    #[test]
    fn depth() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        for (depth, is_good) in [(127, true), (128, false), (1 << 20, false)] {
            let text = format!("{{\"a\":{}}}", nested(depth));
            assert_eq!(all(&text).is_ok(), is_good, "{depth}");
            assert_eq!(super::super::checked(&text).is_some(), is_good, "{depth}");
        }
    }

    proptest! {
        /// Both ways of checking say the same, and the members are those of serde_json.
        #[test]
        fn half_right_objects(text in "(\\{| |\"a\"|\"b\"|:|,|1|\\[|\\]|\\}|\"k\":true|\"j\":\\[1,2\\]){0,10}") {
            for text in [text.clone(), format!("{{{text}}}")] {
                let checked = super::super::checked(&text).filter(|value| value.starts_with('{'));
                let got = all(&text);
                prop_assert_eq!(got.is_ok(), checked.is_some(), "{}", text);
                let Ok(members) = got else { continue };
                let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
                for (key, value) in members.iter().rev() {
                    let key: String = serde_json::from_str(key).unwrap();
                    prop_assert!(object.contains_key(&key));
                    let value: serde_json::Value = serde_json::from_str(value).unwrap();
                    if members.len() == object.len() {
                        prop_assert_eq!(&object[&key], &value);
                    }
                }
            }
        }

        #[test]
        fn elements_are_those_of_serde_json(values in prop::collection::vec(any::<Option<String>>(), 0..5)) {
            for text in [serde_json::to_string(&values).unwrap(), serde_json::to_string_pretty(&values).unwrap()] {
                let got = elements(&text).map(|element| serde_json::from_str(element).unwrap());
                prop_assert_eq!(got.collect::<Vec<Option<String>>>(), &*values);
            }
        }
    }
}
