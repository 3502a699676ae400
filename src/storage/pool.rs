//! Byte buffers used again and again.
//!
//! A conn needs a buffer while bytes wait for it, which is seldom: it borrows one and gives it back
//! as soon as it is empty. The last one given is the next one taken: its memory is warm.
//!
//! Not here: what is in the buffers (`write_queue.rs`).

/// A bounded stock of empty buffers.
#[derive(Debug, Default)]
pub struct Pool {
    limits: Limits,
    buffers: Vec<Vec<u8>>,
    /// The sum of the buffers' capacities.
    bytes: usize,
}

/// How much memory a [`Pool`] keeps for later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Buffers kept. Default: 1,024.
    pub buffers: usize,
    /// Bytes kept in all. Default: 8 MiB.
    pub bytes: usize,
    /// Bytes of the largest buffer that is kept. Default: 512 KiB, twice the work that one conn is
    /// given in a turn, so that its replies do not grow a new buffer each time.
    pub bytes_each: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            buffers: 1_024,
            bytes: 8 << 20,
            bytes_each: 512 << 10,
        }
    }
}

impl Pool {
    /// An empty pool with limits of one's own.
    pub fn with_limits(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// An empty buffer with room for [`BUFFER_BYTES_MIN`] bytes or more.
    pub fn take(&mut self) -> Vec<u8> {
        match self.buffers.pop() {
            Some(buffer) => {
                self.bytes -= buffer.capacity();
                buffer
            }
            None => Vec::with_capacity(BUFFER_BYTES_MIN),
        }
    }

    /// Keeps a buffer for the next [`Self::take`], without what is in it; frees it if it is too
    /// small, too large or one too many.
    pub fn give(&mut self, mut buffer: Vec<u8>) {
        let capacity = buffer.capacity();
        if capacity < BUFFER_BYTES_MIN
            || capacity > self.limits.bytes_each
            || self.buffers.len() >= self.limits.buffers
            || self.bytes + capacity > self.limits.bytes
        {
            return;
        }
        buffer.clear();
        self.bytes += capacity;
        self.buffers.push(buffer);
    }

    /// The number of buffers in stock.
    pub fn len(&self) -> usize {
        self.buffers.len()
    }

    /// Whether no buffer is in stock.
    pub fn is_empty(&self) -> bool {
        self.buffers.is_empty()
    }

    /// The bytes of memory in stock.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Frees the whole stock.
    pub fn clear(&mut self) {
        self.buffers = Vec::new();
        self.bytes = 0;
    }
}

/// The room in every buffer of a pool.
pub const BUFFER_BYTES_MIN: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_empty() {
        let mut pool = Pool::default();
        let mut buffer = pool.take();
        assert!(buffer.capacity() >= BUFFER_BYTES_MIN);
        buffer.extend_from_slice(&[7; 10_000]);
        let place = buffer.as_ptr();
        pool.give(buffer);
        let again = pool.take();
        assert_eq!((again.len(), again.as_ptr()), (0, place));
        assert_eq!(pool.bytes(), 0);
    }

    /// Each limit, just under and just over.
    #[test]
    fn the_stock_is_bounded() {
        let kib = |n: usize| Vec::with_capacity(n << 10);
        let limits = Limits {
            buffers: 3,
            bytes: 32 << 10,
            bytes_each: 16 << 10,
        };
        let cases: &[(&str, &[usize], usize)] = &[
            ("too small", &[0, 1, 3], 0),
            ("small enough and just too large", &[16, 17], 1),
            ("three and one too many", &[4, 4, 4, 4], 3),
            ("all the bytes and some too many", &[16, 16, 4], 2),
        ];
        for &(name, given, kept) in cases {
            let mut pool = Pool::with_limits(limits);
            for &n in given {
                pool.give(kib(n));
            }
            assert_eq!(pool.len(), kept, "{name}");
            assert!(pool.bytes() <= limits.bytes, "{name}");
            pool.clear();
            assert_eq!((pool.is_empty(), pool.bytes()), (true, 0), "{name}");
        }
    }
}
