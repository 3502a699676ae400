//! Heads one behind another: the same ones however the bytes were cut.

use dustdevil::proto::http::head::slots;
use dustdevil::proto::http::reader::Reader;
use dustdevil::proto::http::{Error, Framing, Head, HeadLimits, Version};
use dustdevil::storage::input::Input;
use dustdevil::time::Instant;

use super::cuts;

/// The last byte: small limits or not. The cuts come before it.
pub(crate) fn run(data: &[u8]) {
    let Some((&flags, data)) = data.split_last() else {
        return;
    };
    let limits = match flags & 1 {
        0 => HeadLimits::default(),
        _ => HeadLimits {
            request_line_bytes_max: 40,
            head_bytes_max: 120,
            headers_max: 4,
        },
    };
    let (data, cuts) = cuts::split_cuts(data);
    let whole = read(data, &[], &limits);
    assert_eq!(whole, read(data, &cuts, &limits), "cut by {cuts:?}");
    assert_eq!(whole, read(data, &[1], &limits), "byte after byte");

    // Nothing but empty lines lies between the requests.
    let mut rest = data;
    for request in &whole.0 {
        while let Some(behind) = rest.strip_prefix(b"\r\n") {
            rest = behind;
        }
        let behind = rest.strip_prefix(&*request.raw);
        rest = behind.expect("a head is what was sent");
    }
    // What parses on its own is a head to the reader too.
    if Head::parse(data, &mut slots()).is_ok() && data.len() <= 1000 {
        let (requests, error) = read(data, &[], &HeadLimits::default());
        assert_eq!((requests.len(), error), (1, None));
        assert_eq!(requests[0].raw, data);
    }
}

#[derive(Debug, PartialEq)]
struct Request {
    raw: Vec<u8>,
    framing: Result<Framing, Error>,
    expects_continue: Result<bool, Error>,
    keep_alive: bool,
}

/// The requests, and the error that ended them.
fn read(data: &[u8], cuts: &[usize], limits: &HeadLimits) -> (Vec<Request>, Option<Error>) {
    let now = Instant::START;
    let mut reader = Reader::new(now);
    let mut requests = Vec::new();
    for piece in cuts::pieces(data, cuts) {
        let mut bytes = piece.to_vec();
        let mut input = Input::new(&mut bytes);
        loop {
            match reader.poll_head(&mut input, limits, now) {
                Ok(None) => break,
                Ok(Some(raw)) => match judge(&raw, limits) {
                    Ok(request) => requests.push(request),
                    Err(error) => return (requests, Some(error)),
                },
                Err(error) => {
                    assert_eq!(reader.poll_head(&mut input, limits, now), Ok(None));
                    return (requests, Some(error));
                }
            }
            reader.finish(now);
        }
        assert!(input.is_empty(), "no head, and not all taken");
    }
    (requests, None)
}

fn judge(raw: &[u8], limits: &HeadLimits) -> Result<Request, Error> {
    assert!(raw.ends_with(b"\r\n\r\n") && raw.len() <= limits.head_bytes_max);
    let mut slots = slots();
    let head = Head::parse(raw, &mut slots).inspect_err(|e| {
        assert!((400..600).contains(&e.status()), "{e}");
    })?;
    assert!(head.headers.len() <= limits.headers_max);
    assert!(!head.host().is_empty() || head.version == Version::Http10);
    assert!(head.host().bytes().all(|b| b.is_ascii_graphic()));
    assert!(head.target.bytes().all(|b| b > b' ' && b != 0x7f));
    assert!(head.path().starts_with('/') || head.path() == "*");
    assert!(!head.path().contains('?'));
    for header in head.headers {
        assert!(!header.name.is_empty());
        assert!(
            header
                .name
                .bytes()
                .all(|b| b.is_ascii_graphic() && b != b':')
        );
        let is_value = |b: &u8| *b == b'\t' || (*b >= b' ' && *b != 0x7f);
        assert!(header.value.iter().all(is_value));
        assert_eq!(header.value.trim_ascii(), header.value);
        assert!(head.header(header.name).is_some());
        assert!(head.joined(header.name).is_some());
    }
    let framing = head.framing();
    if framing == Ok(Framing::Chunked) {
        assert!(head.header("content-length").is_none());
        assert_eq!(head.version, Version::Http11);
    }
    Ok(Request {
        raw: raw.to_vec(),
        framing,
        expects_continue: head.expects_continue(),
        keep_alive: head.keep_alive(),
    })
}
