//! The hashes of the chunks that a copy has in its partial file, as text that
//! grows by a line a chunk. No I/O.
//!
//! ```text
//! forebay chunks 1
//! source 64769 1234 10000000 1700000000.000000001 1700000000.000000002
//! chunk 1048576
//! 0 af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262
//! 2 ...
//! ```
//!
//! What an interruption has left of the last line is not read. Nothing here is
//! believed: a hash only says which chunks are worth reading back.

use std::fmt;

use blake3::Hash;

use super::plan::{ChunkLen, Plan};

const TITLE: &str = "forebay chunks 1";

/// What tells that a file is the one that it was: its device, inode, length,
/// and times of the last change of its content and of its inode, which no
/// program can set back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) len: u64,
    pub(super) modified: (i64, i64),
    pub(super) changed: (i64, i64),
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device, inode, len, modified, changed } = self;
        write!(
            f,
            "{device} {inode} {len} {}.{:09} {}.{:09}",
            modified.0, modified.1, changed.0, changed.1
        )
    }
}

/// The first lines.
pub(super) fn head(source: &Identity, plan: &Plan) -> String {
    format!("{TITLE}\nsource {source}\nchunk {}\n", plan.chunk_len().get())
}

/// The line of a chunk.
pub(super) fn line(number: u64, hash: &Hash) -> String {
    format!("{number} {}\n", hash.to_hex())
}

/// What an earlier copy has left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Earlier {
    /// Hashes of chunks of this source, by their number.
    Same(Vec<Option<Hash>>),
    /// It was of another source, or the source has changed.
    OtherSource,
    /// It had chunks of another length.
    OtherChunks,
    /// It is not readable as one.
    Unreadable,
}

/// Reads a manifest for a copy of `source` by `plan`.
pub(super) fn read(text: &[u8], source: &Identity, plan: &Plan) -> Earlier {
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let Ok(text) = std::str::from_utf8(&text[..whole]) else { return Earlier::Unreadable };
    let mut lines = text.lines();
    if lines.next() != Some(TITLE) {
        return Earlier::Unreadable;
    }
    let (Some(theirs), Some(chunk_len)) = (
        lines.next().and_then(|line| line.strip_prefix("source ")),
        lines.next().and_then(|line| line.strip_prefix("chunk ")),
    ) else {
        return Earlier::Unreadable;
    };
    if theirs != source.to_string() {
        return Earlier::OtherSource;
    }
    let chunk_len = chunk_len.parse().ok().and_then(|len| ChunkLen::new(len).ok());
    if chunk_len != Some(plan.chunk_len()) {
        return Earlier::OtherChunks;
    }
    let count = usize::try_from(plan.count()).unwrap_or(usize::MAX);
    let mut hashes = vec![None; count];
    for line in lines {
        let Some((number, hash)) = line.split_once(' ') else { continue };
        let (Ok(number), Ok(hash)) = (number.parse::<usize>(), Hash::from_hex(hash)) else {
            continue;
        };
        if let Some(place) = hashes.get_mut(number) {
            *place = Some(hash);
        }
    }
    Earlier::Same(hashes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: Identity =
        Identity { device: 1, inode: 2, len: 10_000, modified: (5, 6), changed: (-7, 8) };

    fn plan() -> Plan {
        Plan::new(10_000, ChunkLen::new(4096).unwrap())
    }

    fn written(numbers: &[u64]) -> (String, Vec<Option<Hash>>) {
        let mut text = head(&SOURCE, &plan());
        let mut hashes = vec![None; 3];
        for number in numbers {
            let hash = blake3::hash(&number.to_le_bytes());
            text += &line(*number, &hash);
            hashes[usize::try_from(*number).unwrap()] = Some(hash);
        }
        (text, hashes)
    }

    #[test]
    fn what_is_written_is_read() {
        for numbers in [&[][..], &[0], &[2, 0], &[0, 1, 2], &[1, 1]] {
            let (text, hashes) = written(numbers);
            assert_eq!(read(text.as_bytes(), &SOURCE, &plan()), Earlier::Same(hashes));
        }
    }

    /// Cut anywhere, it has a whole line fewer and no wrong one.
    #[test]
    fn a_cut_costs_the_lines_that_it_cuts() {
        let (text, _) = written(&[0, 1, 2]);
        let head_len = head(&SOURCE, &plan()).len();
        let line_len = line(0, &blake3::hash(b"")).len();
        for cut in 0..=text.len() {
            let earlier = read(&text.as_bytes()[..cut], &SOURCE, &plan());
            if cut < head_len {
                assert_eq!(earlier, Earlier::Unreadable, "cut at {cut}");
                continue;
            }
            let whole = u64::try_from((cut - head_len) / line_len).unwrap();
            let (_, hashes) = written(&(0..whole).collect::<Vec<_>>());
            assert_eq!(earlier, Earlier::Same(hashes), "cut at {cut}");
        }
    }

    #[test]
    fn other_copies_are_told_apart() {
        let (text, _) = written(&[0]);
        let text = text.as_bytes();
        let others = [
            Identity { device: 9, ..SOURCE },
            Identity { inode: 9, ..SOURCE },
            Identity { len: 9, ..SOURCE },
            Identity { modified: (5, 7), ..SOURCE },
            Identity { changed: (-6, 8), ..SOURCE },
        ];
        for other in others {
            assert_eq!(read(text, &other, &plan()), Earlier::OtherSource, "{other:?}");
        }
        let longer = Plan::new(10_000, ChunkLen::new(8192).unwrap());
        assert_eq!(read(text, &SOURCE, &longer), Earlier::OtherChunks);
    }

    /// Any one byte that is damaged costs its line, or the manifest.
    #[test]
    fn damage_is_never_a_panic() {
        let (text, hashes) = written(&[0, 1, 2]);
        for at in 0..text.len() {
            for byte in [0, b'\n', b' ', b'9', 0xFF] {
                let mut damaged = text.clone().into_bytes();
                damaged[at] = byte;
                if let Earlier::Same(read) = read(&damaged, &SOURCE, &plan()) {
                    let right = read.iter().zip(&hashes).filter(|(read, hash)| read == hash);
                    assert!(right.count() >= 1, "byte {at} is {byte}");
                }
            }
        }
        for garbage in [&b""[..], b"\n\n\n", b"forebay chunks 1\n", &[0xFF; 100]] {
            assert_eq!(read(garbage, &SOURCE, &plan()), Earlier::Unreadable);
        }
    }
}
