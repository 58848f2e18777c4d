//! A file as chunks of one length, the last one maybe shorter.

use std::{error::Error, fmt, ops::RangeInclusive};

use forebay_std::file::ALIGN;

/// How long a chunk may be.
pub(super) const LENGTHS: RangeInclusive<usize> = ALIGN..=16 << 20;

/// The length of a chunk: a multiple of [`ALIGN`] within [`LENGTHS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChunkLen(usize);

impl ChunkLen {
    pub(super) fn new(len: usize) -> Result<Self, BadChunkLen> {
        if LENGTHS.contains(&len) && len.is_multiple_of(ALIGN) {
            Ok(Self(len))
        } else {
            Err(BadChunkLen { len })
        }
    }

    pub(super) fn get(self) -> usize {
        self.0
    }
}

/// A chunk's length that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadChunkLen {
    len: usize,
}

impl fmt::Display for BadChunkLen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (least, most) = (LENGTHS.start(), LENGTHS.end());
        write!(f, "{} bytes: a multiple of {ALIGN} from {least} to {most}", self.len)
    }
}

impl Error for BadChunkLen {}

/// Where the chunks of a file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    len: u64,
    chunk_len: ChunkLen,
}

impl Plan {
    pub(super) fn new(len: u64, chunk_len: ChunkLen) -> Self {
        Self { len, chunk_len }
    }

    /// The file's length.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn chunk_len(&self) -> ChunkLen {
        self.chunk_len
    }

    /// How many chunks there are; none in an empty file.
    pub(super) fn count(&self) -> u64 {
        self.len.div_ceil(self.chunk_len.0 as u64)
    }

    /// Where a chunk begins.
    pub(super) fn offset(&self, number: u64) -> u64 {
        number * self.chunk_len.0 as u64
    }

    /// How long a chunk is, of which there is one.
    pub(super) fn len_of(&self, number: u64) -> usize {
        let left = self.len.saturating_sub(self.offset(number));
        usize::try_from(left).unwrap_or(usize::MAX).min(self.chunk_len.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_checked() {
        for len in [4096, 8192, 1 << 20, 16 << 20] {
            assert_eq!(ChunkLen::new(len).unwrap().get(), len);
        }
        for len in [0, 1, 4095, 4097, (16 << 20) + 4096, usize::MAX] {
            assert_eq!(ChunkLen::new(len), Err(BadChunkLen { len }));
        }
        let text = ChunkLen::new(5000).unwrap_err().to_string();
        assert_eq!(text, "5000 bytes: a multiple of 4096 from 4096 to 16777216");
    }

    #[test]
    fn chunks_cover_the_file() {
        let chunk_len = ChunkLen::new(4096).unwrap();
        for len in [0, 1, 4095, 4096, 4097, 8192, 100_000, 1 << 50] {
            let plan = Plan::new(len, chunk_len);
            assert_eq!(plan.count(), len.div_ceil(4096), "{len}");
            if plan.count() == 0 {
                assert_eq!(len, 0);
                continue;
            }
            let last = plan.count() - 1;
            assert_eq!(plan.offset(last) + plan.len_of(last) as u64, len, "{len}");
            assert!(plan.len_of(last) > 0, "{len}");
            if last > 0 {
                assert_eq!(plan.offset(last - 1) + 4096, plan.offset(last));
                assert_eq!(plan.len_of(0), 4096);
            }
        }
    }
}
