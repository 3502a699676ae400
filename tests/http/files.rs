//! Static files: validators, ranges, and no way out of the folder.

use crate::support::{End, Rig};
use dustdevil::{Files, Routes, Settings};
use std::fs;
use std::io::Write;
use std::path::PathBuf;

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
