//! Media types of files, by the ends of their names.
//!
//! Not here: looking into files. What is not known is told to be bytes.

/// The media type for a path; `application/octet-stream` if its end is not known.
pub fn content_type(path: &str) -> &'static str {
    let name = path.rsplit('/').next().unwrap_or(path);
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    TYPES
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(extension))
        .map_or(UNKNOWN, |(_, media_type)| media_type)
}

const UNKNOWN: &str = "application/octet-stream";

/// The commonest first.
#[rustfmt::skip]
const TYPES: &[(&str, &str)] = &[
    ("html",  "text/html; charset=utf-8"),
    ("js",    "text/javascript; charset=utf-8"),
    ("css",   "text/css; charset=utf-8"),
    ("json",  "application/json"),
    ("png",   "image/png"),
    ("svg",   "image/svg+xml"),
    ("ico",   "image/x-icon"),
    ("jpg",   "image/jpeg"),
    ("jpeg",  "image/jpeg"),
    ("gif",   "image/gif"),
    ("webp",  "image/webp"),
    ("avif",  "image/avif"),
    ("woff2", "font/woff2"),
    ("woff",  "font/woff"),
    ("ttf",   "font/ttf"),
    ("otf",   "font/otf"),
    ("htm",   "text/html; charset=utf-8"),
    ("mjs",   "text/javascript; charset=utf-8"),
    ("map",   "application/json"),
    ("txt",   "text/plain; charset=utf-8"),
    ("md",    "text/markdown; charset=utf-8"),
    ("csv",   "text/csv; charset=utf-8"),
    ("xml",   "application/xml"),
    ("wasm",  "application/wasm"),
    ("webmanifest", "application/manifest+json"),
    ("pdf",   "application/pdf"),
    ("zip",   "application/zip"),
    ("gz",    "application/gzip"),
    ("swf",   "application/x-shockwave-flash"),
    ("mp3",   "audio/mpeg"),
    ("ogg",   "audio/ogg"),
    ("wav",   "audio/wav"),
    ("mp4",   "video/mp4"),
    ("webm",  "video/webm"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_the_end_of_the_name() {
        #[rustfmt::skip]
        let cases: &[(&str, &str)] = &[
            ("/index.html", "text/html; charset=utf-8"), ("A.JS", "text/javascript; charset=utf-8"),
            ("a.min.css", "text/css; charset=utf-8"), ("/a.png/b", UNKNOWN), ("/", UNKNOWN),
            ("", UNKNOWN), ("a.", UNKNOWN), ("html", UNKNOWN), ("a.unknown", UNKNOWN),
        ];
        for &(path, want) in cases {
            assert_eq!(content_type(path), want, "{path}");
        }
    }
}
