//! The answers that belong to no session, and the page that htmlfile begins with.
//!
//! Not here: their headers.

use std::fmt::Write as _;

use sha1::{Digest as _, Sha1};

use super::{Profile, frame};

/// The body of the greeting.
pub const GREETING: &str = "Welcome to SockJS!\n";

/// The page for transports in an iframe. It loads the client from `url`, which is escaped here.
pub fn iframe(url: &str, profile: Profile) -> String {
    let mut page = String::with_capacity(IFRAME_HEAD.len() + url.len() + 400);
    page.push_str(IFRAME_HEAD);
    match profile {
        Profile::Current => {
            push_script(&mut page, url);
            page.push_str(
                "  <script>\n    document.domain = document.domain;\n    \
                 SockJS.bootstrap_iframe();\n  </script>\n",
            );
        }
        Profile::V033 => {
            page.push_str(
                "  <script>\n    document.domain = document.domain;\n    \
                 _sockjs_onload = function(){SockJS.bootstrap_iframe();};\n  </script>\n",
            );
            push_script(&mut page, url);
        }
    }
    page.push_str(IFRAME_BODY);
    page
}

fn push_script(page: &mut String, url: &str) {
    page.push_str("  <script src=\"");
    for c in url.chars() {
        match c {
            '&' => page.push_str("&amp;"),
            '<' => page.push_str("&lt;"),
            '>' => page.push_str("&gt;"),
            '"' => page.push_str("&quot;"),
            '\'' => page.push_str("&#39;"),
            _ => page.push(c),
        }
    }
    page.push_str("\"></script>\n");
}

/// The `ETag` of a page, with its quotes: the SHA-1 of `body` in hex.
pub fn etag(body: &[u8]) -> String {
    let mut tag = String::with_capacity(42);
    tag.push('"');
    for byte in Sha1::digest(body) {
        // Writing to a string cannot fail.
        let _ = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    tag
}

/// Appends the page that an htmlfile answer begins with.
///
/// `callback` is what [`super::wrapping::callback`] let pass. The page is filled up to 1027 bytes and
/// those of the callback, because browsers show nothing of a page before they have a kilobyte.
pub fn htmlfile(out: &mut Vec<u8>, callback: &str) {
    let (before, after) = HTMLFILE;
    let written = before.len() + after.len();
    out.reserve(HTMLFILE_BYTES + callback.len() + HTMLFILE_END.len());
    out.extend_from_slice(before.as_bytes());
    out.extend_from_slice(callback.as_bytes());
    out.extend_from_slice(after.as_bytes());
    out.resize(out.len() + HTMLFILE_BYTES - written, b' ');
    out.extend_from_slice(HTMLFILE_END);
}

/// Appends the body of the info endpoint.
///
/// `cookie_needed`: load balancers want a cookie (`jsessionid` is on). `base_url`: where the client
/// shall take its transports instead. `entropy`: fresh for every answer, from a good source.
pub fn info(
    out: &mut String,
    websocket: bool,
    cookie_needed: bool,
    base_url: Option<&str>,
    entropy: u32,
) {
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        r#"{{"websocket":{websocket},"origins":["*:*"],"cookie_needed":{cookie_needed},"entropy":{entropy}"#
    );
    if let Some(url) = base_url {
        let mut quoted = Vec::new();
        frame::push_string(&mut quoted, url);
        out.push_str(",\"base_url\":");
        out.push_str(&String::from_utf8_lossy(&quoted));
    }
    out.push('}');
}

const IFRAME_HEAD: &str = r#"<!DOCTYPE html>
<html>
<head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
"#;
const IFRAME_BODY: &str = "</head>
<body>
  <h2>Don't panic!</h2>
  <p>This is a SockJS hidden iframe. It's used for cross domain magic.</p>
</body>
</html>";
/// What stands before and behind the callback.
const HTMLFILE: (&str, &str) = (
    r#"<!doctype html>
<html><head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
</head><body><h2>Don't panic!</h2>
  <script>
    document.domain = document.domain;
    var c = parent."#,
    ";
    c.start();
    function p(d) {c.message(d);};
    window.onload = function() {c.stop();};
  </script>",
);
/// The page with its spaces, without the callback and [`HTMLFILE_END`].
const HTMLFILE_BYTES: usize = 1023;
const HTMLFILE_END: &[u8] = b"\r\n\r\n";
const _: () = assert!(HTMLFILE.0.len() + HTMLFILE.1.len() < HTMLFILE_BYTES);

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "http://sockjs.test/lib/sockjs.js";

    #[test]
    fn iframes() {
        let page = iframe(URL, Profile::Current);
        assert_eq!(page.len(), 441);
        assert_eq!(
            page,
            "<!DOCTYPE html>\n<html>\n<head>\n  <meta http-equiv=\"X-UA-Compatible\" \
             content=\"IE=edge\" />\n  <meta http-equiv=\"Content-Type\" content=\"text/html; \
             charset=UTF-8\" />\n  <script src=\"http://sockjs.test/lib/sockjs.js\"></script>\n  \
             <script>\n    document.domain = document.domain;\n    SockJS.bootstrap_iframe();\n  \
             </script>\n</head>\n<body>\n  <h2>Don't panic!</h2>\n  <p>This is a SockJS hidden \
             iframe. It's used for cross domain magic.</p>\n</body>\n</html>"
        );
        let old = iframe(URL, Profile::V033);
        assert_eq!(
            old,
            page.replace(
                "  <script src=\"http://sockjs.test/lib/sockjs.js\"></script>\n  <script>\n    \
                 document.domain = document.domain;\n    SockJS.bootstrap_iframe();\n  </script>\n",
                "  <script>\n    document.domain = document.domain;\n    _sockjs_onload = \
                 function(){SockJS.bootstrap_iframe();};\n  </script>\n  <script \
                 src=\"http://sockjs.test/lib/sockjs.js\"></script>\n",
            )
        );
        assert_ne!(old, page);
    }

    #[test]
    fn urls_are_escaped() {
        #[rustfmt::skip]
        let cases = [
            ("/sockjs.js?a=1&b=2", "/sockjs.js?a=1&amp;b=2"),
            ("/\"></script><script>", "/&quot;&gt;&lt;/script&gt;&lt;script&gt;"),
            ("/it's", "/it&#39;s"), ("/\u{e9}", "/\u{e9}"),
        ];
        for (url, want) in cases {
            for profile in [Profile::Current, Profile::V033] {
                let page = iframe(url, profile);
                let line = format!("\n  <script src=\"{want}\"></script>\n");
                assert!(page.contains(&line), "{page}");
            }
        }
    }

    #[test]
    fn tags() {
        // RFC 3174, 7.3, the first.
        assert_eq!(etag(b"abc"), "\"a9993e364706816aba3e25717850c26c9cd0d89d\"");
        assert_ne!(etag(b""), etag(b"a"));
    }

    #[test]
    fn htmlfiles() {
        for (callback, len) in [("callback", 1035), ("c", 1028), ("_jp.a1b2c3", 1037)] {
            let mut out = Vec::new();
            htmlfile(&mut out, callback);
            assert_eq!(out.len(), len, "{callback}");
            let page = String::from_utf8(out).unwrap();
            let start = format!(
                "<!doctype html>\n<html><head>\n  <meta http-equiv=\"X-UA-Compatible\" \
                 content=\"IE=edge\" />\n  <meta http-equiv=\"Content-Type\" content=\"text/html; \
                 charset=UTF-8\" />\n</head><body><h2>Don't panic!</h2>\n  <script>\n    \
                 document.domain = document.domain;\n    var c = parent.{callback};\n    \
                 c.start();\n    function p(d) {{c.message(d);}};\n    window.onload = function() \
                 {{c.stop();}};\n  </script> "
            );
            let rest = page.strip_prefix(&*start).unwrap();
            assert_eq!(rest.trim_start_matches(' '), "\r\n\r\n", "{callback}");
        }
    }

    #[test]
    fn infos() {
        #[rustfmt::skip]
        let cases = [
            (true, false, None, 2_327_791_075,
             r#"{"websocket":true,"origins":["*:*"],"cookie_needed":false,"entropy":2327791075}"#),
            (false, true, None, 0,
             r#"{"websocket":false,"origins":["*:*"],"cookie_needed":true,"entropy":0}"#),
            (true, false, Some("http://a/\""), u32::MAX,
             r#"{"websocket":true,"origins":["*:*"],"cookie_needed":false,"entropy":4294967295,"base_url":"http://a/\""}"#),
        ];
        for (websocket, cookie_needed, base_url, entropy, want) in cases {
            let mut out = String::new();
            info(&mut out, websocket, cookie_needed, base_url, entropy);
            assert_eq!(out, want);
            serde_json::from_str::<serde_json::Value>(&out).unwrap();
        }
    }
}
