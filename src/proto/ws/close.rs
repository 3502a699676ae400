//! Close frames: codes, payloads, reasons (RFC 6455, 5.5.1 and 7.4).
//!
//! Not here: who may send one when, which the machine knows.

use super::error::Error;

/// What a close frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close<'b> {
    /// The code; `None` if the payload was empty (the application sees 1005).
    pub code: Option<u16>,
    /// The reason, empty if there is none.
    pub reason: &'b str,
}

impl<'b> Close<'b> {
    /// Reads the payload of a close frame.
    ///
    /// # Errors
    ///
    /// [`Error::CloseLength`], [`Error::CloseCode`] (1002 both), [`Error::CloseReason`] (1007).
    pub fn parse(payload: &'b [u8]) -> Result<Self, Error> {
        let Some((code, reason)) = payload.split_first_chunk::<2>() else {
            return match payload {
                [] => Ok(Self {
                    code: None,
                    reason: "",
                }),
                _ => Err(Error::CloseLength),
            };
        };
        let code = u16::from_be_bytes(*code);
        if !valid_code(code) {
            return Err(Error::CloseCode);
        }
        let reason = std::str::from_utf8(reason).map_err(|_| Error::CloseReason)?;
        Ok(Self {
            code: Some(code),
            reason,
        })
    }

    /// Appends the whole frame, unmasked as a server sends it.
    ///
    /// The reason is cut to 123 bytes at the border of a character; without a code it is left out.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let Some(code) = self.code else {
            return out.extend_from_slice(&[CLOSE, 0]);
        };
        let reason = cut_reason(self.reason);
        out.extend_from_slice(&[CLOSE, 2 + reason.len() as u8]);
        out.extend_from_slice(&code.to_be_bytes());
        out.extend_from_slice(reason.as_bytes());
    }
}

/// Whether a code may stand in a close frame, received or sent.
///
/// 1004, 1005, 1006 and 1015 are reserved, 1016 to 2999 not given out; 1012 to 1014 were
/// registered after the RFC.
pub const fn valid_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// As much of a reason as a close frame holds: 123 bytes, cut at the border of a character.
pub fn cut_reason(reason: &str) -> &str {
    let mut len = reason.len().min(REASON_BYTES_MAX);
    while !reason.is_char_boundary(len) {
        len -= 1;
    }
    &reason[..len]
}

/// The 125 bytes of a control frame without the code.
pub const REASON_BYTES_MAX: usize = 123;
/// FIN and the opcode.
const CLOSE: u8 = 0x88;

#[cfg(test)]
mod tests {
    use super::*;

    /// Those of the standard, and the codes of Autobahn 7.7 and 7.9.
    #[test]
    fn codes() {
        let good = [
            1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999,
            4000, 4999,
        ];
        let bad = [
            0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535,
        ];
        for code in good {
            assert!(valid_code(code), "{code}");
        }
        for code in bad {
            assert!(!valid_code(code), "{code}");
        }
        let count = (0..=u16::MAX).filter(|&code| valid_code(code)).count();
        assert_eq!(count, 4 + 8 + 2000);
    }

    #[test]
    fn payloads() {
        let long = [b"\x03\xe8".as_slice(), &[b'a'; 123]].concat();
        let long_reason = "a".repeat(123);
        type Parsed<'a> = Result<(Option<u16>, &'a str), Error>;
        #[rustfmt::skip]
        let cases: &[(&str, &[u8], Parsed<'_>)] = &[
            ("empty",            b"",                     Ok((None, ""))),
            ("one byte",         b"\x03",                 Err(Error::CloseLength)),
            ("code only",        b"\x03\xe8",             Ok((Some(1000), ""))),
            ("code and reason",  b"\x0f\xa0bye",          Ok((Some(4000), "bye"))),
            ("reason not ascii", b"\x03\xe8\xc3\xa9",     Ok((Some(1000), "é"))),
            ("longest",          &long,                   Ok((Some(1000), &long_reason))),
            ("1005",             b"\x03\xed",             Err(Error::CloseCode)),
            ("999",              b"\x03\xe7",             Err(Error::CloseCode)),
            ("1015",             b"\x03\xf7",             Err(Error::CloseCode)),
            ("2999",             b"\x0b\xb7",             Err(Error::CloseCode)),
            ("bad reason",       b"\x03\xe8\xff",         Err(Error::CloseReason)),
            ("cut reason",       b"\x03\xe8\xc3",         Err(Error::CloseReason)),
            ("bad in both",      b"\x03\xe7\xff",         Err(Error::CloseCode)),
        ];
        for &(name, payload, want) in cases {
            let got = Close::parse(payload).map(|close| (close.code, close.reason));
            assert_eq!(got, want, "{name}");
        }
    }

    #[test]
    fn encoding() {
        #[rustfmt::skip]
        let cases: &[(Option<u16>, &str, &[u8])] = &[
            (None,       "",    b"\x88\x00"),
            (None,       "bye", b"\x88\x00"),
            (Some(1000), "",    b"\x88\x02\x03\xe8"),
            (Some(4000), "bye", b"\x88\x05\x0f\xa0bye"),
        ];
        for &(code, reason, want) in cases {
            let mut out = Vec::new();
            Close { code, reason }.encode(&mut out);
            assert_eq!(out, want);
        }
    }

    #[test]
    fn reasons_are_cut_between_characters() {
        for (unit, len) in [("a", 123), ("é", 122), ("€", 123), ("😀", 120)] {
            let reason = unit.repeat(200);
            assert_eq!(cut_reason(&reason).len(), len, "{unit}");
            let fits = unit.repeat(123 / unit.len());
            assert_eq!(cut_reason(&fits), fits, "{unit}");
            let mut out = Vec::new();
            Close {
                code: Some(1000),
                reason: &reason,
            }
            .encode(&mut out);
            assert_eq!(usize::from(out[1]), len + 2, "{unit}");
            assert_eq!(out.len(), len + 4, "{unit}");
        }
    }
}
