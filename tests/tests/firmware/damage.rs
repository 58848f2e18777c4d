//! A line that flips, drops and inserts bytes, at a seeded rate.

/// One byte in so many suffers, on average.
const ONE_IN: u64 = 100;

/// Damages the first bytes of a stream, the same ones in whatever chunks it
/// comes.
pub(crate) struct Damage {
    state: u64,
    /// Bytes until the line is good again.
    left: usize,
    /// Bytes damaged so far.
    pub(crate) events: usize,
}

impl Damage {
    pub(crate) fn none() -> Self {
        Self::new(0, 0)
    }

    pub(crate) fn new(seed: u64, len: usize) -> Self {
        Self { state: seed, left: len, events: 0 }
    }

    /// What comes out of the line for `bytes`.
    pub(crate) fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            if self.left == 0 || !self.random().is_multiple_of(ONE_IN) {
                out.push(byte);
            } else {
                self.events += 1;
                let [with, kind, ..] = self.random().to_le_bytes();
                match kind % 3 {
                    // Never the same byte.
                    0 => out.push(byte ^ with.max(1)),
                    1 => {}
                    _ => out.extend([with, byte]),
                }
            }
            self.left = self.left.saturating_sub(1);
        }
        out
    }

    /// SplitMix64: G. Steele, D. Lea, C. Flood, "Fast Splittable Pseudorandom
    /// Number Generators", OOPSLA 2014.
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}
