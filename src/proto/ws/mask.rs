//! The masking of client frames (RFC 6455, 5.3), undone in place.
//!
//! Safe code in a shape the compiler turns into vector instructions: words of eight bytes in
//! blocks of eight. The same pass collects the high bits, so that ASCII text is known as UTF-8
//! without being read again.

/// Unmasks `payload` in place and answers whether all of it is ASCII now.
///
/// `offset` is the position of `payload[0]` in the payload of its frame: a frame that came in
/// pieces is unmasked piece by piece.
#[inline]
pub fn unmask(payload: &mut [u8], mut key: [u8; 4], offset: usize) -> bool {
    key.rotate_left(offset % 4);
    let key = u32::from_ne_bytes(key);
    // Both halves are the same, so this is right on either byte order.
    let wide = u64::from(key) << 32 | u64::from(key);
    let mut seen = 0;
    let mut blocks = payload.chunks_exact_mut(BLOCK);
    for block in &mut blocks {
        for word in block.chunks_exact_mut(8) {
            seen |= unmask_word(word, wide);
        }
    }
    let mut words = blocks.into_remainder().chunks_exact_mut(8);
    for word in &mut words {
        seen |= unmask_word(word, wide);
    }
    // Fewer than eight bytes are left: half a word, then bytes.
    let mut halves = words.into_remainder().chunks_exact_mut(4);
    for half in &mut halves {
        let half: &mut [u8; 4] = half.try_into().expect("chunks of four");
        let plain = u32::from_ne_bytes(*half) ^ key;
        *half = plain.to_ne_bytes();
        seen |= u64::from(plain);
    }
    for (byte, key) in halves.into_remainder().iter_mut().zip(key.to_ne_bytes()) {
        *byte ^= key;
        seen |= u64::from(*byte);
    }
    seen & HIGH_BITS == 0
}

/// Unmasks eight bytes and answers them.
#[inline(always)]
fn unmask_word(word: &mut [u8], wide: u64) -> u64 {
    let word: &mut [u8; 8] = word.try_into().expect("chunks of eight");
    let plain = u64::from_ne_bytes(*word) ^ wide;
    *word = plain.to_ne_bytes();
    plain
}

/// Bytes of a block: four vectors of the smallest machine we care for.
const BLOCK: usize = 64;
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
