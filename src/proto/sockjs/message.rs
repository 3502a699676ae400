//! What clients send: a JSON array of strings, on a WebSocket also one string alone.
//!
//! The whole text is checked before the first message is handed on, in one pass that neither allocates
//! nor recurses; and for a lone surrogate, which is legal JSON for browsers, U+FFFD comes out.
//!
//! Not here: frames, which only the server sends (`frame.rs`).

use std::borrow::Cow;

use crate::proto::http::url;
use crate::proto::json;

/// Why what a client sent is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// Nothing was sent.
    Empty,
    /// No JSON, or nested too deep.
    Json,
    /// JSON, but not of the right type.
    NotArray,
}

impl Broken {
    /// The body of the 500.
    pub fn text(self) -> &'static str {
        match self {
            Self::Empty | Self::NotArray => "Payload expected.",
            Self::Json => "Broken JSON encoding.",
        }
    }
}

/// The messages of one text, taken out one after the other by [`Messages::next`].
#[derive(Clone, Debug)]
pub struct Messages<'t> {
    /// The only message, if it can be told at once.
    plain: Option<&'t str>,
    /// Checked JSON: the members that are left, up to the bracket and what is behind it; or one
    /// string; or nothing.
    rest: &'t str,
}

/// Checks `text` and gives its messages: the members of an array.
///
/// # Errors
///
/// No text; no JSON, or more than 128 levels of it; no array.
pub fn array(text: &str) -> Result<Messages<'_>, Broken> {
    if let Some(message) = only_plain(text) {
        return Ok(Messages::plain(message));
    }
    if text.is_empty() {
        return Err(Broken::Empty);
    }
    let rest = json::checked(text)
        .ok_or(Broken::Json)?
        .strip_prefix('[')
        .ok_or(Broken::NotArray)?;
    Ok(Messages::checked(rest))
}

/// Checks the text of a WebSocket message and gives its messages: the members of an array, or a string
/// alone; none if the text is empty.
///
/// # Errors
///
/// Any other text.
pub fn websocket(text: &str) -> Result<Messages<'_>, Broken> {
    if let Some(message) = only_plain(text) {
        return Ok(Messages::plain(message));
    }
    if text.is_empty() {
        return Ok(Messages::checked(text));
    }
    let checked = json::checked(text).ok_or(Broken::Json)?;
    match checked.as_bytes() {
        [b'[', ..] => Ok(Messages::checked(&checked[1..])),
        [b'"', ..] => Ok(Messages::checked(checked)),
        _ => Err(Broken::NotArray),
    }
}

/// The message in an array of one, without escapes and blanks around it: what clients send most.
fn only_plain(text: &str) -> Option<&str> {
    let inner = text.strip_prefix("[\"")?;
    let (message, rest) = inner.split_at(json::plain_end(inner.as_bytes(), 0));
    (rest == "\"]").then_some(message)
}

/// The messages in the body of a `jsonp_send`, still to be given to [`array()`]: field `d` if it is a
/// form, else the body itself.
///
/// # Errors
///
/// [`Broken::Empty`] if there is no such field or no body; [`Broken::Json`] if it is not UTF-8.
pub fn send_body<'b>(content_type: Option<&str>, body: &'b [u8]) -> Result<Cow<'b, str>, Broken> {
    let body = std::str::from_utf8(body).map_err(|_| Broken::Json)?;
    let text = match content_type.is_some_and(is_form) {
        true => url::form_value(body, "d")
            .ok_or(Broken::Empty)?
            .map_err(|_| Broken::Json)?,
        false => Cow::Borrowed(body),
    };
    match text.is_empty() {
        true => Err(Broken::Empty),
        false => Ok(text),
    }
}

fn is_form(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default();
    media_type.trim_ascii().eq_ignore_ascii_case(FORM)
}

impl<'t> Messages<'t> {
    /// Whether there are more than `max`.
    pub fn are_more_than(&self, max: usize) -> bool {
        // The shortest is two quotes and a comma: texts of usual length are not gone through.
        if self.rest.len() / 3 < max {
            return false;
        }
        let (mut all, mut scratch) = (self.clone(), String::new());
        (0..=max).all(|_| all.next(&mut scratch).is_some())
    }

    /// The text that the messages that are left stand in, for [`Self::left`]; empty if there are none.
    pub fn rest(&self) -> &'t str {
        match json::behind_blanks(self.rest).starts_with(']') {
            true => "",
            false => self.rest,
        }
    }

    /// The messages that were left.
    pub fn left(rest: &'t str) -> Self {
        Self::checked(rest)
    }

    fn plain(message: &'t str) -> Self {
        Self {
            plain: Some(message),
            rest: "",
        }
    }

    fn checked(rest: &'t str) -> Self {
        Self { plain: None, rest }
    }

    /// The next message: borrowed from the text if nothing in it was escaped, else decoded into
    /// `scratch`. A member that is no string is given as the JSON that it is.
    pub fn next<'s>(&mut self, scratch: &'s mut String) -> Option<&'s str>
    where
        't: 's,
    {
        if let Some(message) = self.plain.take() {
            return Some(message);
        }
        let rest = json::behind_blanks(self.rest);
        let inner = match rest.as_bytes().first()? {
            b'"' => &rest[1..],
            b']' => return None,
            _ => return self.next_json(),
        };
        let at = memchr::memchr2(b'"', b'\\', inner.as_bytes())?;
        let (plain, tail) = inner.split_at(at);
        if let Some(rest) = tail.strip_prefix('"') {
            self.rest = json::behind_comma(rest);
            return Some(plain);
        }
        scratch.clear();
        self.rest = json::behind_comma(json::decode(inner, scratch)?);
        Some(scratch)
    }

    #[cold]
    fn next_json(&mut self) -> Option<&'t str> {
        let rest = json::behind_blanks(self.rest);
        let (json, rest) = rest.split_at(json::value_end(rest.as_bytes())?);
        self.rest = json::behind_comma(rest);
        Some(json)
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_core::de::IgnoredAny;

    use super::*;

    /// All messages, which are the same if each is taken out of what the one before has left.
    fn all(messages: Messages<'_>) -> Vec<String> {
        let mut scratch = String::from("old");
        let mut one_by_one = Vec::new();
        let mut left = messages.clone();
        while let Some(message) = left.next(&mut scratch) {
            one_by_one.push(message.to_owned());
            left = Messages::left(left.rest());
        }
        let mut messages = messages;
        let mut all = Vec::new();
        while let Some(message) = messages.next(&mut scratch) {
            all.push(message.to_owned());
        }
        assert_eq!(messages.next(&mut scratch), None);
        assert_eq!(messages.rest(), "");
        assert_eq!(one_by_one, all);
        all
    }

    /// What both give, and nothing panics at any cut.
    fn read(text: &str) -> [Result<Vec<String>, Broken>; 2] {
        for cut in (0..text.len()).filter(|cut| text.is_char_boundary(*cut)) {
            for part in [&text[..cut], &text[cut..]] {
                for read in [array, websocket] {
                    read(part).map(all).ok();
                }
            }
        }
        [array(text).map(all), websocket(text).map(all)]
    }

    #[test]
    fn how_many() {
        let of = |count: usize| format!("[{}1]", "\"\",".repeat(count - 1));
        for count in 1..20 {
            let text = of(count);
            let messages = array(&text).unwrap();
            for max in 0..20 {
                assert_eq!(messages.are_more_than(max), count > max, "{count} {max}");
            }
        }
    }

    #[test]
    fn arrays() {
        #[rustfmt::skip]
        let cases: &[(&str, &[&str])] = &[
            ("[]", &[]), (" [ ] ", &[]), ("[\"\"]", &[""]), (r#"["a"]"#, &["a"]),
            (r#"["m1","m2"]"#, &["m1", "m2"]), ("\r\n[\t\"a\" , \"b\"\n]\r ", &["a", "b"]),
            (r#"["20 plain bytes and."]"#, &["20 plain bytes and."]),
            (r#"["é€😀","\u00e9\u20AC\ud83d\ude00"]"#, &["é€😀", "é€😀"]),
            (r#"["\"\\\/\b\f\n\r\t\u0000"]"#, &["\"\\/\u{8}\u{c}\n\r\t\0"]),
            (r#"["a\\"]"#, &["a\\"]), (r#"["\\\"","]"]"#, &["\\\"", "]"]),
            (r#"["a\u0062c","plain","\u0064"]"#, &["abc", "plain", "d"]),
            ("[\"\u{7f}\u{80}\u{2028}\u{fffd}\"]", &["\u{7f}\u{80}\u{2028}\u{fffd}"]),
            // Lone surrogates.
            (r#"["\ud800"]"#, &["\u{fffd}"]), (r#"["\udc00"]"#, &["\u{fffd}"]),
            (r#"["\ud800 lone \udc00"]"#, &["\u{fffd} lone \u{fffd}"]),
            (r#"["\ude00\ud83d"]"#, &["\u{fffd}\u{fffd}"]), (r#"["\ud83d\u0041"]"#, &["\u{fffd}A"]),
            (r#"["\ud83d\n"]"#, &["\u{fffd}\n"]), (r#"["\uDBFF\uDFFF"]"#, &["\u{10ffff}"]),
            (r#"["\ud83d\ud83d\ude00"]"#, &["\u{fffd}😀"]), (r#"["\ud83dé"]"#, &["\u{fffd}é"]),
            // Members that are no strings.
            ("[1,null]", &["1", "null"]), ("[true , false]", &["true", "false"]),
            ("[ -0.5e+10 ]", &["-0.5e+10"]), ("[0,10,1E2,0.0e-1]", &["0", "10", "1E2", "0.0e-1"]),
            (r#"[{"a":[1, "]"]} ,"b"]"#, &[r#"{"a":[1, "]"]}"#, "b"]),
            (r#"[[],{},[[]],[{}] ]"#, &["[]", "{}", "[[]]", "[{}]"]),
            (r#"[{ "a" : 1 , "a" : { } }]"#, &[r#"{ "a" : 1 , "a" : { } }"#]),
            (r#"[["\ud800"]]"#, &[r#"["\ud800"]"#]), ("[1e999]", &["1e999"]),
        ];
        for &(text, want) in cases {
            for got in read(text) {
                assert_eq!(
                    got.as_deref(),
                    Ok(&*want.iter().map(|m| m.to_string()).collect::<Vec<_>>()),
                    "{text}"
                );
            }
            let got = serde_json::from_str::<IgnoredAny>(text).is_ok();
            assert!(got, "{text}");
        }
    }

    #[test]
    fn no_json() {
        #[rustfmt::skip]
        let cases = [
            " ", "\u{feff}[]", "\u{a0}[]", "[", "]", "[,]", "[\"a\",]", "[,\"a\"]", "[\"a\"\"b\"]", "[\"a\" \"b\"]",
            "[\"a\"}", "[\"a\"]]", "[\"a\"] x", "[\"a\"],", "[][]", "[]\0", "\"", "\"a", "\"a\"\"b\"", "\"a\",",
            "'a'", "['a']", "[a]", "[\"a]", "[\"a\\\"]", "[\"\\x\"]", "[\"\\", "[\"\\u", "[\"\\u12\"]",
            "[\"\\u123g\"]", "[\"\\u+123\"]", "[\"\\ud83d\\u\"]", "[\"\\U0041\"]", "[\"\t\"]", "[\"\n\"]",
            "[\"\0\"]", "[\"1234567\u{1f}\"]", "[\"12345678\u{1f}\"]", "[\"a\u{1f}1234567\"]",
            "[01]", "[1.]", "[.1]", "[+1]", "[-]", "[1e]", "[1e+]", "[0x1]", "[1 2]", "[--1]", "[NaN]",
            "[Infinity]", "[tru]", "[truely]", "[nul", "[undefined]", "[True]",
            "{", "}", "{]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{1:2}", "{a:1}", "{,}", "{\"a\" 1}",
            "{\"a\":1 \"b\":2}", "{\"a\":1]", "[{\"a\":1]}", "[/**/]", "[1,//\n2]",
        ];
        for text in cases {
            assert_eq!(
                read(text),
                [Err(Broken::Json), Err(Broken::Json)],
                "{text:?}"
            );
            let got = serde_json::from_str::<IgnoredAny>(text).is_err();
            assert!(got, "{text:?}");
        }
    }

    #[test]
    fn no_array() {
        for text in ["{}", "{\"a\":[]}", "1", " -1.5 ", "null", "true", "false"] {
            let want = Err(Broken::NotArray);
            assert_eq!(read(text), [want.clone(), want], "{text}");
        }
        for (text, want) in [
            ("\"\"", ""),
            (" \"a\" ", "a"),
            ("\"[\\\"a\\\"]\"", "[\"a\"]"),
        ] {
            let want = Ok(vec![want.to_owned()]);
            assert_eq!(read(text), [Err(Broken::NotArray), want], "{text}");
        }
        assert_eq!(read(""), [Err(Broken::Empty), Ok(Vec::new())]);
    }

    #[test]
    fn texts_of_refusals() {
        assert_eq!(Broken::Empty.text(), "Payload expected.");
        assert_eq!(Broken::Json.text(), "Broken JSON encoding.");
        assert_eq!(Broken::NotArray.text(), "Payload expected.");
    }

    #[test]
    fn depth() {
        let deepest = json::DEPTH_MAX as usize;
        assert_eq!(deepest, 128);
        // Each so many levels one is an object; the outermost never.
        for objects in [1, 2, 3, usize::MAX] {
            let nested = |depth: usize| {
                let inner = (1..depth).fold("1".to_owned(), |inner, n| match n % objects {
                    0 => format!("{{\"a\":{inner}}}"),
                    _ => format!("[{inner}]"),
                });
                (format!("[{inner}]"), inner)
            };
            let (text, inner) = nested(deepest);
            assert_eq!(array(&text).map(all), Ok(vec![inner]), "{text}");
            let (text, _) = nested(deepest + 1);
            assert_eq!(array(&text).map(all), Err(Broken::Json), "{text}");
        }
        // Side by side they count once.
        let wide = format!("[{}1]", "[[]],".repeat(1000));
        assert_eq!(array(&wide).map(all).unwrap().len(), 1001);
        let far = 1 << 20;
        assert_eq!(array(&"[".repeat(far)).map(all), Err(Broken::Json));
        assert_eq!(array(&"{\"\":".repeat(far)).map(all), Err(Broken::Json));
    }

    #[test]
    fn borrowed_unless_escaped() {
        let text = String::from(r#"["plain","esc\u0061ped",1]"#);
        let mut messages = array(&text).unwrap();
        let mut scratch = String::from("old");
        let bounds = text.as_bytes().as_ptr_range();
        for borrowed in [true, false, true] {
            let message = messages.next(&mut scratch).unwrap();
            assert_eq!(bounds.contains(&message.as_ptr()), borrowed, "{message}");
        }
        assert_eq!(scratch, "escaped");
    }

    #[test]
    fn bodies() {
        let form = Some("application/x-www-form-urlencoded");
        let charset = Some(" Application/X-WWW-Form-urlencoded ; charset=UTF-8");
        let plain = Some("text/plain;application/x-www-form-urlencoded");
        type Body = Result<&'static str, Broken>;
        #[rustfmt::skip]
        let cases: &[(Option<&str>, &[u8], Body)] = &[
            (form, b"d=%5B%22x%22%5D", Ok("[\"x\"]")), (charset, b"d=%5B%22x%22%5D", Ok("[\"x\"]")),
            (form, b"d=[\"x\"]", Ok("[\"x\"]")), (form, b"a=1&d=[\"%61+b%2B\"]&d=2", Ok("[\"a b+\"]")),
            (form, b"%64=1", Ok("1")), (form, b"d=a=b", Ok("a=b")), (form, b"d=%c3%a9", Ok("\u{e9}")),
            (form, b"d=\xc3\xa9", Ok("\u{e9}")), (form, b"d=%zz", Ok("%zz")), (form, b"&&d=1&", Ok("1")),
            (form, b"", Err(Broken::Empty)), (form, b"d", Err(Broken::Empty)), (form, b"d=", Err(Broken::Empty)),
            (form, b"d=&d=1", Err(Broken::Empty)), (form, b"D=1", Err(Broken::Empty)),
            (form, b"[\"x\"]", Err(Broken::Empty)), (form, b"dd=1", Err(Broken::Empty)),
            (form, b"d=%ff", Err(Broken::Json)), (form, b"d=%ed%a0%80", Err(Broken::Json)),
            (form, b"d=\xff", Err(Broken::Json)),
            (plain, b"[\"%61bc\"]", Ok("[\"%61bc\"]")), (None, b"[\"%61bc\"]", Ok("[\"%61bc\"]")),
            (plain, b"d=%5B%5D", Ok("d=%5B%5D")), (None, b"", Err(Broken::Empty)),
            (Some(""), b"[]", Ok("[]")), (None, b"\xff", Err(Broken::Json)), (None, b"[\"\xc3", Err(Broken::Json)),
        ];
        for &(content_type, body, want) in cases {
            let got = send_body(content_type, body);
            let shown = body.escape_ascii();
            assert_eq!(got.as_deref(), want.as_deref(), "{shown}");
            for cut in 0..body.len() {
                send_body(content_type, &body[..cut]).ok();
                send_body(content_type, &body[cut..]).ok();
            }
        }
        let many = format!("{}d=[]", "a&".repeat(5000));
        assert_eq!(send_body(form, many.as_bytes()).as_deref(), Ok("[]"));
    }

    /// Strings of each length up to some words, plain and with one byte that is not, at each place.
    #[test]
    fn strings_of_any_length() {
        for len in 0..40 {
            let plain = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"[..len].to_owned();
            for text in [format!("[\"{plain}\"]"), format!(" [\"{plain}\" ]")] {
                assert_eq!(array(&text).map(all), Ok(vec![plain.clone()]), "{text}");
            }
            for at in 0..len {
                for (put, want) in [
                    ("\\n", Some("\n")),
                    ("é", Some("é")),
                    ("\n", None),
                    ("\"", None),
                ] {
                    let with = |put| format!("{}{put}{}", &plain[..at], &plain[at..]);
                    let text = format!("[\"{}\"]", with(put));
                    let want = want.map(|want| vec![with(want)]).ok_or(Broken::Json);
                    assert_eq!(array(&text).map(all), want, "{text}");
                }
            }
        }
    }

    /// Bits of JSON in any order: half-right texts, and right ones now and then.
    fn json_like() -> impl Strategy<Value = String> {
        let bits = prop::sample::select(vec![
            "[",
            "]",
            "[",
            "]",
            "{",
            "}",
            ",",
            ",",
            ":",
            "\"",
            "\"a\"",
            "\"k\":",
            "\"\\u12Ef\"",
            "\\",
            "\\u",
            "\\\"",
            "d83d",
            "\\ud83d",
            "\\ude00",
            "1",
            "0",
            "-",
            ".",
            "e",
            "E+",
            "true",
            "null",
            "fals",
            " ",
            "\n",
            "é",
            "\u{1}",
            "abcdefgh",
            "[1]",
            "{\"a\":2}",
        ]);
        prop::collection::vec(bits, 0..14).prop_map(|bits| bits.concat())
    }

    /// Right JSON, nested a little.
    fn json() -> impl Strategy<Value = serde_json::Value> {
        use serde_json::Value;
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<i32>().prop_map(|n| Value::from(f64::from(n) / 8.0)),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((any::<String>(), inner), 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Valid is what serde_json takes when it does not look into strings.
        #[test]
        fn half_right_texts(text in json_like()) {
            for text in [text.clone(), format!("[{text}]"), format!("[\"{text}\"]")] {
                let valid = serde_json::from_str::<IgnoredAny>(&text).is_ok();
                prop_assert_eq!(json::checked(&text).is_some(), valid, "{}", text);
                let [array, websocket] = read(&text);
                prop_assert!(valid || array.is_err());
                if array.is_ok() {
                    prop_assert_eq!(array, websocket);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn right_texts(members in prop::collection::vec(json(), 0..4)) {
            let want = members.iter().map(|member| match member.as_str() {
                Some(text) => text.to_owned(),
                None => serde_json::to_string(member).unwrap(),
            });
            let want: Vec<String> = want.collect();
            let compact = serde_json::to_string(&members).unwrap();
            prop_assert_eq!(array(&compact).map(all), Ok(want));
            let pretty = serde_json::to_string_pretty(&members).unwrap();
            let got = array(&pretty).map(all).unwrap();
            prop_assert_eq!(got.len(), members.len());
            for (got, member) in got.iter().zip(&members) {
                match member.as_str() {
                    Some(text) => prop_assert_eq!(got, text),
                    None => prop_assert_eq!(&serde_json::from_str::<serde_json::Value>(got).unwrap(), member),
                }
            }
        }
    }
}
