//! Payloads: the packets of one body.
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

impl<'b> Packets<'b> {
    /// The body of the packets that are left; empty if nothing more can be read.
    pub fn rest(&self) -> &'b str {
        match self.framed.starts_with(MARK) {
            true => self.framed,
            false => self.single,
        }
    }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(packets: &[&str]) -> String {
        let mut payload = Payload::new();
        for packet in packets {
            payload.push(packet);
        }
        let mut out = b"|".to_vec();
        let len = payload.len();
        assert_eq!(payload.is_empty(), packets.is_empty());
        payload.take_into(&mut out);
        assert_eq!(out.len(), 1 + len);
        assert!(payload.is_empty());
        assert_eq!(payload.len(), 0);
        payload.push("2::");
        payload.take_into(&mut out);
        String::from_utf8(out).unwrap()[1..]
            .strip_suffix("2::")
            .unwrap()
            .to_owned()
    }

    /// The packets; and nothing panics at any cut.
    fn read(body: &str) -> Vec<&str> {
        for cut in (0..body.len()).filter(|cut| body.is_char_boundary(*cut)) {
            packets(&body[..cut]).for_each(drop);
            packets(&body[cut..]).for_each(drop);
        }
        let mut packets = packets(body);
        let all: Vec<_> = packets.by_ref().collect();
        assert_eq!(packets.next(), None);
        let mut rest = body;
        let mut one_by_one = Vec::new();
        while !rest.is_empty() {
            let mut packets = super::packets(rest);
            one_by_one.extend(packets.next());
            rest = packets.rest();
        }
        assert_eq!(one_by_one, all);
        all
    }

    #[test]
    fn payloads() {
        #[rustfmt::skip]
        let cases: &[(&[&str], &str)] = &[
            (&[], ""), (&["1::"], "1::"), (&["3:::h\u{e9}\u{1f600}llo"], "3:::h\u{e9}\u{1f600}llo"),
            (&["6:::1", "3:::root:need ack"], "\u{fffd}5\u{fffd}6:::1\u{fffd}17\u{fffd}3:::root:need ack"),
            (&["1::", "2::", "0::"], "\u{fffd}3\u{fffd}1::\u{fffd}3\u{fffd}2::\u{fffd}3\u{fffd}0::"),
            (&["3:::\u{e9}", "3:::\u{4e2d}"], "\u{fffd}5\u{fffd}3:::\u{e9}\u{fffd}5\u{fffd}3:::\u{4e2d}"),
            (&["3:::\u{1f600}", "3:::"], "\u{fffd}6\u{fffd}3:::\u{1f600}\u{fffd}4\u{fffd}3:::"),
            (&["3:::", "3:::a\u{10ffff}\u{ffff}\u{10000}"], "\u{fffd}4\u{fffd}3:::\u{fffd}10\u{fffd}3:::a\u{10ffff}\u{ffff}\u{10000}"),
            // Heads among the text are text.
            (&["3:::\u{fffd}1\u{fffd}", "2::"], "\u{fffd}7\u{fffd}3:::\u{fffd}1\u{fffd}\u{fffd}3\u{fffd}2::"),
        ];
        for &(packets, body) in cases {
            assert_eq!(written(packets), body);
            assert_eq!(read(body), packets, "{body}");
        }
        let bytes = written(&["6:::1", "3:::root:need ack"]);
        let head = [
            0xef, 0xbf, 0xbd, 0x35, 0xef, 0xbf, 0xbd, 0x36, 0x3a, 0x3a, 0x3a, 0x31,
        ];
        assert_eq!(bytes.as_bytes()[..12], head);
    }

    /// `#` stands for U+FFFD.
    #[test]
    fn bodies_of_clients() {
        #[rustfmt::skip]
        let cases: &[(&str, &[&str])] = &[
            ("", &[]), ("garbage", &["garbage"]), ("3:::a#1#b", &["3:::a#1#b"]),
            ("#3#2::", &["2::"]), ("#03#2::", &["2::"]),
            // Too long.
            ("#4#2::", &["2::"]), ("#99#1::#3#2::", &["1::#3#2::"]), ("#99999999999999999999999#2::", &["2::"]),
            // Too short: what follows is no head.
            ("#2#2::#3#1::", &["2:"]), ("#5#3:::\u{e9}x#3#2::", &["3:::\u{e9}"]),
            // As a server counts for which U+1F600 is one character.
            ("#5#3:::\u{1f600}#3#2::", &["3:::\u{1f600}", "2::"]),
            ("#6#3:::\u{1f600}#3#2::", &["3:::\u{1f600}", "2::"]),
            ("#8#3:::\u{1f600}#3#2::", &["3:::\u{1f600}#3"]),
            // No heads.
            ("#", &[]), ("##", &[]), ("###", &[]), ("#5", &[]), ("#5#", &[]), ("#x#2::", &[]), ("#-3#2::", &[]),
            ("#+3#2::", &[]), ("# 3#2::", &[]), ("#3 #2::", &[]), ("#3.0#2::", &[]), ("#\u{663}#2::", &[]),
            ("##2::", &[]),
            ("#3#2::x", &["2::"]), ("#3#2::#", &["2::"]), ("#3#2::#x#1::", &["2::"]), ("#3#2::#5", &["2::"]),
            // Nothing in them.
            ("#0#", &[]), ("#0##3#2::#0#", &["2::"]),
        ];
        for &(body, packets) in cases {
            let body = body.replace('#', MARK);
            let packets: Vec<_> = packets
                .iter()
                .map(|packet| packet.replace('#', MARK))
                .collect();
            assert_eq!(read(&body), packets, "{body}");
        }
        let many = format!(
            "{}{}",
            "\u{fffd}0\u{fffd}".repeat(100_000),
            "\u{fffd}3\u{fffd}2::"
        );
        assert_eq!(packets(&many).collect::<Vec<_>>(), ["2::"]);
    }

    #[test]
    fn memory_is_given_back() {
        let mut payload = Payload::new();
        for (len, is_kept) in [
            (KEPT_BYTES_MAX, true),
            (KEPT_BYTES_MAX + 1, false),
            (1 << 20, false),
        ] {
            payload.push(&"a".repeat(len));
            payload.take_into(&mut Vec::new());
            assert!(payload.text.capacity() <= KEPT_BYTES_MAX, "{len}");
            assert_eq!(payload.text.capacity() >= len, is_kept, "{len}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(texts in prop::collection::vec("3:::(\\PC|[a-z]|\u{fffd}|\u{1f600}){0,12}", 0..6)) {
            let packets: Vec<&str> = texts.iter().map(|text| &**text).collect();
            let body = written(&packets);
            prop_assert_eq!(&read(&body), &packets);
            for text in &packets {
                prop_assert_eq!(units_of(text), text.encode_utf16().count());
            }
        }

        /// What is given is part of the body, in its order, and never more than all of it.
        #[test]
        fn half_right_bodies(body in "(\u{fffd}|[0-9]|:|\u{1f600}|é|a){0,20}") {
            let mut rest = &*body;
            for packet in read(&body) {
                let at = rest.find(packet).unwrap();
                rest = &rest[at + packet.len()..];
            }
        }
    }
}
