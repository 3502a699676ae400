//! Static files (RFC 9110, 8.8, 13 and 14): validators, one range, and no way out of the folder.

use super::loud::loud;
use super::request::Request;
use super::response::Response;
use crate::conn::http1::FileBody;
use crate::proto::http::conditional::{RangeAnswer, if_range_holds, not_modified, range};
use crate::proto::http::{date, mime};
use crate::time::UnixSeconds;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

/// A folder of files to serve, or a single file.
///
/// A folder's pattern ends with `*path`, which names the file. Files are read a piece at a time while
/// the client takes them, so their size does not matter. `Etag` is made of length and time of
/// change; one `Range` of a GET is honoured (RFC 9110, 14), several get the whole file. Nothing outside the
/// folder is reachable, by `..` or by a symbolic link. What is not there, or no plain file, is 404.
///
/// Reading is blocking: let the folder be on a local disk.
///
/// ```
/// use dustdevil::{Files, Routes};
///
/// let routes = Routes::<()>::new().files("/static/*path", Files::folder("public"));
/// ```
#[derive(Clone, Debug)]
#[doc(alias = "StaticFileHandler")]
pub struct Files {
    root: PathBuf,
    single: bool,
    index: Option<String>,
    max_age: Option<Duration>,
}

impl Files {
    /// All files below a folder; a path that ends with a slash is its `index.html`.
    pub fn folder(root: impl Into<PathBuf>) -> Self {
        let index = Some("index.html".to_owned());
        Self {
            root: root.into(),
            single: false,
            index,
            max_age: None,
        }
    }

    /// One file, whatever the path says.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self {
            root: path.into(),
            single: true,
            index: None,
            max_age: None,
        }
    }

    pub(crate) fn is_folder(&self) -> bool {
        !self.single
    }

    /// Which file stands for its folder; `None`: such a path is a 404.
    #[doc(alias = "default_filename")]
    #[must_use]
    pub fn index(mut self, name: Option<&str>) -> Self {
        self.index = name.map(str::to_owned);
        self
    }

    /// Lets clients and caches keep files that long without asking (`Cache-Control: public, max-age`), in
    /// whole seconds. Not said by default.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// The answer to a GET or HEAD: 200, 206, 304, 404 or 416; 500 if the file cannot be read. For handlers
    /// that serve a file themselves. The last parameter of the route's pattern names it.
    pub fn respond(&self, req: &Request<'_>) -> Response<'static> {
        let path = if self.single {
            Some(self.root.clone())
        } else {
            self.find(req)
        };
        let Some(path) = path else { return not_found() };
        match look_and_open(&path) {
            Ok(Some((file, length, changed))) => self.answer(req, &path, file, length, changed),
            Ok(None) => not_found(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => not_found(),
            Err(error) => {
                loud!(error, "{} cannot be served: {error}", path.display());
                Response::new(500)
            }
        }
    }

    /// The file that a path names, if it lies below the root.
    fn find(&self, req: &Request<'_>) -> Option<PathBuf> {
        let rest = req.params.iter().last().map_or("", |(_, value)| value);
        let mut path = self.root.clone();
        for part in Path::new(rest).components() {
            match part {
                Component::Normal(name) => path.push(name),
                Component::RootDir | Component::CurDir => {}
                Component::ParentDir | Component::Prefix(_) => return None,
            }
        }
        if rest.contains(['\0', '\\']) || rest.starts_with('/') {
            return None;
        }
        if rest.is_empty() || rest.ends_with('/') {
            path.push(self.index.as_ref()?);
        }
        // A link may lead out of the folder; what it leads to decides.
        let real = path.canonicalize().ok()?;
        real.starts_with(self.root.canonicalize().ok()?)
            .then_some(real)
    }

    fn answer(
        &self,
        req: &Request<'_>,
        path: &Path,
        mut file: File,
        length: u64,
        since_1970: Duration,
    ) -> Response<'static> {
        // In nanoseconds: a file may be written twice in a second.
        let etag = format!("\"{:x}-{length:x}\"", since_1970.as_nanos());
        let changed = UnixSeconds(since_1970.as_secs());
        let with_validators = |response: Response<'static>| {
            let response = response.header("Etag", &etag);
            match self.max_age {
                Some(age) => response.header(
                    "Cache-Control",
                    &format!("public, max-age={}", age.as_secs()),
                ),
                None => response,
            }
        };
        let unchanged = not_modified(
            req.head.header("If-None-Match"),
            req.head.header("If-Modified-Since"),
            Some(&etag),
            Some(changed),
        );
        if unchanged {
            return with_validators(Response::new(304));
        }
        let modified = date::format(changed);
        let modified = std::str::from_utf8(&modified).unwrap_or_default();
        let headers = |response: Response<'static>| {
            with_validators(response)
                .header("Last-Modified", modified)
                .header("Accept-Ranges", "bytes")
        };
        let if_range = req.head.header("If-Range");
        let fresh = if_range.is_none_or(|of| if_range_holds(of, Some(&etag), Some(changed)));
        // A range has a meaning for GET only (RFC 9110, 14.2).
        let ranged = fresh && req.method() == "GET";
        let asked = req.head.header("Range").filter(|_| ranged);
        let part = asked.map_or(RangeAnswer::Whole, |asked| range(asked, length));
        let content_type = mime::content_type(&path.to_string_lossy());
        match part {
            RangeAnswer::Whole => headers(Response::file(
                content_type,
                FileBody {
                    file,
                    remaining: length,
                },
            )),
            RangeAnswer::Part { first, last } => match file.seek(SeekFrom::Start(first)) {
                Ok(_) => {
                    let body = FileBody {
                        file,
                        remaining: last - first + 1,
                    };
                    let said = format!("bytes {first}-{last}/{length}");
                    headers(Response::file(content_type, body).status(206))
                        .header("Content-Range", &said)
                }
                Err(error) => {
                    loud!(error, "{} cannot be served: {error}", path.display());
                    Response::new(500)
                }
            },
            RangeAnswer::Unsatisfiable => {
                Response::new(416).header("Content-Range", &format!("bytes */{length}"))
            }
        }
    }
}

/// Opens a plain file: the file, its length, and when it was changed. `None`: it is none.
fn look_and_open(path: &Path) -> io::Result<Option<(File, u64, Duration)>> {
    // Opening a device may do something, so look first.
    if !path.metadata()?.is_file() {
        return Ok(None);
    }
    open_plain(path)
}

/// By now another may be there, so what was opened is looked at again. A pipe would hold the loop
/// until somebody writes to it.
fn open_plain(path: &Path) -> io::Result<Option<(File, u64, Duration)>> {
    let file = File::options()
        .read(true)
        .custom_flags(O_NONBLOCK)
        .open(path)?;
    let about = file.metadata()?;
    if !about.is_file() {
        return Ok(None);
    }
    let since = about
        .modified()?
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Ok(Some((file, about.len(), since)))
}

/// The standard library has no name for it. Where its value is not known here, looking first has to do.
const O_NONBLOCK: i32 = if cfg!(all(
    any(target_os = "linux", target_os = "android"),
    any(
        target_arch = "x86_64",
        target_arch = "x86",
        target_arch = "aarch64",
        target_arch = "arm",
        target_arch = "riscv64",
        target_arch = "powerpc64",
        target_arch = "s390x",
    )
)) {
    0o4000
} else if cfg!(any(
    target_vendor = "apple",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd",
    target_os = "dragonfly",
)) {
    4
} else {
    0
};

fn not_found() -> Response<'static> {
    Response::text("404 Not Found\n").status(404)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;
    use std::sync::mpsc;

    /// A pipe that has taken the place of a file after it was looked at.
    #[test]
    fn a_pipe_does_not_hold_the_loop() {
        let path = std::env::temp_dir().join(format!("dustdevil-pipe-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        assert!(
            Command::new("mkfifo")
                .arg(&path)
                .status()
                .unwrap()
                .success()
        );
        let (send, opened) = mpsc::channel();
        let pipe = path.clone();
        std::thread::spawn(move || send.send(open_plain(&pipe).map(|file| file.is_none())));
        let opened = opened.recv_timeout(Duration::from_secs(10));
        std::fs::remove_file(&path).unwrap();
        assert!(opened.expect("it waits for a writer").unwrap());
    }
}
