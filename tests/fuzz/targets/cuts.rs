//! An input that says itself how it is cut.

/// Takes the cuts off the end of `data`: the last byte says how many (up to seven), each before it
/// the length of a piece, of 1 to 64 bytes. They are used in turn until the input ends.
pub(crate) fn split_cuts(data: &[u8]) -> (&[u8], Vec<usize>) {
    let Some((&last, rest)) = data.split_last() else {
        return (data, Vec::new());
    };
    let n = usize::from(last & 7).min(rest.len());
    let (rest, cuts) = rest.split_at(rest.len() - n);
    (rest, cuts.iter().map(|b| usize::from(b & 63) + 1).collect())
}

/// `data` in pieces of these lengths, in turn; whole if there are none.
pub(crate) fn pieces<'a>(mut data: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    let mut lengths = cuts.iter().cycle();
    while !data.is_empty() {
        let n = *lengths.next().unwrap_or(&data.len());
        let (piece, rest) = data.split_at(n.min(data.len()));
        pieces.push(piece);
        data = rest;
    }
    pieces
}
