//! Bodies in chunks, byte after byte (RFC 9112, 7.1).
//!
//! ```text
//!            digits        ";"                      CR           LF
//!   Size ------------> Size -----> Extension ------------> SizeLf ---+--> Data --> DataCr --> DataLf --> Size
//!                                                                    |
//!                                              size 0: TrailerStart <+   any trailer line: back to TrailerStart
//!   TrailerStart -- CR --> EndLf -- LF --> Done        TrailerStart -> TrailerName -> TrailerValue -> TrailerLf
//! ```
//!
//! The data is copied to one buffer; extensions and trailers are checked and dropped. Any two bytes
//! may be a read apart.
//!
//! Invariant: the buffer grows with the data that came, never with the size that was announced.

use super::error::Error;
use super::framing::BODY_BYTES_END;
use super::grammar::{is_token_byte, is_value_byte};
use crate::storage::input::Input;

/// How large a body may be, and what chunks may cost besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyLimits {
    /// Bytes of the body. Default: 1 MiB. Over it: 413, before they are read.
    pub body_bytes_max: u64,
    /// Bytes of a chunk's size line, extensions included, CRLF not. Default: 256. Over it: 400.
    pub chunk_line_bytes_max: u16,
    /// Bytes of all extensions of a body. Default: 4 KiB. Over it: 400.
    pub chunk_overhead_bytes_max: u16,
    /// Bytes of all trailer lines. Default: 4 KiB. Over it: 431.
    pub trailer_bytes_max: u16,
    /// Trailer lines. Default: 32. Over it: 431.
    pub trailers_max: u16,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self {
            body_bytes_max: 1 << 20,
            chunk_line_bytes_max: 256,
            chunk_overhead_bytes_max: 4 << 10,
            trailer_bytes_max: 4 << 10,
            trailers_max: 32,
        }
    }
}

/// Takes the chunks off one body.
#[derive(Clone, Debug)]
pub struct Decoder {
    state: State,
    limits: BodyLimits,
    /// Of the current chunk: announced, later what is left of it.
    size: u64,
    /// Bytes of the current size line.
    line: u16,
    overhead: u16,
    trailer_bytes: u16,
    trailers: u16,
    /// The beginning of the current trailer's name, in lower case.
    name: [u8; NAME_BYTES],
    name_len: u8,
    /// Data bytes announced so far.
    total: u64,
    chunks: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size { digits: u8 },
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    Done,
}

impl Decoder {
    /// A decoder for one body.
    pub fn new(limits: BodyLimits) -> Self {
        Self {
            state: State::Size { digits: 0 },
            limits,
            size: 0,
            line: 0,
            overhead: 0,
            trailer_bytes: 0,
            trailers: 0,
            name: [0; NAME_BYTES],
            name_len: 0,
            total: 0,
            chunks: 0,
        }
    }

    /// Chunks begun so far, the last one included. Whoever deals out the loop's time counts each as
    /// 1 KiB of work.
    pub fn chunks(&self) -> u64 {
        self.chunks
    }

    /// Takes what belongs to the body off `input` and appends the data to `out`. `true`: the body is
    /// complete, and what is left of `input` comes after it. Else `input` is empty, or so many chunks
    /// were taken that others should have their turn; then call again.
    ///
    /// # Errors
    ///
    /// Every breach of the grammar of chunks (RFC 9112, 7.1), and of the limits. The decoder is of no use
    /// after one.
    pub fn decode(&mut self, input: &mut Input<'_>, out: &mut Vec<u8>) -> Result<bool, Error> {
        let most = self.chunks + CHUNKS_PER_CALL;
        while self.state != State::Done && !input.is_empty() && self.chunks < most {
            if self.state == State::Data {
                let n = usize::try_from(self.size).unwrap_or(usize::MAX);
                let data = input.take(n);
                out.extend_from_slice(data);
                self.size -= data.len() as u64;
                if self.size == 0 {
                    self.state = State::DataCr;
                }
                continue;
            }
            let mut used = 0;
            for &b in input.rest() {
                self.state = self.step(b)?;
                used += 1;
                if matches!(self.state, State::Data | State::Done) {
                    break;
                }
            }
            input.take(used);
        }
        Ok(self.state == State::Done)
    }

    /// One byte that is not data.
    fn step(&mut self, b: u8) -> Result<State, Error> {
        Ok(match (self.state, b) {
            (State::Size { digits }, _) if b.is_ascii_hexdigit() => {
                if digits == SIZE_DIGITS_MAX {
                    return Err(Error::Framing("chunk size"));
                }
                // 16 digits fit in 64 bits.
                self.size = self.size << 4 | hex_value(b);
                self.count_line_byte()?;
                State::Size { digits: digits + 1 }
            }
            (State::Size { digits: 1.. }, b';') => {
                self.count_extension_byte()?;
                State::Extension
            }
            (State::Size { digits: 1.. } | State::Extension, b'\r') => State::SizeLf,
            (State::Size { .. }, _) => return Err(Error::Framing("chunk size")),
            (State::Extension, _) if is_value_byte(b) => {
                self.count_extension_byte()?;
                State::Extension
            }
            (State::Extension, _) => return Err(Error::Framing("chunk extension")),
            (State::SizeLf, b'\n') => self.begin_chunk()?,
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size { digits: 0 },
            (State::TrailerStart, b'\r') => State::EndLf,
            (State::TrailerStart, _) if is_token_byte(b) => {
                self.trailers += 1;
                if self.trailers > self.limits.trailers_max {
                    return Err(Error::HeadTooLarge("trailer lines"));
                }
                self.name_len = 0;
                self.push_name_byte(b)?;
                State::TrailerName
            }
            (State::TrailerName, b':') => {
                self.count_trailer_byte()?;
                self.check_name()?;
                State::TrailerValue
            }
            (State::TrailerName, _) if is_token_byte(b) => {
                self.push_name_byte(b)?;
                State::TrailerName
            }
            (State::TrailerValue, b'\r') => State::TrailerLf,
            (State::TrailerValue, _) if is_value_byte(b) => {
                self.count_trailer_byte()?;
                State::TrailerValue
            }
            (State::TrailerLf, b'\n') => State::TrailerStart,
            (State::EndLf, b'\n') => State::Done,
            (State::TrailerStart | State::TrailerName | State::TrailerValue, _) => {
                return Err(Error::Syntax("trailer"));
            }
            (
                State::SizeLf | State::DataCr | State::DataLf | State::TrailerLf | State::EndLf,
                _,
            ) => {
                return Err(Error::Framing("line end in a chunked body"));
            }
            (State::Data | State::Done, _) => self.state,
        })
    }

    /// The size line is complete.
    fn begin_chunk(&mut self) -> Result<State, Error> {
        self.chunks += 1;
        self.line = 0;
        if self.size > BODY_BYTES_END {
            return Err(Error::Framing("chunk size"));
        }
        if self.size == 0 {
            return Ok(State::TrailerStart);
        }
        // Neither is over 2^63-1.
        self.total += self.size;
        if self.total > self.limits.body_bytes_max.min(BODY_BYTES_END) {
            return Err(Error::BodyTooLarge);
        }
        Ok(State::Data)
    }

    fn count_line_byte(&mut self) -> Result<(), Error> {
        count(
            &mut self.line,
            self.limits.chunk_line_bytes_max,
            Error::Framing("chunk size line over the limit"),
        )
    }

    fn count_extension_byte(&mut self) -> Result<(), Error> {
        self.count_line_byte()?;
        count(
            &mut self.overhead,
            self.limits.chunk_overhead_bytes_max,
            Error::Framing("chunk extensions over the limit"),
        )
    }

    fn count_trailer_byte(&mut self) -> Result<(), Error> {
        count(
            &mut self.trailer_bytes,
            self.limits.trailer_bytes_max,
            Error::HeadTooLarge("trailers"),
        )
    }

    fn push_name_byte(&mut self, b: u8) -> Result<(), Error> {
        self.count_trailer_byte()?;
        if let Some(slot) = self.name.get_mut(usize::from(self.name_len)) {
            *slot = b.to_ascii_lowercase();
            self.name_len += 1;
        }
        Ok(())
    }

    /// A trailer cannot change what the head has settled. A longer name that begins like a
    /// forbidden one fills the room for names and is equal to none.
    fn check_name(&self) -> Result<(), Error> {
        match &self.name[..usize::from(self.name_len)] {
            b"content-length" | b"transfer-encoding" | b"host" | b"connection" => {
                Err(Error::Framing("forbidden trailer"))
            }
            _ => Ok(()),
        }
    }
}

fn count(counter: &mut u16, max: u16, error: Error) -> Result<(), Error> {
    if *counter >= max {
        return Err(error);
    }
    *counter += 1;
    Ok(())
}

fn hex_value(b: u8) -> u64 {
    char::from(b).to_digit(16).map_or(0, u64::from)
}

const SIZE_DIGITS_MAX: u8 = 16;
/// One more than the longest forbidden name has.
const NAME_BYTES: usize = "transfer-encoding".len() + 1;

/// Chunks that one call takes: a peer that sends tiny ones must not hold the loop for long.
const CHUNKS_PER_CALL: u64 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    type Decoded = Result<Option<(Vec<u8>, usize)>, u16>;

    /// The body and how many bytes it took; `None` if it is not complete.
    fn decode_in_pieces(bytes: &[u8], piece: usize, limits: BodyLimits) -> Decoded {
        let mut decoder = Decoder::new(limits);
        let mut out = Vec::new();
        let mut used = 0;
        for piece in bytes.chunks(piece.max(1)) {
            let mut piece = piece.to_vec();
            let len = piece.len();
            let mut input = Input::new(&mut piece);
            let done = decoder
                .decode(&mut input, &mut out)
                .map_err(Error::status)?;
            used += len - input.len();
            if done {
                return Ok(Some((out, used)));
            }
            assert!(input.is_empty());
        }
        Ok(None)
    }

    fn decode(bytes: &[u8], limits: BodyLimits) -> Decoded {
        let whole = decode_in_pieces(bytes, bytes.len(), limits);
        for piece in 1..bytes.len().min(9) {
            assert_eq!(
                decode_in_pieces(bytes, piece, limits),
                whole,
                "pieces of {piece}"
            );
        }
        whole
    }

    #[test]
    fn accepted_bodies() {
        #[rustfmt::skip]
        let cases: &[(&[u8], &[u8])] = &[
            (b"0\r\n\r\n",                                          b""),
            (b"5\r\nhello\r\n0\r\n\r\n",                            b"hello"),
            (b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",    b"01234567890123456789"),
            (b"0005\r\nhello\r\n000\r\n\r\n",                       b"hello"),
            (b"0000000000000005\r\nhello\r\n0000000000000000\r\n\r\n", b"hello"),
            (b"5;a=b;c=\"d;e\"\r\nhello\r\n0;x\r\n\r\n",            b"hello"),
            (b"5;\r\nhello\r\n0;\t\xe9\r\n\r\n",                    b"hello"),
            (b"5\r\nhello\r\n0\r\nX-T: 1\r\nY:\r\n\r\n",            b"hello"),
            (b"1\r\n\r\r\n1\r\n\n\r\n0\r\nHosts: a\r\nTransfer-Encoding2: x\r\n\r\n", b"\r\n"),
        ];
        for &(bytes, body) in cases {
            let limits = BodyLimits::default();
            let want = Ok(Some((body.to_vec(), bytes.len())));
            assert_eq!(decode(bytes, limits), want, "{}", bytes.escape_ascii());
            let more = [bytes, b"GET / HTTP/1.1\r\n"].concat();
            assert_eq!(
                decode(&more, limits),
                want,
                "{} and more",
                bytes.escape_ascii()
            );
            for cut in 0..bytes.len() {
                assert_eq!(decode(&bytes[..cut], limits), Ok(None), "cut after {cut}");
            }
        }
    }

    /// The groups "chunk size" and "chunk end"; RUSTSEC-2021-0079 (chunk size overflow).
    #[test]
    fn refused_bodies() {
        #[rustfmt::skip]
        let cases: &[(&[u8], u16)] = &[
            (b"+5\r\nhello\r\n0\r\n\r\n", 400),  (b"-5\r\nhello\r\n0\r\n\r\n", 400),
            (b"0x5\r\nhello\r\n0\r\n\r\n", 400), (b"0_5\r\nhello\r\n0\r\n\r\n", 400),
            (b"\r\nhello\r\n0\r\n\r\n", 400),    (b";a\r\nhello", 400),
            (b"5zz\r\nhello\r\n0\r\n\r\n", 400), (b" 5\r\nhello\r\n0\r\n\r\n", 400),
            (b"5 \r\nhello\r\n0\r\n\r\n", 400),  (b"5 ;a\r\nhello\r\n0\r\n\r\n", 400),
            (b"00000000000000005\r\nhello\r\n0\r\n\r\n", 400),
            (b"ffffffffffffffff\r\n", 400),      (b"8000000000000000\r\n", 400),
            (b"f0000000000000003\r\nabc", 400),  (b"7fffffffffffffff\r\n", 413),
            (b"5\r\r;x\nhello", 400),            (b"5;a\rb\r\nhello", 400),
            (b"5\nhello", 400),                  (b"5;a\nhello", 400),
            (b"5;\0\r\nhello", 400),             (b"5;\x7f\r\nhello", 400),
            (b"5\r\nhello!\r\n", 400),           (b"5\r\nhello\n0\r\n\r\n", 400),
            (b"5\r\nhelloxx0\r\n\r\n", 400),     (b"5\r\nhello\rx", 400),
            (b"5\r\nhello0\r\n\r\n", 400),       (b"0\r\n\n", 400),
            (b"0\r\n\rx", 400),                  (b"0\r\nX\r\n\r\n", 400),
            (b"0\r\nX : y\r\n\r\n", 400),        (b"0\r\n: y\r\n\r\n", 400),
            (b"0\r\nX: y\n\r\n", 400),           (b"0\r\nX: \0\r\n\r\n", 400),
            (b"0\r\nX: y\r\n z\r\n\r\n", 400),   (b"0\r\nX: a\rb\r\n\r\n", 400),
            (b"0\r\nContent-Length: 5\r\n\r\n", 400),
            (b"0\r\ntransfer-encoding: chunked\r\n\r\n", 400),
            (b"0\r\nX: y\r\nHOST: a\r\n\r\n", 400),
            (b"0\r\nConnection: close\r\n\r\n", 400),
        ];
        for &(bytes, status) in cases {
            let refused = decode(bytes, BodyLimits::default());
            assert_eq!(refused, Err(status), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn limits_just_under_and_just_over() {
        let limits = BodyLimits {
            body_bytes_max: 6,
            chunk_line_bytes_max: 8,
            chunk_overhead_bytes_max: 10,
            trailer_bytes_max: 12,
            trailers_max: 2,
        };
        #[rustfmt::skip]
        let cases: &[(&str, &[u8], Option<u16>)] = &[
            ("body at",        b"3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n", None),
            ("body over",      b"3\r\nabc\r\n4\r\n", Some(413)),
            ("line at",        b"1;234567\r\na\r\n0\r\n\r\n", None),
            ("line over",      b"1;2345678", Some(400)),
            ("digits at",      b"00000001\r\na\r\n0\r\n\r\n", None),
            ("digits over",    b"000000001", Some(400)),
            ("overhead at",    b"1;2345\r\na\r\n1;2345\r\na\r\n0\r\n\r\n", None),
            ("overhead over",  b"1;2345\r\na\r\n1;23456\r\na\r\n0\r\n\r\n", Some(400)),
            ("trailer at",     b"0\r\nabc: 6\r\nabc: 6\r\n\r\n", None),
            ("trailer over",   b"0\r\nabc: 6\r\nabc: 67\r\n\r\n", Some(431)),
            ("trailers over",  b"0\r\na:\r\nb:\r\nc:\r\n\r\n", Some(431)),
        ];
        for &(name, bytes, refused) in cases {
            assert_eq!(decode(bytes, limits).err(), refused, "{name}");
        }
    }

    /// Node CVE-2024-22019, Go CVE-2023-39326: extensions without end, in one line and over many.
    #[test]
    fn endless_extensions_are_cut_off() {
        let one = [&b"1;"[..], &[b'a'; 100_000]].concat();
        let many = b"1;0123456789\r\na\r\n".repeat(10_000);
        for bytes in [&one[..], &many] {
            assert_eq!(
                decode_in_pieces(bytes, 1000, BodyLimits::default()),
                Err(400)
            );
        }
    }

    #[test]
    fn oversized_trailer() {
        let bytes = [&b"0\r\nX: "[..], &[b'a'; 200_000]].concat();
        assert_eq!(
            decode_in_pieces(&bytes, 1000, BodyLimits::default()),
            Err(431)
        );
    }

    /// ws CVE-2026-48779: a chunk costs no object of its own, and each is counted as work.
    #[test]
    fn tiny_chunks_are_counted() {
        let mut bytes = b"1\r\na\r\n".repeat(10_000);
        bytes.extend_from_slice(b"0\r\n\r\n");
        let mut decoder = Decoder::new(BodyLimits::default());
        let mut out = Vec::new();
        let mut input = Input::new(&mut bytes);
        let mut calls = 0;
        while !decoder.decode(&mut input, &mut out).unwrap() {
            calls += 1;
            assert_eq!(decoder.chunks(), calls * CHUNKS_PER_CALL);
        }
        assert_eq!((out.len(), decoder.chunks()), (10_000, 10_001));
    }
}
