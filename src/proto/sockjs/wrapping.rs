//! How a frame is put into an HTTP answer.
//!
//! On htmlfile and JSONP the frame becomes a string of a script: `<` is written as `\u003c` in it, or
//! a message with `</script>` could end the script and go on as a page of the server's origin.
//!
//! Not here: chunks, and when an answer ends.

use super::{Profile, page};

/// What stands around each frame of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrapping {
    /// A poll: a frame and a line feed.
    Xhr,
    /// A stream of such lines.
    XhrStreaming,
    /// A stream of events.
    EventSource,
    /// A stream of scripts in a page; the callback.
    HtmlFile(Box<str>),
    /// A poll: a call of the callback.
    Jsonp(Box<str>),
}

impl Wrapping {
    /// Whether the answer ends with its first frame.
    pub fn is_polling(&self) -> bool {
        matches!(self, Self::Xhr | Self::Jsonp(_))
    }

    /// Appends what comes before the first frame; nothing on polls.
    pub fn prelude(&self, out: &mut Vec<u8>) {
        match self {
            Self::Xhr | Self::Jsonp(_) => {}
            Self::XhrStreaming => {
                out.resize(out.len() + XHR_STREAMING_PRELUDE, b'h');
                out.push(b'\n');
            }
            Self::EventSource => out.extend_from_slice(b"\r\n"),
            Self::HtmlFile(callback) => page::htmlfile(out, callback),
        }
    }

    /// Appends `frame`, wrapped.
    ///
    /// The frame is one of [`super::frame`]: UTF-8, without control characters, U+2028 and U+2029.
    pub fn wrap(&self, frame: &[u8], profile: Profile, out: &mut Vec<u8>) {
        // Enough for all that is put around it, if nothing in it is escaped.
        out.reserve(frame.len() + 64);
        match self {
            Self::Xhr | Self::XhrStreaming => {
                out.extend_from_slice(frame);
                out.push(b'\n');
            }
            Self::EventSource => {
                out.extend_from_slice(b"data: ");
                push_percent_escaped(out, frame);
                out.extend_from_slice(b"\r\n\r\n");
            }
            Self::HtmlFile(_) => {
                out.extend_from_slice(b"<script>\np(");
                push_script_string(out, frame);
                out.extend_from_slice(b");\n</script>\r\n");
            }
            Self::Jsonp(callback) => {
                // So that the answer cannot begin with bytes of the client's choice.
                if profile == Profile::Current {
                    out.extend_from_slice(b"/**/");
                }
                out.extend_from_slice(callback.as_bytes());
                out.push(b'(');
                push_script_string(out, frame);
                out.extend_from_slice(b");\r\n");
            }
        }
    }

    /// The `Content-Type` of the answer.
    pub fn content_type(&self, profile: Profile) -> &'static str {
        match (self, profile) {
            (Self::Xhr | Self::XhrStreaming | Self::Jsonp(_), _) => {
                "application/javascript; charset=UTF-8"
            }
            (Self::EventSource, Profile::Current) => "text/event-stream",
            (Self::EventSource, Profile::V033) => "text/event-stream; charset=UTF-8",
            (Self::HtmlFile(_), _) => "text/html; charset=UTF-8",
        }
    }

    /// The transport's name, as in its path.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Xhr => "xhr",
            Self::XhrStreaming => "xhr_streaming",
            Self::EventSource => "eventsource",
            Self::HtmlFile(_) => "htmlfile",
            Self::Jsonp(_) => "jsonp",
        }
    }
}

/// Checks the callback of an htmlfile or JSONP request: parameter `c`, decoded.
///
/// # Errors
///
/// The body of the 500: none was given, or it has a character outside of `[a-zA-Z0-9-_.]` or more than
/// `bytes_max` bytes.
pub fn callback(value: Option<&str>, bytes_max: usize) -> Result<&str, &'static str> {
    let value = value.unwrap_or_default();
    if value.is_empty() {
        return Err("\"callback\" parameter required");
    }
    let is_good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    match value.len() <= bytes_max && value.bytes().all(is_good) {
        true => Ok(value),
        false => Err("invalid \"callback\" parameter"),
    }
}

/// Clients undo escapes of URLs, and break at a bare percent sign.
fn push_percent_escaped(out: &mut Vec<u8>, frame: &[u8]) {
    let mut rest = frame;
    while let Some(at) = memchr::memchr(b'%', rest) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(b"%25");
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

/// The frame as a string of JavaScript, with its quotes.
fn push_script_string(out: &mut Vec<u8>, frame: &[u8]) {
    out.push(b'"');
    let mut rest = frame;
    while let Some(at) = memchr::memchr3(b'"', b'\\', b'<', rest) {
        out.extend_from_slice(&rest[..at]);
        match rest[at] {
            b'<' => out.extend_from_slice(b"\\u003c"),
            byte => out.extend_from_slice(&[b'\\', byte]),
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// How many times `h` the prelude of xhr_streaming has.
const XHR_STREAMING_PRELUDE: usize = 2048;
/// The longest callback of jsonp, in bytes.
pub const CALLBACK_BYTES_MAX: usize = 32;
/// The longest callback of htmlfile, whose answer is no script that could be taken for something else.
pub const HTMLFILE_CALLBACK_BYTES_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::frame;
    use super::*;

    fn all() -> [Wrapping; 5] {
        [
            Wrapping::Xhr,
            Wrapping::XhrStreaming,
            Wrapping::EventSource,
            Wrapping::HtmlFile("cb".into()),
            Wrapping::Jsonp("callback".into()),
        ]
    }

    fn wrapped(wrapping: &Wrapping, frame: &str, profile: Profile) -> String {
        let mut out = b"|".to_vec();
        wrapping.wrap(frame.as_bytes(), profile, &mut out);
        String::from_utf8(out).unwrap().split_off(1)
    }

    #[test]
    fn frames() {
        #[rustfmt::skip]
        let cases: &[(&str, [&str; 4])] = &[
            ("o", [
                "o\n", "data: o\r\n\r\n", "<script>\np(\"o\");\n</script>\r\n",
                "/**/callback(\"o\");\r\n",
            ]),
            (r#"a["x"]"#, [
                "a[\"x\"]\n", "data: a[\"x\"]\r\n\r\n", "<script>\np(\"a[\\\"x\\\"]\");\n</script>\r\n",
                "/**/callback(\"a[\\\"x\\\"]\");\r\n",
            ]),
            (r#"a["100%","%25%"]"#, [
                "a[\"100%\",\"%25%\"]\n", "data: a[\"100%25\",\"%2525%25\"]\r\n\r\n",
                "<script>\np(\"a[\\\"100%\\\",\\\"%25%\\\"]\");\n</script>\r\n",
                "/**/callback(\"a[\\\"100%\\\",\\\"%25%\\\"]\");\r\n",
            ]),
            (r#"a["\n</script>é"]"#, [
                "a[\"\\n</script>é\"]\n", "data: a[\"\\n</script>é\"]\r\n\r\n",
                "<script>\np(\"a[\\\"\\\\n\\u003c/script>é\\\"]\");\n</script>\r\n",
                "/**/callback(\"a[\\\"\\\\n\\u003c/script>é\\\"]\");\r\n",
            ]),
            (r#"c[3000,"Go away!"]"#, [
                "c[3000,\"Go away!\"]\n", "data: c[3000,\"Go away!\"]\r\n\r\n",
                "<script>\np(\"c[3000,\\\"Go away!\\\"]\");\n</script>\r\n",
                "/**/callback(\"c[3000,\\\"Go away!\\\"]\");\r\n",
            ]),
        ];
        for &(frame, [line, event, script, call]) in cases {
            let want = [line, line, event, script, call];
            for (wrapping, want) in all().iter().zip(want) {
                let name = wrapping.name();
                let got = wrapped(wrapping, frame, Profile::Current);
                assert_eq!(got, want, "{name} of {frame}");
                let want = want.trim_start_matches("/**/");
                let got = wrapped(wrapping, frame, Profile::V033);
                assert_eq!(got, want, "{name} of {frame}, 0.3.3");
            }
        }
    }

    #[test]
    fn preludes_and_heads() {
        let script = "application/javascript; charset=UTF-8";
        let xhr_streaming = format!("{}\n", "h".repeat(2048));
        let mut htmlfile = Vec::new();
        page::htmlfile(&mut htmlfile, "cb");
        let htmlfile = String::from_utf8(htmlfile).unwrap();
        #[rustfmt::skip]
        let cases = [
            ("xhr", true, "", script, script),
            ("xhr_streaming", false, &*xhr_streaming, script, script),
            ("eventsource", false, "\r\n", "text/event-stream", "text/event-stream; charset=UTF-8"),
            ("htmlfile", false, &*htmlfile, "text/html; charset=UTF-8", "text/html; charset=UTF-8"),
            ("jsonp", true, "", script, script),
        ];
        for (wrapping, (name, is_polling, prelude, current, old)) in all().iter().zip(cases) {
            assert_eq!(wrapping.name(), name);
            assert_eq!(wrapping.is_polling(), is_polling, "{name}");
            let mut out = b"|".to_vec();
            wrapping.prelude(&mut out);
            assert_eq!(out[1..], *prelude.as_bytes(), "{name}");
            assert_eq!(wrapping.content_type(Profile::Current), current, "{name}");
            assert_eq!(wrapping.content_type(Profile::V033), old, "{name}");
        }
    }

    #[test]
    fn callbacks() {
        let (longest, longer) = ("a".repeat(32), "a".repeat(33));
        let required = Err("\"callback\" parameter required");
        let invalid = Err("invalid \"callback\" parameter");
        #[rustfmt::skip]
        let cases = [
            (Some("callback"), Ok("callback")), (Some("_jp.a1b2c3"), Ok("_jp.a1b2c3")),
            (Some("A-z_0.9"), Ok("A-z_0.9")), (Some("."), Ok(".")), (Some(&*longest), Ok(&*longest)),
            (None, required), (Some(""), required),
            (Some(&*longer), invalid), (Some("%63allback"), invalid), (Some("a b"), invalid),
            (Some("alert(1)"), invalid), (Some("a;"), invalid), (Some("<"), invalid),
            (Some("a\n"), invalid), (Some("\u{e9}"), invalid), (Some("a["), invalid), (Some(" "), invalid),
        ];
        for (value, want) in cases {
            assert_eq!(callback(value, CALLBACK_BYTES_MAX), want, "{value:?}");
        }
    }

    proptest! {
        /// A browser that undoes the wrapping gets the frame.
        #[test]
        fn frames_come_out_as_they_went_in(text in "[ -~\u{7f}-\u{ffff}]{0,3}(%|<|\"|\\\\|[a-z])*\\PC{0,9}") {
            let mut bytes = Vec::new();
            frame::push_message(&mut bytes, &text);
            let frame = String::from_utf8(bytes).unwrap();
            for wrapping in all() {
                let got = wrapped(&wrapping, &frame, Profile::Current);
                let between = |start: &str, end: &str| {
                    let inner = got.strip_prefix(start).and_then(|got| got.strip_suffix(end));
                    inner.unwrap().to_owned()
                };
                let unquoted = |text: String| {
                    assert!(!text.contains('<'));
                    serde_json::from_str::<String>(&text).unwrap()
                };
                let out = match wrapping {
                    Wrapping::Xhr | Wrapping::XhrStreaming => between("", "\n"),
                    Wrapping::EventSource => {
                        let data = between("data: ", "\r\n\r\n");
                        assert_eq!(data.matches('%').count(), data.matches("%25").count());
                        data.replace("%25", "%")
                    }
                    Wrapping::HtmlFile(_) => unquoted(between("<script>\np(", ");\n</script>\r\n")),
                    Wrapping::Jsonp(_) => unquoted(between("/**/callback(", ");\r\n")),
                };
                prop_assert_eq!(out, &*frame);
            }
        }
    }
}
