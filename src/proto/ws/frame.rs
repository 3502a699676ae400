//! Frames (RFC 6455, 5.2): reading the headers of a client, writing those of a server.
//!
//! Not here: payloads, and what frames make up together, which is the machine's.
//!
//! A header is judged as its bytes come: a reserved bit in the first byte is refused before the
//! second one is there, a length over the limit before the masking key.

use super::error::Error;

/// The opcode of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// The next fragment of a message.
    Continuation = 0,
    /// A text message or its first fragment.
    Text = 1,
    /// A binary message or its first fragment.
    Binary = 2,
    /// The last frame in its direction.
    Close = 8,
    /// Asks for a sign of life.
    Ping = 9,
    /// Answers a ping, or is sent unasked.
    Pong = 10,
}

impl Opcode {
    /// Whether this is a control frame: never fragmented, at most 125 bytes.
    pub const fn is_control(self) -> bool {
        self as u8 & 8 != 0
    }
}

/// The kind of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// Any bytes.
    Binary,
}

impl Kind {
    const fn opcode(self) -> Opcode {
        match self {
            Self::Text => Opcode::Text,
            Self::Binary => Opcode::Binary,
        }
    }
}

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whether this is the last frame of its message.
    pub fin: bool,
    /// The opcode.
    pub opcode: Opcode,
    /// The masking key; zeros for an unmasked frame, which change nothing.
    pub key: [u8; 4],
    /// The bytes of payload behind the header, within [`Rules::data_bytes_max`].
    pub len: usize,
}

impl Header {
    /// Whether the frame is a whole message.
    #[inline]
    pub const fn is_message(&self) -> bool {
        self.fin && matches!(self.opcode, Opcode::Text | Opcode::Binary)
    }

    /// The kind of the message that begins here.
    #[inline]
    pub const fn kind(&self) -> Kind {
        match self.opcode {
            Opcode::Text => Kind::Text,
            _ => Kind::Binary,
        }
    }
}

/// What a header is judged by besides the standard.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// A message is unfinished: only continuations and control frames may come (F5).
    pub in_message: bool,
    /// Frames without a mask are taken too (F3).
    pub accept_unmasked: bool,
    /// A length must be in its shortest form (F7).
    pub strict_length: bool,
    /// The bytes a data frame may still hold (F8).
    pub data_bytes_max: usize,
}

/// Reads the header at the front of `bytes` and how many bytes it takes. `Ok(None)`: not all there yet.
///
/// # Errors
///
/// The first of F1 to F8 that is broken, as soon as its bytes are there.
#[inline]
pub fn parse(bytes: &[u8], rules: &Rules) -> Result<Option<(Header, usize)>, Error> {
    let [first, rest @ ..] = bytes else {
        return Ok(None);
    };
    let fin = first & FIN != 0;
    let opcode = parse_first(*first, rules)?;
    let [second, rest @ ..] = rest else {
        return Ok(None);
    };
    let masked = second & MASK != 0;
    if !masked && !rules.accept_unmasked {
        return Err(Error::Unmasked);
    }
    let (len, rest) = match second & !MASK {
        len @ 0..=125 => (u64::from(len), rest),
        _ if opcode.is_control() => return Err(Error::ControlLength),
        form => match parse_long_len(form, rest, rules)? {
            Some(long) => long,
            None => return Ok(None),
        },
    };
    let len = match usize::try_from(len) {
        Ok(len) if len <= rules.data_bytes_max || opcode.is_control() => len,
        _ => return Err(Error::TooBig),
    };
    let (key, rest) = match rest.split_first_chunk::<4>() {
        _ if !masked => ([0; 4], rest),
        Some((key, rest)) => (*key, rest),
        None => return Ok(None),
    };
    let header = Header {
        fin,
        opcode,
        key,
        len,
    };
    Ok(Some((header, bytes.len() - rest.len())))
}

/// What the first byte alone tells: F1, F2, the half of F4 about FIN, F5.
#[inline]
fn parse_first(first: u8, rules: &Rules) -> Result<Opcode, Error> {
    if first & RESERVED != 0 {
        return Err(Error::ReservedBit);
    }
    let opcode = match first & 0x0f {
        0 => Opcode::Continuation,
        1 => Opcode::Text,
        2 => Opcode::Binary,
        8 => Opcode::Close,
        9 => Opcode::Ping,
        10 => Opcode::Pong,
        _ => return Err(Error::Opcode),
    };
    match opcode {
        Opcode::Continuation if !rules.in_message => Err(Error::LoneContinuation),
        Opcode::Text | Opcode::Binary if rules.in_message => Err(Error::Interrupted),
        _ if opcode.is_control() && first & FIN == 0 => Err(Error::ControlFragmented),
        _ => Ok(opcode),
    }
}

/// A length of two or of eight bytes, and what stands behind it: F6, F7.
#[inline]
fn parse_long_len<'b>(
    form: u8,
    bytes: &'b [u8],
    rules: &Rules,
) -> Result<Option<(u64, &'b [u8])>, Error> {
    let (len, rest) = if form == 126 {
        match bytes.split_first_chunk::<2>() {
            Some((len, rest)) => (u64::from(u16::from_be_bytes(*len)), rest),
            None => return Ok(None),
        }
    } else {
        // The top bit is the first one to come.
        if bytes.first().is_some_and(|byte| byte & 0x80 != 0) {
            return Err(Error::LengthTopBit);
        }
        match bytes.split_first_chunk::<8>() {
            Some((len, rest)) => (u64::from_be_bytes(*len), rest),
            None => return Ok(None),
        }
    };
    if rules.strict_length && form != short_len(len) {
        return Err(Error::LengthForm);
    }
    Ok(Some((len, rest)))
}

/// Appends the header of a server's frame: 2, 4 or 10 bytes, never masked.
#[inline]
pub fn write_frame_head(out: &mut Vec<u8>, fin: bool, opcode: Opcode, len: usize) {
    let first = u8::from(fin) << 7 | opcode as u8;
    // One append for each form: this is the hot path, and each append has a check of its own.
    if len <= 125 {
        out.extend_from_slice(&[first, len as u8]);
    } else {
        write_long_head(out, first, len);
    }
}

#[inline(never)]
fn write_long_head(out: &mut Vec<u8>, first: u8, len: usize) {
    if let Ok(len) = u16::try_from(len) {
        let [high, low] = len.to_be_bytes();
        out.extend_from_slice(&[first, 126, high, low]);
    } else {
        let [a, b, c, d, e, f, g, h] = (len as u64).to_be_bytes();
        out.extend_from_slice(&[first, 127, a, b, c, d, e, f, g, h]);
    }
}

/// Appends a message: one frame up to [`FRAGMENT_BYTES`], longer ones in fragments of that size,
/// so that control frames can pass between them.
#[inline(always)] // measured: a tenth of what sending a short message costs
pub fn write_message(out: &mut Vec<u8>, kind: Kind, payload: &[u8]) {
    if payload.len() > FRAGMENT_BYTES {
        return write_fragments(out, kind, payload);
    }
    out.reserve(payload.len() + HEAD_BYTES_MAX);
    write_frame_head(out, true, kind.opcode(), payload.len());
    out.extend_from_slice(payload);
}

#[cold]
fn write_fragments(out: &mut Vec<u8>, kind: Kind, payload: &[u8]) {
    let count = payload.len().div_ceil(FRAGMENT_BYTES);
    out.reserve(payload.len() + count * HEAD_BYTES_MAX);
    for (i, fragment) in payload.chunks(FRAGMENT_BYTES).enumerate() {
        let opcode = match i {
            0 => kind.opcode(),
            _ => Opcode::Continuation,
        };
        write_frame_head(out, i + 1 == count, opcode, fragment.len());
        out.extend_from_slice(fragment);
    }
}

/// The bytes of a message, made once for many receivers.
pub fn encode_message(kind: Kind, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_message(&mut out, kind, payload);
    out
}

/// Appends a control frame. The payload is at most 125 bytes; what is over is left out.
pub fn write_control(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    debug_assert!(opcode.is_control() && payload.len() <= CONTROL_BYTES_MAX);
    let payload = &payload[..payload.len().min(CONTROL_BYTES_MAX)];
    write_frame_head(out, true, opcode, payload.len());
    out.extend_from_slice(payload);
}

/// The seven bits of length in the second byte, in the shortest form.
#[inline]
const fn short_len(len: u64) -> u8 {
    match len {
        0..=125 => len as u8,
        126..=0xffff => 126,
        _ => 127,
    }
}

/// A message is cut into frames of this many bytes.
pub const FRAGMENT_BYTES: usize = 128 * 1024;
/// The bytes a control frame holds at most.
pub const CONTROL_BYTES_MAX: usize = 125;
/// The longest header of a client: two bytes, eight of length, four of key.
pub const CLIENT_HEAD_BYTES_MAX: usize = 14;
/// The longest header of a server.
const HEAD_BYTES_MAX: usize = 10;
const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASK: u8 = 0x80;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::ws::testing::raw_frame;

    const RULES: Rules = Rules {
        in_message: false,
        accept_unmasked: false,
        strict_length: false,
        data_bytes_max: usize::MAX,
    };

    /// Every form of the length field, whole and cut at each byte (RFC 6455, 5.2).
    #[test]
    fn length_field() {
        #[rustfmt::skip]
        let cases: &[(&str, &[u8], usize)] = &[
            ("empty message",         b"\x82\x80KEYS",                                 0),
            ("largest short form",    b"\x82\xfdKEYS",                                 125),
            ("smallest long form",    b"\x82\xfe\x00\x7eKEYS",                         126),
            ("largest of 2 bytes",    b"\x82\xfe\xff\xffKEYS",                         65_535),
            ("smallest of 8 bytes",   b"\x82\xff\0\0\0\0\x00\x01\x00\x00KEYS",         65_536),
            ("largest of 8 bytes",    b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xffKEYS", (u64::MAX >> 1) as usize),
            ("2 in 2 bytes (F7)",     b"\x82\xfe\x00\x02KEYS",                         2),
            ("2 in 8 bytes (F7)",     b"\x82\xff\0\0\0\0\0\0\0\x02KEYS",               2),
        ];
        for &(name, bytes, len) in cases {
            let header = Header {
                fin: true,
                opcode: Opcode::Binary,
                key: *b"KEYS",
                len,
            };
            assert_eq!(
                parse(bytes, &RULES),
                Ok(Some((header, bytes.len()))),
                "{name}"
            );
            let more = [bytes, b"payload"].concat();
            assert_eq!(
                parse(&more, &RULES),
                Ok(Some((header, bytes.len()))),
                "{name}, and more"
            );
            for cut in 0..bytes.len() {
                assert_eq!(
                    parse(&bytes[..cut], &RULES),
                    Ok(None),
                    "{name}, cut after {cut}"
                );
            }
            let strict = parse(
                bytes,
                &Rules {
                    strict_length: true,
                    ..RULES
                },
            );
            match name.contains("F7") {
                true => assert_eq!(strict, Err(Error::LengthForm), "{name}, strict"),
                false => assert_eq!(strict, Ok(Some((header, bytes.len()))), "{name}, strict"),
            }
        }
    }

    /// Each rule, and the number of bytes from which on it is known to be broken.
    #[test]
    fn refused_at_once() {
        let small = Rules {
            data_bytes_max: 200,
            ..RULES
        };
        let inside = Rules {
            in_message: true,
            ..RULES
        };
        let strict = Rules {
            strict_length: true,
            ..RULES
        };
        #[rustfmt::skip]
        let cases: &[(&str, &[u8], Rules, usize, Error)] = &[
            ("rsv1",                    b"\xc1\x80", RULES,  1, Error::ReservedBit),
            ("rsv2",                    b"\xa1\x80", RULES,  1, Error::ReservedBit),
            ("rsv3",                    b"\x91\x80", RULES,  1, Error::ReservedBit),
            ("rsv1 on a continuation",  b"\xc0\x80", inside, 1, Error::ReservedBit),
            ("rsv1 on a ping",          b"\xc9\x80", RULES,  1, Error::ReservedBit),
            ("rsv before opcode",       b"\xf3\x80", RULES,  1, Error::ReservedBit),
            ("opcode 3",                b"\x83\x80", RULES,  1, Error::Opcode),
            ("opcode 7",                b"\x87\x80", RULES,  1, Error::Opcode),
            ("opcode b",                b"\x8b\x80", RULES,  1, Error::Opcode),
            ("opcode f",                b"\x8f\x80", RULES,  1, Error::Opcode),
            ("unmasked text",           b"\x81\x05Hello", RULES, 2, Error::Unmasked),
            ("fragmented ping",         b"\x09\x80", RULES,  1, Error::ControlFragmented),
            ("fragmented close",        b"\x08\x80", inside, 1, Error::ControlFragmented),
            ("ping of 126",             b"\x89\xfe\x00\x7eKEYS", RULES, 2, Error::ControlLength),
            ("pong of 8-byte length",   b"\x8a\xff\0\0\0\0\0\0\0\x01KEYS", RULES, 2, Error::ControlLength),
            ("lone continuation",       b"\x80\x80", RULES,  1, Error::LoneContinuation),
            ("text inside a message",   b"\x81\x80", inside, 1, Error::Interrupted),
            ("binary inside a message", b"\x02\x80", inside, 1, Error::Interrupted),
            ("top bit",                 b"\x82\xff\x80\0\0\0\0\0\0\x01KEYS", RULES, 3, Error::LengthTopBit),
            ("not shortest",            b"\x82\xfe\x00\x7dKEYS", strict, 4, Error::LengthForm),
            ("not shortest of 8",       b"\x82\xff\0\0\0\0\0\0\xff\xffKEYS", strict, 10, Error::LengthForm),
            ("one over the limit",      b"\x82\xfe\x00\xc9KEYS", small, 4, Error::TooBig),
            ("far over the limit",      b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xffKEYS", small, 10, Error::TooBig),
        ];
        for &(name, bytes, rules, known, error) in cases {
            for cut in 0..=bytes.len() {
                let want = if cut < known { Ok(None) } else { Err(error) };
                assert_eq!(
                    parse(&bytes[..cut], &rules),
                    want,
                    "{name}, cut after {cut}"
                );
            }
        }
    }

    #[test]
    fn taken() {
        let inside = Rules {
            in_message: true,
            data_bytes_max: 3,
            ..RULES
        };
        let unmasked = Rules {
            accept_unmasked: true,
            ..RULES
        };
        #[rustfmt::skip]
        let cases: &[(&str, &[u8], Rules, Header)] = &[
            ("at the limit",     b"\x00\x83KEYS", inside,   Header { fin: false, opcode: Opcode::Continuation, key: *b"KEYS", len: 3 }),
            ("ping over it",     b"\x89\x84KEYS", inside,   Header { fin: true, opcode: Opcode::Ping, key: *b"KEYS", len: 4 }),
            ("longest pong",     b"\x8a\xfdKEYS", inside,   Header { fin: true, opcode: Opcode::Pong, key: *b"KEYS", len: 125 }),
            ("close",            b"\x88\x80KEYS", RULES,    Header { fin: true, opcode: Opcode::Close, key: *b"KEYS", len: 0 }),
            ("first fragment",   b"\x01\x83KEYS", RULES,    Header { fin: false, opcode: Opcode::Text, key: *b"KEYS", len: 3 }),
            ("unmasked",         b"\x81\x05",     unmasked, Header { fin: true, opcode: Opcode::Text, key: [0; 4], len: 5 }),
            ("masked all the same", b"\x81\x85KEYS", unmasked, Header { fin: true, opcode: Opcode::Text, key: *b"KEYS", len: 5 }),
        ];
        for &(name, bytes, rules, header) in cases {
            assert_eq!(
                parse(bytes, &rules),
                Ok(Some((header, bytes.len()))),
                "{name}"
            );
            for cut in 0..bytes.len() {
                assert_eq!(
                    parse(&bytes[..cut], &rules),
                    Ok(None),
                    "{name}, cut after {cut}"
                );
            }
        }
    }

    #[test]
    fn written_heads() {
        #[rustfmt::skip]
        let cases: &[(bool, Opcode, usize, &[u8])] = &[
            (true,  Opcode::Text,         0,      b"\x81\x00"),
            (true,  Opcode::Binary,       125,    b"\x82\x7d"),
            (false, Opcode::Text,         126,    b"\x01\x7e\x00\x7e"),
            (true,  Opcode::Continuation, 65_535, b"\x80\x7e\xff\xff"),
            (true,  Opcode::Text,         65_536, b"\x81\x7f\0\0\0\0\x00\x01\x00\x00"),
        ];
        for &(fin, opcode, len, want) in cases {
            let mut out = Vec::new();
            write_frame_head(&mut out, fin, opcode, len);
            assert_eq!(out, want, "{len}");
        }
    }

    /// One frame up to 128 KiB, fragments above, and the same bytes by either way.
    #[test]
    fn written_messages() {
        for len in [
            0,
            20,
            125,
            126,
            65_535,
            65_536,
            FRAGMENT_BYTES,
            FRAGMENT_BYTES + 1,
            3 * FRAGMENT_BYTES,
        ] {
            let payload: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let mut out = b"before".to_vec();
            write_message(&mut out, Kind::Binary, &payload);
            assert_eq!(out[6..], encode_message(Kind::Binary, &payload));
            let mut rest = &out[6..];
            let (mut got, mut frames) = (Vec::new(), 0);
            loop {
                let rules = Rules {
                    accept_unmasked: true,
                    in_message: frames > 0,
                    ..RULES
                };
                let (header, used) = parse(rest, &rules).unwrap().unwrap();
                assert!(header.len <= FRAGMENT_BYTES);
                got.extend_from_slice(&rest[used..used + header.len]);
                rest = &rest[used + header.len..];
                frames += 1;
                if header.fin {
                    break;
                }
            }
            assert!(rest.is_empty());
            assert_eq!(got, payload);
            assert_eq!(frames, len.div_ceil(FRAGMENT_BYTES).max(1), "{len}");
        }
    }

    /// The examples of RFC 6455, 5.7, in both directions.
    #[test]
    fn examples_of_the_rfc() {
        assert_eq!(encode_message(Kind::Text, b"Hello"), b"\x81\x05Hello");
        let masked = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
        assert_eq!(raw_frame(0x81, b"Hello"), masked);
        let (header, used) = parse(masked, &RULES).unwrap().unwrap();
        assert_eq!((header.len, used), (5, 6));
        assert_eq!(
            encode_message(Kind::Binary, &[0; 256])[..4],
            *b"\x82\x7e\x01\x00"
        );
        let mut out = Vec::new();
        write_control(&mut out, Opcode::Ping, b"Hello");
        assert_eq!(out, b"\x89\x05Hello");
    }
}
