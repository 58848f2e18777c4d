//! The good frames of a stream that has been damaged.
//!
//! A [`Decoder`](crate::Decoder) serves a stream as it comes: where a length
//! cannot be believed and no head check says so, it has lost the stream. A
//! [`Recovery`] looks ahead. It tries each byte as the beginning of a frame,
//! and finds what a checksum, or a chain of frames, proves to be one.
//!
//! ```
//! use forebay::checksum::CRC32;
//! use forebay::frame::{Encode, Prefixed};
//! use forebay::recover::{Piece, Recovery, buffer_len_min};
//!
//! let format = Prefixed::flatstream(64).checksum(CRC32);
//! let mut file = vec![0; 1000];
//! let mut len = 0;
//! for payload in [&b"one"[..], b"two", b"three"] {
//!     len += format.encode(payload, &mut file[len..])?;
//! }
//! file[12] = 0xFF; // in the length of the second frame
//!
//! let mut recovery = Recovery::new(format, vec![0; buffer_len_min(&format)])?;
//! recovery.free()[..len].copy_from_slice(&file[..len]);
//! recovery.received(len);
//! recovery.end();
//! let mut good = Vec::new();
//! while let Some(piece) = recovery.next_piece() {
//!     match piece {
//!         Piece::Frame(frame) => good.push(frame.payload.to_vec()),
//!         Piece::Damaged(damaged) => assert_eq!((damaged.begin, damaged.end), (11, 22)),
//!     }
//! }
//! assert_eq!(good, [&b"one"[..], b"three"]);
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! # What is promised
//!
//! With a checksum, where one thing at a time is damaged:
//!
//! - A frame whose bytes are whole is found, wherever it lies. (A checksum of
//!   zero says nothing, since bytes of zero fulfil it: behind a damage, frames
//!   that have one count by what follows them or by what leads to them. But
//!   zeros that begin where a frame is due are empty frames, as the format has
//!   it.)
//! - What is not a frame of the stream is not taken for one, also where the
//!   payload of the damaged frame holds frames itself. There either the length
//!   is right and a frame or the end stands where it says, or the length is
//!   wrong and the payload fits its checksum up to where the next frame
//!   begins. Neither can be shown where bytes are missing or too many, or
//!   where length and payload are both damaged; then frames inside that
//!   payload are found too. With checksums of less than four bytes a wrong
//!   length is only shown by the first frame found, and work is limited: the
//!   search gives up in payloads of more than some hundred frames.
//! - A frame that the end of the stream cuts off is damaged to the end, unless
//!   a frame ends there: then it is its length that is damaged.
//!
//! Without a checksum, a frame is what its length says. Damage shows where a
//! length is over the maximum or leads beyond the end; then the frame before
//! it is doubted as well, and the next one is where a chain of plausible
//! lengths begins that leads through 32 frames, or to the end of the stream.
//! A damaged payload cannot be seen, nor a length that leads to a plausible
//! one.
//!
//! # Implementation
//!
//! Nothing is judged before [`buffer_len_min`] bytes from it on have been
//! received, or the end, and nothing behind those is looked at: so the pieces
//! do not depend on how the stream was chunked. The time for a damaged byte is
//! at most that of a checksum over the longest frame.
//!
//! Invariant: while `lost` is set, all bytes from its beginning to the first
//! that waits (`receive.rs`) are no frames.

mod window;

use core::{fmt, ops::Range};

use self::window::{Found, Front, Window};
pub use crate::decoder::{BufferTooShort, Frame};
use crate::{
    checksum::Checksum,
    frame::{Prefixed, Reason},
    receive::Receive,
};

/// Room for a chain of short frames behind two long ones.
const CHAIN_ROOM: usize = 4096;

/// The shortest buffer in bytes for a [`Recovery`] of `format`.
#[must_use]
pub const fn buffer_len_min<C: Checksum>(format: &Prefixed<C>) -> usize {
    window_len(format)
}

/// As far as is looked ahead.
const fn window_len<C: Checksum>(format: &Prefixed<C>) -> usize {
    let frame_len_max = format.frame_len(format.payload_len_max());
    frame_len_max.saturating_mul(2).saturating_add(CHAIN_ROOM)
}

/// A part of the stream; the parts follow each other without a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'r> {
    /// A good frame.
    Frame(Frame<'r>),
    /// Bytes that are no frames.
    Damaged(Damaged),
}

/// Bytes that are no frames: from where to where in the stream, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Damaged {
    /// The first of them.
    pub begin: u64,
    /// The first byte that is not one of them.
    pub end: u64,
    /// What is wrong at `begin`; without a checksum perhaps with what the
    /// length there leads to.
    pub reason: Reason,
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}: {}", self.begin, self.end, self.reason)
    }
}

/// A buffer through which a damaged stream passes.
///
/// `B` is the buffer: an array, a `&mut [u8]`, a `Vec<u8>`. One that is longer
/// than [`buffer_len_min`] is moved to its front less often.
#[derive(Debug)]
pub struct Recovery<C, B> {
    format: Prefixed<C>,
    input: Receive<B>,
    ended: bool,
    /// Where the damage began whose end is searched for, and what it is.
    lost: Option<(u64, Reason)>,
}

/// A piece by its place in the buffer.
enum Passed {
    Frame { payload: Range<usize>, offset: u64, frame_len: usize },
    Damaged(Damaged),
}

impl<C: Checksum, B: AsRef<[u8]> + AsMut<[u8]>> Recovery<C, B> {
    /// At the beginning of a stream.
    ///
    /// # Errors
    ///
    /// [`BufferTooShort`] when the buffer is shorter than [`buffer_len_min`].
    pub fn new(format: Prefixed<C>, buffer: B) -> Result<Self, BufferTooShort> {
        let input = Receive::new(buffer, window_len(&format))?;
        Ok(Self { format, input, ended: false, lost: None })
    }

    /// The free part of the buffer, to receive into; never empty after
    /// [`next_piece`](Recovery::next_piece) has answered `None`.
    pub fn free(&mut self) -> &mut [u8] {
        self.input.free()
    }

    /// Says that the first `len` bytes of [`free`](Recovery::free) have been
    /// filled.
    ///
    /// # Panics
    ///
    /// If `len` is more than was free.
    pub fn received(&mut self, len: usize) {
        self.input.received(len);
    }

    /// Says that the stream has ended.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Takes the next piece, or `None` when more bytes are needed; after
    /// [`end`](Recovery::end) that means that all has been taken.
    pub fn next_piece(&mut self) -> Option<Piece<'_>> {
        Some(match self.pass()? {
            Passed::Frame { payload, offset, frame_len } => {
                Piece::Frame(Frame { payload: self.input.part(payload), offset, frame_len })
            }
            Passed::Damaged(damaged) => Piece::Damaged(damaged),
        })
    }

    fn pass(&mut self) -> Option<Passed> {
        loop {
            let window = self.window();
            if window.bytes.is_empty() {
                // A damage may reach to the end.
                return if self.ended { self.end_damage() } else { None };
            }
            if self.lost.is_some() {
                if !window.is_whole() {
                    return None;
                }
                let found = window.search();
                self.follow(found);
                if let Found::At(_) = found {
                    return self.end_damage();
                }
                continue;
            }
            match window.front() {
                Front::Frame { frame_len, payload_begin, payload_end } => {
                    let (offset, payload) = (self.offset(), payload_begin..payload_end);
                    let payload = self.input.consume_with(frame_len, payload);
                    return Some(Passed::Frame { payload, offset, frame_len });
                }
                Front::Wait => return None,
                Front::Damaged { .. } if !window.is_whole() => return None,
                Front::Damaged { reason, claim } => {
                    let found = window.resume(claim);
                    self.lost = Some((self.offset(), reason));
                    self.follow(found);
                    if let Found::At(_) = found {
                        return self.end_damage();
                    }
                }
                Front::Resolved { reason, at } => {
                    self.lost = Some((self.offset(), reason));
                    self.input.consume(at);
                    return self.end_damage();
                }
            }
        }
    }

    /// What may be looked at of what waits.
    fn window(&self) -> Window<'_, C> {
        let bytes = self.input.waiting();
        let len = bytes.len().min(window_len(&self.format));
        let ended = self.ended && len == bytes.len();
        Window { format: &self.format, bytes: &bytes[..len], ended }
    }

    fn follow(&mut self, found: Found) {
        let (Found::At(len) | Found::Nothing(len)) = found;
        self.input.consume(len);
    }

    fn end_damage(&mut self) -> Option<Passed> {
        let (begin, reason) = self.lost.take()?;
        Some(Passed::Damaged(Damaged { begin, end: self.offset(), reason }))
    }

    fn offset(&self) -> u64 {
        self.input.offset()
    }
}
