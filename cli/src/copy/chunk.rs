//! One chunk on its way: what is to be done next with its bytes. No I/O.
//!
//! # Implementation
//!
//! ```text
//!   copy     Read ------> Write -----> Back ----> whole, or damaged
//!   verify   Read -------------------> Back ----> whole, or damaged
//!   resume   Back ----> whole (kept), or as copy
//! ```
//!
//! A hash is of the bytes that were read from the source, or was recorded by
//! an earlier copy; a chunk is whole when the target's bytes have it.

use std::ops::Range;

use blake3::Hash;
use forebay_std::file::ALIGN;

use super::plan::Plan;

/// Which file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Source,
    Target,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Read,
    Write,
    Back,
}

/// What is to be done with the chunk's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Transfer {
    pub(super) side: Side,
    pub(super) write: bool,
    /// Which of the buffer's bytes.
    pub(super) range: Range<usize>,
    /// Where in the file.
    pub(super) offset: u64,
}

/// What has become of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// There is another transfer.
    More,
    /// The target's bytes have this hash, the source's one.
    Whole(Hash),
    /// As `Whole`, and they were there before.
    Kept(Hash),
    /// The target's bytes have another hash.
    Damaged { source: Hash, target: Hash },
    /// The file ended within the chunk, or takes nothing.
    Ended,
}

/// A chunk on its way.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    pub(super) number: u64,
    offset: u64,
    len: usize,
    stage: Stage,
    /// How many bytes of this stage are done.
    done: usize,
    hash: Option<Hash>,
    writes: bool,
    /// The target may have it already.
    may_be_there: bool,
    direct: bool,
}

impl Chunk {
    /// A chunk that is to be copied; with the hash that an earlier copy
    /// recorded.
    pub(super) fn copied(plan: &Plan, number: u64, recorded: Option<Hash>, direct: bool) -> Self {
        let stage = if recorded.is_some() { Stage::Back } else { Stage::Read };
        Self { stage, hash: recorded, ..Self::new(plan, number, direct) }
    }

    /// A chunk that is to be compared.
    pub(super) fn compared(plan: &Plan, number: u64, direct: bool) -> Self {
        Self { writes: false, ..Self::new(plan, number, direct) }
    }

    fn new(plan: &Plan, number: u64, direct: bool) -> Self {
        Self {
            number,
            offset: plan.offset(number),
            len: plan.len_of(number),
            stage: Stage::Read,
            done: 0,
            hash: None,
            writes: true,
            may_be_there: true,
            direct,
        }
    }

    /// What is to be done now. Unbuffered transfers begin and end at multiples
    /// of [`ALIGN`], so the last one of a file is longer than its bytes.
    pub(super) fn transfer(&self) -> Transfer {
        let range = if self.direct {
            self.done / ALIGN * ALIGN..self.len.next_multiple_of(ALIGN)
        } else {
            self.done..self.len
        };
        Transfer {
            side: if self.stage == Stage::Read { Side::Source } else { Side::Target },
            write: self.stage == Stage::Write,
            offset: self.offset + range.start as u64,
            range,
        }
    }

    /// Takes what the transfer came to: how many bytes, and the chunk's buffer.
    pub(super) fn moved(&mut self, len: usize, bytes: &mut [u8]) -> Outcome {
        let done = (self.transfer().range.start + len).min(self.len);
        if done <= self.done {
            return self.ended();
        }
        self.done = done;
        if done < self.len {
            return Outcome::More;
        }
        self.done = 0;
        match self.stage {
            Stage::Read => {
                self.hash = Some(blake3::hash(&bytes[..self.len]));
                // What an unbuffered write takes beyond the chunk.
                bytes[self.len..].fill(0);
                self.may_be_there = false;
                self.stage = if self.writes { Stage::Write } else { Stage::Back };
                Outcome::More
            }
            Stage::Write => {
                // Else an unread buffer would look as if it had been read.
                bytes.fill(0);
                self.stage = Stage::Back;
                Outcome::More
            }
            Stage::Back => {
                let target = blake3::hash(&bytes[..self.len]);
                match self.hash {
                    Some(source) if source == target && self.may_be_there => Outcome::Kept(source),
                    Some(source) if source == target => Outcome::Whole(source),
                    Some(source) if !self.may_be_there => Outcome::Damaged { source, target },
                    _ => self.anew(),
                }
            }
        }
    }

    fn ended(&mut self) -> Outcome {
        // What is not there was not kept.
        if self.stage == Stage::Back && self.may_be_there { self.anew() } else { Outcome::Ended }
    }

    fn anew(&mut self) -> Outcome {
        (self.stage, self.done, self.hash, self.may_be_there) = (Stage::Read, 0, None, false);
        Outcome::More
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::copy::plan::ChunkLen;

    /// Carries a chunk out between two files in memory, in transfers of at most
    /// `most` bytes.
    fn carry(
        mut chunk: Chunk,
        source: &[u8],
        target: &mut Vec<u8>,
        most: usize,
    ) -> (Outcome, usize) {
        let mut bytes = vec![0xEE; 2 * ALIGN];
        for count in 1..10_000 {
            let Transfer { side, write, range, offset } = chunk.transfer();
            let offset = usize::try_from(offset).unwrap();
            if chunk.direct {
                assert!(offset % ALIGN == 0 && range.start % ALIGN == 0 && range.end % ALIGN == 0);
            }
            let len = if write {
                let len = range.len().min(most);
                target.resize(target.len().max(offset + len), 0);
                target[offset..offset + len].copy_from_slice(&bytes[range.start..][..len]);
                len
            } else {
                let file: &[u8] = if side == Side::Source { source } else { target };
                let there = file.get(offset..).unwrap_or_default();
                let len = there.len().min(range.len()).min(most);
                bytes[range.start..][..len].copy_from_slice(&there[..len]);
                len
            };
            match chunk.moved(len, &mut bytes) {
                Outcome::More => {}
                outcome => return (outcome, count),
            }
        }
        panic!("no end");
    }

    fn plan(len: usize) -> Plan {
        Plan::new(len as u64, ChunkLen::new(2 * ALIGN).unwrap())
    }

    fn bytes(len: usize) -> Vec<u8> {
        (0..len).map(|at| (at * 7 + at / 251).to_le_bytes()[0]).collect()
    }

    #[test]
    fn chunks_are_copied_in_transfers_of_any_length() {
        for direct in [false, true] {
            for len in [1, ALIGN - 1, ALIGN, 2 * ALIGN - 1, 2 * ALIGN, 3 * ALIGN + 5] {
                for most in [ALIGN + 100, ALIGN + 1, 2 * ALIGN] {
                    let (source, mut target, plan) = (bytes(len), vec![], plan(len));
                    for number in 0..plan.count() {
                        let chunk = Chunk::copied(&plan, number, None, direct);
                        let (outcome, _) = carry(chunk, &source, &mut target, most);
                        let at = usize::try_from(plan.offset(number)).unwrap();
                        let hash = blake3::hash(&source[at..at + plan.len_of(number)]);
                        assert_eq!(outcome, Outcome::Whole(hash), "{direct} {len} {most}");
                    }
                    target.truncate(len);
                    assert!(source == target, "{direct} {len} {most}");
                }
            }
        }
    }

    #[test]
    fn one_byte_at_a_time_does() {
        let (source, mut target) = (bytes(300), vec![]);
        let (outcome, count) =
            carry(Chunk::copied(&plan(300), 0, None, false), &source, &mut target, 1);
        assert_eq!((outcome, count), (Outcome::Whole(blake3::hash(&source)), 900));
        assert_eq!(target, source);
    }

    #[test]
    fn what_is_there_is_kept_and_what_is_not_is_copied() {
        let source = bytes(5000);
        let hash = blake3::hash(&source);
        let other = blake3::hash(b"other");
        let mut damaged = source.clone();
        damaged[4999] ^= 1;
        let cases = [
            (source.clone(), hash, Outcome::Kept(hash), 1),
            (damaged, hash, Outcome::Whole(hash), 4),
            (source.clone(), other, Outcome::Whole(hash), 4),
            (vec![], hash, Outcome::Whole(hash), 4),
            // Two transfers, as the file ends within the first.
            (source[..4999].to_vec(), hash, Outcome::Whole(hash), 5),
        ];
        for (mut target, recorded, expected, transfers) in cases {
            let chunk = Chunk::copied(&plan(5000), 0, Some(recorded), false);
            assert_eq!(carry(chunk, &source, &mut target, usize::MAX), (expected, transfers));
            assert_eq!(target, source);
        }
    }

    #[test]
    fn damage_is_seen_and_left() {
        let source = bytes(5000);
        let mut target = source.clone();
        target[17] ^= 0x10;
        let before = target.clone();
        let expected =
            Outcome::Damaged { source: blake3::hash(&source), target: blake3::hash(&target) };
        let chunk = Chunk::compared(&plan(5000), 0, false);
        assert_eq!(carry(chunk, &source, &mut target, usize::MAX), (expected, 2));
        assert!(target == before, "comparing writes");
        let whole = Chunk::compared(&plan(5000), 0, false);
        let expected = Outcome::Whole(blake3::hash(&source));
        assert_eq!(carry(whole, &source, &mut source.clone(), 4096).0, expected);
    }

    #[test]
    fn files_that_end_early_are_told() {
        let source = bytes(5000);
        for direct in [false, true] {
            for there in [0, 1, 4096, 4999] {
                let chunk = Chunk::copied(&plan(5000), 0, None, direct);
                let (outcome, _) = carry(chunk, &source[..there], &mut vec![], usize::MAX);
                assert_eq!(outcome, Outcome::Ended, "source of {there} bytes");
                let chunk = Chunk::compared(&plan(5000), 0, direct);
                let (outcome, _) = carry(chunk, &source, &mut source[..there].to_vec(), usize::MAX);
                assert_eq!(outcome, Outcome::Ended, "target of {there} bytes");
            }
        }
        let mut chunk = Chunk::copied(&plan(5000), 0, None, false);
        assert_eq!(chunk.moved(5000, &mut vec![1; 2 * ALIGN]), Outcome::More);
        assert_eq!(chunk.moved(0, &mut vec![1; 2 * ALIGN]), Outcome::Ended, "a write of nothing");
    }
}
