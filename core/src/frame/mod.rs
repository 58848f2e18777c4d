//! Frames: one message on the wire, as head, payload and tail.
//!
//! A format is a small value that can [`Encode`] a payload into a frame and
//! [`Decode`] the frame at the front of received bytes. Neither does I/O and
//! neither keeps bytes: [`Batch`](crate::Batch) and [`Pump`](crate::Pump) own
//! what leaves, [`Decoder`](crate::Decoder) owns what arrives.
//!
//! | format | on the wire | for |
//! |---|---|---|
//! | [`Prefixed`] | length, optional head check, payload, checksum | streams and files |
//! | [`Cobs`] | stuffed payload + checksum, then a zero byte | lines that lose bytes |
//! | [`Plain`] | the payload alone | records that are frames already |
//! | [`dlt::Dlt`] | AUTOSAR DLT messages, only decoded here | `.dlt` files, daemons |
//!
//! [`http2`] has the frames of RFC 9113, whose heads say more than a length.
//!
//! ```
//! use forebay::frame::{Decode, Encode, Prefixed, Step};
//!
//! let format = Prefixed::flatstream(1024);
//! let mut frame = [0; 32];
//! let len = format.encode(b"abc", &mut frame)?;
//! assert_eq!(&frame[..len], b"\x03\0\0\0abc");
//!
//! let step = format.decode(&mut frame[..len], 0);
//! assert_eq!(step, Step::Frame { payload: 4..7, frame_len: 7 });
//! # Ok::<(), forebay::frame::EncodeError>(())
//! ```
//!
//! # A format of one's own
//!
//! is a type with these two traits. It goes wherever the crate's own go.
//!
//! ```
//! use forebay::Decoder;
//! use forebay::frame::{Decode, Encode, EncodeError, Reason, Resync, Step};
//!
//! /// A mark, then a record of `LEN` bytes, filled up with zeros.
//! #[derive(Clone, Copy)]
//! struct Marked<const LEN: usize>;
//!
//! const MARK: u8 = 0xA5;
//!
//! impl<const LEN: usize> Encode for Marked<LEN> {
//!     fn frame_len_max(&self, _payload_len: usize) -> usize {
//!         1 + LEN
//!     }
//!
//!     fn encode(&self, payload: &[u8], out: &mut [u8]) -> Result<usize, EncodeError> {
//!         let (payload_len, free) = (payload.len(), out.len());
//!         if payload_len > LEN {
//!             return Err(EncodeError::TooLong { payload_len, payload_len_max: LEN });
//!         }
//!         let frame = out.get_mut(..=LEN).ok_or(EncodeError::NoRoom { needed: 1 + LEN, free })?;
//!         frame.fill(0);
//!         frame[0] = MARK;
//!         frame[1..=payload_len].copy_from_slice(payload);
//!         Ok(1 + LEN)
//!     }
//! }
//!
//! impl<const LEN: usize> Decode for Marked<LEN> {
//!     fn buffer_len_min(&self) -> usize {
//!         1 + LEN
//!     }
//!
//!     fn decode(&self, input: &mut [u8], _seen: usize) -> Step {
//!         if input[0] != MARK {
//!             let reason = Reason::Head { value: input[0].into() };
//!             return Step::Damaged { skip: 1, reason, resync: true };
//!         }
//!         if input.len() <= LEN {
//!             return Step::Incomplete { needed: 1 + LEN };
//!         }
//!         Step::Frame { payload: 1..1 + LEN, frame_len: 1 + LEN }
//!     }
//!
//!     fn resync(&self, input: &[u8]) -> Resync {
//!         match input.iter().position(|byte| *byte == MARK) {
//!             Some(at) => Resync::Tentative(at),
//!             None => Resync::Skip(input.len()),
//!         }
//!     }
//! }
//!
//! let line = b"\xA5one noise \xA5two";
//! let mut decoder = Decoder::new(Marked::<3>, [0; 32])?;
//! decoder.free()[..line.len()].copy_from_slice(line);
//! decoder.received(line.len());
//! assert_eq!(decoder.next_frame()?.unwrap().payload, b"one");
//! assert_eq!(decoder.next_frame().unwrap_err().offset, 4);
//! assert_eq!(decoder.next_frame()?.unwrap().payload, b"two");
//! assert_eq!(decoder.counts().bytes_lost, 7);
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

mod cobs;
pub mod dlt;
pub mod http2;
mod plain;
mod prefixed;

use core::{error::Error, fmt, ops::Range};

pub use cobs::Cobs;
pub use plain::Plain;
pub use prefixed::{Cover, Order, Place, Prefixed, Width};

/// Turns a payload into a frame, in the caller's bytes.
pub trait Encode {
    /// The most bytes that a frame of a payload of `payload_len` bytes takes.
    ///
    /// Saturates at `usize::MAX` where the sum would overflow.
    fn frame_len_max(&self, payload_len: usize) -> usize;

    /// Writes the whole frame of `payload` to the front of `out` and returns
    /// its length in bytes.
    ///
    /// # Errors
    ///
    /// [`EncodeError::TooLong`] when the format cannot carry the payload,
    /// [`EncodeError::NoRoom`] when `out` is too short. `out` may have been
    /// written to; nothing of it is a frame.
    fn encode(&self, payload: &[u8], out: &mut [u8]) -> Result<usize, EncodeError>;

    /// Writes what surrounds `payload`, head and then tail, to the front of
    /// `out`, so that the payload can be sent from where it lies.
    ///
    /// `Ok(None)`, the provided answer, says that this format changes its
    /// payload on the way and can only be encoded whole.
    ///
    /// # Errors
    ///
    /// As [`encode`](Encode::encode).
    fn envelope(&self, payload: &[u8], out: &mut [u8]) -> Result<Option<Envelope>, EncodeError> {
        let _ = (payload, out);
        Ok(None)
    }
}

/// Finds the frame at the front of received bytes.
///
/// Implemented by formats, driven by [`Decoder`](crate::Decoder), which owns
/// the buffer and the state between calls.
///
/// An answer outside of the bounds that [`Step`] and [`Resync`] state is a
/// programmer's error: the decoder then panics, stands still or gives out
/// bytes that are no payload.
///
/// Its methods are called by the decoder. Where a program calls one itself and
/// has [`Encode`] in scope as well, the name `frame_len_max` is said in full:
/// `Decode::buffer_len_min(&format)`.
pub trait Decode {
    /// The shortest buffer that is enough: the longest frame in bytes that
    /// [`decode`](Decode::decode) waits for.
    fn buffer_len_min(&self) -> usize;

    /// Says what stands at the front of `input`, which is not empty.
    ///
    /// The first `seen` bytes were part of an earlier answer
    /// [`Step::Incomplete`] and need not be searched again. A format that
    /// changes payloads on the wire restores them within `input`; it leaves
    /// `input` as it is when the answer is [`Step::Incomplete`].
    fn decode(&self, input: &mut [u8], seen: usize) -> Step;

    /// Looks for the next place in `input` where a frame may begin, after an
    /// answer [`Step::Damaged`] that asked for it.
    fn resync(&self, input: &[u8]) -> Resync;
}

/// What stands at the front of the received bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A whole frame whose checks hold.
    Frame {
        /// Where its payload lies in the input.
        payload: Range<usize>,
        /// How many bytes of the input the frame takes.
        frame_len: usize,
    },
    /// Filler between frames that carries nothing.
    Idle {
        /// How many bytes it takes, at least one.
        skip: usize,
    },
    /// The beginning of a frame.
    Incomplete {
        /// How many bytes the input must have before another look can tell
        /// more; at most [`Decode::buffer_len_min`].
        needed: usize,
    },
    /// Bytes that are no frame.
    Damaged {
        /// How many bytes to give up, at least one unless `resync`.
        skip: usize,
        /// What is wrong with them.
        reason: Reason,
        /// Whether the next frame's place is unknown, so that
        /// [`Decode::resync`] must find it.
        resync: bool,
    },
}

/// What a search for the next frame found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resync {
    /// Nothing in the first so many bytes; the rest is too short to tell.
    Skip(usize),
    /// A frame begins after so many bytes.
    Certain(usize),
    /// A frame probably begins after so many bytes. Should it prove damaged,
    /// the search goes on one byte later.
    Tentative(usize),
}

/// The lengths of what surrounds a payload; see [`Encode::envelope`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Bytes before the payload.
    pub head_len: usize,
    /// Bytes after it.
    pub tail_len: usize,
}

/// Why a payload did not become a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum EncodeError {
    /// The format, as configured, cannot carry this payload.
    TooLong {
        /// The payload's length in bytes.
        payload_len: usize,
        /// The longest that is carried.
        payload_len_max: usize,
    },
    /// The output is too short for the frame.
    NoRoom {
        /// Bytes that the frame may take.
        needed: usize,
        /// Bytes that there were.
        free: usize,
    },
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TooLong { payload_len, payload_len_max } => write!(
                f,
                "a payload of {payload_len} bytes is over the format's maximum of {payload_len_max}"
            ),
            Self::NoRoom { needed, free } => {
                write!(f, "the frame may take {needed} bytes and {free} are free")
            }
        }
    }
}

impl Error for EncodeError {}

/// What is wrong with received bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Reason {
    /// A length over the maximum.
    TooLong {
        /// The length in bytes that a head declares or that a payload has;
        /// where a frame is given up before its end is known, the least that
        /// it has.
        len: u64,
        /// The longest that is accepted.
        len_max: u64,
    },
    /// A frame too short to hold its own checksum or head.
    TooShort {
        /// The frame's content in bytes.
        len: usize,
        /// The least that it must have.
        len_min: usize,
    },
    /// A head that no frame has: another magic, another version, an unknown
    /// type.
    Head {
        /// What stands in its place; a magic's first byte is the highest.
        value: u32,
    },
    /// The check over the head does not match.
    HeadCheck {
        /// Computed over the received head.
        computed: u16,
        /// Received.
        received: u16,
    },
    /// The checksum does not match.
    Checksum {
        /// Computed over the received bytes.
        computed: u64,
        /// Received.
        received: u64,
    },
    /// The byte stuffing contradicts itself.
    Stuffing {
        /// Where in the frame, in bytes from its beginning.
        at: usize,
    },
    /// A frame breaks a rule of HTTP/2.
    Http2(http2::Violation),
    /// The stream ended inside a frame.
    Truncated {
        /// Bytes of the frame that had arrived.
        received: usize,
        /// Bytes that it needed at least.
        needed: usize,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TooLong { len, len_max } => {
                write!(f, "length {len} is over the maximum of {len_max}")
            }
            Self::TooShort { len, len_min } => {
                write!(f, "a frame of {len} bytes, at least {len_min} are needed")
            }
            Self::Head { value } => write!(f, "no frame begins with {value:#x}"),
            Self::HeadCheck { computed, received } => {
                write!(f, "head check {received:#06x} received, {computed:#06x} computed")
            }
            Self::Checksum { computed, received } => {
                write!(f, "checksum {received:#x} received, {computed:#x} computed")
            }
            Self::Stuffing { at } => write!(f, "byte stuffing broken at byte {at} of the frame"),
            Self::Http2(violation) => violation.fmt(f),
            Self::Truncated { received, needed } => write!(
                f,
                "the stream ends inside a frame: {received} bytes received, at least {needed} needed"
            ),
        }
    }
}

impl Error for Reason {}

/// The first `needed` bytes of `out`.
#[inline]
fn room(out: &mut [u8], needed: usize) -> Result<&mut [u8], EncodeError> {
    let free = out.len();
    out.get_mut(..needed).ok_or(EncodeError::NoRoom { needed, free })
}
