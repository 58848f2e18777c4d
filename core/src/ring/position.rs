//! Positions, and how wide the words are that hold them.
//!
//! As wide as the target exchanges at once: 64 bits where it can, on 32-bit
//! processors too, or else a machine word. `--cfg forebay_index="u16"`, `"u32"`
//! or `"u64"` chooses another width: CI runs the ring's tests with each.

use crate::sync::PositionWord;

/// Bytes since the ring was made. Wraps; two that are in use are at most a
/// capacity apart, which is at most a quarter of the range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(PartialOrd))]
pub(crate) struct Position(pub(super) PositionWord);

impl Position {
    /// Where positions begin. Tests and models begin just before the word
    /// wraps, two of the smallest records before the end of the memory.
    pub(super) const FIRST: Self =
        Self(if cfg!(any(test, forebay_loom)) { PositionWord::MAX - 15 } else { 0 });

    #[inline]
    pub(super) fn plus(self, len: usize) -> Self {
        // Truncates where positions are narrower than lengths, modulo which
        // they count.
        #[allow(clippy::cast_possible_truncation, trivial_numeric_casts)]
        Self(self.0.wrapping_add(len as PositionWord))
    }

    /// Bytes from `earlier` on; more than any capacity if it is not earlier.
    #[inline]
    pub(super) fn since(self, earlier: Self) -> usize {
        usize::try_from(self.0.wrapping_sub(earlier.0)).unwrap_or(usize::MAX)
    }

    /// The place in a memory of `mask + 1` bytes.
    #[inline]
    pub(super) fn offset(self, mask: usize) -> usize {
        // The mask is narrower than either.
        #[allow(clippy::cast_possible_truncation, trivial_numeric_casts)]
        let truncated = self.0 as usize;
        truncated & mask
    }
}
