//! Text of JSON strings, eight bytes at a time.

/// The high bit of each byte that cannot stand in a JSON string as it is: control characters, the
/// quote, the backslash.
///
/// Zero if there is none. The lowest bit that is set is right; those above it need not be, because a
/// subtraction borrows from the byte above.
pub(super) const fn special(word: u64) -> u64 {
    let below = word.wrapping_sub(ONES * 0x20) & !word;
    below & HIGHS | equal(word, b'"') | equal(word, b'\\')
}

const fn equal(word: u64, byte: u8) -> u64 {
    let differ = word ^ (ONES * byte as u64);
    differ.wrapping_sub(ONES) & !differ & HIGHS
}

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
