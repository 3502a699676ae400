//! UTF-8 of text that comes in pieces (RFC 3629).
//!
//! The bulk goes to `std::str::from_utf8`; only a sequence cut by the end of a piece is kept, at
//! most three bytes. A piece fails at the first byte that cannot continue any valid sequence,
//! without waiting for the end of the text (T2); only the end of the text says whether a cut
//! sequence is an error (T3).

use std::fmt;

/// A check in progress.
#[derive(Clone, Copy, Debug, Default)]
pub struct Utf8 {
    /// The sequence not finished yet: `cut[..len]`.
    cut: [u8; 3],
    len: u8,
}

/// A byte that continues no valid sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid;

impl Utf8 {
    /// Checks the next piece.
    ///
    /// # Errors
    ///
    /// [`Invalid`] if no text begins with what has come so far; the check is over then.
    pub fn feed(&mut self, mut piece: &[u8]) -> Result<(), Invalid> {
        while self.len > 0 {
            let Some((&byte, rest)) = piece.split_first() else {
                return Ok(());
            };
            let len = usize::from(self.len);
            let mut sequence = [0; 4];
            sequence[..len].copy_from_slice(&self.cut[..len]);
            sequence[len] = byte;
            self.check(&sequence[..=len])?;
            piece = rest;
        }
        self.check(piece)
    }

    /// Whether the text may end here: no sequence is open.
    pub fn is_complete(&self) -> bool {
        self.len == 0
    }

    /// Checks bytes that begin at the border of a character, and keeps a sequence cut at their end.
    fn check(&mut self, bytes: &[u8]) -> Result<(), Invalid> {
        self.len = 0;
        let Err(error) = std::str::from_utf8(bytes) else {
            return Ok(());
        };
        if error.error_len().is_some() {
            return Err(Invalid);
        }
        let cut = &bytes[error.valid_up_to()..];
        self.cut[..cut.len()].copy_from_slice(cut);
        self.len = cut.len() as u8;
        Ok(())
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not utf-8")
    }
}

impl std::error::Error for Invalid {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::ws::testing::Random;

    /// How many bytes are taken one at a time before the refusal; `Ok`: all, and whether complete.
    fn by_bytes(text: &[u8]) -> Result<bool, usize> {
        let mut utf8 = Utf8::default();
        for (i, &byte) in text.iter().enumerate() {
            utf8.feed(&[byte]).map_err(|Invalid| i)?;
        }
        Ok(utf8.is_complete())
    }

    fn whole(text: &[u8]) -> Result<bool, Invalid> {
        let mut utf8 = Utf8::default();
        utf8.feed(text)?;
        Ok(utf8.is_complete())
    }

    /// Borders of each length, overlong forms, surrogates, values past the end (T1), and the byte
    /// at which each is refused (T2).
    #[test]
    fn sequences() {
        #[rustfmt::skip]
        let cases: &[(&str, &[u8], Result<bool, usize>)] = &[
            ("nothing",                    b"",                                   Ok(true)),
            ("ascii",                      b"hello",                              Ok(true)),
            ("greek",                      "κόσμε".as_bytes(),                    Ok(true)),
            ("largest of one byte",        b"\x7f",                               Ok(true)),
            ("smallest of two",            b"\xc2\x80",                           Ok(true)),
            ("largest of two",             b"\xdf\xbf",                           Ok(true)),
            ("smallest of three",          b"\xe0\xa0\x80",                       Ok(true)),
            ("before the surrogates",      b"\xed\x9f\xbf",                       Ok(true)),
            ("behind the surrogates",      b"\xee\x80\x80",                       Ok(true)),
            ("replacement character",      b"\xef\xbf\xbd",                       Ok(true)),
            ("noncharacter ffff",          b"\xef\xbf\xbf",                       Ok(true)),
            ("smallest of four",           b"\xf0\x90\x80\x80",                   Ok(true)),
            ("largest of all",             b"\xf4\x8f\xbf\xbf",                   Ok(true)),
            ("byte order mark",            b"\xef\xbb\xbf",                       Ok(true)),
            ("cut after one of two",       b"a\xc3",                              Ok(false)),
            ("cut after two of three",     b"a\xe2\x82",                          Ok(false)),
            ("cut after three of four",    b"a\xf0\x9f\x98",                      Ok(false)),
            ("lone continuation",          b"\x80",                               Err(0)),
            ("lone last continuation",     b"a\xbf",                              Err(1)),
            ("two lead bytes",             b"\xc3\xc3",                           Err(1)),
            ("lead, then ascii",           b"\xe2\x82a",                          Err(2)),
            ("overlong slash, two",        b"\xc0\xaf",                           Err(0)),
            ("overlong of two, largest",   b"\xc1\xbf",                           Err(0)),
            ("overlong slash, three",      b"\xe0\x80\xaf",                       Err(1)),
            ("overlong of three, largest", b"\xe0\x9f\xbf",                       Err(1)),
            ("overlong slash, four",       b"\xf0\x80\x80\xaf",                   Err(1)),
            ("overlong of four, largest",  b"\xf0\x8f\xbf\xbf",                   Err(1)),
            ("first surrogate",            b"\xed\xa0\x80",                       Err(1)),
            ("last surrogate",             b"\xed\xbf\xbf",                       Err(1)),
            ("surrogate pair",             b"\xed\xa0\x80\xed\xb0\x80",           Err(1)),
            ("first past the end",         b"\xf4\x90\x80\x80",                   Err(1)),
            ("f5",                         b"\xf5",                               Err(0)),
            ("five bytes",                 b"\xf8\x88\x80\x80\x80",               Err(0)),
            ("six bytes",                  b"\xfc\x84\x80\x80\x80\x80",           Err(0)),
            ("fe",                         b"\xfe",                               Err(0)),
            ("ff",                         b"\xff",                               Err(0)),
            ("valid, then wrong",          b"\xce\xba\xe1\xbd\xb9\xf4\x90\x80",   Err(6)),
        ];
        for &(name, text, want) in cases {
            assert_eq!(by_bytes(text), want, "{name}");
            let want = want.map_err(|_| Invalid);
            assert_eq!(whole(text), want, "{name}, whole");
            for cut in 0..text.len() {
                let mut utf8 = Utf8::default();
                let got = utf8
                    .feed(&text[..cut])
                    .and_then(|()| utf8.feed(&text[cut..]))
                    .map(|()| utf8.is_complete());
                assert_eq!(got, want, "{name}, cut after {cut}");
            }
        }
    }

    /// Every character there is, a byte at a time.
    #[test]
    fn every_character() {
        let mut utf8 = Utf8::default();
        for c in '\0'..=char::MAX {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                assert_eq!(utf8.feed(&[byte]), Ok(()), "{c:?}");
            }
            assert!(utf8.is_complete(), "{c:?}");
        }
    }

    /// Random bytes near the borders of the grammar, in random pieces, against the standard library.
    #[test]
    fn same_as_std() {
        const BYTES: &[u8] = b"az\x7f\x80\x8f\x90\x9f\xa0\xbf\xc2\xdf\xe0\xe1\xed\xef\xf0\xf1\xf4";
        let seed = 0x5eed_0002;
        let mut random = Random(seed);
        for _ in 0..50_000 {
            let len = random.below(6);
            let text: Vec<u8> = (0..len).map(|_| BYTES[random.below(BYTES.len())]).collect();
            let cut = random.below(len + 1);
            let mut utf8 = Utf8::default();
            let got = utf8.feed(&text[..cut]).is_ok()
                && utf8.feed(&text[cut..]).is_ok()
                && utf8.is_complete();
            let want = std::str::from_utf8(&text).is_ok();
            assert_eq!(got, want, "seed {seed:x}: {text:x?}, cut after {cut}");
        }
    }
}
