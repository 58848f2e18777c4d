//! Frames that are committed, on their way into the sink.

use std::{collections::VecDeque, ops::Deref};

use forebay::{batch::PastEnd, frame::http2::Frame};

use super::Payload;

/// The most slices of one write. A system call of [`IoSlice`](std::io::IoSlice)s
/// takes 1,024; beyond some dozens nothing is gained.
const SLICES_MAX: usize = 64;

/// Frames in the order in which they leave, and how far they have.
///
/// Filled by [`Queue::fill`](super::Queue::fill); a short write is a smaller
/// [`wrote`](Flight::wrote), and what was committed leaves before anything
/// that is committed later.
///
/// Invariant: the lengths of `pieces` less `front_sent` sum up to
/// `committed - written`, and so many bytes are still to be written; the
/// marks rise and end at `committed`.
#[derive(Debug, Default)]
pub struct Flight {
    /// Heads, blocks and small data, side by side.
    stage: Vec<u8>,
    /// Staged bytes that have been dropped from the front of `stage`.
    stage_base: usize,
    pieces: VecDeque<Piece>,
    /// Bytes of the first piece that have left.
    front_sent: usize,
    marks: VecDeque<Mark>,
    /// Bytes committed and bytes written, from the beginning.
    committed: u64,
    written: u64,
    counts: FlightCounts,
}

/// Bytes that are one slice.
#[derive(Debug)]
enum Piece {
    /// A range of the stage, counted from the beginning.
    Staged {
        begin: usize,
        end: usize,
    },
    Lent(Payload),
}

impl Piece {
    fn len(&self) -> usize {
        match self {
            Self::Staged { begin, end } => end - begin,
            Self::Lent(payload) => payload.len(),
        }
    }
}

/// The end of a frame.
#[derive(Debug)]
struct Mark {
    /// Bytes committed up to there, from the beginning.
    end: u64,
    /// Whether it ends a group.
    group: bool,
}

/// What has left a [`Flight`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlightCounts {
    /// Bytes.
    pub bytes: u64,
    /// Frames whose last byte has left.
    pub frames: u64,
    /// Groups whose last frame has left.
    pub groups: u64,
    /// Bytes of data committed as slices of their own, so uncopied.
    pub bytes_lent: u64,
    /// Bytes of data committed by copying them.
    pub bytes_copied: u64,
}

/// What one write took: see [`Flight::wrote`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Frames that have thereby left whole.
    pub frames: usize,
    /// Groups that have thereby left whole.
    pub groups: usize,
}

impl Flight {
    /// Nothing is under way.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Commits a frame by copying it.
    pub(super) fn copy(&mut self, frame: &Frame<'_>, ends_group: bool) {
        let begin = self.stage.len();
        self.stage.resize(begin + frame.frame_len(), 0);
        let encoded = frame.encode(&mut self.stage[begin..]);
        // Frames are cut at the peer's maximum, which is below the format's.
        debug_assert_eq!(encoded, Ok(self.stage.len() - begin));
        if let Frame::Data { data, .. } = frame {
            self.counts.bytes_copied += data.len() as u64;
        }
        self.staged(begin);
        self.mark(ends_group);
    }

    /// Commits a DATA frame whose data is lent: its bytes before the data,
    /// the data, its bytes after it.
    pub(super) fn lend(&mut self, head: &[u8], data: Payload, tail_len: usize, ends_group: bool) {
        let begin = self.stage.len();
        self.stage.extend_from_slice(head);
        self.staged(begin);
        self.committed += data.len() as u64;
        self.counts.bytes_lent += data.len() as u64;
        self.pieces.push_back(Piece::Lent(data));
        if tail_len > 0 {
            let begin = self.stage.len();
            self.stage.resize(begin + tail_len, 0);
            self.staged(begin);
        }
        self.mark(ends_group);
    }

    /// Commits bytes that are whole frames.
    pub(super) fn frames(&mut self, bytes: &[u8]) {
        let begin = self.stage.len();
        self.stage.extend_from_slice(bytes);
        self.staged(begin);
        self.mark(false);
    }

    /// Makes a piece of the stage from `at` on, or adds it to the last one.
    fn staged(&mut self, at: usize) {
        let (begin, end) = (self.stage_base + at, self.stage_base + self.stage.len());
        self.committed += (end - begin) as u64;
        match self.pieces.back_mut() {
            Some(Piece::Staged { end: last, .. }) if *last == begin => *last = end,
            _ => self.pieces.push_back(Piece::Staged { begin, end }),
        }
    }

    fn mark(&mut self, group: bool) {
        self.marks.push_back(Mark { end: self.committed, group });
        self.invariants();
    }

    /// Bytes that have not left.
    #[must_use]
    pub fn pending(&self) -> usize {
        // Bytes in memory, so fewer than a `usize` counts.
        #[allow(clippy::cast_possible_truncation)]
        {
            (self.committed - self.written) as usize
        }
    }

    /// Whether everything has left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.committed == self.written
    }

    /// Whether another frame would need a slice that there is not.
    pub(super) fn is_full(&self) -> bool {
        self.pieces.len() + 3 > SLICES_MAX
    }

    /// What is to leave, in order.
    #[must_use]
    pub fn slices(&self) -> Slices<'_> {
        let mut skip = self.front_sent;
        let mut slices = Slices { slices: [&[]; SLICES_MAX], len: 0 };
        for piece in self.pieces.iter().take(SLICES_MAX) {
            let bytes = match piece {
                Piece::Staged { begin, end } => {
                    &self.stage[begin - self.stage_base..end - self.stage_base]
                }
                Piece::Lent(payload) => payload.as_bytes(),
            };
            slices.slices[slices.len] = &bytes[skip..];
            slices.len += 1;
            skip = 0;
        }
        slices
    }

    /// Says that the first `len` bytes of the slices have left.
    ///
    /// # Errors
    ///
    /// [`PastEnd`] when there are fewer; nothing has moved.
    pub fn wrote(&mut self, len: usize) -> Result<Left, PastEnd> {
        let pending = self.pending();
        if len > pending {
            return Err(PastEnd { len, pending });
        }
        self.written += len as u64;
        self.counts.bytes += len as u64;
        let mut left = self.front_sent + len;
        while let Some(piece) = self.pieces.front() {
            let piece_len = piece.len();
            if left < piece_len {
                break;
            }
            left -= piece_len;
            self.pieces.pop_front();
        }
        self.front_sent = left;
        self.forget_stage();
        let mut told = Left::default();
        while let Some(mark) = self.marks.front()
            && mark.end <= self.written
        {
            told.frames += 1;
            told.groups += usize::from(mark.group);
            self.marks.pop_front();
        }
        self.counts.frames += told.frames as u64;
        self.counts.groups += told.groups as u64;
        self.invariants();
        Ok(told)
    }

    /// Gives up staged bytes that have left: all when nothing is left to
    /// leave, else when they are the greater part.
    fn forget_stage(&mut self) {
        let first = self.pieces.iter().find_map(|piece| match piece {
            Piece::Staged { begin, .. } => Some(begin - self.stage_base),
            Piece::Lent(_) => None,
        });
        let left = first.unwrap_or(self.stage.len());
        if left * 2 >= self.stage.len() {
            self.stage.drain(..left);
            self.stage_base += left;
        }
    }

    /// What has left so far.
    #[must_use]
    pub const fn counts(&self) -> FlightCounts {
        self.counts
    }

    fn invariants(&self) {
        if cfg!(debug_assertions) {
            let len: usize = self.pieces.iter().map(Piece::len).sum();
            assert_eq!(len - self.front_sent, self.pending());
            assert!(self.marks.iter().is_sorted_by(|a, b| a.end <= b.end));
            assert!(self.marks.back().is_none_or(|mark| mark.end == self.committed));
        }
    }
}

/// What is to leave, in order, as slices.
#[derive(Clone, Copy, Debug)]
pub struct Slices<'f> {
    slices: [&'f [u8]; SLICES_MAX],
    len: usize,
}

impl<'f> Deref for Slices<'f> {
    type Target = [&'f [u8]];

    fn deref(&self) -> &Self::Target {
        &self.slices[..self.len]
    }
}
