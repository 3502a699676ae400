//! One body, by length or in chunks: the same however the bytes were cut.

use dustdevil::proto::http::chunked::BodyLimits;
use dustdevil::proto::http::reader::Reader;
use dustdevil::proto::http::response::{write_chunk, write_last_chunk};
use dustdevil::proto::http::{Error, Framing, HeadLimits};
use dustdevil::storage::input::Input;
use dustdevil::time::Instant;

use super::cuts;

const HEAD: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\n\r\n";

/// The last byte: bit 0 in chunks, bit 1 small limits, the rest a length. The cuts come before it.
pub(crate) fn run(data: &[u8]) {
    let Some((&flags, data)) = data.split_last() else {
        return;
    };
    let framing = match flags & 1 {
        0 => Framing::Length(u64::from(flags >> 2)),
        _ => Framing::Chunked,
    };
    let limits = match flags & 2 {
        0 => BodyLimits::default(),
        _ => BodyLimits {
            body_bytes_max: 40,
            chunk_line_bytes_max: 12,
            chunk_overhead_bytes_max: 20,
            trailer_bytes_max: 30,
            trailers_max: 3,
        },
    };
    let (data, cuts) = cuts::split_cuts(data);
    let whole = read(data, &[], framing, &limits);
    assert_eq!(
        whole,
        read(data, &cuts, framing, &limits),
        "cut by {cuts:?}"
    );
    assert_eq!(whole, read(data, &[1], framing, &limits), "byte after byte");
    let Ok(Some((body, used))) = whole else {
        return;
    };
    assert!(body.len() as u64 <= limits.body_bytes_max);
    if framing == Framing::Chunked {
        assert_eq!(plain_chunks(&data[..used]), Some(body.clone()));
        let mut again = Vec::new();
        write_chunk(&mut again, &body);
        write_last_chunk(&mut again);
        let limits = BodyLimits::default();
        let n = again.len();
        assert_eq!(read(&again, &[], framing, &limits), Ok(Some((body, n))));
    }
}

/// The body, if it is complete, and how many bytes it took.
type Read = Result<Option<(Vec<u8>, usize)>, Error>;

fn read(data: &[u8], cuts: &[usize], framing: Framing, limits: &BodyLimits) -> Read {
    let now = Instant::START;
    let mut reader = Reader::new(now);
    let mut head = HEAD.to_vec();
    let mut input = Input::new(&mut head);
    let head = reader.poll_head(&mut input, &HeadLimits::default(), now);
    assert_eq!(head.as_ref().map(|head| head.as_deref()), Ok(Some(HEAD)));
    reader.expect_body(framing, limits, now)?;
    let mut used = 0;
    let mut pieces = cuts::pieces(data, cuts);
    // What has no bytes is complete without any.
    pieces.insert(0, b"");
    for piece in pieces {
        let mut bytes = piece.to_vec();
        let mut input = Input::new(&mut bytes);
        let body = reader.poll_body(&mut input, now)?;
        used += piece.len() - input.len();
        if let Some(body) = body {
            assert!(!reader.is_reading_body());
            return Ok(Some((body.into_owned(), used)));
        }
        assert!(input.is_empty(), "no body, and not all taken");
        assert_eq!(reader.body_bytes_received(), used as u64);
    }
    Ok(None)
}

/// A body in chunks that is known to be right, in the simplest way.
fn plain_chunks(mut data: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    let line = |data: &mut &[u8]| -> Option<Vec<u8>> {
        let end = data.windows(2).position(|w| w == b"\r\n")?;
        let line = data[..end].to_vec();
        *data = &data[end + 2..];
        Some(line)
    };
    loop {
        let size = String::from_utf8_lossy(&line(&mut data)?).into_owned();
        let size = usize::from_str_radix(size.split(';').next()?, 16).ok()?;
        if size == 0 {
            while !line(&mut data)?.is_empty() {}
            return data.is_empty().then_some(body);
        }
        body.extend_from_slice(data.get(..size)?);
        data = data[size..].strip_prefix(b"\r\n")?;
    }
}
