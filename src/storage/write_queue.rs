//! Bytes that wait to be written to one conn.
//!
//! Small output is collected in one buffer of the pool; a large block that several conns share is
//! queued as it is. In the usual case there is one buffer, it is written whole, and the pool has it
//! back.
//!
//! Not here: limits, and the wish to be told when the peer can take more. The caller compares
//! [`WriteQueue::len`] and acts on [`Flush::Blocked`].
//!
//! Invariant: the oldest bytes are in `first`, or, if that is empty, in a shared chunk at the front
//! of `rest`. `sent` counts from there.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Write};
use std::rc::Rc;

use super::pool::Pool;

/// The output of one conn: 40 bytes, and no more memory than that while nothing waits.
#[derive(Debug, Default)]
pub struct WriteQueue {
    first: Vec<u8>,
    /// Bytes of the oldest chunk that are written.
    sent: usize,
    /// What comes after `first`. Boxed because there are many queues and this is rare.
    #[allow(clippy::box_collection)]
    rest: Option<Box<VecDeque<Chunk>>>,
}

#[derive(Debug)]
enum Chunk {
    Own(Vec<u8>),
    Shared(Rc<[u8]>),
}

/// How far [`WriteQueue::write_to`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// Nothing waits any more.
    Done,
    /// The peer takes no more now; some bytes wait.
    Blocked,
}

impl WriteQueue {
    /// An empty queue.
    pub const fn new() -> Self {
        Self {
            first: Vec::new(),
            sent: 0,
            rest: None,
        }
    }

    /// The bytes that wait, those put into [`Self::tail`] included. It adds up the chunks, of which
    /// there are several only where large shared blocks wait.
    #[inline]
    pub fn len(&self) -> usize {
        let rest = match &self.rest {
            None => 0,
            Some(rest) => rest.iter().map(|chunk| chunk.bytes().len()).sum(),
        };
        self.first.len() + rest - self.sent
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The buffer to append to. Only append: bytes may already be in it, some of them written.
    #[inline]
    pub fn tail(&mut self, pool: &mut Pool) -> &mut Vec<u8> {
        // The common case: a buffer nobody has written from yet.
        if self.rest.is_none() && self.sent == 0 && self.first.capacity() > 0 {
            return &mut self.first;
        }
        self.other_tail(pool)
    }

    #[cold]
    fn other_tail(&mut self, pool: &mut Pool) -> &mut Vec<u8> {
        match self.rest {
            Some(ref mut rest) => {
                if !matches!(rest.back(), Some(Chunk::Own(_))) {
                    rest.push_back(Chunk::Own(pool.take()));
                }
                let Some(Chunk::Own(last)) = rest.back_mut() else {
                    unreachable!("pushed when it was not there");
                };
                last
            }
            None => {
                if self.first.capacity() == 0 {
                    self.first = pool.take();
                } else if self.sent > self.first.len() / 2 {
                    // Else a peer that always lags a little would make us keep all it ever got.
                    // What is moved is less than what was sent since the last time.
                    self.first.drain(..self.sent);
                    self.sent = 0;
                }
                &mut self.first
            }
        }
    }

    /// Queues a copy of `bytes`.
    pub fn append(&mut self, bytes: &[u8], pool: &mut Pool) {
        if !bytes.is_empty() {
            self.tail(pool).extend_from_slice(bytes);
        }
    }

    /// Queues `bytes` without a copy, if they are [`SHARED_BYTES_MIN`] or more; fewer are copied,
    /// which is cheaper than one more slice for the kernel.
    pub fn append_shared(&mut self, bytes: Rc<[u8]>, pool: &mut Pool) {
        if bytes.len() < SHARED_BYTES_MIN {
            self.append(&bytes, pool);
        } else {
            let rest = self.rest.get_or_insert_default();
            rest.push_back(Chunk::Shared(bytes));
        }
    }

    /// Writes what waits, until it is all written or `w` takes no more.
    ///
    /// `w` does not block. That it took a part means that it is full: it is not asked again to hear
    /// just that.
    ///
    /// # Errors
    ///
    /// Those of `w`, but not `WouldBlock` (that is [`Flush::Blocked`]) and `Interrupted` (then it is
    /// called again); `WriteZero` if it takes nothing and says neither.
    pub fn write_to(&mut self, w: &mut impl Write, pool: &mut Pool) -> io::Result<Flush> {
        loop {
            let (offered, written) = match &self.rest {
                None => {
                    let bytes = &self.first[self.sent..];
                    if bytes.is_empty() {
                        self.clear(pool);
                        return Ok(Flush::Done);
                    }
                    (bytes.len(), w.write(bytes))
                }
                Some(rest) => {
                    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                    let mut skip = self.sent;
                    let mut offered = 0;
                    let chunks = std::iter::once(&self.first[..])
                        .chain(rest.iter().map(Chunk::bytes))
                        .filter(|bytes| !bytes.is_empty());
                    let mut count = 0;
                    for (slice, bytes) in slices.iter_mut().zip(chunks) {
                        let bytes = &bytes[std::mem::take(&mut skip)..];
                        *slice = IoSlice::new(bytes);
                        offered += bytes.len();
                        count += 1;
                    }
                    (offered, w.write_vectored(&slices[..count]))
                }
            };
            match written {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => {
                    self.consume(n, pool);
                    if n < offered {
                        return Ok(Flush::Blocked);
                    }
                    if self.rest.is_none() && self.first.is_empty() {
                        return Ok(Flush::Done);
                    }
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(Flush::Blocked),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Drops what waits.
    pub fn clear(&mut self, pool: &mut Pool) {
        pool.give(std::mem::take(&mut self.first));
        self.sent = 0;
        for chunk in self.rest.take().into_iter().flat_map(|rest| *rest) {
            if let Chunk::Own(buffer) = chunk {
                pool.give(buffer);
            }
        }
    }

    /// Notes that `n` more bytes are written.
    fn consume(&mut self, n: usize, pool: &mut Pool) {
        self.sent += n;
        if self.sent < self.first.len() {
            return;
        }
        self.sent -= self.first.len();
        pool.give(std::mem::take(&mut self.first));
        let Some(rest) = &mut self.rest else {
            return;
        };
        while let Some(chunk) = rest.pop_front() {
            match chunk {
                Chunk::Own(buffer) if self.sent < buffer.len() => {
                    self.first = buffer;
                    break;
                }
                Chunk::Shared(bytes) if self.sent < bytes.len() => {
                    rest.push_front(Chunk::Shared(bytes));
                    break;
                }
                Chunk::Own(buffer) => {
                    self.sent -= buffer.len();
                    pool.give(buffer);
                }
                Chunk::Shared(bytes) => self.sent -= bytes.len(),
            }
        }
        if rest.is_empty() {
            self.rest = None;
        }
    }
}

impl Chunk {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Own(buffer) => buffer,
            Self::Shared(bytes) => bytes,
        }
    }
}

/// Where sharing begins to cost less than a copy.
pub const SHARED_BYTES_MIN: usize = 4 << 10;

/// Slices for one `writev`.
const SLICES_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    /// A peer that takes so many bytes at each call.
    #[derive(Default)]
    struct Peer {
        got: Vec<u8>,
        /// What each call answers; after the last one: everything is taken.
        script: VecDeque<io::Result<usize>>,
        calls: usize,
        slices: Vec<usize>,
    }

    impl Peer {
        fn take(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            self.calls += 1;
            self.slices.push(slices.len());
            let all: Vec<u8> = slices.iter().flat_map(|s| s.to_vec()).collect();
            let n = match self.script.pop_front() {
                None => all.len(),
                Some(answer) => answer?.min(all.len()),
            };
            self.got.extend_from_slice(&all[..n]);
            Ok(n)
        }
    }

    impl Write for Peer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.take(&[IoSlice::new(bytes)])
        }

        fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            self.take(slices)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn shared(byte: u8, len: usize) -> Rc<[u8]> {
        vec![byte; len].into()
    }

    #[test]
    fn an_idle_queue_is_small() {
        assert!(size_of::<WriteQueue>() <= 40);
        assert_eq!(size_of::<Chunk>(), 24);
        let (mut pool, mut peer) = (Pool::default(), Peer::default());
        let mut queue = WriteQueue::new();
        queue.append(b"", &mut pool);
        assert_eq!(queue.first.capacity(), 0);
        queue.append(b"abc", &mut pool);
        queue.append_shared(shared(b'x', SHARED_BYTES_MIN), &mut pool);
        assert_eq!(queue.write_to(&mut peer, &mut pool).unwrap(), Flush::Done);
        assert_eq!((queue.first.capacity(), queue.rest.is_none()), (0, true));
        assert_eq!(pool.len(), 1);
    }

    #[test]
    fn len_sees_what_the_borrower_of_the_tail_pushed() {
        let (mut pool, mut peer) = (Pool::default(), Peer::default());
        let mut queue = WriteQueue::new();
        assert_eq!((queue.len(), queue.is_empty()), (0, true));
        queue.tail(&mut pool).extend_from_slice(b"abcd");
        assert_eq!(queue.len(), 4);
        peer.script.push_back(Ok(1));
        assert_eq!(
            queue.write_to(&mut peer, &mut pool).unwrap(),
            Flush::Blocked
        );
        assert_eq!(queue.len(), 3);
        queue.append_shared(shared(b'x', 5_000), &mut pool);
        queue.tail(&mut pool).push(b'z');
        assert_eq!(queue.len(), 5_004);
        // Lent and left empty: no bytes, and the pool gets it back.
        let mut queue = WriteQueue::new();
        queue.tail(&mut pool);
        assert!(queue.is_empty());
        assert_eq!(queue.write_to(&mut peer, &mut pool).unwrap(), Flush::Done);
        assert_eq!(queue.first.capacity(), 0);
    }

    #[test]
    fn small_blocks_are_copied_and_large_ones_shared() {
        let mut pool = Pool::default();
        for (len, copies) in [(SHARED_BYTES_MIN - 1, 1), (SHARED_BYTES_MIN, 2)] {
            let bytes = shared(b'x', len);
            let mut queue = WriteQueue::new();
            queue.append_shared(bytes.clone(), &mut pool);
            assert_eq!(Rc::strong_count(&bytes), copies, "{len}");
            assert_eq!(queue.len(), len);
            queue.clear(&mut pool);
            assert_eq!((Rc::strong_count(&bytes), queue.len()), (1, 0));
        }
    }

    /// What the peer answers, what comes of it, and after how many calls.
    #[test]
    fn answers_of_the_peer() {
        let error = |kind: ErrorKind| Err(io::Error::from(kind));
        let cases = [
            ("all", vec![], Ok(Flush::Done), 1),
            ("a part", vec![Ok(3)], Ok(Flush::Blocked), 1),
            (
                "none",
                vec![error(ErrorKind::WouldBlock)],
                Ok(Flush::Blocked),
                1,
            ),
            (
                "interrupted",
                vec![error(ErrorKind::Interrupted)],
                Ok(Flush::Done),
                2,
            ),
            ("zero", vec![Ok(0)], Err(ErrorKind::WriteZero), 1),
            (
                "reset",
                vec![error(ErrorKind::ConnectionReset)],
                Err(ErrorKind::ConnectionReset),
                1,
            ),
        ];
        for (name, script, want, calls) in cases {
            let (mut pool, mut queue) = (Pool::default(), WriteQueue::new());
            queue.append(b"hello", &mut pool);
            let mut peer = Peer {
                script: script.into(),
                ..Peer::default()
            };
            let answer = queue.write_to(&mut peer, &mut pool);
            assert_eq!(answer.map_err(|e| e.kind()), want, "{name}");
            assert_eq!(peer.calls, calls, "{name}");
            assert_eq!(queue.len(), 5 - peer.got.len(), "{name}");
        }
    }

    #[test]
    fn many_chunks_leave_sixteen_at_a_time() {
        let (mut pool, mut peer) = (Pool::default(), Peer::default());
        let mut queue = WriteQueue::new();
        queue.append(b"head", &mut pool);
        for n in 0..20 {
            queue.append_shared(shared(n, SHARED_BYTES_MIN), &mut pool);
        }
        assert_eq!(queue.write_to(&mut peer, &mut pool).unwrap(), Flush::Done);
        assert_eq!(peer.slices, [16, 5]);
        assert_eq!(peer.got.len(), 4 + 20 * SHARED_BYTES_MIN);
        assert_eq!(queue.write_to(&mut peer, &mut pool).unwrap(), Flush::Done);
        assert_eq!(peer.calls, 2, "nothing to write: no call");
    }

    /// A peer that never catches up does not make the buffer grow.
    #[test]
    fn written_bytes_are_not_kept() {
        let mut pool = Pool::default();
        let mut queue = WriteQueue::new();
        queue.append(&[0; 1_000], &mut pool);
        for _ in 0..10_000 {
            queue.append(&[0; 1_000], &mut pool);
            let mut peer = Peer::default();
            peer.script.push_back(Ok(1_000));
            assert_eq!(
                queue.write_to(&mut peer, &mut pool).unwrap(),
                Flush::Blocked
            );
        }
        assert_eq!(queue.len(), 1_000);
        assert!(queue.first.capacity() <= 8_192);
    }

    #[test]
    fn against_one_long_string() {
        for seed in 1..=40u64 {
            let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut random = |n: u64| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state % n) as usize
            };
            let (mut pool, mut peer) = (Pool::default(), Peer::default());
            let (mut queue, mut want) = (WriteQueue::new(), Vec::new());
            for n in 0..200u8 {
                let block = vec![n; random(7_000)];
                match random(4) {
                    0 => queue.append(&block[..block.len() / 10], &mut pool),
                    1 => queue.append_shared(block.as_slice().into(), &mut pool),
                    2 => queue.tail(&mut pool).extend_from_slice(&block),
                    _ => {
                        peer.script = [Ok(1 + random(40_000))].into();
                        let flush = queue.write_to(&mut peer, &mut pool).unwrap();
                        assert_eq!(flush == Flush::Done, queue.is_empty(), "seed {seed}");
                        assert_eq!(queue.len(), want.len() - peer.got.len(), "seed {seed}");
                        continue;
                    }
                }
                match queue.len() + peer.got.len() - want.len() {
                    0 => {}
                    len => want.resize(want.len() + len, n),
                }
            }
            peer.script.clear();
            assert_eq!(queue.write_to(&mut peer, &mut pool).unwrap(), Flush::Done);
            assert!(peer.got == want, "seed {seed}");
            assert!(queue.rest.is_none() && queue.first.capacity() == 0);
        }
    }
}
