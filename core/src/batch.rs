//! Whole frames in, slices for one vectored write out.
//!
//! ```
//! use forebay::Batch;
//! use forebay::checksum::CRC32;
//! use forebay::frame::Prefixed;
//!
//! let format = Prefixed::flatstream(1 << 20).checksum(CRC32);
//! let picture = vec![7; 100_000];
//!
//! let mut batch: Batch<[u8; 4096]> = Batch::new([0; 4096]);
//! batch.push(&format, b"small, so copied")?;
//! batch.push(&format, &picture)?; // large, so borrowed
//! batch.push(&format, b"small again")?;
//!
//! let slices = batch.slices();
//! assert_eq!(slices.len(), 3);
//! assert_eq!(slices[1].as_ptr(), picture.as_ptr());
//!
//! // The kernel took 30 bytes: the first frame has left.
//! assert_eq!(batch.advance(30), Ok(1));
//! assert_eq!(batch.frames(), 2);
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! A payload shorter than the threshold is copied, with its head and tail,
//! into the batch's buffer, where many frames make one slice. From the
//! threshold up only head and tail are copied and the payload is borrowed as a
//! slice of its own, for as long as the batch lives:
//!
//! ```compile_fail,E0597
//! use forebay::{Batch, frame::Plain};
//! let mut batch: Batch<[u8; 64]> = Batch::new([0; 64]);
//! {
//!     let payload = vec![0; 8192];
//!     batch.push(&Plain, &payload).unwrap();
//! }
//! batch.slices(); // the payload is gone
//! ```

use core::{error::Error, fmt};

pub use crate::stage::Slices;
use crate::{
    frame::{Encode, EncodeError},
    stage::{Refused, Stage},
};

/// From this payload length in bytes a payload is borrowed rather than
/// copied, unless [`Batch::borrow_from`] says otherwise.
///
/// Copying a frame and lending it cost the same near 4 KiB on a UNIX stream
/// (`cargo bench --bench paths`).
pub const BORROW_FROM_DEFAULT: usize = 4096;

/// A fixed-capacity builder of one vectored write.
///
/// `B` is the buffer for copied frames: an array, a `&mut [u8]`, a
/// `Box<[u8]>`. Each frame takes four bytes of it beside its own. `SLICES` is
/// the most slices that [`slices`](Batch::slices) gives; a borrowed payload
/// takes two of them, so `(SLICES - 1) / 2` payloads are borrowed at most and
/// with 1 none. Longer payloads beyond those are copied, if they fit.
///
/// The room of frames that have left comes back when all have.
///
/// ```
/// use forebay::{Batch, frame::Plain};
///
/// let page = [b'-'; 100];
/// let mut buffer = [0; 32];
/// let mut batch: Batch<_, 5> = Batch::new(&mut buffer[..]).borrow_from(64);
/// batch.push(&Plain, b"head")?;
/// batch.push(&Plain, &page)?;
/// batch.push(&Plain, &page)?;
/// assert_eq!(batch.slices()[..], [&b"head"[..], &page, &page]);
/// assert_eq!((batch.frames(), batch.len_bytes()), (3, 204));
/// # Ok::<(), forebay::batch::PushError>(())
/// ```
#[derive(Debug)]
pub struct Batch<'a, B, const SLICES: usize = 33> {
    stage: Stage<&'a [u8], B, SLICES>,
    borrow_from: usize,
}

impl<'a, B: AsRef<[u8]> + AsMut<[u8]>, const SLICES: usize> Batch<'a, B, SLICES> {
    /// An empty batch.
    pub const fn new(buffer: B) -> Self {
        const { assert!(SLICES >= 1, "a batch has at least one slice") };
        Self { stage: Stage::new(buffer), borrow_from: BORROW_FROM_DEFAULT }
    }

    /// Sets the payload length in bytes from which payloads are borrowed.
    #[must_use]
    pub fn borrow_from(mut self, len: usize) -> Self {
        self.borrow_from = len;
        self
    }

    /// Adds the frame of `payload`, whole or not at all.
    ///
    /// # Errors
    ///
    /// [`PushError::Full`] when there is no room now, [`PushError::NeverFits`]
    /// when there would be none in an empty batch, [`PushError::Encode`] when
    /// the format refuses the payload. The batch is as before.
    #[inline(always)]
    pub fn push<F: Encode>(&mut self, format: &F, payload: &'a [u8]) -> Result<(), PushError> {
        if payload.len() >= self.borrow_from {
            return self.push_large(format, payload);
        }
        self.copy(format, payload)
    }

    /// Lends the payload if that is possible. Apart, so that what happens to a
    /// small one is short where it is used.
    #[inline(never)]
    fn push_large<F: Encode>(&mut self, format: &F, payload: &'a [u8]) -> Result<(), PushError> {
        match self.stage.lend(format, payload, payload) {
            Ok(true) => Ok(()),
            Ok(false) => self.copy(format, payload),
            Err(refused) => Err(self.refused(refused)),
        }
    }

    /// Adds the frame of `payload` by copying it, whatever its length; the
    /// payload need not outlive the batch.
    ///
    /// ```
    /// use forebay::{Batch, frame::Plain};
    ///
    /// let mut batch: Batch<[u8; 64]> = Batch::new([0; 64]);
    /// for line in 1..=3 {
    ///     batch.copy(&Plain, format!("line {line}\n").as_bytes())?;
    /// }
    /// assert_eq!(batch.slices()[..], [b"line 1\nline 2\nline 3\n"]);
    /// # Ok::<(), forebay::batch::PushError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`push`](Batch::push).
    #[inline(always)]
    pub fn copy<F: Encode>(&mut self, format: &F, payload: &[u8]) -> Result<(), PushError> {
        match self.stage.copy(format, payload) {
            Ok(()) => Ok(()),
            Err(refused) => Err(self.refused(refused)),
        }
    }

    #[cold]
    fn refused(&self, refused: Refused) -> PushError {
        let capacity = self.stage.capacity();
        match refused {
            Refused::Encode(error) => PushError::Encode(error),
            // With payloads lent already, this one may be lent later.
            Refused::Full { needed, .. } if needed > capacity && self.stage.lent().count() == 0 => {
                PushError::NeverFits { needed, capacity }
            }
            Refused::Full { needed, free } => PushError::Full { needed, free },
        }
    }

    /// What has not left yet, in order.
    #[must_use]
    pub fn slices(&self) -> Slices<'_, SLICES> {
        self.stage.slices(|payload| payload)
    }

    /// Says that the first `len` bytes of the slices have left; returns how
    /// many frames have thereby left whole.
    ///
    /// A frame of no bytes ([`Plain`](crate::frame::Plain) and an empty
    /// payload) leaves with the byte before it; one that nothing is before,
    /// with `advance(0)`.
    ///
    /// # Errors
    ///
    /// [`PastEnd`] when there are fewer bytes than that; nothing has moved.
    pub fn advance(&mut self, len: usize) -> Result<usize, PastEnd> {
        let pending = self.stage.pending();
        if len > pending {
            return Err(PastEnd { len, pending });
        }
        Ok(self.stage.advance(len))
    }

    /// Takes back what has left of the first frame, so that a new peer gets it
    /// from its beginning; returns how many bytes that were.
    ///
    /// ```
    /// use forebay::{Batch, frame::Plain};
    ///
    /// let mut batch: Batch<[u8; 64]> = Batch::new([0; 64]);
    /// batch.push(&Plain, b"one")?;
    /// batch.push(&Plain, b"two")?;
    /// assert_eq!(batch.advance(5), Ok(1)); // and then the connection was lost
    /// assert_eq!(batch.rewind(), 2);
    /// assert_eq!(batch.slices()[..], [b"two"]);
    /// # Ok::<(), forebay::batch::PushError>(())
    /// ```
    pub fn rewind(&mut self) -> usize {
        self.stage.rewind()
    }

    /// Bytes that have not left.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        self.stage.pending()
    }

    /// Frames that have not left whole.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.stage.frames()
    }

    /// Whether everything has left. Frames of no bytes leave with the next
    /// [`advance`](Batch::advance), of 0 if nothing else is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stage.frames() == 0
    }
}

/// Why a frame was not added to a [`Batch`].
///
/// ```
/// use forebay::{Batch, batch::PushError, frame::Plain};
///
/// let mut batch: Batch<[u8; 16]> = Batch::new([0; 16]);
/// let error = PushError::NeverFits { needed: 24, capacity: 16 };
/// assert_eq!(batch.push(&Plain, &[0; 20]), Err(error));
///
/// batch.push(&Plain, b"a frame")?;
/// let full = batch.push(&Plain, b"another").unwrap_err();
/// assert_eq!(full, PushError::Full { needed: 11, free: 5 });
/// assert_eq!(full.to_string(), "the batch is full: 11 bytes needed, 5 free");
///
/// let written = batch.len_bytes();
/// batch.advance(written)?;
/// batch.push(&Plain, b"another")?;
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum PushError {
    /// No room until the batch has been written.
    Full {
        /// Bytes of the buffer that the frame may take, its length entry
        /// included.
        needed: usize,
        /// Bytes that are free.
        free: usize,
    },
    /// No room even in an empty batch.
    NeverFits {
        /// Bytes of the buffer that the frame may take, its length entry
        /// included.
        needed: usize,
        /// The buffer's length in bytes.
        capacity: usize,
    },
    /// The format refused the payload.
    Encode(EncodeError),
}

impl fmt::Display for PushError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { needed, free } => {
                write!(f, "the batch is full: {needed} bytes needed, {free} free")
            }
            Self::NeverFits { needed, capacity } => {
                write!(f, "the frame needs {needed} bytes, the whole batch has {capacity}")
            }
            Self::Encode(error) => error.fmt(f),
        }
    }
}

impl Error for PushError {}

/// More bytes are said to have left than there were.
///
/// ```
/// use forebay::{Batch, batch::PastEnd, frame::Plain};
///
/// let mut batch: Batch<[u8; 16]> = Batch::new([0; 16]);
/// batch.push(&Plain, b"four")?;
/// assert_eq!(batch.advance(5), Err(PastEnd { len: 5, pending: 4 }));
/// assert_eq!(batch.len_bytes(), 4);
/// # Ok::<(), forebay::batch::PushError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PastEnd {
    /// Bytes said to have left.
    pub len: usize,
    /// Bytes that there were.
    pub pending: usize,
}

impl fmt::Display for PastEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes are said to have left, {} were pending", self.len, self.pending)
    }
}

impl Error for PastEnd {}
