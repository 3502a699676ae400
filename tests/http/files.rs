//! Static files: validators, ranges, and no way out of the folder.

use crate::support::{End, Rig};
use dustdevil::{Files, Routes, Settings};
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

/// A folder of its own for each test, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("dustdevil-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("www/sub")).unwrap();
        fs::write(path.join("www/a.txt"), "0123456789").unwrap();
        fs::write(path.join("www/empty.css"), "").unwrap();
        fs::write(path.join("www/sub/index.html"), "<p>").unwrap();
        fs::write(path.join("secret"), "secret").unwrap();
        Self(path)
    }

    fn rig(&self) -> Rig {
        let routes = Routes::new()
            .files("/f/*path", Files::folder(self.0.join("www")))
            .files("/one", Files::file(self.0.join("www/a.txt")));
        Rig::with(Settings::default(), routes)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn get(path: &str, fields: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n").into_bytes()
}

#[test]
fn whole_files() {
    let folder = Folder::new("whole");
    let mut rig = folder.rig();
    for (path, status, content_type, body) in [
        ("/f/a.txt", 200, "text/plain; charset=utf-8", "0123456789"),
        ("/one", 200, "text/plain; charset=utf-8", "0123456789"),
        ("/f/empty.css", 200, "text/css; charset=utf-8", ""),
        ("/f/sub/", 200, "text/html; charset=utf-8", "<p>"),
        (
            "/f/sub",
            404,
            "text/plain; charset=utf-8",
            "404 Not Found\n",
        ),
        ("/f/", 404, "text/plain; charset=utf-8", "404 Not Found\n"),
        (
            "/f/none",
            404,
            "text/plain; charset=utf-8",
            "404 Not Found\n",
        ),
    ] {
        // A pipelined request behind it: the answer ends where it says it does.
        let input = [get(path, ""), get("/one", "")].concat();
        let client = rig.exchange(&input, usize::MAX, false);
        let answers = client.answers(&[]);
        assert_eq!(answers.len(), 2, "{path}");
        assert_eq!(answers[0].status, status, "{path}");
        assert_eq!(
            answers[0].field("content-type"),
            Some(content_type),
            "{path}"
        );
        assert_eq!(answers[0].body, body.as_bytes(), "{path}");
    }
    let head = b"HEAD /one HTTP/1.1\r\nHost: a\r\n\r\n";
    let client = rig.exchange(head, usize::MAX, false);
    assert_eq!(client.answers(&[0])[0].field("content-length"), Some("10"));
    let post = b"POST /one HTTP/1.1\r\nHost: a\r\n\r\n";
    let client = rig.exchange(post, usize::MAX, false);
    assert_eq!(client.answers(&[])[0].field("allow"), Some("GET, HEAD"));
}

#[test]
fn no_way_out() {
    let folder = Folder::new("out");
    std::os::unix::fs::symlink(folder.0.join("secret"), folder.0.join("www/link")).unwrap();
    std::os::unix::fs::symlink(&folder.0, folder.0.join("www/up")).unwrap();
    let fifo = folder.0.join("www/fifo");
    let made = std::process::Command::new("mkfifo")
        .arg(&fifo)
        .status()
        .unwrap();
    assert!(made.success());
    let mut rig = folder.rig();
    for path in [
        "/f/../secret",
        "/f/%2e%2e/secret",
        "/f/..%2fsecret",
        "/f/%2e%2e%2fsecret",
        "/f//etc/passwd",
        "/f/%2fetc%2fpasswd",
        "/f/sub/../../secret",
        "/f/link",
        "/f/up/secret",
        "/f/..\\secret",
        "/f/fifo",
        "/f/a.txt/",
        "/f/.",
        "/f/..",
    ] {
        let client = rig.exchange(&get(path, ""), usize::MAX, false);
        assert_eq!(client.statuses(), [404], "{path}");
        assert!(!client.seen.windows(6).any(|w| w == b"secret"), "{path}");
    }
    for path in ["/f/%00", "/f/a%zz"] {
        let client = rig.exchange(&get(path, ""), usize::MAX, false);
        assert_eq!(client.statuses(), [400], "{path}");
    }
}

#[test]
fn validators() {
    let folder = Folder::new("validators");
    let mut rig = folder.rig();
    let client = rig.exchange(&get("/one", ""), usize::MAX, false);
    let first = &client.answers(&[])[0];
    let (etag, modified) = (
        first.field("etag").unwrap(),
        first.field("last-modified").unwrap(),
    );
    let old = "Sun, 06 Nov 1994 08:49:37 GMT";
    for (fields, status) in [
        (format!("If-None-Match: {etag}\r\n"), 304),
        (format!("If-None-Match: W/{etag}\r\n"), 304),
        (format!("If-None-Match: \"x\", {etag}\r\n"), 304),
        ("If-None-Match: *\r\n".to_owned(), 304),
        ("If-None-Match: \"x\"\r\n".to_owned(), 200),
        (format!("If-Modified-Since: {modified}\r\n"), 304),
        (format!("If-Modified-Since: {old}\r\n"), 200),
        ("If-Modified-Since: nonsense\r\n".to_owned(), 200),
        // The tag decides, if there is one.
        (
            format!("If-None-Match: \"x\"\r\nIf-Modified-Since: {modified}\r\n"),
            200,
        ),
        (format!("If-Range: {etag}\r\nRange: bytes=1-2\r\n"), 206),
        ("If-Range: \"x\"\r\nRange: bytes=1-2\r\n".to_owned(), 200),
    ] {
        let client = rig.exchange(&get("/one", &fields), usize::MAX, false);
        let answer = &client.answers(&[])[0];
        assert_eq!(answer.status, status, "{fields}");
        assert_eq!(answer.field("etag"), Some(etag), "{fields}");
        assert_eq!(answer.body.is_empty(), status == 304, "{fields}");
    }
}

#[test]
fn ranges() {
    let folder = Folder::new("ranges");
    let mut rig = folder.rig();
    #[rustfmt::skip]
    let cases = [
        ("bytes=0-3", 206, "0123", Some("bytes 0-3/10")),
        ("bytes=7-",  206, "789", Some("bytes 7-9/10")),
        ("bytes=-2",  206, "89", Some("bytes 8-9/10")),
        ("bytes=-20", 206, "0123456789", Some("bytes 0-9/10")),
        ("bytes=8-99", 206, "89", Some("bytes 8-9/10")),
        ("bytes=10-", 416, "", Some("bytes */10")),
        ("bytes=-0",  416, "", Some("bytes */10")),
        ("bytes=0-1,3-4", 200, "0123456789", None),
        ("bytes=3-1", 200, "0123456789", None),
        ("lines=0-1", 200, "0123456789", None),
        ("bytes=a-b", 200, "0123456789", None),
    ];
    for (range, status, body, said) in cases {
        let client = rig.exchange(
            &get("/one", &format!("Range: {range}\r\n")),
            usize::MAX,
            false,
        );
        let answer = &client.answers(&[])[0];
        assert_eq!(answer.status, status, "{range}");
        assert_eq!(answer.body, body.as_bytes(), "{range}");
        assert_eq!(answer.field("content-range"), said, "{range}");
    }
}

/// A range asks for a part by GET only (RFC 9110, 14.2), and nothing of an empty file.
#[test]
fn ranges_of_head_and_of_nothing() {
    let folder = Folder::new("no-ranges");
    let mut rig = folder.rig();
    #[rustfmt::skip]
    let cases = [
        ("HEAD", "/one",         "bytes=0-3", 200, "10", None),
        ("HEAD", "/one",         "bytes=10-", 200, "10", None),
        ("GET",  "/f/empty.css", "bytes=0-",  416, "0",  Some("bytes */0")),
        ("GET",  "/f/empty.css", "bytes=0-0", 416, "0",  Some("bytes */0")),
        ("GET",  "/f/empty.css", "bytes=-0",  416, "0",  Some("bytes */0")),
        // A suffix that is longer than the file is the file.
        ("GET",  "/f/empty.css", "bytes=-1",  200, "0",  None),
        ("HEAD", "/f/empty.css", "bytes=0-",  200, "0",  None),
        ("GET",  "/f/empty.css", "bytes=1-0", 200, "0",  None),
    ];
    for (method, path, range, status, length, said) in cases {
        let name = format!("{method} {path} {range}");
        let input = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nRange: {range}\r\n\r\n");
        // What follows shows where the answer ends.
        let input = [input.as_bytes(), &get("/one", "")].concat();
        let client = rig.exchange(&input, usize::MAX, false);
        let heads: &[usize] = if method == "HEAD" { &[0] } else { &[] };
        let answers = client.answers(heads);
        assert_eq!(answers[0].status, status, "{name}");
        assert_eq!(answers[0].field("content-length"), Some(length), "{name}");
        assert_eq!(answers[0].field("content-range"), said, "{name}");
        assert_eq!(answers[1].body, b"0123456789", "{name}");
    }
}

/// The exact time of change lets a part be sent; any other, earlier or later, does not.
#[test]
fn if_range_by_date() {
    let folder = Folder::new("if-range");
    let at = UNIX_EPOCH + Duration::from_secs(784_111_777);
    let file = fs::File::options()
        .write(true)
        .open(folder.0.join("www/a.txt"))
        .unwrap();
    file.set_modified(at).unwrap();
    let mut rig = folder.rig();
    #[rustfmt::skip]
    let cases = [
        ("Sun, 06 Nov 1994 08:49:37 GMT",  "bytes=1-2", 206, "12"),
        ("Sunday, 06-Nov-94 08:49:37 GMT", "bytes=1-2", 206, "12"),
        ("Sun Nov  6 08:49:37 1994",       "bytes=1-2", 206, "12"),
        ("Sun, 06 Nov 1994 08:49:36 GMT",  "bytes=1-2", 200, "0123456789"),
        ("Sun, 06 Nov 1994 08:49:38 GMT",  "bytes=1-2", 200, "0123456789"),
        ("nonsense",                       "bytes=1-2", 200, "0123456789"),
        // Without a good copy the range is not looked at.
        ("Sun, 06 Nov 1994 08:49:37 GMT",  "bytes=10-", 416, ""),
        ("Sun, 06 Nov 1994 08:49:36 GMT",  "bytes=10-", 200, "0123456789"),
    ];
    for (date, range, status, body) in cases {
        let fields = format!("If-Range: {date}\r\nRange: {range}\r\n");
        let client = rig.exchange(&get("/one", &fields), usize::MAX, false);
        let answer = &client.answers(&[])[0];
        assert_eq!(answer.status, status, "{fields}");
        assert_eq!(answer.body, body.as_bytes(), "{fields}");
        if status != 416 {
            let changed = answer.field("last-modified");
            assert_eq!(changed, Some("Sun, 06 Nov 1994 08:49:37 GMT"), "{fields}");
        }
    }
}

/// `max_age` comes with what may be kept: the file, a part of it, and the news that it is unchanged.
#[test]
fn max_age() {
    let folder = Folder::new("max-age");
    let www = folder.0.join("www");
    let age = Duration::from_millis(3_600_900);
    let routes = Routes::new()
        .files("/f/*path", Files::folder(&www).max_age(age))
        .files("/one", Files::file(www.join("a.txt")).max_age(age))
        .files("/plain", Files::file(www.join("a.txt")));
    let mut rig = Rig::with(Settings::default(), routes);
    let kept = Some("public, max-age=3600");
    #[rustfmt::skip]
    let cases = [
        ("/one",     "",                       200, kept),
        ("/f/a.txt", "",                       200, kept),
        ("/f/a.txt", "Range: bytes=0-1\r\n",   206, kept),
        ("/f/a.txt", "If-None-Match: *\r\n",   304, kept),
        ("/f/a.txt", "Range: bytes=10-\r\n",   416, None),
        ("/f/none",  "",                       404, None),
        ("/plain",   "",                       200, None),
    ];
    for (path, fields, status, want) in cases {
        let client = rig.exchange(&get(path, fields), usize::MAX, false);
        let answer = &client.answers(&[])[0];
        assert_eq!(answer.status, status, "{path} {fields}");
        assert_eq!(answer.field("cache-control"), want, "{path} {fields}");
    }
}

/// What stands for a folder: a file of one's choice, or nothing.
#[test]
fn index() {
    let folder = Folder::new("index");
    let www = folder.0.join("www");
    fs::write(www.join("sub/start.txt"), "start").unwrap();
    for (index, want) in [
        (None, None),
        (Some("start.txt"), Some("start")),
        (Some("none.txt"), None),
        (Some("index.html"), Some("<p>")),
    ] {
        let routes = Routes::new().files("/f/*path", Files::folder(&www).index(index));
        let mut rig = Rig::with(Settings::default(), routes);
        let client = rig.exchange(&get("/f/sub/", ""), usize::MAX, false);
        let answer = &client.answers(&[])[0];
        assert_eq!(answer.status, if want.is_some() { 200 } else { 404 });
        let want = want.unwrap_or("404 Not Found\n");
        assert_eq!(answer.body, want.as_bytes(), "{index:?}");
        // By its own name it is there in any case.
        let client = rig.exchange(&get("/f/sub/index.html", ""), usize::MAX, false);
        assert_eq!(client.answers(&[])[0].body, b"<p>", "{index:?}");
    }
}

/// Eight MiB to a reader that takes its time: the server holds little of it.
#[test]
fn a_large_file_and_a_slow_reader() {
    let folder = Folder::new("large");
    let bytes: Vec<u8> = (0..8 << 20_u32).map(|n: u32| (n / 7) as u8).collect();
    fs::write(folder.0.join("www/large"), &bytes).unwrap();
    let mut rig = folder.rig();
    let mut client = rig.client();
    client.write(&mut rig, &[get("/f/large", ""), get("/one", "")].concat());
    for _ in 0..40 {
        rig.turn();
        assert!(rig.server.stats().unwrap().bytes_queued <= 512 << 10);
    }
    let want = bytes.len() + 10;
    while client.seen.len() < want {
        client.look();
        assert_eq!(client.end, None);
        rig.turn();
        assert!(rig.server.stats().unwrap().bytes_queued <= 512 << 10);
    }
    rig.settle();
    client.look();
    let answers = client.answers(&[]);
    assert!(answers[0].body == bytes);
    assert_eq!(answers[1].body, b"0123456789");
}

/// A file that shrinks while it is sent: the answer cannot be completed, and the client sees that.
#[test]
fn a_file_that_shrinks() {
    let folder = Folder::new("shrinks");
    let path = folder.0.join("www/large");
    fs::write(&path, vec![b'x'; 8 << 20]).unwrap();
    let mut rig = folder.rig();
    let mut client = rig.client();
    client.write(&mut rig, &get("/f/large", ""));
    rig.turn();
    fs::write(&path, "").unwrap();
    while client.end.is_none() {
        client.look();
        rig.turn();
    }
    assert!(client.seen.len() < 8 << 20);
    assert!(matches!(client.end, Some(End::Closed | End::Reset)));
}

/// Looking a file up takes longer than most handlers do, and counts as more work.
#[test]
fn files_are_work() {
    let folder = Folder::new("work");
    let mut rig = folder.rig();
    let mut client = rig.client();
    let before = rig.server.stats().unwrap().requests;
    let requests = get("/f/a.txt", "").repeat(40);
    client.socket.write_all(&requests).unwrap();
    let mut after_each = Vec::new();
    while after_each.last() != Some(&40) {
        rig.turn();
        after_each.push(rig.server.stats().unwrap().requests - before);
        after_each.dedup();
    }
    // 16 KiB each, and 256 KiB a turn.
    after_each.retain(|handled| *handled > 0);
    assert_eq!(after_each, [16, 32, 40]);
}
