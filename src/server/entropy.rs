//! Random bytes of the kernel, read in blocks.

/// Bytes that nobody has had yet.
#[derive(Default)]
pub(crate) struct Entropy {
    block: Vec<u8>,
}

impl Entropy {
    /// Fills `out`. `None`: the kernel has none to give.
    pub(crate) fn fill(&mut self, out: &mut [u8]) -> Option<()> {
        if self.block.len() < out.len() {
            self.block.resize(BLOCK_BYTES.max(out.len()), 0);
            if let Err(error) = getrandom::fill(&mut self.block) {
                log::error!("no random numbers: {error}");
                self.block.clear();
                return None;
            }
        }
        let rest = self.block.len() - out.len();
        out.copy_from_slice(&self.block[rest..]);
        self.block.truncate(rest);
        Some(())
    }
}

const BLOCK_BYTES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_given_twice() {
        let mut entropy = Entropy::default();
        let mut seen = std::collections::HashSet::new();
        for _ in 0..1000 {
            let mut bytes = [0; 24];
            entropy.fill(&mut bytes).unwrap();
            assert!(seen.insert(bytes));
        }
        let mut more = vec![0; 5000];
        entropy.fill(&mut more).unwrap();
        assert!(more.iter().any(|b| *b != 0));
    }
}
