//! Frames in the order in which they leave, some copied, some lent.
//!
//! The mechanism under [`Batch`](crate::Batch), whose lent payloads are
//! slices, and [`Pump`](crate::Pump), whose lent payloads are places in a ring.
//!
//! # Implementation
//!
//! One buffer, used from both ends like a slotted page: bytes that leave grow
//! up from the front, the frames' lengths (four bytes each) grow down from the
//! back. A lent payload stands between two staged bytes, so it is kept with
//! the number of staged bytes before it.
//!
//! ```text
//!   0        sent            used                      slots          len
//!   | has left | waits to leave | free                  | frame lengths |
//!                   ^ before: a lent payload leaves here
//! ```
//!
//! A frame stays, lent payload and all, until its last byte has left, so that
//! it can be sent again from its beginning to a new peer.
//!
//! Invariant: `sent <= used <= slots <= buffer.len()`; the lengths of the
//! frames that have not left, less `front_sent` of the first, sum up to the
//! bytes that have not left, staged and lent. When nothing is left to leave,
//! all places are reset, so that the buffer is used from its front again.

use core::ops::Deref;

use heapless::Deque;

use crate::frame::{Encode, EncodeError};

/// Bytes a frame's length takes at the back of the buffer.
const SLOT_LEN: usize = 4;
/// Marks the length of a frame whose payload is lent.
const LENT: u32 = 1 << 31;
/// The longest frame: a length of 31 bits.
const FRAME_LEN_MAX: usize = (LENT - 1) as usize;

#[derive(Debug)]
pub(crate) struct Stage<L, B, const SLICES: usize> {
    buffer: B,
    sent: usize,
    used: usize,
    /// Frames that have left, counted from the last reset.
    frames_left: usize,
    /// Frames put in, counted from the last reset.
    frames: usize,
    /// Bytes of the first frame not left that have left.
    front_sent: usize,
    /// Bytes of lent payloads that have not left.
    lent_pending: usize,
    lent: Deque<Lent<L>, SLICES>,
}

/// A payload that leaves from where it lies.
#[derive(Clone, Copy, Debug)]
struct Lent<L> {
    place: L,
    /// Staged bytes that leave before it, counted from the buffer's front.
    before: usize,
    len: usize,
    /// Bytes of it that have left.
    sent: usize,
}

/// A frame on its way in.
struct Added {
    /// Bytes of it in the buffer.
    staged: usize,
    /// Bytes of it that stay where they are.
    lent: Option<usize>,
    payload_len: usize,
}

/// How far a stage reached at some time.
pub(crate) struct StageMark {
    used: usize,
    frames: usize,
    lent_pending: usize,
    lent: usize,
}

/// A frame that has not wholly left.
pub(crate) enum Waiting<'s, L> {
    Copied(&'s [u8]),
    /// With a payload that lies elsewhere.
    Lent(L),
}

/// Why a frame did not go in.
pub(crate) enum Refused {
    Encode(EncodeError),
    /// No room now.
    Full {
        needed: usize,
        free: usize,
    },
}

impl<L: Copy, B: AsRef<[u8]> + AsMut<[u8]>, const SLICES: usize> Stage<L, B, SLICES> {
    /// The most payloads lent at a time: each takes a slice and the staged
    /// bytes before it another; one more follows the last.
    const LENT_MAX: usize = (SLICES - 1) / 2;

    pub(crate) const fn new(buffer: B) -> Self {
        Self {
            buffer,
            sent: 0,
            used: 0,
            frames_left: 0,
            frames: 0,
            front_sent: 0,
            lent_pending: 0,
            lent: Deque::new(),
        }
    }

    /// Bytes that have not left.
    #[inline]
    pub(crate) fn pending(&self) -> usize {
        self.used - self.sent + self.lent_pending
    }

    /// The length of the frames that have not wholly left, with what has left
    /// of the first.
    #[inline]
    pub(crate) fn frames_len(&self) -> usize {
        self.pending() + self.front_sent
    }

    /// Frames that have not wholly left.
    #[inline]
    pub(crate) fn frames(&self) -> usize {
        self.frames - self.frames_left
    }

    #[inline]
    pub(crate) fn capacity(&self) -> usize {
        self.buffer.as_ref().len()
    }

    /// Bytes of the buffer that a frame and its length may take now.
    #[inline]
    pub(crate) fn free(&self) -> usize {
        self.capacity() - self.frames * SLOT_LEN - self.used
    }

    /// The free bytes.
    #[inline]
    fn room(&mut self) -> &mut [u8] {
        let (used, free) = (self.used, self.free());
        self.buffer.as_mut().get_mut(used..used + free).unwrap_or_default()
    }

    /// Copies a whole frame in.
    // Always, so that a format that is a constant folds away: half of what a
    // small frame costs besides its checksum.
    #[inline(always)]
    pub(crate) fn copy<F: Encode>(&mut self, format: &F, payload: &[u8]) -> Result<(), Refused> {
        let (used, free) = (self.used, self.free());
        // The slot is the last of the free bytes, the frame goes before it.
        let room = self.buffer.as_mut().get_mut(used..used + free).unwrap_or_default();
        let (room, slot) = match room.split_last_chunk_mut() {
            Some((room, slot)) => (room, Some(slot)),
            None => (Default::default(), None),
        };
        let room_len = room.len();
        let frame_len = match format.encode(payload, room) {
            Ok(frame_len) => frame_len,
            Err(error) => return Err(self.refused(error)),
        };
        match (u32::try_from(frame_len), slot) {
            // The usual case of `add`.
            (Ok(len), Some(slot)) if len < LENT && frame_len <= room_len => {
                *slot = len.to_le_bytes();
                self.frames += 1;
                self.used += frame_len;
            }
            _ => self.add(Added { staged: frame_len, lent: None, payload_len: payload.len() })?,
        }
        self.invariants();
        Ok(())
    }

    /// Puts head and tail in and lends the payload. `Ok(false)`: nothing was
    /// put in, as the format changes its payload or no slice is left for it.
    pub(crate) fn lend<F: Encode>(
        &mut self,
        format: &F,
        payload: &[u8],
        place: L,
    ) -> Result<bool, Refused> {
        if self.lent.len() >= Self::LENT_MAX {
            return Ok(false);
        }
        let envelope = match format.envelope(payload, self.room()) {
            Ok(Some(envelope)) => envelope,
            Ok(None) => return Ok(false),
            Err(error) => return Err(self.refused(error)),
        };
        let (head_len, len) = (envelope.head_len, payload.len());
        let lent = Lent { place, before: self.used + head_len, len, sent: 0 };
        self.add(Added {
            staged: head_len + envelope.tail_len,
            lent: Some(len),
            payload_len: len,
        })?;
        let pushed = self.lent.push_back(lent);
        debug_assert!(pushed.is_ok(), "fewer payloads are lent than there are slices");
        self.invariants();
        Ok(true)
    }

    /// Counts a frame whose staged bytes have been written to the room.
    #[inline(never)]
    fn add(&mut self, added: Added) -> Result<(), Refused> {
        let Added { staged, lent, payload_len } = added;
        let (needed, free) = (staged.saturating_add(SLOT_LEN), self.free());
        let frame_len = staged.saturating_add(lent.unwrap_or(0));
        if frame_len > FRAME_LEN_MAX {
            let payload_len_max = payload_len.saturating_sub(frame_len - FRAME_LEN_MAX);
            return Err(Refused::Encode(EncodeError::TooLong { payload_len, payload_len_max }));
        }
        // One payload lent many times may add up to more than is addressable,
        // which leaves no room for what may be staged.
        let lent_len = self.frames_len().checked_add(frame_len);
        if needed > free || lent_len.and_then(|len| len.checked_add(free)).is_none() {
            return Err(Refused::Full { needed, free });
        }
        // 31 bits, as just checked.
        #[allow(clippy::cast_possible_truncation)]
        let slot = frame_len as u32 | if lent.is_some() { LENT } else { 0 };
        let (_, slots) = self.buffer.as_mut().as_rchunks_mut::<SLOT_LEN>();
        let Some(place) = slots.iter_mut().nth_back(self.frames) else {
            return Err(Refused::Full { needed, free });
        };
        *place = slot.to_le_bytes();
        self.frames += 1;
        self.used += staged;
        self.lent_pending += lent.unwrap_or(0);
        Ok(())
    }

    /// What stands in the way of a frame that was not encoded.
    #[cold]
    fn refused(&self, error: EncodeError) -> Refused {
        match error {
            EncodeError::NoRoom { needed, .. } => {
                Refused::Full { needed: needed.saturating_add(SLOT_LEN), free: self.free() }
            }
            error => Refused::Encode(error),
        }
    }

    /// The length of a frame, counted from the last reset, and whether its
    /// payload is lent.
    fn slot(&self, frame: usize) -> (usize, bool) {
        let (_, slots) = self.buffer.as_ref().as_rchunks::<SLOT_LEN>();
        let slot = slots.iter().nth_back(frame).map_or(0, |slot| u32::from_le_bytes(*slot));
        ((slot & !LENT) as usize, slot & LENT != 0)
    }

    /// All that has not left, in order. `find` turns a place into its bytes.
    pub(crate) fn slices<'s>(&'s self, find: impl Fn(L) -> &'s [u8]) -> Slices<'s, SLICES> {
        let staged = self.buffer.as_ref();
        let mut slices = Slices { slices: [&[]; SLICES], len: 0 };
        // `lend` keeps the count.
        let mut push = |slice: &'s [u8]| {
            if let (false, Some(free)) = (slice.is_empty(), slices.slices.get_mut(slices.len)) {
                *free = slice;
                slices.len += 1;
            }
        };
        let mut at = self.sent;
        for lent in self.lent_frames().filter(|lent| lent.sent < lent.len) {
            push(staged.get(at..lent.before).unwrap_or_default());
            push(find(lent.place).get(lent.sent..lent.len).unwrap_or_default());
            at = lent.before;
        }
        push(staged.get(at..self.used).unwrap_or_default());
        debug_assert_eq!(slices.len_bytes(), self.pending());
        slices
    }

    /// The places of the lent payloads that have not wholly left, in order.
    pub(crate) fn lent(&self) -> impl Iterator<Item = L> + '_ {
        self.lent_frames().map(|lent| lent.place)
    }

    /// The frames whose payloads are lent. With one slice or two there are
    /// none, and the bound lets their code go.
    fn lent_frames(&self) -> impl Iterator<Item = &Lent<L>> + '_ {
        self.lent.iter().take(Self::LENT_MAX)
    }

    /// Moves past `len` bytes that have left; returns how many frames ended
    /// within them. `len` is at most [`pending`](Stage::pending).
    pub(crate) fn advance(&mut self, len: usize) -> usize {
        debug_assert!(len <= self.pending());
        if len == self.pending() {
            let frames = self.frames();
            self.reset();
            return frames;
        }
        self.advance_bytes(len);
        let frames = self.advance_frames(len);
        self.invariants();
        frames
    }

    fn advance_bytes(&mut self, mut len: usize) {
        let lent = self.lent.iter_mut().take(Self::LENT_MAX);
        for lent in lent.filter(|lent| lent.sent < lent.len) {
            let staged = lent.before - self.sent;
            if len < staged {
                break;
            }
            self.sent = lent.before;
            len -= staged;
            let left = lent.len - lent.sent;
            if len < left {
                lent.sent += len;
                self.lent_pending -= len;
                return;
            }
            lent.sent = lent.len;
            self.lent_pending -= left;
            len -= left;
        }
        self.sent += len;
    }

    fn advance_frames(&mut self, len: usize) -> usize {
        let before = self.frames_left;
        self.front_sent += len;
        while self.frames_left < self.frames {
            let (frame_len, lent) = self.slot(self.frames_left);
            if self.front_sent < frame_len {
                break;
            }
            if lent {
                self.lent.pop_front();
            }
            self.front_sent -= frame_len;
            self.frames_left += 1;
        }
        self.frames_left - before
    }

    /// How far the stage reaches now, for [`cut`](Stage::cut).
    pub(crate) fn mark(&self) -> StageMark {
        let Self { used, frames, lent_pending, .. } = *self;
        StageMark { used, frames, lent_pending, lent: self.lent.len() }
    }

    /// Takes out the frames that have gone in since `mark`, since when nothing
    /// has left.
    pub(crate) fn cut(&mut self, mark: &StageMark) {
        let StageMark { used, frames, lent_pending, lent } = *mark;
        while self.lent.len() > lent {
            self.lent.pop_back();
        }
        (self.used, self.frames, self.lent_pending) = (used, frames, lent_pending);
        self.invariants();
    }

    /// Shows each frame that has not wholly left, in order.
    pub(crate) fn for_each_frame(&self, mut show: impl FnMut(Waiting<'_, L>)) {
        let mut lent = self.lent_frames();
        // What is staged of the first frame and has left stands before `sent`.
        let lent_sent = match (self.slot(self.frames_left), self.lent.front()) {
            ((_, true), Some(first)) => first.sent,
            _ => 0,
        };
        let mut at = self.sent + lent_sent - self.front_sent;
        for frame in self.frames_left..self.frames {
            let (len, is_lent) = self.slot(frame);
            match if is_lent { lent.next() } else { None } {
                Some(lent) => {
                    show(Waiting::Lent(lent.place));
                    at += len - lent.len;
                }
                None => {
                    show(Waiting::Copied(
                        self.buffer.as_ref().get(at..at + len).unwrap_or_default(),
                    ));
                    at += len;
                }
            }
        }
    }

    /// Takes back what has left of the first frame, which is to leave again
    /// from its beginning. Returns how many bytes that were.
    pub(crate) fn rewind(&mut self) -> usize {
        let taken_back = self.front_sent;
        if taken_back > 0 {
            let mut staged = taken_back;
            if let ((_, true), Some(lent)) = (self.slot(self.frames_left), self.lent.front_mut()) {
                staged -= lent.sent;
                self.lent_pending += lent.sent;
                lent.sent = 0;
            }
            self.sent -= staged;
            self.front_sent = 0;
            self.invariants();
        }
        taken_back
    }

    fn reset(&mut self) {
        self.sent = 0;
        self.used = 0;
        self.frames = 0;
        self.frames_left = 0;
        self.front_sent = 0;
        self.lent_pending = 0;
        self.lent.clear();
    }

    fn invariants(&self) {
        if cfg!(debug_assertions) {
            assert!(self.sent <= self.used);
            assert!(self.used + self.frames * SLOT_LEN <= self.capacity());
            let frames: usize =
                (self.frames_left..self.frames).map(|frame| self.slot(frame).0).sum();
            assert_eq!(frames - self.front_sent, self.pending());
            let lent: usize = self.lent.iter().map(|lent| lent.len - lent.sent).sum();
            assert_eq!(lent, self.lent_pending);
        }
    }
}

/// What is to leave, in order, as at most `SLICES` slices; none of them is
/// empty.
///
/// ```
/// use forebay::Batch;
/// use forebay::frame::Prefixed;
///
/// let mut batch: Batch<[u8; 256]> = Batch::new([0; 256]);
/// batch.push(&Prefixed::flatstream(64), b"a")?;
/// batch.push(&Prefixed::flatstream(64), b"b")?;
/// let slices = batch.slices();
/// assert_eq!(slices[..], [b"\x01\0\0\0a\x01\0\0\0b"]);
/// assert_eq!(slices.len_bytes(), 10);
/// # Ok::<(), forebay::batch::PushError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Slices<'s, const SLICES: usize> {
    slices: [&'s [u8]; SLICES],
    len: usize,
}

impl<const SLICES: usize> Slices<'_, SLICES> {
    /// The sum of the slices' lengths in bytes.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        self.iter().map(|slice| slice.len()).sum()
    }
}

impl<'s, const SLICES: usize> Deref for Slices<'s, SLICES> {
    type Target = [&'s [u8]];

    fn deref(&self) -> &Self::Target {
        self.slices.get(..self.len).unwrap_or_default()
    }
}
