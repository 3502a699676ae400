//! Text of JSON strings, many bytes at a time.

/// How many bytes at the front have nothing special, counted in blocks of 32.
///
/// The test of a byte must not branch: then the compiler makes a few vector instructions of a block.
/// Twice as fast as words on long texts; not worth trying where the next special byte is near.
#[inline]
pub(super) fn plain_blocks(text: &[u8], is_special: impl Fn(u8) -> bool) -> usize {
    let mut rest = text;
    while let Some((block, tail)) = rest.split_first_chunk::<32>() {
        if block.iter().fold(false, |any, b| any | is_special(*b)) {
            break;
        }
        rest = tail;
    }
    text.len() - rest.len()
}

/// The high bit of each byte that cannot stand in a JSON string as it is: control characters, the
/// quote, the backslash.
///
/// Zero if there is none. The lowest bit that is set is right; those above it need not be, because a
/// subtraction borrows from the byte above.
pub(super) const fn special(word: u64) -> u64 {
    let below = word.wrapping_sub(ONES * 0x20) & !word;
    below & HIGHS | equal(word, b'"') | equal(word, b'\\')
}

/// The high bit of each such byte, as [`special`] tells it.
pub(super) const fn equal(word: u64, byte: u8) -> u64 {
    let differ = word ^ (ONES * byte as u64);
    differ.wrapping_sub(ONES) & !differ & HIGHS
}

/// A text that has gone on for so long without a special byte may do so for longer.
pub(super) const BEFORE_BLOCKS: usize = 16;
const ONES: u64 = u64::MAX / 255;
/// The bytes that are not ASCII have it.
pub(super) const HIGHS: u64 = ONES * 0x80;

#[cfg(test)]
mod tests {
    use super::*;

    /// Every byte, alone and with every other byte above and below it.
    #[test]
    fn first_special_byte() {
        let is_special = |b: u8| b < 0x20 || matches!(b, b'"' | b'\\');
        for b in 0..=u8::MAX {
            for other in 0..=u8::MAX {
                for at in 0..8 {
                    let mut bytes = [other; 8];
                    bytes[at] = b;
                    let want = bytes.iter().position(|b| is_special(*b));
                    let found = special(u64::from_le_bytes(bytes));
                    let got = (found != 0).then(|| found.trailing_zeros() as usize / 8);
                    assert_eq!(got, want, "{bytes:?}");
                }
            }
        }
    }
}
