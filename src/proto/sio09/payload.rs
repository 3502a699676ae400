//! Payloads: the packets of one body (section 5).
//!
//! One packet stands there as it is. Of several each has a head: U+FFFD, the length in UTF-16 code
//! units, U+FFFD. A WebSocket message is always one packet, without any of this.

/// Collects packets for one answer.
///
/// Invariant: `text` is what is to be written, framed if there is more than one packet.
#[derive(Debug, Default)]
pub struct Payload {
    text: String,
    packets: usize,
}

impl Payload {
    /// Without packets.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts `packet` behind the others.
    pub fn push(&mut self, packet: &str) {
        self.packets += 1;
        match self.packets {
            1 => {}
            2 => {
                let mut head = String::new();
                push_head(&mut head, &self.text);
                self.text.insert_str(0, &head);
                push_head(&mut self.text, packet);
            }
            _ => push_head(&mut self.text, packet),
        }
        self.text.push_str(packet);
    }

    /// Whether there are no packets.
    pub fn is_empty(&self) -> bool {
        self.packets == 0
    }

    /// How many bytes [`Self::take_into`] would append.
    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// Appends the body with all packets, and is empty then.
    pub fn take_into(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.text.as_bytes());
        self.packets = 0;
        self.text.clear();
        self.text.shrink_to(KEPT_BYTES_MAX);
    }
}

fn push_head(out: &mut String, packet: &str) {
    let mut digits = itoa::Buffer::new();
    out.push_str(MARK);
    out.push_str(digits.format(units_of(packet)));
    out.push_str(MARK);
}

/// How long `text` is in UTF-16.
fn units_of(text: &str) -> usize {
    if text.is_ascii() {
        return text.len();
    }
    // One for the first byte of a character, two if the character has four.
    let count = |n, b: u8| n + usize::from(b & 0xc0 != 0x80) + usize::from(b >= 0xf0);
    text.bytes().fold(0, count)
}

/// The packets of a body that a client sent, those that are empty left out.
///
/// A body that does not begin with U+FFFD is one packet. A length that is too long gives what is
/// there; where no head can be read the rest is dropped.
pub fn packets(body: &str) -> Packets<'_> {
    match body.starts_with(MARK) {
        true => Packets {
            single: "",
            framed: body,
        },
        false => Packets {
            single: body,
            framed: "",
        },
    }
}

/// Packets of a body; see [`packets`].
#[derive(Clone, Debug)]
pub struct Packets<'b> {
    /// The only packet, if there are no heads.
    single: &'b str,
    /// Packets with heads.
    framed: &'b str,
}

impl<'b> Iterator for Packets<'b> {
    type Item = &'b str;

    fn next(&mut self) -> Option<&'b str> {
        if !self.single.is_empty() {
            return Some(std::mem::take(&mut self.single));
        }
        loop {
            let (units, rest) = parse_head(std::mem::take(&mut self.framed))?;
            let (packet, rest) = rest.split_at(bytes_of(rest, units));
            self.framed = rest;
            if !packet.is_empty() {
                return Some(packet);
            }
        }
    }
}

/// The length and what follows the head. A length that is too large is as good as the largest.
fn parse_head(framed: &str) -> Option<(usize, &str)> {
    let rest = framed.strip_prefix(MARK)?;
    let mut units = 0_usize;
    let mut at = 0;
    while let Some(digit @ b'0'..=b'9') = rest.as_bytes().get(at) {
        units = units
            .saturating_mul(10)
            .saturating_add(usize::from(digit - b'0'));
        at += 1;
    }
    match at {
        0 => None,
        _ => Some((units, rest[at..].strip_prefix(MARK)?)),
    }
}

/// How many bytes so many UTF-16 code units at the front have, or all if there are fewer. A
/// character that would be cut in halves is given whole.
fn bytes_of(text: &str, units: usize) -> usize {
    if text.as_bytes().get(..units).is_some_and(<[u8]>::is_ascii) {
        return units;
    }
    let mut at = 0;
    let mut left = units;
    for c in text.chars() {
        if left == 0 {
            break;
        }
        left = left.saturating_sub(c.len_utf16());
        at += c.len_utf8();
    }
    at
}

const MARK: &str = "\u{fffd}";
/// A payload that was larger gives its memory back.
const KEPT_BYTES_MAX: usize = 16 << 10;
