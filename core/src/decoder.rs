//! From bytes in any chunking to borrowed frames.
//!
//! ```
//! use forebay::Decoder;
//! use forebay::checksum::CRC32;
//! use forebay::frame::{Encode, Prefixed};
//!
//! let format = Prefixed::native(64, CRC32);
//! let mut wire = [0; 64];
//! let first = format.encode(b"fills", &mut wire)?;
//! let len = first + format.encode(b"in bits", &mut wire[first..])?;
//! wire[6] ^= 0x20; // damage the first payload
//!
//! let mut decoder = Decoder::new(format, [0; 128])?;
//! let mut payloads = 0;
//! let mut damages = 0;
//! for chunk in wire[..len].chunks(3) {
//!     decoder.free()[..chunk.len()].copy_from_slice(chunk);
//!     decoder.received(chunk.len());
//!     loop {
//!         match decoder.next_frame() {
//!             Ok(Some(frame)) => {
//!                 assert_eq!(frame.payload, b"in bits");
//!                 payloads += 1;
//!             }
//!             Ok(None) => break,
//!             Err(damage) => {
//!                 assert_eq!(damage.offset, 0);
//!                 damages += 1;
//!             }
//!         }
//!     }
//! }
//! assert_eq!((payloads, damages), (1, 1));
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! The caller reads into [`free`](Decoder::free), says how much with
//! [`received`](Decoder::received), and takes frames until there is none.
//! After the last byte of the stream, [`end`](Decoder::end) lets a frame that
//! was cut short be reported.
//!
//! A damaged frame costs itself: it is reported once, by the offset at which
//! it began, and the next good frame follows. What is given up is counted in
//! [`counts`](Decoder::counts).
//!
//! # Implementation
//!
//! What has been received waits in a buffer of three spans (`receive.rs`). A
//! fourth boundary lies within what waits: how far the format has looked.
//!
//! ```text
//!   0          consumed          validated          received          len
//!   | given back  | looked at, in order | not looked at | free          |
//! ```
//!
//! Invariant: `consumed <= validated <= received <= buffer.len()`, where
//! `validated` is kept as its distance `seen` from `consumed`; and while
//! nothing is being discarded the frame at `consumed` fits the buffer, since a
//! format refuses a length over its maximum before it waits for one.

#[cfg(feature = "embedded-io")]
mod source;

use core::{error::Error, fmt, ops::Range};

pub use crate::receive::BufferTooShort;
use crate::{
    frame::{Decode, Reason, Resync, Step},
    receive::Receive,
};

/// A buffer and the place in it up to which a stream has been decoded.
///
/// `B` is the buffer: an array, a `&mut [u8]`, a `Box<[u8]>`.
#[derive(Debug)]
pub struct Decoder<F, B> {
    format: F,
    input: Receive<B>,
    /// Bytes that wait and have been looked at.
    seen: usize,
    /// Bytes that must wait before another look, at least one.
    needed: usize,
    trust: Trust,
    ended: bool,
    counts: DecoderCounts,
}

/// What is known of the first byte that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    /// A frame begins there.
    InSync,
    /// A search for the next frame goes on there.
    Lost,
    /// A search ended there; the frame is still to prove itself.
    Tentative,
}

/// A verified frame, borrowed from the decoder's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'d> {
    /// The payload.
    pub payload: &'d [u8],
    /// The frame's first byte, counted from the beginning of the stream.
    pub offset: u64,
    /// Bytes that the frame took on the wire.
    pub frame_len: usize,
}

/// A frame and where its payload lies in the buffer.
struct Found {
    payload: Range<usize>,
    offset: u64,
    frame_len: usize,
}

/// Bytes that were no frame: where they began and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Damage {
    /// The first damaged byte, counted from the beginning of the stream.
    pub offset: u64,
    /// What is wrong.
    pub reason: Reason,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "offset {}: {}", self.offset, self.reason)
    }
}

impl Error for Damage {}

/// What a decoder has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct DecoderCounts {
    /// Frames given out.
    pub frames: u64,
    /// Damages reported.
    pub damages: u64,
    /// Bytes given up: those of damaged frames and those searched through.
    /// Idle filler is not counted.
    pub bytes_lost: u64,
}

impl<F: Decode, B: AsRef<[u8]> + AsMut<[u8]>> Decoder<F, B> {
    /// A decoder at the beginning of a stream.
    ///
    /// # Errors
    ///
    /// [`BufferTooShort`] when the longest frame would not fit.
    pub fn new(format: F, buffer: B) -> Result<Self, BufferTooShort> {
        let input = Receive::new(buffer, format.buffer_len_min())?;
        Ok(Self {
            format,
            input,
            seen: 0,
            needed: 1,
            trust: Trust::InSync,
            ended: false,
            counts: DecoderCounts::default(),
        })
    }

    /// The free part of the buffer, to receive into; never empty after
    /// [`next_frame`](Decoder::next_frame) has answered `Ok(None)`.
    ///
    /// Moves what is not consumed yet to the front of the buffer: after the
    /// frames have been taken that is a part of one frame at most.
    pub fn free(&mut self) -> &mut [u8] {
        self.input.free()
    }

    /// Says that the first `len` bytes of [`free`](Decoder::free) have been
    /// filled.
    ///
    /// # Panics
    ///
    /// If `len` is more than was free.
    pub fn received(&mut self, len: usize) {
        self.input.received(len);
    }

    /// Says that the stream has ended: a frame that is still incomplete is
    /// reported as [`Reason::Truncated`] by the following calls of
    /// [`next_frame`](Decoder::next_frame).
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Takes the next frame, or `None` when more bytes are needed.
    ///
    /// The payload stays valid until the decoder is used again.
    ///
    /// # Errors
    ///
    /// [`Damage`] for bytes that are no frame. They have been given up, and
    /// the next call goes on behind them.
    #[inline]
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, Damage> {
        // The usual case alone, so that it is short where it is used.
        let mut step = None;
        if self.trust == Trust::InSync && self.input.len() >= self.needed {
            match self.look() {
                Step::Frame { payload, frame_len } => {
                    let found = self.found(payload, frame_len);
                    return Ok(Some(self.frame(found)));
                }
                other => step = Some(other),
            }
        }
        match self.next_found(step) {
            Ok(Some(found)) => Ok(Some(self.frame(found))),
            Ok(None) => Ok(None),
            Err(damage) => Err(damage),
        }
    }

    /// Takes the next frame in every case; `step` is what stands at the front
    /// where that is known.
    #[inline(never)]
    fn next_found(&mut self, mut step: Option<Step>) -> Result<Option<Found>, Damage> {
        loop {
            let len = self.input.len();
            if len == 0 {
                return Ok(None);
            }
            if self.trust == Trust::Lost {
                if self.search() {
                    continue;
                }
                return Ok(None);
            }
            if len < self.needed && !self.ended {
                return Ok(None);
            }
            match step.take().unwrap_or_else(|| self.look_again()) {
                Step::Frame { payload, frame_len } => {
                    self.trust = Trust::InSync;
                    return Ok(Some(self.found(payload, frame_len)));
                }
                Step::Idle { skip } => self.consume(skip),
                Step::Incomplete { needed } if self.ended => {
                    let reason = Reason::Truncated { received: len, needed };
                    if let Some(damage) = self.give_up(len, reason, false) {
                        return Err(damage);
                    }
                }
                Step::Incomplete { needed } => {
                    self.seen = len;
                    self.needed = needed.max(1);
                    self.invariants();
                    return Ok(None);
                }
                Step::Damaged { skip, reason, resync } => {
                    if let Some(damage) = self.give_up(skip, reason, resync) {
                        return Err(damage);
                    }
                }
            }
        }
    }

    /// As `look`, of which there is one copy for all cases but the usual one.
    #[inline(never)]
    fn look_again(&mut self) -> Step {
        self.look()
    }

    /// What stands at the front of what waits.
    #[inline]
    fn look(&mut self) -> Step {
        self.format.decode(self.input.waiting_mut(), self.seen)
    }

    /// Consumes a frame.
    #[inline]
    fn found(&mut self, payload: Range<usize>, frame_len: usize) -> Found {
        let offset = self.offset();
        let payload = self.input.consume_with(frame_len, payload);
        self.look_anew();
        self.counts.frames += 1;
        Found { payload, offset, frame_len }
    }

    #[inline]
    fn frame(&self, found: Found) -> Frame<'_> {
        let Found { payload, offset, frame_len } = found;
        Frame { payload: self.input.part(payload), offset, frame_len }
    }

    /// Whether the decoder is searching for the next frame. At the end of a
    /// stream that means that its tail was given up.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.trust == Trust::Lost
    }

    /// What has been decoded and given up so far.
    #[must_use]
    pub fn counts(&self) -> DecoderCounts {
        self.counts
    }

    /// The offset in the stream of the first byte that is not consumed.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.input.offset()
    }

    #[inline]
    fn consume(&mut self, len: usize) {
        self.input.consume(len);
        self.look_anew();
    }

    /// Nothing is known of what waits.
    #[inline]
    fn look_anew(&mut self) {
        (self.seen, self.needed) = (0, 1);
        self.invariants();
    }

    /// Consumes bytes that are no frame. Bytes in which a frame was only
    /// suspected belong to the damage that began the search: they are not
    /// reported again, and the search goes on one byte later.
    #[cold]
    fn give_up(&mut self, len: usize, reason: Reason, resync: bool) -> Option<Damage> {
        let suspected = self.trust == Trust::Tentative;
        let len = if suspected { 1 } else { len };
        let offset = self.offset();
        self.counts.bytes_lost += len as u64;
        self.consume(len);
        self.trust = if suspected || resync { Trust::Lost } else { Trust::InSync };
        if suspected {
            return None;
        }
        self.counts.damages += 1;
        Some(Damage { offset, reason })
    }

    /// Searches for the next frame; whether there are bytes left to look at.
    #[cold]
    fn search(&mut self) -> bool {
        let input = self.input.waiting();
        let left = input.len();
        let (mut skip, trust) = match self.format.resync(input) {
            Resync::Skip(skip) => (skip, Trust::Lost),
            Resync::Certain(skip) => (skip, Trust::InSync),
            Resync::Tentative(skip) => (skip, Trust::Tentative),
        };
        if trust == Trust::Lost && self.ended {
            skip = left;
        }
        self.counts.bytes_lost += skip as u64;
        self.consume(skip);
        self.trust = trust;
        trust != Trust::Lost
    }

    #[inline]
    fn invariants(&self) {
        debug_assert!(self.seen <= self.input.len());
    }
}

/// What concerns one call; whole streams are in `tests/decode_splits.rs`.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::CRC16;
    use crate::frame::{Cobs, Prefixed};

    #[test]
    fn a_buffer_shorter_than_the_longest_frame_is_refused() {
        let format = Prefixed::flatstream(10).checksum(CRC16);
        let error = BufferTooShort { needed: 16, given: 15 };
        assert_eq!(Decoder::new(format, [0; 15]).err(), Some(error));
        assert!(Decoder::new(format, [0; 16]).is_ok());
    }

    #[test]
    #[should_panic(expected = "9 bytes received into 8 free ones")]
    fn more_than_was_free_is_not_received() {
        Decoder::new(Prefixed::flatstream(4), [0; 8]).unwrap().received(9);
    }

    #[test]
    fn a_part_of_a_frame_moves_to_the_front() {
        let mut decoder = Decoder::new(Prefixed::flatstream(4), [0; 8]).unwrap();
        decoder.free().copy_from_slice(b"\x01\0\0\0a\x02\0\0");
        decoder.received(8);
        let frame = Frame { payload: b"a", offset: 0, frame_len: 5 };
        assert_eq!(decoder.next_frame(), Ok(Some(frame)));
        assert_eq!(decoder.next_frame(), Ok(None));
        assert_eq!((decoder.offset(), decoder.free().len()), (5, 5));
        decoder.free()[..3].copy_from_slice(b"\0bc");
        decoder.received(3);
        let frame = Frame { payload: b"bc", offset: 5, frame_len: 6 };
        assert_eq!(decoder.next_frame(), Ok(Some(frame)));
    }

    #[test]
    fn a_tail_that_was_given_up_leaves_the_decoder_lost() {
        let mut decoder = Decoder::new(Cobs::new(2, CRC16), [0; 8]).unwrap();
        decoder.free()[..6].fill(1);
        decoder.received(6);
        let reason = Reason::TooLong { len: 7, len_max: 6 };
        assert_eq!(decoder.next_frame(), Err(Damage { offset: 0, reason }));
        decoder.end();
        assert_eq!(decoder.next_frame(), Ok(None));
        assert!(decoder.is_lost());
        assert_eq!(decoder.counts(), DecoderCounts { frames: 0, damages: 1, bytes_lost: 6 });
    }
}
