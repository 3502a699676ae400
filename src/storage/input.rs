//! Bytes just read, handed out from the front, each once.
//!
//! The bytes stay where the socket put them; a parser takes slices off the front and may write in
//! them (a WebSocket payload is unmasked in place). What is left when the parsers have had enough
//! is the caller's to keep.

/// A cursor over freshly read bytes.
#[derive(Debug)]
pub struct Input<'b> {
    rest: &'b mut [u8],
}

impl<'b> Input<'b> {
    /// All of `bytes`, nothing taken yet.
    pub fn new(bytes: &'b mut [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been taken yet.
    pub fn rest(&self) -> &[u8] {
        self.rest
    }

    /// How many bytes have not been taken yet.
    pub fn len(&self) -> usize {
        self.rest.len()
    }

    /// Whether everything has been taken.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Takes the next `n` bytes, or as many as there are.
    pub fn take(&mut self, n: usize) -> &'b mut [u8] {
        let n = n.min(self.rest.len());
        let (taken, rest) = std::mem::take(&mut self.rest).split_at_mut(n);
        self.rest = rest;
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_once_and_in_order() {
        let mut bytes = *b"abcdef";
        let mut input = Input::new(&mut bytes);
        assert_eq!(input.take(2), b"ab");
        assert_eq!(input.rest(), b"cdef");
        assert_eq!(input.take(9), b"cdef");
        assert!(input.is_empty());
        assert_eq!(input.take(1), b"");
    }
}
