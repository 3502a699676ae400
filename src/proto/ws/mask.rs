//! The masking of client frames (RFC 6455, 5.3), undone in place.
//!
//! Safe code in a shape the compiler turns into vector instructions: one plain loop over words of
//! eight bytes (measured: blocks of words inside a loop stay scalar). The same pass collects the
//! high bits, so that ASCII text is known as UTF-8 without being read again.

/// Unmasks `payload` in place and answers whether all of it is ASCII now.
///
/// `offset` is the position of `payload[0]` in the payload of its frame: a frame that came in
/// pieces is unmasked piece by piece.
#[inline]
pub fn unmask(payload: &mut [u8], key: [u8; 4], offset: usize) -> bool {
    // Little-endian on every machine: the first byte is the lowest, and turning it out to the right
    // turns the key to the left.
    let key = u32::from_le_bytes(key).rotate_right(8 * (offset % 4) as u32);
    let wide = u64::from(key) << 32 | u64::from(key);
    let mut seen = 0;
    let mut words = payload.chunks_exact_mut(8);
    for word in &mut words {
        let word: &mut [u8; 8] = word.try_into().expect("chunks of eight");
        let plain = u64::from_le_bytes(*word) ^ wide;
        *word = plain.to_le_bytes();
        seen |= plain;
    }
    // Fewer than eight bytes are left: half a word, then bytes.
    let mut tail = words.into_remainder();
    if tail.len() >= 4 {
        let (half, rest) = tail.split_at_mut(4);
        let half: &mut [u8; 4] = half.try_into().expect("split at four");
        let plain = u32::from_le_bytes(*half) ^ key;
        *half = plain.to_le_bytes();
        seen |= u64::from(plain);
        tail = rest;
    }
    for (byte, key) in tail.iter_mut().zip(key.to_le_bytes()) {
        *byte ^= key;
        seen |= u64::from(*byte);
    }
    seen & HIGH_BITS == 0
}

/// The bits that no ASCII byte has.
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::ws::testing::Random;

    fn naive(payload: &mut [u8], key: [u8; 4], offset: usize) -> bool {
        for (i, byte) in payload.iter_mut().enumerate() {
            *byte ^= key[(offset + i) % 4];
        }
        payload.is_ascii()
    }

    /// Every short length at every rotation, against the loop of the standard (M1).
    #[test]
    fn same_as_byte_by_byte() {
        let seed = 0x5eed_0001;
        let mut random = Random(seed);
        for len in 0..=200 {
            for offset in 0..9 {
                let key = (random.next() as u32).to_ne_bytes();
                let masked: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
                let (mut fast, mut slow) = (masked.clone(), masked);
                let ascii = unmask(&mut fast, key, offset);
                assert_eq!(naive(&mut slow, key, offset), ascii, "seed {seed:x}");
                assert_eq!(fast, slow, "seed {seed:x}, length {len}, offset {offset}");
            }
        }
    }

    /// One byte above 0x7f is seen wherever it stands.
    #[test]
    fn high_bit_seen_everywhere() {
        let key = [0x80, 0xff, 0x01, 0x7f];
        for len in 0..=200 {
            let mut plain = vec![b'a'; len];
            naive(&mut plain, key, 0);
            assert!(unmask(&mut plain, key, 0), "length {len}");
            for at in 0..len {
                let mut text = vec![b'a'; len];
                text[at] = 0x80;
                naive(&mut text, key, 0);
                assert!(!unmask(&mut text, key, 0), "length {len}, byte {at}");
            }
        }
    }

    /// A frame in two pieces gives what it gives whole.
    #[test]
    fn pieces() {
        let key = *b"\x37\xfa\x21\x3d";
        let whole: Vec<u8> = (0..=255).collect();
        let mut want = whole.clone();
        unmask(&mut want, key, 0);
        for cut in 0..whole.len() {
            let mut got = whole.clone();
            let (left, right) = got.split_at_mut(cut);
            unmask(left, key, 0);
            unmask(right, key, cut);
            assert_eq!(got, want, "cut after {cut}");
        }
    }

    /// The example of RFC 6455, 5.7.
    #[test]
    fn hello() {
        let mut payload = *b"\x7f\x9f\x4d\x51\x58";
        assert!(unmask(&mut payload, *b"\x37\xfa\x21\x3d", 0));
        assert_eq!(&payload, b"Hello");
    }
}
